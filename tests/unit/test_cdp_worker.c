/*
 * Sessions of worker threads against a scripted inspector: what is nested in
 * messages streams through, every session that Node opens is closed again, and
 * each lie and each end in the middle is an error.
 */
#include "test.h"

#include <poll.h>
#include <stdlib.h>

#include "buf.h"
#include "cdp.h"
#include "clock.h"
#include "inspector.h"

#define HEARD_MAX 65536
#define ATTACHED(session, title)                                               \
	"{\"method\":\"NodeWorker.attachedToWorker\",\"params\":{"             \
	"\"sessionId\":\"" session "\",\"workerInfo\":{\"workerId\":\""        \
	session "\",\"type\":\"worker\",\"title\":\"" title "\"},"             \
	"\"waitingForDebugger\":false}}"

/* What the app does with what a worker was asked; NULL: reply with {}. */
typedef void asked_fn(int fd, const char *command);

static struct inspector in;
static asked_fn *on_asked;
static const char *const *attached;	/* on NodeWorker.enable */
static const char *enable_reply;
static const char *started_late;	/* on NodeWorker.disable; NULL */
static bool is_stuck;			/* on NodeWorker.disable */
static int64_t stuck_at;		/* its id, until the next; 0: none */
static char heard[HEARD_MAX];
static char log_of_calls[4096];		/* "enable disable detach:1 …" */

static int64_t
later(void)
{
	return clock_mono_ms() + 60000;
}

/* text as it stands inside a JSON string. */
static void
add_quoted(struct buf *out, const char *text)
{
	struct err err;

	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			assert_ok(buf_addc(out, '\\', &err), err);
		assert_ok(buf_addc(out, *text, &err), err);
	}
}

static void
worker_says(int fd, const char *session, const char *message)
{
	struct buf text;
	struct err err;

	buf_init(&text, 16 << 20);
	assert_ok(buf_addf(&text, &err, "{\"method\":"
	    "\"NodeWorker.receivedMessageFromWorker\",\"params\":{"
	    "\"sessionId\":\"%s\",\"message\":\"", session), err);
	add_quoted(&text, message);
	assert_ok(buf_adds(&text, "\"}}", &err), err);
	inspector_frame(fd, 0x81, text.data, text.len);
	buf_fini(&text);
}

static void
note(const char *what, const char *session)
{
	const size_t len = strlen(log_of_calls);

	(void)snprintf(log_of_calls + len, sizeof(log_of_calls) - len,
	    "%s%s%s ", what, session[0] != '\0' ? ":" : "", session);
}

static void
reply_to(int fd, int64_t id, const char *result)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"id\":%lld,%s}", (long long)id,
	    result);
	inspector_say(fd, text);
}

static void
reply(int fd, const struct json *command, const char *result)
{
	reply_to(fd, json_int(json_get(command, "id"), 0), result);
}

static void
on_enable(int fd, const struct json *command)
{
	const char *const *event;

	for (event = attached; *event != NULL; event++)
		inspector_say(fd, *event);
	reply(fd, command, enable_reply);
}

/* True: that is all, for now. */
static bool
on_disable(int fd, const struct json *command)
{
	if (started_late != NULL)
		inspector_say(fd, started_late);
	started_late = NULL;
	if (is_stuck) {
		is_stuck = false;
		stuck_at = json_int(json_get(command, "id"), 0);
		return true;
	}
	if (stuck_at != 0)
		reply_to(fd, stuck_at, "\"result\":{}");
	stuck_at = 0;
	return false;
}

/* As Node: it takes a command, does it, and tells that it has. */
static void
obey(int fd, const struct json *command)
{
	const char *method = json_string(json_get(command, "method"));
	const struct json *params = json_get(command, "params");
	const char *session = json_string(json_get(params, "sessionId"));
	const char *message = json_string(json_get(params, "message"));
	struct json *inner = NULL;
	char text[128];
	struct err err;

	if (strcmp(method, "NodeWorker.sendMessageToWorker") == 0) {
		reply(fd, command, "\"result\":{}");
		if (on_asked != NULL) {
			on_asked(fd, message);
			return;
		}
		assert_ok(json_parse(message, strlen(message), &inner, &err),
		    err);
		(void)snprintf(text, sizeof(text), "{\"id\":%lld,"
		    "\"result\":{}}",
		    (long long)json_int(json_get(inner, "id"), 0));
		worker_says(fd, session, text);
		json_free(&inner);
		return;
	}
	note(strchr(method, '.') + 1, session != NULL ? session : "");
	if (strcmp(method, "NodeWorker.disable") == 0 &&
	    on_disable(fd, command))
		return;
	if (strcmp(method, "NodeWorker.enable") == 0) {
		on_enable(fd, command);
		return;
	}
	if (session != NULL) {
		(void)snprintf(text, sizeof(text), "{\"method\":"
		    "\"NodeWorker.detachedFromWorker\",\"params\":{"
		    "\"sessionId\":\"%s\"}}", session);
		inspector_say(fd, text);
	}
	reply(fd, command, "\"result\":{}");
}

static void
script(struct inspector *self, int fd, int n)
{
	struct json *command = NULL;
	struct err err;

	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	while (inspector_hear(fd, heard, sizeof(heard)) == 0x81) {
		if (json_parse(heard, strlen(heard), &command, &err) != 0)
			return;
		obey(fd, command);
		json_free(&command);
	}
}

struct session {
	struct ws *ws;
	struct cdp *cdp;
	struct cdp *worker;
	struct buf got;
	char events[512];
};

static int
on_event(void *ctx, const char *method, const struct json *params,
    struct err *err)
{
	struct session *s = ctx;
	const size_t len = strlen(s->events);

	(void)params;
	(void)err;
	(void)snprintf(s->events + len, sizeof(s->events) - len, "%s ",
	    method);
	return 0;
}

static int
sink(void *ctx, const void *data, size_t len, struct err *err)
{
	struct session *s = ctx;

	return buf_add(&s->got, data, len, err);
}

static const char *const three[] = {
	ATTACHED("1", "[worker 12] pool-b"),
	ATTACHED("2", "[worker 3] \\\"q\\\"\\u0007\\u00e9"),
	ATTACHED("3", "Worker 7"), NULL,
};

static void
session_open(struct session *s, asked_fn *asked)
{
	const struct cdp_handler handler = { on_event, NULL, s };
	struct ws_address address = { .ip = "127.0.0.1" };
	struct err err;

	memset(s, 0, sizeof(*s));
	buf_init(&s->got, 16 << 20);
	on_asked = asked;
	attached = three;
	enable_reply = "\"result\":{}";
	started_late = NULL;
	is_stuck = false;
	stuck_at = 0;
	log_of_calls[0] = '\0';
	inspector_start(&in, script);
	address.port = in.port;
	assert_ok(ws_new(&s->ws, &err), err);
	assert_ok(cdp_open(s->ws, &address, "/uuid", later(), &handler,
		&s->cdp, &err), err);
}

static int
open_worker(struct session *s, const char *id, struct err *err)
{
	const struct cdp_handler handler = { on_event, NULL, s };
	const struct cdp_limit limit = { .deadline_ms = later() };

	return cdp_open_worker(s->cdp, id, &limit, &handler, &s->worker, err);
}

static void
session_close(struct session *s)
{
	cdp_close(&s->worker);
	cdp_close(&s->cdp);
	ws_free(&s->ws);
	buf_fini(&s->got);
	inspector_stop(&in);
}

static void
visit(void *ctx, const struct cdp_worker *worker)
{
	struct session *s = ctx;
	struct err err;

	assert_ok(buf_addf(&s->got, &err, "%s=%s;", worker->id, worker->title),
	    err);
}

static void
test_list(void **state)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, NULL);
	assert_ok(cdp_list_workers(s.cdp, &limit, visit, &s, &err), err);
	assert_string_equal(buf_str(&s.got),
	    "12=[worker 12] pool-b;3=[worker 3] \"q\"?\xc3\xa9;7=Worker 7;");
	assert_string_equal(log_of_calls,
	    "enable disable detach:1 detach:2 detach:3 ");
	assert_string_equal(s.events, "");
	session_close(&s);
	/* Nothing was left to be closed. */
	assert_string_equal(log_of_calls,
	    "enable disable detach:1 detach:2 detach:3 ");
}

static void
test_list_long_titles(void **state)
{
	static char one[1024];
	static const char *odd[] = { one,
	    ATTACHED("2", "worker 5"), ATTACHED("3", "[worker x] y"),
	    ATTACHED("4", "Worker 6 "), ATTACHED("5", "[worker -1]"),
	    "{\"method\":\"NodeWorker.attachedToWorker\",\"params\":{"
	    "\"sessionId\":\"6\"}}", NULL };
	const struct cdp_limit limit = { .deadline_ms = later() };
	const char *end = "\"}}}";
	struct session s;
	struct err err;
	size_t i, len;

	(void)state;
	/* Characters of two bytes, one of which ends where the room does. */
	len = (size_t)snprintf(one, sizeof(one), "{\"method\":"
	    "\"NodeWorker.attachedToWorker\",\"params\":{\"sessionId\":\"1\","
	    "\"workerInfo\":{\"title\":\"[worker 1] ");
	for (i = 0; i < 100; i++, len += 2)
		memcpy(one + len, "\xc3\xa9", 2);
	memcpy(one + len, end, strlen(end) + 1);
	session_open(&s, NULL);
	attached = odd;
	assert_ok(cdp_list_workers(s.cdp, &limit, visit, &s, &err), err);
	/* "1=", the title, ";" */
	assert_int_equal(s.got.len, 2 + CDP_WORKER_TITLE_MAX - 1 + 1);
	assert_true(strncmp(buf_str(&s.got), "1=[worker 1] \xc3\xa9", 15) == 0);
	assert_true(strcmp(buf_str(&s.got) + s.got.len - 3, "\xc3\xa9;") == 0);
	/* Who has no id is left in peace too. */
	assert_string_equal(log_of_calls, "enable disable detach:1 detach:2 "
	    "detach:3 detach:4 detach:5 detach:6 ");
	session_close(&s);
}

static void
test_unknown(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const odd[] = { "{\"method\":"
	    "\"NodeWorker.attachedToWorker\",\"params\":{\"sessionId\":"
	    "\"a\\\"b\"}}", NULL };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, NULL);
	assert_err(open_worker(&s, "1", &err), err, ERR_NOT_FOUND,
	    "no worker thread 1, or no more; it has 12, 3, 7 (");
	assert_null(s.worker);
	assert_string_equal(log_of_calls,
	    "enable disable detach:1 detach:2 detach:3 ");
	attached = none;
	assert_err(open_worker(&s, "1", &err), err, ERR_NOT_FOUND,
	    "no worker thread 1, and no other");
	attached = odd;
	assert_err(open_worker(&s, "1", &err), err, ERR_TARGET_REFUSED,
	    "a form that Node does not have");
	session_close(&s);
	/* An inspector that has no worker threads at all. */
	session_open(&s, NULL);
	enable_reply = "\"error\":{\"code\":-32601,\"message\":\"not found\"}";
	assert_err(open_worker(&s, "1", &err), err, ERR_TARGET_REFUSED,
	    "NodeWorker.enable: the inspector refused: not found");
	session_close(&s);
	/* What it had opened all the same is closed. */
	assert_non_null(strstr(log_of_calls, "detach:3"));
}

#define CHUNK "{\"method\":\"P.chunk\",\"params\":{\"chunk\":\""

static void
chunks(int fd, const char *command)
{
	const size_t len = 3 << 20;
	char *big = calloc(1, len + 100);

	assert_non_null(strstr(command, "\"id\":1,\"method\":\"P.take\",\"params\""
	    ":{\"a\":\"\\\"\"}"));
	/* Escaped once by V8, and once more by the main thread. */
	worker_says(fd, "2", CHUNK "{\\\"a\\\":\\u00e9\\\\\"}}");
	worker_says(fd, "2", "{\"method\":\"P.other\",\"params\":{}}");
	(void)strcpy(big, CHUNK);
	memset(big + strlen(CHUNK), 'x', len);
	(void)strcpy(big + strlen(CHUNK) + len, "\"}}");
	worker_says(fd, "2", big);
	free(big);
	worker_says(fd, "2", "{\"id\":1,\"result\":{\"x\":5}}");
}

static void
test_streams(void **state)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct cdp_stream stream = { "P.chunk", "chunk", sink, &s };
	struct json *got = NULL;
	struct err err;

	(void)state;
	session_open(&s, chunks);
	assert_ok(open_worker(&s, "3", &err), err);
	assert_string_equal(log_of_calls, "enable disable detach:1 detach:3 ");
	assert_ok(cdp_call(s.worker, "P.take", "{\"a\":\"\\\"\"}", &limit,
		&stream, &got, &err), err);
	assert_int_equal(json_int(json_path(got, "result", "x"), 0), 5);
	json_free(&got);
	assert_int_equal(s.got.len, 8 + (3 << 20));
	assert_memory_equal(s.got.data, "{\"a\":\xc3\xa9\\xxx", 11);
	assert_string_equal(s.events, "P.chunk P.other P.chunk ");
	assert_false(cdp_is_exiting(s.worker));
	/* The main thread's session is there as well. */
	assert_ok(cdp_call(s.cdp, "Some.method", NULL, &limit, NULL, NULL,
		&err), err);
	session_close(&s);
	assert_string_equal(log_of_calls,
	    "enable disable detach:1 detach:3 method detach:2 ");
}

static const char *lie;

static void
lies(int fd, const char *command)
{
	(void)command;
	inspector_say(fd, lie);
}

#define FROM(session, message)                                                 \
	"{\"method\":\"NodeWorker.receivedMessageFromWorker\",\"params\":{"    \
	"\"sessionId\":" session ",\"message\":" message "}}"

static void
test_lies(void **state)
{
	static const struct {
		const char *lie, *words;
	} cases[] = {
		{ FROM("\"1\"", "\"{}\""), "what no worker thread was asked" },
		{ FROM("7", "\"{}\""), "what no worker thread was asked" },
		{ FROM("\"2\"", "7"), "what no worker thread was asked" },
		{ FROM("\"2\"", "\"\""), "ends in the middle" },
		{ FROM("\"2\"", "\"{\""), "ends in the middle" },
		{ FROM("\"2\"", "\"{}\",\"message\":\"{}\""), "there twice" },
		{ FROM("\"2\"", "\"{}}\""), "something follows its end" },
		{ FROM("\"2\"", "\"nonsense\""), "ends in the middle" },
		{ FROM("\"2\"", "\"{\\\"x\\\":1}\""), "neither a reply nor" },
		{ FROM("\"2\"", "\"[\\u0001]\""), "outside of any value" },
		{ "{\"method\":\"NodeWorker.receivedMessageFromWorker\"}",
		    "what no worker thread was asked" },
	};
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		lie = cases[i].lie;
		session_open(&s, lies);
		assert_ok(open_worker(&s, "3", &err), err);
		assert_err(cdp_call(s.worker, "Some.method", NULL, &limit,
			NULL, NULL, &err), err, ERR_TARGET_REFUSED,
		    cases[i].words);
		session_close(&s);
	}
}

/* Deeper than this it is nobody's. */
static void
nests(int fd, const char *command)
{
	(void)command;
	worker_says(fd, "2", FROM("\"2\"", "\"x\""));
	worker_says(fd, "2", ATTACHED("9", "[worker 9] x"));
	worker_says(fd, "2", "{\"method\":\"NodeWorker.detachedFromWorker\","
	    "\"params\":{\"sessionId\":\"2\"}}");
	worker_says(fd, "2", "{\"id\":1,\"result\":{}}");
}

static void
test_nested_deeper(void **state)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, nests);
	assert_ok(open_worker(&s, "3", &err), err);
	assert_ok(cdp_call(s.worker, "Some.method", NULL, &limit, NULL, NULL,
		&err), err);
	session_close(&s);
	assert_string_equal(log_of_calls,
	    "enable disable detach:1 detach:3 detach:2 ");
}

static void
ends(int fd, const char *command)
{
	(void)command;
	inspector_say(fd, "{\"method\":\"NodeWorker.detachedFromWorker\","
	    "\"params\":{\"sessionId\":\"1\"}}");
	inspector_say(fd, "{\"method\":\"NodeWorker.detachedFromWorker\","
	    "\"params\":{\"sessionId\":\"2\"}}");
}

static void
test_worker_ends(void **state)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, ends);
	assert_ok(open_worker(&s, "3", &err), err);
	assert_err(cdp_call(s.worker, "Some.method", NULL, &limit, NULL, NULL,
		&err), err, ERR_TARGET_EXITED, "the worker thread has ended");
	assert_err(cdp_call(s.worker, "Some.method", NULL, &limit, NULL, NULL,
		&err), err, ERR_TARGET_EXITED, "the worker thread has ended");
	assert_err(cdp_wait(s.worker, later(), &err), err, ERR_TARGET_EXITED,
	    "the worker thread has ended");
	session_close(&s);
	assert_string_equal(log_of_calls, "enable disable detach:1 detach:3 ");
}

static void
app_exits(int fd, const char *command)
{
	(void)command;
	worker_says(fd, "2", "{\"id\":1,\"result\":{}}");
	inspector_say(fd,
	    "{\"method\":\"NodeRuntime.waitingForDisconnect\",\"params\":{}}");
}

static void
test_app_exits(void **state)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, app_exits);
	assert_ok(open_worker(&s, "3", &err), err);
	assert_ok(cdp_call(s.worker, "Some.method", NULL, &limit, NULL, NULL,
		&err), err);
	assert_ok(cdp_wait(s.worker, later(), &err), err);
	assert_true(cdp_is_exiting(s.worker));
	session_close(&s);
	assert_non_null(strstr(log_of_calls, "detach:2"));
}

static void
refuses(int fd, const char *command)
{
	(void)command;
	(void)fd;
}

static void
test_never_answers(void **state)
{
	const struct cdp_limit limit = {
		.deadline_ms = clock_mono_ms() + 200,
	};
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, refuses);
	assert_ok(open_worker(&s, "3", &err), err);
	assert_err(cdp_call(s.worker, "Some.method", NULL, &limit, NULL, NULL,
		&err), err, ERR_TARGET_TIMEOUT, "did not answer in time");
	session_close(&s);
	assert_non_null(strstr(log_of_calls, "detach:2"));
}

/* The main thread takes messages, but will not do what they say for a while. */
static void
test_leaves_one_that_is_stuck(void **state)
{
	struct cdp_limit limit = { .silence_ms = 0 };
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, NULL);
	is_stuck = true;
	started_late = ATTACHED("4", "[worker 13] late");
	/* Time for what comes before it is stuck. */
	limit.deadline_ms = clock_mono_ms() + 2000;
	assert_err(cdp_list_workers(s.cdp, &limit, visit, &s, &err), err,
	    ERR_TARGET_TIMEOUT, "NodeWorker.disable");
	session_close(&s);
	assert_string_equal(log_of_calls,
	    "enable disable disable detach:1 detach:2 detach:3 detach:4 ");
}

/* Also where it is told of only then. */
static void
test_leaves_those_that_start(void **state)
{
	const struct cdp_limit limit = {
		.deadline_ms = clock_mono_ms() + 60000,
	};
	struct session s;
	struct err err;

	(void)state;
	session_open(&s, NULL);
	enable_reply = "\"error\":{\"code\":-32000,\"message\":\"no\"}";
	started_late = ATTACHED("4", "[worker 13] late");
	assert_err(cdp_list_workers(s.cdp, &limit, visit, &s, &err), err,
	    ERR_TARGET_REFUSED, "NodeWorker.enable");
	session_close(&s);
	assert_non_null(strstr(log_of_calls, "disable "));
	assert_non_null(strstr(log_of_calls, "detach:3 "));
	assert_non_null(strstr(log_of_calls, "detach:4 "));
}

static void
test_parting(void **state)
{
	const char *const want = "{\"id\":2147483647,\"method\":"
	    "\"NodeWorker.detach\",\"params\":{\"sessionId\":\"2\"}}";
	const struct cdp_limit limit = { .deadline_ms = later() };
	unsigned char frame[WS_FRAME_MAX];
	char parting[CDP_PARTING_MAX], *line, big[WS_FRAME_TEXT_MAX + 2];
	struct session s;
	struct err err;
	size_t len;

	(void)state;
	session_open(&s, NULL);
	assert_ok(open_worker(&s, "3", &err), err);
	cdp_parting(s.cdp, parting);
	assert_string_equal(parting, want);
	/* And what the main thread was asked for; each a line. */
	assert_ok(cdp_watch_exit(s.cdp, &limit, &err), err);
	cdp_parting(s.cdp, parting);
	session_close(&s);
	line = strchr(parting, '\n');
	assert_non_null(line);
	*line++ = '\0';
	assert_string_equal(parting, want);
	assert_non_null(strstr(line, "notifyWhenWaitingForDisconnect"));
	assert_null(strchr(line, '\n'));
	assert_true(ws_frame(line, frame, &len));
	assert_true(ws_frame(parting, frame, &len));
	assert_int_equal(len, strlen(want) + 6);
	assert_int_equal(frame[0], 0x81);
	assert_int_equal(frame[1], 0x80 | strlen(want));
	assert_memory_equal(frame + 6, want, strlen(want));
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_false(ws_frame(big, frame, &len));
	assert_true(ws_frame(big + 1, frame, &len));
	assert_int_equal(len, WS_FRAME_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_long_titles),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_nested_deeper),
		cmocka_unit_test(test_worker_ends),
		cmocka_unit_test(test_app_exits),
		cmocka_unit_test(test_never_answers),
		cmocka_unit_test(test_leaves_one_that_is_stuck),
		cmocka_unit_test(test_leaves_those_that_start),
		cmocka_unit_test(test_parting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
