/*
 * `podprof check`: what is wrong with this installation, as far as the tool
 * can see it from here.
 */
#ifndef PODPROF_CHECK_H
#define PODPROF_CHECK_H

#include <stdbool.h>

#include "conf.h"

/* How long each question to an inspector, a pool or a web server may take. */
#define CHECK_WAIT_MS 2000

/* Where the shipped examples have the pool's socket. */
#define CHECK_SOCKET "/run/podprof/podprof.sock"

enum check_status {
	CHECK_OK,
	CHECK_WARN,	/* works, but perhaps not as meant */
	CHECK_FAIL,	/* does not work; the text says what to do */
};

/* Called for each finding, in order; what and text are valid during the
 * call. */
typedef void check_report_fn(void *ctx, enum check_status status,
    const char *what, const char *text);

/* What the configuration does not say. */
struct check_options {
	const char *socket;	/* the pool's; NULL: CHECK_SOCKET, which may
				 * be absent */
	const char *url;	/* of the web server, http://HOST[:PORT][/PATH]
				 * before /livez; NULL: it is not asked */
	const char *token;	/* for it; NULL: none */
};

/*
 * Look at the configuration, the directories, the tokens file, the database,
 * disk, memory and clock, the pool's socket; for each app at its inspector,
 * health_url and what its method needs; and at the web server.
 *
 * Run by root it makes and writes nothing, and reports owners and modes:
 * what root makes, the service could not use.  Else it looks as the service
 * would: state_dir and exchange_dir are written to, and the database is opened.
 * Nothing is captured, and no inspector is opened.
 *
 * Returns true if nothing failed.
 */
bool check_run(const struct conf *conf, const struct check_options *options,
    check_report_fn *report, void *ctx);

#endif
