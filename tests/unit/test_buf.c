/* The buffer: its bound, its NUL, and failures that leave it as it was. */
#include "test.h"

#include "buf.h"

static int fail_realloc;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_realloc(void *old, size_t size)
{
	return fail_realloc ? NULL : __real_realloc(old, size);
}

static void
starts_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_null(b.data);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
	buf_reset(&b);
	buf_fini(&b);
	buf_fini(&b);
	buf_fini(NULL);
}

static void
adds_in_order(void **state)
{
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_ok(buf_adds(&b, "one ", &err), err);
	assert_ok(buf_addc(&b, '2', &err), err);
	assert_ok(buf_addf(&b, &err, " %s-%03d", "three", 4), err);
	assert_ok(buf_add(&b, "\0x", 2, &err), err);
	assert_ok(buf_add(&b, NULL, 0, &err), err);
	assert_int_equal(b.len, 17);
	assert_memory_equal(b.data, "one 2 three-004\0x", 18);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
	assert_non_null(b.data);
	assert_ok(buf_adds(&b, "again", &err), err);
	assert_string_equal(buf_str(&b), "again");
	buf_cut(&b, 5);
	assert_string_equal(buf_str(&b), "again");
	buf_cut(&b, 2);
	assert_int_equal(b.len, 2);
	assert_string_equal(buf_str(&b), "ag");
	buf_fini(&b);
	assert_null(b.data);
	assert_int_equal(b.max, 1000);
}

static void
bound_is_exact(void **state)
{
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_ok(buf_adds(&b, "12345", &err), err);
	assert_int_equal(b.data[5], '\0');
	assert_true(b.cap <= 6);
	assert_err(buf_addc(&b, '6', &err), err, ERR_TOO_LARGE, "5 bytes");
	assert_err(buf_addf(&b, &err, "%d", 6), err, ERR_TOO_LARGE, "5 bytes");
	assert_err(buf_add(&b, "x", SIZE_MAX, &err), err, ERR_TOO_LARGE,
	    "5 bytes");
	assert_string_equal(buf_str(&b), "12345");
	assert_int_equal(b.len, 5);
	assert_ok(buf_adds(&b, "", &err), err);
	assert_ok(buf_addf(&b, &err, "%s", ""), err);
	buf_fini(&b);
}

static void
formatted_text_fits_or_is_not_there(void **state)
{
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_ok(buf_adds(&b, "abcd", &err), err);
	assert_err(buf_addf(&b, &err, "%05d", 1), err, ERR_TOO_LARGE, "8");
	assert_string_equal(buf_str(&b), "abcd");
	assert_ok(buf_addf(&b, &err, "%04d", 1), err);
	assert_string_equal(buf_str(&b), "abcd0001");
	buf_fini(&b);
}

static void
grows_by_single_bytes(void **state)
{
	struct err err;
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 100000);
	for (i = 0; i < 100000; i++) {
		assert_ok(buf_addc(&b, (char)('a' + i % 26), &err), err);
		assert_int_equal(b.data[b.len], '\0');
	}
	for (i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], 'a' + (int)(i % 26));
	assert_true(b.cap <= 100001);
	buf_fini(&b);
}

static void
without_memory_it_stays(void **state)
{
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	fail_realloc = 1;
	assert_err(buf_adds(&b, "x", &err), err, ERR_NOMEM, "no memory");
	assert_string_equal(buf_str(&b), "");
	fail_realloc = 0;
	assert_ok(buf_adds(&b, "kept", &err), err);
	fail_realloc = 1;
	assert_err(buf_addf(&b, &err, "%5000d", 1), err, ERR_NOMEM,
	    "no memory");
	fail_realloc = 0;
	assert_string_equal(buf_str(&b), "kept");
	assert_ok(buf_adds(&b, " on", &err), err);
	assert_string_equal(buf_str(&b), "kept on");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty),
		cmocka_unit_test(adds_in_order),
		cmocka_unit_test(bound_is_exact),
		cmocka_unit_test(formatted_text_fits_or_is_not_there),
		cmocka_unit_test(grows_by_single_bytes),
		cmocka_unit_test(without_memory_it_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
