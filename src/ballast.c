/*
 * The ballast: blocks that are really taken, so that they are really given
 * back.
 */
#include "ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

/* Whoever filled the disk should not find us at it again. */
#define ROOM_BYTES (INT64_C(4) * BALLAST_BYTES)

static int
ballast_path(const char *state_dir, char out[PATH_MAX],
    struct err *err)
{
	if (snprintf(out, PATH_MAX, "%s/ballast", state_dir) <
	    PATH_MAX)
		return 0;
	return err_set(err, ERR_STORE, "path too long: %s", state_dir);
}

static bool
is_whole(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size == BALLAST_BYTES &&
	    st.st_blocks * 512 >= BALLAST_BYTES;
}

/* File systems that cannot allocate are written by glibc. */
static int
fill(const char *path)
{
	int fd, errnum;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	do
		errnum = posix_fallocate(fd, 0, BALLAST_BYTES);
	while (errnum == EINTR);
	(void)close(fd);
	if (errnum != 0)
		(void)unlink(path);
	return errnum;
}

int
ballast_make(const char *state_dir, struct err *err)
{
	char path[PATH_MAX];
	int64_t free_bytes;
	int errnum;

	if (ballast_path(state_dir, path, err) != 0)
		return -1;
	if (is_whole(path))
		return 0;
	if (file_free_bytes(state_dir, &free_bytes, err) != 0)
		return -1;
	if (free_bytes < ROOM_BYTES)
		return 0;
	errnum = fill(path);
	if (errnum == 0 || err_code_of_errno(errnum) == ERR_SPACE ||
	    errnum == EEXIST)
		return 0;
	return err_set_errno(err, ERR_STORE, errnum, "cannot make %s", path);
}

bool
ballast_drop(const char *state_dir)
{
	char path[PATH_MAX];

	return ballast_path(state_dir, path, NULL) == 0 && unlink(path) == 0;
}
