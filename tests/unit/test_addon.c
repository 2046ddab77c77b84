#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host.h"

#include "clock.h"

/* What a hung child is given up after. */
#define LONG_MS 20000
#define PAGE 4096
#define MIB 1048576.0

static struct {
	char dir[256];
	char path[300];		/* of the status FIFO */
	int fd;			/* its reader */
	char line[512];		/* the last whole line */
	char rest[4096];	/* what was read behind it */
} status;

/* What fork(2) does to the addon: it finds this one. */
static struct {
	int errnum;		/* nonzero: it fails */
	const char *watched;	/* memory whose flag is looked at */
	bool was_dontfork;
} forks;

pid_t fork(void);

/* Is the memory at address marked "dc"? */
static bool
is_dontfork(const void *address)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool is_inside = false, is_marked = false;
	char line[8192];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			is_inside = (unsigned long)address >= from &&
			    (unsigned long)address < to;
		else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
			is_marked = strstr(line, " dc") != NULL;
	}
	(void)fclose(file);
	return is_marked;
}

pid_t
fork(void)
{
	pid_t (*real)(void);

	if (forks.watched != NULL)
		forks.was_dontfork = is_dontfork(forks.watched);
	if (forks.errnum != 0) {
		errno = forks.errnum;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "fork");
	return real();
}

/* ---- the reader of the FIFO */

/* The next line; NULL: the end, all writers have gone. */
static const char *
next_line(void)
{
	struct pollfd wait = {.fd = status.fd, .events = POLLIN};
	size_t len;
	char *end;
	ssize_t n;

	while ((end = strchr(status.rest, '\n')) == NULL) {
		if (poll(&wait, 1, LONG_MS) != 1)
			fail_msg("no line for %d ms", LONG_MS);
		len = strlen(status.rest);
		assert_in_range(len, 0, sizeof(status.rest) - 2);
		n = read(status.fd, status.rest + len,
		    sizeof(status.rest) - 1 - len);
		if (n == 0 && len == 0)
			return NULL;
		assert_in_range(n, 1, sizeof(status.rest));
		status.rest[len + (size_t)n] = '\0';
	}
	*end = '\0';
	assert_in_range(end - status.rest, 1, 255);
	memcpy(status.line, status.rest, (size_t)(end - status.rest) + 1);
	memmove(status.rest, end + 1, strlen(end + 1) + 1);
	return status.line;
}

/* The next line that is no alive line. */
static const char *
next_word(void)
{
	const char *line;

	do
		line = next_line();
	while (line != NULL && strncmp(line, "alive ", 6) == 0);
	return line != NULL ? line : "(end)";
}

/* Until the reaper has it. */
static void
assert_state(const char *want)
{
	int64_t end_ms = clock_mono_ms() + LONG_MS;

	while (strcmp(host_state(), "running") == 0 &&
	    clock_mono_ms() < end_ms)
		(void)sched_yield();
	assert_string_equal(host_state(), want);
}

/* No such process, not even a zombie. */
static void
assert_reaped(int pid)
{
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* The entries of "fd" or "task", this look at it among them. */
static int
count_in(const char *name)
{
	char path[64];
	int count = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/self/%s", name);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

/* Until there are so many threads: a reaper ends after it has told. */
static void
assert_threads(int want)
{
	int64_t end_ms = clock_mono_ms() + LONG_MS;

	while (count_in("task") != want && clock_mono_ms() < end_ms)
		(void)sched_yield();
	assert_int_equal(count_in("task"), want);
}

static void
open_reader(void)
{
	status.fd = open(status.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(status.fd >= 0);
	status.rest[0] = '\0';
}

static void
close_reader(void)
{
	(void)close(status.fd);
	status.fd = -1;
}

/* Fork a child for body, which it runs, and end it with what body returns; its
 * first line was right. */
static int
fork_for(const char *(*body)(void), double memory_bytes, double timeout_ms)
{
	int pid = host_fork(status.path, memory_bytes, timeout_ms);
	char begun[64];

	if (pid == 0) {
		host_end(body());
		_exit(99);
	}
	if (pid < 0)
		fail_msg("fork: %s", host.thrown);
	(void)snprintf(begun, sizeof(begun), "begun %d", pid);
	assert_string_equal(next_word(), begun);
	return pid;
}

static const char *
do_nothing(void)
{
	return "";
}

static const char *
spin(void)
{
	static volatile bool never;

	while (!never)
		;
	return "";
}

/* ---- the cases */

static void
tells_its_version(void **state)
{
	(void)state;
	assert_string_equal(host_export("version")->text, "1");
}

static void
child_says_what_it_does(void **state)
{
	long long cpu_ms = -1, kib = -1;
	int pid = fork_for(do_nothing, 0, 0), alive = 0;
	const char *line = next_line();

	(void)state;
	/* More than once if it did not get to run. */
	while (line != NULL &&
	    sscanf(line, "alive %lld %lld", &cpu_ms, &kib) == 2) {
		assert_in_range(cpu_ms, 0, 10000);
		assert_in_range(kib, 4, 4 * 1024 * 1024);
		alive++;
		line = next_line();
	}
	assert_true(alive >= 1);
	assert_non_null(line);
	assert_string_equal(line, "done");
	assert_null(next_line());
	assert_state("exited 0");
	assert_reaped(pid);
	assert_in_range((long long)host_microseconds(), 1, 10000000);
}

static void
child_is_alive_every_half_second(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	int pid = fork_for(spin, 0, 0);

	(void)state;
	assert_memory_equal(next_line(), "alive ", 6);
	assert_memory_equal(next_line(), "alive ", 6);
	assert_memory_equal(next_line(), "alive ", 6);
	assert_in_range(clock_mono_ms() - began_ms, 900, LONG_MS);
	assert_string_equal(host_state(), "running");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_state("killed 9");
	assert_reaped(pid);
	assert_string_equal(next_word(), "(end)");
}

static const char *
say_too_much(void)
{
	static char message[600];

	memset(message, 'x', sizeof(message) - 1);
	memcpy(message, "a\nb\tc\x7f\xc3\xa9", 8);
	return message;
}

static void
a_message_stays_one_line(void **state)
{
	char want[300] = "failed a?b?c?\xc3\xa9";

	(void)state;
	(void)fork_for(say_too_much, 0, 0);
	memset(want + strlen(want), 'x', 200 - 8);
	assert_string_equal(next_word(), want);
	assert_null(next_line());
	assert_state("exited 1");
}

/* Every descriptor but the FIFO leads nowhere. */
static const char *
list_descriptors(void)
{
	static char found[200];
	char path[64], link[256];
	int fd, fifos = 0, nulls = 0;
	ssize_t n;

	for (fd = 0; fd < 1024; fd++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, "/dev/null") == 0) {
			nulls++;
		} else if (strcmp(link, status.path) == 0) {
			fifos++;
		} else {
			(void)snprintf(found, sizeof(found), "%d is %.100s",
			    fd, link);
			return found;
		}
	}
	/* libuv aborts if it cannot write to its own. */
	if (write(500, "x", 1) != 1 || read(500, path, 1) != 0)
		return "500 is not there";
	(void)snprintf(found, sizeof(found), "%d fifos, 0 is %s", fifos,
	    nulls > 3 ? "null" : "lost");
	return found;
}

static void
child_has_no_descriptor_of_the_app(void **state)
{
	int before, pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], 500), 500);
	before = count_in("fd");
	(void)fork_for(list_descriptors, 0, 0);
	assert_string_equal(next_word(), "failed 1 fifos, 0 is null");
	assert_state("exited 1");
	assert_int_equal(count_in("fd"), before);
	(void)close(500);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* The app's connection ends when the app closes it. */
static void
child_keeps_no_connection_open(void **state)
{
	int pair[2];
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	(void)fork_for(spin, 0, 0);
	(void)close(pair[0]);
	assert_int_equal(read(pair[1], &byte, 1), 0);
	(void)close(pair[1]);
	close_reader();
	assert_state("killed 13");
}

static void
on_signal(int signo)
{
	(void)signo;
}

static const char *
list_habits(void)
{
	static char habits[200];
	struct sigaction action;
	struct rlimit core;
	int death = 0, oom = 0, caught = 0, signo;
	sigset_t mask;
	FILE *file = fopen("/proc/self/oom_score_adj", "re");

	if (file == NULL || fscanf(file, "%d", &oom) != 1)
		return "no oom_score_adj";
	(void)fclose(file);
	(void)getrlimit(RLIMIT_CORE, &core);
	(void)prctl(PR_GET_PDEATHSIG, &death);
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (signo = 1; signo < 65; signo++) {
		if (sigismember(&mask, signo) == 1)
			return "a signal is blocked";
		if (sigaction(signo, NULL, &action) == 0 &&
		    action.sa_handler != SIG_DFL)
			caught++;
	}
	(void)snprintf(habits, sizeof(habits),
	    "oom %d core %d death %d dumpable %d policy %d nicer %d caught %d",
	    oom, core.rlim_cur <= 1 && core.rlim_max <= 1, death,
	    prctl(PR_GET_DUMPABLE), sched_getscheduler(0),
	    getpriority(PRIO_PROCESS, 0) - getpriority(PRIO_PROCESS,
		(id_t)getppid()), caught);
	return habits;
}

static void
child_is_the_first_to_go_and_the_last_to_run(void **state)
{
	struct sigaction action = {.sa_handler = on_signal}, old[2];

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &old[0]), 0);
	action.sa_handler = SIG_IGN;
	assert_int_equal(sigaction(SIGPIPE, &action, &old[1]), 0);
	(void)fork_for(list_habits, 0, 0);
	/* Seven crashes and the alarm. */
	assert_string_equal(next_word(), "failed oom 1000 core 1 death 9 "
	    "dumpable 0 policy 3 nicer 5 caught 8");
	assert_state("exited 1");
	assert_int_equal(sigaction(SIGUSR1, &old[0], NULL), 0);
	assert_int_equal(sigaction(SIGPIPE, &old[1], NULL), 0);
}

static void
app_keeps_its_signal_mask(void **state)
{
	sigset_t mask, after;
	int signo;

	(void)state;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGUSR2);
	assert_int_equal(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
	(void)fork_for(do_nothing, 0, 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &after), 0);
	for (signo = 1; signo < 32; signo++)
		assert_int_equal(sigismember(&after, signo),
		    sigismember(&mask, signo));
	(void)sigemptyset(&mask);
	assert_int_equal(sigprocmask(SIG_SETMASK, &mask, NULL), 0);
	assert_state("exited 0");
}

/* ---- the heap */

/* Eight pages: 1 and 2 marked, of which 2 cannot be written; 4 marked; 5 is
 * not mapped; 6 marked. */
static char *
map_pages(void)
{
	char *at = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	memset(at, 'h', 8 * PAGE);
	assert_int_equal(madvise(at + PAGE, 2 * PAGE, MADV_DONTFORK), 0);
	assert_int_equal(mprotect(at + 2 * PAGE, PAGE, PROT_READ), 0);
	assert_int_equal(madvise(at + 4 * PAGE, PAGE, MADV_DONTFORK), 0);
	assert_int_equal(munmap(at + 5 * PAGE, PAGE), 0);
	assert_int_equal(madvise(at + 6 * PAGE, PAGE, MADV_DONTFORK), 0);
	return at;
}

static void
assert_marks(const char *pages)
{
	static const bool want[] = {
	    false, true, true, false, true, false, true, false};
	int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(is_dontfork(pages + i * PAGE), want[i]);
}

static const char *pages;

static const char *
read_pages(void)
{
	int i;

	for (i = 0; i < 8; i++)
		if (i != 5 && pages[i * PAGE] != 'h')
			return "a page is wrong";
	return "";
}

static void
child_has_the_heap_and_the_app_its_marks(void **state)
{
	char *made = map_pages();

	(void)state;
	pages = made;
	forks.watched = made + PAGE;
	(void)fork_for(read_pages, 0, 0);
	assert_string_equal(next_word(), "done");
	assert_state("exited 0");
	assert_false(forks.was_dontfork);
	assert_marks(made);
	assert_int_equal(munmap(made, 8 * PAGE), 0);
}

static void
a_fork_that_fails_leaves_all_as_it_was(void **state)
{
	int descriptors = count_in("fd"), threads = count_in("task");
	char *made = map_pages();
	char *before = strdup(host_state());

	(void)state;
	forks.watched = made + PAGE;
	forks.errnum = EAGAIN;
	assert_int_equal(host_fork(status.path, 0, 0), -1);
	assert_string_equal(host.thrown, "fork: EAGAIN");
	assert_false(forks.was_dontfork);
	assert_marks(made);
	forks.errnum = ENOMEM;
	assert_int_equal(host_fork(status.path, 0, 0), -1);
	assert_string_equal(host.thrown, "fork: ENOMEM");
	assert_marks(made);
	assert_string_equal(host_state(), before);
	free(before);
	assert_int_equal(count_in("fd"), descriptors);
	assert_threads(threads);
	assert_int_equal(munmap(made, 8 * PAGE), 0);
}

/* As many as a large heap has: found, and left, all of them. */
static void
many_ranges_keep_their_marks(void **state)
{
	enum { RANGES = 6000 };
	char *made = mmap(NULL, 2 * RANGES * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *file;
	unsigned long from = 0, to = 0, range[2];
	char line[8192];
	int i, marked = 0;

	(void)state;
	assert_ptr_not_equal(made, MAP_FAILED);
	for (i = 0; i < RANGES; i++)
		assert_int_equal(madvise(made + 2 * i * PAGE, PAGE,
		    MADV_DONTFORK), 0);
	forks.watched = made + 2 * (RANGES - 1) * PAGE;
	(void)fork_for(do_nothing, 0, 0);
	assert_false(forks.was_dontfork);
	assert_state("exited 0");
	file = fopen("/proc/self/smaps", "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx ", &range[0], &range[1]) == 2)
			from = range[0], to = range[1];
		if (strncmp(line, "VmFlags:", 8) != 0 ||
		    strstr(line, " dc") == NULL || from < (unsigned long)made ||
		    to > (unsigned long)made + 2 * RANGES * PAGE)
			continue;
		assert_int_equal(to - from, PAGE);
		assert_int_equal((from - (unsigned long)made) % (2 * PAGE), 0);
		marked++;
	}
	(void)fclose(file);
	assert_int_equal(marked, RANGES);
	assert_int_equal(munmap(made, 2 * RANGES * PAGE), 0);
}

/* ---- what is refused */

static void
a_status_that_is_no_good_is_refused(void **state)
{
	char other[320];
	int fd;

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", status.dir);
	assert_int_equal(host_fork(other, 0, 0), -1);
	assert_string_equal(host.thrown, "cannot open the status FIFO: ENOENT");
	assert_int_equal(symlink(status.path, other), 0);
	assert_int_equal(host_fork(other, 0, 0), -1);
	assert_string_equal(host.thrown, "cannot open the status FIFO: ELOOP");
	assert_int_equal(unlink(other), 0);
	fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(host_fork(other, 0, 0), -1);
	assert_string_equal(host.thrown, "the status FIFO is no FIFO");
	(void)close(fd);
	close_reader();
	assert_int_equal(host_fork(status.path, 0, 0), -1);
	assert_string_equal(host.thrown, "nobody reads the status FIFO: ENXIO");
}

static void
arguments_that_are_no_good_are_refused(void **state)
{
	struct napi_call calls[] = {
	    {0, {NULL}},
	    {2, {host_text(status.path), host_number(1)}},
	    {3, {host_number(1), host_number(1), host_number(1)}},
	    {3, {host_text(status.path), host_text("1"), host_number(1)}},
	    {3, {host_text(status.path), host_number(1), host_number(-1)}},
	    {3, {host_text(status.path), host_number(1e300), host_number(1)}},
	    {3, {host_text(status.path), host_number(0), host_number(NAN)}},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_null(host_call("fork", &calls[i]));
		assert_memory_equal(host.thrown, "fork(statusPath, ", 17);
	}
	host_end("");
	assert_string_equal(host.thrown, "end() is for the child");
}

static void *
fork_in_thread(void *unused)
{
	(void)unused;
	assert_int_equal(host_fork(status.path, 0, 0), -1);
	return NULL;
}

static void
a_worker_cannot_fork(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, fork_in_thread, NULL),
	    0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(host.thrown,
	    "only the app's main thread can fork");
}

static void
children_have_a_bound(void **state)
{
	int pids[5], i, threads = count_in("task");

	(void)state;
	for (i = 0; i < 5; i++) {
		pids[i] = host_fork(status.path, 0, 0);
		if (pids[i] == 0)
			host_end(spin());
		if (pids[i] < 0)
			break;
	}
	assert_int_equal(i, 4);
	assert_string_equal(host.thrown,
	    "earlier children have not ended yet");
	close_reader();
	assert_state("killed 13");
	assert_threads(threads);
	for (i = 0; i < 4; i++)
		assert_reaped(pids[i]);
}

/* ---- ends */

static void
without_a_reader_the_child_ends(void **state)
{
	int64_t began_ms, took_ms;
	int attempts = 0, pid;

	(void)state;
	/* Soon, if it gets to run. */
	do {
		assert_true(attempts++ < 5);
		if (status.fd < 0)
			open_reader();
		pid = fork_for(spin, 0, 0);
		began_ms = clock_mono_ms();
		close_reader();
		assert_state("killed 13");
		took_ms = clock_mono_ms() - began_ms;
		assert_reaped(pid);
	} while (took_ms > 1500);
}

static void
time_ends_the_child(void **state)
{
	int pid = fork_for(spin, 0, 600);

	(void)state;
	assert_string_equal(next_word(),
	    "failed it took longer than it was given");
	assert_state("exited 1");
	assert_reaped(pid);
}

static void
the_longest_time_is_for_ever(void **state)
{
	(void)state;
	(void)fork_for(spin, 0, 9007199254740992.0);
	assert_memory_equal(next_line(), "alive ", 6);
	assert_memory_equal(next_line(), "alive ", 6);
	close_reader();
	assert_state("killed 13");
}

static const char *
take_all_memory(void)
{
	while (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		;
	abort();
}

static void
the_cap_on_memory_holds(void **state)
{
	int left = -2, signo = 0;

	(void)state;
	(void)fork_for(take_all_memory, 64 * MIB, 0);
	assert_int_equal(sscanf(next_word(), "crash %d %d", &signo, &left), 2);
	assert_int_equal(signo, SIGABRT);
	assert_in_range(left, 0, 1024);
	assert_state("exited 134");
}

/* More than the cap at once: nearly all of that is left then. */
static const char *
take_too_much_at_once(void)
{
	if (mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		abort();
	return "the cap is too high";
}

static void
memory_that_is_refused_is_none_left(void **state)
{
	(void)state;
	(void)fork_for(take_too_much_at_once, 64 * MIB, 0);
	assert_string_equal(next_word(), "crash 6 0");
	assert_state("exited 134");
}

static const char *
take_some_memory(void)
{
	char *at = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return "the cap is too low";
	memset(at, 1, 32 << 20);
	return "";
}

#define SHARED_BYTES (96 * MIB)
static char *shared;

/* Pages of the app's: each that is written to is there twice, and no limit of
 * the address space knows. */
static const char *
write_to_pages(void)
{
	size_t i;

	for (i = 0; i < SHARED_BYTES; i += 4096)
		shared[i] = 2;
	return spin();
}

static void
copied_pages_count_towards_the_cap(void **state)
{
	(void)state;
	shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	memset(shared, 1, SHARED_BYTES);
	(void)fork_for(write_to_pages, 32 * MIB, 0);
	assert_string_equal(next_word(), "crash 9 0");
	assert_state("exited 137");
	assert_int_equal(munmap(shared, SHARED_BYTES), 0);
}

/* Slower than it is looked at, faster than it is told of otherwise. */
static const char *
write_to_pages_by_and_by(void)
{
	size_t i;

	for (i = 0; i < SHARED_BYTES; i += 4096) {
		shared[i] = 2;
		if (i % (1 << 20) == 0)
			(void)usleep(5000);
	}
	return spin();
}

static void
a_child_that_grows_fast_ends_near_its_cap(void **state)
{
	long long kib = 0;

	(void)state;
	shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	memset(shared, 1, SHARED_BYTES);
	(void)fork_for(write_to_pages_by_and_by, 32 * MIB, 0);
	while (strncmp(next_line(), "alive ", 6) == 0)
		assert_int_equal(sscanf(status.line, "alive %*d %lld", &kib),
		    1);
	assert_string_equal(status.line, "crash 9 0");
	assert_in_range(kib, 24 * 1024, 48 * 1024);
	assert_state("exited 137");
	assert_int_equal(munmap(shared, SHARED_BYTES), 0);
}

static void
a_stopped_child_can_be_killed(void **state)
{
	int pid = fork_for(spin, 0, 0);

	(void)state;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	host_kill();
	assert_state("killed 9");
	assert_reaped(pid);
	/* It is nobody's any more. */
	host_kill();
	assert_string_equal(next_word(), "(end)");
}

static void
below_the_cap_memory_is_had_and_told(void **state)
{
	long long kib = 0;

	(void)state;
	(void)fork_for(take_some_memory, 64 * MIB, 0);
	while (strncmp(next_line(), "alive ", 6) == 0)
		assert_int_equal(sscanf(status.line, "alive %*d %lld", &kib),
		    1);
	assert_string_equal(status.line, "done");
	assert_in_range(kib, 32 * 1024, 4 * 1024 * 1024);
	assert_state("exited 0");
}

static const char *
write_nowhere(void)
{
	/* Not NULL: sanitizers would see that coming. */
	char *volatile nowhere = mmap(NULL, 4096, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*nowhere = 1;
	return "";
}

/* No compiler knows that it never ends. */
static const char *
overflow_the_stack(void)
{
	static const char *(*volatile again)(void) = overflow_the_stack;
	volatile char room[4096];

	room[0] = *again();
	return room[0] != '\0' ? "back" : "";
}

static void
a_crash_is_told(void **state)
{
	(void)state;
	(void)fork_for(write_nowhere, 0, 0);
	assert_string_equal(next_word(), "crash 11 -1");
	assert_state("exited 139");
}

static void
a_stack_overflow_is_told(void **state)
{
	(void)state;
	(void)fork_for(overflow_the_stack, 0, 0);
	assert_string_equal(next_word(), "crash 11 -1");
	assert_state("exited 139");
}

static void
a_status_that_somebody_took_is_gone(void **state)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;

	(void)state;
	assert_int_equal(sigaction(SIGCHLD, &ignore, &old), 0);
	(void)fork_for(do_nothing, 0, 0);
	assert_state("gone");
	assert_int_equal(sigaction(SIGCHLD, &old, NULL), 0);
}

static void
a_signal_that_the_app_handles_ends_the_child(void **state)
{
	struct sigaction action = {.sa_handler = on_signal}, old;
	int pid;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	pid = fork_for(spin, 0, 0);
	assert_int_equal(kill(pid, SIGUSR1), 0);
	assert_state("killed 10");
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

/* The app is a process between, which ends; the child goes with it, which its
 * end of the FIFO shows. */
static void
with_the_app_the_child_ends(void **state)
{
	int pid = fork();

	(void)state;
	if (pid == 0) {
		int child = host_fork(status.path, 0, 0);

		if (child == 0)
			host_end(spin());
		/* The child is ready. */
		_exit(child > 0 && strncmp(next_line(), "begun", 5) == 0 ? 0 :
									   1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
	assert_string_equal(next_word(), "(end)");
}

/* ---- threads that are not there any more */

static struct {
	pthread_mutex_t mutex;
	pthread_rwlock_t rwlock;
	pthread_cond_t cond;
	sem_t semaphore;
	pthread_t thread;
	int ready[2], go[2];	/* pipes */
} others = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_RWLOCK_INITIALIZER,
    PTHREAD_COND_INITIALIZER, {{0}}, 0, {-1, -1}, {-1, -1}};

/* Holds the mutex and the lock until it may go. */
static void *
hold(void *unused)
{
	char byte;

	(void)pthread_mutex_lock(&others.mutex);
	(void)pthread_rwlock_wrlock(&others.rwlock);
	(void)!write(others.ready[1], "r", 1);
	(void)!read(others.go[0], &byte, 1);
	(void)pthread_rwlock_unlock(&others.rwlock);
	(void)pthread_mutex_unlock(&others.mutex);
	return unused;
}

static int
start_holder(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(pipe(others.ready), 0);
	assert_int_equal(pipe(others.go), 0);
	assert_int_equal(sem_init(&others.semaphore, 0, 1), 0);
	assert_int_equal(pthread_create(&others.thread, NULL, hold, NULL), 0);
	assert_int_equal(read(others.ready[0], &byte, 1), 1);
	return 0;
}

static void
end_holder(void)
{
	int i;

	assert_int_equal(write(others.go[1], "g", 1), 1);
	assert_int_equal(pthread_join(others.thread, NULL), 0);
	for (i = 0; i < 2; i++) {
		(void)close(others.ready[i]);
		(void)close(others.go[i]);
	}
}

static const char *
lock_all(void)
{
	struct timespec soon = {0};

	if (pthread_mutex_lock(&others.mutex) != 0 ||
	    pthread_mutex_trylock(&others.mutex) != 0 ||
	    pthread_mutex_unlock(&others.mutex) != 0)
		return "the mutex is held";
	if (pthread_rwlock_rdlock(&others.rwlock) != 0 ||
	    pthread_rwlock_wrlock(&others.rwlock) != 0 ||
	    pthread_rwlock_unlock(&others.rwlock) != 0)
		return "the lock is held";
	if (pthread_cond_signal(&others.cond) != 0 ||
	    pthread_cond_broadcast(&others.cond) != 0)
		return "no signal";
	if (pthread_cond_timedwait(&others.cond, &others.mutex, &soon) !=
	    ETIMEDOUT)
		return "a wait did not time out";
	if (sem_wait(&others.semaphore) != 0)
		return "the semaphore is not free";
	if (pthread_create(&others.thread, NULL, hold, NULL) != EAGAIN)
		return "a thread was made";
	return pthread_mutex_destroy(&others.mutex) == 0 &&
		pthread_rwlock_destroy(&others.rwlock) == 0 &&
		pthread_cond_destroy(&others.cond) == 0 ? "" : "not destroyed";
}

static void
locks_that_are_held_hold_nobody(void **state)
{
	(void)fork_for(lock_all, 0, 0);
	(void)state;
	assert_string_equal(next_word(), "done");
	assert_state("exited 0");
	end_holder();
}

static const char *
wait_cond(void)
{
	(void)pthread_cond_wait(&others.cond, &others.mutex);
	return "";
}

static const char *
wait_thread(void)
{
	(void)pthread_join(others.thread, NULL);
	return "";
}

static const char *
wait_semaphore(void)
{
	(void)sem_wait(&others.semaphore);
	(void)sem_wait(&others.semaphore);
	return "";
}

static const char *
wait_futex(void)
{
	static int word = 1;
	const struct timespec soon = {0, 1};

	if (syscall(SYS_getpid) != getpid())
		return "a system call that is none of a futex";
	if (syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) != 0)
		return "somebody was woken";
	if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0) !=
		-1 || errno != EAGAIN)
		return "waited for another value";
	if (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, &soon, NULL,
		FUTEX_BITSET_MATCH_ANY) != -1 || errno != ETIMEDOUT)
		return "a wait did not time out";
	(void)syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL, NULL,
	    FUTEX_BITSET_MATCH_ANY);
	return "";
}

static void
who_waits_for_nobody_is_stuck(void **state)
{
	static const struct {
		const char *(*body)(void);
		const char *want;
	} cases[] = {
	    {wait_cond, "stuck pthread_cond_wait"},
	    {wait_thread, "stuck pthread_join"},
	    {wait_semaphore, "stuck sem_wait"},
	    {wait_futex, "stuck futex"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)fork_for(cases[i].body, 0, 0);
		assert_string_equal(next_word(), cases[i].want);
		assert_null(next_line());
		assert_state("exited 3");
	}
	end_holder();
}

/* ---- */

static int
make_status(void **state)
{
	(void)state;
	memset(&forks, 0, sizeof(forks));
	test_make_dir(status.dir);
	(void)snprintf(status.path, sizeof(status.path), "%s/status",
	    status.dir);
	assert_int_equal(mkfifo(status.path, 0600), 0);
	open_reader();
	return 0;
}

static int
make_status_and_holder(void **state)
{
	return make_status(state) == 0 ? start_holder(state) : -1;
}

static int
remove_status(void **state)
{
	(void)state;
	if (status.fd >= 0)
		close_reader();
	test_remove_dir(status.dir);
	return 0;
}

#define CASE(name) \
	cmocka_unit_test_setup_teardown(name, make_status, remove_status)
#define THREADS_CASE(name) \
	cmocka_unit_test_setup_teardown(name, make_status_and_holder, \
	    remove_status)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(tells_its_version),
	    CASE(child_says_what_it_does),
	    CASE(child_is_alive_every_half_second),
	    CASE(a_message_stays_one_line),
	    CASE(child_has_no_descriptor_of_the_app),
	    CASE(child_keeps_no_connection_open),
	    CASE(child_is_the_first_to_go_and_the_last_to_run),
	    CASE(app_keeps_its_signal_mask),
	    CASE(child_has_the_heap_and_the_app_its_marks),
	    CASE(a_fork_that_fails_leaves_all_as_it_was),
	    CASE(many_ranges_keep_their_marks),
	    CASE(a_status_that_is_no_good_is_refused),
	    CASE(arguments_that_are_no_good_are_refused),
	    CASE(a_worker_cannot_fork),
	    CASE(children_have_a_bound),
	    CASE(without_a_reader_the_child_ends),
	    CASE(time_ends_the_child),
	    CASE(the_longest_time_is_for_ever),
	    CASE(the_cap_on_memory_holds),
	    CASE(copied_pages_count_towards_the_cap),
	    CASE(a_child_that_grows_fast_ends_near_its_cap),
	    CASE(a_stopped_child_can_be_killed),
	    CASE(memory_that_is_refused_is_none_left),
	    CASE(below_the_cap_memory_is_had_and_told),
	    CASE(a_crash_is_told),
	    CASE(a_stack_overflow_is_told),
	    CASE(a_status_that_somebody_took_is_gone),
	    CASE(a_signal_that_the_app_handles_ends_the_child),
	    CASE(with_the_app_the_child_ends),
	    THREADS_CASE(locks_that_are_held_hold_nobody),
	    THREADS_CASE(who_waits_for_nobody_is_stuck),
	};

	host_load();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
