/*
 * Of `podprof check`: the state directory with its artifacts and its database,
 * and the tokens file.
 */
#include "check_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "artifact.h"
#include "db.h"
#include "err.h"
#include "migrate.h"
#include "token.h"

/* Of SQLite's file format: its header, and in that the number which PRAGMA
 * user_version gives, most significant byte first. */
#define HEADER_MAGIC "SQLite format 3"
#define HEADER_BYTES 100
#define HEADER_VERSION_AT 60

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
			check_found(check, CHECK_OK, "state",
			    "%s is not there yet; the service makes it", path);
		else
			check_found(check, CHECK_FAIL, "state",
			    "%s (%s): make it with: install -d -m %04o -o "
			    "podprof -g podprof %s", path, strerror(errno),
			    (unsigned)want, path);
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		check_found(check, CHECK_FAIL, "state", "%s is no directory",
		    path);
		return;
	}
	mode = st.st_mode & 07777;
	check_format_user(st.st_uid, user);
	check_format_group(st.st_gid, group);
	if (is_state_dir) {
		check->owner_known = true;
		check->owner = st.st_uid;
		check->owner_group = st.st_gid;
	} else if (check->owner_known && st.st_uid != check->owner) {
		check_found(check, CHECK_FAIL, "state",
		    "%s belongs to %s, but the directory above it does not: "
		    "give both to the user that podprof runs as", path, user);
		return;
	}
	if ((mode & (S_IWGRP | S_IWOTH)) != 0)
		check_found(check, CHECK_FAIL, "state",
		    "%s (%s:%s %04o) can be written by others: chmod %04o %s",
		    path, user, group, (unsigned)mode, (unsigned)want, path);
	else if (st.st_uid == 0 && is_state_dir)
		check_found(check, CHECK_WARN, "state",
		    "%s (%s:%s %04o) belongs to root, and nothing needs to "
		    "run as root: chown podprof:podprof %s", path, user, group,
		    (unsigned)mode, path);
	else
		check_found(check, CHECK_OK, "state", "%s (%s:%s %04o)", path,
		    user,
		    group, (unsigned)mode);
}

/* The schema's version as the file has it, which others may have written a
 * later one to the log of; -1 with *err. */
static int
read_header(const char *path, unsigned *ret_version, struct err *err)
{
	unsigned char header[HEADER_BYTES], *at = header + HEADER_VERSION_AT;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return err_set_errno(err, ERR_STORE, errno, "%s", path);
	n = pread(fd, header, sizeof(header), 0);
	(void)close(fd);
	if (n != HEADER_BYTES ||
	    memcmp(header, HEADER_MAGIC, sizeof(HEADER_MAGIC)) != 0)
		return err_set(err, ERR_STORE, "%s is no SQLite database: move "
		    "it and artifacts/ away, both belong together", path);
	*ret_version = (unsigned)at[0] << 24 | (unsigned)at[1] << 16 |
	    (unsigned)at[2] << 8 | at[3];
	return 0;
}

static int
open_version(const char *path, unsigned *ret_version, struct err *err)
{
	struct db *db = NULL;
	int rc;

	if (db_open(path, &db, err) != 0)
		return -1;
	rc = migrate_look(db, ret_version, err);
	db_close(&db);
	return rc != 0 ? err_wrap(err, "%s", path) : 0;
}

/* Is there a log of it, with what the file does not have yet? */
static bool
has_log(const char *path)
{
	char log[ARTIFACT_PATH_MAX];
	struct stat st;

	return (size_t)snprintf(log, sizeof(log), "%s-wal", path) <
	    sizeof(log) && stat(log, &st) == 0 && st.st_size > 0;
}

static void
report_version(struct check *check, const char *path, unsigned version)
{
	if (version > migrate_steps_len)
		check_found(check, CHECK_FAIL, "database", "%s has schema "
		    "version %u, and this podprof knows versions up to %u: a "
		    "newer podprof has used it; install that one, or a newer "
		    "one", path, version, migrate_steps_len);
	else if (version < migrate_steps_len && check->as_root &&
	    has_log(path))
		check_found(check, CHECK_OK, "database", "%s is in use; its "
		    "schema has version %u or a later one: what is newest is "
		    "in its log, which root does not open", path, version);
	else if (version < migrate_steps_len)
		check_found(check, CHECK_OK, "database", "%s can be used; its "
		    "schema has version %u, and the service brings it up to "
		    "%u when it starts; an older podprof cannot use it then",
		    path, version, migrate_steps_len);
	else
		check_found(check, CHECK_OK, "database", "%s can be used; its "
		    "schema is up to date (version %u)%s", path, version,
		    check->as_root ? " (read from the file: root does not "
		    "open it)" : "");
}

static void
check_database(struct check *check)
{
	char path[ARTIFACT_PATH_MAX], user[CHECK_USER_MAX];
	unsigned version = 0;
	struct stat st;
	struct err err;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/podprof.db",
	    check->conf->state_dir);
	if (stat(path, &st) != 0) {
		if (errno != ENOENT)
			check_found(check, CHECK_FAIL, "database", "%s: %s",
			    path, strerror(errno));
		/* Of a missing directory we have told. */
		else if (stat(check->conf->state_dir, &st) == 0)
			check_found(check, CHECK_OK, "database",
			    "%s is not there yet; podprof makes it",
			    path);
		return;
	}
	if (check->as_root && check->owner_known &&
	    st.st_uid != check->owner) {
		check_format_user(st.st_uid, user);
		check_found(check, CHECK_FAIL, "database",
		    "%s belongs to %s, its directory does not: chown it, and "
		    "podprof.db-wal and podprof.db-shm where they are there",
		    path, user);
		return;
	}
	/* What root opened would have files of root's beside it. */
	rc = check->as_root ? read_header(path, &version, &err) :
			      open_version(path, &version, &err);
	if (rc != 0)
		check_found(check, CHECK_FAIL, "database", "%s", err.msg);
	else
		report_version(check, path, version);
}

void
check_state(struct check *check)
{
	const char *state_dir = check->conf->state_dir;
	char artifacts[ARTIFACT_PATH_MAX];
	struct err err;

	if (!check->as_root) {
		if (artifact_check_dirs(state_dir,
		    conf_shares_files(check->conf), &err) != 0)
			check_found(check, CHECK_FAIL, "state", "%s",
			    err.msg);
		else
			check_found(check, CHECK_OK, "state",
			    "%s and its artifacts can be written", state_dir);
	} else {
		check_directory(check, state_dir, 0711, true);
	}
	if (check->owner_known) {
		(void)snprintf(artifacts, sizeof(artifacts), "%s/artifacts",
		    state_dir);
		check_directory(check, artifacts,
		    conf_shares_files(check->conf) ? 0750 : 0700, false);
	}
	check_database(check);
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
		check_found(check, CHECK_FAIL, "tokens",
		    "others can write %s and let themselves in: chmod 0640 %s",
		    path, path);
	if (!check->owner_known || check->owner == 0 ||
	    check_may(check, &st, 4))
		return;
	owner = getpwuid(check->owner);
	if (owner != NULL)
		check_format_group(owner->pw_gid, theirs);
	check_format_user(check->owner, user);
	check_format_group(st.st_gid, group);
	check_found(check, CHECK_FAIL, "tokens",
	    "%s (group %s, %04o) cannot be read by %s, who owns %s: nobody "
	    "is let in. Give it a group that %s is in: chgrp %s %s; "
	    "chmod 0640 %s", path, group, (unsigned)(st.st_mode & 07777),
	    user, check->conf->state_dir, user, theirs, path, path);
}

void
check_tokens(struct check *check)
{
	const char *path = check->conf->auth_tokens;
	struct token_list *list = NULL;
	struct err err;
	size_t len;

	if (token_list_read(path, &list, &err) != 0) {
		check_found(check, CHECK_FAIL, "tokens", "%s", err.msg);
		return;
	}
	len = token_list_len(list);
	token_list_free(&list);
	if (len == 0)
		check_found(check, CHECK_WARN, "tokens",
		    "%s has no token; make one with: podprof token new NAME "
		    "--role operator", path);
	else
		check_found(check, CHECK_OK, "tokens", "%s: %zu token%s", path,
		    len,
		    len == 1 ? "" : "s");
	check_tokens_mode(check, path);
}
