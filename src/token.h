/*
 * The tokens file: who may do what.
 *
 *	# comment
 *	NAME:viewer|operator:SHA256-OF-TOKEN-IN-HEX
 *
 * A token is "podprof_" and 256 random bits in base64url without padding (43
 * characters).  Only its digest is kept; being random, it needs no salt.
 */
#ifndef PODPROF_TOKEN_H
#define PODPROF_TOKEN_H

#include <stddef.h>

#include "conf.h"
#include "digest.h"
#include "err.h"
#include "str.h"

#define TOKEN_MAX 64		/* bytes of a token with its NUL */
#define TOKEN_FILE_MAX (256 << 10)
#define TOKEN_LINE_MAX 160	/* bytes of a line with its NUL */

struct token {
	char name[STR_NAME_MAX + 1];
	enum conf_role role;
	unsigned char sha256[DIGEST_BYTES];
};

struct token_list;

/*
 * Read the file.
 *   ERR_STORE    it is not there or cannot be read: nobody gets in, and the
 *                message says how to make one
 *   ERR_INVALID  "PATH:LINE: …": malformed, or a name given twice
 *   ERR_NOMEM
 */
MUST int token_list_read(const char *path, struct token_list **ret_list,
    struct err *err);
void token_list_free(struct token_list **list);
size_t token_list_len(const struct token_list *list);
const struct token *token_list_at(const struct token_list *list, size_t i);

/*
 * The entry whose token this is; NULL if none.  secret: any text a client
 * sent.  Every entry is compared, each in constant time.
 */
const struct token *token_list_match(const struct token_list *list,
    const char *secret);

/*
 * Make a token: out gets the secret, line the file's line for it (without a
 * newline).  ERR_INVALID if name is none; ERR_INTERNAL.
 */
MUST int token_make(const char *name, enum conf_role role,
    char out[TOKEN_MAX], char line[TOKEN_LINE_MAX], struct err *err);

/*
 * Add a line to the file, which is made (0640, group podprof if there is such
 * a group) where missing.  Comments and order are kept; replaced in one step,
 * under a lock, so that two at once lose nothing.  Where the path is a symbolic
 * link, the file that it leads to is meant.
 *   ERR_CONFLICT  the name is there already
 *   ERR_FORBIDDEN  who calls may not change what is in its directory
 *   ERR_INVALID, ERR_STORE, ERR_SPACE
 */
MUST int token_add(const char *path, const char *line, struct err *err);

/* Take the line of that name out.  ERR_NOT_FOUND, else as token_add(). */
MUST int token_remove(const char *path, const char *name, struct err *err);

#endif
