/*
 * GET /metrics and GET /openapi.json.
 */
#include "call.h"

#include <sys/resource.h>

#include "asset.h"
#include "clock.h"
#include "log.h"
#include "shield.h"
#include "traffic.h"

/* What is known of the inspectors of the two apps. */
static int ups[2];
static int64_t ages_ms[2];
static bool are_fresh;
static size_t sights;

bool __wrap_shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight);

bool
__wrap_shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight)
{
	const size_t i = app == &site.apps[0] ? 0 : 1;

	assert_ptr_equal(shield, service_shield(service));
	sights++;
	*ret_sight = (struct shield_sight){ .app = app };
	ret_sight->inspector.up = ups[i];
	ret_sight->inspector.age_ms = ages_ms[i];
	ret_sight->inspector.is_fresh = are_fresh;
	return need(ret_sight) == 0;
}

static int
set_up_metrics(void **state)
{
	ups[0] = 1;
	ups[1] = 0;
	ages_ms[0] = ages_ms[1] = 0;
	are_fresh = true;
	sights = 0;
	return set_up(state);
}

static void
ask(void)
{
	begin_call("GET", "/metrics", NULL, site.viewer, NULL, NULL);
}

static void
expect_page(void)
{
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_string_equal(call.answer.type,
	    "text/plain; version=0.0.4; charset=utf-8");
	expect_header("X-Request-Id: ");
	expect_no_header("X-Pod-Name");
}

/* A line of the page. */
static bool
has_line(const char *line)
{
	const char *text = buf_str(&call.answer.body), *at = text;
	const size_t len = strlen(line);

	while ((at = strstr(at, line)) != NULL) {
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return true;
		at++;
	}
	return false;
}

static void
expect_line(const char *line)
{
	if (!has_line(line))
		fail_msg("no \"%s\" in:\n%s", line,
		    buf_str(&call.answer.body));
}

static void
expect_none(const char *text)
{
	if (strstr(buf_str(&call.answer.body), text) != NULL)
		fail_msg("\"%s\" in:\n%s", text, buf_str(&call.answer.body));
}

/* What follows "NAME " at the beginning of a line. */
static double
value_of(const char *name)
{
	char start[100];
	const char *at;

	(void)snprintf(start, sizeof(start), "\n%s ", name);
	at = strstr(buf_str(&call.answer.body), start);
	if (at == NULL)
		fail_msg("no %s in:\n%s", name, buf_str(&call.answer.body));
	return strtod(at + strlen(start), NULL);
}

static void
test_judging(void **state)
{
	static const char *const paths[] = { "/metrics", "/openapi.json" };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin_call("GET", paths[i], NULL, NULL, NULL, NULL);
		expect_problem(401, "unauthenticated", "token");
		begin_call("POST", paths[i], NULL, site.operator, NULL, NULL);
		expect_problem(405, "method", "POST");
		expect_header("Allow: GET, HEAD\r\n");
		begin_call("HEAD", paths[i], NULL, site.viewer, NULL, NULL);
		expect_status(200);
		begin_call("GET", paths[i], "x=1", site.operator, NULL, NULL);
		expect_status(200);
	}
}

static void
test_empty(void **state)
{
	(void)state;
	ask();
	expect_page();
	expect_line("# TYPE podprof_build_info gauge");
	expect_line("# TYPE podprof_jobs gauge");
	expect_line("# TYPE podprof_jobs_total counter");
	expect_line("# TYPE podprof_job_duration_seconds histogram");
	expect_line("# TYPE podprof_app_freeze_seconds histogram");
	expect_none("podprof_jobs{");
	expect_line("podprof_stored_jobs 0");
	expect_line("podprof_stored_bytes 0");
	assert_true(value_of("podprof_free_bytes") > 0);
	expect_line("podprof_limit_store_bytes 1073741824");
	expect_line("podprof_limit_store_jobs 1000");
	expect_line("podprof_limit_min_free_bytes 0");
	expect_line("podprof_limit_profiles 2");
	expect_line("podprof_limit_downloads 2");
	expect_line("podprof_limit_waiting 4");
	expect_line("podprof_limit_token_captures 600");
	expect_line("podprof_limit_app_captures 500");
}

static void
test_jobs(void **state)
{
	char id[UUID_MAX];
	struct job job;
	struct err err;

	(void)state;
	site_take(&site, 1000, id);
	get(PAPI "/takeMemorySnapshot", NULL);
	site_claim(site.db, spawned);
	ask();
	expect_page();
	expect_line("podprof_jobs{app=\"app\",kind=\"heap-snapshot\","
	    "method=\"stream\",state=\"succeeded\"} 1");
	expect_line("podprof_jobs{app=\"app\",kind=\"heap-snapshot\","
	    "method=\"none\",state=\"running\"} 1");
	expect_line("podprof_jobs_total{app=\"app\",kind=\"heap-snapshot\","
	    "method=\"stream\",outcome=\"succeeded\"} 1");
	expect_line("podprof_stored_jobs 2");
	job = site_job(&site, "app", id);
	assert_int_equal((int64_t)value_of("podprof_stored_bytes"),
	    job.sum.stored_bytes);
	/* A process that died is settled before it is counted. */
	assert_ok(db_exec(site.db, "UPDATE jobs SET runner_start_ticks = 1"
	    " WHERE state = 'running'", &err), err);
	ask();
	expect_none("state=\"running\"} 1");
	expect_line("podprof_jobs_total{app=\"app\",kind=\"heap-snapshot\","
	    "method=\"none\",outcome=\"refused\"} 1");
	/* Those of an app that is not served here any more do not show, but
	 * take their room. */
	site.apps[0].name = "another";
	ask();
	expect_none("podprof_jobs{");
	expect_none("podprof_jobs_total{");
	expect_none("_bucket{");
	expect_line("podprof_stored_jobs 1");
}

static void
test_histograms(void **state)
{
	const struct job_measure measure = { 300, JOB_UNKNOWN, JOB_UNKNOWN };
	struct err err;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		get(PAPI "/takeMemorySnapshot", NULL);
		site_attach(site.db, spawned);
		resume_call();
		expect_status(200);
		assert_ok(job_set_measured(site.db, spawned, &measure, &err),
		    err);
		assert_ok(db_exec(site.db, "UPDATE jobs SET started_at_ms ="
		    " started_at_ms - 7000 * (seq - 1)"
		    " WHERE state = 'running'", &err), err);
		site_finish(&site, site.db, spawned, JOB_HEAP_SNAPSHOT, 100);
	}
	ask();
	expect_page();
#define LABELS "{app=\"app\",kind=\"heap-snapshot\",method=\"stream\""
	expect_line("podprof_app_freeze_seconds_bucket" LABELS
	    ",le=\"0.005\"} 0");
	expect_line("podprof_app_freeze_seconds_bucket" LABELS
	    ",le=\"0.25\"} 0");
	expect_line("podprof_app_freeze_seconds_bucket" LABELS
	    ",le=\"0.5\"} 3");
	expect_line("podprof_app_freeze_seconds_bucket" LABELS
	    ",le=\"+Inf\"} 3");
	expect_line("podprof_app_freeze_seconds_sum" LABELS "} 0.9");
	expect_line("podprof_app_freeze_seconds_count" LABELS "} 3");
	expect_line("podprof_job_duration_seconds_bucket" LABELS
	    ",le=\"5\"} 1");
	expect_line("podprof_job_duration_seconds_bucket" LABELS
	    ",le=\"10\"} 2");
	expect_line("podprof_job_duration_seconds_bucket" LABELS
	    ",le=\"30\"} 3");
	expect_line("podprof_job_duration_seconds_bucket" LABELS
	    ",le=\"+Inf\"} 3");
	expect_line("podprof_job_duration_seconds_count" LABELS "} 3");
	assert_in_range(value_of("podprof_job_duration_seconds_sum" LABELS
	    "}"), 21, 25);
}

static void
test_inspectors(void **state)
{
	(void)state;
	ask();
	expect_page();
	expect_line("podprof_inspector_up{app=\"app\"} 1");
	expect_line("podprof_inspector_up{app=\"forked\"} 0");
	/* Nobody answered in time, ever, or since long ago. */
	ups[1] = -1;
	ages_ms[1] = -1;
	are_fresh = false;
	sights = 0;
	ask();
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_SEEN);
	/* Until one that hangs has had its time. */
	assert_true(call.request->wait.deadline_ms >
	    clock_mono_ms() + SHIELD_ASK_MS);
	/* Both were asked before anybody waits. */
	assert_int_equal(sights, 2);
	resume_call();
	expect_page();
	expect_line("podprof_inspector_up{app=\"app\"} 1");
	expect_none("podprof_inspector_up{app=\"forked\"}");
	ups[1] = 1;
	ages_ms[1] = SHIELD_WAIT_MS - 1;
	ages_ms[0] = SHIELD_WAIT_MS;
	ask();
	resume_call();
	expect_page();
	expect_none("podprof_inspector_up{app=\"app\"}");
	expect_line("podprof_inspector_up{app=\"forked\"} 1");
}

static void
test_pool(void **state)
{
	struct rlimit limit;

	(void)state;
	traffic_count(service_traffic(service), 2, HTTP_GET, 200);
	traffic_count(service_traffic(service), 2, HTTP_GET, 200);
	traffic_count(service_traffic(service), ROUTE_NONE, HTTP_OTHER, 404);
	service_set_downloads(service, 2);
	ask();
	expect_page();
	expect_line("podprof_requests_total{route=\"/metrics\","
	    "method=\"GET\",status=\"200\"} 2");
	expect_line("podprof_requests_total{route=\"none\","
	    "method=\"other\",status=\"404\"} 1");
	expect_line("podprof_waiting 0");
	expect_line("podprof_downloads 2");
	assert_true(value_of("process_start_time_seconds") > 1.7e9);
	assert_true(value_of("process_cpu_seconds_total") >= 0);
	assert_true(value_of("process_resident_memory_bytes") > 1 << 20);
	assert_true(value_of("process_virtual_memory_bytes") >=
	    value_of("process_resident_memory_bytes"));
	assert_true(value_of("process_open_fds") >= 3);
	assert_true(value_of("process_threads") >= 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur != RLIM_INFINITY)
		assert_true(value_of("process_max_fds") ==
		    (double)limit.rlim_cur);
}

static void
test_waiting(void **state)
{
	struct parked parked;

	(void)state;
	get(PAPI "/takeMemorySnapshot", NULL);
	parked = park_call();
	ask();
	expect_line("podprof_waiting 1");
	request_free(&parked.request);
	(void)close(parked.out);
}

/* A CGI process has nothing that lasts, and says nothing of it. */
static void
test_cgi(void **state)
{
	struct err err;

	(void)state;
	end_call();
	seat_fini(&seat);
	service_free(&service);
	assert_ok(service_new(&site.conf, SPAWN_LOG_FILE, &service, &err),
	    err);
	seat = (struct seat){ .service = service };
	assert_null(service_traffic(service));
	ask();
	expect_page();
	expect_line("podprof_stored_jobs 0");
	expect_line("podprof_inspector_up{app=\"app\"} 1");
	expect_none("podprof_waiting");
	expect_none("podprof_downloads");
	expect_none("podprof_requests_total");
	expect_none("process_");
}

static void
test_lost_database(void **state)
{
	char aside[320];
	struct err err;

	(void)state;
	ask();
	expect_page();
	assert_ok(db_exec(site.db, "DROP TABLE meter_ends", &err), err);
	front_begin_log();
	ask();
	expect_problem(503, "state", "meter_ends");
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	ask();
	expect_problem(503, "state", site.state_dir);
	assert_non_null(strstr(front_end_log(), site.state_dir));
	assert_int_equal(rename(aside, site.state_dir), 0);
}

static void
test_document(void **state)
{
	const struct asset *asset = asset_find("openapi.json");

	(void)state;
	assert_non_null(asset);
	begin_call("GET", "/openapi.json", NULL, site.viewer, NULL, NULL);
	expect_status(200);
	assert_string_equal(call.answer.type, "application/json");
	assert_int_equal(call.answer.body.len, asset->len);
	assert_memory_equal(call.answer.body.data, asset->data, asset->len);
	assert_int_equal(strncmp(member("openapi"), "3.1.", 4), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_metrics, tear_down)
		TEST(test_judging),
		TEST(test_empty),
		TEST(test_jobs),
		TEST(test_histograms),
		TEST(test_inspectors),
		TEST(test_pool),
		TEST(test_waiting),
		TEST(test_cgi),
		TEST(test_lost_database),
		TEST(test_document),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
