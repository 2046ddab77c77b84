/* The body of POST jobs. */
#include "test.h"

#include "order.h"

static int
parse(const char *body, struct order *ret_order, struct err *err)
{
	return order_parse(body, strlen(body), ret_order, err);
}

static void
test_snapshot(void **state)
{
	struct order order;
	struct err err;

	(void)state;
	assert_ok(parse("{\"kind\":\"heap-snapshot\"}", &order, &err), err);
	assert_int_equal(order.kind, JOB_HEAP_SNAPSHOT);
	assert_int_equal(order.method, METHOD_AUTO);
	assert_int_equal(order.duration_ms, JOB_UNKNOWN);
	assert_int_equal(order.interval_us, JOB_UNKNOWN);
	assert_false(order.force);
	assert_ok(parse(" {\"force\":true,\"method\":\"stream\","
	    "\"kind\":\"heap-snapshot\"}\n", &order, &err), err);
	assert_int_equal(order.method, METHOD_STREAM);
	assert_true(order.force);
	assert_ok(parse("{\"kind\":\"heap-snapshot\",\"method\":\"fork\","
	    "\"force\":false}", &order, &err), err);
	assert_int_equal(order.method, METHOD_FORK);
	assert_false(order.force);
	assert_ok(parse("{\"method\":\"direct\",\"kind\":"
	    "\"heap-snapshot\"}", &order, &err), err);
	assert_int_equal(order.method, METHOD_DIRECT);
}

static void
test_profile(void **state)
{
	struct order order;
	struct err err;

	(void)state;
	assert_ok(parse("{\"kind\":\"cpu-profile\"}", &order, &err), err);
	assert_int_equal(order.kind, JOB_CPU_PROFILE);
	assert_int_equal(order.duration_ms, 60000);
	assert_int_equal(order.interval_us, JOB_UNKNOWN);
	assert_ok(parse("{\"kind\":\"cpu-profile\",\"durationMs\":100,"
	    "\"intervalUs\":50,\"method\":\"auto\"}", &order, &err), err);
	assert_int_equal(order.duration_ms, 100);
	assert_int_equal(order.interval_us, 50);
	assert_ok(parse("{\"kind\":\"cpu-profile\",\"durationMs\":1.2e5,"
	    "\"intervalUs\":100000.0}", &order, &err), err);
	assert_int_equal(order.duration_ms, 120000);
	assert_int_equal(order.interval_us, 100000);
}

static void
test_heap_profile(void **state)
{
	struct order order;
	struct err err;

	(void)state;
	assert_ok(parse("{\"kind\":\"heap-profile\"}", &order, &err), err);
	assert_int_equal(order.kind, JOB_HEAP_PROFILE);
	assert_int_equal(order.duration_ms, 60000);
	assert_int_equal(order.sampling_bytes, JOB_UNKNOWN);
	assert_false(order.live);
	assert_ok(parse("{\"samplingBytes\":1024,\"live\":true,"
	    "\"kind\":\"heap-profile\",\"durationMs\":100,\"worker\":\"3\"}",
	    &order, &err), err);
	assert_int_equal(order.duration_ms, 100);
	assert_int_equal(order.sampling_bytes, 1024);
	assert_true(order.live);
	assert_string_equal(order.worker, "3");
	assert_ok(parse("{\"kind\":\"heap-profile\",\"live\":false,"
	    "\"samplingBytes\":16777216,\"method\":\"stream\"}", &order, &err),
	    err);
	assert_int_equal(order.sampling_bytes, 16777216);
	assert_false(order.live);
}

static void
test_worker(void **state)
{
	struct order order;
	struct err err;

	(void)state;
	assert_ok(parse("{\"kind\":\"cpu-profile\"}", &order, &err), err);
	assert_string_equal(order.worker, "");
	assert_ok(parse("{\"worker\":\"1234567890123456789\","
	    "\"kind\":\"cpu-profile\"}", &order, &err), err);
	assert_string_equal(order.worker, "1234567890123456789");
	assert_ok(parse("{\"kind\":\"heap-snapshot\",\"worker\":\"3\","
	    "\"method\":\"stream\",\"force\":true}", &order, &err), err);
	assert_string_equal(order.worker, "3");
	assert_int_equal(order.method, METHOD_STREAM);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{ "", "the body" },
		{ "{", "the body" },
		{ "null", "not a JSON object" },
		{ "[]", "not a JSON object" },
		{ "\"kind\"", "not a JSON object" },
		{ "{}", "kind is missing" },
		{ "{\"kind\":\"heap-snapshot\"} x", "the body" },
		{ "{\"kind\":\"core-dump\"}", "kind: must be" },
		{ "{\"kind\":17}", "kind: must be" },
		{ "{\"kind\":null}", "kind: must be" },
		{ "{\"kind\":\"heap\"}",
		    "kind: must be \"heap-snapshot\", \"cpu-profile\" or "
		    "\"heap-profile\"" },
		{ "{\"kind\":\"heap-snapshot\",\"kind\":\"heap-snapshot\"}",
		    "kind: given twice" },
		{ "{\"kind\":\"heap-snapshot\",\"Kind\":1}",
		    "Kind: there is no such member" },
		{ "{\"kind\":\"heap-snapshot\",\"durationMs\":500}",
		    "durationMs" },
		{ "{\"kind\":\"heap-snapshot\",\"intervalUs\":500}",
		    "intervalUs" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":99}",
		    "durationMs: must be a whole number from 100 to 120000" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":120001}",
		    "durationMs" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":100.5}",
		    "durationMs" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":1e300}",
		    "durationMs" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":\"500\"}",
		    "durationMs" },
		{ "{\"kind\":\"cpu-profile\",\"durationMs\":null}",
		    "durationMs" },
		{ "{\"kind\":\"cpu-profile\",\"intervalUs\":49}",
		    "intervalUs: must be a whole number from 50 to 100000" },
		{ "{\"kind\":\"cpu-profile\",\"intervalUs\":true}",
		    "intervalUs" },
		{ "{\"kind\":\"heap-profile\",\"intervalUs\":500}",
		    "intervalUs: a heap-profile has no interval" },
		{ "{\"kind\":\"heap-profile\",\"durationMs\":99}",
		    "durationMs: must be a whole number from 100 to 120000" },
		{ "{\"kind\":\"heap-profile\",\"samplingBytes\":1023}",
		    "samplingBytes: must be a whole number from 1024 to "
		    "16777216" },
		{ "{\"kind\":\"heap-profile\",\"samplingBytes\":16777217}",
		    "samplingBytes: must be" },
		{ "{\"kind\":\"heap-profile\",\"samplingBytes\":\"2048\"}",
		    "samplingBytes: must be" },
		{ "{\"kind\":\"heap-profile\",\"live\":1}",
		    "live: must be true or false" },
		{ "{\"kind\":\"heap-profile\",\"method\":\"fork\"}",
		    "method: fork is a way to take a heap-snapshot; leave it "
		    "out for a heap-profile" },
		{ "{\"kind\":\"cpu-profile\",\"samplingBytes\":4096}",
		    "samplingBytes: a cpu-profile takes no samples" },
		{ "{\"kind\":\"heap-snapshot\",\"samplingBytes\":4096}",
		    "samplingBytes: a heap-snapshot takes no samples" },
		{ "{\"live\":true,\"kind\":\"cpu-profile\"}",
		    "live: a cpu-profile has no such choice" },
		{ "{\"kind\":\"heap-snapshot\",\"method\":\"magic\"}",
		    "method: must be \"auto\", \"fork\", \"direct\" or "
		    "\"stream\"" },
		{ "{\"kind\":\"heap-snapshot\",\"method\":\"Fork\"}",
		    "method: must be" },
		{ "{\"kind\":\"heap-snapshot\",\"method\":null}",
		    "method: must be" },
		{ "{\"kind\":\"cpu-profile\",\"method\":\"fork\"}",
		    "method: fork is a way to take a heap-snapshot" },
		{ "{\"method\":\"direct\",\"kind\":\"cpu-profile\"}",
		    "method: direct is a way to take a heap-snapshot" },
		{ "{\"kind\":\"heap-snapshot\",\"method\":1}", "method" },
		{ "{\"kind\":\"heap-snapshot\",\"force\":1}", "force" },
		{ "{\"kind\":\"heap-snapshot\",\"force\":0}",
		    "force: must be true or false" },
		{ "{\"kind\":\"heap-snapshot\",\"force\":null}", "force" },
		{ "{\"kind\":\"heap-snapshot\",\"force\":\"true\"}", "force" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":1}",
		    "worker: must be the id of a worker thread" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":null}", "worker" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":\"\"}", "worker" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":\"1 \"}", "worker" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":\"-1\"}", "worker" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":"
		    "\"12345678901234567890\"}", "worker" },
		{ "{\"kind\":\"heap-snapshot\",\"worker\":\"1\","
		    "\"method\":\"fork\"}",
		    "method: fork is a way to take a heap-snapshot of the main "
		    "thread" },
		{ "{\"kind\":\"heap-snapshot\",\"method\":\"direct\","
		    "\"worker\":\"1\"}", "method: direct" },
		{ "{\"kind\":\"heap-snapshot\",\"x\xff\":1}", "UTF-8" },
	};
	struct order order = { .duration_ms = 4711 };
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_err(parse(cases[i].body, &order, &err), err,
		    ERR_INVALID, cases[i].text);
	assert_int_equal(order.duration_ms, 4711);
	/* NUL is no white space. */
	assert_err(order_parse("{\"kind\":\"heap-snapshot\"}\0", 25, &order,
	    &err), err, ERR_INVALID, "the body");
}

static void
test_deep(void **state)
{
	static char body[60001];
	struct order order;
	struct err err;

	(void)state;
	memset(body, '[', sizeof(body) - 1);
	assert_err(parse(body, &order, &err), err, ERR_INVALID, "the body");
	memcpy(body, "{\"kind\":", 8);
	assert_err(parse(body, &order, &err), err, ERR_INVALID, "the body");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_heap_profile),
		cmocka_unit_test(test_worker),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
