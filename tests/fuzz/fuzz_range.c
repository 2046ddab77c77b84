/*
 * The header fields of a download: a line each in the order of below, an empty
 * one for a field that is absent; before them a byte for the rest of the
 * request and one for the size.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "negotiate.h"
#include "range.h"

#define ETAG "\"abc\""
/* Sun, 22 Nov 2026 20:25:00.700 GMT */
#define MODIFIED_MS INT64_C(1795379100700)
/* The last date that four digits of a year can tell. */
#define LAST_MS INT64_C(253402300799000)

/* Cut the next line off *rest. */
static const char *
next_field(char **rest)
{
	char *line = strsep(rest, "\n");

	return line == NULL || *line == '\0' ? NULL : line;
}

static int64_t
pick_size(uint8_t pick)
{
	return pick == 0xff ? INT64_MAX : pick;
}

static void
try_judge(const struct range_request *request, int64_t size_bytes)
{
	const struct range_target target = { ETAG, MODIFIED_MS, size_bytes,
		size_bytes % 2 == 0 };
	int64_t first = -1, bytes = -1;

	switch (range_judge(request, &target, &first, &bytes)) {
	case RANGE_WHOLE:
		if (first != 0 || bytes != size_bytes)
			abort();
		break;
	case RANGE_PART:
		if (!request->is_get || request->range == NULL ||
		    (request->needs_if_range && request->if_range == NULL))
			abort();
		if (first < 0 || bytes < 1 || bytes > size_bytes - first)
			abort();
		break;
	case RANGE_UNSATISFIABLE:
		if (!request->is_get || request->range == NULL)
			abort();
		break;
	case RANGE_NOT_MODIFIED:
		if (request->if_none_match == NULL &&
		    request->if_modified_since == NULL)
			abort();
		break;
	case RANGE_FAILED:
		if (request->if_match == NULL &&
		    request->if_unmodified_since == NULL)
			abort();
		break;
	}
}

/* What is read as a date is printed and read as the same. */
static void
try_date(const char *text)
{
	char http[CLOCK_HTTP_MAX];
	int64_t utc_ms, again_ms;

	if (text == NULL || !clock_parse_http(text, &utc_ms) || utc_ms < 0 ||
	    utc_ms > LAST_MS)
		return;
	clock_format_http(utc_ms, http);
	if (!clock_parse_http(http, &again_ms) || again_ms != utc_ms)
		abort();
}

static void
try_coding(const char *text)
{
	enum coding with = negotiate_coding(text, true);
	enum coding without = negotiate_coding(text, false);

	if (without == CODING_ZSTD ||
	    (with == CODING_NONE && without != CODING_NONE))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct range_request request;
	char *text, *rest;

	if (size < 2)
		return 0;
	text = malloc(size - 1);
	if (text == NULL)
		abort();
	memcpy(text, data + 2, size - 2);
	text[size - 2] = '\0';
	rest = text;
	request.is_get = (data[0] & 1) != 0;
	request.needs_if_range = (data[0] & 2) != 0;
	request.range = next_field(&rest);
	request.if_range = next_field(&rest);
	request.if_match = next_field(&rest);
	request.if_none_match = next_field(&rest);
	request.if_modified_since = next_field(&rest);
	request.if_unmodified_since = next_field(&rest);
	try_judge(&request, pick_size(data[1]));
	try_date(request.if_range);
	try_date(request.if_modified_since);
	try_date(request.if_unmodified_since);
	try_coding(next_field(&rest));
	free(text);
	return 0;
}
