/*
 * Errors as values: the text of one, and the words for each code.  What a
 * code means to HTTP or to an exit status is the caller's.
 */
#include "err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_word {
	const char *name;
	const char *title;
};

static const struct err_word words[ERR_CODE_MAX + 1] = {
	[ERR_INTERNAL] = {"internal", "Internal error"},
	[ERR_NOMEM] = {"no-memory", "Out of memory"},
	[ERR_INVALID] = {"invalid", "Malformed input"},
	[ERR_UNAUTHENTICATED] = {"unauthenticated", "Authentication required"},
	[ERR_FORBIDDEN] = {"forbidden", "Not allowed"},
	[ERR_NOT_FOUND] = {"not-found", "Not found"},
	[ERR_METHOD] = {"method", "Method not allowed"},
	[ERR_NOT_ACCEPTABLE] = {"not-acceptable", "Not acceptable"},
	[ERR_CONFLICT] = {"conflict", "Conflict"},
	[ERR_GONE] = {"gone", "No longer available"},
	[ERR_PRECONDITION] = {"precondition", "Precondition failed"},
	[ERR_TOO_LARGE] = {"too-large", "Too large"},
	[ERR_MEDIA_TYPE] = {"media-type", "Unsupported media type"},
	[ERR_RANGE] = {"range", "Range not satisfiable"},
	[ERR_KEY_REUSED] = {"key-reused", "Idempotency key used already"},
	[ERR_TOO_EARLY] = {"too-early", "Not ready yet"},
	[ERR_LIMIT] = {"limit", "Limit reached"},
	[ERR_TARGET_REFUSED] = {"target-refused", "Refused by the inspector"},
	[ERR_TARGET_UNREACHABLE] = {"target-unreachable",
	    "Inspector not reachable"},
	[ERR_TARGET_TIMEOUT] = {"target-timeout",
	    "No answer from the inspector in time"},
	[ERR_TARGET_EXITED] = {"target-exited", "The app ended"},
	[ERR_STORE] = {"state", "State not usable"},
	[ERR_SPACE] = {"space", "Not enough space"},
	[ERR_INTERRUPTED] = {"interrupted", "Capture interrupted"},
	[ERR_UNHEALTHY] = {"unhealthy", "Not alive, or not ready"},
	[ERR_BUSY] = {"busy", "Still at work"},
};

/* Text that was cut must not end inside a UTF-8 character: it would make the
 * whole message malformed for whoever reads it. */
static void
drop_cut_char(char *s)
{
	size_t len = strlen(s), start = len;

	while (start > 0 && ((unsigned char)s[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)s[start - 1] >= 0xc0)
		start--;
	s[start] = '\0';
}

/* Through a copy, as the arguments may point into err->msg. */
static void
set_text(struct err *err, const char *fmt, va_list ap, const char *tail1,
    const char *tail2)
{
	char head[ERR_MSG_MAX], whole[ERR_MSG_MAX];
	int n;

	if (vsnprintf(head, sizeof(head), fmt, ap) >= (int)sizeof(head))
		drop_cut_char(head);
	n = snprintf(whole, sizeof(whole), "%s%s%s", head, tail1, tail2);
	if (n >= (int)sizeof(whole))
		drop_cut_char(whole);
	memcpy(err->msg, whole, sizeof(whole));
}

int
err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, fmt);
	set_text(err, fmt, ap, "", "");
	va_end(ap);
	err->code = code;
	return -1;
}

int
err_set_errno(struct err *err, enum err_code code, int errnum,
    const char *fmt, ...)
{
	char unknown[32];
	const char *text;
	va_list ap;

	if (err == NULL)
		return -1;
	text = strerrordesc_np(errnum);
	if (text == NULL) {
		(void)snprintf(unknown, sizeof(unknown), "error %d", errnum);
		text = unknown;
	}
	va_start(ap, fmt);
	set_text(err, fmt, ap, ": ", text);
	va_end(ap);
	err->code = code;
	return -1;
}

int
err_wrap(struct err *err, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, fmt);
	set_text(err, fmt, ap, ": ", err->msg);
	va_end(ap);
	return -1;
}

static const struct err_word *
find_word(enum err_code code)
{
	if (code < ERR_INTERNAL || code > ERR_CODE_MAX)
		code = ERR_INTERNAL;
	assert(words[code].name != NULL);
	return &words[code];
}

const char *
err_name(enum err_code code)
{
	return find_word(code)->name;
}

const char *
err_title(enum err_code code)
{
	return find_word(code)->title;
}

enum err_code
err_code_of_name(const char *name)
{
	int code;

	if (name == NULL)
		return ERR_INTERNAL;
	for (code = ERR_INTERNAL; code <= ERR_CODE_MAX; code++)
		if (strcmp(words[code].name, name) == 0)
			return (enum err_code)code;
	return ERR_INTERNAL;
}

enum err_code
err_code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_SPACE;
	case ENOMEM:
		return ERR_NOMEM;
	default:
		return ERR_STORE;
	}
}
