/*
 * Who a process is, and whether it lives, read from /proc.
 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

/* A line of /proc/PID/stat: 52 numbers of at most 20 digits and a name. */
#define STAT_MAX 2048

/* What one read of /proc/PID/stat tells, so of one moment. */
struct stat_line {
	int64_t pid;
	int64_t start_ticks;
	char state;
};

/* 0, or an errno. */
static int
read_small(const char *path, char *out, size_t size)
{
	ssize_t n;
	int fd, errnum;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	do
		n = read(fd, out, size - 1);
	while (n < 0 && errno == EINTR);
	errnum = n < 0 ? errno : 0;
	(void)close(fd);
	if (errnum == 0)
		out[n] = '\0';
	return errnum;
}

/*
 *	1234 (any ) text) S 1 1234 …
 *	^ 1               ^ 3    after the last ')', as the name may have some
 */
static int
parse_stat(const char *text, struct stat_line *ret_line)
{
	const char *at = strrchr(text, ')');
	struct stat_line line;
	int field;

	if (at == NULL || at[1] != ' ' || at[2] == '\0')
		return EPROTO;
	line.pid = strtoll(text, NULL, 10);
	line.state = at[2];
	for (at += 2, field = 3; field < 22; field++) {
		at = strchr(at, ' ');
		if (at == NULL)
			return EPROTO;
		at++;
	}
	line.start_ticks = strtoll(at, NULL, 10);
	*ret_line = line;
	return 0;
}

static int
read_stat(const char *path, struct stat_line *ret_line)
{
	char text[STAT_MAX];
	int errnum = read_small(path, text, sizeof(text));

	return errnum != 0 ? errnum : parse_stat(text, ret_line);
}

/* "pid:[4026531836]" */
static int
read_namespace(char *out, size_t size, struct err *err)
{
	char link[64];
	ssize_t n;
	size_t len;

	n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);
	if (n < 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "/proc/self/ns/pid");
	link[n] = '\0';
	len = strspn(link, "pid:[");
	link[len + strcspn(link + len, "]")] = '\0';
	(void)str_copy(out, size, link + len);
	return 0;
}

int
proc_self(struct proc *ret_proc, struct err *err)
{
	char boot[64], space[32];
	struct proc proc = {0};
	struct stat_line line;
	int errnum;

	errnum = read_small("/proc/sys/kernel/random/boot_id", boot,
	    sizeof(boot));
	if (errnum != 0)
		return err_set_errno(err, ERR_INTERNAL, errnum,
		    "/proc/sys/kernel/random/boot_id");
	boot[strcspn(boot, "\n")] = '\0';
	if (read_namespace(space, sizeof(space), err) != 0)
		return -1;
	errnum = read_stat("/proc/self/stat", &line);
	if (errnum != 0)
		return err_set_errno(err, ERR_INTERNAL, errnum,
		    "/proc/self/stat");
	if (line.pid != getpid())
		return err_set(err, ERR_INTERNAL, "/proc belongs to another "
		    "pid namespace: mount one for this container");
	proc.pid = line.pid;
	proc.start_ticks = line.start_ticks;
	(void)snprintf(proc.host, sizeof(proc.host), "%.48s/%.31s", boot,
	    space);
	*ret_proc = proc;
	return 0;
}

int
proc_of(int64_t pid, struct proc *ret_proc, struct err *err)
{
	struct stat_line line;
	struct proc proc;
	char path[64];

	if (proc_self(&proc, err) != 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	if (pid <= 0 || read_stat(path, &line) != 0)
		return err_set(err, ERR_NOT_FOUND,
		    "no process %" PRId64 " is to be seen", pid);
	proc.pid = pid;
	proc.start_ticks = line.start_ticks;
	*ret_proc = proc;
	return 0;
}

enum proc_life
proc_life(const struct proc *proc)
{
	struct stat_line line;
	struct proc self;
	struct err unused;
	char path[64];
	int errnum;

	if (proc_self(&self, &unused) != 0 ||
	    strcmp(self.host, proc->host) != 0)
		return PROC_UNKNOWN;
	if (proc->pid <= 0 || proc->pid > INT32_MAX)
		return PROC_DEAD;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)proc->pid);
	/* Start time and state come from one read, so that the process cannot
	 * be exchanged for another between two looks. */
	errnum = read_stat(path, &line);
	if (errnum == 0)
		return line.start_ticks == proc->start_ticks &&
		    strchr("ZXx", line.state) == NULL ? PROC_ALIVE : PROC_DEAD;
	/* A /proc with hidepid does not show the processes of other users. */
	if ((errnum == ENOENT || errnum == ESRCH) &&
	    kill((pid_t)proc->pid, 0) != 0 && errno == ESRCH)
		return PROC_DEAD;
	return PROC_UNKNOWN;
}
