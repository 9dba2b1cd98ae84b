/* digest - BLAKE2b-256 hashes (RFC 7693, from libsodium) and their hexadecimal form.
 *
 * Thread-safe. */
#ifndef DUGNAD_COMMON_DIGEST_H
#define DUGNAD_COMMON_DIGEST_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX_BYTES = 2 * DIGEST_BYTES + 1 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* Hashes size_bytes of `data` (NULL is allowed when size_bytes is 0). */
struct digest digest_of(const void *data, size_t size_bytes);

/* Hashes in pieces: begin, any number of updates, end. The caller owns the storage. */
struct digest_stream {
    _Alignas(64) unsigned char opaque[384];
};
void digest_begin(struct digest_stream *self);
void digest_update(struct digest_stream *self, const void *data, size_t size_bytes);
struct digest digest_end(struct digest_stream *self);

bool digest_equal(const struct digest *a, const struct digest *b);

/* Lower-case hexadecimal with a final NUL. */
void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_BYTES]);

/* Errors: BAD_DATA unless `hex` is exactly 64 hexadecimal digits. */
MUST_CHECK enum status digest_from_hex(const char *hex, struct digest *out);

#endif
