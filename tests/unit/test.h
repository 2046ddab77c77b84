/*
 * What every unit program needs: cmocka with its prerequisites, and a
 * directory of its own for files.
 */
#ifndef PODPROF_TEST_H
#define PODPROF_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "err.h"

/* Fail with the error's own text where 0 was expected. */
#define assert_ok(call, err)                                                   \
	do {                                                                   \
		(err).msg[0] = '\0';                                           \
		if ((call) != 0)                                               \
			fail_msg("%s: %s", #call, (err).msg);                  \
	} while (0)

/* Expect -1 with this code and, in the message, this text. */
#define assert_err(call, err, want_code, want_text)                            \
	do {                                                                   \
		(err).code = 0;                                                \
		(err).msg[0] = '\0';                                           \
		assert_int_equal((call), -1);                                  \
		assert_int_equal((err).code, (want_code));                     \
		if (strstr((err).msg, (want_text)) == NULL)                    \
			fail_msg("\"%s\" lacks \"%s\"", (err).msg,             \
			    (want_text));                                      \
	} while (0)

/* Make a fresh directory below TMPDIR; path has room for 256 bytes.  It is
 * the test's to remove. */
static inline void
test_make_dir(char path[256])
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(path, 256, "%s/podprof-test-XXXXXX",
	    base != NULL ? base : "/tmp");
	if (mkdtemp(path) == NULL)
		fail_msg("mkdtemp %s", path);
}

/* Remove a directory made by test_make_dir() with all below it.  A process that
 * the test has left behind may be about to make a file there, and end. */
static inline void
test_remove_dir(const char *path)
{
	char command[400];

	(void)snprintf(command, sizeof(command), "n=0; "
	    "until rm -rf '%s' 2>/dev/null; do "
	    "n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done", path);
	if (system(command) != 0)
		fail_msg("%s", command);
}

#endif
