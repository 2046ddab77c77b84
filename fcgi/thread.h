/*
 * Threads with a stack that fits what runs here.
 */
#ifndef PODPROF_THREAD_H
#define PODPROF_THREAD_H

#include <pthread.h>

#include "err.h"

/*
 * Start one.  ret_thread NULL: it is detached.  ERR_LIMIT: the system gives
 * none.
 */
MUST int thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread,
    struct err *err);

#endif
