/*
 * Method stream: HeapProfiler.takeHeapSnapshot.  V8 freezes the app, and sends
 * the file as text chunks in HeapProfiler.addHeapSnapshotChunk events before
 * it replies.
 */
#include "capture_parts.h"

#include "clock.h"
#include "log.h"

/* Wherever there is an inspector. */
static int
check(struct capture *c, struct err *err)
{
	(void)c;
	(void)err;
	return 0;
}

/* Killed in the middle, we would leave the session while the app sends. */
static int
prepare(struct capture *c, struct err *err)
{
	return capture_guard_session(c, err);
}

static int
sink(void *ctx, const void *data, size_t len, struct err *err)
{
	struct capture *c = ctx;

	c->progress.phase = PHASE_WRITING;
	return capture_heap_sink(c, data, len, err);
}

static int
run(struct capture *c, struct err *err)
{
	struct cdp_stream stream = {
		.event = "HeapProfiler.addHeapSnapshotChunk",
		.key = "chunk",
		.sink = sink,
		.ctx = c,
	};
	int64_t began_ms;
	int rc;

	if (capture_ask_again(c, err) != 0 ||
	    capture_enter(c, PHASE_STARTING, err) != 0)
		return -1;
	began_ms = clock_mono_ms();
	c->is_unstoppable = true;
	rc = capture_call(c, "HeapProfiler.takeHeapSnapshot",
	    "{\"reportProgress\":true}", CAPTURE_SILENCE_MS, &stream, err);
	c->is_unstoppable = false;
	if (rc == 0)
		capture_froze(c, clock_mono_ms() - began_ms);
	if (c->is_over) {
		if (rc == 0)
			log_info("capture", "the app has thawed");
		return err_set(err, c->why.code, "%s", c->why.msg);
	}
	if (rc != 0 && err != NULL && err->code == ERR_TARGET_TIMEOUT)
		(void)err_wrap(err, "since Node 22 the inspector begins a "
		    "snapshot only when the event loop is free; is the app in "
		    "an endless loop, or stopped?");
	return rc;
}

const struct capture_method capture_stream = {
	.method = METHOD_STREAM,
	.check = check,
	.prepare = prepare,
	.run = run,
};
