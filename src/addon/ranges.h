/*
 * The memory that a child would not get: V8 marks its heap MADV_DONTFORK, and
 * a child without it dies at its first instruction of JavaScript.
 *
 * The kernel tells the flag ("dc") in /proc/self/smaps only.
 */
#ifndef PODPROF_ADDON_RANGES_H
#define PODPROF_ADDON_RANGES_H

#include "table.h"

/*
 * Add every range that has the flag, adjacent ones as one: a from, b to.
 * Those of a device are left alone: the kernel changes nothing on them.
 * 0; -1 with why: no /proc, or it cannot be read or understood; more than
 * TABLE_MAX.
 * Memory that another thread maps while this reads may be missed: the child
 * lacks it then.
 */
int ranges_read(struct table *ranges, struct text *why);

/*
 * Take the flag away, for a fork; ranges_restore() gives it back.
 *
 * What is unmapped by another thread between the two, and mapped anew at the
 * same address without the flag, has it afterwards: nothing tells the two
 * apart.  Nearly all of that time is fork's, in which nobody can map.
 */
void ranges_allow(const struct table *ranges);
void ranges_restore(const struct table *ranges);

#endif
