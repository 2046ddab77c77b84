/*
 * A byte buffer that grows up to a bound.
 *
 *	data              data+len     data+cap
 *	|  bytes in use   | 0 |  free  |             len <= max
 *
 * data is NULL while nothing was ever added; else data[len] is NUL, so text
 * can be read as a string at any moment.
 */
#ifndef PODPROF_BUF_H
#define PODPROF_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "err.h"

struct buf {
	char *data;
	size_t len;	/* bytes in use, without the NUL */
	size_t cap;	/* bytes allocated */
	size_t max;	/* len never passes this */
};

/* Make an empty buffer for up to max_bytes (> 0).  Allocates nothing. */
void buf_init(struct buf *b, size_t max_bytes);

/* Free what it holds; it is then as after buf_init().  NULL is allowed. */
void buf_fini(struct buf *b);

/* Forget the content, keep the memory. */
void buf_reset(struct buf *b);

/* Forget what follows the first len bytes; len <= b->len. */
void buf_cut(struct buf *b, size_t len);

/*
 * Append bytes, a string, one byte, or formatted text.
 * Returns 0, or -1 with the buffer as it was before and err->code
 *   ERR_TOO_LARGE  len would pass max
 *   ERR_NOMEM      no memory
 */
MUST int buf_add(struct buf *b, const void *data, size_t len, struct err *err);
MUST int buf_adds(struct buf *b, const char *s, struct err *err);
MUST int buf_addc(struct buf *b, char c, struct err *err);
MUST int buf_addf(struct buf *b, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
MUST int buf_addv(struct buf *b, struct err *err, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* The content as a string; "" while empty.  Valid until the next change. */
const char *buf_str(const struct buf *b);

#endif
