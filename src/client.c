/*
 * Clients: what a base is, what a request may be, and what an answer that is
 * no success means.  How bytes travel is client_http.c's and client_local.c's.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "client_parts.h"
#include "clock.h"

#define PAPI "/private/papi"
#define TOKEN_MAX_BYTES 1024
#define HOST_MAX 256
/* How soon a pause sees that it is to end, where no signal ends it. */
#define PAUSE_MS 100

/* The parts of a base; each is text of the base itself. */
struct base {
	bool is_https;
	const char *host;	/* without the brackets of an IPv6 address */
	size_t host_len;
	const char *path;	/* "" or what begins with "/" */
	size_t path_len;	/* without "/" at its end */
};

static int
take_port(const char *text, const char **ret_rest, const char *base,
    struct err *err)
{
	int64_t port;

	if (*text != ':') {
		*ret_rest = text;
		return 0;
	}
	if (!str_take_int(text + 1, &port, ret_rest) || port < 1 ||
	    port > 65535)
		return err_set(err, ERR_INVALID, "\"%.300s\": the port is a "
		    "number from 1 to 65535", base);
	return 0;
}

static int
take_host(const char *text, struct base *out, const char **ret_rest,
    const char *base, struct err *err)
{
	bool is_bracketed = *text == '[';

	out->host = text + is_bracketed;
	out->host_len = strcspn(out->host, is_bracketed ? "]/" : ":/");
	text = out->host + out->host_len;
	if (is_bracketed && *text++ != ']')
		return err_set(err, ERR_INVALID, "\"%.300s\": the address "
		    "lacks its \"]\"", base);
	if (out->host_len == 0 || out->host_len >= HOST_MAX)
		return err_set(err, ERR_INVALID, "\"%.300s\": the host is "
		    "missing, or its name is too long", base);
	return take_port(text, ret_rest, base, err);
}

static int
parse_base(const char *base, struct base *out, struct err *err)
{
	const char *rest;

	if (!str_is_visible(base) || strlen(base) >= CLIENT_URL_MAX - 256)
		return err_set(err, ERR_INVALID, "a service's address is at "
		    "most %d visible ASCII characters without a blank",
		    CLIENT_URL_MAX - 256);
	out->is_https = strncasecmp(base, "https://", 8) == 0;
	if (!out->is_https && strncasecmp(base, "http://", 7) != 0)
		return err_set(err, ERR_INVALID, "\"%.300s\" is no address of "
		    "a service: it begins with https:// or http://", base);
	rest = base + (out->is_https ? 8 : 7);
	if (memchr(rest, '@', strcspn(rest, "/")) != NULL)
		return err_set(err, ERR_INVALID, "a service's address has no "
		    "user name or password: the token goes into the variable "
		    "PODPROF_TOKEN");
	if (strpbrk(rest, "?#\"<>\\^`{|}") != NULL)
		return err_set(err, ERR_INVALID, "\"%.300s\": a service's "
		    "address has no query, no fragment, and none of "
		    "\" < > \\ ^ ` { | }", base);
	if (take_host(rest, out, &rest, base, err) != 0)
		return -1;
	if (*rest != '\0' && *rest != '/')
		return err_set(err, ERR_INVALID, "\"%.300s\": after the host "
		    "comes :PORT, /PATH, or nothing", base);
	if (strstr(rest, "//") != NULL || strstr(rest, "/./") != NULL ||
	    strstr(rest, "/../") != NULL)
		return err_set(err, ERR_INVALID, "\"%.300s\": the path has an "
		    "empty part, or \".\" or \"..\"", base);
	out->path = rest;
	out->path_len = strlen(rest);
	if (out->path_len > 0 && rest[out->path_len - 1] == '/')
		out->path_len--;
	return 0;
}

/* The app in a path that ends in "/APP/private/papi"; false if it does not. */
static bool
find_app(const struct base *base, char out[STR_NAME_MAX + 1])
{
	const size_t papi_len = sizeof(PAPI) - 1;
	const char *end, *start;
	size_t len;

	if (base->path_len <= papi_len)
		return false;
	end = base->path + base->path_len - papi_len;
	if (strncmp(end, PAPI, papi_len) != 0)
		return false;
	for (start = end; start > base->path && start[-1] != '/'; start--)
		;
	len = (size_t)(end - start);
	if (len == 0 || len > STR_NAME_MAX || start == base->path)
		return false;
	memcpy(out, start, len);
	out[len] = '\0';
	return str_is_name(out);
}

/* 127.0.0.0/8, ::1 and localhost. */
static bool
is_this_machine(const struct base *base)
{
	struct in6_addr six;
	struct in_addr four;
	char host[HOST_MAX];

	memcpy(host, base->host, base->host_len);
	host[base->host_len] = '\0';
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return strcasecmp(host, "localhost") == 0;
}

static int
name_app(const struct base *base, const char *text, const char *app,
    struct client *client, struct err *err)
{
	char there[STR_NAME_MAX + 1];
	bool is_there = find_app(base, there);
	size_t len = base->path_len + (size_t)(base->path - text);
	int n;

	if (app != NULL && !str_is_name(app))
		return err_set(err, ERR_INVALID, "\"%.100s\" is no app: its "
		    "name is 1 to 64 of letters, digits, \".\", \"_\", \"-\"",
		    app);
	if (!is_there && app == NULL)
		return err_set(err, ERR_INVALID, "\"%.300s\" does not say "
		    "which app: end it in /APP" PAPI ", or name the app by "
		    "--app", text);
	if (is_there && app != NULL && strcmp(there, app) != 0)
		return err_set(err, ERR_INVALID, "the app is \"%s\" in the "
		    "address and \"%s\" beside it: leave one of them away",
		    there, app);
	(void)str_copy(client->app, sizeof(client->app),
	    is_there ? there : app);
	n = is_there ? snprintf(client->where, sizeof(client->where), "%.*s",
			   (int)len, text)
		     : snprintf(client->where, sizeof(client->where),
			   "%.*s/%s" PAPI, (int)len, text, app);
	if (n < 0 || (size_t)n >= sizeof(client->where))
		return err_set(err, ERR_INVALID, "the service's address is "
		    "too long");
	return 0;
}

int
client_open_url(const char *base_text, const char *app, const char *token,
    struct client **ret_client, struct err *err)
{
	struct client *client = NULL;
	struct base base = {.host = "", .path = ""};
	int rc = -1;

	if (token != NULL && token[0] == '\0')
		token = NULL;
	if (parse_base(base_text, &base, err) != 0)
		return -1;
	if (token != NULL &&
	    (!str_is_visible(token) || strlen(token) > TOKEN_MAX_BYTES))
		return err_set(err, ERR_INVALID, "the token in PODPROF_TOKEN "
		    "is none: it has a blank, a line's end, or more than %d "
		    "characters", TOKEN_MAX_BYTES);
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a client");
	if (name_app(&base, base_text, app, client, err) != 0 ||
	    client_http_open(client->where, token, is_this_machine(&base),
	    &client->http, err) != 0)
		goto out;
	client->has_token = token != NULL;
	client->is_exposed = token != NULL && !base.is_https &&
	    !is_this_machine(&base);
	*ret_client = client;
	client = NULL;
	rc = 0;
out:
	client_close(&client);
	return rc;
}

/* "shop, blog": as many as fit. */
static int
several_apps(const struct conf *conf, struct err *err)
{
	char names[256] = "";
	size_t i, len = 0;

	for (i = 0; i < conf->apps_len && len < sizeof(names) - 1; i++) {
		(void)snprintf(names + len, sizeof(names) - len, "%s%s",
		    i > 0 ? ", " : "", conf->apps[i].name);
		len = strlen(names);
	}
	return err_set(err, ERR_INVALID, "there are %zu apps in the "
	    "configuration; name one by --app: %s", conf->apps_len, names);
}

static int
choose_app(const struct conf *conf, const char *app, const char **ret_app,
    struct err *err)
{
	if (conf->apps_len == 0)
		return err_set(err, ERR_INVALID, "no app is configured on "
		    "this machine: give %s a section [app NAME], or name a "
		    "service by --url or PODPROF_URL", conf->path != NULL ?
		    conf->path : PODPROF_SYSCONFDIR "/podprof.conf");
	if (app == NULL && conf->apps_len > 1)
		return several_apps(conf, err);
	if (app != NULL && conf_find_app(conf, app) == NULL)
		return err_set(err, ERR_NOT_FOUND, "there is no app "
		    "\"%.100s\" in the configuration of this machine", app);
	*ret_app = app != NULL ? app : conf->apps[0].name;
	return 0;
}

int
client_open_local(const struct conf *conf, const char *app,
    struct client **ret_client, struct err *err)
{
	struct client *client = NULL;

	if (choose_app(conf, app, &app, err) != 0)
		return -1;
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a client");
	(void)str_copy(client->app, sizeof(client->app), app);
	(void)str_copy(client->where, sizeof(client->where), "this machine");
	if (client_local_open(conf, &client->local, err) != 0) {
		client_close(&client);
		return -1;
	}
	*ret_client = client;
	return 0;
}

void
client_close(struct client **client)
{
	if (*client == NULL)
		return;
	client_http_close(&(*client)->http);
	client_local_close(&(*client)->local);
	free(*client);
	*client = NULL;
}

const char *
client_app(const struct client *client)
{
	return client->app;
}

const char *
client_where(const struct client *client)
{
	return client->where;
}

bool
client_is_local(const struct client *client)
{
	return client->local != NULL;
}

bool
client_is_exposed(const struct client *client)
{
	return client->is_exposed;
}

void
client_set_stop(struct client *client, const volatile sig_atomic_t *stop)
{
	client->stop = stop;
}

bool
client_is_stopped(const struct client *client)
{
	return client->stop != NULL && *client->stop != 0;
}

int
client_stopped(struct err *err)
{
	return err_set(err, ERR_INTERRUPTED, "stopped");
}

int
client_pause(const struct client *client, int64_t ms, struct err *err)
{
	int64_t end_ms = clock_mono_ms() + ms, left;

	while (!client_is_stopped(client)) {
		left = end_ms - clock_mono_ms();
		if (left <= 0)
			return 0;
		(void)poll(NULL, 0, left < PAUSE_MS ? (int)left : PAUSE_MS);
	}
	return client_stopped(err);
}

int64_t
client_silence_ms(const struct client_request *request)
{
	return CLIENT_SILENCE_MS +
	    (request->wait_s > 0 ? request->wait_s * 1000 : 0);
}

/* What could end a header, or lead elsewhere than below the base. */
static int
check_request(const struct client_request *request, struct err *err)
{
	const char *path = request->path;

	if (path[0] == '\0' || path[0] == '/' || !str_is_visible(path) ||
	    strchr(path, '#') != NULL || strstr(path, "..") != NULL ||
	    strlen(path) >= CLIENT_URL_MAX)
		return err_set(err, ERR_INVALID, "\"%.200s\" cannot be part "
		    "of an address", path);
	if ((request->key != NULL && !str_is_visible(request->key)) ||
	    (request->etag != NULL && !str_is_visible(request->etag)))
		return err_set(err, ERR_INVALID, "a key or an ETag has a byte "
		    "that a header cannot have");
	return 0;
}

int
client_call(struct client *client, const struct client_request *request,
    struct client_reply *ret_reply, struct err *err)
{
	struct client_answer answer;
	int rc;

	if (check_request(request, err) != 0)
		return -1;
	if (client_is_stopped(client))
		return client_stopped(err);
	client_answer_init(&answer, client, request);
	rc = client->http != NULL ?
	    client_http_call(client->http, &answer, err) :
	    client_local_call(client->local, &answer, err);
	if (rc == 0) {
		*ret_reply = answer.reply;
		memset(&answer.reply, 0, sizeof(answer.reply));
	}
	client_answer_fini(&answer);
	return rc;
}

static enum err_code
code_of_status(int status)
{
	static const struct {
		int status;
		enum err_code code;
	} codes[] = {
		{ 400, ERR_INVALID }, { 401, ERR_UNAUTHENTICATED },
		{ 403, ERR_FORBIDDEN }, { 404, ERR_NOT_FOUND },
		{ 405, ERR_METHOD }, { 406, ERR_NOT_ACCEPTABLE },
		{ 409, ERR_CONFLICT }, { 410, ERR_GONE },
		{ 412, ERR_PRECONDITION }, { 413, ERR_TOO_LARGE },
		{ 415, ERR_MEDIA_TYPE }, { 416, ERR_RANGE },
		{ 422, ERR_KEY_REUSED }, { 425, ERR_TOO_EARLY },
		{ 429, ERR_LIMIT }, { 500, ERR_INTERNAL },
		{ 502, ERR_TARGET_REFUSED }, { 503, ERR_TARGET_UNREACHABLE },
		{ 504, ERR_TARGET_TIMEOUT }, { 507, ERR_SPACE },
	};
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].status == status)
			return codes[i].code;
	return status < 500 ? ERR_INVALID : ERR_INTERNAL;
}

/* "urn:podprof:error:NAME"; the status, where another made the type. */
static enum err_code
code_of_problem(const struct json *problem, int status)
{
	static const char urn[] = "urn:podprof:error:";
	const char *type = json_string(json_get(problem, "type"));
	enum err_code code;

	if (type != NULL && strncmp(type, urn, sizeof(urn) - 1) == 0) {
		code = err_code_of_name(type + sizeof(urn) - 1);
		if (strcmp(err_name(code), type + sizeof(urn) - 1) == 0)
			return code;
	}
	return code_of_status(status);
}

/* What the service says, for who has no header to look at but a variable. */
static void
tell_refusal(const struct client *client, enum err_code code, int status,
    const char *detail, struct err *err)
{
	const bool is_far = !client_is_local(client);

	if (is_far && status == 401 && !client->has_token)
		(void)err_set(err, code, "PODPROF_TOKEN is not set: export "
		    "the token in it, as podprof token new NAME --role "
		    "operator has printed it");
	else if (is_far && status == 401)
		(void)err_set(err, code, "%s (it was sent from "
		    "PODPROF_TOKEN)", detail);
	else if (is_far && status == 403 && !client->has_token)
		(void)err_set(err, code, "%s (PODPROF_TOKEN is not set)",
		    detail);
	else
		(void)err_set(err, code, "%s", detail);
}

/* Of a proxy, or of another program at this address. */
static int
foreign_refusal(const struct client *client, int status, struct err *err)
{
	const char *why = "";

	if (status == 401)
		why = ": something before podprof wants a password";
	else if (status == 404)
		why = ": the address is not a podprof's, or the web server "
		      "does not hand it on";
	else if (status == 413)
		why = ": the web server's bound of a request's size";
	else if (status == 502 || status == 503 || status == 504)
		why = ": the web server cannot reach podprof, or waited for "
		      "it no longer";
	return err_set(err, code_of_status(status),
	    "%.300s answers with status %d, and not as podprof does%s",
	    client_where(client), status, why);
}

int
client_refusal(const struct client *client, const struct client_reply *reply,
    struct err *err)
{
	struct json *problem = NULL;
	const char *detail = NULL;

	if (strcasecmp(reply->type, "application/problem+json") == 0 &&
	    json_parse(buf_str(&reply->body), reply->body.len, &problem,
	    NULL) == 0)
		detail = json_string(json_get(problem, "detail"));
	if (detail != NULL && detail[0] != '\0')
		tell_refusal(client, code_of_problem(problem, reply->status),
		    reply->status, detail, err);
	else
		(void)foreign_refusal(client, reply->status, err);
	json_free(&problem);
	return -1;
}

int
client_document(const struct client *client, const struct client_reply *reply,
    struct json **ret_json, struct err *err)
{
	struct json *json = NULL;
	struct err why = {0};

	if (reply->status >= 400)
		return client_refusal(client, reply, err);
	if (json_parse(buf_str(&reply->body), reply->body.len, &json, &why) !=
	    0 && why.code == ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "%s", why.msg);
	if (!json_is_object(json)) {
		json_free(&json);
		return err_set(err, ERR_TARGET_REFUSED, "%.300s answers with "
		    "%s and not with a JSON object, so it is no podprof: is "
		    "the address right?", client_where(client),
		    reply->type[0] != '\0' ? reply->type : "nothing");
	}
	*ret_json = json;
	return 0;
}

int
client_get(struct client *client, const char *path, struct json **ret_json,
    struct err *err)
{
	const struct client_request request = {.method = "GET", .path = path};
	struct client_reply reply;
	int rc;

	if (client_call(client, &request, &reply, err) != 0)
		return -1;
	rc = client_document(client, &reply, ret_json, err);
	client_reply_fini(&reply);
	return rc;
}
