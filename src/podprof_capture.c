/*
 * podprof-capture: runs one job, or does one thing for an app or with the file
 * of a job, and ends.
 * Started by podprof.fcgi, never by hand; its log lines carry the request that
 * asked for it.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "activate.h"
#include "capture.h"
#include "conf.h"
#include "config.h"
#include "db.h"
#include "job.h"
#include "log.h"
#include "spawn.h"
#include "summary.h"
#include "watchdog.h"

extern char **environ;

struct options {
	const char *config;
	const char *request_id;
	enum spawn_task task;
	const char *name;		/* of the job, or the app */
};

/* 0, or the exit status. */
static int
options_read(int argc, char *argv[], struct options *ret_options, int *ret_exit)
{
	static const struct option longs[] = {
		{ "close", required_argument, NULL, 'o' },
		{ "look", required_argument, NULL, 'l' },
		{ "request", required_argument, NULL, 'r' },
		{ "summarize", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*ret_exit = 2;
	while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			ret_options->config = optarg;
			break;
		case 'l':
		case 'o':
		case 's':
			ret_options->task = c == 'l' ? SPAWN_LOOK :
			    c == 'o'		     ? SPAWN_CLOSE :
						       SPAWN_SUMMARY;
			ret_options->name = optarg;
			break;
		case 'r':
			ret_options->request_id = optarg;
			break;
		case 'V':
			printf("podprof-capture %s\n", PACKAGE_VERSION);
			*ret_exit = 0;
			return -1;
		default:
			return -1;
		}
	}
	if (argc - optind != (ret_options->name == NULL)) {
		fprintf(stderr, "usage: podprof-capture [-c FILE] "
		    "[--request ID] JOB | --look APP | --close APP | "
		    "--summarize JOB\n"
		    "It is started by podprof.fcgi; see "
		    "podprof-capture(8).\n");
		return -1;
	}
	if (ret_options->name == NULL)
		ret_options->name = argv[optind];
	return 0;
}

static int
run(const struct options *options, struct err *err)
{
	struct conf *conf = NULL;
	struct db *db = NULL;
	int ret = -1;

	if (conf_load(options->config, environ, &conf, err) != 0)
		goto out;
	log_setup(conf->log_level, conf->log_format);
	if (options->task == SPAWN_CLOSE) {
		ret = activate_close(conf->state_dir, options->name, err);
		goto out;
	}
	if (job_open_db(conf->state_dir, &db, err) != 0)
		goto out;
	if (options->task == SPAWN_LOOK)
		ret = capture_look(conf, db, options->name, err);
	else if (options->task == SPAWN_SUMMARY)
		ret = summary_run(conf, db, options->name, err);
	else
		ret = capture_run(conf, db, options->name, err);
out:
	db_close(&db);
	conf_free(&conf);
	return ret;
}

int
main(int argc, char *argv[])
{
	/* By enum spawn_task. */
	static const char *const tasks[] = { "the job", "looking at the app",
		"closing the app's inspector", "the summary" };
	struct options options = { .task = SPAWN_JOB };
	struct err err;
	int status;

	status = watchdog_main(argc, argv);
	if (status >= 0)
		return status;
	if (options_read(argc, argv, &options, &status) != 0)
		return status;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077);
	log_bind(options.request_id, options.task == SPAWN_JOB ||
	    options.task == SPAWN_SUMMARY ? options.name : NULL);
	if (run(&options, &err) == 0)
		return 0;
	/* What was canceled, or given up by others, is nobody's fault. */
	if (err.code == ERR_CONFLICT)
		log_info("capture", "%s ended: %s", tasks[options.task],
		    err.msg);
	else
		log_error("capture", "%s failed: %s", tasks[options.task],
		    err.msg);
	/* The last word where the job's row could not be written. */
	return JOB_EXIT_ERROR + (int)err.code;
}
