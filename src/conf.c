/*
 * The configuration.  One table of keys is all there is to know about them:
 * reading, showing and the template walk it; conf/podprof.conf and
 * podprof.conf(5) are compared with it by tests/lint/config.sh.
 */
#include "conf.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "file.h"
#include "ini.h"
#include "json.h"
#include "str.h"
#include "uuid.h"

#define TEXT_MAX 4000	/* bytes of a value: paths stay below PATH_MAX */
#define POD_MAX 253	/* as a Kubernetes pod's name */
#define VARIABLE_MAX 64	/* bytes of a known variable's name, but for NAME */
#define SIZE_LIMIT (INT64_C(1) << 50)
#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

enum section {
	SECTION_PODPROF,
	SECTION_AUTH,
	SECTION_APP,
	SECTION_LIMITS,
	SECTION_ARTIFACTS,
	SECTIONS_LEN,
};
static const char *const section_names[SECTIONS_LEN] = {
	"podprof", "auth", "app", "limits", "artifacts",
};

enum kind {
	KIND_TEXT,	/* const char * */
	KIND_INT,	/* int64_t */
	KIND_SIZE,	/* int64_t */
	KIND_DURATION,	/* int64_t, ms */
	KIND_WORD,	/* an enum: the index in words */
	KIND_SWITCH,	/* bool: the index in words */
};

/* In the order of their enums; NULL ends. */
static const char *const role_words[] = {"none", "viewer", "operator", NULL};
static const char *const method_words[] = {"auto", "fork", "direct", "stream",
    NULL};
static const char *const activate_words[] = {"never", "sigusr1", NULL};
static const char *const compression_words[] = {"zstd", "none", NULL};
static const char *const sendfile_words[] = {"none", "x-accel-redirect",
    "x-sendfile", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug",
    NULL};
static const char *const format_words[] = {"logfmt", "json", NULL};
static const char *const switch_words[] = {"off", "on", NULL};

typedef int check_fn(const char *text, struct err *err);
static check_fn check_path, check_pod, check_hosts, check_inspector, check_pid,
    check_url, check_prefix;

struct key {
	enum section section;
	const char *name;
	enum kind kind;
	size_t at;		/* in struct conf, or struct conf_app */
	const char *initial;	/* the default */
	int64_t min, max;	/* of numbers; sizes in bytes, times in ms */
	const char *const *words;
	check_fn *check;	/* of a text */
	const char *form;	/* of a text, in words */
	const char *sentence;
	bool idle;		/* accepted, and without effect so far */
};

#define IN_CONF(field) offsetof(struct conf, field)
#define IN_APP(field) offsetof(struct conf_app, field)

static const struct key keys[] = {
	{SECTION_PODPROF, "state_dir", KIND_TEXT, IN_CONF(state_dir),
	    "/var/lib/podprof", .check = check_path, .form = "Absolute path.",
	    .sentence = "The directory of the database and the artifacts. It "
	    "must belong to the user that podprof runs as."},
	{SECTION_PODPROF, "pod", KIND_TEXT, IN_CONF(pod), "",
	    .check = check_pod,
	    .form = "1 to 253 visible ASCII characters, no slash, no double "
	    "quote; or empty.",
	    .sentence = "The name of this pod or host in jobs and file names. "
	    "Empty: the value of POD_NAME, else the host name."},
	{SECTION_PODPROF, "threads", KIND_INT, IN_CONF(threads), "4", 1, 256,
	    .sentence = "Requests that are worked on at the same time. "
	    "Downloads and waits have places of their own."},
	{SECTION_PODPROF, "log_level", KIND_WORD, IN_CONF(log_level), "info",
	    .words = level_words,
	    .sentence = "The least important lines that are logged. Audit "
	    "lines always are."},
	{SECTION_PODPROF, "log_format", KIND_WORD, IN_CONF(log_format),
	    "logfmt", .words = format_words,
	    .sentence = "How a line on stderr is written."},

	{SECTION_AUTH, "tokens", KIND_TEXT, IN_CONF(auth_tokens),
	    "/etc/podprof/tokens", .check = check_path,
	    .form = "Absolute path.",
	    .sentence = "The tokens file, which \"podprof token\" keeps."},
	{SECTION_AUTH, "anonymous", KIND_WORD, IN_CONF(auth_anonymous), "none",
	    .words = role_words,
	    .sentence = "The role of a request without a token."},
	{SECTION_AUTH, "remote_user", KIND_WORD, IN_CONF(auth_remote_user),
	    "none", .words = role_words,
	    .sentence = "The role of a request for which the web server set "
	    "both REMOTE_USER and AUTH_TYPE."},
	{SECTION_AUTH, "hosts", KIND_TEXT, IN_CONF(auth_hosts), "",
	    .check = check_hosts,
	    .form = "Host names, separated by blanks or commas; or empty.",
	    .sentence = "The Host names that are answered when the role does "
	    "not come from a token. Empty: loopback names, IP literals and "
	    "the host name."},

	{SECTION_APP, "inspector", KIND_TEXT, IN_APP(inspector),
	    "127.0.0.1:9229", .check = check_inspector,
	    .form = "HOST:PORT, [IPV6]:PORT or ws://HOST:PORT/UUID.",
	    .sentence = "Where the inspector of the Node.js process listens."},
	{SECTION_APP, "method", KIND_WORD, IN_APP(method), "auto",
	    .words = method_words,
	    .sentence = "How a heap snapshot is taken: \"auto\" and \"stream\" "
	    "read it through the inspector. Not in effect yet: \"fork\" and "
	    "\"direct\" are accepted here, and each capture with them is "
	    "refused."},
	{SECTION_APP, "activate", KIND_WORD, IN_APP(activate), "never",
	    .words = activate_words,
	    .sentence = "whether a closed inspector may be "
	    "opened by SIGUSR1. It must be open already (node --inspect).",
	    .idle = true},
	{SECTION_APP, "pid", KIND_TEXT, IN_APP(pid), "", .check = check_pid,
	    .form = "Process id, or the absolute path of a pid file; or "
	    "empty.",
	    .sentence = "the process that SIGUSR1 goes "
	    "to.",
	    .idle = true},
	{SECTION_APP, "exchange_dir", KIND_TEXT, IN_APP(exchange_dir),
	    "/run/podprof/exchange", .check = check_path,
	    .form = "Absolute path.",
	    .sentence = "a directory that podprof and the "
	    "app both see at this path. No method uses one.",
	    .idle = true},
	{SECTION_APP, "health_url", KIND_TEXT, IN_APP(health_url), "",
	    .check = check_url, .form = "http://HOST:PORT/PATH; or empty.",
	    .sentence = "the app's own health address. "
	    "/livez does not ask the app.",
	    .idle = true},
	{SECTION_APP, "drain", KIND_DURATION, IN_APP(drain_ms), "15s", 0,
	    HOUR / 6,
	    .sentence = "how long the app is shown as not "
	    "ready before a capture freezes it. A capture starts at once.",
	    .idle = true},

	{SECTION_LIMITS, "store_bytes", KIND_SIZE, IN_CONF(store_bytes), "10G",
	    1 << 20, SIZE_LIMIT,
	    .sentence = "bytes of all artifacts together. "
	    "What limits them is keep and the disk.",
	    .idle = true},
	{SECTION_LIMITS, "store_jobs", KIND_INT, IN_CONF(store_jobs), "1000",
	    1, 1000000,
	    .sentence = "rows of jobs that are kept. None "
	    "is removed for their number.",
	    .idle = true},
	{SECTION_LIMITS, "keep", KIND_DURATION, IN_CONF(keep_ms), "24h",
	    SECOND, 3650 * DAY,
	    .sentence = "How long an artifact that nobody fetched is kept."},
	{SECTION_LIMITS, "grace", KIND_DURATION, IN_CONF(grace_ms), "10m", 0,
	    30 * DAY,
	    .sentence = "How long an artifact stays after it was delivered, "
	    "for a client that lost the end of it."},
	{SECTION_LIMITS, "min_free_bytes", KIND_SIZE, IN_CONF(min_free_bytes),
	    "256M", 0, SIZE_LIMIT,
	    .sentence = "disk space that a capture must "
	    "leave free. One that fills the disk fails and removes its "
	    "file.",
	    .idle = true},
	{SECTION_LIMITS, "job_timeout", KIND_DURATION, IN_CONF(job_timeout_ms),
	    "30m", SECOND, DAY,
	    .sentence = "A job that takes longer than this fails."},
	{SECTION_LIMITS, "memory_guard", KIND_SWITCH, IN_CONF(memory_guard),
	    "on", .words = switch_words,
	    .sentence = "refuse a heap snapshot that the "
	    "app may not have the memory for. None is refused.",
	    .idle = true},
	{SECTION_LIMITS, "profiles", KIND_INT, IN_CONF(profiles), "32", 1, 1000,
	    .sentence = "Profiles of one app that run at the same time."},
	{SECTION_LIMITS, "downloads", KIND_INT, IN_CONF(downloads), "32", 1,
	    1000,
	    .sentence = "Artifacts that are sent at the same time."},
	{SECTION_LIMITS, "waiting", KIND_INT, IN_CONF(waiting), "256", 1, 10000,
	    .sentence = "Requests that wait at the same time, for a profile "
	    "or by \"Prefer: wait\"."},

	{SECTION_ARTIFACTS, "compression", KIND_WORD, IN_CONF(compression),
	    "zstd", .words = compression_words,
	    .sentence = "how artifacts are stored. They "
	    "are stored as they are, uncompressed.",
	    .idle = true},
	{SECTION_ARTIFACTS, "level", KIND_INT, IN_CONF(compression_level), "1",
	    1, 19,
	    .sentence = "the compression level.",
	    .idle = true},
	{SECTION_ARTIFACTS, "sendfile", KIND_WORD, IN_CONF(sendfile), "none",
	    .words = sendfile_words,
	    .sentence = "let the web server send the file "
	    "itself. podprof sends every byte.",
	    .idle = true},
	{SECTION_ARTIFACTS, "sendfile_prefix", KIND_TEXT,
	    IN_CONF(sendfile_prefix), "", .check = check_prefix,
	    .form = "A path that begins with a slash; or empty.",
	    .sentence = "what stands before the file's "
	    "name in the sendfile header.",
	    .idle = true},
};
#define KEYS_LEN (sizeof(keys) / sizeof(keys[0]))

/* Ours, but no keys. */
static const char *const other_variables[] = {"CONFIG", "TOKEN", "URL"};

/* What was given for a key, and where. */
struct value {
	const char *text;	/* NULL: nothing yet */
	enum conf_origin origin;
	unsigned line;		/* ORIGIN_FILE */
	const char *detail;	/* the variable, or where a default is from */
};

struct app_entry {
	struct conf_app app;
	struct value values[KEYS_LEN];
};

/* A string that the configuration owns. */
struct kept {
	struct kept *next;
	char text[];
};

/* Strings that the configuration keeps. */
struct texts {
	const char **texts;
	size_t len;
};

/* What is behind a struct conf, which is its first member. */
struct store {
	struct conf conf;
	struct value values[KEYS_LEN];
	struct app_entry *entries[CONF_APPS_MAX];
	size_t entries_len;
	struct kept *kept;
	struct texts ignored;
	struct texts idle;
};

/* Where the reader of the file is. */
struct reader {
	struct store *store;
	bool seen[SECTIONS_LEN];
	struct app_entry *entry;	/* of the [app] section we are in */
};

static int
check_path(const char *text, struct err *err)
{
	if (text[0] != '/')
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not an absolute path", text);
	return 0;
}

static int
check_pod(const char *text, struct err *err)
{
	size_t len = strlen(text);

	if (len > POD_MAX || !str_is_visible(text) ||
	    strpbrk(text, "/\"") != NULL)
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not a pod's name: 1 to %d visible ASCII "
		    "characters, no slash, no double quote", text, POD_MAX);
	return 0;
}

/* Characters of a host name or address, with the port's colon. */
#define HOST_CHARS                                                             \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

static int
check_hosts(const char *text, struct err *err)
{
	size_t good = strspn(text, HOST_CHARS ":[], \t");

	if (text[good] != '\0')
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not a list of host names", text + good);
	return 0;
}

static int
check_port(const char *text, struct err *err)
{
	int64_t port;

	if (text[0] == '-' || str_parse_int(text, 1, 65535, &port, NULL) != 0)
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not a port in 1..65535", text);
	return 0;
}

/* HOST:PORT or [IPV6]:PORT */
static int
check_address(const char *text, struct err *err)
{
	struct in6_addr ignored;
	char host[POD_MAX + 1];
	const char *start = text, *end, *port;
	bool literal = text[0] == '[';

	if (literal) {
		start = text + 1;
		end = strchr(start, ']');
		port = end != NULL && end[1] == ':' ? end + 2 : NULL;
	} else {
		end = start + strspn(start, HOST_CHARS);
		port = *end == ':' ? end + 1 : NULL;
	}
	if (port == NULL || end == start || end - start > POD_MAX)
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not HOST:PORT, [IPV6]:PORT or "
		    "ws://HOST:PORT/UUID", text);
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	if (literal && inet_pton(AF_INET6, host, &ignored) != 1)
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not an IPv6 address", host);
	return check_port(port, err);
}

static int
check_inspector(const char *text, struct err *err)
{
	char address[POD_MAX + 16];
	const char *rest, *slash;

	if (strncmp(text, "ws://", 5) != 0)
		return check_address(text, err);
	rest = text + 5;
	slash = strchr(rest, '/');
	if (slash == NULL || !uuid_is_valid(slash + 1))
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not ws://HOST:PORT/UUID, as node prints it "
		    "after \"Debugger listening on\"", text);
	if ((size_t)(slash - rest) >= sizeof(address))
		return err_set(err, ERR_INVALID, "the host is too long");
	memcpy(address, rest, (size_t)(slash - rest));
	address[slash - rest] = '\0';
	return check_address(address, err);
}

static int
check_pid(const char *text, struct err *err)
{
	int64_t pid;

	if (text[0] == '\0' || text[0] == '/' ||
	    str_parse_int(text, 1, INT32_MAX, &pid, NULL) == 0)
		return 0;
	return err_set(err, ERR_INVALID,
	    "\"%.60s\" is neither a process id nor the absolute path of a pid "
	    "file", text);
}

static int
check_url(const char *text, struct err *err)
{
	if (text[0] == '\0' ||
	    (strncmp(text, "http://", 7) == 0 && text[7] != '\0' &&
		str_is_visible(text)))
		return 0;
	return err_set(err, ERR_INVALID,
	    "\"%.60s\" is not http://HOST:PORT/PATH", text);
}

static int
check_prefix(const char *text, struct err *err)
{
	if (text[0] == '\0' || (text[0] == '/' && str_is_visible(text)))
		return 0;
	return err_set(err, ERR_INVALID,
	    "\"%.60s\" does not begin with a slash, or has blanks", text);
}

/* A variable may hold what no line of a file can. */
static int
check_text(const char *text, struct err *err)
{
	size_t len = strnlen(text, TEXT_MAX + 1), i;

	if (len > TEXT_MAX)
		return err_set(err, ERR_INVALID, "over %d bytes", TEXT_MAX);
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID,
			    "a control byte (0x%02x)", (unsigned char)text[i]);
	if (!str_is_utf8(text, len))
		return err_set(err, ERR_INVALID, "not UTF-8");
	return 0;
}

static int
keep_text(struct store *store, const char *text, const char **ret_text,
    struct err *err)
{
	size_t len = strlen(text);
	struct kept *kept = malloc(sizeof(*kept) + len + 1);

	if (kept == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	memcpy(kept->text, text, len + 1);
	kept->next = store->kept;
	store->kept = kept;
	*ret_text = kept->text;
	return 0;
}

static int
word_index(const char *const *words, const char *text)
{
	int i;

	for (i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return -1;
}

/* "none, viewer or operator" would need a grammar; "none, viewer, operator"
 * does not. */
static void
format_words_of(const struct key *key, char out[128])
{
	size_t len = 0, i;
	int n;

	for (i = 0; key->words[i] != NULL; i++) {
		n = snprintf(out + len, 128 - len, "%s%s", i > 0 ? ", " : "",
		    key->words[i]);
		assert(n > 0 && (size_t)n < 128 - len);
		len += (size_t)n;
	}
}

static int
parse_number(const struct key *key, const char *text, int64_t *ret_number,
    struct err *err)
{
	char min[STR_QUANTITY_MAX], max[STR_QUANTITY_MAX];
	int64_t number;

	if (key->kind == KIND_INT)
		return str_parse_int(text, key->min, key->max, ret_number,
		    err);
	if (key->kind == KIND_SIZE) {
		if (str_parse_size(text, &number, err) != 0)
			return -1;
		str_format_size(key->min, min);
		str_format_size(key->max, max);
	} else {
		if (str_parse_duration(text, &number, err) != 0)
			return -1;
		str_format_duration(key->min, min);
		str_format_duration(key->max, max);
	}
	if (number < key->min || number > key->max)
		return err_set(err, ERR_INVALID, "\"%.60s\" is not in %s..%s",
		    text, min, max);
	*ret_number = number;
	return 0;
}

static int
parse_word(const struct key *key, const char *text, void *field,
    struct err *err)
{
	int index = word_index(key->words, text);
	unsigned value = (unsigned)index;
	bool on = index == 1;
	char words[128];

	if (index < 0) {
		format_words_of(key, words);
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not one of: %s", text, words);
	}
	/* Every enum of struct conf is an unsigned int. */
	if (key->kind == KIND_SWITCH)
		memcpy(field, &on, sizeof(on));
	else
		memcpy(field, &value, sizeof(value));
	return 0;
}

/* Check text, keep it, and put its meaning into the field of the key; base is
 * the struct conf, or the struct conf_app. */
static int
set_value(struct store *store, const struct key *key, const char *text,
    void *base, struct value *value, struct err *err)
{
	void *field = (char *)base + key->at;
	const char *kept;
	int64_t number;

	if (check_text(text, err) != 0 ||
	    keep_text(store, text, &kept, err) != 0)
		return -1;
	switch (key->kind) {
	case KIND_TEXT:
		if (key->check(kept, err) != 0)
			return -1;
		memcpy(field, &kept, sizeof(kept));
		break;
	case KIND_INT:
	case KIND_SIZE:
	case KIND_DURATION:
		if (parse_number(key, kept, &number, err) != 0)
			return -1;
		memcpy(field, &number, sizeof(number));
		break;
	case KIND_WORD:
	case KIND_SWITCH:
		if (parse_word(key, kept, field, err) != 0)
			return -1;
		break;
	}
	value->text = kept;
	return 0;
}

static const struct key *
find_key(enum section section, const char *name)
{
	size_t i;

	for (i = 0; i < KEYS_LEN; i++)
		if (keys[i].section == section &&
		    strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

/* Where the value of a key is kept; entry is for keys of an app. */
static struct value *
slot_of(struct store *store, struct app_entry *entry, const struct key *key,
    void **ret_base)
{
	bool of_app = key->section == SECTION_APP;

	*ret_base = of_app ? (void *)&entry->app : (void *)&store->conf;
	return (of_app ? entry->values : store->values) + (key - keys);
}

static int
add_entry(struct store *store, const char *name, struct app_entry **ret_entry,
    struct err *err)
{
	struct app_entry *entry;

	if (store->entries_len == CONF_APPS_MAX)
		return err_set(err, ERR_INVALID, "more than %d apps",
		    CONF_APPS_MAX);
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	store->entries[store->entries_len++] = entry;
	*ret_entry = entry;
	return keep_text(store, name, &entry->app.name, err);
}

static struct app_entry *
find_entry(struct store *store, const char *name)
{
	size_t i;

	for (i = 0; i < store->entries_len; i++)
		if (strcmp(store->entries[i]->app.name, name) == 0)
			return store->entries[i];
	return NULL;
}

static int
find_section(const char *name, enum section *ret_section, struct err *err)
{
	int i;

	for (i = 0; i < SECTIONS_LEN; i++)
		if (strcmp(section_names[i], name) == 0) {
			*ret_section = (enum section)i;
			return 0;
		}
	return err_set(err, ERR_INVALID,
	    "[%.60s] is not a section; there are [podprof], [auth], "
	    "[app NAME], [limits] and [artifacts]", name);
}

static int
begin_section(struct reader *reader, enum section section, const char *label,
    struct err *err)
{
	const char *name = section_names[section];

	reader->entry = NULL;
	if (section == SECTION_APP) {
		if (!str_is_name(label))
			return err_set(err, ERR_INVALID,
			    "[app %.80s] needs a name: 1 to %d of letters, "
			    "digits, \".\", \"_\", \"-\"", label,
			    STR_NAME_MAX);
		if (find_entry(reader->store, label) != NULL)
			return err_set(err, ERR_INVALID,
			    "a second section [app %s]", label);
		return add_entry(reader->store, label, &reader->entry, err);
	}
	if (label[0] != '\0')
		return err_set(err, ERR_INVALID,
		    "section [%s] takes no name", name);
	if (reader->seen[section])
		return err_set(err, ERR_INVALID, "a second section [%s]",
		    name);
	reader->seen[section] = true;
	return 0;
}

static int
unknown_key(enum section section, const char *name, struct err *err)
{
	char list[ERR_MSG_MAX / 2] = "";
	size_t len = 0, i;
	int n;

	for (i = 0; i < KEYS_LEN; i++) {
		if (keys[i].section != section)
			continue;
		n = snprintf(list + len, sizeof(list) - len, "%s%s",
		    len > 0 ? ", " : "", keys[i].name);
		assert(n > 0 && (size_t)n < sizeof(list) - len);
		len += (size_t)n;
	}
	return err_set(err, ERR_INVALID,
	    "\"%.60s\" is not a key of [%s]; there are %s", name,
	    section_names[section], list);
}

static ini_visit_fn visit_line;
static int
visit_line(void *ctx, const char *section_name, const char *label,
    const char *name, const char *text, unsigned line, struct err *err)
{
	struct reader *reader = ctx;
	const struct key *key;
	enum section section = SECTION_PODPROF;
	struct value *value;
	void *base;

	if (name != NULL && section_name[0] == '\0')
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" stands before the first [section]", name);
	if (find_section(section_name, &section, err) != 0)
		return -1;
	if (name == NULL)
		return begin_section(reader, section, label, err);
	key = find_key(section, name);
	if (key == NULL)
		return unknown_key(section, name, err);
	value = slot_of(reader->store, reader->entry, key, &base);
	if (value->text != NULL)
		return err_set(err, ERR_INVALID,
		    "%s is given a second time; the first is in line %u", name,
		    value->line);
	if (set_value(reader->store, key, text, base, value, err) != 0)
		return err_wrap(err, "%s", name);
	value->origin = ORIGIN_FILE;
	value->line = line;
	return 0;
}

/* The value of NAME in env; NULL if it is not there. */
static const char *
find_variable(char *const env[], const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; env[i] != NULL; i++)
		if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
			return env[i] + len + 1;
	return NULL;
}

static int
read_file(struct store *store, const char *path, char *const env[],
    struct err *err)
{
	struct reader reader = {.store = store};
	bool named = true;
	struct buf text;
	int rc = -1;

	buf_init(&text, CONF_FILE_MAX);
	if (path == NULL)
		path = find_variable(env, "PODPROF_CONFIG");
	if (path == NULL) {
		path = PODPROF_SYSCONFDIR "/podprof.conf";
		named = false;
	}
	if (path[0] == '\0') {
		(void)err_set(err, ERR_INVALID, "the path of the configuration "
		    "file is empty: see -c and PODPROF_CONFIG");
		goto out;
	}
	if (file_read(path, &text, err) != 0) {
		if (err->code == ERR_NOT_FOUND && !named)
			rc = 0;
		else if (err->code != ERR_NOMEM)
			err->code = ERR_STATE;
		goto out;
	}
	store->conf.path = strdup(path);
	if (store->conf.path == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a path");
		goto out;
	}
	rc = ini_parse(path, buf_str(&text), text.len, visit_line, &reader,
	    err);
out:
	buf_fini(&text);
	return rc;
}

/* Without PODPROF_: "THREADS", "AUTH_TOKENS", and of an app "_PID". */
static void
format_variable(const struct key *key, char out[VARIABLE_MAX])
{
	const char *section = section_names[key->section];
	char *c;
	int n;

	if (key->section == SECTION_PODPROF)
		n = snprintf(out, VARIABLE_MAX, "%s", key->name);
	else
		n = snprintf(out, VARIABLE_MAX, "%s_%s",
		    key->section == SECTION_APP ? "" : section, key->name);
	assert(n > 0 && n < VARIABLE_MAX);
	for (c = out; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
}

/* The app's key that name (NAME_KEY) ends in, the longest; its NAME, in lower
 * case, to app_name.  NULL if there is none. */
static const struct key *
match_app_variable(const char *name, char app_name[STR_NAME_MAX + 1])
{
	size_t len = strlen(name), suffix_len, longest = 0, i;
	const struct key *found = NULL;
	char suffix[VARIABLE_MAX];

	for (i = 0; i < KEYS_LEN; i++) {
		if (keys[i].section != SECTION_APP)
			continue;
		format_variable(&keys[i], suffix);
		suffix_len = strlen(suffix);
		if (suffix_len > longest && suffix_len < len &&
		    strcmp(name + len - suffix_len, suffix) == 0) {
			found = &keys[i];
			longest = suffix_len;
		}
	}
	if (found == NULL || len - longest > STR_NAME_MAX)
		return NULL;
	for (i = 0; i < len - longest; i++)
		app_name[i] = (char)tolower((unsigned char)name[i]);
	app_name[i] = '\0';
	return str_is_name(app_name) ? found : NULL;
}

/* The key that the variable PODPROF_<name> sets, or NULL; app_name is "" but
 * for an app's key. */
static const struct key *
match_variable(const char *name, char app_name[STR_NAME_MAX + 1])
{
	char variable[VARIABLE_MAX];
	size_t i;

	app_name[0] = '\0';
	if (strncmp(name, "APP_", 4) == 0)
		return match_app_variable(name + 4, app_name);
	for (i = 0; i < KEYS_LEN; i++) {
		if (keys[i].section == SECTION_APP)
			continue;
		format_variable(&keys[i], variable);
		if (strcmp(variable, name) == 0)
			return &keys[i];
	}
	return NULL;
}

/* The app that a variable means: of exactly this name, or the only one that
 * differs in case, or a new one. */
static int
find_variable_entry(struct store *store, const char *name,
    struct app_entry **ret_entry, struct err *err)
{
	struct app_entry *found = find_entry(store, name), *entry;
	size_t i;

	for (i = 0; found == NULL && i < store->entries_len; i++) {
		entry = store->entries[i];
		if (strcasecmp(entry->app.name, name) == 0)
			found = entry;
	}
	for (; i < store->entries_len; i++) {
		entry = store->entries[i];
		if (found != NULL && entry != found &&
		    strcmp(found->app.name, name) != 0 &&
		    strcasecmp(entry->app.name, name) == 0)
			return err_set(err, ERR_INVALID,
			    "it may mean [app %s] or [app %s]",
			    found->app.name, entry->app.name);
	}
	if (found == NULL)
		return add_entry(store, name, ret_entry, err);
	*ret_entry = found;
	return 0;
}

static int
apply_variable(struct store *store, const struct key *key,
    const char *app_name, const char *variable, const char *text,
    struct err *err)
{
	struct app_entry *entry = NULL;
	struct value *value;
	void *base;

	if (key->section == SECTION_APP &&
	    find_variable_entry(store, app_name, &entry, err) != 0)
		return -1;
	value = slot_of(store, entry, key, &base);
	if (value->origin == ORIGIN_ENV) {
		/* Twice in one environment: the first counts, as for
		 * getenv(3). */
		if (strcmp(value->detail, variable) == 0)
			return 0;
		return err_set(err, ERR_INVALID,
		    "%s sets the same value; drop one of them", value->detail);
	}
	if (set_value(store, key, text, base, value, err) != 0 ||
	    keep_text(store, variable, &value->detail, err) != 0)
		return -1;
	value->origin = ORIGIN_ENV;
	return 0;
}

static bool
is_other_variable(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(other_variables) / sizeof(other_variables[0]);
	     i++)
		if (strcmp(other_variables[i], name) == 0)
			return true;
	return false;
}

static int
add_text(struct store *store, struct texts *list, const char *text,
    struct err *err)
{
	const char **grown;

	grown = reallocarray(list->texts, list->len + 1, sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	list->texts = grown;
	if (keep_text(store, text, &grown[list->len], err) != 0)
		return -1;
	list->len++;
	return 0;
}

static int
read_variable(struct store *store, const char *assignment, struct err *err)
{
	static const char prefix[] = "PODPROF_";
	const char *equals = strchr(assignment, '='), *name;
	char app_name[STR_NAME_MAX + 1];
	const struct key *key;
	char *variable;
	int rc;

	if (equals == NULL ||
	    strncmp(assignment, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	variable = strndup(assignment, (size_t)(equals - assignment));
	if (variable == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	name = variable + sizeof(prefix) - 1;
	key = match_variable(name, app_name);
	if (key != NULL) {
		rc = apply_variable(store, key, app_name, variable,
		    equals + 1, err);
		if (rc != 0)
			(void)err_wrap(err, "%s", variable);
	} else {
		rc = is_other_variable(name)
		    ? 0 : add_text(store, &store->ignored, variable, err);
	}
	free(variable);
	return rc;
}

static int
read_environment(struct store *store, char *const env[], struct err *err)
{
	size_t i;

	for (i = 0; env[i] != NULL; i++)
		if (read_variable(store, env[i], err) != 0)
			return -1;
	return 0;
}

/* What is not given yet, of the sections of the app or of all others. */
static int
set_defaults(struct store *store, struct app_entry *entry, struct err *err)
{
	struct value *value;
	void *base;
	size_t i;

	for (i = 0; i < KEYS_LEN; i++) {
		if ((keys[i].section == SECTION_APP) != (entry != NULL))
			continue;
		value = slot_of(store, entry, &keys[i], &base);
		if (value->text == NULL &&
		    set_value(store, &keys[i], keys[i].initial, base, value,
			err) != 0)
			return err_wrap(err, "%s", keys[i].name);
	}
	return 0;
}

/* An empty pod is $POD_NAME, else the host name. */
static int
settle_pod(struct store *store, char *const env[], struct err *err)
{
	const struct key *key = find_key(SECTION_PODPROF, "pod");
	struct value *value = &store->values[key - keys];
	const char *from = "POD_NAME", *name;
	char host[POD_MAX + 2] = "";

	if (store->conf.pod[0] != '\0')
		return 0;
	name = find_variable(env, from);
	if (name == NULL || name[0] == '\0') {
		from = "host-name";
		if (gethostname(host, sizeof(host) - 1) != 0)
			return err_set_errno(err, ERR_INVALID, errno,
			    "no host name; set [podprof] pod");
		name = host;
	}
	if (name[0] == '\0')
		return err_set(err, ERR_INVALID,
		    "the host name is empty; set [podprof] pod");
	if (set_value(store, key, name, &store->conf, value, err) != 0)
		return err_wrap(err, "%s (or set [podprof] pod)", from);
	value->origin = ORIGIN_DEFAULT;
	return keep_text(store, from, &value->detail, err);
}

static int
compare_entries(const void *a, const void *b)
{
	const struct app_entry *const *left = a, *const *right = b;

	return strcmp((*left)->app.name, (*right)->app.name);
}

static int
finish_apps(struct store *store, struct err *err)
{
	size_t len = store->entries_len, i;

	for (i = 0; i < len; i++)
		if (set_defaults(store, store->entries[i], err) != 0)
			return -1;
	qsort(store->entries, len, sizeof(store->entries[0]),
	    compare_entries);
	store->conf.apps = calloc(len > 0 ? len : 1, sizeof(struct conf_app));
	if (store->conf.apps == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	for (i = 0; i < len; i++)
		store->conf.apps[i] = store->entries[i]->app;
	store->conf.apps_len = len;
	return 0;
}

/* A struct conf that conf_load() gave is the first member of its store. */
static const struct store *
store_of(const struct conf *conf)
{
	return (const struct store *)(const void *)conf;
}

const struct conf_app *
conf_find_app(const struct conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->apps_len; i++)
		if (strcmp(conf->apps[i].name, name) == 0)
			return &conf->apps[i];
	return NULL;
}

const char *
conf_ignored_variable(const struct conf *conf, size_t index)
{
	const struct texts *list = &store_of(conf)->ignored;

	return index < list->len ? list->texts[index] : NULL;
}

const char *
conf_idle_key(const struct conf *conf, size_t index)
{
	const struct texts *list = &store_of(conf)->idle;

	return index < list->len ? list->texts[index] : NULL;
}

/*
 * Walking the table with the values that were found: each key of each
 * section, the keys of [app] once for each app.
 */
typedef int show_fn(void *ctx, const char *section, const char *app,
    const struct key *key, const struct value *value, struct err *err);

static int
walk_section(const struct store *store, enum section section,
    const struct app_entry *entry, show_fn *show, void *ctx, struct err *err)
{
	const char *app = entry != NULL ? entry->app.name : NULL;
	const struct value *values =
	    entry != NULL ? entry->values : store->values;
	size_t i;

	for (i = 0; i < KEYS_LEN; i++)
		if (keys[i].section == section &&
		    show(ctx, section_names[section], app, &keys[i],
			&values[i], err) != 0)
			return -1;
	return 0;
}

static int
walk(const struct store *store, show_fn *show, void *ctx, struct err *err)
{
	int section;
	size_t i;

	for (section = 0; section < SECTIONS_LEN; section++) {
		if (section != SECTION_APP) {
			if (walk_section(store, (enum section)section, NULL,
				show, ctx, err) != 0)
				return -1;
			continue;
		}
		for (i = 0; i < store->entries_len; i++)
			if (walk_section(store, SECTION_APP,
				store->entries[i], show, ctx, err) != 0)
				return -1;
	}
	return 0;
}

static show_fn collect_idle;
static int
collect_idle(void *ctx, const char *section, const char *app,
    const struct key *key, const struct value *value, struct err *err)
{
	char text[STR_NAME_MAX + VARIABLE_MAX];
	struct store *store = ctx;

	if (!key->idle || value->origin == ORIGIN_DEFAULT)
		return 0;
	(void)snprintf(text, sizeof(text), "[%s%s%s] %s", section,
	    app != NULL ? " " : "", app != NULL ? app : "", key->name);
	return add_text(store, &store->idle, text, err);
}

int
conf_load(const char *path, char *const env[], struct conf **ret_conf,
    struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));
	struct conf *conf;

	if (store == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	conf = &store->conf;
	if (read_file(store, path, env, err) != 0 ||
	    read_environment(store, env, err) != 0 ||
	    set_defaults(store, NULL, err) != 0 ||
	    settle_pod(store, env, err) != 0 ||
	    finish_apps(store, err) != 0 ||
	    walk(store, collect_idle, store, err) != 0) {
		conf_free(&conf);
		return -1;
	}
	*ret_conf = conf;
	return 0;
}

void
conf_free(struct conf **conf)
{
	struct store *store;
	struct kept *next;
	size_t i;

	if (conf == NULL || *conf == NULL)
		return;
	store = (struct store *)(void *)*conf;
	for (; store->kept != NULL; store->kept = next) {
		next = store->kept->next;
		free(store->kept);
	}
	for (i = 0; i < store->entries_len; i++)
		free(store->entries[i]);
	free(store->ignored.texts);
	free(store->idle.texts);
	free(store->conf.apps);
	free(store->conf.path);
	free(store);
	*conf = NULL;
}

static int
add_origin(const struct store *store, const struct value *value,
    struct buf *out, struct err *err)
{
	switch (value->origin) {
	case ORIGIN_FILE:
		return buf_addf(out, err, "file:%s:%u", store->conf.path,
		    value->line);
	case ORIGIN_ENV:
		return buf_addf(out, err, "env:%s", value->detail);
	case ORIGIN_DEFAULT:
		break;
	}
	return buf_addf(out, err, "default%s%s",
	    value->detail != NULL ? ":" : "",
	    value->detail != NULL ? value->detail : "");
}

struct shower {
	const struct store *store;
	struct buf *out;		/* of the INI */
	const struct key *last_key;	/* a lower one begins a section */
	struct json *array;		/* of the JSON */
};

/* A line of a file that is read back as this value. */
static int
add_assignment(struct buf *out, const char *key, const char *text,
    struct err *err)
{
	size_t len = strlen(text);
	bool quote = len > 0 &&
	    (strchr("\"#; \t", text[0]) != NULL ||
		strchr(" \t", text[len - 1]) != NULL);

	if (buf_addf(out, err, "%s =%s%s", key, len > 0 ? " " : "",
		quote ? "\"" : "") != 0)
		return -1;
	for (; *text != '\0'; text++) {
		if (quote && (*text == '"' || *text == '\\') &&
		    buf_addc(out, '\\', err) != 0)
			return -1;
		if (buf_addc(out, *text, err) != 0)
			return -1;
	}
	return buf_adds(out, quote ? "\"\n" : "\n", err);
}

static show_fn show_ini;
static int
show_ini(void *ctx, const char *section, const char *app,
    const struct key *key, const struct value *value, struct err *err)
{
	struct shower *shower = ctx;
	struct buf *out = shower->out;

	if (shower->last_key == NULL || shower->last_key >= key ||
	    shower->last_key->section != key->section) {
		if (buf_addf(out, err, "%s[%s%s%s]\n",
			shower->last_key != NULL ? "\n" : "", section,
			app != NULL ? " " : "", app != NULL ? app : "") != 0)
			return -1;
	}
	shower->last_key = key;
	if (buf_adds(out, "# ", err) != 0 ||
	    add_origin(shower->store, value, out, err) != 0 ||
	    buf_addc(out, '\n', err) != 0)
		return -1;
	return add_assignment(out, key->name, value->text, err);
}

int
conf_show(const struct conf *conf, struct buf *out, struct err *err)
{
	struct shower shower = {.store = store_of(conf), .out = out};

	return walk(shower.store, show_ini, &shower, err);
}

static show_fn show_json;
static int
show_json(void *ctx, const char *section, const char *app,
    const struct key *key, const struct value *value, struct err *err)
{
	char name[STR_NAME_MAX + 16];
	struct shower *shower = ctx;
	struct json *row;
	struct buf origin;
	int rc = -1;

	buf_init(&origin, TEXT_MAX * 2);
	(void)snprintf(name, sizeof(name), "%s%s%s", section,
	    app != NULL ? " " : "", app != NULL ? app : "");
	if (add_origin(shower->store, value, &origin, err) != 0)
		goto out;
	row = json_add_object(shower->array);
	if (json_put_string(row, "section", name) != 0 ||
	    json_put_string(row, "key", key->name) != 0 ||
	    json_put_string(row, "value", value->text) != 0 ||
	    json_put_string(row, "origin", buf_str(&origin)) != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for a document");
		goto out;
	}
	rc = 0;
out:
	buf_fini(&origin);
	return rc;
}

int
conf_show_json(const struct conf *conf, struct buf *out, struct err *err)
{
	struct json *root = json_new_object();
	struct shower shower = {.store = store_of(conf),
	    .array = json_put_array(root, "keys")};
	int rc = -1;

	if (shower.array == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a document");
	else if (walk(shower.store, show_json, &shower, err) == 0)
		rc = json_print(shower.array, out, err);
	json_free(&root);
	return rc;
}

/* The sentence as a comment: "# " before each line of at most 78 columns. */
static int
add_comment(struct buf *out, bool idle, const char *text, struct err *err)
{
	static const char warning[] = "# Not in effect yet:";
	size_t len, column = 0;

	if (idle) {
		if (buf_adds(out, warning, err) != 0)
			return -1;
		column = sizeof(warning) - 1;
	}
	while (*text != '\0') {
		len = strcspn(text, " ");
		if (column > 0 && column + 1 + len > 78) {
			if (buf_addc(out, '\n', err) != 0)
				return -1;
			column = 0;
		}
		if (buf_addf(out, err, "%s%.*s", column == 0 ? "# " : " ",
			(int)len, text) != 0)
			return -1;
		column += len + (column == 0 ? 2 : 1);
		text += len;
		text += *text == ' ';
	}
	return buf_addc(out, '\n', err);
}

/* What is allowed, in one line. */
static int
add_form(struct buf *out, const struct key *key, struct err *err)
{
	char min[STR_QUANTITY_MAX], max[STR_QUANTITY_MAX], words[128];

	switch (key->kind) {
	case KIND_INT:
		return buf_addf(out, err, "# Whole number, %d to %d.\n",
		    (int)key->min, (int)key->max);
	case KIND_SIZE:
		str_format_size(key->min, min);
		str_format_size(key->max, max);
		return buf_addf(out, err, "# Size (K, M, G), %s to %s.\n",
		    min, max);
	case KIND_DURATION:
		str_format_duration(key->min, min);
		str_format_duration(key->max, max);
		return buf_addf(out, err,
		    "# Time (ms, s, m, h, d), %s to %s.\n", min, max);
	case KIND_WORD:
	case KIND_SWITCH:
		format_words_of(key, words);
		return buf_addf(out, err, "# One of: %s.\n", words);
	case KIND_TEXT:
		break;
	}
	return add_comment(out, false, key->form, err);
}

static int
add_header(struct buf *out, enum section section, struct err *err)
{
	if (section != SECTION_APP)
		return buf_addf(out, err, "\n[%s]\n", section_names[section]);
	/* Commented out as well: an app that nobody has would be served. */
	return buf_adds(out,
	    "\n# One section for each Node.js process, with the name that its "
	    "addresses\n# begin with: 1 to 64 letters, digits, \".\", \"_\", "
	    "\"-\".\n#[app tincoin]\n", err);
}

int
conf_template(struct buf *out, struct err *err)
{
	size_t i;

	if (buf_adds(out,
		"# The configuration of podprof; see podprof.conf(5).  Every "
		"key stands here at\n# its default.  An environment variable "
		"beats this file: PODPROF_THREADS,\n# PODPROF_AUTH_TOKENS, "
		"PODPROF_APP_TINCOIN_INSPECTOR.\n", err) != 0)
		return -1;
	for (i = 0; i < KEYS_LEN; i++) {
		if (i == 0 || keys[i - 1].section != keys[i].section) {
			if (add_header(out, keys[i].section, err) != 0)
				return -1;
		}
		if (buf_addc(out, '\n', err) != 0 ||
		    add_comment(out, keys[i].idle, keys[i].sentence,
			err) != 0 ||
		    add_form(out, &keys[i], err) != 0 ||
		    buf_addc(out, '#', err) != 0 ||
		    add_assignment(out, keys[i].name, keys[i].initial,
			err) != 0)
			return -1;
	}
	return 0;
}

const char *
conf_role_name(enum conf_role role)
{
	return role_words[role];
}

const char *
conf_method_name(enum conf_method method)
{
	return method_words[method];
}

int
conf_method_of_name(const char *name)
{
	return word_index(method_words, name);
}

int
conf_role_of_name(const char *name)
{
	return word_index(role_words, name);
}
