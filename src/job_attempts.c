/*
 * The ways of a job to capture, between a struct job and the text of its row:
 * [{"method":"fork","outcome":"skipped","reason":"…"}, …].  A text that was not
 * written here is no reason to lose the job: it counts as not known.
 */
#include "job_parts.h"

#include <string.h>

/* Each byte of a reason may become six. */
_Static_assert(JOB_ATTEMPTS_MAX * (6 * JOB_REASON_MAX + 128) <=
    JOB_ATTEMPTS_TEXT_MAX, "the longest list must fit");

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

static const char *const outcome_names[] = {
	[OUTCOME_RUNNING] = "running",
	[OUTCOME_SUCCEEDED] = "succeeded",
	[OUTCOME_FAILED] = "failed",
	[OUTCOME_SKIPPED] = "skipped",
	[OUTCOME_CANCELED] = "canceled",
};

const char *
job_outcome_name(enum job_outcome outcome)
{
	return outcome_names[outcome];
}

static int
outcome_of_name(const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < LEN(outcome_names); i++)
		if (strcmp(outcome_names[i], name) == 0)
			return (int)i;
	return -1;
}

bool
job_attempts_are_sound(const struct job_attempt *attempts, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (attempts[i].method == METHOD_AUTO ||
		    (attempts[i].outcome == OUTCOME_RUNNING) != (i == len - 1))
			return false;
	return len >= 1 && len <= JOB_ATTEMPTS_MAX;
}

int
job_attempts_print(const struct job_attempt *attempts, size_t len,
    struct buf *out, struct err *err)
{
	struct json *root = json_new_object(), *object;
	struct json *array = json_put_array(root, "attempts");
	int bad = array == NULL ? -1 : 0, rc = -1;
	size_t i;

	for (i = 0; i < len; i++) {
		object = json_add_object(array);
		bad |= json_put_string(object, "method",
		    conf_method_name(attempts[i].method));
		bad |= json_put_string(object, "outcome",
		    outcome_names[attempts[i].outcome]);
		bad |= json_put_string(object, "reason", attempts[i].reason);
	}
	if (bad != 0)
		(void)err_set(err, ERR_NOMEM,
		    "no memory for the attempts of a job");
	else
		rc = json_print(json_get(root, "attempts"), out, err);
	json_free(&root);
	return rc;
}

static bool
read_attempt(const struct json *object, struct job_attempt *out)
{
	const char *word = json_string(json_get(object, "method"));
	const char *reason = json_string(json_get(object, "reason"));
	int method = word != NULL ? conf_method_of_name(word) : -1;
	int outcome = outcome_of_name(
	    json_string(json_get(object, "outcome")));

	if (method < 0 || outcome < 0 || reason == NULL)
		return false;
	out->method = (enum conf_method)method;
	out->outcome = (enum job_outcome)outcome;
	(void)str_copy(out->reason, sizeof(out->reason), reason);
	return true;
}

static bool
read_all(const struct json *array, struct job *job)
{
	const struct json *member;
	size_t len = 0;

	if (!json_is_array(array) || json_count(array) > JOB_ATTEMPTS_MAX)
		return false;
	for (member = json_first(array); member != NULL;
	    member = json_next(member))
		if (!read_attempt(member, &job->attempts[len++]))
			return false;
	job->attempts_len = len;
	return job_attempts_are_sound(job->attempts, len);
}

int
job_attempts_read(const char *text, struct job *job, struct err *err)
{
	const size_t len = text != NULL ?
	    strnlen(text, JOB_ATTEMPTS_TEXT_MAX + 1) : 0;
	struct json *array = NULL;
	struct err fault;
	bool is_known;

	if (len > 0 && len <= JOB_ATTEMPTS_TEXT_MAX &&
	    json_parse(text, len, &array, &fault) != 0 &&
	    fault.code == ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "%s", fault.msg);
	is_known = read_all(array, job);
	json_free(&array);
	if (is_known)
		return 0;
	memset(job->attempts, 0, sizeof(job->attempts));
	job->attempts_len = 0;
	if (job->used_method == JOB_UNKNOWN)
		return 0;
	job->attempts[0].method = (enum conf_method)job->used_method;
	job->attempts[0].outcome = OUTCOME_RUNNING;
	job->attempts_len = 1;
	return 0;
}
