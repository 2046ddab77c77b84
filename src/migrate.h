/*
 * The schema's versions.  sql/NNNN_name.sql, embedded at build time in order;
 * PRAGMA user_version says how many have run.  A file that was released is
 * never edited.
 */
#ifndef PODPROF_MIGRATE_H
#define PODPROF_MIGRATE_H

#include "db.h"
#include "err.h"

struct migrate_step {
	const char *name;	/* of the file, without ".sql" */
	const char *sql;
};

/* In order; step i leads to version i + 1.  Generated from sql/. */
extern const struct migrate_step migrate_steps[];
extern const unsigned migrate_steps_len;

/*
 * Bring the schema up to date: nothing is written if it is.  The version is
 * read inside BEGIN IMMEDIATE, and each step commits together with its
 * version, so that any number of processes may do this at once.
 *   ERR_STORE  the schema is newer than this program (the message names both
 *              versions), or as db.h
 */
MUST int migrate_run(struct db *db, struct err *err);

/* The version that the schema has, without bringing it up to date.  Errors as
 * migrate_run(). */
MUST int migrate_look(struct db *db, unsigned *ret_version, struct err *err);

#endif
