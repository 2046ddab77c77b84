/*
 * Asks one web server the same thing again and again, over connections that
 * are kept open, and tells how long the answers took.
 *
 *	load PORT CONNECTIONS seconds|requests N <REQUEST
 *
 * REQUEST is the head of an HTTP/1.1 request, sent as it is.  Prints
 *	{"requests":N,"seconds":S,"medianUs":N,"p99Us":N,"maxUs":N}
 * Every answer must be a 200 with a Content-Length.  Any other, or nothing for
 * PATIENCE_MS, ends the program with status 1 and a word on stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define REQUEST_MAX 8192
#define HEAD_MAX 8192
#define ANSWERS_MAX 20000000
#define PATIENCE_MS 20000

struct connection {
	int fd;
	int64_t began_us;
	char head[HEAD_MAX];
	size_t head_len;
	bool has_head;
	bool is_closing;	/* the server said so */
	uint64_t body_left;
};

struct load {
	struct sockaddr_in address;
	char request[REQUEST_MAX];
	size_t request_len;
	int epoll_fd;
	int64_t until_us;	/* INT64_MAX: count decides */
	size_t count;		/* at most so many answers */
	size_t sent;
	size_t busy;		/* connections with a request under way */
	uint32_t *took_us;
	size_t answers;
};

static _Noreturn void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "load: %s: %s\n", what, detail);
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		fail("clock_gettime", strerror(errno));
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
reconnect(struct load *l, struct connection *c)
{
	const int on = 1;
	struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = c } };

	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&l->address,
		sizeof(l->address)) != 0)
		fail("connect", strerror(errno));
	if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		fail("a new connection", strerror(errno));
	c->is_closing = false;
}

/* Nothing if there has been enough. */
static void
ask(struct load *l, struct connection *c)
{
	ssize_t n;

	if (l->sent == l->count || now_us() >= l->until_us)
		return;
	if (c->is_closing)
		reconnect(l, c);
	c->head_len = 0;
	c->has_head = false;
	c->began_us = now_us();
	n = write(c->fd, l->request, l->request_len);
	if (n < 0 || (size_t)n != l->request_len)
		fail("write", n < 0 ? strerror(errno) : "short");
	l->sent++;
	l->busy++;
}

/* The head is whole, and ends with a NUL instead of its last line break. */
static void
read_head(struct connection *c)
{
	const char *line = c->head, *value;
	bool has_length = false;
	char *end;

	if (strncmp(line, "HTTP/1.1 200 ", 13) != 0)
		fail("an answer is no 200", line);
	while ((line = strchr(line, '\n')) != NULL) {
		line++;
		value = strchr(line, ':');
		if (value == NULL)
			continue;
		value += 1 + strspn(value + 1, " ");
		if (strncasecmp(line, "Content-Length:", 15) == 0) {
			errno = 0;
			c->body_left = strtoull(value, &end, 10);
			has_length = errno == 0 && end != value;
		} else if (strncasecmp(line, "Connection: close", 17) == 0) {
			c->is_closing = true;
		}
	}
	if (!has_length)
		fail("an answer has no Content-Length", c->head);
	c->has_head = true;
}

static void
finish(struct load *l, struct connection *c)
{
	const int64_t took_us = now_us() - c->began_us;

	l->took_us[l->answers++] = took_us < UINT32_MAX ? (uint32_t)took_us :
	    UINT32_MAX;
	l->busy--;
	ask(l, c);
}

/* What of the bytes at hand belongs to the body. */
static void
take_body(struct load *l, struct connection *c, size_t len)
{
	if (len > c->body_left)
		fail("an answer is longer than its Content-Length", c->head);
	c->body_left -= len;
	if (c->body_left == 0)
		finish(l, c);
}

static void
take(struct load *l, struct connection *c)
{
	char body[65536], *end;
	ssize_t n;

	if (c->has_head)
		n = read(c->fd, body, sizeof(body));
	else
		n = read(c->fd, c->head + c->head_len,
		    sizeof(c->head) - 1 - c->head_len);
	if (n <= 0)
		fail("read", n < 0 ? strerror(errno) :
		    "the server closed the connection, or its head is long");
	if (c->has_head) {
		take_body(l, c, (size_t)n);
		return;
	}
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL)
		return;
	end[2] = '\0';
	read_head(c);
	take_body(l, c, (size_t)(c->head + c->head_len - (end + 4)));
}

static int
compare(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
report(const struct load *l, int64_t total_us)
{
	if (l->answers == 0)
		fail("no answer at all", "give it more time");
	qsort(l->took_us, l->answers, sizeof(*l->took_us), compare);
	printf("{\"requests\":%zu,\"seconds\":%.6f,\"medianUs\":%" PRIu32
	    ",\"p99Us\":%" PRIu32 ",\"maxUs\":%" PRIu32 "}\n", l->answers,
	    (double)total_us / 1e6, l->took_us[l->answers / 2],
	    l->took_us[l->answers * 99 / 100], l->took_us[l->answers - 1]);
}

static void
run(struct load *l, struct connection *connections, size_t len)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int n;

	for (size_t i = 0; i < len; i++) {
		connections[i].fd = -1;
		reconnect(l, &connections[i]);
		ask(l, &connections[i]);
	}
	while (l->busy > 0) {
		n = epoll_wait(l->epoll_fd, events, CONNECTIONS_MAX,
		    PATIENCE_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("epoll_wait", n < 0 ? strerror(errno) :
			    "nothing came for a long time");
		for (int i = 0; i < n; i++)
			take(l, events[i].data.ptr);
	}
	for (size_t i = 0; i < len; i++)
		(void)close(connections[i].fd);
}

static unsigned long
number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value == 0 ||
	    value > max)
		fail("not a number, or too large", text);
	return value;
}

int
main(int argc, char *argv[])
{
	struct load l = { .until_us = INT64_MAX, .count = ANSWERS_MAX };
	struct connection *connections = NULL;
	size_t len;
	int64_t began_us;

	if (argc != 5 || (strcmp(argv[3], "seconds") != 0 &&
	    strcmp(argv[3], "requests") != 0)) {
		fprintf(stderr, "usage: load PORT CONNECTIONS seconds|requests N"
		    " <REQUEST\n");
		return 2;
	}
	l.address.sin_family = AF_INET;
	l.address.sin_port = htons((uint16_t)number(argv[1], UINT16_MAX));
	l.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	len = number(argv[2], CONNECTIONS_MAX);
	l.request_len = fread(l.request, 1, sizeof(l.request), stdin);
	if (l.request_len == 0 || l.request_len == sizeof(l.request))
		fail("the request", "is empty or too long");
	l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	connections = calloc(len, sizeof(*connections));
	l.took_us = malloc(ANSWERS_MAX * sizeof(*l.took_us));
	if (l.epoll_fd == -1 || connections == NULL || l.took_us == NULL)
		fail("start", strerror(errno));

	began_us = now_us();
	if (strcmp(argv[3], "seconds") == 0)
		l.until_us = began_us + (int64_t)number(argv[4], 3600) *
		    1000000;
	else
		l.count = number(argv[4], ANSWERS_MAX);
	run(&l, connections, len);
	report(&l, now_us() - began_us);
	(void)close(l.epoll_fd);
	free(connections);
	free(l.took_us);
	return 0;
}
