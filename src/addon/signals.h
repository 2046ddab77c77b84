/*
 * Signals by system call alone: of the parent around the fork, and of the
 * child, which has none of the app's handlers.
 */
#ifndef PODPROF_ADDON_SIGNALS_H
#define PODPROF_ADDON_SIGNALS_H

#include <stdint.h>

/*
 * Block all signals of this thread but those that C libraries use to talk to
 * each of their threads (32 to 34): setuid(3) waits for every thread's answer.
 * Returns the mask as it was, for signals_restore().
 */
uint64_t signals_block(void);
void signals_restore(uint64_t mask);

/* Every signal does what it does by default, and none is blocked; handlers
 * shall run on a stack of their own.  For the child, which has one thread. */
void signals_reset(void);

/* SIGNALS_ONCE: the second time, the default. */
#define SIGNALS_ONCE 1
void signals_handle(int signo, void (*handler)(int signo), int flags);

#endif
