/*
 * Jobs: the limits of the store, and room for a new file.  What makes room is
 * chosen by two indexes, jobs_stored for files and jobs_over for rows, whose
 * order is the promise: delivered first, then oldest.
 */
#include "job_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

#define LOCK_NAME "sweep"
#define LOCK_RETRY_MS 5
/* As long as a database's lock is waited for. */
#define RESERVE_WAIT_MS DB_BUSY_MS

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

static const char JOB_FIRST_FILES[] =
    "SELECT * FROM jobs INDEXED BY jobs_stored WHERE state = 'succeeded'"
    " AND removed_at_ms IS NULL"
    " AND (delivered_at_ms IS NULL, seq) > (:rank, :seq)"
    " ORDER BY delivered_at_ms IS NULL, seq LIMIT :limit";

static const char JOB_COUNT[] = "SELECT count(*) AS n FROM jobs";

static const char JOB_FIRST_ROWS[] =
    "SELECT * FROM jobs INDEXED BY jobs_over WHERE finished_at_ms IS NOT NULL"
    " AND (delivered_at_ms IS NULL, seq) > (:rank, :seq)"
    " ORDER BY delivered_at_ms IS NULL, seq LIMIT :limit";

static const char JOB_DELETE_OVER[] = "DELETE FROM jobs WHERE id = :id"
    " AND finished_at_ms IS NOT NULL AND holds_target = 0";

int
job_lock_store(const char *state_dir, int64_t wait_ms, int *ret_fd,
    struct err *err)
{
	const struct timespec pause = {0, LOCK_RETRY_MS * 1000000L};
	const int64_t deadline_ms = clock_mono_ms() + wait_ms;
	char path[ARTIFACT_PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/" LOCK_NAME, state_dir) >=
	    (int)sizeof(path))
		return err_set(err, ERR_STORE, "path too long: %s", state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, err_code_of_errno(errno), errno,
		    "cannot open %s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || clock_mono_ms() >= deadline_ms) {
			(void)close(fd);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	*ret_fd = fd;
	return 1;
}

void
job_unlock_store(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
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
	return file_free_bytes(state_dir, &out->free_bytes, err);
}

/* How much must go for a file of bytes, of which written_bytes are there. */
static int64_t
missing_bytes(const struct store *store, const struct job_limits *limits,
    int64_t bytes, int64_t written_bytes)
{
	int64_t over = store->stored_bytes + store->kept_bytes + bytes -
	    limits->store_bytes;
	int64_t short_of = limits->min_free_bytes + store->unused_bytes +
	    bytes - written_bytes - store->free_bytes;

	return over > short_of ? over : short_of;
}

/* Where a batch of what makes room begins: the keys of both indexes. */
struct place {
	int64_t rank;		/* 0: delivered, 1: not */
	int64_t seq;
};

static void
go_behind(struct place *place, const struct job *job)
{
	place->rank = job->delivered_at_ms == JOB_UNKNOWN;
	place->seq = job->seq;
}

static int
read_first(struct db *db, const char *sql, const struct place *after,
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

/*
 * Remove files until so many bytes are gone, or all that can.  One that is
 * being read is left, as its room would not come back.
 */
static int
evict_bytes(struct db *db, const char *state_dir, int64_t bytes,
    struct err *err)
{
	struct place after = { 0, JOB_UNKNOWN };
	struct job batch[JOB_BATCH];
	struct err fault;
	size_t i, len;

	do {
		if (read_first(db, JOB_FIRST_FILES, &after, batch, &len,
		    err) != 0)
			return -1;
		for (i = 0; i < len && bytes > 0; i++) {
			go_behind(&after, &batch[i]);
			if (job_remove_files(db, state_dir, &batch[i],
			    REMOVED_ROOM, true, &fault) == 0)
				bytes -= batch[i].sum.stored_bytes;
			else if (fault.code != ERR_CONFLICT)
				return err_set(err, fault.code, "%s",
				    fault.msg);
		}
	} while (len == JOB_BATCH && bytes > 0);
	return 0;
}

static int
refuse(const struct store *store, const struct job_limits *limits,
    int64_t bytes, int64_t written_bytes, struct err *err)
{
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
	    ", and what may be removed is not enough; make room on the disk",
	    bytes - written_bytes, store->free_bytes, store->unused_bytes,
	    limits->min_free_bytes);
}

/* With the lock. */
static int
make_room(struct db *db, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	struct store store;
	int64_t missing;

	if (read_store(db, state_dir, id, &store, err) != 0)
		return -1;
	missing = missing_bytes(&store, limits, bytes, written_bytes);
	if (missing <= 0)
		return 0;
	if (missing <= store.stored_bytes) {
		if (evict_bytes(db, state_dir, missing, err) != 0 ||
		    read_store(db, state_dir, id, &store, err) != 0)
			return -1;
		missing = missing_bytes(&store, limits, bytes, written_bytes);
	}
	if (missing <= 0)
		return 0;
	return refuse(&store, limits, bytes, written_bytes, err);
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
	if (db_changes(db) == 1)
		return 0;
	return err_set(err, ERR_CONFLICT, "job %.64s is not active any more: "
	    "it was given up or canceled", id);
}

int
job_reserve(struct db *db, const char *state_dir,
    const struct job_limits *limits, const char *id, int64_t bytes,
    int64_t written_bytes, struct err *err)
{
	int rc, lock = -1;

	rc = job_lock_store(state_dir, RESERVE_WAIT_MS, &lock, err);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(err, ERR_STORE, "another process made room in "
		    "%s for over %d s", state_dir, RESERVE_WAIT_MS / 1000);
	rc = make_room(db, state_dir, limits, id, bytes, written_bytes, err);
	if (rc == 0)
		rc = set_reserved(db, id, bytes, written_bytes, err);
	job_unlock_store(&lock);
	return rc;
}

static int
delete_over(struct db *db, const char *id, struct err *err)
{
	struct db_stmt *stmt;

	if (db_prepare(db, JOB_DELETE_OVER, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":id", id, err) != 0)
		return -1;
	return db_run(stmt, err);
}

/* Their files first, then the rows, in one transaction; *ret_gone is how many
 * rows went. */
static int
evict_batch(struct db *db, const char *state_dir, const struct job *batch,
    size_t len, int64_t *ret_gone, struct err *err)
{
	bool may_go[JOB_BATCH];
	struct err fault;
	int64_t gone = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		may_go[i] = batch[i].removed_at_ms != JOB_UNKNOWN ||
		    artifact_remove(state_dir, batch[i].id,
		    job_extension(batch[i].kind), true, &fault) == 0;
		if (!may_go[i] && fault.code != ERR_CONFLICT)
			return err_set(err, fault.code, "%s", fault.msg);
	}
	if (db_begin(db, err) != 0)
		return -1;
	for (i = 0; i < len; i++) {
		if (!may_go[i])
			continue;
		if (delete_over(db, batch[i].id, err) != 0)
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
	struct job batch[JOB_BATCH];
	int64_t gone = 0;
	size_t len;

	if (rows > JOB_RETAIN_ROWS)
		rows = JOB_RETAIN_ROWS;
	while (rows > 0) {
		if (read_first(db, JOB_FIRST_ROWS, &after, batch, &len,
		    err) != 0)
			return -1;
		if (len == 0)
			break;
		if ((int64_t)len > rows)
			len = (size_t)rows;
		if (evict_batch(db, state_dir, batch, len, &gone, err) != 0)
			return -1;
		go_behind(&after, &batch[len - 1]);
		rows -= gone;
	}
	return 0;
}

/* With the lock. */
static int
retain(struct db *db, const char *state_dir, const struct job_limits *limits,
    struct err *err)
{
	struct store store;
	int64_t missing, rows;

	if (read_number(db, JOB_COUNT, &rows, err) != 0)
		return -1;
	if (rows > limits->store_jobs &&
	    evict_rows(db, state_dir, rows - limits->store_jobs, err) != 0)
		return -1;
	/* As for an empty file of nobody. */
	if (read_store(db, state_dir, "", &store, err) != 0)
		return -1;
	missing = missing_bytes(&store, limits, 0, 0);
	if (missing <= 0)
		return 0;
	return evict_bytes(db, state_dir, missing, err);
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
	job_unlock_store(&lock);
	return rc;
}
