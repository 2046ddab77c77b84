/* The INI syntax, and what is refused of it. */
#include "test.h"

#include "buf.h"
#include "ini.h"

/* What the visitor saw, one "section/label/key=value@line" after another. */
static struct buf seen;
static int stop_at;	/* the visitor fails in this line */

static ini_visit_fn note;
static int
note(void *ctx, const char *section, const char *label, const char *key,
    const char *value, unsigned line, struct err *err)
{
	assert_ptr_equal(ctx, &seen);
	if ((int)line == stop_at)
		return err_set(err, ERR_NOMEM, "the visitor's own");
	if (key == NULL) {
		assert_null(value);
		return buf_addf(&seen, err, "[%s/%s]@%u;", section, label,
		    line);
	}
	return buf_addf(&seen, err, "%s/%s/%s=%s@%u;", section, label, key,
	    value, line);
}

static int
setup(void **state)
{
	(void)state;
	buf_init(&seen, 20000);
	stop_at = -1;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&seen);
	return 0;
}

static void
assert_seen(const char *text, const char *want)
{
	struct err err;

	buf_reset(&seen);
	assert_ok(ini_parse("f", text, strlen(text), note, &seen, &err), err);
	assert_string_equal(buf_str(&seen), want);
}

static void
assert_refused(const char *text, const char *want)
{
	struct err err;

	buf_reset(&seen);
	assert_err(ini_parse("f.conf", text, strlen(text), note, &seen, &err),
	    err, ERR_INVALID, want);
}

static void
sections_and_keys_are_seen(void **state)
{
	(void)state;
	assert_seen("", "");
	assert_seen("a=1", "//a=1@1;");
	assert_seen("# c\n\n; d\n[one]\nk = v w \n[two  a.b ]\n\tx\t=\ty\n",
	    "[one/]@4;one//k=v w@5;[two/a.b]@6;two/a.b/x=y@7;");
	assert_seen("[ s ]\nk =\n", "[s/]@1;s//k=@2;");
	assert_seen("[s]\nk = a = b # no comment\n",
	    "[s/]@1;s//k=a = b # no comment@2;");
	assert_seen("[s l m]\n", "[s/l m]@1;");
}

static void
foreign_line_ends_are_accepted(void **state)
{
	(void)state;
	assert_seen("\xef\xbb\xbf[s]\r\nk = v\r\n\r\n",
	    "[s/]@1;s//k=v@2;");
	assert_seen("[s]\nk = \xe2\x82\xac", "[s/]@1;s//k=\xe2\x82\xac@2;");
}

static void
quotes_keep_what_they_hold(void **state)
{
	(void)state;
	assert_seen("k = \" v \"\n", "//k= v @1;");
	assert_seen("k = \"#x\"\n", "//k=#x@1;");
	assert_seen("k = \"a\\\"b\\\\c\"\n", "//k=a\"b\\c@1;");
	assert_seen("k = \"\"\n", "//k=@1;");
	assert_seen("k = a\"b\\n\n", "//k=a\"b\\n@1;");
}

static void
errors_have_name_and_line(void **state)
{
	(void)state;
	assert_refused("[s]\n\nnothing\n", "f.conf:3: neither");
	assert_refused("[s\n", "f.conf:1: a section header lacks");
	assert_refused("[s] # c\n", "f.conf:1: text after a section header");
	assert_refused("[]\n", "f.conf:1: \"[]\" is not");
	assert_refused("[a/b]\n", "is not a section name");
	assert_refused("= v\n", "\"\" is not a key");
	assert_refused("a b = v\n", "\"a b\" is not a key");
	assert_refused("k = \"v\n", "k: a value lacks its closing");
	assert_refused("k = \"v\" w\n", "text after the closing");
	assert_refused("k = \"\\n\"\n", "stands only before");
	assert_refused("k = \"v\\\"\n", "lacks its closing");
	assert_refused("k = #v\n", "needs double quotes");
	assert_refused("k = ;v\n", "needs double quotes");
}

static void
foreign_bytes_are_refused(void **state)
{
	struct err err;

	(void)state;
	assert_refused("k = a\x01z\n", "control byte (0x01) in column 6");
	assert_refused("k = a\rz\n", "control byte (0x0d)");
	assert_refused("k = \x7f\n", "control byte (0x7f)");
	assert_refused("a = 1\nk = \xff\n", "f.conf:2: not UTF-8");
	assert_refused("# \xc0\x80\n", "not UTF-8");
	assert_err(ini_parse("f", "k = a\0b", 7, note, &seen, &err), err,
	    ERR_INVALID, "control byte (0x00)");
}

static void
long_lines_are_refused(void **state)
{
	char text[4200];
	struct err err;

	(void)state;
	memset(text, 'v', sizeof(text));
	memcpy(text, "k=", 2);
	text[4096] = '\n';
	assert_ok(ini_parse("f", text, 4097, note, &seen, &err), err);
	assert_int_equal(seen.len, strlen("//k=@1;") + 4094);
	text[4096] = 'v';
	text[4097] = '\n';
	assert_err(ini_parse("f", text, 4098, note, &seen, &err), err,
	    ERR_INVALID, "f:1: a line over 4096 bytes");
	memcpy(text, "[s ", 3);
	text[4095] = ']';
	assert_ok(ini_parse("f", text, 4096, note, &seen, &err), err);
}

static void
the_visitor_may_stop(void **state)
{
	static const char text[] = "a=1\nb=2\nc=3\n";
	struct err err;

	(void)state;
	stop_at = 2;
	assert_err(ini_parse("f", text, sizeof(text) - 1, note, &seen, &err),
	    err, ERR_NOMEM, "f:2: the visitor's own");
	assert_string_equal(buf_str(&seen), "//a=1@1;");
}

#define PREPARED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PREPARED(sections_and_keys_are_seen),
		PREPARED(foreign_line_ends_are_accepted),
		PREPARED(quotes_keep_what_they_hold),
		PREPARED(errors_have_name_and_line),
		PREPARED(foreign_bytes_are_refused),
		PREPARED(long_lines_are_refused),
		PREPARED(the_visitor_may_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
