/*
 * One job from claim to its final state, as podprof-capture runs it.
 *
 *	claim - find - attach - ask - reserve - [kind] - detach
 *	   \______\_______\______\_______\_________\____\
 *	                  fsync, rename - succeed        fail, remove
 *
 * A job that is canceled, or fails, in the middle is thrown away at once.  What
 * V8 does not stop is waited for, as the target is ours until then.
 *
 * The kinds differ only in the middle: each is a file capture_KIND.c and a row
 * in capture.c.
 */
#ifndef PODPROF_CAPTURE_H
#define PODPROF_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "artifact.h"
#include "cdp.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "job.h"
#include "json.h"
#include "target.h"

/* Deadlines of the phases before anything is captured. */
#define CAPTURE_FIND_MS 5000
#define CAPTURE_ATTACH_MS 5000
/* The app may be in one long native call (execSync, a big JSON.parse). */
#define CAPTURE_ASK_MS 60000
/* How long V8 may be silent: it tells nothing while it collects garbage, and
 * since Node 22 a snapshot waits until the event loop is free. */
#define CAPTURE_SILENCE_MS 120000
/* What the app may take for a short question once the capture is done. */
#define CAPTURE_AFTER_MS 2000
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

struct capture;

struct capture_kind {
	/*
	 * Capture: returns when all bytes are in the artifact.  Errors: those
	 * of cdp.h, artifact.h and job.h.
	 */
	int (*run)(struct capture *capture, struct err *err);
	/* About how large the file will be, as captured, in bytes. */
	int64_t (*predict)(const struct job *job,
	    const struct target_facts *facts);
	/* An event of the session; NULL: it wants none. */
	int (*event)(struct capture *capture, const char *method,
	    const struct json *params, struct err *err);
};

extern const struct capture_kind capture_heap_snapshot;
extern const struct capture_kind capture_cpu_profile;

/* What a kind works with. */
struct capture {
	const struct conf *conf;	/* borrowed */
	struct db *db;			/* borrowed */
	const struct capture_kind *kind;
	struct job job;			/* as claimed */
	struct cdp *cdp;
	struct artifact *artifact;	/* NULL: bytes are thrown away */
	struct job_limits limits;	/* of the store */
	int64_t reserved_bytes;		/* in it, for this file */
	bool is_unstoppable;		/* what runs in V8; set by the kind */
	bool is_over;		/* canceled or failed, and its bytes are thrown
				 * away; the row says so */
	struct err why;
	struct err warned;		/* of what was logged last */
	int64_t deadline_ms;		/* of the whole job, clock_mono_ms() */
	struct job_progress progress;	/* as it is; kept by the kind */
	int64_t freeze_ms;		/* JOB_UNKNOWN: nothing was frozen */
	int64_t memory_after_bytes;
	struct job_progress told;	/* as the row has it */
	int64_t told_ms;		/* since when: clock_mono_ms() */
	int64_t looked_ms;		/* when disk and database were looked
					 * at */
	int64_t data_version;		/* of the database, then */
};

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

/* For the kinds: cdp_call() within the job's deadline.  silence_ms as in
 * struct cdp_limit. */
MUST int capture_call(struct capture *capture, const char *method,
    const char *params, int64_t silence_ms, const struct cdp_stream *stream,
    struct err *err);

/* For the kinds: a jsoncut_sink_fn into the artifact; ctx is the capture. */
MUST int capture_sink(void *ctx, const void *data, size_t len,
    struct err *err);

/* For the kinds: go over to a phase, and let the row know. */
MUST int capture_enter(struct capture *capture, enum job_phase phase,
    struct err *err);

#endif
