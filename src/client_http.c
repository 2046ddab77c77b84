/*
 * Requests over HTTP.  The only file that knows libcurl.
 */
#include <config.h>

#include "client_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "clock.h"

/* How soon a call sees that it is to end. */
#define TICK_MS 100

struct client_http {
	CURLM *multi;		/* keeps the connection between calls */
	CURL *easy;
	bool is_global;		/* curl_global_init() was called */
	bool is_this_machine;
	char url[CLIENT_URL_MAX];
	char *authorization;	/* a header line; NULL: none */
	/* Of a call. */
	struct client_answer *answer;
	int64_t heard_ms;	/* clock_mono_ms() of the last byte */
	char error[CURL_ERROR_SIZE];
};

int
client_http_open(const char *url, const char *token, bool is_this_machine,
    struct client_http **ret_http, struct err *err)
{
	static const char scheme[] = "Authorization: Bearer ";
	struct client_http *http = calloc(1, sizeof(*http));
	size_t size;

	if (http == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a client");
	http->is_this_machine = is_this_machine;
	(void)str_copy(http->url, sizeof(http->url), url);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		client_http_close(&http);
		return err_set(err, ERR_INTERNAL, "libcurl does not start");
	}
	http->is_global = true;
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	if (token != NULL) {
		size = sizeof(scheme) + strlen(token);
		http->authorization = malloc(size);
		if (http->authorization != NULL)
			(void)snprintf(http->authorization, size, "%s%s",
			    scheme, token);
	}
	if (http->multi == NULL || http->easy == NULL ||
	    (token != NULL && http->authorization == NULL)) {
		client_http_close(&http);
		return err_set(err, ERR_NOMEM, "no memory for a client");
	}
	*ret_http = http;
	return 0;
}

void
client_http_close(struct client_http **http)
{
	struct client_http *h = *http;

	if (h == NULL)
		return;
	curl_easy_cleanup(h->easy);
	(void)curl_multi_cleanup(h->multi);
	if (h->is_global)
		curl_global_cleanup();
	if (h->authorization != NULL)
		explicit_bzero(h->authorization, strlen(h->authorization));
	free(h->authorization);
	free(h);
	*http = NULL;
}

/* "HTTP/1.1 200 OK" */
static int
take_status(struct client_answer *answer, const char *line)
{
	const char *at = strchr(line, ' ');
	int64_t status = 0;

	if (at != NULL)
		(void)str_take_int(at + 1, &status, &at);
	return client_answer_status(
	    answer, status > 0 && status < 1000 ? (int)status : 0);
}

/* The bytes that libcurl is told were taken: all, or not. */
static size_t
on_header(char *data, size_t size, size_t items, void *ctx)
{
	struct client_http *http = ctx;
	struct client_answer *answer = http->answer;
	size_t len = size * items, whole = len;
	char line[32];
	int rc = 0;

	http->heard_ms = clock_mono_ms();
	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	if (answer->is_head_whole)	/* a trailer: none means anything */
		return whole;
	if (len == whole)	/* a line without its end: cut there */
		return whole;
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
		(void)snprintf(line, sizeof(line), "%.*s",
		    len < sizeof(line) ? (int)len : (int)sizeof(line) - 1,
		    data);
		rc = take_status(answer, line);
	} else if (len > 0) {
		rc = client_answer_header(answer, data, len);
	} else if (answer->reply.status >= 200) {
		rc = client_answer_head(answer);
	}
	return rc == 0 ? whole : 0;
}

static size_t
on_body(char *data, size_t size, size_t items, void *ctx)
{
	struct client_http *http = ctx;

	http->heard_ms = clock_mono_ms();
	if (client_answer_body(http->answer, data, size * items) != 0)
		return 0;
	return size * items;
}

static int
add_header(struct curl_slist **list, struct err *err, const char *name,
    const char *value)
{
	char line[CLIENT_URL_MAX];
	struct curl_slist *longer;
	int n = snprintf(line, sizeof(line), "%s: %s", name, value);

	if (n < 0 || (size_t)n >= sizeof(line))
		return err_set(err, ERR_INVALID, "the header %s is too long",
		    name);
	longer = curl_slist_append(*list, line);
	if (longer == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	*list = longer;
	return 0;
}

static int
add_headers(const struct client_http *http,
    const struct client_request *request, struct curl_slist **list,
    struct err *err)
{
	struct curl_slist *longer;
	char number[64];
	int rc;

	rc = add_header(list, err, "Accept",
	    "application/json, application/problem+json, */*;q=0.1");
	if (rc == 0)
		rc = add_header(list, err, "Accept-Encoding", "identity");
	if (rc == 0 && request->body != NULL)
		rc = add_header(list, err, "Content-Type", "application/json");
	if (rc == 0 && request->key != NULL)
		rc = add_header(list, err, "Idempotency-Key", request->key);
	if (rc == 0 && request->wait_s > 0) {
		(void)snprintf(number, sizeof(number), "wait=%lld",
		    (long long)request->wait_s);
		rc = add_header(list, err, "Prefer", number);
	}
	if (rc == 0 && request->first_byte > 0) {
		(void)snprintf(number, sizeof(number), "bytes=%lld-",
		    (long long)request->first_byte);
		rc = add_header(list, err, "Range", number);
		if (rc == 0 && request->etag != NULL)
			rc = add_header(
			    list, err, "If-Range", request->etag);
	}
	if (rc != 0 || http->authorization == NULL)
		return rc;
	longer = curl_slist_append(*list, http->authorization);
	if (longer == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	*list = longer;
	return 0;
}

/* As curl(1) has it. */
static CURLcode
set_authorities(CURL *easy)
{
	const char *bundle = getenv("CURL_CA_BUNDLE");

	if (bundle == NULL || bundle[0] == '\0')
		bundle = getenv("SSL_CERT_FILE");
	if (bundle == NULL || bundle[0] == '\0')
		return CURLE_OK;
	return curl_easy_setopt(easy, CURLOPT_CAINFO, bundle);
}

/* What no call differs in; options that libcurl could lack memory for, or the
 * means, are looked at. */
static CURLcode
set_common(struct client_http *http, const char *url)
{
	CURL *easy = http->easy;
	CURLcode code;

	curl_easy_reset(easy);
	http->error[0] = '\0';
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	(void)curl_easy_setopt(
	    easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(
	    easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Who is stopped does not wait for a name server. */
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 65536L);
	(void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	(void)curl_easy_setopt(
	    easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	code = curl_easy_setopt(easy, CURLOPT_URL, url);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_USERAGENT,
		    "podprof/" PACKAGE_VERSION);
	if (code == CURLE_OK && http->is_this_machine)
		code = curl_easy_setopt(easy, CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = set_authorities(easy);
	return code;
}

static CURLcode
set_request(CURL *easy, const struct client_request *request)
{
	CURLcode code = CURLE_OK;

	if (strcmp(request->method, "HEAD") == 0)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	if (strcmp(request->method, "POST") == 0) {
		(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE,
		    request->body != NULL ? (long)strlen(request->body) : 0L);
		return curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
		    request->body != NULL ? request->body : "");
	}
	if (strcmp(request->method, "GET") != 0)
		code = curl_easy_setopt(
		    easy, CURLOPT_CUSTOMREQUEST, request->method);
	return code;
}

/* What libcurl says, which is at times nothing. */
static const char *
reason(const struct client_http *http, CURLcode code)
{
	return http->error[0] != '\0' ? http->error : curl_easy_strerror(code);
}

/* Is there a variable that may have had libcurl ask somebody else? */
static bool
may_have_proxy(const struct client_http *http)
{
	static const char *const names[] = {"http_proxy", "https_proxy",
	    "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
	const char *value;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		value = getenv(names[i]);
		if (value != NULL && value[0] != '\0')
			return !http->is_this_machine;
	}
	return false;
}

static int
not_reached(const struct client_http *http, CURLcode code, struct err *err)
{
	const char *more = "";

	if (code == CURLE_PEER_FAILED_VERIFICATION)
		more = "; the variable CURL_CA_BUNDLE names a file with the "
		       "certificates of an authority of your own";
	else if (code == CURLE_COULDNT_CONNECT && http->is_this_machine)
		more = "; is the web server running?";
	else if (may_have_proxy(http))
		more = "; variables name a proxy (http_proxy, https_proxy, "
		       "all_proxy), and no_proxy the hosts without";
	return err_set(err, ERR_TARGET_UNREACHABLE, "%.200s cannot be "
	    "reached: %.180s%s", http->url, reason(http, code), more);
}

/* Why there is no whole answer. */
static int
explain(const struct client_http *http, CURLcode code, struct err *err)
{
	switch ((int)code) {
	case CURLE_OUT_OF_MEMORY:
		return err_set(err, ERR_NOMEM, "no memory for a request");
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(err, ERR_TARGET_TIMEOUT, "%.200s does not "
		    "answer: %.180s", http->url, reason(http, code));
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
		return err_set(err, ERR_INTERRUPTED, "the connection to "
		    "%.200s was cut: %.180s", http->url, reason(http, code));
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		return err_set(err, ERR_TARGET_REFUSED, "what answers at "
		    "%.200s does not speak HTTP as it should: %.180s",
		    http->url, reason(http, code));
	default:
		return not_reached(http, code, err);
	}
}

/* The result of a transfer that is over. */
static CURLcode
result_of(CURLM *multi)
{
	const CURLMsg *message;
	int left;

	message = curl_multi_info_read(multi, &left);
	return message != NULL && message->msg == CURLMSG_DONE ?
	    message->data.result : CURLE_RECV_ERROR;
}

/* Until it is over; what ends it early is in *err. */
static int
transfer(struct client_http *http, CURLcode *ret_code, struct err *err)
{
	const struct client_answer *answer = http->answer;
	const int64_t silence_ms = client_silence_ms(answer->request);
	CURLMcode rc;
	int running = 1;

	http->heard_ms = clock_mono_ms();
	for (;;) {
		rc = curl_multi_perform(http->multi, &running);
		if (rc == CURLM_OK && running == 0)
			break;
		if (client_is_stopped(answer->client))
			return client_stopped(err);
		if (clock_mono_ms() - http->heard_ms > silence_ms)
			return err_set(err, ERR_TARGET_TIMEOUT, "%.300s has "
			    "been silent for %lld seconds", http->url,
			    (long long)silence_ms / 1000);
		if (rc == CURLM_OK)
			rc = curl_multi_poll(
			    http->multi, NULL, 0, TICK_MS, NULL);
		if (rc != CURLM_OK)
			return err_set(err, rc == CURLM_OUT_OF_MEMORY ?
			    ERR_NOMEM : ERR_INTERNAL, "libcurl: %s",
			    curl_multi_strerror(rc));
	}
	*ret_code = result_of(http->multi);
	return 0;
}

static int
perform(struct client_http *http, struct err *err)
{
	const struct client_answer *answer = http->answer;
	CURLcode code = CURLE_OK;
	int rc;

	if (curl_multi_add_handle(http->multi, http->easy) != CURLM_OK)
		return err_set(err, ERR_NOMEM, "no memory for a request");
	rc = transfer(http, &code, err);
	(void)curl_multi_remove_handle(http->multi, http->easy);
	if (rc != 0)
		return -1;
	if (answer->is_failed) {
		if (err != NULL)
			*err = answer->err;
		return -1;
	}
	if (code != CURLE_OK)
		return explain(http, code, err);
	/* To libcurl a head that is cut is no error. */
	if (!answer->is_head_whole)
		return err_set(err, ERR_INTERRUPTED, "the connection to "
		    "%.300s was cut in the head of its answer", http->url);
	return 0;
}

int
client_http_call(struct client_http *http, struct client_answer *answer,
    struct err *err)
{
	const struct client_request *request = answer->request;
	struct curl_slist *headers = NULL;
	char url[2 * CLIENT_URL_MAX];
	CURLcode code;
	int rc = -1;

	(void)snprintf(url, sizeof(url), "%s/%s", http->url, request->path);
	code = set_common(http, url);
	if (code == CURLE_OK)
		code = set_request(http->easy, request);
	if (code != CURLE_OK) {
		(void)err_set(err, code == CURLE_OUT_OF_MEMORY ? ERR_NOMEM :
		    ERR_INVALID, "libcurl does not take the request: %s",
		    curl_easy_strerror(code));
		goto out;
	}
	if (add_headers(http, request, &headers, err) != 0)
		goto out;
	(void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);
	http->answer = answer;
	rc = perform(http, err);
	http->answer = NULL;
out:
	(void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return rc;
}
