/*
 * Errors as values.
 *
 * A function that can fail returns 0 or -1 and fills a struct err that its
 * caller owns: a code from a closed list, which decides what is done about it,
 * and one line of text for a person.  Nobody logs an error and also returns
 * it: whoever deals with it (a route, the capture, a main) logs it once.
 *
 * The message says what was wrong, with the value that was wrong, and what to
 * do about it where that is known.  It reaches clients and logs as it is, so
 * it must not contain a secret; control bytes are escaped by whoever prints.
 */
#ifndef PODPROF_ERR_H
#define PODPROF_ERR_H

#define MUST __attribute__((warn_unused_result))

/* The name and title of each code: see err_name() and err_title(). */
enum err_code {
	ERR_INTERNAL = 1,	/* a fault of ours */
	ERR_NOMEM,		/* no memory for the request or job */
	ERR_INVALID,		/* malformed parameter, body, file or value */
	ERR_UNAUTHENTICATED,	/* no token, or a wrong one */
	ERR_FORBIDDEN,		/* the role does not allow it */
	ERR_NOT_FOUND,		/* no such app, job, artifact, address */
	ERR_METHOD,		/* that HTTP method does nothing here */
	ERR_NOT_ACCEPTABLE,	/* in no coding that the client accepts */
	ERR_CONFLICT,		/* something that runs excludes it */
	ERR_GONE,		/* it was here, and is no more */
	ERR_PRECONDITION,	/* If-Match, If-Unmodified-Since: not so */
	ERR_TOO_LARGE,		/* a body over its bound */
	ERR_MEDIA_TYPE,		/* a body that is not JSON */
	ERR_RANGE,		/* a Range that the file does not have */
	ERR_KEY_REUSED,		/* an Idempotency-Key with another body */
	ERR_TOO_EARLY,		/* still being made */
	ERR_LIMIT,		/* a limit of this service */
	ERR_TARGET_REFUSED,	/* the inspector refused or spoke nonsense */
	ERR_TARGET_UNREACHABLE,	/* nothing answers at the inspector's address */
	ERR_TARGET_TIMEOUT,	/* the inspector did not answer in time */
	ERR_TARGET_EXITED,	/* the app ended in the middle */
	ERR_STORE,		/* state_dir, database or tokens file unusable */
	ERR_SPACE,		/* not enough memory or disk */
	ERR_INTERRUPTED,	/* podprof-capture ended without a word */
	ERR_UNHEALTHY,		/* to a probe: the app is not alive, or ready */
	ERR_BUSY,		/* it takes longer than anybody waits for it */
};
#define ERR_CODE_MAX ERR_BUSY

/*
 * What a failed system call on state_dir means: ERR_SPACE (ENOSPC, EDQUOT,
 * EFBIG), ERR_NOMEM, or else ERR_STORE.
 */
enum err_code err_code_of_errno(int errnum);

/* Bytes of a message with its NUL; longer text is cut. */
#define ERR_MSG_MAX 512

struct err {
	enum err_code code;
	char msg[ERR_MSG_MAX];
};

/*
 * Fill *err (NULL is allowed and ignored).  Always returns -1, so that
 * `return err_set(err, ERR_INVALID, "…");` is the whole failure path.
 */
int err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set(), with ": " and the system's text for errnum at the end. */
int err_set_errno(struct err *err, enum err_code code, int errnum,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Put "what: " before the message that is there.  Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The name of a code as machines read it: lower case words joined by '-'
 * ("target-unreachable").  It is the `type` of a problem document and of a
 * job's error, so a name never changes.  Never NULL; "internal" for a value
 * that is no code.
 */
const char *err_name(enum err_code code);

/* A short title for people, the same for every error of the code. */
const char *err_title(enum err_code code);

/* The code of a name; ERR_INTERNAL for NULL or a name that is none. */
enum err_code err_code_of_name(const char *name);

#endif
