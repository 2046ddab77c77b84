/*
 * Captures begun within the last minute, one row each.  The row that decides is
 * the one that is as far back as the limit: when it leaves the window, there is
 * room for one more.
 */
#include "rate.h"

#include "clock.h"

static const char RATE_FORGET[] =
    "DELETE FROM starts WHERE at_ms <= :from OR at_ms > :now";

static const char RATE_COUNT[] =
    "INSERT INTO starts (at_ms, app, pod, who)"
    " VALUES (:now, :app, :pod, :who)";

#define RATE_NTH " AND at_ms > :from AND at_ms <= :now" \
    " ORDER BY at_ms DESC LIMIT 1 OFFSET :max - 1"
static const char RATE_OF_APP[] =
    "SELECT at_ms FROM starts INDEXED BY starts_of_app"
    " WHERE pod = :pod AND app = :name" RATE_NTH;
static const char RATE_OF_WHO[] =
    "SELECT at_ms FROM starts INDEXED BY starts_of_who"
    " WHERE pod = :pod AND who = :name" RATE_NTH;

/* How long until fewer than max of this name are in the window. */
static int
find_wait(struct db *db, const char *sql, const char *pod, const char *name,
    int64_t max, int64_t now_ms, int64_t *ret_ms, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	*ret_ms = 0;
	if (max == 0)
		return 0;
	if (db_prepare(db, sql, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_bind_text(stmt, ":name", name, err) != 0 ||
	    db_bind_int(stmt, ":from", now_ms - RATE_WINDOW_MS, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":max", max, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		*ret_ms = db_column_int(stmt, "at_ms", 0) + RATE_WINDOW_MS -
		    now_ms;
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

static int
find_waits(struct db *db, const struct rate *rate, int64_t now_ms,
    int64_t *ret_who_ms, int64_t *ret_app_ms, struct err *err)
{
	if (find_wait(db, RATE_OF_WHO, rate->pod, rate->who, rate->who_max,
	    now_ms, ret_who_ms, err) != 0)
		return -1;
	return find_wait(db, RATE_OF_APP, rate->pod, rate->app, rate->app_max,
	    now_ms, ret_app_ms, err);
}

static int
forget(struct db *db, int64_t now_ms, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, RATE_FORGET, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":from", now_ms - RATE_WINDOW_MS, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
count(struct db *db, const struct rate *rate, int64_t now_ms,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, RATE_COUNT, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_text(stmt, ":app", rate->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", rate->pod, err) != 0 ||
	    db_bind_text(stmt, ":who", rate->who, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
rate_take(struct db *db, const struct rate *rate, struct err *err)
{
	const int64_t now_ms = clock_utc_ms();
	int64_t who_ms, app_ms;

	if (find_waits(db, rate, now_ms, &who_ms, &app_ms, err) != 0)
		return -1;
	if (who_ms > 0)
		return err_set(err, ERR_LIMIT, "%s has begun %lld captures "
		    "within a minute, as many as [limits] token_captures "
		    "allows; order again after the time of Retry-After",
		    rate->who, (long long)rate->who_max);
	if (app_ms > 0)
		return err_set(err, ERR_LIMIT, "%lld captures of app %s were "
		    "begun within a minute, as many as [limits] app_captures "
		    "allows; order again after the time of Retry-After",
		    (long long)rate->app_max, rate->app);
	if (forget(db, now_ms, err) != 0)
		return -1;
	return count(db, rate, now_ms, err);
}

int
rate_wait_ms(struct db *db, const struct rate *rate, int64_t *ret_ms,
    struct err *err)
{
	int64_t who_ms, app_ms;

	if (find_waits(db, rate, clock_utc_ms(), &who_ms, &app_ms, err) != 0)
		return -1;
	*ret_ms = who_ms > app_ms ? who_ms : app_ms;
	return 0;
}
