/*
 * The INI syntax of podprof.conf, and nothing of its keys.
 *
 *	# comment            ; comment
 *	[section]            [section label]
 *	key = value          value to the end of the line, trimmed
 *
 * A value may be put in double quotes to keep blanks at its ends or to begin
 * with '#' or ';'; inside, \" and \\ stand for themselves.  There are no
 * comments after a value.  A UTF-8 byte order mark and CRLF are accepted.
 */
#ifndef PODPROF_INI_H
#define PODPROF_INI_H

#include <stddef.h>

#include "err.h"

/*
 * Called for each section header (key and value NULL) and each key.
 * section and label are "" where there is none; all are valid during the
 * call.  line counts from 1.  Returns 0, or -1 with *err to stop.
 */
typedef int ini_visit_fn(void *ctx, const char *section, const char *label,
    const char *key, const char *value, unsigned line, struct err *err);

/*
 * Parse text of len bytes; name is what errors call it.
 *   ERR_INVALID  "NAME:LINE: …": no such syntax, NUL or a control byte, not
 *                UTF-8, a line over 4096 bytes; or what visit returned, with
 *                NAME:LINE put before it
 */
MUST int ini_parse(const char *name, const char *text, size_t len,
    ini_visit_fn *visit, void *ctx, struct err *err);

#endif
