/*
 * The route table, matching, and judging.
 */
#include "route.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "handle.h"
#include "link.h"
#include "log.h"
#include "problem.h"

static const struct param_spec probe_params[] = {
	{ .name = "app", .type = PARAM_NAME },
	{ .name = NULL },
};

static const struct param_spec take_snapshot_params[] = {
	{ .name = "force", .type = PARAM_INT, .min = 0, .max = 1 },
	{ .name = NULL },
};

static const struct param_spec get_snapshot_params[] = {
	{ .name = "job", .type = PARAM_UUID },
	{ .name = NULL },
};

static const struct param_spec get_profile_params[] = {
	{ .name = "duration", .type = PARAM_NUMBER, .may_be_empty = true },
	{ .name = "interval", .type = PARAM_INT, .min = 50, .max = 100000 },
	{ .name = NULL },
};

static const struct param_spec list_jobs_params[] = {
	{ .name = "kind", .type = PARAM_WORD, .may_be_empty = true,
	    .word = job_kind_of_name,
	    .allowed = "heap-snapshot, cpu-profile, heap-profile" },
	{ .name = "state", .type = PARAM_WORD, .may_be_empty = true,
	    .word = job_state_of_name,
	    .allowed = "queued, running, succeeded, failed, canceled" },
	{ .name = "limit", .type = PARAM_INT, .may_be_empty = true,
	    .min = 1, .max = JOB_LIST_MAX },
	{ .name = "after", .type = PARAM_UUID, .may_be_empty = true },
	{ .name = NULL },
};

static const struct param_spec summary_params[] = {
	{ .name = "limit", .type = PARAM_INT, .may_be_empty = true,
	    .min = 1, .max = CLASSES_MAX },
	{ .name = NULL },
};

#define BASE "/{app}/private/papi"

static const struct route routes[] = {
	{ .path = "/livez", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .is_probe = true,
	    .params = probe_params, .handle = handle_livez },
	{ .path = "/readyz", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .is_probe = true,
	    .params = probe_params, .handle = handle_readyz },
	{ .path = "/metrics", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_VIEWER, .handle = handle_metrics },
	{ .path = "/openapi.json", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_VIEWER, .handle = handle_openapi },
	{ .path = BASE "/takeMemorySnapshot",
	    .methods = HTTP_GET | HTTP_POST, .role = ROLE_OPERATOR,
	    .params = take_snapshot_params, .handle = handle_take_snapshot,
	    .is_module = true },
	{ .path = BASE "/getMemorySnapshot",
	    .methods = HTTP_GET | HTTP_HEAD, .role = ROLE_OPERATOR,
	    .params = get_snapshot_params, .handle = handle_get_snapshot,
	    .is_module = true, .not_found = "Snapshot not found" },
	{ .path = BASE "/getCpuProfile",
	    .methods = HTTP_GET, .role = ROLE_OPERATOR,
	    .params = get_profile_params, .handle = handle_get_profile,
	    .is_module = true },
	{ .path = BASE "/jobs", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_VIEWER,
	    .params = list_jobs_params, .handle = handle_list_jobs },
	{ .path = BASE "/jobs", .methods = HTTP_POST,
	    .role = ROLE_OPERATOR, .handle = handle_create_job,
	    .takes_body = true },
	{ .path = BASE "/jobs/{id}", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_VIEWER, .handle = handle_get_job },
	{ .path = BASE "/jobs/{id}/artifact",
	    .methods = HTTP_GET | HTTP_HEAD, .role = ROLE_OPERATOR,
	    .handle = handle_get_artifact },
	{ .path = BASE "/jobs/{id}", .methods = HTTP_DELETE,
	    .role = ROLE_OPERATOR, .handle = handle_delete_job },
	{ .path = BASE "/jobs/{id}/links", .methods = HTTP_POST,
	    .role = ROLE_OPERATOR, .handle = handle_create_link },
	{ .path = BASE "/jobs/{id}/summary",
	    .methods = HTTP_GET | HTTP_HEAD, .role = ROLE_OPERATOR,
	    .params = summary_params, .handle = handle_summary },
	{ .path = BASE "/jobs/{id}/diff/{other}",
	    .methods = HTTP_GET | HTTP_HEAD, .role = ROLE_OPERATOR,
	    .params = summary_params, .handle = handle_summary },
	{ .path = BASE "/target", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_VIEWER, .handle = handle_target },
	{ .path = BASE "/links/{link}",
	    .methods = HTTP_GET | HTTP_HEAD, .role = ROLE_OPERATOR,
	    .handle = handle_get_artifact, .is_link = true },
	{ .path = BASE, .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page_slash },
	{ .path = BASE "/", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "index.html" },
	{ .path = BASE "/page.css", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "page.css" },
	{ .path = BASE "/page.js", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "page.js" },
	{ .path = BASE "/flame.js", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "flame.js" },
	{ .path = BASE "/profile.js", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "profile.js" },
	{ .path = BASE "/icon.svg", .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_page,
	    .asset = "icon.svg" },
	{ .path = BASE "/speedscope/{file}",
	    .methods = HTTP_GET | HTTP_HEAD,
	    .role = ROLE_NONE, .handle = handle_speedscope },
};

#define ROUTES_LEN (sizeof(routes) / sizeof(routes[0]))
_Static_assert(ROUTES_LEN <= ROUTE_NONE, "ROUTE_NUMBERS is too small");

const struct route *
route_at(unsigned number)
{
	return number < ROUTES_LEN ? &routes[number] : NULL;
}

unsigned
route_number(const struct route *route)
{
	return route != NULL ? (unsigned)(route - routes) : ROUTE_NONE;
}

const char *
route_name(unsigned number)
{
	return number < ROUTES_LEN ? routes[number].path : "none";
}

/* One part of a path, up to the next '/', into out; false if it does not
 * fit. */
static bool
take_part(const char **path, char *out, size_t size)
{
	size_t len = strcspn(*path, "/");

	if (len >= size)
		return false;
	memcpy(out, *path, len);
	out[len] = '\0';
	*path += len;
	return true;
}

static bool
is_some(const char *part)
{
	return part[0] != '\0';
}

static bool
is_any(const char *part)
{
	(void)part;
	return true;
}

/* What in a pattern stands for one part of a path, where that goes, and what it
 * must be. */
#define PART(field) \
	offsetof(struct request, field), sizeof(((struct request *)0)->field)
static const struct part {
	const char *name;
	size_t at, size;
	bool (*is_good)(const char *part);
} parts[] = {
	{ "{app}", PART(app), str_is_name },
	{ "{id}", PART(job_id), uuid_is_valid },
	{ "{other}", PART(other_id), uuid_is_valid },
	{ "{link}", PART(link_secret), is_some },
	{ "{file}", PART(file), is_any },
};
#define PARTS_LEN (sizeof(parts) / sizeof(parts[0]))

static char *
part_of(struct request *request, const struct part *part)
{
	return (char *)request + part->at;
}

/* The part that the pattern has next, or NULL. */
static const struct part *
next_part(const char *pattern)
{
	size_t i;

	for (i = 0; *pattern == '{' && i < PARTS_LEN; i++)
		if (strncmp(pattern, parts[i].name,
		    strlen(parts[i].name)) == 0)
			return &parts[i];
	return NULL;
}

static bool
matches(const char *pattern, const char *path, struct request *request)
{
	const struct part *part;
	char *out;

	while (*pattern != '\0') {
		part = next_part(pattern);
		if (part == NULL) {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		pattern += strlen(part->name);
		out = part_of(request, part);
		if (!take_part(&path, out, part->size) || !part->is_good(out))
			return false;
	}
	return *path == '\0';
}

/* From here on the path is for logs and answers; also of what is only almost
 * the address of a link, like one with a letter too many. */
static void
mask_secret(struct request *request)
{
	static const char links[] = "/links/";
	char *at = strstr(request->path, "/papi/");

	if (at != NULL)
		at = strstr(at, links);
	if (at != NULL)
		for (at += sizeof(links) - 1; *at != '\0'; at++)
			*at = '*';
}

void
route_find(struct request *request)
{
	const struct route *route = NULL;
	size_t i;

	request->path_methods = 0;
	for (i = 0; i < ROUTES_LEN; i++) {
		if (!matches(routes[i].path, request->path, request))
			continue;
		request->path_methods |= routes[i].methods;
		if (route == NULL || (routes[i].methods & request->method) != 0)
			route = &routes[i];
	}
	/* Others that matched in part have left their names there. */
	for (i = 0; i < PARTS_LEN; i++)
		*part_of(request, &parts[i]) = '\0';
	if (route != NULL)
		(void)matches(route->path, request->path, request);
	mask_secret(request);
	request->route = route;
}

static int
check_app(const struct conf *conf, const struct request *request,
    struct err *err)
{
	/* Who needs no token is not told which apps there are. */
	if (request->app[0] == '\0' || request->route->role == ROLE_NONE ||
	    conf_find_app(conf, request->app) != NULL)
		return 0;
	return err_set(err, ERR_NOT_FOUND, "no app \"%s\" is served here; its "
	    "section [app %s] is not in the configuration", request->app,
	    request->app);
}

/* Does the client mean to send one?  Nobody waits for what nobody reads. */
static bool
has_body(const struct gate *gate)
{
	const char *length = gate_env(gate, "CONTENT_LENGTH");

	return (length != NULL && strcmp(length, "0") != 0) ||
	    gate_env(gate, "HTTP_TRANSFER_ENCODING") != NULL;
}

/* Who is nobody does not learn what is wrong with the database. */
static int
explain_nothing(const struct err *why, struct err *err)
{
	if (why->code == ERR_NOT_FOUND)
		return -1;
	return err_set(err, ERR_STORE, "links cannot be looked up now; the log "
	    "of podprof says why");
}

/*
 * Let in whoever has a link, on behalf of who made it; from wherever a browser
 * follows it, as it is there to be passed on.  Without a valid one the
 * requester is told so only if he is somebody by himself.
 */
static int
admit_by_link(struct seat *seat, struct request *request, struct err *err)
{
	struct link link;
	struct db *db;
	struct err why;

	if (seat_db(seat, &db, &why) != 0 || link_find(
	    db, request->app, request->link_secret, &link, &why) != 0) {
		if (auth_check(service_auth(seat->service), request->gate,
		    &request->principal, err) != 0)
			return explain_nothing(&why, err);
		request->is_known = true;
		return err_set(err, why.code, "%s", why.msg);
	}
	(void)str_copy(request->job_id, sizeof(request->job_id), link.job_id);
	(void)snprintf(request->principal.who, sizeof(request->principal.who),
	    "link:%s", link.created_by);
	request->principal.role = request->route->role;
	request->is_known = true;
	return 0;
}

static int
admit(struct seat *seat, struct request *request, struct err *err)
{
	const struct route *route = request->route;

	if (route != NULL && route->role == ROLE_NONE)
		return 0;
	if (route != NULL && route->is_link)
		return admit_by_link(seat, request, err);
	if (auth_check(service_auth(seat->service), request->gate,
	    &request->principal, err) != 0)
		return -1;
	request->is_known = true;
	return 0;
}

/* All that can be said without its handler. */
static int
judge(struct seat *seat, struct request *request, struct err *err)
{
	const struct route *route = request->route;

	if (admit(seat, request, err) != 0)
		return -1;
	if (route == NULL)
		return err_set(err, ERR_NOT_FOUND,
		    "there is no such address here: an app's are "
		    "/APP/private/papi/takeMemorySnapshot, getMemorySnapshot, "
		    "getCpuProfile, target, jobs, jobs/ID, jobs/ID/artifact, "
		    "jobs/ID/summary, jobs/ID/diff/OTHER, "
		    "jobs/ID/links and links/SECRET, where ID is a UUID in "
		    "lower case; /APP/private/papi/ is the web page; there "
		    "are /livez, /readyz, /metrics and /openapi.json besides");
	if (check_app(service_conf(seat->service), request, err) != 0)
		return -1;
	if ((route->methods & request->method) == 0)
		return err_set(err, ERR_METHOD, "the method %s does nothing "
		    "at this address; see Allow", request->method_name);
	if (route->role != ROLE_NONE && request->principal.role < route->role)
		return err_set(err, ERR_FORBIDDEN, "%s has the role %s; this "
		    "needs %s", request->principal.who,
		    conf_role_name(request->principal.role),
		    conf_role_name(route->role));
	if (params_parse(
	    route->params, request->query, &request->params, err) != 0)
		return -1;
	if (route->is_probe || (!route->takes_body && has_body(request->gate)))
		return 0;
	/* Also where there is none: its empty record is noise to whoever polls
	 * the connection for the client's leaving. */
	return gate_read_body(request->gate, &request->body, err);
}

static bool
is_of_app(enum err_code code)
{
	return code == ERR_TARGET_REFUSED || code == ERR_TARGET_UNREACHABLE ||
	    code == ERR_TARGET_TIMEOUT || code == ERR_TARGET_EXITED ||
	    code == ERR_UNHEALTHY;
}

/* A probe comes every second: the keeper logs it when it changes. */
static bool
is_unready(const struct request *request, enum err_code code)
{
	return request->route != NULL && request->route->is_probe &&
	    code == ERR_STORE;
}

static void
log_refusal(const struct request *request, const struct answer *answer,
    const struct err *why)
{
	const char *who =
	    request->is_known ? request->principal.who : "nobody";

	/* What is wrong with an app is in the audit line of the capture, or
	 * told to its probes, time and again. */
	if (answer->status >= 500 && why->code != ERR_BUSY &&
	    !is_of_app(why->code) &&
	    !is_unready(request, why->code))
		log_error("route", "%s %s for %s: %d: %s",
		    request->method_name, request->path, who, answer->status,
		    why->msg);
	else if (answer->status == 401 || answer->status == 403 ||
	    answer->status == 429)
		log_warn("route", "%s %s for %s: %d: %s",
		    request->method_name, request->path, who, answer->status,
		    why->msg);
	else
		log_debug("route", "%s %s for %s: %d: %s",
		    request->method_name, request->path, who, answer->status,
		    why->msg);
}

/* Headers of every answer. */
static void
add_common(const struct conf *conf, const struct request *request,
    struct answer *answer)
{
	if (answer->kind == ANSWER_WAIT)
		return;
	answer_header(answer, "X-Request-Id", "%s", request->id);
	if (request->is_known && request->app[0] != '\0')
		answer_header(answer, "X-Pod-Name", "%s", conf->pod);
}

void
route_refuse(const struct service *service, struct request *request,
    const struct err *why, struct answer *answer)
{
	const struct conf *conf = service_conf(service);

	problem_answer(conf, request, why, answer);
	log_refusal(request, answer, why);
	add_common(conf, request, answer);
}

static void
conclude(struct seat *seat, struct request *request, struct answer *answer,
    int rc, struct err *err)
{
	if (rc == 0 && answer->incomplete)
		rc = err_set(err, ERR_NOMEM, "no memory for the answer");
	if (rc == 0) {
		add_common(service_conf(seat->service), request, answer);
		return;
	}
	if (err->code == ERR_STORE)
		seat_fini(seat);
	route_refuse(seat->service, request, err, answer);
}

void
route_serve(struct seat *seat, struct request *request, struct answer *answer)
{
	struct err err;
	int rc;

	rc = judge(seat, request, &err);
	if (rc == 0)
		rc = request->route->handle(seat, request, answer, &err);
	conclude(seat, request, answer, rc, &err);
}

/* With the job as it is now. */
static int
resume_job(struct seat *seat, struct request *request, struct answer *answer,
    struct err *err)
{
	struct request_sight sight;

	if (request_see(request, seat, &sight, err) == 0)
		return request->wait.resume(
		    seat, request, &sight.job, answer, err);
	if (err->code == ERR_NOT_FOUND &&
	    request->wait.until == UNTIL_PREFLIGHT)
		return err_set(err, ERR_CONFLICT, "the capture was canceled "
		    "and removed before it had begun");
	return -1;
}

void
route_resume(struct seat *seat, struct request *request,
    struct answer *answer)
{
	struct err err;
	int rc;

	if (request->wait.until == UNTIL_LOOKED ||
	    request->wait.until == UNTIL_SUMMED ||
	    request->wait.until == UNTIL_SEEN)
		rc = request->wait.resume(seat, request, NULL, answer, &err);
	else
		rc = resume_job(seat, request, answer, &err);
	conclude(seat, request, answer, rc, &err);
}
