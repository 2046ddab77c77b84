/*
 * Time: the wall clock in milliseconds since 1970 (UTC), which is what the
 * database keeps, and a monotonic clock for deadlines.
 */
#ifndef PODPROF_CLOCK_H
#define PODPROF_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_utc_ms(void);
int64_t clock_mono_ms(void);

/* "2026-11-22T20:25:00.000Z" (RFC 3339). */
#define CLOCK_RFC3339_MAX 32
void clock_format_rfc3339(int64_t utc_ms, char out[CLOCK_RFC3339_MAX]);

/* "20261122T202500Z" (ISO 8601 basic), for file names. */
#define CLOCK_COMPACT_MAX 24
void clock_format_compact(int64_t utc_ms, char out[CLOCK_COMPACT_MAX]);

/* "Sun, 22 Nov 2026 20:25:00 GMT" (RFC 9110, 5.6.7). */
#define CLOCK_HTTP_MAX 32
void clock_format_http(int64_t utc_ms, char out[CLOCK_HTTP_MAX]);

/*
 * Read an HTTP date, all of s, in any of its three forms (RFC 9110, 5.6.7):
 *
 *	Sun, 06 Nov 1994 08:49:37 GMT
 *	Sunday, 06-Nov-94 08:49:37 GMT	a year at most 50 years from now
 *	Sun Nov  6 08:49:37 1994
 *
 * Letters in just this case.  The day must exist; which day of the week it was
 * is not looked at.  Second 60, a leap second, is the next minute's first.
 *
 * ret_utc_ms  whole seconds; negative before 1970.
 *
 * False if it is no such date.
 */
bool clock_parse_http(const char *s, int64_t *ret_utc_ms);

#endif
