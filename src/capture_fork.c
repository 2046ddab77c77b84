/*
 * Method fork: an addon in the app forks it; the copy takes the snapshot and
 * writes it into a FIFO, while the app goes on.  src/addon/addon.h says what
 * the addon does, and which lines it writes into the FIFO status.
 *
 * The copy lives as long as we read: once our ends of the FIFOs are closed, it
 * ends within half a second.
 */
#include "capture_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "evaluate.h"
#include "file.h"
#include "log.h"

#define ADDON_FILE "podprof-fork.node"
/* The interface that the addon has to have. */
#define ADDON_VERSION "1"
/* What of the copy's address space is left when it ran out of it: a part of
 * what it was given. */
#define SPENT_SHARE 4
#define STATE_AGAIN_MS 20
/* The copy's own words, as far as they are passed on. */
#define WORDS_MAX 160

#if defined(__x86_64__)
#define ARCH "x64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "none"
#endif

/* The addon stays in the app once it is loaded, and is found again. */
static const char LOAD[] =
    "(path,version)=>{const key=Symbol.for('podprof.fork');"
    "let addon=process[key];"
    "if(addon&&addon.version===version)return'';"
    "try{const m={exports:{}};process.dlopen(m,path);addon=m.exports}"
    "catch(e){return String(e.message)||'no reason given'}"
    "if(addon.version!==version)return'the addon has version '+addon.version;"
    "Object.defineProperty(process,key,{value:addon,configurable:true});"
    "return''}";

/* "PID MICROSECONDS", or "! " and why it could not fork. */
static const char FORK[] =
    "(data,status,bytes,ms)=>{const v8=require('v8');"
    "const addon=process[Symbol.for('podprof.fork')];let pid;"
    "try{pid=addon.fork(status,Number(bytes),Number(ms))}"
    "catch(e){return'! '+e.message}"
    "if(pid===0){let why='';"
    "try{v8.writeHeapSnapshot(data)}catch(e){why=String(e.message)||'?'}"
    "addon.end(why)}"
    "return pid+' '+addon.microseconds()}";

/* Of the copy that was forked last. */
static const char STATE[] =
    "()=>process[Symbol.for('podprof.fork')].state()";
static const char KILL[] =
    "()=>{process[Symbol.for('podprof.fork')].kill();return''}";

/* What is known of the copy. */
struct copy {
	struct capture *capture;
	struct intake intake;
	int64_t cap_bytes;		/* 0: none */
	int64_t private_bytes;
	int64_t worked_ms;		/* when it was last seen at work */
	int64_t worked_cpu_ms;		/* its cpu_ms then */
	int64_t began_ms;		/* when the app was asked to fork */
	bool is_answered;		/* it has said that it did */
	bool is_begun;			/* the copy is there */
	bool is_done;
	bool is_out_of_memory;
	bool is_aborted;		/* by V8 itself */
	struct err end;			/* why it ended, if it said so */
};

static int
find_addon(char path[EXCHANGE_PATH_MAX], struct err *err)
{
	if (file_beside_program(ADDON_FILE, path, EXCHANGE_PATH_MAX, err) != 0)
		return -1;
	if (access(path, R_OK) == 0)
		return 0;
	return err_set(err, ERR_INTERNAL, "%s: %s; install podprof anew", path,
	    strerror(errno));
}

static int
check(struct capture *c, struct err *err)
{
	const struct target_facts *facts = &c->facts;
	char addon[EXCHANGE_PATH_MAX];
	struct statvfs fs;

	if (strcmp(facts->arch, ARCH) != 0)
		return err_set(err, ERR_TARGET_REFUSED, "the app's Node is for "
		    "%.15s, and this podprof has an addon for " ARCH " only",
		    facts->arch[0] != '\0' ? facts->arch : "another machine");
	if (facts->is_addons_off)
		return err_set(err, ERR_TARGET_REFUSED, "the app does not load "
		    "addons: it was started with --no-addons");
	if (find_addon(addon, err) != 0 || capture_meet(c, err) != 0)
		return -1;
	/* Loading would tell, but stay in the app.  Its own mount may be
	 * another, so this is for looking only. */
	if (c->is_looking && statvfs(c->app->exchange_dir, &fs) == 0 &&
	    (fs.f_flag & ST_NOEXEC) != 0)
		return err_set(err, ERR_TARGET_REFUSED, "exchange_dir %s is "
		    "mounted noexec, so no addon can be loaded from it",
		    c->app->exchange_dir);
	return 0;
}

static int
load(struct capture *c, struct err *err)
{
	const struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_ASK_MS),
	};
	char path[EXCHANGE_PATH_MAX];
	const char *const args[] = { path, ADDON_VERSION, NULL };
	struct buf said;
	int ret = -1;

	exchange_path_of(c->exchange, EXCHANGE_ADDON, path);
	buf_init(&said, EVALUATE_BYTES_MAX);
	if (evaluate(c->cdp, LOAD, args, &limit, &said, err) != 0)
		goto out;
	ret = said.len == 0 ? 0 : err_set(err, ERR_TARGET_REFUSED, "the app "
	    "cannot load the addon: %.200s", buf_str(&said));
out:
	buf_fini(&said);
	return ret;
}

static int
prepare(struct capture *c, struct err *err)
{
	char source[EXCHANGE_PATH_MAX];

	if (find_addon(source, err) != 0 ||
	    exchange_copy(c->exchange, source, EXCHANGE_ADDON, err) != 0)
		return -1;
	return load(c, err);
}

/* How it ended; the first word counts. */
static int
end_of(struct copy *copy, const char *how, const char *words)
{
	if (copy->end.code == 0)
		(void)err_set(&copy->end, ERR_TARGET_REFUSED,
		    "the app's copy %s (%.*s)", how, WORDS_MAX, words);
	return 0;
}

/* Its memory is the app's own and what the copy has to itself. */
static void
note_peak(struct copy *copy)
{
	struct capture *c = copy->capture;
	int64_t peak_bytes;

	if (c->facts.rss_bytes < 0 || copy->private_bytes <= 0)
		return;
	peak_bytes = c->facts.rss_bytes + copy->private_bytes;
	if (peak_bytes > c->measure.memory_peak_bytes)
		c->measure.memory_peak_bytes = peak_bytes;
}

static int
on_alive(struct copy *copy, const char *text)
{
	const int64_t now_ms = clock_mono_ms();
	int64_t cpu_ms, private_kib;
	const char *rest;

	if (!str_take_int(text, &cpu_ms, &rest) || *rest++ != ' ' ||
	    !str_take_int(rest, &private_kib, &rest) || *rest != '\0' ||
	    private_kib > INT64_MAX / 1024)
		return 0;
	/* Signals alone cost it some. */
	if (cpu_ms - copy->worked_cpu_ms >
	    (now_ms - copy->worked_ms) / CAPTURE_HANG_PART) {
		copy->worked_ms = now_ms;
		copy->worked_cpu_ms = cpu_ms;
	}
	copy->private_bytes = private_kib * 1024;
	note_peak(copy);
	return 0;
}

/* "SIGNAL KIB", KIB of its address space left or -1. */
static int
on_crash(struct copy *copy, const char *text)
{
	int64_t number, left_kib = -1;
	const char *rest, *name;
	char words[64];

	if (!str_take_int(text, &number, &rest) || *rest++ != ' ' ||
	    number < 1 || number > 64)
		return end_of(copy, "crashed", text);
	if (*rest != '-')
		(void)str_take_int(rest, &left_kib, &rest);
	if (copy->cap_bytes > 0 && left_kib >= 0 &&
	    left_kib < copy->cap_bytes / 1024 / SPENT_SHARE)
		copy->is_out_of_memory = true;
	copy->is_aborted = number == SIGABRT || number == SIGTRAP ||
	    number == SIGILL;
	name = sigabbrev_np((int)number);
	(void)snprintf(words, sizeof(words), "SIG%s", name != NULL ? name :
	    "?");
	return end_of(copy, "crashed", words);
}

/* From here on it is to work. */
static void
set_begun(struct copy *copy)
{
	if (copy->is_begun)
		return;
	copy->is_begun = true;
	copy->worked_ms = copy->intake.heard_ms = clock_mono_ms();
}

static int
on_line(void *ctx, const char *line, struct err *err)
{
	struct copy *copy = ctx;

	(void)err;
	if (strncmp(line, "alive ", 6) == 0)
		return on_alive(copy, line + 6);
	if (strncmp(line, "crash ", 6) == 0)
		return on_crash(copy, line + 6);
	if (strncmp(line, "stuck ", 6) == 0)
		return end_of(copy, "waited for a thread that it does not have",
		    line + 6);
	if (strncmp(line, "failed ", 7) == 0)
		return end_of(copy, "failed", line + 7);
	if (strncmp(line, "begun ", 6) == 0)
		set_begun(copy);
	else if (strcmp(line, "done") == 0)
		copy->is_done = true;
	return 0;
}

/* Have the app fork.  It goes on at once, and answers when it comes to it. */
static int
begin_fork(struct copy *copy, struct err *err)
{
	struct capture *c = copy->capture;
	char data[EXCHANGE_PATH_MAX], status[EXCHANGE_PATH_MAX];
	char bytes[32], ms[32];
	const char *const args[] = { data, status, bytes, ms, NULL };

	exchange_path_of(c->exchange, EXCHANGE_DATA, data);
	exchange_path_of(c->exchange, EXCHANGE_STATUS, status);
	(void)snprintf(bytes, sizeof(bytes), "%" PRId64, copy->cap_bytes);
	(void)snprintf(ms, sizeof(ms), "%" PRId64,
	    c->deadline_ms - clock_mono_ms());
	copy->began_ms = clock_mono_ms();
	return evaluate_begin(c->cdp, FORK, args, err);
}

static int
read_answer(struct copy *copy, const char *said, struct err *err)
{
	struct capture *c = copy->capture;
	int64_t pid, us;
	const char *rest;

	if (strncmp(said, "! ", 2) == 0) {
		c->verdict = VERDICT_OTHER;
		return err_set(err, ERR_TARGET_REFUSED, "the app cannot be "
		    "forked: %.200s", said + 2);
	}
	if (!str_take_int(said, &pid, &rest) || *rest++ != ' ' ||
	    !str_take_int(rest, &us, &rest))
		return err_set(err, ERR_TARGET_REFUSED,
		    "the app's answer to the fork makes no sense");
	set_begun(copy);
	/* Up, so that a freeze is never told as none. */
	capture_froze(c, us / 1000 + 1);
	capture_record_measure(c);
	log_info("capture", "forked copy has pid %" PRId64 "; the app was "
	    "frozen for %" PRId64 " us", pid, us);
	return 0;
}

/* The app's answer to the fork, if it is there by now. */
static int
take_answer(struct copy *copy, struct err *err)
{
	struct capture *c = copy->capture;
	struct buf said;
	int ret = -1;

	if (copy->is_answered || c->cdp == NULL || !cdp_has_reply(c->cdp))
		return 0;
	copy->is_answered = true;
	buf_init(&said, EVALUATE_BYTES_MAX);
	if (evaluate_end(c->cdp, &said, err) == 0)
		ret = read_answer(copy, buf_str(&said), err);
	buf_fini(&said);
	return ret;
}

static int
check_time(const struct copy *copy, struct err *err)
{
	const int64_t now_ms = clock_mono_ms();

	if (now_ms >= copy->capture->deadline_ms)
		return err_set(err, ERR_TARGET_TIMEOUT, "the copy was not done "
		    "with the snapshot within [limits] job_timeout");
	if (!copy->is_begun && now_ms - copy->began_ms >= CAPTURE_ASK_MS)
		return err_set(err, ERR_TARGET_TIMEOUT, "the app did not fork "
		    "within %d s; is it stopped, or in one long native call?",
		    CAPTURE_ASK_MS / 1000);
	if (copy->is_begun &&
	    now_ms - copy->intake.heard_ms >= CAPTURE_HANG_MS &&
	    now_ms - copy->worked_ms >= CAPTURE_HANG_MS) {
		copy->capture->verdict = VERDICT_AGAIN;
		return err_set(err, ERR_TARGET_TIMEOUT, "the copy did nothing "
		    "for %d s", CAPTURE_HANG_MS / 1000);
	}
	return 0;
}

/* Has it said how it ended, or is it gone, or was it never there? */
static bool
has_ended(const struct copy *copy)
{
	return copy->is_done || copy->end.code != 0 ||
	    copy->intake.status_fd < 0 ||
	    (!copy->is_begun && copy->intake.has_lost_app);
}

/* Until it has ended; and until the app has answered, if it does so soon. */
static int
await(struct copy *copy, struct err *err)
{
	int64_t until_ms;

	while (!has_ended(copy))
		if (intake_step(&copy->intake, err) != 0 ||
		    take_answer(copy, err) != 0 || check_time(copy, err) != 0)
			return -1;
	until_ms = clock_mono_ms() + CAPTURE_AFTER_MS;
	while (!copy->is_answered && copy->capture->cdp != NULL &&
	    clock_mono_ms() < until_ms)
		if (intake_step(&copy->intake, err) != 0 ||
		    take_answer(copy, err) != 0)
			return -1;
	return 0;
}

/* It ended without a word: what the app knows of its end.  They may have ended
 * together. */
static void
ask_state(struct copy *copy)
{
	struct capture *c = copy->capture;
	const struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_AFTER_MS),
	};
	const char *const args[] = { NULL };
	const char *state = "its end is not known";
	struct buf said;
	struct err fault;

	buf_init(&said, EVALUATE_BYTES_MAX);
	fault.code = 0;
	/* It closed its FIFO a moment before it was waited for. */
	while (c->cdp != NULL && clock_mono_ms() < limit.deadline_ms) {
		buf_reset(&said);
		if (evaluate(c->cdp, STATE, args, &limit, &said, &fault) != 0)
			break;
		state = buf_str(&said);
		if (strcmp(state, "running") != 0)
			break;
		(void)poll(NULL, 0, STATE_AGAIN_MS);
	}
	if (fault.code == ERR_TARGET_EXITED)
		capture_detach(c);
	if (c->cdp == NULL)
		copy->intake.has_lost_app = true;
	(void)end_of(copy, "ended without a word", state);
	/* Nobody else kills a process that has most of what it may have. */
	if (strcmp(state, "killed 9") == 0 && copy->cap_bytes > 0 &&
	    copy->private_bytes > copy->cap_bytes / 2)
		copy->is_out_of_memory = true;
	buf_fini(&said);
}

/* Why the copy did not do it, and what that means. */
static int
judge(struct copy *copy, struct err *err)
{
	struct capture *c = copy->capture;

	if (copy->end.code == 0)
		ask_state(copy);
	if (copy->is_out_of_memory)
		return err_set(err, ERR_SPACE, "the copy of the app ran out of "
		    "memory: it had %" PRId64 " MB of its own, and may have "
		    "%" PRId64 " MB, so that the app lives. Raise the memory "
		    "limit of the app for the time of the snapshot (%s)",
		    copy->private_bytes >> 20, copy->cap_bytes >> 20,
		    copy->end.msg);
	if (copy->intake.has_lost_app)
		return err_set(err, ERR_TARGET_EXITED, "the app ended, or "
		    "closed its inspector, while its copy took the snapshot; "
		    "%s", copy->end.msg);
	c->verdict = copy->is_aborted ? VERDICT_AGAIN_ONLY : VERDICT_AGAIN;
	return err_set(err, copy->end.code, "%s", copy->end.msg);
}

/* It would end by itself, unless it is stopped. */
static void
kill_copy(struct capture *c)
{
	const struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_AFTER_MS),
	};
	const char *const args[] = { NULL };
	struct buf said;

	buf_init(&said, EVALUATE_BYTES_MAX);
	if (c->cdp != NULL)
		(void)!evaluate(c->cdp, KILL, args, &limit, &said, NULL);
	buf_fini(&said);
}

static int
run(struct capture *c, struct err *err)
{
	struct copy copy = {
		.capture = c,
		.cap_bytes = predict_cap(&c->facts),
	};
	int ret;

	c->verdict = VERDICT_OTHER;
	if (intake_open(&copy.intake, c, true, err) != 0)
		return -1;
	c->verdict = VERDICT_FINAL;
	copy.intake.line = on_line;
	copy.intake.ctx = &copy;
	ret = capture_enter(c, PHASE_STARTING, err);
	if (ret == 0)
		ret = begin_fork(&copy, err);
	if (ret == 0)
		ret = await(&copy, err);
	if (ret == 0)
		ret = intake_drain(&copy.intake, err);
	if (ret == 0 && !copy.is_done)
		ret = judge(&copy, err);
	intake_close(&copy.intake);
	if (ret != 0 && copy.is_answered)
		kill_copy(c);
	return ret;
}

const struct capture_method capture_fork = {
	.method = METHOD_FORK,
	.check = check,
	.prepare = prepare,
	.run = run,
};
