/*
 * Of `podprof check --url`: what a web server makes of requests, as podprof
 * tells in its answers.  Nothing is captured, delivered or removed: what would
 * do that is asked without the right to, or with a body that is refused.
 */
#include "check_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clock.h"
#include "err.h"
#include "http.h"
#include "json.h"
#include "str.h"

#define WHAT "web server"
#define REPLY_BYTES_MAX (1 << 20)
#define TAIL_MAX 256
#define TEXT_MAX 400
#define SKEW_MAX_S 5

/* What podprof takes of a body (podprof.fcgi(8)). */
#define BODY_BYTES (64 << 10)

/* A user that no web server has, with a password, in base64; a token that no
 * file has; a job that nobody made. */
#define MADE_UP_USER \
	"Authorization: Basic cG9kcHJvZi1jaGVjazptYWRlLXVw\r\n"
#define MADE_UP_TOKEN "Authorization: Bearer podprof_" \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
#define NO_JOB "/jobs/00000000-0000-7000-8000-000000000000"
/* A member that an order does not have, so that none is made. */
#define MADE_UP_MEMBER "podprof-check"

struct web {
	struct check *check;
	struct http_url url;
	char root[HTTP_PATH_MAX];	/* what stands before /livez */
	char base[HTTP_PATH_MAX];	/* "ROOT/APP/private/papi" */
	struct http_reply reply;	/* the last one */
};

static void
fail(struct web *web, const char *text)
{
	check_found(web->check, CHECK_FAIL, WHAT, "%s", text);
}

/* What podprof puts into every answer. */
static bool
is_ours(const struct web *web)
{
	char value[TEXT_MAX];

	return http_header(&web->reply, "X-Request-Id", value,
	    sizeof(value)) &&
	    http_header(&web->reply, "X-Content-Type-Options", value,
		sizeof(value)) && strcmp(value, "nosniff") == 0 &&
	    http_header(&web->reply, "Cache-Control", value, sizeof(value)) &&
	    strcmp(value, "no-store") == 0;
}

/* A member of the problem document that came. */
static void
take_member(const struct web *web, const char *name, char out[TEXT_MAX])
{
	struct json *problem = NULL;
	const char *value = NULL;
	struct err err;

	if (json_parse(buf_str(&web->reply.body), web->reply.body.len,
		&problem, &err) == 0)
		value = json_string(json_get(problem, name));
	(void)str_copy(out, TEXT_MAX, value != NULL ? value : "");
	json_free(&problem);
}

/* Why an answer is not podprof's. */
static const char *
explain_foreign(int status)
{
	switch (status) {
	case 401:
	case 403:
		return "the web server asks for a login, or forbids it, "
		    "before podprof is asked; a Bearer token cannot pass then";
	case 404:
		return "its configuration does not pass this address on to "
		    "podprof: compare it with the shipped example";
	case 405:
	case 501:
		return "it does not let this method through";
	case 413:
		return "its own limit for a request's body is below podprof's "
		    "64 KiB (client_max_body_size, LimitRequestBody, "
		    "server.max-request-size)";
	case 500:
	case 502:
	case 503:
	case 504:
		return "it does not reach podprof: is the pool up, the path of "
		    "the socket right, and the web server in the socket's "
		    "group; its error log says more";
	default:
		if (status >= 300 && status < 400)
			return "it redirects: give the address it leads to";
		return "something else than podprof answers";
	}
}

/*
 * Ask; true if podprof has answered.  Else it is reported, as a failure, or as
 * a warning if podprof can be used without.
 */
static bool
ask_as(struct web *web, enum check_status lacking, const char *path,
    const struct http_request *request)
{
	const int64_t deadline_ms = clock_mono_ms() + CHECK_WAIT_MS;
	struct http_request whole = *request;
	struct err err;

	whole.path = path;
	if (http_ask(&web->url, &whole, deadline_ms, &web->reply, &err) != 0) {
		check_found(web->check, CHECK_FAIL, WHAT, "%s %s: %s",
		    request->method, path, err.msg);
		return false;
	}
	if (is_ours(web))
		return true;
	check_found(web->check, lacking, WHAT, "%s %s is answered %d: %s",
	    request->method, path, web->reply.status,
	    explain_foreign(web->reply.status));
	return false;
}

static bool
ask(struct web *web, const char *method, const char *path,
    const char *headers)
{
	const struct http_request request = {.method = method,
	    .headers = headers};

	return ask_as(web, CHECK_FAIL, path, &request);
}

/* GET ROOT or BASE with a tail. */
static bool
get(struct web *web, const char *start, const char *tail, const char *headers)
{
	char path[HTTP_PATH_MAX + TAIL_MAX];

	(void)snprintf(path, sizeof(path), "%s%s", start, tail);
	return ask(web, "GET", path, headers);
}

static bool
try_livez(struct web *web)
{
	char detail[TEXT_MAX];

	if (!get(web, web->root, "/livez", NULL))
		return false;
	if (web->reply.status == 200)
		return true;
	take_member(web, "instance", detail);
	check_found(web->check, CHECK_FAIL, WHAT, "GET %s/livez is answered "
	    "%d by podprof, which was asked for \"%s\": SCRIPT_NAME and "
	    "PATH_INFO together must be the path", web->root,
	    web->reply.status, detail);
	return false;
}

static void
try_query(struct web *web)
{
	if (!get(web, web->root, "/livez?app=" MADE_UP_MEMBER "-no-app", NULL))
		return;
	if (web->reply.status == 200)
		fail(web, "QUERY_STRING does not arrive, so parameters like "
		    "?duration= have no effect (nginx: one fastcgi_param in a "
		    "location drops all those above it)");
}

static void
try_clock(struct web *web)
{
	struct tm tm = {0};
	char date[64];
	int64_t skew_s;

	if (!http_header(&web->reply, "Date", date, sizeof(date)) ||
	    strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return;
	skew_s = (int64_t)timegm(&tm) - clock_utc_ms() / 1000;
	if (skew_s > SKEW_MAX_S || skew_s < -SKEW_MAX_S)
		check_found(web->check, CHECK_WARN, "clock", "the web server's "
		    "clock is %lld s %s this one", (long long)llabs(skew_s),
		    skew_s > 0 ? "before" : "behind");
}

static void
try_ready(struct web *web)
{
	char detail[TEXT_MAX];

	if (!get(web, web->root, "/readyz", NULL) || web->reply.status == 200)
		return;
	take_member(web, "detail", detail);
	check_found(web->check, CHECK_FAIL, WHAT, "podprof is not ready: %s",
	    detail);
}

/* What podprof can be used without. */
static void
try_extras(struct web *web)
{
	static const char *const tails[] = {"/metrics", "/openapi.json"};
	const struct http_request request = {.method = "GET"};
	char path[HTTP_PATH_MAX + TAIL_MAX];
	size_t i;

	for (i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", web->root,
		    tails[i]);
		(void)ask_as(web, CHECK_WARN, path, &request);
	}
}

/* Does podprof see the path that was asked for? */
static void
try_path(struct web *web)
{
	char path[HTTP_PATH_MAX + TAIL_MAX], instance[TEXT_MAX];

	(void)snprintf(path, sizeof(path), "%s" NO_JOB "/artifact", web->base);
	if (!ask(web, "GET", path, NULL))
		return;
	take_member(web, "instance", instance);
	if (strcmp(instance, path) != 0)
		check_found(web->check, CHECK_FAIL, WHAT, "asked for %s, "
		    "podprof sees \"%s\", and links in its answers begin so: "
		    "SCRIPT_NAME and PATH_INFO together must be the path", path,
		    instance);
}

/*
 * The role of a request with these headers, as podprof sees it: from what is
 * refused to it.  -1: it cannot be told; that is reported.
 */
static int
find_role(struct web *web, const char *headers)
{
	char detail[TEXT_MAX];

	if (!get(web, web->base, "/jobs?limit=1", headers))
		return -1;
	switch (web->reply.status) {
	case 401:
		return ROLE_NONE;
	case 200:
		if (!get(web, web->base, NO_JOB "/artifact", headers))
			return -1;
		return web->reply.status == 403 ? ROLE_VIEWER : ROLE_OPERATOR;
	default:
		take_member(web, "detail", detail);
		check_found(web->check, CHECK_FAIL, WHAT, "GET %s/jobs is "
		    "answered %d: %s", web->base, web->reply.status, detail);
		return -1;
	}
}

/* Who is somebody without having shown anything? */
static int
try_anyone(struct web *web)
{
	const struct conf *conf = web->check->conf;
	int role = find_role(web, NULL);

	if (role <= (int)conf->auth_anonymous)
		return role;
	check_found(web->check, CHECK_FAIL, WHAT, "a request without any "
	    "credentials is %s, though [auth] anonymous is %s: the web server "
	    "sets REMOTE_USER and AUTH_TYPE for everybody, or the service has "
	    "another configuration", conf_role_name((enum conf_role)role),
	    conf_role_name(conf->auth_anonymous));
	return role;
}

/* Does the web server itself refuse a request with these headers? */
static bool
is_barred(struct web *web, const char *headers)
{
	char path[HTTP_PATH_MAX + TAIL_MAX];
	const struct http_request request = {.method = "GET", .path = path,
	    .headers = headers};
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/jobs?limit=1", web->base);
	return http_ask(&web->url, &request, clock_mono_ms() + CHECK_WAIT_MS,
	    &web->reply, &err) == 0 && !is_ours(web) &&
	    (web->reply.status == 401 || web->reply.status == 403);
}

/* Where it asks for a login, there is no more to be tried without one. */
static bool
try_login(struct web *web)
{
	if (web->check->conf->auth_remote_user == ROLE_NONE ||
	    !is_barred(web, NULL) || !is_barred(web, MADE_UP_USER))
		return false;
	check_found(web->check, CHECK_OK, WHAT, "it asks for a login, and "
	    "refuses a made-up user and password; no token can pass beside "
	    "that");
	return true;
}

static void
try_made_up_user(struct web *web, int anyone)
{
	const struct conf *conf = web->check->conf;
	int role = find_role(web, MADE_UP_USER);

	if (role > anyone)
		check_found(web->check, CHECK_FAIL, WHAT, "a made-up user and "
		    "password (Authorization: Basic) are %s: the web server "
		    "hands on REMOTE_USER and AUTH_TYPE without having asked "
		    "for the password (nginx: $remote_user is what the client "
		    "wrote unless auth_basic is on there): take both lines "
		    "out, or [auth] remote_user",
		    conf_role_name((enum conf_role)role));
	else if (role >= 0)
		check_found(web->check, CHECK_OK, WHAT, "a made-up user and "
		    "password give no role%s", conf->auth_remote_user ==
		    ROLE_NONE ? " ([auth] remote_user is none)" : "");
}

/* podprof has another word for a token that is wrong than for none. */
static void
try_authorization(struct web *web)
{
	char without[TEXT_MAX], with[TEXT_MAX];

	if (!get(web, web->base, "/jobs?limit=1", NULL))
		return;
	take_member(web, "detail", without);
	if (!get(web, web->base, "/jobs?limit=1", MADE_UP_TOKEN))
		return;
	take_member(web, "detail", with);
	if (web->reply.status == 401 && strcmp(with, without) != 0)
		check_found(web->check, CHECK_OK, WHAT, "the header "
		    "Authorization arrives");
	else if (web->reply.status == 200 || web->reply.status == 401)
		fail(web, "the header Authorization does not arrive, so no "
		    "token is ever seen: Apache needs CGIPassAuth On where the "
		    "addresses are; others must hand on HTTP_AUTHORIZATION");
}

static void
try_methods(struct web *web)
{
	static const struct {
		const char *method;
		const char *tail;
	} all[] = {{"HEAD", "/jobs"}, {"POST", "/jobs"}, {"DELETE", NO_JOB}};
	char path[HTTP_PATH_MAX + TAIL_MAX];
	size_t i;

	/* Nobody may do any of it with this token. */
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", web->base,
		    all[i].tail);
		(void)ask(web, all[i].method, path, MADE_UP_TOKEN);
	}
}

/* Where a browser needs no token, podprof must see what it says of pages. */
static void
try_browser(struct web *web)
{
	struct http_url url = web->url;

	if (get(web, web->base, "/jobs?limit=1",
		"Sec-Fetch-Site: cross-site\r\n") && web->reply.status == 200)
		fail(web, "the header Sec-Fetch-Site does not arrive, so any "
		    "web page can have a visitor's browser capture: hand on "
		    "all request headers");
	(void)str_copy(web->url.authority, sizeof(web->url.authority),
	    MADE_UP_MEMBER ".invalid");
	if (get(web, web->base, "/jobs?limit=1", NULL) &&
	    web->reply.status == 200)
		fail(web, "a request for the host " MADE_UP_MEMBER ".invalid "
		    "is let in without a token: HTTP_HOST must be what the "
		    "client sent (the Host header), or [auth] hosts is too "
		    "wide");
	web->url = url;
}

static void
try_body(struct web *web, const char *headers)
{
	static const char begin[] = "{\"" MADE_UP_MEMBER "\":\"";
	static const char end[] = "\"}";
	char path[HTTP_PATH_MAX + TAIL_MAX], lines[2 * TEXT_MAX];
	char *body = malloc(BODY_BYTES), detail[TEXT_MAX];
	const struct http_request request = {.method = "POST",
	    .headers = lines, .body = body, .body_len = BODY_BYTES};

	if (body == NULL) {
		fail(web, "no memory for a request");
		return;
	}
	memset(body, 'x', BODY_BYTES);
	memcpy(body, begin, sizeof(begin) - 1);
	memcpy(body + BODY_BYTES - sizeof(end) + 1, end, sizeof(end) - 1);
	(void)snprintf(lines, sizeof(lines), "%s"
	    "Content-Type: application/json\r\n", headers);
	(void)snprintf(path, sizeof(path), "%s/jobs", web->base);
	if (ask_as(web, CHECK_FAIL, path, &request)) {
		take_member(web, "detail", detail);
		if (web->reply.status == 400 &&
		    strstr(detail, MADE_UP_MEMBER) != NULL)
			check_found(web->check, CHECK_OK, WHAT, "a body of %d "
			    "KiB arrives whole", BODY_BYTES >> 10);
		else
			check_found(web->check, CHECK_FAIL, WHAT, "the body of "
			    "POST %s does not arrive as it was sent "
			    "(CONTENT_LENGTH, CONTENT_TYPE): %d, %s", path,
			    web->reply.status, detail);
	}
	free(body);
}

/* The address of an artifact that can be had; false if there is none. */
static bool
find_artifact(struct web *web, const char *headers, char *out, size_t size)
{
	struct json *list = NULL;
	const struct json *job;
	const char *href = NULL;
	struct err err;
	bool found;

	if (!get(web, web->base, "/jobs?state=succeeded&limit=20", headers) ||
	    web->reply.status != 200 ||
	    json_parse(buf_str(&web->reply.body), web->reply.body.len, &list,
		&err) != 0)
		return false;
	for (job = json_first(json_get(list, "jobs")); job != NULL &&
	     href == NULL; job = json_next(job))
		href = json_string(json_path(job, "artifact", "href"));
	found = href != NULL && href[0] == '/' && str_is_visible(href) &&
	    str_copy(out, size, href);
	json_free(&list);
	return found;
}

/* Does the head of a file come through as podprof wrote it? */
static bool
try_whole(struct web *web, const char *path, const char *headers)
{
	char lines[2 * TEXT_MAX], value[TEXT_MAX];

	(void)snprintf(lines, sizeof(lines), "%sAccept-Encoding: gzip\r\n",
	    headers);
	/* It may have gone since. */
	if (!ask(web, "GET", path, lines) || web->reply.status != 200)
		return false;
	if (http_header(&web->reply, "Content-Encoding", value, sizeof(value)))
		check_found(web->check, CHECK_FAIL, WHAT, "it compresses files "
		    "by itself (Content-Encoding: %s), so they have no length, "
		    "and no download can be resumed: switch that off here "
		    "(gzip off; SetEnv no-gzip 1)", value);
	else if (!http_header(&web->reply, "ETag", value, sizeof(value)) ||
	    value[0] != '"')
		fail(web, "a file's ETag is lost or made weak on the way, so "
		    "no download can be resumed");
	else if (!http_header(&web->reply, "Content-Length", value,
		     sizeof(value)))
		fail(web, "a file's Content-Length is lost on the way, so "
		    "clients see no progress (Apache: SetEnv "
		    "ap_trust_cgilike_cl yes)");
	else
		return true;
	return false;
}

/* A file, and one byte of it as who resumes a download would ask: that delivers
 * nothing. */
static void
try_download(struct web *web, const char *headers)
{
	char path[HTTP_PATH_MAX], lines[2 * TEXT_MAX];

	if (!find_artifact(web, headers, path, sizeof(path)) ||
	    !try_whole(web, path, headers))
		return;
	(void)snprintf(lines, sizeof(lines), "%sRange: bytes=0-0\r\n",
	    headers);
	if (!ask(web, "GET", path, lines))
		return;
	if (web->reply.status != 206 || web->reply.body.len != 1)
		check_found(web->check, CHECK_FAIL, WHAT, "one byte of %s was "
		    "asked for, and %d with %zu bytes came: the web server "
		    "must leave ranges to podprof, and hand on the headers "
		    "Range and If-Range", path, web->reply.status,
		    web->reply.body.len);
	else
		check_found(web->check, CHECK_OK, WHAT, "downloads can be "
		    "resumed");
}

static void
try_token(struct web *web)
{
	const char *token = web->check->options->token;
	char headers[TEXT_MAX];
	int role;

	if (token == NULL || token[0] == '\0') {
		check_found(web->check, CHECK_WARN, WHAT, "PODPROF_TOKEN is "
		    "not set, so whether a token is let in, a body arrives and "
		    "downloads can be resumed was not tried");
		return;
	}
	if (strlen(token) > STR_NAME_MAX || !str_is_visible(token)) {
		fail(web, "PODPROF_TOKEN is no token of podprof's");
		return;
	}
	(void)snprintf(headers, sizeof(headers), "Authorization: Bearer %s\r\n",
	    token);
	role = find_role(web, headers);
	if (role < 0)
		return;
	if (role == ROLE_NONE) {
		fail(web, "the token of PODPROF_TOKEN is not let in: it is not "
		    "in the tokens file of this service, or the header "
		    "Authorization does not arrive");
		return;
	}
	check_found(web->check, CHECK_OK, WHAT, "the token of PODPROF_TOKEN is "
	    "let in as %s", conf_role_name((enum conf_role)role));
	if (role != ROLE_OPERATOR)
		return;
	try_body(web, headers);
	try_download(web, headers);
}

static void
try_all(struct web *web)
{
	int anyone;

	if (!try_livez(web))
		return;
	check_found(web->check, CHECK_OK, WHAT, "podprof answers at "
	    "http://%s%s/livez", web->url.authority, web->root);
	try_clock(web);
	try_query(web);
	try_ready(web);
	try_extras(web);
	/* Of no app nothing can be asked. */
	if (web->check->conf->apps_len == 0)
		return;
	if (try_login(web))
		return;
	try_path(web);
	anyone = try_anyone(web);
	if (anyone >= 0)
		try_made_up_user(web, anyone);
	try_authorization(web);
	try_methods(web);
	if (anyone > ROLE_NONE)
		try_browser(web);
	try_token(web);
}

void
check_web(struct check *check)
{
	struct web web = {.check = check};
	struct err err;
	size_t len;

	if (http_url_parse(check->options->url, &web.url, &err) != 0) {
		check_found(check, CHECK_FAIL, WHAT, "--url: %s", err.msg);
		return;
	}
	http_reply_init(&web.reply, REPLY_BYTES_MAX);
	(void)str_copy(web.root, sizeof(web.root), web.url.path);
	len = strlen(web.root);
	while (len > 0 && web.root[len - 1] == '/')
		web.root[--len] = '\0';
	if (strchr(web.root, '?') != NULL || (size_t)snprintf(web.base,
		sizeof(web.base), "%s/%s/private/papi", web.root,
		check->conf->apps_len > 0 ? check->conf->apps[0].name : "") >=
		sizeof(web.base))
		fail(&web, "--url: only what stands before /livez, "
		    "http://HOST[:PORT][/PATH]");
	else
		try_all(&web);
	http_reply_fini(&web.reply);
}
