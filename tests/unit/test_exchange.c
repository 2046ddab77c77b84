#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

#include "exchange.h"
#include "log.h"

#define JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"
#define OTHER_JOB "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c78"
#define OURS "podprof-" JOB ".0123456789abcdef"
#define NOBODY 65534
#define STRANGE_GROUP 54321
#define WAIT_MS 20000	/* for what takes no time, on a busy machine */

/*
 * Calls that can be made to fail, or be followed by what somebody else does.
 */
static int write_errno, mkdir_errno, mkfifo_errno, flock_errno;
static int flock_failures;
static bool calloc_fails;
static size_t entries_invented;
static void (*after_mkdir)(int dir_fd, const char *name);
static char warned[1024];

ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);
int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkfifoat(int fd, const char *name, mode_t mode);
int __real_mkfifoat(int fd, const char *name, mode_t mode);
int __wrap_flock(int fd, int operation);
int __real_flock(int fd, int operation);
void *__wrap_calloc(size_t len, size_t size);
void *__real_calloc(size_t len, size_t size);
struct dirent *__wrap_readdir(DIR *dir);
struct dirent *__real_readdir(DIR *dir);
void __wrap_log_warn(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (write_errno == 0)
		return __real_write(fd, data, len);
	errno = write_errno;
	return -1;
}

int
__wrap_mkdirat(int fd, const char *name, mode_t mode)
{
	int rc;

	if (mkdir_errno != 0) {
		errno = mkdir_errno;
		return -1;
	}
	rc = __real_mkdirat(fd, name, mode);
	if (rc == 0 && after_mkdir != NULL)
		after_mkdir(fd, name);
	return rc;
}

int
__wrap_mkfifoat(int fd, const char *name, mode_t mode)
{
	if (mkfifo_errno == 0)
		return __real_mkfifoat(fd, name, mode);
	errno = mkfifo_errno;
	return -1;
}

int
__wrap_flock(int fd, int operation)
{
	if (flock_failures > 0) {
		flock_failures--;
		errno = flock_errno;
		return -1;
	}
	return __real_flock(fd, operation);
}

void *
__wrap_calloc(size_t len, size_t size)
{
	return calloc_fails ? NULL : __real_calloc(len, size);
}

struct dirent *
__wrap_readdir(DIR *dir)
{
	static struct dirent entry = {.d_name = "podprof"};

	if (entries_invented == 0)
		return __real_readdir(dir);
	entries_invented--;
	return &entry;
}

void
__wrap_log_warn(const char *module, const char *fmt, ...)
{
	va_list ap;

	assert_string_equal(module, "exchange");
	va_start(ap, fmt);
	(void)vsnprintf(warned, sizeof(warned), fmt, ap);
	va_end(ap);
}

struct fixture {
	char base[256];		/* what others cannot see */
	char dir[300];		/* exchange_dir */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	test_make_dir(f->base);
	assert_int_equal(chmod(f->base, 0711), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "%s/exchange", f->base);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(f->dir, 0, STRANGE_GROUP), 0);
	assert_int_equal(chmod(f->dir, 02770), 0);
	warned[0] = '\0';
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	write_errno = mkdir_errno = mkfifo_errno = flock_failures = 0;
	calloc_fails = false;
	entries_invented = 0;
	after_mkdir = NULL;
	(void)chmod(f->dir, 0700);
	test_remove_dir(f->base);
	free(f);
	return 0;
}

static const char *
below(const struct fixture *f, const char *name)
{
	static char paths[4][700];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, 700, "%s/%s", f->dir, name);
	return path;
}

static size_t
count(const char *path)
{
	const struct dirent *entry;
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = __real_readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

static bool
is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(__real_write(fd, "keep", 4), 4);
	assert_int_equal(close(fd), 0);
}

static void
make_dir(const char *path, mode_t mode)
{
	assert_int_equal(mkdir(path, mode), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static struct exchange *
create(const struct fixture *f)
{
	struct exchange *exchange = NULL;
	struct err err;

	assert_ok(exchange_create(f->dir, JOB, &exchange, &err), err);
	return exchange;
}

static void
sweep(const struct fixture *f)
{
	struct err err;

	assert_ok(exchange_sweep(f->dir, &err), err);
}

/*
 * Run a part of a test in a process of its own, as a user who is nobody in
 * particular where we are root.  It returns NULL or what went wrong.
 */
static void
as_other(const struct fixture *f, gid_t group,
    const char *(*part)(const struct fixture *f))
{
	const char *wrong;
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) != 0 ||
			setresgid(group, group, group) != 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) != 0))
			_exit(3);
		wrong = part(f);
		if (wrong != NULL)
			(void)fprintf(stderr, "# %s\n", wrong);
		_exit(wrong != NULL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/*
 * A process that writes into a FIFO until it cannot: 0 if that was EPIPE.  It
 * is in open(2), for nobody reads, when this returns.
 */
static pid_t
start_writer(const char *path)
{
	const struct timespec pause = {0, 1000000};
	char stat_path[64], line[512], state = 'R';
	int ready[2], fd;
	FILE *file;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		(void)alarm(WAIT_MS / 1000);
		if (__real_write(ready[1], "", 1) != 1)
			_exit(3);
		fd = open(path, O_WRONLY);
		while (fd >= 0 && __real_write(fd, path, 1) == 1)
			;
		_exit(fd >= 0 && errno == EPIPE ? 0 : 1);
	}
	assert_int_equal(read(ready[0], line, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat",
	    (int)pid);
	while (state != 'S') {
		(void)nanosleep(&pause, NULL);
		file = fopen(stat_path, "r");
		assert_non_null(file);
		assert_non_null(fgets(line, sizeof(line), file));
		(void)fclose(file);
		assert_non_null(strrchr(line, ')'));
		state = strrchr(line, ')')[2];
		assert_int_not_equal(state, 'Z');
	}
	return pid;
}

static void
assert_released(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A directory with a FIFO in it whose owner is killed; out: its path. */
static void
leave_one(const struct fixture *f, const char *job_id, char out[700])
{
	struct exchange *exchange = NULL;
	int ready[2], fd, status;
	struct err err;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)alarm(WAIT_MS / 1000);
		if (exchange_create(f->dir, job_id, &exchange, &err) != 0 ||
		    exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err) !=
			0)
			_exit(1);
		(void)!__real_write(ready[1], exchange_path(exchange),
		    strlen(exchange_path(exchange)));
		for (;;)
			(void)pause();
	}
	n = read(ready[0], out, 699);
	assert_true(n > 0);
	out[n] = '\0';
	/* While it lives nobody takes it away. */
	sweep(f);
	assert_true(is_there(out));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

static void
modes_and_groups(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(077);
	char path[EXCHANGE_PATH_MAX], own[300];
	struct exchange *exchange = create(f);
	struct stat dir, st;
	struct err err;
	ssize_t n;
	int fd;

	assert_int_equal(umask(old), 077);
	assert_int_equal(stat(f->dir, &dir), 0);
	assert_int_equal(strncmp(exchange_path(exchange),
	    below(f, "podprof-" JOB "."), strlen(f->dir) + 46), 0);
	assert_int_equal(strlen(exchange_path(exchange)), strlen(f->dir) + 62);
	assert_int_equal(stat(exchange_path(exchange), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 02750);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_gid, dir.st_gid);
	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err), err);
	exchange_path_of(exchange, EXCHANGE_DATA, path);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFIFO | 0620);
	assert_int_equal(st.st_gid, dir.st_gid);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK),
	    O_RDONLY | O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	assert_true(n > 0);
	own[n] = '\0';
	assert_ok(exchange_copy(exchange, own, EXCHANGE_ADDON, &err), err);
	exchange_path_of(exchange, EXCHANGE_ADDON, path);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_gid, dir.st_gid);
	(void)close(fd);
	exchange_free(&exchange);
	assert_null(exchange);
	assert_int_equal(count(f->dir), 0);
	assert_string_equal(warned, "");
	exchange_free(&exchange);
}

/* A chmod by who is not in the group would have taken it away. */
static const char *
make_in_strange_group(const struct fixture *f)
{
	struct exchange *exchange = NULL;
	char path[EXCHANGE_PATH_MAX];
	struct stat dir, st;
	struct err err;
	int fd;

	if (stat(f->dir, &dir) != 0 ||
	    exchange_create(f->dir, JOB, &exchange, &err) != 0)
		return "not made";
	if (stat(exchange_path(exchange), &st) != 0 ||
	    st.st_mode != (S_IFDIR | 02750) || st.st_gid != dir.st_gid)
		return "wrong mode or group of the directory";
	if (exchange_open_fifo(exchange, EXCHANGE_STATUS, &fd, &err) != 0)
		return "no FIFO";
	exchange_path_of(exchange, EXCHANGE_STATUS, path);
	if (lstat(path, &st) != 0 || st.st_mode != (S_IFIFO | 0620) ||
	    st.st_gid != dir.st_gid)
		return "wrong mode or group of the FIFO";
	exchange_free(&exchange);
	return NULL;
}

static void
group_need_not_be_podprofs(void **state)
{
	struct fixture *f = *state;

	if (geteuid() == 0) {
		assert_int_equal(chown(f->dir, NOBODY, STRANGE_GROUP), 0);
		assert_int_equal(chmod(f->dir, 02770), 0);
	}
	as_other(f, NOBODY, make_in_strange_group);
	assert_int_equal(count(f->dir), 0);
}

/* As Kubernetes makes an emptyDir of a pod with fsGroup: root's, 2777. */
static void
empty_dir_of_kubernetes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 02777), 0);
	as_other(f, NOBODY, make_in_strange_group);
	as_other(f, STRANGE_GROUP, make_in_strange_group);
	/* And with the sticky bit, which keeps the app from renaming. */
	assert_int_equal(chmod(f->dir, 03777), 0);
	as_other(f, STRANGE_GROUP, make_in_strange_group);
	assert_int_equal(count(f->dir), 0);
}

static const char *
fail_to_make(const struct fixture *f)
{
	struct exchange *exchange = NULL;
	struct err err;

	if (exchange_create(f->dir, JOB, &exchange, &err) == 0)
		return "made";
	if (err.code != ERR_STORE || strstr(err.msg, f->dir) == NULL ||
	    strstr(err.msg, "2770") == NULL)
		return err.msg[0] != '\0' ? "another message" : "no message";
	return exchange_check(f->dir, &err) == 0 ? "checked" : NULL;
}

static void
unusable_dir_is_told(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = NULL;
	struct err err;

	assert_err(exchange_create(below(f, "none"), JOB, &exchange, &err), err,
	    ERR_STORE, "none is missing: make it, 2770");
	assert_err(exchange_check(below(f, "none"), &err), err, ERR_STORE,
	    "none is missing");
	assert_ok(exchange_sweep(below(f, "none"), &err), err);
	assert_int_equal(symlink(f->dir, below(f, "link")), 0);
	assert_err(exchange_create(below(f, "link"), JOB, &exchange, &err), err,
	    ERR_STORE, "is a symbolic link");
	assert_err(exchange_sweep(below(f, "link"), &err), err, ERR_STORE,
	    "is a symbolic link");
	make_file(below(f, "file"));
	assert_err(exchange_create(below(f, "file"), JOB, &exchange, &err), err,
	    ERR_STORE, "file: Not a directory");
	assert_err(exchange_sweep(below(f, "file"), &err), err, ERR_STORE,
	    "file: Not a directory");
	assert_null(exchange);
	assert_int_equal(chmod(f->dir, 0555), 0);
	as_other(f, NOBODY, fail_to_make);
}

/* A directory whose path is this long. */
static void
make_long(const struct fixture *f, size_t len, char out[EXCHANGE_PATH_MAX])
{
	size_t at = strlen(f->dir), part;
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), next;

	(void)snprintf(out, EXCHANGE_PATH_MAX, "%s", f->dir);
	while (at < len) {
		part = len - at - 1 > 200 ? 150 : len - at - 1;
		out[at] = '/';
		memset(out + at + 1, 'd', part);
		out[at + 1 + part] = '\0';
		assert_true(mkdirat(fd, out + at + 1, 0700) == 0 ||
		    errno == EEXIST);
		next = openat(fd, out + at + 1,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		(void)close(fd);
		fd = next;
		at += 1 + part;
	}
	(void)close(fd);
}

static void
long_paths(void **state)
{
	struct fixture *f = *state;
	char dir[EXCHANGE_PATH_MAX], path[EXCHANGE_PATH_MAX];
	struct exchange *exchange = NULL;
	struct err err;

	/* The longest that a configuration can have. */
	make_long(f, 4000, dir);
	assert_ok(exchange_create(dir, JOB, &exchange, &err), err);
	exchange_path_of(exchange, EXCHANGE_ADDON, path);
	make_file(path);
	exchange_free(&exchange);
	assert_string_equal(warned, "");
	assert_int_equal(count(dir), 0);
	make_long(f, 4010, dir);
	assert_err(exchange_create(dir, JOB, &exchange, &err), err, ERR_STORE,
	    "too long");
	assert_int_equal(count(dir), 0);
}

static void
files_are_copied(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = create(f);
	char path[EXCHANGE_PATH_MAX];
	static char data[300000], back[300001];
	const char *source = below(f, "source");
	struct err err;
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 >> 3);
	file = fopen(source, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, sizeof(data), file), sizeof(data));
	assert_int_equal(fclose(file), 0);
	exchange_path_of(exchange, EXCHANGE_ADDON, path);
	/* What is there of the name is replaced. */
	make_file(path);
	assert_ok(exchange_copy(exchange, source, EXCHANGE_ADDON, &err), err);
	file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fread(back, 1, sizeof(back), file), sizeof(data));
	(void)fclose(file);
	assert_memory_equal(back, data, sizeof(data));
	assert_err(exchange_copy(exchange, below(f, "none"), "x", &err), err,
	    ERR_INTERNAL, "none: No such file");
	assert_err(exchange_copy(exchange, f->dir, "x", &err), err,
	    ERR_INTERNAL, "not a regular file");
	exchange_drop(exchange, EXCHANGE_ADDON);
	assert_false(is_there(path));
	exchange_drop(exchange, EXCHANGE_ADDON);
	exchange_free(&exchange);
	assert_string_equal(warned, "");
}

static void
full_disk_is_told(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = create(f), *second = NULL;
	struct err err;
	int fd = -2;

	make_file(below(f, "source"));
	write_errno = ENOSPC;
	assert_err(exchange_copy(exchange, below(f, "source"), EXCHANGE_ADDON,
	    &err), err, ERR_SPACE, "/addon.node: cannot write");
	write_errno = EIO;
	assert_err(exchange_copy(exchange, below(f, "source"), EXCHANGE_ADDON,
	    &err), err, ERR_STORE, "/addon.node: cannot write");
	write_errno = 0;
	assert_int_equal(count(exchange_path(exchange)), 0);
	mkfifo_errno = ENOSPC;
	assert_err(exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err), err,
	    ERR_SPACE, "cannot make the FIFO");
	assert_err(exchange_check(f->dir, &err), err, ERR_SPACE, "FIFO");
	/* A file system that has none. */
	mkfifo_errno = EPERM;
	assert_err(exchange_check(f->dir, &err), err, ERR_STORE, "FIFO");
	mkfifo_errno = 0;
	assert_int_equal(fd, -2);
	mkdir_errno = ENOSPC;
	assert_err(exchange_create(f->dir, JOB, &second, &err), err, ERR_SPACE,
	    f->dir);
	mkdir_errno = EROFS;
	assert_err(exchange_create(f->dir, JOB, &second, &err), err, ERR_STORE,
	    "Read-only");
	mkdir_errno = 0;
	calloc_fails = true;
	assert_err(exchange_create(f->dir, JOB, &second, &err), err, ERR_NOMEM,
	    "no memory");
	calloc_fails = false;
	assert_null(second);
	exchange_free(&exchange);
	assert_int_equal(count(f->dir), 1);
}

static void
check_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(exchange_check(f->dir, &err), err);
	assert_int_equal(count(f->dir), 0);
	assert_string_equal(warned, "");
}

static void
fifo_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = create(f);
	char path[EXCHANGE_PATH_MAX], byte;
	int first, second, writer;
	struct err err;

	exchange_path_of(exchange, EXCHANGE_DATA, path);
	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &first, &err),
	    err);
	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &second, &err),
	    err);
	writer = open(path, O_WRONLY | O_NONBLOCK);
	assert_true(writer >= 0);
	assert_int_equal(__real_write(writer, "b", 1), 1);
	assert_int_equal(read(first, &byte, 1), 0);
	assert_int_equal(read(second, &byte, 1), 1);
	assert_int_equal(byte, 'b');
	(void)close(writer);
	(void)close(first);
	(void)close(second);
	exchange_free(&exchange);
	assert_int_equal(count(f->dir), 0);
}

static void
waiting_writers_are_let_go(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = create(f);
	char data[EXCHANGE_PATH_MAX], left[700];
	struct err err;
	pid_t writers[3];
	int fd;

	exchange_path_of(exchange, EXCHANGE_DATA, data);
	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err), err);
	(void)close(fd);
	writers[0] = start_writer(data);
	exchange_drop(exchange, EXCHANGE_DATA);
	assert_released(writers[0]);
	assert_false(is_there(data));
	/* Several at one FIFO, and by the end of all. */
	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err), err);
	(void)close(fd);
	writers[0] = start_writer(data);
	writers[1] = start_writer(data);
	writers[2] = start_writer(data);
	exchange_free(&exchange);
	assert_released(writers[0]);
	assert_released(writers[1]);
	assert_released(writers[2]);
	/* By whoever finds it. */
	leave_one(f, JOB, left);
	(void)snprintf(data, sizeof(data), "%s/" EXCHANGE_DATA, left);
	writers[0] = start_writer(data);
	sweep(f);
	assert_released(writers[0]);
	assert_int_equal(count(f->dir), 0);
}

static void
killed_owner_is_swept_after(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange;
	char left[700];

	leave_one(f, JOB, left);
	assert_true(is_there(left));
	sweep(f);
	assert_false(is_there(left));
	/* A new one begins with that. */
	leave_one(f, JOB, left);
	exchange = create(f);
	assert_false(is_there(left));
	assert_int_equal(count(f->dir), 1);
	/* Our own lock keeps ours, also from ourselves. */
	sweep(f);
	assert_true(is_there(exchange_path(exchange)));
	exchange_free(&exchange);
}

static void
foreign_names_are_spared(void **state)
{
	static const char *const names[] = {
		"podprof-", "podprof-" JOB, "podprof-" JOB ".0123456789abcde",
		"podprof-" JOB ".0123456789abcdef0",
		"podprof-" JOB ".0123456789abcdeF",
		"podprof-" JOB "-0123456789abcdef",
		"Podprof-" JOB ".0123456789abcdef",
		"podprof-0198C0DE-7b1e-7c3a-9f00-5d2e6a1b4c77.0123456789abcdef",
		"data", ".hidden",
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_dir(below(f, names[i]), 0750);
	sweep(f);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(is_there(below(f, names[i])));
}

/* What the app can put there under a name like ours. */
static void
planted_things_are_spared(void **state)
{
	struct fixture *f = *state;
	char victim[600], name[100];
	int i;

	(void)snprintf(victim, sizeof(victim), "%s/victim", f->base);
	make_dir(victim, 0700);
	make_file(below(f, "../victim/data"));
	assert_int_equal(symlink(victim, below(f, OURS)), 0);
	make_file(below(f, "podprof-" OTHER_JOB ".0000000000000001"));
	assert_int_equal(mkfifo(below(f,
	    "podprof-" OTHER_JOB ".0000000000000002"), 0666), 0);
	/* Not made by us: others can write to it. */
	make_dir(below(f, "podprof-" OTHER_JOB ".0000000000000003"), 0770);
	make_file(below(f, "podprof-" OTHER_JOB ".0000000000000003/data"));
	make_dir(below(f, "podprof-" OTHER_JOB ".0000000000000004"), 0757);
	make_dir(below(f, "podprof-" OTHER_JOB ".0000000000000005"), 0750);
	if (geteuid() == 0)
		assert_int_equal(chown(below(f,
		    "podprof-" OTHER_JOB ".0000000000000005"), NOBODY,
		    STRANGE_GROUP), 0);
	else
		assert_int_equal(chmod(below(f,
		    "podprof-" OTHER_JOB ".0000000000000005"), 0770), 0);
	sweep(f);
	assert_true(is_there(below(f, "../victim/data")));
	assert_true(is_there(below(f, OURS)));
	for (i = 1; i <= 5; i++) {
		(void)snprintf(name, sizeof(name),
		    "podprof-" OTHER_JOB ".000000000000000%d", i);
		assert_true(is_there(below(f, name)));
	}
	assert_true(is_there(below(f,
	    "podprof-" OTHER_JOB ".0000000000000003/data")));
}

static void
hostile_contents_are_removed(void **state)
{
	struct fixture *f = *state;
	char name[400], victim[600];

	(void)snprintf(victim, sizeof(victim), "%s/victim", f->base);
	make_dir(victim, 0700);
	make_file(below(f, "../victim/keep"));
	make_dir(below(f, OURS), 0750);
	assert_int_equal(symlink("../../victim/keep", below(f, OURS "/data")),
	    0);
	assert_int_equal(symlink(victim, below(f, OURS "/status")), 0);
	assert_int_equal(link(below(f, "../victim/keep"),
	    below(f, OURS "/hard")), 0);
	make_dir(below(f, OURS "/addon.node"), 0700);
	make_dir(below(f, OURS "/locked"), 0000);
	(void)snprintf(name, sizeof(name), OURS "/%0*d", 200, 7);
	make_file(below(f, name));
	make_file(below(f, OURS "/\033[2J\n"));
	make_file(below(f, OURS "/.hidden"));
	sweep(f);
	assert_int_equal(count(f->dir), 0);
	assert_true(is_there(below(f, "../victim/keep")));
}

static void
one_that_stays_keeps_no_other(void **state)
{
	struct fixture *f = *state;
	char left[700], fifo[800];
	struct err err;
	pid_t writer;

	make_dir(below(f, OURS), 0750);
	make_dir(below(f, OURS "/deep"), 0700);
	make_file(below(f, OURS "/deep/file"));
	assert_int_equal(mkfifo(below(f, OURS "/data"), 0620), 0);
	writer = start_writer(below(f, OURS "/data"));
	assert_err(exchange_sweep(f->dir, &err), err, ERR_STORE,
	    OURS "/deep, which podprof did not make");
	assert_released(writer);
	assert_false(is_there(below(f, OURS "/data")));
	assert_true(is_there(below(f, OURS "/deep/file")));
	assert_int_equal(unlink(below(f, OURS "/deep/file")), 0);
	leave_one(f, OTHER_JOB, left);
	make_dir(below(f, OURS), 0750);
	make_dir(below(f, OURS "/deep"), 0700);
	make_file(below(f, OURS "/deep/file"));
	(void)snprintf(fifo, sizeof(fifo), "%s/" EXCHANGE_DATA, left);
	assert_true(is_there(fifo));
	assert_err(exchange_sweep(f->dir, &err), err, ERR_STORE, "/deep");
	assert_false(is_there(left));
	/* Nor does it keep a new one from being made. */
	struct exchange *exchange = create(f);
	exchange_free(&exchange);
	assert_int_equal(count(f->dir), 1);
}

static void
thousands_are_swept(void **state)
{
	struct fixture *f = *state;
	char name[100];
	size_t i;

	for (i = 0; i < EXCHANGE_SWEEP_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "podprof-" JOB ".%016zx",
		    i);
		make_dir(below(f, name), 0750);
		(void)snprintf(name, sizeof(name),
		    "podprof-" JOB ".%016zx/data", i);
		assert_int_equal(mkfifo(below(f, name), 0620), 0);
	}
	sweep(f);
	assert_int_equal(count(f->dir), 5);
	sweep(f);
	assert_int_equal(count(f->dir), 0);
}

static void
sweep_is_bounded(void **state)
{
	struct fixture *f = *state;
	char name[100];
	struct err err;
	size_t i;

	make_dir(below(f, OURS), 0750);
	for (i = 0; i < 1030; i++) {
		(void)snprintf(name, sizeof(name), OURS "/f%zu", i);
		assert_int_equal(symlink("x", below(f, name)), 0);
	}
	assert_err(exchange_sweep(f->dir, &err), err, ERR_STORE,
	    "has more than 1024 files");
	assert_int_equal(count(below(f, OURS)), 6);
	sweep(f);
	assert_int_equal(count(f->dir), 0);
	entries_invented = 100000;
	assert_err(exchange_sweep(f->dir, &err), err, ERR_STORE,
	    "more than 65536 entries");
	assert_int_equal(entries_invented, 100000 - 65537);
}

static void
sweep_away(int dir_fd, const char *name)
{
	assert_int_equal(unlinkat(dir_fd, name, AT_REMOVEDIR), 0);
}

static void
sweep_away_once(int dir_fd, const char *name)
{
	after_mkdir = NULL;
	sweep_away(dir_fd, name);
}

/* Between making a directory and locking it, it looks ownerless. */
static void
creation_survives_a_sweep(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange;
	struct err err;

	after_mkdir = sweep_away_once;
	exchange = create(f);
	assert_true(is_there(exchange_path(exchange)));
	exchange_free(&exchange);
	flock_failures = 1;
	flock_errno = EWOULDBLOCK;
	exchange = create(f);
	assert_int_equal(count(f->dir), 2);
	exchange_free(&exchange);
	sweep(f);
	assert_int_equal(count(f->dir), 0);
	after_mkdir = sweep_away;
	assert_err(exchange_create(f->dir, JOB, &exchange, &err), err,
	    ERR_STORE, "removed by somebody else at once");
	after_mkdir = NULL;
	flock_failures = 1;
	flock_errno = ENOLCK;
	assert_err(exchange_create(f->dir, JOB, &exchange, &err), err,
	    ERR_STORE, "cannot lock");
	assert_null(exchange);
	flock_failures = 1;
	assert_err(exchange_sweep(f->dir, &err), err, ERR_STORE,
	    "cannot lock");
	sweep(f);
	assert_int_equal(count(f->dir), 0);
}

static void
put_another(int dir_fd, const char *name)
{
	assert_int_equal(renameat(dir_fd, name, dir_fd, "away"), 0);
	assert_int_equal(__real_mkdirat(dir_fd, name, 0700), 0);
	assert_int_equal(fchmodat(dir_fd, name, 0777, 0), 0);
}

static void
put_a_link(int dir_fd, const char *name)
{
	assert_int_equal(unlinkat(dir_fd, name, AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/", dir_fd, name), 0);
}

/* An app that is in the group can rename. */
static void
exchanged_directory_is_seen(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = NULL;
	struct err err;

	after_mkdir = put_another;
	assert_err(exchange_create(f->dir, JOB, &exchange, &err), err,
	    ERR_STORE, "is not what podprof made");
	after_mkdir = put_a_link;
	assert_err(exchange_create(f->dir, JOB, &exchange, &err), err,
	    ERR_STORE, "Not a directory");
	assert_null(exchange);
}

static void
renamed_directory_is_emptied(void **state)
{
	struct fixture *f = *state;
	struct exchange *exchange = create(f);
	char path[EXCHANGE_PATH_MAX], kept[EXCHANGE_PATH_MAX + 8];
	struct err err;
	int fd;

	assert_ok(exchange_open_fifo(exchange, EXCHANGE_DATA, &fd, &err), err);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s", exchange_path(exchange));
	assert_int_equal(rename(path, below(f, "away")), 0);
	make_dir(path, 0750);
	(void)snprintf(kept, sizeof(kept), "%s/data", path);
	make_file(kept);
	exchange_free(&exchange);
	assert_non_null(strstr(warned, path));
	assert_non_null(strstr(warned, "was renamed by somebody"));
	assert_true(is_there(kept));
	assert_int_equal(count(below(f, "away")), 0);
	/* Removed by somebody, once it was empty. */
	warned[0] = '\0';
	exchange = create(f);
	assert_int_equal(rmdir(exchange_path(exchange)), 0);
	exchange_free(&exchange);
	assert_string_equal(warned, "");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(modes_and_groups),
		TEST(group_need_not_be_podprofs),
		TEST(empty_dir_of_kubernetes),
		TEST(unusable_dir_is_told),
		TEST(long_paths),
		TEST(files_are_copied),
		TEST(full_disk_is_told),
		TEST(check_leaves_nothing),
		TEST(fifo_is_made_anew),
		TEST(waiting_writers_are_let_go),
		TEST(killed_owner_is_swept_after),
		TEST(foreign_names_are_spared),
		TEST(planted_things_are_spared),
		TEST(hostile_contents_are_removed),
		TEST(one_that_stays_keeps_no_other),
		TEST(thousands_are_swept),
		TEST(sweep_is_bounded),
		TEST(creation_survives_a_sweep),
		TEST(exchanged_directory_is_seen),
		TEST(renamed_directory_is_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
