/*
 * A detached thread for each child, in wait4(2).
 */
#include "reaper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "sys.h"

enum phase {
	PHASE_FREE,	/* nobody uses it; what it tells stays */
	PHASE_BUSY,	/* a thread waits, or is about to */
};

struct reaper {
	int pid;	/* 0: not known yet; -1: no child */
	int probe;	/* 0: none; valid once pid is known */
	int phase;
	int status;	/* as wait4 tells it; STATUS_* */
	/* The pid is the child's until it is waited for: whoever kills says so
	 * first, and whoever waits says so first, and each looks at the
	 * other's word then. */
	int is_ended;	/* it is about to be waited for */
	int is_killing;
};

#define STATUS_RUNNING (-1)
#define STATUS_GONE (-2)

/* Shared by the app's main thread and the reapers: by atomic access only. */
static struct reaper reapers[REAPER_CHILDREN];
static struct reaper *last;

static int
wait_for(int pid)
{
	int status = STATUS_GONE;
	long ret;

	do
		ret = sys_wait(pid, &status, __WALL);
	while (ret == -EINTR);
	return ret < 0 ? STATUS_GONE : status;
}

static void
wait_for_child(struct reaper *reaper, int pid)
{
	/* See that it has ended, and leave it. */
	while (sys_wait_end(pid) == -EINTR)
		;
	__atomic_store_n(&reaper->is_ended, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while (__atomic_load_n(&reaper->is_killing, __ATOMIC_ACQUIRE))
		(void)sys_yield();
	__atomic_store_n(&reaper->status, wait_for(pid), __ATOMIC_RELEASE);
}

static void *
reap(void *context)
{
	struct reaper *reaper = context;
	int pid;

	(void)sys_prctl(PR_SET_NAME, (long)"podprof-reaper");
	while ((pid = __atomic_load_n(&reaper->pid, __ATOMIC_ACQUIRE)) == 0)
		(void)sys_futex_wait(&reaper->pid, 0);
	if (reaper->probe > 0)
		(void)wait_for(reaper->probe);
	if (pid > 0)
		wait_for_child(reaper, pid);
	__atomic_store_n(&reaper->phase, PHASE_FREE, __ATOMIC_RELEASE);
	return NULL;
}

static struct reaper *
find_free(void)
{
	size_t i;

	for (i = 0; i < REAPER_CHILDREN; i++)
		if (&reapers[i] != last &&
		    __atomic_load_n(&reapers[i].phase, __ATOMIC_ACQUIRE) ==
			PHASE_FREE)
			return &reapers[i];
	return NULL;
}

int
reaper_start(struct reaper **ret_reaper, struct text *why)
{
	struct reaper *reaper = find_free();
	pthread_t thread;
	int errnum;

	if (reaper == NULL) {
		text_clear(why);
		text_put(why, "earlier children have not ended yet");
		return -1;
	}
	__atomic_store_n(&reaper->pid, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&reaper->is_ended, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&reaper->status, STATUS_RUNNING, __ATOMIC_RELAXED);
	__atomic_store_n(&reaper->phase, PHASE_BUSY, __ATOMIC_RELEASE);
	errnum = pthread_create(&thread, NULL, reap, reaper);
	if (errnum != 0) {
		__atomic_store_n(&reaper->phase, PHASE_FREE, __ATOMIC_RELEASE);
		text_set_errno(why, "cannot start a thread", errnum);
		return -1;
	}
	(void)pthread_detach(thread);
	*ret_reaper = reaper;
	return 0;
}

void
reaper_set(struct reaper *reaper, int pid, int probe)
{
	if (pid > 0)
		last = reaper;
	reaper->probe = probe;
	__atomic_store_n(&reaper->pid, pid, __ATOMIC_RELEASE);
	(void)sys_futex_wake(&reaper->pid);
}

void
reaper_tell(struct text *state)
{
	int status;

	text_clear(state);
	if (last == NULL)
		return;
	status = __atomic_load_n(&last->status, __ATOMIC_ACQUIRE);
	if (status == STATUS_RUNNING) {
		text_put(state, "running");
	} else if (status == STATUS_GONE) {
		text_put(state, "gone");
	} else if (WIFSIGNALED(status)) {
		text_put(state, "killed ");
		text_put_number(state, WTERMSIG(status));
	} else {
		text_put(state, "exited ");
		text_put_number(state, WEXITSTATUS(status));
	}
}

void
reaper_kill(void)
{
	if (last == NULL)
		return;
	__atomic_store_n(&last->is_killing, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&last->is_ended, __ATOMIC_RELAXED))
		(void)sys_kill(last->pid, SIGKILL);
	__atomic_store_n(&last->is_killing, 0, __ATOMIC_RELEASE);
}
