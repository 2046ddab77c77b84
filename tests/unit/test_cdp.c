/*
 * ws, cdp and target against a scripted inspector: every way in which the
 * other side can refuse, lie, stall or leave must end in its own error, in
 * time.
 */
#include "test.h"

#include <fcntl.h>
#include <poll.h>

#include "cdp.h"
#include "clock.h"
#include "inspector.h"
#include "target.h"

#define LIST                                                                   \
	"[{\"type\":\"page\",\"webSocketDebuggerUrl\":\"ws://x/page\"},"       \
	"{\"type\":\"node\",\"webSocketDebuggerUrl\":"                         \
	"\"ws://127.0.0.1:1/uuid\"}]"

static struct inspector in;

/* How long a stalled script keeps its connection: until the client leaves. */
static void
stall(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	(void)poll(&p, 1, 20000);
}

static int64_t
soon(void)
{
	return clock_mono_ms() + 300;
}

static int64_t
later(void)
{
	return clock_mono_ms() + 60000;
}

static const char *
inspector_name(void)
{
	static char name[64];

	(void)snprintf(name, sizeof(name), "127.0.0.1:%u", (unsigned)in.port);
	return name;
}

static void
find(const char *name, int64_t deadline_ms, int want, int want_code,
    const char *want_text, struct target *target)
{
	struct ws *ws = NULL;
	struct err err;

	assert_ok(ws_new(&ws, &err), err);
	if (want == 0)
		assert_ok(target_find(ws, name, deadline_ms, target, &err),
		    err);
	else
		assert_err(target_find(ws, name, deadline_ms, target, &err),
		    err, want_code, want_text);
	ws_free(&ws);
	assert_null(ws);
}

static void
script_list(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_answer(fd, 200, LIST);
}

static void
test_find(void **state)
{
	struct target target;
	char host[64];

	(void)state;
	inspector_start(&in, script_list);
	find(inspector_name(), later(), 0, 0, NULL, &target);
	assert_string_equal(target.path, "/uuid");
	assert_string_equal(target.address.ip, "127.0.0.1");
	assert_int_equal(target.address.port, in.port);
	/* Node refuses a Host that is a name. */
	(void)snprintf(host, sizeof(host), "ost: 127.0.0.1:%u\r\n",
	    (unsigned)in.port);
	assert_non_null(strstr(in.request, host));
	assert_non_null(strstr(in.request, "GET /json/list "));
	inspector_stop(&in);
}

static const char *list_body;
static int list_status = 200;

static void
script_list_body(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_answer(fd, list_status, list_body);
}

static void
test_find_whole_address(void **state)
{
	struct target target;
	char name[64];

	(void)state;
	/* As under --inspect-publish-uid=stderr, which answers 404. */
	list_body = "";
	list_status = 404;
	inspector_start(&in, script_list_body);
	(void)snprintf(name, sizeof(name), "ws://127.0.0.1:%u/abc",
	    (unsigned)in.port);
	find(name, later(), 0, 0, NULL, &target);
	assert_string_equal(target.path, "/abc");
	assert_int_equal(target.address.port, in.port);
	inspector_stop(&in);
	list_status = 200;
	find(name, later(), -1, ERR_TARGET_UNREACHABLE, "127.0.0.1",
	    &target);
	find("ws://[::1]:1/abc", later(), -1, ERR_TARGET_UNREACHABLE,
	    "[::1]:1", &target);
}

static void
test_find_nobody(void **state)
{
	struct target target;

	(void)state;
	inspector_start(&in, script_list);
	inspector_stop(&in);
	find(inspector_name(), later(), -1, ERR_TARGET_UNREACHABLE,
	    inspector_name(), &target);
	find(inspector_name(), later(), -1, ERR_TARGET_UNREACHABLE,
	    "--inspect=127.0.0.1:", &target);
	find("no-such-host.invalid:1", later(), -1, ERR_TARGET_UNREACHABLE,
	    "no-such-host.invalid", &target);
	find("nonsense", later(), -1, ERR_INVALID, "HOST:PORT", &target);
}

static void
test_find_nonsense(void **state)
{
	static const char *const bodies[] = {
		"", "[]", "{}", "[", "[1,null,{}]",
		"[{\"type\":\"node\"}]",
		"[{\"type\":\"node\",\"webSocketDebuggerUrl\":\"ws://x\"}]",
		"[{\"type\":\"node\",\"webSocketDebuggerUrl\":"
		"\"ws://x/a b\"}]",
		"[{\"type\":\"node\",\"webSocketDebuggerUrl\":\"http://x/a\"}]",
	};
	struct target target;
	size_t i;

	(void)state;
	inspector_start(&in, script_list_body);
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		list_body = bodies[i];
		find(inspector_name(), later(), -1, ERR_TARGET_REFUSED,
		    "does not answer as a Node inspector", &target);
	}
	list_body = LIST;
	list_status = 404;
	find(inspector_name(), later(), -1, ERR_TARGET_REFUSED,
	    "--inspect-publish-uid", &target);
	list_status = 200;
	inspector_stop(&in);
}

static void
script_garbage(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_send(fd, "SSH-2.0-OpenSSH\r\n", 17);
}

static void
script_silent(struct inspector *self, int fd, int n)
{
	(void)self;
	(void)n;
	stall(fd);
}

static void
script_half_list(struct inspector *self, int fd, int n)
{
	const char head[] = "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n[";

	(void)n;
	inspector_read_head(self, fd);
	inspector_send(fd, head, strlen(head));
}

static void
script_endless_list(struct inspector *self, int fd, int n)
{
	static char blank[65536];
	const char head[] = "HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n"
	    "\r\n";
	int i;

	(void)n;
	memset(blank, ' ', sizeof(blank));
	inspector_read_head(self, fd);
	inspector_send(fd, head, strlen(head));
	for (i = 0; i < 64; i++)
		inspector_send(fd, blank, sizeof(blank));
}

static void
test_find_trouble(void **state)
{
	struct target target;
	int64_t began_ms;

	(void)state;
	inspector_start(&in, script_garbage);
	find(inspector_name(), later(), -1, ERR_TARGET_REFUSED,
	    inspector_name(), &target);
	inspector_stop(&in);

	inspector_start(&in, script_half_list);
	find(inspector_name(), later(), -1, ERR_TARGET_REFUSED,
	    inspector_name(), &target);
	inspector_stop(&in);

	inspector_start(&in, script_endless_list);
	find(inspector_name(), later(), -1, ERR_TARGET_REFUSED, "over",
	    &target);
	inspector_stop(&in);

	inspector_start(&in, script_silent);
	began_ms = clock_mono_ms();
	find(inspector_name(), soon(), -1, ERR_TARGET_TIMEOUT, "SIGSTOP",
	    &target);
	assert_true(clock_mono_ms() - began_ms < 15000);
	inspector_stop(&in);
}

/* A session at ws://…/uuid, and what was received in it. */
struct session {
	struct ws *ws;
	struct cdp *cdp;
	struct buf got;
	int events;
	int ticks;
	char event_name[64];
};

static int
on_event(void *ctx, const char *method, const struct json *params,
    struct err *err)
{
	struct session *s = ctx;

	(void)params;
	s->events++;
	(void)snprintf(s->event_name, sizeof(s->event_name), "%s", method);
	if (strcmp(method, "Stop.now") == 0)
		return err_set(err, ERR_INTERNAL, "told to stop");
	return 0;
}

static int
on_tick(void *ctx, struct err *err)
{
	struct session *s = ctx;

	(void)err;
	s->ticks++;
	return 0;
}

static int
sink(void *ctx, const void *data, size_t len, struct err *err)
{
	struct session *s = ctx;

	return buf_add(&s->got, data, len, err);
}

static void
session_open(struct session *s, inspector_fn *script)
{
	struct cdp_handler handler = { on_event, on_tick, s };
	struct ws_address address = { .ip = "127.0.0.1" };
	struct err err;

	memset(s, 0, sizeof(*s));
	buf_init(&s->got, 8 << 20);
	inspector_start(&in, script);
	address.port = in.port;
	assert_ok(ws_new(&s->ws, &err), err);
	assert_ok(cdp_open(s->ws, &address, "/uuid", later(), &handler,
		&s->cdp, &err), err);
	assert_non_null(strstr(in.request, "GET /uuid "));
	/* Node does not negotiate it, and its frames must not need it. */
	assert_null(strcasestr(in.request, "permessage-deflate"));
}

static void
session_close(struct session *s)
{
	cdp_close(&s->cdp);
	ws_free(&s->ws);
	buf_fini(&s->got);
	inspector_stop(&in);
}

static char heard[16384];

static void
script_replies(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	if (inspector_hear(fd, heard, sizeof(heard)) < 0)
		return;
	inspector_say(fd, "{\"method\":\"Some.event\",\"params\":{}}");
	inspector_say(fd, "{\"id\":99,\"result\":{}}");
	inspector_say(fd, "{\"id\":1,\"result\":{\"x\":5}}");
	if (inspector_hear(fd, heard, sizeof(heard)) < 0)
		return;
	inspector_say(fd, "{\"id\":2,\"error\":{\"code\":-32601,\"message\":"
	    "\"'No.such' wasn't found\"}}");
	stall(fd);
}

static void
test_calls(void **state)
{
	struct session s;
	struct cdp_limit limit = { .deadline_ms = later() };
	struct json *reply = NULL;
	struct err err;

	(void)state;
	session_open(&s, script_replies);
	assert_ok(cdp_call(s.cdp, "Some.method", "{\"a\":1}", &limit, NULL,
		&reply, &err), err);
	assert_string_equal(heard,
	    "{\"id\":1,\"method\":\"Some.method\",\"params\":{\"a\":1}}");
	assert_int_equal(json_int(json_path(reply, "result", "x"), 0), 5);
	json_free(&reply);
	assert_int_equal(s.events, 1);
	assert_string_equal(s.event_name, "Some.event");
	assert_err(cdp_call(s.cdp, "No.such", NULL, &limit, NULL, &reply,
		&err), err, ERR_TARGET_REFUSED, "wasn't found");
	assert_non_null(strstr(err.msg, "No.such: "));
	assert_null(reply);
	assert_string_equal(heard, "{\"id\":2,\"method\":\"No.such\"}");
	session_close(&s);
}

/* What came for the first call is not the second one's. */
static void
test_a_call_that_was_not_finished(void **state)
{
	struct session s;
	struct cdp_limit limit = { .deadline_ms = later() };
	struct err err;

	(void)state;
	session_open(&s, script_replies);
	assert_ok(cdp_begin(s.cdp, "Some.method", NULL, NULL, &err), err);
	while (!cdp_has_reply(s.cdp))
		assert_ok(cdp_wait(s.cdp, clock_mono_ms() + 10, &err), err);
	assert_err(cdp_call(s.cdp, "No.such", NULL, &limit, NULL, NULL, &err),
	    err, ERR_TARGET_REFUSED, "wasn't found");
	session_close(&s);
}

static void
script_streams(struct inspector *self, int fd, int n)
{
	const char head[] = "{\"id\":2,\"result\":{\"profile\":[";
	size_t len = strlen(head) + 3000000 + 4;
	char *big = malloc(len);
	size_t i;

	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	(void)inspector_hear(fd, heard, sizeof(heard));
	inspector_say(fd, "{\"method\":\"P.chunk\",\"params\":{\"chunk\":"
	    "\"{\\\"a\\\":\"}}");
	inspector_say(fd, "{\"method\":\"P.other\",\"params\":{\"chunk\":"
	    "\"not this\"}}");
	inspector_say(fd, "{\"method\":\"P.chunk\",\"params\":{\"chunk\":"
	    "\"\\u00e9}\"}}");
	inspector_say(fd, "{\"id\":1,\"result\":{}}");
	(void)inspector_hear(fd, heard, sizeof(heard));
	memcpy(big, head, strlen(head));
	for (i = 0; i < 1500000; i++)
		memcpy(big + strlen(head) + 2 * i, "1,", 2);
	memcpy(big + len - 4, "1]}}", 4);
	inspector_frame(fd, 0x81, big, len);
	free(big);
	stall(fd);
}

static void
test_streams(void **state)
{
	struct session s;
	struct cdp_limit limit = { .deadline_ms = later() };
	struct cdp_stream events = { "P.chunk", "chunk", sink, &s };
	struct cdp_stream reply = { NULL, "profile", sink, &s };
	struct err err;

	(void)state;
	session_open(&s, script_streams);
	assert_ok(cdp_call(s.cdp, "P.take", NULL, &limit, &events, NULL,
		&err), err);
	assert_string_equal(buf_str(&s.got), "{\"a\":\xc3\xa9}");
	assert_int_equal(s.events, 3);
	buf_reset(&s.got);
	assert_ok(cdp_call(s.cdp, "P.stop", NULL, &limit, &reply, NULL, &err),
	    err);
	/* Three times the bound of what may be in memory. */
	assert_int_equal(s.got.len, 3000000 + 3);
	assert_int_equal(s.got.data[0], '[');
	assert_int_equal(s.got.data[s.got.len - 1], ']');
	session_close(&s);
}

/* After the upgrade and one call: send this, then stall or leave. */
static const char *said;
static size_t said_len;
static unsigned char said_opcode;
static bool leaves;

static void
script_says(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	(void)inspector_hear(fd, heard, sizeof(heard));
	inspector_frame(fd, said_opcode, said, said_len);
	if (!leaves)
		stall(fd);
}

#define SAID(text) text, sizeof(text) - 1

static void
expect_call(const char *text, size_t len, unsigned char opcode, bool leave,
    const struct cdp_limit *limit, int want_code, const char *want_text)
{
	struct session s;
	struct err err;

	said = text;
	said_len = len;
	said_opcode = opcode;
	leaves = leave;
	session_open(&s, script_says);
	assert_err(cdp_call(s.cdp, "X.y", NULL, limit, NULL, NULL, &err), err,
	    want_code, want_text);
	session_close(&s);
}

static void
test_call_trouble(void **state)
{
	static const char *const nonsense[] = {
		"not json", "[]", "{}", "{\"id\":", "{\"id\":1}}", "\"id\"",
		"{\"a\":nul}", "\xff\xfe",
	};
	static char huge[CDP_CONTROL_BYTES + 100];
	struct cdp_limit limit = { .deadline_ms = later() };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		expect_call(nonsense[i], strlen(nonsense[i]), 0x81, false,
		    &limit, ERR_TARGET_REFUSED, "X.y: ");
	memset(huge, ' ', sizeof(huge));
	memcpy(huge, "{", 1);
	expect_call(huge, sizeof(huge), 0x81, false, &limit,
	    ERR_TARGET_REFUSED, "control message of over");
	expect_call(SAID("{}"), 0x82, false, &limit, ERR_TARGET_REFUSED,
	    "binary");
	expect_call(SAID("{\"method\":\"Stop.now\"}"), 0x81, false, &limit,
	    ERR_INTERNAL, "told to stop");
	expect_call(SAID("{\"id\":1,\"error\":{\"message\":"
	    "\"Execution context was destroyed.\"}}"), 0x81, false, &limit,
	    ERR_TARGET_EXITED, "exiting");
	expect_call(SAID("{\"id\":1,\"error\":7}"), 0x81, false, &limit,
	    ERR_TARGET_REFUSED, "no reason given");
	expect_call(SAID("{\"method\":\"A.b\"}"), 0x81, true, &limit,
	    ERR_TARGET_EXITED, "connection broke");
	expect_call(SAID("\x03\xe8"), 0x88, true, &limit, ERR_TARGET_EXITED,
	    "connection broke");
}

/* A part that cannot be cut must not be left out in silence. */
static void
test_uncut_chunk(void **state)
{
	static const char *const texts[] = {
		"{\"params\":{\"chunk\":\"x\"},\"method\":\"P.chunk\"}",
		"{\"method\":\"P.chunk\",\"params\":{\"chunk\":5}}",
		"{\"method\":\"P.chunk\",\"params\":{}}",
		"{\"method\":\"P.chunk\"}",
	};
	struct cdp_limit limit = { .deadline_ms = later() };
	struct session s;
	struct cdp_stream events = { "P.chunk", "chunk", sink, &s };
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		said = texts[i];
		said_len = strlen(texts[i]);
		said_opcode = 0x81;
		leaves = false;
		session_open(&s, script_says);
		assert_err(cdp_call(s.cdp, "P.take", NULL, &limit, &events,
			NULL, &err), err, ERR_TARGET_REFUSED, "form");
		session_close(&s);
	}
}

static void
test_call_deadlines(void **state)
{
	struct cdp_limit deadline = { .deadline_ms = soon() };
	struct cdp_limit silence = { .deadline_ms = later() + 60000,
		.silence_ms = 300 };
	int64_t began_ms = clock_mono_ms();

	(void)state;
	expect_call(SAID("{\"method\":\"A.b\"}"), 0x81, false, &deadline,
	    ERR_TARGET_TIMEOUT, "in time");
	expect_call(SAID("{\"method\":\"A.b\"}"), 0x81, false, &silence,
	    ERR_TARGET_TIMEOUT, "sent nothing");
	assert_true(clock_mono_ms() - began_ms < 30000);
}

static int opcodes[8];
static int opcodes_len;

static void
script_exits(struct inspector *self, int fd, int n)
{
	int opcode;

	(void)n;
	opcodes_len = 0;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	inspector_say(fd, "{\"method\":\"NodeRuntime.waitingForDisconnect\"}");
	while ((opcode = inspector_hear(fd, heard, sizeof(heard))) >= 0 &&
	    opcodes_len < 8)
		opcodes[opcodes_len++] = opcode;
}

static void
test_wait_ends_with_the_app(void **state)
{
	struct session s;
	struct err err;
	int64_t began_ms = clock_mono_ms();

	(void)state;
	session_open(&s, script_exits);
	assert_ok(cdp_wait(s.cdp, later(), &err), err);
	assert_true(cdp_is_exiting(s.cdp));
	assert_true(clock_mono_ms() - began_ms < 30000);
	session_close(&s);
}

/* What the app was asked for, a line each; and whether we were there still when
 * it replied to the last, and how long after it had said that it exits. */
static char asked[4096];
static bool was_there;
static int64_t looked_after_ms;

/* Replies to all but A.silent; exits at A.exit, and the reply comes later. */
static void
script_replies_to_all(struct inspector *self, int fd, int n)
{
	char call[1024], reply[64], byte;
	bool is_silent = false;
	int64_t exits_ms = 0;

	(void)n;
	asked[0] = '\0';
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	while (inspector_hear(fd, call, sizeof(call)) == 0x81) {
		(void)snprintf(asked + strlen(asked),
		    sizeof(asked) - strlen(asked), "%s\n", call);
		is_silent |= strstr(call, "A.silent") != NULL;
		if (is_silent)
			continue;
		exits_ms = clock_mono_ms();
		if (strstr(call, "A.exit") != NULL)
			inspector_say(fd, "{\"method\":"
			    "\"NodeRuntime.waitingForDisconnect\"}");
		(void)poll(NULL, 0, 100);
		was_there = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
		looked_after_ms = clock_mono_ms() - exits_ms;
		(void)snprintf(reply, sizeof(reply),
		    "{\"id\":%d,\"result\":{}}", atoi(strchr(call, ':') + 1));
		inspector_say(fd, reply);
	}
}

#define WATCH "NodeRuntime.notifyWhenWaitingForDisconnect"

static void
open_watching(struct session *s)
{
	const struct cdp_limit limit = { .deadline_ms = later() };
	struct err err;

	session_open(s, script_replies_to_all);
	assert_ok(cdp_watch_exit(s->cdp, &limit, &err), err);
}

/* The last that it hears of us is that it need not tell us: then it has nothing
 * to say when we leave. */
static void
test_watches_exit(void **state)
{
	struct session s;

	(void)state;
	open_watching(&s);
	session_close(&s);
	assert_string_equal(asked,
	    "{\"id\":1,\"method\":\"" WATCH "\",\"params\":"
	    "{\"enabled\":true}}\n"
	    "{\"id\":2,\"method\":\"" WATCH "\",\"params\":"
	    "{\"enabled\":false}}\n");
	assert_true(was_there);
	session_open(&s, script_replies_to_all);
	session_close(&s);
	assert_string_equal(asked, "");
}

/* Once it has told us there is nothing to be taken back; but what is owed is
 * waited for.  Not for ever: an app that stood still itself has to try again. */
static void
test_leaves_one_that_exits(void **state)
{
	struct session s;
	struct err err;
	int attempts = 0;

	(void)state;
	do {
		assert_true(attempts++ < 10);
		open_watching(&s);
		assert_ok(cdp_begin(s.cdp, "A.exit", NULL, NULL, &err), err);
		assert_ok(cdp_wait(s.cdp, later(), &err), err);
		assert_true(cdp_is_exiting(s.cdp));
		session_close(&s);
		assert_null(strstr(asked, "false"));
	} while (!was_there && looked_after_ms >= CDP_LINGER_EXITING_MS);
	assert_true(was_there);
}

/* An exit is not held up by what is never answered, whatever else is said. */
static void
script_exits_and_chats(struct inspector *self, int fd, int n)
{
	char call[1024];

	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	(void)inspector_hear(fd, call, sizeof(call));
	inspector_say(fd, "{\"method\":\"NodeRuntime.waitingForDisconnect\"}");
	while (recv(fd, call, sizeof(call), MSG_DONTWAIT) < 0) {
		inspector_say(fd, "{\"method\":\"A.chat\"}");
		(void)poll(NULL, 0, 10);
	}
}

static void
test_holds_up_no_exit(void **state)
{
	struct session s;
	struct err err;
	int64_t began_ms;

	(void)state;
	session_open(&s, script_exits_and_chats);
	assert_ok(cdp_begin(s.cdp, "A.silent", NULL, NULL, &err), err);
	assert_ok(cdp_wait(s.cdp, later(), &err), err);
	assert_true(cdp_is_exiting(s.cdp));
	began_ms = clock_mono_ms();
	session_close(&s);
	/* Else it would be minutes. */
	assert_true(clock_mono_ms() - began_ms < 30000);
}

static void
test_leaves_one_that_is_silent(void **state)
{
	struct cdp_limit limit = { .silence_ms = 0 };
	struct session s;
	struct err err;

	(void)state;
	open_watching(&s);
	limit.deadline_ms = soon();
	assert_err(cdp_call(s.cdp, "A.silent", NULL, &limit, NULL, NULL,
		&err), err, ERR_TARGET_TIMEOUT, "in time");
	session_close(&s);
	assert_non_null(strstr(asked, "false"));
}

/* What is left to say for who holds the connection when we are killed. */
static void
test_parting(void **state)
{
	char parting[CDP_PARTING_MAX];
	unsigned char frame[WS_FRAME_MAX];
	struct session s;
	size_t len;

	(void)state;
	session_open(&s, script_replies_to_all);
	cdp_parting(s.cdp, parting);
	session_close(&s);
	assert_string_equal(parting, "");
	open_watching(&s);
	cdp_parting(s.cdp, parting);
	session_close(&s);
	assert_string_equal(parting, "{\"id\":2147483647,\"method\":\"" WATCH
	    "\",\"params\":{\"enabled\":false}}");
	assert_true(ws_frame(parting, frame, &len));
}

static void
script_waits(struct inspector *self, int fd, int n)
{
	(void)n;
	opcodes_len = 0;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	for (;;) {
		int opcode = inspector_hear(fd, heard, sizeof(heard));

		if (opcode < 0 || opcodes_len == 8)
			return;
		opcodes[opcodes_len++] = opcode;
	}
}

static void
test_wait_ticks_and_sends_nothing(void **state)
{
	const int64_t began_ms = clock_mono_ms(), end_ms = later();
	struct session s;
	struct err err;
	int i;

	(void)state;
	session_open(&s, script_waits);
	assert_ok(cdp_wait(s.cdp, clock_mono_ms() + 4 * CDP_TICK_MS, &err),
	    err);
	/* Where we stood still one came for several. */
	while (s.ticks < 3 && clock_mono_ms() < end_ms)
		assert_ok(cdp_wait(s.cdp, clock_mono_ms() + CDP_TICK_MS, &err),
		    err);
	assert_true(s.ticks >= 3);
	assert_true((s.ticks - 1) * CDP_TICK_MS <= clock_mono_ms() - began_ms);
	session_close(&s);
	/* A ping or pong (0x89, 0x8a) would end a session with Node. */
	for (i = 0; i < opcodes_len; i++)
		assert_int_equal(opcodes[i], 0x88);
}

static void
script_tells(struct inspector *self, int fd, int n)
{
	(void)n;
	inspector_read_head(self, fd);
	inspector_upgrade(self, fd);
	(void)inspector_hear(fd, heard, sizeof(heard));
	inspector_frame(fd, 0x81, said, said_len);
	stall(fd);
}

/* What is said of itself by an app whose function returned this JSON, with '
 * for ". */
static int
ask(const char *answer, bool is_reset, struct target_facts *facts,
    struct err *err)
{
	struct session s;
	struct cdp_limit limit = { .deadline_ms = later() };
	char text[2048];
	size_t len;
	int ret;

	(void)snprintf(text, sizeof(text), "{\"id\":1,\"result\":{\"result\":"
	    "{\"type\":\"string\",\"value\":\"");
	for (len = strlen(text); *answer != '\0'; answer++) {
		if (*answer == '\'')
			text[len++] = '\\';
		text[len++] = *answer == '\'' ? '"' : *answer;
	}
	(void)snprintf(text + len, sizeof(text) - len, "\"}}}");
	said = text;
	said_len = strlen(text);
	session_open(&s, script_tells);
	ret = target_ask(s.cdp, &limit, is_reset, facts, err);
	session_close(&s);
	return ret;
}

static void
assert_unknown(const struct target_facts *facts)
{
	assert_int_equal(facts->pid, -1);
	assert_string_equal(facts->node, "");
	assert_string_equal(facts->arch, "");
	assert_false(facts->is_addons_off);
	assert_int_equal(facts->rss_bytes, -1);
	assert_int_equal(facts->rss_peak_bytes, -1);
	assert_int_equal(facts->heap_used_bytes, -1);
	assert_int_equal(facts->heap_large_bytes, -1);
	assert_int_equal(facts->heap_young_bytes, -1);
	assert_int_equal(facts->limit_bytes, -1);
	assert_int_equal(facts->available_bytes, -1);
}

static void
test_ask(void **state)
{
	struct target_facts facts;
	struct err err;

	(void)state;
	assert_ok(ask("{'groups':[[3000,900,200],[2500,2400,2300]],'pid':7,"
		"'pid':8,'node':'v20.20.2','arch':'x64','addonsOff':1,"
		"'rss':1000,'rssPeak':1100,'heapUsed':500,'heapLarge':100,"
		"'heapYoung':50,'memAvailable':9000,'constrained':1,"
		"'available':2}", true, &facts, &err), err);
	assert_int_equal(facts.pid, 7);
	assert_string_equal(facts.node, "v20.20.2");
	assert_string_equal(facts.arch, "x64");
	assert_true(facts.is_addons_off);
	assert_int_equal(facts.rss_bytes, 1000);
	assert_int_equal(facts.rss_peak_bytes, 1100);
	assert_int_equal(facts.heap_used_bytes, 500);
	assert_int_equal(facts.heap_large_bytes, 100);
	assert_int_equal(facts.heap_young_bytes, 50);
	/* The smallest limit, and the least that is left: of two groups. */
	assert_int_equal(facts.limit_bytes, 2500);
	assert_int_equal(facts.available_bytes, 2300);
	/* It was asked for no more than to look, and to begin a new peak. */
	assert_non_null(strstr(heard, "\"includeCommandLineAPI\":true"));
	assert_non_null(strstr(heard, "(\\\"reset\\\")\""));
	assert_ok(ask("{}", false, &facts, &err), err);
	assert_non_null(strstr(heard, "(\\\"\\\")\""));
	assert_unknown(&facts);
}

/* What of an app's memory is said to be free. */
static void
check_memory(const char *answer, int64_t limit_bytes, int64_t available_bytes)
{
	struct target_facts facts;
	struct err err;

	assert_ok(ask(answer, false, &facts, &err), err);
	assert_int_equal(facts.limit_bytes, limit_bytes);
	assert_int_equal(facts.available_bytes, available_bytes);
}

static void
test_ask_memory(void **state)
{
	(void)state;
	/* The machine has less than the group allows; or nobody limits it. */
	check_memory("{'groups':[[3000,900,0]],'memAvailable':70}", 3000, 70);
	check_memory("{'groups':[],'memAvailable':70,'available':90}", -1,
	    70);
	/* A group over its limit; with more cached than used. */
	check_memory("{'groups':[[100,150,20]]}", 100, 0);
	check_memory("{'groups':[[100,50,90]]}", 100, 100);
	/* What a group uses is not to be seen. */
	check_memory("{'groups':[[100,-1,0]],'rss':30}", 100, 70);
	check_memory("{'groups':[[100,-1,0]],'rss':130}", 100, 0);
	check_memory("{'groups':[[100]],'available':60,'rss':30}", 100, 60);
	/* No group is to be seen: Node's own view. */
	check_memory("{'constrained':100,'available':60}", 100, 60);
	check_memory("{'constrained':100,'rss':30,'memAvailable':90}", 100,
	    70);
	check_memory("{'constrained':0,'memAvailable':90}", -1, 90);
	check_memory("{'available':60}", -1, 60);
	/* "No limit", in the words of cgroup v1, v2 and libuv. */
	check_memory("{'groups':[[9223372036854771712,900,0]],"
	    "'constrained':18446744073709552000,'memAvailable':90}", -1, 90);
	check_memory("{'groups':[[-1,900,0]],'constrained':1e19,"
	    "'memAvailable':90}", -1, 90);
}

/* An app may lie. */
static void
test_ask_nonsense(void **state)
{
	struct target_facts facts;
	struct err err;

	(void)state;
	assert_ok(ask("{'groups':{'a':[1,2,3]},'pid':-7,'node':'a b',"
		"'arch':7,'addonsOff':'1','rss':1e300,'rssPeak':-1,"
		"'heapUsed':'500','heapLarge':[],'heapYoung':null,"
		"'memAvailable':9007199254740993}", true, &facts, &err), err);
	assert_unknown(&facts);
	assert_ok(ask("{'groups':[7,null,[],['1','2','3'],[[1],[2],[3]],"
		"{'a':50,'b':10}],'pid':2147483648,"
		"'node':'v20.0.0-0123456789012345678901234567890',"
		"'arch':'0123456789abcdef','heapUsed':500,"
		"'heapLarge':501}", false, &facts, &err), err);
	assert_int_equal(facts.heap_used_bytes, 500);
	facts.heap_used_bytes = -1;
	assert_unknown(&facts);
	assert_err(ask("x", false, &facts, &err), err, ERR_TARGET_REFUSED,
	    "not JSON");
	assert_err(ask("[]", false, &facts, &err), err, ERR_TARGET_REFUSED,
	    "no object");
	assert_err(ask("", false, &facts, &err), err, ERR_TARGET_REFUSED,
	    "not JSON");
}

static void
test_ask_in_vain(void **state)
{
	static const char *const replies[] = {
		"{\"id\":1,\"result\":{\"exceptionDetails\":{}}}",
		"{\"id\":1,\"result\":{\"result\":{\"value\":7}}}",
		"{\"id\":1,\"result\":{}}",
	};
	struct cdp_limit limit = { .deadline_ms = later() };
	struct target_facts facts;
	struct session s;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		said = replies[i];
		said_len = strlen(said);
		session_open(&s, script_tells);
		assert_err(target_ask(s.cdp, &limit, false, &facts, &err), err,
		    ERR_TARGET_REFUSED, "what the app tells about itself: ");
		session_close(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_whole_address),
		cmocka_unit_test(test_find_nobody),
		cmocka_unit_test(test_find_nonsense),
		cmocka_unit_test(test_find_trouble),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_a_call_that_was_not_finished),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_call_trouble),
		cmocka_unit_test(test_uncut_chunk),
		cmocka_unit_test(test_call_deadlines),
		cmocka_unit_test(test_wait_ends_with_the_app),
		cmocka_unit_test(test_watches_exit),
		cmocka_unit_test(test_leaves_one_that_exits),
		cmocka_unit_test(test_holds_up_no_exit),
		cmocka_unit_test(test_leaves_one_that_is_silent),
		cmocka_unit_test(test_parting),
		cmocka_unit_test(test_wait_ticks_and_sends_nothing),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_memory),
		cmocka_unit_test(test_ask_nonsense),
		cmocka_unit_test(test_ask_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
