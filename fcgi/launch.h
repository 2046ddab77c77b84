/*
 * Starting a capture, up to the answer of its preflight.
 *
 *	create - spawn - wait, at most LAUNCH_WAIT_MS -+- accepted: go on
 *	                                               +- refused: the reason
 *
 * What the preflight refuses leaves no job.  If it takes longer, the job is
 * accepted, and a later refusal is its error.
 */
#ifndef PODPROF_LAUNCH_H
#define PODPROF_LAUNCH_H

#include "answer.h"
#include "err.h"
#include "order.h"
#include "request.h"
#include "service.h"

#define LAUNCH_WAIT_MS 1000

/*
 * Begin.  The answer becomes a wait, after which launched() is called with the
 * accepted job, and makes the answer.  Where the order's key has a job that was
 * accepted before, launched() is called with that at once.
 *
 *   ERR_CONFLICT  a heap snapshot of the app is in the way; X-Job-Id, Location
 *                 and Retry-After in the answer are that job's
 *   ERR_KEY_REUSED  as job_create()
 *   ERR_LIMIT     too many profiles of the app, or too many requests that wait
 *   ERR_INVALID   a profile that [limits] job_timeout would not let finish
 *   ERR_INTERNAL  podprof-capture cannot be started
 *   ERR_STORE, ERR_SPACE, ERR_NOMEM
 */
MUST int launch(struct seat *seat, struct request *request,
    const struct order *order, request_resume_fn *launched,
    struct answer *answer, struct err *err);

#endif
