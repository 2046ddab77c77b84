/*
 * Jobs: podprof-capture's side, from claim to the end.
 */
#include "job_parts.h"

#include <assert.h>

/* Another method counts its progress in another unit. */
#define SET_PLAN \
    "progress_done = iif(used_method IS :method, progress_done, NULL)," \
    " progress_total = iif(used_method IS :method, progress_total, NULL)," \
    " used_method = :method, attempts = :attempts," \
    " predicted_bytes = :predicted, predicted_peak_bytes = :predicted_peak," \
    " predicted_freeze_ms = :predicted_freeze"

#define RENEW_SHIELD \
    "shield_until_ms" \
    " = iif(shield_from_ms IS NULL, shield_until_ms, :lease)"

/* Every change that somebody may wait for counts in revision. */
static const char JOB_CLAIM[] =
    "UPDATE jobs SET state = 'running', phase = 'preflight',"
    " revision = revision + 1, started_at_ms = :now, lease_until_ms = :lease,"
    " runner_pid = :pid, runner_start_ticks = :ticks, runner_host = :host"
    " WHERE id = :id AND state = 'queued'";

static const char JOB_SET_TARGET[] =
    "UPDATE jobs SET revision = revision + 1, lease_until_ms = :lease,"
    " accepted_at_ms = coalesce(accepted_at_ms, :now), target_pid = :pid,"
    " target_node = :node, memory_before_bytes = :memory, " SET_PLAN
    " WHERE id = :id AND state = 'running'";

static const char JOB_SET_PLAN[] =
    "UPDATE jobs SET revision = revision + 1, lease_until_ms = :lease, "
    SET_PLAN " WHERE id = :id AND state = 'running'";

static const char JOB_SET_MEASURED[] =
    "UPDATE jobs SET revision = revision + 1, lease_until_ms = :lease,"
    " freeze_ms = coalesce(:freeze, freeze_ms),"
    " memory_peak_bytes = coalesce(:peak, memory_peak_bytes),"
    " memory_after_bytes = coalesce(:after, memory_after_bytes)"
    " WHERE id = :id AND (state = 'running'"
    " OR (finished_at_ms IS NOT NULL AND holds_target = 1))";

static const char JOB_SET_PROGRESS[] =
    "UPDATE jobs SET lease_until_ms = :lease, revision = revision"
    " + (phase IS NOT :phase OR progress_done IS NOT :done"
    " OR progress_total IS NOT :total OR progress_bytes IS NOT :bytes),"
    " phase = :phase, progress_done = :done, progress_total = :total,"
    " progress_bytes = :bytes, written_bytes = :written, " RENEW_SHIELD
    " WHERE id = :id AND state = 'running'";

static const char JOB_SUCCEED[] =
    "UPDATE jobs SET state = 'succeeded', phase = NULL,"
    " revision = revision + 1, finished_at_ms = :now, expires_at_ms = :expires,"
    " accepted_at_ms = coalesce(accepted_at_ms, :now), size_bytes = :size,"
    " sha256 = :sha256, stored_bytes = :stored,"
    " stored_sha256 = :stored_sha256, coding = :coding, holds_target = 0,"
    " reserved_bytes = 0, progress_bytes = :size"
    " WHERE id = :id AND state = 'running'";

static const char JOB_FAIL[] =
    "UPDATE jobs SET state = 'failed', phase = NULL, revision = revision + 1,"
    " finished_at_ms = :now, error = :error, error_detail = :detail,"
    " holds_target = :holds, reserved_bytes = 0"
    " WHERE id = :id AND state IN ('queued', 'running')";

static const char JOB_IS_RUNNING[] =
    "SELECT 1 FROM jobs WHERE id = :id AND state = 'running'";

static const char JOB_HOLD[] =
    "UPDATE jobs SET lease_until_ms = :lease, " RENEW_SHIELD
    " WHERE id = :id AND finished_at_ms IS NOT NULL AND holds_target = 1";

static const char JOB_RELEASE[] =
    "UPDATE jobs SET holds_target = 0 WHERE id = :id"
    " AND finished_at_ms IS NOT NULL AND holds_target = 1";

int
job_refuse_inactive(const char *id, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "job %.64s is not active any more: "
	    "it was given up or canceled", id);
}

/* The update that was run must have met a row. */
static int
check_active(const struct db *db, const char *id, struct err *err)
{
	return db_changes(db) == 1 ? 0 : job_refuse_inactive(id, err);
}

static int
run_on_active(struct db *db, struct db_stmt *stmt, const char *id,
    struct err *err)
{
	if (db_run(stmt, err) != 0)
		return -1;
	return check_active(db, id, err);
}

static int
run_last(struct db *db, const char *state_dir, struct db_stmt *stmt,
    const char *id, struct err *err)
{
	if (job_run_dire(state_dir, stmt, err) != 0)
		return -1;
	return check_active(db, id, err);
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
	found = job_fetch_by_id(db, id, &job, err);
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

static int
bind_plan(struct db_stmt *stmt, const struct job_plan *plan, struct err *err)
{
	struct buf attempts;
	int rc = -1;

	assert(job_attempts_are_sound(plan->attempts, plan->attempts_len));
	buf_init(&attempts, JOB_ATTEMPTS_TEXT_MAX);
	if (job_attempts_print(plan->attempts, plan->attempts_len, &attempts,
	    err) != 0)
		goto out;
	if (db_bind_text(stmt, ":attempts", buf_str(&attempts), err) != 0 ||
	    db_bind_text(stmt, ":method",
	    conf_method_name(plan->used_method), err) != 0 ||
	    job_bind_known(stmt, ":predicted", plan->predicted_bytes,
	    err) != 0 ||
	    job_bind_known(stmt, ":predicted_peak",
	    plan->predicted_peak_bytes, err) != 0 ||
	    job_bind_known(stmt, ":predicted_freeze",
	    plan->predicted_freeze_ms, err) != 0)
		goto out;
	rc = 0;
out:
	buf_fini(&attempts);
	return rc;
}

int
job_set_target(struct db *db, const char *id,
    const struct job_target *target, const struct job_plan *plan,
    struct err *err)
{
	char node[sizeof(((struct job *)NULL)->target_node)];
	struct db_stmt *stmt;

	/* The app says it, and may say anything. */
	(void)str_copy(node, sizeof(node),
	    target->node != NULL ? target->node : "");
	if (prepare_lease(db, JOB_SET_TARGET, id, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    job_bind_known(stmt, ":pid", target->pid, err) != 0 ||
	    db_bind_text(stmt, ":node", node, err) != 0 ||
	    job_bind_known(stmt, ":memory", target->memory_bytes, err) != 0 ||
	    bind_plan(stmt, plan, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_set_plan(struct db *db, const char *id, const struct job_plan *plan,
    struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_lease(db, JOB_SET_PLAN, id, &stmt, err) != 0 ||
	    bind_plan(stmt, plan, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_set_measured(struct db *db, const char *id,
    const struct job_measure *measure, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_lease(db, JOB_SET_MEASURED, id, &stmt, err) != 0 ||
	    job_bind_known(stmt, ":freeze", measure->freeze_ms, err) != 0 ||
	    job_bind_known(stmt, ":peak", measure->memory_peak_bytes,
	    err) != 0 ||
	    job_bind_known(stmt, ":after", measure->memory_after_bytes,
	    err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_set_progress(struct db *db, const char *id,
    const struct job_progress *progress, struct err *err)
{
	struct db_stmt *stmt;

	assert(progress->phase != PHASE_NONE &&
	    progress->phase != PHASE_DRAINING);
	if (prepare_lease(db, JOB_SET_PROGRESS, id, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":phase", job_phase_name(progress->phase),
	    err) != 0 ||
	    job_bind_known(stmt, ":done", progress->done, err) != 0 ||
	    job_bind_known(stmt, ":total", progress->total, err) != 0 ||
	    db_bind_int(stmt, ":bytes", progress->bytes, err) != 0 ||
	    db_bind_int(stmt, ":written", progress->written_bytes, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_succeed(struct db *db, const char *state_dir, const char *id,
    const struct job_result *result, struct err *err)
{
	const struct artifact_sum *sum = result->sum;
	int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;
	int rc;

	if (prepare_end(db, JOB_SUCCEED, id, now_ms, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":expires", now_ms + result->keep_ms, err) != 0 ||
	    db_bind_int(stmt, ":size", sum->size_bytes, err) != 0 ||
	    db_bind_text(stmt, ":sha256", sum->sha256, err) != 0 ||
	    db_bind_int(stmt, ":stored", sum->stored_bytes, err) != 0 ||
	    db_bind_text(stmt, ":stored_sha256", sum->stored_sha256,
	    err) != 0 ||
	    db_bind_text(stmt, ":coding", artifact_coding_name(sum->coding),
	    err) != 0 || db_set_durable(db, true, err) != 0)
		return -1;
	/* After a power cut, a file whose row did not say so would go. */
	rc = run_last(db, state_dir, stmt, id, err);
	(void)!db_set_durable(db, false, NULL);
	return rc;
}

static int
set_failed(struct db *db, const char *state_dir, const char *id,
    const struct err *why, bool holds_target, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_end(db, JOB_FAIL, id, clock_utc_ms(), &stmt, err) != 0 ||
	    db_bind_text(stmt, ":error", err_name(why->code), err) != 0 ||
	    db_bind_text(stmt, ":detail", why->msg, err) != 0 ||
	    db_bind_int(stmt, ":holds", holds_target, err) != 0)
		return -1;
	return run_last(db, state_dir, stmt, id, err);
}

int
job_fail(struct db *db, const char *state_dir, const char *id,
    const struct err *why, struct err *err)
{
	return set_failed(db, state_dir, id, why, false, err);
}

int
job_fail_holding(struct db *db, const char *state_dir, const char *id,
    const struct err *why, struct err *err)
{
	return set_failed(db, state_dir, id, why, true, err);
}

int
job_check_running(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, JOB_IS_RUNNING, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	if (rc == 0)
		return job_refuse_inactive(id, err);
	return rc < 0 ? -1 : 0;
}

int
job_hold(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_lease(db, JOB_HOLD, id, &stmt, err) != 0)
		return -1;
	return run_on_active(db, stmt, id, err);
}

int
job_release(struct db *db, const char *state_dir, const char *id,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_RELEASE, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return job_run_dire(state_dir, stmt, err);
}
