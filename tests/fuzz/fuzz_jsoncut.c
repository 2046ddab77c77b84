/*
 * What an inspector may send: the first byte chooses the rule and how the rest
 * is split.  Split or whole, verdict, rest and cut value must agree.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"
#include "jsoncut.h"

static const struct jsoncut_rule rules[] = {
	{ .method = "M", .outer = "params", .inner = "chunk",
	    .form = JSONCUT_TEXT },
	{ .id = 7, .outer = "result", .inner = "profile",
	    .form = JSONCUT_RAW },
};

static int
collect(void *ctx, const void *data, size_t len, struct err *err)
{
	return buf_add(ctx, data, len, err);
}

static int
run(const struct jsoncut_rule *rule, const uint8_t *data, size_t size,
    size_t split, struct buf *value, struct buf *ret_rest)
{
	struct jsoncut *cut = NULL;
	const struct buf *rest;
	struct json *json = NULL;
	struct err err;
	size_t at;
	int ret = -1;

	if (jsoncut_new(4096, &cut, &err) != 0)
		abort();
	jsoncut_begin(cut, rule, collect, value);
	for (at = 0; at < size; at += split)
		if (jsoncut_feed(cut, data + at,
			size - at < split ? size - at : split, &err) != 0)
			goto out;
	if (jsoncut_end(cut, &rest, &err) != 0)
		goto out;
	if (buf_add(ret_rest, rest->data, rest->len, &err) != 0)
		abort();
	if (json_parse(buf_str(rest), rest->len, &json, &err) == 0)
		json_free(&json);
	ret = 0;
out:
	jsoncut_free(&cut);
	return ret;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf value[2], rest[2];
	const struct jsoncut_rule *rule;
	size_t split;
	int i, ret[2];

	if (size < 1)
		return 0;
	rule = &rules[data[0] & 1];
	split = 1 + (data[0] >> 1) % 16;
	for (i = 0; i < 2; i++) {
		buf_init(&value[i], 1 << 20);
		buf_init(&rest[i], 1 << 20);
		ret[i] = run(rule, data + 1, size - 1,
		    i == 0 ? (size > 1 ? size - 1 : 1) : split, &value[i],
		    &rest[i]);
	}
	if (ret[0] != ret[1])
		abort();
	if (ret[0] == 0 && (value[0].len != value[1].len ||
		strcmp(buf_str(&rest[0]), buf_str(&rest[1])) != 0 ||
		(value[0].len > 0 && memcmp(value[0].data, value[1].data,
		    value[0].len) != 0)))
		abort();
	for (i = 0; i < 2; i++) {
		buf_fini(&value[i]);
		buf_fini(&rest[i]);
	}
	return 0;
}
