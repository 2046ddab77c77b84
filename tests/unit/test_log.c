/* Log lines: one line each, whatever the text is. */
#include "test.h"

#include <errno.h>
#include <pthread.h>

#include "buf.h"
#include "json.h"
#include "log.h"

/* What went to stderr since the last reset, and in how many calls. */
static char caught[3 * LOG_LINE_MAX];
static size_t caught_len;
static int calls;
static int interrupts;	/* how many calls fail with EINTR first */
static int broken;	/* every call fails */

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (fd != STDERR_FILENO)
		return __real_write(fd, data, len);
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (broken) {
		errno = EPIPE;
		return -1;
	}
	assert_true(caught_len + len < sizeof(caught));
	memcpy(caught + caught_len, data, len);
	caught_len += len;
	caught[caught_len] = '\0';
	calls++;
	return (ssize_t)len;
}

static int
reset(void **state)
{
	(void)state;
	caught_len = 0;
	caught[0] = '\0';
	calls = interrupts = broken = 0;
	log_setup(LOG_INFO, LOG_LOGFMT);
	log_bind(NULL, NULL);
	return 0;
}

/* The line after its time, which must look like one. */
static const char *
after_time(void)
{
	assert_memory_equal(caught, "time=20", 7);
	assert_memory_equal(caught + 28, "Z ", 2);
	return caught + 30;
}

static void
logfmt_has_its_members(void **state)
{
	(void)state;
	log_info("capture", "snapshot of %d MB", 5);
	assert_string_equal(after_time(),
	    "level=info module=capture msg=\"snapshot of 5 MB\"\n");
	assert_int_equal(calls, 1);
}

static void
levels_are_kept(void **state)
{
	log_debug("m", "not this");
	assert_int_equal(calls, 0);
	log_info("m", "this");
	log_warn("m", "this");
	log_error("m", "this");
	assert_int_equal(calls, 3);
	assert_non_null(strstr(caught, "level=warn"));
	(void)reset(state);
	log_setup(LOG_ERROR, LOG_LOGFMT);
	log_warn("m", "not this");
	log_info("m", "not this");
	assert_int_equal(calls, 0);
	log_error("m", "this");
	log_audit("token used", NULL, 0);
	assert_int_equal(calls, 2);
	assert_non_null(strstr(caught,
	    "level=audit module=audit msg=\"token used\"\n"));
	(void)reset(state);
	log_setup(LOG_DEBUG, LOG_LOGFMT);
	log_debug("m", "this");
	assert_string_equal(after_time(), "level=debug module=m msg=\"this\"\n");
}

static void
bound_ids_follow(void **state)
{
	char id[100];

	(void)state;
	assert_string_equal(log_request_id(), "");
	log_bind("r-1", "j-2");
	assert_string_equal(log_request_id(), "r-1");
	log_info("m", "x");
	assert_string_equal(after_time(),
	    "level=info module=m request=r-1 job=j-2 msg=\"x\"\n");
	memset(id, 'i', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	log_bind(id, NULL);
	assert_int_equal(strlen(log_request_id()), 64);
	log_bind(NULL, NULL);
	assert_string_equal(log_request_id(), "");
}

static void *
look_at_binding(void *ctx)
{
	int *clean = ctx;

	*clean = log_request_id()[0] == '\0';
	log_bind("mine", NULL);
	return NULL;
}

static void
binding_is_the_threads_own(void **state)
{
	pthread_t thread;
	int clean = 0;

	(void)state;
	log_bind("main", NULL);
	assert_int_equal(pthread_create(&thread, NULL, look_at_binding,
	    &clean), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(clean);
	assert_string_equal(log_request_id(), "main");
}

static void
hostile_text_stays_in_its_field(void **state)
{
	const struct log_field fields[] = {
		{"token", "a b"}, {"path", "/x\" level=error\nforged=1"},
		{"none", NULL}, {"empty", ""}, {"term", "\x1b[2J\xc2\x9b\xff"},
		{"plain", "10.0.0.1:80"}, {"pair", "a=b"}, {"back", "c:\\"},
	};

	(void)state;
	log_bind("r\n1", NULL);
	log_audit("did\nit", fields, sizeof(fields) / sizeof(fields[0]));
	assert_string_equal(after_time(),
	    "level=audit module=audit request=\"r\\x0a1\" msg=\"did\\x0ait\" "
	    "token=\"a b\" path=\"/x\\\" level=error\\x0aforged=1\" "
	    "empty=\"\" term=\"\\x1b[2J\\xc2\\x9b\\xff\" plain=10.0.0.1:80 "
	    "pair=\"a=b\" back=\"c:\\\\\"\n");
}

static void
json_lines_parse(void **state)
{
	const struct log_field fields[] = {
		{"who", "\"quoted\" \\ \n \x01 \xc2\x9b \xff \xe2\x82\xac"},
		{"none", NULL},
	};
	struct json *json = NULL;
	struct err err;

	(void)state;
	log_setup(LOG_INFO, LOG_JSON);
	log_bind("r", "j");
	log_audit("w", fields, 2);
	assert_int_equal(caught[caught_len - 1], '\n');
	assert_ptr_equal(strchr(caught, '\n'), caught + caught_len - 1);
	assert_ok(json_parse(caught, caught_len, &json, &err), err);
	assert_string_equal(json_string(json_get(json, "who")),
	    "\"quoted\" \\ \n \x01 \xc2\x9b \xef\xbf\xbd \xe2\x82\xac");
	assert_string_equal(json_string(json_get(json, "request")), "r");
	assert_string_equal(json_string(json_get(json, "job")), "j");
	assert_string_equal(json_string(json_get(json, "level")), "audit");
	assert_string_equal(json_string(json_get(json, "msg")), "w");
	assert_int_equal(json_count(json), 7);
	json_free(&json);
	assert_null(strchr(caught, '\x01'));
	assert_null(strstr(caught, "\xc2\x9b"));
}

/* Whatever is cut where, the line ends as a line. */
static void
long_lines_are_cut(void **state)
{
	char text[2 * LOG_LINE_MAX], name[64];
	struct log_field fields[2] = {{"field", text}, {"last", "l"}};
	struct json *json = NULL;
	struct err err;
	size_t i;

	for (i = 0; i < 12; i++) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)i,
		    "rrrrrrrrrrrrrr");
		memset(text, i % 2 ? '\n' : '"', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		(void)reset(state);
		log_setup(LOG_INFO, i % 3 ? LOG_JSON : LOG_LOGFMT);
		log_bind(name, NULL);
		log_audit("cut", fields, 2);
		assert_int_equal(calls, 1);
		assert_in_range(caught_len, LOG_LINE_MAX - 64, LOG_LINE_MAX);
		assert_ptr_equal(strchr(caught, '\n'), caught + caught_len - 1);
		if (i % 3) {
			assert_ok(json_parse(caught, caught_len, &json, &err),
			    err);
			assert_non_null(strstr(
			    json_string(json_get(json, "field")), "..."));
			json_free(&json);
		} else {
			assert_string_equal(caught + caught_len - 5, "...\"\n");
		}
	}
	(void)reset(state);
	log_info("m", "%s", text);
	assert_true(caught_len <= LOG_LINE_MAX);
	assert_string_equal(caught + caught_len - 5, "...\"\n");
}

static void
failures_do_not_reach_the_caller(void **state)
{
	(void)state;
	interrupts = 3;
	errno = 42;
	log_info("m", "after all");
	assert_int_equal(calls, 1);
	assert_int_equal(errno, 42);
	broken = 1;
	log_info("m", "lost");
	log_audit("lost", NULL, 0);
	assert_int_equal(calls, 1);
	assert_int_equal(errno, 42);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(logfmt_has_its_members, reset),
		cmocka_unit_test_setup(levels_are_kept, reset),
		cmocka_unit_test_setup(bound_ids_follow, reset),
		cmocka_unit_test_setup(binding_is_the_threads_own, reset),
		cmocka_unit_test_setup(hostile_text_stays_in_its_field, reset),
		cmocka_unit_test_setup(json_lines_parse, reset),
		cmocka_unit_test_setup(long_lines_are_cut, reset),
		cmocka_unit_test_setup(failures_do_not_reach_the_caller,
		    reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
