/*
 * Text from outside: strict parsing and safe printing.  No locale is read.
 */
#ifndef PODPROF_STR_H
#define PODPROF_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/*
 * Parse a whole string as a decimal integer in min..max: an optional '-',
 * then digits, nothing else.  ERR_INVALID names the text and the range.
 */
MUST int str_parse_int(const char *s, int64_t min, int64_t max,
    int64_t *ret_value, struct err *err);

/*
 * Parse a decimal number with optional sign, fraction and exponent, nothing
 * before or after it ("2e3", "-1.5", "+5.").  No hex, no "inf", no "nan";
 * a magnitude beyond double becomes +-HUGE_VAL.  ERR_INVALID else.
 */
MUST int str_parse_number(const char *s, double *ret_value, struct err *err);

/*
 * Parse a size in bytes: digits, then nothing or one of K M G (either case,
 * powers of 1024), e.g. "256M".  ERR_INVALID if malformed or over INT64_MAX.
 */
MUST int str_parse_size(const char *s, int64_t *ret_bytes, struct err *err);

/*
 * Parse a time in milliseconds: digits, then one of ms s m h d, e.g. "30m";
 * a bare number counts seconds.  ERR_INVALID if malformed or over INT64_MAX.
 */
MUST int str_parse_duration(const char *s, int64_t *ret_ms, struct err *err);

/* Print with the largest unit that divides it: "256M", "30m", "1500ms". */
#define STR_QUANTITY_MAX 24
void str_format_size(int64_t bytes, char out[STR_QUANTITY_MAX]);
void str_format_duration(int64_t ms, char out[STR_QUANTITY_MAX]);

/* 1..64 bytes of letters, digits, '.', '_', '-': an app or token name. */
#define STR_NAME_MAX 64
bool str_is_name(const char *s);

/* Bytes (1..4) of the well-formed UTF-8 character (RFC 3629) that the len
 * bytes at s begin with; 0 if they begin with none. */
size_t str_utf8_char(const char *s, size_t len);

/* Write a code point, at most U+10FFFF and no surrogate, as UTF-8 (RFC 3629),
 * without a NUL; its bytes. */
#define STR_UTF8_MAX 4
size_t str_put_utf8(uint32_t point, char out[STR_UTF8_MAX]);

/* True for text that is well-formed UTF-8 (RFC 3629) of len bytes. */
bool str_is_utf8(const char *s, size_t len);

/* Lower-case hex of len bytes; out has room for 2 * len + 1. */
void str_hex(const void *data, size_t len, char *out);

/* True for exactly len lower-case hex digits. */
bool str_is_hex(const char *s, size_t len);

/* 0..15 for a hex digit of either case; -1 for any other byte. */
int str_hex_digit(char c);

/* The bytes of 2 * len hex digits; false, and out as it was, if there is
 * another byte among them. */
bool str_unhex(const char *hex, size_t len, void *out);

/*
 * Append s with every byte that could end a line, forge a field or reach a
 * terminal escaped: control bytes, DEL, the C1 controls (U+0080..U+009F) and
 * bytes that are not UTF-8 become \xNN, '"' and '\' get a '\'.  On failure
 * (ERR_TOO_LARGE, ERR_NOMEM) out may have got a part.
 */
MUST int str_escape(struct buf *out, const char *s, struct err *err);

/* True if every byte of s is in the set of visible ASCII (0x21..0x7e). */
bool str_is_visible(const char *s);

/*
 * Read a decimal number of digits alone, 0..INT64_MAX; *ret_rest is what
 * follows.  False, and nothing is set, where there is none.
 */
bool str_take_int(const char *s, int64_t *ret_number, const char **ret_rest);

/* Copy at most size - 1 bytes and a NUL; true if s fitted whole. */
bool str_copy(char *out, size_t size, const char *s);

#endif
