/*
 * Inspectors on demand: [app NAME] activate = sigusr1.
 *
 * Node opens its inspector when it gets SIGUSR1, also while its loop is busy,
 * and closes it when JavaScript in it says so.  It is open while a job needs
 * it: the first opens it, others join (opening.h), the last closes it.  One
 * that was open before is used as it is, and never closed.
 *
 * Whose inspector it is, is seen from the sockets of the process (port.h),
 * before a session is opened: another process that has the port is asked for no
 * more than its list of sessions, and left alone.  So is one of another user
 * where it cannot be told which process is meant.
 */
#ifndef PODPROF_ACTIVATE_H
#define PODPROF_ACTIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf.h"
#include "err.h"
#include "ws.h"

/* Node takes 10 to 50 ms.  After so long, a process that was seen to do nothing
 * so many times, 10 ms apart, will not do it; */
#define ACTIVATE_OPEN_MS 400
#define ACTIVATE_QUIET_LOOKS 20
/* after so long, one whose main thread is not busy; a busy one is waited for
 * until the deadline. */
#define ACTIVATE_STIR_MS 5000
/* Others that open or close it are waited for. */
#define ACTIVATE_LOCK_MS 60000
/* What closing may take: the app may be in one long native call.  After that
 * it is tried again by whoever finds it. */
#define ACTIVATE_CLOSE_MS 10000
/* What podprof has opened for another app, at the same address, is closed when
 * its job is over: so long that is waited for. */
#define ACTIVATE_TURN_MS 500
/* An inspector that did not open may do so yet, so long after the signal: then
 * it is closed, whatever its port. */
#define ACTIVATE_LATE_MS 60000

struct activation;

struct activate_order {
	const char *state_dir;
	const struct conf_app *app;
	struct ws *ws;			/* borrowed, without a connection */
	int64_t deadline_ms;		/* clock_mono_ms() */
	bool may_open;			/* else one that podprof has opened is
					 * only joined */
	/* Called some times a second; -1 ends the wait.  NULL is allowed. */
	int (*tick)(void *ctx, struct err *err);
	void *ctx;
};

/*
 * Have the inspector open where [app NAME] inspector says, until
 * activate_end().  *ret_activation is NULL if podprof has nothing to do with
 * it: activate = never, or it was open before.
 *
 * Errors of process.h, port.h, opening.h and target_find(), and
 *   ERR_TARGET_UNREACHABLE  it is closed, and may not be opened; or the port is
 *                           that of another app that podprof has opened
 *   ERR_TARGET_REFUSED      it did not open; or the port is another process's;
 *                           or it opens elsewhere
 *   ERR_TARGET_TIMEOUT      it did not open, and the app is busy
 *   or what tick returned
 */
MUST int activate_begin(const struct activate_order *order,
    struct activation **ret_activation, struct err *err);

/*
 * Would activate_begin() use the inspector that is open at this address?  Looks
 * at processes and sockets alone, and waits for nobody.
 *
 * user  whom podprof runs as
 *
 * 0, or -1: errors as activate_begin().
 */
MUST int activate_check_open(const char *state_dir,
    const struct conf_app *app, uid_t user, const struct ws_address *address,
    struct err *err);

/* Is it open because podprof opened it?  NULL: no. */
bool activate_is_ours(const struct activation *activation);

/*
 * The job is done with it, and its session is closed: close the inspector if
 * nobody needs it.  What cannot be closed is logged, and tried again by
 * activate_close().  NULL is allowed.
 */
void activate_end(struct activation **activation, struct ws *ws);

/*
 * Is the inspector at this address one that podprof has opened, for another
 * app?  0 if not; -1: ERR_TARGET_UNREACHABLE, with what to do.
 */
MUST int activate_check_other(const char *state_dir, const char *app,
    const struct ws_address *address, struct err *err);

/*
 * Close an inspector that was left open by a process that is no more.  Nothing
 * to be closed is no error, nor is somebody else who works there: what is still
 * open is to be tried again.  Errors of opening.h, target.h and cdp.h.
 */
MUST int activate_close(const char *state_dir, const char *app,
    struct err *err);

#endif
