/*
 * Jobs: the plan of a capture, the ways that were tried, and what was measured.
 */
#include "store.h"

/* How many members JSON still takes before one fails; -1: all. */
static int strings_left = -1;

int __wrap_json_put_string(struct json *object, const char *key,
    const char *value);
int __real_json_put_string(struct json *object, const char *key,
    const char *value);
int __wrap_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err);
int __real_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err);

static bool is_parse_out_of_memory;

int
__wrap_json_put_string(struct json *object, const char *key, const char *value)
{
	if (strings_left >= 0 && strings_left-- == 0)
		return -1;
	return __real_json_put_string(object, key, value);
}

int
__wrap_json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err)
{
	if (is_parse_out_of_memory)
		return err_set(err, ERR_NOMEM, "no memory to parse");
	return __real_json_parse(text, len, ret_json, err);
}

static const struct job_target target = {
	.pid = 7, .node = "v20.20.2", .memory_bytes = 1000,
};

static struct job_plan
plan_of(const struct job_attempt *attempts, size_t len)
{
	struct job_plan plan = {
		.used_method = attempts[len - 1].method, .attempts = attempts,
		.attempts_len = len, .predicted_bytes = 11,
		.predicted_peak_bytes = 22, .predicted_freeze_ms = 33,
	};

	return plan;
}

static void
assert_attempts(const struct job *job, const struct job_attempt *want,
    size_t len)
{
	size_t i;

	assert_int_equal(job->attempts_len, len);
	for (i = 0; i < len; i++) {
		assert_int_equal(job->attempts[i].method, want[i].method);
		assert_int_equal(job->attempts[i].outcome, want[i].outcome);
		assert_string_equal(job->attempts[i].reason, want[i].reason);
	}
}

/* Some way to capture, tried so often that no more fits. */
static size_t
make_long(struct job_attempt attempts[JOB_ATTEMPTS_MAX], char letter)
{
	size_t i;

	for (i = 0; i < JOB_ATTEMPTS_MAX; i++) {
		attempts[i].method = METHOD_FORK;
		attempts[i].outcome = OUTCOME_FAILED;
		memset(attempts[i].reason, letter, JOB_REASON_MAX - 1);
		attempts[i].reason[JOB_REASON_MAX - 1] = '\0';
	}
	attempts[i - 1].outcome = OUTCOME_RUNNING;
	return i;
}

static void
target_comes_with_its_plan(void **state)
{
	static const struct job_attempt attempts[] = {
		{METHOD_FORK, OUTCOME_SKIPPED,
		    "it said \"no\\\",\r\n\t\x01 caf\xc3\xa9 \xf0\x9f\x98\x80"},
		{METHOD_DIRECT, OUTCOME_RUNNING, ""},
	};
	const struct job_plan plan = plan_of(attempts, 2);
	struct fixture *f = *state;
	struct job job = create(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	assert_int_equal(job.attempts_len, 0);
	assert_int_equal(job.predicted_peak_bytes, JOB_UNKNOWN);
	assert_int_equal(job.predicted_freeze_ms, JOB_UNKNOWN);
	job = claim(f, job.id, &f->self);
	assert_int_equal(job.attempts_len, 0);
	assert_ok(job_set_target(f->db, job.id, &target, &plan, &err), err);
	job = get(f, job.id);
	assert_attempts(&job, attempts, 2);
	assert_int_equal(job.used_method, METHOD_DIRECT);
	assert_int_equal(job.predicted_bytes, 11);
	assert_int_equal(job.predicted_peak_bytes, 22);
	assert_int_equal(job.predicted_freeze_ms, 33);
	/* They stay as they are when it is over. */
	succeed(f, f->db, job.id);
	job = get(f, job.id);
	assert_attempts(&job, attempts, 2);
	assert_int_equal(job.predicted_bytes, 11);
	assert_int_equal(job.predicted_freeze_ms, 33);
}

static void
plan_may_change(void **state)
{
	static const struct job_attempt attempts[] = {
		{METHOD_FORK, OUTCOME_FAILED, "it crashed"},
		{METHOD_FORK, OUTCOME_RUNNING, ""},
		{METHOD_FORK, OUTCOME_FAILED, "it crashed again"},
		{METHOD_STREAM, OUTCOME_RUNNING, ""},
	};
	const struct job_attempt last[] = {
		attempts[0], attempts[2], attempts[3],
	};
	struct job_progress progress = {PHASE_WRITING, 5, 50, 5, 1};
	struct job_plan plan = plan_of(&attempts[1], 1);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;

	assert_ok(job_set_target(f->db, job.id, &target, &plan, &err), err);
	assert_ok(job_set_progress(f->db, job.id, &progress, &err), err);
	before = get(f, job.id);
	assert_attempts(&before, &attempts[1], 1);
	/* The same method once more, and more is known of it. */
	plan = plan_of(attempts, 2);
	plan.predicted_bytes = 12;
	plan.predicted_freeze_ms = JOB_UNKNOWN;
	clock_shift_ms = 5000;
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	job = get(f, job.id);
	assert_attempts(&job, attempts, 2);
	assert_int_equal(job.predicted_bytes, 12);
	assert_int_equal(job.predicted_peak_bytes, 22);
	assert_int_equal(job.predicted_freeze_ms, JOB_UNKNOWN);
	assert_int_equal(job.revision, before.revision + 1);
	assert_true(job.lease_until_ms >= before.lease_until_ms + 5000);
	assert_int_equal(job.progress_done, 5);
	assert_int_equal(job.progress_total, 50);
	assert_string_equal(job.target_node, "v20.20.2");
	assert_int_equal(job.memory_before_bytes, 1000);
	/* Another: its numbers are of another kind. */
	plan = plan_of(last, 3);
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	job = get(f, job.id);
	assert_attempts(&job, last, 3);
	assert_int_equal(job.used_method, METHOD_STREAM);
	assert_int_equal(job.progress_done, JOB_UNKNOWN);
	assert_int_equal(job.progress_total, JOB_UNKNOWN);
	assert_int_equal(job.predicted_bytes, 11);
}

static void
plan_is_for_what_runs(void **state)
{
	const struct err why = {ERR_TARGET_EXITED, "the app ended"};
	struct job_plan plan = plan_of(&stream_attempt, 1);
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT);
	struct err err;

	assert_err(job_set_plan(f->db, job.id, &plan, &err), err,
	    ERR_CONFLICT, job.id);
	(void)claim(f, job.id, &f->self);
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	assert_ok(job_fail_holding(f->db, f->dir, job.id, &why, &err), err);
	plan.predicted_bytes = 99;
	assert_err(job_set_plan(f->db, job.id, &plan, &err), err,
	    ERR_CONFLICT, job.id);
	assert_int_equal(get(f, job.id).predicted_bytes, 11);
}

static void
longest_list_is_kept(void **state)
{
	static const char letters[] = {'x', '\x01', '"', '\\', '\x7f'};
	struct job_attempt attempts[JOB_ATTEMPTS_MAX];
	struct job_plan plan = plan_of(&stream_attempt, 1);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	struct err err;
	size_t i;

	plan.attempts = attempts;
	for (i = 0; i < sizeof(letters); i++) {
		plan.attempts_len = make_long(attempts, letters[i]);
		assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
		job = get(f, job.id);
		assert_attempts(&job, attempts, JOB_ATTEMPTS_MAX);
	}
	/* What is not UTF-8 becomes longer, and is cut then. */
	plan.attempts_len = make_long(attempts, '\xff');
	assert_ok(job_set_plan(f->db, job.id, &plan, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.attempts_len, JOB_ATTEMPTS_MAX);
	assert_memory_equal(job.attempts[3].reason, "\xef\xbf\xbd\xef", 4);
	assert_int_equal(strlen(job.attempts[3].reason), JOB_REASON_MAX - 1);
}

#define ATTEMPT(method, outcome) \
	"{\"method\":\"" method "\",\"outcome\":\"" outcome "\"," \
	"\"reason\":\"r\"}"
#define RUNNING ATTEMPT("stream", "running")
#define FAILED ATTEMPT("stream", "failed")

/* A text that somebody else put there. */
static void
put_text_of(struct fixture *f, const char *id, const char *text)
{
	static const char PUT[] =
	    "UPDATE jobs SET attempts = :text WHERE id = :id";
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(f->db, PUT, &stmt, &err), err);
	assert_ok(db_bind_text(stmt, ":id", id, &err), err);
	assert_ok(db_bind_text(stmt, ":text", text, &err), err);
	assert_ok(db_run(stmt, &err), err);
}

static void
damaged_texts_cost_no_job(void **state)
{
	static const char *const texts[] = {
		NULL, "", " ", "[", "]", "[]", "{}", "null", "7", "\"fork\"",
		"[[]]", "[null]", "[7]", "[\"fork\"]", "[{}]",
		"{\"attempts\":[" RUNNING "]}",
		"[" RUNNING "]x", "[" RUNNING, "[" RUNNING ",]",
		"[" FAILED "]", "[" RUNNING "," RUNNING "]",
		"[" RUNNING "," FAILED "]",
		"[" ATTEMPT("auto", "running") "]",
		"[" ATTEMPT("magic", "running") "]",
		"[" ATTEMPT("fork", "dreaming") "]",
		"[" ATTEMPT("", "") "]",
		"[{\"method\":\"fork\",\"outcome\":\"running\"}]",
		"[{\"outcome\":\"running\",\"reason\":\"\"}]",
		"[{\"method\":\"fork\",\"reason\":\"\"}]",
		"[{\"method\":1,\"outcome\":\"running\",\"reason\":\"\"}]",
		"[{\"method\":\"fork\",\"outcome\":null,\"reason\":\"\"}]",
		"[{\"method\":\"fork\",\"outcome\":\"running\",\"reason\":[]}]",
		"[" FAILED "," FAILED "," FAILED "," FAILED "," FAILED ","
		    FAILED "," FAILED "," FAILED "," RUNNING "]",
		"[{\"method\":\"fork\",\"outcome\":\"running\","
		    "\"reason\":\"\\u0000\"}]",
		"[{\"method\":\"fork\",\"outcome\":\"running\","
		    "\"reason\":\"\xff\xfe\"}]",
	};
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	struct err err;
	size_t i;

	set_target(f, job.id);
	assert_ok(db_exec(f->db, "PRAGMA ignore_check_constraints = ON",
	    &err), err);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put_text_of(f, job.id, texts[i]);
		job = get(f, job.id);
		assert_int_equal(job.state, JOB_RUNNING);
		/* What is in use is known still. */
		if (job.attempts_len != 1 ||
		    job.attempts[0].method != METHOD_STREAM ||
		    job.attempts[0].outcome != OUTCOME_RUNNING ||
		    job.attempts[0].reason[0] != '\0')
			fail_msg("%s was read", texts[i]);
	}
	assert_ok(db_exec(f->db, "UPDATE jobs SET used_method = NULL", &err),
	    err);
	assert_int_equal(get(f, job.id).attempts_len, 0);
}

static void
endless_texts_cost_no_job(void **state)
{
	const size_t len = 4 << 20;
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT);
	char *text = malloc(len + 1);
	struct err err;

	assert_non_null(text);
	memset(text, '[', len);
	text[len] = '\0';
	set_target(f, job.id);
	assert_err(db_exec(f->db, "UPDATE jobs SET attempts = '['", &err), err,
	    ERR_CONFLICT, "CHECK");
	assert_err(db_exec(f->db, "UPDATE jobs SET attempts = '['"
	    " || hex(zeroblob(8200)) || ']'", &err), err, ERR_CONFLICT,
	    "CHECK");
	assert_ok(db_exec(f->db, "PRAGMA ignore_check_constraints = ON",
	    &err), err);
	put_text_of(f, job.id, text);
	assert_int_equal(get(f, job.id).attempts_len, 1);
	/* As deep as it may be long. */
	text[JOB_ATTEMPTS_MAX * 1024] = '\0';
	put_text_of(f, job.id, text);
	assert_int_equal(get(f, job.id).attempts_len, 1);
	free(text);
}

static void
without_memory_nothing_changes(void **state)
{
	static const struct job_attempt attempts[] = {
		{METHOD_FORK, OUTCOME_SKIPPED, "not here"},
		{METHOD_DIRECT, OUTCOME_RUNNING, ""},
	};
	struct job_plan plan = plan_of(attempts, 2);
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;
	int i, rc;

	set_target(f, job.id);
	before = get(f, job.id);
	for (i = 0; ; i++) {
		strings_left = i;
		rc = job_set_plan(f->db, job.id, &plan, &err);
		if (strings_left >= 0)
			break;
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NOMEM);
		job = get(f, job.id);
		assert_attempts(&job, &stream_attempt, 1);
		assert_int_equal(job.revision, before.revision);
	}
	strings_left = -1;
	assert_int_equal(rc, 0);
	assert_int_equal(i, 6);
	/* To lose the reasons for good would be worse than to fail once. */
	is_parse_out_of_memory = true;
	assert_err(job_get(f->db, f->dir, APP, POD, job.id, &job, &err), err,
	    ERR_NOMEM, "no memory to parse");
	is_parse_out_of_memory = false;
	job = get(f, job.id);
	assert_attempts(&job, attempts, 2);
}

static void
measures_come_one_by_one(void **state)
{
	struct job_measure measure = {JOB_UNKNOWN, JOB_UNKNOWN, JOB_UNKNOWN};
	struct fixture *f = *state;
	struct job job = create_running(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;

	set_target(f, job.id);
	before = get(f, job.id);
	measure.freeze_ms = 20;
	clock_shift_ms = 5000;
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.freeze_ms, 20);
	assert_int_equal(job.memory_peak_bytes, JOB_UNKNOWN);
	assert_int_equal(job.revision, before.revision + 1);
	assert_true(job.lease_until_ms >= before.lease_until_ms + 5000);
	measure = (struct job_measure){JOB_UNKNOWN, 3000, JOB_UNKNOWN};
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	measure = (struct job_measure){0, JOB_UNKNOWN, 2000};
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.freeze_ms, 0);
	assert_int_equal(job.memory_before_bytes, 50000000);
	assert_int_equal(job.memory_peak_bytes, 3000);
	assert_int_equal(job.memory_after_bytes, 2000);
	succeed(f, f->db, job.id);
	job = get(f, job.id);
	assert_int_equal(job.freeze_ms, 0);
	assert_int_equal(job.memory_peak_bytes, 3000);
	assert_int_equal(job.memory_after_bytes, 2000);
}

static void
measures_are_of_what_holds_the_target(void **state)
{
	const struct job_measure measure = {9, 8, 7};
	struct fixture *f = *state;
	struct job job = create_accepted(f, JOB_HEAP_SNAPSHOT), before;
	struct err err;

	/* Nothing was begun. */
	assert_err(job_set_measured(f->db, job.id, &measure, &err), err,
	    ERR_CONFLICT, job.id);
	(void)claim(f, job.id, &f->self);
	assert_ok(job_cancel(f->db, f->dir, job.id, &before, &err), err);
	assert_true(before.holds_target);
	clock_shift_ms = 5000;
	assert_ok(job_set_measured(f->db, job.id, &measure, &err), err);
	job = get(f, job.id);
	assert_int_equal(job.state, JOB_CANCELED);
	assert_true(job.holds_target);
	assert_int_equal(job.freeze_ms, 9);
	assert_int_equal(job.memory_peak_bytes, 8);
	assert_int_equal(job.memory_after_bytes, 7);
	assert_true(job.revision > before.revision);
	assert_true(job.lease_until_ms >= before.lease_until_ms + 5000);
	/* Let go of, it is as it is. */
	assert_ok(job_release(f->db, f->dir, job.id, &err), err);
	assert_err(job_set_measured(f->db, job.id, &measure, &err), err,
	    ERR_CONFLICT, job.id);
	job = create_succeeded(f);
	assert_err(job_set_measured(f->db, job.id, &measure, &err), err,
	    ERR_CONFLICT, job.id);
	assert_int_equal(get(f, job.id).freeze_ms, JOB_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(target_comes_with_its_plan),
		TEST(plan_may_change),
		TEST(plan_is_for_what_runs),
		TEST(longest_list_is_kept),
		TEST(damaged_texts_cost_no_job),
		TEST(endless_texts_cost_no_job),
		TEST(without_memory_nothing_changes),
		TEST(measures_come_one_by_one),
		TEST(measures_are_of_what_holds_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
