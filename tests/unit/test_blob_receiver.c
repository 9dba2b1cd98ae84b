#include "common/random.h"
#include "proto/blob_receiver.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 100, CHUNKS = 40, BYTES = CHUNKS * CHUNK - 30, RETRY_MS = 1000 };

/* Some bytes, what they are offered as, and the list of their hashes. */
struct fixture {
    uint8_t data[BYTES];
    struct blob_ref ref;
    struct digest hashes[CHUNKS];
    struct blob_receiver *receiver;
};

static void begin(struct fixture *self, uint32_t first, uint32_t count)
{
    struct random random;
    random_init(&random, 3, 0);
    for (size_t i = 0; i < BYTES; i++) {
        self->data[i] = (uint8_t)random_next(&random);
    }
    self->ref = blob_describe(BLOB_UPDATE, 7, self->data, BYTES, CHUNK, self->hashes);
    CU_ASSERT_EQUAL_FATAL(blob_receiver_new_part(&self->ref, first, count, BYTES, &self->receiver),
                          STATUS_OK);
}

static enum status deliver(struct fixture *self, uint32_t index)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&self->ref, self->data, self->hashes, index, &header, &chunk),
                          STATUS_OK);
    return blob_receiver_add(self->receiver, &header, chunk, header.size_bytes);
}

/* A chunk whose bytes are others and whose header says so. */
static enum status deliver_other(struct fixture *self, uint32_t index)
{
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    uint8_t other[CHUNK];
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&self->ref, self->data, NULL, index, &header, &chunk),
                          STATUS_OK);
    memcpy(other, chunk, header.size_bytes);
    other[0] ^= 1;
    header.hash = digest_of(other, header.size_bytes);
    return blob_receiver_add(self->receiver, &header, other, header.size_bytes);
}

static bool asks(struct fixture *self, const struct blob_ask *ask, uint32_t first, uint32_t count)
{
    struct wire_grant grant;
    return blob_receiver_grant_from(self->receiver, ask, &grant) && grant.kind == self->ref.kind &&
           grant.id == self->ref.id && grant.first_chunk == first && grant.chunk_count == count;
}

static bool asks_nothing(struct fixture *self, const struct blob_ask *ask)
{
    struct wire_grant grant;
    return !blob_receiver_grant_from(self->receiver, ask, &grant);
}

static struct blob_ask ask_of(uint32_t source, uint32_t first, uint32_t count, uint32_t window)
{
    return (struct blob_ask){.source = source,
                             .first_chunk = first,
                             .chunk_count = count,
                             .window = window,
                             .retry_ms = RETRY_MS};
}

static void grant_all(struct fixture *self)
{
    struct wire_grant grant;
    while (blob_receiver_grant(self->receiver, CHUNKS, 0, RETRY_MS, &grant)) {
    }
}

static void part_takes_its_own_chunks_alone(void)
{
    static struct fixture fixture;
    begin(&fixture, 35, 5); /* the last one is short */
    grant_all(&fixture);
    CU_ASSERT_EQUAL(deliver(&fixture, 34), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(deliver(&fixture, 0), STATUS_PROTOCOL);
    for (uint32_t i = 35; i < 40; i++) {
        CU_ASSERT_PTR_NULL(blob_receiver_chunk(fixture.receiver, i));
        CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_AGAIN);
        CU_ASSERT_EQUAL(deliver(&fixture, i), STATUS_OK);
        const uint8_t *chunk = blob_receiver_chunk(fixture.receiver, i);
        CU_ASSERT_PTR_NOT_NULL_FATAL(chunk);
        CU_ASSERT_EQUAL(
            memcmp(chunk, fixture.data + (size_t)i * CHUNK, blob_chunk_size(&fixture.ref, i)), 0);
        CU_ASSERT_TRUE(digest_equal(blob_receiver_hash(fixture.receiver, i), &fixture.hashes[i]));
    }
    CU_ASSERT_PTR_NULL(blob_receiver_chunk(fixture.receiver, 34));
    CU_ASSERT_PTR_NULL(blob_receiver_chunk(fixture.receiver, 40));
    CU_ASSERT_PTR_NULL(blob_receiver_chunk(fixture.receiver, UINT32_MAX));
    CU_ASSERT_TRUE(blob_receiver_complete(fixture.receiver));
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(fixture.receiver), BYTES - 3500);
    CU_ASSERT_EQUAL(memcmp(blob_receiver_data(fixture.receiver), fixture.data + 3500, BYTES - 3500),
                    0);
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_REFUSED); /* nobody can know */
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS), STATUS_OK);
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_OK);
    blob_receiver_free(fixture.receiver);
}

static void parts_that_do_not_exist_are_out_of_range(void)
{
    static struct fixture fixture;
    static const uint32_t wrong[][2] = {{0, 0},  {0, 41},         {40, 1},
                                        {39, 2}, {1, UINT32_MAX}, {UINT32_MAX, 2}};
    struct blob_receiver *receiver = NULL;
    begin(&fixture, 0, CHUNKS);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        CU_ASSERT_EQUAL(
            blob_receiver_new_part(&fixture.ref, wrong[i][0], wrong[i][1], BYTES, &receiver),
            STATUS_OUT_OF_RANGE);
        CU_ASSERT_PTR_NULL(receiver);
    }
    CU_ASSERT_EQUAL(blob_receiver_new_part(&fixture.ref, 0, 1, BYTES - 1, &receiver), STATUS_FULL);
    blob_receiver_free(fixture.receiver);
}

static void list_refuses_wrong_chunks_from_whatever_sender(void)
{
    static struct fixture fixture;
    begin(&fixture, 3, 4);
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS), STATUS_OK);
    grant_all(&fixture);
    CU_ASSERT_EQUAL(deliver_other(&fixture, 4), STATUS_CORRUPT);
    CU_ASSERT_PTR_NULL(blob_receiver_chunk(fixture.receiver, 4));
    for (uint32_t i = 3; i < 7; i++) {
        CU_ASSERT_EQUAL(deliver(&fixture, i), STATUS_OK);
    }
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_OK);
    blob_receiver_free(fixture.receiver);
}

static void list_of_another_blob_is_corrupt_and_changes_nothing(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    fixture.hashes[9].bytes[0] ^= 1;
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS),
                    STATUS_CORRUPT);
    CU_ASSERT_EQUAL(blob_hashes_check(&fixture.ref, fixture.hashes[0].bytes, sizeof fixture.hashes),
                    STATUS_CORRUPT);
    fixture.hashes[9].bytes[0] ^= 1;
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS - 1),
                    STATUS_CORRUPT);
    CU_ASSERT_EQUAL(
        blob_hashes_check(&fixture.ref, fixture.hashes[0].bytes, sizeof fixture.hashes - 1),
        STATUS_BAD_SHAPE);
    grant_all(&fixture);
    CU_ASSERT_EQUAL(deliver_other(&fixture, 4), STATUS_OK); /* as without a list */
    blob_receiver_free(fixture.receiver);
}

static void list_that_comes_later_drops_what_does_not_fit(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    grant_all(&fixture);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        CU_ASSERT_EQUAL(i == 5 || i == 39 ? deliver_other(&fixture, i) : deliver(&fixture, i),
                        STATUS_OK);
    }
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS), STATUS_OK);
    CU_ASSERT_FALSE(blob_receiver_complete(fixture.receiver));
    CU_ASSERT_EQUAL(blob_receiver_received_bytes(fixture.receiver), BYTES - CHUNK - 70);
    struct blob_ask ask = ask_of(0, 0, CHUNKS, 8); /* it had granted them all */
    CU_ASSERT_TRUE(asks(&fixture, &ask, 5, 1));
    CU_ASSERT_TRUE(asks(&fixture, &ask, 39, 1));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &ask));
    CU_ASSERT_EQUAL(deliver(&fixture, 5), STATUS_OK);
    CU_ASSERT_EQUAL(deliver_other(&fixture, 39), STATUS_CORRUPT);
    CU_ASSERT_EQUAL(deliver(&fixture, 39), STATUS_OK);
    CU_ASSERT_EQUAL(blob_receiver_verify(fixture.receiver), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(blob_receiver_data(fixture.receiver), fixture.data, BYTES), 0);
    blob_receiver_free(fixture.receiver);
}

static void list_is_a_blob_that_the_same_root_proves(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    struct blob_ref ref = blob_hashes_ref(&fixture.ref);
    CU_ASSERT_EQUAL(ref.kind, BLOB_HASHES);
    CU_ASSERT_EQUAL(ref.size_bytes, CHUNKS * DIGEST_BYTES);
    enum blob_kind kind = BLOB_SNAPSHOT;
    uint64_t id = 0;
    CU_ASSERT_TRUE(blob_hashes_of(ref.id, &kind, &id));
    CU_ASSERT_EQUAL(kind, BLOB_UPDATE);
    CU_ASSERT_EQUAL(id, 7);
    CU_ASSERT_FALSE(blob_hashes_of(4 * 7, &kind, &id));
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        struct blob_receiver *list = NULL;
        struct wire_grant grant;
        struct blob_chunk_header header;
        const uint8_t *chunk = NULL;
        fixture.hashes[39].bytes[31] ^= (uint8_t)damaged;
        CU_ASSERT_EQUAL_FATAL(blob_receiver_new(&ref, ref.size_bytes, &list), STATUS_OK);
        CU_ASSERT_TRUE(blob_receiver_grant(list, 8, 0, RETRY_MS, &grant));
        CU_ASSERT_EQUAL_FATAL(blob_chunk(&ref, fixture.hashes[0].bytes, NULL, 0, &header, &chunk),
                              STATUS_OK);
        CU_ASSERT_EQUAL(blob_receiver_add(list, &header, chunk, header.size_bytes), STATUS_OK);
        CU_ASSERT_EQUAL(blob_receiver_verify(list), damaged ? STATUS_CORRUPT : STATUS_OK);
        blob_receiver_free(list);
    }
    blob_receiver_free(fixture.receiver);
}

static void sources_are_granted_their_ranges_and_windows(void)
{
    static struct fixture fixture;
    begin(&fixture, 2, 38);
    struct blob_ask first = ask_of(1, 0, 20, 5);
    struct blob_ask second = ask_of(2, 20, UINT32_MAX, 7);
    CU_ASSERT_TRUE(asks(&fixture, &first, 2, 5)); /* 0 and 1 are not wanted */
    CU_ASSERT_TRUE(asks_nothing(&fixture, &first));
    CU_ASSERT_TRUE(asks(&fixture, &second, 20, 7)); /* a window of its own */
    CU_ASSERT_TRUE(asks_nothing(&fixture, &second));
    CU_ASSERT_EQUAL(deliver(&fixture, 3), STATUS_OK);
    CU_ASSERT_TRUE(asks_nothing(&fixture, &second));
    CU_ASSERT_TRUE(asks(&fixture, &first, 7, 1));
    struct blob_ask outside = ask_of(3, 0, 2, 9);
    CU_ASSERT_TRUE(asks_nothing(&fixture, &outside));
    outside = ask_of(3, UINT32_MAX, UINT32_MAX, 9);
    CU_ASSERT_TRUE(asks_nothing(&fixture, &outside));
    struct blob_ask all = ask_of(0, 0, UINT32_MAX, 200); /* what is left in between */
    CU_ASSERT_TRUE(asks(&fixture, &all, 8, 12));
    CU_ASSERT_TRUE(asks(&fixture, &all, 27, 13));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &all));
    blob_receiver_free(fixture.receiver);
}

static void chunks_of_a_source_that_failed_are_granted_elsewhere(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    struct blob_ask owner = ask_of(1, 10, 10, 6);
    struct blob_ask coordinator = ask_of(0, 10, 10, 20);
    CU_ASSERT_TRUE(asks(&fixture, &owner, 10, 6));
    CU_ASSERT_TRUE(asks(&fixture, &coordinator, 16, 4));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &coordinator));
    CU_ASSERT_EQUAL(deliver(&fixture, 12), STATUS_OK);
    blob_receiver_forget_source(fixture.receiver, 1);
    CU_ASSERT_TRUE(asks(&fixture, &coordinator, 10, 2));
    CU_ASSERT_TRUE(asks(&fixture, &coordinator, 13, 3));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &coordinator));
    CU_ASSERT_EQUAL(deliver(&fixture, 11), STATUS_OK); /* late, from the first one */
    blob_receiver_forget_source(fixture.receiver, 1);  /* nothing is its own any more */
    CU_ASSERT_TRUE(asks_nothing(&fixture, &owner));
    blob_receiver_free(fixture.receiver);
}

static void overdue_chunks_go_to_who_asks_if_its_window_has_room(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    struct blob_ask slow = ask_of(1, 0, 10, 10);
    struct blob_ask fast = ask_of(2, 0, 10, 4);
    CU_ASSERT_TRUE(asks(&fixture, &slow, 0, 10));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &fast));
    CU_ASSERT_EQUAL(deliver(&fixture, 1), STATUS_OK);
    CU_ASSERT_TRUE(asks_nothing(&fixture, &fast));
    fast.now_ms = RETRY_MS - 1;
    CU_ASSERT_TRUE(asks_nothing(&fixture, &fast));
    slow.now_ms = fast.now_ms = RETRY_MS;
    CU_ASSERT_TRUE(asks(&fixture, &fast, 0, 1));
    CU_ASSERT_TRUE(asks(&fixture, &fast, 2, 3)); /* four are outstanding from it */
    CU_ASSERT_TRUE(asks_nothing(&fixture, &fast));
    CU_ASSERT_TRUE(asks(&fixture, &slow, 5, 5)); /* its own, again */
    CU_ASSERT_TRUE(asks_nothing(&fixture, &slow));
    blob_receiver_free(fixture.receiver);
}

/* A slow line takes longer for what is under way than anybody waits for a lost chunk. */
static void chunks_are_not_overdue_while_their_source_delivers(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    struct blob_ask slow = ask_of(1, 0, 10, 10);
    struct blob_ask dead = ask_of(2, 10, 10, 4);
    struct blob_ask other = ask_of(3, 0, 20, 20);
    CU_ASSERT_TRUE(asks(&fixture, &slow, 0, 10));
    CU_ASSERT_TRUE(asks(&fixture, &dead, 10, 4));
    for (uint32_t i = 0; i < 5; i++) {
        slow.now_ms += RETRY_MS - 1;
        CU_ASSERT_EQUAL(deliver(&fixture, i), STATUS_OK);
        CU_ASSERT_TRUE(asks_nothing(&fixture, &slow));
    }
    other.now_ms = slow.now_ms; /* what the other one owes is overdue long since */
    CU_ASSERT_TRUE(asks(&fixture, &other, 10, 4));
    CU_ASSERT_TRUE(asks(&fixture, &other, 14, 6));
    CU_ASSERT_TRUE(asks_nothing(&fixture, &other));
    slow.now_ms += RETRY_MS - 1;
    CU_ASSERT_TRUE(asks_nothing(&fixture, &slow));
    slow.now_ms++;
    CU_ASSERT_TRUE(asks(&fixture, &slow, 5, 5));
    blob_receiver_free(fixture.receiver);
}

static void windows_are_refilled_in_batches(void)
{
    static struct fixture fixture;
    begin(&fixture, 0, CHUNKS);
    struct blob_ask ask = ask_of(0, 0, CHUNKS, 32);
    CU_ASSERT_TRUE(asks(&fixture, &ask, 0, 32));
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(deliver(&fixture, i), STATUS_OK);
        CU_ASSERT_TRUE(asks_nothing(&fixture, &ask));
    }
    CU_ASSERT_EQUAL(deliver(&fixture, 3), STATUS_OK);
    CU_ASSERT_TRUE(asks(&fixture, &ask, 32, 4));
    struct blob_ref ref = {.size_bytes = 1, .chunk_bytes = 33792};
    CU_ASSERT_EQUAL(blob_window(&ref, BLOB_WINDOW_BYTES), 248);
    CU_ASSERT_EQUAL(blob_window(&ref, 1), 1);
    ref.chunk_bytes = 1;
    CU_ASSERT_EQUAL(blob_window(&ref, BLOB_WINDOW_BYTES), BLOB_WINDOW_MAX);
    blob_receiver_free(fixture.receiver);
}

/* A third of the chunks is lost, a sixth is damaged. */
static void deliver_or_lose(struct fixture *self, const struct wire_grant *grant,
                            struct random *random)
{
    for (uint32_t i = 0; i < grant->chunk_count; i++) {
        uint32_t index = grant->first_chunk + i;
        uint64_t fate = random_below(random, 6);
        if (fate == 0 && blob_receiver_chunk(self->receiver, index) == NULL) {
            CU_ASSERT_EQUAL(deliver_other(self, index), STATUS_CORRUPT);
        } else if (fate > 2) {
            CU_ASSERT_EQUAL(deliver(self, index), STATUS_OK);
        }
    }
}

static bool lies_in(const struct wire_grant *grant, const struct blob_ask *ask)
{
    return grant->first_chunk >= ask->first_chunk &&
           grant->first_chunk + grant->chunk_count <= ask->first_chunk + ask->chunk_count;
}

/* Three sources whose ranges overlap; at times one of them fails. */
static void many_sources_deliver_the_whole_in_the_end(void)
{
    static struct fixture fixture;
    static const uint32_t ranges[3][2] = {{0, CHUNKS}, {0, 25}, {15, 25}};
    struct random random;
    struct wire_grant grant;
    random_init(&random, 77, 0);
    begin(&fixture, 0, CHUNKS);
    CU_ASSERT_EQUAL(blob_receiver_use_hashes(fixture.receiver, fixture.hashes, CHUNKS), STATUS_OK);
    for (unsigned round = 0; round < 400 && !blob_receiver_complete(fixture.receiver); round++) {
        uint32_t source = (uint32_t)random_below(&random, 3);
        struct blob_ask ask = ask_of(source, ranges[source][0], ranges[source][1], 4);
        ask.now_ms = (uint64_t)round * RETRY_MS / 8;
        while (blob_receiver_grant_from(fixture.receiver, &ask, &grant)) {
            CU_ASSERT_TRUE(lies_in(&grant, &ask));
            deliver_or_lose(&fixture, &grant, &random);
        }
        if (random_below(&random, 8) == 0) {
            blob_receiver_forget_source(fixture.receiver, source);
        }
    }
    CU_ASSERT_TRUE_FATAL(blob_receiver_complete(fixture.receiver));
    CU_ASSERT_EQUAL(memcmp(blob_receiver_data(fixture.receiver), fixture.data, BYTES), 0);
    blob_receiver_free(fixture.receiver);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(part_takes_its_own_chunks_alone),
        SUITE_TEST(parts_that_do_not_exist_are_out_of_range),
        SUITE_TEST(list_refuses_wrong_chunks_from_whatever_sender),
        SUITE_TEST(list_of_another_blob_is_corrupt_and_changes_nothing),
        SUITE_TEST(list_that_comes_later_drops_what_does_not_fit),
        SUITE_TEST(list_is_a_blob_that_the_same_root_proves),
        SUITE_TEST(sources_are_granted_their_ranges_and_windows),
        SUITE_TEST(chunks_of_a_source_that_failed_are_granted_elsewhere),
        SUITE_TEST(overdue_chunks_go_to_who_asks_if_its_window_has_room),
        SUITE_TEST(chunks_are_not_overdue_while_their_source_delivers),
        SUITE_TEST(windows_are_refilled_in_batches),
        SUITE_TEST(many_sources_deliver_the_whole_in_the_end),
    };
    return suite_run("blob_receiver", tests, sizeof tests / sizeof tests[0]);
}
