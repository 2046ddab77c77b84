/*
 * Runs the steps that a database has not seen yet.  The steps themselves are
 * made from sql/ by sql/embed.sh.
 */
#include "migrate.h"

#include <stdint.h>
#include <stdio.h>

static const char MIGRATE_VERSION[] = "PRAGMA user_version";

static const char MIGRATE_LOOK[] = "SELECT count(*) AS n FROM sqlite_schema";

static int
read_version(struct db *db, int64_t *ret_version, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, MIGRATE_VERSION, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	if (rc == 1)
		*ret_version = db_column_int(stmt, "user_version", 0);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

/*
 * Make the connection see the schema as others left it.  It looks by itself
 * when a statement is run, but a new one is first compiled by what it knew, and
 * some mistakes found in that (a table with more columns by now) are reported
 * without a second look.
 */
static int
refresh_schema(struct db *db, struct err *err)
{
	struct db_stmt *stmt;
	int rc;

	if (db_prepare(db, MIGRATE_LOOK, &stmt, err) != 0)
		return -1;
	rc = db_step(stmt, err);
	db_done(stmt);
	return rc < 0 ? -1 : 0;
}

static int
check_version(int64_t version, struct err *err)
{
	if (version >= 0 && version <= (int64_t)migrate_steps_len)
		return 0;
	return err_set(err, ERR_STORE, "the database has schema version %lld, "
	    "this podprof knows versions up to %u: run the podprof that made "
	    "it, or a newer one", (long long)version, migrate_steps_len);
}

static int
run_step(struct db *db, unsigned index, struct err *err)
{
	const struct migrate_step *step = &migrate_steps[index];
	char set_version[48];

	/* A PRAGMA takes no bound values. */
	(void)snprintf(set_version, sizeof(set_version),
	    "PRAGMA user_version = %u", index + 1);
	if (db_exec(db, step->sql, err) != 0 ||
	    db_exec(db, set_version, err) != 0)
		return err_wrap(err, "schema step %s", step->name);
	return 0;
}

/* The next step that is missing, if any, in one transaction.  The version
 * counts only once the write lock is held: another process may be faster. */
static int
advance(struct db *db, int64_t *ret_version, struct err *err)
{
	int64_t version = 0;
	int rc = -1;

	if (db_begin(db, err) != 0)
		return -1;
	if (read_version(db, &version, err) != 0 ||
	    check_version(version, err) != 0)
		goto out;
	if (version < (int64_t)migrate_steps_len) {
		if (refresh_schema(db, err) != 0 ||
		    run_step(db, (unsigned)version, err) != 0)
			goto out;
		version++;
	}
	if (db_commit(db, err) != 0)
		goto out;
	*ret_version = version;
	rc = 0;
out:
	db_rollback(db);
	return rc;
}

int
migrate_look(struct db *db, unsigned *ret_version, struct err *err)
{
	int64_t version = 0;

	if (read_version(db, &version, err) != 0 ||
	    check_version(version, err) != 0)
		return -1;
	*ret_version = (unsigned)version;
	return 0;
}

int
migrate_run(struct db *db, struct err *err)
{
	unsigned looked = 0;
	int64_t version;

	/* Without the lock first: most opens find nothing to do. */
	if (migrate_look(db, &looked, err) != 0)
		return -1;
	version = looked;
	while (version < (int64_t)migrate_steps_len)
		if (advance(db, &version, err) != 0)
			return -1;
	return 0;
}
