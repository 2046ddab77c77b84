/*
 * The thread on which requests wait: who is told, when, and who is not.
 */
#include "site.h"

#include <pthread.h>

#include "clock.h"
#include "route.h"
#include "service.h"
#include "waiter.h"

#define WAITS_MAX 16
#define LONG_MS 60000
/* For a test that hangs; the waiter ticks many times in it. */
#define PATIENCE_MS 20000

static struct site site;
static struct service *service;
static struct gate_watch *watch;
static struct waiter *waiter;

/* One that waits, or has waited. */
struct wait {
	struct request *request;
	int out;
	enum waiter_end end;
	bool is_over;
};

static struct {
	pthread_mutex_t lock;
	struct wait waits[WAITS_MAX];
	size_t len;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A waiter_over_fn. */
static void
note_over(void *ctx, struct request *request_take, enum waiter_end end)
{
	size_t i;

	assert_ptr_equal(ctx, &all);
	(void)pthread_mutex_lock(&all.lock);
	for (i = 0; i < all.len; i++) {
		if (all.waits[i].request != request_take)
			continue;
		assert_false(all.waits[i].is_over);
		all.waits[i].is_over = true;
		all.waits[i].end = end;
	}
	(void)pthread_mutex_unlock(&all.lock);
}

static bool
is_over(size_t i, enum waiter_end end)
{
	bool is_over;

	(void)pthread_mutex_lock(&all.lock);
	is_over = all.waits[i].is_over;
	if (is_over)
		assert_int_equal(all.waits[i].end, end);
	(void)pthread_mutex_unlock(&all.lock);
	return is_over;
}

static void
expect_over(size_t i, enum waiter_end end)
{
	const int64_t end_ms = clock_mono_ms() + PATIENCE_MS;

	while (!is_over(i, end)) {
		if (clock_mono_ms() > end_ms)
			fail_msg("%zu waits still", i);
		(void)poll(NULL, 0, 2);
	}
}

static int
resume(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)seat;
	(void)request;
	(void)job;
	(void)answer;
	return err_set(err, ERR_INTERNAL, "never called");
}

/* A request of the app that has a place, and will be the next to wait. */
static struct request *
open_request(const char *app)
{
	static char *env[] = { NULL };
	struct wait *wait = &all.waits[all.len];
	struct gate *gate = front_gate(env, "", &wait->out);
	struct err err;

	assert_true(all.len < WAITS_MAX);
	assert_ok(request_new(&gate, &wait->request, &err), err);
	assert_ok(service_take_place(service, wait->request, &err), err);
	assert_true(str_copy(wait->request->app, sizeof(wait->request->app),
	    app));
	return wait->request;
}

static size_t
park(struct request *request)
{
	size_t i;

	(void)pthread_mutex_lock(&all.lock);
	i = all.len++;
	(void)pthread_mutex_unlock(&all.lock);
	waiter_park(waiter, request);
	return i;
}

static size_t
park_look(const char *app, int64_t revision, int64_t ms)
{
	struct request *request = open_request(app);
	struct answer answer;

	answer_init(&answer);
	request_wait_look(request, &answer, revision, ms, resume);
	assert_int_equal(answer.kind, ANSWER_WAIT);
	answer_fini(&answer);
	return park(request);
}

static size_t
park_job(const struct job *job, enum request_until until)
{
	struct request *request = open_request(job->app);
	struct answer answer;

	answer_init(&answer);
	request_wait(request, &answer, job, until, LONG_MS, resume);
	answer_fini(&answer);
	return park(request);
}

static size_t
park_summary(const struct job *job)
{
	struct request *request = open_request(job->app);
	struct answer answer;

	answer_init(&answer);
	request_wait_summary(request, &answer, job->id,
	    clock_mono_ms() + LONG_MS, resume);
	answer_fini(&answer);
	return park(request);
}

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	site_open(&site);
	site.conf.waiting = WAITS_MAX;
	assert_ok(service_new(&site.conf, SPAWN_LOG_STDERR, &service, &err),
	    err);
	assert_ok(gate_watch_new(&watch, &err), err);
	assert_ok(waiter_start(service, watch, note_over, &all, &waiter,
	    &err), err);
	return 0;
}

static int
tear_down(void **state)
{
	size_t i;

	(void)state;
	waiter_stop(waiter);
	waiter_free(&waiter);
	assert_null(waiter);
	for (i = 0; i < all.len; i++) {
		assert_true(all.waits[i].is_over);
		request_free(&all.waits[i].request);
		(void)close(all.waits[i].out);
	}
	memset(all.waits, 0, sizeof(all.waits));
	all.len = 0;
	gate_watch_free(&watch);
	service_free(&service);
	site_close(&site);
	return 0;
}

/* Ask for a look at the app; what to wait for. */
static int64_t
begin_look(const char *app)
{
	int64_t revision;
	bool is_ours;
	struct err err;

	assert_ok(look_begin(site.db, app, "pod-1", &is_ours, &revision,
	    &err), err);
	assert_true(is_ours);
	assert_true(revision > 0);
	return revision;
}

static struct job
order_job(const char *app)
{
	const struct job_order order = { .app = app, .pod = "pod-1",
		.kind = JOB_CPU_PROFILE, .method = METHOD_AUTO,
		.duration_ms = 500, .interval_us = JOB_UNKNOWN,
		.sampling_bytes = JOB_UNKNOWN,
		.requested_by = "oda", .request_id = "r", .profiles_max = 9 };
	struct job job;
	struct err err;
	bool is_new;

	assert_ok(job_create(site.db, site.state_dir, &order, &job, &is_new,
	    &err), err);
	return job;
}

/* Each hears of its own app, whatever else changes, and in whatever order they
 * came. */
static void
test_looks(void **state)
{
	const int64_t app = begin_look("app"), forked = begin_look("forked");
	size_t a[3], b[2], i;

	(void)state;
	a[0] = park_look("app", app, LONG_MS);
	b[0] = park_look("forked", forked, LONG_MS);
	a[1] = park_look("app", app, LONG_MS);
	b[1] = park_look("forked", forked, LONG_MS);
	a[2] = park_look("app", app, LONG_MS);
	site_look(&site, site.db, "forked");
	for (i = 0; i < 2; i++)
		expect_over(b[i], WAIT_OVER);
	for (i = 0; i < 3; i++)
		assert_false(is_over(a[i], WAIT_OVER));
	site_look(&site, site.db, "app");
	for (i = 0; i < 3; i++)
		expect_over(a[i], WAIT_OVER);
	/* Who comes later learns at once. */
	expect_over(park_look("app", app, LONG_MS), WAIT_OVER);
	/* Unless it waits for the next. */
	i = park_look("app", app + 1, LONG_MS);
	site_look(&site, site.db, "forked");
	expect_over(park_look("forked", forked, LONG_MS), WAIT_OVER);
	assert_false(is_over(i, WAIT_OVER));
	site_look(&site, site.db, "app");
	expect_over(i, WAIT_OVER);
}

/* Jobs and looks side by side. */
static void
test_jobs(void **state)
{
	const struct job one = order_job("app"), two = order_job("app");
	const int64_t revision = begin_look("app");
	size_t preflight, final, changed, look, second;

	(void)state;
	/* Else it has but the time of a queued one. */
	site_attach(site.db, two.id);
	final = park_job(&one, UNTIL_FINAL);
	look = park_look("app", revision, LONG_MS);
	preflight = park_job(&one, UNTIL_PREFLIGHT);
	second = park_job(&two, UNTIL_FINAL);
	changed = park_job(&one, UNTIL_CHANGED);
	site_attach(site.db, one.id);
	expect_over(preflight, WAIT_OVER);
	expect_over(changed, WAIT_OVER);
	site_look(&site, site.db, "app");
	expect_over(look, WAIT_OVER);
	assert_false(is_over(final, WAIT_OVER));
	site_fail(&site, one.id, ERR_TARGET_EXITED, "the app ended");
	expect_over(final, WAIT_OVER);
	assert_false(is_over(second, WAIT_OVER));
	site_fail(&site, two.id, ERR_TARGET_EXITED, "the app ended");
	expect_over(second, WAIT_OVER);
}

/* Those of one job, and those of its summary: each hears of its own. */
static void
test_summaries(void **state)
{
	const struct job job = order_job("app");
	size_t jobs[2], summaries[2], i;
	bool is_ours = false;
	struct err err;

	(void)state;
	assert_ok(summary_begin(site.db, "app", "pod-1", job.id, &is_ours,
	    &err), err);
	assert_true(is_ours);
	for (i = 0; i < 2; i++) {
		jobs[i] = park_job(&job, UNTIL_CHANGED);
		summaries[i] = park_summary(&job);
	}
	site_attach(site.db, job.id);
	for (i = 0; i < 2; i++)
		expect_over(jobs[i], WAIT_OVER);
	for (i = 0; i < 2; i++)
		assert_false(is_over(summaries[i], WAIT_OVER));
	/* Nobody makes it any more. */
	i = park_job(&job, UNTIL_FINAL);
	assert_ok(summary_abandon(site.db, job.id, &err), err);
	expect_over(summaries[0], WAIT_OVER);
	expect_over(summaries[1], WAIT_OVER);
	assert_false(is_over(i, WAIT_OVER));
	expect_over(park_summary(&job), WAIT_OVER);
}

/* The time is over, and not before. */
static void
test_time(void **state)
{
	const int64_t revision = begin_look("app");
	const int64_t began_ms = clock_mono_ms();
	size_t i = park_look("app", revision, 150);

	(void)state;
	expect_over(i, WAIT_OVER);
	assert_true(clock_mono_ms() - began_ms >= 150);
	expect_over(park_look("app", revision, 0), WAIT_OVER);
}

/* There is nothing to wait for any more: they are to be told. */
static void
test_gone(void **state)
{
	const int64_t revision = begin_look("app");
	const struct job job = order_job("forked");
	size_t look, final;
	struct err err;

	(void)state;
	/* Else it has but the time of a queued one. */
	site_attach(site.db, job.id);
	look = park_look("app", revision, LONG_MS);
	final = park_job(&job, UNTIL_FINAL);
	assert_ok(db_exec(site.db, "DELETE FROM looks", &err), err);
	expect_over(look, WAIT_OVER);
	assert_false(is_over(final, WAIT_OVER));
	assert_ok(db_exec(site.db, "DELETE FROM jobs", &err), err);
	expect_over(final, WAIT_OVER);
}

static void
test_lost_database(void **state)
{
	const int64_t revision = begin_look("app");
	char aside[320];
	size_t i;

	(void)state;
	i = park_look("app", revision, LONG_MS);
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	expect_over(i, WAIT_OVER);
	assert_int_equal(rename(aside, site.state_dir), 0);
}

/* The service ends: all are let go, but who has an answer gets it. */
static void
test_stop(void **state)
{
	const int64_t app = begin_look("app"), forked = begin_look("forked");
	const struct job job = order_job("app");
	size_t look, final, answered;

	(void)state;
	look = park_look("app", app, LONG_MS);
	final = park_job(&job, UNTIL_FINAL);
	waiter_stop(waiter);
	expect_over(look, WAIT_STOPPED);
	expect_over(final, WAIT_STOPPED);
	site_look(&site, site.db, "forked");
	answered = park_look("forked", forked, LONG_MS);
	look = park_look("app", app, LONG_MS);
	expect_over(answered, WAIT_OVER);
	expect_over(look, WAIT_STOPPED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_looks),
		TEST(test_jobs),
		TEST(test_summaries),
		TEST(test_time),
		TEST(test_gone),
		TEST(test_lost_database),
		TEST(test_stop),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
