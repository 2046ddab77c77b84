/*
 * How many captures may be begun in a minute: for one requester, and for one
 * app, so that neither a script that runs wild nor many at once keep an app
 * busy with being looked at.  The only module that knows the table starts of
 * sql/schema.sql.
 */
#ifndef PODPROF_RATE_H
#define PODPROF_RATE_H

#include <stdint.h>

#include "db.h"
#include "err.h"

#define RATE_WINDOW_MS 60000

/* Who begins a capture of what; all borrowed. */
struct rate {
	const char *app;
	const char *pod;
	const char *who;
	int64_t app_max;	/* in RATE_WINDOW_MS; 0: any number */
	int64_t who_max;	/* the same */
};

/*
 * Count one more.  Within the transaction that begins the capture: rolled back
 * with it.  What was begun longer ago is forgotten, as is what lies ahead,
 * where the clock was set back.
 *   ERR_LIMIT  who_max or app_max of them were begun already
 */
MUST int rate_take(struct db *db, const struct rate *rate, struct err *err);

/* In how many milliseconds rate_take() would succeed; 0: now. */
MUST int rate_wait_ms(struct db *db, const struct rate *rate,
    int64_t *ret_ms, struct err *err);

#endif
