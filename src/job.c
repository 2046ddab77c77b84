/*
 * Jobs: the requester's side, and the rules that need more than one row.  The
 * table jobs itself refuses what its state machine does not
 * allow.
 *
 *	job.c            order, accept, look up, list, deliver, cancel, remove
 *	job_run.c        claim, progress, the end: podprof-capture
 *	job_settle.c     what dead processes left, and what is over
 *	job_retain.c     limits of the store, and room for a new file
 *	job_reconcile.c  files and rows that do not know each other
 *	job_row.c        words; from a row to a struct job
 *	job_attempts.c   the ways to capture, from and to their text
 *	job_json.c       from a struct job to JSON
 *	job_audit.c      the audit line of the end
 */
#include "job_parts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "ballast.h"
#include "migrate.h"

#define DB_NAME "podprof.db"

/* The few that hold a target have indexes of their own; SQLite would rather
 * read all that the app ever had. */
static const char JOB_HOLDING_SNAPSHOT[] =
    "SELECT * FROM jobs INDEXED BY jobs_one_snapshot WHERE holds_target = 1"
    " AND app = :app AND pod = :pod AND kind = 'heap-snapshot'";

static const char JOB_HOLDING_HEAP_PROFILE[] =
    "SELECT * FROM jobs INDEXED BY jobs_one_heap_profile"
    " WHERE holds_target = 1 AND app = :app AND pod = :pod"
    " AND kind = 'heap-profile' AND coalesce(worker, '') = :worker";

static const char JOB_COUNT_PROFILES[] =
    "SELECT count(*) AS n FROM jobs INDEXED BY jobs_holding"
    " WHERE holds_target = 1"
    " AND app = :app AND pod = :pod AND kind <> 'heap-snapshot'";

static const char JOB_NEWEST_SNAPSHOT[] =
    "SELECT * FROM jobs WHERE app = :app AND pod = :pod"
    " AND kind = 'heap-snapshot'"
    " AND (accepted_at_ms IS NOT NULL"
    " OR state IN ('queued', 'running')) ORDER BY seq DESC LIMIT 1";

static const char JOB_BY_KEY[] =
    "SELECT * FROM jobs INDEXED BY jobs_one_key"
    " WHERE app = :app AND pod = :pod AND idempotency_key = :key";

static const char JOB_DELETE[] = "DELETE FROM jobs WHERE id = :id"
    " AND finished_at_ms IS NOT NULL AND holds_target = 0";

/* Each filter has an index that ends in seq.  Should :after be removed by now,
 * its id tells about where it was: ids begin with the time. */
#define LIST_FROM \
    "SELECT * FROM jobs INDEXED BY "
#define LIST_WHERE \
    " WHERE app = :app AND pod = :pod AND (accepted_at_ms IS NOT NULL" \
    " OR state IN ('queued', 'running')) AND seq < coalesce(:before," \
    " 9223372036854775807)"
#define LIST_ORDER " ORDER BY seq DESC LIMIT :limit"
static const char JOB_LIST[] =
    LIST_FROM "jobs_listed" LIST_WHERE LIST_ORDER;
static const char JOB_LIST_KIND[] =
    LIST_FROM "jobs_newest" LIST_WHERE " AND kind = :kind" LIST_ORDER;
static const char JOB_LIST_STATE[] =
    LIST_FROM "jobs_by_state" LIST_WHERE " AND state = :state" LIST_ORDER;
static const char JOB_LIST_BOTH[] =
    LIST_FROM "jobs_by_kind_and_state" LIST_WHERE
    " AND kind = :kind AND state = :state" LIST_ORDER;

static const char JOB_SEQ_OF[] = "SELECT seq FROM jobs WHERE id = :after";
static const char JOB_SEQ_BELOW[] =
    "SELECT seq + 1 AS seq FROM jobs WHERE id < :after"
    " ORDER BY id DESC LIMIT 1";

static const char JOB_INSERT[] =
    "INSERT INTO jobs (id, app, pod, kind, method, duration_ms, interval_us,"
    " sampling_bytes, live, force, worker, requested_by, request_id,"
    " created_at_ms, lease_until_ms, artifact_name, idempotency_key,"
    " idempotency_sha256)"
    " VALUES (:id, :app, :pod, :kind, :method, :duration,"
    " :interval, :sampling, :live, :force, :worker, :requested_by,"
    " :request_id, :now, :lease, :name, :key, :key_sha256)";

static const char JOB_ACCEPT[] =
    "UPDATE jobs SET accepted_at_ms = :now WHERE id = :id"
    " AND accepted_at_ms IS NULL AND state IN ('queued', 'running')";

static const char JOB_DISCARD[] =
    "DELETE FROM jobs WHERE id = :id AND state = 'failed'"
    " AND accepted_at_ms IS NULL AND idempotency_key IS NULL";

/* A running one cannot be stopped at once. */
static const char JOB_CANCEL[] =
    "UPDATE jobs SET state = 'canceled', phase = NULL,"
    " revision = revision + 1, finished_at_ms = :now, reserved_bytes = 0,"
    " holds_target = (state = 'running')"
    " WHERE id = :id AND state IN ('queued', 'running')";

static const char JOB_DELIVER[] =
    "UPDATE jobs SET delivered_at_ms = :now,"
    " expires_at_ms = min(expires_at_ms, :now + :grace) WHERE id = :id"
    " AND state = 'succeeded' AND delivered_at_ms IS NULL";

static int
open_db(const char *path, struct db **ret_db, struct err *err)
{
	if (db_open(path, ret_db, err) != 0)
		return -1;
	if (migrate_run(*ret_db, err) == 0)
		return 0;
	db_close(ret_db);
	return err_wrap(err, "%s", path);
}

int
job_open_db(const char *state_dir, struct db **ret_db, struct err *err)
{
	char path[ARTIFACT_PATH_MAX];
	struct db *db = NULL;
	struct err fault;
	int rc;

	if (snprintf(path, sizeof(path), "%s/" DB_NAME, state_dir) >=
	    (int)sizeof(path))
		return err_set(err, ERR_STORE, "path too long: %s", state_dir);
	rc = open_db(path, &db, &fault);
	/* SQLite needs some even to read, where nobody else has it open. */
	if (rc != 0 && fault.code == ERR_SPACE && ballast_drop(state_dir))
		rc = open_db(path, &db, &fault);
	if (rc != 0)
		return err_set(err, fault.code, "%s", fault.msg);
	*ret_db = db;
	return 0;
}

/* No two snapshots at a time; and a profile has no sense while one freezes the
 * app, which a forked copy does not. */
static bool
excludes(const struct job *snapshot, const struct job_order *order)
{
	return order->kind == JOB_HEAP_SNAPSHOT ||
	    snapshot->used_method != METHOD_FORK;
}

/* On ERR_CONFLICT *ret_blocking is in the way. */
static int
check_snapshot(struct db *db, const struct job_order *order,
    struct job *ret_blocking, struct err *err)
{
	struct db_stmt *stmt;
	int found;

	if (db_prepare(db, JOB_HOLDING_SNAPSHOT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0)
		return -1;
	found = job_fetch(stmt, ret_blocking, err);
	if (found < 0)
		return -1;
	if (found == 0 || !excludes(ret_blocking, order))
		return 0;
	if (job_is_final(ret_blocking))
		return err_set(err, ERR_CONFLICT, "Snapshot already "
		    "generating: job %s of app %s is %s, but V8 does not "
		    "stop before it is done; order again then",
		    ret_blocking->id, order->app,
		    job_state_name(ret_blocking->state));
	return err_set(err, ERR_CONFLICT, "Snapshot already "
	    "generating: job %s of app %s is %s; order again when it "
	    "is finished", ret_blocking->id, order->app,
	    job_state_name(ret_blocking->state));
}

/* V8 has one heap sampler for each thread.  On ERR_CONFLICT *ret_blocking is in
 * the way. */
static int
check_heap_profile(struct db *db, const struct job_order *order,
    struct job *ret_blocking, struct err *err)
{
	const char *worker = order->worker != NULL ? order->worker : "";
	struct db_stmt *stmt;
	int found;

	if (order->kind != JOB_HEAP_PROFILE)
		return 0;
	if (db_prepare(db, JOB_HOLDING_HEAP_PROFILE, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0 ||
	    db_bind_text(stmt, ":worker", worker, err) != 0)
		return -1;
	found = job_fetch(stmt, ret_blocking, err);
	if (found <= 0)
		return found;
	return err_set(err, ERR_CONFLICT, "V8 takes one heap profile of a "
	    "thread at a time, and job %s of app %s is %s%s; order again when "
	    "it is finished", ret_blocking->id, order->app,
	    job_state_name(ret_blocking->state),
	    job_is_final(ret_blocking) ? ", but has not left the app yet" : "");
}

static int
check_profiles(struct db *db, const struct job_order *order, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	int rc;

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

/* May this order run now?  On ERR_CONFLICT *ret_blocking is in the way. */
static int
check_room(struct db *db, const struct job_order *order,
    struct job *ret_blocking, struct err *err)
{
	if (check_snapshot(db, order, ret_blocking, err) != 0)
		return -1;
	if (order->kind == JOB_HEAP_SNAPSHOT)
		return 0;
	if (check_heap_profile(db, order, ret_blocking, err) != 0)
		return -1;
	return check_profiles(db, order, err);
}

/* "POD-20261122T202500Z.heapsnapshot" or "POD-…Z-worker3.heapsnapshot", fit for
 * a file name whatever the pod is called. */
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
	(void)snprintf(out, JOB_ARTIFACT_NAME_MAX, "%s-%s%s%.20s.%s", pod, time,
	    order->worker != NULL ? "-worker" : "",
	    order->worker != NULL ? order->worker : "",
	    job_extension(order->kind));
}

int
job_delete_row(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DELETE, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return db_run(stmt, err);
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
	    job_bind_known(stmt, ":sampling", order->sampling_bytes,
	    err) != 0 ||
	    db_bind_int(stmt, ":live", order->live, err) != 0 ||
	    db_bind_int(stmt, ":force", order->force, err) != 0 ||
	    db_bind_text(stmt, ":worker", order->worker, err) != 0 ||
	    db_bind_text(stmt, ":requested_by", requested_by, err) != 0 ||
	    db_bind_text(stmt, ":request_id", request_id, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0 ||
	    db_bind_int(stmt, ":lease", now_ms + JOB_QUEUE_MS, err) != 0 ||
	    db_bind_text(stmt, ":name", name, err) != 0 ||
	    db_bind_text(stmt, ":key", order->key, err) != 0 ||
	    db_bind_text(stmt, ":key_sha256", order->key_sha256, err) != 0)
		return -1;
	return db_run(stmt, err);
}

/*
 * The job that has the order's key: 1; 0 if there is none, or none that
 * counts: then the key is free.
 */
static int
find_by_key(struct db *db, const struct job_order *order, struct job *ret_job,
    struct err *err)
{
	struct db_stmt *stmt;
	int found;

	if (order->key == NULL)
		return 0;
	if (db_prepare(db, JOB_BY_KEY, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", order->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", order->pod, err) != 0 ||
	    db_bind_text(stmt, ":key", order->key, err) != 0)
		return -1;
	found = job_fetch(stmt, ret_job, err);
	if (found != 1)
		return found;
	if (job_is_final(ret_job) && !ret_job->holds_target &&
	    ret_job->accepted_at_ms == JOB_UNKNOWN)
		return job_delete_row(db, ret_job->id, err);
	if (strcmp(ret_job->key_sha256, order->key_sha256) == 0)
		return 1;
	return err_set(err, ERR_KEY_REUSED, "the Idempotency-Key was used for "
	    "job %s with another body; each order needs a key of its own",
	    ret_job->id);
}

struct rate
job_rate_of(const struct job_order *order)
{
	return (struct rate){
		.app = order->app,
		.pod = order->pod,
		.who = order->requested_by,
		.app_max = order->app_captures,
		.who_max = order->token_captures,
	};
}

/* With the write lock: the job of the order, new or by its key.  On
 * ERR_CONFLICT *ret_job is in the way. */
static int
create(struct db *db, const struct job_order *order, struct job *ret_job,
    bool *ret_is_new, struct err *err)
{
	const struct rate rate = job_rate_of(order);
	char id[UUID_MAX];
	int found;

	found = find_by_key(db, order, ret_job, err);
	if (found < 0)
		return -1;
	*ret_is_new = found == 0;
	if (found == 1)
		return 0;
	if (check_room(db, order, ret_job, err) != 0 ||
	    rate_take(db, &rate, err) != 0 || uuid_v7(id, err) != 0 ||
	    insert(db, order, id, err) != 0)
		return -1;
	found = job_fetch_by_id(db, id, ret_job, err);
	assert(found != 0);
	return found == 1 ? 0 : -1;
}

int
job_create(struct db *db, const char *state_dir,
    const struct job_order *order, struct job *ret_job, bool *ret_is_new,
    struct err *err)
{
	bool is_new = false;
	struct job job;
	struct err why;

	/* Before the lock is taken, as it looks at processes. */
	if (job_settle_app(db, state_dir, order->app, err) != 0)
		return -1;
	if (db_begin(db, err) != 0)
		return -1;
	if (create(db, order, &job, &is_new, &why) != 0 ||
	    db_commit(db, &why) != 0) {
		db_rollback(db);
		if (why.code == ERR_CONFLICT)
			*ret_job = job;
		return err_set(err, why.code, "%s", why.msg);
	}
	*ret_job = job;
	*ret_is_new = is_new;
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
	/* Again, as by now it tells why the row could not be settled. */
	if (found == 1)
		found = job_settle_one(db, state_dir, &job, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND, "no heap snapshot of app "
		    "%s was taken on pod %s", app, pod);
	*ret_job = job;
	return 0;
}

/* The seq below which to list; JOB_UNKNOWN: from the newest on. */
static int
find_cursor(struct db *db, const char *after, int64_t *ret_before,
    struct err *err)
{
	static const char *const ways[] = { JOB_SEQ_OF, JOB_SEQ_BELOW };
	struct db_stmt *stmt;
	size_t i;
	int rc = 0;

	*ret_before = JOB_UNKNOWN;
	if (after == NULL)
		return 0;
	for (i = 0; rc == 0 && i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (db_prepare(db, ways[i], &stmt, err) != 0 ||
		    db_bind_text(stmt, ":after", after, err) != 0)
			return -1;
		rc = db_step(stmt, err);
		if (rc == 1)
			*ret_before = db_column_int(stmt, "seq", 0);
		db_done(stmt);
	}
	if (rc < 0)
		return -1;
	if (rc == 0)
		*ret_before = 0;	/* older than all there are */
	return 0;
}

static int
prepare_list(struct db *db, const struct job_filter *filter,
    struct db_stmt **ret_stmt, struct err *err)
{
	static const char *const texts[2][2] = {
		{ JOB_LIST, JOB_LIST_STATE },
		{ JOB_LIST_KIND, JOB_LIST_BOTH },
	};
	const bool kind = filter->kind >= 0, state = filter->state >= 0;
	int64_t before;
	struct db_stmt *stmt;

	if (find_cursor(db, filter->after, &before, err) != 0 ||
	    db_prepare(db, texts[kind][state], &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", filter->app, err) != 0 ||
	    db_bind_text(stmt, ":pod", filter->pod, err) != 0 ||
	    job_bind_known(stmt, ":before", before, err) != 0)
		return -1;
	if (kind && db_bind_text(stmt, ":kind",
	    job_kind_name((enum job_kind)filter->kind), err) != 0)
		return -1;
	if (state && db_bind_text(stmt, ":state",
	    job_state_name((enum job_state)filter->state), err) != 0)
		return -1;
	*ret_stmt = stmt;
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
	if (prepare_list(db, filter, &stmt, err) != 0)
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
job_deliver(struct db *db, const char *state_dir, const char *id,
    int64_t grace_ms, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DELIVER, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    db_bind_int(stmt, ":grace", grace_ms, err) != 0)
		return -1;
	return job_run_dire(state_dir, stmt, err);
}

/* 1 if it was active until now. */
static int
set_canceled(struct db *db, const char *state_dir, const char *id,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_CANCEL, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0 ||
	    job_run_dire(state_dir, stmt, err) != 0)
		return -1;
	return db_changes(db) == 1;
}

int
job_cancel(struct db *db, const char *state_dir, const char *id,
    struct job *ret_job, struct err *err)
{
	struct job job;
	int canceled, found;

	canceled = set_canceled(db, state_dir, id, err);
	if (canceled < 0)
		return -1;
	found = job_fetch_by_id(db, id, &job, err);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOT_FOUND,
		    "there is no job \"%.64s\"", id);
	if (canceled == 0)
		return err_set(err, ERR_CONFLICT, "job %s is %s already",
		    job.id, job_state_name(job.state));
	*ret_job = job;
	return 0;
}

int
job_remove(struct db *db, const char *state_dir, const char *id,
    struct err *err)
{
	struct job job;
	int found;

	found = job_fetch_by_id(db, id, &job, err);
	if (found <= 0)
		return found;
	if (!job_is_final(&job))
		return err_set(err, ERR_CONFLICT, "job %s is %s", job.id,
		    job_state_name(job.state));
	if (job.holds_target)
		return err_set(err, ERR_CONFLICT, "job %s is over, but still "
		    "occupies the app", job.id);
	if (artifact_remove(state_dir, job.id, job_extension(job.kind), false,
	    err) != 0)
		return -1;
	return job_delete_row(db, job.id, err);
}
