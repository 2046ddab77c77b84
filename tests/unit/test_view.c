/*
 * A job's file as an answer: which bytes of which coding, under which head, and
 * whether they deliver the job.
 */
#include "call.h"

#include "clock.h"
#include "file.h"
#include "view.h"

#define BYTES 150000
#define USES 4

static const enum view_use uses[USES] = {
	VIEW_ARTIFACT, VIEW_SNAPSHOT, VIEW_NEWEST, VIEW_FRESH };

/* The file of one test, and its two forms: as captured, as stored. */
static struct {
	struct job job;
	char path[400];
	struct buf plain, stored;
	/* Their entity tags. */
	char plain_tag[DIGEST_HEX_MAX + 2], stored_tag[DIGEST_HEX_MAX + 2];
} sample;

/* The entity tag of a form, by its bytes. */
static void
make_tag(const struct buf *form, char out[DIGEST_HEX_MAX + 2])
{
	char hex[DIGEST_HEX_MAX];
	struct err err;

	assert_ok(digest_hex(form->data, form->len, hex, &err), err);
	(void)snprintf(out, DIGEST_HEX_MAX + 2, "\"%s\"", hex);
}

/* Whatever was asked for; [artifacts] says how it is stored. */
static void
make_sample(size_t bytes)
{
	struct err err;
	size_t i;

	buf_fini(&sample.plain);
	buf_fini(&sample.stored);
	sample.job = site_job(&site, "app", take_bytes(bytes));
	site_path(&site, sample.job.id, sample.path);
	buf_init(&sample.plain, bytes + 1);
	buf_init(&sample.stored, bytes + (1 << 16));
	for (i = 0; i < bytes; i++)
		assert_ok(buf_addc(&sample.plain, site_byte(i, bytes), &err),
		    err);
	assert_ok(file_read(sample.path, &sample.stored, &err), err);
	make_tag(&sample.plain, sample.plain_tag);
	make_tag(&sample.stored, sample.stored_tag);
}

static const struct buf *
form_of(enum artifact_coding coding)
{
	return coding == ARTIFACT_IDENTITY ? &sample.plain : &sample.stored;
}

static int
tear_down_view(void **state)
{
	buf_fini(&sample.plain);
	buf_fini(&sample.stored);
	return tear_down(state);
}

static const char *
tag_of(enum artifact_coding coding)
{
	return coding == ARTIFACT_IDENTITY ? sample.plain_tag :
	    sample.stored_tag;
}

/*
 * A variable of a request: in text
 *	$E  the tag of the form that is asked for	$D  Last-Modified
 *	$O  that of the other form, or any		$B  a day before it
 */
static const char *
expand(const char *text, enum artifact_coding coding, char out[600])
{
	const enum artifact_coding other = coding == ARTIFACT_ZSTD
	    ? ARTIFACT_IDENTITY : ARTIFACT_ZSTD;
	char date[CLOCK_HTTP_MAX];
	const char *word = "\"other\"";
	const char *mark = strchr(text, '$');

	if (mark == NULL)
		return text;
	if (mark[1] == 'E') {
		word = tag_of(coding);
	} else if (mark[1] == 'O' &&
	    sample.job.sum.coding == ARTIFACT_ZSTD) {
		word = tag_of(other);
	} else if (mark[1] != 'O') {
		clock_format_http(sample.job.finished_at_ms -
		    (mark[1] == 'B' ? 86400000 : 0), date);
		word = date;
	}
	(void)snprintf(out, 600, "%.*s%s%s", (int)(mark - text), text, word,
	    mark + 2);
	return out;
}

/* Ask for the sample's file; up to three variables, or NULL. */
static int
view(enum view_use use, const char *method, const char *a, const char *b,
    const char *c, struct err *err)
{
	const char *const given[] = { a, b, c };
	const char *lines[4] = { NULL };
	size_t i, len = 0;

	for (i = 0; i < 3; i++)
		if (given[i] != NULL)
			lines[len++] = given[i];
	open_call(method, PAPI "/jobs/" NO_JOB "/artifact", NULL, lines);
	(void)str_copy(call.request->principal.who,
	    sizeof(call.request->principal.who), "oda");
	err->code = 0;
	return view_file(service, call.request, &sample.job, use,
	    &call.answer, err);
}

/* The lines that tell of a form in any answer about it. */
static void
add_validators(struct buf *out, enum artifact_coding coding)
{
	char date[CLOCK_HTTP_MAX];
	struct err err;

	clock_format_http(sample.job.finished_at_ms, date);
	assert_ok(buf_addf(out, &err, "X-Job-Id: %s\r\n"
	    "Vary: Accept-Encoding\r\nETag: %s\r\nLast-Modified: %s\r\n"
	    "Accept-Ranges: bytes\r\n", sample.job.id, tag_of(coding), date),
	    err);
}

/* Those of an answer with bytes of it.  part: the value of Content-Range, or
 * NULL. */
static void
add_head(struct buf *out, enum artifact_coding coding, const char *part)
{
	unsigned char digest[DIGEST_BYTES];
	char base64[DIGEST_BASE64_MAX];
	struct err err;

	assert_true(str_unhex(tag_of(coding) + 1, sizeof(digest), digest));
	digest_base64(digest, base64);
	add_validators(out, coding);
	if (part != NULL)
		assert_ok(buf_addf(out, &err, "Content-Range: %s\r\n", part),
		    err);
	assert_ok(buf_addf(out, &err, "Repr-Digest: sha-256=:%s:\r\n%s"
	    "Content-Disposition: attachment; filename=\"%s\"; "
	    "filename*=UTF-8''%s\r\n", base64, coding == ARTIFACT_ZSTD
	    ? "Content-Encoding: zstd\r\n" : "", sample.job.artifact_name,
	    sample.job.artifact_name), err);
}

static void
expect_headers(const struct buf *want)
{
	assert_false(call.answer.incomplete);
	assert_string_equal(buf_str(&call.answer.headers), buf_str(want));
}

/* The answer has these bytes of that form, and the reader gives them. */
static void
expect_bytes(enum artifact_coding coding, size_t first, size_t len)
{
	const struct buf *form = form_of(coding);
	struct err err;
	int64_t n;
	size_t at;
	char piece[5000];

	assert_int_equal(call.answer.kind, ANSWER_FILE);
	assert_string_equal(call.answer.type, "application/octet-stream");
	assert_string_equal(call.answer.job_id, sample.job.id);
	assert_int_equal(call.answer.coding, coding);
	assert_int_equal(call.answer.first_byte, first);
	assert_int_equal(call.answer.file_bytes, len);
	assert_true(first + len <= form->len);
	for (at = 0; at < len; at += (size_t)n) {
		n = artifact_read(call.answer.reader, call.answer.coding,
		    (int64_t)(first + at), piece,
		    len - at < sizeof(piece) ? len - at : sizeof(piece), &err);
		assert_true(n > 0);
		assert_memory_equal(piece, form->data + first + at, (size_t)n);
	}
}

#define REST (-1)

struct ask {
	const char *method;
	const char *a, *b;	/* variables, see expand() */
	int status;		/* of the others; VIEW_FRESH has 200 */
	int newest_status;
	int first;		/* negative: from the end */
	int bytes;		/* REST: to the end */
};

#define RANGE(text) "HTTP_RANGE=bytes=" text
#define IF_RANGE "HTTP_IF_RANGE="
#define IF_MATCH "HTTP_IF_MATCH="
#define IF_NONE_MATCH "HTTP_IF_NONE_MATCH="
#define IF_SINCE "HTTP_IF_MODIFIED_SINCE="
#define IF_NOT_SINCE "HTTP_IF_UNMODIFIED_SINCE="
#define LONG_AGO "Sun, 06 Nov 1994 08:49:37 GMT"

static const struct ask asks[] = {
	{ "GET", NULL, NULL, 200, 200, 0, REST },
	/* Parts. */
	{ "GET", RANGE("0-0"), NULL, 206, 200, 0, 1 },
	{ "GET", RANGE("10-99"), NULL, 206, 200, 10, 90 },
	{ "GET", RANGE("100-"), NULL, 206, 200, 100, REST },
	{ "GET", RANGE("100-999999999999"), NULL, 206, 200, 100, REST },
	{ "GET", RANGE("-7"), NULL, 206, 200, -7, REST },
	{ "GET", RANGE("0-"), NULL, 206, 200, 0, REST },
	{ "GET", RANGE("10-99"), IF_RANGE "$E", 206, 206, 10, 90 },
	{ "GET", RANGE("10-99"), IF_RANGE "$O", 200, 200, 0, REST },
	{ "GET", RANGE("10-99"), IF_RANGE "W/$E", 200, 200, 0, REST },
	{ "GET", RANGE("10-99"), IF_RANGE LONG_AGO, 200, 200, 0, REST },
	{ "GET", RANGE("10-99"), IF_RANGE "x", 200, 200, 0, REST },
	{ "GET", RANGE("0-1,5-9"), NULL, 200, 200, 0, REST },
	{ "GET", RANGE("x"), IF_RANGE "$E", 200, 200, 0, REST },
	{ "GET", "HTTP_RANGE=lines=1-2", IF_RANGE "$E", 200, 200, 0, REST },
	{ "GET", RANGE("999999999-"), NULL, 416, 200, 0, REST },
	{ "GET", RANGE("999999999-"), IF_RANGE "$E", 416, 416, 0, 0 },
	{ "GET", RANGE("-0"), IF_RANGE "$E", 416, 416, 0, 0 },
	{ "GET", RANGE("999999999-"), IF_RANGE "$O", 200, 200, 0, REST },
	/* Conditions. */
	{ "GET", IF_NONE_MATCH "$E", NULL, 304, 304, 0, 0 },
	{ "GET", IF_NONE_MATCH "W/$E", NULL, 304, 304, 0, 0 },
	{ "GET", IF_NONE_MATCH "\"x\", $E", NULL, 304, 304, 0, 0 },
	{ "GET", IF_NONE_MATCH "*", NULL, 304, 304, 0, 0 },
	{ "GET", IF_NONE_MATCH "$O", NULL, 200, 200, 0, REST },
	{ "GET", IF_NONE_MATCH "\"x\"", IF_SINCE "$D", 200, 200, 0, REST },
	{ "GET", IF_NONE_MATCH "$E", RANGE("0-0"), 304, 304, 0, 0 },
	{ "GET", IF_SINCE "$D", NULL, 304, 304, 0, 0 },
	{ "GET", IF_SINCE "$B", NULL, 200, 200, 0, REST },
	{ "GET", IF_MATCH "$E", NULL, 200, 200, 0, REST },
	{ "GET", IF_MATCH "*", RANGE("0-0"), 206, 200, 0, 1 },
	{ "GET", IF_MATCH "$O", NULL, 412, 412, 0, 0 },
	{ "GET", IF_MATCH "W/$E", NULL, 412, 412, 0, 0 },
	{ "GET", IF_MATCH "\"x\"", RANGE("0-0"), 412, 412, 0, 0 },
	{ "GET", IF_MATCH "\"x\"", RANGE("999999999-"), 412, 412, 0, 0 },
	{ "GET", IF_NOT_SINCE "$D", NULL, 200, 200, 0, REST },
	{ "GET", IF_NOT_SINCE "$B", NULL, 412, 412, 0, 0 },
	{ "GET", IF_MATCH "$E", IF_NONE_MATCH "$E", 304, 304, 0, 0 },
	/* HEAD knows conditions, but no parts. */
	{ "HEAD", NULL, NULL, 200, 200, 0, REST },
	{ "HEAD", RANGE("0-0"), NULL, 200, 200, 0, REST },
	{ "HEAD", RANGE("0-0"), IF_RANGE "$E", 200, 200, 0, REST },
	{ "HEAD", RANGE("999999999-"), NULL, 200, 200, 0, REST },
	{ "HEAD", IF_NONE_MATCH "$E", NULL, 304, 304, 0, 0 },
	{ "HEAD", IF_MATCH "\"x\"", NULL, 412, 412, 0, 0 },
};

/* A date is that of both forms, where there are two: then no part goes by it;
 * and the newest file may be another one of the same second. */
static const struct ask dated_asks[] = {
	{ "GET", RANGE("10-99"), IF_RANGE "$D", 206, 200, 10, 90 },
	{ "GET", RANGE("999999999-"), IF_RANGE "$D", 416, 200, 0, REST },
};
static const struct ask undated_asks[] = {
	{ "GET", RANGE("10-99"), IF_RANGE "$D", 200, 200, 0, REST },
	{ "GET", RANGE("999999999-"), IF_RANGE "$D", 200, 200, 0, REST },
};

static bool
is_whole_get(const struct ask *ask)
{
	return strcmp(ask->method, "GET") == 0 &&
	    (ask->a == NULL || strncmp(ask->a, "HTTP_RANGE", 10) != 0) &&
	    (ask->b == NULL || strncmp(ask->b, "HTTP_RANGE", 10) != 0);
}

static void
expect_file(const struct ask *ask, enum view_use use,
    enum artifact_coding coding, int status)
{
	const size_t size = form_of(coding)->len;
	size_t first = 0, len = size;
	struct buf want;
	char part[80];

	buf_init(&want, ANSWER_HEADERS_MAX);
	if (status == 206) {
		first = ask->first >= 0 ? (size_t)ask->first
		    : size - (size_t)-ask->first;
		len = ask->bytes == REST ? size - first : (size_t)ask->bytes;
	}
	(void)snprintf(part, sizeof(part), "bytes %zu-%zu/%zu", first,
	    first + len - 1, size);
	add_head(&want, coding, status == 206 ? part : NULL);
	expect_status(status);
	expect_headers(&want);
	expect_bytes(coding, first, len);
	assert_int_equal(call.answer.delivers, status == 200 &&
	    is_whole_get(ask) &&
	    (use == VIEW_SNAPSHOT || use == VIEW_NEWEST));
	buf_fini(&want);
}

static void
expect_not_modified(enum artifact_coding coding)
{
	struct buf want;

	buf_init(&want, ANSWER_HEADERS_MAX);
	add_validators(&want, coding);
	expect_headers(&want);
	buf_fini(&want);
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_int_equal(call.answer.status, 304);
	assert_null(call.answer.type);
	assert_int_equal(call.answer.body.len, 0);
	assert_null(call.answer.reader);
	assert_false(call.answer.delivers);
}

static void
expect_refusal(const struct ask *ask, enum artifact_coding coding,
    int status, const struct err *err)
{
	struct buf want;
	struct err none;

	buf_init(&want, ANSWER_HEADERS_MAX);
	add_validators(&want, coding);
	if (status == 416)
		assert_ok(buf_addf(&want, &none,
		    "Content-Range: bytes */%zu\r\n", form_of(coding)->len),
		    none);
	expect_headers(&want);
	buf_fini(&want);
	if (err->code != (status == 416 ? ERR_RANGE : ERR_PRECONDITION))
		fail_msg("%s: %s", ask->a, err->msg);
	assert_non_null(strstr(err->msg, status == 416 ? "Range begins behind"
	    : "If-Match"));
	assert_false(call.answer.delivers);
}

static void
try_ask(const struct ask *ask, enum view_use use, enum artifact_coding coding)
{
	char a[600], b[600];
	const char *const more[2] = {
		ask->a != NULL ? expand(ask->a, coding, a) : NULL,
		ask->b != NULL ? expand(ask->b, coding, b) : NULL };
	int status = ask->status;
	struct err err;
	int rc;

	if (use == VIEW_FRESH)
		status = 200;
	else if (use == VIEW_NEWEST)
		status = ask->newest_status;
	rc = view(use, ask->method, coding == ARTIFACT_ZSTD
	    ? "HTTP_ACCEPT_ENCODING=zstd" : NULL, more[0], more[1], &err);
	if ((rc == 0) != (status < 400))
		fail_msg("use %d, %s %s: %d: %s", (int)use,
		    ask->a != NULL ? ask->a : "", ask->b != NULL ? ask->b : "",
		    call.answer.status, rc != 0 ? err.msg : "");
	if (status >= 400)
		expect_refusal(ask, coding, status, &err);
	else if (status == 304)
		expect_not_modified(coding);
	else
		expect_file(ask, use, coding, status);
}

static void
try_asks(const struct ask *first, size_t len, enum artifact_coding coding)
{
	size_t i, use;

	for (i = 0; i < len; i++)
		for (use = 0; use < USES; use++)
			try_ask(&first[i], uses[use], coding);
}

#define TRY(asks, coding) \
	try_asks(asks, sizeof(asks) / sizeof((asks)[0]), coding)

/* Stored with zstd, it can be had in both forms. */
static void
test_zstd(void **state)
{
	(void)state;
	make_sample(BYTES);
	assert_int_equal(sample.job.sum.coding, ARTIFACT_ZSTD);
	assert_true(sample.stored.len < sample.plain.len);
	TRY(asks, ARTIFACT_IDENTITY);
	TRY(undated_asks, ARTIFACT_IDENTITY);
	TRY(asks, ARTIFACT_ZSTD);
	TRY(undated_asks, ARTIFACT_ZSTD);
}

/* Stored as it is, it is that, whoever would take zstd as well. */
static void
test_identity(void **state)
{
	struct err err;

	(void)state;
	site.conf.compression = COMPRESSION_NONE;
	make_sample(BYTES);
	assert_int_equal(sample.job.sum.coding, ARTIFACT_IDENTITY);
	assert_int_equal(sample.plain.len, sample.stored.len);
	TRY(asks, ARTIFACT_IDENTITY);
	TRY(dated_asks, ARTIFACT_IDENTITY);
	assert_ok(view(VIEW_SNAPSHOT, "GET", "HTTP_ACCEPT_ENCODING=zstd",
	    NULL, NULL, &err), err);
	expect_bytes(ARTIFACT_IDENTITY, 0, BYTES);
	assert_null(strstr(buf_str(&call.answer.headers),
	    "Content-Encoding"));
	assert_true(call.answer.delivers);
}

/* A file smaller than its table. */
static void
test_tiny(void **state)
{
	struct err err;

	(void)state;
	make_sample(2);
	assert_ok(view(VIEW_ARTIFACT, "GET", NULL, NULL, NULL, &err), err);
	expect_bytes(ARTIFACT_IDENTITY, 0, 2);
	assert_ok(view(VIEW_ARTIFACT, "GET", RANGE("-999"), NULL, NULL,
	    &err), err);
	expect_status(206);
	expect_header("Content-Range: bytes 0-1/2\r\n");
	expect_bytes(ARTIFACT_IDENTITY, 0, 2);
	assert_err(view(VIEW_ARTIFACT, "GET", RANGE("2-"), NULL, NULL, &err),
	    err, ERR_RANGE, "2 bytes");
	expect_header("Content-Range: bytes */2\r\n");
}

static void
test_codings(void **state)
{
	static const struct {
		const char *accept;
		enum artifact_coding coding;
	} cases[] = {
		{ NULL, ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=", ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=*", ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=gzip, br", ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=gzip, br, zstd", ARTIFACT_ZSTD },
		{ "HTTP_ACCEPT_ENCODING=zstd;q=0.1", ARTIFACT_ZSTD },
		{ "HTTP_ACCEPT_ENCODING=zstd;q=0.5, identity;q=0.6",
		    ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=zstd;q=0", ARTIFACT_IDENTITY },
		{ "HTTP_ACCEPT_ENCODING=identity;q=0, *", ARTIFACT_ZSTD },
	};
	struct err err;
	size_t i, use;

	(void)state;
	make_sample(BYTES);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (use = 0; use < USES; use++) {
			assert_ok(view(uses[use], "GET", cases[i].accept,
			    NULL, NULL, &err), err);
			expect_file(&asks[0], uses[use], cases[i].coding, 200);
		}
	}
}

/* Neither form will do: that is said without a word about either. */
static void
expect_not_acceptable(const char *accept)
{
	struct buf want;
	struct err err;
	size_t use;

	buf_init(&want, ANSWER_HEADERS_MAX);
	assert_ok(buf_addf(&want, &err,
	    "X-Job-Id: %s\r\nVary: Accept-Encoding\r\n", sample.job.id), err);
	for (use = 0; use < USES; use++) {
		assert_err(view(uses[use], "GET", accept, IF_NONE_MATCH "*",
		    RANGE("0-0"), &err), err, ERR_NOT_ACCEPTABLE,
		    "Accept-Encoding");
		expect_headers(&want);
		assert_null(call.answer.reader);
		assert_false(call.answer.delivers);
	}
	buf_fini(&want);
}

static void
test_not_acceptable(void **state)
{
	(void)state;
	make_sample(1000);
	expect_not_acceptable("HTTP_ACCEPT_ENCODING=identity;q=0, zstd;q=0");
	expect_not_acceptable("HTTP_ACCEPT_ENCODING=gzip, *;q=0");
	site.conf.compression = COMPRESSION_NONE;
	make_sample(1000);
	expect_not_acceptable("HTTP_ACCEPT_ENCODING=identity;q=0, zstd");
	expect_not_acceptable("HTTP_ACCEPT_ENCODING=*;q=0, zstd");
}

/* Whatever the conditions are: without a file they mean nothing, and nothing
 * is said of what it was. */
static void
expect_no_file(enum err_code code, const char *text)
{
	static const char *const conditions[] = {
		NULL, IF_NONE_MATCH "$E", IF_MATCH "\"x\"", RANGE("0-0"),
		RANGE("999999999-") };
	struct buf want;
	struct err err;
	char line[600];
	size_t i, use;

	buf_init(&want, ANSWER_HEADERS_MAX);
	assert_ok(buf_addf(&want, &err,
	    "X-Job-Id: %s\r\nVary: Accept-Encoding\r\n", sample.job.id), err);
	for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		for (use = 0; use < USES; use++) {
			assert_err(view(uses[use], "GET", conditions[i] != NULL
			    ? expand(conditions[i], ARTIFACT_IDENTITY, line)
			    : NULL, NULL, NULL, &err), err, code, text);
			expect_headers(&want);
			assert_null(call.answer.reader);
			assert_false(call.answer.delivers);
		}
	}
	buf_fini(&want);
}

static void
test_lost(void **state)
{
	struct err err;

	(void)state;
	make_sample(1000);
	assert_int_equal(unlink(sample.path), 0);
	expect_no_file(ERR_GONE, "not there any more");
	/* Another file in its place. */
	assert_ok(file_replace(sample.path, "{}", 2, 0600, &err), err);
	expect_no_file(ERR_GONE, "changed or damaged");
	/* As long as it was, but no end that zstd's coding has. */
	memset(sample.stored.data, 'x', sample.stored.len);
	assert_ok(file_replace(sample.path, sample.stored.data,
	    sample.stored.len, 0600, &err), err);
	expect_no_file(ERR_STORE, sample.path);
}

/* Each job without a file says why. */
static void
test_no_file(void **state)
{
	static const struct {
		enum job_state state;
		enum job_removal because;
		int64_t expires_at_ms, delivered_at_ms, removed_at_ms;
		enum err_code code;
		const char *text;
	} cases[] = {
		{ JOB_QUEUED, REMOVED_NOT, JOB_UNKNOWN, JOB_UNKNOWN,
		    JOB_UNKNOWN, ERR_CONFLICT, "the job is queued" },
		{ JOB_RUNNING, REMOVED_NOT, JOB_UNKNOWN, JOB_UNKNOWN,
		    JOB_UNKNOWN, ERR_CONFLICT, "the job is running" },
		{ JOB_FAILED, REMOVED_NOT, JOB_UNKNOWN, JOB_UNKNOWN, 7000,
		    ERR_NOT_FOUND, "left no file: the app ended" },
		{ JOB_CANCELED, REMOVED_NOT, JOB_UNKNOWN, JOB_UNKNOWN, 7000,
		    ERR_NOT_FOUND, "canceled and left no file" },
		/* Expired, and removed or about to be. */
		{ JOB_SUCCEEDED, REMOVED_EXPIRED, 5000, JOB_UNKNOWN, 7000,
		    ERR_GONE, "at 1970-01-01T00:00:07.000Z, when it had "
		    "expired ([limits] keep)" },
		{ JOB_SUCCEEDED, REMOVED_NOT, 5000, JOB_UNKNOWN, JOB_UNKNOWN,
		    ERR_GONE, "at 1970-01-01T00:00:05.000Z, when it had "
		    "expired ([limits] keep)" },
		{ JOB_SUCCEEDED, REMOVED_EXPIRED, 5000, 4000, 7000, ERR_GONE,
		    "at 1970-01-01T00:00:07.000Z, some time after its "
		    "delivery ([limits] grace)" },
		{ JOB_SUCCEEDED, REMOVED_NOT, 5000, 4000, JOB_UNKNOWN,
		    ERR_GONE, "delivery ([limits] grace)" },
		/* Its time was not over. */
		{ JOB_SUCCEEDED, REMOVED_ROOM, INT64_MAX, JOB_UNKNOWN, 7000,
		    ERR_GONE, "at 1970-01-01T00:00:07.000Z, to make room "
		    "([limits] store_bytes, store_jobs, min_free_bytes)" },
		{ JOB_SUCCEEDED, REMOVED_ROOM, 5000, 4000, 7000, ERR_GONE,
		    "to make room" },
		{ JOB_SUCCEEDED, REMOVED_LOST, INT64_MAX, JOB_UNKNOWN, 7000,
		    ERR_GONE, "missing or damaged: not by podprof" },
		{ JOB_SUCCEEDED, REMOVED_LOST, INT64_MAX, 4000, 7000,
		    ERR_GONE, "missing or damaged: not by podprof" },
	};
	struct err err;
	size_t i, use;

	(void)state;
	make_sample(1000);
	err_set(&sample.job.error, ERR_TARGET_EXITED, "the app ended");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sample.job.state = cases[i].state;
		sample.job.removed_because = cases[i].because;
		sample.job.expires_at_ms = cases[i].expires_at_ms;
		sample.job.delivered_at_ms = cases[i].delivered_at_ms;
		sample.job.removed_at_ms = cases[i].removed_at_ms;
		assert_err(view_check_file(&sample.job, &err), err,
		    cases[i].code, cases[i].text);
		for (use = 0; use < USES; use++) {
			assert_err(view(uses[use], "GET", IF_NONE_MATCH "*",
			    NULL, NULL, &err), err, cases[i].code,
			    cases[i].text);
			expect_no_header("ETag");
			expect_no_header("Vary");
			expect_header("X-Job-Id: ");
			assert_int_equal(call.answer.retry_after_s > 0,
			    cases[i].code == ERR_CONFLICT);
		}
	}
}

/* What the audit line and the head say where the web server sends the file. */
static void
expect_left(const char *accept, const char *software, const char *header)
{
	const enum artifact_coding coding = sample.job.sum.coding;
	struct buf want;
	struct err err;
	const char *text;
	char line[40];

	front_begin_log();
	assert_ok(view(VIEW_ARTIFACT, "GET", accept, software, NULL, &err),
	    err);
	text = front_end_log();
	buf_init(&want, ANSWER_HEADERS_MAX);
	add_head(&want, coding, NULL);
	assert_ok(buf_adds(&want, header, &err), err);
	expect_headers(&want);
	buf_fini(&want);
	assert_int_equal(call.answer.kind, ANSWER_RESPONSE);
	assert_int_equal(call.answer.status, 200);
	assert_string_equal(call.answer.type, "application/octet-stream");
	assert_true(call.answer.by_server);
	assert_int_equal(call.answer.file_bytes, sample.stored.len);
	assert_null(call.answer.reader);
	assert_false(call.answer.delivers);
	/* What is seen where the server does not know the header. */
	assert_non_null(strstr(buf_str(&call.answer.body), "sendfile"));
	assert_true(call.answer.body.len < sample.stored.len);
	assert_non_null(strstr(text, "level=audit"));
	assert_non_null(strstr(text, sample.job.id));
	assert_non_null(strstr(text, "msg=\"download\" who=oda app=app "));
	(void)snprintf(line, sizeof(line), "bytes=%zu ", sample.stored.len);
	assert_non_null(strstr(text, line));
	assert_non_null(strstr(text, "outcome=left delivered=no"));
}

/* We send it ourselves. */
static void
expect_kept(enum view_use use, const char *method, const char *accept,
    const char *more)
{
	struct err err;

	assert_ok(view(use, method, accept, more, NULL, &err), err);
	assert_false(call.answer.by_server);
	expect_no_header("X-Accel-Redirect");
	expect_no_header("X-Sendfile");
	assert_int_equal(call.answer.kind == ANSWER_FILE,
	    call.answer.status != 304);
}

#define ZSTD "HTTP_ACCEPT_ENCODING=zstd"
#define LIGHTTPD "SERVER_SOFTWARE=lighttpd/1.4.69"

static void
test_x_accel(void **state)
{
	static const char *const conditions[] = {
		RANGE("0-0"), RANGE("x"), IF_RANGE "\"x\"", IF_MATCH "*",
		IF_NONE_MATCH "\"x\"", IF_NONE_MATCH "*", IF_SINCE LONG_AGO,
		IF_NOT_SINCE "Fri, 01 Jan 2100 00:00:00 GMT", IF_SINCE "x" };
	char header[200];
	size_t i;

	(void)state;
	site.conf.sendfile = SENDFILE_X_ACCEL;
	site.conf.sendfile_prefix = "/podprof-files";
	make_sample(1000);
	(void)snprintf(header, sizeof(header), "X-Accel-Redirect: "
	    "/podprof-files/%s.heapsnapshot.zst\r\n", sample.job.id);
	expect_left(ZSTD, NULL, header);
	/* Not in another form than it is stored in, nor a part, nor what
	 * delivers, nor where the server would have to judge. */
	expect_kept(VIEW_ARTIFACT, "GET", NULL, NULL);
	expect_kept(VIEW_ARTIFACT, "HEAD", ZSTD, NULL);
	expect_kept(VIEW_SNAPSHOT, "GET", ZSTD, NULL);
	assert_true(call.answer.delivers);
	expect_kept(VIEW_NEWEST, "GET", ZSTD, NULL);
	assert_true(call.answer.delivers);
	expect_kept(VIEW_FRESH, "GET", ZSTD, NULL);
	for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		expect_kept(VIEW_ARTIFACT, "GET", ZSTD, conditions[i]);

	site.conf.compression = COMPRESSION_NONE;
	make_sample(1000);
	(void)snprintf(header, sizeof(header), "X-Accel-Redirect: "
	    "/podprof-files/%s.heapsnapshot\r\n", sample.job.id);
	expect_left(NULL, NULL, header);
	expect_left(ZSTD, NULL, header);
}

static void
test_x_sendfile(void **state)
{
	char header[500];

	(void)state;
	site.conf.sendfile = SENDFILE_X_SENDFILE;
	make_sample(1000);
	(void)snprintf(header, sizeof(header),
	    "X-Sendfile: %s/artifacts/%s.heapsnapshot.zst\r\n",
	    site.state_dir, sample.job.id);
	expect_left(ZSTD, LIGHTTPD, header);
	/* Apache's module would take Content-Encoding away. */
	expect_kept(VIEW_ARTIFACT, "GET", ZSTD, NULL);
	expect_kept(VIEW_ARTIFACT, "GET", ZSTD,
	    "SERVER_SOFTWARE=Apache/2.4.57 (Debian)");
	expect_kept(VIEW_ARTIFACT, "GET", NULL, LIGHTTPD);

	site.conf.compression = COMPRESSION_NONE;
	make_sample(1000);
	(void)snprintf(header, sizeof(header),
	    "X-Sendfile: %s/artifacts/%s.heapsnapshot\r\n", site.state_dir,
	    sample.job.id);
	expect_left(NULL, NULL, header);
	expect_left(NULL, LIGHTTPD, header);
	expect_kept(VIEW_SNAPSHOT, "GET", NULL, NULL);
	expect_kept(VIEW_ARTIFACT, "GET", NULL, RANGE("0-0"));
	site.conf.sendfile_prefix = "/srv/files";
	(void)snprintf(header, sizeof(header),
	    "X-Sendfile: /srv/files/%s.heapsnapshot\r\n", sample.job.id);
	expect_left(NULL, NULL, header);
	/* One that is lost is not left to anybody. */
	assert_int_equal(unlink(sample.path), 0);
	{
		struct err err;

		assert_err(view(VIEW_ARTIFACT, "GET", NULL, NULL, NULL, &err),
		    err, ERR_GONE, "not there any more");
		assert_false(call.answer.by_server);
		expect_no_header("X-Sendfile");
	}
}

/* While the answer has the file open nobody makes room with it. */
static void
test_lock(void **state)
{
	struct err err;

	(void)state;
	make_sample(1000);
	assert_ok(view(VIEW_ARTIFACT, "GET", NULL, NULL, NULL, &err), err);
	assert_err(artifact_remove(site.state_dir, sample.job.id,
	    "heapsnapshot", true, &err), err, ERR_CONFLICT, "being read");
	end_call();
	assert_ok(artifact_remove(site.state_dir, sample.job.id,
	    "heapsnapshot", true, &err), err);
	/* A 304 reads nothing. */
	make_sample(1000);
	assert_ok(view(VIEW_ARTIFACT, "GET", IF_NONE_MATCH "*", NULL, NULL,
	    &err), err);
	assert_ok(artifact_remove(site.state_dir, sample.job.id,
	    "heapsnapshot", true, &err), err);
}

/* When it is worth to ask again. */
static void
test_retry(void **state)
{
	struct job job = { .id = NO_JOB, .kind = JOB_HEAP_SNAPSHOT,
		.state = JOB_RUNNING, .started_at_ms = JOB_UNKNOWN,
		.holds_target = true };
	struct answer answer;

	(void)state;
	answer_init(&answer);
	view_headers(&job, &answer);
	assert_string_equal(buf_str(&answer.headers),
	    "X-Job-Id: " NO_JOB "\r\n");
	assert_int_equal(answer.retry_after_s, 2);
	answer_fini(&answer);
	/* Nothing will come of this one, even if V8 goes on. */
	job.state = JOB_CANCELED;
	view_headers(&job, &answer);
	assert_int_equal(answer.retry_after_s, 0);
	answer_fini(&answer);
	/* A profile ends when its time is over. */
	job.kind = JOB_CPU_PROFILE;
	job.state = JOB_QUEUED;
	job.duration_ms = 60000;
	job.created_at_ms = clock_utc_ms();
	view_headers(&job, &answer);
	assert_in_range(answer.retry_after_s, 30, 61);
	answer_fini(&answer);
	job.state = JOB_RUNNING;
	job.started_at_ms = 1000;
	view_headers(&job, &answer);
	assert_int_equal(answer.retry_after_s, 1);
	answer_fini(&answer);
	/* The clock was set back. */
	job.started_at_ms = clock_utc_ms() + 999999999;
	view_headers(&job, &answer);
	assert_int_equal(answer.retry_after_s, 61);
	answer_fini(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down_view)
		TEST(test_zstd),
		TEST(test_identity),
		TEST(test_tiny),
		TEST(test_codings),
		TEST(test_not_acceptable),
		TEST(test_lost),
		TEST(test_no_file),
		TEST(test_x_accel),
		TEST(test_x_sendfile),
		TEST(test_lock),
		TEST(test_retry),
	};

	log_setup(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
