/*
 * Forks a process that does nothing, and compares what is mapped in it with
 * what was mapped in this one before: it lacks the ranges that are not copied.
 */
#include "ranges.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include "lines.h"
#include "sys.h"

#define WHAT "ranges of memory that a fork leaves out"

static char buffer[LINES_SIZE];

/*
 * Add to found what the process has mapped.  is_private: anonymous private
 * memory alone, the only kind that V8 keeps from a child.
 *
 *	7f00a0000000-7f00a0021000 rw-p 00000000 00:00 0    [anon:v8]
 */
static int
read_maps(const char *path, bool is_private, struct table *found,
    struct text *why)
{
	struct lines lines;
	const char *line;
	uintptr_t from, to;
	int errnum, result = -1;

	errnum = lines_open(&lines, path, buffer, sizeof(buffer));
	if (errnum != 0) {
		text_set_errno(why, path, errnum);
		return -1;
	}
	while ((line = lines_next(&lines)) != NULL) {
		if (!lines_range(&line, &from, &to)) {
			text_set_errno(why, path, EINVAL);
			goto out;
		}
		if (is_private && !lines_is_anonymous(line))
			continue;
		if (table_add_range(found, from, to, WHAT, why) != 0)
			goto out;
	}
	if (lines.error != 0)
		text_set_errno(why, path, lines.error);
	else if (found->len == 0)
		text_set_errno(why, path, ENODATA);
	else
		result = 0;
out:
	lines_close(&lines);
	return result;
}

/* Add to ranges what is in all but not in copied; both ascend. */
static int
subtract(const struct table *all, const struct table *copied,
    struct table *ranges, struct text *why)
{
	const struct pair *hole = copied->pairs;
	const struct pair *end = hole + copied->len;
	uintptr_t from, to;
	size_t i;

	for (i = 0; i < all->len; i++) {
		from = all->pairs[i].a;
		to = all->pairs[i].b;
		while (hole < end && hole->b <= from)
			hole++;
		for (; hole < end && hole->a < to; hole++) {
			if (hole->a > from &&
			    table_add_range(ranges, from, hole->a, WHAT,
				why) != 0)
				return -1;
			from = hole->b;
			if (from >= to)
				break;
		}
		if (from < to &&
		    table_add_range(ranges, from, to, WHAT, why) != 0)
			return -1;
	}
	return 0;
}

/* Is this /proc one that knows processes by the numbers that we see? */
static bool
has_own_proc(int pid)
{
	char link[24];
	const char *at = link;
	long n = sys_readlink("/proc/self", link, sizeof(link) - 1);

	if (n <= 0)
		return false;
	link[n] = '\0';
	return text_take_number(&at, 10) == (uint64_t)pid && *at == '\0';
}

/* Its end raises no signal: the app shall not see it. */
static int
start_probe(int parent)
{
	int pid = (int)sys_clone();

	if (pid != 0)
		return pid;
	(void)sys_prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (sys_getppid() == parent)
		sys_sleep_ns(1000000000);
	sys_exit(0);
}

int
ranges_find_by_probe(struct table *ranges, int *ret_probe, struct text *why)
{
	struct table all = {0}, copied = {0};
	int parent = sys_getpid(), pid, result = -1;
	struct text path;

	if (!has_own_proc(parent)) {
		text_clear(why);
		text_put(why, "/proc is another namespace's");
		return -1;
	}
	if (read_maps("/proc/self/maps", true, &all, why) != 0)
		goto out;
	pid = start_probe(parent);
	if (pid < 0) {
		text_set_errno(why, "clone", -pid);
		goto out;
	}
	*ret_probe = pid;
	text_clear(&path);
	text_put(&path, "/proc/");
	text_put_number(&path, pid);
	text_put(&path, "/maps");
	result = read_maps(path.data, false, &copied, why);
	(void)sys_kill(pid, SIGKILL);
	if (result == 0)
		result = subtract(&all, &copied, ranges, why);
out:
	table_fini(&all);
	table_fini(&copied);
	return result;
}
