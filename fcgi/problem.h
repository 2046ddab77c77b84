/*
 * Errors as clients see them: application/problem+json (RFC 9457).
 *
 *	{"type":"urn:podprof:error:not-found","title":"Not found","status":404,
 *	 "detail":"…","instance":"/app/private/papi/jobs/…","pod":"…"}
 */
#ifndef PODPROF_PROBLEM_H
#define PODPROF_PROBLEM_H

#include "answer.h"
#include "conf.h"
#include "err.h"
#include "request.h"

/* The HTTP status of an error: the one table of them. */
int problem_status(enum err_code code);

/*
 * Make the answer a problem.  Headers that it has already stay; what it waited
 * for or was about to send goes.  Adds what the status asks for
 * (WWW-Authenticate, Allow, Retry-After) and, for the three addresses of the
 * module, resultCode and errorMessage.  Without memory it has no body.
 */
void problem_answer(const struct conf *conf, const struct request *request,
    const struct err *err, struct answer *answer);

#endif
