/*
 * The lease file of an app that a capture freezes, for probes that run in the
 * app's own container and ask nobody: as long as it is young, the app is about
 * to be frozen, is, or has just been.
 *
 *	exchange_dir/podprof-freeze-APP		0644, of podprof's user
 *
 * No name in exchange_dir is trusted: no link is followed, and what has the
 * name already is replaced.
 */
#ifndef PODPROF_LEASE_H
#define PODPROF_LEASE_H

#include <stdint.h>

#include "err.h"

/* An older one says nothing. */
#define LEASE_MS 30000
/* To be renewed so often; a call in between does nothing. */
#define LEASE_RENEW_MS 3000

struct lease;

/* Make it.  ERR_STORE, ERR_SPACE: exchange_dir is missing, a symbolic link, or
 * cannot be written.  ERR_NOMEM. */
MUST int lease_begin(const char *dir, const char *app, struct lease **ret_lease,
    struct err *err);

/* It is young again.  NULL is allowed. */
void lease_renew(struct lease *lease);

/* It is over: the file is believed for grace_ms still, or, where that is 0,
 * removed.  Frees; NULL is allowed. */
void lease_end(struct lease **lease, int64_t grace_ms);

/* Remove that of an app, if it is ours and too old to say anything.  None there
 * is no error, nor is no dir.  ERR_STORE. */
MUST int lease_sweep(const char *dir, const char *app, struct err *err);

#endif
