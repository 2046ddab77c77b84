/*
 * Room that is kept for a file before it is written: found, made, or refused
 * with the numbers.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include "disk.h"

#define FILE_BYTES 1000
#define FILES 5

/* Pauses so far, and what is done at each; NULL: the real thing. */
static int pauses;
static void (*on_pause)(int n);
static int64_t mono_shift_ms;

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __real_nanosleep(const struct timespec *time, struct timespec *left);
int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);

int
__wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	if (on_pause == NULL)
		return __real_nanosleep(time, left);
	on_pause(++pauses);
	return 0;
}

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + mono_shift_ms;
}

static struct job_limits
limits_of(int64_t store_bytes, int64_t min_free_bytes)
{
	return (struct job_limits){store_bytes, 1000, min_free_bytes};
}

static void
reserve(struct fixture *f, const struct job *job, struct job_limits limits,
    int64_t bytes, int64_t written_bytes)
{
	struct err err;

	assert_ok(job_reserve(f->db, f->dir, &limits, job->id, bytes,
	    written_bytes, &err), err);
}

static void
refuse(struct fixture *f, const struct job *job, struct job_limits limits,
    int64_t bytes, int64_t written_bytes, const char *want)
{
	struct err err;

	assert_err(job_reserve(f->db, f->dir, &limits, job->id, bytes,
	    written_bytes, &err), err, ERR_SPACE, want);
}

static int64_t
reserved(struct fixture *f, const struct job *job)
{
	static const char RESERVED[] =
	    "SELECT reserved_bytes AS n FROM jobs WHERE id = :id";

	return number_of(f, RESERVED, job->id);
}

static int64_t
written(struct fixture *f, const struct job *job)
{
	static const char WRITTEN[] =
	    "SELECT written_bytes AS n FROM jobs WHERE id = :id";

	return number_of(f, WRITTEN, job->id);
}

/* Five files, of which the third was delivered. */
static void
make_files(struct fixture *f, struct job jobs[FILES])
{
	struct err err;
	size_t i;

	for (i = 0; i < FILES; i++)
		jobs[i] = create_stored(f, JOB_HEAP_SNAPSHOT, FILE_BYTES);
	assert_ok(job_deliver(f->db, f->dir, jobs[2].id, GRACE_MS, &err),
	    err);
}

static void
what_fits_is_kept_free(void **state)
{
	const struct job_limits limits = limits_of(7000, 0);
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job jobs[FILES], job;
	struct err err;
	size_t i;

	make_files(f, jobs);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_int_equal(reserved(f, &job), 0);
	reserve(f, &job, limits, 2000, 0);
	assert_int_equal(reserved(f, &job), 2000);
	/* What it has itself is not in its way. */
	reserve(f, &job, limits, 2000, 500);
	assert_int_equal(reserved(f, &job), 2000);
	assert_int_equal(written(f, &job), 500);
	reserve(f, &job, limits, 0, 0);
	assert_int_equal(reserved(f, &job), 0);
	reserve(f, &job, limits, 2000, 0);
	for (i = 0; i < FILES; i++)
		expect_kept(f, &jobs[i]);
	/* Nobody who waits for the job is woken up for it. */
	assert_int_equal(get(f, job.id).revision, job.revision);
	/* When it is over, in whatever way, nothing is kept. */
	succeed(f, f->db, job.id);
	assert_int_equal(reserved(f, &job), 0);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	reserve(f, &job, limits, 1000, 0);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_int_equal(reserved(f, &job), 0);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	reserve(f, &job, limits, 1000, 0);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_int_equal(reserved(f, &job), 0);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	reserve(f, &job, limits, 1000, 0);
	assert_ok(job_settle_child(f->db, f->dir, job.id, 9, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_FAILED);
	assert_int_equal(reserved(f, &job), 0);
}

static void
just_enough_is_evicted(void **state)
{
	struct fixture *f = *state;
	struct job jobs[FILES], job;

	make_files(f, jobs);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	/* To the byte. */
	reserve(f, &job, limits_of(6000, 0), 1000, 0);
	expect_kept(f, &jobs[2]);
	reserve(f, &job, limits_of(6000, 0), 2000, 0);
	expect_evicted(f, &jobs[2]);
	expect_kept(f, &jobs[0]);
	reserve(f, &job, limits_of(6000, 0), 2001, 0);
	expect_evicted(f, &jobs[0]);
	expect_kept(f, &jobs[1]);
	reserve(f, &job, limits_of(6000, 0), 6000, 0);
	expect_evicted(f, &jobs[1]);
	expect_evicted(f, &jobs[3]);
	expect_evicted(f, &jobs[4]);
	assert_int_equal(reserved(f, &job), 6000);
}

static void
what_cannot_fit_costs_nobody_his_file(void **state)
{
	struct fixture *f = *state;
	struct job jobs[FILES], job;
	size_t i;

	make_files(f, jobs);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	refuse(f, &job, limits_of(6000, 0), 6001, 0, "the file needs 6001 "
	    "bytes, more than all of [limits] store_bytes, 6000; raise the "
	    "limit");
	refuse(f, &job, limits_of(6000, 0), INT64_C(1) << 60, 0,
	    "the file needs 1152921504606846976 bytes");
	disk_bytes = 8000;
	refuse(f, &job, limits_of(PLENTY, 3000), 5001, 0, "the file needs "
	    "5001 bytes more, but the disk has 3000 bytes free, of which "
	    "other captures need 0 and [limits] min_free_bytes keeps 3000, "
	    "and what may be removed is not enough; make room on the disk, or, "
	    "where it is a small one, lower [limits] min_free_bytes");
	assert_int_equal(reserved(f, &job), 0);
	for (i = 0; i < FILES; i++)
		expect_kept(f, &jobs[i]);
	/* A byte less, and all go. */
	reserve(f, &job, limits_of(PLENTY, 3000), 5000, 0);
	for (i = 0; i < FILES; i++)
		expect_evicted(f, &jobs[i]);
}

static void
refused_growth_leaves_what_was_kept(void **state)
{
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);

	reserve(f, &job, limits_of(6000, 0), 4000, 100);
	refuse(f, &job, limits_of(6000, 0), 6001, 3900, "6001");
	assert_int_equal(reserved(f, &job), 4000);
	assert_int_equal(written(f, &job), 100);
}

static void
others_keep_their_room(void **state)
{
	const struct job_progress over = {PHASE_WRITING, 1, 2, 3, 5000};
	const struct job_limits limits = limits_of(10000, 0);
	const struct err why = {ERR_SPACE, "disk full"};
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job first = create_running(f, JOB_CPU_PROFILE), job;
	struct err err;

	order.app = "other";
	assert_ok(try_create(f, &order, &job, &err), err);
	reserve(f, &first, limits, 4000, 0);
	refuse(f, &job, limits, 6001, 0, "the file needs 6001 bytes, but of "
	    "[limits] store_bytes, 10000, other files take 0 and other "
	    "captures 4000");
	reserve(f, &job, limits, 6000, 0);
	/* Each that is over it counts with what it has. */
	assert_ok(job_set_progress(f->db, first.id, &over, &err), err);
	refuse(f, &job, limits, 6000, 0, "other captures 5000");
	reserve(f, &job, limits, 5000, 0);
	/* And no longer than it lasts. */
	assert_ok(job_fail(f->db, f->dir, first.id, &why, &err), err);
	reserve(f, &job, limits, 10000, 0);
}

static void
disk_is_shared_by_what_is_not_written(void **state)
{
	const struct job_limits limits = limits_of(PLENTY, 1000);
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job first = create_running(f, JOB_CPU_PROFILE), job;
	struct err err;

	order.app = "other";
	assert_ok(try_create(f, &order, &job, &err), err);
	disk_bytes = 10000;
	/* 1000 of 4000 are written, and gone from the disk. */
	reserve(f, &first, limits, 4000, 1000);
	refuse(f, &job, limits, 6001, 0, "the file needs 6001 bytes more, but "
	    "the disk has 10000 bytes free, of which other captures need 3000 "
	    "and [limits] min_free_bytes keeps 1000");
	reserve(f, &job, limits, 6000, 0);
	/* Of its own, what is written needs no room any more. */
	reserve(f, &job, limits, 8000, 2000);
	refuse(f, &job, limits, 8001, 2000, "the file needs 6001 bytes more");
	/* One that has outgrown its own needs none of others. */
	reserve(f, &first, limits, 4000, 4000);
	reserve(f, &job, limits, 11000, 2000);
	disk_fails = true;
	assert_err(job_reserve(f->db, f->dir, &limits, job.id, 1, 0, &err),
	    err, ERR_STORE, "the disk is not there");
}

static void
readers_are_spared_and_told_of(void **state)
{
	struct fixture *f = *state;
	struct artifact_reader *readers[2];
	struct job jobs[FILES], job;

	make_files(f, jobs);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	readers[0] = read_begin(f, &jobs[2]);
	readers[1] = read_begin(f, &jobs[1]);
	reserve(f, &job, limits_of(6000, 0), 3000, 0);
	expect_kept(f, &jobs[2]);
	expect_evicted(f, &jobs[0]);
	expect_kept(f, &jobs[1]);
	expect_evicted(f, &jobs[3]);
	expect_kept(f, &jobs[4]);
	/* All that nobody reads would not do: it stays. */
	refuse(f, &job, limits_of(6000, 0), 4001, 0, "the file needs 4001 "
	    "bytes, but of [limits] store_bytes, 6000, other files take 3000");
	expect_kept(f, &jobs[4]);
	reserve(f, &job, limits_of(6000, 0), 4000, 0);
	expect_evicted(f, &jobs[4]);
	artifact_close(&readers[0]);
	artifact_close(&readers[1]);
	reserve(f, &job, limits_of(6000, 0), 4001, 0);
	expect_evicted(f, &jobs[2]);
	expect_kept(f, &jobs[1]);
}

static void
jobs_that_are_over_get_none(void **state)
{
	static const char unknown[] = "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77";
	const struct job_limits tight = limits_of(5000, 0);
	struct fixture *f = *state;
	struct job jobs[FILES], job;
	struct err err;
	size_t i;

	make_files(f, jobs);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_err(job_reserve(f->db, f->dir, &tight, job.id, 3000, 0, &err),
	    err, ERR_CONFLICT, "it was given up or canceled");
	assert_err(job_reserve(f->db, f->dir, &tight, jobs[0].id, 3000, 0,
	    &err), err, ERR_CONFLICT, jobs[0].id);
	assert_err(job_reserve(f->db, f->dir, &tight, unknown, 3000, 0, &err),
	    err, ERR_CONFLICT, unknown);
	/* Nor has anybody lost a file for it. */
	for (i = 0; i < FILES; i++)
		expect_kept(f, &jobs[i]);
}

/* Somebody else who makes room, and the descriptor by which he holds on. */
static int held_lock = -1;

static void
hold_store(const struct fixture *f)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/sweep", f->dir);
	held_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(held_lock >= 0);
	assert_int_equal(flock(held_lock, LOCK_EX), 0);
}

static void
let_go_at_third(int n)
{
	assert_true(n <= 3);
	if (n == 3)
		assert_int_equal(close(held_lock), 0);
}

static void
let_time_pass(int n)
{
	assert_true(n <= 10);
	mono_shift_ms += 1000;
}

static void
others_who_make_room_are_waited_for(void **state)
{
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	const struct job_limits limits = limits_of(5000, 0);
	struct err err;

	hold_store(f);
	pauses = 0;
	on_pause = let_go_at_third;
	reserve(f, &job, limits, 3000, 0);
	assert_int_equal(pauses, 3);
	assert_int_equal(reserved(f, &job), 3000);
	/* But not for ever. */
	hold_store(f);
	pauses = 0;
	on_pause = let_time_pass;
	assert_err(job_reserve(f->db, f->dir, &limits, job.id, 4000, 0, &err),
	    err, ERR_STORE, "another process made room in");
	assert_int_equal(pauses, DB_BUSY_MS / 1000);
	on_pause = NULL;
	mono_shift_ms = 0;
	assert_int_equal(reserved(f, &job), 3000);
	assert_int_equal(close(held_lock), 0);
	reserve(f, &job, limits, 4000, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DISK_TEST(what_fits_is_kept_free),
		DISK_TEST(just_enough_is_evicted),
		DISK_TEST(what_cannot_fit_costs_nobody_his_file),
		DISK_TEST(refused_growth_leaves_what_was_kept),
		DISK_TEST(others_keep_their_room),
		DISK_TEST(disk_is_shared_by_what_is_not_written),
		DISK_TEST(readers_are_spared_and_told_of),
		DISK_TEST(jobs_that_are_over_get_none),
		DISK_TEST(others_who_make_room_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
