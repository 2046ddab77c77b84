/*
 * The sums.  The factors and how far off they were: predict.h.
 */
#include "predict.h"

#include <inttypes.h>
#include <stdio.h>

#define MB(bytes) (((bytes) + (1 << 20) - 1) >> 20)

/* Of the used heap, one node in so many bytes. */
#define HEAP_BYTES_PER_NODE 40
#define LARGE_BYTES_PER_NODE 100
/* Of new objects, so many live. */
#define YOUNG_PERCENT 50
/* While V8 makes a snapshot, and in the file. */
#define PEAK_BYTES_PER_NODE 600
#define FILE_BYTES_PER_NODE 96
/* On a core that is free. */
#define DIRECT_NS_PER_NODE 4000
#define STREAM_NS_PER_NODE 4600
/* The inside of the addon. */
#define FORK_BASE_MS 2
#define FORK_MS_PER_GB 100
/* Of the app's memory, what it and its copy write to meanwhile: that is there
 * twice. */
#define FORK_COPIED_PERCENT 50

/* More have no room in any memory; and no sum overflows. */
#define NODES_MAX ((int64_t)1 << 40)

static int64_t
freeze_of(const struct target_facts *facts, enum conf_method method,
    int64_t nodes)
{
	if (method == METHOD_FORK)
		return facts->rss_bytes < 0 ? -1 : FORK_BASE_MS +
		    (facts->rss_bytes >> 20) * FORK_MS_PER_GB / 1024;
	return nodes * (method == METHOD_DIRECT ? DIRECT_NS_PER_NODE :
	    STREAM_NS_PER_NODE) / 1000000;
}

void
predict_refine(const struct target_facts *facts, enum conf_method method,
    int64_t nodes, struct predict *ret_predict)
{
	struct predict p = { -1, -1, -1, -1 };

	if (nodes > NODES_MAX)
		nodes = NODES_MAX;
	if (nodes >= 0) {
		p.extra_bytes = nodes * PEAK_BYTES_PER_NODE;
		if (method == METHOD_FORK && facts->rss_bytes >= 0)
			p.extra_bytes += facts->rss_bytes / 100 *
			    FORK_COPIED_PERCENT;
		if (facts->rss_bytes >= 0)
			p.peak_bytes = facts->rss_bytes + p.extra_bytes;
		p.file_bytes = nodes * FILE_BYTES_PER_NODE;
		p.freeze_ms = freeze_of(facts, method, nodes);
	}
	*ret_predict = p;
}

/* -1: the app does not say how large its heap is. */
static int64_t
nodes_of(const struct target_facts *facts)
{
	const int64_t large = facts->heap_large_bytes > 0 ?
	    facts->heap_large_bytes : 0;
	const int64_t young = facts->heap_young_bytes > 0 ?
	    facts->heap_young_bytes : 0;
	int64_t small;

	if (facts->heap_used_bytes < 0)
		return -1;
	small = facts->heap_used_bytes - large -
	    young / 100 * (100 - YOUNG_PERCENT);
	return (small > 0 ? small / HEAP_BYTES_PER_NODE : 0) +
	    large / LARGE_BYTES_PER_NODE;
}

void
predict_snapshot(const struct target_facts *facts, enum conf_method method,
    struct predict *ret_predict)
{
	predict_refine(facts, method, nodes_of(facts), ret_predict);
}

int
predict_check(const struct target_facts *facts, const struct predict *predict,
    struct err *err)
{
	char limit[64] = "";

	if (predict->extra_bytes < 0 || facts->available_bytes < 0 ||
	    predict->extra_bytes <= facts->available_bytes)
		return 0;
	if (facts->limit_bytes >= 0)
		(void)snprintf(limit, sizeof(limit),
		    ", below the limit of %" PRId64 " MB",
		    facts->limit_bytes >> 20);
	return err_set(err, ERR_SPACE, "the app might not survive: a heap "
	    "snapshot takes about %" PRId64 " MB more memory, and %" PRId64
	    " MB are available%s; raise the memory limit of the app, or insist "
	    "with ?force=1 or \"force\":true: with method fork only the copy "
	    "of the app ends where memory does (the guard: [limits] "
	    "memory_guard)", MB(predict->extra_bytes),
	    facts->available_bytes >> 20, limit);
}

int64_t
predict_cap(const struct target_facts *facts)
{
	if (facts->available_bytes < 0)
		return 0;
	return facts->available_bytes / 4 * 3 + 1;
}
