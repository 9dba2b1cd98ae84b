#include "tests/unit/wire_samples.h"

#include <math.h>

static void every_type_comes_back_the_same(void)
{
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
        CU_ASSERT_EQUAL(decoded.type, message.type);
        CU_ASSERT_TRUE(same(&message, &decoded));
    }
}

/* Field by field where an encoder and a decoder that agree on a mistake would hide it. */
static void fields_arrive_in_their_places(void)
{
    struct wire_message message = make_valid(WIRE_HELLO);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    const struct wire_hello *hello = &decoded.as.hello;
    CU_ASSERT_EQUAL(hello->protocol_version, WIRE_PROTOCOL_VERSION);
    CU_ASSERT_EQUAL(hello->public_key[31], 0xa5);
    CU_ASSERT_EQUAL(hello->token[0], 0x5a);
    CU_ASSERT_STRING_EQUAL(hello->name, "Kari's old laptop ~");
    CU_ASSERT_EQUAL(hello->thread_count, WIRE_THREADS_MAX);
    CU_ASSERT_EQUAL(hello->version_held, WIRE_VERSION_NONE);
    CU_ASSERT_EQUAL(hello->digest_held.bytes[DIGEST_BYTES - 1], 0x5d);
    CU_ASSERT_EQUAL(hello->sequence, WIRE_SEQUENCE_MAX);
    CU_ASSERT_EQUAL(hello->signature[IDENTITY_SIGNATURE_BYTES - 1], 0x51);

    message = make_valid(WIRE_WELCOME);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    const struct wire_welcome *welcome = &decoded.as.welcome;
    CU_ASSERT_STRING_EQUAL(welcome->run_name, "nordic-124m");
    CU_ASSERT_TRUE(digest_equal(&welcome->run_id, &message.as.welcome.run_id));
    CU_ASSERT_STRING_EQUAL(welcome->model_json, message.as.welcome.model_json);
    CU_ASSERT_EQUAL(welcome->context, 1024);
    CU_ASSERT_EQUAL(welcome->step_tokens, WIRE_TOKENS_MAX);
    CU_ASSERT_EQUAL(welcome->codec, CODEC_MX8);
    CU_ASSERT_TRUE(welcome->has_snapshot);
    CU_ASSERT_EQUAL(welcome->snapshot.kind, BLOB_SNAPSHOT);
    CU_ASSERT_EQUAL(welcome->snapshot.id, UINT64_MAX - 5);
    CU_ASSERT_EQUAL(welcome->snapshot.size_bytes, 123456789);
    CU_ASSERT_TRUE(digest_equal(&welcome->snapshot.root, &message.as.welcome.snapshot.root));

    message = make_valid(WIRE_LEASE);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.lease.lease_id, 1);
    CU_ASSERT_EQUAL(decoded.as.lease.step, 2);
    CU_ASSERT_EQUAL(decoded.as.lease.version, 3);
    CU_ASSERT_EQUAL(decoded.as.lease.samples.first, UINT64_MAX - WIRE_LEASE_SAMPLES_MAX);
    CU_ASSERT_EQUAL(decoded.as.lease.samples.count, WIRE_LEASE_SAMPLES_MAX);
    CU_ASSERT_EQUAL(decoded.as.lease.duration_ms, 600000);

    message = make_valid(WIRE_CONTRIBUTION);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(decoded.as.contribution.range_count, 3);
    CU_ASSERT_EQUAL(decoded.as.contribution.ranges[1].first, (UINT64_C(1) << 40) + 10);
    CU_ASSERT_EQUAL(decoded.as.contribution.ranges[1].count, 9);
    CU_ASSERT_EQUAL(decoded.as.contribution.tokens, WIRE_TOKENS_MAX);
    CU_ASSERT_DOUBLE_EQUAL(decoded.as.contribution.loss_sum, 1234.5678, 0.0);
    CU_ASSERT_EQUAL(decoded.as.contribution.blob.kind, BLOB_CONTRIBUTION);
    CU_ASSERT_TRUE(decoded.as.contribution.again);
    CU_ASSERT_TRUE(decoded.as.contribution.leaving);
}

/* Whoever has another release shall be told so, and not be taken for a stranger. */
static void hello_without_the_later_fields_is_read(void)
{
    struct wire_message message = make_valid(WIRE_HELLO);
    struct wire_hello *hello = &message.as.hello;
    hello->protocol_version = 2;
    hello->computes = hello->aggregates = false;
    hello->bulk_address[0] = '\0';
    hello->up_bytes_per_s_max = hello->down_bytes_per_s_max = 0;
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.hello.protocol_version, 2);
    /* A head of a release that had no sequence and no signature: its last two fields are cut off.
     */
    uint8_t head[1024];
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    size_bytes -= 2 + IDENTITY_SIGNATURE_BYTES + 1 + 9;
    CU_ASSERT_EQUAL(wire_decode(head, size_bytes, &decoded), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.hello.protocol_version, 2);
    CU_ASSERT_EQUAL(decoded.as.hello.signature[0], 0);
    /* A sequence that nobody signed is of no release. */
    CU_ASSERT_EQUAL(wire_decode(head, size_bytes + 1 + 9, &decoded), STATUS_PROTOCOL);
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    size_bytes -= 2 + IDENTITY_SIGNATURE_BYTES + 1 + 9;
    CU_ASSERT_EQUAL(wire_decode(head, size_bytes, &decoded), STATUS_PROTOCOL);
}

/* As any sender could write it, behind a welcome without one. */
static void bulk_port_beyond_a_port_is_refused(void)
{
    static const struct {
        uint8_t varint[3];
        enum status expected;
    } cases[] = {{{0xff, 0xff, 0x03}, STATUS_OK}, {{0x80, 0x80, 0x04}, STATUS_PROTOCOL}};
    struct wire_message message = make_valid(WIRE_WELCOME);
    uint8_t head[1024];
    size_t size_bytes = 0;
    message.as.welcome.bulk_port = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head - 4, &size_bytes), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        head[size_bytes] = 10 << 3; /* field 10, a varint */
        memcpy(head + size_bytes + 1, cases[i].varint, sizeof cases[i].varint);
        CU_ASSERT_EQUAL(wire_decode(head, size_bytes + 4, &decoded), cases[i].expected);
    }
    CU_ASSERT_EQUAL(wire_decode(head, size_bytes, &decoded), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.welcome.bulk_port, 0);
}

static void claims_arrive_in_their_places(void)
{
    struct wire_message message = make_valid(WIRE_CLAIM);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    const struct wire_claim *claim = &decoded.as.claim;
    CU_ASSERT_EQUAL(claim->step, 78);
    CU_ASSERT_EQUAL_FATAL(claim->range_count, 2);
    CU_ASSERT_EQUAL(claim->ranges[0].count, 3);
    CU_ASSERT_EQUAL(claim->ranges[1].first, UINT64_C(1) << 50);
    CU_ASSERT_EQUAL_FATAL(claim->kept_count, 1);
    CU_ASSERT_EQUAL(claim->kept[0].first, 7);
    CU_ASSERT_EQUAL(claim->kept[0].count, UINT64_MAX - 7);
    CU_ASSERT_EQUAL_FATAL(claim->lease_count, 2);
    CU_ASSERT_EQUAL(claim->leases[0].lease_id, UINT64_MAX);
    CU_ASSERT_EQUAL(claim->leases[0].first, UINT64_MAX - WIRE_LEASE_SAMPLES_MAX);
    CU_ASSERT_EQUAL(claim->leases[0].count, WIRE_LEASE_SAMPLES_MAX);
    CU_ASSERT_EQUAL(claim->leases[0].done, WIRE_LEASE_SAMPLES_MAX - 1);
    CU_ASSERT_EQUAL(claim->leases[1].lease_id, 300);
    message = make_valid(WIRE_CLAIMED);
    CU_ASSERT_EQUAL_FATAL(travel(&message), STATUS_OK);
    CU_ASSERT_EQUAL(decoded.as.claimed.step, 78);
    CU_ASSERT_TRUE(decoded.as.claimed.accepted);
}

static void largest_messages_fit_a_head(void)
{
    struct wire_message message = make_valid(WIRE_CONTRIBUTION);
    static uint8_t head[HEAD_MAX];
    size_t size_bytes = 0;
    fill_contribution(&message.as.contribution, WIRE_RANGES_MAX);
    for (size_t i = 0; i < WIRE_RANGES_MAX; i++) { /* the longest numbers */
        message.as.contribution.ranges[i].first = (UINT64_C(1) << 63) + i * (UINT64_C(1) << 53);
        message.as.contribution.ranges[i].count = (UINT64_C(1) << 53) - 1;
    }
    CU_ASSERT_EQUAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_TRUE(size_bytes > 18000);
    CU_ASSERT_EQUAL_FATAL(wire_decode(head, size_bytes, &decoded), STATUS_OK);
    CU_ASSERT_TRUE(same(&message, &decoded));
    CU_ASSERT_EQUAL(wire_encode(&message, head, size_bytes - 1, &size_bytes), STATUS_FULL);

    message = make_valid(WIRE_CLAIM); /* both lists as long as can be */
    message.as.claim.range_count = message.as.claim.kept_count = WIRE_RANGES_MAX;
    for (uint64_t i = 0; i < WIRE_RANGES_MAX; i++) {
        struct sample_range *range = &message.as.claim.ranges[i];
        range->first = (UINT64_C(1) << 63) + i * (UINT64_C(1) << 53);
        range->count = (UINT64_C(1) << 53) - 1;
        message.as.claim.kept[i] = *range;
    }
    CU_ASSERT_EQUAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_TRUE(size_bytes > 36000);
    CU_ASSERT_EQUAL_FATAL(wire_decode(head, size_bytes, &decoded), STATUS_OK);
    CU_ASSERT_TRUE(same(&message, &decoded));
    CU_ASSERT_EQUAL(wire_encode(&message, head, size_bytes - 1, &size_bytes), STATUS_FULL);

    message = make_valid(WIRE_WELCOME);
    memset(message.as.welcome.model_json, ' ', WIRE_MODEL_JSON_MAX - 1);
    memset(message.as.welcome.run_name, 'n', WIRE_NAME_MAX - 1);
    CU_ASSERT_EQUAL(wire_encode(&message, head, sizeof head, &size_bytes), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(wire_decode(head, size_bytes, &decoded), STATUS_OK);
    CU_ASSERT_TRUE(same(&message, &decoded));
    CU_ASSERT_EQUAL(wire_encode(&message, head, 0, &size_bytes), STATUS_FULL);
}

static void chunk_headers_are_told_from_messages(void)
{
    uint8_t head[BLOB_HEADER_BYTES];
    struct blob_chunk_header header = {.kind = BLOB_UPDATE, .size_bytes = 1};
    blob_header_write(&header, head);
    CU_ASSERT_TRUE(wire_is_chunk(head, sizeof head));
    CU_ASSERT_FALSE(wire_is_chunk(head, 0));
    CU_ASSERT_EQUAL(wire_decode(head, sizeof head, &decoded), STATUS_PROTOCOL);
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        uint8_t byte = (uint8_t)type;
        CU_ASSERT_FALSE(wire_is_chunk(&byte, 1));
    }
}

/* Each case changes one thing about a valid message and says whether it may pass. */

#define EXPECT(type, expected, field, ...)                                                         \
    do {                                                                                           \
        struct wire_message message = make_valid(type);                                            \
        message.as.field = __VA_ARGS__;                                                            \
        CU_ASSERT_EQUAL(travel(&message), expected);                                               \
    } while (0)

#define GOOD(type, field, ...) EXPECT(type, STATUS_OK, field, __VA_ARGS__)
#define BAD(type, field, ...) EXPECT(type, STATUS_PROTOCOL, field, __VA_ARGS__)

static void numbers_at_and_beyond_their_limits(void)
{
    GOOD(WIRE_HELLO, hello.protocol_version, UINT32_MAX);
    GOOD(WIRE_HELLO, hello.thread_count, 1);
    BAD(WIRE_HELLO, hello.thread_count, 0);
    BAD(WIRE_HELLO, hello.thread_count, WIRE_THREADS_MAX + 1);
    GOOD(WIRE_HELLO, hello.version_held, 0);
    GOOD(WIRE_WELCOME, welcome.context, 1);
    BAD(WIRE_WELCOME, welcome.context, 0);
    GOOD(WIRE_WELCOME, welcome.context, WIRE_BODY_MAX / 2 - 1);
    BAD(WIRE_WELCOME, welcome.context, WIRE_BODY_MAX / 2);
    BAD(WIRE_WELCOME, welcome.step_tokens, 0);
    BAD(WIRE_WELCOME, welcome.step_tokens, WIRE_TOKENS_MAX + 1);
    GOOD(WIRE_WELCOME, welcome.codec, CODEC_FP32);
    GOOD(WIRE_WELCOME, welcome.codec, CODEC_BF16);
    GOOD(WIRE_WELCOME, welcome.codec, CODEC_MX4);
    BAD(WIRE_WELCOME, welcome.codec, (enum codec)0);
    BAD(WIRE_WELCOME, welcome.codec, (enum codec)5);
    GOOD(WIRE_WELCOME, welcome.has_snapshot, false);
    BAD(WIRE_WELCOME, welcome.snapshot.kind, BLOB_UPDATE);
    GOOD(WIRE_WELCOME, welcome.snapshot.size_bytes, (uint64_t)BLOB_CHUNKS_MAX * 33792);
    BAD(WIRE_WELCOME, welcome.snapshot.size_bytes, (uint64_t)BLOB_CHUNKS_MAX * 33792 + 1);
    GOOD(WIRE_WELCOME, welcome.snapshot.chunk_bytes, WIRE_BODY_MAX);
    BAD(WIRE_WELCOME, welcome.snapshot.chunk_bytes, WIRE_BODY_MAX + 1);
    BAD(WIRE_WELCOME, welcome.snapshot.chunk_bytes, 123456789 / BLOB_CHUNKS_MAX); /* too many */
    GOOD(WIRE_WELCOME, welcome.snapshot.chunk_bytes, 123456789 / BLOB_CHUNKS_MAX + 1);
    GOOD(WIRE_WELCOME, welcome.max_staleness, 0);
    BAD(WIRE_WELCOME, welcome.max_staleness, 2);
    GOOD(WIRE_WELCOME, welcome.predicts, false);
    GOOD(WIRE_WELCOME, welcome.bulk_port, 0);
    GOOD(WIRE_WELCOME, welcome.bulk_port, UINT16_MAX);
    BAD(WIRE_HELLO, hello.up_bytes_per_s_max, WIRE_RATE_MAX + 1);
    BAD(WIRE_HELLO, hello.down_bytes_per_s_max, WIRE_RATE_MAX + 1);
    GOOD(WIRE_HELLO, hello.computes, false);
    BAD(WIRE_HELLO, hello.aggregates, false); /* and yet it says where */
    GOOD(WIRE_REFUSED, refused.code, WIRE_REFUSED_TOKEN);
    BAD(WIRE_REFUSED, refused.code, (enum wire_refusal)0);
    BAD(WIRE_REFUSED, refused.code, (enum wire_refusal)(WIRE_REFUSED_NOT_ALLOWED + 1));
    GOOD(WIRE_HELLO, hello.sequence, 1);
    BAD(WIRE_HELLO, hello.sequence, 0);
    BAD(WIRE_HELLO, hello.sequence, WIRE_SEQUENCE_MAX + 1);
    GOOD(WIRE_READY, ready.version, 0);
    BAD(WIRE_READY, ready.version, WIRE_VERSION_NONE);
    BAD(WIRE_LEASE, lease.version, WIRE_VERSION_NONE);
    BAD(WIRE_LEASE, lease.samples.first, UINT64_MAX - WIRE_LEASE_SAMPLES_MAX + 1);
    GOOD(WIRE_LEASE, lease.samples.count, 1);
    GOOD(WIRE_LEASE, lease.duration_ms, 0);
    GOOD(WIRE_LEASE, lease.duration_ms, WIRE_DURATION_MS_MAX);
    BAD(WIRE_LEASE, lease.duration_ms, WIRE_DURATION_MS_MAX + UINT64_C(1));
    GOOD(WIRE_PROGRESS, progress.samples_done, 0);
    BAD(WIRE_PROGRESS, progress.samples_done, WIRE_LEASE_SAMPLES_MAX + 1);
    BAD(WIRE_PROGRESS, progress.loss_sum, (double)NAN);
    BAD(WIRE_PROGRESS, progress.loss_sum, (double)INFINITY);
    BAD(WIRE_RECLAIM, reclaim.keep, WIRE_LEASE_SAMPLES_MAX + 1);
    BAD(WIRE_YIELDED, yielded.kept, WIRE_LEASE_SAMPLES_MAX + 1);
    BAD(WIRE_APPLIED, applied.version, WIRE_VERSION_NONE);
    GOOD(WIRE_COMMITTED, committed.step, WIRE_VERSION_NONE - 2);
    BAD(WIRE_COMMITTED, committed.step, WIRE_VERSION_NONE - 1);
    BAD(WIRE_COMMITTED, committed.loss, -(double)INFINITY);
    BAD(WIRE_COMMITTED, committed.tokens, 0);
    BAD(WIRE_COMMITTED, committed.update.kind, BLOB_CONTRIBUTION);
    BAD(WIRE_COMMITTED, committed.codec, (enum codec)0);
    GOOD(WIRE_GRANT, grant.kind, BLOB_SNAPSHOT);
    BAD(WIRE_GRANT, grant.kind, (enum blob_kind)0);
    BAD(WIRE_GRANT, grant.kind, (enum blob_kind)6);
    GOOD(WIRE_GRANT, grant.chunk_count, 1);
    BAD(WIRE_GRANT, grant.chunk_count, BLOB_CHUNKS_MAX - 63);
    BAD(WIRE_GRANT, grant.chunk_count, UINT32_MAX);
    GOOD(WIRE_GRANT, grant.first_chunk, 0);
    BAD(WIRE_GRANT, grant.first_chunk, 65);
    BAD(WIRE_GRANT, grant.first_chunk, UINT32_MAX);
}

static void contributions_need_sorted_disjoint_ranges(void)
{
    GOOD(WIRE_CONTRIBUTION, contribution.range_count, 1);
    GOOD(WIRE_CONTRIBUTION, contribution.ranges[0], (struct sample_range){0, 1});
    BAD(WIRE_CONTRIBUTION, contribution.ranges[0].count, 0);
    BAD(WIRE_CONTRIBUTION, contribution.ranges[0].count, 10); /* touches the next */
    BAD(WIRE_CONTRIBUTION, contribution.ranges[0].count, 11); /* overlaps */
    BAD(WIRE_CONTRIBUTION, contribution.ranges[1].first, 5);  /* not sorted */
    BAD(WIRE_CONTRIBUTION, contribution.ranges[2].count, UINT64_MAX);
    BAD(WIRE_CONTRIBUTION, contribution.tokens, 0);
    BAD(WIRE_CONTRIBUTION, contribution.tokens, WIRE_TOKENS_MAX + 1);
    GOOD(WIRE_CONTRIBUTION, contribution.loss_sum, 0.0);
    BAD(WIRE_CONTRIBUTION, contribution.loss_sum, -0.5);
    BAD(WIRE_CONTRIBUTION, contribution.loss_sum, (double)NAN);
    BAD(WIRE_CONTRIBUTION, contribution.blob.kind, BLOB_UPDATE);
    BAD(WIRE_CONTRIBUTION, contribution.codec, (enum codec)0);
    GOOD(WIRE_CONTRIBUTION, contribution.stale_tokens, 0);
    BAD(WIRE_CONTRIBUTION, contribution.stale_tokens, WIRE_TOKENS_MAX + 1);
    BAD(WIRE_CONTRIBUTION, contribution.tokens, WIRE_TOKENS_MAX - 1); /* fewer than are stale */
}

static void claims_need_what_can_be_held(void)
{
    GOOD(WIRE_CLAIM, claim.range_count, 0);
    GOOD(WIRE_CLAIM, claim.kept_count, 0);
    GOOD(WIRE_CLAIM, claim.lease_count, 0);
    BAD(WIRE_CLAIM, claim.ranges[0].count, 0);
    BAD(WIRE_CLAIM, claim.ranges[1].first, 3); /* touches the one before */
    BAD(WIRE_CLAIM, claim.ranges[1].first, 2);
    BAD(WIRE_CLAIM, claim.ranges[1].count, UINT64_MAX);
    BAD(WIRE_CLAIM, claim.kept[0].count, 0);
    BAD(WIRE_CLAIM, claim.kept[0].count, UINT64_MAX - 6);
    BAD(WIRE_CLAIM, claim.leases[0].count, WIRE_LEASE_SAMPLES_MAX + 1);
    BAD(WIRE_CLAIM, claim.leases[0].done, WIRE_LEASE_SAMPLES_MAX);
    BAD(WIRE_CLAIM, claim.leases[0].first, UINT64_MAX - WIRE_LEASE_SAMPLES_MAX + 1);
    BAD(WIRE_CLAIM, claim.leases[1].count, 0);
    BAD(WIRE_CLAIM, claim.leases[1].done, 1); /* it has ended */
    GOOD(WIRE_CLAIMED, claimed.accepted, false);
    GOOD(WIRE_CONTRIBUTION, contribution.again, false);
}

static enum status travel_name(const char *name)
{
    struct wire_message message = make_valid(WIRE_HELLO);
    (void)snprintf(message.as.hello.name, sizeof message.as.hello.name, "%s", name);
    return travel(&message);
}

static enum status travel_json(const char *json)
{
    struct wire_message message = make_valid(WIRE_WELCOME);
    (void)snprintf(message.as.welcome.model_json, sizeof message.as.welcome.model_json, "%s", json);
    return travel(&message);
}

static void texts_are_printable_or_utf8(void)
{
    CU_ASSERT_EQUAL(travel_name(""), STATUS_OK);
    CU_ASSERT_EQUAL(travel_name("\x1f"), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(travel_name("\x7f"), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(travel_name("a\nlevel=error"), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(travel_name("a\" event=committed b=\""), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(travel_name("a\\"), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(travel_name("\xc3\xb8"), STATUS_PROTOCOL);
    static const char *const good[] = {
        "{}",           "\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CU_ASSERT_EQUAL(travel_json(good[i]), STATUS_OK);
    }
    static const char *const bad[] = {"",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3(",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x9f\x98",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_EQUAL(travel_json(bad[i]), STATUS_PROTOCOL);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(every_type_comes_back_the_same),
        SUITE_TEST(fields_arrive_in_their_places),
        SUITE_TEST(hello_without_the_later_fields_is_read),
        SUITE_TEST(bulk_port_beyond_a_port_is_refused),
        SUITE_TEST(claims_arrive_in_their_places),
        SUITE_TEST(largest_messages_fit_a_head),
        SUITE_TEST(chunk_headers_are_told_from_messages),
        SUITE_TEST(numbers_at_and_beyond_their_limits),
        SUITE_TEST(contributions_need_sorted_disjoint_ranges),
        SUITE_TEST(claims_need_what_can_be_held),
        SUITE_TEST(texts_are_printable_or_utf8),
    };
    return suite_run("wire", tests, sizeof tests / sizeof tests[0]);
}
