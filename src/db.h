/*
 * SQLite, and nothing of our tables: open, transactions, statements bound and
 * read by name.  The only module that knows sqlite3.
 *
 * A struct db belongs to one thread at a time and never crosses a fork.
 * Statements are prepared once per connection and found again by the address
 * of their text, so the text must be a static constant.
 *
 * Errors of every call here:
 *   ERR_STORE     the database cannot be opened, read or written, or another
 *                 process held the lock for db_wait_ms()
 *   ERR_SPACE     the disk is full
 *   ERR_CONFLICT  a constraint refused the write (UNIQUE, CHECK, a trigger's
 *                 RAISE: the trigger's own text is the message)
 *   ERR_NOMEM
 */
#ifndef PODPROF_DB_H
#define PODPROF_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* How long a call waits for another's lock, unless told otherwise. */
#define DB_BUSY_MS 5000

struct db;
struct db_stmt;

/*
 * Open the file, made with mode 0600 if absent: WAL, synchronous NORMAL,
 * foreign keys on, a small page cache (256 KiB), no trust in its schema.
 * WAL is set once, when the file is made: setting it at every open does not
 * wait for the lock.
 */
MUST int db_open(const char *path, struct db **ret_db, struct err *err);
void db_close(struct db **db);

/* False once the file at the path is no longer the one that was opened: it
 * was removed or replaced, and what is written would be lost. */
bool db_is_current(const struct db *db);

/*
 * Whether a commit waits until it is on the disk: otherwise the last ones may
 * be lost, in order, when the power is cut.  Not within a transaction.
 */
MUST int db_set_durable(struct db *db, bool is_durable, struct err *err);

/* How long calls wait for another's lock from now on. */
void db_set_wait(struct db *db, int wait_ms);
int db_wait_ms(const struct db *db);

/* Run statements without parameters or rows. */
MUST int db_exec(struct db *db, const char *sql, struct err *err);

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK.  A rollback does nothing where no
 * transaction is open, and cannot fail in a way that matters: the next begin
 * would tell. */
MUST int db_begin(struct db *db, struct err *err);
MUST int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/*
 * A statement, ready to be bound; what was bound before is gone.  It belongs
 * to db.  Call db_done() when its rows were read, before the next use.
 */
MUST int db_prepare(struct db *db, const char *sql, struct db_stmt **ret_stmt,
    struct err *err);
void db_done(struct db_stmt *stmt);

/* Bind by name, ":name".  Text is copied; NULL binds NULL.  A name that the
 * statement does not have is a mistake of ours: assert. */
MUST int db_bind_text(struct db_stmt *stmt, const char *name,
    const char *value, struct err *err);
MUST int db_bind_int(struct db_stmt *stmt, const char *name, int64_t value,
    struct err *err);
MUST int db_bind_null(struct db_stmt *stmt, const char *name,
    struct err *err);

/* 1: a row is there; 0: there is none (any more); -1: *err. */
MUST int db_step(struct db_stmt *stmt, struct err *err);

/* Bind nothing more, step once, expect no row, done. */
MUST int db_run(struct db_stmt *stmt, struct err *err);

/* Columns of the row by name (asserted).  Text: NULL for NULL, valid until the
 * next step or done.  Int: fallback for NULL. */
const char *db_column_text(struct db_stmt *stmt, const char *name);
int64_t db_column_int(struct db_stmt *stmt, const char *name,
    int64_t fallback);
bool db_column_is_null(struct db_stmt *stmt, const char *name);

/* Rows that the last INSERT, UPDATE or DELETE changed. */
int64_t db_changes(const struct db *db);

/*
 * A number that changes whenever another connection has committed (PRAGMA
 * data_version; a few microseconds).
 */
MUST int db_data_version(struct db *db, int64_t *ret_version,
    struct err *err);

#endif
