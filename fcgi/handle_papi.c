/*
 * The three addresses of @tramvai/module-performance-profile, as its users
 * know them.
 */
#include "handle.h"

#include "clock.h"
#include "launch.h"
#include "negotiate.h"
#include "order.h"
#include "view.h"

/* Beyond the profile's own time, and all that the capture may take. */
static int64_t
profile_wait_ms(const struct conf *conf, const struct job *job)
{
	return job->duration_ms + conf->job_timeout_ms;
}

static bool
wants_json(const struct request *request)
{
	return negotiate_wants_json(gate_env(request->gate, "HTTP_ACCEPT"));
}

static int
snapshot_launched(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	(void)seat;
	answer_header(answer, "Vary", "Accept");
	if (wants_json(request)) {
		view_link(request, job->id, "Location", answer);
		return view_job(request, job, 202, answer, err);
	}
	view_headers(job, answer);
	if (answer->retry_after_s == 0)
		answer->retry_after_s = 1;	/* done already: come and get it */
	/* Not Location: a CGI program's 200 with Location is a redirect (RFC
	 * 3875, 6.2.2). */
	view_link(request, job->id, "Content-Location", answer);
	return answer_text(answer, 200, "Creating snapshot for app", err);
}

int
handle_take_snapshot(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct order order = {
		.kind = JOB_HEAP_SNAPSHOT,
		.method = METHOD_AUTO,
		.duration_ms = JOB_UNKNOWN,
		.interval_us = JOB_UNKNOWN,
		.sampling_bytes = JOB_UNKNOWN,
		.force = params_int(&request->params, "force", 0) == 1,
	};

	if (launch(seat, request, &order, snapshot_launched, answer, err) == 0)
		return 0;
	answer_header(answer, "Vary", "Accept");
	if (err->code != ERR_CONFLICT || wants_json(request))
		return -1;
	return answer_text(answer, 409, "Snapshot already generating", err);
}

static int
find_snapshot(struct seat *seat, const struct request *request,
    const char *job_id, struct job *ret_job, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	if (job_id != NULL)
		return job_get(db, conf->state_dir, request->app, conf->pod,
		    job_id, ret_job, err);
	return job_newest_snapshot(
	    db, conf->state_dir, request->app, conf->pod, ret_job, err);
}

/* What the bare address says of a snapshot whose file it does not serve. */
static int
check_bare(const struct job *job, struct err *err)
{
	char when[CLOCK_RFC3339_MAX];

	if (job->state != JOB_SUCCEEDED)
		return 0;
	if (job->delivered_at_ms != JOB_UNKNOWN) {
		clock_format_rfc3339(job->delivered_at_ms, when);
		return err_set(err, ERR_NOT_FOUND, "the newest snapshot was "
		    "delivered at %s; %s%s", when, job_has_artifact(job)
		    ? "until it is removed it is served by ?job="
		    : "its file has gone since; take a new one",
		    job_has_artifact(job) ? job->id : "");
	}
	if (view_check_file(job, err) != 0) {
		err->code = ERR_NOT_FOUND;
		return err_wrap(err, "the newest snapshot, job %s", job->id);
	}
	return 0;
}

int
handle_get_snapshot(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const char *job_id = params_text(&request->params, "job");
	struct job job;

	service_await_handover(seat->service);
	if (find_snapshot(seat, request, job_id, &job, err) != 0)
		return -1;
	if (job.kind != JOB_HEAP_SNAPSHOT)
		return err_set(err, ERR_NOT_FOUND, "job %s is a %s; its file "
		    "is at jobs/%s/artifact", job.id, job_kind_name(job.kind),
		    job.id);
	if (!job_is_final(&job)) {
		view_headers(&job, answer);
		return err_set(err, ERR_TOO_EARLY, "job %s is %s; ask again "
		    "after the time of Retry-After", job.id,
		    job_state_name(job.state));
	}
	if (job_id == NULL && check_bare(&job, err) != 0) {
		view_headers(&job, answer);
		return -1;
	}
	if (view_file(seat->service, request, &job, job_id == NULL
	    ? VIEW_NEWEST : VIEW_SNAPSHOT, answer, err) != 0) {
		/* The newest may go at this moment. */
		if (job_id == NULL && err->code == ERR_GONE)
			err->code = ERR_NOT_FOUND;
		return -1;
	}
	answer_header(answer, "X-Accel-Buffering", "no");
	return 0;
}

static int
profile_done(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	answer_header(answer, "X-Profile-Duration", "%lld",
	    (long long)job->duration_ms);
	if (job->state == JOB_SUCCEEDED)
		return view_file(
		    seat->service, request, job, VIEW_FRESH, answer, err);
	view_headers(job, answer);
	view_link(request, job->id, "Location", answer);
	if (job->state == JOB_FAILED) {
		*err = job->error;
		return -1;
	}
	if (job->state == JOB_CANCELED)
		return err_set(
		    err, ERR_NOT_FOUND, "the profile was canceled");
	return err_set(err, ERR_TARGET_TIMEOUT, "the profile is not finished "
	    "in its time and [limits] job_timeout; the job goes on");
}

static int
profile_launched(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	const struct prefer prefer =
	    negotiate_prefer(gate_env(request->gate, "HTTP_PREFER"));

	if (!prefer.respond_async) {
		request_wait(request, answer, job, UNTIL_FINAL,
		    profile_wait_ms(service_conf(seat->service), job),
		    profile_done);
		return 0;
	}
	answer_header(answer, "X-Profile-Duration", "%lld",
	    (long long)job->duration_ms);
	answer_header(answer, "Preference-Applied", "respond-async");
	view_link(request, job->id, "Location", answer);
	return view_job(request, job, 202, answer, err);
}

/* Any number becomes one that is allowed. */
static int64_t
clamp_duration(double ms)
{
	if (ms < ORDER_DURATION_MIN_MS)
		return ORDER_DURATION_MIN_MS;
	if (ms > ORDER_DURATION_MAX_MS)
		return ORDER_DURATION_MAX_MS;
	return (int64_t)(ms + 0.5);
}

int
handle_get_profile(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct order order = {
		.kind = JOB_CPU_PROFILE,
		.method = METHOD_AUTO,
		.duration_ms = clamp_duration(params_number(
		    &request->params, "duration", ORDER_DURATION_MS)),
		.interval_us =
		    params_int(&request->params, "interval", JOB_UNKNOWN),
		.sampling_bytes = JOB_UNKNOWN,
	};

	return launch(seat, request, &order, profile_launched, answer, err);
}
