/*
 * Of `podprof check`: an app.  Its inspector is asked as by a capture's
 * preflight, and what each method needs is looked at from our side.
 */
#include "check_parts.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "activate.h"
#include "artifact.h"
#include "cdp.h"
#include "clock.h"
#include "err.h"
#include "exchange.h"
#include "file.h"
#include "http.h"
#include "predict.h"
#include "process.h"
#include "str.h"
#include "target.h"
#include "ws.h"

#define HEALTH_BYTES_MAX (64 << 10)
/* The addon and some FIFOs, for several jobs at once. */
#define EXCHANGE_FREE_MIN (1 << 20)

static void
report_facts(struct check *check, const char *what, const char *inspector,
    const struct target_facts *facts)
{
	char memory[128] = "no memory limit";

	if (facts->limit_bytes >= 0)
		(void)snprintf(memory, sizeof(memory), "a memory limit of "
		    "%lld MB, of which %lld MB are available",
		    (long long)facts->limit_bytes >> 20,
		    (long long)facts->available_bytes >> 20);
	check_found(check, CHECK_OK, what, "Node %s, pid %lld, at %s; %lld MB "
	    "of heap, %s", facts->node, (long long)facts->pid, inspector,
	    (long long)facts->heap_used_bytes >> 20, memory);
}

/* For so long it is not ready before it is frozen, where anybody asks. */
static int64_t
drain_ms(const struct conf_app *app)
{
	return app->health_url[0] != '\0' ? app->drain_ms : 0;
}

/* Would its freeze end in time? */
static void
check_freeze(struct check *check, const char *what,
    const struct conf_app *app, int64_t freeze_ms)
{
	const int64_t timeout_ms = check->conf->job_timeout_ms;
	const int64_t left_ms = timeout_ms - drain_ms(app);
	char left[STR_QUANTITY_MAX], drain[STR_QUANTITY_MAX];
	char timeout[STR_QUANTITY_MAX];

	if (app->method == METHOD_FORK || left_ms <= 0 || freeze_ms < left_ms)
		return;
	str_format_duration(left_ms, left);
	str_format_duration(drain_ms(app), drain);
	str_format_duration(timeout_ms, timeout);
	if (drain_ms(app) > 0)
		check_found(check, CHECK_WARN, what, "a heap snapshot taken "
		    "now would take %lld s or more, and after drain (%s) there "
		    "are %s left of [limits] job_timeout (%s), which ends it",
		    (long long)freeze_ms / 1000, drain, left, timeout);
	else
		check_found(check, CHECK_WARN, what, "a heap snapshot taken "
		    "now would take %lld s or more; [limits] job_timeout (%s) "
		    "is shorter, and ends it", (long long)freeze_ms / 1000,
		    timeout);
}

/* Would a snapshot be refused, or given up? */
static void
check_snapshot(struct check *check, const char *what,
    const struct conf_app *app, const struct target_facts *facts)
{
	struct predict predict;
	struct err err;

	predict_snapshot(facts, app->method == METHOD_AUTO ? METHOD_STREAM :
	    app->method, &predict);
	if (predict_check(facts, &predict, &err) != 0)
		check_found(check, CHECK_WARN, what, "a heap snapshot taken "
		    "now %s: %s", check->conf->memory_guard ?
		    "would be refused" : "might kill the app, and memory_guard "
		    "is off", err.msg);
	check_freeze(check, what, app, predict.freeze_ms);
}

/* Through a session, which Node tells of on the app's stderr. */
static void
ask_app(struct check *check, const char *what, const struct conf_app *app,
    struct ws *ws, const struct target *target)
{
	const int64_t deadline_ms = clock_mono_ms() + CHECK_WAIT_MS;
	const struct cdp_limit limit = {.deadline_ms = deadline_ms};
	const struct cdp_handler handler = {.ctx = NULL};
	struct target_facts facts;
	struct cdp *cdp = NULL;
	struct err err;

	if (target_attach(ws, target, deadline_ms, &handler, &cdp, &err) != 0) {
		check_found(check, CHECK_FAIL, what, "%s", err.msg);
	} else if (target_ask(cdp, &limit, false, &facts, &err) == 0) {
		report_facts(check, what, app->inspector, &facts);
		check_snapshot(check, what, app, &facts);
	} else if (err.code == ERR_TARGET_TIMEOUT) {
		check_found(check, CHECK_WARN, what, "the inspector at %s "
		    "answers, the app itself did not within %d s: it is busy, "
		    "or a debugger holds it", app->inspector,
		    CHECK_WAIT_MS / 1000);
	} else {
		check_found(check, CHECK_FAIL, what, "%s", err.msg);
	}
	cdp_close(&cdp);
}

/* Where an inspector is opened on demand: would a capture take this one? */
static bool
check_holder(struct check *check, const char *what,
    const struct conf_app *app, const struct ws_address *address)
{
	struct err err;

	if (app->activate == ACTIVATE_NEVER ||
	    (check->as_root && !check->owner_known) ||
	    activate_check_open(check->conf->state_dir, app,
		check->as_root ? check->owner : geteuid(), address, &err) == 0)
		return true;
	check_found(check, CHECK_FAIL, what, "%s", err.msg);
	return false;
}

/* What activation would do: the process is looked for, and left alone. */
static void
check_activation(struct check *check, const char *what,
    const struct conf_app *app)
{
	struct process process;
	struct err err;

	if (check->as_root && !check->owner_known)
		return;
	if (strncmp(app->inspector, "ws://", 5) == 0)
		check_found(check, CHECK_FAIL, what, "nothing listens at %s, "
		    "and activate = sigusr1 needs inspector = HOST:PORT: the "
		    "UUID of a session is another each time an inspector is "
		    "opened", app->inspector);
	else if (process_find(app->pid,
		check->as_root ? check->owner : geteuid(), &process,
		&err) != 0)
		check_found(check, CHECK_FAIL, what, "nothing listens at %s, "
		    "and it cannot be opened: %s", app->inspector, err.msg);
	else
		check_found(check, CHECK_OK, what, "no inspector is open at "
		    "%s; a capture opens that of pid %lld (%s) by SIGUSR1, and "
		    "closes it again", app->inspector,
		    (long long)process.proc.pid, process.name);
}

static void
check_inspector(struct check *check, const char *what,
    const struct conf_app *app)
{
	struct target target;
	struct ws *ws = NULL;
	struct err err;

	if (ws_new(&ws, &err) != 0) {
		check_found(check, CHECK_FAIL, what, "%s", err.msg);
		return;
	}
	if (target_find(ws, app->inspector, clock_mono_ms() + CHECK_WAIT_MS,
		&target, &err) == 0) {
		if (check_holder(check, what, app, &target.address))
			ask_app(check, what, app, ws, &target);
	} else if (app->activate == ACTIVATE_SIGUSR1 &&
	    err.code == ERR_TARGET_UNREACHABLE) {
		check_activation(check, what, app);
	} else {
		check_found(check, CHECK_FAIL, what, "%s%s", err.msg,
		    err.code == ERR_TARGET_UNREACHABLE ? "; a program in "
		    "another network namespace is not seen from here" : "");
	}
	ws_free(&ws);
}

static void
check_health(struct check *check, const char *what,
    const struct conf_app *app)
{
	const struct http_request request = {.method = "GET"};
	struct http_reply reply;
	struct http_url url;
	struct err err;

	http_reply_init(&reply, HEALTH_BYTES_MAX);
	if (http_url_parse(app->health_url, &url, &err) != 0 ||
	    http_ask(&url, &request, clock_mono_ms() + CHECK_WAIT_MS, &reply,
		&err) != 0)
		check_found(check, CHECK_FAIL, what, "health_url: %s; "
		    "/livez?app=%s answers 503 by that", err.msg, app->name);
	else if (reply.status >= 400)
		check_found(check, CHECK_FAIL, what, "health_url %s answers "
		    "%d, so /livez?app=%s answers 503: 200 to 399 is healthy",
		    app->health_url, reply.status, app->name);
	else
		check_found(check, CHECK_OK, what, "health_url %s answers %d",
		    app->health_url, reply.status);
	http_reply_fini(&reply);
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

/* Nothing is left for a capture. */
static void
check_drain(struct check *check, const char *what, const struct conf_app *app)
{
	char drain[STR_QUANTITY_MAX], timeout[STR_QUANTITY_MAX];

	if (app->method == METHOD_FORK ||
	    drain_ms(app) < check->conf->job_timeout_ms)
		return;
	str_format_duration(drain_ms(app), drain);
	str_format_duration(check->conf->job_timeout_ms, timeout);
	check_found(check, lacking(app), what, "drain (%s) is not shorter than "
	    "[limits] job_timeout (%s), of which it is a part, so %s: make "
	    "drain shorter, or job_timeout longer", drain, timeout,
	    app->method == METHOD_AUTO ? "no heap snapshot that freezes the "
	    "app is ever taken" : consequence(app));
}

static void
check_addon(struct check *check, const char *what, const struct conf_app *app)
{
	char path[ARTIFACT_PATH_MAX];

	check_own_path("podprof-fork.node", path);
	if (access(path, R_OK) == 0)
		return;
	check_found(check, lacking(app), what, "%s: %s, so %s: install podprof "
	    "anew", path, strerror(errno), app->method == METHOD_AUTO ?
	    "method fork is never taken" : consequence(app));
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
		check_found(check, lacking(app), what, "%s; so %s", err.msg,
		    consequence(app));
		return false;
	}
	if (!check->owner_known || check->owner == 0 ||
	    check_may(check, st, 7))
		return true;
	check_format_user(check->owner, owner);
	check_format_user(st->st_uid, user);
	check_format_group(st->st_gid, group);
	check_found(check, lacking(app), what, "exchange_dir %s (%s:%s %04o) "
	    "cannot be used by %s, who owns %s, so %s: chmod 2770 %s, with a "
	    "group that %s and the app share", dir, user, group,
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
	return user != NULL ? user->pw_gid : check->owner_group;
}

/* Can the app use what podprof makes, and nobody else? */
static bool
check_exchange_mode(struct check *check, const char *what, const char *dir,
    const struct stat *st)
{
	bool good = true;

	if ((st->st_mode & (S_IXGRP | S_IXOTH)) == 0) {
		check_found(check, CHECK_WARN, what, "exchange_dir %s (%04o) "
		    "can be entered by its owner only, so the app cannot use "
		    "it unless it runs as the same user: chmod 2770 %s, with a "
		    "group that podprof and the app share", dir,
		    (unsigned)(st->st_mode & 07777), dir);
		return false;
	}
	if ((st->st_mode & S_ISGID) == 0 &&
	    st->st_gid != service_group(check)) {
		check_found(check, CHECK_WARN, what, "exchange_dir %s is not "
		    "set-group-ID, so what podprof makes there has podprof's "
		    "own group, and the app cannot use it unless it runs as "
		    "the same user or in that group: chmod g+s %s, with a "
		    "group that both are in", dir, dir);
		good = false;
	}
	if ((st->st_mode & S_IWOTH) != 0 && (st->st_mode & S_ISVTX) == 0) {
		check_found(check, CHECK_WARN, what, "exchange_dir %s (%04o) "
		    "can be written by everybody: who sees it can put an addon "
		    "of his in place of podprof's, and the app loads it. On a "
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

	if (statvfs(app->exchange_dir, &fs) != 0)
		return true;
	if (fs.f_bavail * fs.f_frsize < EXCHANGE_FREE_MIN) {
		check_found(check, lacking(app), what, "the disk of "
		    "exchange_dir %s is full, so %s: make room",
		    app->exchange_dir, consequence(app));
		return false;
	}
	if (app->method == METHOD_DIRECT || (fs.f_flag & ST_NOEXEC) == 0)
		return true;
	check_found(check, lacking(app), what, "exchange_dir %s is mounted "
	    "noexec, so the app can load no addon from it, and %s: mount it "
	    "without noexec, or set exchange_dir to another place",
	    app->exchange_dir,
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
		check_found(check, lacking(app), what, "exchange_dir %s (%s), "
		    "so %s: make it with: install -d -m 2770 -o podprof -g "
		    "GROUP %s, where podprof and the app are in GROUP%s", dir,
		    strerror(errno), consequence(app), dir,
		    app->method == METHOD_AUTO ? "; or set method to stream, "
		    "if that is meant" : "");
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		check_found(check, lacking(app), what, "exchange_dir %s is %s, "
		    "so %s: set it to a directory", dir, S_ISLNK(st.st_mode) ?
		    "a symbolic link, and none is followed" : "no directory",
		    consequence(app));
		return;
	}
	if (!check_exchange_use(check, what, app, &st))
		return;
	good = check_exchange_mode(check, what, dir, &st);
	good = check_exchange_mount(check, what, app) && good;
	if (good)
		check_found(check, CHECK_OK, what, "exchange_dir %s (%04o)",
		    dir, (unsigned)(st.st_mode & 07777));
}

void
check_app(struct check *check, const struct conf_app *app)
{
	char what[STR_NAME_MAX + 8];

	(void)snprintf(what, sizeof(what), "app %s", app->name);
	check_inspector(check, what, app);
	if (app->health_url[0] != '\0')
		check_health(check, what, app);
	check_drain(check, what, app);
	if (app->method == METHOD_STREAM)
		return;
	check_exchange(check, what, app);
	if (app->method != METHOD_DIRECT)
		check_addon(check, what, app);
}
