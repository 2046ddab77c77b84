/*
 * The connection to the web server.  libfcgi parses and prints FastCGI's
 * records; accepting, timeouts, and closing are done here, because its own
 * accept loop knows no timeout, leaks descriptors into children, and waits for
 * the peer's close.
 */
#include "gate.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fcgiapp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

/* One read or write may stand still for so long. */
#define IO_TIMEOUT_MS 5000
/* Under CGI nobody watches; the body has this time. */
#define CGI_BODY_MS 10000
/* For a body that nobody wants: see linger(). */
#define LINGER_MS 200
#define LINGER_BYTES (1 << 20)
/* Ordinary answers fit in the kernel's buffer, so that writing one never
 * waits for a client (ANSWER_SMALL_BYTES and its head). */
#define SEND_BUFFER_BYTES (128 << 10)
/* FastCGI's numbers: the version, types of records, the role we play. */
#define RECORD_VERSION 1
#define RECORD_BEGIN 1
#define RECORD_ABORT 2
#define RECORD_PARAMS 4
#define RECORD_STDIN 5
#define RECORD_HEADER 8
#define RECORD_BEGIN_BODY 8
#define ROLE_RESPONDER 1

/* The header of a record. */
struct record {
	unsigned type, id;
	size_t content, padding;
};

struct gate {
	bool fastcgi;
	int fd;			/* FastCGI: the connection */
	int in_fd, out_fd;	/* CGI */
	char *const *env;
	FCGX_Request fcgx;
	bool open;		/* fcgx has streams */
	unsigned id;		/* of the FastCGI request */
	size_t head_bytes;
	struct record record;	/* of the body: what of it is still to come */
	bool body_read;

	struct gate_watch *watch;
	int64_t read_ms;
	int64_t deadline_ms;	/* 0: not in the list */
	struct gate *prev, *next;
};

struct gate_watch {
	pthread_mutex_t lock;
	struct gate *first;
};

enum gate_mode
gate_mode(void)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    listens != 0)
		return GATE_FASTCGI;
	if (getenv("REQUEST_METHOD") != NULL)
		return GATE_CGI;
	return GATE_NEITHER;
}

int
gate_watch_new(struct gate_watch **ret_watch, struct err *err)
{
	struct gate_watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the watchdog");
	(void)pthread_mutex_init(&watch->lock, NULL);
	*ret_watch = watch;
	return 0;
}

void
gate_watch_free(struct gate_watch **watch)
{
	if (*watch == NULL)
		return;
	assert((*watch)->first == NULL);
	(void)pthread_mutex_destroy(&(*watch)->lock);
	free(*watch);
	*watch = NULL;
}

void
gate_watch_run(struct gate_watch *watch)
{
	struct gate *gate;
	int64_t now_ms = clock_mono_ms();

	(void)pthread_mutex_lock(&watch->lock);
	for (gate = watch->first; gate != NULL; gate = gate->next) {
		if (now_ms >= gate->deadline_ms)
			(void)shutdown(gate->fd, SHUT_RDWR);
	}
	(void)pthread_mutex_unlock(&watch->lock);
}

void
gate_set_deadline(struct gate *gate, int64_t ms)
{
	struct gate_watch *watch = gate->watch;

	if (watch == NULL)
		return;
	(void)pthread_mutex_lock(&watch->lock);
	if (gate->deadline_ms != 0) {
		if (gate->prev != NULL)
			gate->prev->next = gate->next;
		else
			watch->first = gate->next;
		if (gate->next != NULL)
			gate->next->prev = gate->prev;
		gate->prev = gate->next = NULL;
		gate->deadline_ms = 0;
	}
	if (ms > 0) {
		gate->deadline_ms = clock_mono_ms() + ms;
		gate->next = watch->first;
		if (gate->next != NULL)
			gate->next->prev = gate;
		watch->first = gate;
	}
	(void)pthread_mutex_unlock(&watch->lock);
}

static void
set_timeout(int fd, int option, int64_t ms)
{
	struct timeval tv = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	(void)setsockopt(fd, SOL_SOCKET, option, &tv, sizeof(tv));
}

void
gate_set_send_timeout(struct gate *gate, int64_t ms)
{
	if (gate->fastcgi)
		set_timeout(gate->fd, SO_SNDTIMEO, ms);
}

int
gate_listen(struct err *err)
{
	int flags, rc;

	rc = FCGX_Init();
	if (rc != 0)
		return err_set(
		    err, ERR_INTERNAL, "libfcgi does not start (%d)", rc);
	/* Several threads are woken by one connection; those that come late
	 * must not block. */
	flags = fcntl(0, F_GETFL);
	if (flags < 0 || fcntl(0, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_set_errno(err, ERR_INTERNAL, errno,
		    "the listening socket on descriptor 0");
	return 0;
}

/* Everything goes that the gate has; libfcgi must not close the descriptor,
 * which the watchdog may be looking at. */
static void
release(struct gate **gate)
{
	struct gate *g = *gate;

	if (g == NULL)
		return;
	gate_set_deadline(g, 0);
	if (g->open) {
		/* Its streams are closed, or write to nowhere. */
		g->fcgx.ipcFd = -1;
		FCGX_Free(&g->fcgx, 0);
	}
	if (g->fd >= 0)
		(void)close(g->fd);
	if (g->in_fd >= 0)
		(void)close(g->in_fd);
	if (g->out_fd >= 0)
		(void)close(g->out_fd);
	free(g);
	*gate = NULL;
}

static struct gate *
new_gate(void)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (gate == NULL)
		return NULL;
	gate->fd = gate->in_fd = gate->out_fd = -1;
	return gate;
}

static bool
is_nothing_there(int errnum)
{
	return errnum == EAGAIN || errnum == EINTR || errnum == ECONNABORTED;
}

int
gate_accept(struct gate_watch *watch, int64_t read_ms, struct gate **ret_gate,
    struct err *err)
{
	struct gate *gate = NULL;
	int send_bytes = SEND_BUFFER_BYTES, fd;

	fd = accept4(0, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && is_nothing_there(errno)) {
		*ret_gate = NULL;
		return 0;
	}
	if (fd < 0)
		return err_set_errno(
		    err, ERR_LIMIT, errno, "a connection cannot be accepted");
	gate = new_gate();
	if (gate == NULL) {
		(void)close(fd);
		return err_set(err, ERR_LIMIT, "no memory for a connection");
	}
	gate->fastcgi = true;
	gate->fd = fd;
	gate->watch = watch;
	set_timeout(fd, SO_RCVTIMEO, IO_TIMEOUT_MS);
	set_timeout(fd, SO_SNDTIMEO, IO_TIMEOUT_MS);
	(void)setsockopt(
	    fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
	gate->read_ms = read_ms;
	*ret_gate = gate;
	return 0;
}

static bool
parse_record(const unsigned char *p, struct record *record)
{
	record->type = p[1];
	record->id = (unsigned)p[2] << 8 | p[3];
	record->content = (size_t)p[4] << 8 | p[5];
	record->padding = p[6];
	return p[0] == RECORD_VERSION;
}

/* A length of PARAMS, of one byte or of four; false if it is not there. */
static bool
take_length(const unsigned char **p, size_t *left, size_t *ret_length)
{
	const size_t width = *left > 0 && (**p & 0x80) != 0 ? 4 : 1;
	size_t length, i;

	if (*left < width)
		return false;
	length = width == 4 ? **p & 0x7f : **p;
	for (i = 1; i < width; i++)
		length = length << 8 | (*p)[i];
	*p += width;
	*left -= width;
	*ret_length = length;
	return true;
}

/* Are PARAMS pairs whose lengths add up?  A length that is too large is
 * where libfcgi would overrun. */
static bool
are_pairs(const unsigned char *p, size_t left)
{
	size_t name, value;

	while (left > 0) {
		if (!take_length(&p, &left, &name) ||
		    !take_length(&p, &left, &value) ||
		    name > left || value > left - name)
			return false;
		p += name + value;
		left -= name + value;
	}
	return true;
}

/*
 * Judge the len bytes that have come in; their PARAMS are moved together.  Of a
 * whole head tells the request's id and how many bytes it has.
 * libfcgi forgets the padding of the first record and of the last, and would
 * read it as records that nobody has looked at; so they may have none.
 *
 *	head   | header, BEGIN | header, PARAMS, padding | … | header |
 *	params | PARAMS | PARAMS …
 */
static enum gate_head
judge_head(unsigned char *head, size_t len, unsigned *ret_id,
    size_t *ret_bytes)
{
	struct record begin, record;
	unsigned char *params = head;
	size_t params_len = 0, at = RECORD_HEADER + RECORD_BEGIN_BODY;

	if (len > 0 && head[0] != RECORD_VERSION)
		return GATE_HEAD_BAD;
	if (len < at)
		return GATE_HEAD_PART;
	if (!parse_record(head, &begin) || begin.type != RECORD_BEGIN ||
	    begin.id == 0 || begin.content != RECORD_BEGIN_BODY ||
	    begin.padding != 0 ||
	    ((unsigned)head[8] << 8 | head[9]) != ROLE_RESPONDER)
		return GATE_HEAD_BAD;
	for (; at + RECORD_HEADER <= len;
	    at += record.content + record.padding) {
		if (!parse_record(head + at, &record) ||
		    record.type != RECORD_PARAMS || record.id != begin.id)
			return GATE_HEAD_BAD;
		at += RECORD_HEADER;
		if (record.content == 0) {
			*ret_id = begin.id;
			*ret_bytes = at;
			return record.padding == 0 &&
			    are_pairs(params, params_len)
			    ? GATE_HEAD_WHOLE : GATE_HEAD_BAD;
		}
		if (at + record.content > len)
			break;
		memmove(params + params_len, head + at, record.content);
		params_len += record.content;
	}
	return len < GATE_HEAD_MAX ? GATE_HEAD_PART : GATE_HEAD_BAD;
}

enum gate_head
gate_head(struct gate *gate, int ms)
{
	const int64_t end_ms = clock_mono_ms() + ms;
	struct pollfd pfd = { .fd = gate->fd, .events = POLLIN };
	unsigned char head[GATE_HEAD_MAX];
	enum gate_head state = GATE_HEAD_PART;
	int64_t left_ms;
	ssize_t n;

	if (!gate->fastcgi)
		return GATE_HEAD_WHOLE;
	for (;;) {
		n = recv(gate->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
		if (n == 0 || (n < 0 && !is_nothing_there(errno)))
			return GATE_HEAD_BAD;
		if (n > 0)
			state = judge_head(head, (size_t)n, &gate->id,
			    &gate->head_bytes);
		left_ms = end_ms - clock_mono_ms();
		if (state != GATE_HEAD_PART || left_ms <= 0)
			return state;
		/* A part makes the descriptor readable as a whole does; then
		 * time must pass by itself. */
		if (n > 0)
			(void)poll(NULL, 0, 1);
		else
			(void)poll(&pfd, 1, (int)left_ms);
	}
}

/*
 * Move the head, which has been judged, into a pipe: libfcgi reads it there and
 * sees nothing else of what the peer sends.
 */
static int
take_head(struct gate *gate, int *ret_fd, struct err *err)
{
	unsigned char head[GATE_HEAD_MAX];
	int ends[2];
	ssize_t n;

	n = recv(gate->fd, head, gate->head_bytes, MSG_DONTWAIT);
	if (n < 0 || (size_t)n != gate->head_bytes)
		return err_set(err, ERR_INVALID,
		    "a connection that broke off after its head");
	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_set_errno(
		    err, ERR_LIMIT, errno, "a pipe for the head of a request");
	/* It has room for all: GATE_HEAD_MAX is a pipe's size. */
	n = write(ends[1], head, gate->head_bytes);
	(void)close(ends[1]);
	if (n < 0 || (size_t)n != gate->head_bytes) {
		(void)close(ends[0]);
		return err_set(err, ERR_LIMIT,
		    "no room for the head of a request");
	}
	*ret_fd = ends[0];
	return 0;
}

int
gate_read_head(struct gate *gate, struct err *err)
{
	FCGX_Request *fcgx = &gate->fcgx;
	int head;

	if (!gate->fastcgi)
		return 0;
	if (take_head(gate, &head, err) != 0)
		return -1;
	(void)FCGX_InitRequest(fcgx, -1, 0);
	fcgx->ipcFd = head;		/* on failure libfcgi closes it */
	fcgx->keepConnection = 1;	/* accept: keep what is open */
	fcgx->detached = 1;		/* close: do not wait for the peer */
	if (FCGX_Accept_r(fcgx) < 0)
		return err_set(err, ERR_INVALID,
		    "libfcgi does not take the head of a request");
	(void)close(head);
	fcgx->ipcFd = gate->fd;
	gate->open = true;
	gate->env = fcgx->envp;
	/* A head that was cut off looks whole but for this. */
	if (FCGX_GetError(fcgx->in) != 0)
		return err_set(err, ERR_INVALID,
		    "libfcgi does not take the head of a request");
	return 0;
}

int
gate_open_cgi(int in_fd, int out_fd, char *const env[],
    struct gate **ret_gate, struct err *err)
{
	struct gate *gate = new_gate();

	if (gate == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	gate->in_fd = in_fd;
	gate->out_fd = out_fd;
	gate->env = env;
	*ret_gate = gate;
	return 0;
}

const char *
gate_env(const struct gate *gate, const char *name)
{
	size_t len = strlen(name);
	char *const *p;

	for (p = gate->env; p != NULL && *p != NULL; p++) {
		if (strncmp(*p, name, len) == 0 && (*p)[len] == '=')
			return (*p)[len + 1] != '\0' ? *p + len + 1 : NULL;
	}
	return NULL;
}

/* Exactly len bytes of the connection; trash: they are not wanted. */
static bool
read_whole(int fd, void *data, size_t len)
{
	return len == 0 || recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

/*
 * Up to size bytes of the STDIN records; 0 at the end; -1 if it broke off, or
 * if the peer sends anything else.
 */
static ssize_t
read_fastcgi(struct gate *gate, char *data, size_t size)
{
	unsigned char head[RECORD_HEADER], padding[UINT8_MAX];
	struct record *record = &gate->record;
	ssize_t n;

	while (record->content == 0 && !gate->body_read) {
		if (!read_whole(gate->fd, padding, record->padding) ||
		    !read_whole(gate->fd, head, sizeof(head)) ||
		    !parse_record(head, record) ||
		    record->type != RECORD_STDIN || record->id != gate->id)
			return -1;
		if (record->content == 0)
			gate->body_read = read_whole(
			    gate->fd, padding, record->padding);
	}
	if (gate->body_read)
		return 0;
	n = recv(gate->fd, data,
	    size < record->content ? size : record->content, 0);
	if (n <= 0)
		return -1;
	record->content -= (size_t)n;
	return n;
}

static ssize_t
read_cgi(struct gate *gate, char *data, size_t size, int64_t deadline_ms)
{
	struct pollfd pfd = { .fd = gate->in_fd, .events = POLLIN };
	int64_t left_ms = deadline_ms - clock_mono_ms();

	if (left_ms <= 0 || poll(&pfd, 1, (int)left_ms) != 1)
		return -1;
	return read(gate->in_fd, data, size);
}

/* The declared length; -1 if none. */
static int
declared_length(const struct gate *gate, int64_t *ret_len, struct err *err)
{
	const char *text = gate_env(gate, "CONTENT_LENGTH");

	*ret_len = -1;
	if (text == NULL)
		return 0;
	if (str_parse_int(text, 0, INT64_MAX, ret_len, err) != 0)
		return err_wrap(err, "Content-Length");
	return 0;
}

static int
add_piece(struct buf *body, const char *piece, size_t len, struct err *err)
{
	if (buf_add(body, piece, len, err) == 0)
		return 0;
	if (err->code == ERR_TOO_LARGE)
		return err_set(err, ERR_TOO_LARGE,
		    "the body is over %zu bytes", body->max);
	return -1;
}

/* All there is; want is what CONTENT_LENGTH says, or -1. */
static int
read_pieces(struct gate *gate, int64_t want, struct buf *body,
    struct err *err)
{
	const int64_t deadline_ms = clock_mono_ms() + CGI_BODY_MS;
	char piece[4096];
	size_t max, room;
	ssize_t n;

	for (;;) {
		max = sizeof(piece);
		if (!gate->fastcgi && want >= 0) {
			room = (size_t)want - body->len;
			max = room < max ? room : max;
		}
		if (max == 0)
			return 0;
		n = gate->fastcgi
		    ? read_fastcgi(gate, piece, max)
		    : read_cgi(gate, piece, max, deadline_ms);
		if (n < 0)
			return err_set(
			    err, ERR_INVALID, "the body broke off");
		if (n == 0)
			return 0;
		if (add_piece(body, piece, (size_t)n, err) != 0)
			return -1;
	}
}

int
gate_read_body(struct gate *gate, struct buf *body, struct err *err)
{
	int64_t want;
	int rc;

	assert(body->len == 0);
	if (declared_length(gate, &want, err) != 0)
		return -1;
	if (want > (int64_t)body->max)
		return err_set(err, ERR_TOO_LARGE,
		    "the body is over %zu bytes", body->max);
	/* A CGI program gets no end of file (RFC 3875, 4.2); what has no
	 * length has no body, but for a chunked one. */
	if (!gate->fastcgi && want < 0 &&
	    gate_env(gate, "HTTP_TRANSFER_ENCODING") == NULL)
		want = 0;
	gate_set_deadline(gate, gate->read_ms);
	rc = read_pieces(gate, want, body, err);
	gate_set_deadline(gate, 0);
	if (rc != 0)
		return -1;
	gate->body_read = true;
	if (want >= 0 && body->len != (size_t)want)
		return err_set(err, ERR_INVALID,
		    "the body has %zu bytes where Content-Length says %lld",
		    body->len, (long long)want);
	return 0;
}

int
gate_poll_fd(const struct gate *gate)
{
	return gate->fastcgi ? gate->fd : -1;
}

enum gate_peer
gate_peer(const struct gate *gate)
{
	struct pollfd pfd = { .fd = gate->fd, .events = POLLIN };
	unsigned char head[8];
	ssize_t n;

	if (!gate->fastcgi || poll(&pfd, 1, 0) != 1)
		return GATE_PEER_HERE;
	if ((pfd.revents & (POLLHUP | POLLERR)) != 0)
		return GATE_PEER_LEFT;
	n = recv(gate->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && !is_nothing_there(errno)))
		return GATE_PEER_LEFT;
	if (n >= 2 && head[0] == RECORD_VERSION && head[1] == RECORD_ABORT)
		return GATE_PEER_LEFT;
	return n > 0 ? GATE_NOISE : GATE_PEER_HERE;
}

static int
write_cgi(int fd, const char *data, size_t len, struct err *err)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(
			    err, ERR_INTERNAL, errno, "the web server");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* FCGX_FFlush() and the like forget an error; the stream does not. */
static int
check_out(struct gate *gate, struct err *err)
{
	int code = FCGX_GetError(gate->fcgx.out);

	if (code == 0)
		return 0;
	if (code == EAGAIN)
		return err_set(err, ERR_INTERNAL,
		    "the web server took nothing for too long");
	return err_set_errno(
	    err, ERR_INTERNAL, code > 0 ? code : EPIPE, "the web server");
}

int
gate_write(struct gate *gate, const void *data, size_t len, struct err *err)
{
	assert(len <= INT_MAX);
	if (!gate->fastcgi)
		return write_cgi(gate->out_fd, data, len, err);
	if (len > 0)
		(void)FCGX_PutStr(data, (int)len, gate->fcgx.out);
	return check_out(gate, err);
}

int
gate_flush(struct gate *gate, struct err *err)
{
	if (!gate->fastcgi)
		return 0;
	(void)FCGX_FFlush(gate->fcgx.out);
	return check_out(gate, err);
}

int
gate_brace(struct gate *gate, int64_t ms, struct err *err)
{
	struct pollfd pfd = {
		.fd = gate->fastcgi ? gate->fd : gate->out_fd,
		.events = POLLOUT,
	};
	int flags;

	if (poll(&pfd, 1, (int)ms) != 1)
		return err_set(err, ERR_INTERNAL,
		    "the web server took nothing for too long");
	if ((pfd.revents & (POLLHUP | POLLERR)) != 0 ||
	    gate_peer(gate) == GATE_PEER_LEFT)
		return err_set_errno(
		    err, ERR_INTERNAL, EPIPE, "the web server");
	/* Under CGI the descriptor may be somebody's terminal, and nobody
	 * waits for us. */
	if (!gate->fastcgi)
		return 0;
	flags = fcntl(gate->fd, F_GETFL);
	if (flags < 0 || fcntl(gate->fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_set_errno(
		    err, ERR_INTERNAL, errno, "the connection");
	return 0;
}

/*
 * A refused request's body may still be on its way.  Closing in its face makes
 * some web servers forget our answer, so what comes is thrown away until the
 * peer has closed, for a short time.  mod_cgid talks to a CGI program through a
 * socket, too.
 */
static void
linger(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t now_ms, end_ms = clock_mono_ms() + LINGER_MS;
	char trash[4096];
	ssize_t n, total = 0;

	while (total < LINGER_BYTES && (now_ms = clock_mono_ms()) < end_ms &&
	    poll(&pfd, 1, (int)(end_ms - now_ms)) == 1) {
		n = read(fd, trash, sizeof(trash));
		if (n <= 0)
			return;
		total += n;
	}
}

static int
finish_fastcgi(struct gate *gate, struct err *err)
{
	/* In this order the end of both is one write. */
	(void)FCGX_FClose(gate->fcgx.err);
	(void)FCGX_FClose(gate->fcgx.out);
	if (check_out(gate, err) != 0)
		return -1;
	if (!gate->body_read) {
		(void)shutdown(gate->fd, SHUT_WR);
		linger(gate->fd);
	}
	return 0;
}

static int
finish_cgi(struct gate *gate, struct err *err)
{
	int rc = 0;

	/* in_fd may be the same socket: closing one of two does not end it. */
	(void)shutdown(gate->out_fd, SHUT_WR);
	if (close(gate->out_fd) != 0)
		rc = err_set_errno(err, ERR_INTERNAL, errno, "the web server");
	gate->out_fd = -1;
	if (!gate->body_read && gate_env(gate, "CONTENT_LENGTH") != NULL)
		linger(gate->in_fd);
	return rc;
}

int
gate_finish(struct gate **gate, struct err *err)
{
	int rc = (*gate)->fastcgi ? finish_fastcgi(*gate, err) :
	    finish_cgi(*gate, err);

	release(gate);
	return rc;
}

void
gate_drop(struct gate **gate)
{
	release(gate);
}
