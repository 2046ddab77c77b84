/* Answers: what goes over the wire, whatever is put into them. */
#include "front.h"

#include "answer.h"

static char *const no_env[] = { NULL };

/* The answer as a CGI program writes it. */
static const char *
sent(const struct answer *answer, bool head_only)
{
	struct gate *gate;
	struct err err;
	int out;

	gate = front_gate(no_env, "", &out);
	assert_ok(answer_send(answer, gate, head_only, &err), err);
	assert_ok(gate_finish(&gate, &err), err);
	return front_output(out);
}

static void
test_text(void **state)
{
	struct answer answer;
	struct err err;

	(void)state;
	answer_init(&answer);
	answer_header(&answer, "X-One", "%d", 1);
	answer.retry_after_s = 7;
	assert_ok(answer_text(&answer, 409, "busy", &err), err);
	assert_string_equal(sent(&answer, false),
	    "Status: 409 Conflict\r\n"
	    "X-One: 1\r\n"
	    "Retry-After: 7\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 4\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n"
	    "busy");
	assert_null(strstr(sent(&answer, true), "busy"));
	assert_non_null(strstr(sent(&answer, true), "Content-Length: 4\r\n"));
	answer_fini(&answer);
	answer_fini(&answer);
}

static void
test_no_body(void **state)
{
	struct answer answer;

	(void)state;
	answer_init(&answer);
	answer.status = 599;
	assert_string_equal(sent(&answer, false),
	    "Status: 599 \r\n"
	    "Content-Length: 0\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n");
	answer.status = 308;
	answer.cache_control = "no-cache";
	assert_string_equal(sent(&answer, false),
	    "Status: 308 Permanent Redirect\r\n"
	    "Content-Length: 0\r\n"
	    "Cache-Control: no-cache\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n");
	answer_fini(&answer);
}

static void
test_header_injection(void **state)
{
	struct answer answer;

	(void)state;
	answer_init(&answer);
	answer_header(&answer, "X-Pod", "%s", "a\r\nSet-Cookie: x\x7f\x01y");
	assert_string_equal(buf_str(&answer.headers),
	    "X-Pod: a__Set-Cookie: x__y\r\n");
	assert_false(answer.incomplete);
	answer_fini(&answer);
}

/* A header without room leaves those before it, and a mark. */
static void
test_too_many_headers(void **state)
{
	static char big[ANSWER_HEADERS_MAX];
	struct answer answer;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	answer_init(&answer);
	answer_header(&answer, "X-One", "1");
	answer_header(&answer, "X-Big", "%s", big);
	assert_true(answer.incomplete);
	assert_string_equal(buf_str(&answer.headers), "X-One: 1\r\n");
	answer_fini(&answer);
	assert_false(answer.incomplete);
	answer_attachment(&answer, big);
	assert_true(answer.incomplete);
	assert_int_equal(answer.headers.len, 0);
	answer_fini(&answer);
}

static void
test_attachment(void **state)
{
	struct answer answer;

	(void)state;
	answer_init(&answer);
	answer_attachment(&answer, "pod-1-20261122T202500Z.cpuprofile");
	assert_string_equal(buf_str(&answer.headers),
	    "Content-Disposition: attachment; "
	    "filename=\"pod-1-20261122T202500Z.cpuprofile\"; "
	    "filename*=UTF-8''pod-1-20261122T202500Z.cpuprofile\r\n");
	answer_fini(&answer);
	answer_attachment(&answer, "a\"; b\\\r\n%../\xc3\xa9.x");
	assert_string_equal(buf_str(&answer.headers),
	    "Content-Disposition: attachment; "
	    "filename=\"a___b____..___.x\"; "
	    "filename*=UTF-8''a%22%3B%20b%5C%0D%0A%25..%2F%C3%A9.x\r\n");
	answer_fini(&answer);
}

static void
test_file_head(void **state)
{
	struct answer answer;
	const char *text;

	(void)state;
	answer_init(&answer);
	answer.kind = ANSWER_FILE;
	answer.status = 200;
	answer.type = "application/octet-stream";
	answer.file_bytes = 5000000000;
	text = sent(&answer, true);
	assert_non_null(strstr(text, "Status: 200 OK\r\n"));
	assert_non_null(strstr(text, "Content-Length: 5000000000\r\n"));
	/* A part says how long it is itself. */
	answer.status = 206;
	answer.first_byte = 4999999999;
	answer.file_bytes = 1;
	text = sent(&answer, true);
	assert_non_null(strstr(text, "Status: 206 Partial Content\r\n"));
	assert_non_null(strstr(text, "Content-Length: 1\r\n"));
	answer_fini(&answer);
}

/* What has no body by its nature has no length either. */
static void
test_no_length(void **state)
{
	struct answer answer;

	(void)state;
	answer_init(&answer);
	answer.status = 204;
	assert_string_equal(sent(&answer, false),
	    "Status: 204 No Content\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n");
	answer.status = 304;
	answer_header(&answer, "ETag", "\"x\"");
	assert_string_equal(sent(&answer, false),
	    "Status: 304 Not Modified\r\n"
	    "ETag: \"x\"\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n");
	answer_fini(&answer);
}

/* The length is that of the file which the web server puts in its place. */
static void
test_by_server(void **state)
{
	struct answer answer;

	(void)state;
	answer_init(&answer);
	answer.status = 200;
	answer.by_server = true;
	answer.file_bytes = 4711;
	answer.type = "application/octet-stream";
	answer_header(&answer, "X-Sendfile", "/x");
	assert_string_equal(sent(&answer, false),
	    "Status: 200 OK\r\n"
	    "X-Sendfile: /x\r\n"
	    "Content-Type: application/octet-stream\r\n"
	    "Content-Length: 4711\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n");
	answer_fini(&answer);
	assert_false(answer.by_server);
}

/* Every status that is sent has its words. */
static void
test_reasons(void **state)
{
	static const struct {
		int status;
		const char *line;
	} cases[] = {
		{ 200, "Status: 200 OK\r\n" },
		{ 201, "Status: 201 Created\r\n" },
		{ 202, "Status: 202 Accepted\r\n" },
		{ 406, "Status: 406 Not Acceptable\r\n" },
		{ 410, "Status: 410 Gone\r\n" },
		{ 412, "Status: 412 Precondition Failed\r\n" },
		{ 416, "Status: 416 Range Not Satisfiable\r\n" },
		{ 422, "Status: 422 Unprocessable Content\r\n" },
		{ 507, "Status: 507 Insufficient Storage\r\n" },
	};
	struct answer answer;
	const char *text;
	size_t i;

	(void)state;
	answer_init(&answer);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		answer.status = cases[i].status;
		text = sent(&answer, true);
		assert_memory_equal(text, cases[i].line,
		    strlen(cases[i].line));
	}
	answer_fini(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_no_body),
		cmocka_unit_test(test_header_injection),
		cmocka_unit_test(test_too_many_headers),
		cmocka_unit_test(test_attachment),
		cmocka_unit_test(test_file_head),
		cmocka_unit_test(test_no_length),
		cmocka_unit_test(test_by_server),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
