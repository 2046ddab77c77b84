/*
 * What a heap snapshot will cost the app, from what the app says of itself; and
 * whether it would survive that.
 *
 * V8 needs some 290 to 470 bytes for each node of the graph while it makes a
 * snapshot: in the app (direct, stream), or in its forked copy, which also
 * needs copies of the pages that either writes to meanwhile.  The number of
 * nodes is not known before; it is told from the used heap, without what lies
 * in the space of large objects, as those are few.
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
	int64_t freeze_ms;
};

/* Before it begins.  method: fork, direct or stream. */
void predict_snapshot(const struct target_facts *facts,
    enum conf_method method, struct predict *ret_predict);

/* Anew, once V8 has told the number of nodes. */
void predict_refine(const struct target_facts *facts, enum conf_method method,
    int64_t nodes, struct predict *ret_predict);

/*
 * The memory guard: would the app survive?
 *   ERR_SPACE  more is needed than is available, with the numbers and what to
 *              do; nothing known is no error
 */
MUST int predict_check(const struct target_facts *facts,
    const struct predict *predict, struct err *err);

/* What a forked copy may take of the memory that is there, in bytes, so that it
 * ends before the app's limit does it; 0 if nothing is known. */
int64_t predict_cap(const struct target_facts *facts);

#endif
