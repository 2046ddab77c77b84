/*
 * The frame around every kind of capture: who the app is, where the bytes go,
 * what the job's row is told, and what is undone when something fails.
 */
#include "capture.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "proc.h"
#include "target.h"
#include "ws.h"

/* By enum job_kind. */
static const struct capture_kind *const kinds[] = {
	[JOB_HEAP_SNAPSHOT] = &capture_heap_snapshot,
	[JOB_CPU_PROFILE] = &capture_cpu_profile,
};

static bool
progress_equal(const struct job_progress *a, const struct job_progress *b)
{
	return a->phase == b->phase && a->done == b->done &&
	    a->total == b->total && a->bytes == b->bytes;
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
	if (job_set_progress(c->db, c->job.id, &c->progress, &fault) == 0) {
		c->told = c->progress;
		return 0;
	}
	if (fault.code == ERR_CONFLICT) {
		if (err != NULL)
			*err = fault;
		return -1;
	}
	log_warn("capture", "progress not recorded: %s", fault.msg);
	return 0;
}

/* Called a few times a second, whatever happens. */
static int
on_tick(void *ctx, struct err *err)
{
	struct capture *c = ctx;
	int64_t age_ms = clock_mono_ms() - c->told_ms;

	if (age_ms >= JOB_LEASE_MS / 3 || (age_ms >= CAPTURE_PROGRESS_MS &&
		!progress_equal(&c->progress, &c->told)))
		return tell(c, err);
	return 0;
}

static int
on_event(void *ctx, const char *method, const struct json *params,
    struct err *err)
{
	struct capture *c = ctx;

	if (c->kind->event == NULL)
		return 0;
	return c->kind->event(c, method, params, err);
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

	if (artifact_write(c->artifact, data, len, err) != 0)
		return -1;
	c->progress.bytes = artifact_size(c->artifact);
	return 0;
}

int
capture_call(struct capture *capture, const char *method, const char *params,
    int64_t silence_ms, const struct cdp_stream *stream, struct err *err)
{
	struct cdp_limit limit = {
		.deadline_ms = capture->deadline_ms,
		.silence_ms = silence_ms,
	};

	return cdp_call(capture->cdp, method, params, &limit, stream, NULL,
	    err);
}

/* A phase's deadline: its own time from now, but never past the job's. */
static int64_t
deadline_in(const struct capture *c, int64_t ms)
{
	int64_t at_ms = clock_mono_ms() + ms;

	return at_ms < c->deadline_ms ? at_ms : c->deadline_ms;
}

/* Find the app, open a session, and see what it is. */
static int
reach(struct capture *c, struct ws *ws, const struct conf_app *app,
    struct err *err)
{
	struct cdp_handler handler = { on_event, on_tick, c };
	struct cdp_limit limit = { .silence_ms = 0 };
	struct target target;
	struct target_facts facts;
	struct job_target found;

	if (target_find(ws, app->inspector, deadline_in(c, CAPTURE_FIND_MS),
		&target, err) != 0 ||
	    target_attach(ws, &target, deadline_in(c, CAPTURE_ATTACH_MS),
		&handler, &c->cdp, err) != 0)
		return -1;
	limit.deadline_ms = deadline_in(c, CAPTURE_ASK_MS);
	/* Without it, an app that comes to its end would wait for us. */
	if (cdp_call(c->cdp, "NodeRuntime.notifyWhenWaitingForDisconnect",
		"{\"enabled\":true}", &limit, NULL, NULL, err) != 0)
		return -1;
	if (target_ask(c->cdp, &limit, &facts, err) != 0)
		return -1;
	found = (struct job_target){
		.pid = facts.pid,
		.node = facts.node,
		.used_method = METHOD_STREAM,
		.memory_bytes = facts.rss_bytes,
	};
	log_info("capture", "attached to pid %" PRId64 ", Node %s, at %s:%u",
	    facts.pid, facts.node, target.address.ip,
	    (unsigned)target.address.port);
	return job_set_target(c->db, c->job.id, &found, err);
}

/* The app's memory once it is over; not worth failing for. */
static void
look_after(struct capture *c)
{
	struct cdp_limit limit = {
		.deadline_ms = deadline_in(c, CAPTURE_AFTER_MS),
	};
	struct target_facts facts;
	struct err err;

	if (cdp_is_exiting(c->cdp))
		return;
	if (target_ask(c->cdp, &limit, &facts, &err) != 0) {
		log_info("capture", "memory afterwards not known: %s", err.msg);
		return;
	}
	c->memory_after_bytes = facts.rss_bytes;
}

/* All that touches the app; it is left alone when this returns. */
static int
take(struct capture *c, struct err *err)
{
	const struct conf_app *app = conf_find_app(c->conf, c->job.app);
	struct ws *ws = NULL;
	int ret = -1;

	if (app == NULL)
		return err_set(err, ERR_NOT_FOUND,
		    "the configuration has no [app %s] any more", c->job.app);
	if (ws_new(&ws, err) != 0 || reach(c, ws, app, err) != 0)
		goto out;
	if (artifact_create(c->conf->state_dir, c->job.id,
		job_extension(c->job.kind), &c->artifact, err) != 0)
		goto out;
	if (c->kind->run(c, err) != 0)
		goto out;
	look_after(c);
	ret = 0;
out:
	cdp_close(&c->cdp);
	ws_free(&ws);
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
		.freeze_ms = c->freeze_ms,
		.memory_after_bytes = c->memory_after_bytes,
		.keep_ms = c->conf->keep_ms,
	};
	struct err fault;

	if (capture_enter(c, PHASE_FINISHING, err) != 0 ||
	    artifact_commit(&c->artifact, &sum, err) != 0)
		return -1;
	if (job_succeed(c->db, c->job.id, &result, err) == 0) {
		log_info("capture", "%s of %" PRId64 " bytes is ready",
		    job_kind_name(c->job.kind), sum.size_bytes);
		return 0;
	}
	if (artifact_remove(c->conf->state_dir, c->job.id,
		job_extension(c->job.kind), &fault) != 0)
		log_warn("capture", "%s", fault.msg);
	return -1;
}

static void
record_failure(struct capture *c, const struct err *why)
{
	struct err fault;

	if (job_fail(c->db, c->job.id, why, &fault) != 0)
		log_error("capture", "failure not recorded: %s", fault.msg);
}

int
capture_run(const struct conf *conf, struct db *db, const char *job_id,
    struct err *err)
{
	struct capture c;
	struct proc self;

	memset(&c, 0, sizeof(c));
	c.conf = conf;
	c.db = db;
	if (proc_self(&self, err) != 0 ||
	    job_claim(db, job_id, &self, &c.job, err) != 0)
		return -1;
	c.kind = kinds[c.job.kind];
	c.deadline_ms = clock_mono_ms() + conf->job_timeout_ms;
	c.progress = (struct job_progress){ .phase = PHASE_PREFLIGHT,
		.done = JOB_UNKNOWN, .total = JOB_UNKNOWN };
	c.told = c.progress;
	c.told_ms = clock_mono_ms();
	c.freeze_ms = JOB_UNKNOWN;
	c.memory_after_bytes = JOB_UNKNOWN;
	if (take(&c, err) == 0 && keep(&c, err) == 0)
		return 0;
	/* The file first: on a full disk its room is what the row needs. */
	artifact_abandon(&c.artifact);
	record_failure(&c, err);
	return -1;
}
