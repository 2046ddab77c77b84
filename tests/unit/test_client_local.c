/* Requests to the installation on this machine: a script stands in for
 * podprof.fcgi. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "test.h"

#include "client.h"
#include "clock.h"
#include "conf.h"
#include "file.h"

#define NOBODY 65534

/* What the program does is the first word of the path. */
static const char script[] =
"#!/bin/sh\n"
"answer() {\n"
"	printf 'Status: 200 OK\\r\\nContent-Type: application/json\\r\\n'\n"
"	printf 'Content-Length: %s\\r\\n\\r\\n%s' \"${#1}\" \"$1\"\n"
"}\n"
"echo $$ >\"${0%/*}/pid.new\"\n"
"mv \"${0%/*}/pid.new\" \"${0%/*}/pid\"\n"
"case \"${PATH_INFO#/shop/private/papi/}\" in\n"
"env) answer \"$(env | sort)\";;\n"
"body) answer \"$(cat)\";;\n"
"who) answer \"$(id -u) $(id -G) $(umask) $(pwd)\";;\n"
"fds) answer \"$(ls /proc/self/fd | tr '\\n' ' ')\";;\n"
"setup) printf 'Status: 500\n\nsee the log';\n"
"	echo 'cannot read x' >&2;;\n"
"lf) printf 'Status: 404 X\\nContent-Type: text/plain\\n\\nno';;\n"
"large) printf 'Status: 200\\n\\n'; head -c 3000000 /dev/zero;;\n"
"cut) printf 'Status: 200\\nContent-Length: 9\\n\\nab';;\n"
"silent) exit 3;;\n"
"words) echo first >&2; echo it is broken >&2; exit 4;;\n"
"many) head -c 200000 /dev/zero | tr '\\0' 'x' >&2; echo >&2;\n"
"	echo at last >&2; exit 1;;\n"
"signal) kill -SEGV $$;;\n"
"nostatus) printf 'Content-Type: text/plain\\n\\nx';;\n"
"badstatus) printf 'Status: x\\n\\nx';;\n"
"nul) printf 'Status: 200\\n\\000\\n\\n';;\n"
"flood) while printf 'X-More: and more\\r\\n'; do :; done 2>/dev/null;;\n"
"wait) printf 'Status: 200\\nContent-Length: 9\\n\\nab'; exec sleep 600;;\n"
"order) trap '' TERM; sleep 600 & wait $!; exit 0;;\n"
"linger) answer '{}'; exec >/dev/null 2>&1; exec sleep 600;;\n"
"esac\n";

static struct fixture {
	char dir[256], program[300];
	struct conf conf;
	struct conf_app apps[2];
	struct client *client;
	struct client_reply reply;
	struct err err;
} f;

static int64_t clock_offset_ms;
static volatile sig_atomic_t stop;
static int fail_at;

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);
void __wrap_file_own_program(const char *name, char *out, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);
void *__wrap_reallocarray(void *at, size_t n, size_t size);
void *__real_reallocarray(void *at, size_t n, size_t size);
int __wrap_vasprintf(char **out, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
int __real_vasprintf(char **out, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_pipe2(int fds[2], int flags);
int __real_pipe2(int fds[2], int flags);
pid_t __wrap_fork(void);
pid_t __real_fork(void);

/* Each look at the clock is so much later, once the program runs. */
static int64_t tick_ms;

int64_t
__wrap_clock_mono_ms(void)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/pid", f.dir);
	if (tick_ms > 0 && access(path, F_OK) == 0)
		clock_offset_ms += tick_ms;
	return __real_clock_mono_ms() + clock_offset_ms;
}

void
__wrap_file_own_program(const char *name, char *out, size_t size)
{
	assert_string_equal(name, "podprof.fcgi");
	(void)snprintf(out, size, "%s", f.program);
}

static bool
fails(void)
{
	errno = EMFILE;
	return fail_at > 0 && --fail_at == 0;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_reallocarray(void *at, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(at, n, size);
}

int
__wrap_vasprintf(char **out, const char *fmt, va_list ap)
{
	return fails() ? -1 : __real_vasprintf(out, fmt, ap);
}

int
__wrap_memfd_create(const char *name, unsigned flags)
{
	return fails() ? -1 : __real_memfd_create(name, flags);
}

int
__wrap_pipe2(int fds[2], int flags)
{
	return fails() ? -1 : __real_pipe2(fds, flags);
}

pid_t
__wrap_fork(void)
{
	return fails() ? -1 : __real_fork();
}

static void
write_program(const char *text)
{
	FILE *file;

	(void)unlink(f.program);
	file = fopen(f.program, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(f.program, 0755), 0);
}

static int
set_up(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	clock_offset_ms = tick_ms = 0;
	stop = 0;
	fail_at = 0;
	test_make_dir(f.dir);
	assert_int_equal(chmod(f.dir, 0755), 0);
	(void)snprintf(
	    f.program, sizeof(f.program), "%s/podprof.fcgi", f.dir);
	write_program(script);
	f.apps[0].name = "shop";
	f.apps[1].name = "blog";
	f.conf.state_dir = f.dir;
	f.conf.apps = f.apps;
	f.conf.apps_len = 1;
	assert_ok(client_open_local(&f.conf, NULL, &f.client, &f.err), f.err);
	client_set_stop(f.client, &stop);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	client_reply_fini(&f.reply);
	client_close(&f.client);
	test_remove_dir(f.dir);
	return 0;
}

static int
ask(const struct client_request *request)
{
	client_reply_fini(&f.reply);
	memset(&f.reply, 0, sizeof(f.reply));
	return client_call(f.client, request, &f.reply, &f.err);
}

static int
get(const char *path)
{
	const struct client_request request = {.method = "GET", .path = path};

	return ask(&request);
}

/* The process that the last request was. */
static pid_t
last_pid(void)
{
	char path[300];
	int pid = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/pid", f.dir);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	(void)fclose(file);
	return pid;
}

/* A line of the answer. */
static void
expect_line(const char *line)
{
	const char *text = buf_str(&f.reply.body), *at;
	const size_t len = strlen(line);

	for (at = strstr(text, line); at != NULL; at = strstr(at + 1, line))
		if ((at == text || at[-1] == '\n') &&
		    (at[len] == '\n' || at[len] == '\0'))
			return;
	fail_msg("no \"%s\" in %s", line, text);
}

static void
expect_none(const char *text)
{
	if (strstr(buf_str(&f.reply.body), text) != NULL)
		fail_msg("\"%s\" is in %s", text, buf_str(&f.reply.body));
}

static void
test_environment(void **state)
{
	const struct client_request request = {.method = "POST",
		.path = "env?a=1&b=2", .body = "{\"x\":1}", .wait_s = 3,
		.first_byte = 7, .etag = "\"e\"", .key = "k"};
	char uid[64];

	(void)state;
	assert_int_equal(setenv("PODPROF_TOKEN", "secret", 1), 0);
	assert_int_equal(setenv("PODPROF_LOCAL_UID", "4711", 1), 0);
	assert_int_equal(setenv("PODPROF_CONFIG", "/nowhere", 1), 0);
	assert_int_equal(setenv("PODPROF_POD", "p", 1), 0);
	assert_int_equal(setenv("HTTP_AUTHORIZATION", "Bearer x", 1), 0);
	assert_ok(ask(&request), f.err);
	(void)snprintf(uid, sizeof(uid), "PODPROF_LOCAL_UID=%lu",
	    (unsigned long)getuid());
	expect_line(uid);
	expect_line("REQUEST_METHOD=POST");
	expect_line("PATH_INFO=/shop/private/papi/env");
	expect_line("QUERY_STRING=a=1&b=2");
	expect_line("CONTENT_TYPE=application/json");
	expect_line("CONTENT_LENGTH=7");
	expect_line("HTTP_IDEMPOTENCY_KEY=k");
	expect_line("HTTP_PREFER=wait=3");
	expect_line("HTTP_RANGE=bytes=7-");
	expect_line("HTTP_IF_RANGE=\"e\"");
	expect_line("GATEWAY_INTERFACE=CGI/1.1");
	expect_line("PODPROF_POD=p");
	/* Nothing of the terminal's, and no secret. */
	expect_none("secret");
	expect_none("4711");
	expect_none("/nowhere");
	expect_none("HTTP_AUTHORIZATION");
	expect_none("REMOTE_");
	expect_none("PATH=/");
	assert_non_null(strstr(buf_str(&f.reply.body),
	    "SERVER_SOFTWARE=podprof/"));
	(void)unsetenv("PODPROF_TOKEN");
	(void)unsetenv("PODPROF_LOCAL_UID");
	(void)unsetenv("PODPROF_CONFIG");
	(void)unsetenv("PODPROF_POD");
	(void)unsetenv("HTTP_AUTHORIZATION");
}

/* The file that was read, by a path that is good in any directory. */
static void
test_configuration(void **state)
{
	char name[] = "podprof.conf", line[400], before[4096], real[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_non_null(realpath(f.dir, real));
	assert_int_equal(chdir(f.dir), 0);
	client_close(&f.client);
	f.conf.path = name;
	assert_err(client_open_local(&f.conf, NULL, &f.client, &f.err), f.err,
	    ERR_STORE, "podprof.conf");
	assert_int_equal(fclose(fopen(name, "w")), 0);
	assert_ok(client_open_local(&f.conf, NULL, &f.client, &f.err), f.err);
	assert_ok(get("env"), f.err);
	(void)snprintf(line, sizeof(line), "PODPROF_CONFIG=%.300s/podprof.conf",
	    real);
	expect_line(line);
	assert_int_equal(chdir(before), 0);
}

static void
test_answers(void **state)
{
	const struct client_request request = {
		.method = "POST", .path = "body", .body = "{\"x\":1}"};

	(void)state;
	assert_string_equal(client_where(f.client), "this machine");
	assert_true(client_is_local(f.client));
	assert_false(client_is_exposed(f.client));
	assert_ok(ask(&request), f.err);
	assert_int_equal(f.reply.status, 200);
	assert_string_equal(f.reply.type, "application/json");
	assert_string_equal(buf_str(&f.reply.body), "{\"x\":1}");
	assert_int_equal(f.reply.length, 7);
	assert_ok(get("body"), f.err);
	assert_int_equal(f.reply.body.len, 0);
	assert_ok(get("lf"), f.err);
	assert_int_equal(f.reply.status, 404);
	assert_string_equal(buf_str(&f.reply.body), "no");
	assert_ok(get("large"), f.err);
	assert_int_equal(f.reply.body.len, 3000000);
	assert_ok(get("fds"), f.err);
	/* 3 is ls's own. */
	assert_string_equal(buf_str(&f.reply.body), "0 1 2 3 ");
}

static void
test_no_answers(void **state)
{
	static const struct {
		const char *path;
		enum err_code code;
		const char *text;
	} bad[] = {
		{"cut", ERR_INTERRUPTED, "2 bytes of 9"},
		{"silent", ERR_INTERNAL, "exit status 3"},
		{"silent", ERR_INTERNAL, "capture.log"},
		{"words", ERR_INTERNAL, "(exit status 4): it is broken"},
		{"many", ERR_INTERNAL, ": at last"},
		{"signal", ERR_INTERNAL, "signal 11"},
		{"setup", ERR_INTERNAL, "cannot read x (it runs as "},
		{"nostatus", ERR_TARGET_REFUSED, "status"},
		{"badstatus", ERR_TARGET_REFUSED, "status"},
		{"nul", ERR_INTERNAL, "without an answer"},
		{"flood", ERR_TOO_LARGE, ""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_err(get(bad[i].path), f.err, bad[i].code, bad[i].text);
	assert_null(strstr(f.err.msg, "first"));
}

static void
test_not_startable(void **state)
{
	(void)state;
	assert_int_equal(chmod(f.program, 0644), 0);
	assert_err(get("env"), f.err, ERR_INTERNAL, "cannot run ");
	client_close(&f.client);
	assert_int_equal(unlink(f.program), 0);
	assert_err(client_open_local(&f.conf, NULL, &f.client, &f.err), f.err,
	    ERR_INTERNAL, "install podprof anew");
}

static client_sink_fn stop_here;
static int
stop_here(void *ctx, const void *data, size_t len, struct err *err)
{
	(void)ctx;
	(void)data;
	(void)len;
	(void)err;
	stop = 1;
	return 0;
}

/* Its end, which the client may have seen. */
static void
await_end(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		assert_int_equal(errno, ECHILD);
	assert_int_equal(kill(pid, 0), -1);
}

/* What only reads is ended, and at once. */
static void
test_stop(void **state)
{
	const struct client_request request = {
		.method = "GET", .path = "wait", .sink = stop_here};

	(void)state;
	assert_err(ask(&request), f.err, ERR_INTERRUPTED, "stopped");
	await_end(last_pid());
}

/* An order goes on without us. */
static void
test_stop_order(void **state)
{
	const struct client_request request = {
		.method = "POST", .path = "order", .body = "{}"};
	pid_t pid;

	(void)state;
	tick_ms = CLIENT_SILENCE_MS / 2;
	assert_err(ask(&request), f.err, ERR_TARGET_TIMEOUT, "silent");
	pid = last_pid();
	assert_int_equal(kill(pid, 0), 0);
	/* It has a session of its own. */
	assert_int_equal(kill(-pid, SIGKILL), 0);
	await_end(pid);
}

static void
test_silence(void **state)
{
	(void)state;
	tick_ms = CLIENT_SILENCE_MS / 2;
	assert_err(get("wait"), f.err, ERR_TARGET_TIMEOUT, "silent");
	await_end(last_pid());
	/* What is done after an answer is not waited for long; but for the
	 * answer, as the file of the first one still moves the clock. */
	tick_ms = 1000;
	assert_ok(get("linger"), f.err);
	assert_string_equal(buf_str(&f.reply.body), "{}");
	(void)kill(last_pid(), SIGKILL);
	await_end(last_pid());
}

/* As root: state_dir's owner, in his groups alone; told is who we are. */
static void
test_owner(void **state)
{
	char want[128];

	(void)state;
	if (getuid() == 0) {
		assert_int_equal(chown(f.dir, NOBODY, NOBODY), 0);
		client_close(&f.client);
		assert_ok(client_open_local(&f.conf, NULL, &f.client, &f.err),
		    f.err);
	}
	assert_ok(get("who"), f.err);
	if (getuid() == 0)
		(void)snprintf(want, sizeof(want), "%d %d 0077 /", NOBODY,
		    (int)getpwuid(NOBODY)->pw_gid);
	else
		(void)snprintf(want, sizeof(want), "%d ", (int)getuid());
	if (strncmp(buf_str(&f.reply.body), want, strlen(want)) != 0)
		fail_msg("\"%s\" is not \"%s\"", buf_str(&f.reply.body), want);
	assert_ok(get("env"), f.err);
	(void)snprintf(want, sizeof(want), "PODPROF_LOCAL_UID=%d",
	    (int)getuid());
	expect_line(want);
}

static void
test_apps(void **state)
{
	struct client *client = NULL;

	(void)state;
	assert_string_equal(client_app(f.client), "shop");
	f.conf.apps_len = 2;
	assert_err(client_open_local(&f.conf, NULL, &client, &f.err), f.err,
	    ERR_INVALID, "--app: shop, blog");
	assert_ok(client_open_local(&f.conf, "blog", &client, &f.err), f.err);
	assert_string_equal(client_app(client), "blog");
	client_close(&client);
	assert_err(client_open_local(&f.conf, "x", &client, &f.err), f.err,
	    ERR_NOT_FOUND, "no app \"x\"");
	f.conf.apps_len = 0;
	assert_err(client_open_local(&f.conf, NULL, &client, &f.err), f.err,
	    ERR_INVALID, "[app NAME]");
	assert_null(client);
}

/* Each call of ours fails once: it is told, and the next request works. */
static void
test_failures(void **state)
{
	const struct client_request request = {
		.method = "POST", .path = "body", .body = "{}"};
	int n, rc = -1;

	(void)state;
	for (n = 1; rc != 0; n++) {
		assert_true(n < 100);
		client_close(&f.client);
		fail_at = n;
		rc = client_open_local(&f.conf, NULL, &f.client, &f.err);
		fail_at = 0;
		if (rc != 0)
			assert_int_equal(f.err.code, ERR_NOMEM);
	}
	rc = -1;
	for (n = 1; rc != 0; n++) {
		assert_true(n < 100);
		client_reply_fini(&f.reply);
		memset(&f.reply, 0, sizeof(f.reply));
		fail_at = n;
		rc = client_call(f.client, &request, &f.reply, &f.err);
		fail_at = 0;
		if (rc != 0)
			assert_true(f.err.code == ERR_NOMEM ||
			    f.err.code == ERR_INTERNAL);
	}
	assert_true(n > 6);
	assert_string_equal(buf_str(&f.reply.body), "{}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_environment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_configuration, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_not_startable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_stop_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_apps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_failures, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
