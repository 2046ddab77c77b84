/*
 * The parts of podprof, the command-line tool: the commands, and what they
 * share.  podprof.c has the tables of commands and options, and main().
 *
 *	podprof.c ── a command's function ── tool_open ── client, fetch
 *	                    │
 *	                    ├─ tool_follow: a job until it is over ─ tool_progress
 *	                    └─ tool_screen: tables, fields, a bar
 *
 * A command says what it found on standard output and everything else on
 * standard error, and returns its exit status.
 */
#ifndef PODPROF_TOOL_H
#define PODPROF_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "conf.h"
#include "err.h"
#include "fetch.h"
#include "json.h"
#include "tool_screen.h"
#include "uuid.h"

/* What scripts can rely on; see podprof(1). */
enum tool_status {
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_NOT_FOUND = 3,
	TOOL_REFUSED = 4,
};

/* In the order of --help. */
enum tool_option {
	OPTION_URL,
	OPTION_APP,
	OPTION_CONFIG,
	OPTION_JSON,
	OPTION_OUTPUT,
	OPTION_DURATION,
	OPTION_INTERVAL,
	OPTION_SAMPLING_BYTES,
	OPTION_LIVE,
	OPTION_METHOD,
	OPTION_FORCE,
	OPTION_WORKER,
	OPTION_NO_WAIT,
	OPTION_KIND,
	OPTION_STATE,
	OPTION_LIMIT,
	OPTION_ROLE,
	OPTION_PRINT,
	OPTION_SOCKET,
	OPTION_HELP,
	OPTION_VERSION,
	TOOL_OPTIONS_LEN
};

#define TOOL_ARGS_MAX 2

/* A command line, taken apart; all of it borrowed. */
struct tool_call {
	const char *values[TOOL_OPTIONS_LEN];	/* NULL: not given; "" for one
						 * that takes no value */
	const char *args[TOOL_ARGS_MAX];	/* as many as the command has */
};

static inline bool
tool_has(const struct tool_call *call, enum tool_option option)
{
	return call->values[option] != NULL;
}

/* The commands. */
typedef enum tool_status tool_run_fn(const struct tool_call *call);
tool_run_fn tool_take, tool_jobs, tool_show, tool_get, tool_rm, tool_summary,
    tool_diff, tool_target, tool_sweep, tool_token_new, tool_token_list,
    tool_token_rm, tool_config_show, tool_config_template, tool_check;

/* Bytes of one answer of ours. */
#define TOOL_OUT_MAX CLIENT_BODY_MAX

/* "podprof: TEXT" on standard error, clean. */
void tool_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The status of a failure here, said or to be said. */
enum tool_status tool_status_of(enum err_code code);
enum tool_status tool_failed(const struct err *err);	/* it is said */

/* The same where a service has answered: what it calls malformed is wrong
 * usage, and what there is no room for it has refused; it is translated. */
enum tool_status tool_refused(const struct err *err);

/* What a service says of members and parameters, in the words of options: a
 * "durationMs: " in front is "--duration: ".  Cut where it does not fit. */
#define TOOL_WORDS_MAX (2 * ERR_MSG_MAX)
void tool_translate(const char *text, char out[TOOL_WORDS_MAX]);

/* "podprof: WHAT "VALUE"; see podprof --help"; value NULL: none. */
enum tool_status tool_usage(const char *what, const char *value);

/* What a command has to say goes out at its end, and has to arrive. */
enum tool_status tool_finish(void);

/* Print a document on a line.  built: whether it is whole. */
enum tool_status tool_put_json(const struct json *json, bool built);

MUST int tool_load_conf(const struct tool_call *call, struct conf **ret_conf,
    struct err *err);

/* Append to a path, or to a query, with what cannot stand there as %NN. */
MUST int tool_encode(struct buf *out, const char *text, struct err *err);

/* The service that a call is for. */
struct tool_service {
	const struct tool_call *call;
	struct conf *conf;		/* NULL: it is far away */
	struct client *client;
};

/* Of --url and PODPROF_URL, or of this machine.  What is wrong has been said;
 * *ret_service is to be closed in any case. */
enum tool_status tool_open(const struct tool_call *call,
    struct tool_service *ret_service);
void tool_close(struct tool_service *service);

/* From now on SIGINT and SIGTERM only end what the client does. */
void tool_catch_signals(struct tool_service *service);

/* "podprof: TEXT:" on standard error, and on a line of its own what brings a
 * job's file: "podprof get ID", with the options that were given here. */
void tool_say_get(const struct tool_service *service, const char *text,
    const char *id);

/*
 * The id of a job that is called by it, or by a beginning of it that no other
 * job has, of at least TOOL_ID_MIN characters.
 *
 *   ERR_INVALID    word is neither
 *   ERR_NOT_FOUND  no job begins so
 *   ERR_CONFLICT   several do: they are named
 *   and as client_get()
 */
#define TOOL_ID_MIN 8
MUST int tool_find_id(struct client *client, const char *word,
    char ret_id[UUID_MAX], struct err *err);

/* Text of a member of a document; "" where there is none. */
const char *tool_text(const struct json *object, const char *key);
/* A number, or -1. */
int64_t tool_number(const struct json *object, const char *key);

/* A state's or an outcome's. */
enum tool_colour tool_colour_of(const char *state);

/* A job that is over and has no file: why, with the ways that were tried. */
enum tool_status tool_explain(const struct json *job);

/*
 * What is going on, on standard error: on a terminal a bar that is drawn anew,
 * else a line for each phase.
 */
struct tool_progress {
	struct tool_screen screen;
	char phase[32];		/* the one that is shown, clean */
	int64_t phase_since_ms;	/* clock_mono_ms() */
	int64_t phase_done;	/* when it began, or we came */
	int64_t frozen_since_ms;/* 0: not that we know */
	int64_t drawn_ms;	/* the same: last time */
	bool is_late;		/* a profile ran when we came */
	bool is_drawn;		/* there is a bar on the line */
};
void tool_progress_init(struct tool_progress *progress);

/* A job as it is now. */
void tool_progress_job(struct tool_progress *progress,
    const struct json *job);

/* A download as it is now. */
fetch_progress_fn tool_progress_fetch;

/* One line beside it. */
void tool_progress_say(struct tool_progress *progress, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Take the bar away. */
void tool_progress_end(struct tool_progress *progress);

/*
 * Wait until a job is over, through cut connections and a service that is not
 * there for up to TOOL_PATIENCE_MS.
 *
 * ret_job  the job at its end, to be freed.
 *
 *   ERR_INTERRUPTED  by a signal
 *   and as client_get()
 */
#define TOOL_PATIENCE_MS 180000
MUST int tool_follow(struct tool_service *service, const char *id,
    struct tool_progress *progress, struct json **ret_job, struct err *err);

/*
 * Ask until there is an answer: what was cut, or cannot be had now (429, 502,
 * 503, 504; not of a request that has a key, as that is an answer to it), is
 * asked again, and said once.  Who never answered is not asked twice.
 *
 * ret_reply  of whatever status; to be released.
 *
 *   ERR_INTERRUPTED  by a signal: client_is_stopped()
 *   and as client_call(), after patience_ms without an answer, or, where the
 *   service says that it is at work on it, TOOL_WORK_MS
 */
#define TOOL_WORK_MS 900000
struct tool_patience {
	int64_t patience_ms;
	int64_t answered_ms;	/* clock_mono_ms() of the last; 0: never */
	char said[ERR_MSG_MAX];
};
MUST int tool_ask(struct tool_service *service,
    const struct client_request *request, struct tool_patience *patience,
    struct tool_progress *progress, struct client_reply *ret_reply,
    struct err *err);

/*
 * Wait for a job, load its file, and say where it is and how to open it: what
 * take and get have in common.
 */
enum tool_status tool_bring(struct tool_service *service, const char *id);

/* Whether -o makes sense. */
enum tool_status tool_check_output(const struct tool_call *call);

#endif
