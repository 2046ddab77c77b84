/*
 * `podprof check`: what is wrong with this installation, as far as the tool
 * can see it from here.
 */
#ifndef PODPROF_CHECK_H
#define PODPROF_CHECK_H

#include <stdbool.h>

#include "conf.h"

/* How long an inspector has for a TCP connection. */
#define CHECK_CONNECT_MS 1000

enum check_status {
	CHECK_OK,
	CHECK_WARN,	/* works, but perhaps not as meant */
	CHECK_FAIL,	/* does not work; the text says what to do */
};

/* Called for each finding, in order; what and text are valid during the
 * call. */
typedef void check_report_fn(void *ctx, enum check_status status,
    const char *what, const char *text);

/*
 * Look at the directories, the tokens file, the database and, for each app,
 * its inspector and what its method needs.
 *
 * Run by root it makes and writes nothing, and reports owners and modes:
 * what root makes, the service could not use.  Else it looks as the service
 * would: state_dir and exchange_dir are written to, and the database's schema
 * brought up to date.
 *
 * Returns true if nothing failed.
 */
bool check_run(const struct conf *conf, check_report_fn *report, void *ctx);

#endif
