/*
 * Opens and closes inspectors.  Who needs one is in opening.c; which process is
 * meant, in process.c.
 */
#include "activate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cdp.h"
#include "clock.h"
#include "evaluate.h"
#include "log.h"
#include "opening.h"
#include "port.h"
#include "process.h"
#include "target.h"

#define LOOK_MS 10	/* between two looks at the sockets */
#define TICK_MS 250
/* An inspector that is there answers at once: its thread has nothing else to
 * do. */
#define FIND_MS 2000
#define FIND_CLOSED_MS 500
/* Until the kernel's table says so. */
#define CLOSED_MS 2000
/* The kernel tells Node that our own connection is gone. */
#define ALONE_MS 500

static const char CLOSE[] = "() => { require('inspector').close(); return '' }";

struct activation {
	const char *app;		/* its name; borrowed */
	struct opening_lock *lock;
	bool is_ours;			/* open, by us or those before us */
};

/* Where the process listens. */
struct ports {
	struct port list[PORT_LIST_MAX];
	size_t len;
};

static void
nap(void)
{
	const struct timespec pause = {0, LOOK_MS * 1000000L};

	(void)nanosleep(&pause, NULL);
}

static int64_t
at_most(int64_t value, int64_t max)
{
	return value < max ? value : max;
}

static int
ports_read(int64_t pid, struct ports *ports, struct err *err)
{
	return port_list(pid, ports->list, &ports->len, err);
}

/* The first of them that is meant; NULL if none is. */
static const struct port *
ports_find(const struct ports *ports, const struct port *meant)
{
	size_t i;

	for (i = 0; i < ports->len; i++)
		if (port_is_in(&ports->list[i], meant, 1))
			return &ports->list[i];
	return NULL;
}

/* "127.0.0.1:3000, [::]:80" */
static const char *
ports_format(const struct ports *ports, char out[256])
{
	char text[PORT_TEXT_MAX];
	size_t i, len = 0;

	(void)snprintf(out, 256, "nowhere");
	for (i = 0; i < ports->len && len + PORT_TEXT_MAX < 250; i++) {
		port_format(&ports->list[i], text);
		len += (size_t)snprintf(out + len, 256 - len, "%s%s",
		    i > 0 ? ", " : "", text);
	}
	return out;
}

/* The port's number of HOST:PORT, whatever the host, as conf has checked it. */
static struct port
number_of(const char *inspector)
{
	const char *colon = strrchr(inspector, ':');

	return (struct port){ .ip = in6addr_any,
		.number = (uint16_t)strtoul(colon + 1, NULL, 10) };
}

/* Where Node opens it, unless it is told another host. */
static struct port
default_of(const char *inspector)
{
	struct port port;

	if (!port_parse("127.0.0.1", number_of(inspector).number, &port))
		return number_of(inspector);
	return port;
}

static bool
port_of(const struct ws_address *address, struct port *ret_port)
{
	return port_parse(address->ip, address->port, ret_port);
}

/* How to connect to what a process listens to. */
static void
reach_format(const struct port *port, char out[PORT_TEXT_MAX])
{
	struct port reach = *port;

	if (IN6_IS_ADDR_UNSPECIFIED(&port->ip))
		reach.ip = in6addr_loopback;
	else if (IN6_IS_ADDR_V4MAPPED(&port->ip) &&
	    memcmp(&port->ip.s6_addr[12], "\0\0\0\0", 4) == 0)
		(void)port_parse("127.0.0.1", port->number, &reach);
	port_format(&reach, out);
}

bool
activate_is_ours(const struct activation *activation)
{
	return activation != NULL && activation->is_ours;
}

/* Closing. */

/*
 * Node closes its inspector when the last connection is gone, and stands still
 * until then: so not while there is one, which may be somebody at work, or not
 * notice.
 */
static int
await_alone(const struct port *port, struct err *err)
{
	const int64_t until_ms = clock_mono_ms() + ALONE_MS;
	char text[PORT_TEXT_MAX];

	while (port_connections(port) > 0) {
		if (clock_mono_ms() >= until_ms) {
			port_format(port, text);
			return err_set(err, ERR_CONFLICT, "somebody else is "
			    "connected to the inspector at %s, which podprof "
			    "has opened; it is closed when that is over", text);
		}
		nap();
	}
	return 0;
}

/* There is no reply to be expected: with the inspector goes the session. */
static int
order_close(struct cdp *cdp, int64_t deadline_ms, struct err *err)
{
	static const char *const none[] = { NULL };
	const struct cdp_limit limit = { .deadline_ms = deadline_ms };
	struct buf answer;
	struct err why;
	int rc;

	buf_init(&answer, EVALUATE_BYTES_MAX);
	rc = evaluate(cdp, CLOSE, none, &limit, &answer, &why);
	buf_fini(&answer);
	if (rc == 0 || why.code == ERR_TARGET_EXITED)
		return 0;
	if (why.code == ERR_TARGET_TIMEOUT)
		return err_set(err, why.code, "the app has not closed its "
		    "inspector in time: it may be in one long native call");
	return err_set(err, why.code, "%s", why.msg);
}

/* Until the sockets say so, or the process is gone. */
static int
await_closed(const struct opening *opening, int64_t deadline_ms,
    struct err *err)
{
	struct ports ports;
	struct err why;

	for (;;) {
		if (ports_read(opening->proc.pid, &ports, &why) != 0)
			return why.code == ERR_TARGET_EXITED ? 0 :
			    err_set(err, why.code, "%s", why.msg);
		if (ports_find(&ports, &opening->port) == NULL)
			return 0;
		if (clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_TARGET_REFUSED, "process %"
			    PRId64 " was told to close its inspector, and "
			    "still listens", opening->proc.pid);
		nap();
	}
}

static int
close_at(struct ws *ws, const struct port *port, int64_t deadline_ms,
    struct err *err)
{
	const struct cdp_handler handler = { NULL, NULL, NULL };
	char where[PORT_TEXT_MAX];
	struct target target;
	struct cdp *cdp = NULL;
	int ret = -1;

	reach_format(port, where);
	if (target_find(ws, where, at_most(clock_mono_ms() + FIND_MS,
		deadline_ms), &target, err) == 0 &&
	    target_attach(ws, &target, deadline_ms, &handler, &cdp, err) == 0)
		ret = order_close(cdp, deadline_ms, err);
	cdp_close(&cdp);
	return ret;
}

/* The signal was sent, and no inspector seen. */
static bool
may_open_yet(const struct opening *opening)
{
	const int64_t age_ms = clock_utc_ms() - opening->signaled_ms;

	return !opening_is_known(opening) && age_ms >= 0 &&
	    age_ms <= ACTIVATE_LATE_MS;
}

/*
 * It may have opened at another port than [app] inspector: what the process
 * listens to only since the signal is asked whether it is one.  False if none
 * says so: one that does not answer in time may be one nevertheless.
 */
static bool
find_elsewhere(struct ws *ws, const struct opening *opening,
    const struct ports *now, int64_t deadline_ms, struct port *ret_port)
{
	char where[PORT_TEXT_MAX];
	struct target target;
	struct err why;
	size_t i;

	for (i = 0; i < now->len; i++) {
		if (!opening_may_be_new(opening, &now->list[i]))
			continue;
		reach_format(&now->list[i], where);
		if (target_find(ws, where, at_most(clock_mono_ms() +
			FIND_CLOSED_MS, deadline_ms), &target, &why) != 0)
			continue;
		*ret_port = now->list[i];
		return true;
	}
	return false;
}

/*
 * Where is it?  1, 0 if it is nowhere to be found, or -1.  What was found
 * elsewhere is told of: from then on it is looked for there, for as long as it
 * is open.
 */
static int
locate(struct opening_lock *lock, struct ws *ws, struct opening *opening,
    const struct ports *now, int64_t deadline_ms, struct err *err)
{
	struct port port;

	if (ports_find(now, &opening->port) != NULL)
		return 1;
	if (!find_elsewhere(ws, opening, now, deadline_ms, &port))
		return 0;
	opening->port = port;
	return opening_write(lock, opening, err) != 0 ? -1 : 1;
}

/*
 * Close it, with nobody else using it.  1 if it is closed, 0 if it never opened
 * and may do so yet, or -1.
 */
static int
close_opening(struct opening_lock *lock, struct ws *ws,
    struct opening *opening, int64_t deadline_ms, struct err *err)
{
	const struct port *found;
	struct ports ports;
	struct err why;
	int rc;

	/* With its process it is gone; and one of another host or container is
	 * not for us to see. */
	if (proc_life(&opening->proc) != PROC_ALIVE)
		return 1;
	if (ports_read(opening->proc.pid, &ports, &why) != 0)
		return why.code == ERR_TARGET_EXITED ? 1 :
		    err_set(err, why.code, "%s", why.msg);
	rc = locate(lock, ws, opening, &ports, deadline_ms, err);
	if (rc <= 0)
		return rc < 0 ? -1 : !may_open_yet(opening);
	found = ports_find(&ports, &opening->port);
	if (await_alone(found, err) != 0 ||
	    close_at(ws, found, deadline_ms, err) != 0 ||
	    await_closed(opening, clock_mono_ms() + CLOSED_MS, err) != 0)
		return -1;
	log_info("activate", "the inspector of process %" PRId64 " is closed "
	    "again", opening->proc.pid);
	return 1;
}

/* What was opened, if anything, is closed, and nothing more is told of it.
 * With both locks, the second alone. */
static int
close_left(struct opening_lock *lock, struct ws *ws, int64_t deadline_ms,
    struct err *err)
{
	struct opening opening;
	int rc = opening_read(lock, &opening, err);

	if (rc > 0)
		rc = close_opening(lock, ws, &opening, deadline_ms, err);
	return rc > 0 ? opening_write(lock, NULL, err) : rc;
}

/* With APP.lock: close what was opened, if nobody else uses it. */
static void
give_up(struct activation *a, struct ws *ws)
{
	struct err err;

	if (opening_is_last(a->lock) && close_left(a->lock, ws,
		clock_mono_ms() + ACTIVATE_CLOSE_MS, &err) != 0)
		log_warn("activate", "the inspector of app %s stays open for "
		    "now: %s", a->app, err.msg);
}

void
activate_end(struct activation **activation, struct ws *ws)
{
	struct activation *a;
	struct err err;

	if (activation == NULL || *activation == NULL)
		return;
	a = *activation;
	if (opening_relock(a->lock, ACTIVATE_LOCK_MS, &err) == 0)
		give_up(a, ws);
	else
		log_warn("activate", "the inspector of app %s is not closed "
		    "yet: %s", a->app, err.msg);
	opening_unlock(&a->lock);
	free(a);
	*activation = NULL;
}

int
activate_close(const char *state_dir, const char *app, struct err *err)
{
	struct opening_lock *lock = NULL;
	struct ws *ws = NULL;
	struct err why;
	int ret = -1;

	if (opening_lock(state_dir, app, ACTIVATE_CLOSE_MS, &lock, err) != 0 ||
	    opening_use(lock, err) != 0)
		goto out;
	if (!opening_is_last(lock)) {
		ret = 0;
		goto out;
	}
	if (ws_new(&ws, err) != 0)
		goto out;
	ret = close_left(lock, ws, clock_mono_ms() + ACTIVATE_CLOSE_MS, &why);
	/* Whoever looks after it comes again. */
	if (ret != 0 && why.code == ERR_CONFLICT)
		ret = 0;
	else if (ret != 0)
		(void)err_set(err, why.code, "%s", why.msg);
out:
	ws_free(&ws);
	opening_unlock(&lock);
	return ret;
}

/* Opening. */

static int
check_port(const char *state_dir, const char *app, const struct port *port,
    struct err *err)
{
	char other[STR_NAME_MAX + 1], where[PORT_TEXT_MAX];
	struct opening opening;

	if (!opening_find(state_dir, port, other, &opening) ||
	    strcmp(other, app) == 0)
		return 0;
	port_format(port, where);
	return err_set(err, ERR_TARGET_UNREACHABLE, "podprof has opened the "
	    "inspector at %s for app %s, process %" PRId64 ", and closes it "
	    "after that job: try again then. To capture both at once, start "
	    "each with an --inspect-port of its own", where, other,
	    opening.proc.pid);
}

int
activate_check_other(const char *state_dir, const char *app,
    const struct ws_address *address, struct err *err)
{
	struct port port;

	if (!port_of(address, &port))
		return 0;
	return check_port(state_dir, app, &port, err);
}

/* Another process listens where this one's inspector should. */
static int
refuse_taken(const char *state_dir, const struct conf_app *app,
    const struct process *process, const struct ws_address *address,
    struct err *err)
{
	char where[PORT_TEXT_MAX], holder[32] = "another process";
	struct port port;
	int64_t pid;

	if (activate_check_other(state_dir, app->name, address, err) != 0)
		return -1;
	if (!port_of(address, &port))
		return err_set(err, ERR_INTERNAL, "%s is no address",
		    address->ip);
	port_format(&port, where);
	pid = port_holder(&port);
	if (pid != 0)
		(void)snprintf(holder, sizeof(holder), "process %" PRId64,
		    pid);
	return err_set(err, ERR_TARGET_REFUSED, "at %s listens %s, not the "
	    "app's, which is %" PRId64 " (%s): start the app with an "
	    "--inspect-port of its own and set inspector to that, or set pid "
	    "to the right process", where, holder, process->proc.pid,
	    process->name);
}

/* What listens where its inspector should is none, or does not answer. */
static int
refuse_strange(const struct activate_order *order,
    const struct process *process, const struct ports *ports,
    const struct err *why, struct err *err)
{
	const struct port meant = number_of(order->app->inspector);
	const struct port usual = default_of(order->app->inspector);

	if (check_port(order->state_dir, order->app->name, &usual, err) != 0)
		return -1;
	if (why->code == ERR_TARGET_REFUSED &&
	    ports_find(ports, &meant) == NULL)
		return err_set(err, why->code, "at port %u listens another "
		    "process than the app's, %" PRId64 " (%s), which cannot "
		    "open its inspector there: start the app with an "
		    "--inspect-port of its own and set inspector to that",
		    (unsigned)meant.number, process->proc.pid, process->name);
	(void)err_set(err, why->code, "%s", why->msg);
	return err_wrap(err, "the inspector of process %" PRId64 " (%s)",
	    process->proc.pid, process->name);
}

/* An address is the process's own, if it listens there. */
static bool
is_at(const struct ports *ports, const struct ws_address *address)
{
	struct port port;

	return port_of(address, &port) &&
	    port_is_in(&port, ports->list, ports->len);
}

static int
tick(const struct activate_order *order, int64_t *ticked_ms, struct err *err)
{
	const int64_t now_ms = clock_mono_ms();

	if (order->tick == NULL || now_ms - *ticked_ms < TICK_MS)
		return 0;
	*ticked_ms = now_ms;
	return order->tick(order->ctx, err);
}

/* It is open, but not where [app] inspector says.  0 if it is not; else it is
 * told of where it is, and closed as this is given up. */
static int
refuse_elsewhere(const struct activate_order *order,
    struct opening_lock *lock, struct opening *opening,
    const struct ports *now, struct err *err)
{
	char where[PORT_TEXT_MAX];
	const int rc = locate(lock, order->ws, opening, now, clock_mono_ms() +
	    ACTIVATE_CLOSE_MS, err);

	if (rc <= 0)
		return rc;
	reach_format(&opening->port, where);
	return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64 " opens "
	    "its inspector at %s: set inspector to that address",
	    opening->proc.pid, where);
}

static int
refuse_closed(const struct process *process, const struct ports *now,
    bool is_busy, struct err *err)
{
	char list[256];

	if (is_busy)
		return err_set(err, ERR_TARGET_TIMEOUT, "process %" PRId64
		    " (%s) got SIGUSR1 and has not opened its inspector yet: "
		    "it is busy, perhaps in one long native call; try again",
		    process->proc.pid, process->name);
	return err_set(err, ERR_TARGET_REFUSED, "process %" PRId64 " (%s) got "
	    "SIGUSR1 and opened no inspector: it has a handler of its own for "
	    "that signal (process.on('SIGUSR1')), or one open elsewhere (it "
	    "listens at %s), or waits in execSync. Start it with --inspect, "
	    "or without that handler", process->proc.pid, process->name,
	    ports_format(now, list));
}

/* What a process is waited for with. */
struct wait {
	const struct process *process;
	struct ports now;
	enum process_activity activity;
	int64_t began_ms, ticked_ms;
	int quiet_looks;	/* in a row */
};

/* It will not come to it, or not before the deadline. */
static bool
is_in_vain(const struct activate_order *order, const struct wait *wait)
{
	const int64_t now_ms = clock_mono_ms();
	const int64_t waited_ms = now_ms - wait->began_ms;

	if (now_ms >= order->deadline_ms)
		return true;
	if (wait->activity == PROCESS_BUSY || waited_ms < ACTIVATE_OPEN_MS)
		return false;
	/* Not by the clock: where the machine has no time for the process, it
	 * has none for us. */
	return wait->quiet_looks >= ACTIVATE_QUIET_LOOKS ||
	    waited_ms >= ACTIVATE_STIR_MS;
}

/* 1 if it listens there, 0 if it does not in time. */
static int
await_port(const struct activate_order *order, struct wait *wait,
    const struct port *meant, struct err *err)
{
	for (;;) {
		/* Before its ports: what it has just done is seen there. */
		wait->activity = process_look(wait->process);
		wait->quiet_looks = wait->activity == PROCESS_QUIET ?
		    wait->quiet_looks + 1 : 0;
		if (ports_read(wait->process->proc.pid, &wait->now, err) != 0 ||
		    tick(order, &wait->ticked_ms, err) != 0)
			return -1;
		if (ports_find(&wait->now, meant) != NULL)
			return 1;
		if (is_in_vain(order, wait))
			return 0;
		nap();
	}
}

/* What is to be told of.  old: what is; NULL: nothing. */
static void
begin_opening(const struct activate_order *order,
    const struct process *process, const struct opening *old,
    const struct ports *before, struct opening *opening)
{
	size_t i;

	*opening = (struct opening){
		.proc = process->proc,
		.port = number_of(order->app->inspector),
		.signaled_ms = clock_utc_ms(),
	};
	/* What came since an earlier signal may be what that has opened. */
	if (old != NULL && may_open_yet(old)) {
		memcpy(opening->before, old->before, sizeof(old->before));
		opening->before_len = old->before_len;
		return;
	}
	for (i = 0; i < before->len; i++)
		opening->before[i] = before->list[i].number;
	opening->before_len = before->len;
}

/* Told of before it is done: whoever comes after us, should we be killed, shall
 * know. */
static int
order_open(struct opening_lock *lock, const struct process *process,
    const struct opening *old, const struct opening *opening, struct err *err)
{
	if (opening_write(lock, opening, err) != 0)
		return -1;
	if (process_signal(process, err) == 0)
		return 0;
	/* What was not opened needs no closing; but what an earlier signal may
	 * open yet. */
	(void)!opening_write(lock, old, NULL);
	return -1;
}

/* It listens; it is also what [app] inspector leads to. */
static int
check_open(const struct activate_order *order, const struct process *process,
    const struct ports *now, struct err *err)
{
	struct target target;

	if (target_find(order->ws, order->app->inspector,
		at_most(clock_mono_ms() + FIND_MS, order->deadline_ms), &target,
		err) != 0)
		return -1;
	if (!is_at(now, &target.address))
		return refuse_taken(order->state_dir, order->app, process,
		    &target.address, err);
	log_info("activate", "the inspector of process %" PRId64 " (%s) was "
	    "opened by SIGUSR1", process->proc.pid, process->name);
	return 0;
}

/* old: what is told of this process, which was not found where it should be;
 * NULL: nothing. */
static int
open_closed(const struct activate_order *order, struct opening_lock *lock,
    const struct process *process, struct opening *old,
    const struct ports *before, struct err *err)
{
	const struct port meant = number_of(order->app->inspector);
	struct wait wait = { .process = process };
	struct opening opening;
	char list[256];
	int rc;

	if (strncmp(order->app->inspector, "ws://", 5) == 0)
		return err_set(err, ERR_TARGET_REFUSED, "activate = sigusr1 "
		    "needs inspector = HOST:PORT: the UUID of a session is "
		    "another each time an inspector is opened");
	if (ports_find(before, &meant) != NULL)
		return err_set(err, ERR_TARGET_UNREACHABLE, "process %" PRId64
		    " (%s) listens at %s, which is not where inspector, %s, "
		    "leads to", process->proc.pid, process->name,
		    ports_format(before, list), order->app->inspector);
	if (old != NULL &&
	    refuse_elsewhere(order, lock, old, before, err) != 0)
		return -1;
	begin_opening(order, process, old, before, &opening);
	wait.began_ms = wait.ticked_ms = clock_mono_ms();
	if (order_open(lock, process, old, &opening, err) != 0)
		return -1;
	rc = await_port(order, &wait, &meant, err);
	if (rc > 0) {
		opening.port = *ports_find(&wait.now, &meant);
		return opening_write(lock, &opening, err) != 0 ||
		    check_open(order, process, &wait.now, err) != 0 ? -1 : 0;
	}
	if (rc == 0 && refuse_elsewhere(order, lock, &opening, &wait.now,
		err) == 0)
		(void)refuse_closed(process, &wait.now,
		    wait.activity == PROCESS_BUSY, err);
	return -1;
}

static bool
is_same(const struct proc *a, const struct proc *b)
{
	return a->pid == b->pid && a->start_ticks == b->start_ticks &&
	    strcmp(a->host, b->host) == 0;
}

/* What is told of is another process: the app was started anew, or pid is
 * another.  It is left in order first. */
static int
leave_old(const struct activate_order *order, struct opening_lock *lock,
    const struct opening *old, struct err *err)
{
	if (!opening_is_last(lock)) {
		if (opening_use(lock, err) != 0)
			return -1;
		if (proc_life(&old->proc) != PROC_ALIVE)
			return 0;
		return err_set(err, ERR_TARGET_UNREACHABLE, "podprof has the "
		    "inspector of process %" PRId64 " open for a job of this "
		    "app, and pid is now another: try again after that job",
		    old->proc.pid);
	}
	if (close_left(lock, order->ws, at_most(clock_mono_ms() +
		ACTIVATE_CLOSE_MS, order->deadline_ms), err) != 0)
		return -1;
	opening_leave(lock);
	return opening_use(lock, err);
}

/* No pid is set: what listens there must be of podprof's own user, else it may
 * be anybody's. */
static int
check_owner(const struct ws_address *address, uid_t user, struct err *err)
{
	static const char rule[] = "activate = sigusr1 is for processes of "
	    "podprof's own user";
	char where[PORT_TEXT_MAX];
	struct port port;
	uid_t owner;

	if (!port_of(address, &port))
		return err_set(err, ERR_INTERNAL, "%s is no address",
		    address->ip);
	port_format(&port, where);
	if (!port_user(&port, &owner))
		return err_set(err, ERR_TARGET_REFUSED, "whose process listens "
		    "at %s cannot be seen from here: %s; take activate away",
		    where, rule);
	if (owner == user)
		return 0;
	return err_set(err, ERR_TARGET_REFUSED, "at %s listens a process of "
	    "user %u, and podprof is user %u: %s; set pid, or take activate "
	    "away", where, (unsigned)owner, (unsigned)user, rule);
}

/* Why it cannot be told which process it is, or what it is.  Where pid names
 * one, what listens there must be that: it may be of another user, or a program
 * that is not called Node. */
static int
check_unknown(const struct conf_app *app, uid_t podprof,
    const struct ws_address *address, const struct err *why, struct err *err)
{
	char where[PORT_TEXT_MAX];
	struct port port;
	int64_t pid;
	uid_t user;

	if (app->pid[0] == '\0')
		return check_owner(address, podprof, err);
	if (!process_number(app->pid, &pid, &user) || !port_of(address, &port))
		return err_set(err, why->code, "%s", why->msg);
	if (port_may_be_of(pid, user, &port))
		return 0;
	port_format(&port, where);
	return err_set(err, why->code, "at %s listens another process than the "
	    "app's: %s", where, why->msg);
}

int
activate_check_open(const char *state_dir, const struct conf_app *app,
    uid_t user, const struct ws_address *address, struct err *err)
{
	struct process process;
	struct ports ports;
	struct err why;

	if (process_identify(app->pid, user, &process, &why) != 0)
		return check_unknown(app, user, address, &why, err);
	if (ports_read(process.proc.pid, &ports, err) != 0)
		return -1;
	return is_at(&ports, address) ? 0 :
	    refuse_taken(state_dir, app, &process, address, err);
}

/* Which process it is cannot be told.  If an inspector is open, it is used as
 * with activate = never, or as those before us do. */
static int
use_unknown(const struct activate_order *order, const struct opening *opening,
    const struct target *target, const struct err *why, bool *ret_is_ours,
    struct err *err)
{
	struct port port;

	if (target == NULL)
		return err_set(err, why->code, "%s", why->msg);
	if (check_unknown(order->app, geteuid(), &target->address, why,
		err) != 0)
		return -1;
	log_info("activate", "app %s: its inspector is open, and is used as it "
	    "is: %s", order->app->name, why->msg);
	*ret_is_ours = opening != NULL && port_of(&target->address, &port) &&
	    port_is_in(&port, &opening->port, 1) &&
	    proc_life(&opening->proc) == PROC_ALIVE;
	return 0;
}

static bool
find_once(const struct activate_order *order, struct target *ret_target,
    struct err *err)
{
	return target_find(order->ws, order->app->inspector,
	    at_most(clock_mono_ms() + FIND_MS, order->deadline_ms), ret_target,
	    err) == 0;
}

/* The process is known. */
static int
use_known(const struct activate_order *order, struct opening_lock *lock,
    const struct process *process, struct opening *opening,
    const struct target *target, const struct err *closed, bool *ret_is_ours,
    struct err *err)
{
	struct target again;
	struct ports ports;
	struct err gone;

	if (ports_read(process->proc.pid, &ports, err) != 0)
		return -1;
	if (target != NULL && !is_at(&ports, &target->address)) {
		/* It may have been another app's, and closed since. */
		if (find_once(order, &again, &gone))
			return refuse_taken(order->state_dir, order->app,
			    process, &again.address, err);
		target = NULL;
		closed = &gone;
	}
	if (target != NULL) {
		*ret_is_ours = opening != NULL;
		return 0;
	}
	if (closed->code != ERR_TARGET_UNREACHABLE)
		return refuse_strange(order, process, &ports, closed, err);
	if (!order->may_open)
		return err_set(err, ERR_TARGET_UNREACHABLE, "the inspector of "
		    "process %" PRId64 " (%s) is closed; a job opens it by "
		    "SIGUSR1", process->proc.pid, process->name);
	if (open_closed(order, lock, process, opening, &ports, err) != 0)
		return -1;
	*ret_is_ours = true;
	return 0;
}

/* Had we to wait until what was opened there for another app is closed again?
 * Who asked for that job may know before us that it is over. */
static bool
await_turn(const struct activate_order *order, const struct port *port)
{
	const int64_t until_ms = at_most(clock_mono_ms() + ACTIVATE_TURN_MS,
	    order->deadline_ms);
	bool has_waited = false;

	while (check_port(order->state_dir, order->app->name, port,
		NULL) != 0) {
		if (!order->may_open || clock_mono_ms() >= until_ms)
			return false;
		has_waited = true;
		nap();
	}
	return has_waited;
}

static bool
find_open(const struct activate_order *order, struct target *ret_target,
    struct err *err)
{
	struct port port = default_of(order->app->inspector);
	const bool is_found = find_once(order, ret_target, err);

	/* One that is being closed may answer no more. */
	if (is_found ? !port_of(&ret_target->address, &port) :
	    err->code == ERR_TARGET_UNREACHABLE)
		return is_found;
	return await_turn(order, &port) ? find_once(order, ret_target, err) :
	    is_found;
}

/* With both locks. */
static int
have_open(const struct activate_order *order, struct activation *a,
    struct err *err)
{
	struct opening opening;
	struct process process;
	struct target target;
	struct err unknown, closed;
	bool is_open, is_known;
	int rc = opening_read(a->lock, &opening, err);

	if (rc < 0)
		return -1;
	is_known = process_identify(order->app->pid, geteuid(), &process,
	    &unknown) == 0;
	if (rc > 0 && is_known && !is_same(&opening.proc, &process.proc)) {
		if (leave_old(order, a->lock, &opening, err) != 0)
			return -1;
		rc = 0;
	}
	is_open = find_open(order, &target, &closed);
	if (!is_known)
		return use_unknown(order, rc > 0 ? &opening : NULL,
		    is_open ? &target : NULL, &unknown, &a->is_ours, err);
	return use_known(order, a->lock, &process, rc > 0 ? &opening : NULL,
	    is_open ? &target : NULL, &closed, &a->is_ours, err);
}

/* Others may take long to open or close it. */
static int
lock_ticking(const struct activate_order *order,
    struct opening_lock **ret_lock, struct err *err)
{
	const int64_t until_ms = at_most(clock_mono_ms() + ACTIVATE_LOCK_MS,
	    order->deadline_ms);
	int64_t ticked_ms = clock_mono_ms();
	struct err why;

	while (opening_lock(order->state_dir, order->app->name, TICK_MS,
		ret_lock, &why) != 0) {
		if (why.code != ERR_TARGET_TIMEOUT ||
		    clock_mono_ms() >= until_ms)
			return err_set(err, why.code, "%s", why.msg);
		if (tick(order, &ticked_ms, err) != 0)
			return -1;
	}
	return 0;
}

int
activate_begin(const struct activate_order *order,
    struct activation **ret_activation, struct err *err)
{
	struct activation *a;
	int ret = -1;

	if (order->app->activate == ACTIVATE_NEVER) {
		*ret_activation = NULL;
		return 0;
	}
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return err_set(err, ERR_NOMEM, "no memory for an inspector");
	a->app = order->app->name;
	if (lock_ticking(order, &a->lock, err) != 0 ||
	    opening_use(a->lock, err) != 0)
		goto out;
	ret = have_open(order, a, err);
	if (ret == 0 && a->is_ours) {
		opening_share(a->lock);
		*ret_activation = a;
		return 0;
	}
	if (ret == 0)
		*ret_activation = NULL;
	else	/* it may have been opened */
		give_up(a, order->ws);
out:
	opening_unlock(&a->lock);
	free(a);
	return ret;
}
