/* Time and its spellings, also where they are far out. */
#include "test.h"

#include <time.h>

#include "clock.h"

/* 2026-11-22T20:25:00.000Z, a Sunday */
#define SUNDAY_MS INT64_C(1795379100000)

static void
spellings_are_those_of_the_rfcs(void **state)
{
	char rfc3339[CLOCK_RFC3339_MAX], compact[CLOCK_COMPACT_MAX];
	char http[CLOCK_HTTP_MAX];

	(void)state;
	clock_format_rfc3339(SUNDAY_MS + 7, rfc3339);
	assert_string_equal(rfc3339, "2026-11-22T20:25:00.007Z");
	clock_format_compact(SUNDAY_MS + 999, compact);
	assert_string_equal(compact, "20261122T202500Z");
	clock_format_http(SUNDAY_MS, http);
	assert_string_equal(http, "Sun, 22 Nov 2026 20:25:00 GMT");
	clock_format_http(INT64_C(784111777000), http);
	assert_string_equal(http, "Sun, 06 Nov 1994 08:49:37 GMT");
	clock_format_rfc3339(INT64_C(951782400000), rfc3339);
	assert_string_equal(rfc3339, "2000-02-29T00:00:00.000Z");
}

static void
far_out_becomes_the_nearest(void **state)
{
	char rfc3339[CLOCK_RFC3339_MAX], compact[CLOCK_COMPACT_MAX];
	char http[CLOCK_HTTP_MAX];

	(void)state;
	clock_format_rfc3339(0, rfc3339);
	assert_string_equal(rfc3339, "1970-01-01T00:00:00.000Z");
	clock_format_rfc3339(-1, rfc3339);
	assert_string_equal(rfc3339, "1970-01-01T00:00:00.000Z");
	clock_format_rfc3339(INT64_MAX, rfc3339);
	assert_string_equal(rfc3339, "9999-12-31T23:59:59.999Z");
	clock_format_compact(INT64_MAX, compact);
	assert_string_equal(compact, "99991231T235959Z");
	clock_format_http(INT64_MIN, http);
	assert_string_equal(http, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void
time_zone_is_not_read(void **state)
{
	char rfc3339[CLOCK_RFC3339_MAX];

	(void)state;
	assert_int_equal(setenv("TZ", "XYZ-5:30", 1), 0);
	tzset();
	clock_format_rfc3339(SUNDAY_MS, rfc3339);
	assert_string_equal(rfc3339, "2026-11-22T20:25:00.000Z");
}

static void
clocks_run(void **state)
{
	int64_t utc_ms = clock_utc_ms(), mono_ms = clock_mono_ms();

	(void)state;
	/* Within two seconds of what time(2) says. */
	assert_in_range(utc_ms, ((int64_t)time(NULL) - 2) * 1000,
	    ((int64_t)time(NULL) + 2) * 1000);
	assert_true(mono_ms > 0);
	assert_true(clock_mono_ms() >= mono_ms);
	assert_true(clock_mono_ms() - mono_ms < 10000);
}

#define NOV_6_MS INT64_C(784111777000)

static void
http_dates_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t utc_ms;
	} cases[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", NOV_6_MS },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", NOV_6_MS },
		{ "Sun Nov  6 08:49:37 1994", NOV_6_MS },
		{ "Sun Nov 06 08:49:37 1994", NOV_6_MS },
		{ "Sun Nov 16 08:49:37 1994", NOV_6_MS + 10 * 86400000 },
		/* Some day of the week is enough. */
		{ "Wed, 06 Nov 1994 08:49:37 GMT", NOV_6_MS },
		{ "Sun, 22 Nov 2026 20:25:00 GMT", SUNDAY_MS },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Wed, 31 Dec 1969 23:59:59 GMT", -1000 },
		{ "Tue, 29 Feb 2000 00:00:00 GMT", INT64_C(951782400000) },
		{ "Sat, 31 Dec 2016 23:59:60 GMT", INT64_C(1483228800000) },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799000) },
		{ "Sat, 01 Jan 0000 00:00:00 GMT", INT64_C(-62167219200000) },
		/* Beyond 32 bits. */
		{ "Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648000) },
	};
	int64_t utc_ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utc_ms = -7;
		if (!clock_parse_http(cases[i].text, &utc_ms) ||
		    utc_ms != cases[i].utc_ms)
			fail_msg("%s: %lld", cases[i].text, (long long)utc_ms);
	}
}

static void
every_day_and_month_is_read_back(void **state)
{
	char http[CLOCK_HTTP_MAX];
	int64_t ms, utc_ms;

	(void)state;
	for (ms = 0; ms < INT64_C(4102444800000); ms += 86399000) {
		clock_format_http(ms, http);
		assert_true(clock_parse_http(http, &utc_ms));
		assert_int_equal(utc_ms, ms);
	}
}

static void
other_dates_are_refused(void **state)
{
	static const char *const texts[] = {
		"", " ", "S", "Su", "Sun", "Sun,", "Sun, ", "Sun, 0",
		" Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37 gmt",
		"sun, 06 Nov 1994 08:49:37 GMT",
		"SUN, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"Son, 06 Nov 1994 08:49:37 GMT",
		"06 Nov 1994 08:49:37 GMT", "Sun 06 Nov 1994 08:49:37 GMT",
		"Sun,06 Nov 1994 08:49:37 GMT",
		"Sun,  6 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 006 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06 Nov 199 08:49:37 GMT",
		"Sun, 06 Nov 19994 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 08-49-37 GMT",
		"Sun, 06 Nov 1994 08:49:37.0 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 32 Dec 1994 08:49:37 GMT",
		"Tue, 30 Feb 2000 00:00:00 GMT",
		"Thu, 29 Feb 1900 00:00:00 GMT",
		"Thu, 29 Feb 2026 00:00:00 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT",
		"Sunday, 6-Nov-94 08:49:37 GMT",
		"Sunday, 30-Feb-94 08:49:37 GMT",
		"Sunday 06-Nov-94 08:49:37 GMT",
		"Sundays, 06-Nov-94 08:49:37 GMT",
		"Sund, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", "Sun Nov   6 08:49:37 1994",
		"Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT",
		"Sun Nov  0 08:49:37 1994", "Sunday Nov  6 08:49:37 1994",
		"1994-11-06T08:49:37Z", "784111777",
	};
	int64_t utc_ms = -7;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (clock_parse_http(texts[i], &utc_ms))
			fail_msg("\"%s\" is taken for a date", texts[i]);
		assert_int_equal(utc_ms, -7);
	}
}

static int
year_of(int64_t utc_ms)
{
	time_t seconds = (time_t)(utc_ms / 1000);
	struct tm tm;

	assert_non_null(gmtime_r(&seconds, &tm));
	return tm.tm_year + 1900;
}

/* A year of two digits is at most 50 years ahead, else in the past. */
static void
centuries_are_found(void **state)
{
	int this_year = year_of(clock_utc_ms()), ahead, got;
	char text[64];
	int64_t utc_ms;

	(void)state;
	/* 50 years ahead, today: which side it is on depends on the hour. */
	for (ahead = -49; ahead < 50; ahead++) {
		(void)snprintf(text, sizeof(text),
		    "Monday, 01-Jan-%02d 00:00:00 GMT",
		    (this_year + ahead) % 100);
		assert_true(clock_parse_http(text, &utc_ms));
		got = year_of(utc_ms);
		if (got != this_year + ahead)
			fail_msg("%s is read as %d", text, got);
	}
	/* The year that has its end more than 50 years ahead. */
	(void)snprintf(text, sizeof(text), "Monday, 31-Dec-%02d 23:59:60 GMT",
	    (this_year + 50) % 100);
	assert_true(clock_parse_http(text, &utc_ms));
	assert_true(utc_ms < clock_utc_ms());
	/* Its beginning is not: on New Year's Day itself it is now. */
	(void)snprintf(text, sizeof(text), "Monday, 01-Jan-%02d 00:00:00 GMT",
	    (this_year + 50) % 100);
	assert_true(clock_parse_http(text, &utc_ms));
	assert_int_equal(year_of(utc_ms), this_year + 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings_are_those_of_the_rfcs),
		cmocka_unit_test(far_out_becomes_the_nearest),
		cmocka_unit_test(time_zone_is_not_read),
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(http_dates_are_read),
		cmocka_unit_test(every_day_and_month_is_read_back),
		cmocka_unit_test(other_dates_are_refused),
		cmocka_unit_test(centuries_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
