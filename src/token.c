/*
 * The tokens file.  It is read as a whole, is small, and is always replaced
 * as a whole; who may ask for what is decided elsewhere.
 */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

#define PREFIX "podprof_"
#define SECRET_BYTES 32
#define FILE_MODE 0640
#define FILE_GROUP "podprof"

struct token_list {
	struct token *tokens;
	size_t len;
	size_t cap;
};

/* Without the text of the third field in any message: whoever put the token
 * itself there must not find it in a log. */
static int
parse_line(const char *line, struct token *ret_token, struct err *err)
{
	const char *role = strchr(line, ':'), *sha256;
	struct token token = {0};
	char word[16];
	int value;

	sha256 = role != NULL ? strchr(role + 1, ':') : NULL;
	if (sha256 == NULL)
		return err_set(err, ERR_INVALID,
		    "not NAME:viewer|operator:SHA256; remove that line");
	if ((size_t)(role - line) >= sizeof(token.name))
		goto bad_name;
	memcpy(token.name, line, (size_t)(role - line));
	if (!str_is_name(token.name))
		goto bad_name;
	(void)snprintf(word, sizeof(word), "%.*s", (int)(sha256 - role - 1),
	    role + 1);
	value = conf_role_of_name(word);
	if (value != ROLE_VIEWER && value != ROLE_OPERATOR)
		return err_set(err, ERR_INVALID,
		    "\"%s\" is not a role: viewer or operator", word);
	if (!str_is_hex(sha256 + 1, DIGEST_HEX_MAX - 1))
		return err_set(err, ERR_INVALID,
		    "the third field is not 64 lower-case hex digits; it is "
		    "the SHA-256 of the token, never the token");
	token.role = (enum conf_role)value;
	(void)str_unhex(sha256 + 1, DIGEST_BYTES, token.sha256);
	*ret_token = token;
	return 0;
bad_name:
	return err_set(err, ERR_INVALID,
	    "the name is not 1 to %d of letters, digits, \".\", \"_\", \"-\"",
	    STR_NAME_MAX);
}

static int
list_add(struct token_list *list, const struct token *token, struct err *err)
{
	struct token *grown;
	size_t cap, i;

	for (i = 0; i < list->len; i++)
		if (strcmp(list->tokens[i].name, token->name) == 0)
			return err_set(err, ERR_INVALID,
			    "the name %s is given twice", token->name);
	if (list->len == list->cap) {
		cap = list->cap == 0 ? 8 : list->cap * 2;
		grown = reallocarray(list->tokens, cap, sizeof(*grown));
		if (grown == NULL)
			return err_set(err, ERR_NOMEM, "no memory for tokens");
		list->tokens = grown;
		list->cap = cap;
	}
	list->tokens[list->len++] = *token;
	return 0;
}

/* The next line of text, without its end, to line; false after the last. */
static bool
next_line(const char **text, const char *end, char line[TOKEN_LINE_MAX],
    bool *ret_whole)
{
	const char *start = *text, *newline;
	size_t len;

	if (start == end)
		return false;
	newline = memchr(start, '\n', (size_t)(end - start));
	*text = newline != NULL ? newline + 1 : end;
	len = (size_t)((newline != NULL ? newline : end) - start);
	if (len > 0 && start[len - 1] == '\r')
		len--;
	*ret_whole = len < TOKEN_LINE_MAX && memchr(start, '\0', len) == NULL;
	if (len >= TOKEN_LINE_MAX)
		len = TOKEN_LINE_MAX - 1;
	memcpy(line, start, len);
	line[len] = '\0';
	return true;
}

static bool
is_comment(const char *line)
{
	return line[0] == '\0' || line[0] == '#';
}

static int
parse_file(const char *path, const struct buf *text,
    struct token_list **ret_list, struct err *err)
{
	struct token_list *list = calloc(1, sizeof(*list));
	const char *next = buf_str(text), *end = next + text->len;
	char line[TOKEN_LINE_MAX];
	struct token token;
	unsigned number = 0;
	bool whole;

	if (list == NULL)
		return err_set(err, ERR_NOMEM, "no memory for tokens");
	while (next_line(&next, end, line, &whole)) {
		number++;
		if (is_comment(line))
			continue;
		if (!whole)
			(void)err_set(err, ERR_INVALID,
			    "too long, or with a NUL byte");
		if (!whole || parse_line(line, &token, err) != 0 ||
		    list_add(list, &token, err) != 0) {
			token_list_free(&list);
			return err_wrap(err, "%s:%u", path, number);
		}
	}
	*ret_list = list;
	return 0;
}

int
token_list_read(const char *path, struct token_list **ret_list,
    struct err *err)
{
	struct buf text;
	int rc = -1;

	buf_init(&text, TOKEN_FILE_MAX);
	if (file_read(path, &text, err) == 0) {
		rc = parse_file(path, &text, ret_list, err);
	} else if (err->code == ERR_NOT_FOUND) {
		(void)err_set(err, ERR_STORE,
		    "there is no tokens file %s; make one with: podprof token "
		    "new NAME --role operator", path);
	} else if (err->code != ERR_NOMEM) {
		err->code = ERR_STORE;
		(void)err_wrap(err, "the tokens file cannot be read (its "
		    "group must be one of the user's that podprof runs as, "
		    "and its mode 0640)");
	}
	buf_fini(&text);
	return rc;
}

void
token_list_free(struct token_list **list)
{
	if (list == NULL || *list == NULL)
		return;
	free((*list)->tokens);
	free(*list);
	*list = NULL;
}

size_t
token_list_len(const struct token_list *list)
{
	return list->len;
}

const struct token *
token_list_at(const struct token_list *list, size_t i)
{
	return i < list->len ? &list->tokens[i] : NULL;
}

static int
digest_secret(const char *secret, unsigned char out[DIGEST_BYTES],
    struct err *err)
{
	struct digest *digest = NULL;

	if (digest_new(&digest, err) != 0)
		return -1;
	digest_update(digest, secret, strlen(secret));
	digest_finish(digest, out);
	digest_free(&digest);
	return 0;
}

const struct token *
token_list_match(const struct token_list *list, const char *secret)
{
	const struct token *found = NULL;
	unsigned char sum[DIGEST_BYTES];
	size_t i;

	/* Nor does who sends nothing, whatever digest the file has, nor anybody
	 * without memory. */
	if (secret[0] == '\0' || digest_secret(secret, sum, NULL) != 0)
		return NULL;
	for (i = 0; i < list->len; i++)
		if (digest_equal(list->tokens[i].sha256, sum, sizeof(sum)))
			found = &list->tokens[i];
	return found;
}

/* base64url without padding (RFC 4648, 5) of 32 bytes: 43 characters. */
static void
encode_secret(const unsigned char secret[SECRET_BYTES],
    char out[DIGEST_BASE64_MAX])
{
	char *c;

	_Static_assert(SECRET_BYTES == DIGEST_BYTES, "same base64 length");
	digest_base64(secret, out);
	for (c = out; *c != '\0'; c++) {
		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
		else if (*c == '=')
			*c = '\0';
	}
}

int
token_make(const char *name, enum conf_role role, char out[TOKEN_MAX],
    char line[TOKEN_LINE_MAX], struct err *err)
{
	unsigned char secret[SECRET_BYTES];
	char encoded[DIGEST_BASE64_MAX], token[TOKEN_MAX];
	char sha256[DIGEST_HEX_MAX];
	int rc = -1;

	if (!str_is_name(name))
		return err_set(err, ERR_INVALID,
		    "\"%.80s\" is not a token's name: 1 to %d of letters, "
		    "digits, \".\", \"_\", \"-\"", name, STR_NAME_MAX);
	if (role != ROLE_VIEWER && role != ROLE_OPERATOR)
		return err_set(err, ERR_INVALID,
		    "a token's role is viewer or operator");
	if (digest_random(secret, sizeof(secret), err) != 0)
		return -1;
	encode_secret(secret, encoded);
	(void)snprintf(token, sizeof(token), PREFIX "%s", encoded);
	if (digest_hex(token, strlen(token), sha256, err) == 0) {
		memcpy(out, token, sizeof(token));
		(void)snprintf(line, TOKEN_LINE_MAX, "%s:%s:%s", name,
		    conf_role_name(role), sha256);
		rc = 0;
	}
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(encoded, sizeof(encoded));
	explicit_bzero(token, sizeof(token));
	return rc;
}

/*
 * The lock is on the directory, as the file itself is replaced: whoever held
 * a lock on it would hold one on a file that is gone.
 */
static int
lock_directory(const char *path, int *ret_fd, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir;
	int fd, rc = 0;

	dir = slash == NULL ? strdup(".")
			    : strndup(path, (size_t)(slash - path) + 1);
	if (dir == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a path");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		rc = err_set_errno(err, ERR_STORE, errno,
		    "the directory %s of the tokens file (if it is missing: "
		    "install -d -m 0755 %s)", dir, dir);
	} else {
		do
			rc = flock(fd, LOCK_EX);
		while (rc != 0 && errno == EINTR);
		if (rc != 0) {
			(void)err_set_errno(err, ERR_STORE, errno,
			    "cannot lock %s", dir);
			(void)close(fd);
		}
	}
	free(dir);
	if (rc == 0)
		*ret_fd = fd;
	return rc;
}

/* A new file is to be read by the service, whose group is the package's. */
static int
give_to_group(const char *path, struct err *err)
{
	const struct group *group = getgrnam(FILE_GROUP);

	if (group == NULL || chown(path, (uid_t)-1, group->gr_gid) == 0 ||
	    geteuid() != 0)
		return 0;
	return err_set_errno(err, ERR_STORE, errno,
	    "cannot give %s to the group %s", path, FILE_GROUP);
}

static int
write_file(const char *path, const struct buf *text, struct err *err)
{
	mode_t mode = FILE_MODE;
	bool is_new = true;
	struct stat st;

	if (stat(path, &st) == 0) {
		mode = st.st_mode & 07777;
		is_new = false;
	}
	if (file_replace(path, buf_str(text), text->len, mode, err) != 0)
		return err_wrap(err, "the tokens file");
	return is_new ? give_to_group(path, err) : 0;
}

/* The file's text and list; an absent file is an empty one if that may be. */
static int
load(const char *path, bool may_lack, struct buf *text,
    struct token_list **ret_list, struct err *err)
{
	if (file_read(path, text, err) != 0) {
		if (err->code == ERR_NOT_FOUND && !may_lack)
			return err_set(err, ERR_NOT_FOUND,
			    "there is no tokens file %s", path);
		if (err->code != ERR_NOT_FOUND) {
			if (err->code != ERR_NOMEM)
				err->code = ERR_STORE;
			return err_wrap(err, "the tokens file");
		}
	}
	return parse_file(path, text, ret_list, err);
}

/* The file itself, where the path is a symbolic link to it: what is replaced is
 * never the link. */
static int
follow(const char *path, char **ret_path, struct err *err)
{
	char *real = realpath(path, NULL);

	/* It may be missing; who opens it will say what else is wrong. */
	if (real == NULL)
		real = strdup(path);
	if (real == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a path");
	*ret_path = real;
	return 0;
}

static int
append_line(struct buf *text, const char *line, struct err *err)
{
	size_t len = text->len;

	if ((len > 0 && text->data[len - 1] != '\n' &&
		buf_addc(text, '\n', err) != 0) ||
	    buf_adds(text, line, err) != 0 ||
	    buf_addc(text, '\n', err) != 0) {
		if (err->code == ERR_TOO_LARGE)
			err->code = ERR_STORE;
		return err_wrap(err, "the tokens file is full; remove a token");
	}
	return 0;
}

/* Who may not change what is in the directory is told who may. */
static void
tell_who_may(int dir, struct err *err)
{
	struct err why;

	if (err == NULL || err->code != ERR_STORE || geteuid() == 0 ||
	    faccessat(dir, ".", W_OK, AT_EACCESS) == 0 || errno != EACCES)
		return;
	why = *err;
	(void)err_set(err, ERR_FORBIDDEN, "%s; run it as root", why.msg);
}

int
token_add(const char *path, const char *line, struct err *err)
{
	struct token_list *list = NULL;
	int lock = -1, rc = -1;
	char *real = NULL;
	struct token token;
	struct buf text;

	buf_init(&text, TOKEN_FILE_MAX);
	if (parse_line(line, &token, err) != 0 ||
	    follow(path, &real, err) != 0 ||
	    lock_directory(real, &lock, err) != 0 ||
	    load(real, true, &text, &list, err) != 0)
		goto out;
	/* The list refuses a second of the name. */
	if (list_add(list, &token, err) != 0) {
		if (err->code == ERR_INVALID)
			(void)err_set(err, ERR_CONFLICT,
			    "%s has a token %s already; remove it first, or "
			    "take another name", path, token.name);
		goto out;
	}
	if (append_line(&text, line, err) == 0)
		rc = write_file(real, &text, err);
out:
	free(real);
	token_list_free(&list);
	buf_fini(&text);
	if (rc != 0 && lock >= 0)
		tell_who_may(lock, err);
	if (lock >= 0)
		(void)close(lock);
	return rc;
}

/* All but the line of that name, as it is; true if it was there. */
static int
copy_without(const struct buf *text, const char *name, struct buf *out,
    bool *ret_found, struct err *err)
{
	const char *next = buf_str(text), *end = next + text->len, *start;
	char line[TOKEN_LINE_MAX];
	size_t name_len = strlen(name);
	bool whole;

	*ret_found = false;
	for (start = next; next_line(&next, end, line, &whole); start = next) {
		if (!is_comment(line) &&
		    strncmp(line, name, name_len) == 0 &&
		    line[name_len] == ':') {
			*ret_found = true;
			continue;
		}
		if (buf_add(out, start, (size_t)(next - start), err) != 0)
			return -1;
	}
	return 0;
}

int
token_remove(const char *path, const char *name, struct err *err)
{
	struct token_list *list = NULL;
	struct buf text, rest;
	int lock = -1, rc = -1;
	char *real = NULL;
	bool found;

	buf_init(&text, TOKEN_FILE_MAX);
	buf_init(&rest, TOKEN_FILE_MAX);
	if (follow(path, &real, err) != 0 ||
	    lock_directory(real, &lock, err) != 0 ||
	    load(real, false, &text, &list, err) != 0 ||
	    copy_without(&text, name, &rest, &found, err) != 0)
		goto out;
	if (!found)
		(void)err_set(err, ERR_NOT_FOUND, "%s has no token %.80s",
		    path, name);
	else
		rc = write_file(real, &rest, err);
out:
	free(real);
	token_list_free(&list);
	buf_fini(&text);
	buf_fini(&rest);
	if (rc != 0 && lock >= 0)
		tell_who_may(lock, err);
	if (lock >= 0)
		(void)close(lock);
	return rc;
}
