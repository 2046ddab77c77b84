/*
 * Links and their table.  A secret is looked up by its digest, so that the time
 * it takes tells nothing about those that are there.
 */
#include "link.h"

#include <string.h>

#include "clock.h"
#include "digest.h"

#define SECRET_BYTES 32

static const char LINK_INSERT[] =
    "INSERT INTO links (secret_sha256, job_id, app, created_by, expires_at_ms)"
    " VALUES (:sha256, :job, :app, :who, :expires)";

static const char LINK_COUNT[] =
    "SELECT count(*) AS n FROM links WHERE job_id = :job"
    " AND expires_at_ms > :now";

static const char LINK_FIND[] =
    "SELECT * FROM links WHERE secret_sha256 = :sha256"
    " AND app = :app AND expires_at_ms > :now";

static const char LINK_HAS_EXPIRED[] =
    "SELECT 1 FROM links WHERE expires_at_ms <= :now LIMIT 1";

static const char LINK_DELETE_EXPIRED[] =
    "DELETE FROM links WHERE expires_at_ms <= :now";

/* May the job have one more? */
static int
check_count(struct db *db, const char *job_id, struct err *err)
{
	struct db_stmt *stmt;
	int64_t n = 0;
	int rc;

	if (db_prepare(db, LINK_COUNT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":job", job_id, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		n = db_column_int(stmt, "n", 0);
	db_done(stmt);
	if (rc < 0)
		return -1;
	if (n >= LINK_JOB_MAX)
		return err_set(err, ERR_LIMIT, "the job has %d links that are "
		    "valid, as many as it may; one that has expired makes room",
		    LINK_JOB_MAX);
	return 0;
}

static int
insert(struct db *db, const char *app, const char *secret,
    const struct link *link, struct err *err)
{
	char sha256[DIGEST_HEX_MAX];
	struct db_stmt *stmt;
	struct err fault;

	if (digest_hex(secret, strlen(secret), sha256, err) != 0 ||
	    db_prepare(db, LINK_INSERT, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":sha256", sha256, err) != 0 ||
	    db_bind_text(stmt, ":job", link->job_id, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_text(stmt, ":who", link->created_by, err) != 0 ||
	    db_bind_int(stmt, ":expires", link->expires_at_ms, err) != 0)
		return -1;
	if (db_run(stmt, &fault) == 0)
		return 0;
	/* The one constraint that can be met: jobs (id). */
	if (fault.code == ERR_CONFLICT)
		return err_set(err, ERR_NOT_FOUND,
		    "there is no job \"%.64s\" any more", link->job_id);
	return err_set(err, fault.code, "%s", fault.msg);
}

int
link_create(struct db *db, const char *app, const char *job_id,
    const char *created_by, char ret_secret[LINK_SECRET_MAX],
    struct link *ret_link, struct err *err)
{
	unsigned char random[SECRET_BYTES];
	char secret[LINK_SECRET_MAX];
	struct link link;
	int rc = -1;

	(void)str_copy(link.job_id, sizeof(link.job_id), job_id);
	(void)str_copy(link.created_by, sizeof(link.created_by), created_by);
	link.expires_at_ms = clock_utc_ms() + LINK_LIFE_MS;
	if (digest_random(random, sizeof(random), err) != 0)
		return -1;
	str_hex(random, sizeof(random), secret);
	if (db_begin(db, err) != 0)
		return -1;
	if (check_count(db, job_id, err) != 0 ||
	    insert(db, app, secret, &link, err) != 0 || db_commit(db, err) != 0)
		goto out;
	memcpy(ret_secret, secret, sizeof(secret));
	*ret_link = link;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
link_find(struct db *db, const char *app, const char *secret,
    struct link *ret_link, struct err *err)
{
	char sha256[DIGEST_HEX_MAX];
	struct db_stmt *stmt;
	int rc;

	if (digest_hex(secret, strlen(secret), sha256, err) != 0 ||
	    db_prepare(db, LINK_FIND, &stmt, err) != 0 ||
	    db_bind_text(stmt, ":sha256", sha256, err) != 0 ||
	    db_bind_text(stmt, ":app", app, err) != 0 ||
	    db_bind_int(stmt, ":now", clock_utc_ms(), err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1) {
		(void)str_copy(ret_link->job_id, sizeof(ret_link->job_id),
		    db_column_text(stmt, "job_id"));
		(void)str_copy(ret_link->created_by,
		    sizeof(ret_link->created_by),
		    db_column_text(stmt, "created_by"));
		ret_link->expires_at_ms =
		    db_column_int(stmt, "expires_at_ms", 0);
	}
	db_done(stmt);
	if (rc == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such link, or "
		    "it has expired; POST jobs/ID/links makes a new one");
	return rc < 0 ? -1 : 0;
}

int
link_sweep(struct db *db, struct err *err)
{
	const int64_t now_ms = clock_utc_ms();
	struct db_stmt *stmt;
	int rc;

	/* Looks before it takes the write lock, which is seldom needed. */
	if (db_prepare(db, LINK_HAS_EXPIRED, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	if (rc != 1)
		return rc;
	if (db_prepare(db, LINK_DELETE_EXPIRED, &stmt, err) != 0 ||
	    db_bind_int(stmt, ":now", now_ms, err) != 0)
		return -1;
	return db_run(stmt, err);
}
