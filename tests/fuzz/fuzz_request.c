/*
 * What a client may write: a query, Accept and Prefer, and the body of POST
 * jobs, all from the same bytes.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "negotiate.h"
#include "order.h"
#include "params.h"
#include "str.h"

static int
color_of_name(const char *name)
{
	return strcmp(name, "red") == 0 ? 1 : -1;
}

static const struct param_spec specs[] = {
	{ .name = "n", .type = PARAM_INT, .min = 1, .max = 10,
	    .may_be_empty = true },
	{ .name = "x", .type = PARAM_NUMBER },
	{ .name = "c", .type = PARAM_WORD, .word = color_of_name,
	    .allowed = "red" },
	{ .name = "j", .type = PARAM_UUID },
	{ .name = NULL },
};

static void
try_query(const char *text)
{
	struct params params;
	struct err err;
	const char *id;
	int64_t n;

	if (params_parse(specs, text, &params, &err) != 0) {
		/* The message goes to the client as JSON. */
		if (!str_is_utf8(err.msg, strlen(err.msg)))
			abort();
		return;
	}
	n = params_int(&params, "n", 1);
	id = params_text(&params, "j");
	if (n < 1 || n > 10 || (id != NULL && strlen(id) != 36))
		abort();
}

static void
try_body(const uint8_t *data, size_t size)
{
	struct order order;
	struct err err;

	if (order_parse((const char *)data, size, &order, &err) != 0)
		return;
	if (order.kind != JOB_HEAP_SNAPSHOT &&
	    (order.duration_ms < ORDER_DURATION_MIN_MS ||
	    order.duration_ms > ORDER_DURATION_MAX_MS))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	try_query(text);
	(void)negotiate_wants_json(text);
	if (negotiate_prefer(text).wait_s > NEGOTIATE_WAIT_MAX_S)
		abort();
	try_body(data, size);
	free(text);
	return 0;
}
