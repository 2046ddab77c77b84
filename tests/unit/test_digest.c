/* SHA-256 by its published examples, comparison, random bytes. */
#include "test.h"

#include "digest.h"
#include "str.h"

static int random_fails, new_fails;

int __real_RAND_bytes(unsigned char *out, int len);
int __wrap_RAND_bytes(unsigned char *out, int len);
void *__real_EVP_MD_CTX_new(void);
void *__wrap_EVP_MD_CTX_new(void);

int
__wrap_RAND_bytes(unsigned char *out, int len)
{
	return random_fails ? 0 : __real_RAND_bytes(out, len);
}

void *
__wrap_EVP_MD_CTX_new(void)
{
	return new_fails ? NULL : __real_EVP_MD_CTX_new();
}

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION_A \
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void
whole_texts_have_their_digests(void **state)
{
	char hex[DIGEST_HEX_MAX];
	struct err err;

	(void)state;
	assert_ok(digest_hex("", 0, hex, &err), err);
	assert_string_equal(hex, EMPTY);
	assert_ok(digest_hex("abc", 3, hex, &err), err);
	assert_string_equal(hex, ABC);
}

static void
pieces_make_the_same_digest(void **state)
{
	unsigned char sum[DIGEST_BYTES];
	struct digest *digest = NULL;
	char hex[DIGEST_HEX_MAX], piece[1000];
	struct err err;
	size_t left, n;

	(void)state;
	memset(piece, 'a', sizeof(piece));
	assert_ok(digest_new(&digest, &err), err);
	for (left = 1000000, n = 0; left > 0; left -= n) {
		n = n * 3 % 997 + 1;
		if (n > left)
			n = left;
		digest_update(digest, piece, n);
	}
	digest_update(digest, piece, 0);
	digest_finish(digest, sum);
	digest_free(&digest);
	assert_null(digest);
	digest_free(&digest);
	digest_free(NULL);
	str_hex(sum, sizeof(sum), hex);
	assert_string_equal(hex, MILLION_A);
}

static void
base64_is_padded(void **state)
{
	unsigned char sum[DIGEST_BYTES];
	char out[DIGEST_BASE64_MAX];
	size_t i;

	(void)state;
	memset(sum, 0xff, sizeof(sum));
	digest_base64(sum, out);
	assert_string_equal(out,
	    "//////////////////////////////////////////8=");
	for (i = 0; i < sizeof(sum); i++)
		sum[i] = (unsigned char)i;
	digest_base64(sum, out);
	assert_string_equal(out,
	    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
}

static void
equal_looks_at_every_byte(void **state)
{
	char a[32] = {0}, b[32] = {0};
	size_t i;

	(void)state;
	assert_true(digest_equal(a, b, sizeof(a)));
	for (i = 0; i < sizeof(a); i++) {
		b[i] = 1;
		assert_false(digest_equal(a, b, sizeof(a)));
		assert_true(digest_equal(a, b, i));
		b[i] = 0;
	}
}

static void
random_bytes_fill_all(void **state)
{
	static unsigned char out[(2 << 20) + 5];
	size_t counts[256] = {0}, i;
	struct err err;

	(void)state;
	assert_ok(digest_random(out, sizeof(out), &err), err);
	for (i = 0; i < sizeof(out); i++)
		counts[out[i]]++;
	/* 8192 expected of each; far outside of that is not random. */
	for (i = 0; i < 256; i++)
		assert_in_range(counts[i], 7400, 9000);
	assert_ok(digest_random(NULL, 0, &err), err);
}

static void
failures_are_errors(void **state)
{
	struct digest *digest = NULL;
	char hex[DIGEST_HEX_MAX] = "same", out[4];
	struct err err;

	(void)state;
	random_fails = 1;
	assert_err(digest_random(out, 4, &err), err, ERR_INTERNAL, "random");
	random_fails = 0;
	new_fails = 1;
	assert_err(digest_new(&digest, &err), err, ERR_NOMEM, "SHA-256");
	assert_null(digest);
	assert_err(digest_hex("x", 1, hex, &err), err, ERR_NOMEM, "SHA-256");
	assert_string_equal(hex, "same");
	new_fails = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_texts_have_their_digests),
		cmocka_unit_test(pieces_make_the_same_digest),
		cmocka_unit_test(base64_is_padded),
		cmocka_unit_test(equal_looks_at_every_byte),
		cmocka_unit_test(random_bytes_fill_all),
		cmocka_unit_test(failures_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
