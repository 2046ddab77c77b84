/*
 * Of `podprof check`: the socket between web server and pool, and whether a
 * pool answers there, in FastCGI as a web server speaks it.
 */
#include "check_parts.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "str.h"

#define WHAT "socket"
#define ANSWER_BYTES_MAX 4096

/* FastCGI 1.0: records of request 1 with their header, and the numbers of
 * those that are needed. */
#define HEADER_BYTES 8
#define TYPE_BEGIN 1
#define TYPE_PARAMS 4
#define TYPE_STDIN 5
#define TYPE_STDOUT 6
#define ROLE_RESPONDER 1

struct bytes {
	unsigned char data[512];
	size_t len;
};

static void
add_header(struct bytes *out, unsigned char type, size_t len)
{
	const unsigned char header[HEADER_BYTES] = {1, type, 0, 1,
	    (unsigned char)(len >> 8), (unsigned char)len};

	memcpy(out->data + out->len, header, sizeof(header));
	out->len += sizeof(header);
}

static void
add_param(struct bytes *out, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	out->data[out->len++] = (unsigned char)name_len;
	out->data[out->len++] = (unsigned char)value_len;
	memcpy(out->data + out->len, name, name_len);
	memcpy(out->data + out->len + name_len, value, value_len);
	out->len += name_len + value_len;
}

/* GET /livez */
static void
build_request(struct bytes *out)
{
	const unsigned char begin[8] = {0, ROLE_RESPONDER};
	struct bytes params = {.len = 0};

	add_param(&params, "REQUEST_METHOD", "GET");
	add_param(&params, "SCRIPT_NAME", "/livez");
	add_param(&params, "QUERY_STRING", "");
	add_param(&params, "SERVER_PROTOCOL", "HTTP/1.1");
	out->len = 0;
	add_header(out, TYPE_BEGIN, sizeof(begin));
	memcpy(out->data + out->len, begin, sizeof(begin));
	out->len += sizeof(begin);
	add_header(out, TYPE_PARAMS, params.len);
	memcpy(out->data + out->len, params.data, params.len);
	out->len += params.len;
	add_header(out, TYPE_PARAMS, 0);
	add_header(out, TYPE_STDIN, 0);
}

/* What comes first is a record of output that begins with the status. */
static bool
is_good(const unsigned char *answer, size_t len)
{
	static const char good[] = "Status: 200";

	return len >= HEADER_BYTES + sizeof(good) - 1 && answer[0] == 1 &&
	    answer[1] == TYPE_STDOUT &&
	    memcmp(answer + HEADER_BYTES, good, sizeof(good) - 1) == 0;
}

static void
ask_pool(struct check *check, const char *path, int fd, const char *detail)
{
	unsigned char answer[ANSWER_BYTES_MAX];
	struct bytes request;
	size_t len = 0;
	ssize_t n = 0;

	build_request(&request);
	n = send(fd, request.data, request.len, MSG_NOSIGNAL);
	while (n > 0 && len < sizeof(answer) && !is_good(answer, len)) {
		n = recv(fd, answer + len, sizeof(answer) - len, 0);
		if (n > 0)
			len += (size_t)n;
	}
	if (is_good(answer, len))
		check_found(check, CHECK_OK, WHAT, "%s (%s), and a pool "
		    "answers", path, detail);
	else if (len > 0 || n == 0)
		check_found(check, CHECK_FAIL, WHAT, "what listens at %s does "
		    "not answer as podprof.fcgi: is it another program's "
		    "socket?", path);
	else
		check_found(check, CHECK_FAIL, WHAT, "the pool at %s takes "
		    "connections and does not answer within %d s: its log says "
		    "why; else restart it", path, CHECK_WAIT_MS / 1000);
}

/* A socket whose calls end, that of connect(2), too. */
static int
open_socket(void)
{
	const struct timeval wait = {.tv_sec = CHECK_WAIT_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

/* Connect, for an answer or for a reason. */
static void
try_pool(struct check *check, const char *path, const char *detail)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (!str_copy(address.sun_path, sizeof(address.sun_path), path)) {
		check_found(check, CHECK_FAIL, WHAT, "%s is longer than the "
		    "path of a socket can be (%zu bytes)", path,
		    sizeof(address.sun_path) - 1);
		return;
	}
	fd = open_socket();
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
		sizeof(address)) == 0)
		ask_pool(check, path, fd, detail);
	else if (errno == ECONNREFUSED)
		check_found(check, CHECK_FAIL, WHAT, "nobody listens at %s, a "
		    "pool that has ended left it: start the pool (systemctl "
		    "start podprof.socket, or spawn-fcgi)", path);
	else if (errno == EAGAIN)
		check_found(check, CHECK_FAIL, WHAT, "the pool at %s takes no "
		    "more connections: so many wait already, and none was "
		    "taken within %d s; its log says why, else restart it",
		    path, CHECK_WAIT_MS / 1000);
	else if (errno == EACCES)
		check_found(check, CHECK_WARN, WHAT, "%s (%s): this user may "
		    "not connect, so whether a pool answers was not tried; ask "
		    "as root", path, detail);
	else
		check_found(check, CHECK_FAIL, WHAT, "%s: %s", path,
		    strerror(errno));
	if (fd >= 0)
		(void)close(fd);
}

/* A web server of another user comes in by the group, and only by that. */
static void
check_mode(struct check *check, const char *path, const struct stat *st,
    const char *detail)
{
	char copy[512];
	struct stat dir;

	if ((st->st_mode & S_IRWXO) != 0)
		check_found(check, CHECK_FAIL, WHAT, "%s (%s): everybody on "
		    "this machine can connect, and speak for any client: chmod "
		    "0660 %s, and SocketMode=0660 or spawn-fcgi -M 0660", path,
		    detail, path);
	else if ((st->st_mode & (S_IRGRP | S_IWGRP)) != (S_IRGRP | S_IWGRP))
		check_found(check, CHECK_WARN, WHAT, "%s (%s): its group "
		    "cannot connect, so a web server of another user gets no "
		    "answer (502): mode 0660, with the web server's group",
		    path, detail);
	if (str_copy(copy, sizeof(copy), path) &&
	    stat(dirname(copy), &dir) == 0 &&
	    (dir.st_mode & S_IXOTH) == 0 && dir.st_gid != st->st_gid)
		check_found(check, CHECK_WARN, WHAT, "the directory of %s "
		    "(%04o) may not be entered by the socket's group: is the "
		    "web server let in?", path,
		    (unsigned)(dir.st_mode & 07777));
}

void
check_socket(struct check *check)
{
	const char *given = check->options->socket;
	const char *path = given != NULL ? given : CHECK_SOCKET;
	char user[CHECK_USER_MAX], group[CHECK_USER_MAX];
	char detail[2 * CHECK_USER_MAX + 16];
	struct stat st;

	if (stat(path, &st) != 0) {
		check_found(check, given != NULL ? CHECK_FAIL : CHECK_WARN,
		    WHAT, "%s: %s%s", path, strerror(errno), given != NULL ?
		    "; start the pool" : ": the pool does not run, or has its "
		    "socket elsewhere (--socket FILE), or podprof is run as "
		    "CGI, which needs none");
		return;
	}
	if (!S_ISSOCK(st.st_mode)) {
		check_found(check, CHECK_FAIL, WHAT, "%s is no socket", path);
		return;
	}
	check_format_user(st.st_uid, user);
	check_format_group(st.st_gid, group);
	(void)snprintf(detail, sizeof(detail), "%s:%s %04o", user, group,
	    (unsigned)(st.st_mode & 07777));
	check_mode(check, path, &st, detail);
	try_pool(check, path, detail);
}
