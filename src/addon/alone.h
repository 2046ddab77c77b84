/*
 * What a child of a process with threads must not do: wait for a thread.  It
 * has one only, but condition variables count waiters, and mutexes owners,
 * that are not there any more.
 *
 * Node, V8 and their libraries call the C library through tables of addresses
 * (GOT), one in each loaded object.  In the child, those of the functions below
 * are pointed at ones made for a process with one thread:
 *
 *	pthread_mutex_*, pthread_rwlock_*, pthread_spin_*, pthread_cond_signal,
 *	_broadcast and _destroy, pthread_barrier_destroy
 *				do nothing, and succeed
 *	pthread_cond_timedwait, _clockwait
 *				ETIMEDOUT, after a millisecond
 *	pthread_create		EAGAIN
 *	sem_wait, _timedwait, _clockwait
 *				take what is there, or are stuck
 *	pthread_cond_wait, pthread_join, pthread_barrier_wait
 *				are stuck: the child says so, and exits
 *
 * The C library itself is left alone: its fork() cares for its own locks.
 */
#ifndef PODPROF_ADDON_ALONE_H
#define PODPROF_ADDON_ALONE_H

#include "table.h"

/*
 * Find the places, in the parent: looking for them takes a lock of the dynamic
 * linker.  a: the place; b: what belongs there.
 * 0; -1 with why.
 */
int alone_find(struct table *places, struct text *why);

/* In the child: write them.  stuck is called with a function's name by one
 * that would wait for ever; it does not return.  0; -1 with why. */
int alone_apply(const struct table *places, void (*stuck)(const char *name),
    struct text *why);

#endif
