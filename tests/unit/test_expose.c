/*
 * The text format of Prometheus.
 */
#include "test.h"

#include "expose.h"

static struct buf out;
static struct expose expose;

static int
set_up(void **state)
{
	(void)state;
	buf_init(&out, 4096);
	expose_init(&expose, &out);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static void
test_families(void **state)
{
	const struct expose_label labels[] = { { "a", "x" }, { "b", "" } };

	(void)state;
	expose_one(&expose, "one", EXPOSE_GAUGE, "Of one.", INT64_MIN);
	expose_family(&expose, "two_total", EXPOSE_COUNTER, "Of two.");
	expose_int(&expose, "", labels, 2, INT64_MAX);
	expose_int(&expose, "", labels, 1, 0);
	expose_family(&expose, "three_seconds", EXPOSE_HISTOGRAM, "Of many.");
	expose_int(&expose, "_bucket", labels, 1, 3);
	expose_ms(&expose, "_sum", NULL, 0, 1500);
	assert_int_equal(expose.rc, 0);
	assert_string_equal(buf_str(&out),
	    "# HELP one Of one.\n"
	    "# TYPE one gauge\n"
	    "one -9223372036854775808\n"
	    "# HELP two_total Of two.\n"
	    "# TYPE two_total counter\n"
	    "two_total{a=\"x\",b=\"\"} 9223372036854775807\n"
	    "two_total{a=\"x\"} 0\n"
	    "# HELP three_seconds Of many.\n"
	    "# TYPE three_seconds histogram\n"
	    "three_seconds_bucket{a=\"x\"} 3\n"
	    "three_seconds_sum 1.5\n");
}

static void
test_seconds(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0" }, { 1, "0.001" }, { 10, "0.01" }, { 250, "0.25" },
		{ 1000, "1" }, { 65000, "65" }, { 100000, "100" },
		{ 1500, "1.5" }, { -1, "-0.001" }, { -2000, "-2" },
		{ INT64_MAX, "9223372036854775.807" },
		{ INT64_MIN, "-9223372036854775.808" },
	};
	char text[EXPOSE_SECONDS_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		expose_seconds(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

/* No value ends its line, its label, or the text's being UTF-8. */
static void
test_escapes(void **state)
{
	static const struct {
		const char *value, *text;
	} cases[] = {
		{ "a\"b", "a\\\"b" },
		{ "a\\", "a\\\\" },
		{ "a\nb} 1\n", "a\\nb} 1\\n" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xff\"", "\xef\xbf\xbd\\\"" },
	};
	struct expose_label label = { "l", "" };
	char line[100];
	size_t i;

	(void)state;
	expose_family(&expose, "m", EXPOSE_GAUGE, "h");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		label.value = cases[i].value;
		expose_int(&expose, "", &label, 1, 1);
		(void)snprintf(line, sizeof(line), "m{l=\"%s\"} 1\n",
		    cases[i].text);
		assert_string_equal(buf_str(&out), line);
	}
	assert_int_equal(expose.rc, 0);
}

/* What has no room is an error in the end, wherever it was. */
static void
test_no_room(void **state)
{
	const struct expose_label label = { "l", "value\n\xff" };
	size_t max, whole;

	(void)state;
	expose_one(&expose, "m", EXPOSE_GAUGE, "h", 1);
	expose_int(&expose, "", &label, 1, 1);
	expose_ms(&expose, "", &label, 1, 1);
	whole = out.len;
	for (max = 1; max <= whole; max++) {
		buf_fini(&out);
		buf_init(&out, max);
		expose_init(&expose, &out);
		expose_one(&expose, "m", EXPOSE_GAUGE, "h", 1);
		expose_int(&expose, "", &label, 1, 1);
		expose_ms(&expose, "", &label, 1, 1);
		if (max == whole)
			break;
		assert_int_equal(expose.rc, -1);
		assert_int_equal(expose.err.code, ERR_TOO_LARGE);
		assert_true(out.len <= max);
	}
	assert_int_equal(expose.rc, 0);
	assert_int_equal(out.len, whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_families),
		TEST(test_seconds),
		TEST(test_escapes),
		TEST(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
