/*
 * Answers: composing their heads, and writing them to a gate.
 */
#include "answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 304, "Not Modified" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 422, "Unprocessable Content" },
	{ 425, "Too Early" },
	{ 429, "Too Many Requests" },
	{ 500, "Internal Server Error" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 507, "Insufficient Storage" },
};

static const char *
reason_of(int status)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

void
answer_init(struct answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	buf_init(&answer->headers, ANSWER_HEADERS_MAX);
	buf_init(&answer->body, ANSWER_BODY_MAX);
}

void
answer_fini(struct answer *answer)
{
	artifact_close(&answer->reader);
	buf_fini(&answer->headers);
	buf_fini(&answer->body);
	answer_init(answer);
}

void
answer_header(struct answer *answer, const char *name, const char *fmt, ...)
{
	struct buf *headers = &answer->headers;
	size_t i, start, end = headers->len;
	va_list ap;

	va_start(ap, fmt);
	if (buf_adds(headers, name, NULL) != 0 ||
	    buf_adds(headers, ": ", NULL) != 0)
		answer->incomplete = true;
	start = headers->len;
	if (buf_addv(headers, NULL, fmt, ap) != 0)
		answer->incomplete = true;
	va_end(ap);
	for (i = start; i < headers->len; i++) {
		if ((unsigned char)headers->data[i] < ' ' ||
		    headers->data[i] == 0x7f)
			headers->data[i] = '_';
	}
	if (buf_adds(headers, "\r\n", NULL) != 0)
		answer->incomplete = true;
	if (answer->incomplete && headers->data != NULL) {
		headers->len = end;
		headers->data[end] = '\0';
	}
}

int
answer_text(struct answer *answer, int status, const char *text,
    struct err *err)
{
	answer->kind = ANSWER_RESPONSE;
	answer->status = status;
	answer->type = "text/plain; charset=utf-8";
	buf_reset(&answer->body);
	return buf_adds(&answer->body, text, err);
}

/* Letters that need no care in a quoted string, and in RFC 8187's ext-value.
 * A blank or '%' in filename="" is read differently by different clients. */
static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c != '\0' && strchr(".-_", c) != NULL);
}

void
answer_attachment(struct answer *answer, const char *name)
{
	struct buf plain, encoded;
	int rc = 0;

	buf_init(&plain, ANSWER_HEADERS_MAX / 4);
	buf_init(&encoded, ANSWER_HEADERS_MAX / 4);
	for (; rc == 0 && *name != '\0'; name++) {
		if (is_plain(*name))
			rc = buf_addc(&plain, *name, NULL) |
			    buf_addc(&encoded, *name, NULL);
		else
			rc = buf_addc(&plain, '_', NULL) |
			    buf_addf(&encoded, NULL, "%%%02X",
			    (unsigned char)*name);
	}
	if (rc != 0)
		answer->incomplete = true;
	else
		answer_header(answer, "Content-Disposition",
		    "attachment; filename=\"%s\"; filename*=UTF-8''%s",
		    buf_str(&plain), buf_str(&encoded));
	buf_fini(&plain);
	buf_fini(&encoded);
}

static bool
has_length(const struct answer *answer)
{
	return answer->status != 204 && answer->status != 304;
}

int
answer_send_head(const struct answer *answer, struct gate *gate,
    struct err *err)
{
	const bool is_file =
	    answer->kind == ANSWER_FILE || answer->by_server;
	const long long bytes =
	    is_file ? answer->file_bytes : (long long)answer->body.len;
	struct buf head;
	int rc = -1;

	buf_init(&head, ANSWER_HEADERS_MAX + 1024);
	if (buf_addf(&head, err, "Status: %d %s\r\n%s", answer->status,
	    reason_of(answer->status), buf_str(&answer->headers)) != 0)
		goto out;
	if (answer->retry_after_s > 0 && buf_addf(&head, err,
	    "Retry-After: %lld\r\n", (long long)answer->retry_after_s) != 0)
		goto out;
	if (answer->type != NULL && buf_addf(&head, err,
	    "Content-Type: %s\r\n", answer->type) != 0)
		goto out;
	if (has_length(answer) && buf_addf(&head, err,
	    "Content-Length: %lld\r\n", bytes) != 0)
		goto out;
	if (buf_addf(&head, err, "Cache-Control: %s\r\n"
	    "X-Content-Type-Options: nosniff\r\n\r\n",
	    answer->cache_control != NULL ? answer->cache_control
	    : "no-store") != 0)
		goto out;
	rc = gate_write(gate, head.data, head.len, err);
out:
	buf_fini(&head);
	return rc;
}

int
answer_send(const struct answer *answer, struct gate *gate, bool head_only,
    struct err *err)
{
	if (answer_send_head(answer, gate, err) != 0)
		return -1;
	if (head_only || answer->body.len == 0)
		return 0;
	return gate_write(gate, answer->body.data, answer->body.len, err);
}
