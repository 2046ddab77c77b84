/*
 * podprof, the command-line tool: the table of commands and the table of
 * options, from which the command line is read and --help is made.  podprof(1)
 * is its manual; tool.h has what is behind each command.
 */
#include <config.h>

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "tool.h"

/* What --help is laid out for. */
#define HELP_COLUMNS 80
#define WHAT_COLUMNS 24

static const struct {
	const char *name;
	const char *value;	/* what it takes; NULL: nothing */
	const char *help;
	char letter;		/* '\0': there is none */
} options[TOOL_OPTIONS_LEN] = {
	[OPTION_URL] = {"url", "URL", "the service at this address; else "
	    "$PODPROF_URL, else this machine", '\0'},
	[OPTION_APP] = {"app", "NAME", "the app, where there are several",
	    '\0'},
	[OPTION_CONFIG] = {"config", "FILE", "the configuration, not "
	    PODPROF_SYSCONFDIR "/podprof.conf", 'c'},
	[OPTION_JSON] = {"json", NULL, "the answer as one JSON document on a "
	    "line", '\0'},
	[OPTION_OUTPUT] = {"output", "FILE", "where the file goes: a file, a "
	    "directory, or - for standard "
	    "output", 'o'},
	[OPTION_DURATION] = {"duration", "TIME", "how long a profile runs, "
	    "from 100ms to 2m; else 1m", '\0'},
	[OPTION_INTERVAL] = {"interval", "US", "microseconds between samples "
	    "of a CPU profile, from 50 to 100000; else 1000", '\0'},
	[OPTION_SAMPLING_BYTES] = {"sampling-bytes", "SIZE", "bytes allocated "
	    "between samples of a heap profile, from 1K to 16M; else 512K, "
	    "with --live 32K", '\0'},
	[OPTION_LIVE] = {"live", NULL, "in a heap profile, only what is alive "
	    "at its end", '\0'},
	[OPTION_METHOD] = {"method", "METHOD", "of a heap snapshot: auto, "
	    "fork, direct, stream", '\0'},
	[OPTION_FORCE] = {"force", NULL, "although there may be too little "
	    "memory for it", '\0'},
	[OPTION_WORKER] = {"worker", "ID", "of a worker thread: podprof "
	    "target lists them", '\0'},
	[OPTION_NO_WAIT] = {"no-wait", NULL, "begin, print the job's ID, and "
	    "leave", '\0'},
	[OPTION_KIND] = {"kind", "KIND", "jobs of this kind only: "
	    "heap-snapshot, cpu-profile, heap-profile", '\0'},
	[OPTION_STATE] = {"state", "STATE", "jobs in this state only: "
	    "queued, running, succeeded, failed, canceled", '\0'},
	[OPTION_LIMIT] = {"limit", "N", "so many at most", '\0'},
	[OPTION_ROLE] = {"role", "ROLE", "of a new token: viewer or operator",
	    '\0'},
	[OPTION_PRINT] = {"print", NULL, "store nothing: the token's line goes "
	    "to standard error", '\0'},
	[OPTION_SOCKET] = {"socket", "FILE", "of the pool, not " CHECK_SOCKET,
	    '\0'},
	[OPTION_HELP] = {"help", NULL, "print this, or what a command takes",
	    'h'},
	[OPTION_VERSION] = {"version", NULL, "print the version", '\0'},
};

#define BIT(option) (1U << (option))
_Static_assert(TOOL_OPTIONS_LEN <= 32, "they do not fit in an unsigned");
#define AT_SERVICE \
	(BIT(OPTION_URL) | BIT(OPTION_APP) | BIT(OPTION_CONFIG) | \
	BIT(OPTION_JSON))
#define HERE (BIT(OPTION_CONFIG) | BIT(OPTION_JSON))
#define ALWAYS (BIT(OPTION_HELP) | BIT(OPTION_VERSION))

struct command {
	const char *word1;
	const char *word2;	/* NULL: one word */
	const char *args;	/* their names, a blank between; "": none */
	unsigned options;	/* that go with it, beside ALWAYS */
	tool_run_fn *run;
	const char *help;
};

static const struct command commands[] = {
	{"take", NULL, "KIND", AT_SERVICE | BIT(OPTION_OUTPUT) |
	    BIT(OPTION_DURATION) | BIT(OPTION_INTERVAL) |
	    BIT(OPTION_SAMPLING_BYTES) | BIT(OPTION_LIVE) |
	    BIT(OPTION_METHOD) | BIT(OPTION_FORCE) | BIT(OPTION_WORKER) |
	    BIT(OPTION_NO_WAIT),
	    tool_take, "heap-snapshot, cpu-profile or heap-profile: capture, "
	    "wait, bring the file"},
	{"jobs", NULL, "", AT_SERVICE | BIT(OPTION_KIND) | BIT(OPTION_STATE) |
	    BIT(OPTION_LIMIT), tool_jobs, "what was captured, the newest "
	    "first"},
	{"show", NULL, "ID", AT_SERVICE, tool_show, "all about a job"},
	{"get", NULL, "ID", AT_SERVICE | BIT(OPTION_OUTPUT), tool_get,
	    "wait for a job, bring its file; goes on with what is there"},
	{"rm", NULL, "ID", AT_SERVICE, tool_rm, "cancel a job that runs; "
	    "remove one that is over, and its file"},
	{"summary", NULL, "ID", AT_SERVICE | BIT(OPTION_LIMIT), tool_summary,
	    "what a heap snapshot consists of, by class"},
	{"diff", NULL, "ID OTHER", AT_SERVICE | BIT(OPTION_LIMIT), tool_diff,
	    "what grew from the heap snapshot OTHER to ID"},
	{"target", NULL, "", AT_SERVICE, tool_target, "the app: its memory, "
	    "and what a heap snapshot would cost it"},
	{"sweep", NULL, "", HERE, tool_sweep, "remove what has expired, on "
	    "this machine"},
	{"check", NULL, "", HERE | BIT(OPTION_SOCKET) | BIT(OPTION_URL),
	    tool_check, "what is wrong with the installation on this machine"},
	{"token", "new", "NAME", HERE | BIT(OPTION_ROLE) | BIT(OPTION_PRINT),
	    tool_token_new, "make a token, and print it"},
	{"token", "list", "", HERE, tool_token_list, "who has one"},
	{"token", "rm", "NAME", HERE, tool_token_rm, "take it back"},
	{"config", "show", "", HERE, tool_config_show, "each key, its value, "
	    "and where it is from"},
	{"config", "template", "", 0, tool_config_template, "a configuration "
	    "to begin with"},
};
#define COMMANDS_LEN (sizeof(commands) / sizeof(commands[0]))

/* Bytes of the text that fit into a line; a longer word goes out whole. */
static size_t
line_of(const char *text, size_t columns)
{
	size_t len = strlen(text), at;

	if (len <= columns)
		return len;
	for (at = columns; at > 0 && text[at] != ' '; at--)
		;
	return at > 0 ? at : strcspn(text, " ");
}

/* A text beside what it is about. */
static void
put_entry(const char *what, const char *help)
{
	const size_t columns = HELP_COLUMNS - WHAT_COLUMNS - 3;
	size_t len;

	if (strlen(what) > WHAT_COLUMNS)
		(void)printf("  %s\n  %-*s ", what, WHAT_COLUMNS, "");
	else
		(void)printf("  %-*s ", WHAT_COLUMNS, what);
	for (;; help += len + 1) {
		len = line_of(help, columns);
		(void)printf("%.*s\n", (int)len, help);
		if (help[len] == '\0')
			break;
		(void)printf("  %-*s ", WHAT_COLUMNS, "");
	}
}

#define WORDS_MAX 64

/* "token new NAME" */
static const char *
words_of(const struct command *command, char out[WORDS_MAX])
{
	(void)snprintf(out, WORDS_MAX, "%s%s%s%s%s", command->word1,
	    command->word2 != NULL ? " " : "",
	    command->word2 != NULL ? command->word2 : "",
	    command->args[0] != '\0' ? " " : "", command->args);
	return out;
}

/* Of check it is not the service that is meant. */
static const char *
help_of(const struct command *command, enum tool_option option)
{
	if (option == OPTION_URL && command != NULL &&
	    command->run == tool_check)
		return "the web server in front, as http://HOST:PORT; without "
		    "it none is asked";
	return options[option].help;
}

static void
put_option(const struct command *command, enum tool_option option)
{
	const char letter = options[option].letter;
	const char *value = options[option].value;
	char what[64];

	(void)snprintf(what, sizeof(what), "%c%c%c --%s%s%s",
	    letter != '\0' ? '-' : ' ', letter != '\0' ? letter : ' ',
	    letter != '\0' ? ',' : ' ', options[option].name,
	    value != NULL ? " " : "", value != NULL ? value : "");
	put_entry(what, help_of(command, option));
}

/* Of one command, or of all of them. */
static enum tool_status
put_help(const struct command *command)
{
	char words[WORDS_MAX] = "COMMAND [ARGUMENT...]";
	unsigned taken = 0, i;

	(void)printf("usage: podprof %s [OPTION...]\n\n",
	    command != NULL ? words_of(command, words) : words);
	for (i = 0; i < COMMANDS_LEN; i++) {
		if (command != NULL && command != &commands[i])
			continue;
		put_entry(words_of(&commands[i], words), commands[i].help);
		taken |= commands[i].options | ALWAYS;
	}
	(void)putchar('\n');
	for (i = 0; i < TOOL_OPTIONS_LEN; i++)
		if ((taken & BIT(i)) != 0)
			put_option(command, (enum tool_option)i);
	(void)puts("\nAn ID may be shortened to its beginning (8 characters "
	    "or more).\nPODPROF_TOKEN has the token for a service at an "
	    "address.\n"
	    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, "
	    "4 refused.\nThe manual is podprof(1).");
	return tool_finish();
}

static enum tool_status
put_version(void)
{
	(void)puts("podprof " PACKAGE_VERSION);
	return tool_finish();
}

/* The command of the words that getopt left; *ret_used of them name it. */
static const struct command *
find_command(int words_len, char *const words[], int *ret_used)
{
	const struct command *command;
	size_t i;

	for (i = 0; i < COMMANDS_LEN; i++) {
		command = &commands[i];
		if (words_len == 0 || strcmp(command->word1, words[0]) != 0)
			continue;
		*ret_used = command->word2 != NULL ? 2 : 1;
		if (command->word2 == NULL || (words_len > 1 &&
			strcmp(command->word2, words[1]) == 0))
			return command;
	}
	return NULL;
}

/* "new, list or rm": what can follow a word. */
static void
list_words(const char *word1, char out[WORDS_MAX])
{
	size_t i, used = 0;
	bool is_last;

	out[0] = '\0';
	for (i = 0; i < COMMANDS_LEN; i++) {
		if (strcmp(commands[i].word1, word1) != 0)
			continue;
		is_last = i + 1 == COMMANDS_LEN ||
		    strcmp(commands[i + 1].word1, word1) != 0;
		(void)snprintf(out + used, WORDS_MAX - used, "%s%s",
		    used == 0 ? "" : is_last ? " or " : ", ",
		    commands[i].word2);
		used = strlen(out);
	}
}

/* Why find_command() has found none; known: it knows the first word. */
static enum tool_status
refuse_command(int words_len, char *const words[], bool known)
{
	char list[WORDS_MAX];

	if (words_len == 0)
		return tool_usage("a command is missing", NULL);
	if (known) {
		list_words(words[0], list);
		tool_complain("%s: %s is wanted; see podprof --help", words[0],
		    list);
		return TOOL_USAGE;
	}
	return tool_usage("there is no such command:", words[0]);
}

/* As many as the command has names for. */
static enum tool_status
take_args(const struct command *command, struct tool_call *call, int len,
    char *const words[])
{
	const char *names = command->args;
	char name[32];
	int at = 0;

	for (; names[0] != '\0'; at++) {
		assert(at < TOOL_ARGS_MAX);
		if (at == len) {
			(void)snprintf(name, sizeof(name), "%.*s",
			    (int)strcspn(names, " "), names);
			tool_complain("%s: %s is missing; see podprof %s%s%s "
			    "--help", command->word1, name, command->word1,
			    command->word2 != NULL ? " " : "",
			    command->word2 != NULL ? command->word2 : "");
			return TOOL_USAGE;
		}
		call->args[at] = words[at];
		names += strcspn(names, " ");
		names += strspn(names, " ");
	}
	if (len > at)
		return tool_usage("one word too many:", words[at]);
	return TOOL_DONE;
}

static enum tool_status
check_options(const struct command *command, const struct tool_call *call)
{
	char name[32];
	unsigned i;

	for (i = 0; i < TOOL_OPTIONS_LEN; i++) {
		if (call->values[i] == NULL ||
		    ((command->options | ALWAYS) & BIT(i)) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "--%s", options[i].name);
		return tool_usage("this command does not take", name);
	}
	return TOOL_DONE;
}

static enum tool_status
run_command(struct tool_call *call, int words_len, char *const words[])
{
	const struct command *command;
	enum tool_status status;
	int used = 0;

	if (tool_has(call, OPTION_VERSION))
		return put_version();
	command = find_command(words_len, words, &used);
	if (tool_has(call, OPTION_HELP))
		return put_help(command);
	if (command == NULL)
		return refuse_command(words_len, words, used > 0);
	status = take_args(command, call, words_len - used, words + used);
	if (status == TOOL_DONE)
		status = check_options(command, call);
	return status == TOOL_DONE ? command->run(call) : status;
}

/* getopt's own table; an option's number is its place here and 256 more, where
 * it has no letter. */
static void
make_getopt(struct option long_options[TOOL_OPTIONS_LEN + 1],
    char letters[2 * TOOL_OPTIONS_LEN + 2])
{
	unsigned i;

	/* What lacks its value is ':' and not '?'. */
	*letters++ = ':';
	for (i = 0; i < TOOL_OPTIONS_LEN; i++) {
		long_options[i] = (struct option){.name = options[i].name,
		    .has_arg = options[i].value != NULL ? required_argument :
		    no_argument, .val = 256 + (int)i};
		if (options[i].letter == '\0')
			continue;
		*letters++ = options[i].letter;
		if (options[i].value != NULL)
			*letters++ = ':';
	}
	long_options[i] = (struct option){.name = NULL};
	*letters = '\0';
}

static enum tool_option
option_of(int c)
{
	unsigned i;

	for (i = 0; c < 256 && i < TOOL_OPTIONS_LEN; i++)
		if (options[i].letter == c)
			return (enum tool_option)i;
	return (enum tool_option)(c - 256);
}

/* c: getopt's; word: the one that it was at. */
static enum tool_status
refuse_option(int c, const char *word)
{
	char name[64];
	unsigned i, fitting = 0;

	if (c == ':')
		return tool_usage("this option requires an argument:", word);
	if (optopt >= 256) {
		(void)snprintf(name, sizeof(name), "--%s",
		    options[option_of(optopt)].name);
		return tool_usage("this option takes no value:", name);
	}
	if (optopt != 0) {
		(void)snprintf(name, sizeof(name), "-%c", optopt);
		return tool_usage("unrecognized option", name);
	}
	for (i = 0; i < TOOL_OPTIONS_LEN; i++)
		if (strncmp(word + 2, options[i].name, strcspn(word + 2,
		    "=")) == 0)
			fitting++;
	return tool_usage(fitting > 1 ? "several options begin with" :
	    "unrecognized option", word);
}

int
main(int argc, char *argv[])
{
	struct option long_options[TOOL_OPTIONS_LEN + 1];
	char letters[2 * TOOL_OPTIONS_LEN + 2];
	struct tool_call call = {.values = {NULL}};
	int c;

	make_getopt(long_options, letters);
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, long_options, NULL)) !=
	    -1) {
		if (c == '?' || c == ':')
			return refuse_option(c, argv[optind - 1]);
		call.values[option_of(c)] = optarg != NULL ? optarg : "";
	}
	return run_command(&call, argc - optind, argv + optind);
}
