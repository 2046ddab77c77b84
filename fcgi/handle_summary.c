/*
 * What heap snapshots hold by class, and what has grown between two.
 * podprof-capture finds out, of one after the other in a pod; whoever waits for
 * his turn begins when nobody is at it any more.
 */
#include "handle.h"

#include <string.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "summary.h"
#include "view.h"

/* As of a job's Prefer: wait; less than the patience of any web server or
 * client. */
#define WAIT_MS 25000

/* A list of classes that is being written. */
struct list {
	struct buf *out;
	size_t len;
	bool is_cut;	/* the next had no room: this is its end */
};

#define END "]}"
#define END_OF_CUT "],\"truncated\":true}"

/* The builders here return 0 or -1, and go on after a failure, as those of
 * job_json.c. */

static int
put_class(const struct class *class, struct json *object)
{
	int bad = json_put_string(object, "name", class->name);

	bad |= json_put_int(object, "count", class->count);
	bad |= json_put_int(object, "selfSize", class->self_size_bytes);
	return bad;
}

static int
put_change(const struct summary_change *change, struct json *object)
{
	int bad = json_put_string(object, "name", change->name);

	bad |= json_put_int(object, "countDelta", change->count_delta);
	bad |= json_put_int(
	    object, "selfSizeDelta", change->self_size_delta_bytes);
	bad |= json_put_int(object, "count", change->count);
	bad |= json_put_int(object, "selfSize", change->self_size_bytes);
	return bad;
}

/* Each is printed by itself, so that a long list is never a tree.  What does
 * not fit is the least. */
static int
print(struct list *list, struct json *object, int bad, struct err *err)
{
	const size_t before = list->out->len;
	struct err why;

	if (bad != 0)
		return err_set(err, ERR_NOMEM, "no memory for a summary");
	if (list->is_cut)
		return 0;
	if ((list->len > 0 && buf_addc(list->out, ',', &why) != 0) ||
	    json_print(object, list->out, &why) != 0) {
		if (why.code != ERR_TOO_LARGE)
			return err_set(err, why.code, "%s", why.msg);
		list->is_cut = true;
	} else if (list->out->max - list->out->len < sizeof(END_OF_CUT)) {
		list->is_cut = true;
	}
	if (list->is_cut)
		buf_cut(list->out, before);
	else
		list->len++;
	return 0;
}

static int
print_end(const struct list *list, struct err *err)
{
	return buf_adds(list->out, list->is_cut ? END_OF_CUT : END, err);
}

static int
print_class(void *ctx, const struct class *class, struct err *err)
{
	struct json *object = json_new_object();
	int rc;

	rc = print(ctx, object, put_class(class, object), err);
	json_free(&object);
	return rc;
}

static int
print_change(void *ctx, const struct summary_change *change, struct err *err)
{
	struct json *object = json_new_object();
	int rc;

	rc = print(ctx, object, put_change(change, object), err);
	json_free(&object);
	return rc;
}

static int64_t
limit_of(const struct request *request)
{
	return params_int(&request->params, "limit", -1);
}

static int
put_summary(struct db *db, const struct request *request,
    struct answer *answer, struct err *err)
{
	struct list list = { .out = &answer->body };
	struct classes_total total;

	if (summary_get_total(db, request->job_id, &total, err) != 0 ||
	    buf_addf(&answer->body, err,
	    "{\"nodes\":%lld,\"edges\":%lld,\"selfSize\":%lld,\"classes\":[",
	    (long long)total.nodes, (long long)total.edges,
	    (long long)total.self_size_bytes) != 0 ||
	    summary_get(db, request->job_id, limit_of(request), print_class,
	    &list, err) != 0)
		return -1;
	return print_end(&list, err);
}

static int
put_diff(struct db *db, const struct request *request, struct answer *answer,
    struct err *err)
{
	struct list list = { .out = &answer->body };

	if (buf_adds(&answer->body, "{\"classes\":[", err) != 0 ||
	    summary_diff(db, request->other_id, request->job_id,
	    limit_of(request), print_change, &list, err) != 0)
		return -1;
	return print_end(&list, err);
}

static bool
is_diff(const struct request *request)
{
	return request->other_id[0] != '\0';
}

/* The line has the job's id from log_bind(). */
static void
audit(const struct request *request)
{
	const struct log_field fields[] = {
		{ "who", request->principal.who },
		{ "app", request->app },
		{ "other", is_diff(request) ? request->other_id : NULL },
	};

	log_bind(request->id, request->job_id);
	log_audit(is_diff(request) ? "diff" : "summary", fields,
	    sizeof(fields) / sizeof(fields[0]));
}

static int
answer_ready(struct seat *seat, const struct request *request,
    struct answer *answer, struct err *err)
{
	struct db *db;
	int rc;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	rc = is_diff(request) ? put_diff(db, request, answer, err) :
				put_summary(db, request, answer, err);
	if (rc != 0)
		return -1;
	answer->status = 200;
	answer->type = "application/json";
	audit(request);
	return 0;
}

/* Of which job it is said. */
static int
name_job(const struct request *request, const char *job_id, struct err *err)
{
	return is_diff(request) ? err_wrap(err, "job %s", job_id) : -1;
}

static int
find_job(struct seat *seat, const struct request *request,
    const char *job_id, struct job *ret_job, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct db *db;

	if (seat_db(seat, &db, err) != 0 || job_get(db, conf->state_dir,
	    request->app, conf->pod, job_id, ret_job, err) != 0)
		return -1;
	if (ret_job->kind == JOB_HEAP_SNAPSHOT)
		return 0;
	(void)err_set(err, ERR_NOT_FOUND, "the job is a %s; only a "
	    "heap-snapshot has a summary", job_kind_name(ret_job->kind));
	return name_job(request, job_id, err);
}

static int
begin(struct seat *seat, struct request *request, struct db *db,
    const char *job_id, struct err *err)
{
	const char *pod = service_conf(seat->service)->pod;
	bool is_ours;

	if (summary_begin(
	    db, request->app, pod, job_id, &is_ours, err) != 0)
		return -1;
	if (!is_ours)
		return 0;
	(void)str_copy(request->summed_id, sizeof(request->summed_id), job_id);
	if (service_spawn(seat->service, SPAWN_SUMMARY, job_id, err) == 0)
		return 0;
	/* Else it is gone by itself within SUMMARY_BEGIN_MS. */
	(void)!summary_abandon(db, job_id, NULL);
	return -1;
}

/* Neither is it there, nor has it failed while it was waited for. */
static int
see_to_it(struct seat *seat, struct request *request, struct db *db,
    const struct job *job, enum summary_state state, struct err *err)
{
	if (view_check_file(job, err) != 0)
		return name_job(request, job->id, err);
	if (service_take_place(seat->service, request, err) != 0)
		return -1;
	if (state == SUMMARY_BUSY)
		return 0;
	if (strcmp(request->summed_id, job->id) == 0)
		return err_set(err, ERR_INTERRUPTED, "podprof-capture ended "
		    "without a word when it had begun to summarize job %s; "
		    "its log lines, or the kernel's, may tell why; ask again",
		    job->id);
	return begin(seat, request, db, job->id, err);
}

/* 1: it is there; 0: the answer is a wait for it. */
static int
need_summary(struct seat *seat, struct request *request,
    const struct job *job, int64_t until_ms, struct answer *answer,
    request_resume_fn *resume, struct err *err)
{
	const bool has_waited = request->wait.resume != NULL &&
	    strcmp(request->wait.job_id, job->id) == 0;
	enum summary_state state;
	struct err why;
	struct db *db;

	if (seat_db(seat, &db, err) != 0 || summary_find(db,
	    service_conf(seat->service)->pod, job->id, &state, &why, err) != 0)
		return -1;
	if (state == SUMMARY_READY)
		return 1;
	if (state == SUMMARY_FAILED && has_waited) {
		(void)err_set(err, why.code, "%s", why.msg);
		return name_job(request, job->id, err);
	}
	if (see_to_it(seat, request, db, job, state, err) != 0)
		return -1;
	if (clock_mono_ms() >= until_ms)
		return err_set(err, ERR_BUSY, "the summary of job %s is being "
		    "made, or waits for its turn; ask again", job->id);
	request_wait_summary(request, answer, job->id, until_ms, resume);
	return 0;
}

static request_resume_fn summed;

/* As far as it goes now. */
static int
go_on(struct seat *seat, struct request *request, int64_t until_ms,
    struct answer *answer, struct err *err)
{
	struct job job, other;
	int rc;

	if (find_job(seat, request, request->job_id, &job, err) != 0)
		return -1;
	view_headers(&job, answer);
	if (is_diff(request) && find_job(
	    seat, request, request->other_id, &other, err) != 0)
		return -1;
	rc = need_summary(
	    seat, request, &job, until_ms, answer, summed, err);
	if (rc == 1 && is_diff(request))
		rc = need_summary(
		    seat, request, &other, until_ms, answer, summed, err);
	return rc == 1 ? answer_ready(seat, request, answer, err) : rc;
}

static int
summed(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)job;
	return go_on(
	    seat, request, request->wait.deadline_ms, answer, err);
}

int
handle_summary(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	return go_on(
	    seat, request, clock_mono_ms() + WAIT_MS, answer, err);
}
