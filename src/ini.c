/*
 * The INI syntax.  Line by line through one fixed buffer; what sections and
 * keys mean is the visitor's.
 */
#include "ini.h"

#include <stdbool.h>
#include <string.h>

#include "str.h"

#define INI_LINE_MAX 4096

struct ini {
	const char *name;
	unsigned line;
	ini_visit_fn *visit;
	void *ctx;
	/* Where we are; each is a part of one line. */
	char section[INI_LINE_MAX + 1];
	char label[INI_LINE_MAX + 1];
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Take blanks from both ends, in place. */
static char *
trim(char *s)
{
	size_t len;

	while (is_blank(*s))
		s++;
	len = strlen(s);
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

static bool
is_word(const char *s)
{
	return *s != '\0' &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz"
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

static int
visit(struct ini *ini, const char *key, const char *value, struct err *err)
{
	return ini->visit(ini->ctx, ini->section, ini->label, key, value,
	    ini->line, err);
}

/* s begins with '['. */
static int
parse_section(struct ini *ini, char *s, struct err *err)
{
	char *end = strchr(s, ']'), *word, *label;

	if (end == NULL)
		return err_set(err, ERR_INVALID,
		    "a section header lacks its \"]\"");
	if (end[1] != '\0')
		return err_set(err, ERR_INVALID,
		    "text after a section header; put comments on a line of "
		    "their own");
	*end = '\0';
	word = trim(s + 1);
	label = word + strcspn(word, " \t");
	if (*label != '\0')
		*label++ = '\0';
	label = trim(label);
	if (!is_word(word))
		return err_set(err, ERR_INVALID,
		    "\"[%s]\" is not a section name", word);
	(void)str_copy(ini->section, sizeof(ini->section), word);
	(void)str_copy(ini->label, sizeof(ini->label), label);
	return visit(ini, NULL, NULL, err);
}

/* s begins with '"'; unescapes in place. */
static int
parse_quoted(char *s, struct err *err)
{
	const char *from = s + 1;
	char *to = s;

	while (*from != '\0' && *from != '"') {
		if (*from == '\\') {
			from++;
			if (*from != '"' && *from != '\\')
				return err_set(err, ERR_INVALID,
				    "in double quotes, \"\\\" stands only "
				    "before \"\\\" and a double quote");
		}
		*to++ = *from++;
	}
	if (*from == '\0')
		return err_set(err, ERR_INVALID,
		    "a value lacks its closing double quote");
	if (from[1] != '\0')
		return err_set(err, ERR_INVALID,
		    "text after the closing double quote; put comments on a "
		    "line of their own");
	*to = '\0';
	return 0;
}

static int
parse_pair(struct ini *ini, char *s, struct err *err)
{
	char *equals = strchr(s, '='), *key, *value;

	if (equals == NULL)
		return err_set(err, ERR_INVALID,
		    "neither \"[section]\" nor \"key = value\" nor a comment");
	*equals = '\0';
	key = trim(s);
	value = trim(equals + 1);
	if (!is_word(key))
		return err_set(err, ERR_INVALID, "\"%s\" is not a key", key);
	if (*value == '#' || *value == ';')
		return err_set(err, ERR_INVALID,
		    "%s: a value that begins with \"%c\" needs double quotes; "
		    "put comments on a line of their own",
		    key, *value);
	if (*value == '"' && parse_quoted(value, err) != 0)
		return err_wrap(err, "%s", key);
	return visit(ini, key, value, err);
}

static int
check_bytes(const char *text, size_t len, struct err *err)
{
	size_t i;

	if (len > INI_LINE_MAX)
		return err_set(err, ERR_INVALID, "a line over %d bytes",
		    INI_LINE_MAX);
	for (i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') ||
		    text[i] == 0x7f)
			return err_set(err, ERR_INVALID,
			    "a control byte (0x%02x) in column %zu",
			    (unsigned char)text[i], i + 1);
	if (!str_is_utf8(text, len))
		return err_set(err, ERR_INVALID, "not UTF-8");
	return 0;
}

static int
parse_line(struct ini *ini, const char *text, size_t len, struct err *err)
{
	char copy[INI_LINE_MAX + 1];
	char *s;

	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (check_bytes(text, len, err) != 0)
		return -1;
	memcpy(copy, text, len);
	copy[len] = '\0';
	s = trim(copy);
	if (*s == '\0' || *s == '#' || *s == ';')
		return 0;
	if (*s == '[')
		return parse_section(ini, s, err);
	return parse_pair(ini, s, err);
}

int
ini_parse(const char *name, const char *text, size_t len,
    ini_visit_fn *visit_fn, void *ctx, struct err *err)
{
	struct ini ini = {.name = name, .visit = visit_fn, .ctx = ctx};
	const char *newline;
	size_t line_len;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len > 0) {
		newline = memchr(text, '\n', len);
		line_len = newline != NULL ? (size_t)(newline - text) : len;
		ini.line++;
		if (parse_line(&ini, text, line_len, err) != 0)
			return err_wrap(err, "%s:%u", name, ini.line);
		line_len += newline != NULL;
		text += line_len;
		len -= line_len;
	}
	return 0;
}
