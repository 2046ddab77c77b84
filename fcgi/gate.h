/*
 * One request's connection to the web server, FastCGI or plain CGI alike.
 * The only module that knows libfcgi.
 *
 *	gate_accept - gate_head - gate_read_head -+
 *	gate_open_cgi ----------------------------+- gate_env, gate_read_body
 *	                       gate_write … gate_finish, or gate_drop
 *
 * A struct gate belongs to one thread at a time.  With FastCGI it can carry a
 * deadline: a peer that is slow or stuck beyond it has its connection shut, so
 * that the call that is blocked on it returns with an error.
 */
#ifndef PODPROF_GATE_H
#define PODPROF_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* How we were started; looks at descriptor 0 and REQUEST_METHOD. */
enum gate_mode {
	GATE_FASTCGI,	/* descriptor 0 is a listening socket */
	GATE_CGI,	/* REQUEST_METHOD is set */
	GATE_NEITHER,	/* by hand */
};
enum gate_mode gate_mode(void);

/* The deadlines of all gates that have one. */
struct gate_watch;

MUST int gate_watch_new(struct gate_watch **ret_watch, struct err *err);
/* No gate may be left that had a deadline.  NULL is allowed. */
void gate_watch_free(struct gate_watch **watch);
/* Shut the connections that are overdue; to be called about every second. */
void gate_watch_run(struct gate_watch *watch);

struct gate;

/*
 * Prepare libfcgi and descriptor 0 for gate_accept(); once, before there are
 * threads.  ERR_INTERNAL.
 */
MUST int gate_listen(struct err *err);

/*
 * Take a connection that waits on descriptor 0.
 *
 * watch       lives longer than the gate.
 * read_ms     the time for the request's body.
 * ret_gate    NULL if none waits (another thread was faster).
 *
 * ERR_LIMIT  no descriptors or no memory for a further connection
 */
MUST int gate_accept(struct gate_watch *watch, int64_t read_ms,
    struct gate **ret_gate, struct err *err);

/*
 * Has the request's head arrived?  Waits up to ms for it; web servers send it
 * in one piece, right after they connect.
 *
 * What libfcgi would trust blindly is looked at here: a head is one
 * BEGIN_REQUEST for a responder, then PARAMS of the same request with lengths
 * that fit, GATE_HEAD_MAX bytes at most.  libfcgi gets these bytes and no
 * others; the body is read without it.
 */
#define GATE_HEAD_MAX (64 << 10)
enum gate_head {
	GATE_HEAD_WHOLE,
	GATE_HEAD_PART,
	GATE_HEAD_BAD,	/* of no use any more: not FastCGI, or the peer left */
};
enum gate_head gate_head(struct gate *gate, int ms);

/*
 * Read the head, after GATE_HEAD_WHOLE; under CGI there is nothing to do.
 * ERR_INVALID: libfcgi does not take it.
 */
MUST int gate_read_head(struct gate *gate, struct err *err);

/*
 * A gate for plain CGI.
 *
 * in_fd, out_fd  where the body comes from and the answer goes to; closed
 *                with the gate.
 * env            the request's head; borrowed for the gate's life.
 */
MUST int gate_open_cgi(int in_fd, int out_fd, char *const env[],
    struct gate **ret_gate, struct err *err);

/* A variable of the head; "" is as good as absent: NULL. */
const char *gate_env(const struct gate *gate, const char *name);

/*
 * Read the request's body, to its end, into an empty buffer.
 *   ERR_TOO_LARGE  it is over body->max bytes, or says that it will be
 *   ERR_INVALID    it broke off, or is not CONTENT_LENGTH bytes long
 *   ERR_NOMEM
 */
MUST int gate_read_body(struct gate *gate, struct buf *body, struct err *err);

/* The deadline, in milliseconds from now; 0: none.  FastCGI only. */
void gate_set_deadline(struct gate *gate, int64_t ms);

/* How long one write may make no progress.  FastCGI only. */
void gate_set_send_timeout(struct gate *gate, int64_t ms);

/* What can be polled for POLLIN to learn that the peer is going; -1: nothing
 * tells (plain CGI).  Of use once the body was read. */
int gate_poll_fd(const struct gate *gate);

/* Is the peer there?  Some web servers tell when their client left, by
 * closing the connection or by an abort record; no other data is expected, and
 * GATE_NOISE means that polling has no sense any more. */
enum gate_peer { GATE_PEER_HERE, GATE_PEER_LEFT, GATE_NOISE };
enum gate_peer gate_peer(const struct gate *gate);

/*
 * Give bytes of the answer: "Status: …" and other header lines, an empty line,
 * the body.  ERR_INTERNAL: the peer is gone or took nothing for too long;
 * only gate_drop() makes sense then.
 */
MUST int gate_write(struct gate *gate, const void *data, size_t len,
    struct err *err);

/* Hand over what was written so far.  Errors as gate_write(). */
MUST int gate_flush(struct gate *gate, struct err *err);

/*
 * After gate_flush(): wait up to ms until the peer can take GATE_TAIL_MAX
 * bytes more.  From then on nothing blocks: a write that would have to fails.
 * ERR_INTERNAL: the peer is gone, or took nothing.
 */
#define GATE_TAIL_MAX 512
MUST int gate_brace(struct gate *gate, int64_t ms, struct err *err);

/*
 * End the answer and free the gate.  0: all of it was handed over to the web
 * server.  Whether the client got it nobody can tell.
 */
MUST int gate_finish(struct gate **gate, struct err *err);

/* Break the connection without an end, so that the web server sees that the
 * answer is not whole; free the gate.  NULL is allowed. */
void gate_drop(struct gate **gate);

#endif
