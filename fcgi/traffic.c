/*
 * One counter for each that can be: those that never count stay untouched, and
 * so take no memory.
 */
#include "traffic.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "request.h"
#include "route.h"

#define STATUS_MIN 100
#define STATUS_MAX 599
#define STATUSES (STATUS_MAX - STATUS_MIN + 1)

static const struct {
	unsigned bit;
	const char *name;
} methods[] = {
	{ HTTP_GET, "GET" },
	{ HTTP_HEAD, "HEAD" },
	{ HTTP_POST, "POST" },
	{ HTTP_DELETE, "DELETE" },
	{ HTTP_OTHER, "other" },
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

struct traffic {
	/* Of each route, then of what is none. */
	_Atomic uint64_t counts[ROUTE_NUMBERS][METHODS][STATUSES];
};

int
traffic_new(struct traffic **ret_traffic, struct err *err)
{
	*ret_traffic = calloc(1, sizeof(**ret_traffic));
	if (*ret_traffic == NULL)
		return err_set(err, ERR_NOMEM, "no memory to start");
	return 0;
}

void
traffic_free(struct traffic **traffic)
{
	free(*traffic);
	*traffic = NULL;
}

void
traffic_count(struct traffic *traffic, unsigned route, unsigned method,
    int status)
{
	size_t i = 0;

	assert(route < ROUTE_NUMBERS);
	if (status < STATUS_MIN || status > STATUS_MAX)
		return;
	while (i < METHODS - 1 && methods[i].bit != method)
		i++;
	(void)atomic_fetch_add_explicit(
	    &traffic->counts[route][i][status - STATUS_MIN], 1,
	    memory_order_relaxed);
}

int
traffic_read(const struct traffic *traffic, traffic_visit_fn *visit,
    void *ctx, struct err *err)
{
	struct traffic_sum sum;
	size_t method;

	for (sum.route = 0; sum.route < ROUTE_NUMBERS; sum.route++)
		for (method = 0; method < METHODS; method++)
			for (sum.status = STATUS_MIN; sum.status <= STATUS_MAX;
			    sum.status++) {
				sum.method = methods[method].name;
				sum.requests = atomic_load_explicit(
				    &traffic->counts[sum.route][method]
				    [sum.status - STATUS_MIN],
				    memory_order_relaxed);
				if (sum.requests > 0 &&
				    visit(ctx, &sum, err) != 0)
					return -1;
			}
	return 0;
}
