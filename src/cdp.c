/*
 * Replies are matched by id, one call at a time; whatever else arrives is an
 * event.  A reply to a call that was given up is ignored.
 */
#include "cdp_parts.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"

#define WATCH_EXIT "NodeRuntime.notifyWhenWaitingForDisconnect"

/* A chunk that was not cut would be missing in the middle of the file. */
static bool
is_uncut(const struct cdp *cdp, const char *method, const struct json *params)
{
	const char *left;

	if (cdp->stream == NULL || cdp->stream->event == NULL ||
	    strcmp(method, cdp->stream->event) != 0)
		return false;
	left = json_string(json_get(params, cdp->stream->key));
	return left == NULL || left[0] != '\0';
}

static void
begin_exit(struct cdp *cdp)
{
	if (!cdp->exiting)
		cdp->exiting_ms = clock_mono_ms();
	cdp->exiting = true;
}

static int
on_event(struct cdp *cdp, const struct json *message, struct err *err)
{
	const char *method = json_string(json_get(message, "method"));
	const struct json *params = json_get(message, "params");

	if (method == NULL)
		return err_set(err, ERR_TARGET_REFUSED,
		    "the inspector sent a message that is neither a reply nor "
		    "an event");
	if (is_uncut(cdp, method, params))
		return err_set(err, ERR_TARGET_REFUSED,
		    "the inspector sent a part of the value in a form that V8 "
		    "does not have");
	if (strncmp(method, "NodeWorker.", 11) == 0)
		return cdp_worker_event(cdp, method, params, err);
	if (strcmp(method, "NodeRuntime.waitingForDisconnect") == 0)
		begin_exit(cdp);
	if (cdp->handler.event == NULL)
		return 0;
	return cdp->handler.event(cdp->handler.ctx, method, params, err);
}

/*
 * The session that a reply is for, if any waits for it.  What could not be
 * handed on to a worker has no other reply than that of the main thread.
 */
static struct cdp *
asker_of(struct cdp *cdp, const struct json *reply)
{
	const int64_t id = json_int(json_get(reply, "id"), 0);
	struct cdp *worker = cdp->worker;

	if (worker != NULL && id == worker->carrier_id) {
		if (json_get(reply, "error") == NULL)
			return NULL;
		if (worker->owed > 0)
			worker->owed--;
		cdp = worker;
	} else if (id != cdp->id) {
		return NULL;
	}
	return cdp->id != 0 && cdp->reply == NULL ? cdp : NULL;
}

static int
on_message(struct cdp *cdp, struct err *err)
{
	struct cdp *asker;
	const struct buf *rest;
	struct json *message = NULL;
	int ret = -1;

	if (jsoncut_end(cdp->cut, &rest, err) != 0)
		return -1;
	if (json_parse(buf_str(rest), rest->len, &message, err) != 0) {
		if (err != NULL && err->code == ERR_INVALID) {
			err->code = ERR_TARGET_REFUSED;
			(void)err_wrap(err,
			    "the inspector sent a malformed message");
		}
		return -1;
	}
	if (json_get(message, "id") != NULL) {
		if (cdp->owed > 0)
			cdp->owed--;
		asker = asker_of(cdp, message);
		if (asker != NULL) {
			asker->reply = message;
			message = NULL;
		}
		ret = 0;
		goto out;
	}
	ret = on_event(cdp, message, err);
out:
	json_free(&message);
	return ret;
}

/* What is to be cut out of the message that begins. */
static void
begin_message(struct cdp *cdp)
{
	if (cdp->stream != NULL)
		jsoncut_begin(cdp->cut, &cdp->rule, cdp->stream->sink,
		    cdp->stream->ctx);
	else if (cdp->has_workers)
		jsoncut_begin(cdp->cut, &cdp_from_worker, cdp_hear_worker, cdp);
	else
		jsoncut_begin(cdp->cut, NULL, NULL, NULL);
}

int
cdp_piece(struct cdp *cdp, const void *data, size_t len, bool first, bool last,
    struct err *err)
{
	cdp->heard_ms = clock_mono_ms();
	if (first)
		begin_message(cdp);
	if (jsoncut_feed(cdp->cut, data, len, err) != 0)
		return -1;
	return last ? on_message(cdp, err) : 0;
}

static int
on_piece(void *ctx, const void *data, size_t len, bool first, bool last,
    struct err *err)
{
	return cdp_piece(ctx, data, len, first, last, err);
}

int
cdp_open(struct ws *ws, const struct ws_address *address, const char *path,
    int64_t deadline_ms, const struct cdp_handler *handler,
    struct cdp **ret_cdp, struct err *err)
{
	struct cdp *cdp = calloc(1, sizeof(*cdp));
	int ret = -1;

	if (cdp == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a session");
	buf_init(&cdp->sessions, CDP_SESSIONS_MAX);
	cdp->ws = ws;
	cdp->handler = *handler;
	cdp->next_id = 1;
	cdp->ticked_ms = clock_mono_ms();
	if (jsoncut_new(CDP_CONTROL_BYTES, &cdp->cut, err) != 0)
		goto out;
	if (ws_connect(ws, address, path, deadline_ms, on_piece, cdp, err) != 0)
		goto out;
	*ret_cdp = cdp;
	cdp = NULL;
	ret = 0;
out:
	cdp_close(&cdp);
	return ret;
}

int
cdp_watch_exit(struct cdp *cdp, const struct cdp_limit *limit,
    struct err *err)
{
	/* It may have heard us, even if we do not hear it. */
	cdp->watches_exit = true;
	return cdp_call(cdp, WATCH_EXIT, "{\"enabled\":true}", limit, NULL,
	    NULL, err);
}

bool
cdp_is_exiting(const struct cdp *cdp)
{
	return cdp->exiting || (cdp->main != NULL && cdp->main->exiting);
}

/* Serve the connection for one tick at most. */
static int
serve_main(struct cdp *cdp, int64_t until_ms, struct err *err)
{
	int64_t tick_ms = cdp->ticked_ms + CDP_TICK_MS;

	if (ws_service(cdp->ws, until_ms < tick_ms ? until_ms : tick_ms,
		err) != 0)
		return -1;
	if (clock_mono_ms() < tick_ms)
		return 0;
	cdp->ticked_ms = clock_mono_ms();
	if (cdp->handler.tick == NULL)
		return 0;
	return cdp->handler.tick(cdp->handler.ctx, err);
}

static int
serve(struct cdp *cdp, int64_t until_ms, struct err *err)
{
	if (cdp->main == NULL)
		return serve_main(cdp, until_ms, err);
	if (!cdp->is_gone && serve_main(cdp->main, until_ms, err) != 0)
		return -1;
	if (cdp->is_gone && cdp->reply == NULL)
		return cdp_worker_ended(err);
	return 0;
}

/* Until when what is owed is waited for, if nothing more is heard. */
static int64_t
patience_ms(const struct cdp *cdp, int64_t began_ms)
{
	const struct cdp *main = cdp->main != NULL ? cdp->main : cdp;
	const int64_t quiet_ms = cdp->heard_ms + CDP_LINGER_MS;

	if (main->exiting)
		return CDP_LINGER_EXITING_MS + (began_ms > main->exiting_ms ?
		    began_ms : main->exiting_ms);
	return quiet_ms < began_ms + CDP_LINGER_MAX_MS ? quiet_ms
	    : began_ms + CDP_LINGER_MAX_MS;
}

/* See cdp.h. */
static void
linger(struct cdp *cdp)
{
	const int64_t began_ms = clock_mono_ms();
	bool is_over = false;
	int64_t until_ms;
	struct err err;

	cdp->handler = (struct cdp_handler){ NULL, NULL, NULL };
	cdp->stream = NULL;
	cdp->heard_ms = began_ms;
	/* A piece that has come is heard, however long we ourselves stood
	 * still. */
	while (cdp->owed > 0 && !is_over) {
		until_ms = patience_ms(cdp, began_ms);
		is_over = clock_mono_ms() >= until_ms;
		if (serve(cdp, until_ms, &err) != 0)
			break;
		is_over = is_over && clock_mono_ms() >=
		    patience_ms(cdp, began_ms);
	}
}

/* Whatever the main thread is at, it takes messages in their order, and does
 * what they say before it hears that we have left. */
int
cdp_say(struct cdp *cdp, const char *method, const char *params)
{
	const int64_t until_ms = clock_mono_ms() + CDP_LINGER_MS;
	struct err err;

	while (cdp_send(cdp, cdp->next_id++, method, params, &err) != 0)
		if (err.code != ERR_TARGET_TIMEOUT ||
		    clock_mono_ms() >= until_ms ||
		    ws_service(cdp->ws, clock_mono_ms() + 1, &err) != 0)
			return -1;
	return 0;
}

/* Workers twice, as Node may have told of some only while it was left.  With an
 * app that is exiting they end anyway, and it has said all that it will. */
static void
leave_main(struct cdp *cdp)
{
	bool is_silent;
	int i;

	for (i = 0; i < 2 && cdp->sessions.len > 0 && !cdp->exiting; i++)
		if (cdp_leave_workers(cdp) == 0)
			linger(cdp);
	is_silent = cdp->owed > 0;
	if (cdp->watches_exit && !cdp->exiting &&
	    cdp_say(cdp, WATCH_EXIT, "{\"enabled\":false}") == 0 && !is_silent)
		linger(cdp);
	ws_disconnect(cdp->ws);
}

static void
add_parting(const char *method, const char *key, const char *value,
    char out[CDP_PARTING_MAX])
{
	const size_t len = strlen(out);

	/* An id has 32 bits, and no call of ours comes that far. */
	(void)snprintf(out + len, CDP_PARTING_MAX - len, "%s{\"id\":%" PRId32
	    ",\"method\":\"%s\",\"params\":{\"%s\":%s}}",
	    len > 0 ? "\n" : "", INT32_MAX, method, key, value);
}

void
cdp_parting(const struct cdp *cdp, char out[CDP_PARTING_MAX])
{
	char session[CDP_SESSION_MAX + 2];

	out[0] = '\0';
	if (cdp->worker != NULL) {
		(void)snprintf(session, sizeof(session), "\"%s\"",
		    cdp->worker->session);
		add_parting("NodeWorker.detach", "sessionId", session, out);
	}
	if (cdp->watches_exit)
		add_parting(WATCH_EXIT, "enabled", "false", out);
}

void
cdp_close(struct cdp **cdp)
{
	if (cdp == NULL || *cdp == NULL)
		return;
	linger(*cdp);
	if ((*cdp)->main != NULL)
		cdp_leave_worker(*cdp);
	else
		leave_main(*cdp);
	jsoncut_free(&(*cdp)->cut);
	buf_fini(&(*cdp)->sessions);
	json_free(&(*cdp)->reply);
	free(*cdp);
	*cdp = NULL;
}

int
cdp_fd(const struct cdp *cdp)
{
	return ws_fd(cdp->ws);
}

int
cdp_send(struct cdp *cdp, int64_t id, const char *method, const char *params,
    struct err *err)
{
	struct buf text;
	int ret = -1;

	buf_init(&text, CDP_CONTROL_BYTES);
	if (buf_addf(&text, err, "{\"id\":%" PRId64 ",\"method\":\"%s\"", id,
		method) != 0)
		goto out;
	if (params != NULL &&
	    buf_addf(&text, err, ",\"params\":%s", params) != 0)
		goto out;
	if (buf_addc(&text, '}', err) != 0)
		goto out;
	ret = cdp->main != NULL ? cdp_carry(cdp, buf_str(&text), err) :
	    ws_send(cdp->ws, text.data, text.len, err);
	if (ret == 0)
		cdp->owed++;
out:
	buf_fini(&text);
	return ret;
}

static void
set_stream(struct cdp *cdp, const struct cdp_stream *stream)
{
	cdp->stream = stream;
	if (stream == NULL)
		return;
	cdp->rule = (struct jsoncut_rule){
		.method = stream->event,
		.id = cdp->id,
		.outer = stream->event != NULL ? "params" : "result",
		.inner = stream->key,
		.form = stream->event != NULL ? JSONCUT_TEXT : JSONCUT_RAW,
	};
}

/* What the reply says: its result, or its error in our words. */
static int
judge_reply(const struct json *reply, struct err *err)
{
	const struct json *error = json_get(reply, "error");
	const char *text = json_string(json_get(error, "message"));

	if (error == NULL)
		return 0;
	if (text == NULL)
		text = "no reason given";
	if (strstr(text, "Execution context was destroyed") != NULL)
		return err_set(err, ERR_TARGET_EXITED,
		    "the app is exiting: %s", text);
	return err_set(err, ERR_TARGET_REFUSED,
	    "the inspector refused: %s (%" PRId64 ")", text,
	    json_int(json_get(error, "code"), 0));
}

static int
await_reply(struct cdp *cdp, const struct cdp_limit *limit, struct err *err)
{
	int64_t until_ms;

	cdp->heard_ms = clock_mono_ms();
	while (cdp->reply == NULL) {
		until_ms = limit->deadline_ms;
		if (limit->silence_ms > 0 &&
		    cdp->heard_ms + limit->silence_ms < until_ms)
			until_ms = cdp->heard_ms + limit->silence_ms;
		if (clock_mono_ms() >= until_ms)
			return err_set(err, ERR_TARGET_TIMEOUT,
			    until_ms == limit->deadline_ms ?
			    "the app did not answer in time" :
			    "the app sent nothing for %" PRId64 " s",
			    limit->silence_ms / 1000);
		if (serve(cdp, until_ms, err) != 0)
			return -1;
	}
	return 0;
}

/* No call is running any more. */
static void
end_call(struct cdp *cdp)
{
	json_free(&cdp->reply);
	cdp->id = 0;
	cdp->method = NULL;
	cdp->stream = NULL;
}

int
cdp_begin(struct cdp *cdp, const char *method, const char *params,
    const struct cdp_stream *stream, struct err *err)
{
	end_call(cdp);
	cdp->id = cdp->next_id++;
	cdp->method = method;
	set_stream(cdp, stream);
	if (cdp_send(cdp, cdp->id, method, params, err) == 0)
		return 0;
	(void)err_wrap(err, "%s", method);
	end_call(cdp);
	return -1;
}

bool
cdp_has_reply(const struct cdp *cdp)
{
	return cdp->reply != NULL;
}

int
cdp_finish(struct cdp *cdp, struct json **ret_reply, struct err *err)
{
	int ret = -1;

	if (cdp->reply == NULL)
		(void)err_set(err, ERR_TARGET_TIMEOUT,
		    "the app did not answer in time");
	else
		ret = judge_reply(cdp->reply, err);
	if (ret != 0)
		(void)err_wrap(err, "%s", cdp->method);
	if (ret == 0 && ret_reply != NULL) {
		*ret_reply = cdp->reply;
		cdp->reply = NULL;
	}
	end_call(cdp);
	return ret;
}

int
cdp_call(struct cdp *cdp, const char *method, const char *params,
    const struct cdp_limit *limit, const struct cdp_stream *stream,
    struct json **ret_reply, struct err *err)
{
	if (cdp_begin(cdp, method, params, stream, err) != 0)
		return -1;
	if (await_reply(cdp, limit, err) == 0)
		return cdp_finish(cdp, ret_reply, err);
	(void)err_wrap(err, "%s", method);
	end_call(cdp);
	return -1;
}

int
cdp_pump(struct cdp *cdp, struct err *err)
{
	return serve(cdp, clock_mono_ms(), err);
}

int
cdp_wait(struct cdp *cdp, int64_t until_ms, struct err *err)
{
	while (clock_mono_ms() < until_ms && !cdp_is_exiting(cdp))
		if (serve(cdp, until_ms, err) != 0)
			return -1;
	return 0;
}
