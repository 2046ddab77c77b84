/*
 * `podprof check`.  Each check is a function that reports what it finds, and
 * looks on when another has failed.
 */
#include "check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_parts.h"
#include "file.h"

#define TEXT_MAX 1024
#define GROUPS_MAX 256
#define CAPTURE "podprof-capture"

void
check_found(struct check *check, enum check_status status, const char *what,
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

void
check_format_user(uid_t uid, char out[CHECK_USER_MAX])
{
	const struct passwd *user = getpwuid(uid);

	if (user != NULL)
		(void)snprintf(out, CHECK_USER_MAX, "%.60s", user->pw_name);
	else
		(void)snprintf(out, CHECK_USER_MAX, "uid %u", (unsigned)uid);
}

void
check_format_group(gid_t gid, char out[CHECK_USER_MAX])
{
	const struct group *group = getgrgid(gid);

	if (group != NULL)
		(void)snprintf(out, CHECK_USER_MAX, "%.60s", group->gr_name);
	else
		(void)snprintf(out, CHECK_USER_MAX, "gid %u", (unsigned)gid);
}

bool
check_may(const struct check *check, const struct stat *st, mode_t want)
{
	const struct passwd *user = getpwuid(check->owner);
	gid_t groups[GROUPS_MAX];
	int len = GROUPS_MAX, i;

	if (check->owner == st->st_uid)
		return (st->st_mode >> 6 & want) == want;
	if (user == NULL && check->owner_group == st->st_gid)
		return (st->st_mode >> 3 & want) == want;
	if (user != NULL &&
	    getgrouplist(user->pw_name, user->pw_gid, groups, &len) >= 0)
		for (i = 0; i < len; i++)
			if (groups[i] == st->st_gid)
				return (st->st_mode >> 3 & want) == want;
	return (st->st_mode & want) == want;
}

void
check_own_path(const char *name, char out[ARTIFACT_PATH_MAX])
{
	file_own_program(name, out, ARTIFACT_PATH_MAX);
}

/* What each capture is; the pool starts it. */
static void
check_program(struct check *check)
{
	char path[ARTIFACT_PATH_MAX], owner[CHECK_USER_MAX];
	struct stat st;

	check_own_path(CAPTURE, path);
	if (access(path, X_OK) != 0) {
		check_found(check, CHECK_FAIL, "program", "%s: %s, so nothing "
		    "can be captured: install podprof anew", path,
		    strerror(errno));
	} else if (check->as_root && check->owner_known &&
	    check->owner != 0 && stat(path, &st) == 0 &&
	    !check_may(check, &st, 1)) {
		check_format_user(check->owner, owner);
		check_found(check, CHECK_FAIL, "program", "%s (%04o) cannot be "
		    "run by %s, who owns %s, so nothing can be captured: "
		    "install podprof anew", path,
		    (unsigned)(st.st_mode & 07777), owner,
		    check->conf->state_dir);
	}
}

/* Roles that do not come from a token. */
static void
check_auth(struct check *check)
{
	const struct conf *conf = check->conf;

	if (conf->auth_anonymous != ROLE_NONE)
		check_found(check, CHECK_WARN, "auth",
		    "[auth] anonymous: whoever reaches the web server is %s, "
		    "without a token", conf_role_name(conf->auth_anonymous));
	if (conf->auth_remote_user != ROLE_NONE &&
	    check->options->url == NULL)
		check_found(check, CHECK_WARN, "auth", "[auth] remote_user: "
		    "whoever has the web server set REMOTE_USER and AUTH_TYPE "
		    "is %s, and some take that from the client, unverified: "
		    "podprof check --url http://HOST:PORT tries it",
		    conf_role_name(conf->auth_remote_user));
}

/* Two that are one process, by mistake. */
static void
check_twins(struct check *check)
{
	const struct conf_app *a = check->conf->apps, *b;
	const struct conf_app *end = a + check->conf->apps_len;

	for (; a < end; a++)
		for (b = a + 1; b < end; b++)
			/* Workers of a cluster may take turns, if each has its
			 * inspector opened for it. */
			if (strcmp(a->inspector, b->inspector) == 0 &&
			    (a->activate == ACTIVATE_NEVER ||
			    b->activate == ACTIVATE_NEVER))
				check_found(check, CHECK_WARN, "apps", "%s and "
				    "%s have the same inspector %s: one of "
				    "them captures the other's process",
				    a->name, b->name, a->inspector);
}

static void
check_configuration(struct check *check)
{
	const char *name;
	size_t i;

	if (check->conf->path != NULL)
		check_found(check, CHECK_OK, "configuration", "%s",
		    check->conf->path);
	else
		check_found(check, CHECK_OK, "configuration",
		    "no file %s/podprof.conf; defaults and environment",
		    PODPROF_SYSCONFDIR);
	for (i = 0; (name = conf_ignored_variable(check->conf, i)) != NULL;
	     i++)
		check_found(check, CHECK_WARN, "environment",
		    "%s names no key and is ignored", name);
	check_auth(check);
	if (check->conf->apps_len == 0)
		check_found(check, CHECK_WARN, "apps",
		    "there is no [app NAME] section, so there is nothing to "
		    "capture");
	check_twins(check);
}

bool
check_run(const struct conf *conf, const struct check_options *options,
    check_report_fn *report, void *ctx)
{
	struct check check = {.conf = conf, .options = options,
	    .report = report, .ctx = ctx, .as_root = geteuid() == 0};
	size_t i;

	check_configuration(&check);
	check_state(&check);
	check_program(&check);
	check_tokens(&check);
	check_host(&check);
	check_socket(&check);
	for (i = 0; i < conf->apps_len; i++)
		check_app(&check, &conf->apps[i]);
	if (options->url != NULL)
		check_web(&check);
	return !check.failed;
}
