/*
 * Inspectors that podprof has opened, and who uses them: below
 * STATE_DIR/inspectors, 0700,
 *
 *	APP.lock	locked (flock(2)) by who opens or closes the inspector,
 *			until that is done
 *	APP.opened	locked, shared, by each process that uses it; its
 *			content tells what was opened, empty: nothing
 *
 * The kernel drops the locks of who dies.  So content that nobody uses is an
 * inspector that a process left open which was killed: see opening_left().
 *
 * Whoever wants APP.opened has APP.lock first, so that of one who gives it up
 * and one who asks for it, either finds the other.
 */
#ifndef PODPROF_OPENING_H
#define PODPROF_OPENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "proc.h"
#include "port.h"
#include "str.h"

/* What was opened. */
struct opening {
	struct proc proc;	/* whose inspector */
	struct port port;	/* where; of all addresses (in6addr_any): not
				 * known yet, but the number that it should
				 * have, and that it is of loopback */
	int64_t signaled_ms;	/* clock_utc_ms() */
	/* The numbers of the ports where the process listened before that: none
	 * of them is what was opened. */
	uint16_t before[PORT_LIST_MAX];
	size_t before_len;
};

struct opening_lock;

/*
 * Lock APP.lock, waiting for wait_ms at most.
 *   ERR_TARGET_TIMEOUT  another process opens or closes it still
 *   ERR_STORE, ERR_SPACE, ERR_NOMEM
 */
MUST int opening_lock(const char *state_dir, const char *app, int64_t wait_ms,
    struct opening_lock **ret_lock, struct err *err);

/* Begin to use it: lock APP.opened until opening_unlock(). */
MUST int opening_use(struct opening_lock *lock, struct err *err);

/* What was opened: 1, or 0 if nothing is, or what is there makes no sense; -1:
 * ERR_STORE. */
MUST int opening_read(const struct opening_lock *lock,
    struct opening *ret_opening, struct err *err);

/* Tell of it, before it is done; opening NULL: it is closed.  ERR_STORE,
 * ERR_SPACE. */
MUST int opening_write(struct opening_lock *lock,
    const struct opening *opening, struct err *err);

/* Let others open and close, but not close what we use. */
void opening_share(struct opening_lock *lock);

/* Have APP.lock again.  Errors as opening_lock(). */
MUST int opening_relock(struct opening_lock *lock, int64_t wait_ms,
    struct err *err);

/* Does nobody else use it?  With APP.lock.  True: then it is ours alone; false:
 * we use it no longer either. */
bool opening_is_last(struct opening_lock *lock);

/* Use it no longer, and keep APP.lock. */
void opening_leave(struct opening_lock *lock);

/* Give everything up; NULL is allowed. */
void opening_unlock(struct opening_lock **lock);

/*
 * An app whose inspector was left open: that of the first file from *at on
 * with content that nobody uses, and nobody is about to close.  *at counts from
 * 0, and is moved on.
 * Returns 1; 0 if there is none (any more); -1: ERR_STORE.
 */
MUST int opening_left(const char *state_dir, size_t *at,
    char ret_app[STR_NAME_MAX + 1], struct err *err);

/* Is it known where it opened? */
bool opening_is_known(const struct opening *opening);

/* While that is not known: may it be there, where its process listens now?  It
 * may have another number than it should. */
bool opening_may_be_new(const struct opening *opening,
    const struct port *port);

/* Did podprof open that inspector, for whatever app?  *ret_app is which.  False
 * if not, or if its process is gone. */
bool opening_find(const char *state_dir, const struct port *port,
    char ret_app[STR_NAME_MAX + 1], struct opening *ret_opening);

#endif
