#include "test.h"

#include <time.h>

#include "tool_screen.h"

/* A stream in memory, and what was written to it. */
struct paper {
	struct tool_screen screen;
	char *text;
	size_t len;
};

static void
paper_open(struct paper *paper)
{
	memset(paper, 0, sizeof(*paper));
	paper->screen.stream = open_memstream(&paper->text, &paper->len);
	assert_non_null(paper->screen.stream);
}

static const char *
paper_read(struct paper *paper)
{
	assert_int_equal(fflush(paper->screen.stream), 0);
	return paper->text;
}

static void
paper_close(struct paper *paper)
{
	assert_int_equal(fclose(paper->screen.stream), 0);
	free(paper->text);
}

static void
assert_clean(const char *text, const char *want)
{
	struct paper paper;
	struct buf out;
	struct err err;

	buf_init(&out, 1000);
	assert_ok(tool_clean(text, &out, &err), err);
	assert_string_equal(buf_str(&out), want);
	buf_fini(&out);
	/* Both ways say the same. */
	paper_open(&paper);
	tool_put_text(paper.screen.stream, text);
	assert_string_equal(paper_read(&paper), want);
	paper_close(&paper);
}

static void
test_hostile_text_is_clean(void **state)
{
	(void)state;
	assert_clean("", "");
	assert_clean("Caf\303\251 \"a\\b\"", "Caf\303\251 \"a\\b\"");
	assert_clean("\033[31mred\007\n\r\t",
	    "\\x1b[31mred\\x07\\x0a\\x0d\\x09");
	assert_clean("\177", "\\x7f");
	/* C1 controls, half a character, an overlong one, a surrogate. */
	assert_clean("\302\233m", "\\xc2\\x9bm");
	assert_clean("a\303", "a\\xc3");
	assert_clean("\300\257", "\\xc0\\xaf");
	assert_clean("\355\240\200", "\\xed\\xa0\\x80");
	/* U+202E turns what follows, U+200B is not seen, nor is a tag. */
	assert_clean("x\342\200\256y", "x\\xe2\\x80\\xaey");
	assert_clean("\342\200\213", "\\xe2\\x80\\x8b");
	assert_clean("\363\240\201\201", "\\xf3\\xa0\\x81\\x81");
	assert_clean("\360\237\230\200", "\360\237\230\200");
}

static void
test_clean_is_bounded(void **state)
{
	struct buf out;
	struct err err;

	(void)state;
	buf_init(&out, 3);
	assert_err(tool_clean("\033", &out, &err), err, ERR_TOO_LARGE, "");
	buf_fini(&out);
}

static void
test_columns(void **state)
{
	(void)state;
	assert_int_equal(tool_columns(""), 0);
	assert_int_equal(tool_columns("Caf\303\251"), 4);
	assert_int_equal(tool_columns("e\314\201"), 1);		/* accent */
	assert_int_equal(tool_columns("\346\274\242"), 2);	/* a Han */
	assert_int_equal(tool_columns("\360\237\230\200"), 2);
	assert_int_equal(tool_cut("abc", 2), 2);
	assert_int_equal(tool_cut("abc", 9), 3);
	assert_int_equal(tool_cut("\346\274\242x", 1), 0);
	assert_int_equal(tool_cut("\346\274\242x", 2), 3);
	/* An accent stays with its letter. */
	assert_int_equal(tool_cut("e\314\201x", 1), 3);
}

#define assert_format(call, want)                                              \
	do {                                                                   \
		char out[TOOL_NUMBER_MAX];                                     \
		call;                                                          \
		assert_string_equal(out, want);                                \
	} while (0)

static void
test_numbers(void **state)
{
	(void)state;
	assert_format(tool_format_bytes(-1, out), "-");
	assert_format(tool_format_bytes(0, out), "0");
	assert_format(tool_format_bytes(1023, out), "1023");
	assert_format(tool_format_bytes(1024, out), "1.0K");
	assert_format(tool_format_bytes(1536, out), "1.5K");
	assert_format(tool_format_bytes(10189, out), "10K");
	assert_format(tool_format_bytes(283115520, out), "270M");
	assert_format(tool_format_bytes(1048575, out), "1.0M");
	assert_format(tool_format_bytes(INT64_MAX, out), "8.0E");
	assert_format(tool_format_ms(-1, out), "-");
	assert_format(tool_format_ms(0, out), "0ms");
	assert_format(tool_format_ms(999, out), "999ms");
	assert_format(tool_format_ms(3299, out), "3.2s");
	assert_format(tool_format_ms(245000, out), "4m05s");
	assert_format(tool_format_ms(7380000, out), "2h03m");
	assert_format(tool_format_left(-1, out), "-");
	assert_format(tool_format_left(0, out), "0:00");
	assert_format(tool_format_left(1, out), "0:01");
	assert_format(tool_format_left(725000, out), "12:05");
	assert_format(tool_format_left(3723000, out), "1:02:03");
	assert_format(tool_format_count(0, false, out), "0");
	assert_format(tool_format_count(999, false, out), "999");
	assert_format(tool_format_count(1000, false, out), "1,000");
	assert_format(tool_format_count(503269, true, out), "+503,269");
	assert_format(tool_format_count(-1234567, true, out), "-1,234,567");
	assert_format(tool_format_count(INT64_MIN, false, out),
	    "-9,223,372,036,854,775,808");
}

static void
test_times(void **state)
{
	const int64_t now = 1795384800000;	/* 2026-11-22 22:00 UTC */

	(void)state;
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	tzset();
	assert_int_equal(tool_parse_time("2026-11-22T22:00:00.000Z"), now);
	assert_int_equal(tool_parse_time("2026-11-22T22:00:00.007Z"), now + 7);
	assert_int_equal(tool_parse_time(NULL), -1);
	assert_int_equal(tool_parse_time(""), -1);
	assert_int_equal(tool_parse_time("2026-11-22T22:00:00Z"), -1);
	assert_int_equal(tool_parse_time("2026-11-22T22:00:00.000Zx"), -1);
	assert_int_equal(tool_parse_time("2026-11-2"), -1);
	assert_format(tool_format_time(-1, now, out), "-");
	assert_format(tool_format_time(now - 5000, now, out), "21:59:55");
	assert_format(tool_format_time(now + 60000, now, out), "22:01:00");
	assert_format(tool_format_time(now - 86400000, now, out),
	    "Nov 21 22:00");
	assert_format(tool_format_time(now + (int64_t)7200000, now, out),
	    "Nov 23 00:00");
	assert_format(tool_format_time(0, now, out), "1970-01-01");
	/* The local zone's, not that of UTC. */
	assert_int_equal(setenv("TZ", "XXX-3", 1), 0);
	tzset();
	assert_format(tool_format_time(now - 7200000, now, out),
	    "Nov 22 23:00");
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static void
put_fields(struct paper *paper, bool is_terminal)
{
	paper_open(paper);
	paper->screen.is_terminal = is_terminal;
	tool_put_field(&paper->screen, "error", "one two three four five six "
	    "seven-is-a-word-that-is-longer-than-a-line end\033");
	tool_put_field(&paper->screen, "empty", "");
	tool_put_field(&paper->screen, "none", NULL);
}

static void
test_fields(void **state)
{
	struct paper paper;

	(void)state;
	put_fields(&paper, false);
	assert_string_equal(paper_read(&paper),
	    "error       one two three four "
	    "five six seven-is-a-word-that-is-longer-than-a-line end\\x1b\n"
	    "empty\n");
	paper_close(&paper);
	/* A stream in memory has no size: that of the shell counts. */
	assert_int_equal(setenv("COLUMNS", "32", 1), 0);
	put_fields(&paper, true);
	assert_string_equal(paper_read(&paper),
	    "error       one two three four\n"
	    "            five six\n"
	    "            seven-is-a-word-that\n"
	    "            -is-longer-than-a-li\n"
	    "            ne end\\x1b\n"
	    "empty\n");
	paper_close(&paper);
}

static const struct tool_column columns[] = {
	{.title = "ID", .is_bare = true, .min = 4},
	{.title = "KIND"},
	{.title = "SIZE", .is_right = true, .rank = 1},
	{.title = "NOTE", .min = 6, .rank = 2},
};
#define COLUMNS_LEN (sizeof(columns) / sizeof(columns[0]))

static struct tool_table *
make_table(const char *note)
{
	const char *const cells[] = {
		"0123456789", "heap", "12M", note,
		"abcdefghij", "cpu", "3", "",
	};
	struct tool_table *table = NULL;
	struct err err;
	size_t i;

	assert_ok(tool_table_new(columns, COLUMNS_LEN, &table, &err), err);
	for (i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		assert_ok(tool_table_add(table, i == 1 ? COLOUR_BAD :
		    COLOUR_NONE, cells[i], &err), err);
	return table;
}

static void
assert_noted(const char *note, size_t width, bool has_colour,
    const char *want)
{
	struct tool_table *table = make_table(note);
	struct paper paper;

	paper_open(&paper);
	paper.screen.has_colour = has_colour;
	tool_table_print(table, &paper.screen, width);
	assert_string_equal(paper_read(&paper), want);
	paper_close(&paper);
	tool_table_free(&table);
	assert_null(table);
}

static void
assert_table(size_t width, bool has_colour, const char *want)
{
	assert_noted("a note that is long", width, has_colour, want);
}

static void
test_table_fits(void **state)
{
	(void)state;
	/* No terminal: whole, and no blank at the end of a line. */
	assert_table(0, false,
	    "ID          KIND  SIZE  NOTE\n"
	    "0123456789  heap   12M  a note that is long\n"
	    "abcdefghij  cpu      3\n");
	assert_table(43, false,
	    "ID          KIND  SIZE  NOTE\n"
	    "0123456789  heap   12M  a note that is long\n"
	    "abcdefghij  cpu      3\n");
	/* First what loses nothing, then the note, then the note goes. */
	assert_table(40, false,
	    "ID       KIND  SIZE  NOTE\n"
	    "0123456  heap   12M  a note that is long\n"
	    "abcdefg  cpu      3\n");
	assert_table(30, false,
	    "ID    KIND  SIZE  NOTE\n"
	    "0123  heap   12M  a note tha..\n"
	    "abcd  cpu      3\n");
	assert_table(20, false,
	    "ID        KIND  SIZE\n"
	    "01234567  heap   12M\n"
	    "abcdefgh  cpu      3\n");
	assert_table(12, false,
	    "ID      KIND\n"
	    "012345  heap\n"
	    "abcdef  cpu\n");
	/* Nothing is left that could be cut. */
	assert_table(3, false,
	    "ID    KIND\n"
	    "0123  heap\n"
	    "abcd  cpu\n");
}

/* What is empty takes no room on a terminal; whoever reads it elsewhere finds
 * the same columns always. */
static void
test_table_empty_column(void **state)
{
	(void)state;
	assert_noted("", 80, false,
	    "ID          KIND  SIZE\n"
	    "0123456789  heap   12M\n"
	    "abcdefghij  cpu      3\n");
	assert_noted("", 0, false,
	    "ID          KIND  SIZE  NOTE\n"
	    "0123456789  heap   12M\n"
	    "abcdefghij  cpu      3\n");
}

static void
test_table_colours(void **state)
{
	(void)state;
	assert_table(12, true,
	    "ID      KIND\n"
	    "012345  \033[31mheap\033[0m\n"
	    "abcdef  cpu\n");
}

static void
test_table_of_hostile_cells(void **state)
{
	static const struct tool_column two[] = {{.title = "N",
	    .is_right = true}, {.title = "NAME", .min = 5}};
	struct tool_table *table = NULL;
	struct paper paper;
	struct err err;

	(void)state;
	assert_ok(tool_table_new(two, 2, &table, &err), err);
	assert_ok(tool_table_add(table, COLOUR_NONE, "\033]0;x\007", &err),
	    err);
	assert_ok(tool_table_add(table, COLOUR_NONE,
	    "\346\274\242\346\274\242\346\274\242\346\274\242", &err), err);
	paper_open(&paper);
	tool_table_print(table, &paper.screen, 18);
	assert_string_equal(paper_read(&paper),
	    "           N  NAME\n"
	    "\\x1b]0;x\\x07  \346\274\242..\n");
	paper_close(&paper);
	tool_table_free(&table);
}

static void
assert_bar(const struct tool_bar *bar, size_t columns_len, const char *want)
{
	char out[TOOL_BAR_MAX];

	tool_draw_bar(bar, columns_len, out);
	assert_string_equal(out, want);
	assert_true(strlen(out) <= columns_len);
}

static void
test_bar(void **state)
{
	struct tool_bar bar = {.what = "writing", .done = 45, .total = 100,
	    .bytes = 126877696, .left_ms = 12000, .freeze_ms = 3299,
	    .is_frozen = true};

	(void)state;
	assert_bar(&bar, 79, "writing    [=============>                ]"
	    "   45%  121M  0:12 left  frozen 3.2s");
	/* It never fills a wide screen. */
	assert_bar(&bar, 200, "writing    [=================>"
	    "                    ]   45%  121M  0:12 left  frozen 3.2s");
	assert_bar(&bar, 50, "writing      45%  121M  0:12 left  frozen 3.2s");
	assert_bar(&bar, 40, "writing      45%  0:12 left  frozen 3.2s");
	assert_bar(&bar, 30, "writing      45%  frozen 3.2s");
	assert_bar(&bar, 20, "writing      45%");
	assert_bar(&bar, 5, "writi");
	bar.is_estimated = true;
	bar.is_frozen = false;
	assert_bar(&bar, 60, "writing    [====>     ]  ~45%  121M  ~0:12 left"
	    "  freeze 3.2s");
}

static void
test_bar_of_what_is_not_known(void **state)
{
	struct tool_bar bar = {.what = "starting", .done = -1, .total = -1,
	    .bytes = -1, .left_ms = -1, .freeze_ms = -1};

	(void)state;
	assert_bar(&bar, 80, "starting  ");
	bar.freeze_ms = 40;
	assert_bar(&bar, 80, "starting    freeze 40ms");
	/* More than all, nothing of nothing. */
	bar = (struct tool_bar){.what = "writing", .done = 7, .total = 5,
	    .bytes = -1, .left_ms = -1, .freeze_ms = -1};
	assert_bar(&bar, 40, "writing    [=====================]  100%");
	bar.done = bar.total = 0;
	assert_bar(&bar, 40, "writing   ");
	/* A phase that is longer than its place. */
	bar.what = "a-phase-of-tomorrow";
	assert_bar(&bar, 40, "a-phase-of");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_text_is_clean),
		cmocka_unit_test(test_clean_is_bounded),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_table_fits),
		cmocka_unit_test(test_table_empty_column),
		cmocka_unit_test(test_table_colours),
		cmocka_unit_test(test_table_of_hostile_cells),
		cmocka_unit_test(test_bar),
		cmocka_unit_test(test_bar_of_what_is_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
