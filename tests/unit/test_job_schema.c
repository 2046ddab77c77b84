/*
 * The tables: what they refuse by themselves, and how those of an older
 * podprof become ours.
 */
#include <sys/wait.h>

#include "store.h"

#include "migrate.h"

#define MEGABYTE (1 << 20)
#define PROCESSES 8

static void
embedded_steps_are_the_files(void **state)
{
	const char *top = getenv("top_srcdir");
	struct buf text;
	char path[600];
	struct err err;
	unsigned i;

	(void)state;
	assert_non_null(top);
	assert_true(migrate_steps_len >= 1);
	for (i = 0; i < migrate_steps_len; i++) {
		(void)snprintf(path, sizeof(path), "%s/sql/%s.sql", top,
		    migrate_steps[i].name);
		buf_init(&text, MEGABYTE);
		assert_ok(file_read(path, &text, &err), err);
		assert_string_equal(migrate_steps[i].sql, buf_str(&text));
		buf_fini(&text);
	}
}

static void
table_refuses_what_is_no_state(void **state)
{
	static const struct {
		const char *set;
		const char *why;
	} cases[] = {
		{"state = 'queued'", "no other way"},
		{"state = 'succeeded', phase = NULL, finished_at_ms = 1",
		    "CHECK"},
		{"state = 'sleeping'", "no other way"},
		{"state = 'failed', phase = NULL, finished_at_ms = 1",
		    "CHECK"},
		{"state = 'failed', finished_at_ms = 1, error = 'x'", "CHECK"},
		{"state = 'failed', phase = NULL, error = 'x'", "CHECK"},
		{"phase = NULL", "CHECK"},
		{"phase = 'dreaming'", "CHECK"},
		{"runner_pid = NULL", "CHECK"},
		{"delivered_at_ms = 1", "CHECK"},
		{"removed_at_ms = 1", "CHECK"},
		{"used_method = 'magic'", "CHECK"},
		{"attempts = '{}'", "CHECK"},
		{"attempts = ''", "CHECK"},
		{"predicted_freeze_ms = 'long'", "cannot store TEXT"},
		{"sampling_bytes = 1023", "CHECK"},
		{"live = 2", "CHECK"},
		{"kind = 'cpu-profile'", "a job keeps its identity"},
		{"app = 'other'", "a job keeps its identity"},
		{"id = upper(id)", "a job keeps its identity"},
		{"created_at_ms = 1", "a job keeps its identity"},
		{"coding = 'gzip'", "CHECK"},
		{"holds_target = 2", "CHECK"},
		{"removed_because = 'boredom'", "CHECK"},
		{"idempotency_key = ''", "CHECK"},
		{"idempotency_key = hex(zeroblob(128))", "CHECK"},
		{"idempotency_sha256 = 'x'", "CHECK"},
		{"progress_done = 'many'", "cannot store TEXT"},
	};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	char sql[200];
	struct err err;
	size_t i;

	assert_err(db_exec(f->db, "UPDATE jobs SET state = 'succeeded'", &err),
	    err, ERR_CONFLICT, "no other way");
	(void)claim(f, job.id, &f->self);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(sql, sizeof(sql), "UPDATE jobs SET %s",
		    cases[i].set);
		assert_err(db_exec(f->db, sql, &err), err, ERR_CONFLICT,
		    cases[i].why);
	}
	assert_int_equal(get(f, job.id).state, JOB_RUNNING);
}

static void
table_lets_nothing_leave_an_end(void **state)
{
	static const char *const ends[] = {"succeeded", "failed", "canceled"};
	static const char *const states[] = {
		"queued", "running", "succeeded", "failed", "canceled",
	};
	const struct err why = {ERR_SPACE, "disk full"};
	struct fixture *f = *state;
	struct err err;
	char sql[200];
	size_t i, j;

	(void)create_succeeded(f);
	assert_ok(job_fail(f->db, f->dir,
	    create_accepted(f, JOB_CPU_PROFILE).id, &why, &err), err);
	(void)create_accepted(f, JOB_CPU_PROFILE);
	assert_ok(db_exec(f->db, "UPDATE jobs SET state = 'canceled',"
	    " finished_at_ms = 1 WHERE state = 'queued'", &err), err);
	for (i = 0; i < 3; i++)
		for (j = 0; j < 5; j++) {
			(void)snprintf(sql, sizeof(sql), "UPDATE jobs SET "
			    "state = '%s' WHERE state = '%s'", states[j],
			    ends[i]);
			assert_err(db_exec(f->db, sql, &err), err,
			    ERR_CONFLICT, "no other way");
		}
	assert_err(db_exec(f->db, "INSERT INTO jobs (id, app, pod, kind, state,"
	    " phase, method, requested_by, request_id, created_at_ms,"
	    " started_at_ms, runner_pid, lease_until_ms, artifact_name)"
	    " SELECT 'a' || substr(id, 2), app, pod, kind, 'running',"
	    " 'writing', method, requested_by, request_id, 1, 1, 1, 1, 'n'"
	    " FROM jobs LIMIT 1", &err), err, ERR_CONFLICT,
	    "a job begins as queued");
}

static void
newer_schema_is_refused(void **state)
{
	struct fixture *f = *state;
	struct db *db = NULL;
	char want[400];
	struct err err;

	assert_ok(db_exec(f->db, "PRAGMA user_version = 99", &err), err);
	(void)snprintf(want, sizeof(want), "%s/podprof.db: the database has "
	    "schema version 99", f->dir);
	assert_err(job_open_db(f->dir, &db, &err), err, ERR_STORE, want);
	assert_null(db);
	assert_err(job_open_db("/nonexistent", &db, &err), err, ERR_STORE,
	    "/nonexistent/podprof.db");
}

#define OLD_SHA256 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61c"\
	"aaff8a"

/* Jobs in every state, each of a pod of its own, as version 1 wrote them; they
 * begin as queued there, too. */
static const char OLD_ROWS[] =
    "INSERT INTO jobs (id, app, pod, kind, method, requested_by, request_id,"
    " created_at_ms, accepted_at_ms, lease_until_ms, artifact_name)"
    " WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
    " WHERE n < 7) SELECT '0198c0de-7b1e-7c3a-9f00-00000000000' || n, 'shop',"
    " 'pod-' || n, 'heap-snapshot', 'auto', 'ci', 'r', 1000,"
    " iif(n = 5, NULL, 2000), 9000000000000, 'name' FROM c;"
    "UPDATE jobs SET state = 'running', phase = 'writing', runner_pid = 1,"
    " runner_start_ticks = 1, runner_host = 'elsewhere',"
    " started_at_ms = 3000, progress_bytes = 77 WHERE seq <= 6;"
    "UPDATE jobs SET state = 'succeeded', phase = NULL, finished_at_ms = 4000,"
    " expires_at_ms = 9000000000000, size_bytes = 2, stored_bytes = 2,"
    " sha256 = '" OLD_SHA256 "', stored_sha256 = '" OLD_SHA256 "'"
    " WHERE seq <= 2;"
    "UPDATE jobs SET delivered_at_ms = 5000, removed_at_ms = 6000"
    " WHERE seq = 2;"
    "UPDATE jobs SET state = 'failed', phase = NULL, finished_at_ms = 4000,"
    " error = 'space', error_detail = 'the disk was full',"
    " removed_at_ms = iif(seq = 3, 4000, NULL) WHERE seq IN (3, 5);"
    "UPDATE jobs SET state = 'canceled', phase = NULL, finished_at_ms = 4000"
    " WHERE seq = 4";

static const struct {
	enum job_state state;
	bool holds_target;
	bool has_artifact;
	bool is_accepted;
} old_jobs[] = {
	{JOB_SUCCEEDED, false, true, true},
	{JOB_SUCCEEDED, false, false, true},
	{JOB_FAILED, false, false, true},
	{JOB_CANCELED, false, false, true},
	{JOB_FAILED, false, false, false},
	{JOB_RUNNING, true, false, true},
	{JOB_QUEUED, true, false, true},
};
#define OLD_LEN (sizeof(old_jobs) / sizeof(old_jobs[0]))

/* A state directory below ours as that version left it. */
static void
make_version(const struct fixture *f, unsigned version, const char *rows,
    char dir[300])
{
	struct db *db = NULL;
	char path[320], sql[48];
	struct err err;
	unsigned i;

	(void)snprintf(dir, 300, "%s/old", f->dir);
	(void)snprintf(path, sizeof(path), "%s/podprof.db", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_ok(db_open(path, &db, &err), err);
	for (i = 0; i < version; i++)
		assert_ok(db_exec(db, migrate_steps[i].sql, &err), err);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %u", version);
	assert_ok(db_exec(db, sql, &err), err);
	assert_ok(db_exec(db, rows, &err), err);
	db_close(&db);
}

static void
make_old(const struct fixture *f, char dir[300])
{
	make_version(f, 1, OLD_ROWS, dir);
}

static void
get_old(struct db *db, const char *dir, size_t i, struct job *ret_job)
{
	char id[UUID_MAX], pod[16];
	struct err err;

	(void)snprintf(id, sizeof(id), "0198c0de-7b1e-7c3a-9f00-%012zu", i + 1);
	(void)snprintf(pod, sizeof(pod), "pod-%zu", i + 1);
	assert_ok(job_get(db, dir, APP, pod, id, ret_job, &err), err);
}

static void
rows_of_version_1_keep_their_meaning(void **state)
{
	static const char INTEGRITY[] = "PRAGMA integrity_check";
	static const char CODINGS[] = "SELECT count(*) AS n FROM jobs"
	    " WHERE (state = 'succeeded') IS NOT (coding IS 'identity')"
	    " OR reserved_bytes <> 0 OR written_bytes <> 0";
	static const char UNSEEN[] = "SELECT count(*) AS n FROM jobs"
	    " LEFT JOIN meter_pods USING (pod) WHERE seen_at_ms IS NULL";
	struct fixture *f = *state;
	struct db_stmt *stmt;
	struct job job;
	char dir[300];
	struct err err;
	size_t i;

	make_old(f, dir);
	/* At a time when what ran then has a lease still. */
	clock_shift_ms = 9000000000000 - JOB_QUEUE_MS - clock_utc_ms();
	db_close(&f->db);
	assert_ok(job_open_db(dir, &f->db, &err), err);
	assert_ok(db_prepare(f->db, INTEGRITY, &stmt, &err), err);
	assert_int_equal(db_step(stmt, &err), 1);
	assert_string_equal(db_column_text(stmt, "integrity_check"), "ok");
	db_done(stmt);
	assert_int_equal(number_of(f, CODINGS, NULL), 0);
	assert_int_equal(number_of(f, UNSEEN, NULL), 0);
	for (i = 0; i < OLD_LEN; i++) {
		get_old(f->db, dir, i, &job);
		assert_int_equal(job.state, old_jobs[i].state);
		assert_int_equal(job.holds_target, old_jobs[i].holds_target);
		assert_int_equal(job_has_artifact(&job),
		    old_jobs[i].has_artifact);
		assert_int_equal(job.accepted_at_ms != JOB_UNKNOWN,
		    old_jobs[i].is_accepted);
		assert_int_equal(job.seq, i + 1);
		assert_int_equal(job.sum.coding, ARTIFACT_IDENTITY);
		assert_int_equal(job.predicted_bytes, JOB_UNKNOWN);
		assert_int_equal(job.removed_because, REMOVED_NOT);
		assert_string_equal(job.key_sha256, "");
	}
	assert_int_equal(job.progress_bytes, 0);
	get_old(f->db, dir, 0, &job);
	assert_int_equal(job.sum.stored_bytes, 2);
	assert_string_equal(job.sum.stored_sha256, OLD_SHA256);
	get_old(f->db, dir, 2, &job);
	assert_string_equal(job.error.msg, "the disk was full");
}

static void
jobs_of_version_1_go_on(void **state)
{
	struct job_order order = order_of(JOB_HEAP_SNAPSHOT);
	const struct job_progress progress = {PHASE_WRITING, 1, 2, 3, 3};
	struct fixture *f = *state;
	char dir[300], path[400];
	struct artifact_reader *reader = NULL;
	struct job job, other;
	bool is_new;
	struct err err;

	make_old(f, dir);
	clock_shift_ms = 9000000000000 - JOB_QUEUE_MS - clock_utc_ms();
	db_close(&f->db);
	assert_ok(artifact_check_dirs(dir, false, &err), err);
	assert_ok(job_open_db(dir, &f->db, &err), err);
	/* What runs is in the way, and what is over is not. */
	order.pod = "pod-6";
	assert_err(job_create(f->db, dir, &order, &other, &is_new, &err), err,
	    ERR_CONFLICT, "is running");
	get_old(f->db, dir, 5, &job);
	assert_string_equal(other.id, job.id);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	order.pod = "pod-4";
	assert_ok(job_create(f->db, dir, &order, &other, &is_new, &err), err);
	get_old(f->db, dir, 6, &job);
	assert_ok(job_claim(f->db, job.id, &f->self, &job, &err), err);
	/* The file is served as it was written, and goes in its time. */
	get_old(f->db, dir, 0, &job);
	(void)snprintf(path, sizeof(path), "%s/artifacts/%s.heapsnapshot", dir,
	    job.id);
	assert_ok(file_replace(path, "{}", 2, 0600, &err), err);
	assert_ok(artifact_open(dir, job.id, "heapsnapshot", &job.sum, &reader,
	    &err), err);
	artifact_close(&reader);
	clock_shift_ms += 2 * JOB_QUEUE_MS;
	assert_ok(job_sweep(f->db, dir, &err), err);
	get_old(f->db, dir, 0, &job);
	assert_int_equal(job.removed_because, REMOVED_EXPIRED);
	assert_int_equal(access(path, F_OK), -1);
}

/* Version 3 knew one way to capture.  A snapshot that was taken, one that runs,
 * one that was canceled and still holds its app, one that failed before it had
 * an app, and a link. */
static const char ROWS_OF_3[] =
    "INSERT INTO jobs (id, app, pod, kind, method, requested_by, request_id,"
    " created_at_ms, accepted_at_ms, lease_until_ms, artifact_name)"
    " WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
    " WHERE n < 4) SELECT '0198c0de-7b1e-7c3a-9f00-00000000000' || n, 'shop',"
    " 'pod-' || n, 'heap-snapshot', 'auto', 'ci', 'r', 1000, 2000,"
    " 9000000000000, 'name' FROM c;"
    "UPDATE jobs SET state = 'running', phase = 'writing', runner_pid = 1,"
    " runner_start_ticks = 1, runner_host = 'elsewhere', started_at_ms = 3000,"
    " target_pid = 7, target_node = 'v20.20.2',"
    " used_method = iif(seq = 4, NULL, 'stream'), progress_done = 5,"
    " progress_total = 9, progress_bytes = 77, predicted_bytes = 80,"
    " memory_before_bytes = 100;"
    "UPDATE jobs SET state = 'succeeded', phase = NULL, finished_at_ms = 4000,"
    " expires_at_ms = 9000000000000, size_bytes = 2, stored_bytes = 2,"
    " coding = 'zstd', holds_target = 0, freeze_ms = 120,"
    " memory_after_bytes = 130, sha256 = '" OLD_SHA256 "',"
    " stored_sha256 = '" OLD_SHA256 "' WHERE seq = 1;"
    "UPDATE jobs SET state = 'canceled', phase = NULL, finished_at_ms = 4000"
    " WHERE seq = 3;"
    "UPDATE jobs SET state = 'failed', phase = NULL, finished_at_ms = 4000,"
    " holds_target = 0, error = 'space', error_detail = 'the disk was full'"
    " WHERE seq = 4;"
    "INSERT INTO links SELECT sha256, id, app, 'ci', 9000000000000 FROM jobs"
    " WHERE seq = 1";

static void
open_version_3(struct fixture *f, char dir[300])
{
	struct err err;

	make_version(f, 3, ROWS_OF_3, dir);
	clock_shift_ms = 9000000000000 - JOB_QUEUE_MS - clock_utc_ms();
	db_close(&f->db);
	assert_ok(artifact_check_dirs(dir, false, &err), err);
	assert_ok(job_open_db(dir, &f->db, &err), err);
}

static void
rows_of_version_3_keep_their_meaning(void **state)
{
	static const char LINKS[] = "SELECT count(*) AS n FROM links"
	    " WHERE job_id = :id";
	static const struct {
		enum job_state state;
		bool holds_target;
		size_t attempts_len;
	} want[] = {
		{JOB_SUCCEEDED, false, 1},
		{JOB_RUNNING, true, 1},
		{JOB_CANCELED, true, 1},
		{JOB_FAILED, false, 0},
	};
	struct fixture *f = *state;
	struct job job;
	char dir[300];
	size_t i;

	open_version_3(f, dir);
	for (i = 0; i < 4; i++) {
		get_old(f->db, dir, i, &job);
		assert_int_equal(job.state, want[i].state);
		assert_int_equal(job.holds_target, want[i].holds_target);
		assert_int_equal(job.predicted_bytes, 80);
		assert_int_equal(job.predicted_peak_bytes, JOB_UNKNOWN);
		assert_int_equal(job.predicted_freeze_ms, JOB_UNKNOWN);
		assert_int_equal(job.memory_before_bytes, 100);
		assert_int_equal(job.attempts_len, want[i].attempts_len);
		if (job.attempts_len == 1) {
			assert_int_equal(job.attempts[0].method,
			    METHOD_STREAM);
			assert_int_equal(job.attempts[0].outcome,
			    OUTCOME_RUNNING);
			assert_string_equal(job.attempts[0].reason, "");
		}
	}
	get_old(f->db, dir, 0, &job);
	assert_int_equal(job.freeze_ms, 120);
	assert_int_equal(job.memory_after_bytes, 130);
	assert_int_equal(job.progress_done, 5);
	assert_true(job_has_artifact(&job));
	assert_int_equal(number_of(f, LINKS, job.id), 1);
}

static void
jobs_of_version_3_go_on(void **state)
{
	static const char LOOKS[] = "SELECT count(*) AS n FROM looks";
	const struct job_progress progress = {PHASE_WRITING, 6, 9, 78, 3};
	const struct job_measure measure = {130, 140, 150};
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct fixture *f = *state;
	struct job job;
	char dir[300];
	struct err err;

	open_version_3(f, dir);
	assert_int_equal(number_of(f, LOOKS, NULL), 0);
	get_old(f->db, dir, 1, &job);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	assert_ok(job_set_plan(f->db, job.id, &stream_plan, &err), err);
	assert_ok(job_fail(f->db, dir, job.id, &why, &err), err);
	get_old(f->db, dir, 1, &job);
	assert_int_equal(job.memory_peak_bytes, 140);
	assert_int_equal(job.predicted_peak_bytes, 170000000);
	assert_int_equal(job.progress_done, 6);
	get_old(f->db, dir, 2, &job);
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	assert_ok(job_release(f->db, dir, job.id, &err), err);
	assert_ok(job_remove(f->db, dir, job.id, &err), err);
}

static void
many_may_migrate_at_once(void **state)
{
	struct fixture *f = *state;
	int gate[2], i, status;
	pid_t pids[PROCESSES];
	char dir[300], byte;
	struct db *db = NULL;
	struct err err;

	make_old(f, dir);
	assert_int_equal(pipe(gate), 0);
	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(gate[1]);
			(void)!read(gate[0], &byte, 1);
			if (job_open_db(dir, &db, &err) == 0)
				_exit(0);
			(void)fprintf(stderr, "%s\n", err.msg);
			_exit(1);
		}
		assert_true(pids[i] > 0);
	}
	(void)close(gate[0]);
	(void)close(gate[1]);
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_ok(job_open_db(dir, &db, &err), err);
	db_close(&db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(embedded_steps_are_the_files),
		TEST(table_refuses_what_is_no_state),
		TEST(table_lets_nothing_leave_an_end),
		TEST(newer_schema_is_refused),
		TEST(rows_of_version_1_keep_their_meaning),
		TEST(jobs_of_version_1_go_on),
		TEST(rows_of_version_3_keep_their_meaning),
		TEST(jobs_of_version_3_go_on),
		TEST(many_may_migrate_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
