/*
 * Query parameters: declared in a table, checked before any handler sees them.
 *
 * The query is application/x-www-form-urlencoded: '&' between pairs, '+' is a
 * blank, %XX a byte.  A parameter that is not declared is ignored.
 */
#ifndef PODPROF_PARAMS_H
#define PODPROF_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define PARAMS_MAX 4		/* declared for one route */
#define PARAMS_QUERY_MAX 4096	/* bytes of a query */
#define PARAMS_PAIRS_MAX 64	/* pairs of a query, declared or not */
#define PARAM_TEXT_MAX 80	/* bytes of a declared value with its NUL */

enum param_type {
	PARAM_INT,	/* a whole number in min..max */
	PARAM_NUMBER,	/* any decimal number; the handler clamps it */
	PARAM_NAME,	/* str_is_name() */
	PARAM_UUID,	/* uuid_is_valid() */
	PARAM_WORD,	/* one that word() knows */
};

struct param_spec {
	const char *name;		/* NULL ends a table */
	enum param_type type;
	bool may_be_empty;		/* "name=" is as good as absent */
	int64_t min, max;		/* PARAM_INT */
	int (*word)(const char *text);	/* PARAM_WORD: its value, or -1 */
	const char *allowed;		/* PARAM_WORD: the words, for people */
};

struct param {
	bool given;
	int64_t integer;		/* PARAM_INT; PARAM_WORD: its value */
	double number;			/* PARAM_NUMBER */
	char text[PARAM_TEXT_MAX];	/* as it was sent, decoded */
};

/* The values of one query, in the order of the specs, which are borrowed. */
struct params {
	const struct param_spec *specs;	/* NULL: none are declared */
	struct param values[PARAMS_MAX];
};

/*
 * Parse a query (NULL or "": empty) by a table, which may be NULL.
 *
 *   ERR_INVALID  the query or a pair is over its bound; a '%' without two hex
 *                digits; a declared parameter that is given twice, empty, of
 *                the wrong form or out of range, or with a byte that is not
 *                printable UTF-8: the message names it and what is allowed
 */
MUST int params_parse(const struct param_spec *specs, const char *query,
    struct params *ret_params, struct err *err);

/* A value, or the fallback if it was not given.  The name must be declared
 * with that type: assert. */
int64_t params_int(const struct params *params, const char *name,
    int64_t fallback);
double params_number(const struct params *params, const char *name,
    double fallback);
const char *params_text(const struct params *params, const char *name);

#endif
