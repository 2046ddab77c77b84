/*
 * state_dir's owner: who everything below it belongs to, and so the only one
 * who may work on it.  What root made there, he could not change any more.
 */
#ifndef PODPROF_OWNER_H
#define PODPROF_OWNER_H

#include <sys/types.h>

#include "err.h"

#define OWNER_NAME_MAX 64

struct owner {
	uid_t uid;
	gid_t gid;	/* his own; of a user without a name: state_dir's */
	char name[OWNER_NAME_MAX];	/* "uid 998" of one without */
};

/*
 * Who is it, and may we act for him: are we him, or root?
 *   ERR_NOT_FOUND  there is no such directory
 *   ERR_FORBIDDEN  neither: the message says whom to be
 *   ERR_STORE      it cannot be looked at, or is no directory
 */
MUST int owner_find(const char *state_dir, struct owner *ret_owner,
    struct err *err);

/*
 * Become him, for good: user, group, and the groups that he is in.  Nothing
 * where we are him already.  In a process with one thread.
 *   ERR_INTERNAL  it cannot be done, and the process may be somebody else in
 *                 part: end it
 */
MUST int owner_become(const struct owner *owner, struct err *err);

#endif
