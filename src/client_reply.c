/*
 * Answers, as they come: header lines that mean something are looked at, and
 * held against what can be; the body goes where the request wants it.
 */
#include "client_parts.h"

#include <string.h>
#include <strings.h>

void
client_answer_init(struct client_answer *answer, const struct client *client,
    const struct client_request *request)
{
	memset(answer, 0, sizeof(*answer));
	answer->client = client;
	answer->request = request;
	buf_init(&answer->reply.body, CLIENT_BODY_MAX);
	answer->reply.length = answer->reply.first_byte = -1;
}

void
client_answer_fini(struct client_answer *answer)
{
	client_reply_fini(&answer->reply);
}

void
client_reply_fini(struct client_reply *reply)
{
	buf_fini(&reply->body);
}

/* It is the err of the answer that is filled: this is what a callback of
 * others leaves behind. */
static int
fail(struct client_answer *answer)
{
	answer->is_failed = true;
	return -1;
}

static int
refuse(struct client_answer *answer, const char *what)
{
	(void)err_set(&answer->err, ERR_TARGET_REFUSED,
	    "%.300s sends an answer that cannot be: %s",
	    client_where(answer->client), what);
	return fail(answer);
}

int
client_answer_status(struct client_answer *answer, int status)
{
	struct client_reply *reply = &answer->reply;
	struct buf body = reply->body;

	if (status < 100 || status > 599)
		return refuse(answer, "its status is no number from 100 to "
		    "599");
	memset(reply, 0, sizeof(*reply));
	reply->body = body;
	reply->status = status;
	reply->length = reply->first_byte = -1;
	return 0;
}

/* "bytes 5-99/100"; what is not so is left untold. */
static void
read_content_range(struct client_reply *reply, const char *value)
{
	int64_t first, last, total;
	const char *rest;

	if (strncasecmp(value, "bytes ", 6) == 0 &&
	    str_take_int(value + 6, &first, &rest) && *rest == '-' &&
	    str_take_int(rest + 1, &last, &rest) && *rest == '/' &&
	    str_take_int(rest + 1, &total, &rest) && *rest == '\0' &&
	    first <= last && last < total)
		reply->first_byte = first;
}

/* "sha-256=:BASE64:", maybe beside others; nothing where it does not fit. */
static void
read_digest(struct client_reply *reply, const char *value)
{
	static const char name[] = "sha-256=:";
	const char *start = strstr(value, name), *end;

	if (start == NULL)
		return;
	start += sizeof(name) - 1;
	end = strchr(start, ':');
	if (end == NULL || (size_t)(end - start) >= sizeof(reply->digest))
		return;
	memcpy(reply->digest, start, (size_t)(end - start));
	reply->digest[end - start] = '\0';
}

static int
read_length(struct client_answer *answer, const char *value)
{
	struct client_reply *reply = &answer->reply;
	const char *rest;
	int64_t length;

	if (!str_take_int(value, &length, &rest) || *rest != '\0' ||
	    (reply->length >= 0 && reply->length != length))
		return refuse(answer, "its Content-Length");
	reply->length = length;
	return 0;
}

/* value has no blank at either end. */
static int
read_field(struct client_answer *answer, const char *name, char *value)
{
	struct client_reply *reply = &answer->reply;
	int64_t seconds;
	const char *rest;

	if (strcasecmp(name, "Content-Length") == 0)
		return read_length(answer, value);
	if (strcasecmp(name, "Content-Encoding") == 0 &&
	    strcasecmp(value, "identity") != 0)
		return refuse(answer, "it is compressed, which was not asked "
		    "for; what stands before podprof must not do that");
	if (strcasecmp(name, "Content-Range") == 0) {
		read_content_range(reply, value);
	} else if (strcasecmp(name, "Content-Type") == 0) {
		value[strcspn(value, "; \t")] = '\0';
		(void)str_copy(reply->type, sizeof(reply->type), value);
	} else if (strcasecmp(name, "Retry-After") == 0) {
		if (str_take_int(value, &seconds, &rest) && *rest == '\0')
			reply->retry_after_s = seconds;
	} else if (strcasecmp(name, "ETag") == 0) {
		if (!str_copy(reply->etag, sizeof(reply->etag), value))
			reply->etag[0] = '\0';
	} else if (strcasecmp(name, "Location") == 0) {
		if (!str_copy(reply->location, sizeof(reply->location), value))
			reply->location[0] = '\0';
	} else if (strcasecmp(name, "Repr-Digest") == 0) {
		read_digest(reply, value);
	}
	return 0;
}

int
client_answer_header(struct client_answer *answer, const char *line,
    size_t len)
{
	char field[CLIENT_URL_MAX + 64], *value, *end;
	size_t i;

	answer->head_bytes += len + 2;
	if (answer->head_bytes > CLIENT_HEAD_MAX) {
		(void)err_set(&answer->err, ERR_TOO_LARGE, "the head of the "
		    "answer of %.300s is over %d bytes",
		    client_where(answer->client), CLIENT_HEAD_MAX);
		return fail(answer);
	}
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			return refuse(answer, "a control byte is in its head");
	/* Of what is so long we want none. */
	if (len >= sizeof(field))
		return 0;
	memcpy(field, line, len);
	field[len] = '\0';
	value = strchr(field, ':');
	if (value == NULL || value == field)
		return refuse(answer, "a line of its head is no header");
	*value++ = '\0';
	value += strspn(value, " \t");
	for (end = value + strlen(value);
	     end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	return read_field(answer, field, value);
}

static int
refuse_redirect(struct client_answer *answer)
{
	const struct client_reply *reply = &answer->reply;
	struct err *err = &answer->err;

	if (reply->location[0] == '\0')
		return refuse(answer, "its status is a redirect's, and it "
		    "does not say where to");
	(void)err_set(err, ERR_TARGET_REFUSED, "%.200s redirects (%d) to "
	    "%.200s, where no token is sent unasked: give the address of the "
	    "service itself", client_where(answer->client), reply->status,
	    reply->location);
	return fail(answer);
}

int
client_answer_head(struct client_answer *answer)
{
	const struct client_request *request = answer->request;
	const struct client_reply *reply = &answer->reply;

	answer->is_head_whole = true;
	if (reply->status < 200)
		return refuse(answer, "it has no status of an end");
	if (reply->status >= 300 && reply->status < 400)
		return refuse_redirect(answer);
	if (reply->status == 206 && (request->first_byte <= 0 ||
	    reply->first_byte != request->first_byte))
		return refuse(answer, "it has another part than was asked "
		    "for");
	if (request->on_head != NULL && request->on_head(request->ctx, reply,
	    &answer->err) != 0)
		return fail(answer);
	return 0;
}

int
client_answer_body(struct client_answer *answer, const void *data, size_t len)
{
	const struct client_request *request = answer->request;
	struct client_reply *reply = &answer->reply;
	int rc;

	answer->body_bytes += (int64_t)len;
	if (request->sink != NULL &&
	    (reply->status == 200 || reply->status == 206))
		rc = request->sink(request->ctx, data, len, &answer->err);
	else
		rc = buf_add(&reply->body, data, len, &answer->err);
	if (rc == 0)
		return 0;
	if (answer->err.code == ERR_TOO_LARGE)
		(void)err_wrap(&answer->err, "the answer of %.200s",
		    client_where(answer->client));
	return fail(answer);
}
