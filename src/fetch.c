/*
 * Loading an artifact: where it goes is fetch_place.c's, how it gets there is
 * here.
 */
#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "fetch_parts.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include "uuid.h"

#define PIECE 65536
#define BACKOFF_MS 250
#define BACKOFF_MAX_MS 10000
#define RETRY_AFTER_MAX_S 30

static void
report(const struct fetch *fetch, enum fetch_phase phase, int64_t wait_ms,
    const char *why)
{
	const struct fetch_progress progress = {
		.phase = phase,
		.done_bytes = fetch->done_bytes,
		.total_bytes = fetch->total_bytes,
		.begin_bytes = fetch->resumed_bytes,
		.cuts = fetch->cuts,
		.wait_ms = wait_ms,
		.why = why,
	};

	if (fetch->progress != NULL)
		fetch->progress(fetch->ctx, &progress);
}

static int
begin_digest(struct fetch *fetch, struct err *err)
{
	digest_free(&fetch->digest);
	return digest_new(&fetch->digest, err);
}

/* Forget what has come. */
static int
begin_anew(struct fetch *fetch, struct err *err)
{
	fetch->done_bytes = fetch->resumed_bytes = 0;
	fetch->etag[0] = '\0';
	if (ftruncate(fetch->fd, 0) != 0 ||
	    lseek(fetch->fd, 0, SEEK_SET) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", fetch->part);
	return begin_digest(fetch, err);
}

/* The service has no file to give: why, it says itself. */
static int
explain_nothing(struct client *client, const char *path, struct err *err)
{
	const struct client_request request = {
		.method = "GET", .path = path};
	struct client_reply reply;

	if (client_call(client, &request, &reply, err) != 0)
		return -1;
	if (reply.status >= 400)
		(void)client_refusal(client, &reply, err);
	else
		(void)err_set(err, ERR_TARGET_REFUSED, "the job's description "
		    "has no artifact, or none with a size and a SHA-256");
	client_reply_fini(&reply);
	return -1;
}

static int
learn(struct fetch *fetch, const char *job_id, struct err *err)
{
	const struct json *artifact;
	struct json *job = NULL;
	const char *name, *sha256;
	char path[UUID_MAX + 16];

	if (!uuid_is_valid(job_id))
		return err_set(err, ERR_INVALID, "\"%.60s\" is no job's id: "
		    "that is a UUID in lower case, as in the list of jobs",
		    job_id);
	(void)snprintf(path, sizeof(path), "jobs/%s", job_id);
	(void)snprintf(fetch->source, sizeof(fetch->source),
	    "jobs/%s/artifact", job_id);
	if (client_get(fetch->client, path, &job, err) != 0)
		return -1;
	artifact = json_get(job, "artifact");
	name = json_string(json_get(artifact, "name"));
	sha256 = json_string(json_get(artifact, "sha256"));
	fetch->total_bytes = json_int(json_get(artifact, "size"), -1);
	if (sha256 == NULL || !str_is_hex(sha256, 64) ||
	    fetch->total_bytes < 0) {
		json_free(&job);
		return explain_nothing(fetch->client, fetch->source, err);
	}
	fetch_safe_name(name != NULL ? name : "", fetch->name);
	(void)str_copy(fetch->sha256, sizeof(fetch->sha256), sha256);
	json_free(&job);
	return 0;
}

/* Take in what an earlier run has left. */
static int
read_part(struct fetch *fetch, struct err *err)
{
	char *piece = NULL;
	struct stat st;
	ssize_t n = 0;
	int rc = -1;

	if (fstat(fetch->fd, &st) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", fetch->part);
	if (st.st_size > fetch->total_bytes)
		return begin_anew(fetch, err);
	piece = malloc(PIECE);
	if (piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read %s",
		    fetch->part);
	while (!client_is_stopped(fetch->client) &&
	    (n = read(fetch->fd, piece, PIECE)) > 0) {
		digest_update(fetch->digest, piece, (size_t)n);
		fetch->done_bytes += n;
		report(fetch, FETCH_READING, 0, NULL);
	}
	if (n < 0)
		(void)err_set_errno(err, ERR_STORE, errno, "%s", fetch->part);
	else if (client_is_stopped(fetch->client))
		(void)err_set(err, ERR_INTERRUPTED, "stopped");
	else
		rc = 0;
	free(piece);
	fetch->resumed_bytes = fetch->done_bytes;
	/* The service's ETag of the bytes as they are; if it has another one
	 * it sends all of them. */
	(void)snprintf(fetch->etag, sizeof(fetch->etag), "\"%s\"",
	    fetch->sha256);
	return rc;
}

/* Is it the file that the job told of? */
static int
check_head(struct fetch *fetch, const struct client_reply *reply,
    int64_t first_byte, struct err *err)
{
	unsigned char sha256[DIGEST_BYTES];
	char base64[DIGEST_BASE64_MAX];

	(void)str_unhex(fetch->sha256, sizeof(sha256), sha256);
	digest_base64(sha256, base64);
	if (reply->digest[0] != '\0' && strcmp(reply->digest, base64) != 0)
		return err_set(err, ERR_STORE, "the file that is sent has "
		    "another digest than the job says: something between "
		    "podprof and here changes it");
	if (reply->length >= 0 &&
	    reply->length != fetch->total_bytes - first_byte)
		return err_set(err, ERR_STORE, "the file that is sent has "
		    "%lld bytes, and the job says %lld: something between "
		    "podprof and here changes it",
		    (long long)(reply->length + first_byte),
		    (long long)fetch->total_bytes);
	return 0;
}

static client_head_fn on_head;
static int
on_head(void *ctx, const struct client_reply *reply, struct err *err)
{
	struct fetch *fetch = ctx;
	const bool is_whole = reply->status == 200;

	if (!is_whole && reply->status != 206)
		return 0;
	if (check_head(fetch, reply, is_whole ? 0 : fetch->done_bytes, err) !=
	    0)
		return -1;
	fetch->skip_bytes =
	    is_whole && fetch->is_stdout ? fetch->done_bytes : 0;
	if (is_whole && !fetch->is_stdout && begin_anew(fetch, err) != 0)
		return -1;
	(void)str_copy(fetch->etag, sizeof(fetch->etag), reply->etag);
	return 0;
}

static int
write_piece(struct fetch *fetch, const char *data, size_t len,
    struct err *err)
{
	if (file_write(fetch->fd, data, len, err) == 0)
		return 0;
	if (err->code == ERR_SPACE)
		return fetch_no_room(fetch, err);
	return err_wrap(err, "%s", fetch->is_stdout ? "standard output" :
	    fetch->part);
}

static client_sink_fn on_piece;
static int
on_piece(void *ctx, const void *data, size_t len, struct err *err)
{
	struct fetch *fetch = ctx;
	const char *bytes = data;
	size_t skip;

	if (fetch->skip_bytes > 0) {
		skip = (int64_t)len < fetch->skip_bytes ?
		    len : (size_t)fetch->skip_bytes;
		fetch->skip_bytes -= (int64_t)skip;
		bytes += skip;
		len -= skip;
	}
	if ((int64_t)len > fetch->total_bytes - fetch->done_bytes)
		return err_set(err, ERR_STORE, "more is sent than the %lld "
		    "bytes that the job says",
		    (long long)fetch->total_bytes);
	if (len == 0)
		return 0;
	if (write_piece(fetch, bytes, len, err) != 0)
		return -1;
	digest_update(fetch->digest, bytes, len);
	fetch->done_bytes += (int64_t)len;
	report(fetch, FETCH_LOADING, 0, NULL);
	return 0;
}

/* What another moment may be better for. */
static bool
is_passing(const struct client_reply *reply)
{
	return reply->status == 429 || reply->status == 502 ||
	    reply->status == 503 || reply->status == 504;
}

/* Ask for what is missing: 0 it is all there, 1 try again, *ret_after_s later
 * at least. */
static int
load_once(struct fetch *fetch, int64_t *ret_after_s, struct err *err)
{
	const struct client_request request = {
		.method = "GET",
		.path = fetch->source,
		.first_byte = fetch->done_bytes,
		.etag = fetch->etag[0] != '\0' ? fetch->etag : NULL,
		.on_head = on_head,
		.sink = on_piece,
		.ctx = fetch,
	};
	struct client_reply reply;
	int rc = -1;

	*ret_after_s = 0;
	if (client_call(fetch->client, &request, &reply, err) != 0)
		return !client_is_stopped(fetch->client) &&
		    (err->code == ERR_INTERRUPTED ||
		    err->code == ERR_TARGET_TIMEOUT ||
		    err->code == ERR_TARGET_UNREACHABLE) ? 1 : -1;
	*ret_after_s = reply.retry_after_s;
	if (reply.status >= 400) {
		(void)client_refusal(fetch->client, &reply, err);
		rc = is_passing(&reply) ? 1 : -1;
	} else if (fetch->done_bytes < fetch->total_bytes) {
		(void)err_set(err, ERR_INTERRUPTED, "the connection was cut");
		rc = 1;
	} else {
		rc = 0;
	}
	client_reply_fini(&reply);
	return rc;
}

static int
wait_a_while(struct fetch *fetch, int64_t *backoff_ms, int64_t after_s,
    struct err *err)
{
	const struct err why = *err;
	int64_t ms = *backoff_ms;

	if (after_s > RETRY_AFTER_MAX_S)
		after_s = RETRY_AFTER_MAX_S;
	if (ms < after_s * 1000)
		ms = after_s * 1000;
	if (*backoff_ms < BACKOFF_MAX_MS)
		*backoff_ms *= 2;
	report(fetch, FETCH_WAITING, ms, why.msg);
	return client_pause(fetch->client, ms, err);
}

/* Have all of it, however often the connection is cut. */
static int
load(struct fetch *fetch, struct err *err)
{
	int64_t backoff_ms = BACKOFF_MS, before, after_s;
	int64_t last_ms = clock_mono_ms();
	int rc;

	while (fetch->done_bytes < fetch->total_bytes) {
		before = fetch->done_bytes;
		rc = load_once(fetch, &after_s, err);
		if (rc <= 0)
			return rc;
		if (fetch->done_bytes > before) {
			backoff_ms = BACKOFF_MS;
			last_ms = clock_mono_ms();
		}
		fetch->cuts++;
		if (clock_mono_ms() - last_ms > FETCH_PATIENCE_MS)
			return err_wrap(err, "given up after %d seconds "
			    "without a byte", FETCH_PATIENCE_MS / 1000);
		if (wait_a_while(fetch, &backoff_ms, after_s, err) != 0)
			return -1;
	}
	return 0;
}

static bool
is_right(struct fetch *fetch)
{
	unsigned char sum[DIGEST_BYTES];
	char hex[DIGEST_HEX_MAX];

	digest_finish(fetch->digest, sum);
	str_hex(sum, sizeof(sum), hex);
	return strcmp(hex, fetch->sha256) == 0;
}

/* Until it is right, or wrong for the second time. */
static int
load_right(struct fetch *fetch, struct err *err)
{
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (load(fetch, err) != 0)
			return -1;
		if (is_right(fetch))
			return 0;
		if (fetch->is_stdout)
			return err_set(err, ERR_STORE, "what went to standard "
			    "output is not the file, its SHA-256 is wrong: "
			    "do not use it");
		if (begin_anew(fetch, err) != 0)
			return -1;
		if (tries == 0)
			report(fetch, FETCH_WAITING, 0, "what came has a wrong "
			    "SHA-256: the way changes it, or an earlier try "
			    "left it; it is loaded from its beginning");
	}
	return err_set(err, ERR_STORE, "the file came twice with a wrong "
	    "SHA-256, and is removed: something between podprof and here "
	    "changes it, or its disk has a fault");
}

/* To what went wrong, what is left and how to go on. */
static void
tell_left(const struct fetch *fetch, struct err *err)
{
	if (err == NULL || fetch->fd < 0 || fetch->is_stdout ||
	    fetch->done_bytes == 0 || (err->code != ERR_INTERRUPTED &&
	    err->code != ERR_TARGET_TIMEOUT &&
	    err->code != ERR_TARGET_UNREACHABLE && err->code != ERR_LIMIT &&
	    err->code != ERR_SPACE))
		return;
	(void)snprintf(err->msg + strlen(err->msg),
	    sizeof(err->msg) - strlen(err->msg), "; %.200s has %lld of %lld "
	    "bytes, and the same command goes on from there", fetch->part,
	    (long long)fetch->done_bytes, (long long)fetch->total_bytes);
}

static int
run(struct fetch *fetch, const char *path, struct err *err)
{
	if (fetch_choose_place(fetch, path, err) != 0 ||
	    begin_digest(fetch, err) != 0)
		return -1;
	if (!fetch->is_stdout && (fetch_open_part(fetch, err) != 0 ||
	    read_part(fetch, err) != 0 || fetch_check_room(fetch, err) != 0))
		return -1;
	if (load_right(fetch, err) != 0)
		return -1;
	return fetch->is_stdout ? 0 : fetch_finish(fetch, err);
}

static bool
is_empty(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == 0;
}

int
fetch_artifact(struct client *client, const char *job_id, const char *path,
    fetch_progress_fn *progress, void *ctx, struct fetch_result *ret_result,
    struct err *err)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));
	int rc;

	if (fetch == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a download");
	fetch->client = client;
	fetch->progress = progress;
	fetch->ctx = ctx;
	fetch->fd = -1;
	rc = learn(fetch, job_id, err);
	if (rc == 0)
		rc = run(fetch, path, err);
	if (rc == 0) {
		memset(ret_result, 0, sizeof(*ret_result));
		(void)str_copy(ret_result->path, sizeof(ret_result->path),
		    fetch->path);
		(void)str_copy(ret_result->sha256, sizeof(ret_result->sha256),
		    fetch->sha256);
		ret_result->bytes = fetch->total_bytes;
		ret_result->resumed_bytes = fetch->resumed_bytes;
		ret_result->cuts = fetch->cuts;
	} else {
		tell_left(fetch, err);
		/* What is locked is ours to remove; not what was stopped
		 * before it could be read again. */
		if (fetch->is_locked && is_empty(fetch->fd))
			(void)unlink(fetch->part);
	}
	if (fetch->fd >= 0 && !fetch->is_stdout)
		(void)close(fetch->fd);
	digest_free(&fetch->digest);
	free(fetch);
	return rc;
}
