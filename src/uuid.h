/*
 * UUID version 7 (RFC 9562, 5.7): 48 bits of UTC milliseconds, then random
 * bits, so that ids sort by the time they were made.
 */
#ifndef PODPROF_UUID_H
#define PODPROF_UUID_H

#include <stdbool.h>

#include "err.h"

#define UUID_MAX 37	/* 36 characters and the NUL */

/*
 * Make one.  Ids made by one process never go backwards: within one
 * millisecond rand_a counts up (RFC 9562, 6.2, method 1).
 * ERR_INTERNAL if the kernel gives no random bytes.
 */
MUST int uuid_v7(char out[UUID_MAX], struct err *err);

/* True for the canonical form: 8-4-4-4-12 lower-case hex digits. */
bool uuid_is_valid(const char *s);

#endif
