/*
 * Sending what is too large for a worker to wait for: files, and long
 * responses.  Each has a thread of its own for as long as it takes, at most
 * [limits] downloads files at once, and some responses beside them.
 */
#ifndef PODPROF_DOWNLOAD_H
#define PODPROF_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "err.h"
#include "request.h"
#include "service.h"

/*
 * Send a file or response to its end, in the calling thread; job_deliver() if
 * it is to be delivered and all of it was handed over; the audit line of a
 * file.  Takes both.
 */
void download_send(struct service *service, struct request *request_take,
    struct answer *answer_take);

/*
 * The audit line of a file's download; it has the job's id from log_bind().
 *
 * outcome  "complete", "aborted", or "left" to the web server.
 * reason   NULL: none.
 */
void download_audit(const struct request *request, int64_t file_bytes,
    const char *outcome, bool delivered, const char *reason);

struct downloads;

MUST int downloads_new(struct service *service, struct downloads **ret_downloads,
    struct err *err);
/* None may be under way.  NULL is allowed. */
void downloads_free(struct downloads **downloads);

/*
 * download_send() in a new thread.  Takes both, but not on failure.
 * ERR_LIMIT: as many as there may be are under way, or no thread is to be had.
 */
MUST int downloads_start(struct downloads *downloads,
    struct request *request_take, struct answer *answer_take,
    struct err *err);

/* Wait until none is under way, up to deadline_ms (clock_mono_ms()); true if
 * so. */
bool downloads_await(struct downloads *downloads, int64_t deadline_ms);

#endif
