/*
 * What a heap snapshot holds by class, and what grew from one to another: the
 * tables summaries and classes of sql/schema.sql, which only this module knows.
 *
 *	podprof.fcgi			podprof-capture --summarize JOB
 *	begin ----------------- spawn -> summary_run(): claim … put, or fail
 *	find, while somebody waits
 *	get, diff
 *
 * It is made once, when somebody first asks, and kept: also when the file is
 * gone, until the job's row is, or SUMMARY_MAX younger ones are there, or all
 * have SUMMARY_CLASSES classes together.  A pod makes one at a time; where its
 * process has died, whoever asks next begins anew.
 *
 * Errors of every call: those of db.h, and what stands at each.
 */
#ifndef PODPROF_SUMMARY_H
#define PODPROF_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "classes.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "proc.h"
#include "str.h"

#define SUMMARY_MAX 64
#define SUMMARY_CLASSES 500000
/* How long one may take: no more is read then. */
#define SUMMARY_RUN_MS 600000
/* How long after summary_begin() its process is waited for, and how long one
 * that says nothing is believed to go on. */
#define SUMMARY_BEGIN_MS 10000
#define SUMMARY_LEASE_MS 60000

enum summary_state {
	SUMMARY_NONE,		/* there is none, and nobody makes one now */
	SUMMARY_BUSY,		/* there is none, and the pod makes one: of
				 * this job, or another */
	SUMMARY_READY,
	SUMMARY_FAILED,		/* the last one that was begun did */
};

/* How it stands.  ret_why: set for SUMMARY_FAILED. */
MUST int summary_find(struct db *db, const char *pod, const char *job_id,
    enum summary_state *ret_state, struct err *ret_why, struct err *err);

/*
 * Begin one, unless it is there or the pod makes one: true in *ret_is_ours if
 * the caller has to start podprof-capture --summarize.  That the last one
 * failed is forgotten.
 *   ERR_NOT_FOUND  there is no such job (any more)
 */
MUST int summary_begin(struct db *db, const char *app, const char *pod,
    const char *job_id, bool *ret_is_ours, struct err *err);

/* It could not be started: whoever asks next begins anew. */
MUST int summary_abandon(struct db *db, const char *job_id, struct err *err);

/*
 * It is the runner's, and is lost unless it is renewed from then on.  *ret_app
 * is the app of the job.  ERR_CONFLICT: it is not begun (any more).
 */
MUST int summary_claim(struct db *db, const char *job_id,
    const struct proc *runner, char ret_app[STR_NAME_MAX + 1],
    struct err *err);

/*
 * The lease anew; what was found; or why nothing was.
 *   ERR_CONFLICT  it is not the runner's any more: the job was removed, or
 *                 somebody has begun anew
 */
MUST int summary_renew(struct db *db, const char *job_id,
    const struct proc *runner, struct err *err);
MUST int summary_put(struct db *db, const char *job_id,
    const struct proc *runner, const struct classes *classes,
    struct err *err);
MUST int summary_fail(struct db *db, const char *job_id,
    const struct proc *runner, const struct err *why, struct err *err);

/*
 * podprof-capture's side, from claim to put or fail, reading the file once; no
 * more than 64 MiB of memory are needed.
 *
 * err  never NULL here; what was recorded, or why that could not be.
 */
MUST int summary_run(const struct conf *conf, struct db *db,
    const char *job_id, struct err *err);

/* Called for each class; -1 with *err stops.  The name is the row's. */
typedef int summary_visit_fn(void *ctx, const struct class *class,
    struct err *err);

/*
 * One that is ready: the totals, then its classes, largest self size first, and
 * by name where that is equal.
 *
 * limit  so many classes at most; -1: all.
 *
 * ERR_NOT_FOUND: it is not ready (any more).
 */
MUST int summary_get_total(struct db *db, const char *job_id,
    struct classes_total *ret_total, struct err *err);
MUST int summary_get(struct db *db, const char *job_id, int64_t limit,
    summary_visit_fn *visit, void *ctx, struct err *err);

/* How a class differs. */
struct summary_change {
	const char *name;
	int64_t count_delta;
	int64_t self_size_delta_bytes;
	int64_t count;			/* of the later one; 0: it is gone */
	int64_t self_size_bytes;
};
typedef int summary_change_fn(void *ctx, const struct summary_change *change,
    struct err *err);

/* From one that is ready to another: the classes that are not the same, what
 * grew most, by self size and then by count, first; then by name.
 * ERR_NOT_FOUND: one of them is not ready (any more). */
MUST int summary_diff(struct db *db, const char *from_id, const char *to_id,
    int64_t limit, summary_change_fn *visit, void *ctx, struct err *err);

#endif
