#include "common/random.h"
#include "tests/unit/wire_samples.h"

#include <stdlib.h>

enum { MUTATIONS = 100000, TAG_TRIES = 128 };

static void *need(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* Heads by hand, for what our encoder would never write. */
struct craft {
    uint8_t bytes[2 * HEAD_MAX];
    size_t size_bytes;
};

static struct craft crafted;

static void craft_byte(uint8_t byte)
{
    CU_ASSERT_TRUE_FATAL(crafted.size_bytes < sizeof crafted.bytes);
    crafted.bytes[crafted.size_bytes++] = byte;
}

static void craft_varint(uint64_t value)
{
    for (; value >= 0x80; value >>= 7U) {
        craft_byte((uint8_t)(value | 0x80U));
    }
    craft_byte((uint8_t)value);
}

static void craft_begin(enum wire_type type)
{
    crafted.size_bytes = 0;
    craft_byte((uint8_t)type);
}

static void craft_number(unsigned field, uint64_t value)
{
    craft_varint(field << 3U);
    craft_varint(value);
}

static void craft_bytes(unsigned field, const void *data, size_t size_bytes)
{
    craft_varint(field << 3U | 2U);
    craft_varint(size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        craft_byte(((const uint8_t *)data)[i]);
    }
}

static enum status decode_crafted(void)
{
    return wire_decode(crafted.bytes, crafted.size_bytes, &decoded);
}

static void crafted_message_is_what_we_mean(void)
{
    craft_begin(WIRE_RECLAIM);
    craft_number(1, 300);
    craft_number(2, 7);
    CU_ASSERT_EQUAL_FATAL(decode_crafted(), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.reclaim.lease_id, 300);
    CU_ASSERT_EQUAL(decoded.as.reclaim.keep, 7);
}

static void unknown_types_and_fields_are_refused(void)
{
    for (unsigned type = 0; type < 256; type++) {
        uint8_t head = (uint8_t)type;
        enum status expected =
            type == WIRE_ALIVE || type == WIRE_LEAVE || type == WIRE_READY ||
                    type == WIRE_RECLAIM || type == WIRE_YIELDED || type == WIRE_COLLECT ||
                    type == WIRE_VERDICT || type == WIRE_FINISHED || type == WIRE_PROGRESS ||
                    type == WIRE_CLAIM || type == WIRE_CLAIMED || type == WIRE_HOLDS ||
                    type == WIRE_RATES || type == WIRE_PROBE
                ? STATUS_OK /* zeros are left out, and zeros are fine here */
                : STATUS_PROTOCOL;
        CU_ASSERT_EQUAL(wire_decode(&head, 1, &decoded), expected);
    }
    CU_ASSERT_EQUAL(wire_decode(NULL, 0, &decoded), STATUS_PROTOCOL);
    craft_begin(WIRE_READY);
    craft_number(2, 0);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_READY);
    craft_number(0, 0);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_ALIVE);
    craft_number(1, 0);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
}

static void wrong_wire_types_and_groups_are_refused(void)
{
    for (unsigned tag = 0; tag < TAG_TRIES; tag++) {
        craft_begin(WIRE_READY);
        craft_byte((uint8_t)tag);
        for (int i = 0; i < 8; i++) {
            craft_byte(0);
        }
        CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    }
    craft_begin(WIRE_READY); /* a group: start, end */
    craft_byte(1U << 3U | 3U);
    craft_byte(1U << 3U | 4U);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
}

static void fields_given_twice_are_refused(void)
{
    craft_begin(WIRE_READY);
    craft_number(1, 5);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_OK);
    craft_number(1, 5);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_CONTRIBUTION); /* an array that is not packed */
    craft_number(2, 1);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
}

static void numbers_too_wide_for_their_field_are_refused(void)
{
    craft_begin(WIRE_RECLAIM);
    craft_number(2, UINT64_C(1) << 32 | 1U); /* protobuf-c would read 1 */
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_VERDICT);
    craft_number(2, 1);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_OK);
    craft_begin(WIRE_VERDICT);
    craft_number(2, 2);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_READY); /* eleven bytes, and ten that hold more than 64 bits */
    craft_byte(1U << 3U);
    for (int i = 0; i < 10; i++) {
        craft_byte(0x80);
    }
    craft_byte(0);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    craft_begin(WIRE_READY);
    craft_byte(1U << 3U);
    for (int i = 0; i < 9; i++) {
        craft_byte(0x80);
    }
    craft_byte(2);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
}

static void text_with_a_nul_is_refused(void)
{
    craft_begin(WIRE_VERDICT);
    craft_bytes(3, "fine", 4);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_OK);
    craft_begin(WIRE_VERDICT);
    craft_bytes(3, "fi\0e", 4);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
    char text[WIRE_TEXT_MAX];
    memset(text, 'x', sizeof text);
    craft_begin(WIRE_VERDICT);
    craft_bytes(3, text, WIRE_TEXT_MAX - 1);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_OK);
    craft_begin(WIRE_VERDICT);
    craft_bytes(3, text, WIRE_TEXT_MAX);
    CU_ASSERT_EQUAL(decode_crafted(), STATUS_PROTOCOL);
}

static void keys_and_digests_have_their_length(void)
{
    uint8_t ticket[TICKET_BYTES + 1] = {0};
    uint8_t digest[DIGEST_BYTES + 1] = {0};
    for (size_t size = 0; size <= sizeof ticket; size++) {
        craft_begin(WIRE_OPEN);
        craft_bytes(1, ticket, size);
        CU_ASSERT_EQUAL(decode_crafted(), size == TICKET_BYTES ? STATUS_OK : STATUS_PROTOCOL);
    }
    for (size_t size = 0; size <= sizeof digest; size++) {
        craft_begin(WIRE_APPLIED);
        craft_bytes(2, digest, size);
        CU_ASSERT_EQUAL(decode_crafted(), size == DIGEST_BYTES ? STATUS_OK : STATUS_PROTOCOL);
    }
}

/* A contribution of `firsts` and `counts` ranges, all else valid. */
static enum status decode_ranges(size_t firsts, size_t counts)
{
    static uint8_t packed[8 * WIRE_RANGES_MAX];
    struct wire_message valid = make_valid(WIRE_CONTRIBUTION);
    static uint8_t blob[128];
    size_t at = 0;
    craft_begin(WIRE_CONTRIBUTION);
    for (size_t i = 0; i < firsts; i++) { /* 3 * i in two bytes each */
        packed[at++] = (uint8_t)(0x80U | (3 * i & 0x7fU));
        packed[at++] = (uint8_t)(3 * i >> 7U & 0x7fU);
    }
    craft_bytes(2, packed, at);
    memset(packed, 1, counts);
    craft_bytes(3, packed, counts);
    craft_number(4, 1);
    craft_number(8, CODEC_MX8);
    at = 0;
    blob[at++] = 1U << 3U;
    blob[at++] = BLOB_CONTRIBUTION;
    blob[at++] = 3U << 3U;
    blob[at++] = 1;
    blob[at++] = 4U << 3U | 2U;
    blob[at++] = DIGEST_BYTES;
    memcpy(blob + at, valid.as.contribution.blob.root.bytes, DIGEST_BYTES);
    at += DIGEST_BYTES;
    blob[at++] = 5U << 3U;
    blob[at++] = 1;
    craft_bytes(6, blob, at);
    craft_bytes(11, valid.as.contribution.signature, IDENTITY_SIGNATURE_BYTES);
    return decode_crafted();
}

static void arrays_are_bounded_and_pair_up(void)
{
    CU_ASSERT_EQUAL(decode_ranges(1, 1), STATUS_OK);
    CU_ASSERT_EQUAL(decode_ranges(WIRE_RANGES_MAX, WIRE_RANGES_MAX), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.contribution.range_count, WIRE_RANGES_MAX);
    CU_ASSERT_EQUAL(decode_ranges(0, 0), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_ranges(2, 1), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_ranges(1, 2), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(decode_ranges(WIRE_RANGES_MAX + 1, WIRE_RANGES_MAX + 1), STATUS_PROTOCOL);
}

/* `count` packed numbers as `field`: number i is step * i in two bytes. */
static void craft_packed(unsigned field, size_t count, size_t step)
{
    static uint8_t packed[4 * WIRE_RANGES_MAX];
    CU_ASSERT_TRUE_FATAL(2 * count <= sizeof packed);
    for (size_t i = 0; i < count; i++) {
        packed[2 * i] = (uint8_t)(0x80U | (step * i & 0x7fU));
        packed[2 * i + 1] = (uint8_t)(step * i >> 7U & 0x7fU);
    }
    craft_bytes(field, packed, 2 * count);
}

/* A claim whose arrays have these lengths, in the order of their fields. */
static enum status decode_claim(const size_t counts[8])
{
    static uint8_t ones[2 * WIRE_RANGES_MAX];
    memset(ones, 1, sizeof ones);
    craft_begin(WIRE_CLAIM);
    craft_packed(2, counts[0], 3);
    craft_bytes(3, ones, counts[1]);
    craft_packed(4, counts[2], 3);
    craft_bytes(5, ones, counts[3]);
    craft_packed(6, counts[4], 1);
    craft_packed(7, counts[5], 1);
    craft_bytes(8, ones, counts[6]);
    craft_packed(9, counts[7], 0);
    return decode_crafted();
}

static void claims_are_bounded_and_their_arrays_pair_up(void)
{
    enum { MAX = WIRE_RANGES_MAX, LEASES = WIRE_CLAIM_LEASES_MAX };
    const size_t longest[8] = {MAX, MAX, MAX, MAX, LEASES, LEASES, LEASES, LEASES};
    size_t used_bytes = 0;
    CU_ASSERT_EQUAL(decode_claim(longest), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.claim.range_count, MAX);
    CU_ASSERT_EQUAL(decoded.as.claim.kept_count, MAX);
    CU_ASSERT_EQUAL(decoded.as.claim.lease_count, LEASES);
    CU_ASSERT_EQUAL(wire_decode_measured(crafted.bytes, crafted.size_bytes, &decoded, &used_bytes),
                    STATUS_OK);
    CU_ASSERT_TRUE(used_bytes >= (size_t)32 * MAX);
    CU_ASSERT_TRUE(used_bytes <= 4 * crafted.size_bytes + 16384);
    for (size_t i = 0; i < 8; i++) { /* one number too many or too few, or a flood, in each array */
        const size_t wrong[3] = {longest[i] + 1, longest[i] - 1, 0};
        for (size_t j = 0; j < 3; j++) {
            size_t counts[8];
            memcpy(counts, longest, sizeof counts);
            counts[i] = wrong[j];
            CU_ASSERT_EQUAL(decode_claim(counts), STATUS_PROTOCOL);
        }
    }
    const size_t many[8] = {0, 0, 0, 0, LEASES + 1, LEASES + 1, LEASES + 1, LEASES + 1};
    CU_ASSERT_EQUAL(decode_claim(many), STATUS_PROTOCOL);
}

static void every_prefix_of_every_message_is_refused_or_valid(void)
{
    static uint8_t head[HEAD_MAX];
    size_t whole = 0;
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &whole), STATUS_OK);
        unsigned valid = 0;
        for (size_t size = 0; size < whole; size++) {
            uint8_t *exact = need(size + 1); /* so that a sanitizer sees a step beyond */
            memcpy(exact, head, size);
            enum status status = wire_decode(size == 0 ? NULL : exact, size, &decoded);
            CU_ASSERT_TRUE_FATAL(status == STATUS_OK || status == STATUS_PROTOCOL);
            /* A cut between two fields leaves zeros, which a few messages allow. */
            valid += status == STATUS_OK;
            CU_ASSERT_FALSE(status == STATUS_OK && same(&message, &decoded));
            free(exact);
        }
        CU_ASSERT_TRUE(valid <= 10); /* holds */
        bool strict = type == WIRE_CONTRIBUTION || type == WIRE_COMMITTED || type == WIRE_APPLIED ||
                      type == WIRE_GRANT || type == WIRE_ROUTE || type == WIRE_DELIVER ||
                      type == WIRE_OPEN || type == WIRE_SET;
        /* A contribution may be without its last two. */
        CU_ASSERT_TRUE(!strict || valid <= (type == WIRE_CONTRIBUTION ? 2U : 1U));
    }
}

static void mutate(uint8_t *head, size_t *size_bytes, struct random *random)
{
    for (uint64_t i = 1 + random_below(random, 4); i > 0; i--) {
        size_t at = (size_t)random_below(random, *size_bytes);
        switch (random_below(random, 4)) {
        case 0:
            head[at] = (uint8_t)random_next(random);
            break;
        case 1:
            head[at] ^= (uint8_t)(1U << random_below(random, 8));
            break;
        case 2: /* cut */
            *size_bytes = at + 1;
            break;
        default: /* double a piece */
            if (*size_bytes < HEAD_MAX / 2) {
                memmove(head + at + 1, head + at, *size_bytes - at);
                *size_bytes += 1;
            }
            break;
        }
    }
}

/* Whatever passes is a message that our own encoder can write and that comes back the same. */
static void random_heads_never_break_anything(void)
{
    static uint8_t valid[WIRE_TYPE_END][HEAD_MAX];
    size_t sizes[WIRE_TYPE_END] = {0};
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        CU_ASSERT_EQUAL_FATAL(wire_encode(&message, valid[type], HEAD_MAX, &sizes[type]),
                              STATUS_OK);
    }
    struct random random;
    static uint8_t head[HEAD_MAX];
    static struct wire_message passed;
    unsigned good = 0;
    random_init(&random, 20, 0);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t type = (size_t)(1 + random_below(&random, WIRE_TYPE_END - 1));
        size_t size_bytes = sizes[type];
        memcpy(head, valid[type], size_bytes);
        if (i % 8 == 0) { /* nothing but noise behind the type */
            size_bytes = (size_t)(1 + random_below(&random, 64));
            for (size_t at = 1; at < size_bytes; at++) {
                head[at] = (uint8_t)random_next(&random);
            }
        }
        mutate(head, &size_bytes, &random);
        size_t used_bytes = 0;
        enum status status = wire_decode_measured(head, size_bytes, &decoded, &used_bytes);
        CU_ASSERT_TRUE_FATAL(status == STATUS_OK || status == STATUS_PROTOCOL);
        CU_ASSERT_TRUE_FATAL(used_bytes <= 4 * size_bytes + 16384);
        if (status == STATUS_OK) {
            good++;
            passed = decoded;
            CU_ASSERT_EQUAL_FATAL(travel(&passed), STATUS_OK);
            CU_ASSERT_TRUE_FATAL(same(&passed, &decoded));
        }
    }
    (void)printf("[%u of %u passed] ", good, (unsigned)MUTATIONS);
    CU_ASSERT_TRUE(good > MUTATIONS / 100 && good < MUTATIONS / 2);
}

/* Decodes what was crafted; what it costs must stay below `limit_bytes`. */
static void expect_bomb_is_refused(size_t limit_bytes)
{
    size_t used_bytes = SIZE_MAX;
    CU_ASSERT_EQUAL(wire_decode_measured(crafted.bytes, crafted.size_bytes, &decoded, &used_bytes),
                    STATUS_PROTOCOL);
    CU_ASSERT_TRUE(used_bytes <= limit_bytes);
}

static void bombs_cost_no_memory(void)
{
    craft_begin(WIRE_READY); /* 64 KiB of unknown fields */
    while (crafted.size_bytes < HEAD_MAX - 2) {
        craft_number(15, 0);
    }
    expect_bomb_is_refused(0);
    craft_begin(WIRE_WELCOME); /* 64 KiB of empty submessages */
    while (crafted.size_bytes < HEAD_MAX - 2) {
        craft_bytes(7, "", 0);
    }
    expect_bomb_is_refused(0);
    craft_begin(WIRE_CONTRIBUTION); /* 64 KiB of tiny elements: 512 KiB if unpacked */
    static uint8_t ones[HEAD_MAX];
    memset(ones, 1, sizeof ones);
    craft_bytes(2, ones, HEAD_MAX - 8);
    expect_bomb_is_refused(0);
    craft_begin(WIRE_READY); /* one that is too large */
    while (crafted.size_bytes <= HEAD_MAX) {
        craft_number(1, 0);
    }
    expect_bomb_is_refused(0);
    craft_begin(WIRE_VERDICT); /* a length beyond the end: the scan itself sees it */
    craft_varint(3U << 3U | 2U);
    craft_varint(3);
    craft_byte('x');
    craft_byte('x');
    craft_byte('x');
    crafted.size_bytes--;
    CU_ASSERT_EQUAL(
        wire_scan(wire_descriptor(WIRE_VERDICT), crafted.bytes + 1, crafted.size_bytes - 1),
        STATUS_PROTOCOL);
    craft_begin(WIRE_VERDICT);
    craft_varint(3U << 3U | 2U);
    craft_varint(UINT64_MAX);
    expect_bomb_is_refused(0);
}

static void one_mebibyte_is_refused_by_its_size(void)
{
    uint8_t *head = need(WIRE_BODY_MAX);
    size_t used_bytes = SIZE_MAX;
    head[0] = WIRE_READY;
    memset(head + 1, 0x78, WIRE_BODY_MAX - 1);
    CU_ASSERT_EQUAL(wire_decode_measured(head, WIRE_BODY_MAX, &decoded, &used_bytes),
                    STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(used_bytes, 0);
    free(head);
}

/* The dearest messages that are valid stay in the budget that the header promises. */
static void valid_messages_stay_within_the_budget(void)
{
    size_t used_bytes = 0;
    CU_ASSERT_EQUAL(decode_ranges(WIRE_RANGES_MAX, WIRE_RANGES_MAX), STATUS_OK);
    CU_ASSERT_EQUAL(wire_decode_measured(crafted.bytes, crafted.size_bytes, &decoded, &used_bytes),
                    STATUS_OK);
    CU_ASSERT_TRUE(used_bytes >= (size_t)16 * WIRE_RANGES_MAX);
    CU_ASSERT_TRUE(used_bytes <= 4 * crafted.size_bytes + 16384);
    struct wire_budget budget;
    wire_budget_init(&budget, 100);
    void *first = budget.allocator.alloc(&budget, 60);
    CU_ASSERT_PTR_NOT_NULL(first);
    CU_ASSERT_PTR_NULL(budget.allocator.alloc(&budget, 41));
    CU_ASSERT_PTR_NULL(budget.allocator.alloc(&budget, SIZE_MAX));
    void *second = budget.allocator.alloc(&budget, 40);
    CU_ASSERT_PTR_NOT_NULL(second);
    budget.allocator.free(&budget, first);
    CU_ASSERT_PTR_NULL(budget.allocator.alloc(&budget, 1));
    budget.allocator.free(&budget, second);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(crafted_message_is_what_we_mean),
        SUITE_TEST(unknown_types_and_fields_are_refused),
        SUITE_TEST(wrong_wire_types_and_groups_are_refused),
        SUITE_TEST(fields_given_twice_are_refused),
        SUITE_TEST(numbers_too_wide_for_their_field_are_refused),
        SUITE_TEST(text_with_a_nul_is_refused),
        SUITE_TEST(keys_and_digests_have_their_length),
        SUITE_TEST(arrays_are_bounded_and_pair_up),
        SUITE_TEST(claims_are_bounded_and_their_arrays_pair_up),
        SUITE_TEST(every_prefix_of_every_message_is_refused_or_valid),
        SUITE_TEST(random_heads_never_break_anything),
        SUITE_TEST(bombs_cost_no_memory),
        SUITE_TEST(one_mebibyte_is_refused_by_its_size),
        SUITE_TEST(valid_messages_stay_within_the_budget),
    };
    return suite_run("wire_hostile", tests, sizeof tests / sizeof tests[0]);
}
