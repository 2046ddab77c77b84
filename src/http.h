/*
 * One HTTP/1.1 request (RFC 9112) on a connection of its own, and its answer,
 * whole and bounded.  http:// only; no redirect is followed, no proxy asked,
 * nothing is kept.  For questions to services nearby.
 *
 * Safe for many threads.
 */
#ifndef PODPROF_HTTP_H
#define PODPROF_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define HTTP_HOST_MAX 256
#define HTTP_PATH_MAX 2048
#define HTTP_HEAD_MAX (64 << 10)

/* http://HOST[:PORT][/PATH][?QUERY] */
struct http_url {
	char host[HTTP_HOST_MAX];	/* IPv6 without brackets */
	char port[6];
	char authority[HTTP_HOST_MAX + 10];	/* as it was given: Host */
	char path[HTTP_PATH_MAX];	/* with its query; "/" where none */
};

/* ERR_INVALID: another scheme, a user name, a fragment, a byte that a URL
 * cannot have, or too long. */
MUST int http_url_parse(const char *text, struct http_url *ret_url,
    struct err *err);

struct http_request {
	const char *method;
	const char *path;	/* NULL: the URL's */
	const char *headers;	/* lines, each with CR LF; NULL: none.  Host,
				 * Connection and Content-Length are added */
	const char *body;	/* NULL: none */
	size_t body_len;
};

/* init before, fini after. */
struct http_reply {
	int status;		/* 100..599 */
	struct buf head;	/* the header lines, each with CR LF */
	struct buf body;	/* decoded where it came in chunks */
};
void http_reply_init(struct http_reply *reply, size_t body_max);
void http_reply_fini(struct http_reply *reply);

/*
 * Ask.  A body beyond its bound is cut off there, which is no error; so is
 * nothing read of one to HEAD, 204 or 304.  Interim answers (1xx) are skipped.
 *
 *   ERR_TARGET_UNREACHABLE  the name does not resolve, nothing listens
 *   ERR_TARGET_TIMEOUT      deadline_ms (clock_mono_ms()) has passed; looking
 *                           up a name is not bounded by it
 *   ERR_TARGET_REFUSED      what answers does not speak HTTP
 *   ERR_TARGET_EXITED       the connection broke before the end of the answer
 *   ERR_LIMIT               we lack descriptors, or memory for a socket
 *   ERR_NOMEM
 */
MUST int http_ask(const struct http_url *url,
    const struct http_request *request, int64_t deadline_ms,
    struct http_reply *reply, struct err *err);

/* The value of a header of the answer, its first; false where there is none,
 * or it does not fit. */
bool http_header(const struct http_reply *reply, const char *name, char *out,
    size_t size);

#endif
