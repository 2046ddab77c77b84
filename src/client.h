/*
 * Requests to a podprof service: one far away, over HTTP, or the installation
 * on this machine, whose podprof.fcgi is run as a CGI program.  Both get the
 * same requests and give the same answers.
 *
 *	client_open_url ----+                 +- reply, of whatever status
 *	client_open_local --+- client_call ---+
 *	                                      +- -1: there is no whole answer
 *
 * Over HTTP: certificates are verified (a bundle of one's own by
 * CURL_CA_BUNDLE or SSL_CERT_FILE), https_proxy, http_proxy, all_proxy and
 * no_proxy count as for curl(1), but for this machine's own addresses none is
 * asked; no redirect is followed, so the token goes to one host only.
 *
 * Here: the program runs as state_dir's owner, who is us, or whom its process
 * becomes where we are root; it needs no token, and its audit lines say
 * local:UID.  podprof-security(7) has why that opens nothing to others.  What
 * it logs goes to STATE_DIR/capture.log.
 *
 * A client belongs to one thread.
 */
#ifndef PODPROF_CLIENT_H
#define PODPROF_CLIENT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "conf.h"
#include "digest.h"
#include "err.h"
#include "json.h"

#define CLIENT_URL_MAX 2048
#define CLIENT_HEAD_MAX (64 << 10)	/* bytes of an answer's head */
#define CLIENT_BODY_MAX (32 << 20)	/* of one that is kept in memory */
#define CLIENT_CONNECT_MS 10000
#define CLIENT_SILENCE_MS 60000		/* without a byte, on top of wait_s */

struct client;

/*
 * A service by its address; nothing is connected yet.
 *
 * base   "https://HOST[:PORT][/PREFIX]/APP/private/papi"; or without
 *        "/APP/private/papi", and then app names it.  A "/" at its end is
 *        allowed.  http and https only; no user name, query or fragment.
 * app    NULL: the one in base.  Else it must be the one there, if there is.
 * token  NULL or "": none.
 *
 *   ERR_INVALID  base, app or token is malformed, or no app is named
 *   ERR_INTERNAL libcurl cannot be used
 *   ERR_NOMEM
 */
MUST int client_open_url(const char *base, const char *app,
    const char *token, struct client **ret_client, struct err *err);

/*
 * The installation on this machine.
 *
 * conf  as loaded: podprof.fcgi reads the same file, and gets our variables
 *       PODPROF_ but the token.  Not needed afterwards.
 * app   NULL: the only one that is configured.
 *
 *   ERR_INVALID    no app is configured, or several and app is NULL: they are
 *                  named
 *   ERR_NOT_FOUND  no such app is configured, or there is no state_dir
 *   ERR_FORBIDDEN  state_dir is another user's: the message says whose
 *   ERR_INTERNAL   podprof.fcgi is not there
 *   ERR_STORE      state_dir cannot be looked at
 *   ERR_NOMEM
 */
MUST int client_open_local(const struct conf *conf, const char *app,
    struct client **ret_client, struct err *err);

/* NULL inside is allowed. */
void client_close(struct client **client);

const char *client_app(const struct client *client);

/* For texts: "http://HOST/APP/private/papi", or "this machine". */
const char *client_where(const struct client *client);

bool client_is_local(const struct client *client);

/* Does it send a token that others on the way could read: http, to a host
 * that is not this machine? */
bool client_is_exposed(const struct client *client);

/*
 * *stop is set by a signal handler: from then on a call under way, and each
 * that follows, ends within 200 ms with ERR_INTERRUPTED.  NULL: never.
 */
void client_set_stop(struct client *client,
    const volatile sig_atomic_t *stop);
bool client_is_stopped(const struct client *client);

/* Wait; ERR_INTERRUPTED: stopped before ms were over. */
MUST int client_pause(const struct client *client, int64_t ms,
    struct err *err);

/* What is not told is "" or -1, but where it says otherwise. */
struct client_reply {
	int status;		/* 200..599, no 3xx */
	struct buf body;	/* of what did not go to a sink */
	int64_t length;		/* Content-Length */
	int64_t first_byte;	/* Content-Range */
	int64_t retry_after_s;	/* 0: none */
	char type[128];		/* Content-Type without its parameters */
	char location[CLIENT_URL_MAX];
	char etag[128];		/* with its quotes */
	char digest[DIGEST_BASE64_MAX];	/* Repr-Digest's SHA-256, of all */
};
/* Frees the body.  A zeroed reply is allowed. */
void client_reply_fini(struct client_reply *reply);

/* A piece of the body; -1 ends the call with that error. */
typedef int client_sink_fn(void *ctx, const void *data, size_t len,
    struct err *err);
/* The answer's head, its body is empty; -1 ends the call with that error. */
typedef int client_head_fn(void *ctx, const struct client_reply *reply,
    struct err *err);

struct client_request {
	const char *method;	/* "GET", "HEAD", "POST", "DELETE" */
	const char *path;	/* below the base, with its query, encoded:
				 * "target", "jobs?limit=5" */
	const char *body;	/* JSON; NULL: none */
	const char *etag;	/* of If-Range; NULL: none */
	const char *key;	/* Idempotency-Key; NULL: none */
	int64_t wait_s;		/* > 0: Prefer: wait=N */
	int64_t first_byte;	/* > 0: Range: bytes=N- */
	client_head_fn *on_head;/* before the first sink, of any status; NULL:
				 * none */
	client_sink_fn *sink;	/* the body of a 200 or 206 as it comes; NULL:
				 * it is kept in the reply */
	void *ctx;		/* of both */
};

/*
 * Ask once, and have the whole answer.
 *
 * ret_reply  to be released with client_reply_fini(); untouched after -1.
 *
 *   ERR_TARGET_UNREACHABLE  nobody there: the name is unknown, nothing
 *                           listens, TLS or a proxy failed
 *   ERR_TARGET_TIMEOUT      not connected in CLIENT_CONNECT_MS, or silent for
 *                           CLIENT_SILENCE_MS and wait_s
 *   ERR_TARGET_REFUSED      what answers speaks no HTTP, sends an answer that
 *                           cannot be, or redirects: the message says where to
 *   ERR_INTERRUPTED         cut in the middle of the answer: what came went to
 *                           sink; or stopped, see client_is_stopped()
 *   ERR_TOO_LARGE           head or body over its bound
 *   ERR_INTERNAL            podprof.fcgi cannot be started, or ended without
 *                           an answer: the message has what it said
 *   ERR_INVALID             a request of ours with a byte that it cannot have
 *   ERR_NOMEM
 *   whatever sink or on_head set
 */
MUST int client_call(struct client *client,
    const struct client_request *request, struct client_reply *ret_reply,
    struct err *err);

/*
 * A reply of status 400 and above as an error, always -1: the problem's own
 * type and detail, and what to do where that is for the client to know (which
 * variable has the token).  An answer that is no problem document is none of
 * podprof's, which is said.
 */
int client_refusal(const struct client *client,
    const struct client_reply *reply, struct err *err);

/*
 * The document of a reply of status 200..299.  Errors as client_refusal(), and
 *   ERR_TARGET_REFUSED  it is no JSON object: the base is not a podprof's
 */
MUST int client_document(const struct client *client,
    const struct client_reply *reply, struct json **ret_json,
    struct err *err);

/* client_call() and client_document() of GET path. */
MUST int client_get(struct client *client, const char *path,
    struct json **ret_json, struct err *err);

#endif
