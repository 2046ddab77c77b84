/*
 * podprof target: an app without capturing anything, in words.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
put_app(const struct tool_screen *screen, const struct json *target)
{
	const struct json *inspector = json_get(target, "inspector");
	const bool is_reachable =
	    json_is_true(json_get(inspector, "reachable"));
	const int64_t pid = tool_number(target, "pid");
	char text[ERR_MSG_MAX];

	(void)snprintf(text, sizeof(text), "%.64s, pod %.253s",
	    tool_text(target, "app"), tool_text(target, "pod"));
	tool_put_field(screen, "app", text);
	(void)snprintf(text, sizeof(text), "%.300s, %s%s",
	    tool_text(inspector, "address"), is_reachable ? "answers" :
	    "does not answer: does the app run, with --inspect=ADDRESS, and "
	    "is it neither stopped nor too busy?  podprof check beside the "
	    "service says more", json_is_true(json_get(inspector,
	    "activated")) ? "; podprof has opened it" : "");
	tool_put_field(screen, "inspector", text);
	if (tool_text(target, "node")[0] != '\0') {
		(void)snprintf(text, sizeof(text), "%.32s",
		    tool_text(target, "node"));
		tool_put_field(screen, "Node", text);
	}
	if (pid >= 0) {
		(void)snprintf(text, sizeof(text), "%" PRId64, pid);
		tool_put_field(screen, "pid", text);
	}
}

/* A number of the document, and how it is told. */
struct number {
	const char *key;
	const char *what;
	void (*format)(int64_t n, char out[TOOL_NUMBER_MAX]);
};

static const struct number memory_numbers[] = {
	{"heapUsedBytes", "heap", tool_format_bytes},
	{"rssBytes", "process", tool_format_bytes},
	{"limitBytes", "limit", tool_format_bytes},
	{"availableBytes", "still free", tool_format_bytes},
};
static const struct number predicted_numbers[] = {
	{"fileBytes", "a heap snapshot would be", tool_format_bytes},
	{"peakBytes", "need memory up to", tool_format_bytes},
	{"freezeMs", "freeze the app for", tool_format_ms},
};
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* "heap 120M, process 200M": those that are known. */
static void
put_numbers(const struct tool_screen *screen, const char *label,
    const struct json *object, const struct number *numbers, size_t len)
{
	char text[256] = "", shown[TOOL_NUMBER_MAX];
	size_t i, used;
	int64_t n;

	for (i = 0; i < len; i++) {
		n = tool_number(object, numbers[i].key);
		if (n < 0)
			continue;
		numbers[i].format(n, shown);
		used = strlen(text);
		(void)snprintf(text + used, sizeof(text) - used, "%s%s %s",
		    used > 0 ? ", " : "", numbers[i].what, shown);
	}
	if (text[0] != '\0')
		tool_put_field(screen, label, text);
}

/* The first that can be used is the one that would be. */
static void
put_methods(const struct tool_screen *screen, const struct json *target)
{
	const struct json *method;
	bool is_taken = false, is_usable;
	char text[ERR_MSG_MAX + 96];
	const char *reason;

	for (method = json_first(json_get(target, "methods")); method != NULL;
	    method = json_next(method)) {
		is_usable = json_is_true(json_get(method, "usable"));
		reason = tool_text(method, "reason");
		(void)snprintf(text, sizeof(text), "%.32s: %s%s%s",
		    tool_text(method, "method"), !is_usable ? "not usable" :
		    is_taken ? "usable" : "would be used",
		    reason[0] != '\0' ? ": " : "", reason);
		tool_put_field(screen, "method", text);
		is_taken = is_taken || is_usable;
	}
}

static void
put_workers(const struct tool_screen *screen, const struct json *target)
{
	const struct json *worker;
	char text[ERR_MSG_MAX];

	for (worker = json_first(json_get(target, "workers")); worker != NULL;
	    worker = json_next(worker)) {
		(void)snprintf(text, sizeof(text), "%.32s: %.400s",
		    tool_text(worker, "id"), tool_text(worker, "title"));
		tool_put_field(screen, "worker", text);
	}
}

static enum tool_status
print_target(const struct json *target)
{
	struct tool_screen screen;

	tool_screen_init(&screen, stdout);
	put_app(&screen, target);
	put_numbers(&screen, "memory", json_get(target, "memory"),
	    memory_numbers, LEN(memory_numbers));
	put_methods(&screen, target);
	put_numbers(&screen, "predicted", json_get(target, "predicted"),
	    predicted_numbers, LEN(predicted_numbers));
	put_workers(&screen, target);
	return tool_finish();
}

enum tool_status
tool_target(const struct tool_call *call)
{
	struct json *target = NULL;
	struct tool_service service;
	enum tool_status status;
	struct err err;

	status = tool_open(call, &service);
	if (status != TOOL_DONE)
		goto out;
	if (client_get(service.client, "target", &target, &err) != 0)
		status = tool_refused(&err);
	else if (tool_has(call, OPTION_JSON))
		status = tool_put_json(target, true);
	else
		status = print_target(target);
out:
	json_free(&target);
	tool_close(&service);
	return status;
}
