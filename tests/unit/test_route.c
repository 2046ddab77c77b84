/*
 * The addresses, from a request's variables to its answer, with jobs that are
 * moved on by hand between a request and its end.
 */
#include "call.h"

#include <fcntl.h>
#include <sys/file.h>

static void
test_order(void **state)
{
	(void)state;
	/* Authentication before everything but probes. */
	begin_call("PUT", "/nothing", NULL, NULL, NULL, NULL);
	expect_problem(401, "unauthenticated", "no token");
	expect_header("WWW-Authenticate: Bearer realm=\"podprof\"\r\n");
	expect_no_header("X-Pod-Name");
	begin_call("PUT", PAPI "/getCpuProfile", "duration=x", NULL, NULL,
	    NULL);
	expect_problem(401, "unauthenticated", "no token");
	/* Then the path, the method, the role, the parameters. */
	begin_call("PUT", PAPI "/nothing", "duration=x", site.viewer, NULL,
	    NULL);
	expect_problem(404, "not-found", "no such address");
	begin_call("PUT", PAPI "/getCpuProfile", "duration=x", site.viewer,
	    NULL, NULL);
	expect_problem(405, "method", "PUT");
	expect_header("Allow: GET\r\n");
	begin_call("GET", PAPI "/getCpuProfile", "duration=x", site.viewer,
	    NULL, NULL);
	expect_problem(403, "forbidden", "viewer");
	expect_header("X-Pod-Name: pod-1\r\n");
	get(PAPI "/getCpuProfile", "duration=x");
	expect_problem(400, "invalid", "duration");
	assert_int_equal(spawns, 0);
	begin_call("GET", "/nope/private/papi/jobs", NULL, site.viewer, NULL,
	    NULL);
	expect_problem(404, "not-found", "[app nope]");
	assert_string_equal(member("pod"), "pod-1");
}

static void
test_methods(void **state)
{
	static const struct {
		const char *path, *allow;
	} cases[] = {
		{ PAPI "/takeMemorySnapshot", "Allow: GET, POST\r\n" },
		{ PAPI "/getMemorySnapshot", "Allow: GET, HEAD\r\n" },
		{ PAPI "/getCpuProfile", "Allow: GET\r\n" },
		{ PAPI "/jobs", "Allow: GET, HEAD, POST\r\n" },
		{ PAPI "/jobs/" NO_JOB, "Allow: GET, HEAD, DELETE\r\n" },
		{ PAPI "/jobs/" NO_JOB "/artifact", "Allow: GET, HEAD\r\n" },
		{ PAPI "/jobs/" NO_JOB "/links", "Allow: POST\r\n" },
		{ PAPI "/target", "Allow: GET, HEAD\r\n" },
		{ "/livez", "Allow: GET, HEAD\r\n" },
		{ "/readyz", "Allow: GET, HEAD\r\n" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_call("PATCH", cases[i].path, NULL, site.operator, NULL,
		    NULL);
		expect_problem(405, "method", "PATCH");
		expect_header(cases[i].allow);
	}
	begin_call("HEAD", PAPI "/takeMemorySnapshot", NULL, site.operator,
	    NULL, NULL);
	expect_status(405);
	begin_call("HEAD", PAPI "/getCpuProfile", NULL, site.operator, NULL,
	    NULL);
	expect_status(405);
	assert_int_equal(spawns, 0);
}

static void
test_paths(void **state)
{
	static const char *const paths[] = { "", "/", "/app",
		"/app/private/pap", PAPI "//", PAPI "/takeMemorySnapshot/",
		PAPI "/target/", PAPI "/targets", PAPI "/target/" NO_JOB,
		"/" PAPI "/jobs", PAPI "/jobs/", PAPI "/jobs/x",
		PAPI "/jobs/0198C0DE-7B1E-7C3A-9F00-5D2E6A1B4C77",
		PAPI "/jobs/" NO_JOB "/",
		PAPI "/jobs/" NO_JOB "/x",
		PAPI "/jobs/../../../etc/passwd", "/a b/private/papi/jobs",
		"//private/papi/jobs", "/livez/", "/LIVEZ",
		"/0123456789012345678901234567890123456789012345678901234567890"
		"1234/private/papi/jobs", PAPI "/jobs\xff" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		get(paths[i], NULL);
		expect_problem(404, "not-found", "");
	}
}

static void
test_take(void **state)
{
	char line[120];

	(void)state;
	get(PAPI "/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_PREFLIGHT);
	assert_string_equal(call.request->wait.job_id, spawned);
	assert_non_null(call.request->place);
	site_attach(site.db, spawned);
	resume_call();
	expect_status(200);
	assert_string_equal(buf_str(&call.answer.body),
	    "Creating snapshot for app");
	assert_true(call.answer.retry_after_s > 0);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", spawned);
	expect_header(line);
	(void)snprintf(line, sizeof(line),
	    "Content-Location: " PAPI "/jobs/%s\r\n", spawned);
	expect_header(line);
	expect_header("X-Pod-Name: pod-1\r\n");
	expect_no_header("\r\nLocation:");
	assert_int_equal(site_count(&site, "app"), 1);
	assert_string_equal(site_job(&site, "app", spawned).requested_by,
	    "oda");
	assert_string_equal(site_job(&site, "app", spawned).request_id,
	    call.request->id);
	/* A second one: 409 about the first. */
	begin_call("POST", PAPI "/takeMemorySnapshot", "force=1",
	    site.operator, NULL, NULL);
	expect_status(409);
	assert_string_equal(call.answer.type, "text/plain; charset=utf-8");
	assert_string_equal(buf_str(&call.answer.body),
	    "Snapshot already generating");
	assert_true(call.answer.retry_after_s > 0);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", spawned);
	expect_header(line);
	(void)snprintf(line, sizeof(line), "\r\nLocation: " PAPI
	    "/jobs/%s\r\n", spawned);
	expect_header(line);
	begin_call("GET", PAPI "/takeMemorySnapshot", NULL, site.operator,
	    "HTTP_ACCEPT=application/json", NULL);
	expect_problem(409, "conflict", "");
	assert_string_equal(member("errorMessage"),
	    "Snapshot already generating");
	expect_header(line);
	/* And a profile must wait, too. */
	get(PAPI "/getCpuProfile", NULL);
	expect_problem(409, "conflict", "");
	assert_true(call.answer.retry_after_s > 0);
	assert_int_equal(spawns, 1);
}

static void
test_take_json(void **state)
{
	char line[120];

	(void)state;
	begin_call("POST", PAPI "/takeMemorySnapshot", "force=1",
	    site.operator, "HTTP_ACCEPT=application/json", NULL);
	site_attach(site.db, spawned);
	resume_call();
	expect_status(202);
	assert_string_equal(call.answer.type, "application/json");
	assert_string_equal(member("id"), spawned);
	assert_string_equal(member("state"), "running");
	assert_true(call.answer.retry_after_s > 0);
	(void)snprintf(line, sizeof(line), "Location: " PAPI "/jobs/%s\r\n",
	    spawned);
	expect_header(line);
	assert_true(site_job(&site, "app", spawned).force);
}

/* "force" is 0 or 1, said once. */
static void
test_force(void **state)
{
	static const char *const wrong[] = { "force=2", "force=-1", "force=",
		"force", "force=true", "force=1&force=1", "force=0&force=1",
		"force=%31%00", "force=+1", "force=1.0" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		get(PAPI "/takeMemorySnapshot", wrong[i]);
		expect_problem(400, "invalid", "parameter force: ");
		assert_string_equal(member("resultCode"), "Error");
		assert_string_equal(member("errorMessage"),
		    err_title(ERR_INVALID));
	}
	assert_int_equal(spawns, 0);
	get(PAPI "/takeMemorySnapshot", "force=0");
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_false(site_job(&site, "app", spawned).force);
	begin_call("POST", "/forked/private/papi/takeMemorySnapshot",
	    "force=%31", site.operator, NULL, NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_true(site_job(&site, "forked", spawned).force);
}

/* What the preflight refuses is told, and leaves no job. */
static void
test_refused(void **state)
{
	static const struct {
		enum err_code code;
		int status;
		const char *name;
	} cases[] = {
		{ ERR_TARGET_REFUSED, 502, "target-refused" },
		{ ERR_TARGET_UNREACHABLE, 503, "target-unreachable" },
		{ ERR_TARGET_TIMEOUT, 504, "target-timeout" },
		{ ERR_SPACE, 507, "space" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		get(PAPI "/takeMemorySnapshot", NULL);
		site_claim(site.db, spawned);
		site_fail(&site, spawned, cases[i].code, "no inspector at X");
		resume_call();
		expect_problem(cases[i].status, cases[i].name,
		    "no inspector at X");
		assert_string_equal(member("resultCode"), "Error");
		expect_no_header("X-Job-Id");
		assert_int_equal(site_count(&site, "app"), 0);
		get(PAPI "/getMemorySnapshot", NULL);
		expect_problem(404, "not-found", "");
	}
}

/* The app is too busy to say anything: the job stands, and its failure is
 * its own. */
static void
test_slow_preflight(void **state)
{
	struct err err;
	struct job job;

	(void)state;
	get(PAPI "/takeMemorySnapshot", NULL);
	resume_call();
	expect_status(200);
	assert_int_equal(site_count(&site, "app"), 1);
	job = site_job(&site, "app", spawned);
	assert_int_equal(job.state, JOB_QUEUED);
	assert_true(job.accepted_at_ms != JOB_UNKNOWN);
	site_claim(site.db, spawned);
	site_fail(&site, spawned, ERR_TARGET_TIMEOUT, "no answer from X");
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "no answer from X");
	assert_string_equal(member("errorMessage"), "Snapshot not found");
	assert_ok(job_discard(site.db, spawned, &err), err);
	assert_int_equal(site_count(&site, "app"), 1);
}

static void
test_spawn_fails(void **state)
{
	(void)state;
	spawn_fails = true;
	get(PAPI "/takeMemorySnapshot", NULL);
	expect_problem(500, "internal", "cannot start X");
	assert_int_equal(site_count(&site, "app"), 0);
	spawn_fails = false;
	get(PAPI "/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
}

/* The memory guard's refusal, with its numbers, by whatever address. */
static void
test_guard(void **state)
{
	static const char json[] = "CONTENT_TYPE=application/json";
	static const char text[] = "the snapshot needs some 900 MB, 300 MB are "
	    "available; \"force\" goes on";
	static const struct {
		const char *method, *path, *query, *accept, *body;
	} cases[] = {
		{ "GET", PAPI "/takeMemorySnapshot", NULL, NULL, NULL },
		{ "POST", PAPI "/takeMemorySnapshot", "force=0",
		    "HTTP_ACCEPT=text/plain", NULL },
		{ "GET", PAPI "/takeMemorySnapshot", NULL,
		    "HTTP_ACCEPT=application/json", NULL },
		{ "POST", PAPI "/jobs", NULL, json,
		    "BODY={\"kind\":\"heap-snapshot\",\"force\":false}" },
	};
	const bool is_module[] = { true, true, true, false };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_call(cases[i].method, cases[i].path, cases[i].query,
		    site.operator, cases[i].accept, cases[i].body);
		site_claim(site.db, spawned);
		site_fail(&site, spawned, ERR_SPACE, text);
		resume_call();
		expect_problem(507, "space", text);
		assert_string_equal(member("pod"), "pod-1");
		assert_string_equal(member("resultCode"),
		    is_module[i] ? "Error" : "(none)");
		assert_string_equal(member("errorMessage"),
		    is_module[i] ? err_title(ERR_SPACE) : "(none)");
		assert_int_equal(call.answer.retry_after_s, 0);
		assert_int_equal(site_count(&site, "app"), 0);
	}
	begin_call("POST", PAPI "/jobs", NULL, site.operator, json,
	    "BODY={\"kind\":\"heap-snapshot\",\"force\":true}");
	assert_true(site_job(&site, "app", spawned).force);
}

/* The order's method counts, or else the app's; of profiles there is none. */
static void
test_method(void **state)
{
	static const char type[] = "CONTENT_TYPE=application/json";
	static const struct {
		const char *path, *body;
		enum conf_method method;
	} cases[] = {
		{ "/forked/private/papi/jobs", "BODY={\"kind\":"
		    "\"heap-snapshot\"}", METHOD_FORK },
		{ "/forked/private/papi/jobs", "BODY={\"kind\":"
		    "\"heap-snapshot\",\"method\":\"auto\"}", METHOD_FORK },
		{ "/forked/private/papi/jobs", "BODY={\"kind\":"
		    "\"heap-snapshot\",\"method\":\"stream\"}",
		    METHOD_STREAM },
		{ PAPI "/jobs", "BODY={\"kind\":\"heap-snapshot\"}",
		    METHOD_AUTO },
		{ PAPI "/jobs", "BODY={\"kind\":\"heap-snapshot\","
		    "\"method\":\"fork\"}", METHOD_FORK },
		{ PAPI "/jobs", "BODY={\"kind\":\"heap-snapshot\","
		    "\"method\":\"direct\"}", METHOD_DIRECT },
		{ "/forked/private/papi/jobs", "BODY={\"kind\":"
		    "\"cpu-profile\"}", METHOD_AUTO },
	};
	struct job job;
	struct err err;
	size_t i;

	(void)state;
	get("/forked/private/papi/takeMemorySnapshot", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(site_job(&site, "forked", spawned).method,
	    METHOD_FORK);
	site_fail(&site, spawned, ERR_TARGET_TIMEOUT, "no answer");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_call("POST", cases[i].path, NULL, site.operator, type,
		    cases[i].body);
		assert_int_equal(call.answer.kind, ANSWER_WAIT);
		job = site_job(&site, call.request->app, spawned);
		assert_int_equal(job.method, cases[i].method);
		assert_ok(job_cancel(site.db, site.state_dir, spawned, &job,
		    &err), err);
	}
	spawns = 0;
	begin_call("POST", PAPI "/jobs", NULL, site.operator, type,
	    "BODY={\"kind\":\"cpu-profile\",\"method\":\"fork\"}");
	expect_problem(400, "invalid", "method: fork");
	assert_int_equal(spawns, 0);
}

static void
test_get_snapshot(void **state)
{
	char query[64], first[UUID_MAX], line[128];
	struct err err;

	(void)state;
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "");
	assert_string_equal(member("errorMessage"), "Snapshot not found");
	get(PAPI "/takeMemorySnapshot", NULL);
	(void)snprintf(first, sizeof(first), "%s", spawned);
	site_attach(site.db, first);
	resume_call();
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(425, "too-early", first);
	assert_string_equal(member("errorMessage"), "Snapshot not ready yet");
	assert_true(call.answer.retry_after_s > 0);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", first);
	expect_header(line);
	site_finish(&site, site.db, first, JOB_HEAP_SNAPSHOT, 1000);

	begin_call("HEAD", PAPI "/getMemorySnapshot", NULL, site.operator,
	    NULL, NULL);
	expect_status(200);
	assert_false(call.answer.delivers);
	begin_call("GET", PAPI "/getMemorySnapshot", NULL, site.operator,
	    "HTTP_RANGE=bytes=0-", NULL);
	expect_status(200);
	assert_false(call.answer.delivers);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_true(call.answer.delivers);
	assert_int_equal(call.answer.file_bytes, 1000);
	assert_string_equal(call.answer.job_id, first);
	assert_string_equal(call.answer.type, "application/octet-stream");
	expect_header("X-Accel-Buffering: no\r\n");
	expect_header("Accept-Ranges: bytes\r\n");
	(void)snprintf(line, sizeof(line), "ETag: \"%s\"\r\n",
	    site_job(&site, "app", first).sum.sha256);
	expect_header(line);
	expect_header("Repr-Digest: sha-256=:");
	expect_header("Last-Modified: ");

	assert_ok(job_deliver(site.db, site.state_dir, first, 60000, &err),
	    err);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "delivered");
	(void)snprintf(query, sizeof(query), "job=%s", first);
	get(PAPI "/getMemorySnapshot", query);
	expect_status(200);
	assert_true(call.answer.delivers);
	/* A newer one is what the bare address speaks of. */
	(void)take_whole();
	get(PAPI "/getMemorySnapshot", NULL);
	expect_status(200);
	assert_string_not_equal(call.answer.job_id, first);
	get(PAPI "/getMemorySnapshot", query);
	assert_string_equal(call.answer.job_id, first);
	get(PAPI "/getMemorySnapshot",
	    "job=" NO_JOB);
	expect_problem(404, "not-found", "");
	assert_string_equal(member("pod"), "pod-1");
	get(PAPI "/getMemorySnapshot", "job=");
	expect_problem(400, "invalid", "job");
}

/* A GET of an operator with two further variables, or NULL. */
static void
get_with(const char *path, const char *query, const char *a, const char *b)
{
	begin_call("GET", path, query, site.operator, a, b);
}

/* Parts and conditions, where they count, and in the module's words where they
 * do not hold. */
static void
test_snapshot_parts(void **state)
{
	char query[64], tag[100];

	(void)state;
	/* Whatever it is set to: what may deliver is never left to others. */
	site.conf.sendfile = SENDFILE_X_ACCEL;
	site.conf.sendfile_prefix = "/files";
	(void)snprintf(query, sizeof(query), "job=%s", take_whole());
	(void)snprintf(tag, sizeof(tag), "HTTP_IF_RANGE=\"%s\"",
	    site_job(&site, "app", spawned).sum.sha256);
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_RANGE=bytes=1-2",
	    NULL);
	expect_status(200);
	assert_int_equal(call.answer.file_bytes, 1000);
	assert_false(call.answer.delivers);
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_RANGE=bytes=1-2", tag);
	expect_status(206);
	expect_header("Content-Range: bytes 1-2/1000\r\n");
	expect_header("X-Accel-Buffering: no\r\n");
	assert_false(call.answer.delivers);
	get_with(PAPI "/getMemorySnapshot", query, "HTTP_RANGE=bytes=1-2",
	    NULL);
	expect_status(206);
	assert_false(call.answer.delivers);
	get_with(PAPI "/getMemorySnapshot", query, "HTTP_RANGE=bytes=1000-",
	    NULL);
	expect_problem(416, "range", "1000 bytes");
	expect_header("Content-Range: bytes */1000\r\n");
	assert_string_equal(member("resultCode"), "Error");
	assert_string_equal(member("errorMessage"), err_title(ERR_RANGE));
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_IF_MATCH=\"x\"",
	    NULL);
	expect_problem(412, "precondition", "If-Match");
	assert_null(call.answer.reader);
	assert_string_equal(member("errorMessage"),
	    err_title(ERR_PRECONDITION));
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_ACCEPT_ENCODING="
	    "*;q=0", NULL);
	expect_problem(406, "not-acceptable", "Accept-Encoding");
	expect_header("Vary: Accept-Encoding\r\n");
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_IF_NONE_MATCH=*",
	    NULL);
	expect_status(304);
	assert_null(call.answer.type);
	assert_int_equal(call.answer.body.len, 0);
	get_with(PAPI "/getMemorySnapshot", NULL, "HTTP_ACCEPT_ENCODING=zstd",
	    NULL);
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_true(call.answer.delivers);
	expect_header("Content-Encoding: zstd\r\n");
	expect_no_header("X-Accel-Redirect");
	/* A profile is what was just ordered, all of it. */
	get_with(PAPI "/getCpuProfile", "duration=500",
	    "HTTP_RANGE=bytes=1-2", "HTTP_IF_NONE_MATCH=*");
	site_attach(site.db, spawned);
	resume_call();
	site_finish(&site, site.db, spawned, JOB_CPU_PROFILE, 77);
	resume_call();
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_int_equal(call.answer.file_bytes, 77);
	assert_false(call.answer.delivers);
}

/* The file goes: 410 where it was named, 404 where it was not. */
static void
test_gone(void **state)
{
	const char *id = take_whole();
	char query[64], path[128];
	struct err err;

	(void)state;
	assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err), err);
	assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	assert_true(site_job(&site, "app", id).removed_at_ms != JOB_UNKNOWN);
	(void)snprintf(query, sizeof(query), "job=%s", id);
	(void)snprintf(path, sizeof(path), PAPI "/jobs/%s/artifact", id);
	get(PAPI "/getMemorySnapshot", query);
	expect_problem(410, "gone", "removed");
	assert_string_equal(member("errorMessage"), "Snapshot not found");
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "");
	get(path, NULL);
	expect_problem(410, "gone", "grace");
	/* A file that is gone without anybody's word is gone, too. */
	id = take_whole();
	assert_ok(artifact_remove(site.state_dir, id, "heapsnapshot", false,
	    &err), err);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_problem(404, "not-found", "not there any more");
	(void)snprintf(query, sizeof(query), "job=%s", id);
	get(PAPI "/getMemorySnapshot", query);
	expect_problem(410, "gone", "not there any more");
}

/* A process that was stopped in the middle of a delivery, which is told by its
 * lock: the others do not wait for it for ever. */
static void
test_stuck_handover(void **state)
{
	char path[320];
	int fd;

	(void)state;
	(void)take_whole();
	(void)snprintf(path, sizeof(path), "%s/handover", site.state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	get(PAPI "/getMemorySnapshot", NULL);
	expect_status(200);
	assert_true(call.answer.delivers);
	assert_int_equal(close(fd), 0);
}

static void
expect_duration(const char *query, int64_t want_ms)
{
	char line[64];

	begin_call("GET", PAPI "/getCpuProfile", query, site.operator,
	    "HTTP_PREFER=respond-async", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	site_attach(site.db, spawned);
	resume_call();
	expect_status(202);
	(void)snprintf(line, sizeof(line), "X-Profile-Duration: %lld\r\n",
	    (long long)want_ms);
	expect_header(line);
	expect_header("Preference-Applied: respond-async\r\n");
	expect_header("Location: " PAPI "/jobs/");
	assert_string_equal(member("kind"), "cpu-profile");
	assert_int_equal(site_job(&site, "app", spawned).duration_ms,
	    want_ms);
	site_finish(&site, site.db, spawned, JOB_CPU_PROFILE, 10);
}

static void
test_durations(void **state)
{
	static const char *const bad[] = { "duration=abc", "duration=1s",
		"duration=0x10", "duration=NaN", "duration=inf", "duration=1e",
		"duration=%20", "duration=1&duration=1", "duration=&duration=",
		"interval=49", "interval=100001", "interval=x", "interval=",
		"interval=100.5", "interval=60&interval=60" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		get(PAPI "/getCpuProfile", bad[i]);
		expect_problem(400, "invalid",
		    strstr(bad[i], "dur") != NULL ? "duration" : "interval");
	}
	assert_int_equal(spawns, 0);
	expect_duration(NULL, 60000);
	expect_duration("duration=", 60000);
	expect_duration("duration=5", 100);
	expect_duration("duration=-1e99", 100);
	expect_duration("duration=100.4", 100);
	expect_duration("duration=100.5", 101);
	expect_duration("duration=%2B1.51e2", 151);
	expect_duration("duration=99999999", 120000);
	expect_duration("duration=1e999", 120000);
	expect_duration("duration=1000&interval=50&x=y", 1000);
	assert_int_equal(site_job(&site, "app", spawned).interval_us, 50);
}

static void
test_profile(void **state)
{
	char line[64];

	(void)state;
	get(PAPI "/getCpuProfile", "duration=500");
	site_attach(site.db, spawned);
	resume_call();
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_FINAL);
	assert_non_null(call.request->place);
	site_finish(&site, site.db, spawned, JOB_CPU_PROFILE, 77);
	resume_call();
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_int_equal(call.answer.file_bytes, 77);
	assert_false(call.answer.delivers);
	expect_header("X-Profile-Duration: 500\r\n");
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", spawned);
	expect_header(line);
	expect_header(".cpuprofile\"");
	/* getMemorySnapshot does not speak of profiles. */
	(void)snprintf(line, sizeof(line), "job=%s", spawned);
	get(PAPI "/getMemorySnapshot", line);
	expect_problem(404, "not-found", "cpu-profile");

	get(PAPI "/getCpuProfile", "duration=500");
	site_attach(site.db, spawned);
	resume_call();
	site_fail(&site, spawned, ERR_TARGET_EXITED, "the app ended");
	resume_call();
	expect_problem(502, "target-exited", "the app ended");
	expect_header("Location: " PAPI "/jobs/");
	expect_header("X-Profile-Duration: 500\r\n");
	/* It takes longer than all the time there is. */
	get(PAPI "/getCpuProfile", "duration=500");
	site_attach(site.db, spawned);
	resume_call();
	resume_call();
	expect_problem(504, "target-timeout", "goes on");
	expect_header("Location: " PAPI "/jobs/");
}

static void
test_limits(void **state)
{
	struct request *request;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin_call("GET", PAPI "/getCpuProfile", NULL, site.operator,
		    "HTTP_PREFER=respond-async", NULL);
		site_attach(site.db, spawned);
		resume_call();
		expect_status(202);
	}
	get(PAPI "/getCpuProfile", NULL);
	expect_problem(429, "limit", "2");
	assert_true(call.answer.retry_after_s > 0);
	/* No place to wait: nothing is started. */
	site.conf.waiting = 1;
	begin_call("GET", PAPI "/jobs", NULL, site.operator, NULL, NULL);
	request = call.request;
	{
		struct err err;

		assert_ok(service_take_place(service, request, &err), err);
		assert_ok(service_take_place(service, request, &err), err);
	}
	/* It goes on without the call. */
	call.request = NULL;
	json_free(&call.json);
	answer_fini(&call.answer);
	(void)close(call.out);
	spawns = 0;
	get("/forked/private/papi/getCpuProfile", NULL);
	expect_problem(429, "limit", "[limits] waiting");
	assert_int_equal(spawns, 0);
	request_free(&request);
	get("/forked/private/papi/getCpuProfile", NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(spawns, 1);
}

/* Of captures in a minute: Retry-After tells when the next may be begun. */
static void
test_rates(void **state)
{
	(void)state;
	site.conf.token_captures = 1;
	get("/forked/private/papi/getCpuProfile", NULL);
	assert_int_equal(spawns, 1);
	get(PAPI "/getCpuProfile", NULL);
	expect_problem(429, "limit",
	    "oda has begun 1 captures within a minute");
	assert_in_range(call.answer.retry_after_s, 55, 60);
	get(PAPI "/takeMemorySnapshot", NULL);
	expect_problem(429, "limit", "token_captures");
	assert_int_equal(spawns, 1);
	site.conf.token_captures = 600;
	site.conf.app_captures = 1;
	get("/forked/private/papi/getCpuProfile", NULL);
	expect_problem(429, "limit", "[limits] app_captures");
	assert_in_range(call.answer.retry_after_s, 55, 60);
	get(PAPI "/getCpuProfile", NULL);
	assert_int_equal(spawns, 2);
}

static void
post(const char *type, const char *body)
{
	begin_call("POST", PAPI "/jobs", NULL, site.operator, type, body);
}

static void
test_create(void **state)
{
	static const char json[] = "CONTENT_TYPE=application/json";
	char line[128];

	(void)state;
	post("CONTENT_TYPE=Application/JSON; charset=utf-8",
	    "BODY={\"kind\":\"cpu-profile\",\"durationMs\":150}");
	site_attach(site.db, spawned);
	resume_call();
	expect_status(202);
	assert_string_equal(member("id"), spawned);
	(void)snprintf(line, sizeof(line), "Location: " PAPI "/jobs/%s\r\n",
	    spawned);
	expect_header(line);
	assert_true(call.answer.retry_after_s > 0);
	post(NULL, "BODY={\"kind\":\"cpu-profile\"}");
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	spawns = 0;
	post("CONTENT_TYPE=text/plain", "BODY={\"kind\":\"cpu-profile\"}");
	expect_problem(415, "media-type", "text/plain");
	post("CONTENT_TYPE=application/jsonx", "BODY={}");
	expect_problem(415, "media-type", "jsonx");
	post(json, "BODY={\"kind\":\"core-dump\"}");
	expect_problem(400, "invalid", "kind");
	post(json, NULL);
	expect_problem(400, "invalid", "body");
	post(json, "BODY={\"kind\":\"cpu-profile\",\"live\":true}");
	expect_problem(400, "invalid", "live: a cpu-profile has no such");
	site.conf.job_timeout_ms = 60000;
	post(json, "BODY={\"kind\":\"heap-profile\"}");
	expect_problem(400, "invalid", "a profile of 60000 ms cannot be "
	    "finished within [limits] job_timeout, which is 60000 ms");
	begin_call("POST", PAPI "/jobs", NULL, site.viewer, json, NULL);
	expect_problem(403, "forbidden", "operator");
	begin_call("POST", PAPI "/jobs", NULL, site.operator, json,
	    "CONTENT_LENGTH=70000");
	expect_problem(413, "too-large", "65536");
	begin_call("POST", PAPI "/jobs", NULL, site.operator, json,
	    "HTTP_CONTENT_ENCODING=gzip");
	expect_problem(415, "media-type", "gzip");
	assert_int_equal(spawns, 0);
}

static void
test_list(void **state)
{
	char ids[3][UUID_MAX], query[80];
	const struct json *jobs;
	size_t i;

	(void)state;
	get(PAPI "/jobs", NULL);
	expect_status(200);
	assert_string_equal(buf_str(&call.answer.body),
	    "{\"jobs\":[],\"next\":null}");
	for (i = 0; i < 3; i++)
		(void)snprintf(ids[i], UUID_MAX, "%s", take_whole());
	begin_call("GET", PAPI "/jobs", "kind=&state=&limit=&after=",
	    site.viewer, NULL, NULL);
	expect_status(200);
	jobs = json_get(call.json, "jobs");
	assert_int_equal(json_count(jobs), 3);
	assert_string_equal(json_string(json_get(json_first(jobs), "id")),
	    ids[2]);
	get(PAPI "/jobs", "limit=2");
	assert_int_equal(json_count(json_get(call.json, "jobs")), 2);
	assert_string_equal(member("next"), ids[1]);
	(void)snprintf(query, sizeof(query), "limit=2&after=%s", ids[1]);
	get(PAPI "/jobs", query);
	jobs = json_get(call.json, "jobs");
	assert_int_equal(json_count(jobs), 1);
	assert_string_equal(json_string(json_get(json_first(jobs), "id")),
	    ids[0]);
	assert_string_equal(member("next"), "(none)");
	get(PAPI "/jobs", "kind=cpu-profile");
	assert_int_equal(json_count(json_get(call.json, "jobs")), 0);
	get(PAPI "/jobs", "state=succeeded");
	assert_int_equal(json_count(json_get(call.json, "jobs")), 3);
	get("/forked/private/papi/jobs", NULL);
	assert_int_equal(json_count(json_get(call.json, "jobs")), 0);
	get(PAPI "/jobs", "kind=x");
	expect_problem(400, "invalid", "heap-snapshot");
	get(PAPI "/jobs", "state=x");
	expect_problem(400, "invalid", "canceled");
	get(PAPI "/jobs", "limit=0");
	expect_problem(400, "invalid", "1..1000");
	get(PAPI "/jobs", "limit=1001");
	expect_problem(400, "invalid", "1..1000");
	get(PAPI "/jobs", "after=x");
	expect_problem(400, "invalid", "after");
}

static void
get_waiting(const char *path, const char *prefer)
{
	begin_call("GET", path, NULL, site.viewer, prefer, NULL);
}

static void
test_job(void **state)
{
	const struct job_progress progress = { .phase = PHASE_WRITING,
		.done = 1, .total = 2, .bytes = 3 };
	char path[128], artifact[140];
	struct err err;

	(void)state;
	get(PAPI "/jobs/" NO_JOB, NULL);
	expect_problem(404, "not-found", "");
	get(PAPI "/takeMemorySnapshot", NULL);
	site_attach(site.db, spawned);
	resume_call();
	(void)snprintf(path, sizeof(path), PAPI "/jobs/%s", spawned);
	(void)snprintf(artifact, sizeof(artifact), "%s/artifact", path);
	get_waiting(path, NULL);
	expect_status(200);
	assert_string_equal(member("state"), "running");
	assert_true(call.answer.retry_after_s > 0);
	get_waiting(path, "HTTP_PREFER=wait=0");
	expect_status(200);
	get(artifact, NULL);
	expect_problem(409, "conflict", "running");
	assert_true(call.answer.retry_after_s > 0);
	get_waiting(path, "HTTP_PREFER=wait=99");
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_int_equal(call.request->wait.until, UNTIL_CHANGED);
	assert_false(is_over(call.request));
	assert_ok(job_set_progress(site.db, spawned, &progress, &err), err);
	assert_true(is_over(call.request));
	resume_call();
	expect_status(200);
	expect_header("Preference-Applied: wait=25\r\n");
	assert_string_equal(member("phase"), "writing");
	site_finish(&site, site.db, spawned, JOB_HEAP_SNAPSHOT, 10);
	get_waiting(path, "HTTP_PREFER=wait=5");
	expect_status(200);
	expect_header("Preference-Applied: wait=5\r\n");
	assert_int_equal(call.answer.retry_after_s, 0);
	get_waiting(artifact, NULL);
	expect_problem(403, "forbidden", "operator");
	get(artifact, NULL);
	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_false(call.answer.delivers);
	get("/forked/private/papi/jobs/" NO_JOB, NULL);
	expect_status(404);
}

/* The links of an answer have what precedes them in the request. */
static void
test_prefix(void **state)
{
	(void)state;
	begin_call("GET", "/cgi/podprof.fcgi", NULL, site.operator,
	    "PATH_INFO=" PAPI "/takeMemorySnapshot", NULL);
	site_attach(site.db, spawned);
	resume_call();
	expect_status(200);
	expect_header("Content-Location: /cgi/podprof.fcgi" PAPI "/jobs/");
}

static void
test_probes(void **state)
{
	struct err err;

	(void)state;
	begin_call("GET", "/livez", NULL, NULL, NULL, NULL);
	expect_status(200);
	assert_string_equal(buf_str(&call.answer.body), "ok\n");
	assert_true(call.request->route->is_probe);
	/* Not yet, for which there is nothing to be seen in the log. */
	front_begin_log();
	begin_call("GET", "/readyz", NULL, NULL, NULL, NULL);
	expect_problem(503, "state", "has just begun");
	assert_true(call.answer.retry_after_s > 0);
	service_set_ready(service, NULL);
	begin_call("GET", "/readyz", NULL, NULL, NULL, NULL);
	expect_status(200);
	/* That has to be found out: see handle_probe.c. */
	begin_call("GET", "/readyz", "app=app", NULL, NULL, NULL);
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	begin_call("GET", "/readyz", "app=nope", NULL, NULL, NULL);
	expect_problem(404, "not-found", "nope");
	assert_null(json_get(call.json, "pod"));
	begin_call("HEAD", "/livez", "app=nope", NULL, NULL, NULL);
	expect_status(404);
	err_set(&err, ERR_STORE, "x");
	service_set_ready(service, &err);
	begin_call("GET", "/readyz", NULL, NULL, NULL, NULL);
	expect_problem(503, "state", "log");
	/* Whoever found that out has told: a probe comes every second. */
	assert_string_equal(front_end_log(), "");
	/* A wrong token does no harm here, and no tokens file neither. */
	assert_int_equal(unlink(site.tokens), 0);
	begin_call("GET", "/livez", NULL, "HTTP_AUTHORIZATION=Bearer x", NULL,
	    NULL);
	expect_status(200);
	front_begin_log();
	get(PAPI "/jobs", NULL);
	expect_problem(503, "state", "tokens");
	assert_non_null(strstr(front_end_log(), "level=error module=route"));
	assert_true(call.answer.retry_after_s > 0);
}

/* The database goes, and comes back: 503 is not for ever. */
static void
test_lost_database(void **state)
{
	char path[320], aside[320];

	(void)state;
	get(PAPI "/jobs", NULL);
	expect_status(200);
	(void)snprintf(path, sizeof(path), "%s", site.state_dir);
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(path, aside), 0);
	get(PAPI "/jobs", NULL);
	expect_problem(503, "state", site.state_dir);
	assert_int_equal(rename(aside, path), 0);
	get(PAPI "/jobs", NULL);
	expect_status(200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_order),
		TEST(test_methods),
		TEST(test_paths),
		TEST(test_take),
		TEST(test_take_json),
		TEST(test_force),
		TEST(test_refused),
		TEST(test_guard),
		TEST(test_slow_preflight),
		TEST(test_spawn_fails),
		TEST(test_method),
		TEST(test_get_snapshot),
		TEST(test_snapshot_parts),
		TEST(test_gone),
		TEST(test_stuck_handover),
		TEST(test_durations),
		TEST(test_profile),
		TEST(test_limits),
		TEST(test_rates),
		TEST(test_create),
		TEST(test_list),
		TEST(test_job),
		TEST(test_prefix),
		TEST(test_probes),
		TEST(test_lost_database),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
