/*
 * Who sent a request, and whether a web page of somebody else made a browser
 * send it.
 *
 *	Bearer token in Authorization	its role in the tokens file
 *	REMOTE_USER and AUTH_TYPE	[auth] remote_user
 *	neither				[auth] anonymous
 *
 * A browser adds no Bearer token by itself; what it does add, a password or
 * nothing at all, it adds to the requests of every page.  So a role that does
 * not come from a token is given only where Host, Sec-Fetch-Site and Origin
 * show that no other site is behind the request.
 *
 * podprof(1) without --url runs podprof.fcgi itself, as a CGI program, and needs
 * no token: who can start a process as state_dir's owner has every file there
 * anyway, and a token would be one more secret on the disk.  See
 * auth_trust_process() for how such a process is told from a web server's.
 */
#ifndef PODPROF_AUTH_H
#define PODPROF_AUTH_H

#include <stdbool.h>

#include "conf.h"
#include "err.h"
#include "gate.h"
#include "str.h"

/* "link:user:" and up to STR_NAME_MAX bytes fit. */
#define AUTH_WHO_MAX (STR_NAME_MAX + 16)

struct principal {
	char who[AUTH_WHO_MAX];	/* a token's name, "user:NAME",
				 * "anonymous", "local:UID", "link:" and who
				 * made it */
	enum conf_role role;	/* not ROLE_NONE */
	bool is_local;		/* local:UID: nobody reads files for us */
};

/* The configuration's [auth], and the tokens file as last readable.  Safe for
 * many threads. */
struct auth;

/* Reads nothing yet.  ERR_NOMEM. */
MUST int auth_new(const struct conf *conf, struct auth **ret_auth,
    struct err *err);
void auth_free(struct auth **auth);

/*
 * Judge a request by its head.
 *
 *   ERR_UNAUTHENTICATED  no role for it, or a wrong Bearer token, even where
 *                        another role would be there
 *   ERR_FORBIDDEN        a browser sent it for another site, or a Host that
 *                        [auth] hosts does not allow
 *   ERR_STORE            the tokens file is not there, cannot be read or is
 *                        malformed: nobody gets in.  Only where [auth] opens
 *                        the service to those without a token may it be absent
 *   ERR_NOMEM
 */
MUST int auth_check(struct auth *auth, const struct gate *gate,
    struct principal *ret_who, struct err *err);

/*
 * Of plain CGI only: was it podprof(1) that started this process?  Then every
 * request is of the operator local:UID, and true is returned.
 *
 * env  the process's own environment, as environ(7).  There must be
 *
 *	PODPROF_LOCAL_UID	our real user's number, or 0: root becomes
 *				state_dir's owner before
 *	SERVER_SOFTWARE		podprof/...
 *	no REMOTE_ADDR
 *
 * Who sends a request over HTTP decides on no name of a variable but HTTP_...
 * (RFC 3875, 4.1.18), and no value of these.  A web server sets
 * SERVER_SOFTWARE and REMOTE_ADDR for each request (4.1.17, 4.1.8), so that the
 * variable opens nothing where it has got into a server's environment by
 * mistake.  With FastCGI nobody asks: parameters come from whoever may connect,
 * and are no environment.  Who can set all three for a process of ours starts
 * it, and could read and write state_dir without it; so which of the two numbers
 * he claims changes nothing but the audit lines, which he could write himself.
 */
bool auth_trust_process(struct auth *auth, char *const env[]);

/* Whether the tokens file can be used; read again only if it has changed, with
 * an audit line for each token that came, went or is another.
 * ERR_STORE, ERR_NOMEM. */
MUST int auth_check_tokens(struct auth *auth, struct err *err);

#endif
