/* Errors: names, titles, cut text, wrapping. */
#include "test.h"

#include <errno.h>

#include "str.h"

static void
set_returns_failure_and_fills(void **state)
{
	struct err err = {.code = ERR_SPACE};

	(void)state;
	assert_int_equal(err_set(&err, ERR_LIMIT, "over %d %s", 7, "jobs"),
	    -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_string_equal(err.msg, "over 7 jobs");
	assert_int_equal(err_set(NULL, ERR_LIMIT, "%s", "nobody listens"), -1);
	assert_int_equal(err_set_errno(NULL, ERR_LIMIT, 2, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
}

static void
set_errno_adds_the_systems_text(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set_errno(&err, ERR_STORE, ENOENT, "%s", "/x"),
	    -1);
	assert_string_equal(err.msg, "/x: No such file or directory");
	(void)err_set_errno(&err, ERR_STORE, 54321, "/x");
	assert_string_equal(err.msg, "/x: error 54321");
}

static void
wrap_puts_text_before(void **state)
{
	struct err err;

	(void)state;
	(void)err_set(&err, ERR_GONE, "it is not there");
	assert_int_equal(err_wrap(&err, "job %d", 5), -1);
	assert_int_equal(err.code, ERR_GONE);
	assert_string_equal(err.msg, "job 5: it is not there");
	/* The message may be an argument of its own successor. */
	(void)err_set(&err, ERR_GONE, "<%s>", err.msg);
	assert_string_equal(err.msg, "<job 5: it is not there>");
	(void)err_wrap(&err, "%s", err.msg);
	assert_string_equal(err.msg,
	    "<job 5: it is not there>: <job 5: it is not there>");
}

/* Cut at every place of a text of 1 to 4 byte characters. */
static void
cut_text_is_whole_utf8(void **state)
{
	char text[3 * ERR_MSG_MAX];
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < 40; i++) {
		memset(text, 'a', i);
		text[i] = '\0';
		while (strlen(text) < 2 * ERR_MSG_MAX)
			strcat(text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
		(void)err_set(&err, ERR_INVALID, "%s", text);
		assert_true(strlen(err.msg) < ERR_MSG_MAX);
		assert_true(strlen(err.msg) > ERR_MSG_MAX - 6);
		assert_true(str_is_utf8(err.msg, strlen(err.msg)));
		(void)err_wrap(&err, "more %zu", i);
		assert_true(str_is_utf8(err.msg, strlen(err.msg)));
		assert_memory_equal(err.msg, "more ", 5);
	}
}

static void
whole_text_is_not_cut(void **state)
{
	char text[ERR_MSG_MAX];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 3, "\xc3\xa9", 3);
	(void)err_set(&err, ERR_INVALID, "%s", text);
	assert_string_equal(err.msg, text);
}

static void
every_code_has_its_name(void **state)
{
	int code, other;

	(void)state;
	for (code = 1; code <= ERR_CODE_MAX; code++) {
		const char *name = err_name((enum err_code)code);

		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"),
		    strlen(name));
		assert_true(strlen(err_title((enum err_code)code)) > 3);
		assert_int_equal(err_code_of_name(name), code);
		for (other = 1; other < code; other++)
			assert_string_not_equal(name,
			    err_name((enum err_code)other));
	}
	assert_string_equal(err_name(ERR_TARGET_UNREACHABLE),
	    "target-unreachable");
	assert_string_equal(err_name(ERR_INTERRUPTED), "interrupted");
}

static void
what_is_no_code_is_internal(void **state)
{
	(void)state;
	assert_string_equal(err_name((enum err_code)0), "internal");
	assert_string_equal(err_name((enum err_code)(ERR_CODE_MAX + 1)),
	    "internal");
	assert_string_equal(err_title((enum err_code)999),
	    err_title(ERR_INTERNAL));
	assert_int_equal(err_code_of_name(NULL), ERR_INTERNAL);
	assert_int_equal(err_code_of_name(""), ERR_INTERNAL);
	assert_int_equal(err_code_of_name("Gone"), ERR_INTERNAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_failure_and_fills),
		cmocka_unit_test(set_errno_adds_the_systems_text),
		cmocka_unit_test(wrap_puts_text_before),
		cmocka_unit_test(cut_text_is_whole_utf8),
		cmocka_unit_test(whole_text_is_not_cut),
		cmocka_unit_test(every_code_has_its_name),
		cmocka_unit_test(what_is_no_code_is_internal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
