/*
 * podprof take: order a capture, and bring its file.
 */
#include "tool.h"

#include <stdio.h>
#include <string.h>

#include "job.h"
#include "str.h"

/* An order whose answer was cut off is repeated for so long. */
#define ORDER_PATIENCE_MS 60000
#define BODY_MAX 4096

/* What can be in an option's value; the service knows the range. */
enum form { FORM_TIME, FORM_WHOLE, FORM_SIZE, FORM_WORD, FORM_FLAG };

static const struct {
	const char *name;
	const char *member;
	enum tool_option option;
	enum form form;
} members[] = {
	{"--duration", "durationMs", OPTION_DURATION, FORM_TIME},
	{"--interval", "intervalUs", OPTION_INTERVAL, FORM_WHOLE},
	{"--sampling-bytes", "samplingBytes", OPTION_SAMPLING_BYTES,
	    FORM_SIZE},
	{"--live", "live", OPTION_LIVE, FORM_FLAG},
	{"--method", "method", OPTION_METHOD, FORM_WORD},
	{"--worker", "worker", OPTION_WORKER, FORM_WORD},
	{"--force", "force", OPTION_FORCE, FORM_FLAG},
};

/* *ret_built: whether there was memory for it. */
static int
put_member(struct json *order, size_t at, const char *value, bool *ret_built,
    struct err *err)
{
	const char *key = members[at].member;
	int64_t number = 0;
	int rc = 0;

	switch (members[at].form) {
	case FORM_TIME:
		rc = str_parse_duration(value, &number, err);
		if (rc != 0)
			(void)err_set(err, ERR_INVALID, "\"%.40s\" is not a "
			    "time: a number with ms, s or m", value);
		break;
	case FORM_WHOLE:
		rc = str_parse_int(value, 0, INT64_MAX, &number, err);
		if (rc != 0)
			(void)err_set(err, ERR_INVALID, "\"%.40s\" is not a "
			    "whole number of microseconds", value);
		break;
	case FORM_SIZE:
		rc = str_parse_size(value, &number, err);
		break;
	case FORM_WORD:
		*ret_built = json_put_string(order, key, value) == 0;
		return 0;
	case FORM_FLAG:
		*ret_built = json_put_bool(order, key, true) == 0;
		return 0;
	}
	if (rc != 0)
		return err_wrap(err, "%s", members[at].name);
	*ret_built = json_put_int(order, key, number) == 0;
	return 0;
}

/* The body of POST jobs. */
static int
make_order(const struct tool_call *call, struct buf *out, struct err *err)
{
	struct json *order = json_new_object();
	const char *value;
	bool built, is_put = false;
	int rc = -1;
	size_t i;

	built = json_put_string(order, "kind", call->args[0]) == 0;
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		value = call->values[members[i].option];
		if (value == NULL)
			continue;
		if (put_member(order, i, value, &is_put, err) != 0)
			goto out;
		built = built && is_put;
	}
	rc = built ? json_print(order, out, err) :
	    err_set(err, ERR_NOMEM, "no memory for the order");
out:
	json_free(&order);
	return rc;
}

/* Whatever is in the way has an address that ends in its id. */
static void
say_way_out(const struct tool_service *service,
    const struct client_reply *reply, const struct err *err)
{
	const char *id = strrchr(reply->location, '/');

	if (strstr(err->msg, "force") != NULL && err->code == ERR_SPACE)
		tool_complain("to insist: podprof take ... --force");
	if (reply->status == 409 && id != NULL && uuid_is_valid(id + 1))
		tool_say_get(service, "to wait for that one, and have its file",
		    id + 1);
}

/* The key makes one job of all tries. */
static enum tool_status
order(struct tool_service *service, const char *body, struct json **ret_job)
{
	struct tool_patience patience = {.patience_ms = ORDER_PATIENCE_MS};
	char key[UUID_MAX];
	const struct client_request request = {.method = "POST",
	    .path = "jobs", .body = body, .key = key};
	enum tool_status status = TOOL_DONE;
	struct tool_progress progress;
	struct client_reply reply;
	struct err err;

	tool_progress_init(&progress);
	if (uuid_v7(key, &err) != 0)
		return tool_failed(&err);
	if (tool_ask(service, &request, &patience, &progress, &reply,
	    &err) != 0) {
		if (!client_is_stopped(service->client))
			return tool_refused(&err);
		tool_complain("interrupted before the service had answered; "
		    "podprof jobs shows whether the capture has begun");
		return TOOL_FAILED;
	}
	if (client_document(service->client, &reply, ret_job, &err) != 0) {
		status = tool_refused(&err);
		say_way_out(service, &reply, &err);
	}
	client_reply_fini(&reply);
	return status;
}

static enum tool_status
take(struct tool_service *service, const char *body)
{
	struct json *job = NULL;
	enum tool_status status;
	const char *id;

	status = order(service, body, &job);
	if (status != TOOL_DONE)
		return status;
	id = tool_text(job, "id");
	if (!uuid_is_valid(id)) {
		tool_complain("%s has answered without a job's ID",
		    client_where(service->client));
		status = TOOL_FAILED;
	} else if (!tool_has(service->call, OPTION_NO_WAIT)) {
		tool_complain("job %s", id);
		status = tool_bring(service, id);
	} else if (tool_has(service->call, OPTION_JSON)) {
		status = tool_put_json(job, true);
	} else {
		tool_say_get(service, "to have the file", id);
		(void)puts(id);
		status = tool_finish();
	}
	json_free(&job);
	return status;
}

/* What can be said without a service. */
static enum tool_status
check_call(const struct tool_call *call)
{
	const char *method = call->values[OPTION_METHOD];

	if (job_kind_of_name(call->args[0]) < 0)
		return tool_usage("what can be taken is heap-snapshot, "
		    "cpu-profile or heap-profile, not", call->args[0]);
	if (method != NULL && conf_method_of_name(method) < 0)
		return tool_usage("--method is auto, fork, direct or stream, "
		    "not", method);
	if (tool_has(call, OPTION_NO_WAIT) && tool_has(call, OPTION_OUTPUT))
		return tool_usage("--no-wait brings no file, so it does not "
		    "go with -o", NULL);
	return tool_check_output(call);
}

enum tool_status
tool_take(const struct tool_call *call)
{
	enum tool_status status = check_call(call);
	struct tool_service service;
	struct buf body;
	struct err err;

	if (status != TOOL_DONE)
		return status;
	buf_init(&body, BODY_MAX);
	if (make_order(call, &body, &err) != 0) {
		status = tool_refused(&err);
		buf_fini(&body);
		return status;
	}
	status = tool_open(call, &service);
	if (status == TOOL_DONE && !tool_has(call, OPTION_NO_WAIT) &&
	    fetch_check_place(call->values[OPTION_OUTPUT], &err) != 0)
		status = tool_failed(&err);
	if (status == TOOL_DONE) {
		tool_catch_signals(&service);
		status = take(&service, buf_str(&body));
	}
	tool_close(&service);
	buf_fini(&body);
	return status;
}
