/*
 * Jobs: one row each, in the table jobs of sql/schema.sql.  The only module
 * that knows the table.
 *
 *	            claim            succeed
 *	queued ----------> running ----------> succeeded
 *	   |                  |  \
 *	   |  fail, settle    |   \ cancel
 *	   +--> failed <------+    +--> canceled      nothing leaves these three
 *
 * A job holds its target while it is active; one that was canceled, or failed
 * in the middle of a snapshot, goes on holding it until podprof-capture has let
 * go of it, as V8 does not stop.
 *
 * What does not fit any more is removed by whoever is there, one process at a
 * time (flock(2) on STATE_DIR/sweep): see "Making room".
 *
 * Every call is one transaction, safe among any number of processes and
 * threads that each have their own struct db.  Errors of every call: those of
 * db.h (ERR_STORE, ERR_SPACE, ERR_NOMEM), and what stands at each.
 */
#ifndef PODPROF_JOB_H
#define PODPROF_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "artifact.h"
#include "clock.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "json.h"
#include "proc.h"
#include "rate.h"
#include "str.h"
#include "uuid.h"

enum job_kind { JOB_HEAP_SNAPSHOT, JOB_CPU_PROFILE, JOB_HEAP_PROFILE };
enum job_state {
	JOB_QUEUED,	/* accepted, podprof-capture not yet up */
	JOB_RUNNING,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_CANCELED,
};
enum job_phase {
	PHASE_NONE,		/* not running */
	PHASE_PREFLIGHT,	/* finding the app, one evaluate */
	PHASE_DRAINING,		/* job_shield(): until job_set_drained() */
	PHASE_STARTING,		/* V8 collects garbage; nothing to see */
	PHASE_PROFILING,	/* the profile's time runs */
	PHASE_WRITING,		/* bytes arrive */
	PHASE_FINISHING,	/* fsync, rename */
};

/* How long a queued job may wait for its podprof-capture to claim it. */
#define JOB_QUEUE_MS 10000
/* What podprof-capture promises to renew, well before it is over. */
#define JOB_LEASE_MS 30000
/* How long after its lease a podprof-capture that still exists is waited for:
 * it renews nothing while it waits for fsync(2). */
#define JOB_HANG_MS 600000
/* A refused job that nobody was told of is swept after this. */
#define JOB_UNACCEPTED_MS 60000

#define JOB_POD_MAX 254
#define JOB_ARTIFACT_NAME_MAX 320
#define JOB_WORKER_MAX 65
#define JOB_LIST_MAX 1000

/* Bytes of a requester's own name for an order, Idempotency-Key. */
#define JOB_KEY_MAX 255

/* A number that is not known yet. */
#define JOB_UNKNOWN (-1)

/* Why a file that was there is no more. */
enum job_removal {
	REMOVED_NOT,		/* it is there, or never was */
	REMOVED_EXPIRED,	/* [limits] keep, or grace after its delivery */
	REMOVED_ROOM,		/* store_bytes, store_jobs, min_free_bytes */
	REMOVED_LOST,		/* not by podprof */
};

/* A way to capture that was tried, or was not usable. */
enum job_outcome {
	OUTCOME_RUNNING,	/* the last of the job: its end is the job's */
	OUTCOME_SUCCEEDED,
	OUTCOME_FAILED,
	OUTCOME_SKIPPED,	/* not usable here */
	OUTCOME_CANCELED,
};
#define JOB_ATTEMPTS_MAX 8
#define JOB_REASON_MAX 256
struct job_attempt {
	enum conf_method method;
	enum job_outcome outcome;
	char reason[JOB_REASON_MAX];	/* "" unless failed or skipped */
};

/* A copy of a row; nothing to free.  Times in ms since 1970, sizes in bytes;
 * JOB_UNKNOWN or "" where the row has NULL. */
struct job {
	int64_t seq;			/* in the order of creation */
	char id[UUID_MAX];
	char app[STR_NAME_MAX + 1];
	char pod[JOB_POD_MAX];
	enum job_kind kind;
	enum job_state state;
	enum job_phase phase;
	int64_t revision;

	enum conf_method method;	/* asked for */
	int64_t duration_ms;
	int64_t interval_us;
	int64_t sampling_bytes;
	bool live;
	bool force;
	char worker[JOB_WORKER_MAX];	/* "": the main thread */
	char requested_by[STR_NAME_MAX + 8];
	char request_id[STR_NAME_MAX + 1];

	int64_t created_at_ms;
	int64_t accepted_at_ms;
	int64_t started_at_ms;
	int64_t finished_at_ms;
	int64_t expires_at_ms;

	struct proc runner;		/* pid JOB_UNKNOWN until claimed */
	int64_t lease_until_ms;
	bool holds_target;
	int64_t drain_until_ms;

	int used_method;		/* enum conf_method, or JOB_UNKNOWN */
	struct job_attempt attempts[JOB_ATTEMPTS_MAX];
	size_t attempts_len;
	int64_t target_pid;
	char target_node[32];
	int64_t progress_done;
	int64_t progress_total;
	int64_t progress_bytes;
	int64_t freeze_ms;
	int64_t memory_before_bytes;
	int64_t memory_peak_bytes;
	int64_t memory_after_bytes;
	int64_t predicted_bytes;	/* of the file, as captured */
	int64_t predicted_peak_bytes;	/* of the app's memory */
	int64_t predicted_freeze_ms;

	char artifact_name[JOB_ARTIFACT_NAME_MAX];
	struct artifact_sum sum;	/* size_bytes JOB_UNKNOWN until whole */
	int64_t delivered_at_ms;
	int64_t removed_at_ms;		/* no file of it is left */
	enum job_removal removed_because;

	char key_sha256[DIGEST_HEX_MAX];	/* of its order's body; "" */

	struct err error;		/* meaningful in JOB_FAILED */
};

/* Words of the API and the table: "heap-snapshot", "running", "writing"
 * (NULL for PHASE_NONE); and back, -1 if there is none. */
const char *job_kind_name(enum job_kind kind);
const char *job_state_name(enum job_state state);
const char *job_phase_name(enum job_phase phase);
int job_kind_of_name(const char *name);
int job_state_of_name(const char *name);

/* The artifact's extension: "heapsnapshot", "cpuprofile", "heapprofile". */
const char *job_extension(enum job_kind kind);

/* True for succeeded, failed, canceled. */
bool job_is_final(const struct job *job);

/* True while the file can be fetched: it is there, and has not expired. */
bool job_has_artifact(const struct job *job);

/* Open STATE_DIR/podprof.db, made and migrated where needed; on a full disk the
 * ballast is given up for it. */
MUST int job_open_db(const char *state_dir, struct db **ret_db,
    struct err *err);

/* What a new job is made of; all borrowed during the call. */
struct job_order {
	const char *app;
	const char *pod;
	enum job_kind kind;
	enum conf_method method;
	int64_t duration_ms;		/* heap snapshot: JOB_UNKNOWN */
	int64_t interval_us;		/* JOB_UNKNOWN: V8's default */
	int64_t sampling_bytes;		/* JOB_UNKNOWN: podprof's choice */
	bool live;			/* what is alive at the end, alone */
	bool force;
	const char *worker;		/* a thread's id; NULL: the main one */
	const char *requested_by;	/* a token's name, "anonymous" … */
	const char *request_id;
	int64_t profiles_max;		/* [limits] profiles */
	int64_t token_captures;		/* [limits]; 0: any number */
	int64_t app_captures;		/* [limits]; 0: any number */
	const char *key;		/* Idempotency-Key; NULL: none */
	const char *key_sha256;		/* of what it ordered, hex */
};

/*
 * Queue a job.  Jobs of the app whose process is gone are settled first, so
 * that a dead one never blocks.
 *
 * ret_job     the new job; on ERR_CONFLICT the one that is in the way.
 * ret_is_new  false: the key was used for the same order before, and that is
 *             its job, in whatever state.  A job that was refused before it was
 *             accepted does not count: its key is free.
 *
 *   ERR_CONFLICT    a heap snapshot of the app is queued or running, or is over
 *                   and still blocks it; a profile is only kept by one that
 *                   may block the app: not once it is known to be by fork;
 *                   or another heap profile of the same thread, of which V8
 *                   cannot tell two apart
 *   ERR_LIMIT       profiles_max profiles of the app are queued or running, or
 *                   as many captures as may be were begun within a minute:
 *                   job_rate_of() and rate_wait_ms() tell when
 *   ERR_KEY_REUSED  the key was used for another order
 */
MUST int job_create(struct db *db, const char *state_dir,
    const struct job_order *order, struct job *ret_job, bool *ret_is_new,
    struct err *err);

/* What counts the order, and its limits. */
struct rate job_rate_of(const struct job_order *order);

/*
 * The requester's word that the job stands: it was told so, or will be.
 * Returns with *ret_job as the row now is; a job that is final by now stays
 * unaccepted.  ERR_NOT_FOUND.
 */
MUST int job_accept(struct db *db, const char *id, struct job *ret_job,
    struct err *err);

/* Remove the row of a job that failed before it was accepted; of no other, and
 * not of one with a key, which others may be told of (job_sweep() does that).
 * Nothing to remove is no error. */
MUST int job_discard(struct db *db, const char *id, struct err *err);

/*
 * One job.  If its process is gone it is settled first; where the row cannot be
 * written (a full disk), *ret_job tells the truth all the same.
 *   ERR_NOT_FOUND  no such job of this app and pod
 */
MUST int job_get(struct db *db, const char *state_dir, const char *app,
    const char *pod, const char *id, struct job *ret_job, struct err *err);

/* The newest accepted, queued or running heap snapshot of app and pod, of
 * whatever thread; settled as by job_get().  ERR_NOT_FOUND. */
MUST int job_newest_snapshot(struct db *db, const char *state_dir,
    const char *app, const char *pod, struct job *ret_job, struct err *err);

/* What to list. */
struct job_filter {
	const char *app;
	const char *pod;
	int kind;		/* enum job_kind; -1: any */
	int state;		/* enum job_state; -1: any */
	const char *after;	/* a job id: only older ones; NULL: all.  It
				 * may have been removed by now */
	int64_t limit;		/* 1..JOB_LIST_MAX */
};

/* Called for each job, newest first; -1 with *err stops. */
typedef int job_visit_fn(void *ctx, const struct job *job, struct err *err);

/* List the jobs that were accepted or are active; settled as by job_get().
 * ret_more: whether older ones match. */
MUST int job_list(struct db *db, const char *state_dir,
    const struct job_filter *filter, job_visit_fn *visit, void *ctx,
    bool *ret_more, struct err *err);

/*
 * Cancel an active job: it is canceled at once, and what was captured so far
 * is thrown away by its podprof-capture, which lets go of the target as soon as
 * that allows it.  *ret_job is the row then.
 *   ERR_NOT_FOUND, ERR_CONFLICT: it is final already
 */
MUST int job_cancel(struct db *db, const char *state_dir, const char *id,
    struct job *ret_job, struct err *err);

/*
 * Remove a final job, its files and its row; whoever reads the file goes on.
 * A job that is gone already is no error.
 *   ERR_CONFLICT  it is active, or holds its target still
 */
MUST int job_remove(struct db *db, const char *state_dir, const char *id,
    struct err *err);

/*
 * podprof-capture's side.  Each renews the lease.
 *
 * claim     queued -> running, phase preflight; ERR_CONFLICT if the job is
 *           not queued (any more); *ret_job is the row.
 * target    what the preflight found, and the plan; accepts the job.
 * plan      the plan is another: the next attempt, or a better prediction.
 * measured  what is known by now of freeze and memory; also of a job that is
 *           over, but still holds its target.  JOB_UNKNOWN leaves what is there.
 * progress  phase and numbers, JOB_UNKNOWN for those that are not known.
 * succeed   running -> succeeded.
 * fail      queued or running -> failed, with err's code and text.
 * fail_holding  the same, but V8 goes on with what cannot be stopped.
 * All but claim: ERR_CONFLICT if the job is not active (any more): it was
 * settled or canceled, and the work is to be thrown away.
 *
 * check_running  whether it is that still; ERR_CONFLICT.  Writes nothing.
 * hold      the lease of a job that is over, but still holds its target;
 *           ERR_CONFLICT if it does not.
 * release   it holds the target no more; of an active job nothing changes.
 *
 * Where the disk is full, succeed, fail and release, like cancel, settle and
 * deliver, give up the ballast to be recorded (ballast.h).
 */
MUST int job_claim(struct db *db, const char *id, const struct proc *runner,
    struct job *ret_job, struct err *err);

/* How it is being captured. */
struct job_plan {
	enum conf_method used_method;
	/* In order; the last one is running.  At most JOB_ATTEMPTS_MAX. */
	const struct job_attempt *attempts;
	size_t attempts_len;
	int64_t predicted_bytes;	/* of the file; JOB_UNKNOWN */
	int64_t predicted_peak_bytes;	/* JOB_UNKNOWN */
	int64_t predicted_freeze_ms;	/* JOB_UNKNOWN */
};
struct job_target {
	int64_t pid;
	const char *node;		/* "v20.20.2" */
	int64_t memory_bytes;		/* resident; JOB_UNKNOWN */
};
MUST int job_set_target(struct db *db, const char *id,
    const struct job_target *target, const struct job_plan *plan,
    struct err *err);
MUST int job_set_plan(struct db *db, const char *id,
    const struct job_plan *plan, struct err *err);

struct job_measure {
	int64_t freeze_ms;
	int64_t memory_peak_bytes;
	int64_t memory_after_bytes;
};
MUST int job_set_measured(struct db *db, const char *id,
    const struct job_measure *measure, struct err *err);

struct job_progress {
	enum job_phase phase;
	int64_t done;			/* nodes, or an estimate in bytes:  */
	int64_t total;			/* for fork and direct */
	int64_t bytes;			/* captured */
	int64_t written_bytes;		/* in the file */
};
MUST int job_set_progress(struct db *db, const char *id,
    const struct job_progress *progress, struct err *err);

struct job_result {
	const struct artifact_sum *sum;
	int64_t keep_ms;		/* expires_at_ms = now + this */
};
MUST int job_succeed(struct db *db, const char *state_dir, const char *id,
    const struct job_result *result, struct err *err);
MUST int job_fail(struct db *db, const char *state_dir, const char *id,
    const struct err *why, struct err *err);
MUST int job_fail_holding(struct db *db, const char *state_dir,
    const char *id, const struct err *why, struct err *err);
MUST int job_check_running(struct db *db, const char *id, struct err *err);
MUST int job_hold(struct db *db, const char *id, struct err *err);
MUST int job_release(struct db *db, const char *state_dir, const char *id,
    struct err *err);

/* The artifact was handed over whole: it expires in grace_ms, unless it would
 * sooner.  The first time counts.  Of a job that has none nothing changes. */
MUST int job_deliver(struct db *db, const char *state_dir, const char *id,
    int64_t grace_ms, struct err *err);

/*
 * Fail (ERR_INTERRUPTED) every active job whose process is gone: dead by
 * proc_life(), or not to be seen from here with its lease over, or never
 * claimed for JOB_QUEUE_MS, or there but silent for JOB_HANG_MS beyond its
 * lease; and remove its files.  A canceled one holds its target no more then.
 * Reads only, where there is nothing to do.
 */
MUST int job_settle(struct db *db, const char *state_dir, struct err *err);

/*
 * The process that was started for a job, or had claimed it, has ended with
 * this wait status.  If the job is active still, it fails: with the error that
 * the process could not record but told by its exit status, JOB_EXIT_ERROR +
 * enum err_code, or else with ERR_INTERRUPTED and the signal or exit status in
 * words.
 */
#define JOB_EXIT_ERROR 64
MUST int job_settle_child(struct db *db, const char *state_dir,
    const char *id, int wait_status, struct err *err);

/*
 * The audit line of a job that has come to its end: whose it was, of what app,
 * how many bytes, and how it went.  Once a job, by whoever has ended it: its
 * podprof-capture, or job_settle() and its likes.
 *
 * outcome  "succeeded", "failed", or "dropped" for one that was canceled, or
 *          given up by others, meanwhile.
 * reason   NULL: none.
 */
void job_audit_end(const struct job *job, const char *outcome,
    const char *reason);

/*
 * Making room.  Each of these does nothing, and returns 0, while another
 * process is at it.  What was delivered goes first, then the oldest; never what
 * is active or being read.
 */

/* [limits] of the store, see conf.h. */
struct job_limits {
	int64_t store_bytes;	/* of all files together */
	int64_t store_jobs;	/* rows */
	int64_t min_free_bytes;	/* of the disk, beside them */
};

/* Those of the configuration. */
struct job_limits job_limits_of(const struct conf *conf);

/*
 * Remove files that have expired, files that a job left which did not succeed,
 * and rows of refused jobs that nobody was told of.  Each file goes before its
 * row says so; one that cannot be removed (ERR_STORE) does not keep the others.
 * Of those that have expired, some JOB_RETAIN_ROWS at most.
 */
MUST int job_sweep(struct db *db, const char *state_dir, struct err *err);

/*
 * Remove files and rows until the store is within its limits, as far as that
 * goes; some JOB_RETAIN_ROWS at most, so that nobody waits for it for long.
 *   ERR_SPACE  others have filled the disk so far that no file was removed for
 *              min_free_bytes, as all together would not make up for it
 */
#define JOB_RETAIN_ROWS 1000
MUST int job_retain(struct db *db, const char *state_dir,
    const struct job_limits *limits, struct err *err);

/*
 * Keep bytes in the store free for the file of an active job, of which
 * written_bytes are written; room is made where that is enough.  Waits for
 * another process that makes room.
 *
 *   ERR_SPACE     there is not enough, with the numbers; nothing was removed
 *                 if that could not have helped
 *   ERR_CONFLICT  the job is not active (any more)
 */
MUST int job_reserve(struct db *db, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err);

/*
 * Compare files and rows, at most max of each at a call, round and round:
 * files without a row, or that their row does not know, are removed; files that
 * are missing or have another size become REMOVED_LOST, until they are back.
 */
struct job_reconciler;
MUST int job_reconciler_new(struct job_reconciler **ret_reconciler,
    struct err *err);
void job_reconciler_free(struct job_reconciler **reconciler);
MUST int job_reconcile(struct job_reconciler *reconciler, struct db *db,
    const char *state_dir, int max, struct err *err);

/*
 * The shield of an app that a capture freezes: whoever probes the app is told
 * that it is not ready, and that it is alive nevertheless.  podprof-capture's
 * side, also of a job that is over, but still holds its target:
 *
 * shield       before it freezes the app, which it does not do for drain_ms yet
 *              (0: at once).  The lease is renewed with the job's, by progress
 *              and hold.
 * set_drained  the app will be frozen now.
 * unshield     it runs again, and has grace_ms to catch up; 0: it is gone.
 *
 * ERR_CONFLICT: the job is neither active nor holds its target (any more).
 */
MUST int job_shield(struct db *db, const char *id, int64_t drain_ms,
    struct err *err);
MUST int job_set_drained(struct db *db, const char *id, struct err *err);
MUST int job_unshield(struct db *db, const char *id, int64_t grace_ms,
    struct err *err);

/* What those are told, in ms since 1970; 0: no. */
struct job_shield {
	int64_t alive_until_ms;		/* called alive */
	int64_t unready_until_ms;	/* called not ready: it is about to be
					 * frozen, or is */
	int64_t since_ms;		/* called so */
	bool is_draining;		/* about to be */
	bool is_forking;		/* a copy is captured: nobody waits */
};

/* Read it. */
MUST int job_find_shield(struct db *db, const char *app, const char *pod,
    struct job_shield *ret_shield, struct err *err);

/*
 * The job as the API shows it, below object.  base: "/APP/private/papi" with
 * whatever prefix the client's address has.  ERR_NOMEM.
 */
MUST int job_put_json(const struct job *job, const char *base,
    struct json *object, struct err *err);

#endif
