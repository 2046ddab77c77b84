/* Sending files: what counts as handed over, and what does not. */
#include "site.h"

#include <fcntl.h>
#include <signal.h>

#include "clock.h"
#include "download.h"
#include "file.h"
#include "request.h"
#include "service.h"

/* Three of zstd's frames. */
#define FILE_BYTES (3 << 20)

static struct site site;
static struct service *service;
static struct gate_watch *watch;
static char socket_path[300];
static char job_id[UUID_MAX];

/* The last service_hand_over(): what of the answer was out by then, and what
 * it was given. */
static struct {
	int fd;		/* the answer's; -1: nobody looks */
	int calls;
	off_t out_bytes;
	char tail[GATE_TAIL_MAX];
	size_t tail_len;
} handover = { .fd = -1 };

int __wrap_service_hand_over(struct service *service_,
    struct gate **gate_take, const char *id, const void *tail, size_t len,
    bool *ret_sent, struct err *err);
int __real_service_hand_over(struct service *service_,
    struct gate **gate_take, const char *id, const void *tail, size_t len,
    bool *ret_sent, struct err *err);

int
__wrap_service_hand_over(struct service *service_, struct gate **gate_take,
    const char *id, const void *tail, size_t len, bool *ret_sent,
    struct err *err)
{
	struct stat st;

	if (handover.fd >= 0 && fstat(handover.fd, &st) == 0) {
		handover.calls++;
		handover.out_bytes = st.st_size;
		handover.tail_len = len;
		if (len <= sizeof(handover.tail))
			memcpy(handover.tail, tail, len);
	}
	return __real_service_hand_over(service_, gate_take, id, tail, len,
	    ret_sent, err);
}

/* The last that was set. */
static int64_t deadline_ms;

void __wrap_gate_set_deadline(struct gate *gate, int64_t ms);
void __real_gate_set_deadline(struct gate *gate, int64_t ms);

void
__wrap_gate_set_deadline(struct gate *gate, int64_t ms)
{
	__atomic_store_n(&deadline_ms, ms, __ATOMIC_RELAXED);
	__real_gate_set_deadline(gate, ms);
}

/* A client of FastCGI that leaves the moment it has all of the answer, whether
 * or not it has been told that this was the end. */
static struct {
	int fd;		/* -1: there is none */
	struct buf got;
	const char *last;
	size_t last_len;
} hasty = { .fd = -1 };

int __wrap_gate_flush(struct gate *gate, struct err *err);
int __real_gate_flush(struct gate *gate, struct err *err);

int
__wrap_gate_flush(struct gate *gate, struct err *err)
{
	const int rc = __real_gate_flush(gate, err);
	char piece[1 << 12];
	struct err none;
	ssize_t n;

	if (hasty.fd < 0)
		return rc;
	while ((n = recv(hasty.fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		assert_ok(buf_add(&hasty.got, piece, (size_t)n, &none), none);
	if (memmem(hasty.got.data, hasty.got.len, hasty.last,
		hasty.last_len) != NULL) {
		assert_int_equal(close(hasty.fd), 0);
		hasty.fd = -1;
	}
	return rc;
}

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
	site_take(&site, bytes, job_id);
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
	front_drop_log();
	service_free(&service);
	site_close(&site);
	return 0;
}

static bool
is_delivered(void)
{
	return site_job(&site, "app", job_id).delivered_at_ms != JOB_UNKNOWN;
}

static struct job
the_job(void)
{
	return site_job(&site, "app", job_id);
}

/* The file in a coding, and from which of its bytes on how many. */
static void
make_part(enum artifact_coding coding, int64_t first, int64_t bytes,
    struct answer *answer)
{
	const struct job job = the_job();
	struct err err;

	answer_init(answer);
	answer->kind = ANSWER_FILE;
	answer->status = 206;
	answer->type = "application/octet-stream";
	answer->coding = coding;
	answer->first_byte = first;
	answer->file_bytes = bytes;
	(void)str_copy(answer->job_id, sizeof(answer->job_id), job_id);
	assert_ok(artifact_open(site.state_dir, job_id, "heapsnapshot",
	    &job.sum, &answer->reader, &err), err);
}

/* All of it. */
static void
make_whole(enum artifact_coding coding, bool delivers, struct answer *answer)
{
	const struct job job = the_job();

	make_part(coding, 0, coding == ARTIFACT_ZSTD ? job.sum.stored_bytes
	    : job.sum.size_bytes, answer);
	answer->status = 200;
	answer->delivers = delivers;
}

static void
make_answer(bool delivers, struct answer *answer)
{
	make_whole(ARTIFACT_IDENTITY, delivers, answer);
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

/* What was sent to a CGI request; free it with buf_fini(). */
struct sent {
	struct buf text;
	const char *body;	/* in text */
	size_t body_len;
};

static struct sent
send_answer(struct answer *answer)
{
	static char *const env[] = { NULL };
	struct sent sent;
	struct gate *gate;
	char piece[1 << 16];
	struct err err;
	ssize_t n;
	int out;

	gate = front_gate(env, "", &out);
	memset(&handover, 0, sizeof(handover));
	handover.fd = out;
	download_send(service, make_request(gate), answer);
	handover.fd = -1;
	assert_null(answer->reader);
	buf_init(&sent.text, FILE_BYTES + (1 << 16));
	while ((n = pread(out, piece, sizeof(piece),
	    (off_t)sent.text.len)) > 0)
		assert_ok(buf_add(&sent.text, piece, (size_t)n, &err), err);
	assert_int_equal(n, 0);
	assert_int_equal(close(out), 0);
	sent.body = strstr(buf_str(&sent.text), "\r\n\r\n");
	assert_non_null(sent.body);
	sent.body += 4;
	sent.body_len = sent.text.len -
	    (size_t)(sent.body - sent.text.data);
	return sent;
}

/* The representation in that coding. */
static void
read_form(enum artifact_coding coding, struct buf *out)
{
	const size_t size = (size_t)the_job().sum.size_bytes;
	char path[400], piece[4096];
	struct err err;
	size_t i, n;

	buf_init(out, FILE_BYTES + (1 << 16));
	if (coding == ARTIFACT_ZSTD) {
		site_path(&site, job_id, path);
		assert_ok(file_read(path, out, &err), err);
		return;
	}
	while (out->len < size) {
		n = size - out->len < sizeof(piece) ? size - out->len :
		    sizeof(piece);
		for (i = 0; i < n; i++)
			piece[i] = site_byte(out->len + i, size);
		assert_ok(buf_add(out, piece, n, &err), err);
	}
}

/* All of it arrives, each byte as it is; where it is delivered, the last ones
 * by service_hand_over(). */
static void
try_whole(enum artifact_coding coding, bool delivers)
{
	struct answer answer;
	struct sent sent;
	struct buf form;
	size_t tail;

	make_whole(coding, delivers, &answer);
	read_form(coding, &form);
	sent = send_answer(&answer);
	assert_int_equal(sent.body_len, form.len);
	assert_memory_equal(sent.body, form.data, form.len);
	assert_int_equal(handover.calls, delivers);
	if (delivers) {
		tail = form.len < GATE_TAIL_MAX ? form.len : GATE_TAIL_MAX;
		assert_int_equal(handover.tail_len, tail);
		assert_int_equal(handover.out_bytes, sent.text.len - tail);
		assert_memory_equal(handover.tail,
		    form.data + form.len - tail, tail);
	}
	buf_fini(&form);
	buf_fini(&sent.text);
}

static void
test_whole(void **state)
{
	static const enum artifact_coding codings[] = { ARTIFACT_IDENTITY,
		ARTIFACT_ZSTD };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		make_file(FILE_BYTES);
		try_whole(codings[i], false);
		assert_false(is_delivered());
		try_whole(codings[i], true);
		assert_true(is_delivered());
	}
	site.conf.compression = COMPRESSION_NONE;
	make_file(FILE_BYTES);
	try_whole(ARTIFACT_IDENTITY, false);
	assert_false(is_delivered());
	try_whole(ARTIFACT_IDENTITY, true);
	assert_true(is_delivered());
}

/* Files around the size of what is held back. */
static void
test_small(void **state)
{
	static const size_t sizes[] = { 2, GATE_TAIL_MAX - 1, GATE_TAIL_MAX,
		GATE_TAIL_MAX + 1 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_file(sizes[i]);
		try_whole(ARTIFACT_IDENTITY, true);
		assert_true(is_delivered());
		make_file(sizes[i]);
		try_whole(ARTIFACT_ZSTD, true);
		assert_true(is_delivered());
	}
}

static void
try_parts(enum artifact_coding coding)
{
	static const struct {
		int64_t first, bytes;	/* first < 0: from the end */
	} parts[] = {
		{ 0, 1 }, { 1, 1 }, { -1, 1 }, { -100, 100 },
		/* Around a piece, and around a frame. */
		{ 65535, 2 }, { 65536, 65536 }, { 65537, 200000 },
		{ (1 << 20) - 1, 1 }, { 1 << 20, 1 }, { (1 << 20) - 1, 2 },
		{ (1 << 20) - 70000, 140000 }, { -70000, 70000 },
		{ (1 << 20) - 1, (1 << 19) + 2 }, { 700000, 700000 },
	};
	struct answer answer;
	struct sent sent;
	struct buf form;
	int64_t first;
	size_t i;

	read_form(coding, &form);
	/* So far they reach. */
	assert_true(form.len > (1 << 20) + (1 << 19) + 2);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		first = parts[i].first;
		if (first < 0)
			first += (int64_t)form.len;
		make_part(coding, first, parts[i].bytes, &answer);
		sent = send_answer(&answer);
		assert_memory_equal(sent.text.data,
		    "Status: 206 Partial Content\r\n", 29);
		assert_int_equal(sent.body_len, parts[i].bytes);
		assert_memory_equal(sent.body, form.data + first,
		    sent.body_len);
		buf_fini(&sent.text);
	}
	buf_fini(&form);
	assert_int_equal(handover.calls, 0);
	assert_false(is_delivered());
}

static void
test_parts(void **state)
{
	(void)state;
	try_parts(ARTIFACT_IDENTITY);
	try_parts(ARTIFACT_ZSTD);
	site.conf.compression = COMPRESSION_NONE;
	make_file(FILE_BYTES);
	try_parts(ARTIFACT_IDENTITY);
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

/* It does not end as its head says: nobody takes it for the file. */
static void
expect_aborted(struct answer *answer, const char *reason)
{
	const int64_t bytes = answer->file_bytes;
	const char *text;
	struct sent sent;
	char line[40];

	front_begin_log();
	sent = send_answer(answer);
	text = front_end_log();
	assert_true((int64_t)sent.body_len < bytes);
	(void)snprintf(line, sizeof(line), "Content-Length: %lld\r\n",
	    (long long)bytes);
	assert_non_null(strstr(buf_str(&sent.text), line));
	buf_fini(&sent.text);
	assert_int_equal(handover.calls, 0);
	assert_false(is_delivered());
	/* Who had how much, and what is to be mended. */
	assert_non_null(strstr(text, "outcome=aborted delivered=no"));
	assert_non_null(strstr(text, "level=error module=download"));
	if (strstr(text, reason) == NULL)
		fail_msg("no \"%s\" in %s", reason, text);
}

/* The file shrinks under our hands. */
static void
test_cut_file(void **state)
{
	struct answer answer;
	char path[400];
	int delivers;

	(void)state;
	for (delivers = 0; delivers < 2; delivers++) {
		site.conf.compression = COMPRESSION_NONE;
		make_file(FILE_BYTES);
		site_path(&site, job_id, path);
		make_whole(ARTIFACT_IDENTITY, delivers, &answer);
		assert_int_equal(truncate(path, FILE_BYTES - 1), 0);
		expect_aborted(&answer, "shorter");
		site.conf.compression = COMPRESSION_ZSTD;
		make_file(FILE_BYTES);
		site_path(&site, job_id, path);
		make_whole(ARTIFACT_ZSTD, delivers, &answer);
		assert_int_equal(truncate(path, 1 << 20), 0);
		expect_aborted(&answer, "shorter");
		make_file(FILE_BYTES);
		site_path(&site, job_id, path);
		make_whole(ARTIFACT_IDENTITY, delivers, &answer);
		assert_int_equal(truncate(path, 1 << 20), 0);
		expect_aborted(&answer, "");
	}
}

/* Change a byte of the stored file, so many sixths of it from its begin; once
 * more, and it is whole again. */
static void
damage(int sixths)
{
	char path[400];
	struct stat st;
	unsigned char byte;
	off_t at;
	int fd;

	site_path(&site, job_id, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	at = st.st_size * sixths / 6;
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x55;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	assert_int_equal(close(fd), 0);
}

/* In the middle of each of its frames. */
static void
test_damaged(void **state)
{
	static const int places[] = { 1, 3, 5 };
	static const size_t others[] = { 1, 2, 1 };
	struct answer answer;
	struct sent sent;
	size_t i;
	int delivers;

	(void)state;
	for (i = 0; i < 3; i++) {
		damage(places[i]);
		for (delivers = 0; delivers < 2; delivers++) {
			make_whole(ARTIFACT_IDENTITY, delivers, &answer);
			expect_aborted(&answer, "damaged");
		}
		/* A part that ends with that frame. */
		make_part(ARTIFACT_IDENTITY, (int64_t)i << 20, 1 << 20,
		    &answer);
		expect_aborted(&answer, "damaged");
		/* One that has nothing to do with it. */
		make_part(ARTIFACT_IDENTITY, (int64_t)others[i] << 20, 1 << 20,
		    &answer);
		sent = send_answer(&answer);
		assert_int_equal(sent.body_len, 1 << 20);
		assert_int_equal(sent.body[0], site_byte(others[i] << 20,
		    FILE_BYTES));
		buf_fini(&sent.text);
		damage(places[i]);
	}
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
	assert_true(downloads_await(downloads, clock_mono_ms() + 60000));
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

/* Who leaves in the middle has not got it, whether or not it would count. */
static void
test_left(void **state)
{
	struct downloads *downloads = NULL;
	struct request *request;
	struct answer answer;
	struct err err;
	char half[FILE_BYTES / 2];
	int client, delivers;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	for (delivers = 0; delivers < 2; delivers++) {
		front_begin_log();
		request = accept_request(&client);
		make_answer(delivers, &answer);
		assert_ok(downloads_start(downloads, request, &answer, &err),
		    err);
		assert_true(front_recv(client, half, sizeof(half)));
		(void)close(client);
		await(downloads);
		assert_non_null(strstr(front_end_log(), "outcome=aborted"));
		assert_false(is_delivered());
	}
	downloads_free(&downloads);
	assert_null(downloads);
	downloads_free(&downloads);
}

/* Who has got the last byte has got the file, however soon he leaves. */
static void
try_hasty(size_t bytes, bool delivers)
{
	const size_t last_bytes = bytes < 16 ? bytes : 16;
	struct request *request;
	struct answer answer;
	struct buf form;
	const char *text;
	int client;

	make_file(bytes);
	make_answer(delivers, &answer);
	read_form(ARTIFACT_IDENTITY, &form);
	request = accept_request(&client);
	buf_init(&hasty.got, bytes + (1 << 12));
	hasty.last = form.data + form.len - last_bytes;
	hasty.last_len = last_bytes;
	hasty.fd = client;
	front_begin_log();
	download_send(service, request, &answer);
	text = front_end_log();
	if (strstr(text, "outcome=complete") == NULL)
		fail_msg("%zu bytes: %s", bytes, text);
	assert_int_equal(is_delivered(), delivers);
	if (hasty.fd >= 0)
		assert_int_equal(close(hasty.fd), 0);
	hasty.fd = -1;
	buf_fini(&hasty.got);
	buf_fini(&form);
}

static void
test_hasty(void **state)
{
	static const size_t sizes[] = { 16, GATE_TAIL_MAX, 8000, 20000 };
	size_t i;

	(void)state;
	site.conf.compression = COMPRESSION_NONE;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		try_hasty(sizes[i], false);
		try_hasty(sizes[i], true);
	}
}

/* With FastCGI what is not whole has no end. */
static void
test_damaged_fastcgi(void **state)
{
	struct downloads *downloads = NULL;
	struct request *request;
	struct answer answer;
	struct err err;
	int client, delivers;
	size_t len;
	bool ended;

	(void)state;
	damage(5);
	assert_ok(downloads_new(service, &downloads, &err), err);
	for (delivers = 0; delivers < 2; delivers++) {
		request = accept_request(&client);
		make_answer(delivers, &answer);
		assert_ok(downloads_start(downloads, request, &answer, &err),
		    err);
		(void)front_answer(client, &len, &ended);
		assert_false(ended);
		assert_true(len < FILE_BYTES);
		assert_int_equal(close(client), 0);
		await(downloads);
		assert_false(is_delivered());
	}
	downloads_free(&downloads);
}

/* A request that waits for an answer of half a megabyte. */
static int
begin_response(struct downloads *downloads, bool is_known, struct err *err)
{
	struct request *request;
	struct answer answer;
	struct err none;
	int client, rc;

	request = accept_request(&client);
	request->is_known = is_known;
	answer_init(&answer);
	assert_ok(answer_text(&answer, 200, "", &none), none);
	while (answer.body.len < 500000)
		assert_ok(buf_adds(&answer.body, "0123456789", &none), none);
	rc = downloads_start(downloads, request, &answer, err);
	if (rc == 0)
		return client;
	answer_fini(&answer);
	request_free(&request);
	(void)close(client);
	return -1;
}

/* A long response goes the same way, and is nobody's delivery. */
static void
test_long_response(void **state)
{
	struct downloads *downloads = NULL;
	struct err err;
	size_t len;
	bool ended;
	int client;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	client = begin_response(downloads, true, &err);
	assert_true(client >= 0);
	(void)front_answer(client, &len, &ended);
	assert_true(ended);
	assert_true(len > 500000);
	(void)close(client);
	await(downloads);
	downloads_free(&downloads);
	assert_false(is_delivered());
}

/* A file that nobody reads yet; -1 if there is no place for it. */
static int
begin_file(struct downloads *downloads, struct err *err)
{
	struct request *request;
	struct answer answer;
	int client;

	request = accept_request(&client);
	make_answer(false, &answer);
	if (downloads_start(downloads, request, &answer, err) == 0)
		return client;
	answer_fini(&answer);
	request_free(&request);
	(void)close(client);
	return -1;
}

/* Files that nobody reads do not keep others from their lists, nor the other
 * way round. */
static void
test_places(void **state)
{
	struct downloads *downloads = NULL;
	struct err err;
	int client[100];
	size_t len = 0, publicly, i, sent;
	bool ended;

	(void)state;
	assert_ok(downloads_new(service, &downloads, &err), err);
	client[len++] = begin_file(downloads, &err);
	/* Who has no token first. */
	while (len < 100 &&
	    (client[len] = begin_response(downloads, false, &err)) >= 0)
		len++;
	assert_in_range(len, 4, 50);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_non_null(strstr(err.msg, "long answers are under way"));
	publicly = len;
	while (len < 100 &&
	    (client[len] = begin_response(downloads, true, &err)) >= 0)
		len++;
	assert_in_range(len, publicly + 4, 99);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_non_null(strstr(err.msg, "long answers are under way"));
	client[len++] = begin_file(downloads, &err);
	assert_int_equal(begin_file(downloads, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_non_null(strstr(err.msg, "[limits] downloads"));
	/* All of them come to their end. */
	for (i = 0; i < len; i++) {
		assert_true(client[i] >= 0);
		(void)front_answer(client[i], &sent, &ended);
		assert_true(ended);
		assert_true(sent > 500000);
		(void)close(client[i]);
	}
	await(downloads);
	downloads_free(&downloads);
}

/* Nobody may take for ever, but time enough: a second for each 64 kB. */
static void
test_deadlines(void **state)
{
	struct answer answer;
	struct sent sent;
	struct err err;

	(void)state;
	make_answer(true, &answer);
	sent = send_answer(&answer);
	buf_fini(&sent.text);
	assert_int_equal(deadline_ms, 600000 + FILE_BYTES / 64);
	make_part(ARTIFACT_ZSTD, 0, 640, &answer);
	sent = send_answer(&answer);
	buf_fini(&sent.text);
	assert_int_equal(deadline_ms, 600010);
	answer_init(&answer);
	assert_ok(answer_text(&answer, 200, "x", &err), err);
	sent = send_answer(&answer);
	buf_fini(&sent.text);
	assert_int_equal(deadline_ms, 60000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_whole),
		TEST(test_small),
		TEST(test_parts),
		TEST(test_nobody_reads),
		TEST(test_cut_file),
		TEST(test_damaged),
		TEST(test_damaged_fastcgi),
		TEST(test_no_database),
		TEST(test_threads),
		TEST(test_left),
		TEST(test_hasty),
		TEST(test_long_response),
		TEST(test_places),
		TEST(test_deadlines),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
