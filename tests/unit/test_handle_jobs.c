/*
 * What changes jobs: orders that may come twice, and jobs that are canceled and
 * removed, each in every state.
 */
#include "call.h"

#include <sys/stat.h>

#define JSON "CONTENT_TYPE=application/json"
#define SNAPSHOT "BODY={\"kind\":\"heap-snapshot\"}"
#define PROFILE "BODY={\"kind\":\"cpu-profile\",\"durationMs\":100}"

/* Called in the moment before a job is canceled. */
static void (*before_cancel)(const char *job_id);

int __wrap_job_cancel(struct db *db, const char *state_dir, const char *id,
    struct job *ret_job, struct err *err);
int __real_job_cancel(struct db *db, const char *state_dir, const char *id,
    struct job *ret_job, struct err *err);

int
__wrap_job_cancel(struct db *db, const char *state_dir, const char *id,
    struct job *ret_job, struct err *err)
{
	void (*hook)(const char *) = before_cancel;

	before_cancel = NULL;
	if (hook != NULL)
		hook(id);
	return __real_job_cancel(db, state_dir, id, ret_job, err);
}

static int
set_up_jobs(void **state)
{
	before_cancel = NULL;
	return set_up(state);
}

static void
order(const char *who, const char *key, const char *body)
{
	const char *lines[] = { who, JSON, body, key, NULL };

	open_call("POST", PAPI "/jobs", NULL, lines);
	serve_call();
}

static void
order_again(const char *key, const char *body)
{
	spawns = 0;
	order(site.operator, key, body);
	assert_int_equal(spawns, 0);
}

static void
expect_job(const char *id, const char *state)
{
	char line[120];

	expect_status(202);
	assert_string_equal(call.answer.type, "application/json");
	assert_string_equal(member("id"), id);
	assert_string_equal(member("state"), state);
	(void)snprintf(line, sizeof(line), "Location: " PAPI "/jobs/%s\r\n",
	    id);
	expect_header(line);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", id);
	expect_header(line);
	expect_header("X-Pod-Name: pod-1\r\n");
	assert_true(call.answer.retry_after_s > 0);
}

/* What may stand in the header. */
static void
test_key(void **state)
{
	static const char *const bad[] = { "a b", " a", "a ", "a\tb", "a\x01",
		"a\x7f", "\xc3\xa9", "a\r\nb", "a\xff" };
	char line[400] = "HTTP_IDEMPOTENCY_KEY=";
	const size_t start = strlen(line);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(line + start, sizeof(line) - start, "%s",
		    bad[i]);
		order_again(line, PROFILE);
		expect_problem(400, "invalid",
		    "Idempotency-Key: must be 1 to 255 visible ASCII");
	}
	memset(line + start, 'k', 256);
	line[start + 256] = '\0';
	order_again(line, PROFILE);
	expect_problem(400, "invalid", "1 to 255");
	assert_int_equal(site_count(&site, "app"), 0);
	/* A body that is not understood comes first. */
	order_again(line, "BODY={");
	expect_problem(400, "invalid", "the body");
	/* The longest, and what else may look odd. */
	line[start + 255] = '\0';
	order(site.operator, line, PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	site_attach(site.db, spawned);
	resume_call();
	expect_job(spawned, "running");
	order(site.operator, "HTTP_IDEMPOTENCY_KEY=\"'%;DROP--\\", PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(site_count(&site, "app"), 2);
}

/* The same order again is the same job, at whatever it is by now. */
static void
test_replay(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";
	char id[UUID_MAX];
	struct err err;

	(void)state;
	order(site.operator, key, SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	resume_call();
	expect_job(id, "running");
	order_again(key, SNAPSHOT);
	expect_job(id, "running");
	/* It is still the first one's. */
	assert_string_not_equal(site_job(&site, "app", id).request_id,
	    call.request->id);
	site_finish(&site, site.db, id, JOB_HEAP_SNAPSHOT, 100);
	order_again(key, SNAPSHOT);
	expect_job(id, "succeeded");
	assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err), err);
	assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	order_again(key, SNAPSHOT);
	expect_job(id, "succeeded");
	assert_int_equal(site_count(&site, "app"), 1);
	/* With the job its key goes. */
	assert_ok(job_remove(site.db, site.state_dir, id, &err), err);
	order(site.operator, key, SNAPSHOT);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_string_not_equal(spawned, id);
}

/* It failed after it had been accepted: that is what became of it. */
static void
test_replay_failed(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";
	char id[UUID_MAX];

	(void)state;
	order(site.operator, key, SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	resume_call();
	site_fail(&site, id, ERR_TARGET_EXITED, "the app ended");
	order_again(key, SNAPSHOT);
	expect_job(id, "failed");
}

/* Other bytes are another order, even if they mean the same. */
static void
test_other_body(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";
	static const char *const bodies[] = { PROFILE, "BODY={\"kind\":"
		"\"heap-snapshot\" }", "BODY={\"kind\":\"heap-snapshot\","
		"\"method\":\"auto\"}" };
	char id[UUID_MAX];
	size_t i;

	(void)state;
	order(site.operator, key, SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		order_again(key, bodies[i]);
		expect_problem(422, "key-reused", id);
		expect_no_header("Location");
	}
	site_attach(site.db, id);
	order_again(key, PROFILE);
	expect_problem(422, "key-reused", id);
	site_finish(&site, site.db, id, JOB_HEAP_SNAPSHOT, 100);
	order_again(key, PROFILE);
	expect_problem(422, "key-reused", id);
	/* Keys are told apart by each letter, and belong to an app. */
	order(site.operator, "HTTP_IDEMPOTENCY_KEY=K-1", PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_string_not_equal(spawned, id);
	{
		const char *const lines[] = { site.operator, JSON, PROFILE,
			key, NULL };

		open_call("POST", "/forked/private/papi/jobs", NULL, lines);
		serve_call();
		assert_int_equal(call.answer.kind, ANSWER_WAIT);
		assert_int_equal(site_count(&site, "forked"), 1);
	}
}

/* Both come before the preflight has an answer: both get it. */
static void
test_replay_early(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";
	struct parked first;
	const char *text;
	char id[UUID_MAX];

	(void)state;
	order(site.operator, key, SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	first = park_call();
	order_again(key, SNAPSHOT);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_string_equal(call.request->wait.job_id, id);
	assert_int_equal(call.request->wait.until, UNTIL_PREFLIGHT);
	site_attach(site.db, id);
	front_begin_log();
	resume_call();
	text = front_end_log();
	assert_non_null(strstr(text, "outcome=repeated"));
	expect_job(id, "running");
	front_begin_log();
	resume_parked(&first);
	text = front_end_log();
	assert_non_null(strstr(text, "outcome=accepted"));
	expect_job(id, "running");
	assert_int_equal(site_count(&site, "app"), 1);
}

/* Refused: both are told, and the key is free again, for whatever body. */
static void
test_refused(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";
	struct parked first;
	char id[UUID_MAX];

	(void)state;
	order(site.operator, key, SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	first = park_call();
	order_again(key, SNAPSHOT);
	site_claim(site.db, id);
	site_fail(&site, id, ERR_TARGET_UNREACHABLE, "no inspector at X");
	resume_call();
	expect_problem(503, "target-unreachable", "no inspector at X");
	resume_parked(&first);
	expect_problem(503, "target-unreachable", "no inspector at X");
	assert_int_equal(site_count(&site, "app"), 0);
	order(site.operator, key, PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_string_not_equal(spawned, id);
	site_attach(site.db, spawned);
	resume_call();
	expect_job(spawned, "running");
	assert_int_equal(site_count(&site, "app"), 1);
}

/* Nothing was started: the key was not used. */
static void
test_spawn_fails(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-1";

	(void)state;
	spawn_fails = true;
	order(site.operator, key, SNAPSHOT);
	expect_problem(500, "internal", "cannot start X");
	spawn_fails = false;
	order(site.operator, key, PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
}

/* A job that is in the way has no key of ours, and keeps none busy. */
static void
test_conflict(void **state)
{
	static const char key[] = "HTTP_IDEMPOTENCY_KEY=k-2";
	char id[UUID_MAX];

	(void)state;
	order(site.operator, "HTTP_IDEMPOTENCY_KEY=k-1", SNAPSHOT);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	order_again(key, SNAPSHOT);
	expect_problem(409, "conflict", id);
	site_finish(&site, site.db, id, JOB_HEAP_SNAPSHOT, 100);
	order(site.operator, key, PROFILE);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
}

static void
path_of(const char *id, char out[128])
{
	(void)snprintf(out, 128, PAPI "/jobs/%s", id);
}

/* DELETE of a job by whom. */
static void
delete(const char *id, const char *who)
{
	char path[128];

	path_of(id, path);
	begin_call("DELETE", path, NULL, who, NULL, NULL);
}

static void
expect_removed(const char *id)
{
	char line[120];

	expect_status(204);
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_null(call.answer.type);
	assert_int_equal(call.answer.body.len, 0);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", id);
	expect_header(line);
	delete(id, site.operator);
	expect_problem(404, "not-found", id);
}

static bool
has_files(const char *id)
{
	static const char *const endings[] = { "part", "heapsnapshot",
		"heapsnapshot.zst", "cpuprofile", "cpuprofile.zst" };
	char path[400];
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/artifacts/%s.%s",
		    site.state_dir, id, endings[i]);
		if (lstat(path, &st) == 0)
			return true;
	}
	return false;
}

/* A snapshot at what podprof-capture has come to. */
static void
start(char ret_id[UUID_MAX])
{
	get(PAPI "/takeMemorySnapshot", NULL);
	(void)snprintf(ret_id, UUID_MAX, "%s", spawned);
}

static void
test_delete_rights(void **state)
{
	char id[UUID_MAX], path[128];

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	delete(id, NULL);
	expect_problem(401, "unauthenticated", "");
	delete(id, site.viewer);
	expect_problem(403, "forbidden", "operator");
	delete(NO_JOB, site.operator);
	expect_problem(404, "not-found", NO_JOB);
	assert_string_equal(member("pod"), "pod-1");
	(void)snprintf(path, sizeof(path), "/forked/private/papi/jobs/%s", id);
	begin_call("DELETE", path, NULL, site.operator, NULL, NULL);
	expect_problem(404, "not-found", id);
	path_of(id, path);
	begin_call("PUT", path, NULL, site.operator, NULL, NULL);
	expect_problem(405, "method", "PUT");
	expect_header("Allow: GET, HEAD, DELETE\r\n");
	assert_true(has_files(id));
	assert_int_equal(site_job(&site, "app", id).state, JOB_SUCCEEDED);
}

static void
test_delete_whole(void **state)
{
	char id[UUID_MAX];
	const char *text;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	assert_true(has_files(id));
	front_begin_log();
	delete(id, site.operator);
	text = front_end_log();
	assert_non_null(strstr(text, "level=audit"));
	assert_non_null(strstr(text, id));
	assert_non_null(strstr(text,
	    "msg=\"remove\" who=oda app=app kind=heap-snapshot"));
	expect_removed(id);
	assert_false(has_files(id));
	assert_int_equal(site_count(&site, "app"), 0);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "");
}

/* Whoever reads the file goes on. */
static void
test_delete_read(void **state)
{
	struct artifact_reader *reader = NULL;
	char id[UUID_MAX], piece[1000];
	struct job job;
	struct err err;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_bytes(1000));
	job = site_job(&site, "app", id);
	assert_ok(artifact_open(site.state_dir, id, "heapsnapshot", &job.sum,
	    &reader, &err), err);
	delete(id, site.operator);
	expect_removed(id);
	assert_false(has_files(id));
	assert_int_equal(artifact_read(reader, ARTIFACT_IDENTITY, 0, piece,
	    1000, &err), 1000);
	assert_int_equal(piece[0], '{');
	assert_int_equal(piece[999], '}');
	artifact_close(&reader);
}

static void
test_delete_failed(void **state)
{
	char id[UUID_MAX];

	(void)state;
	start(id);
	site_attach(site.db, id);
	resume_call();
	site_fail(&site, id, ERR_TARGET_EXITED, "the app ended");
	delete(id, site.operator);
	expect_removed(id);
	/* One whose file has gone before. */
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	{
		struct err err;

		assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err),
		    err);
		assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	}
	delete(id, site.operator);
	expect_removed(id);
}

/* Nobody has begun it: nothing holds the app. */
static void
test_delete_queued(void **state)
{
	char id[UUID_MAX];
	struct proc self;
	struct job job;
	struct err err;

	(void)state;
	start(id);
	delete(id, site.operator);
	expect_job(id, "canceled");
	assert_false(site_job(&site, "app", id).holds_target);
	assert_ok(proc_self(&self, &err), err);
	assert_err(job_claim(site.db, id, &self, &job, &err), err,
	    ERR_CONFLICT, "canceled");
	/* The next snapshot need not wait. */
	get(PAPI "/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_string_not_equal(spawned, id);
	delete(id, site.operator);
	expect_removed(id);
}

/* V8 does not stop: canceled at once, but the app is not free before its
 * podprof-capture lets go of it. */
static void
test_delete_running(void **state)
{
	char id[UUID_MAX], line[120];
	const char *text;
	struct err err;

	(void)state;
	start(id);
	site_attach(site.db, id);
	resume_call();
	front_begin_log();
	delete(id, site.operator);
	text = front_end_log();
	assert_non_null(strstr(text,
	    "msg=\"cancel\" who=oda app=app kind=heap-snapshot"));
	expect_job(id, "canceled");
	assert_true(site_job(&site, "app", id).holds_target);
	/* Again and again, without another audit line. */
	front_begin_log();
	delete(id, site.operator);
	expect_job(id, "canceled");
	delete(id, site.operator);
	text = front_end_log();
	assert_string_equal(text, "");
	expect_job(id, "canceled");
	/* In the way of others. */
	(void)snprintf(line, sizeof(line), "\r\nLocation: " PAPI
	    "/jobs/%s\r\n", id);
	begin_call("GET", PAPI "/takeMemorySnapshot", NULL, site.operator,
	    "HTTP_ACCEPT=application/json", NULL);
	expect_problem(409, "conflict", "is canceled");
	assert_true(call.answer.retry_after_s > 0);
	expect_header(line);
	get(PAPI "/getCpuProfile", NULL);
	expect_problem(409, "conflict", "is canceled");
	expect_header(line);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "canceled");
	/* Its podprof-capture learns it, and lets go. */
	assert_err(job_set_target(site.db, id, &(struct job_target){
	    .pid = 1, .memory_bytes = JOB_UNKNOWN }, &site_plan, &err), err,
	    ERR_CONFLICT, "canceled");
	assert_ok(job_hold(site.db, id, &err), err);
	assert_ok(job_release(site.db, site.state_dir, id, &err), err);
	delete(id, site.operator);
	expect_removed(id);
	get(PAPI "/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
}

/* A profile can be canceled as well; who waits for it is told. */
static void
test_delete_profile(void **state)
{
	struct parked waiter;
	char id[UUID_MAX];

	(void)state;
	get(PAPI "/getCpuProfile", "duration=500");
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	resume_call();
	waiter = park_call();
	delete(id, site.operator);
	expect_job(id, "canceled");
	assert_string_equal(member("kind"), "cpu-profile");
	resume_parked(&waiter);
	expect_problem(404, "not-found", "the profile was canceled");
}

/* Before its preflight has an answer: whoever ordered it is told. */
static void
test_delete_early(void **state)
{
	struct parked waiter;
	char id[UUID_MAX];

	(void)state;
	start(id);
	waiter = park_call();
	site_claim(site.db, id);
	delete(id, site.operator);
	expect_job(id, "canceled");
	resume_parked(&waiter);
	expect_status(409);
	assert_true(site_job(&site, "app", id).holds_target);
}

/* And if it is removed by then, even that is told. */
static void
test_delete_very_early(void **state)
{
	struct parked waiter;
	char id[UUID_MAX];

	(void)state;
	start(id);
	waiter = park_call();
	delete(id, site.operator);
	expect_job(id, "canceled");
	delete(id, site.operator);
	expect_removed(id);
	resume_parked(&waiter);
	expect_problem(409, "conflict", "canceled and removed");
}

/* It failed in its middle: over, but V8 goes on. */
static void
test_delete_holding(void **state)
{
	char id[UUID_MAX];
	struct err why, err;

	(void)state;
	start(id);
	site_attach(site.db, id);
	resume_call();
	err_set(&why, ERR_SPACE, "the disk is full");
	assert_ok(job_fail_holding(site.db, site.state_dir, id, &why, &err),
	    err);
	get(PAPI "/takeMemorySnapshot", NULL);
	expect_status(409);
	delete(id, site.operator);
	expect_job(id, "failed");
	delete(id, site.operator);
	expect_job(id, "failed");
	assert_ok(job_release(site.db, site.state_dir, id, &err), err);
	delete(id, site.operator);
	expect_removed(id);
	get(PAPI "/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
}

static void
finish_it(const char *job_id)
{
	site_finish(&site, site.db, job_id, JOB_HEAP_SNAPSHOT, 100);
}

static void
fail_it(const char *job_id)
{
	site_fail(&site, job_id, ERR_TARGET_EXITED, "the app ended");
}

static void
cancel_it(const char *job_id)
{
	struct job job;
	struct err err;

	assert_ok(__real_job_cancel(site.db, site.state_dir, job_id, &job,
	    &err), err);
}

static void
cancel_and_remove_it(const char *job_id)
{
	struct err err;

	cancel_it(job_id);
	assert_ok(job_release(site.db, site.state_dir, job_id, &err), err);
	assert_ok(job_remove(site.db, site.state_dir, job_id, &err), err);
}

/* The job moves between the look at it and the word to it. */
static void
test_delete_race(void **state)
{
	static void (*const ends[])(const char *) = { finish_it, fail_it };
	char id[UUID_MAX];
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		start(id);
		site_attach(site.db, id);
		resume_call();
		before_cancel = ends[i];
		delete(id, site.operator);
		assert_null(before_cancel);
		expect_removed(id);
		assert_false(has_files(id));
	}
	/* Somebody else canceled it. */
	start(id);
	site_attach(site.db, id);
	resume_call();
	before_cancel = cancel_it;
	delete(id, site.operator);
	assert_null(before_cancel);
	expect_job(id, "canceled");
	assert_ok(job_release(site.db, site.state_dir, id, &err), err);
	delete(id, site.operator);
	expect_removed(id);
	/* And removed it. */
	start(id);
	site_attach(site.db, id);
	resume_call();
	before_cancel = cancel_and_remove_it;
	delete(id, site.operator);
	expect_problem(404, "not-found", id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_jobs, tear_down)
		TEST(test_key),
		TEST(test_replay),
		TEST(test_replay_failed),
		TEST(test_other_body),
		TEST(test_replay_early),
		TEST(test_refused),
		TEST(test_spawn_fails),
		TEST(test_conflict),
		TEST(test_delete_rights),
		TEST(test_delete_whole),
		TEST(test_delete_read),
		TEST(test_delete_failed),
		TEST(test_delete_queued),
		TEST(test_delete_running),
		TEST(test_delete_profile),
		TEST(test_delete_early),
		TEST(test_delete_very_early),
		TEST(test_delete_holding),
		TEST(test_delete_race),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
