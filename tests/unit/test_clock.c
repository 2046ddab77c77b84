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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings_are_those_of_the_rfcs),
		cmocka_unit_test(far_out_becomes_the_nearest),
		cmocka_unit_test(time_zone_is_not_read),
		cmocka_unit_test(clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
