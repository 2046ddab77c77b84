/*
 * Accept, Accept-Encoding and Prefer: lists of words with parameters, split
 * without copying.
 */
#include "negotiate.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* A part of a header's text. */
struct slice {
	const char *at;
	size_t len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice
trim(struct slice s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* Cut the text before the next separator outside of quotes off *rest. */
static struct slice
next_part(struct slice *rest, char separator)
{
	struct slice part = *rest;
	bool quoted = false;
	size_t i;

	for (i = 0; i < rest->len; i++) {
		if (quoted && rest->at[i] == '\\' && i + 1 < rest->len)
			i++;
		else if (rest->at[i] == '"')
			quoted = !quoted;
		else if (!quoted && rest->at[i] == separator)
			break;
	}
	part.len = i;
	if (i < rest->len)
		i++;
	rest->at += i;
	rest->len -= i;
	return trim(part);
}

static bool
is_word(struct slice s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

/* "0.25" in thousandths; -1 if it is no weight (RFC 9110, 12.4.2). */
static int
parse_weight(struct slice s)
{
	int weight, unit = 100;
	size_t i;

	if (s.len == 0 || s.len > 5 || (s.at[0] != '0' && s.at[0] != '1'))
		return -1;
	weight = (s.at[0] - '0') * 1000;
	if (s.len > 1 && s.at[1] != '.')
		return -1;
	for (i = 2; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return -1;
		weight += (s.at[i] - '0') * unit;
		unit /= 10;
	}
	return weight <= 1000 ? weight : -1;
}

/* The weight among the parameters of a media range or coding; -1 if it is
 * malformed. */
static int
weight_of(struct slice parameters)
{
	struct slice name, value;

	while (parameters.len > 0) {
		value = next_part(&parameters, ';');
		name = next_part(&value, '=');
		if (is_word(name, "q"))
			return parse_weight(trim(value));
	}
	return 1000;
}

bool
negotiate_wants_json(const char *accept)
{
	struct slice rest = { accept, accept != NULL ? strlen(accept) : 0 };
	struct slice item, range;
	int weight, json = 0, text = 0;

	while (rest.len > 0) {
		item = next_part(&rest, ',');
		range = next_part(&item, ';');
		weight = weight_of(item);
		if (is_word(range, "application/json") ||
		    is_word(range, "application/problem+json")) {
			if (weight > json)
				json = weight;
		} else if (is_word(range, "text/plain") ||
		    is_word(range, "text/*") || is_word(range, "*/*")) {
			if (weight > text)
				text = weight;
		}
	}
	return json > text;
}

/* The weights of an Accept-Encoding; -1: not named. */
struct codings {
	int zstd;
	int identity;
	int others;	/* "*": whatever is not named */
};

static int *
find_coding(struct codings *codings, struct slice name)
{
	if (is_word(name, "zstd"))
		return &codings->zstd;
	if (is_word(name, "identity"))
		return &codings->identity;
	if (is_word(name, "*"))
		return &codings->others;
	return NULL;
}

static struct codings
parse_codings(const char *accept_encoding)
{
	struct slice rest = { accept_encoding, strlen(accept_encoding) };
	struct codings codings = { -1, -1, -1 };
	struct slice item;
	int *weight;

	while (rest.len > 0) {
		item = next_part(&rest, ',');
		weight = find_coding(&codings, next_part(&item, ';'));
		if (weight != NULL && *weight < 0)
			*weight = weight_of(item);
	}
	return codings;
}

enum coding
negotiate_coding(const char *accept_encoding, bool has_zstd)
{
	struct codings codings;

	if (accept_encoding == NULL)
		return CODING_IDENTITY;
	codings = parse_codings(accept_encoding);
	if (has_zstd && codings.zstd > 0 && codings.zstd >= codings.identity)
		return CODING_ZSTD;
	if (codings.identity > 0 ||
	    (codings.identity < 0 && codings.others != 0))
		return CODING_IDENTITY;
	if (has_zstd && codings.zstd < 0 && codings.others > 0)
		return CODING_ZSTD;
	return CODING_NONE;
}

static struct slice
unquote(struct slice s)
{
	if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"') {
		s.at++;
		s.len -= 2;
	}
	return s;
}

/* Whole seconds up to the most we wait; -1 if it is no number. */
static int64_t
parse_wait(struct slice s)
{
	int64_t seconds = 0;
	size_t i;

	if (s.len == 0)
		return -1;
	for (i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return -1;
		if (seconds <= NEGOTIATE_WAIT_MAX_S)
			seconds = seconds * 10 + (s.at[i] - '0');
	}
	return seconds < NEGOTIATE_WAIT_MAX_S ? seconds : NEGOTIATE_WAIT_MAX_S;
}

struct prefer
negotiate_prefer(const char *prefer)
{
	struct slice rest = { prefer, prefer != NULL ? strlen(prefer) : 0 };
	struct prefer result = { .respond_async = false, .wait_s = -1 };
	struct slice item, pair, name;
	bool wait_seen = false;

	while (rest.len > 0) {
		item = next_part(&rest, ',');
		pair = next_part(&item, ';');
		name = next_part(&pair, '=');
		if (is_word(name, "respond-async")) {
			result.respond_async = true;
		} else if (is_word(name, "wait") && !wait_seen) {
			wait_seen = true;
			result.wait_s = parse_wait(unquote(trim(pair)));
		}
	}
	return result;
}
