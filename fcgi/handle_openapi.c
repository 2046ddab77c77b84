/*
 * GET /openapi.json: the document as it was built in.
 */
#include "handle.h"

#include <assert.h>

#include "asset.h"

int
handle_openapi(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct asset *asset = asset_find("openapi.json");

	(void)seat;
	(void)request;
	assert(asset != NULL);
	answer->status = 200;
	answer->type = asset->type;
	return buf_add(&answer->body, asset->data, asset->len, err);
}
