/*
 * JSON documents of bounded size: parse, look up, build, print.  The only
 * module that knows cJSON.  What streams (snapshots, profiles) never comes
 * here: see jsoncut.h.
 */
#ifndef PODPROF_JSON_H
#define PODPROF_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct json;	/* a value; it owns what is below it */

/*
 * Parse exactly len bytes: one value, white space around it, nothing after.
 * Duplicate keys: the first wins.
 *   ERR_INVALID  not JSON (RFC 8259), deeper than 64 levels, or with what
 *                cannot be kept here: \u0000, half a surrogate pair, a number
 *                of over 63 characters; the message has the byte's offset
 *   ERR_NOMEM
 */
MUST int json_parse(const char *text, size_t len, struct json **ret_json,
    struct err *err);
void json_free(struct json **json);

/*
 * Looking.  NULL in, or another type than asked for: NULL, false, or the
 * fallback out.  What is returned lives as long as the document.
 */
const struct json *json_get(const struct json *object, const char *key);
const struct json *json_path(const struct json *object, const char *key1,
    const char *key2);
const char *json_string(const struct json *value);
double json_number(const struct json *value, double fallback);
/* Truncated to a whole number; fallback if none, or beyond +-2^53. */
int64_t json_int(const struct json *value, int64_t fallback);
bool json_is_true(const struct json *value);
bool json_is_bool(const struct json *value);
bool json_is_number(const struct json *value);
bool json_is_object(const struct json *value);
bool json_is_array(const struct json *value);
size_t json_count(const struct json *value);	/* of an object or array */
const struct json *json_first(const struct json *value);
const struct json *json_next(const struct json *member);
const char *json_key(const struct json *member);  /* NULL in an array */

/*
 * Building.  The new value is inside its parent already; a root is freed with
 * json_free().  Without memory: NULL, or -1.  A NULL parent (from a call that
 * failed) is accepted and fails again, so a builder may check at the end.
 *
 * A string that is not UTF-8 has its wrong bytes replaced by U+FFFD.  A whole
 * number of 16 digits or more is printed exactly, but reads as no number.
 */
struct json *json_new_object(void);
struct json *json_put_object(struct json *object, const char *key);
struct json *json_put_array(struct json *object, const char *key);
struct json *json_add_object(struct json *array);
MUST int json_put_string(struct json *object, const char *key,
    const char *value);			/* value NULL: null */
MUST int json_put_int(struct json *object, const char *key, int64_t value);
MUST int json_put_bool(struct json *object, const char *key, bool value);
MUST int json_put_null(struct json *object, const char *key);

/* Append the document without white space.  ERR_NOMEM, ERR_TOO_LARGE. */
MUST int json_print(const struct json *json, struct buf *out,
    struct err *err);

#endif
