/*
 * The watchdog and its starter.  They share a pair of sockets: a byte for each
 * beat one way, one byte "I watch" the other way, and its end tells the
 * watchdog that the capture is gone.
 */
#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "exchange.h"
#include "log.h"
#include "spawn.h"
#include "ws.h"

#define NAME "podprof-watchdog"
#define OPTION "--watchdog"
/* podprof-watchdog --watchdog EXCHANGE_DIR LOG_FORMAT REQUEST JOB PARTING */
#define ARGS 7

#define READY_MS 10000	/* for a program to start on a busy machine */
#define SLICE_MS 500
#define SESSION_FD 3
#define LOOK_MS 20	/* between two looks, where there is no pidfd */

struct watchdog {
	pid_t pid;
	int fd;
	int64_t beaten_ms;
	bool is_lost;
};

/* The sockets' end on 0, nothing on 1, our stderr, if we have one, on 2, and
 * the session, if there is one, on 3. */
static int
add_actions(posix_spawn_file_actions_t *actions, int fd, int session_fd,
    bool has_stderr)
{
	int errnum, free_fd = SESSION_FD;

	errnum = posix_spawn_file_actions_adddup2(actions, fd, 0);
	if (errnum == 0)
		errnum = posix_spawn_file_actions_addopen(actions, 1,
		    "/dev/null", O_WRONLY, 0);
	if (errnum == 0 && !has_stderr)
		errnum = posix_spawn_file_actions_addopen(actions, 2,
		    "/dev/null", O_WRONLY, 0);
	else if (errnum == 0) /* onto itself: takes close-on-exec away */
		errnum = posix_spawn_file_actions_adddup2(actions, 2, 2);
	if (errnum == 0 && session_fd >= 0) {
		errnum = posix_spawn_file_actions_adddup2(actions, session_fd,
		    SESSION_FD);
		free_fd++;
	}
	if (errnum == 0)
		errnum = posix_spawn_file_actions_addclosefrom_np(actions,
		    free_fd);
	return errnum;
}

/* 0, or an errno. */
static int
spawn(const char *exchange_dir, int fd, int session_fd, const char *parting,
    pid_t *ret_pid)
{
	char *argv[ARGS + 1] = {
		spawn_arg(NAME), spawn_arg(OPTION), spawn_arg(exchange_dir),
		spawn_arg(log_format_used() == LOG_JSON ? "json" : "logfmt"),
		spawn_arg(log_request_id()), spawn_arg(log_job_id()),
		spawn_arg(parting), NULL,
	};
	posix_spawn_file_actions_t actions;
	int errnum;

	errnum = posix_spawn_file_actions_init(&actions);
	if (errnum != 0)
		return errnum;
	errnum = add_actions(&actions, fd, session_fd,
	    fcntl(2, F_GETFD) >= 0);
	if (errnum == 0)
		errnum = spawn_process("/proc/self/exe", &actions, argv,
		    environ, ret_pid);
	(void)posix_spawn_file_actions_destroy(&actions);
	return errnum;
}

/* Until it says that it watches. */
static int
wait_ready(int fd, struct err *err)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	const int64_t deadline_ms = clock_mono_ms() + READY_MS;
	int64_t left_ms;
	char byte;
	int n;

	do {
		left_ms = deadline_ms - clock_mono_ms();
		n = poll(&wait, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return err_set(err, ERR_INTERNAL,
		    "the watchdog did not start within %d ms", READY_MS);
	if (n < 0 || recv(fd, &byte, 1, 0) != 1)
		return err_set(err, ERR_INTERNAL, "the watchdog ended at once; "
		    "its own log line, if any, says why");
	return 0;
}

int
watchdog_start(const char *exchange_dir, int session_fd, const char *parting,
    struct watchdog **ret_watchdog, struct err *err)
{
	struct watchdog *watchdog = NULL;
	int fds[2] = {-1, -1}, errnum, ret = -1;

	/* Without watchdog_main() at its start a program would start itself
	 * again and again. */
	if (strcmp(program_invocation_name, NAME) == 0)
		return err_set(err, ERR_INTERNAL, "a watchdog has none itself");
	watchdog = calloc(1, sizeof(*watchdog));
	if (watchdog == NULL)
		return err_set(err, ERR_INTERNAL, "no memory for the watchdog");
	watchdog->fd = watchdog->pid = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		(void)err_set_errno(err, ERR_INTERNAL, errno,
		    "cannot start the watchdog: socketpair");
		goto out;
	}
	watchdog->fd = fds[0];
	errnum = spawn(exchange_dir, fds[1], session_fd, parting,
	    &watchdog->pid);
	(void)close(fds[1]);
	if (errnum != 0) {
		watchdog->pid = -1;
		(void)err_set_errno(err, ERR_INTERNAL, errnum,
		    "cannot start the watchdog: /proc/self/exe");
		goto out;
	}
	if (wait_ready(watchdog->fd, err) != 0)
		goto out;
	watchdog->beaten_ms = clock_mono_ms();
	*ret_watchdog = watchdog;
	watchdog = NULL;
	ret = 0;
out:
	watchdog_stop(&watchdog);
	return ret;
}

void
watchdog_beat(struct watchdog *watchdog)
{
	int64_t now_ms;

	if (watchdog == NULL || watchdog->is_lost)
		return;
	now_ms = clock_mono_ms();
	if (now_ms - watchdog->beaten_ms < WATCHDOG_BEAT_MS)
		return;
	watchdog->beaten_ms = now_ms;
	if (send(watchdog->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ||
	    errno == EAGAIN || errno == EINTR)
		return;
	watchdog->is_lost = true;
	log_warn("watchdog", "the watchdog is gone: if this process hangs now, "
	    "the app may wait for it");
}

void
watchdog_stop(struct watchdog **watchdog)
{
	struct watchdog *old = *watchdog;

	if (old == NULL)
		return;
	*watchdog = NULL;
	/* It has nothing to put in order, and must not see the end of the
	 * sockets, which would make it sweep. */
	if (old->pid > 0) {
		(void)kill(old->pid, SIGKILL);
		while (waitpid(old->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (old->fd >= 0)
		(void)close(old->fd);
	free(old);
}

/* Whom it watches. */
struct charge {
	pid_t pid;
	int pidfd;	/* -1: the kernel, or a filter of calls, has none */
};

/*
 * The parent is who made the sockets.  If that is still so with the pidfd
 * open, it lived all the time, and nobody else can have had its pid.
 */
static bool
charge_open(struct charge *ret_charge)
{
	struct ucred maker;
	socklen_t len = sizeof(maker);
	struct charge charge;

	if (getsockopt(0, SOL_SOCKET, SO_PEERCRED, &maker, &len) != 0)
		return false;
	charge.pid = maker.pid;
	charge.pidfd = pidfd_open(charge.pid, 0);
	if (getppid() != charge.pid) {
		if (charge.pidfd >= 0)
			(void)close(charge.pidfd);
		return false;
	}
	*ret_charge = charge;
	return true;
}

static void
charge_kill(const struct charge *charge)
{
	if (charge->pidfd >= 0 &&
	    pidfd_send_signal(charge->pidfd, SIGKILL, NULL, 0) == 0)
		return;
	/* Our parent, so nobody else has its pid. */
	if (getppid() == charge->pid)
		(void)kill(charge->pid, SIGKILL);
}

/* Has it ended within this time?  max_ms -1: however long it takes. */
static bool
charge_ended(const struct charge *charge, int max_ms)
{
	struct pollfd wait = {.fd = charge->pidfd, .events = POLLIN};
	const int64_t start_ms = clock_mono_ms();
	int64_t spent_ms;
	int look_ms;

	for (;;) {
		spent_ms = clock_mono_ms() - start_ms;
		if (max_ms >= 0 && spent_ms >= max_ms)
			return false;
		look_ms = max_ms < 0 ? -1 : max_ms - (int)spent_ms;
		if (charge->pidfd < 0)
			look_ms = LOOK_MS;
		/* poll() passes over a descriptor of -1, and just waits. */
		if (poll(&wait, 1, look_ms) > 0)
			return true;
		if (charge->pidfd < 0 && getppid() != charge->pid)
			return true;
	}
}

/*
 * True when the sockets' other end is gone, false when no beat came for
 * WATCHDOG_MS.  That is counted in slices of our own running: where both are
 * frozen together, a container that is paused, it is one slice.
 */
static bool
watch(bool is_patient)
{
	struct pollfd wait = {.fd = 0, .events = POLLIN};
	int silent = 0, n;
	char beats[64];
	ssize_t len;

	while (is_patient || silent < WATCHDOG_MS / SLICE_MS) {
		n = poll(&wait, 1, SLICE_MS);
		if (n == 0 && !is_patient)
			silent++;
		if (n <= 0)
			continue;
		len = recv(0, beats, sizeof(beats), MSG_DONTWAIT);
		if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
			return true;
		if (len > 0)
			silent = 0;
	}
	return false;
}

static void
watch_over(const struct charge *charge, bool is_patient)
{
	if (!watch(is_patient)) {
		log_error("watchdog", "podprof-capture (pid %d) has not moved "
		    "for %d ms, while the app may wait for it: killed. Was it "
		    "stopped, or is the disk of state_dir hung?",
		    (int)charge->pid, WATCHDOG_MS);
		charge_kill(charge);
	} else if (!charge_ended(charge, WATCHDOG_MS)) {
		log_error("watchdog", "podprof-capture (pid %d) is on its way "
		    "out and does not end: killed", (int)charge->pid);
		charge_kill(charge);
	}
	(void)charge_ended(charge, -1);
}

/* Should a message of the capture's have been cut off in its middle, the app
 * takes it for nonsense, and ends the session too. */
static void
say_parting(char *lines)
{
	unsigned char frame[WS_FRAME_MAX];
	char *line;
	size_t len;

	if (fcntl(SESSION_FD, F_GETFD) < 0)
		return;
	while ((line = strsep(&lines, "\n")) != NULL) {
		if (line[0] == '\0' || !ws_frame(line, frame, &len))
			continue;
		if (send(SESSION_FD, frame, len,
			MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
			continue;
		log_error("watchdog", "the app cannot be told that "
		    "podprof-capture is gone: if that worked on a worker "
		    "thread, what it had begun goes on until the thread ends");
		return;
	}
}

/* Until the app has nothing more to say on the session. */
static void
drain_session(void)
{
	struct pollfd wait = {.fd = SESSION_FD, .events = POLLIN};
	const int64_t end_ms = clock_mono_ms() + WATCHDOG_QUIET_MAX_MS;
	char piece[65536];
	ssize_t len = 1;
	int n = 1;

	if (fcntl(SESSION_FD, F_GETFD) < 0)
		return;
	while (len != 0 && n != 0 && clock_mono_ms() < end_ms) {
		n = poll(&wait, 1, WATCHDOG_QUIET_MS);
		if (n > 0)
			len = recv(SESSION_FD, piece, sizeof(piece),
			    MSG_DONTWAIT);
		if (len < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
	(void)close(SESSION_FD);
}

int
watchdog_main(int argc, char *argv[])
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM,
	    SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU};
	struct charge charge;
	int status = 0;
	struct err err;
	size_t i;

	if (argc < 2 || strcmp(argv[1], OPTION) != 0)
		return -1;
	if (argc != ARGS) {
		fprintf(stderr, "usage: " OPTION " belongs to podprof-capture "
		    "itself; see podprof-capture(8).\n");
		return 2;
	}
	/* It ends when its charge does, and not before. */
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)prctl(PR_SET_NAME, NAME);
	log_setup(LOG_INFO,
	    strcmp(argv[3], "json") == 0 ? LOG_JSON : LOG_LOGFMT);
	log_bind(argv[4], argv[5]);
	if (charge_open(&charge)) {
		if (send(0, "", 1, MSG_NOSIGNAL) == 1)
			watch_over(&charge, argv[2][0] == '\0');
		if (charge.pidfd >= 0)
			(void)close(charge.pidfd);
	}
	/* First those who wait for us. */
	if (argv[2][0] != '\0' && exchange_sweep(argv[2], &err) != 0) {
		log_error("watchdog", "%s", err.msg);
		status = 1;
	}
	say_parting(argv[6]);
	drain_session();
	return status;
}
