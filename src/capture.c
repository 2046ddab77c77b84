/*
 * The frame around every kind of capture: who the app is, where the bytes go,
 * what the job's row is told, and what is undone when something fails.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "proc.h"
#include "str.h"

/* By enum job_kind. */
static const struct capture_kind *const kinds[] = {
	[JOB_HEAP_SNAPSHOT] = &capture_heap_snapshot,
	[JOB_CPU_PROFILE] = &capture_cpu_profile,
	[JOB_HEAP_PROFILE] = &capture_heap_profile,
};

static const struct err canceled = { ERR_CONFLICT, "the job was canceled" };

/* What can last is told once, until something else is the matter. */
static void
warn_once(struct capture *c, const char *what, const struct err *fault)
{
	if (strcmp(c->warned.msg, fault->msg) == 0)
		return;
	log_warn("capture", "%s: %s", what, fault->msg);
	c->warned = *fault;
}

static bool
progress_equal(const struct job_progress *a, const struct job_progress *b)
{
	return a->phase == b->phase && a->done == b->done &&
	    a->total == b->total && a->bytes == b->bytes;
}

/* The row says that it is over; what V8 goes on sending is thrown away. */
static void
discard(struct capture *c, const struct err *why)
{
	log_info("capture", "%s%s", why->msg,
	    c->is_unstoppable ? "; waiting for the app to thaw" : "");
	c->is_over = true;
	c->why = *why;
	artifact_abandon(&c->artifact);
}

/*
 * The job is not active any more: canceled, or settled by somebody who took us
 * for dead.  A canceled one goes on, with its bytes thrown away, where V8 does.
 */
static int
give_up(struct capture *c, const struct err *why, struct err *err)
{
	struct err fault;

	if (job_hold(c->db, c->job.id, &fault) != 0) {
		if (fault.code == ERR_CONFLICT)
			return err_set(err, why->code, "%s", why->msg);
		/* A database that is busy for a moment. */
		warn_once(c, "lease not renewed", &fault);
	}
	if (!c->is_over)
		discard(c, &canceled);
	if (c->is_unstoppable)
		return 0;
	c->verdict = VERDICT_FINAL;
	return err_set(err, ERR_CONFLICT, "%s", canceled.msg);
}

/* Where V8 does not stop, the failure is told of now, and V8 waited for all the
 * same, or the next snapshot would freeze the app again. */
int
capture_fail(struct capture *c, const struct err *why, struct err *err)
{
	struct err fault;

	c->verdict = VERDICT_FINAL;
	if (!c->is_unstoppable)
		return err_set(err, why->code, "%s", why->msg);
	/* The file first: on a full disk its room is what the row needs. */
	artifact_abandon(&c->artifact);
	if (job_fail_holding(c->db, c->conf->state_dir, c->job.id, why,
		&fault) != 0) {
		if (fault.code == ERR_CONFLICT)
			return give_up(c, &fault, err);
		return err_set(err, why->code, "%s", why->msg);
	}
	discard(c, why);
	return 0;
}

/*
 * Tell the row.  Only a job that is no longer ours ends the capture: a
 * database that is busy for a moment must not.
 */
static int
tell(struct capture *c, struct err *err)
{
	struct err fault;

	c->told_ms = clock_mono_ms();
	if (c->is_over)
		return give_up(c, &c->why, err);
	if (job_set_progress(c->db, c->job.id, &c->progress, &fault) == 0) {
		c->told = c->progress;
		return 0;
	}
	if (fault.code == ERR_CONFLICT)
		return give_up(c, &fault, err);
	warn_once(c, "progress not recorded", &fault);
	return 0;
}

static int64_t
at_most(int64_t value, int64_t max)
{
	return value < max ? value : max;
}

/* Have so much of the store for the file. */
static int
reserve(struct capture *c, int64_t bytes, struct err *err)
{
	if (job_reserve(c->db, c->conf->state_dir, &c->limits, c->job.id,
		bytes, c->progress.written_bytes, err) != 0)
		return -1;
	c->reserved_bytes = bytes;
	return 0;
}

/* The file has outgrown its reservation: ahead by some, or else by little. */
static int
reserve_more(struct capture *c, struct err *err)
{
	const int64_t written = c->progress.written_bytes;
	struct err fault;
	int rc;

	rc = reserve(c, written + CAPTURE_STEP_MIN_BYTES + at_most(written / 4,
	    CAPTURE_STEP_MAX_BYTES), &fault);
	if (rc != 0 && fault.code == ERR_SPACE)
		rc = reserve(c, written + CAPTURE_STEP_MIN_BYTES, &fault);
	if (rc == 0)
		return 0;
	if (fault.code == ERR_CONFLICT)
		return give_up(c, &fault, err);
	if (fault.code == ERR_SPACE)
		return capture_fail(c, &fault, err);
	/* A store that is busy is no reason to lose what is captured. */
	warn_once(c, "room not kept", &fault);
	c->reserved_bytes = written + CAPTURE_STEP_MAX_BYTES;
	return 0;
}

/* What others write on the same disk is seen here. */
static int
check_disk(struct capture *c, struct err *err)
{
	const int64_t written = c->progress.written_bytes;
	const int64_t bytes =
	    c->reserved_bytes > written ? c->reserved_bytes : written;
	int64_t free_bytes;
	struct err fault;

	if (c->artifact == NULL || artifact_free_bytes(c->conf->state_dir,
		&free_bytes, &fault) != 0)
		return 0;
	if (free_bytes - (bytes - written) >= c->limits.min_free_bytes)
		return 0;
	if (reserve(c, bytes, &fault) == 0)
		return 0;
	if (fault.code == ERR_CONFLICT)
		return give_up(c, &fault, err);
	if (fault.code == ERR_SPACE)
		return capture_fail(c, &fault, err);
	warn_once(c, "room not kept", &fault);
	return 0;
}

/*
 * Has somebody ended the job?  Looked at when others have committed, and by
 * reading alone, as captures side by side would otherwise keep each other
 * writing.
 */
static int
check_running(struct capture *c, struct err *err)
{
	int64_t version;
	struct err fault;

	if (c->is_over || db_data_version(c->db, &version, NULL) != 0 ||
	    version == c->data_version)
		return 0;
	c->data_version = version;
	if (job_check_running(c->db, c->job.id, &fault) != 0 &&
	    fault.code == ERR_CONFLICT)
		return give_up(c, &fault, err);
	return 0;
}

int
capture_tick(struct capture *c, struct err *err)
{
	const int64_t now_ms = clock_mono_ms();

	if (c->is_looking)
		return 0;
	watchdog_beat(c->watchdog);
	lease_renew(c->lease);
	if (now_ms - c->looked_ms < CAPTURE_PROGRESS_MS)
		return 0;
	c->looked_ms = now_ms;
	if (check_disk(c, err) != 0 || check_running(c, err) != 0)
		return -1;
	if (now_ms - c->told_ms >= JOB_LEASE_MS / 3 ||
	    !progress_equal(&c->progress, &c->told))
		return tell(c, err);
	return 0;
}

/* Called a few times a second, whatever happens. */
static int
on_tick(void *ctx, struct err *err)
{
	return capture_tick(ctx, err);
}

static int
tell_kind(void *ctx, const char *method, const struct json *params,
    struct err *err)
{
	struct capture *c = ctx;

	if (c->kind->event == NULL)
		return 0;
	return c->kind->event(c, method, params, err);
}

/* Of the main thread: nobody's business if that is not what is captured. */
static int
on_event(void *ctx, const char *method, const struct json *params,
    struct err *err)
{
	struct capture *c = ctx;

	return c->worker != NULL ? 0 : tell_kind(ctx, method, params, err);
}

int
capture_enter(struct capture *capture, enum job_phase phase, struct err *err)
{
	capture->progress.phase = phase;
	return tell(capture, err);
}

int
capture_sink(void *ctx, const void *data, size_t len, struct err *err)
{
	struct capture *c = ctx;
	struct err fault;

	if (c->artifact == NULL)
		return 0;
	if (artifact_write(c->artifact, data, len, &fault) != 0)
		return capture_fail(c, &fault, err);
	c->progress.bytes = artifact_size(c->artifact);
	c->progress.written_bytes = artifact_stored_bytes(c->artifact);
	if (c->progress.written_bytes > c->reserved_bytes)
		return reserve_more(c, err);
	return 0;
}

int
capture_start_watchdog(struct capture *c, const char *exchange_dir,
    struct err *err)
{
	char parting[CDP_PARTING_MAX];

	cdp_parting(c->cdp, parting);
	c->is_hurried = exchange_dir[0] != '\0';
	return watchdog_start(exchange_dir, cdp_fd(c->cdp), parting,
	    &c->watchdog, err);
}

int
capture_guard_session(struct capture *c, struct err *err)
{
	return c->watchdog != NULL ? 0 : capture_start_watchdog(c, "", err);
}

struct cdp *
capture_session(const struct capture *c)
{
	return c->worker != NULL ? c->worker : c->cdp;
}

int
capture_call(struct capture *capture, const char *method, const char *params,
    int64_t silence_ms, const struct cdp_stream *stream, struct err *err)
{
	struct cdp_limit limit = {
		.deadline_ms = capture->deadline_ms,
		.silence_ms = silence_ms,
	};

	return cdp_call(capture_session(capture), method, params, &limit,
	    stream, NULL, err);
}

int64_t
capture_deadline_in(const struct capture *c, int64_t ms)
{
	return at_most(clock_mono_ms() + ms, c->deadline_ms);
}

/* The part of the store that the file will take, before anything is begun. */
static int
make_room(struct capture *c, int64_t predicted_bytes, struct err *err)
{
	const int percent = c->conf->compression == COMPRESSION_ZSTD ?
	    CAPTURE_ZSTD_PERCENT : CAPTURE_IDENTITY_PERCENT;

	if (reserve(c, predicted_bytes / 100 * percent, err) != 0)
		return err_wrap(err, "the %s is expected to have %" PRId64
		    " bytes", job_kind_name(c->job.kind), predicted_bytes);
	return 0;
}

void
capture_add_attempt(struct capture *c, enum conf_method method,
    enum job_outcome outcome, const char *reason)
{
	struct job_plan *plan = &c->plan;
	struct job_attempt *attempt;

	/* More than can be told of cannot be, by the methods there are. */
	if (plan->attempts_len == JOB_ATTEMPTS_MAX)
		return;
	attempt = &c->attempts[plan->attempts_len++];
	*attempt = (struct job_attempt){ .method = method,
		.outcome = outcome };
	(void)str_copy(attempt->reason, sizeof(attempt->reason), reason);
	plan->attempts = c->attempts;
	if (outcome == OUTCOME_RUNNING)
		plan->used_method = method;
}

int
capture_replan(struct capture *c, struct err *err)
{
	struct err fault;

	if (job_set_plan(c->db, c->job.id, &c->plan, &fault) == 0)
		return 0;
	if (fault.code == ERR_CONFLICT)
		return give_up(c, &fault, err);
	warn_once(c, "attempt not recorded", &fault);
	return 0;
}

void
capture_detach(struct capture *c)
{
	cdp_close(&c->worker);
	cdp_close(&c->cdp);
}

static int
reach_worker(struct capture *c, const struct cdp_limit *limit, struct err *err)
{
	const struct cdp_handler handler = { tell_kind, NULL, c };

	if (c->job.worker[0] == '\0')
		return 0;
	return cdp_open_worker(c->cdp, c->job.worker, limit, &handler,
	    &c->worker, err);
}

/* The memory is that of the process; of the heaps it is the thread's. */
static int
ask_facts(struct capture *c, const struct cdp_limit *limit, bool is_reset,
    struct err *err)
{
	struct target_facts own;

	if (target_ask(c->cdp, limit, is_reset, &c->facts, err) != 0)
		return -1;
	if (c->worker == NULL)
		return 0;
	if (target_ask(c->worker, limit, false, &own, err) != 0)
		return err_wrap(err, "worker thread %s", c->job.worker);
	c->facts.heap_used_bytes = own.heap_used_bytes;
	c->facts.heap_large_bytes = own.heap_large_bytes;
	c->facts.heap_young_bytes = own.heap_young_bytes;
	return 0;
}

static int
have_inspector(struct capture *c, struct err *err)
{
	const struct activate_order order = {
		.state_dir = c->conf->state_dir,
		.app = c->app,
		.ws = c->ws,
		.deadline_ms = capture_deadline_in(c, CAPTURE_ASK_MS),
		.may_open = !c->is_looking,
		.tick = on_tick,
		.ctx = c,
	};

	return activate_begin(&order, &c->activation, err);
}

int
capture_reach(struct capture *c, struct err *err)
{
	const struct cdp_handler handler = { on_event, on_tick, c };
	struct cdp_limit limit = { .silence_ms = 0 };
	struct target target;

	if (have_inspector(c, err) != 0 || target_find(c->ws, c->app->inspector,
		capture_deadline_in(c, CAPTURE_FIND_MS), &target, err) != 0)
		return -1;
	(void)snprintf(c->address, sizeof(c->address),
	    strchr(target.address.ip, ':') != NULL ? "[%s]:%u" : "%s:%u",
	    target.address.ip, (unsigned)target.address.port);
	if (activate_check_other(c->conf->state_dir, c->app->name,
		&target.address, err) != 0 ||
	    target_attach(c->ws, &target,
		capture_deadline_in(c, CAPTURE_ATTACH_MS), &handler, &c->cdp,
		err) != 0)
		return -1;
	limit.deadline_ms = capture_deadline_in(c, CAPTURE_ASK_MS);
	/* Without it, an app that comes to its end would wait for us. */
	if (cdp_watch_exit(c->cdp, &limit, err) != 0 ||
	    reach_worker(c, &limit, err) != 0)
		return -1;
	return ask_facts(c, &limit, false, err);
}

int
capture_ask_again(struct capture *c, struct err *err)
{
	const struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_ASK_MS),
	};

	return ask_facts(c, &limit, true, err);
}

/* A database that others keep locked for a moment is no reason to refuse; it is
 * waited for CAPTURE_BUSY_MS at a time. */
static int
tell_found(struct capture *c, const struct job_target *found, struct err *err)
{
	int64_t now_ms = clock_mono_ms(), tried_ms;
	const int64_t until_ms = now_ms + DB_BUSY_MS;

	do {
		tried_ms = now_ms;
		if (job_set_target(c->db, c->job.id, found, &c->plan,
			err) == 0)
			return 0;
		watchdog_beat(c->watchdog);
		now_ms = clock_mono_ms();
	} while (err->code == ERR_STORE && now_ms < until_ms &&
	    now_ms - tried_ms >= CAPTURE_BUSY_MS);
	return -1;
}

/* All that can refuse the job, before it is accepted. */
static int
preflight(struct capture *c, struct err *err)
{
	struct job_target found;

	/* Room first: making it may take longer than a watchdog waits. */
	if (capture_reach(c, err) != 0 ||
	    make_room(c, c->kind->predict(c), err) != 0)
		return -1;
	db_set_wait(c->db, CAPTURE_BUSY_MS);
	if (c->kind->prepare(c, err) != 0)
		return -1;
	found = (struct job_target){
		.pid = c->facts.pid,
		.node = c->facts.node,
		.memory_bytes = c->facts.rss_bytes,
	};
	log_info("capture", "attached to pid %" PRId64 "%s%s, Node %s, at %s; "
	    "method %s", c->facts.pid, c->worker != NULL ? ", worker " : "",
	    c->job.worker, c->facts.node, c->address,
	    conf_method_name(c->plan.used_method));
	return tell_found(c, &found, err);
}

/* What is known of the peak: it counts from when the app could reset it, or
 * else where it grew. */
static int64_t
peak_of(const struct target_facts *before, const struct target_facts *after)
{
	if (before->rss_peak_bytes < 0 || after->rss_peak_bytes < 0)
		return JOB_UNKNOWN;
	if (after->rss_peak_bytes > before->rss_peak_bytes ||
	    before->rss_peak_bytes - before->rss_bytes < CAPTURE_RESET_BYTES)
		return after->rss_peak_bytes;
	return JOB_UNKNOWN;
}

/* The app's memory once it is over; not worth failing for. */
static void
look_after(struct capture *c)
{
	struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_AFTER_MS),
	};
	struct target_facts facts;
	struct err err;
	int64_t peak_bytes;

	if (c->cdp == NULL || cdp_is_exiting(c->cdp) ||
	    c->plan.attempts_len == 0)
		return;
	if (target_ask(c->cdp, &limit, false, &facts, &err) != 0) {
		log_info("capture", "memory afterwards not known: %s", err.msg);
		return;
	}
	c->measure.memory_after_bytes = facts.rss_bytes;
	if (c->plan.used_method == METHOD_FORK)
		return;
	peak_bytes = peak_of(&c->facts, &facts);
	if (peak_bytes > c->measure.memory_peak_bytes)
		c->measure.memory_peak_bytes = peak_bytes;
}

int
capture_open_artifact(struct capture *c, struct err *err)
{
	const struct artifact_form form = {
		.coding = c->conf->compression == COMPRESSION_ZSTD ?
		    ARTIFACT_ZSTD : ARTIFACT_IDENTITY,
		.level = (int)c->conf->compression_level,
		.is_shared = conf_shares_files(c->conf),
	};

	artifact_abandon(&c->artifact);
	c->progress.bytes = 0;
	c->progress.written_bytes = 0;
	return artifact_create(c->conf->state_dir, c->job.id,
	    job_extension(c->job.kind), &form, &c->artifact, err);
}

void
capture_record_measure(struct capture *c)
{
	struct err fault;

	/* Not worth failing for. */
	if (job_set_measured(c->db, c->job.id, &c->measure, &fault) != 0 &&
	    fault.code != ERR_CONFLICT)
		warn_once(c, "freeze and memory not recorded", &fault);
}

static void
record_failure(struct capture *c, const struct err *why)
{
	const struct job_plan *plan = &c->plan;
	struct err fault;

	/* What was refused in the preflight shall tell the numbers, too. */
	if (plan->attempts_len > 0 &&
	    plan->attempts[plan->attempts_len - 1].outcome == OUTCOME_RUNNING)
		(void)!job_set_plan(c->db, c->job.id, plan, NULL);
	capture_record_measure(c);
	if (job_fail(c->db, c->conf->state_dir, c->job.id, why, &fault) == 0)
		return;
	if (fault.code != ERR_CONFLICT) {
		log_error("capture", "failure not recorded: %s", fault.msg);
		return;
	}
	/* It may have been canceled: then it is our turn to let go. */
	if (job_release(c->db, c->conf->state_dir, c->job.id, &fault) != 0)
		log_error("capture", "the end of the cancellation is not "
		    "recorded: %s", fault.msg);
}

static void
give_over(struct capture *c, const struct err *why)
{
	/* The file first: on a full disk its room is what the row needs. */
	artifact_abandon(&c->artifact);
	record_failure(c, why);
}

/* All that asks the app; there is no session any more when this returns. */
static int
take(struct capture *c, struct err *err)
{
	int ret = -1;

	c->app = conf_find_app(c->conf, c->job.app);
	if (c->app == NULL) {
		(void)err_set(err, ERR_NOT_FOUND,
		    "the configuration has no [app %s] any more", c->job.app);
		goto out;
	}
	if (ws_new(&c->ws, err) != 0 || preflight(c, err) != 0 ||
	    capture_open_artifact(c, err) != 0)
		goto out;
	if (c->kind->run(c, err) != 0)
		goto out;
	look_after(c);
	ret = 0;
out:
	snapshot_scan_free(&c->scan);
	exchange_free(&c->exchange);
	/* Leaving may take its time, without a beat.  But one that has patience
	 * leaves in order if we are killed now. */
	if (c->is_hurried)
		watchdog_stop(&c->watchdog);
	db_set_wait(c->db, DB_BUSY_MS);
	if (ret != 0) {
		if (err->code != ERR_TARGET_TIMEOUT)
			look_after(c);
		/* That leaving takes its time is nobody's business, unless the
		 * next has to wait for it; but a full disk gets its room
		 * back. */
		if (c->kind->is_alone) {
			artifact_abandon(&c->artifact);
			capture_detach(c);
			watchdog_stop(&c->watchdog);
		}
		give_over(c, err);
	}
	capture_detach(c);
	watchdog_stop(&c->watchdog);
	return ret;
}

/* Whole on the disk, then in the row: in this order, so that a job that
 * succeeded has its file. */
static int
keep(struct capture *c, struct err *err)
{
	struct artifact_sum sum;
	struct job_result result = {
		.sum = &sum,
		.keep_ms = c->conf->keep_ms,
	};
	struct err fault;

	capture_record_measure(c);
	if (capture_enter(c, PHASE_FINISHING, err) != 0 ||
	    artifact_commit(&c->artifact, &sum, err) != 0)
		return -1;
	if (job_succeed(c->db, c->conf->state_dir, c->job.id, &result,
		err) == 0) {
		c->job.sum = sum;
		return 0;
	}
	if (artifact_remove(c->conf->state_dir, c->job.id,
		job_extension(c->job.kind), false, &fault) != 0)
		log_warn("capture", "%s", fault.msg);
	return -1;
}

/* Closing the inspector may take long, and nobody waits for it: the job is
 * over.  If we are killed before, others close it. */
static void
leave(struct capture *c)
{
	activate_end(&c->activation, c->ws);
	ws_free(&c->ws);
}

/* The new file may be one too many.  What cannot be done is done by others. */
static void
make_way(const struct capture *c)
{
	struct err fault;

	if (job_retain(c->db, c->conf->state_dir, &c->limits, &fault) != 0)
		log_warn("capture", "the store is not within its limits: %s",
		    fault.msg);
}

/* why NULL: it succeeded. */
static void
audit_end(struct capture *c, const struct err *why)
{
	if (c->plan.attempts_len > 0)
		c->job.used_method = (int)c->plan.used_method;
	c->job.freeze_ms = c->measure.freeze_ms;
	if (why == NULL)
		job_audit_end(&c->job, "succeeded", NULL);
	else
		job_audit_end(&c->job, why->code == ERR_CONFLICT ?
		    "dropped" : "failed", why->msg);
}

int
capture_run(const struct conf *conf, struct db *db, const char *job_id,
    struct err *err)
{
	struct capture c;
	struct proc self;
	int ret;

	memset(&c, 0, sizeof(c));
	c.conf = conf;
	c.db = db;
	if (proc_self(&self, err) != 0 ||
	    job_claim(db, job_id, &self, &c.job, err) != 0)
		return -1;
	c.kind = kinds[c.job.kind];
	c.limits = job_limits_of(conf);
	c.deadline_ms = clock_mono_ms() + conf->job_timeout_ms;
	c.progress = (struct job_progress){ .phase = PHASE_PREFLIGHT,
		.done = JOB_UNKNOWN, .total = JOB_UNKNOWN };
	c.told = c.progress;
	c.told_ms = clock_mono_ms();
	c.measure = (struct job_measure){ JOB_UNKNOWN, JOB_UNKNOWN,
		JOB_UNKNOWN };
	c.plan = (struct job_plan){ .predicted_bytes = JOB_UNKNOWN,
		.predicted_peak_bytes = JOB_UNKNOWN,
		.predicted_freeze_ms = JOB_UNKNOWN };
	c.looked_ms = c.told_ms;
	ret = take(&c, err);
	if (ret == 0) {
		ret = keep(&c, err);
		if (ret != 0)
			give_over(&c, err);
	}
	audit_end(&c, ret == 0 ? NULL : err);
	leave(&c);
	if (ret == 0)
		make_way(&c);
	return ret;
}
