/*
 * Jobs that are canceled and removed: at once for whoever looks, and for the
 * target only when V8 has let go of it.
 */
#include "store.h"

#include "link.h"

static struct job
cancel(struct fixture *f, const char *id)
{
	struct job job;
	struct err err;

	assert_ok(job_cancel(f->db, f->dir, id, &job, &err), err);
	assert_int_equal(job.state, JOB_CANCELED);
	assert_string_equal(job.id, id);
	return job;
}

static void
queued_job_lets_go_at_once(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), canceled, next;
	struct err err;

	canceled = cancel(f, job.id);
	assert_false(canceled.holds_target);
	assert_int_equal(canceled.phase, PHASE_NONE);
	assert_int_equal(canceled.revision, job.revision + 1);
	assert_true(canceled.finished_at_ms >= job.created_at_ms);
	assert_int_equal(canceled.started_at_ms, JOB_UNKNOWN);
	assert_true(job_is_final(&canceled));
	assert_false(job_has_artifact(&canceled));
	assert_int_equal(get(f, job.id).state, JOB_CANCELED);
	/* A capture that comes now is told, and another job may begin. */
	assert_err(job_claim(f->db, job.id, &f->self, &job, &err), err,
	    ERR_CONFLICT, "is canceled, so it cannot be begun");
	next = create(f, JOB_HEAP_SNAPSHOT);
	assert_string_not_equal(next.id, job.id);
}

static void
running_job_holds_its_target(void **state)
{
	struct job_order snapshot = order_of(JOB_HEAP_SNAPSHOT);
	struct job_order profile = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), canceled, other;
	struct err err;

	canceled = cancel(f, job.id);
	assert_true(canceled.holds_target);
	assert_int_equal(canceled.revision, job.revision + 1);
	assert_int_equal(canceled.phase, PHASE_NONE);
	assert_int_equal(canceled.runner.pid, getpid());
	assert_err(try_create(f, &snapshot, &other, &err), err, ERR_CONFLICT,
	    "Snapshot already generating: job");
	assert_non_null(strstr(err.msg, "is canceled, but V8 does not stop "
	    "before it is done; order again then"));
	assert_string_equal(other.id, job.id);
	assert_int_equal(other.state, JOB_CANCELED);
	assert_err(try_create(f, &profile, &other, &err), err, ERR_CONFLICT,
	    job.id);
	/* Elsewhere it is in nobody's way. */
	snapshot.app = "other";
	assert_ok(try_create(f, &snapshot, &other, &err), err);
	snapshot.app = APP;
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_false(get(f, job.id).holds_target);
	assert_int_equal(get(f, job.id).state, JOB_CANCELED);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_ok(try_create(f, &snapshot, &other, &err), err);
}

static void
canceled_profile_counts_until_it_lets_go(void **state)
{
	struct job_order profile = order_of(JOB_CPU_PROFILE);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_CPU_PROFILE), other;
	struct err err;

	profile.profiles_max = 1;
	(void)cancel(f, job.id);
	assert_err(try_create(f, &profile, &other, &err), err, ERR_LIMIT,
	    "1 profiles of app " APP);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_ok(try_create(f, &profile, &other, &err), err);
}

static void
nothing_is_written_into_a_canceled_job(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	const struct job_target target = {.pid = 7};
	const struct err why = {ERR_SPACE, "disk full"};
	struct artifact_sum sum = {.sha256 = "x", .stored_sha256 = "x"};
	const struct job_result result = {.sum = &sum};
	const struct job_limits limits = {INT64_MAX / 4, 1000, 0};
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), after;
	struct err err;

	job = cancel(f, job.id);
	assert_err(job_set_progress(f->db, job.id, &progress, &err), err,
	    ERR_CONFLICT, "it was given up or canceled");
	assert_err(job_set_target(f->db, job.id, &target, &stream_plan, &err),
	    err, ERR_CONFLICT, job.id);
	assert_err(job_set_plan(f->db, job.id, &stream_plan, &err), err,
	    ERR_CONFLICT, job.id);
	assert_err(job_succeed(f->db, f->dir, job.id, &result, &err), err,
	    ERR_CONFLICT, job.id);
	assert_err(job_fail(f->db, f->dir, job.id, &why, &err), err,
	    ERR_CONFLICT, job.id);
	assert_err(job_reserve(f->db, f->dir, &limits, job.id, 1, 0, &err),
	    err, ERR_CONFLICT, job.id);
	after = get(f, job.id);
	assert_int_equal(after.state, JOB_CANCELED);
	assert_int_equal(after.revision, job.revision);
	assert_int_equal(after.finished_at_ms, job.finished_at_ms);
	assert_int_equal(after.used_method, JOB_UNKNOWN);
	assert_int_equal(after.sum.size_bytes, JOB_UNKNOWN);
	assert_string_equal(after.error.msg, "");
	assert_true(after.holds_target);
}

static void
only_what_is_active_is_canceled(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	static const char unknown[] = "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77";
	struct fixture *f = *state;
	struct job job = create_succeeded(f), out = {.id = "untouched"};
	struct err err;

	assert_err(job_cancel(f->db, f->dir, job.id, &out, &err), err,
	    ERR_CONFLICT, "is succeeded already");
	assert_true(is_there(f, job.id, "heapsnapshot"));
	job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_err(job_cancel(f->db, f->dir, job.id, &out, &err), err,
	    ERR_CONFLICT, "is failed already");
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	(void)cancel(f, job.id);
	assert_err(job_cancel(f->db, f->dir, job.id, &out, &err), err,
	    ERR_CONFLICT, "is canceled already");
	assert_err(job_cancel(f->db, f->dir, unknown, &out, &err), err,
	    ERR_NOT_FOUND, unknown);
	assert_string_equal(out.id, "untouched");
}

static void
canceled_jobs_are_listed_and_swept(void **state)
{
	struct fixture *f = *state;
	const struct err why = {ERR_TARGET_UNREACHABLE, "nothing answers"};
	struct job_order other = order_of(JOB_HEAP_SNAPSHOT);
	struct job told = create_accepted(f, JOB_HEAP_SNAPSHOT), untold;
	struct job refused;
	struct err err;

	(void)cancel(f, told.id);
	untold = create(f, JOB_HEAP_SNAPSHOT);
	(void)claim(f, untold.id, &f->self);
	put_file(f, untold.id, "part");
	(void)cancel(f, untold.id);
	assert_int_equal(matching(f, APP, -1, JOB_CANCELED), 1);
	/* What it has written goes; the row stays while it holds the app, also
	 * where others go. */
	other.app = "other";
	assert_ok(try_create(f, &other, &refused, &err), err);
	assert_ok(job_fail(f->db, f->dir, refused.id, &why, &err), err);
	clock_shift_ms = JOB_UNACCEPTED_MS + 1000;
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(is_there(f, untold.id, "part"));
	assert_true(has_row(f, untold.id));
	assert_false(has_row(f, refused.id));
	assert_ok(job_release(f->db, f->dir, untold.id, &err), err);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(has_row(f, untold.id));
	assert_true(has_row(f, told.id));
}

static void
expect_kept(struct fixture *f, const char *id, const char *want)
{
	struct err err;

	assert_err(job_remove(f->db, f->dir, id, &err), err, ERR_CONFLICT,
	    want);
	assert_true(has_row(f, id));
}

static void
active_jobs_are_not_removed(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	expect_kept(f, job.id, "is queued");
	(void)claim(f, job.id, &f->self);
	put_file(f, job.id, "part");
	expect_kept(f, job.id, "is running");
	(void)cancel(f, job.id);
	expect_kept(f, job.id, "is over, but still occupies the app");
	assert_true(is_there(f, job.id, "part"));
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_false(has_row(f, job.id));
	assert_false(is_there(f, job.id, "part"));
}

static void
removed_job_takes_everything_with_it(void **state)
{
	static const char LINKS[] = "SELECT count(*) AS n FROM links";
	struct fixture *f = *state;
	struct job job = create_stored(f, JOB_HEAP_SNAPSHOT, 100000), other;
	struct artifact_reader *reader = NULL;
	char secret[LINK_SECRET_MAX], out[1000];
	struct link link;
	struct err err;
	int64_t at, n;

	other = create_stored(f, JOB_CPU_PROFILE, 2);
	assert_ok(link_create(f->db, APP, job.id, "ci", secret, &link, &err),
	    err);
	assert_ok(artifact_open(f->dir, job.id, "heapsnapshot", &job.sum,
	    &reader, &err), err);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_false(has_row(f, job.id));
	assert_false(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(number_of(f, LINKS, NULL), 0);
	/* Whoever reads the file goes on. */
	for (at = 0; (n = artifact_read(reader, ARTIFACT_IDENTITY, at, out,
	    sizeof(out), &err)) > 0; at += n)
		;
	assert_int_equal(n, 0);
	assert_int_equal(at, 100000);
	artifact_close(&reader);
	/* Twice is no error, and what never was is none. */
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_ok(job_remove(f->db, f->dir, "../x", &err), err);
	assert_true(is_there(f, other.id, "cpuprofile"));
	assert_int_equal(listed(f), 1);
}

static void
row_stays_with_a_file_that_stays(void **state)
{
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	char path[400];
	struct err err;

	path_of(f, job.id, "heapsnapshot.zst", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_err(job_remove(f->db, f->dir, job.id, &err), err, ERR_STORE,
	    path);
	assert_true(has_row(f, job.id));
	assert_int_equal(rmdir(path), 0);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	assert_false(has_row(f, job.id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(queued_job_lets_go_at_once),
		TEST(running_job_holds_its_target),
		TEST(canceled_profile_counts_until_it_lets_go),
		TEST(nothing_is_written_into_a_canceled_job),
		TEST(only_what_is_active_is_canceled),
		TEST(canceled_jobs_are_listed_and_swept),
		TEST(active_jobs_are_not_removed),
		TEST(removed_job_takes_everything_with_it),
		TEST(row_stays_with_a_file_that_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
