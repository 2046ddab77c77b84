/*
 * podprof.fcgi as a FastCGI pool.
 *
 *	workers (threads + 1)	accept, read heads, judge, handle, answer
 *	waiter			see waiter.h
 *	keeper			see keeper.h
 *	downloads		see download.h
 *	main			signals
 *
 *	            +-- probe --------------------------> answer
 *	accept -----+
 *	            +-- queue -- one of `threads` slots --+-> answer
 *	                  ^                               +-> download
 *	                  +------------ waiter <----------+-> wait
 *
 * A request that needs the database needs a slot.  There is one worker more
 * than slots, so one of them is always free to accept and to answer probes.
 */
#ifndef PODPROF_POOL_H
#define PODPROF_POOL_H

#include "err.h"
#include "service.h"

/* Requests that were read and wait for a slot; more are refused with 429. */
#define POOL_QUEUE_MAX 256

/* After SIGTERM, how long answers and downloads may take to finish. */
#define POOL_STOP_MS 20000

/*
 * Serve on descriptor 0 until SIGTERM or SIGINT; then stop accepting, answer
 * those that wait, let the others finish.
 *
 * Called by the main thread while it is the only one: blocks all signals.
 * ret_idle: false if something was still under way after POOL_STOP_MS; its
 * threads run on, so the process must end by _exit(2).
 */
MUST int pool_run(struct service *service, bool *ret_idle, struct err *err);

#endif
