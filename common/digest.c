#include "common/digest.h"

#include "common/check.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(struct digest_stream),
               "digest_stream holds libsodium's state");

static crypto_generichash_state *state_of(struct digest_stream *self)
{
    return (crypto_generichash_state *)(void *)self->opaque;
}

void digest_begin(struct digest_stream *self)
{
    CHECK(crypto_generichash_init(state_of(self), NULL, 0, DIGEST_BYTES) == 0);
}

void digest_update(struct digest_stream *self, const void *data, size_t size_bytes)
{
    CHECK(crypto_generichash_update(state_of(self), data, size_bytes) == 0);
}

struct digest digest_end(struct digest_stream *self)
{
    struct digest out;
    CHECK(crypto_generichash_final(state_of(self), out.bytes, DIGEST_BYTES) == 0);
    return out;
}

struct digest digest_of(const void *data, size_t size_bytes)
{
    struct digest out;
    CHECK(crypto_generichash(out.bytes, DIGEST_BYTES, data, size_bytes, NULL, 0) == 0);
    return out;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

void digest_to_hex(const struct digest *digest, char out[DIGEST_HEX_BYTES])
{
    (void)sodium_bin2hex(out, DIGEST_HEX_BYTES, digest->bytes, DIGEST_BYTES);
}

enum status digest_from_hex(const char *hex, struct digest *out)
{
    size_t length = 0;
    if (strlen(hex) != (size_t)2 * DIGEST_BYTES ||
        sodium_hex2bin(out->bytes, DIGEST_BYTES, hex, (size_t)2 * DIGEST_BYTES, NULL, &length,
                       NULL) != 0 ||
        length != DIGEST_BYTES) {
        return STATUS_BAD_DATA;
    }
    return STATUS_OK;
}
