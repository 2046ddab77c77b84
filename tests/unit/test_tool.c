#include "test.h"

#include <fcntl.h>

#include "buf.h"
#include "clock.h"
#include "tool.h"

#define BASE "http://127.0.0.1:1/shop/private/papi"
#define ID "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
#define OTHER "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c78"
#define BUSY "{\"type\":\"urn:podprof:error:busy\",\"title\":\"t\"," \
	"\"status\":503,\"detail\":\"being made\",\"instance\":\"/x\"}"

/* What the service is to say, one after the other; the last one again and
 * again. */
struct said {
	int code;		/* enum err_code; 0: there is an answer */
	int status;
	int64_t retry_after_s;
	const char *body;
};
static const struct said *script;
static size_t script_len, calls;
static int64_t now_ms, paused_ms, last_pause_ms, waits_s[16];
static bool stops;		/* in the next pause */
static bool is_stopped;
static char paths[16][128];

int64_t __wrap_clock_mono_ms(void);
int64_t
__wrap_clock_mono_ms(void)
{
	return now_ms;
}

bool __wrap_client_is_stopped(const struct client *client);
bool
__wrap_client_is_stopped(const struct client *client)
{
	assert_non_null(client);
	return is_stopped;
}

int __wrap_client_pause(const struct client *client, int64_t ms,
    struct err *err);
int
__wrap_client_pause(const struct client *client, int64_t ms, struct err *err)
{
	assert_non_null(client);
	last_pause_ms = ms;
	paused_ms += ms;
	now_ms += ms;
	is_stopped = stops;
	return stops ? err_set(err, ERR_INTERRUPTED, "stopped") : 0;
}

static const struct said *
next_said(const char *path, int64_t wait_s)
{
	const size_t at = calls < script_len ? calls : script_len - 1;

	if (calls < 16) {
		(void)snprintf(paths[calls], sizeof(paths[0]), "%s", path);
		waits_s[calls] = wait_s;
	}
	calls++;
	return &script[at];
}

int __wrap_client_call(struct client *client,
    const struct client_request *request, struct client_reply *ret_reply,
    struct err *err);
int
__wrap_client_call(struct client *client, const struct client_request *request,
    struct client_reply *ret_reply, struct err *err)
{
	const struct said *said = next_said(request->path, request->wait_s);

	assert_non_null(client);
	if (said->code != 0)
		return err_set(err, (enum err_code)said->code, "fault %d",
		    said->code);
	memset(ret_reply, 0, sizeof(*ret_reply));
	ret_reply->status = said->status;
	ret_reply->retry_after_s = said->retry_after_s;
	(void)snprintf(ret_reply->type, sizeof(ret_reply->type), "%s",
	    said->status < 400 ? "application/json" :
	    "application/problem+json");
	buf_init(&ret_reply->body, CLIENT_BODY_MAX);
	return buf_adds(&ret_reply->body, said->body, err);
}

int __wrap_client_get(struct client *client, const char *path,
    struct json **ret_json, struct err *err);
int
__wrap_client_get(struct client *client, const char *path,
    struct json **ret_json, struct err *err)
{
	const struct said *said = next_said(path, 0);

	assert_non_null(client);
	return json_parse(said->body, strlen(said->body), ret_json, err);
}

/* Far away, with a script; what is said goes to a file. */
struct desk {
	struct tool_call call;
	struct tool_service service;
	struct tool_progress progress;
	int stderr_fd, said_fd;
	char said[8192];
};

static void
desk_open(struct desk *desk, const struct said *what, size_t len)
{
	char name[] = "/tmp/podprof-test-XXXXXX";
	struct err err;

	memset(desk, 0, sizeof(*desk));
	script = what;
	script_len = len;
	calls = 0;
	paused_ms = 0;
	now_ms = 1000;
	stops = is_stopped = false;
	desk->service.call = &desk->call;
	assert_ok(client_open_url(BASE, NULL, NULL, &desk->service.client,
	    &err), err);
	desk->stderr_fd = dup(STDERR_FILENO);
	desk->said_fd = mkstemp(name);
	assert_true(desk->stderr_fd >= 0 && desk->said_fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(dup2(desk->said_fd, STDERR_FILENO), STDERR_FILENO);
	tool_progress_init(&desk->progress);
}

/* desk->said is what was. */
static void
desk_close(struct desk *desk)
{
	ssize_t n;

	(void)fflush(stderr);
	(void)dup2(desk->stderr_fd, STDERR_FILENO);
	n = pread(desk->said_fd, desk->said, sizeof(desk->said) - 1, 0);
	desk->said[n > 0 ? n : 0] = '\0';
	(void)close(desk->said_fd);
	(void)close(desk->stderr_fd);
	tool_close(&desk->service);
}

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static int
ask(struct desk *desk, const char *key, bool was_answered, int *ret_status,
    struct err *err)
{
	const struct client_request request = {.method = "GET", .path = "x",
	    .key = key};
	struct tool_patience patience = {.patience_ms = 60000,
	    .answered_ms = was_answered ? 1 : 0};
	struct client_reply reply;

	if (tool_ask(&desk->service, &request, &patience, &desk->progress,
	    &reply, err) != 0)
		return -1;
	*ret_status = reply.status;
	client_reply_fini(&reply);
	return 0;
}

static void
test_who_never_answered_is_not_asked_twice(void **state)
{
	static const struct said nobody[] = {{ERR_TARGET_UNREACHABLE, 0, 0,
	    ""}};
	struct desk desk;
	struct err err;
	int status;

	(void)state;
	desk_open(&desk, nobody, 1);
	assert_err(ask(&desk, NULL, false, &status, &err), err,
	    ERR_TARGET_UNREACHABLE, "fault");
	desk_close(&desk);
	assert_int_equal(calls, 1);
	assert_string_equal(desk.said, "");
}

static void
test_a_cut_is_asked_again(void **state)
{
	static const struct said cuts[] = {{ERR_INTERRUPTED, 0, 0, ""},
	    {ERR_INTERRUPTED, 0, 0, ""}, {ERR_TARGET_TIMEOUT, 0, 0, ""},
	    {0, 200, 0, "{}"}};
	struct desk desk;
	struct err err;
	char want[128];
	int status;

	(void)state;
	desk_open(&desk, cuts, LEN(cuts));
	assert_err(ask(&desk, NULL, false, &status, &err), err,
	    ERR_TARGET_TIMEOUT, "");	/* it has not answered yet */
	desk_close(&desk);
	desk_open(&desk, cuts, LEN(cuts));
	assert_ok(ask(&desk, NULL, true, &status, &err), err);
	desk_close(&desk);
	assert_int_equal(status, 200);
	assert_int_equal(paused_ms, 500 + 1000 + 2000);
	(void)snprintf(want, sizeof(want), "podprof: fault %d; trying again\n"
	    "podprof: fault %d; trying again\n", ERR_INTERRUPTED,
	    ERR_TARGET_TIMEOUT);
	assert_string_equal(desk.said, want);
}

static void
test_patience_ends(void **state)
{
	static const struct said gone[] = {{ERR_TARGET_UNREACHABLE, 0, 0, ""}};
	struct desk desk;
	struct err err;
	int status;

	(void)state;
	desk_open(&desk, gone, 1);
	assert_err(ask(&desk, NULL, true, &status, &err), err,
	    ERR_TARGET_UNREACHABLE, "again and again: fault");
	desk_close(&desk);
	assert_true(paused_ms > 60000 && paused_ms < 70000);
	assert_int_equal(last_pause_ms, 8000);
}

static void
test_what_passes_is_waited_for(void **state)
{
	static const struct said full[] = {{0, 503, 2, "starting"},
	    {0, 429, 999, "full"}, {0, 502, 0, "gone"}, {0, 404, 0, "no"}};
	static const struct said busy[] = {{0, 503, 5, BUSY}};
	struct desk desk;
	struct err err;
	int status;

	(void)state;
	desk_open(&desk, full, LEN(full));
	assert_ok(ask(&desk, NULL, false, &status, &err), err);
	assert_int_equal(status, 404);
	/* As long as it says, within bounds, and no less than we would. */
	assert_int_equal(paused_ms, 2000 + 30000 + 2000);
	desk_close(&desk);
	/* To an order that is the answer. */
	desk_open(&desk, full, LEN(full));
	assert_ok(ask(&desk, "key", false, &status, &err), err);
	assert_int_equal(status, 503);
	desk_close(&desk);
	desk_open(&desk, busy, 1);
	assert_err(ask(&desk, NULL, false, &status, &err), err, ERR_BUSY,
	    "being made");
	assert_true(paused_ms > TOOL_WORK_MS);
	desk_close(&desk);
	assert_string_equal(desk.said, "podprof: being made; trying again\n");
}

static void
test_a_signal_ends_the_waiting(void **state)
{
	static const struct said cut[] = {{ERR_INTERRUPTED, 0, 0, ""}};
	struct desk desk;
	struct err err;
	int status;

	(void)state;
	desk_open(&desk, cut, 1);
	stops = true;
	assert_err(ask(&desk, NULL, true, &status, &err), err, ERR_INTERRUPTED,
	    "stopped");
	assert_int_equal(calls, 1);
	assert_err(ask(&desk, NULL, true, &status, &err), err, ERR_INTERRUPTED,
	    "fault");
	desk_close(&desk);
	assert_int_equal(calls, 2);
}

static void
test_ids(void **state)
{
	static const struct said pages[] = {
	    {0, 200, 0, "{\"jobs\":[{\"id\":\"" ID "\"},{\"id\":\"\\u001b["
		"0198c0de\"},{\"id\":7},{}],\"next\":\"" ID "\"}"},
	    {0, 200, 0, "{\"jobs\":[{\"id\":\"" OTHER "\"}],"
		"\"next\":\"../x\"}"}};
	char id[UUID_MAX];
	struct desk desk;
	struct err err;

	(void)state;
	desk_open(&desk, pages, LEN(pages));
	assert_ok(tool_find_id(desk.service.client,
	    "0198C0DE-7B1E-7C3A-9F00-5D2E6A1B4C77", id, &err), err);
	assert_string_equal(id, ID);
	assert_int_equal(calls, 0);
	assert_err(tool_find_id(desk.service.client, "0198c0d", id, &err),
	    err, ERR_INVALID, "first 8");
	assert_err(tool_find_id(desk.service.client, "0198c0dg", id, &err),
	    err, ERR_INVALID, "0198c0dg");
	assert_err(tool_find_id(desk.service.client, ID "0", id, &err), err,
	    ERR_INVALID, "36");
	assert_int_equal(calls, 0);
	assert_err(tool_find_id(desk.service.client, "0198c0de", id, &err),
	    err, ERR_CONFLICT, ID " " OTHER);
	assert_int_equal(calls, 2);
	assert_string_equal(paths[0], "jobs?limit=1000");
	assert_string_equal(paths[1], "jobs?limit=1000&after=" ID);
	calls = 0;
	assert_ok(tool_find_id(desk.service.client,
	    "0198C0DE-7b1e-7c3a-9f00-5d2e6a1b4c78", id, &err), err);
	assert_string_equal(id, OTHER);
	calls = 0;
	assert_err(tool_find_id(desk.service.client, "ffffffff", id, &err),
	    err, ERR_NOT_FOUND, "app shop");
	desk_close(&desk);
}

/* A list that goes on for ever is not read for ever. */
static void
test_endless_list(void **state)
{
	static const struct said again[] = {{0, 200, 0, "{\"jobs\":[],"
	    "\"next\":\"" ID "\"}"}};
	char id[UUID_MAX];
	struct desk desk;
	struct err err;

	(void)state;
	desk_open(&desk, again, 1);
	assert_err(tool_find_id(desk.service.client, "0198c0de", id, &err),
	    err, ERR_NOT_FOUND, "");
	desk_close(&desk);
	assert_int_equal(calls, 1000);
}

#define JOB(state, phase) "{\"id\":\"" ID "\",\"kind\":\"heap-snapshot\"," \
	"\"method\":\"stream\",\"state\":\"" state "\",\"phase\":" phase ","   \
	"\"progress\":{\"done\":1,\"total\":3,\"bytes\":0," \
	"\"estimated\":false},\"freezeMs\":null}"

static void
test_follow_says_each_phase_once(void **state)
{
	static const struct said answers[] = {
	    {0, 200, 0, JOB("queued", "null")},
	    {0, 200, 0, JOB("running", "\"preflight\"")},
	    {0, 200, 0, JOB("running", "\"writing\"")},
	    {0, 503, 1, "restarted"},
	    {0, 200, 0, JOB("running", "\"writing\"")},
	    {0, 200, 0, JOB("running", "\"\\u001b[2J\"")},
	    {0, 200, 0, JOB("succeeded", "null")}};
	struct json *job = NULL;
	struct desk desk;
	struct err err;

	(void)state;
	desk_open(&desk, answers, LEN(answers));
	assert_ok(tool_follow(&desk.service, ID, &desk.progress, &job, &err),
	    err);
	assert_string_equal(tool_text(job, "state"), "succeeded");
	json_free(&job);
	desk_close(&desk);
	assert_int_equal(calls, LEN(answers));
	assert_string_equal(paths[0], "jobs/" ID);
	/* As it is now, then as it changes. */
	assert_int_equal(waits_s[0], 0);
	assert_int_equal(waits_s[1], 25);
	assert_non_null(strstr(desk.said, "podprof: queued\n"
	    "podprof: preflight\npodprof: writing\n"));
	assert_non_null(strstr(desk.said, "trying again\npodprof: running\n"));
	assert_null(strchr(desk.said, '\033'));
	assert_null(strchr(desk.said, '\r'));
}

static void
test_follow_ends_with_the_job_gone(void **state)
{
	static const struct said answers[] = {
	    {0, 200, 0, JOB("running", "\"writing\"")},
	    {0, 404, 0, "{\"type\":\"urn:podprof:error:not-found\","
		"\"detail\":\"no job\"}"}};
	struct json *job = NULL;
	struct desk desk;
	struct err err;

	(void)state;
	desk_open(&desk, answers, LEN(answers));
	assert_err(tool_follow(&desk.service, ID, &desk.progress, &job, &err),
	    err, ERR_NOT_FOUND, "no job");
	assert_null(job);
	desk_close(&desk);
}

static void
assert_explained(const char *text, enum tool_status want, const char *said)
{
	static const struct said none[] = {{0, 200, 0, ""}};
	struct json *job = NULL;
	struct desk desk;
	struct err err;

	assert_ok(json_parse(text, strlen(text), &job, &err), err);
	desk_open(&desk, none, 1);
	assert_int_equal(tool_explain(job), want);
	desk_close(&desk);
	json_free(&job);
	assert_string_equal(desk.said, said);
}

static void
test_why_there_is_no_file(void **state)
{
	(void)state;
	assert_explained("{\"state\":\"canceled\"}", TOOL_FAILED,
	    "podprof: the job was canceled: there is no file\n");
	assert_explained("{\"state\":\"failed\",\"error\":{\"type\":"
	    "\"urn:podprof:error:target-exited\",\"detail\":\"it "
	    "died\\u001b\"},\"attempts\":[{\"method\":\"fork\",\"outcome\":"
	    "\"skipped\",\"reason\":\"no addon\"},{\"method\":\"stream\","
	    "\"outcome\":\"failed\",\"reason\":\"it died\\u001b\"}]}",
	    TOOL_FAILED, "podprof: the capture failed: it died\\x1b\n"
	    "podprof: method fork, skipped: no addon\n");
	assert_explained("{\"state\":\"failed\",\"error\":{\"type\":"
	    "\"urn:podprof:error:space\",\"detail\":\"too little\"}}",
	    TOOL_REFUSED, "podprof: the capture failed: too little\n");
	assert_explained("{\"state\":\"failed\"}", TOOL_FAILED,
	    "podprof: the capture failed: the service does not say why\n");
}

static void
test_the_way_back_can_be_pasted(void **state)
{
	static const struct said none[] = {{0, 200, 0, ""}};
	struct desk desk;

	(void)state;
	desk_open(&desk, none, 1);
	desk.call.values[OPTION_URL] = "https://h/a?b&c";
	desk.call.values[OPTION_APP] = "shop";
	desk.call.values[OPTION_OUTPUT] = "it's\033 here";
	desk.call.values[OPTION_JSON] = "";
	tool_say_get(&desk.service, "once more", ID);
	desk_close(&desk);
	assert_string_equal(desk.said, "podprof: once more:\n  podprof get "
	    ID " --url 'https://h/a?b&c' --app shop -o 'it'\\''s\\x1b "
	    "here'\n");
}

static void
test_members_are_told_as_options(void **state)
{
	static const struct {
		const char *theirs;
		const char *ours;
	} rows[] = {
		{"durationMs: must be a whole number from 100 to 120000",
		    "--duration: must be from 100ms to 2m"},
		{"samplingBytes: must be a whole number from 1024 to 16777216",
		    "--sampling-bytes: must be from 1K to 16M"},
		{"durationMs: a heap-snapshot has no duration",
		    "--duration: a heap-snapshot has no duration"},
		{"durationMs: must be a whole number from 1 of",
		    "--duration: must be a whole number from 1 of"},
		{"intervalUs: must be a whole number from 50 to 100000",
		    "--interval: must be a whole number from 50 to 100000"},
		{"live: a cpu-profile has none", "--live: a cpu-profile has "
		    "none"},
		{"alive: yes", "alive: yes"},
		{"worker: \"3\": GET target lists them",
		    "--worker: \"3\": podprof target lists them"},
		{"leave \"worker\" out", "leave --worker out"},
		{"with ?force=1 or \"force\":true: only", "with --force: "
		    "only"},
		{"parameter state: is x", "--state: is x"},
		{"", ""},
	};
	char out[TOOL_WORDS_MAX], lengthy[2 * TOOL_WORDS_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < LEN(rows); i++) {
		tool_translate(rows[i].theirs, out);
		assert_string_equal(out, rows[i].ours);
	}
	memset(lengthy, 'a', sizeof(lengthy));
	lengthy[sizeof(lengthy) - 1] = '\0';
	memcpy(lengthy, "live: ", 6);
	tool_translate(lengthy, out);
	assert_int_equal(strlen(out), TOOL_WORDS_MAX - 1);
	assert_memory_equal(out, "--live: aaa", 11);
}

static void
test_encode(void **state)
{
	struct buf out;
	struct err err;

	(void)state;
	buf_init(&out, 100);
	assert_ok(tool_encode(&out, "a-Z_9.~ &=%/\n\303\251", &err), err);
	assert_string_equal(buf_str(&out),
	    "a-Z_9.~%20%26%3D%25%2F%0A%C3%A9");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_never_answered_is_not_asked_twice),
		cmocka_unit_test(test_a_cut_is_asked_again),
		cmocka_unit_test(test_patience_ends),
		cmocka_unit_test(test_what_passes_is_waited_for),
		cmocka_unit_test(test_a_signal_ends_the_waiting),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_endless_list),
		cmocka_unit_test(test_follow_says_each_phase_once),
		cmocka_unit_test(test_follow_ends_with_the_job_gone),
		cmocka_unit_test(test_why_there_is_no_file),
		cmocka_unit_test(test_the_way_back_can_be_pasted),
		cmocka_unit_test(test_members_are_told_as_options),
		cmocka_unit_test(test_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
