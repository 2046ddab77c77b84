/*
 * Probes: alive, and ready.  They need no token, so they say nothing more.
 */
#include "handle.h"

static int
check_app(const struct seat *seat, const struct request *request,
    struct err *err)
{
	const char *app = params_text(&request->params, "app");

	if (app == NULL ||
	    conf_find_app(service_conf(seat->service), app) != NULL)
		return 0;
	return err_set(err, ERR_NOT_FOUND, "no app \"%s\" is served here", app);
}

int
handle_livez(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	if (check_app(seat, request, err) != 0)
		return -1;
	return answer_text(answer, 200, "ok\n", err);
}

int
handle_readyz(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	if (check_app(seat, request, err) != 0)
		return -1;
	if (!service_is_ready(seat->service))
		return err_set(err, ERR_STORE, "the state directory, the "
		    "database or the tokens file cannot be used; the log of "
		    "podprof says which and why");
	return answer_text(answer, 200, "ready\n", err);
}
