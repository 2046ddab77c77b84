/*
 * What processes share of a health address: fresh, of our making, and one at a
 * time.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "test.h"

#include "clock.h"
#include "file.h"
#include "share.h"

#define FRESH_MS 1000

static char dir[256], path[400];
static const char *pod;
static int64_t shift_ms;
/* When the clock stands still; 0: it runs. */
static int64_t stopped_ms;

int64_t __wrap_clock_mono_ms(void);
int64_t __real_clock_mono_ms(void);

int64_t
__wrap_clock_mono_ms(void)
{
	return (stopped_ms != 0 ? stopped_ms : __real_clock_mono_ms()) +
	    shift_ms;
}

static int
set_up(void **state)
{
	(void)state;
	shift_ms = stopped_ms = 0;
	pod = "pod-1";
	test_make_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/health-shop", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	test_remove_dir(dir);
	return 0;
}

static struct share *
open_share(void)
{
	struct share *share = NULL;
	struct err err;

	assert_ok(share_open(dir, "shop", pod, clock_mono_ms() + 1000, &share,
	    &err), err);
	return share;
}

static bool
reads(int *ret_up, struct err *ret_why)
{
	struct share *share = open_share();
	const bool is_there = share_read(share, FRESH_MS, ret_up, ret_why);

	share_close(&share);
	assert_null(share);
	return is_there;
}

static void
leave(int up, const char *text)
{
	struct share *share = open_share();
	struct err why;

	(void)err_set(&why, ERR_UNHEALTHY, "%s", text);
	share_write(share, up, &why);
	share_close(&share);
}

static void
put_text(const char *text, size_t len)
{
	struct err err;

	assert_ok(file_replace(path, text, len, 0600, &err), err);
}

static void
an_answer_is_shared_while_it_is_fresh(void **state)
{
	struct stat st;
	struct err why;
	int up = -1;

	(void)state;
	stopped_ms = clock_mono_ms();
	assert_false(reads(&up, &why));
	leave(1, "");
	assert_true(reads(&up, &why));
	assert_int_equal(up, 1);
	shift_ms = FRESH_MS;
	assert_false(reads(&up, &why));
	leave(0, "health_url answered 500");
	assert_true(reads(&up, &why));
	assert_int_equal(up, 0);
	assert_int_equal(why.code, ERR_UNHEALTHY);
	assert_string_equal(why.msg, "health_url answered 500");
	/* Shorter than the one before. */
	leave(1, "");
	assert_true(reads(&up, &why));
	assert_int_equal(up, 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
one_of_another_boot_is_none(void **state)
{
	struct err why;
	int up = -1;

	(void)state;
	shift_ms = 1000000;
	leave(1, "");
	shift_ms = 0;
	assert_false(reads(&up, &why));
	assert_int_equal(up, -1);
}

/* Which has an app of that name, too. */
static void
one_of_another_pod_is_none(void **state)
{
	struct err why;
	int up = -1;

	(void)state;
	stopped_ms = clock_mono_ms();
	leave(1, "");
	pod = "pod-2";
	assert_false(reads(&up, &why));
	assert_int_equal(up, -1);
	leave(0, "health_url answered 500");
	assert_true(reads(&up, &why));
	assert_int_equal(up, 0);
	pod = "pod-1";
	assert_false(reads(&up, &why));
}

static void
what_we_did_not_write_is_none(void **state)
{
	static const char *const texts[] = { "", "\n", "x", "1 1", "1 1 ",
		"NOW\n", "NOW pod-1\n", "NOW pod-1 2 \n", "NOW pod-1 1\n",
		"NOW  pod-1 1 \n", "NOW pod-1  1 \n", "NOW pod-1 1 \nmore",
		"-NOW pod-1 1 \n", "NOWpod-1 1 \n", "NOW 1 \n",
		"NOW pod 1 \n", "NOW pod-10 1 \n", "NOW  1 \n",
		"99999999999999999999 pod-1 1 \n", "NOW pod-1 0 \xff\n" };
	char text[200], now[32];
	const char *at;
	struct err why;
	int up = -1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		(void)snprintf(now, sizeof(now), "%lld",
		    (long long)clock_mono_ms());
		at = strstr(texts[i], "NOW");
		(void)snprintf(text, sizeof(text), "%.*s%s%s",
		    at != NULL ? (int)(at - texts[i]) : 0, texts[i],
		    at != NULL ? now : "", at != NULL ? at + 3 : texts[i]);
		put_text(text, strlen(text));
		if (reads(&up, &why))
			fail_msg("\"%s\" was believed", text);
	}
	(void)snprintf(text, sizeof(text), "%s pod-1 1 x", now);
	put_text(text, strlen(text) + 1);
	assert_false(reads(&up, &why));
	memset(text, '1', sizeof(text));
	for (i = 0; i < 20; i++) {
		FILE *f = fopen(path, "a");

		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, sizeof(text), f),
		    sizeof(text));
		assert_int_equal(fclose(f), 0);
	}
	assert_false(reads(&up, &why));
}

static void
one_asks_and_the_others_wait(void **state)
{
	struct share *first = open_share(), *second = NULL;
	const int64_t began_ms = clock_mono_ms();
	struct err err;

	(void)state;
	assert_int_equal(share_open(dir, "shop", pod, began_ms + 50, &second, &err),
	    -1);
	assert_int_equal(err.code, ERR_TARGET_TIMEOUT);
	assert_true(clock_mono_ms() - began_ms >= 50);
	/* Of another app it is another one. */
	assert_ok(share_open(dir, "other", pod, began_ms, &second, &err), err);
	share_close(&second);
	share_close(&first);
	share_close(&first);
	second = open_share();
	share_close(&second);
}

static void
without_a_place_nothing_is_shared(void **state)
{
	struct share *share = NULL;
	char deep[5000];
	struct err err;

	(void)state;
	assert_int_equal(share_open("/nonexistent/dir", "shop", pod,
	    clock_mono_ms(), &share, &err), -1);
	assert_int_equal(err.code, ERR_STORE);
	memset(deep, 'd', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(share_open(deep, "shop", pod, clock_mono_ms(), &share,
	    &err), -1);
	assert_int_equal(err.code, ERR_STORE);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(share_open(dir, "shop", pod, clock_mono_ms(), &share,
	    &err), -1);
	assert_int_equal(err.code, ERR_STORE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_shared_while_it_is_fresh),
		TEST(one_of_another_boot_is_none),
		TEST(one_of_another_pod_is_none),
		TEST(what_we_did_not_write_is_none),
		TEST(one_asks_and_the_others_wait),
		TEST(without_a_place_nothing_is_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
