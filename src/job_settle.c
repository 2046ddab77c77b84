/*
 * Jobs: settling what dead processes left, and sweeping what is over.
 */
#include "job_parts.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char JOB_ACTIVE[] =
    "SELECT * FROM jobs INDEXED BY jobs_active"
    " WHERE state IN ('queued', 'running')"
    " AND (:app IS NULL OR app = :app) AND id > :after"
    " ORDER BY id LIMIT :limit";

/* Nothing if its process has shown itself since the row was read. */
static const char JOB_INTERRUPT[] =
    "UPDATE jobs SET state = 'failed', phase = NULL, revision = revision + 1,"
    " finished_at_ms = :now, error = :error, error_detail = :detail"
    " WHERE id = :id AND state IN ('queued', 'running')"
    " AND revision = :revision AND lease_until_ms = :lease";

static const char JOB_SET_REMOVED[] =
    "UPDATE jobs SET removed_at_ms = :now WHERE id = :id"
    " AND finished_at_ms IS NOT NULL AND removed_at_ms IS NULL";

/* Also what failed and still has files: whoever settled it died too. */
static const char JOB_REMOVABLE[] =
    "SELECT * FROM jobs WHERE finished_at_ms IS NOT NULL"
    " AND removed_at_ms IS NULL AND (state <> 'succeeded'"
    " OR expires_at_ms <= :now)"
    " AND id > :after ORDER BY id LIMIT :limit";

static const char JOB_HAS_UNACCEPTED[] =
    "SELECT 1 FROM jobs WHERE accepted_at_ms IS NULL"
    " AND finished_at_ms IS NOT NULL AND finished_at_ms <= :before LIMIT 1";

static const char JOB_DELETE_UNACCEPTED[] =
    "DELETE FROM jobs WHERE accepted_at_ms IS NULL"
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

/* Whether nobody works on an active job any more; then *ret_why says it. */
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

static int
set_removed(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_SET_REMOVED, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
remove_files(struct db *db, const char *state_dir, const struct job *job,
    struct err *err)
{
	if (artifact_remove(state_dir, job->id, job_extension(job->kind),
	    err) != 0)
		return -1;
	return set_removed(db, job->id, err);
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
	    db_run(stmt, err) != 0)
		return -1;
	if (db_changes(db) == 1)
		/* The job is settled; files that stay are job_sweep()'s to
		 * remove, or to complain of. */
		(void)!remove_files(db, state_dir, job, NULL);
	return 0;
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
read_active(struct db *db, const char *app, const char *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_ACTIVE, &stmt, err) != 0 ||
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
		if (read_active(db, app, after, batch, &len, err) != 0)
			return -1;
		for (i = 0; i < len; i++) {
			if (is_gone(&batch[i], &why) && interrupt(db,
			    state_dir, &batch[i], &why, err) != 0)
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
	if (found == 0 || job_is_final(&job))
		return 0;
	describe_end(&job, wait_status, &why);
	return interrupt(db, state_dir, &job, &why, err);
}

static int
read_removable(struct db *db, int64_t now_ms, const char *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_REMOVABLE, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_text(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
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
	int64_t now_ms = clock_utc_ms();
	struct job batch[JOB_BATCH];
	char after[UUID_MAX] = "";
	size_t i, len;
	int rc = 0;

	/* A file that cannot be removed does not keep the others; the first
	 * failure is the one that is told. */
	do {
		if (read_removable(db, now_ms, after, batch, &len,
		    rc == 0 ? err : NULL) != 0)
			return -1;
		for (i = 0; i < len; i++) {
			if (remove_files(db, state_dir, &batch[i],
			    rc == 0 ? err : NULL) != 0)
				rc = -1;
			memcpy(after, batch[i].id, sizeof(after));
		}
	} while (len == JOB_BATCH);
	if (delete_unaccepted(db, now_ms - JOB_UNACCEPTED_MS,
	    rc == 0 ? err : NULL) != 0)
		rc = -1;
	return rc;
}
