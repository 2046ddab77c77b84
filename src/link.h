/*
 * Links: addresses that serve one artifact without a token, for a short time;
 * table links of sql/0003_links.sql.  Whoever knows the secret has the file, so
 * only its SHA-256 is kept.
 *
 * Errors of every call: those of db.h, and what stands at each.
 */
#ifndef PODPROF_LINK_H
#define PODPROF_LINK_H

#include <stdint.h>

#include "db.h"
#include "err.h"
#include "str.h"
#include "uuid.h"

#define LINK_LIFE_MS (10 * 60 * 1000)
/* Links of one job that live at the same time. */
#define LINK_JOB_MAX 100
/* 256 random bits in hex, and the NUL. */
#define LINK_SECRET_MAX 65

struct link {
	char job_id[UUID_MAX];
	char created_by[STR_NAME_MAX + 8];	/* a token's name … */
	int64_t expires_at_ms;
};

/*
 * Make one for a job that is there.
 *   ERR_LIMIT      the job has LINK_JOB_MAX
 *   ERR_NOT_FOUND  there is no such job (any more)
 *   ERR_INTERNAL   no random bits
 */
MUST int link_create(struct db *db, const char *app, const char *job_id,
    const char *created_by, char ret_secret[LINK_SECRET_MAX],
    struct link *ret_link, struct err *err);

/* The link of a secret that a client brings to an address of app.
 * ERR_NOT_FOUND: there is none, or it has expired. */
MUST int link_find(struct db *db, const char *app, const char *secret,
    struct link *ret_link, struct err *err);

/* Remove those that have expired.  Reads only, where there are none. */
MUST int link_sweep(struct db *db, struct err *err);

#endif
