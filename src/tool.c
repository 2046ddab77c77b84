/*
 * What the commands share: words on standard error, exit statuses, the service
 * that is asked, the ids of jobs.
 */
#include "tool.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

/* Jobs of one page, and pages, when an id is looked for. */
#define PAGE_JOBS 1000
#define PAGES_MAX 1000
/* Ids that are named where a beginning fits several. */
#define NAMED_MAX 4
#define COMMAND_LINE_MAX 16384

/* A handler gets no context. */
static volatile sig_atomic_t stop;

void
tool_complain(const char *fmt, ...)
{
	char text[TOOL_WORDS_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fputs("podprof: ", stderr);
	tool_put_text(stderr, text);
	(void)fputc('\n', stderr);
}

enum tool_status
tool_usage(const char *what, const char *value)
{
	if (value != NULL)
		tool_complain("%s \"%.100s\"; see podprof --help", what,
		    value);
	else
		tool_complain("%s; see podprof --help", what);
	return TOOL_USAGE;
}

/* No code is left to chance. */
enum tool_status
tool_status_of(enum err_code code)
{
	switch (code) {
	case ERR_NOT_FOUND:
	case ERR_GONE:
		return TOOL_NOT_FOUND;
	case ERR_UNAUTHENTICATED:
	case ERR_FORBIDDEN:
	case ERR_CONFLICT:
	case ERR_PRECONDITION:
	case ERR_LIMIT:
	case ERR_TOO_EARLY:
		return TOOL_REFUSED;
	case ERR_INTERNAL:
	case ERR_NOMEM:
	case ERR_INVALID:
	case ERR_METHOD:
	case ERR_NOT_ACCEPTABLE:
	case ERR_TOO_LARGE:
	case ERR_MEDIA_TYPE:
	case ERR_RANGE:
	case ERR_KEY_REUSED:
	case ERR_TARGET_REFUSED:
	case ERR_TARGET_UNREACHABLE:
	case ERR_TARGET_TIMEOUT:
	case ERR_TARGET_EXITED:
	case ERR_STORE:
	case ERR_SPACE:
	case ERR_INTERRUPTED:
	case ERR_UNHEALTHY:
	case ERR_BUSY:
		return TOOL_FAILED;
	}
	return TOOL_FAILED;
}

enum tool_status
tool_failed(const struct err *err)
{
	tool_complain("%s", err->msg);
	return tool_status_of(err->code);
}

static void
add_text(char out[TOOL_WORDS_MAX], const char *text, size_t len)
{
	const size_t used = strlen(out);

	(void)snprintf(out + used, TOOL_WORDS_MAX - used, "%.*s", (int)len,
	    text);
}

/* "must be a whole number from 100 to 120000", in the unit of the option; what
 * follows it. */
static const char *
add_range(char out[TOOL_WORDS_MAX], const char *text,
    void (*format)(int64_t, char[STR_QUANTITY_MAX]))
{
	static const char start[] = "must be a whole number from ";
	char low[STR_QUANTITY_MAX], high[STR_QUANTITY_MAX];
	int64_t min, max;
	const char *end;

	if (strncmp(text, start, sizeof(start) - 1) != 0 ||
	    !str_take_int(text + sizeof(start) - 1, &min, &end) ||
	    strncmp(end, " to ", 4) != 0 ||
	    !str_take_int(end + 4, &max, &end))
		return text;
	format(min, low);
	format(max, high);
	add_text(out, "must be from ", strlen("must be from "));
	add_text(out, low, strlen(low));
	add_text(out, " to ", 4);
	add_text(out, high, strlen(high));
	return end;
}

/* A member or parameter in front; what follows it. */
static const char *
add_option(char out[TOOL_WORDS_MAX], const char *text)
{
	static const struct {
		const char *theirs;
		const char *ours;
		void (*format)(int64_t, char[STR_QUANTITY_MAX]);
	} names[] = {
		{"durationMs: ", "--duration: ", str_format_duration},
		{"intervalUs: ", "--interval: ", NULL},
		{"samplingBytes: ", "--sampling-bytes: ", str_format_size},
		{"live: ", "--live: ", NULL},
		{"method: ", "--method: ", NULL},
		{"worker: ", "--worker: ", NULL},
		{"force: ", "--force: ", NULL},
		{"parameter kind: ", "--kind: ", NULL},
		{"parameter state: ", "--state: ", NULL},
		{"parameter limit: ", "--limit: ", NULL},
	};
	size_t i, len;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		len = strlen(names[i].theirs);
		if (strncmp(text, names[i].theirs, len) != 0)
			continue;
		add_text(out, names[i].ours, strlen(names[i].ours));
		text += len;
		return names[i].format != NULL ?
		    add_range(out, text, names[i].format) : text;
	}
	return text;
}

void
tool_translate(const char *text, char out[TOOL_WORDS_MAX])
{
	static const struct {
		const char *theirs;
		const char *ours;
	} words[] = {
		{"with ?force=1 or \"force\":true", "with --force"},
		{"\"worker\"", "--worker"},
		{"GET target", "podprof target"},
	};
	const size_t words_len = sizeof(words) / sizeof(words[0]);
	size_t i, len;

	out[0] = '\0';
	for (text = add_option(out, text); *text != '\0'; text += len) {
		for (i = 0; i < words_len; i++) {
			len = strlen(words[i].theirs);
			if (strncmp(text, words[i].theirs, len) == 0)
				break;
		}
		if (i == words_len) {
			len = 1;
			add_text(out, text, len);
		} else {
			add_text(out, words[i].ours, strlen(words[i].ours));
		}
	}
}

enum tool_status
tool_refused(const struct err *err)
{
	char words[TOOL_WORDS_MAX];

	tool_translate(err->msg, words);
	tool_complain("%s", words);
	if (err->code == ERR_INVALID)
		return TOOL_USAGE;
	if (err->code == ERR_SPACE)
		return TOOL_REFUSED;
	return tool_status_of(err->code);
}

enum tool_status
tool_finish(void)
{
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		tool_complain("cannot write to standard output");
		return TOOL_FAILED;
	}
	return TOOL_DONE;
}

enum tool_status
tool_put_json(const struct json *json, bool built)
{
	enum tool_status status;
	struct buf text;
	struct err err;

	buf_init(&text, TOOL_OUT_MAX);
	if (!built) {
		(void)err_set(&err, ERR_NOMEM, "no memory for a document");
		status = tool_failed(&err);
	} else if (json_print(json, &text, &err) != 0) {
		status = tool_failed(&err);
	} else {
		(void)puts(buf_str(&text));
		status = tool_finish();
	}
	buf_fini(&text);
	return status;
}

int
tool_load_conf(const struct tool_call *call, struct conf **ret_conf,
    struct err *err)
{
	return conf_load(call->values[OPTION_CONFIG], environ, ret_conf, err);
}

/* Bytes that stand for themselves in a URI (RFC 3986, 2.3). */
static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL);
}

int
tool_encode(struct buf *out, const char *text, struct err *err)
{
	for (; *text != '\0'; text++)
		if (is_unreserved(*text) ? buf_addc(out, *text, err) != 0 :
		    buf_addf(out, err, "%%%02X", (unsigned char)*text) != 0)
			return -1;
	return 0;
}

enum tool_status
tool_open(const struct tool_call *call, struct tool_service *ret_service)
{
	const char *url = call->values[OPTION_URL];
	const char *app = call->values[OPTION_APP];
	struct err err;
	int rc;

	memset(ret_service, 0, sizeof(*ret_service));
	ret_service->call = call;
	if (url == NULL)
		url = getenv("PODPROF_URL");
	if (url != NULL && url[0] != '\0') {
		/* It is not needed; one that is named is to be there. */
		if (tool_has(call, OPTION_CONFIG) &&
		    tool_load_conf(call, &ret_service->conf, &err) != 0)
			return tool_failed(&err);
		conf_free(&ret_service->conf);
		rc = client_open_url(url, app, getenv("PODPROF_TOKEN"),
		    &ret_service->client, &err);
	} else {
		if (tool_load_conf(call, &ret_service->conf, &err) != 0)
			return tool_failed(&err);
		rc = client_open_local(ret_service->conf, app,
		    &ret_service->client, &err);
	}
	if (rc != 0)
		return tool_refused(&err);
	if (client_is_exposed(ret_service->client))
		tool_complain("warning: %s is not encrypted: whoever is on the "
		    "way can read the token, and the files; use https",
		    client_where(ret_service->client));
	return TOOL_DONE;
}

void
tool_close(struct tool_service *service)
{
	client_close(&service->client);
	conf_free(&service->conf);
}

static void
note_signal(int number)
{
	(void)number;
	stop = 1;
}

void
tool_catch_signals(struct tool_service *service)
{
	/* A second one ends us, whatever we are at. */
	struct sigaction action = {.sa_handler = note_signal,
	    .sa_flags = (int)SA_RESETHAND};

	/* Without SA_RESTART: whatever waits is to see it. */
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	client_set_stop(service->client, &stop);
}

/* One word, as a shell reads it back. */
static int
add_word(struct buf *out, const char *word, struct err *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-";
	const char *c;

	if (word[0] != '\0' && strspn(word, plain) == strlen(word))
		return buf_adds(out, word, err);
	if (buf_addc(out, '\'', err) != 0)
		return -1;
	for (c = word; *c != '\0'; c++)
		if (*c == '\'' ? buf_adds(out, "'\\''", err) != 0 :
		    buf_addc(out, *c, err) != 0)
			return -1;
	return buf_addc(out, '\'', err);
}

static int
make_get(const struct tool_service *service, const char *id, struct buf *out,
    struct err *err)
{
	static const struct {
		enum tool_option option;
		const char *name;
	} told[] = {
		{OPTION_URL, " --url "}, {OPTION_APP, " --app "},
		{OPTION_CONFIG, " -c "}, {OPTION_OUTPUT, " -o "},
	};
	const char *value;
	size_t i;

	if (buf_addf(out, err, "podprof get %s", id) != 0)
		return -1;
	for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		value = service->call->values[told[i].option];
		if (value != NULL &&
		    (buf_adds(out, told[i].name, err) != 0 ||
			add_word(out, value, err) != 0))
			return -1;
	}
	return 0;
}

void
tool_say_get(const struct tool_service *service, const char *text,
    const char *id)
{
	struct buf line;

	buf_init(&line, COMMAND_LINE_MAX);
	if (make_get(service, id, &line, NULL) == 0) {
		tool_complain("%s:", text);
		(void)fputs("  ", stderr);
		tool_put_text(stderr, buf_str(&line));
		(void)fputc('\n', stderr);
	} else {
		/* Without what he gave before. */
		tool_complain("%s: podprof get %s", text, id);
	}
	buf_fini(&line);
}

/* Lower case; false if it cannot be the beginning of an id. */
static bool
take_beginning(const char *word, char out[UUID_MAX])
{
	size_t len = strlen(word), i;

	if (len < TOOL_ID_MIN || len >= UUID_MAX)
		return false;
	for (i = 0; i < len; i++) {
		out[i] = word[i];
		if (out[i] >= 'A' && out[i] <= 'F')
			out[i] = (char)(out[i] - 'A' + 'a');
	}
	out[len] = '\0';
	return strspn(out, "0123456789abcdef-") == len;
}

/* Those that a beginning fits. */
struct matches {
	char id[UUID_MAX];		/* the first */
	char named[NAMED_MAX * UUID_MAX + 8];
	size_t len;
};

static void
note_match(struct matches *matches, const char *id)
{
	size_t used = strlen(matches->named);

	if (matches->len++ == 0)
		(void)str_copy(matches->id, sizeof(matches->id), id);
	if (matches->len > NAMED_MAX)
		return;
	(void)snprintf(matches->named + used, sizeof(matches->named) - used,
	    "%s%s", used > 0 ? " " : "", id);
}

/* One page of the list; *after is its last id, "" if there are no more. */
static int
search_page(struct client *client, const char *beginning,
    struct matches *matches, char after[UUID_MAX], struct err *err)
{
	char path[64 + UUID_MAX];
	struct json *page = NULL;
	const struct json *job;
	const char *id, *next;

	(void)snprintf(path, sizeof(path), "jobs?limit=%d%s%s", PAGE_JOBS,
	    after[0] != '\0' ? "&after=" : "", after);
	if (client_get(client, path, &page, err) != 0)
		return -1;
	for (job = json_first(json_get(page, "jobs")); job != NULL;
	    job = json_next(job)) {
		id = tool_text(job, "id");
		if (uuid_is_valid(id) &&
		    strncmp(id, beginning, strlen(beginning)) == 0)
			note_match(matches, id);
	}
	next = tool_text(page, "next");
	if (!uuid_is_valid(next))
		next = "";
	(void)str_copy(after, UUID_MAX, next);
	json_free(&page);
	return 0;
}

int
tool_find_id(struct client *client, const char *word, char ret_id[UUID_MAX],
    struct err *err)
{
	char beginning[UUID_MAX], after[UUID_MAX] = "";
	struct matches matches = {.len = 0};
	int pages = 0;

	if (!take_beginning(word, beginning))
		return err_set(err, ERR_INVALID, "\"%.100s\" is no job's ID: "
		    "that is 36 characters, or at least the first %d of them; "
		    "podprof jobs lists them", word, TOOL_ID_MIN);
	if (uuid_is_valid(beginning)) {
		memcpy(ret_id, beginning, UUID_MAX);
		return 0;
	}
	do {
		if (search_page(client, beginning, &matches, after, err) != 0)
			return -1;
	} while (after[0] != '\0' && ++pages < PAGES_MAX);
	if (matches.len == 0)
		return err_set(err, ERR_NOT_FOUND, "no job of app %s begins "
		    "with \"%s\": podprof jobs lists them",
		    client_app(client), beginning);
	if (matches.len > 1)
		return err_set(err, ERR_CONFLICT, "%zu jobs begin with \"%s\", "
		    "say more of the one you mean: %s%s", matches.len,
		    beginning, matches.named,
		    matches.len > NAMED_MAX ? " ..." : "");
	memcpy(ret_id, matches.id, UUID_MAX);
	return 0;
}

const char *
tool_text(const struct json *object, const char *key)
{
	const char *text = json_string(json_get(object, key));

	return text != NULL ? text : "";
}

int64_t
tool_number(const struct json *object, const char *key)
{
	return json_int(json_get(object, key), -1);
}

enum tool_colour
tool_colour_of(const char *state)
{
	if (strcmp(state, "succeeded") == 0)
		return COLOUR_GOOD;
	if (strcmp(state, "failed") == 0)
		return COLOUR_BAD;
	if (strcmp(state, "running") == 0 || strcmp(state, "queued") == 0)
		return COLOUR_BUSY;
	return COLOUR_NONE;
}

/* The code of an error's type, "urn:podprof:error:space". */
static enum err_code
code_of(const struct json *error)
{
	const char *type = tool_text(error, "type");
	const char *colon = strrchr(type, ':');

	return err_code_of_name(colon != NULL ? colon + 1 : type);
}

enum tool_status
tool_explain(const struct json *job)
{
	const struct json *error = json_get(job, "error"), *attempt;
	const char *detail = tool_text(error, "detail"), *reason;
	char words[TOOL_WORDS_MAX];

	if (strcmp(tool_text(job, "state"), "canceled") == 0) {
		tool_complain("the job was canceled: there is no file");
		return TOOL_FAILED;
	}
	tool_translate(detail[0] != '\0' ? detail :
	    "the service does not say why", words);
	tool_complain("the capture failed: %s", words);
	for (attempt = json_first(json_get(job, "attempts")); attempt != NULL;
	    attempt = json_next(attempt)) {
		reason = tool_text(attempt, "reason");
		if (reason[0] != '\0' && strcmp(reason, detail) != 0)
			tool_complain("method %s, %s: %s",
			    tool_text(attempt, "method"),
			    tool_text(attempt, "outcome"), reason);
	}
	return code_of(error) == ERR_SPACE ? TOOL_REFUSED : TOOL_FAILED;
}
