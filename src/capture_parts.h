/*
 * What the files of capture share.  For capture*.c only; everybody else has
 * capture.h.
 */
#ifndef PODPROF_CAPTURE_PARTS_H
#define PODPROF_CAPTURE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "activate.h"
#include "artifact.h"
#include "capture.h"
#include "cdp.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "exchange.h"
#include "job.h"
#include "json.h"
#include "lease.h"
#include "predict.h"
#include "snapshot.h"
#include "target.h"
#include "watchdog.h"
#include "ws.h"

struct capture;

struct capture_kind {
	/* About how large the file will be, as captured, in bytes; facts tell
	 * of the app. */
	int64_t (*predict)(struct capture *capture);
	/*
	 * What is known of the app is in facts: decide how it is done, and put
	 * that into plan.  Nothing is frozen yet.  Errors: those of cdp.h,
	 * exchange.h and predict_check(), each a reason not to begin.
	 */
	int (*prepare)(struct capture *capture, struct err *err);
	/*
	 * Capture: returns when all bytes are in the artifact.  Errors: those
	 * of cdp.h, artifact.h, exchange.h and job.h.
	 */
	int (*run)(struct capture *capture, struct err *err);
	/* An event of the session; NULL: it wants none. */
	int (*event)(struct capture *capture, const char *method,
	    const struct json *params, struct err *err);
	/* V8 can do it once at a time: the next has to find that we have
	 * left. */
	bool is_alone;
};

extern const struct capture_kind capture_heap_snapshot;
extern const struct capture_kind capture_cpu_profile;
extern const struct capture_kind capture_heap_profile;

/* In what the kinds of profile differ. */
struct capture_profiler {
	/* All up to V8's reply that it has begun.  Errors as run() of a
	 * kind. */
	int (*begin)(struct capture *capture, struct err *err);
	/* The method that ends it, whose reply has the profile. */
	const char *stop;
	/* V8 stands still for that: the job tells how long. */
	bool freezes;
};

/* run() of such a kind. */
MUST int capture_profile(struct capture *capture,
    const struct capture_profiler *profiler, struct err *err);

/* prepare() of such a kind. */
MUST int capture_prepare_profile(struct capture *capture, struct err *err);

/* What a method that failed means for the job. */
enum capture_verdict {
	VERDICT_FINAL,		/* the job fails */
	VERDICT_AGAIN,		/* an accident: it may work the next time */
	VERDICT_AGAIN_ONLY,	/* perhaps an accident; or else V8 gives up over
				 * this heap, and would in the app, too: so no
				 * other method */
	VERDICT_OTHER,		/* it does not work here, and nothing was
				 * frozen for long: another method may */
};

/* A way to take a heap snapshot. */
struct capture_method {
	enum conf_method method;
	/*
	 * Can it work here?  Looks, and freezes nothing.  Errors: the reason
	 * why not, of any code, for the job and GET {base}/target.
	 */
	int (*check)(struct capture *capture, struct err *err);
	/* Once check() has said yes: what run() needs.  Errors as check().
	 * NULL: nothing. */
	int (*prepare)(struct capture *capture, struct err *err);
	/* As that of a kind; a failure leaves its meaning in verdict. */
	int (*run)(struct capture *capture, struct err *err);
};

extern const struct capture_method capture_fork;
extern const struct capture_method capture_direct;
extern const struct capture_method capture_stream;

/* The methods that are allowed, best first: all of them for METHOD_AUTO, else
 * that one.  NULL after the last.  index counts from 0. */
const struct capture_method *capture_method_at(enum conf_method allowed,
    size_t index);

/* What those who probe the app are told. */
enum capture_shield {
	CAPTURE_OPEN,		/* nothing */
	CAPTURE_DRAINING,	/* it is not ready, but runs */
	CAPTURE_SHIELDED,	/* it may stand still */
};

/* What a kind works with. */
struct capture {
	const struct conf *conf;	/* borrowed */
	const struct conf_app *app;	/* borrowed */
	struct db *db;			/* borrowed */
	const struct capture_kind *kind;
	struct job job;			/* as claimed */
	struct ws *ws;
	struct cdp *cdp;		/* NULL: detached, or the app is gone */
	struct cdp *worker;		/* of the job's worker thread; NULL: it
					 * is the main thread that is captured,
					 * which has cdp */
	struct artifact *artifact;	/* NULL: bytes are thrown away */
	struct snapshot_scan *scan;	/* of what is written; NULL: none */
	struct job_limits limits;	/* of the store */
	int64_t reserved_bytes;		/* in it, for this file */

	struct target_facts facts;	/* of the app, before */
	char address[64];		/* of its inspector */
	struct activation *activation;	/* of it; NULL: podprof has not opened
					 * it */
	struct exchange *exchange;	/* fork, direct; NULL until needed */
	struct watchdog *watchdog;	/* the same */
	bool is_hurried;		/* it kills us if we do not beat */
	enum capture_shield shield;
	struct lease *lease;		/* of the shield; NULL: there is none */
	const struct capture_method *method;	/* of a heap snapshot */
	struct job_attempt attempts[JOB_ATTEMPTS_MAX];
	struct job_plan plan;		/* its attempts are those above */
	enum capture_verdict verdict;
	size_t next_method;		/* to be looked at; capture_method_at()
					 * of the job's */
	int tries;			/* that failed, of method fork */
	bool is_forced;			/* the guard has no say */
	struct job_measure measure;

	bool is_looking;	/* capture_look(): there is no job, nothing is
				 * loaded or frozen */
	bool is_unstoppable;		/* what runs in V8; set by the kind */
	bool is_over;		/* canceled or failed, and its bytes are thrown
				 * away; the row says so */
	struct err why;
	struct err warned;		/* of what was logged last */
	int64_t deadline_ms;		/* of the whole job, clock_mono_ms() */
	struct job_progress progress;	/* as it is; kept by the kind */
	struct job_progress told;	/* as the row has it */
	int64_t told_ms;		/* since when: clock_mono_ms() */
	int64_t looked_ms;		/* when disk and database were looked
					 * at */
	int64_t data_version;		/* of the database, then */
};

/* A phase's deadline: its own time from now, but never past the job's. */
int64_t capture_deadline_in(const struct capture *capture, int64_t ms);

/* Find the app, have its inspector open (is_looking: if it is), open a session,
 * and the worker thread's if one is asked for, and ask for facts.  ws_new() has
 * been called.  Errors of activate.h and target.h, and ERR_NOT_FOUND: there is
 * no such worker. */
MUST int capture_reach(struct capture *capture, struct err *err);

/* Have a watchdog take care of the session if we are killed, and of
 * exchange_dir, as watchdog_start() says.  ERR_INTERNAL. */
MUST int capture_start_watchdog(struct capture *capture,
    const char *exchange_dir, struct err *err);

/* One for the session alone, unless there is one already.  ERR_INTERNAL. */
MUST int capture_guard_session(struct capture *capture, struct err *err);

/* Of a reply that neither V8's work nor ours can hold up for long. */
#define CAPTURE_QUICK_MS 60000

/* The session of the thread that is captured. */
struct cdp *capture_session(const struct capture *capture);

/* cdp_call() of it within the job's deadline.  silence_ms as in struct
 * cdp_limit. */
MUST int capture_call(struct capture *capture, const char *method,
    const char *params, int64_t silence_ms, const struct cdp_stream *stream,
    struct err *err);

/* A jsoncut_sink_fn into the artifact; ctx is the capture. */
MUST int capture_sink(void *ctx, const void *data, size_t len,
    struct err *err);

/* The same for a heap snapshot, whose text is looked at on the way. */
MUST int capture_heap_sink(struct capture *capture, const void *data,
    size_t len, struct err *err);

/* The app was frozen for so long; several attempts add up. */
void capture_froze(struct capture *capture, int64_t ms);

/* Tell the row of freeze and memory, as far as they are known by now. */
void capture_record_measure(struct capture *capture);

/* Begin the artifact, or begin it anew: what is there is thrown away. */
MUST int capture_open_artifact(struct capture *capture, struct err *err);

/* Go over to a phase, and let the row know. */
MUST int capture_enter(struct capture *capture, enum job_phase phase,
    struct err *err);

/* Add one to the plan; one that runs is what the job uses.  The row is not told
 * yet. */
void capture_add_attempt(struct capture *capture, enum conf_method method,
    enum job_outcome outcome, const char *reason);

/* The plan is another: tell the row. */
MUST int capture_replan(struct capture *capture, struct err *err);

/* To be called some times a second while the kind waits by itself: the
 * watchdog, the row, the disk, and whether the job was canceled. */
MUST int capture_tick(struct capture *capture, struct err *err);

/* The capture has failed in a way that is no accident of the moment: throws
 * away what there is.  0: go on and wait for V8, as is_unstoppable; or -1. */
MUST int capture_fail(struct capture *capture, const struct err *why,
    struct err *err);

/* Nothing is to be expected of the session any more. */
void capture_detach(struct capture *capture);

/* The app's facts, anew, with rss_peak_bytes from now on: for what happens in
 * the app itself. */
MUST int capture_ask_again(struct capture *capture, struct err *err);

/*
 * The main thread is about to be frozen: tell those who probe the app, and wait
 * for [app] drain where they ask podprof (health_url is set).  What is shielded
 * already stays so.
 *
 * ret_has_drained  what is known of the app has grown old.
 *
 * Errors: those of cdp_wait(); of job_shield(), where nobody could be told;
 * ERR_TARGET_TIMEOUT: job_timeout is shorter than drain.
 */
MUST int capture_shield(struct capture *capture, bool *ret_has_drained,
    struct err *err);

/* It runs again, or is gone.  Not shielded: nothing. */
void capture_unshield(struct capture *capture, bool is_alive);

/*
 * Bytes from FIFOs: data is the snapshot, status are lines.
 */
#define INTAKE_LINE_MAX 256
struct intake {
	struct capture *capture;
	int data_fd;		/* -1: it is over */
	int status_fd;		/* -1: it is over, or there is none */
	/* A line of status, without its end.  -1 ends the step. */
	int (*line)(void *ctx, const char *line, struct err *err);
	void *ctx;
	int64_t heard_ms;	/* when the last byte of data came */
	bool has_lost_app;	/* the session is gone */

	char text[INTAKE_LINE_MAX];
	size_t text_len;
	int64_t pumped_ms;
};

/* Make and open the FIFOs of the exchange directory; with_status: both. */
MUST int intake_open(struct intake *intake, struct capture *capture,
    bool with_status, struct err *err);

/*
 * Take what is there; waits for some of it for INTAKE_STEP_MS at most.  Serves
 * the session meanwhile, and ticks.  A session that is lost is no error:
 * has_lost_app.
 */
#define INTAKE_STEP_MS 50
MUST int intake_step(struct intake *intake, struct err *err);

/* All that was written is known to be in the pipe: take it. */
MUST int intake_drain(struct intake *intake, struct err *err);

/* Nothing more of the data: whoever writes it gets EPIPE. */
void intake_close_data(struct intake *intake);

/* Close both, and remove the FIFOs.  Whoever writes them gets EPIPE. */
void intake_close(struct intake *intake);

/*
 * The directory where we meet the app, and the watchdog over us, unless they
 * are there already; that the app sees it and may write there.
 * Errors: of exchange.h and watchdog.h, and ERR_TARGET_REFUSED with what the
 * app sees.
 */
MUST int capture_meet(struct capture *capture, struct err *err);

#endif
