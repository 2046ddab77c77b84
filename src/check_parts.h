/*
 * What the parts of check.c share.
 */
#ifndef PODPROF_CHECK_PARTS_H
#define PODPROF_CHECK_PARTS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "artifact.h"
#include "check.h"
#include "conf.h"

#define CHECK_USER_MAX 64

struct check {
	const struct conf *conf;
	const struct check_options *options;
	check_report_fn *report;
	void *ctx;
	bool as_root;
	bool failed;
	/* Whom state_dir belongs to: who the service runs as. */
	bool owner_known;
	uid_t owner;
	gid_t owner_group;	/* state_dir's: of a user without a name that
				 * is all that can be known */
};

/* Report a finding. */
void check_found(struct check *check, enum check_status status,
    const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* "podprof", or "uid 998" where it has no name. */
void check_format_user(uid_t uid, char out[CHECK_USER_MAX]);
void check_format_group(gid_t gid, char out[CHECK_USER_MAX]);

/* May the owner of state_dir do it, by owner, group or other bits?  want: 4
 * read, 2 write, 1 enter, or more of them. */
bool check_may(const struct check *check, const struct stat *st, mode_t want);

/* The path of one of podprof's own that are no commands: installed, or beside
 * this program, where nothing is installed yet. */
void check_own_path(const char *name, char out[ARTIFACT_PATH_MAX]);

/* state_dir, its artifacts and the database; finds out the owner.  First of
 * all, as others go by that. */
void check_state(struct check *check);
/* The tokens file. */
void check_tokens(struct check *check);
/* Disk, memory and clock of the machine, or of the container. */
void check_host(struct check *check);
/* The pool's socket. */
void check_socket(struct check *check);
/* An app: its inspector, exchange_dir, health_url. */
void check_app(struct check *check, const struct conf_app *app);
/* The web server, by requests to it. */
void check_web(struct check *check);

#endif
