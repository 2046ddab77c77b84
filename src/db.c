/*
 * SQLite behind a small face: one connection, its statements, and what its
 * result codes mean to us.  Knows nothing of our tables.
 */
#include "db.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

/* Statement texts are static constants, so their number is known; the bound
 * catches a text that is built at run time. */
#define DB_STMTS_MAX 96

/* How long to let others go on before WAL is tried again. */
#define WAL_RETRY_MS 5

static const char DB_BEGIN[] = "BEGIN IMMEDIATE";
static const char DB_COMMIT[] = "COMMIT";
static const char DB_DATA_VERSION[] = "PRAGMA data_version";

/* cell_size_check, mmap_size: a damaged file gives an error, not a crash.
 * journal_size_limit: a log that grew under a long reader shrinks again.
 * temp_store: a long list is sorted in memory, and a row that takes many with
 * it removed so, as there may be no directory where files can be made. */
static const char DB_SETUP[] =
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA foreign_keys = ON;"
    "PRAGMA cache_size = -256;"
    "PRAGMA cell_size_check = ON;"
    "PRAGMA mmap_size = 0;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA journal_size_limit = 1048576;";

struct db_stmt {
	struct db *db;
	const char *sql;
	sqlite3_stmt *raw;
};

struct db {
	sqlite3 *raw;
	char *path;
	struct db_stmt stmts[DB_STMTS_MAX];
	size_t stmts_len;
	int wait_ms;
};

/* What to do about a result code, to be read after SQLite's own text. */
static const char *
hint_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return "; it and its directory must be writable for the user "
		       "that podprof runs as";
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return "; move it away together with artifacts/, and podprof "
		       "makes both anew; files that a new one does not know "
		       "are removed";
	default:
		return "";
	}
}

/* Must come before the statement is reset, while SQLite's text is there. */
static int
fail(const struct db *db, int rc, struct err *err)
{
	const char *text = sqlite3_errmsg(db->raw);
	int errnum = 0;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return err_set(err, ERR_NOMEM, "database %s: no memory",
		    db->path);
	case SQLITE_CONSTRAINT:
		if (rc == SQLITE_CONSTRAINT_TRIGGER)
			return err_set(err, ERR_CONFLICT, "%s", text);
		return err_set(err, ERR_CONFLICT, "database %s: %s", db->path,
		    text);
	case SQLITE_BUSY:
		return err_set(err, ERR_STORE, "database %s: another process "
		    "held its lock for over %d ms", db->path, db->wait_ms);
	case SQLITE_FULL:
		return err_set(err, ERR_SPACE, "database %s: %s: make room "
		    "on its disk", db->path, text);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (rc == SQLITE_IOERR_NOMEM)
			return err_set(err, ERR_NOMEM,
			    "database %s: no memory", db->path);
		errnum = sqlite3_system_errno(db->raw);
		break;
	default:
		break;
	}
	if (errnum != 0)
		return err_set_errno(err,
		    err_code_of_errno(errnum), errnum,
		    "database %s: %s%s", db->path, text, hint_of(rc));
	return err_set(err, ERR_STORE, "database %s: %s%s", db->path, text,
	    hint_of(rc));
}

/*
 * Make the file, empty.  mknod() because no descriptor is opened: closing one
 * would drop the POSIX locks that another thread's connection holds by then.
 * SQLite gives its -wal and -shm files the same mode.
 */
static int
make_file(const char *path, struct err *err)
{
	if (mknod(path, S_IFREG | S_IRUSR | S_IWUSR, 0) == 0 ||
	    errno == EEXIST)
		return 0;
	return err_set_errno(err,
	    err_code_of_errno(errno), errno,
	    "cannot make the database %s%s", path, hint_of(SQLITE_CANTOPEN));
}

static int
copy_word(void *ctx, int len, char **values, char **names)
{
	char *out = ctx;

	(void)names;
	if (len == 1 && values[0] != NULL)
		(void)snprintf(out, 16, "%s", values[0]);
	return 0;
}

/*
 * Whoever finds the file not in WAL mode sets it.  Several may at once, and
 * SQLite does not wait for the lock here: so wait, and look again.
 */
static int
set_wal(struct db *db, struct err *err)
{
	const struct timespec pause = {0, WAL_RETRY_MS * 1000000L};
	int64_t deadline_ms = clock_mono_ms() + DB_BUSY_MS;
	char mode[16] = "";
	int rc;

	for (;;) {
		rc = sqlite3_exec(db->raw, "PRAGMA journal_mode", copy_word,
		    mode, NULL);
		if (rc == SQLITE_OK && strcmp(mode, "wal") != 0)
			rc = sqlite3_exec(db->raw, "PRAGMA journal_mode = WAL",
			    copy_word, mode, NULL);
		if (rc == SQLITE_OK && strcmp(mode, "wal") == 0)
			return 0;
		if (rc == SQLITE_OK)
			return err_set(err, ERR_STORE, "database %s: its file "
			    "system cannot share memory between processes "
			    "(WAL); put it on a local disk", db->path);
		if ((rc & 0xff) != SQLITE_BUSY ||
		    clock_mono_ms() >= deadline_ms)
			return fail(db, rc, err);
		(void)nanosleep(&pause, NULL);
	}
}

void
db_set_wait(struct db *db, int wait_ms)
{
	db->wait_ms = wait_ms;
	(void)sqlite3_busy_timeout(db->raw, wait_ms);
}

int
db_wait_ms(const struct db *db)
{
	return db->wait_ms;
}

static int
set_up(struct db *db, struct err *err)
{
	int rc;

	(void)sqlite3_extended_result_codes(db->raw, 1);
	db_set_wait(db, DB_BUSY_MS);
	(void)sqlite3_db_config(db->raw, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db->raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0,
	    NULL);
	/* SQLite opens what it may not write for reading, silently. */
	if (sqlite3_db_readonly(db->raw, "main") != 0)
		return err_set(err, ERR_STORE,
		    "database %s cannot be written%s", db->path,
		    hint_of(SQLITE_READONLY));
	if (set_wal(db, err) != 0)
		return -1;
	rc = sqlite3_exec(db->raw, DB_SETUP, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err);
	return 0;
}

int
db_open(const char *path, struct db **ret_db, struct err *err)
{
	struct db *db = NULL;
	int rc = -1, opened;

	db = calloc(1, sizeof(*db));
	if (db == NULL || (db->path = strdup(path)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "database %s: no memory", path);
		goto out;
	}
	if (make_file(path, err) != 0)
		goto out;
	/* No mutex: one thread at a time has the connection. */
	opened = sqlite3_open_v2(path, &db->raw,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (opened != SQLITE_OK) {
		(void)fail(db, db->raw == NULL ? SQLITE_NOMEM :
		    sqlite3_extended_errcode(db->raw), err);
		goto out;
	}
	if (set_up(db, err) != 0)
		goto out;
	*ret_db = db;
	db = NULL;
	rc = 0;
out:
	db_close(&db);
	return rc;
}

void
db_close(struct db **db)
{
	size_t i;
	int rc;

	if (db == NULL || *db == NULL)
		return;
	for (i = 0; i < (*db)->stmts_len; i++)
		(void)sqlite3_finalize((*db)->stmts[i].raw);
	rc = sqlite3_close((*db)->raw);
	assert(rc == SQLITE_OK);
	free((*db)->path);
	free(*db);
	*db = NULL;
}

bool
db_is_current(const struct db *db)
{
	int moved = 1, rc;

	rc = sqlite3_file_control(db->raw, "main", SQLITE_FCNTL_HAS_MOVED,
	    &moved);
	return rc == SQLITE_OK && moved == 0;
}

int
db_exec(struct db *db, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(db->raw, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(db, rc, err);
}

int
db_set_durable(struct db *db, bool is_durable, struct err *err)
{
	return db_exec(db, is_durable ? "PRAGMA synchronous = FULL" :
	    "PRAGMA synchronous = NORMAL", err);
}

static int
run_constant(struct db *db, const char *sql, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
db_begin(struct db *db, struct err *err)
{
	assert(sqlite3_get_autocommit(db->raw) != 0);
	return run_constant(db, DB_BEGIN, err);
}

int
db_commit(struct db *db, struct err *err)
{
	return run_constant(db, DB_COMMIT, err);
}

void
db_rollback(struct db *db)
{
	/* SQLite has rolled back by itself after some errors. */
	if (sqlite3_get_autocommit(db->raw) == 0)
		(void)sqlite3_exec(db->raw, "ROLLBACK", NULL, NULL, NULL);
}

int
db_prepare(struct db *db, const char *sql, struct db_stmt **ret_stmt,
    struct err *err)
{
	struct db_stmt *stmt;
	size_t i;
	int rc;

	for (i = 0; i < db->stmts_len; i++) {
		stmt = &db->stmts[i];
		if (stmt->sql != sql)
			continue;
		/* Its rows are being read: somebody forgot db_done(). */
		assert(sqlite3_stmt_busy(stmt->raw) == 0);
		(void)sqlite3_reset(stmt->raw);
		(void)sqlite3_clear_bindings(stmt->raw);
		*ret_stmt = stmt;
		return 0;
	}
	assert(db->stmts_len < DB_STMTS_MAX);
	stmt = &db->stmts[db->stmts_len];
	rc = sqlite3_prepare_v3(db->raw, sql, -1, SQLITE_PREPARE_PERSISTENT,
	    &stmt->raw, NULL);
	if (rc != SQLITE_OK)
		return fail(db, rc, err);
	stmt->db = db;
	stmt->sql = sql;
	db->stmts_len++;
	*ret_stmt = stmt;
	return 0;
}

void
db_done(struct db_stmt *stmt)
{
	/* Its result is that of the last step, which was told already. */
	(void)sqlite3_reset(stmt->raw);
}

static int
index_of(struct db_stmt *stmt, const char *name)
{
	int i = sqlite3_bind_parameter_index(stmt->raw, name);

	assert(i > 0);
	return i;
}

int
db_bind_text(struct db_stmt *stmt, const char *name, const char *value,
    struct err *err)
{
	int rc = sqlite3_bind_text(stmt->raw, index_of(stmt, name), value, -1,
	    SQLITE_TRANSIENT);

	return rc == SQLITE_OK ? 0 : fail(stmt->db, rc, err);
}

int
db_bind_int(struct db_stmt *stmt, const char *name, int64_t value,
    struct err *err)
{
	int rc = sqlite3_bind_int64(stmt->raw, index_of(stmt, name), value);

	return rc == SQLITE_OK ? 0 : fail(stmt->db, rc, err);
}

int
db_bind_null(struct db_stmt *stmt, const char *name, struct err *err)
{
	int rc = sqlite3_bind_null(stmt->raw, index_of(stmt, name));

	return rc == SQLITE_OK ? 0 : fail(stmt->db, rc, err);
}

int
db_step(struct db_stmt *stmt, struct err *err)
{
	int rc = sqlite3_step(stmt->raw);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return fail(stmt->db, rc, err);
}

int
db_run(struct db_stmt *stmt, struct err *err)
{
	int rc = db_step(stmt, err);

	assert(rc != 1);
	db_done(stmt);
	return rc;
}

static int
column_of(struct db_stmt *stmt, const char *name)
{
	int i, len = sqlite3_data_count(stmt->raw);

	for (i = 0; i < len; i++)
		if (strcmp(sqlite3_column_name(stmt->raw, i), name) == 0)
			break;
	assert(i < len);
	return i;
}

const char *
db_column_text(struct db_stmt *stmt, const char *name)
{
	return (const char *)sqlite3_column_text(stmt->raw,
	    column_of(stmt, name));
}

int64_t
db_column_int(struct db_stmt *stmt, const char *name, int64_t fallback)
{
	int i = column_of(stmt, name);

	if (sqlite3_column_type(stmt->raw, i) == SQLITE_NULL)
		return fallback;
	return sqlite3_column_int64(stmt->raw, i);
}

bool
db_column_is_null(struct db_stmt *stmt, const char *name)
{
	return sqlite3_column_type(stmt->raw, column_of(stmt, name)) ==
	    SQLITE_NULL;
}

int64_t
db_changes(const struct db *db)
{
	return sqlite3_changes64(db->raw);
}

int
db_data_version(struct db *db, int64_t *ret_version, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, DB_DATA_VERSION, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		*ret_version = db_column_int(stmt, "data_version", 0);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}
