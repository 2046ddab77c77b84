/*
 * What all profiles have in common: V8 begins, time passes, V8 ends.  The
 * profile is one value of the last reply, however long; its bytes are the file.
 */
#include "capture_parts.h"

#include <inttypes.h>

#include "clock.h"
#include "log.h"

static int
stop(struct capture *c, const struct capture_profiler *profiler,
    struct err *err)
{
	struct cdp_stream stream = {
		.event = NULL,
		.key = "profile",
		.sink = capture_sink,
		.ctx = c,
	};
	const int64_t began_ms = clock_mono_ms();

	c->progress.phase = PHASE_WRITING;
	if (capture_call(c, profiler->stop, NULL, CAPTURE_SILENCE_MS, &stream,
		err) != 0)
		return -1;
	if (profiler->freezes)
		capture_froze(c, clock_mono_ms() - began_ms);
	if (artifact_first(c->artifact) != '{')
		return err_set(err, ERR_TARGET_REFUSED,
		    "the inspector's reply to %s has no profile",
		    profiler->stop);
	return 0;
}

int
capture_profile(struct capture *c, const struct capture_profiler *profiler,
    struct err *err)
{
	struct cdp *session = capture_session(c);
	int64_t until_ms;

	if (profiler->begin(c, err) != 0)
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
	return stop(c, profiler, err);
}

int
capture_prepare_profile(struct capture *c, struct err *err)
{
	/* There is one way.  In a worker it would go on after we are killed. */
	capture_add_attempt(c, METHOD_STREAM, OUTCOME_RUNNING, "");
	return c->worker != NULL ? capture_guard_session(c, err) : 0;
}
