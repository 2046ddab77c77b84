/*
 * The handlers, by noun.  See route.c for their addresses, and handle_fn.
 */
#ifndef PODPROF_HANDLE_H
#define PODPROF_HANDLE_H

#include "route.h"

/* handle_papi.c: the three of the module. */
handle_fn handle_take_snapshot;
handle_fn handle_get_snapshot;
handle_fn handle_get_profile;

/* handle_jobs.c */
handle_fn handle_create_job;
handle_fn handle_list_jobs;
handle_fn handle_get_job;
handle_fn handle_get_artifact;
handle_fn handle_delete_job;
handle_fn handle_create_link;

/* handle_summary.c */
handle_fn handle_summary;

/* handle_target.c */
handle_fn handle_target;

/* handle_probe.c */
handle_fn handle_livez;
handle_fn handle_readyz;

/* handle_metrics.c */
handle_fn handle_metrics;

/* handle_openapi.c */
handle_fn handle_openapi;

/* handle_page.c */
handle_fn handle_page;
handle_fn handle_page_slash;
handle_fn handle_speedscope;

#endif
