/*
 * Jobs: the audit line of their end.
 */
#include "job_parts.h"

#include <inttypes.h>
#include <stdio.h>

#include "log.h"

#define NUMBER_MAX 24

/* NULL, so that the member is left out, where it is not known. */
static const char *
print_known(int64_t number, char out[NUMBER_MAX])
{
	if (number == JOB_UNKNOWN)
		return NULL;
	(void)snprintf(out, NUMBER_MAX, "%" PRId64, number);
	return out;
}

void
job_audit_end(const struct job *job, const char *outcome, const char *reason)
{
	char bytes[NUMBER_MAX], stored[NUMBER_MAX], freeze[NUMBER_MAX];
	char request_id[STR_NAME_MAX + 1], job_id[STR_NAME_MAX + 1];
	const struct log_field fields[] = {
		{ "who", job->requested_by },
		{ "app", job->app },
		{ "kind", job_kind_name(job->kind) },
		{ "method", job->used_method == JOB_UNKNOWN ? NULL :
		    conf_method_name((enum conf_method)job->used_method) },
		{ "bytes", print_known(job->sum.size_bytes, bytes) },
		{ "storedBytes",
		    print_known(job->sum.stored_bytes, stored) },
		{ "freezeMs", print_known(job->freeze_ms, freeze) },
		{ "outcome", outcome },
		{ "reason", reason },
	};

	/* Whoever settles it works for another. */
	(void)str_copy(request_id, sizeof(request_id), log_request_id());
	(void)str_copy(job_id, sizeof(job_id), log_job_id());
	log_bind(job->request_id, job->id);
	log_audit("end", fields, sizeof(fields) / sizeof(fields[0]));
	log_bind(request_id[0] != '\0' ? request_id : NULL,
	    job_id[0] != '\0' ? job_id : NULL);
}
