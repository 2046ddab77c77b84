#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "test.h"

#include "check.h"
#include "conf.h"

/* Somebody in particular where we are root. */
#define NOBODY 65534
#define STRANGE_GROUP 54321

static bool is_root;		/* as the tool sees it */
static bool is_noexec;
static bool has_addon, has_capture;
static gid_t group_of_users;	/* 0: as it is */
static char asked_addon[500];

uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);
int __wrap_statvfs(const char *path, struct statvfs *ret_fs);
int __real_statvfs(const char *path, struct statvfs *ret_fs);
int __wrap_access(const char *path, int mode);
struct passwd *__wrap_getpwuid(uid_t uid);
struct passwd *__real_getpwuid(uid_t uid);

uid_t
__wrap_geteuid(void)
{
	return is_root ? 0 : __real_geteuid();
}

int
__wrap_statvfs(const char *path, struct statvfs *ret_fs)
{
	int rc = __real_statvfs(path, ret_fs);

	ret_fs->f_flag &= ~(unsigned long)ST_NOEXEC;
	if (is_noexec)
		ret_fs->f_flag |= ST_NOEXEC;
	return rc;
}

int
__wrap_access(const char *path, int mode)
{
	bool is_addon = strstr(path, "/podprof-fork.node") != NULL;

	(void)mode;
	if (is_addon)
		(void)snprintf(asked_addon, sizeof(asked_addon), "%s", path);
	else
		assert_non_null(strstr(path, "/podprof-capture"));
	if (is_addon ? has_addon : has_capture)
		return 0;
	errno = ENOENT;
	return -1;
}

struct passwd *
__wrap_getpwuid(uid_t uid)
{
	struct passwd *user = __real_getpwuid(uid);

	if (user != NULL && group_of_users != 0)
		user->pw_gid = group_of_users;
	return user;
}

struct fixture {
	char base[256];
	char dir[300];		/* exchange_dir */
	int listener;
	unsigned port;
	char found[8192];
};

static void
own(const char *path)
{
	if (__real_geteuid() == 0)
		assert_int_equal(chown(path, NOBODY, NOBODY), 0);
}

static int
setup(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct fixture *f = calloc(1, sizeof(*f));
	char path[400];
	FILE *file;

	if (f == NULL)
		return -1;
	test_make_dir(f->base);
	assert_int_equal(chmod(f->base, 0711), 0);
	(void)snprintf(f->dir, sizeof(f->dir), "%s/exchange", f->base);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	own(f->dir);
	assert_int_equal(chmod(f->dir, 02770), 0);
	(void)snprintf(path, sizeof(path), "%s/state", f->base);
	assert_int_equal(mkdir(path, 0711), 0);
	own(path);
	(void)snprintf(path, sizeof(path), "%s/tokens", f->base);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	own(path);
	assert_int_equal(chmod(path, 0640), 0);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&address, len),
	    0);
	assert_int_equal(listen(f->listener, 64), 0);
	assert_int_equal(getsockname(f->listener,
	    (struct sockaddr *)&address, &len), 0);
	f->port = ntohs(address.sin_port);
	is_root = has_addon = true;
	is_noexec = has_capture = false;
	group_of_users = 0;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	is_root = false;
	(void)close(f->listener);
	(void)chmod(f->dir, 0700);
	test_remove_dir(f->base);
	free(f);
	return 0;
}

static void
collect(void *ctx, enum check_status status, const char *what,
    const char *text)
{
	static const char *const words[] = {"ok", "warn", "fail"};
	struct fixture *f = ctx;
	size_t len = strlen(f->found);

	(void)snprintf(f->found + len, sizeof(f->found) - len, "%s %s: %s\n",
	    words[status], what, text);
}

static bool
look(struct fixture *f, const char *method)
{
	char path[400], *none[] = {NULL};
	struct conf *conf = NULL;
	struct err err;
	FILE *file;
	bool sound;

	(void)snprintf(path, sizeof(path), "%s/conf-%s", f->base, method);
	(void)unlink(path);	/* it may be another user's */
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fprintf(file, "[podprof]\nstate_dir = %s/state\npod = p\n"
	    "[auth]\ntokens = %s/tokens\n[app a]\nmethod = %s\n"
	    "inspector = 127.0.0.1:%u\nexchange_dir = %s\n", f->base, f->base,
	    method, f->port, f->dir);
	assert_int_equal(fclose(file), 0);
	assert_ok(conf_load(path, none, &conf, &err), err);
	f->found[0] = '\0';
	sound = check_run(conf, collect, f);
	conf_free(&conf);
	return sound;
}

/* As the service's user, who is not root; the findings come by a pipe. */
static bool
look_as_service(struct fixture *f, const char *method)
{
	int status, fds[2];
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	own(f->base);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (getuid() == 0 && (setgroups(0, NULL) != 0 ||
			setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) != 0))
			_exit(99);
		is_root = false;
		status = look(f, method);
		len = strlen(f->found);
		_exit(write(fds[1], f->found, len) == (ssize_t)len ? status :
								     98);
	}
	(void)close(fds[1]);
	while ((n = read(fds[0], f->found + len,
		    sizeof(f->found) - 1 - len)) > 0)
		len += (size_t)n;
	f->found[len] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status) == 1;
}

/* A line that begins so has this text in it. */
static void
assert_found(const struct fixture *f, const char *begin, const char *text)
{
	const char *line = f->found, *at;

	for (; *line != '\0'; line = strchr(line, '\n') + 1) {
		at = strstr(line, text);
		if (strncmp(line, begin, strlen(begin)) == 0 && at != NULL &&
		    at < strchr(line, '\n'))
			return;
	}
	fail_msg("no \"%s\" with \"%s\" in:\n%s", begin, text, f->found);
}

static void
assert_not_found(const struct fixture *f, const char *text)
{
	if (strstr(f->found, text) != NULL)
		fail_msg("\"%s\" in:\n%s", text, f->found);
}

static void
sound_directory_is_ok(void **state)
{
	static const char *const methods[] = {"auto", "fork", "direct"};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < 3; i++) {
		assert_true(look(f, methods[i]));
		assert_found(f, "ok app a: exchange_dir ", "exchange (2770)");
		assert_not_found(f, "fail ");
		assert_not_found(f, "warn app");
		assert_true(look_as_service(f, methods[i]));
		assert_found(f, "ok app a: exchange_dir ", "exchange (2770)");
		assert_not_found(f, "warn app");
	}
	/* Nothing stays of the trial. */
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void
stream_needs_none(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->dir), 0);
	has_addon = false;
	assert_true(look(f, "stream"));
	assert_not_found(f, "exchange_dir");
	assert_not_found(f, "podprof-fork.node");
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void
missing_directory_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->dir), 0);
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: exchange_dir", "No such file");
	assert_found(f, "warn app a: exchange_dir",
	    "every heap snapshot freezes the app");
	assert_found(f, "warn app a: exchange_dir", "install -d -m 2770");
	assert_found(f, "warn app a: exchange_dir", "method to stream");
	assert_false(look(f, "fork"));
	assert_found(f, "fail app a: exchange_dir",
	    "every heap snapshot fails: make it with");
	assert_not_found(f, "method to stream");
	assert_false(look(f, "direct"));
	assert_found(f, "fail app a: exchange_dir", "install -d -m 2770");
	assert_false(look_as_service(f, "direct"));
	assert_found(f, "fail app a: exchange_dir", "install -d -m 2770");
	assert_int_equal(symlink(f->base, f->dir), 0);
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: exchange_dir", "is a symbolic link, and");
	assert_false(look(f, "direct"));
	assert_found(f, "fail app a: exchange_dir", "is a symbolic link, and");
	assert_int_equal(unlink(f->dir), 0);
	assert_int_equal(close(open(f->dir, O_CREAT | O_WRONLY, 0600)), 0);
	assert_false(look(f, "fork"));
	assert_found(f, "fail app a: exchange_dir", "is no directory");
	assert_int_equal(unlink(f->dir), 0);
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void
directory_must_be_writable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 02550), 0);
	assert_false(look(f, "fork"));
	assert_found(f, "fail app a: exchange_dir", "2550) cannot be used by");
	assert_found(f, "fail app a: exchange_dir", "chmod 2770");
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: exchange_dir", "cannot be used by");
	if (__real_geteuid() == 0)
		assert_int_equal(chown(f->dir, 0, 0), 0);
	assert_int_equal(chmod(f->dir, 0555), 0);
	assert_false(look_as_service(f, "direct"));
	assert_found(f, "fail app a: exchange_dir", "cannot be written by the "
	    "user that podprof runs as");
	assert_not_found(f, "ok app a: exchange_dir");
}

static void
group_must_reach_the_app(void **state)
{
	struct fixture *f = *state;

	/* The service's own group: what is made there has it anyway. */
	assert_int_equal(chmod(f->dir, 0770), 0);
	if (__real_geteuid() == 0) {
		assert_true(look(f, "auto"));
		assert_not_found(f, "set-group-ID");
	}
	group_of_users = STRANGE_GROUP;
	assert_true(look(f, "fork"));
	assert_found(f, "warn app a: exchange_dir", "is not set-group-ID");
	assert_found(f, "warn app a: exchange_dir", "chmod g+s");
	assert_not_found(f, "ok app a: exchange_dir");
	assert_int_equal(chmod(f->dir, 02700), 0);
	assert_true(look(f, "fork"));
	assert_found(f, "warn app a: exchange_dir", "2700) can be entered by "
	    "its owner only");
}

static void
everybody_may_not_write(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(chmod(f->dir, 02777), 0);
	assert_true(look(f, "fork"));
	assert_found(f, "warn app a: exchange_dir", "2777) can be written by "
	    "everybody");
	assert_found(f, "warn app a: exchange_dir", "emptyDir");
	/* An emptyDir of Kubernetes is like this, and root's; it works. */
	if (__real_geteuid() == 0) {
		assert_int_equal(chown(f->dir, 0, STRANGE_GROUP), 0);
		assert_int_equal(chmod(f->dir, 02777), 0);
		assert_true(look(f, "fork"));
		assert_found(f, "warn app a: exchange_dir", "emptyDir");
	}
	assert_true(look_as_service(f, "fork"));
	assert_found(f, "warn app a: exchange_dir", "emptyDir");
	assert_not_found(f, "fail app");
	/* Where nobody can rename what is another's. */
	assert_int_equal(chmod(f->dir, 03777), 0);
	assert_true(look(f, "fork"));
	assert_found(f, "ok app a: exchange_dir", "3777");
}

static void
noexec_keeps_addons_out(void **state)
{
	struct fixture *f = *state;

	is_noexec = true;
	assert_false(look(f, "fork"));
	assert_found(f, "fail app a: exchange_dir", "is mounted noexec");
	assert_found(f, "fail app a: exchange_dir",
	    "every heap snapshot fails");
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: exchange_dir",
	    "method fork is never taken");
	assert_true(look(f, "direct"));
	assert_not_found(f, "noexec");
	assert_found(f, "ok app a: exchange_dir", "2770");
}

static void
addon_must_be_there(void **state)
{
	struct fixture *f = *state;

	has_addon = false;
	assert_false(look(f, "fork"));
	assert_found(f, "fail app a: " PODPROF_LIBEXECDIR "/podprof-fork.node",
	    "install podprof anew");
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: " PODPROF_LIBEXECDIR "/podprof-fork.node",
	    "method fork is never taken");
	assert_true(look(f, "direct"));
	assert_not_found(f, "podprof-fork.node");
	/* Where nothing is installed: beside the program. */
	has_capture = has_addon = true;
	assert_true(look(f, "fork"));
	assert_non_null(strstr(asked_addon, "/podprof-fork.node"));
	assert_null(strstr(asked_addon, PODPROF_LIBEXECDIR));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sound_directory_is_ok),
		TEST(stream_needs_none),
		TEST(missing_directory_is_told),
		TEST(directory_must_be_writable),
		TEST(group_must_reach_the_app),
		TEST(everybody_may_not_write),
		TEST(noexec_keeps_addons_out),
		TEST(addon_must_be_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
