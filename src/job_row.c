/*
 * Jobs: their words, and the way from a row to a struct job.
 */
#include "job_parts.h"

#include <assert.h>
#include <string.h>

#include "ballast.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static const char *const kind_names[] = {
	[JOB_HEAP_SNAPSHOT] = "heap-snapshot",
	[JOB_CPU_PROFILE] = "cpu-profile",
	[JOB_HEAP_PROFILE] = "heap-profile",
};
static const char *const extensions[] = {
	[JOB_HEAP_SNAPSHOT] = "heapsnapshot",
	[JOB_CPU_PROFILE] = "cpuprofile",
	[JOB_HEAP_PROFILE] = "heapprofile",
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
	[PHASE_DRAINING] = "draining",
	[PHASE_STARTING] = "starting",
	[PHASE_PROFILING] = "profiling",
	[PHASE_WRITING] = "writing",
	[PHASE_FINISHING] = "finishing",
};

static const char *const removal_names[] = {
	[REMOVED_NOT] = NULL,
	[REMOVED_EXPIRED] = "expired",
	[REMOVED_ROOM] = "room",
	[REMOVED_LOST] = "lost",
};

static const char JOB_BY_ID[] = "SELECT * FROM jobs WHERE id = :id";

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

const char *
job_removal_name(enum job_removal removal)
{
	return removal_names[removal];
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
job_is_extension(const char *extension)
{
	return word_index(extensions, LEN(extensions), extension) >= 0;
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
	    job->removed_at_ms == JOB_UNKNOWN &&
	    job->expires_at_ms > clock_utc_ms();
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
	const char *coding = db_column_text(row, "coding");
	const char *removal = db_column_text(row, "removed_because");
	int coding_index = coding == NULL ? ARTIFACT_IDENTITY :
	    artifact_coding_of_name(coding);
	int removal_index = removal == NULL ? REMOVED_NOT :
	    word_index(removal_names, LEN(removal_names), removal);

	out->used_method = used == NULL ? JOB_UNKNOWN :
	    conf_method_of_name(used);
	if (kind < 0 || state < 0 || method < 0 || phase_index < 0 ||
	    coding_index < 0 || removal_index < 0 ||
	    (used != NULL && out->used_method < 0))
		return -1;
	out->kind = (enum job_kind)kind;
	out->state = (enum job_state)state;
	out->method = (enum conf_method)method;
	out->phase = (enum job_phase)phase_index;
	out->sum.coding = (enum artifact_coding)coding_index;
	out->removed_because = (enum job_removal)removal_index;
	return 0;
}

static void
read_runner(struct db_stmt *row, struct job *out)
{
	out->runner.pid = number(row, "runner_pid");
	out->runner.start_ticks = number(row, "runner_start_ticks");
	text(row, "runner_host", out->runner.host, sizeof(out->runner.host));
	out->lease_until_ms = number(row, "lease_until_ms");
	out->holds_target = number(row, "holds_target") == 1;
	out->drain_until_ms = number(row, "drain_until_ms");
	/* The column of the phase has no word for it. */
	if (out->state == JOB_RUNNING && out->drain_until_ms != JOB_UNKNOWN)
		out->phase = PHASE_DRAINING;
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
	out->predicted_bytes = number(row, "predicted_bytes");
	out->predicted_peak_bytes = number(row, "predicted_peak_bytes");
	out->predicted_freeze_ms = number(row, "predicted_freeze_ms");
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
	text(row, "idempotency_sha256", out->key_sha256,
	    sizeof(out->key_sha256));
}

int
job_read_row(struct db_stmt *row, struct job *out, struct err *err)
{
	memset(out, 0, sizeof(*out));
	out->seq = number(row, "seq");
	text(row, "id", out->id, sizeof(out->id));
	if (read_words(row, out) != 0)
		return err_set(err, ERR_STORE, "job %s: its row has words "
		    "that this podprof does not know", out->id);
	if (job_attempts_read(db_column_text(row, "attempts"), out, err) != 0)
		return -1;
	text(row, "app", out->app, sizeof(out->app));
	text(row, "pod", out->pod, sizeof(out->pod));
	out->revision = number(row, "revision");
	out->duration_ms = number(row, "duration_ms");
	out->interval_us = number(row, "interval_us");
	out->sampling_bytes = number(row, "sampling_bytes");
	out->live = number(row, "live") == 1;
	out->force = number(row, "force") == 1;
	text(row, "worker", out->worker, sizeof(out->worker));
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

int
job_fetch(struct db_stmt *stmt, struct job *out, struct err *err)
{
	int rc = db_step(stmt, err);

	if (rc == 1 && job_read_row(stmt, out, err) != 0)
		rc = -1;
	db_done(stmt);
	return rc;
}

int
job_fetch_by_id(struct db *db, const char *id, struct job *out,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_BY_ID, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return job_fetch(stmt, out, err);
}

int
job_fetch_batch(struct db_stmt *stmt, struct job out[JOB_BATCH],
    size_t *ret_len, struct err *err)
{
	size_t len = 0;
	int rc;

	while ((rc = db_step(stmt, err)) == 1) {
		assert(len < JOB_BATCH);
		rc = job_read_row(stmt, &out[len], err);
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

int
job_bind_known(struct db_stmt *stmt, const char *name, int64_t value,
    struct err *err)
{
	if (value == JOB_UNKNOWN)
		return db_bind_null(stmt, name, err);
	return db_bind_int(stmt, name, value, err);
}

int
job_run_dire(const char *state_dir, struct db_stmt *stmt, struct err *err)
{
	struct err fault;

	if (db_run(stmt, &fault) == 0)
		return 0;
	/* What was bound is still there. */
	if (fault.code == ERR_SPACE && ballast_drop(state_dir))
		return db_run(stmt, err);
	return err_set(err, fault.code, "%s", fault.msg);
}
