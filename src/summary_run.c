/*
 * Making a summary: podprof-capture's side.  Nobody's app waits for it, so it
 * is as polite as can be.
 */
#include "summary.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "artifact.h"
#include "clock.h"
#include "digest.h"
#include "job.h"
#include "log.h"

#define PIECE_BYTES (128 << 10)
#define RENEW_MS 5000
/* Above this, and a process that stands still with the disk is killed. */
#define KILL_S (SUMMARY_RUN_MS / 1000 + 60)
/* To others that want the CPU, among them the app. */
#define NICE 10

struct run {
	struct db *db;
	const char *job_id;
	struct proc self;
	struct job job;
	struct artifact_reader *reader;
	struct classes *classes;
	struct digest *digest;
	char *piece;
	int64_t begun_ms, renewed_ms;	/* clock_mono_ms() */
};

static int
open_file(const struct conf *conf, struct run *run, struct err *err)
{
	const struct job *job = &run->job;

	if (!job_has_artifact(job))
		return err_set(err, ERR_GONE,
		    "the file of the job was removed meanwhile");
	run->piece = malloc(PIECE_BYTES);
	if (run->piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a summary");
	if (artifact_open(conf->state_dir, job->id, job_extension(job->kind),
	    &job->sum, &run->reader, err) != 0 ||
	    classes_new(&run->classes, err) != 0)
		return -1;
	return digest_new(&run->digest, err);
}

/* It goes on, and nobody has begun anew. */
static int
stay(struct run *run, struct err *err)
{
	const int64_t now_ms = clock_mono_ms();

	if (now_ms - run->begun_ms > SUMMARY_RUN_MS)
		return err_set(err, ERR_STORE, "the file was not read within "
		    "%d minutes: the disk, or the machine, is too slow",
		    SUMMARY_RUN_MS / 60000);
	if (now_ms - run->renewed_ms < RENEW_MS)
		return 0;
	run->renewed_ms = now_ms;
	return summary_renew(run->db, run->job_id, &run->self, err);
}

/* What the file says of itself is no answer of the app's: it is ours to have
 * kept it, and it will say the same again. */
static int
refuse_text(struct err *err)
{
	if (err->code != ERR_TARGET_REFUSED)
		return -1;
	err->code = ERR_INTERNAL;
	return err_wrap(err, "the stored file is damaged");
}

static int
read_file(struct run *run, struct err *err)
{
	int64_t at = 0, len;

	for (;;) {
		len = artifact_read(run->reader, ARTIFACT_IDENTITY, at,
		    run->piece, PIECE_BYTES, err);
		if (len < 0)
			return -1;
		if (len == 0)
			return 0;
		digest_update(run->digest, run->piece, (size_t)len);
		if (classes_feed(run->classes, run->piece, (size_t)len,
		    err) != 0)
			return refuse_text(err);
		if (stay(run, err) != 0)
			return -1;
		at += len;
	}
}

/* Damaged bytes may well be a snapshot still. */
static int
check_digest(struct run *run, struct err *err)
{
	unsigned char sha256[DIGEST_BYTES];
	char hex[DIGEST_HEX_MAX];

	digest_finish(run->digest, sha256);
	str_hex(sha256, sizeof(sha256), hex);
	if (strcmp(hex, run->job.sum.sha256) == 0)
		return 0;
	return err_set(err, ERR_INTERNAL, "the stored file is damaged: its "
	    "SHA-256 is not what it was when it was captured");
}

static int
make(const struct conf *conf, struct run *run, const char *app,
    struct err *err)
{
	if (job_get(run->db, conf->state_dir, app, conf->pod, run->job_id,
	    &run->job, err) != 0 || open_file(conf, run, err) != 0 ||
	    read_file(run, err) != 0 || check_digest(run, err) != 0)
		return -1;
	if (classes_end(run->classes, err) != 0)
		return refuse_text(err);
	return summary_put(
	    run->db, run->job_id, &run->self, run->classes, err);
}

static void
log_end(const struct run *run)
{
	const struct classes_total total = classes_total(run->classes);
	size_t len;

	(void)classes_list(run->classes, &len);
	log_info("summary", "%lld nodes and %lld edges in %zu classes, %lld "
	    "bytes read in %lld ms", (long long)total.nodes,
	    (long long)total.edges, len, (long long)run->job.sum.size_bytes,
	    (long long)(clock_mono_ms() - run->begun_ms));
}

int
summary_run(const struct conf *conf, struct db *db, const char *job_id,
    struct err *err)
{
	struct run run = { .db = db, .job_id = job_id };
	char app[STR_NAME_MAX + 1];
	int rc = -1;

	run.begun_ms = run.renewed_ms = clock_mono_ms();
	(void)alarm(KILL_S);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (proc_self(&run.self, err) != 0 ||
	    summary_claim(db, job_id, &run.self, app, err) != 0)
		goto out;
	rc = make(conf, &run, app, err);
	if (rc == 0)
		log_end(&run);
	else if (err->code != ERR_CONFLICT)
		/* Without that whoever waits learns that it has ended. */
		(void)!summary_fail(db, job_id, &run.self, err, NULL);
out:
	artifact_close(&run.reader);
	classes_free(&run.classes);
	digest_free(&run.digest);
	free(run.piece);
	(void)alarm(0);
	return rc;
}
