/*
 * Pairs of addresses in anonymous pages.
 */
#include "table.h"

#include <sys/mman.h>

#include "sys.h"

#define TABLE_ROOM 4096		/* at first; doubles */

static int
table_grow(struct table *table)
{
	size_t room = table->room == 0 ? TABLE_ROOM : table->room * 2;
	size_t size = room * sizeof(struct pair);
	long at;

	if (table->room == 0)
		at = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS);
	else
		at = sys_mremap(table->pairs,
		    table->room * sizeof(struct pair), size, MREMAP_MAYMOVE);
	if (at < 0 && at > -4096)
		return (int)-at;
	table->pairs = (struct pair *)at;
	table->room = room;
	return 0;
}

int
table_add(struct table *table, uintptr_t a, uintptr_t b, const char *what,
    struct text *why)
{
	int errnum;

	if (table->len == TABLE_MAX) {
		text_clear(why);
		text_put(why, "the process has more than ");
		text_put_number(why, TABLE_MAX);
		text_put(why, " ");
		text_put(why, what);
		return -1;
	}
	if (table->len == table->room) {
		errnum = table_grow(table);
		if (errnum != 0) {
			text_set_errno(why, "no memory for a table", errnum);
			return -1;
		}
	}
	table->pairs[table->len].a = a;
	table->pairs[table->len++].b = b;
	return 0;
}

int
table_add_range(struct table *table, uintptr_t a, uintptr_t b, const char *what,
    struct text *why)
{
	if (table->len == 0 || table->pairs[table->len - 1].b != a)
		return table_add(table, a, b, what, why);
	table->pairs[table->len - 1].b = b;
	return 0;
}

void
table_fini(struct table *table)
{
	if (table->room > 0)
		(void)sys_munmap(table->pairs,
		    table->room * sizeof(struct pair));
	table->pairs = NULL;
	table->len = table->room = 0;
}
