/*
 * What the unit programs share that start the service as a process: they are
 * started again by it as podprof-capture, under that name.  What a capture does
 * is the name of its app, and a look at an app does the same:
 *
 *	quick  succeeds at once        held  waits for the file "release"
 *	gone   refuses at the preflight	dies  is killed in the middle
 */
#ifndef PODPROF_STAND_IN_H
#define PODPROF_STAND_IN_H

#include "site.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "clock.h"

#define SNAPSHOT_BYTES (3 << 20)
/* Longer than any look is waited for, and than any test takes. */
#define HELD_LOOK_MS 10000
#define HELD_JOB_MS 300000

static struct site site;
static char conf_path[300], release_path[300], looks_path[300];

static inline void
nap(long ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

/* A file beside the state directory. */
static inline void
put_path(const struct conf *conf, const char *name, char out[400])
{
	(void)snprintf(out, 400, "%s/../%s", conf->state_dir, name);
}

static inline int
play_job(const struct conf *conf, struct db *db, const char *job_id)
{
	const struct job_target target = { .pid = 1, .node = "v20.0.0",
		.memory_bytes = 1 };
	const int64_t end_ms = clock_mono_ms() + HELD_JOB_MS;
	char release[400];
	struct proc self;
	struct err err;
	struct job job;

	if (proc_self(&self, &err) != 0 ||
	    job_claim(db, job_id, &self, &job, &err) != 0)
		return 3;
	if (strcmp(job.app, "gone") == 0) {
		struct err why;

		err_set(&why, ERR_TARGET_UNREACHABLE, "no inspector at X");
		return job_fail(db, conf->state_dir, job_id, &why,
		    &err) == 0 ? 1 : 3;
	}
	if (job_set_target(db, job_id, &target, &site_plan, &err) != 0)
		return 3;
	if (strcmp(job.app, "dies") == 0)
		(void)raise(SIGKILL);
	put_path(conf, "release", release);
	while (strcmp(job.app, "held") == 0 && access(release, F_OK) != 0) {
		if (clock_mono_ms() > end_ms)
			return 3;
		nap(5);
	}
	site_finish(&site, db, job_id, job.kind, SNAPSHOT_BYTES);
	return 0;
}

/* Each look leaves a line, so that they can be counted. */
static inline int
play_look(const struct conf *conf, struct db *db, const char *app)
{
	const int64_t end_ms = clock_mono_ms() + HELD_LOOK_MS;
	char path[400];
	int fd;

	put_path(conf, "looks", path);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "\n", 1) != 1 || close(fd) != 0)
		return 3;
	if (strcmp(app, "dies") == 0)
		(void)raise(SIGKILL);
	put_path(conf, "release", path);
	while (strcmp(app, "held") == 0 && access(path, F_OK) != 0 &&
	    clock_mono_ms() < end_ms)
		nap(5);
	site_look(&site, db, app);
	return 0;
}

/* As podprof-capture.  Whatever goes wrong here shows as a job that fails, or a
 * look that is not answered. */
static inline int
play_capture(int argc, char **argv)
{
	const char *name = argv[argc - 1];
	struct conf *conf = NULL;
	struct db *db = NULL;
	struct err err;
	int rc;

	if (conf_load(argv[2], environ, &conf, &err) != 0 ||
	    job_open_db(conf->state_dir, &db, &err) != 0)
		return 3;
	site.conf = *conf;
	(void)str_copy(site.state_dir, sizeof(site.state_dir),
	    conf->state_dir);
	rc = strcmp(argv[argc - 2], "--look") == 0
	    ? play_look(conf, db, name) : play_job(conf, db, name);
	db_close(&db);
	conf_free(&conf);
	return rc;
}

/* more: further lines. */
static inline void
write_conf(const char *more)
{
	FILE *f = fopen(conf_path, "w");

	assert_non_null(f);
	(void)fprintf(f, "[podprof]\nstate_dir = %s\npod = pod-1\n"
	    "threads = 2\n[auth]\ntokens = %s\n[app quick]\n[app held]\n"
	    "[app gone]\n[app dies]\n[limits]\nwaiting = 4\ndownloads = 2\n%s",
	    site.state_dir, site.tokens, more);
	assert_int_equal(fclose(f), 0);
}

static inline void
copy_self(const char *name)
{
	char self[400], command[800];
	ssize_t n;

	/* Valgrind, too, says the truth here. */
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	(void)snprintf(command, sizeof(command), "cp '%s' '%s/%s'", self,
	    site.dir, name);
	assert_int_equal(system(command), 0);
}

static inline void
remove_copy(const char *name)
{
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/%s", site.dir, name);
	assert_int_equal(unlink(path), 0);
}

/* A site with its configuration, and programs. */
static inline void
open_stage(const char *program)
{
	(void)signal(SIGPIPE, SIG_IGN);
	site_open(&site);
	(void)snprintf(conf_path, sizeof(conf_path), "%s/podprof.conf",
	    site.dir);
	(void)snprintf(release_path, sizeof(release_path), "%s/release",
	    site.dir);
	(void)snprintf(looks_path, sizeof(looks_path), "%s/looks", site.dir);
	write_conf("");
	copy_self(program);
	copy_self("podprof-capture");
}

static inline void
release(void)
{
	int fd = open(release_path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

/* How many were sent to look. */
static inline int64_t
count_looks(void)
{
	struct stat st;

	return stat(looks_path, &st) == 0 ? st.st_size : 0;
}

/* At most a minute. */
static inline void
await_looks(int64_t count)
{
	const int64_t end_ms = clock_mono_ms() + 60000;

	while (count_looks() < count) {
		if (clock_mono_ms() > end_ms)
			fail_msg("%lld looks", (long long)count_looks());
		nap(2);
	}
}

#endif
