/*
 * What a heap snapshot will cost the app, from what the app says of itself; and
 * whether it would survive that.
 *
 * V8 makes a snapshot in memory: in the app (direct, stream), or in its forked
 * copy.  The cost goes with the number of nodes of the graph, which nobody
 * knows before; so it is told from the used heap.  A node is counted for each
 * 40 bytes of it, or 100 in the spaces of large objects; half of what is new
 * is taken to be garbage.  A node costs 600 bytes of memory while the snapshot
 * is made, 96 bytes of the file, and 4 us of freeze, 4.6 by stream.
 *
 * Measured were heaps of 28 shapes, 20 to 390 MB, on Node 18, 20, 22 and 24,
 * which differ by less than a fifth; resident memory at its peak:
 *
 *	heap of                      heap bytes  memory    told of what
 *	                             a node      a node    was taken
 *	parsed JSON, mixed objects   37..57      400..610  1.1..1.5 times
 *	linked lists, numbers        27..34      230..370  1.4..1.7
 *	Maps of records, functions   46..66      280..490  2.0..2.7
 *	one array of closures,       44..64      680..1310 0.55..1.2
 *	  promises, short strings
 *	one array or Map of 100,000  30..37     1010..1480 0.45..0.6
 *	  small things and more
 *	strings of 100 characters    120        1110..1300 1.4..1.7
 *	strings of 1000 characters   250..390    480..850  6..8
 *	doubles, big strings         only some 20 MB in all
 *
 * V8 keeps a kilobyte for every index at which some array or table holds an
 * object, and for every different short string: hence the spread.  The app's
 * word does not tell doubles and long strings from objects, so such a heap is
 * overrated; that is what force is for.
 *
 * A forked copy also takes a copy of each page that it or the app writes to
 * meanwhile: of apps of 115 to 230 MB under load 50 to 90 MB, of an idle one
 * half as much.  Half of the app's resident memory is counted; all together
 * came to 1.3 to 1.6 times what was taken.  The fork itself took 3 ms, and
 * 90 ms for each GB of the app, on a busy machine.
 */
#ifndef PODPROF_PREDICT_H
#define PODPROF_PREDICT_H

#include <stdint.h>

#include "conf.h"
#include "err.h"
#include "target.h"

/* Each -1 if the app did not tell enough. */
struct predict {
	int64_t peak_bytes;	/* of the app, with its copy: what it has now
				 * and what comes on top */
	int64_t extra_bytes;	/* what comes on top */
	int64_t file_bytes;	/* the snapshot, as captured */
	int64_t freeze_ms;	/* on a core that is free */
};

/* Before it begins.  method: fork, direct or stream. */
void predict_snapshot(const struct target_facts *facts,
    enum conf_method method, struct predict *ret_predict);

/* Anew, once V8 has told the number of nodes; < 0: as if nothing was known. */
void predict_refine(const struct target_facts *facts, enum conf_method method,
    int64_t nodes, struct predict *ret_predict);

/*
 * The memory guard: would the app survive?
 *   ERR_SPACE  more is needed than is available, with the numbers and what to
 *              do; nothing known is no error
 */
MUST int predict_check(const struct target_facts *facts,
    const struct predict *predict, struct err *err);

/*
 * What a forked copy may take of the memory that is there, in bytes, so that it
 * ends before the app's limit does it: three quarters of what is available,
 * for it takes pages by writing to them as well, which no limit of a process
 * counts.  > 0; 0 if nothing is known.
 */
int64_t predict_cap(const struct target_facts *facts);

#endif
