#include <pthread.h>
#include <sys/wait.h>

#include "store.h"

#define PROCESSES 4
#define THREADS 3
#define ROUNDS 3

/* What each thread of each process does; 1: it won, 0: it was refused as it
 * had to be, -1: anything else. */
typedef int contend_fn(struct db *db, const char *dir);

struct contest {
	const char *dir;
	contend_fn *contend;
};

static void *
contend_main(void *arg)
{
	const struct contest *contest = arg;
	struct db *db = NULL;
	struct err err;
	int rc = -1;

	if (job_open_db(contest->dir, &db, &err) != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	else
		rc = contest->contend(db, contest->dir);
	db_close(&db);
	return (void *)(intptr_t)rc;
}

/* Exit status: how many threads won; 99 if one met anything else. */
static int
contend_in_threads(struct contest *contest)
{
	pthread_t threads[THREADS];
	int i, won = 0;
	void *result;

	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, contend_main,
		    contest) != 0)
			return 99;
	for (i = 0; i < THREADS; i++) {
		if (pthread_join(threads[i], &result) != 0 ||
		    (intptr_t)result < 0)
			won = 99;
		else if (won != 99)
			won += (int)(intptr_t)result;
	}
	return won;
}

/* How many won, of PROCESSES * THREADS that began at the same moment. */
static int
contend(const char *dir, contend_fn *fn)
{
	struct contest contest = {dir, fn};
	int gate[2], i, status, won = 0;
	pid_t pids[PROCESSES];
	char byte;

	assert_int_equal(pipe(gate), 0);
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(gate[1]);
			(void)!read(gate[0], &byte, 1);
			_exit(contend_in_threads(&contest));
		}
		assert_true(pids[i] > 0);
	}
	(void)close(gate[0]);
	(void)close(gate[1]);
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_int_not_equal(WEXITSTATUS(status), 99);
		won += WEXITSTATUS(status);
	}
	return won;
}

static int
unexpected(const struct err *err)
{
	(void)fprintf(stderr, "%s\n", err->msg);
	return -1;
}

static int
told(const struct err *err, enum err_code expected)
{
	return err->code == expected ? 0 : unexpected(err);
}

static int
order_snapshot(struct db *db, const char *dir)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	struct job job = {.id = ""};
	bool is_new;
	struct err err;

	if (job_create(db, dir, &order, &job, &is_new, &err) == 0)
		return 1;
	/* Whoever lost knows which job is in his way. */
	return uuid_is_valid(job.id) ? told(&err, ERR_CONFLICT) : -1;
}

static int
order_profile(struct db *db, const char *dir)
{
	struct job_order order = order_of(JOB_CPU_PROFILE);
	struct job job;
	bool is_new;
	struct err err;

	order.profiles_max = 5;
	if (job_create(db, dir, &order, &job, &is_new, &err) == 0)
		return 1;
	return told(&err, ERR_LIMIT);
}

static int
claim_newest(struct db *db, const char *dir)
{
	struct proc self;
	struct job job;
	struct err err;

	if (proc_self(&self, &err) != 0 ||
	    job_newest_snapshot(db, dir, APP, POD, &job, &err) != 0)
		return unexpected(&err);
	if (job_claim(db, job.id, &self, &job, &err) == 0)
		return 1;
	return told(&err, ERR_CONFLICT);
}

static int
settle_and_sweep(struct db *db, const char *dir)
{
	struct err err;

	if (job_settle(db, dir, &err) != 0 ||
	    job_sweep(db, dir, &err) != 0)
		return unexpected(&err);
	return 1;
}

static void
fresh_state_is_made_once(void **state)
{
	static const char INTEGRITY[] = "PRAGMA integrity_check";
	struct fixture *f = *state;
	struct db_stmt *stmt;
	char dir[300];
	struct err err;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/fresh%d", f->dir, i);
		assert_int_equal(mkdir(dir, 0700), 0);
		db_close(&f->db);
		assert_int_equal(contend(dir, settle_and_sweep),
		    PROCESSES * THREADS);
		assert_ok(job_open_db(dir, &f->db, &err), err);
		assert_ok(db_prepare(f->db, INTEGRITY, &stmt, &err), err);
		assert_int_equal(db_step(stmt, &err), 1);
		assert_string_equal(db_column_text(stmt, "integrity_check"),
		    "ok");
		db_done(stmt);
	}
}

static void
one_of_many_snapshots_wins(void **state)
{
	struct fixture *f = *state;
	struct job job;
	struct err err;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		assert_int_equal(contend(f->dir, order_snapshot), 1);
		assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &job,
		    &err), err);
		assert_ok(job_accept(f->db, job.id, &job, &err), err);
		assert_int_equal(contend(f->dir, claim_newest), 1);
		/* Whoever won the claim has ended since. */
		job = get(f, job.id);
		assert_interrupted(f, &job, "ended without finishing");
	}
}

static void
limit_holds_among_many(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(contend(f->dir, order_profile), 5);
	assert_int_equal(matching(f, APP, JOB_CPU_PROFILE, JOB_QUEUED), 5);
}

static void
many_may_settle_and_sweep(void **state)
{
	struct fixture *f = *state;
	struct job dead = create_accepted(f, JOB_HEAP_SNAPSHOT), expired;
	struct proc runner = f->self;

	runner.start_ticks--;
	(void)claim(f, dead.id, &runner);
	put_file(f, dead.id, "part");
	assert_int_equal(contend(f->dir, settle_and_sweep),
	    PROCESSES * THREADS);
	dead = get(f, dead.id);
	assert_interrupted(f, &dead, "ended without finishing");
	expired = create_succeeded(f);
	clock_shift_ms = KEEP_MS + 1000;
	assert_int_equal(contend(f->dir, settle_and_sweep),
	    PROCESSES * THREADS);
	assert_true(get(f, expired.id).removed_at_ms != JOB_UNKNOWN);
	assert_false(is_there(f, expired.id, "heapsnapshot"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fresh_state_is_made_once),
		TEST(one_of_many_snapshots_wins),
		TEST(limit_holds_among_many),
		TEST(many_may_settle_and_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
