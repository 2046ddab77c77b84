/*
 * The memory that a child would not get: V8 marks its heap MADV_DONTFORK, and
 * a child without it dies at its first instruction of JavaScript.
 *
 * The kernel tells that flag in /proc/self/smaps only ("dc"), and walks through
 * all memory to write that file: some 40 ms for each gigabyte.  So there is a
 * faster way: a probe, which is a process forked for nothing but to see what it
 * lacks.  /proc/PID/maps costs no such walk.
 */
#ifndef PODPROF_ADDON_RANGES_H
#define PODPROF_ADDON_RANGES_H

#include "table.h"

/*
 * Find every range of private memory of no file that has the flag, adjacent
 * ones as one: a from, b to.  By a probe; where that is not possible, from
 * smaps.
 *
 * ret_probe  a child that is to be waited for (with __WALL), as it has been
 *	      killed; 0: none
 * 0; -1 with why: no /proc, or it cannot be read or understood; more than
 * TABLE_MAX.
 * Memory that another thread maps while this reads may be missed: the child
 * lacks it then.  All signals should be blocked.
 */
int ranges_find(struct table *ranges, int *ret_probe, struct text *why);

/* Each of the two ways alone; -1 leaves what it has found in ranges. */
int ranges_find_by_probe(struct table *ranges, int *ret_probe,
    struct text *why);
int ranges_find_in_smaps(struct table *ranges, struct text *why);

/*
 * Take the flag away, for a fork; ranges_restore() gives it back.
 *
 * What is unmapped by another thread between ranges_find() and the end, and
 * mapped anew at the same address without the flag, has it afterwards: nothing
 * tells the two apart.  Most of that time is fork's, in which nobody can map.
 */
void ranges_allow(const struct table *ranges);
void ranges_restore(const struct table *ranges);

#endif
