/*
 * A byte buffer that grows up to a bound; see buf.h for its shape.
 */
#include "buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A first allocation below this would only be followed by another. */
#define BUF_FIRST_CAP 64

void
buf_init(struct buf *b, size_t max_bytes)
{
	assert(max_bytes > 0 && max_bytes < SIZE_MAX);
	*b = (struct buf){.max = max_bytes};
}

void
buf_fini(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void
buf_reset(struct buf *b)
{
	buf_cut(b, 0);
}

void
buf_cut(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len = len;
	if (b->data != NULL)
		b->data[len] = '\0';
}

/* Make room for add more bytes and the NUL. */
static int
reserve(struct buf *b, size_t add, struct err *err)
{
	size_t need, cap;
	char *data;

	if (add > b->max - b->len)
		return err_set(err, ERR_TOO_LARGE,
		    "over the bound of %zu bytes", b->max);
	need = b->len + add + 1;
	if (need <= b->cap)
		return 0;
	cap = b->cap < BUF_FIRST_CAP / 2 ? BUF_FIRST_CAP : b->cap * 2;
	if (cap < need)
		cap = need;
	if (cap > b->max + 1)
		cap = b->max + 1;
	data = realloc(b->data, cap);
	if (data == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %zu bytes", cap);
	b->data = data;
	b->cap = cap;
	return 0;
}

int
buf_add(struct buf *b, const void *data, size_t len, struct err *err)
{
	if (reserve(b, len, err) != 0)
		return -1;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int
buf_adds(struct buf *b, const char *s, struct err *err)
{
	return buf_add(b, s, strlen(s), err);
}

int
buf_addc(struct buf *b, char c, struct err *err)
{
	return buf_add(b, &c, 1, err);
}

int
buf_addf(struct buf *b, struct err *err, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_addv(b, err, fmt, ap);
	va_end(ap);
	return rc;
}

int
buf_addv(struct buf *b, struct err *err, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return err_set(err, ERR_TOO_LARGE,
		    "text over the bound of %zu bytes", b->max);
	if (reserve(b, (size_t)n, err) != 0)
		return -1;
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
	return 0;
}

const char *
buf_str(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}
