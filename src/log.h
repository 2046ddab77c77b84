/*
 * Log lines on stderr, one write(2) a line, safe from many threads.
 *
 *   logfmt  time=2026-11-22T20:25:00.000Z level=info module=capture
 *           request=… job=… msg="heap snapshot of 5 MB written" bytes=5242880
 *   json    the same members as one JSON object a line
 *
 * Whatever the text is, a line stays one line and its fields stay apart:
 * control bytes are escaped.  A line over LOG_LINE_MAX bytes is cut.  A line
 * that cannot be written is lost; the program goes on.
 */
#ifndef PODPROF_LOG_H
#define PODPROF_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_LINE_MAX 4096

/* A further member of a line; key is one of ours, value any text or NULL
 * (then the member is left out). */
struct log_field {
	const char *key;
	const char *value;
};

/* What is logged and how; before any thread is started.  Until then: info,
 * logfmt. */
void log_setup(enum log_level max_level, enum log_format format);

/*
 * The request and job that this thread works for, in every line it logs from
 * now on; NULL for none.  Copied, cut at 64 bytes.
 */
void log_bind(const char *request_id, const char *job_id);

/* The request id and the job id bound to this thread; "" if none. */
const char *log_request_id(void);
const char *log_job_id(void);

/* The format that is used, for a process that is to log as this one does. */
enum log_format log_format_used(void);

/* module: the noun of the source file. */
void log_error(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_warn(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_info(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_debug(const char *module, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * An audit line: who did what.  Always written, whatever the level; its
 * level is "audit".
 */
void log_audit(const char *what, const struct log_field *fields, size_t len);

#endif
