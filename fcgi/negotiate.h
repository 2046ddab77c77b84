/*
 * What a client prefers: Accept and Accept-Encoding (RFC 9110, 12.5), and
 * Prefer (RFC 7240).
 * Preferences are wishes: what cannot be understood is left out, never an
 * error.
 */
#ifndef PODPROF_NEGOTIATE_H
#define PODPROF_NEGOTIATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True if the Accept header (NULL: none) names application/json or
 * application/problem+json with a higher q than anything in it that matches
 * text/plain; so curl, browsers and axios, which all send a wildcard of the
 * same q, get text.
 */
bool negotiate_wants_json(const char *accept);

enum coding {
	CODING_IDENTITY,
	CODING_ZSTD,
	CODING_NONE,	/* 406: the client takes neither */
};

/*
 * The coding of an answer, from Accept-Encoding (NULL: none).
 *
 * zstd goes to a client that names it, and that does not name identity with a
 * higher q.  A wildcard alone is no wish for it: identity is then served, and
 * zstd only where identity is forbidden ("identity;q=0", or "*;q=0" where
 * identity is not named) and zstd is not.  An entry with a malformed q is left
 * out; of a coding that is named twice the first counts.
 *
 * has_zstd  there is such a representation.
 */
enum coding negotiate_coding(const char *accept_encoding, bool has_zstd);

#define NEGOTIATE_WAIT_MAX_S 25

struct prefer {
	bool respond_async;
	int64_t wait_s;		/* 0..NEGOTIATE_WAIT_MAX_S; -1: not given */
};

/* Read a Prefer header (NULL: none).  Of a preference that is given twice the
 * first counts (RFC 7240, 2). */
struct prefer negotiate_prefer(const char *prefer);

#endif
