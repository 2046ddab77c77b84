/*
 * `podprof check`.  Each check is a function that reports what it finds, and
 * looks on when another has failed.
 */
#include "check.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "artifact.h"
#include "clock.h"
#include "db.h"
#include "err.h"
#include "exchange.h"
#include "file.h"
#include "job.h"
#include "str.h"
#include "token.h"

#define ADDON "podprof-fork.node"
#define TEXT_MAX 1024
#define GROUPS_MAX 256
#define INSPECTOR_MAX 512	/* more than its syntax has room for */

struct check {
	const struct conf *conf;
	check_report_fn *report;
	void *ctx;
	bool as_root;
	bool failed;
	/* Whom state_dir belongs to: who the service runs as. */
	bool owner_known;
	uid_t owner;
};

static void found(struct check *check, enum check_status status,
    const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void
found(struct check *check, enum check_status status, const char *what,
    const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	check->report(check->ctx, status, what, text);
	if (status == CHECK_FAIL)
		check->failed = true;
}

/* "podprof", or "uid 998" where it has no name. */
static void
format_user(uid_t uid, char out[64])
{
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		(void)snprintf(out, 64, "%.60s", user->pw_name);
	else
		(void)snprintf(out, 64, "uid %u", (unsigned)uid);
}

static void
format_group(gid_t gid, char out[64])
{
	const struct group *group = getgrgid(gid);

	if (group != NULL)
		(void)snprintf(out, 64, "%.60s", group->gr_name);
	else
		(void)snprintf(out, 64, "gid %u", (unsigned)gid);
}

static void
check_configuration(struct check *check)
{
	const char *name;
	size_t i;

	if (check->conf->path != NULL)
		found(check, CHECK_OK, "configuration", "%s",
		    check->conf->path);
	else
		found(check, CHECK_OK, "configuration",
		    "no file %s/podprof.conf; defaults and environment",
		    PODPROF_SYSCONFDIR);
	for (i = 0; (name = conf_ignored_variable(check->conf, i)) != NULL;
	     i++)
		found(check, CHECK_WARN, "environment",
		    "%s names no key and is ignored", name);
	for (i = 0; (name = conf_idle_key(check->conf, i)) != NULL; i++)
		found(check, CHECK_WARN, "configuration",
		    "%s is set, and not in effect yet", name);
	if (check->conf->auth_anonymous != ROLE_NONE)
		found(check, CHECK_WARN, "auth",
		    "[auth] anonymous: whoever reaches the web server is %s, "
		    "without a token",
		    conf_role_name(check->conf->auth_anonymous));
	if (check->conf->apps_len == 0)
		found(check, CHECK_WARN, "apps",
		    "there is no [app NAME] section, so there is nothing to "
		    "capture");
}

/* Owner and mode of a directory, for root, who could write to any. */
static void
check_directory(struct check *check, const char *path, mode_t want,
    bool is_state_dir)
{
	char user[64], group[64];
	struct stat st;
	mode_t mode;

	if (stat(path, &st) != 0) {
		if (!is_state_dir && errno == ENOENT)
			found(check, CHECK_OK, "state",
			    "%s is not there yet; the service makes it", path);
		else
			found(check, CHECK_FAIL, "state",
			    "%s (%s): make it with: install -d -m %04o -o "
			    "podprof -g podprof %s", path, strerror(errno),
			    (unsigned)want, path);
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		found(check, CHECK_FAIL, "state", "%s is no directory", path);
		return;
	}
	mode = st.st_mode & 07777;
	format_user(st.st_uid, user);
	format_group(st.st_gid, group);
	if (is_state_dir) {
		check->owner_known = true;
		check->owner = st.st_uid;
	} else if (check->owner_known && st.st_uid != check->owner) {
		found(check, CHECK_FAIL, "state",
		    "%s belongs to %s, but the directory above it does not: "
		    "give both to the user that podprof runs as", path, user);
		return;
	}
	if ((mode & (S_IWGRP | S_IWOTH)) != 0)
		found(check, CHECK_FAIL, "state",
		    "%s (%s:%s %04o) can be written by others: chmod %04o %s",
		    path, user, group, (unsigned)mode, (unsigned)want, path);
	else if (st.st_uid == 0 && is_state_dir)
		found(check, CHECK_WARN, "state",
		    "%s (%s:%s %04o) belongs to root, and nothing needs to "
		    "run as root: chown podprof:podprof %s", path, user, group,
		    (unsigned)mode, path);
	else
		found(check, CHECK_OK, "state", "%s (%s:%s %04o)", path, user,
		    group, (unsigned)mode);
}

static void
check_state(struct check *check)
{
	const char *state_dir = check->conf->state_dir;
	char artifacts[ARTIFACT_PATH_MAX];
	struct err err;

	if (!check->as_root) {
		if (artifact_check_dirs(state_dir,
		    conf_shares_files(check->conf), &err) != 0)
			found(check, CHECK_FAIL, "state", "%s", err.msg);
		else
			found(check, CHECK_OK, "state",
			    "%s and its artifacts can be written", state_dir);
		return;
	}
	check_directory(check, state_dir, 0711, true);
	if (check->owner_known) {
		(void)snprintf(artifacts, sizeof(artifacts), "%s/artifacts",
		    state_dir);
		check_directory(check, artifacts,
		    conf_shares_files(check->conf) ? 0750 : 0700,
		    false);
	}
}

/* May that user do it, by owner, group or other bits?  want: 4 read, 2 write,
 * 1 enter, or more of them. */
static bool
may(uid_t uid, const struct stat *st, mode_t want)
{
	const struct passwd *user = getpwuid(uid);
	gid_t groups[GROUPS_MAX];
	int len = GROUPS_MAX, i;

	if (uid == st->st_uid)
		return (st->st_mode >> 6 & want) == want;
	if (user != NULL &&
	    getgrouplist(user->pw_name, user->pw_gid, groups, &len) >= 0)
		for (i = 0; i < len; i++)
			if (groups[i] == st->st_gid)
				return (st->st_mode >> 3 & want) == want;
	return (st->st_mode & want) == want;
}

static void
check_tokens_mode(struct check *check, const char *path)
{
	const struct passwd *owner;
	char user[64], group[64], theirs[64] = "GROUP";
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		found(check, CHECK_FAIL, "tokens",
		    "others can write %s and let themselves in: chmod 0640 %s",
		    path, path);
	if (!check->owner_known || check->owner == 0 ||
	    may(check->owner, &st, 4))
		return;
	owner = getpwuid(check->owner);
	if (owner != NULL)
		format_group(owner->pw_gid, theirs);
	format_user(check->owner, user);
	format_group(st.st_gid, group);
	found(check, CHECK_FAIL, "tokens",
	    "%s (group %s, %04o) cannot be read by %s, who owns %s: nobody "
	    "is let in. Give it a group that %s is in: chgrp %s %s; "
	    "chmod 0640 %s", path, group, (unsigned)(st.st_mode & 07777),
	    user, check->conf->state_dir, user, theirs, path, path);
}

static void
check_tokens(struct check *check)
{
	const char *path = check->conf->auth_tokens;
	struct token_list *list = NULL;
	struct err err;
	size_t len;

	if (token_list_read(path, &list, &err) != 0) {
		found(check, CHECK_FAIL, "tokens", "%s", err.msg);
		return;
	}
	len = token_list_len(list);
	token_list_free(&list);
	if (len == 0)
		found(check, CHECK_WARN, "tokens",
		    "%s has no token; make one with: podprof token new NAME "
		    "--role operator", path);
	else
		found(check, CHECK_OK, "tokens", "%s: %zu token%s", path, len,
		    len == 1 ? "" : "s");
	check_tokens_mode(check, path);
}

static void
check_database(struct check *check)
{
	char path[ARTIFACT_PATH_MAX], user[64];
	struct db *db = NULL;
	struct stat st;
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/podprof.db",
	    check->conf->state_dir);
	if (stat(path, &st) != 0) {
		if (errno != ENOENT)
			found(check, CHECK_FAIL, "database", "%s: %s", path,
			    strerror(errno));
		/* Of a missing directory check_state() has told. */
		else if (stat(check->conf->state_dir, &st) == 0)
			found(check, CHECK_OK, "database",
			    "%s is not there yet; the first request makes it",
			    path);
		return;
	}
	if (!check->as_root) {
		if (job_open_db(check->conf->state_dir, &db, &err) != 0)
			found(check, CHECK_FAIL, "database", "%s", err.msg);
		else
			found(check, CHECK_OK, "database",
			    "%s can be used; its schema is up to date", path);
		db_close(&db);
		return;
	}
	format_user(st.st_uid, user);
	if (check->owner_known && st.st_uid != check->owner)
		found(check, CHECK_FAIL, "database",
		    "%s belongs to %s, its directory does not: chown it, and "
		    "podprof.db-wal and podprof.db-shm where they are there",
		    path, user);
	else
		found(check, CHECK_OK, "database",
		    "%s (%s %04o), not opened as root", path, user,
		    (unsigned)(st.st_mode & 07777));
}

/*
 * HOST and PORT of [app NAME] inspector, whose syntax conf has checked:
 * HOST:PORT, [IPV6]:PORT or ws://HOST:PORT/UUID.
 */
static void
split_address(const char *inspector, char host[INSPECTOR_MAX],
    const char **ret_port)
{
	char *end;

	if (strncmp(inspector, "ws://", 5) == 0)
		inspector += 5;
	(void)str_copy(host, INSPECTOR_MAX, inspector);
	host[strcspn(host, "/")] = '\0';
	end = strrchr(host, ':');
	*end = '\0';
	*ret_port = end + 1;
	if (host[0] == '[') {
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = '\0';
	}
}

/* 0, or the errno of the connection. */
static int
try_connect(const struct addrinfo *address, int64_t deadline_ms)
{
	int fd, errnum = 0;
	struct pollfd wait;
	socklen_t len = sizeof(errnum);
	int64_t left_ms;

	fd = socket(address->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, address->ai_addr, address->ai_addrlen) != 0)
		errnum = errno;
	if (errnum == EINPROGRESS) {
		wait = (struct pollfd){.fd = fd, .events = POLLOUT};
		left_ms = deadline_ms - clock_mono_ms();
		if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) != 1)
			errnum = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) !=
		    0)
			errnum = errno;
	}
	(void)close(fd);
	return errnum;
}

static int
connect_any(const struct addrinfo *list)
{
	int64_t deadline_ms = clock_mono_ms() + CHECK_CONNECT_MS;
	int errnum = ECONNREFUSED;

	for (; list != NULL; list = list->ai_next) {
		errnum = try_connect(list, deadline_ms);
		if (errnum == 0)
			break;
	}
	return errnum;
}

static void
check_inspector(struct check *check, const char *what, const char *inspector)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	bool is_url = strncmp(inspector, "ws://", 5) == 0;
	char host[INSPECTOR_MAX];
	const char *port;
	int rc, errnum;

	split_address(inspector, host, &port);
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0) {
		found(check, CHECK_FAIL, what,
		    "the host of inspector %s is not known (%s)", inspector,
		    gai_strerror(rc));
		return;
	}
	errnum = connect_any(list);
	freeaddrinfo(list);
	if (errnum == 0)
		found(check, CHECK_OK, what, "something listens at %s",
		    inspector);
	else if (errnum == ECONNREFUSED)
		found(check, CHECK_FAIL, what,
		    "nothing listens at %s: start the app with node "
		    "--inspect=%s, or send its process SIGUSR1; a program in "
		    "another network namespace is not seen from here",
		    inspector, is_url ? "HOST:PORT" : inspector);
	else if (errnum == ETIMEDOUT)
		found(check, CHECK_FAIL, what,
		    "%s does not answer within %d ms: is there a firewall, "
		    "or is the address wrong?", inspector, CHECK_CONNECT_MS);
	else
		found(check, CHECK_FAIL, what, "%s: %s", inspector,
		    strerror(errnum));
}

/* A method that cannot be had: one by name has nothing else to try. */
static enum check_status
lacking(const struct conf_app *app)
{
	return app->method == METHOD_AUTO ? CHECK_WARN : CHECK_FAIL;
}

static const char *
consequence(const struct conf_app *app)
{
	return app->method == METHOD_AUTO ?
	    "every heap snapshot freezes the app" :
	    "every heap snapshot fails";
}

/* It is beside podprof-capture: that is here where nothing is installed yet. */
static void
check_addon(struct check *check, const char *what, const struct conf_app *app)
{
	char here[ARTIFACT_PATH_MAX];
	const char *path = PODPROF_LIBEXECDIR "/" ADDON;

	if (file_beside_program("podprof-capture", here, sizeof(here), NULL) ==
		0 && access(here, F_OK) == 0 &&
	    file_beside_program(ADDON, here, sizeof(here), NULL) == 0)
		path = here;
	if (access(path, R_OK) == 0)
		return;
	found(check, lacking(app), what, "%s (%s), so %s: method fork needs "
	    "it; install podprof anew", path, strerror(errno),
	    app->method == METHOD_AUTO ? "method fork is never taken" :
					 consequence(app));
}

/* Can podprof make its directories there? */
static bool
check_exchange_use(struct check *check, const char *what,
    const struct conf_app *app, const struct stat *st)
{
	const char *dir = app->exchange_dir;
	char owner[64], user[64], group[64];
	struct err err;

	if (!check->as_root) {
		if (exchange_check(dir, &err) == 0)
			return true;
		found(check, lacking(app), what, "%s; so %s", err.msg,
		    consequence(app));
		return false;
	}
	if (!check->owner_known || check->owner == 0 ||
	    may(check->owner, st, 7))
		return true;
	format_user(check->owner, owner);
	format_user(st->st_uid, user);
	format_group(st->st_gid, group);
	found(check, lacking(app), what, "exchange_dir %s (%s:%s %04o) cannot "
	    "be used by %s, who owns %s, so %s: chmod 2770 %s, with a group "
	    "that %s and the app share", dir, user, group,
	    (unsigned)(st->st_mode & 07777), owner, check->conf->state_dir,
	    consequence(app), dir, owner);
	return false;
}

/* The group that what podprof makes has where no directory gives another. */
static gid_t
service_group(const struct check *check)
{
	const struct passwd *user;

	if (!check->as_root)
		return getegid();
	user = check->owner_known ? getpwuid(check->owner) : NULL;
	return user != NULL ? user->pw_gid : (gid_t)-1;
}

/* Can the app use what podprof makes, and nobody else? */
static bool
check_exchange_mode(struct check *check, const char *what, const char *dir,
    const struct stat *st)
{
	bool good = true;

	if ((st->st_mode & (S_IXGRP | S_IXOTH)) == 0) {
		found(check, CHECK_WARN, what, "exchange_dir %s (%04o) can be "
		    "entered by its owner only, so the app cannot use it "
		    "unless it runs as the same user: chmod 2770 %s, with a "
		    "group that podprof and the app share", dir,
		    (unsigned)(st->st_mode & 07777), dir);
		return false;
	}
	if ((st->st_mode & S_ISGID) == 0 &&
	    st->st_gid != service_group(check)) {
		found(check, CHECK_WARN, what, "exchange_dir %s is not "
		    "set-group-ID, so what podprof makes there has podprof's "
		    "own group, and the app cannot use it unless it runs as "
		    "the same user or in that group: chmod g+s %s, with a "
		    "group that both are in", dir, dir);
		good = false;
	}
	if ((st->st_mode & S_IWOTH) != 0 && (st->st_mode & S_ISVTX) == 0) {
		found(check, CHECK_WARN, what, "exchange_dir %s (%04o) can be "
		    "written by everybody: who sees it can put an addon of "
		    "his in place of podprof's, and the app loads it. On a "
		    "host: chmod 2770 %s. An emptyDir of Kubernetes is so, "
		    "and is seen by nobody but the pod's containers that "
		    "mount it", dir, (unsigned)(st->st_mode & 07777), dir);
		good = false;
	}
	return good;
}

static bool
check_exchange_mount(struct check *check, const char *what,
    const struct conf_app *app)
{
	struct statvfs fs;

	if (app->method == METHOD_DIRECT ||
	    statvfs(app->exchange_dir, &fs) != 0 ||
	    (fs.f_flag & ST_NOEXEC) == 0)
		return true;
	found(check, lacking(app), what, "exchange_dir %s is mounted noexec, "
	    "so the app can load no addon from it, and %s: mount it without "
	    "noexec, or set exchange_dir to another place", app->exchange_dir,
	    app->method == METHOD_AUTO ? "method fork is never taken" :
					 consequence(app));
	return false;
}

static void
check_exchange(struct check *check, const char *what,
    const struct conf_app *app)
{
	const char *dir = app->exchange_dir;
	struct stat st;
	bool good;

	if (lstat(dir, &st) != 0) {
		found(check, lacking(app), what, "exchange_dir %s (%s), so %s: "
		    "make it with: install -d -m 2770 -o podprof -g GROUP %s, "
		    "where podprof and the app are in GROUP%s", dir,
		    strerror(errno), consequence(app), dir,
		    app->method == METHOD_AUTO ? "; or set method to stream, "
		    "if that is meant" : "");
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		found(check, lacking(app), what, "exchange_dir %s is %s, so "
		    "%s: set it to a directory", dir, S_ISLNK(st.st_mode) ?
		    "a symbolic link, and none is followed" : "no directory",
		    consequence(app));
		return;
	}
	if (!check_exchange_use(check, what, app, &st))
		return;
	good = check_exchange_mode(check, what, dir, &st);
	good = check_exchange_mount(check, what, app) && good;
	if (good)
		found(check, CHECK_OK, what, "exchange_dir %s (%04o)", dir,
		    (unsigned)(st.st_mode & 07777));
}

static void
check_app(struct check *check, const struct conf_app *app)
{
	char what[STR_NAME_MAX + 8];

	(void)snprintf(what, sizeof(what), "app %s", app->name);
	check_inspector(check, what, app->inspector);
	if (app->method == METHOD_STREAM)
		return;
	check_exchange(check, what, app);
	if (app->method != METHOD_DIRECT)
		check_addon(check, what, app);
}

bool
check_run(const struct conf *conf, check_report_fn *report, void *ctx)
{
	struct check check = {.conf = conf, .report = report, .ctx = ctx,
	    .as_root = geteuid() == 0};
	size_t i;

	check_configuration(&check);
	check_state(&check);
	check_tokens(&check);
	check_database(&check);
	for (i = 0; i < conf->apps_len; i++)
		check_app(&check, &conf->apps[i]);
	return !check.failed;
}
