/*
 * The configuration: the file, the environment and the defaults, merged.  The
 * keys are in conf_table.c, what is printed in conf_show.c.
 */
#include "conf.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conf_parts.h"
#include "file.h"
#include "ini.h"
#include "str.h"

#define VARIABLE_MAX 64	/* bytes of a known variable's name, but for NAME */

/* Ours, but no keys. */
static const char *const other_variables[] = {"CONFIG", "TOKEN", "URL"};

/* Where the reader of the file is. */
struct reader {
	struct conf_store *store;
	bool seen[SECTIONS_LEN];
	struct conf_entry *entry;	/* of the [app] section we are in */
};

static int
keep_text(struct conf_store *store, const char *text, const char **ret_text,
    struct err *err)
{
	size_t len = strlen(text);
	struct conf_kept *kept = malloc(sizeof(*kept) + len + 1);

	if (kept == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	memcpy(kept->text, text, len + 1);
	kept->next = store->kept;
	store->kept = kept;
	*ret_text = kept->text;
	return 0;
}

/* Keep the text of a key and take its meaning. */
static int
set_value(struct conf_store *store, const struct conf_key *key,
    const char *text, void *base, struct conf_value *value, struct err *err)
{
	const char *kept = NULL;

	if (keep_text(store, text, &kept, err) != 0 ||
	    conf_key_parse(key, kept, base, err) != 0)
		return -1;
	value->text = kept;
	return 0;
}

/* Where the value of a key is kept; entry is for keys of an app. */
static struct conf_value *
slot_of(struct conf_store *store, struct conf_entry *entry,
    const struct conf_key *key, void **ret_base)
{
	bool of_app = key->section == SECTION_APP;

	*ret_base = of_app ? (void *)&entry->app : (void *)&store->conf;
	return (of_app ? entry->values : store->values) + (key - conf_keys);
}

static int
add_entry(struct conf_store *store, const char *name,
    struct conf_entry **ret_entry, struct err *err)
{
	struct conf_entry *entry;

	if (store->entries_len == CONF_APPS_MAX)
		return err_set(err, ERR_INVALID, "more than %d apps",
		    CONF_APPS_MAX);
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	store->entries[store->entries_len++] = entry;
	*ret_entry = entry;
	return keep_text(store, name, &entry->app.name, err);
}

static struct conf_entry *
find_entry(struct conf_store *store, const char *name)
{
	size_t i;

	for (i = 0; i < store->entries_len; i++)
		if (strcmp(store->entries[i]->app.name, name) == 0)
			return store->entries[i];
	return NULL;
}

static int
find_section(const char *name, enum conf_section *ret_section, struct err *err)
{
	int i;

	for (i = 0; i < SECTIONS_LEN; i++)
		if (strcmp(conf_section_names[i], name) == 0) {
			*ret_section = (enum conf_section)i;
			return 0;
		}
	return err_set(err, ERR_INVALID,
	    "[%.60s] is not a section; there are [podprof], [auth], "
	    "[app NAME], [limits] and [artifacts]", name);
}

static int
begin_section(struct reader *reader, enum conf_section section,
    const char *label, struct err *err)
{
	const char *name = conf_section_names[section];

	reader->entry = NULL;
	if (section == SECTION_APP) {
		if (!str_is_name(label))
			return err_set(err, ERR_INVALID,
			    "[app %.80s] needs a name: 1 to %d of letters, "
			    "digits, \".\", \"_\", \"-\"", label,
			    STR_NAME_MAX);
		if (find_entry(reader->store, label) != NULL)
			return err_set(err, ERR_INVALID,
			    "a second section [app %s]", label);
		return add_entry(reader->store, label, &reader->entry, err);
	}
	if (label[0] != '\0')
		return err_set(err, ERR_INVALID,
		    "section [%s] takes no name", name);
	if (reader->seen[section])
		return err_set(err, ERR_INVALID, "a second section [%s]",
		    name);
	reader->seen[section] = true;
	return 0;
}

static int
unknown_key(enum conf_section section, const char *name, struct err *err)
{
	char list[ERR_MSG_MAX / 2] = "";
	size_t len = 0, i;
	int n;

	for (i = 0; i < CONF_KEYS_LEN; i++) {
		if (conf_keys[i].section != section)
			continue;
		n = snprintf(list + len, sizeof(list) - len, "%s%s",
		    len > 0 ? ", " : "", conf_keys[i].name);
		assert(n > 0 && (size_t)n < sizeof(list) - len);
		len += (size_t)n;
	}
	return err_set(err, ERR_INVALID,
	    "\"%.60s\" is not a key of [%s]; there are %s", name,
	    conf_section_names[section], list);
}

static ini_visit_fn visit_line;
static int
visit_line(void *ctx, const char *section_name, const char *label,
    const char *name, const char *text, unsigned line, struct err *err)
{
	struct reader *reader = ctx;
	const struct conf_key *key;
	enum conf_section section = SECTION_PODPROF;
	struct conf_value *value;
	void *base;

	if (name != NULL && section_name[0] == '\0')
		return err_set(err, ERR_INVALID,
		    "\"%.60s\" stands before the first [section]", name);
	if (find_section(section_name, &section, err) != 0)
		return -1;
	if (name == NULL)
		return begin_section(reader, section, label, err);
	key = conf_key_find(section, name);
	if (key == NULL)
		return unknown_key(section, name, err);
	value = slot_of(reader->store, reader->entry, key, &base);
	if (value->text != NULL)
		return err_set(err, ERR_INVALID,
		    "%s is given a second time; the first is in line %u", name,
		    value->line);
	if (set_value(reader->store, key, text, base, value, err) != 0)
		return err_wrap(err, "%s", name);
	value->origin = ORIGIN_FILE;
	value->line = line;
	return 0;
}

/* The value of NAME in env; NULL if it is not there. */
static const char *
find_variable(char *const env[], const char *name)
{
	size_t len = strlen(name), i;

	for (i = 0; env[i] != NULL; i++)
		if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
			return env[i] + len + 1;
	return NULL;
}

static int
read_file(struct conf_store *store, const char *path, char *const env[],
    struct err *err)
{
	struct reader reader = {.store = store};
	bool named = true;
	struct buf text;
	int rc = -1;

	buf_init(&text, CONF_FILE_MAX);
	if (path == NULL)
		path = find_variable(env, "PODPROF_CONFIG");
	if (path == NULL) {
		path = PODPROF_SYSCONFDIR "/podprof.conf";
		named = false;
	}
	if (path[0] == '\0') {
		(void)err_set(err, ERR_INVALID, "the path of the configuration "
		    "file is empty: see -c and PODPROF_CONFIG");
		goto out;
	}
	if (file_read(path, &text, err) != 0) {
		if (err->code == ERR_NOT_FOUND && !named)
			rc = 0;
		else if (err->code != ERR_NOMEM)
			err->code = ERR_STORE;
		goto out;
	}
	store->conf.path = strdup(path);
	if (store->conf.path == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a path");
		goto out;
	}
	rc = ini_parse(path, buf_str(&text), text.len, visit_line, &reader,
	    err);
out:
	buf_fini(&text);
	return rc;
}

/* Without PODPROF_: "THREADS", "AUTH_TOKENS", and of an app "_PID". */
static void
format_variable(const struct conf_key *key, char out[VARIABLE_MAX])
{
	const char *section = conf_section_names[key->section];
	char *c;
	int n;

	if (key->section == SECTION_PODPROF)
		n = snprintf(out, VARIABLE_MAX, "%s", key->name);
	else
		n = snprintf(out, VARIABLE_MAX, "%s_%s",
		    key->section == SECTION_APP ? "" : section, key->name);
	assert(n > 0 && n < VARIABLE_MAX);
	for (c = out; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
}

/* The app's key that name (NAME_KEY) ends in, the longest; its NAME, in lower
 * case, to app_name.  NULL if there is none. */
static const struct conf_key *
match_app_variable(const char *name, char app_name[STR_NAME_MAX + 1])
{
	size_t len = strlen(name), suffix_len, longest = 0, i;
	const struct conf_key *found = NULL;
	char suffix[VARIABLE_MAX];

	for (i = 0; i < CONF_KEYS_LEN; i++) {
		if (conf_keys[i].section != SECTION_APP)
			continue;
		format_variable(&conf_keys[i], suffix);
		suffix_len = strlen(suffix);
		if (suffix_len > longest && suffix_len < len &&
		    strcmp(name + len - suffix_len, suffix) == 0) {
			found = &conf_keys[i];
			longest = suffix_len;
		}
	}
	if (found == NULL || len - longest > STR_NAME_MAX)
		return NULL;
	for (i = 0; i < len - longest; i++)
		app_name[i] = (char)tolower((unsigned char)name[i]);
	app_name[i] = '\0';
	return str_is_name(app_name) ? found : NULL;
}

/* The key that the variable PODPROF_<name> sets, or NULL; app_name is "" but
 * for an app's key. */
static const struct conf_key *
match_variable(const char *name, char app_name[STR_NAME_MAX + 1])
{
	char variable[VARIABLE_MAX];
	size_t i;

	app_name[0] = '\0';
	if (strncmp(name, "APP_", 4) == 0)
		return match_app_variable(name + 4, app_name);
	for (i = 0; i < CONF_KEYS_LEN; i++) {
		if (conf_keys[i].section == SECTION_APP)
			continue;
		format_variable(&conf_keys[i], variable);
		if (strcmp(variable, name) == 0)
			return &conf_keys[i];
	}
	return NULL;
}

/* The app that a variable means: of exactly this name, or the only one that
 * differs in case, or a new one. */
static int
find_variable_entry(struct conf_store *store, const char *name,
    struct conf_entry **ret_entry, struct err *err)
{
	struct conf_entry *found = find_entry(store, name), *entry;
	size_t i;

	for (i = 0; found == NULL && i < store->entries_len; i++) {
		entry = store->entries[i];
		if (strcasecmp(entry->app.name, name) == 0)
			found = entry;
	}
	for (; i < store->entries_len; i++) {
		entry = store->entries[i];
		if (found != NULL && entry != found &&
		    strcmp(found->app.name, name) != 0 &&
		    strcasecmp(entry->app.name, name) == 0)
			return err_set(err, ERR_INVALID,
			    "it may mean [app %s] or [app %s]",
			    found->app.name, entry->app.name);
	}
	if (found == NULL)
		return add_entry(store, name, ret_entry, err);
	*ret_entry = found;
	return 0;
}

static int
apply_variable(struct conf_store *store, const struct conf_key *key,
    const char *app_name, const char *variable, const char *text,
    struct err *err)
{
	struct conf_entry *entry = NULL;
	struct conf_value *value;
	void *base;

	if (key->section == SECTION_APP &&
	    find_variable_entry(store, app_name, &entry, err) != 0)
		return -1;
	value = slot_of(store, entry, key, &base);
	if (value->origin == ORIGIN_ENV) {
		/* Twice in one environment: the first counts, as for
		 * getenv(3). */
		if (strcmp(value->detail, variable) == 0)
			return 0;
		return err_set(err, ERR_INVALID,
		    "%s sets the same value; drop one of them", value->detail);
	}
	if (set_value(store, key, text, base, value, err) != 0 ||
	    keep_text(store, variable, &value->detail, err) != 0)
		return -1;
	value->origin = ORIGIN_ENV;
	return 0;
}

static bool
is_other_variable(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(other_variables) / sizeof(other_variables[0]);
	     i++)
		if (strcmp(other_variables[i], name) == 0)
			return true;
	return false;
}

static int
add_text(struct conf_store *store, struct conf_texts *list, const char *text,
    struct err *err)
{
	const char **grown;

	grown = reallocarray(list->texts, list->len + 1, sizeof(*grown));
	if (grown == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	list->texts = grown;
	if (keep_text(store, text, &grown[list->len], err) != 0)
		return -1;
	list->len++;
	return 0;
}

static int
read_variable(struct conf_store *store, const char *assignment, struct err *err)
{
	static const char prefix[] = "PODPROF_";
	const char *equals = strchr(assignment, '='), *name;
	char app_name[STR_NAME_MAX + 1];
	const struct conf_key *key;
	char *variable;
	int rc;

	if (equals == NULL ||
	    strncmp(assignment, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	variable = strndup(assignment, (size_t)(equals - assignment));
	if (variable == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	name = variable + sizeof(prefix) - 1;
	key = match_variable(name, app_name);
	if (key != NULL) {
		rc = apply_variable(store, key, app_name, variable,
		    equals + 1, err);
		if (rc != 0)
			(void)err_wrap(err, "%s", variable);
	} else {
		rc = is_other_variable(name)
		    ? 0 : add_text(store, &store->ignored, variable, err);
	}
	free(variable);
	return rc;
}

static int
read_environment(struct conf_store *store, char *const env[], struct err *err)
{
	size_t i;

	for (i = 0; env[i] != NULL; i++)
		if (read_variable(store, env[i], err) != 0)
			return -1;
	return 0;
}

/* What is not given yet, of the sections of the app or of all others. */
static int
set_defaults(struct conf_store *store, struct conf_entry *entry,
    struct err *err)
{
	const struct conf_key *key;
	struct conf_value *value;
	void *base;

	for (key = conf_keys; key < conf_keys + CONF_KEYS_LEN; key++) {
		if ((key->section == SECTION_APP) != (entry != NULL))
			continue;
		value = slot_of(store, entry, key, &base);
		if (value->text == NULL &&
		    set_value(store, key, key->initial, base, value, err) != 0)
			return err_wrap(err, "%s", key->name);
	}
	return 0;
}

/* An empty pod is $POD_NAME, else the host name. */
static int
settle_pod(struct conf_store *store, char *const env[], struct err *err)
{
	const struct conf_key *key = conf_key_find(SECTION_PODPROF, "pod");
	struct conf_value *value = &store->values[key - conf_keys];
	const char *from = "POD_NAME", *name;
	char host[CONF_POD_MAX + 2] = "";

	if (store->conf.pod[0] != '\0')
		return 0;
	name = find_variable(env, from);
	if (name == NULL || name[0] == '\0') {
		from = "host-name";
		if (gethostname(host, sizeof(host) - 1) != 0)
			return err_set_errno(err, ERR_INVALID, errno,
			    "no host name; set [podprof] pod");
		name = host;
	}
	if (name[0] == '\0')
		return err_set(err, ERR_INVALID,
		    "the host name is empty; set [podprof] pod");
	if (set_value(store, key, name, &store->conf, value, err) != 0)
		return err_wrap(err, "%s (or set [podprof] pod)", from);
	value->origin = ORIGIN_DEFAULT;
	return keep_text(store, from, &value->detail, err);
}

static int
compare_entries(const void *a, const void *b)
{
	const struct conf_entry *const *left = a, *const *right = b;

	return strcmp((*left)->app.name, (*right)->app.name);
}

static int
finish_apps(struct conf_store *store, struct err *err)
{
	size_t len = store->entries_len, i;

	for (i = 0; i < len; i++)
		if (set_defaults(store, store->entries[i], err) != 0)
			return -1;
	qsort(store->entries, len, sizeof(struct conf_entry *),
	    compare_entries);
	store->conf.apps = calloc(len > 0 ? len : 1, sizeof(struct conf_app));
	if (store->conf.apps == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	for (i = 0; i < len; i++)
		store->conf.apps[i] = store->entries[i]->app;
	store->conf.apps_len = len;
	return 0;
}

/* nginx knows the files by an address of its own only. */
static int
check_sendfile(const struct conf *conf, struct err *err)
{
	if (conf->sendfile != SENDFILE_X_ACCEL ||
	    conf->sendfile_prefix[0] != '\0')
		return 0;
	return err_set(err, ERR_INVALID, "[artifacts] sendfile = "
	    "x-accel-redirect needs sendfile_prefix, the path of the internal "
	    "location that is state_dir/artifacts");
}

int
conf_load(const char *path, char *const env[], struct conf **ret_conf,
    struct err *err)
{
	struct conf_store *store = calloc(1, sizeof(*store));
	struct conf *conf;

	if (store == NULL)
		return err_set(err, ERR_NOMEM,
		    "no memory for the configuration");
	conf = &store->conf;
	if (read_file(store, path, env, err) != 0 ||
	    read_environment(store, env, err) != 0 ||
	    set_defaults(store, NULL, err) != 0 ||
	    settle_pod(store, env, err) != 0 ||
	    finish_apps(store, err) != 0 || check_sendfile(conf, err) != 0) {
		conf_free(&conf);
		return -1;
	}
	*ret_conf = conf;
	return 0;
}

void
conf_free(struct conf **conf)
{
	struct conf_store *store;
	struct conf_kept *next;
	size_t i;

	if (conf == NULL || *conf == NULL)
		return;
	store = (struct conf_store *)(void *)*conf;
	for (; store->kept != NULL; store->kept = next) {
		next = store->kept->next;
		free(store->kept);
	}
	for (i = 0; i < store->entries_len; i++)
		free(store->entries[i]);
	free(store->ignored.texts);
	free(store->conf.apps);
	free(store->conf.path);
	free(store);
	*conf = NULL;
}

bool
conf_shares_files(const struct conf *conf)
{
	return conf->sendfile != SENDFILE_NONE;
}

const struct conf_app *
conf_find_app(const struct conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->apps_len; i++)
		if (strcmp(conf->apps[i].name, name) == 0)
			return &conf->apps[i];
	return NULL;
}

const char *
conf_ignored_variable(const struct conf *conf, size_t index)
{
	const struct conf_texts *list = &conf_store_of(conf)->ignored;

	return index < list->len ? list->texts[index] : NULL;
}
