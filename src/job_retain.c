/*
 * Jobs: the limits of the store, and room for a new file.  What makes room is
 * chosen by two indexes, jobs_stored for files and jobs_over for rows, whose
 * order is the promise: delivered first, then oldest.
 */
#include "job_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "file.h"

#define LOCK_NAME "sweep"
/* As long as a database's lock is waited for. */

static const char JOB_STORED_BYTES[] =
    "SELECT coalesce(sum(stored_bytes), 0) AS n FROM jobs"
    " INDEXED BY jobs_stored_bytes WHERE state = 'succeeded'"
    " AND removed_at_ms IS NULL";

/* Of the others: what they keep free, and what of it they have not used. */
static const char JOB_RESERVED[] =
    "SELECT coalesce(sum(max(reserved_bytes, written_bytes)), 0) AS kept,"
    " coalesce(sum(max(reserved_bytes - written_bytes, 0)), 0) AS unused"
    " FROM jobs INDEXED BY jobs_holding WHERE holds_target = 1"
    " AND state IN ('queued', 'running') AND id <> :id";

static const char JOB_SET_RESERVED[] =
    "UPDATE jobs SET reserved_bytes = :bytes, written_bytes = :written"
    " WHERE id = :id AND state IN ('queued', 'running')";

/* One rank at a time: SQLite seeks no pair of which one is an expression. */
static const char JOB_FIRST_FILES[] =
    "SELECT * FROM jobs INDEXED BY jobs_stored WHERE state = 'succeeded'"
    " AND removed_at_ms IS NULL"
    " AND (delivered_at_ms IS NULL) = :rank AND seq > :seq"
    " ORDER BY seq LIMIT :limit";

static const char JOB_COUNT[] = "SELECT count(*) AS n FROM jobs";

static const char JOB_FIRST_ROWS[] =
    "SELECT * FROM jobs INDEXED BY jobs_over WHERE finished_at_ms IS NOT NULL"
    " AND holds_target = 0"
    " AND (delivered_at_ms IS NULL) = :rank AND seq > :seq"
    " ORDER BY seq LIMIT :limit";

struct job_limits
job_limits_of(const struct conf *conf)
{
	return (struct job_limits){
		.store_bytes = conf->store_bytes,
		.store_jobs = conf->store_jobs,
		.min_free_bytes = conf->min_free_bytes,
	};
}

int
job_lock_store(const char *state_dir, int64_t wait_ms, int *ret_fd,
    struct err *err)
{
	char path[ARTIFACT_PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" LOCK_NAME, state_dir) >=
	    (int)sizeof(path))
		return err_set(err, ERR_STORE, "path too long: %s", state_dir);
	return file_lock(path, true, wait_ms, ret_fd, err);
}

/* The state of the store as one job sees it. */
struct store {
	int64_t stored_bytes;	/* in files */
	int64_t kept_bytes;	/* by other jobs, written or not */
	int64_t unused_bytes;	/* by other jobs, not yet written */
	int64_t free_bytes;	/* of the disk */
};

static int
read_number(struct db *db, const char *sql, int64_t *ret_number,
    struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, sql, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		*ret_number = db_column_int(stmt, "n", 0);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

static int
read_store(struct db *db, const char *state_dir, const char *id,
    struct store *out, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	memset(out, 0, sizeof(*out));
	if (read_number(db, JOB_STORED_BYTES, &out->stored_bytes, err) != 0 ||
	    db_prepare(db, JOB_RESERVED, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		out->kept_bytes = db_column_int(stmt, "kept", 0);
		out->unused_bytes = db_column_int(stmt, "unused", 0);
	}
	db_done(stmt);
	if (rc < 0)
		return -1;
	return artifact_free_bytes(state_dir, &out->free_bytes, err);
}

/* How much of the files must go, by store_bytes, for a file of bytes. */
static int64_t
over_bytes(const struct store *store, const struct job_limits *limits,
    int64_t bytes)
{
	return store->stored_bytes + store->kept_bytes + bytes -
	    limits->store_bytes;
}

/* The same, by min_free_bytes; of the file written_bytes are there. */
static int64_t
short_bytes(const struct store *store, const struct job_limits *limits,
    int64_t bytes, int64_t written_bytes)
{
	return limits->min_free_bytes + store->unused_bytes + bytes -
	    written_bytes - store->free_bytes;
}

static int64_t
missing_bytes(const struct store *store, const struct job_limits *limits,
    int64_t bytes, int64_t written_bytes)
{
	int64_t over = over_bytes(store, limits, bytes);
	int64_t missing = short_bytes(store, limits, bytes, written_bytes);

	return over > missing ? over : missing;
}

/* Where a batch of what makes room begins: the keys of both indexes. */
struct place {
	int64_t rank;		/* 0: delivered, 1: not */
	int64_t seq;
};

static int
read_rank(struct db *db, const char *sql, const struct place *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, sql, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":rank", after->rank, err) != 0 ||
	    db_bind_int(stmt, ":seq", after->seq, err) != 0 ||
	    db_bind_int(stmt, ":limit", JOB_BATCH, err) != 0)
		return -1;
	return job_fetch_batch(stmt, out, ret_len, err);
}

/* The next batch, none at the end; *after goes behind it. */
static int
read_next(struct db *db, const char *sql, struct place *after,
    struct job out[JOB_BATCH], size_t *ret_len, struct err *err)
{
	size_t len;

	if (read_rank(db, sql, after, out, &len, err) != 0)
		return -1;
	if (len == 0 && after->rank == 0) {
		*after = (struct place){ 1, JOB_UNKNOWN };
		if (read_rank(db, sql, after, out, &len, err) != 0)
			return -1;
	}
	if (len > 0)
		after->seq = out[len - 1].seq;
	*ret_len = len;
	return 0;
}

/* Files that nobody reads, and that cannot be removed.  Some are passed over;
 * so many mean that none can be. */
#define FAULTS_MAX JOB_BATCH
struct faults {
	struct err first;
	int len;
};

/* True if the files of the job are gone.  One that is being read is left, as
 * its room would not come back. */
static bool
remove_files(const char *state_dir, const struct job *job,
    struct faults *faults)
{
	struct err fault;

	if (artifact_remove(state_dir, job->id, job_extension(job->kind), true,
	    &fault) == 0)
		return true;
	if (fault.code != ERR_CONFLICT && faults->len++ == 0)
		faults->first = fault;
	return false;
}

/* Of what was not reached: why, if something was in the way. */
static int
judge_faults(const struct faults *faults, struct err *err)
{
	if (faults->len == 0)
		return 0;
	return err_set(err, faults->first.code, "%s", faults->first.msg);
}

/* Would that be enough?  Not of what is being read. */
static int
can_evict(struct db *db, const char *state_dir, int64_t bytes,
    bool *ret_can, struct err *err)
{
	struct place after = { 0, JOB_UNKNOWN };
	struct job batch[JOB_BATCH];
	size_t i, len = JOB_BATCH;

	while (bytes > 0 && len > 0) {
		if (read_next(db, JOB_FIRST_FILES, &after, batch, &len,
		    err) != 0)
			return -1;
		for (i = 0; i < len; i++)
			if (!artifact_is_read(state_dir, batch[i].id,
			    job_extension(batch[i].kind), batch[i].sum.coding))
				bytes -= batch[i].sum.stored_bytes;
	}
	*ret_can = bytes <= 0;
	return 0;
}

/* Remove files until so many bytes are gone, or all that can. */
static int
evict_bytes(struct db *db, const char *state_dir, int64_t bytes,
    struct err *err)
{
	struct place after = { 0, JOB_UNKNOWN };
	struct faults faults = { .len = 0 };
	struct job batch[JOB_BATCH];
	size_t i, len;

	while (bytes > 0 && faults.len < FAULTS_MAX) {
		if (read_next(db, JOB_FIRST_FILES, &after, batch, &len,
		    err) != 0)
			return -1;
		if (len == 0)
			break;
		for (i = 0; i < len && bytes > 0; i++) {
			if (!remove_files(state_dir, &batch[i], &faults))
				continue;
			if (job_set_removed(db, batch[i].id, REMOVED_ROOM,
			    err) != 0)
				return -1;
			bytes -= batch[i].sum.stored_bytes;
		}
	}
	return bytes > 0 ? judge_faults(&faults, err) : 0;
}

/* Of min_free_bytes, and of captures. */
static const char *
remedy(const struct job_limits *limits)
{
	return limits->min_free_bytes > 0 ? "make room on the disk, or, where "
	    "it is a small one, lower [limits] min_free_bytes" :
	    "make room on the disk";
}

static int
refuse(const struct store *store, const struct job_limits *limits,
    int64_t bytes, int64_t written_bytes, struct err *err)
{
	if (bytes > limits->store_bytes)
		return err_set(err, ERR_SPACE, "the file needs %" PRId64
		    " bytes, more than all of [limits] store_bytes, %" PRId64
		    "; raise the limit", bytes, limits->store_bytes);
	if (store->stored_bytes + store->kept_bytes + bytes >
	    limits->store_bytes)
		return err_set(err, ERR_SPACE, "the file needs %" PRId64
		    " bytes, but of [limits] store_bytes, %" PRId64 ", other "
		    "files take %" PRId64 " and other captures %" PRId64
		    ", and what may be removed is not enough; DELETE jobs, "
		    "or raise the limit", bytes, limits->store_bytes,
		    store->stored_bytes, store->kept_bytes);
	return err_set(err, ERR_SPACE, "the file needs %" PRId64 " bytes more, "
	    "but the disk has %" PRId64 " bytes free, of which other captures "
	    "need %" PRId64 " and [limits] min_free_bytes keeps %" PRId64
	    ", and what may be removed is not enough; %s",
	    bytes - written_bytes, store->free_bytes, store->unused_bytes,
	    limits->min_free_bytes, remedy(limits));
}

/* With the lock. */
static int
make_room(struct db *db, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	struct store store;
	bool can = false;
	int64_t missing;

	if (read_store(db, state_dir, id, &store, err) != 0)
		return -1;
	missing = missing_bytes(&store, limits, bytes, written_bytes);
	if (missing <= 0)
		return 0;
	if (missing <= store.stored_bytes &&
	    can_evict(db, state_dir, missing, &can, err) != 0)
		return -1;
	if (can) {
		if (evict_bytes(db, state_dir, missing, err) != 0 ||
		    read_store(db, state_dir, id, &store, err) != 0)
			return -1;
		missing = missing_bytes(&store, limits, bytes, written_bytes);
	}
	if (missing <= 0)
		return 0;
	return refuse(&store, limits, bytes, written_bytes, err);
}

/* Nothing goes for the sake of one that is over. */
static int
check_active(struct db *db, const char *id, struct err *err)
{
	struct job job;
	int found;

	found = job_fetch_by_id(db, id, &job, err);
	if (found < 0)
		return -1;
	if (found == 0 || job_is_final(&job))
		return job_refuse_inactive(id, err);
	return 0;
}

static int
set_reserved(struct db *db, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_SET_RESERVED, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0 ||
	    db_bind_int(stmt, ":bytes", bytes, err) != 0 ||
	    db_bind_int(stmt, ":written", written_bytes, err) != 0 ||
	    db_run(stmt, err) != 0)
		return -1;
	return db_changes(db) == 1 ? 0 : job_refuse_inactive(id, err);
}

int
job_reserve(struct db *db, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	int rc, lock = -1;

	rc = job_lock_store(state_dir, db_wait_ms(db), &lock, err);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(err, ERR_STORE, "another process made room in "
		    "%s for over %d ms", state_dir, db_wait_ms(db));
	rc = check_active(db, id, err);
	if (rc == 0)
		rc = make_room(db, state_dir, limits, id, bytes, written_bytes,
		    err);
	if (rc == 0)
		rc = set_reserved(db, id, bytes, written_bytes, err);
	file_unlock(&lock);
	return rc;
}

/* Their files first, then the rows, in one transaction; *ret_gone is how many
 * rows went. */
static int
evict_batch(struct db *db, const char *state_dir, const struct job *batch,
    size_t len, struct faults *faults, int64_t *ret_gone, struct err *err)
{
	bool may_go[JOB_BATCH];
	int64_t gone = 0;
	size_t i;

	for (i = 0; i < len; i++)
		may_go[i] = batch[i].removed_at_ms != JOB_UNKNOWN ||
		    remove_files(state_dir, &batch[i], faults);
	if (db_begin(db, err) != 0)
		return -1;
	for (i = 0; i < len; i++) {
		if (!may_go[i])
			continue;
		if (job_delete_row(db, batch[i].id, err) != 0)
			goto fail;
		gone += db_changes(db);
	}
	if (db_commit(db, err) != 0)
		goto fail;
	*ret_gone = gone;
	return 0;
fail:
	db_rollback(db);
	return -1;
}

static int
evict_rows(struct db *db, const char *state_dir, int64_t rows,
    struct err *err)
{
	struct place after = { 0, JOB_UNKNOWN };
	struct faults faults = { .len = 0 };
	struct job batch[JOB_BATCH];
	int64_t gone = 0;
	size_t len;

	if (rows > JOB_RETAIN_ROWS)
		rows = JOB_RETAIN_ROWS;
	while (rows > 0 && faults.len < FAULTS_MAX) {
		if (read_next(db, JOB_FIRST_ROWS, &after, batch, &len,
		    err) != 0)
			return -1;
		if (len == 0)
			break;
		if ((int64_t)len > rows) {
			len = (size_t)rows;
			after.seq = batch[len - 1].seq;
		}
		if (evict_batch(db, state_dir, batch, len, &faults, &gone,
		    err) != 0)
			return -1;
		rows -= gone;
	}
	return rows > 0 ? judge_faults(&faults, err) : 0;
}

/*
 * Files until both limits hold.  Where others have filled the disk so far that
 * all files together would not help, none goes for its sake.
 */
static int
retain_files(struct db *db, const char *state_dir,
    const struct job_limits *limits, struct err *err)
{
	struct store store;
	int64_t missing, over;

	/* As for an empty file of nobody. */
	if (read_store(db, state_dir, "", &store, err) != 0)
		return -1;
	over = over_bytes(&store, limits, 0);
	missing = short_bytes(&store, limits, 0, 0);
	if (missing < over || missing > store.stored_bytes)
		missing = over;
	if (missing > 0 && evict_bytes(db, state_dir, missing, err) != 0)
		return -1;
	if (short_bytes(&store, limits, 0, 0) <= store.stored_bytes)
		return 0;
	return err_set(err, ERR_SPACE, "the disk of %s/artifacts has %" PRId64
	    " bytes free, of which captures need %" PRId64 " and [limits] "
	    "min_free_bytes keeps %" PRId64 ", and all artifacts together "
	    "would not make up for it; %s", state_dir, store.free_bytes,
	    store.unused_bytes, limits->min_free_bytes, remedy(limits));
}

/* With the lock. */
static int
retain(struct db *db, const char *state_dir, const struct job_limits *limits,
    struct err *err)
{
	int64_t rows;
	int rc = 0;

	if (read_number(db, JOB_COUNT, &rows, err) != 0)
		return -1;
	if (rows > limits->store_jobs)
		rc = evict_rows(db, state_dir, rows - limits->store_jobs, err);
	if (rc != 0)
		err = NULL;	/* the first failure is told */
	if (retain_files(db, state_dir, limits, err) != 0)
		rc = -1;
	return rc;
}

int
job_retain(struct db *db, const char *state_dir,
    const struct job_limits *limits, struct err *err)
{
	int rc, lock = -1;

	rc = job_lock_store(state_dir, 0, &lock, err);
	if (rc != 1)
		return rc;
	rc = retain(db, state_dir, limits, err);
	file_unlock(&lock);
	return rc;
}
