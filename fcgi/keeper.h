/*
 * What has to be done every second, away from the requests: processes that
 * ended are reaped and their jobs settled, old files swept, the store kept
 * within its limits, files and rows compared, what was left in exchange
 * directories removed, inspectors that were left open closed, and whether the
 * state can be used is found out for /readyz.
 */
#ifndef PODPROF_KEEPER_H
#define PODPROF_KEEPER_H

#include "err.h"
#include "service.h"

struct keeper;

/* Start its thread.  ERR_NOMEM, ERR_LIMIT. */
MUST int keeper_start(struct service *service, struct keeper **ret_keeper,
    struct err *err);

/* A process of ours may have ended: do not wait for the next second. */
void keeper_kick(struct keeper *keeper);

/* Stop and join it.  NULL is allowed. */
void keeper_free(struct keeper **keeper);

/*
 * The same work for plain CGI, where there is nobody to do it: at most once a
 * minute among all processes, after the answer.  Faults are logged.
 */
void keeper_once(struct service *service);

#endif
