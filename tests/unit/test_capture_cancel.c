/*
 * capture, of a job that is canceled: what was captured is thrown away at
 * once, and the app is ours until V8 is done with what cannot be stopped.
 */
#include "captures.h"

#include <stdatomic.h>

/* What is canceled by the app's thread is looked at by the test's. */
static bool was_held;
static bool was_refused;
static bool was_renewed;
static int64_t left_after_ms;
static atomic_llong mono_shift_ms;
/* Done at the next fsync(2) of the capture. */
static bool cancels_at_fsync;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + mono_shift_ms;
}

/* As another process does, with a connection of its own. */
static void
cancel_job(void)
{
	struct db *other = NULL;
	struct job canceled;
	struct err err;

	if (job_open_db(dir, &other, &err) != 0 ||
	    job_cancel(other, dir, job.id, &canceled, &err) != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	db_close(&other);
}

int
__wrap_fsync(int fd)
{
	if (cancels_at_fsync) {
		cancels_at_fsync = false;
		cancel_job();
	}
	return __real_fsync(fd);
}

static void
begin_cancel(enum job_kind kind, int64_t duration_ms, method_fn *fn)
{
	was_held = was_refused = was_renewed = false;
	left_after_ms = INT64_MAX;
	mono_shift_ms = 0;
	begin(kind, duration_ms, "", fn);
}

static bool
is_held(struct db *other)
{
	struct job now;
	struct err err;

	return job_get(other, dir, "sample", "pod-1", job.id, &now, &err) ==
	    0 && now.state == JOB_CANCELED && now.holds_target;
}

static int64_t
read_lease(struct db *other)
{
	struct job now;
	struct err err;

	if (job_get(other, dir, "sample", "pod-1", job.id, &now, &err) != 0)
		return 0;
	return now.lease_until_ms;
}

static bool
is_refused(struct db *other)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN);
	struct job next;
	bool is_new;
	struct err err;

	return job_create(other, dir, &order, &next, &is_new, &err) != 0 &&
	    err.code == ERR_CONFLICT && strcmp(next.id, job.id) == 0;
}

/* True once the file that was begun is gone; false after 10 s. */
static bool
wait_for_no_file(void)
{
	const int64_t deadline_ms = __real_clock_mono_ms() + 60000;

	while (count_files() > 0) {
		if (__real_clock_mono_ms() > deadline_ms)
			return false;
		(void)poll(NULL, 0, 5);
	}
	return true;
}

/* The job was canceled, and nothing of it is left but the row. */
static void
expect_canceled(const char *want)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN);
	struct job next;
	bool is_new;
	struct err err;

	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    want);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_int_equal(job.phase, PHASE_NONE);
	assert_false(job.holds_target);
	assert_int_equal(job.sum.size_bytes, JOB_UNKNOWN);
	assert_int_equal(count_files(), 0);
	/* The app is free for the next one. */
	assert_ok(job_create(db, dir, &order, &next, &is_new, &err), err);
	end();
}

static bool
cancels_when_asked(int fd, long long id, const char *method)
{
	int64_t since_ms;

	(void)id;
	if (strcmp(method, "Runtime.evaluate") != 0)
		return false;
	cancel_job();
	since_ms = clock_mono_ms();
	stall(fd);
	left_after_ms = clock_mono_ms() - since_ms;
	return true;
}

static void
test_in_the_preflight(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, cancels_when_asked);
	expect_canceled("the job was canceled");
	/* Not when the lease is due, or the question is given up. */
	assert_true(left_after_ms < JOB_LEASE_MS / 3 - 1000);
}

static void
test_before_it_is_begun(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, NULL);
	cancel_job();
	assert_int_equal(in.connections, 0);
	expect_canceled("is canceled, so it cannot be begun");
	assert_int_equal(in.connections, 0);
}

/* V8 goes on for a while, and so do its chunks. */
static bool
cancels_in_snapshot(int fd, long long id, const char *method)
{
	struct db *other = NULL;
	struct err err;
	int i;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	cancel_job();
	if (job_open_db(dir, &other, &err) == 0 && wait_for_no_file()) {
		was_held = is_held(other);
		was_refused = is_refused(other);
		for (i = 0; i < 100; i++)
			send_chunk(fd, "and so on");
		was_held = was_held && is_held(other) && count_files() == 0;
	}
	db_close(&other);
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_in_the_snapshot(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, cancels_in_snapshot);
	expect_canceled("the job was canceled");
	assert_true(was_held);
	assert_true(was_refused);
}

/* The lease of one that holds its target is renewed as any other. */
static bool
cancels_and_waits(int fd, long long id, const char *method)
{
	const int64_t deadline_ms = __real_clock_mono_ms() + 60000;
	struct db *other = NULL;
	struct err err;
	int64_t lease_ms;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	cancel_job();
	if (job_open_db(dir, &other, &err) == 0 && wait_for_no_file()) {
		lease_ms = read_lease(other);
		mono_shift_ms += JOB_LEASE_MS / 3;
		while (!was_renewed && __real_clock_mono_ms() < deadline_ms) {
			was_renewed = read_lease(other) > lease_ms;
			(void)poll(NULL, 0, 5);
		}
		was_held = is_held(other);
	}
	db_close(&other);
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_lease_is_renewed(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, cancels_and_waits);
	expect_canceled("the job was canceled");
	assert_true(was_renewed);
	assert_true(was_held);
}

/* Somebody took us for dead, and has let go of the target for us. */
static bool
loses_its_hold(int fd, long long id, const char *method)
{
	struct db *other = NULL;
	struct err err;

	(void)id;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	cancel_job();
	if (job_open_db(dir, &other, &err) == 0 && wait_for_no_file()) {
		was_held = is_held(other);
		if (job_release(other, dir, job.id, &err) != 0)
			(void)fprintf(stderr, "%s\n", err.msg);
	}
	db_close(&other);
	mono_shift_ms += JOB_LEASE_MS / 3;
	stall(fd);
	return true;
}

static void
test_lost_hold_ends_the_wait(void **state)
{
	int64_t began_ms = __real_clock_mono_ms();

	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, loses_its_hold);
	expect_canceled("");
	assert_true(was_held);
	assert_true(__real_clock_mono_ms() - began_ms < 15000);
}

static bool
cancels_and_dies(int fd, long long id, const char *method)
{
	(void)id;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	cancel_job();
	was_held = wait_for_no_file();
	(void)shutdown(fd, SHUT_RDWR);
	return true;
}

/* Then there is nothing left that could hold anything. */
static void
test_app_dies_while_it_is_held(void **state)
{
	struct err err;

	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, cancels_and_dies);
	assert_err(capture_run(conf, db, job.id, &err), err,
	    ERR_CONFLICT, "the job was canceled");
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	assert_true(was_held);
	assert_int_equal(count_files(), 0);
	end();
}

/* All is there by the time somebody says that it is not wanted. */
static bool
cancels_at_the_end(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD SNAPSHOT_TAIL);
	cancel_job();
	reply(fd, id, "{}");
	return true;
}

static void
test_when_all_is_there(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, cancels_at_the_end);
	expect_canceled("the job was canceled");
}

static bool
takes_snapshot(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_when_the_file_is_written(void **state)
{
	(void)state;
	begin_cancel(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, takes_snapshot);
	cancels_at_fsync = true;
	expect_canceled("not active any more");
	assert_false(cancels_at_fsync);
}

static bool
cancels_when_started(int fd, long long id, const char *method)
{
	if (strcmp(method, "Profiler.start") != 0)
		return false;
	reply(fd, id, "{}");
	cancel_job();
	return true;
}

/* A profile can be stopped: its minute is not waited for. */
static void
test_in_the_profile(void **state)
{
	int64_t began_ms = clock_mono_ms();

	(void)state;
	begin_cancel(JOB_CPU_PROFILE, 60000, cancels_when_started);
	expect_canceled("the job was canceled");
	assert_true(clock_mono_ms() - began_ms < 20000);
}

static bool
cancels_when_stopped(int fd, long long id, const char *method)
{
	(void)id;
	if (strcmp(method, "Profiler.stop") != 0)
		return false;
	cancel_job();
	stall(fd);
	return true;
}

static void
test_while_the_profile_is_awaited(void **state)
{
	(void)state;
	begin_cancel(JOB_CPU_PROFILE, 100, cancels_when_stopped);
	expect_canceled("the job was canceled");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_the_preflight),
		cmocka_unit_test(test_before_it_is_begun),
		cmocka_unit_test(test_in_the_snapshot),
		cmocka_unit_test(test_lease_is_renewed),
		cmocka_unit_test(test_lost_hold_ends_the_wait),
		cmocka_unit_test(test_app_dies_while_it_is_held),
		cmocka_unit_test(test_when_all_is_there),
		cmocka_unit_test(test_when_the_file_is_written),
		cmocka_unit_test(test_in_the_profile),
		cmocka_unit_test(test_while_the_profile_is_awaited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
