/*
 * The table of keys: names, defaults, what is allowed, and the one place that
 * turns a text into a value.
 */
#include "conf_parts.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "http.h"
#include "str.h"
#include "uuid.h"

#define TEXT_MAX 4000	/* bytes of a value: paths stay below PATH_MAX */
#define SIZE_LIMIT (INT64_C(1) << 50)
#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

const char *const conf_section_names[SECTIONS_LEN] = {
	"podprof", "auth", "app", "limits", "artifacts",
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

static conf_check_fn check_path, check_pod, check_hosts, check_inspector,
    check_pid, check_url, check_prefix;

#define IN_CONF(field) offsetof(struct conf, field)
#define IN_APP(field) offsetof(struct conf_app, field)

const struct conf_key conf_keys[CONF_KEYS_LEN] = {
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
	    .sentence = "How a heap snapshot is taken: \"fork\" in a forked "
	    "copy of the app, which itself goes on; \"direct\" by the app, "
	    "which waits, into a FIFO in exchange_dir; \"stream\" through the "
	    "inspector, while the app waits; \"auto\" by the first of these "
	    "that works."},
	{SECTION_APP, "activate", KIND_WORD, IN_APP(activate), "never",
	    .words = activate_words,
	    .sentence = "Whether a closed inspector is opened for a capture, "
	    "by SIGUSR1, and closed after it."},
	{SECTION_APP, "pid", KIND_TEXT, IN_APP(pid), "", .check = check_pid,
	    .form = "Process id, or the absolute path of a pid file; or "
	    "empty.",
	    .sentence = "The process that SIGUSR1 goes to. Empty: the one "
	    "Node.js process of podprof's own user."},
	{SECTION_APP, "exchange_dir", KIND_TEXT, IN_APP(exchange_dir),
	    "/run/podprof/exchange", .check = check_path,
	    .form = "Absolute path.",
	    .sentence = "A directory that podprof and the app both see at "
	    "this path, for the methods fork and direct: 2770, with a group "
	    "that both are in."},
	{SECTION_APP, "health_url", KIND_TEXT, IN_APP(health_url), "",
	    .check = check_url, .form = "http://HOST:PORT/PATH; or empty.",
	    .sentence = "The app's own health address, which /livez?app=NAME "
	    "and /readyz?app=NAME ask."},
	{SECTION_APP, "drain", KIND_DURATION, IN_APP(drain_ms), "15s", 0,
	    HOUR / 6,
	    .sentence = "How long the app is shown as not ready before a "
	    "capture freezes it."},

	{SECTION_LIMITS, "store_bytes", KIND_SIZE, IN_CONF(store_bytes), "10G",
	    1 << 20, SIZE_LIMIT,
	    .sentence = "Bytes of all artifacts together, as they are stored. "
	    "Beyond it, artifacts go: delivered first, then oldest."},
	{SECTION_LIMITS, "store_jobs", KIND_INT, IN_CONF(store_jobs), "1000",
	    1, 1000000,
	    .sentence = "Jobs that are remembered. Beyond it, jobs go with "
	    "their artifacts: delivered first, then oldest."},
	{SECTION_LIMITS, "keep", KIND_DURATION, IN_CONF(keep_ms), "24h",
	    SECOND, 3650 * DAY,
	    .sentence = "How long an artifact that nobody fetched is kept."},
	{SECTION_LIMITS, "grace", KIND_DURATION, IN_CONF(grace_ms), "10m", 0,
	    30 * DAY,
	    .sentence = "How long an artifact stays after it was delivered, "
	    "for a client that lost the end of it."},
	{SECTION_LIMITS, "min_free_bytes", KIND_SIZE, IN_CONF(min_free_bytes),
	    "256M", 0, SIZE_LIMIT,
	    .sentence = "Disk space that artifacts leave free. Below it, "
	    "artifacts go, and a capture that does not fit is refused or "
	    "ends."},
	{SECTION_LIMITS, "job_timeout", KIND_DURATION, IN_CONF(job_timeout_ms),
	    "30m", SECOND, DAY,
	    .sentence = "A job that takes longer than this fails."},
	{SECTION_LIMITS, "memory_guard", KIND_SWITCH, IN_CONF(memory_guard),
	    "on", .words = switch_words,
	    .sentence = "Refuse a heap snapshot that the app may not have "
	    "the memory for."},
	{SECTION_LIMITS, "profiles", KIND_INT, IN_CONF(profiles), "32", 1, 1000,
	    .sentence = "Profiles of one app that run at the same time. A few "
	    "stop it for less than a second, 16 for seconds, 32 for ten and "
	    "more."},
	{SECTION_LIMITS, "downloads", KIND_INT, IN_CONF(downloads), "32", 1,
	    1000,
	    .sentence = "Artifacts that are sent at the same time."},
	{SECTION_LIMITS, "waiting", KIND_INT, IN_CONF(waiting), "256", 1, 10000,
	    .sentence = "Requests that wait at the same time, for a profile "
	    "or by \"Prefer: wait\"."},
	{SECTION_LIMITS, "token_captures", KIND_INT, IN_CONF(token_captures),
	    "600", 1, 10000,
	    .sentence = "Captures that one token or user begins in a minute."},
	{SECTION_LIMITS, "app_captures", KIND_INT, IN_CONF(app_captures),
	    "600", 1, 10000,
	    .sentence = "Captures of one app that are begun in a minute."},

	{SECTION_ARTIFACTS, "compression", KIND_WORD, IN_CONF(compression),
	    "zstd", .words = compression_words,
	    .sentence = "How artifacts are stored: as zstd frames with a "
	    "table to find them by, which any zstd tool reads, or as they "
	    "are."},
	{SECTION_ARTIFACTS, "level", KIND_INT, IN_CONF(compression_level), "1",
	    1, 19,
	    .sentence = "The level of zstd's compression."},
	{SECTION_ARTIFACTS, "sendfile", KIND_WORD, IN_CONF(sendfile), "none",
	    .words = sendfile_words,
	    .sentence = "Let the web server send an artifact that goes out "
	    "whole and as it is stored, by this header. Its group must be "
	    "that of state_dir/artifacts."},
	{SECTION_ARTIFACTS, "sendfile_prefix", KIND_TEXT,
	    IN_CONF(sendfile_prefix), "", .check = check_prefix,
	    .form = "A path that begins with a slash; or empty.",
	    .sentence = "What stands before \"/FILE\" in the sendfile header: "
	    "the path of the internal location of nginx. Empty, for "
	    "x-sendfile: the path of state_dir/artifacts."},
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

	if (len > CONF_POD_MAX || !str_is_visible(text) ||
	    strpbrk(text, "/\"") != NULL)
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" is not a pod's name: 1 to %d visible ASCII "
		    "characters, no slash, no double quote", text,
		    CONF_POD_MAX);
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
	char host[CONF_POD_MAX + 1];
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
	/* "http://..." is the whole that is wrong. */
	if (port == NULL || strncmp(port, "//", 2) == 0 || end == start ||
	    end - start > CONF_POD_MAX)
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
	char address[CONF_POD_MAX + 16];
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
	struct http_url ignored;

	return text[0] == '\0' ? 0 : http_url_parse(text, &ignored, err);
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
void
conf_key_words(const struct conf_key *key, char out[CONF_WORDS_MAX])
{
	size_t len = 0, i;
	int n;

	for (i = 0; key->words[i] != NULL; i++) {
		n = snprintf(out + len, CONF_WORDS_MAX - len, "%s%s",
		    i > 0 ? ", " : "", key->words[i]);
		assert(n > 0 && (size_t)n < CONF_WORDS_MAX - len);
		len += (size_t)n;
	}
}

static int
parse_number(const struct conf_key *key, const char *text, int64_t *ret_number,
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
parse_word(const struct conf_key *key, const char *text, void *field,
    struct err *err)
{
	int index = word_index(key->words, text);
	unsigned value = (unsigned)index;
	bool on = index == 1;
	char words[CONF_WORDS_MAX];

	if (index < 0) {
		conf_key_words(key, words);
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

int
conf_key_parse(const struct conf_key *key, const char *text, void *base,
    struct err *err)
{
	void *field = (char *)base + key->at;
	int64_t number = 0;

	if (check_text(text, err) != 0)
		return -1;
	switch (key->kind) {
	case KIND_TEXT:
		if (key->check(text, err) != 0)
			return -1;
		memcpy(field, &text, sizeof(text));
		break;
	case KIND_INT:
	case KIND_SIZE:
	case KIND_DURATION:
		if (parse_number(key, text, &number, err) != 0)
			return -1;
		memcpy(field, &number, sizeof(number));
		break;
	case KIND_WORD:
	case KIND_SWITCH:
		return parse_word(key, text, field, err);
	}
	return 0;
}

const struct conf_key *
conf_key_find(enum conf_section section, const char *name)
{
	size_t i;

	for (i = 0; i < CONF_KEYS_LEN; i++)
		if (conf_keys[i].section == section &&
		    strcmp(conf_keys[i].name, name) == 0)
			return &conf_keys[i];
	return NULL;
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
