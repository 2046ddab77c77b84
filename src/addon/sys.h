/*
 * Linux system calls without a C library, on x86-64 and aarch64: they touch no
 * errno, no lock and no thread-local storage, so they are right in a signal
 * handler and in a child of a process with threads.
 *
 * Each returns what the kernel does: -errno on failure.  Only calls that both
 * architectures have are here.
 */
#ifndef PODPROF_ADDON_SYS_H
#define PODPROF_ADDON_SYS_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__x86_64__)

static inline long
sys_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10),
			 "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

static inline long
sys_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "the addon knows x86-64 and aarch64 only: add sys_call() for this one"
#endif

/* The kernel's own forms; those of a C library differ. */
struct sys_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

struct sys_stack {
	void *base;
	int flags;
	size_t size;
};

struct sys_limit {
	uint64_t soft, hard;
};

struct sys_timer {
	int64_t every_s, every_us, first_s, first_us;
};

struct sys_dirent {
	uint64_t inode;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static inline long
sys_open(const char *path, int flags)
{
	return sys_call(__NR_openat, AT_FDCWD, (long)path, flags, 0, 0, 0);
}

static inline long
sys_close(int fd)
{
	return sys_call(__NR_close, fd, 0, 0, 0, 0, 0);
}

static inline long
sys_read(int fd, void *buf, size_t size)
{
	return sys_call(__NR_read, fd, (long)buf, (long)size, 0, 0, 0);
}

static inline long
sys_write(int fd, const void *data, size_t len)
{
	return sys_call(__NR_write, fd, (long)data, (long)len, 0, 0, 0);
}

/* Where a descriptor reads or writes next; -ESPIPE: a pipe, a FIFO, a
 * socket. */
static inline long
sys_tell(int fd)
{
	return sys_call(__NR_lseek, fd, 0, 1, 0, 0, 0);
}

static inline long
sys_dup_onto(int fd, int number, int flags)
{
	return sys_call(__NR_dup3, fd, number, flags, 0, 0, 0);
}

static inline long
sys_fcntl(int fd, int command, long arg)
{
	return sys_call(__NR_fcntl, fd, command, arg, 0, 0, 0);
}

static inline long
sys_getdents(int fd, void *buf, size_t size)
{
	return sys_call(__NR_getdents64, fd, (long)buf, (long)size, 0, 0, 0);
}

static inline long
sys_mmap(void *at, size_t size, int protection, int flags)
{
	return sys_call(__NR_mmap, (long)at, (long)size, protection, flags, -1,
	    0);
}

static inline long
sys_mremap(void *at, size_t old_size, size_t size, int flags)
{
	return sys_call(__NR_mremap, (long)at, (long)old_size, (long)size,
	    flags, 0, 0);
}

static inline long
sys_munmap(void *at, size_t size)
{
	return sys_call(__NR_munmap, (long)at, (long)size, 0, 0, 0, 0);
}

static inline long
sys_mprotect(uintptr_t at, size_t size, int protection)
{
	return sys_call(__NR_mprotect, (long)at, (long)size, protection, 0, 0,
	    0);
}

static inline long
sys_madvise(uintptr_t at, size_t size, int advice)
{
	return sys_call(__NR_madvise, (long)at, (long)size, advice, 0, 0, 0);
}

static inline long
sys_readlink(const char *path, char *buf, size_t size)
{
	return sys_call(__NR_readlinkat, AT_FDCWD, (long)path, (long)buf,
	    (long)size, 0, 0);
}

/* Like fork(2), but the C library knows nothing of it, and the end of the child
 * raises no signal: sys_wait() finds it with __WALL. */
static inline long
sys_clone(void)
{
	return sys_call(__NR_clone, 0, 0, 0, 0, 0, 0);
}

static inline long
sys_kill(int pid, int signo)
{
	return sys_call(__NR_kill, pid, signo, 0, 0, 0, 0);
}

static inline long
sys_prctl(int option, long arg)
{
	return sys_call(__NR_prctl, option, arg, 0, 0, 0, 0);
}

static inline int
sys_getpid(void)
{
	return (int)sys_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
}

static inline int
sys_getppid(void)
{
	return (int)sys_call(__NR_getppid, 0, 0, 0, 0, 0, 0);
}

static inline int
sys_gettid(void)
{
	return (int)sys_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
}

static inline long
sys_wait(int pid, int *status, unsigned options)
{
	return sys_call(__NR_wait4, pid, (long)status, (long)options, 0, 0, 0);
}

/* Until the child has ended; it is left to be waited for. */
static inline long
sys_wait_end(int pid)
{
	return sys_call(__NR_waitid, P_PID, pid, 0,
	    WEXITED | WNOWAIT | __WALL, 0, 0);
}

static inline long
sys_yield(void)
{
	return sys_call(__NR_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* Sleep while *word is value, or until woken; may return early. */
static inline long
sys_futex_wait(const int *word, int value)
{
	return sys_call(__NR_futex, (long)word, 128, value, 0, 0, 0);
}

static inline long
sys_futex_wake(const int *word)
{
	return sys_call(__NR_futex, (long)word, 129, 1, 0, 0, 0);
}

/* set and ret_old may be NULL. */
static inline long
sys_limit(int resource, const struct sys_limit *set, struct sys_limit *ret_old)
{
	return sys_call(__NR_prlimit64, 0, resource, (long)set, (long)ret_old,
	    0, 0);
}

/* how as in sigprocmask(2); ret_old may be NULL. */
static inline long
sys_mask(int how, uint64_t set, uint64_t *ret_old)
{
	return sys_call(__NR_rt_sigprocmask, how, (long)&set, (long)ret_old,
	    sizeof(set), 0, 0);
}

static inline long
sys_action(int signo, const struct sys_action *action)
{
	return sys_call(__NR_rt_sigaction, signo, (long)action, 0,
	    sizeof(action->mask), 0, 0);
}

static inline long
sys_alternate_stack(const struct sys_stack *stack)
{
	return sys_call(__NR_sigaltstack, (long)stack, 0, 0, 0, 0, 0);
}

static inline long
sys_timer(int which, const struct sys_timer *timer)
{
	return sys_call(__NR_setitimer, which, (long)timer, 0, 0, 0, 0);
}

/* Nanoseconds; 0 if there is no such clock. */
static inline int64_t
sys_clock_ns(int clock)
{
	struct timespec at = {0};

	if (sys_call(__NR_clock_gettime, clock, (long)&at, 0, 0, 0, 0) != 0)
		return 0;
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* A signal ends it early. */
static inline void
sys_sleep_ns(int64_t ns)
{
	struct timespec span = {
	    .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	(void)sys_call(__NR_nanosleep, (long)&span, 0, 0, 0, 0, 0);
}

/* Be nicer by so much; at most 19 it becomes. */
static inline long
sys_nicer(int by)
{
	/* The kernel tells 20 - nice. */
	long nice = 20 - sys_call(__NR_getpriority, 0, 0, 0, 0, 0, 0) + by;

	return sys_call(__NR_setpriority, 0, 0, nice > 19 ? 19 : nice, 0, 0,
	    0);
}

static inline long
sys_scheduler(int policy)
{
	int priority = 0;

	return sys_call(__NR_sched_setscheduler, 0, policy, (long)&priority, 0,
	    0, 0);
}

_Noreturn static inline void
sys_exit(int status)
{
	for (;;)
		(void)sys_call(__NR_exit_group, status, 0, 0, 0, 0, 0);
}

#endif
