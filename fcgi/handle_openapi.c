/*
 * GET /openapi.json: the document as it was built in.
 */
#include "handle.h"

#include "openapi.h"

int
handle_openapi(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	(void)seat;
	(void)request;
	answer->status = 200;
	answer->type = "application/json";
	return buf_add(&answer->body, openapi_document, openapi_document_len,
	    err);
}
