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

/* Whether the job has a file to serve.
 *   ERR_CONFLICT   the job is not final
 *   ERR_NOT_FOUND  it failed or was canceled; the message has the reason
 *   ERR_GONE       the file was removed or has expired, and why */
MUST int view_check_file(const struct job *job, struct err *err);

/* How a file is asked for. */
enum view_use {
	VIEW_ARTIFACT,		/* parts and conditions count, nothing is
				 * delivered */
	VIEW_SNAPSHOT,		/* the same, and all of it delivers */
	VIEW_NEWEST,		/* the same, and a part needs If-Range */
	VIEW_FRESH,		/* the answer to its order: all of it, whatever
				 * the conditions, which were for another */
};

/*
 * The job's file in the coding that suits the client: 200, 206 or 304 by the
 * request's conditions, with name and digest; adds view_headers().  The web
 * server is left to send it where [artifacts] sendfile says so and all of it
 * goes out as it is stored, unconditionally, delivering nothing; but for what
 * is stored with zstd behind Apache, which would lose Content-Encoding.
 *
 *   as view_check_file(), and
 *   ERR_NOT_ACCEPTABLE  in no coding that Accept-Encoding allows
 *   ERR_PRECONDITION    If-Match, If-Unmodified-Since
 *   ERR_RANGE           the answer has Content-Range
 *   ERR_GONE            it is not there, or not as long as it was
 *   ERR_STORE           it cannot be opened, or has another end than it had
 */
MUST int view_file(const struct service *service,
    const struct request *request, const struct job *job, enum view_use use,
    struct answer *answer, struct err *err);

#endif
