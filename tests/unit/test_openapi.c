/*
 * conf/openapi.json and the route table say the same: addresses, methods,
 * roles, parameters and what they allow, kinds of errors.
 */
#include "test.h"

#include <math.h>

#include "asset.h"
#include "config.h"
#include "json.h"
#include "route.h"

static struct json *document;

static int
set_up(void **state)
{
	const struct asset *asset = asset_find("openapi.json");
	struct err err;

	(void)state;
	assert_non_null(asset);
	assert_ok(json_parse(asset->data, asset->len, &document, &err), err);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	json_free(&document);
	return 0;
}

static const struct {
	unsigned bit;
	const char *name;
} methods[] = {
	{ HTTP_GET, "get" },
	{ HTTP_HEAD, "head" },
	{ HTTP_POST, "post" },
	{ HTTP_DELETE, "delete" },
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static const char *
text_of(const struct json *object, const char *key)
{
	const char *text = json_string(json_get(object, key));

	return text != NULL ? text : "(none)";
}

/* What a reference stands for; what is none, for itself. */
static const struct json *
resolve(const struct json *value)
{
	static const char start[] = "#/components/";
	const char *ref = json_string(json_get(value, "$ref"));
	const char *slash;
	const struct json *found;
	char group[32];

	if (ref == NULL)
		return value;
	assert_int_equal(strncmp(ref, start, sizeof(start) - 1), 0);
	ref += sizeof(start) - 1;
	slash = strchr(ref, '/');
	assert_non_null(slash);
	(void)snprintf(group, sizeof(group), "%.*s", (int)(slash - ref), ref);
	found = json_get(json_path(document, "components", group), slash + 1);
	if (found == NULL)
		fail_msg("there is no %s", ref);
	return found;
}

static const struct json *
operation_of(const struct route *route, const char *method)
{
	const struct json *operation =
	    json_path(json_get(document, "paths"), route->path, method);

	if (operation == NULL)
		fail_msg("%s %s is not in the document", method, route->path);
	return operation;
}

typedef void check_fn(const struct route *route, const char *method,
    const struct json *operation);

static void
for_each(check_fn *check)
{
	unsigned i;
	size_t m;

	for (i = 0; route_at(i) != NULL; i++)
		for (m = 0; m < METHODS; m++)
			if ((route_at(i)->methods & methods[m].bit) != 0)
				check(route_at(i), methods[m].name,
				    operation_of(route_at(i),
				    methods[m].name));
}

static size_t met;

static void
count(const struct route *route, const char *method,
    const struct json *operation)
{
	(void)route;
	(void)method;
	assert_true(json_is_object(operation));
	met++;
}

/* What the table has is there, and nothing more. */
static void
test_addresses(void **state)
{
	const struct json *path;
	size_t listed = 0;

	(void)state;
	met = 0;
	for_each(count);
	for (path = json_first(json_get(document, "paths")); path != NULL;
	    path = json_next(path))
		listed += json_count(path);
	assert_int_equal(listed, met);
	assert_true(met > 20);
}

static bool
has_response(const struct json *operation, const char *status)
{
	return json_path(operation, "responses", status) != NULL;
}

static void
check_role(const struct route *route, const char *method,
    const struct json *operation)
{
	const struct json *security = json_get(operation, "security");

	assert_string_equal(text_of(operation, "x-podprof-role"),
	    conf_role_name(route->role));
	/* The document asks for a token where nothing else is said. */
	if (route->role == ROLE_NONE) {
		assert_true(json_is_array(security));
		assert_int_equal(json_count(security), 0);
	} else if (route->is_link) {
		assert_int_equal(json_count(security), 2);
		assert_int_equal(json_count(json_first(security)), 0);
	} else if (security != NULL) {
		fail_msg("%s %s: security", method, route->path);
	}
	assert_int_equal(has_response(operation, "401"),
	    route->role != ROLE_NONE);
	assert_int_equal(has_response(operation, "403"),
	    route->role != ROLE_NONE);
	/* Any query can be malformed, and any place be taken; probes need
	 * none. */
	assert_true(has_response(operation, "400"));
	assert_int_equal(has_response(operation, "429"), !route->is_probe);
	assert_true(has_response(operation, "500"));
	assert_true(has_response(operation, "503"));
	assert_int_equal(json_get(operation, "requestBody") != NULL,
	    route->takes_body);
	assert_int_equal(has_response(operation, "413"), route->takes_body);
}

static void
test_roles(void **state)
{
	const struct json *token;

	(void)state;
	for_each(check_role);
	token = json_get(json_path(document, "components",
	    "securitySchemes"), "token");
	assert_string_equal(text_of(token, "type"), "http");
	assert_string_equal(text_of(token, "scheme"), "bearer");
	assert_int_equal(json_count(json_get(document, "security")), 1);
}

/* The operation's parameter of that name and place; NULL if there is none. */
static const struct json *
find_param(const struct json *operation, const char *in, const char *name)
{
	const struct json *row, *param;

	for (row = json_first(json_get(operation, "parameters")); row != NULL;
	    row = json_next(row)) {
		param = resolve(row);
		if (strcmp(text_of(param, "in"), in) == 0 &&
		    strcmp(text_of(param, "name"), name) == 0)
			return param;
	}
	return NULL;
}

/* The words of an enum as the route has them. */
static void
join(const struct json *words, char out[200])
{
	const struct json *word;
	size_t len = 0;

	out[0] = '\0';
	for (word = json_first(words); word != NULL; word = json_next(word))
		len += (size_t)snprintf(out + len, 200 - len, "%s%s",
		    len > 0 ? ", " : "", json_string(word));
}

static void
check_spec(const struct param_spec *spec, const struct json *param)
{
	const struct json *schema = resolve(json_get(param, "schema"));
	char words[200];

	assert_int_equal(json_is_true(json_get(param, "allowEmptyValue")),
	    spec->may_be_empty);
	switch (spec->type) {
	case PARAM_INT:
		assert_string_equal(text_of(schema, "type"), "integer");
		assert_true(json_number(json_get(schema, "minimum"), NAN) ==
		    (double)spec->min);
		assert_true(json_number(json_get(schema, "maximum"), NAN) ==
		    (double)spec->max);
		break;
	case PARAM_NUMBER:
		assert_string_equal(text_of(schema, "type"), "number");
		break;
	case PARAM_NAME:
		assert_string_equal(text_of(json_get(param, "schema"),
		    "$ref"), "#/components/schemas/Name");
		break;
	case PARAM_UUID:
		assert_string_equal(text_of(json_get(param, "schema"),
		    "$ref"), "#/components/schemas/Id");
		break;
	case PARAM_WORD:
		join(json_get(schema, "enum"), words);
		assert_string_equal(words, spec->allowed);
		break;
	}
}

static size_t
count_in(const struct json *operation, const char *in)
{
	const struct json *row;
	size_t n = 0;

	for (row = json_first(json_get(operation, "parameters")); row != NULL;
	    row = json_next(row))
		n += strcmp(text_of(resolve(row), "in"), in) == 0;
	return n;
}

static void
check_params(const struct route *route, const char *method,
    const struct json *operation)
{
	static const char *const names[] = {
		"app", "id", "link", "other", "file",
	};
	const struct param_spec *spec = route->params;
	const struct json *param;
	char variable[16];
	size_t i, n = 0;

	for (; spec != NULL && spec->name != NULL; spec++, n++) {
		param = find_param(operation, "query", spec->name);
		if (param == NULL)
			fail_msg("%s %s: no %s", method, route->path,
			    spec->name);
		check_spec(spec, param);
	}
	assert_int_equal(count_in(operation, "query"), n);
	for (i = n = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(variable, sizeof(variable), "{%s}", names[i]);
		if (strstr(route->path, variable) == NULL)
			continue;
		n++;
		param = find_param(operation, "path", names[i]);
		if (param == NULL)
			fail_msg("%s %s: no %s", method, route->path,
			    names[i]);
		assert_true(json_is_true(json_get(param, "required")));
	}
	assert_int_equal(count_in(operation, "path"), n);
}

static void
test_params(void **state)
{
	(void)state;
	for_each(check_params);
}

/* Every error that there is, by its name and by its title's status. */
static void
test_errors(void **state)
{
	const struct json *types = json_get(json_get(json_path(document,
	    "components", "schemas"), "ErrorType"), "enum");
	const struct json *type = json_first(types);
	char want[64];
	int code;

	(void)state;
	for (code = 1; code <= ERR_CODE_MAX; code++) {
		(void)snprintf(want, sizeof(want), "urn:podprof:error:%s",
		    err_name((enum err_code)code));
		assert_string_equal(json_string(type), want);
		type = json_next(type);
	}
	assert_null(type);
}

/* Every reference leads somewhere; they are no deeper than that. */
static void
walk(const struct json *value)
{
	const struct json *child;

	(void)resolve(value);
	for (child = json_first(value); child != NULL;
	    child = json_next(child))
		walk(child);
}

static void
test_references(void **state)
{
	(void)state;
	walk(document);
}

static void
test_version(void **state)
{
	(void)state;
	assert_int_equal(strncmp(text_of(document, "openapi"), "3.1.", 4), 0);
	assert_string_equal(text_of(json_get(document, "info"), "version"),
	    PACKAGE_VERSION);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_addresses),
		TEST(test_roles),
		TEST(test_params),
		TEST(test_errors),
		TEST(test_references),
		TEST(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
