/*
 * A scripted inspector on a loopback port, on a thread of the test program:
 * it speaks HTTP and the server's side of a WebSocket (RFC 6455) as far as a
 * test tells it to.
 */
#ifndef PODPROF_TEST_INSPECTOR_H
#define PODPROF_TEST_INSPECTOR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/socket.h>

#include "test.h"

struct inspector;

/* What happens on the n-th connection (from 0); the connection is closed when
 * it returns. */
typedef void inspector_fn(struct inspector *in, int fd, int n);

struct inspector {
	int listener;
	uint16_t port;
	pthread_t thread;
	inspector_fn *script;
	int connections;
	char request[4096];	/* the head of the last request */
};

static inline void
inspector_send(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

/* The head of a request, to the blank line. */
static inline void
inspector_read_head(struct inspector *in, int fd)
{
	size_t len = 0;

	in->request[0] = '\0';
	while (len < sizeof(in->request) - 1 &&
	    strstr(in->request, "\r\n\r\n") == NULL) {
		ssize_t n = recv(fd, in->request + len, 1, 0);

		if (n <= 0)
			return;
		len += (size_t)n;
		in->request[len] = '\0';
	}
}

static inline void
inspector_answer(int fd, int status, const char *body)
{
	char head[256];

	(void)snprintf(head, sizeof(head), "HTTP/1.0 %d X\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    status, strlen(body));
	inspector_send(fd, head, strlen(head));
	inspector_send(fd, body, strlen(body));
}

/* Complete the upgrade that the request asked for. */
static inline void
inspector_upgrade(struct inspector *in, int fd)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char text[128], head[512];
	unsigned char digest[EVP_MAX_MD_SIZE], accept[64];
	unsigned digest_len = 0;
	const char *key = strcasestr(in->request, "Sec-WebSocket-Key: ");
	size_t key_len;

	if (key == NULL)
		return;
	key += strlen("Sec-WebSocket-Key: ");
	key_len = strcspn(key, "\r");
	(void)snprintf(text, sizeof(text), "%.*s%s", (int)key_len, key, magic);
	(void)EVP_Digest(text, strlen(text), digest, &digest_len, EVP_sha1(),
	    NULL);
	(void)EVP_EncodeBlock(accept, digest, (int)digest_len);
	(void)snprintf(head, sizeof(head), "HTTP/1.1 101 Switching Protocols"
	    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
	inspector_send(fd, head, strlen(head));
}

/* One frame with this opcode byte (0x81: a whole text message). */
static inline void
inspector_frame(int fd, unsigned char opcode, const char *data, size_t len)
{
	unsigned char head[10] = { opcode };
	size_t head_len = 2, i;

	if (len < 126) {
		head[1] = (unsigned char)len;
	} else if (len < 65536) {
		head[1] = 126;
		head[2] = (unsigned char)(len >> 8);
		head[3] = (unsigned char)len;
		head_len = 4;
	} else {
		head[1] = 127;
		for (i = 0; i < 8; i++)
			head[2 + i] = (unsigned char)(len >> (56 - 8 * i));
		head_len = 10;
	}
	inspector_send(fd, head, head_len);
	inspector_send(fd, data, len);
}

static inline void
inspector_say(int fd, const char *text)
{
	inspector_frame(fd, 0x81, text, strlen(text));
}

static inline bool
inspector_read(int fd, void *out, size_t len)
{
	return len == 0 || recv(fd, out, len, MSG_WAITALL) == (ssize_t)len;
}

/* One message of the client, unmasked; -1 at the end of the connection,
 * else its opcode byte. */
static inline int
inspector_hear(int fd, char *out, size_t size)
{
	unsigned char head[2], more[2], mask[4];
	size_t len, i;

	if (!inspector_read(fd, head, 2))
		return -1;
	len = head[1] & 0x7f;
	if (len == 126) {
		if (!inspector_read(fd, more, 2))
			return -1;
		len = (size_t)more[0] << 8 | more[1];
	}
	if (len >= size || !inspector_read(fd, mask, 4) ||
	    !inspector_read(fd, out, len))
		return -1;
	for (i = 0; i < len; i++)
		out[i] = (char)(out[i] ^ (char)mask[i % 4]);
	out[len] = '\0';
	return head[0];
}

static inline void *
inspector_main(void *arg)
{
	struct inspector *in = arg;

	for (;;) {
		int fd = accept(in->listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		in->script(in, fd, in->connections++);
		(void)close(fd);
	}
}

static inline void
inspector_start(struct inspector *in, inspector_fn *script)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);

	memset(in, 0, sizeof(*in));
	in->script = script;
	in->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(in->listener >= 0);
	assert_int_equal(bind(in->listener, (struct sockaddr *)&address, len),
	    0);
	assert_int_equal(listen(in->listener, 8), 0);
	assert_int_equal(getsockname(in->listener,
	    (struct sockaddr *)&address, &len), 0);
	in->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&in->thread, NULL, inspector_main, in),
	    0);
}

static inline void
inspector_stop(struct inspector *in)
{
	(void)shutdown(in->listener, SHUT_RDWR);
	(void)pthread_join(in->thread, NULL);
	(void)close(in->listener);
}

#endif
