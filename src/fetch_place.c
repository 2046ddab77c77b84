/*
 * Where an artifact goes: names, directories, room, and the last step.
 */
#include "fetch_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "str.h"

#define PART ".part"
/* An extension that is kept when a name is cut. */
#define EXTENSION_MAX 24
/* Another process may end its download between our open and our lock. */
#define OPEN_TRIES 10

static bool
is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

void
fetch_safe_name(const char *name, char out[FETCH_NAME_MAX])
{
	const size_t max = FETCH_NAME_MAX - 1 - sizeof(PART);
	const char *slash = strrchr(name, '/'), *dot;
	size_t len, keep = 0, i;

	if (slash != NULL)
		name = slash + 1;
	while (*name == '.' || *name == '-')
		name++;
	len = strlen(name);
	dot = strrchr(name, '.');
	if (len > max && dot != NULL && strlen(dot) <= EXTENSION_MAX)
		keep = strlen(dot);
	if (len > max) {
		memcpy(out, name, max - keep);
		memcpy(out + max - keep, name + len - keep, keep);
		len = max;
	} else {
		memcpy(out, name, len);
	}
	out[len] = '\0';
	for (i = 0; i < len; i++)
		if (!is_safe(out[i]))
			out[i] = '_';
	if (len == 0)
		(void)str_copy(out, FETCH_NAME_MAX, "artifact");
}

static bool
is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The directory that path is in. */
static int
find_dir(const char *path, char out[PATH_MAX], struct err *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (strlen(path) + sizeof(PART) > PATH_MAX)
		return err_set(err, ERR_INVALID, "the file's path is too "
		    "long");
	if (slash == path)
		len = 1;
	memcpy(out, path, len);
	out[len] = '\0';
	if (len == 0)
		(void)str_copy(out, PATH_MAX, ".");
	return 0;
}

static int
check_dir(const char *dir, struct err *err)
{
	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
		return err_set_errno(err, ERR_STORE, errno, "cannot write a "
		    "file in %s (-o FILE names another place)",
		    strcmp(dir, ".") == 0 ? "the current directory" : dir);
	if (!is_directory(dir))
		return err_set(err, ERR_STORE, "%s is no directory", dir);
	return 0;
}

/* May it be replaced, or is nothing there? */
static int
check_file(const char *path, struct err *err)
{
	struct stat st;

	if (path[0] == '\0')
		return err_set(err, ERR_INVALID, "the file's name is empty");
	if (lstat(path, &st) != 0)
		return 0;
	if (S_ISREG(st.st_mode))
		return 0;
	return err_set(err, ERR_INVALID, "%s is there and is no regular file: "
	    "name another one, or \"-\" for standard output", path);
}

int
fetch_check_place(const char *path, struct err *err)
{
	char dir[PATH_MAX];

	if (path != NULL && strcmp(path, "-") == 0)
		return 0;
	if (path == NULL)
		return check_dir(".", err);
	if (is_directory(path))
		return check_dir(path, err);
	if (check_file(path, err) != 0 || find_dir(path, dir, err) != 0)
		return -1;
	return check_dir(dir, err);
}

int
fetch_choose_place(struct fetch *fetch, const char *path, struct err *err)
{
	struct stat st;
	int n;

	if (path != NULL && strcmp(path, "-") == 0) {
		fetch->is_stdout = true;
		fetch->fd = 1;
		(void)str_copy(fetch->path, sizeof(fetch->path), path);
		return 0;
	}
	if (fetch_check_place(path, err) != 0)
		return -1;
	fetch->may_replace = path != NULL && !is_directory(path);
	if (path == NULL)
		n = snprintf(fetch->path, PATH_MAX, "%s", fetch->name);
	else if (fetch->may_replace)
		n = snprintf(fetch->path, PATH_MAX, "%s", path);
	else
		n = snprintf(fetch->path, PATH_MAX, "%s%s%s", path,
		    path[strlen(path) - 1] == '/' ? "" : "/", fetch->name);
	if (n < 0 || n >= PATH_MAX)
		return err_set(err, ERR_INVALID, "the file's path is too "
		    "long");
	if (find_dir(fetch->path, fetch->dir, err) != 0)
		return -1;
	n = snprintf(fetch->part, PATH_MAX, "%s" PART, fetch->path);
	if (n < 0 || n >= PATH_MAX)
		return err_set(err, ERR_INVALID, "the file's path is too "
		    "long");
	if (!fetch->may_replace && lstat(fetch->path, &st) == 0)
		return err_set(err, ERR_CONFLICT, "%s is there already: -o "
		    "FILE names another file, or this one to replace it",
		    fetch->path);
	return 0;
}

/* A file of ours alone, that no other name leads to. */
static int
check_part(const struct fetch *fetch, struct stat *ret_st, struct err *err)
{
	if (fstat(fetch->fd, ret_st) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", fetch->part);
	if (!S_ISREG(ret_st->st_mode) || ret_st->st_uid != geteuid() ||
	    ret_st->st_nlink > 1)
		return err_set(err, ERR_STORE, "%s is there, and is no file "
		    "that a download of yours has left: remove it, or name "
		    "another file by -o", fetch->part);
	return 0;
}

int
fetch_open_part(struct fetch *fetch, struct err *err)
{
	struct stat ours, there;
	int tries;

	for (tries = 0; tries < OPEN_TRIES; tries++) {
		fetch->fd = open(fetch->part, O_RDWR | O_CREAT | O_CLOEXEC |
		    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
		if (fetch->fd < 0)
			return err_set_errno(err, err_code_of_errno(errno),
			    errno, "cannot write %s", fetch->part);
		if (check_part(fetch, &ours, err) != 0)
			return -1;
		/* Some file systems have no locks: then nobody has one. */
		if (flock(fetch->fd, LOCK_EX | LOCK_NB) != 0 &&
		    errno == EWOULDBLOCK)
			return err_set(err, ERR_CONFLICT, "%s is being "
			    "written by another podprof: wait for it, or name "
			    "another file by -o", fetch->part);
		if (lstat(fetch->part, &there) == 0 &&
		    there.st_ino == ours.st_ino &&
		    there.st_dev == ours.st_dev) {
			(void)fchmod(fetch->fd, 0600);
			fetch->is_locked = true;
			return 0;
		}
		(void)close(fetch->fd);
		fetch->fd = -1;
	}
	return err_set(err, ERR_CONFLICT, "%s is replaced again and again by "
	    "others", fetch->part);
}

int
fetch_no_room(const struct fetch *fetch, struct err *err)
{
	int64_t free_bytes, left = fetch->total_bytes - fetch->done_bytes;
	char room[64] = "";

	if (!fetch->is_stdout &&
	    file_free_bytes(fetch->dir, &free_bytes, NULL) == 0)
		(void)snprintf(room, sizeof(room), ", and %.1f MB are free",
		    (double)free_bytes / (1 << 20));
	return err_set(err, ERR_SPACE, "no room for the file in %.200s: %.1f "
	    "MB more are needed%s", fetch->is_stdout ? "standard output" :
	    fetch->dir, (double)left / (1 << 20), room);
}

int
fetch_check_room(const struct fetch *fetch, struct err *err)
{
	int64_t free_bytes;

	if (file_free_bytes(fetch->dir, &free_bytes, err) != 0)
		return -1;
	if (free_bytes < fetch->total_bytes - fetch->done_bytes)
		return fetch_no_room(fetch, err);
	return 0;
}

/* Not over another file, where the name was the service's. */
static int
rename_part(const struct fetch *fetch)
{
	struct stat st;

	if (fetch->may_replace)
		return rename(fetch->part, fetch->path);
	if (renameat2(AT_FDCWD, fetch->part, AT_FDCWD, fetch->path,
	    RENAME_NOREPLACE) == 0)
		return 0;
	/* Some file systems do not know how. */
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (lstat(fetch->path, &st) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(fetch->part, fetch->path);
}

int
fetch_finish(struct fetch *fetch, struct err *err)
{
	if (file_sync(fetch->fd, err) != 0) {
		if (err->code == ERR_SPACE)
			return fetch_no_room(fetch, err);
		return err_wrap(err, "%s", fetch->part);
	}
	if (rename_part(fetch) != 0)
		return err_set_errno(err, errno == EEXIST ? ERR_CONFLICT :
		    err_code_of_errno(errno), errno, "the file is whole, in "
		    "%s, but cannot become %s", fetch->part, fetch->path);
	return file_sync_dir(fetch->dir, err);
}
