#include "proto/ticket.h"
#include "tests/unit/suite.h"

#include <sodium.h>
#include <string.h>

static struct identity make_identity(uint8_t number)
{
    struct identity identity;
    uint8_t seed[IDENTITY_SEED_BYTES] = {number};
    CU_ASSERT_EQUAL_FATAL(identity_of_seed(seed, &identity), STATUS_OK);
    return identity;
}

static struct ticket make_ticket(void)
{
    struct ticket ticket = {.run_id = digest_of("run", 3),
                            .kind = TICKET_CONTRIBUTION,
                            .codec = CODEC_MX8,
                            .plan_id = UINT64_C(0x0102030405060708),
                            .step = 9,
                            .serial = UINT64_MAX,
                            .tokens = UINT64_C(1) << 40,
                            .root = digest_of("root", 4),
                            .expires_unix_ms = UINT64_C(1) << 63};
    memset(ticket.peer_key, 0x9e, sizeof ticket.peer_key);
    return ticket;
}

static void signed_ticket_opens_with_all_its_fields(void)
{
    struct identity coordinator = make_identity(1);
    struct ticket ticket = make_ticket();
    struct ticket opened;
    uint8_t bytes[TICKET_BYTES];
    ticket_sign(&coordinator, &ticket, bytes);
    memset(&opened, 0xee, sizeof opened);
    CU_ASSERT_EQUAL_FATAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_OK);
    CU_ASSERT_TRUE(digest_equal(&opened.run_id, &ticket.run_id));
    CU_ASSERT_EQUAL(opened.kind, TICKET_CONTRIBUTION);
    CU_ASSERT_EQUAL(opened.codec, CODEC_MX8);
    CU_ASSERT_EQUAL(opened.plan_id, ticket.plan_id);
    CU_ASSERT_EQUAL(opened.step, 9);
    CU_ASSERT_EQUAL(opened.serial, UINT64_MAX);
    CU_ASSERT_EQUAL(opened.tokens, UINT64_C(1) << 40);
    CU_ASSERT_TRUE(digest_equal(&opened.root, &ticket.root));
    CU_ASSERT_EQUAL(memcmp(opened.peer_key, ticket.peer_key, sizeof opened.peer_key), 0);
    CU_ASSERT_EQUAL(opened.expires_unix_ms, UINT64_C(1) << 63);
}

/* Where each field lies on the wire, so that other programs can read it. */
static void fields_lie_where_the_header_says(void)
{
    struct identity coordinator = make_identity(1);
    struct ticket ticket = make_ticket();
    uint8_t bytes[TICKET_BYTES];
    ticket_sign(&coordinator, &ticket, bytes);
    CU_ASSERT_EQUAL(memcmp(bytes, ticket.run_id.bytes, DIGEST_BYTES), 0);
    CU_ASSERT_EQUAL(bytes[32], 2);
    CU_ASSERT_EQUAL(bytes[33], CODEC_MX8);
    CU_ASSERT_EQUAL(bytes[34], 8); /* little-endian */
    CU_ASSERT_EQUAL(bytes[41], 1);
    CU_ASSERT_EQUAL(bytes[42], 9);
    CU_ASSERT_EQUAL(bytes[57], 0xff);
    CU_ASSERT_EQUAL(bytes[63], 1); /* 2^40 */
    CU_ASSERT_EQUAL(memcmp(bytes + 66, ticket.root.bytes, DIGEST_BYTES), 0);
    CU_ASSERT_EQUAL(bytes[98], 0x9e);
    CU_ASSERT_EQUAL(bytes[129], 0x9e);
    CU_ASSERT_EQUAL(bytes[137], 0x80);
    uint8_t message[15 + 138];
    memcpy(message, "dugnad-ticket-2", 15);
    memcpy(message + 15, bytes, 138);
    CU_ASSERT_TRUE(identity_verify(coordinator.public_key, message, sizeof message, bytes + 138));
}

static void every_flipped_bit_is_refused(void)
{
    struct identity coordinator = make_identity(1);
    struct ticket ticket = make_ticket();
    struct ticket opened;
    uint8_t bytes[TICKET_BYTES];
    ticket_sign(&coordinator, &ticket, bytes);
    for (size_t i = 0; i < (size_t)8 * TICKET_BYTES; i++) {
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        CU_ASSERT_EQUAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_REFUSED);
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    CU_ASSERT_EQUAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_OK);
}

static void other_keys_and_other_signatures_are_refused(void)
{
    struct identity coordinator = make_identity(1);
    struct identity other = make_identity(2);
    struct ticket ticket = make_ticket();
    struct ticket opened;
    uint8_t bytes[TICKET_BYTES];
    ticket_sign(&other, &ticket, bytes);
    CU_ASSERT_EQUAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_REFUSED);
    CU_ASSERT_EQUAL(ticket_open(bytes, other.public_key, &opened), STATUS_OK);
    static const uint8_t no_key[IDENTITY_KEY_BYTES];
    CU_ASSERT_EQUAL(ticket_open(bytes, no_key, &opened), STATUS_REFUSED);
    /* The right key over the same bytes, but not as a ticket. */
    identity_sign(&coordinator, bytes, TICKET_BYTES - IDENTITY_SIGNATURE_BYTES,
                  bytes + TICKET_BYTES - IDENTITY_SIGNATURE_BYTES);
    CU_ASSERT_EQUAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_REFUSED);
}

/* Signs what ticket_sign() would not. */
static enum status open_with(const struct identity *coordinator, size_t at, uint8_t value,
                             size_t count)
{
    struct ticket ticket = make_ticket();
    struct ticket opened;
    uint8_t bytes[TICKET_BYTES];
    uint8_t message[15 + 138];
    ticket_sign(coordinator, &ticket, bytes);
    memset(bytes + at, value, count);
    memcpy(message, "dugnad-ticket-2", 15);
    memcpy(message + 15, bytes, 138);
    identity_sign(coordinator, message, sizeof message, bytes + 138);
    return ticket_open(bytes, coordinator->public_key, &opened);
}

static void signed_nonsense_breaks_the_protocol(void)
{
    struct identity coordinator = make_identity(1);
    CU_ASSERT_EQUAL(open_with(&coordinator, 32, 2, 1), STATUS_OK);
    CU_ASSERT_EQUAL(open_with(&coordinator, 32, 0, 1), STATUS_PROTOCOL); /* kind */
    CU_ASSERT_EQUAL(open_with(&coordinator, 32, 3, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(open_with(&coordinator, 33, 0, 1), STATUS_PROTOCOL); /* codec */
    CU_ASSERT_EQUAL(open_with(&coordinator, 33, 99, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(open_with(&coordinator, 50, 0, 8), STATUS_PROTOCOL); /* serial 0 */
    CU_ASSERT_EQUAL(open_with(&coordinator, 58, 0, 8), STATUS_PROTOCOL); /* no tokens */
    CU_ASSERT_EQUAL(open_with(&coordinator, 58, 1, 8), STATUS_PROTOCOL); /* more than 2^40 */
}

static void pass_needs_no_contribution(void)
{
    struct identity coordinator = make_identity(1);
    struct ticket ticket = {.kind = TICKET_PASS, .codec = CODEC_FP32, .plan_id = 3};
    struct ticket opened;
    uint8_t bytes[TICKET_BYTES];
    ticket_sign(&coordinator, &ticket, bytes);
    CU_ASSERT_EQUAL(ticket_open(bytes, coordinator.public_key, &opened), STATUS_OK);
    CU_ASSERT_EQUAL(opened.kind, TICKET_PASS);
    CU_ASSERT_EQUAL(opened.plan_id, 3);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(signed_ticket_opens_with_all_its_fields),
        SUITE_TEST(fields_lie_where_the_header_says),
        SUITE_TEST(every_flipped_bit_is_refused),
        SUITE_TEST(other_keys_and_other_signatures_are_refused),
        SUITE_TEST(signed_nonsense_breaks_the_protocol),
        SUITE_TEST(pass_needs_no_contribution),
    };
    return suite_run("ticket", tests, sizeof tests / sizeof tests[0]);
}
