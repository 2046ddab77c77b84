/*
 * The child, from its first instruction until JavaScript goes on in it: made
 * harmless to the app, and fit to live without the app's threads.
 */
#ifndef PODPROF_ADDON_CHILD_H
#define PODPROF_ADDON_CHILD_H

#include "table.h"

struct child_order {
	int parent;		/* its pid */
	int status_fd;
	int null_fd;		/* of /dev/null, for reading and writing */
	uint64_t memory_bytes;
	int64_t timeout_ms;
	const struct table *places;	/* alone_find() */
};

/*
 * Called with all signals blocked.  Returns if all is done; else the child
 * says why, and exits.
 *
 *	parent		its death is ours (SIGKILL), also if it was before this
 *	signals		as by default
 *	descriptors	each but status becomes one of /dev/null: not closed, as
 *			libuv aborts when it cannot write to its own; 0, 1 and
 *			2 too, so that V8's last words go nowhere
 *	oom_score_adj	1000: if memory is short, the kernel takes the child
 *	RLIMIT_CORE	1 byte: no core file, and nothing for a core_pattern's
 *			program; and not dumpable
 *	scheduling	5 nicer, SCHED_BATCH: the app goes first, yet the child
 *			gets on with its work on a machine that is busy
 *	imports		alone.h
 *	memory, time	status.h
 *	CPU quota	pace.h
 */
void child_start(const struct child_order *order);

#endif
