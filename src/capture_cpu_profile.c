/*
 * CPU profile: Profiler.start and Profiler.stop.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <stdio.h>

#define INTERVAL_US 1000	/* V8's own */
#define BASE_BYTES (256 << 10)
#define SAMPLE_BYTES 132

static int
begin(struct capture *c, struct err *err)
{
	char params[64];

	if (capture_call(c, "Profiler.enable", NULL, CAPTURE_QUICK_MS, NULL,
		err) != 0)
		return -1;
	if (c->job.interval_us != JOB_UNKNOWN) {
		(void)snprintf(params, sizeof(params),
		    "{\"interval\":%" PRId64 "}", c->job.interval_us);
		if (capture_call(c, "Profiler.setSamplingInterval", params,
			CAPTURE_QUICK_MS, NULL, err) != 0)
			return -1;
	}
	return capture_call(c, "Profiler.start", NULL, CAPTURE_QUICK_MS, NULL,
	    err);
}

static const struct capture_profiler profiler = {
	.begin = begin,
	.stop = "Profiler.stop",
	.freezes = false,
};

static int
run(struct capture *c, struct err *err)
{
	return capture_profile(c, &profiler, err);
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

const struct capture_kind capture_cpu_profile = {
	.predict = predict,
	.prepare = capture_prepare_profile,
	.run = run,
	.event = NULL,
};
