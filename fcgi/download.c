/*
 * Downloads: a thread, a file, a 64 KB piece of memory each, and what pack.h says
 * where the file is decompressed.
 */
#include "download.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "route.h"
#include "thread.h"
#include "traffic.h"

#define PIECE_BYTES (64 << 10)
/* Places of their own for long responses, lists of jobs: they are in memory, and
 * must not wait for files; and for those to people without a token, who must
 * not keep others from theirs. */
#define RESPONSES_MAX 16
#define PUBLIC_MAX 8
#define RESPONSE_MS 60000
/* All of a download: ten minutes, and a second for each 64 kB. */
#define DOWNLOAD_MS 600000
#define DOWNLOAD_BYTES_PER_MS 64
/* A client may stop reading for so long: a laptop that sleeps is given up, a
 * bad network is not. */
#define SEND_TIMEOUT_MS 60000

enum place {
	PLACE_FILE,
	PLACE_RESPONSE,
	PLACE_PUBLIC,
	PLACES_LEN
};

struct downloads {
	struct service *service;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int64_t taken[PLACES_LEN];	/* under way */
};

/* What a new thread gets. */
struct task {
	struct downloads *downloads;
	enum place place;
	struct request *request;
	struct answer answer;
};

/* The bytes of the answer from position at on. */
static int
read_piece(const struct answer *answer, int64_t at, void *data, size_t len,
    struct err *err)
{
	char *p = data;
	int64_t n;

	for (at += answer->first_byte; len > 0; at += n) {
		n = artifact_read(
		    answer->reader, answer->coding, at, p, len, err);
		if (n < 0)
			return -1;
		if (n == 0)
			return err_set(err, ERR_STORE,
			    "the artifact is shorter than it should be");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The first bytes of the answer to the gate; counts them. */
static int
send_bytes(const struct answer *answer, struct gate *gate, int64_t bytes,
    int64_t *sent_bytes, struct err *err)
{
	char *piece = malloc(PIECE_BYTES);
	size_t len;
	int rc = 0;

	if (piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a download");
	while (rc == 0 && *sent_bytes < bytes) {
		len = bytes - *sent_bytes < PIECE_BYTES
		    ? (size_t)(bytes - *sent_bytes) : PIECE_BYTES;
		rc = read_piece(answer, *sent_bytes, piece, len, err);
		if (rc == 0)
			rc = gate_write(gate, piece, len, err);
		if (rc == 0)
			*sent_bytes += (int64_t)len;
	}
	free(piece);
	return rc;
}

/* To whom the file is not delivered by it; he may be as slow as he likes. */
static int
finish_file(struct request *request, const void *tail, size_t len,
    struct err *err)
{
	if (gate_peer(request->gate) == GATE_PEER_LEFT)
		return err_set(err, ERR_INTERNAL, "the client left");
	if (gate_write(request->gate, tail, len, err) != 0)
		return -1;
	return gate_finish(&request->gate, err);
}

/*
 * The last bytes are held back until nothing else can go wrong.  Before them the
 * peer is asked whether it is there; after them it may leave at any time, as it
 * has all that Content-Length says, and has got the file nevertheless.
 */
static int
send_tail(struct service *service, struct request *request,
    const struct answer *answer, size_t len, int64_t *sent_bytes,
    bool *ret_sent, struct err *err)
{
	char tail[GATE_TAIL_MAX];
	int rc;

	if (read_piece(answer, *sent_bytes, tail, len, err) != 0 ||
	    gate_flush(request->gate, err) != 0)
		return -1;
	if (!answer->delivers) {
		rc = finish_file(request, tail, len, err);
		*ret_sent = rc == 0;
	} else if (gate_brace(request->gate, SEND_TIMEOUT_MS, err) != 0) {
		return -1;
	} else {
		rc = service_hand_over(service, &request->gate, answer->job_id,
		    tail, len, ret_sent, err);
	}
	if (*ret_sent)
		*sent_bytes += (int64_t)len;
	return rc;
}

void
download_audit(const struct request *request, int64_t file_bytes,
    const char *outcome, bool delivered, const char *reason)
{
	char bytes[24];
	const struct log_field fields[] = {
		{ "who", request->principal.who },
		{ "app", request->app },
		{ "bytes", bytes },
		{ "outcome", outcome },
		{ "delivered", delivered ? "yes" : "no" },
		{ "reason", reason },
	};

	(void)snprintf(bytes, sizeof(bytes), "%lld", (long long)file_bytes);
	log_audit("download", fields, sizeof(fields) / sizeof(fields[0]));
}

static void
send_file(struct service *service, struct request *request,
    const struct answer *answer)
{
	const int64_t tail = answer->file_bytes < GATE_TAIL_MAX ?
	    answer->file_bytes : GATE_TAIL_MAX;
	int64_t sent_bytes = 0;
	bool sent = false;
	struct err err;
	int rc;

	log_bind(request->id, answer->job_id);
	rc = answer_send_head(answer, request->gate, &err);
	if (rc == 0)
		rc = send_bytes(answer, request->gate,
		    answer->file_bytes - tail, &sent_bytes, &err);
	if (rc == 0)
		rc = send_tail(service, request, answer, (size_t)tail,
		    &sent_bytes, &sent, &err);
	download_audit(request, sent_bytes, sent ? "complete" : "aborted",
	    answer->delivers && rc == 0, rc != 0 ? err.msg : NULL);
	/* The file, or the record of its delivery: that is ours to mend. */
	if (rc != 0 && err.code != ERR_INTERNAL)
		log_error("download", "%s", err.msg);
}

static void
send_response(struct request *request, const struct answer *answer)
{
	struct err err;

	if (answer_send(answer, request->gate, false, &err) != 0 ||
	    gate_finish(&request->gate, &err) != 0)
		log_debug("download", "%s %s: the answer was not handed over: "
		    "%s", request->method_name, request->path, err.msg);
}

/* Who reads more slowly than that keeps the place from others, and the file
 * from being removed; he can go on where he was by a range. */
static int64_t
most_ms(const struct answer *answer)
{
	if (answer->kind != ANSWER_FILE)
		return RESPONSE_MS;
	return DOWNLOAD_MS + answer->file_bytes / DOWNLOAD_BYTES_PER_MS;
}

void
download_send(struct service *service, struct request *request_take,
    struct answer *answer_take)
{
	gate_set_deadline(request_take->gate, most_ms(answer_take));
	gate_set_send_timeout(request_take->gate, SEND_TIMEOUT_MS);
	if (answer_take->kind == ANSWER_FILE)
		send_file(service, request_take, answer_take);
	else
		send_response(request_take, answer_take);
	answer_fini(answer_take);
	request_free(&request_take);
}

int
downloads_new(struct service *service, struct downloads **ret_downloads,
    struct err *err)
{
	struct downloads *downloads = calloc(1, sizeof(*downloads));

	if (downloads == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	downloads->service = service;
	(void)pthread_mutex_init(&downloads->lock, NULL);
	thread_cond_init(&downloads->changed);
	*ret_downloads = downloads;
	return 0;
}

/* With the lock. */
static bool
is_busy(const struct downloads *downloads)
{
	size_t i;

	for (i = 0; i < PLACES_LEN; i++)
		if (downloads->taken[i] > 0)
			return true;
	return false;
}

void
downloads_free(struct downloads **downloads)
{
	struct downloads *d = *downloads;

	if (d == NULL)
		return;
	assert(!is_busy(d));
	(void)pthread_cond_destroy(&d->changed);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
	*downloads = NULL;
}

static enum place
place_of(const struct request *request, const struct answer *answer)
{
	if (answer->kind == ANSWER_FILE)
		return PLACE_FILE;
	return request->is_known ? PLACE_RESPONSE : PLACE_PUBLIC;
}

static int64_t
places_of(const struct downloads *downloads, enum place place)
{
	if (place == PLACE_FILE)
		return service_conf(downloads->service)->downloads;
	return place == PLACE_RESPONSE ? RESPONSES_MAX : PUBLIC_MAX;
}

static int
enter(struct downloads *downloads, enum place place, struct err *err)
{
	const int64_t max = places_of(downloads, place);
	bool is_free;

	(void)pthread_mutex_lock(&downloads->lock);
	is_free = downloads->taken[place] < max;
	if (is_free)
		downloads->taken[place]++;
	service_set_downloads(
	    downloads->service, downloads->taken[PLACE_FILE]);
	(void)pthread_mutex_unlock(&downloads->lock);
	if (is_free)
		return 0;
	if (place == PLACE_FILE)
		return err_set(err, ERR_LIMIT, "%lld downloads are under way, "
		    "which is [limits] downloads; try again later",
		    (long long)max);
	return err_set(err, ERR_LIMIT, "%lld long answers are under way; try "
	    "again later%s", (long long)max, place == PLACE_RESPONSE ?
	    ", or with a lower limit" : "");
}

static void
leave(struct downloads *downloads, enum place place)
{
	(void)pthread_mutex_lock(&downloads->lock);
	downloads->taken[place]--;
	service_set_downloads(
	    downloads->service, downloads->taken[PLACE_FILE]);
	(void)pthread_cond_broadcast(&downloads->changed);
	(void)pthread_mutex_unlock(&downloads->lock);
}

static void *
run(void *arg)
{
	struct task *task = arg;
	struct downloads *downloads = task->downloads;
	const enum place place = task->place;

	log_bind(task->request->id, NULL);
	/* Before anybody has the answer, and asks how many there were. */
	traffic_count(service_traffic(downloads->service),
	    route_number(task->request->route), task->request->method,
	    task->answer.status);
	download_send(downloads->service, task->request, &task->answer);
	free(task);
	leave(downloads, place);
	return NULL;
}

int
downloads_start(struct downloads *downloads, struct request *request_take,
    struct answer *answer_take, struct err *err)
{
	const enum place place = place_of(request_take, answer_take);
	struct task *task = NULL;

	if (enter(downloads, place, err) != 0)
		return -1;
	task = calloc(1, sizeof(*task));
	if (task == NULL) {
		leave(downloads, place);
		return err_set(err, ERR_NOMEM, "no memory for a download");
	}
	task->downloads = downloads;
	task->place = place;
	task->request = request_take;
	task->answer = *answer_take;
	if (thread_start(run, task, NULL, err) != 0) {
		free(task);
		leave(downloads, place);
		return -1;
	}
	/* Its content is the thread's. */
	answer_init(answer_take);
	return 0;
}

bool
downloads_await(struct downloads *downloads, int64_t deadline_ms)
{
	bool idle;

	(void)pthread_mutex_lock(&downloads->lock);
	while (is_busy(downloads) && thread_cond_wait(&downloads->changed,
		&downloads->lock, deadline_ms))
		continue;
	idle = !is_busy(downloads);
	(void)pthread_mutex_unlock(&downloads->lock);
	return idle;
}
