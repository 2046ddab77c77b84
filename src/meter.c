/*
 * Reading what the triggers of the table jobs have counted, and forgetting what
 * they counted of pods that have gone.
 */
#include "meter.h"

#include <stdbool.h>
#include <stddef.h>

#include "clock.h"

/* A pod that is there says so this often at most. */
#define SEEN_MS (METER_FORGET_MS / 24)

/* An expression of C that is one of SQL, too. */
#define SQL_OF(expression) TEXT_OF(expression)
#define TEXT_OF(text) #text

static const char METER_JOBS[] =
    "SELECT app, kind, method, state, jobs FROM meter_jobs WHERE pod = :pod"
    " ORDER BY app, kind, method, state";

static const char METER_ENDS[] =
    "SELECT app, kind, method, outcome AS state, jobs FROM meter_ends"
    " WHERE pod = :pod ORDER BY app, kind, method, outcome";

/* Also the bounds at which nothing was counted. */
static const char METER_SPANS[] =
    "SELECT seen.app AS app, seen.kind AS kind, seen.method AS method,"
    " bounds.le_ms AS le_ms, coalesce(spans.jobs, 0) AS jobs,"
    " coalesce(spans.sum_ms, 0) AS sum_ms"
    " FROM (SELECT DISTINCT app, kind, method FROM meter_spans"
    " WHERE pod = :pod AND span = :span) AS seen"
    " CROSS JOIN meter_bounds AS bounds"
    " LEFT JOIN meter_spans AS spans ON spans.pod = :pod"
    " AND spans.span = bounds.span AND spans.app = seen.app"
    " AND spans.kind = seen.kind AND spans.method = seen.method"
    " AND spans.le_ms = bounds.le_ms"
    " WHERE bounds.span = :span"
    " ORDER BY seen.app, seen.kind, seen.method, bounds.le_ms";

static const char METER_STORE[] =
    "SELECT coalesce(sum(jobs), 0) AS jobs,"
    " coalesce(sum(stored_bytes), 0) AS bytes FROM meter_jobs";

/* A time that is far ahead was written before the clock was set back. */
#define IS_UNSEEN \
    " pod = :pod AND abs(seen_at_ms - :now) > " SQL_OF(SEEN_MS)
#define IS_GONE \
    " pod <> :pod AND abs(seen_at_ms - :now) > " SQL_OF(METER_FORGET_MS) \
    " AND NOT EXISTS (SELECT 1 FROM meter_jobs AS its" \
    " WHERE its.pod = meter_pods.pod AND its.jobs > 0)"

static const char METER_SWEEP_FINDS[] =
    "SELECT 1 FROM meter_pods WHERE" IS_UNSEEN " OR" IS_GONE " LIMIT 1";

#define WHERE_GONE \
    " WHERE pod IN (SELECT pod FROM meter_pods WHERE" IS_GONE ")"
/* Last what the others are found by. */
static const char *const meter_sweep_steps[] = {
	"UPDATE meter_pods SET seen_at_ms = :now WHERE" IS_UNSEEN,
	"DELETE FROM meter_ends" WHERE_GONE,
	"DELETE FROM meter_spans" WHERE_GONE,
	"DELETE FROM meter_jobs" WHERE_GONE,
	"DELETE FROM meter_pods WHERE" IS_GONE,
};

/* The rows of a bound statement, which is done then. */
static int
visit_rows(struct db_stmt *stmt, bool is_span, meter_visit_fn *visit,
    void *ctx, struct err *err)
{
	struct meter meter = { .state = "" };
	int rc;

	while ((rc = db_step(stmt, err)) == 1) {
		meter.app = db_column_text(stmt, "app");
		meter.kind = db_column_text(stmt, "kind");
		meter.method = db_column_text(stmt, "method");
		meter.jobs = db_column_int(stmt, "jobs", 0);
		if (is_span) {
			meter.le_ms = db_column_int(stmt, "le_ms", 0);
			meter.sum_ms = db_column_int(stmt, "sum_ms", 0);
		} else {
			meter.state = db_column_text(stmt, "state");
		}
		rc = visit(ctx, &meter, err);
		if (rc != 0)
			break;
	}
	db_done(stmt);
	return rc;
}

int
meter_read_jobs(struct db *db, const char *pod, meter_visit_fn *visit,
    void *ctx, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, METER_JOBS, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	return visit_rows(stmt, false, visit, ctx, err);
}

int
meter_read_ends(struct db *db, const char *pod, meter_visit_fn *visit,
    void *ctx, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, METER_ENDS, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	return visit_rows(stmt, false, visit, ctx, err);
}

int
meter_read_spans(struct db *db, const char *pod, const char *span,
    meter_visit_fn *visit, void *ctx, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, METER_SPANS, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_bind_text(stmt, ":span", span, err) != 0)
		return -1;
	return visit_rows(stmt, true, visit, ctx, err);
}

int
meter_read_store(struct db *db, int64_t *ret_jobs, int64_t *ret_bytes,
    struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, METER_STORE, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		*ret_jobs = db_column_int(stmt, "jobs", 0);
		*ret_bytes = db_column_int(stmt, "bytes", 0);
	}
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

/* The result of db_step(). */
static int
step_for(struct db *db, const char *sql, const char *pod, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, sql, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	return rc;
}

int
meter_sweep(struct db *db, const char *pod, struct err *err)
{
	const size_t len =
	    sizeof(meter_sweep_steps) / sizeof(meter_sweep_steps[0]);
	size_t i;
	int rc;

	rc = step_for(db, METER_SWEEP_FINDS, pod, err);
	if (rc != 1)
		return rc;
	if (db_begin(db, err) != 0)
		return -1;
	for (i = 0; i < len; i++)
		if (step_for(db, meter_sweep_steps[i], pod, err) < 0)
			goto fail;
	if (db_commit(db, err) != 0)
		goto fail;
	return 0;
fail:
	db_rollback(db);
	return -1;
}
