/*
 * A worker's session over what an inspector may send: each line is a message,
 * and the first byte says how they are split.  Split or whole, what the session
 * makes of them must agree, and whoever opened it gets it closed again.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cdp.h"
#include "clock.h"
#include "ws.h"

int __wrap_ws_connect(struct ws *ws, const struct ws_address *address,
    const char *path, int64_t deadline_ms, ws_piece_fn *piece, void *ctx,
    struct err *err);
int __wrap_ws_send(struct ws *ws, const char *text, size_t len,
    struct err *err);
int __wrap_ws_service(struct ws *ws, int64_t until_ms, struct err *err);
int __wrap_ws_fd(const struct ws *ws);
void __wrap_ws_disconnect(struct ws *ws);

/* The inspector: what it has still to say. */
static const uint8_t *left;
static size_t left_len, split;
static ws_piece_fn *take;
static void *take_ctx;

int
__wrap_ws_connect(struct ws *ws, const struct ws_address *address,
    const char *path, int64_t deadline_ms, ws_piece_fn *piece, void *ctx,
    struct err *err)
{
	(void)ws;
	(void)address;
	(void)path;
	(void)deadline_ms;
	(void)err;
	take = piece;
	take_ctx = ctx;
	return 0;
}

int
__wrap_ws_send(struct ws *ws, const char *text, size_t len, struct err *err)
{
	(void)ws;
	(void)err;
	if (memchr(text, '\n', len) != NULL)
		abort();
	return 0;
}

/* One message, in its pieces. */
int
__wrap_ws_service(struct ws *ws, int64_t until_ms, struct err *err)
{
	const uint8_t *end;
	size_t len, at, piece;

	(void)ws;
	(void)until_ms;
	if (left_len == 0)
		return err_set(err, ERR_TARGET_EXITED, "no more");
	end = memchr(left, '\n', left_len);
	len = end != NULL ? (size_t)(end - left) : left_len;
	for (at = 0; at == 0 || at < len; at += piece) {
		piece = len - at < split ? len - at : split;
		if (take(take_ctx, left + at, piece, at == 0,
			at + piece == len, err) != 0)
			return -1;
		if (piece == 0)
			break;
	}
	left += len;
	left_len -= len;
	if (left_len > 0) {
		left++;
		left_len--;
	}
	return 0;
}

int
__wrap_ws_fd(const struct ws *ws)
{
	(void)ws;
	return -1;
}

void
__wrap_ws_disconnect(struct ws *ws)
{
	(void)ws;
}

static int
collect(void *ctx, const void *data, size_t len, struct err *err)
{
	return buf_add(ctx, data, len, err);
}

static int
run(const uint8_t *data, size_t size, size_t pieces, struct buf *value,
    struct err *err)
{
	const struct cdp_limit limit = {
		.deadline_ms = clock_mono_ms() + 60000,
	};
	const struct cdp_handler handler = { NULL, NULL, NULL };
	const struct cdp_stream stream = { "M", "chunk", collect, value };
	struct ws_address address = { .ip = "127.0.0.1" };
	struct cdp *cdp = NULL, *worker = NULL;
	int ret = -1;

	left = data;
	left_len = size;
	split = pieces;
	if (cdp_open(NULL, &address, "/", 0, &handler, &cdp, err) != 0)
		abort();
	if (cdp_open_worker(cdp, "3", &limit, &handler, &worker, err) == 0)
		ret = cdp_call(worker, "M", NULL, &limit, &stream, NULL, err);
	cdp_close(&worker);
	cdp_close(&cdp);
	return ret;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf value[2];
	struct err err[2];
	int i, ret[2];

	if (size < 1)
		return 0;
	for (i = 0; i < 2; i++) {
		buf_init(&value[i], 1 << 20);
		memset(&err[i], 0, sizeof(err[i]));
		ret[i] = run(data + 1, size - 1, i == 0 ? size :
		    1 + data[0] % 16u, &value[i], &err[i]);
	}
	if (ret[0] != ret[1] || (ret[0] == 0 && (value[0].len != value[1].len ||
		(value[0].len > 0 && memcmp(value[0].data, value[1].data,
		    value[0].len) != 0))))
		abort();
	for (i = 0; i < 2; i++)
		buf_fini(&value[i]);
	return 0;
}
