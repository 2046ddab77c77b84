/*
 * Jobs: settling what dead processes left, and sweeping what is over.
 */
#include "job_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "file.h"

static const char JOB_HOLDING[] =
    "SELECT * FROM jobs INDEXED BY jobs_holding WHERE holds_target = 1"
    " AND (:app IS NULL OR app = :app) AND id > :after"
    " ORDER BY id LIMIT :limit";

/* Nothing if its process has shown itself since the row was read. */
static const char JOB_INTERRUPT[] =
    "UPDATE jobs SET state = 'failed', phase = NULL, revision = revision + 1,"
    " finished_at_ms = :now, error = :error, error_detail = :detail,"
    " holds_target = 0, reserved_bytes = 0"
    " WHERE id = :id AND state IN ('queued', 'running')"
    " AND revision = :revision AND lease_until_ms = :lease";

/* The first reason counts. */
static const char JOB_SET_REMOVED[] =
    "UPDATE jobs SET removed_at_ms = :now, removed_because = :because"
    " WHERE id = :id AND finished_at_ms IS NOT NULL AND removed_at_ms IS NULL";

static const char JOB_EXPIRED[] =
    "SELECT * FROM jobs INDEXED BY jobs_expiring WHERE state = 'succeeded'"
    " AND removed_at_ms IS NULL AND expires_at_ms <= :now"
    " AND (expires_at_ms, id) > (:after_ms, :after)"
    " ORDER BY expires_at_ms, id LIMIT :limit";

/* What did not succeed and still has files: whoever settled it died too. */
static const char JOB_LITTERING[] =
    "SELECT * FROM jobs INDEXED BY jobs_littering"
    " WHERE state IN ('failed', 'canceled') AND removed_at_ms IS NULL"
    " AND id > :after ORDER BY id LIMIT :limit";

static const char JOB_HAS_UNACCEPTED[] =
    "SELECT 1 FROM jobs WHERE accepted_at_ms IS NULL AND holds_target = 0"
    " AND finished_at_ms IS NOT NULL AND finished_at_ms <= :before LIMIT 1";

static const char JOB_DELETE_UNACCEPTED[] =
    "DELETE FROM jobs WHERE accepted_at_ms IS NULL AND holds_target = 0"
    " AND finished_at_ms IS NOT NULL AND finished_at_ms <= :before";

/* A lease that lies far ahead was given before the clock was set back; a step
 * of some seconds is nothing to fail a job for. */
static bool
is_lease_over(const struct job *job)
{
	int64_t left_ms = job->lease_until_ms - clock_utc_ms();
	int64_t whole_ms =
	    job->state == JOB_QUEUED ? JOB_QUEUE_MS : JOB_LEASE_MS;

	return left_ms <= 0 || left_ms > 2 * whole_ms;
}

/* It exists, but neither works nor ends: stopped, or stuck in a hung disk. */
static bool
is_hung(const struct job *job)
{
	return clock_utc_ms() - job->lease_until_ms >= JOB_HANG_MS;
}

/* Whether nobody works any more on a job that holds its target; then *ret_why
 * says it. */
static bool
is_gone(const struct job *job, struct err *ret_why)
{
	const char *tail = "take it again";

	if (job->state == JOB_QUEUED) {
		if (!is_lease_over(job))
			return false;
		(void)err_set(ret_why, ERR_INTERRUPTED, "podprof-capture did "
		    "not begin the job within %d s; its log lines may tell "
		    "why; %s", JOB_QUEUE_MS / 1000, tail);
		return true;
	}
	switch (proc_life(&job->runner)) {
	case PROC_DEAD:
		(void)err_set(ret_why, ERR_INTERRUPTED, "podprof-capture (pid "
		    "%lld) ended without finishing the job; %s",
		    (long long)job->runner.pid, tail);
		return true;
	case PROC_UNKNOWN:
		if (!is_lease_over(job))
			return false;
		(void)err_set(ret_why, ERR_INTERRUPTED, "podprof-capture (pid "
		    "%lld of another container, host or boot) was not heard "
		    "of for %d s; %s", (long long)job->runner.pid,
		    JOB_LEASE_MS / 1000, tail);
		return true;
	case PROC_ALIVE:
		if (!is_hung(job))
			return false;
		(void)err_set(ret_why, ERR_INTERRUPTED, "podprof-capture (pid "
		    "%lld) is there, but was not heard of for %d minutes: it "
		    "is stopped, or the disk hangs; %s",
		    (long long)job->runner.pid,
		    (JOB_LEASE_MS + JOB_HANG_MS) / 60000, tail);
		return true;
	}
	return false;
}

int
job_set_removed(struct db *db, const char *id, enum job_removal because,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_SET_REMOVED, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_text(stmt, ":because", job_removal_name(because),
	    err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_remove_files(struct db *db, const char *state_dir, const struct job *job,
    enum job_removal because, bool spare_readers, struct err *err)
{
	if (artifact_remove(state_dir, job->id, job_extension(job->kind),
	    spare_readers, err) != 0)
		return -1;
	return job_set_removed(db, job->id, because, err);
}

/* The job is settled; files that stay are job_sweep()'s to remove, or to
 * complain of. */
static void
remove_rest(struct db *db, const char *state_dir, const struct job *job)
{
	(void)!job_remove_files(db, state_dir, job, REMOVED_NOT, false, NULL);
}

/* Fail an active job as it was read, unless it has moved since. */
static int
interrupt(struct db *db, const char *state_dir, const struct job *job,
    const struct err *why, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_INTERRUPT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", job->id, err) != 0 ||
	    db_bind_int(stmt, ":revision", job->revision, err) != 0 ||
	    db_bind_int(stmt, ":lease", job->lease_until_ms, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_text(stmt, ":error", err_name(why->code), err) != 0 ||
	    db_bind_text(stmt, ":detail", why->msg, err) != 0 ||
	    job_run_dire(state_dir, stmt, err) != 0)
		return -1;
	if (db_changes(db) != 1)
		return 0;
	job_audit_end(job, "failed", why->msg);
	remove_rest(db, state_dir, job);
	return 0;
}

/* A job that is over, and has kept its target: also its end comes now. */
static int
let_go(struct db *db, const char *state_dir, const struct job *job,
    const struct err *why, struct err *err)
{
	if (job_release(db, state_dir, job->id, err) != 0)
		return -1;
	/* Somebody else may have been faster. */
	if (db_changes(db) != 1)
		return 0;
	if (job->state == JOB_CANCELED)
		job_audit_end(job, "dropped", why->msg);
	else
		job_audit_end(job, "failed", job->error.msg);
	remove_rest(db, state_dir, job);
	return 0;
}

/* A job that held its target, and whose process is gone. */
static int
settle(struct db *db, const char *state_dir, const struct job *job,
    const struct err *why, struct err *err)
{
	if (job_is_final(job))
		return let_go(db, state_dir, job, why, err);
	return interrupt(db, state_dir, job, why, err);
}

int
job_settle_one(struct db *db, const char *state_dir, struct job *job,
    struct err *err)
{
	struct err why, fault;

	if (job_is_final(job) || !is_gone(job, &why))
		return 1;
	if (interrupt(db, state_dir, job, &why, &fault) != 0) {
		job_judge(job);
		/* What keeps us from writing is what ended the capture. */
		if (fault.code == ERR_SPACE)
			(void)err_set(&job->error, ERR_SPACE, "%s; %s",
			    fault.msg, why.msg);
		return 1;
	}
	/* Whoever was faster, the row tells. */
	return job_fetch_by_id(db, job->id, job, err);
}

void
job_judge(struct job *job)
{
	struct err why;

	if (job_is_final(job) || !is_gone(job, &why))
		return;
	job->state = JOB_FAILED;
	job->phase = PHASE_NONE;
	job->finished_at_ms = clock_utc_ms();
	job->error = why;
}

static int
read_holding(struct db *db, const char *app, const char *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_HOLDING, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
}

int
job_settle_app(struct db *db, const char *state_dir, const char *app,
    struct err *err)
{
	struct job batch[JOB_BATCH];
	char after[UUID_MAX] = "";
	struct err why;
	size_t i, len;

	do {
		if (read_holding(db, app, after, batch, &len, err) != 0)
			return -1;
		for (i = 0; i < len; i++) {
			if (is_gone(&batch[i], &why) && settle(db, state_dir,
			    &batch[i], &why, err) != 0)
				return -1;
			memcpy(after, batch[i].id, sizeof(after));
		}
	} while (len == JOB_BATCH);
	return 0;
}

int
job_settle(struct db *db, const char *state_dir, struct err *err)
{
	return job_settle_app(db, state_dir, NULL, err);
}

static void
describe_end(const struct job *job, int wait_status, struct err *out)
{
	char who[64] = "podprof-capture";
	const char *name;
	int code;

	if (job->runner.pid != JOB_UNKNOWN)
		(void)snprintf(who, sizeof(who), "podprof-capture (pid %lld)",
		    (long long)job->runner.pid);
	code = WIFEXITED(wait_status) ?
	    WEXITSTATUS(wait_status) - JOB_EXIT_ERROR : 0;
	if (code >= 1 && code <= ERR_CODE_MAX) {
		(void)err_set(out, (enum err_code)code, "%s could not write "
		    "down why it failed; its log lines tell", who);
		return;
	}
	if (!WIFSIGNALED(wait_status)) {
		(void)err_set(out, ERR_INTERRUPTED, "%s ended with exit "
		    "status %d without finishing the job; its log lines may "
		    "tell why; take it again", who, WEXITSTATUS(wait_status));
		return;
	}
	name = sigdescr_np(WTERMSIG(wait_status));
	(void)err_set(out, ERR_INTERRUPTED, "%s was killed by signal %d (%s) "
	    "before it finished the job; take it again", who,
	    WTERMSIG(wait_status), name != NULL ? name : "unknown");
}

int
job_settle_child(struct db *db, const char *state_dir, const char *id,
    int wait_status, struct err *err)
{
	struct err why;
	struct job job;
	int found;

	found = job_fetch_by_id(db, id, &job, err);
	if (found < 0)
		return -1;
	if (found == 0 || !job.holds_target)
		return 0;
	describe_end(&job, wait_status, &why);
	return settle(db, state_dir, &job, &why, err);
}

/* Where a batch of expired files begins. */
struct cursor {
	int64_t expires_at_ms;
	char id[UUID_MAX];
};

static int
read_expired(struct db *db, int64_t now_ms, const struct cursor *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_EXPIRED, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":after_ms", after->expires_at_ms, err) != 0 ||
	    db_bind_text(stmt, ":after", after->id, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
}

/* A file that cannot be removed does not keep the others; the first failure
 * is the one that is told. */
static int
sweep_expired(struct db *db, const char *state_dir, struct err *err)
{
	struct cursor after = { 0, "" };
	const int64_t now_ms = clock_utc_ms();
	struct job batch[JOB_BATCH];
	struct err fault;
	size_t i, len, n = 0;
	int rc = 0;

	do {
		if (read_expired(db, now_ms, &after, batch, &len, &fault) != 0)
			return err_set(err, fault.code, "%s", fault.msg);
		for (i = 0; i < len; i++) {
			/* Who reads it may finish; for others it is gone. */
			if (job_remove_files(db, state_dir, &batch[i],
			    REMOVED_EXPIRED, true, &fault) != 0 &&
			    fault.code != ERR_CONFLICT && rc == 0)
				rc = err_set(err, fault.code, "%s", fault.msg);
			after.expires_at_ms = batch[i].expires_at_ms;
			memcpy(after.id, batch[i].id, sizeof(after.id));
		}
		n += len;
	} while (len == JOB_BATCH && n < JOB_RETAIN_ROWS);
	return rc;
}

static int
read_littering(struct db *db, const char *after, struct job out[JOB_BATCH],
    size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_LITTERING, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
}

static int
sweep_litter(struct db *db, const char *state_dir, struct err *err)
{
	struct job batch[JOB_BATCH];
	char after[UUID_MAX] = "";
	struct err fault;
	size_t i, len;
	int rc = 0;

	do {
		if (read_littering(db, after, batch, &len, &fault) != 0)
			return err_set(err, fault.code, "%s", fault.msg);
		for (i = 0; i < len; i++) {
			if (job_remove_files(db, state_dir, &batch[i],
			    REMOVED_NOT, false, &fault) != 0 && rc == 0)
				rc = err_set(err, fault.code, "%s", fault.msg);
			memcpy(after, batch[i].id, sizeof(after));
		}
	} while (len == JOB_BATCH);
	return rc;
}

/* Looks before it takes the write lock, which is seldom needed. */
static int
delete_unaccepted(struct db *db, int64_t before_ms, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, JOB_HAS_UNACCEPTED, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":before", before_ms, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	if (rc != 1)
		return rc;
	if (db_prepare(db, JOB_DELETE_UNACCEPTED, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":before", before_ms, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_sweep(struct db *db, const char *state_dir, struct err *err)
{
	int rc, lock = -1;

	rc = job_lock_store(state_dir, 0, &lock, err);
	if (rc != 1)
		return rc;
	rc = sweep_expired(db, state_dir, err);
	if (sweep_litter(db, state_dir, rc == 0 ? err : NULL) != 0)
		rc = -1;
	if (delete_unaccepted(db, clock_utc_ms() - JOB_UNACCEPTED_MS,
	    rc == 0 ? err : NULL) != 0)
		rc = -1;
	file_unlock(&lock);
	return rc;
}
