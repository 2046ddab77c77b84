/*
 * Log lines on stderr.  A line is made in one fixed buffer, without memory of
 * its own, and goes out by one write(2): lines of threads and processes that
 * share stderr do not mix, and running out of memory can still be logged.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

#define BOUND_MAX 65

static struct {
	enum log_level max_level;
	enum log_format format;
} sink = {LOG_INFO, LOG_LOGFMT};

static _Thread_local char bound_request[BOUND_MAX];
static _Thread_local char bound_job[BOUND_MAX];

/* What always fits after a value that was cut: "..." and a quote, a brace,
 * the newline. */
#define TAIL 8
/* A member is begun only with room for a few bytes of its value. */
#define VALUE_MIN 16

struct line {
	enum log_format format;
	size_t len;
	char data[LOG_LINE_MAX];
};

void
log_setup(enum log_level max_level, enum log_format format)
{
	sink.max_level = max_level;
	sink.format = format;
}

void
log_bind(const char *request_id, const char *job_id)
{
	(void)str_copy(bound_request, sizeof(bound_request),
	    request_id != NULL ? request_id : "");
	(void)str_copy(bound_job, sizeof(bound_job),
	    job_id != NULL ? job_id : "");
}

const char *
log_request_id(void)
{
	return bound_request;
}

const char *
log_job_id(void)
{
	return bound_job;
}

enum log_format
log_format_used(void)
{
	return sink.format;
}

static bool
line_fits(const struct line *line, size_t len)
{
	return line->len + len + TAIL <= LOG_LINE_MAX;
}

/* For what is known to fit: members' frames and the tail. */
static void
line_put(struct line *line, const char *data, size_t len)
{
	memcpy(line->data + line->len, data, len);
	line->len += len;
}

/* The character at s as it stands between quotes, NUL-terminated; returns how
 * many bytes of s it was. */
#define ESCAPED_MAX 12
static size_t
escape_char(enum log_format format, const char *s, size_t len,
    char out[ESCAPED_MAX])
{
	size_t n = str_utf8_char(s, len);
	unsigned char first = (unsigned char)s[0];
	unsigned char last = (unsigned char)s[n > 0 ? n - 1 : 0];
	bool c1 = n == 2 && first == 0xc2 && last < 0xa0;

	if (n == 0 && format == LOG_JSON)
		(void)snprintf(out, ESCAPED_MAX, "\\ufffd");
	else if (n == 1 && (first == '"' || first == '\\'))
		(void)snprintf(out, ESCAPED_MAX, "\\%c", first);
	else if (c1 && format == LOG_LOGFMT)
		(void)snprintf(out, ESCAPED_MAX, "\\xc2\\x%02x", last);
	else if (n == 0 || first < 0x20 || first == 0x7f || c1)
		(void)snprintf(out, ESCAPED_MAX,
		    format == LOG_JSON ? "\\u00%02x" : "\\x%02x", last);
	else
		(void)snprintf(out, ESCAPED_MAX, "%.*s", (int)n, s);
	return n == 0 ? 1 : n;
}

/* Logfmt leaves the quotes out where nothing could be misread. */
static bool
is_plain(const char *value)
{
	return value[0] != '\0' && str_is_visible(value) &&
	    strpbrk(value, "\"\\=") == NULL;
}

static void
line_put_value(struct line *line, const char *value, bool quoted)
{
	size_t len = strlen(value), used, n;
	char escaped[ESCAPED_MAX];

	if (quoted)
		line_put(line, "\"", 1);
	for (; len > 0; value += used, len -= used) {
		used = escape_char(line->format, value, len, escaped);
		n = strlen(escaped);
		if (!line_fits(line, n)) {
			line_put(line, "...", 3);
			break;
		}
		line_put(line, escaped, n);
	}
	if (quoted)
		line_put(line, "\"", 1);
}

static void
line_put_member(struct line *line, const char *key, const char *value)
{
	size_t key_len = strlen(key);
	bool json = line->format == LOG_JSON;

	if (value == NULL || !line_fits(line, key_len + VALUE_MIN))
		return;
	if (line->len > 0)
		line_put(line, json ? "," : " ", 1);
	if (json)
		line_put(line, line->len == 0 ? "{\"" : "\"",
		    line->len == 0 ? 2 : 1);
	line_put(line, key, key_len);
	line_put(line, json ? "\":" : "=", json ? 2 : 1);
	line_put_value(line, value,
	    json || strcmp(key, "msg") == 0 || !is_plain(value));
}

static void
line_begin(struct line *line, const char *level, const char *module)
{
	char now[CLOCK_RFC3339_MAX];

	line->format = sink.format;
	line->len = 0;
	clock_format_rfc3339(clock_utc_ms(), now);
	line_put_member(line, "time", now);
	line_put_member(line, "level", level);
	line_put_member(line, "module", module);
	line_put_member(line, "request",
	    bound_request[0] != '\0' ? bound_request : NULL);
	line_put_member(line, "job", bound_job[0] != '\0' ? bound_job : NULL);
}

static void
line_end(struct line *line)
{
	ssize_t n;

	line_put(line, line->format == LOG_JSON ? "}\n" : "\n",
	    line->format == LOG_JSON ? 2 : 1);
	do
		n = write(STDERR_FILENO, line->data, line->len);
	while (n < 0 && errno == EINTR);
}

static void
log_message(enum log_level level, const char *level_name, const char *module,
    const char *fmt, va_list ap)
{
	int saved = errno;
	char text[LOG_LINE_MAX];
	struct line line;

	if (level > sink.max_level)
		return;
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	line_begin(&line, level_name, module);
	line_put_member(&line, "msg", text);
	line_end(&line);
	errno = saved;
}

void
log_error(const char *module, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_ERROR, "error", module, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *module, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_WARN, "warn", module, fmt, ap);
	va_end(ap);
}

void
log_info(const char *module, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_INFO, "info", module, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *module, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_message(LOG_DEBUG, "debug", module, fmt, ap);
	va_end(ap);
}

void
log_audit(const char *what, const struct log_field *fields, size_t len)
{
	int saved = errno;
	struct line line;
	size_t i;

	line_begin(&line, "audit", "audit");
	line_put_member(&line, "msg", what);
	for (i = 0; i < len; i++)
		line_put_member(&line, fields[i].key, fields[i].value);
	line_end(&line);
	errno = saved;
}
