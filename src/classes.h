/*
 * What a heap snapshot holds, by class: counted while its text passes, once,
 * in memory that does not grow with it.
 *
 * The class of a node of V8's type object or native is its own name; that of a
 * closure is "Function", of code "(compiled code)", of any other "(TYPE)" by
 * the type's name: "(string)", "(array)", "(object shape)".  Equal names are
 * one class.  Every node counts.
 *
 * What is bounded, so that the numbers add up nevertheless:
 *
 *	a name		CLASSES_NAME_MAX bytes; what is longer is cut, and those
 *			that are equal then are one class
 *	classes		CLASSES_MAX; the largest stay, by self size, and all
 *			others are one class, CLASSES_OTHERS.  Of names that
 *			first come up after some 390,000 others none stays
 *	memory		some 40 MiB, for 390,000 names; 2 MiB for 10,000
 */
#ifndef PODPROF_CLASSES_H
#define PODPROF_CLASSES_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define CLASSES_MAX 50000
#define CLASSES_NAME_MAX 256
#define CLASSES_OTHERS "(other classes)"

struct class {
	const char *name;	/* well-formed UTF-8; half a surrogate pair, and
				 * NUL, are U+FFFD in it */
	int64_t count;		/* nodes, > 0 */
	int64_t self_size_bytes;
};

struct classes_total {
	int64_t nodes;
	int64_t edges;
	int64_t self_size_bytes;	/* at most 2^53, or it is refused */
};

struct classes;

/* ERR_NOMEM. */
MUST int classes_new(struct classes **ret_classes, struct err *err);
/* NULL is allowed. */
void classes_free(struct classes **classes);

/*
 * The next bytes of the snapshot.
 *   ERR_TARGET_REFUSED  they cannot be part of one (snapshot.h), or it speaks
 *                       of types, names or sizes that cannot be: what and where
 *   ERR_NOMEM
 */
MUST int classes_feed(struct classes *classes, const void *data, size_t len,
    struct err *err);

/* There are no more.  ERR_TARGET_REFUSED: it is not whole, or lacks a name;
 * ERR_NOMEM. */
MUST int classes_end(struct classes *classes, struct err *err);

/* After classes_end(): the classes by name, in the order of their bytes; valid
 * until classes_free(). */
const struct class *classes_list(const struct classes *classes,
    size_t *ret_len);
struct classes_total classes_total(const struct classes *classes);

#endif
