/*
 * The pool as a process: this program is started again as the pool, and by the
 * pool as podprof-capture, under those names.
 */
#include "stand_in.h"

#include <errno.h>
#include <sys/wait.h>

#include "file.h"
#include "launch.h"
#include "pool.h"
#include "service.h"
#include "shield.h"

bool __wrap_shield_park(struct shield *shield, struct request *request_take);

/* As if too many waited there already. */
bool
__wrap_shield_park(struct shield *shield, struct request *request_take)
{
	(void)shield;
	request_take->wait.deadline_ms = clock_mono_ms();
	return false;
}

static char socket_path[300], log_path[300];
static pid_t pool_pid;

static int
run_pool(char **argv)
{
	struct service *service = NULL;
	struct conf *conf = NULL;
	struct err err;
	bool idle = false;

	if (conf_load(argv[1], environ, &conf, &err) != 0 ||
	    service_new(conf, SPAWN_LOG_STDERR, &service, &err) != 0 ||
	    pool_run(service, &idle, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 3;
	}
	if (!idle)
		_exit(4);
	service_free(&service);
	conf_free(&conf);
	return 0;
}

static void
start_pool(void)
{
	char program[300];

	(void)snprintf(program, sizeof(program), "%s/pool", site.dir);
	pool_pid = fork();
	assert_true(pool_pid >= 0);
	if (pool_pid == 0) {
		int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

		(void)dup2(log, 2);
		(void)execl(program, "pool", conf_path, (char *)NULL);
		_exit(127);
	}
}

static int
stop_pool(void)
{
	int status;

	assert_int_equal(kill(pool_pid, SIGTERM), 0);
	assert_int_equal(waitpid(pool_pid, &status, 0), pool_pid);
	pool_pid = 0;
	return status;
}

static int
set_up(void **state)
{
	(void)state;
	open_stage("pool");
	(void)snprintf(socket_path, sizeof(socket_path), "%s/socket",
	    site.dir);
	(void)snprintf(log_path, sizeof(log_path), "%s/log", site.dir);
	front_listen(socket_path);
	start_pool();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	if (pool_pid != 0)
		(void)stop_pool();
	site_close(&site);
	return 0;
}

/* Send a GET; more: further variables, or NULL. */
static int
ask(const char *path, const char *more, const char *more2)
{
	static struct front_bytes bytes;
	char script[400];
	const char *env[6] = { "REQUEST_METHOD=GET", script, site.operator };
	size_t len = 3;
	int client;

	(void)snprintf(script, sizeof(script), "SCRIPT_NAME=%s", path);
	if (more != NULL)
		env[len++] = more;
	if (more2 != NULL)
		env[len++] = more2;
	bytes.len = 0;
	front_head(&bytes, env);
	front_record(&bytes, F_STDIN, 1, "", 0);
	client = front_connect(socket_path);
	front_send(client, &bytes);
	return client;
}

/* The answer to ask(); its status.  *ret_text: the whole of it, till next. */
static int
answer(int client, const char **ret_text, size_t *ret_len)
{
	const char *text;
	bool ended;
	int status = 0;

	text = front_answer(client, ret_len, &ended);
	(void)close(client);
	if (!ended)
		fail_msg("an answer without an end: %s", text);
	if (sscanf(text, "Status: %d", &status) != 1)
		fail_msg("no status: %s", text);
	if (ret_text != NULL)
		*ret_text = text;
	return status;
}

static int
get(const char *path, const char **ret_text)
{
	return answer(ask(path, NULL, NULL), ret_text, NULL);
}

/* Poll an address until it has this status; at most 20 s. */
static void
await_status(const char *path, int want)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	const char *text;
	int status;

	while ((status = get(path, &text)) != want) {
		if (clock_mono_ms() > end_ms)
			fail_msg("%s: still %d: %s", path, status, text);
		nap(10);
	}
}

/* Take a snapshot of the app; its job's id. */
static void
take(const char *app, char ret_id[UUID_MAX])
{
	const char *text, *id;
	char path[100];
	int status;

	(void)snprintf(path, sizeof(path), "/%s/private/papi/"
	    "takeMemorySnapshot", app);
	status = get(path, &text);
	if (status != 200)
		fail_msg("%d: %s", status, text);
	id = strstr(text, "X-Job-Id: ");
	assert_non_null(id);
	(void)snprintf(ret_id, UUID_MAX, "%.36s", id + strlen("X-Job-Id: "));
}

/* A line may come a moment after what it tells of; at most 20 s. */
static void
expect_log(const char *text)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	struct buf log;
	struct err err;

	buf_init(&log, 1 << 24);
	do {
		buf_reset(&log);
		/* It is not there before the pool is. */
		if (file_read(log_path, &log, &err) == 0 &&
		    strstr(buf_str(&log), text) != NULL) {
			buf_fini(&log);
			return;
		}
		nap(10);
	} while (clock_mono_ms() < end_ms);
	fail_msg("no \"%s\" in %s", text, buf_str(&log));
}

static void
test_main_job(void **state)
{
	static const char path[] = "/quick/private/papi/getMemorySnapshot";
	const int64_t end_ms = clock_mono_ms() + 20000;
	const char *text;
	char id[UUID_MAX];
	size_t len;
	int status;

	(void)state;
	await_status("/readyz", 200);
	take("quick", id);
	do
		status = answer(ask(path, NULL, NULL), &text, &len);
	while (status == 425 && clock_mono_ms() < end_ms);
	assert_int_equal(status, 200);
	assert_true(len > SNAPSHOT_BYTES);
	assert_int_equal(get(path, &text), 404);
	assert_non_null(strstr(text, "delivered"));
	expect_log("level=audit");
	expect_log("outcome=accepted");
	expect_log("bytes=3145728 outcome=complete delivered=yes");
	assert_int_equal(stop_pool(), 0);
}

/* However fast the next request comes, it finds the snapshot delivered. */
static void
test_handover(void **state)
{
	static const char path[] = "/quick/private/papi/getMemorySnapshot";
	char id[UUID_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++) {
		take("quick", id);
		await_status(path, 200);
		assert_int_equal(get(path, NULL), 404);
	}
}

/* Refused, and no job is left.  A refusal that comes later than it is waited
 * for finds the job accepted: then once more, for at most 20 s. */
static const char *
expect_refusal(const char *path)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	bool was_late = false;
	const char *text;
	int64_t began_ms;
	size_t before, after;
	int status;

	do {
		before = site_count(&site, "gone");
		began_ms = clock_mono_ms();
		status = get(path, &text);
		was_late |= clock_mono_ms() - began_ms >= LAUNCH_WAIT_MS;
		after = site_count(&site, "gone");
	} while ((status != 503 || after != before) && was_late &&
	    clock_mono_ms() < end_ms);
	assert_int_equal(status, 503);
	assert_int_equal(after, before);
	return text;
}

static void
test_refused(void **state)
{
	const char *text;

	(void)state;
	text = expect_refusal("/gone/private/papi/takeMemorySnapshot");
	assert_non_null(strstr(text, "no inspector at X"));
	assert_non_null(strstr(text, "\r\nRetry-After: "));
	(void)expect_refusal("/gone/private/papi/getCpuProfile");
	expect_log("outcome=refused");
}

/* The process is gone: the job is told so, within a moment, as the pool is
 * its parent. */
static void
test_killed(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	struct job job;
	char id[UUID_MAX];

	(void)state;
	take("dies", id);
	do {
		nap(2);
		job = site_job(&site, "dies", id);
	} while (!job_is_final(&job) && clock_mono_ms() < began_ms + 20000);
	assert_int_equal(job.state, JOB_FAILED);
	assert_int_equal(job.error.code, ERR_INTERRUPTED);
	await_status("/dies/private/papi/getMemorySnapshot", 404);
}

#define HELD_TARGET "/held/private/papi/target"
#define FOUND "\"reachable\":true"

/* Ask for a look until it has found the app; at most 20 s. */
static void
await_found(const char *path)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	const char *text;

	do {
		assert_int_equal(get(path, &text), 200);
		if (strstr(text, FOUND) != NULL)
			return;
	} while (clock_mono_ms() < end_ms);
	fail_msg("%s: still %s", path, text);
}

/* However many ask at once: one is sent a second, and all get what it found. */
static void
test_target(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	const char *text;
	int client[4];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		client[i] = ask(HELD_TARGET, NULL, NULL);
	await_looks(1);
	assert_int_equal(get("/livez", NULL), 200);
	release();
	for (i = 0; i < 4; i++) {
		assert_int_equal(answer(client[i], &text, NULL), 200);
		assert_non_null(strstr(text, "\r\nCache-Control: no-store"));
		assert_null(strstr(text, "X-Job-Id"));
		/* A machine that is busy may need more time than there is. */
		assert_true(strstr(text, FOUND) != NULL ||
		    clock_mono_ms() - began_ms >= LOOK_WAIT_MS);
	}
	await_found(HELD_TARGET);
	assert_in_range(count_looks(), 1,
	    1 + (clock_mono_ms() - began_ms) / LOOK_FRESH_MS);
	/* Nobody reaps them but the pool, and they are no jobs. */
	assert_int_equal(site_count(&site, "held"), 0);
}

/* Nobody comes back: that is the answer, in time, and the log says why. */
static void
test_target_dies(void **state)
{
	static const char path[] = "/dies/private/papi/target";
	const int64_t began_ms = clock_mono_ms();
	const char *text;
	int client[2];
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++)
		client[i] = ask(path, NULL, NULL);
	expect_log("the look at app dies was killed by signal 9");
	await_found("/quick/private/papi/target");
	for (i = 0; i < 2; i++) {
		assert_int_equal(answer(client[i], &text, NULL), 200);
		assert_non_null(strstr(text, "\"reachable\":false"));
		assert_non_null(strstr(text, "\"pid\":null"));
	}
	assert_true(clock_mono_ms() - began_ms >= LOOK_WAIT_MS);
	/* Nor does a dead one hold up the next. */
	assert_int_equal(get(path, NULL), 200);
	await_looks(3);
}

/* There is no podprof-capture, and then there is. */
static void
test_target_missing(void **state)
{
	static const char path[] = "/quick/private/papi/target";
	const char *text;

	(void)state;
	remove_copy("podprof-capture");
	assert_int_equal(get(path, &text), 500);
	assert_non_null(strstr(text, "cannot start "));
	assert_non_null(strstr(text, "/podprof-capture: No such file"));
	expect_log("cannot start ");
	/* Nor is that taken for an answer within the same second. */
	assert_int_equal(get(path, &text), 500);
	assert_non_null(strstr(text, "install podprof anew"));
	copy_self("podprof-capture");
	await_found(path);
}

/* Four wait; a fifth finds no place, which is all that is withheld. */
static void
test_target_full(void **state)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	const char *text;
	int client[4], status;
	size_t i;

	(void)state;
	do {
		for (i = 0; i < 4; i++)
			client[i] = ask(HELD_TARGET, NULL, NULL);
		/* Each is there for a while only. */
		status = get("/quick/private/papi/target", &text);
		assert_int_equal(strstr(text, "[limits] waiting") != NULL &&
		    strstr(text, "\r\nRetry-After: ") != NULL, status == 429);
		assert_int_equal(get("/livez", NULL), 200);
		for (i = 0; i < 4; i++)
			(void)close(client[i]);
	} while (status != 429 && clock_mono_ms() < end_ms);
	assert_int_equal(status, 429);
	/* They left, so there is place. */
	await_status("/quick/private/papi/target", 200);
	release();
}

/* Have four clients wait for the job.  *ret_text is what a fifth was told. */
static void
fill_places(const char *path, int client[4], const char **ret_text)
{
	int status;
	size_t i;
	char byte;

	for (i = 0; i < 4; i++)
		client[i] = ask(path, "HTTP_PREFER=wait=25", NULL);
	for (;;) {
		status = answer(ask(path, "HTTP_PREFER=wait=1", NULL),
		    ret_text, NULL);
		if (status == 429)
			return;
		assert_int_equal(status, 200);
		/* It had a place: one of the four may have come too late. */
		for (i = 0; i < 4; i++) {
			if (recv(client[i], &byte, 1,
			    MSG_PEEK | MSG_DONTWAIT) != 1)
				continue;
			assert_int_equal(answer(client[i], NULL, NULL), 429);
			client[i] = ask(path, "HTTP_PREFER=wait=25", NULL);
		}
	}
}

/* There are two threads and four that wait; a fifth finds no place, but is
 * answered, as is everybody else. */
static void
test_waits(void **state)
{
	char id[UUID_MAX], path[128];
	const char *text;
	int client[4];
	size_t i;

	(void)state;
	take("held", id);
	(void)snprintf(path, sizeof(path), "/held/private/papi/jobs/%s", id);
	fill_places(path, client, &text);
	assert_non_null(strstr(text, "[limits] waiting"));
	assert_non_null(strstr(text, "\r\nRetry-After: "));
	assert_int_equal(get(path, NULL), 200);
	assert_int_equal(get("/livez", NULL), 200);
	/* A profile needs a place, too; nothing is started without. */
	assert_int_equal(get("/quick/private/papi/getCpuProfile", &text), 429);
	assert_int_equal(site_count(&site, "quick"), 0);
	/* One leaves: its place is free. */
	(void)close(client[0]);
	await_status("/quick/private/papi/takeMemorySnapshot", 200);
	release();
	for (i = 1; i < 4; i++) {
		assert_int_equal(answer(client[i], &text, NULL), 200);
		assert_non_null(strstr(text, "Preference-Applied: wait=25"));
	}
	await_status("/held/private/papi/getMemorySnapshot", 200);
}

static void
test_profile(void **state)
{
	const char *text;
	size_t len;
	int client;

	(void)state;
	client = ask("/held/private/papi/getCpuProfile",
	    "QUERY_STRING=duration=100", NULL);
	while (site_count(&site, "held") == 0)
		nap(2);
	assert_int_equal(get("/livez", NULL), 200);
	release();
	assert_int_equal(answer(client, &text, &len), 200);
	assert_non_null(strstr(text, "X-Profile-Duration: 100\r\n"));
	assert_true(len > SNAPSHOT_BYTES);
}

/* One that does not read, and has a place: the one who had it before may not
 * have left yet, though he has all. */
static int
hold_place(const char *path)
{
	const int64_t end_ms = clock_mono_ms() + 20000;
	char head[8 + 12] = "";
	int client;

	for (;;) {
		client = ask(path, NULL, NULL);
		assert_int_equal(recv(client, head, 8 + 11, MSG_PEEK), 8 + 11);
		if (strcmp(head + 8, "Status: 200") == 0)
			return client;
		assert_string_equal(head + 8, "Status: 429");
		assert_true(clock_mono_ms() < end_ms);
		(void)close(client);
		nap(10);
	}
}

/* Two that do not read hold both places for downloads, and nobody else. */
static void
test_slow_downloads(void **state)
{
	char id[UUID_MAX], path[140];
	const char *text;
	int client[2];
	size_t i, len;

	(void)state;
	take("quick", id);
	(void)snprintf(path, sizeof(path),
	    "/quick/private/papi/jobs/%s/artifact", id);
	await_status(path, 200);
	for (i = 0; i < 2; i++)
		client[i] = hold_place(path);
	assert_int_equal(get(path, &text), 429);
	assert_non_null(strstr(text, "[limits] downloads"));
	assert_int_equal(get("/quick/private/papi/jobs", NULL), 200);
	assert_int_equal(get("/readyz", NULL), 200);
	assert_int_equal(answer(client[0], NULL, &len), 200);
	assert_true(len > SNAPSHOT_BYTES);
	(void)close(client[1]);
	await_status(path, 200);
	assert_int_equal(site_job(&site, "quick", id).delivered_at_ms,
	    JOB_UNKNOWN);
}

/* What the web server sends needs no place among the downloads. */
static void
test_sendfile(void **state)
{
	char id[UUID_MAX], path[140], line[120];
	const char *text;
	int client[2];
	size_t i;

	(void)state;
	await_status("/readyz", 200);
	assert_int_equal(stop_pool(), 0);
	write_conf("[artifacts]\nsendfile = x-accel-redirect\n"
	    "sendfile_prefix = /files\n");
	start_pool();
	take("quick", id);
	(void)snprintf(path, sizeof(path),
	    "/quick/private/papi/jobs/%s/artifact", id);
	await_status(path, 200);
	for (i = 0; i < 2; i++)
		client[i] = hold_place(path);
	assert_int_equal(get(path, NULL), 429);
	assert_int_equal(answer(ask(path, "HTTP_ACCEPT_ENCODING=zstd", NULL),
	    &text, NULL), 200);
	(void)snprintf(line, sizeof(line), "\r\nX-Accel-Redirect: "
	    "/files/%s.heapsnapshot.zst\r\n", id);
	assert_non_null(strstr(text, line));
	assert_non_null(strstr(text, "\r\nContent-Encoding: zstd\r\n"));
	(void)snprintf(line, sizeof(line), "\r\nContent-Length: %lld\r\n",
	    (long long)site_job(&site, "quick", id).sum.stored_bytes);
	assert_non_null(strstr(text, line));
	expect_log("outcome=left delivered=no");
	for (i = 0; i < 2; i++)
		(void)close(client[i]);
}

/* More connections that say nothing, or half of something, than there are
 * threads: the others are served all the same. */
static void
test_silent(void **state)
{
	static struct front_bytes bytes;
	static const char *const env[] = { "SCRIPT_NAME=/livez",
		"REQUEST_METHOD=GET", NULL };
	int client[12];
	const char *text;
	size_t i, len;

	(void)state;
	bytes.len = 0;
	front_head(&bytes, env);
	front_record(&bytes, F_STDIN, 1, "", 0);
	len = bytes.len;
	for (i = 0; i < 12; i++) {
		client[i] = front_connect(socket_path);
		bytes.len = i * 2;
		front_send(client[i], &bytes);
	}
	assert_int_equal(get("/livez", NULL), 200);
	assert_int_equal(get("/quick/private/papi/jobs", NULL), 200);
	/* Those that go on are served. */
	for (i = 0; i < 12; i += 3) {
		assert_int_equal(write(client[i], bytes.data + i * 2,
		    len - i * 2), (ssize_t)(len - i * 2));
		assert_int_equal(answer(client[i], &text, NULL), 200);
	}
	for (i = 0; i < 12; i++)
		if (i % 3 != 0)
			(void)close(client[i]);
	/* And garbage is dropped. */
	client[0] = front_connect(socket_path);
	assert_int_equal(write(client[0], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	assert_false(front_recv(client[0], bytes.data, 1));
	(void)close(client[0]);
	assert_int_equal(get("/livez", NULL), 200);
}

/* A probe that finds no place to wait is no dead app: what is known counts. */
static void
test_probes_beyond_their_bound(void **state)
{
	static const char query[] = "QUERY_STRING=app=quick";
	const char *text;

	(void)state;
	await_status("/readyz", 200);
	assert_int_equal(answer(ask("/livez", query, NULL), &text, NULL), 200);
	assert_non_null(strstr(text, "it has no health_url"));
	assert_int_equal(answer(ask("/readyz", query, NULL), NULL, NULL), 200);
	assert_int_equal(get("/metrics", &text), 200);
	assert_non_null(strstr(text, "podprof_build_info{"));
}

/* At SIGTERM, who waits for a look is told so. */
static void
test_target_stop(void **state)
{
	const int64_t began_ms = clock_mono_ms();
	const char *text;
	int client[2], status;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++)
		client[i] = ask(HELD_TARGET, NULL, NULL);
	await_looks(1);
	/* Both were read, when a third was answered. */
	assert_int_equal(get("/quick/private/papi/jobs", NULL), 200);
	assert_int_equal(kill(pool_pid, SIGTERM), 0);
	for (i = 0; i < 2; i++) {
		status = answer(client[i], &text, NULL);
		/* Unless its time was over before. */
		if (status == 200 &&
		    clock_mono_ms() - began_ms >= LOOK_WAIT_MS)
			continue;
		assert_int_equal(status, 503);
		assert_non_null(strstr(text, "the service is stopping; ask "
		    "again once it is back"));
		assert_non_null(strstr(text, "\r\nRetry-After: "));
		assert_null(strstr(text, "X-Job-Id"));
	}
	assert_int_equal(waitpid(pool_pid, &status, 0), pool_pid);
	assert_int_equal(status, 0);
	pool_pid = 0;
	release();
}

/* At SIGTERM: who waits is told, who downloads gets it all, jobs go on. */
static void
test_stop(void **state)
{
	char id[UUID_MAX], held[UUID_MAX], path[140], byte;
	const char *text;
	int waiter[4], client, late, status;
	size_t i, len;

	(void)state;
	take("quick", id);
	(void)snprintf(path, sizeof(path),
	    "/quick/private/papi/jobs/%s/artifact", id);
	await_status(path, 200);
	client = ask(path, NULL, NULL);
	assert_int_equal(recv(client, &byte, 1, MSG_PEEK), 1);
	take("held", held);
	(void)snprintf(path, sizeof(path), "/held/private/papi/jobs/%s", held);
	fill_places(path, waiter, &text);

	assert_int_equal(kill(pool_pid, SIGTERM), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(answer(waiter[i], &text, NULL), 503);
		assert_non_null(strstr(text, "stopping"));
		assert_non_null(strstr(text, "\r\nRetry-After: "));
		assert_non_null(strstr(text, held));
	}
	/* Nobody takes this one any more; a next pool would. */
	late = front_connect(socket_path);
	assert_int_equal(answer(client, NULL, &len), 200);
	assert_true(len > SNAPSHOT_BYTES);
	assert_int_equal(waitpid(pool_pid, &status, 0), pool_pid);
	assert_int_equal(status, 0);
	assert_int_equal(site_job(&site, "held", held).state, JOB_RUNNING);
	start_pool();
	(void)close(late);
	assert_int_equal(get(path, &text), 200);
	assert_non_null(strstr(text, "\"running\""));
	release();
	await_status("/held/private/papi/getMemorySnapshot", 200);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_main_job),
		TEST(test_handover),
		TEST(test_refused),
		TEST(test_killed),
		TEST(test_target),
		TEST(test_target_dies),
		TEST(test_target_missing),
		TEST(test_target_full),
		TEST(test_target_stop),
		TEST(test_waits),
		TEST(test_profile),
		TEST(test_slow_downloads),
		TEST(test_sendfile),
		TEST(test_silent),
		TEST(test_probes_beyond_their_bound),
		TEST(test_stop),
	};

	if (strcmp(program_invocation_short_name, "podprof-capture") == 0)
		return play_capture(argc, argv);
	if (strcmp(program_invocation_short_name, "pool") == 0)
		return run_pool(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
