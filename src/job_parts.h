/*
 * What the files of job share.  For job*.c only; everybody else has job.h.
 */
#ifndef PODPROF_JOB_PARTS_H
#define PODPROF_JOB_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "db.h"
#include "err.h"
#include "job.h"

/* Rows that are looked at between two queries: they lie on the stack. */
#define JOB_BATCH 8

/* The row that was stepped to.  ERR_STORE if it has a word that this program
 * does not know. */
MUST int job_read_row(struct db_stmt *row, struct job *out, struct err *err);

/* The first row of a bound statement, or the row of an id: 1, or 0 if there is
 * none, or -1 with *err.  The statement is done. */
MUST int job_fetch(struct db_stmt *stmt, struct job *out, struct err *err);
MUST int job_fetch_by_id(struct db *db, const char *id, struct job *out,
    struct err *err);

/* All rows of a bound statement whose LIMIT is JOB_BATCH.  It is done. */
MUST int job_fetch_batch(struct db_stmt *stmt, struct job out[JOB_BATCH],
    size_t *ret_len, struct err *err);

/* As db_bind_int(); JOB_UNKNOWN binds NULL. */
MUST int job_bind_known(struct db_stmt *stmt, const char *name, int64_t value,
    struct err *err);

/* Run an update that must not be lost: where the disk is full the ballast is
 * given up for it. */
MUST int job_run_dire(const char *state_dir, struct db_stmt *stmt,
    struct err *err);

/* Remove a row, which must be over and hold nothing; of no other. */
MUST int job_delete_row(struct db *db, const char *id, struct err *err);

/* ERR_CONFLICT: it is not active any more.  Always -1. */
int job_refuse_inactive(const char *id, struct err *err);

/* Is it the extension of some kind? */
bool job_is_extension(const char *extension);

/* "skipped" … */
const char *job_outcome_name(enum job_outcome outcome);

/* Is it a list that a plan may have? */
bool job_attempts_are_sound(const struct job_attempt *attempts, size_t len);

/* Append the text of a sound list, of at most JOB_ATTEMPTS_TEXT_MAX bytes.
 * ERR_NOMEM. */
#define JOB_ATTEMPTS_TEXT_MAX (16 << 10)
MUST int job_attempts_print(const struct job_attempt *attempts, size_t len,
    struct buf *out, struct err *err);

/* Set the attempts of *job from the text.  Where that is NULL, or damaged, they
 * are the method in use alone, if there is one.  ERR_NOMEM. */
MUST int job_attempts_read(const char *text, struct job *job,
    struct err *err);

/* "expired" …; NULL for REMOVED_NOT. */
const char *job_removal_name(enum job_removal removal);

/* Note that no file of a final job is left; because REMOVED_NOT: it never had
 * a whole one. */
MUST int job_set_removed(struct db *db, const char *id,
    enum job_removal because, struct err *err);

/* Remove its files and note it; spare_readers as in artifact_remove(). */
MUST int job_remove_files(struct db *db, const char *state_dir,
    const struct job *job, enum job_removal because, bool spare_readers,
    struct err *err);

/*
 * The lock of those who make room.  *ret_fd holds it; file_unlock().
 * 1, or 0 if another process has it and wait_ms went by; -1: ERR_STORE,
 * ERR_SPACE.
 */
MUST int job_lock_store(const char *state_dir, int64_t wait_ms, int *ret_fd,
    struct err *err);

/*
 * As job_settle(), for one app.  No lock is held while processes are looked
 * at.  app: NULL for all.
 */
MUST int job_settle_app(struct db *db, const char *state_dir, const char *app,
    struct err *err);

/*
 * Settle one job if its process is gone; then *job is as the row now is, or,
 * where the row cannot be written (a full disk), as it should be.
 * 1, or 0 if the row was removed meanwhile, or -1 with *err.
 */
MUST int job_settle_one(struct db *db, const char *state_dir, struct job *job,
    struct err *err);

/* Make a copy say that the job failed if its process is gone: for readers
 * where the row could not be settled. */
void job_judge(struct job *job);

#endif
