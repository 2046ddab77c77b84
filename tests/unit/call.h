/*
 * What the unit programs of routes and handlers share: one request at a time,
 * from its variables to its answer, and jobs that are moved on by hand in
 * between.  Programs that include it link with -Wl,--wrap=spawn_capture.
 */
#ifndef PODPROF_CALL_H
#define PODPROF_CALL_H

#include "site.h"

#include "json.h"
#include "route.h"
#include "service.h"
#include "spawn.h"

#define PAPI "/app/private/papi"
#define NO_JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"

static struct site site;
static struct service *service;
static struct seat seat;

/* The newest job, and the newest app to be looked at, or job to be summarized;
 * how many of each. */
static char spawned[UUID_MAX], looked_at[STR_NAME_MAX + 1];
static size_t spawns, looks;
static bool spawn_fails;

int __wrap_spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err);

int
__wrap_spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err)
{
	assert_ptr_equal(conf, &site.conf);
	assert_int_equal(log, SPAWN_LOG_STDERR);
	if (task == SPAWN_JOB) {
		spawns++;
		(void)snprintf(spawned, sizeof(spawned), "%s", name);
	} else {
		looks++;
		(void)snprintf(looked_at, sizeof(looked_at), "%s", name);
	}
	if (spawn_fails)
		return err_set(err, ERR_INTERNAL, "cannot start X");
	*ret_pid = 999999;
	return 0;
}

static inline int
set_up(void **state)
{
	struct err err;

	(void)state;
	spawns = looks = 0;
	spawn_fails = false;
	site_open(&site);
	assert_ok(service_new(&site.conf, SPAWN_LOG_STDERR, &service, &err),
	    err);
	seat = (struct seat){ .service = service };
	return 0;
}

/* One request, as far as it has come. */
#define CALL_ENV_MAX 12
static struct {
	char lines[CALL_ENV_MAX][600];
	char *env[CALL_ENV_MAX + 1];
	const char *body;
	struct request *request;
	struct answer answer;
	int out;
	struct json *json;
} call;

static inline void
end_call(void)
{
	if (call.request == NULL)
		return;
	json_free(&call.json);
	answer_fini(&call.answer);
	request_free(&call.request);
	(void)close(call.out);
}

static inline int
tear_down(void **state)
{
	(void)state;
	front_drop_log();
	end_call();
	seat_fini(&seat);
	service_free(&service);
	site_close(&site);
	return 0;
}

/* The body as JSON, if it is. */
static inline void
read_answer(void)
{
	struct err err;

	json_free(&call.json);
	if (call.answer.kind == ANSWER_RESPONSE && call.answer.body.len > 0 &&
	    strstr(call.answer.type, "json") != NULL)
		assert_ok(json_parse(call.answer.body.data,
		    call.answer.body.len, &call.json, &err), err);
}

/* "BODY=…" is the request's body, any other line a variable. */
static inline void
add_line(size_t i, const char *line)
{
	assert_true(i < CALL_ENV_MAX);
	assert_true(strlen(line) < sizeof(call.lines[i]));
	if (strncmp(line, "BODY=", 5) == 0) {
		call.body = line + 5;
		(void)snprintf(call.lines[i], sizeof(call.lines[i]),
		    "CONTENT_LENGTH=%zu", strlen(call.body));
	} else {
		(void)str_copy(call.lines[i], sizeof(call.lines[i]), line);
	}
	call.env[i] = call.lines[i];
	call.env[i + 1] = NULL;
}

/* A request with these variables, whose NULL ends them; not yet served. */
static inline void
open_call(const char *method, const char *path, const char *query,
    const char *const more[])
{
	static const char *const names[] = { "REQUEST_METHOD", "SCRIPT_NAME",
		"QUERY_STRING" };
	const char *const values[] = { method, path,
		query != NULL ? query : "" };
	char line[600];
	struct gate *gate;
	struct err err;
	size_t i;

	end_call();
	call.body = "";
	for (i = 0; i < 3; i++) {
		(void)snprintf(line, sizeof(line), "%s=%s", names[i],
		    values[i]);
		add_line(i, line);
	}
	for (; *more != NULL; more++)
		add_line(i++, *more);
	gate = front_gate(call.env, call.body, &call.out);
	assert_ok(request_new(&gate, &call.request, &err), err);
	assert_ok(request_read(call.request, &err), err);
	route_find(call.request);
	answer_init(&call.answer);
}

static inline void
serve_call(void)
{
	route_serve(&seat, call.request, &call.answer);
	read_answer();
}

/* who, more, more2: further variables, or NULL. */
static inline void
begin_call(const char *method, const char *path, const char *query,
    const char *who, const char *more, const char *more2)
{
	const char *const given[] = { who, more, more2 };
	const char *lines[4] = { NULL };
	size_t i, len = 0;

	for (i = 0; i < 3; i++)
		if (given[i] != NULL)
			lines[len++] = given[i];
	open_call(method, path, query, lines);
	serve_call();
}

static inline void
resume_call(void)
{
	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	answer_fini(&call.answer);
	route_resume(&seat, call.request, &call.answer);
	read_answer();
}

/* What it waits for is there. */
static inline bool
is_over(const struct request *request)
{
	struct request_sight sight;
	struct err err;

	assert_ok(request_see(request, &seat, &sight, &err), err);
	return request_is_over(request, &sight);
}

/* One request that goes on while others are made. */
struct parked {
	struct request *request;
	int out;
};

static inline struct parked
park_call(void)
{
	const struct parked parked = { call.request, call.out };

	assert_int_equal(call.answer.kind, ANSWER_WAIT);
	assert_non_null(call.request->place);
	answer_fini(&call.answer);
	call.request = NULL;
	return parked;
}

static inline void
resume_parked(const struct parked *parked)
{
	end_call();
	call.request = parked->request;
	call.out = parked->out;
	answer_init(&call.answer);
	route_resume(&seat, call.request, &call.answer);
	read_answer();
}

/* A GET of an operator. */
static inline void
get(const char *path, const char *query)
{
	begin_call("GET", path, query, site.operator, NULL, NULL);
}

static inline const char *
member(const char *key)
{
	const char *text = json_string(json_get(call.json, key));

	return text != NULL ? text : "(none)";
}

static inline void
expect_problem(int status, const char *name, const char *text)
{
	char type[64];

	(void)snprintf(type, sizeof(type), "urn:podprof:error:%s", name);
	if (call.answer.status != status)
		fail_msg("status %d: %s", call.answer.status,
		    buf_str(&call.answer.body));
	assert_string_equal(call.answer.type, "application/problem+json");
	assert_string_equal(member("type"), type);
	if (strstr(member("detail"), text) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", member("detail"), text);
}

static inline void
expect_header(const char *line)
{
	if (strstr(buf_str(&call.answer.headers), line) == NULL)
		fail_msg("no \"%s\" in:\n%s", line,
		    buf_str(&call.answer.headers));
}

static inline void
expect_no_header(const char *name)
{
	if (strstr(buf_str(&call.answer.headers), name) != NULL)
		fail_msg("\"%s\" in:\n%s", name,
		    buf_str(&call.answer.headers));
}

static inline void
expect_status(int status)
{
	if (call.answer.status != status)
		fail_msg("status %d instead of %d: %s", call.answer.status,
		    status, buf_str(&call.answer.body));
}

/* Take a whole snapshot of so many bytes; its id, till the next. */
static inline const char *
take_bytes(size_t bytes)
{
	static char id[UUID_MAX];

	get(PAPI "/takeMemorySnapshot", NULL);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	resume_call();
	expect_status(200);
	site_finish(&site, site.db, id, JOB_HEAP_SNAPSHOT, bytes);
	return id;
}

static inline const char *
take_whole(void)
{
	return take_bytes(1000);
}

#endif
