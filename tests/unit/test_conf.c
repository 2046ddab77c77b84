/* The configuration: what wins, what is refused and how it is said, what is
 * shown, and that it reads back. */
#include "test.h"

#include <errno.h>

#include "buf.h"
#include "conf.h"
#include "file.h"
#include "json.h"

/*
 * Allocations of the configuration's own code: after left of them one fails;
 * -1: none.
 */
static long left = -1;
static int failed_once;

static int
fails(void)
{
	if (left < 0)
		return 0;
	if (left-- > 0)
		return 0;
	failed_once = 1;
	return 1;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__real_strndup(const char *s, size_t len);
char *__wrap_strndup(const char *s, size_t len);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

char *
__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

char *
__wrap_strndup(const char *s, size_t len)
{
	return fails() ? NULL : __real_strndup(s, len);
}

void *
__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

static const char *host_name = "host-1";

int __wrap_gethostname(char *name, size_t len);

int
__wrap_gethostname(char *name, size_t len)
{
	if (host_name == NULL) {
		errno = EPERM;
		return -1;
	}
	assert_true(strlen(host_name) < len);
	memcpy(name, host_name, strlen(host_name) + 1);
	return 0;
}

static char dir[256];
static char path[300];

static int
make_dir(void **state)
{
	(void)state;
	host_name = "host-1";
	left = -1;
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/podprof.conf", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	left = -1;
	test_remove_dir(dir);
	return 0;
}

static void
write_conf(const char *text)
{
	struct err err;

	assert_ok(file_replace(path, text, strlen(text), 0600, &err), err);
}

static struct conf *
load(const char *text, char *const env[])
{
	struct conf *conf = NULL;
	struct err err;

	write_conf(text);
	assert_ok(conf_load(path, env, &conf, &err), err);
	return conf;
}

static char *no_env[] = {NULL};

static void
assert_refused(const char *text, const char *want)
{
	struct conf *conf = NULL;
	struct err err;

	write_conf(text);
	assert_err(conf_load(path, no_env, &conf, &err), err, ERR_INVALID,
	    want);
	assert_null(conf);
}

static void
assert_env_refused(const char *text, const char *variable, const char *want)
{
	char copy[6000];
	char *env[] = {copy, NULL};
	struct conf *conf = NULL;
	struct err err;

	(void)snprintf(copy, sizeof(copy), "%s", variable);
	write_conf(text);
	assert_err(conf_load(path, env, &conf, &err), err, ERR_INVALID, want);
	assert_null(conf);
}

static void
defaults_are_those_of_the_manual(void **state)
{
	struct conf *conf = load("", no_env);

	(void)state;
	assert_string_equal(conf->state_dir, "/var/lib/podprof");
	assert_string_equal(conf->pod, "host-1");
	assert_int_equal(conf->threads, 4);
	assert_int_equal(conf->log_level, LOG_INFO);
	assert_int_equal(conf->log_format, LOG_LOGFMT);
	assert_string_equal(conf->auth_tokens, "/etc/podprof/tokens");
	assert_int_equal(conf->auth_anonymous, ROLE_NONE);
	assert_int_equal(conf->auth_remote_user, ROLE_NONE);
	assert_string_equal(conf->auth_hosts, "");
	assert_true(conf->store_bytes == INT64_C(10) << 30);
	assert_int_equal(conf->store_jobs, 1000);
	assert_int_equal(conf->keep_ms, 86400000);
	assert_int_equal(conf->grace_ms, 600000);
	assert_int_equal(conf->min_free_bytes, 256 << 20);
	assert_int_equal(conf->job_timeout_ms, 1800000);
	assert_true(conf->memory_guard);
	assert_int_equal(conf->profiles, 32);
	assert_int_equal(conf->downloads, 32);
	assert_int_equal(conf->waiting, 256);
	assert_int_equal(conf->token_captures, 600);
	assert_int_equal(conf->app_captures, 600);
	assert_int_equal(conf->compression, COMPRESSION_ZSTD);
	assert_int_equal(conf->compression_level, 1);
	assert_int_equal(conf->sendfile, SENDFILE_NONE);
	assert_string_equal(conf->sendfile_prefix, "");
	assert_int_equal(conf->apps_len, 0);
	assert_string_equal(conf->path, path);
	assert_null(conf_ignored_variable(conf, 0));
	conf_free(&conf);
	assert_null(conf);
	conf_free(&conf);
	conf_free(NULL);
}

static void
file_values_are_taken(void **state)
{
	struct conf *conf = load("[podprof]\nstate_dir=\"/srv/a b\"\n"
	    "pod=web-1\nthreads = 256\nlog_level = debug\n"
	    "log_format = json\n[auth]\ntokens=/t\nanonymous=viewer\n"
	    "remote_user=operator\nhosts = a.example, [::1]:80\n"
	    "[limits]\nstore_bytes=1M\nstore_jobs=1\nkeep=90\ngrace=0s\n"
	    "min_free_bytes=0\njob_timeout=1d\nmemory_guard=off\n"
	    "profiles=1\ndownloads=1000\nwaiting=10000\n"
	    "[artifacts]\ncompression=none\nlevel=19\n"
	    "sendfile=x-sendfile\nsendfile_prefix=/p/\n", no_env);

	(void)state;
	assert_string_equal(conf->state_dir, "/srv/a b");
	assert_string_equal(conf->pod, "web-1");
	assert_int_equal(conf->threads, 256);
	assert_int_equal(conf->log_level, LOG_DEBUG);
	assert_int_equal(conf->log_format, LOG_JSON);
	assert_string_equal(conf->auth_tokens, "/t");
	assert_int_equal(conf->auth_anonymous, ROLE_VIEWER);
	assert_int_equal(conf->auth_remote_user, ROLE_OPERATOR);
	assert_string_equal(conf->auth_hosts, "a.example, [::1]:80");
	assert_int_equal(conf->store_bytes, 1 << 20);
	assert_int_equal(conf->store_jobs, 1);
	assert_int_equal(conf->keep_ms, 90000);
	assert_int_equal(conf->grace_ms, 0);
	assert_int_equal(conf->min_free_bytes, 0);
	assert_int_equal(conf->job_timeout_ms, 86400000);
	assert_false(conf->memory_guard);
	assert_int_equal(conf->profiles, 1);
	assert_int_equal(conf->downloads, 1000);
	assert_int_equal(conf->waiting, 10000);
	assert_int_equal(conf->compression, COMPRESSION_NONE);
	assert_int_equal(conf->compression_level, 19);
	assert_int_equal(conf->sendfile, SENDFILE_X_SENDFILE);
	assert_string_equal(conf->sendfile_prefix, "/p/");
	conf_free(&conf);
}

static void
apps_are_sorted_and_found(void **state)
{
	struct conf *conf = load("[app b]\ninspector=[::1]:9230\n"
	    "method = stream\nactivate=sigusr1\npid=/run/b.pid\n"
	    "exchange_dir=/x\nhealth_url=http://127.0.0.1:3000/h\ndrain=2s\n"
	    "[app a]\n[app B]\npid = 17\n", no_env);
	const struct conf_app *app;

	(void)state;
	assert_int_equal(conf->apps_len, 3);
	assert_string_equal(conf->apps[0].name, "B");
	assert_string_equal(conf->apps[1].name, "a");
	assert_string_equal(conf->apps[2].name, "b");
	app = conf_find_app(conf, "b");
	assert_ptr_equal(app, &conf->apps[2]);
	assert_string_equal(app->inspector, "[::1]:9230");
	assert_int_equal(app->method, METHOD_STREAM);
	assert_int_equal(app->activate, ACTIVATE_SIGUSR1);
	assert_string_equal(app->pid, "/run/b.pid");
	assert_string_equal(app->exchange_dir, "/x");
	assert_string_equal(app->health_url, "http://127.0.0.1:3000/h");
	assert_int_equal(app->drain_ms, 2000);
	app = conf_find_app(conf, "a");
	assert_string_equal(app->inspector, "127.0.0.1:9229");
	assert_int_equal(app->method, METHOD_AUTO);
	assert_int_equal(app->drain_ms, 15000);
	assert_null(conf_find_app(conf, "c"));
	assert_null(conf_find_app(conf, ""));
	conf_free(&conf);
}

static void
files_are_refused_with_line_and_reason(void **state)
{
	char want[400];

	(void)state;
	(void)snprintf(want, sizeof(want), "%s:2: threads: \"0\" is not a "
	    "whole number in 1..256", path);
	assert_refused("[podprof]\nthreads = 0\n", want);
	assert_refused("[podprof]\nthread = 4\n",
	    "\"thread\" is not a key of [podprof]; there are state_dir, pod, "
	    "threads, log_level, log_format");
	assert_refused("[pod]\n", "[pod] is not a section");
	assert_refused("threads = 4\n", "before the first [section]");
	assert_refused("[podprof]\nthreads=4\n[auth]\n[podprof]\n",
	    ":4: a second section [podprof]");
	assert_refused("[podprof]\nthreads=4\nthreads=4\n",
	    ":3: threads is given a second time; the first is in line 2");
	assert_refused("[podprof x]\n", "takes no name");
	assert_refused("[app]\n", "needs a name");
	assert_refused("[app a/b]\n", "needs a name");
	assert_refused("[app a]\n[app b]\n[app a]\n",
	    ":3: a second section [app a]");
	assert_refused("[app a]\nthreads = 4\n", "is not a key of [app]");
	assert_refused("[auth]\nanonymous = root\n",
	    "\"root\" is not one of: none, viewer, operator");
	assert_refused("[limits]\nmemory_guard = yes\n",
	    "is not one of: off, on");
	assert_refused("[limits]\nstore_bytes = 1023K\n",
	    "\"1023K\" is not in 1M..1048576G");
	assert_refused("[limits]\nkeep = 500ms\n", "not in 1s..3650d");
	assert_refused("[limits]\nkeep = 1w\n", "is not a time");
	assert_refused("[limits]\nmin_free_bytes = 1T\n", "is not a size");
	assert_refused("[artifacts]\nlevel = 20\n", "1..19");
}

static void
texts_are_checked(void **state)
{
	static const char *const inspectors[] = {"", "9229", "localhost",
	    "localhost:", "localhost:0", "localhost:65536", "h:+80", ":9229",
	    "a b:80", "[::1]", "[::1]9229", "[zz]:9229", "::1:9229",
	    "http://a:80", "ws://a:80", "ws://a:80/", "ws://a:80/x",
	    "ws://a/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77", "a:80/x"};
	static const char *const right[] = {"localhost:9229", "10.0.0.1:1",
	    "my-app.default.svc:65535", "[fe80::1]:9229",
	    "ws://[::1]:80/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77",
	    "ws://127.0.0.1:9229/0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"};
	char text[300];
	struct conf *conf;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(inspectors) / sizeof(inspectors[0]); i++) {
		(void)snprintf(text, sizeof(text), "[app a]\ninspector = %s\n",
		    inspectors[i]);
		assert_refused(text, ":2: inspector: ");
	}
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		(void)snprintf(text, sizeof(text), "[app a]\ninspector = %s\n",
		    right[i]);
		conf = load(text, no_env);
		assert_string_equal(conf->apps[0].inspector, right[i]);
		conf_free(&conf);
	}
	assert_refused("[app a]\ninspector = http://127.0.0.1:9229\n",
	    "\"http://127.0.0.1:9229\" is not HOST:PORT, [IPV6]:PORT or "
	    "ws://HOST:PORT/UUID");
	assert_refused("[podprof]\nstate_dir = relative\n",
	    "\"relative\" is not an absolute path");
	assert_refused("[podprof]\nstate_dir =\n", "not an absolute path");
	assert_refused("[podprof]\npod = a/b\n", "is not a pod's name");
	assert_refused("[podprof]\npod = a b\n", "is not a pod's name");
	assert_refused("[podprof]\npod = a\"b\n", "is not a pod's name");
	assert_refused("[podprof]\npod = \xc3\xa9\n", "is not a pod's name");
	assert_refused("[auth]\nhosts = a;b\n", "\";b\" is not a list");
	assert_refused("[app a]\npid = 0\n", "neither a process id");
	assert_refused("[app a]\npid = x.pid\n", "neither a process id");
	assert_refused("[app a]\nhealth_url = https://x/\n", "http://");
	assert_refused("[artifacts]\nsendfile = x-accel-redirect\n",
	    "needs sendfile_prefix");
	assert_refused("[artifacts]\nsendfile_prefix = x\n", "slash");
}

static void
the_environment_beats_the_file(void **state)
{
	char *env[] = {(char[]){"PODPROF_THREADS=7"},
	    (char[]){"PATH=/bin"}, (char[]){"PODPROF_AUTH_ANONYMOUS=viewer"},
	    (char[]){"PODPROF_LIMITS_KEEP=2h"},
	    (char[]){"PODPROF_ARTIFACTS_LEVEL=3"},
	    (char[]){"PODPROF_STATE_DIR=/s"}, (char[]){"PODPROF_POD=p"},
	    (char[]){"PODPROF_LIMITS_MEMORY_GUARD=off"},
	    (char[]){"PODPROF_AUTH_HOSTS="}, NULL};
	struct conf *conf = load("[podprof]\nthreads=3\n[auth]\nhosts=h\n"
	    "[limits]\nprofiles=2\n", env);

	(void)state;
	assert_int_equal(conf->threads, 7);
	assert_int_equal(conf->auth_anonymous, ROLE_VIEWER);
	assert_int_equal(conf->keep_ms, 7200000);
	assert_int_equal(conf->compression_level, 3);
	assert_string_equal(conf->state_dir, "/s");
	assert_string_equal(conf->pod, "p");
	assert_string_equal(conf->auth_hosts, "");
	assert_int_equal(conf->profiles, 2);
	assert_null(conf_ignored_variable(conf, 0));
	assert_false(conf->memory_guard);
	conf_free(&conf);
}

static void
variables_find_their_app(void **state)
{
	char *env[] = {(char[]){"PODPROF_APP_TINCOIN_INSPECTOR=h:1"},
	    (char[]){"PODPROF_APP_MY_APP_EXCHANGE_DIR=/e"},
	    (char[]){"PODPROF_APP_MY_APP_PID=7"},
	    (char[]){"PODPROF_APP_X_INSPECTOR=h:2"},
	    (char[]){"PODPROF_APP_x.y-z_DRAIN=1s"}, NULL};
	struct conf *conf = load("[app tincoin]\ndrain=3s\n[app X]\n", env);

	(void)state;
	assert_int_equal(conf->apps_len, 4);
	assert_string_equal(conf_find_app(conf, "tincoin")->inspector, "h:1");
	assert_int_equal(conf_find_app(conf, "tincoin")->drain_ms, 3000);
	assert_string_equal(conf_find_app(conf, "my_app")->exchange_dir, "/e");
	assert_string_equal(conf_find_app(conf, "my_app")->pid, "7");
	assert_string_equal(conf_find_app(conf, "my_app")->inspector,
	    "127.0.0.1:9229");
	assert_string_equal(conf_find_app(conf, "X")->inspector, "h:2");
	assert_int_equal(conf_find_app(conf, "x.y-z")->drain_ms, 1000);
	conf_free(&conf);
}

static void
bad_variables_are_refused_by_name(void **state)
{
	char *twice[] = {(char[]){"PODPROF_APP_A_PID=1"},
	    (char[]){"PODPROF_APP_a_PID=1"}, NULL};
	char long_value[5000] = "PODPROF_STATE_DIR=/";
	struct conf *conf = NULL;
	struct err err;

	(void)state;
	assert_env_refused("", "PODPROF_THREADS=x",
	    "PODPROF_THREADS: \"x\" is not a whole number");
	assert_env_refused("", "PODPROF_THREADS=", "PODPROF_THREADS: \"\"");
	assert_env_refused("", "PODPROF_STATE_DIR=",
	    "PODPROF_STATE_DIR: \"\" is not an absolute path");
	assert_env_refused("", "PODPROF_STATE_DIR=/a\nb",
	    "PODPROF_STATE_DIR: a control byte (0x0a)");
	assert_env_refused("", "PODPROF_AUTH_HOSTS=\xff",
	    "PODPROF_AUTH_HOSTS: not UTF-8");
	assert_env_refused("", "PODPROF_APP_A_METHOD=magic",
	    "PODPROF_APP_A_METHOD: \"magic\" is not one of: auto, fork");
	assert_env_refused("[app Aa]\n[app aA]\n", "PODPROF_APP_AA_PID=1",
	    "PODPROF_APP_AA_PID: it may mean [app Aa] or [app aA]");
	memset(long_value + 19, 'x', sizeof(long_value) - 20);
	assert_env_refused("", long_value,
	    "PODPROF_STATE_DIR: over 4000 bytes");
	write_conf("");
	assert_err(conf_load(path, twice, &conf, &err), err, ERR_INVALID,
	    "PODPROF_APP_a_PID: PODPROF_APP_A_PID sets the same");
}

static void
foreign_variables_are_listed(void **state)
{
	char *env[] = {(char[]){"PODPROF_SERVICE_HOST=10.0.0.1"},
	    (char[]){"PODPROF_THREADS=2"}, (char[]){"PODPROF_THREADS=3"},
	    (char[]){"PODPROF_URL=http://x"}, (char[]){"PODPROF_TOKEN=t"},
	    (char[]){"PODPROF_CONFIG=/none"}, (char[]){"PODPROF_"},
	    (char[]){"PODPROF_=x"}, (char[]){"PODPROF_threads=9"},
	    (char[]){"PODPROF_APP_A_PORT_80_TCP=x"},
	    (char[]){"PODPROF_APP_PID=1"}, (char[]){"PODPROF_APP_a b_PID=1"},
	    (char[]){"PODPROF"}, (char[]){"XPODPROF_THREADS=9"}, NULL};
	static const char *const want[] = {"PODPROF_SERVICE_HOST", "PODPROF_",
	    "PODPROF_threads", "PODPROF_APP_A_PORT_80_TCP", "PODPROF_APP_PID",
	    "PODPROF_APP_a b_PID"};
	struct conf *conf = load("[app a]\n", env);
	size_t i;

	(void)state;
	/* As getenv(3): the first counts. */
	assert_int_equal(conf->threads, 2);
	assert_int_equal(conf->apps_len, 1);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_string_equal(conf_ignored_variable(conf, i), want[i]);
	assert_null(conf_ignored_variable(conf, i));
	assert_null(conf_ignored_variable(conf, SIZE_MAX));
	conf_free(&conf);
}

static void
the_pod_has_a_name(void **state)
{
	char *env[] = {(char[]){"POD_NAME=tincoin-6d5f"}, NULL};
	char *empty[] = {(char[]){"POD_NAME="}, (char[]){"PODPROF_POD="},
	    NULL};
	char *wrong[] = {(char[]){"POD_NAME=a/b"}, NULL};
	struct conf *conf = load("", env);
	struct err err;

	(void)state;
	assert_string_equal(conf->pod, "tincoin-6d5f");
	conf_free(&conf);
	conf = load("[podprof]\npod = web\n", env);
	assert_string_equal(conf->pod, "web");
	conf_free(&conf);
	conf = load("[podprof]\npod = web\n", empty);
	assert_string_equal(conf->pod, "host-1");
	conf_free(&conf);
	write_conf("");
	assert_err(conf_load(path, wrong, &conf, &err), err, ERR_INVALID,
	    "POD_NAME (or set [podprof] pod): \"a/b\" is not a pod's name");
	host_name = "";
	assert_refused("", "the host name is empty; set [podprof] pod");
	host_name = NULL;
	assert_refused("", "no host name; set [podprof] pod");
	host_name = "a b";
	assert_refused("", "host-name (or set [podprof] pod): ");
}

static void
the_file_is_found(void **state)
{
	char config[400], none[400];
	char *env[] = {config, NULL};
	char *env_none[] = {(char[]){"PODPROF_CONFIG=/none/at/all"}, NULL};
	char *env_empty[] = {(char[]){"PODPROF_CONFIG="}, NULL};
	struct conf *conf = NULL;
	struct err err;

	(void)state;
	(void)snprintf(config, sizeof(config), "PODPROF_CONFIG=%s", path);
	(void)snprintf(none, sizeof(none), "%s/none", dir);
	write_conf("[podprof]\nthreads = 9\n");
	assert_ok(conf_load(NULL, env, &conf, &err), err);
	assert_int_equal(conf->threads, 9);
	assert_string_equal(conf->path, path);
	conf_free(&conf);
	/* -c is stronger. */
	assert_ok(conf_load(path, env_none, &conf, &err), err);
	conf_free(&conf);
	assert_err(conf_load(none, env, &conf, &err), err, ERR_STORE, none);
	assert_err(conf_load(NULL, env_none, &conf, &err), err, ERR_STORE,
	    "/none/at/all: no such file");
	assert_err(conf_load(NULL, env_empty, &conf, &err), err, ERR_INVALID,
	    "PODPROF_CONFIG");
	assert_err(conf_load(dir, env, &conf, &err), err, ERR_STORE,
	    "not a regular file");
}

static void
sizes_are_bounded(void **state)
{
	struct conf *conf = NULL;
	struct err err;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, CONF_FILE_MAX + 10);
	while (b.len <= CONF_FILE_MAX)
		assert_ok(buf_addc(&b, '\n', &err), err);
	write_conf(buf_str(&b));
	assert_err(conf_load(path, no_env, &conf, &err), err, ERR_STORE,
	    "over the bound");
	buf_reset(&b);
	for (i = 0; i < CONF_APPS_MAX; i++)
		assert_ok(buf_addf(&b, &err, "[app a%d]\n", i), err);
	conf = load(buf_str(&b), no_env);
	assert_int_equal(conf->apps_len, CONF_APPS_MAX);
	conf_free(&conf);
	assert_ok(buf_adds(&b, "[app more]\n", &err), err);
	assert_refused(buf_str(&b), ":65: more than 64 apps");
	buf_fini(&b);
}

/* Every awkward value comes back as it was, and says where it is from. */
static void
what_is_shown_reads_back(void **state)
{
	static const char text[] = "[podprof]\nstate_dir = \"/a \\\"b\\\\ \"\n"
	    "[auth]\ntokens = /#t;\nhosts = \" host\"\n"
	    "[app b]\ndrain = 1500ms\n[app a]\n";
	char *env[] = {(char[]){"PODPROF_THREADS=7"}, NULL};
	struct conf *conf = load(text, env), *again;
	struct buf first;
	char want[600];
	struct err err;

	(void)state;
	buf_init(&first, 100000);
	assert_string_equal(conf->state_dir, "/a \"b\\ ");
	assert_ok(conf_show(conf, &first, &err), err);
	(void)snprintf(want, sizeof(want), "[podprof]\n# file:%s:2\nstate_dir "
	    "= \"/a \\\"b\\\\ \"\n# default:host-name\npod = host-1\n"
	    "# env:PODPROF_THREADS\nthreads = 7\n# default\nlog_level = info\n",
	    path);
	assert_memory_equal(buf_str(&first), want, strlen(want));
	assert_non_null(strstr(buf_str(&first), "\n\n[app a]\n# default\n"));
	again = load(buf_str(&first), no_env);
	assert_string_equal(again->state_dir, conf->state_dir);
	assert_string_equal(again->auth_tokens, "/#t;");
	assert_string_equal(again->auth_hosts, " host");
	assert_int_equal(again->threads, 7);
	assert_int_equal(conf_find_app(again, "b")->drain_ms, 1500);
	assert_int_equal(again->apps_len, 2);
	conf_free(&conf);
	conf_free(&again);
	buf_fini(&first);
}

static void
json_has_every_key(void **state)
{
	char *env[] = {(char[]){"POD_NAME=p"}, NULL};
	struct conf *conf = load("[app x]\ninspector = h:1\n", env);
	const struct json *row;
	struct json *json = NULL;
	struct err err;
	struct buf b;
	int apps = 0;

	(void)state;
	buf_init(&b, 100000);
	assert_ok(conf_show_json(conf, &b, &err), err);
	assert_ok(json_parse(buf_str(&b), b.len, &json, &err), err);
	assert_int_equal(json_count(json), 32);
	for (row = json_first(json); row != NULL; row = json_next(row)) {
		const char *key = json_string(json_get(row, "key"));
		const char *value = json_string(json_get(row, "value"));
		const char *origin = json_string(json_get(row, "origin"));

		assert_non_null(key);
		assert_non_null(value);
		assert_non_null(origin);
		if (strcmp(key, "pod") == 0) {
			assert_string_equal(value, "p");
			assert_string_equal(origin, "default:POD_NAME");
		}
		if (strcmp(json_string(json_get(row, "section")), "app x") ==
		    0)
			apps++;
		if (strcmp(key, "inspector") == 0)
			assert_non_null(strstr(origin, "podprof.conf:2"));
	}
	assert_int_equal(apps, 7);
	json_free(&json);
	buf_fini(&b);
	conf_free(&conf);
}

static void
the_template_changes_nothing(void **state)
{
	struct conf *conf;
	struct err err;
	struct buf b;
	char *line, *next;

	(void)state;
	buf_init(&b, 100000);
	assert_ok(conf_template(&b, &err), err);
	conf = load(buf_str(&b), no_env);
	assert_int_equal(conf->apps_len, 0);
	assert_int_equal(conf->threads, 4);
	conf_free(&conf);
	for (line = b.data; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		assert_true(strlen(line) < 80);
		assert_true(line[0] == '#' || line[0] == '[' ||
		    line[0] == '\0');
	}
	buf_fini(&b);
}

/* Let each allocation fail once, first to last. */
static void
without_memory_it_is_an_error(void **state)
{
	char config[400];
	char *env[] = {config, (char[]){"PODPROF_OTHER=1"},
	    (char[]){"PODPROF_APP_B_DRAIN=1s"}, NULL};
	struct conf *conf = NULL;
	struct err err = {0};
	long n;
	int rc;

	(void)state;
	(void)snprintf(config, sizeof(config), "PODPROF_CONFIG=%s", path);
	write_conf("[podprof]\nstate_dir = /s\n[app a]\n");
	for (n = 0;; n++) {
		failed_once = 0;
		left = n;
		rc = conf_load(NULL, env, &conf, &err);
		left = -1;
		if (!failed_once)
			break;
		assert_int_equal(rc, -1);
		assert_null(conf);
		assert_int_equal(err.code, ERR_NOMEM);
		assert_non_null(strstr(err.msg, "no memory"));
	}
	assert_int_equal(rc, 0);
	assert_true(n > 30);
	conf_free(&conf);
}

static void
words_have_their_values(void **state)
{
	(void)state;
	assert_string_equal(conf_role_name(ROLE_OPERATOR), "operator");
	assert_string_equal(conf_role_name(ROLE_NONE), "none");
	assert_string_equal(conf_method_name(METHOD_DIRECT), "direct");
	assert_int_equal(conf_role_of_name("viewer"), ROLE_VIEWER);
	assert_int_equal(conf_role_of_name("Viewer"), -1);
	assert_int_equal(conf_role_of_name(""), -1);
	assert_int_equal(conf_method_of_name("stream"), METHOD_STREAM);
	assert_int_equal(conf_method_of_name("streams"), -1);
}

#define WITH_DIR(test) \
	cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(defaults_are_those_of_the_manual),
		WITH_DIR(file_values_are_taken),
		WITH_DIR(apps_are_sorted_and_found),
		WITH_DIR(files_are_refused_with_line_and_reason),
		WITH_DIR(texts_are_checked),
		WITH_DIR(the_environment_beats_the_file),
		WITH_DIR(variables_find_their_app),
		WITH_DIR(bad_variables_are_refused_by_name),
		WITH_DIR(foreign_variables_are_listed),
		WITH_DIR(the_pod_has_a_name),
		WITH_DIR(the_file_is_found),
		WITH_DIR(sizes_are_bounded),
		WITH_DIR(what_is_shown_reads_back),
		WITH_DIR(json_has_every_key),
		WITH_DIR(the_template_changes_nothing),
		WITH_DIR(without_memory_it_is_an_error),
		WITH_DIR(words_have_their_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
