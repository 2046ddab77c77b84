/* UUIDv7: form, order, and a clock that is set back. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include "clock.h"
#include "uuid.h"

static int64_t now_ms;		/* 0: the real clock */
static int random_fails, interrupts;
static unsigned char random_byte;
static int random_fixed;

ssize_t __real_getrandom(void *out, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
int64_t __real_clock_utc_ms(void);
int64_t __wrap_clock_utc_ms(void);

ssize_t
__wrap_getrandom(void *out, size_t len, unsigned flags)
{
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (random_fails) {
		errno = ENOSYS;
		return -1;
	}
	if (!random_fixed)
		return __real_getrandom(out, len, flags);
	/* One byte at a time: what is short must be asked for again. */
	memset(out, random_byte, 1);
	return 1;
}

int64_t
__wrap_clock_utc_ms(void)
{
	return now_ms != 0 ? now_ms : __real_clock_utc_ms();
}

static void
time_is_in_front(void **state)
{
	char id[UUID_MAX], hex[13];
	int64_t before = clock_utc_ms();
	struct err err;

	(void)state;
	assert_ok(uuid_v7(id, &err), err);
	(void)snprintf(hex, sizeof(hex), "%.8s%.4s", id, id + 9);
	assert_in_range(strtoll(hex, NULL, 16), before - 1, before + 5000);
}

static void
form_is_version_7(void **state)
{
	char id[UUID_MAX];
	struct err err;

	(void)state;
	/* Far ahead: an id never goes behind the one before it. */
	now_ms = INT64_C(0x0f98c0de7b1e);
	random_fixed = 1;
	random_byte = 0xff;
	interrupts = 1;
	assert_ok(uuid_v7(id, &err), err);
	assert_string_equal(id, "0f98c0de-7b1e-77ff-bfff-ffffffffffff");
	assert_true(uuid_is_valid(id));
	random_byte = 0;
	now_ms++;
	assert_ok(uuid_v7(id, &err), err);
	assert_string_equal(id, "0f98c0de-7b1f-7000-8000-000000000000");
	random_fixed = 0;
	now_ms = 0;
}

/* More than one millisecond has counters for, and a clock set back. */
static void
order_is_kept(void **state)
{
	char last[UUID_MAX] = "", id[UUID_MAX];
	struct err err;
	int i;

	(void)state;
	now_ms = INT64_C(0x0f98c0de7c00);
	for (i = 0; i < 20000; i++) {
		if (i == 10000)
			now_ms -= 3600000;
		if (i == 15000)
			now_ms += 2 * 3600000;
		assert_ok(uuid_v7(id, &err), err);
		assert_true(uuid_is_valid(id));
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(id));
	}
	now_ms = 0;
}

#define THREADS 4
#define PER_THREAD 2000

static char made[THREADS][PER_THREAD][UUID_MAX];

static void *
make_many(void *ctx)
{
	char(*ids)[UUID_MAX] = ctx;
	int i;

	for (i = 0; i < PER_THREAD; i++)
		if (uuid_v7(ids[i], NULL) != 0)
			return ctx;
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
threads_make_different_ones(void **state)
{
	pthread_t threads[THREADS];
	char(*all)[UUID_MAX] = made[0];
	void *failed;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_many,
		    made[i]), 0);
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	qsort(all, THREADS * PER_THREAD, UUID_MAX, compare);
	/* Times and counters alone differ: 18 characters. */
	for (i = 1; i < THREADS * PER_THREAD; i++)
		assert_true(strncmp(all[i - 1], all[i], 18) < 0);
}

static void
no_random_bytes_is_an_error(void **state)
{
	char id[UUID_MAX] = "untouched";
	struct err err;

	(void)state;
	random_fails = 1;
	assert_err(uuid_v7(id, &err), err, ERR_INTERNAL, "random");
	assert_string_equal(id, "untouched");
	random_fails = 0;
}

static void
only_the_canonical_form_is_valid(void **state)
{
	(void)state;
	assert_true(uuid_is_valid("0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c77"));
	assert_false(uuid_is_valid(""));
	assert_false(uuid_is_valid("0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7"));
	assert_false(uuid_is_valid("0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c777"));
	assert_false(uuid_is_valid("0198C0DE-7b1e-7c3a-9f00-5d2e6a1b4c77"));
	assert_false(uuid_is_valid("0198c0de07b1e-7c3a-9f00-5d2e6a1b4c77"));
	assert_false(uuid_is_valid("0198c0de-7b1e-7c3a-9f00-5d2e6a1b4c7g"));
	assert_false(uuid_is_valid("0198c0de-7b1e-7c3a-9f00-5d2e6a1b/../"));
	assert_false(uuid_is_valid("--------------------------------------"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_is_in_front),
		cmocka_unit_test(form_is_version_7),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(threads_make_different_ones),
		cmocka_unit_test(no_random_bytes_is_an_error),
		cmocka_unit_test(only_the_canonical_form_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
