/*
 * What a GET or HEAD of a stored representation gets: all of it, a part of it,
 * or the word that a condition of the request stands against it (RFC 9110, 13
 * and 14).  Pure logic over header fields; nothing is read or sent here.
 */
#ifndef PODPROF_RANGE_H
#define PODPROF_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* The request: its header fields as they came, NULL where there is none. */
struct range_request {
	bool is_get;		/* else HEAD, which knows no ranges */
	bool needs_if_range;	/* no Range without a matching If-Range */
	const char *range;
	const char *if_range;
	const char *if_match;
	const char *if_none_match;
	const char *if_modified_since;
	const char *if_unmodified_since;
};

/* The selected representation, one coding of it. */
struct range_target {
	const char *etag;	/* strong, with its quotes */
	int64_t modified_ms;	/* UTC; compared in whole seconds */
	int64_t size_bytes;	/* 0.. */
	bool has_own_date;	/* no other representation has it: If-Range may
				 * go by it (RFC 9110, 8.8.2.2) */
};

enum range_outcome {
	RANGE_WHOLE,		/* 200 */
	RANGE_PART,		/* 206 */
	RANGE_NOT_MODIFIED,	/* 304 */
	RANGE_FAILED,		/* 412 */
	RANGE_UNSATISFIABLE,	/* 416 */
};

/*
 * Judge a request in the order of RFC 9110, 13.2.2: If-Match, else
 * If-Unmodified-Since; If-None-Match, else If-Modified-Since; then Range,
 * where there is no If-Range or it matches.
 *
 * What is malformed is as good as absent, with two exceptions: a malformed
 * list of entity tags, or a malformed If-Range, matches nothing.  Ignored is
 * also a Range of another unit, one of several ranges (RFC 9110, 14.2, allows
 * it), and a last bytes' range of an empty representation, which no
 * Content-Range could tell.  If-Range with a date matches Last-Modified, to
 * the second, where that is of one representation only.
 *
 * ret_first  where the answer begins, with RANGE_WHOLE (then 0) and RANGE_PART.
 * ret_bytes  how long it is, there: 1.. with RANGE_PART.
 */
enum range_outcome range_judge(const struct range_request *request,
    const struct range_target *target, int64_t *ret_first, int64_t *ret_bytes);

#endif
