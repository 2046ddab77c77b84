/*
 * libwebsockets with its callbacks turned into calls that return.  One
 * context, one connection at a time.
 */
#include "ws.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libwebsockets.h>

#include "clock.h"
#include "log.h"

enum state {
	STATE_IDLE,
	STATE_CONNECTING,
	STATE_OPEN,		/* HTTP: the answer is arriving */
	STATE_DONE,		/* HTTP: the answer is complete */
	STATE_CLOSED,
};

#define NOBODY_THERE "nothing accepts connections there"

struct ws {
	struct lws_context *context;
	struct lws *wsi;
	lws_sorted_usec_list_t alarm;
	enum state state;
	bool connected;		/* TCP stands, our request is on its way */
	bool received;
	bool failed;		/* *err of the running call is filled */
	struct err err;

	ws_piece_fn *piece;
	void *ctx;
	struct buf *body;
	int status;

	unsigned char *out;	/* LWS_PRE, then the message; NULL: none */
	size_t out_len;
};

/* All zero: libwebsockets sends no ping and never hangs up by itself. */
static const lws_retry_bo_t no_ping;

static int
fail(struct ws *ws, const struct err *err)
{
	if (!ws->failed)
		ws->err = *err;
	ws->failed = true;
	lws_cancel_service(ws->context);
	return -1;
}

static void
wake(struct ws *ws)
{
	lws_cancel_service(ws->context);
}

static int
on_connect_error(struct ws *ws, const char *what)
{
	struct err err;

	ws->state = STATE_CLOSED;
	ws->wsi = NULL;
	if (!ws->connected)
		/* libwebsockets keeps errno to itself. */
		(void)err_set(&err, ERR_TARGET_UNREACHABLE, NOBODY_THERE);
	else
		(void)err_set(&err, ERR_TARGET_REFUSED, "%s",
		    what != NULL ? what : "no answer that HTTP knows");
	(void)fail(ws, &err);
	return 0;
}

static int
on_http_read(struct ws *ws, const void *in, size_t len)
{
	struct err err;

	if (buf_add(ws->body, in, len, &err) == 0)
		return 0;
	if (err.code == ERR_TOO_LARGE)
		(void)err_set(&err, ERR_TARGET_REFUSED,
		    "the answer is over %zu bytes", ws->body->max);
	return fail(ws, &err);
}

/* Let libwebsockets read; it comes back with ..._READ for the content. */
static int
on_http_readable(struct lws *wsi)
{
	char buffer[LWS_PRE + 4096];
	char *at = buffer + LWS_PRE;
	int len = 4096;

	return lws_http_client_read(wsi, &at, &len) < 0 ? -1 : 0;
}

static int
on_receive(struct ws *ws, struct lws *wsi, const void *in, size_t len)
{
	bool first = lws_is_first_fragment(wsi) != 0;
	bool last = lws_is_final_fragment(wsi) != 0 &&
	    lws_remaining_packet_payload(wsi) == 0;
	struct err err;

	ws->received = true;
	wake(ws);
	if (lws_frame_is_binary(wsi)) {
		(void)err_set(&err, ERR_TARGET_REFUSED,
		    "the inspector sent a binary message");
		return fail(ws, &err);
	}
	return ws->piece(ws->ctx, in, len, first, last, &err) != 0 ?
	    fail(ws, &err) : 0;
}

static int
on_writeable(struct ws *ws, struct lws *wsi)
{
	int n;

	if (ws->out == NULL)
		return 0;
	n = lws_write(wsi, ws->out + LWS_PRE, ws->out_len, LWS_WRITE_TEXT);
	free(ws->out);
	ws->out = NULL;
	return n < 0 ? -1 : 0;
}

static int
on_closed(struct ws *ws)
{
	if (ws->state != STATE_DONE)
		ws->state = STATE_CLOSED;
	ws->wsi = NULL;
	wake(ws);
	return 0;
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct ws *ws = lws_context_user(lws_get_context(wsi));

	(void)user;
	/* The enumeration is libwebsockets' own, of some hundred values. */
	switch ((int)reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		return on_connect_error(ws, in);
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		ws->connected = true;
		return 0;
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		ws->state = STATE_OPEN;
		ws->status = (int)lws_http_client_http_response(wsi);
		wake(ws);
		return 0;
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
		return on_http_readable(wsi);
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
		return on_http_read(ws, in, len);
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		ws->state = STATE_DONE;
		wake(ws);
		return -1;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		ws->state = STATE_OPEN;
		wake(ws);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return on_receive(ws, wsi, in, len);
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return on_writeable(ws, wsi);
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		return on_closed(ws);
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "cdp", .callback = callback,
	    .rx_buffer_size = WS_PIECE_BYTES },
	{ .name = NULL },
};

static void
log_line(int level, const char *line)
{
	int len = (int)strcspn(line, "\n");

	(void)level;
	log_debug("ws", "libwebsockets: %.*s", len, line);
}

int
ws_new(struct ws **ret_ws, struct err *err)
{
	struct lws_context_creation_info info;
	struct ws *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a connection");
	lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
	memset(&info, 0, sizeof(info));
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.protocols = protocols;
	info.gid = -1;
	info.uid = -1;
	/* Else it takes room for as many as RLIMIT_NOFILE allows. */
	info.fd_limit_per_thread = 16;
	info.retry_and_idle_policy = &no_ping;
	info.user = ws;
	ws->context = lws_create_context(&info);
	if (ws->context == NULL) {
		free(ws);
		return err_set(err, ERR_NOMEM, "no memory for a connection");
	}
	*ret_ws = ws;
	return 0;
}

void
ws_free(struct ws **ws)
{
	if (ws == NULL || *ws == NULL)
		return;
	ws_disconnect(*ws);
	lws_context_destroy((*ws)->context);
	free((*ws)->out);
	free(*ws);
	*ws = NULL;
}

static void
on_alarm(lws_sorted_usec_list_t *alarm)
{
	struct ws *ws = lws_container_of(alarm, struct ws, alarm);

	wake(ws);
}

/* One turn of the loop, not past until_ms. */
static void
turn(struct ws *ws, int64_t until_ms)
{
	int64_t left_ms = until_ms - clock_mono_ms();

	if (left_ms < 0)
		left_ms = 0;
	lws_sul_schedule(ws->context, 0, &ws->alarm, on_alarm,
	    left_ms * LWS_US_PER_MS + 1);
	(void)lws_service(ws->context, 0);
	lws_sul_cancel(&ws->alarm);
}

/* The error that a callback left, if one did. */
static int
take_failure(struct ws *ws, struct err *err)
{
	if (!ws->failed)
		return 0;
	if (err != NULL)
		*err = ws->err;
	ws->failed = false;
	return -1;
}

static int
start(struct ws *ws, const struct ws_address *address, const char *path,
    bool is_http, struct err *err)
{
	struct lws_client_connect_info info;
	char host[64];
	struct err callback_err;

	assert(ws->wsi == NULL);
	(void)snprintf(host, sizeof(host),
	    strchr(address->ip, ':') != NULL ? "[%s]:%u" : "%s:%u",
	    address->ip, (unsigned)address->port);
	memset(&info, 0, sizeof(info));
	info.context = ws->context;
	info.address = address->ip;
	info.port = address->port;
	info.path = path;
	info.host = host;
	info.local_protocol_name = "cdp";
	info.alpn = "http/1.1";
	info.method = is_http ? "GET" : NULL;
	info.retry_and_idle_policy = &no_ping;
	info.pwsi = &ws->wsi;

	ws->connected = false;
	ws->state = STATE_CONNECTING;
	ws->failed = false;
	if (lws_client_connect_via_info(&info) != NULL)
		return 0;
	ws->wsi = NULL;
	ws->state = STATE_IDLE;
	if (take_failure(ws, &callback_err) != 0) {
		if (err != NULL)
			*err = callback_err;
		return -1;
	}
	return err_set(err, ERR_TARGET_UNREACHABLE, NOBODY_THERE);
}

/* Work until the state is one of two. */
static int
await(struct ws *ws, enum state wanted, int64_t deadline_ms, struct err *err)
{
	while (ws->state != wanted && ws->state != STATE_CLOSED) {
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TARGET_TIMEOUT,
			    "no answer in time");
		turn(ws, deadline_ms);
		if (take_failure(ws, err) != 0)
			return -1;
	}
	if (ws->state != wanted)
		return err_set(err, ERR_TARGET_REFUSED,
		    "the connection was closed in the middle of an answer");
	return 0;
}

/* Have libwebsockets forget the connection, whatever it is at. */
static void
drop(struct ws *ws)
{
	int turns;

	if (ws->wsi != NULL)
		lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_OK,
		    LWS_TO_KILL_SYNC);
	/* What it closes with a delay is closed by its own timers. */
	for (turns = 0; ws->wsi != NULL && turns < 4; turns++)
		turn(ws, clock_mono_ms());
	ws->wsi = NULL;
	ws->state = STATE_IDLE;
	ws->failed = false;
}

int
ws_get(struct ws *ws, const struct ws_address *address, const char *path,
    int64_t deadline_ms, struct buf *out, int *ret_status, struct err *err)
{
	int ret = -1;

	ws->body = out;
	if (start(ws, address, path, true, err) == 0 &&
	    await(ws, STATE_DONE, deadline_ms, err) == 0) {
		*ret_status = ws->status;
		ret = 0;
	}
	drop(ws);
	ws->body = NULL;
	return ret;
}

int
ws_connect(struct ws *ws, const struct ws_address *address, const char *path,
    int64_t deadline_ms, ws_piece_fn *piece, void *ctx, struct err *err)
{
	ws->piece = piece;
	ws->ctx = ctx;
	if (start(ws, address, path, false, err) == 0 &&
	    await(ws, STATE_OPEN, deadline_ms, err) == 0)
		return 0;
	drop(ws);
	return -1;
}

int
ws_send(struct ws *ws, const char *text, size_t len, struct err *err)
{
	if (ws->out != NULL)
		return err_set(err, ERR_TARGET_TIMEOUT,
		    "the inspector has not taken the message before");
	ws->out = malloc(LWS_PRE + len);
	if (ws->out == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a message");
	memcpy(ws->out + LWS_PRE, text, len);
	ws->out_len = len;
	if (ws->wsi != NULL)
		(void)lws_callback_on_writable(ws->wsi);
	return 0;
}

int
ws_service(struct ws *ws, int64_t until_ms, struct err *err)
{
	ws->received = false;
	do {
		if (ws->state == STATE_OPEN)
			turn(ws, until_ms);
		if (take_failure(ws, err) != 0) {
			drop(ws);
			return -1;
		}
		if (ws->received)
			return 0;
		if (ws->state != STATE_OPEN)
			return err_set(err, ERR_TARGET_EXITED,
			    "the connection broke: the app ended, or closed "
			    "its inspector");
	} while (clock_mono_ms() < until_ms);
	return 0;
}

int
ws_fd(const struct ws *ws)
{
	return ws->state == STATE_OPEN && ws->wsi != NULL ?
	    (int)lws_get_socket_fd(ws->wsi) : -1;
}

void
ws_disconnect(struct ws *ws)
{
	int64_t until_ms = clock_mono_ms() + 200;
	bool is_over = false;

	if (ws == NULL)
		return;
	/* Tried at least once, however long we ourselves stood still. */
	while (ws->state == STATE_OPEN && ws->out != NULL && !is_over) {
		is_over = clock_mono_ms() >= until_ms;
		turn(ws, until_ms);
	}
	if (ws_fd(ws) >= 0)
		(void)shutdown(ws_fd(ws), SHUT_RDWR);
	drop(ws);
	free(ws->out);
	ws->out = NULL;
}

bool
ws_frame(const char *text, unsigned char out[WS_FRAME_MAX], size_t *ret_len)
{
	const size_t len = strlen(text);

	if (len > WS_FRAME_TEXT_MAX)
		return false;
	out[0] = 0x81;		/* the last frame of a text */
	out[1] = (unsigned char)(0x80 | len);
	/* The mask: it is against caches on the way, of which there are none. */
	memset(out + 2, 0, 4);
	memcpy(out + 6, text, len);
	*ret_len = len + 6;
	return true;
}
