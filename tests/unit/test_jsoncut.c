/*
 * jsoncut: the same message must give the same rest and the same cut value
 * however it is split, and nothing hostile may get through or grow.
 */
#include "test.h"

#include "jsoncut.h"

#define REST_MAX 256

static const struct jsoncut_rule chunk_rule = {
	.method = "HeapProfiler.addHeapSnapshotChunk",
	.outer = "params",
	.inner = "chunk",
	.form = JSONCUT_TEXT,
};

static const struct jsoncut_rule profile_rule = {
	.id = 7,
	.outer = "result",
	.inner = "profile",
	.form = JSONCUT_RAW,
};

static int
collect(void *ctx, const void *data, size_t len, struct err *err)
{
	assert_true(len > 0);
	return buf_add(ctx, data, len, err);
}

struct outcome {
	int ret;
	struct err err;
	struct buf cut;
	char rest[REST_MAX + 1];
};

static void
feed(const struct jsoncut_rule *rule, const char *text, size_t len,
    size_t split, struct outcome *out)
{
	struct jsoncut *cut = NULL;
	const struct buf *rest;
	size_t at = 0;

	memset(out, 0, sizeof(*out));
	buf_init(&out->cut, 1 << 20);
	assert_ok(jsoncut_new(REST_MAX, &cut, &out->err), out->err);
	jsoncut_begin(cut, rule, collect, &out->cut);
	while (at < len && out->ret == 0) {
		size_t n = len - at < split ? len - at : split;

		/* A copy of its own, so that reading past it is seen. */
		char *piece = malloc(n);

		assert_non_null(piece);
		memcpy(piece, text + at, n);
		out->ret = jsoncut_feed(cut, piece, n, &out->err);
		free(piece);
		at += n;
	}
	if (out->ret == 0) {
		out->ret = jsoncut_end(cut, &rest, &out->err);
		if (out->ret == 0) {
			assert_true(rest->len <= REST_MAX);
			memcpy(out->rest, rest->data, rest->len + 1);
		}
	}
	jsoncut_free(&cut);
	assert_null(cut);
}

/* The text, split in every way, gives this value and this rest. */
static void
expect(const struct jsoncut_rule *rule, const char *text, const char *value,
    const char *rest)
{
	struct outcome out;
	size_t split;

	for (split = 1; split <= strlen(text); split++) {
		feed(rule, text, strlen(text), split, &out);
		if (out.ret != 0)
			fail_msg("split %zu: %s", split, out.err.msg);
		assert_string_equal(buf_str(&out.cut), value);
		assert_string_equal(out.rest, rest);
		buf_fini(&out.cut);
	}
}

static void
expect_refused(const struct jsoncut_rule *rule, const char *text,
    const char *why)
{
	struct outcome out;
	size_t split;

	for (split = 1; split <= strlen(text); split++) {
		feed(rule, text, strlen(text), split, &out);
		assert_int_equal(out.ret, -1);
		assert_int_equal(out.err.code, ERR_TARGET_REFUSED);
		assert_non_null(strstr(out.err.msg, why));
		buf_fini(&out.cut);
	}
}

static void
test_text_is_cut(void **state)
{
	(void)state;
	expect(&chunk_rule,
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"{\\\"nodes\\\":[1,2]\\n}\"}}",
	    "{\"nodes\":[1,2]\n}",
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"\"}}");
	expect(&chunk_rule,
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"\"}}",
	    "",
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"\"}}");
}

static void
test_escapes(void **state)
{
	(void)state;
	expect(&chunk_rule,
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u6f22"
	    "\\uD83D\\ude00\\\\u0041\"}}",
	    "\"\\/\b\f\n\r\tA\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80\\u0041",
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":\"\"}}");
}

static void
test_lone_surrogates(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "\\ud83d", "\xef\xbf\xbd" },
		{ "\\ude00", "\xef\xbf\xbd" },
		{ "\\ud83dx", "\xef\xbf\xbdx" },
		{ "\\ud83d\\n", "\xef\xbf\xbd\n" },
		{ "\\ud83d\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80" },
		{ "\\ud83d\\u0041", "\xef\xbf\xbd" "A" },
		{ "\\udbff\\udfff", "\xf4\x8f\xbf\xbf" },
	};
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(text, sizeof(text),
		    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
		    "\"params\":{\"chunk\":\"%s\"}}", cases[i].in);
		expect(&chunk_rule, text, cases[i].out,
		    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
		    "\"params\":{\"chunk\":\"\"}}");
	}
}

static void
test_raw_is_cut(void **state)
{
	(void)state;
	expect(&profile_rule,
	    "{\"id\":7,\"result\":{\"profile\":{\"nodes\":[{\"id\":1,"
	    "\"name\":\"a}]\\\"\\\\\"}],\"x\":{}} , \"more\":1}}",
	    "{\"nodes\":[{\"id\":1,\"name\":\"a}]\\\"\\\\\"}],\"x\":{}}",
	    "{\"id\":7,\"result\":{\"profile\":null , \"more\":1}}");
	/* White space before the value belongs to nobody. */
	expect(&profile_rule, "{ \"id\" : 7 , \"result\" : { \"profile\" : [] } }",
	    "[]", "{ \"id\" : 7 , \"result\" : { \"profile\" : null } }");
}

static void
test_other_messages_stay_whole(void **state)
{
	static const char *const texts[] = {
		/* another id, another method, another key, another level */
		"{\"id\":77,\"result\":{\"profile\":{}}}",
		"{\"id\":\"7x\",\"result\":{\"profile\":{}}}",
		"{\"id\":7,\"result\":{\"profiles\":{}}}",
		"{\"id\":7,\"result\":{\"x\":{\"profile\":{}}}}",
		"{\"id\":7,\"profile\":{}}",
		"{\"id\":7,\"result\":[{\"profile\":{}}]}",
		"{\"id\":7,\"result\":{\"profile\":null}}",
		"{\"id\":7,\"result\":{\"profile\":12}}",
		/* what identifies it comes too late */
		"{\"result\":{\"profile\":{}},\"id\":7}",
		/* an escaped key is not the key */
		"{\"id\":7,\"result\":{\"profil\\u0065\":{}}}",
		/* the key of a level that was left */
		"{\"id\":7,\"result\":{\"profile\":1},\"x\":{\"y\":{}}}",
		"{}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect(&profile_rule, texts[i], "", texts[i]);
	expect(NULL, "{\"id\":7,\"result\":{\"profile\":{}}}", "",
	    "{\"id\":7,\"result\":{\"profile\":{}}}");
	expect(&chunk_rule,
	    "{\"method\":\"Other\",\"params\":{\"chunk\":\"x\"}}", "",
	    "{\"method\":\"Other\",\"params\":{\"chunk\":\"x\"}}");
	/* A chunk that is no string. */
	expect(&chunk_rule,
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":5}}", "",
	    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\",\"params\":"
	    "{\"chunk\":5}}");
}

static void
test_malformed(void **state)
{
	(void)state;
	expect_refused(&chunk_rule, "{\"a\":1", "ends in the middle");
	expect_refused(&chunk_rule, "12", "ends in the middle");
	expect_refused(&chunk_rule, "{]", "brackets do not match");
	expect_refused(&chunk_rule, "}", "brackets do not match");
	expect_refused(&chunk_rule, "{} {}", "follows its end");
	expect_refused(&chunk_rule, "{\"a\":\"\n\"}", "control byte");
	expect_refused(&chunk_rule, "{\"a\":\x01}", "outside of any value");
	expect_refused(&profile_rule,
	    "{\"id\":7,\"result\":{\"profile\":{\"a\":[}}}}", "brackets");
	expect_refused(&profile_rule,
	    "{\"id\":7,\"result\":{\"profile\":{},\"profile\":{}}}", "twice");
}

static void
test_malformed_text(void **state)
{
	static const struct {
		const char *in, *why;
	} cases[] = {
		{ "\\x41", "escape" },
		{ "\\u12g4", "hex" },
		{ "\\u12\\n", "hex" },
		{ "a\nb", "control byte" },
		{ "a\x1f", "control byte" },
	};
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(text, sizeof(text),
		    "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
		    "\"params\":{\"chunk\":\"%s\"}}", cases[i].in);
		expect_refused(&chunk_rule, text, cases[i].why);
	}
}

static void
test_nul_is_refused(void **state)
{
	static const char in_plain[] = "{\"a\":\0}";
	static const char in_string[] = "{\"a\":\"\0\"}";
	static const char after[] = "{}\0";
	struct outcome out;

	(void)state;
	feed(NULL, in_plain, sizeof(in_plain) - 1, 3, &out);
	assert_int_equal(out.ret, -1);
	feed(NULL, in_string, sizeof(in_string) - 1, 3, &out);
	assert_int_equal(out.ret, -1);
	feed(NULL, after, sizeof(after) - 1, 3, &out);
	assert_int_equal(out.ret, -1);
}

static void
test_rest_is_bounded(void **state)
{
	char text[REST_MAX + 64];
	struct outcome out;

	(void)state;
	memset(text, ' ', sizeof(text));
	text[0] = '{';
	text[sizeof(text) - 1] = '}';
	feed(NULL, text, sizeof(text), 50, &out);
	assert_int_equal(out.ret, -1);
	assert_int_equal(out.err.code, ERR_TARGET_REFUSED);
	assert_non_null(strstr(out.err.msg, "over 256 bytes"));
}

static void
test_depth_is_bounded(void **state)
{
	static char text[JSONCUT_DEPTH_MAX + 64];
	const char *head = "{\"id\":7,\"result\":{\"profile\":";
	struct outcome out;

	(void)state;
	memset(text, '[', sizeof(text));
	memcpy(text, head, strlen(head));
	feed(&profile_rule, text, sizeof(text), 1000, &out);
	assert_int_equal(out.ret, -1);
	assert_non_null(strstr(out.err.msg, "nested too deep"));
	buf_fini(&out.cut);
}

static int
refuse(void *ctx, const void *data, size_t len, struct err *err)
{
	(void)ctx;
	(void)data;
	(void)len;
	return err_set(err, ERR_SPACE, "disk full");
}

static void
test_sink_error_passes(void **state)
{
	const char *text = "{\"id\":7,\"result\":{\"profile\":{\"a\":1}}}";
	struct jsoncut *cut = NULL;
	struct err err;

	(void)state;
	assert_ok(jsoncut_new(REST_MAX, &cut, &err), err);
	jsoncut_begin(cut, &profile_rule, refuse, NULL);
	assert_err(jsoncut_feed(cut, text, strlen(text), &err), err, ERR_SPACE,
	    "disk full");
	jsoncut_free(&cut);
}

/* A value far longer than any buffer, in pieces longer than the module's own,
 * with an escape across every seam. */
static void
test_long_text(void **state)
{
	const char *head = "{\"method\":\"HeapProfiler.addHeapSnapshotChunk\","
	    "\"params\":{\"chunk\":\"";
	size_t n = 50000, i;
	char *text = malloc(strlen(head) + 12 * n + 4);
	char *at = text;
	struct outcome out;

	(void)state;
	assert_non_null(text);
	at = stpcpy(at, head);
	for (i = 0; i < n; i++)
		at = stpcpy(at, "\\ud83d\\ude00");
	at = stpcpy(at, "\"}}");
	feed(&chunk_rule, text, (size_t)(at - text), 200001, &out);
	assert_int_equal(out.ret, 0);
	assert_int_equal(out.cut.len, 4 * n);
	for (i = 0; i < n; i++)
		assert_memory_equal(out.cut.data + 4 * i, "\xf0\x9f\x98\x80",
		    4);
	buf_fini(&out.cut);
	free(text);
}

static void
test_used_again(void **state)
{
	struct jsoncut *cut = NULL;
	const struct buf *rest;
	struct buf got;
	struct err err;
	const char *broken = "{\"id\":7,\"result\":{\"profile\":{\"a\":\"\\";
	const char *whole = "{\"id\":7,\"result\":{\"profile\":{}}}";

	(void)state;
	buf_init(&got, 100);
	assert_ok(jsoncut_new(REST_MAX, &cut, &err), err);
	jsoncut_begin(cut, &profile_rule, collect, &got);
	assert_ok(jsoncut_feed(cut, broken, strlen(broken), &err), err);
	buf_reset(&got);
	jsoncut_begin(cut, &profile_rule, collect, &got);
	assert_ok(jsoncut_feed(cut, whole, strlen(whole), &err), err);
	assert_ok(jsoncut_end(cut, &rest, &err), err);
	assert_string_equal(buf_str(rest),
	    "{\"id\":7,\"result\":{\"profile\":null}}");
	assert_string_equal(buf_str(&got), "{}");
	buf_fini(&got);
	jsoncut_free(&cut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_cut),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_lone_surrogates),
		cmocka_unit_test(test_raw_is_cut),
		cmocka_unit_test(test_other_messages_stay_whole),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_malformed_text),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_rest_is_bounded),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_sink_error_passes),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
