/*
 * A file that only takes up room, STATE_DIR/ballast, so that something can be
 * given up when the disk is full: SQLite needs room even to delete a row.
 */
#ifndef PODPROF_BALLAST_H
#define PODPROF_BALLAST_H

#include <stdbool.h>

#include "err.h"

#define BALLAST_BYTES (1 << 20)

/*
 * Make it where it is missing and the disk has room for several.  Without that
 * room nothing is made, and that is no error.
 *   ERR_STORE
 */
MUST int ballast_make(const char *state_dir, struct err *err);

/* Give it up: true if there was one. */
bool ballast_drop(const char *state_dir);

#endif
