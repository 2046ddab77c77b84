/*
 * Time, and its three spellings.  No locale and no time zone is read: names
 * of days and months are those of the RFCs.
 */
#include "clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 9999-12-31T23:59:59.999Z: four digits of a year are what the formats have
 * room for. */
#define UTC_MS_MAX 253402300799999

static const char *const days[7] = { "Sunday", "Monday", "Tuesday",
	"Wednesday", "Thursday", "Friday", "Saturday" };
static const char *const months[12] = { "Jan", "Feb", "Mar", "Apr", "May",
	"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
/* Letters of a short name. */
#define SHORT_LEN 3

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
	char rest[CLOCK_HTTP_MAX / 2];
	struct tm tm;
	int n;

	(void)break_down(utc_ms, &tm);
	(void)strftime(rest, sizeof(rest), "%Y %H:%M:%S", &tm);
	n = snprintf(out, CLOCK_HTTP_MAX, "%.*s, %02d %s %s GMT", SHORT_LEN,
	    days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], rest);
	assert(n > 0 && n < CLOCK_HTTP_MAX);
}

/* Read a text at *s, and go past it. */
static bool
take(const char **s, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*s, text, len) != 0)
		return false;
	*s += len;
	return true;
}

static bool
take_digits(const char **s, int count, int *ret_number)
{
	int number = 0;

	for (; count > 0; count--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		number = number * 10 + (**s - '0');
	}
	*ret_number = number;
	return true;
}

static bool
take_month(const char **s, struct tm *tm)
{
	for (tm->tm_mon = 0; tm->tm_mon < 12; tm->tm_mon++) {
		if (take(s, months[tm->tm_mon]))
			return true;
	}
	return false;
}

static bool
take_time(const char **s, struct tm *tm)
{
	return take_digits(s, 2, &tm->tm_hour) && tm->tm_hour < 24 &&
	    take(s, ":") && take_digits(s, 2, &tm->tm_min) &&
	    tm->tm_min < 60 && take(s, ":") &&
	    take_digits(s, 2, &tm->tm_sec) && tm->tm_sec <= 60;
}

/* " 06 Nov 1994 08:49:37 GMT" */
static bool
take_fixdate(const char **s, struct tm *tm, int *year)
{
	return take(s, " ") && take_digits(s, 2, &tm->tm_mday) &&
	    take(s, " ") && take_month(s, tm) && take(s, " ") &&
	    take_digits(s, 4, year) && take(s, " ") && take_time(s, tm) &&
	    take(s, " GMT");
}

/* " 06-Nov-94 08:49:37 GMT" */
static bool
take_rfc850(const char **s, struct tm *tm, int *year)
{
	return take(s, " ") && take_digits(s, 2, &tm->tm_mday) &&
	    take(s, "-") && take_month(s, tm) && take(s, "-") &&
	    take_digits(s, 2, year) && take(s, " ") && take_time(s, tm) &&
	    take(s, " GMT");
}

/* " Nov  6 08:49:37 1994" */
static bool
take_asctime(const char **s, struct tm *tm, int *year)
{
	return take(s, " ") && take_month(s, tm) && take(s, " ") &&
	    take_digits(s, take(s, " ") ? 1 : 2, &tm->tm_mday) &&
	    take(s, " ") && take_time(s, tm) && take(s, " ") &&
	    take_digits(s, 4, year);
}

/* In which century a year of two digits makes a date: the last one in which
 * it is not over 50 years from now. */
static int
find_year(const struct tm *date, int year_of_century)
{
	struct tm limit, tm;
	int year;

	(void)break_down(clock_utc_ms(), &limit);
	limit.tm_year += 50;
	year = (limit.tm_year + 1900) / 100 * 100 + year_of_century;
	tm = *date;
	tm.tm_year = year - 1900;
	return timegm(&tm) > timegm(&limit) ? year - 100 : year;
}

/* Put a date together that may be one that never was. */
static bool
put_together(const struct tm *date, int year, int64_t *ret_utc_ms)
{
	struct tm day = { .tm_year = year - 1900, .tm_mon = date->tm_mon,
		.tm_mday = date->tm_mday };
	int64_t midnight = timegm(&day);
	int seconds = (date->tm_hour * 60 + date->tm_min) * 60 + date->tm_sec;

	/* Normalized: February 30 has become a day of March. */
	if (day.tm_mday != date->tm_mday)
		return false;
	*ret_utc_ms = (midnight + seconds) * 1000;
	return true;
}

bool
clock_parse_http(const char *s, int64_t *ret_utc_ms)
{
	struct tm tm = { .tm_mday = 0 };
	int year, i;
	bool ok;

	for (i = 0; i < 7; i++) {
		if (strncmp(s, days[i], SHORT_LEN) == 0)
			break;
	}
	if (i == 7)
		return false;
	if (take(&s, days[i])) {
		ok = take(&s, ",") && take_rfc850(&s, &tm, &year);
		if (ok)
			year = find_year(&tm, year);
	} else {
		s += SHORT_LEN;
		ok = take(&s, ",") ? take_fixdate(&s, &tm, &year) :
		    take_asctime(&s, &tm, &year);
	}
	return ok && *s == '\0' && put_together(&tm, year, ret_utc_ms);
}
