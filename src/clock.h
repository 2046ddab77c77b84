/*
 * Time: the wall clock in milliseconds since 1970 (UTC), which is what the
 * database keeps, and a monotonic clock for deadlines.
 */
#ifndef PODPROF_CLOCK_H
#define PODPROF_CLOCK_H

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

#endif
