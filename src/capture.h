/*
 * One job from claim to its final state, as podprof-capture runs it.
 *
 *	claim - find - attach - ask - prepare - reserve - [kind] - detach
 *	   \______\_______\______\_______\________\_________\____\
 *	                       fsync, rename - succeed      fail, remove
 *
 * A job that is canceled, or fails, in the middle is thrown away at once.  What
 * V8 does not stop is waited for, as the target is ours until then.  An
 * inspector that podprof has opened is closed last, when the job is over.
 *
 * The kinds differ only in prepare and in the middle: each is a file
 * capture_KIND.c and a row in capture.c.  A heap snapshot has three methods,
 * each a file capture_METHOD.c and a row in capture_heap_snapshot.c.
 */
#ifndef PODPROF_CAPTURE_H
#define PODPROF_CAPTURE_H

#include "conf.h"
#include "db.h"
#include "err.h"

/* Deadlines of the phases before anything is captured. */
#define CAPTURE_FIND_MS 5000
#define CAPTURE_ATTACH_MS 5000
/* The app may be in one long native call (execSync, a big JSON.parse). */
#define CAPTURE_ASK_MS 60000
/* How long V8 may be silent: it tells nothing while it collects garbage, and
 * since Node 22 a snapshot waits until the event loop is free.  Method direct
 * has no word of it before the first byte: so long, or so many times the
 * predicted freeze, if that is more. */
#define CAPTURE_SILENCE_MS 120000
#define CAPTURE_SILENCE_DIRECT_MS 300000
#define CAPTURE_SILENCE_FREEZES 20
/* How long a forked copy may neither write nor use the CPU: at least one part
 * in so many of the time, however little it is given. */
#define CAPTURE_HANG_MS 20000
#define CAPTURE_HANG_PART 200
/* Copies that are forked before another method is looked for, and how long
 * after the first failed the second is; the third waits four times that.  A
 * copy is stuck if V8's other threads were collecting garbage. */
#define CAPTURE_FORKS 3
#define CAPTURE_AGAIN_MS 300
/* A snapshot that is larger is none: so many times the used heap, and so much
 * on top. */
#define CAPTURE_FILE_HEAPS 16
#define CAPTURE_FILE_BYTES (256 << 20)
/* What the app may take for a short question once the capture is done. */
#define CAPTURE_AFTER_MS 2000
/* An app's peak is counted from now if it is no further away than this. */
#define CAPTURE_RESET_BYTES (4 << 20)
/* How long others' locks are waited for while an app may wait for us: its
 * watchdog has little patience. */
#define CAPTURE_BUSY_MS 1000
/* How long an app that was frozen is called alive: it has a backlog. */
#define CAPTURE_GRACE_MS 15000
/* The row hears of progress, and the disk is looked at, at most this often. */
#define CAPTURE_PROGRESS_MS 500
/* What a file that outgrows its reservation reserves beyond what is written:
 * at least, and at most. */
#define CAPTURE_STEP_MIN_BYTES (64 << 10)
#define CAPTURE_STEP_MAX_BYTES (16 << 20)
/* What a file takes of the predicted size, with some to spare: compressed, and
 * as it is. */
#define CAPTURE_ZSTD_PERCENT 20
#define CAPTURE_IDENTITY_PERCENT 120

/*
 * Run the job to its end.
 *
 * err  never NULL here.
 *
 * Returns 0 if it succeeded; -1 with the reason, which the job's row has too,
 * unless it could not be claimed or written or is no longer ours.
 */
MUST int capture_run(const struct conf *conf, struct db *db,
    const char *job_id, struct err *err);

/*
 * Look at an app without capturing anything, and leave what was found where
 * look_get() reads it; an app that cannot be reached is a finding too.  Done
 * within LOOK_WAIT_MS, by asking less where the app does not answer in time.
 * ERR_NOT_FOUND (no such app), ERR_STORE, ERR_SPACE, ERR_NOMEM.
 */
MUST int capture_look(const struct conf *conf, struct db *db, const char *app,
    struct err *err);

#endif
