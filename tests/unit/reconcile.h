/*
 * What the unit programs of job_reconcile() share: one that goes round, and a
 * look at what it has found.
 */
#ifndef PODPROF_RECONCILE_H
#define PODPROF_RECONCILE_H

#include "store.h"

#include "log.h"

/* An id that no row has. */
#define ORPHAN "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"

static struct job_reconciler *reconciler;

static inline int
setup_reconciler(void **state)
{
	struct err err;

	/* What is removed and what is back is told in the log. */
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_ok(job_reconciler_new(&reconciler, &err), err);
	return setup(state);
}

static inline int
teardown_reconciler(void **state)
{
	job_reconciler_free(&reconciler);
	assert_null(reconciler);
	job_reconciler_free(&reconciler);
	job_reconciler_free(NULL);
	return teardown(state);
}

static inline void
reconcile(struct fixture *f, int max)
{
	struct err err;

	assert_ok(job_reconcile(reconciler, f->db, f->dir, max, &err), err);
}

static inline void
expect_lost(struct fixture *f, const struct job *job)
{
	struct job now = get(f, job->id);

	assert_int_equal(now.state, JOB_SUCCEEDED);
	assert_int_equal(now.removed_because, REMOVED_LOST);
	assert_true(now.removed_at_ms != JOB_UNKNOWN);
	assert_false(job_has_artifact(&now));
}

#define RECONCILE_TEST(name) cmocka_unit_test_setup_teardown(name, \
	setup_reconciler, teardown_reconciler)

#endif
