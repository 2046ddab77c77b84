/*
 * The app to capture: where its inspector is, and what it says of itself.
 */
#ifndef PODPROF_TARGET_H
#define PODPROF_TARGET_H

#include <stdint.h>

#include "cdp.h"
#include "err.h"
#include "ws.h"

#define TARGET_PATH_MAX 128
#define TARGET_NODE_MAX 32

/* The inspector's session address. */
struct target {
	struct ws_address address;
	char path[TARGET_PATH_MAX];	/* "/UUID" */
};

/*
 * Find the inspector of [app NAME] inspector: resolve the name, take the first
 * of its addresses where somebody listens, and, unless the configuration gives
 * the whole ws:// address, ask GET /json/list there for the first target that
 * is a Node process.
 *
 * Every message names the address that was tried and what to do.
 *   ERR_TARGET_UNREACHABLE  the name does not resolve, or nothing listens
 *   ERR_TARGET_TIMEOUT      deadline_ms (clock_mono_ms()) has passed
 *   ERR_TARGET_REFUSED      something else than a Node inspector answers, or
 *                           it has no target
 *   ERR_NOMEM
 */
MUST int target_find(struct ws *ws, const char *inspector,
    int64_t deadline_ms, struct target *ret_target, struct err *err);

/*
 * Open a session.  Errors as cdp_open(), with the address and advice;
 * ERR_TARGET_REFUSED too if the app has a newer session address.
 */
MUST int target_attach(struct ws *ws, const struct target *target,
    int64_t deadline_ms, const struct cdp_handler *handler,
    struct cdp **ret_cdp, struct err *err);

/* What the app says of itself; -1 where it did not. */
struct target_facts {
	int64_t pid;			/* as the app sees it */
	char node[TARGET_NODE_MAX];	/* "v20.20.2"; "" */
	int64_t rss_bytes;
	int64_t heap_used_bytes;		/* -1: not told */
};

/*
 * Ask it, in one Runtime.evaluate without side effects.  Answers as soon as
 * the app's main thread runs JavaScript or its event loop turns.
 * Errors as cdp_call(); ERR_TARGET_REFUSED if the answer makes no sense.
 */
MUST int target_ask(struct cdp *cdp, const struct cdp_limit *limit,
    struct target_facts *ret_facts, struct err *err);

#endif
