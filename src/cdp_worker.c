/*
 * Worker threads: the domain NodeWorker, which Node serves on the main
 * thread's session.  A message to or from a worker is a string inside one of
 * that session's messages; so it is cut out of them and goes, piece by piece,
 * into the worker's own session.
 *
 * To get one session, one has to have Node open one to each worker.  And what
 * is not closed by NodeWorker.detach stays open until the worker ends, with the
 * profile that runs in it, also when the connection is closed (Node 18 to 24);
 * so the others are closed at once, and all in the end.
 */
#include "cdp_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "str.h"

#define FROM_WORKER "NodeWorker.receivedMessageFromWorker"

/* Of an error's text: the workers that there are. */
#define OTHERS_BYTES_MAX 120

/* Of a call that names a session. */
#define PARAMS_BYTES_MAX (CDP_SESSION_MAX + 32)

/* What is looked for while the workers are told of: all of them, or one. */
struct cdp_search {
	cdp_worker_fn *visit;		/* NULL: one */
	void *ctx;
	const char *id;
	char session[CDP_SESSION_MAX];	/* that one's; "": not found */
	char others[OTHERS_BYTES_MAX];
};

const struct jsoncut_rule cdp_from_worker = {
	.method = FROM_WORKER,
	.outer = "params",
	.inner = "message",
	.form = JSONCUT_TEXT,
};

/* The thread's id stands in its title alone: "[worker 3] name", or "Worker 3"
 * before Node 18.16.  What Node calls workerId counts its sessions. */
static bool
read_id(const char *title, char out[CDP_WORKER_ID_MAX])
{
	const char *rest;
	int64_t id;

	if (strncmp(title, "[worker ", 8) == 0) {
		if (!str_take_int(title + 8, &id, &rest) || *rest != ']')
			return false;
	} else if (strncmp(title, "Worker ", 7) != 0 ||
	    !str_take_int(title + 7, &id, &rest) || *rest != '\0') {
		return false;
	}
	(void)snprintf(out, CDP_WORKER_ID_MAX, "%" PRId64, id);
	return true;
}

/* The app chose what is behind the id. */
static void
read_title(const char *title, char out[CDP_WORKER_TITLE_MAX])
{
	size_t left = strlen(title), len = 0, n;

	while ((n = str_utf8_char(title, left)) > 0 &&
	    len + n < CDP_WORKER_TITLE_MAX) {
		memcpy(out + len, title, n);
		if (n == 1 && ((unsigned char)*title < 0x20 || *title == 0x7f))
			out[len] = '?';
		len += n;
		title += n;
		left -= n;
	}
	out[len] = '\0';
}

static void
add_other(struct cdp_search *search, const char *id)
{
	const size_t len = strlen(search->others);

	(void)snprintf(search->others + len, sizeof(search->others) - len,
	    "%s%s", len > 0 ? ", " : "", id);
}

static int
add_session(struct cdp *cdp, const char *session, struct err *err)
{
	struct err why;

	if (session == NULL || strlen(session) >= CDP_SESSION_MAX ||
	    !str_is_name(session))
		return err_set(err, ERR_TARGET_REFUSED, "the inspector names a "
		    "session in a form that Node does not have");
	if (buf_add(&cdp->sessions, session, strlen(session) + 1, &why) == 0)
		return 0;
	if (why.code == ERR_TOO_LARGE)
		return err_set(err, ERR_TARGET_REFUSED, "the app has too many "
		    "worker threads");
	return err_set(err, why.code, "%s", why.msg);
}

static void
drop_session(struct cdp *cdp, const char *session)
{
	struct buf *all = &cdp->sessions;
	const size_t size = strlen(session) + 1;
	size_t at;

	for (at = 0; at < all->len; at += strlen(all->data + at) + 1) {
		if (strcmp(all->data + at, session) != 0)
			continue;
		all->len -= size;
		memmove(all->data + at, all->data + at + size, all->len - at);
		return;
	}
}

/* session fits, as add_session() has seen. */
static void
search_in(struct cdp_search *search, const struct json *params,
    const char *session)
{
	const char *title = json_string(json_path(params, "workerInfo",
	    "title"));
	struct cdp_worker worker;

	if (search == NULL || title == NULL || !read_id(title, worker.id))
		return;
	read_title(title, worker.title);
	if (search->visit != NULL)
		search->visit(search->ctx, &worker);
	else if (strcmp(worker.id, search->id) == 0)
		(void)str_copy(search->session, CDP_SESSION_MAX, session);
	else
		add_other(search, worker.id);
}

static int
on_attached(struct cdp *cdp, const struct json *params, struct err *err)
{
	const char *session = json_string(json_get(params, "sessionId"));

	if (add_session(cdp, session, err) != 0)
		return -1;
	search_in(cdp->search, params, session);
	return 0;
}

static void
on_detached(struct cdp *cdp, const struct json *params)
{
	const char *session = json_string(json_get(params, "sessionId"));

	if (session == NULL)
		return;
	drop_session(cdp, session);
	if (cdp->worker != NULL && strcmp(session, cdp->worker->session) == 0)
		cdp->worker->is_gone = true;
}

int
cdp_hear_worker(void *ctx, const void *data, size_t len, struct err *err)
{
	struct cdp *worker = ((struct cdp *)ctx)->worker;
	bool first;

	/* We have left it already. */
	if (worker == NULL)
		return 0;
	first = !worker->is_hearing;
	worker->is_hearing = true;
	return cdp_piece(worker, data, len, first, false, err);
}

/* All of the message was heard. */
static int
on_received(struct cdp *cdp, const struct json *params, struct err *err)
{
	struct cdp *worker = cdp->worker;
	const char *session = json_string(json_get(params, "sessionId"));
	const char *left = json_string(json_get(params, "message"));
	bool first;

	if (worker == NULL)
		return 0;
	if (session == NULL || strcmp(session, worker->session) != 0 ||
	    left == NULL || left[0] != '\0')
		return err_set(err, ERR_TARGET_REFUSED, "the inspector sent "
		    "what no worker thread was asked for");
	first = !worker->is_hearing;
	worker->is_hearing = false;
	return cdp_piece(worker, "", 0, first, true, err);
}

int
cdp_worker_event(struct cdp *cdp, const char *method,
    const struct json *params, struct err *err)
{
	/* Of a worker's session these are not known. */
	if (cdp->main != NULL)
		return 0;
	if (strcmp(method, FROM_WORKER) == 0)
		return on_received(cdp, params, err);
	if (strcmp(method, "NodeWorker.attachedToWorker") == 0)
		return on_attached(cdp, params, err);
	if (strcmp(method, "NodeWorker.detachedFromWorker") == 0)
		on_detached(cdp, params);
	return 0;
}

static void
put_session(const char *session, char out[PARAMS_BYTES_MAX])
{
	(void)snprintf(out, PARAMS_BYTES_MAX, "{\"sessionId\":\"%s\"}",
	    session);
}

static int
detach(struct cdp *cdp, const char *session, const struct cdp_limit *limit,
    struct err *err)
{
	char params[PARAMS_BYTES_MAX];
	int ret;

	put_session(session, params);
	ret = cdp_call(cdp, "NodeWorker.detach", params, limit, NULL, NULL,
	    err);
	drop_session(cdp, session);
	return ret;
}

/* Node opens no more; and of those that there are all but one are closed. */
static int
detach_others(struct cdp *cdp, const char *kept, const struct cdp_limit *limit,
    struct err *err)
{
	char session[CDP_SESSION_MAX];
	size_t at = 0;

	if (cdp_call(cdp, "NodeWorker.disable", NULL, limit, NULL, NULL,
		err) != 0)
		return -1;
	while (at < cdp->sessions.len) {
		(void)str_copy(session, sizeof(session),
		    cdp->sessions.data + at);
		if (strcmp(session, kept) == 0) {
			at += strlen(session) + 1;
			continue;
		}
		if (detach(cdp, session, limit, err) != 0)
			return -1;
		/* Others may have gone by themselves. */
		at = 0;
	}
	return 0;
}

/* Node tells of the workers before it replies, and of those that start then
 * until it is told to stop. */
static int
search_workers(struct cdp *cdp, const struct cdp_limit *limit,
    struct cdp_search *search, struct err *err)
{
	int ret;

	cdp->has_workers = true;
	cdp->search = search;
	ret = cdp_call(cdp, "NodeWorker.enable",
	    "{\"waitForDebuggerOnStart\":false}", limit, NULL, NULL, err);
	cdp->search = NULL;
	if (ret == 0)
		ret = detach_others(cdp, search->session, limit, err);
	return ret;
}

int
cdp_list_workers(struct cdp *cdp, const struct cdp_limit *limit,
    cdp_worker_fn *visit, void *ctx, struct err *err)
{
	struct cdp_search search = { .visit = visit, .ctx = ctx };

	return search_workers(cdp, limit, &search, err);
}

static int
refuse_unknown(const struct cdp_search *search, struct err *err)
{
	if (search->others[0] == '\0')
		return err_set(err, ERR_NOT_FOUND, "the app has no worker "
		    "thread %s, and no other: leave \"worker\" out for the "
		    "main thread", search->id);
	return err_set(err, ERR_NOT_FOUND, "the app has no worker thread %s, "
	    "or no more; it has %s%s (listed in \"workers\" of the target)",
	    search->id, search->others,
	    strlen(search->others) + 1 == sizeof(search->others) ? "…" : "");
}

int
cdp_open_worker(struct cdp *cdp, const char *id, const struct cdp_limit *limit,
    const struct cdp_handler *handler, struct cdp **ret_worker,
    struct err *err)
{
	struct cdp_search search = { .id = id };
	struct cdp *worker = NULL;
	int ret = -1;

	if (search_workers(cdp, limit, &search, err) != 0)
		return -1;
	if (search.session[0] == '\0')
		return refuse_unknown(&search, err);
	worker = calloc(1, sizeof(*worker));
	if (worker == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a session");
	worker->ws = cdp->ws;
	worker->main = cdp;
	worker->handler = *handler;
	worker->next_id = 1;
	worker->heard_ms = clock_mono_ms();
	(void)str_copy(worker->session, sizeof(worker->session),
	    search.session);
	if (jsoncut_new(CDP_CONTROL_BYTES, &worker->cut, err) != 0)
		goto out;
	cdp->worker = worker;
	*ret_worker = worker;
	worker = NULL;
	ret = 0;
out:
	cdp_close(&worker);
	return ret;
}

int
cdp_worker_ended(struct err *err)
{
	return err_set(err, ERR_TARGET_EXITED, "the worker thread has ended, "
	    "and the capture with it");
}

int
cdp_carry(struct cdp *worker, const char *text, struct err *err)
{
	struct cdp *carrier = worker->main;
	struct json *params = json_new_object();
	struct buf printed;
	int bad = 0, ret = -1;

	buf_init(&printed, CDP_CONTROL_BYTES);
	if (worker->is_gone) {
		(void)cdp_worker_ended(err);
		goto out;
	}
	bad |= json_put_string(params, "sessionId", worker->session);
	bad |= json_put_string(params, "message", text);
	if (bad != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for a message");
		goto out;
	}
	if (json_print(params, &printed, err) != 0)
		goto out;
	worker->carrier_id = carrier->next_id++;
	ret = cdp_send(carrier, worker->carrier_id,
	    "NodeWorker.sendMessageToWorker", buf_str(&printed), err);
out:
	json_free(&params);
	buf_fini(&printed);
	return ret;
}

void
cdp_leave_worker(struct cdp *worker)
{
	struct cdp *carrier = worker->main;
	const struct cdp_limit limit = {
		.deadline_ms = clock_mono_ms() + (carrier->exiting ?
		    CDP_LINGER_EXITING_MS : CDP_LINGER_MS),
	};

	if (carrier->worker != worker)
		return;
	carrier->worker = NULL;
	if (!worker->is_gone)
		(void)!detach(carrier, worker->session, &limit, NULL);
}

int
cdp_leave_workers(struct cdp *cdp)
{
	char session[CDP_SESSION_MAX], params[PARAMS_BYTES_MAX];

	if (cdp_say(cdp, "NodeWorker.disable", NULL) != 0)
		return -1;
	while (cdp->sessions.len > 0) {
		(void)str_copy(session, sizeof(session), cdp->sessions.data);
		drop_session(cdp, session);
		put_session(session, params);
		if (cdp_say(cdp, "NodeWorker.detach", params) != 0)
			return -1;
	}
	return 0;
}
