#include "common/random.h"
#include "proto/blob.h"
#include "proto/wire_parts.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = WIRE_HEAD_MAX, MUTATIONS = 100000, TAG_TRIES = 128 };

/* A valid message of every type, with values that fill their fields. */

static struct wire_message make(enum wire_type type)
{
    struct wire_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    return message;
}

static struct blob_ref make_ref(enum blob_kind kind)
{
    struct blob_ref ref = {.kind = kind, .id = UINT64_MAX - 5, .size_bytes = 123456789};
    ref.root = digest_of("root", 4);
    return ref;
}

static void fill_hello(struct wire_hello *hello)
{
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memset(hello->public_key, 0xa5, sizeof hello->public_key);
    memset(hello->token, 0x5a, sizeof hello->token);
    (void)snprintf(hello->name, sizeof hello->name, "Kari's old laptop ~");
    hello->thread_count = WIRE_THREADS_MAX;
    hello->version_held = WIRE_VERSION_NONE;
}

static void fill_welcome(struct wire_welcome *welcome)
{
    (void)snprintf(welcome->run_name, sizeof welcome->run_name, "nordic-124m");
    welcome->run_id = digest_of("run", 3);
    (void)snprintf(welcome->model_json, sizeof welcome->model_json,
                   "{\n\t\"model_type\": \"llama \xc3\xb8 \xe2\x82\xac \xf0\x9f\x98\x80\"}");
    welcome->context = 1024;
    welcome->step_tokens = WIRE_TOKENS_MAX;
    welcome->codec = CODEC_MX8;
    welcome->has_snapshot = true;
    welcome->snapshot = make_ref(BLOB_SNAPSHOT);
}

static void fill_contribution(struct wire_contribution *contribution, uint32_t range_count)
{
    contribution->step = 77;
    contribution->range_count = range_count;
    for (uint32_t i = 0; i < range_count; i++) {
        contribution->ranges[i] = (struct sample_range){UINT64_C(1) << 40 | i * 10, 9};
    }
    contribution->ranges[range_count - 1].count = UINT64_MAX / 2;
    contribution->tokens = WIRE_TOKENS_MAX;
    contribution->loss_sum = 1234.5678;
    contribution->blob = make_ref(BLOB_CONTRIBUTION);
}

static struct wire_message make_valid(enum wire_type type)
{
    struct wire_message message = make(type);
    switch (type) {
    case WIRE_HELLO:
        fill_hello(&message.as.hello);
        break;
    case WIRE_WELCOME:
        fill_welcome(&message.as.welcome);
        break;
    case WIRE_REFUSED:
        message.as.refused.code = WIRE_REFUSED_GONE;
        (void)snprintf(message.as.refused.text, WIRE_TEXT_MAX, "not kept any more");
        break;
    case WIRE_READY:
        message.as.ready.version = WIRE_VERSION_NONE - 1;
        break;
    case WIRE_LEASE:
        message.as.lease = (struct wire_lease){
            1, 2, 3, {UINT64_MAX - WIRE_LEASE_SAMPLES_MAX, WIRE_LEASE_SAMPLES_MAX}, 600000};
        break;
    case WIRE_PROGRESS:
        message.as.progress = (struct wire_progress){UINT64_MAX, WIRE_LEASE_SAMPLES_MAX, -1e300};
        break;
    case WIRE_RECLAIM:
        message.as.reclaim = (struct wire_reclaim){9, WIRE_LEASE_SAMPLES_MAX};
        break;
    case WIRE_YIELDED:
        message.as.yielded = (struct wire_yielded){9, WIRE_LEASE_SAMPLES_MAX};
        break;
    case WIRE_COLLECT:
        message.as.collect.step = UINT64_MAX;
        break;
    case WIRE_CONTRIBUTION:
        fill_contribution(&message.as.contribution, 3);
        break;
    case WIRE_VERDICT:
        message.as.verdict.blob_id = 5;
        message.as.verdict.accepted = true;
        (void)snprintf(message.as.verdict.text, WIRE_TEXT_MAX, "fine");
        break;
    case WIRE_COMMITTED:
        message.as.committed.step = 4;
        message.as.committed.loss = 3.25;
        message.as.committed.tokens = 1;
        message.as.committed.digest = digest_of("P", 1);
        message.as.committed.update = make_ref(BLOB_UPDATE);
        break;
    case WIRE_APPLIED:
        message.as.applied.version = 5;
        message.as.applied.digest = digest_of("P", 1);
        break;
    case WIRE_GRANT:
        message.as.grant = (struct wire_grant){BLOB_CONTRIBUTION, 8,
                                               BLOB_CHUNKS_MAX - BLOB_WINDOW_MAX, BLOB_WINDOW_MAX};
        break;
    case WIRE_FINISHED:
        message.as.finished.step_count = 1000;
        break;
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_TYPE_END:
        break;
    }
    return message;
}

/* All fields, compared by their encoding: it is canonical, so equal bytes are equal values. */
static bool same(const struct wire_message *a, const struct wire_message *b)
{
    static uint8_t a_head[HEAD_MAX];
    static uint8_t b_head[HEAD_MAX];
    size_t a_bytes = 0;
    size_t b_bytes = 0;
    return wire_encode(a, a_head, sizeof a_head, &a_bytes) == STATUS_OK &&
           wire_encode(b, b_head, sizeof b_head, &b_bytes) == STATUS_OK && a_bytes == b_bytes &&
           memcmp(a_head, b_head, a_bytes) == 0;
}

static struct wire_message decoded; /* large */

/* What the other side makes of this message. */
static enum status travel(const struct wire_message *message)
{
    static uint8_t head[HEAD_MAX];
    size_t size_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(message, head, sizeof head, &size_bytes), STATUS_OK);
    memset(&decoded, 0xee, sizeof decoded);
    return wire_decode(head, size_bytes, &decoded);
}

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
    BAD(WIRE_WELCOME, welcome.codec, (enum codec)0);
    BAD(WIRE_WELCOME, welcome.codec, (enum codec)3);
    GOOD(WIRE_WELCOME, welcome.has_snapshot, false);
    BAD(WIRE_WELCOME, welcome.snapshot.kind, BLOB_UPDATE);
    GOOD(WIRE_WELCOME, welcome.snapshot.size_bytes, (uint64_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES);
    BAD(WIRE_WELCOME, welcome.snapshot.size_bytes,
        (uint64_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES + 1);
    GOOD(WIRE_REFUSED, refused.code, WIRE_REFUSED_TOKEN);
    BAD(WIRE_REFUSED, refused.code, (enum wire_refusal)0);
    BAD(WIRE_REFUSED, refused.code, (enum wire_refusal)7);
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
    GOOD(WIRE_GRANT, grant.kind, BLOB_SNAPSHOT);
    BAD(WIRE_GRANT, grant.kind, (enum blob_kind)0);
    BAD(WIRE_GRANT, grant.kind, (enum blob_kind)4);
    GOOD(WIRE_GRANT, grant.chunk_count, 1);
    BAD(WIRE_GRANT, grant.chunk_count, BLOB_WINDOW_MAX + 1);
    BAD(WIRE_GRANT, grant.first_chunk, BLOB_CHUNKS_MAX - BLOB_WINDOW_MAX + 1);
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
        enum status expected = type == WIRE_ALIVE || type == WIRE_LEAVE || type == WIRE_READY ||
                                       type == WIRE_RECLAIM || type == WIRE_YIELDED ||
                                       type == WIRE_COLLECT || type == WIRE_VERDICT ||
                                       type == WIRE_FINISHED || type == WIRE_PROGRESS
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
    uint8_t digest[DIGEST_BYTES + 1] = {0};
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
    at = 0;
    blob[at++] = 1U << 3U;
    blob[at++] = BLOB_CONTRIBUTION;
    blob[at++] = 3U << 3U;
    blob[at++] = 1;
    blob[at++] = 4U << 3U | 2U;
    blob[at++] = DIGEST_BYTES;
    memcpy(blob + at, valid.as.contribution.blob.root.bytes, DIGEST_BYTES);
    craft_bytes(6, blob, at + DIGEST_BYTES);
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

static void every_prefix_of_every_message_is_refused_or_valid(void)
{
    static uint8_t head[HEAD_MAX];
    size_t whole = 0;
    for (int type = WIRE_HELLO; type < WIRE_TYPE_END; type++) {
        struct wire_message message = make_valid((enum wire_type)type);
        CU_ASSERT_EQUAL_FATAL(wire_encode(&message, head, sizeof head, &whole), STATUS_OK);
        unsigned valid = 0;
        for (size_t size = 0; size < whole; size++) {
            uint8_t *exact = malloc(size + 1); /* so that a sanitizer sees a step beyond */
            CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
            memcpy(exact, head, size);
            enum status status = wire_decode(size == 0 ? NULL : exact, size, &decoded);
            CU_ASSERT_TRUE_FATAL(status == STATUS_OK || status == STATUS_PROTOCOL);
            /* A cut between two fields leaves zeros, which a few messages allow. */
            valid += status == STATUS_OK;
            CU_ASSERT_FALSE(status == STATUS_OK && same(&message, &decoded));
            free(exact);
        }
        CU_ASSERT_TRUE(valid <= 5);
        bool strict = type == WIRE_HELLO || type == WIRE_CONTRIBUTION || type == WIRE_COMMITTED ||
                      type == WIRE_APPLIED || type == WIRE_GRANT;
        CU_ASSERT_TRUE(!strict || valid <= 1);
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
    craft_begin(WIRE_VERDICT); /* a length beyond the end */
    craft_varint(3U << 3U | 2U);
    craft_varint(UINT64_MAX);
    expect_bomb_is_refused(0);
}

static void one_mebibyte_is_refused_by_its_size(void)
{
    uint8_t *head = calloc(1, WIRE_BODY_MAX);
    size_t used_bytes = SIZE_MAX;
    CU_ASSERT_PTR_NOT_NULL_FATAL(head);
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
    CU_ASSERT_TRUE(used_bytes >= 16 * WIRE_RANGES_MAX);
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
        SUITE_TEST(every_type_comes_back_the_same),
        SUITE_TEST(fields_arrive_in_their_places),
        SUITE_TEST(largest_messages_fit_a_head),
        SUITE_TEST(chunk_headers_are_told_from_messages),
        SUITE_TEST(numbers_at_and_beyond_their_limits),
        SUITE_TEST(contributions_need_sorted_disjoint_ranges),
        SUITE_TEST(texts_are_printable_or_utf8),
        SUITE_TEST(crafted_message_is_what_we_mean),
        SUITE_TEST(unknown_types_and_fields_are_refused),
        SUITE_TEST(wrong_wire_types_and_groups_are_refused),
        SUITE_TEST(fields_given_twice_are_refused),
        SUITE_TEST(numbers_too_wide_for_their_field_are_refused),
        SUITE_TEST(text_with_a_nul_is_refused),
        SUITE_TEST(keys_and_digests_have_their_length),
        SUITE_TEST(arrays_are_bounded_and_pair_up),
        SUITE_TEST(every_prefix_of_every_message_is_refused_or_valid),
        SUITE_TEST(random_heads_never_break_anything),
        SUITE_TEST(bombs_cost_no_memory),
        SUITE_TEST(one_mebibyte_is_refused_by_its_size),
        SUITE_TEST(valid_messages_stay_within_the_budget),
    };
    return suite_run("wire", tests, sizeof tests / sizeof tests[0]);
}
