/*
 * What processes of plain CGI share: the last answer of an app's health_url, so
 * that it is asked once a second by all of them together.  STATE_DIR/health-APP
 * holds it, and is locked (flock(2)) by who asks.  Where pods have a state_dir
 * in common, each has an app of that name: the answer is that of a pod.
 */
#ifndef PODPROF_SHARE_H
#define PODPROF_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct share;

/*
 * Lock it; waits for another who asks until deadline_ms (clock_mono_ms()).
 * pod must outlive it.
 *   ERR_TARGET_TIMEOUT  he asks still
 *   ERR_STORE, ERR_SPACE, ERR_NOMEM
 */
MUST int share_open(const char *state_dir, const char *app, const char *pod,
    int64_t deadline_ms, struct share **ret_share, struct err *err);

/* The answer, if there is one that is younger than fresh_ms; *ret_why is
 * ERR_UNHEALTHY, unless it is up.  What is not of our making is no answer. */
bool share_read(const struct share *share, int64_t fresh_ms, int *ret_up,
    struct err *ret_why);

/* Leave one for others; why counts unless it is up.  Where that fails, the
 * others ask for themselves. */
void share_write(const struct share *share, int up, const struct err *why);

/* NULL is allowed. */
void share_close(struct share **share);

#endif
