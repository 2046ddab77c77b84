/* Sending files: what counts as handed over, and what does not. */
#include "site.h"

#include <fcntl.h>
#include <signal.h>

#include "clock.h"
#include "download.h"
#include "request.h"
#include "service.h"

#define FILE_BYTES (3 << 20)

static struct site site;
static struct service *service;
static struct gate_watch *watch;
static char socket_path[300];
static char job_id[UUID_MAX];

static int
set_up_group(void **state)
{
	struct err err;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_ERROR, LOG_LOGFMT);
	assert_ok(gate_watch_new(&watch, &err), err);
	return 0;
}

static int
tear_down_group(void **state)
{
	(void)state;
	gate_watch_free(&watch);
	return 0;
}

/* A job whose file has so many bytes, stored as [artifacts] says now. */
static void
make_file(size_t bytes)
{
	const struct job_order order = { .app = "app", .pod = "pod-1",
		.kind = JOB_HEAP_SNAPSHOT, .method = METHOD_AUTO,
		.duration_ms = JOB_UNKNOWN, .interval_us = JOB_UNKNOWN,
		.requested_by = "oda", .request_id = "r", .profiles_max = 9 };
	struct job job;
	struct err err;
	bool is_new;

	assert_ok(job_create(site.db, site.state_dir, &order, &job, &is_new,
	    &err), err);
	assert_true(is_new);
	(void)str_copy(job_id, sizeof(job_id), job.id);
	site_attach(site.db, job_id);
	site_finish(&site, site.db, job_id, JOB_HEAP_SNAPSHOT, bytes);
}

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	site_open(&site);
	(void)snprintf(socket_path, sizeof(socket_path), "%s/socket",
	    site.dir);
	front_listen(socket_path);
	assert_ok(gate_listen(&err), err);
	assert_ok(service_new(&site.conf, SPAWN_LOG_STDERR, &service, &err),
	    err);
	make_file(FILE_BYTES);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	service_free(&service);
	site_close(&site);
	return 0;
}

static bool
is_delivered(void)
{
	return site_job(&site, "app", job_id).delivered_at_ms != JOB_UNKNOWN;
}

/* All of the file, as it was captured. */
static void
make_answer(bool delivers, struct answer *answer)
{
	const struct job job = site_job(&site, "app", job_id);
	struct err err;

	answer_init(answer);
	answer->kind = ANSWER_FILE;
	answer->status = 200;
	answer->type = "application/octet-stream";
	answer->coding = ARTIFACT_IDENTITY;
	answer->file_bytes = job.sum.size_bytes;
	answer->delivers = delivers;
	(void)str_copy(answer->job_id, sizeof(answer->job_id), job_id);
	assert_ok(artifact_open(site.state_dir, job_id, "heapsnapshot",
	    &job.sum, &answer->reader, &err), err);
}

static struct request *
make_request(struct gate *gate)
{
	struct request *request = NULL;
	struct err err;

	assert_ok(request_new(&gate, &request, &err), err);
	assert_ok(request_read(request, &err), err);
	assert_ok(gate_read_body(request->gate, &request->body, &err), err);
	return request;
}

/* A CGI request that answers into a file; its size in the end. */
static off_t
send_to_file(bool delivers)
{
	static char *const env[] = { NULL };
	struct answer answer;
	struct stat st;
	struct gate *gate;
	int out;

	gate = front_gate(env, "", &out);
	make_answer(delivers, &answer);
	download_send(service, make_request(gate), &answer);
	assert_null(answer.reader);
	assert_int_equal(fstat(out, &st), 0);
	assert_int_equal(close(out), 0);
	return st.st_size;
}

static void
test_whole(void **state)
{
	(void)state;
	assert_true(send_to_file(false) > FILE_BYTES);
	assert_false(is_delivered());
	assert_true(send_to_file(true) > FILE_BYTES);
	assert_true(is_delivered());
}

/* A file of fewer bytes than the part that is held back. */
static void
test_tiny(void **state)
{
	static char *const env[] = { NULL };
	struct answer answer;
	struct gate *gate;
	const char *text;
	int out;

	(void)state;
	make_file(2);
	gate = front_gate(env, "", &out);
	make_answer(true, &answer);
	download_send(service, make_request(gate), &answer);
	text = front_output(out);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n{}");
	assert_true(is_delivered());
}

static void
test_nobody_reads(void **state)
{
	static char *const env[] = { NULL };
	struct answer answer;
	struct gate *gate = NULL;
	struct err err;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	(void)close(ends[0]);
	assert_ok(gate_open_cgi(front_input("", 0), ends[1], env, &gate, &err),
	    err);
	make_answer(true, &answer);
	download_send(service, make_request(gate), &answer);
	assert_false(is_delivered());
}

/* The file shrinks under our hands: no end of the answer. */
static void
test_cut_file(void **state)
{
	static char *const env[] = { NULL };
	struct answer answer;
	char path[400];
	struct stat st;
	struct gate *gate;
	int out;

	(void)state;
	site.conf.compression = COMPRESSION_NONE;
	make_file(FILE_BYTES);
	gate = front_gate(env, "", &out);
	make_answer(true, &answer);
	(void)snprintf(path, sizeof(path), "%s/artifacts/%s.heapsnapshot",
	    site.state_dir, job_id);
	assert_int_equal(truncate(path, FILE_BYTES - 1), 0);
	download_send(service, make_request(gate), &answer);
	assert_int_equal(fstat(out, &st), 0);
	assert_true(st.st_size < FILE_BYTES);
	assert_int_equal(close(out), 0);
	assert_false(is_delivered());
}

/* It was sent, but that cannot be written down. */
static void
test_no_database(void **state)
{
	static char *const env[] = { NULL };
	struct answer answer;
	char aside[320];
	struct stat st;
	struct gate *gate;
	struct err err;
	int out;

	(void)state;
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	gate = front_gate(env, "", &out);
	/* The file is open before the directory goes. */
	make_answer(true, &answer);
	db_close(&site.db);
	assert_int_equal(rename(site.state_dir, aside), 0);
	download_send(service, make_request(gate), &answer);
	assert_int_equal(rename(aside, site.state_dir), 0);
	assert_int_equal(fstat(out, &st), 0);
	assert_true(st.st_size > FILE_BYTES);
	assert_int_equal(close(out), 0);
	assert_ok(job_open_db(site.state_dir, &site.db, &err), err);
	assert_false(is_delivered());
}

/* A FastCGI client and its request. */
static struct request *
accept_request(int *ret_client)
{
	static const char *const env[] = { "REQUEST_METHOD=GET", NULL };
	static struct front_bytes bytes;
	struct gate *gate = NULL;
	struct err err;

	bytes.len = 0;
	front_head(&bytes, env);
	front_record(&bytes, F_STDIN, 1, "", 0);
	*ret_client = front_connect(socket_path);
	front_send(*ret_client, &bytes);
	assert_ok(gate_accept(watch, 1000, &gate, &err), err);
	assert_non_null(gate);
	assert_int_equal(gate_head(gate, 1000), GATE_HEAD_WHOLE);
	return make_request(gate);
}

static void
await(struct downloads *downloads)
{
	assert_true(downloads_await(downloads, clock_mono_ms() + 20000));
}

static void
test_threads(void **state)
{
	struct downloads *downloads = NULL;
	struct request *request;
	struct answer answer;
	struct err err;
	char half[FILE_BYTES / 2];
	int client[3];
	size_t i, len;
	bool ended;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	/* Two that read nothing yet, and no place for a third. */
	for (i = 0; i < 2; i++) {
		request = accept_request(&client[i]);
		make_answer(true, &answer);
		assert_ok(downloads_start(downloads, request, &answer, &err),
		    err);
		assert_null(answer.reader);
	}
	request = accept_request(&client[2]);
	make_answer(true, &answer);
	assert_err(downloads_start(downloads, request, &answer, &err), err,
	    ERR_LIMIT, "[limits] downloads");
	assert_non_null(answer.reader);
	answer_fini(&answer);
	request_free(&request);
	(void)close(client[2]);
	assert_false(downloads_await(downloads, clock_mono_ms() + 20));
	/* One leaves in the middle. */
	assert_true(front_recv(client[0], half, sizeof(half)));
	(void)close(client[0]);
	/* The other takes its time, and all of it. */
	(void)front_answer(client[1], &len, &ended);
	assert_true(ended);
	assert_true(len > FILE_BYTES);
	(void)close(client[1]);
	await(downloads);
	assert_true(is_delivered());
	downloads_free(&downloads);
}

static void
test_left(void **state)
{
	struct downloads *downloads = NULL;
	struct request *request;
	struct answer answer;
	struct err err;
	char half[FILE_BYTES / 2];
	int client;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	request = accept_request(&client);
	make_answer(true, &answer);
	assert_ok(downloads_start(downloads, request, &answer, &err), err);
	assert_true(front_recv(client, half, sizeof(half)));
	(void)close(client);
	await(downloads);
	assert_false(is_delivered());
	downloads_free(&downloads);
	assert_null(downloads);
	downloads_free(&downloads);
}

/* A long response goes the same way, and is nobody's delivery. */
static void
test_long_response(void **state)
{
	struct downloads *downloads = NULL;
	struct request *request;
	struct answer answer;
	struct err err;
	size_t i, len;
	bool ended;
	int client;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	request = accept_request(&client);
	answer_init(&answer);
	assert_ok(answer_text(&answer, 200, "", &err), err);
	for (i = 0; i < 50000; i++)
		assert_ok(buf_adds(&answer.body, "0123456789", &err), err);
	assert_ok(downloads_start(downloads, request, &answer, &err), err);
	(void)front_answer(client, &len, &ended);
	assert_true(ended);
	assert_true(len > 500000);
	(void)close(client);
	await(downloads);
	downloads_free(&downloads);
	assert_false(is_delivered());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_whole),
		TEST(test_tiny),
		TEST(test_nobody_reads),
		TEST(test_cut_file),
		TEST(test_no_database),
		TEST(test_threads),
		TEST(test_left),
		TEST(test_long_response),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
