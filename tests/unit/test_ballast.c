/*
 * The ballast: blocks that are there, are given up, and are not taken where
 * others need them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "test.h"

#include "ballast.h"

#define ROOM_BYTES (4 * BALLAST_BYTES)
#define PROCESSES 4
#define ROUNDS 50

/* What the disk says it has; -1: what it has. */
static int64_t free_bytes = -1;
static int statvfs_errnum;
/* What the next allocations come to, one by one; 0: what they do. */
static int fallocate_errnums[2];

int __wrap_statvfs(const char *path, struct statvfs *fs);
int __real_statvfs(const char *path, struct statvfs *fs);
int __wrap_posix_fallocate(int fd, off_t at, off_t len);
int __real_posix_fallocate(int fd, off_t at, off_t len);

int
__wrap_statvfs(const char *path, struct statvfs *fs)
{
	int rc = __real_statvfs(path, fs);

	if (statvfs_errnum != 0) {
		errno = statvfs_errnum;
		return -1;
	}
	if (rc == 0 && free_bytes >= 0) {
		fs->f_frsize = 512;
		fs->f_bavail = (fsblkcnt_t)free_bytes / 512;
	}
	return rc;
}

int
__wrap_posix_fallocate(int fd, off_t at, off_t len)
{
	int errnum = fallocate_errnums[0];

	fallocate_errnums[0] = fallocate_errnums[1];
	fallocate_errnums[1] = 0;
	return errnum != 0 ? errnum : __real_posix_fallocate(fd, at, len);
}

struct fixture {
	char dir[256];
	char path[300];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/ballast", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	free_bytes = -1;
	statvfs_errnum = 0;
	fallocate_errnums[0] = fallocate_errnums[1] = 0;
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static bool
is_there(const struct fixture *f)
{
	struct stat st;

	return lstat(f->path, &st) == 0;
}

/* It is a file whose bytes are blocks. */
static struct stat
expect_whole(const struct fixture *f)
{
	struct stat st;

	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, BALLAST_BYTES);
	assert_true(st.st_blocks * 512 >= BALLAST_BYTES);
	return st;
}

static void
it_is_made_once_and_given_up_once(void **state)
{
	struct fixture *f = *state;
	struct stat first, second;
	struct err err;

	assert_false(ballast_drop(f->dir));
	assert_ok(ballast_make(f->dir, &err), err);
	first = expect_whole(f);
	assert_ok(ballast_make(f->dir, &err), err);
	second = expect_whole(f);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal(first.st_ctim.tv_nsec, second.st_ctim.tv_nsec);
	assert_true(ballast_drop(f->dir));
	assert_false(is_there(f));
	assert_false(ballast_drop(f->dir));
	assert_ok(ballast_make(f->dir, &err), err);
	(void)expect_whole(f);
}

static void
it_is_not_made_without_room(void **state)
{
	struct fixture *f = *state;
	struct err err;

	free_bytes = 0;
	assert_ok(ballast_make(f->dir, &err), err);
	assert_false(is_there(f));
	free_bytes = ROOM_BYTES - 512;
	assert_ok(ballast_make(f->dir, &err), err);
	assert_false(is_there(f));
	free_bytes = ROOM_BYTES;
	assert_ok(ballast_make(f->dir, &err), err);
	(void)expect_whole(f);
	/* One that is there stays for when it is needed. */
	free_bytes = 0;
	assert_ok(ballast_make(f->dir, &err), err);
	(void)expect_whole(f);
}

static void
full_disk_is_no_error_and_others_are(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fallocate_errnums[0] = ENOSPC;
	assert_ok(ballast_make(f->dir, &err), err);
	assert_false(is_there(f));
	fallocate_errnums[0] = EDQUOT;
	assert_ok(ballast_make(f->dir, &err), err);
	assert_false(is_there(f));
	fallocate_errnums[0] = EIO;
	assert_err(ballast_make(f->dir, &err), err, ERR_STORE, f->path);
	assert_non_null(strstr(err.msg, "Input/output error"));
	assert_false(is_there(f));
	fallocate_errnums[0] = fallocate_errnums[1] = EINTR;
	assert_ok(ballast_make(f->dir, &err), err);
	(void)expect_whole(f);
}

static void
what_only_looks_like_it_is_replaced(void **state)
{
	static const off_t sizes[] = {
		0, 1, BALLAST_BYTES - 1, BALLAST_BYTES, 2 * BALLAST_BYTES,
	};
	struct fixture *f = *state;
	struct err err;
	size_t i;
	int fd;

	/* Of each size, and none has a block of its own. */
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		(void)unlink(f->path);
		fd = creat(f->path, 0644);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, sizes[i]), 0);
		assert_int_equal(close(fd), 0);
		assert_ok(ballast_make(f->dir, &err), err);
		(void)expect_whole(f);
	}
}

static void
link_in_its_place_is_not_followed(void **state)
{
	struct fixture *f = *state;
	char victim[300];
	struct stat st;
	struct err err;
	int fd;

	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	fd = creat(victim, 0640);
	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, BALLAST_BYTES), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(symlink(victim, f->path), 0);
	assert_ok(ballast_make(f->dir, &err), err);
	(void)expect_whole(f);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(symlink(victim, f->path), 0);
	(void)ballast_drop(f->dir);
	assert_false(is_there(f));
	assert_int_equal(lstat(victim, &st), 0);
	assert_int_equal(st.st_size, BALLAST_BYTES);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void
unusable_directory_is_told(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX + 10];
	struct err err;

	statvfs_errnum = EIO;
	assert_err(ballast_make(f->dir, &err), err, ERR_STORE, f->dir);
	statvfs_errnum = 0;
	(void)snprintf(path, sizeof(path), "%s/none", f->dir);
	assert_err(ballast_make(path, &err), err, ERR_STORE, path);
	assert_false(ballast_drop(path));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_err(ballast_make(path, &err), err, ERR_STORE, "path too long");
	assert_false(ballast_drop(path));
}

static int
make_and_drop(const char *dir)
{
	struct err err;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		if (ballast_make(dir, &err) != 0) {
			(void)fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
		(void)ballast_drop(dir);
	}
	return 0;
}

static void
many_may_make_it_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t pids[PROCESSES];
	int i, status;

	for (i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(make_and_drop(f->dir));
		assert_true(pids[i] > 0);
	}
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_made_once_and_given_up_once),
		TEST(it_is_not_made_without_room),
		TEST(full_disk_is_no_error_and_others_are),
		TEST(what_only_looks_like_it_is_replaced),
		TEST(link_in_its_place_is_not_followed),
		TEST(unusable_directory_is_told),
		TEST(many_may_make_it_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
