/*
 * Conditions and ranges of a download.  Each field is read in one pass and
 * without a copy, so that its length is bounded by the request's head alone.
 */
#include "range.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "clock.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_blanks(const char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

/* To the next member of a list: over blanks and, as empty members are allowed
 * (RFC 9110, 5.6.1.2), over any number of commas.  *ret_parted: there was one,
 * or the end. */
static const char *
skip_commas(const char *s, bool *ret_parted)
{
	s = skip_blanks(s);
	*ret_parted = *s == ',' || *s == '\0';
	while (*s == ',')
		s = skip_blanks(s + 1);
	return s;
}

/* An entity tag as it stands in a field, with its quotes. */
struct tag {
	const char *at;
	size_t len;
	bool weak;
};

/* Read a tag; what follows it, or NULL if there is none. */
static const char *
read_tag(const char *s, struct tag *ret_tag)
{
	struct tag tag = { NULL, 0, false };

	if (s[0] == 'W' && s[1] == '/') {
		tag.weak = true;
		s += 2;
	}
	tag.at = s;
	if (*s != '"')
		return NULL;
	/* Visible characters and bytes above ASCII; no blank, no escape. */
	for (s++; *s != '"'; s++) {
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return NULL;
	}
	s++;
	tag.len = (size_t)(s - tag.at);
	*ret_tag = tag;
	return s;
}

static bool
is_same_tag(const struct tag *tag, const char *etag)
{
	return tag->len == strlen(etag) && memcmp(tag->at, etag, tag->len) == 0;
}

/* Is the etag, a strong one, in an If-Match or If-None-Match?  A comparison
 * is strong or takes weak tags too (RFC 9110, 8.8.3.2). */
static bool
matches_list(const char *list, const char *etag, bool takes_weak)
{
	bool parted, found = false;
	struct tag tag;
	const char *s = skip_blanks(list);

	if (*s == '*')
		return *skip_blanks(s + 1) == '\0';
	s = skip_commas(s, &parted);
	while (*s != '\0') {
		s = read_tag(s, &tag);
		if (s == NULL)
			return false;
		if (is_same_tag(&tag, etag) && (takes_weak || !tag.weak))
			found = true;
		s = skip_commas(s, &parted);
		if (!parted)
			return false;
	}
	return found;
}

/* Compare in seconds, which is all that an HTTP date can say. */
static bool
is_modified_since(const struct range_target *target, int64_t date_ms)
{
	return target->modified_ms / 1000 > date_ms / 1000;
}

static bool
precondition_fails(const struct range_request *request,
    const struct range_target *target)
{
	int64_t date_ms;

	if (request->if_match != NULL)
		return !matches_list(request->if_match, target->etag, false);
	return request->if_unmodified_since != NULL &&
	    clock_parse_http(request->if_unmodified_since, &date_ms) &&
	    is_modified_since(target, date_ms);
}

static bool
client_has_it(const struct range_request *request,
    const struct range_target *target)
{
	int64_t date_ms;

	if (request->if_none_match != NULL)
		return matches_list(request->if_none_match, target->etag, true);
	return request->if_modified_since != NULL &&
	    clock_parse_http(request->if_modified_since, &date_ms) &&
	    !is_modified_since(target, date_ms);
}

/* Is what the client has a part of, or a date of, just this? */
static bool
if_range_matches(const char *if_range, const struct range_target *target)
{
	struct tag tag;
	int64_t date_ms;
	const char *end;

	if (clock_parse_http(if_range, &date_ms))
		return target->has_own_date &&
		    date_ms / 1000 == target->modified_ms / 1000;
	end = read_tag(skip_blanks(if_range), &tag);
	return end != NULL && *skip_blanks(end) == '\0' && !tag.weak &&
	    is_same_tag(&tag, target->etag);
}

/* Read digits; a number beyond int64_t becomes the largest, which is beyond
 * the end of every file too.  What follows them, or NULL if there are none. */
static const char *
read_number(const char *s, int64_t *ret_number)
{
	int64_t number = 0;
	int digit;

	if (!is_digit(*s))
		return NULL;
	for (; is_digit(*s); s++) {
		digit = *s - '0';
		if (number > (INT64_MAX - digit) / 10)
			number = INT64_MAX;
		else
			number = number * 10 + digit;
	}
	*ret_number = number;
	return s;
}

/* One of a Range's members as it stands there; -1: not given. */
struct span {
	int64_t first;
	int64_t last;	/* without a first: how many bytes from the end */
};

/* Read "0-499", "500-" or "-500"; what follows it, or NULL. */
static const char *
read_span(const char *s, struct span *ret_span)
{
	struct span span = { -1, -1 };

	if (is_digit(*s))
		s = read_number(s, &span.first);
	if (s == NULL || *s != '-')
		return NULL;
	s++;
	if (span.first < 0 || is_digit(*s))
		s = read_number(s, &span.last);
	if (span.first >= 0 && span.last >= 0 && span.last < span.first)
		return NULL;
	*ret_span = span;
	return s;
}

/* Read a Range of one span of bytes; false if it is anything else. */
static bool
parse_range(const char *range, struct span *ret_span)
{
	static const char unit[] = "bytes=";
	bool parted;
	const char *s = skip_blanks(range);

	if (strncasecmp(s, unit, sizeof(unit) - 1) != 0)
		return false;
	s = skip_commas(s + sizeof(unit) - 1, &parted);
	s = read_span(s, ret_span);
	if (s == NULL)
		return false;
	s = skip_commas(s, &parted);
	return *s == '\0';
}

static enum range_outcome
apply_span(const struct span *span, int64_t size_bytes, int64_t *ret_first,
    int64_t *ret_bytes)
{
	int64_t first = span->first, last = size_bytes - 1;

	if (first < 0) {
		if (span->last == 0)
			return RANGE_UNSATISFIABLE;
		if (size_bytes == 0)
			return RANGE_WHOLE;
		first = span->last < size_bytes ? size_bytes - span->last : 0;
	} else if (first >= size_bytes) {
		return RANGE_UNSATISFIABLE;
	} else if (span->last >= 0 && span->last < last) {
		last = span->last;
	}
	*ret_first = first;
	*ret_bytes = last - first + 1;
	return RANGE_PART;
}

/* Does this request's Range count at all? */
static bool
is_range_in_force(const struct range_request *request,
    const struct range_target *target)
{
	if (!request->is_get || request->range == NULL)
		return false;
	if (request->if_range == NULL)
		return !request->needs_if_range;
	return if_range_matches(request->if_range, target);
}

enum range_outcome
range_judge(const struct range_request *request,
    const struct range_target *target, int64_t *ret_first, int64_t *ret_bytes)
{
	enum range_outcome outcome = RANGE_WHOLE;
	struct span span;

	assert(target->etag[0] == '"' && target->size_bytes >= 0);
	if (precondition_fails(request, target))
		return RANGE_FAILED;
	if (client_has_it(request, target))
		return RANGE_NOT_MODIFIED;
	if (is_range_in_force(request, target) &&
	    parse_range(request->range, &span))
		outcome = apply_span(&span, target->size_bytes, ret_first,
		    ret_bytes);
	if (outcome == RANGE_WHOLE) {
		*ret_first = 0;
		*ret_bytes = target->size_bytes;
	}
	return outcome;
}
