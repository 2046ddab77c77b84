/*
 * From an error to a problem document.
 */
#include "problem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "route.h"

static const struct {
	int status;
	int retry_after_s;	/* 0: waiting does not help */
} table[ERR_CODE_MAX + 1] = {
	[ERR_INTERNAL] = { 500, 0 },
	[ERR_NOMEM] = { 500, 0 },
	[ERR_INVALID] = { 400, 0 },
	[ERR_UNAUTHENTICATED] = { 401, 0 },
	[ERR_FORBIDDEN] = { 403, 0 },
	[ERR_NOT_FOUND] = { 404, 0 },
	[ERR_METHOD] = { 405, 0 },
	[ERR_NOT_ACCEPTABLE] = { 406, 0 },
	[ERR_CONFLICT] = { 409, 2 },
	[ERR_GONE] = { 410, 0 },
	[ERR_PRECONDITION] = { 412, 0 },
	[ERR_TOO_LARGE] = { 413, 0 },
	[ERR_MEDIA_TYPE] = { 415, 0 },
	[ERR_RANGE] = { 416, 0 },
	[ERR_KEY_REUSED] = { 422, 0 },
	[ERR_TOO_EARLY] = { 425, 2 },
	[ERR_LIMIT] = { 429, 2 },
	[ERR_TARGET_REFUSED] = { 502, 0 },
	[ERR_TARGET_UNREACHABLE] = { 503, 5 },
	[ERR_TARGET_TIMEOUT] = { 504, 0 },
	[ERR_TARGET_EXITED] = { 502, 0 },
	[ERR_STORE] = { 503, 5 },
	[ERR_SPACE] = { 507, 0 },
	[ERR_INTERRUPTED] = { 500, 0 },
	[ERR_UNHEALTHY] = { 503, 1 },
	[ERR_BUSY] = { 503, 5 },
};

static bool
is_code(enum err_code code)
{
	return (int)code >= 1 && code <= ERR_CODE_MAX;
}

int
problem_status(enum err_code code)
{
	return is_code(code) ? table[code].status : 500;
}

/* What the module says where we have a code; the title for all others. */
static const char *
module_message(const struct route *route, enum err_code code)
{
	if (code == ERR_TOO_EARLY)
		return "Snapshot not ready yet";
	if (code == ERR_CONFLICT)
		return "Snapshot already generating";
	if (route->not_found != NULL &&
	    (code == ERR_NOT_FOUND || code == ERR_GONE))
		return route->not_found;
	return err_title(code);
}

/* Bytes that a path may have in a URI (RFC 3986, 3.3). */
static bool
is_path_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') ||
	    (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

/* The path of the request as a URI reference. */
static int
put_instance(struct json *object, const struct request *request,
    struct err *err)
{
	const char *p = request->path;
	struct buf path;
	int rc;

	buf_init(&path, (size_t)4 * REQUEST_PATH_MAX);
	rc = buf_adds(&path, request->prefix, err);
	for (; rc == 0 && *p != '\0'; p++) {
		rc = is_path_char(*p)
		    ? buf_addc(&path, *p, err)
		    : buf_addf(&path, err, "%%%02X", (unsigned char)*p);
	}
	if (rc == 0)
		rc = json_put_string(object, "instance", buf_str(&path));
	buf_fini(&path);
	return rc;
}

static int
print(const struct conf *conf, const struct request *request,
    const struct err *why, struct answer *answer, struct err *err)
{
	const struct route *route = request->route;
	struct json *object = json_new_object();
	struct buf type;
	int rc = -1;

	buf_init(&type, 128);
	if (buf_addf(&type, err, "urn:podprof:error:%s",
	    err_name(why->code)) != 0 ||
	    json_put_string(object, "type", buf_str(&type)) != 0 ||
	    json_put_string(object, "title", err_title(why->code)) != 0 ||
	    json_put_int(object, "status", answer->status) != 0 ||
	    json_put_string(object, "detail", why->msg) != 0 ||
	    put_instance(object, request, err) != 0)
		goto out;
	if (request->is_known && request->app[0] != '\0' &&
	    json_put_string(object, "pod", conf->pod) != 0)
		goto out;
	if (route != NULL && route->is_module &&
	    (json_put_string(object, "resultCode", "Error") != 0 ||
	    json_put_string(object, "errorMessage",
	    module_message(route, why->code)) != 0))
		goto out;
	rc = json_print(object, &answer->body, err);
out:
	json_free(&object);
	buf_fini(&type);
	return rc;
}

static void
put_allow(struct answer *answer, unsigned methods)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ HTTP_GET, "GET" },
		{ HTTP_HEAD, "HEAD" },
		{ HTTP_POST, "POST" },
		{ HTTP_DELETE, "DELETE" },
	};
	char list[32] = "";
	size_t i, len = 0;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((methods & names[i].bit) != 0)
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s", len > 0 ? ", " : "", names[i].name);
	}
	answer_header(answer, "Allow", "%s", list);
}

void
problem_answer(const struct conf *conf, const struct request *request,
    const struct err *err, struct answer *answer)
{
	struct err ignored;

	assert(is_code(err->code));
	answer->kind = ANSWER_RESPONSE;
	artifact_close(&answer->reader);
	answer->by_server = false;
	answer->cache_control = NULL;
	answer->status = problem_status(err->code);
	answer->type = "application/problem+json";
	if (answer->retry_after_s == 0)
		answer->retry_after_s = table[err->code].retry_after_s;
	if (answer->incomplete) {
		answer->incomplete = false;
		buf_reset(&answer->headers);
	}
	if (err->code == ERR_UNAUTHENTICATED)
		answer_header(answer, "WWW-Authenticate",
		    "Bearer realm=\"podprof\"");
	if (err->code == ERR_METHOD)
		put_allow(answer, request->path_methods);
	buf_reset(&answer->body);
	if (print(conf, request, err, answer, &ignored) != 0) {
		buf_reset(&answer->body);
		answer->type = NULL;
	}
}
