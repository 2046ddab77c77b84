/*
 * Links: addresses that serve one file to whoever knows them, and say nothing
 * to anybody else.
 */
#include "call.h"

#include "clock.h"
#include "link.h"

#define LINKS PAPI "/links/"
#define SECRET_LEN (LINK_SECRET_MAX - 1)

/* Added to the clock, so that nobody waits for a link to expire. */
static int64_t clock_shift_ms;

int64_t __wrap_clock_utc_ms(void);
int64_t __real_clock_utc_ms(void);

int64_t
__wrap_clock_utc_ms(void)
{
	return __real_clock_utc_ms() + clock_shift_ms;
}

static int
set_up_links(void **state)
{
	clock_shift_ms = 0;
	return set_up(state);
}

static void
make_link(const char *id, const char *who)
{
	char path[128];

	(void)snprintf(path, sizeof(path), PAPI "/jobs/%s/links", id);
	begin_call("POST", path, NULL, who, NULL, NULL);
}

/* The address of a new link to the job's file. */
static void
link_to(const char *id, char out[200])
{
	make_link(id, site.operator);
	expect_status(201);
	(void)snprintf(out, 200, "%s", member("href"));
}

/* Follow an address, as whom it may be. */
static void
follow(const char *method, const char *path, const char *who)
{
	begin_call(method, path, NULL, who, NULL, NULL);
}

static void
expect_served(const char *id, size_t bytes)
{
	char first;
	struct err err;

	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_int_equal(call.answer.file_bytes, bytes);
	assert_string_equal(call.answer.job_id, id);
	assert_false(call.answer.delivers);
	assert_int_equal(artifact_read(call.answer.reader,
	    call.answer.coding, 0, &first, 1, &err), 1);
	assert_int_equal(first, '{');
}

/* Neither the answer nor what was logged has anything of the secret. */
static void
expect_hidden(const char *path, const char *log)
{
	char part[17];

	(void)snprintf(part, sizeof(part), "%.16s", path + strlen(LINKS));
	assert_int_equal(strlen(part), 16);
	assert_null(strstr(call.request->path, part));
	assert_null(strstr(buf_str(&call.answer.headers), part));
	assert_null(strstr(buf_str(&call.answer.body), part));
	if (log != NULL)
		assert_null(strstr(log, part));
}

static void
test_make(void **state)
{
	const int64_t now_ms = clock_utc_ms();
	char id[UUID_MAX], path[200], other[200], line[300];
	char when[CLOCK_RFC3339_MAX], latest[CLOCK_RFC3339_MAX];
	const char *text;
	size_t i;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	front_begin_log();
	link_to(id, path);
	text = front_end_log();
	assert_non_null(strstr(text, "level=audit"));
	assert_non_null(strstr(text, id));
	assert_non_null(strstr(text,
	    "msg=\"link\" who=oda app=app kind=heap-snapshot"));
	assert_null(strstr(text, path + strlen(LINKS)));
	assert_string_equal(call.answer.type, "application/json");
	assert_int_equal(json_count(call.json), 2);
	(void)snprintf(line, sizeof(line), "Location: %s\r\n", path);
	expect_header(line);
	(void)snprintf(line, sizeof(line), "X-Job-Id: %s\r\n", id);
	expect_header(line);
	/* 256 random bits, for ten minutes. */
	assert_memory_equal(path, LINKS, strlen(LINKS));
	assert_int_equal(strlen(path), strlen(LINKS) + SECRET_LEN);
	for (i = strlen(LINKS); path[i] != '\0'; i++)
		assert_non_null(strchr("0123456789abcdef", path[i]));
	clock_format_rfc3339(now_ms + LINK_LIFE_MS, when);
	clock_format_rfc3339(clock_utc_ms() + LINK_LIFE_MS, latest);
	assert_true(strcmp(member("expiresAt"), when) >= 0);
	assert_true(strcmp(member("expiresAt"), latest) <= 0);
	link_to(id, other);
	assert_string_not_equal(path, other);
}

static void
test_make_refused(void **state)
{
	char id[UUID_MAX], path[128];
	struct err err;

	(void)state;
	make_link(NO_JOB, site.operator);
	expect_problem(404, "not-found", NO_JOB);
	get(PAPI "/takeMemorySnapshot", NULL);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	make_link(id, NULL);
	expect_problem(401, "unauthenticated", "");
	make_link(id, site.viewer);
	expect_problem(403, "forbidden", "operator");
	(void)snprintf(path, sizeof(path), PAPI "/jobs/%s/links", id);
	get(path, NULL);
	expect_problem(405, "method", "GET");
	expect_header("Allow: POST\r\n");
	/* Nothing to be had yet. */
	make_link(id, site.operator);
	expect_problem(409, "conflict", "queued");
	assert_true(call.answer.retry_after_s > 0);
	site_attach(site.db, id);
	make_link(id, site.operator);
	expect_problem(409, "conflict", "running");
	/* And no more. */
	site_finish(&site, site.db, id, JOB_HEAP_SNAPSHOT, 100);
	assert_ok(artifact_remove(site.state_dir, id, "heapsnapshot", false,
	    &err), err);
	make_link(id, site.operator);
	expect_problem(410, "gone", "not there any more");
	assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err), err);
	assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	make_link(id, site.operator);
	expect_problem(410, "gone", "grace");
	get(PAPI "/takeMemorySnapshot", NULL);
	(void)snprintf(id, sizeof(id), "%s", spawned);
	site_attach(site.db, id);
	site_fail(&site, id, ERR_TARGET_EXITED, "the app ended");
	make_link(id, site.operator);
	expect_problem(404, "not-found", "the app ended");
}

static void
test_too_many(void **state)
{
	char id[UUID_MAX], path[200];
	size_t i;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	for (i = 1; i < LINK_JOB_MAX; i++)
		make_link(id, site.operator);
	expect_status(201);
	make_link(id, site.operator);
	expect_problem(429, "limit", "100 links");
	assert_true(call.answer.retry_after_s > 0);
	follow("GET", path, NULL);
	expect_served(id, 1000);
	/* Those that have expired make room. */
	clock_shift_ms = LINK_LIFE_MS + 1000;
	make_link(id, site.operator);
	expect_status(201);
}

/* Who knows the link has the file, and delivers nothing. */
static void
test_follow(void **state)
{
	static const char *const others[] = {
		"HTTP_AUTHORIZATION=Bearer wrong",
		"HTTP_SEC_FETCH_SITE=cross-site",
		"HTTP_ORIGIN=https://elsewhere.example",
		"HTTP_HOST=files.example" };
	char id[UUID_MAX], path[200];
	size_t i;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	follow("GET", path, NULL);
	expect_served(id, 1000);
	expect_header("X-Pod-Name: pod-1\r\n");
	assert_string_equal(call.request->principal.who, "link:oda");
	expect_hidden(path, NULL);
	/* More than once, and by anybody. */
	follow("GET", path, site.viewer);
	expect_served(id, 1000);
	follow("GET", path, site.operator);
	expect_served(id, 1000);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		follow("GET", path, others[i]);
		expect_served(id, 1000);
	}
	follow("HEAD", path, NULL);
	expect_served(id, 1000);
	assert_int_equal(site_job(&site, "app", id).delivered_at_ms,
	    JOB_UNKNOWN);
	/* It has forms and parts like the file's own address. */
	begin_call("GET", path, NULL, "HTTP_RANGE=bytes=5-9",
	    "HTTP_ACCEPT_ENCODING=zstd", NULL);
	expect_status(206);
	expect_header("Content-Encoding: zstd\r\n");
	expect_header("Content-Range: bytes 5-9/");
	assert_int_equal(call.answer.first_byte, 5);
	assert_int_equal(call.answer.file_bytes, 5);
	begin_call("GET", path, NULL, "HTTP_RANGE=bytes=1000-", NULL, NULL);
	expect_problem(416, "range", "1000 bytes");
	expect_header("Content-Range: bytes */1000\r\n");
	expect_hidden(path, NULL);
	begin_call("GET", path, NULL, "HTTP_IF_NONE_MATCH=*", NULL, NULL);
	expect_status(304);
	begin_call("GET", path, NULL, "HTTP_IF_MATCH=\"x\"", NULL, NULL);
	expect_problem(412, "precondition", "If-Match");
	/* The file, whatever else is asked for. */
	begin_call("GET", path, "job=x&force=1", NULL, NULL, NULL);
	expect_served(id, 1000);
}

/* It is for GET and HEAD, which only those are told who may follow it. */
static void
test_methods(void **state)
{
	static const char *const methods[] = { "POST", "DELETE", "PUT", "X" };
	char id[UUID_MAX], path[200];
	size_t i;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		follow(methods[i], path, NULL);
		expect_problem(405, "method", methods[i]);
		expect_header("Allow: GET, HEAD\r\n");
		expect_hidden(path, NULL);
	}
	clock_shift_ms = LINK_LIFE_MS + 1000;
	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		follow(methods[i], path, NULL);
		expect_problem(401, "unauthenticated", "");
		expect_no_header("Allow");
		expect_no_header("X-Pod-Name");
		follow(methods[i], path, site.viewer);
		expect_problem(404, "not-found", "no such link");
		expect_no_header("Allow");
	}
	assert_int_equal(site_job(&site, "app", id).state, JOB_SUCCEEDED);
}

/* Without a token: 401, as of any address.  With one: what is wrong. */
static void
expect_wrong(const char *path)
{
	const char *text;

	front_begin_log();
	follow("GET", path, NULL);
	text = front_end_log();
	expect_problem(401, "unauthenticated", "");
	expect_header("WWW-Authenticate: Bearer realm=\"podprof\"\r\n");
	expect_no_header("X-Pod-Name");
	expect_no_header("X-Job-Id");
	expect_hidden(path, text);
	follow("HEAD", path, "HTTP_AUTHORIZATION=Bearer wrong");
	expect_status(401);
	front_begin_log();
	follow("GET", path, site.viewer);
	text = front_end_log();
	expect_problem(404, "not-found", "");
	expect_no_header("X-Job-Id");
	expect_hidden(path, text);
	follow("GET", path, site.operator);
	expect_status(404);
}

static void
test_wrong(void **state)
{
	char id[UUID_MAX], path[200], wrong[400];

	(void)state;
	log_setup(LOG_DEBUG, LOG_LOGFMT);
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	/* One digit of it. */
	(void)snprintf(wrong, sizeof(wrong), "%s", path);
	wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == '0'
	    ? '1' : '0';
	expect_wrong(wrong);
	assert_string_equal(member("detail"), "there is no such link, or it "
	    "has expired; POST jobs/ID/links makes a new one");
	assert_null(strpbrk(call.request->path + strlen(LINKS),
	    "0123456789abcdef"));
	/* Cut, or with what follows it in a text. */
	(void)snprintf(wrong, sizeof(wrong), "%s", path);
	wrong[strlen(wrong) - 1] = '\0';
	expect_wrong(wrong);
	(void)snprintf(wrong, sizeof(wrong), "%s.", path);
	expect_wrong(wrong);
	(void)snprintf(wrong, sizeof(wrong), "%s/", path);
	expect_wrong(wrong);
	(void)snprintf(wrong, sizeof(wrong), "%s/artifact", path);
	expect_wrong(wrong);
	(void)snprintf(wrong, sizeof(wrong), "%s%s", path, path);
	expect_wrong(wrong);
	/* Of another app, which there is, and which there is not. */
	(void)snprintf(wrong, sizeof(wrong), "/xyz/private/papi/links/%s",
	    path + strlen(LINKS));
	site.apps[1].name = "xyz";
	expect_wrong(wrong);
	(void)snprintf(wrong, sizeof(wrong), "/xxx/private/papi/links/%s",
	    path + strlen(LINKS));
	expect_wrong(wrong);
	/* No secret at all. */
	follow("GET", LINKS, site.operator);
	expect_problem(404, "not-found", "no such address");
	follow("GET", PAPI "/links", site.operator);
	expect_problem(404, "not-found", "no such address");
	/* The right one works still. */
	follow("GET", path, NULL);
	expect_served(id, 1000);
	log_setup(LOG_ERROR, LOG_LOGFMT);
}

static void
test_expired(void **state)
{
	char id[UUID_MAX], path[200];
	struct err err;

	(void)state;
	log_setup(LOG_DEBUG, LOG_LOGFMT);
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	clock_shift_ms = LINK_LIFE_MS - 60000;
	follow("GET", path, NULL);
	expect_served(id, 1000);
	clock_shift_ms = LINK_LIFE_MS + 1;
	expect_wrong(path);
	assert_ok(link_sweep(site.db, &err), err);
	clock_shift_ms = 0;
	expect_wrong(path);
	log_setup(LOG_ERROR, LOG_LOGFMT);
}

/* The link stands longer than what it leads to. */
static void
test_lost(void **state)
{
	char id[UUID_MAX], path[200], job[128];
	struct err err;

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	assert_ok(job_deliver(site.db, site.state_dir, id, 0, &err), err);
	assert_ok(job_sweep(site.db, site.state_dir, &err), err);
	follow("GET", path, NULL);
	expect_problem(410, "gone", "grace");
	expect_hidden(path, NULL);
	/* With the job it goes. */
	(void)snprintf(job, sizeof(job), PAPI "/jobs/%s", id);
	begin_call("DELETE", job, NULL, site.operator, NULL, NULL);
	expect_status(204);
	expect_wrong(path);
}

/* Where everybody is let in, so is who has a wrong link, to be told that. */
static void
test_anonymous(void **state)
{
	char id[UUID_MAX], path[200];

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	site.conf.auth_anonymous = ROLE_VIEWER;
	follow("GET", path, "HTTP_HOST=localhost");
	expect_served(id, 1000);
	assert_string_equal(call.request->principal.who, "link:oda");
	clock_shift_ms = LINK_LIFE_MS + 1;
	follow("GET", path, "HTTP_HOST=localhost");
	expect_problem(404, "not-found", "no such link");
	begin_call("GET", path, NULL, "HTTP_HOST=localhost",
	    "HTTP_SEC_FETCH_SITE=cross-site", NULL);
	expect_problem(403, "forbidden", "");
	expect_hidden(path, NULL);
}

static void
execute(const char *sql)
{
	struct db_stmt *stmt;
	struct err err;

	assert_ok(db_prepare(site.db, sql, &stmt, &err), err);
	assert_ok(db_run(stmt, &err), err);
}

/* Why, is told to who is somebody. */
static void
expect_unusable(const char *path)
{
	const char *text;

	front_begin_log();
	follow("GET", path, NULL);
	text = front_end_log();
	expect_problem(503, "state", "the log of podprof says why");
	assert_null(strstr(buf_str(&call.answer.body), site.dir));
	assert_true(call.answer.retry_after_s > 0);
	assert_false(call.request->is_known);
	expect_no_header("X-Pod-Name");
	expect_hidden(path, text);
	front_begin_log();
	follow("GET", path, site.viewer);
	text = front_end_log();
	assert_int_equal(call.answer.status, 503);
	assert_null(strstr(buf_str(&call.answer.body), "says why"));
	expect_header("X-Pod-Name: pod-1\r\n");
	expect_hidden(path, text);
}

/* The database or the tokens cannot be read: nobody gets in by chance. */
static void
test_unusable(void **state)
{
	char id[UUID_MAX], path[200], aside[320];

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	(void)snprintf(aside, sizeof(aside), "%s.aside", site.state_dir);
	assert_int_equal(rename(site.state_dir, aside), 0);
	expect_unusable(path);
	assert_int_equal(rename(aside, site.state_dir), 0);
	follow("GET", path, NULL);
	expect_served(id, 1000);
	/* The links alone. */
	execute("ALTER TABLE links RENAME TO aside");
	expect_unusable(path);
	execute("ALTER TABLE aside RENAME TO links");
	follow("GET", path, NULL);
	expect_served(id, 1000);
	/* A link needs no tokens file; a wrong one is nobody's. */
	assert_int_equal(unlink(site.tokens), 0);
	follow("GET", path, NULL);
	expect_served(id, 1000);
	clock_shift_ms = LINK_LIFE_MS + 1;
	follow("GET", path, NULL);
	expect_problem(503, "state", "tokens");
	expect_hidden(path, NULL);
}

/* What precedes the path in a request precedes it in a link. */
static void
test_prefix(void **state)
{
	static const char before[] = "/cgi-bin/podprof.fcgi" LINKS;
	char id[UUID_MAX], info[300], secret[LINK_SECRET_MAX];

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	(void)snprintf(info, sizeof(info), "PATH_INFO=" PAPI "/jobs/%s/links",
	    id);
	begin_call("POST", "/cgi-bin/podprof.fcgi", NULL, site.operator, info,
	    NULL);
	expect_status(201);
	assert_memory_equal(member("href"), before, sizeof(before) - 1);
	assert_true(str_copy(secret, sizeof(secret),
	    member("href") + sizeof(before) - 1));
	(void)snprintf(info, sizeof(info), "PATH_INFO=" LINKS "%s", secret);
	begin_call("GET", "/cgi-bin/podprof.fcgi", NULL, info, NULL, NULL);
	expect_served(id, 1000);
	/* Other servers cut the path elsewhere. */
	begin_call("GET", "", NULL, info, NULL, NULL);
	expect_served(id, 1000);
	(void)snprintf(info, sizeof(info), "PATH_INFO=/private/papi/links/%s",
	    secret);
	begin_call("GET", "/app", NULL, info, NULL, NULL);
	expect_served(id, 1000);
}

/* The secret is nowhere in the state, but for its digest. */
static void
test_kept(void **state)
{
	char id[UUID_MAX], path[200], command[800];

	(void)state;
	(void)snprintf(id, sizeof(id), "%s", take_whole());
	link_to(id, path);
	(void)snprintf(command, sizeof(command), "grep -raqi %s '%s'",
	    path + strlen(LINKS), site.dir);
	assert_int_not_equal(system(command), 0);
	{
		char sha256[DIGEST_HEX_MAX];
		struct err err;

		assert_ok(digest_hex(path + strlen(LINKS), SECRET_LEN, sha256,
		    &err), err);
		(void)snprintf(command, sizeof(command), "grep -raqi %s '%s'",
		    sha256, site.dir);
		assert_int_equal(system(command), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_links, tear_down)
		TEST(test_make),
		TEST(test_make_refused),
		TEST(test_too_many),
		TEST(test_follow),
		TEST(test_methods),
		TEST(test_wrong),
		TEST(test_expired),
		TEST(test_lost),
		TEST(test_anonymous),
		TEST(test_unusable),
		TEST(test_prefix),
		TEST(test_kept),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
