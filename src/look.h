/*
 * What is known of an app without capturing anything: GET {base}/target.
 *
 * podprof-capture --look APP finds out, and leaves it in the table looks of
 * sql/schema.sql, where whoever asked reads it: one row an app and pod.  This
 * is the only module that knows the table.
 */
#ifndef PODPROF_LOOK_H
#define PODPROF_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "cdp.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "json.h"
#include "predict.h"
#include "target.h"

/* An answer is shared by all who ask within this time. */
#define LOOK_FRESH_MS 1000
/* How long one may take, and what asks waits for at most. */
#define LOOK_WAIT_MS 1900
#define LOOK_METHODS 3
/* Worker threads that are told of: the first that the app started. */
#define LOOK_WORKERS 64

/* One of fork, direct, stream. */
struct look_method {
	enum conf_method method;
	bool is_usable;
	struct err why;		/* unless it is usable */
};

/* What was found; -1, "" and false where it was not. */
struct look {
	bool is_reachable;
	bool is_activated;		/* it is open because podprof opened
					 * it */
	char address[64];		/* "127.0.0.1:9229", as found; or as
					 * configured, and what is secret in
					 * that is not told */
	struct target_facts facts;
	/* Best first; len 0: not known. */
	struct look_method methods[LOOK_METHODS];
	size_t methods_len;
	struct predict predict;		/* for the first that is usable */
	struct cdp_worker workers[LOOK_WORKERS];	/* by id */
	size_t workers_len;
	bool knows_workers;		/* all that there are were told of */
};

/* One more worker thread, in its place; of those above LOOK_WORKERS the oldest
 * stay. */
void look_add_worker(struct look *look, const struct cdp_worker *worker);

/* Nothing is known but what [app NAME] inspector says. */
void look_init(struct look *look, const char *inspector);

/*
 * Begin: true in *ret_is_ours if nobody has found out, or is about to, within
 * LOOK_FRESH_MS: then the caller has to start podprof-capture --look.
 * *ret_revision is what to wait for to change, or 0 if there is an answer that
 * is fresh enough.
 */
MUST int look_begin(struct db *db, const char *app, const char *pod,
    bool *ret_is_ours, int64_t *ret_revision, struct err *err);

/* It could not be started: whoever asks next begins anew. */
MUST int look_abandon(struct db *db, const char *app, const char *pod,
    struct err *err);

/* podprof-capture's side: leave what was found, as the API's JSON. */
MUST int look_put(struct db *db, const char *app, const char *pod,
    const struct look *look, struct err *err);

/* The revision as it is now, which grows with every answer.  ERR_NOT_FOUND:
 * nobody has looked at the app yet. */
MUST int look_revision(struct db *db, const char *app, const char *pod,
    int64_t *ret_revision, struct err *err);

/* The answer, a JSON object, to be freed; ERR_NOT_FOUND: there is none younger
 * than max_age_ms. */
MUST int look_get(struct db *db, const char *app, const char *pod,
    int64_t max_age_ms, struct json **ret_object, struct err *err);

/*
 * The API's form of it below object:
 * {"app","pod","inspector":{"address","reachable","activated"},"node","pid",
 *  "memory":{"heapUsedBytes","rssBytes","limitBytes","availableBytes"},
 *  "methods":[{"method","usable","reason"}],
 *  "predicted":{"peakBytes","fileBytes","freezeMs"},
 *  "workers":[{"id","title"}]}, null for what is not known.
 * ERR_NOMEM.
 */
MUST int look_put_json(const struct look *look, const char *app,
    const char *pod, struct json *object, struct err *err);

#endif
