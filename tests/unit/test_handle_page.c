/*
 * The web page: for everybody the same, whoever asks and for which app.
 */
#include "call.h"

#include "asset.h"
#include "speedscope.h"

/* In the place of the real one, so that podprof is as if built with it, or
 * without. */
static const struct asset viewer[] = {
	{ "index.html", "text/html; charset=utf-8", "\"1\"", "<html>", 6 },
	{ "v-1.woff2", "font/woff2", "\"2\"", "a\0b", 3 },
};
static bool has_viewer;

const struct asset *
speedscope_find(const char *name)
{
	size_t i;

	for (i = 0; has_viewer && i < 2; i++)
		if (strcmp(name[0] == '\0' ? "index.html" : name,
		    viewer[i].name) == 0)
			return &viewer[i];
	return NULL;
}

static const struct {
	const char *path, *name, *type;
} files[] = {
	{ PAPI "/", "index.html", "text/html; charset=utf-8" },
	{ PAPI "/page.css", "page.css", "text/css; charset=utf-8" },
	{ PAPI "/page.js", "page.js", "text/javascript; charset=utf-8" },
	{ PAPI "/flame.js", "flame.js", "text/javascript; charset=utf-8" },
	{ PAPI "/profile.js", "profile.js",
	    "text/javascript; charset=utf-8" },
	{ PAPI "/icon.svg", "icon.svg", "image/svg+xml" },
};
#define FILES (sizeof(files) / sizeof(files[0]))

static void
ask(const char *method, const char *path, const char *more)
{
	begin_call(method, path, NULL, NULL, more, NULL);
}

static void
expect_asset(const struct asset *asset)
{
	char line[128];

	expect_status(200);
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_string_equal(call.answer.type, asset->type);
	assert_string_equal(call.answer.cache_control, "no-cache");
	assert_int_equal(call.answer.body.len, asset->len);
	assert_memory_equal(call.answer.body.data, asset->data, asset->len);
	(void)snprintf(line, sizeof(line), "ETag: %s\r\n", asset->etag);
	expect_header(line);
}

static void
expect_fences(void)
{
	expect_header("Content-Security-Policy: default-src 'none'; "
	    "script-src 'self'; style-src 'self'; connect-src 'self'; "
	    "img-src 'self'; base-uri 'none'; form-action 'none'; "
	    "frame-ancestors 'none'\r\n");
	expect_header("Referrer-Policy: no-referrer\r\n");
	expect_header("Cross-Origin-Opener-Policy: same-origin\r\n");
}

/* Small enough never to wait for a client. */
static void
test_files(void **state)
{
	const struct asset *asset;
	size_t i;

	(void)state;
	for (i = 0; i < FILES; i++) {
		asset = asset_find(files[i].name);
		assert_non_null(asset);
		assert_string_equal(asset->type, files[i].type);
		assert_true(asset->len > 0);
		assert_true(asset->len <= ANSWER_SMALL_BYTES);
		ask("GET", files[i].path, NULL);
		expect_asset(asset);
		expect_fences();
		expect_no_header("X-Pod-Name");
		ask("HEAD", files[i].path, NULL);
		expect_asset(asset);
	}
	assert_null(asset_find("podprof.conf"));
}

/* An ETag is 64 digits in quotes, and no two files have the same. */
static void
test_etags(void **state)
{
	const struct asset *asset, *other;
	size_t i, k;

	(void)state;
	for (i = 0; i < FILES; i++) {
		asset = asset_find(files[i].name);
		assert_int_equal(strlen(asset->etag), 66);
		assert_int_equal(asset->etag[0], '"');
		assert_int_equal(strspn(asset->etag + 1, "0123456789abcdef"),
		    64);
		assert_int_equal(asset->etag[65], '"');
		for (k = 0; k < i; k++) {
			other = asset_find(files[k].name);
			assert_string_not_equal(asset->etag, other->etag);
		}
	}
}

/* Bytes are served as they were written: UTF-8, and blanks at the begin of a
 * line. */
static void
test_bytes(void **state)
{
	const struct asset *page = asset_find("index.html");

	(void)state;
	assert_true(str_is_utf8(page->data, page->len));
	assert_int_equal(strncmp(page->data, "<!doctype html>", 15), 0);
	assert_non_null(memmem(page->data, page->len, "\n\t<", 3));
	assert_int_equal(page->data[page->len - 1], '\n');
}

static void
test_not_modified(void **state)
{
	const struct asset *asset = asset_find("page.js");
	char line[128];

	(void)state;
	(void)snprintf(line, sizeof(line), "HTTP_IF_NONE_MATCH=\"x\", %s",
	    asset->etag);
	ask("GET", PAPI "/page.js", line);
	expect_status(304);
	assert_null(call.answer.type);
	assert_int_equal(call.answer.body.len, 0);
	assert_string_equal(call.answer.cache_control, "no-cache");
	expect_fences();
	(void)snprintf(line, sizeof(line), "HTTP_IF_NONE_MATCH=W/%s",
	    asset->etag);
	ask("HEAD", PAPI "/page.js", line);
	expect_status(304);
	ask("GET", PAPI "/page.js", "HTTP_IF_NONE_MATCH=\"other\"");
	expect_asset(asset);
	ask("GET", PAPI "/page.js", "HTTP_RANGE=bytes=0-3");
	expect_asset(asset);
}

/* Nobody learns without a token which apps there are. */
static void
test_unknown_app(void **state)
{
	(void)state;
	ask("GET", "/nobody/private/papi/", NULL);
	expect_asset(asset_find("index.html"));
	ask("GET", "/nobody/private/papi", NULL);
	expect_status(308);
	ask("GET", "/nobody/private/papi/target", NULL);
	expect_problem(401, "unauthenticated", "no token");
	ask("GET", "/no body/private/papi/", NULL);
	expect_problem(401, "unauthenticated", "no token");
}

/* Even a wrong token is not looked at. */
static void
test_no_token(void **state)
{
	(void)state;
	ask("GET", PAPI "/", "HTTP_AUTHORIZATION=Bearer podprof_wrong");
	expect_status(200);
	assert_int_equal(unlink(site.tokens), 0);
	ask("GET", PAPI "/", NULL);
	expect_status(200);
}

static void
test_slash(void **state)
{
	(void)state;
	ask("GET", PAPI, NULL);
	expect_status(308);
	expect_header("Location: papi/\r\n");
	assert_int_equal(call.answer.body.len, 0);
	begin_call("HEAD", "/cgi-bin/podprof.fcgi", NULL, NULL,
	    "PATH_INFO=" PAPI, NULL);
	expect_status(308);
	expect_header("Location: papi/\r\n");
}

static void
test_methods(void **state)
{
	(void)state;
	ask("POST", PAPI "/", NULL);
	expect_problem(405, "method", "POST");
	expect_header("Allow: GET, HEAD\r\n");
	assert_null(call.answer.cache_control);
	expect_no_header("ETag");
	ask("DELETE", PAPI, NULL);
	expect_problem(405, "method", "DELETE");
}

static void
test_elsewhere(void **state)
{
	static const char *const paths[] = { PAPI "/index.html",
		PAPI "//", PAPI "/page.js/", PAPI "/../page.js",
		PAPI "/openapi.json", "/page.js" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		get(paths[i], NULL);
		expect_problem(404, "not-found", "no such address");
	}
}

#define VIEWER PAPI "/speedscope/"
static void
test_speedscope(void **state)
{
	static const char *const none[] = { VIEWER "x.js",
		VIEWER "../page.js", VIEWER "/index.html", VIEWER "index.html/",
		PAPI "/speedscope" };
	size_t i;

	(void)state;
	has_viewer = true;
	ask("GET", VIEWER, NULL);
	expect_asset(&viewer[0]);
	expect_header("Content-Security-Policy: default-src 'none'; "
	    "script-src 'self' 'wasm-unsafe-eval'; "
	    "style-src 'self' 'unsafe-inline'; font-src 'self'; "
	    "connect-src 'self'; img-src 'self'; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'\r\n");
	expect_header("Referrer-Policy: no-referrer\r\n");
	expect_no_header("Link");
	ask("HEAD", "/nobody/private/papi/speedscope/v-1.woff2", NULL);
	expect_asset(&viewer[1]);
	ask("GET", VIEWER "v-1.woff2", "HTTP_IF_NONE_MATCH=\"2\"");
	expect_status(304);
	ask("GET", PAPI "/", NULL);
	expect_header("Link: <speedscope/>; rel=related\r\n");
	ask("POST", VIEWER, NULL);
	expect_problem(405, "method", "POST");
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		get(none[i], NULL);
		expect_status(404);
	}
	get(VIEWER "x.js", NULL);
	expect_problem(404, "not-found", "speedscope has no file");
}

static void
test_no_speedscope(void **state)
{
	(void)state;
	has_viewer = false;
	ask("GET", VIEWER, NULL);
	expect_problem(404, "not-found", "--with-speedscope");
	ask("GET", VIEWER "index.html", NULL);
	expect_problem(404, "not-found", "--with-speedscope");
	ask("GET", PAPI "/", NULL);
	expect_status(200);
	expect_no_header("Link");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(test_files),
		TEST(test_etags),
		TEST(test_bytes),
		TEST(test_not_modified),
		TEST(test_unknown_app),
		TEST(test_no_token),
		TEST(test_slash),
		TEST(test_methods),
		TEST(test_elsewhere),
		TEST(test_speedscope),
		TEST(test_no_speedscope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
