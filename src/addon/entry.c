/*
 * What JavaScript sees of the addon: arguments in, values and errors out.
 */
#include "addon.h"

#include <time.h>

#include "fork.h"
#include "napi.h"
#include "reaper.h"
#include "status.h"
#include "sys.h"

#define PATH_SIZE 4096
#define MESSAGE_SIZE 1024
/* Above this a double has no exact integers. */
#define NUMBER_MAX 9007199254740992.0

static struct {
	bool is_child;
	int64_t fork_us;	/* the last fork() */
} addon;

static struct napi_value *
throw(struct napi_env *env, const char *message)
{
	(void)napi_throw_error(env, NULL, message);
	return NULL;
}

static struct napi_value *
number_value(struct napi_env *env, double number)
{
	struct napi_value *value = NULL;

	(void)napi_create_double(env, number, &value);
	return value;
}

static struct napi_value *
text_value(struct napi_env *env, const char *text)
{
	struct napi_value *value = NULL;

	(void)napi_create_string_utf8(env, text, text_len(text), &value);
	return value;
}

/* A whole number that is not negative. */
static bool
take_number(struct napi_env *env, struct napi_value *value, double *ret_number)
{
	return napi_get_value_double(env, value, ret_number) == 0 &&
	    *ret_number >= 0 && *ret_number <= NUMBER_MAX;
}

static struct napi_value *
entry_fork(struct napi_env *env, struct napi_call *call)
{
	int64_t began_ns = sys_clock_ns(CLOCK_MONOTONIC);
	struct napi_value *args[3] = {NULL};
	char path[PATH_SIZE];
	struct fork_order order = {.status_path = path};
	double memory, timeout;
	struct text why;
	size_t argc = 3, len = 0;
	int pid;

	if (addon.is_child)
		status_failed("fork() in the child");
	if (napi_get_cb_info(env, call, &argc, args, NULL, NULL) != 0 ||
	    argc < 3 ||
	    napi_get_value_string_utf8(env, args[0], path, sizeof(path),
		&len) != 0 ||
	    len == sizeof(path) - 1 || !take_number(env, args[1], &memory) ||
	    !take_number(env, args[2], &timeout))
		return throw(env,
		    "fork(statusPath, memoryBytes, timeoutMs): a path and two "
		    "numbers that are not negative");
	order.memory_bytes = (uint64_t)memory;
	order.timeout_ms = (int64_t)timeout;
	pid = fork_run(&order, &why);
	if (pid < 0)
		return throw(env, why.data);
	addon.is_child = pid == 0;
	addon.fork_us = (sys_clock_ns(CLOCK_MONOTONIC) - began_ns) / 1000;
	return number_value(env, pid);
}

static struct napi_value *
entry_microseconds(struct napi_env *env, struct napi_call *call)
{
	(void)call;
	return number_value(env, (double)addon.fork_us);
}

static struct napi_value *
entry_state(struct napi_env *env, struct napi_call *call)
{
	struct text state;

	(void)call;
	reaper_tell(&state);
	return text_value(env, state.data);
}

static struct napi_value *
entry_kill(struct napi_env *env, struct napi_call *call)
{
	(void)env;
	(void)call;
	reaper_kill();
	return NULL;
}

static struct napi_value *
entry_end(struct napi_env *env, struct napi_call *call)
{
	struct napi_value *args[1] = {NULL};
	char message[MESSAGE_SIZE];
	size_t argc = 1, len;

	if (!addon.is_child)
		return throw(env, "end() is for the child");
	if (napi_get_cb_info(env, call, &argc, args, NULL, NULL) != 0 ||
	    argc < 1 ||
	    napi_get_value_string_utf8(env, args[0], message,
		sizeof(message), &len) != 0)
		status_failed("end() without a message");
	if (len > 0)
		status_failed(message);
	status_done();
}

static bool
export(struct napi_env *env, struct napi_value *exports, const char *name,
    napi_fn fn)
{
	struct napi_value *value = NULL;

	return napi_create_function(env, name, text_len(name), fn, NULL,
		   &value) == 0 &&
	    napi_set_named_property(env, exports, name, value) == 0;
}

__attribute__((visibility("default"))) struct napi_value *
napi_register_module_v1(struct napi_env *env, struct napi_value *exports)
{
	struct napi_value *version = text_value(env, ADDON_VERSION);

	if (version == NULL ||
	    napi_set_named_property(env, exports, "version", version) != 0 ||
	    !export(env, exports, "fork", entry_fork) ||
	    !export(env, exports, "microseconds", entry_microseconds) ||
	    !export(env, exports, "state", entry_state) ||
	    !export(env, exports, "kill", entry_kill) ||
	    !export(env, exports, "end", entry_end))
		return throw(env, "podprof-fork.node: cannot export");
	return exports;
}
