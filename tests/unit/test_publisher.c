#include "coordinator/server/publisher.h"
#include "proto/blob_receiver.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES = 64, UPDATE_BYTES = 66 };

static void publish(struct publisher *publisher, uint64_t step)
{
    struct wire_committed committed = {
        .step = step, .loss = (double)step, .tokens = 5, .codec = CODEC_MX8};
    memset(publisher_next_update(publisher), (int)(step % 251), UPDATE_BYTES);
    publisher_add(publisher, &committed);
    CU_ASSERT_EQUAL(committed.update.kind, BLOB_UPDATE);
    CU_ASSERT_EQUAL(committed.update.id, step + 1);
    CU_ASSERT_EQUAL(committed.update.size_bytes, UPDATE_BYTES);
}

/* Steps [first, end) are kept whole, others are not. */
static void assert_kept(const struct publisher *publisher, uint64_t first, uint64_t end)
{
    for (uint64_t step = 0; step < end + 3; step++) {
        bool expected = step >= first && step < end;
        struct publisher_blob blob = {.data = NULL};
        const struct wire_committed *committed = publisher_committed(publisher, step);
        CU_ASSERT_EQUAL(committed != NULL, expected);
        CU_ASSERT_EQUAL(publisher_find(publisher, BLOB_UPDATE, step + 1, &blob), expected);
        if (expected && committed != NULL && blob.data != NULL) {
            CU_ASSERT_EQUAL(committed->step, step);
            CU_ASSERT(committed->loss == (double)step);
            CU_ASSERT_EQUAL(committed->codec, CODEC_MX8);
            CU_ASSERT_EQUAL(blob.ref.id, step + 1);
            CU_ASSERT_EQUAL(blob.data[UPDATE_BYTES - 1], step % 251);
            struct blob_ref again = blob_describe(BLOB_UPDATE, step + 1, blob.data, UPDATE_BYTES,
                                                  blob.ref.chunk_bytes, NULL);
            CU_ASSERT_EQUAL(blob.ref.chunk_bytes,
                            codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES));
            CU_ASSERT_TRUE(digest_equal(&again.root, &committed->update.root));
            CU_ASSERT_TRUE(digest_equal(&again.root, &blob.ref.root));
        }
    }
}

static void ring_of_updates_drops_the_oldest(void)
{
    struct publisher *publisher = NULL;
    CU_ASSERT_EQUAL_FATAL(publisher_new(VALUES, CODEC_MX8, &publisher), STATUS_OK);
    assert_kept(publisher, 0, 0);
    for (uint64_t step = 0; step < PUBLISHER_UPDATES_MAX; step++) {
        publish(publisher, step);
    }
    assert_kept(publisher, 0, PUBLISHER_UPDATES_MAX);
    for (uint64_t step = PUBLISHER_UPDATES_MAX; step < PUBLISHER_UPDATES_MAX + 70; step++) {
        publish(publisher, step);
    }
    assert_kept(publisher, 70, PUBLISHER_UPDATES_MAX + 70);
    (void)publisher_next_update(publisher); /* being filled: the oldest is gone, also when asked */
    (void)publisher_next_update(publisher); /* for twice */
    assert_kept(publisher, 71, PUBLISHER_UPDATES_MAX + 70);
    struct publisher_blob blob;
    CU_ASSERT_FALSE(publisher_find(publisher, BLOB_UPDATE, 0, &blob));
    CU_ASSERT_FALSE(publisher_find(publisher, BLOB_CONTRIBUTION, 100, &blob));
    CU_ASSERT_FALSE(publisher_find(publisher, BLOB_SNAPSHOT, 0, &blob)); /* none was asked */
    publisher_free(publisher);
}

static void large_updates_are_kept_four_at_a_time(void)
{
    struct publisher *publisher = NULL;
    CU_ASSERT_EQUAL_FATAL(publisher_new(((size_t)65 << 20) / sizeof(float), CODEC_FP32, &publisher),
                          STATUS_OK);
    for (uint64_t step = 0; step < 5; step++) {
        struct wire_committed committed = {.step = step, .codec = CODEC_FP32};
        publisher_next_update(publisher)[0] = (uint8_t)step;
        publisher_add(publisher, &committed);
    }
    CU_ASSERT_PTR_NULL(publisher_committed(publisher, 0));
    for (uint64_t step = 1; step < 5; step++) {
        struct publisher_blob blob;
        CU_ASSERT_TRUE(publisher_find(publisher, BLOB_UPDATE, step + 1, &blob));
        CU_ASSERT_EQUAL(blob.data[0], step);
    }
    publisher_free(publisher);
}

static void snapshot_stays_while_the_parameters_go_on(void)
{
    struct publisher *publisher = NULL;
    float params[VALUES] = {1.5F};
    float first[VALUES] = {1.5F};
    CU_ASSERT_EQUAL_FATAL(publisher_new(VALUES, CODEC_MX8, &publisher), STATUS_OK);
    struct blob_ref ref = publisher_snapshot(publisher, params, 10);
    CU_ASSERT_EQUAL(ref.kind, BLOB_SNAPSHOT);
    CU_ASSERT_EQUAL(ref.id, 10);
    CU_ASSERT_EQUAL(ref.size_bytes, sizeof params);
    uint64_t version = 10;
    uint64_t snapshot_version = 10;
    unsigned renewals = 0;
    while (version < 200) {
        publish(publisher, version++);
        params[version % VALUES] += 0.25F;
        struct publisher_blob found;
        ref = publisher_snapshot(publisher, params, version);
        CU_ASSERT_TRUE(publisher_find(publisher, BLOB_SNAPSHOT, ref.id, &found));
        CU_ASSERT_TRUE(digest_equal(&found.ref.root, &ref.root));
        if (ref.id == version) {
            renewals++;
            CU_ASSERT_FALSE(publisher_find(publisher, BLOB_SNAPSHOT, snapshot_version, &found));
            memcpy(first, params, sizeof first);
        } else {
            CU_ASSERT_EQUAL(ref.id, snapshot_version);
        }
        snapshot_version = ref.id;
        CU_ASSERT_EQUAL(memcmp(found.data, first, sizeof first), 0);
        for (uint64_t step = ref.id; step < version; step++) {
            CU_ASSERT_PTR_NOT_NULL(publisher_committed(publisher, step));
        }
    }
    /* At first with every update (few are kept), later at every 33rd. */
    CU_ASSERT_TRUE(renewals >= 4 && renewals <= 12);
    publisher_free(publisher);
}

/* Room is for the finest codec; coarser ones take less of it, and one follows on the other. */
static void updates_of_several_codecs_are_kept_side_by_side(void)
{
    static const enum codec codecs[] = {CODEC_FP32, CODEC_MX4, CODEC_MX4, CODEC_BF16};
    struct publisher *publisher = NULL;
    CU_ASSERT_EQUAL_FATAL(publisher_new(VALUES, CODEC_FP32, &publisher), STATUS_OK);
    for (uint64_t step = 0; step < 4; step++) {
        struct wire_committed committed = {.step = step, .codec = codecs[step]};
        memset(publisher_next_update(publisher), 1 + (int)step, VALUES * sizeof(float));
        publisher_add(publisher, &committed);
    }
    for (uint64_t step = 0; step < 4; step++) {
        size_t size_bytes = codec_encoded_bytes(codecs[step], VALUES);
        const struct wire_committed *committed = publisher_committed(publisher, step);
        struct publisher_blob blob;
        CU_ASSERT_PTR_NOT_NULL_FATAL(committed);
        CU_ASSERT_TRUE_FATAL(publisher_find(publisher, BLOB_UPDATE, step + 1, &blob));
        struct blob_ref again =
            blob_describe(BLOB_UPDATE, step + 1, blob.data, size_bytes,
                          (uint32_t)codec_encoded_bytes(codecs[step], CODEC_CHUNK_VALUES), NULL);
        CU_ASSERT_EQUAL(committed->codec, codecs[step]);
        CU_ASSERT_EQUAL(blob.ref.size_bytes, size_bytes);
        CU_ASSERT_EQUAL(blob.ref.chunk_bytes, again.chunk_bytes);
        CU_ASSERT_TRUE(digest_equal(&blob.ref.root, &again.root));
        CU_ASSERT_EQUAL(blob.data[0], 1 + step);
        CU_ASSERT_EQUAL(blob.data[size_bytes - 1], 1 + step);
    }
    publisher_free(publisher);
}

/* Fetched from the publisher as a stranger would, chunk by chunk. */
static void fetch(const struct publisher *publisher, enum blob_kind kind, uint64_t id,
                  const struct blob_ref *ref, struct blob_receiver **out)
{
    struct publisher_blob blob;
    struct wire_grant grant;
    CU_ASSERT_TRUE_FATAL(publisher_find(publisher, kind, id, &blob));
    CU_ASSERT_EQUAL_FATAL(blob_receiver_new(ref, ref->size_bytes, out), STATUS_OK);
    while (blob_receiver_grant(*out, 4, 0, 1000, &grant)) {
        for (uint32_t i = 0; i < grant.chunk_count; i++) {
            struct blob_chunk_header header;
            const uint8_t *chunk = NULL;
            CU_ASSERT_EQUAL_FATAL(blob_chunk(&blob.ref, blob.data, blob.hashes,
                                             grant.first_chunk + i, &header, &chunk),
                                  STATUS_OK);
            CU_ASSERT_EQUAL(blob_receiver_add(*out, &header, chunk, header.size_bytes), STATUS_OK);
        }
    }
    CU_ASSERT_EQUAL(blob_receiver_verify(*out), STATUS_OK);
}

static void hashes_of_updates_and_snapshots_can_be_fetched(void)
{
    enum { MANY = 3 * CODEC_CHUNK_VALUES + 64 };
    struct publisher *publisher = NULL;
    float *params = calloc(MANY, sizeof *params);
    CU_ASSERT_PTR_NOT_NULL_FATAL(params);
    CU_ASSERT_EQUAL_FATAL(publisher_new(MANY, CODEC_BF16, &publisher), STATUS_OK);
    struct wire_committed committed = {.step = 6, .codec = CODEC_BF16};
    for (size_t i = 0; i < MANY * sizeof(uint16_t); i++) {
        publisher_next_update(publisher)[i] = (uint8_t)(i >> 7U);
    }
    publisher_add(publisher, &committed);
    const struct blob_ref refs[] = {committed.update, publisher_snapshot(publisher, params, 7)};
    for (size_t i = 0; i < 2; i++) {
        struct blob_ref list_ref = blob_hashes_ref(&refs[i]);
        struct blob_receiver *list = NULL;
        struct blob_receiver *whole = NULL;
        CU_ASSERT_EQUAL(list_ref.size_bytes, 4 * DIGEST_BYTES);
        fetch(publisher, list_ref.kind, list_ref.id, &list_ref, &list);
        fetch(publisher, refs[i].kind, refs[i].id, &refs[i], &whole);
        const struct digest *hashes = (const struct digest *)(const void *)blob_receiver_data(list);
        CU_ASSERT_EQUAL(blob_receiver_use_hashes(whole, hashes, 4), STATUS_OK);
        CU_ASSERT_TRUE(blob_receiver_complete(whole));
        blob_receiver_free(list);
        blob_receiver_free(whole);
    }
    struct publisher_blob blob;
    uint64_t gone = blob_hashes_ref(&refs[1]).id + 4;
    CU_ASSERT_FALSE(publisher_find(publisher, BLOB_HASHES, gone, &blob));
    CU_ASSERT_FALSE(publisher_find(publisher, BLOB_HASHES, 0, &blob));
    publisher_free(publisher);
    free(params);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(ring_of_updates_drops_the_oldest),
        SUITE_TEST(updates_of_several_codecs_are_kept_side_by_side),
        SUITE_TEST(large_updates_are_kept_four_at_a_time),
        SUITE_TEST(snapshot_stays_while_the_parameters_go_on),
        SUITE_TEST(hashes_of_updates_and_snapshots_can_be_fetched),
    };
    return suite_run("publisher", tests, sizeof tests / sizeof tests[0]);
}
