/*
 * Text from outside: strict parsing and safe printing.  Written without the
 * ctype functions and strtol, which read the locale and skip blanks.
 */
#include "str.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much of a wrong value a message repeats. */
#define SHOWN 60

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1},
};
static const struct unit duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define UNITS(a) (a), sizeof(a) / sizeof((a)[0])

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
skip_digits(const char *s)
{
	while (is_digit(*s))
		s++;
	return s;
}

/* Digits at s into *ret_value, *ret_end behind them; false if there are none
 * or the value passes max. */
static bool
scan_uint(const char *s, uint64_t max, uint64_t *ret_value,
    const char **ret_end)
{
	uint64_t value = 0, digit;

	if (!is_digit(*s))
		return false;
	for (; is_digit(*s); s++) {
		digit = (uint64_t)(*s - '0');
		if (value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	*ret_end = s;
	return true;
}

int
str_parse_int(const char *s, int64_t min, int64_t max, int64_t *ret_value,
    struct err *err)
{
	bool negative = s[0] == '-';
	uint64_t magnitude;
	const char *end;
	int64_t value;

	if (!scan_uint(s + negative, (uint64_t)INT64_MAX + negative,
		&magnitude, &end) ||
	    *end != '\0')
		goto bad;
	value = (int64_t)(negative ? 0 - magnitude : magnitude);
	if (value < min || value > max)
		goto bad;
	*ret_value = value;
	return 0;
bad:
	return err_set(err, ERR_INVALID,
	    "\"%.*s\" is not a whole number in %" PRId64 "..%" PRId64, SHOWN,
	    s, min, max);
}

/* True for [+-] digits [. digits] [e [+-] digits], with a digit before or
 * after the point. */
static bool
is_number(const char *s)
{
	const char *whole, *end;
	size_t digits;

	whole = s + (*s == '+' || *s == '-');
	end = skip_digits(whole);
	digits = (size_t)(end - whole);
	if (*end == '.') {
		whole = end + 1;
		end = skip_digits(whole);
		digits += (size_t)(end - whole);
	}
	if (digits == 0)
		return false;
	if (*end == 'e' || *end == 'E') {
		whole = end + 1;
		whole += *whole == '+' || *whole == '-';
		end = skip_digits(whole);
		if (end == whole)
			return false;
	}
	return *end == '\0';
}

int
str_parse_number(const char *s, double *ret_value, struct err *err)
{
	locale_t plain;

	if (!is_number(s))
		return err_set(err, ERR_INVALID,
		    "\"%.*s\" is not a decimal number", SHOWN, s);
	/* A point is a point, whatever locale a library may have set. */
	plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (plain == (locale_t)0)
		return err_set(err, ERR_NOMEM, "no memory for a locale");
	*ret_value = strtod_l(s, NULL, plain);
	freelocale(plain);
	return 0;
}

static bool
parse_quantity(const char *s, const struct unit *units, size_t len,
    const char *bare, bool fold, int64_t *ret_value)
{
	uint64_t number;
	const char *end;
	size_t i;

	if (!scan_uint(s, INT64_MAX, &number, &end))
		return false;
	if (*end == '\0')
		end = bare;
	for (i = 0; i < len; i++)
		if (strcmp(units[i].name, end) == 0 ||
		    (fold && strcasecmp(units[i].name, end) == 0))
			break;
	if (i == len || number > (uint64_t)(INT64_MAX / units[i].factor))
		return false;
	*ret_value = (int64_t)number * units[i].factor;
	return true;
}

int
str_parse_size(const char *s, int64_t *ret_bytes, struct err *err)
{
	if (parse_quantity(s, UNITS(size_units), "", true, ret_bytes))
		return 0;
	return err_set(err, ERR_INVALID,
	    "\"%.*s\" is not a size: a number of bytes, or one with K, M or G",
	    SHOWN, s);
}

int
str_parse_duration(const char *s, int64_t *ret_ms, struct err *err)
{
	if (parse_quantity(s, UNITS(duration_units), "s", false, ret_ms))
		return 0;
	return err_set(err, ERR_INVALID,
	    "\"%.*s\" is not a time: a number with ms, s, m, h or d", SHOWN,
	    s);
}

static void
format_quantity(int64_t value, const struct unit *units, size_t len,
    const char *zero, char out[STR_QUANTITY_MAX])
{
	size_t i;

	if (value == 0) {
		(void)snprintf(out, STR_QUANTITY_MAX, "0%s", zero);
		return;
	}
	for (i = 0; i + 1 < len && value % units[i].factor != 0; i++)
		;
	(void)snprintf(out, STR_QUANTITY_MAX, "%" PRId64 "%s",
	    value / units[i].factor, units[i].name);
}

void
str_format_size(int64_t bytes, char out[STR_QUANTITY_MAX])
{
	format_quantity(bytes, UNITS(size_units), "", out);
}

void
str_format_duration(int64_t ms, char out[STR_QUANTITY_MAX])
{
	format_quantity(ms, UNITS(duration_units), "s", out);
}

bool
str_is_name(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz"
			       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len >= 1 && len <= STR_NAME_MAX && s[len] == '\0';
}

/* What may follow each first byte (RFC 3629, 4): only the second byte's
 * range differs; it keeps out overlong forms, surrogates and what is beyond
 * U+10FFFF. */
size_t
str_utf8_char(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t need, i;

	if (len == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	need = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	if (u[0] == 0xe0)
		low = 0xa0;
	else if (u[0] == 0xed)
		high = 0x9f;
	else if (u[0] == 0xf0)
		low = 0x90;
	else if (u[0] == 0xf4)
		high = 0x8f;
	if (len < need || u[1] < low || u[1] > high)
		return 0;
	for (i = 2; i < need; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	return need;
}

bool
str_is_utf8(const char *s, size_t len)
{
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = str_utf8_char(s, len);
		if (n == 0)
			return false;
	}
	return true;
}

size_t
str_put_utf8(uint32_t point, char out[STR_UTF8_MAX])
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

void
str_hex(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *u = data;
	size_t i;

	for (i = 0; i < len; i++) {
		out[2 * i] = digits[u[i] >> 4];
		out[2 * i + 1] = digits[u[i] & 15];
	}
	out[2 * len] = '\0';
}

int
str_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
str_unhex(const char *hex, size_t len, void *out)
{
	unsigned char *bytes = out;
	size_t i;

	for (i = 0; i < 2 * len; i++)
		if (str_hex_digit(hex[i]) < 0)
			return false;
	for (i = 0; i < len; i++)
		bytes[i] = (unsigned char)(
		    (unsigned)str_hex_digit(hex[2 * i]) << 4 |
		    (unsigned)str_hex_digit(hex[2 * i + 1]));
	return true;
}

bool
str_is_hex(const char *s, size_t len)
{
	return strspn(s, "0123456789abcdef") == len && s[len] == '\0';
}

static bool
is_control(const char *s, size_t char_len)
{
	unsigned char first = (unsigned char)s[0];

	/* The C1 controls are two bytes in UTF-8; U+009B starts a terminal's
	 * command as ESC [ does. */
	return first < 0x20 || first == 0x7f ||
	    (char_len == 2 && first == 0xc2 && (unsigned char)s[1] < 0xa0);
}

int
str_escape(struct buf *out, const char *s, struct err *err)
{
	size_t len = strlen(s), n, i;

	for (; len > 0; s += n, len -= n) {
		n = str_utf8_char(s, len);
		if (n > 0 && !is_control(s, n)) {
			if ((*s == '"' || *s == '\\') &&
			    buf_addc(out, '\\', err) != 0)
				return -1;
			if (buf_add(out, s, n, err) != 0)
				return -1;
			continue;
		}
		n = n == 0 ? 1 : n;
		for (i = 0; i < n; i++)
			if (buf_addf(out, err, "\\x%02x",
				(unsigned char)s[i]) != 0)
				return -1;
	}
	return 0;
}

bool
str_is_visible(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= 0x20 || *s >= 0x7f)
			return false;
	return true;
}

bool
str_copy(char *out, size_t size, const char *s)
{
	size_t len = strnlen(s, size);
	bool whole = len < size;

	if (!whole)
		len = size - 1;
	memcpy(out, s, len);
	out[len] = '\0';
	return whole;
}

bool
str_take_int(const char *s, int64_t *ret_number, const char **ret_rest)
{
	const char *at = s;
	int64_t number = 0;
	int digit;

	for (; *at >= '0' && *at <= '9'; at++) {
		digit = *at - '0';
		if (number > (INT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (at == s)
		return false;
	*ret_number = number;
	*ret_rest = at;
	return true;
}
