/*
 * capture, and the room its file takes: as the file grows beyond what was
 * expected, and while others write on the same disk.
 */
#include "room.h"

/* What grows beyond what was expected takes more, in steps ahead of it. */
static void
test_growth_is_reserved(void **state)
{
	int i;

	(void)state;
	noisy_chunks = 4;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	expect_success();
	assert_true(job.sum.stored_bytes > 3 * MEGABYTE);
	assert_in_range(tries_len, 3, 12);
	for (i = 1; i < tries_len; i++) {
		assert_int_equal(tries[i].rc, 0);
		assert_true(tries[i].written_bytes > tries[i - 1].bytes);
		assert_in_range(tries[i].bytes - tries[i].written_bytes,
		    CAPTURE_STEP_MIN_BYTES, CAPTURE_STEP_MIN_BYTES +
		    CAPTURE_STEP_MAX_BYTES);
	}
	end();
}

static void
test_growth_has_an_end(void **state)
{
	(void)state;
	noisy_chunks = 4;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "store_bytes = 2M",
	    takes_noise);
	expect_no_room("more than all of [limits] store_bytes, 2097152");
	/* Before it gives up it asks for as little as will do. */
	assert_int_equal(tries[tries_len - 2].rc, -1);
	assert_int_equal(tries[tries_len - 1].rc, -1);
	assert_int_equal(tries[tries_len - 1].written_bytes,
	    tries[tries_len - 2].written_bytes);
	assert_int_equal(tries[tries_len - 1].bytes,
	    tries[tries_len - 1].written_bytes + CAPTURE_STEP_MIN_BYTES);
	assert_true(tries[tries_len - 2].bytes > tries[tries_len - 1].bytes);
	end();
}

static void
test_small_steps_use_up_the_store(void **state)
{
	int i, small = 0;

	(void)state;
	noisy_chunks = 4;
	/* Room for the file, and not for a quarter more. */
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "store_bytes = 3500000",
	    takes_noise);
	expect_success();
	assert_true(job.sum.stored_bytes < 3500000);
	assert_true(job.sum.stored_bytes * 5 / 4 > 3500000);
	for (i = 1; i < tries_len; i++)
		small += tries[i].rc == 0 && tries[i - 1].rc != 0;
	assert_true(small >= 1);
	end();
}

static void
test_busy_store_loses_nothing(void **state)
{
	(void)state;
	noisy_chunks = 2;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	failing_try = 1;
	failing_code = ERR_STORE;
	expect_success();
	assert_int_equal(tries[1].rc, -1);
	end();
}

static void
cancel_at_second(int n)
{
	struct job canceled;
	struct err err;

	if (n == 1)
		assert_ok(job_cancel(db, dir, job.id, &canceled, &err), err);
}

/* It is while it grows that it hears of it; then V8 is waited for. */
static void
test_canceled_while_it_grows(void **state)
{
	struct err err;

	(void)state;
	noisy_chunks = 3;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	before_try = cancel_at_second;
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    "the job was canceled");
	assert_int_equal(tries_len, 2);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	assert_int_equal(count_files(), 0);
	end();
}

/* The same, where there is no room either: what the requester wanted counts. */
static void
test_canceled_while_it_has_no_room(void **state)
{
	struct err err;

	(void)state;
	noisy_chunks = 3;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	before_try = cancel_at_second;
	failing_try = 1;
	failing_tries = 2;
	failing_code = ERR_SPACE;
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_CONFLICT,
	    "the job was canceled");
	assert_int_equal(tries_len, 3);
	read_job();
	assert_int_equal(job.state, JOB_CANCELED);
	assert_false(job.holds_target);
	assert_int_equal(count_files(), 0);
	end();
}

static bool had_gone;

/* Others fill the disk in the middle, before V8 goes on. */
static bool
fills_disk(int fd, long long id, const char *method)
{
	const int64_t deadline_ms = clock_mono_ms() + 60000;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	free_bytes = INT64_C(100) << 20;
	/* V8 goes on, but the file has gone by then. */
	while (count_files() > 0 && clock_mono_ms() < deadline_ms)
		(void)poll(NULL, 0, 5);
	had_gone = count_files() == 0;
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_disk_is_filled_in_the_middle(void **state)
{
	(void)state;
	min_free = "256M";
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", fills_disk);
	free_bytes = INT64_C(1) << 30;
	expect_no_room("the disk has 104857600 bytes free, of which other "
	    "captures need 0 and [limits] min_free_bytes keeps 268435456");
	assert_true(job.accepted_at_ms != JOB_UNKNOWN);
	assert_true(had_gone);
	assert_false(job.holds_target);
	end();
}

/* The same, but an older file makes up for it. */
static bool
fills_disk_a_little(int fd, long long id, const char *method)
{
	const int64_t deadline_ms = clock_mono_ms() + 60000;

	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") != 0)
		return false;
	send_chunk(fd, SNAPSHOT_HEAD);
	free_bytes = (INT64_C(256) << 20) + whole_bytes();
	while (whole_bytes() > 0 && clock_mono_ms() < deadline_ms)
		(void)poll(NULL, 0, 5);
	send_chunk(fd, SNAPSHOT_TAIL);
	reply(fd, id, "{}");
	return true;
}

static void
test_older_file_makes_room_in_the_middle(void **state)
{
	char first[UUID_MAX];
	struct job old;
	struct err err;

	(void)state;
	min_free = "256M";
	noisy_chunks = 2;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	free_bytes = INT64_C(1) << 30;
	expect_success();
	memcpy(first, job.id, sizeof(first));
	order_again();
	noisy_chunks = 0;
	on_method = fills_disk_a_little;
	expect_success();
	assert_ok(job_get(db, dir, "sample", "pod-1", first, &old, &err), err);
	assert_int_equal(old.removed_because, REMOVED_ROOM);
	assert_int_equal(count_files(), 1);
	end();
}

static bool
loses_disk(int fd, long long id, const char *method)
{
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") == 0)
		disk_fails = true;
	return takes_noise(fd, id, method);
}

/* Later on that is no reason to lose what is captured. */
static void
test_unknown_disk_is_no_failure(void **state)
{
	(void)state;
	noisy_chunks = 2;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", loses_disk);
	expect_success();
	assert_int_equal(tries[0].rc, 0);
	assert_int_equal(tries[1].rc, -1);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth_is_reserved),
		cmocka_unit_test(test_growth_has_an_end),
		cmocka_unit_test(test_small_steps_use_up_the_store),
		cmocka_unit_test(test_busy_store_loses_nothing),
		cmocka_unit_test(test_canceled_while_it_grows),
		cmocka_unit_test(test_canceled_while_it_has_no_room),
		cmocka_unit_test(test_disk_is_filled_in_the_middle),
		cmocka_unit_test(test_older_file_makes_room_in_the_middle),
		cmocka_unit_test(test_unknown_disk_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
