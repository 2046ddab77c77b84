/*
 * What jobs ask of the database: no statement may cost more because there are
 * more rows that it does not show, and none may sort.
 */
#include <sqlite3.h>

#include "store.h"

#include "link.h"
#include "look.h"

/* Rows of the small and the large table. */
#define FEW 200
#define MANY 3000

#define TEXTS_MAX 100

/* Every statement that was made since the last reset. */
static struct {
	const char *sql;
	sqlite3_stmt *raw;
} texts[TEXTS_MAX];
static size_t texts_len;

int __wrap_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail);
int __real_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail);

int
__wrap_sqlite3_prepare_v3(sqlite3 *raw, const char *sql, int len,
    unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	int rc = __real_sqlite3_prepare_v3(raw, sql, len, flags, ret_stmt,
	    ret_tail);

	if (rc == SQLITE_OK && texts_len < TEXTS_MAX) {
		texts[texts_len].sql = sql;
		texts[texts_len++].raw = *ret_stmt;
	}
	return rc;
}

/* Steps of SQLite's machine in all statements since it was asked last. */
static int64_t
take_steps(void)
{
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < texts_len; i++)
		sum += sqlite3_stmt_status(texts[i].raw,
		    SQLITE_STMTSTATUS_VM_STEP, 1);
	return sum;
}

/* Add jobs that are over: every third a profile, every fourth failed, every
 * fifth delivered.  Half of the files are gone. */
static void
fill(struct fixture *f, int n)
{
	static const char ROWS[] =
	    "INSERT INTO jobs (id, app, pod, kind, method, duration_ms,"
	    " requested_by, request_id, created_at_ms, accepted_at_ms,"
	    " lease_until_ms, artifact_name, holds_target) WITH RECURSIVE"
	    " c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :n)"
	    " SELECT printf('0098c0de-7b1e-7c3a-9f00-%012x', n), '" APP "',"
	    " '" POD "', iif(n % 3 = 0, 'cpu-profile', 'heap-snapshot'),"
	    " 'auto', 1000, 'ci', 'r', 1000, 2000, 0, 'name', 0 FROM c";
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(f->db, ROWS, &stmt, &err), err);
	assert_ok(db_bind_int(stmt, ":n", n, &err), err);
	assert_ok(db_run(stmt, &err), err);
	assert_ok(db_exec(f->db, "UPDATE jobs SET state = 'running',"
	    " phase = 'writing', runner_pid = 1, started_at_ms = 3000;"
	    "UPDATE jobs SET state = 'failed', phase = NULL,"
	    " finished_at_ms = 4000, error = 'space', removed_at_ms = 4000"
	    " WHERE seq % 4 = 0;"
	    "UPDATE jobs SET state = 'succeeded', phase = NULL,"
	    " finished_at_ms = 4000, expires_at_ms = 9000000000000,"
	    " coding = 'zstd', size_bytes = 2, stored_bytes = 2,"
	    " sha256 = printf('%064d', seq), stored_sha256 = sha256,"
	    " delivered_at_ms = iif(seq % 5 = 0, 5000, NULL),"
	    " removed_at_ms = iif(seq % 2 = 0, 5000, NULL)"
	    " WHERE state = 'running';"
	    "INSERT INTO looks SELECT 'app-' || seq, pod, 2, "
	    "9000000000000 + seq, seq, '{}' FROM jobs", &err), err);
}

static void
list(struct fixture *f, int kind, int state, const char *after)
{
	struct job_filter filter = any_job();
	struct err err;
	bool more;
	int n = 0;

	filter.kind = kind;
	filter.state = state;
	filter.after = after;
	filter.limit = 10;
	assert_ok(job_list(f->db, f->dir, &filter, count_one, &n, &more, &err),
	    err);
}

static void
list_every_way(struct fixture *f)
{
	/* One that is there, and one that lies between two. */
	static const char *const afters[] = {
		NULL, "0098c0de-7b1e-7c3a-9f00-000000000064",
		"0098c0de-7b1e-7c3a-9f00-00000000006400000000",
	};
	size_t i;
	int kind, state;

	for (i = 0; i < sizeof(afters) / sizeof(afters[0]); i++)
		for (kind = -1; kind <= JOB_HEAP_PROFILE; kind++)
			for (state = -1; state <= JOB_CANCELED; state++)
				list(f, kind, state, afters[i]);
}

/* All that is done between an order and the end of its file, but to add up
 * the files that there are. */
static void
live_through(struct fixture *f)
{
	const struct err why = {ERR_SPACE, "disk full"};
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	char secret[LINK_SECRET_MAX];
	struct link link;
	struct job job;
	struct err err;

	order.key = "k";
	order.key_sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	assert_ok(try_create(f, &order, &job, &err), err);
	(void)claim(f, job.id, &f->self);
	set_target(f, job.id);
	assert_ok(job_set_plan(f->db, job.id, &stream_plan, &err), err);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	set_measured(f, job.id);
	succeed(f, f->db, job.id);
	assert_ok(job_newest_snapshot(f->db, f->dir, APP, POD, &job, &err),
	    err);
	assert_ok(job_deliver(f->db, f->dir, job.id, GRACE_MS, &err), err);
	assert_ok(link_create(f->db, APP, job.id, "ci", secret, &link, &err),
	    err);
	assert_ok(link_find(f->db, APP, secret, &link, &err), err);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	job = create_running(f, JOB_HEAP_PROFILE);
	assert_ok(job_cancel(f->db, f->dir, job.id, &job, &err), err);
	assert_ok(job_hold(f->db, job.id, &err), err);
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_ok(job_remove(f->db, f->dir, job.id, &err), err);
	job = create(f, JOB_HEAP_SNAPSHOT);
	assert_ok(job_fail(f->db, f->dir, job.id, &why, &err), err);
	assert_ok(job_discard(f->db, job.id, &err), err);
}

/* A minute after the last one. */
static void
look_once(struct fixture *f)
{
	static const struct look look = {.is_reachable = false};
	struct json *object = NULL;
	int64_t revision = 0;
	bool is_ours = false;
	struct err err;

	clock_shift_ms += 60000;
	assert_ok(look_begin(f->db, APP, POD, &is_ours, &revision, &err), err);
	assert_true(is_ours);
	assert_ok(look_put(f->db, APP, POD, &look, &err), err);
	assert_ok(look_revision(f->db, APP, POD, &revision, &err), err);
	assert_ok(look_get(f->db, APP, POD, LOOK_FRESH_MS, &object, &err),
	    err);
	json_free(&object);
}

static void
tidy_up(struct fixture *f)
{
	struct err err;

	assert_ok(job_settle(f->db, f->dir, &err), err);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_ok(link_sweep(f->db, &err), err);
}

static void
reconcile_some(struct fixture *f)
{
	struct job_reconciler *reconciler = NULL;
	struct err err;

	assert_ok(job_reconciler_new(&reconciler, &err), err);
	assert_ok(job_reconcile(reconciler, f->db, f->dir, 10, &err), err);
	job_reconciler_free(&reconciler);
}

typedef void act_fn(struct fixture *f);

static const struct {
	act_fn *act;
	const char *what;
} acts[] = {
	{ list_every_way, "lists" },
	{ live_through, "the life of a job" },
	{ look_once, "a look at an app" },
	{ tidy_up, "settling and sweeping" },
	{ reconcile_some, "reconciling" },
};
#define ACTS (sizeof(acts) / sizeof(acts[0]))

/* Steps of an act, once its statements are made. */
static int64_t
steps_of(struct fixture *f, act_fn *act)
{
	int64_t steps;

	db_close(&f->db);
	f->db = open_other(f);
	texts_len = 0;
	act(f);
	(void)take_steps();
	act(f);
	steps = take_steps();
	assert_in_range(texts_len, 1, TEXTS_MAX - 1);
	texts_len = 0;
	return steps;
}

/* Those of all acts, one after the other among so many rows. */
static void
steps_among(int rows, int64_t ret_steps[ACTS])
{
	void *state = NULL;
	size_t i;

	assert_int_equal(setup(&state), 0);
	fill(state, rows);
	for (i = 0; i < ACTS; i++)
		ret_steps[i] = steps_of(state, acts[i].act);
	assert_int_equal(teardown(&state), 0);
}

static void
rows_that_are_over_cost_nothing(void **state)
{
	int64_t few[ACTS], many[ACTS];
	size_t i;

	(void)state;
	steps_among(FEW, few);
	steps_among(MANY, many);
	for (i = 0; i < ACTS; i++) {
		assert_true(few[i] > 0);
		if (many[i] > few[i] + few[i] / 4)
			fail_msg("%s: %lld steps among %d rows, %lld among %d",
			    acts[i].what, (long long)few[i], FEW,
			    (long long)many[i], MANY);
	}
}

/* Those that hold a target are few; counting rows is one step. */
static bool
may_scan(const char *sql, const char *detail)
{
	return strstr(detail, " INDEX jobs_holding") != NULL ||
	    (strcmp(sql, "SELECT count(*) AS n FROM jobs") == 0 &&
	    strstr(detail, "COVERING INDEX") != NULL);
}

static int
check_plan(sqlite3 *raw, const char *sql)
{
	sqlite3_stmt *plan = NULL;
	const char *detail;
	char text[4096];
	int n = 0;

	(void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql);
	assert_int_equal(__real_sqlite3_prepare_v3(raw, text, -1, 0, &plan,
	    NULL), SQLITE_OK);
	while (sqlite3_step(plan) == SQLITE_ROW) {
		n++;
		detail = (const char *)sqlite3_column_text(plan, 3);
		if (strstr(detail, "TEMP B-TREE") != NULL ||
		    (strstr(detail, "SCAN") != NULL &&
		    strstr(detail, "SCAN CONSTANT ROW") == NULL &&
		    !may_scan(sql, detail)))
			fail_msg("%s\n%s", detail, sql);
	}
	(void)sqlite3_finalize(plan);
	return n;
}

static void
no_statement_reads_what_it_does_not_need(void **state)
{
	const struct job_limits none = {0, 0, 0};
	struct fixture *f = *state;
	struct err err;
	int planned = 0;
	size_t i;

	fill(f, FEW);
	db_close(&f->db);
	f->db = open_other(f);
	texts_len = 0;
	list_every_way(f);
	live_through(f);
	look_once(f);
	tidy_up(f);
	reconcile_some(f);
	assert_ok(job_retain(f->db, f->dir, &none, &err), err);
	assert_in_range(texts_len, 40, TEXTS_MAX - 1);
	for (i = 0; i < texts_len; i++)
		planned += check_plan(sqlite3_db_handle(texts[i].raw),
		    texts[i].sql) > 0;
	assert_true(planned >= 30);
	texts_len = 0;
}

/* Unless the indexes are used that the lists were made for, the rows above
 * would be read by those of other filters. */
static void
lists_use_the_index_of_their_filter(void **state)
{
	static const struct {
		int kind, state;
		const char *index;
	} cases[] = {
		{-1, -1, "jobs_listed (app=? AND pod=? AND seq<?)"},
		{JOB_CPU_PROFILE, -1,
		    "jobs_newest (app=? AND pod=? AND kind=? AND seq<?)"},
		{-1, JOB_FAILED,
		    "jobs_by_state (app=? AND pod=? AND state=? AND seq<?)"},
		{JOB_CPU_PROFILE, JOB_FAILED, "jobs_by_kind_and_state"
		    " (app=? AND pod=? AND kind=? AND state=? AND seq<?)"},
	};
	struct fixture *f = *state;
	sqlite3_stmt *plan;
	char text[4096];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		db_close(&f->db);
		f->db = open_other(f);
		texts_len = 0;
		list(f, cases[i].kind, cases[i].state, NULL);
		/* The list itself is made last. */
		(void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s",
		    texts[texts_len - 1].sql);
		assert_int_equal(__real_sqlite3_prepare_v3(
		    sqlite3_db_handle(texts[texts_len - 1].raw), text, -1, 0,
		    &plan, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(plan), SQLITE_ROW);
		(void)snprintf(text, sizeof(text),
		    "SEARCH jobs USING INDEX %s", cases[i].index);
		assert_string_equal(sqlite3_column_text(plan, 3), text);
		assert_int_equal(sqlite3_step(plan), SQLITE_DONE);
		(void)sqlite3_finalize(plan);
	}
	texts_len = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_that_are_over_cost_nothing),
		TEST(no_statement_reads_what_it_does_not_need),
		TEST(lists_use_the_index_of_their_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
