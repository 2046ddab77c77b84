/*
 * capture, and those who probe the app: what they are told before it is frozen,
 * meanwhile, and afterwards.
 */
#include "captures.h"

#include <stdatomic.h>

#define ROOMY ",\\\"heapUsed\\\":1000,\\\"memAvailable\\\":8000000000"
#define NARROW ",\\\"heapUsed\\\":100000000,\\\"memAvailable\\\":1000000"

/* As it was when V8 was told to begin. */
static struct {
	atomic_bool has_begun;
	struct job_shield shield;
	bool has_lease;
	int64_t at_ms;		/* clock_mono_ms() */
	atomic_int asked;	/* before */
} frozen;

static enum { AS_IT_IS, CANCELED, NO_SPACE } on_shield;
static bool narrows;	/* once it is drained */
static int64_t shielded_ms;

int __wrap_job_shield(struct db *store, const char *id, int64_t drain_ms,
    struct err *err);
int __real_job_shield(struct db *store, const char *id, int64_t drain_ms,
    struct err *err);
int __wrap_job_set_drained(struct db *store, const char *id, struct err *err);
int __real_job_set_drained(struct db *store, const char *id, struct err *err);

/* As another process does, with a connection of its own. */
static void
cancel_job(void)
{
	struct db *other = NULL;
	struct job canceled;
	struct err err;

	assert_ok(job_open_db(dir, &other, &err), err);
	assert_ok(job_cancel(other, dir, job.id, &canceled, &err), err);
	db_close(&other);
}

int
__wrap_job_shield(struct db *store, const char *id, int64_t drain_ms,
    struct err *err)
{
	if (on_shield == NO_SPACE)
		return err_set(err, ERR_SPACE, "the disk is full");
	shielded_ms = clock_mono_ms();
	if (__real_job_shield(store, id, drain_ms, err) != 0)
		return -1;
	if (on_shield == CANCELED)
		cancel_job();
	return 0;
}

int
__wrap_job_set_drained(struct db *store, const char *id, struct err *err)
{
	if (narrows)
		facts = FACTS_AND(NARROW);
	return __real_job_set_drained(store, id, err);
}

static bool
has_lease(void)
{
	char path[400];

	(void)snprintf(path, sizeof(path),
	    "%s/exchange/podprof-freeze-sample", dir);
	return access(path, F_OK) == 0;
}

static struct job_shield
find(void)
{
	struct job_shield shield;
	struct db *other = NULL;
	struct err err;

	memset(&shield, 0, sizeof(shield));
	if (job_open_db(dir, &other, &err) != 0 || job_find_shield(other,
	    "sample", "pod-1", &shield, &err) != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	db_close(&other);
	return shield;
}

/* On the app's thread. */
static bool
note(const char *method)
{
	if (strcmp(method, "Runtime.evaluate") == 0 && !frozen.has_begun)
		frozen.asked++;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	frozen.has_begun = true;
	frozen.at_ms = clock_mono_ms();
	frozen.shield = find();
	frozen.has_lease = has_lease();
	return true;
}

static bool
takes(int fd, long long id, const char *method)
{
	if (!note(method))
		return false;
	send_chunk(fd, SNAPSHOT_HEAD SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static bool
dies(int fd, long long id, const char *method)
{
	(void)id;
	if (!note(method))
		return false;
	(void)shutdown(fd, SHUT_RDWR);
	return true;
}

static void
start(const char *health_url, int64_t drain_ms, const char *limits,
    method_fn *fn)
{
	char path[400];

	memset(&frozen, 0, sizeof(frozen));
	on_shield = AS_IT_IS;
	narrows = false;
	shielded_ms = 0;
	facts = FACTS_AND(ROOMY);
	begin(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, limits, fn);
	conf->apps[0].health_url = health_url;
	conf->apps[0].drain_ms = drain_ms;
	(void)snprintf(path, sizeof(path), "%s/exchange", dir);
	assert_int_equal(mkdir(path, 0770), 0);
}

#define URL "http://127.0.0.1:1/up"

static void
run(void)
{
	struct err err;

	assert_ok(capture_run(conf, db, job.id, &err), err);
	read_job();
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_int_equal(job.used_method, METHOD_STREAM);
}

static void
expect_failure(enum err_code code, const char *want)
{
	struct err err;

	assert_err(capture_run(conf, db, job.id, &err), err, code, want);
	read_job();
	assert_false(job.holds_target);
}

static void
expect_nothing_left(void)
{
	const struct job_shield shield = find();

	assert_int_equal(shield.alive_until_ms, 0);
	assert_int_equal(shield.unready_until_ms, 0);
	assert_false(has_lease());
}

static void
an_app_is_shielded_while_it_is_frozen(void **state)
{
	struct job_shield after;
	int64_t left_ms;

	(void)state;
	start("", 60000, "", takes);
	run();
	/* Nobody asks podprof: nobody would know that it drains. */
	assert_int_equal(frozen.asked, 3);	/* direct, too */
	assert_true(frozen.shield.alive_until_ms > 0);
	assert_true(frozen.shield.unready_until_ms > 0);
	assert_false(frozen.shield.is_draining);
	assert_true(frozen.has_lease);
	after = find();
	left_ms = after.alive_until_ms - clock_utc_ms();
	assert_true(left_ms > 0 && left_ms <= CAPTURE_GRACE_MS);
	assert_int_equal(after.unready_until_ms, 0);
	/* For as long. */
	assert_true(has_lease());
	end();
}

static void
it_is_drained_first(void **state)
{
	(void)state;
	start(URL, 300, "", takes);
	run();
	assert_true(frozen.at_ms - shielded_ms >= 300);
	assert_false(frozen.shield.is_draining);
	/* Once more, as what was known has grown old. */
	assert_int_equal(frozen.asked, 4);
	assert_int_equal(job.drain_until_ms, JOB_UNKNOWN);
	end();
}

static void
a_drain_of_nothing_takes_no_time(void **state)
{
	(void)state;
	start(URL, 0, "", takes);
	run();
	assert_int_equal(frozen.asked, 3);
	end();
}

static void
who_cancels_while_it_is_drained_is_heard(void **state)
{
	(void)state;
	start(URL, 60000, "", takes);
	on_shield = CANCELED;
	expect_failure(ERR_CONFLICT, "canceled");
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(frozen.has_begun);
	expect_nothing_left();
	end();
}

static void
an_app_that_dies_is_shielded_no_more(void **state)
{
	(void)state;
	start(URL, 0, "", dies);
	expect_failure(ERR_TARGET_EXITED, "");
	assert_true(frozen.has_begun);
	assert_true(frozen.shield.alive_until_ms > 0);
	expect_nothing_left();
	end();
}

static void
without_a_shield_who_leans_on_it_is_left_alone(void **state)
{
	(void)state;
	start(URL, 0, "", takes);
	on_shield = NO_SPACE;
	expect_failure(ERR_SPACE, "cannot be shielded while it is frozen, and "
	    "is left alone: the disk is full");
	assert_false(frozen.has_begun);
	expect_nothing_left();
	end();
	start("", 0, "", takes);
	on_shield = NO_SPACE;
	run();
	assert_int_equal(frozen.shield.alive_until_ms, 0);
	end();
}

static void
the_guard_looks_again_after_the_drain(void **state)
{
	(void)state;
	start(URL, 50, "", takes);
	narrows = true;
	expect_failure(ERR_SPACE, "memory");
	assert_false(frozen.has_begun);
	expect_nothing_left();
	end();
}

static void
a_drain_is_bounded_by_the_job(void **state)
{
	(void)state;
	start(URL, 60000, "job_timeout = 5s\n", takes);
	expect_failure(ERR_TARGET_TIMEOUT, "job_timeout was over before [app "
	    "sample] drain");
	assert_false(frozen.has_begun);
	expect_nothing_left();
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_app_is_shielded_while_it_is_frozen),
		cmocka_unit_test(it_is_drained_first),
		cmocka_unit_test(a_drain_of_nothing_takes_no_time),
		cmocka_unit_test(who_cancels_while_it_is_drained_is_heard),
		cmocka_unit_test(an_app_that_dies_is_shielded_no_more),
		cmocka_unit_test(
		    without_a_shield_who_leans_on_it_is_left_alone),
		cmocka_unit_test(the_guard_looks_again_after_the_drain),
		cmocka_unit_test(a_drain_is_bounded_by_the_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
