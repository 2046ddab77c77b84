/*
 * Threads.  Signals are blocked in the main thread before any is started, and
 * so in all.
 */
#include "thread.h"

#include <stddef.h>
#include <time.h>

/* A request needs some 40 KB; SQLite and libcrypto the most of it. */
#define STACK_BYTES (256 << 10)

int
thread_start(void *(*run)(void *), void *arg, pthread_t *ret_thread,
    struct err *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (ret_thread == NULL)
		(void)pthread_attr_setdetachstate(
		    &attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, arg);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0)
		return err_set_errno(err, ERR_LIMIT, rc,
		    "a thread cannot be started");
	if (ret_thread != NULL)
		*ret_thread = thread;
	return 0;
}

void
thread_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

bool
thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock,
    int64_t deadline_ms)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000 * 1000000),
	};

	return pthread_cond_timedwait(cond, lock, &until) == 0;
}
