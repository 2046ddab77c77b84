/*
 * SHA-256, random bytes and comparison in constant time, by libcrypto.
 */
#include "digest.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "str.h"

struct digest {
	EVP_MD_CTX *ctx;
};

int
digest_new(struct digest **ret_digest, struct err *err)
{
	struct digest *digest = calloc(1, sizeof(*digest));

	if (digest != NULL)
		digest->ctx = EVP_MD_CTX_new();
	if (digest == NULL || digest->ctx == NULL ||
	    EVP_DigestInit_ex(digest->ctx, EVP_sha256(), NULL) != 1) {
		digest_free(&digest);
		return err_set(err, ERR_NOMEM, "no memory for a SHA-256");
	}
	*ret_digest = digest;
	return 0;
}

void
digest_free(struct digest **digest)
{
	if (digest == NULL || *digest == NULL)
		return;
	EVP_MD_CTX_free((*digest)->ctx);
	free(*digest);
	*digest = NULL;
}

/* SHA-256 over memory has nothing that could fail, once it was begun; a
 * refusal means that the context was used after its end. */
void
digest_update(struct digest *digest, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(digest->ctx, data, len);

	assert(ok == 1);
}

void
digest_finish(struct digest *digest, unsigned char out[DIGEST_BYTES])
{
	unsigned len = 0;
	int ok = EVP_DigestFinal_ex(digest->ctx, out, &len);

	assert(ok == 1 && len == DIGEST_BYTES);
}

int
digest_hex(const void *data, size_t len, char out[DIGEST_HEX_MAX],
    struct err *err)
{
	unsigned char sum[DIGEST_BYTES];
	struct digest *digest = NULL;

	if (digest_new(&digest, err) != 0)
		return -1;
	digest_update(digest, data, len);
	digest_finish(digest, sum);
	digest_free(&digest);
	str_hex(sum, sizeof(sum), out);
	return 0;
}

void
digest_base64(const unsigned char digest[DIGEST_BYTES],
    char out[DIGEST_BASE64_MAX])
{
	int len = EVP_EncodeBlock((unsigned char *)out, digest, DIGEST_BYTES);

	assert(len == DIGEST_BASE64_MAX - 1);
}

bool
digest_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

int
digest_random(void *out, size_t len, struct err *err)
{
	unsigned char *next = out;
	int piece;

	while (len > 0) {
		piece = len > 1 << 20 ? 1 << 20 : (int)len;
		if (RAND_bytes(next, piece) != 1)
			return err_set(err, ERR_INTERNAL,
			    "libcrypto gives no random bytes");
		next += piece;
		len -= (size_t)piece;
	}
	return 0;
}
