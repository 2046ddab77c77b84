/*
 * Numbers of jobs over time.  The triggers of sql/0007_metrics.sql count, in
 * tables of their own, so that nothing is lost when rows of jobs are removed;
 * this is the only module that reads them, and forgets what is old.
 *
 * Of the labels none is NULL; method is "none" where none was chosen.  All text
 * is the row's: valid during the visit.
 */
#ifndef PODPROF_METER_H
#define PODPROF_METER_H

#include <stdint.h>

#include "db.h"
#include "err.h"

/* Jobs of one app, kind and method. */
struct meter {
	const char *app;
	const char *kind;
	const char *method;
	const char *state;	/* meter_read_jobs(), meter_read_ends() */
	int64_t le_ms;		/* meter_read_spans() */
	int64_t jobs;
	int64_t sum_ms;		/* meter_read_spans(): of those */
};

/* Called for each, in the order of the labels; -1 with *err stops. */
typedef int meter_visit_fn(void *ctx, const struct meter *meter,
    struct err *err);

/* Jobs of the pod that are there now, by state. */
MUST int meter_read_jobs(struct db *db, const char *pod,
    meter_visit_fn *visit, void *ctx, struct err *err);

/* All that ever came to an end; state is the final one, or "refused" for what
 * was never accepted. */
MUST int meter_read_ends(struct db *db, const char *pod,
    meter_visit_fn *visit, void *ctx, struct err *err);

/*
 * How long they took: "duration", of those that succeeded, or "freeze", how
 * long the app stood still, of all that froze it.  For each set of labels all
 * the bounds in ascending order, METER_NO_BOUND last, with those that took as
 * long and longer than the bound before.
 */
#define METER_NO_BOUND INT64_MAX
MUST int meter_read_spans(struct db *db, const char *pod, const char *span,
    meter_visit_fn *visit, void *ctx, struct err *err);

/* All jobs and the bytes of their files in the store, of whatever pod and app:
 * what [limits] store_jobs and store_bytes are about. */
MUST int meter_read_store(struct db *db, int64_t *ret_jobs,
    int64_t *ret_bytes, struct err *err);

/*
 * Forget what is counted of other pods that have no jobs, and gave no sign of
 * life for so long: neither was a job of theirs begun, nor did they call this,
 * as each pod that is there does all the time.  Reads only, where there is
 * nothing to do.  ERR_STORE, ERR_SPACE.
 */
#define METER_FORGET_MS (24 * 3600 * 1000)
MUST int meter_sweep(struct db *db, const char *pod, struct err *err);

#endif
