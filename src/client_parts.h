/*
 * What the parts of client.c share.
 */
#ifndef PODPROF_CLIENT_PARTS_H
#define PODPROF_CLIENT_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "str.h"

struct client_http;
struct client_local;

struct client {
	char app[STR_NAME_MAX + 1];
	char where[CLIENT_URL_MAX];
	bool is_exposed;
	bool has_token;
	const volatile sig_atomic_t *stop;	/* NULL: never */
	struct client_http *http;		/* one of both */
	struct client_local *local;
};

/* An answer as it comes: lines of its head, then pieces of its body. */
struct client_answer {
	const struct client_request *request;
	const struct client *client;
	struct client_reply reply;	/* client_answer_fini() */
	size_t head_bytes;		/* so far */
	int64_t body_bytes;
	bool is_head_whole;
	bool is_failed;			/* by us: err says why */
	struct err err;
};

void client_answer_init(struct client_answer *answer,
    const struct client *client, const struct client_request *request);
void client_answer_fini(struct client_answer *answer);

/*
 * The next functions return -1 with answer->err, and answer->is_failed set.
 *
 * A header line, without its end; its length counts against CLIENT_HEAD_MAX.
 * ERR_TARGET_REFUSED: it is no header, or its value cannot be; ERR_TOO_LARGE.
 */
MUST int client_answer_header(struct client_answer *answer, const char *line,
    size_t len);
/* A further head begins: what an interim answer had is forgotten. */
MUST int client_answer_status(struct client_answer *answer, int status);
/* The head is whole: ERR_TARGET_REFUSED for what we do not take. */
MUST int client_answer_head(struct client_answer *answer);
MUST int client_answer_body(struct client_answer *answer, const void *data,
    size_t len);

/* How long a call may be silent. */
int64_t client_silence_ms(const struct client_request *request);

/* ERR_INTERRUPTED as client.h has it for a client that was stopped. */
int client_stopped(struct err *err);

/*
 * url    "http://HOST:PORT/PREFIX/APP/private/papi"
 * token  NULL: none.
 */
MUST int client_http_open(const char *url, const char *token,
    bool is_this_machine, struct client_http **ret_http, struct err *err);
void client_http_close(struct client_http **http);
MUST int client_http_call(struct client_http *http,
    struct client_answer *answer, struct err *err);

MUST int client_local_open(const struct conf *conf,
    struct client_local **ret_local, struct err *err);
void client_local_close(struct client_local **local);
MUST int client_local_call(struct client_local *local,
    struct client_answer *answer, struct err *err);

#endif
