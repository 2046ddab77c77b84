/*
 * Reads the kernel's tables of TCP sockets, and which descriptor of which
 * process is one of them.
 */
#include "port.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

/* As the kernel numbers them: include/net/tcp_states.h. */
enum { ESTABLISHED = 0x01, LISTENING = 0x0a };

/* What is read of a line, by the number of its field. */
enum { LOCAL = 1, STATE = 3, USER = 7, INODE = 9, FIELDS };

/* A line of the tables. */
struct tcp {
	struct port local;
	unsigned state;
	uid_t user;
	uint64_t inode;
};

typedef void tcp_fn(void *ctx, const struct tcp *tcp);

/* Sockets that listen, to be looked for among descriptors. */
struct sockets {
	const struct port *port;	/* those that are reached there; NULL:
					 * all */
	struct tcp *list;
	size_t len, size;
	struct err fault;		/* why some are missing; code 0: none
					 * is */
};

static const struct in6_addr mapped_any = {
	.s6_addr = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0},
};

bool
port_parse(const char *ip, uint16_t number, struct port *ret_port)
{
	struct port port = { .ip = mapped_any, .number = number };

	if (inet_pton(AF_INET, ip, &port.ip.s6_addr[12]) != 1 &&
	    inet_pton(AF_INET6, ip, &port.ip) != 1)
		return false;
	*ret_port = port;
	return true;
}

void
port_format(const struct port *port, char out[PORT_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN] = "";
	const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&port->ip);

	(void)inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ?
	    &port->ip.s6_addr[12] : &port->ip.s6_addr[0], ip, sizeof(ip));
	(void)snprintf(out, PORT_TEXT_MAX, is_v4 ? "%s:%u" : "[%s]:%u", ip,
	    (unsigned)port->number);
}

/* Words of 8 hex digits, each in the machine's own order of bytes. */
static bool
parse_ip(const char *hex, struct in6_addr *ret_ip)
{
	const size_t words = strlen(hex) / 8;
	char digits[9] = "";
	struct in6_addr ip = mapped_any;
	uint32_t value;
	size_t i;

	/* The heading has no addresses. */
	if (strspn(hex, "0123456789ABCDEF") != strlen(hex) ||
	    (strlen(hex) != 8 && strlen(hex) != 32))
		return false;
	for (i = 0; i < words; i++) {
		memcpy(digits, hex + 8 * i, 8);
		value = (uint32_t)strtoul(digits, NULL, 16);
		memcpy(&ip.s6_addr[16 - 4 * (words - i)], &value, 4);
	}
	*ret_ip = ip;
	return true;
}

/*
 *	  0: 0100007F:240D 00000000:0000 0A 00000000:00000000 00:00000000 …
 *	     local         remote        state   queues       timer
 *	… 00000000  1000        0 12345 …
 *	  retries   user  timeout inode
 */
static bool
parse_line(const char *line, struct tcp *ret_tcp)
{
	const char *fields[FIELDS], *at = line, *colon;
	struct tcp tcp;
	char ip[33];
	size_t i;

	for (i = 0; i < FIELDS; i++) {
		fields[i] = at + strspn(at, " ");
		at = fields[i] + strcspn(fields[i], " ");
	}
	colon = strchr(fields[LOCAL], ':');
	if (colon == NULL || colon - fields[LOCAL] >= (ptrdiff_t)sizeof(ip))
		return false;
	(void)str_copy(ip, (size_t)(colon - fields[LOCAL]) + 1, fields[LOCAL]);
	if (!parse_ip(ip, &tcp.local.ip))
		return false;
	tcp.local.number = (uint16_t)strtoul(colon + 1, NULL, 16);
	tcp.state = (unsigned)strtoul(fields[STATE], NULL, 16);
	tcp.user = (uid_t)strtoul(fields[USER], NULL, 10);
	tcp.inode = strtoull(fields[INODE], NULL, 10);
	*ret_tcp = tcp;
	return true;
}

static void
scan_table(const char *path, tcp_fn *found, void *ctx)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	struct tcp tcp;

	if (file == NULL)
		return;
	while (getline(&line, &size, file) > 0)
		if (parse_line(line, &tcp))
			found(ctx, &tcp);
	free(line);
	(void)fclose(file);
}

/* The tables of the network namespace that the process is in. */
static void
scan(int64_t pid, tcp_fn *found, void *ctx)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/net/tcp", pid);
	scan_table(path, found, ctx);
	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/net/tcp6", pid);
	scan_table(path, found, ctx);
}

static bool
covers(const struct port *wide, const struct port *port)
{
	if (wide->number != port->number)
		return false;
	return memcmp(&wide->ip, &port->ip, sizeof(port->ip)) == 0 ||
	    IN6_IS_ADDR_UNSPECIFIED(&wide->ip) ||
	    (IN6_IS_ADDR_V4MAPPED(&port->ip) &&
	    memcmp(&wide->ip, &mapped_any, sizeof(mapped_any)) == 0);
}

/* Room for one more. */
static int
sockets_grow(struct sockets *sockets)
{
	const size_t size = sockets->size > 0 ? 2 * sockets->size : 64;
	struct tcp *list;

	if (sockets->len < sockets->size)
		return 0;
	if (size > PORT_SOCKETS_MAX)
		return err_set(&sockets->fault, ERR_TARGET_REFUSED, "more than "
		    "%d sockets listen here: that is more than podprof looks "
		    "through", PORT_SOCKETS_MAX);
	list = reallocarray(sockets->list, size, sizeof(*list));
	if (list == NULL)
		return err_set(&sockets->fault, ERR_NOMEM,
		    "no memory for %zu sockets", size);
	sockets->list = list;
	sockets->size = size;
	return 0;
}

static void
add_listening(void *ctx, const struct tcp *tcp)
{
	struct sockets *sockets = ctx;

	if (tcp->state == LISTENING && (sockets->port == NULL ||
		covers(&tcp->local, sockets->port)) &&
	    sockets_grow(sockets) == 0)
		sockets->list[sockets->len++] = *tcp;
}

/* "socket:[12345]" */
static bool
parse_socket(const char *link, uint64_t *ret_inode)
{
	int64_t inode;
	const char *rest;

	if (strncmp(link, "socket:[", 8) != 0 ||
	    !str_take_int(link + 8, &inode, &rest))
		return false;
	*ret_inode = (uint64_t)inode;
	return true;
}

typedef bool inode_fn(void *ctx, uint64_t inode);

/* Each socket among the descriptors of a process, until found says true.
 * 0, or an errno. */
static int
scan_descriptors(int64_t pid, inode_fn *found, void *ctx)
{
	const struct dirent *entry;
	char path[64], link[64];
	uint64_t inode;
	ssize_t n;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return errno;
	while ((entry = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), entry->d_name, link,
		    sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (parse_socket(link, &inode) && found(ctx, inode))
			break;
	}
	(void)closedir(dir);
	return 0;
}

/* Sockets, and the ports of those that a process has. */
struct owned {
	const struct sockets *sockets;
	struct port *list;
	size_t len;
};

static bool
add_owned(void *ctx, uint64_t inode)
{
	struct owned *owned = ctx;
	size_t i;

	for (i = 0; i < owned->sockets->len; i++)
		if (owned->sockets->list[i].inode == inode &&
		    owned->len < PORT_LIST_MAX)
			owned->list[owned->len++] =
			    owned->sockets->list[i].local;
	return owned->len == PORT_LIST_MAX;
}

int
port_list(int64_t pid, struct port list[PORT_LIST_MAX], size_t *ret_len,
    struct err *err)
{
	struct sockets sockets = { .port = NULL };
	struct owned owned = { &sockets, list, 0 };
	int errnum;

	scan(pid, add_listening, &sockets);
	errnum = scan_descriptors(pid, add_owned, &owned);
	free(sockets.list);
	if (errnum == ENOENT || errnum == ESRCH)
		return err_set(err, ERR_TARGET_EXITED,
		    "process %" PRId64 " has ended", pid);
	if (errnum != 0)
		return err_set_errno(err, ERR_TARGET_REFUSED, errnum,
		    "podprof cannot see where process %" PRId64 " listens "
		    "(/proc/%" PRId64 "/fd)", pid, pid);
	if (sockets.fault.code != 0)
		return err_set(err, sockets.fault.code, "podprof cannot see "
		    "where process %" PRId64 " listens: %s", pid,
		    sockets.fault.msg);
	*ret_len = owned.len;
	return 0;
}

bool
port_is_in(const struct port *port, const struct port *list, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (covers(&list[i], port))
			return true;
	return false;
}

/* 1 if it has, 0 if not, -1 if its descriptors are hidden. */
static int
has_one(int64_t pid, const struct sockets *sockets)
{
	struct port list[PORT_LIST_MAX];
	struct owned owned = { sockets, list, 0 };

	switch (scan_descriptors(pid, add_owned, &owned)) {
	case 0:
		return owned.len > 0;
	case EACCES:
	case EPERM:
		return -1;
	default:
		return 0;
	}
}

bool
port_may_be_of(int64_t pid, uid_t user, const struct port *port)
{
	struct sockets sockets = { .port = port };
	size_t i;
	int has;

	scan(getpid(), add_listening, &sockets);
	has = has_one(pid, &sockets);
	for (i = 0; i < sockets.len && has < 0; i++)
		if (sockets.list[i].user == user)
			has = 1;
	free(sockets.list);
	return has > 0;
}

int64_t
port_holder(const struct port *port)
{
	struct sockets sockets = { .port = port };
	const struct dirent *entry;
	int64_t pid, holder = 0;
	DIR *dir;

	scan(getpid(), add_listening, &sockets);
	dir = opendir("/proc");
	while (dir != NULL && holder == 0 && (entry = readdir(dir)) != NULL)
		if (str_parse_int(entry->d_name, 1, INT32_MAX, &pid, NULL) ==
			0 && has_one(pid, &sockets) > 0)
			holder = pid;
	if (dir != NULL)
		(void)closedir(dir);
	free(sockets.list);
	return holder;
}

bool
port_user(const struct port *port, uid_t *ret_user)
{
	struct sockets sockets = { .port = port };
	bool is_there;

	scan(getpid(), add_listening, &sockets);
	is_there = sockets.len > 0;
	if (is_there)
		*ret_user = sockets.list[0].user;
	free(sockets.list);
	return is_there;
}

struct count {
	const struct port *port;
	size_t connections;
};

static void
count_connection(void *ctx, const struct tcp *tcp)
{
	struct count *count = ctx;

	if (tcp->state == ESTABLISHED && covers(count->port, &tcp->local))
		count->connections++;
}

size_t
port_connections(const struct port *port)
{
	struct count count = { port, 0 };

	scan(getpid(), count_connection, &count);
	return count.connections;
}
