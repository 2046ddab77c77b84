/*
 * Plain CGI as processes: this program is started again as the CGI program, and
 * by that as podprof-capture, under those names.
 */
#include "stand_in.h"

#include <errno.h>
#include <sys/wait.h>

#include "buf.h"
#include "cgi.h"
#include "launch.h"

/* One request, and its answer once it is there. */
struct run {
	pid_t pid;
	int fd;
	struct buf text;
	int status;
};

static int
run_cgi(void)
{
	struct conf *conf = NULL;
	struct err err;

	if (conf_load(NULL, environ, &conf, &err) != 0)
		return 3;
	cgi_run(conf, environ);
	conf_free(&conf);
	return 0;
}

/* What podprof(1) sets, and what a web server would. */
static char local_uid[64], software[] = "SERVER_SOFTWARE=podprof/1",
    remote[] = "REMOTE_ADDR=127.0.0.1";
static char *tool[3] = { local_uid, software, NULL };

/* Start a request, as a web server does; who NULL: as podprof(1) does. */
static struct run
begin(const char *method, const char *path, const char *who)
{
	char lines[3][600], program[400];
	char *env[] = { lines[0], lines[1], lines[2], site.operator, NULL,
		NULL, NULL };
	char *argv[] = { program, NULL };
	struct run run = { .status = 0 };
	int fds[2];

	(void)snprintf(program, sizeof(program), "%s/cgi", site.dir);
	(void)snprintf(lines[0], sizeof(lines[0]), "REQUEST_METHOD=%s",
	    method);
	(void)snprintf(lines[1], sizeof(lines[1]), "PATH_INFO=%s", path);
	(void)snprintf(lines[2], sizeof(lines[2]), "PODPROF_CONFIG=%s",
	    conf_path);
	if (who == site.viewer)
		env[3] = site.viewer;
	if (who == NULL)
		memcpy(env + 3, tool, sizeof(tool));
	buf_init(&run.text, 2 * SNAPSHOT_BYTES);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	run.pid = fork();
	assert_true(run.pid >= 0);
	if (run.pid == 0) {
		(void)dup2(open("/dev/null", O_RDONLY), 0);
		(void)dup2(fds[1], 1);
		(void)execve(program, argv, env);
		_exit(127);
	}
	(void)close(fds[1]);
	run.fd = fds[0];
	return run;
}

/* Read the answer to its end, which comes before that of the process. */
static void
finish(struct run *run)
{
	static char piece[1 << 16];
	struct err err;
	int status;
	ssize_t n;

	while ((n = read(run->fd, piece, sizeof(piece))) > 0)
		assert_ok(buf_add(&run->text, piece, (size_t)n, &err), err);
	assert_int_equal(n, 0);
	(void)close(run->fd);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	assert_int_equal(status, 0);
	if (sscanf(buf_str(&run->text), "Status: %d", &run->status) != 1)
		fail_msg("no status: %s", buf_str(&run->text));
}

static void
expect(const struct run *run, const char *text)
{
	if (strstr(buf_str(&run->text), text) == NULL)
		fail_msg("no \"%s\" in %.2000s", text, buf_str(&run->text));
}

/* A whole request, which must have this status and, in its answer, this. */
static void
get(const char *path, int status, const char *text)
{
	struct run run = begin("GET", path, site.operator);

	finish(&run);
	expect(&run, text);
	assert_int_equal(run.status, status);
	buf_fini(&run.text);
}

#define FOUND "\"reachable\":true"

/* Ask for a look until it has found the app; at most 20 s. */
static void
await_found(const char *path)
{
	const int64_t end_ms = clock_mono_ms() + 60000;
	bool found = false;
	struct run run;

	while (!found && clock_mono_ms() < end_ms) {
		run = begin("GET", path, site.viewer);
		finish(&run);
		assert_int_equal(run.status, 200);
		found = strstr(buf_str(&run.text), FOUND) != NULL;
		buf_fini(&run.text);
	}
	assert_true(found);
}

static int
set_up(void **state)
{
	(void)state;
	open_stage("cgi");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	site_close(&site);
	return 0;
}

/* The captures' own log lines, as nobody must wait for them. */
static void
read_capture_log(char *out, size_t size)
{
	char path[400];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/capture.log", site.state_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	(void)close(fd);
}

/* Refused, and no job is left.  A refusal that comes later than it is waited
 * for finds the job accepted: then once more, for at most 20 s. */
static void
expect_refusal(const char *path, const char *text)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	bool was_late = false, is_refused = false;
	struct run run;
	int64_t began_ms;
	size_t count;

	do {
		if (was_late)
			buf_fini(&run.text);
		count = site_count(&site, "gone");
		began_ms = clock_mono_ms();
		run = begin("GET", path, site.operator);
		finish(&run);
		was_late |= clock_mono_ms() - began_ms >= LAUNCH_WAIT_MS;
		is_refused = run.status == 503 &&
		    site_count(&site, "gone") == count;
	} while (!is_refused && was_late && clock_mono_ms() < end_ms);
	assert_int_equal(run.status, 503);
	expect(&run, text);
	buf_fini(&run.text);
	assert_true(is_refused);
}

static void
test_main_job(void **state)
{
	static const char path[] = "/quick/private/papi/getMemorySnapshot";
	const int64_t end_ms = clock_mono_ms() + 60000;
	struct run run;

	(void)state;
	get("/quick/private/papi/takeMemorySnapshot", 200,
	    "\r\n\r\nCreating snapshot for app");
	for (;;) {
		run = begin("GET", path, site.operator);
		finish(&run);
		if (run.status != 425 || clock_mono_ms() > end_ms)
			break;
		buf_fini(&run.text);
	}
	assert_int_equal(run.status, 200);
	assert_true(run.text.len > SNAPSHOT_BYTES);
	buf_fini(&run.text);
	get(path, 404, "delivered");
	expect_refusal("/gone/private/papi/takeMemorySnapshot",
	    "no inspector at X");
}

/* Processes share what one of them has sent for, as threads do. */
static void
test_target(void **state)
{
	static const char path[] = "/held/private/papi/target";
	const int64_t began_ms = clock_mono_ms();
	struct run runs[3];
	char log[4096];
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		runs[i] = begin(i == 2 ? "HEAD" : "GET", path, site.viewer);
	await_looks(1);
	release();
	for (i = 0; i < 3; i++) {
		finish(&runs[i]);
		expect(&runs[i], "\r\nCache-Control: no-store\r\n");
		expect(&runs[i], "\r\nX-Pod-Name: pod-1\r\n");
		/* A machine that is busy may need more time than there is. */
		if (i < 2 && clock_mono_ms() - began_ms < LOOK_WAIT_MS)
			expect(&runs[i], FOUND);
		if (i == 2)
			assert_null(strchr(buf_str(&runs[i].text), '{'));
		assert_int_equal(runs[i].status, 200);
		buf_fini(&runs[i].text);
	}
	await_found(path);
	assert_in_range(count_looks(), 1,
	    1 + (clock_mono_ms() - began_ms) / LOOK_FRESH_MS);
	read_capture_log(log, sizeof(log));
	assert_string_equal(log, "");
}

static void
test_target_dies(void **state)
{
	static const char path[] = "/dies/private/papi/target";
	const int64_t began_ms = clock_mono_ms();

	(void)state;
	get(path, 200, "\"reachable\":false");
	assert_true(clock_mono_ms() - began_ms >= LOOK_WAIT_MS);
	await_looks(1);
	assert_int_equal(count_looks(), 1);
	await_found("/quick/private/papi/target");
}

static void
test_target_missing(void **state)
{
	(void)state;
	remove_copy("podprof-capture");
	get("/quick/private/papi/target", 500,
	    "/podprof-capture: No such file");
	assert_int_equal(count_looks(), 0);
}

/* Of podprof(1) no token is wanted, and what is logged goes to a file. */
static void
test_local(void **state)
{
	static const char path[] = "/quick/private/papi/takeMemorySnapshot";
	char log[4096], want[64];
	struct run run;

	(void)state;
	(void)snprintf(local_uid, sizeof(local_uid), "PODPROF_LOCAL_UID=%lu",
	    (unsigned long)getuid());
	tool[2] = remote;
	run = begin("POST", path, NULL);
	finish(&run);
	assert_int_equal(run.status, 401);
	buf_fini(&run.text);
	tool[2] = NULL;
	run = begin("POST", path, NULL);
	finish(&run);
	assert_int_equal(run.status, 200);
	buf_fini(&run.text);
	read_capture_log(log, sizeof(log));
	(void)snprintf(want, sizeof(want), "msg=\"capture\" who=local:%lu ",
	    (unsigned long)getuid());
	if (strstr(log, "level=audit") == NULL || strstr(log, want) == NULL)
		fail_msg("no \"%s\" in %s", want, log);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_main_job),
		TEST(test_local),
		TEST(test_target),
		TEST(test_target_dies),
		TEST(test_target_missing),
	};

	if (strcmp(program_invocation_short_name, "podprof-capture") == 0)
		return play_capture(argc, argv);
	if (strcmp(program_invocation_short_name, "cgi") == 0)
		return run_cgi();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
