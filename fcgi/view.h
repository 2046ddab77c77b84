/*
 * What answers about jobs have in common: their headers, the job as JSON, its
 * file.
 */
#ifndef PODPROF_VIEW_H
#define PODPROF_VIEW_H

#include "answer.h"
#include "job.h"
#include "request.h"
#include "service.h"

/* Add X-Job-Id, and Retry-After while the job is not final: when its end can
 * be expected, or is worth a look. */
void view_headers(const struct job *job, struct answer *answer);

/* Add a header whose value is the job's address: "Location". */
void view_link(const struct request *request, const char *job_id,
    const char *header, struct answer *answer);

/* The job as a JSON body; adds view_headers().  ERR_NOMEM, ERR_TOO_LARGE. */
MUST int view_job(const struct request *request, const struct job *job,
    int status, struct answer *answer, struct err *err);

/*
 * The job's file: 200, with size, digest and name; adds view_headers().
 * Delivers nothing, unless the caller sets that.
 *
 *   ERR_CONFLICT   the job is not final
 *   ERR_NOT_FOUND  it failed or was canceled; the message has the reason
 *   ERR_GONE       the file was removed
 *   ERR_STORE      it cannot be opened, or is not as long as it was
 */
MUST int view_file(const struct service *service, const struct job *job,
    struct answer *answer, struct err *err);

#endif
