/*
 * A Chrome DevTools Protocol session: calls with their replies, events, and
 * one kind of long value that streams to a sink instead of into memory.
 * https://chromedevtools.github.io/devtools-protocol/v8/
 *
 *	ws pieces (64 KiB) --> jsoncut --+--> sink: a chunk, a profile
 *	                                 +--> json: replies, events (<= 1 MiB)
 *
 * Everything happens inside the calls, on the caller's thread.
 */
#ifndef PODPROF_CDP_H
#define PODPROF_CDP_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "json.h"
#include "jsoncut.h"
#include "ws.h"

/* Bytes of a message in memory, without what streams. */
#define CDP_CONTROL_BYTES (1 << 20)

/* How often at least tick() is called during any wait. */
#define CDP_TICK_MS 250

struct cdp;

/* What the session tells its owner; each member may be NULL. */
struct cdp_handler {
	/* An event; params is an object or NULL.  -1 with *err ends the call
	 * that is running. */
	int (*event)(void *ctx, const char *method, const struct json *params,
	    struct err *err);
	/* Time passes.  -1 with *err ends the call that is running. */
	int (*tick)(void *ctx, struct err *err);
	void *ctx;
};

/*
 * Open a session.
 *
 * ws       borrowed; closed by cdp_close(), not freed.
 * path     of the WebSocket, "/UUID".
 * Errors: those of ws_connect().
 */
MUST int cdp_open(struct ws *ws, const struct ws_address *address,
    const char *path, int64_t deadline_ms, const struct cdp_handler *handler,
    struct cdp **ret_cdp, struct err *err);

/*
 * Disconnect, so that nothing of us weighs on the app.  NULL is allowed.
 *
 * Node 18 to 22 may crash if a session ends at the moment when it sends
 * something on it (its inspector's thread writes to a socket that it has just
 * forgotten).  So what was called is waited for, and thrown away: until nothing
 * is owed, or was heard for CDP_LINGER_MS; in all CDP_LINGER_MAX_MS at most.
 */
#define CDP_LINGER_MS 2000
#define CDP_LINGER_MAX_MS 600000
void cdp_close(struct cdp **cdp);

/* The connection's socket, for who takes care that it stays open when this
 * process ends; -1 if there is none. */
int cdp_fd(const struct cdp *cdp);

/* How long a call may take. */
struct cdp_limit {
	int64_t deadline_ms;	/* clock_mono_ms() */
	int64_t silence_ms;	/* without a byte from the inspector; 0: any */
};

/* Where a call's long value goes.  form and keys as in jsoncut.h. */
struct cdp_stream {
	const char *event;	/* cut from events of this name, params.KEY as
				 * text; NULL: from the reply, result.KEY raw */
	const char *key;
	jsoncut_sink_fn *sink;
	void *ctx;
};

/*
 * Call a method and wait for its reply.
 *
 * params      a JSON object as text, or NULL.
 * stream      NULL: nothing streams.
 * ret_reply   the whole reply, {"id","result"}, to be freed; NULL: not wanted.
 *
 *   ERR_TARGET_REFUSED  the reply is an error, or the inspector spoke nonsense
 *   ERR_TARGET_TIMEOUT  over the limit
 *   ERR_TARGET_EXITED   the connection is gone, or the app is exiting
 *   ERR_NOMEM, or what the handler or the sink returned
 */
MUST int cdp_call(struct cdp *cdp, const char *method, const char *params,
    const struct cdp_limit *limit, const struct cdp_stream *stream,
    struct json **ret_reply, struct err *err);

/*
 * The same in steps, for a caller that has something else to watch meanwhile:
 * begin; pump now and then, until there is a reply; finish, which gives the
 * call up where there is none yet (ERR_TARGET_TIMEOUT).  stream lives until
 * then.
 */
MUST int cdp_begin(struct cdp *cdp, const char *method, const char *params,
    const struct cdp_stream *stream, struct err *err);
bool cdp_has_reply(const struct cdp *cdp);
MUST int cdp_finish(struct cdp *cdp, struct json **ret_reply,
    struct err *err);

/* Serve what is there, and tick if it is time; waits for nothing.  Errors as
 * cdp_call(). */
MUST int cdp_pump(struct cdp *cdp, struct err *err);

/*
 * Let time pass and events come until until_ms, or until the app wants to
 * exit (cdp_is_exiting()).  Errors as cdp_call().
 */
MUST int cdp_wait(struct cdp *cdp, int64_t until_ms, struct err *err);

/*
 * True once the app has come to its end and only waits for us to leave
 * (NodeRuntime.waitingForDisconnect): a last short call works still, then
 * cdp_close() at once.
 */
bool cdp_is_exiting(const struct cdp *cdp);

#endif
