/*
 * The lease file.  Whoever shares exchange_dir with us may remove it, or put
 * something in its place: then it says nothing, until it is made anew.
 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "str.h"

#define PREFIX "podprof-freeze-"
#define NAME_SIZE (sizeof(PREFIX) + STR_NAME_MAX)

static const char text[] = "podprof freezes this app for a heap snapshot\n";

struct lease {
	int parent;		/* exchange_dir */
	int fd;
	int64_t renewed_ms;	/* clock_mono_ms() */
	char name[NAME_SIZE];
};

static int
open_dir(const char *dir)
{
	return open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int
make(struct lease *lease, struct err *err)
{
	if (unlinkat(lease->parent, lease->name, 0) == 0 || errno == ENOENT)
		lease->fd = openat(lease->parent, lease->name, O_WRONLY |
		    O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lease->fd < 0 || fchmod(lease->fd, 0644) != 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot make %s in exchange_dir", lease->name);
	return file_write(lease->fd, text, sizeof(text) - 1, err);
}

/* Is what has the name what we made? */
static bool
is_there(const struct lease *lease)
{
	struct stat ours, there;

	return fstat(lease->fd, &ours) == 0 && fstatat(lease->parent,
	    lease->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static void
destroy(struct lease **lease)
{
	if ((*lease)->fd >= 0)
		(void)close((*lease)->fd);
	if ((*lease)->parent >= 0)
		(void)close((*lease)->parent);
	free(*lease);
	*lease = NULL;
}

int
lease_begin(const char *dir, const char *app, struct lease **ret_lease,
    struct err *err)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (lease == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a lease");
	lease->fd = -1;
	(void)snprintf(lease->name, sizeof(lease->name), PREFIX "%s", app);
	lease->parent = open_dir(dir);
	if (lease->parent < 0)
		(void)err_set_errno(err, ERR_STORE, errno, "exchange_dir %s",
		    dir);
	if (lease->parent < 0 || make(lease, err) != 0) {
		destroy(&lease);
		return -1;
	}
	lease->renewed_ms = clock_mono_ms();
	*ret_lease = lease;
	return 0;
}

void
lease_renew(struct lease *lease)
{
	const int64_t now_ms = clock_mono_ms();

	if (lease == NULL || now_ms - lease->renewed_ms < LEASE_RENEW_MS)
		return;
	lease->renewed_ms = now_ms;
	if (lease->fd >= 0 && is_there(lease)) {
		(void)futimens(lease->fd, NULL);
		return;
	}
	if (lease->fd >= 0)
		(void)close(lease->fd);
	lease->fd = -1;
	/* Nobody's capture fails for it; and there is a next time. */
	(void)!make(lease, NULL);
}

void
lease_end(struct lease **lease, int64_t grace_ms)
{
	const int64_t at_ms = clock_utc_ms() - LEASE_MS + grace_ms;
	const struct timespec times[2] = {
		{ .tv_sec = (time_t)(at_ms / 1000),
		    .tv_nsec = (long)(at_ms % 1000 * 1000000) },
		{ .tv_sec = (time_t)(at_ms / 1000),
		    .tv_nsec = (long)(at_ms % 1000 * 1000000) },
	};

	if (*lease == NULL)
		return;
	if (grace_ms > 0 && (*lease)->fd >= 0)
		(void)futimens((*lease)->fd, times);
	else if ((*lease)->fd >= 0 && is_there(*lease))
		(void)unlinkat((*lease)->parent, (*lease)->name, 0);
	destroy(lease);
}

int
lease_sweep(const char *dir, const char *app, struct err *err)
{
	char name[NAME_SIZE];
	struct stat st;
	int parent, ret = 0;

	(void)snprintf(name, sizeof(name), PREFIX "%s", app);
	parent = open_dir(dir);
	if (parent < 0)
		return 0;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    clock_utc_ms() - st.st_mtim.tv_sec * INT64_C(1000) >
	    LEASE_MS + LEASE_RENEW_MS && unlinkat(parent, name, 0) != 0 &&
	    errno != ENOENT)
		ret = err_set_errno(err, ERR_STORE, errno,
		    "cannot remove %s/%s", dir, name);
	(void)close(parent);
	return ret;
}
