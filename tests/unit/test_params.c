/* Query parameters: decoding, bounds, and what each type takes. */
#include "test.h"

#include "params.h"

static int
color(const char *text)
{
	return strcmp(text, "red") == 0 ? 7 : -1;
}

static const struct param_spec specs[] = {
	{ .name = "n", .type = PARAM_INT, .min = 1, .max = 10,
	    .may_be_empty = true },
	{ .name = "x", .type = PARAM_NUMBER },
	{ .name = "color", .type = PARAM_WORD, .word = color,
	    .allowed = "red" },
	{ .name = "job", .type = PARAM_UUID },
	{ .name = NULL },
};

static const struct param_spec name_specs[] = {
	{ .name = "app", .type = PARAM_NAME },
	{ .name = NULL },
};

static void
test_values(void **state)
{
	struct params p;
	struct err err;

	(void)state;
	assert_ok(params_parse(specs, "n=3&x=-1.5e2&color=red&job="
	    "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77", &p, &err), err);
	assert_int_equal(params_int(&p, "n", 9), 3);
	assert_true(params_number(&p, "x", 0) == -150.0);
	assert_int_equal(params_int(&p, "color", 0), 7);
	assert_string_equal(params_text(&p, "job"),
	    "0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77");
}

static void
test_absent(void **state)
{
	static const char *const queries[] = { NULL, "", "&&&", "other=1",
		"n", "n=", "N=3", "nn=3", "n%00=3", "=3" };
	struct params p;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		assert_ok(params_parse(specs, queries[i], &p, &err), err);
		assert_int_equal(params_int(&p, "n", 9), 9);
		assert_true(params_number(&p, "x", 2.5) == 2.5);
		assert_null(params_text(&p, "job"));
	}
}

static void
test_decoding(void **state)
{
	struct params p;
	struct err err;

	(void)state;
	assert_ok(params_parse(specs, "%6E=%31%30&;=x", &p, &err), err);
	assert_int_equal(params_int(&p, "n", 0), 10);
	assert_ok(params_parse(specs, "x=%2B1", &p, &err), err);
	assert_true(params_number(&p, "x", 0) == 1.0);
	/* '+' is a blank, and a blank is no number. */
	assert_err(params_parse(specs, "x=+1", &p, &err), err, ERR_INVALID,
	    "parameter x");
	assert_err(params_parse(specs, "x=%", &p, &err), err, ERR_INVALID,
	    "two hex digits");
	assert_err(params_parse(specs, "x=%4", &p, &err), err, ERR_INVALID,
	    "two hex digits");
	assert_err(params_parse(specs, "%g0=1", &p, &err), err, ERR_INVALID,
	    "two hex digits");
}

static void
test_refused(void **state)
{
	static const struct {
		const char *query, *text;
	} cases[] = {
		{ "n=0", "1..10" },
		{ "n=11", "1..10" },
		{ "n=1.0", "parameter n" },
		{ "n=1&n=1", "given twice" },
		{ "n=&n=", "given twice" },
		{ "n=99999999999999999999", "parameter n" },
		{ "x=", "empty" },
		{ "x", "empty" },
		{ "x=abc", "abc" },
		{ "x=0x10", "0x10" },
		{ "x=1%00", "printable" },
		{ "x=1%0a", "printable" },
		{ "x=%7f", "printable" },
		{ "x=%ff", "printable" },
		{ "x=%c0%80", "printable" },
		{ "color=blue", "not one of red" },
		{ "job=1", "UUID" },
		{ "job=0198C0DE-7B1E-7C3A-9F00-5D2E6A1B4C77", "UUID" },
		{ "job=../../etc/passwd", "UUID" },
	};
	struct params p;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_err(params_parse(specs, cases[i].query, &p, &err), err,
		    ERR_INVALID, cases[i].text);
	assert_err(params_parse(name_specs, "app=a%2fb", &p, &err), err,
	    ERR_INVALID, "parameter app");
	assert_ok(params_parse(name_specs, "app=a.b_c-1", &p, &err), err);
	assert_string_equal(params_text(&p, "app"), "a.b_c-1");
}

static void
test_bounds(void **state)
{
	char query[PARAMS_QUERY_MAX + 64];
	struct params p;
	struct err err;
	size_t i;

	(void)state;
	memset(query, 'a', sizeof(query));
	query[PARAMS_QUERY_MAX + 1] = '\0';
	assert_err(params_parse(specs, query, &p, &err), err, ERR_INVALID,
	    "over 4096 bytes");
	query[PARAMS_QUERY_MAX] = '\0';
	assert_ok(params_parse(specs, query, &p, &err), err);
	query[0] = '\0';
	for (i = 0; i < PARAMS_PAIRS_MAX; i++)
		strcat(query, "a=1&");
	assert_ok(params_parse(specs, query, &p, &err), err);
	strcat(query, "a=1");
	assert_err(params_parse(specs, query, &p, &err), err, ERR_INVALID,
	    "over 64 parameters");
	/* A declared value that does not fit, though it would be a number. */
	memset(query, '0', 200);
	memcpy(query, "x=1", 3);
	query[200] = '\0';
	assert_err(params_parse(specs, query, &p, &err), err, ERR_INVALID,
	    "longer than 79 bytes");
	query[3 + 76 + 2] = '\0';
	assert_ok(params_parse(specs, query, &p, &err), err);
}

static void
test_undeclared(void **state)
{
	struct params p;
	struct err err;

	(void)state;
	assert_ok(params_parse(NULL, "n=abc&n=1&x=%ff", &p, &err), err);
	assert_null(p.specs);
}

/* A failure writes no output. */
static void
test_output(void **state)
{
	struct params p;
	struct err err;

	(void)state;
	assert_ok(params_parse(specs, "n=4", &p, &err), err);
	assert_int_equal(params_parse(specs, "n=5&x=y", &p, &err), -1);
	assert_int_equal(params_int(&p, "n", 0), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_decoding),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_undeclared),
		cmocka_unit_test(test_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
