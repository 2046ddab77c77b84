/*
 * Threads with a stack that fits what runs here.
 */
#ifndef PODPROF_THREAD_H
#define PODPROF_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/*
 * Start one.  ret_thread NULL: it is detached.  ERR_LIMIT: the system gives
 * none.
 */
MUST int thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread,
    struct err *err);

/* A condition whose waits go by clock_mono_ms(). */
void thread_cond_init(pthread_cond_t *cond);

/* Wait, with the lock held; false once deadline_ms has passed. */
bool thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
    int64_t deadline_ms);

#endif
