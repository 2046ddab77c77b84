/*
 * Probes: alive, and ready; podprof itself, or an app that it shields.  They
 * need no token, so they say nothing more.
 */
#include "handle.h"

#include <stdio.h>

#include "clock.h"
#include "shield.h"

/* The app that is asked for; NULL in *ret_app: podprof itself. */
static int
find_app(const struct seat *seat, const struct request *request,
    const struct conf_app **ret_app, struct err *err)
{
	const char *name = params_text(&request->params, "app");
	const struct conf_app *app = NULL;

	if (name != NULL)
		app = conf_find_app(service_conf(seat->service), name);
	if (name != NULL && app == NULL)
		return err_set(
		    err, ERR_NOT_FOUND, "no app \"%s\" is served here", name);
	*ret_app = app;
	return 0;
}

static bool
is_shielded(const struct shield_sight *sight)
{
	return sight->rows.alive_until_ms > clock_utc_ms();
}

/* A capture is about to freeze it, or does. */
static bool
is_frozen(const struct shield_sight *sight)
{
	return sight->rows.unready_until_ms > clock_utc_ms();
}

/* It has gone on, and its inspector is silent: podprof itself closes one that
 * it opened, so that proves nothing. */
static bool
is_closed(const struct shield_sight *sight)
{
	return !is_frozen(sight) && sight->inspector.up == 0 &&
	    shield_is_said(&sight->inspector);
}

/* podprof closes it as soon as the app goes on, which rows that were read before
 * that do not say. */
static bool
is_outdated(const struct shield_sight *sight)
{
	return is_frozen(sight) && sight->inspector.up == 0 && !sight->is_since;
}

/* Nor does its silence before podprof opened it. */
static bool
is_premature(const struct shield_sight *sight)
{
	const int64_t shielded_ms = clock_utc_ms() - sight->rows.since_ms;

	return is_frozen(sight) && sight->inspector.up == 0 &&
	    shielded_ms >= 0 && sight->inspector.asked_ago_ms > shielded_ms;
}

/* What to say of one that is none. */
static const char *
why_unsaid(const struct shield_reply *reply)
{
	return reply->lacks ? "could not be asked: podprof has not the "
	    "descriptors, memory or threads that it takes, and its log says "
	    "more" : "was not to be asked in time";
}

/* A shield_need_fn. */
static unsigned
need_health(const struct shield_sight *sight)
{
	/* A capture may begin while the answer is waited for. */
	const unsigned parts = sight->is_fresh ? 0 : SHIELD_ROWS;

	if (sight->app->health_url[0] == '\0' || sight->health.is_fresh)
		return parts;
	return parts | SHIELD_HEALTH;
}

/* A shield_need_fn. */
static unsigned
need_life(const struct shield_sight *sight)
{
	if (!sight->is_fresh)
		return SHIELD_ROWS;
	if (!is_shielded(sight))
		return need_health(sight);
	if (!sight->inspector.is_fresh || is_premature(sight))
		return SHIELD_INSPECTOR;
	if (is_outdated(sight))
		return SHIELD_ROWS;
	return is_closed(sight) ? need_health(sight) : 0;
}

/* A shield_need_fn. */
static unsigned
need_readiness(const struct shield_sight *sight)
{
	if (!sight->is_fresh)
		return SHIELD_ROWS;
	return is_frozen(sight) ? 0 : need_health(sight);
}

/* What there is to say of the shield. */
static const char *
remark(const struct shield_sight *sight)
{
	if (sight->app->method == METHOD_FORK)
		return "; heap snapshots are taken by method fork here, which "
		    "freezes nobody, so nothing needs shielding";
	if (sight->rows.is_forking)
		return "; a heap snapshot is taken from a copy of the app, "
		    "which itself goes on, so nothing needs shielding";
	return "";
}

static int
put_text(struct answer *answer, const char *text, const char *remark,
    struct err *err)
{
	char line[512];

	(void)snprintf(line, sizeof(line), "%s%s\n", text, remark);
	return answer_text(answer, 200, line, err);
}

/* By health_url. */
static int
put_health(const struct shield_sight *sight, const char *unasked,
    struct answer *answer, struct err *err)
{
	const struct shield_reply *health = &sight->health;

	if (sight->app->health_url[0] == '\0')
		return put_text(answer, unasked, remark(sight), err);
	if (!shield_is_said(health))
		return err_set(err, ERR_UNHEALTHY, "health_url %s",
		    why_unsaid(health));
	if (health->up == 0)
		return err_set(err, ERR_UNHEALTHY, "%s", health->why.msg);
	return put_text(
	    answer, "ok: health_url answers", remark(sight), err);
}

/* It stands still, or has just gone on: its inspector has a thread of its
 * own. */
static int
put_shielded(const struct shield_sight *sight, struct answer *answer,
    struct err *err)
{
	const struct shield_reply *inspector = &sight->inspector;

	if (!shield_is_said(inspector) || is_premature(sight))
		return err_set(err, ERR_UNHEALTHY, "a heap snapshot is in "
		    "progress, and the inspector %s", why_unsaid(inspector));
	if (inspector->up == 0)
		return err_set(err, ERR_UNHEALTHY, "a heap snapshot is in "
		    "progress, but the app is not alive: %s",
		    inspector->why.msg);
	if (sight->rows.is_draining)
		return put_text(answer, "heap snapshot in progress: the app "
		    "will be frozen once its load balancer has let go of it; "
		    "its inspector answers", "", err);
	if (is_frozen(sight))
		return put_text(answer, "heap snapshot in progress: the app is "
		    "frozen; its inspector answers", "", err);
	return put_text(answer, "heap snapshot just over: the app has a moment "
	    "to catch up; its inspector answers", "", err);
}

static int
put_life(const struct shield_sight *sight, struct answer *answer,
    struct err *err)
{
	if (is_shielded(sight) && !is_closed(sight))
		return put_shielded(sight, answer, err);
	return put_health(sight, "ok: podprof is alive; the app was not asked, "
	    "as it has no health_url", answer, err);
}

static int
put_readiness(const struct shield_sight *sight, struct answer *answer,
    struct err *err)
{
	if (is_frozen(sight))
		return err_set(err, ERR_UNHEALTHY, "a heap snapshot %s the "
		    "app", sight->rows.is_draining ?
		    "is about to freeze" : "freezes");
	return put_health(sight, "ready: podprof is; the app was not asked, as "
	    "it has no health_url", answer, err);
}

static int
check_podprof(struct seat *seat, struct err *err)
{
	if (service_is_ready(seat->service))
		return 0;
	if (!service_has_looked(seat->service))
		return err_set(err, ERR_STORE, "podprof has just begun, and "
		    "looks at its state directory, database and tokens file "
		    "for the first time");
	return err_set(err, ERR_STORE, "the state directory, the database or "
	    "the tokens file cannot be used; the log of podprof says which "
	    "and why");
}

static request_resume_fn seen_life, seen_readiness;

/* Answer by what is known, or wait for it, as long as there is time. */
static int
tell_life(struct seat *seat, struct request *request,
    const struct conf_app *app, int64_t ms, struct answer *answer,
    struct err *err)
{
	struct shield_sight sight;

	if (shield_see(service_shield(seat->service), app, need_life,
	    &sight) || ms <= 0)
		return put_life(&sight, answer, err);
	request_wait_shield(request, answer, app, need_life, ms, seen_life);
	return 0;
}

static int
tell_readiness(struct seat *seat, struct request *request,
    const struct conf_app *app, int64_t ms, struct answer *answer,
    struct err *err)
{
	struct shield_sight sight;

	if (shield_see(service_shield(seat->service), app, need_readiness,
	    &sight) || ms <= 0)
		return put_readiness(&sight, answer, err);
	request_wait_shield(
	    request, answer, app, need_readiness, ms, seen_readiness);
	return 0;
}

static int
seen_life(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)job;
	return tell_life(seat, request, request->wait.shielded,
	    request->wait.deadline_ms - clock_mono_ms(), answer, err);
}

static int
seen_readiness(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err)
{
	(void)job;
	return tell_readiness(seat, request, request->wait.shielded,
	    request->wait.deadline_ms - clock_mono_ms(), answer, err);
}

int
handle_livez(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf_app *app;

	if (find_app(seat, request, &app, err) != 0)
		return -1;
	if (app == NULL)
		return answer_text(answer, 200, "ok\n", err);
	return tell_life(seat, request, app, SHIELD_WAIT_MS, answer, err);
}

int
handle_readyz(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf_app *app;

	if (find_app(seat, request, &app, err) != 0)
		return -1;
	/* An app that can be asked is as ready without us as with us. */
	if ((app == NULL || app->health_url[0] == '\0') &&
	    check_podprof(seat, err) != 0)
		return -1;
	if (app == NULL)
		return answer_text(answer, 200, "ready\n", err);
	return tell_readiness(
	    seat, request, app, SHIELD_WAIT_MS, answer, err);
}
