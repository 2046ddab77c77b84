/*
 * Jobs and their files as answers.
 */
#include "view.h"

#include <string.h>

#include "artifact.h"
#include "clock.h"
#include "digest.h"
#include "json.h"

/* Nothing tells when a heap snapshot will be done. */
#define SNAPSHOT_RETRY_S 2

static int64_t
retry_after_s(const struct job *job)
{
	int64_t since_ms, left_ms;

	if (job->kind == JOB_HEAP_SNAPSHOT)
		return SNAPSHOT_RETRY_S;
	since_ms = job->started_at_ms != JOB_UNKNOWN ? job->started_at_ms
	    : job->created_at_ms;
	left_ms = since_ms + job->duration_ms - clock_utc_ms();
	if (left_ms > job->duration_ms)
		left_ms = job->duration_ms;	/* the clock was set back */
	return left_ms > 0 ? left_ms / 1000 + 1 : 1;
}

void
view_headers(const struct job *job, struct answer *answer)
{
	answer_header(answer, "X-Job-Id", "%s", job->id);
	if (!job_is_final(job))
		answer->retry_after_s = retry_after_s(job);
}

void
view_link(const struct request *request, const char *job_id,
    const char *header, struct answer *answer)
{
	char base[REQUEST_BASE_MAX];

	request_base(request, base);
	answer_header(answer, header, "%s/jobs/%s", base, job_id);
}

int
view_job(const struct request *request, const struct job *job, int status,
    struct answer *answer, struct err *err)
{
	struct json *object = json_new_object();
	char base[REQUEST_BASE_MAX];
	int rc = -1;

	request_base(request, base);
	if (job_put_json(job, base, object, err) != 0 ||
	    json_print(object, &answer->body, err) != 0)
		goto out;
	answer->kind = ANSWER_RESPONSE;
	answer->status = status;
	answer->type = "application/json";
	view_headers(job, answer);
	/* Done already: come and get it. */
	if (status == 202 && answer->retry_after_s == 0)
		answer->retry_after_s = 1;
	rc = 0;
out:
	json_free(&object);
	return rc;
}

/* ETag and Repr-Digest (RFC 9530) of the bytes as they are sent. */
static void
put_digest(const char *hex, struct answer *answer)
{
	unsigned char digest[DIGEST_BYTES];
	char base64[DIGEST_BASE64_MAX];

	if (!str_is_hex(hex, 2 * sizeof(digest)))
		return;
	(void)str_unhex(hex, sizeof(digest), digest);
	digest_base64(digest, base64);
	answer_header(answer, "ETag", "\"%s\"", hex);
	answer_header(answer, "Repr-Digest", "sha-256=:%s:", base64);
}

static int
check_file(const struct job *job, struct err *err)
{
	char when[CLOCK_RFC3339_MAX];

	if (!job_is_final(job))
		return err_set(err, ERR_CONFLICT, "the job is %s; its file is "
		    "there once it has succeeded", job_state_name(job->state));
	if (job->state == JOB_FAILED)
		return err_set(err, ERR_NOT_FOUND,
		    "the job failed and left no file: %s", job->error.msg);
	if (job->state == JOB_CANCELED)
		return err_set(err, ERR_NOT_FOUND,
		    "the job was canceled and left no file");
	if (job->removed_at_ms == JOB_UNKNOWN)
		return 0;
	clock_format_rfc3339(job->removed_at_ms, when);
	return err_set(err, ERR_GONE, "the file was removed at %s, %s", when,
	    job->delivered_at_ms != JOB_UNKNOWN
	    ? "some time after its delivery ([limits] grace)"
	    : "when it had expired ([limits] keep)");
}

int
view_file(const struct service *service, const struct job *job,
    struct answer *answer, struct err *err)
{
	char when[CLOCK_HTTP_MAX];

	view_headers(job, answer);
	if (check_file(job, err) != 0)
		return -1;
	if (artifact_open(service_conf(service)->state_dir, job->id,
	    job_extension(job->kind), job->sum.stored_bytes, &answer->fd,
	    err) != 0)
		return -1;
	answer->kind = ANSWER_FILE;
	answer->status = 200;
	answer->type = "application/octet-stream";
	answer->file_bytes = job->sum.stored_bytes;
	(void)str_copy(answer->job_id, sizeof(answer->job_id), job->id);
	answer_attachment(answer, job->artifact_name);
	put_digest(job->sum.sha256, answer);
	clock_format_http(job->finished_at_ms, when);
	answer_header(answer, "Last-Modified", "%s", when);
	answer_header(answer, "Accept-Ranges", "none");
	return 0;
}
