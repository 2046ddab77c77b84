/*
 * The directory of one job in exchange_dir, where podprof-capture and the app
 * meet: the addon to load, and FIFOs into podprof-capture.
 *
 *	exchange_dir/			the administrator's: 2770, a group that
 *					podprof and the app share
 *	    podprof-JOB.RANDOM/		0750: only podprof's user can put or
 *					remove anything in it
 *		addon.node		0640
 *		data, status		FIFOs, 0620
 *
 * The process that made it holds a lock (flock(2)) on the directory, as long as
 * it lives.  Whoever gets that lock has found an ownerless one, and removes it:
 * each FIFO is opened for reading, closed, and only then unlinked, so that a
 * writer which waits in open(2) goes on, and gets EPIPE.
 *
 * No name below exchange_dir is trusted: everything is opened relative to the
 * directory's descriptor, no symbolic link is followed, and what is opened is
 * looked at before it is used.
 */
#ifndef PODPROF_EXCHANGE_H
#define PODPROF_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define EXCHANGE_PATH_MAX 4096

/* Names of what can be in it. */
#define EXCHANGE_ADDON "addon.node"
#define EXCHANGE_DATA "data"
#define EXCHANGE_STATUS "status"

struct exchange;

/*
 * Can jobs have their directories in dir?  Proved by making and removing one.
 *   ERR_STORE  it is missing, a symbolic link, no directory, or cannot be
 *              written; the message says what to do (make it 2770 with a group
 *              that podprof and the app share, or set exchange_dir)
 *   ERR_SPACE
 */
MUST int exchange_check(const char *dir, struct err *err);

/*
 * Make the directory of a job.  What another process left in dir is swept
 * first (exchange_sweep(); what cannot be removed is no error here).
 * Errors as exchange_check(); ERR_NOMEM.
 */
MUST int exchange_create(const char *dir, const char *job_id,
    struct exchange **ret_exchange, struct err *err);

/* Its path, as the app has to spell it; and that of something in it. */
const char *exchange_path(const struct exchange *exchange);
void exchange_path_of(const struct exchange *exchange, const char *name,
    char out[EXCHANGE_PATH_MAX]);

/* Copy the file at source into it, 0640.  ERR_INTERNAL (there is no such
 * file), ERR_STORE, ERR_SPACE. */
MUST int exchange_copy(struct exchange *exchange, const char *source,
    const char *name, struct err *err);

/*
 * Make a FIFO (0620; one of the name that is there is dropped first) and open
 * it for reading, without blocking and close-on-exec: so the reader is there
 * before anybody can open it for writing.  *ret_fd is the caller's.
 */
MUST int exchange_open_fifo(struct exchange *exchange, const char *name,
    int *ret_fd, struct err *err);

/* Let go of whoever waits to open it, and unlink it.  None there: nothing. */
void exchange_drop(struct exchange *exchange, const char *name);

/* Remove it with all that is in it, and free; NULL is allowed.  What cannot be
 * removed is left to exchange_sweep(), and logged. */
void exchange_free(struct exchange **exchange);

/*
 * Remove every directory in dir that is made like ours, belongs to our user and
 * has no owner any more; at most EXCHANGE_SWEEP_MAX at a call.  A dir that does
 * not exist is no error.
 *   ERR_STORE  one of them, or dir, cannot be read or removed
 */
#define EXCHANGE_SWEEP_MAX 1024
MUST int exchange_sweep(const char *dir, struct err *err);

#endif
