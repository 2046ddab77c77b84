/* Accept, Accept-Encoding and Prefer, as real clients and hostile ones write them. */
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
expect_coding(const char *accept_encoding, bool has_zstd, enum coding wanted)
{
	enum coding got = negotiate_coding(accept_encoding, has_zstd);

	if (got != wanted)
		fail_msg("\"%s\" %s zstd: %d, wanted %d", accept_encoding,
		    has_zstd ? "with" : "without", (int)got, (int)wanted);
}

static void
test_zstd(void **state)
{
	static const char *const accepts[] = {
		"zstd", "ZStd", "gzip, deflate, br, zstd", " \tzstd\t",
		"zstd;q=0.001", "zstd ; Q=0.5", "zstd;q=1.000", "zstd;q=.5,zstd",
		"zstd;q=0.5, identity;q=0.5", "identity;q=0.1, zstd;q=0.2",
		"zstd, *;q=0", "zstd;q=0.5, *", "zstd;x=y;q=0.4", ",,zstd,,",
		"zstd;q=1, zstd;q=0", "zstd;q=0.5, identity;q=nonsense",
		"zstd, \"identity",
	};
	/* Without a wish for it, but identity is out of the question. */
	static const char *const instead[] = {
		"zstd, identity;q=0", "identity;q=0, *", "identity;q=0, *;q=0.1",
		"identity;q=0.000;x, zstd;q=0.001", "*;q=0, zstd;q=0.1",
		"identity;q=0, gzip, *;q=0.5",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++)
		expect_coding(accepts[i], true, CODING_ZSTD);
	for (i = 0; i < sizeof(instead) / sizeof(instead[0]); i++) {
		expect_coding(instead[i], true, CODING_ZSTD);
		expect_coding(instead[i], false, CODING_NONE);
	}
}

static void
test_identity(void **state)
{
	static const char *const accepts[] = {
		NULL, "", " ", ",", ";", ";q=0", "q=0", "gzip", "*", "*;q=0.1",
		"gzip, deflate, br", "x-zstd", "zstd-x", "zst", "\"zstd\"",
		"\"a, zstd", "zstd;q=0", "zstd;q=0.000", "zstd;q=0, zstd",
		"zstd;q=2", "zstd;q=", "zstd;q=-1", "zstd;q=1.001",
		"zstd;q=0.0001", "zstd;q=\"1\"", "zstd;q=1 1", "zstd zstd",
		"zstd=1", "zstd;q=0, *", "gzip;q=0", "identity",
		"identity;q=0.001", "identity, zstd;q=0.9",
		"zstd;q=0.4, identity;q=0.5", "identity, *;q=0",
		"identity;q=nonsense", "identity;q=", "*;q=x", "*;q=",
		"identity;q=1, identity;q=0", "identity;q=x, gzip;q=1",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++)
		expect_coding(accepts[i], true, CODING_IDENTITY);
	/* The same, and what would be zstd if there were some. */
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++)
		expect_coding(accepts[i], false, CODING_IDENTITY);
	expect_coding("zstd", false, CODING_IDENTITY);
	expect_coding("gzip, deflate, br, zstd;q=0.1", false, CODING_IDENTITY);
}

static void
test_no_coding(void **state)
{
	static const char *const accepts[] = {
		"identity;q=0", "*;q=0", "*;q=0.0", "gzip, identity;q=0",
		"gzip, *;q=0", "zstd;q=0, identity;q=0", "zstd;q=0, *;q=0",
		"identity;q=0, zstd;q=0, *", "identity;q=0, zstd;q=x",
		"Identity ; Q=0", "x-zstd, identity;q=0",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++) {
		expect_coding(accepts[i], true, CODING_NONE);
		expect_coding(accepts[i], false, CODING_NONE);
	}
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
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_no_coding),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_respond_async),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
