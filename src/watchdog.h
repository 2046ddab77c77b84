/*
 * A process beside podprof-capture that ends it if it hangs while an app may
 * wait for it.
 *
 * An app that writes into a FIFO waits for podprof-capture.  Its death lets the
 * app go on, by EPIPE; but not if the app was just about to open the FIFO, and
 * not if podprof-capture is stopped (SIGSTOP), or does not come to read.  So
 * the watchdog, which is no more than this program started anew as
 * "podprof-watchdog":
 *
 *	podprof-capture ends		sweeps the exchange directory
 *	no beat for WATCHDOG_MS		kills podprof-capture, then sweeps
 *	watchdog_stop()			ends
 *
 * What it cannot help against: a podprof-capture that sleeps uninterruptibly
 * in the kernel, on a hung disk or network file system, dies only when that
 * answers, and an app that writes by itself (method direct) waits so long.
 *
 * It also keeps the session's socket open when podprof-capture is killed, reads
 * what comes and throws it away, and closes it when nothing came for
 * WATCHDOG_QUIET_MS: an app that sends something at the moment when a session
 * ends may crash (see cdp_close()), and one that is killed leaves just then.
 * Before that it says the last words that were left to it, such as end what a
 * worker thread is at (see cdp_parting()).
 */
#ifndef PODPROF_WATCHDOG_H
#define PODPROF_WATCHDOG_H

#include "err.h"

/* podprof-capture may be silent for so long. */
#define WATCHDOG_MS 5000
#define WATCHDOG_QUIET_MS 2000
#define WATCHDOG_QUIET_MAX_MS 600000
/* It beats so often at most; a call in between does nothing. */
#define WATCHDOG_BEAT_MS 500

struct watchdog;

/*
 * Start it for this process.  It watches from when this returns.
 *
 * exchange_dir  what it sweeps: [app] exchange_dir; "": nothing, and as no app
 *               waits for us then, it has patience with us.
 * session_fd    borrowed: the session's socket; -1: none.
 * parting       messages to be sent there once we are gone, a line each, as
 *               ws_frame() takes them; "": none.
 * ERR_INTERNAL  it cannot be started, with the reason
 */
MUST int watchdog_start(const char *exchange_dir, int session_fd,
    const char *parting, struct watchdog **ret_watchdog, struct err *err);

/* We are alive.  Cheap; never blocks.  NULL is allowed. */
void watchdog_beat(struct watchdog *watchdog);

/* It is not needed any more: end it, wait for it, free.  NULL is allowed. */
void watchdog_stop(struct watchdog **watchdog);

/*
 * The watchdog's own main.  A program that calls watchdog_start() has this at
 * the start of its main, as it is what is started again:
 *
 *	status = watchdog_main(argc, argv);
 *	if (status >= 0)
 *		return status;
 *
 * Returns the exit status of a watchdog that is done, or -1 if this process is
 * none.
 */
int watchdog_main(int argc, char *argv[]);

#endif
