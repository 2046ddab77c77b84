/*
 * Discovery.  Node answers only to a Host header that is an IP literal or
 * "localhost" (its guard against DNS rebinding), so names are resolved here;
 * and the address it gives for its session is built from that header, so only
 * the path of it is used.
 */
#include "target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "json.h"
#include "str.h"

#define LIST_BYTES_MAX (1 << 20)

/* Where SIGUSR1 opens the inspector of a process that was not told a port. */
#define NODE_PORT 9229

static const char FACTS_EXPRESSION[] =
    "(()=>{const p=globalThis.process,m=p.memoryUsage();"
    "return JSON.stringify({pid:p.pid,node:p.version,"
    "rss:m.rss,heapUsed:m.heapUsed})})()";

/* HOST:PORT[/PATH] behind an optional "ws://", taken apart. */
struct place {
	char host[256];
	char port[8];
	char path[TARGET_PATH_MAX];	/* "" if none */
};

static int
place_parse(const char *inspector, struct place *place, struct err *err)
{
	const char *at = inspector;
	const char *host_end, *port, *path;
	size_t host_len;

	if (strncmp(at, "ws://", 5) == 0)
		at += 5;
	path = at + strcspn(at, "/");
	if (*at == '[') {
		at++;
		host_end = strchr(at, ']');
		port = host_end == NULL ? NULL : host_end + 1;
	} else {
		host_end = memchr(at, ':', (size_t)(path - at));
		port = host_end;
	}
	host_len = host_end == NULL ? 0 : (size_t)(host_end - at);
	if (port == NULL || *port != ':' || host_len == 0 ||
	    host_len >= sizeof(place->host) ||
	    (size_t)(path - port - 1) >= sizeof(place->port) ||
	    !str_copy(place->path, sizeof(place->path), path))
		return err_set(err, ERR_INVALID,
		    "inspector \"%s\" is neither HOST:PORT nor "
		    "ws://HOST:PORT/UUID", inspector);
	memcpy(place->host, at, host_len);
	place->host[host_len] = '\0';
	memcpy(place->port, port + 1, (size_t)(path - port - 1));
	place->port[path - port - 1] = '\0';
	return 0;
}

static int
place_resolve(const struct place *place, struct addrinfo **ret_list,
    struct err *err)
{
	struct addrinfo hints;
	int fault;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	fault = getaddrinfo(place->host, place->port, &hints, ret_list);
	if (fault == 0)
		return 0;
	return err_set(err, ERR_TARGET_UNREACHABLE,
	    "the inspector's host \"%s\" does not resolve: %s", place->host,
	    gai_strerror(fault));
}

static int
address_of(const struct addrinfo *found, struct ws_address *ret_address,
    struct err *err)
{
	char port[8];
	int fault = getnameinfo(found->ai_addr, found->ai_addrlen,
	    ret_address->ip, sizeof(ret_address->ip), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV);

	if (fault != 0)
		return err_set(err, ERR_TARGET_UNREACHABLE,
		    "the inspector's host has no usable address: %s",
		    gai_strerror(fault));
	ret_address->port = (uint16_t)strtoul(port, NULL, 10);
	return 0;
}

/* Say where the error came from and, where it helps, what to do. */
static int
explain(struct err *err, const struct ws_address *address)
{
	struct err cause;
	char where[64];

	if (err == NULL)
		return -1;
	cause = *err;
	(void)snprintf(where, sizeof(where),
	    strchr(address->ip, ':') != NULL ? "[%s]:%u" : "%s:%u",
	    address->ip, (unsigned)address->port);
	switch ((int)cause.code) {
	case ERR_TARGET_UNREACHABLE:
		return err_set(err, cause.code, "no inspector at %s (%s): "
		    "start the app with --inspect=%s%s, and check `inspector` "
		    "of its [app] section", where, cause.msg, where,
		    address->port == NODE_PORT ?
		    " (or send its process SIGUSR1)" : "");
	case ERR_TARGET_TIMEOUT:
		return err_set(err, cause.code, "the inspector at %s accepts "
		    "connections but does not answer: the process may be "
		    "stopped (SIGSTOP, a debugger) or starved of CPU", where);
	case ERR_TARGET_REFUSED:
	case ERR_TARGET_EXITED:
		return err_set(err, ERR_TARGET_REFUSED, "what listens at %s "
		    "does not answer as a Node inspector (%s): check "
		    "`inspector` of the [app] section", where, cause.msg);
	default:
		return -1;
	}
}

/* The path of the first Node target in the answer of /json/list. */
static int
list_pick(const char *text, size_t len, char path[TARGET_PATH_MAX],
    struct err *err)
{
	struct json *list = NULL;
	const struct json *item;
	const char *type, *url, *at;
	int ret = -1;

	if (json_parse(text, len, &list, err) != 0 &&
	    (err == NULL || err->code == ERR_NOMEM))
		goto out;
	if (!json_is_array(list)) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "GET /json/list gave no list");
		goto out;
	}
	for (item = json_first(list); item != NULL; item = json_next(item)) {
		type = json_string(json_get(item, "type"));
		url = json_string(json_get(item, "webSocketDebuggerUrl"));
		if (type == NULL || strcmp(type, "node") != 0 || url == NULL ||
		    strncmp(url, "ws://", 5) != 0)
			continue;
		at = strchr(url + 5, '/');
		if (at == NULL || !str_is_visible(at) ||
		    !str_copy(path, TARGET_PATH_MAX, at))
			continue;
		ret = 0;
		goto out;
	}
	(void)err_set(err, ERR_TARGET_REFUSED,
	    "GET /json/list names no Node process");
out:
	json_free(&list);
	return ret;
}

static int
list_get(struct ws *ws, const struct ws_address *address, int64_t deadline_ms,
    char path[TARGET_PATH_MAX], struct err *err)
{
	struct buf body;
	int status = 0, ret = -1;

	buf_init(&body, LIST_BYTES_MAX);
	if (ws_get(ws, address, "/json/list", deadline_ms, &body, &status,
		err) != 0)
		goto out;
	if (status != 200) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "GET /json/list answered %d; an app started with "
		    "--inspect-publish-uid=stderr needs inspector = "
		    "ws://HOST:PORT/UUID", status);
		goto out;
	}
	ret = list_pick(buf_str(&body), body.len, path, err);
out:
	buf_fini(&body);
	return ret;
}

/* Is it there, and at which path? */
static int
address_try(struct ws *ws, const struct place *place, int64_t deadline_ms,
    struct target *target, struct err *err)
{
	struct buf body;
	int status, ret;

	if (place->path[0] == '\0')
		return list_get(ws, &target->address, deadline_ms, target->path,
		    err);
	/* With --inspect-publish-uid=stderr the answer is 404: any will do. */
	buf_init(&body, LIST_BYTES_MAX);
	ret = ws_get(ws, &target->address, "/json/version", deadline_ms, &body,
	    &status, err);
	buf_fini(&body);
	(void)str_copy(target->path, sizeof(target->path), place->path);
	return ret;
}

int
target_find(struct ws *ws, const char *inspector, int64_t deadline_ms,
    struct target *ret_target, struct err *err)
{
	struct addrinfo *list = NULL, *found;
	struct place place = { .path = "" };
	struct target target;
	struct err why;
	int ret = -1;

	memset(&target, 0, sizeof(target));
	(void)err_set(&why, ERR_TARGET_UNREACHABLE, "it has no address");
	if (place_parse(inspector, &place, err) != 0 ||
	    place_resolve(&place, &list, err) != 0)
		return -1;
	/* A name may stand for ::1 and 127.0.0.1, and Node listens on one. */
	for (found = list; found != NULL && ret != 0; found = found->ai_next) {
		if (address_of(found, &target.address, &why) != 0)
			continue;
		ret = address_try(ws, &place, deadline_ms, &target, &why);
		if (ret != 0 && why.code != ERR_TARGET_UNREACHABLE)
			break;
	}
	freeaddrinfo(list);
	if (ret == 0) {
		*ret_target = target;
		return 0;
	}
	(void)explain(&why, &target.address);
	return err_set(err, why.code, "%s", why.msg);
}

int
target_attach(struct ws *ws, const struct target *target, int64_t deadline_ms,
    const struct cdp_handler *handler, struct cdp **ret_cdp, struct err *err)
{
	if (cdp_open(ws, &target->address, target->path, deadline_ms, handler,
		ret_cdp, err) != 0)
		return explain(err, &target->address);
	return 0;
}

static int
facts_read(const char *text, struct target_facts *ret_facts, struct err *err)
{
	struct json *json = NULL;
	const char *node;
	int ret = -1;

	if (json_parse(text, strlen(text), &json, err) != 0) {
		if (err == NULL || err->code != ERR_NOMEM)
			(void)err_set(err, ERR_TARGET_REFUSED,
			    "the app's answer about itself is not JSON");
		goto out;
	}
	/* Under --inspect-brk, before the first line, there is no pid yet. */
	ret_facts->pid = json_int(json_get(json, "pid"), -1);
	ret_facts->rss_bytes = json_int(json_get(json, "rss"), -1);
	ret_facts->heap_used_bytes =
	    json_int(json_get(json, "heapUsed"), -1);
	node = json_string(json_get(json, "node"));
	if (node == NULL || !str_is_visible(node) ||
	    !str_copy(ret_facts->node, sizeof(ret_facts->node), node))
		ret_facts->node[0] = '\0';
	ret = 0;
out:
	json_free(&json);
	return ret;
}

int
target_ask(struct cdp *cdp, const struct cdp_limit *limit,
    struct target_facts *ret_facts, struct err *err)
{
	struct buf params;
	struct json *reply = NULL;
	const char *text;
	int ret = -1;

	buf_init(&params, 4096);
	if (buf_addf(&params, err,
		"{\"expression\":\"%s\",\"returnByValue\":true,"
		"\"silent\":true}", FACTS_EXPRESSION) != 0)
		goto out;
	if (cdp_call(cdp, "Runtime.evaluate", params.data, limit, NULL,
		&reply, err) != 0)
		goto out;
	text = json_string(json_path(json_get(reply, "result"), "result",
	    "value"));
	if (text == NULL) {
		(void)err_set(err, ERR_TARGET_REFUSED,
		    "the app does not tell about itself: its `process` object "
		    "has been replaced");
		goto out;
	}
	ret = facts_read(text, ret_facts, err);
out:
	json_free(&reply);
	buf_fini(&params);
	return ret;
}
