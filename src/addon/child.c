/*
 * Makes the child harmless: what it inherited is the app's.
 */
#include "child.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "alone.h"
#include "pace.h"
#include "signals.h"
#include "status.h"
#include "sys.h"

#define NICER 5
/* Where the descriptors cannot be listed, none above this is looked for. */
#define DESCRIPTORS_MAX 1048576

static void
replace(const struct child_order *order, int fd)
{
	if (fd != order->status_fd && fd != order->null_fd)
		(void)sys_dup_onto(order->null_fd, fd, O_CLOEXEC);
}

/* false: they cannot be listed. */
static bool
replace_listed(const struct child_order *order)
{
	char buf[4096] __attribute__((aligned(8)));
	int fd = (int)sys_open("/proc/self/fd",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct sys_dirent *entry;
	const char *name;
	long n = -1, at;
	int number;

	while (fd >= 0 && (n = sys_getdents(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += entry->size) {
			entry = (const struct sys_dirent *)(buf + at);
			name = entry->name;
			number = (int)text_take_number(&name, 10);
			/* "." and ".." have no digit. */
			if (name != entry->name && number != fd)
				replace(order, number);
		}
	}
	if (fd >= 0)
		(void)sys_close(fd);
	return n == 0;
}

static void
replace_descriptors(const struct child_order *order)
{
	struct sys_limit limit = {DESCRIPTORS_MAX, 0};
	int fd;

	if (replace_listed(order))
		return;
	(void)sys_limit(RLIMIT_NOFILE, NULL, &limit);
	if (limit.soft > DESCRIPTORS_MAX)
		limit.soft = DESCRIPTORS_MAX;
	for (fd = 0; fd < (int)limit.soft; fd++)
		if (sys_fcntl(fd, F_GETFD, 0) >= 0)
			replace(order, fd);
}

static void
be_first_to_go(void)
{
	int fd = (int)sys_open("/proc/self/oom_score_adj",
	    O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)sys_write(fd, "1000", 4);
	(void)sys_close(fd);
}

static void
leave_no_core(void)
{
	struct sys_limit limit = {0, 0};

	if (sys_limit(RLIMIT_CORE, NULL, &limit) == 0) {
		limit.hard = limit.hard == 0 ? 0 : 1;
		limit.soft = limit.hard;
		(void)sys_limit(RLIMIT_CORE, &limit, NULL);
	}
	(void)sys_prctl(PR_SET_DUMPABLE, 0);
}

void
child_start(const struct child_order *order)
{
	const struct alone_hooks hooks = {status_stuck, status_refused};
	struct text why;

	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sys_getppid() != order->parent)
		sys_exit(1);
	(void)sys_prctl(PR_SET_NAME, (long)"podprof-fork");
	signals_reset();
	replace_descriptors(order);
	be_first_to_go();
	leave_no_core();
	(void)sys_nicer(NICER);
	(void)sys_scheduler(SCHED_BATCH);
	status_start(order->status_fd, order->memory_bytes, order->timeout_ms);
	if (alone_apply(order->places, &hooks, &why) != 0)
		status_failed(why.data);
	pace_start(order->parent);
}
