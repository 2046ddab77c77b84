/*
 * The least that libfcgi can do: threads that answer every request with the
 * same word.  What podprof's pool is measured against.
 *
 *	hello THREADS		descriptor 0 is a listening socket
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 64

static void *
serve(void *lock)
{
	FCGX_Request request;
	int status;

	if (FCGX_InitRequest(&request, 0, 0) != 0)
		return NULL;
	for (;;) {
		/* One thread waits in accept(2), as libfcgi's own examples
		 * have it. */
		(void)pthread_mutex_lock(lock);
		status = FCGX_Accept_r(&request);
		(void)pthread_mutex_unlock(lock);
		if (status != 0)
			return NULL;
		(void)FCGX_PutS("Content-Type: application/json\r\n"
		    "Content-Length: 18\r\n\r\n{\"hello\":\"world\"}\n",
		    request.out);
		FCGX_Finish_r(&request);
	}
}

int
main(int argc, char *argv[])
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[THREADS_MAX];
	const int len = argc == 2 ? atoi(argv[1]) : 0;

	if (len < 1 || len > THREADS_MAX) {
		fprintf(stderr, "usage: hello THREADS (1 to %d)\n",
		    THREADS_MAX);
		return 2;
	}
	if (FCGX_Init() != 0) {
		fprintf(stderr, "hello: FCGX_Init failed\n");
		return 1;
	}
	/* libfcgi only notes it, and goes on waiting in accept(2). */
	(void)signal(SIGTERM, SIG_DFL);
	for (int i = 0; i < len; i++)
		if (pthread_create(&threads[i], NULL, serve, &lock) != 0) {
			fprintf(stderr, "hello: pthread_create failed\n");
			return 1;
		}
	for (int i = 0; i < len; i++)
		(void)pthread_join(threads[i], NULL);
	return 1;
}
