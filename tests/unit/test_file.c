/* Files: bounds, full disks, and a replacement that leaves nothing behind. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "file.h"

/* The next call of that name fails with this errno; write(2) also in pieces
 * of one byte where short_writes is set. */
static int write_errno, fsync_errno, rename_errno, fchown_errno;
static int interrupts, short_writes, fchown_calls;

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (write_errno != 0) {
		errno = write_errno;
		return -1;
	}
	return __real_write(fd, data, short_writes && len > 1 ? 1 : len);
}

int
__wrap_fsync(int fd)
{
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	errno = fsync_errno;
	return fsync_errno != 0 ? -1 : __real_fsync(fd);
}

int
__wrap_rename(const char *from, const char *to)
{
	errno = rename_errno;
	return rename_errno != 0 ? -1 : __real_rename(from, to);
}

int
__wrap_fchown(int fd, uid_t uid, gid_t gid)
{
	fchown_calls++;
	errno = fchown_errno;
	return fchown_errno != 0 ? -1 : __real_fchown(fd, uid, gid);
}

/* What statvfs(3) tells; f_frsize 0: what it does. */
static struct statvfs disk;
static int statvfs_errno;

int __real_statvfs(const char *name, struct statvfs *fs);
int __wrap_statvfs(const char *name, struct statvfs *fs);

int
__wrap_statvfs(const char *name, struct statvfs *fs)
{
	int rc = __real_statvfs(name, fs);

	if (rc == 0 && disk.f_frsize != 0)
		*fs = disk;
	errno = rc != 0 ? errno : statvfs_errno;
	return rc != 0 || statvfs_errno != 0 ? -1 : 0;
}

static char dir[256];
static char path[300];

static int
make_dir(void **state)
{
	(void)state;
	write_errno = fsync_errno = rename_errno = fchown_errno = 0;
	interrupts = short_writes = fchown_calls = 0;
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	write_errno = fsync_errno = rename_errno = statvfs_errno = 0;
	disk.f_frsize = 0;
	test_remove_dir(dir);
	return 0;
}

static int
count_files(void)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	int count = 0;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		count += entry->d_name[0] != '.';
	(void)closedir(d);
	return count;
}

static void
assert_content(const char *want)
{
	struct err err;
	struct buf b;

	buf_init(&b, 1000);
	assert_ok(file_read(path, &b, &err), err);
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
}

static void
read_appends_whole_files(void **state)
{
	struct err err;
	struct buf b;
	size_t i;
	int fd;

	(void)state;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	for (i = 0; i < 50000; i++)
		assert_int_equal(write(fd, i % 7 ? "x" : "\0", 1), 1);
	(void)close(fd);
	buf_init(&b, 50004);
	assert_ok(buf_adds(&b, "old:", &err), err);
	assert_ok(file_read(path, &b, &err), err);
	assert_int_equal(b.len, 50004);
	assert_memory_equal(b.data, "old:\0xxxxxx\0", 12);
	buf_fini(&b);
}

static void
read_refuses_what_is_too_large(void **state)
{
	struct err err;
	struct buf b;

	(void)state;
	assert_ok(file_replace(path, "12345678", 8, 0600, &err), err);
	buf_init(&b, 10);
	assert_ok(buf_adds(&b, "old", &err), err);
	assert_err(file_read(path, &b, &err), err, ERR_TOO_LARGE, path);
	assert_string_equal(buf_str(&b), "old");
	buf_fini(&b);
}

static void
read_tells_what_is_wrong(void **state)
{
	char below[320];
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_err(file_read(path, &b, &err), err, ERR_NOT_FOUND, path);
	assert_err(file_read(dir, &b, &err), err, ERR_STORE,
	    "not a regular file");
	assert_int_equal(mkfifo(path, 0600), 0);
	/* Nobody ever opens the other end. */
	assert_err(file_read(path, &b, &err), err, ERR_STORE,
	    "not a regular file");
	(void)snprintf(below, sizeof(below), "%s/x", path);
	assert_err(file_read(below, &b, &err), err, ERR_STORE,
	    "Not a directory");
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void
write_goes_on_until_all_is_out(void **state)
{
	struct err err;
	int fd;

	(void)state;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	short_writes = 1;
	interrupts = 2;
	assert_ok(file_write(fd, "piece by piece", 14, &err), err);
	interrupts = 2;
	assert_ok(file_sync(fd, &err), err);
	assert_ok(file_write(fd, NULL, 0, &err), err);
	(void)close(fd);
	assert_content("piece by piece");
	assert_err(file_write(-1, "x", 1, &err), err, ERR_STORE,
	    "Bad file descriptor");
}

static void
full_disks_are_told_apart(void **state)
{
	static const int full[] = {ENOSPC, EDQUOT, EFBIG};
	struct err err;
	size_t i;
	int fd;

	(void)state;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	for (i = 0; i < 3; i++) {
		write_errno = full[i];
		assert_err(file_write(fd, "x", 1, &err), err, ERR_SPACE,
		    "cannot write");
		write_errno = 0;
		fsync_errno = full[i];
		assert_err(file_sync(fd, &err), err, ERR_SPACE, "fsync");
		fsync_errno = 0;
	}
	write_errno = EIO;
	assert_err(file_write(fd, "x", 1, &err), err, ERR_STORE,
	    "Input/output error");
	(void)close(fd);
	write_errno = 0;
	fd = open("/dev/full", O_WRONLY);
	assert_true(fd >= 0);
	assert_err(file_write(fd, "x", 1, &err), err, ERR_SPACE, "No space");
	(void)close(fd);
}

static void
directories_are_made_and_synced(void **state)
{
	struct stat st;
	struct err err;
	mode_t old = umask(0777);

	(void)state;
	assert_ok(file_make_dir(path, 0711, &err), err);
	(void)umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	/* One that is there stays as it is. */
	assert_ok(file_make_dir(path, 0700, &err), err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_ok(file_sync_dir(path, &err), err);
	fsync_errno = EINVAL;
	assert_ok(file_sync_dir(path, &err), err);
	fsync_errno = EIO;
	assert_err(file_sync_dir(path, &err), err, ERR_STORE, path);
	fsync_errno = ENOSPC;
	assert_err(file_sync_dir(path, &err), err, ERR_SPACE, path);
	fsync_errno = 0;
	assert_int_equal(rmdir(path), 0);
	assert_err(file_sync_dir(path, &err), err, ERR_STORE, path);
	(void)strcat(path, "/below/nothing");
	assert_err(file_make_dir(path, 0700, &err), err, ERR_STORE, path);
}

static void
replace_sets_the_exact_mode(void **state)
{
	mode_t old = umask(0077);
	struct stat st;
	struct err err;

	(void)state;
	assert_ok(file_replace(path, "one", 3, 0644, &err), err);
	(void)umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_content("one");
	assert_ok(file_replace(path, "", 0, 0640, &err), err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_content("");
	assert_int_equal(count_files(), 1);
}

static void
replace_keeps_the_owner_where_it_may(void **state)
{
	struct err err;

	(void)state;
	assert_ok(file_replace(path, "one", 3, 0640, &err), err);
	assert_int_equal(fchown_calls, 0);
	assert_ok(file_replace(path, "two", 3, 0640, &err), err);
	assert_int_equal(fchown_calls, 1);
	fchown_errno = EPERM;
	assert_ok(file_replace(path, "three", 5, 0640, &err), err);
	assert_content("three");
	fchown_errno = EIO;
	assert_err(file_replace(path, "four", 4, 0640, &err), err, ERR_STORE,
	    path);
	assert_content("three");
	assert_int_equal(count_files(), 1);
}

/* Whatever fails, the old file is there and no other. */
static void
replace_fails_without_a_trace(void **state)
{
	struct err err;
	char none[320];

	(void)state;
	assert_ok(file_replace(path, "old", 3, 0600, &err), err);
	write_errno = ENOSPC;
	assert_err(file_replace(path, "new", 3, 0600, &err), err, ERR_SPACE,
	    path);
	write_errno = 0;
	fsync_errno = EIO;
	assert_err(file_replace(path, "new", 3, 0600, &err), err, ERR_STORE,
	    path);
	fsync_errno = 0;
	rename_errno = EXDEV;
	assert_err(file_replace(path, "new", 3, 0600, &err), err, ERR_STORE,
	    path);
	rename_errno = 0;
	assert_content("old");
	assert_int_equal(count_files(), 1);
	(void)snprintf(none, sizeof(none), "%s/none/file", dir);
	assert_err(file_replace(none, "new", 3, 0600, &err), err, ERR_STORE,
	    "No such file");
}

static void
replace_works_without_a_slash(void **state)
{
	char *before = getcwd(NULL, 0);
	struct err err;

	(void)state;
	assert_int_equal(chdir(dir), 0);
	assert_ok(file_replace("file", "here", 4, 0600, &err), err);
	assert_int_equal(chdir(before), 0);
	free(before);
	assert_content("here");
}

static void
free_bytes_are_what_a_user_may_write(void **state)
{
	struct err err;
	int64_t bytes = -1;

	(void)state;
	assert_ok(file_free_bytes(dir, &bytes, &err), err);
	assert_true(bytes >= 0);
	/* In blocks of f_frsize, without what is root's. */
	disk = (struct statvfs){ .f_bsize = 1 << 20, .f_frsize = 4096,
		.f_blocks = 1000, .f_bfree = 500, .f_bavail = 300 };
	assert_ok(file_free_bytes(dir, &bytes, &err), err);
	assert_int_equal(bytes, 300 * 4096);
	disk.f_bavail = 0;
	assert_ok(file_free_bytes(dir, &bytes, &err), err);
	assert_int_equal(bytes, 0);
	/* Some network file systems know no bounds. */
	disk.f_bavail = (fsblkcnt_t)-1;
	assert_ok(file_free_bytes(dir, &bytes, &err), err);
	assert_true(bytes == INT64_MAX);
	disk.f_bavail = (fsblkcnt_t)(INT64_MAX / 4096);
	assert_ok(file_free_bytes(dir, &bytes, &err), err);
	assert_true(bytes == INT64_MAX / 4096 * 4096);
	bytes = -7;
	statvfs_errno = EIO;
	assert_err(file_free_bytes(dir, &bytes, &err), err, ERR_STORE, dir);
	statvfs_errno = 0;
	assert_err(file_free_bytes(path, &bytes, &err), err, ERR_STORE,
	    "No such file");
	assert_int_equal(bytes, -7);
}

#define WITH_DIR(test) \
	cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

/* Nothing of ours is beside this program: it is where it is installed. */
static void
programs_of_ours_are_installed(void **state)
{
	char program[400];

	(void)state;
	file_own_program("podprof.fcgi", program, sizeof(program));
	assert_string_equal(program, PODPROF_LIBEXECDIR "/podprof.fcgi");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(read_appends_whole_files),
		WITH_DIR(read_refuses_what_is_too_large),
		WITH_DIR(read_tells_what_is_wrong),
		WITH_DIR(write_goes_on_until_all_is_out),
		WITH_DIR(full_disks_are_told_apart),
		WITH_DIR(directories_are_made_and_synced),
		WITH_DIR(free_bytes_are_what_a_user_may_write),
		WITH_DIR(replace_sets_the_exact_mode),
		WITH_DIR(replace_keeps_the_owner_where_it_may),
		WITH_DIR(replace_fails_without_a_trace),
		WITH_DIR(replace_works_without_a_slash),
		cmocka_unit_test(programs_of_ours_are_installed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
