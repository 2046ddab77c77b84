/*
 * Jobs: the statements on the table of sql/0001_jobs.sql, the rules that need
 * more than one row, and settling what dead processes left.  The table itself
 * refuses what its state machine does not allow; the JSON of a job is made in
 * job_json.c.
 */
#define _GNU_SOURCE 1 /* sigdescr_np */
#include "job.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "migrate.h"

#define DB_NAME "podprof.db"

/* Rows looked at between two queries: what they need lies on the stack. */
#define BATCH 8

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static const char *const kind_names[] = {
	[JOB_HEAP_SNAPSHOT] = "heap-snapshot",
	[JOB_CPU_PROFILE] = "cpu-profile",
};
static const char *const extensions[] = {
	[JOB_HEAP_SNAPSHOT] = "heapsnapshot",
	[JOB_CPU_PROFILE] = "cpuprofile",
};
static const char *const state_names[] = {
	[JOB_QUEUED] = "queued",
	[JOB_RUNNING] = "running",
	[JOB_SUCCEEDED] = "succeeded",
	[JOB_FAILED] = "failed",
	[JOB_CANCELED] = "canceled",
};
static const char *const phase_names[] = {
	[PHASE_NONE] = NULL,
	[PHASE_PREFLIGHT] = "preflight",
	[PHASE_STARTING] = "starting",
	[PHASE_PROFILING] = "profiling",
	[PHASE_WRITING] = "writing",
	[PHASE_FINISHING] = "finishing",
};

/* The statements that read. */

static const char JOB_BY_ID[] = "SELECT * FROM jobs WHERE id = :id";

static const char JOB_ACTIVE[] =
    "SELECT * FROM jobs WHERE state IN ('queued', 'running')"
    " AND (:app IS NULL OR app = :app) AND id > :after"
    " ORDER BY id LIMIT :limit";

static const char JOB_ACTIVE_SNAPSHOT[] =
    "SELECT * FROM jobs WHERE state IN ('queued', 'running')"
    " AND app = :app AND pod = :pod AND kind = 'heap-snapshot'";

static const char JOB_COUNT_PROFILES[] =
    "SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running')"
    " AND app = :app AND pod = :pod AND kind <> 'heap-snapshot'";

static const char JOB_NEWEST_SNAPSHOT[] =
    "SELECT * FROM jobs WHERE app = :app AND pod = :pod"
    " AND kind = 'heap-snapshot' AND (accepted_at_ms IS NOT NULL"
    " OR state IN ('queued', 'running')) ORDER BY id DESC LIMIT 1";

static const char JOB_LIST[] =
    "SELECT * FROM jobs WHERE (accepted_at_ms IS NOT NULL"
    " OR state IN ('queued', 'running'))"
    " AND (:app IS NULL OR app = :app) AND (:pod IS NULL OR pod = :pod)"
    " AND (:kind IS NULL OR kind = :kind)"
    " AND (:state IS NULL OR state = :state)"
    " AND (:after IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit";

/* Also what failed and still has files: whoever settled it died too. */
static const char JOB_REMOVABLE[] =
    "SELECT * FROM jobs WHERE finished_at_ms IS NOT NULL"
    " AND removed_at_ms IS NULL AND (state <> 'succeeded'"
    " OR expires_at_ms <= :now OR delivered_at_ms <= :delivered)"
    " AND id > :after ORDER BY id LIMIT :limit";

static const char JOB_HAS_UNACCEPTED[] =
    "SELECT 1 FROM jobs WHERE accepted_at_ms IS NULL"
    " AND finished_at_ms IS NOT NULL AND finished_at_ms <= :before LIMIT 1";

/* Those that write.  What a waiter may wait for counts in revision. */

static const char JOB_INSERT[] =
    "INSERT INTO jobs (id, app, pod, kind, method, duration_ms, interval_us,"
    " force, requested_by, request_id, created_at_ms, lease_until_ms,"
    " artifact_name) VALUES (:id, :app, :pod, :kind, :method, :duration,"
    " :interval, :force, :requested_by, :request_id, :now, :lease, :name)";

static const char JOB_ACCEPT[] =
    "UPDATE jobs SET accepted_at_ms = :now WHERE id = :id"
    " AND accepted_at_ms IS NULL AND state IN ('queued', 'running')";

static const char JOB_DISCARD[] =
    "DELETE FROM jobs WHERE id = :id AND state = 'failed'"
    " AND accepted_at_ms IS NULL";

static const char JOB_CLAIM[] =
    "UPDATE jobs SET state = 'running', phase = 'preflight',"
    " revision = revision + 1, started_at_ms = :now, lease_until_ms = :lease,"
    " runner_pid = :pid, runner_start_ticks = :ticks, runner_host = :host"
    " WHERE id = :id AND state = 'queued'";

static const char JOB_SET_TARGET[] =
    "UPDATE jobs SET revision = revision + 1, lease_until_ms = :lease,"
    " accepted_at_ms = coalesce(accepted_at_ms, :now), target_pid = :pid,"
    " target_node = :node, used_method = :method,"
    " memory_before_bytes = :memory WHERE id = :id AND state = 'running'";

static const char JOB_SET_PROGRESS[] =
    "UPDATE jobs SET lease_until_ms = :lease, revision = revision"
    " + (phase IS NOT :phase OR progress_done IS NOT :done"
    " OR progress_total IS NOT :total OR progress_bytes IS NOT :bytes),"
    " phase = :phase, progress_done = :done, progress_total = :total,"
    " progress_bytes = :bytes WHERE id = :id AND state = 'running'";

static const char JOB_SUCCEED[] =
    "UPDATE jobs SET state = 'succeeded', phase = NULL,"
    " revision = revision + 1, finished_at_ms = :now, expires_at_ms = :expires,"
    " accepted_at_ms = coalesce(accepted_at_ms, :now), freeze_ms = :freeze,"
    " memory_after_bytes = :memory, size_bytes = :size, sha256 = :sha256,"
    " stored_bytes = :stored, stored_sha256 = :stored_sha256,"
    " progress_bytes = :size WHERE id = :id AND state = 'running'";

static const char JOB_FAIL[] =
    "UPDATE jobs SET state = 'failed', phase = NULL, revision = revision + 1,"
    " finished_at_ms = :now, error = :error, error_detail = :detail"
    " WHERE id = :id AND state IN ('queued', 'running')";

/* Nothing if its process has shown itself since the row was read. */
static const char JOB_INTERRUPT[] =
    "UPDATE jobs SET state = 'failed', phase = NULL, revision = revision + 1,"
    " finished_at_ms = :now, error = :error, error_detail = :detail"
    " WHERE id = :id AND state IN ('queued', 'running')"
    " AND revision = :revision AND lease_until_ms = :lease";

static const char JOB_DELIVER[] =
    "UPDATE jobs SET delivered_at_ms = :now WHERE id = :id"
    " AND state = 'succeeded' AND delivered_at_ms IS NULL";

static const char JOB_SET_REMOVED[] =
    "UPDATE jobs SET removed_at_ms = :now WHERE id = :id"
    " AND finished_at_ms IS NOT NULL AND removed_at_ms IS NULL";

static const char JOB_DELETE_UNACCEPTED[] =
    "DELETE FROM jobs WHERE accepted_at_ms IS NULL"
    " AND finished_at_ms IS NOT NULL AND finished_at_ms <= :before";

static int
word_index(const char *const *words, size_t len, const char *word)
{
	size_t i;

	if (word == NULL)
		return -1;
	for (i = 0; i < len; i++)
		if (words[i] != NULL && strcmp(words[i], word) == 0)
			return (int)i;
	return -1;
}

const char *
job_kind_name(enum job_kind kind)
{
	return kind_names[kind];
}

const char *
job_state_name(enum job_state state)
{
	return state_names[state];
}

const char *
job_phase_name(enum job_phase phase)
{
	return phase_names[phase];
}

int
job_kind_of_name(const char *name)
{
	return word_index(kind_names, LEN(kind_names), name);
}

int
job_state_of_name(const char *name)
{
	return word_index(state_names, LEN(state_names), name);
}

const char *
job_extension(enum job_kind kind)
{
	return extensions[kind];
}

bool
job_is_final(const struct job *job)
{
	return job->state != JOB_QUEUED && job->state != JOB_RUNNING;
}

bool
job_has_artifact(const struct job *job)
{
	return job->state == JOB_SUCCEEDED &&
	    job->removed_at_ms == JOB_UNKNOWN;
}

static int64_t
number(struct db_stmt *row, const char *column)
{
	return db_column_int(row, column, JOB_UNKNOWN);
}

static void
text(struct db_stmt *row, const char *column, char *out, size_t size)
{
	const char *value = db_column_text(row, column);

	/* What is written is bounded already; a longer one is cut. */
	(void)str_copy(out, size, value != NULL ? value : "");
}

/* Words that this program does not know: -1. */
static int
read_words(struct db_stmt *row, struct job *out)
{
	const char *phase = db_column_text(row, "phase");
	const char *used = db_column_text(row, "used_method");
	int kind = job_kind_of_name(db_column_text(row, "kind"));
	int state = job_state_of_name(db_column_text(row, "state"));
	int method = conf_method_of_name(db_column_text(row, "method"));
	int phase_index = phase == NULL ? PHASE_NONE :
	    word_index(phase_names, LEN(phase_names), phase);

	out->used_method = used == NULL ? JOB_UNKNOWN :
	    conf_method_of_name(used);
	if (kind < 0 || state < 0 || method < 0 || phase_index < 0 ||
	    (used != NULL && out->used_method < 0))
		return -1;
	out->kind = (enum job_kind)kind;
	out->state = (enum job_state)state;
	out->method = (enum conf_method)method;
	out->phase = (enum job_phase)phase_index;
	return 0;
}

static void
read_runner(struct db_stmt *row, struct job *out)
{
	out->runner.pid = number(row, "runner_pid");
	out->runner.start_ticks = number(row, "runner_start_ticks");
	text(row, "runner_host", out->runner.host, sizeof(out->runner.host));
	out->lease_until_ms = number(row, "lease_until_ms");
}

static void
read_findings(struct db_stmt *row, struct job *out)
{
	out->target_pid = number(row, "target_pid");
	text(row, "target_node", out->target_node, sizeof(out->target_node));
	out->progress_done = number(row, "progress_done");
	out->progress_total = number(row, "progress_total");
	out->progress_bytes = number(row, "progress_bytes");
	out->freeze_ms = number(row, "freeze_ms");
	out->memory_before_bytes = number(row, "memory_before_bytes");
	out->memory_peak_bytes = number(row, "memory_peak_bytes");
	out->memory_after_bytes = number(row, "memory_after_bytes");
}

static void
read_artifact(struct db_stmt *row, struct job *out)
{
	text(row, "artifact_name", out->artifact_name,
	    sizeof(out->artifact_name));
	out->sum.size_bytes = number(row, "size_bytes");
	text(row, "sha256", out->sum.sha256, sizeof(out->sum.sha256));
	out->sum.stored_bytes = number(row, "stored_bytes");
	text(row, "stored_sha256", out->sum.stored_sha256,
	    sizeof(out->sum.stored_sha256));
	out->delivered_at_ms = number(row, "delivered_at_ms");
	out->removed_at_ms = number(row, "removed_at_ms");
}

static int
read_row(struct db_stmt *row, struct job *out, struct err *err)
{
	memset(out, 0, sizeof(*out));
	text(row, "id", out->id, sizeof(out->id));
	if (read_words(row, out) != 0)
		return err_set(err, ERR_STATE, "job %s: its row has words "
		    "that this podprof does not know", out->id);
	text(row, "app", out->app, sizeof(out->app));
	text(row, "pod", out->pod, sizeof(out->pod));
	out->revision = number(row, "revision");
	out->duration_ms = number(row, "duration_ms");
	out->interval_us = number(row, "interval_us");
	out->force = number(row, "force") == 1;
	text(row, "requested_by", out->requested_by,
	    sizeof(out->requested_by));
	text(row, "request_id", out->request_id, sizeof(out->request_id));
	out->created_at_ms = number(row, "created_at_ms");
	out->accepted_at_ms = number(row, "accepted_at_ms");
	out->started_at_ms = number(row, "started_at_ms");
	out->finished_at_ms = number(row, "finished_at_ms");
	out->expires_at_ms = number(row, "expires_at_ms");
	read_runner(row, out);
	read_findings(row, out);
	read_artifact(row, out);
	if (!db_column_is_null(row, "error")) {
		out->error.code = err_code_of_name(
		    db_column_text(row, "error"));
		text(row, "error_detail", out->error.msg,
		    sizeof(out->error.msg));
	}
	return 0;
}

/* The first row of a bound statement: 1, or 0 if there is none, or -1. */
static int
fetch(struct db_stmt *stmt, struct job *out, struct err *err)
{
	int rc = db_step(stmt, err);

	if (rc == 1 && read_row(stmt, out, err) != 0)
		rc = -1;
	db_done(stmt);
	return rc;
}

static int
fetch_by_id(struct db *db, const char *id, struct job *out, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_BY_ID, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return fetch(stmt, out, err);
}

/* Up to BATCH rows of a bound statement. */
static int
fetch_batch(struct db_stmt *stmt, struct job out[BATCH], size_t *ret_len,
    struct err *err)
{
	size_t len = 0;
	int rc;

	while ((rc = db_step(stmt, err)) == 1) {
		assert(len < BATCH);
		rc = read_row(stmt, &out[len], err);
		if (rc != 0)
			break;
		len++;
	}
	db_done(stmt);
	if (rc != 0)
		return -1;
	*ret_len = len;
	return 0;
}

/* JOB_UNKNOWN becomes NULL. */
static int
bind_known(struct db_stmt *stmt, const char *name, int64_t value,
    struct err *err)
{
	if (value == JOB_UNKNOWN)
		return db_bind_null(stmt, name, err);
	return db_bind_int(stmt, name, value, err);
}

/* A lease that lies too far ahead was given before the clock was set back. */
static bool
is_lease_over(const struct job *job)
{
	int64_t left_ms = job->lease_until_ms - clock_utc_ms();

	return left_ms <= 0 || left_ms >
	    (job->state == JOB_QUEUED ? JOB_QUEUE_MS : JOB_LEASE_MS);
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
		break;
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

static int
read_active(struct db *db, const char *app, const char *after,
    struct job out[BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_ACTIVE, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":limit", BATCH, err) != 0)
		return -1;
	return fetch_batch(stmt, out, ret_len, err);
}

/* Of one app, or with NULL of all.  Holds no lock while it looks at
 * processes. */
static int
settle(struct db *db, const char *state_dir, const char *app, struct err *err)
{
	struct job batch[BATCH];
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
	} while (len == BATCH);
	return 0;
}

int
job_settle(struct db *db, const char *state_dir, struct err *err)
{
	return settle(db, state_dir, NULL, err);
}

static void
describe_end(const struct job *job, int wait_status, struct err *out)
{
	char who[64] = "podprof-capture";
	const char *name;

	if (job->runner.pid != JOB_UNKNOWN)
		(void)snprintf(who, sizeof(who), "podprof-capture (pid %lld)",
		    (long long)job->runner.pid);
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

	found = fetch_by_id(db, id, &job, err);
	if (found < 0)
		return -1;
	if (found == 0 || job_is_final(&job))
		return 0;
	describe_end(&job, wait_status, &why);
	return interrupt(db, state_dir, &job, &why, err);
}

int
job_open_db(const char *state_dir, struct db **ret_db, struct err *err)
{
	char path[ARTIFACT_PATH_MAX];
	struct db *db = NULL;

	if (snprintf(path, sizeof(path), "%s/" DB_NAME, state_dir) >=
	    (int)sizeof(path))
		return err_set(err, ERR_STATE, "%s: path too long", state_dir);
	if (db_open(path, &db, err) != 0)
		return -1;
	if (migrate_run(db, err) != 0) {
		db_close(&db);
		return err_wrap(err, "%s", path);
	}
	*ret_db = db;
	return 0;
}

/* May this order run now?  On ERR_CONFLICT *ret_blocking is in the way. */
static int
check_room(struct db *db, const struct job_order *order,
    struct job *ret_blocking, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	int rc;

	if (db_prepare(db, JOB_ACTIVE_SNAPSHOT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0)
		return -1;
	rc = fetch(stmt, ret_blocking, err);
	if (rc < 0)
		return -1;
	if (rc == 1)
		return err_set(err, ERR_CONFLICT, "Snapshot already "
		    "generating: job %s of app %s is %s; order again when it "
		    "is finished", ret_blocking->id, order->app,
		    job_state_name(ret_blocking->state));
	if (order->kind == JOB_HEAP_SNAPSHOT)
		return 0;
	if (db_prepare(db, JOB_COUNT_PROFILES, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		n = db_column_int(stmt, "n", 0);
	db_done(stmt);
	if (rc < 0)
		return -1;
	if (n >= order->profiles_max)
		return err_set(err, ERR_LIMIT, "%lld profiles of app %s are "
		    "running, as many as [limits] profiles allows; order "
		    "again when one is finished", (long long)n, order->app);
	return 0;
}

/* "POD-20261122T202500Z.heapsnapshot", fit for a file name whatever the pod
 * is called. */
static void
make_artifact_name(const struct job_order *order, int64_t now_ms,
    char out[JOB_ARTIFACT_NAME_MAX])
{
	char pod[JOB_POD_MAX], time[CLOCK_COMPACT_MAX];
	char *c;

	(void)str_copy(pod, sizeof(pod), order->pod);
	for (c = pod; *c != '\0'; c++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		    "0123456789._-", *c) == NULL)
			*c = '_';
	clock_format_compact(now_ms, time);
	(void)snprintf(out, JOB_ARTIFACT_NAME_MAX, "%s-%s.%s", pod, time,
	    job_extension(order->kind));
}

static int
insert(struct db *db, const struct job_order *order, const char *id,
    struct err *err)
{
	char name[JOB_ARTIFACT_NAME_MAX];
	char requested_by[sizeof(((struct job *)NULL)->requested_by)];
	char request_id[sizeof(((struct job *)NULL)->request_id)];
	int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;

	make_artifact_name(order, now_ms, name);
	(void)str_copy(requested_by, sizeof(requested_by),
	    order->requested_by);
	(void)str_copy(request_id, sizeof(request_id), order->request_id);
	if (db_prepare(db, JOB_INSERT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0 ||
	    db_bind_text(stmt, ":kind", job_kind_name(order->kind), err) != 0 ||
	    db_bind_text(stmt, ":method", conf_method_name(order->method),
	    err) != 0 ||
	    bind_known(stmt, ":duration", order->duration_ms, err) != 0 ||
	    bind_known(stmt, ":interval", order->interval_us, err) != 0 ||
	    db_bind_int(stmt, ":force", order->force, err) != 0 ||
	    db_bind_text(stmt, ":requested_by", requested_by, err) != 0 ||
	    db_bind_text(stmt, ":request_id", request_id, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":lease", now_ms + JOB_QUEUE_MS, err) != 0 ||
	    db_bind_text(stmt, ":name", name, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_create(struct db *db, const char *state_dir,
    const struct job_order *order, struct job *ret_job, struct err *err)
{
	char id[UUID_MAX];
	struct job job;
	struct err why;

	/* Before the lock is taken, as it looks at processes. */
	if (settle(db, state_dir, order->app, err) != 0)
		return -1;
	if (db_begin(db, err) != 0)
		return -1;
	if (check_room(db, order, &job, &why) != 0) {
		db_rollback(db);
		if (why.code == ERR_CONFLICT)
			*ret_job = job;
		return err_set(err, why.code, "%s", why.msg);
	}
	if (uuid_v7(id, err) != 0 || insert(db, order, id, err) != 0 ||
	    fetch_by_id(db, id, &job, err) != 1 || db_commit(db, err) != 0) {
		db_rollback(db);
		return -1;
	}
	*ret_job = job;
	return 0;
}

static int
set_accepted(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_ACCEPT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_accept(struct db *db, const char *id, struct job *ret_job,
    struct err *err)
{
	struct job job;
	int found, rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (set_accepted(db, id, err) != 0)
		goto out;
	found = fetch_by_id(db, id, &job, err);
	if (found == 0)
		(void)err_set(err, ERR_NOT_FOUND,
		    "there is no job \"%.64s\"", id);
	if (found != 1 || db_commit(db, err) != 0)
		goto out;
	*ret_job = job;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
job_discard(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DISCARD, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_get(struct db *db, const char *state_dir, const char *app,
    const char *pod, const char *id, struct job *ret_job, struct err *err)
{
	struct err why;
	struct job job;
	int found;

	found = fetch_by_id(db, id, &job, err);
	if (found == 1 && (strcmp(job.app, app) != 0 ||
	    strcmp(job.pod, pod) != 0))
		found = 0;
	if (found == 1 && !job_is_final(&job) && is_gone(&job, &why)) {
		if (interrupt(db, state_dir, &job, &why, err) != 0)
			return -1;
		found = fetch_by_id(db, id, &job, err);
	}
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no job \"%.64s\" "
		    "of app %s on pod %s", id, app, pod);
	*ret_job = job;
	return 0;
}

int
job_newest_snapshot(struct db *db, const char *state_dir, const char *app,
    const char *pod, struct job *ret_job, struct err *err)
{
	struct db_stmt *stmt;
	struct job job;
	int found;

	if (settle(db, state_dir, app, err) != 0 ||
	    db_prepare(db, JOB_NEWEST_SNAPSHOT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	found = fetch(stmt, &job, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no heap snapshot of app "
		    "%s was taken on pod %s", app, pod);
	*ret_job = job;
	return 0;
}

static int
bind_filter(struct db_stmt *stmt, const struct job_filter *filter,
    struct err *err)
{
	const char *kind = NULL, *state = NULL;

	if (filter->kind >= 0)
		kind = job_kind_name((enum job_kind)filter->kind);
	if (filter->state >= 0)
		state = job_state_name((enum job_state)filter->state);
	if (db_bind_text(stmt, ":app", filter->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", filter->pod, err) != 0 ||
	    db_bind_text(stmt, ":kind", kind, err) != 0 ||
	    db_bind_text(stmt, ":state", state, err) != 0 ||
	    db_bind_text(stmt, ":after", filter->after, err) != 0)
		return -1;
	/* One more than asked for, to know whether there are more. */
	return db_bind_int(stmt, ":limit", filter->limit + 1, err);
}

int
job_list(struct db *db, const char *state_dir,
    const struct job_filter *filter, job_visit_fn *visit, void *ctx,
    bool *ret_more, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	struct job job;
	int rc;

	assert(filter->limit >= 1 && filter->limit <= JOB_LIST_MAX);
	if (settle(db, state_dir, filter->app, err) != 0 ||
	    db_prepare(db, JOB_LIST, &stmt, err) != 0 ||
	    bind_filter(stmt, filter, err) != 0)
		return -1;
	while ((rc = db_step(stmt, err)) == 1 && n++ < filter->limit) {
		if (read_row(stmt, &job, err) != 0 ||
		    visit(ctx, &job, err) != 0) {
			rc = -1;
			break;
		}
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	*ret_more = rc == 1;
	return 0;
}

/* Run an update that must meet one row. */
static int
run_on_active(struct db *db, struct db_stmt *stmt, const char *id,
    struct err *err)
{
	if (db_run(stmt, err) != 0)
		return -1;
	if (db_changes(db) != 1)
		return err_set(err, ERR_CONFLICT, "job %.64s is not active "
		    "any more: it was given up or canceled", id);
	return 0;
}

static int
prepare_lease(struct db *db, const char *sql, const char *id,
    struct db_stmt **ret_stmt, struct err *err)
{
	if (db_prepare(db, sql, ret_stmt, err) != 0 ||
	    db_bind_text(*ret_stmt, ":id", id, err) != 0)
		return -1;
	return db_bind_int(*ret_stmt, ":lease",
	    clock_utc_ms() + JOB_LEASE_MS, err);
}

static int
prepare_end(struct db *db, const char *sql, const char *id, int64_t now_ms,
    struct db_stmt **ret_stmt, struct err *err)
{
	if (db_prepare(db, sql, ret_stmt, err) != 0 ||
	    db_bind_text(*ret_stmt, ":id", id, err) != 0)
		return -1;
	return db_bind_int(*ret_stmt, ":now", now_ms, err);
}

static int
set_claimed(struct db *db, const char *id, const struct proc *runner,
    struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_lease(db, JOB_CLAIM, id, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_int(stmt, ":pid", runner->pid, err) != 0 ||
	    db_bind_int(stmt, ":ticks", runner->start_ticks, err) != 0 ||
	    db_bind_text(stmt, ":host", runner->host, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_claim(struct db *db, const char *id, const struct proc *runner,
    struct job *ret_job, struct err *err)
{
	int found, rc = -1;
	struct job job;
	bool claimed;

	if (db_begin(db, err) != 0)
		return -1;
	if (set_claimed(db, id, runner, err) != 0)
		goto out;
	claimed = db_changes(db) == 1;
	found = fetch_by_id(db, id, &job, err);
	if (found < 0)
		goto out;
	if (!claimed) {
		(void)err_set(err, ERR_CONFLICT, "job %.64s is %s, so it "
		    "cannot be begun", id,
		    found == 1 ? job_state_name(job.state) : "not there");
		goto out;
	}
	if (db_commit(db, err) != 0)
		goto out;
	*ret_job = job;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
job_set_target(struct db *db, const char *id,
    const struct job_target *target, struct err *err)
{
	char node[sizeof(((struct job *)NULL)->target_node)];
	struct db_stmt *stmt;

	/* The app says it, and may say anything. */
	(void)str_copy(node, sizeof(node),
	    target->node != NULL ? target->node : "");
	if (prepare_lease(db, JOB_SET_TARGET, id, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    bind_known(stmt, ":pid", target->pid, err) != 0 ||
	    db_bind_text(stmt, ":node", node, err) != 0 ||
	    db_bind_text(stmt, ":method",
	    conf_method_name(target->used_method), err) != 0 ||
	    bind_known(stmt, ":memory", target->memory_bytes, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_set_progress(struct db *db, const char *id,
    const struct job_progress *progress, struct err *err)
{
	struct db_stmt *stmt;

	assert(progress->phase != PHASE_NONE);
	if (prepare_lease(db, JOB_SET_PROGRESS, id, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":phase", job_phase_name(progress->phase),
	    err) != 0 ||
	    bind_known(stmt, ":done", progress->done, err) != 0 ||
	    bind_known(stmt, ":total", progress->total, err) != 0 ||
	    db_bind_int(stmt, ":bytes", progress->bytes == JOB_UNKNOWN ?
	    0 : progress->bytes, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_succeed(struct db *db, const char *id, const struct job_result *result,
    struct err *err)
{
	const struct artifact_sum *sum = result->sum;
	int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;

	if (prepare_end(db, JOB_SUCCEED, id, now_ms, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":expires", now_ms + result->keep_ms, err) != 0 ||
	    bind_known(stmt, ":freeze", result->freeze_ms, err) != 0 ||
	    bind_known(stmt, ":memory", result->memory_after_bytes,
	    err) != 0 ||
	    db_bind_int(stmt, ":size", sum->size_bytes, err) != 0 ||
	    db_bind_text(stmt, ":sha256", sum->sha256, err) != 0 ||
	    db_bind_int(stmt, ":stored", sum->stored_bytes, err) != 0 ||
	    db_bind_text(stmt, ":stored_sha256", sum->stored_sha256,
	    err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_fail(struct db *db, const char *id, const struct err *why,
    struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_end(db, JOB_FAIL, id, clock_utc_ms(), &stmt, err) != 0 ||
	    db_bind_text(stmt, ":error", err_name(why->code), err) != 0 ||
	    db_bind_text(stmt, ":detail", why->msg, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_deliver(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_end(db, JOB_DELIVER, id, clock_utc_ms(), &stmt, err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
read_removable(struct db *db, int64_t now_ms, int64_t grace_ms,
    const char *after, struct job out[BATCH], size_t *ret_len,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_REMOVABLE, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":delivered", now_ms - grace_ms, err) != 0 ||
	    db_bind_text(stmt, ":after", after, err) != 0 ||
	    db_bind_int(stmt, ":limit", BATCH, err) != 0)
		return -1;
	return fetch_batch(stmt, out, ret_len, err);
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
job_sweep(struct db *db, const char *state_dir, int64_t grace_ms,
    struct err *err)
{
	int64_t now_ms = clock_utc_ms();
	struct job batch[BATCH];
	char after[UUID_MAX] = "";
	size_t i, len;
	int rc = 0;

	/* A file that cannot be removed does not keep the others; the first
	 * failure is the one that is told. */
	do {
		if (read_removable(db, now_ms, grace_ms, after, batch, &len,
		    rc == 0 ? err : NULL) != 0)
			return -1;
		for (i = 0; i < len; i++) {
			if (remove_files(db, state_dir, &batch[i],
			    rc == 0 ? err : NULL) != 0)
				rc = -1;
			memcpy(after, batch[i].id, sizeof(after));
		}
	} while (len == BATCH);
	if (delete_unaccepted(db, now_ms - JOB_UNACCEPTED_MS,
	    rc == 0 ? err : NULL) != 0)
		rc = -1;
	return rc;
}
