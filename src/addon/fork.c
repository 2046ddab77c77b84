/*
 * Forks the app so that the child has its heap, and tidies up in the parent.
 */
#include "fork.h"

#include <errno.h>
#include <unistd.h>

#include "alone.h"
#include "child.h"
#include "ranges.h"
#include "reaper.h"
#include "signals.h"
#include "sys.h"

/* 0, 1 and 2 are what V8's last words go to. */
#define FIRST_FD 3

/* What one fork needs, and the parent gives back. */
struct attempt {
	struct child_order child;
	struct table places, ranges;
};

static int
open_above(const char *path, int flags)
{
	int fd = (int)sys_open(path, flags | O_CLOEXEC), moved;

	if (fd < 0 || fd >= FIRST_FD)
		return fd;
	moved = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
	(void)sys_close(fd);
	return moved;
}

static int
open_status(const char *path, int *ret_fd, struct text *why)
{
	int fd = open_above(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);

	if (fd < 0) {
		text_set_errno(why, fd == -ENXIO ?
			"nobody reads the status FIFO" :
			"cannot open the status FIFO",
		    -fd);
		return -1;
	}
	if (sys_tell(fd) != -ESPIPE) {
		(void)sys_close(fd);
		text_clear(why);
		text_put(why, "the status FIFO is no FIFO");
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

static int
attempt_init(struct attempt *attempt, const struct fork_order *order,
    struct text *why)
{
	struct child_order *child = &attempt->child;

	child->parent = sys_getpid();
	child->memory_bytes = order->memory_bytes;
	child->timeout_ms = order->timeout_ms;
	child->places = &attempt->places;
	if (sys_gettid() != child->parent) {
		text_clear(why);
		text_put(why, "only the app's main thread can fork");
		return -1;
	}
	if (open_status(order->status_path, &child->status_fd, why) != 0)
		return -1;
	child->null_fd = open_above("/dev/null", O_RDWR);
	if (child->null_fd < 0) {
		text_set_errno(why, "cannot open /dev/null", -child->null_fd);
		return -1;
	}
	return alone_find(&attempt->places, why);
}

static void
attempt_fini(struct attempt *attempt)
{
	table_fini(&attempt->places);
	table_fini(&attempt->ranges);
	if (attempt->child.null_fd >= 0)
		(void)sys_close(attempt->child.null_fd);
	if (attempt->child.status_fd >= 0)
		(void)sys_close(attempt->child.status_fd);
}

/* With all signals blocked: a handler of the app's in the child would speak
 * for the app. */
static int
attempt_fork(struct attempt *attempt, struct text *why)
{
	struct reaper *reaper;
	int pid = -1, probe = 0, errnum;

	if (reaper_start(&reaper, why) != 0)
		return -1;
	if (ranges_find(&attempt->ranges, &probe, why) != 0)
		goto out;
	ranges_allow(&attempt->ranges);
	pid = fork();
	if (pid == 0)
		return 0;
	errnum = errno;
	ranges_restore(&attempt->ranges);
	if (pid < 0)
		text_set_errno(why, "fork", errnum);
out:
	reaper_set(reaper, pid, probe);
	return pid;
}

int
fork_run(const struct fork_order *order, struct text *why)
{
	struct attempt attempt = {.child = {.status_fd = -1, .null_fd = -1}};
	uint64_t mask;
	int pid = -1;

	if (attempt_init(&attempt, order, why) != 0)
		goto out;
	mask = signals_block();
	pid = attempt_fork(&attempt, why);
	if (pid == 0) {
		child_start(&attempt.child);
		return 0;
	}
	signals_restore(mask);
out:
	attempt_fini(&attempt);
	return pid;
}
