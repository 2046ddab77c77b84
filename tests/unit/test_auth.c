/* Who is let in, and which browsers are not. */
#include "front.h"

#include "auth.h"
#include "token.h"

static char dir[256];
static char path[300];
static char secret[2][TOKEN_MAX];	/* a viewer's, an operator's */
static struct conf conf;
static struct auth *auth;

static void
write_tokens(const char *more)
{
	static const char *const names[] = { "val", "oda" };
	static const enum conf_role roles[] = { ROLE_VIEWER, ROLE_OPERATOR };
	char line[TOKEN_LINE_MAX];
	struct err err;
	FILE *f = fopen(path, "w");
	size_t i;

	assert_non_null(f);
	for (i = 0; i < 2; i++) {
		assert_ok(token_make(names[i], roles[i], secret[i], line,
		    &err), err);
		(void)fprintf(f, "%s\n", line);
	}
	(void)fputs(more, f);
	assert_int_equal(fclose(f), 0);
}

static int
set_up(void **state)
{
	struct err err;

	(void)state;
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/tokens", dir);
	memset(&conf, 0, sizeof(conf));
	conf.auth_tokens = path;
	conf.auth_hosts = "";
	conf.auth_anonymous = conf.auth_remote_user = ROLE_NONE;
	write_tokens("");
	assert_ok(auth_new(&conf, &auth, &err), err);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	auth_free(&auth);
	assert_null(auth);
	auth_free(&auth);
	test_remove_dir(dir);
	return 0;
}

/* Up to four variables, each "NAME=value" or NULL. */
static int
check4(const char *a, const char *b, const char *c, const char *d,
    struct principal *ret_who, struct err *err)
{
	const char *const given[] = { a, b, c, d };
	char *env[5] = { NULL };
	struct gate *gate;
	size_t i, len = 0;
	int out, rc;

	for (i = 0; i < 4; i++)
		if (given[i] != NULL)
			env[len++] = strdup(given[i]);
	gate = front_gate(env, "", &out);
	rc = auth_check(auth, gate, ret_who, err);
	gate_drop(&gate);
	(void)front_output(out);
	for (i = 0; i < len; i++)
		free(env[i]);
	return rc;
}

static int
check_bearer(const char *scheme, const char *token, struct principal *ret_who,
    struct err *err)
{
	char line[300];

	(void)snprintf(line, sizeof(line), "HTTP_AUTHORIZATION=%s%s", scheme,
	    token);
	return check4(line, NULL, NULL, NULL, ret_who, err);
}

static void
test_tokens(void **state)
{
	static const char *const schemes[] = { "Bearer ", "bearer ",
		"BEARER   " };
	struct principal who;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		assert_ok(check_bearer(schemes[i], secret[0], &who, &err),
		    err);
		assert_string_equal(who.who, "val");
		assert_int_equal(who.role, ROLE_VIEWER);
		assert_ok(check_bearer(schemes[i], secret[1], &who, &err),
		    err);
		assert_string_equal(who.who, "oda");
		assert_int_equal(who.role, ROLE_OPERATOR);
	}
}

static void
test_refused(void **state)
{
	struct principal who = { .who = "nobody" };
	char longer[TOKEN_MAX + 4];
	struct err err;

	(void)state;
	(void)snprintf(longer, sizeof(longer), "%s x", secret[1]);
	assert_err(check4(NULL, NULL, NULL, NULL, &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	assert_err(check_bearer("Bearer ", "", &who, &err), err,
	    ERR_UNAUTHENTICATED, "token");
	assert_err(check_bearer("Bearer", "", &who, &err), err,
	    ERR_UNAUTHENTICATED, "token");
	assert_err(check_bearer("Bearer ", "podprof_x", &who, &err), err,
	    ERR_UNAUTHENTICATED, "none of this service's");
	assert_err(check_bearer("Bearer ", longer, &who, &err), err,
	    ERR_UNAUTHENTICATED, "none of this service's");
	/* Other schemes are none of ours. */
	assert_err(check_bearer("Basic ", secret[1], &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	assert_err(check_bearer("Bearerx ", secret[1], &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	assert_err(check_bearer("", secret[1], &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	/* Apache's rewriting is not trusted. */
	(void)snprintf(longer, sizeof(longer), "%s", secret[1]);
	{
		char line[300];

		(void)snprintf(line, sizeof(line),
		    "REDIRECT_HTTP_AUTHORIZATION=Bearer %s", secret[1]);
		assert_err(check4(line, NULL, NULL, NULL, &who, &err), err,
		    ERR_UNAUTHENTICATED, "no token");
	}
	assert_null(strstr(err.msg, secret[1]));
	assert_string_equal(who.who, "nobody");
}

static void
test_anonymous(void **state)
{
	struct principal who;
	struct err err;

	(void)state;
	conf.auth_anonymous = ROLE_VIEWER;
	assert_ok(check4("HTTP_HOST=localhost", NULL, NULL, NULL, &who, &err),
	    err);
	assert_string_equal(who.who, "anonymous");
	assert_int_equal(who.role, ROLE_VIEWER);
	/* Even so a wrong token is wrong. */
	assert_err(check_bearer("Bearer ", "podprof_x", &who, &err), err,
	    ERR_UNAUTHENTICATED, "none of this service's");
	/* And a right one needs no Host. */
	assert_ok(check_bearer("Bearer ", secret[1], &who, &err), err);
	assert_string_equal(who.who, "oda");
}

static void
test_remote_user(void **state)
{
	static const char host[] = "HTTP_HOST=127.0.0.1:8080";
	static const char user[] = "REMOTE_USER=ann";
	static const char type[] = "AUTH_TYPE=Basic";
	struct principal who;
	struct err err;

	(void)state;
	assert_err(check4(host, user, type, NULL, &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	conf.auth_remote_user = ROLE_OPERATOR;
	assert_ok(check4(host, user, type, NULL, &who, &err), err);
	assert_string_equal(who.who, "user:ann");
	assert_int_equal(who.role, ROLE_OPERATOR);
	assert_err(check4(host, user, NULL, NULL, &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	assert_err(check4(host, type, NULL, NULL, &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	assert_err(check4(host, "REMOTE_USER=", type, NULL, &who, &err), err,
	    ERR_UNAUTHENTICATED, "no token");
	conf.auth_anonymous = ROLE_VIEWER;
	assert_ok(check4(host, user, NULL, NULL, &who, &err), err);
	assert_string_equal(who.who, "anonymous");
	assert_ok(check4(host, user, type, NULL, &who, &err), err);
	assert_int_equal(who.role, ROLE_OPERATOR);
	assert_ok(check4(host, "REMOTE_USER=a b\n\"\xff@x.org", type, NULL,
	    &who, &err), err);
	assert_string_equal(who.who, "user:a_b____x.org");
	assert_ok(check4(host, "REMOTE_USER="
	    "0123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789", type, NULL, &who,
	    &err), err);
	assert_int_equal(strlen(who.who), strlen("user:") + STR_NAME_MAX);
}

static void
test_hosts(void **state)
{
	static const char *const allowed[] = { "localhost", "LOCALHOST:80",
		"127.0.0.1", "127.0.0.1:8080", "10.1.2.3", "[::1]",
		"[::1]:8080", "[2001:db8::1]" };
	static const char *const refused[] = { "", "evil.example",
		"localhost.evil.example", "127.0.0.1.evil.example", "::1",
		"[::1", "[::1]x", "[localhost", ":80", "127.1", "foo.localhost"
		};
	struct principal who;
	char line[300], hostname[200] = "";
	struct err err;
	size_t i;

	(void)state;
	conf.auth_anonymous = ROLE_VIEWER;
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		(void)snprintf(line, sizeof(line), "HTTP_HOST=%s", allowed[i]);
		assert_ok(check4(line, NULL, NULL, NULL, &who, &err), err);
	}
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		(void)snprintf(line, sizeof(line), "HTTP_HOST=%s", refused[i]);
		assert_err(check4(line, NULL, NULL, NULL, &who, &err), err,
		    ERR_FORBIDDEN, "");
	}
	assert_int_equal(gethostname(hostname, sizeof(hostname) - 1), 0);
	(void)snprintf(line, sizeof(line), "HTTP_HOST=%s:8080", hostname);
	assert_ok(check4(line, NULL, NULL, NULL, &who, &err), err);
	/* A list is all there is. */
	conf.auth_hosts = "prof.example, Other.Example\tthird";
	assert_ok(check4("HTTP_HOST=prof.example:443", NULL, NULL, NULL, &who,
	    &err), err);
	assert_ok(check4("HTTP_HOST=other.example", NULL, NULL, NULL, &who,
	    &err), err);
	assert_ok(check4("HTTP_HOST=third", NULL, NULL, NULL, &who, &err),
	    err);
	assert_err(check4("HTTP_HOST=localhost", NULL, NULL, NULL, &who, &err),
	    err, ERR_FORBIDDEN, "[auth] hosts");
	assert_err(check4("HTTP_HOST=prof.example,", NULL, NULL, NULL, &who,
	    &err), err, ERR_FORBIDDEN, "[auth] hosts");
}

static void
test_browsers(void **state)
{
	static const char host[] = "HTTP_HOST=localhost:8080";
	static const char *const fine[] = { "HTTP_SEC_FETCH_SITE=none",
		"HTTP_SEC_FETCH_SITE=same-origin",
		"HTTP_ORIGIN=http://localhost:8080",
		"HTTP_ORIGIN=https://LOCALHOST:8080" };
	static const char *const foreign[] = {
		"HTTP_SEC_FETCH_SITE=cross-site",
		"HTTP_SEC_FETCH_SITE=Same-Site", "HTTP_ORIGIN=null",
		"HTTP_ORIGIN=http://localhost:8081",
		"HTTP_ORIGIN=http://localhost",
		"HTTP_ORIGIN=http://localhost:8080.evil.example",
		"HTTP_ORIGIN=http://evil.example",
		"HTTP_ORIGIN=localhost:8080", "HTTP_ORIGIN=ftp://localhost:8080"
		};
	struct principal who;
	char line[300];
	struct err err;
	size_t i;

	(void)state;
	conf.auth_anonymous = ROLE_OPERATOR;
	for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		assert_ok(check4(host, fine[i], NULL, NULL, &who, &err), err);
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		assert_err(check4(host, foreign[i], NULL, NULL, &who, &err),
		    err, ERR_FORBIDDEN, "");
		/* A token no browser sends by itself. */
		(void)snprintf(line, sizeof(line),
		    "HTTP_AUTHORIZATION=Bearer %s", secret[1]);
		assert_ok(check4("HTTP_HOST=evil.example", foreign[i], line,
		    NULL, &who, &err), err);
	}
	/* Default ports are the same whether they are written or not. */
	assert_ok(check4("HTTP_HOST=localhost:80",
	    "HTTP_ORIGIN=http://localhost", NULL, NULL, &who, &err), err);
	assert_ok(check4("HTTP_HOST=localhost",
	    "HTTP_ORIGIN=https://localhost:443", NULL, NULL, &who, &err), err);
	assert_err(check4("HTTP_HOST=localhost",
	    "HTTP_ORIGIN=http://localhost:443", NULL, NULL, &who, &err), err,
	    ERR_FORBIDDEN, "not this host");
}

/* A tokens file that cannot be used lets nobody in, but for those who need
 * none where there is no file; and it is read again when it changes. */
static void
test_tokens_file(void **state)
{
	struct principal who;
	char old[TOKEN_MAX];
	struct err err;

	(void)state;
	conf.auth_anonymous = ROLE_OPERATOR;
	assert_ok(check_bearer("Bearer ", secret[0], &who, &err), err);
	assert_int_equal(unlink(path), 0);
	assert_err(check_bearer("Bearer ", secret[0], &who, &err), err,
	    ERR_STORE, path);
	/* Opened to all, it may do without a file … */
	assert_ok(check4("HTTP_HOST=localhost", NULL, NULL, NULL, &who, &err),
	    err);
	assert_string_equal(who.who, "anonymous");
	assert_ok(auth_check_tokens(auth, &err), err);
	/* … else not. */
	conf.auth_anonymous = ROLE_NONE;
	assert_err(check4("HTTP_HOST=localhost", NULL, NULL, NULL, &who, &err),
	    err, ERR_STORE, path);
	assert_err(auth_check_tokens(auth, &err), err, ERR_STORE, path);
	conf.auth_anonymous = ROLE_OPERATOR;
	(void)memcpy(old, secret[0], sizeof(old));
	write_tokens("broken\n");
	assert_err(check_bearer("Bearer ", secret[0], &who, &err), err,
	    ERR_STORE, ":3:");
	assert_err(check4("HTTP_HOST=localhost", NULL, NULL, NULL, &who, &err),
	    err, ERR_STORE, ":3:");
	write_tokens("");
	assert_ok(check_bearer("Bearer ", secret[0], &who, &err), err);
	assert_ok(auth_check_tokens(auth, &err), err);
	assert_err(check_bearer("Bearer ", old, &who, &err), err,
	    ERR_UNAUTHENTICATED, "none of this service's");
	/* Of the same length, within the same moment. */
	(void)memcpy(old, secret[0], sizeof(old));
	write_tokens("");
	assert_ok(check_bearer("Bearer ", secret[0], &who, &err), err);
	assert_err(check_bearer("Bearer ", old, &who, &err), err,
	    ERR_UNAUTHENTICATED, "none of this service's");
}

/* The file as it is now, and what is logged of that. */
static const char *
look(void)
{
	struct err err;

	front_begin_log();
	(void)!auth_check_tokens(auth, &err);
	return front_end_log();
}

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

static void
write_lines(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* Whoever may come in from now on, or no more, is told; nobody by his
 * secret. */
static void
test_changes_are_audited(void **state)
{
	const char *text;

	(void)state;
	write_lines("one:viewer:" DIGEST_A "\ntwo:viewer:" DIGEST_A "\n");
	assert_string_equal(look(), "");
	assert_string_equal(look(), "");
	write_lines("# other order\ntwo:viewer:" DIGEST_A "\n"
	    "one:viewer:" DIGEST_A "\n");
	assert_string_equal(look(), "");
	write_lines("two:operator:" DIGEST_A "\nsix:operator:" DIGEST_A
	    "\nten:viewer:" DIGEST_A "\n");
	text = look();
	assert_int_equal(count_lines(text), 4);
	assert_non_null(strstr(text, "level=audit module=audit msg=\"token\" "
	    "name=one role=viewer outcome=removed\n"));
	assert_non_null(strstr(text, "name=two role=operator "
	    "outcome=changed\n"));
	assert_non_null(strstr(text, "name=six role=operator "
	    "outcome=added\n"));
	assert_non_null(strstr(text, "name=ten role=viewer outcome=added\n"));
	assert_null(strstr(text, "aaaa"));
	write_lines("two:operator:" DIGEST_B "\nsix:operator:" DIGEST_A
	    "\nten:viewer:" DIGEST_A "\n");
	text = look();
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "name=two role=operator "
	    "outcome=changed\n"));
	/* While it cannot be read nobody comes in, which others tell. */
	assert_int_equal(unlink(path), 0);
	assert_string_equal(look(), "");
	write_lines("two:operator:" DIGEST_B "\nbroken\n");
	assert_string_equal(look(), "");
	write_lines("two:operator:" DIGEST_B "\n");
	text = look();
	assert_int_equal(count_lines(text), 2);
	assert_non_null(strstr(text, "name=six role=operator "
	    "outcome=removed\n"));
	assert_non_null(strstr(text, "name=ten role=viewer "
	    "outcome=removed\n"));
}

/* One that was made after we began. */
static void
test_first_token_is_audited(void **state)
{
	const char *text;

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_string_equal(look(), "");
	write_lines("one:viewer:" DIGEST_A "\n");
	text = look();
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "name=one role=viewer outcome=added\n"));
}

/* What podprof(1) sets, and what would be there beside it. */
static bool
trusts(const char *a, const char *b, const char *c)
{
	char texts[3][64], *env[4] = { texts[0], texts[1], texts[2], NULL };
	const char *const given[] = { a, b, c };
	size_t i, len = 0;

	for (i = 0; i < 3; i++)
		if (given[i] != NULL)
			(void)snprintf(texts[len++], sizeof(texts[0]), "%s",
			    given[i]);
	env[len] = NULL;
	return auth_trust_process(auth, env);
}

#define TOOL "SERVER_SOFTWARE=podprof/1.2.3"

static void
test_local(void **state)
{
	char ours[64], others[64], want[64];
	struct principal who;
	struct err err;

	(void)state;
	(void)snprintf(ours, sizeof(ours), "PODPROF_LOCAL_UID=%lu",
	    (unsigned long)getuid());
	(void)snprintf(others, sizeof(others), "PODPROF_LOCAL_UID=%lu",
	    (unsigned long)getuid() + 1);
	/* A web server's, by mistake; another user's; no numbers. */
	assert_false(trusts(ours, NULL, NULL));
	assert_false(trusts(ours, "SERVER_SOFTWARE=nginx/1.22.1", NULL));
	assert_false(trusts(ours, "SERVER_SOFTWARE=podprof", NULL));
	assert_false(trusts(ours, TOOL, "REMOTE_ADDR=127.0.0.1"));
	assert_false(trusts(ours, TOOL, "REMOTE_ADDR="));
	assert_false(trusts(others, TOOL, NULL));
	assert_false(trusts("PODPROF_LOCAL_UID=", TOOL, NULL));
	assert_false(trusts("PODPROF_LOCAL_UID=-1", TOOL, NULL));
	assert_false(trusts("PODPROF_LOCAL_UID=0x0", TOOL, NULL));
	assert_false(trusts("PODPROF_LOCAL_UID=4294967296", TOOL, NULL));
	assert_false(trusts(TOOL, NULL, NULL));
	/* What a client can make of it. */
	assert_false(trusts("HTTP_PODPROF_LOCAL_UID=0", TOOL, NULL));
	assert_err(check4("HTTP_HOST=localhost", "PODPROF_LOCAL_UID=0", TOOL,
	    NULL, &who, &err), err, ERR_UNAUTHENTICATED, "no token");
	/* It needs no token, and no file of them. */
	assert_int_equal(unlink(path), 0);
	assert_true(trusts(ours, TOOL, NULL));
	(void)snprintf(want, sizeof(want), "local:%lu",
	    (unsigned long)getuid());
	assert_ok(check4(NULL, NULL, NULL, NULL, &who, &err), err);
	assert_string_equal(who.who, want);
	assert_int_equal(who.role, ROLE_OPERATOR);
	assert_true(who.is_local);
	assert_ok(check4("HTTP_SEC_FETCH_SITE=cross-site", NULL, NULL, NULL,
	    &who, &err), err);
	/* Root, who has become state_dir's owner. */
	assert_true(trusts("PODPROF_LOCAL_UID=0", TOOL, NULL));
	assert_ok(check4(NULL, NULL, NULL, NULL, &who, &err), err);
	assert_string_equal(who.who, "local:0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tokens, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_anonymous, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_remote_user, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_hosts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_browsers, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_tokens_file, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_changes_are_audited,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_first_token_is_audited,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_local, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
