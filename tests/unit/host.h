/*
 * A process that the addon believes to be Node: it has the napi_ functions,
 * as far as the addon uses them, and takes what the addon exports.
 */
#ifndef PODPROF_TEST_HOST_H
#define PODPROF_TEST_HOST_H

#include <dlfcn.h>

#include "test.h"

#define HOST_EXPORTS 8
#define HOST_VALUES 64

struct napi_call;

struct napi_value {
	enum { HOST_NUMBER, HOST_TEXT, HOST_FUNCTION } type;
	double number;
	char text[2048];
	struct napi_value *(*fn)(void *env, struct napi_call *call);
};

struct napi_call {
	size_t argc;
	struct napi_value *args[4];
};

static struct {
	struct napi_value values[HOST_VALUES];
	size_t values_len;
	struct {
		char name[32];
		struct napi_value value;
	} exports[HOST_EXPORTS];
	size_t exports_len;
	char thrown[2048];	/* "": nothing was */
} host;

int napi_get_cb_info(void *env, struct napi_call *call, size_t *argc,
    struct napi_value **argv, struct napi_value **ret_this, void **ret_data);
int napi_get_value_double(void *env, struct napi_value *value, double *out);
int napi_get_value_string_utf8(void *env, struct napi_value *value, char *buf,
    size_t size, size_t *ret_len);
int napi_create_double(void *env, double number, struct napi_value **ret);
int napi_create_string_utf8(void *env, const char *text, size_t len,
    struct napi_value **ret);
int napi_create_function(void *env, const char *name, size_t len,
    struct napi_value *(*fn)(void *, struct napi_call *), void *data,
    struct napi_value **ret);
int napi_set_named_property(void *env, struct napi_value *object,
    const char *name, struct napi_value *value);
int napi_throw_error(void *env, const char *code, const char *msg);

static struct napi_value *
host_value(void)
{
	struct napi_value *value = &host.values[host.values_len++ %
	    HOST_VALUES];

	memset(value, 0, sizeof(*value));
	return value;
}

static struct napi_value *
host_number(double number)
{
	struct napi_value *value = host_value();

	value->number = number;
	return value;
}

static struct napi_value *
host_text(const char *text)
{
	struct napi_value *value = host_value();

	value->type = HOST_TEXT;
	(void)snprintf(value->text, sizeof(value->text), "%s", text);
	return value;
}

int
napi_get_cb_info(void *env, struct napi_call *call, size_t *argc,
    struct napi_value **argv, struct napi_value **ret_this, void **ret_data)
{
	size_t i;

	(void)env, (void)ret_this, (void)ret_data;
	for (i = 0; i < *argc && i < call->argc; i++)
		argv[i] = call->args[i];
	*argc = call->argc;
	return 0;
}

int
napi_get_value_double(void *env, struct napi_value *value, double *out)
{
	(void)env;
	*out = value->number;
	return value->type == HOST_NUMBER ? 0 : 6;
}

/* Cuts like Node's. */
int
napi_get_value_string_utf8(void *env, struct napi_value *value, char *buf,
    size_t size, size_t *ret_len)
{
	(void)env;
	if (value->type != HOST_TEXT)
		return 3;
	(void)snprintf(buf, size, "%s", value->text);
	*ret_len = strlen(buf);
	return 0;
}

int
napi_create_double(void *env, double number, struct napi_value **ret)
{
	(void)env;
	*ret = host_number(number);
	return 0;
}

int
napi_create_string_utf8(void *env, const char *text, size_t len,
    struct napi_value **ret)
{
	(void)env;
	assert_int_equal(strlen(text), len);
	*ret = host_text(text);
	return 0;
}

int
napi_create_function(void *env, const char *name, size_t len,
    struct napi_value *(*fn)(void *, struct napi_call *), void *data,
    struct napi_value **ret)
{
	(void)env, (void)data;
	assert_int_equal(strlen(name), len);
	*ret = host_value();
	(*ret)->type = HOST_FUNCTION;
	(*ret)->fn = fn;
	return 0;
}

int
napi_set_named_property(void *env, struct napi_value *object,
    const char *name, struct napi_value *value)
{
	(void)env, (void)object;
	assert_in_range(host.exports_len, 0, HOST_EXPORTS - 1);
	(void)snprintf(host.exports[host.exports_len].name,
	    sizeof(host.exports[0].name), "%s", name);
	host.exports[host.exports_len++].value = *value;
	return 0;
}

int
napi_throw_error(void *env, const char *code, const char *msg)
{
	(void)env, (void)code;
	(void)snprintf(host.thrown, sizeof(host.thrown), "%s", msg);
	return 0;
}

static const struct napi_value *
host_export(const char *name)
{
	size_t i;

	for (i = 0; i < host.exports_len; i++)
		if (strcmp(host.exports[i].name, name) == 0)
			return &host.exports[i].value;
	fail_msg("the addon has no %s", name);
	return NULL;
}

/* Load it, as process.dlopen does. */
static void
host_load(void)
{
	struct napi_value *(*start)(void *, void *);
	const char *build = getenv("top_builddir");
	char path[4096];
	void *handle;

	(void)snprintf(path, sizeof(path), "%s/podprof-fork.node",
	    build != NULL ? build : ".");
	handle = dlopen(path, RTLD_LAZY);
	if (handle == NULL)
		fail_msg("%s", dlerror());
	*(void **)&start = dlsym(handle, "napi_register_module_v1");
	assert_non_null(start);
	assert_ptr_equal(start(&host, &host), &host);
}

static struct napi_value *
host_call(const char *name, struct napi_call *call)
{
	host.thrown[0] = '\0';
	return host_export(name)->fn(&host, call);
}

/* addon.fork(): -1 if it threw. */
static int
host_fork(const char *status, double memory_bytes, double timeout_ms)
{
	struct napi_call call = {3,
	    {host_text(status), host_number(memory_bytes),
		host_number(timeout_ms)}};
	struct napi_value *value = host_call("fork", &call);

	if (host.thrown[0] != '\0') {
		assert_null(value);
		return -1;
	}
	return (int)value->number;
}

/* addon.end(), in the child. */
static void
host_end(const char *message)
{
	struct napi_call call = {1, {host_text(message)}};

	(void)host_call("end", &call);
}

static const char *
host_state(void)
{
	struct napi_call call = {0};

	return host_call("state", &call)->text;
}

static void
host_kill(void)
{
	struct napi_call call = {0};

	(void)host_call("kill", &call);
}

static double
host_microseconds(void)
{
	struct napi_call call = {0};

	return host_call("microseconds", &call)->number;
}

#endif
