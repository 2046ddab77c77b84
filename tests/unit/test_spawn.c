#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "log.h"
#include "spawn.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"

/* What /proc/self/exe is said to be. */
static char exe[300];

ssize_t __wrap_readlink(const char *path, char *out, size_t size);
ssize_t __real_readlink(const char *path, char *out, size_t size);

ssize_t
__wrap_readlink(const char *path, char *out, size_t size)
{
	if (strcmp(path, "/proc/self/exe") != 0)
		return __real_readlink(path, out, size);
	assert_true(strlen(exe) < size);
	memcpy(out, exe, strlen(exe));
	return (ssize_t)strlen(exe);
}

/*
 * The program that is started is this one again, by a link of the name
 * podprof-capture.  It writes what it sees of itself to a file and its stderr.
 */
static void
report_descriptors(FILE *out, int own)
{
	char path[64], target[300];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	ssize_t n;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir) || fd == own)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = __real_readlink(path, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		(void)fprintf(out, "fd %d %s\n", fd, target);
	}
	(void)closedir(dir);
}

static int
report(int argc, char *argv[])
{
	const char *path = getenv("PODPROF_TEST_OUT");
	char done[400];
	struct sigaction action;
	sigset_t mask;
	FILE *out;
	int i;

	if (path == NULL || (out = fopen(path, "w")) == NULL)
		return 3;
	for (i = 0; i < argc; i++)
		(void)fprintf(out, "arg %s\n", argv[i]);
	for (i = 0; environ[i] != NULL; i++)
		(void)fprintf(out, "env %s\n", environ[i]);
	report_descriptors(out, fileno(out));
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (i = 1; i < NSIG; i++) {
		if (sigismember(&mask, i) == 1)
			(void)fprintf(out, "blocked %d\n", i);
		if (sigaction(i, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN)
			(void)fprintf(out, "ignored %d\n", i);
	}
	(void)fprintf(out, "leader %d\n", getsid(0) == getpid());
	(void)fprintf(stderr, "a line of the child\n");
	(void)snprintf(done, sizeof(done), "%s.done", path);
	return fclose(out) == 0 && rename(path, done) == 0 ? 0 : 4;
}

struct fixture {
	char dir[256];
	char out[300];
	char done[310];
	char log[300];
	struct conf conf;
	char text[16384];
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char self[300], link[300];
	ssize_t n;

	if (f == NULL)
		return -1;
	test_make_dir(f->dir);
	n = __real_readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	(void)snprintf(link, sizeof(link), "%s/podprof-capture", f->dir);
	assert_int_equal(symlink(self, link), 0);
	(void)snprintf(exe, sizeof(exe), "%s/podprof.fcgi", f->dir);
	(void)snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
	(void)snprintf(f->done, sizeof(f->done), "%s/out.done", f->dir);
	(void)snprintf(f->log, sizeof(f->log), "%s/capture.log", f->dir);
	assert_int_equal(setenv("PODPROF_TEST_OUT", f->out, 1), 0);
	f->conf.state_dir = f->dir;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	log_bind(NULL, NULL);
	test_remove_dir(f->dir);
	free(f);
	return 0;
}

static void
read_text(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(out, 1, size - 1, file);
	out[n] = '\0';
	(void)fclose(file);
}

/* Start, wait for the end, read the report. */
static void
start_task(struct fixture *f, enum spawn_task task, const char *name,
    enum spawn_log log)
{
	struct err err;
	int status;
	pid_t pid;

	(void)unlink(f->done);
	assert_ok(spawn_capture(&f->conf, task, name, log, &pid, &err), err);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	read_text(f->done, f->text, sizeof(f->text));
}

static void
start(struct fixture *f, enum spawn_log log)
{
	start_task(f, SPAWN_JOB, JOB, log);
}

static void
assert_has(const struct fixture *f, const char *line)
{
	if (strstr(f->text, line) == NULL)
		fail_msg("no \"%s\" in: %s", line, f->text);
}

static void
assert_lacks(const struct fixture *f, const char *line)
{
	if (strstr(f->text, line) != NULL)
		fail_msg("\"%s\" in: %s", line, f->text);
}

static void
arguments_carry_job_request_and_file(void **state)
{
	static const char plain[] = "arg podprof-capture\narg --\n"
	    "arg " JOB "\nenv ";
	struct fixture *f = *state;
	char path[] = "/etc/some where/podprof.conf";

	start(f, SPAWN_LOG_FILE);
	assert_memory_equal(f->text, plain, strlen(plain));
	log_bind("req-1", NULL);
	f->conf.path = path;
	start(f, SPAWN_LOG_FILE);
	assert_has(f, "arg podprof-capture\narg -c\n"
	    "arg /etc/some where/podprof.conf\narg --request\narg req-1\n"
	    "arg --\narg " JOB "\nenv ");
}

/* Whatever the app is called, its name is no option. */
static void
look_names_the_app(void **state)
{
	static const char *const names[] = { "shop", "-c", "--help" };
	struct fixture *f = *state;
	char path[] = "/etc/podprof.conf", want[200];
	size_t i;

	f->conf.path = path;
	log_bind("req-1", NULL);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		start_task(f, SPAWN_LOOK, names[i], SPAWN_LOG_STDERR);
		(void)snprintf(want, sizeof(want), "arg podprof-capture\n"
		    "arg -c\narg /etc/podprof.conf\narg --request\n"
		    "arg req-1\narg --look\narg %s\nenv ", names[i]);
		assert_memory_equal(f->text, want, strlen(want));
		assert_has(f, "leader 1\n");
		assert_lacks(f, "blocked");
	}
	start_task(f, SPAWN_CLOSE, "shop", SPAWN_LOG_STDERR);
	assert_has(f, "arg --close\narg shop\n");
	start_task(f, SPAWN_SUMMARY, JOB, SPAWN_LOG_STDERR);
	assert_has(f, "arg --summarize\narg " JOB "\n");
	start_task(f, SPAWN_LOOK, "shop", SPAWN_LOG_FILE);
	read_text(f->log, f->text, sizeof(f->text));
	assert_string_equal(f->text, "a line of the child\n");
}

static void
environment_is_filtered(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(setenv("PODPROF_STATE_DIR", "/x", 1), 0);
	assert_int_equal(setenv("POD_NAME", "pod-1", 1), 0);
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	assert_int_equal(setenv("POD_NAMES", "no", 1), 0);
	assert_int_equal(setenv("HTTP_PROXY", "no", 1), 0);
	assert_int_equal(setenv("HTTP_PODPROF_X", "no", 1), 0);
	assert_int_equal(setenv("LD_LIBRARY_PATH", "/no", 1), 0);
	start(f, SPAWN_LOG_FILE);
	assert_has(f, "env PODPROF_STATE_DIR=/x\n");
	assert_has(f, "env POD_NAME=pod-1\n");
	assert_has(f, "env TZ=UTC\n");
	assert_lacks(f, "POD_NAMES");
	assert_lacks(f, "HTTP_");
	assert_lacks(f, "LD_LIBRARY_PATH");
	assert_lacks(f, "env PATH=");
}

static void
no_descriptor_is_inherited(void **state)
{
	struct fixture *f = *state;
	char want[600];
	int leaked, far, saved, log;

	/* Neither is close-on-exec, one lies far out. */
	leaked = open("/proc/self/status", O_RDONLY);
	far = fcntl(leaked, F_DUPFD, 900);
	assert_true(leaked > 2 && far >= 900);
	start(f, SPAWN_LOG_FILE);
	(void)snprintf(want, sizeof(want), "fd 0 /dev/null\nfd 1 /dev/null\n"
	    "fd 2 %s\nleader 1\n", f->log);
	assert_has(f, want);
	/* Our own stderr, even where it would close on exec. */
	saved = dup(2);
	(void)snprintf(want, sizeof(want), "%s/stderr", f->dir);
	log = open(want, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(dup3(log, 2, O_CLOEXEC), 2);
	start(f, SPAWN_LOG_STDERR);
	/* Without any, nowhere. */
	(void)close(2);
	(void)snprintf(want, sizeof(want), "fd 0 /dev/null\nfd 1 /dev/null\n"
	    "fd 2 %s/stderr\nleader 1\n", f->dir);
	assert_has(f, want);
	start(f, SPAWN_LOG_STDERR);
	assert_int_equal(dup2(saved, 2), 2);
	assert_has(f, "fd 2 /dev/null\nleader 1\n");
	(void)close(saved);
	(void)close(log);
	(void)close(leaked);
	(void)close(far);
}

static void
signals_are_as_at_birth(void **state)
{
	struct fixture *f = *state;
	sigset_t all, old;

	(void)sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_SETMASK, &all, &old), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	start(f, SPAWN_LOG_FILE);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGUSR1, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
	assert_lacks(f, "blocked");
	assert_lacks(f, "ignored");
	assert_has(f, "leader 1\n");
}

static void
log_file_is_appended_to(void **state)
{
	struct fixture *f = *state;
	char text[200];
	struct stat st;

	start(f, SPAWN_LOG_FILE);
	start(f, SPAWN_LOG_FILE);
	read_text(f->log, text, sizeof(text));
	assert_string_equal(text,
	    "a line of the child\na line of the child\n");
	assert_int_equal(stat(f->log, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
full_log_is_put_aside(void **state)
{
	struct fixture *f = *state;
	char aside[310], text[100];
	struct stat st;
	int fd, held;

	(void)snprintf(aside, sizeof(aside), "%s.1", f->log);
	start(f, SPAWN_LOG_FILE);
	/* Exactly full is not over. */
	assert_int_equal(truncate(f->log, 1 << 20), 0);
	start(f, SPAWN_LOG_FILE);
	assert_int_equal(stat(aside, &st), -1);
	/* Whoever holds the lock puts it aside: leave it to him. */
	held = open(f->log, O_RDONLY);
	assert_int_equal(flock(held, LOCK_EX), 0);
	start(f, SPAWN_LOG_FILE);
	assert_int_equal(stat(aside, &st), -1);
	(void)close(held);
	start(f, SPAWN_LOG_FILE);
	assert_int_equal(stat(aside, &st), 0);
	assert_true(st.st_size > 1 << 20);
	read_text(f->log, text, sizeof(text));
	assert_string_equal(text, "a line of the child\n");
	/* One is kept: the next replaces it. */
	fd = open(f->log, O_WRONLY | O_TRUNC);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	(void)close(fd);
	start(f, SPAWN_LOG_FILE);
	assert_int_equal(stat(aside, &st), 0);
	assert_int_equal(st.st_size, 3 << 20);
}

static void
log_that_cannot_be_opened_is_told(void **state)
{
	struct fixture *f = *state;
	char victim[300], text[100];
	struct err err;
	FILE *file;
	pid_t pid;

	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	file = fopen(victim, "w");
	assert_non_null(file);
	(void)fputs("keep", file);
	(void)fclose(file);
	assert_int_equal(symlink(victim, f->log), 0);
	assert_err(spawn_capture(&f->conf, SPAWN_JOB, JOB, SPAWN_LOG_FILE,
	    &pid, &err), err, ERR_STORE, f->log);
	read_text(victim, text, sizeof(text));
	assert_string_equal(text, "keep");
	f->conf.state_dir = "/nonexistent";
	assert_err(spawn_capture(&f->conf, SPAWN_JOB, JOB, SPAWN_LOG_FILE,
	    &pid, &err), err, ERR_STORE, "No such file or directory");
}

static void
program_is_beside_ours(void **state)
{
	struct fixture *f = *state;
	char want[400];
	struct err err;
	pid_t pid;

	/* As the kernel shows us after an upgrade. */
	(void)snprintf(exe, sizeof(exe), "%s/podprof.fcgi (deleted)", f->dir);
	start(f, SPAWN_LOG_FILE);
	assert_has(f, "arg " JOB);
	(void)snprintf(exe, sizeof(exe), "%s/gone/podprof.fcgi", f->dir);
	(void)snprintf(want, sizeof(want), "cannot start "
	    "%s/gone/podprof-capture: No such file or directory; install "
	    "podprof anew", f->dir);
	assert_err(spawn_capture(&f->conf, SPAWN_JOB, JOB, SPAWN_LOG_STDERR,
	    &pid, &err), err, ERR_INTERNAL, want);
	(void)snprintf(exe, sizeof(exe), "podprof.fcgi");
	assert_err(spawn_capture(&f->conf, SPAWN_JOB, JOB, SPAWN_LOG_STDERR,
	    &pid, &err), err, ERR_INTERNAL,
	    "cannot tell where podprof-capture is");
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    arguments_carry_job_request_and_file, setup, teardown),
		cmocka_unit_test_setup_teardown(look_names_the_app, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(environment_is_filtered,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(no_descriptor_is_inherited,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(signals_are_as_at_birth,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(log_file_is_appended_to,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(full_log_is_put_aside, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    log_that_cannot_be_opened_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(program_is_beside_ours, setup,
		    teardown),
	};

	if (strcmp(argv[0], "podprof-capture") == 0)
		return report(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
