/*
 * The shield: askers, the reader, and the host of the requests that wait for
 * them.  Only the host hands requests on, and it waits for nothing but time;
 * so an app, a name server or a disk that hangs holds up nobody's answer.
 *
 *	asker, reader: sleep until wanted - ask, unlocked - put down - wake host
 *	host:          who of those that are parked needs nothing any more?
 */
#include "shield.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http.h"
#include "log.h"
#include "share.h"
#include "thread.h"

/* What waits is looked at so often, as what is fresh grows old. */
#define HOST_TICK_MS 50
/* Of an answer; more is not read. */
#define BODY_MAX 4096
/* Plain CGI: until what was lacking may be there. */
#define LACK_PAUSE_MS 50

struct asker {
	struct shield *shield;
	struct http_url url;
	bool is_health;
	bool has_thread, is_wanted, is_asking;
	pthread_t thread;
	pthread_cond_t wanted;
	int64_t asked_ms;		/* clock_mono_ms(); -1: never */
	/* What was said; see struct shield_reply. */
	int64_t question_ms, answered_ms;
	int up;
	struct err why;
	bool lacks;
};

struct shielded {
	const struct conf_app *app;
	struct asker health, inspector;
	struct job_shield rows;
	int64_t read_ms;	/* clock_mono_ms(); -1: never */
	int64_t began_ms;	/* to be read, the last time; -1: never */
	int64_t wanted_ms;	/* since when they are to be read; -1: not */
};

struct shield {
	struct service *service;
	shield_over_fn *over;
	void *ctx;

	pthread_mutex_t lock;	/* of all that follows, but for seat */
	struct shielded *apps;
	size_t apps_len;
	pthread_cond_t rows_wanted;
	pthread_cond_t changed;		/* the host's */
	struct request *parked;		/* by next */
	size_t parked_len;
	bool has_reader, has_host, is_reading, stopping, quit;
	bool lacks_thread;	/* one that was to be started last */
	pthread_t reader, host;

	struct seat seat;	/* the reader's */
};

/* The inspector answers to "localhost" by whatever name it was found. */
static int
inspector_url(const struct conf_app *app, struct http_url *ret_url,
    struct err *err)
{
	const char *place = app->inspector;
	char text[HTTP_HOST_MAX + 32];

	if (strncmp(place, "ws://", 5) == 0)
		place += 5;
	(void)snprintf(text, sizeof(text), "http://%.*s/json/version",
	    (int)strcspn(place, "/"), place);
	if (http_url_parse(text, ret_url, err) != 0)
		return -1;
	(void)snprintf(ret_url->authority, sizeof(ret_url->authority),
	    "localhost:%s", ret_url->port);
	return 0;
}

static void
asker_init(struct asker *asker, struct shield *shield, bool is_health)
{
	asker->shield = shield;
	asker->is_health = is_health;
	asker->asked_ms = asker->question_ms = asker->answered_ms = -1;
	asker->up = -1;
	thread_cond_init(&asker->wanted);
}

static int
shielded_init(struct shielded *shielded, struct shield *shield,
    const struct conf_app *app, struct err *err)
{
	shielded->app = app;
	shielded->read_ms = shielded->began_ms = shielded->wanted_ms = -1;
	asker_init(&shielded->health, shield, true);
	asker_init(&shielded->inspector, shield, false);
	if (app->health_url[0] != '\0' && http_url_parse(app->health_url,
	    &shielded->health.url, err) != 0)
		return -1;
	return inspector_url(app, &shielded->inspector.url, err);
}

int
shield_new(struct service *service, struct shield **ret_shield,
    struct err *err)
{
	const struct conf *conf = service_conf(service);
	struct shield *shield = calloc(1, sizeof(*shield));
	int rc = 0;

	if (shield == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	shield->service = shield->seat.service = service;
	(void)pthread_mutex_init(&shield->lock, NULL);
	thread_cond_init(&shield->rows_wanted);
	thread_cond_init(&shield->changed);
	shield->apps = calloc(conf->apps_len + 1, sizeof(shield->apps[0]));
	if (shield->apps == NULL)
		rc = err_set(err, ERR_NOMEM, "no memory to start");
	while (rc == 0 && shield->apps_len < conf->apps_len) {
		rc = shielded_init(&shield->apps[shield->apps_len], shield,
		    &conf->apps[shield->apps_len], err);
		shield->apps_len++;
	}
	if (rc != 0)
		shield_free(&shield);
	else
		*ret_shield = shield;
	return rc;
}

static void
join_asker(struct asker *asker)
{
	if (asker->has_thread)
		(void)pthread_join(asker->thread, NULL);
	(void)pthread_cond_destroy(&asker->wanted);
}

void
shield_free(struct shield **shield)
{
	struct shield *s = *shield;
	size_t i;

	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stopping = s->quit = true;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_cond_broadcast(&s->rows_wanted);
	for (i = 0; i < s->apps_len; i++) {
		(void)pthread_cond_broadcast(&s->apps[i].health.wanted);
		(void)pthread_cond_broadcast(&s->apps[i].inspector.wanted);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (s->has_host)
		(void)pthread_join(s->host, NULL);
	if (s->has_reader)
		(void)pthread_join(s->reader, NULL);
	for (i = 0; i < s->apps_len; i++) {
		join_asker(&s->apps[i].health);
		join_asker(&s->apps[i].inspector);
	}
	seat_fini(&s->seat);
	(void)pthread_cond_destroy(&s->changed);
	(void)pthread_cond_destroy(&s->rows_wanted);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->apps);
	free(s);
	*shield = NULL;
}

/* What is wrong, in words that may be told to anybody: no address. */
static void
explain(const struct asker *asker, struct err *why)
{
	const char *what = asker->is_health ? "health_url" : "the inspector";

	switch ((int)why->code) {
	case ERR_TARGET_UNREACHABLE:
		(void)err_set(why, why->code, "%s cannot be connected to",
		    what);
		break;
	case ERR_TARGET_TIMEOUT:
		(void)err_set(why, why->code, "%s did not answer within %d ms",
		    what, SHIELD_ASK_MS);
		break;
	default:
		(void)err_set(why, why->code, "what listens at %s broke off, "
		    "or does not speak HTTP", what);
		break;
	}
}

/* Is it nothing that the app has done? */
static bool
is_lack(const struct err *why)
{
	return why->code == ERR_LIMIT || why->code == ERR_NOMEM;
}

/* Unlocked.  1 or 0, and why; -1: it was not given its time, or we lack what
 * it takes. */
static int
ask(const struct asker *asker, int64_t deadline_ms, struct err *why)
{
	static const struct http_request get = { .method = "GET",
		.headers = "User-Agent: podprof\r\nAccept: */*\r\n" };
	const int64_t whole_ms = clock_mono_ms() + SHIELD_ASK_MS;
	struct http_reply reply;
	int rc;

	http_reply_init(&reply, BODY_MAX);
	rc = http_ask(&asker->url, &get,
	    deadline_ms < whole_ms ? deadline_ms : whole_ms, &reply, why);
	http_reply_fini(&reply);
	if (rc != 0 && (is_lack(why) || (why->code == ERR_TARGET_TIMEOUT &&
	    deadline_ms < whole_ms)))
		return -1;
	if (rc != 0) {
		explain(asker, why);
		return 0;
	}
	/* An inspector may keep what it has to itself (404): it is there. */
	if (!asker->is_health || reply.status < 400)
		return 1;
	(void)err_set(why, ERR_UNHEALTHY, "health_url answered %d",
	    reply.status);
	return 0;
}

/* With the lock held.  Where nothing was said, what was counts. */
static void
put_down(struct asker *asker, int up, const struct err *why)
{
	const bool lacks = up < 0 && is_lack(why);

	if (lacks && !asker->lacks)
		log_warn("shield", "an app cannot be asked: %s", why->msg);
	asker->lacks = lacks;
	if (up >= 0) {
		asker->up = up;
		asker->question_ms = asker->asked_ms;
		asker->answered_ms = clock_mono_ms();
	}
	if (up == 0)
		asker->why = *why;
	asker->is_asking = asker->is_wanted = false;
	(void)pthread_cond_broadcast(&asker->shield->changed);
}

static void
ask_once(struct asker *asker)
{
	struct shield *shield = asker->shield;
	struct err why;
	int up;

	asker->asked_ms = clock_mono_ms();
	asker->is_asking = true;
	(void)pthread_mutex_unlock(&shield->lock);
	up = ask(asker, INT64_MAX, &why);
	(void)pthread_mutex_lock(&shield->lock);
	put_down(asker, up, &why);
}

static void *
run_asker(void *arg)
{
	struct asker *asker = arg;
	struct shield *shield = asker->shield;
	int64_t due_ms;

	(void)pthread_mutex_lock(&shield->lock);
	while (!shield->quit) {
		due_ms = asker->asked_ms + SHIELD_FRESH_MS;
		if (!asker->is_wanted || shield->stopping)
			(void)pthread_cond_wait(&asker->wanted, &shield->lock);
		else if (asker->asked_ms >= 0 && clock_mono_ms() < due_ms)
			(void)thread_cond_wait(
			    &asker->wanted, &shield->lock, due_ms);
		else
			ask_once(asker);
	}
	(void)pthread_mutex_unlock(&shield->lock);
	return NULL;
}

/* Unlocked.  Where they cannot be read, what was read before counts, by its
 * times; the keeper tells why. */
static void
read_rows(struct seat *seat, const char *app, struct job_shield *rows)
{
	const char *pod = service_conf(seat->service)->pod;
	struct db *db;
	struct err err;

	if (seat_db(seat, &db, &err) != 0 ||
	    job_find_shield(db, app, pod, rows, &err) != 0)
		seat_fini(seat);
}

/* One whose rows are wanted; NULL if there is none. */
static struct shielded *
next_wanted(struct shield *shield)
{
	size_t i;

	for (i = 0; i < shield->apps_len; i++)
		if (shield->apps[i].wanted_ms >= 0)
			return &shield->apps[i];
	return NULL;
}

static void *
run_reader(void *arg)
{
	struct shield *shield = arg;
	struct shielded *shielded;
	struct job_shield rows;
	int64_t began_ms;

	(void)pthread_mutex_lock(&shield->lock);
	while (!shield->quit) {
		shielded = next_wanted(shield);
		if (shielded == NULL || shield->stopping) {
			(void)pthread_cond_wait(
			    &shield->rows_wanted, &shield->lock);
			continue;
		}
		rows = shielded->rows;
		began_ms = clock_mono_ms();
		shield->is_reading = true;
		(void)pthread_mutex_unlock(&shield->lock);
		read_rows(&shield->seat, shielded->app->name, &rows);
		(void)pthread_mutex_lock(&shield->lock);
		shielded->rows = rows;
		shielded->began_ms = began_ms;
		shielded->read_ms = clock_mono_ms();
		shielded->wanted_ms = -1;
		shield->is_reading = false;
		(void)pthread_cond_broadcast(&shield->changed);
	}
	(void)pthread_mutex_unlock(&shield->lock);
	return NULL;
}

/* Start a thread unless it runs.  Without it nothing will be found out, and
 * those who wait are told so in time; the next one tries again. */
static void
have_thread(struct shield *shield, bool *has_thread, void *(*run)(void *),
    void *arg, pthread_t *thread)
{
	struct err err;

	if (*has_thread)
		return;
	*has_thread = thread_start(run, arg, thread, &err) == 0;
	if (!*has_thread && !shield->lacks_thread)
		log_warn("shield", "apps cannot be asked: %s", err.msg);
	shield->lacks_thread = !*has_thread;
}

static void
want_asker(struct asker *asker)
{
	/* Under way, its answer will be for this one, too. */
	if (asker->is_asking || asker->shield->stopping)
		return;
	asker->is_wanted = true;
	if (asker->shield->over == NULL)
		return;
	have_thread(asker->shield, &asker->has_thread, run_asker, asker,
	    &asker->thread);
	(void)pthread_cond_signal(&asker->wanted);
}

static void
want(struct shield *shield, struct shielded *shielded, unsigned parts)
{
	if ((parts & SHIELD_HEALTH) != 0)
		want_asker(&shielded->health);
	if ((parts & SHIELD_INSPECTOR) != 0)
		want_asker(&shielded->inspector);
	if ((parts & SHIELD_ROWS) == 0 || shield->stopping)
		return;
	if (shielded->wanted_ms < 0)
		shielded->wanted_ms = clock_mono_ms();
	if (shield->over == NULL)
		return;
	have_thread(shield, &shield->has_reader, run_reader, shield,
	    &shield->reader);
	(void)pthread_cond_signal(&shield->rows_wanted);
}

static struct shield_reply
reply_of(const struct asker *asker, int64_t now_ms)
{
	const int64_t age_ms =
	    asker->answered_ms < 0 ? -1 : now_ms - asker->answered_ms;

	return (struct shield_reply){
		.up = asker->up,
		.is_fresh = age_ms >= 0 && age_ms < SHIELD_FRESH_MS,
		.age_ms = age_ms,
		.asked_ago_ms = now_ms - asker->question_ms,
		.lacks = asker->lacks || asker->shield->lacks_thread,
		.why = asker->why,
	};
}

bool
shield_is_said(const struct shield_reply *reply)
{
	return reply->age_ms >= 0 && reply->age_ms < SHIELD_WAIT_MS;
}

static struct shield_sight
sight_of(const struct shielded *shielded)
{
	const int64_t now_ms = clock_mono_ms();
	const int64_t wait_ms = shielded->read_ms >= 0 ? SHIELD_ROWS_WAIT_MS
	    : SHIELD_ROWS_FIRST_MS;
	/* Old, or never read, they count where nothing better is to be had. */
	const bool is_best = shielded->wanted_ms >= 0 &&
	    now_ms - shielded->wanted_ms >= wait_ms;

	return (struct shield_sight){
		.app = shielded->app,
		.is_fresh = is_best || (shielded->read_ms >= 0 &&
		    now_ms - shielded->read_ms < SHIELD_ROWS_MS),
		.rows = shielded->rows,
		.is_since = is_best ||
		    shielded->began_ms > shielded->inspector.answered_ms,
		.health = reply_of(&shielded->health, now_ms),
		.inspector = reply_of(&shielded->inspector, now_ms),
	};
}

/* With the lock held: have found out what is needed; true if nothing is. */
static bool
see(struct shield *shield, struct shielded *shielded, shield_need_fn *need,
    struct shield_sight *ret_sight)
{
	unsigned parts;

	*ret_sight = sight_of(shielded);
	parts = need(ret_sight);
	want(shield, shielded, parts);
	return parts == 0;
}

bool
shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight)
{
	const struct conf *conf = service_conf(shield->service);
	bool is_known;

	(void)pthread_mutex_lock(&shield->lock);
	is_known = see(
	    shield, &shield->apps[app - conf->apps], need, ret_sight);
	(void)pthread_mutex_unlock(&shield->lock);
	return is_known;
}

/* With the lock held: does the request need nothing of any of its apps? */
static bool
is_served(struct shield *shield, const struct request *request)
{
	const struct conf_app *app = request->wait.shielded;
	struct shield_sight sight;
	bool is_served = true;
	size_t i;

	for (i = 0; i < shield->apps_len; i++)
		if (app == NULL || app == shield->apps[i].app)
			is_served &= see(shield, &shield->apps[i],
			    request->wait.need, &sight);
	return is_served;
}

/* With the lock held: take those out that wait no more. */
static struct request *
take_over(struct shield *shield)
{
	struct request **link = &shield->parked, *request, *over = NULL;
	const int64_t now_ms = clock_mono_ms();

	while ((request = *link) != NULL) {
		if (!is_served(shield, request) && !shield->stopping &&
		    now_ms < request->wait.deadline_ms) {
			link = &request->next;
			continue;
		}
		*link = request->next;
		shield->parked_len--;
		request->next = over;
		over = request;
	}
	return over;
}

static void
hand_on(struct shield *shield, struct request *over, bool is_stopped)
{
	struct request *request;

	while ((request = over) != NULL) {
		over = request->next;
		request->next = NULL;
		shield->over(shield->ctx, request, is_stopped);
	}
}

static void *
run_host(void *arg)
{
	struct shield *shield = arg;
	struct request *over;
	bool is_stopped;

	(void)pthread_mutex_lock(&shield->lock);
	while (!shield->quit) {
		over = take_over(shield);
		if (over != NULL) {
			is_stopped = shield->stopping;
			(void)pthread_mutex_unlock(&shield->lock);
			hand_on(shield, over, is_stopped);
			(void)pthread_mutex_lock(&shield->lock);
		} else if (shield->parked == NULL) {
			(void)pthread_cond_wait(
			    &shield->changed, &shield->lock);
		} else {
			(void)thread_cond_wait(&shield->changed, &shield->lock,
			    clock_mono_ms() + HOST_TICK_MS);
		}
	}
	(void)pthread_mutex_unlock(&shield->lock);
	return NULL;
}

void
shield_start(struct shield *shield, shield_over_fn *over, void *ctx)
{
	(void)pthread_mutex_lock(&shield->lock);
	shield->over = over;
	shield->ctx = ctx;
	(void)pthread_mutex_unlock(&shield->lock);
}

void
shield_stop(struct shield *shield)
{
	(void)pthread_mutex_lock(&shield->lock);
	shield->stopping = true;
	(void)pthread_cond_broadcast(&shield->changed);
	(void)pthread_mutex_unlock(&shield->lock);
}

/* With the lock held: does none of them wait for an app, or the disk? */
static bool
is_at_rest(struct shield *shield)
{
	bool is_at_work = shield->is_reading;
	size_t i;

	for (i = 0; i < shield->apps_len; i++)
		is_at_work |= shield->apps[i].health.is_asking ||
		    shield->apps[i].inspector.is_asking;
	return !is_at_work;
}

bool
shield_await(struct shield *shield, int64_t deadline_ms)
{
	bool is_done;

	(void)pthread_mutex_lock(&shield->lock);
	while (!is_at_rest(shield) && thread_cond_wait(
	    &shield->changed, &shield->lock, deadline_ms))
		continue;
	is_done = is_at_rest(shield);
	(void)pthread_mutex_unlock(&shield->lock);
	return is_done;
}

void
request_wait_shield(struct request *request, struct answer *answer,
    const struct conf_app *app, shield_need_fn *need, int64_t ms,
    request_resume_fn *resume)
{
	answer->kind = ANSWER_WAIT;
	request->wait.job_id[0] = '\0';
	request->wait.until = UNTIL_SEEN;
	request->wait.shielded = app;
	request->wait.need = need;
	request->wait.deadline_ms = clock_mono_ms() + ms;
	request->wait.resume = resume;
}

bool
shield_park(struct shield *shield, struct request *request_take)
{
	bool has_place;

	(void)pthread_mutex_lock(&shield->lock);
	have_thread(shield, &shield->has_host, run_host, shield,
	    &shield->host);
	has_place = shield->has_host && shield->parked_len < SHIELD_PARKED_MAX;
	if (has_place) {
		/* Its time is bounded here. */
		gate_set_deadline(request_take->gate, 0);
		request_take->next = shield->parked;
		shield->parked = request_take;
		shield->parked_len++;
		(void)pthread_cond_broadcast(&shield->changed);
	}
	(void)pthread_mutex_unlock(&shield->lock);
	if (!has_place)
		request_take->wait.deadline_ms = clock_mono_ms();
	return has_place;
}

/* Plain CGI. */
static void
find_inspector(struct asker *asker, int64_t deadline_ms)
{
	struct err why;
	int up;

	asker->asked_ms = clock_mono_ms();
	up = ask(asker, deadline_ms, &why);
	put_down(asker, up, &why);
}

/* Plain CGI: what another process has learned in this second, or else what
 * the app says, for others to share.  Our disk is no reason not to ask it. */
static void
find_health(struct asker *asker, const char *app, int64_t deadline_ms)
{
	const struct conf *conf = service_conf(asker->shield->service);
	struct share *share = NULL;
	struct err why;
	int up;

	asker->asked_ms = clock_mono_ms();
	if (share_open(conf->state_dir, app, conf->pod, deadline_ms, &share,
	    &why) != 0) {
		if (why.code == ERR_TARGET_TIMEOUT)
			return;
		log_warn("shield", "health_url of app %s is asked for this "
		    "probe alone: %s", app, why.msg);
	}
	if (share == NULL || !share_read(share, SHIELD_FRESH_MS, &up, &why)) {
		up = ask(asker, deadline_ms, &why);
		if (share != NULL && up >= 0)
			share_write(share, up, &why);
	}
	share_close(&share);
	put_down(asker, up, &why);
}

static bool
is_wanted(const struct shielded *shielded)
{
	return shielded->wanted_ms >= 0 || shielded->inspector.is_wanted ||
	    shielded->health.is_wanted;
}

/* Plain CGI: do what is wanted. */
static void
find(struct shield *shield, struct shielded *shielded, int64_t deadline_ms)
{
	if (shielded->wanted_ms >= 0) {
		shielded->began_ms = clock_mono_ms();
		read_rows(&shield->seat, shielded->app->name, &shielded->rows);
		shielded->read_ms = clock_mono_ms();
		shielded->wanted_ms = -1;
	}
	if (shielded->inspector.is_wanted)
		find_inspector(&shielded->inspector, deadline_ms);
	if (shielded->health.is_wanted)
		find_health(
		    &shielded->health, shielded->app->name, deadline_ms);
	if (shielded->inspector.lacks || shielded->health.lacks)
		(void)poll(NULL, 0, LACK_PAUSE_MS);
}

/* Plain CGI: one after the other, and none takes the time of those behind. */
static void
find_all(struct shield *shield, int64_t deadline_ms)
{
	int64_t wanted = 0, now_ms;
	size_t i;

	for (i = 0; i < shield->apps_len; i++)
		wanted += is_wanted(&shield->apps[i]);
	for (i = 0; i < shield->apps_len; i++) {
		if (!is_wanted(&shield->apps[i]))
			continue;
		now_ms = clock_mono_ms();
		find(shield, &shield->apps[i],
		    now_ms + (deadline_ms - now_ms) / wanted--);
	}
}

void
shield_find(struct shield *shield, const struct request *request)
{
	const int64_t deadline_ms = request->wait.deadline_ms;

	while (!is_served(shield, request) && clock_mono_ms() < deadline_ms)
		find_all(shield, deadline_ms);
}
