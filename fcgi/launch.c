/*
 * Starting a capture and learning what its preflight says.
 */
#include "launch.h"

#include "artifact.h"
#include "ballast.h"
#include "job.h"
#include "log.h"
#include "view.h"

/* Nothing tells when V8 will be done with what was canceled. */
#define RETRY_S 2

/* The line has the job's id from log_bind(). */
static void
audit(const struct request *request, enum job_kind kind, const char *outcome,
    const char *reason)
{
	const struct log_field fields[] = {
		{ "who", request->principal.who },
		{ "app", request->app },
		{ "kind", job_kind_name(kind) },
		{ "outcome", outcome },
		{ "reason", reason },
	};

	log_audit("capture", fields, sizeof(fields) / sizeof(fields[0]));
}

/* The preflight has an answer, or took too long. */
static int
preflighted(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	struct job now = *job;
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	if (!job_is_final(&now) && now.accepted_at_ms == JOB_UNKNOWN &&
	    job_accept(db, job->id, &now, err) != 0)
		return -1;
	if (job_is_final(&now) && now.accepted_at_ms == JOB_UNKNOWN) {
		if (now.state == JOB_FAILED)
			*err = now.error;
		else
			err_set(err, ERR_CONFLICT, "the capture was canceled "
			    "before it had begun");
		audit(request, now.kind, "refused", err->msg);
		/* If this fails the row is swept later. */
		(void)!job_discard(db, now.id, NULL);
		return -1;
	}
	audit(request, now.kind, request->is_repeated ? "repeated" : "accepted",
	    NULL);
	return request->launched(seat, request, &now, answer, err);
}

/* The order was placed before: its job, as it is now. */
static int
repeat(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	audit(request, job->kind, "repeated", NULL);
	return request->launched(seat, request, job, answer, err);
}

/* Nobody will work on the job: leave none. */
static void
take_back(struct db *db, const char *state_dir, const char *job_id,
    const struct err *why)
{
	struct err err;

	if (job_fail(db, state_dir, job_id, why, &err) != 0 ||
	    job_discard(db, job_id, &err) != 0)
		log_error("launch", "job %s cannot be taken back: %s", job_id,
		    err.msg);
}

/* Can it be done at all? */
static int
check_order(const struct conf *conf, const struct order *order,
    struct err *err)
{
	if (order->kind != JOB_HEAP_SNAPSHOT &&
	    order->duration_ms >= conf->job_timeout_ms)
		return err_set(err, ERR_INVALID, "a profile of %lld ms cannot "
		    "be finished within [limits] job_timeout, which is %lld "
		    "ms", (long long)order->duration_ms,
		    (long long)conf->job_timeout_ms);
	return 0;
}

/* A profile is taken in one way only, and so is a worker. */
static enum conf_method
method_of(const struct conf *conf, const struct request *request,
    const struct order *order)
{
	const struct conf_app *app = conf_find_app(conf, request->app);

	if (order->kind == JOB_HEAP_SNAPSHOT && order->worker[0] == '\0' &&
	    order->method == METHOD_AUTO && app != NULL)
		return app->method;
	return order->method;
}

/* The job that is in the way. */
static void
name_blocking(const struct request *request, const struct job *job,
    struct answer *answer)
{
	view_headers(job, answer);
	/* Also for one that was canceled. */
	if (answer->retry_after_s == 0)
		answer->retry_after_s = RETRY_S;
	view_link(request, job->id, "Location", answer);
}

/* When there is room again, where that is known: not for profiles. */
static void
tell_when(struct db *db, const struct job_order *order,
    struct answer *answer)
{
	const struct rate rate = job_rate_of(order);
	int64_t ms;

	if (rate_wait_ms(db, &rate, &ms, NULL) == 0 && ms > 0)
		answer->retry_after_s = (ms + 999) / 1000;
}

int
launch(struct seat *seat, struct request *request, const struct order *order,
    request_resume_fn *launched, struct answer *answer, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct job_order job_order = {
		.app = request->app,
		.pod = conf->pod,
		.kind = order->kind,
		.method = method_of(conf, request, order),
		.duration_ms = order->duration_ms,
		.interval_us = order->interval_us,
		.sampling_bytes = order->sampling_bytes,
		.live = order->live,
		.force = order->force,
		.worker = order->worker[0] != '\0' ? order->worker : NULL,
		.requested_by = request->principal.who,
		.request_id = request->id,
		.profiles_max = conf->profiles,
		.token_captures = conf->token_captures,
		.app_captures = conf->app_captures,
		.key = order->key,
		.key_sha256 = order->key != NULL ? order->key_sha256 : NULL,
	};
	struct job job = { .id = "" };
	bool is_new = true;
	struct db *db;

	if (check_order(conf, order, err) != 0 ||
	    service_take_place(seat->service, request, err) != 0 ||
	    seat_db(seat, &db, err) != 0)
		return -1;
	/* The pool has a keeper that looks after them. */
	if (service_is_cgi(seat->service) &&
	    (artifact_check_dirs(conf->state_dir, conf_shares_files(conf),
	    err) != 0 ||
	    ballast_make(conf->state_dir, err) != 0))
		return -1;
	if (job_create(db, conf->state_dir, &job_order, &job, &is_new,
	    err) != 0) {
		if (err->code == ERR_CONFLICT && job.id[0] != '\0')
			name_blocking(request, &job, answer);
		if (err->code == ERR_LIMIT)
			tell_when(db, &job_order, answer);
		return -1;
	}
	log_bind(request->id, job.id);
	request->launched = launched;
	request->is_repeated = !is_new;
	if (!is_new && job.accepted_at_ms != JOB_UNKNOWN)
		return repeat(seat, request, &job, answer, err);
	if (is_new && service_spawn(seat->service,
	    SPAWN_JOB, job.id, err) != 0) {
		take_back(db, conf->state_dir, job.id, err);
		return -1;
	}
	request_wait(request, answer, &job, UNTIL_PREFLIGHT, LAUNCH_WAIT_MS,
	    preflighted);
	return 0;
}
