/*
 * Requests that this process has answered, for /metrics: by route, method and
 * status.  In memory only, so that no answer costs a write.
 */
#ifndef PODPROF_TRAFFIC_H
#define PODPROF_TRAFFIC_H

#include <stdint.h>

#include "err.h"

/* Shared; every call is safe for many threads. */
struct traffic;

MUST int traffic_new(struct traffic **ret_traffic, struct err *err);
/* NULL is allowed. */
void traffic_free(struct traffic **traffic);

/*
 * Count an answer.
 *
 * route   its number, see route_number().
 * method  a bit of request.h; HTTP_OTHER and all it does not know are one.
 * status  100..599; others are left out.
 */
void traffic_count(struct traffic *traffic, unsigned route, unsigned method,
    int status);

/* Some that are alike. */
struct traffic_sum {
	unsigned route;
	const char *method;	/* "GET" …, "other" */
	int status;
	uint64_t requests;	/* > 0 */
};

/* Called for each, by route, method and status; -1 with *err stops. */
typedef int traffic_visit_fn(void *ctx, const struct traffic_sum *sum,
    struct err *err);
MUST int traffic_read(const struct traffic *traffic, traffic_visit_fn *visit,
    void *ctx, struct err *err);

#endif
