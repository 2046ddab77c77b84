/*
 * The parent's part: one fork of the app, with its heap in it, and nothing of
 * the app's changed when it is over.
 */
#ifndef PODPROF_ADDON_FORK_H
#define PODPROF_ADDON_FORK_H

#include <stdint.h>

#include "text.h"

struct fork_order {
	const char *status_path;
	uint64_t memory_bytes;
	int64_t timeout_ms;
};

/*
 * Returns the child's pid in the parent, 0 in the child (which then is as
 * child.h says); -1 with why in the parent only: there is no child, and all is
 * as it was.
 *
 *	open status and /dev/null; look for the imports
 *	block signals; start the reaper; find the ranges
 *	allow the ranges - fork - restore the ranges
 *	unblock signals
 */
int fork_run(const struct fork_order *order, struct text *why);

#endif
