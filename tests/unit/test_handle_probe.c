/*
 * What probes are told, of an app that is as the test says.
 */
#include "call.h"

#include "clock.h"
#include "shield.h"

static struct shield_sight seen;
/* What was asked for, the last time; how often. */
static unsigned needed;
static int sights;
/* It is found out after so many. */
static int known_after;

bool __wrap_shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight);

bool
__wrap_shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight)
{
	assert_ptr_equal(shield, service_shield(service));
	seen.app = app;
	needed = need(&seen);
	*ret_sight = seen;
	return sights++ >= known_after && needed == 0;
}

static const struct shield_reply good = { .up = 1, .is_fresh = true };
static const struct shield_reply none = { .up = -1, .age_ms = -1 };
static const struct shield_reply bad = { .up = 0, .is_fresh = true,
	.why = { .code = ERR_UNHEALTHY, .msg = "health_url answered 500" } };

/* An app that is asked, and well. */
static int
set_up_app(void **state)
{
	(void)set_up(state);
	site.apps[0].health_url = "http://127.0.0.1:1/";
	sights = known_after = 0;
	seen = (struct shield_sight){ .is_fresh = true, .is_since = true,
		.health = good,
		.inspector = none };
	return 0;
}

static void
probe(const char *path, const char *app)
{
	char query[80] = "";

	if (app != NULL)
		(void)snprintf(query, sizeof(query), "app=%s", app);
	begin_call("GET", path, query, NULL, NULL, NULL);
}

static void
expect_good(const char *path, const char *want)
{
	probe(path, "app");
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_int_equal(call.answer.status, 200);
	if (strstr(buf_str(&call.answer.body), want) == NULL)
		fail_msg("%s lacks \"%s\"", buf_str(&call.answer.body), want);
}

static void
expect_answer_bad(const char *want)
{
	const char *detail;

	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_int_equal(call.answer.status, 503);
	assert_string_equal(json_string(json_get(call.json, "type")),
	    "urn:podprof:error:unhealthy");
	detail = json_string(json_get(call.json, "detail"));
	if (strstr(detail, want) == NULL)
		fail_msg("%s lacks \"%s\"", detail, want);
	assert_true(call.answer.retry_after_s > 0);
}

static void
expect_bad(const char *path, const char *want)
{
	probe(path, "app");
	expect_answer_bad(want);
}

static void
podprof_itself_is_asked_nothing(void **state)
{
	struct err why;

	(void)state;
	probe("/livez", NULL);
	assert_int_equal(call.answer.status, 200);
	assert_string_equal(buf_str(&call.answer.body), "ok\n");
	probe("/readyz", NULL);
	assert_int_equal(call.answer.status, 503);
	service_set_ready(service, NULL);
	probe("/readyz", NULL);
	assert_int_equal(call.answer.status, 200);
	assert_string_equal(buf_str(&call.answer.body), "ready\n");
	(void)err_set(&why, ERR_STORE, "gone");
	service_set_ready(service, &why);
	probe("/readyz", NULL);
	assert_int_equal(call.answer.status, 503);
	assert_int_equal(sights, 0);
	probe("/livez", "nobody");
	assert_int_equal(call.answer.status, 404);
	probe("/readyz", "nobody");
	assert_int_equal(call.answer.status, 404);
}

static void
health_counts_where_nothing_is_frozen(void **state)
{
	static const char *const paths[] = { "/livez", "/readyz" };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		seen.health = good;
		expect_good(paths[i], "ok: health_url answers\n");
		assert_int_equal(needed, 0);
		seen.health = bad;
		expect_bad(paths[i], "health_url answered 500");
	}
}

static void
what_is_not_known_is_waited_for(void **state)
{
	(void)state;
	seen.is_fresh = false;
	seen.health = none;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_ROWS);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_SEEN);
	assert_ptr_equal(call.request->wait.shielded, &site.apps[0]);
	seen.is_fresh = true;
	resume_call();
	assert_int_equal(needed, SHIELD_HEALTH);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	seen.health = good;
	resume_call();
	assert_int_equal(call.answer.status, 200);

	seen.health = none;
	probe("/readyz", "app");
	assert_int_equal(needed, SHIELD_HEALTH);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	seen.health = bad;
	resume_call();
	expect_answer_bad("health_url answered 500");
}

static void
in_the_end_what_there_is_counts(void **state)
{
	(void)state;
	seen.health = none;
	probe("/livez", "app");
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("health_url was not to be asked in time");
	/* One that has grown old on the way here is an answer. */
	seen.health = (struct shield_reply){ .up = 1, .age_ms = 1500 };
	probe("/readyz", "app");
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	assert_int_equal(call.answer.status, 200);
	/* One of long ago is none. */
	seen.health.age_ms = 60000;
	probe("/readyz", "app");
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("health_url was not to be asked in time");
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_INSPECTOR);
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("the inspector was not to be asked in time");
}

static void
a_frozen_app_lives_by_its_inspector(void **state)
{
	(void)state;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	seen.inspector = good;
	/* It does not answer, and is not asked. */
	seen.health = none;
	expect_good("/livez", "heap snapshot in progress: the app is frozen");
	expect_bad("/readyz", "a heap snapshot freezes the app");
	seen.rows.is_draining = true;
	expect_good("/livez", "once its load balancer has let go");
	expect_bad("/readyz", "a heap snapshot is about to freeze the app");
	seen.rows.is_draining = false;
	seen.inspector = bad;
	(void)err_set(&seen.inspector.why, ERR_TARGET_UNREACHABLE,
	    "the inspector cannot be connected to");
	expect_bad("/livez", "the app is not alive: the inspector cannot");
}

/* podprof has opened the inspector since it refused: a scrape had asked it. */
static void
a_refusal_before_the_capture_proves_nothing(void **state)
{
	(void)state;
	seen.rows.since_ms = clock_utc_ms() - 300;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	seen.inspector = bad;
	seen.inspector.age_ms = 900;
	/* So long before that no pause of ours makes it one since then. */
	seen.inspector.asked_ago_ms = 60901;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_INSPECTOR);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	seen.inspector = good;
	resume_call();
	assert_int_equal(call.answer.status, 200);
	/* Where there is no other to be had, it is none. */
	seen.inspector = bad;
	seen.inspector.asked_ago_ms = 60901;
	probe("/livez", "app");
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("the inspector was not to be asked in time");
	/* One since then is an answer; so is any, where the clock was set
	 * back. */
	seen.inspector.asked_ago_ms = 100;
	expect_bad("/livez", "the app is not alive");
	seen.inspector.asked_ago_ms = 901;
	seen.rows.since_ms = clock_utc_ms() + 60000;
	expect_bad("/livez", "the app is not alive");
	/* To have been there before is a sign of life. */
	seen.rows.since_ms = clock_utc_ms() - 300;
	seen.inspector = good;
	seen.inspector.asked_ago_ms = 901;
	expect_good("/livez", "heap snapshot in progress: the app is frozen");
}

/* podprof has closed the inspector, and the rows that are known are from before
 * the thaw. */
static void
a_refusal_after_the_rows_were_read_proves_nothing(void **state)
{
	(void)state;
	seen.rows.since_ms = clock_utc_ms() - 5000;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	seen.inspector = bad;
	seen.is_since = false;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_ROWS);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	seen.is_since = true;
	seen.rows.unready_until_ms = clock_utc_ms();
	resume_call();
	assert_int_equal(call.answer.status, 200);
	/* A sign of life is one, whenever. */
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	seen.is_since = false;
	seen.inspector = good;
	expect_good("/livez", "heap snapshot in progress: the app is frozen");
}

static void
what_podprof_lacks_is_told(void **state)
{
	(void)state;
	seen.health = none;
	seen.health.lacks = true;
	probe("/livez", "app");
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("health_url could not be asked: podprof has not");
	/* What it said a moment ago counts. */
	seen.health = (struct shield_reply){ .up = 1, .age_ms = 3000,
		.lacks = true };
	probe("/livez", "app");
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	assert_int_equal(call.answer.status, 200);
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	seen.inspector.lacks = true;
	probe("/livez", "app");
	call.request->wait.deadline_ms = clock_mono_ms();
	resume_call();
	expect_answer_bad("the inspector could not be asked: podprof has not");
}

static void
after_the_thaw_it_has_a_moment(void **state)
{
	(void)state;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.inspector = good;
	seen.health = bad;
	expect_good("/livez", "heap snapshot just over");
	expect_bad("/readyz", "health_url answered 500");
	seen.rows.alive_until_ms = clock_utc_ms();
	expect_bad("/livez", "health_url answered 500");
}

/* podprof closes an inspector that it has opened, before the moment is over. */
static void
after_the_thaw_a_closed_inspector_proves_nothing(void **state)
{
	(void)state;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.inspector = bad;
	seen.health = none;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_HEALTH);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	seen.health = good;
	resume_call();
	assert_int_equal(call.answer.status, 200);
	assert_non_null(
	    strstr(buf_str(&call.answer.body), "health_url answers"));
	seen.health = bad;
	expect_bad("/livez", "health_url answered 500");
}

static void
a_capture_that_begins_meanwhile_counts(void **state)
{
	(void)state;
	seen.health = none;
	probe("/livez", "app");
	assert_int_equal(needed, SHIELD_HEALTH);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	/* While health_url is waited for, the rows grow old. */
	seen.is_fresh = false;
	resume_call();
	assert_int_equal(needed, SHIELD_ROWS);
	seen.is_fresh = true;
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	resume_call();
	assert_int_equal(needed, SHIELD_INSPECTOR);
	seen.inspector = good;
	resume_call();
	assert_int_equal(call.answer.status, 200);
}

static void
who_cannot_be_asked_is_not(void **state)
{
	(void)state;
	site.apps[0].health_url = "";
	seen.health = none;
	expect_good("/livez", "the app was not asked, as it has no health_url");
	/* Then podprof's own state is all there is. */
	probe("/readyz", "app");
	assert_int_equal(call.answer.status, 503);
	assert_string_equal(json_string(json_get(call.json, "type")),
	    "urn:podprof:error:state");
	service_set_ready(service, NULL);
	expect_good("/readyz", "the app was not asked");
	seen.rows.alive_until_ms = clock_utc_ms() + 60000;
	seen.rows.unready_until_ms = seen.rows.alive_until_ms;
	expect_bad("/readyz", "freezes the app");
	seen.inspector = bad;
	expect_bad("/livez", "the app is not alive");
}

static void
forks_need_no_shield(void **state)
{
	(void)state;
	seen.rows.is_forking = true;
	expect_good("/livez", "a copy of the app, which itself goes on, so "
	    "nothing needs shielding");
	seen.rows.is_forking = false;
	probe("/livez", "forked");
	assert_int_equal(call.answer.status, 200);
	assert_non_null(strstr(buf_str(&call.answer.body),
	    "method fork here, which freezes nobody, so nothing needs "
	    "shielding"));
}

static void
heads_and_others(void **state)
{
	(void)state;
	begin_call("HEAD", "/livez", "app=app", NULL, NULL, NULL);
	assert_int_equal(call.answer.status, 200);
	begin_call("POST", "/livez", "app=app", NULL, NULL, NULL);
	assert_int_equal(call.answer.status, 405);
	begin_call("GET", "/livez", "app=app&app=app", NULL, NULL, NULL);
	assert_int_equal(call.answer.status, 400);
	begin_call("GET", "/livez", "app=%2e%2e%2f", NULL, NULL, NULL);
	assert_int_equal(call.answer.status, 400);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up_app, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(podprof_itself_is_asked_nothing),
		TEST(health_counts_where_nothing_is_frozen),
		TEST(what_is_not_known_is_waited_for),
		TEST(in_the_end_what_there_is_counts),
		TEST(a_frozen_app_lives_by_its_inspector),
		TEST(a_refusal_before_the_capture_proves_nothing),
		TEST(a_refusal_after_the_rows_were_read_proves_nothing),
		TEST(what_podprof_lacks_is_told),
		TEST(after_the_thaw_it_has_a_moment),
		TEST(after_the_thaw_a_closed_inspector_proves_nothing),
		TEST(a_capture_that_begins_meanwhile_counts),
		TEST(who_cannot_be_asked_is_not),
		TEST(forks_need_no_shield),
		TEST(heads_and_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
