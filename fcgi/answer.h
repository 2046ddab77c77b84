/*
 * What a handler leaves: a response, a file to be sent, or a wait for a job.
 * Handlers never write to the client and never block on it.
 */
#ifndef PODPROF_ANSWER_H
#define PODPROF_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "artifact.h"
#include "buf.h"
#include "err.h"
#include "gate.h"
#include "uuid.h"

/* Bytes of header lines, and of a body: a list of JOB_LIST_MAX jobs. */
#define ANSWER_HEADERS_MAX 8192
#define ANSWER_BODY_MAX (8 << 20)
/* A response of up to this never waits for the client: the kernel takes it.
 * Larger ones are sent like files. */
#define ANSWER_SMALL_BYTES (64 << 10)

enum answer_kind {
	ANSWER_RESPONSE,
	ANSWER_FILE,
	ANSWER_WAIT,	/* nothing yet: see request_wait() */
};

struct answer {
	enum answer_kind kind;

	/* ANSWER_RESPONSE and ANSWER_FILE */
	int status;
	const char *type;	/* Content-Type; NULL: there is no body */
	const char *cache_control;	/* NULL: no-store */
	int64_t retry_after_s;	/* 0: none */
	struct buf headers;	/* further lines, see answer_header() */
	bool incomplete;	/* a header had no room: nothing to send */
	bool by_server;		/* the web server puts a file of file_bytes in
				 * its body's place */

	struct buf body;	/* ANSWER_RESPONSE */

	/* ANSWER_FILE: so many of its bytes in that coding, from first_byte. */
	struct artifact_reader *reader;		/* owned; NULL: none */
	enum artifact_coding coding;
	int64_t first_byte;
	int64_t file_bytes;
	char job_id[UUID_MAX];	/* whose file it is */
	bool delivers;		/* handing it over whole delivers that job */
};

void answer_init(struct answer *answer);

/* Free what it holds; it is then as after answer_init(). */
void answer_fini(struct answer *answer);

/*
 * Add a header line.  Bytes that would end the line become '_'.  Without room
 * the answer is marked incomplete, and whoever sends it makes a 500 of it; so
 * nobody in between has to look.
 */
void answer_header(struct answer *answer, const char *name, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));

/* A text body; the answer is a response with that status. */
MUST int answer_text(struct answer *answer, int status, const char *text,
    struct err *err);

/* The Content-Disposition of a file to be saved as name, which may be any
 * UTF-8 text (RFC 6266, RFC 8187). */
void answer_attachment(struct answer *answer, const char *name);

/*
 * Write the head: status, headers, Content-Type, Content-Length (of the body
 * or file; not with 204 and 304), and what every answer has: Cache-Control and
 * X-Content-Type-Options: nosniff.  ERR_INTERNAL as gate_write().
 */
MUST int answer_send_head(const struct answer *answer, struct gate *gate,
    struct err *err);

/* Write head and, unless head_only, the body of a response. */
MUST int answer_send(const struct answer *answer, struct gate *gate,
    bool head_only, struct err *err);

#endif
