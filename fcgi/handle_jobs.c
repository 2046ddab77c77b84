/*
 * Jobs: making one, listing, looking, fetching, handing on, removing.
 */
#include "handle.h"

#include <string.h>
#include <strings.h>

#include "artifact.h"
#include "clock.h"
#include "digest.h"
#include "json.h"
#include "launch.h"
#include "link.h"
#include "log.h"
#include "negotiate.h"
#include "order.h"
#include "view.h"

#define LIST_DEFAULT 50

/* The line has the job's id from log_bind(). */
static void
audit_job(const struct request *request, const struct job *job,
    const char *what)
{
	const struct log_field fields[] = {
		{ "who", request->principal.who },
		{ "app", request->app },
		{ "kind", job_kind_name(job->kind) },
	};

	log_audit(what, fields, sizeof(fields) / sizeof(fields[0]));
}

static int
job_launched(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	(void)seat;
	view_link(request, job->id, "Location", answer);
	return view_job(request, job, 202, answer, err);
}

/* What names an order so that it can be sent again; the body is part of it. */
static int
read_key(const struct request *request, struct order *order, struct err *err)
{
	const char *key = gate_env(request->gate, "HTTP_IDEMPOTENCY_KEY");

	if (key == NULL)
		return 0;
	if (strlen(key) > JOB_KEY_MAX || !str_is_visible(key))
		return err_set(err, ERR_INVALID, "Idempotency-Key: must be 1 "
		    "to %d visible ASCII characters", JOB_KEY_MAX);
	if (digest_hex(buf_str(&request->body), request->body.len,
	    order->key_sha256, err) != 0)
		return -1;
	order->key = key;
	return 0;
}

/* JSON, or nothing said at all. */
static bool
is_json_type(const char *type)
{
	static const char json[] = "application/json";
	const size_t len = sizeof(json) - 1;

	if (type == NULL)
		return true;
	return strncasecmp(type, json, len) == 0 &&
	    (type[len] == '\0' || strchr("; \t", type[len]) != NULL);
}

int
handle_create_job(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const char *type = gate_env(request->gate, "CONTENT_TYPE");
	const char *coding = gate_env(request->gate, "HTTP_CONTENT_ENCODING");
	struct order order;

	if (!is_json_type(type))
		return err_set(err, ERR_MEDIA_TYPE, "the body must be "
		    "application/json, not %s", type);
	if (coding != NULL && strcasecmp(coding, "identity") != 0)
		return err_set(err, ERR_MEDIA_TYPE,
		    "a body in the coding %s is not read here", coding);
	if (order_parse(buf_str(&request->body), request->body.len, &order,
	    err) != 0 || read_key(request, &order, err) != 0)
		return -1;
	return launch(seat, request, &order, job_launched, answer, err);
}

struct list {
	char base[REQUEST_BASE_MAX];
	struct buf *out;
	size_t len;
	char last[UUID_MAX];
};

/* Each job is printed by itself, so that a long list is never a tree. */
static int
print_job(void *ctx, const struct job *job, struct err *err)
{
	struct list *list = ctx;
	struct json *object = json_new_object();
	int rc = -1;

	if (list->len > 0 && buf_addc(list->out, ',', err) != 0)
		goto out;
	if (job_put_json(job, list->base, object, err) != 0 ||
	    json_print(object, list->out, err) != 0)
		goto out;
	(void)str_copy(list->last, sizeof(list->last), job->id);
	list->len++;
	rc = 0;
out:
	json_free(&object);
	return rc;
}

int
handle_list_jobs(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	const struct params *params = &request->params;
	const struct job_filter filter = {
		.app = request->app,
		.pod = conf->pod,
		.kind = (int)params_int(params, "kind", -1),
		.state = (int)params_int(params, "state", -1),
		.after = params_text(params, "after"),
		.limit = params_int(params, "limit", LIST_DEFAULT),
	};
	struct list list = { .out = &answer->body, .len = 0 };
	struct db *db;
	bool more = false;

	request_base(request, list.base);
	if (seat_db(seat, &db, err) != 0 ||
	    buf_adds(&answer->body, "{\"jobs\":[", err) != 0 ||
	    job_list(db, conf->state_dir, &filter, print_job, &list, &more,
	    err) != 0)
		return -1;
	answer->status = 200;
	answer->type = "application/json";
	if (more)
		return buf_addf(&answer->body, err, "],\"next\":\"%s\"}",
		    list.last);
	return buf_adds(&answer->body, "],\"next\":null}", err);
}

static int
find_job(struct seat *seat, const struct request *request,
    struct job *ret_job, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	return job_get(db, conf->state_dir, request->app, conf->pod,
	    request->job_id, ret_job, err);
}

static struct prefer
prefer_of(const struct request *request)
{
	return negotiate_prefer(gate_env(request->gate, "HTTP_PREFER"));
}

static int
job_changed(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	(void)seat;
	answer_header(answer, "Preference-Applied", "wait=%lld",
	    (long long)prefer_of(request).wait_s);
	return view_job(request, job, 200, answer, err);
}

int
handle_get_job(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct prefer prefer = prefer_of(request);
	struct job job;

	if (find_job(seat, request, &job, err) != 0)
		return -1;
	if (prefer.wait_s < 0)
		return view_job(request, &job, 200, answer, err);
	if (prefer.wait_s == 0 || job_is_final(&job))
		return job_changed(seat, request, &job, answer, err);
	if (service_take_place(seat->service, request, err) != 0)
		return -1;
	request_wait(request, answer, &job, UNTIL_CHANGED,
	    prefer.wait_s * 1000, job_changed);
	return 0;
}

int
handle_get_artifact(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	struct job job;

	if (find_job(seat, request, &job, err) != 0)
		return -1;
	return view_file(
	    seat->service, request, &job, VIEW_ARTIFACT, answer, err);
}

/* 202 and the job, while it or V8 is still at it. */
static int
cancel(struct seat *seat, struct request *request, struct db *db,
    struct job *job, struct answer *answer, struct err *err)
{
	const char *state_dir = service_conf(seat->service)->state_dir;

	if (!job_is_final(job)) {
		if (job_cancel(db, state_dir, job->id, job, err) != 0)
			return -1;
		audit_job(request, job, "cancel");
	}
	view_link(request, job->id, "Location", answer);
	return view_job(request, job, 202, answer, err);
}

static int
remove_job(struct seat *seat, struct request *request, struct db *db,
    const struct job *job, struct answer *answer, struct err *err)
{
	const char *state_dir = service_conf(seat->service)->state_dir;

	if (job_remove(db, state_dir, job->id, err) != 0)
		return -1;
	audit_job(request, job, "remove");
	answer_header(answer, "X-Job-Id", "%s", job->id);
	answer->status = 204;
	return 0;
}

/* What there is to be done about the job as it is now. */
static int
delete_job(struct seat *seat, struct request *request, struct answer *answer,
    struct err *err)
{
	struct db *db;
	struct job job;

	if (find_job(seat, request, &job, err) != 0 ||
	    seat_db(seat, &db, err) != 0)
		return -1;
	log_bind(request->id, job.id);
	if (!job_is_final(&job) || job.holds_target)
		return cancel(seat, request, db, &job, answer, err);
	return remove_job(seat, request, db, &job, answer, err);
}

int
handle_delete_job(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	struct err why;

	if (delete_job(seat, request, answer, &why) == 0)
		return 0;
	/* It came to its end, or was canceled, in this moment. */
	if (why.code == ERR_CONFLICT)
		return delete_job(seat, request, answer, err);
	return err_set(err, why.code, "%s", why.msg);
}

/* "/APP/private/papi/links/SECRET" is all that the client gets to know. */
static int
print_link(const struct request *request, const char *secret,
    const struct link *link, struct answer *answer, struct err *err)
{
	struct json *object = json_new_object();
	char base[REQUEST_BASE_MAX], when[CLOCK_RFC3339_MAX];
	struct buf href;
	int rc = -1;

	request_base(request, base);
	clock_format_rfc3339(link->expires_at_ms, when);
	buf_init(&href, sizeof(base) + LINK_SECRET_MAX + 16);
	if (buf_addf(&href, err, "%s/links/%s", base, secret) != 0)
		goto out;
	if (json_put_string(object, "href", buf_str(&href)) != 0 ||
	    json_put_string(object, "expiresAt", when) != 0) {
		err_set(err, ERR_NOMEM, "no memory for a link");
		goto out;
	}
	if (json_print(object, &answer->body, err) != 0)
		goto out;
	answer_header(answer, "Location", "%s", buf_str(&href));
	rc = 0;
out:
	json_free(&object);
	buf_fini(&href);
	return rc;
}

/* Not for a file that is only in the row. */
static int
check_file(const struct seat *seat, const struct job *job, struct err *err)
{
	struct artifact_reader *reader = NULL;

	if (view_check_file(job, err) != 0 ||
	    artifact_open(service_conf(seat->service)->state_dir, job->id,
	    job_extension(job->kind), &job->sum, &reader, err) != 0)
		return -1;
	artifact_close(&reader);
	return 0;
}

int
handle_create_link(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	char secret[LINK_SECRET_MAX];
	struct link link;
	struct db *db;
	struct job job;

	if (find_job(seat, request, &job, err) != 0)
		return -1;
	view_headers(&job, answer);
	if (check_file(seat, &job, err) != 0 || seat_db(seat, &db, err) != 0 ||
	    link_create(db, request->app, job.id, request->principal.who,
	    secret, &link, err) != 0)
		return -1;
	log_bind(request->id, job.id);
	audit_job(request, &job, "link");
	answer->status = 201;
	answer->type = "application/json";
	return print_link(request, secret, &link, answer, err);
}
