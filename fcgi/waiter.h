/*
 * The one thread on which requests wait for jobs, their summaries, and looks at
 * apps, however many there are.
 *
 * It looks at the database's data_version and reads a job again only when
 * something was committed; it sees clients leave; it waits for heads of
 * requests that do not come in one piece; and it is the watchdog of the gates
 * (gate_watch_run()).  It answers nobody: a request whose wait has
 * ended goes back to the pool.
 */
#ifndef PODPROF_WAITER_H
#define PODPROF_WAITER_H

#include "err.h"
#include "gate.h"
#include "request.h"
#include "service.h"

struct waiter;

enum waiter_end {
	WAIT_OVER,	/* what was waited for is there, or the time is over */
	WAIT_STOPPED,	/* neither, but waiter_stop() was called */
	WAIT_LEFT,	/* the client is gone, or its head will not come */
};

/* Takes a request that waits no more; called on the waiter's thread. */
typedef void waiter_over_fn(void *ctx, struct request *request_take,
    enum waiter_end end);

/* Start it.  watch and service live longer.  ERR_NOMEM, ERR_LIMIT. */
MUST int waiter_start(struct service *service, struct gate_watch *watch,
    waiter_over_fn *over, void *ctx, struct waiter **ret_waiter,
    struct err *err);

/* How many may wait for their own head; the caller counts them. */
#define WAITER_HEADS_MAX 256

/* Take a request that request_wait_head() was called for, or request_wait()
 * and that has a place. */
void waiter_park(struct waiter *waiter, struct request *request_take);

/* From now on every wait ends at once. */
void waiter_stop(struct waiter *waiter);

/* After waiter_stop(): join the thread, free.  NULL is allowed. */
void waiter_free(struct waiter **waiter);

#endif
