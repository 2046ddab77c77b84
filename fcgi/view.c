/*
 * Jobs and their files as answers.
 */
#include "view.h"

#include <stdio.h>
#include <string.h>

#include "artifact.h"
#include "clock.h"
#include "digest.h"
#include "download.h"
#include "json.h"
#include "log.h"
#include "negotiate.h"
#include "range.h"

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

/* Why a file that was there is no more, for people. */
static const char *
reason_of(const struct job *job)
{
	switch (job->removed_because) {
	case REMOVED_ROOM:
		return "to make room ([limits] store_bytes, store_jobs, "
		       "min_free_bytes)";
	case REMOVED_LOST:
		return "when it was found missing or damaged: not by podprof";
	case REMOVED_NOT:
	case REMOVED_EXPIRED:
		break;
	}
	return job->delivered_at_ms != JOB_UNKNOWN
	    ? "some time after its delivery ([limits] grace)"
	    : "when it had expired ([limits] keep)";
}

int
view_check_file(const struct job *job, struct err *err)
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
	if (job_has_artifact(job))
		return 0;
	/* One that has expired goes within a second, or when it was read. */
	clock_format_rfc3339(job->removed_at_ms != JOB_UNKNOWN
	    ? job->removed_at_ms : job->expires_at_ms, when);
	return err_set(err, ERR_GONE, "the file was removed at %s, %s", when,
	    reason_of(job));
}

/* One form in which the file can be sent. */
struct form {
	enum artifact_coding coding;
	const char *sha256;	/* hex */
	int64_t size_bytes;
	char etag[DIGEST_HEX_MAX + 2];
	char modified[CLOCK_HTTP_MAX];
};

static int
choose_form(const struct request *request, const struct job *job,
    struct form *out, struct err *err)
{
	const struct artifact_sum *sum = &job->sum;
	const bool has_zstd = sum->coding == ARTIFACT_ZSTD;

	switch (negotiate_coding(
	    gate_env(request->gate, "HTTP_ACCEPT_ENCODING"), has_zstd)) {
	case CODING_NONE:
		return err_set(err, ERR_NOT_ACCEPTABLE, "the file can be had "
		    "%s, which Accept-Encoding does not allow",
		    has_zstd ? "as it is or with zstd" : "as it is only");
	case CODING_ZSTD:
		out->coding = ARTIFACT_ZSTD;
		out->sha256 = sum->stored_sha256;
		out->size_bytes = sum->stored_bytes;
		break;
	case CODING_IDENTITY:
		out->coding = ARTIFACT_IDENTITY;
		out->sha256 = sum->sha256;
		out->size_bytes = sum->size_bytes;
		break;
	}
	(void)snprintf(out->etag, sizeof(out->etag), "\"%s\"", out->sha256);
	clock_format_http(job->finished_at_ms, out->modified);
	return 0;
}

/* Of any answer about the form, also one without it. */
static void
put_validators(const struct form *form, struct answer *answer)
{
	answer_header(answer, "ETag", "%s", form->etag);
	answer_header(answer, "Last-Modified", "%s", form->modified);
	answer_header(answer, "Accept-Ranges", "bytes");
}

/* Of an answer that has the form or a part of it. */
static void
put_form(const struct form *form, const struct job *job,
    struct answer *answer)
{
	unsigned char digest[DIGEST_BYTES];
	char base64[DIGEST_BASE64_MAX];

	if (str_is_hex(form->sha256, 2 * sizeof(digest))) {
		(void)str_unhex(form->sha256, sizeof(digest), digest);
		digest_base64(digest, base64);
		/* RFC 9530: of all of it, also where a part is sent. */
		answer_header(answer, "Repr-Digest", "sha-256=:%s:", base64);
	}
	if (form->coding == ARTIFACT_ZSTD)
		answer_header(answer, "Content-Encoding", "zstd");
	answer_attachment(answer, job->artifact_name);
}

static enum range_outcome
judge(const struct request *request, const struct job *job,
    enum view_use use, const struct form *form, int64_t *ret_first,
    int64_t *ret_bytes)
{
	const struct gate *gate = request->gate;
	const struct range_request wanted = {
		.is_get = request->method == HTTP_GET,
		.needs_if_range = use == VIEW_NEWEST,
		.range = gate_env(gate, "HTTP_RANGE"),
		.if_range = gate_env(gate, "HTTP_IF_RANGE"),
		.if_match = gate_env(gate, "HTTP_IF_MATCH"),
		.if_none_match = gate_env(gate, "HTTP_IF_NONE_MATCH"),
		.if_modified_since = gate_env(gate, "HTTP_IF_MODIFIED_SINCE"),
		.if_unmodified_since =
		    gate_env(gate, "HTTP_IF_UNMODIFIED_SINCE"),
	};
	const struct range_target target = {
		.etag = form->etag,
		.modified_ms = job->finished_at_ms,
		/* Not of both codings; and the newest may be another one of
		 * the same second. */
		.has_own_date = job->sum.coding == ARTIFACT_IDENTITY &&
		    use != VIEW_NEWEST,
		.size_bytes = form->size_bytes,
	};

	if (use == VIEW_FRESH) {
		*ret_first = 0;
		*ret_bytes = form->size_bytes;
		return RANGE_WHOLE;
	}
	return range_judge(&wanted, &target, ret_first, ret_bytes);
}

static bool
is_lighttpd(const struct request *request)
{
	static const char name[] = "lighttpd/";
	const char *software = gate_env(request->gate, "SERVER_SOFTWARE");

	return software != NULL &&
	    strncmp(software, name, sizeof(name) - 1) == 0;
}

/* Only what needs no judgement of the web server's own, which has other
 * validators than ours. */
static bool
is_for_server(const struct conf *conf, const struct request *request,
    const struct job *job, enum view_use use, const struct form *form)
{
	static const char *const conditions[] = {
		"HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_IF_MATCH",
		"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE",
		"HTTP_IF_UNMODIFIED_SINCE",
	};
	size_t i;

	if (!conf_shares_files(conf) || request->principal.is_local ||
	    use != VIEW_ARTIFACT ||
	    request->method != HTTP_GET || form->coding != job->sum.coding)
		return false;
	/* Apache's mod_xsendfile takes Content-Encoding away. */
	if (conf->sendfile == SENDFILE_X_SENDFILE &&
	    form->coding != ARTIFACT_IDENTITY && !is_lighttpd(request))
		return false;
	for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		if (gate_env(request->gate, conditions[i]) != NULL)
			return false;
	return true;
}

/*
 * A server that does not know the header sends what stands in the file's place:
 * of another length than it says, so that nobody takes it for the file.
 */
static int
leave_to_server(const struct conf *conf, const struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	const bool is_prefixed = conf->sendfile_prefix[0] != '\0';
	char name[ARTIFACT_NAME_MAX];

	artifact_file_name(
	    job->id, job_extension(job->kind), job->sum.coding, name);
	answer_header(answer, conf->sendfile == SENDFILE_X_ACCEL
	    ? "X-Accel-Redirect" : "X-Sendfile", "%s%s/%s",
	    is_prefixed ? conf->sendfile_prefix : conf->state_dir,
	    is_prefixed ? "" : "/artifacts", name);
	artifact_close(&answer->reader);
	answer->kind = ANSWER_RESPONSE;
	answer->by_server = true;
	log_bind(request->id, job->id);
	download_audit(request, answer->file_bytes, "left", false, NULL);
	return buf_adds(&answer->body, "This web server does not know the "
	    "header of [artifacts] sendfile.\n", err);
}

static int
open_file(const struct service *service, const struct job *job,
    struct answer *answer, struct err *err)
{
	return artifact_open(service_conf(service)->state_dir, job->id,
	    job_extension(job->kind), &job->sum, &answer->reader, err);
}

/* All of the opened file, or the part that the answer has. */
static int
put_file(const struct service *service, const struct request *request,
    const struct job *job, enum view_use use, const struct form *form,
    struct answer *answer, struct err *err)
{
	const struct conf *conf = service_conf(service);

	answer->kind = ANSWER_FILE;
	answer->type = "application/octet-stream";
	answer->coding = form->coding;
	/* Whoever asks for a part, or for nothing but the head, has not got
	 * it, even if the answer is whole. */
	answer->delivers = (use == VIEW_SNAPSHOT || use == VIEW_NEWEST) &&
	    request->method == HTTP_GET && answer->status == 200 &&
	    gate_env(request->gate, "HTTP_RANGE") == NULL;
	put_form(form, job, answer);
	if (is_for_server(conf, request, job, use, form))
		return leave_to_server(
		    conf, request, job, answer, err);
	return 0;
}

int
view_file(const struct service *service, const struct request *request,
    const struct job *job, enum view_use use, struct answer *answer,
    struct err *err)
{
	int64_t first, bytes;
	struct form form;

	view_headers(job, answer);
	if (view_check_file(job, err) != 0)
		return -1;
	answer_header(answer, "Vary", "Accept-Encoding");
	/* Conditions count only where there is a file (RFC 9110, 13.2.1). */
	if (choose_form(request, job, &form, err) != 0 ||
	    open_file(service, job, answer, err) != 0)
		return -1;
	(void)str_copy(answer->job_id, sizeof(answer->job_id), job->id);
	put_validators(&form, answer);
	switch (judge(request, job, use, &form, &first, &bytes)) {
	case RANGE_NOT_MODIFIED:
		artifact_close(&answer->reader);
		answer->kind = ANSWER_RESPONSE;
		answer->status = 304;
		return 0;
	case RANGE_FAILED:
		return err_set(err, ERR_PRECONDITION, "the file is not the one "
		    "that If-Match or If-Unmodified-Since asks for");
	case RANGE_UNSATISFIABLE:
		answer_header(answer, "Content-Range", "bytes */%lld",
		    (long long)form.size_bytes);
		return err_set(err, ERR_RANGE, "Range begins behind the end of "
		    "the file, which has %lld bytes in this coding",
		    (long long)form.size_bytes);
	case RANGE_PART:
		answer->status = 206;
		answer_header(answer, "Content-Range", "bytes %lld-%lld/%lld",
		    (long long)first, (long long)(first + bytes - 1),
		    (long long)form.size_bytes);
		break;
	case RANGE_WHOLE:
		answer->status = 200;
		break;
	}
	answer->first_byte = first;
	answer->file_bytes = bytes;
	return put_file(service, request, job, use, &form, answer, err);
}
