/*
 * Starts podprof-capture by posix_spawn(3): in a process with threads nothing
 * else is safe between fork and exec.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

#define PROGRAM "podprof-capture"
#define CAPTURE_LOG_MAX (1 << 20)
#define LOG_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW)

/* Beside those that begin with PODPROF_; the last three belong to builds with
 * sanitizers. */
static const char *const kept_variables[] = {
	"POD_NAME",
	"TZ",
	"ASAN_OPTIONS",
	"LSAN_OPTIONS",
	"UBSAN_OPTIONS",
};

bool
spawn_keeps(const char *variable)
{
	size_t i, len;

	/* But for the one secret among them, which it has no use for. */
	if (strncmp(variable, "PODPROF_", 8) == 0)
		return strncmp(variable, "PODPROF_TOKEN=", 14) != 0;
	for (i = 0; i < sizeof(kept_variables) / sizeof(kept_variables[0]);
	     i++) {
		len = strlen(kept_variables[i]);
		if (strncmp(variable, kept_variables[i], len) == 0 &&
		    variable[len] == '=')
			return true;
	}
	return false;
}

/* Pointers into environ; free the array only. */
static char **
filter_environment(void)
{
	size_t i, len = 0;
	char **out;

	while (environ[len] != NULL)
		len++;
	out = calloc(len + 1, sizeof(*out));
	if (out == NULL)
		return NULL;
	for (i = len = 0; environ[i] != NULL; i++)
		if (spawn_keeps(environ[i]))
			out[len++] = environ[i];
	return out;
}

/* Put a log that is full aside.  Whoever else holds the lock does it. */
static void
rotate_log(int fd, const char *path)
{
	char aside[PATH_MAX];
	struct stat ours, there;

	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return;
	/* Another may have put ours aside before we had the lock. */
	if (fstat(fd, &ours) == 0 && ours.st_size > CAPTURE_LOG_MAX &&
	    lstat(path, &there) == 0 && there.st_ino == ours.st_ino &&
	    snprintf(aside, sizeof(aside), "%s.1", path) < PATH_MAX)
		/* Without it the log grows, and the capture goes on. */
		(void)!rename(path, aside);
}

static int
open_log(const char *path, int *ret_fd, struct err *err)
{
	*ret_fd = open(path, LOG_FLAGS | O_CLOEXEC, 0600);
	if (*ret_fd >= 0)
		return 0;
	return err_set_errno(err, ERR_STORE, errno,
	    "cannot open %s for the log lines of " PROGRAM, path);
}

/* Prove that the log can be opened while we can still say why not: of a child
 * that fails to open it only an errno is known. */
static int
prepare_log(const char *state_dir, char out[PATH_MAX], struct err *err)
{
	int fd;

	if (snprintf(out, PATH_MAX, "%s/capture.log", state_dir) >= PATH_MAX)
		return err_set(err, ERR_STORE, "%s: path too long", state_dir);
	if (open_log(out, &fd, err) != 0)
		return -1;
	rotate_log(fd, out);
	(void)close(fd);
	return 0;
}

int
spawn_open_log(const char *state_dir, int *ret_fd, struct err *err)
{
	char path[PATH_MAX];

	if (prepare_log(state_dir, path, err) != 0)
		return -1;
	return open_log(path, ret_fd, err);
}

/* log_path NULL: our own stderr, or nowhere if we have none.  0, or errno. */
static int
add_actions(posix_spawn_file_actions_t *actions, const char *log_path)
{
	int errnum;

	errnum = posix_spawn_file_actions_addopen(actions, 0, "/dev/null",
	    O_RDONLY, 0);
	if (errnum == 0)
		errnum = posix_spawn_file_actions_addopen(actions, 1,
		    "/dev/null", O_WRONLY, 0);
	if (errnum == 0 && log_path != NULL)
		errnum = posix_spawn_file_actions_addopen(actions, 2,
		    log_path, LOG_FLAGS, 0600);
	else if (errnum == 0 && fcntl(2, F_GETFD) < 0)
		errnum = posix_spawn_file_actions_addopen(actions, 2,
		    "/dev/null", O_WRONLY, 0);
	else if (errnum == 0) /* onto itself: takes close-on-exec away */
		errnum = posix_spawn_file_actions_adddup2(actions, 2, 2);
	if (errnum == 0)
		errnum = posix_spawn_file_actions_addclosefrom_np(actions, 3);
	return errnum;
}

/* A session of its own and no signal blocked or ignored; 0, or errno. */
static int
set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int errnum;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGKILL);
	(void)sigdelset(&all, SIGSTOP);
	errnum = posix_spawnattr_setsigmask(attr, &none);
	if (errnum == 0)
		errnum = posix_spawnattr_setsigdefault(attr, &all);
	if (errnum == 0)
		errnum = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID |
		    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return errnum;
}

int
spawn_process(const char *program, const posix_spawn_file_actions_t *actions,
    char *argv[], char *envp[], pid_t *ret_pid)
{
	posix_spawnattr_t attr;
	int errnum;

	errnum = posix_spawnattr_init(&attr);
	if (errnum != 0)
		return errnum;
	errnum = set_attributes(&attr);
	if (errnum == 0)
		errnum = posix_spawn(ret_pid, program, actions, &attr, argv,
		    envp);
	(void)posix_spawnattr_destroy(&attr);
	return errnum;
}

char *
spawn_arg(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {s};

	return u.out;
}

static int
spawn(const char *program, char *argv[], char *envp[], const char *log_path,
    pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int errnum;

	errnum = posix_spawn_file_actions_init(&actions);
	if (errnum != 0)
		return errnum;
	errnum = add_actions(&actions, log_path);
	if (errnum == 0)
		errnum = spawn_process(program, &actions, argv, envp, ret_pid);
	(void)posix_spawn_file_actions_destroy(&actions);
	return errnum;
}

/* By enum spawn_task: what stands before the name. */
static const char *const task_options[] = {
	[SPAWN_JOB] = "--",
	[SPAWN_LOOK] = "--look",
	[SPAWN_CLOSE] = "--close",
	[SPAWN_SUMMARY] = "--summarize",
};

/* The pointers only are copied. */
#define ARGV_MAX 8
static void
fill_arguments(const struct conf *conf, enum spawn_task task,
    const char *name, char *argv[ARGV_MAX])
{
	size_t n = 0;

	argv[n++] = spawn_arg(PROGRAM);
	if (conf->path != NULL) {
		argv[n++] = spawn_arg("-c");
		argv[n++] = conf->path;
	}
	if (log_request_id()[0] != '\0') {
		argv[n++] = spawn_arg("--request");
		argv[n++] = spawn_arg(log_request_id());
	}
	argv[n++] = spawn_arg(task_options[task]);
	argv[n++] = spawn_arg(name);
	argv[n] = NULL;
}

int
spawn_capture(const struct conf *conf, enum spawn_task task,
    const char *name, enum spawn_log log, pid_t *ret_pid, struct err *err)
{
	char program[PATH_MAX], log_path[PATH_MAX];
	char *argv[ARGV_MAX], **envp = NULL;
	pid_t pid;
	int errnum;

	if (file_beside_program(PROGRAM, program, sizeof(program), err) != 0)
		return -1;
	if (log == SPAWN_LOG_FILE &&
	    prepare_log(conf->state_dir, log_path, err) != 0)
		return -1;
	fill_arguments(conf, task, name, argv);
	envp = filter_environment();
	if (envp == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start %s",
		    program);
	errnum = spawn(program, argv, envp,
	    log == SPAWN_LOG_FILE ? log_path : NULL, &pid);
	free(envp);
	if (errnum == ENOENT)
		return err_set(err, ERR_INTERNAL, "cannot start %s: %s; "
		    "install podprof anew", program, strerror(errnum));
	if (errnum != 0)
		return err_set_errno(err, ERR_INTERNAL, errnum,
		    "cannot start %s", program);
	*ret_pid = pid;
	return 0;
}
