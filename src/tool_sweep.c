/*
 * podprof sweep: what the pool's keeper does every second, once, for an
 * installation without a pool.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact.h"
#include "exchange.h"
#include "job.h"
#include "lease.h"
#include "link.h"
#include "owner.h"

/* Each removes JOB_RETAIN_ROWS at most. */
#define ROUNDS_MAX 1000
#define FILES_MAX 1000000

struct file {
	char name[ARTIFACT_NAME_MAX];
	int64_t bytes;
};

struct files {
	struct file *files;
	size_t len, cap;
};

static int
add_file(struct files *all, const char *name, int64_t bytes, struct err *err)
{
	const size_t cap = all->cap == 0 ? 64 : 2 * all->cap;
	struct file *more;

	if (all->len == FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "there are over %d files "
		    "in artifacts/", FILES_MAX);
	if (all->len == all->cap) {
		more = reallocarray(all->files, cap, sizeof(*more));
		if (more == NULL)
			return err_set(err, ERR_NOMEM, "no memory for the "
			    "names of %zu files", cap);
		all->files = more;
		all->cap = cap;
	}
	(void)str_copy(all->files[all->len].name, ARTIFACT_NAME_MAX, name);
	all->files[all->len++].bytes = bytes;
	return 0;
}

/* -1: it is gone. */
static int64_t
size_of(const char *state_dir, const char *name)
{
	char path[ARTIFACT_PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/artifacts/%s", state_dir, name);
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static int
list_files(const char *state_dir, struct files *all, struct err *err)
{
	struct artifact_scan *scan = NULL;
	struct artifact_entry entry;
	int64_t bytes;
	int rc;

	if (artifact_scan_open(state_dir, &scan, err) != 0)
		return -1;
	while ((rc = artifact_scan_next(scan, &entry, err)) == 1) {
		bytes = size_of(state_dir, entry.name);
		if (bytes >= 0 && add_file(all, entry.name, bytes, err) != 0) {
			rc = -1;
			break;
		}
	}
	artifact_scan_close(&scan);
	return rc;
}

/* What captures that were killed left where they meet their apps. */
static int
sweep_exchange(const struct conf *conf, struct err *err)
{
	size_t i;

	for (i = 0; i < conf->apps_len; i++)
		if (lease_sweep(conf->apps[i].exchange_dir,
			conf->apps[i].name, err) != 0 ||
		    exchange_sweep(conf->apps[i].exchange_dir, err) != 0)
			return -1;
	return 0;
}

/* How many of the files are there. */
static size_t
count_left(const char *state_dir, const struct files *all)
{
	size_t left = 0, i;

	for (i = 0; i < all->len; i++)
		if (size_of(state_dir, all->files[i].name) >= 0)
			left++;
	return left;
}

/* Until a round removes nothing. */
static int
sweep_store(const struct conf *conf, struct db *db, const struct files *all,
    struct err *err)
{
	const struct job_limits limits = job_limits_of(conf);
	size_t left = all->len, before;
	int rounds = 0;

	if (job_settle(db, conf->state_dir, err) != 0)
		return -1;
	do {
		before = left;
		if (job_sweep(db, conf->state_dir, err) != 0 ||
		    job_retain(db, conf->state_dir, &limits, err) != 0)
			return -1;
		left = count_left(conf->state_dir, all);
	} while (left < before && ++rounds < ROUNDS_MAX);
	return link_sweep(db, err);
}

static enum tool_status
put_swept_json(const char *state_dir, const struct files *all)
{
	struct json *root = json_new_object(), *left, *row;
	struct json *removed = json_put_array(root, "removed");
	int64_t bytes = 0, files = 0;
	enum tool_status status;
	bool built = removed != NULL;
	size_t i;

	for (i = 0; i < all->len; i++) {
		if (size_of(state_dir, all->files[i].name) >= 0) {
			files++;
			bytes += all->files[i].bytes;
			continue;
		}
		row = json_add_object(removed);
		built = built &&
		    json_put_string(row, "name", all->files[i].name) == 0 &&
		    json_put_int(row, "size", all->files[i].bytes) == 0;
	}
	left = json_put_object(root, "left");
	built = built && json_put_int(left, "files", files) == 0 &&
	    json_put_int(left, "size", bytes) == 0;
	status = tool_put_json(root, built);
	json_free(&root);
	return status;
}

static enum tool_status
put_swept(const char *state_dir, const struct files *all)
{
	int64_t gone_bytes = 0, left_bytes = 0;
	char gone[TOOL_NUMBER_MAX], left[TOOL_NUMBER_MAX];
	size_t gone_len = 0, i;

	for (i = 0; i < all->len; i++) {
		if (size_of(state_dir, all->files[i].name) >= 0) {
			left_bytes += all->files[i].bytes;
			continue;
		}
		tool_format_bytes(all->files[i].bytes, gone);
		(void)printf("removed %s (%s)\n", all->files[i].name, gone);
		gone_bytes += all->files[i].bytes;
		gone_len++;
	}
	tool_format_bytes(gone_bytes, gone);
	tool_format_bytes(left_bytes, left);
	(void)printf("%zu files removed (%s), %zu left (%s)\n", gone_len, gone,
	    all->len - gone_len, left);
	return tool_finish();
}

/* What was removed is told also where something could not be. */
static enum tool_status
sweep(const struct tool_call *call, const struct conf *conf, struct db *db)
{
	struct files all = {.files = NULL};
	enum tool_status status;
	struct err err, fault;
	int rc;

	rc = list_files(conf->state_dir, &all, &err);
	if (rc == 0) {
		rc = sweep_store(conf, db, &all, &err);
		if (sweep_exchange(conf, &fault) != 0 && rc == 0) {
			rc = -1;
			err = fault;
		}
		status = tool_has(call, OPTION_JSON) ?
		    put_swept_json(conf->state_dir, &all) :
		    put_swept(conf->state_dir, &all);
	}
	if (rc != 0)
		status = tool_failed(&err);
	free(all.files);
	return status;
}

enum tool_status
tool_sweep(const struct tool_call *call)
{
	struct conf *conf = NULL;
	enum tool_status status;
	struct db *db = NULL;
	struct owner owner;
	struct err err;

	/* What root made in state_dir, its owner could not change. */
	if (tool_load_conf(call, &conf, &err) != 0 ||
	    owner_find(conf->state_dir, &owner, &err) != 0 ||
	    owner_become(&owner, &err) != 0 ||
	    artifact_check_dirs(conf->state_dir, conf_shares_files(conf),
		&err) != 0 ||
	    job_open_db(conf->state_dir, &db, &err) != 0)
		status = tool_failed(&err);
	else
		status = sweep(call, conf, db);
	db_close(&db);
	conf_free(&conf);
	return status;
}
