/*
 * Finds the CPU quota: the group's path from /proc/self/cgroup, where it is
 * mounted from /proc/self/mountinfo, the numbers from the group's files.
 */
#include "quota.h"

#include "lines.h"
#include "text.h"

#define PER_MILLION 1000000
#define FIELDS_MAX 64

enum version {
	VERSION_1,
	VERSION_2,
	VERSIONS,
};

/* The child reads one file at a time. */
static char buffer[LINES_SIZE];

/* 0 is no limit. */
static int64_t
least(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* Read a file of a group. */
static const char *
group_file(const struct text *group, const char *name, char *buf, size_t size)
{
	struct text path = *group;

	text_put(&path, "/");
	text_put(&path, name);
	lines_read_small(path.data, buf, size);
	return buf;
}

/* "max 100000", "-1" and nothing at all begin with no number. */
static int64_t
group_quota(const struct text *group, enum version version)
{
	char quota_text[64], period_text[64];
	const char *quota_at, *period_at;
	uint64_t quota, period;

	if (version == VERSION_2) {
		quota_at = group_file(group, "cpu.max", quota_text,
		    sizeof(quota_text));
		quota = text_take_number(&quota_at, 10);
		period_at = *quota_at == ' ' ? quota_at + 1 : quota_at;
	} else {
		quota_at = group_file(group, "cpu.cfs_quota_us", quota_text,
		    sizeof(quota_text));
		quota = text_take_number(&quota_at, 10);
		period_at = group_file(group, "cpu.cfs_period_us",
		    period_text, sizeof(period_text));
	}
	period = text_take_number(&period_at, 10);
	if (period == 0 || quota > INT64_MAX / PER_MILLION)
		return 0;
	return (int64_t)(quota * PER_MILLION / period);
}

/* Is word one of "a,b,c", which ends with end? */
static bool
has_word(const char *list, const char *word, char end)
{
	size_t len = text_len(word);

	for (;;) {
		if (text_begins(list, word) &&
		    (list[len] == ',' || list[len] == end))
			return true;
		while (*list != ',' && *list != end && *list != '\0')
			list++;
		if (*list++ != ',')
			return false;
	}
}

/* "4:cpu,cpuacct:/a/b", "0::/a/b" */
static void
take_group(const char *line, struct text groups[VERSIONS])
{
	enum version version = VERSION_1;
	const char *list;

	while (*line >= '0' && *line <= '9')
		line++;
	if (*line++ != ':')
		return;
	list = line;
	if (*list == ':')
		version = VERSION_2;
	else if (!has_word(list, "cpu", ':'))
		return;
	while (*line != ':' && *line != '\0')
		line++;
	text_clear(&groups[version]);
	if (*line == ':')
		text_put(&groups[version], line + 1);
}

static void
read_groups(const char *cgroup, struct text groups[VERSIONS])
{
	struct lines lines;
	const char *line;

	text_clear(&groups[VERSION_1]);
	text_clear(&groups[VERSION_2]);
	if (lines_open(&lines, cgroup, buffer, sizeof(buffer)) != 0)
		return;
	while ((line = lines_next(&lines)) != NULL)
		take_group(line, groups);
	lines_close(&lines);
}

/* The least of a group below mount and all above it up to mount. */
static int64_t
chain_quota(const char *mount, const char *below, enum version version)
{
	struct text group;
	int64_t quota = 0;
	size_t top;

	text_clear(&group);
	text_put(&group, mount);
	top = group.len;
	text_put(&group, below);
	for (;;) {
		quota = least(quota, group_quota(&group, version));
		if (group.len <= top)
			return quota;
		while (group.len > top && group.data[--group.len] != '/')
			;
		group.data[group.len] = '\0';
	}
}

/* What path has below root; "" if it is elsewhere: a container sees its own
 * group as the mount. */
static const char *
below_root(const char *path, const char *root)
{
	size_t len = text_len(root);

	if (text_is(root, "/"))
		return text_begins(path, "/..") || text_is(path, "/") ? "" :
									path;
	if (text_begins(path, root) &&
	    (path[len] == '/' || path[len] == '\0'))
		return path + len;
	return "";
}

/* Cut a line at its spaces. */
static size_t
split(char *line, const char *words[FIELDS_MAX])
{
	size_t len = 0;

	while (*line != '\0' && len < FIELDS_MAX) {
		words[len++] = line;
		while (*line != ' ' && *line != '\0')
			line++;
		if (*line == ' ')
			*line++ = '\0';
	}
	return len;
}

/*
 *	32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu
 *	           3 4                              i i+1           i+3
 */
static int64_t
mount_quota(char *line, const struct text groups[VERSIONS])
{
	const char *words[FIELDS_MAX];
	size_t len = split(line, words), i;
	enum version version;

	for (i = 5; i < len && !text_is(words[i], "-"); i++)
		;
	if (i + 3 >= len)
		return 0;
	if (text_is(words[i + 1], "cgroup2"))
		version = VERSION_2;
	else if (text_is(words[i + 1], "cgroup") &&
	    has_word(words[i + 3], "cpu", '\0'))
		version = VERSION_1;
	else
		return 0;
	return chain_quota(words[4],
	    below_root(groups[version].data, words[3]), version);
}

int64_t
quota_read(const char *cgroup, const char *mountinfo)
{
	struct text groups[VERSIONS];
	struct lines lines;
	int64_t quota = 0;
	char *line;

	read_groups(cgroup, groups);
	if (lines_open(&lines, mountinfo, buffer, sizeof(buffer)) != 0)
		return 0;
	while ((line = lines_next(&lines)) != NULL)
		quota = least(quota, mount_quota(line, groups));
	lines_close(&lines);
	return quota;
}
