/*
 * Where podprof-capture and the app meet: a directory that both see.
 */
#include "capture_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evaluate.h"

/* What the app sees there: "" if all is well, else the error's code, its own
 * user and groups. */
static const char SEE[] =
    "(path)=>{const fs=require('fs');"
    "let who='';try{who='user '+process.geteuid()+', groups '+"
    "process.getgroups().join(' ').slice(0,80)}catch{}"
    "try{if(!fs.lstatSync(path).isFIFO())return'NOFIFO '+who;"
    "fs.accessSync(path,fs.constants.W_OK);"
    "const may=process.permission;"
    "return may&&!may.has('fs.write',path)?'ERR_ACCESS_DENIED '+who:''}"
    "catch(e){return String(e.code)+' '+who}}";

/* In words what the app sees. */
static int
explain(const struct capture *c, const char *seen, struct err *err)
{
	const char *dir = c->app->exchange_dir;
	const char *who = strchr(seen, ' ');

	who = who != NULL ? who + 1 : "user not known";
	if (strncmp(seen, "ENOENT ", 7) == 0 ||
	    strncmp(seen, "ENOTDIR ", 8) == 0)
		return err_set(err, ERR_TARGET_REFUSED, "the app does not see "
		    "what podprof puts into exchange_dir %s: it must be the "
		    "same directory at the same path for both (mount it into "
		    "both containers)", dir);
	if (strncmp(seen, "ERR_ACCESS_DENIED ", 18) == 0)
		return err_set(err, ERR_TARGET_REFUSED, "the app runs with "
		    "--permission and may not use exchange_dir %s: start it "
		    "with --allow-fs-read and --allow-fs-write for it as well",
		    dir);
	if (strncmp(seen, "EACCES ", 7) == 0 || strncmp(seen, "EPERM ", 6) == 0)
		return err_set(err, ERR_TARGET_REFUSED, "the app (%.120s) may "
		    "not use exchange_dir %s: make it mode 2770 with a group "
		    "that podprof and the app share", who, dir);
	return err_set(err, ERR_TARGET_REFUSED, "the app cannot use "
	    "exchange_dir %s: %.120s", dir, seen);
}

static int
ask_app(struct capture *c, struct err *err)
{
	const struct cdp_limit limit = {
		.deadline_ms = capture_deadline_in(c, CAPTURE_ASK_MS),
	};
	char path[EXCHANGE_PATH_MAX];
	const char *const args[] = { path, NULL };
	struct buf seen;
	int ret = -1;

	exchange_path_of(c->exchange, EXCHANGE_DATA, path);
	buf_init(&seen, EVALUATE_BYTES_MAX);
	if (evaluate(c->cdp, SEE, args, &limit, &seen, err) != 0)
		goto out;
	ret = seen.len == 0 ? 0 : explain(c, buf_str(&seen), err);
out:
	buf_fini(&seen);
	return ret;
}

int
capture_meet(struct capture *c, struct err *err)
{
	struct intake intake;
	int ret;

	if (c->exchange != NULL)
		return 0;
	/* Before there is anything to be left behind.  Looking lets nobody wait
	 * for us; and where nothing can be made, no watchdog is needed. */
	if (!c->is_looking && access(c->app->exchange_dir, W_OK | X_OK) == 0 &&
	    capture_start_watchdog(c, c->app->exchange_dir, err) != 0)
		return -1;
	if (exchange_create(c->app->exchange_dir, c->job.id, &c->exchange,
		err) != 0 ||
	    intake_open(&intake, c, false, err) != 0)
		goto fail;
	ret = ask_app(c, err);
	intake_close(&intake);
	if (ret == 0)
		return 0;
fail:
	exchange_free(&c->exchange);
	watchdog_stop(&c->watchdog);
	return -1;
}
