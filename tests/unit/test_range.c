/* Conditions and ranges, as clients write them and as nobody should. */
#include "test.h"

#include <stdbool.h>

#include "clock.h"
#include "range.h"

#define ETAG "\"0123456789abcdef\""
/* Sun, 22 Nov 2026 20:25:00.700 GMT */
#define MODIFIED_MS INT64_C(1795379100700)
#define MODIFIED "Sun, 22 Nov 2026 20:25:00 GMT"
#define BEFORE "Sun, 22 Nov 2026 20:24:59 GMT"
#define AFTER "Sun, 22 Nov 2026 20:25:01 GMT"
#define SIZE 1000

static const struct range_target target = { ETAG, MODIFIED_MS, SIZE, true };

static const char *
name_of(enum range_outcome outcome)
{
	static const char *const names[] = { "whole", "part", "not modified",
		"failed", "unsatisfiable" };

	return names[outcome];
}

/* Judge, and see that the outputs are written when they should be, and hold
 * what can be sent. */
static enum range_outcome
judge(const struct range_request *request, const struct range_target *of,
    int64_t *first, int64_t *bytes)
{
	enum range_outcome outcome;

	*first = *bytes = -7;
	outcome = range_judge(request, of, first, bytes);
	if (outcome == RANGE_WHOLE) {
		assert_int_equal(*first, 0);
		assert_int_equal(*bytes, of->size_bytes);
	} else if (outcome == RANGE_PART) {
		assert_true(*first >= 0 && *bytes > 0);
		assert_true(*bytes <= of->size_bytes - *first);
	} else {
		assert_int_equal(*first, -7);
		assert_int_equal(*bytes, -7);
	}
	return outcome;
}

static void
expect(struct range_request request, enum range_outcome wanted)
{
	int64_t first, bytes;
	enum range_outcome got = judge(&request, &target, &first, &bytes);

	if (got == wanted)
		return;
	fail_msg("%s, wanted %s: %s range=%s if-range=%s if-match=%s "
	    "if-none-match=%s if-modified-since=%s if-unmodified-since=%s",
	    name_of(got), name_of(wanted), request.is_get ? "GET" : "HEAD",
	    request.range, request.if_range, request.if_match,
	    request.if_none_match, request.if_modified_since,
	    request.if_unmodified_since);
}

#define GET(...) ((struct range_request){ .is_get = true, __VA_ARGS__ })
#define HEAD(...) ((struct range_request){ .is_get = false, __VA_ARGS__ })

static void
parts_are_cut_to_size(void **state)
{
	static const struct {
		const char *range;
		int64_t size, first, bytes;
	} cases[] = {
		{ "bytes=0-", 1000, 0, 1000 },
		{ "bytes=0-999", 1000, 0, 1000 },
		{ "bytes=0-0", 1000, 0, 1 },
		{ "bytes=5-5", 1000, 5, 1 },
		{ "bytes=10-19", 1000, 10, 10 },
		{ "bytes=999-", 1000, 999, 1 },
		{ "bytes=999-999", 1000, 999, 1 },
		{ "bytes=990-1000", 1000, 990, 10 },
		{ "bytes=990-9223372036854775807", 1000, 990, 10 },
		{ "bytes=990-9223372036854775808", 1000, 990, 10 },
		{ "bytes=0-99999999999999999999999999999999", 1000, 0, 1000 },
		{ "bytes=-1", 1000, 999, 1 },
		{ "bytes=-5", 1000, 995, 5 },
		{ "bytes=-1000", 1000, 0, 1000 },
		{ "bytes=-1001", 1000, 0, 1000 },
		{ "bytes=-9223372036854775807", 1000, 0, 1000 },
		{ "bytes=-99999999999999999999999999999999", 1000, 0, 1000 },
		{ "bytes=00000000000000000000000000000000007-008", 1000, 7, 2 },
		{ "Bytes=1-2", 1000, 1, 2 },
		{ "BYTES=1-2", 1000, 1, 2 },
		{ "bytes= 1-2 ", 1000, 1, 2 },
		{ "bytes=,1-2", 1000, 1, 2 },
		{ "bytes=1-2,", 1000, 1, 2 },
		{ "bytes=\t, ,,1-2\t ,,", 1000, 1, 2 },
		{ "bytes=0-", 1, 0, 1 },
		{ "bytes=-1", 1, 0, 1 },
		{ "bytes=9223372036854775806-", INT64_MAX,
		    INT64_MAX - 1, 1 },
		{ "bytes=0-9223372036854775807", INT64_MAX, 0, INT64_MAX },
		{ "bytes=-9223372036854775807", INT64_MAX, 0, INT64_MAX },
	};
	int64_t first, bytes;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_target of = { ETAG, MODIFIED_MS, cases[i].size,
			true };
		enum range_outcome got = judge(&GET(.range = cases[i].range),
		    &of, &first, &bytes);

		if (got != RANGE_PART || first != cases[i].first ||
		    bytes != cases[i].bytes)
			fail_msg("%s of %lld: %s, %lld+%lld", cases[i].range,
			    (long long)cases[i].size, name_of(got),
			    (long long)first, (long long)bytes);
	}
}

static void
what_lies_beyond_is_unsatisfiable(void **state)
{
	static const struct {
		const char *range;
		int64_t size;
	} cases[] = {
		{ "bytes=1000-", 1000 }, { "bytes=1000-1000", 1000 },
		{ "bytes=1000-2000", 1000 }, { "bytes=-0", 1000 },
		{ "bytes=-000", 1000 },
		{ "bytes=9223372036854775807-", 1000 },
		{ "bytes=9223372036854775807-", INT64_MAX },
		{ "bytes=9223372036854775808-", INT64_MAX },
		{ "bytes=99999999999999999999999999999999-", 1000 },
		{ "bytes=18446744073709551616-18446744073709551617", 1000 },
		{ "bytes=0-", 0 }, { "bytes=0-0", 0 }, { "bytes=-0", 0 },
		{ "bytes=1-", 1 },
	};
	int64_t first, bytes;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct range_target of = { ETAG, MODIFIED_MS, cases[i].size,
			true };

		if (judge(&GET(.range = cases[i].range), &of, &first,
			&bytes) != RANGE_UNSATISFIABLE)
			fail_msg("%s of %lld", cases[i].range,
			    (long long)cases[i].size);
	}
}

static void
other_ranges_are_ignored(void **state)
{
	static const char *const ranges[] = {
		NULL, "", " ", "bytes", "bytes=", "bytes= ", "bytes=,", "=0-1",
		"bytes=, ,", "bytes=-", "bytes=--1", "bytes=-1-", "bytes=1",
		"bytes=a-", "bytes=1-b", "bytes=5-4", "bytes=1-0",
		"bytes=99999999999999999999-5", "bytes=+1-2", "bytes=1-+2",
		"bytes=0x1-2", "bytes=1.0-2", "bytes=1 -2", "bytes=1- 2",
		"bytes=1-2 3", "bytes=1-2;", "bytes=1-2-3", "bytes=-5 -6",
		"bytes =1-2", "bytes:1-2", "byte=1-2", "bytess=1-2",
		"items=0-1", "none", "bytes=\"0-1\"", "bytes=\xef\xbc\x91-2",
		"bytes=bytes=0-1", "bytes=\n0-1",
		/* Several ranges: two lines become one, with a comma. */
		"bytes=0-1,2-3", "bytes=0-0, -1", "bytes=0-,0-",
		"bytes=5000-,0-1", "bytes=0-1,bytes=2-3",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		expect(GET(.range = ranges[i]), RANGE_WHOLE);
}

static void
nothing_has_no_last_bytes(void **state)
{
	const struct range_target empty = { ETAG, MODIFIED_MS, 0, true };
	int64_t first, bytes;

	(void)state;
	assert_int_equal(judge(&GET(.range = NULL), &empty, &first, &bytes),
	    RANGE_WHOLE);
	assert_int_equal(judge(&GET(.range = "bytes=-5"), &empty, &first,
	    &bytes), RANGE_WHOLE);
}

static void
head_knows_no_ranges(void **state)
{
	(void)state;
	expect(HEAD(.range = NULL), RANGE_WHOLE);
	expect(HEAD(.range = "bytes=0-1"), RANGE_WHOLE);
	expect(HEAD(.range = "bytes=5000-"), RANGE_WHOLE);
	expect(HEAD(.range = "bytes=0-1", .if_range = ETAG), RANGE_WHOLE);
	expect(HEAD(.if_none_match = ETAG), RANGE_NOT_MODIFIED);
	expect(HEAD(.if_modified_since = MODIFIED), RANGE_NOT_MODIFIED);
	expect(HEAD(.if_match = "\"other\""), RANGE_FAILED);
	expect(HEAD(.if_unmodified_since = BEFORE), RANGE_FAILED);
}

static const char *const lists_with_strong[] = {
	ETAG, " " ETAG " ", "\"a\"," ETAG, ETAG ",\"a\"",
	"\"a\" , \"b\",\t" ETAG " , \"c\"", ", ,," ETAG ",,",
	"W/" ETAG ", " ETAG, ETAG ", W/" ETAG, "\"\", " ETAG,
	"\"a,b\", " ETAG, "\"W/\"," ETAG, "\"\x80\xff\"," ETAG,
	"\"\\\"," ETAG, "\"*\"," ETAG, "*", " * ",
};

static const char *const lists_with_weak[] = {
	"W/" ETAG, "\"a\", W/" ETAG, "W/\"a\" ,W/" ETAG ",",
};

static const char *const lists_without[] = {
	"\"a\"", "\"\"", ",", " , ,", "W/\"a\"", "\"0123456789abcde\"",
	"\"0123456789abcdef0\"", "\"0123456789ABCDEF\"",
	/* The tag in another one. */
	"\"x,\"0123456789abcdef\"", "\"a, 0123456789abcdef\"",
	/* Malformed, all of them: even where the tag is among them. */
	"0123456789abcdef", "\"0123456789abcdef", "0123456789abcdef\"",
	"w/" ETAG, "W/ " ETAG, "W " ETAG, "W", "W/", "/" ETAG, "\"", "\"\"\"",
	"'0123456789abcdef'", ETAG ETAG, ETAG " \"a\"", ETAG ";", ETAG "x",
	ETAG ", a", "a, " ETAG, ETAG ", \"open", ETAG ", \"two words\"",
	ETAG ", *", "*, " ETAG, "**", "*\"", "* *", ETAG ", W/",
	ETAG ", \"\x7f\"", ETAG ", \"\x01\"", ETAG ", \"a\tb\"",
	ETAG ",\n" ETAG,
};

static void
if_match_compares_strongly(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lists_with_strong) / sizeof(char *); i++)
		expect(GET(.if_match = lists_with_strong[i]), RANGE_WHOLE);
	for (i = 0; i < sizeof(lists_with_weak) / sizeof(char *); i++)
		expect(GET(.if_match = lists_with_weak[i]), RANGE_FAILED);
	for (i = 0; i < sizeof(lists_without) / sizeof(char *); i++)
		expect(GET(.if_match = lists_without[i]), RANGE_FAILED);
}

static void
if_none_match_compares_weakly(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lists_with_strong) / sizeof(char *); i++)
		expect(GET(.if_none_match = lists_with_strong[i]),
		    RANGE_NOT_MODIFIED);
	for (i = 0; i < sizeof(lists_with_weak) / sizeof(char *); i++)
		expect(GET(.if_none_match = lists_with_weak[i]),
		    RANGE_NOT_MODIFIED);
	for (i = 0; i < sizeof(lists_without) / sizeof(char *); i++)
		expect(GET(.if_none_match = lists_without[i]), RANGE_WHOLE);
}

static void
long_lists_are_read_to_their_end(void **state)
{
	enum { COUNT = 12000 };
	char *list = malloc(COUNT * 5 + sizeof(ETAG)), *p = list;
	int i;

	(void)state;
	assert_non_null(list);
	for (i = 0; i < COUNT; i++)
		p += snprintf(p, 6, "\"%x\", ", (unsigned)i & 0xf);
	memcpy(p, ETAG, sizeof(ETAG));
	expect(GET(.if_none_match = list), RANGE_NOT_MODIFIED);
	p[sizeof(ETAG) - 2] = '\0';
	expect(GET(.if_none_match = list), RANGE_WHOLE);
	memset(list, '"', COUNT);
	list[COUNT] = '\0';
	expect(GET(.if_match = list), RANGE_FAILED);
	free(list);
}

static void
dates_compare_in_seconds(void **state)
{
	char http[CLOCK_HTTP_MAX];

	(void)state;
	expect(GET(.if_modified_since = BEFORE), RANGE_WHOLE);
	expect(GET(.if_modified_since = MODIFIED), RANGE_NOT_MODIFIED);
	expect(GET(.if_modified_since = AFTER), RANGE_NOT_MODIFIED);
	expect(GET(.if_unmodified_since = BEFORE), RANGE_FAILED);
	expect(GET(.if_unmodified_since = MODIFIED), RANGE_WHOLE);
	expect(GET(.if_unmodified_since = AFTER), RANGE_WHOLE);
	/* In the obsolete forms too. */
	expect(GET(.if_modified_since = "Sunday, 22-Nov-26 20:25:00 GMT"),
	    RANGE_NOT_MODIFIED);
	expect(GET(.if_unmodified_since = "Sun Nov 22 20:24:59 2026"),
	    RANGE_FAILED);
	/* What Last-Modified says is what a client gives back. */
	clock_format_http(MODIFIED_MS, http);
	expect(GET(.if_modified_since = http), RANGE_NOT_MODIFIED);
	expect(GET(.if_unmodified_since = http), RANGE_WHOLE);
	expect(GET(.range = "bytes=0-1", .if_range = http), RANGE_PART);
}

static void
malformed_dates_are_ignored(void **state)
{
	static const char *const dates[] = {
		"", "0", "yesterday", "2026-11-22T20:25:00Z", "1795379100",
		"Sun, 22 Nov 2026 20:25:00", "Sun, 22 Nov 2026 20:25:00 +0000",
		MODIFIED ", " MODIFIED, MODIFIED " ", MODIFIED "; length=1000",
		"Sun, 31 Nov 2026 20:25:00 GMT", ETAG, "*",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		expect(GET(.if_modified_since = dates[i]), RANGE_WHOLE);
		expect(GET(.if_unmodified_since = dates[i]), RANGE_WHOLE);
		if (strcmp(dates[i], ETAG) != 0)
			expect(GET(.range = "bytes=0-1", .if_range = dates[i]),
			    RANGE_WHOLE);
	}
}

static void
conditions_have_an_order(void **state)
{
	const char *other = "\"other\"";

	(void)state;
	/* If-Match: If-Unmodified-Since does not count. */
	expect(GET(.if_match = ETAG, .if_unmodified_since = BEFORE),
	    RANGE_WHOLE);
	expect(GET(.if_match = other, .if_unmodified_since = AFTER),
	    RANGE_FAILED);
	/* If-None-Match: If-Modified-Since does not count. */
	expect(GET(.if_none_match = other, .if_modified_since = AFTER),
	    RANGE_WHOLE);
	expect(GET(.if_none_match = ETAG, .if_modified_since = BEFORE),
	    RANGE_NOT_MODIFIED);
	/* The first pair comes before the second ... */
	expect(GET(.if_match = other, .if_none_match = ETAG), RANGE_FAILED);
	expect(GET(.if_match = ETAG, .if_none_match = ETAG),
	    RANGE_NOT_MODIFIED);
	expect(GET(.if_unmodified_since = BEFORE,
	    .if_modified_since = AFTER), RANGE_FAILED);
	expect(GET(.if_unmodified_since = MODIFIED,
	    .if_modified_since = MODIFIED), RANGE_NOT_MODIFIED);
	/* ... and both before the range. */
	expect(GET(.range = "bytes=0-1", .if_match = other), RANGE_FAILED);
	expect(GET(.range = "bytes=5000-", .if_match = other), RANGE_FAILED);
	expect(GET(.range = "bytes=5000-", .if_none_match = ETAG),
	    RANGE_NOT_MODIFIED);
	expect(GET(.range = "bytes=0-1", .if_range = ETAG,
	    .if_none_match = ETAG), RANGE_NOT_MODIFIED);
	expect(GET(.range = "bytes=0-1", .if_match = ETAG), RANGE_PART);
	expect(GET(.range = "bytes=0-1", .if_none_match = other), RANGE_PART);
	expect(GET(.range = "bytes=5000-", .if_match = ETAG,
	    .if_none_match = other), RANGE_UNSATISFIABLE);
	expect(GET(.range = "bytes=0-1", .if_unmodified_since = MODIFIED,
	    .if_modified_since = BEFORE), RANGE_PART);
}

static void
if_range_decides_about_the_range(void **state)
{
	static const char *const others[] = {
		"\"other\"", "W/" ETAG, "*", "", ",", "0123456789abcdef",
		ETAG ",", "," ETAG, ETAG ", \"a\"", "\"a\", " ETAG,
		"\"0123456789abcdef", BEFORE, AFTER, "W/",
		"Sun, 22 Nov 2026 20:25:00",
	};
	size_t i;

	(void)state;
	expect(GET(.range = "bytes=0-1", .if_range = ETAG), RANGE_PART);
	expect(GET(.range = "bytes=0-1", .if_range = " " ETAG "\t"),
	    RANGE_PART);
	expect(GET(.range = "bytes=0-1", .if_range = MODIFIED), RANGE_PART);
	expect(GET(.range = "bytes=5000-", .if_range = ETAG),
	    RANGE_UNSATISFIABLE);
	expect(GET(.range = "bytes=5000-", .if_range = MODIFIED),
	    RANGE_UNSATISFIABLE);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		expect(GET(.range = "bytes=0-1", .if_range = others[i]),
		    RANGE_WHOLE);
		/* 416 only to somebody who has this representation. */
		expect(GET(.range = "bytes=5000-", .if_range = others[i]),
		    RANGE_WHOLE);
	}
	/* Without a range it says nothing. */
	expect(GET(.if_range = ETAG), RANGE_WHOLE);
	expect(GET(.if_range = "\"other\""), RANGE_WHOLE);
}

static void
a_range_may_need_if_range(void **state)
{
	(void)state;
	expect(GET(.needs_if_range = true, .range = "bytes=0-1"), RANGE_WHOLE);
	expect(GET(.needs_if_range = true, .range = "bytes=5000-"),
	    RANGE_WHOLE);
	expect(GET(.needs_if_range = true, .range = "bytes=0-1",
	    .if_range = "\"other\""), RANGE_WHOLE);
	expect(GET(.needs_if_range = true, .range = "bytes=0-1",
	    .if_range = ETAG), RANGE_PART);
	expect(GET(.needs_if_range = true, .range = "bytes=0-1",
	    .if_range = MODIFIED), RANGE_PART);
	expect(GET(.needs_if_range = true, .range = "bytes=5000-",
	    .if_range = ETAG), RANGE_UNSATISFIABLE);
	expect(HEAD(.needs_if_range = true, .range = "bytes=0-1",
	    .if_range = ETAG), RANGE_WHOLE);
	expect(GET(.needs_if_range = true, .if_none_match = ETAG),
	    RANGE_NOT_MODIFIED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_cut_to_size),
		cmocka_unit_test(what_lies_beyond_is_unsatisfiable),
		cmocka_unit_test(other_ranges_are_ignored),
		cmocka_unit_test(nothing_has_no_last_bytes),
		cmocka_unit_test(head_knows_no_ranges),
		cmocka_unit_test(if_match_compares_strongly),
		cmocka_unit_test(if_none_match_compares_weakly),
		cmocka_unit_test(long_lists_are_read_to_their_end),
		cmocka_unit_test(dates_compare_in_seconds),
		cmocka_unit_test(malformed_dates_are_ignored),
		cmocka_unit_test(conditions_have_an_order),
		cmocka_unit_test(if_range_decides_about_the_range),
		cmocka_unit_test(a_range_may_need_if_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
