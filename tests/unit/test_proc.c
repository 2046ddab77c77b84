#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "proc.h"

/* Nonzero: what getpid() says instead. */
static pid_t other_pid;

pid_t __wrap_getpid(void);
pid_t __real_getpid(void);

pid_t
__wrap_getpid(void)
{
	return other_pid != 0 ? other_pid : __real_getpid();
}

/* A child that has said who it is, and sleeps. */
static pid_t
start_child(const char *name, struct proc *ret_proc)
{
	struct err err;
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		if (name != NULL)
			(void)prctl(PR_SET_NAME, name);
		if (proc_self(ret_proc, &err) != 0 ||
		    write(pipes[1], ret_proc, sizeof(*ret_proc)) < 0)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], ret_proc, sizeof(*ret_proc)),
	    sizeof(*ret_proc));
	(void)close(pipes[0]);
	assert_int_equal(ret_proc->pid, pid);
	return pid;
}

static void
end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
self_is_alive(void **state)
{
	struct proc proc;
	struct stat st;
	char want[32];
	struct err err;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	assert_int_equal(proc.pid, getpid());
	assert_true(proc.start_ticks > 0);
	/* The boot's UUID and the number of the pid namespace. */
	assert_int_equal(stat("/proc/self/ns/pid", &st), 0);
	(void)snprintf(want, sizeof(want), "/%lu", (unsigned long)st.st_ino);
	assert_int_equal(strcspn(proc.host, "/"), 36);
	assert_string_equal(strchr(proc.host, '/'), want);
	assert_int_equal(proc_life(&proc), PROC_ALIVE);
}

static void
child_lives_until_it_is_dead(void **state)
{
	struct proc proc;
	siginfo_t info;
	pid_t pid;

	(void)state;
	pid = start_child(NULL, &proc);
	assert_int_equal(proc_life(&proc), PROC_ALIVE);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(proc_life(&proc), PROC_ALIVE);
	/* A zombie: dead, but not yet waited for. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(proc_life(&proc), PROC_DEAD);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proc_life(&proc), PROC_DEAD);
}

static void
name_cannot_forge_the_line(void **state)
{
	static const char *const names[] = {
		") Z 1 1 1", "a b) R (c", "))))", "(", "\n) Z 1",
	};
	struct proc proc;
	size_t i;
	pid_t pid;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid = start_child(names[i], &proc);
		assert_int_equal(proc_life(&proc), PROC_ALIVE);
		end_child(pid);
		assert_int_equal(proc_life(&proc), PROC_DEAD);
	}
}

static void
recycled_pid_is_dead(void **state)
{
	struct proc proc;
	struct err err;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	proc.start_ticks -= 1;
	assert_int_equal(proc_life(&proc), PROC_DEAD);
}

static void
other_hosts_are_unknown(void **state)
{
	struct proc proc;
	struct err err;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	proc.host[0] = proc.host[0] == '0' ? '1' : '0';
	assert_int_equal(proc_life(&proc), PROC_UNKNOWN);
	proc.host[0] = '\0';
	assert_int_equal(proc_life(&proc), PROC_UNKNOWN);
}

static void
numbers_that_are_no_pid_are_dead(void **state)
{
	static const int64_t pids[] = {
		0, -1, INT64_MIN, INT64_MAX, (int64_t)1 << 32,
		((int64_t)1 << 32) + 1, INT32_MAX,
	};
	struct proc proc;
	struct err err;
	size_t i;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	for (i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		proc.pid = pids[i];
		assert_int_equal(proc_life(&proc), PROC_DEAD);
	}
}

static void
what_cannot_be_read_is_not_dead(void **state)
{
	struct rlimit old, none;
	enum proc_life life;
	struct proc proc, again;
	struct err err;
	int rc;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	life = proc_life(&proc);
	rc = proc_self(&again, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(life, PROC_UNKNOWN);
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.msg, "/proc/"));
}

static void
foreign_proc_is_refused(void **state)
{
	struct proc proc, again;
	enum proc_life life;
	struct err err;
	int rc;

	(void)state;
	assert_ok(proc_self(&proc, &err), err);
	/* As in a new pid namespace that kept the old /proc. */
	other_pid = 1;
	rc = proc_self(&again, &err);
	life = proc_life(&proc);
	other_pid = 0;
	assert_int_equal(rc, -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.msg, "another pid namespace"));
	assert_int_equal(life, PROC_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_is_alive),
		cmocka_unit_test(child_lives_until_it_is_dead),
		cmocka_unit_test(name_cannot_forge_the_line),
		cmocka_unit_test(recycled_pid_is_dead),
		cmocka_unit_test(other_hosts_are_unknown),
		cmocka_unit_test(numbers_that_are_no_pid_are_dead),
		cmocka_unit_test(what_cannot_be_read_is_not_dead),
		cmocka_unit_test(foreign_proc_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
