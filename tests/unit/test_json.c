/* JSON: strict in, safe to look into, exact out. */
#include "test.h"

#include <math.h>

#include "json.h"

static int mallocs_left = -1;	/* then they fail; -1: never */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *
__wrap_malloc(size_t size)
{
	if (mallocs_left == 0)
		return NULL;
	if (mallocs_left > 0)
		mallocs_left--;
	return __real_malloc(size);
}

static struct json *
parse(const char *text)
{
	struct json *json = NULL;
	struct err err;

	assert_ok(json_parse(text, strlen(text), &json, &err), err);
	assert_non_null(json);
	return json;
}

static void
assert_printed(const struct json *json, const char *want)
{
	struct err err;
	struct buf b;

	buf_init(&b, 10000);
	assert_ok(json_print(json, &b, &err), err);
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
}

static void
parse_takes_json(void **state)
{
	static const char *const right[] = {"null", "true", " false\n", "0",
	    "-0", "-12.5e+3", "1E5", "\"\"", "\"\\u00e9\\ud83d\\ude00\"",
	    "\"\xe2\x82\xac\"", "[]", "{}", "[1,[2,{\"a\":[]}]]",
	    "{\"a\":1,\"a\":2}", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	    "\r\n\t {\"\" : null }\t", "\"\x7f\""};
	struct json *json;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		json = parse(right[i]);
		json_free(&json);
		assert_null(json);
	}
	json_free(&json);
	json_free(NULL);
}

static void
parse_refuses_all_else(void **state)
{
	static const char *const wrong[] = {"", " ", "nul", "nulll", "True",
	    "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN",
	    "Infinity", "\"", "\"a", "'a'", "\"\\x\"", "\"\\u12\"",
	    "\"\\u12g4\"", "\"\n\"", "\"\t\"", "\"\xff\"", "\"\xc3\"",
	    "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
	    "\"\\u0000\"", "[", "]", "[1", "[1,]", "[,1]", "[1 2]", "{",
	    "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "{\"a\" 1}",
	    "{1:2}", "[}", "1 2", "{}x", "\xef\xbb\xbf{}", "\x01", "//",
	    "[1]\x00"};
	struct json *json = NULL;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_err(json_parse(wrong[i],
		    strlen(wrong[i]) + (i + 1 == sizeof(wrong) /
			sizeof(wrong[0])), &json, &err), err, ERR_INVALID,
		    "not JSON at byte");
		assert_null(json);
	}
	assert_err(json_parse("{\"a\":tru}", 9, &json, &err), err,
	    ERR_INVALID, "byte 5");
}

/* A heap copy of exactly len bytes: reading past it would be seen. */
static void
parse_reads_exactly_len(void **state)
{
	static const char text[] =
	    "{\"k\":[1.5e3,\"\\u00e9\xe2\x82\xac\",true,null]}";
	struct json *json = NULL;
	struct err err;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(text); len++) {
		char *copy = malloc(len > 0 ? len : 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		if (len == sizeof(text) - 1)
			assert_ok(json_parse(copy, len, &json, &err), err);
		else
			assert_int_equal(json_parse(copy, len, &json, &err),
			    -1);
		free(copy);
	}
	assert_non_null(json);
	json_free(&json);
}

static void
depth_and_numbers_are_bounded(void **state)
{
	char text[2 * 65 + 1];
	struct json *json = NULL;
	struct err err;

	(void)state;
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	assert_err(json_parse(text, 130, &json, &err), err, ERR_INVALID,
	    "deeper than 64 levels");
	assert_ok(json_parse(text + 1, 128, &json, &err), err);
	json_free(&json);
	memset(text, '1', 64);
	assert_err(json_parse(text, 64, &json, &err), err, ERR_INVALID,
	    "over 63 characters");
	assert_ok(json_parse(text, 63, &json, &err), err);
	assert_true(json_number(json, 0) > 1e62);
	assert_int_equal(json_int(json, 7), 7);
	json_free(&json);
	json = parse("1e999");
	assert_true(isinf(json_number(json, 0)));
	assert_int_equal(json_int(json, 7), 7);
	json_free(&json);
}

static void
looking_is_safe_on_anything(void **state)
{
	struct json *json = parse("{\"s\":\"t\",\"n\":-2.75,\"b\":true,"
	    "\"f\":false,\"z\":null,\"a\":[1,\"x\"],\"o\":{\"k\":\"v\"},"
	    "\"s\":\"second\",\"S\":\"other\",\"big\":9007199254740993}");

	(void)state;
	assert_string_equal(json_string(json_get(json, "s")), "t");
	assert_string_equal(json_string(json_get(json, "S")), "other");
	assert_string_equal(json_string(json_path(json, "o", "k")), "v");
	assert_null(json_path(json, "o", "none"));
	assert_null(json_path(json, "s", "k"));
	assert_null(json_get(json_get(json, "a"), "k"));
	assert_null(json_string(json_get(json, "n")));
	assert_null(json_string(json_get(json, "z")));
	assert_true(json_number(json_get(json, "n"), 0) == -2.75);
	assert_true(json_number(json_get(json, "s"), 5) == 5);
	assert_int_equal(json_int(json_get(json, "n"), 0), -2);
	assert_int_equal(json_int(json_get(json, "b"), 9), 9);
	assert_true(json_is_true(json_get(json, "b")));
	assert_true(json_is_bool(json_get(json, "f")));
	assert_false(json_is_true(json_get(json, "f")));
	assert_false(json_is_true(json_get(json, "n")));
	assert_true(json_is_number(json_get(json, "n")));
	assert_true(json_is_object(json));
	assert_true(json_is_array(json_get(json, "a")));
	assert_int_equal(json_count(json_get(json, "a")), 2);
	assert_int_equal(json_count(json), 10);
	assert_int_equal(json_count(json_get(json, "s")), 0);
	assert_string_equal(json_key(json_first(json)), "s");
	assert_null(json_key(json_first(json_get(json, "a"))));
	assert_string_equal(
	    json_string(json_next(json_first(json_get(json, "a")))), "x");
	assert_null(json_first(json_get(json, "s")));
	json_free(&json);
	assert_null(json_get(NULL, "k"));
	assert_null(json_path(NULL, "k", "l"));
	assert_null(json_string(NULL));
	assert_true(json_number(NULL, 3) == 3);
	assert_int_equal(json_int(NULL, 4), 4);
	assert_false(json_is_true(NULL) || json_is_bool(NULL) ||
	    json_is_number(NULL) || json_is_object(NULL) ||
	    json_is_array(NULL));
	assert_int_equal(json_count(NULL), 0);
	assert_null(json_first(NULL));
	assert_null(json_next(NULL));
	assert_null(json_key(NULL));
}

static void
built_documents_print(void **state)
{
	struct json *root = json_new_object(), *array;

	(void)state;
	assert_int_equal(json_put_string(root, "s", "a\"\\\n\xe2\x82\xac"), 0);
	assert_int_equal(json_put_string(root, "null", NULL), 0);
	assert_int_equal(json_put_int(root, "i", -5), 0);
	assert_int_equal(json_put_bool(root, "t", true), 0);
	assert_int_equal(json_put_bool(root, "f", false), 0);
	assert_int_equal(json_put_null(root, "z"), 0);
	array = json_put_array(root, "a");
	assert_int_equal(json_put_int(json_add_object(array), "k", 1), 0);
	assert_int_equal(json_put_int(json_put_object(root, "o"), "k", 2), 0);
	assert_printed(root, "{\"s\":\"a\\\"\\\\\\n\xe2\x82\xac\","
	    "\"null\":null,\"i\":-5,\"t\":true,\"f\":false,\"z\":null,"
	    "\"a\":[{\"k\":1}],\"o\":{\"k\":2}}");
	assert_printed(array, "[{\"k\":1}]");
	json_free(&root);
}

static void
whole_numbers_are_exact(void **state)
{
	static const int64_t values[] = {0, INT32_MAX, INT64_C(1795379100123),
	    INT64_C(999999999999999), INT64_C(-999999999999999),
	    INT64_C(1000000000000000), INT64_C(9007199254740993), INT64_MAX,
	    INT64_MIN};
	char want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct json *root = json_new_object();

		assert_int_equal(json_put_int(root, "v", values[i]), 0);
		(void)snprintf(want, sizeof(want), "{\"v\":%lld}",
		    (long long)values[i]);
		assert_printed(root, want);
		json_free(&root);
	}
}

static void
wrong_bytes_are_replaced(void **state)
{
	struct json *root = json_new_object();

	(void)state;
	assert_int_equal(json_put_string(root, "s", "a\xff\xe2\x82z\xc3\xa9"),
	    0);
	assert_printed(root, "{\"s\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"
	    "\xc3\xa9\"}");
	json_free(&root);
}

static void
a_failed_builder_fails_on(void **state)
{
	struct json *root = json_new_object();
	struct err err;
	struct buf b;

	(void)state;
	assert_null(json_put_object(NULL, "k"));
	assert_null(json_put_array(NULL, "k"));
	assert_null(json_add_object(NULL));
	assert_int_equal(json_put_string(NULL, "k", "v"), -1);
	assert_int_equal(json_put_string(NULL, "k", NULL), -1);
	assert_int_equal(json_put_string(NULL, "k", "\xff"), -1);
	assert_int_equal(json_put_int(NULL, "k", 1), -1);
	assert_int_equal(json_put_int(NULL, "k", INT64_MAX), -1);
	assert_int_equal(json_put_bool(NULL, "k", true), -1);
	assert_int_equal(json_put_null(NULL, "k"), -1);
	assert_int_equal(json_count(root), 0);
	mallocs_left = 0;
	assert_int_equal(json_put_string(root, "k", "\xff"), -1);
	mallocs_left = -1;
	buf_init(&b, 1);
	assert_err(json_print(root, &b, &err), err, ERR_TOO_LARGE, "1 bytes");
	assert_err(json_print(NULL, &b, &err), err, ERR_NOMEM, "no memory");
	buf_fini(&b);
	json_free(&root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_takes_json),
		cmocka_unit_test(parse_refuses_all_else),
		cmocka_unit_test(parse_reads_exactly_len),
		cmocka_unit_test(depth_and_numbers_are_bounded),
		cmocka_unit_test(looking_is_safe_on_anything),
		cmocka_unit_test(built_documents_print),
		cmocka_unit_test(whole_numbers_are_exact),
		cmocka_unit_test(wrong_bytes_are_replaced),
		cmocka_unit_test(a_failed_builder_fails_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
