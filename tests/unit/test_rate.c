/*
 * The captures that may be begun in a minute.
 */
#include "store.h"

#include "rate.h"

#define RATE_APP "shop"

static struct rate
rate_of(const char *app, const char *who)
{
	return (struct rate){ .app = app, .pod = POD, .who = who,
		.app_max = 5, .who_max = 3 };
}

static void
take(struct fixture *f, const struct rate *rate)
{
	struct err err;

	assert_ok(rate_take(f->db, rate, &err), err);
}

static int64_t
wait_of(struct fixture *f, const struct rate *rate)
{
	int64_t ms = -1;
	struct err err;

	assert_ok(rate_wait_ms(f->db, rate, &ms, &err), err);
	return ms;
}

static int64_t
rows(struct fixture *f)
{
	static const char COUNT[] = "SELECT count(*) AS n FROM starts";

	return number_of(f, COUNT, NULL);
}

static int
setup_still(void **state)
{
	clock_stopped_ms = 1000000000000;
	return setup(state);
}

/* Never more than that in any minute, whenever it begins. */
static void
test_requester(void **state)
{
	const struct rate rate = rate_of(RATE_APP, "ci");
	struct fixture *f = *state;
	struct err err;
	int i;

	for (i = 0; i < 3; i++) {
		assert_int_equal(wait_of(f, &rate), 0);
		take(f, &rate);
		clock_shift_ms += 10000;
	}
	/* Begun at 0, 10 and 20 s; it is 30 s now. */
	assert_err(rate_take(f->db, &rate, &err), err, ERR_LIMIT,
	    "ci has begun 3 captures within a minute, as many as [limits] "
	    "token_captures");
	assert_int_equal(wait_of(f, &rate), 30000);
	clock_shift_ms += 29999;
	assert_err(rate_take(f->db, &rate, &err), err, ERR_LIMIT, "ci");
	assert_int_equal(wait_of(f, &rate), 1);
	clock_shift_ms += 1;
	take(f, &rate);
	assert_int_equal(wait_of(f, &rate), 10000);
	assert_int_equal(rows(f), 3);
}

static void
test_others_are_free(void **state)
{
	struct rate rate = rate_of(RATE_APP, "ci");
	struct fixture *f = *state;
	struct err err;
	int i;

	for (i = 0; i < 3; i++)
		take(f, &rate);
	assert_err(rate_take(f->db, &rate, &err), err, ERR_LIMIT, "ci");
	/* Its other apps are refused, too; others are not. */
	rate.app = "other";
	assert_err(rate_take(f->db, &rate, &err), err, ERR_LIMIT, "ci");
	rate = rate_of(RATE_APP, "oda");
	take(f, &rate);
	take(f, &rate);
	rate.who = "val";
	assert_err(rate_take(f->db, &rate, &err), err, ERR_LIMIT,
	    "5 captures of app shop were begun within a minute, as many as "
	    "[limits] app_captures");
	assert_int_equal(wait_of(f, &rate), RATE_WINDOW_MS);
	rate.app = "other";
	take(f, &rate);
	/* Each pod has its own. */
	rate = rate_of(RATE_APP, "ci");
	rate.pod = "pod-2";
	take(f, &rate);
	assert_int_equal(rows(f), 7);
}

static void
test_zero_is_no_limit(void **state)
{
	struct rate rate = rate_of(RATE_APP, "ci");
	struct fixture *f = *state;
	int i;

	rate.app_max = rate.who_max = 0;
	for (i = 0; i < 20; i++)
		take(f, &rate);
	assert_int_equal(wait_of(f, &rate), 0);
	/* They count for those who come with one. */
	rate.who_max = 20;
	assert_int_equal(wait_of(f, &rate), RATE_WINDOW_MS);
}

/* What is over is no row any more, and nothing stays for a clock that went
 * back. */
static void
test_bounded(void **state)
{
	const struct rate rate = rate_of(RATE_APP, "ci");
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 3; i++)
		take(f, &rate);
	clock_shift_ms += RATE_WINDOW_MS;
	take(f, &rate);
	assert_int_equal(rows(f), 1);
	take(f, &rate);
	take(f, &rate);
	assert_int_equal(wait_of(f, &rate), RATE_WINDOW_MS);
	clock_shift_ms -= 10 * RATE_WINDOW_MS;
	assert_int_equal(wait_of(f, &rate), 0);
	take(f, &rate);
	assert_int_equal(rows(f), 1);
}

/* Through job_create(): only what is begun counts. */
static void
test_jobs(void **state)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	const struct err why = { ERR_TARGET_UNREACHABLE, "nobody is there" };
	struct fixture *f = *state;
	struct rate rate;
	struct job job;
	struct err err;
	bool is_new;

	order.token_captures = 2;
	order.app_captures = 3;
	order.key = "k";
	order.key_sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310"
	    "c060f61caaff8a";
	assert_ok(try_create(f, &order, &job, &err), err);
	/* Sent again, it is no other. */
	assert_ok(job_create(f->db, f->dir, &order, &job, &is_new, &err), err);
	assert_false(is_new);
	assert_int_equal(rows(f), 1);
	/* What is refused for another reason neither. */
	order.key = NULL;
	order.profiles_max = 1;
	assert_err(try_create(f, &order, &job, &err), err, ERR_LIMIT,
	    "[limits] profiles");
	assert_int_equal(rows(f), 1);
	order.profiles_max = 32;
	/* What the preflight refuses does. */
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_discard(f->db, job.id, &err), err);
	assert_err(try_create(f, &order, &job, &err), err, ERR_LIMIT,
	    "token_captures");
	rate = job_rate_of(&order);
	assert_int_equal(wait_of(f, &rate), RATE_WINDOW_MS);
	order.requested_by = "oda";
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_err(try_create(f, &order, &job, &err), err, ERR_LIMIT,
	    "app_captures");
	assert_int_equal(rows(f), 3);
	/* A snapshot that is in the way is told rather than a limit. */
	clock_shift_ms += RATE_WINDOW_MS;
	order = order_of(JOB_HEAP_SNAPSHOT);
	order.token_captures = 1;
	assert_ok(try_create(f, &order, &job, &err), err);
	assert_err(try_create(f, &order, &job, &err), err, ERR_CONFLICT,
	    "Snapshot already generating");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define STILL(f) cmocka_unit_test_setup_teardown(f, setup_still, teardown)
		STILL(test_requester),
		STILL(test_others_are_free),
		STILL(test_zero_is_no_limit),
		STILL(test_bounded),
		STILL(test_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
