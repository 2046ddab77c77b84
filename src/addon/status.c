/*
 * The child's voice: lines, a timer, and handlers for crashes.  All of it runs
 * in signal handlers too, so it uses nothing but system calls and its own
 * memory.
 */
#include "status.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "lines.h"
#include "signals.h"
#include "sys.h"

#define NS_PER_MS INT64_C(1000000)
#define MESSAGE_MAX 200
/* A hundred years are for ever. */
#define TIMEOUT_MAX_MS INT64_C(3155760000000)
/* Counting the private pages walks through all of them.  Under a cap it is done
 * as often as it takes a part of the time only: what the app shares with the
 * child becomes the child's own without a call that could be refused, as fast
 * as memory can be written. */
#define LOOK_MIN_MS 20
#define LOOK_PART 20
/* A line between the others tells of so much more: a part of the cap. */
#define TOLD_PART 8
#define RETRY_NS (20 * NS_PER_MS)

/* The child has one thread, and one voice. */
static struct {
	int fd;
	int64_t cap_bytes;	/* of the address space; 0: none */
	int64_t own_kib;	/* of private memory; 0: no cap */
	int64_t end_ns;		/* CLOCK_MONOTONIC; 0: none */
	int64_t alive_ns;	/* when it is to be said next */
	int64_t look_ns;	/* when memory_kib is to be found next */
	int64_t memory_kib;
	int64_t told_kib;
	int64_t watch_ns;	/* CPU time that went into all of this */
	bool is_refused;	/* memory was */
} voice;

static bool
write_line(struct text *line)
{
	long n;

	text_put(line, "\n");
	do
		n = sys_write(voice.fd, line->data, line->len);
	while (n == -EINTR);
	return n != -EAGAIN;
}

/* A line that has to arrive. */
_Noreturn static void
write_last(struct text *line, int status)
{
	int tries;

	text_put(line, "\n");
	for (tries = STATUS_LAST_MS / (RETRY_NS / NS_PER_MS); tries > 0;
	     tries--) {
		if (sys_write(voice.fd, line->data, line->len) != -EAGAIN)
			break;
		sys_sleep_ns(RETRY_NS);
	}
	sys_exit(status);
}

/* The address space, in bytes; 0: not known. */
static int64_t
space_bytes(void)
{
	char buf[128];
	const char *at = buf;

	lines_read_small("/proc/self/statm", buf, sizeof(buf));
	return (int64_t)text_take_number(&at, 10) * getpagesize();
}

/* The sum of the lines "Private_Clean:  12 kB" and "Private_Dirty:  34 kB". */
static int64_t
private_kib(void)
{
	char buf[2048];
	const char *at = buf;
	int64_t sum = 0;

	lines_read_small("/proc/self/smaps_rollup", buf, sizeof(buf));
	while (*at != '\0') {
		if (text_begins(at, "Private_Clean:") ||
		    text_begins(at, "Private_Dirty:")) {
			while (*at != '\0' && (*at < '0' || *at > '9'))
				at++;
			sum += (int64_t)text_take_number(&at, 10);
		}
		while (*at != '\0' && *at++ != '\n')
			;
	}
	return sum;
}

static void
look_at_memory(int64_t now_ns)
{
	int64_t took_ns = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	int64_t next_ns;

	voice.memory_kib = private_kib();
	took_ns = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - took_ns;
	next_ns = took_ns * LOOK_PART;
	if (next_ns < LOOK_MIN_MS * NS_PER_MS)
		next_ns = LOOK_MIN_MS * NS_PER_MS;
	if (next_ns > STATUS_EVERY_MS * NS_PER_MS || voice.own_kib == 0)
		next_ns = STATUS_EVERY_MS * NS_PER_MS;
	voice.look_ns = now_ns + next_ns;
}

static void
say_alive(int64_t now_ns)
{
	struct text line;

	voice.alive_ns = now_ns + STATUS_EVERY_MS * NS_PER_MS;
	voice.told_kib = voice.memory_kib;
	text_clear(&line);
	text_put(&line, "alive ");
	text_put_number(&line, (sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID) -
		voice.watch_ns) / NS_PER_MS);
	text_put(&line, " ");
	text_put_number(&line, voice.memory_kib);
	(void)write_line(&line);
}

_Noreturn static void
say_crash(int signo, int64_t left_kib)
{
	struct text line;

	text_clear(&line);
	text_put(&line, "crash ");
	text_put_number(&line, signo);
	text_put(&line, " ");
	text_put_number(&line, left_kib);
	write_last(&line, 128 + signo);
}

static void
on_timer(int signo)
{
	int64_t now_ns = sys_clock_ns(CLOCK_MONOTONIC);
	int64_t began_ns = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);

	(void)signo;
	if (now_ns >= voice.look_ns)
		look_at_memory(now_ns);
	if (now_ns >= voice.alive_ns || (voice.own_kib != 0 &&
		voice.memory_kib - voice.told_kib > voice.own_kib / TOLD_PART))
		say_alive(now_ns);
	/* The limit of the address space knows nothing of pages that the app
	 * or we write to, nor of space that was reserved before the fork. */
	if (voice.own_kib != 0 && voice.memory_kib > voice.own_kib)
		say_crash(SIGKILL, 0);
	if (voice.end_ns != 0 && now_ns > voice.end_ns)
		status_failed("it took longer than it was given");
	voice.watch_ns += sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns;
}

static void
on_crash(int signo)
{
	int64_t left = -1;

	if (voice.cap_bytes != 0) {
		left = (voice.cap_bytes - space_bytes()) / 1024;
		if (left < 0 || voice.is_refused)
			left = 0;
	}
	say_crash(signo, left);
}

static void
set_cap(uint64_t memory_bytes)
{
	int64_t space = space_bytes();
	struct sys_limit limit = {0, 0};

	voice.own_kib = (int64_t)(memory_bytes / 1024);
	if (memory_bytes == 0 || space == 0)
		return;
	if (sys_limit(RLIMIT_AS, NULL, &limit) != 0)
		return;
	limit.soft = (uint64_t)space + memory_bytes;
	if (limit.hard < limit.soft)
		limit.soft = limit.hard;
	limit.hard = limit.soft;
	if (sys_limit(RLIMIT_AS, &limit, NULL) == 0)
		voice.cap_bytes = (int64_t)limit.soft;
}

void
status_start(int fd, uint64_t memory_bytes, int64_t timeout_ms)
{
	static const int crashes[] = {
	    SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
	const int64_t tick_ms = memory_bytes != 0 ? LOOK_MIN_MS :
	    STATUS_EVERY_MS;
	const struct sys_timer timer = {
	    .every_us = tick_ms * 1000, .first_us = tick_ms * 1000};
	struct text line;
	size_t i;

	voice.fd = fd;
	if (timeout_ms > 0 && timeout_ms < TIMEOUT_MAX_MS)
		voice.end_ns = sys_clock_ns(CLOCK_MONOTONIC) +
		    timeout_ms * NS_PER_MS;
	set_cap(memory_bytes);
	voice.alive_ns = sys_clock_ns(CLOCK_MONOTONIC) +
	    STATUS_EVERY_MS * NS_PER_MS;
	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		signals_handle(crashes[i], on_crash, SIGNALS_ONCE);
	signals_handle(SIGALRM, on_timer, 0);
	text_clear(&line);
	text_put(&line, "begun ");
	text_put_number(&line, sys_getpid());
	(void)write_line(&line);
	(void)sys_timer(ITIMER_REAL, &timer);
}

void
status_refused(void)
{
	voice.is_refused = true;
}

_Noreturn void
status_done(void)
{
	struct text line;
	int64_t now_ns;

	now_ns = sys_clock_ns(CLOCK_MONOTONIC);
	look_at_memory(now_ns);
	say_alive(now_ns);
	text_clear(&line);
	text_put(&line, "done");
	write_last(&line, 0);
}

/* Cut, and without control bytes, so that it stays one line. */
static void
put_message(struct text *line, const char *message)
{
	char c[2] = "";
	size_t i;

	for (i = 0; i < MESSAGE_MAX && message[i] != '\0'; i++) {
		c[0] = message[i];
		if ((unsigned char)c[0] < ' ' || c[0] == 0x7f)
			c[0] = '?';
		text_put(line, c);
	}
}

_Noreturn void
status_failed(const char *message)
{
	struct text line;

	text_clear(&line);
	text_put(&line, "failed ");
	put_message(&line, message);
	write_last(&line, 1);
}

_Noreturn void
status_stuck(const char *name)
{
	struct text line;

	text_clear(&line);
	text_put(&line, "stuck ");
	text_put(&line, name);
	write_last(&line, 3);
}
