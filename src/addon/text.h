/*
 * A line of text in a fixed room, made without a C library: what does not fit
 * is cut.  It is also how a failure is told: functions that can fail take a
 * struct text *why, and fill it when they return -1.
 */
#ifndef PODPROF_ADDON_TEXT_H
#define PODPROF_ADDON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX 1024

struct text {
	size_t len;
	char data[TEXT_MAX];	/* ends with a NUL, which len does not count */
};

void text_clear(struct text *text);
void text_put(struct text *text, const char *word);
void text_put_number(struct text *text, int64_t number);

/* Clear it, and say "word: NAME of the errno". */
void text_set_errno(struct text *text, const char *word, long errnum);

/* Does text begin with prefix? */
bool text_begins(const char *text, const char *prefix);

/* Are they the same? */
bool text_is(const char *a, const char *b);

size_t text_len(const char *text);

/* The number at *at, to the base of 10 or 16, and leave *at behind it; 0
 * without a digit. */
uint64_t text_take_number(const char **at, unsigned base);

#endif
