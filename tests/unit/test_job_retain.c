/*
 * The limits of the store: what goes, in which order, and what never goes.
 */
#include "disk.h"

#define FILE_BYTES 1000
#define FILES 5

static void
retain(struct fixture *f, int64_t store_bytes, int64_t store_jobs,
    int64_t min_free_bytes)
{
	const struct job_limits limits = {store_bytes, store_jobs,
	    min_free_bytes};
	struct err err;

	assert_ok(job_retain(f->db, f->dir, &limits, &err), err);
}

static int64_t
count_rows(struct fixture *f)
{
	static const char COUNT[] = "SELECT count(*) AS n FROM jobs";

	return number_of(f, COUNT, NULL);
}

static void
deliver(struct fixture *f, const struct job *job)
{
	struct err err;

	assert_ok(job_deliver(f->db, f->dir, job->id, GRACE_MS, &err), err);
}

/* Five snapshots; the second was delivered after the fourth. */
static void
make_files(struct fixture *f, struct job jobs[FILES])
{
	size_t i;

	for (i = 0; i < FILES; i++)
		jobs[i] = create_stored(f, JOB_HEAP_SNAPSHOT, FILE_BYTES);
	deliver(f, &jobs[3]);
	clock_shift_ms += 1000;
	deliver(f, &jobs[1]);
}

static void
delivered_goes_first_then_the_oldest(void **state)
{
	static const size_t order[FILES] = {1, 3, 0, 2, 4};
	struct fixture *f = *state;
	struct job jobs[FILES];
	size_t gone, i;

	make_files(f, jobs);
	for (gone = 0; gone <= FILES; gone++) {
		/* Not a byte more than there is room for. */
		retain(f, (int64_t)(FILES - gone) * FILE_BYTES, 1000, 0);
		for (i = 0; i < FILES; i++) {
			if (i < gone)
				expect_evicted(f, &jobs[order[i]]);
			else
				expect_kept(f, &jobs[order[i]]);
		}
	}
	assert_int_equal(count_rows(f), FILES);
}

static void
part_of_a_file_is_a_whole_one(void **state)
{
	struct fixture *f = *state;
	struct job jobs[FILES];

	make_files(f, jobs);
	retain(f, FILES * FILE_BYTES - 1, 1000, 0);
	expect_evicted(f, &jobs[1]);
	expect_kept(f, &jobs[3]);
	retain(f, 2 * FILE_BYTES + 1, 1000, 0);
	expect_evicted(f, &jobs[3]);
	expect_evicted(f, &jobs[0]);
	expect_kept(f, &jobs[2]);
	expect_kept(f, &jobs[4]);
}

static void
store_within_its_limits_is_only_read(void **state)
{
	struct fixture *f = *state;
	struct db *other = open_other(f);
	struct job jobs[FILES];
	int64_t before = 0, after = 0;
	struct err err;
	size_t i;

	make_files(f, jobs);
	disk_bytes = 2 * FILES * FILE_BYTES;
	assert_ok(db_data_version(other, &before, &err), err);
	assert_ok(db_begin(other, &err), err);
	retain(f, FILES * FILE_BYTES, FILES, FILES * FILE_BYTES);
	db_rollback(other);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	for (i = 0; i < FILES; i++)
		expect_kept(f, &jobs[i]);
	db_close(&other);
}

static void
disk_is_left_its_room(void **state)
{
	struct fixture *f = *state;
	struct job jobs[FILES];

	make_files(f, jobs);
	disk_bytes = 10 * FILE_BYTES;
	retain(f, PLENTY, 1000, 5 * FILE_BYTES);
	expect_kept(f, &jobs[1]);
	retain(f, PLENTY, 1000, 6 * FILE_BYTES + 1);
	expect_evicted(f, &jobs[1]);
	expect_evicted(f, &jobs[3]);
	expect_kept(f, &jobs[0]);
	/* All that are left, if they are enough. */
	disk_bytes = 4 * FILE_BYTES;
	retain(f, PLENTY, 1000, 4 * FILE_BYTES);
	expect_evicted(f, &jobs[0]);
	expect_evicted(f, &jobs[2]);
	expect_evicted(f, &jobs[4]);
}

/* What all files together cannot make up for costs nobody his file. */
static void
others_who_fill_the_disk_are_told_of(void **state)
{
	const struct job_limits limits = {PLENTY, 1000, 8 * FILE_BYTES};
	const struct job_limits tight = {4 * FILE_BYTES, 1000,
	    8 * FILE_BYTES};
	struct fixture *f = *state;
	struct job jobs[FILES];
	struct err err;
	size_t i;

	make_files(f, jobs);
	disk_bytes = 8 * FILE_BYTES - 1;
	assert_err(job_retain(f->db, f->dir, &limits, &err), err, ERR_SPACE,
	    "has 2999 bytes free, of which captures need 0 and [limits] "
	    "min_free_bytes keeps 8000, and all artifacts");
	for (i = 0; i < FILES; i++)
		expect_kept(f, &jobs[i]);
	/* The other limit holds all the same. */
	assert_err(job_retain(f->db, f->dir, &tight, &err), err, ERR_SPACE,
	    "make room on the disk, or, where it is a small one, lower "
	    "[limits] min_free_bytes");
	expect_evicted(f, &jobs[1]);
	expect_kept(f, &jobs[3]);
	disk_bytes++;
	retain(f, PLENTY, 1000, 8 * FILE_BYTES);
	for (i = 0; i < FILES; i++)
		expect_evicted(f, &jobs[i]);
}

static void
reservations_count(void **state)
{
	const struct job_limits wide = {PLENTY, 1000, 0};
	struct fixture *f = *state;
	struct job jobs[FILES], running;
	struct err err;

	make_files(f, jobs);
	running = create_running(f, JOB_CPU_PROFILE);
	assert_ok(job_reserve(f->db, f->dir, &wide, running.id,
	    2 * FILE_BYTES, 0, &err), err);
	retain(f, 6 * FILE_BYTES, 1000, 0);
	expect_evicted(f, &jobs[1]);
	expect_kept(f, &jobs[3]);
	/* Of the disk, what is not written yet. */
	disk_bytes = 10 * FILE_BYTES;
	retain(f, PLENTY, 1000, 5 * FILE_BYTES);
	expect_evicted(f, &jobs[3]);
	expect_kept(f, &jobs[0]);
	/* A canceled one needs no more. */
	assert_ok(job_cancel(f->db, f->dir, running.id, &running, &err), err);
	retain(f, 3 * FILE_BYTES, 1000, 7 * FILE_BYTES);
	expect_kept(f, &jobs[0]);
}

/* With nothing to be kept free, captures may need more than there is. */
static void
captures_that_fill_the_disk_are_told_of(void **state)
{
	const struct job_limits wide = {PLENTY, 1000, 0};
	struct fixture *f = *state;
	struct job jobs[FILES], running;
	struct err err;

	make_files(f, jobs);
	running = create_running(f, JOB_CPU_PROFILE);
	assert_ok(job_reserve(f->db, f->dir, &wide, running.id,
	    8 * FILE_BYTES, 0, &err), err);
	disk_bytes = 6 * FILE_BYTES;
	assert_err(job_retain(f->db, f->dir, &wide, &err), err, ERR_SPACE,
	    "has 1000 bytes free, of which captures need 8000 and [limits] "
	    "min_free_bytes keeps 0, and all artifacts");
	assert_null(strstr(err.msg, "lower"));
	expect_kept(f, &jobs[1]);
}

static void
what_is_being_read_stays(void **state)
{
	struct fixture *f = *state;
	struct artifact_reader *readers[2];
	struct job jobs[FILES];

	make_files(f, jobs);
	readers[0] = read_begin(f, &jobs[1]);
	readers[1] = read_begin(f, &jobs[0]);
	/* Others go instead of it, as many as are needed. */
	retain(f, 3 * FILE_BYTES, 1000, 0);
	expect_kept(f, &jobs[1]);
	expect_evicted(f, &jobs[3]);
	expect_kept(f, &jobs[0]);
	expect_evicted(f, &jobs[2]);
	expect_kept(f, &jobs[4]);
	retain(f, 0, 1000, 0);
	expect_kept(f, &jobs[1]);
	expect_kept(f, &jobs[0]);
	expect_evicted(f, &jobs[4]);
	/* Nor does its row go. */
	retain(f, PLENTY, 1, 0);
	assert_int_equal(count_rows(f), 2);
	expect_kept(f, &jobs[0]);
	artifact_close(&readers[0]);
	artifact_close(&readers[1]);
	retain(f, 0, 1, 0);
	assert_int_equal(count_rows(f), 1);
	expect_evicted(f, &jobs[0]);
}

static void
what_is_active_or_held_stays(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job done = create_succeeded(f), held, running, queued;
	struct err err;

	held = create_running(f, JOB_HEAP_SNAPSHOT);
	put_file(f, held.id, "part");
	assert_ok(job_cancel(f->db, f->dir, held.id, &held, &err), err);
	order.app = "other";
	assert_ok(try_create(f, &order, &queued, &err), err);
	order.app = "third";
	assert_ok(try_create(f, &order, &running, &err), err);
	(void)claim(f, running.id, &f->self);
	put_file(f, running.id, "part");
	/* A file that is whole but not yet told of. */
	put_file(f, running.id, "heapsnapshot");
	retain(f, 0, 1, 0);
	assert_false(has_row(f, done.id));
	assert_int_equal(count_rows(f), 3);
	assert_true(is_there(f, held.id, "part"));
	assert_true(is_there(f, running.id, "part"));
	assert_true(is_there(f, running.id, "heapsnapshot"));
}

static void
rows_go_by_the_same_order(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job failed = create_accepted(f, JOB_HEAP_SNAPSHOT), canceled;
	struct job jobs[FILES];
	struct err err;

	assert_ok(job_fail(f->db, f->dir, failed.id, &why, &err), err);
	put_file(f, failed.id, "part");
	canceled = create_accepted(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_cancel(f->db, f->dir, canceled.id, &canceled, &err),
	    err);
	make_files(f, jobs);
	retain(f, PLENTY, 6, 0);
	assert_false(has_row(f, jobs[1].id));
	assert_false(is_there(f, jobs[1].id, "heapsnapshot"));
	assert_true(has_row(f, jobs[3].id));
	retain(f, PLENTY, 4, 0);
	assert_false(has_row(f, jobs[3].id));
	assert_false(has_row(f, failed.id));
	assert_false(is_there(f, failed.id, "part"));
	assert_true(has_row(f, canceled.id));
	retain(f, PLENTY, 2, 0);
	assert_false(has_row(f, canceled.id));
	assert_false(has_row(f, jobs[0].id));
	expect_kept(f, &jobs[2]);
	expect_kept(f, &jobs[4]);
	/* Files that are gone already are no matter. */
	retain(f, 0, 2, 0);
	retain(f, 0, 1, 0);
	assert_int_equal(count_rows(f), 1);
	expect_evicted(f, &jobs[4]);
}

/* Failed jobs, as many as nobody has in a day. */
static void
fill(struct fixture *f, int n)
{
	static const char ROWS[] =
	    "INSERT INTO jobs (id, app, pod, kind, method, requested_by,"
	    " request_id, created_at_ms, accepted_at_ms, lease_until_ms,"
	    " artifact_name, holds_target) WITH RECURSIVE c (n) AS (SELECT 1"
	    " UNION ALL SELECT n + 1 FROM c WHERE n < :n)"
	    " SELECT printf('0098c0de-7b1e-7c3a-9f00-%012x', n), '" APP "',"
	    " '" POD "', 'heap-snapshot', 'auto', 'ci', 'r', 1, 2, 0, 'n', 0"
	    " FROM c";
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(f->db, ROWS, &stmt, &err), err);
	assert_ok(db_bind_int(stmt, ":n", n, &err), err);
	assert_ok(db_run(stmt, &err), err);
	assert_ok(db_exec(f->db, "UPDATE jobs SET state = 'failed',"
	    " finished_at_ms = 4000, error = 'space', removed_at_ms = 4000",
	    &err), err);
}

static void
one_call_takes_some_rows_only(void **state)
{
	struct fixture *f = *state;
	int left = 2 * JOB_RETAIN_ROWS + 500;

	fill(f, left);
	while (left > 3) {
		retain(f, PLENTY, 3, 0);
		left = left - 3 > JOB_RETAIN_ROWS ? left - JOB_RETAIN_ROWS : 3;
		assert_int_equal(count_rows(f), left);
	}
	retain(f, PLENTY, 3, 0);
	assert_int_equal(count_rows(f), 3);
}

/* A directory where a file should be can be removed by nobody. */
static void
spoil(const struct fixture *f, const struct job *job)
{
	char path[400];

	path_of(f, job->id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
file_that_cannot_go_keeps_no_other(void **state)
{
	const struct job_limits no_bytes = {0, 1000, 0};
	const struct job_limits no_rows = {PLENTY, 1, 0};
	struct fixture *f = *state;
	struct job jobs[FILES];
	struct err err;

	make_files(f, jobs);
	spoil(f, &jobs[1]);
	/* Where there is enough without it, it is nothing to tell. */
	retain(f, 4 * FILE_BYTES, 1000, 0);
	assert_int_equal(get(f, jobs[1].id).removed_at_ms, JOB_UNKNOWN);
	expect_evicted(f, &jobs[3]);
	assert_err(job_retain(f->db, f->dir, &no_bytes, &err), err, ERR_STORE,
	    jobs[1].id);
	expect_evicted(f, &jobs[4]);
	/* Its row stays with it. */
	retain(f, PLENTY, 4, 0);
	assert_true(has_row(f, jobs[1].id));
	assert_false(has_row(f, jobs[3].id));
	jobs[4] = create_stored(f, JOB_HEAP_SNAPSHOT, FILE_BYTES);
	spoil(f, &jobs[4]);
	assert_err(job_retain(f->db, f->dir, &no_rows, &err), err, ERR_STORE,
	    jobs[1].id);
	assert_int_equal(count_rows(f), 2);
}

static void
unknown_disk_is_told(void **state)
{
	const struct job_limits limits = {0, 1000, 0};
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;

	disk_fails = true;
	assert_err(job_retain(f->db, f->dir, &limits, &err), err, ERR_STORE,
	    "the disk is not there");
	expect_kept(f, &job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DISK_TEST(delivered_goes_first_then_the_oldest),
		DISK_TEST(part_of_a_file_is_a_whole_one),
		DISK_TEST(store_within_its_limits_is_only_read),
		DISK_TEST(disk_is_left_its_room),
		DISK_TEST(others_who_fill_the_disk_are_told_of),
		DISK_TEST(reservations_count),
		DISK_TEST(captures_that_fill_the_disk_are_told_of),
		DISK_TEST(what_is_being_read_stays),
		DISK_TEST(what_is_active_or_held_stays),
		DISK_TEST(rows_go_by_the_same_order),
		DISK_TEST(one_call_takes_some_rows_only),
		DISK_TEST(file_that_cannot_go_keeps_no_other),
		DISK_TEST(unknown_disk_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
