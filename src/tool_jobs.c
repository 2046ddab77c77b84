/*
 * podprof jobs, show and rm: what there is, one of it, and one less.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

static const struct tool_column columns[] = {
	{.title = "ID", .is_bare = true, .min = 13},
	{.title = "KIND", .min = 8},
	{.title = "STATE"},
	{.title = "CREATED", .rank = 2},
	{.title = "SIZE", .is_right = true, .rank = 1},
	{.title = "METHOD", .rank = 4},
	{.title = "FREEZE", .is_right = true, .rank = 3},
	{.title = "BY", .min = 8, .rank = 5},
	{.title = "NOTE", .min = 16, .rank = 6},
};
#define COLUMNS_LEN (sizeof(columns) / sizeof(columns[0]))

static bool
is_active(const char *state)
{
	return strcmp(state, "running") == 0 || strcmp(state, "queued") == 0;
}

/* What there is to say of it in a few words; out holds size bytes. */
static const char *
note_of(const struct json *job, char *out, size_t size)
{
	const char *state = tool_text(job, "state");
	const struct json *progress = json_get(job, "progress");
	const int64_t done = tool_number(progress, "done");
	const int64_t total = tool_number(progress, "total");

	if (is_active(state) && done >= 0 && total > 0 && done <= total) {
		(void)snprintf(out, size, "%.32s %s%d%%",
		    tool_text(job, "phase"),
		    json_is_true(json_get(progress, "estimated")) ? "~" : "",
		    (int)((double)done * 100 / (double)total));
		return out;
	}
	if (is_active(state))
		return tool_text(job, "phase");
	if (strcmp(state, "failed") == 0)
		return tool_text(json_get(job, "error"), "detail");
	if (strcmp(state, "succeeded") == 0 &&
	    json_string(json_path(job, "links", "artifact")) == NULL)
		return "its file is gone";
	return "";
}

/* A heap snapshot's; there are no two ways to take a profile. */
static const char *
method_of(const struct json *job)
{
	return strcmp(tool_text(job, "kind"), "heap-snapshot") == 0 ?
	    tool_text(job, "method") : "-";
}

/* The file's once it is whole, else what there is of it. */
static int64_t
size_of(const struct json *job)
{
	const int64_t size = tool_number(json_get(job, "artifact"), "size");

	if (size > 0)
		return size;
	if (is_active(tool_text(job, "state")))
		return tool_number(json_get(job, "progress"), "bytes");
	return -1;
}

static int
add_row(struct tool_table *table, const struct json *job, struct err *err)
{
	const char *state = tool_text(job, "state");
	char time[TOOL_NUMBER_MAX], size[TOOL_NUMBER_MAX];
	char freeze[TOOL_NUMBER_MAX], note[64];
	const char *cells[COLUMNS_LEN];
	size_t i;

	tool_format_time(tool_parse_time(tool_text(job, "createdAt")),
	    clock_utc_ms(), time);
	tool_format_bytes(size_of(job), size);
	tool_format_ms(tool_number(job, "freezeMs"), freeze);
	cells[0] = tool_text(job, "id");
	cells[1] = tool_text(job, "kind");
	cells[2] = state;
	cells[3] = time;
	cells[4] = size;
	cells[5] = method_of(job);
	cells[6] = freeze;
	cells[7] = tool_text(job, "requestedBy");
	cells[8] = note_of(job, note, sizeof(note));
	for (i = 0; i < COLUMNS_LEN; i++)
		if (tool_table_add(table, i == 2 ? tool_colour_of(state) :
		    COLOUR_NONE, cells[i], err) != 0)
			return -1;
	return 0;
}

static enum tool_status
print_list(const struct client *client, const struct json *list)
{
	const struct json *job = json_first(json_get(list, "jobs"));
	struct tool_table *table = NULL;
	enum tool_status status;
	struct tool_screen screen;
	struct err err;
	int rc;

	if (job == NULL) {
		tool_complain("there are no such jobs of app %s",
		    client_app(client));
		return TOOL_DONE;
	}
	tool_screen_init(&screen, stdout);
	rc = tool_table_new(columns, COLUMNS_LEN, &table, &err);
	for (; rc == 0 && job != NULL; job = json_next(job))
		rc = add_row(table, job, &err);
	if (rc == 0) {
		tool_table_print(table, &screen, tool_screen_width(&screen));
		status = tool_finish();
	} else {
		status = tool_failed(&err);
	}
	tool_table_free(&table);
	if (rc == 0 && json_string(json_get(list, "next")) != NULL)
		tool_complain("there are older ones: --limit 1000 shows more");
	return status;
}

/* "&key=value", for an option that was given. */
static int
add_query(struct buf *path, const char *key, const char *value,
    struct err *err)
{
	if (value == NULL)
		return 0;
	if (buf_addf(path, err, "%c%s=",
	    strchr(buf_str(path), '?') != NULL ? '&' : '?', key) != 0)
		return -1;
	return tool_encode(path, value, err);
}

enum tool_status
tool_jobs(const struct tool_call *call)
{
	struct tool_service service;
	enum tool_status status;
	struct json *list = NULL;
	struct buf path;
	struct err err;

	buf_init(&path, CLIENT_URL_MAX);
	status = tool_open(call, &service);
	if (status != TOOL_DONE)
		goto out;
	if (buf_adds(&path, "jobs", &err) != 0 ||
	    add_query(&path, "kind", call->values[OPTION_KIND], &err) != 0 ||
	    add_query(&path, "state", call->values[OPTION_STATE],
		&err) != 0 ||
	    add_query(&path, "limit", call->values[OPTION_LIMIT],
		&err) != 0 ||
	    client_get(service.client, buf_str(&path), &list, &err) != 0)
		status = tool_refused(&err);
	else if (tool_has(call, OPTION_JSON))
		status = tool_put_json(list, true);
	else
		status = print_list(service.client, list);
out:
	json_free(&list);
	tool_close(&service);
	buf_fini(&path);
	return status;
}

/* show: a field a line, as far as it is known. */

static void
put_text_field(const struct tool_screen *screen, const char *label,
    const struct json *object, const char *key)
{
	const char *text = tool_text(object, key);

	if (text[0] != '\0')
		tool_put_field(screen, label, text);
}

/* Its time here, and how long ago or ahead that is. */
static void
put_time_field(const struct tool_screen *screen, const char *label,
    const struct json *job, const char *key)
{
	const int64_t at = tool_parse_time(tool_text(job, key));
	const int64_t now = clock_utc_ms();
	char time[TOOL_NUMBER_MAX], away[TOOL_NUMBER_MAX], text[96];

	if (at < 0)
		return;
	tool_format_time(at, now, time);
	tool_format_ms(at < now ? now - at : at - now, away);
	(void)snprintf(text, sizeof(text), at < now ? "%s (%s ago)" :
	    "%s (in %s)", time, away);
	tool_put_field(screen, label, text);
}

/* "120M", "predicted 118M": what of it is known. */
static void
put_measure(const struct tool_screen *screen, const char *label,
    int64_t value, int64_t predicted,
    void (*format)(int64_t, char[TOOL_NUMBER_MAX]))
{
	char is[TOOL_NUMBER_MAX], was[TOOL_NUMBER_MAX], text[128];

	if (value < 0 && predicted < 0)
		return;
	format(value, is);
	format(predicted, was);
	if (predicted < 0)
		(void)snprintf(text, sizeof(text), "%s", is);
	else if (value < 0)
		(void)snprintf(text, sizeof(text), "predicted %s", was);
	else
		(void)snprintf(text, sizeof(text), "%s (predicted %s)", is,
		    was);
	tool_put_field(screen, label, text);
}

/* "running, writing": in colour where there is some. */
static void
put_state(const struct tool_screen *screen, const struct json *job)
{
	const char *state = tool_text(job, "state");
	const char *phase = tool_text(job, "phase");
	const struct json *options = json_get(job, "options"), *option;
	char text[128];

	(void)snprintf(text, sizeof(text), "%.32s%s%.32s", state,
	    phase[0] != '\0' ? ", " : "", phase);
	tool_put_field(screen, "state", text);
	put_text_field(screen, "error", json_get(job, "error"), "detail");
	for (option = json_first(options); option != NULL;
	    option = json_next(option)) {
		if (json_string(option) != NULL)
			(void)snprintf(text, sizeof(text), "%.40s %.60s",
			    json_key(option), json_string(option));
		else if (json_is_number(option))
			(void)snprintf(text, sizeof(text), "%.40s %" PRId64,
			    json_key(option), json_int(option, 0));
		else
			(void)snprintf(text, sizeof(text), "%.40s",
			    json_key(option));
		tool_put_field(screen, "option", text);
	}
}

static void
put_attempts(const struct tool_screen *screen, const struct json *job)
{
	const struct json *attempt;
	const char *reason;
	char text[ERR_MSG_MAX + 96];

	if (strcmp(tool_text(job, "kind"), "heap-snapshot") == 0)
		put_text_field(screen, "method", job, "method");
	for (attempt = json_first(json_get(job, "attempts")); attempt != NULL;
	    attempt = json_next(attempt)) {
		reason = tool_text(attempt, "reason");
		(void)snprintf(text, sizeof(text), "%.32s %.32s%s%s",
		    tool_text(attempt, "method"),
		    tool_text(attempt, "outcome"), reason[0] != '\0' ? ": " :
		    "", reason);
		tool_put_field(screen, "attempt", text);
	}
}

static void
put_file(const struct tool_screen *screen, const struct json *job)
{
	const struct json *artifact = json_get(job, "artifact");
	const int64_t size = tool_number(artifact, "size");

	put_measure(screen, "size", size > 0 ? size : -1,
	    tool_number(json_get(job, "predicted"), "fileBytes"),
	    tool_format_bytes);
	if (size <= 0)
		return;
	if (json_string(json_path(job, "links", "artifact")) == NULL)
		tool_put_field(screen, "file", "gone: expired, removed, or "
		    "made room");
	else
		put_text_field(screen, "file", artifact, "name");
	put_measure(screen, "stored", tool_number(artifact, "storedSize"), -1,
	    tool_format_bytes);
	put_text_field(screen, "SHA-256", artifact, "sha256");
	put_time_field(screen, "delivered", artifact, "deliveredAt");
}

static void
put_target(const struct tool_screen *screen, const struct json *job)
{
	const struct json *target = json_get(job, "target");
	const struct json *memory = json_get(job, "memory");
	const struct json *predicted = json_get(job, "predicted");
	const int64_t pid = tool_number(target, "pid");
	char text[160];

	if (pid >= 0) {
		(void)snprintf(text, sizeof(text), "Node %.32s, pid %" PRId64,
		    tool_text(target, "node"), pid);
		tool_put_field(screen, "target", text);
	}
	put_measure(screen, "freeze", tool_number(job, "freezeMs"),
	    tool_number(predicted, "freezeMs"), tool_format_ms);
	put_measure(screen, "mem before", tool_number(memory, "beforeBytes"),
	    -1, tool_format_bytes);
	put_measure(screen, "mem peak", tool_number(memory, "peakBytes"),
	    tool_number(predicted, "peakBytes"), tool_format_bytes);
	put_measure(screen, "mem after", tool_number(memory, "afterBytes"), -1,
	    tool_format_bytes);
}

static enum tool_status
print_job(const struct json *job)
{
	struct tool_screen screen;
	char note[64];

	tool_screen_init(&screen, stdout);
	put_text_field(&screen, "id", job, "id");
	put_text_field(&screen, "kind", job, "kind");
	put_text_field(&screen, "app", job, "app");
	put_text_field(&screen, "pod", job, "pod");
	put_state(&screen, job);
	if (is_active(tool_text(job, "state")))
		tool_put_field(&screen, "progress", note_of(job, note,
		    sizeof(note)));
	put_attempts(&screen, job);
	put_text_field(&screen, "by", job, "requestedBy");
	put_time_field(&screen, "created", job, "createdAt");
	put_time_field(&screen, "started", job, "startedAt");
	put_time_field(&screen, "finished", job, "finishedAt");
	put_time_field(&screen, "expires", job, "expiresAt");
	put_target(&screen, job);
	put_file(&screen, job);
	put_text_field(&screen, "object ids", job, "objectIds");
	return tool_finish();
}

enum tool_status
tool_show(const struct tool_call *call)
{
	struct tool_service service;
	char id[UUID_MAX], path[16 + UUID_MAX];
	enum tool_status status;
	struct json *job = NULL;
	struct err err;

	status = tool_open(call, &service);
	if (status != TOOL_DONE)
		goto out;
	if (tool_find_id(service.client, call->args[0], id, &err) != 0) {
		status = tool_refused(&err);
		goto out;
	}
	(void)snprintf(path, sizeof(path), "jobs/%s", id);
	if (client_get(service.client, path, &job, &err) != 0)
		status = tool_refused(&err);
	else if (tool_has(call, OPTION_JSON))
		status = tool_put_json(job, true);
	else
		status = print_job(job);
out:
	json_free(&job);
	tool_close(&service);
	return status;
}

/* rm: a running one is canceled, of another file and row go. */

/* There is no document of what is gone. */
static enum tool_status
say_removed(const struct tool_call *call, const char *id)
{
	struct json *json = NULL;
	enum tool_status status;

	if (!tool_has(call, OPTION_JSON)) {
		tool_complain("job %s and its file are gone", id);
		return TOOL_DONE;
	}
	json = json_new_object();
	status = tool_put_json(json, json_put_string(json, "removed",
	    id) == 0);
	json_free(&json);
	return status;
}

static enum tool_status
removed(const struct tool_service *service, const char *id,
    const struct client_reply *reply)
{
	struct json *job = NULL;
	enum tool_status status = TOOL_DONE;
	struct err err;

	if (reply->status == 204)
		return say_removed(service->call, id);
	if (client_document(service->client, reply, &job, &err) != 0)
		status = tool_refused(&err);
	else if (tool_has(service->call, OPTION_JSON))
		status = tool_put_json(job, true);
	else
		tool_complain("job %s is canceled; rm it again to remove it "
		    "from the list", id);
	json_free(&job);
	return status;
}

enum tool_status
tool_rm(const struct tool_call *call)
{
	char id[UUID_MAX], path[16 + UUID_MAX];
	const struct client_request request = {.method = "DELETE",
	    .path = path};
	struct tool_service service;
	struct client_reply reply;
	enum tool_status status;
	struct err err;

	status = tool_open(call, &service);
	if (status != TOOL_DONE)
		goto out;
	if (tool_find_id(service.client, call->args[0], id, &err) != 0) {
		status = tool_refused(&err);
		goto out;
	}
	(void)snprintf(path, sizeof(path), "jobs/%s", id);
	if (client_call(service.client, &request, &reply, &err) != 0) {
		status = tool_refused(&err);
		goto out;
	}
	status = removed(&service, id, &reply);
	client_reply_fini(&reply);
out:
	tool_close(&service);
	return status;
}
