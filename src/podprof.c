/*
 * podprof, the command-line tool: a const table of commands, each with the
 * options that go with it.  podprof(1) is its manual.
 */
#include <config.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "check.h"
#include "conf.h"
#include "err.h"
#include "json.h"
#include "str.h"
#include "token.h"

#define OUT_MAX (4 << 20)	/* bytes of one answer */

/* What scripts can rely on; see podprof(1). */
enum status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NOT_FOUND = 3,
	STATUS_REFUSED = 4,
};

enum given {
	GIVEN_CONF = 1 << 0,
	GIVEN_JSON = 1 << 1,
	GIVEN_ROLE = 1 << 2,
	GIVEN_PRINT = 1 << 3,
	GIVEN_SOCKET = 1 << 4,
	GIVEN_URL = 1 << 5,
};

struct call {
	unsigned given;		/* enum given, or-ed */
	const char *conf_path;	/* NULL: none given */
	const char *role;
	const char *socket;
	const char *url;
	const char *arg;	/* of the command, NULL if it takes none */
};

typedef enum status run_fn(const struct call *call);
static run_fn run_token_new, run_token_list, run_token_rm, run_config_show,
    run_config_template, run_check;

struct command {
	const char *word1;
	const char *word2;	/* NULL: one word */
	const char *arg;	/* NULL: takes none */
	unsigned options;	/* that go with it */
	run_fn *run;
	const char *usage;
};

static const struct command commands[] = {
	{"token", "new", "NAME",
	    GIVEN_CONF | GIVEN_JSON | GIVEN_ROLE | GIVEN_PRINT,
	    run_token_new,
	    "token new NAME --role viewer|operator [--print]"},
	{"token", "list", NULL, GIVEN_CONF | GIVEN_JSON, run_token_list,
	    "token list"},
	{"token", "rm", "NAME", GIVEN_CONF | GIVEN_JSON, run_token_rm,
	    "token rm NAME"},
	{"config", "show", NULL, GIVEN_CONF | GIVEN_JSON, run_config_show,
	    "config show"},
	{"config", "template", NULL, 0, run_config_template,
	    "config template"},
	{"check", NULL, NULL,
	    GIVEN_CONF | GIVEN_JSON | GIVEN_SOCKET | GIVEN_URL, run_check,
	    "check [--socket FILE] [--url http://HOST:PORT]"},
};
#define COMMANDS_LEN (sizeof(commands) / sizeof(commands[0]))

/* Text that may hold anything, on a terminal: control bytes and what is not
 * UTF-8 as \xNN. */
static void
put_text(FILE *stream, const char *text)
{
	size_t len = strlen(text), n;

	for (; len > 0; text += n, len -= n) {
		unsigned char first = (unsigned char)*text;

		n = str_utf8_char(text, len);
		if (n == 0 || first < 0x20 || first == 0x7f ||
		    (n == 2 && first == 0xc2 &&
			(unsigned char)text[1] < 0xa0)) {
			(void)fprintf(stream, "\\x%02x", first);
			n = 1;
		} else {
			(void)fwrite(text, 1, n, stream);
		}
	}
}

static void
complain(const char *text)
{
	(void)fputs("podprof: ", stderr);
	put_text(stderr, text);
	(void)fputc('\n', stderr);
}

static enum status
usage_error(const char *what, const char *value)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "%s%s%.100s%s; see podprof --help",
	    what, value != NULL ? " \"" : "", value != NULL ? value : "",
	    value != NULL ? "\"" : "");
	complain(text);
	return STATUS_USAGE;
}

/* The exit status of a failure; no code is left to chance. */
static enum status
status_of(enum err_code code)
{
	switch (code) {
	case ERR_NOT_FOUND:
	case ERR_GONE:
		return STATUS_NOT_FOUND;
	case ERR_UNAUTHENTICATED:
	case ERR_FORBIDDEN:
	case ERR_CONFLICT:
	case ERR_PRECONDITION:
	case ERR_LIMIT:
	case ERR_TOO_EARLY:
		return STATUS_REFUSED;
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
		return STATUS_FAILED;
	}
	return STATUS_FAILED;
}

static enum status
failed(const struct err *err)
{
	complain(err->msg);
	return status_of(err->code);
}

/* What a command has to say goes out at its end, and has to arrive. */
static enum status
finish_output(void)
{
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		complain("cannot write to standard output");
		return STATUS_FAILED;
	}
	return STATUS_DONE;
}

static bool
has(const struct call *call, enum given option)
{
	return (call->given & option) != 0;
}

static int
load_conf(const struct call *call, struct conf **ret_conf, struct err *err)
{
	return conf_load(call->conf_path, environ, ret_conf, err);
}

/* Print a document of ours, which built says is whole, on a line. */
static enum status
put_json(const struct json *json, bool built)
{
	enum status status;
	struct buf text;
	struct err err;

	buf_init(&text, OUT_MAX);
	if (!built) {
		(void)err_set(&err, ERR_NOMEM, "no memory for a document");
		status = failed(&err);
	} else if (json_print(json, &text, &err) != 0) {
		status = failed(&err);
	} else {
		(void)puts(buf_str(&text));
		status = finish_output();
	}
	buf_fini(&text);
	return status;
}

static enum status
put_token(const struct call *call, const char *token)
{
	struct json *json = NULL;
	enum status status;
	bool built;

	if (!has(call, GIVEN_JSON)) {
		(void)puts(token);
		return finish_output();
	}
	json = json_new_object();
	built = json_put_string(json, "name", call->arg) == 0 &&
	    json_put_string(json, "role", call->role) == 0 &&
	    json_put_string(json, "token", token) == 0;
	status = put_json(json, built);
	json_free(&json);
	return status;
}

static int
store_token(const struct call *call, const char *line, struct err *err)
{
	struct conf *conf = NULL;
	int rc;

	if (load_conf(call, &conf, err) != 0)
		return -1;
	rc = token_add(conf->auth_tokens, line, err);
	conf_free(&conf);
	return rc;
}

static enum status
run_token_new(const struct call *call)
{
	char token[TOKEN_MAX], line[TOKEN_LINE_MAX];
	struct err err;
	int role;

	if (!has(call, GIVEN_ROLE))
		return usage_error("--role viewer or --role operator is "
		    "missing", NULL);
	role = conf_role_of_name(call->role);
	if (role != ROLE_VIEWER && role != ROLE_OPERATOR)
		return usage_error("--role is viewer or operator, not",
		    call->role);
	if (!str_is_name(call->arg))
		return usage_error("a token's name is 1 to 64 of letters, "
		    "digits, \".\", \"_\", \"-\", not", call->arg);
	if (token_make(call->arg, (enum conf_role)role, token, line, &err) !=
	    0)
		return failed(&err);
	if (has(call, GIVEN_PRINT)) {
		(void)fprintf(stderr, "%s\n", line);
	} else if (store_token(call, line, &err) != 0) {
		return failed(&err);
	}
	return put_token(call, token);
}

static enum status
put_token_list(const struct call *call, const struct token_list *list)
{
	struct json *root, *array, *row;
	const struct token *token;
	enum status status;
	bool built;
	size_t i;

	if (!has(call, GIVEN_JSON)) {
		for (i = 0; (token = token_list_at(list, i)) != NULL; i++)
			(void)printf("%-8s %s\n", conf_role_name(token->role),
			    token->name);
		return finish_output();
	}
	root = json_new_object();
	array = json_put_array(root, "tokens");
	built = array != NULL;
	for (i = 0; (token = token_list_at(list, i)) != NULL; i++) {
		row = json_add_object(array);
		built = built &&
		    json_put_string(row, "name", token->name) == 0 &&
		    json_put_string(row, "role",
			conf_role_name(token->role)) == 0;
	}
	status = put_json(array, built);
	json_free(&root);
	return status;
}

static enum status
run_token_list(const struct call *call)
{
	struct token_list *list = NULL;
	struct conf *conf = NULL;
	enum status status;
	struct err err;

	if (load_conf(call, &conf, &err) != 0 ||
	    token_list_read(conf->auth_tokens, &list, &err) != 0)
		status = failed(&err);
	else
		status = put_token_list(call, list);
	token_list_free(&list);
	conf_free(&conf);
	return status;
}

static enum status
run_token_rm(const struct call *call)
{
	enum status status = STATUS_DONE;
	struct json *json = NULL;
	struct conf *conf = NULL;
	struct err err;

	if (load_conf(call, &conf, &err) != 0 ||
	    token_remove(conf->auth_tokens, call->arg, &err) != 0) {
		status = failed(&err);
	} else if (has(call, GIVEN_JSON)) {
		json = json_new_object();
		status = put_json(json,
		    json_put_string(json, "removed", call->arg) == 0);
	}
	json_free(&json);
	conf_free(&conf);
	return status;
}

static enum status
run_config_show(const struct call *call)
{
	struct conf *conf = NULL;
	enum status status;
	struct buf text;
	struct err err;
	int rc;

	buf_init(&text, OUT_MAX);
	rc = load_conf(call, &conf, &err);
	if (rc == 0 && has(call, GIVEN_JSON)) {
		rc = conf_show_json(conf, &text, &err);
		if (rc == 0)
			rc = buf_addc(&text, '\n', &err);
	} else if (rc == 0) {
		rc = conf_show(conf, &text, &err);
	}
	if (rc == 0) {
		(void)fputs(buf_str(&text), stdout);
		status = finish_output();
	} else {
		status = failed(&err);
	}
	buf_fini(&text);
	conf_free(&conf);
	return status;
}

static enum status
run_config_template(const struct call *call)
{
	enum status status;
	struct buf text;
	struct err err;

	(void)call;
	buf_init(&text, OUT_MAX);
	if (conf_template(&text, &err) != 0) {
		status = failed(&err);
	} else {
		(void)fputs(buf_str(&text), stdout);
		status = finish_output();
	}
	buf_fini(&text);
	return status;
}

struct findings {
	struct json *array;	/* NULL: lines, at once */
	bool built;
};

static const char *const check_words[] = {
	[CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail",
};

static check_report_fn report_finding;
static void
report_finding(void *ctx, enum check_status status, const char *what,
    const char *text)
{
	struct findings *findings = ctx;
	struct json *row;

	if (findings->array == NULL) {
		(void)printf("%-4s %s: ", check_words[status], what);
		put_text(stdout, text);
		(void)putchar('\n');
		return;
	}
	row = json_add_object(findings->array);
	findings->built = findings->built &&
	    json_put_string(row, "status", check_words[status]) == 0 &&
	    json_put_string(row, "what", what) == 0 &&
	    json_put_string(row, "text", text) == 0;
}

static enum status
run_check(const struct call *call)
{
	const struct check_options options = {.socket = call->socket,
	    .url = call->url, .token = getenv("PODPROF_TOKEN")};
	struct findings findings = {.built = true};
	struct json *root = NULL;
	struct conf *conf = NULL;
	bool sound = false;
	enum status status;
	struct err err;

	if (has(call, GIVEN_JSON)) {
		root = json_new_object();
		findings.array = json_put_array(root, "findings");
		if (findings.array == NULL) {
			json_free(&root);
			return put_json(NULL, false);
		}
	}
	/* Without a configuration there is nothing else to look at. */
	if (load_conf(call, &conf, &err) != 0)
		report_finding(&findings, CHECK_FAIL, "configuration",
		    err.msg);
	else
		sound = check_run(conf, &options, report_finding, &findings);
	status = root != NULL ? put_json(findings.array, findings.built)
			      : finish_output();
	json_free(&root);
	conf_free(&conf);
	return status == STATUS_DONE && !sound ? STATUS_FAILED : status;
}

static enum status
put_help(void)
{
	size_t i;

	(void)puts("usage: podprof [-c FILE] [--json] COMMAND\n");
	for (i = 0; i < COMMANDS_LEN; i++)
		(void)printf("  podprof %s\n", commands[i].usage);
	(void)puts("\n"
	    "  -c, --config FILE  the configuration, not "
	    PODPROF_SYSCONFDIR "/podprof.conf\n"
	    "      --json         the answer as one JSON document\n"
	    "      --role ROLE    of a new token: viewer or operator\n"
	    "      --print        store nothing: the token's line goes to "
	    "stderr\n"
	    "      --socket FILE  of the pool, not " CHECK_SOCKET "\n"
	    "      --url URL      the web server, to be asked as well\n"
	    "      --version, --help\n\n"
	    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, "
	    "4 refused.\nThe manual is podprof(1).");
	return finish_output();
}

static enum status
put_version(void)
{
	(void)puts("podprof " PACKAGE_VERSION);
	return finish_output();
}

static const char *
option_name(unsigned option)
{
	switch (option) {
	case GIVEN_CONF:
		return "-c";
	case GIVEN_JSON:
		return "--json";
	case GIVEN_ROLE:
		return "--role";
	case GIVEN_SOCKET:
		return "--socket";
	case GIVEN_URL:
		return "--url";
	default:
		return "--print";
	}
}

/* Find the command of the words that getopt left, and run it. */
static enum status
run_command(struct call *call, int words_len, char *const words[])
{
	const struct command *command = NULL;
	unsigned wrong, option;
	bool known = false;
	int used, i;

	if (words_len == 0)
		return usage_error("a command is missing", NULL);
	for (i = 0; i < (int)COMMANDS_LEN && command == NULL; i++) {
		if (strcmp(commands[i].word1, words[0]) != 0)
			continue;
		known = true;
		if (commands[i].word2 == NULL || (words_len > 1 &&
			strcmp(commands[i].word2, words[1]) == 0))
			command = &commands[i];
	}
	if (command == NULL && known)
		return usage_error("no or a wrong word follows", words[0]);
	if (command == NULL)
		return usage_error("there is no such command:", words[0]);
	used = command->word2 != NULL ? 2 : 1;
	if (command->arg != NULL && words_len == used)
		return usage_error("its name is missing:", command->usage);
	if (command->arg != NULL)
		call->arg = words[used++];
	if (words_len > used)
		return usage_error("one word too many:", words[used]);
	wrong = call->given & ~command->options;
	for (option = 1; wrong != 0 && (wrong & option) == 0; option <<= 1)
		;
	if (wrong != 0)
		return usage_error("this command does not take",
		    option_name(option));
	return command->run(call);
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"role", required_argument, NULL, 'r'},
		{"print", no_argument, NULL, 'p'},
		{"socket", required_argument, NULL, 's'},
		{"url", required_argument, NULL, 'u'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct call call = {0};
	int c;

	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			call.given |= GIVEN_CONF;
			call.conf_path = optarg;
			break;
		case 'j':
			call.given |= GIVEN_JSON;
			break;
		case 'r':
			call.given |= GIVEN_ROLE;
			call.role = optarg;
			break;
		case 'p':
			call.given |= GIVEN_PRINT;
			break;
		case 's':
			call.given |= GIVEN_SOCKET;
			call.socket = optarg;
			break;
		case 'u':
			call.given |= GIVEN_URL;
			call.url = optarg;
			break;
		case 'V':
			return put_version();
		case 'h':
			return put_help();
		default:
			/* getopt has said what is wrong. */
			return STATUS_USAGE;
		}
	}
	return run_command(&call, argc - optind, argv + optind);
}
