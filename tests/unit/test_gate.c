/* The connection to the web server: sound peers, broken ones, slow ones. */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "clock.h"

static char dir[256];
static char path[300];
static struct gate_watch *watch;
static struct front_bytes bytes;

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	front_listen(path);
	assert_ok(gate_listen(&err), err);
	assert_ok(gate_watch_new(&watch, &err), err);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	gate_watch_free(&watch);
	assert_null(watch);
	test_remove_dir(dir);
	return 0;
}

static int
reset(void **state)
{
	(void)state;
	bytes.len = 0;
	return 0;
}

/* A client that has sent what is in bytes, and the gate for it. */
static struct gate *
accept_gate(int *ret_client)
{
	struct gate *gate = NULL;
	struct err err;

	*ret_client = front_connect(path);
	front_send(*ret_client, &bytes);
	assert_ok(gate_accept(watch, 300, &gate, &err), err);
	assert_non_null(gate);
	return gate;
}

static struct gate *
accept_request(int *ret_client)
{
	struct gate *gate = accept_gate(ret_client);
	struct err err;

	assert_int_equal(gate_head(gate, 0), GATE_HEAD_WHOLE);
	assert_ok(gate_read_head(gate, &err), err);
	return gate;
}

static const char *const env_get[] = { "REQUEST_METHOD=GET",
	"SCRIPT_NAME=/a/b", "QUERY_STRING=", "HTTP_HOST=localhost", NULL };

static void
test_nobody(void **state)
{
	struct gate *gate = NULL;
	struct err err;

	(void)state;
	assert_int_equal(gate_mode(), GATE_FASTCGI);
	assert_ok(gate_accept(watch, 300, &gate, &err), err);
	assert_null(gate);
}

static void
test_request(void **state)
{
	struct gate *gate;
	struct buf body;
	struct err err;
	const char *text;
	bool ended;
	int client;

	(void)state;
	front_head(&bytes, env_get);
	front_record(&bytes, F_STDIN, 1, "he", 2);
	front_record(&bytes, F_STDIN, 1, "llo", 3);
	front_record(&bytes, F_STDIN, 1, "", 0);
	gate = accept_request(&client);
	assert_string_equal(gate_env(gate, "REQUEST_METHOD"), "GET");
	assert_string_equal(gate_env(gate, "HTTP_HOST"), "localhost");
	assert_null(gate_env(gate, "QUERY_STRING"));
	assert_null(gate_env(gate, "HTTP"));
	assert_null(gate_env(gate, "NONE"));
	buf_init(&body, 100);
	assert_ok(gate_read_body(gate, &body, &err), err);
	assert_string_equal(buf_str(&body), "hello");
	assert_int_equal(gate_peer(gate), GATE_PEER_HERE);
	assert_ok(gate_write(gate, "Status: 200\r\n\r\n", 15, &err), err);
	assert_ok(gate_write(gate, "x", 1, &err), err);
	assert_ok(gate_finish(&gate, &err), err);
	assert_null(gate);
	text = front_answer(client, NULL, &ended);
	assert_string_equal(text, "Status: 200\r\n\r\nx");
	assert_true(ended);
	buf_fini(&body);
	(void)close(client);
}

/* However the head is cut, it is whole at its last byte and not before. */
static void
test_parts(void **state)
{
	struct gate *gate;
	struct err err;
	size_t head_len, i;
	int client;

	(void)state;
	front_begin(&bytes, 1);
	{
		struct front_bytes *pairs = calloc(1, sizeof(*pairs));

		assert_non_null(pairs);
		front_pair(pairs, "REQUEST_METHOD", "PUT", true);
		front_pair(pairs, "EMPTY", "", false);
		front_pair(pairs, "", "nameless", false);
		/* Cut anywhere, even inside a length. */
		for (i = 0; i < pairs->len; i += 3)
			front_record(&bytes, F_PARAMS, 1, pairs->data + i,
			    pairs->len - i < 3 ? pairs->len - i : 3);
		free(pairs);
	}
	front_record(&bytes, F_PARAMS, 1, "", 0);
	head_len = bytes.len;
	for (i = 1; i < head_len; i++) {
		bytes.len = i;
		gate = accept_gate(&client);
		assert_int_equal(gate_head(gate, 0), GATE_HEAD_PART);
		gate_drop(&gate);
		(void)close(client);
	}
	bytes.len = head_len;
	gate = accept_request(&client);
	assert_string_equal(gate_env(gate, "REQUEST_METHOD"), "PUT");
	assert_null(gate_env(gate, "EMPTY"));
	assert_ok(gate_finish(&gate, &err), err);
	(void)close(client);
}

struct sender {
	int fd;
	size_t from;
};

static void *
send_rest(void *arg)
{
	const struct sender *sender = arg;
	const struct timespec pause = { .tv_nsec = 30000000 };

	(void)nanosleep(&pause, NULL);
	(void)!write(sender->fd, bytes.data + sender->from,
	    bytes.len - sender->from);
	return NULL;
}

static void
test_late(void **state)
{
	struct sender sender = { .from = 20 };
	struct gate *gate;
	size_t len;
	pthread_t thread;

	(void)state;
	front_head(&bytes, env_get);
	len = bytes.len;
	bytes.len = sender.from;
	gate = accept_gate(&sender.fd);
	assert_int_equal(gate_head(gate, 1), GATE_HEAD_PART);
	bytes.len = len;
	assert_int_equal(pthread_create(&thread, NULL, send_rest, &sender), 0);
	assert_int_equal(gate_head(gate, 20000), GATE_HEAD_WHOLE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	gate_drop(&gate);
	(void)close(sender.fd);
}

static void
expect_bad(void)
{
	struct gate *gate;
	int client;

	gate = accept_gate(&client);
	assert_int_equal(gate_head(gate, 0), GATE_HEAD_BAD);
	gate_drop(&gate);
	(void)close(client);
	bytes.len = 0;
}

/* A BEGIN, a record of params, and the last one. */
static void
bad_params(const void *params, size_t len)
{
	front_begin(&bytes, 1);
	front_record(&bytes, F_PARAMS, 1, params, len);
	front_record(&bytes, F_PARAMS, 1, "", 0);
	expect_bad();
}

static void
test_bad(void **state)
{
	static const char big[40000];
	size_t i;

	(void)state;
	front_add(&bytes, "GET / HTTP/1.1\r\n\r\n", 18);
	expect_bad();
	front_begin(&bytes, 1);
	bytes.data[0] = 2;
	expect_bad();
	front_begin(&bytes, 3);
	expect_bad();
	front_begin(&bytes, 1);
	bytes.data[3] = 0;	/* the null request */
	expect_bad();
	front_begin(&bytes, 1);
	bytes.data[5] = 9;	/* a BEGIN of another length */
	front_add(&bytes, "x", 1);
	expect_bad();
	/* Padding where libfcgi takes it for records. */
	front_begin(&bytes, 1);
	bytes.data[6] = 8;
	front_add(&bytes, "12345678", 8);
	expect_bad();
	front_begin(&bytes, 1);
	front_record(&bytes, F_PARAMS, 1, "", 0);
	bytes.data[bytes.len - 2] = 8;
	front_add(&bytes, "12345678", 8);
	expect_bad();
	/* What libfcgi would answer, or wait for more after. */
	front_record(&bytes, F_VALUES, 0, "\x0e\x00" "FCGI_MAX_CONNS", 16);
	expect_bad();
	for (i = 0; i < 12; i++) {
		if (i == F_PARAMS)
			continue;
		front_begin(&bytes, 1);
		front_record(&bytes, (int)i, 1, "12345678", 8);
		expect_bad();
	}
	front_begin(&bytes, 1);
	front_record(&bytes, F_PARAMS, 2, "", 0);
	expect_bad();
	/* Lengths that do not add up. */
	bad_params("\x04\x7fNAMEshort", 11);
	bad_params("\xff\xff\xff\xff\xff\xff\xff\xffx", 9);
	bad_params("\x7f\xff\xff\xff\xff", 5);
	bad_params("\xff\xff\xff", 3);
	bad_params("\x01", 1);
	bad_params("\x80\x00\x00\x01\x80\x00\x00", 7);
	/* Too long a head. */
	front_begin(&bytes, 1);
	front_record(&bytes, F_PARAMS, 1, big, sizeof(big));
	front_record(&bytes, F_PARAMS, 1, big, sizeof(big));
	expect_bad();
}

static void
test_gone(void **state)
{
	struct gate *gate = NULL;
	struct err err;
	int client;

	(void)state;
	client = front_connect(path);
	(void)close(client);
	assert_ok(gate_accept(watch, 300, &gate, &err), err);
	if (gate == NULL)	/* the kernel need not show it at all */
		return;
	assert_int_equal(gate_head(gate, 100), GATE_HEAD_BAD);
	gate_drop(&gate);
	assert_null(gate);
	gate_drop(&gate);
}

static void
expect_body(const char *length, const char *sent, bool ends,
    enum err_code code, const char *text)
{
	char declared[64];
	const char *const env[] = { "REQUEST_METHOD=POST", declared, NULL };
	struct gate *gate;
	struct buf body;
	struct err err;
	int client;

	bytes.len = 0;
	(void)snprintf(declared, sizeof(declared), "CONTENT_LENGTH=%s",
	    length);
	front_head(&bytes, env);
	if (sent[0] != '\0')
		front_record(&bytes, F_STDIN, 1, sent, strlen(sent));
	if (ends)
		front_record(&bytes, F_STDIN, 1, "", 0);
	gate = accept_request(&client);
	if (!ends)
		assert_int_equal(shutdown(client, SHUT_WR), 0);
	buf_init(&body, 8);
	if (code == 0) {
		assert_ok(gate_read_body(gate, &body, &err), err);
		assert_string_equal(buf_str(&body), sent);
	} else {
		assert_err(gate_read_body(gate, &body, &err), err, code, text);
	}
	buf_fini(&body);
	gate_drop(&gate);
	(void)close(client);
}

static void
test_bodies(void **state)
{
	(void)state;
	expect_body("", "", true, 0, NULL);
	expect_body("", "12345678", true, 0, NULL);
	expect_body("8", "12345678", true, 0, NULL);
	expect_body("0", "", true, 0, NULL);
	expect_body("", "123456789", true, ERR_TOO_LARGE, "over 8 bytes");
	expect_body("9", "12345678", true, ERR_TOO_LARGE, "over 8 bytes");
	expect_body("99999999999", "1", true, ERR_TOO_LARGE, "over 8 bytes");
	expect_body("7", "12345678", true, ERR_INVALID, "Content-Length");
	expect_body("3", "", true, ERR_INVALID, "0 bytes where");
	expect_body("-1", "", true, ERR_INVALID, "Content-Length");
	expect_body("x", "", true, ERR_INVALID, "Content-Length");
	expect_body("99999999999999999999", "", true, ERR_INVALID,
	    "Content-Length");
	expect_body("8", "1234", false, ERR_INVALID, "broke off");
}

static void *
run_watch(void *arg)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	atomic_bool *over = arg;

	while (!atomic_load(over)) {
		gate_watch_run(watch);
		(void)nanosleep(&pause, NULL);
	}
	return NULL;
}

/* The peer sends one byte and then nothing: the watchdog ends it, long before
 * one read would give up. */
/* Inside a body nothing else has any business: libfcgi would trust the lengths
 * of a management record, and die of them. */
static void
test_foreign_records(void **state)
{
	static const char values[] = "\xff\xff\xff\xf0\x80\x00\x00\x10name";
	static const struct {
		int type;
		unsigned id;
	} cases[] = { { 9, 0 }, { F_STDIN, 2 }, { 2, 1 }, { 4, 1 }, { 8, 1 } };
	struct gate *gate;
	struct buf body;
	struct err err;
	size_t i;
	int client;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)reset(NULL);
		front_head(&bytes, env_get);
		front_record(&bytes, F_STDIN, 1, "he", 2);
		front_record(&bytes, cases[i].type, cases[i].id, values,
		    sizeof(values) - 1);
		front_record(&bytes, F_STDIN, 1, "", 0);
		gate = accept_request(&client);
		buf_init(&body, 100);
		assert_err(gate_read_body(gate, &body, &err), err, ERR_INVALID,
		    "broke off");
		buf_fini(&body);
		gate_drop(&gate);
		(void)close(client);
	}
}

static void
test_stuck_body(void **state)
{
	const char *const env[] = { "CONTENT_LENGTH=8", NULL };
	atomic_bool over = false;
	struct gate *gate;
	struct buf body;
	struct err err;
	pthread_t thread;
	int64_t began_ms;
	int client;

	(void)state;
	front_head(&bytes, env);
	front_record(&bytes, F_STDIN, 1, "1", 1);
	gate = accept_request(&client);
	buf_init(&body, 8);
	assert_int_equal(pthread_create(&thread, NULL, run_watch, &over), 0);
	began_ms = clock_mono_ms();
	assert_err(gate_read_body(gate, &body, &err), err, ERR_INVALID,
	    "broke off");
	assert_true(clock_mono_ms() - began_ms >= 290);
	assert_true(clock_mono_ms() - began_ms < 4000);
	atomic_store(&over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	buf_fini(&body);
	gate_drop(&gate);
	(void)close(client);
}

/* A request whose body was read. */
static struct gate *
accept_read(int *ret_client)
{
	struct gate *gate;
	struct buf body;
	struct err err;

	bytes.len = 0;
	front_head(&bytes, env_get);
	front_record(&bytes, F_STDIN, 1, "", 0);
	gate = accept_request(ret_client);
	buf_init(&body, 8);
	assert_ok(gate_read_body(gate, &body, &err), err);
	return gate;
}

static void
test_peer(void **state)
{
	struct gate *gate;
	int client;

	(void)state;
	gate = accept_read(&client);
	assert_true(gate_poll_fd(gate) >= 0);
	assert_int_equal(gate_peer(gate), GATE_PEER_HERE);
	bytes.len = 0;
	front_record(&bytes, F_ABORT, 1, "", 0);
	front_send(client, &bytes);
	assert_int_equal(gate_peer(gate), GATE_PEER_LEFT);
	gate_drop(&gate);
	(void)close(client);

	gate = accept_read(&client);
	assert_int_equal(write(client, "noise", 5), 5);
	assert_int_equal(gate_peer(gate), GATE_NOISE);
	(void)close(client);
	assert_int_equal(gate_peer(gate), GATE_PEER_LEFT);
	gate_drop(&gate);

	gate = accept_read(&client);
	(void)close(client);
	assert_int_equal(gate_peer(gate), GATE_PEER_LEFT);
	gate_drop(&gate);
}

static void
test_write_to_nobody(void **state)
{
	struct gate *gate;
	struct err err;
	int client;

	(void)state;
	gate = accept_read(&client);
	(void)close(client);
	assert_ok(gate_write(gate, "Status: 200\r\n\r\n", 15, &err), err);
	assert_err(gate_flush(gate, &err), err, ERR_INTERNAL, "web server");
	/* It does not forget. */
	assert_err(gate_flush(gate, &err), err, ERR_INTERNAL, "web server");
	assert_err(gate_write(gate, "x", 1, &err), err, ERR_INTERNAL,
	    "web server");
	assert_err(gate_finish(&gate, &err), err, ERR_INTERNAL, "web server");
	assert_null(gate);

	gate = accept_read(&client);
	assert_ok(gate_write(gate, "Status: 200\r\n\r\n", 15, &err), err);
	(void)close(client);
	assert_err(gate_finish(&gate, &err), err, ERR_INTERNAL, "web server");
	assert_null(gate);
}

static void
test_drop(void **state)
{
	struct gate *gate;
	struct err err;
	bool ended;
	int client;

	(void)state;
	gate = accept_read(&client);
	assert_ok(gate_write(gate, "half", 4, &err), err);
	assert_ok(gate_flush(gate, &err), err);
	gate_drop(&gate);
	assert_string_equal(front_answer(client, NULL, &ended), "half");
	assert_false(ended);
	(void)close(client);
}

/* A peer that reads nothing: gate_brace() gives up in its time, and once it
 * has said yes, nothing blocks. */
static void
test_brace(void **state)
{
	static char data[1 << 20];
	struct gate *gate;
	struct err err;
	int64_t began_ms;
	int client;

	(void)state;
	gate = accept_read(&client);
	assert_ok(gate_flush(gate, &err), err);
	assert_ok(gate_brace(gate, 1000, &err), err);
	began_ms = clock_mono_ms();
	assert_err(gate_write(gate, data, sizeof(data), &err), err,
	    ERR_INTERNAL, "took nothing");
	assert_true(clock_mono_ms() - began_ms < 4000);
	gate_drop(&gate);
	(void)close(client);

	gate = accept_read(&client);
	gate_set_send_timeout(gate, 20);
	assert_err(gate_write(gate, data, sizeof(data), &err), err,
	    ERR_INTERNAL, "took nothing");
	began_ms = clock_mono_ms();
	assert_err(gate_brace(gate, 50, &err), err, ERR_INTERNAL,
	    "took nothing");
	assert_true(clock_mono_ms() - began_ms >= 49);
	gate_drop(&gate);
	(void)close(client);

	gate = accept_read(&client);
	(void)close(client);
	assert_err(gate_brace(gate, 1000, &err), err, ERR_INTERNAL,
	    "web server");
	gate_drop(&gate);
}

/* How long a body that nobody wants is read on; see gate_finish(). */
#define UNREAD_MS 200

struct writer {
	int fd;
	ssize_t sent;
	int64_t ended_ms;
};

static void *
write_body(void *arg)
{
	struct writer *writer = arg;

	writer->sent = send(writer->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
	writer->ended_ms = clock_mono_ms();
	return NULL;
}

/* Answer one that sends what is in bytes; false if it was too slow at that to
 * be read to its end. */
static bool
answers_unread(struct gate *gate, int client)
{
	struct pollfd pfd = { .fd = gate_poll_fd(gate), .events = POLLIN };
	struct writer writer = { .fd = client };
	int64_t began_ms;
	struct err err;
	pthread_t thread;
	const char *text;
	bool ended;

	assert_int_equal(pthread_create(&thread, NULL, write_body, &writer),
	    0);
	assert_ok(gate_write(gate, "Status: 401\r\n\r\n", 15, &err), err);
	assert_int_equal(poll(&pfd, 1, 20000), 1);
	began_ms = clock_mono_ms();
	assert_ok(gate_finish(&gate, &err), err);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (writer.ended_ms - began_ms >= UNREAD_MS)
		return false;
	assert_int_equal(writer.sent, bytes.len);
	text = front_answer(client, NULL, &ended);
	assert_string_equal(text, "Status: 401\r\n\r\n");
	assert_true(ended);
	return true;
}

/* A peer that is still sending a body nobody wants gets its answer whole,
 * and can send all of it. */
static void
test_unread_body(void **state)
{
	static char piece[60000];
	struct gate *gate;
	int client, i, attempts = 0;
	bool is_answered;

	(void)state;
	do {
		assert_true(attempts++ < 10);
		bytes.len = 0;
		front_head(&bytes, env_get);
		gate = accept_request(&client);
		bytes.len = 0;
		for (i = 0; i < 4; i++)
			front_record(&bytes, F_STDIN, 1, piece, sizeof(piece));
		front_record(&bytes, F_STDIN, 1, "", 0);
		is_answered = answers_unread(gate, client);
		(void)close(client);
	} while (!is_answered);
}

static void
expect_cgi_body(char *const env[], const char *sent, enum err_code code,
    const char *want)
{
	struct gate *gate;
	struct buf body;
	struct err err;
	int out;

	gate = front_gate(env, sent, &out);
	buf_init(&body, 8);
	if (code == 0) {
		assert_ok(gate_read_body(gate, &body, &err), err);
		assert_string_equal(buf_str(&body), want);
	} else {
		assert_err(gate_read_body(gate, &body, &err), err, code, want);
	}
	buf_fini(&body);
	gate_drop(&gate);
	assert_string_equal(front_output(out), "");
}

static void
test_cgi_bodies(void **state)
{
	char three[] = "CONTENT_LENGTH=3", nine[] = "CONTENT_LENGTH=9";
	char none[] = "CONTENT_LENGTH=", bad[] = "CONTENT_LENGTH=3x";
	char chunked[] = "HTTP_TRANSFER_ENCODING=chunked";
	char *const env_three[] = { three, NULL }, *const env_nine[] =
	    { nine, NULL }, *const env_none[] = { none, NULL },
	    *const env_bad[] = { bad, NULL },
	    *const env_chunked[] = { chunked, NULL };

	(void)state;
	expect_cgi_body(env_three, "abcdef", 0, "abc");
	expect_cgi_body(env_three, "ab", ERR_INVALID, "2 bytes where");
	expect_cgi_body(env_nine, "123456789", ERR_TOO_LARGE, "over 8 bytes");
	expect_cgi_body(env_none, "abc", 0, "");
	expect_cgi_body(env_bad, "abc", ERR_INVALID, "Content-Length");
	expect_cgi_body(env_chunked, "abc", 0, "abc");
	expect_cgi_body(env_chunked, "123456789", ERR_TOO_LARGE,
	    "over 8 bytes");
}

static void
test_cgi_answer(void **state)
{
	char method[] = "REQUEST_METHOD=GET";
	char *const env[] = { method, NULL };
	struct gate *gate;
	struct err err;
	int out, ends[2];

	(void)state;
	gate = front_gate(env, "", &out);
	assert_int_equal(gate_head(gate, 0), GATE_HEAD_WHOLE);
	assert_ok(gate_read_head(gate, &err), err);
	assert_int_equal(gate_poll_fd(gate), -1);
	assert_string_equal(gate_env(gate, "REQUEST_METHOD"), "GET");
	assert_ok(gate_write(gate, "abc", 3, &err), err);
	assert_ok(gate_write(gate, "", 0, &err), err);
	assert_ok(gate_flush(gate, &err), err);
	assert_ok(gate_brace(gate, 100, &err), err);
	assert_ok(gate_finish(&gate, &err), err);
	assert_null(gate);
	assert_string_equal(front_output(out), "abc");

	assert_int_equal(pipe(ends), 0);
	(void)close(ends[0]);
	assert_ok(gate_open_cgi(front_input("", 0), ends[1], env, &gate, &err),
	    err);
	assert_err(gate_brace(gate, 100, &err), err, ERR_INTERNAL,
	    "web server");
	assert_err(gate_write(gate, "abc", 3, &err), err, ERR_INTERNAL,
	    "web server");
	gate_drop(&gate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nobody, reset),
		cmocka_unit_test_setup(test_request, reset),
		cmocka_unit_test_setup(test_parts, reset),
		cmocka_unit_test_setup(test_late, reset),
		cmocka_unit_test_setup(test_bad, reset),
		cmocka_unit_test_setup(test_gone, reset),
		cmocka_unit_test_setup(test_bodies, reset),
		cmocka_unit_test_setup(test_foreign_records, reset),
		cmocka_unit_test_setup(test_stuck_body, reset),
		cmocka_unit_test_setup(test_peer, reset),
		cmocka_unit_test_setup(test_write_to_nobody, reset),
		cmocka_unit_test_setup(test_drop, reset),
		cmocka_unit_test_setup(test_brace, reset),
		cmocka_unit_test_setup(test_unread_body, reset),
		cmocka_unit_test(test_cgi_bodies),
		cmocka_unit_test(test_cgi_answer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
