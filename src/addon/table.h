/*
 * A table of pairs of addresses that grows, in memory of its own: the C
 * library's allocator is the app's.
 */
#ifndef PODPROF_ADDON_TABLE_H
#define PODPROF_ADDON_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* No app has so many; 1 MiB. */
#define TABLE_MAX 65536

struct pair {
	uintptr_t a, b;
};

/* All zero: empty. */
struct table {
	struct pair *pairs;
	size_t len, room;
};

/* 0; -1 with why: TABLE_MAX pairs are in it, or there is no memory.  what: of
 * which things they are, for why. */
int table_add(struct table *table, uintptr_t a, uintptr_t b, const char *what,
    struct text *why);

/* The same for a range, from a to b; one that begins where the last one ends
 * makes that longer. */
int table_add_range(struct table *table, uintptr_t a, uintptr_t b,
    const char *what, struct text *why);

/* Give its memory back. */
void table_fini(struct table *table);

#endif
