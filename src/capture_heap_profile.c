/*
 * Heap profile: HeapProfiler.startSampling and HeapProfiler.stopSampling.  V8
 * keeps the stack of about one allocation in so many bytes.
 *
 * It has one sampler for each thread: a second start is taken for the first
 * without a word, and whoever ends it ends it for all.  So it is asked for
 * before, as others may use it: DevTools, node --heap-prof, an agent.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <stdio.h>

/* Unless it is asked for: of all that is allocated, and V8's own of what is
 * alive. */
#define SAMPLING_BYTES (512 << 10)
#define SAMPLING_LIVE_BYTES (32 << 10)

/* Measured: the tree of functions, and one sample. */
#define BASE_BYTES (256 << 10)
#define SAMPLE_BYTES 48
/* Allocated in a second by a busy app. */
#define ALLOCATED_BYTES (100 << 20)

/* One that is just being ended goes within this time. */
#define LOOKS 2
#define LOOK_AGAIN_MS 300

static int64_t
sampling_bytes(const struct capture *c)
{
	if (c->job.sampling_bytes != JOB_UNKNOWN)
		return c->job.sampling_bytes;
	return c->job.live ? SAMPLING_LIVE_BYTES : SAMPLING_BYTES;
}

/* What another one's sampler has to tell is not ours. */
static int
ignore(void *ctx, const void *data, size_t len, struct err *err)
{
	(void)ctx;
	(void)data;
	(void)len;
	(void)err;
	return 0;
}

/* Has somebody else a sampler running?  1, 0, or -1 with *err. */
static int
is_sampled(struct capture *c, struct err *err)
{
	const struct cdp_stream stream = {
		.event = NULL,
		.key = "profile",
		.sink = ignore,
		.ctx = NULL,
	};
	struct err why;

	if (capture_call(c, "HeapProfiler.getSamplingProfile", NULL,
		CAPTURE_SILENCE_MS, &stream, &why) == 0)
		return 1;
	return why.code == ERR_TARGET_REFUSED ? 0 :
	    err_set(err, why.code, "%s", why.msg);
}

static int
check_free(struct capture *c, struct err *err)
{
	int i, rc;

	for (i = 0; i < LOOKS; i++) {
		if (i > 0 && cdp_wait(capture_session(c),
			capture_deadline_in(c, LOOK_AGAIN_MS), err) != 0)
			return -1;
		rc = is_sampled(c, err);
		if (rc <= 0)
			return rc;
	}
	return err_set(err, ERR_TARGET_REFUSED, "somebody else samples the "
	    "heap of this thread, and V8 can do that for one alone: end it in "
	    "DevTools or in the agent that does, or start the app without "
	    "--heap-prof");
}

static int
prepare(struct capture *c, struct err *err)
{
	if (capture_prepare_profile(c, err) != 0)
		return -1;
	return check_free(c, err);
}

static int
begin(struct capture *c, struct err *err)
{
	const char *all = c->job.live ? "" :
	    ",\"includeObjectsCollectedByMajorGC\":true"
	    ",\"includeObjectsCollectedByMinorGC\":true";
	char params[160];

	(void)snprintf(params, sizeof(params),
	    "{\"samplingInterval\":%" PRId64 "%s}", sampling_bytes(c), all);
	return capture_call(c, "HeapProfiler.startSampling", params,
	    CAPTURE_QUICK_MS, NULL, err);
}

static const struct capture_profiler profiler = {
	.begin = begin,
	.stop = "HeapProfiler.stopSampling",
	.freezes = true,
};

static int
run(struct capture *c, struct err *err)
{
	if (capture_profile(c, &profiler, err) == 0)
		return 0;
	if (err != NULL && err->code == ERR_TARGET_REFUSED)
		(void)err_wrap(err, "has somebody else ended the one sampler "
		    "that V8 has for each thread?");
	return -1;
}

static int64_t
predict(struct capture *c)
{
	c->plan.predicted_bytes = BASE_BYTES + c->job.duration_ms *
	    (ALLOCATED_BYTES / 1000) / sampling_bytes(c) * SAMPLE_BYTES;
	return c->plan.predicted_bytes;
}

const struct capture_kind capture_heap_profile = {
	.predict = predict,
	.prepare = prepare,
	.run = run,
	.event = NULL,
	.is_alone = true,
};
