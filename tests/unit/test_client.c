/* Requests over HTTP to a server that answers as it should, and as it should
 * not. */
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "test.h"
#include "inspector.h"

#include "client.h"
#include "clock.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define OK_JSON OK_HEAD "Content-Type: application/json\r\n"

/* What the server does on each connection. */
enum manner {
	ANSWERS,	/* text, and closes */
	WAITS,		/* says text, and does act() until the client goes */
	FLOODS,		/* says text, and then header lines for ever */
	POURS,		/* says text, and then zeros for ever */
};
static struct {
	enum manner manner;
	const char *text;
	size_t len;
	void (*act)(void);
	char body[256];		/* of the last request */
} server;

static struct fixture {
	struct inspector in;
	char base[128];
	struct client *client;
	struct client_reply reply;
	struct err err;
} f;

/* What moves the clock, and what sets the flag of the signal handler. */
static int64_t clock_offset_ms;
static volatile sig_atomic_t stop;

/* Calls that fail: the fail_at-th from now on, where it is above 0. */
static int fail_at;

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);
void *__wrap_realloc(void *at, size_t size);
void *__real_realloc(void *at, size_t size);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list,
    const char *line);
struct curl_slist *__real_curl_slist_append(struct curl_slist *list,
    const char *line);
CURL *__wrap_curl_easy_init(void);
CURL *__real_curl_easy_init(void);
CURLM *__wrap_curl_multi_init(void);
CURLM *__real_curl_multi_init(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() +
	    __atomic_load_n(&clock_offset_ms, __ATOMIC_SEQ_CST);
}

static bool
fails(void)
{
	return fail_at > 0 && --fail_at == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_realloc(void *at, size_t size)
{
	return fails() ? NULL : __real_realloc(at, size);
}

struct curl_slist *
__wrap_curl_slist_append(struct curl_slist *list, const char *line)
{
	return fails() ? NULL : __real_curl_slist_append(list, line);
}

CURL *
__wrap_curl_easy_init(void)
{
	return fails() ? NULL : __real_curl_easy_init();
}

CURLM *
__wrap_curl_multi_init(void)
{
	return fails() ? NULL : __real_curl_multi_init();
}

/* The body, where the head says that there is one. */
static void
read_body(int fd)
{
	const char *at = strcasestr(f.in.request, "Content-Length: ");
	size_t len = at != NULL ? (size_t)atoi(at + 16) : 0;

	server.body[0] = '\0';
	if (len > 0 && len < sizeof(server.body) &&
	    inspector_read(fd, server.body, len))
		server.body[len] = '\0';
}

static void
serve(struct inspector *in, int fd, int n)
{
	static const char zeros[65536], line[] = "X-More: and more\r\n";
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int i;

	(void)n;
	inspector_read_head(in, fd);
	read_body(fd);
	inspector_send(fd, server.text, server.len);
	if (server.manner == WAITS)
		do
			server.act();
		while (poll(&pfd, 1, 10) == 0);
	/* More than is ever taken: the client goes before. */
	for (i = 0; server.manner == FLOODS && i < 100000; i++)
		inspector_send(fd, line, sizeof(line) - 1);
	for (i = 0; server.manner == POURS && i < 1000; i++)
		inspector_send(fd, zeros, sizeof(zeros));
}

static void
answer_with(enum manner manner, const char *text)
{
	server.manner = manner;
	server.text = text;
	server.len = strlen(text);
	server.act = NULL;
}

static void
open_server(void)
{
	inspector_start(&f.in, serve);
	(void)snprintf(f.base, sizeof(f.base),
	    "http://127.0.0.1:%u/pre/shop/private/papi", (unsigned)f.in.port);
	assert_ok(client_open_url(f.base, NULL, "podprof_secret", &f.client,
	    &f.err), f.err);
}

/* It does nothing more then. */
static void
close_server(void)
{
	client_close(&f.client);
	assert_null(f.client);
	client_close(&f.client);
	inspector_stop(&f.in);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	clock_offset_ms = 0;
	stop = 0;
	fail_at = 0;
	answer_with(ANSWERS, OK_JSON "\r\n{}");
	open_server();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	client_reply_fini(&f.reply);
	close_server();
	return 0;
}

static int
ask(const struct client_request *request)
{
	client_reply_fini(&f.reply);
	memset(&f.reply, 0, sizeof(f.reply));
	return client_call(f.client, request, &f.reply, &f.err);
}

static int
get(const char *path)
{
	const struct client_request request = {.method = "GET", .path = path};

	return ask(&request);
}

static void
expect_sent(const char *text)
{
	if (strcasestr(f.in.request, text) == NULL)
		fail_msg("no \"%s\" in %s", text, f.in.request);
}

static void
test_bases(void **state)
{
	static const struct {
		const char *base, *app, *where;
		bool is_exposed;
	} good[] = {
		{"http://h/shop/private/papi", NULL,
		    "http://h/shop/private/papi", true},
		{"https://h/shop/private/papi/", "shop",
		    "https://h/shop/private/papi", false},
		{"HTTP://h:8080/a/b/shop/private/papi", NULL,
		    "HTTP://h:8080/a/b/shop/private/papi", true},
		{"http://h", "shop", "http://h/shop/private/papi", true},
		{"http://h/", "shop", "http://h/shop/private/papi", true},
		{"http://h/pre/", "s.h-o_p",
		    "http://h/pre/s.h-o_p/private/papi", true},
		{"http://127.1.2.3:1", "s",
		    "http://127.1.2.3:1/s/private/papi", false},
		{"http://[::1]:65535", "s", "http://[::1]:65535/s/private/papi",
		    false},
		{"http://LocalHost", "s", "http://LocalHost/s/private/papi",
		    false},
		{"http://[2001:db8::1]", "s",
		    "http://[2001:db8::1]/s/private/papi", true},
		{"http://127.0.0.1.example", "s",
		    "http://127.0.0.1.example/s/private/papi", true},
	};
	struct client *client = NULL;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_ok(client_open_url(good[i].base, good[i].app, "t",
		    &client, &err), err);
		assert_string_equal(client_where(client), good[i].where);
		assert_int_equal(
		    client_is_exposed(client), good[i].is_exposed);
		assert_false(client_is_local(client));
		client_close(&client);
		/* Without a token there is nothing to be read. */
		assert_ok(client_open_url(good[i].base, good[i].app, "",
		    &client, &err), err);
		assert_false(client_is_exposed(client));
		client_close(&client);
	}
}

static void
test_bad_bases(void **state)
{
	static const struct {
		const char *base, *app, *text;
	} bad[] = {
		{"", NULL, "begins with https://"},
		{"h/shop/private/papi", NULL, "begins with https://"},
		{"ftp://h/shop/private/papi", NULL, "begins with https://"},
		{"file:///etc/passwd", NULL, "begins with https://"},
		{"http:///shop/private/papi", NULL, "host is missing"},
		{"http://:80/shop/private/papi", NULL, "host is missing"},
		{"http://u:p@h/shop/private/papi", NULL, "PODPROF_TOKEN"},
		{"http://h/shop/private/papi?x=1", NULL, "no query"},
		{"http://h/shop/private/papi#x", NULL, "no query"},
		{"http://h/a\\b", "s", "no query"},
		{"http://h:0/a", "s", "port"},
		{"http://h:65536/a", "s", "port"},
		{"http://h:x/a", "s", "port"},
		{"http://h:1x/a", "s", "after the host"},
		{"http://[::1/a", "s", "\"]\""},
		{"http://h/a//b", "s", "empty part"},
		{"http://h/a/../b", "s", "empty part"},
		{"http://h /a", "s", "without a blank"},
		{"http://h/\xc3\xa4", "s", "without a blank"},
		{"http://h", NULL, "--app"},
		{"http://h/private/papi", NULL, "--app"},
		{"http://h/sh%20op/private/papi", NULL, "--app"},
		{"http://h/shop/private/papi", "blog", "leave one"},
		{"http://h", "sh/op", "is no app"},
		{"http://h", "", "is no app"},
	};
	struct client *client = NULL;
	char lengthy[3000];
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_err(client_open_url(bad[i].base, bad[i].app, "t",
		    &client, &err), err, ERR_INVALID, bad[i].text);
		assert_null(client);
	}
	memset(lengthy, 'a', sizeof(lengthy));
	memcpy(lengthy, "http://", 7);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_err(client_open_url(lengthy, "s", NULL, &client, &err), err,
	    ERR_INVALID, "at most");
	lengthy[400] = '\0';
	assert_err(client_open_url(lengthy, "s", NULL, &client, &err), err,
	    ERR_INVALID, "host");
	assert_err(client_open_url("http://h", "s", "a b", &client, &err),
	    err, ERR_INVALID, "PODPROF_TOKEN");
	assert_err(client_open_url("http://h", "s", "a\r\nX: y", &client,
	    &err), err, ERR_INVALID, "PODPROF_TOKEN");
	lengthy[400] = 'a';
	assert_err(client_open_url("http://h", "s", lengthy, &client, &err),
	    err, ERR_INVALID, "PODPROF_TOKEN");
	assert_null(client);
}

static void
test_request(void **state)
{
	const struct client_request request = {
		.method = "POST", .path = "jobs?x=1", .body = "{\"a\":1}",
		.wait_s = 7, .first_byte = 5, .etag = "\"tag\"", .key = "k1"};
	struct client_request plain = {.method = "DELETE", .path = "jobs/1"};

	(void)state;
	assert_ok(ask(&request), f.err);
	expect_sent("POST /pre/shop/private/papi/jobs?x=1 HTTP/1.1\r\n");
	expect_sent("\r\nAuthorization: Bearer podprof_secret\r\n");
	expect_sent("\r\nUser-Agent: podprof/");
	expect_sent("\r\nAccept-Encoding: identity\r\n");
	expect_sent("\r\nAccept: application/json");
	expect_sent("\r\nContent-Type: application/json\r\n");
	expect_sent("\r\nIdempotency-Key: k1\r\n");
	expect_sent("\r\nPrefer: wait=7\r\n");
	expect_sent("\r\nRange: bytes=5-\r\n");
	expect_sent("\r\nIf-Range: \"tag\"\r\n");
	assert_string_equal(server.body, "{\"a\":1}");
	/* Nothing of it is left in the next. */
	assert_ok(ask(&plain), f.err);
	expect_sent("DELETE /pre/shop/private/papi/jobs/1 HTTP/1.1\r\n");
	assert_null(strcasestr(f.in.request, "\r\nRange"));
	assert_null(strcasestr(f.in.request, "\r\nPrefer"));
	assert_null(strcasestr(f.in.request, "\r\nContent-"));
	plain.method = "POST";
	assert_ok(ask(&plain), f.err);
	expect_sent("\r\nContent-Length: 0\r\n");
	plain.method = "HEAD";
	answer_with(ANSWERS, OK_HEAD "Content-Length: 50\r\n\r\n");
	assert_ok(ask(&plain), f.err);
	expect_sent("HEAD /pre/");
	assert_int_equal(f.reply.length, 50);
	assert_int_equal(f.reply.body.len, 0);
}

static void
test_bad_requests(void **state)
{
	static const char *const paths[] = {"", "/x", "a b", "a\r\nX: y",
		"jobs/../x", "a#b"};
	struct client_request request = {.method = "GET", .path = "jobs"};
	char lengthy[3000];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_err(get(paths[i]), f.err, ERR_INVALID, "address");
	memset(lengthy, 'a', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_err(get(lengthy), f.err, ERR_INVALID, "address");
	request.key = "a\r\nb";
	assert_err(ask(&request), f.err, ERR_INVALID, "key");
	request.key = lengthy;
	assert_err(ask(&request), f.err, ERR_INVALID, "Idempotency-Key");
	assert_int_equal(f.in.connections, 0);
}

static void
test_reply(void **state)
{
	const struct client_request part = {
		.method = "GET", .path = "x", .first_byte = 5};

	(void)state;
	answer_with(ANSWERS,
	    "HTTP/1.1 103 Early Hints\r\nETag: \"no\"\r\n\r\n"
	    "HTTP/1.1 202 Accepted\r\nconnection: close\r\n"
	    "content-type:application/json; charset=utf-8\r\n"
	    "Location:  /shop/x \t\r\nRetry-After: 3\r\nETag: \"e\"\r\n"
	    "Repr-Digest: md5=:x:, sha-256=:YWJj:\r\n"
	    "Content-Length: 2\r\n\r\n{}");
	assert_ok(get("x"), f.err);
	assert_int_equal(f.reply.status, 202);
	assert_string_equal(f.reply.type, "application/json");
	assert_string_equal(f.reply.location, "/shop/x");
	assert_int_equal(f.reply.retry_after_s, 3);
	assert_string_equal(f.reply.etag, "\"e\"");
	assert_string_equal(f.reply.digest, "YWJj");
	assert_int_equal(f.reply.length, 2);
	assert_int_equal(f.reply.first_byte, -1);
	assert_string_equal(buf_str(&f.reply.body), "{}");
	answer_with(ANSWERS, "HTTP/1.1 206 X\r\nConnection: close\r\n"
	    "Content-Range: bytes 5-6/7\r\nContent-Length: 2\r\n\r\nab");
	assert_ok(ask(&part), f.err);
	assert_int_equal(f.reply.first_byte, 5);
	answer_with(ANSWERS, "HTTP/1.1 416 X\r\nConnection: close\r\n"
	    "Content-Range: bytes */7\r\nContent-Length: 0\r\n\r\n");
	assert_ok(ask(&part), f.err);
	assert_int_equal(f.reply.status, 416);
	assert_int_equal(f.reply.first_byte, -1);
	/* What means nothing is left out, and so is what is too long. */
	answer_with(ANSWERS, OK_HEAD "Retry-After: soon\r\n"
	    "Content-Range: bytes 5-6/6\r\nRepr-Digest: sha-256=:YWJj\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
	    "ETag: \"trailer\"\r\n\r\n");
	assert_ok(get("x"), f.err);
	assert_int_equal(f.reply.retry_after_s, 0);
	assert_int_equal(f.reply.first_byte, -1);
	assert_string_equal(f.reply.digest, "");
	assert_string_equal(f.reply.etag, "");
	assert_int_equal(f.reply.length, -1);
	assert_string_equal(buf_str(&f.reply.body), "ab");
}

static void
test_bad_replies(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *want;
	} bad[] = {
		{"", ERR_INTERRUPTED, "was cut"},
		{"HTTP/1.1 200 OK\r\nContent-Le", ERR_INTERRUPTED, "was cut"},
		{OK_HEAD "Content-Length: 5\r\n\r\nabc", ERR_INTERRUPTED,
		    "was cut"},
		{OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		    ERR_INTERRUPTED, "was cut"},
		{"SSH-2.0-OpenSSH_9.2\r\n", ERR_TARGET_REFUSED, "speak HTTP"},
		{"HTTP/1.1 999 X\r\n\r\n", ERR_TARGET_REFUSED, "status"},
		{OK_HEAD "Content-Encoding: gzip\r\n\r\nx",
		    ERR_TARGET_REFUSED, "compressed"},
		{OK_HEAD "X: \x01\r\n\r\nx", ERR_TARGET_REFUSED,
		    "control byte"},
		{OK_HEAD "no header\r\n\r\nx", ERR_TARGET_REFUSED,
		    "speak HTTP"},
		{"HTTP/1.1 302 X\r\nConnection: close\r\n"
		    "Location: https://other/\r\n\r\n", ERR_TARGET_REFUSED,
		    "redirects (302) to https://other/"},
		{"HTTP/1.1 304 X\r\nConnection: close\r\n\r\n",
		    ERR_TARGET_REFUSED, "where to"},
		{"HTTP/1.1 206 X\r\nConnection: close\r\n"
		    "Content-Range: bytes 0-1/2\r\n\r\nab",
		    ERR_TARGET_REFUSED, "another part"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		answer_with(ANSWERS, bad[i].text);
		assert_err(get("x"), f.err, bad[i].code, bad[i].want);
	}
	/* It was not followed: nobody but us was asked. */
	assert_int_equal(f.in.connections, sizeof(bad) / sizeof(bad[0]));
}

static void
test_bounds(void **state)
{
	(void)state;
	answer_with(FLOODS, OK_HEAD);
	assert_err(get("x"), f.err, ERR_TOO_LARGE, "head of the answer");
	answer_with(POURS, OK_HEAD "\r\n");
	assert_err(get("x"), f.err, ERR_TOO_LARGE, "the answer of http://");
}

struct taken {
	int heads, pieces;
	size_t bytes;
	int status;
	bool refuses_head, refuses_piece;
};

static client_head_fn take_head;
static int
take_head(void *ctx, const struct client_reply *reply, struct err *err)
{
	struct taken *taken = ctx;

	assert_int_equal(taken->pieces, 0);
	assert_int_equal(reply->body.len, 0);
	taken->heads++;
	taken->status = reply->status;
	return taken->refuses_head ? err_set(err, ERR_STORE, "no head") : 0;
}

static client_sink_fn take_piece;
static int
take_piece(void *ctx, const void *data, size_t len, struct err *err)
{
	struct taken *taken = ctx;

	assert_int_equal(taken->heads, 1);
	assert_non_null(data);
	taken->pieces++;
	taken->bytes += len;
	return taken->refuses_piece ? err_set(err, ERR_SPACE, "full") : 0;
}

static void
test_sink(void **state)
{
	struct taken taken = {0};
	const struct client_request request = {.method = "GET", .path = "x",
		.on_head = take_head, .sink = take_piece, .ctx = &taken};

	(void)state;
	answer_with(ANSWERS, OK_HEAD "Content-Length: 5\r\n\r\nabcde");
	assert_ok(ask(&request), f.err);
	assert_int_equal(taken.bytes, 5);
	assert_int_equal(f.reply.body.len, 0);
	/* What is no success is for us to read. */
	memset(&taken, 0, sizeof(taken));
	answer_with(ANSWERS, "HTTP/1.1 404 X\r\nConnection: close\r\n"
	    "Content-Length: 3\r\n\r\nabc");
	assert_ok(ask(&request), f.err);
	assert_int_equal(taken.status, 404);
	assert_int_equal(taken.bytes, 0);
	assert_string_equal(buf_str(&f.reply.body), "abc");
	/* Cut: what came was given. */
	memset(&taken, 0, sizeof(taken));
	answer_with(ANSWERS, OK_HEAD "Content-Length: 9\r\n\r\nabcde");
	assert_err(ask(&request), f.err, ERR_INTERRUPTED, "cut");
	assert_int_equal(taken.bytes, 5);
	memset(&taken, 0, sizeof(taken));
	taken.refuses_piece = true;
	assert_err(ask(&request), f.err, ERR_SPACE, "full");
	assert_int_equal(taken.pieces, 1);
	memset(&taken, 0, sizeof(taken));
	taken.refuses_head = true;
	assert_err(ask(&request), f.err, ERR_STORE, "no head");
	assert_int_equal(taken.pieces, 0);
}

/* A status line's answer with that type and body. */
static void
answer_status(const char *status, const char *type, const char *body)
{
	static char text[1024];

	(void)snprintf(text, sizeof(text), "HTTP/1.1 %s X\r\nConnection: "
	    "close\r\nContent-Type: %s\r\n\r\n%s", status, type, body);
	answer_with(ANSWERS, text);
}

static void
expect_refusal(enum err_code code, const char *text)
{
	struct json *json = NULL;

	assert_err(client_get(f.client, "x", &json, &f.err), f.err, code,
	    text);
	assert_null(json);
}

#define PROBLEM "application/problem+json"

static void
test_refusals(void **state)
{
	struct json *json = NULL;

	(void)state;
	answer_status("409", PROBLEM, "{\"type\":\"urn:podprof:error:limit\","
	    "\"detail\":\"too much\"}");
	expect_refusal(ERR_LIMIT, "too much");
	answer_status("409", PROBLEM, "{\"type\":\"urn:podprof:error:novel\","
	    "\"detail\":\"busy\"}");
	expect_refusal(ERR_CONFLICT, "busy");
	answer_status("410", PROBLEM, "{\"detail\":\"it was removed\"}");
	expect_refusal(ERR_GONE, "it was removed");
	answer_status("401", PROBLEM, "{\"detail\":\"no token\"}");
	expect_refusal(ERR_UNAUTHENTICATED, "no token (it was sent from "
	    "PODPROF_TOKEN)");
	answer_status("403", PROBLEM, "{\"detail\":\"no\"}");
	expect_refusal(ERR_FORBIDDEN, "no");
	assert_null(strstr(f.err.msg, "PODPROF_TOKEN"));
	/* Of somebody else. */
	answer_status("404", "text/html", "<h1>nginx</h1>");
	expect_refusal(ERR_NOT_FOUND, "not as podprof does");
	answer_status("404", PROBLEM, "{\"detail\":\"");
	expect_refusal(ERR_NOT_FOUND, "not as podprof does");
	answer_status("502", "text/html", "");
	expect_refusal(ERR_TARGET_REFUSED, "cannot reach podprof");
	answer_status("418", "text/plain", "tea");
	expect_refusal(ERR_INVALID, "418");
	answer_status("599", "text/plain", "");
	expect_refusal(ERR_INTERNAL, "599");
	answer_status("200", "text/html", "<h1>log in</h1>");
	expect_refusal(ERR_TARGET_REFUSED, "no podprof");
	answer_status("200", "application/json", "[1]");
	expect_refusal(ERR_TARGET_REFUSED, "no podprof");
	answer_status("200", "application/json", "{\"a\":\"b\"}");
	assert_ok(client_get(f.client, "x", &json, &f.err), f.err);
	assert_string_equal(json_string(json_get(json, "a")), "b");
	json_free(&json);
}

/* Who has set no variable is not told of a header, nor that it was sent. */
static void
test_refusals_without_a_token(void **state)
{
	struct client *with = f.client;

	(void)state;
	f.client = NULL;
	assert_ok(client_open_url(f.base, NULL, "", &f.client, &f.err),
	    f.err);
	answer_status("401", PROBLEM, "{\"detail\":\"send Authorization\"}");
	expect_refusal(ERR_UNAUTHENTICATED, "PODPROF_TOKEN is not set");
	assert_null(strstr(f.err.msg, "Authorization"));
	answer_status("403", PROBLEM, "{\"detail\":\"viewer\"}");
	expect_refusal(ERR_FORBIDDEN, "viewer (PODPROF_TOKEN is not set)");
	client_close(&f.client);
	f.client = with;
}

static void
stop_client(void)
{
	stop = 1;
}

static void
stand_still(void)
{
	(void)__atomic_add_fetch(&clock_offset_ms,
	    CLIENT_SILENCE_MS + 9 * 1000 + 1, __ATOMIC_SEQ_CST);
}

static void
test_stop(void **state)
{
	(void)state;
	client_set_stop(f.client, &stop);
	assert_false(client_is_stopped(f.client));
	answer_with(WAITS, OK_HEAD "Content-Length: 5\r\n\r\nab");
	server.act = stop_client;
	assert_err(get("x"), f.err, ERR_INTERRUPTED, "stopped");
	assert_true(client_is_stopped(f.client));
	assert_err(get("x"), f.err, ERR_INTERRUPTED, "stopped");
	assert_err(client_pause(f.client, 60000, &f.err), f.err,
	    ERR_INTERRUPTED, "stopped");
	/* Not before the server has set it for the last time. */
	inspector_stop(&f.in);
	stop = 0;
	inspector_start(&f.in, serve);
	assert_ok(client_pause(f.client, 1, &f.err), f.err);
	client_set_stop(f.client, NULL);
	assert_false(client_is_stopped(f.client));
}

static void
test_silence(void **state)
{
	struct client_request request = {
		.method = "GET", .path = "x", .wait_s = 9};

	(void)state;
	answer_with(WAITS, "");
	server.act = stand_still;
	assert_err(ask(&request), f.err, ERR_TARGET_TIMEOUT,
	    "silent for 69 seconds");
	/* It may move the clock still, for the first one. */
	close_server();
	open_server();
	answer_with(WAITS, OK_HEAD "Content-Length: 5\r\n\r\nab");
	server.act = stand_still;
	assert_err(ask(&request), f.err, ERR_TARGET_TIMEOUT, "silent");
}

static void
test_unreachable(void **state)
{
	struct client *client = NULL;
	struct client_reply reply;
	const struct client_request request = {
		.method = "GET", .path = "x"};
	struct err err;
	char base[128];
	uint16_t port;

	(void)state;
	port = f.in.port;
	inspector_stop(&f.in);
	(void)snprintf(base, sizeof(base), "http://127.0.0.1:%u",
	    (unsigned)port);
	assert_ok(client_open_url(base, "shop", NULL, &client, &err), err);
	assert_err(client_call(client, &request, &reply, &err), err,
	    ERR_TARGET_UNREACHABLE, "is the web server running?");
	client_close(&client);
	assert_ok(client_open_url("http://nobody.invalid", "shop", NULL,
	    &client, &err), err);
	assert_err(client_call(client, &request, &reply, &err), err,
	    ERR_TARGET_UNREACHABLE, "nobody.invalid");
	client_close(&client);
	inspector_start(&f.in, serve);
}

/* Whatever proxy there is, this machine's own addresses need none. */
static void
test_proxy(void **state)
{
	(void)state;
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	assert_ok(get("x"), f.err);
	expect_sent("GET /pre/shop/private/papi/x HTTP/1.1\r\n");
	/* Others do, and who has forgotten that is told. */
	client_close(&f.client);
	assert_ok(client_open_url("http://nobody.invalid", "shop", NULL,
	    &f.client, &f.err), f.err);
	assert_err(get("x"), f.err, ERR_TARGET_UNREACHABLE, "no_proxy");
	assert_int_equal(unsetenv("http_proxy"), 0);
}

/* An https address that speaks none, and a bundle that is not there. */
static void
test_tls(void **state)
{
	struct client *client = NULL;
	struct client_reply reply;
	const struct client_request request = {
		.method = "GET", .path = "x"};
	struct err err;
	char base[128];

	(void)state;
	(void)snprintf(base, sizeof(base), "https://127.0.0.1:%u",
	    (unsigned)f.in.port);
	answer_with(ANSWERS, "HTTP/1.1 400 no TLS here\r\n\r\n");
	/* It reads the greeting as a head, up to its end: none. */
	assert_int_equal(setenv("CURL_CA_BUNDLE", "/nonexistent/bundle", 1),
	    0);
	assert_ok(client_open_url(base, "shop", NULL, &client, &err), err);
	assert_err(client_call(client, &request, &reply, &err), err,
	    ERR_TARGET_UNREACHABLE, "/nonexistent/bundle");
	assert_int_equal(unsetenv("CURL_CA_BUNDLE"), 0);
	client_close(&client);
}

/* Each allocation of ours fails once: the call says so, and the next works. */
static void
test_no_memory(void **state)
{
	const struct client_request request = {.method = "POST", .path = "x",
		.body = "{}", .wait_s = 1, .first_byte = 1, .etag = "\"e\"",
		.key = "k"};
	struct client *client = NULL;
	int n, rc = -1;

	(void)state;
	for (n = 1; rc != 0; n++) {
		assert_true(n < 50);
		fail_at = n;
		rc = client_open_url(f.base, NULL, "t", &client, &f.err);
		fail_at = 0;
		if (rc != 0)
			assert_int_equal(f.err.code, ERR_NOMEM);
	}
	assert_true(n > 4);
	client_close(&client);
	rc = -1;
	for (n = 1; rc != 0; n++) {
		assert_true(n < 50);
		client_reply_fini(&f.reply);
		memset(&f.reply, 0, sizeof(f.reply));
		fail_at = n;
		rc = client_call(f.client, &request, &f.reply, &f.err);
		fail_at = 0;
		if (rc != 0)
			assert_int_equal(f.err.code, ERR_NOMEM);
	}
	assert_true(n > 8);
	assert_string_equal(buf_str(&f.reply.body), "{}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bases),
		cmocka_unit_test(test_bad_bases),
		cmocka_unit_test_setup_teardown(
		    test_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_bad_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_reply, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_bad_replies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sink, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_refusals_without_a_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_unreachable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_proxy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_memory, set_up, tear_down),
	};

	/* Where no name server answers, that is known soon. */
	(void)setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
