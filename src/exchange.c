/*
 * The directory of a job in exchange_dir.  Whoever shares exchange_dir with us
 * may rename what is there and plant what it likes, so a name is only ever a
 * way to a descriptor, and the descriptor is looked at; inside our own
 * directory nobody else can write.
 */
#include "exchange.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "str.h"
#include "uuid.h"

/* podprof-JOB.RANDOM */
#define PREFIX "podprof-"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define JOB_LEN (UUID_MAX - 1)
#define RANDOM_LEN 8	/* bytes, two digits each */
#define NAME_LEN (PREFIX_LEN + JOB_LEN + 1 + 2 * RANDOM_LEN)

#define INNER_MAX 32	/* bytes of a name in it, with the slash */
#define TRIES 16	/* to make it while others sweep */
#define ENTRIES_MAX 1024	/* that are removed from one of ours at a call */
#define SCAN_MAX 65536	/* names in dir that are looked at in a call */
#define PIECE 65536

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct exchange {
	int parent;	/* exchange_dir */
	int fd;		/* ours; holds the lock */
	char name[NAME_LEN + 1];
	char path[EXCHANGE_PATH_MAX - INNER_MAX];
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static int
open_parent(const char *dir, int *ret_fd, struct err *err)
{
	int fd = open(dir, DIR_FLAGS), errnum = errno;
	struct stat st;

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errnum == ENOENT)
		return err_set(err, ERR_STORE, "exchange_dir %s is missing: "
		    "make it, 2770 and with a group that podprof and the app "
		    "share, or set exchange_dir of the app", dir);
	if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
		return err_set(err, ERR_STORE, "exchange_dir %s is a symbolic "
		    "link, and none is followed: set exchange_dir to the "
		    "directory itself", dir);
	return err_set_errno(err, err_code_of_errno(errnum), errnum,
	    "exchange_dir %s", dir);
}

static int
parent_fault(const char *dir, int errnum, struct err *err)
{
	if (errnum == EACCES || errnum == EPERM)
		return err_set_errno(err, ERR_STORE, errnum, "exchange_dir %s "
		    "cannot be written by the user that podprof runs as: make "
		    "it 2770 with a group that podprof and the app share", dir);
	return err_set_errno(err, err_code_of_errno(errnum), errnum,
	    "cannot make a directory in exchange_dir %s", dir);
}

static bool
is_our_name(const char *name)
{
	char job[UUID_MAX];

	if (strlen(name) != NAME_LEN ||
	    strncmp(name, PREFIX, PREFIX_LEN) != 0 ||
	    name[PREFIX_LEN + JOB_LEN] != '.')
		return false;
	memcpy(job, name + PREFIX_LEN, JOB_LEN);
	job[JOB_LEN] = '\0';
	return uuid_is_valid(job) &&
	    str_is_hex(name + NAME_LEN - 2 * RANDOM_LEN, 2 * RANDOM_LEN);
}

/* Only our user can put or remove anything in it. */
static bool
is_our_dir(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && st->st_uid == geteuid() &&
	    (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int
make_name(const char *job_id, char out[NAME_LEN + 1], struct err *err)
{
	char hex[2 * RANDOM_LEN + 1];
	unsigned char bytes[RANDOM_LEN];

	assert(uuid_is_valid(job_id));
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "no random bytes");
	str_hex(bytes, sizeof(bytes), hex);
	(void)snprintf(out, NAME_LEN + 1, PREFIX "%s.%s", job_id, hex);
	return 0;
}

/* By the umask, which is the process's: a chmod would take set-group-ID away
 * where the group is one that we are not in. */
static int
make_dir(int parent, const char *name)
{
	mode_t old = umask(027);
	int rc = mkdirat(parent, name, 0750), errnum = errno;

	(void)umask(old);
	errno = errnum;
	return rc;
}

/*
 * One try.  1 with the lock, 0 if somebody took the directory away before we
 * had it: to a sweep, one that is not locked yet is ownerless.
 */
static int
make_locked(int parent, const char *dir, const char *name, int *ret_fd,
    struct err *err)
{
	struct stat st;
	int fd;

	if (make_dir(parent, name) != 0)
		return errno == EEXIST ? 0 : parent_fault(dir, errno, err);
	fd = openat(parent, name, DIR_FLAGS);
	if (fd < 0)
		return errno == ENOENT ? 0 : parent_fault(dir, errno, err);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			goto again;
		(void)err_set_errno(err, ERR_STORE, errno,
		    "cannot lock a directory in exchange_dir %s", dir);
		goto fail;
	}
	if (fstat(fd, &st) != 0 || st.st_nlink == 0)
		goto again;
	if (!is_our_dir(&st)) {
		(void)err_set(err, ERR_STORE, "%s/%s is not what podprof made: "
		    "somebody who can write to exchange_dir put it there", dir,
		    name);
		goto fail;
	}
	*ret_fd = fd;
	return 1;
again:
	(void)close(fd);
	return 0;
fail:
	(void)close(fd);
	return -1;
}

int
exchange_create(const char *dir, const char *job_id,
    struct exchange **ret_exchange, struct err *err)
{
	struct exchange *exchange = NULL;
	int rc = 0, ret = -1, tries;

	exchange = calloc(1, sizeof(*exchange));
	if (exchange == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a directory in "
		    "exchange_dir");
	exchange->parent = exchange->fd = -1;
	if (open_parent(dir, &exchange->parent, err) != 0)
		goto out;
	if (strlen(dir) + 1 + NAME_LEN >= sizeof(exchange->path)) {
		(void)err_set(err, ERR_STORE,
		    "exchange_dir %.200s...: the path is too long", dir);
		goto out;
	}
	/* What is left there then is told by those who have to remove it. */
	(void)!exchange_sweep(dir, NULL);
	for (tries = 0; rc == 0 && tries < TRIES; tries++) {
		if (make_name(job_id, exchange->name, err) != 0)
			goto out;
		rc = make_locked(exchange->parent, dir, exchange->name,
		    &exchange->fd, err);
	}
	if (rc == 0)
		(void)err_set(err, ERR_STORE, "every directory made in "
		    "exchange_dir %s is removed by somebody else at once", dir);
	if (rc != 1)
		goto out;
	(void)snprintf(exchange->path, sizeof(exchange->path), "%s/%s", dir,
	    exchange->name);
	*ret_exchange = exchange;
	exchange = NULL;
	ret = 0;
out:
	if (exchange != NULL)
		close_fd(&exchange->parent);
	free(exchange);
	return ret;
}

const char *
exchange_path(const struct exchange *exchange)
{
	return exchange->path;
}

void
exchange_path_of(const struct exchange *exchange, const char *name,
    char out[EXCHANGE_PATH_MAX])
{
	assert(strlen(name) + 1 < INNER_MAX);
	(void)snprintf(out, EXCHANGE_PATH_MAX, "%s/%s", exchange->path, name);
}

static int
copy_bytes(int from, int to, struct err *err)
{
	char piece[PIECE];
	ssize_t n;

	while ((n = read(from, piece, sizeof(piece))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, ERR_INTERNAL, errno,
			    "cannot read");
		if (file_write(to, piece, (size_t)n, err) != 0)
			return -1;
	}
	return 0;
}

int
exchange_copy(struct exchange *exchange, const char *source, const char *name,
    struct err *err)
{
	int from = -1, to = -1, ret = -1;
	struct stat st;

	from = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (from < 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno, "%s", source);
		goto out;
	}
	if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode)) {
		(void)err_set(err, ERR_INTERNAL, "%s: not a regular file",
		    source);
		goto out;
	}
	exchange_drop(exchange, name);
	to = openat(exchange->fd, name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0) {
		(void)err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make %s/%s", exchange->path, name);
		goto out;
	}
	if (copy_bytes(from, to, err) != 0 || fchmod(to, 0640) != 0) {
		(void)err_wrap(err, "%s/%s", exchange->path, name);
		exchange_drop(exchange, name);
		goto out;
	}
	ret = 0;
out:
	close_fd(&from);
	close_fd(&to);
	return ret;
}

int
exchange_open_fifo(struct exchange *exchange, const char *name, int *ret_fd,
    struct err *err)
{
	int fd;

	exchange_drop(exchange, name);
	if (mkfifoat(exchange->fd, name, 0600) != 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make the FIFO %s/%s", exchange->path, name);
	fd = openat(exchange->fd, name,
	    O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	/* The group gets in when there is a reader already. */
	if (fd < 0 || fchmod(fd, 0620) != 0) {
		(void)err_set_errno(err, ERR_STORE, errno,
		    "cannot open the FIFO %s/%s", exchange->path, name);
		close_fd(&fd);
		exchange_drop(exchange, name);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

/*
 * Remove one name, whatever it is but a directory with something in it; 0, or
 * an errno.
 *
 * The reader that lets go of those who wait is closed only after the name is
 * gone: a writer that comes in between would wait for ever.
 */
static int
drop(int fd, const char *name)
{
	struct stat st;
	int reader = -1, errnum = 0;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : errno;
	if (S_ISFIFO(st.st_mode))
		reader = openat(fd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW |
		    O_CLOEXEC);
	if (unlinkat(fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0 &&
	    errno != ENOENT)
		errnum = errno;
	close_fd(&reader);
	return errnum;
}

void
exchange_drop(struct exchange *exchange, const char *name)
{
	/* What stays makes the next step fail, which tells. */
	(void)!drop(exchange->fd, name);
}

static bool
is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A stream of a directory whose descriptor goes on to be the caller's. */
static DIR *
list(int fd)
{
	int own = openat(fd, ".", DIR_FLAGS);
	DIR *entries = own < 0 ? NULL : fdopendir(own);

	if (entries == NULL)
		close_fd(&own);
	return entries;
}

static int
empty(int fd, const char *path, struct err *err)
{
	DIR *entries = list(fd);
	struct dirent *entry;
	int left = ENTRIES_MAX, errnum, ret = 0;

	if (entries == NULL)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot read %s", path);
	while ((entry = readdir(entries)) != NULL) {
		if (is_dot(entry->d_name))
			continue;
		if (left-- == 0) {
			ret = err_set(err, ERR_STORE, "%s has more than %d "
			    "files: podprof makes three", path, ENTRIES_MAX);
			break;
		}
		errnum = drop(fd, entry->d_name);
		/* Whatever else is there, the FIFOs let go. */
		if (errnum != 0 && ret == 0)
			ret = err_set_errno(err, ERR_STORE, errnum,
			    "cannot remove %s/%.64s, which podprof did not "
			    "make: remove it by hand", path, entry->d_name);
	}
	(void)closedir(entries);
	return ret;
}

/* Remove the directory behind fd, which should have this name in parent. */
static int
remove_dir(int parent, int fd, const char *path, const char *name,
    struct err *err)
{
	struct stat ours, there;
	int tries;

	/* An app of our own user can make a file in it, with the path that it
	 * was given, until the directory is gone. */
	for (tries = 0; tries < TRIES; tries++) {
		if (empty(fd, path, err) != 0)
			return -1;
		if (fstat(fd, &ours) == 0 && ours.st_nlink == 0)
			return 0;
		if (fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
		    there.st_dev != ours.st_dev || there.st_ino != ours.st_ino)
			return err_set(err, ERR_STORE, "%s was renamed by "
			    "somebody who can write there: it is empty now, "
			    "remove it by hand", path);
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 ||
		    errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return err_set_errno(err, ERR_STORE, errno, "cannot remove %s", path);
}

void
exchange_free(struct exchange **exchange)
{
	struct exchange *old = *exchange;
	struct err err;

	if (old == NULL)
		return;
	*exchange = NULL;
	if (remove_dir(old->parent, old->fd, old->path, old->name, &err) != 0)
		log_warn("exchange", "%s", err.msg);
	close_fd(&old->fd);
	close_fd(&old->parent);
	free(old);
}

/* 1 if it was removed, 0 if it is none of ours or has an owner. */
static int
sweep_one(int parent, const char *dir, const char *name, struct err *err)
{
	char path[EXCHANGE_PATH_MAX];
	struct stat st;
	int fd, ret = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !is_our_dir(&st))
		return 0;
	fd = openat(parent, name, DIR_FLAGS);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			ret = err_set_errno(err, ERR_STORE, errno,
			    "cannot lock %s", path);
	} else if (fstat(fd, &st) == 0 && st.st_nlink != 0 &&
	    is_our_dir(&st)) {
		ret = remove_dir(parent, fd, path, name, err) == 0 ? 1 : -1;
	}
	(void)close(fd);
	return ret;
}

static int
sweep_all(int parent, const char *dir, struct err *err)
{
	DIR *entries = list(parent);
	int removed = 0, scanned = 0, ret = 0, rc;
	struct dirent *entry;
	struct err fault;

	if (entries == NULL)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot read exchange_dir %s", dir);
	while (removed < EXCHANGE_SWEEP_MAX &&
	    (entry = readdir(entries)) != NULL) {
		if (scanned++ == SCAN_MAX) {
			ret = err_set(err, ERR_STORE, "exchange_dir %s has more "
			    "than %d entries: see who fills it", dir, SCAN_MAX);
			break;
		}
		if (!is_our_name(entry->d_name))
			continue;
		rc = sweep_one(parent, dir, entry->d_name, &fault);
		if (rc > 0)
			removed++;
		/* One that stays keeps no other. */
		if (rc < 0 && ret == 0)
			ret = err_set(err, fault.code, "%s", fault.msg);
	}
	(void)closedir(entries);
	return ret;
}

int
exchange_sweep(const char *dir, struct err *err)
{
	struct err fault;
	int parent, ret;

	if (open_parent(dir, &parent, &fault) != 0) {
		struct stat st;

		if (lstat(dir, &st) != 0 && errno == ENOENT)
			return 0;
		return err_set(err, fault.code, "%s", fault.msg);
	}
	ret = sweep_all(parent, dir, err);
	(void)close(parent);
	return ret;
}

int
exchange_check(const char *dir, struct err *err)
{
	struct exchange *exchange = NULL;
	char job_id[UUID_MAX];
	int fd, ret = -1;

	if (uuid_v7(job_id, err) != 0 ||
	    exchange_create(dir, job_id, &exchange, err) != 0)
		goto out;
	/* Some file systems have directories, and no FIFOs. */
	if (exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, err) != 0)
		goto out;
	(void)close(fd);
	ret = 0;
out:
	exchange_free(&exchange);
	return ret;
}
