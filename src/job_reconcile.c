/*
 * Jobs: files and rows that do not know each other.  A row is there before its
 * file and stays until after it, so a file without one has lost it.
 */
#include "job_parts.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "log.h"

/* By windows of seq, as an index by it would be needed for nothing else. */
static const char JOB_WITH_FILE[] =
    "SELECT * FROM jobs NOT INDEXED WHERE seq > :after AND seq <= :last"
    " AND state = 'succeeded' AND removed_at_ms IS NULL"
    " ORDER BY seq LIMIT :limit";

/* Where rows go on after a gap; nothing at the end. */
static const char JOB_NEXT_SEQ[] =
    "SELECT min(seq) AS n FROM jobs WHERE seq > :after";

static const char JOB_SET_FOUND[] =
    "UPDATE jobs SET removed_at_ms = NULL, removed_because = NULL"
    " WHERE id = :id AND removed_because = 'lost'";

struct job_reconciler {
	struct artifact_scan *scan;	/* NULL: begin anew */
	int64_t seq;			/* rows up to this were looked at */
	/* A file that could not be looked at or removed: it does not keep the
	 * others, unlike a fault of the database. */
	struct err fault;
	bool has_fault;
};

int
job_reconciler_new(struct job_reconciler **ret_reconciler, struct err *err)
{
	struct job_reconciler *reconciler = calloc(1, sizeof(*reconciler));

	if (reconciler == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	*ret_reconciler = reconciler;
	return 0;
}

void
job_reconciler_free(struct job_reconciler **reconciler)
{
	if (reconciler == NULL || *reconciler == NULL)
		return;
	artifact_scan_close(&(*reconciler)->scan);
	free(*reconciler);
	*reconciler = NULL;
}

/* Does the row know the file?  One of an active job is its capture's, and one
 * of a job that held on is on its way out. */
static bool
is_known(const struct job *job, const struct artifact_entry *entry)
{
	if (job->holds_target)
		return true;
	return job->state == JOB_SUCCEEDED &&
	    job->removed_at_ms == JOB_UNKNOWN &&
	    entry->coding == job->sum.coding &&
	    strcmp(entry->extension, job_extension(job->kind)) == 0;
}

/* The first is the one that is told. */
static void
note_fault(struct job_reconciler *reconciler, const struct err *fault)
{
	if (!reconciler->has_fault)
		reconciler->fault = *fault;
	reconciler->has_fault = true;
}

/* A file that was lost and is back, whole, as if with the disk it is on, or of
 * which that cannot be said: 1. */
static int
find_again(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, const struct job *job,
    const struct artifact_entry *entry, struct err *err)
{
	struct db_stmt *stmt;
	bool is_there = false;
	struct err fault;

	if (job->removed_because != REMOVED_LOST ||
	    entry->coding != job->sum.coding ||
	    strcmp(entry->extension, job_extension(job->kind)) != 0)
		return 0;
	if (artifact_is_there(state_dir, job->id, job_extension(job->kind),
	    &job->sum, &is_there, &fault) != 0) {
		note_fault(reconciler, &fault);
		return 1;
	}
	if (!is_there)
		return 0;
	if (db_prepare(db, JOB_SET_FOUND, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", job->id, err) != 0 ||
	    db_run(stmt, err) != 0)
		return -1;
	log_info("reconcile", "the file of job %s is back", job->id);
	return 1;
}

/* Others may keep files there, if they want to. */
static bool
is_ours(const struct artifact_entry *entry)
{
	return strcmp(entry->extension, ARTIFACT_PART) == 0 ||
	    job_is_extension(entry->extension);
}

static int
check_entry(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, const struct artifact_entry *entry,
    struct err *err)
{
	int found, again = 0;
	struct err fault;
	struct job job;

	if (!is_ours(entry))
		return 0;
	found = job_fetch_by_id(db, entry->job_id, &job, err);
	if (found < 0)
		return -1;
	if (found == 1 && is_known(&job, entry))
		return 0;
	if (found == 1)
		again = find_again(reconciler, db, state_dir, &job, entry,
		    err);
	if (again != 0)
		return again < 0 ? -1 : 0;
	if (artifact_scan_remove(reconciler->scan, entry, &fault) != 0) {
		note_fault(reconciler, &fault);
		return 0;
	}
	log_warn("reconcile", "removed artifacts/%s, which %s", entry->name,
	    found == 1 ? "its job does not have" : "is of no job");
	return 0;
}

/* Have artifacts/ open, if it is of the same state as the database: state_dir
 * may be replaced at any moment, and the old one's files are none of the new
 * one's.  0: it is not. */
static int
open_scan(struct job_reconciler *reconciler, const struct db *db,
    const char *state_dir, struct err *err)
{
	if (reconciler->scan != NULL &&
	    !artifact_scan_is_current(reconciler->scan, state_dir))
		artifact_scan_close(&reconciler->scan);
	if (reconciler->scan == NULL &&
	    artifact_scan_open(state_dir, &reconciler->scan, err) != 0)
		return -1;
	if (db_is_current(db))
		return 1;
	artifact_scan_close(&reconciler->scan);
	return 0;
}

static int
check_files(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, int max, struct err *err)
{
	struct artifact_entry entry;
	int i, rc;

	rc = open_scan(reconciler, db, state_dir, err);
	for (i = 0; rc == 1 && i < max; i++) {
		rc = artifact_scan_next(reconciler->scan, &entry, err);
		if (rc == 1 && check_entry(reconciler, db, state_dir, &entry,
		    err) != 0)
			return -1;
	}
	if (rc != 1)
		artifact_scan_close(&reconciler->scan);
	return rc < 0 ? -1 : 0;
}

static int
read_rows(struct db *db, int64_t after, int64_t last,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_WITH_FILE, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":last", last, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
}

/* JOB_UNKNOWN: there is no row behind that one. */
static int
find_next_seq(struct db *db, int64_t after, int64_t *ret_seq,
    struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, JOB_NEXT_SEQ, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":after", after, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		*ret_seq = db_column_int(stmt, "n", JOB_UNKNOWN);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

/* What is there under the name and is not the file goes, if it can. */
static int
check_row(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, const struct job *job, struct err *err)
{
	const char *extension = job_extension(job->kind);
	struct err fault;
	bool is_there;

	if (artifact_is_there(state_dir, job->id, extension, &job->sum,
	    &is_there, &fault) != 0) {
		note_fault(reconciler, &fault);
		return 0;
	}
	/* Or another directory is there by now, which is none of this one's. */
	if (is_there || !db_is_current(db))
		return 0;
	if (artifact_remove(state_dir, job->id, extension, false,
	    &fault) != 0)
		note_fault(reconciler, &fault);
	if (job_set_removed(db, job->id, REMOVED_LOST, err) != 0)
		return -1;
	/* Its row may have gone together with it. */
	if (db_changes(db) == 1)
		log_warn("reconcile", "the file of job %s is missing or "
		    "damaged", job->id);
	return 0;
}

static int
check_rows(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, int max, struct err *err)
{
	struct job batch[JOB_BATCH];
	int64_t first = JOB_UNKNOWN, after, last;
	size_t i, len;

	if (find_next_seq(db, reconciler->seq, &first, err) != 0)
		return -1;
	if (first == JOB_UNKNOWN) {
		reconciler->seq = 0;
		return 0;
	}
	after = first - 1;
	last = after + max;
	do {
		if (read_rows(db, after, last, batch, &len, err) != 0)
			return -1;
		for (i = 0; i < len; i++) {
			after = batch[i].seq;
			if (check_row(reconciler, db, state_dir, &batch[i],
			    err) != 0)
				return -1;
		}
	} while (len == JOB_BATCH);
	reconciler->seq = last;
	return 0;
}

int
job_reconcile(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, int max, struct err *err)
{
	int rc, lock = -1;

	rc = job_lock_store(state_dir, 0, &lock, err);
	if (rc != 1)
		return rc;
	reconciler->has_fault = false;
	rc = check_files(reconciler, db, state_dir, max, err);
	if (rc == 0)
		rc = check_rows(reconciler, db, state_dir, max, err);
	file_unlock(&lock);
	if (rc == 0 && reconciler->has_fault)
		return err_set(err, reconciler->fault.code, "%s",
		    reconciler->fault.msg);
	return rc;
}
