/*
 * One connection to an inspector: HTTP GET for discovery, then a WebSocket
 * (RFC 6455).  The only module that knows libwebsockets.
 *
 * Node's inspector is no ordinary peer, hence: no ping is ever sent (it drops
 * the session on one), one text frame a message, the Host header is always an
 * IP literal (it refuses others), and every wait has a deadline of our own
 * (libwebsockets does not report a peer that never answers the handshake).
 *
 * Everything happens inside the calls below, on the caller's thread.
 */
#ifndef PODPROF_WS_H
#define PODPROF_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* Bytes that arrive at once at most: what one receive call can take. */
#define WS_PIECE_BYTES 65536

/* Where the inspector is. */
struct ws_address {
	char ip[48];		/* a literal, IPv6 without brackets */
	uint16_t port;
};

struct ws;

/*
 * A piece of a message, in order; first and last mark its ends.  -1 with *err
 * closes the connection, and the running call returns that error.
 */
typedef int ws_piece_fn(void *ctx, const void *data, size_t len, bool first,
    bool last, struct err *err);

/* ERR_NOMEM. */
MUST int ws_new(struct ws **ret_ws, struct err *err);

/* Closes what is open, at once.  NULL is allowed. */
void ws_free(struct ws **ws);

/*
 * GET path; the body goes to out (bounded by out->max).
 *   ERR_TARGET_UNREACHABLE  nothing listens there, or no route
 *   ERR_TARGET_TIMEOUT      deadline_ms (clock_mono_ms()) has passed
 *   ERR_TARGET_REFUSED      not HTTP, or the body is over its bound
 *   ERR_NOMEM
 * A status that is not 200 is no error: *ret_status.
 */
MUST int ws_get(struct ws *ws, const struct ws_address *address,
    const char *path, int64_t deadline_ms, struct buf *out, int *ret_status,
    struct err *err);

/*
 * Open the WebSocket at path; pieces go to piece(ctx, …) during ws_service().
 * Errors as ws_get(); ERR_TARGET_REFUSED if the upgrade is refused.
 */
MUST int ws_connect(struct ws *ws, const struct ws_address *address,
    const char *path, int64_t deadline_ms, ws_piece_fn *piece, void *ctx,
    struct err *err);

/*
 * Send one text message; it leaves during ws_service().
 *   ERR_TARGET_TIMEOUT  the one before has not left yet
 *   ERR_NOMEM
 */
MUST int ws_send(struct ws *ws, const char *text, size_t len,
    struct err *err);

/*
 * Work until something was received or until_ms has passed.
 *   ERR_TARGET_EXITED  the peer closed the connection, or it broke
 *   or what piece returned
 */
MUST int ws_service(struct ws *ws, int64_t until_ms, struct err *err);

/* The socket of the connection that is open; -1 if none is. */
int ws_fd(const struct ws *ws);

/* Close the WebSocket, also where another process has its socket; waits at
 * most 200 ms for what is to be sent.  NULL and a closed one are allowed. */
void ws_disconnect(struct ws *ws);

/*
 * The bytes of a short text message on a connection, for whom another process
 * leaves its socket to.  False if it has over WS_FRAME_TEXT_MAX bytes.
 */
#define WS_FRAME_TEXT_MAX 125
#define WS_FRAME_MAX (WS_FRAME_TEXT_MAX + 6)
bool ws_frame(const char *text, unsigned char out[WS_FRAME_MAX],
    size_t *ret_len);

#endif
