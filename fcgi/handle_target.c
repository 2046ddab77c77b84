/*
 * What is known of an app without capturing anything.  podprof-capture finds
 * out; an answer is shared by all who ask for it at about the same time.
 */
#include "handle.h"

#include "clock.h"
#include "look.h"

/* The answer is the same for all; what the one who asks may do is not. */
static int
put_object(const struct request *request, const struct json *object,
    struct answer *answer, struct err *err)
{
	answer->status = 200;
	answer->type = "application/json";
	answer_header(answer, "X-Podprof-Role", "%s",
	    conf_role_name(request->principal.role));
	return json_print(object, &answer->body, err);
}

/* Nobody could tell in time. */
static int
put_nothing(const struct conf *conf, const struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf_app *app = conf_find_app(conf, request->app);
	struct json *object = json_new_object();
	struct look look;
	int rc = -1;

	look_init(&look, app->inspector);
	if (look_put_json(
	    &look, request->app, conf->pod, object, err) == 0)
		rc = put_object(request, object, answer, err);
	json_free(&object);
	return rc;
}

/*
 * An answer that was fresh at since_ms, or came later.  ERR_NOT_FOUND: there is
 * none.
 */
static int
put_known(struct seat *seat, const struct request *request, int64_t since_ms,
    struct answer *answer, struct err *err)
{
	const int64_t max_age_ms = clock_mono_ms() - since_ms + LOOK_FRESH_MS;
	struct json *object = NULL;
	struct db *db;
	int rc;

	if (seat_db(seat, &db, err) != 0 || look_get(db, request->app,
	    service_conf(seat->service)->pod, max_age_ms, &object, err) != 0)
		return -1;
	rc = put_object(request, object, answer, err);
	json_free(&object);
	return rc;
}

static int
put_what_there_is(struct seat *seat, const struct request *request,
    int64_t since_ms, struct answer *answer, struct err *err)
{
	if (put_known(seat, request, since_ms, answer, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	return put_nothing(
	    service_conf(seat->service), request, answer, err);
}

static int
looked(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)job;
	return put_what_there_is(seat, request,
	    request->wait.deadline_ms - LOOK_WAIT_MS, answer, err);
}

int
handle_target(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	const int64_t since_ms = clock_mono_ms();
	int64_t revision = 0;
	bool is_ours = false;
	struct db *db;

	if (put_known(seat, request, since_ms, answer, err) == 0)
		return 0;
	if (err->code != ERR_NOT_FOUND ||
	    service_take_place(seat->service, request, err) != 0 ||
	    seat_db(seat, &db, err) != 0 || look_begin(db, request->app,
	    conf->pod, &is_ours, &revision, err) != 0)
		return -1;
	/* Somebody's answer came in this moment. */
	if (revision == 0)
		return put_what_there_is(
		    seat, request, since_ms, answer, err);
	if (is_ours && service_spawn(
	    seat->service, SPAWN_LOOK, request->app, err) != 0) {
		/* Else it is gone by itself within LOOK_FRESH_MS. */
		(void)!look_abandon(db, request->app, conf->pod, NULL);
		return -1;
	}
	request_wait_look(
	    request, answer, revision, LOOK_WAIT_MS, looked);
	return 0;
}
