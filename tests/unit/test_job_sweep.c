/*
 * What is over goes in its time: files, what failed jobs left, and rows that
 * nobody was told of.
 */
#include "store.h"

#include "job_parts.h"

static void
delivery_starts_the_grace(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	int64_t delivered_at_ms;
	struct err err;

	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_true(job_has_artifact(&job));
	clock_stopped_ms = clock_utc_ms();
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	delivered_at_ms = get(f, job.id).delivered_at_ms;
	assert_true(delivered_at_ms != JOB_UNKNOWN);
	clock_shift_ms = GRACE_MS - 1000;
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.delivered_at_ms, delivered_at_ms);
	assert_true(job_has_artifact(&job));
	assert_true(is_there(f, job.id, "heapsnapshot"));
	clock_shift_ms = GRACE_MS + 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_false(job_has_artifact(&job));
	assert_false(is_there(f, job.id, "heapsnapshot"));
}

static void
expired_files_are_removed(void **state)
{
	struct fixture *f = *state;
	char ids[20][UUID_MAX];
	struct err err;
	size_t i;

	for (i = 0; i < 20; i++)
		memcpy(ids[i], create_succeeded(f).id, UUID_MAX);
	clock_shift_ms = KEEP_MS + 1000;
	(void)create_succeeded(f);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	for (i = 0; i < 20; i++) {
		assert_true(get(f, ids[i]).removed_at_ms != JOB_UNKNOWN);
		assert_false(is_there(f, ids[i], "heapsnapshot"));
	}
	assert_int_equal(matching(f, APP, -1, JOB_SUCCEEDED), 21);
	/* A second finds nothing to do, and a lost file is no fault. */
	assert_ok(job_sweep(f->db, f->dir, &err), err);
}

/* So many that have expired, without their files. */
static void
fill_expired(struct fixture *f, int n)
{
	static const char ROWS[] =
	    "INSERT INTO jobs (id, app, pod, kind, method, requested_by,"
	    " request_id, created_at_ms, accepted_at_ms, started_at_ms,"
	    " runner_pid, lease_until_ms, artifact_name, holds_target)"
	    " WITH RECURSIVE c (n) AS (SELECT 1"
	    " UNION ALL SELECT n + 1 FROM c WHERE n < :n)"
	    " SELECT printf('0098c0de-7b1e-7c3a-9f00-%012x', n), '" APP "',"
	    " '" POD "', 'heap-snapshot', 'auto', 'ci', 'r', 1, 2, 3, 4, 0,"
	    " 'n', 0 FROM c";
	static const char *const steps[] = {
		"UPDATE jobs SET state = 'running', phase = 'writing'",
		"UPDATE jobs SET state = 'succeeded', phase = NULL,"
		" finished_at_ms = 5, expires_at_ms = 6, size_bytes = 2,"
		" stored_bytes = 2, coding = 'identity',"
		" sha256 = printf('%064d', 0), stored_sha256 = printf('%064d',"
		" 0)",
	};
	struct db_stmt *stmt;
	struct err err;
	size_t i;

	assert_ok(db_prepare(f->db, ROWS, &stmt, &err), err);
	assert_ok(db_bind_int(stmt, ":n", n, &err), err);
	assert_ok(db_run(stmt, &err), err);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_ok(db_exec(f->db, steps[i], &err), err);
}

/* Who waits for the store does not wait for all of them. */
static void
one_call_sweeps_some_files_only(void **state)
{
	static const char COUNT[] =
	    "SELECT count(*) AS n FROM jobs WHERE removed_at_ms IS NULL";
	struct fixture *f = *state;
	struct err err;

	fill_expired(f, JOB_RETAIN_ROWS + 500);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_int_equal(number_of(f, COUNT, NULL), 500);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_int_equal(number_of(f, COUNT, NULL), 0);
}

static void
leftovers_of_failed_jobs_are_removed(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	/* As a capture leaves it that dies between its row and its file. */
	(void)claim(f, job.id, &f->self);
	put_file(f, job.id, "part");
	put_file(f, job.id, "heapsnapshot");
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_true(is_there(f, job.id, "part"));
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(is_there(f, job.id, "part"));
	assert_false(is_there(f, job.id, "heapsnapshot"));
	job = get(f, job.id);
	assert_int_equal(job.error.code, ERR_TARGET_EXITED);
	assert_true(job.removed_at_ms != JOB_UNKNOWN);
}

static void
file_that_stays_keeps_no_other(void **state)
{
	struct fixture *f = *state;
	struct job bad = create_succeeded(f), good = create_succeeded(f);
	char path[400];
	struct err err;

	path_of(f, bad.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	clock_shift_ms = KEEP_MS + 1000;
	assert_err(job_sweep(f->db, f->dir, &err), err, ERR_STORE,
	    path);
	assert_int_equal(get(f, bad.id).removed_at_ms, JOB_UNKNOWN);
	assert_true(get(f, good.id).removed_at_ms != JOB_UNKNOWN);
	assert_false(is_there(f, good.id, "heapsnapshot"));
	/* It is tried again. */
	assert_int_equal(rmdir(path), 0);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_true(get(f, bad.id).removed_at_ms != JOB_UNKNOWN);
	/* Settling does not fail for it. */
	clock_shift_ms = 0;
	bad = create_accepted(f, JOB_HEAP_SNAPSHOT);
	path_of(f, bad.id, "part", path);
	assert_int_equal(mkdir(path, 0700), 0);
	clock_shift_ms = JOB_QUEUE_MS + 1000;
	bad = get(f, bad.id);
	assert_int_equal(bad.state, JOB_FAILED);
	assert_int_equal(bad.removed_at_ms, JOB_UNKNOWN);
}

static void
refused_rows_are_swept(void **state)
{
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct fixture *f = *state;
	struct job refused, told, job;
	struct err err;

	clock_stopped_ms = clock_utc_ms();
	refused = create(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_fail(f->db, f->dir, refused.id, &why, &err), err);
	told = create_accepted(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_fail(f->db, f->dir, told.id, &why, &err), err);
	clock_shift_ms = JOB_UNACCEPTED_MS - 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_int_equal(get(f, refused.id).state, JOB_FAILED);
	clock_shift_ms = JOB_UNACCEPTED_MS + 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_err(job_get(f->db, f->dir, APP, POD, refused.id, &job, &err),
	    err, ERR_NOT_FOUND, refused.id);
	assert_int_equal(get(f, told.id).state, JOB_FAILED);
}

/* Not only once somebody has swept it. */
static void
expired_file_is_not_had_any_more(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);

	clock_shift_ms = KEEP_MS - 5000;
	job = get(f, job.id);
	assert_true(job_has_artifact(&job));
	clock_shift_ms = KEEP_MS;
	job = get(f, job.id);
	assert_int_equal(job.removed_at_ms, JOB_UNKNOWN);
	assert_true(is_there(f, job.id, "heapsnapshot"));
	assert_false(job_has_artifact(&job));
}

static void
expired_file_that_is_being_read_stays(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f), other = create_succeeded(f);
	struct artifact_reader *reader = NULL;
	struct err err;

	assert_ok(artifact_open(f->dir, job.id, "heapsnapshot", &job.sum,
	    &reader, &err), err);
	clock_shift_ms = KEEP_MS + 1000;
	/* Nor is it anything to complain of. */
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_true(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(get(f, job.id).removed_at_ms, JOB_UNKNOWN);
	assert_false(is_there(f, other.id, "heapsnapshot"));
	assert_int_equal(get(f, other.id).removed_because, REMOVED_EXPIRED);
	artifact_close(&reader);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(is_there(f, job.id, "heapsnapshot"));
}

static void
first_reason_stays(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f), running;
	int64_t removed_at_ms;
	struct err err;

	assert_ok(job_set_removed(f->db, job.id, REMOVED_ROOM, &err), err);
	assert_int_equal(db_changes(f->db), 1);
	removed_at_ms = get(f, job.id).removed_at_ms;
	clock_shift_ms = 5000;
	assert_ok(job_set_removed(f->db, job.id, REMOVED_EXPIRED, &err), err);
	assert_int_equal(db_changes(f->db), 0);
	assert_int_equal(get(f, job.id).removed_because, REMOVED_ROOM);
	assert_int_equal(get(f, job.id).removed_at_ms, removed_at_ms);
	/* One that is active has nothing that could be missing. */
	running = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_set_removed(f->db, running.id, REMOVED_LOST, &err), err);
	assert_int_equal(get(f, running.id).removed_at_ms, JOB_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(delivery_starts_the_grace),
		TEST(expired_files_are_removed),
		TEST(one_call_sweeps_some_files_only),
		TEST(leftovers_of_failed_jobs_are_removed),
		TEST(file_that_stays_keeps_no_other),
		TEST(refused_rows_are_swept),
		TEST(expired_file_is_not_had_any_more),
		TEST(expired_file_that_is_being_read_stays),
		TEST(first_reason_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
