#include <signal.h>
#include <sys/wait.h>

#include "store.h"

/* What happens between the look at a row and the look at its process; the
 * process then is dead.  NULL: the real proc_life(). */
static void (*on_proc_life)(struct fixture *f);
static struct fixture *on_proc_life_fixture;

enum proc_life __wrap_proc_life(const struct proc *proc);
enum proc_life __real_proc_life(const struct proc *proc);

enum proc_life
__wrap_proc_life(const struct proc *proc)
{
	void (*hook)(struct fixture *f) = on_proc_life;

	if (hook == NULL)
		return __real_proc_life(proc);
	on_proc_life = NULL;
	hook(on_proc_life_fixture);
	return PROC_DEAD;
}

/* A process that claims a job, begins a file, says so and sleeps. */
static pid_t
start_runner(const struct fixture *f, const char *id)
{
	int said[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		struct artifact *artifact = NULL;
		struct db *db = NULL;
		struct proc self;
		struct job job;
		struct err err;

		if (job_open_db(f->dir, &db, &err) == 0 &&
		    proc_self(&self, &err) == 0 &&
		    job_claim(db, id, &self, &job, &err) == 0 &&
		    artifact_create(f->dir, id, "heapsnapshot", &identity_form,
		    &artifact, &err) == 0 && write(said[1], "x", 1) == 1)
			for (;;)
				(void)pause();
		_exit(1);
	}
	assert_true(pid > 0);
	(void)close(said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	(void)close(said[0]);
	return pid;
}

static void
killed_capture_is_settled(void **state)
{
	struct fixture *f = *state;
	struct job job;
	char want[64];
	siginfo_t info;
	pid_t pid;
	int reap;

	/* Both as a zombie, and once it was waited for. */
	for (reap = 0; reap < 2; reap++) {
		job = create_accepted(f, JOB_HEAP_SNAPSHOT);
		pid = start_runner(f, job.id);
		assert_true(is_there(f, job.id, "part"));
		assert_int_equal(get(f, job.id).state, JOB_RUNNING);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitid(P_PID, (id_t)pid, &info,
		    WEXITED | (reap ? 0 : WNOWAIT)), 0);
		job = get(f, job.id);
		(void)snprintf(want, sizeof(want), "podprof-capture (pid %d) "
		    "ended without finishing", (int)pid);
		assert_interrupted(f, &job, want);
		if (!reap)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	assert_int_equal(listed(f), 2);
}

static void
dead_capture_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), newest;
	struct err err;
	pid_t pid;

	pid = start_runner(f, job.id);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &newest, &err),
	    err);
	assert_interrupted(f, &newest, "ended without finishing");
	job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	pid = start_runner(f, job.id);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Ordering settles by itself. */
	newest = create(f, JOB_HEAP_SNAPSHOT);
	assert_string_not_equal(newest.id, job.id);
	job = get(f, job.id);
	assert_interrupted(f, &job, "ended without finishing");
}

static void
recycled_pid_is_settled(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct proc runner = f->self;
	struct err err;

	runner.start_ticks--;
	(void)claim(f, job.id, &runner);
	put_file(f, job.id, "heapsnapshot");
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_interrupted(f, &job, "ended without finishing");
}

static void
living_capture_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	(void)claim(f, job.id, &f->self);
	/* Although its lease is over: we see that it lives. */
	clock_shift_ms = 10 * JOB_LEASE_MS;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
}

static void
hung_capture_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	clock_stopped_ms = clock_utc_ms();
	(void)claim(f, job.id, &f->self);
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS - 1000;
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
	clock_shift_ms = JOB_LEASE_MS + JOB_HANG_MS + 1000;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_interrupted(f, &job, "not heard of for 10 minutes");
}

static int
keep_state(void *ctx, const struct job *job, struct err *err)
{
	(void)err;
	*(enum job_state *)ctx = job->state;
	return 0;
}

/* As on a full disk: nothing can be written, and nobody is told a lie. */
static void
unwritable_rows_are_read(void **state)
{
	const struct job_filter filter = {.app = APP, .pod = POD, .kind = -1,
	    .state = -1, .limit = 10};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), newest;
	enum job_state listed_state = JOB_QUEUED;
	bool more;
	struct err err;
	pid_t pid;

	pid = start_runner(f, job.id);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_ok(db_exec(f->db, "PRAGMA query_only = ON", &err), err);
	assert_int_equal(job_settle(f->db, f->dir, &err), -1);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, ERR_INTERRUPTED);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &newest, &err),
	    err);
	assert_int_equal(newest.state, JOB_FAILED);
	assert_ok(job_list(f->db, f->dir, &filter, keep_state, &listed_state,
	    &more, &err), err);
	assert_int_equal(listed_state, JOB_FAILED);
	/* Once it can be written, it is. */
	assert_ok(db_exec(f->db, "PRAGMA query_only = OFF", &err), err);
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_interrupted(f, &job, "ended without finishing");
}

/* A second that NTP takes back is no reason to fail a job. */
static void
small_clock_step_is_nothing(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_CPU_PROFILE);

	clock_shift_ms = -1000;
	assert_int_equal(get(f, job.id).state, JOB_QUEUED);
}

static void
unseen_capture_lives_by_its_lease(void **state)
{
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct proc runner = f->self;
	struct err err;

	(void)snprintf(runner.host, sizeof(runner.host), "elsewhere/1");
	clock_stopped_ms = clock_utc_ms();
	(void)claim(f, job.id, &runner);
	clock_shift_ms = JOB_LEASE_MS - 1000;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	clock_shift_ms = JOB_LEASE_MS + 1000;
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
	clock_shift_ms = 2 * JOB_LEASE_MS;
	job = get(f, job.id);
	assert_interrupted(f, &job, "was not heard of for 30 s");
	assert_err(job_set_progress(f->db, job.id, &progress, &err), err,
	    ERR_CONFLICT, "not active any more");
}

static void
clock_set_back_keeps_nothing_alive(void **state)
{
	struct fixture *f = *state;
	struct job snapshot = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct proc runner = f->self;
	struct job job;
	struct err err;

	(void)snprintf(runner.host, sizeof(runner.host), "elsewhere/1");
	(void)claim(f, snapshot.id, &runner);
	clock_shift_ms = -86400000;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, snapshot.id);
	assert_int_equal(job.state, JOB_FAILED);
	clock_shift_ms = 0;
	job = create_accepted(f, JOB_CPU_PROFILE);
	clock_shift_ms = -86400000;
	assert_int_equal(get(f, job.id).state, JOB_FAILED);
}

static void
queue_is_not_for_ever(void **state)
{
	struct fixture *f = *state;
	struct job job, other;
	struct err err;

	clock_stopped_ms = clock_utc_ms();
	job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	clock_shift_ms = JOB_QUEUE_MS - 1000;
	assert_int_equal(get(f, job.id).state, JOB_QUEUED);
	clock_shift_ms = JOB_QUEUE_MS + 1;
	job = get(f, job.id);
	assert_interrupted(f, &job, "did not begin the job within 10 s");
	/* A capture that comes too late is told. */
	assert_err(job_claim(f->db, job.id, &f->self, &other, &err), err,
	    ERR_CONFLICT, "is failed");
}

static void
succeed_the_newest(struct fixture *f)
{
	struct db *other = open_other(f);
	struct job job;
	struct err err;

	/* Through another connection, as another process would. */
	assert_ok(job_newest_snapshot(other, f->dir, APP, POD, &job, &err),
	    err);
	succeed(f, other, job.id);
	db_close(&other);
}

static void
renew_the_newest(struct fixture *f)
{
	const struct job_progress progress = {PHASE_PREFLIGHT, JOB_UNKNOWN,
	    JOB_UNKNOWN, 0, 0};
	struct db *other = open_other(f);
	struct job job;
	struct err err;

	assert_ok(job_newest_snapshot(other, f->dir, APP, POD, &job, &err),
	    err);
	clock_shift_ms += 10;
	assert_ok(job_set_progress(other, job.id, &progress, &err), err);
	db_close(&other);
}

static void
settling_loses_no_race(void **state)
{
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;

	on_proc_life_fixture = f;
	before = claim(f, job.id, &f->self);
	/* The row was read, then its process renewed the lease. */
	on_proc_life = renew_the_newest;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_RUNNING);
	assert_int_equal(job.revision, before.revision);
	assert_true(job.lease_until_ms > before.lease_until_ms);
	/* … then it finished, and ended. */
	on_proc_life = succeed_the_newest;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_SUCCEEDED);
	assert_true(is_there(f, job.id, "heapsnapshot"));
	/* The same, seen by one who asks for the job itself. */
	job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	(void)claim(f, job.id, &f->self);
	on_proc_life = succeed_the_newest;
	assert_int_equal(get(f, job.id).state, JOB_SUCCEEDED);
	assert_true(is_there(f, job.id, "heapsnapshot"));
}

static void
end_of_child_is_told_in_words(void **state)
{
	static const struct {
		int wait_status;
		const char *want;
	} cases[] = {
		{SIGKILL, "was killed by signal 9 (Killed)"},
		{SIGSEGV | 0x80,
		    "was killed by signal 11 (Segmentation fault)"},
		{64, "was killed by signal 64 (unknown)"},
		{1 << 8, "ended with exit status 1 without finishing"},
		{0, "ended with exit status 0 without finishing"},
	};
	struct fixture *f = *state;
	struct job job;
	struct err err;
	char want[64];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		job = create_accepted(f, JOB_HEAP_SNAPSHOT);
		if (i > 0) {
			(void)claim(f, job.id, &f->self);
			put_file(f, job.id, "part");
		}
		assert_ok(job_settle_child(f->db, f->dir, job.id,
		    cases[i].wait_status, &err), err);
		job = get(f, job.id);
		assert_interrupted(f, &job, cases[i].want);
		(void)snprintf(want, sizeof(want), "(pid %d)", (int)getpid());
		assert_int_equal(strstr(job.error.msg, want) != NULL, i > 0);
	}
	/* One that did its work has nothing to be settled. */
	job = create_succeeded(f);
	assert_ok(job_settle_child(f->db, f->dir, job.id, 0, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_SUCCEEDED);
	assert_true(is_there(f, job.id, "heapsnapshot"));
}

static void
looking_writes_nothing(void **state)
{
	struct job_filter filter = any_job();
	struct fixture *f = *state;
	struct db *other = open_other(f);
	struct job job, newest;
	int64_t before = 0, after = 0;
	struct err err;
	bool more;
	int n = 0;

	(void)create_succeeded(f);
	job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	(void)claim(f, job.id, &f->self);
	assert_ok(db_data_version(other, &before, &err), err);
	/* While somebody else holds the write lock, too. */
	assert_ok(db_begin(other, &err), err);
	assert_ok(job_settle(f->db, f->dir, &err), err);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
	assert_ok(job_list(f->db, f->dir, &filter, count_one, &n, &more, &err),
	    err);
	assert_int_equal(n, 2);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &newest, &err),
	    err);
	assert_string_equal(newest.id, job.id);
	db_rollback(other);
	assert_ok(db_data_version(other, &after, &err), err);
	assert_int_equal(before, after);
	db_close(&other);
}

static void
many_dead_jobs_are_settled(void **state)
{
	struct fixture *f = *state;
	char ids[30][UUID_MAX];
	struct err err;
	size_t i;

	/* More than are looked at between two queries. */
	for (i = 0; i < 30; i++)
		memcpy(ids[i], create_accepted(f, JOB_CPU_PROFILE).id,
		    UUID_MAX);
	clock_shift_ms = JOB_QUEUE_MS + 1;
	assert_ok(job_settle(f->db, f->dir, &err), err);
	for (i = 0; i < 30; i++)
		assert_int_equal(get(f, ids[i]).state, JOB_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(killed_capture_is_settled),
		TEST(dead_capture_blocks_nobody),
		TEST(recycled_pid_is_settled),
		TEST(living_capture_is_left_alone),
		TEST(hung_capture_is_given_up),
		TEST(unwritable_rows_are_read),
		TEST(small_clock_step_is_nothing),
		TEST(unseen_capture_lives_by_its_lease),
		TEST(clock_set_back_keeps_nothing_alive),
		TEST(queue_is_not_for_ever),
		TEST(settling_loses_no_race),
		TEST(end_of_child_is_told_in_words),
		TEST(looking_writes_nothing),
		TEST(many_dead_jobs_are_settled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
