/*
 * Requests: from the variables of a gate to what the rest works with.
 */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "look.h"
#include "service.h"

static const char script_suffix[] = "/podprof.fcgi";

static const struct {
	const char *name;
	unsigned bit;
} methods[] = {
	{ "GET", HTTP_GET },
	{ "HEAD", HTTP_HEAD },
	{ "POST", HTTP_POST },
	{ "DELETE", HTTP_DELETE },
};

static void
read_method(struct request *request)
{
	const char *name = gate_env(request->gate, "REQUEST_METHOD");
	size_t i;

	(void)str_copy(request->method_name, sizeof(request->method_name),
	    name != NULL ? name : "");
	request->method = HTTP_OTHER;
	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (name != NULL && strcmp(name, methods[i].name) == 0)
			request->method = methods[i].bit;
}

static bool
ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), suffix_len = strlen(suffix);

	return len >= suffix_len && strcmp(s + len - suffix_len, suffix) == 0;
}

/* A path that does not fit leads nowhere: it stays "". */
static void
read_path(struct request *request)
{
	const char *script = gate_env(request->gate, "SCRIPT_NAME");
	const char *info = gate_env(request->gate, "PATH_INFO");
	size_t len = 0;

	script = script != NULL ? script : "";
	info = info != NULL ? info : "";
	if (strlen(script) + strlen(info) > REQUEST_PATH_MAX)
		return;
	if (ends_with(script, script_suffix)) {
		/* It goes into links as it is. */
		if (!str_is_visible(script))
			return;
		(void)str_copy(
		    request->prefix, sizeof(request->prefix), script);
	} else {
		len = strlen(script);
		memcpy(request->path, script, len);
	}
	memcpy(request->path + len, info, strlen(info) + 1);
}

static int
read_id(struct request *request, struct err *err)
{
	const char *id = gate_env(request->gate, "HTTP_X_REQUEST_ID");
	char fresh[UUID_MAX];

	if (id == NULL || !str_is_name(id)) {
		if (uuid_v7(fresh, err) != 0)
			return -1;
		id = fresh;
	}
	(void)str_copy(request->id, sizeof(request->id), id);
	return 0;
}

int
request_new(struct gate **gate_take, struct request **ret_request,
    struct err *err)
{
	struct request *request = calloc(1, sizeof(*request));

	if (request == NULL) {
		gate_drop(gate_take);
		return err_set(err, ERR_NOMEM, "no memory for a request");
	}
	request->gate = *gate_take;
	*gate_take = NULL;
	buf_init(&request->body, REQUEST_BODY_MAX);
	*ret_request = request;
	return 0;
}

int
request_read(struct request *request, struct err *err)
{
	if (gate_read_head(request->gate, err) != 0 ||
	    read_id(request, err) != 0)
		return -1;
	read_method(request);
	read_path(request);
	request->query = gate_env(request->gate, "QUERY_STRING");
	return 0;
}

void
request_free(struct request **request)
{
	struct request *r = *request;

	if (r == NULL)
		return;
	gate_drop(&r->gate);
	buf_fini(&r->body);
	service_leave_place(r);
	free(r);
	*request = NULL;
}

void
request_wait_head(struct request *request, int64_t ms)
{
	request->wait.until = UNTIL_HEAD;
	request->wait.deadline_ms = clock_mono_ms() + ms;
}

/* job_id "": for no job. */
static void
begin_wait(struct request *request, struct answer *answer,
    const char *job_id, enum request_until until, int64_t deadline_ms,
    request_resume_fn *resume)
{
	answer->kind = ANSWER_WAIT;
	(void)str_copy(
	    request->wait.job_id, sizeof(request->wait.job_id), job_id);
	request->wait.until = until;
	request->wait.deadline_ms = deadline_ms;
	request->wait.resume = resume;
}

void
request_wait(struct request *request, struct answer *answer,
    const struct job *job, enum request_until until, int64_t ms,
    request_resume_fn *resume)
{
	begin_wait(request, answer, job->id, until, clock_mono_ms() + ms,
	    resume);
	request->wait.revision = job->revision;
}

void
request_wait_look(struct request *request, struct answer *answer,
    int64_t revision, int64_t ms, request_resume_fn *resume)
{
	begin_wait(request, answer, "", UNTIL_LOOKED, clock_mono_ms() + ms,
	    resume);
	request->wait.revision = revision;
}

void
request_wait_summary(struct request *request, struct answer *answer,
    const char *job_id, int64_t deadline_ms, request_resume_fn *resume)
{
	begin_wait(request, answer, job_id, UNTIL_SUMMED, deadline_ms, resume);
}

int
request_see(const struct request *request, struct seat *seat,
    struct request_sight *ret_sight, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct err why;
	struct db *db;

	if (seat_db(seat, &db, err) != 0)
		return -1;
	if (request->wait.until == UNTIL_LOOKED)
		return look_revision(db, request->app, conf->pod,
		    &ret_sight->revision, err);
	if (request->wait.until == UNTIL_SUMMED)
		return summary_find(db, conf->pod, request->wait.job_id,
		    &ret_sight->summary, &why, err);
	return job_get(db, conf->state_dir, request->app, conf->pod,
	    request->wait.job_id, &ret_sight->job, err);
}

bool
request_is_over(const struct request *request,
    const struct request_sight *sight)
{
	const struct job *job = &sight->job;

	if (request->wait.until == UNTIL_LOOKED)
		return sight->revision != request->wait.revision;
	if (request->wait.until == UNTIL_SUMMED)
		return sight->summary != SUMMARY_BUSY;
	if (job_is_final(job))
		return true;
	switch (request->wait.until) {
	case UNTIL_HEAD:
	case UNTIL_LOOKED:
	case UNTIL_SUMMED:
	case UNTIL_SEEN:
		break;
	case UNTIL_PREFLIGHT:
		return job->accepted_at_ms != JOB_UNKNOWN;
	case UNTIL_FINAL:
		return false;
	case UNTIL_CHANGED:
		return job->revision != request->wait.revision;
	}
	return true;
}

void
request_base(const struct request *request, char out[REQUEST_BASE_MAX])
{
	(void)snprintf(out, REQUEST_BASE_MAX, "%s/%s/private/papi",
	    request->prefix, request->app);
}
