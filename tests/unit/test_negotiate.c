/* Accept and Prefer, as real clients and hostile ones write them. */
#include "test.h"

#include "negotiate.h"

static void
test_text(void **state)
{
	static const char *const accepts[] = {
		NULL, "", "*/*", "text/plain", "text/*", "application/*",
		"text/html,application/xhtml+xml,application/xml;q=0.9,"
		"image/avif,image/webp,*/*;q=0.8",
		"application/json, text/plain, */*",
		"application/json;q=0.5, text/*;q=0.6",
		"application/json;q=0.5, text/plain;q=0.5",
		"application/json;q=0", "application/json;q=0.000",
		"application/json;q=2", "application/json;q=", "image/png",
		"application/json;q=0.1234", "application/json;q=1.001",
		"application/jsonp", "x-application/json", ",,,", ";;;q=1",
		"\"application/json\"", "application/json;q=\"1\"",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++)
		if (negotiate_wants_json(accepts[i]))
			fail_msg("JSON for %s", accepts[i]);
}

static void
test_json(void **state)
{
	static const char *const accepts[] = {
		"application/json", "application/problem+json",
		"APPLICATION/JSON", "application/json, */*;q=0.1",
		"application/json;q=0.9 , text/plain;q=0.2",
		"application/json ; charset=utf-8 ; Q=0.9, text/*;q=.5",
		"application/json;x=\"a,b;q=0\";q=0.7, */*;q=0.6",
		"application/problem+json;q=0.4, text/html",
		"application/json;q=0.001", "application/json;q=1.000",
		"text/plain;q=0, application/json",
		"application/json;q=0, application/problem+json;q=0.3",
		"\tapplication/json\t",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++)
		if (!negotiate_wants_json(accepts[i]))
			fail_msg("text for %s", accepts[i]);
}

static void
test_wait(void **state)
{
	static const struct {
		const char *prefer;
		int64_t wait_s;
	} cases[] = {
		{ NULL, -1 }, { "", -1 }, { "wait", -1 }, { "wait=", -1 },
		{ "wait=0", 0 }, { "wait=7", 7 }, { "WAIT = 7", 7 },
		{ "wait=25", 25 }, { "wait=26", 25 },
		{ "wait=99999999999999999999999", 25 },
		{ "wait=\"9\"", 9 }, { "wait=-1", -1 }, { "wait=1.5", -1 },
		{ "wait=5;foo=bar", 5 }, { "foo=\"wait=3\", wait=4", 4 },
		{ "wait=5, wait=6", 5 }, { "wait=x, wait=6", -1 },
		{ "handling=lenient, wait=3, respond-async", 3 },
		{ "wait=1 2", -1 }, { "awaitx=3", -1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefer p = negotiate_prefer(cases[i].prefer);

		if (p.wait_s != cases[i].wait_s)
			fail_msg("%s: %lld", cases[i].prefer,
			    (long long)p.wait_s);
	}
}

static void
test_respond_async(void **state)
{
	(void)state;
	assert_true(negotiate_prefer("respond-async").respond_async);
	assert_true(negotiate_prefer("wait=1,Respond-Async").respond_async);
	assert_true(
	    negotiate_prefer("a=\"\\\",\", respond-async;x").respond_async);
	assert_false(negotiate_prefer("respond-asynchronously").respond_async);
	assert_false(
	    negotiate_prefer("a=\"b, respond-async, c\"").respond_async);
	assert_false(negotiate_prefer("a=\"open, respond-async").respond_async);
	assert_false(negotiate_prefer(NULL).respond_async);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_respond_async),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
