/*
 * Method direct: the app writes the snapshot into a FIFO by itself
 * (v8.writeHeapSnapshot).  It is frozen meanwhile, but nothing goes through
 * the inspector.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "evaluate.h"
#include "log.h"

/*
 * Opened without blocking first: without a reader that fails at once (ENXIO),
 * and with one V8's own opening does not block.  "" if all is written; what
 * begins with "open" went wrong before anything was frozen.
 */
static const char WRITE[] =
    "(path)=>{const fs=require('fs'),v8=require('v8'),k=fs.constants;let fd;"
    "try{fd=fs.openSync(path,k.O_WRONLY|k.O_NONBLOCK)}"
    "catch(e){return'open '+e.message}"
    "try{v8.writeHeapSnapshot(path);return''}"
    "catch(e){return'write '+e.message}"
    "finally{fs.closeSync(fd)}}";

static int
check(struct capture *c, struct err *err)
{
	return capture_meet(c, err);
}

/* No word of V8 is to be expected before it has built its graph. */
static int64_t
silence_ms(const struct capture *c)
{
	const int64_t freezes_ms =
	    c->plan.predicted_freeze_ms * CAPTURE_SILENCE_FREEZES;

	return freezes_ms > CAPTURE_SILENCE_DIRECT_MS ? freezes_ms :
	    CAPTURE_SILENCE_DIRECT_MS;
}

/* Until the app is free again. */
static int
await(struct capture *c, struct intake *intake, struct err *err)
{
	const int64_t max_ms = silence_ms(c);
	int64_t now_ms;

	while (!cdp_has_reply(c->cdp)) {
		if (intake_step(intake, err) != 0)
			return -1;
		if (intake->has_lost_app)
			return err_set(err, ERR_TARGET_EXITED, "the app ended, "
			    "or closed its inspector, while it wrote the "
			    "snapshot");
		/* It goes on the sooner. */
		if (c->is_over)
			intake_close_data(intake);
		now_ms = clock_mono_ms();
		if (now_ms >= c->deadline_ms)
			return err_set(err, ERR_TARGET_TIMEOUT, "the app was "
			    "not done with the snapshot within [limits] "
			    "job_timeout");
		if (now_ms - intake->heard_ms >= max_ms)
			return err_set(err, ERR_TARGET_TIMEOUT, "the app wrote "
			    "nothing for %" PRId64 " s; is it stopped, or in "
			    "one long native call?", max_ms / 1000);
	}
	return 0;
}

/* What the app says of it. */
static int
read_answer(struct capture *c, struct err *err)
{
	struct buf said;
	int ret = -1;

	buf_init(&said, EVALUATE_BYTES_MAX);
	if (evaluate_end(c->cdp, &said, err) != 0)
		goto out;
	if (said.len == 0) {
		ret = 0;
	} else if (strncmp(buf_str(&said), "open ", 5) == 0) {
		c->verdict = VERDICT_OTHER;
		(void)err_set(err, ERR_TARGET_REFUSED, "the app cannot open "
		    "the FIFO: %.300s", buf_str(&said) + 5);
	} else {
		(void)err_set(err, ERR_TARGET_REFUSED, "the app cannot write "
		    "the snapshot: %.300s", buf_str(&said));
	}
out:
	buf_fini(&said);
	return ret;
}

static int
write_now(struct capture *c, struct intake *intake, struct err *err)
{
	char path[EXCHANGE_PATH_MAX];
	const char *const args[] = { path, NULL };
	const int64_t began_ms = clock_mono_ms();

	exchange_path_of(c->exchange, EXCHANGE_DATA, path);
	if (evaluate_begin(c->cdp, WRITE, args, err) != 0)
		return -1;
	c->is_unstoppable = true;
	if (await(c, intake, err) != 0)
		return -1;
	capture_froze(c, clock_mono_ms() - began_ms);
	if (c->is_over)
		return 0;
	if (read_answer(c, err) != 0)
		return -1;
	return intake_drain(intake, err);
}

static int
run(struct capture *c, struct err *err)
{
	struct intake intake;
	int ret;

	if (capture_ask_again(c, err) != 0)
		return -1;
	c->verdict = VERDICT_OTHER;
	if (intake_open(&intake, c, false, err) != 0)
		return -1;
	c->verdict = VERDICT_FINAL;
	ret = capture_enter(c, PHASE_STARTING, err);
	if (ret == 0)
		ret = write_now(c, &intake, err);
	c->is_unstoppable = false;
	intake_close(&intake);
	if (!c->is_over)
		return ret;
	if (ret == 0)
		log_info("capture", "the app has thawed");
	return err_set(err, c->why.code, "%s", c->why.msg);
}

const struct capture_method capture_direct = {
	.method = METHOD_DIRECT,
	.check = check,
	.run = run,
};
