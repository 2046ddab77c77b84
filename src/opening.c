/*
 * The files below STATE_DIR/inspectors.  A file is never removed: whoever has
 * it open holds the lock that others ask for.
 */
#include "opening.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

#define DIRECTORY "inspectors"
#define OPENED ".opened"
#define TEXT_MAX 1024
/* Held by one who looks whether it is, for a moment. */
#define USE_WAIT_MS 1000

struct opening_lock {
	char lock_path[PATH_MAX];
	char opened_path[PATH_MAX];
	int lock_fd;		/* -1: not locked */
	int opened_fd;		/* -1: not used */
};

static int
path_of(const char *state_dir, const char *name, char out[PATH_MAX],
    struct err *err)
{
	const int n = snprintf(out, PATH_MAX, "%s/" DIRECTORY "%s%s",
	    state_dir, name[0] != '\0' ? "/" : "", name);

	if (n < 0 || n >= PATH_MAX)
		return err_set(err, ERR_STORE, "%s: path too long", state_dir);
	return 0;
}

static int
paths_of(const char *state_dir, const char *app, struct opening_lock *lock,
    struct err *err)
{
	char name[STR_NAME_MAX + 16];

	(void)snprintf(name, sizeof(name), "%.64s.lock", app);
	if (path_of(state_dir, name, lock->lock_path, err) != 0)
		return -1;
	(void)snprintf(name, sizeof(name), "%.64s" OPENED, app);
	return path_of(state_dir, name, lock->opened_path, err);
}

int
opening_lock(const char *state_dir, const char *app, int64_t wait_ms,
    struct opening_lock **ret_lock, struct err *err)
{
	struct opening_lock *lock = malloc(sizeof(*lock));
	char directory[PATH_MAX];
	int ret = -1;

	if (lock == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a lock");
	lock->lock_fd = lock->opened_fd = -1;
	if (paths_of(state_dir, app, lock, err) != 0 ||
	    path_of(state_dir, "", directory, err) != 0 ||
	    file_make_dir(directory, 0700, err) != 0 ||
	    opening_relock(lock, wait_ms, err) != 0)
		goto out;
	*ret_lock = lock;
	lock = NULL;
	ret = 0;
out:
	opening_unlock(&lock);
	return ret;
}

int
opening_relock(struct opening_lock *lock, int64_t wait_ms, struct err *err)
{
	const int rc = file_lock(lock->lock_path, true, wait_ms,
	    &lock->lock_fd, err);

	if (rc == 0)
		return err_set(err, ERR_TARGET_TIMEOUT, "podprof is still "
		    "opening or closing the inspector for another request; "
		    "try again");
	return rc < 0 ? -1 : 0;
}

int
opening_use(struct opening_lock *lock, struct err *err)
{
	const int rc = file_lock(lock->opened_path, false, USE_WAIT_MS,
	    &lock->opened_fd, err);

	if (rc == 0)
		return err_set(err, ERR_STORE, "%s is locked by something "
		    "that is not podprof", lock->opened_path);
	return rc < 0 ? -1 : 0;
}

/* The next word, and what follows it; false if there is none of that size. */
static bool
take_word(const char **at, char *out, size_t size)
{
	const char *begin = *at + strspn(*at, " ");
	const size_t len = strcspn(begin, " \n");

	*at = begin + len;
	if (len == 0 || len >= size)
		return false;
	(void)str_copy(out, len + 1, begin);
	return true;
}

static bool
take_number(const char **at, int64_t *ret_number)
{
	char word[32];
	const char *rest;

	return take_word(at, word, sizeof(word)) &&
	    str_take_int(word, ret_number, &rest) && *rest == '\0';
}

static bool
take_port_number(const char **at, uint16_t *ret_number)
{
	int64_t number;

	if (!take_number(at, &number) || number > UINT16_MAX)
		return false;
	*ret_number = (uint16_t)number;
	return true;
}

/* COUNT NUMBER... */
static bool
take_before(const char **at, struct opening *opening)
{
	int64_t count;
	size_t i;

	if (!take_number(at, &count) || count > PORT_LIST_MAX)
		return false;
	opening->before_len = (size_t)count;
	for (i = 0; i < opening->before_len; i++)
		if (!take_port_number(at, &opening->before[i]))
			return false;
	return true;
}

/* PID START_TICKS HOST SIGNALED_MS IP PORT, and the ports before; what follows
 * that line is of an older one. */
static bool
parse(const char *text, struct opening *ret_opening)
{
	struct opening opening;
	uint16_t number;
	char ip[64];

	memset(&opening, 0, sizeof(opening));
	if (!take_number(&text, &opening.proc.pid) ||
	    !take_number(&text, &opening.proc.start_ticks) ||
	    !take_word(&text, opening.proc.host, sizeof(opening.proc.host)) ||
	    !take_number(&text, &opening.signaled_ms) ||
	    !take_word(&text, ip, sizeof(ip)) ||
	    !take_port_number(&text, &number) ||
	    !port_parse(ip, number, &opening.port) ||
	    !take_before(&text, &opening) || *text != '\n')
		return false;
	*ret_opening = opening;
	return true;
}

/* 1, 0 or -1 as opening_read(). */
static int
read_at(int fd, struct opening *ret_opening, struct err *err)
{
	char text[TEXT_MAX];
	ssize_t n;

	do
		n = pread(fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, ERR_STORE, errno,
		    "which inspector podprof has opened cannot be read");
	text[n] = '\0';
	return parse(text, ret_opening) ? 1 : 0;
}

int
opening_read(const struct opening_lock *lock, struct opening *ret_opening,
    struct err *err)
{
	return read_at(lock->opened_fd, ret_opening, err);
}

static int
format(const struct opening *opening, char out[TEXT_MAX])
{
	char where[PORT_TEXT_MAX], *colon;
	const char *ip = where;
	size_t i;
	int len;

	port_format(&opening->port, where);
	colon = strrchr(where, ':');
	*colon = '\0';
	if (where[0] == '[') {
		ip = where + 1;
		colon[-1] = '\0';
	}
	len = snprintf(out, TEXT_MAX, "%" PRId64 " %" PRId64 " %s %" PRId64
	    " %s %u %zu", opening->proc.pid, opening->proc.start_ticks,
	    opening->proc.host, opening->signaled_ms, ip,
	    (unsigned)opening->port.number, opening->before_len);
	for (i = 0; i < opening->before_len; i++)
		len += snprintf(out + len, TEXT_MAX - (size_t)len, " %u",
		    (unsigned)opening->before[i]);
	return len + snprintf(out + len, TEXT_MAX - (size_t)len, "\n");
}

int
opening_write(struct opening_lock *lock, const struct opening *opening,
    struct err *err)
{
	char text[TEXT_MAX] = "";
	const int len = opening != NULL ? format(opening, text) : 0;

	/* In this order: there is always something to be seen, once there
	 * was. */
	if (lseek(lock->opened_fd, 0, SEEK_SET) != 0)
		return err_set_errno(err, ERR_STORE, errno, "%s",
		    lock->opened_path);
	if (len > 0 &&
	    file_write(lock->opened_fd, text, (size_t)len, err) != 0)
		return err_wrap(err, "%s", lock->opened_path);
	if (ftruncate(lock->opened_fd, len) != 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "%s", lock->opened_path);
	return 0;
}

void
opening_share(struct opening_lock *lock)
{
	file_unlock(&lock->lock_fd);
}

void
opening_leave(struct opening_lock *lock)
{
	file_unlock(&lock->opened_fd);
}

bool
opening_is_last(struct opening_lock *lock)
{
	if (flock(lock->opened_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	opening_leave(lock);
	return false;
}

void
opening_unlock(struct opening_lock **lock)
{
	if (lock == NULL || *lock == NULL)
		return;
	file_unlock(&(*lock)->opened_fd);
	file_unlock(&(*lock)->lock_fd);
	free(*lock);
	*lock = NULL;
}

/* The app of a name APP.opened. */
static bool
app_of(const char *name, char ret_app[STR_NAME_MAX + 1])
{
	const size_t len = strlen(name), end = sizeof(OPENED) - 1;
	char app[STR_NAME_MAX + 1];

	if (len <= end || len - end > STR_NAME_MAX ||
	    strcmp(name + len - end, OPENED) != 0)
		return false;
	(void)str_copy(app, len - end + 1, name);
	if (!str_is_name(app))
		return false;
	(void)str_copy(ret_app, STR_NAME_MAX + 1, app);
	return true;
}

/* What the file tells, without a lock. */
static bool
peek(int dir, const char *name, struct opening *ret_opening)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	bool found;

	if (fd < 0)
		return false;
	found = read_at(fd, ret_opening, NULL) == 1;
	(void)close(fd);
	return found;
}

/* Nobody opens, closes or uses it. */
static bool
is_left(const char *state_dir, const char *app)
{
	struct opening_lock *lock = NULL;
	struct opening opening;
	bool is_left;

	is_left = opening_lock(state_dir, app, 0, &lock, NULL) == 0 &&
	    opening_use(lock, NULL) == 0 && opening_is_last(lock) &&
	    opening_read(lock, &opening, NULL) == 1;
	opening_unlock(&lock);
	return is_left;
}

/* The directory; NULL with *ret_rc 0 if there is none yet. */
static DIR *
open_directory(const char *state_dir, int *ret_rc, struct err *err)
{
	char path[PATH_MAX];
	DIR *dir;

	*ret_rc = path_of(state_dir, "", path, err);
	if (*ret_rc != 0)
		return NULL;
	dir = opendir(path);
	if (dir == NULL && errno != ENOENT)
		*ret_rc = err_set_errno(err, ERR_STORE, errno, "%s", path);
	return dir;
}

int
opening_left(const char *state_dir, size_t *at,
    char ret_app[STR_NAME_MAX + 1], struct err *err)
{
	const struct dirent *entry;
	struct opening opening;
	char app[STR_NAME_MAX + 1];
	size_t i = 0;
	int rc;
	DIR *dir = open_directory(state_dir, &rc, err);

	if (dir == NULL)
		return rc;
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (!app_of(entry->d_name, app) || i++ < *at)
			continue;
		*at = i;
		if (!peek(dirfd(dir), entry->d_name, &opening) ||
		    !is_left(state_dir, app))
			continue;
		(void)str_copy(ret_app, STR_NAME_MAX + 1, app);
		rc = 1;
	}
	(void)closedir(dir);
	return rc;
}

bool
opening_is_known(const struct opening *opening)
{
	return !IN6_IS_ADDR_UNSPECIFIED(&opening->port.ip);
}

/* Loopback is where Node opens one that is told no address. */
static bool
is_of_loopback(const struct port *port)
{
	const struct in6_addr *ip = &port->ip;

	return IN6_IS_ADDR_UNSPECIFIED(ip) || IN6_IS_ADDR_LOOPBACK(ip) ||
	    (IN6_IS_ADDR_V4MAPPED(ip) &&
	    (ip->s6_addr[12] == 127 || ip->s6_addr[12] == 0));
}

static bool
may_be_at(const struct opening *opening, const struct port *port)
{
	return port_is_in(port, &opening->port, 1) &&
	    (opening_is_known(opening) || is_of_loopback(port));
}

bool
opening_may_be_new(const struct opening *opening, const struct port *port)
{
	size_t i;

	/* There may have been more than are told. */
	if (opening_is_known(opening) || opening->before_len >= PORT_LIST_MAX)
		return false;
	for (i = 0; i < opening->before_len; i++)
		if (opening->before[i] == port->number)
			return false;
	return is_of_loopback(port);
}

bool
opening_find(const char *state_dir, const struct port *port,
    char ret_app[STR_NAME_MAX + 1], struct opening *ret_opening)
{
	const struct dirent *entry;
	struct opening opening;
	char app[STR_NAME_MAX + 1];
	bool found = false;
	int rc;
	DIR *dir = open_directory(state_dir, &rc, NULL);

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
		found = app_of(entry->d_name, app) &&
		    peek(dirfd(dir), entry->d_name, &opening) &&
		    may_be_at(&opening, port) &&
		    proc_life(&opening.proc) == PROC_ALIVE;
	if (dir != NULL)
		(void)closedir(dir);
	if (!found)
		return false;
	(void)str_copy(ret_app, STR_NAME_MAX + 1, app);
	*ret_opening = opening;
	return true;
}
