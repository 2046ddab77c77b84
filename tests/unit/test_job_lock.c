/*
 * The lock of those who make room: one at a time, and nobody holds it who is
 * gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "store.h"

#include "job_parts.h"

/* What flock(2) comes to; 0: what it does. */
static int flock_errnum;

int __wrap_flock(int fd, int operation);
int __real_flock(int fd, int operation);

int
__wrap_flock(int fd, int operation)
{
	if (flock_errnum == 0)
		return __real_flock(fd, operation);
	errno = flock_errnum;
	return -1;
}

/* A process that makes room, until it is killed. */
static pid_t
lock_elsewhere(const struct fixture *f)
{
	char path[300], byte;
	int said[2], fd;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/sweep", f->dir);
	assert_int_equal(pipe(said), 0);
	pid = fork();
	if (pid == 0) {
		fd = open(path, O_RDWR | O_CREAT, 0600);
		if (fd >= 0 && flock(fd, LOCK_EX) == 0 &&
		    write(said[1], "x", 1) == 1)
			for (;;)
				(void)pause();
		_exit(1);
	}
	assert_true(pid > 0);
	(void)close(said[1]);
	assert_int_equal(read(said[0], &byte, 1), 1);
	(void)close(said[0]);
	return pid;
}

static void
one_process_at_a_time(void **state)
{
	const struct job_limits nothing = {0, 1, INT64_MAX / 4};
	struct job_reconciler *reconciler = NULL;
	struct fixture *f = *state;
	struct job job = create_succeeded(f);
	struct err err;
	pid_t pid;

	assert_ok(job_reconciler_new(&reconciler, &err), err);
	put_file(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77", "heapsnapshot");
	clock_shift_ms = 2 * (int64_t)KEEP_MS;
	pid = lock_elsewhere(f);
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_ok(job_retain(f->db, f->dir, &nothing, &err), err);
	assert_ok(job_reconcile(reconciler, f->db, f->dir, 10, &err), err);
	assert_true(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(get(f, job.id).removed_at_ms, JOB_UNKNOWN);
	assert_true(is_there(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77",
	    "heapsnapshot"));
	/* Whoever dies lets go. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_ok(job_reconcile(reconciler, f->db, f->dir, 10, &err), err);
	assert_false(is_there(f, "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77",
	    "heapsnapshot"));
	assert_ok(job_sweep(f->db, f->dir, &err), err);
	assert_false(is_there(f, job.id, "heapsnapshot"));
	assert_int_equal(get(f, job.id).removed_because, REMOVED_EXPIRED);
	job_reconciler_free(&reconciler);
}

static void
unusable_lock_is_told(void **state)
{
	const struct job_limits wide = {INT64_MAX / 4, 1000, 0};
	struct fixture *f = *state;
	char path[300], victim[300];
	struct stat st;
	struct err err;
	int lock = -1;

	flock_errnum = ENOLCK;
	assert_err(job_sweep(f->db, f->dir, &err), err, ERR_STORE,
	    "cannot lock");
	assert_err(job_retain(f->db, f->dir, &wide, &err), err, ERR_STORE,
	    "No locks available");
	flock_errnum = 0;
	(void)snprintf(path, sizeof(path), "%s/sweep", f->dir);
	(void)snprintf(victim, sizeof(victim), "%s/victim", f->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(victim, path), 0);
	assert_err(job_lock_store(f->dir, 0, &lock, &err), err, ERR_STORE,
	    path);
	assert_int_equal(lstat(victim, &st), -1);
	assert_int_equal(lock, -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(job_lock_store(f->dir, 0, &lock, &err), 1);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	file_unlock(&lock);
	assert_int_equal(lock, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_process_at_a_time),
		TEST(unusable_lock_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
