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
 *	syscall			as ever; but a futex is waited for as above
 *	malloc, calloc, realloc, posix_memalign, aligned_alloc, mmap
 *				as ever; but it is told if memory is refused,
 *				as V8 ends in many ways then
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

/* What the functions above call. */
struct alone_hooks {
	/* By one that would wait for ever, with its name; does not return. */
	void (*stuck)(const char *name);
	/* There was no memory. */
	void (*refused)(void);
};

/* In the child: write them.  0; -1 with why. */
int alone_apply(const struct table *places, const struct alone_hooks *hooks,
    struct text *why);

#endif
