/*
 * Authentication, and the defence against requests that a foreign web page
 * makes a browser send.
 */
#include "auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "clock.h"
#include "log.h"
#include "token.h"

#define HOST_MAX 256
/* A file changed so lately may change again without its times showing it. */
#define SETTLED_MS 1000

struct auth {
	const struct conf *conf;
	char hostname[HOST_MAX];
	bool is_local;			/* auth_trust_process() */
	uid_t local_uid;
	pthread_mutex_t lock;		/* of what follows */
	bool has_looked;
	struct token_list *tokens;	/* NULL: never read */
	bool is_current;		/* they are what the file says */
	bool is_missing;		/* there is no such file */
	struct stat seen;		/* the file that tokens came from */
	bool is_settled;		/* it was not new when it was read */
};

int
auth_new(const struct conf *conf, struct auth **ret_auth, struct err *err)
{
	struct auth *auth = calloc(1, sizeof(*auth));

	if (auth == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the tokens");
	auth->conf = conf;
	if (gethostname(auth->hostname, sizeof(auth->hostname) - 1) != 0)
		auth->hostname[0] = '\0';
	(void)pthread_mutex_init(&auth->lock, NULL);
	*ret_auth = auth;
	return 0;
}

void
auth_free(struct auth **auth)
{
	if (*auth == NULL)
		return;
	token_list_free(&(*auth)->tokens);
	(void)pthread_mutex_destroy(&(*auth)->lock);
	free(*auth);
	*auth = NULL;
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size && a->st_mode == b->st_mode &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The one of that name, which probably is at that place; NULL if none. */
static const struct token *
find_name(const struct token_list *list, const char *name, size_t place)
{
	const struct token *token;
	size_t i, len = list != NULL ? token_list_len(list) : 0;

	for (i = 0; i < len; i++) {
		token = token_list_at(list, (place + i) % len);
		if (strcmp(token->name, name) == 0)
			return token;
	}
	return NULL;
}

static void
audit_token(const struct token *token, const char *outcome)
{
	const struct log_field fields[] = {
		{ "name", token->name },
		{ "role", conf_role_name(token->role) },
		{ "outcome", outcome },
	};

	log_audit("token", fields, sizeof(fields) / sizeof(fields[0]));
}

/* Who may come in from now on, and who no more; before NULL: nobody did. */
static void
audit_changes(const struct token_list *before, const struct token_list *now)
{
	const struct token *token, *other;
	size_t i;

	for (i = 0; before != NULL && i < token_list_len(before); i++) {
		token = token_list_at(before, i);
		if (find_name(now, token->name, i) == NULL)
			audit_token(token, "removed");
	}
	for (i = 0; i < token_list_len(now); i++) {
		token = token_list_at(now, i);
		other = find_name(before, token->name, i);
		if (other == NULL)
			audit_token(token, "added");
		else if (other->role != token->role || memcmp(other->sha256,
		    token->sha256, sizeof(token->sha256)) != 0)
			audit_token(token, "changed");
	}
}

/* With the lock held: have the list as the file now is. */
static int
refresh(struct auth *auth, struct err *err)
{
	const char *path = auth->conf->auth_tokens;
	const bool is_first = !auth->has_looked;
	struct token_list *tokens = NULL;
	struct stat now;

	memset(&now, 0, sizeof(now));
	/* If it cannot be looked at, reading it will say why. */
	auth->is_missing = stat(path, &now) != 0 && errno == ENOENT;
	if (!auth->is_missing && auth->is_current &&
	    auth->is_settled && is_same_file(&now, &auth->seen))
		return 0;
	auth->seen = now;
	auth->is_settled = clock_utc_ms() - now.st_ctim.tv_sec * 1000 >
	    SETTLED_MS + 1000;
	auth->has_looked = true;
	auth->is_current = token_list_read(path, &tokens, err) == 0;
	if (auth->is_current) {
		if (!is_first)
			audit_changes(auth->tokens, tokens);
		token_list_free(&auth->tokens);
		auth->tokens = tokens;
		return 0;
	}
	if (err->code == ERR_INVALID)
		err->code = ERR_STORE;
	return -1;
}

/* Whoever has opened the service to all may have no tokens at all; a file that
 * is there and cannot be read is another matter. */
static bool
needs_no_file(const struct auth *auth)
{
	return auth->is_missing &&
	    (auth->conf->auth_anonymous != ROLE_NONE ||
	    auth->conf->auth_remote_user != ROLE_NONE);
}

int
auth_check_tokens(struct auth *auth, struct err *err)
{
	int rc;

	(void)pthread_mutex_lock(&auth->lock);
	rc = refresh(auth, err);
	if (rc != 0 && needs_no_file(auth))
		rc = 0;
	(void)pthread_mutex_unlock(&auth->lock);
	return rc;
}

/* 1: it is the token of *ret_who; 0: of nobody; -1: *err. */
static int
match(struct auth *auth, const char *secret, struct principal *ret_who,
    struct err *err)
{
	const struct token *token = NULL;
	int rc;

	(void)pthread_mutex_lock(&auth->lock);
	rc = refresh(auth, err);
	if (rc == 0)
		token = token_list_match(auth->tokens, secret);
	else if (secret[0] == '\0' && needs_no_file(auth))
		rc = 0;
	if (token != NULL) {
		(void)str_copy(
		    ret_who->who, sizeof(ret_who->who), token->name);
		ret_who->role = token->role;
		rc = 1;
	}
	(void)pthread_mutex_unlock(&auth->lock);
	return rc;
}

/* The token of an Authorization header of our scheme; NULL if it is of
 * another, which is none of our business. */
static const char *
bearer_token(const char *authorization)
{
	static const char scheme[] = "Bearer";
	const size_t len = sizeof(scheme) - 1;

	if (authorization == NULL ||
	    strncasecmp(authorization, scheme, len) != 0)
		return NULL;
	authorization += len;
	if (*authorization != ' ' && *authorization != '\0')
		return NULL;
	return authorization + strspn(authorization, " ");
}

/* The name without port, and without the brackets of an IPv6 address. */
static bool
host_name(const char *host, char out[HOST_MAX])
{
	size_t len;

	if (*host == '[') {
		host++;
		len = strcspn(host, "]");
		if (host[len] != ']' ||
		    (host[len + 1] != '\0' && host[len + 1] != ':'))
			return false;
	} else {
		len = strcspn(host, ":");
	}
	if (len == 0 || len >= HOST_MAX)
		return false;
	memcpy(out, host, len);
	out[len] = '\0';
	return true;
}

static bool
is_address(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, address) == 1 ||
	    inet_pton(AF_INET6, name, address) == 1;
}

/* Is it one of the words of the list? */
static bool
is_listed(const char *list, const char *name)
{
	static const char separators[] = ", \t";
	size_t len;

	for (; *list != '\0'; list += len) {
		list += strspn(list, separators);
		len = strcspn(list, separators);
		if (len == strlen(name) && len > 0 &&
		    strncasecmp(list, name, len) == 0)
			return true;
	}
	return false;
}

static bool
is_host_allowed(const struct auth *auth, const char *name)
{
	if (auth->conf->auth_hosts[0] != '\0')
		return is_listed(auth->conf->auth_hosts, name);
	return strcasecmp(name, "localhost") == 0 || is_address(name) ||
	    (auth->hostname[0] != '\0' &&
	    strcasecmp(name, auth->hostname) == 0);
}

/* Without its default port, as browsers write it in Origin. */
static size_t
authority_len(const char *authority, const char *default_port)
{
	size_t len = strlen(authority), port_len = strlen(default_port);

	if (len > port_len &&
	    strcmp(authority + len - port_len, default_port) == 0)
		return len - port_len;
	return len;
}

static bool
is_own_origin(const char *origin, const char *host)
{
	const char *port;
	size_t len;

	if (strncasecmp(origin, "http://", 7) == 0) {
		origin += 7;
		port = ":80";
	} else if (strncasecmp(origin, "https://", 8) == 0) {
		origin += 8;
		port = ":443";
	} else {
		return false;
	}
	len = authority_len(origin, port);
	return len == authority_len(host, port) &&
	    strncasecmp(origin, host, len) == 0;
}

static int
check_browser(const struct auth *auth, const struct gate *gate,
    struct err *err)
{
	const char *host = gate_env(gate, "HTTP_HOST");
	const char *site = gate_env(gate, "HTTP_SEC_FETCH_SITE");
	const char *origin = gate_env(gate, "HTTP_ORIGIN");
	char name[HOST_MAX];

	if (host == NULL || !host_name(host, name))
		return err_set(err, ERR_FORBIDDEN, "a request without a token "
		    "needs a Host header with a name or address");
	if (!is_host_allowed(auth, name))
		return err_set(err, ERR_FORBIDDEN,
		    "without a token the host name \"%s\" is not allowed: "
		    "send a token, or add the name to [auth] hosts", name);
	if (site != NULL && (strcasecmp(site, "cross-site") == 0 ||
	    strcasecmp(site, "same-site") == 0))
		return err_set(err, ERR_FORBIDDEN, "a browser sent this for a "
		    "page of another site (Sec-Fetch-Site: %s); only requests "
		    "with a token may come from there", site);
	if (origin != NULL && !is_own_origin(origin, host))
		return err_set(err, ERR_FORBIDDEN, "a page of \"%s\" sent "
		    "this, which is not this host; only requests with a token "
		    "may come from there", origin);
	return 0;
}

/* "user:NAME", every byte that a name cannot have made a '_'. */
static void
name_remote_user(const char *user, struct principal *ret_who)
{
	char *p = ret_who->who;

	(void)snprintf(p, sizeof(ret_who->who), "user:%.*s", STR_NAME_MAX,
	    user);
	for (p += strlen("user:"); *p != '\0'; p++) {
		char one[2] = { *p, '\0' };

		if (!str_is_name(one))
			*p = '_';
	}
}

static int
check_unnamed(const struct auth *auth, const struct gate *gate,
    struct principal *ret_who, struct err *err)
{
	const struct conf *conf = auth->conf;
	const char *user = gate_env(gate, "REMOTE_USER");

	if (conf->auth_remote_user != ROLE_NONE && user != NULL &&
	    gate_env(gate, "AUTH_TYPE") != NULL) {
		name_remote_user(user, ret_who);
		ret_who->role = conf->auth_remote_user;
	} else if (conf->auth_anonymous != ROLE_NONE) {
		(void)str_copy(
		    ret_who->who, sizeof(ret_who->who), "anonymous");
		ret_who->role = conf->auth_anonymous;
	} else {
		return err_set(err, ERR_UNAUTHENTICATED,
		    "no token: send \"Authorization: Bearer TOKEN\" with a "
		    "token of \"podprof token new\"; if it was sent, the web "
		    "server kept it (Apache needs CGIPassAuth On)");
	}
	return check_browser(auth, gate, err);
}

static const char *
variable(char *const env[], const char *name)
{
	const size_t len = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

bool
auth_trust_process(struct auth *auth, char *const env[])
{
	const char *claim = variable(env, "PODPROF_LOCAL_UID");
	const char *software = variable(env, "SERVER_SOFTWARE");
	int64_t uid;

	if (claim == NULL || software == NULL ||
	    strncmp(software, "podprof/", 8) != 0 ||
	    variable(env, "REMOTE_ADDR") != NULL || getuid() != geteuid() ||
	    str_parse_int(claim, 0, UINT32_MAX, &uid, NULL) != 0 ||
	    (uid != 0 && (uid_t)uid != getuid()))
		return false;
	auth->is_local = true;
	auth->local_uid = (uid_t)uid;
	return true;
}

static void
name_local(const struct auth *auth, struct principal *ret_who)
{
	memset(ret_who, 0, sizeof(*ret_who));
	(void)snprintf(ret_who->who, sizeof(ret_who->who), "local:%lu",
	    (unsigned long)auth->local_uid);
	ret_who->role = ROLE_OPERATOR;
	ret_who->is_local = true;
}

int
auth_check(struct auth *auth, const struct gate *gate,
    struct principal *ret_who, struct err *err)
{
	const char *secret =
	    bearer_token(gate_env(gate, "HTTP_AUTHORIZATION"));
	struct principal who;
	int rc;

	if (auth->is_local) {
		name_local(auth, ret_who);
		return 0;
	}
	/* The file is looked at even where nobody sent a token: if it cannot
	 * be read, nobody gets in. */
	memset(&who, 0, sizeof(who));
	rc = match(auth, secret != NULL ? secret : "", &who, err);
	if (rc < 0)
		return -1;
	if (secret != NULL && rc == 0)
		return err_set(err, ERR_UNAUTHENTICATED,
		    "the token is none of this service's: it may have been "
		    "removed, or cut on the way here");
	if (secret == NULL && check_unnamed(auth, gate, &who, err) != 0)
		return -1;
	*ret_who = who;
	return 0;
}
