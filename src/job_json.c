/*
 * The JSON of a job: what the API and the tool show of it.
 */
#include "job_parts.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"

/* Room for "/jobs/ID/artifact" after the base. */
#define HREF_TAIL_MAX 64

/* The builders here return 0 or -1, and go on after a failure: a NULL parent
 * is accepted, and what was built is thrown away. */

static int
put_known(struct json *object, const char *key, int64_t value)
{
	if (value == JOB_UNKNOWN)
		return json_put_null(object, key);
	return json_put_int(object, key, value);
}

static int
put_time(struct json *object, const char *key, int64_t utc_ms)
{
	char text[CLOCK_RFC3339_MAX];

	if (utc_ms == JOB_UNKNOWN)
		return json_put_null(object, key);
	clock_format_rfc3339(utc_ms, text);
	return json_put_string(object, key, text);
}

/* "" becomes null. */
static int
put_text(struct json *object, const char *key, const char *value)
{
	return json_put_string(object, key, value[0] != '\0' ? value : NULL);
}

static int
put_identity(const struct job *job, struct json *object)
{
	int bad = 0;

	bad |= json_put_string(object, "id", job->id);
	bad |= json_put_string(object, "app", job->app);
	bad |= json_put_string(object, "pod", job->pod);
	bad |= json_put_string(object, "kind", job_kind_name(job->kind));
	bad |= json_put_string(object, "state", job_state_name(job->state));
	bad |= json_put_string(object, "phase", job_phase_name(job->phase));
	return bad;
}

/* How the attempt in use ended. */
static enum job_outcome
last_outcome(const struct job *job)
{
	switch (job->state) {
	case JOB_QUEUED:
	case JOB_RUNNING:
		break;
	case JOB_SUCCEEDED:
		return OUTCOME_SUCCEEDED;
	case JOB_FAILED:
		return OUTCOME_FAILED;
	case JOB_CANCELED:
		return OUTCOME_CANCELED;
	}
	return OUTCOME_RUNNING;
}

static int
put_attempt(const struct job *job, const struct job_attempt *attempt,
    struct json *object)
{
	enum job_outcome outcome = attempt->outcome;
	const char *reason = attempt->reason;
	int bad = 0;

	if (outcome == OUTCOME_RUNNING) {
		outcome = last_outcome(job);
		reason = outcome == OUTCOME_FAILED ? job->error.msg : "";
	}
	bad |= json_put_string(object, "method",
	    conf_method_name(attempt->method));
	bad |= json_put_string(object, "outcome", job_outcome_name(outcome));
	bad |= put_text(object, "reason", reason);
	return bad;
}

static int
put_attempts(const struct job *job, struct json *object)
{
	struct json *attempts = json_put_array(object, "attempts");
	int bad = attempts == NULL ? -1 : 0;
	size_t i;

	for (i = 0; i < job->attempts_len; i++)
		bad |= put_attempt(job, &job->attempts[i],
		    json_add_object(attempts));
	return bad;
}

/*
 * Whether two snapshots name the same object by the same number: a forked
 * copy counts for itself ("snapshot"), V8 in the app goes on counting
 * ("process").
 */
static const char *
object_ids_of(const struct job *job)
{
	if (job->kind != JOB_HEAP_SNAPSHOT || job->used_method == JOB_UNKNOWN)
		return NULL;
	return job->used_method == METHOD_FORK ? "snapshot" : "process";
}

static int
put_method(const struct job *job, struct json *object)
{
	enum conf_method method = job->used_method == JOB_UNKNOWN ?
	    job->method : (enum conf_method)job->used_method;
	int bad = 0;

	bad |= json_put_string(object, "method", conf_method_name(method));
	bad |= put_attempts(job, object);
	bad |= json_put_string(object, "objectIds", object_ids_of(job));
	return bad;
}

/* V8 tells how many nodes it has done in events of the inspector: to stream
 * alone. */
static bool
counts_bytes(const struct job *job)
{
	return job->kind == JOB_HEAP_SNAPSHOT &&
	    (job->used_method == METHOD_FORK ||
	    job->used_method == METHOD_DIRECT);
}

static int
put_progress(const struct job *job, struct json *object)
{
	struct json *progress = json_put_object(object, "progress");
	const bool is_bytes = counts_bytes(job);
	int64_t done = job->progress_done, total = job->progress_total;
	int bad = 0;

	/* The total was only expected; in the end it is known. */
	if (is_bytes && job->state == JOB_SUCCEEDED)
		done = total = job->sum.size_bytes;
	if (is_bytes && total != JOB_UNKNOWN && total < done)
		total = done;
	bad |= put_known(progress, "done", done);
	bad |= put_known(progress, "total", total);
	bad |= json_put_string(progress, "unit",
	    job->kind != JOB_HEAP_SNAPSHOT ? NULL :
	    is_bytes ? "bytes" : "nodes");
	bad |= json_put_int(progress, "bytes", job->progress_bytes);
	bad |= json_put_bool(progress, "estimated", is_bytes);
	return bad;
}

/* Only what was asked for. */
static int
put_options(const struct job *job, struct json *object)
{
	struct json *options = json_put_object(object, "options");
	int bad = 0;

	if (options == NULL)
		return -1;
	if (job->duration_ms != JOB_UNKNOWN)
		bad |= json_put_int(options, "durationMs", job->duration_ms);
	if (job->interval_us != JOB_UNKNOWN)
		bad |= json_put_int(options, "intervalUs", job->interval_us);
	if (job->sampling_bytes != JOB_UNKNOWN)
		bad |= json_put_int(options, "samplingBytes",
		    job->sampling_bytes);
	if (job->live)
		bad |= json_put_bool(options, "live", true);
	if (job->force)
		bad |= json_put_bool(options, "force", true);
	if (job->method != METHOD_AUTO)
		bad |= json_put_string(options, "method",
		    conf_method_name(job->method));
	if (job->worker[0] != '\0')
		bad |= json_put_string(options, "worker", job->worker);
	return bad;
}

static int
put_times(const struct job *job, struct json *object)
{
	int bad = 0;

	bad |= put_text(object, "requestedBy", job->requested_by);
	bad |= put_time(object, "createdAt", job->created_at_ms);
	bad |= put_time(object, "startedAt", job->started_at_ms);
	bad |= put_time(object, "finishedAt", job->finished_at_ms);
	bad |= put_time(object, "expiresAt", job->expires_at_ms);
	return bad;
}

static int
put_findings(const struct job *job, struct json *object)
{
	struct json *target = json_put_object(object, "target");
	struct json *predicted, *memory;
	int bad = 0;

	bad |= put_known(target, "pid", job->target_pid);
	bad |= put_text(target, "node", job->target_node);
	bad |= put_known(object, "freezeMs", job->freeze_ms);
	predicted = json_put_object(object, "predicted");
	bad |= put_known(predicted, "peakBytes", job->predicted_peak_bytes);
	bad |= put_known(predicted, "fileBytes", job->predicted_bytes);
	bad |= put_known(predicted, "freezeMs", job->predicted_freeze_ms);
	memory = json_put_object(object, "memory");
	bad |= put_known(memory, "beforeBytes", job->memory_before_bytes);
	bad |= put_known(memory, "peakBytes", job->memory_peak_bytes);
	bad |= put_known(memory, "afterBytes", job->memory_after_bytes);
	return bad;
}

static int
put_artifact(const struct job *job, const char *href, struct json *object)
{
	struct json *artifact = json_put_object(object, "artifact");
	const struct artifact_sum *sum = &job->sum;
	int bad = 0;

	bad |= json_put_string(artifact, "name", job->artifact_name);
	bad |= json_put_int(artifact, "size",
	    sum->size_bytes == JOB_UNKNOWN ? 0 : sum->size_bytes);
	bad |= json_put_int(artifact, "storedSize",
	    sum->stored_bytes == JOB_UNKNOWN ? 0 : sum->stored_bytes);
	bad |= put_text(artifact, "sha256", sum->sha256);
	bad |= put_text(artifact, "storedSha256", sum->stored_sha256);
	bad |= put_time(artifact, "deliveredAt", job->delivered_at_ms);
	bad |= json_put_string(artifact, "href", href);
	return bad;
}

static int
put_error(const struct job *job, struct json *object)
{
	struct json *error;
	char type[64];
	int bad = 0;

	if (job->state != JOB_FAILED)
		return json_put_null(object, "error");
	(void)snprintf(type, sizeof(type), "urn:podprof:error:%s",
	    err_name(job->error.code));
	error = json_put_object(object, "error");
	bad |= json_put_string(error, "type", type);
	bad |= json_put_string(error, "title", err_title(job->error.code));
	bad |= json_put_string(error, "detail", job->error.msg);
	return bad;
}

static int
put_links(const struct job *job, const char *self, const char *href,
    struct json *object)
{
	struct json *links = json_put_object(object, "links");
	int bad = 0;

	bad |= json_put_string(links, "self", self);
	bad |= json_put_string(links, "artifact",
	    job_has_artifact(job) ? href : NULL);
	return bad;
}

int
job_put_json(const struct job *job, const char *base, struct json *object,
    struct err *err)
{
	struct buf self, href;
	int bad = 0, rc = -1;

	buf_init(&self, strlen(base) + HREF_TAIL_MAX);
	buf_init(&href, strlen(base) + HREF_TAIL_MAX);
	if (buf_addf(&self, err, "%s/jobs/%s", base, job->id) != 0 ||
	    buf_addf(&href, err, "%s/artifact", buf_str(&self)) != 0)
		goto out;
	bad |= put_identity(job, object);
	bad |= put_method(job, object);
	bad |= put_progress(job, object);
	bad |= put_options(job, object);
	bad |= put_times(job, object);
	bad |= put_findings(job, object);
	bad |= put_artifact(job, buf_str(&href), object);
	bad |= put_error(job, object);
	bad |= put_links(job, buf_str(&self), buf_str(&href), object);
	if (bad != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for the JSON of "
		    "job %s", job->id);
		goto out;
	}
	rc = 0;
out:
	buf_fini(&self);
	buf_fini(&href);
	return rc;
}
