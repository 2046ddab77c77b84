/*
 * What the files of cdp share.  For cdp*.c only; everybody else has cdp.h.
 */
#ifndef PODPROF_CDP_PARTS_H
#define PODPROF_CDP_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "cdp.h"
#include "err.h"
#include "json.h"
#include "jsoncut.h"
#include "ws.h"

/* Of NodeWorker, with its NUL: a number, in fact. */
#define CDP_SESSION_MAX 32
/* Bytes of all of them. */
#define CDP_SESSIONS_MAX (64 << 10)

struct cdp_search;

/* A session: of the app's main thread, or, inside that, of a worker thread. */
struct cdp {
	struct ws *ws;
	struct cdp *main;	/* a worker's: what carries it; else NULL */
	struct cdp *worker;	/* what it carries; NULL */
	struct jsoncut *cut;
	struct cdp_handler handler;
	int64_t next_id;
	int64_t heard_ms;	/* when the last byte came */
	int64_t ticked_ms;
	bool exiting;
	int64_t exiting_ms;	/* since when */
	bool watches_exit;	/* the app was asked to say so */
	int owed;		/* replies that are to come, also to calls that
				 * were given up */

	/* The call that is running. */
	int64_t id;		/* 0: none */
	const char *method;
	struct jsoncut_rule rule;
	const struct cdp_stream *stream;
	struct json *reply;	/* the whole message, once it came */

	/* Of the main thread's. */
	bool has_workers;	/* what they say may come */
	struct buf sessions;	/* that Node has opened to workers, each with
				 * its NUL */
	struct cdp_search *search;	/* NULL: nobody looks for them */

	/* Of a worker's. */
	char session[CDP_SESSION_MAX];
	int64_t carrier_id;	/* of the main thread's last message for it */
	bool is_hearing;	/* a message has begun */
	bool is_gone;		/* the thread has ended */
};

/* A piece of a message, whose bytes are JSON. */
MUST int cdp_piece(struct cdp *cdp, const void *data, size_t len, bool first,
    bool last, struct err *err);

/* Send a call, of which nothing else is known here but its id. */
MUST int cdp_send(struct cdp *cdp, int64_t id, const char *method,
    const char *params, struct err *err);

/* The same of a call whose reply nobody waits for; the main thread's.  -1: the
 * connection takes nothing more. */
MUST int cdp_say(struct cdp *cdp, const char *method, const char *params);

/* Hand a message on to a worker's session. */
MUST int cdp_carry(struct cdp *worker, const char *text, struct err *err);

/* What is cut out of what the main thread's session, ctx, receives: the words
 * of its worker. */
extern const struct jsoncut_rule cdp_from_worker;
MUST int cdp_hear_worker(void *ctx, const void *data, size_t len,
    struct err *err);

/* An event whose name begins with "NodeWorker.". */
MUST int cdp_worker_event(struct cdp *cdp, const char *method,
    const struct json *params, struct err *err);

/* ERR_TARGET_EXITED.  Always -1. */
int cdp_worker_ended(struct err *err);

/* The worker's session is to end: tell Node, as far as that goes. */
void cdp_leave_worker(struct cdp *worker);

/* The same of all that Node has opened still, without waiting for the replies.
 * -1: the connection takes nothing more. */
MUST int cdp_leave_workers(struct cdp *cdp);

#endif
