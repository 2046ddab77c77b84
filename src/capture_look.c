/*
 * Looking at an app: the same way as a capture's preflight, up to the methods;
 * nothing is loaded or frozen.
 */
#include "capture_parts.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "look.h"
#include "process.h"
#include "str.h"
#include "uuid.h"

/* The rest of LOOK_WAIT_MS is for starting us, and for the row. */
#define LOOK_ASK_MS 1300

static const struct predict unknown = { -1, -1, -1, -1 };

/* Of the method: the app was busy, or we are. */
static bool
says_nothing(const struct err *why)
{
	return why->code == ERR_TARGET_TIMEOUT ||
	    why->code == ERR_TARGET_EXITED || why->code == ERR_NOMEM;
}

/* Which method would be used, and why not the better ones. */
static void
look_at_methods(struct capture *c, struct look *look)
{
	const struct capture_method *method;
	struct look_method *found;
	bool is_first = true;
	size_t i;

	for (i = 0; (method = capture_method_at(METHOD_AUTO, i)) != NULL; i++) {
		found = &look->methods[look->methods_len++];
		found->method = method->method;
		found->is_usable = method->check(c, &found->why) == 0;
		if (!found->is_usable && says_nothing(&found->why)) {
			look->methods_len = 0;
			look->predict = unknown;
			return;
		}
		if (!found->is_usable || !is_first ||
		    (c->app->method != METHOD_AUTO &&
		    c->app->method != method->method))
			continue;
		is_first = false;
		predict_snapshot(&c->facts, method->method, &look->predict);
	}
}

static void
add_worker(void *ctx, const struct cdp_worker *worker)
{
	look_add_worker(ctx, worker);
}

static void
look_at_workers(struct capture *c, struct look *look)
{
	const struct cdp_limit limit = { .deadline_ms = c->deadline_ms };
	struct err err;

	look->knows_workers = cdp_list_workers(c->cdp, &limit, add_worker,
	    look, &err) == 0;
	if (!look->knows_workers)
		log_info("look", "worker threads: %s", err.msg);
}

/* Of one that would be activated, the pid is known without being asked. */
static void
look_at_process(const struct capture *c, struct look *look)
{
	struct process process;

	if (c->app->activate == ACTIVATE_SIGUSR1 &&
	    process_identify(c->app->pid, geteuid(), &process, NULL) == 0)
		look->facts.pid = process.proc.pid;
}

/* What cannot be found out is told as not known. */
static void
look_at(struct capture *c, struct look *look)
{
	struct err err;

	if (ws_new(&c->ws, &err) != 0 || capture_reach(c, &err) != 0) {
		log_info("look", "%s", err.msg);
		/* Busy, but there. */
		look->is_reachable = c->cdp != NULL;
		look_at_process(c, look);
	} else {
		look->is_reachable = true;
		look->facts = c->facts;
		look_at_methods(c, look);
		look_at_workers(c, look);
	}
	look->is_activated = activate_is_ours(c->activation);
	if (c->address[0] != '\0')
		(void)str_copy(look->address, sizeof(look->address),
		    c->address);
}

static const struct capture_kind look_kind = { .run = NULL };

int
capture_look(const struct conf *conf, struct db *db, const char *app,
    struct err *err)
{
	struct capture c;
	struct look look;
	int ret;

	memset(&c, 0, sizeof(c));
	c.conf = conf;
	c.db = db;
	c.kind = &look_kind;
	c.is_looking = true;
	c.deadline_ms = clock_mono_ms() + LOOK_ASK_MS;
	c.app = conf_find_app(conf, app);
	if (c.app == NULL)
		return err_set(err, ERR_NOT_FOUND,
		    "the configuration has no [app %s]", app);
	look_init(&look, c.app->inspector);
	if (uuid_v7(c.job.id, err) != 0)
		return -1;
	look_at(&c, &look);
	exchange_free(&c.exchange);
	ret = look_put(db, app, conf->pod, &look, err);
	/* Nobody waits for it to leave. */
	capture_detach(&c);
	activate_end(&c.activation, c.ws);
	ws_free(&c.ws);
	return ret;
}
