#include "proto/blob_receiver.h"
#include "proto/blob_tree.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

enum { LEAVES_MAX = 4000, CHUNK = 16 };

static struct digest leaves[LEAVES_MAX];
static struct digest tree[2 * LEAVES_MAX + 32];
static uint8_t head[BLOB_HEAD_MAX + 2 * DIGEST_BYTES];

static void make_leaves(void)
{
    for (uint32_t i = 0; i < LEAVES_MAX; i++) {
        leaves[i] = digest_of(&i, sizeof i);
    }
}

static struct digest pair_of(const struct digest *left, const struct digest *right)
{
    uint8_t bytes[13 + 2 * DIGEST_BYTES];
    memcpy(bytes, "dugnad-pair-1", 13);
    memcpy(bytes + 13, left->bytes, DIGEST_BYTES);
    memcpy(bytes + 13 + DIGEST_BYTES, right->bytes, DIGEST_BYTES);
    return digest_of(bytes, sizeof bytes);
}

/* As RFC 6962 defines it: the left tree is the largest power of two below. */
static struct digest expected_root(const struct digest *from, uint32_t count)
{
    uint32_t left = 1;
    if (count == 1) {
        return from[0];
    }
    while (left * 2 < count) {
        left *= 2;
    }
    struct digest first = expected_root(from, left);
    struct digest second = expected_root(from + left, count - left);
    return pair_of(&first, &second);
}

static void grow(uint32_t count)
{
    CU_ASSERT_FATAL(blob_tree_size(count) <= sizeof tree / sizeof tree[0]);
    memcpy(tree, leaves, count * sizeof tree[0]);
    blob_tree_grow(tree, count);
}

static size_t head_of(uint32_t count, uint32_t index)
{
    const struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                             .id = 7,
                                             .index = index,
                                             .size_bytes = CHUNK,
                                             .hash = leaves[index]};
    return blob_tree_head(&header, tree, count, head);
}

static void every_chunk_is_proved_in_trees_of_every_size(void)
{
    make_leaves();
    for (uint32_t count = 1; count <= LEAVES_MAX; count += count < 70 ? 1 : 1310) {
        struct digest root = expected_root(leaves, count);
        struct digest streamed = blob_tree_root(leaves, count);
        grow(count);
        CU_ASSERT_TRUE(digest_equal(&streamed, &root));
        CU_ASSERT_TRUE(digest_equal(&tree[blob_tree_size(count) - 1], &root));
        unsigned proved = 0;
        for (uint32_t i = 0; i < count; i++) {
            size_t size_bytes = head_of(count, i);
            proved += blob_tree_proves(&root, count, head, size_bytes) ? 1 : 0;
        }
        CU_ASSERT_EQUAL(proved, count);
    }
}

static void whatever_is_changed_proves_nothing(void)
{
    static const uint32_t counts[] = {2, 3, 11, 64};
    make_leaves();
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        uint32_t count = counts[c];
        struct digest root = blob_tree_root(leaves, count);
        grow(count);
        for (uint32_t i = 0; i < count; i++) {
            size_t size_bytes = head_of(count, i);
            unsigned proved = 0;
            for (size_t bit = (size_t)32 * 8; bit < size_bytes * 8; bit++) { /* hash and proof */
                head[bit / 8] ^= (uint8_t)(1U << bit % 8);
                proved += blob_tree_proves(&root, count, head, size_bytes) ? 1 : 0;
                head[bit / 8] ^= (uint8_t)(1U << bit % 8);
            }
            for (uint32_t other = 0; other < 2 * count; other++) { /* the chunk of another place */
                head[4] = (uint8_t)other;
                proved += other != i && blob_tree_proves(&root, count, head, size_bytes) ? 1 : 0;
            }
            head[4] = (uint8_t)i;
            CU_ASSERT_TRUE(blob_tree_proves(&root, count, head, size_bytes));
            CU_ASSERT_FALSE(blob_tree_proves(&leaves[i], count, head, size_bytes));
            uint8_t *less = malloc(size_bytes - DIGEST_BYTES); /* a sanitizer sees a step beyond */
            CU_ASSERT_PTR_NOT_NULL_FATAL(less);
            memcpy(less, head, size_bytes - DIGEST_BYTES);
            proved += blob_tree_proves(&root, count, less, size_bytes - DIGEST_BYTES) ? 1 : 0;
            free(less);
            memcpy(head + size_bytes, root.bytes, DIGEST_BYTES);
            proved += blob_tree_proves(&root, count, head, size_bytes + DIGEST_BYTES) ? 1 : 0;
            CU_ASSERT_EQUAL(proved, 0);
        }
    }
}

/* A proof says how many chunks there are: the same bytes cannot be two blobs. */
static void node_of_the_tree_is_no_chunk(void)
{
    make_leaves();
    grow(4);
    struct digest root = tree[6];
    struct blob_chunk_header header = {
        .kind = BLOB_CONTRIBUTION, .id = 7, .index = 0, .size_bytes = 64, .hash = tree[4]};
    blob_header_write(&header, head);
    memcpy(head + BLOB_HEADER_BYTES, tree[5].bytes, DIGEST_BYTES);
    CU_ASSERT_TRUE(blob_tree_proves(&root, 2, head, BLOB_HEADER_BYTES + DIGEST_BYTES));
    CU_ASSERT_FALSE(blob_tree_proves(&root, 4, head, BLOB_HEADER_BYTES + DIGEST_BYTES));
    uint8_t pair[2 * DIGEST_BYTES];
    memcpy(pair, leaves[0].bytes, DIGEST_BYTES);
    memcpy(pair + DIGEST_BYTES, leaves[1].bytes, DIGEST_BYTES);
    struct digest chunk = digest_of(pair, sizeof pair);
    CU_ASSERT_FALSE(digest_equal(&chunk, &tree[4]));
}

static void heads_of_the_wrong_length_are_refused(void)
{
    struct blob_chunk_header back;
    make_leaves();
    grow(11);
    size_t size_bytes = head_of(11, 3);
    CU_ASSERT_EQUAL(size_bytes, BLOB_HEADER_BYTES + 4 * DIGEST_BYTES);
    for (size_t size = 0; size <= sizeof head; size++) {
        bool whole = size >= BLOB_HEADER_BYTES && size <= BLOB_HEAD_MAX &&
                     (size - BLOB_HEADER_BYTES) % DIGEST_BYTES == 0;
        CU_ASSERT_EQUAL(blob_header_read(head, size, &back), whole ? STATUS_OK : STATUS_PROTOCOL);
    }
    head[1] = BLOB_UPDATE; /* brings no proof */
    CU_ASSERT_EQUAL(blob_header_read(head, BLOB_HEADER_BYTES, &back), STATUS_OK);
    CU_ASSERT_EQUAL(blob_header_read(head, size_bytes, &back), STATUS_PROTOCOL);
    head[1] = BLOB_CONTRIBUTION;
    CU_ASSERT_EQUAL(back.index, 3);
    const struct blob_chunk_header last = {.kind = BLOB_CONTRIBUTION,
                                           .index = BLOB_CHUNKS_MAX - 1,
                                           .size_bytes = CHUNK,
                                           .hash = leaves[0]};
    CU_ASSERT_EQUAL(blob_tree_head(&last, NULL, BLOB_CHUNKS_MAX, head), BLOB_HEADER_BYTES);
    CU_ASSERT_FALSE(blob_tree_proves(&leaves[0], BLOB_CHUNKS_MAX, head, BLOB_HEADER_BYTES));
    CU_ASSERT_FALSE(blob_tree_proves(&leaves[0], BLOB_CHUNKS_MAX - 1, head, BLOB_HEADER_BYTES));
}

/* Who fetches all of a contribution compares it with the same root. */
static void whole_contribution_is_checked_against_the_root_of_its_tree(void)
{
    enum { CHUNKS = 5 };
    uint8_t data[CHUNKS * CHUNK - 3];
    struct wire_grant grant;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    struct blob_ref ref = blob_describe(BLOB_CONTRIBUTION, 7, data, sizeof data, CHUNK, tree);
    struct digest root = expected_root(tree, CHUNKS);
    CU_ASSERT_TRUE(digest_equal(&ref.root, &root));
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        struct blob_receiver *receiver = NULL;
        CU_ASSERT_EQUAL_FATAL(blob_receiver_new(&ref, sizeof data, &receiver), STATUS_OK);
        data[20] ^= (uint8_t)damaged;
        CU_ASSERT_TRUE(blob_receiver_grant(receiver, CHUNKS, 0, 1000, &grant));
        for (uint32_t i = 0; i < CHUNKS; i++) {
            struct blob_chunk_header header;
            const uint8_t *chunk = NULL;
            CU_ASSERT_EQUAL(blob_chunk(&ref, data, NULL, i, &header, &chunk), STATUS_OK);
            CU_ASSERT_EQUAL(blob_receiver_add(receiver, &header, chunk, header.size_bytes),
                            STATUS_OK);
        }
        CU_ASSERT_EQUAL(blob_receiver_verify(receiver), damaged != 0 ? STATUS_CORRUPT : STATUS_OK);
        blob_receiver_free(receiver);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(every_chunk_is_proved_in_trees_of_every_size),
        SUITE_TEST(whatever_is_changed_proves_nothing),
        SUITE_TEST(node_of_the_tree_is_no_chunk),
        SUITE_TEST(heads_of_the_wrong_length_are_refused),
        SUITE_TEST(whole_contribution_is_checked_against_the_root_of_its_tree),
    };
    return suite_run("blob_tree", tests, sizeof tests / sizeof tests[0]);
}
