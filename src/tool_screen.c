/*
 * The tool's output for people.  No locale is read: text is UTF-8 on the way in
 * and out, whatever the terminal's own is.
 */
#include "tool_screen.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "str.h"

#define TABLE_TEXT_MAX (64 << 20)	/* bytes of all cells */
#define GAP 2				/* columns between two of a table */
#define BAR_MIN 10			/* a narrower one says nothing */
#define BAR_COLUMNS_MAX 40
#define WHAT_COLUMNS 10
#define PERCENT_COLUMNS 4
#define FIELD_COLUMNS 22		/* of a screen on which lines break */

struct range {
	uint32_t first, last;
};

/* Not seen, but they turn the direction of what follows, join or hide it. */
static const struct range hidden[] = {
	{0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},
	{0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
	{0xe0000, 0xe0fff},
};

/* Over the character before. */
static const struct range combining[] = {
	{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd}, {0x610, 0x61a},
	{0x64b, 0x65f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff},
	{0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
};

/* Two columns each (Unicode, East Asian Width: W and F). */
static const struct range wide[] = {
	{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf}, {0xa960, 0xa97f},
	{0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60},
	{0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
	{0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};
#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_in(const struct range *ranges, size_t len, uint32_t point)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	return false;
}

/* The code point of a well-formed character of n bytes. */
static uint32_t
decode(const char *s, size_t n)
{
	static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t point = (unsigned char)s[0] & masks[n];
	size_t i;

	for (i = 1; i < n; i++)
		point = point << 6 | ((unsigned char)s[i] & 0x3f);
	return point;
}

/* Bytes of the character that text begins with, if it may go out as it is;
 * else 0. */
static size_t
harmless_char(const char *text, size_t len)
{
	size_t n = str_utf8_char(text, len);
	uint32_t point;

	if (n == 0)
		return 0;
	point = decode(text, n);
	if (point < 0x20 || (point >= 0x7f && point < 0xa0) ||
	    is_in(hidden, LEN(hidden), point))
		return 0;
	return n;
}

void
tool_put_text(FILE *stream, const char *text)
{
	size_t len = strlen(text), n;

	for (; len > 0; text += n, len -= n) {
		n = harmless_char(text, len);
		if (n > 0) {
			(void)fwrite(text, 1, n, stream);
		} else {
			(void)fprintf(stream, "\\x%02x", (unsigned char)*text);
			n = 1;
		}
	}
}

int
tool_clean(const char *text, struct buf *out, struct err *err)
{
	size_t len = strlen(text), n;

	for (; len > 0; text += n, len -= n) {
		n = harmless_char(text, len);
		if (n > 0 ? buf_add(out, text, n, err) != 0 :
		    buf_addf(out, err, "\\x%02x", (unsigned char)*text) != 0)
			return -1;
		if (n == 0)
			n = 1;
	}
	return 0;
}

/* *ret_columns of the character at text, which is clean; its bytes. */
static size_t
measure(const char *text, size_t *ret_columns)
{
	size_t n = str_utf8_char(text, strlen(text));
	uint32_t point;

	if (n == 0)
		n = 1;
	point = decode(text, n);
	*ret_columns = is_in(combining, LEN(combining), point) ? 0 :
	    is_in(wide, LEN(wide), point) ? 2 : 1;
	return n;
}

size_t
tool_columns(const char *clean)
{
	size_t columns = 0, here;

	while (*clean != '\0') {
		clean += measure(clean, &here);
		columns += here;
	}
	return columns;
}

/* *ret_used: the columns that they really take. */
static size_t
cut(const char *clean, size_t columns, size_t *ret_used)
{
	size_t used = 0, at = 0, here, n;

	while (clean[at] != '\0') {
		n = measure(clean + at, &here);
		if (used + here > columns)
			break;
		used += here;
		at += n;
	}
	*ret_used = used;
	return at;
}

size_t
tool_cut(const char *clean, size_t columns)
{
	size_t used;

	return cut(clean, columns, &used);
}

void
tool_screen_init(struct tool_screen *screen, FILE *stream)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	screen->stream = stream;
	screen->is_terminal = isatty(fileno(stream)) == 1;
	screen->can_draw = screen->is_terminal && term != NULL &&
	    term[0] != '\0' && strcmp(term, "dumb") != 0;
	screen->has_colour = screen->can_draw &&
	    (no_colour == NULL || no_colour[0] == '\0');
}

size_t
tool_screen_width(const struct tool_screen *screen)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int64_t given;

	if (!screen->is_terminal)
		return 0;
	if (ioctl(fileno(screen->stream), TIOCGWINSZ, &size) == 0 &&
	    size.ws_col > 0)
		return size.ws_col;
	if (columns != NULL &&
	    str_parse_int(columns, 1, 10000, &given, NULL) == 0)
		return (size_t)given;
	return 80;
}

static void
put_unknown(char out[TOOL_NUMBER_MAX])
{
	memcpy(out, "-", 2);
}

void
tool_format_bytes(int64_t bytes, char out[TOOL_NUMBER_MAX])
{
	static const char units[] = " KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 0) {
		put_unknown(out);
		return;
	}
	/* What would be printed as 1024 is 1.0 of the next. */
	while (value >= 1023.5 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64, bytes);
	else
		(void)snprintf(out, TOOL_NUMBER_MAX, "%.*f%c",
		    value < 9.95 ? 1 : 0, value, units[unit]);
}

void
tool_format_ms(int64_t ms, char out[TOOL_NUMBER_MAX])
{
	const int64_t s = ms / 1000;

	if (ms < 0)
		put_unknown(out);
	else if (ms < 1000)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 "ms", ms);
	else if (ms < 60000)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 ".%" PRId64
		    "s", s, ms % 1000 / 100);
	else if (ms < 3600000)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 "m%02" PRId64
		    "s", s / 60, s % 60);
	else
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 "h%02" PRId64
		    "m", s / 3600, s / 60 % 60);
}

void
tool_format_left(int64_t ms, char out[TOOL_NUMBER_MAX])
{
	/* It is not over before it is over. */
	const int64_t s = ms / 1000 + (ms % 1000 > 0 ? 1 : 0);

	if (ms < 0)
		put_unknown(out);
	else if (s < 3600)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 ":%02" PRId64,
		    s / 60, s % 60);
	else
		(void)snprintf(out, TOOL_NUMBER_MAX, "%" PRId64 ":%02" PRId64
		    ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
}

void
tool_format_count(int64_t n, bool with_sign, char out[TOOL_NUMBER_MAX])
{
	uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
	char reversed[TOOL_NUMBER_MAX];
	size_t len = 0, digits = 0, i;

	do {
		if (digits > 0 && digits % 3 == 0)
			reversed[len++] = ',';
		reversed[len++] = (char)('0' + rest % 10);
		digits++;
		rest /= 10;
	} while (rest > 0);
	if (n < 0 || with_sign)
		reversed[len++] = n < 0 ? '-' : '+';
	for (i = 0; i < len; i++)
		out[i] = reversed[len - 1 - i];
	out[len] = '\0';
}

void
tool_format_time(int64_t utc_ms, int64_t now_ms, char out[TOOL_NUMBER_MAX])
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
	    "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const int64_t half_year_ms = (int64_t)183 * 24 * 3600 * 1000;
	const time_t then = utc_ms / 1000, now = now_ms / 1000;
	const int64_t age_ms = now_ms - utc_ms;
	struct tm day, today;

	if (utc_ms < 0 || localtime_r(&then, &day) == NULL ||
	    localtime_r(&now, &today) == NULL)
		put_unknown(out);
	else if (day.tm_year == today.tm_year && day.tm_yday == today.tm_yday)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%02d:%02d:%02d",
		    day.tm_hour, day.tm_min, day.tm_sec);
	else if (age_ms < half_year_ms && age_ms > -half_year_ms)
		(void)snprintf(out, TOOL_NUMBER_MAX, "%s %2d %02d:%02d",
		    months[day.tm_mon], day.tm_mday, day.tm_hour, day.tm_min);
	else
		(void)snprintf(out, TOOL_NUMBER_MAX, "%04d-%02d-%02d",
		    day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

/* *at is moved behind a number of so many digits and what follows it. */
static bool
take_digits(const char **at, int digits, char end, int *ret_number)
{
	int number = 0, i;

	for (i = 0; i < digits; i++) {
		if ((*at)[i] < '0' || (*at)[i] > '9')
			return false;
		number = number * 10 + ((*at)[i] - '0');
	}
	if ((*at)[digits] != end)
		return false;
	*at += digits + 1;
	*ret_number = number;
	return true;
}

int64_t
tool_parse_time(const char *text)
{
	struct tm tm = {0};
	int ms;

	if (text == NULL || !take_digits(&text, 4, '-', &tm.tm_year) ||
	    !take_digits(&text, 2, '-', &tm.tm_mon) ||
	    !take_digits(&text, 2, 'T', &tm.tm_mday) ||
	    !take_digits(&text, 2, ':', &tm.tm_hour) ||
	    !take_digits(&text, 2, ':', &tm.tm_min) ||
	    !take_digits(&text, 2, '.', &tm.tm_sec) ||
	    !take_digits(&text, 3, 'Z', &ms) || *text != '\0')
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * 1000 + ms;
}

/* Bytes of a line of text that takes at most so many columns, broken after a
 * blank if there is one. */
static size_t
line_of(const char *text, size_t columns)
{
	size_t whole = tool_cut(text, columns), at = whole;

	if (text[whole] == '\0' || text[whole] == ' ')
		return whole;
	while (at > 0 && text[at - 1] != ' ')
		at--;
	if (at > 0)
		return at;
	/* A character that is wider than all there is. */
	return whole > 0 ? whole : strlen(text);
}

void
tool_put_field(const struct tool_screen *screen, const char *label,
    const char *text)
{
	size_t width = tool_screen_width(screen), len, shown;
	const char *rest;
	struct buf clean;

	if (text == NULL)
		return;
	/* No blank before the end of a line. */
	(void)fprintf(screen->stream, "%-*s", text[0] != '\0' ?
	    TOOL_LABEL_COLUMNS + 1 : 0, label);
	buf_init(&clean, TABLE_TEXT_MAX);
	if (width < FIELD_COLUMNS ||
	    tool_clean(text, &clean, NULL) != 0) {
		tool_put_text(screen->stream, text);
		(void)fputc('\n', screen->stream);
		buf_fini(&clean);
		return;
	}
	for (rest = buf_str(&clean);; rest += len) {
		rest += strspn(rest, " ");
		len = line_of(rest, width - TOOL_LABEL_COLUMNS - 1);
		for (shown = len; shown > 0 && rest[shown - 1] == ' '; shown--)
			;
		(void)fprintf(screen->stream, "%.*s\n", (int)shown, rest);
		if (rest[len] == '\0')
			break;
		(void)fprintf(screen->stream, "%-*s ", TOOL_LABEL_COLUMNS, "");
	}
	buf_fini(&clean);
}

/* Cells are in text one after the other, each with its colour before it and a
 * NUL behind it. */
struct tool_table {
	const struct tool_column *columns;
	size_t columns_len;
	size_t cells_len;
	size_t widths[TOOL_COLUMNS_MAX];	/* of the widest cell */
	bool has_text[TOOL_COLUMNS_MAX];	/* in a cell */
	struct buf text;
};

int
tool_table_new(const struct tool_column *columns, size_t columns_len,
    struct tool_table **ret_table, struct err *err)
{
	struct tool_table *table = calloc(1, sizeof(*table));
	size_t i;

	assert(columns_len > 0 && columns_len <= TOOL_COLUMNS_MAX);
	if (table == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a table");
	table->columns = columns;
	table->columns_len = columns_len;
	for (i = 0; i < columns_len; i++)
		table->widths[i] = tool_columns(columns[i].title);
	buf_init(&table->text, TABLE_TEXT_MAX);
	*ret_table = table;
	return 0;
}

void
tool_table_free(struct tool_table **table)
{
	if (*table != NULL)
		buf_fini(&(*table)->text);
	free(*table);
	*table = NULL;
}

int
tool_table_add(struct tool_table *table, enum tool_colour colour,
    const char *text, struct err *err)
{
	const size_t column = table->cells_len % table->columns_len;
	size_t *width = &table->widths[column];
	size_t at = table->text.len, columns;

	if (buf_addc(&table->text, (char)('0' + (int)colour), err) != 0 ||
	    tool_clean(text, &table->text, err) != 0 ||
	    buf_addc(&table->text, '\0', err) != 0)
		return -1;
	columns = tool_columns(table->text.data + at + 1);
	if (columns > *width)
		*width = columns;
	if (columns > 0)
		table->has_text[column] = true;
	table->cells_len++;
	return 0;
}

/* How wide the columns are shown: 0 for one that is left out. */
struct layout {
	size_t widths[TOOL_COLUMNS_MAX];
};

static size_t
total_of(const struct tool_table *table, const struct layout *layout)
{
	size_t total = 0, i;

	for (i = 0; i < table->columns_len; i++)
		if (layout->widths[i] > 0)
			total += layout->widths[i] + (total > 0 ? GAP : 0);
	return total;
}

/* Cut what can be cut, the last first, as far as that is needed. */
static void
squeeze(const struct tool_table *table, struct layout *layout, bool is_bare,
    size_t width)
{
	size_t total = total_of(table, layout), i, spare;

	for (i = table->columns_len; i-- > 0 && total > width;) {
		if (table->columns[i].is_bare != is_bare ||
		    table->columns[i].min == 0 ||
		    layout->widths[i] <= table->columns[i].min)
			continue;
		spare = layout->widths[i] - table->columns[i].min;
		if (spare > total - width)
			spare = total - width;
		layout->widths[i] -= spare;
		total -= spare;
	}
}

/* The column to leave out next; false if there is none. */
static bool
find_least(const struct tool_table *table, const bool *is_out, size_t *ret_at)
{
	int rank = 0;
	size_t i;

	for (i = 0; i < table->columns_len; i++) {
		if (is_out[i] || table->columns[i].rank <= rank)
			continue;
		rank = table->columns[i].rank;
		*ret_at = i;
	}
	return rank > 0;
}

static void
lay_out(const struct tool_table *table, size_t width, struct layout *layout)
{
	bool is_out[TOOL_COLUMNS_MAX] = {false};
	size_t i, least = 0;

	for (i = 0; width > 0 && i < table->columns_len; i++)
		is_out[i] =
		    table->columns[i].rank > 0 && !table->has_text[i];
	for (;;) {
		for (i = 0; i < table->columns_len; i++)
			layout->widths[i] = is_out[i] ? 0 : table->widths[i];
		if (width == 0)
			break;
		squeeze(table, layout, true, width);
		squeeze(table, layout, false, width);
		if (total_of(table, layout) <= width ||
		    !find_least(table, is_out, &least))
			break;
		is_out[least] = true;
	}
}

static const char *
escape_of(enum tool_colour colour)
{
	switch (colour) {
	case COLOUR_GOOD:
		return "\033[32m";
	case COLOUR_BAD:
		return "\033[31m";
	case COLOUR_BUSY:
		return "\033[33m";
	case COLOUR_NONE:
		break;
	}
	return "";
}

/* *owed: blanks that stand before it, and need not where nothing follows. */
static void
put_cell(const struct tool_table *table, const struct layout *layout,
    const struct tool_screen *screen, size_t at, enum tool_colour colour,
    const char *text, size_t *owed)
{
	const size_t width = layout->widths[at];
	const bool is_cut = tool_columns(text) > width;
	const char *tail = is_cut && !table->columns[at].is_bare && width > 4 ?
	    ".." : "";
	const bool is_coloured = screen->has_colour && colour != COLOUR_NONE;
	size_t used, bytes = cut(text, width - strlen(tail), &used), pad;

	used += strlen(tail);
	pad = used < width ? width - used : 0;
	*owed += at > 0 ? GAP : 0;
	if (text[0] == '\0') {
		*owed += width;
		return;
	}
	if (table->columns[at].is_right)
		*owed += pad;
	(void)fprintf(screen->stream, "%*s%s%.*s%s%s", (int)*owed, "",
	    is_coloured ? escape_of(colour) : "", (int)bytes, text, tail,
	    is_coloured ? "\033[0m" : "");
	*owed = table->columns[at].is_right ? 0 : pad;
}

static void
end_row(const struct tool_screen *screen, size_t *owed)
{
	(void)fputc('\n', screen->stream);
	*owed = 0;
}

void
tool_table_print(const struct tool_table *table,
    const struct tool_screen *screen, size_t width)
{
	const char *cell = buf_str(&table->text);
	struct layout layout = {.widths = {0}};
	size_t i, at, owed = 0;

	lay_out(table, width, &layout);
	for (i = 0; i < table->columns_len; i++)
		if (layout.widths[i] > 0)
			put_cell(table, &layout, screen, i, COLOUR_NONE,
			    table->columns[i].title, &owed);
	end_row(screen, &owed);
	for (i = at = 0; i < table->cells_len; i++) {
		if (layout.widths[at] > 0)
			put_cell(table, &layout, screen, at,
			    (enum tool_colour)(cell[0] - '0'), cell + 1,
			    &owed);
		if (++at == table->columns_len) {
			end_row(screen, &owed);
			at = 0;
		}
		cell += strlen(cell) + 1;
	}
}

/* The parts of a bar's line beside the bar, in the order in which they stand;
 * "" where there is nothing to say. */
struct parts {
	char percent[TOOL_NUMBER_MAX];
	char bytes[TOOL_NUMBER_MAX];
	char left[TOOL_NUMBER_MAX + 8];
	char freeze[TOOL_NUMBER_MAX + 8];
};

static int
percent_of(const struct tool_bar *bar)
{
	if (bar->total <= 0 || bar->done < 0)
		return -1;
	if (bar->done >= bar->total)
		return 100;
	return (int)((double)bar->done * 100 / (double)bar->total);
}

static void
make_parts(const struct tool_bar *bar, struct parts *parts)
{
	const char *mark = bar->is_estimated ? "~" : "";
	const int percent = percent_of(bar);
	char number[TOOL_NUMBER_MAX];

	memset(parts, 0, sizeof(*parts));
	if (percent >= 0) {
		(void)snprintf(number, sizeof(number), "%s%d%%", mark,
		    percent);
		(void)snprintf(parts->percent, sizeof(parts->percent), "%*s",
		    PERCENT_COLUMNS, number);
	}
	if (bar->bytes >= 0)
		tool_format_bytes(bar->bytes, parts->bytes);
	if (bar->left_ms >= 0) {
		tool_format_left(bar->left_ms, number);
		(void)snprintf(parts->left, sizeof(parts->left), "%s%s left",
		    mark, number);
	}
	if (bar->freeze_ms >= 0) {
		tool_format_ms(bar->freeze_ms, number);
		(void)snprintf(parts->freeze, sizeof(parts->freeze), "%s %s",
		    bar->is_frozen ? "frozen" : "freeze", number);
	}
}

static size_t
part_columns(const char *part)
{
	return part[0] != '\0' ? GAP + strlen(part) : 0;
}

static size_t
parts_columns(const struct parts *parts)
{
	return part_columns(parts->percent) + part_columns(parts->bytes) +
	    part_columns(parts->left) + part_columns(parts->freeze);
}

/* "[====>    ]" of so many columns, where the percentage is known. */
static void
make_track(const struct tool_bar *bar, size_t columns, char *out)
{
	const size_t inside = columns - 2;
	const size_t full = inside * (size_t)percent_of(bar) / 100;

	out[0] = '[';
	memset(out + 1, ' ', inside);
	memset(out + 1, '=', full);
	if (full < inside)
		out[1 + full] = '>';
	out[1 + inside] = ']';
	out[2 + inside] = '\0';
}

static void
add_part(char out[TOOL_BAR_MAX], const char *part)
{
	size_t len = strlen(out);

	if (part[0] != '\0')
		(void)snprintf(out + len, TOOL_BAR_MAX - len, "%*s%s", GAP, "",
		    part);
}

void
tool_draw_bar(const struct tool_bar *bar, size_t columns,
    char out[TOOL_BAR_MAX])
{
	char track[BAR_COLUMNS_MAX + 1] = "";
	struct parts parts;
	char *const expendable[] = {parts.bytes, parts.left, parts.freeze,
	    parts.percent};
	size_t used = WHAT_COLUMNS, room, i;

	make_parts(bar, &parts);
	for (i = 0; i < LEN(expendable) &&
	    used + parts_columns(&parts) > columns; i++)
		expendable[i][0] = '\0';
	used += parts_columns(&parts);
	room = columns > used + 1 ? columns - used - 1 : 0;
	if (room >= BAR_MIN && percent_of(bar) >= 0)
		make_track(bar, room < BAR_COLUMNS_MAX ? room :
		    BAR_COLUMNS_MAX, track);
	(void)snprintf(out, TOOL_BAR_MAX, "%-*.*s%s%s", WHAT_COLUMNS,
	    WHAT_COLUMNS, bar->what, track[0] != '\0' ? " " : "", track);
	add_part(out, parts.percent);
	add_part(out, parts.bytes);
	add_part(out, parts.left);
	add_part(out, parts.freeze);
	if (strlen(out) > columns)
		out[columns < TOOL_BAR_MAX ? columns : TOOL_BAR_MAX - 1] = '\0';
}
