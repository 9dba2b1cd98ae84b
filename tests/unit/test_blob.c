#include "common/random.h"
#include "proto/blob_receiver.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4224, TWO_CHUNKS = 2 * CHUNK, RETRY_MS = 1000 };

/* Some bytes, what they are offered as, and who receives them. */
struct fixture {
    uint8_t *data;
    size_t size_bytes;
    struct blob_ref ref;
    struct blob_receiver *receiver;
};

static uint8_t *need(size_t size_bytes)
{
    uint8_t *memory = calloc(1, size_bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void begin(struct fixture *self, size_t size_bytes)
{
    struct random random;
    random_init(&random, 1, size_bytes);
    self->size_bytes = size_bytes;
    self->data = need(size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        self->data[i] = (uint8_t)(i % 4093 == 0 ? random_next(&random) : i);
    }
    self->ref = blob_describe(BLOB_UPDATE, 7, self->data, size_bytes, CHUNK, NULL);
    CU_ASSERT_EQUAL_FATAL(blob_receiver_new(&self->ref, size_bytes, &self->receiver), STATUS_OK);
}

static void end(struct fixture *self)
{
    blob_receiver_free(self->receiver);
    free(self->data);
}

/* What happens to chunk `index` between two honest sides, with the header going over the wire. */
static enum status deliver(struct fixture *self, uint32_t index)
{
    struct blob_chunk_header sent;
    struct blob_chunk_header received;
    uint8_t head[BLOB_HEADER_BYTES];
    const uint8_t *data = NULL;
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&self->ref, self->data, NULL, index, &sent, &data), STATUS_OK);
    blob_header_write(&sent, head);
    CU_ASSERT_TRUE(wire_is_chunk(head, sizeof head));
    CU_ASSERT_EQUAL_FATAL(blob_header_read(head, sizeof head, &received), STATUS_OK);
    return blob_receiver_add(self->receiver, &received, data, sent.size_bytes);
}

static bool grants(struct fixture *self, uint32_t window, uint64_t now_ms, uint32_t first,
                   uint32_t count)
{
    struct wire_grant grant;
    return blob_receiver_grant(self->receiver, window, now_ms, RETRY_MS, &grant) &&
           grant.kind == self->ref.kind && grant.id == self->ref.id && grant.first_chunk == first &&
           grant.chunk_count == count;
}

static bool grants_nothing(struct fixture *self, uint32_t window, uint64_t now_ms)
{
    struct wire_grant grant;
    return !blob_receiver_grant(self->receiver, window, now_ms, RETRY_MS, &grant);
}

static void expect_whole(struct fixture *self)
{
    CU_ASSERT_TRUE_FATAL(blob_receiver_complete(self->receiver));
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(self->receiver), self->size_bytes);
    CU_ASSERT_EQUAL(blob_receiver_verify(self->receiver), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(blob_receiver_data(self->receiver), self->data, self->size_bytes), 0);
    CU_ASSERT_TRUE(grants_nothing(self, BLOB_WINDOW_MAX, 1000000));
}

static void every_size_around_a_chunk_arrives_whole(void)
{
    static const size_t sizes[] = {1, 2, CHUNK - 1, CHUNK, CHUNK + 1, TWO_CHUNKS, TWO_CHUNKS + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fixture fixture;
        begin(&fixture, sizes[i]);
        uint32_t count = (uint32_t)((sizes[i] + CHUNK - 1) / CHUNK);
        CU_ASSERT_EQUAL(blob_chunk_count(sizes[i], CHUNK), count);
        CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_AGAIN);
        CU_ASSERT_TRUE(grants(&fixture, 8, 0, 0, count));
        for (uint32_t index = 0; index < count; index++) {
            CU_ASSERT_FALSE(blob_receiver_complete(fixture.receiver));
            CU_ASSERT_EQUAL(deliver(&fixture, index), STATUS_OK);
        }
        expect_whole(&fixture);
        struct blob_chunk_header header;
        const uint8_t *data = NULL;
        CU_ASSERT_EQUAL(blob_chunk(&fixture.ref, fixture.data, NULL, count, &header, &data),
                        STATUS_OUT_OF_RANGE);
        end(&fixture);
    }
}

static void root_depends_on_every_byte_and_the_order(void)
{
    size_t size_bytes = 2 * (size_t)CHUNK;
    uint8_t *data = need(size_bytes);
    data[0] = 1;
    struct blob_ref ref = blob_describe(BLOB_UPDATE, 1, data, size_bytes, CHUNK, NULL);
    data[0] = 0;
    data[CHUNK] = 1; /* the chunks swapped */
    struct blob_ref other = blob_describe(BLOB_UPDATE, 1, data, size_bytes, CHUNK, NULL);
    CU_ASSERT_FALSE(digest_equal(&ref.root, &other.root));
    other = blob_describe(BLOB_UPDATE, 1, data, size_bytes - 1, CHUNK, NULL);
    data[size_bytes - 1] = 1;
    ref = blob_describe(BLOB_UPDATE, 1, data, size_bytes - 1, CHUNK, NULL);
    CU_ASSERT_TRUE(digest_equal(&ref.root, &other.root));
    ref = blob_describe(BLOB_UPDATE, 1, data, size_bytes, CHUNK, NULL);
    CU_ASSERT_FALSE(digest_equal(&ref.root, &other.root));
    free(data);
}

static void window_bounds_what_is_outstanding(void)
{
    struct fixture fixture;
    begin(&fixture, 5 * (size_t)CHUNK);
    CU_ASSERT_TRUE(grants_nothing(&fixture, 0, 0));
    CU_ASSERT_TRUE(grants(&fixture, 2, 0, 0, 2));
    CU_ASSERT_TRUE(grants_nothing(&fixture, 2, 0));
    CU_ASSERT_EQUAL(deliver(&fixture, 1), STATUS_OK);
    CU_ASSERT_TRUE(grants(&fixture, 2, 0, 2, 1));
    CU_ASSERT_TRUE(grants_nothing(&fixture, 2, 0));
    CU_ASSERT_TRUE(grants(&fixture, UINT32_MAX, 0, 3, 2));
    CU_ASSERT_TRUE(grants_nothing(&fixture, UINT32_MAX, 0));
    end(&fixture);
}

static void window_is_never_above_its_limit(void)
{
    struct blob_ref ref = {.kind = BLOB_SNAPSHOT, .id = 1, .chunk_bytes = CHUNK};
    ref.size_bytes = (uint64_t)2000 * CHUNK;
    struct blob_receiver *receiver = NULL;
    struct wire_grant grant;
    CU_ASSERT_EQUAL_FATAL(blob_receiver_new(&ref, ref.size_bytes, &receiver), STATUS_OK);
    CU_ASSERT_TRUE(blob_receiver_grant(receiver, 1000, 0, RETRY_MS, &grant));
    CU_ASSERT_EQUAL(grant.chunk_count, BLOB_WINDOW_MAX);
    CU_ASSERT_FALSE(blob_receiver_grant(receiver, 1000, 0, RETRY_MS, &grant));
    blob_receiver_free(receiver);
}

static void out_of_order_and_duplicates_arrive_whole(void)
{
    struct fixture fixture;
    begin(&fixture, 4 * (size_t)CHUNK + 17);
    CU_ASSERT_TRUE(grants(&fixture, 8, 0, 0, 5));
    static const uint32_t order[] = {4, 2, 2, 0, 4, 3, 1, 1};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        CU_ASSERT_EQUAL(deliver(&fixture, order[i]), STATUS_OK);
    }
    expect_whole(&fixture);
    end(&fixture);
}

static void lost_chunks_are_granted_again_after_the_retry_time(void)
{
    struct fixture fixture;
    begin(&fixture, 6 * (size_t)CHUNK);
    CU_ASSERT_TRUE(grants(&fixture, 5, 100, 0, 5));
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(&fixture, 3), STATUS_OK); /* 1, 2 and 4 are lost */
    CU_ASSERT_TRUE(grants(&fixture, 4, 600, 5, 1));
    CU_ASSERT_TRUE(grants_nothing(&fixture, 4, 600 + RETRY_MS - 1));
    CU_ASSERT_TRUE(grants(&fixture, 4, 600 + RETRY_MS, 1, 2));
    CU_ASSERT_TRUE(grants(&fixture, 4, 600 + RETRY_MS, 4, 2));
    CU_ASSERT_TRUE(grants_nothing(&fixture, 4, 600 + RETRY_MS));
    for (uint32_t i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(deliver(&fixture, i), STATUS_OK);
    }
    expect_whole(&fixture);
    end(&fixture);
}

static void reset_grants_only_what_is_missing(void)
{
    struct fixture fixture;
    begin(&fixture, 6 * (size_t)CHUNK);
    CU_ASSERT_TRUE(grants(&fixture, 4, 0, 0, 4));
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(&fixture, 2), STATUS_OK);
    blob_receiver_reset_grants(fixture.receiver);     /* the connection was lost */
    CU_ASSERT_EQUAL(deliver(&fixture, 3), STATUS_OK); /* was on its way still */
    CU_ASSERT_TRUE(grants(&fixture, 4, 0, 1, 1));
    CU_ASSERT_TRUE(grants(&fixture, 4, 0, 4, 2));
    CU_ASSERT_TRUE(grants_nothing(&fixture, 4, 0));
    CU_ASSERT_EQUAL(deliver(&fixture, 1), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(&fixture, 4), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(&fixture, 5), STATUS_OK);
    expect_whole(&fixture);
    end(&fixture);
}

static void damaged_chunk_is_corrupt_and_can_come_again(void)
{
    struct fixture fixture;
    struct blob_chunk_header header;
    const uint8_t *data = NULL;
    begin(&fixture, CHUNK + 5);
    CU_ASSERT_TRUE(grants(&fixture, 2, 0, 0, 2));
    CU_ASSERT_EQUAL(blob_chunk(&fixture.ref, fixture.data, NULL, 1, &header, &data), STATUS_OK);
    uint8_t damaged[5];
    memcpy(damaged, data, sizeof damaged);
    damaged[4] ^= 1;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &header, damaged, sizeof damaged),
                    STATUS_CORRUPT);
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(fixture.receiver), 0);
    CU_ASSERT_TRUE(grants(&fixture, 2, RETRY_MS, 0, 2));
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_OK);
    CU_ASSERT_EQUAL(deliver(&fixture, 1), STATUS_OK);
    expect_whole(&fixture);
    end(&fixture);
}

static void chunk_of_other_bytes_fails_the_root(void)
{
    struct fixture fixture;
    begin(&fixture, 100);
    CU_ASSERT_TRUE(grants(&fixture, 2, 0, 0, 1));
    fixture.data[50] ^= 1; /* the sender's bytes are not those that it promised */
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_OK);
    CU_ASSERT_TRUE(blob_receiver_complete(fixture.receiver));
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_CORRUPT);
    end(&fixture);
}

static void chunk_that_was_not_asked_for_breaks_the_protocol(void)
{
    struct fixture fixture;
    struct blob_chunk_header good;
    const uint8_t *data = NULL;
    begin(&fixture, 2 * (size_t)CHUNK + 9);
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_PROTOCOL); /* never granted */
    CU_ASSERT_TRUE(grants(&fixture, 1, 0, 0, 1));
    CU_ASSERT_EQUAL(deliver(&fixture, 1), STATUS_PROTOCOL);
    CU_ASSERT_TRUE(grants(&fixture, 3, 0, 1, 2));
    CU_ASSERT_EQUAL(blob_chunk(&fixture.ref, fixture.data, NULL, 2, &good, &data), STATUS_OK);
    struct blob_chunk_header bad = good;
    bad.id++;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 9), STATUS_PROTOCOL);
    bad = good;
    bad.kind = BLOB_SNAPSHOT;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 9), STATUS_PROTOCOL);
    bad = good;
    bad.index = 3;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 9), STATUS_PROTOCOL);
    bad = good;
    bad.index = UINT32_MAX;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 9), STATUS_PROTOCOL);
    bad = good;
    bad.index = 1; /* a short chunk in the middle */
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 9), STATUS_PROTOCOL);
    bad = good;
    bad.size_bytes = 8;
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &bad, data, 8), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &good, data, 8), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(fixture.receiver), 0);
    CU_ASSERT_EQUAL(blob_receiver_add(fixture.receiver, &good, data, 9), STATUS_OK);
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(fixture.receiver), 9);
    end(&fixture);
}

static void too_large_a_blob_is_refused_before_memory_is_taken(void)
{
    struct blob_ref ref = {.kind = BLOB_SNAPSHOT, .id = 1, .size_bytes = 101, .chunk_bytes = CHUNK};
    struct blob_receiver *receiver = NULL;
    CU_ASSERT_EQUAL(blob_receiver_new(&ref, 100, &receiver), STATUS_FULL);
    CU_ASSERT_PTR_NULL(receiver);
    ref.size_bytes = UINT64_MAX;
    CU_ASSERT_EQUAL(blob_receiver_new(&ref, UINT64_MAX, &receiver), STATUS_FULL);
    ref.size_bytes = (uint64_t)BLOB_CHUNKS_MAX * CHUNK + 1;
    CU_ASSERT_EQUAL(blob_receiver_new(&ref, UINT64_MAX, &receiver), STATUS_FULL);
    blob_receiver_free(NULL);
}

static void header_round_trip_keeps_all_and_refuses_the_rest(void)
{
    struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                       .id = UINT64_C(0x0102030405060708),
                                       .index = BLOB_CHUNKS_MAX - 1,
                                       .size_bytes = WIRE_BODY_MAX};
    header.hash = digest_of("x", 1);
    uint8_t head[BLOB_HEADER_BYTES + 1] = {0};
    struct blob_chunk_header back;
    blob_header_write(&header, head);
    CU_ASSERT_EQUAL_FATAL(blob_header_read(head, BLOB_HEADER_BYTES, &back), STATUS_OK);
    CU_ASSERT_EQUAL(back.kind, header.kind);
    CU_ASSERT_EQUAL(back.id, header.id);
    CU_ASSERT_EQUAL(back.index, header.index);
    CU_ASSERT_EQUAL(back.size_bytes, header.size_bytes);
    CU_ASSERT_TRUE(digest_equal(&back.hash, &header.hash));
    CU_ASSERT_EQUAL(head[8], 8); /* little-endian */
    CU_ASSERT_EQUAL(blob_header_read(head, BLOB_HEADER_BYTES + 1, &back), STATUS_PROTOCOL);
    for (size_t size = 0; size < BLOB_HEADER_BYTES; size++) {
        CU_ASSERT_EQUAL(blob_header_read(head, size, &back), STATUS_PROTOCOL);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 1},    {1, 0},  {1, 6},  {2, 1},  {3, 1},
               {6, 0x10}, {16, 1}, {19, 1}, {20, 1}, {31, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        blob_header_write(&header, head);
        head[bad[i].at] = bad[i].value;
        CU_ASSERT_EQUAL(blob_header_read(head, BLOB_HEADER_BYTES, &back), STATUS_PROTOCOL);
    }
    header.size_bytes = 0;
    blob_header_write(&header, head);
    CU_ASSERT_EQUAL(blob_header_read(head, BLOB_HEADER_BYTES, &back), STATUS_PROTOCOL);
}

/* A third of the chunks vanish, a third come twice. */
static void deliver_or_lose(struct fixture *self, const struct wire_grant *grant,
                            struct random *random)
{
    for (uint32_t i = 0; i < grant->chunk_count; i++) {
        for (uint64_t copies = random_below(random, 3); copies > 0; copies--) {
            CU_ASSERT_EQUAL(deliver(self, grant->first_chunk + i), STATUS_OK);
        }
    }
}

static void lossy_line_delivers_in_the_end(void)
{
    struct fixture fixture;
    struct random random;
    struct wire_grant grant;
    uint64_t now_ms = 0;
    random_init(&random, 42, 0);
    begin(&fixture, 20 * (size_t)CHUNK + 1);
    for (unsigned round = 0; round < 400 && !blob_receiver_complete(fixture.receiver); round++) {
        now_ms += RETRY_MS / 4;
        while (blob_receiver_grant(fixture.receiver, 4, now_ms, RETRY_MS, &grant)) {
            deliver_or_lose(&fixture, &grant, &random);
        }
        if (random_below(&random, 8) == 0) { /* the connection breaks at times */
            blob_receiver_reset_grants(fixture.receiver);
        }
    }
    expect_whole(&fixture);
    end(&fixture);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(every_size_around_a_chunk_arrives_whole),
        SUITE_TEST(root_depends_on_every_byte_and_the_order),
        SUITE_TEST(window_bounds_what_is_outstanding),
        SUITE_TEST(window_is_never_above_its_limit),
        SUITE_TEST(out_of_order_and_duplicates_arrive_whole),
        SUITE_TEST(lost_chunks_are_granted_again_after_the_retry_time),
        SUITE_TEST(reset_grants_only_what_is_missing),
        SUITE_TEST(damaged_chunk_is_corrupt_and_can_come_again),
        SUITE_TEST(chunk_of_other_bytes_fails_the_root),
        SUITE_TEST(chunk_that_was_not_asked_for_breaks_the_protocol),
        SUITE_TEST(too_large_a_blob_is_refused_before_memory_is_taken),
        SUITE_TEST(header_round_trip_keeps_all_and_refuses_the_rest),
        SUITE_TEST(lossy_line_delivers_in_the_end),
    };
    return suite_run("blob", tests, sizeof tests / sizeof tests[0]);
}
