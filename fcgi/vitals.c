/*
 * Numbers of this process, from /proc/self and the kernel's clocks.
 */
#include "vitals.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "str.h"

#define STAT_MAX 4096

/* The fields of /proc/self/stat that follow the name, which may have blanks
 * and parentheses in it; see proc(5).  Counted from 3. */
#define FIELD_THREADS 20
#define FIELD_VIRTUAL 23
#define FIELD_RESIDENT 24

/* The number in a field; -1 if there is none. */
static int64_t
field_of(const char *stat, int number)
{
	const char *p = strrchr(stat, ')');
	int64_t value;
	int i;

	for (i = 2; p != NULL && i < number; i++) {
		p = strchr(p, ' ');
		if (p != NULL)
			p++;
	}
	if (p == NULL || !str_take_int(p, &value, &p))
		return -1;
	return value;
}

static int64_t
read_cpu_ms(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		return -1;
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t
count_fds(void)
{
	const struct dirent *entry;
	int64_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n - 1;	/* not the one that this took */
}

static int64_t
pages(int64_t n)
{
	return n < 0 ? -1 : n * sysconf(_SC_PAGESIZE);
}

void
vitals_read(struct vitals *ret_vitals)
{
	struct rlimit limit;
	struct buf stat;
	const char *text;

	buf_init(&stat, STAT_MAX);
	text = file_read("/proc/self/stat", &stat, NULL) == 0 ?
	    buf_str(&stat) : "";
	*ret_vitals = (struct vitals){
		.cpu_ms = read_cpu_ms(),
		.resident_bytes = pages(field_of(text, FIELD_RESIDENT)),
		.virtual_bytes = field_of(text, FIELD_VIRTUAL),
		.fds = count_fds(),
		.fds_max = -1,
		.threads = field_of(text, FIELD_THREADS),
	};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur <= INT64_MAX)
		ret_vitals->fds_max = (int64_t)limit.rlim_cur;
	buf_fini(&stat);
}
