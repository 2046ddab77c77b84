/*
 * The tables summaries and classes.  Who reads the file, and how, is in
 * summary_run.c; who waits for it is the business of podprof.fcgi.
 */
#include "summary.h"

#include <stddef.h>
#include <string.h>

#include "clock.h"

/* An expression of C that is one of SQL, too. */
#define SQL_OF(expression) TEXT_OF(expression)
#define TEXT_OF(text) #text

static const char SUMMARY_READ[] =
    "SELECT * FROM summaries WHERE job_id = :job";

static const char SUMMARY_MAKING[] =
    "SELECT * FROM summaries WHERE pod = :pod"
    " AND state IN ('begun', 'running')";

/* What is left of those that died while they made one of the pod's: should any
 * of them live nevertheless, it finds that it has lost. */
static const char SUMMARY_CLEAR[] =
    "DELETE FROM summaries WHERE job_id = :job"
    " OR (pod = :pod AND state IN ('begun', 'running'))";

static const char SUMMARY_FORGET[] =
    "DELETE FROM summaries WHERE job_id = :job AND state = 'failed'";

static const char SUMMARY_INSERT[] =
    "INSERT INTO summaries (job_id, app, pod, lease_until_ms)"
    " VALUES (:job, :app, :pod, :lease)";

static const char SUMMARY_ABANDON[] =
    "DELETE FROM summaries WHERE job_id = :job AND state = 'begun'";

static const char SUMMARY_CLAIM[] =
    "UPDATE summaries SET state = 'running', lease_until_ms = :lease,"
    " runner_pid = :pid, runner_start_ticks = :ticks, runner_host = :host"
    " WHERE job_id = :job AND state = 'begun'";

#define WHERE_OURS \
    " WHERE job_id = :job AND state = 'running' AND runner_pid = :pid" \
    " AND runner_start_ticks = :ticks AND runner_host = :host"

static const char SUMMARY_RENEW[] =
    "UPDATE summaries SET lease_until_ms = :lease" WHERE_OURS;

static const char SUMMARY_SET_READY[] =
    "UPDATE summaries SET state = 'ready', nodes = :nodes, edges = :edges,"
    " self_size_bytes = :size, classes = :classes" WHERE_OURS;

static const char SUMMARY_SET_FAILED[] =
    "UPDATE summaries SET state = 'failed', error = :error,"
    " error_detail = :detail" WHERE_OURS;

static const char SUMMARY_ADD_CLASS[] =
    "INSERT INTO classes (summary, name, count, self_size_bytes)"
    " VALUES (:summary, :name, :count, :size)";

/* The youngest has room for itself, so it stays. */
static const char SUMMARY_RETAIN[] =
    "DELETE FROM summaries WHERE seq IN (SELECT seq FROM"
    " (SELECT seq, row_number() OVER young AS place,"
    " sum(classes) OVER young AS total FROM summaries WHERE state = 'ready'"
    " WINDOW young AS (ORDER BY seq DESC ROWS UNBOUNDED PRECEDING))"
    " WHERE place > " SQL_OF(SUMMARY_MAX)
    " OR total > " SQL_OF(SUMMARY_CLASSES) ")";

#define SEQ_OF(job) \
    "(SELECT seq FROM summaries WHERE job_id = " job " AND state = 'ready')"

static const char SUMMARY_CLASSES_OF[] =
    "SELECT name, count, self_size_bytes FROM classes"
    " WHERE summary = " SEQ_OF(":job")
    " ORDER BY self_size_bytes DESC, name LIMIT :limit";

/* Each class of one is looked up in the other by its key. */
static const char SUMMARY_CHANGES[] =
    "SELECT name, count_delta, size_delta, count, self_size_bytes FROM"
    " (SELECT new.name AS name, new.count AS count,"
    " new.self_size_bytes AS self_size_bytes,"
    " new.count - coalesce(old.count, 0) AS count_delta,"
    " new.self_size_bytes - coalesce(old.self_size_bytes, 0) AS size_delta"
    " FROM classes AS new LEFT JOIN classes AS old"
    " ON old.summary = " SEQ_OF(":from") " AND old.name = new.name"
    " WHERE new.summary = " SEQ_OF(":to")
    " UNION ALL SELECT name, 0, 0, -count, -self_size_bytes"
    " FROM classes AS old WHERE summary = " SEQ_OF(":from")
    " AND NOT EXISTS (SELECT 1 FROM classes AS new"
    " WHERE new.summary = " SEQ_OF(":to") " AND new.name = old.name))"
    " WHERE count_delta <> 0 OR size_delta <> 0"
    " ORDER BY size_delta DESC, count_delta DESC, name LIMIT :limit";

/* What the row of a job says. */
struct row {
	int64_t seq;		/* 0: there is none */
	char state[16];
	struct err why;		/* of one that failed */
};

static int
prepare(struct db *db, const char *sql, const char *job_id,
    struct db_stmt **ret_stmt, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":job", job_id, err) != 0)
		return -1;
	*ret_stmt = stmt;
	return 0;
}

/* A copy of a column; "" for NULL. */
static void
copy_text(struct db_stmt *stmt, const char *column, char *out, size_t size)
{
	const char *text = db_column_text(stmt, column);

	(void)str_copy(out, size, text != NULL ? text : "");
}

static int
read_row(struct db *db, const char *job_id, struct row *ret_row,
    struct err *err)
{
	struct row row = {.seq = 0};
	struct db_stmt *stmt;
	int rc;

	if (prepare(db, SUMMARY_READ, job_id, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		row.seq = db_column_int(stmt, "seq", 0);
		copy_text(stmt, "state", row.state, sizeof(row.state));
		row.why.code =
		    err_code_of_name(db_column_text(stmt, "error"));
		copy_text(stmt, "error_detail", row.why.msg,
		    sizeof(row.why.msg));
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	*ret_row = row;
	return 0;
}

static bool
is_state(const struct row *row, const char *state)
{
	return row->seq != 0 && strcmp(row->state, state) == 0;
}

/* Does whoever makes it still do so?  A lease that is longer than any is from
 * before the clock was set back. */
static bool
is_alive(struct db_stmt *stmt)
{
	const int64_t left_ms =
	    db_column_int(stmt, "lease_until_ms", 0) - clock_utc_ms();
	struct proc runner = {
		.pid = db_column_int(stmt, "runner_pid", 0),
		.start_ticks = db_column_int(stmt, "runner_start_ticks", 0),
	};

	if (left_ms <= 0 || left_ms > SUMMARY_LEASE_MS)
		return false;
	if (runner.pid == 0)
		return left_ms <= SUMMARY_BEGIN_MS;
	copy_text(stmt, "runner_host", runner.host, sizeof(runner.host));
	return proc_life(&runner) != PROC_DEAD;
}

/* Is any made in the pod? */
static int
is_making(struct db *db, const char *pod, bool *ret_is_making,
    struct err *err)
{
	bool is_making = false;
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, SUMMARY_MAKING, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0)
		return -1;
	while (!is_making && (rc = db_step(stmt, err)) == 1)
		is_making = is_alive(stmt);
	db_done(stmt);
	if (!is_making && rc < 0)
		return -1;
	*ret_is_making = is_making;
	return 0;
}

int
summary_find(struct db *db, const char *pod, const char *job_id,
    enum summary_state *ret_state, struct err *ret_why, struct err *err)
{
	bool making;
	struct row row;

	if (read_row(db, job_id, &row, err) != 0 ||
	    is_making(db, pod, &making, err) != 0)
		return -1;
	*ret_state = is_state(&row, "ready") ? SUMMARY_READY :
	    is_state(&row, "failed")	     ? SUMMARY_FAILED :
	    making			     ? SUMMARY_BUSY :
					       SUMMARY_NONE;
	if (*ret_state == SUMMARY_FAILED)
		*ret_why = row.why;
	return 0;
}

static int
forget_failure(struct db *db, const char *job_id, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare(db, SUMMARY_FORGET, job_id, &stmt, err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
insert(struct db *db, const char *app, const char *pod, const char *job_id,
    struct err *err)
{
	struct db_stmt *stmt;
	struct err fault;

	if (prepare(db, SUMMARY_CLEAR, job_id, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_run(stmt, err) != 0 ||
	    prepare(db, SUMMARY_INSERT, job_id, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":pod", pod, err) != 0 ||
	    db_bind_int(stmt, ":lease", clock_utc_ms() + SUMMARY_BEGIN_MS,
	    err) != 0)
		return -1;
	if (db_run(stmt, &fault) == 0)
		return 0;
	/* The one constraint that can be met: jobs (id). */
	if (fault.code == ERR_CONFLICT)
		return err_set(err, ERR_NOT_FOUND,
		    "there is no job \"%.64s\" any more", job_id);
	return err_set(err, fault.code, "%s", fault.msg);
}

/* Whoever comes first of those who found that nobody makes one. */
static int
begin(struct db *db, const char *app, const char *pod, const char *job_id,
    bool *ret_is_ours, struct err *err)
{
	struct row row;
	bool making;

	if (read_row(db, job_id, &row, err) != 0 ||
	    is_making(db, pod, &making, err) != 0)
		return -1;
	*ret_is_ours = !is_state(&row, "ready") && !making;
	if (*ret_is_ours)
		return insert(db, app, pod, job_id, err);
	return forget_failure(db, job_id, err);
}

int
summary_begin(struct db *db, const char *app, const char *pod,
    const char *job_id, bool *ret_is_ours, struct err *err)
{
	bool is_ours = false;
	int rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (begin(db, app, pod, job_id, &is_ours, err) != 0 ||
	    db_commit(db, err) != 0)
		goto out;
	*ret_is_ours = is_ours;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
summary_abandon(struct db *db, const char *job_id, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare(db, SUMMARY_ABANDON, job_id, &stmt, err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
prepare_as(struct db *db, const char *sql, const char *job_id,
    const struct proc *runner, struct db_stmt **ret_stmt, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare(db, sql, job_id, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":pid", runner->pid, err) != 0 ||
	    db_bind_int(stmt, ":ticks", runner->start_ticks, err) != 0 ||
	    db_bind_text(stmt, ":host", runner->host, err) != 0)
		return -1;
	*ret_stmt = stmt;
	return 0;
}

/* Run an update of the one row that must be there still. */
static int
run_ours(struct db *db, struct db_stmt *stmt, const char *job_id,
    struct err *err)
{
	if (db_run(stmt, err) != 0)
		return -1;
	if (db_changes(db) == 1)
		return 0;
	return err_set(err, ERR_CONFLICT, "the summary of job %.64s is "
	    "nobody's here: the job was removed, or somebody else makes it",
	    job_id);
}

static int
claim(struct db *db, const char *job_id, const struct proc *runner,
    char ret_app[STR_NAME_MAX + 1], struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (prepare_as(db, SUMMARY_CLAIM, job_id, runner, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":lease", clock_utc_ms() + SUMMARY_LEASE_MS,
	    err) != 0 || run_ours(db, stmt, job_id, err) != 0 ||
	    prepare(db, SUMMARY_READ, job_id, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		copy_text(stmt, "app", ret_app, STR_NAME_MAX + 1);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

int
summary_claim(struct db *db, const char *job_id, const struct proc *runner,
    char ret_app[STR_NAME_MAX + 1], struct err *err)
{
	char app[STR_NAME_MAX + 1] = "";
	int rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (claim(db, job_id, runner, app, err) != 0 ||
	    db_commit(db, err) != 0)
		goto out;
	memcpy(ret_app, app, sizeof(app));
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
summary_renew(struct db *db, const char *job_id, const struct proc *runner,
    struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_as(db, SUMMARY_RENEW, job_id, runner, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":lease", clock_utc_ms() + SUMMARY_LEASE_MS,
	    err) != 0)
		return -1;
	return run_ours(db, stmt, job_id, err);
}

static int
set_ready(struct db *db, const char *job_id, const struct proc *runner,
    const struct classes *classes, size_t len, struct err *err)
{
	const struct classes_total total = classes_total(classes);
	struct db_stmt *stmt;

	if (prepare_as(db, SUMMARY_SET_READY, job_id, runner, &stmt,
	    err) != 0 || db_bind_int(stmt, ":nodes", total.nodes, err) != 0 ||
	    db_bind_int(stmt, ":edges", total.edges, err) != 0 ||
	    db_bind_int(stmt, ":size", total.self_size_bytes, err) != 0 ||
	    db_bind_int(stmt, ":classes", (int64_t)len, err) != 0)
		return -1;
	return run_ours(db, stmt, job_id, err);
}

static int
add_class(struct db *db, int64_t seq, const struct class *class,
    struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, SUMMARY_ADD_CLASS, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":summary", seq, err) != 0 ||
	    db_bind_text(stmt, ":name", class->name, err) != 0 ||
	    db_bind_int(stmt, ":count", class->count, err) != 0 ||
	    db_bind_int(stmt, ":size", class->self_size_bytes, err) != 0)
		return -1;
	return db_run(stmt, err);
}

static int
put(struct db *db, const char *job_id, const struct proc *runner,
    const struct classes *classes, struct err *err)
{
	const struct class *list;
	struct db_stmt *stmt;
	struct row row;
	size_t i, len;

	list = classes_list(classes, &len);
	if (set_ready(db, job_id, runner, classes, len, err) != 0 ||
	    read_row(db, job_id, &row, err) != 0)
		return -1;
	for (i = 0; i < len; i++)
		if (add_class(db, row.seq, &list[i], err) != 0)
			return -1;
	if (db_prepare(db, SUMMARY_RETAIN, &stmt, err) != 0)
		return -1;
	return db_run(stmt, err);
}

int
summary_put(struct db *db, const char *job_id, const struct proc *runner,
    const struct classes *classes, struct err *err)
{
	int rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (put(db, job_id, runner, classes, err) == 0)
		rc = db_commit(db, err);
	db_rollback(db);
	return rc;
}

int
summary_fail(struct db *db, const char *job_id, const struct proc *runner,
    const struct err *why, struct err *err)
{
	struct db_stmt *stmt;

	if (prepare_as(db, SUMMARY_SET_FAILED, job_id, runner, &stmt,
	    err) != 0 ||
	    db_bind_text(stmt, ":error", err_name(why->code), err) != 0 ||
	    db_bind_text(stmt, ":detail", why->msg, err) != 0)
		return -1;
	return run_ours(db, stmt, job_id, err);
}

int
summary_get_total(struct db *db, const char *job_id,
    struct classes_total *ret_total, struct err *err)
{
	bool is_ready = false;
	struct db_stmt *stmt;
	int rc;

	if (prepare(db, SUMMARY_READ, job_id, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1 && !db_column_is_null(stmt, "nodes")) {
		is_ready = true;
		ret_total->nodes = db_column_int(stmt, "nodes", 0);
		ret_total->edges = db_column_int(stmt, "edges", 0);
		ret_total->self_size_bytes =
		    db_column_int(stmt, "self_size_bytes", 0);
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	if (!is_ready)
		return err_set(err, ERR_NOT_FOUND, "there is no summary of job "
		    "%.64s any more; ask again", job_id);
	return 0;
}

/* Another's may have made it go while it was read. */
static int
check_ready(struct db *db, const char *job_id, struct err *err)
{
	struct classes_total total;

	return summary_get_total(db, job_id, &total, err);
}

int
summary_get(struct db *db, const char *job_id, int64_t limit,
    summary_visit_fn *visit, void *ctx, struct err *err)
{
	struct db_stmt *stmt;
	struct class class;
	int rc;

	if (prepare(db, SUMMARY_CLASSES_OF, job_id, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":limit", limit, err) != 0)
		return -1;
	while ((rc = db_step(stmt, err)) == 1) {
		class.name = db_column_text(stmt, "name");
		class.count = db_column_int(stmt, "count", 0);
		class.self_size_bytes =
		    db_column_int(stmt, "self_size_bytes", 0);
		rc = visit(ctx, &class, err);
		if (rc != 0)
			break;
	}
	db_done(stmt);
	return rc == 0 ? check_ready(db, job_id, err) : rc;
}

int
summary_diff(struct db *db, const char *from_id, const char *to_id,
    int64_t limit, summary_change_fn *visit, void *ctx, struct err *err)
{
	struct summary_change change;
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, SUMMARY_CHANGES, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":from", from_id, err) != 0 ||
	    db_bind_text(stmt, ":to", to_id, err) != 0 ||
	    db_bind_int(stmt, ":limit", limit, err) != 0)
		return -1;
	while ((rc = db_step(stmt, err)) == 1) {
		change.name = db_column_text(stmt, "name");
		change.count_delta = db_column_int(stmt, "count_delta", 0);
		change.self_size_delta_bytes =
		    db_column_int(stmt, "size_delta", 0);
		change.count = db_column_int(stmt, "count", 0);
		change.self_size_bytes =
		    db_column_int(stmt, "self_size_bytes", 0);
		rc = visit(ctx, &change, err);
		if (rc != 0)
			break;
	}
	db_done(stmt);
	if (rc != 0 || check_ready(db, from_id, err) != 0)
		return -1;
	return check_ready(db, to_id, err);
}
