/*
 * The app to capture: where its inspector is, and what it says of itself.
 */
#ifndef PODPROF_TARGET_H
#define PODPROF_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "cdp.h"
#include "err.h"
#include "ws.h"

#define TARGET_PATH_MAX 128
#define TARGET_NODE_MAX 32
#define TARGET_ARCH_MAX 16

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

/* What the app says of itself; -1 or "" where it did not. */
struct target_facts {
	int64_t pid;			/* as the app sees it */
	char node[TARGET_NODE_MAX];	/* "v20.20.2" */
	char arch[TARGET_ARCH_MAX];	/* process.arch: "x64", "arm64" */
	bool is_addons_off;		/* --no-addons, also by NODE_OPTIONS */
	int64_t rss_bytes;
	int64_t rss_peak_bytes;		/* VmHWM, since the process began or
					 * target_ask() reset it; -1 too where
					 * it could not */
	int64_t heap_used_bytes;
	/* Of it, in the spaces of large objects, which are few, and of new
	 * objects, most of which are garbage. */
	int64_t heap_large_bytes;
	int64_t heap_young_bytes;
	/* The smallest limit of the app's control groups, as far up as it can
	 * see (cgroup v1 and v2; of v2 memory.high too, above which an app
	 * hardly runs any more); else what Node takes for it; -1: none. */
	int64_t limit_bytes;
	/* What may still be taken: below that limit, without what is only
	 * cached, and of the machine's memory; the smaller. */
	int64_t available_bytes;
};

/*
 * Ask it, in one Runtime.evaluate (includeCommandLineAPI, for require).
 * Answers as soon as the app's main thread runs JavaScript or its event loop
 * turns.
 *
 * is_reset  begin a new rss_peak_bytes: the app writes 5 to
 *           /proc/self/clear_refs, where it may.
 *
 * Errors as cdp_call(); ERR_TARGET_REFUSED if the answer makes no sense.
 */
MUST int target_ask(struct cdp *cdp, const struct cdp_limit *limit,
    bool is_reset, struct target_facts *ret_facts, struct err *err);

#endif
