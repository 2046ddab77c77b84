/*
 * Files: whole reads, whole writes, replacement in one step.  What a file
 * means is the caller's; errors begin with its path where it is known here.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

#define PIECE 16384
#define LOCK_RETRY_MS 1

static int
open_regular(const char *path, int *ret_fd, struct err *err)
{
	struct stat st;
	int fd;

	/* Not to wait for the other end, should it be a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
	if (fd < 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return err_set(err, ERR_STORE, "%s: not a regular file", path);
	}
	*ret_fd = fd;
	return 0;
}

int
file_read(const char *path, struct buf *out, struct err *err)
{
	size_t before = out->len;
	char piece[PIECE];
	int fd = -1, rc = -1;
	ssize_t n;

	if (open_regular(path, &fd, err) != 0)
		return -1;
	while ((n = read(fd, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			(void)err_set_errno(err, ERR_STORE, errno, "%s", path);
			goto out;
		}
		if (buf_add(out, piece, (size_t)n, err) != 0) {
			(void)err_wrap(err, "%s", path);
			goto out;
		}
	}
	rc = 0;
out:
	(void)close(fd);
	if (rc != 0 && out->data != NULL) {
		out->len = before;
		out->data[before] = '\0';
	}
	return rc;
}

int
file_write(int fd, const void *data, size_t len, struct err *err)
{
	const char *next = data;
	ssize_t n;

	while (len > 0) {
		n = write(fd, next, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, err_code_of_errno(errno),
			    errno, "cannot write");
		next += n;
		len -= (size_t)n;
	}
	return 0;
}

int
file_sync(int fd, struct err *err)
{
	int rc;

	do
		rc = fsync(fd);
	while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot fsync");
	return 0;
}

int
file_sync_dir(const char *path, struct err *err)
{
	int fd, rc, errnum = 0;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", path);
	do
		rc = fsync(fd);
	while (rc != 0 && errno == EINTR);
	/* Some file systems have no fsync for directories, and need none. */
	if (rc != 0 && errno != EINVAL)
		errnum = errno;
	(void)close(fd);
	if (errnum != 0)
		return err_set_errno(err, err_code_of_errno(errnum), errnum,
		    "cannot fsync %s", path);
	return 0;
}

int
file_make_dir(const char *path, mode_t mode, struct err *err)
{
	if (mkdir(path, mode) != 0) {
		if (errno == EEXIST)
			return 0;
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make the directory %s", path);
	}
	/* The umask may have taken bits away. */
	if (chmod(path, mode) != 0)
		return err_set_errno(err, ERR_STORE, errno,
		    "cannot set the mode of %s", path);
	return 0;
}

int
file_lock(const char *path, bool is_exclusive, int64_t wait_ms, int *ret_fd,
    struct err *err)
{
	const struct timespec pause = {0, LOCK_RETRY_MS * 1000000L};
	const int64_t deadline_ms = clock_mono_ms() + wait_ms;
	const int operation = (is_exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot open %s", path);
	while (flock(fd, operation) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK) {
			(void)err_set_errno(err, ERR_STORE, errno,
			    "cannot lock %s", path);
			(void)close(fd);
			return -1;
		}
		if (clock_mono_ms() >= deadline_ms) {
			(void)close(fd);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	*ret_fd = fd;
	return 1;
}

void
file_unlock(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int
file_free_bytes(const char *path, int64_t *ret_bytes, struct err *err)
{
	struct statvfs fs;

	if (statvfs(path, &fs) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", path);
	if (fs.f_frsize != 0 && fs.f_bavail > INT64_MAX / fs.f_frsize)
		*ret_bytes = INT64_MAX;
	else
		*ret_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	return 0;
}

/* The directory part of a path, as a string of its own. */
static char *
dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Owner and group of what is there already, where the caller may give them;
 * who may not gets a file of his own, which is what he could have made. */
static int
take_owner(const char *path, int fd)
{
	struct stat old;

	if (stat(path, &old) != 0)
		return errno == ENOENT ? 0 : -1;
	if (fchown(fd, old.st_uid, old.st_gid) != 0 &&
	    fchown(fd, (uid_t)-1, old.st_gid) != 0 && errno != EPERM)
		return -1;
	return 0;
}

static int
fill_temporary(int fd, const char *path, const void *data, size_t len,
    mode_t mode, struct err *err)
{
	/* chown may take mode bits away, so the mode comes after it. */
	if (take_owner(path, fd) != 0 || fchmod(fd, mode) != 0)
		return err_set_errno(err, ERR_STORE, errno,
		    "cannot set owner and mode");
	if (file_write(fd, data, len, err) != 0)
		return -1;
	return file_sync(fd, err);
}

int
file_replace(const char *path, const void *data, size_t len, mode_t mode,
    struct err *err)
{
	char *temporary = NULL, *dir = NULL;
	bool made = false;
	int fd = -1, rc = -1;

	dir = dir_of(path);
	if (dir == NULL || asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		(void)err_set(err, ERR_NOMEM, "no memory for a path");
		goto out;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		(void)err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make a file in %s", dir);
		goto out;
	}
	made = true;
	if (fill_temporary(fd, path, data, len, mode, err) != 0) {
		(void)err_wrap(err, "%s", path);
		goto out;
	}
	if (rename(temporary, path) != 0) {
		(void)err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot replace %s", path);
		goto out;
	}
	made = false;
	rc = file_sync_dir(dir, err);
out:
	if (made)
		(void)unlink(temporary);
	if (fd >= 0)
		(void)close(fd);
	free(temporary);
	free(dir);
	return rc;
}

int
file_beside_program(const char *name, char *out, size_t size,
    struct err *err)
{
	char self[PATH_MAX];
	char *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot tell where %s is: /proc/self/exe", name);
	self[n] = '\0';
	/* After an upgrade the kernel shows our own name as "… (deleted)"; the
	 * directory before the last '/' is right all the same. */
	slash = strrchr(self, '/');
	if (slash == NULL)
		return err_set(err, ERR_INTERNAL, "cannot tell where %s is: "
		    "/proc/self/exe is \"%s\"", name, self);
	slash[1] = '\0';
	if (strlen(self) + strlen(name) >= size)
		return err_set(err, ERR_INTERNAL, "%s%s: path too long", self,
		    name);
	(void)str_copy(out, size, self);
	(void)str_copy(out + strlen(out), size - strlen(out), name);
	return 0;
}

void
file_own_program(const char *name, char *out, size_t size)
{
	/* All of them are beside this one, or none. */
	if (file_beside_program("podprof-capture", out, size, NULL) != 0 ||
	    access(out, F_OK) != 0 ||
	    file_beside_program(name, out, size, NULL) != 0)
		(void)snprintf(out, size, "%s/%s", PODPROF_LIBEXECDIR, name);
}
