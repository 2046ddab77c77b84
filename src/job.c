/*
 * Jobs: the requester's side, and the rules that need more than one row.  The
 * table of sql/0001_jobs.sql itself refuses what its state machine does not
 * allow.
 *
 *	job.c         order, accept, look up, list, deliver
 *	job_run.c     claim, progress, the end: podprof-capture
 *	job_settle.c  what dead processes left, and what is over
 *	job_row.c     words; from a row to a struct job
 *	job_json.c    from a struct job to JSON
 */
#include "job_parts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "migrate.h"

#define DB_NAME "podprof.db"

/* The few that are active have indexes of their own; SQLite would rather read
 * all that the app ever had. */
static const char JOB_ACTIVE_SNAPSHOT[] =
    "SELECT * FROM jobs INDEXED BY jobs_one_snapshot"
    " WHERE state IN ('queued', 'running')"
    " AND app = :app AND pod = :pod AND kind = 'heap-snapshot'";

static const char JOB_COUNT_PROFILES[] =
    "SELECT count(*) AS n FROM jobs INDEXED BY jobs_active"
    " WHERE state IN ('queued', 'running')"
    " AND app = :app AND pod = :pod AND kind <> 'heap-snapshot'";

static const char JOB_NEWEST_SNAPSHOT[] =
    "SELECT * FROM jobs WHERE app = :app AND pod = :pod"
    " AND kind = 'heap-snapshot' AND (accepted_at_ms IS NOT NULL"
    " OR state IN ('queued', 'running')) ORDER BY seq DESC LIMIT 1";

/* Should :after be removed by now, its id tells about where it was. */
static const char JOB_LIST[] =
    "SELECT * FROM jobs WHERE (accepted_at_ms IS NOT NULL"
    " OR state IN ('queued', 'running'))"
    " AND (:app IS NULL OR app = :app) AND (:pod IS NULL OR pod = :pod)"
    " AND (:kind IS NULL OR kind = :kind)"
    " AND (:state IS NULL OR state = :state)"
    " AND (:after IS NULL OR seq < coalesce("
    "(SELECT seq FROM jobs WHERE id = :after),"
    " (SELECT max(seq) + 1 FROM jobs WHERE id < :after), 0))"
    " ORDER BY seq DESC LIMIT :limit";

static const char JOB_INSERT[] =
    "INSERT INTO jobs (id, app, pod, kind, method, duration_ms, interval_us,"
    " force, requested_by, request_id, created_at_ms, lease_until_ms,"
    " artifact_name) VALUES (:id, :app, :pod, :kind, :method, :duration,"
    " :interval, :force, :requested_by, :request_id, :now, :lease, :name)";

static const char JOB_ACCEPT[] =
    "UPDATE jobs SET accepted_at_ms = :now WHERE id = :id"
    " AND accepted_at_ms IS NULL AND state IN ('queued', 'running')";

static const char JOB_DISCARD[] =
    "DELETE FROM jobs WHERE id = :id AND state = 'failed'"
    " AND accepted_at_ms IS NULL";

static const char JOB_DELIVER[] =
    "UPDATE jobs SET delivered_at_ms = :now,"
    " expires_at_ms = min(expires_at_ms, :now + :grace) WHERE id = :id"
    " AND state = 'succeeded' AND delivered_at_ms IS NULL";

int
job_open_db(const char *state_dir, struct db **ret_db, struct err *err)
{
	char path[ARTIFACT_PATH_MAX];
	struct db *db = NULL;

	if (snprintf(path, sizeof(path), "%s/" DB_NAME, state_dir) >=
	    (int)sizeof(path))
		return err_set(err, ERR_STORE, "%s: path too long", state_dir);
	if (db_open(path, &db, err) != 0)
		return -1;
	if (migrate_run(db, err) != 0) {
		db_close(&db);
		return err_wrap(err, "%s", path);
	}
	*ret_db = db;
	return 0;
}

/* May this order run now?  On ERR_CONFLICT *ret_blocking is in the way. */
static int
check_room(struct db *db, const struct job_order *order,
    struct job *ret_blocking, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	int rc;

	if (db_prepare(db, JOB_ACTIVE_SNAPSHOT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0)
		return -1;
	rc = job_fetch(stmt, ret_blocking, err);
	if (rc < 0)
		return -1;
	if (rc == 1)
		return err_set(err, ERR_CONFLICT, "Snapshot already "
		    "generating: job %s of app %s is %s; order again when it "
		    "is finished", ret_blocking->id, order->app,
		    job_state_name(ret_blocking->state));
	if (order->kind == JOB_HEAP_SNAPSHOT)
		return 0;
	if (db_prepare(db, JOB_COUNT_PROFILES, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		n = db_column_int(stmt, "n", 0);
	db_done(stmt);
	if (rc < 0)
		return -1;
	if (n >= order->profiles_max)
		return err_set(err, ERR_LIMIT, "%lld profiles of app %s are "
		    "running, as many as [limits] profiles allows; order "
		    "again when one is finished", (long long)n, order->app);
	return 0;
}

/* "POD-20261122T202500Z.heapsnapshot", fit for a file name whatever the pod
 * is called. */
static void
make_artifact_name(const struct job_order *order, int64_t now_ms,
    char out[JOB_ARTIFACT_NAME_MAX])
{
	char pod[JOB_POD_MAX], time[CLOCK_COMPACT_MAX];
	char *c;

	(void)str_copy(pod, sizeof(pod), order->pod);
	for (c = pod; *c != '\0'; c++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "abcdefghijklmnopqrstuvwxyz0123456789._-", *c) == NULL)
			*c = '_';
	clock_format_compact(now_ms, time);
	(void)snprintf(out, JOB_ARTIFACT_NAME_MAX, "%s-%s.%s", pod, time,
	    job_extension(order->kind));
}

static int
insert(struct db *db, const struct job_order *order, const char *id,
    struct err *err)
{
	char name[JOB_ARTIFACT_NAME_MAX];
	char requested_by[sizeof(((struct job *)NULL)->requested_by)];
	char request_id[sizeof(((struct job *)NULL)->request_id)];
	int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;

	make_artifact_name(order, now_ms, name);
	(void)str_copy(requested_by, sizeof(requested_by),
	    order->requested_by);
	(void)str_copy(request_id, sizeof(request_id), order->request_id);
	if (db_prepare(db, JOB_INSERT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0 ||
	    db_bind_text(stmt, ":kind", job_kind_name(order->kind), err) != 0 ||
	    db_bind_text(stmt, ":method", conf_method_name(order->method),
	    err) != 0 ||
	    job_bind_known(stmt, ":duration", order->duration_ms, err) != 0 ||
	    job_bind_known(stmt, ":interval", order->interval_us, err) != 0 ||
	    db_bind_int(stmt, ":force", order->force, err) != 0 ||
	    db_bind_text(stmt, ":requested_by", requested_by, err) != 0 ||
	    db_bind_text(stmt, ":request_id", request_id, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":lease", now_ms + JOB_QUEUE_MS, err) != 0 ||
	    db_bind_text(stmt, ":name", name, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_create(struct db *db, const char *state_dir,
    const struct job_order *order, struct job *ret_job, struct err *err)
{
	char id[UUID_MAX];
	struct job job;
	struct err why;

	/* Before the lock is taken, as it looks at processes. */
	if (job_settle_app(db, state_dir, order->app, err) != 0)
		return -1;
	if (db_begin(db, err) != 0)
		return -1;
	if (check_room(db, order, &job, &why) != 0) {
		db_rollback(db);
		if (why.code == ERR_CONFLICT)
			*ret_job = job;
		return err_set(err, why.code, "%s", why.msg);
	}
	if (uuid_v7(id, err) != 0 || insert(db, order, id, err) != 0 ||
	    job_fetch_by_id(db, id, &job, err) != 1 ||
	    db_commit(db, err) != 0) {
		db_rollback(db);
		return -1;
	}
	*ret_job = job;
	return 0;
}

static int
set_accepted(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_ACCEPT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_accept(struct db *db, const char *id, struct job *ret_job,
    struct err *err)
{
	struct job job;
	int found, rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (set_accepted(db, id, err) != 0)
		goto out;
	found = job_fetch_by_id(db, id, &job, err);
	if (found == 0)
		(void)err_set(err, ERR_NOT_FOUND,
		    "there is no job \"%.64s\"", id);
	if (found != 1 || db_commit(db, err) != 0)
		goto out;
	*ret_job = job;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
job_discard(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DISCARD, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
job_get(struct db *db, const char *state_dir, const char *app,
    const char *pod, const char *id, struct job *ret_job, struct err *err)
{
	struct job job;
	int found;

	found = job_fetch_by_id(db, id, &job, err);
	if (found == 1 && (strcmp(job.app, app) != 0 ||
	    strcmp(job.pod, pod) != 0))
		found = 0;
	if (found == 1)
		found = job_settle_one(db, state_dir, &job, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no job \"%.64s\" "
		    "of app %s on pod %s", id, app, pod);
	*ret_job = job;
	return 0;
}

int
job_newest_snapshot(struct db *db, const char *state_dir, const char *app,
    const char *pod, struct job *ret_job, struct err *err)
{
	struct db_stmt *stmt;
	struct job job;
	int found;

	/* What cannot be written can still be read. */
	(void)!job_settle_app(db, state_dir, app, NULL);
	if (db_prepare(db, JOB_NEWEST_SNAPSHOT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	found = job_fetch(stmt, &job, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no heap snapshot of app "
		    "%s was taken on pod %s", app, pod);
	job_judge(&job);
	*ret_job = job;
	return 0;
}

static int
bind_filter(struct db_stmt *stmt, const struct job_filter *filter,
    struct err *err)
{
	const char *kind = NULL, *state = NULL;

	if (filter->kind >= 0)
		kind = job_kind_name((enum job_kind)filter->kind);
	if (filter->state >= 0)
		state = job_state_name((enum job_state)filter->state);
	if (db_bind_text(stmt, ":app", filter->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", filter->pod, err) != 0 ||
	    db_bind_text(stmt, ":kind", kind, err) != 0 ||
	    db_bind_text(stmt, ":state", state, err) != 0 ||
	    db_bind_text(stmt, ":after", filter->after, err) != 0)
		return -1;
	/* One more than asked for, to know whether there are more. */
	return db_bind_int(stmt, ":limit", filter->limit + 1, err);
}

int
job_list(struct db *db, const char *state_dir,
    const struct job_filter *filter, job_visit_fn *visit, void *ctx,
    bool *ret_more, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	struct job job;
	int rc;

	assert(filter->limit >= 1 && filter->limit <= JOB_LIST_MAX);
	/* What cannot be written can still be read. */
	(void)!job_settle_app(db, state_dir, filter->app, NULL);
	if (db_prepare(db, JOB_LIST, &stmt, err) != 0 ||
	    bind_filter(stmt, filter, err) != 0)
		return -1;
	while ((rc = db_step(stmt, err)) == 1 && n++ < filter->limit) {
		rc = job_read_row(stmt, &job, err);
		if (rc == 0) {
			job_judge(&job);
			rc = visit(ctx, &job, err);
		}
		if (rc != 0)
			break;
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	*ret_more = rc == 1;
	return 0;
}

int
job_deliver(struct db *db, const char *id, int64_t grace_ms, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DELIVER, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_int(stmt, ":grace", grace_ms, err) != 0)
		return -1;
	return db_run(stmt, err);
}
