/*
 * The configuration in print: what it is, as INI and as JSON, and the
 * template of a file.  Text is written so that conf_load() reads it back.
 */
#include "conf.h"

#include <stdio.h>
#include <string.h>

#include "conf_parts.h"
#include "json.h"
#include "str.h"

#define ORIGIN_MAX 20000	/* bytes of an origin: a path, escaped */

static int
walk_section(const struct conf_store *store, enum conf_section section,
    const struct conf_entry *entry, conf_walk_fn *visit, void *ctx,
    struct err *err)
{
	const char *app = entry != NULL ? entry->app.name : NULL;
	const struct conf_value *values =
	    entry != NULL ? entry->values : store->values;
	size_t i;

	for (i = 0; i < CONF_KEYS_LEN; i++)
		if (conf_keys[i].section == section &&
		    visit(ctx, conf_section_names[section], app, &conf_keys[i],
			&values[i], err) != 0)
			return -1;
	return 0;
}

int
conf_walk(const struct conf_store *store, conf_walk_fn *visit, void *ctx,
    struct err *err)
{
	int section;
	size_t i;

	for (section = 0; section < SECTIONS_LEN; section++) {
		if (section != SECTION_APP) {
			if (walk_section(store, (enum conf_section)section,
				NULL, visit, ctx, err) != 0)
				return -1;
			continue;
		}
		for (i = 0; i < store->entries_len; i++)
			if (walk_section(store, SECTION_APP,
				store->entries[i], visit, ctx, err) != 0)
				return -1;
	}
	return 0;
}

static int
add_origin(const struct conf_store *store, const struct conf_value *value,
    struct buf *out, struct err *err)
{
	switch (value->origin) {
	case ORIGIN_FILE:
		if (buf_adds(out, "file:", err) != 0 ||
		    str_escape(out, store->conf.path, err) != 0)
			return -1;
		return buf_addf(out, err, ":%u", value->line);
	case ORIGIN_ENV:
		return buf_addf(out, err, "env:%s", value->detail);
	case ORIGIN_DEFAULT:
		break;
	}
	return buf_addf(out, err, "default%s%s",
	    value->detail != NULL ? ":" : "",
	    value->detail != NULL ? value->detail : "");
}

struct shower {
	const struct conf_store *store;
	struct buf *out;		/* of the INI */
	struct json *array;		/* of the JSON */
	/* What was shown last; one that is not above it begins a section. */
	const struct conf_key *last_key;
};

/* A line of a file that is read back as this value. */
static int
add_assignment(struct buf *out, const char *key, const char *text,
    struct err *err)
{
	size_t len = strlen(text);
	bool quote = len > 0 &&
	    (strchr("\"#; \t", text[0]) != NULL ||
		strchr(" \t", text[len - 1]) != NULL);

	if (buf_addf(out, err, "%s =%s%s", key, len > 0 ? " " : "",
		quote ? "\"" : "") != 0)
		return -1;
	for (; *text != '\0'; text++) {
		if (quote && (*text == '"' || *text == '\\') &&
		    buf_addc(out, '\\', err) != 0)
			return -1;
		if (buf_addc(out, *text, err) != 0)
			return -1;
	}
	return buf_adds(out, quote ? "\"\n" : "\n", err);
}

static conf_walk_fn show_ini;
static int
show_ini(void *ctx, const char *section, const char *app,
    const struct conf_key *key, const struct conf_value *value, struct err *err)
{
	struct shower *shower = ctx;
	struct buf *out = shower->out;

	if (shower->last_key == NULL || shower->last_key >= key ||
	    shower->last_key->section != key->section) {
		if (buf_addf(out, err, "%s[%s%s%s]\n",
			shower->last_key != NULL ? "\n" : "", section,
			app != NULL ? " " : "", app != NULL ? app : "") != 0)
			return -1;
	}
	shower->last_key = key;
	if (buf_adds(out, "# ", err) != 0 ||
	    add_origin(shower->store, value, out, err) != 0 ||
	    buf_addc(out, '\n', err) != 0)
		return -1;
	return add_assignment(out, key->name, value->text, err);
}

int
conf_show(const struct conf *conf, struct buf *out, struct err *err)
{
	struct shower shower = {.store = conf_store_of(conf), .out = out};

	return conf_walk(shower.store, show_ini, &shower, err);
}

static conf_walk_fn show_json;
static int
show_json(void *ctx, const char *section, const char *app,
    const struct conf_key *key, const struct conf_value *value, struct err *err)
{
	char name[STR_NAME_MAX + 16];
	struct shower *shower = ctx;
	struct json *row;
	struct buf origin;
	int rc = -1;

	buf_init(&origin, ORIGIN_MAX);
	(void)snprintf(name, sizeof(name), "%s%s%s", section,
	    app != NULL ? " " : "", app != NULL ? app : "");
	if (add_origin(shower->store, value, &origin, err) != 0)
		goto out;
	row = json_add_object(shower->array);
	if (json_put_string(row, "section", name) != 0 ||
	    json_put_string(row, "key", key->name) != 0 ||
	    json_put_string(row, "value", value->text) != 0 ||
	    json_put_string(row, "origin", buf_str(&origin)) != 0) {
		(void)err_set(err, ERR_NOMEM, "no memory for a document");
		goto out;
	}
	rc = 0;
out:
	buf_fini(&origin);
	return rc;
}

int
conf_show_json(const struct conf *conf, struct buf *out, struct err *err)
{
	struct json *root = json_new_object();
	struct shower shower = {.store = conf_store_of(conf),
	    .array = json_put_array(root, "keys")};
	int rc = -1;

	if (shower.array == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a document");
	else if (conf_walk(shower.store, show_json, &shower, err) == 0)
		rc = json_print(shower.array, out, err);
	json_free(&root);
	return rc;
}

/* The sentence as a comment: "# " before each line of at most 78 columns. */
static int
add_comment(struct buf *out, const char *text, struct err *err)
{
	size_t len, column = 0;

	while (*text != '\0') {
		len = strcspn(text, " ");
		if (column > 0 && column + 1 + len > 78) {
			if (buf_addc(out, '\n', err) != 0)
				return -1;
			column = 0;
		}
		if (buf_addf(out, err, "%s%.*s", column == 0 ? "# " : " ",
			(int)len, text) != 0)
			return -1;
		column += len + (column == 0 ? 2 : 1);
		text += len;
		text += *text == ' ';
	}
	return buf_addc(out, '\n', err);
}

/* What is allowed, in one line. */
static int
add_form(struct buf *out, const struct conf_key *key, struct err *err)
{
	char min[STR_QUANTITY_MAX], max[STR_QUANTITY_MAX], words[128];

	switch (key->kind) {
	case KIND_INT:
		return buf_addf(out, err, "# Whole number, %d to %d.\n",
		    (int)key->min, (int)key->max);
	case KIND_SIZE:
		str_format_size(key->min, min);
		str_format_size(key->max, max);
		return buf_addf(out, err, "# Size (K, M, G), %s to %s.\n",
		    min, max);
	case KIND_DURATION:
		str_format_duration(key->min, min);
		str_format_duration(key->max, max);
		return buf_addf(out, err,
		    "# Time (ms, s, m, h, d), %s to %s.\n", min, max);
	case KIND_WORD:
	case KIND_SWITCH:
		conf_key_words(key, words);
		return buf_addf(out, err, "# One of: %s.\n", words);
	case KIND_TEXT:
		break;
	}
	return add_comment(out, key->form, err);
}

static int
add_header(struct buf *out, enum conf_section section, struct err *err)
{
	if (section != SECTION_APP)
		return buf_addf(out, err, "\n[%s]\n",
		    conf_section_names[section]);
	/* Commented out as well: an app that nobody has would be served. */
	return buf_adds(out,
	    "\n# One section for each Node.js process, with the name that its "
	    "addresses\n# begin with: 1 to 64 letters, digits, \".\", \"_\", "
	    "\"-\".\n#[app tincoin]\n", err);
}

int
conf_template(struct buf *out, struct err *err)
{
	const struct conf_key *key;

	if (buf_adds(out,
		"# The configuration of podprof; see podprof.conf(5).  Every "
		"key stands here at\n# its default.  An environment variable "
		"beats this file: PODPROF_THREADS,\n# PODPROF_AUTH_TOKENS, "
		"PODPROF_APP_TINCOIN_INSPECTOR.\n", err) != 0)
		return -1;
	for (key = conf_keys; key < conf_keys + CONF_KEYS_LEN; key++) {
		if (key == conf_keys || key[-1].section != key->section) {
			if (add_header(out, key->section, err) != 0)
				return -1;
		}
		if (buf_addc(out, '\n', err) != 0 ||
		    add_comment(out, key->sentence, err) != 0 ||
		    add_form(out, key, err) != 0 ||
		    buf_addc(out, '#', err) != 0 ||
		    add_assignment(out, key->name, key->initial, err) != 0)
			return -1;
	}
	return 0;
}
