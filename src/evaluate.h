/*
 * JavaScript in the app, with strings in and out: CDP Runtime.evaluate with
 * includeCommandLineAPI, which has `require` in every kind of module.
 *
 * function is the text of a JavaScript function, args are its arguments, all
 * strings, NULL after the last; it has to return a string, at once (no
 * promise).  It runs on the app's main thread.
 */
#ifndef PODPROF_EVALUATE_H
#define PODPROF_EVALUATE_H

#include <stddef.h>

#include "buf.h"
#include "cdp.h"
#include "err.h"

#define EVALUATE_BYTES_MAX (64 << 10)

/*
 * Call it, and append what it returns to out.
 *
 *   ERR_TARGET_REFUSED  it threw, with what it threw; or what came back is no
 *                       string
 *   or as cdp_call()
 */
MUST int evaluate(struct cdp *cdp, const char *function,
    const char *const args[], const struct cdp_limit *limit, struct buf *out,
    struct err *err);

/*
 * The same in two steps, for a function that takes its time: between them
 * cdp_pump(), until cdp_has_reply().
 */
MUST int evaluate_begin(struct cdp *cdp, const char *function,
    const char *const args[], struct err *err);
MUST int evaluate_end(struct cdp *cdp, struct buf *out, struct err *err);

#endif
