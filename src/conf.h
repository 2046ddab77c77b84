/*
 * The configuration: one table of keys drives the parser, the environment,
 * `podprof config show`, conf/podprof.conf and podprof.conf(5); a test
 * compares them.
 *
 * A value comes from, strongest first: the environment (PODPROF_<KEY> for a
 * key of [podprof], PODPROF_<SECTION>_<KEY> else, PODPROF_APP_<NAME>_<KEY> for
 * an app, where the key is the longest known one at the end and NAME the
 * lower-cased rest), the file, the default.  The file is the one of -c, else of
 * PODPROF_CONFIG, else PODPROF_SYSCONFDIR/podprof.conf; the last may be
 * absent, the others not.  A value may be empty where that says something: an
 * empty `pod` is $POD_NAME, else the host name.
 */
#ifndef PODPROF_CONF_H
#define PODPROF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "log.h"

enum conf_role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR };
enum conf_method { METHOD_AUTO, METHOD_FORK, METHOD_DIRECT, METHOD_STREAM };
enum conf_activate { ACTIVATE_NEVER, ACTIVATE_SIGUSR1 };
enum conf_compression { COMPRESSION_ZSTD, COMPRESSION_NONE };
enum conf_sendfile { SENDFILE_NONE, SENDFILE_X_ACCEL, SENDFILE_X_SENDFILE };

/* Where a value came from. */
enum conf_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENV };

#define CONF_APPS_MAX 64	/* [app NAME] sections */
#define CONF_FILE_MAX (1 << 20)	/* bytes of a configuration file */

/* Strings are never NULL ("" where nothing is set), numbers are in range.
 * All of it belongs to the struct conf and lives as long. */
struct conf_app {
	const char *name;
	const char *inspector;
	enum conf_method method;
	enum conf_activate activate;
	const char *pid;	/* a number, or the path of a pid file */
	const char *exchange_dir;
	const char *health_url;
	int64_t drain_ms;
};

struct conf {
	const char *state_dir;
	const char *pod;	/* 1..253 bytes, never "" */
	int64_t threads;
	enum log_level log_level;
	enum log_format log_format;

	const char *auth_tokens;
	enum conf_role auth_anonymous;
	enum conf_role auth_remote_user;
	const char *auth_hosts;	/* names, separated by blanks or commas */

	int64_t store_bytes;
	int64_t store_jobs;
	int64_t keep_ms;
	int64_t grace_ms;
	int64_t min_free_bytes;
	int64_t job_timeout_ms;
	bool memory_guard;
	int64_t profiles;
	int64_t downloads;
	int64_t waiting;
	int64_t token_captures;	/* begun in a minute */
	int64_t app_captures;	/* the same */

	enum conf_compression compression;
	int64_t compression_level;
	enum conf_sendfile sendfile;
	const char *sendfile_prefix;

	struct conf_app *apps;	/* sorted by name */
	size_t apps_len;
	char *path;		/* the file that was read, NULL if none */
};

/*
 * Read, merge and check.
 *
 * path  of -c, or NULL.
 * env   as environ(7); borrowed during the call.
 *
 * Does not touch state_dir: see artifact.h for the check that it can be
 * written.
 *   ERR_INVALID  with file and line, or the variable, and what is allowed: an
 *                unknown section or key, a key or section given twice, a
 *                value out of range, a malformed app name
 *   ERR_STORE    a file that was named cannot be read
 *   ERR_NOMEM
 */
MUST int conf_load(const char *path, char *const env[],
    struct conf **ret_conf, struct err *err);
void conf_free(struct conf **conf);

/* Whether the web server reads artifacts by itself, so that its group must be
 * able to. */
bool conf_shares_files(const struct conf *conf);

/* The app of that name; NULL if there is none. */
const struct conf_app *conf_find_app(const struct conf *conf,
    const char *name);

/*
 * Append every key with its value and origin, in the table's order, as an INI
 * file that conf_load() would accept:
 *
 *	[podprof]
 *	# file:/etc/podprof/podprof.conf:3
 *	state_dir = /srv/podprof
 *	# env:PODPROF_POD
 *	pod = web-1
 *	# default
 *	threads = 4
 *
 * A value is the text that was given.  The default of pod says where it is
 * from: default:POD_NAME or default:host-name.
 */
MUST int conf_show(const struct conf *conf, struct buf *out,
    struct err *err);

/* As conf_show(), as JSON: an array of {section, key, value, origin}. */
MUST int conf_show_json(const struct conf *conf, struct buf *out,
    struct err *err);

/* Append every key commented out at its default, with its sentence: the text
 * of conf/podprof.conf. */
MUST int conf_template(struct buf *out, struct err *err);

/* Variables that begin with PODPROF_ and name no key, in the order met; NULL
 * after the last.  index counts from 0. */
const char *conf_ignored_variable(const struct conf *conf, size_t index);

/* The words of the file for a value: "viewer", "stream", "zstd" … */
const char *conf_role_name(enum conf_role role);
const char *conf_method_name(enum conf_method method);
/* The value of a word; -1 if there is none. */
int conf_method_of_name(const char *name);
int conf_role_of_name(const char *name);

#endif
