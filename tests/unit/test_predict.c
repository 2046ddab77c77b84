/*
 * predict: what was measured must still be told about right; and no number of
 * an app makes nonsense.
 */
#include "test.h"

#include "predict.h"

#define MB ((int64_t)1 << 20)
#define NOTHING { .pid = -1, .rss_bytes = -1, .rss_peak_bytes = -1,            \
	.heap_used_bytes = -1, .heap_large_bytes = -1, .heap_young_bytes = -1, \
	.limit_bytes = -1, .available_bytes = -1 }

/* Heaps as they were measured, and what V8 took for their snapshots, in MB; and
 * what the prediction may be of it, in percent. */
static const struct heap {
	const char *what;
	double used, large, young, peak, file;
	int peak_min, peak_max, file_min, file_max;
} heaps[] = {
	{ "mixed objects, Node 20", 103.6, 6.6, 6.1, 1060.1, 186.3,
	    100, 150, 100, 150 },
	{ "mixed objects, Node 24", 390.9, 16.8, 39.5, 3752.2, 698.3,
	    100, 150, 100, 150 },
	{ "mixed objects, Node 18", 24.2, 1.4, 5.1, 208.5, 37.2,
	    100, 150, 100, 150 },
	{ "mixed objects, Node 22", 24.4, 1.4, 5.5, 213.2, 40.9,
	    100, 150, 100, 150 },
	{ "parsed JSON, Node 20", 96.6, 2.4, 3.2, 1240.2, 185.0,
	    100, 150, 100, 150 },
	{ "parsed JSON, Node 24, much of it new", 106.3, 2.5, 50.6, 901.6,
	    136.1, 100, 150, 100, 150 },
	{ "a linked list, Node 20", 23.5, 0.3, 5.9, 211.5, 47.0,
	    100, 150, 100, 150 },
	{ "Maps of records, Node 20", 101.5, 1.1, 4.6, 550.7, 125.5,
	    100, 280, 100, 200 },
	{ "functions, Node 24", 25.1, 1.4, 2.5, 148.7, 24.2,
	    100, 250, 100, 250 },
	{ "closures, Node 20", 103.6, 16.8, 8.4, 1755.0, 216.9,
	    70, 150, 90, 150 },
	{ "one Map of small things, Node 20", 103.8, 42.3, 7.4, 2026.4, 141.3,
	    50, 150, 100, 150 },
	{ "one array of small things, Node 20", 109.9, 47.5, 0, 2820.8, 191.6,
	    40, 150, 90, 150 },
	{ "strings of 1000 characters, Node 22", 24.9, 0.4, 10.5, 41.6, 20.8,
	    100, 800, 100, 300 },
	{ "strings of a million, Node 20", 24.3, 21.2, 0, 20.4, 4.0,
	    100, 900, 100, 700 },
	{ "an idle app, Node 20", 3.5, 0.3, 0.7, 15.0, 4.0,
	    100, 350, 100, 250 },
};

static struct target_facts
facts_of(const struct heap *heap)
{
	struct target_facts facts = NOTHING;

	facts.heap_used_bytes = (int64_t)(heap->used * (double)MB);
	facts.heap_large_bytes = (int64_t)(heap->large * (double)MB);
	facts.heap_young_bytes = (int64_t)(heap->young * (double)MB);
	facts.rss_bytes = facts.heap_used_bytes + 50 * MB;
	return facts;
}

static void
check_percent(const char *what, int64_t told, double is_mb, int min, int max)
{
	const double percent = 100 * (double)told / (is_mb * (double)MB);

	if (percent < min || percent > max)
		fail_msg("%s: told %.0f MB, %.0f %% of %.0f", what,
		    (double)told / (double)MB, percent, is_mb);
}

static void
test_as_measured(void **state)
{
	struct predict direct, stream;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(heaps) / sizeof(heaps[0]); i++) {
		const struct heap *heap = &heaps[i];
		const struct target_facts facts = facts_of(heap);

		predict_snapshot(&facts, METHOD_DIRECT, &direct);
		check_percent(heap->what, direct.extra_bytes, heap->peak,
		    heap->peak_min, heap->peak_max);
		check_percent(heap->what, direct.file_bytes, heap->file,
		    heap->file_min, heap->file_max);
		assert_int_equal(direct.peak_bytes,
		    facts.rss_bytes + direct.extra_bytes);
		predict_snapshot(&facts, METHOD_STREAM, &stream);
		assert_int_equal(stream.extra_bytes, direct.extra_bytes);
		assert_int_equal(stream.file_bytes, direct.file_bytes);
		/* Some 10 s for 100 MB. */
		assert_in_range(direct.freeze_ms, heap->used * 40,
		    heap->used * 120);
		assert_true(stream.freeze_ms > direct.freeze_ms);
	}
}

/* Measured for a fork on Node 24: 1.4 million nodes, 593 MB with what the app
 * under load and its copy had written to; and of 1043 MB the fork itself 98 ms
 * on a busy machine. */
static void
test_fork(void **state)
{
	const struct heap loaded = { "", 60.2, 2.6, 0.9, 592.7, 99.1,
	    0, 0, 0, 0 };
	struct target_facts facts = facts_of(&loaded);
	struct predict direct, copy;

	(void)state;
	facts.rss_bytes = 166 * MB;
	predict_snapshot(&facts, METHOD_DIRECT, &direct);
	predict_snapshot(&facts, METHOD_FORK, &copy);
	check_percent("fork under load", copy.extra_bytes, loaded.peak, 110,
	    180);
	check_percent("its file", copy.file_bytes, loaded.file, 100, 150);
	assert_in_range(copy.extra_bytes - direct.extra_bytes, 80 * MB,
	    84 * MB);
	assert_int_equal(copy.peak_bytes, facts.rss_bytes + copy.extra_bytes);
	assert_in_range(copy.freeze_ms, 10, 30);
	facts.rss_bytes = 1043 * MB;
	predict_snapshot(&facts, METHOD_FORK, &copy);
	assert_in_range(copy.freeze_ms, 90, 120);
	/* What it copies is not known, but the heap is. */
	facts.rss_bytes = -1;
	predict_snapshot(&facts, METHOD_FORK, &copy);
	assert_int_equal(copy.extra_bytes, direct.extra_bytes);
	assert_int_equal(copy.peak_bytes, -1);
	assert_int_equal(copy.freeze_ms, -1);
}

static void
check_nothing(const struct predict *predict)
{
	assert_int_equal(predict->peak_bytes, -1);
	assert_int_equal(predict->extra_bytes, -1);
	assert_int_equal(predict->file_bytes, -1);
	assert_int_equal(predict->freeze_ms, -1);
}

static void
test_unknown(void **state)
{
	const struct target_facts nothing = NOTHING;
	struct target_facts facts = NOTHING;
	struct predict predict, whole;
	struct err err;

	(void)state;
	predict_snapshot(&nothing, METHOD_FORK, &predict);
	check_nothing(&predict);
	assert_ok(predict_check(&nothing, &predict, &err), err);
	assert_int_equal(predict_cap(&nothing), 0);
	predict_refine(&nothing, METHOD_STREAM, -1, &predict);
	check_nothing(&predict);
	/* One of the two that the guard needs. */
	facts.available_bytes = 0;
	assert_ok(predict_check(&facts, &predict, &err), err);
	facts.available_bytes = -1;
	facts.heap_used_bytes = 100 * MB;
	predict_snapshot(&facts, METHOD_DIRECT, &whole);
	assert_ok(predict_check(&facts, &whole, &err), err);
	/* An app that does not tell its spaces apart. */
	assert_int_equal(whole.peak_bytes, -1);
	facts.heap_large_bytes = facts.heap_young_bytes = 0;
	predict_snapshot(&facts, METHOD_DIRECT, &predict);
	assert_memory_equal(&predict, &whole, sizeof(whole));
	facts.heap_young_bytes = 50 * MB;
	predict_snapshot(&facts, METHOD_DIRECT, &predict);
	assert_true(predict.extra_bytes < whole.extra_bytes);
}

static void
test_refined(void **state)
{
	struct target_facts facts = NOTHING;
	struct predict predict, more;

	(void)state;
	facts.rss_bytes = 181 * MB;
	/* As measured: mixed objects, Node 20. */
	predict_refine(&facts, METHOD_STREAM, 2442292, &predict);
	check_percent("refined", predict.extra_bytes, 1050.6, 100, 150);
	check_percent("its file", predict.file_bytes, 187.4, 100, 150);
	assert_int_equal(predict.peak_bytes,
	    facts.rss_bytes + predict.extra_bytes);
	predict_refine(&facts, METHOD_STREAM, 0, &predict);
	assert_int_equal(predict.extra_bytes, 0);
	assert_int_equal(predict.peak_bytes, facts.rss_bytes);
	/* However many it claims to have. */
	predict_refine(&facts, METHOD_STREAM, INT64_MAX, &predict);
	predict_refine(&facts, METHOD_STREAM, (int64_t)1 << 53, &more);
	assert_memory_equal(&predict, &more, sizeof(more));
	assert_true(predict.extra_bytes > ((int64_t)1 << 40));
	assert_true(predict.file_bytes > ((int64_t)1 << 40));
	assert_true(predict.freeze_ms > 0);
	/* Spaces that are larger than their heap, the largest there are. */
	facts.heap_used_bytes = facts.rss_bytes = (int64_t)1 << 50;
	facts.heap_large_bytes = facts.heap_young_bytes = (int64_t)1 << 50;
	predict_snapshot(&facts, METHOD_FORK, &predict);
	assert_true(predict.extra_bytes > facts.rss_bytes);
	assert_true(predict.peak_bytes > predict.extra_bytes);
	assert_true(predict.file_bytes > 0);
}

static void
test_guard(void **state)
{
	struct target_facts facts = NOTHING;
	struct predict predict = { .extra_bytes = 500 * MB };
	struct err err;

	(void)state;
	facts.available_bytes = 500 * MB;
	facts.limit_bytes = 800 * MB;
	assert_ok(predict_check(&facts, &predict, &err), err);
	predict.extra_bytes++;
	assert_err(predict_check(&facts, &predict, &err), err, ERR_SPACE,
	    "takes about 501 MB more memory, and 500 MB are available, below "
	    "the limit of 800 MB;");
	assert_non_null(strstr(err.msg, "raise the memory limit"));
	assert_non_null(strstr(err.msg, "?force=1"));
	assert_non_null(strstr(err.msg, "\"force\":true"));
	assert_non_null(strstr(err.msg, "memory_guard"));
	/* Of a machine that is full there is no limit to speak of. */
	facts.limit_bytes = -1;
	facts.available_bytes = 0;
	assert_err(predict_check(&facts, &predict, &err), err, ERR_SPACE,
	    "and 0 MB are available; ");
	assert_int_equal(predict_check(&facts, &predict, NULL), -1);
	/* The longest numbers leave the whole message. */
	predict.extra_bytes = INT64_MAX - MB;
	facts.available_bytes = facts.limit_bytes = (int64_t)1 << 50;
	assert_err(predict_check(&facts, &predict, &err), err, ERR_SPACE,
	    "memory_guard)");
}

static void
test_cap(void **state)
{
	struct target_facts facts = NOTHING;

	(void)state;
	facts.available_bytes = 1000 * MB;
	assert_in_range(predict_cap(&facts), 750 * MB, 750 * MB + 1);
	/* 0 would be no cap at all. */
	facts.available_bytes = 0;
	assert_int_equal(predict_cap(&facts), 1);
	facts.available_bytes = (int64_t)1 << 50;
	assert_true(predict_cap(&facts) < facts.available_bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_measured),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_refined),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
