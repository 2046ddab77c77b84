/*
 * The addresses: one table, and the order in which a request is judged -
 * authentication, path, method, role, parameters, body; then its handler.
 */
#ifndef PODPROF_ROUTE_H
#define PODPROF_ROUTE_H

#include <stdbool.h>

#include "answer.h"
#include "conf.h"
#include "err.h"
#include "params.h"
#include "request.h"
#include "service.h"

/*
 * Answers one request: 0 and the answer, or -1 and what the client is told, as
 * a problem.  Headers that it adds to the answer go out either way.
 */
typedef int handle_fn(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err);

struct route {
	/* "{app}", "{id}", "{link}" and "{file}" stand for an app's name, a
	 * job's id, the secret of a link and what is the end of a path. */
	const char *path;
	unsigned methods;		/* HTTP_GET | … */
	enum conf_role role;		/* needed; ROLE_NONE: no token asked,
					 * and the same for every {app} */
	const struct param_spec *params;	/* NULL: none */
	handle_fn *handle;
	bool is_link;			/* {link} is as good as a token */
	bool is_probe;			/* touches no disk, waits for nobody
					 * but the shield */
	bool takes_body;		/* of others a body is not read */
	bool is_module;			/* errors also in the module's words */
	const char *not_found;		/* the module's word for that */
	const char *asset;		/* handle_page(): the file, see asset.h */
};

/*
 * Routes by number, in the order of the table: route_at() is NULL behind the
 * last.  What is no route has a number, too, and the name "none"; the name of a
 * route is its path, which another has with other methods.
 */
#define ROUTE_NUMBERS 32
#define ROUTE_NONE (ROUTE_NUMBERS - 1)
const struct route *route_at(unsigned number);
unsigned route_number(const struct route *route);
const char *route_name(unsigned number);

/* Find the request's route; fills route, path_methods, app and job_id. */
void route_find(struct request *request);

/*
 * Judge the request and call its handler.  Always leaves an answer: of an error
 * it is the problem, logged if it is ours.
 */
void route_serve(struct seat *seat, struct request *request,
    struct answer *answer);

/* The same after a wait. */
void route_resume(struct seat *seat, struct request *request,
    struct answer *answer);

/* Answer without a handler. */
void route_refuse(const struct service *service, struct request *request,
    const struct err *why, struct answer *answer);

#endif
