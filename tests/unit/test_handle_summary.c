/*
 * Summaries and diffs: who begins one, who waits for whom, and what each is
 * told in the end.
 */
#include "call.h"

#include "clock.h"
#include "summary.h"

#define NAMES 6200
#define ODD_BYTES 240	/* of a name; each is escaped */
#define NAME_SIZE (8 + 6 * ODD_BYTES)

/* Time passes only by pass(). */
static int64_t utc_ms, mono_ms;

int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);
int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);

int64_t
__wrap_clock_utc_ms(void)
{
	return utc_ms;
}

int64_t
__wrap_clock_mono_ms(void)
{
	return mono_ms;
}

static void
pass(int64_t ms)
{
	utc_ms += ms;
	mono_ms += ms;
}

/* Two snapshots. */
static char a[UUID_MAX], b[UUID_MAX];

static void
take(char out[UUID_MAX])
{
	struct err err;

	site_take(&site, 1000, out);
	assert_ok(job_release(site.db, site.state_dir, out, &err), err);
	pass(1);
}

static int
set_up_jobs(void **state)
{
	utc_ms = __real_clock_utc_ms();
	mono_ms = __real_clock_mono_ms();
	if (set_up(state) != 0)
		return -1;
	take(a);
	take(b);
	return 0;
}

/* The address of a summary, or of a diff. */
static const char *
path_of(const char *id, const char *other)
{
	static char path[200];

	(void)snprintf(path, sizeof(path), other == NULL ?
	    PAPI "/jobs/%s/summary" : PAPI "/jobs/%s/diff/%s", id, other);
	return path;
}

static void
ask(const char *id, const char *other, const char *query)
{
	get(path_of(id, other), query);
}

static void
expect_wait(const char *id)
{
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_SUMMED);
	assert_string_equal(call.request->wait.job_id, id);
	assert_non_null(call.request->place);
}

/* The newest that was begun is of this job. */
static void
expect_begun(size_t count, const char *id)
{
	assert_int_equal(looks, count);
	assert_string_equal(looked_at, id);
}

/* What podprof-capture does, of an object of each name. */
static void
summarize_names(const char *id, const char *const names[], size_t len)
{
	struct classes *classes = NULL;
	char app[STR_NAME_MAX + 1];
	struct proc self;
	struct buf text;
	struct err err;
	size_t i;

	buf_init(&text, 32 << 20);
	assert_ok(buf_addf(&text, &err, "{\"snapshot\":{\"meta\":{"
	    "\"node_fields\":[\"type\",\"name\",\"self_size\"],\"node_types\":"
	    "[[\"object\"]],\"edge_fields\":[\"a\"]},\"node_count\":%zu,"
	    "\"edge_count\":1},\"nodes\":[", len), err);
	for (i = 0; i < len; i++)
		assert_ok(buf_addf(&text, &err, "%s0,%zu,8",
		    i > 0 ? "," : "", i), err);
	assert_ok(buf_adds(&text, "],\"edges\":[1],\"strings\":[", &err),
	    err);
	for (i = 0; i < len; i++)
		assert_ok(buf_addf(&text, &err, "%s\"%s\"", i > 0 ? "," : "",
		    names[i]), err);
	assert_ok(buf_adds(&text, "]}", &err), err);
	assert_ok(classes_new(&classes, &err), err);
	assert_ok(classes_feed(classes, text.data, text.len, &err), err);
	assert_ok(classes_end(classes, &err), err);
	buf_fini(&text);
	assert_ok(proc_self(&self, &err), err);
	assert_ok(summary_claim(site.db, id, &self, app, &err), err);
	assert_string_equal(app, "app");
	assert_ok(summary_put(site.db, id, &self, classes, &err), err);
	classes_free(&classes);
}

/* The same; each letter is a name. */
static void
summarize(const char *id, const char *letters)
{
	const char *names[16];
	char text[16][2];
	size_t i;

	for (i = 0; letters[i] != '\0'; i++) {
		text[i][0] = letters[i];
		text[i][1] = '\0';
		names[i] = text[i];
	}
	summarize_names(id, names, i);
}

static void
fail_summary(const char *id, enum err_code code, const char *text)
{
	char app[STR_NAME_MAX + 1];
	struct err err, why;
	struct proc self;

	err_set(&why, code, "%s", text);
	assert_ok(proc_self(&self, &err), err);
	assert_ok(summary_claim(site.db, id, &self, app, &err), err);
	assert_ok(summary_fail(site.db, id, &self, &why, &err), err);
}

static void
expect_body(const char *want)
{
	expect_status(200);
	assert_string_equal(call.answer.type, "application/json");
	assert_string_equal(buf_str(&call.answer.body), want);
	expect_header("X-Pod-Name: pod-1\r\n");
}

static void
test_judging(void **state)
{
	static const char *const limits[] = {
		"limit=0", "limit=50001", "limit=x", "limit=-1",
	};
	const char *others[] = { NULL, b };
	size_t i, d;

	(void)state;
	for (d = 0; d < 2; d++) {
		begin_call("GET", path_of(a, others[d]), NULL, NULL, NULL,
		    NULL);
		expect_problem(401, "unauthenticated", "no token");
		begin_call("GET", path_of(a, others[d]), NULL, site.viewer,
		    NULL, NULL);
		expect_problem(403, "forbidden", "needs operator");
		begin_call("POST", path_of(a, others[d]), NULL, site.operator,
		    NULL, NULL);
		expect_problem(405, "method", "POST");
		expect_header("Allow: GET, HEAD\r\n");
		for (i = 0; i < 4; i++) {
			ask(a, others[d], limits[i]);
			expect_problem(400, "invalid", "limit");
		}
	}
	ask(a, "no-uuid", NULL);
	expect_problem(404, "not-found", "there is no such address");
	ask(NO_JOB, NULL, NULL);
	expect_problem(404, "not-found", NO_JOB);
	ask(a, NO_JOB, NULL);
	expect_problem(404, "not-found", NO_JOB);
	assert_int_equal(looks, 0);
}

static void
order(const char *kind, char out[UUID_MAX])
{
	char body[100];

	(void)snprintf(body, sizeof(body), "BODY={\"kind\":\"%s\"}", kind);
	begin_call("POST", PAPI "/jobs", NULL, site.operator, body,
	    "CONTENT_TYPE=application/json");
	memcpy(out, spawned, UUID_MAX);
	site_attach(site.db, out);
	resume_call();
	expect_status(202);
}

static void
test_jobs_without(void **state)
{
	char profile[UUID_MAX], running[UUID_MAX], want[100];

	(void)state;
	order("cpu-profile", profile);
	ask(profile, NULL, NULL);
	expect_problem(404, "not-found",
	    "the job is a cpu-profile; only a heap-snapshot has a summary");
	ask(a, profile, NULL);
	(void)snprintf(want, sizeof(want), "job %s: the job is a cpu-profile",
	    profile);
	expect_problem(404, "not-found", want);
	order("heap-snapshot", running);
	ask(running, NULL, NULL);
	expect_problem(409, "conflict", "the job is running");
	(void)snprintf(want, sizeof(want), "X-Job-Id: %s\r\n", running);
	expect_header(want);
	assert_int_equal(call.answer.retry_after_s, 2);
	site_fail(&site, running, ERR_TARGET_EXITED, "it fell over");
	ask(running, NULL, NULL);
	expect_problem(404, "not-found", "left no file: it fell over");
	assert_int_equal(looks, 0);
}

static void
test_summary(void **state)
{
	struct parked first;
	char want[100];

	(void)state;
	ask(a, NULL, NULL);
	expect_wait(a);
	expect_begun(1, a);
	assert_false(is_over(call.request));
	/* Others wait for the same. */
	first = park_call();
	begin_call("HEAD", path_of(a, NULL), NULL, site.operator, NULL, NULL);
	expect_wait(a);
	assert_int_equal(looks, 1);
	summarize(a, "cab" "a");
	assert_true(is_over(call.request));
	front_begin_log();
	resume_call();
	expect_body("{\"nodes\":4,\"edges\":1,\"selfSize\":32,\"classes\":["
	    "{\"name\":\"a\",\"count\":2,\"selfSize\":16},"
	    "{\"name\":\"b\",\"count\":1,\"selfSize\":8},"
	    "{\"name\":\"c\",\"count\":1,\"selfSize\":8}]}");
	(void)snprintf(want, sizeof(want), "job=%s msg=\"summary\" who=oda "
	    "app=app\n", a);
	assert_non_null(strstr(front_end_log(), want));
	(void)snprintf(want, sizeof(want), "X-Job-Id: %s\r\n", a);
	expect_header(want);
	resume_parked(&first);
	expect_status(200);
	/* From now on at once. */
	ask(a, NULL, "limit=1");
	expect_body("{\"nodes\":4,\"edges\":1,\"selfSize\":32,\"classes\":["
	    "{\"name\":\"a\",\"count\":2,\"selfSize\":16}]}");
	assert_int_equal(looks, 1);
}

static void
test_kept(void **state)
{
	struct err err;

	(void)state;
	ask(a, NULL, NULL);
	summarize(a, "x");
	resume_call();
	expect_status(200);
	pass(site.conf.keep_ms + 1000);
	assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	ask(a, NULL, NULL);
	expect_status(200);
	ask(b, NULL, NULL);
	expect_problem(410, "gone", "the file was removed");
	ask(a, b, NULL);
	expect_problem(410, "gone", b);
	assert_int_equal(looks, 1);
}

static void
test_failure(void **state)
{
	(void)state;
	ask(a, NULL, NULL);
	fail_summary(a, ERR_STORE, "the file has holes");
	assert_true(is_over(call.request));
	resume_call();
	expect_problem(503, "state", "the file has holes");
	/* Whoever asks again has it tried again. */
	ask(a, NULL, NULL);
	expect_wait(a);
	expect_begun(2, a);
	fail_summary(a, ERR_SPACE, "no room");
	resume_call();
	expect_problem(507, "space", "no room");
	ask(a, b, NULL);
	fail_summary(a, ERR_GONE, "no file");
	resume_call();
	expect_problem(410, "gone", a);
}

static void
test_death(void **state)
{
	struct parked first;

	(void)state;
	ask(a, NULL, NULL);
	first = park_call();
	ask(a, NULL, NULL);
	expect_wait(a);
	assert_int_equal(looks, 1);
	/* It never came, or was killed. */
	pass(SUMMARY_BEGIN_MS + 1);
	assert_true(is_over(call.request));
	resume_call();
	expect_wait(a);
	expect_begun(2, a);
	pass(SUMMARY_BEGIN_MS + 1);
	resume_call();
	expect_problem(500, "interrupted", "ended without a word");
	resume_parked(&first);
	expect_problem(500, "interrupted", a);
	ask(a, NULL, NULL);
	expect_wait(a);
	expect_begun(3, a);
}

static void
test_turns(void **state)
{
	struct parked first;

	(void)state;
	ask(a, NULL, NULL);
	first = park_call();
	ask(b, NULL, NULL);
	expect_wait(b);
	assert_int_equal(looks, 1);
	assert_false(is_over(call.request));
	summarize(a, "x");
	assert_true(is_over(call.request));
	resume_call();
	expect_wait(b);
	expect_begun(2, b);
	/* Its time is what is left of a minute. */
	assert_int_equal(call.request->wait.deadline_ms, mono_ms + 25000);
	summarize(b, "y");
	resume_call();
	expect_status(200);
	resume_parked(&first);
	expect_status(200);
	assert_int_equal(looks, 2);
}

static void
test_patience(void **state)
{
	char app[STR_NAME_MAX + 1];
	struct proc self;
	struct err err;
	int i;

	(void)state;
	ask(a, NULL, NULL);
	assert_int_equal(call.request->wait.deadline_ms, mono_ms + 25000);
	assert_ok(proc_self(&self, &err), err);
	assert_ok(summary_claim(site.db, a, &self, app, &err), err);
	for (i = 0; i < 3; i++) {
		pass(20000);
		assert_ok(summary_renew(site.db, a, &self, &err), err);
		assert_false(is_over(call.request));
	}
	resume_call();
	expect_problem(503, "busy", "is being made, or waits for its turn");
	assert_int_equal(call.answer.retry_after_s, 5);
	ask(a, NULL, NULL);
	expect_wait(a);
	assert_int_equal(looks, 1);
}

static void
test_refusals(void **state)
{
	struct parked parked[4];
	size_t i;

	(void)state;
	spawn_fails = true;
	ask(a, NULL, NULL);
	expect_problem(500, "internal", "cannot start X");
	spawn_fails = false;
	/* Nobody waits for what could not be started. */
	ask(a, NULL, NULL);
	expect_wait(a);
	expect_begun(2, a);
	parked[0] = park_call();
	for (i = 1; i < 4; i++) {
		ask(a, NULL, NULL);
		parked[i] = park_call();
	}
	ask(b, NULL, NULL);
	expect_problem(429, "limit", "[limits] waiting");
	summarize(a, "x");
	for (i = 0; i < 4; i++) {
		resume_parked(&parked[i]);
		expect_status(200);
	}
}

static void
test_removed(void **state)
{
	struct err err;

	(void)state;
	ask(a, NULL, NULL);
	assert_ok(job_remove(site.db, site.state_dir, a, &err), err);
	assert_true(is_over(call.request));
	resume_call();
	expect_problem(404, "not-found", a);
}

static void
test_diff(void **state)
{
	char want[200];

	(void)state;
	/* One after the other, and only what is missing. */
	ask(b, a, NULL);
	expect_wait(b);
	expect_begun(1, b);
	summarize(b, "cabbed");
	assert_true(is_over(call.request));
	resume_call();
	expect_wait(a);
	expect_begun(2, a);
	assert_false(is_over(call.request));
	summarize(a, "cabcf");
	front_begin_log();
	resume_call();
	expect_body("{\"classes\":[{\"name\":\"b\",\"countDelta\":1,"
	    "\"selfSizeDelta\":8,\"count\":2,\"selfSize\":16},"
	    "{\"name\":\"d\",\"countDelta\":1,\"selfSizeDelta\":8,"
	    "\"count\":1,\"selfSize\":8},"
	    "{\"name\":\"e\",\"countDelta\":1,\"selfSizeDelta\":8,"
	    "\"count\":1,\"selfSize\":8},"
	    "{\"name\":\"c\",\"countDelta\":-1,\"selfSizeDelta\":-8,"
	    "\"count\":1,\"selfSize\":8},"
	    "{\"name\":\"f\",\"countDelta\":-1,\"selfSizeDelta\":-8,"
	    "\"count\":0,\"selfSize\":0}]}");
	(void)snprintf(want, sizeof(want), "job=%s msg=\"diff\" who=oda "
	    "app=app other=%s\n", b, a);
	assert_non_null(strstr(front_end_log(), want));
	ask(b, a, "limit=1");
	expect_body("{\"classes\":[{\"name\":\"b\",\"countDelta\":1,"
	    "\"selfSizeDelta\":8,\"count\":2,\"selfSize\":16}]}");
	ask(b, b, NULL);
	expect_body("{\"classes\":[]}");
	assert_int_equal(looks, 2);
}

/* Many names that take much room. */
static void
test_large(void **state)
{
	const char **names = calloc(NAMES, sizeof(*names));
	char (*text)[NAME_SIZE] = calloc(NAMES, NAME_SIZE);
	char limit[32];
	int64_t n;
	size_t i, at;

	(void)state;
	assert_non_null(names);
	assert_non_null(text);
	for (i = 0; i < NAMES; i++) {
		names[i] = text[i];
		(void)snprintf(text[i], NAME_SIZE, "%06zu", i);
		for (at = 6; at < NAME_SIZE - 2; at += 6)
			memcpy(text[i] + at, "\\u0001", 7);
	}
	ask(a, NULL, NULL);
	summarize_names(a, names, NAMES);
	free(names);
	free(text);
	resume_call();
	expect_status(200);
	n = (int64_t)json_count(json_get(call.json, "classes"));
	assert_in_range(n, 5000, NAMES - 1);
	assert_true(json_is_true(json_get(call.json, "truncated")));
	/* As many as fit are no less than the whole. */
	(void)snprintf(limit, sizeof(limit), "limit=%lld", (long long)n);
	ask(a, NULL, limit);
	expect_status(200);
	assert_null(json_get(call.json, "truncated"));
	assert_int_equal(json_count(json_get(call.json, "classes")), n);
}

#define SUMMARY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_jobs, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SUMMARY_TEST(test_judging),
		SUMMARY_TEST(test_jobs_without),
		SUMMARY_TEST(test_summary),
		SUMMARY_TEST(test_kept),
		SUMMARY_TEST(test_failure),
		SUMMARY_TEST(test_death),
		SUMMARY_TEST(test_turns),
		SUMMARY_TEST(test_patience),
		SUMMARY_TEST(test_refusals),
		SUMMARY_TEST(test_removed),
		SUMMARY_TEST(test_diff),
		SUMMARY_TEST(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
