/*
 * A Chrome DevTools Protocol session: calls with their replies, events, and
 * one kind of long value that streams to a sink instead of into memory.
 * https://chromedevtools.github.io/devtools-protocol/v8/
 *
 *	ws pieces (64 KiB) --> jsoncut --+--> sink: a chunk, a profile
 *	                                 +--> json: replies, events (<= 1 MiB)
 *	                                 +--> a worker's session: the same again
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
 * is owed, or was heard for CDP_LINGER_MS; in all CDP_LINGER_MAX_MS at most.  An
 * app that is exiting waits for us: it has CDP_LINGER_EXITING_MS in all, and so
 * much twice more if a worker's session is to be closed first.  Last of
 * all what cdp_watch_exit() asked for is taken back, as an app that exits just
 * then would say so; one that answers nothing is not waited for again.
 */
#define CDP_LINGER_MS 2000
#define CDP_LINGER_EXITING_MS 2000
#define CDP_LINGER_MAX_MS 600000
void cdp_close(struct cdp **cdp);

/*
 * What has to be sent on the connection if this process ends without
 * cdp_close(), for who sends it then (watchdog.h): up to CDP_PARTINGS messages,
 * a line each, as ws_frame() takes them.  They close a worker's session, which
 * Node does not close by itself, and take back what cdp_watch_exit() asked for.
 *
 * cdp  the main thread's session
 */
#define CDP_PARTINGS 2
#define CDP_PARTING_MAX (CDP_PARTINGS * (WS_FRAME_TEXT_MAX + 1))
void cdp_parting(const struct cdp *cdp, char out[CDP_PARTING_MAX]);

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
 * then.  A call that begins gives up one that was not finished.
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
 * Have the app say when it wants to exit
 * (NodeRuntime.notifyWhenWaitingForDisconnect): it waits then until we leave,
 * which it does in any case.  Errors as cdp_call().
 */
MUST int cdp_watch_exit(struct cdp *cdp, const struct cdp_limit *limit,
    struct err *err);

/*
 * True once the app has come to its end and only waits for us to leave
 * (NodeRuntime.waitingForDisconnect, see cdp_watch_exit()): a last short call
 * works still, then cdp_close() at once.
 */
bool cdp_is_exiting(const struct cdp *cdp);

/*
 * Worker threads.  Node has one connection for the whole app: a worker's
 * session goes through that of the main thread, which only hands messages on,
 * also from within an endless loop.
 */

/* A worker thread as the app knows it. */
#define CDP_WORKER_ID_MAX 24
#define CDP_WORKER_TITLE_MAX 128
struct cdp_worker {
	char id[CDP_WORKER_ID_MAX];	/* worker.threadId, "3" */
	/* "[worker 3] NAME" with the name that the app gave it, cut to this;
	 * UTF-8 without control bytes. */
	char title[CDP_WORKER_TITLE_MAX];
};

/*
 * Name each worker thread that runs, in no order.  No session of one is open.
 * Errors as cdp_call().
 */
typedef void cdp_worker_fn(void *ctx, const struct cdp_worker *worker);
MUST int cdp_list_workers(struct cdp *cdp, const struct cdp_limit *limit,
    cdp_worker_fn *visit, void *ctx, struct err *err);

/*
 * Open the session of one.  One at a time; it is closed before that of the main
 * thread, which can be used all the while for calls without a stream.
 *
 * handler  its event hears of the worker's; tick is that of the main thread's
 *          session alone.
 *
 * What goes for a session goes for it, too; ERR_TARGET_EXITED means that the
 * worker has ended, or the app; cdp_is_exiting() that the app is about to.
 * cdp_watch_exit() would have a worker wait for us before it ends, for ever if we
 * are killed: so it is not to be asked for.
 *
 *   ERR_NOT_FOUND  there is no such worker thread, with those that there are
 *   or as cdp_call()
 */
MUST int cdp_open_worker(struct cdp *cdp, const char *id,
    const struct cdp_limit *limit, const struct cdp_handler *handler,
    struct cdp **ret_worker, struct err *err);

#endif
