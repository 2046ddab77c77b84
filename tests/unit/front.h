/*
 * What the unit programs of podprof.fcgi share: requests as a CGI program gets
 * them, and a FastCGI client that can also be wrong.
 */
#ifndef PODPROF_FRONT_H
#define PODPROF_FRONT_H

#include "test.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "gate.h"

#define FRONT_OUT_MAX (1 << 20)

/* A descriptor that reads these bytes. */
static inline int
front_input(const void *data, size_t len)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A CGI gate; *ret_out_fd reads what is written to it, also when the gate is
 * gone. */
static inline struct gate *
front_gate(char *const env[], const char *body, int *ret_out_fd)
{
	struct gate *gate = NULL;
	struct err err;
	int out = memfd_create("output", MFD_CLOEXEC);

	assert_true(out >= 0);
	*ret_out_fd = dup(out);
	assert_true(*ret_out_fd >= 0);
	assert_ok(gate_open_cgi(front_input(body, strlen(body)), out, env,
	    &gate, &err), err);
	return gate;
}

/* All that was written; a static buffer.  Closes fd. */
static inline const char *
front_output(int fd)
{
	static char text[FRONT_OUT_MAX + 1];
	ssize_t n;

	n = pread(fd, text, FRONT_OUT_MAX, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(close(fd), 0);
	return text;
}

/* What is written to descriptor 2, kept by front_begin_log(). */
static struct {
	int kept;	/* the descriptor that was there */
	int fd;		/* 0: none is kept */
} front_log;

static inline void
front_begin_log(void)
{
	assert_int_equal(front_log.fd, 0);
	front_log.kept = dup(2);
	front_log.fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(front_log.kept >= 0 && front_log.fd > 0);
	assert_int_equal(dup2(front_log.fd, 2), 2);
}

/* What was written so far; as front_output(). */
static inline const char *
front_read_log(void)
{
	return front_output(dup(front_log.fd));
}

/* What was written; from now on it goes where it went before. */
static inline const char *
front_end_log(void)
{
	const int fd = front_log.fd;

	front_log.fd = 0;
	assert_int_equal(dup2(front_log.kept, 2), 2);
	assert_int_equal(close(front_log.kept), 0);
	return front_output(fd);
}

/* The same for a test that did not come so far: it may tell why. */
static inline void
front_drop_log(void)
{
	if (front_log.fd != 0)
		(void)fputs(front_end_log(), stderr);
}

/* FastCGI: record types. */
enum { F_BEGIN = 1, F_ABORT, F_END, F_PARAMS, F_STDIN, F_STDOUT, F_STDERR,
	F_VALUES = 9 };

struct front_bytes {
	unsigned char data[256 << 10];
	size_t len;
};

static inline void
front_add(struct front_bytes *b, const void *data, size_t len)
{
	assert_true(len <= sizeof(b->data) - b->len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void
front_record(struct front_bytes *b, int type, unsigned id, const void *data,
    size_t len)
{
	const unsigned char head[8] = { 1, (unsigned char)type,
		(unsigned char)(id >> 8), (unsigned char)id,
		(unsigned char)(len >> 8), (unsigned char)len, 0, 0 };

	front_add(b, head, sizeof(head));
	front_add(b, data, len);
}

static inline void
front_begin(struct front_bytes *b, int role)
{
	const unsigned char body[8] = { 0, (unsigned char)role };

	front_record(b, F_BEGIN, 1, body, sizeof(body));
}

/* A pair as it is in PARAMS; lengths of four bytes where is_long. */
static inline void
front_pair(struct front_bytes *b, const char *name, const char *value,
    bool is_long)
{
	const size_t lens[2] = { strlen(name), strlen(value) };
	size_t i;

	for (i = 0; i < 2; i++) {
		const unsigned char wide[4] = {
			(unsigned char)(0x80 | lens[i] >> 24),
			(unsigned char)(lens[i] >> 16),
			(unsigned char)(lens[i] >> 8),
			(unsigned char)lens[i] };

		if (is_long || lens[i] > 127)
			front_add(b, wide, sizeof(wide));
		else
			front_add(b, wide + 3, 1);
	}
	front_add(b, name, lens[0]);
	front_add(b, value, lens[1]);
}

/* env: "NAME=value" …, NULL.  The head of a request, to its last record. */
static inline void
front_head(struct front_bytes *b, const char *const env[])
{
	static struct front_bytes params;
	char name[256];
	size_t i, len;

	params.len = 0;
	for (i = 0; env[i] != NULL; i++) {
		len = strcspn(env[i], "=");
		assert_true(len < sizeof(name));
		memcpy(name, env[i], len);
		name[len] = '\0';
		front_pair(&params, name, env[i] + len + 1, false);
	}
	front_begin(b, 1);
	front_record(b, F_PARAMS, 1, params.data, params.len);
	front_record(b, F_PARAMS, 1, "", 0);
}

/* Make descriptor 0 a listening socket at path. */
static inline void
front_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
	    sizeof(address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(dup2(fd, 0), 0);
	assert_int_equal(close(fd), 0);
}

static inline int
front_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address,
	    sizeof(address)), 0);
	return fd;
}

static inline void
front_send(int fd, const struct front_bytes *b)
{
	assert_int_equal(send(fd, b->data, b->len, MSG_NOSIGNAL),
	    (ssize_t)b->len);
}

/* Exactly len bytes; false if the peer closed before. */
static inline bool
front_recv(int fd, void *data, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char *p = data;
	ssize_t n;

	while (len > 0) {
		if (poll(&pfd, 1, 20000) != 1)
			fail_msg("no answer in 20 s");
		n = recv(fd, p, len, 0);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/*
 * Read a whole answer: the bytes of STDOUT, at most FRONT_OUT_MAX of them kept,
 * their number in *ret_len (may be NULL).  *ret_ended: whether END_REQUEST
 * came.  A static buffer.
 */
static inline const char *
front_answer(int fd, size_t *ret_len, bool *ret_ended)
{
	static char text[FRONT_OUT_MAX + 1], piece[1 << 16];
	unsigned char head[8];
	size_t len = 0, total = 0, size;

	*ret_ended = false;
	while (!*ret_ended && front_recv(fd, head, sizeof(head))) {
		assert_int_equal(head[0], 1);
		size = (size_t)head[4] << 8 | head[5];
		if (!front_recv(fd, piece, size + head[6]))
			break;
		*ret_ended = head[1] == F_END;
		if (head[1] != F_STDOUT)
			continue;
		total += size;
		if (len + size > FRONT_OUT_MAX)
			continue;
		memcpy(text + len, piece, size);
		len += size;
	}
	text[len] = '\0';
	if (ret_len != NULL)
		*ret_len = total;
	return text;
}

#endif
