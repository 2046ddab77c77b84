/*
 * Before the app is frozen: those who probe it are told, and its load balancer
 * has time to let go of it.
 */
#include "capture_parts.h"

#include <inttypes.h>

#include "clock.h"
#include "log.h"

/* Nobody can be relied on to have heard of it who does not ask podprof. */
static int64_t
drain_ms(const struct capture *c)
{
	return c->app->health_url[0] != '\0' ? c->app->drain_ms : 0;
}

/* For probes that do not ask podprof; nobody else needs it. */
static void
begin_lease(struct capture *c)
{
	struct err fault;

	if (lease_begin(c->app->exchange_dir, c->app->name, &c->lease,
		&fault) != 0)
		log_info("capture", "no lease file: %s", fault.msg);
}

/* Whoever probes it through podprof would have it restarted. */
static int
refuse(const struct capture *c, const struct err *fault, struct err *err)
{
	if (fault->code == ERR_CONFLICT || c->app->health_url[0] != '\0')
		return err_set(err, fault->code, "the app cannot be shielded "
		    "while it is frozen, and is left alone: %s", fault->msg);
	log_warn("capture", "the app is not shielded: %s", fault->msg);
	return 0;
}

static int
drain(struct capture *c, int64_t ms, struct err *err)
{
	log_info("capture", "not ready for %" PRId64 " ms before it is frozen",
	    ms);
	if (cdp_wait(c->cdp, capture_deadline_in(c, ms), err) != 0)
		return -1;
	if (cdp_is_exiting(c->cdp))
		return err_set(err, ERR_TARGET_EXITED, "the app is exiting");
	if (clock_mono_ms() >= c->deadline_ms)
		return err_set(err, ERR_TARGET_TIMEOUT, "[limits] job_timeout "
		    "was over before [app %s] drain", c->app->name);
	return 0;
}

int
capture_shield(struct capture *c, bool *ret_has_drained, struct err *err)
{
	const int64_t ms = drain_ms(c);
	struct err fault;

	*ret_has_drained = false;
	if (c->shield != CAPTURE_OPEN)
		return 0;
	if (job_shield(c->db, c->job.id, ms, &fault) != 0)
		return refuse(c, &fault, err);
	c->shield = CAPTURE_DRAINING;
	begin_lease(c);
	if (ms > 0) {
		if (drain(c, ms, err) != 0)
			return -1;
		if (job_set_drained(c->db, c->job.id, &fault) != 0)
			return refuse(c, &fault, err);
	}
	*ret_has_drained = ms > 0;
	return 0;
}

void
capture_unshield(struct capture *c, bool is_alive)
{
	const int64_t grace_ms = is_alive && c->shield == CAPTURE_SHIELDED ?
	    CAPTURE_GRACE_MS : 0;
	struct err fault;

	lease_end(&c->lease, grace_ms);
	if (c->shield == CAPTURE_OPEN)
		return;
	c->shield = CAPTURE_OPEN;
	if (job_unshield(c->db, c->job.id, grace_ms, &fault) != 0)
		log_warn("capture", "the end of the shield is not recorded: "
		    "%s", fault.msg);
}
