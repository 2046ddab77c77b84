/* Parsing and printing of foreign text. */
#include "test.h"

#include <math.h>

#include "str.h"

static void
int_takes_digits_only(void **state)
{
	static const char *const wrong[] = {"", "-", "+1", " 1", "1 ", "1x",
	    "0x1", "1.0", "1e3", "--1", "9223372036854775808",
	    "-9223372036854775809", "99999999999999999999999999", "\n1"};
	struct err err;
	int64_t value;
	size_t i;

	(void)state;
	assert_ok(str_parse_int("0", INT64_MIN, INT64_MAX, &value, &err), err);
	assert_int_equal(value, 0);
	assert_ok(str_parse_int("-12", -12, 0, &value, &err), err);
	assert_int_equal(value, -12);
	assert_ok(str_parse_int("007", 7, 7, &value, &err), err);
	assert_int_equal(value, 7);
	assert_ok(str_parse_int("9223372036854775807", INT64_MIN, INT64_MAX,
	    &value, &err), err);
	assert_true(value == INT64_MAX);
	assert_ok(str_parse_int("-9223372036854775808", INT64_MIN, INT64_MAX,
	    &value, &err), err);
	assert_true(value == INT64_MIN);
	value = 77;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_err(str_parse_int(wrong[i], INT64_MIN, INT64_MAX,
		    &value, &err), err, ERR_INVALID, wrong[i]);
		assert_int_equal(value, 77);
	}
	assert_err(str_parse_int("257", 1, 256, &value, &err), err,
	    ERR_INVALID, "\"257\" is not a whole number in 1..256");
	assert_err(str_parse_int("0", 1, 256, &value, &err), err, ERR_INVALID,
	    "1..256");
}

static void
number_takes_decimal_forms(void **state)
{
	static const struct {
		const char *text;
		double value;
	} right[] = {{"0", 0}, {"2e3", 2000}, {"-1.5", -1.5}, {"+5.", 5},
	    {".5", 0.5}, {"1E-2", 0.01}, {"60000", 60000}, {"1e+2", 100},
	    {"000", 0}, {"1e999", HUGE_VAL}, {"-1e999", -HUGE_VAL},
	    {"1e-999", 0}};
	static const char *const wrong[] = {"", ".", "+", "-", "e5", "1e",
	    "1e+", " 1", "1 ", "0x10", "inf", "nan", "-inf", "1,5", "1.5.2",
	    "--1", "+-1", "1e5.0", "1_000", "\xd9\xa1"};
	struct err err;
	double value;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_ok(str_parse_number(right[i].text, &value, &err), err);
		assert_true(value == right[i].value);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_err(str_parse_number(wrong[i], &value, &err), err,
		    ERR_INVALID, "not a decimal number");
}

static void
size_takes_binary_units(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} right[] = {{"0", 0}, {"17", 17}, {"1K", 1024}, {"1k", 1024},
	    {"256M", 256 << 20}, {"10G", INT64_C(10) << 30},
	    {"8589934591G", INT64_C(8589934591) << 30}};
	static const char *const wrong[] = {"", "K", "-1", "1T", "1 K", "1KB",
	    "1.5G", "8589934592G", "9223372036854775808", "1KK"};
	struct err err;
	int64_t bytes;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_ok(str_parse_size(right[i].text, &bytes, &err), err);
		assert_true(bytes == right[i].bytes);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_err(str_parse_size(wrong[i], &bytes, &err), err,
		    ERR_INVALID, "is not a size");
}

static void
duration_takes_time_units(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} right[] = {{"0", 0}, {"5", 5000}, {"5s", 5000}, {"1500ms", 1500},
	    {"30m", 1800000}, {"24h", 86400000}, {"7d", 604800000},
	    {"9223372036854775807ms", INT64_MAX}};
	static const char *const wrong[] = {"", "s", "-1s", "1S", "1min",
	    "1.5h", "1 h", "1h30m", "9223372036854775807",
	    "9223372036854775808ms"};
	struct err err;
	int64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_ok(str_parse_duration(right[i].text, &ms, &err), err);
		assert_true(ms == right[i].ms);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_err(str_parse_duration(wrong[i], &ms, &err), err,
		    ERR_INVALID, "is not a time");
}

static void
quantities_read_back(void **state)
{
	static const int64_t values[] = {0, 1, 999, 1000, 1023, 1024, 1500,
	    60000, 3600000, 86400000, 90000000, INT64_C(10) << 30, INT64_MAX};
	char text[STR_QUANTITY_MAX];
	struct err err;
	int64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		str_format_size(values[i], text);
		assert_ok(str_parse_size(text, &value, &err), err);
		assert_true(value == values[i]);
		str_format_duration(values[i], text);
		assert_ok(str_parse_duration(text, &value, &err), err);
		assert_true(value == values[i]);
	}
	str_format_size(256 << 20, text);
	assert_string_equal(text, "256M");
	str_format_size(0, text);
	assert_string_equal(text, "0");
	str_format_duration(1800000, text);
	assert_string_equal(text, "30m");
	str_format_duration(1500, text);
	assert_string_equal(text, "1500ms");
	str_format_duration(0, text);
	assert_string_equal(text, "0s");
}

static void
names_are_bounded(void **state)
{
	char name[STR_NAME_MAX + 2];

	(void)state;
	assert_true(str_is_name("a"));
	assert_true(str_is_name("My.app_2-x"));
	assert_true(str_is_name(".."));
	assert_false(str_is_name(""));
	assert_false(str_is_name("a/b"));
	assert_false(str_is_name("a b"));
	assert_false(str_is_name("\xc3\xa9"));
	assert_false(str_is_name("a\n"));
	memset(name, 'n', sizeof(name));
	name[STR_NAME_MAX + 1] = '\0';
	assert_false(str_is_name(name));
	name[STR_NAME_MAX] = '\0';
	assert_true(str_is_name(name));
}

static void
utf8_is_written(void **state)
{
	static const struct {
		uint32_t point;
		const char *text;
	} points[] = {
		{0x41, "A"}, {0x7f, "\x7f"}, {0x80, "\xc2\x80"},
		{0x7ff, "\xdf\xbf"}, {0x800, "\xe0\xa0\x80"},
		{0xffff, "\xef\xbf\xbf"}, {0x10000, "\xf0\x90\x80\x80"},
		{0x10ffff, "\xf4\x8f\xbf\xbf"},
	};
	char out[STR_UTF8_MAX];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		n = str_put_utf8(points[i].point, out);
		assert_int_equal(n, strlen(points[i].text));
		assert_memory_equal(out, points[i].text, n);
	}
}

static void
utf8_is_strict(void **state)
{
	static const char *const right[] = {"", "a", "\x7f", "\xc2\x80",
	    "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
	    "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "z\xe2\x82\xacz"};
	static const char *const wrong[] = {"\x80", "\xbf", "\xc0\x80",
	    "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf", "\xe2\x82",
	    "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
	    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82z",
	    "\xf0\x9f\x98"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		assert_true(str_is_utf8(right[i], strlen(right[i])));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(str_is_utf8(wrong[i], strlen(wrong[i])));
	assert_true(str_is_utf8("\0x", 2));
	assert_int_equal(str_utf8_char("\xe2\x82\xac", 3), 3);
	assert_int_equal(str_utf8_char("\xe2\x82\xac", 2), 0);
	assert_int_equal(str_utf8_char("", 0), 0);
	assert_int_equal(str_utf8_char("\0", 1), 1);
}

static void
hex_is_lower_and_exact(void **state)
{
	char out[9];

	(void)state;
	str_hex("\x00\x0f\xa5\xff", 4, out);
	assert_string_equal(out, "000fa5ff");
	str_hex("", 0, out);
	assert_string_equal(out, "");
	assert_true(str_is_hex("000fa5ff", 8));
	assert_false(str_is_hex("000fa5ff", 7));
	assert_false(str_is_hex("000fa5ff", 9));
	assert_false(str_is_hex("000FA5FF", 8));
	assert_false(str_is_hex("000fa5fg", 8));
	assert_true(str_is_hex("", 0));
}

static void
escape_leaves_one_safe_line(void **state)
{
	struct err err;
	struct buf out;

	(void)state;
	buf_init(&out, 200);
	assert_ok(str_escape(&out, "a\"b\\c\n\r\t\x1b[31m\x7f", &err), err);
	assert_string_equal(buf_str(&out),
	    "a\\\"b\\\\c\\x0a\\x0d\\x09\\x1b[31m\\x7f");
	buf_reset(&out);
	/* U+009B as UTF-8, an euro sign, a lone byte, a cut character. */
	assert_ok(str_escape(&out, "\xc2\x9b \xe2\x82\xac \xff \xe2\x82",
	    &err), err);
	assert_string_equal(buf_str(&out),
	    "\\xc2\\x9b \xe2\x82\xac \\xff \\xe2\\x82");
	buf_reset(&out);
	out.max = 3;
	assert_err(str_escape(&out, "\n", &err), err, ERR_TOO_LARGE, "3");
	buf_fini(&out);
}

static void
visible_is_ascii_without_blanks(void **state)
{
	(void)state;
	assert_true(str_is_visible("!~aZ09"));
	assert_true(str_is_visible(""));
	assert_false(str_is_visible("a b"));
	assert_false(str_is_visible("a\x7f"));
	assert_false(str_is_visible("\xc3\xa9"));
	assert_false(str_is_visible("\t"));
}

static void
copy_tells_whether_it_fitted(void **state)
{
	char out[4] = "zzz";

	(void)state;
	assert_true(str_copy(out, sizeof(out), "abc"));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "abc");
	assert_true(str_copy(out, sizeof(out), ""));
	assert_string_equal(out, "");
	assert_false(str_copy(out, 1, "a"));
	assert_string_equal(out, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(int_takes_digits_only),
		cmocka_unit_test(number_takes_decimal_forms),
		cmocka_unit_test(size_takes_binary_units),
		cmocka_unit_test(duration_takes_time_units),
		cmocka_unit_test(quantities_read_back),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(utf8_is_written),
		cmocka_unit_test(utf8_is_strict),
		cmocka_unit_test(hex_is_lower_and_exact),
		cmocka_unit_test(escape_leaves_one_safe_line),
		cmocka_unit_test(visible_is_ascii_without_blanks),
		cmocka_unit_test(copy_tells_whether_it_fitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
