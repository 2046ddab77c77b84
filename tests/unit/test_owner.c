/* Whom state_dir belongs to, and becoming that user. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "test.h"

#include "owner.h"

static char dir[256];
static uid_t we;		/* what geteuid(2) says */
static struct passwd *entry;	/* what getpwuid(3) says */
static char calls[256];		/* what was called, in order */
static const char *broken;	/* the call that fails */

uid_t __wrap_geteuid(void);
struct passwd *__wrap_getpwuid(uid_t uid);
int __wrap_initgroups(const char *user, gid_t group);
int __wrap_setgroups(size_t len, const gid_t *list);
int __wrap_setresgid(gid_t r, gid_t e, gid_t s);
int __wrap_setresuid(uid_t r, uid_t e, uid_t s);

uid_t
__wrap_geteuid(void)
{
	return we;
}

struct passwd *
__wrap_getpwuid(uid_t uid)
{
	(void)uid;
	return entry;
}

static int call(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Note it; it fails if it begins with what is broken. */
static int
call(const char *fmt, ...)
{
	const size_t len = strlen(calls);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(calls + len, sizeof(calls) - len, fmt, ap);
	va_end(ap);
	if (broken == NULL ||
	    strncmp(calls + len, broken, strlen(broken)) != 0)
		return 0;
	errno = EPERM;
	return -1;
}

int
__wrap_initgroups(const char *user, gid_t group)
{
	return call("initgroups %s %u;", user, (unsigned)group);
}

int
__wrap_setgroups(size_t len, const gid_t *list)
{
	assert_null(list);
	return call("setgroups %zu;", len);
}

int
__wrap_setresgid(gid_t r, gid_t e, gid_t s)
{
	assert_int_equal(r, e);
	assert_int_equal(r, s);
	return call("gid %u;", (unsigned)r);
}

int
__wrap_setresuid(uid_t r, uid_t e, uid_t s)
{
	assert_int_equal(r, e);
	assert_int_equal(r, s);
	return call("uid %u;", (unsigned)r);
}

static int
set_up(void **state)
{
	(void)state;
	test_make_dir(dir);
	we = getuid();
	entry = NULL;
	calls[0] = '\0';
	broken = NULL;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	test_remove_dir(dir);
	return 0;
}

static void
test_find(void **state)
{
	char name[] = "somebody";
	struct passwd somebody = {.pw_name = name, .pw_gid = 77};
	struct owner owner;
	struct stat st;
	struct err err;
	char text[64];

	(void)state;
	assert_int_equal(stat(dir, &st), 0);
	assert_ok(owner_find(dir, &owner, &err), err);
	assert_int_equal(owner.uid, st.st_uid);
	assert_int_equal(owner.gid, st.st_gid);
	(void)snprintf(text, sizeof(text), "uid %u", (unsigned)st.st_uid);
	assert_string_equal(owner.name, text);
	entry = &somebody;
	we = 0;
	assert_ok(owner_find(dir, &owner, &err), err);
	assert_string_equal(owner.name, "somebody");
	assert_int_equal(owner.gid, 77);
	we = st.st_uid + 1;
	memset(&owner, 0, sizeof(owner));
	assert_err(owner_find(dir, &owner, &err), err, ERR_FORBIDDEN,
	    "belongs to somebody");
	assert_string_equal(owner.name, "");
}

static void
test_not_there(void **state)
{
	struct owner owner;
	struct err err;
	char path[300];
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_err(owner_find(path, &owner, &err), err, ERR_NOT_FOUND,
	    "--url");
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_err(owner_find(path, &owner, &err), err, ERR_STORE,
	    "no directory");
	(void)strcat(path, "/below");
	assert_err(owner_find(path, &owner, &err), err, ERR_NOT_FOUND,
	    "--url");
}

static void
test_become(void **state)
{
	char name[] = "somebody";
	struct passwd somebody = {.pw_name = name, .pw_gid = 77};
	const struct owner owner = {.uid = 1234, .gid = 77, .name = "x"};
	static const char *const fatal[] = {"initgroups", "gid", "uid"};
	struct err err;
	size_t i;

	(void)state;
	/* Already. */
	we = 1234;
	assert_ok(owner_become(&owner, &err), err);
	assert_string_equal(calls, "");
	/* The groups first, the user last: then nothing more can be done. */
	we = 0;
	assert_ok(owner_become(&owner, &err), err);
	assert_string_equal(calls, "setgroups 0;gid 77;uid 1234;");
	calls[0] = '\0';
	entry = &somebody;
	assert_ok(owner_become(&owner, &err), err);
	assert_string_equal(calls, "initgroups somebody 77;gid 77;uid 1234;");
	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		broken = fatal[i];
		assert_err(owner_become(&owner, &err), err, ERR_INTERNAL,
		    "cannot become x");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_not_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_become, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
