/*
 * Counters of requests.
 */
#include "test.h"

#include <pthread.h>

#include "request.h"
#include "route.h"
#include "traffic.h"

static struct traffic *traffic;

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	assert_ok(traffic_new(&traffic, &err), err);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	traffic_free(&traffic);
	assert_null(traffic);
	traffic_free(&traffic);
	return 0;
}

struct text {
	char bytes[512];
	size_t len;
	size_t stop_at;
};

static int
print_sum(void *ctx, const struct traffic_sum *sum, struct err *err)
{
	struct text *text = ctx;
	int n;

	if (text->stop_at != 0 && text->len >= text->stop_at)
		return err_set(err, ERR_TOO_LARGE, "enough");
	n = snprintf(text->bytes + text->len, sizeof(text->bytes) - text->len,
	    "%u %s %d %llu\n", sum->route, sum->method, sum->status,
	    (unsigned long long)sum->requests);
	assert_true(n > 0 && (size_t)n < sizeof(text->bytes) - text->len);
	text->len += (size_t)n;
	return 0;
}

static void
expect(const char *want)
{
	struct text text = { .len = 0 };
	struct err err;

	assert_ok(traffic_read(traffic, print_sum, &text, &err), err);
	assert_string_equal(text.bytes, want);
}

static void
test_counts(void **state)
{
	struct text text = { .stop_at = 1 };
	struct err err;

	(void)state;
	expect("");
	traffic_count(traffic, ROUTE_NONE, HTTP_GET, 404);
	traffic_count(traffic, 0, HTTP_DELETE, 599);
	traffic_count(traffic, 0, HTTP_OTHER, 405);
	traffic_count(traffic, 0, 64, 405);
	traffic_count(traffic, 0, HTTP_GET, 200);
	traffic_count(traffic, 0, HTTP_GET, 200);
	traffic_count(traffic, 1, HTTP_HEAD, 100);
	/* An answer that was not made. */
	traffic_count(traffic, 1, HTTP_HEAD, 0);
	traffic_count(traffic, 1, HTTP_HEAD, 600);
	traffic_count(traffic, 1, HTTP_HEAD, -1);
	expect("0 GET 200 2\n0 DELETE 599 1\n0 other 405 2\n1 HEAD 100 1\n"
	    "31 GET 404 1\n");
	assert_err(traffic_read(traffic, print_sum, &text, &err), err,
	    ERR_TOO_LARGE, "enough");
}

#define EACH 20000

static void *
count_many(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < EACH; i++)
		traffic_count(traffic, 2, HTTP_POST, 202);
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[4];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_many,
		    NULL), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	expect("2 POST 202 80000\n");
}

/* Each route has a number of its own, and finds back to it. */
static void
test_routes(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; route_at(i) != NULL; i++) {
		assert_int_equal(route_number(route_at(i)), i);
		assert_string_equal(route_name(i), route_at(i)->path);
	}
	assert_in_range(i, 10, ROUTE_NONE);
	assert_null(route_at(ROUTE_NONE));
	assert_null(route_at(UINT32_MAX));
	assert_int_equal(route_number(NULL), ROUTE_NONE);
	assert_string_equal(route_name(ROUTE_NONE), "none");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_counts),
		TEST(test_threads),
		TEST(test_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
