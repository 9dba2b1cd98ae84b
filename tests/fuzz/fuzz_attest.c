/* Signatures of hellos and contributions: what came over the wire is not signed by this key; what
 * is signed is good, until a bit of it is another. */
#include "proto/attest.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* What wire.h says a message takes, and what its allocator rounds up to. */
enum { BASE_BYTES = 16 * 1024 + 4096 };

static struct wire_message message;
static struct identity peer;

static void spoil(void *field, size_t size_bytes, uint32_t bit)
{
    ((uint8_t *)field)[bit / 8 % size_bytes] ^= (uint8_t)(1U << bit % 8);
}

static void try_hello(uint32_t bit)
{
    struct wire_hello hello = message.as.hello;
    memcpy(hello.public_key, peer.public_key, sizeof hello.public_key);
    CHECK(!attest_hello_is_good(&hello, peer.public_key));
    attest_hello_sign(&peer, peer.public_key, &hello);
    CHECK(attest_hello_is_good(&hello, peer.public_key));
    CHECK(!attest_hello_is_good(&hello, hello.token));
    switch (bit % 4) {
    case 0:
        spoil(hello.token, sizeof hello.token, bit / 4);
        break;
    case 1:
        spoil(&hello.sequence, sizeof hello.sequence, bit / 4);
        break;
    case 2:
        spoil(hello.signature, sizeof hello.signature, bit / 4);
        break;
    default:
        spoil(hello.public_key, sizeof hello.public_key, bit / 4);
        break;
    }
    CHECK(!attest_hello_is_good(&hello, peer.public_key));
}

static void try_contribution(uint32_t bit)
{
    struct wire_contribution *offer = &message.as.contribution;
    struct digest run = digest_of("run", 3);
    CHECK(!attest_contribution_is_good(offer, &run, peer.public_key));
    attest_contribution_sign(&peer, &run, offer);
    CHECK(attest_contribution_is_good(offer, &run, peer.public_key));
    offer->again = !offer->again;
    CHECK(attest_contribution_is_good(offer, &run, peer.public_key));
    switch (bit % 8) {
    case 0:
        spoil(&run, sizeof run, bit / 8);
        break;
    case 1:
        spoil(&offer->blob.id, sizeof offer->blob.id, bit / 8);
        break;
    case 2:
        spoil(&offer->step, sizeof offer->step, bit / 8);
        break;
    case 3:
        spoil(&offer->tokens, sizeof offer->tokens, bit / 8);
        break;
    case 4:
        spoil(&offer->stale_tokens, sizeof offer->stale_tokens, bit / 8);
        break;
    case 5:
        spoil(&offer->blob.root, sizeof offer->blob.root, bit / 8);
        break;
    case 6:
        spoil(&offer->ranges[bit / 8 % offer->range_count].count, sizeof(uint64_t), bit / 8);
        break;
    default:
        offer->codec = offer->codec == CODEC_MX8 ? CODEC_MX4 : CODEC_MX8;
        break;
    }
    CHECK(!attest_contribution_is_good(offer, &run, peer.public_key));
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {2};
    struct fuzz_bytes in = {data, size_bytes};
    uint32_t bit = fuzz_take_u32(&in);
    fuzz_memory_begin();
    enum status status = wire_decode(in.data, in.size_bytes, &message);
    if (status == STATUS_OK) {
        status = identity_of_seed(seed, &peer);
    }
    if (status == STATUS_OK && message.type == WIRE_HELLO) {
        try_hello(bit);
    } else if (status == STATUS_OK && message.type == WIRE_CONTRIBUTION) {
        try_contribution(bit);
    }
    fuzz_memory_end(size_bytes, BASE_BYTES);
    identity_wipe(&peer);
}
