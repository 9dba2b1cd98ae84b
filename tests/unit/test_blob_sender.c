#include "common/random.h"
#include "proto/blob_receiver.h"
#include "proto/blob_sender.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

static struct blob_sender *make_sender(uint32_t chunk_count)
{
    struct blob_sender *sender = NULL;
    CU_ASSERT_EQUAL_FATAL(blob_sender_new(BLOB_UPDATE, 7, chunk_count, &sender), STATUS_OK);
    return sender;
}

static enum status grant(struct blob_sender *sender, uint32_t first, uint32_t count)
{
    return blob_sender_grant(
        sender, &(struct wire_grant){
                    .kind = BLOB_UPDATE, .id = 7, .first_chunk = first, .chunk_count = count});
}

static bool next_is(const struct blob_sender *sender, uint32_t from, uint32_t expected)
{
    uint32_t index = UINT32_MAX;
    return blob_sender_next(sender, from, &index) && index == expected;
}

static bool has_none(const struct blob_sender *sender, uint32_t from)
{
    uint32_t index = 0;
    return !blob_sender_next(sender, from, &index);
}

static void granted_chunks_come_in_order_and_once(void)
{
    struct blob_sender *sender = make_sender(300);
    CU_ASSERT_EQUAL(blob_sender_kind(sender), BLOB_UPDATE);
    CU_ASSERT_EQUAL(blob_sender_id(sender), 7);
    CU_ASSERT_TRUE(has_none(sender, 0));
    CU_ASSERT_EQUAL(grant(sender, 62, 4), STATUS_OK);
    CU_ASSERT_EQUAL(grant(sender, 299, 1), STATUS_OK);
    CU_ASSERT_EQUAL(grant(sender, 63, 2), STATUS_OK); /* again, and not sent yet */
    CU_ASSERT_EQUAL(blob_sender_pending(sender), 5);
    static const uint32_t order[] = {62, 63, 64, 65, 299};
    for (size_t i = 0; i < 5; i++) {
        CU_ASSERT_TRUE(next_is(sender, 0, order[i]));
        CU_ASSERT_TRUE(next_is(sender, order[i], order[i]));
        blob_sender_sent(sender, order[i]);
        blob_sender_sent(sender, order[i]); /* changes nothing */
        CU_ASSERT_EQUAL(blob_sender_pending(sender), 4 - i);
    }
    CU_ASSERT_TRUE(has_none(sender, 0));
    CU_ASSERT_EQUAL(grant(sender, 5, 1), STATUS_OK); /* behind all that was sent */
    CU_ASSERT_TRUE(next_is(sender, 0, 5));
    blob_sender_free(sender);
    blob_sender_free(NULL);
}

static void chunk_that_is_not_ready_is_passed_over(void)
{
    struct blob_sender *sender = make_sender(200);
    CU_ASSERT_EQUAL(grant(sender, 0, 200), STATUS_OK);
    blob_sender_sent(sender, 1);
    CU_ASSERT_TRUE(next_is(sender, 1, 2)); /* chunk 0 waits */
    blob_sender_sent(sender, 199);
    CU_ASSERT_TRUE(has_none(sender, 199));
    CU_ASSERT_TRUE(has_none(sender, UINT32_MAX));
    CU_ASSERT_TRUE(next_is(sender, 0, 0));
    blob_sender_free(sender);
}

static void grants_of_what_does_not_exist_change_nothing(void)
{
    struct blob_sender *sender = make_sender(65);
    CU_ASSERT_EQUAL(grant(sender, 65, 1), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(grant(sender, 64, 2), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(grant(sender, 0, 66), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(grant(sender, UINT32_MAX, UINT32_MAX), STATUS_OUT_OF_RANGE);
    struct wire_grant other = {.kind = BLOB_SNAPSHOT, .id = 7, .chunk_count = 1};
    CU_ASSERT_EQUAL(blob_sender_grant(sender, &other), STATUS_PROTOCOL);
    other = (struct wire_grant){.kind = BLOB_UPDATE, .id = 8, .chunk_count = 1};
    CU_ASSERT_EQUAL(blob_sender_grant(sender, &other), STATUS_PROTOCOL);
    CU_ASSERT_EQUAL(blob_sender_pending(sender), 0);
    CU_ASSERT_TRUE(has_none(sender, 0));
    CU_ASSERT_EQUAL(grant(sender, 0, 65), STATUS_OK);
    CU_ASSERT_EQUAL(blob_sender_pending(sender), 65);
    blob_sender_free(sender);
}

/* Against a plain array of flags. */
static void random_grants_match_a_plain_list(void)
{
    enum { CHUNKS = 1000 };
    static bool plain[CHUNKS];
    struct blob_sender *sender = make_sender(CHUNKS);
    struct random random;
    random_init(&random, 5, 0);
    for (unsigned round = 0; round < 20000; round++) {
        uint32_t at = (uint32_t)random_below(&random, CHUNKS);
        uint32_t count = 1 + (uint32_t)random_below(&random, CHUNKS - at < 9 ? CHUNKS - at : 9);
        if (random_below(&random, 4) == 0) {
            CU_ASSERT_EQUAL(grant(sender, at, count), STATUS_OK);
            memset(plain + at, true, count);
        }
        uint32_t expected = at;
        while (expected < CHUNKS && !plain[expected]) {
            expected++;
        }
        CU_ASSERT_TRUE_FATAL(expected < CHUNKS ? next_is(sender, at, expected)
                                               : has_none(sender, at));
        if (expected < CHUNKS) {
            blob_sender_sent(sender, expected);
            plain[expected] = false;
        }
    }
    blob_sender_free(sender);
}

static enum status grant_of(struct blob_senders *senders, uint64_t id, uint32_t first,
                            uint32_t count)
{
    const struct wire_grant wish = {
        .kind = BLOB_UPDATE, .id = id, .first_chunk = first, .chunk_count = count};
    return blob_senders_grant(senders, &wish, 10);
}

static bool sends(struct blob_senders *senders, uint64_t id, uint32_t chunk)
{
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    bool good = blob_senders_next(senders, &sender, &index) && blob_sender_id(sender) == id &&
                index == chunk;
    if (good) {
        blob_sender_sent(sender, index);
    }
    return good;
}

static void few_transfers_are_kept_and_the_idle_make_room(void)
{
    struct blob_senders senders;
    struct blob_sender *sender = NULL;
    uint32_t index = 0;
    memset(&senders, 0, sizeof senders);
    CU_ASSERT_FALSE(blob_senders_next(&senders, &sender, &index));
    CU_ASSERT_EQUAL(grant_of(&senders, 1, 9, 2), STATUS_OUT_OF_RANGE);
    for (uint64_t id = 1; id <= BLOB_SENDERS_MAX; id++) {
        CU_ASSERT_EQUAL(grant_of(&senders, id, 2, 1), STATUS_OK);
    }
    CU_ASSERT_EQUAL(grant_of(&senders, 2, 5, 1), STATUS_OK);
    CU_ASSERT_TRUE(sends(&senders, 1, 2));
    CU_ASSERT_EQUAL(grant_of(&senders, 50, 0, 1), STATUS_OK); /* takes the place of 1 */
    CU_ASSERT_TRUE(sends(&senders, 50, 0));
    CU_ASSERT_TRUE(sends(&senders, 2, 2));
    CU_ASSERT_TRUE(sends(&senders, 2, 5));
    blob_senders_drop(&senders, BLOB_UPDATE, 3);
    blob_senders_drop(&senders, BLOB_SNAPSHOT, 4); /* another one */
    CU_ASSERT_TRUE(sends(&senders, 4, 2));
    CU_ASSERT_FALSE(blob_senders_next(&senders, &sender, &index));
    for (uint64_t id = 100; id < 100 + 3 * BLOB_SENDERS_MAX; id++) { /* all busy: bounded still */
        CU_ASSERT_EQUAL(grant_of(&senders, id, 0, 1), STATUS_OK);
    }
    unsigned left = 0;
    while (blob_senders_next(&senders, &sender, &index)) {
        blob_sender_sent(sender, index);
        left++;
    }
    CU_ASSERT_EQUAL(left, BLOB_SENDERS_MAX);
    CU_ASSERT_EQUAL(grant_of(&senders, 1, 0, 10), STATUS_OK);
    blob_senders_clear(&senders);
    CU_ASSERT_FALSE(blob_senders_next(&senders, &sender, &index));
}

/* A receiver with a large window and a queue that takes three chunks a turn: nothing is granted
 * twice, and nothing waits for the retry time. */
static void full_queue_is_continued_without_a_new_grant(void)
{
    enum { CHUNK = 100, COUNT = 200, BYTES = COUNT * CHUNK };
    static uint8_t data[BYTES];
    struct blob_ref ref = blob_describe(BLOB_UPDATE, 7, data, BYTES, CHUNK, NULL);
    struct blob_receiver *receiver = NULL;
    struct blob_sender *sender = make_sender(COUNT);
    struct wire_grant wish;
    unsigned granted = 0;
    unsigned turns = 0;
    CU_ASSERT_EQUAL_FATAL(blob_receiver_new(&ref, BYTES, &receiver), STATUS_OK);
    while (!blob_receiver_complete(receiver) && turns < 2 * COUNT) {
        uint32_t index = 0;
        turns++;
        while (blob_receiver_grant(receiver, 150, 0, 1000, &wish)) {
            CU_ASSERT_EQUAL(blob_sender_grant(sender, &wish), STATUS_OK);
            granted += wish.chunk_count;
        }
        for (int i = 0; i < 3 && blob_sender_next(sender, 0, &index); i++) {
            struct blob_chunk_header header;
            const uint8_t *chunk = NULL;
            CU_ASSERT_EQUAL(blob_chunk(&ref, data, NULL, index, &header, &chunk), STATUS_OK);
            CU_ASSERT_EQUAL(blob_receiver_add(receiver, &header, chunk, CHUNK), STATUS_OK);
            blob_sender_sent(sender, index);
        }
    }
    CU_ASSERT_EQUAL(granted, COUNT);
    CU_ASSERT_EQUAL(turns, (COUNT + 2) / 3);
    CU_ASSERT_EQUAL(blob_receiver_verify(receiver), STATUS_OK);
    blob_receiver_free(receiver);
    blob_sender_free(sender);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(granted_chunks_come_in_order_and_once),
        SUITE_TEST(chunk_that_is_not_ready_is_passed_over),
        SUITE_TEST(grants_of_what_does_not_exist_change_nothing),
        SUITE_TEST(random_grants_match_a_plain_list),
        SUITE_TEST(few_transfers_are_kept_and_the_idle_make_room),
        SUITE_TEST(full_queue_is_continued_without_a_new_grant),
    };
    return suite_run("blob_sender", tests, sizeof tests / sizeof tests[0]);
}
