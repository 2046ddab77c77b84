/*
 * {base}/: the web page and what belongs to it, as they were built in.  They
 * hold nothing of an app and ask for no token; the page's script asks for what
 * it shows, as any client does.
 */
#include "handle.h"

#include <assert.h>

#include "asset.h"
#include "range.h"
#include "speedscope.h"

/* What may run in the page and where it may speak to: this host alone. */
#define FENCED "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; " FENCED;
/* speedscope makes its styles as it runs, brings a font, and compiles a reader
 * of another format. */
static const char speedscope_policy[] =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "connect-src 'self'; img-src 'self'; " FENCED;

/* Each is nobody's frame, and nobody's window gets hold of it. */
static const struct {
	const char *name, *value;
} fences[] = {
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Permissions-Policy", "camera=(), geolocation=(), microphone=()" },
};

/* Nothing but If-None-Match: who comes back has all of it, or nothing. */
static bool
is_unchanged(const struct request *request, const struct asset *asset)
{
	const struct range_request wanted = {
		.if_none_match = gate_env(request->gate, "HTTP_IF_NONE_MATCH"),
	};
	const struct range_target target = {
		.etag = asset->etag,
		.size_bytes = (int64_t)asset->len,
	};
	int64_t first, bytes;

	return range_judge(&wanted, &target, &first, &bytes) ==
	    RANGE_NOT_MODIFIED;
}

static int
give(const struct request *request, const struct asset *asset,
    const char *policy, struct answer *answer, struct err *err)
{
	size_t i;

	/* Kept, but asked for each time: another version may be here. */
	answer->cache_control = "no-cache";
	answer_header(answer, "ETag", "%s", asset->etag);
	answer_header(answer, "Content-Security-Policy", "%s", policy);
	for (i = 0; i < sizeof(fences) / sizeof(fences[0]); i++)
		answer_header(answer, fences[i].name, "%s", fences[i].value);
	if (is_unchanged(request, asset)) {
		answer->status = 304;
		return 0;
	}
	answer->status = 200;
	answer->type = asset->type;
	return buf_add(&answer->body, asset->data, asset->len, err);
}

int
handle_page(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct asset *asset = asset_find(request->route->asset);

	(void)seat;
	/* fcgi/local.mk lists what the routes name. */
	assert(asset != NULL);
	/* So that the page need not ask for what may not be there. */
	if (speedscope_find("") != NULL)
		answer_header(answer, "Link", "<speedscope/>; rel=related");
	return give(request, asset, page_policy, answer, err);
}

int
handle_speedscope(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct asset *asset = speedscope_find(request->file);

	(void)seat;
	if (asset != NULL)
		return give(request, asset, speedscope_policy, answer, err);
	if (speedscope_find("") != NULL)
		return err_set(err, ERR_NOT_FOUND, "speedscope has no file of "
		    "that name: its page is /APP/private/papi/speedscope/");
	return err_set(err, ERR_NOT_FOUND, "this podprof was built without "
	    "speedscope (configure --with-speedscope): the web page, "
	    "/APP/private/papi/, shows profiles, too");
}

/*
 * Relative to the address that was asked for, so that it is right whatever a
 * proxy has put in front of it.
 */
int
handle_page_slash(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	(void)seat;
	(void)request;
	(void)err;
	answer->status = 308;
	answer_header(answer, "Location", "papi/");
	return 0;
}
