/*
 * How much CPU time the cgroups of this process allow.
 */
#ifndef PODPROF_ADDON_QUOTA_H
#define PODPROF_ADDON_QUOTA_H

#include <stdint.h>

/*
 * In millionths of one CPU; 0: as much as there is.  The least of all groups
 * from ours up to the highest that is visible, cgroup v1 (cpu.cfs_quota_us and
 * cpu.cfs_period_us) and v2 (cpu.max); in a container, whose own group is the
 * highest visible one, that one.
 *
 * cgroup     /proc/self/cgroup
 * mountinfo  /proc/self/mountinfo
 */
int64_t quota_read(const char *cgroup, const char *mountinfo);

#endif
