/*
 * Jobs that are over and hold their target: by their process, by its lease,
 * and not for ever.
 */
#include <signal.h>
#include <sys/wait.h>

#include "store.h"

/* The audit lines of ends: how many, and the last. */
static size_t ends_len;
static char last_id[UUID_MAX], last_outcome[16], last_reason[256];

void __wrap_job_audit_end(const struct job *job, const char *outcome,
    const char *reason);

void
__wrap_job_audit_end(const struct job *job, const char *outcome,
    const char *reason)
{
	ends_len++;
	memcpy(last_id, job->id, sizeof(last_id));
	(void)str_copy(last_outcome, sizeof(last_outcome), outcome);
	(void)str_copy(last_reason, sizeof(last_reason), reason);
}

static void
expect_end(const char *id, const char *outcome, const char *reason)
{
	assert_int_equal(ends_len, 1);
	ends_len = 0;
	assert_string_equal(last_id, id);
	assert_string_equal(last_outcome, outcome);
	if (strstr(last_reason, reason) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", last_reason, reason);
}

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
settle_all(struct fixture *f)
{
	struct err err;

	assert_ok(job_settle(f->db, f->dir, &err), err);
}

/* A process that only is there, and is killed by the caller. */
static pid_t
start_sleeper(struct proc *ret_proc)
{
	struct proc self;
	int said[2];
	struct err err;
	pid_t pid;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		if (proc_self(&self, &err) == 0 && write(said[1], &self,
		    sizeof(self)) == (ssize_t)sizeof(self))
			for (;;)
				(void)pause();
		_exit(1);
	}
	assert_true(pid > 0);
	(void)close(said[1]);
	assert_int_equal(read(said[0], ret_proc, sizeof(*ret_proc)),
	    sizeof(*ret_proc));
	(void)close(said[0]);
	return pid;
}

static void
dead_capture_lets_go(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), other;
	struct proc runner;
	struct err err;
	pid_t pid;

	pid = start_sleeper(&runner);
	(void)claim(f, job.id, &runner);
	put_file(f, job.id, "part");
	(void)cancel(f, job.id);
	settle_all(f);
	assert_true(get(f, job.id).holds_target);
	assert_true(is_there(f, job.id, "part"));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Whoever orders settles that by himself. */
	assert_ok(try_create(f, &order, &other, &err), err);
	job = get(f, job.id);
	assert_false(job.holds_target);
	assert_int_equal(job.state, JOB_CANCELED);
	expect_end(job.id, "dropped", "ended without finishing");
	assert_false(is_there(f, job.id, "part"));
	settle_all(f);
	assert_int_equal(ends_len, 0);
}

static void
ended_child_lets_go(void **state)
{
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	(void)cancel(f, job.id);
	assert_ok(job_settle_child(f->db, f->dir, job.id,
	    (JOB_EXIT_ERROR + ERR_CONFLICT) << 8, &err), err);
	job = get(f, job.id);
	assert_false(job.holds_target);
	assert_int_equal(job.state, JOB_CANCELED);
	expect_end(job.id, "dropped", "podprof-capture");
	/* One that has let go by itself has said so by itself. */
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	(void)cancel(f, job.id);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_ok(job_settle_child(f->db, f->dir, job.id,
	    (JOB_EXIT_ERROR + ERR_CONFLICT) << 8, &err), err);
	assert_int_equal(ends_len, 0);
}

static void
unseen_capture_holds_by_its_lease(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct proc runner = f->self;
	int64_t revision;
	struct err err;

	(void)snprintf(runner.host, sizeof(runner.host), "elsewhere/1");
	clock_stopped_ms = clock_utc_ms();
	(void)claim(f, job.id, &runner);
	clock_shift_ms = 20000;
	revision = cancel(f, job.id).revision;
	assert_ok(job_hold(f->db, job.id, &err), err);
	clock_shift_ms = 20000 + JOB_LEASE_MS - 1000;
	settle_all(f);
	assert_true(get(f, job.id).holds_target);
	assert_ok(job_hold(f->db, job.id, &err), err);
	clock_shift_ms = 20000 + 2 * JOB_LEASE_MS - 3000;
	settle_all(f);
	job = get(f, job.id);
	assert_true(job.holds_target);
	/* It is nothing that anybody waits for. */
	assert_int_equal(job.revision, revision);
	clock_shift_ms = 20000 + 3 * JOB_LEASE_MS;
	settle_all(f);
	assert_false(get(f, job.id).holds_target);
	expect_end(job.id, "dropped", "was not heard of for");
	assert_err(job_hold(f->db, job.id, &err), err, ERR_CONFLICT, job.id);
}

static void
hung_capture_lets_go(void **state)
{
	struct fixture *f = *state;
	struct job job;

	clock_stopped_ms = clock_utc_ms();
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	(void)cancel(f, job.id);
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS - 1000;
	settle_all(f);
	assert_true(get(f, job.id).holds_target);
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS + 1000;
	settle_all(f);
	assert_false(get(f, job.id).holds_target);
	expect_end(job.id, "dropped", "it is stopped, or the disk hangs");
}

static void
hold_is_for_jobs_that_are_over(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	assert_err(job_hold(f->db, job.id, &err), err, ERR_CONFLICT, job.id);
	(void)claim(f, job.id, &f->self);
	assert_err(job_hold(f->db, job.id, &err), err, ERR_CONFLICT, job.id);
	/* Nor is an active one let go of. */
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_true(get(f, job.id).holds_target);
	succeed(f, f->db, job.id);
	assert_false(get(f, job.id).holds_target);
	assert_err(job_hold(f->db, job.id, &err), err, ERR_CONFLICT, job.id);
	assert_err(job_hold(f->db, "", &err), err, ERR_CONFLICT, "job ");
}

/* By reading alone: captures side by side do not keep each other writing. */
static void
running_is_looked_at_without_a_lock(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct db *other = open_other(f);
	int64_t before = 0, after = 0;
	struct err err;

	assert_err(job_check_running(f->db, job.id, &err), err, ERR_CONFLICT,
	    job.id);
	(void)claim(f, job.id, &f->self);
	assert_ok(db_data_version(other, &before, &err), err);
	assert_ok(db_begin(other, &err), err);
	assert_ok(job_check_running(f->db, job.id, &err), err);
	db_rollback(other);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	db_close(&other);
	(void)cancel(f, job.id);
	assert_err(job_check_running(f->db, job.id, &err), err, ERR_CONFLICT,
	    "it was given up or canceled");
	assert_err(job_check_running(f->db, "", &err), err, ERR_CONFLICT,
	    "not active any more");
}

/* It is over for whoever looks, and not yet for the app. */
static void
failed_job_may_hold_its_target(void **state)
{
	const struct err why = {ERR_SPACE, "no room for the snapshot"};
	const struct job_limits limits = {INT64_MAX / 4, 1000, 0};
	static const char RESERVED[] =
	    "SELECT reserved_bytes AS n FROM jobs WHERE id = :id";
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), other;
	struct err err;

	assert_ok(job_reserve(f->db, f->dir, &limits, job.id, 500, 0, &err),
	    err);
	assert_ok(job_fail_holding(f->db, f->dir, job.id, &why, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, ERR_SPACE);
	assert_string_equal(job.error.msg, "no room for the snapshot");
	assert_int_equal(job.phase, PHASE_NONE);
	assert_true(job.finished_at_ms != JOB_UNKNOWN);
	assert_true(job.holds_target);
	assert_int_equal(number_of(f, RESERVED, job.id), 0);
	assert_err(try_create(f, &order, &other, &err), err, ERR_CONFLICT,
	    "is failed, but V8 does not stop before it is done");
	assert_string_equal(other.id, job.id);
	assert_err(job_remove(f->db, f->dir, job.id, &err), err, ERR_CONFLICT,
	    "is over, but still occupies the app");
	assert_err(job_cancel(f->db, f->dir, job.id, &other, &err), err,
	    ERR_CONFLICT, "is failed already");
	assert_err(job_fail_holding(f->db, f->dir, job.id, &why, &err), err,
	    ERR_CONFLICT, "not active any more");
	assert_ok(job_hold(f->db, job.id, &err), err);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_false(get(f, job.id).holds_target);
	assert_ok(try_create(f, &order, &other, &err), err);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
}

/* Its process is gone, and what it had said of the failure stays. */
static void
failed_job_lets_go_by_itself(void **state)
{
	const struct err why = {ERR_SPACE, "no room for the snapshot"};
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	assert_ok(job_fail_holding(f->db, f->dir, job.id, &why, &err), err);
	settle_all(f);
	assert_true(get(f, job.id).holds_target);
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS + 1000;
	settle_all(f);
	job = get(f, job.id);
	assert_false(job.holds_target);
	assert_string_equal(job.error.msg, "no room for the snapshot");
	expect_end(job.id, "failed", "no room for the snapshot");
	clock_shift_ms = 0;
	job = create_running(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_fail_holding(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_settle_child(f->db, f->dir, job.id, 9, &err), err);
	job = get(f, job.id);
	assert_false(job.holds_target);
	assert_int_equal(job.error.code, ERR_SPACE);
	expect_end(job.id, "failed", "no room for the snapshot");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dead_capture_lets_go),
		TEST(ended_child_lets_go),
		TEST(unseen_capture_holds_by_its_lease),
		TEST(hung_capture_lets_go),
		TEST(hold_is_for_jobs_that_are_over),
		TEST(running_is_looked_at_without_a_lock),
		TEST(failed_job_may_hold_its_target),
		TEST(failed_job_lets_go_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
