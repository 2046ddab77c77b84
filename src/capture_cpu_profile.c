/*
 * CPU profile: Profiler.start, let the time pass, Profiler.stop.  The profile
 * is one value of the reply, however long; its bytes are the file.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"

/* A reply that neither V8's work nor ours can hold up for long. */
#define QUICK_MS 60000

#define INTERVAL_US 1000	/* V8's own */
#define BASE_BYTES (256 << 10)
#define SAMPLE_BYTES 132

static int
begin(struct capture *c, struct err *err)
{
	char params[64];

	if (capture_call(c, "Profiler.enable", NULL, QUICK_MS, NULL, err) != 0)
		return -1;
	if (c->job.interval_us != JOB_UNKNOWN) {
		(void)snprintf(params, sizeof(params),
		    "{\"interval\":%" PRId64 "}", c->job.interval_us);
		if (capture_call(c, "Profiler.setSamplingInterval", params,
			QUICK_MS, NULL, err) != 0)
			return -1;
	}
	return capture_call(c, "Profiler.start", NULL, QUICK_MS, NULL, err);
}

static int
run(struct capture *c, struct err *err)
{
	struct cdp_stream stream = {
		.event = NULL,
		.key = "profile",
		.sink = capture_sink,
		.ctx = c,
	};
	struct cdp *session = capture_session(c);
	int64_t until_ms;

	if (begin(c, err) != 0)
		return -1;
	/* From the reply to start, so that the profile is never shorter than
	 * asked for. */
	until_ms = clock_mono_ms() + c->job.duration_ms;
	if (capture_enter(c, PHASE_PROFILING, err) != 0)
		return -1;
	if (cdp_wait(session, until_ms, err) != 0)
		return -1;
	if (cdp_is_exiting(session))
		log_warn("capture", "the app is exiting: the profile ends "
		    "%" PRId64 " ms early", until_ms - clock_mono_ms());
	c->progress.phase = PHASE_WRITING;
	if (capture_call(c, "Profiler.stop", NULL, CAPTURE_SILENCE_MS, &stream,
		err) != 0)
		return -1;
	if (artifact_first(c->artifact) != '{')
		return err_set(err, ERR_TARGET_REFUSED,
		    "the inspector's reply to Profiler.stop has no profile");
	return 0;
}

/* Measured: up to 132 bytes a sample, with the functions met on the way. */
static int64_t
predict(struct capture *c)
{
	const int64_t interval_us = c->job.interval_us != JOB_UNKNOWN ?
	    c->job.interval_us : INTERVAL_US;

	c->plan.predicted_bytes = BASE_BYTES + c->job.duration_ms * 1000 /
	    interval_us * SAMPLE_BYTES;
	return c->plan.predicted_bytes;
}

/* There is one way.  In a worker it would go on after we are killed. */
static int
prepare(struct capture *c, struct err *err)
{
	capture_add_attempt(c, METHOD_STREAM, OUTCOME_RUNNING, "");
	return c->worker != NULL ? capture_guard_session(c, err) : 0;
}

const struct capture_kind capture_cpu_profile = {
	.predict = predict,
	.prepare = prepare,
	.run = run,
	.event = NULL,
};
