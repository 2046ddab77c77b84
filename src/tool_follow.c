/*
 * A job until it is over, and its file: through connections that are cut and
 * services that are started anew.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "str.h"

#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 8000
/* What a service may tell us to wait. */
#define RETRY_AFTER_MAX_S 30
/* So long a request waits for a change, where nobody looks, and where a time
 * is to be seen running. */
#define WAIT_S 25
#define WATCH_S 1

/* Nobody there, or gone in the middle of an answer. */
static bool
is_cut(enum err_code code)
{
	return code == ERR_TARGET_UNREACHABLE || code == ERR_TARGET_TIMEOUT ||
	    code == ERR_INTERRUPTED;
}

/* Of a service, or of a web server before it, that has no time, or is being
 * started. */
static bool
is_passing(const struct client_request *request, int status)
{
	return request->key == NULL && (status == 429 || status == 502 ||
	    status == 503 || status == 504);
}

/* Once for each that is new. */
static void
say_once(struct tool_patience *patience, struct tool_progress *progress,
    const struct err *err)
{
	if (strcmp(patience->said, err->msg) == 0)
		return;
	(void)str_copy(patience->said, sizeof(patience->said), err->msg);
	tool_progress_say(progress, "%s; trying again", err->msg);
}

/* One try; 1: it is to be tried again, as *err says. */
static int
try_once(struct tool_service *service, const struct client_request *request,
    struct tool_patience *patience, struct client_reply *reply,
    struct err *err)
{
	if (client_call(service->client, request, reply, err) != 0) {
		if (client_is_stopped(service->client) ||
		    !is_cut(err->code) || (patience->answered_ms == 0 &&
			err->code != ERR_INTERRUPTED))
			return -1;
		return 1;
	}
	if (!is_passing(request, reply->status)) {
		patience->answered_ms = clock_mono_ms();
		return 0;
	}
	(void)!client_refusal(service->client, reply, err);
	return 1;
}

int
tool_ask(struct tool_service *service, const struct client_request *request,
    struct tool_patience *patience, struct tool_progress *progress,
    struct client_reply *ret_reply, struct err *err)
{
	const int64_t since_ms = clock_mono_ms();
	int64_t pause_ms = PAUSE_MIN_MS, wait_ms, limit_ms;
	struct client_reply reply;
	struct err stopped;
	int rc;

	for (;;) {
		memset(&reply, 0, sizeof(reply));
		rc = try_once(service, request, patience, &reply, err);
		if (rc == 0)
			*ret_reply = reply;
		if (rc <= 0)
			return rc;
		wait_ms = 1000 * (reply.retry_after_s < RETRY_AFTER_MAX_S ?
		    reply.retry_after_s : RETRY_AFTER_MAX_S);
		client_reply_fini(&reply);
		limit_ms = err->code == ERR_BUSY ? TOOL_WORK_MS :
		    patience->patience_ms;
		if (clock_mono_ms() - since_ms > limit_ms)
			return err_wrap(err, "no answer after trying again "
			    "and again");
		say_once(patience, progress, err);
		if (wait_ms < pause_ms)
			wait_ms = pause_ms;
		if (client_pause(service->client, wait_ms, &stopped) != 0) {
			*err = stopped;
			return -1;
		}
		pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 :
		    PAUSE_MAX_MS;
	}
}

static bool
is_over(const struct json *job)
{
	const char *state = tool_text(job, "state");

	return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

/* The job as it is now, or once it has changed. */
static int
look(struct tool_service *service, const char *path, int64_t wait_s,
    struct tool_patience *patience, struct tool_progress *progress,
    struct json **ret_job, struct err *err)
{
	const struct client_request request = {.method = "GET", .path = path,
	    .wait_s = wait_s};
	struct client_reply reply;
	int rc;

	if (tool_ask(service, &request, patience, progress, &reply, err) != 0)
		return -1;
	rc = client_document(service->client, &reply, ret_job, err);
	client_reply_fini(&reply);
	return rc;
}

int
tool_follow(struct tool_service *service, const char *id,
    struct tool_progress *progress, struct json **ret_job, struct err *err)
{
	const int64_t wait_s = progress->screen.can_draw ? WATCH_S : WAIT_S;
	struct tool_patience patience = {.patience_ms = TOOL_PATIENCE_MS};
	char path[16 + UUID_MAX];
	struct json *job = NULL;
	bool is_first = true;

	(void)snprintf(path, sizeof(path), "jobs/%s", id);
	for (;;) {
		if (look(service, path, is_first ? 0 : wait_s, &patience,
		    progress, &job, err) != 0) {
			tool_progress_end(progress);
			return -1;
		}
		if (is_over(job))
			break;
		tool_progress_job(progress, job);
		json_free(&job);
		is_first = false;
	}
	tool_progress_end(progress);
	*ret_job = job;
	return 0;
}

/* The way back to a job that was left, and may be over. */
static enum tool_status
say_way_back(const struct tool_service *service, const char *id, bool is_over)
{
	char text[128];

	if (is_over)
		(void)str_copy(text, sizeof(text), "interrupted; the service "
		    "still has the file.  To have it");
	else
		(void)snprintf(text, sizeof(text), "interrupted; job %s goes "
		    "on, and its file is kept.  To have it", id);
	tool_say_get(service, text, id);
	return TOOL_FAILED;
}

static void
say_how_to_open(const struct json *job, const char *id)
{
	const char *kind = tool_text(job, "kind");

	if (strcmp(kind, "heap-snapshot") == 0) {
		tool_complain("open it in Chrome's DevTools: Memory, Load "
		    "profile; or read podprof summary %s", id);
	} else if (strcmp(kind, "cpu-profile") == 0) {
		tool_complain("open it in Chrome's DevTools: Performance, "
		    "Load profile; or in speedscope");
	} else {
		tool_complain("open it in Chrome's DevTools: Memory, Load "
		    "profile; or in speedscope");
	}
}

/* Standard output has the path alone, or nothing but the file. */
static enum tool_status
say_where(const struct tool_service *service, struct json *job,
    const char *id, const struct fetch_result *result)
{
	const int64_t freeze_ms = tool_number(job, "freezeMs");
	char size[TOOL_NUMBER_MAX], freeze[TOOL_NUMBER_MAX];

	tool_format_bytes(result->bytes, size);
	tool_format_ms(freeze_ms, freeze);
	tool_complain("%s, SHA-256 %s is right%s%s", size, result->sha256,
	    freeze_ms >= 0 ? "; the app stood still for " : "",
	    freeze_ms >= 0 ? freeze : "");
	if (strcmp(result->path, "-") == 0)
		return TOOL_DONE;
	say_how_to_open(job, id);
	if (tool_has(service->call, OPTION_JSON))
		return tool_put_json(job,
		    json_put_string(job, "file", result->path) == 0);
	(void)puts(result->path);
	return tool_finish();
}

static enum tool_status
load(struct tool_service *service, struct json *job, const char *id,
    struct tool_progress *progress)
{
	struct fetch_result result;
	struct err err;
	int rc;

	rc = fetch_artifact(service->client, id,
	    service->call->values[OPTION_OUTPUT], tool_progress_fetch,
	    progress, &result, &err);
	tool_progress_end(progress);
	if (rc == 0)
		return say_where(service, job, id, &result);
	if (client_is_stopped(service->client))
		return say_way_back(service, id, true);
	if (tool_failed(&err) == TOOL_FAILED)
		tool_say_get(service, "the service still has the file", id);
	return tool_status_of(err.code);
}

enum tool_status
tool_bring(struct tool_service *service, const char *id)
{
	struct tool_progress progress;
	struct json *job = NULL;
	enum tool_status status;
	struct err err;

	tool_progress_init(&progress);
	if (tool_follow(service, id, &progress, &job, &err) != 0) {
		if (client_is_stopped(service->client))
			return say_way_back(service, id, false);
		return tool_refused(&err);
	}
	if (strcmp(tool_text(job, "state"), "succeeded") == 0) {
		status = load(service, job, id, &progress);
	} else {
		status = tool_explain(job);
		if (tool_has(service->call, OPTION_JSON))
			(void)tool_put_json(job, true);
	}
	json_free(&job);
	return status;
}
