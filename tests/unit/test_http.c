#include <stdbool.h>
#include <sys/resource.h>

#include "test.h"
#include "inspector.h"

#include "clock.h"
#include "http.h"

static const char *answer;
static size_t answer_len;
static bool is_slow;

static void
say(struct inspector *in, int fd, int n)
{
	char c;

	(void)n;
	inspector_read_head(in, fd);
	inspector_send(fd, answer, answer_len);
	/* Until the client gives up. */
	while (is_slow && recv(fd, &c, 1, 0) > 0)
		continue;
}

struct fixture {
	struct inspector in;
	struct http_url url;
	struct http_reply reply;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	char text[64];

	if (f == NULL)
		return -1;
	inspector_start(&f->in, say);
	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%u/a?b=1",
	    (unsigned)f->in.port);
	assert_ok(http_url_parse(text, &f->url, &err), err);
	http_reply_init(&f->reply, 16);
	is_slow = false;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	http_reply_fini(&f->reply);
	inspector_stop(&f->in);
	free(f);
	return 0;
}

static int
ask(struct fixture *f, const char *method, const char *text, struct err *err)
{
	const struct http_request request = {.method = method};

	answer = text;
	answer_len = strlen(text);
	return http_ask(&f->url, &request, clock_mono_ms() + 30000, &f->reply,
	    err);
}

static void
urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *port, *authority, *path;
	} all[] = {
		{"http://h", "h", "80", "h", "/"},
		{"HTTP://h:8080", "h", "8080", "h:8080", "/"},
		{"http://h:1/a/b?c=d", "h", "1", "h:1", "/a/b?c=d"},
		{"http://h?c", "h", "80", "h", "/?c"},
		{"http://[::1]:9/x", "::1", "9", "[::1]:9", "/x"},
		{"http://[::1]", "::1", "80", "[::1]", "/"},
	};
	struct http_url url;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_ok(http_url_parse(all[i].text, &url, &err), err);
		assert_string_equal(url.host, all[i].host);
		assert_string_equal(url.port, all[i].port);
		assert_string_equal(url.authority, all[i].authority);
		assert_string_equal(url.path, all[i].path);
	}
}

static void
bad_urls_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} all[] = {
		{"", "http://HOST"}, {"h:1", "http://HOST"},
		{"https://h", "TLS"}, {"http://", "is not HOST"},
		{"http:///x", "is not HOST"}, {"http://:1", "is not HOST"},
		{"http://h:0", "1..65535"}, {"http://h:65536", "1..65535"},
		{"http://h:", "1..65535"}, {"http://h:-1", "1..65535"},
		{"http://u:p@h/", "user name"}, {"http://[::1", "is not HOST"},
		{"http://[::1]9", "is not HOST"}, {"http://[x]", "IPv6"},
		{"http://h/a b", "http://HOST"},
		{"http://h/a\r\nX: y", "http://HOST"},
		{"http://h/#a", "http://HOST"},
	};
	char longest[HTTP_PATH_MAX + 64] = "http://h/";
	struct http_url url;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_err(http_url_parse(all[i].text, &url, &err), err,
		    ERR_INVALID, all[i].why);
	memset(longest + 9, 'x', HTTP_PATH_MAX);
	assert_err(http_url_parse(longest, &url, &err), err, ERR_INVALID,
	    "path is too long");
	memset(longest + 7, 'x', HTTP_PATH_MAX);
	assert_err(http_url_parse(longest, &url, &err), err, ERR_INVALID,
	    "host is too long");
}

static void
request_is_sent(void **state)
{
	const struct http_request request = {.method = "POST",
	    .path = "/other", .headers = "X-A: b\r\n", .body = "{}",
	    .body_len = 2};
	struct fixture *f = *state;
	struct err err;
	char want[400];

	answer = "HTTP/1.1 204 No\r\n\r\n";
	answer_len = strlen(answer);
	assert_ok(http_ask(&f->url, &request, clock_mono_ms() + 30000,
	    &f->reply, &err), err);
	assert_int_equal(f->reply.status, 204);
	(void)snprintf(want, sizeof(want), "POST /other HTTP/1.1\r\n"
	    "Host: %s\r\nConnection: close\r\nContent-Length: 2\r\n"
	    "X-A: b\r\n\r\n", f->url.authority);
	assert_string_equal(f->in.request, want);
	assert_ok(ask(f, "GET", answer, &err), err);
	assert_non_null(strstr(f->in.request, "GET /a?b=1 HTTP/1.1\r\n"));
	assert_null(strstr(f->in.request, "Content-Length"));
	assert_ok(ask(f, "POST", answer, &err), err);
	assert_non_null(strstr(f->in.request, "Content-Length: 0\r\n"));
}

static void
bodies_are_framed(void **state)
{
	static const struct {
		const char *answer, *body;
	} all[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "abc"},
		{"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"},
		{"HTTP/1.1 200\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\n\nbare", "bare"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
		 "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"},
		{"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
		 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a"},
		/* Beyond its bound of 16 it is cut off. */
		{"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
		 "0123456789abcdefghij", "0123456789abcdef"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "14\r\n0123456789abcdefghij\r\n0\r\n\r\n",
		 "0123456789abcdef"},
		{"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", ""},
	};
	struct fixture *f = *state;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_ok(ask(f, "GET", all[i].answer, &err), err);
		assert_string_equal(buf_str(&f->reply.body), all[i].body);
	}
	/* There is none to HEAD, whatever its length is said to be. */
	is_slow = true;
	assert_ok(ask(f, "HEAD", all[0].answer, &err), err);
	assert_int_equal(f->reply.body.len, 0);
}

static void
headers_are_found(void **state)
{
	struct fixture *f = *state;
	char value[8] = "old";
	struct err err;

	assert_ok(ask(f, "GET", "HTTP/1.1 200 OK\r\nX-Long: 12345678\r\n"
	    "Date:\r\nx-a:   b c \t\r\nX-A: second\r\nX-AB: z\r\n\r\n", &err),
	    err);
	assert_true(http_header(&f->reply, "X-A", value, sizeof(value)));
	assert_string_equal(value, "b c");
	assert_true(http_header(&f->reply, "Date", value, sizeof(value)));
	assert_string_equal(value, "");
	assert_false(http_header(&f->reply, "X", value, sizeof(value)));
	assert_false(http_header(&f->reply, "X-Long", value, sizeof(value)));
	assert_false(http_header(&f->reply, "Server", value, sizeof(value)));
}

static void
nonsense_is_refused(void **state)
{
	static const struct {
		const char *answer;
		enum err_code code;
	} all[] = {
		{"SSH-2.0-x\r\n", ERR_TARGET_REFUSED},
		{"HTTP/2 200\r\n\r\n", ERR_TARGET_REFUSED},
		{"HTTP/1.1 2000 OK\r\n\r\n", ERR_TARGET_REFUSED},
		{"HTTP/1.1 099 OK\r\n\r\n", ERR_TARGET_REFUSED},
		{"HTTP/1.1\r\n\r\n", ERR_TARGET_REFUSED},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		    ERR_TARGET_REFUSED},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\na",
		    ERR_TARGET_REFUSED},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		    ERR_TARGET_REFUSED},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "fffffffff\r\n", ERR_TARGET_REFUSED},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		    ERR_TARGET_REFUSED},
		{"", ERR_TARGET_EXITED},
		{"HTTP/1.1 200 OK\r\nX: y", ERR_TARGET_EXITED},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		    ERR_TARGET_EXITED},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
		    ERR_TARGET_EXITED},
	};
	struct fixture *f = *state;
	char *endless;
	struct err err;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_err(ask(f, "GET", all[i].answer, &err), err,
		    all[i].code, f->url.authority);
	}
	/* A head, a line, and interim answers that do not end. */
	endless = calloc(1, 2 << 20);
	assert_non_null(endless);
	(void)strcpy(endless, "HTTP/1.1 200 OK\r\n");
	for (i = strlen(endless); i < 100000; i += 6)
		(void)strcpy(endless + i, "X: y\r\n");
	assert_err(ask(f, "GET", endless, &err), err, ERR_TARGET_REFUSED, "");
	memset(endless, 'x', 100000);
	endless[100000] = '\0';
	assert_err(ask(f, "GET", endless, &err), err, ERR_TARGET_REFUSED, "");
	endless[0] = '\0';
	for (i = 0; i < 20; i++)
		(void)strcat(endless, "HTTP/1.1 100 Go on\r\n\r\n");
	assert_err(ask(f, "GET", endless, &err), err, ERR_TARGET_REFUSED,
	    "interim");
	free(endless);
}

static void
time_is_bounded(void **state)
{
	const struct http_request request = {.method = "GET"};
	struct fixture *f = *state;
	int64_t began_ms = clock_mono_ms();
	struct err err;

	is_slow = true;
	answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na";
	answer_len = strlen(answer);
	assert_err(http_ask(&f->url, &request, began_ms + 200, &f->reply,
	    &err), err, ERR_TARGET_TIMEOUT, f->url.authority);
	assert_in_range(clock_mono_ms() - began_ms, 200, 3000);
	assert_err(http_ask(&f->url, &request, began_ms, &f->reply, &err),
	    err, ERR_TARGET_TIMEOUT, "");
}

static void
nobody_there_is_told(void **state)
{
	struct fixture *f = *state;
	struct http_url url = f->url;
	struct err err;
	const struct http_request request = {.method = "GET"};
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A port that is taken, and where nobody listens. */
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len),
	    0);
	(void)snprintf(url.port, sizeof(url.port), "%u",
	    (unsigned)ntohs(address.sin_port));
	assert_err(http_ask(&url, &request, clock_mono_ms() + 30000, &f->reply,
	    &err), err, ERR_TARGET_UNREACHABLE, "refused");
	(void)close(fd);
	/* Over 63 characters without a point: no name server is asked. */
	memset(url.host, 'a', 70);
	url.host[70] = '\0';
	assert_err(http_ask(&url, &request, clock_mono_ms() + 30000, &f->reply,
	    &err), err, ERR_TARGET_UNREACHABLE, "is not known");
}

static void
what_we_lack_is_nobodys_fault(void **state)
{
	const struct http_request request = {.method = "GET"};
	struct http_url url, named;
	struct rlimit before, none;
	struct http_reply reply;
	struct err err;

	(void)state;
	http_reply_init(&reply, 16);
	assert_ok(http_url_parse("http://127.0.0.1:1/", &url, &err), err);
	assert_ok(http_url_parse("http://localhost:1/", &named, &err), err);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	/* The first that is free. */
	none.rlim_cur = (rlim_t)dup(0);
	assert_int_equal(close((int)none.rlim_cur), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_err(http_ask(&url, &request, clock_mono_ms() + 30000, &reply,
	    &err), err, ERR_LIMIT, "Too many open files");
	assert_err(http_ask(&named, &request, clock_mono_ms() + 30000, &reply,
	    &err), err, ERR_LIMIT, "localhost cannot be looked up");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	/* Then it is the other's again. */
	assert_err(http_ask(&named, &request, clock_mono_ms() + 30000, &reply,
	    &err), err, ERR_TARGET_UNREACHABLE, "localhost:1");
	http_reply_fini(&reply);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(bad_urls_are_refused),
		TEST(request_is_sent),
		TEST(bodies_are_framed),
		TEST(headers_are_found),
		TEST(nonsense_is_refused),
		TEST(time_is_bounded),
		TEST(nobody_there_is_told),
		cmocka_unit_test(what_we_lack_is_nobodys_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
