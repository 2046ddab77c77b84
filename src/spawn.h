/*
 * Starting podprof-capture, for a job, its file, or something about an app.
 *
 * The child gets a session of its own, default signals, /dev/null on 0 and 1,
 * and no descriptor but a place for its log lines on 2, so that no web server
 * ever waits for it, and it outlives whoever started it.
 */
#ifndef PODPROF_SPAWN_H
#define PODPROF_SPAWN_H

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"
#include "err.h"

/* What it is started for. */
enum spawn_task {
	SPAWN_JOB,	/* a job that is queued: podprof-capture ID */
	SPAWN_LOOK,	/* an app, see look.h: podprof-capture --look NAME */
	SPAWN_CLOSE,	/* an app whose inspector was left open, see activate.h:
			 * podprof-capture --close NAME */
	SPAWN_SUMMARY,	/* a job whose heap snapshot is to be summarized, see
			 * summary.h: podprof-capture --summarize ID */
};

/* Where the child's stderr goes. */
enum spawn_log {
	SPAWN_LOG_STDERR,	/* to ours: a pool under systemd, spawn-fcgi or
				 * a container runtime */
	SPAWN_LOG_FILE,		/* to STATE_DIR/capture.log, for plain CGI, where
				 * our stderr is the web server's and would
				 * hold the answer back; put aside as
				 * capture.log.1 when over 1 MiB */
};

/*
 * Start podprof-capture.
 *
 * name  the job's id, or the app's name.
 *
 * It is the program of that name beside our own (/proc/self/exe), and gets
 * its task, the bound request id (log.h) and the path of the configuration
 * file by argv, and the PODPROF_ variables, POD_NAME and TZ by environment.
 *
 *   ERR_INTERNAL  it cannot be started; the message has the path and why
 *   ERR_STORE     capture.log cannot be opened
 *   ERR_NOMEM
 */
MUST int spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err);

/*
 * Start a program as all that we start are: in a session of its own, so that
 * what ends us by our group does not end it, with no signal blocked or
 * ignored.  0, or an errno.
 */
MUST int spawn_process(const char *program,
    const posix_spawn_file_actions_t *actions, char *argv[], char *envp[],
    pid_t *ret_pid);

/* Does a program of ours get this variable ("NAME=VALUE") of our environment:
 * PODPROF_ but the token, POD_NAME, TZ, and what sanitizers read? */
bool spawn_keeps(const char *variable);

/*
 * Open STATE_DIR/capture.log to append to it, close-on-exec; put aside before
 * if it is full.  ERR_STORE.
 */
MUST int spawn_open_log(const char *state_dir, int *ret_fd, struct err *err);

/* An argument for it: execve(2) takes char *, and changes none of it. */
char *spawn_arg(const char *s);

#endif
