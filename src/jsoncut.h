/*
 * Cuts one long value out of a JSON message while the message streams by, so
 * that memory never grows with it: the value goes to a sink piece by piece,
 * and what is left, a small document with an empty place, is kept for
 * json_parse().
 *
 *	{"method":"HeapProfiler.addHeapSnapshotChunk","params":{"chunk":"……"}}
 *	                                                                 ^^ sink
 *	rest: {"method":"HeapProfiler.addHeapSnapshotChunk","params":{"chunk":""}}
 *
 *	{"id":7,"result":{"profile":{……}}}     rest: {"id":7,"result":{"profile":null}}
 *	                            ^^^^ sink
 *
 * Pieces may end anywhere, also inside an escape.  A value is cut only if
 * what identifies its message ("method" or "id") came before it, as V8 always
 * writes it; else it stays in the rest, whose bound then ends the matter.
 */
#ifndef PODPROF_JSONCUT_H
#define PODPROF_JSONCUT_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum jsoncut_form {
	/* A string; the sink gets its text: escapes resolved, a surrogate pair
	 * as one character of 4 bytes, a lone surrogate as U+FFFD. */
	JSONCUT_TEXT,
	/* An object or array; the sink gets its bytes as they are. */
	JSONCUT_RAW,
};

/* Which value of which message. */
struct jsoncut_rule {
	const char *method;	/* the message's "method"; NULL: go by id */
	int64_t id;		/* the message's "id" */
	const char *outer;	/* key of an object at the top: "params" */
	const char *inner;	/* key inside that: "chunk" */
	enum jsoncut_form form;
};

/* Takes len > 0 bytes; -1 with *err stops the message. */
typedef int jsoncut_sink_fn(void *ctx, const void *data, size_t len,
    struct err *err);

/* Levels of objects and arrays in one message. */
#define JSONCUT_DEPTH_MAX 4096

struct jsoncut;

/*
 * rest_max  bytes that may be left of one message.
 * ERR_NOMEM.
 */
MUST int jsoncut_new(size_t rest_max, struct jsoncut **ret_cut,
    struct err *err);
void jsoncut_free(struct jsoncut **cut);

/*
 * A message begins.  rule, sink and ctx are borrowed until it ends; rule NULL
 * cuts nothing.
 */
void jsoncut_begin(struct jsoncut *cut, const struct jsoncut_rule *rule,
    jsoncut_sink_fn *sink, void *ctx);

/*
 * The next bytes of the message.
 *   ERR_TARGET_REFUSED  not JSON, too deep, the rest over its bound, or the
 *                       value there twice
 *   ERR_NOMEM, or what the sink returned
 */
MUST int jsoncut_feed(struct jsoncut *cut, const void *data, size_t len,
    struct err *err);

/*
 * The message has ended.  *ret_rest stays the module's and is valid until the
 * next begin.  ERR_TARGET_REFUSED if the message is not complete.
 */
MUST int jsoncut_end(struct jsoncut *cut, const struct buf **ret_rest,
    struct err *err);

#endif
