/*
 * What a service sends: its head line by line, then its body, and a file's name
 * out of that.  And the address of one, which somebody has typed.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "client_parts.h"
#include "fetch.h"

/* A copy with a NUL, as all these are strings. */
static char *
text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* Whatever is told fits, and ends. */
static void
check_reply(const struct client_reply *reply)
{
	if (strlen(reply->type) >= sizeof(reply->type) ||
	    strlen(reply->location) >= sizeof(reply->location) ||
	    strlen(reply->etag) >= sizeof(reply->etag) ||
	    strlen(reply->digest) >= sizeof(reply->digest) ||
	    reply->length < -1 || reply->first_byte < -1 ||
	    reply->retry_after_s < 0)
		abort();
}

/* Lines up to an empty one; what follows is the body. */
static int
take_answer(struct client_answer *answer, const char *data, size_t size)
{
	const char *end;
	size_t len;

	if (client_answer_status(answer, 200 + (int)(size % 400)) != 0)
		return -1;
	while (size > 0) {
		end = memchr(data, '\n', size);
		len = end != NULL ? (size_t)(end - data) : size;
		if (len > 0 && client_answer_header(answer, data, len) != 0)
			return -1;
		data += len;
		size -= len;
		if (size > 0) {
			data++;
			size--;
		}
		if (len == 0)
			break;
	}
	if (client_answer_head(answer) != 0)
		return -1;
	return client_answer_body(answer, data, size);
}

static void
try_answer(const char *data, size_t size)
{
	const struct client_request request = {.method = "GET", .path = "x",
		.first_byte = 5};
	const struct client client = {.where = "http://h/a/private/papi"};
	struct client_answer answer;
	struct json *json = NULL;
	struct err err = {0};

	client_answer_init(&answer, &client, &request);
	if (take_answer(&answer, data, size) != 0) {
		if (!answer.is_failed || answer.err.msg[0] == '\0')
			abort();
	} else if (client_document(&client, &answer.reply, &json, &err) == 0) {
		json_free(&json);
	} else if (err.msg[0] == '\0') {
		abort();
	}
	check_reply(&answer.reply);
	client_answer_fini(&answer);
}

static void
try_base(const char *text)
{
	struct client *client = NULL;
	struct err err = {0};

	if (client_open_url(text, NULL, "token", &client, &err) == 0) {
		if (!str_is_name(client_app(client)))
			abort();
		client_close(&client);
	} else if (err.msg[0] == '\0') {
		abort();
	}
}

static void
try_name(const char *text)
{
	char name[FETCH_NAME_MAX];

	fetch_safe_name(text, name);
	if (name[0] == '\0' || name[0] == '.' || name[0] == '-' ||
	    strchr(name, '/') != NULL || !str_is_visible(name) ||
	    strlen(name) + sizeof(".part") > FETCH_NAME_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = text_of(data, size);

	try_answer(text, size);
	try_base(text);
	try_name(text);
	free(text);
	return 0;
}
