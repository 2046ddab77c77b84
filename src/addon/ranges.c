/*
 * Turns the flag that keeps memory from a child off and on again.
 */
#include "ranges.h"

#include <errno.h>
#include <sys/mman.h>

#include "sys.h"

/* How often the kernel may say that it is short of memory for a moment. */
#define MADVISE_TRIES 16

int
ranges_find(struct table *ranges, int *ret_probe, struct text *why)
{
	*ret_probe = 0;
	if (ranges_find_by_probe(ranges, ret_probe, why) == 0)
		return 0;
	ranges->len = 0;
	return ranges_find_in_smaps(ranges, why);
}

static void
advise(const struct pair *range, int advice)
{
	int i;

	for (i = 0; i < MADVISE_TRIES; i++)
		if (sys_madvise(range->a, range->b - range->a, advice) !=
		    -EAGAIN)
			break;
}

/* ENOMEM: a part was unmapped meanwhile; the rest of it is done. */
void
ranges_allow(const struct table *ranges)
{
	size_t i;

	for (i = 0; i < ranges->len; i++)
		advise(&ranges->pairs[i], MADV_DOFORK);
}

void
ranges_restore(const struct table *ranges)
{
	size_t i;

	for (i = 0; i < ranges->len; i++)
		advise(&ranges->pairs[i], MADV_DONTFORK);
}
