/*
 * Heap snapshot: which method can work, whether the app survives it, and what
 * is done when one fails.
 */
#include "capture_parts.h"

#include <string.h>

#include "log.h"
#include "str.h"

/* Best first. */
static const struct capture_method *const methods[] = {
	&capture_fork,
	&capture_direct,
	&capture_stream,
};
#define METHODS_LEN (sizeof(methods) / sizeof(methods[0]))

const struct capture_method *
capture_method_at(enum conf_method allowed, size_t index)
{
	size_t i;

	for (i = 0; i < METHODS_LEN; i++)
		if ((allowed == METHOD_AUTO || methods[i]->method == allowed) &&
		    index-- == 0)
			return methods[i];
	return NULL;
}

static void
set_predicted(struct capture *c, const struct predict *predict)
{
	c->plan.predicted_bytes = predict->file_bytes;
	c->plan.predicted_peak_bytes = predict->peak_bytes;
	c->plan.predicted_freeze_ms = predict->freeze_ms;
}

/* V8 has told how many nodes there are: now it is known better. */
static int
refine(struct capture *c, int64_t nodes, struct err *err)
{
	struct predict predict;

	predict_refine(&c->facts, c->method->method, nodes, &predict);
	set_predicted(c, &predict);
	return capture_replan(c, err);
}

static int
on_event(struct capture *c, const char *method, const struct json *params,
    struct err *err)
{
	const int64_t total_before = c->progress.total;

	if (strcmp(method, "HeapProfiler.reportHeapSnapshotProgress") != 0)
		return 0;
	c->progress.done = json_int(json_get(params, "done"), JOB_UNKNOWN);
	c->progress.total = json_int(json_get(params, "total"), JOB_UNKNOWN);
	if (c->progress.done < 0 || c->progress.total < 0)
		c->progress.done = c->progress.total = JOB_UNKNOWN;
	c->progress.phase = PHASE_WRITING;
	if (total_before == JOB_UNKNOWN && c->progress.total > 0 &&
	    !c->is_over)
		return refine(c, c->progress.total, err);
	return 0;
}

/* More than any snapshot of this heap could be. */
static int64_t
bytes_max(const struct capture *c)
{
	const int64_t heap = c->facts.heap_used_bytes;

	if (heap < 0 || heap > INT64_MAX / CAPTURE_FILE_HEAPS / 2)
		return INT64_MAX / 2;
	return CAPTURE_FILE_BYTES + heap * CAPTURE_FILE_HEAPS;
}

/* The methods without events of progress: what has come of what is expected. */
static void
estimate(struct capture *c)
{
	if (c->method->method == METHOD_STREAM || c->plan.predicted_bytes < 0)
		return;
	c->progress.done = c->progress.bytes;
	c->progress.total = c->plan.predicted_bytes;
	if (c->progress.total < c->progress.done)
		c->progress.total = c->progress.done;
}

int
capture_heap_sink(struct capture *c, const void *data, size_t len,
    struct err *err)
{
	struct err fault;
	int rc;

	/* Thrown away; also what still comes while we leave. */
	if (c->is_over || c->scan == NULL)
		return 0;
	if (snapshot_scan_feed(c->scan, data, len, &fault) != 0)
		goto fail;
	if (c->progress.bytes + (int64_t)len > bytes_max(c)) {
		(void)err_set(&fault, ERR_TARGET_REFUSED, "what is sent as the "
		    "snapshot has no end: over %lld bytes",
		    (long long)bytes_max(c));
		goto fail;
	}
	if (capture_sink(c, data, len, err) != 0)
		return -1;
	estimate(c);
	return 0;
fail:
	rc = capture_fail(c, &fault, err);
	/* Of a copy it may be an accident. */
	if (c->method->method == METHOD_FORK)
		c->verdict = VERDICT_AGAIN;
	return rc;
}

void
capture_froze(struct capture *c, int64_t ms)
{
	/* Of all attempts together. */
	if (c->measure.freeze_ms == JOB_UNKNOWN)
		c->measure.freeze_ms = 0;
	c->measure.freeze_ms += ms;
}

/* The file is the same by every method. */
static int64_t
predict(struct capture *c)
{
	struct predict predict;

	predict_snapshot(&c->facts, METHOD_STREAM, &predict);
	return predict.file_bytes;
}

/* Would the app survive it?  The numbers are kept in any case. */
static int
guard(struct capture *c, struct err *err)
{
	struct predict predict;

	predict_snapshot(&c->facts, c->method->method, &predict);
	set_predicted(c, &predict);
	if (!c->conf->memory_guard || c->is_forced)
		return 0;
	return predict_check(&c->facts, &predict, err);
}

static int
check(struct capture *c, const struct capture_method *method, struct err *err)
{
	if (c->worker != NULL && method->method != METHOD_STREAM)
		return err_set(err, ERR_INVALID, "it captures the main thread "
		    "alone, and this is a worker thread");
	if (method->check(c, err) != 0)
		return -1;
	return method->prepare == NULL ? 0 : method->prepare(c, err);
}

/*
 * The next method that can work.  Where one was asked for, its reason is the
 * job's.
 */
static int
choose(struct capture *c, struct err *err)
{
	const struct capture_method *method;
	struct err why;

	while ((method = capture_method_at(c->job.method,
		c->next_method)) != NULL) {
		c->next_method++;
		if (check(c, method, &why) == 0) {
			c->method = method;
			capture_add_attempt(c, method->method,
			    OUTCOME_RUNNING, "");
			return guard(c, err);
		}
		/* That says nothing of the method. */
		if (why.code == ERR_NOMEM || why.code == ERR_TARGET_EXITED ||
		    why.code == ERR_TARGET_TIMEOUT || why.code == ERR_CONFLICT)
			return err_set(err, why.code, "%s", why.msg);
		capture_add_attempt(c, method->method, OUTCOME_SKIPPED,
		    why.msg);
		log_info("capture", "method %s: %s",
		    conf_method_name(method->method), why.msg);
		if (c->job.method != METHOD_AUTO)
			return err_set(err, why.code, "method %s cannot be "
			    "used: %s", conf_method_name(method->method),
			    why.msg);
	}
	return err_set(err, ERR_TARGET_REFUSED, "no method is left to try");
}

/* A worker thread is frozen alone. */
static bool
freezes_app(const struct capture *c)
{
	return c->method->method != METHOD_FORK && c->worker == NULL;
}

/* While it was drained the app went on. */
static int
shield(struct capture *c, struct err *err)
{
	bool has_drained;

	if (capture_shield(c, &has_drained, err) != 0)
		return -1;
	if (has_drained && (capture_ask_again(c, err) != 0 ||
		guard(c, err) != 0 || capture_replan(c, err) != 0))
		return -1;
	if (c->shield == CAPTURE_DRAINING)
		c->shield = CAPTURE_SHIELDED;
	return 0;
}

/* One attempt: all bytes, and whole. */
static int
attempt(struct capture *c, struct err *err)
{
	c->verdict = VERDICT_FINAL;
	c->progress.done = c->progress.total = JOB_UNKNOWN;
	if (freezes_app(c) && shield(c, err) != 0)
		return -1;
	snapshot_scan_free(&c->scan);
	if (snapshot_scan_new(&c->scan, err) != 0 ||
	    c->method->run(c, err) != 0)
		return -1;
	if (snapshot_scan_end(c->scan, err) == 0)
		return 0;
	if (c->method->method == METHOD_FORK)
		c->verdict = VERDICT_AGAIN;
	return -1;
}

/* The attempt that runs has failed, and is not the last. */
static void
note_failure(struct capture *c, const struct err *why)
{
	struct job_attempt *last = &c->attempts[c->plan.attempts_len - 1];

	log_warn("capture", "method %s failed: %s",
	    conf_method_name(last->method), why->msg);
	last->outcome = OUTCOME_FAILED;
	(void)str_copy(last->reason, sizeof(last->reason), why->msg);
}

/* After one that failed: is the same method to be tried once more? */
static bool
is_tried_again(const struct capture *c)
{
	return c->tries + 1 < CAPTURE_FORKS &&
	    (c->verdict == VERDICT_AGAIN || c->verdict == VERDICT_AGAIN_ONLY);
}

/* What was asked for is not replaced by what freezes the app. */
static bool
may_go_on(const struct capture *c)
{
	if (c->cdp == NULL || c->is_over)
		return false;
	return is_tried_again(c) || (c->job.method == METHOD_AUTO &&
	    (c->verdict == VERDICT_AGAIN || c->verdict == VERDICT_OTHER));
}

/* What was in its way may be over then. */
static int
wait_again(struct capture *c, struct err *err)
{
	int64_t ms = CAPTURE_AGAIN_MS;
	int i;

	for (i = 0; i < c->tries; i++)
		ms *= 4;
	return cdp_wait(c->cdp, capture_deadline_in(c, ms), err);
}

/* An attempt failed, and something then kept the next one from being made.  The
 * first is the failure, but for what would have ended any capture. */
static enum err_code
code_of(const struct err *why, const struct err *then)
{
	if (then->code == ERR_CONFLICT || then->code == ERR_TARGET_EXITED)
		return then->code;
	return why->code;
}

/* Begin the next attempt, with the same method or another one. */
static int
go_on(struct capture *c, const struct err *why, struct err *err)
{
	const bool is_again = is_tried_again(c);
	struct err fault;

	note_failure(c, why);
	/* What was forced upon a copy is not meant for the app itself. */
	c->is_forced = false;
	if ((is_again && wait_again(c, &fault) != 0) ||
	    capture_ask_again(c, &fault) != 0)
		return err_set(err, code_of(why, &fault), "%s (and then: %s)",
		    why->msg, fault.msg);
	c->tries++;
	if (is_again) {
		capture_add_attempt(c, c->method->method, OUTCOME_RUNNING, "");
	} else if (choose(c, &fault) != 0) {
		return err_set(err, code_of(why, &fault), "%s (and no other "
		    "method is left: %s)", why->msg, fault.msg);
	}
	if (capture_replan(c, err) != 0)
		return -1;
	return capture_open_artifact(c, err);
}

static int
try_all(struct capture *c, struct err *err)
{
	struct err why;

	while (attempt(c, &why) != 0) {
		if (!may_go_on(c))
			return err_set(err, why.code, "%s", why.msg);
		if (go_on(c, &why, err) != 0)
			return -1;
	}
	return 0;
}

static int
run(struct capture *c, struct err *err)
{
	const int ret = try_all(c, err);

	capture_unshield(c, ret == 0 || err->code != ERR_TARGET_EXITED);
	return ret;
}

static int
prepare(struct capture *c, struct err *err)
{
	c->is_forced = c->job.force;
	return choose(c, err);
}

const struct capture_kind capture_heap_snapshot = {
	.predict = predict,
	.prepare = prepare,
	.run = run,
	.event = on_event,
};
