/*
 * Jobs: what those who probe an app are told while it is captured.
 */
#include "job_parts.h"

#define IS_HELD \
    " WHERE id = :id AND (state = 'running'" \
    " OR (finished_at_ms IS NOT NULL AND holds_target = 1))"

static const char JOB_SHIELD[] =
    "UPDATE jobs SET revision = revision + 1, shield_from_ms = :now,"
    " drain_until_ms = :drain, lease_until_ms = :lease,"
    " shield_until_ms = :lease" IS_HELD;

static const char JOB_SET_DRAINED[] =
    "UPDATE jobs SET revision = revision + 1, drain_until_ms = NULL,"
    " lease_until_ms = :lease, shield_until_ms = :lease" IS_HELD;

static const char JOB_UNSHIELD[] =
    "UPDATE jobs SET revision = revision + 1, shield_from_ms = NULL,"
    " drain_until_ms = NULL, shield_until_ms = :until" IS_HELD;

/* Beyond its lease nothing is believed: not what the dead have left, nor what
 * was written before the clock was set back. */
static const char JOB_FIND_SHIELD[] =
    "SELECT max(shield_until_ms) AS alive,"
    " max(iif(shield_from_ms IS NOT NULL AND holds_target = 1,"
    " shield_until_ms, NULL)) AS unready,"
    " max(iif(holds_target = 1, shield_from_ms, NULL)) AS since,"
    " max(drain_until_ms IS NOT NULL) AS draining FROM jobs"
    " WHERE app = :app AND pod = :pod"
    " AND shield_until_ms > :now AND shield_until_ms <= :lease";

static const char JOB_IS_FORKING[] =
    "SELECT 1 FROM jobs WHERE app = :app AND pod = :pod"
    " AND kind = 'heap-snapshot' AND holds_target = 1 AND state = 'running'"
    " AND used_method = 'fork'";

/* Run an update of the job, which must hold its target. */
static int
run_held(struct db *db, struct db_stmt *stmt, const char *id, struct err *err)
{
	if (db_run(stmt, err) != 0)
		return -1;
	return db_changes(db) == 1 ? 0 : job_refuse_inactive(id, err);
}

int
job_shield(struct db *db, const char *id, int64_t drain_ms, struct err *err)
{
	const int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_SHIELD, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":lease", now_ms + JOB_LEASE_MS, err) != 0 ||
	    job_bind_known(stmt, ":drain",
	    drain_ms > 0 ? now_ms + drain_ms : JOB_UNKNOWN, err) != 0)
		return -1;
	return run_held(db, stmt, id, err);
}

int
job_set_drained(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_SET_DRAINED, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":lease", clock_utc_ms() + JOB_LEASE_MS,
	    err) != 0)
		return -1;
	return run_held(db, stmt, id, err);
}

int
job_unshield(struct db *db, const char *id, int64_t grace_ms, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_UNSHIELD, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    job_bind_known(stmt, ":until", grace_ms > 0 ?
	    clock_utc_ms() + grace_ms : JOB_UNKNOWN, err) != 0)
		return -1;
	return run_held(db, stmt, id, err);
}

static int
find_forking(struct db *db, const char *app, const char *pod,
    bool *ret_is_forking, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, JOB_IS_FORKING, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	if (rc < 0)
		return -1;
	*ret_is_forking = rc == 1;
	return 0;
}

int
job_find_shield(struct db *db, const char *app, const char *pod,
    struct job_shield *ret_shield, struct err *err)
{
	struct job_shield shield = { .alive_until_ms = 0 };
	const int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, JOB_FIND_SHIELD, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":lease", now_ms + JOB_LEASE_MS, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		shield.alive_until_ms = db_column_int(stmt, "alive", 0);
		shield.unready_until_ms = db_column_int(stmt, "unready", 0);
		shield.since_ms = db_column_int(stmt, "since", 0);
		shield.is_draining = db_column_int(stmt, "draining", 0) == 1;
	}
	db_done(stmt);
	if (rc < 0 ||
	    find_forking(db, app, pod, &shield.is_forking, err) != 0)
		return -1;
	*ret_shield = shield;
	return 0;
}
