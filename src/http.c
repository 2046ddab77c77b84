/*
 * An HTTP client for one question at a time: connect, send, read the head, read
 * the body as the head frames it.  Every wait ends at the deadline.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

#define PIECE 16384
#define LINE_MAX_BYTES 8192
#define INTERIM_MAX 8		/* answers 1xx before the one that counts */

/* What comes in. */
struct reader {
	int fd;
	int64_t deadline_ms;
	size_t at, len;		/* of data, what was not taken yet */
	char data[PIECE];
};

static int
parse_authority(const char *text, size_t len, struct http_url *url,
    struct err *err)
{
	struct in6_addr ignored;
	const char *end, *port;
	int64_t number = 0;
	bool literal = text[0] == '[';
	size_t host_len;

	if (len >= sizeof(url->authority))
		return err_set(err, ERR_INVALID, "the host is too long");
	memcpy(url->authority, text, len);
	url->authority[len] = '\0';
	text = url->authority + literal;
	end = text + strcspn(text, literal ? "]" : ":");
	port = literal && *end != '\0' ? end + 1 : end;
	host_len = (size_t)(end - text);
	if (host_len == 0 || host_len >= sizeof(url->host) ||
	    (literal && *end == '\0') || (*port != '\0' && *port != ':'))
		return err_set(err, ERR_INVALID, "\"%.80s\" is not HOST or "
		    "HOST:PORT", url->authority);
	memcpy(url->host, text, host_len);
	url->host[host_len] = '\0';
	if (literal && inet_pton(AF_INET6, url->host, &ignored) != 1)
		return err_set(err, ERR_INVALID, "\"%.80s\" is no IPv6 "
		    "address", url->host);
	if (*port == '\0')
		return str_copy(url->port, sizeof(url->port), "80") ? 0 : -1;
	if (port[1] == '-' ||
	    str_parse_int(port + 1, 1, 65535, &number, NULL) != 0)
		return err_set(err, ERR_INVALID, "\"%.80s\" is not a port in "
		    "1..65535", port + 1);
	(void)snprintf(url->port, sizeof(url->port), "%u", (unsigned)number);
	return 0;
}

int
http_url_parse(const char *text, struct http_url *ret_url, struct err *err)
{
	static const char scheme[] = "http://";
	const char *authority, *path;
	struct http_url url;

	memset(&url, 0, sizeof(url));
	if (strncasecmp(text, "https://", 8) == 0)
		return err_set(err, ERR_INVALID, "\"%.80s\": TLS is not spoken "
		    "here, only http://", text);
	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0 ||
	    !str_is_visible(text) || strpbrk(text, "#\"<>\\^`{|}") != NULL)
		return err_set(err, ERR_INVALID, "\"%.80s\" is not "
		    "http://HOST[:PORT][/PATH]", text);
	authority = text + sizeof(scheme) - 1;
	path = authority + strcspn(authority, "/?");
	if (memchr(authority, '@', (size_t)(path - authority)) != NULL)
		return err_set(err, ERR_INVALID, "a URL with a user name is "
		    "not taken");
	if (parse_authority(authority, (size_t)(path - authority), &url,
		err) != 0)
		return -1;
	if ((size_t)snprintf(url.path, sizeof(url.path), "%s%s",
		*path == '/' ? "" : "/", path) >= sizeof(url.path))
		return err_set(err, ERR_INVALID, "the path is too long");
	*ret_url = url;
	return 0;
}

void
http_reply_init(struct http_reply *reply, size_t body_max)
{
	reply->status = 0;
	buf_init(&reply->head, HTTP_HEAD_MAX);
	buf_init(&reply->body, body_max);
}

void
http_reply_fini(struct http_reply *reply)
{
	buf_fini(&reply->head);
	buf_fini(&reply->body);
}

/* Until the socket can do that, or the deadline has passed. */
static int
await(int fd, short events, int64_t deadline_ms, struct err *err)
{
	struct pollfd wait = {.fd = fd, .events = events};
	int64_t left_ms;
	int rc;

	do {
		left_ms = deadline_ms - clock_mono_ms();
		if (left_ms < 0)
			left_ms = 0;
		rc = poll(&wait, 1, left_ms > INT32_MAX ? INT32_MAX :
		    (int)left_ms);
	} while (rc < 0 && errno == EINTR);
	if (rc > 0)
		return 0;
	if (rc < 0)
		return err_set_errno(err, ERR_LIMIT, errno, "poll");
	return err_set(err, ERR_TARGET_TIMEOUT, "no answer in time");
}

/* Whether it is we who lack something, or nobody is to be reached. */
static enum err_code
code_of(int errnum)
{
	switch (errnum) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return ERR_LIMIT;
	default:
		return ERR_TARGET_UNREACHABLE;
	}
}

static int
connect_one(const struct addrinfo *to, int64_t deadline_ms, int *ret_fd,
    struct err *err)
{
	socklen_t len = sizeof(int);
	int fd, errnum = 0;

	fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd < 0)
		return err_set_errno(err, code_of(errno), errno, "no socket");
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		errnum = errno;
	if (errnum == EINPROGRESS) {
		if (await(fd, POLLOUT, deadline_ms, err) != 0) {
			(void)close(fd);
			return -1;
		}
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) != 0)
			errnum = errno;
	}
	if (errnum != 0) {
		(void)close(fd);
		return err_set_errno(err, code_of(errnum), errnum,
		    "cannot connect");
	}
	*ret_fd = fd;
	return 0;
}

/* To the first of its addresses where somebody listens. */
static int
connect_any(const struct http_url *url, int64_t deadline_ms, int *ret_fd,
    struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *to;
	int rc;

	/* Without descriptors no host is "known": only errno tells. */
	errno = 0;
	rc = getaddrinfo(url->host, url->port, &hints, &list);
	if (rc == EAI_MEMORY)
		errno = ENOMEM;
	if (rc != 0 && code_of(errno) == ERR_LIMIT)
		return err_set_errno(err, ERR_LIMIT, errno,
		    "the host %s cannot be looked up", url->host);
	if (rc != 0)
		return err_set(err, ERR_TARGET_UNREACHABLE, "the host %s is "
		    "not known (%s)", url->host, gai_strerror(rc));
	rc = -1;
	for (to = list; to != NULL && rc != 0; to = to->ai_next) {
		rc = connect_one(to, deadline_ms, ret_fd, err);
		if (rc != 0 && err != NULL && err->code == ERR_TARGET_TIMEOUT)
			break;
	}
	freeaddrinfo(list);
	return rc;
}

static int
broke(int errnum, struct err *err)
{
	return err_set_errno(err, ERR_TARGET_EXITED, errnum, "the connection "
	    "broke");
}

static int
send_all(int fd, const char *data, size_t len, int64_t deadline_ms,
    struct err *err)
{
	ssize_t n;

	while (len > 0) {
		n = send(fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			if (await(fd, POLLOUT, deadline_ms, err) != 0)
				return -1;
		} else if (n < 0 && errno != EINTR) {
			return broke(errno, err);
		} else if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int
send_request(int fd, const struct http_url *url,
    const struct http_request *request, int64_t deadline_ms, struct err *err)
{
	struct buf head;
	int rc = -1;

	buf_init(&head, HTTP_HEAD_MAX);
	if (buf_addf(&head, err, "%s %s HTTP/1.1\r\nHost: %s\r\n"
		"Connection: close\r\n", request->method,
		request->path != NULL ? request->path : url->path,
		url->authority) == 0 &&
	    /* Some servers want it of every POST. */
	    ((request->body == NULL && strcmp(request->method, "POST") != 0) ||
		buf_addf(&head, err, "Content-Length: %zu\r\n",
		    request->body != NULL ? request->body_len : 0) == 0) &&
	    buf_addf(&head, err, "%s\r\n",
		request->headers != NULL ? request->headers : "") == 0)
		rc = send_all(fd, head.data, head.len, deadline_ms, err);
	/* Who answers before he has read all of the body may close: his answer
	 * counts. */
	if (rc == 0 && request->body != NULL &&
	    send_all(fd, request->body, request->body_len, deadline_ms, err) !=
		0 && err != NULL && err->code != ERR_TARGET_EXITED)
		rc = -1;
	buf_fini(&head);
	return rc;
}

/* More to what was not taken yet: 1, 0 at the end, -1. */
static int
fill(struct reader *reader, struct err *err)
{
	ssize_t n;

	for (;;) {
		n = recv(reader->fd, reader->data, sizeof(reader->data), 0);
		if (n >= 0)
			break;
		if (errno == EAGAIN) {
			if (await(reader->fd, POLLIN, reader->deadline_ms,
				err) != 0)
				return -1;
		} else if (errno != EINTR) {
			return broke(errno, err);
		}
		if (clock_mono_ms() >= reader->deadline_ms)
			return err_set(err, ERR_TARGET_TIMEOUT,
			    "no whole answer in time");
	}
	reader->at = 0;
	reader->len = (size_t)n;
	return n > 0;
}

/* A line without its end. */
static int
take_line(struct reader *reader, char line[LINE_MAX_BYTES], struct err *err)
{
	size_t len = 0;
	char c;
	int rc;

	for (;;) {
		if (reader->at == reader->len) {
			rc = fill(reader, err);
			if (rc < 0)
				return -1;
			if (rc == 0)
				return err_set(err, ERR_TARGET_EXITED, "the "
				    "connection ended in the middle of the "
				    "answer");
		}
		c = reader->data[reader->at++];
		if (c == '\n')
			break;
		if (c == '\0' || len + 1 >= LINE_MAX_BYTES)
			return err_set(err, ERR_TARGET_REFUSED, "what answers "
			    "does not speak HTTP");
		line[len++] = c;
	}
	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	return 0;
}

/* "HTTP/1.1 200 OK" */
static int
take_status(struct reader *reader, char line[LINE_MAX_BYTES], int *ret_status,
    struct err *err)
{
	const char *code;

	if (take_line(reader, line, err) != 0)
		return -1;
	code = strchr(line, ' ');
	if (strncmp(line, "HTTP/1.", 7) != 0 || code == NULL ||
	    code[1] < '1' || code[1] > '5' ||
	    strspn(code + 1, "0123456789") != 3)
		return err_set(err, ERR_TARGET_REFUSED, "what answers does not "
		    "speak HTTP/1.1");
	*ret_status = (int)strtol(code + 1, NULL, 10);
	return 0;
}

static int
take_head(struct reader *reader, struct http_reply *reply, struct err *err)
{
	char line[LINE_MAX_BYTES];
	int i;

	for (i = 0; i < INTERIM_MAX; i++) {
		buf_reset(&reply->head);
		if (take_status(reader, line, &reply->status, err) != 0)
			return -1;
		for (;;) {
			if (take_line(reader, line, err) != 0)
				return -1;
			if (line[0] == '\0')
				break;
			if (buf_addf(&reply->head, err, "%s\r\n", line) != 0)
				return -1;
		}
		if (reply->status >= 200)
			return 0;
	}
	return err_set(err, ERR_TARGET_REFUSED, "interim answers without end");
}

bool
http_header(const struct http_reply *reply, const char *name, char *out,
    size_t size)
{
	const char *line = buf_str(&reply->head), *end, *value;
	size_t name_len = strlen(name), len;

	for (; *line != '\0'; line = end + 2) {
		end = strstr(line, "\r\n");
		if (end == NULL)
			break;
		if (strncasecmp(line, name, name_len) != 0 ||
		    line[name_len] != ':')
			continue;
		value = line + name_len + 1;
		value += strspn(value, " \t");
		len = value < end ? (size_t)(end - value) : 0;
		while (len > 0 && strchr(" \t", value[len - 1]) != NULL)
			len--;
		if (len >= size)
			return false;
		memcpy(out, value, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

/* So many bytes of the body, to the end if < 0; 1, or 0 once it is full. */
static int
take_body(struct reader *reader, int64_t len, struct buf *body,
    struct err *err)
{
	size_t n, room;
	int rc;

	while (len != 0) {
		if (reader->at == reader->len) {
			rc = fill(reader, err);
			if (rc < 0)
				return -1;
			if (rc == 0 && len < 0)
				return 1;
			if (rc == 0)
				return err_set(err, ERR_TARGET_EXITED, "the "
				    "connection ended in the middle of the "
				    "answer");
		}
		n = reader->len - reader->at;
		if (len > 0 && (int64_t)n > len)
			n = (size_t)len;
		room = body->max - body->len;
		if (buf_add(body, reader->data + reader->at,
			n < room ? n : room, err) != 0)
			return -1;
		if (n > room)
			return 0;
		reader->at += n;
		if (len > 0)
			len -= (int64_t)n;
	}
	return 1;
}

static int
take_chunks(struct reader *reader, struct buf *body, struct err *err)
{
	char line[LINE_MAX_BYTES], *end;
	unsigned long long len;
	int rc;

	for (;;) {
		if (take_line(reader, line, err) != 0)
			return -1;
		errno = 0;
		len = strtoull(line, &end, 16);
		if (str_hex_digit(line[0]) < 0 || errno != 0 ||
		    len > INT32_MAX || strchr("; \t", *end) == NULL)
			return err_set(err, ERR_TARGET_REFUSED,
			    "a malformed chunk");
		if (len == 0)
			return 0;
		rc = take_body(reader, (int64_t)len, body, err);
		if (rc <= 0)
			return rc;
		if (take_line(reader, line, err) != 0)
			return -1;
	}
}

static int
take_answer(struct reader *reader, const char *method,
    struct http_reply *reply, struct err *err)
{
	char value[64];
	int64_t len = -1;
	int rc;

	if (take_head(reader, reply, err) != 0)
		return -1;
	if (strcmp(method, "HEAD") == 0 || reply->status == 204 ||
	    reply->status == 304)
		return 0;
	if (http_header(reply, "Transfer-Encoding", value, sizeof(value)) &&
	    strcasecmp(value, "chunked") == 0)
		return take_chunks(reader, &reply->body, err);
	if (http_header(reply, "Content-Length", value, sizeof(value)) &&
	    (value[0] == '-' ||
	    str_parse_int(value, 0, INT64_MAX, &len, NULL) != 0))
		return err_set(err, ERR_TARGET_REFUSED, "a malformed "
		    "Content-Length");
	rc = take_body(reader, len, &reply->body, err);
	return rc < 0 ? -1 : 0;
}

int
http_ask(const struct http_url *url, const struct http_request *request,
    int64_t deadline_ms, struct http_reply *reply, struct err *err)
{
	struct reader reader = {.fd = -1, .deadline_ms = deadline_ms};
	int rc = -1;

	buf_reset(&reply->body);
	if (connect_any(url, deadline_ms, &reader.fd, err) != 0)
		return err_wrap(err, "%s", url->authority);
	if (send_request(reader.fd, url, request, deadline_ms, err) == 0)
		rc = take_answer(&reader, request->method, reply, err);
	(void)close(reader.fd);
	if (rc != 0 && err != NULL && err->code == ERR_TOO_LARGE)
		err->code = ERR_TARGET_REFUSED;
	return rc != 0 ? err_wrap(err, "%s", url->authority) : 0;
}
