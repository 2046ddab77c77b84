/*
 * What is known of an app: who is sent to find out, who waits for it, and what
 * is answered when nobody comes back.
 */
#include "call.h"

#include "clock.h"
#include "look.h"

#define TARGET PAPI "/target"

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

static int
set_up_looks(void **state)
{
	utc_ms = __real_clock_utc_ms();
	mono_ms = __real_clock_mono_ms();
	return set_up(state);
}

static void
ask(const char *path)
{
	begin_call("GET", path, NULL, site.viewer, NULL, NULL);
}

/* The call waits for a look at its app. */
static void
expect_wait(void)
{
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_LOOKED);
	assert_string_equal(call.request->wait.job_id, "");
	assert_non_null(call.request->place);
}

static const struct json *
path2(const char *key1, const char *key2)
{
	return json_path(call.json, key1, key2);
}

/* What site_look() has found. */
static void
expect_found(const char *app)
{
	const struct json *method;

	expect_status(200);
	assert_string_equal(call.answer.type, "application/json");
	assert_string_equal(member("app"), app);
	assert_string_equal(member("pod"), "pod-1");
	assert_string_equal(member("node"), "v20.0.0");
	assert_true(json_is_true(path2("inspector", "reachable")));
	assert_int_equal(json_int(path2("memory", "rssBytes"), 0), 3000);
	assert_int_equal(json_int(path2("predicted", "peakBytes"), 0), 5000);
	assert_int_equal(json_count(json_get(call.json, "methods")), 3);
	method = json_first(json_get(call.json, "methods"));
	assert_string_equal(json_string(json_get(method, "method")), "fork");
	assert_true(json_is_true(json_get(method, "usable")));
	expect_header("X-Pod-Name: pod-1\r\n");
	expect_header("X-Podprof-Role: viewer\r\n");
	expect_no_header("X-Job-Id");
	expect_no_header("Location");
	assert_int_equal(call.answer.retry_after_s, 0);
}

static void
expect_null(const char *key1, const char *key2)
{
	const struct json *value = key2 != NULL
	    ? path2(key1, key2) : json_get(call.json, key1);

	assert_non_null(value);
	assert_false(json_is_number(value) || json_is_array(value));
	assert_null(json_string(value));
}

static void
expect_nothing(const char *address)
{
	static const char *const keys[][2] = {
		{ "node", NULL }, { "pid", NULL },
		{ "memory", "heapUsedBytes" }, { "memory", "rssBytes" },
		{ "memory", "limitBytes" }, { "memory", "availableBytes" },
		{ "predicted", "peakBytes" }, { "predicted", "fileBytes" },
		{ "predicted", "freezeMs" }, { "workers", NULL },
	};
	size_t i;

	expect_status(200);
	assert_string_equal(call.answer.type, "application/json");
	assert_string_equal(member("pod"), "pod-1");
	assert_string_equal(json_string(path2("inspector", "address")),
	    address);
	assert_true(json_is_bool(path2("inspector", "reachable")));
	assert_false(json_is_true(path2("inspector", "reachable")));
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		expect_null(keys[i][0], keys[i][1]);
	assert_int_equal(json_count(json_get(call.json, "methods")), 0);
}

static void
test_judging(void **state)
{
	(void)state;
	begin_call("GET", TARGET, NULL, NULL, NULL, NULL);
	expect_problem(401, "unauthenticated", "no token");
	ask("/nope/private/papi/target");
	expect_problem(404, "not-found", "[app nope]");
	begin_call("POST", TARGET, NULL, site.operator, NULL, NULL);
	expect_problem(405, "method", "POST");
	expect_header("Allow: GET, HEAD\r\n");
	assert_int_equal(looks, 0);
	/* A parameter that nobody declared is ignored, as everywhere. */
	begin_call("HEAD", TARGET, "fresh=1", site.viewer, NULL, NULL);
	expect_wait();
	assert_int_equal(looks, 1);
}

static void
test_look(void **state)
{
	(void)state;
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 1);
	assert_string_equal(looked_at, "app");
	assert_false(is_over(call.request));
	/* Somebody else's is no answer. */
	site_look(&site, site.db, "forked");
	assert_false(is_over(call.request));
	site_look(&site, site.db, "app");
	assert_true(is_over(call.request));
	resume_call();
	expect_found("app");
	/* Now it is known, also to those for whom there is no place. */
	site.conf.waiting = 0;
	ask(TARGET);
	expect_found("app");
	assert_null(call.request->place);
	ask("/forked/private/papi/target");
	expect_found("forked");
	assert_int_equal(looks, 1);
	assert_int_equal(spawns, 0);
}

/* However many ask at once, one is sent. */
static void
test_shared(void **state)
{
	struct parked parked[3];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		ask(TARGET);
		expect_wait();
		parked[i] = park_call();
	}
	assert_int_equal(looks, 1);
	ask("/forked/private/papi/target");
	expect_wait();
	assert_int_equal(looks, 2);
	assert_string_equal(looked_at, "forked");
	site_look(&site, site.db, "app");
	assert_false(is_over(call.request));
	for (i = 0; i < 3; i++) {
		assert_true(is_over(parked[i].request));
		resume_parked(&parked[i]);
		expect_found("app");
	}
	assert_int_equal(looks, 2);
}

/* One a second: the next is sent although the first is not back. */
static void
test_rate(void **state)
{
	struct parked first;

	(void)state;
	ask(TARGET);
	first = park_call();
	pass(LOOK_FRESH_MS - 1);
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 1);
	pass(1);
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 2);
	site_look(&site, site.db, "app");
	pass(LOOK_FRESH_MS - 1);
	ask(TARGET);
	expect_found("app");
	pass(1);
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 3);
	/* Whoever comes back first answers them all. */
	site_look(&site, site.db, "app");
	resume_call();
	expect_found("app");
	resume_parked(&first);
	expect_found("app");
}

/* Nobody comes back: nulls, and never what was known before. */
static void
test_nothing(void **state)
{
	static const struct {
		const char *inspector, *address;
	} cases[] = {
		{ "127.0.0.1:9229", "127.0.0.1:9229" },
		{ "[::1]:9229", "[::1]:9229" },
		/* The session's name opens it: for no viewer to see. */
		{ "ws://app.local:9229/0f2c936f-b1cd-4ac9-aab3-f63b0f33d55e",
		    "app.local:9229" },
	};
	size_t i;

	(void)state;
	site_look(&site, site.db, "app");
	pass(LOOK_FRESH_MS);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		site.apps[0].inspector = cases[i].inspector;
		ask(TARGET);
		expect_wait();
		assert_int_equal(call.request->wait.deadline_ms - mono_ms,
		    LOOK_WAIT_MS);
		pass(LOOK_WAIT_MS);
		resume_call();
		expect_nothing(cases[i].address);
		assert_null(strstr(buf_str(&call.answer.body), "0f2c936f"));
	}
	assert_int_equal(looks, 3);
}

/* It came in time, but a free thread did not. */
static void
test_late(void **state)
{
	(void)state;
	ask(TARGET);
	site_look(&site, site.db, "app");
	pass(20 * LOOK_WAIT_MS);
	resume_call();
	expect_found("app");
}

static void
test_spawn_fails(void **state)
{
	(void)state;
	front_begin_log();
	spawn_fails = true;
	ask(TARGET);
	expect_problem(500, "internal", "cannot start X");
	assert_non_null(strstr(front_end_log(), "cannot start X"));
	/* Nobody waits for what was not started, nor takes it for an answer. */
	ask(TARGET);
	expect_problem(500, "internal", "cannot start X");
	spawn_fails = false;
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 3);
	site_look(&site, site.db, "app");
	resume_call();
	expect_found("app");
}

/* Without a place nobody is sent, and the next one with a place is. */
static void
test_full(void **state)
{
	struct parked parked;

	(void)state;
	site.conf.waiting = 1;
	ask("/forked/private/papi/target");
	parked = park_call();
	ask(TARGET);
	expect_problem(429, "limit", "[limits] waiting");
	assert_true(call.answer.retry_after_s > 0);
	assert_int_equal(looks, 1);
	request_free(&parked.request);
	(void)close(parked.out);
	ask(TARGET);
	expect_wait();
	assert_int_equal(looks, 2);
	assert_string_equal(looked_at, "app");
}

static void
change(const char *sql)
{
	struct err err;

	assert_ok(db_exec(site.db, sql, &err), err);
}

/* The row goes while somebody waits. */
static void
test_lost_row(void **state)
{
	struct request_sight sight;
	struct err err;

	(void)state;
	ask(TARGET);
	expect_wait();
	change("DELETE FROM looks");
	assert_err(request_see(call.request, &seat, &sight, &err), err,
	    ERR_NOT_FOUND, "app");
	resume_call();
	expect_nothing("127.0.0.1:9229");
}

static void
test_damaged(void **state)
{
	(void)state;
	site_look(&site, site.db, "app");
	change("PRAGMA ignore_check_constraints = ON");
	change("UPDATE looks SET answer = '{\"app\":'");
	ask(TARGET);
	expect_problem(503, "state", "damaged");
	assert_int_equal(looks, 0);
	/* Not for ever. */
	pass(LOOK_FRESH_MS);
	ask(TARGET);
	expect_wait();
}

static void
test_lost_database(void **state)
{
	char aside[320];

	(void)state;
	ask(TARGET);
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	front_begin_log();
	resume_call();
	expect_problem(503, "state", site.state_dir);
	ask(TARGET);
	expect_problem(503, "state", site.state_dir);
	assert_non_null(strstr(front_end_log(), site.state_dir));
	assert_int_equal(rename(aside, site.state_dir), 0);
	assert_int_equal(looks, 1);
}

/* What is sent is the answer, to the last byte; a HEAD has its length. */
static void
test_sent(void **state)
{
	static const char *const methods[] = { "GET", "HEAD" };
	const char *text;
	char line[64];
	struct err err;
	size_t i;

	(void)state;
	site_look(&site, site.db, "app");
	for (i = 0; i < 2; i++) {
		begin_call(methods[i], TARGET, NULL, site.viewer, NULL, NULL);
		expect_found("app");
		(void)snprintf(line, sizeof(line), "Content-Length: %zu\r\n",
		    call.answer.body.len);
		assert_ok(answer_send(&call.answer, call.request->gate, i == 1,
		    &err), err);
		assert_ok(gate_finish(&call.request->gate, &err), err);
		text = front_output(dup(call.out));
		assert_non_null(strstr(text, line));
		assert_non_null(strstr(text, "Cache-Control: no-store\r\n"));
		text = strstr(text, "\r\n\r\n");
		assert_non_null(text);
		assert_string_equal(text + 4, i == 1 ? "" :
		    buf_str(&call.answer.body));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_looks, tear_down)
		TEST(test_judging),
		TEST(test_look),
		TEST(test_shared),
		TEST(test_rate),
		TEST(test_nothing),
		TEST(test_late),
		TEST(test_spawn_fails),
		TEST(test_full),
		TEST(test_lost_row),
		TEST(test_damaged),
		TEST(test_lost_database),
		TEST(test_sent),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
