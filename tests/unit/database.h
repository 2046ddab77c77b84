/*
 * The database of a fresh state directory, of which a program needs dozens: its
 * schema is made by the migrations once, and copied from then on.
 */
#ifndef PODPROF_DATABASE_H
#define PODPROF_DATABASE_H

#include <sys/stat.h>

#include "test.h"

#include "job.h"

/* The file, as job_open_db() has made it the first time. */
static struct {
	unsigned char bytes[1 << 20];
	size_t len;
} fresh_db;

static inline void
database_learn(const char *dir, const char *path)
{
	struct db *db = NULL;
	struct err err;
	FILE *f;

	assert_ok(job_open_db(dir, &db, &err), err);
	db_close(&db);
	f = fopen(path, "rb");
	assert_non_null(f);
	fresh_db.len = fread(fresh_db.bytes, 1, sizeof(fresh_db.bytes), f);
	assert_true(fresh_db.len > 0 && fresh_db.len < sizeof(fresh_db.bytes));
	assert_int_equal(fclose(f), 0);
}

static inline void
database_copy(const char *path)
{
	const mode_t before = umask(0177);
	FILE *f = fopen(path, "wb");

	(void)umask(before);
	assert_non_null(f);
	assert_int_equal(fwrite(fresh_db.bytes, 1, fresh_db.len, f),
	    fresh_db.len);
	assert_int_equal(fclose(f), 0);
}

/* As job_open_db(), in a directory that has none yet. */
static inline void
database_open(const char *dir, struct db **ret_db)
{
	char path[512];
	struct err err;

	(void)snprintf(path, sizeof(path), "%s/podprof.db", dir);
	if (fresh_db.len == 0)
		database_learn(dir, path);
	else
		database_copy(path);
	assert_ok(job_open_db(dir, ret_db, &err), err);
}

#endif
