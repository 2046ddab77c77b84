/*
 * podprof summary and diff: what a heap snapshot consists of, and what grew
 * from one to the next.  The service computes it when it is asked for the first
 * time, which may take a while.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

#define LIMIT_MAX 50000
/* Rows that a person reads, unless --limit says so. */
#define LIMIT_DEFAULT 30

static const struct tool_column summary_columns[] = {
	{.title = "COUNT", .is_right = true},
	{.title = "SELF SIZE", .is_right = true},
	{.title = "%", .is_right = true, .rank = 1},
	{.title = "CLASS", .min = 12},
};
static const struct tool_column diff_columns[] = {
	{.title = "COUNT +/-", .is_right = true},
	{.title = "SELF SIZE +/-", .is_right = true},
	{.title = "COUNT", .is_right = true, .rank = 2},
	{.title = "SELF SIZE", .is_right = true, .rank = 1},
	{.title = "CLASS", .min = 12},
};
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static int
add_count(struct tool_table *table, int64_t n, bool with_sign,
    struct err *err)
{
	char text[TOOL_NUMBER_MAX];

	tool_format_count(n, with_sign, text);
	return tool_table_add(table, COLOUR_NONE, text, err);
}

static int
add_summary_row(struct tool_table *table, const char *name, int64_t count,
    int64_t self_size, int64_t total, struct err *err)
{
	char percent[TOOL_NUMBER_MAX];

	(void)snprintf(percent, sizeof(percent), "%.1f", total > 0 ?
	    (double)self_size * 100 / (double)total : 0);
	if (add_count(table, count, false, err) != 0 ||
	    add_count(table, self_size, false, err) != 0 ||
	    tool_table_add(table, COLOUR_NONE, percent, err) != 0)
		return -1;
	return tool_table_add(table, COLOUR_NONE, name, err);
}

/* The classes, and in one row whatever is not among them. */
static int
fill_summary(struct tool_table *table, const struct json *summary,
    struct err *err)
{
	const int64_t total = tool_number(summary, "selfSize");
	int64_t nodes = tool_number(summary, "nodes"), rest = total;
	bool is_over = nodes < 0 || total < 0;
	const struct json *class;
	int64_t count, size;

	for (class = json_first(json_get(summary, "classes")); class != NULL;
	    class = json_next(class)) {
		count = tool_number(class, "count");
		size = tool_number(class, "selfSize");
		if (add_summary_row(table, tool_text(class, "name"), count,
		    size, total, err) != 0)
			return -1;
		/* Who says so little in all, or so much here, is wrong. */
		is_over = is_over || count < 0 || count > nodes ||
		    size < 0 || size > rest;
		nodes -= is_over ? 0 : count;
		rest -= is_over ? 0 : size;
	}
	if (is_over || nodes == 0)
		return 0;
	return add_summary_row(table, "all others together", nodes, rest,
	    total, err);
}

static int
fill_diff(struct tool_table *table, const struct json *diff, struct err *err)
{
	const struct json *class;

	for (class = json_first(json_get(diff, "classes")); class != NULL;
	    class = json_next(class)) {
		if (add_count(table, json_int(json_get(class, "countDelta"),
			0), true, err) != 0 ||
		    add_count(table, json_int(json_get(class,
			"selfSizeDelta"), 0), true, err) != 0 ||
		    add_count(table, json_int(json_get(class, "count"), 0),
			false, err) != 0 ||
		    add_count(table, json_int(json_get(class, "selfSize"), 0),
			false, err) != 0 ||
		    tool_table_add(table, COLOUR_NONE, tool_text(class,
			"name"), err) != 0)
			return -1;
	}
	return 0;
}

static void
put_totals(const struct json *summary)
{
	char nodes[TOOL_NUMBER_MAX], edges[TOOL_NUMBER_MAX];
	char size[TOOL_NUMBER_MAX], short_size[TOOL_NUMBER_MAX];

	tool_format_count(tool_number(summary, "nodes"), false, nodes);
	tool_format_count(tool_number(summary, "edges"), false, edges);
	tool_format_count(tool_number(summary, "selfSize"), false, size);
	tool_format_bytes(tool_number(summary, "selfSize"), short_size);
	(void)printf("%s nodes, %s edges, %s bytes (%s)\n\n", nodes, edges,
	    size, short_size);
}

static enum tool_status
print_classes(const struct json *document, bool is_diff)
{
	struct tool_table *table = NULL;
	struct tool_screen screen;
	enum tool_status status;
	struct err err;
	int rc;

	if (is_diff && json_count(json_get(document, "classes")) == 0) {
		tool_complain("no class has changed");
		return TOOL_DONE;
	}
	tool_screen_init(&screen, stdout);
	if (is_diff)
		rc = tool_table_new(diff_columns, LEN(diff_columns), &table,
		    &err);
	else
		rc = tool_table_new(summary_columns, LEN(summary_columns),
		    &table, &err);
	if (rc == 0)
		rc = is_diff ? fill_diff(table, document, &err) :
		    fill_summary(table, document, &err);
	if (rc != 0) {
		status = tool_failed(&err);
	} else {
		if (!is_diff)
			put_totals(document);
		tool_table_print(table, &screen, tool_screen_width(&screen));
		status = tool_finish();
	}
	tool_table_free(&table);
	return status;
}

static enum tool_status
ask(struct tool_service *service, const char *path, struct json **ret_json)
{
	struct tool_patience patience = {.patience_ms = TOOL_PATIENCE_MS};
	const struct client_request request = {.method = "GET", .path = path};
	enum tool_status status = TOOL_DONE;
	struct tool_progress progress;
	struct client_reply reply;
	struct err err;

	tool_progress_init(&progress);
	if (tool_ask(service, &request, &patience, &progress, &reply,
	    &err) != 0)
		return tool_refused(&err);
	if (client_document(service->client, &reply, ret_json, &err) != 0)
		status = tool_refused(&err);
	client_reply_fini(&reply);
	return status;
}

/* For people the beginning is enough; scripts get all they do not limit. */
static enum tool_status
limit_of(const struct tool_call *call, char *out, size_t size)
{
	const char *given = call->values[OPTION_LIMIT];
	int64_t limit = LIMIT_DEFAULT;

	out[0] = '\0';
	if (given == NULL && tool_has(call, OPTION_JSON))
		return TOOL_DONE;
	if (given != NULL &&
	    str_parse_int(given, 1, LIMIT_MAX, &limit, NULL) != 0)
		return tool_usage("--limit is 1 to 50000, not", given);
	(void)snprintf(out, size, "?limit=%" PRId64, limit);
	return TOOL_DONE;
}

/* The path below the base; other: NULL for a summary. */
static enum tool_status
make_path(struct tool_service *service, const char *id_word,
    const char *other_word, char *out, size_t size)
{
	char id[UUID_MAX], other[UUID_MAX], limit[32];
	enum tool_status status;
	struct err err;

	status = limit_of(service->call, limit, sizeof(limit));
	if (status != TOOL_DONE)
		return status;
	if (tool_find_id(service->client, id_word, id, &err) != 0 ||
	    (other_word != NULL && tool_find_id(service->client, other_word,
		other, &err) != 0))
		return tool_refused(&err);
	if (other_word == NULL)
		(void)snprintf(out, size, "jobs/%s/summary%s", id, limit);
	else
		(void)snprintf(out, size, "jobs/%s/diff/%s%s", id, other,
		    limit);
	return TOOL_DONE;
}

static enum tool_status
run(const struct tool_call *call, bool is_diff)
{
	struct json *document = NULL;
	struct tool_service service;
	enum tool_status status;
	char path[128];

	status = tool_open(call, &service);
	if (status == TOOL_DONE)
		status = make_path(&service, call->args[0], is_diff ?
		    call->args[1] : NULL, path, sizeof(path));
	if (status == TOOL_DONE)
		status = ask(&service, path, &document);
	if (status == TOOL_DONE)
		status = tool_has(call, OPTION_JSON) ?
		    tool_put_json(document, true) :
		    print_classes(document, is_diff);
	json_free(&document);
	tool_close(&service);
	return status;
}

enum tool_status
tool_summary(const struct tool_call *call)
{
	return run(call, false);
}

enum tool_status
tool_diff(const struct tool_call *call)
{
	return run(call, true);
}
