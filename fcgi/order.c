/*
 * The body of POST jobs: strict, because a misspelt option that is ignored
 * would make another capture than was asked for.
 */
#include "order.h"

#include <math.h>
#include <string.h>

#include "json.h"
#include "str.h"

#define KINDS "\"heap-snapshot\", \"cpu-profile\" or \"heap-profile\""

/* What the members said; the kind decides later which may be there. */
struct draft {
	struct order order;
	bool has_kind;
};

typedef int member_fn(struct draft *draft, const struct json *value,
    struct err *err);

/* A whole number; ERR_INVALID without the member's name, as all here. */
static int
whole_number(const struct json *value, int64_t min, int64_t max,
    int64_t *ret_number, struct err *err)
{
	double number = json_number(value, NAN);

	if (!(number >= (double)min && number <= (double)max) ||
	    number != (double)(int64_t)number)
		return err_set(err, ERR_INVALID,
		    "must be a whole number from %lld to %lld",
		    (long long)min, (long long)max);
	*ret_number = (int64_t)number;
	return 0;
}

static int
take_kind(struct draft *draft, const struct json *value, struct err *err)
{
	const char *name = json_string(value);
	int kind = name != NULL ? job_kind_of_name(name) : -1;

	if (kind < 0)
		return err_set(err, ERR_INVALID, "must be " KINDS);
	draft->order.kind = (enum job_kind)kind;
	draft->has_kind = true;
	return 0;
}

static int
take_duration(struct draft *draft, const struct json *value, struct err *err)
{
	return whole_number(value, ORDER_DURATION_MIN_MS,
	    ORDER_DURATION_MAX_MS, &draft->order.duration_ms, err);
}

static int
take_interval(struct draft *draft, const struct json *value, struct err *err)
{
	return whole_number(value, ORDER_INTERVAL_MIN_US,
	    ORDER_INTERVAL_MAX_US, &draft->order.interval_us, err);
}

static int
take_sampling(struct draft *draft, const struct json *value, struct err *err)
{
	return whole_number(value, ORDER_SAMPLING_MIN_BYTES,
	    ORDER_SAMPLING_MAX_BYTES, &draft->order.sampling_bytes, err);
}

static int
take_bool(const struct json *value, bool *ret_bool, struct err *err)
{
	if (!json_is_bool(value))
		return err_set(err, ERR_INVALID, "must be true or false");
	*ret_bool = json_is_true(value);
	return 0;
}

static int
take_live(struct draft *draft, const struct json *value, struct err *err)
{
	return take_bool(value, &draft->order.live, err);
}

static int
take_method(struct draft *draft, const struct json *value, struct err *err)
{
	const char *name = json_string(value);
	int method = name != NULL ? conf_method_of_name(name) : -1;

	if (method < 0)
		return err_set(err, ERR_INVALID, "must be \"auto\", "
		    "\"fork\", \"direct\" or \"stream\"");
	draft->order.method = (enum conf_method)method;
	return 0;
}

static int
take_force(struct draft *draft, const struct json *value, struct err *err)
{
	return take_bool(value, &draft->order.force, err);
}

static int
take_worker(struct draft *draft, const struct json *value, struct err *err)
{
	const char *id = json_string(value);

	if (id == NULL || id[0] == '\0' ||
	    strspn(id, "0123456789") != strlen(id) ||
	    !str_copy(draft->order.worker, ORDER_WORKER_MAX, id))
		return err_set(err, ERR_INVALID, "must be the id of a worker "
		    "thread, a string of digits such as \"3\": GET target "
		    "lists them");
	return 0;
}

static const struct {
	const char *name;
	member_fn *take;
} members[] = {
	{ "kind", take_kind },
	{ "durationMs", take_duration },
	{ "intervalUs", take_interval },
	{ "samplingBytes", take_sampling },
	{ "live", take_live },
	{ "method", take_method },
	{ "force", take_force },
	{ "worker", take_worker },
};
#define MEMBERS_LEN (sizeof(members) / sizeof(members[0]))

static int
take_member(struct draft *draft, const char *name, const struct json *value,
    bool seen[MEMBERS_LEN], struct err *err)
{
	size_t i;

	for (i = 0; i < MEMBERS_LEN; i++) {
		if (strcmp(name, members[i].name) != 0)
			continue;
		if (seen[i])
			return err_set(err, ERR_INVALID, "given twice");
		seen[i] = true;
		return members[i].take(draft, value, err);
	}
	return err_set(err, ERR_INVALID, "there is no such member");
}

/* Members that the kind has no use for. */
static int
check_members(const struct order *order, struct err *err)
{
	const char *kind = job_kind_name(order->kind);

	if (order->kind == JOB_HEAP_SNAPSHOT &&
	    order->duration_ms != JOB_UNKNOWN)
		return err_set(err, ERR_INVALID,
		    "durationMs: a heap-snapshot has no duration");
	if (order->kind != JOB_CPU_PROFILE && order->interval_us != JOB_UNKNOWN)
		return err_set(err, ERR_INVALID, "intervalUs: a %s has no "
		    "interval, a cpu-profile has", kind);
	if (order->kind != JOB_HEAP_PROFILE &&
	    order->sampling_bytes != JOB_UNKNOWN)
		return err_set(err, ERR_INVALID, "samplingBytes: a %s takes "
		    "no samples of what is allocated, a heap-profile does",
		    kind);
	if (order->kind != JOB_HEAP_PROFILE && order->live)
		return err_set(err, ERR_INVALID, "live: a %s has no such "
		    "choice, a heap-profile has", kind);
	return 0;
}

static int
check_method(const struct order *order, struct err *err)
{
	if (order->method != METHOD_FORK && order->method != METHOD_DIRECT)
		return 0;
	if (order->kind != JOB_HEAP_SNAPSHOT)
		return err_set(err, ERR_INVALID, "method: %s is a way to take "
		    "a heap-snapshot; leave it out for a %s",
		    conf_method_name(order->method),
		    job_kind_name(order->kind));
	if (order->worker[0] != '\0')
		return err_set(err, ERR_INVALID, "method: %s is a way to take "
		    "a heap-snapshot of the main thread; leave it out for a "
		    "worker, which is captured by stream",
		    conf_method_name(order->method));
	return 0;
}

/* What fits together. */
static int
complete(struct draft *draft, struct order *ret_order, struct err *err)
{
	struct order *order = &draft->order;

	if (!draft->has_kind)
		return err_set(err, ERR_INVALID, "kind is missing: " KINDS);
	if (check_members(order, err) != 0 || check_method(order, err) != 0)
		return -1;
	if (order->kind != JOB_HEAP_SNAPSHOT &&
	    order->duration_ms == JOB_UNKNOWN)
		order->duration_ms = ORDER_DURATION_MS;
	*ret_order = *order;
	return 0;
}

int
order_parse(const char *body, size_t len, struct order *ret_order,
    struct err *err)
{
	struct draft draft = { .order = {
		.method = METHOD_AUTO,
		.duration_ms = JOB_UNKNOWN,
		.interval_us = JOB_UNKNOWN,
		.sampling_bytes = JOB_UNKNOWN,
	} };
	bool seen[MEMBERS_LEN] = { false };
	const struct json *member;
	struct json *root = NULL;
	int rc = -1;

	if (!str_is_utf8(body, len))
		return err_set(err, ERR_INVALID, "the body is not UTF-8");
	if (json_parse(body, len, &root, err) != 0)
		return err_wrap(err, "the body");
	if (!json_is_object(root)) {
		err_set(err, ERR_INVALID, "the body is not a JSON object");
		goto out;
	}
	for (member = json_first(root); member != NULL;
	    member = json_next(member)) {
		if (take_member(&draft, json_key(member), member, seen,
		    err) != 0) {
			err_wrap(err, "%s", json_key(member));
			goto out;
		}
	}
	rc = complete(&draft, ret_order, err);
out:
	json_free(&root);
	return rc;
}
