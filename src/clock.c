/*
 * Time, and its three spellings.  No locale and no time zone is read: names
 * of days and months are those of the RFCs.
 */
#include "clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

/* 9999-12-31T23:59:59.999Z: four digits of a year are what the formats have
 * room for. */
#define UTC_MS_MAX 253402300799999

static int64_t
read_ms(clockid_t id)
{
	struct timespec now;
	int rc = clock_gettime(id, &now);

	assert(rc == 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_utc_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

int64_t
clock_mono_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

/* Broken down; what is before 1970 or after 9999 becomes the nearest. */
static int64_t
break_down(int64_t utc_ms, struct tm *tm)
{
	time_t seconds;

	if (utc_ms < 0)
		utc_ms = 0;
	if (utc_ms > UTC_MS_MAX)
		utc_ms = UTC_MS_MAX;
	seconds = (time_t)(utc_ms / 1000);
	if (gmtime_r(&seconds, tm) == NULL)
		assert(!"every second until 9999 has a date");
	return utc_ms % 1000;
}

void
clock_format_rfc3339(int64_t utc_ms, char out[CLOCK_RFC3339_MAX])
{
	struct tm tm;
	int64_t ms = break_down(utc_ms, &tm);
	size_t len;

	len = strftime(out, CLOCK_RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + len, CLOCK_RFC3339_MAX - len, ".%03dZ", (int)ms);
}

void
clock_format_compact(int64_t utc_ms, char out[CLOCK_COMPACT_MAX])
{
	struct tm tm;

	(void)break_down(utc_ms, &tm);
	(void)strftime(out, CLOCK_COMPACT_MAX, "%Y%m%dT%H%M%SZ", &tm);
}

void
clock_format_http(int64_t utc_ms, char out[CLOCK_HTTP_MAX])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu",
	    "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	char rest[CLOCK_HTTP_MAX / 2];
	struct tm tm;
	int n;

	(void)break_down(utc_ms, &tm);
	(void)strftime(rest, sizeof(rest), "%Y %H:%M:%S", &tm);
	n = snprintf(out, CLOCK_HTTP_MAX, "%s, %02d %s %s GMT",
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], rest);
	assert(n > 0 && n < CLOCK_HTTP_MAX);
}
