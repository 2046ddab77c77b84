/*
 * A child under a CPU quota spends the app's: together they would use it up,
 * and the kernel would stop both for the rest of each period.  So the child
 * measures what the app takes, and sleeps enough that both stay below 90 % of
 * the quota; but it always takes 5 % of the quota for itself.
 */
#ifndef PODPROF_ADDON_PACE_H
#define PODPROF_ADDON_PACE_H

/* In the child: begin, if there is a quota; parent is the app's pid.  Uses
 * SIGPROF and ITIMER_PROF. */
void pace_start(int parent);

#endif
