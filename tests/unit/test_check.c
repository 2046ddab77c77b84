#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "test.h"
#include "inspector.h"

#include "activate.h"
#include "check.h"
#include "clock.h"
#include "conf.h"
#include "file.h"
#include "process.h"
#include "target.h"
#include "ws.h"

#define INSPECTOR "127.0.0.1:9229"

/* Somebody in particular where we are root. */
#define NOBODY 65534
#define STRANGE_GROUP 54321

static bool is_root;		/* as the tool sees it */
static bool is_noexec;
static bool has_addon, has_capture;
static bool has_program;	/* podprof-capture, installed */
static gid_t group_of_users;	/* 0: as it is */
static char asked_addon[500];
/* The disk; 0: as it is. */
static fsblkcnt_t disk_bytes, disk_free;
static bool is_read_only, is_out_of_inodes;
static long disk_type;
static int64_t now_ms;		/* 0: as it is */
/* What is in the files of control groups; NULL: there is none. */
static const char *cgroup, *limit_here, *limit_above;
static const char *inspector;	/* of app a */
/* What the app says, or how asking fails. */
static struct target_facts facts;
static enum err_code find_fault, attach_fault, ask_fault, process_fault;
static enum err_code holder_fault;
static bool has_asked_process, has_asked_holder;

uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);
int __wrap_statvfs(const char *path, struct statvfs *ret_fs);
int __real_statvfs(const char *path, struct statvfs *ret_fs);
int __wrap_access(const char *path, int mode);
struct passwd *__wrap_getpwuid(uid_t uid);
struct passwd *__real_getpwuid(uid_t uid);
int __wrap_statfs(const char *path, struct statfs *ret_fs);
int __real_statfs(const char *path, struct statfs *ret_fs);
int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);
int __wrap_file_read(const char *path, struct buf *out, struct err *err);
int __real_file_read(const char *path, struct buf *out, struct err *err);
int __wrap_ws_new(struct ws **ret_ws, struct err *err);
int __wrap_target_find(struct ws *ws, const char *given,
    int64_t deadline_ms, struct target *ret_target, struct err *err);
int __wrap_target_attach(struct ws *ws, const struct target *target,
    int64_t deadline_ms, const struct cdp_handler *handler,
    struct cdp **ret_cdp, struct err *err);
int __wrap_target_ask(struct cdp *cdp, const struct cdp_limit *limit,
    bool is_reset, struct target_facts *ret_facts, struct err *err);
int __wrap_activate_check_open(const char *state_dir,
    const struct conf_app *app, uid_t user, const struct ws_address *address,
    struct err *err);
int __wrap_process_find(const char *pid, uid_t user,
    struct process *ret_process, struct err *err);

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
	if (is_read_only)
		ret_fs->f_flag |= ST_RDONLY;
	if (is_out_of_inodes) {
		ret_fs->f_files = 1000;
		ret_fs->f_favail = 0;
	}
	if (disk_bytes > 0) {
		ret_fs->f_frsize = 1;
		ret_fs->f_blocks = disk_bytes;
		ret_fs->f_bavail = disk_free;
	}
	return rc;
}

int
__wrap_statfs(const char *path, struct statfs *ret_fs)
{
	int rc = __real_statfs(path, ret_fs);

	ret_fs->f_type = disk_type;
	return rc;
}

int64_t
__wrap_clock_utc_ms(void)
{
	return now_ms != 0 ? now_ms : __real_clock_utc_ms();
}

int
__wrap_file_read(const char *path, struct buf *out, struct err *err)
{
	const char *text;

	if (strcmp(path, "/proc/self/cgroup") == 0)
		text = cgroup;
	else if (strncmp(path, "/sys/fs/cgroup/", 15) != 0)
		return __real_file_read(path, out, err);
	else if (strcmp(path, "/sys/fs/cgroup/a/b/memory.max") == 0 ||
	    strcmp(path, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes") ==
		0)
		text = limit_here;
	else if (strcmp(path, "/sys/fs/cgroup/memory.max") == 0 ||
	    strcmp(path, "/sys/fs/cgroup/memory/memory.limit_in_bytes") == 0)
		text = limit_above;
	else
		text = NULL;
	if (text == NULL)
		return err_set(err, ERR_NOT_FOUND, "no such file");
	return buf_adds(out, text, err);
}

int
__wrap_ws_new(struct ws **ret_ws, struct err *err)
{
	(void)err;
	*ret_ws = NULL;
	return 0;
}

int
__wrap_target_find(struct ws *ws, const char *given, int64_t deadline_ms,
    struct target *ret_target, struct err *err)
{
	assert_null(ws);
	assert_string_equal(given, inspector);
	assert_true(deadline_ms > clock_mono_ms());
	memset(ret_target, 0, sizeof(*ret_target));
	return find_fault == 0 ? 0 :
	    err_set(err, find_fault, "no inspector at 127.0.0.1:9229");
}

int
__wrap_target_attach(struct ws *ws, const struct target *target,
    int64_t deadline_ms, const struct cdp_handler *handler,
    struct cdp **ret_cdp, struct err *err)
{
	(void)ws;
	(void)target;
	(void)deadline_ms;
	assert_non_null(handler);
	*ret_cdp = NULL;
	return attach_fault == 0 ? 0 :
	    err_set(err, attach_fault, "it does not take a session");
}

int
__wrap_target_ask(struct cdp *cdp, const struct cdp_limit *limit,
    bool is_reset, struct target_facts *ret_facts, struct err *err)
{
	assert_null(cdp);
	assert_false(is_reset);
	assert_true(limit->deadline_ms > 0);
	*ret_facts = facts;
	return ask_fault == 0 ? 0 :
	    err_set(err, ask_fault, "the app said nothing");
}

int
__wrap_process_find(const char *pid, uid_t user,
    struct process *ret_process, struct err *err)
{
	assert_string_equal(pid, "/run/app.pid");
	assert_int_equal(user, __real_geteuid() == 0 ? NOBODY : getuid());
	has_asked_process = true;
	if (process_fault != 0)
		return err_set(err, process_fault, "/run/app.pid: no such "
		    "file");
	memset(ret_process, 0, sizeof(*ret_process));
	ret_process->proc.pid = 77;
	(void)strcpy(ret_process->name, "node server.js");
	return 0;
}

int
__wrap_activate_check_open(const char *state_dir, const struct conf_app *app,
    uid_t user, const struct ws_address *address, struct err *err)
{
	assert_non_null(strstr(state_dir, "/state"));
	assert_int_equal(app->activate, ACTIVATE_SIGUSR1);
	assert_int_equal(user, __real_geteuid() == 0 ? NOBODY : getuid());
	assert_non_null(address);
	has_asked_holder = true;
	return holder_fault == 0 ? 0 :
	    err_set(err, holder_fault, "at it listens process 8");
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
	if (is_addon ? has_addon : strstr(path, PODPROF_LIBEXECDIR) != NULL ?
	    has_program : has_capture)
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
	char state[300];
	struct check_options options;
	const char *auth;	/* more of [auth] */
	const char *more;	/* of the configuration, in [app a] first */
	char found[16384];
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
	(void)snprintf(f->state, sizeof(f->state), "%s/state", f->base);
	assert_int_equal(mkdir(f->state, 0711), 0);
	own(f->state);
	(void)snprintf(path, sizeof(path), "%s/tokens", f->base);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	own(path);
	assert_int_equal(chmod(path, 0640), 0);
	is_root = has_addon = has_program = true;
	is_noexec = has_capture = false;
	is_read_only = is_out_of_inodes = false;
	group_of_users = 0;
	disk_bytes = disk_free = 0;
	disk_type = EXT4_SUPER_MAGIC;
	now_ms = 0;
	cgroup = limit_here = limit_above = NULL;
	facts = (struct target_facts){.pid = 7, .node = "v20.20.2",
	    .rss_bytes = 60 << 20, .heap_used_bytes = 10 << 20,
	    .heap_large_bytes = 0, .heap_young_bytes = 0,
	    .limit_bytes = 512 << 20, .available_bytes = 400 << 20};
	find_fault = attach_fault = ask_fault = process_fault = 0;
	holder_fault = 0;
	inspector = INSPECTOR;
	has_asked_process = has_asked_holder = false;
	f->auth = f->more = "";
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	is_root = false;
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
	    "[auth]\ntokens = %s/tokens\n%s[app a]\nmethod = %s\n"
	    "inspector = %s\nexchange_dir = %s\n%s", f->base, f->base,
	    f->auth, method, inspector, f->dir, f->more);
	assert_int_equal(fclose(file), 0);
	assert_ok(conf_load(path, none, &conf, &err), err);
	f->found[0] = '\0';
	sound = check_run(conf, &f->options, collect, f);
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
	    "No such file or directory, so every heap snapshot fails: install "
	    "podprof anew");
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: " PODPROF_LIBEXECDIR "/podprof-fork.node",
	    "method fork is never taken: install podprof anew");
	assert_true(look(f, "direct"));
	assert_not_found(f, "podprof-fork.node");
	/* Where nothing is installed: beside the program. */
	has_capture = has_addon = true;
	assert_true(look(f, "fork"));
	assert_non_null(strstr(asked_addon, "/podprof-fork.node"));
	assert_null(strstr(asked_addon, PODPROF_LIBEXECDIR));
}

static void
program_must_be_there(void **state)
{
	struct fixture *f = *state;

	assert_true(look(f, "stream"));
	assert_not_found(f, "podprof-capture");
	has_program = false;
	assert_false(look(f, "stream"));
	assert_found(f, "fail program: " PODPROF_LIBEXECDIR "/podprof-capture",
	    "No such file or directory, so nothing can be captured: install "
	    "podprof anew");
	/* Where nothing is installed: beside the program. */
	has_capture = true;
	assert_true(look(f, "stream"));
	assert_not_found(f, "podprof-capture");
}

static void
app_is_asked(void **state)
{
	struct fixture *f = *state;

	assert_true(look(f, "stream"));
	assert_found(f, "ok app a: Node v20.20.2, pid 7, at 127.0.0.1:9229",
	    "10 MB of heap, a memory limit of 512 MB, of which 400 MB are");
	facts.limit_bytes = -1;
	assert_true(look(f, "auto"));
	assert_found(f, "ok app a: Node", "no memory limit");
	ask_fault = ERR_TARGET_TIMEOUT;
	assert_true(look(f, "stream"));
	assert_found(f, "warn app a: the inspector at 127.0.0.1:9229 answers",
	    "the app itself did not within 2 s");
	ask_fault = ERR_TARGET_EXITED;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: ", "the app said nothing");
	attach_fault = ERR_TARGET_REFUSED;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: ", "does not take a session");
	find_fault = ERR_TARGET_UNREACHABLE;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: no inspector at", "network namespace");
	assert_false(has_asked_process);
	assert_false(has_asked_holder);
}

static void
memory_guard_is_told_of(void **state)
{
	struct fixture *f = *state;

	facts.heap_used_bytes = 300 << 20;
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: a heap snapshot taken now would be "
	    "refused", "MB");
	f->more = "[limits]\nmemory_guard = off\n";
	assert_true(look(f, "direct"));
	assert_found(f, "warn app a: a heap snapshot taken now might kill the "
	    "app", "memory_guard is off");
}

/* In the time that a job has it is drained first, and then frozen. */
static void
time_is_enough(void **state)
{
	struct fixture *f = *state;

	find_fault = ERR_TARGET_UNREACHABLE;
	f->more = "health_url = http://127.0.0.1:1/\ndrain = 60s\n"
	    "[limits]\njob_timeout = 1m\n";
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: drain (1m)", "[limits] job_timeout (1m)");
	assert_found(f, "fail app a: drain", "every heap snapshot fails");
	assert_false(look(f, "auto"));
	assert_found(f, "warn app a: drain (1m)", "no heap snapshot that freezes");
	assert_false(look(f, "fork"));
	assert_null(strstr(f->found, "drain"));
	/* Without a health address it is not waited for. */
	f->more = "drain = 60s\n[limits]\njob_timeout = 1m\n";
	assert_false(look(f, "stream"));
	assert_null(strstr(f->found, "drain"));

	find_fault = 0;
	facts.heap_used_bytes = 300 << 20;
	facts.limit_bytes = facts.available_bytes = -1;
	assert_true(look(f, "stream"));
	assert_null(strstr(f->found, "warn app a"));
	f->more = "health_url = http://127.0.0.1:1/\ndrain = 55s\n"
	    "[limits]\njob_timeout = 1m\n";
	assert_false(look(f, "stream"));
	assert_found(f, "warn app a: a heap snapshot taken now", "after drain "
	    "(55s) there are 5s left of [limits] job_timeout (1m)");
	assert_false(look(f, "auto"));
	assert_found(f, "warn app a: a heap snapshot taken now", "after drain");
	assert_false(look(f, "fork"));
	assert_null(strstr(f->found, "drain"));
	f->more = "[limits]\njob_timeout = 10s\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn app a: a heap snapshot taken now", "[limits] "
	    "job_timeout (10s) is shorter");
}

static void
activation_is_foretold(void **state)
{
	struct fixture *f = *state;

	f->more = "activate = sigusr1\npid = /run/app.pid\n";
	assert_true(look(f, "stream"));
	assert_false(has_asked_process);
	assert_true(has_asked_holder);
	assert_found(f, "ok app a: Node v20.20.2, pid 7", "");
	/* What is open is another's. */
	holder_fault = ERR_TARGET_REFUSED;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: at it listens process 8", "");
	assert_not_found(f, "Node v20.20.2");
	holder_fault = 0;
	find_fault = ERR_TARGET_UNREACHABLE;
	assert_true(look(f, "stream"));
	assert_found(f, "ok app a: no inspector is open at 127.0.0.1:9229",
	    "opens that of pid 77 (node server.js) by SIGUSR1");
	process_fault = ERR_TARGET_UNREACHABLE;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: nothing listens at 127.0.0.1:9229",
	    "cannot be opened: /run/app.pid: no such file");
	inspector = "ws://127.0.0.1:9229/0198c0de-7b1e-4c3a-9f00-5d2e6a1b4c77";
	process_fault = 0;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: nothing listens at ws://127.0.0.1:9229",
	    "needs inspector = HOST:PORT");
	inspector = INSPECTOR;
	/* Something is there, and no Node. */
	has_asked_process = false;
	find_fault = ERR_TARGET_REFUSED;
	assert_false(look(f, "stream"));
	assert_false(has_asked_process);
}

static int health_status;

static void
answer_health(struct inspector *in, int fd, int n)
{
	(void)n;
	inspector_read_head(in, fd);
	inspector_answer(fd, health_status, "{}");
}

static void
health_is_asked(void **state)
{
	struct fixture *f = *state;
	struct inspector in;
	char more[200];

	inspector_start(&in, answer_health);
	(void)snprintf(more, sizeof(more),
	    "health_url = http://127.0.0.1:%u/health?deep=1\n",
	    (unsigned)in.port);
	f->more = more;
	health_status = 204;
	assert_true(look(f, "stream"));
	assert_found(f, "ok app a: health_url http://127.0.0.1:",
	    "answers 204");
	assert_non_null(strstr(in.request, "GET /health?deep=1 HTTP/1.1\r\n"));
	health_status = 302;
	assert_true(look(f, "stream"));
	health_status = 500;
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: health_url", "answers 500, so "
	    "/livez?app=a answers 503");
	inspector_stop(&in);
	assert_false(look(f, "stream"));
	assert_found(f, "fail app a: health_url: 127.0.0.1:", "refused");
}

static void
disk_is_looked_at(void **state)
{
	struct fixture *f = *state;

	f->more = "[limits]\nmin_free_bytes = 100M\nstore_bytes = 1G\n";
	disk_bytes = (fsblkcnt_t)4 << 30;
	disk_free = (fsblkcnt_t)1 << 30;
	assert_true(look(f, "stream"));
	assert_found(f, "ok disk: ", "has 1024 MB free");
	disk_free = (fsblkcnt_t)99 << 20;
	assert_false(look(f, "stream"));
	assert_found(f, "fail disk: ", "99 MB free, and [limits] "
	    "min_free_bytes is 100 MB");
	disk_bytes = (fsblkcnt_t)50 << 20;
	assert_false(look(f, "stream"));
	assert_found(f, "fail disk: ", "50 MB in all");
	disk_bytes = (fsblkcnt_t)1100 << 20;
	disk_free = (fsblkcnt_t)1000 << 20;
	assert_true(look(f, "stream"));
	assert_found(f, "warn disk: [limits] store_bytes is 1024 MB",
	    "has 1100 MB (1000 free)");
	is_out_of_inodes = true;
	assert_false(look(f, "stream"));
	assert_found(f, "fail disk: ", "no inode free");
	is_read_only = true;
	assert_false(look(f, "stream"));
	assert_found(f, "fail disk: ", "read-only");
}

static void
file_systems_are_judged(void **state)
{
	static const struct {
		long type;
		const char *begin;
		const char *text;
	} all[] = {
		{TMPFS_MAGIC, "warn disk: ", "is in memory"},
		{OVERLAYFS_SUPER_MAGIC, "warn disk: ", "mount a volume"},
		{NFS_SUPER_MAGIC, "fail disk: ", "network file system"},
		{0xff534d42, "fail disk: ", "network file system"},
		{0x65735546, "warn disk: ", "FUSE"},
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		disk_type = all[i].type;
		assert_int_equal(look(f, "stream"), all[i].begin[0] == 'w');
		assert_found(f, all[i].begin, all[i].text);
	}
}

static void
full_exchange_dir_is_found(void **state)
{
	struct fixture *f = *state;

	f->more = "[limits]\nmin_free_bytes = 0\n";
	disk_bytes = (fsblkcnt_t)100 << 30;
	disk_free = 4096;
	assert_false(look(f, "direct"));
	assert_found(f, "fail app a: the disk of exchange_dir", "is full");
	assert_true(look(f, "auto"));
	assert_found(f, "warn app a: the disk of exchange_dir", "is full");
}

static void
memory_limit_is_found(void **state)
{
	struct fixture *f = *state;

	assert_true(look(f, "stream"));
	/* The pool, 32 downloads, a snapshot and 32 profiles. */
	assert_found(f, "ok memory: no limit", "podprof takes 572 MB at most");
	f->more = "[app b]\nmethod = stream\ninspector = 127.0.0.1:9229\n";
	assert_true(look(f, "stream"));
	assert_found(f, "ok memory: no limit", "takes 1100 MB at most");
	f->more = "[limits]\nprofiles = 1\ndownloads = 4\n";
	assert_true(look(f, "stream"));
	assert_found(f, "ok memory: no limit", "takes 48 MB at most");
	cgroup = "0::/a/b\n";
	limit_here = "max\n";
	assert_true(look(f, "stream"));
	assert_found(f, "ok memory: no limit", "");
	limit_above = "134217728\n";
	assert_true(look(f, "stream"));
	assert_found(f, "ok memory: a limit of 128 MB", "takes 48 MB");
	/* The smallest of them, wherever it is. */
	limit_here = "33554432\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn memory: a limit of 32 MB", "may take 48 MB: the "
	    "pool, 4 downloads at once, and of each of 1 app a heap snapshot "
	    "and 1 profile; raise the limit, or lower [limits] profiles");
	cgroup = "12:cpu:/x\n4:memory:/a/b\n0::/elsewhere\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn memory: a limit of 32 MB", "");
	limit_here = limit_above = "9223372036854771712\n";
	assert_true(look(f, "stream"));
	assert_found(f, "ok memory: no limit", "");
	/* Of another namespace: only the root is to be seen. */
	cgroup = "0::/../../x\n";
	limit_above = "33554432\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn memory: a limit of 32 MB", "");
	cgroup = "nonsense\n::\n";
	assert_true(look(f, "stream"));
}

static void
clock_is_compared(void **state)
{
	struct fixture *f = *state;
	struct timespec times[2];

	assert_true(look(f, "stream"));
	assert_found(f, "ok clock: 20", "Z");
	times[0].tv_sec = times[1].tv_sec =
	    __real_clock_utc_ms() / 1000 + 3600;
	times[0].tv_nsec = times[1].tv_nsec = 0;
	assert_int_equal(utimensat(AT_FDCWD, f->state, times, 0), 0);
	assert_false(look(f, "stream"));
	assert_found(f, "fail clock: it is 20", "/state was changed later");
	now_ms = 1000000000000;
	assert_false(look(f, "stream"));
	assert_found(f, "fail clock: it is 2001-09-09", "this program was made "
	    "later");
}

static void
put_database(const struct fixture *f, const void *data, size_t len)
{
	char path[400];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/podprof.db", f->state);
	(void)unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(close(fd), 0);
	own(path);
}

/* As root: by its header, as opening it would leave root's files there. */
static void
schema_is_compared(void **state)
{
	unsigned char header[100] = "SQLite format 3";
	struct fixture *f = *state;
	char path[400];
	FILE *file;

	if (__real_geteuid() != 0)
		return;
	put_database(f, header, sizeof(header));
	assert_true(look(f, "stream"));
	assert_found(f, "ok database: ", "version 0, and the service brings");
	/* The newest is in the log, of somebody who works with it. */
	(void)snprintf(path, sizeof(path), "%s/podprof.db-wal", f->state);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("log", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_true(look(f, "stream"));
	assert_found(f, "ok database: ", "is in use; its schema has version 0 "
	    "or a later one");
	assert_int_equal(unlink(path), 0);
	header[62] = 0x27;
	header[63] = 0x0f;
	put_database(f, header, sizeof(header));
	assert_false(look(f, "stream"));
	assert_found(f, "fail database: ", "has schema version 9999");
	put_database(f, header, 60);
	assert_false(look(f, "stream"));
	assert_found(f, "fail database: ", "is no SQLite database");
	put_database(f, "garbage", 7);
	assert_false(look_as_service(f, "stream"));
	assert_found(f, "fail database: ", "podprof.db");
}

static void
doubtful_configuration_is_told(void **state)
{
	struct fixture *f = *state;

	f->more = "[app b]\nmethod = stream\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn apps: a and b have the same inspector", "");
	/* One is open all the time: then it is the other's, too. */
	f->more = "[app b]\nmethod = stream\nactivate = sigusr1\n"
	    "pid = /run/app.pid\n";
	(void)look(f, "stream");
	assert_found(f, "warn apps: a and b have the same inspector", "");
	/* Workers of a cluster, one after the other. */
	f->more = "activate = sigusr1\npid = /run/app.pid\n[app b]\n"
	    "method = stream\nactivate = sigusr1\npid = /run/app.pid\n";
	assert_true(look(f, "stream"));
	assert_not_found(f, "same inspector");
	assert_not_found(f, "auth");
	f->auth = "remote_user = operator\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn auth: [auth] remote_user", "--url");
	f->auth = "anonymous = viewer\n";
	assert_true(look(f, "stream"));
	assert_found(f, "warn auth: [auth] anonymous", "is viewer");
}

/* What a pool would be. */
struct pool {
	int listener;
	pthread_t thread;
	const char *answer;
	size_t len;
	unsigned char heard[512];
	ssize_t heard_len;
};

static void *
serve_once(void *arg)
{
	struct pool *pool = arg;
	int fd = accept(pool->listener, NULL, NULL);

	assert_true(fd >= 0);
	pool->heard_len = recv(fd, pool->heard, sizeof(pool->heard), 0);
	assert_int_equal(send(fd, pool->answer, pool->len, MSG_NOSIGNAL),
	    pool->len);
	(void)close(fd);
	return NULL;
}

static void
listen_at(const struct fixture *f, struct pool *pool, char path[400])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(path, 400, "%s/socket", f->base);
	(void)strcpy(address.sun_path, path);
	(void)unlink(path);
	pool->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(pool->listener, (struct sockaddr *)&address,
	    sizeof(address)), 0);
	assert_int_equal(chmod(path, 0660), 0);
	assert_int_equal(listen(pool->listener, 8), 0);
}

static bool
look_with_pool(struct fixture *f, struct pool *pool, const char *answer,
    size_t len)
{
	bool sound;

	pool->answer = answer;
	pool->len = len;
	assert_int_equal(pthread_create(&pool->thread, NULL, serve_once, pool),
	    0);
	sound = look(f, "stream");
	assert_int_equal(pthread_join(pool->thread, NULL), 0);
	return sound;
}

static void
socket_is_looked_at(void **state)
{
	static const char good[] = "\1\6\0\1\0\26\0\0Status: 200 OK\r\n\r\n"
	    "ok\n";
	static const char bad[] = "\1\6\0\1\0\20\0\0Status: 503 No\r\n";
	struct fixture *f = *state;
	struct pool pool;
	char path[400];

	f->options.socket = "/nonexistent/socket";
	assert_false(look(f, "stream"));
	assert_found(f, "fail socket: /nonexistent/socket", "start the pool");
	f->options.socket = f->base;
	assert_false(look(f, "stream"));
	assert_found(f, "fail socket: ", "is no socket");
	listen_at(f, &pool, path);
	f->options.socket = path;
	assert_true(look_with_pool(f, &pool, good, sizeof(good) - 1));
	assert_found(f, "ok socket: ", "a pool answers");
	/* A whole request, of which the head has no padding. */
	assert_memory_equal(pool.heard, "\1\1\0\1\0\10\0\0\0\1", 10);
	assert_memory_equal(pool.heard + pool.heard_len - 16,
	    "\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0", 16);
	assert_false(look_with_pool(f, &pool, bad, sizeof(bad) - 1));
	assert_found(f, "fail socket: ", "does not answer as podprof.fcgi");
	assert_false(look_with_pool(f, &pool, "", 0));
	assert_found(f, "fail socket: ", "does not answer as podprof.fcgi");
	assert_int_equal(chmod(path, 0666), 0);
	assert_false(look_with_pool(f, &pool, good, sizeof(good) - 1));
	assert_found(f, "fail socket: ", "everybody on this machine");
	assert_int_equal(chmod(path, 0600), 0);
	assert_true(look_with_pool(f, &pool, good, sizeof(good) - 1));
	assert_found(f, "warn socket: ", "its group cannot connect");
	assert_int_equal(chmod(path, 0660), 0);
	/* It takes connections, and says nothing. */
	assert_false(look(f, "stream"));
	assert_found(f, "fail socket: ", "does not answer within 2 s");
	(void)close(pool.listener);
	assert_false(look(f, "stream"));
	assert_found(f, "fail socket: ", "nobody listens");
}

/* A pool that stands still takes none, once so many wait. */
static void
full_socket_is_told(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct fixture *f = *state;
	int fds[16];
	struct pool pool;
	char path[400];
	size_t len = 0;

	listen_at(f, &pool, path);
	assert_int_equal(listen(pool.listener, 1), 0);
	(void)strcpy(address.sun_path, path);
	do {
		assert_true(len < sizeof(fds) / sizeof(fds[0]));
		fds[len] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);
		assert_true(fds[len] >= 0);
	} while (connect(fds[len++], (struct sockaddr *)&address,
	    sizeof(address)) == 0);
	assert_int_equal(errno, EAGAIN);
	f->options.socket = path;
	assert_false(look(f, "stream"));
	assert_found(f, "fail socket: ", "takes no more connections");
	while (len > 0)
		(void)close(fds[--len]);
	(void)close(pool.listener);
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
		TEST(program_must_be_there),
		TEST(app_is_asked),
		TEST(memory_guard_is_told_of),
		TEST(time_is_enough),
		TEST(activation_is_foretold),
		TEST(health_is_asked),
		TEST(disk_is_looked_at),
		TEST(file_systems_are_judged),
		TEST(full_exchange_dir_is_found),
		TEST(memory_limit_is_found),
		TEST(clock_is_compared),
		TEST(schema_is_compared),
		TEST(doubtful_configuration_is_told),
		TEST(socket_is_looked_at),
		TEST(full_socket_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
