/*
 * podprof.fcgi: reads the configuration, finds out how it was started, and is
 * a FastCGI pool or a CGI program.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact.h"
#include "ballast.h"
#include "cgi.h"
#include "conf.h"
#include "err.h"
#include "gate.h"
#include "job.h"
#include "log.h"
#include "pool.h"
#include "service.h"
#include "shield.h"

/* For requests that arrive or are queued, databases and threads; a request that
 * waits, for a job or an app, takes one more, and one that is sent two; and two
 * askers for each app. */
#define DESCRIPTORS 1024

extern char **environ;

static int
usage(void)
{
	(void)fputs(
	    "usage: podprof.fcgi [-c FILE]\n"
	    "It is started by a web server or spawn-fcgi, not by hand: as "
	    "FastCGI with a\n"
	    "listening socket on descriptor 0, or as a CGI program with "
	    "REQUEST_METHOD set.\n"
	    "For example: spawn-fcgi -n -s /run/podprof/podprof.sock -M 0660 -- "
	    "podprof.fcgi\n"
	    "See podprof.fcgi(8).\n", stderr);
	return 2;
}

static void
report(const struct err *err)
{
	(void)fprintf(stderr, "podprof.fcgi: %s\n", err->msg);
}

static void
raise_limits(const struct conf *conf)
{
	const rlim_t wanted = DESCRIPTORS +
	    (rlim_t)(conf->waiting + 2 * conf->downloads) +
	    SHIELD_PARKED_MAX + 2 * (rlim_t)conf->apps_len;
	struct rlimit limit;

	/* Threads would each get an arena, and keep what it grew to. */
	(void)mallopt(M_ARENA_MAX, 2);
	/* What a download decompresses with is given back to the kernel after
	 * it; left alone, this bound grows with what was freed. */
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 10);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* On a full disk much can be done still, and removing what makes room must be:
 * the keeper will say when it is over. */
static int
forgive_space(int rc, const struct err *err)
{
	if (rc == 0 || err->code != ERR_SPACE)
		return rc;
	log_error("pool", "starting on a full disk: %s", err->msg);
	return 0;
}

/* What would make every request fail is better told at the start. */
static int
check_state(const struct conf *conf, struct err *err)
{
	struct db *db = NULL;
	int rc;

	rc = artifact_check_dirs(
	    conf->state_dir, conf_shares_files(conf), err);
	if (rc == 0)
		rc = ballast_make(conf->state_dir, err);
	if (forgive_space(rc, err) != 0)
		return -1;
	rc = job_open_db(conf->state_dir, &db, err);
	db_close(&db);
	return forgive_space(rc, err);
}

static int
run_pool(const struct conf *conf)
{
	struct service *service = NULL;
	struct err err;
	bool idle = true;
	int rc;

	raise_limits(conf);
	rc = check_state(conf, &err);
	if (rc == 0)
		rc = service_new(conf, SPAWN_LOG_STDERR, &service, &err);
	if (rc == 0)
		rc = pool_run(service, &idle, &err);
	if (rc != 0)
		report(&err);
	/* Others may still use what would be freed. */
	if (!idle)
		_exit(EXIT_SUCCESS);
	service_free(&service);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	const enum gate_mode mode = gate_mode();
	const char *path = NULL;
	struct conf *conf = NULL;
	struct err err;
	int option, rc = EXIT_SUCCESS;

	(void)umask(0077);
	/* A CGI program's arguments may be words of the query (RFC 3875, 4.4):
	 * they are no options of ours. */
	while (mode != GATE_CGI &&
	    (option = getopt(argc, argv, "c:")) != -1) {
		if (option != 'c')
			return usage();
		path = optarg;
	}
	if (mode == GATE_NEITHER || (mode == GATE_FASTCGI && optind < argc))
		return usage();
	if (conf_load(path, environ, &conf, &err) != 0) {
		report(&err);
		if (mode == GATE_CGI)
			cgi_refuse(environ);
		return mode == GATE_CGI ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	log_setup(conf->log_level, conf->log_format);
	if (mode == GATE_CGI)
		cgi_run(conf, environ);
	else
		rc = run_pool(conf);
	conf_free(&conf);
	return rc;
}
