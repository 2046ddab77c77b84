/*
 * What is known of the apps for those who probe them: whether a capture
 * freezes one just now, what its health_url says, and whether its inspector
 * answers.
 *
 *	handler ── shield_see() ─┬─ all that it needs is fresh: answers
 *	                         └─ request_wait_shield() ─► parked here
 *	                                                        ▲ fresh
 *	reader (rows) ─ for each app: asker of health_url, of the inspector
 *
 * Each is asked when somebody needs it, once a second at most, and the answer
 * shared.  Each asker has a thread of its own from when it is first needed; so
 * has the reader, and the host of those that are parked.  Nobody else waits for
 * an app, or for the disk.  Under plain CGI there are no threads: see
 * shield_find().
 */
#ifndef PODPROF_SHIELD_H
#define PODPROF_SHIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"
#include "job.h"
#include "request.h"
#include "service.h"

/* An answer is shared for so long, and nobody is asked more often. */
#define SHIELD_FRESH_MS 1000
/* How long health_url and inspector have to answer. */
#define SHIELD_ASK_MS 2000
/* The rows are read anew after the first, and waited for as long as the second
 * says; then what was read before counts, or, where nothing was, after the
 * third, that there is no capture. */
#define SHIELD_ROWS_MS 250
#define SHIELD_ROWS_WAIT_MS 500
#define SHIELD_ROWS_FIRST_MS 1500
/* Requests that wait here, beside [limits] waiting; and for how long.  An
 * answer that is younger than that is one. */
#define SHIELD_PARKED_MAX 1024
#define SHIELD_WAIT_MS 4000

struct shield;

/* What somebody said, or did not. */
struct shield_reply {
	int up;			/* 1, 0; -1: never asked, or no answer yet */
	bool is_fresh;
	int64_t age_ms;		/* of what is said; -1: nothing is */
	int64_t asked_ago_ms;	/* the question that it answers */
	bool lacks;		/* we had not what it takes to ask, the last
				 * time: that says nothing of the app */
	struct err why;		/* 0: why not, in words for anybody */
};

/* Is it an answer?  One that has grown old while it was waited for is. */
bool shield_is_said(const struct shield_reply *reply);

struct shield_sight {
	const struct conf_app *app;
	bool is_fresh;		/* what the rows say: */
	struct job_shield rows;
	bool is_since;		/* they were read since the inspector's reply
				 * came, or cannot be */
	struct shield_reply health;	/* [app] health_url */
	struct shield_reply inspector;	/* GET /json/version there */
};

/*
 * What has to be found out before the request can be answered, of SHIELD_ROWS,
 * SHIELD_HEALTH, SHIELD_INSPECTOR; 0: nothing.  For example, that an inspector
 * answers: sight->inspector.is_fresh ? 0 : SHIELD_INSPECTOR.
 */
#define SHIELD_ROWS 1u
#define SHIELD_HEALTH 2u
#define SHIELD_INSPECTOR 4u
typedef unsigned shield_need_fn(const struct shield_sight *sight);

/* Made by service_new(): see service_shield(). */
MUST int shield_new(struct service *service, struct shield **ret_shield,
    struct err *err);
/* Ends its threads; none of its requests may be left.  NULL is allowed. */
void shield_free(struct shield **shield);

/* Takes a request that waits no more, on one of the shield's threads.
 * is_stopped: shield_stop() was called. */
typedef void shield_over_fn(void *ctx, struct request *request_take,
    bool is_stopped);

/* The pool's: from now on requests can be parked. */
void shield_start(struct shield *shield, shield_over_fn *over, void *ctx);
/* From now on every wait ends at once, and nobody is asked any more. */
void shield_stop(struct shield *shield);
/* Wait until its threads are at rest, up to deadline_ms (clock_mono_ms());
 * true if they are: else shield_free() would wait for them. */
bool shield_await(struct shield *shield, int64_t deadline_ms);

/*
 * What is known of an app by now; never blocks.  What need asks for is being
 * found out from now on.  True if it needs nothing.
 */
bool shield_see(struct shield *shield, const struct conf_app *app,
    shield_need_fn *need, struct shield_sight *ret_sight);

/*
 * Make the answer a wait until need asks for nothing any more of the app, or of
 * any app if that is NULL; at most ms from now.  Then resume is called, with
 * job NULL, and sees for itself.
 */
void request_wait_shield(struct request *request, struct answer *answer,
    const struct conf_app *app, shield_need_fn *need, int64_t ms,
    request_resume_fn *resume);

/* Take a request that request_wait_shield() was called for.  False if too many
 * are here, or nobody can look after it: it is not taken, and its wait is over
 * at once. */
MUST bool shield_park(struct shield *shield, struct request *request_take);

/* Plain CGI: find out what the request waits for, in place.  Processes share
 * what they learn of health_url (share.h). */
void shield_find(struct shield *shield, const struct request *request);

#endif
