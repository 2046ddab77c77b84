/*
 * Query parameters: splitting, decoding, and checking against the table of a
 * route.  What a value means is the handler's.
 */
#include "params.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "str.h"
#include "uuid.h"

/* Decode len bytes to out, which has room for as many and a NUL. */
static int
decode(const char *in, size_t len, char *out, size_t *ret_len,
    struct err *err)
{
	size_t i, n = 0;
	int high, low;

	for (i = 0; i < len; i++) {
		if (in[i] == '+') {
			out[n++] = ' ';
			continue;
		}
		if (in[i] != '%') {
			out[n++] = in[i];
			continue;
		}
		high = i + 2 < len ? str_hex_digit(in[i + 1]) : -1;
		low = i + 2 < len ? str_hex_digit(in[i + 2]) : -1;
		if (high < 0 || low < 0)
			return err_set(err, ERR_INVALID,
			    "the query has a '%%' that is not followed by "
			    "two hex digits");
		out[n++] = (char)(high << 4 | low);
		i += 2;
	}
	out[n] = '\0';
	*ret_len = n;
	return 0;
}

static bool
is_printable(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	return str_is_utf8(s, len);
}

static int
check_value(const struct param_spec *spec, struct param *param,
    struct err *err)
{
	const char *text = param->text;

	switch (spec->type) {
	case PARAM_INT:
		return str_parse_int(
		    text, spec->min, spec->max, &param->integer, err);
	case PARAM_NUMBER:
		return str_parse_number(text, &param->number, err);
	case PARAM_NAME:
		if (str_is_name(text))
			return 0;
		return err_set(err, ERR_INVALID,
		    "\"%s\" is not 1 to %d letters, digits, '.', '_', '-'",
		    text, STR_NAME_MAX);
	case PARAM_UUID:
		if (uuid_is_valid(text))
			return 0;
		return err_set(err, ERR_INVALID,
		    "\"%s\" is not a job id (a UUID in lower case)", text);
	case PARAM_WORD:
		param->integer = spec->word(text);
		if (param->integer >= 0)
			return 0;
		return err_set(err, ERR_INVALID,
		    "\"%s\" is not one of %s", text, spec->allowed);
	}
	assert(!"a type of parameter");
	return err_set(err, ERR_INTERNAL, "a type of parameter");
}

static int
take_value(const struct param_spec *spec, struct param *param,
    const char *value, size_t len, struct err *err)
{
	if (param->given)
		return err_set(err, ERR_INVALID, "given twice");
	if (!is_printable(value, len))
		return err_set(err, ERR_INVALID, "not printable UTF-8 text");
	if (len >= PARAM_TEXT_MAX)
		return err_set(err, ERR_INVALID,
		    "longer than %d bytes", PARAM_TEXT_MAX - 1);
	param->given = true;
	memcpy(param->text, value, len + 1);
	if (len == 0 && spec->may_be_empty)
		return 0;
	if (len == 0)
		return err_set(err, ERR_INVALID,
		    "empty; leave it out, or give it a value");
	return check_value(spec, param, err);
}

static int
take_pair(struct params *params, const char *text, size_t len,
    struct err *err)
{
	const char *equals = memchr(text, '=', len);
	const struct param_spec *spec = params->specs;
	size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
	size_t decoded_len = 0, i;
	char name[PARAMS_QUERY_MAX + 1], value[PARAMS_QUERY_MAX + 1] = "";

	if (decode(text, name_len, name, &decoded_len, err) != 0)
		return -1;
	name_len = decoded_len;
	decoded_len = 0;
	if (equals != NULL && decode(equals + 1,
	    len - (size_t)(equals + 1 - text), value, &decoded_len, err) != 0)
		return -1;
	for (i = 0; spec != NULL && spec[i].name != NULL; i++) {
		if (strlen(spec[i].name) != name_len ||
		    memcmp(spec[i].name, name, name_len) != 0)
			continue;
		if (take_value(&spec[i], &params->values[i], value,
		    decoded_len, err) != 0)
			return err_wrap(err, "parameter %s", spec[i].name);
	}
	return 0;
}

/* "name=" counts as absent from here on. */
static void
forget_empty(struct params *params)
{
	size_t i;

	for (i = 0; i < PARAMS_MAX; i++)
		if (params->values[i].text[0] == '\0')
			params->values[i].given = false;
}

int
params_parse(const struct param_spec *specs, const char *query,
    struct params *ret_params, struct err *err)
{
	struct params params = { .specs = specs };
	const char *text = query != NULL ? query : "";
	size_t len, pairs = 0;

	if (strlen(text) > PARAMS_QUERY_MAX)
		return err_set(err, ERR_INVALID,
		    "the query is over %d bytes", PARAMS_QUERY_MAX);
	for (; *text != '\0'; text += len + (text[len] == '&')) {
		len = strcspn(text, "&");
		if (len == 0)
			continue;
		if (++pairs > PARAMS_PAIRS_MAX)
			return err_set(err, ERR_INVALID,
			    "the query has over %d parameters",
			    PARAMS_PAIRS_MAX);
		if (take_pair(&params, text, len, err) != 0)
			return -1;
	}
	forget_empty(&params);
	*ret_params = params;
	return 0;
}

static const struct param *
find(const struct params *params, const char *name)
{
	size_t i;

	for (i = 0; params->specs != NULL && params->specs[i].name != NULL;
	    i++) {
		if (strcmp(params->specs[i].name, name) == 0)
			return &params->values[i];
	}
	assert(!"a parameter that its route declares");
	return NULL;
}

int64_t
params_int(const struct params *params, const char *name, int64_t fallback)
{
	const struct param *param = find(params, name);

	return param->given ? param->integer : fallback;
}

double
params_number(const struct params *params, const char *name, double fallback)
{
	const struct param *param = find(params, name);

	return param->given ? param->number : fallback;
}

const char *
params_text(const struct params *params, const char *name)
{
	const struct param *param = find(params, name);

	return param->given ? param->text : NULL;
}
