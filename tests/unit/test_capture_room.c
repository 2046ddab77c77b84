/*
 * capture, and the room its file takes, as it is kept before the app is
 * touched.
 */
#include "room.h"

static void
test_kept_before_it_is_begun(void **state)
{
	(void)state;
	facts = FACTS_WITH_HEAP(100000000);
	noisy_chunks = 0;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	expect_success();
	/* Once is enough for one that stays below it. */
	assert_int_equal(tries_len, 1);
	assert_in_range(job.predicted_bytes, 150000000, 300000000);
	assert_int_equal(tries[0].bytes,
	    job.predicted_bytes / 100 * CAPTURE_ZSTD_PERCENT);
	assert_int_equal(tries[0].written_bytes, 0);
	end();
	/* Stored as it is, it takes more. */
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN,
	    "[artifacts]\ncompression = none", takes_noise);
	expect_success();
	assert_int_equal(tries[0].bytes,
	    job.predicted_bytes / 100 * CAPTURE_IDENTITY_PERCENT);
	end();
	/* Nothing is kept for what cannot be told. */
	facts = FACTS_AND("");
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", takes_noise);
	expect_success();
	assert_int_equal(job.predicted_bytes, JOB_UNKNOWN);
	assert_int_equal(tries[0].bytes, 0);
	end();
}

/* The app must not be frozen for what there is no room for. */
static bool is_begun;

static bool
notes_beginning(int fd, long long id, const char *method)
{
	(void)fd;
	(void)id;
	if (strcmp(method, "HeapProfiler.takeHeapSnapshot") == 0 ||
	    strcmp(method, "Profiler.start") == 0)
		is_begun = true;
	return false;
}

static void
test_refused_before_it_is_begun(void **state)
{
	char want[200];

	(void)state;
	is_begun = false;
	facts = FACTS_WITH_HEAP(100000000);
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "store_bytes = 1M",
	    notes_beginning);
	expect_no_room("the heap-snapshot is expected to have ");
	(void)snprintf(want, sizeof(want), " bytes: the file needs %lld bytes, "
	    "more than all of [limits] store_bytes, 1048576",
	    (long long)tries[0].bytes);
	assert_non_null(strstr(job.error.msg, want));
	/* Whoever asked is told so, and nobody else. */
	assert_int_equal(job.accepted_at_ms, JOB_UNKNOWN);
	end();
	min_free = "1G";
	begin_room(JOB_CPU_PROFILE, 120000, "", notes_beginning);
	free_bytes = INT64_C(1) << 30;
	expect_no_room("the cpu-profile is expected to have ");
	(void)snprintf(want, sizeof(want), " bytes: the file needs %lld bytes "
	    "more, but the disk has 1073741824 bytes free",
	    (long long)tries[0].bytes);
	assert_non_null(strstr(job.error.msg, want));
	end();
	assert_false(is_begun);
}

/* Nor for numbers that no app can have. */
static void
test_absurd_heaps_are_refused(void **state)
{
	(void)state;
	is_begun = false;
	facts = FACTS_WITH_HEAP(1099511627776);
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", notes_beginning);
	expect_no_room("store_bytes");
	assert_false(is_begun);
	end();
}

static void
test_older_file_makes_room(void **state)
{
	char first[UUID_MAX];
	struct job old;
	struct err err;

	(void)state;
	noisy_chunks = 1;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "store_bytes = 1M",
	    takes_noise);
	expect_success();
	memcpy(first, job.id, sizeof(first));
	order_again();
	expect_success();
	assert_ok(job_get(db, dir, "sample", "pod-1", first, &old, &err), err);
	assert_int_equal(old.removed_because, REMOVED_ROOM);
	assert_int_equal(count_files(), 1);
	end();
}

static void
test_older_rows_make_way(void **state)
{
	char first[UUID_MAX];
	struct job old;
	struct err err;

	(void)state;
	noisy_chunks = 0;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "store_jobs = 1",
	    takes_noise);
	expect_success();
	memcpy(first, job.id, sizeof(first));
	order_again();
	expect_success();
	assert_err(job_get(db, dir, "sample", "pod-1", first, &old, &err), err,
	    ERR_NOT_FOUND, first);
	assert_int_equal(count_files(), 1);
	end();
}

/* Before anything is begun it is told that nobody knows the disk. */
static void
test_unknown_disk_is_refused(void **state)
{
	struct err err;

	(void)state;
	is_begun = false;
	begin_room(JOB_HEAP_SNAPSHOT, JOB_UNKNOWN, "", notes_beginning);
	disk_fails = true;
	assert_err(capture_run(conf, db, job.id, &err), err, ERR_STORE,
	    "not there");
	read_job();
	assert_int_equal(job.error.code, ERR_STORE);
	assert_false(is_begun);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_before_it_is_begun),
		cmocka_unit_test(test_refused_before_it_is_begun),
		cmocka_unit_test(test_absurd_heaps_are_refused),
		cmocka_unit_test(test_older_file_makes_room),
		cmocka_unit_test(test_older_rows_make_way),
		cmocka_unit_test(test_unknown_disk_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
