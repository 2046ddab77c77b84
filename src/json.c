/*
 * JSON documents, by cJSON.  cJSON takes more than JSON is (control bytes,
 * "01", bytes that are not UTF-8) and cuts strings at \u0000, so a scanner of
 * our own looks first; what it lets through, cJSON reads without surprises.
 */
#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "str.h"

#define DEPTH_MAX 64
/* cJSON copies a number to a buffer of 64 bytes. */
#define NUMBER_MAX 63
/* Up to here a double holds every whole number. */
#define EXACT_MAX 9007199254740992.0
/* Below this cJSON prints a whole number with all its digits. */
#define PRINTED_MAX INT64_C(1000000000000000)

struct scan {
	const char *text;
	const char *next;
	const char *end;
	const char *wrong;	/* what is, in words */
};

static bool
fail(struct scan *s, const char *wrong)
{
	if (s->wrong == NULL)
		s->wrong = wrong;
	return false;
}

static bool
at(const struct scan *s, char c)
{
	return s->next < s->end && *s->next == c;
}

static bool
accept(struct scan *s, char c)
{
	if (!at(s, c))
		return false;
	s->next++;
	return true;
}

static void
skip_space(struct scan *s)
{
	while (at(s, ' ') || at(s, '\t') || at(s, '\n') || at(s, '\r'))
		s->next++;
}

static size_t
skip_digits(struct scan *s)
{
	const char *start = s->next;

	while (s->next < s->end && *s->next >= '0' && *s->next <= '9')
		s->next++;
	return (size_t)(s->next - start);
}

static bool
scan_number(struct scan *s)
{
	const char *start = s->next;

	(void)accept(s, '-');
	if (!accept(s, '0') && skip_digits(s) == 0)
		return fail(s, "a value is missing");
	if (accept(s, '.') && skip_digits(s) == 0)
		return fail(s, "a number lacks digits after its point");
	if (accept(s, 'e') || accept(s, 'E')) {
		if (!accept(s, '+'))
			(void)accept(s, '-');
		if (skip_digits(s) == 0)
			return fail(s, "a number lacks digits in its exponent");
	}
	if (s->next - start > NUMBER_MAX)
		return fail(s, "a number of over 63 characters");
	return true;
}

/* The four hex digits after "\u". */
static bool
scan_unit(struct scan *s, unsigned *ret_unit)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	unsigned unit = 0, digit;
	const char *found;
	int i;

	for (i = 0; i < 4; i++, s->next++) {
		found = s->next < s->end && *s->next != '\0'
		    ? strchr(digits, *s->next) : NULL;
		if (found == NULL)
			return fail(s, "\\u without four hex digits");
		digit = (unsigned)(found - digits);
		unit = unit << 4 | (digit < 16 ? digit : digit - 6);
	}
	*ret_unit = unit;
	return true;
}

static bool
scan_escape(struct scan *s)
{
	unsigned unit, low;

	if (s->next == s->end || strchr("\"\\/bfnrtu", *s->next) == NULL ||
	    *s->next == '\0')
		return fail(s, "an unknown escape in a string");
	if (*s->next++ != 'u')
		return true;
	if (!scan_unit(s, &unit))
		return false;
	if (unit == 0)
		return fail(s, "\\u0000 in a string");
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	if (unit > 0xdbff || !accept(s, '\\') || !accept(s, 'u') ||
	    !scan_unit(s, &low) || low < 0xdc00 || low > 0xdfff)
		return fail(s, "half a surrogate pair in a string");
	return true;
}

static bool
scan_string(struct scan *s)
{
	size_t n;

	if (!accept(s, '"'))
		return fail(s, "a string is missing");
	while (s->next < s->end && *s->next != '"') {
		if (accept(s, '\\')) {
			if (!scan_escape(s))
				return false;
			continue;
		}
		if ((unsigned char)*s->next < 0x20)
			return fail(s, "a control byte in a string");
		n = str_utf8_char(s->next, (size_t)(s->end - s->next));
		if (n == 0)
			return fail(s, "a string that is not UTF-8");
		s->next += n;
	}
	return accept(s, '"') || fail(s, "a string without its end");
}

static bool
scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->next) < len ||
	    memcmp(s->next, word, len) != 0)
		return fail(s, "a value is missing");
	s->next += len;
	return true;
}

static bool scan_value(struct scan *s, int depth);

static bool
scan_members(struct scan *s, int depth, bool keys, char close)
{
	if (depth >= DEPTH_MAX)
		return fail(s, "deeper than 64 levels");
	s->next++;
	skip_space(s);
	if (accept(s, close))
		return true;
	do {
		skip_space(s);
		if (keys) {
			if (!scan_string(s))
				return false;
			skip_space(s);
			if (!accept(s, ':'))
				return fail(s, "\":\" is missing");
		}
		if (!scan_value(s, depth + 1))
			return false;
		skip_space(s);
	} while (accept(s, ','));
	return accept(s, close) ||
	    fail(s, "\",\" or a closing bracket is missing");
}

/* Recursion is bounded by DEPTH_MAX. */
static bool
scan_value(struct scan *s, int depth)
{
	skip_space(s);
	if (at(s, '{'))
		return scan_members(s, depth, true, '}');
	if (at(s, '['))
		return scan_members(s, depth, false, ']');
	if (at(s, '"'))
		return scan_string(s);
	if (at(s, 't'))
		return scan_word(s, "true");
	if (at(s, 'f'))
		return scan_word(s, "false");
	if (at(s, 'n'))
		return scan_word(s, "null");
	return scan_number(s);
}

static bool
scan_document(struct scan *s)
{
	if (!scan_value(s, 0))
		return false;
	skip_space(s);
	return s->next == s->end || fail(s, "text after the value");
}

/* A struct json is a cJSON under another name. */
static const cJSON *
item_of(const struct json *json)
{
	return (const cJSON *)(const void *)json;
}

static cJSON *
mutable_of(struct json *json)
{
	return (cJSON *)(void *)json;
}

static struct json *
json_of(cJSON *item)
{
	return (struct json *)(void *)item;
}

static const struct json *
const_of(const cJSON *item)
{
	return (const struct json *)(const void *)item;
}

int
json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err)
{
	struct scan scan = {text, text, text + len, NULL};
	cJSON *item;

	if (!scan_document(&scan))
		return err_set(err, ERR_INVALID, "not JSON at byte %zu: %s",
		    (size_t)(scan.next - text), scan.wrong);
	item = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
	if (item == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a document of "
		    "%zu bytes", len);
	*ret_json = json_of(item);
	return 0;
}

void
json_free(struct json **json)
{
	if (json == NULL || *json == NULL)
		return;
	cJSON_Delete(mutable_of(*json));
	*json = NULL;
}

const struct json *
json_get(const struct json *object, const char *key)
{
	if (!json_is_object(object))
		return NULL;
	return const_of(
	    cJSON_GetObjectItemCaseSensitive(item_of(object), key));
}

const struct json *
json_path(const struct json *object, const char *key1, const char *key2)
{
	return json_get(json_get(object, key1), key2);
}

const char *
json_string(const struct json *value)
{
	return cJSON_GetStringValue(item_of(value));
}

double
json_number(const struct json *value, double fallback)
{
	return json_is_number(value) ? item_of(value)->valuedouble : fallback;
}

int64_t
json_int(const struct json *value, int64_t fallback)
{
	double number = json_number(value, NAN);

	if (!(number >= -EXACT_MAX && number <= EXACT_MAX))
		return fallback;
	return (int64_t)number;
}

bool
json_is_true(const struct json *value)
{
	return cJSON_IsTrue(item_of(value));
}

bool
json_is_bool(const struct json *value)
{
	return cJSON_IsBool(item_of(value));
}

bool
json_is_number(const struct json *value)
{
	return cJSON_IsNumber(item_of(value));
}

bool
json_is_object(const struct json *value)
{
	return cJSON_IsObject(item_of(value));
}

bool
json_is_array(const struct json *value)
{
	return cJSON_IsArray(item_of(value));
}

size_t
json_count(const struct json *value)
{
	const struct json *member;
	size_t count = 0;

	for (member = json_first(value); member != NULL;
	     member = json_next(member))
		count++;
	return count;
}

const struct json *
json_first(const struct json *value)
{
	return value != NULL ? const_of(item_of(value)->child) : NULL;
}

const struct json *
json_next(const struct json *member)
{
	return member != NULL ? const_of(item_of(member)->next) : NULL;
}

const char *
json_key(const struct json *member)
{
	return member != NULL ? item_of(member)->string : NULL;
}

struct json *
json_new_object(void)
{
	return json_of(cJSON_CreateObject());
}

struct json *
json_put_object(struct json *object, const char *key)
{
	return json_of(cJSON_AddObjectToObject(mutable_of(object), key));
}

struct json *
json_put_array(struct json *object, const char *key)
{
	return json_of(cJSON_AddArrayToObject(mutable_of(object), key));
}

struct json *
json_add_object(struct json *array)
{
	cJSON *item = cJSON_CreateObject();

	if (item != NULL && !cJSON_AddItemToArray(mutable_of(array), item)) {
		cJSON_Delete(item);
		item = NULL;
	}
	return json_of(item);
}

/* A copy in which every byte that is not UTF-8 is U+FFFD; NULL without
 * memory. */
static char *
repaired(const char *value)
{
	size_t len = strlen(value), n;
	char *copy = malloc(3 * len + 1), *to = copy;

	if (copy == NULL)
		return NULL;
	for (; len > 0; value += n, len -= n) {
		n = str_utf8_char(value, len);
		memcpy(to, n > 0 ? value : "\xef\xbf\xbd", n > 0 ? n : 3);
		to += n > 0 ? n : 3;
		n = n > 0 ? n : 1;
	}
	*to = '\0';
	return copy;
}

int
json_put_string(struct json *object, const char *key, const char *value)
{
	cJSON *added;
	char *copy;

	if (value == NULL)
		return json_put_null(object, key);
	if (str_is_utf8(value, strlen(value))) {
		added = cJSON_AddStringToObject(mutable_of(object), key, value);
		return added != NULL ? 0 : -1;
	}
	copy = repaired(value);
	if (copy == NULL)
		return -1;
	added = cJSON_AddStringToObject(mutable_of(object), key, copy);
	free(copy);
	return added != NULL ? 0 : -1;
}

int
json_put_int(struct json *object, const char *key, int64_t value)
{
	char digits[24];
	cJSON *added;

	if (value > -PRINTED_MAX && value < PRINTED_MAX) {
		added = cJSON_AddNumberToObject(mutable_of(object), key,
		    (double)value);
	} else {
		(void)snprintf(digits, sizeof(digits), "%" PRId64, value);
		added = cJSON_AddRawToObject(mutable_of(object), key, digits);
	}
	return added != NULL ? 0 : -1;
}

int
json_put_bool(struct json *object, const char *key, bool value)
{
	return cJSON_AddBoolToObject(mutable_of(object), key, value) != NULL
	    ? 0 : -1;
}

int
json_put_null(struct json *object, const char *key)
{
	return cJSON_AddNullToObject(mutable_of(object), key) != NULL ? 0 : -1;
}

int
json_print(const struct json *json, struct buf *out, struct err *err)
{
	char *text = NULL;
	int rc;

	if (json != NULL)
		text = cJSON_PrintUnformatted(item_of(json));
	if (text == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a document");
	rc = buf_adds(out, text, err);
	cJSON_free(text);
	return rc;
}
