/*
 * SHA-256, random bytes and comparison in constant time.  The only module
 * that knows libcrypto.
 */
#ifndef PODPROF_DIGEST_H
#define PODPROF_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define DIGEST_BYTES 32
#define DIGEST_HEX_MAX 65	/* 64 characters and the NUL */

struct digest;

/* A running SHA-256.  ERR_NOMEM. */
MUST int digest_new(struct digest **ret_digest, struct err *err);
void digest_free(struct digest **digest);
void digest_update(struct digest *digest, const void *data, size_t len);
/* The result; afterwards only digest_free() is allowed. */
void digest_finish(struct digest *digest, unsigned char out[DIGEST_BYTES]);

/* All of it in one call, as lower-case hex. */
MUST int digest_hex(const void *data, size_t len, char out[DIGEST_HEX_MAX],
    struct err *err);

/* Base64 with padding (RFC 4648, 4), for Repr-Digest; out holds 45 bytes. */
#define DIGEST_BASE64_MAX 45
void digest_base64(const unsigned char digest[DIGEST_BYTES],
    char out[DIGEST_BASE64_MAX]);

/* True if both are equal; takes the same time wherever they differ. */
bool digest_equal(const void *a, const void *b, size_t len);

/* Random bytes fit for a secret.  ERR_INTERNAL. */
MUST int digest_random(void *out, size_t len, struct err *err);

#endif
