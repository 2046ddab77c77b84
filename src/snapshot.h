/*
 * The text of a heap snapshot, as V8 writes it, looked at while it passes:
 * one pass, bounded memory, as fast as the bytes come.
 *
 *	{"snapshot":{"meta":{…},"node_count":N,"edge_count":M,…},
 *	"nodes":[…],"edges":[…],"trace_function_infos":[…],"trace_tree":[…],
 *	"samples":[…],"locations":[…],"strings":[…]}
 *
 * It is whole if it is one JSON object with these members, "snapshot" first,
 * "nodes", "edges" and "strings" among them, brackets and strings closed, ASCII
 * without control bytes but line breaks; with N times as many numbers in
 * "nodes", and M times as many in "edges", as meta names fields; and with
 * nothing after it but white space.  Other members may come and go with V8's
 * versions.
 */
#ifndef PODPROF_SNAPSHOT_H
#define PODPROF_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct snapshot_scan;

/* ERR_NOMEM. */
MUST int snapshot_scan_new(struct snapshot_scan **ret_scan, struct err *err);

/* The next bytes.  ERR_TARGET_REFUSED as soon as they cannot be part of a
 * snapshot; says where and what. */
MUST int snapshot_scan_feed(struct snapshot_scan *scan, const void *data,
    size_t len, struct err *err);

/* There are no more.  ERR_TARGET_REFUSED: it is not whole, and what is
 * missing. */
MUST int snapshot_scan_end(struct snapshot_scan *scan, struct err *err);

/* What the head says, or -1 while it is not known. */
int64_t snapshot_scan_nodes(const struct snapshot_scan *scan);

/* NULL is allowed. */
void snapshot_scan_free(struct snapshot_scan **scan);

#endif
