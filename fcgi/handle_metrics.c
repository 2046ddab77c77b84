/*
 * GET /metrics: what the database has counted, what the configuration allows,
 * what is known of the apps, and, from the pool, what this process does.
 *
 * Every label has few values: names of apps are those of the configuration.
 */
#include "handle.h"

#include <stdio.h>
#include <string.h>

#include "config.h"
#include "expose.h"
#include "file.h"
#include "meter.h"
#include "shield.h"
#include "traffic.h"
#include "vitals.h"

/* How long to wait for what is known of the apps: until one that hangs has had
 * its time. */
#define APPS_WAIT_MS (SHIELD_ASK_MS + 500)

/* One page under way. */
struct page {
	struct expose expose;
	const struct conf *conf;
	const char *name;	/* of the numbers that are being read */
	int64_t jobs, sum_ms;	/* of a histogram, up to its bound */
};

/* Rows tell also of apps that are no more. */
static bool
is_served(const struct page *page, const char *app)
{
	return conf_find_app(page->conf, app) != NULL;
}

static int
put_jobs(void *ctx, const struct meter *meter, struct err *err)
{
	struct page *page = ctx;
	const struct expose_label labels[] = {
		{ "app", meter->app },
		{ "kind", meter->kind },
		{ "method", meter->method },
		{ page->name, meter->state },
	};

	(void)err;
	if (is_served(page, meter->app))
		expose_int(&page->expose, "", labels, 4, meter->jobs);
	return 0;
}

/* A bound counts all that is below it; after the last one there is the sum. */
static int
put_span(void *ctx, const struct meter *meter, struct err *err)
{
	struct page *page = ctx;
	char bound[EXPOSE_SECONDS_MAX];
	const struct expose_label labels[] = {
		{ "app", meter->app },
		{ "kind", meter->kind },
		{ "method", meter->method },
		{ "le", bound },
	};

	(void)err;
	page->jobs += meter->jobs;
	page->sum_ms += meter->sum_ms;
	if (meter->le_ms == METER_NO_BOUND)
		(void)str_copy(bound, sizeof(bound), "+Inf");
	else
		expose_seconds(meter->le_ms, bound);
	if (is_served(page, meter->app))
		expose_int(
		    &page->expose, "_bucket", labels, 4, page->jobs);
	if (meter->le_ms != METER_NO_BOUND)
		return 0;
	if (is_served(page, meter->app)) {
		expose_ms(&page->expose, "_sum", labels, 3, page->sum_ms);
		expose_int(&page->expose, "_count", labels, 3, page->jobs);
	}
	page->jobs = page->sum_ms = 0;
	return 0;
}

static int
put_histogram(struct page *page, struct db *db, const char *span,
    const char *name, const char *help, struct err *err)
{
	expose_family(&page->expose, name, EXPOSE_HISTOGRAM, help);
	return meter_read_spans(
	    db, page->conf->pod, span, put_span, page, err);
}

static int
put_store(struct page *page, struct db *db, struct err *err)
{
	struct expose *e = &page->expose;
	int64_t jobs, bytes, free_bytes;

	if (meter_read_store(db, &jobs, &bytes, err) != 0)
		return -1;
	expose_one(e, "podprof_stored_jobs", EXPOSE_GAUGE, "Jobs that are "
	    "remembered, of all apps and pods that share the store.", jobs);
	expose_one(e, "podprof_stored_bytes", EXPOSE_GAUGE, "Bytes of all "
	    "artifacts in the store, as they are stored.", bytes);
	if (file_free_bytes(page->conf->state_dir, &free_bytes, NULL) == 0)
		expose_one(e, "podprof_free_bytes", EXPOSE_GAUGE, "Bytes that "
		    "podprof may still write on the disk of state_dir.",
		    free_bytes);
	return 0;
}

/* What the database has counted. */
static int
put_counted(struct page *page, struct db *db, struct err *err)
{
	const char *pod = page->conf->pod;

	page->name = "state";
	expose_family(&page->expose, "podprof_jobs", EXPOSE_GAUGE,
	    "Jobs that are remembered, by the state that they are in.");
	if (meter_read_jobs(db, pod, put_jobs, page, err) != 0)
		return -1;
	page->name = "outcome";
	expose_family(&page->expose, "podprof_jobs_total", EXPOSE_COUNTER,
	    "Jobs that came to an end: succeeded, failed, canceled, or "
	    "refused before they were accepted.");
	if (meter_read_ends(db, pod, put_jobs, page, err) != 0 ||
	    put_histogram(page, db, "duration", "podprof_job_duration_seconds",
	    "How long jobs that succeeded took, from their start.", err) != 0 ||
	    put_histogram(page, db, "freeze", "podprof_app_freeze_seconds",
	    "How long the app stood still for a heap snapshot.", err) != 0)
		return -1;
	return put_store(page, db, err);
}

static void
put_limits(struct page *page)
{
	const struct conf *conf = page->conf;
	const struct {
		const char *name;
		const char *help;
		int64_t value;
	} limits[] = {
		{ "podprof_limit_store_bytes", "[limits] store_bytes.",
		    conf->store_bytes },
		{ "podprof_limit_store_jobs", "[limits] store_jobs.",
		    conf->store_jobs },
		{ "podprof_limit_min_free_bytes", "[limits] min_free_bytes.",
		    conf->min_free_bytes },
		{ "podprof_limit_profiles", "[limits] profiles, of each app.",
		    conf->profiles },
		{ "podprof_limit_downloads", "[limits] downloads.",
		    conf->downloads },
		{ "podprof_limit_waiting", "[limits] waiting.",
		    conf->waiting },
		{ "podprof_limit_token_captures", "[limits] token_captures, "
		    "in a minute.", conf->token_captures },
		{ "podprof_limit_app_captures", "[limits] app_captures, in a "
		    "minute.", conf->app_captures },
	};
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		expose_one(&page->expose, limits[i].name, EXPOSE_GAUGE,
		    limits[i].help, limits[i].value);
}

static unsigned
needs_inspector(const struct shield_sight *sight)
{
	return sight->inspector.is_fresh ? 0 : SHIELD_INSPECTOR;
}

/* Of an app of which nothing is known by now there is no sample. */
static void
put_apps(struct page *page, struct shield *shield)
{
	struct expose_label label = { "app", "" };
	struct shield_sight sight;
	size_t i;

	expose_family(&page->expose, "podprof_inspector_up", EXPOSE_GAUGE,
	    "Whether the inspector of the app answers.");
	for (i = 0; i < page->conf->apps_len; i++) {
		(void)shield_see(shield, &page->conf->apps[i],
		    needs_inspector, &sight);
		label.value = page->conf->apps[i].name;
		if (shield_is_said(&sight.inspector))
			expose_int(&page->expose, "", &label, 1,
			    sight.inspector.up);
	}
}

static int
put_requests(void *ctx, const struct traffic_sum *sum, struct err *err)
{
	struct page *page = ctx;
	char status[12];
	const struct expose_label labels[] = {
		{ "route", route_name(sum->route) },
		{ "method", sum->method },
		{ "status", status },
	};

	(void)err;
	(void)snprintf(status, sizeof(status), "%d", sum->status);
	expose_int(&page->expose, "", labels, 3, (int64_t)sum->requests);
	return 0;
}

static void
put_vitals(struct page *page, int64_t start_ms)
{
	struct expose *e = &page->expose;
	struct vitals v;

	vitals_read(&v);
	expose_family(e, "process_start_time_seconds", EXPOSE_GAUGE,
	    "When the process was started, in seconds since 1970.");
	expose_ms(e, "", NULL, 0, start_ms);
	if (v.cpu_ms >= 0) {
		expose_family(e, "process_cpu_seconds_total", EXPOSE_COUNTER,
		    "CPU time of the process, user and system.");
		expose_ms(e, "", NULL, 0, v.cpu_ms);
	}
	if (v.resident_bytes >= 0)
		expose_one(e, "process_resident_memory_bytes", EXPOSE_GAUGE,
		    "Resident memory of the process.", v.resident_bytes);
	if (v.virtual_bytes >= 0)
		expose_one(e, "process_virtual_memory_bytes", EXPOSE_GAUGE,
		    "Virtual memory of the process.", v.virtual_bytes);
	if (v.fds >= 0)
		expose_one(e, "process_open_fds", EXPOSE_GAUGE,
		    "Open file descriptors of the process.", v.fds);
	if (v.fds_max >= 0)
		expose_one(e, "process_max_fds", EXPOSE_GAUGE,
		    "How many there may be.", v.fds_max);
	if (v.threads >= 0)
		expose_one(e, "process_threads", EXPOSE_GAUGE,
		    "Threads of the process.", v.threads);
}

/* What is in the memory of the pool: a CGI process has none that lasts. */
static int
put_pool(struct page *page, struct service *service, struct err *err)
{
	struct service_load load;

	service_read_load(service, &load);
	expose_one(&page->expose, "podprof_waiting", EXPOSE_GAUGE,
	    "Requests that wait, for a job or a look at an app.",
	    load.waiting);
	expose_one(&page->expose, "podprof_downloads", EXPOSE_GAUGE,
	    "Artifacts that are being sent.", load.downloads);
	expose_family(&page->expose, "podprof_requests_total", EXPOSE_COUNTER,
	    "Requests that were answered.");
	if (traffic_read(service_traffic(service), put_requests, page,
	    err) != 0)
		return -1;
	put_vitals(page, load.start_ms);
	return 0;
}

static int
put_page(struct seat *seat, struct answer *answer, struct err *err)
{
	static const struct expose_label build = { "version",
		PACKAGE_VERSION };
	struct service *service = seat->service;
	struct page page = { .conf = service_conf(service) };
	struct db *db;

	expose_init(&page.expose, &answer->body);
	expose_family(&page.expose, "podprof_build_info", EXPOSE_GAUGE,
	    "1; what was built is in the labels.");
	expose_int(&page.expose, "", &build, 1, 1);
	if (seat_db(seat, &db, err) != 0)
		return -1;
	/* What cannot be settled can still be counted. */
	(void)!job_settle(db, page.conf->state_dir, NULL);
	if (put_counted(&page, db, err) != 0)
		return -1;
	put_limits(&page);
	put_apps(&page, service_shield(service));
	if (!service_is_cgi(service) && put_pool(&page, service, err) != 0)
		return -1;
	if (page.expose.rc != 0)
		return err_set(err, page.expose.err.code, "%s",
		    page.expose.err.msg);
	answer->kind = ANSWER_RESPONSE;
	answer->status = 200;
	answer->type = EXPOSE_TYPE;
	return 0;
}

static int
apps_seen(struct seat *seat, struct request *request, const struct job *job,
    struct answer *answer, struct err *err)
{
	(void)request;
	(void)job;
	return put_page(seat, answer, err);
}

int
handle_metrics(struct seat *seat, struct request *request,
    struct answer *answer, struct err *err)
{
	const struct conf *conf = service_conf(seat->service);
	struct shield *shield = service_shield(seat->service);
	struct shield_sight sight;
	bool is_fresh = true;
	size_t i;

	/* All of them are asked now, and side by side. */
	for (i = 0; i < conf->apps_len; i++)
		is_fresh &= shield_see(
		    shield, &conf->apps[i], needs_inspector, &sight);
	if (is_fresh)
		return put_page(seat, answer, err);
	request_wait_shield(request, answer, NULL, needs_inspector,
	    APPS_WAIT_MS, apps_seen);
	return 0;
}
