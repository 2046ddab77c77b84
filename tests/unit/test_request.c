/* Requests from the variables of different web servers, and problems. */
#include "front.h"

#include "json.h"
#include "problem.h"
#include "request.h"
#include "route.h"
#include "service.h"

static struct request *
make(const char *a, const char *b, const char *c)
{
	static char line[4][9000];
	char *env[5] = { NULL };
	const char *const given[] = { a, b, c, "HTTP_HOST=localhost" };
	struct request *request = NULL;
	struct gate *gate;
	struct err err;
	size_t i, len = 0;
	int out;

	for (i = 0; i < 4; i++) {
		if (given[i] == NULL)
			continue;
		(void)snprintf(line[i], sizeof(line[i]), "%s", given[i]);
		env[len++] = line[i];
	}
	{
		/* The gate borrows it. */
		static char *kept[5];

		memcpy(kept, env, sizeof(env));
		gate = front_gate(kept, "", &out);
	}
	(void)close(out);
	assert_ok(request_new(&gate, &request, &err), err);
	assert_null(gate);
	assert_ok(request_read(request, &err), err);
	return request;
}

static void
expect_path(const char *script, const char *info, const char *path,
    const char *prefix)
{
	struct request *request = make("REQUEST_METHOD=GET", script, info);

	assert_string_equal(request->path, path);
	assert_string_equal(request->prefix, prefix);
	request_free(&request);
	assert_null(request);
}

static void
test_paths(void **state)
{
	static char huge[REQUEST_PATH_MAX + 64];

	(void)state;
	expect_path("SCRIPT_NAME=/a/private/papi/jobs", NULL,
	    "/a/private/papi/jobs", "");
	expect_path("SCRIPT_NAME=", "PATH_INFO=/a/private/papi/jobs",
	    "/a/private/papi/jobs", "");
	expect_path("SCRIPT_NAME=/a", "PATH_INFO=/private/papi/jobs",
	    "/a/private/papi/jobs", "");
	expect_path("SCRIPT_NAME=/cgi-bin/podprof.fcgi",
	    "PATH_INFO=/a/private/papi/jobs", "/a/private/papi/jobs",
	    "/cgi-bin/podprof.fcgi");
	expect_path("SCRIPT_NAME=/podprof.fcgi", NULL, "", "/podprof.fcgi");
	expect_path("SCRIPT_NAME=/xpodprof.fcgi", "PATH_INFO=/b",
	    "/xpodprof.fcgi/b", "");
	expect_path(NULL, NULL, "", "");
	/* It would go into links. */
	expect_path("SCRIPT_NAME=/a\nb/podprof.fcgi", "PATH_INFO=/b", "", "");
	(void)snprintf(huge, sizeof(huge), "PATH_INFO=/");
	memset(huge + 11, 'x', sizeof(huge) - 12);
	expect_path("SCRIPT_NAME=", huge, "", "");
	huge[10 + REQUEST_PATH_MAX] = '\0';
	expect_path("SCRIPT_NAME=", huge, huge + 10, "");
	expect_path("SCRIPT_NAME=/", huge, "", "");
}

static void
test_methods(void **state)
{
	static const struct {
		const char *line;
		unsigned bit;
	} cases[] = {
		{ "REQUEST_METHOD=GET", HTTP_GET },
		{ "REQUEST_METHOD=HEAD", HTTP_HEAD },
		{ "REQUEST_METHOD=POST", HTTP_POST },
		{ "REQUEST_METHOD=get", HTTP_OTHER },
		{ "REQUEST_METHOD=DELETE", HTTP_DELETE },
		{ "REQUEST_METHOD=PATCH", HTTP_OTHER },
		{ "REQUEST_METHOD=AVERYLONGMETHODINDEED", HTTP_OTHER },
		{ "REQUEST_METHOD=", HTTP_OTHER },
		{ "NONE=x", HTTP_OTHER },
	};
	struct request *request;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request = make(cases[i].line, NULL, NULL);
		assert_int_equal(request->method, cases[i].bit);
		request_free(&request);
	}
}

static void
test_ids(void **state)
{
	static const char *const bad[] = { "HTTP_X_REQUEST_ID=",
		"HTTP_X_REQUEST_ID=a b", "HTTP_X_REQUEST_ID=a\"",
		"HTTP_X_REQUEST_ID=\xc3\xa9", "HTTP_X_REQUEST_ID=a\r\nb",
		"HTTP_X_REQUEST_ID="
		"01234567890123456789012345678901234567890123456789"
		"012345678901234", "NONE=" };
	struct request *request;
	size_t i;

	(void)state;
	request = make("HTTP_X_REQUEST_ID=a.B_c-9", NULL, NULL);
	assert_string_equal(request->id, "a.B_c-9");
	request_free(&request);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		request = make(bad[i], NULL, NULL);
		assert_true(uuid_is_valid(request->id));
		request_free(&request);
	}
}

static void
test_base(void **state)
{
	struct request *request;
	char base[REQUEST_BASE_MAX];

	(void)state;
	request = make("SCRIPT_NAME=/x/podprof.fcgi",
	    "PATH_INFO=/app/private/papi/jobs", NULL);
	route_find(request);
	request_base(request, base);
	assert_string_equal(base, "/x/podprof.fcgi/app/private/papi");
	request_free(&request);
}

static void
test_over(void **state)
{
	struct request_sight sight = { .job = { .id = "x",
		.state = JOB_RUNNING, .revision = 3,
		.accepted_at_ms = JOB_UNKNOWN } };
	struct job *job = &sight.job;
	struct request *request;
	struct answer answer;

	(void)state;
	request = make(NULL, NULL, NULL);
	answer_init(&answer);
	request_wait(request, &answer, job, UNTIL_PREFLIGHT, 10, NULL);
	assert_int_equal(answer.kind, ANSWER_WAIT);
	assert_false(request_is_over(request, &sight));
	job->accepted_at_ms = 1;
	assert_true(request_is_over(request, &sight));
	request_wait(request, &answer, job, UNTIL_FINAL, 10, NULL);
	assert_false(request_is_over(request, &sight));
	request_wait(request, &answer, job, UNTIL_CHANGED, 10, NULL);
	assert_false(request_is_over(request, &sight));
	job->revision++;
	assert_true(request_is_over(request, &sight));
	job->state = JOB_FAILED;
	request_wait(request, &answer, job, UNTIL_CHANGED, 10, NULL);
	assert_true(request_is_over(request, &sight));
	request_wait(request, &answer, job, UNTIL_FINAL, 10, NULL);
	assert_true(request_is_over(request, &sight));
	/* A look is told by its own revision alone. */
	sight.revision = 7;
	request_wait_look(request, &answer, 7, 10, NULL);
	assert_string_equal(request->wait.job_id, "");
	assert_false(request_is_over(request, &sight));
	sight.revision++;
	assert_true(request_is_over(request, &sight));
	/* A summary is waited for as long as any is made. */
	request_wait_summary(request, &answer, "y", 77, NULL);
	assert_int_equal(answer.kind, ANSWER_WAIT);
	assert_string_equal(request->wait.job_id, "y");
	assert_int_equal(request->wait.deadline_ms, 77);
	for (sight.summary = SUMMARY_NONE; sight.summary <= SUMMARY_FAILED;
	    sight.summary++)
		assert_int_equal(request_is_over(request, &sight),
		    sight.summary != SUMMARY_BUSY);
	request_free(&request);
}

/* Each code, one status; and the document's members. */
static void
test_problems(void **state)
{
	static const int statuses[] = { 0, 500, 500, 400, 401, 403, 404, 405,
		406, 409, 410, 412, 413, 415, 416, 422, 425, 429, 502, 503,
		504, 502, 503, 507, 500, 503, 503 };
	static const struct conf conf = { .pod = "pod-1" };
	struct request *request;
	struct answer answer;
	struct json *json;
	struct err err, why;
	char type[64];
	int code;

	(void)state;
	request = make("REQUEST_METHOD=GET",
	    "SCRIPT_NAME=/a/private/papi/getMemorySnapshot", NULL);
	route_find(request);
	assert_non_null(request->route);
	for (code = 1; code <= ERR_CODE_MAX; code++) {
		assert_int_equal(problem_status((enum err_code)code),
		    statuses[code]);
		answer_init(&answer);
		/* It was about to be something else. */
		answer.kind = ANSWER_FILE;
		answer.by_server = true;
		answer.status = 200;
		err_set(&why, (enum err_code)code, "why \"%c\xff", 1);
		request->is_known = code % 2 == 0;
		problem_answer(&conf, request, &why, &answer);
		assert_int_equal(answer.kind, ANSWER_RESPONSE);
		assert_false(answer.by_server);
		assert_int_equal(answer.status, statuses[code]);
		assert_string_equal(answer.type, "application/problem+json");
		assert_ok(json_parse(answer.body.data, answer.body.len, &json,
		    &err), err);
		(void)snprintf(type, sizeof(type), "urn:podprof:error:%s",
		    err_name((enum err_code)code));
		assert_string_equal(json_string(json_get(json, "type")), type);
		assert_string_equal(json_string(json_get(json, "title")),
		    err_title((enum err_code)code));
		assert_int_equal(json_int(json_get(json, "status"), 0),
		    statuses[code]);
		assert_non_null(
		    strstr(json_string(json_get(json, "detail")), "why \"\x01"));
		assert_string_equal(json_string(json_get(json, "instance")),
		    "/a/private/papi/getMemorySnapshot");
		assert_string_equal(json_string(json_get(json, "resultCode")),
		    "Error");
		assert_int_equal(json_get(json, "pod") != NULL,
		    request->is_known);
		assert_int_equal(
		    strstr(buf_str(&answer.headers), "WWW-Authenticate: Bearer "
		    "realm=\"podprof\"\r\n") != NULL, answer.status == 401);
		assert_int_equal(strstr(buf_str(&answer.headers),
		    "Allow: GET, HEAD\r\n") != NULL, answer.status == 405);
		assert_int_equal(answer.retry_after_s > 0,
		    answer.status == 409 || answer.status == 425 ||
		    answer.status == 429 || answer.status == 503);
		json_free(&json);
		answer_fini(&answer);
	}
	assert_int_equal(problem_status((enum err_code)0), 500);
	assert_int_equal(problem_status((enum err_code)99), 500);
	request_free(&request);
}

static void
expect_message(const char *tail, enum err_code code, const char *want)
{
	static const struct conf conf = { .pod = "pod-1" };
	struct request *request;
	struct answer answer;
	struct json *json;
	struct err err, why;
	char path[200];
	const char *message;

	(void)snprintf(path, sizeof(path), "SCRIPT_NAME=/a/private/papi/%s",
	    tail);
	request = make("REQUEST_METHOD=GET", path, NULL);
	route_find(request);
	answer_init(&answer);
	err_set(&why, code, "why");
	problem_answer(&conf, request, &why, &answer);
	assert_ok(json_parse(answer.body.data, answer.body.len, &json, &err),
	    err);
	message = json_string(json_get(json, "errorMessage"));
	if (want == NULL)
		assert_null(message);
	else
		assert_string_equal(message, want);
	json_free(&json);
	answer_fini(&answer);
	request_free(&request);
}

static void
test_module_messages(void **state)
{
	(void)state;
	expect_message("getMemorySnapshot", ERR_TOO_EARLY,
	    "Snapshot not ready yet");
	expect_message("getMemorySnapshot", ERR_NOT_FOUND,
	    "Snapshot not found");
	expect_message("getMemorySnapshot", ERR_GONE, "Snapshot not found");
	expect_message("takeMemorySnapshot", ERR_CONFLICT,
	    "Snapshot already generating");
	expect_message("takeMemorySnapshot", ERR_NOT_FOUND,
	    err_title(ERR_NOT_FOUND));
	expect_message("getCpuProfile", ERR_INVALID, err_title(ERR_INVALID));
	expect_message("jobs", ERR_CONFLICT, NULL);
	expect_message("nothing", ERR_NOT_FOUND, NULL);
}

/* Whatever the path was, the document is sound, and the path a URI's. */
static void
test_instance(void **state)
{
	static const struct conf conf = { .pod = "pod-1" };
	struct request *request;
	struct answer answer;
	struct json *json;
	struct err err, why;

	(void)state;
	request = make("SCRIPT_NAME=/a b\"\x01\xff%?#\xc3\xa9", NULL, NULL);
	route_find(request);
	answer_init(&answer);
	err_set(&why, ERR_NOT_FOUND, "why");
	problem_answer(&conf, request, &why, &answer);
	assert_ok(json_parse(answer.body.data, answer.body.len, &json, &err),
	    err);
	assert_string_equal(json_string(json_get(json, "instance")),
	    "/a%20b%22%01%FF%25%3F%23%C3%A9");
	json_free(&json);
	answer_fini(&answer);
	request_free(&request);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_module_messages),
		cmocka_unit_test(test_instance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
