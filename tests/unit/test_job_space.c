/*
 * A full disk: what must be written down is, at the price of the ballast, and
 * nothing else takes it.
 */
#include <errno.h>
#include <sqlite3.h>

#include "store.h"

#include "ballast.h"

/* While a file is at this path SQLite's disk is full; NULL: it never is. */
static const char *full_path;
static char ballast_path[300];

static ssize_t
write_on_disk(int fd, const void *data, size_t len, off_t at)
{
	struct stat st;

	if (full_path == NULL || lstat(full_path, &st) != 0)
		return pwrite(fd, data, len, at);
	errno = ENOSPC;
	return -1;
}

static int
setup_disk(void **state)
{
	static const char *const names[] = {"pwrite", "pwrite64"};
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	struct fixture *f;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)vfs->xSetSystemCall(vfs, names[i],
		    (sqlite3_syscall_ptr)write_on_disk);
	if (setup(state) != 0)
		return -1;
	f = *state;
	(void)snprintf(ballast_path, sizeof(ballast_path), "%s/ballast",
	    f->dir);
	assert_ok(ballast_make(f->dir, &err), err);
	return 0;
}

static int
teardown_disk(void **state)
{
	full_path = NULL;
	return teardown(state);
}

static bool
has_ballast(void)
{
	struct stat st;

	return lstat(ballast_path, &st) == 0;
}

/* The disk is full up to the ballast, or, where that is gone, for good. */
static void
fill_disk(const struct fixture *f)
{
	full_path = has_ballast() ? ballast_path : f->dir;
}

static void
fail_job(struct fixture *f, const char *id, int want, struct err *err)
{
	const struct err why = {ERR_SPACE, "no room for the snapshot"};

	assert_int_equal(job_fail(f->db, f->dir, id, &why, err), want);
}

static void
fail_holding(struct fixture *f, const char *id, int want, struct err *err)
{
	const struct err why = {ERR_SPACE, "no room for the snapshot"};

	assert_int_equal(job_fail_holding(f->db, f->dir, id, &why, err), want);
}

static void
succeed_job(struct fixture *f, const char *id, int want, struct err *err)
{
	static const struct artifact_sum sum = {
		.size_bytes = 2, .stored_bytes = 2,
		.sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c0"
		    "60f61caaff8a",
		.stored_sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe7"
		    "7e8310c060f61caaff8a",
	};
	const struct job_result result = {.sum = &sum, .keep_ms = KEEP_MS};

	assert_int_equal(job_succeed(f->db, f->dir, id, &result, err), want);
}

static void
cancel_job(struct fixture *f, const char *id, int want, struct err *err)
{
	struct job job;

	assert_int_equal(job_cancel(f->db, f->dir, id, &job, err), want);
}

/* As its runner would look dead by then. */
static void
settle_job(struct fixture *f, const char *id, int want, struct err *err)
{
	(void)id;
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS + 1000;
	assert_int_equal(job_settle(f->db, f->dir, err), want);
}

static void
settle_child(struct fixture *f, const char *id, int want, struct err *err)
{
	assert_int_equal(job_settle_child(f->db, f->dir, id, 9, err), want);
}

typedef void end_fn(struct fixture *f, const char *id, int want,
    struct err *err);

static const struct {
	end_fn *end;
	enum job_state state;
} ends[] = {
	{fail_job, JOB_FAILED}, {fail_holding, JOB_FAILED},
	{succeed_job, JOB_SUCCEEDED},
	{cancel_job, JOB_CANCELED}, {settle_job, JOB_FAILED},
	{settle_child, JOB_FAILED},
};
#define ENDS_LEN (sizeof(ends) / sizeof(ends[0]))

static void
ends_are_recorded_by_the_ballast(void **state)
{
	struct fixture *f = *state;
	struct job job;
	struct err err;
	size_t i;

	for (i = 0; i < ENDS_LEN; i++) {
		job = create_running(f, JOB_CPU_PROFILE);
		assert_ok(ballast_make(f->dir, &err), err);
		fill_disk(f);
		ends[i].end(f, job.id, 0, &err);
		assert_false(has_ballast());
		full_path = NULL;
		assert_int_equal(get(f, job.id).state, ends[i].state);
		clock_shift_ms = 0;
		(void)!job_release(f->db, f->dir, job.id, &err);
	}
}

static void
without_ballast_the_row_stays_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct job job, after;
	struct err err;
	size_t i;

	assert_true(ballast_drop(f->dir));
	for (i = 0; i < ENDS_LEN; i++) {
		job = create_running(f, JOB_CPU_PROFILE);
		fill_disk(f);
		ends[i].end(f, job.id, -1, &err);
		assert_int_equal(err.code, ERR_SPACE);
		assert_non_null(strstr(err.msg, f->dir));
		full_path = NULL;
		clock_shift_ms = 0;
		after = get(f, job.id);
		assert_int_equal(after.state, JOB_RUNNING);
		assert_int_equal(after.revision, job.revision);
		/* And goes on once there is room again. */
		ends[i].end(f, job.id, 0, &err);
		clock_shift_ms = 0;
		(void)!job_release(f->db, f->dir, job.id, &err);
	}
}

static void
delivery_and_release_are_recorded_too(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;

	fill_disk(f);
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	assert_false(has_ballast());
	full_path = NULL;
	assert_true(get(f, job.id).delivered_at_ms != JOB_UNKNOWN);
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_ok(ballast_make(f->dir, &err), err);
	fill_disk(f);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_false(has_ballast());
	full_path = NULL;
	assert_false(get(f, job.id).holds_target);
	/* A canceled one whose process is gone is let go of in the same way. */
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_ok(ballast_make(f->dir, &err), err);
	fill_disk(f);
	settle_job(f, job.id, 0, &err);
	assert_false(has_ballast());
	full_path = NULL;
	assert_false(get(f, job.id).holds_target);
}

static void
what_can_wait_leaves_the_ballast(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	const struct job_target target = {.pid = 7};
	const struct job_limits limits = {INT64_MAX / 4, 1000, 0};
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_CPU_PROFILE), other;
	struct job queued = create(f, JOB_CPU_PROFILE);
	struct err err;

	fill_disk(f);
	assert_err(try_create(f, &order, &other, &err), err, ERR_SPACE,
	    f->dir);
	assert_err(job_accept(f->db, queued.id, &other, &err), err, ERR_SPACE,
	    f->dir);
	assert_err(job_claim(f->db, queued.id, &f->self, &other, &err), err,
	    ERR_SPACE, f->dir);
	assert_err(job_set_target(f->db, job.id, &target, &stream_plan, &err),
	    err, ERR_SPACE, f->dir);
	assert_err(job_set_plan(f->db, job.id, &stream_plan, &err), err,
	    ERR_SPACE, f->dir);
	assert_err(job_set_progress(f->db, job.id, &progress, &err), err,
	    ERR_SPACE, f->dir);
	assert_err(job_reserve(f->db, f->dir, &limits, job.id, 5, 0, &err),
	    err, ERR_SPACE, f->dir);
	assert_true(has_ballast());
	/* Everything can be read. */
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
	assert_int_equal(listed(f), 2);
	full_path = NULL;
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_ok(try_create(f, &order, &other, &err), err);
}

/* It would be given up for nothing. */
static void
other_faults_leave_the_ballast(void **state)
{
	struct fixture *f = *state;
	struct job job;
	struct err err;
	size_t i;

	for (i = 0; i < ENDS_LEN; i++) {
		job = create_running(f, JOB_CPU_PROFILE);
		assert_ok(db_exec(f->db, "PRAGMA query_only = ON", &err), err);
		ends[i].end(f, job.id, -1, &err);
		assert_int_equal(err.code, ERR_STORE);
		assert_true(has_ballast());
		assert_ok(db_exec(f->db, "PRAGMA query_only = OFF", &err), err);
		ends[i].end(f, job.id, 0, &err);
		clock_shift_ms = 0;
		(void)!job_release(f->db, f->dir, job.id, &err);
	}
	assert_true(has_ballast());
}

/* Where nobody else has it open SQLite needs room even to read. */
static void
database_is_opened_by_the_ballast(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct db *db = NULL;
	struct err err;

	db_close(&f->db);
	fill_disk(f);
	assert_ok(job_open_db(f->dir, &f->db, &err), err);
	assert_false(has_ballast());
	full_path = NULL;
	assert_int_equal(get(f, job.id).state, JOB_SUCCEEDED);
	db_close(&f->db);
	/* Without it, it is told. */
	fill_disk(f);
	assert_err(job_open_db(f->dir, &db, &err), err, ERR_SPACE, f->dir);
	assert_null(db);
	full_path = NULL;
	f->db = open_other(f);
}

/* Whoever looks is told the truth, and why it is not written down. */
static void
dead_job_is_told_of_without_room(void **state)
{
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), newest;
	struct err err;

	assert_true(ballast_drop(f->dir));
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS + 1000;
	fill_disk(f);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, ERR_SPACE);
	assert_non_null(strstr(job.error.msg, "was not heard of"));
	assert_non_null(strstr(job.error.msg, "full"));
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &newest, &err),
	    err);
	assert_int_equal(newest.state, JOB_FAILED);
	assert_int_equal(newest.error.code, ERR_SPACE);
	assert_string_equal(newest.error.msg, job.error.msg);
	assert_int_equal(matching(f, APP, -1, JOB_RUNNING), 1);
	full_path = NULL;
	job = get(f, job.id);
	assert_int_equal(job.error.code, ERR_INTERRUPTED);
	assert_int_equal(matching(f, APP, -1, JOB_FAILED), 1);
}

#define DISK_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup_disk, teardown_disk)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DISK_TEST(ends_are_recorded_by_the_ballast),
		DISK_TEST(without_ballast_the_row_stays_as_it_was),
		DISK_TEST(delivery_and_release_are_recorded_too),
		DISK_TEST(what_can_wait_leaves_the_ballast),
		DISK_TEST(other_faults_leave_the_ballast),
		DISK_TEST(database_is_opened_by_the_ballast),
		DISK_TEST(dead_job_is_told_of_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
