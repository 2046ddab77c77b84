/*
 * TCP ports and who listens there, as /proc/PID/net/tcp and tcp6 and the
 * descriptors in /proc/PID/fd tell: nobody need be asked, so it works for an
 * app that answers nothing.
 */
#ifndef PODPROF_PORT_H
#define PODPROF_PORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/* Listening sockets of one network namespace that are looked at, at most. */
#define PORT_SOCKETS_MAX 16384
/* Of one process. */
#define PORT_LIST_MAX 64

/* An address; IPv4 is mapped into IPv6. */
struct port {
	struct in6_addr ip;
	uint16_t number;
};

/* Of the text of an IP address without brackets; false if it is none. */
bool port_parse(const char *ip, uint16_t number, struct port *ret_port);

/* "127.0.0.1:9229", "[::1]:9229" */
#define PORT_TEXT_MAX 56
void port_format(const struct port *port, char out[PORT_TEXT_MAX]);

/*
 * Where the process listens, at most PORT_LIST_MAX addresses.
 *   ERR_TARGET_EXITED   there is no such process (any more)
 *   ERR_TARGET_REFUSED  it is another user's, and its descriptors are hidden;
 *                       or more than PORT_SOCKETS_MAX sockets listen
 *   ERR_NOMEM
 */
MUST int port_list(int64_t pid, struct port list[PORT_LIST_MAX],
    size_t *ret_len, struct err *err);

/* Is it among them, also as one of "all addresses"? */
bool port_is_in(const struct port *port, const struct port *list, size_t len);

/* Does the process listen there, in our own network namespace?  Where its
 * descriptors are hidden: may it, as the socket is that user's? */
bool port_may_be_of(int64_t pid, uid_t user, const struct port *port);

/* Who listens there, in our own network namespace: the pid of one whose
 * descriptors can be seen; 0: nobody, or it cannot be told. */
int64_t port_holder(const struct port *port);

/* Whose is the socket that listens there, in our own network namespace?  False:
 * there is none. */
bool port_user(const struct port *port, uid_t *ret_user);

/* How many connections to it stand, in our own network namespace. */
size_t port_connections(const struct port *port);

#endif
