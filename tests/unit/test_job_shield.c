/*
 * What those who probe an app are told of its captures: from when, until when,
 * and what is not believed.
 */
#include "store.h"

#include "json.h"

#define DRAIN_MS 15000
#define GRACE 15000

static struct job_shield
find_at(struct fixture *f, const char *app, const char *pod)
{
	struct job_shield shield;
	struct err err;

	memset(&shield, 0xff, sizeof(shield));
	assert_ok(job_find_shield(f->db, app, pod, &shield, &err), err);
	return shield;
}

static struct job_shield
find(struct fixture *f)
{
	return find_at(f, APP, POD);
}

static void
assert_nothing(const struct job_shield shield)
{
	assert_int_equal(shield.alive_until_ms, 0);
	assert_int_equal(shield.unready_until_ms, 0);
	assert_false(shield.is_draining);
	assert_false(shield.is_forking);
}

/* A heap snapshot that may block its app. */
static struct job
create_blocking(struct fixture *f)
{
	const struct job job = create_running(f, JOB_HEAP_SNAPSHOT);

	set_target(f, job.id);
	return get(f, job.id);
}

static void
shield(struct fixture *f, const char *id, int64_t drain_ms)
{
	struct err err;

	assert_ok(job_shield(f->db, id, drain_ms, &err), err);
}

static void
set_drained(struct fixture *f, const char *id)
{
	struct err err;

	assert_ok(job_set_drained(f->db, id, &err), err);
}

static void
unshield(struct fixture *f, const char *id, int64_t grace_ms)
{
	struct err err;

	assert_ok(job_unshield(f->db, id, grace_ms, &err), err);
}

static void
set_progress(struct fixture *f, const char *id)
{
	const struct job_progress progress = { .phase = PHASE_WRITING,
		.done = 1, .total = 2 };
	struct err err;

	assert_ok(job_set_progress(f->db, id, &progress, &err), err);
}

static void
nothing_is_shielded_at_first(void **state)
{
	struct fixture *f = *state;

	assert_nothing(find(f));
	(void)create_blocking(f);
	assert_nothing(find(f));
}

static void
drains_then_freezes_then_thaws(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);
	struct job_shield seen;
	int64_t now_ms;

	clock_stopped_ms = now_ms = clock_utc_ms();
	shield(f, job.id, DRAIN_MS);
	seen = find(f);
	assert_int_equal(seen.alive_until_ms, now_ms + JOB_LEASE_MS);
	assert_int_equal(seen.unready_until_ms, now_ms + JOB_LEASE_MS);
	assert_int_equal(seen.since_ms, now_ms);
	assert_true(seen.is_draining);
	assert_int_equal(get(f, job.id).phase, PHASE_DRAINING);
	assert_int_equal(get(f, job.id).drain_until_ms, now_ms + DRAIN_MS);
	assert_true(get(f, job.id).revision > job.revision);

	clock_stopped_ms += DRAIN_MS;
	set_drained(f, job.id);
	seen = find(f);
	assert_int_equal(seen.unready_until_ms,
	    clock_stopped_ms + JOB_LEASE_MS);
	assert_int_equal(seen.since_ms, now_ms);
	assert_false(seen.is_draining);
	assert_int_equal(get(f, job.id).phase, PHASE_PREFLIGHT);
	assert_true(get(f, job.id).revision > job.revision + 1);

	unshield(f, job.id, GRACE);
	seen = find(f);
	assert_int_equal(seen.alive_until_ms, clock_stopped_ms + GRACE);
	assert_int_equal(seen.unready_until_ms, 0);
	assert_int_equal(seen.since_ms, 0);
	/* What is written down afterwards renews nothing. */
	clock_stopped_ms += GRACE - 1;
	set_progress(f, job.id);
	succeed(f, f->db, job.id);
	assert_int_equal(find(f).alive_until_ms, clock_stopped_ms + 1);
	clock_stopped_ms += 1;
	assert_nothing(find(f));
}

static void
without_a_drain_it_freezes_at_once(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);

	shield(f, job.id, 0);
	assert_true(find(f).unready_until_ms > 0);
	assert_false(find(f).is_draining);
	assert_int_equal(get(f, job.id).phase, PHASE_PREFLIGHT);
	assert_int_equal(get(f, job.id).drain_until_ms, JOB_UNKNOWN);
}

static void
an_app_that_is_gone_has_no_grace(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);

	shield(f, job.id, 0);
	unshield(f, job.id, 0);
	assert_nothing(find(f));
	/* It may be shielded again, for another attempt. */
	shield(f, job.id, 0);
	assert_true(find(f).alive_until_ms > 0);
}

static void
the_lease_is_renewed_with_the_jobs(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);
	struct job canceled;
	struct err err;

	clock_stopped_ms = clock_utc_ms();
	shield(f, job.id, 0);
	clock_stopped_ms += JOB_LEASE_MS - 1;
	set_progress(f, job.id);
	assert_int_equal(find(f).alive_until_ms,
	    clock_stopped_ms + JOB_LEASE_MS);
	/* V8 goes on with what was canceled. */
	assert_ok(job_cancel(f->db, f->dir, job.id, &canceled, &err), err);
	clock_stopped_ms += JOB_LEASE_MS - 1;
	assert_ok(job_hold(f->db, job.id, &err), err);
	assert_int_equal(find(f).unready_until_ms,
	    clock_stopped_ms + JOB_LEASE_MS);
	set_drained(f, job.id);
	unshield(f, job.id, GRACE);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_int_equal(find(f).alive_until_ms, clock_stopped_ms + GRACE);
}

static void
nobody_is_believed_beyond_his_lease(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);

	clock_stopped_ms = clock_utc_ms();
	shield(f, job.id, DRAIN_MS);
	clock_stopped_ms += JOB_LEASE_MS;
	assert_nothing(find(f));
	/* Nor is a lease from the future: the clock was set back. */
	clock_stopped_ms -= JOB_LEASE_MS + 1;
	assert_nothing(find(f));
	clock_stopped_ms += 1;
	assert_true(find(f).alive_until_ms > 0);
}

static void
who_let_go_leaves_the_app_ready(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);
	struct err why, err;

	(void)err_set(&why, ERR_INTERRUPTED, "killed");
	shield(f, job.id, DRAIN_MS);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_true(find(f).alive_until_ms > 0);
	assert_int_equal(find(f).unready_until_ms, 0);
	assert_int_equal(get(f, job.id).phase, PHASE_NONE);
}

static void
others_are_not_concerned(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_blocking(f);

	shield(f, job.id, 0);
	assert_nothing(find_at(f, "other", POD));
	assert_nothing(find_at(f, APP, "other-pod"));
}

static void
a_copy_is_told_of(void **state)
{
	static const struct job_attempt attempt = { METHOD_FORK,
		OUTCOME_RUNNING, "" };
	struct job_plan plan = stream_plan;
	struct fixture *f = *state;
	const struct job job = create_blocking(f);
	struct job_shield seen;
	struct err err;

	plan.used_method = METHOD_FORK;
	plan.attempts = &attempt;
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	seen = find(f);
	assert_true(seen.is_forking);
	assert_int_equal(seen.alive_until_ms, 0);
	succeed(f, f->db, job.id);
	assert_nothing(find(f));
}

static void
what_is_over_cannot_shield(void **state)
{
	struct fixture *f = *state;
	const struct job job = create_succeeded(f);
	struct err err;

	assert_int_equal(job_shield(f->db, job.id, 0, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(job_set_drained(f->db, job.id, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(job_unshield(f->db, job.id, 1, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_nothing(find(f));
}

static void
json_says_that_it_drains(void **state)
{
	struct fixture *f = *state;
	struct job job = create_blocking(f);
	struct json *object = json_new_object();
	struct err err;

	shield(f, job.id, DRAIN_MS);
	job = get(f, job.id);
	assert_ok(job_put_json(&job, "/base", object, &err), err);
	assert_string_equal(json_string(json_get(object, "phase")),
	    "draining");
	assert_string_equal(json_string(json_get(object, "state")),
	    "running");
	json_free(&object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_shielded_at_first),
		TEST(drains_then_freezes_then_thaws),
		TEST(without_a_drain_it_freezes_at_once),
		TEST(an_app_that_is_gone_has_no_grace),
		TEST(the_lease_is_renewed_with_the_jobs),
		TEST(nobody_is_believed_beyond_his_lease),
		TEST(who_let_go_leaves_the_app_ready),
		TEST(others_are_not_concerned),
		TEST(a_copy_is_told_of),
		TEST(what_is_over_cannot_shield),
		TEST(json_says_that_it_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
