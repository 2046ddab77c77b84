/*
 * The rounds of job_reconcile(): every file and row is reached, however many
 * there are and whatever is the matter with others.
 */
#include "reconcile.h"

#include "job_parts.h"

/* Nobody can say whether a file is there. */
static bool no_stat;
/* The job that is removed, with its file, while its file is looked for. */
static struct {
	struct db *db;
	const char *dir, *id;
} going;
/* Warnings that were logged; rows that cannot be noted, and how often that was
 * tried. */
static int warnings;
static bool no_noting;
static int notings;

void __wrap_log_warn(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void
__wrap_log_warn(const char *module, const char *fmt, ...)
{
	(void)module;
	(void)fmt;
	warnings++;
}

int __wrap_job_set_removed(struct db *db, const char *id,
    enum job_removal because, struct err *err);
int __real_job_set_removed(struct db *db, const char *id,
    enum job_removal because, struct err *err);

int
__wrap_job_set_removed(struct db *db, const char *id,
    enum job_removal because, struct err *err)
{
	notings++;
	if (no_noting)
		return err_set(err, ERR_STORE, "the database is busy");
	return __real_job_set_removed(db, id, because, err);
}

int __wrap_artifact_is_there(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum, bool *ret_is_there,
    struct err *err);
int __real_artifact_is_there(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum, bool *ret_is_there,
    struct err *err);

int
__wrap_artifact_is_there(const char *state_dir, const char *job_id,
    const char *extension, const struct artifact_sum *sum, bool *ret_is_there,
    struct err *err)
{
	if (no_stat)
		return err_set(err, ERR_STORE, "%s: hangs", job_id);
	if (going.id != NULL && strcmp(job_id, going.id) == 0 &&
	    job_remove(going.db, going.dir, job_id, err) != 0)
		return -1;
	return __real_artifact_is_there(state_dir, job_id, extension, sum,
	    ret_is_there, err);
}

static int
setup_round(void **state)
{
	warnings = notings = 0;
	return setup_reconciler(state);
}

static int
teardown_round(void **state)
{
	no_stat = no_noting = false;
	going.id = NULL;
	return teardown_reconciler(state);
}

/* Jobs that have a file, by their rows: ids with gaps of 500 rows each. */
static void
fill(struct fixture *f, int n, int step)
{
	static const char ROWS[] =
	    "INSERT INTO jobs (seq, id, app, pod, kind, method, requested_by,"
	    " request_id, created_at_ms, accepted_at_ms, lease_until_ms,"
	    " artifact_name, holds_target) WITH RECURSIVE c (n) AS (SELECT 1"
	    " UNION ALL SELECT n + 1 FROM c WHERE n < :n) SELECT n * :step,"
	    " printf('0098c0de-7b1e-7c3a-9f00-%012x', n), '" APP "',"
	    " '" POD "', 'heap-snapshot', 'auto', 'ci', 'r', 1, 2, 0, 'n', 0"
	    " FROM c";
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(f->db, ROWS, &stmt, &err), err);
	assert_ok(db_bind_int(stmt, ":n", n, &err), err);
	assert_ok(db_bind_int(stmt, ":step", step, &err), err);
	assert_ok(db_run(stmt, &err), err);
	assert_ok(db_exec(f->db, "UPDATE jobs SET state = 'running',"
	    " phase = 'writing', runner_pid = 1, started_at_ms = 3000;"
	    "UPDATE jobs SET state = 'succeeded', phase = NULL,"
	    " finished_at_ms = 4000, expires_at_ms = 9000000000000,"
	    " coding = 'zstd', size_bytes = 2, stored_bytes = 2,"
	    " sha256 = printf('%064d', seq), stored_sha256 = sha256", &err),
	    err);
}

static int64_t
count_lost(struct fixture *f)
{
	static const char LOST[] =
	    "SELECT count(*) AS n FROM jobs WHERE removed_because = 'lost'";

	return number_of(f, LOST, NULL);
}

static void
every_row_is_reached(void **state)
{
	static const struct {
		int rows, step, max;
	} cases[] = {
		{200, 1, 64}, {50, 500, 256}, {50, 7, 1}, {64, 3, 64},
		{9, 1, 8}, {200, 1, 100000},
	};
	struct fixture *f = *state;
	int64_t before, lost;
	struct err err;
	size_t i;
	int calls, most;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fill(f, cases[i].rows, cases[i].step);
		/* A window of rows at each, as many as there can be in it. */
		most = cases[i].step >= cases[i].max ? cases[i].rows :
		    cases[i].rows * cases[i].step / cases[i].max + 1;
		for (lost = calls = 0; lost < cases[i].rows; calls++) {
			before = lost;
			reconcile(f, cases[i].max);
			lost = count_lost(f);
			assert_true(lost - before <= cases[i].max);
			assert_true(calls <= most);
		}
		assert_ok(db_exec(f->db, "DELETE FROM jobs", &err), err);
		/* And then it begins anew. */
		reconcile(f, cases[i].max);
	}
}

static void
every_file_is_reached(void **state)
{
	struct fixture *f = *state;
	char id[UUID_MAX];
	int calls, i, left;

	for (i = 0; i < 500; i++) {
		(void)snprintf(id, sizeof(id),
		    "0198c0de-7b1e-7c3a-9f00-%012x", i);
		put_file(f, id, "heapsnapshot.zst");
	}
	for (calls = 0, left = 500; left > 0; calls++) {
		reconcile(f, 64);
		for (i = left = 0; i < 500; i++) {
			(void)snprintf(id, sizeof(id),
			    "0198c0de-7b1e-7c3a-9f00-%012x", i);
			left += is_there(f, id, "heapsnapshot.zst");
		}
		assert_true(left >= 500 - 64 * (calls + 1));
		assert_true(calls < 20);
	}
	/* A round has an end, and what comes later is seen in the next. */
	put_file(f, ORPHAN, "heapsnapshot");
	for (calls = 0; is_there(f, ORPHAN, "heapsnapshot"); calls++) {
		assert_true(calls < 3);
		reconcile(f, 64);
	}
}

static void
file_that_cannot_go_keeps_no_other(void **state)
{
	struct fixture *f = *state;
	struct job bad = create_succeeded(f), lost = create_succeeded(f);
	char path[400];
	struct err err;
	int i;

	path_of(f, ORPHAN, "heapsnapshot", path);
	assert_int_equal(mkdir(path, 0700), 0);
	put_file(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c78", "heapsnapshot");
	put_file(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c76", "heapsnapshot");
	path_of(f, bad.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(f, lost.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	/* One at a time: nobody is stuck before it. */
	for (i = 0; i < 8; i++)
		(void)!job_reconcile(reconciler, f->db, f->dir, 1, &err);
	expect_lost(f, &lost);
	expect_lost(f, &bad);
	assert_false(is_there(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c78",
	    "heapsnapshot"));
	assert_false(is_there(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c76",
	    "heapsnapshot"));
	/* It is told of in each round, once the one is over. */
	(void)!job_reconcile(reconciler, f->db, f->dir, 100, &err);
	for (i = 0; i < 2; i++)
		assert_err(job_reconcile(reconciler, f->db, f->dir, 100, &err),
		    err, ERR_STORE, "cannot remove");
}

static void
first_fault_is_the_one_that_is_told(void **state)
{
	struct fixture *f = *state;
	struct job lost = create_succeeded(f);
	char path[400];
	struct err err;
	int i;

	path_of(f, lost.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	expect_lost(f, &lost);
	/* Of one that is back nobody can say whether it is whole. */
	put_file(f, lost.id, "heapsnapshot");
	(void)create_succeeded(f);
	no_stat = true;
	for (i = 0; i < 3; i++) {
		assert_err(job_reconcile(reconciler, f->db, f->dir, 100, &err),
		    err, ERR_STORE, "hangs");
		assert_non_null(strstr(err.msg, lost.id));
	}
	assert_true(is_there(f, lost.id, "heapsnapshot"));
	expect_lost(f, &lost);
	no_stat = false;
	reconcile(f, 100);
	assert_int_equal(get(f, lost.id).removed_because, REMOVED_NOT);
}

static void
what_cannot_be_seen_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;

	no_stat = true;
	assert_err(job_reconcile(reconciler, f->db, f->dir, 100, &err), err,
	    ERR_STORE, "hangs");
	no_stat = false;
	assert_int_equal(get(f, job.id).removed_at_ms, JOB_UNKNOWN);
	reconcile(f, 100);
	reconcile(f, 100);
	assert_int_equal(get(f, job.id).removed_at_ms, JOB_UNKNOWN);
	assert_true(is_there(f, job.id, "heapsnapshot"));
}

/* Another state in the place of ours, while the database is the old one: what
 * is there now is no orphan of its rows. */
static void
files_of_another_state_stay(void **state)
{
	struct fixture *f = *state;
	char path[256], moved[262];
	struct db *other = NULL;
	struct err err;
	int i;

	(void)snprintf(path, sizeof(path), "%s", f->dir);
	(void)snprintf(moved, sizeof(moved), "%s.moved", f->dir);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_ok(artifact_check_dirs(path, false, &err), err);
	assert_ok(job_open_db(path, &other, &err), err);
	put_file(f, ORPHAN, "heapsnapshot");
	for (i = 0; i < 3; i++)
		reconcile(f, 100);
	assert_true(is_there(f, ORPHAN, "heapsnapshot"));
	/* With the database that belongs there, it is one. */
	for (i = 0; i < 2; i++)
		assert_ok(job_reconcile(reconciler, other, f->dir, 100, &err),
		    err);
	assert_false(is_there(f, ORPHAN, "heapsnapshot"));
	db_close(&other);
	test_remove_dir(moved);
}

/* The other way round: what was there before is no orphan of the new rows, also
 * where it was being listed when it went. */
static void
files_of_the_state_before_stay(void **state)
{
	struct fixture *f = *state;
	struct job jobs[3];
	char path[256], moved[262], file[400];
	struct db *other = NULL;
	struct stat st;
	struct err err;
	size_t i;

	for (i = 0; i < 3; i++)
		jobs[i] = create_succeeded(f);
	reconcile(f, 1);
	(void)snprintf(path, sizeof(path), "%s", f->dir);
	(void)snprintf(moved, sizeof(moved), "%s.moved", f->dir);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_ok(artifact_check_dirs(path, false, &err), err);
	assert_ok(job_open_db(path, &other, &err), err);
	for (i = 0; i < 3; i++)
		assert_ok(job_reconcile(reconciler, other, f->dir, 100, &err),
		    err);
	for (i = 0; i < 3; i++) {
		(void)snprintf(file, sizeof(file),
		    "%s/artifacts/%s.heapsnapshot", moved, jobs[i].id);
		assert_int_equal(lstat(file, &st), 0);
	}
	db_close(&other);
	test_remove_dir(moved);
}

/* A job that is deleted at this moment has not lost its file. */
static void
file_that_goes_with_its_row_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct job gone = create_succeeded(f), lost = create_succeeded(f);
	char path[400];
	int i;

	going.db = f->db;
	going.dir = f->dir;
	going.id = gone.id;
	reconcile(f, 100);
	assert_false(has_row(f, gone.id));
	assert_false(is_there(f, gone.id, "heapsnapshot"));
	assert_int_equal(notings, 1);
	assert_int_equal(warnings, 0);
	path_of(f, lost.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	expect_lost(f, &lost);
	assert_int_equal(warnings, 1);
}

/* Not even for a moment is half a file taken for the one that was lost. */
static void
half_a_file_that_comes_back_is_none(void **state)
{
	struct fixture *f = *state;
	struct job job = create_stored(f, JOB_HEAP_SNAPSHOT, 3000);
	char path[400];
	struct err err;
	int i;

	path_of(f, job.id, "heapsnapshot", path);
	assert_int_equal(unlink(path), 0);
	reconcile(f, 100);
	expect_lost(f, &job);
	assert_ok(file_replace(path, "{", 1, 0600, &err), err);
	for (i = 0; i < 2; i++)
		reconcile(f, 100);
	expect_lost(f, &job);
	assert_false(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(notings, 1);
}

/* Each row would wait for it anew, and others for the store. */
static void
busy_database_ends_the_round(void **state)
{
	struct fixture *f = *state;
	struct job jobs[3];
	char path[400];
	struct err err;
	size_t i;

	for (i = 0; i < 3; i++) {
		jobs[i] = create_succeeded(f);
		path_of(f, jobs[i].id, "heapsnapshot", path);
		assert_int_equal(unlink(path), 0);
	}
	no_noting = true;
	assert_err(job_reconcile(reconciler, f->db, f->dir, 100, &err), err,
	    ERR_STORE, "the database is busy");
	assert_int_equal(notings, 1);
	assert_int_equal(warnings, 0);
	/* It is begun where it was. */
	no_noting = false;
	reconcile(f, 100);
	for (i = 0; i < 3; i++)
		expect_lost(f, &jobs[i]);
}

#define ROUND_TEST(name) cmocka_unit_test_setup_teardown(name, \
	setup_round, teardown_round)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROUND_TEST(every_row_is_reached),
		ROUND_TEST(every_file_is_reached),
		ROUND_TEST(file_that_cannot_go_keeps_no_other),
		ROUND_TEST(first_fault_is_the_one_that_is_told),
		ROUND_TEST(what_cannot_be_seen_is_not_lost),
		ROUND_TEST(files_of_another_state_stay),
		ROUND_TEST(files_of_the_state_before_stay),
		ROUND_TEST(file_that_goes_with_its_row_is_not_lost),
		ROUND_TEST(half_a_file_that_comes_back_is_none),
		ROUND_TEST(busy_database_ends_the_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
