/*
 * One request: what its head says, and what was found out about it on the way
 * to its answer.  It owns its gate.
 */
#ifndef PODPROF_REQUEST_H
#define PODPROF_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "auth.h"
#include "buf.h"
#include "err.h"
#include "gate.h"
#include "job.h"
#include "link.h"
#include "params.h"
#include "str.h"
#include "summary.h"
#include "uuid.h"

#define REQUEST_BODY_MAX (64 << 10)
#define REQUEST_PATH_MAX 2048

/* Methods, as bits of a set. */
#define HTTP_GET 1u
#define HTTP_HEAD 2u
#define HTTP_POST 4u
#define HTTP_DELETE 8u
#define HTTP_OTHER 0u

struct route;
struct seat;
struct shield_sight;
struct service;
struct request;

/* What a request waits for. */
enum request_until {
	UNTIL_HEAD,		/* its own head: gate_head() */
	UNTIL_PREFLIGHT,	/* the job is accepted or final */
	UNTIL_FINAL,
	UNTIL_CHANGED,		/* the job's revision is another */
	UNTIL_LOOKED,		/* that of what is known of the app is */
	UNTIL_SUMMED,		/* the job's summary is there, or nobody in
				 * the pod makes one */
	UNTIL_SEEN,		/* see shield.h */
};

/*
 * Goes on after a wait that is over, or took its time.  job is the job as it
 * is now; NULL after UNTIL_LOOKED, UNTIL_SUMMED and UNTIL_SEEN.  As a handler:
 * 0 and the next answer, or -1 and what the client is told.
 */
typedef int request_resume_fn(struct seat *seat, struct request *request,
    const struct job *job, struct answer *answer, struct err *err);

struct request {
	struct gate *gate;
	char id[STR_NAME_MAX + 1];	/* X-Request-Id */
	unsigned method;		/* a bit of those above */
	char method_name[16];
	char path[REQUEST_PATH_MAX + 1];	/* to route by */
	char prefix[REQUEST_PATH_MAX + 1];	/* what precedes it in links */
	const char *query;		/* the gate's; NULL if none */

	/* Set by route.c. */
	const struct route *route;	/* NULL: there is no such address */
	unsigned path_methods;		/* of all routes at this path */
	char app[STR_NAME_MAX + 1];
	char job_id[UUID_MAX];
	char other_id[UUID_MAX];	/* "{other}" */
	char link_secret[LINK_SECRET_MAX];
	char file[STR_NAME_MAX + 1];	/* "": that of the directory */
	bool is_known;			/* authenticated: may be told names */
	struct principal principal;
	struct params params;
	struct buf body;

	/* The handler's, across its waits. */
	request_resume_fn *launched;	/* see launch.h */
	bool is_repeated;	/* its Idempotency-Key had a job already */
	char summed_id[UUID_MAX];	/* whose summary it began last; "" */
	struct {
		char job_id[UUID_MAX];	/* "" until UNTIL_LOOKED */
		enum request_until until;
		/* UNTIL_CHANGED, UNTIL_LOOKED: other than this */
		int64_t revision;
		int64_t deadline_ms;	/* clock_mono_ms() */
		request_resume_fn *resume;
		bool is_stopped;	/* the service ends before it is over */
		/* UNTIL_SEEN: of which app, NULL: of all; and what of it */
		const struct conf_app *shielded;
		unsigned (*need)(const struct shield_sight *sight);
	} wait;

	/* A place among [limits] waiting, or NULL; see service.h. */
	struct service *place;

	struct request *next;	/* whoever keeps the request: pool, waiter */
};

/* Make a request of a gate, which is taken, also on failure.  ERR_NOMEM. */
MUST int request_new(struct gate **gate_take, struct request **ret_request,
    struct err *err);

/*
 * Read its head, which must be there.
 *
 * The full path is SCRIPT_NAME and PATH_INFO together, as no two web servers
 * cut it alike; a script name that ends in "/podprof.fcgi" is not part of what
 * is routed.  The request's id is X-Request-Id where that is 1..64 letters,
 * digits, '.', '_', '-'; else a new UUID.
 *
 * ERR_INVALID, ERR_INTERNAL: there is nobody to be answered.
 */
MUST int request_read(struct request *request, struct err *err);

/* Free it, and drop its gate if it is there still; gives its place back.
 * NULL is allowed. */
void request_free(struct request **request);

/* Wait for the head, at most ms from now. */
void request_wait_head(struct request *request, int64_t ms);

/*
 * Make the answer a wait for the job, at most ms from now; then resume is
 * called, on whatever thread.  A wait longer than UNTIL_PREFLIGHT's ends
 * without that when the client leaves, or, with 503, when the service stops.
 */
void request_wait(struct request *request, struct answer *answer,
    const struct job *job, enum request_until until, int64_t ms,
    request_resume_fn *resume);

/* The same for a look at the app, whose revision is this still (look.h). */
void request_wait_look(struct request *request, struct answer *answer,
    int64_t revision, int64_t ms, request_resume_fn *resume);

/* The same for the summary of a job, until deadline_ms (clock_mono_ms()). */
void request_wait_summary(struct request *request, struct answer *answer,
    const char *job_id, int64_t deadline_ms, request_resume_fn *resume);

/* What a request waits for, as it was read. */
struct request_sight {
	struct job job;		/* unset after UNTIL_LOOKED, UNTIL_SUMMED */
	int64_t revision;	/* UNTIL_LOOKED */
	enum summary_state summary;	/* UNTIL_SUMMED */
};

/* Read it.  Errors of seat_db(), job_get(), look_revision() and
 * summary_find().  Not UNTIL_HEAD and UNTIL_SEEN, as the next. */
MUST int request_see(const struct request *request, struct seat *seat,
    struct request_sight *ret_sight, struct err *err);

/* Is it what the request waits for? */
bool request_is_over(const struct request *request,
    const struct request_sight *sight);

/* What the links of an answer begin with: "/APP/private/papi" with the prefix
 * before it. */
#define REQUEST_BASE_MAX (REQUEST_PATH_MAX + STR_NAME_MAX + 32)
void request_base(const struct request *request, char out[REQUEST_BASE_MAX]);

#endif
