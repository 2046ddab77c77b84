/*
 * What the files of conf share: the table of keys and what is behind a struct
 * conf.  For conf*.c only; everybody else has conf.h.
 */
#ifndef PODPROF_CONF_PARTS_H
#define PODPROF_CONF_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"

#define CONF_POD_MAX 253	/* as a Kubernetes pod's name */
#define CONF_KEYS_LEN 32
#define CONF_WORDS_MAX 128	/* bytes of all words of a key */

enum conf_section {
	SECTION_PODPROF,
	SECTION_AUTH,
	SECTION_APP,
	SECTION_LIMITS,
	SECTION_ARTIFACTS,
	SECTIONS_LEN,
};
extern const char *const conf_section_names[SECTIONS_LEN];

enum conf_kind {
	KIND_TEXT,	/* const char * */
	KIND_INT,	/* int64_t */
	KIND_SIZE,	/* int64_t */
	KIND_DURATION,	/* int64_t, ms */
	KIND_WORD,	/* an enum: the index in words */
	KIND_SWITCH,	/* bool: the index in words */
};

/* Refuses a text that a key cannot have. */
typedef int conf_check_fn(const char *text, struct err *err);

struct conf_key {
	enum conf_section section;
	const char *name;
	enum conf_kind kind;
	size_t at;		/* in struct conf, or struct conf_app */
	const char *initial;	/* the default */
	int64_t min, max;	/* of numbers; sizes in bytes, times in ms */
	const char *const *words;
	conf_check_fn *check;	/* of a text */
	const char *form;	/* of a text, in words */
	const char *sentence;
};

/* In the order in which they are shown, section by section. */
extern const struct conf_key conf_keys[CONF_KEYS_LEN];

/* The key of that name; NULL if there is none. */
const struct conf_key *conf_key_find(enum conf_section section,
    const char *name);

/*
 * Check text and put its meaning into the field of the key.
 *
 * text  what a text's field will point to.
 * base  the struct conf, or the struct conf_app of an app's key.
 *
 * ERR_INVALID says what is allowed, and not which key it was.
 */
MUST int conf_key_parse(const struct conf_key *key, const char *text,
    void *base, struct err *err);

/* The words that a key can have: "none, viewer, operator". */
void conf_key_words(const struct conf_key *key, char out[CONF_WORDS_MAX]);

/* What was given for a key, and where. */
struct conf_value {
	const char *text;	/* NULL: nothing yet */
	enum conf_origin origin;
	unsigned line;		/* ORIGIN_FILE */
	const char *detail;	/* the variable, or where a default is from */
};

struct conf_entry {
	struct conf_app app;
	struct conf_value values[CONF_KEYS_LEN];
};

/* A string that the configuration owns. */
struct conf_kept {
	struct conf_kept *next;
	char text[];
};

/* Strings that the configuration keeps. */
struct conf_texts {
	const char **texts;
	size_t len;
};

/* What is behind a struct conf, which is its first member. */
struct conf_store {
	struct conf conf;
	struct conf_value values[CONF_KEYS_LEN];
	struct conf_entry *entries[CONF_APPS_MAX];
	size_t entries_len;
	struct conf_kept *kept;
	struct conf_texts ignored;
};

/* What is behind a struct conf that conf_load() gave. */
static inline const struct conf_store *
conf_store_of(const struct conf *conf)
{
	return (const struct conf_store *)(const void *)conf;
}

/*
 * Called for each key with its value, in the table's order: the keys of [app]
 * once for each app, whose name is app; it is NULL elsewhere.
 */
typedef int conf_walk_fn(void *ctx, const char *section, const char *app,
    const struct conf_key *key, const struct conf_value *value,
    struct err *err);

/* Stops where visit fails, and returns that. */
MUST int conf_walk(const struct conf_store *store, conf_walk_fn *visit,
    void *ctx, struct err *err);

#endif
