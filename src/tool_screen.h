/*
 * What the tool's commands put on a terminal, or into a file: text that cannot
 * harm either, numbers and times for people, tables that fit, a bar.
 *
 * Whatever a service, an app or a file says may be hostile.  It goes out
 * clean: control bytes, what is not UTF-8, and characters that are not seen but
 * turn or hide others as \xNN, byte by byte.
 */
#ifndef PODPROF_TOOL_SCREEN_H
#define PODPROF_TOOL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"
#include "err.h"

struct tool_screen {
	FILE *stream;
	bool is_terminal;
	bool can_draw;		/* a line can be drawn anew: not TERM=dumb */
	bool has_colour;	/* the same, and NO_COLOR is not set */
};

/* Look at what the stream leads to, and at TERM and NO_COLOR. */
void tool_screen_init(struct tool_screen *screen, FILE *stream);

/* Its columns at this moment; 0: it is no terminal, and as wide as wanted. */
size_t tool_screen_width(const struct tool_screen *screen);

/* Print text clean. */
void tool_put_text(FILE *stream, const char *text);

/* Append text clean, which changes nothing where it is so already.
 * ERR_NOMEM, ERR_TOO_LARGE. */
MUST int tool_clean(const char *text, struct buf *out, struct err *err);

/* The columns that clean text takes on a terminal. */
size_t tool_columns(const char *clean);

/* Bytes of the beginning of clean text that takes at most so many columns. */
size_t tool_cut(const char *clean, size_t columns);

/* Numbers for people.  A negative one is not known: "-". */
#define TOOL_NUMBER_MAX 32
void tool_format_bytes(int64_t bytes, char out[TOOL_NUMBER_MAX]);
						/* "999", "1.5K", "270M" */
void tool_format_ms(int64_t ms, char out[TOOL_NUMBER_MAX]);
				/* "120ms", "3.2s", "4m05s", "2h03m" */
void tool_format_left(int64_t ms, char out[TOOL_NUMBER_MAX]);
				/* "0:12", "12:05", "1:02:03" */

/* Any number, its thousands apart: "503,269", "-1,000"; with "+" before what
 * is not negative, if asked for. */
void tool_format_count(int64_t n, bool with_sign, char out[TOOL_NUMBER_MAX]);

/* A time of day in the local zone: "20:25:03" on the day of now_ms, "Nov 22
 * 20:25" in its half year, else "2026-11-22".  Negative: "-". */
void tool_format_time(int64_t utc_ms, int64_t now_ms,
    char out[TOOL_NUMBER_MAX]);

/* "2026-11-22T20:25:00.000Z" (RFC 3339, UTC) in ms since 1970; -1 for NULL and
 * what is not of this form. */
int64_t tool_parse_time(const char *text);

/* "label      text", its lines broken between words where the screen is
 * narrow.  Nothing for NULL. */
#define TOOL_LABEL_COLUMNS 11
void tool_put_field(const struct tool_screen *screen, const char *label,
    const char *text);

/* Tables. */
enum tool_colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_BUSY };

struct tool_column {
	const char *title;
	size_t min;		/* columns that it can be cut down to; 0: it
				 * cannot be cut */
	int rank;		/* what goes first where there is no room: the
				 * highest; 0: never */
	bool is_right;		/* numbers */
	bool is_bare;		/* a beginning of it is as good: no ".." */
};
#define TOOL_COLUMNS_MAX 12

/*
 * Rows of cells; printed under the titles.  On a terminal a column with a rank
 * is left out where all of it is empty; where it is too narrow the columns that
 * can are cut, the bare ones first, and then those of the highest rank left
 * out.  On anything else every cell is there, and whole.
 */
struct tool_table;

/* columns  borrowed for the table's life; 1..TOOL_COLUMNS_MAX.  ERR_NOMEM. */
MUST int tool_table_new(const struct tool_column *columns, size_t columns_len,
    struct tool_table **ret_table, struct err *err);
void tool_table_free(struct tool_table **table);

/* The next cell; after the last of a row comes the first of the next.  An empty
 * one is "".  ERR_NOMEM, ERR_TOO_LARGE. */
MUST int tool_table_add(struct tool_table *table, enum tool_colour colour,
    const char *text, struct err *err);

/* Print it; width as of tool_screen_width(). */
void tool_table_print(const struct tool_table *table,
    const struct tool_screen *screen, size_t width);

/* How far something is.  Numbers that are not known are negative. */
struct tool_bar {
	const char *what;	/* "writing" */
	int64_t done;		/* of total */
	int64_t total;
	bool is_estimated;	/* total is: marked with ~ */
	int64_t bytes;		/* so far */
	int64_t left_ms;
	int64_t freeze_ms;	/* that an app stood still */
	bool is_frozen;		/* it still does */
};

/*
 * Draw it as one line of at most so many columns, without its end:
 *
 *	writing    [=========>          ]  45%  121M  0:12 left  frozen 3.2s
 *
 * Where there is no room the bar goes first, then bytes, time left, freeze.
 */
#define TOOL_BAR_MAX 256
void tool_draw_bar(const struct tool_bar *bar, size_t columns,
    char out[TOOL_BAR_MAX]);

#endif
