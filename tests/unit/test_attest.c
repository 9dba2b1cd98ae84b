#include "proto/attest.h"
#include "proto/little_endian.h"
#include "tests/unit/suite.h"

#include <sodium.h>
#include <stddef.h>
#include <string.h>

static struct identity make_identity(uint8_t number)
{
    struct identity identity;
    uint8_t seed[IDENTITY_SEED_BYTES] = {number};
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &identity), STATUS_OK);
    return identity;
}

static struct wire_hello make_hello(const struct identity *peer, const struct identity *coordinator)
{
    struct wire_hello hello;
    memset(&hello, 0, sizeof hello);
    memcpy(hello.public_key, peer->public_key, sizeof hello.public_key);
    memset(hello.token, 0x7e, sizeof hello.token);
    hello.sequence = UINT64_C(0x0102030405060708);
    attest_hello_sign(peer, coordinator->public_key, &hello);
    return hello;
}

static struct wire_contribution make_contribution(const struct identity *peer,
                                                  const struct digest *run_id)
{
    struct wire_contribution contribution;
    memset(&contribution, 0, sizeof contribution);
    contribution.step = UINT64_C(1) << 40;
    contribution.range_count = 2;
    contribution.ranges[0] = (struct sample_range){4, 2};
    contribution.ranges[1] = (struct sample_range){9, 1};
    contribution.tokens = 3000;
    contribution.stale_tokens = 1000;
    contribution.codec = CODEC_MX8;
    contribution.blob = (struct blob_ref){BLOB_CONTRIBUTION, 77, 1000, 100, digest_of("root", 4)};
    attest_contribution_sign(peer, run_id, &contribution);
    return contribution;
}

/* So that programs in other languages can make one. */
static void hello_is_signed_as_the_header_says(void)
{
    struct identity peer = make_identity(1);
    struct identity coordinator = make_identity(2);
    struct wire_hello hello = make_hello(&peer, &coordinator);
    struct digest token = digest_of(hello.token, sizeof hello.token);
    uint8_t bytes[14 + 32 + 32 + 8 + 32];
    memcpy(bytes, "dugnad-hello-1", 14);
    memcpy(bytes + 14, coordinator.public_key, 32);
    memcpy(bytes + 46, peer.public_key, 32);
    memcpy(bytes + 78, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    memcpy(bytes + 86, token.bytes, 32);
    CU_ASSERT_TRUE(identity_verify(peer.public_key, bytes, sizeof bytes, hello.signature));
    CU_ASSERT_TRUE(attest_hello_is_good(&hello, coordinator.public_key));
}

static void hello_with_another_field_is_refused(void)
{
    struct identity peer = make_identity(1);
    struct identity other = make_identity(3);
    struct identity coordinator = make_identity(2);
    const struct wire_hello good = make_hello(&peer, &coordinator);
    struct wire_hello bad = good;
    CU_ASSERT_FALSE(attest_hello_is_good(&good, other.public_key)); /* another run's */
    memcpy(bad.public_key, other.public_key, sizeof bad.public_key);
    CU_ASSERT_FALSE(attest_hello_is_good(&bad, coordinator.public_key));
    for (unsigned bit = 0; bit < 64; bit++) {
        bad = good;
        bad.sequence ^= UINT64_C(1) << bit;
        CU_ASSERT_FALSE(attest_hello_is_good(&bad, coordinator.public_key));
    }
    for (size_t i = 0; i < sizeof bad.token; i++) {
        bad = good;
        bad.token[i] ^= 0x10;
        CU_ASSERT_FALSE(attest_hello_is_good(&bad, coordinator.public_key));
    }
    for (size_t i = 0; i < 8 * sizeof bad.signature; i++) {
        bad = good;
        bad.signature[i / 8] ^= (uint8_t)(1U << i % 8);
        CU_ASSERT_FALSE(attest_hello_is_good(&bad, coordinator.public_key));
    }
}

static void contribution_is_signed_as_the_header_says(void)
{
    struct identity peer = make_identity(1);
    const struct digest run_id = digest_of("run", 3);
    const struct wire_contribution contribution = make_contribution(&peer, &run_id);
    uint8_t ranges[32];
    uint8_t bytes[21 + 32 + 4 * 8 + 1 + 32 + 32];
    little_endian_put(ranges, 4, 8);
    little_endian_put(ranges + 8, 2, 8);
    little_endian_put(ranges + 16, 9, 8);
    little_endian_put(ranges + 24, 1, 8);
    struct digest hash = digest_of(ranges, sizeof ranges);
    memcpy(bytes, "dugnad-contribution-1", 21);
    memcpy(bytes + 21, run_id.bytes, 32);
    little_endian_put(bytes + 53, 77, 8);
    little_endian_put(bytes + 61, UINT64_C(1) << 40, 8);
    little_endian_put(bytes + 69, 3000, 8);
    little_endian_put(bytes + 77, 1000, 8);
    bytes[85] = CODEC_MX8;
    memcpy(bytes + 86, contribution.blob.root.bytes, 32);
    memcpy(bytes + 118, hash.bytes, 32);
    CU_ASSERT_TRUE(identity_verify(peer.public_key, bytes, sizeof bytes, contribution.signature));
    CU_ASSERT_TRUE(attest_contribution_is_good(&contribution, &run_id, peer.public_key));
}

#define ASSERT_BOUND(field, value)                                                                 \
    do {                                                                                           \
        struct wire_contribution bad = good;                                                       \
        bad.field = value;                                                                         \
        CU_ASSERT_FALSE(attest_contribution_is_good(&bad, &run_id, peer.public_key));              \
    } while (0)

static void contribution_with_another_field_is_refused(void)
{
    struct identity peer = make_identity(1);
    struct identity other = make_identity(3);
    const struct digest run_id = digest_of("run", 3);
    const struct digest other_run = digest_of("another", 7);
    const struct wire_contribution good = make_contribution(&peer, &run_id);
    CU_ASSERT_FALSE(attest_contribution_is_good(&good, &other_run, peer.public_key));
    CU_ASSERT_FALSE(attest_contribution_is_good(&good, &run_id, other.public_key));
    ASSERT_BOUND(blob.id, 78);
    ASSERT_BOUND(step, 5);
    ASSERT_BOUND(tokens, 3001);
    ASSERT_BOUND(stale_tokens, 999);
    ASSERT_BOUND(codec, CODEC_BF16);
    ASSERT_BOUND(blob.root.bytes[31], (uint8_t)~good.blob.root.bytes[31]);
    ASSERT_BOUND(range_count, 1);
    ASSERT_BOUND(ranges[0].first, 3);
    ASSERT_BOUND(ranges[1].count, 2);
    ASSERT_BOUND(signature[0], (uint8_t)~good.signature[0]);
    ASSERT_BOUND(signature[63], (uint8_t)(good.signature[63] ^ 1U));
}

/* What differs from offer to offer is not signed. */
static void contribution_offered_again_keeps_its_signature(void)
{
    struct identity peer = make_identity(1);
    const struct digest run_id = digest_of("run", 3);
    struct wire_contribution contribution = make_contribution(&peer, &run_id);
    contribution.again = true;
    contribution.leaving = true;
    CU_ASSERT_TRUE(attest_contribution_is_good(&contribution, &run_id, peer.public_key));
}

/* Neither stands for the other, nor for what was signed before. */
static void signatures_of_other_things_are_refused(void)
{
    struct identity peer = make_identity(1);
    struct identity coordinator = make_identity(2);
    const struct digest run_id = digest_of("run", 3);
    struct wire_hello hello = make_hello(&peer, &coordinator);
    struct wire_contribution contribution = make_contribution(&peer, &run_id);
    memcpy(hello.signature, contribution.signature, sizeof hello.signature);
    CU_ASSERT_FALSE(attest_hello_is_good(&hello, coordinator.public_key));
    hello = make_hello(&peer, &coordinator);
    memcpy(contribution.signature, hello.signature, sizeof hello.signature);
    CU_ASSERT_FALSE(attest_contribution_is_good(&contribution, &run_id, peer.public_key));
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    static const struct suite_test tests[] = {
        SUITE_TEST(hello_is_signed_as_the_header_says),
        SUITE_TEST(hello_with_another_field_is_refused),
        SUITE_TEST(contribution_is_signed_as_the_header_says),
        SUITE_TEST(contribution_with_another_field_is_refused),
        SUITE_TEST(contribution_offered_again_keeps_its_signature),
        SUITE_TEST(signatures_of_other_things_are_refused),
    };
    return suite_run("attest", tests, sizeof tests / sizeof tests[0]);
}
