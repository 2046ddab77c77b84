/*
 * Of `podprof check`: the machine, or the container: disk, memory, clock.
 */
#include "check_parts.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "artifact.h"
#include "buf.h"
#include "clock.h"
#include "err.h"
#include "file.h"
#include "str.h"

#define MB(bytes) ((long long)((bytes) >> 20))

/* Not in linux/magic.h of every system. */
#define FUSE_MAGIC 0x65735546
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

/* What podprof takes at most: the pool, a download, a capture; see
 * tests/soak. */
#define POOL_BYTES (12LL << 20)
#define DOWNLOAD_BYTES (1LL << 20)
#define CAPTURE_BYTES (16LL << 20)

/* A file may be so much younger than now, by a clock that is not read at the
 * same moment; and a program older by a time zone. */
#define FILE_AHEAD_S 60
#define PROGRAM_AHEAD_S 86400

#define GROUP_FILE_MAX (64 << 10)

/* Which file systems are not for a database or for files that last. */
static void
check_file_system(struct check *check, const char *dir)
{
	struct statfs fs;

	if (statfs(dir, &fs) != 0)
		return;
	switch ((unsigned long)fs.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		check_found(check, CHECK_WARN, "disk", "%s is in memory "
		    "(tmpfs): what is stored there counts as memory of the "
		    "machine or container, and is lost with it", dir);
		break;
	case OVERLAYFS_SUPER_MAGIC:
		check_found(check, CHECK_WARN, "disk", "%s is in the "
		    "container's own layer (overlay), and lost with the "
		    "container: mount a volume there", dir);
		break;
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
		check_found(check, CHECK_FAIL, "disk", "%s is on a network "
		    "file system, where SQLite's locks and shared memory do "
		    "not work: put state_dir on a local disk", dir);
		break;
	case FUSE_MAGIC:
		check_found(check, CHECK_WARN, "disk", "%s is on a FUSE file "
		    "system: only a local disk has the locks and the shared "
		    "memory that SQLite needs", dir);
		break;
	default:
		break;
	}
}

static void
check_room(struct check *check, const char *dir)
{
	const struct conf *conf = check->conf;
	int64_t total, free_bytes;
	struct statvfs fs;

	if (statvfs(dir, &fs) != 0)
		return;
	total = (int64_t)(fs.f_blocks * fs.f_frsize);
	free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	if ((fs.f_flag & ST_RDONLY) != 0)
		check_found(check, CHECK_FAIL, "disk", "%s is mounted "
		    "read-only: mount a volume there that can be written",
		    dir);
	else if (fs.f_files > 0 && fs.f_favail == 0)
		check_found(check, CHECK_FAIL, "disk", "the disk of %s has no "
		    "inode free: remove files", dir);
	else if (total < conf->min_free_bytes)
		check_found(check, CHECK_FAIL, "disk", "the disk of %s has "
		    "%lld MB in all, and [limits] min_free_bytes is %lld MB: "
		    "nothing is ever captured; lower it", dir, MB(total),
		    MB(conf->min_free_bytes));
	else if (free_bytes < conf->min_free_bytes)
		check_found(check, CHECK_FAIL, "disk", "the disk of %s has "
		    "%lld MB free, and [limits] min_free_bytes is %lld MB: "
		    "nothing is captured; make room, or lower it", dir,
		    MB(free_bytes),
		    MB(conf->min_free_bytes));
	else if (conf->store_bytes > total - conf->min_free_bytes)
		check_found(check, CHECK_WARN, "disk", "[limits] store_bytes "
		    "is %lld MB, the disk of %s has %lld MB (%lld free): set "
		    "it below what is podprof's; an emptyDir that passes its "
		    "sizeLimit has the pod evicted", MB(conf->store_bytes),
		    dir, MB(total), MB(free_bytes));
	else
		check_found(check, CHECK_OK, "disk", "%s has %lld MB free", dir,
		    MB(free_bytes));
}

static void
check_disk(struct check *check)
{
	char artifacts[ARTIFACT_PATH_MAX];
	const char *dir = check->conf->state_dir;
	struct stat st, of_artifacts;

	/* Of a missing one check_state() tells. */
	if (stat(dir, &st) != 0)
		return;
	check_file_system(check, dir);
	check_room(check, dir);
	/* Often a volume of its own. */
	(void)snprintf(artifacts, sizeof(artifacts), "%s/artifacts", dir);
	if (stat(artifacts, &of_artifacts) == 0 &&
	    of_artifacts.st_dev != st.st_dev) {
		check_file_system(check, artifacts);
		check_room(check, artifacts);
	}
}

/* The number in a file of a control group; -1: none, or no limit. */
static int64_t
read_limit(const char *path)
{
	struct buf text;
	struct err err;
	const char *rest;
	int64_t bytes = -1;

	buf_init(&text, GROUP_FILE_MAX);
	if (file_read(path, &text, &err) != 0 ||
	    !str_take_int(buf_str(&text), &bytes, &rest) ||
	    bytes > INT64_MAX / 2)
		bytes = -1;
	buf_fini(&text);
	return bytes;
}

/* The smallest limit from the group at path up to the root.  Where the path is
 * another namespace's, only the root is there, and is the container's. */
static int64_t
climb(const char *base, char *path, const char *name)
{
	char file[PATH_MAX];
	int64_t least = -1, limit;
	char *slash;

	for (;;) {
		if ((size_t)snprintf(file, sizeof(file), "%s%s/%s", base, path,
			name) < sizeof(file)) {
			limit = read_limit(file);
			if (limit >= 0 && (least < 0 || limit < least))
				least = limit;
		}
		if (path[0] == '\0')
			return least;
		slash = strrchr(path, '/');
		*(slash != NULL ? slash : path) = '\0';
	}
}

/* A line of /proc/self/cgroup, "0::/PATH" or "4:memory:/PATH". */
static int64_t
limit_of_line(char *line)
{
	char *names = strchr(line, ':'), *path;

	path = names != NULL ? strchr(names + 1, ':') : NULL;
	if (path == NULL)
		return -1;
	*path++ = '\0';
	if (strcmp(names, ":") == 0)
		return climb("/sys/fs/cgroup", path, "memory.max");
	if (strcmp(names, ":memory") == 0)
		return climb("/sys/fs/cgroup/memory", path,
		    "memory.limit_in_bytes");
	return -1;
}

/* The memory limit that this process is under; -1: none to be seen. */
static int64_t
find_limit(void)
{
	char *line, *rest = NULL;
	int64_t least = -1, limit;
	struct buf text;
	struct err err;

	buf_init(&text, GROUP_FILE_MAX);
	if (file_read("/proc/self/cgroup", &text, &err) == 0 &&
	    text.data != NULL) {
		for (line = strtok_r(text.data, "\n", &rest); line != NULL;
		     line = strtok_r(NULL, "\n", &rest)) {
			limit = limit_of_line(line);
			if (limit >= 0 && (least < 0 || limit < least))
				least = limit;
		}
	}
	buf_fini(&text);
	return least;
}

static void
check_memory(struct check *check)
{
	const struct conf *conf = check->conf;
	const int64_t captures = (int64_t)conf->apps_len * (1 + conf->profiles);
	int64_t limit = find_limit(), needs;

	needs = POOL_BYTES + conf->downloads * DOWNLOAD_BYTES +
	    captures * CAPTURE_BYTES;
	if (limit < 0)
		check_found(check, CHECK_OK, "memory", "no limit where this "
		    "command runs; podprof takes %lld MB at most", MB(needs));
	else if (limit < needs)
		check_found(check, CHECK_WARN, "memory", "a limit of %lld MB "
		    "where this command runs, and podprof may take %lld MB: "
		    "the pool, %lld downloads at once, and of each of %zu "
		    "app%s a heap snapshot and %lld profile%s; raise the "
		    "limit, or lower [limits] profiles or downloads",
		    MB(limit), MB(needs), (long long)conf->downloads,
		    conf->apps_len, conf->apps_len == 1 ? "" : "s",
		    (long long)conf->profiles, conf->profiles == 1 ? "" : "s");
	else
		check_found(check, CHECK_OK, "memory", "a limit of %lld MB "
		    "where this command runs; podprof takes %lld MB at most",
		    MB(limit), MB(needs));
}

/* Was it changed after now? */
static bool
is_ahead(const char *path, int64_t now_ms, int64_t tolerance_s,
    char out[CLOCK_RFC3339_MAX])
{
	struct stat st;

	if (stat(path, &st) != 0 ||
	    st.st_mtim.tv_sec <= now_ms / 1000 + tolerance_s)
		return false;
	clock_format_rfc3339(st.st_mtim.tv_sec * 1000, out);
	return true;
}

static void
check_clock(struct check *check)
{
	static const char *const names[] = {"", "/podprof.db",
	    "/podprof.db-wal", "/artifacts"};
	char path[ARTIFACT_PATH_MAX], now[CLOCK_RFC3339_MAX];
	char then[CLOCK_RFC3339_MAX];
	int64_t now_ms = clock_utc_ms();
	size_t i;

	clock_format_rfc3339(now_ms, now);
	if (is_ahead("/proc/self/exe", now_ms, PROGRAM_AHEAD_S, then)) {
		check_found(check, CHECK_FAIL, "clock", "it is %s here, and "
		    "this program was made later, %s: set the clock; leases, "
		    "expiry and links go by it", now, then);
		return;
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s",
		    check->conf->state_dir, names[i]);
		if (!is_ahead(path, now_ms, FILE_AHEAD_S, then))
			continue;
		check_found(check, CHECK_FAIL, "clock", "it is %s here, and "
		    "%s was changed later, %s: the clock was set back, or "
		    "another machine with another clock shares the directory; "
		    "leases, expiry and links go by it", now, path, then);
		return;
	}
	check_found(check, CHECK_OK, "clock", "%s", now);
}

void
check_host(struct check *check)
{
	check_disk(check);
	check_memory(check);
	check_clock(check);
}
