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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct json;
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
int64_t snapshot_scan_edges(const struct snapshot_scan *scan);

/*
 * Who wants to know what is in it, while it passes: called from within
 * snapshot_scan_feed(), which fails with what any of them fails with.
 */
struct snapshot_reader {
	void *ctx;
	/* {"meta":{…},"node_count":N,…}, before all else. */
	int (*head)(void *ctx, const struct json *head, struct err *err);
	/* Nodes, one after the other, each as many numbers as
	 * meta.node_fields has names. */
	int (*nodes)(void *ctx, const uint64_t *numbers, size_t nodes_len,
	    struct err *err);
	/* The next bytes of a string, escapes and all as they are written;
	 * is_last: it ends with them. */
	int (*text)(void *ctx, const char *text, size_t len, bool is_last,
	    struct err *err);
};

/*
 * Before the first byte; the reader is borrowed.  Then these are refused, too:
 * a number in "nodes" that is not a whole one of 0..2^53, and "strings" that
 * come before "nodes".
 */
void snapshot_scan_read(struct snapshot_scan *scan,
    const struct snapshot_reader *reader);

/* NULL is allowed. */
void snapshot_scan_free(struct snapshot_scan **scan);

#endif
