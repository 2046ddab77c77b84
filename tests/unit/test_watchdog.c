#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

#include "clock.h"
#include "exchange.h"
#include "log.h"
#include "watchdog.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
#define WAIT_MS 30000	/* for what takes no time, on a busy machine */
#define NO_PIDFD "PODPROF_TEST_NO_PIDFD"

/* What is started in place of the watchdog, and calls that fail. */
static const char *instead;
static int spawn_errno, socketpair_errno;
static bool calloc_fails;
static char warned[512];
static int warnings;

int __wrap_posix_spawn(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[]);
int __real_posix_spawn(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __real_socketpair(int domain, int type, int protocol, int fds[2]);
void *__wrap_calloc(size_t len, size_t size);
void *__real_calloc(size_t len, size_t size);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __real_pidfd_open(pid_t pid, unsigned flags);
void __wrap_log_warn(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

int
__wrap_posix_spawn(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	if (spawn_errno != 0)
		return spawn_errno;
	return __real_posix_spawn(pid, instead != NULL ? instead : path,
	    actions, attr, argv, envp);
}

int
__wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	if (socketpair_errno == 0)
		return __real_socketpair(domain, type, protocol, fds);
	errno = socketpair_errno;
	return -1;
}

void *
__wrap_calloc(size_t len, size_t size)
{
	return calloc_fails ? NULL : __real_calloc(len, size);
}

/* Also in the watchdog, which is this program again. */
int
__wrap_pidfd_open(pid_t pid, unsigned flags)
{
	if (getenv(NO_PIDFD) == NULL)
		return __real_pidfd_open(pid, flags);
	errno = EPERM;
	return -1;
}

void
__wrap_log_warn(const char *module, const char *fmt, ...)
{
	va_list ap;

	(void)module;
	va_start(ap, fmt);
	(void)vsnprintf(warned, sizeof(warned), fmt, ap);
	va_end(ap);
	warnings++;
}

/*
 * A process in the place of podprof-capture, with a directory in exchange_dir
 * and a watchdog; what they log goes to a file.
 */
struct charge {
	pid_t pid;
	pid_t watchdog;
	char fifo[EXCHANGE_PATH_MAX];
};

struct fixture {
	char base[256];
	char dir[300];
	char log[300];
	char said[8192];
	/* Of the next charge. */
	bool is_patient;
	int session;
	const char *parting;	/* NULL: none */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	test_make_dir(f->base);
	(void)snprintf(f->dir, sizeof(f->dir), "%s/exchange", f->base);
	(void)snprintf(f->log, sizeof(f->log), "%s/log", f->base);
	assert_int_equal(mkdir(f->dir, 0770), 0);
	f->session = -1;
	warned[0] = '\0';
	warnings = 0;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	instead = NULL;
	spawn_errno = socketpair_errno = 0;
	calloc_fails = false;
	(void)unsetenv(NO_PIDFD);
	log_bind(NULL, NULL);
	test_remove_dir(f->base);
	free(f);
	return 0;
}

static size_t
count(const char *path)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static const char *
said(struct fixture *f)
{
	FILE *file = fopen(f->log, "r");
	size_t n = 0;

	if (file != NULL) {
		n = fread(f->said, 1, sizeof(f->said) - 1, file);
		(void)fclose(file);
	}
	f->said[n] = '\0';
	return f->said;
}

static void
nap(void)
{
	const struct timespec pause = {0, 5000000};

	(void)nanosleep(&pause, NULL);
}

/* The rest of a line of /proc/PID/stat after the name, which is put in out;
 * NULL if there is no such process. */
static const char *
read_stat(const char *pid, char out[1024], char name[32])
{
	char path[300];
	const char *from, *to;
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return NULL;
	n = fread(out, 1, 1023, file);
	(void)fclose(file);
	out[n] = '\0';
	from = strchr(out, '(');
	to = strrchr(out, ')');
	if (from == NULL || to == NULL)
		return NULL;
	(void)snprintf(name, 32, "%.*s", (int)(to - from - 1), from + 1);
	return to + 2;
}

/* The watchdog of a process; 0 if it has none. */
static pid_t
watchdog_of(pid_t parent)
{
	char line[1024], name[32], state;
	const struct dirent *entry;
	DIR *dir = opendir("/proc");
	const char *rest;
	pid_t found = 0;
	int ppid;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		rest = read_stat(entry->d_name, line, name);
		if (rest != NULL && strcmp(name, "podprof-watchdo") == 0 &&
		    sscanf(rest, "%c %d", &state, &ppid) == 2 &&
		    ppid == parent)
			found = (pid_t)atoi(entry->d_name);
	}
	(void)closedir(dir);
	return found;
}

/* What a charge does once it has its watchdog. */
typedef void live_fn(struct watchdog **watchdog);

static void
live_silently(struct watchdog **watchdog)
{
	(void)watchdog;
	for (;;)
		(void)pause();
}

static void
live_in_beats(struct watchdog **watchdog)
{
	for (;;) {
		watchdog_beat(*watchdog);
		nap();
	}
}

/* In memory that is shared: when live_in_view() was last seen to live. */
static int64_t *seen_ms;

static void
live_in_view(struct watchdog **watchdog)
{
	for (;;) {
		watchdog_beat(*watchdog);
		*(volatile int64_t *)seen_ms = clock_mono_ms();
		nap();
	}
}

static void
end_by_itself(struct watchdog **watchdog)
{
	(void)watchdog;
}

static void
live(const struct fixture *f, live_fn *then, int ready)
{
	struct exchange *exchange = NULL;
	struct watchdog *watchdog = NULL;
	char path[EXCHANGE_PATH_MAX];
	struct err err;
	int fd, log;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	log = open(f->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, 2) != 2)
		_exit(3);
	if (exchange_create(f->dir, JOB, &exchange, &err) != 0 ||
	    exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err) != 0)
		_exit(4);
	/* As it is before the app has opened it: nobody reads. */
	(void)close(fd);
	if (watchdog_start(f->is_patient ? "" : f->dir, f->session,
		f->parting != NULL ? f->parting : "", &watchdog, &err) != 0) {
		log_error("test", "%s", err.msg);
		_exit(5);
	}
	exchange_path_of(exchange, EXCHANGE_DATA, path);
	if (write(ready, path, strlen(path)) != (ssize_t)strlen(path))
		_exit(6);
	(void)close(ready);
	then(&watchdog);
}

static void
start(const struct fixture *f, live_fn *then, struct charge *charge)
{
	int ready[2];
	ssize_t n;

	assert_int_equal(pipe(ready), 0);
	charge->pid = fork();
	assert_true(charge->pid >= 0);
	if (charge->pid == 0) {
		(void)close(ready[0]);
		live(f, then, ready[1]);
		_exit(0);
	}
	(void)close(ready[1]);
	n = read(ready[0], charge->fifo, sizeof(charge->fifo) - 1);
	assert_true(n > 0);
	charge->fifo[n] = '\0';
	(void)close(ready[0]);
	charge->watchdog = watchdog_of(charge->pid);
}

/* The app: it waits in open(2), and must go on with EPIPE. */
static pid_t
start_writer(const char *path)
{
	char line[1024], name[32], pid_text[16];
	const char *rest;
	pid_t pid = fork();
	int fd;

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)alarm(WAIT_MS / 1000);
		fd = open(path, O_WRONLY);
		while (fd >= 0 && write(fd, path, 1) == 1)
			;
		_exit(fd >= 0 && errno == EPIPE ? 0 : 1);
	}
	(void)snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
	do {
		nap();
		rest = read_stat(pid_text, line, name);
		assert_non_null(rest);
		assert_int_not_equal(rest[0], 'Z');
	} while (rest[0] != 'S');
	return pid;
}

/* The end of a process of ours, or of one whose parent is gone. */
static int
await(pid_t pid)
{
	const int64_t deadline_ms = clock_mono_ms() + WAIT_MS;
	int status = -1;
	pid_t rc;

	while ((rc = waitpid(pid, &status, WNOHANG)) == 0 ||
	    (rc < 0 && errno == ECHILD && kill(pid, 0) == 0)) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%d does not end", (int)pid);
		nap();
	}
	return status;
}

static void
assert_swept(struct fixture *f, const struct charge *charge, pid_t writer)
{
	assert_int_equal(await(charge->watchdog), 0);
	assert_int_equal(await(writer), 0);
	assert_int_equal(count(f->dir), 0);
}

static void
killed_capture_is_swept_after(void **state)
{
	struct fixture *f = *state;
	struct charge charge;
	pid_t writer;

	start(f, live_in_beats, &charge);
	assert_true(charge.watchdog > 0);
	writer = start_writer(charge.fifo);
	assert_int_equal(count(f->dir), 1);
	assert_int_equal(kill(charge.pid, SIGKILL), 0);
	assert_int_equal(await(charge.pid), SIGKILL);
	assert_swept(f, &charge, writer);
	assert_string_equal(said(f), "");
}

static void
ended_capture_is_swept_after(void **state)
{
	struct fixture *f = *state;
	struct charge charge;

	start(f, end_by_itself, &charge);
	assert_int_equal(await(charge.pid), 0);
	/* It may have ended before we looked for its watchdog. */
	while (count(f->dir) != 0)
		nap();
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_string_equal(said(f), "");
}

/* Whatever ends the session of the capture by its group, or asks. */
static void
watchdog_outlives(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT,
	    SIGPIPE, SIGUSR1};
	struct fixture *f = *state;
	struct charge charge;
	pid_t writer;
	size_t i;

	start(f, live_in_beats, &charge);
	assert_int_equal(getsid(charge.watchdog), charge.watchdog);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(kill(charge.watchdog, signals[i]), 0);
	writer = start_writer(charge.fifo);
	assert_int_equal(kill(charge.watchdog, 0), 0);
	assert_int_equal(kill(charge.pid, SIGTERM), 0);
	assert_int_equal(await(charge.pid), SIGTERM);
	assert_swept(f, &charge, writer);
}

/*
 * At the same time: one is stopped; one beats; one is stopped while no app can
 * wait for it; one is frozen together with its watchdog, longer than any may be
 * silent, and both go on.
 */
static void
silence_is_told_from_life(void **state)
{
	struct fixture *f = *state;
	struct charge stopped, living, frozen, patient;
	int64_t start_ms, spent_ms;
	pid_t writer;

	log_bind("request-1", JOB);
	log_setup(LOG_INFO, LOG_JSON);
	start(f, live_in_beats, &living);
	start(f, live_in_beats, &frozen);
	seen_ms = mmap(NULL, sizeof(*seen_ms), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(seen_ms != MAP_FAILED);
	*seen_ms = clock_mono_ms();
	start(f, live_in_view, &stopped);
	f->is_patient = true;
	start(f, live_in_beats, &patient);
	log_setup(LOG_INFO, LOG_LOGFMT);
	writer = start_writer(stopped.fifo);
	assert_int_equal(count(f->dir), 4);
	assert_int_equal(kill(patient.pid, SIGSTOP), 0);
	assert_int_equal(kill(frozen.watchdog, SIGSTOP), 0);
	assert_int_equal(kill(frozen.pid, SIGSTOP), 0);
	assert_int_equal(kill(stopped.pid, SIGSTOP), 0);
	assert_int_equal(await(stopped.pid), SIGKILL);
	/* It may have been kept from running before it was stopped. */
	spent_ms = clock_mono_ms() - *seen_ms;
	assert_int_equal(munmap(seen_ms, sizeof(*seen_ms)), 0);
	if (spent_ms < WATCHDOG_MS - 600 || spent_ms > WATCHDOG_MS + 15000)
		fail_msg("killed after %d ms", (int)spent_ms);
	assert_int_equal(await(stopped.watchdog), 0);
	assert_int_equal(await(writer), 0);
	assert_int_equal(count(f->dir), 3);
	assert_non_null(strstr(said(f), "\"level\":\"error\""));
	assert_non_null(strstr(f->said, "\"request\":\"request-1\""));
	assert_non_null(strstr(f->said, "\"job\":\"" JOB "\""));
	assert_non_null(strstr(f->said, "has not moved for 5000 ms"));
	assert_null(strchr(strchr(f->said, '\n') + 1, '\n'));
	/* Its watchdog first: it finds the time gone, and no beat yet. */
	assert_int_equal(kill(frozen.watchdog, SIGCONT), 0);
	for (start_ms = clock_mono_ms(); clock_mono_ms() < start_ms + 1200;)
		nap();
	assert_int_equal(kill(frozen.pid, SIGCONT), 0);
	for (start_ms = clock_mono_ms(); clock_mono_ms() < start_ms + 1200;)
		nap();
	assert_int_equal(waitpid(frozen.pid, NULL, WNOHANG), 0);
	assert_int_equal(waitpid(living.pid, NULL, WNOHANG), 0);
	assert_int_equal(waitpid(patient.pid, NULL, WNOHANG), 0);
	assert_int_equal(kill(patient.pid, SIGKILL), 0);
	assert_int_equal(await(patient.pid), SIGKILL);
	assert_int_equal(await(patient.watchdog), 0);
	assert_int_equal(count(f->dir), 3);
	assert_int_equal(kill(frozen.pid, SIGKILL), 0);
	assert_int_equal(kill(living.pid, SIGKILL), 0);
	assert_int_equal(await(frozen.pid), SIGKILL);
	assert_int_equal(await(living.pid), SIGKILL);
	assert_int_equal(await(frozen.watchdog), 0);
	assert_int_equal(await(living.watchdog), 0);
	assert_int_equal(count(f->dir), 0);
}

/* The app's end of the session of the next charge. */
static int
make_session(struct fixture *f, live_fn *then, struct charge *charge)
{
	int fds[2];

	assert_int_equal(__real_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC,
	    0, fds), 0);
	f->session = fds[1];
	start(f, then, charge);
	(void)close(fds[1]);
	f->session = -1;
	return fds[0];
}

/* Send for longer than it takes the session to end; false if there was so long
 * a pause that it may have ended. */
static bool
is_kept_alive(int app, int64_t *sent_ms)
{
	char byte = 'b';
	int64_t now_ms;
	bool is_kept;
	int i;

	for (i = 0; i < 500; i++) {
		now_ms = clock_mono_ms();
		is_kept = send(app, &byte, 1, MSG_NOSIGNAL) == 1 &&
		    recv(app, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
		if (clock_mono_ms() - *sent_ms >= WATCHDOG_QUIET_MS)
			return false;
		assert_true(is_kept);
		*sent_ms = now_ms;
		nap();
	}
	return true;
}

/* What the app sends after the capture's death meets no end of the session. */
static void
session_is_kept_until_quiet(void **state)
{
	struct fixture *f = *state;
	struct charge charge;
	int app, attempts = 0;
	int64_t sent_ms;
	bool is_kept;
	char byte;
	pid_t writer;

	do {
		assert_true(attempts++ < 10);
		app = make_session(f, live_in_beats, &charge);
		writer = start_writer(charge.fifo);
		sent_ms = clock_mono_ms();
		assert_int_equal(kill(charge.pid, SIGKILL), 0);
		assert_int_equal(await(charge.pid), SIGKILL);
		/* First those who wait; the watchdog stays. */
		assert_int_equal(await(writer), 0);
		is_kept = is_kept_alive(app, &sent_ms);
		if (is_kept) {
			assert_int_equal(recv(app, &byte, 1, 0), 0);
			assert_true(clock_mono_ms() - sent_ms >
			    WATCHDOG_QUIET_MS - 500);
		}
		assert_int_equal(await(charge.watchdog), 0);
		assert_int_equal(count(f->dir), 0);
		(void)close(app);
	} while (!is_kept);
}

/* The last words are said once the capture is dead, as WebSocket messages. */
static void
parting_is_said(void **state)
{
	static const char frame[] = "\x81\x87\0\0\0\0parting"
	    "\x81\x84\0\0\0\0last";
	struct fixture *f = *state;
	struct charge charge;
	char got[64];
	int app;

	f->parting = "parting\nlast";
	app = make_session(f, live_in_beats, &charge);
	nap();
	assert_int_equal(recv(app, got, 1, MSG_DONTWAIT), -1);
	assert_int_equal(kill(charge.pid, SIGKILL), 0);
	assert_int_equal(await(charge.pid), SIGKILL);
	assert_int_equal(recv(app, got, sizeof(frame) - 1, MSG_WAITALL),
	    sizeof(frame) - 1);
	assert_memory_equal(got, frame, sizeof(frame) - 1);
	(void)close(app);
	assert_int_equal(await(charge.watchdog), 0);
}

/* Where the app is gone, there is nobody to tell. */
static void
parting_in_vain_is_told(void **state)
{
	struct fixture *f = *state;
	struct charge charge;
	int app;

	f->parting = "parting";
	app = make_session(f, live_in_beats, &charge);
	(void)close(app);
	assert_int_equal(kill(charge.pid, SIGKILL), 0);
	assert_int_equal(await(charge.pid), SIGKILL);
	assert_int_equal(await(charge.watchdog), 0);
	assert_non_null(strstr(said(f), "goes on until the thread ends"));
}

static void
session_that_the_app_ends_is_over(void **state)
{
	struct fixture *f = *state;
	struct charge charge;
	int64_t start_ms;
	int app;

	app = make_session(f, live_in_beats, &charge);
	(void)close(app);
	/* Not before the capture's own end, though. */
	start_ms = clock_mono_ms();
	while (clock_mono_ms() < start_ms + 100)
		nap();
	assert_int_equal(waitpid(charge.watchdog, NULL, WNOHANG), -1);
	assert_int_equal(kill(charge.watchdog, 0), 0);
	assert_int_equal(kill(charge.pid, SIGKILL), 0);
	assert_int_equal(await(charge.pid), SIGKILL);
	assert_int_equal(await(charge.watchdog), 0);
	assert_int_equal(count(f->dir), 0);
}

/* Where a filter of system calls refuses pidfd_open. */
static void
works_without_pidfd(void **state)
{
	struct fixture *f = *state;
	struct charge stopped, killed, silent;
	pid_t writers[2];

	assert_int_equal(setenv(NO_PIDFD, "1", 1), 0);
	start(f, live_in_beats, &stopped);
	start(f, live_in_beats, &killed);
	writers[0] = start_writer(stopped.fifo);
	writers[1] = start_writer(killed.fifo);
	assert_int_equal(kill(killed.pid, SIGKILL), 0);
	assert_int_equal(await(killed.pid), SIGKILL);
	assert_int_equal(await(killed.watchdog), 0);
	assert_int_equal(await(writers[1]), 0);
	assert_int_equal(count(f->dir), 1);
	assert_int_equal(kill(stopped.pid, SIGSTOP), 0);
	start(f, live_silently, &silent);
	assert_int_equal(await(stopped.pid), SIGKILL);
	assert_int_equal(await(stopped.watchdog), 0);
	assert_int_equal(await(writers[0]), 0);
	assert_int_equal(await(silent.pid), SIGKILL);
	assert_int_equal(await(silent.watchdog), 0);
	assert_int_equal(count(f->dir), 0);
}

static void
stop_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct watchdog *watchdog = NULL;
	struct exchange *exchange = NULL;
	struct err err;
	size_t fds;
	pid_t pid;

	assert_ok(exchange_create(f->dir, JOB, &exchange, &err), err);
	fds = count("/proc/self/fd");
	assert_ok(watchdog_start(f->dir, -1, "", &watchdog, &err), err);
	pid = watchdog_of(getpid());
	assert_true(pid > 0);
	watchdog_beat(watchdog);
	watchdog_stop(&watchdog);
	assert_null(watchdog);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(count("/proc/self/fd"), fds);
	assert_int_equal(count(f->dir), 1);
	watchdog_stop(&watchdog);
	watchdog_beat(watchdog);
	exchange_free(&exchange);
}

static void
descriptor_is(pid_t pid, int fd, const char *want)
{
	char path[64], target[300];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = '\0';
	if (strncmp(target, want, strlen(want)) != 0)
		fail_msg("%d is %s", fd, target);
}

static void
it_has_nothing_of_ours(void **state)
{
	struct fixture *f = *state;
	int open_fd = open(f->base, O_RDONLY);	/* no close-on-exec */
	char path[64], line[600];
	struct charge charge;
	FILE *file;
	size_t n;

	assert_true(open_fd >= 0);
	start(f, live_in_beats, &charge);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd",
	    (int)charge.watchdog);
	/* With a pidfd. */
	assert_int_equal(count(path), 4);
	descriptor_is(charge.watchdog, 0, "socket:");
	descriptor_is(charge.watchdog, 1, "/dev/null");
	descriptor_is(charge.watchdog, 2, f->log);
	descriptor_is(charge.watchdog, 3, "anon_inode:[pidfd]");
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline",
	    (int)charge.watchdog);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(line, 1, sizeof(line), file);
	(void)fclose(file);
	assert_true(n > 30);
	assert_memory_equal(line, "podprof-watchdog\0--watchdog\0", 28);
	assert_null(memmem(line, n, "podprof-capture", 15));
	assert_int_equal(kill(charge.pid, SIGKILL), 0);
	assert_int_equal(await(charge.pid), SIGKILL);
	assert_int_equal(await(charge.watchdog), 0);
	(void)close(open_fd);
}

static void
failure_to_start_is_told(void **state)
{
	struct fixture *f = *state;
	struct watchdog *watchdog = NULL;
	size_t fds = count("/proc/self/fd");
	char *name = program_invocation_name;
	struct err err;

	socketpair_errno = EMFILE;
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL,
	    "cannot start the watchdog: socketpair: Too many open files");
	socketpair_errno = 0;
	spawn_errno = EAGAIN;
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL,
	    "cannot start the watchdog: /proc/self/exe: Resource temporarily");
	spawn_errno = 0;
	instead = "/bin/true";
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL, "the watchdog ended at once");
	instead = "/nonexistent";
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL, "No such file");
	instead = NULL;
	calloc_fails = true;
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL, "no memory");
	calloc_fails = false;
	/* A program that did not see that it is one. */
	program_invocation_name = (char[]){"podprof-watchdog"};
	assert_err(watchdog_start(f->dir, -1, "", &watchdog, &err), err,
	    ERR_INTERNAL, "a watchdog has none");
	program_invocation_name = name;
	assert_null(watchdog);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(count("/proc/self/fd"), fds);
}

static void
lost_watchdog_is_told_once(void **state)
{
	struct fixture *f = *state;
	struct watchdog *watchdog = NULL;
	const int64_t start_ms = clock_mono_ms();
	struct err err;
	pid_t pid;

	assert_ok(watchdog_start(f->dir, -1, "", &watchdog, &err), err);
	pid = watchdog_of(getpid());
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (warnings == 0 && clock_mono_ms() < start_ms + WAIT_MS) {
		watchdog_beat(watchdog);
		nap();
	}
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warned, "the watchdog is gone"));
	while (clock_mono_ms() < start_ms + 3 * WATCHDOG_BEAT_MS) {
		watchdog_beat(watchdog);
		nap();
	}
	assert_int_equal(warnings, 1);
	watchdog_stop(&watchdog);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/*
 * The watchdog's own main, when the sockets' maker is not its parent: that
 * has died before it could look.
 */
static int
run_late(const char *dir, const char *log)
{
	char *argv[] = {(char[]){"podprof-watchdog"}, (char[]){"--watchdog"},
	    strdup(dir), (char[]){"logfmt"}, (char[]){""}, (char[]){JOB},
	    (char[]){""}, NULL};
	int fds[2], status, fd;
	pid_t pid;

	assert_int_equal(__real_socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pid = fork();
		if (pid != 0)
			_exit(waitpid(pid, &status, 0) == pid &&
			    WIFEXITED(status) ? WEXITSTATUS(status) : 99);
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		if (dup2(fds[1], 0) != 0 || dup2(fd, 2) != 2)
			_exit(98);
		closefrom(3);
		_exit(watchdog_main(7, argv));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
	free(argv[2]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
late_watchdog_sweeps(void **state)
{
	struct fixture *f = *state;
	char left[400];

	(void)snprintf(left, sizeof(left), "%s/podprof-" JOB
	    ".0123456789abcdef", f->dir);
	assert_int_equal(mkdir(left, 0750), 0);
	assert_int_equal(run_late(f->dir, f->log), 0);
	assert_int_equal(count(f->dir), 0);
	assert_string_equal(said(f), "");
	/* What it cannot sweep it tells. */
	(void)snprintf(left, sizeof(left), "%s/link", f->base);
	assert_int_equal(symlink(f->dir, left), 0);
	assert_int_equal(run_late(left, f->log), 1);
	assert_non_null(strstr(said(f), "is a symbolic link"));
	assert_non_null(strstr(f->said, "module=watchdog"));
	assert_non_null(strstr(f->said, "job=" JOB));
}

static void
main_knows_its_words(void **state)
{
	char *plain[] = {(char[]){"podprof-capture"}, (char[]){JOB}, NULL};
	char *few[] = {(char[]){"podprof-capture"}, (char[]){"--watchdog"},
	    (char[]){"/x"}, NULL};
	int saved = dup(2), null = open("/dev/null", O_WRONLY);

	(void)state;
	assert_int_equal(watchdog_main(1, plain), -1);
	assert_int_equal(watchdog_main(2, plain), -1);
	assert_true(saved >= 0 && null >= 0);
	assert_int_equal(dup2(null, 2), 2);
	assert_int_equal(watchdog_main(3, few), 2);
	assert_int_equal(dup2(saved, 2), 2);
	(void)close(saved);
	(void)close(null);
}

int
main(int argc, char *argv[])
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(main_knows_its_words),
		TEST(killed_capture_is_swept_after),
		TEST(ended_capture_is_swept_after),
		TEST(watchdog_outlives),
		TEST(silence_is_told_from_life),
		TEST(session_is_kept_until_quiet),
		TEST(session_that_the_app_ends_is_over),
		TEST(parting_is_said),
		TEST(parting_in_vain_is_told),
		TEST(works_without_pidfd),
		TEST(stop_leaves_nothing),
		TEST(it_has_nothing_of_ours),
		TEST(failure_to_start_is_told),
		TEST(lost_watchdog_is_told_once),
		TEST(late_watchdog_sweeps),
	};
	int status = watchdog_main(argc, argv);

	if (status >= 0)
		return status;
	/* Watchdogs whose parent is gone become ours, to be waited for. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return 99;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
