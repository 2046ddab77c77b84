/*
 * Threads.  Signals are blocked in the main thread before any is started, and
 * so in all.
 */
#include "thread.h"

#include <stddef.h>

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
