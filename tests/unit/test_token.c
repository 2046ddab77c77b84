/* The tokens file: what is let in, and what two at once do to it. */
#include "test.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sys/stat.h>

#include "buf.h"
#include "digest.h"
#include "file.h"
#include "token.h"

static int rename_errno;
static int chown_errno;
static int chown_calls;
static gid_t chown_gid;
static int have_group;
static uid_t effective_uid;

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_chown(const char *path, uid_t uid, gid_t gid);
struct group *__wrap_getgrnam(const char *name);
uid_t __wrap_geteuid(void);

int
__wrap_rename(const char *from, const char *to)
{
	errno = rename_errno;
	return rename_errno != 0 ? -1 : __real_rename(from, to);
}

int
__wrap_chown(const char *path, uid_t uid, gid_t gid)
{
	(void)path;
	assert_int_equal(uid, (uid_t)-1);
	chown_calls++;
	chown_gid = gid;
	errno = chown_errno;
	return chown_errno != 0 ? -1 : 0;
}

struct group *
__wrap_getgrnam(const char *name)
{
	static struct group group = {.gr_gid = 4711};

	assert_string_equal(name, "podprof");
	return have_group ? &group : NULL;
}

uid_t
__wrap_geteuid(void)
{
	return effective_uid;
}

#define ABC_SHA256 \
	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY_SHA256 \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char dir[256];
static char path[300];

static int
make_dir(void **state)
{
	(void)state;
	rename_errno = chown_errno = chown_calls = have_group = 0;
	effective_uid = 1000;
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/tokens", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	rename_errno = 0;
	test_remove_dir(dir);
	return 0;
}

static void
write_tokens(const char *text, size_t len)
{
	struct err err;

	assert_ok(file_replace(path, text, len, 0640, &err), err);
}

static struct token_list *
read_tokens(void)
{
	struct token_list *list = NULL;
	struct err err;

	assert_ok(token_list_read(path, &list, &err), err);
	return list;
}

static void
assert_content(const char *want)
{
	struct err err;
	struct buf b;

	buf_init(&b, TOKEN_FILE_MAX);
	assert_ok(file_read(path, &b, &err), err);
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
}

static void
lines_become_tokens(void **state)
{
	static const char text[] = "# who\n\nci:operator:" ABC_SHA256 "\r\n"
	    "#off:viewer:" ABC_SHA256 "\nA.b_c-1:viewer:" EMPTY_SHA256;
	struct token_list *list;

	(void)state;
	write_tokens(text, sizeof(text) - 1);
	list = read_tokens();
	assert_int_equal(token_list_len(list), 2);
	assert_string_equal(token_list_at(list, 0)->name, "ci");
	assert_int_equal(token_list_at(list, 0)->role, ROLE_OPERATOR);
	assert_memory_equal(token_list_at(list, 0)->sha256, "\xba\x78\x16", 3);
	assert_string_equal(token_list_at(list, 1)->name, "A.b_c-1");
	assert_int_equal(token_list_at(list, 1)->role, ROLE_VIEWER);
	assert_null(token_list_at(list, 2));
	token_list_free(&list);
	assert_null(list);
	token_list_free(&list);
	token_list_free(NULL);
}

static void
secrets_are_matched(void **state)
{
	static const char text[] = "ci:operator:" ABC_SHA256 "\n"
	    "none:viewer:" EMPTY_SHA256 "\n";
	struct token_list *list;

	(void)state;
	write_tokens(text, sizeof(text) - 1);
	list = read_tokens();
	assert_ptr_equal(token_list_match(list, "abc"),
	    token_list_at(list, 0));
	/* Whoever sends nothing is nobody, whatever the file says. */
	assert_null(token_list_match(list, ""));
	assert_null(token_list_match(list, "abd"));
	assert_null(token_list_match(list, "abc "));
	assert_null(token_list_match(list, ABC_SHA256));
	assert_null(token_list_match(list, "ci"));
	token_list_free(&list);
	write_tokens("", 0);
	list = read_tokens();
	assert_int_equal(token_list_len(list), 0);
	assert_null(token_list_match(list, "abc"));
	token_list_free(&list);
}

static void
malformed_lines_are_refused(void **state)
{
	static const struct {
		const char *line;
		const char *want;
	} wrong[] = {
		{"ci", "not NAME:viewer|operator:SHA256; remove that line"},
		{"ci:operator", "not NAME:viewer|operator:SHA256; remove"},
		{":operator:" ABC_SHA256, "the name is not"},
		{"a b:operator:" ABC_SHA256, "the name is not"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaa:viewer:x", "the name is not"},
		{"ci:none:" ABC_SHA256, "\"none\" is not a role"},
		{"ci:Viewer:" ABC_SHA256, "\"Viewer\" is not a role"},
		{"ci::" ABC_SHA256, "\"\" is not a role"},
		{"ci:operators-and-more:" ABC_SHA256, "is not a role"},
		{"ci:viewer:", "third field"},
		{"ci:viewer:" ABC_SHA256 "0", "third field"},
		{"ci:viewer:" ABC_SHA256 " ", "third field"},
		{"ci:viewer:" ABC_SHA256 ":x", "third field"},
		{" ", "not NAME"},
	};
	struct token_list *list = NULL;
	char text[400], want[400];
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)snprintf(text, sizeof(text), "# c\n%s\n", wrong[i].line);
		write_tokens(text, strlen(text));
		(void)snprintf(want, sizeof(want), "%s:2: ", path);
		assert_err(token_list_read(path, &list, &err), err,
		    ERR_INVALID, want);
		assert_non_null(strstr(err.msg, wrong[i].want));
		assert_null(list);
	}
	write_tokens("ci:viewer:" ABC_SHA256 "\0\n", 75 + 1);
	assert_err(token_list_read(path, &list, &err), err, ERR_INVALID,
	    "NUL byte");
	memset(text, 'x', sizeof(text));
	write_tokens(text, sizeof(text));
	assert_err(token_list_read(path, &list, &err), err, ERR_INVALID,
	    ":1: too long");
	(void)snprintf(text, sizeof(text), "a:viewer:" ABC_SHA256 "\n"
	    "a:viewer:" EMPTY_SHA256 "\n");
	write_tokens(text, strlen(text));
	assert_err(token_list_read(path, &list, &err), err, ERR_INVALID,
	    ":2: the name a is given twice");
}

/* A token in the place of its digest must not get into a log. */
static void
messages_hold_no_secret(void **state)
{
	static const char text[] = "ci:viewer:podprof_SECRET\n";
	struct token_list *list = NULL;
	struct err err;

	(void)state;
	write_tokens(text, sizeof(text) - 1);
	assert_err(token_list_read(path, &list, &err), err, ERR_INVALID,
	    "never the token");
	assert_null(strstr(err.msg, "SECRET"));
}

static void
unreadable_files_let_nobody_in(void **state)
{
	static char large[TOKEN_FILE_MAX + 1];
	struct token_list *list = NULL;
	struct err err;

	(void)state;
	assert_err(token_list_read(path, &list, &err), err, ERR_STORE,
	    "podprof token new NAME --role operator");
	assert_err(token_list_read(dir, &list, &err), err, ERR_STORE,
	    "its mode 0640");
	memset(large, '\n', sizeof(large));
	write_tokens(large, sizeof(large));
	assert_err(token_list_read(path, &list, &err), err, ERR_STORE,
	    "over the bound");
	assert_null(list);
}

static void
made_tokens_are_random_and_match(void **state)
{
	char token[TOKEN_MAX], line[TOKEN_LINE_MAX], other[TOKEN_MAX];
	char sha256[DIGEST_HEX_MAX], want[TOKEN_LINE_MAX];
	struct token_list *list;
	struct err err;
	int i;

	(void)state;
	other[0] = '\0';
	for (i = 0; i < 100; i++) {
		assert_ok(token_make("ci", ROLE_OPERATOR, token, line, &err),
		    err);
		assert_int_equal(strlen(token), 8 + 43);
		assert_memory_equal(token, "podprof_", 8);
		assert_int_equal(strspn(token + 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "abcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
		assert_string_not_equal(token, other);
		memcpy(other, token, sizeof(other));
	}
	assert_ok(digest_hex(token, strlen(token), sha256, &err), err);
	(void)snprintf(want, sizeof(want), "ci:operator:%s", sha256);
	assert_string_equal(line, want);
	assert_ok(token_add(path, line, &err), err);
	list = read_tokens();
	assert_ptr_equal(token_list_match(list, token),
	    token_list_at(list, 0));
	token_list_free(&list);
	memset(token, 'z', sizeof(token));
	assert_err(token_make("a:b", ROLE_VIEWER, token, line, &err), err,
	    ERR_INVALID, "\"a:b\" is not a token's name");
	assert_err(token_make("a", ROLE_NONE, token, line, &err), err,
	    ERR_INVALID, "viewer or operator");
	assert_int_equal(token[0], 'z');
}

static void
lines_are_added_at_the_end(void **state)
{
	static const char mine[] = "# mine\n\na:viewer:" ABC_SHA256;
	struct stat st;
	struct err err;

	(void)state;
	have_group = 1;
	assert_ok(token_add(path, "a:viewer:" ABC_SHA256, &err), err);
	assert_int_equal(chown_calls, 1);
	assert_int_equal(chown_gid, 4711);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_content("a:viewer:" ABC_SHA256 "\n");
	/* The last line may lack its end; a mode that was set is kept. */
	write_tokens(mine, sizeof(mine) - 1);
	assert_int_equal(chmod(path, 0600), 0);
	assert_ok(token_add(path, "b:operator:" EMPTY_SHA256, &err), err);
	assert_content("# mine\n\na:viewer:" ABC_SHA256 "\nb:operator:"
	    EMPTY_SHA256 "\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(chown_calls, 1);
}

static void
what_cannot_be_added_changes_nothing(void **state)
{
	static const char before[] = "a:viewer:" ABC_SHA256 "\n";
	struct err err;

	(void)state;
	write_tokens(before, sizeof(before) - 1);
	assert_err(token_add(path, "a:operator:" EMPTY_SHA256, &err), err,
	    ERR_CONFLICT, "has a token a already");
	assert_err(token_add(path, "b:operator", &err), err, ERR_INVALID,
	    "not NAME");
	rename_errno = EROFS;
	assert_err(token_add(path, "b:viewer:" EMPTY_SHA256, &err), err,
	    ERR_STORE, "Read-only file system");
	rename_errno = ENOSPC;
	assert_err(token_add(path, "b:viewer:" EMPTY_SHA256, &err), err,
	    ERR_SPACE, path);
	rename_errno = 0;
	assert_content(before);
	write_tokens("broken\n", 7);
	assert_err(token_add(path, "b:viewer:" EMPTY_SHA256, &err), err,
	    ERR_INVALID, ":1: not NAME");
	assert_content("broken\n");
	(void)strcat(path, "/x/y");
	assert_err(token_add(path, "b:viewer:" EMPTY_SHA256, &err), err,
	    ERR_STORE, "the directory");
}

/* What is replaced is the file, wherever it is, and not the link to it. */
static void
links_are_followed(void **state)
{
	static const char text[] = "a:viewer:" ABC_SHA256 "\n";
	char target[300];
	struct stat st;
	struct err err;

	(void)state;
	write_tokens(text, strlen(text));
	(void)snprintf(target, sizeof(target), "%s/elsewhere", dir);
	/* rename(2) itself is watched here. */
	assert_int_equal(link(path, target), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_ok(token_add(path, "b:operator:" EMPTY_SHA256, &err), err);
	assert_content("a:viewer:" ABC_SHA256 "\nb:operator:" EMPTY_SHA256
	    "\n");
	assert_ok(token_remove(path, "a", &err), err);
	assert_content("b:operator:" EMPTY_SHA256 "\n");
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(target, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void
a_full_file_takes_no_more(void **state)
{
	static char text[TOKEN_FILE_MAX - 20];
	struct err err;

	(void)state;
	memset(text, '\n', sizeof(text));
	write_tokens(text, sizeof(text));
	assert_err(token_add(path, "b:viewer:" EMPTY_SHA256, &err), err,
	    ERR_STORE, "full; remove a token");
}

static void
the_group_matters_to_root_only(void **state)
{
	struct err err;

	(void)state;
	have_group = 1;
	chown_errno = EPERM;
	assert_ok(token_add(path, "a:viewer:" ABC_SHA256, &err), err);
	assert_int_equal(unlink(path), 0);
	effective_uid = 0;
	assert_err(token_add(path, "a:viewer:" ABC_SHA256, &err), err,
	    ERR_STORE, "to the group podprof");
	assert_int_equal(unlink(path), 0);
	have_group = 0;
	assert_ok(token_add(path, "a:viewer:" ABC_SHA256, &err), err);
}

static void
who_may_not_is_told_who_may(void **state)
{
	const bool is_root = getuid() == 0;
	struct err err;

	(void)state;
	write_tokens("a:viewer:" ABC_SHA256 "\n", 75);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(dir, 0555), 0);
	if (is_root)
		assert_int_equal(seteuid(65534), 0);
	assert_err(token_add(path, "b:viewer:" ABC_SHA256, &err), err,
	    ERR_FORBIDDEN, ": Permission denied; run it as root");
	assert_err(token_remove(path, "a", &err), err, ERR_FORBIDDEN,
	    ": Permission denied; run it as root");
	assert_err(token_remove(path, "b", &err), err, ERR_NOT_FOUND,
	    "no token b");
	assert_null(strstr(err.msg, "root"));
	assert_content("a:viewer:" ABC_SHA256 "\n");
	if (is_root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(dir, 0700), 0);
	/* Another fault is not for want of rights. */
	rename_errno = EIO;
	assert_err(token_remove(path, "a", &err), err, ERR_STORE,
	    "Input/output error");
	assert_null(strstr(err.msg, "root"));
}

static void
a_line_is_taken_out(void **state)
{
	static const char text[] = "# c\nab:viewer:" ABC_SHA256 "\n"
	    "a:viewer:" ABC_SHA256 "\n# a:\nb:viewer:" EMPTY_SHA256;
	struct err err;

	(void)state;
	assert_err(token_remove(path, "a", &err), err, ERR_NOT_FOUND,
	    "no tokens file");
	write_tokens(text, sizeof(text) - 1);
	assert_err(token_remove(path, "c", &err), err, ERR_NOT_FOUND,
	    "no token c");
	assert_err(token_remove(path, "# a", &err), err, ERR_NOT_FOUND,
	    "no token");
	assert_err(token_remove(path, "", &err), err, ERR_NOT_FOUND,
	    "no token");
	assert_content(text);
	assert_ok(token_remove(path, "a", &err), err);
	assert_content("# c\nab:viewer:" ABC_SHA256 "\n# a:\nb:viewer:"
	    EMPTY_SHA256);
	assert_ok(token_remove(path, "b", &err), err);
	assert_ok(token_remove(path, "ab", &err), err);
	assert_content("# c\n# a:\n");
}

#define THREADS 4
#define PER_THREAD 10

static void *
add_many(void *ctx)
{
	char line[TOKEN_LINE_MAX];
	struct err err;
	int i;

	for (i = 0; i < PER_THREAD; i++) {
		(void)snprintf(line, sizeof(line), "%s-%d:viewer:" ABC_SHA256,
		    (const char *)ctx, i);
		if (token_add(path, line, &err) != 0)
			return ctx;
	}
	return NULL;
}

static void
two_at_once_lose_nothing(void **state)
{
	static char names[THREADS][16];
	pthread_t threads[THREADS];
	struct token_list *list;
	void *failed;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "t%d", i);
		assert_int_equal(pthread_create(&threads[i], NULL, add_many,
		    names[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	list = read_tokens();
	assert_int_equal(token_list_len(list), THREADS * PER_THREAD);
	token_list_free(&list);
}

#define WITH_DIR(test) \
	cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(lines_become_tokens),
		WITH_DIR(secrets_are_matched),
		WITH_DIR(malformed_lines_are_refused),
		WITH_DIR(messages_hold_no_secret),
		WITH_DIR(unreadable_files_let_nobody_in),
		WITH_DIR(made_tokens_are_random_and_match),
		WITH_DIR(lines_are_added_at_the_end),
		WITH_DIR(what_cannot_be_added_changes_nothing),
		WITH_DIR(links_are_followed),
		WITH_DIR(a_full_file_takes_no_more),
		WITH_DIR(the_group_matters_to_root_only),
		WITH_DIR(who_may_not_is_told_who_may),
		WITH_DIR(a_line_is_taken_out),
		WITH_DIR(two_at_once_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
