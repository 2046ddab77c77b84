/*
 * The text of a call, and what comes back.
 */
#include "evaluate.h"

#include "json.h"
#include "str.h"

#define METHOD "Runtime.evaluate"
/* Of what the app threw: it may be a whole stack. */
#define THROWN_MAX 300

/* A JSON string is a string in JavaScript too. */
static int
add_literal(struct buf *out, const char *text, struct err *err)
{
	struct json *holder = json_new_object();
	struct buf printed;
	int ret = -1;

	buf_init(&printed, EVALUATE_BYTES_MAX);
	if (json_put_string(holder, "s", text) != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for an evaluation");
		goto out;
	}
	if (json_print(holder, &printed, err) != 0)
		goto out;
	/* What stands between {"s": and } */
	ret = buf_add(out, printed.data + 5, printed.len - 6, err);
out:
	json_free(&holder);
	buf_fini(&printed);
	return ret;
}

static int
add_call(struct buf *out, const char *function, const char *const args[],
    struct err *err)
{
	size_t i;

	if (buf_addf(out, err, "(%s)(", function) != 0)
		return -1;
	for (i = 0; args[i] != NULL; i++)
		if ((i > 0 && buf_addc(out, ',', err) != 0) ||
		    add_literal(out, args[i], err) != 0)
			return -1;
	return buf_addc(out, ')', err);
}

static int
make_params(struct buf *out, const char *function, const char *const args[],
    struct err *err)
{
	struct json *params = json_new_object();
	struct buf call;
	int bad = 0, ret = -1;

	buf_init(&call, EVALUATE_BYTES_MAX);
	if (add_call(&call, function, args, err) != 0)
		goto out;
	bad |= json_put_string(params, "expression", buf_str(&call));
	bad |= json_put_bool(params, "includeCommandLineAPI", true);
	bad |= json_put_bool(params, "returnByValue", true);
	bad |= json_put_bool(params, "silent", true);
	if (bad != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for an evaluation");
		goto out;
	}
	ret = json_print(params, out, err);
out:
	json_free(&params);
	buf_fini(&call);
	return ret;
}

static int
read_reply(const struct json *reply, struct buf *out, struct err *err)
{
	const struct json *result = json_get(reply, "result");
	const struct json *thrown = json_get(result, "exceptionDetails");
	const char *text;

	if (thrown != NULL) {
		text = json_string(json_path(thrown, "exception",
		    "description"));
		if (text == NULL)
			text = json_string(json_get(thrown, "text"));
		return err_set(err, ERR_TARGET_REFUSED, "the app threw: %.*s",
		    THROWN_MAX, text != NULL ? text : "no reason given");
	}
	text = json_string(json_path(result, "result", "value"));
	if (text == NULL)
		return err_set(err, ERR_TARGET_REFUSED,
		    "the app's answer to an evaluation is no text");
	return buf_adds(out, text, err);
}

int
evaluate(struct cdp *cdp, const char *function, const char *const args[],
    const struct cdp_limit *limit, struct buf *out, struct err *err)
{
	struct json *reply = NULL;
	struct buf params;
	int ret = -1;

	buf_init(&params, CDP_CONTROL_BYTES);
	if (make_params(&params, function, args, err) != 0 ||
	    cdp_call(cdp, METHOD, buf_str(&params), limit, NULL, &reply,
		err) != 0)
		goto out;
	ret = read_reply(reply, out, err);
out:
	json_free(&reply);
	buf_fini(&params);
	return ret;
}

int
evaluate_begin(struct cdp *cdp, const char *function,
    const char *const args[], struct err *err)
{
	struct buf params;
	int ret = -1;

	buf_init(&params, CDP_CONTROL_BYTES);
	if (make_params(&params, function, args, err) == 0)
		ret = cdp_begin(cdp, METHOD, buf_str(&params), NULL, err);
	buf_fini(&params);
	return ret;
}

int
evaluate_end(struct cdp *cdp, struct buf *out, struct err *err)
{
	struct json *reply = NULL;
	int ret = -1;

	if (cdp_finish(cdp, &reply, err) == 0)
		ret = read_reply(reply, out, err);
	json_free(&reply);
	return ret;
}
