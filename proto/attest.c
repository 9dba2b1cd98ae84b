#include "proto/attest.h"

#include "proto/little_endian.h"

#include <string.h>

enum {
    HELLO_DOMAIN_BYTES = 14,
    HELLO_AT_COORDINATOR = HELLO_DOMAIN_BYTES,
    HELLO_AT_PEER = HELLO_AT_COORDINATOR + IDENTITY_KEY_BYTES,
    HELLO_AT_SEQUENCE = HELLO_AT_PEER + IDENTITY_KEY_BYTES,
    HELLO_AT_TOKEN = HELLO_AT_SEQUENCE + 8,
    HELLO_BYTES = HELLO_AT_TOKEN + DIGEST_BYTES
};

enum {
    CONTRIBUTION_DOMAIN_BYTES = 21,
    CONTRIBUTION_AT_RUN = CONTRIBUTION_DOMAIN_BYTES,
    CONTRIBUTION_AT_BLOB = CONTRIBUTION_AT_RUN + DIGEST_BYTES,
    CONTRIBUTION_AT_STEP = CONTRIBUTION_AT_BLOB + 8,
    CONTRIBUTION_AT_TOKENS = CONTRIBUTION_AT_STEP + 8,
    CONTRIBUTION_AT_STALE = CONTRIBUTION_AT_TOKENS + 8,
    CONTRIBUTION_AT_CODEC = CONTRIBUTION_AT_STALE + 8,
    CONTRIBUTION_AT_ROOT = CONTRIBUTION_AT_CODEC + 1,
    CONTRIBUTION_AT_RANGES = CONTRIBUTION_AT_ROOT + DIGEST_BYTES,
    CONTRIBUTION_BYTES = CONTRIBUTION_AT_RANGES + DIGEST_BYTES
};

static const char hello_domain[HELLO_DOMAIN_BYTES + 1] = "dugnad-hello-1";
static const char contribution_domain[CONTRIBUTION_DOMAIN_BYTES + 1] = "dugnad-contribution-1";

static void write_hello(const struct wire_hello *hello, const uint8_t *coordinator_key,
                        uint8_t out[HELLO_BYTES])
{
    struct digest token = digest_of(hello->token, sizeof hello->token);
    memcpy(out, hello_domain, HELLO_DOMAIN_BYTES);
    memcpy(out + HELLO_AT_COORDINATOR, coordinator_key, IDENTITY_KEY_BYTES);
    memcpy(out + HELLO_AT_PEER, hello->public_key, IDENTITY_KEY_BYTES);
    little_endian_put(out + HELLO_AT_SEQUENCE, hello->sequence, 8);
    memcpy(out + HELLO_AT_TOKEN, token.bytes, DIGEST_BYTES);
}

void attest_hello_sign(const struct identity *peer,
                       const uint8_t coordinator_key[IDENTITY_KEY_BYTES], struct wire_hello *hello)
{
    uint8_t bytes[HELLO_BYTES];
    write_hello(hello, coordinator_key, bytes);
    identity_sign(peer, bytes, sizeof bytes, hello->signature);
}

bool attest_hello_is_good(const struct wire_hello *hello,
                          const uint8_t coordinator_key[IDENTITY_KEY_BYTES])
{
    uint8_t bytes[HELLO_BYTES];
    write_hello(hello, coordinator_key, bytes);
    return identity_verify(hello->public_key, bytes, sizeof bytes, hello->signature);
}

static struct digest hash_ranges(const struct wire_contribution *contribution)
{
    struct digest_stream stream;
    digest_begin(&stream);
    for (uint32_t i = 0; i < contribution->range_count; i++) {
        uint8_t bytes[16];
        little_endian_put(bytes, contribution->ranges[i].first, 8);
        little_endian_put(bytes + 8, contribution->ranges[i].count, 8);
        digest_update(&stream, bytes, sizeof bytes);
    }
    return digest_end(&stream);
}

static void write_contribution(const struct wire_contribution *contribution,
                               const struct digest *run_id, uint8_t out[CONTRIBUTION_BYTES])
{
    struct digest ranges = hash_ranges(contribution);
    memcpy(out, contribution_domain, CONTRIBUTION_DOMAIN_BYTES);
    memcpy(out + CONTRIBUTION_AT_RUN, run_id->bytes, DIGEST_BYTES);
    little_endian_put(out + CONTRIBUTION_AT_BLOB, contribution->blob.id, 8);
    little_endian_put(out + CONTRIBUTION_AT_STEP, contribution->step, 8);
    little_endian_put(out + CONTRIBUTION_AT_TOKENS, contribution->tokens, 8);
    little_endian_put(out + CONTRIBUTION_AT_STALE, contribution->stale_tokens, 8);
    out[CONTRIBUTION_AT_CODEC] = (uint8_t)contribution->codec;
    memcpy(out + CONTRIBUTION_AT_ROOT, contribution->blob.root.bytes, DIGEST_BYTES);
    memcpy(out + CONTRIBUTION_AT_RANGES, ranges.bytes, DIGEST_BYTES);
}

void attest_contribution_sign(const struct identity *peer, const struct digest *run_id,
                              struct wire_contribution *contribution)
{
    uint8_t bytes[CONTRIBUTION_BYTES];
    write_contribution(contribution, run_id, bytes);
    identity_sign(peer, bytes, sizeof bytes, contribution->signature);
}

bool attest_contribution_is_good(const struct wire_contribution *contribution,
                                 const struct digest *run_id,
                                 const uint8_t peer_key[IDENTITY_KEY_BYTES])
{
    uint8_t bytes[CONTRIBUTION_BYTES];
    write_contribution(contribution, run_id, bytes);
    return identity_verify(peer_key, bytes, sizeof bytes, contribution->signature);
}
