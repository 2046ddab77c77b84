/*
 * Lease files: young while they are renewed, believed for as long as they are
 * to be afterwards, and whatever else somebody puts in their place.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "test.h"

#include "clock.h"
#include "lease.h"

#define NAME "podprof-freeze-shop"

static char dir[256], path[400], victim[400];
static int64_t shift_ms;

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return __real_clock_mono_ms() + shift_ms;
}

static int
set_up(void **state)
{
	FILE *f;

	(void)state;
	shift_ms = 0;
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/" NAME, dir);
	(void)snprintf(victim, sizeof(victim), "%s/victim", dir);
	f = fopen(victim, "w");
	assert_non_null(f);
	assert_true(fputs("mine", f) >= 0);
	assert_int_equal(fclose(f), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	test_remove_dir(dir);
	return 0;
}

static struct lease *
begin(void)
{
	struct lease *lease = NULL;
	struct err err;

	assert_ok(lease_begin(dir, "shop", &lease, &err), err);
	return lease;
}

/* How old the file is, by the clock that is not moved; -1: there is none. */
static int64_t
age_ms(void)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return -1;
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_uid, geteuid());
	return clock_utc_ms() - (st.st_mtim.tv_sec * INT64_C(1000) +
	    st.st_mtim.tv_nsec / 1000000);
}

static void
set_age(int64_t ms)
{
	const int64_t at_ms = clock_utc_ms() - ms;
	const struct timespec times[2] = {
		{ .tv_sec = at_ms / 1000 }, { .tv_sec = at_ms / 1000 } };

	assert_int_equal(utimensat(AT_FDCWD, path, times,
	    AT_SYMLINK_NOFOLLOW), 0);
}

static void
assert_victim_is_whole(void)
{
	struct stat st;

	assert_int_equal(lstat(victim, &st), 0);
	assert_int_equal(st.st_size, 4);
}

static void
is_young_while_it_is_renewed(void **state)
{
	struct lease *lease = begin();

	(void)state;
	assert_true(age_ms() >= 0 && age_ms() < 5000);
	set_age(20000);
	/* Not all the time. */
	lease_renew(lease);
	assert_true(age_ms() >= 20000);
	shift_ms += LEASE_RENEW_MS;
	lease_renew(lease);
	assert_true(age_ms() < 5000);
	lease_end(&lease, 0);
	assert_null(lease);
	assert_int_equal(age_ms(), -1);
}

static void
is_believed_for_the_grace(void **state)
{
	struct lease *lease = begin();
	int64_t left_ms;

	(void)state;
	lease_end(&lease, 15000);
	left_ms = LEASE_MS - age_ms();
	assert_true(left_ms > 10000 && left_ms <= 15000);
	/* The next one is young again. */
	lease = begin();
	assert_true(age_ms() < 5000);
	lease_end(&lease, 0);
}

static void
what_has_its_name_is_replaced(void **state)
{
	struct lease *lease;

	(void)state;
	assert_int_equal(symlink(victim, path), 0);
	lease = begin();
	assert_true(age_ms() >= 0);
	lease_end(&lease, 0);
	assert_int_equal(link(victim, path), 0);
	lease = begin();
	assert_true(age_ms() >= 0);
	lease_end(&lease, 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	lease = begin();
	assert_true(age_ms() >= 0);
	lease_end(&lease, 0);
	assert_victim_is_whole();
}

static void
what_is_put_there_meanwhile_is_replaced(void **state)
{
	struct lease *lease = begin();

	(void)state;
	assert_int_equal(unlink(path), 0);
	shift_ms += LEASE_RENEW_MS;
	lease_renew(lease);
	assert_true(age_ms() >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(victim, path), 0);
	shift_ms += LEASE_RENEW_MS;
	lease_renew(lease);
	assert_true(age_ms() >= 0);
	assert_victim_is_whole();
	/* And at the end it is left to whose it is. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(victim, path), 0);
	lease_end(&lease, 0);
	assert_int_equal(unlink(path), 0);
	assert_victim_is_whole();
}

static void
without_its_directory_it_ends_in_peace(void **state)
{
	struct lease *lease = begin();

	(void)state;
	test_remove_dir(dir);
	shift_ms += LEASE_RENEW_MS;
	lease_renew(lease);
	lease_end(&lease, 0);
	lease_end(&lease, 15000);
	lease_renew(NULL);
	test_make_dir(dir);
}

static void
a_bad_directory_is_refused(void **state)
{
	struct lease *lease = NULL;
	char other[400];
	struct err err;

	(void)state;
	assert_int_equal(lease_begin("/nonexistent/dir", "shop", &lease, &err),
	    -1);
	assert_int_equal(err.code, ERR_STORE);
	assert_non_null(strstr(err.msg, "exchange_dir /nonexistent/dir"));
	(void)snprintf(other, sizeof(other), "%s/link", dir);
	assert_int_equal(symlink("/tmp", other), 0);
	assert_int_equal(lease_begin(other, "shop", &lease, &err), -1);
	assert_int_equal(err.code, ERR_STORE);
	assert_int_equal(lease_begin(victim, "shop", &lease, &err), -1);
	/* A directory cannot be replaced. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(lease_begin(dir, "shop", &lease, &err), -1);
	assert_non_null(strstr(err.msg, NAME));
	assert_null(lease);
}

static void
only_an_old_one_is_swept(void **state)
{
	struct lease *lease;
	struct stat st;
	struct err err;

	(void)state;
	assert_ok(lease_sweep(dir, "shop", &err), err);
	assert_ok(lease_sweep("/nonexistent/dir", "shop", &err), err);
	lease = begin();
	set_age(LEASE_MS);
	assert_ok(lease_sweep(dir, "shop", &err), err);
	assert_true(age_ms() >= 0);
	set_age(LEASE_MS + LEASE_RENEW_MS + 2000);
	assert_ok(lease_sweep(dir, "other", &err), err);
	assert_true(age_ms() >= 0);
	assert_ok(lease_sweep(dir, "shop", &err), err);
	assert_int_equal(age_ms(), -1);
	lease_end(&lease, 0);
	assert_int_equal(symlink(victim, path), 0);
	set_age(10 * LEASE_MS);
	assert_ok(lease_sweep(dir, "shop", &err), err);
	assert_int_equal(lstat(path, &st), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_young_while_it_is_renewed),
		TEST(is_believed_for_the_grace),
		TEST(what_has_its_name_is_replaced),
		TEST(what_is_put_there_meanwhile_is_replaced),
		TEST(without_its_directory_it_ends_in_peace),
		TEST(a_bad_directory_is_refused),
		TEST(only_an_old_one_is_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
