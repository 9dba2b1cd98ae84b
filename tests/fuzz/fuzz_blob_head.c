/* Heads of chunks and their proofs: from outside, and made here, to be proven or spoilt. */
#include "proto/blob_tree.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { LEAVES_MAX = 70, TREE_MAX = 3 * LEAVES_MAX, CHUNK_BYTES = 8 };

static void read_head(struct fuzz_bytes in)
{
    struct blob_chunk_header header;
    uint8_t again[BLOB_HEADER_BYTES];
    struct digest root = {{0}};
    uint32_t chunk_count = fuzz_take_u32(&in);
    if (blob_header_read(in.data, in.size_bytes, &header) == STATUS_OK) {
        blob_header_write(&header, again);
        CHECK(memcmp(again, in.data, sizeof again) == 0);
    }
    /* Nobody knows what hashes to zeros. */
    CHECK(!blob_tree_proves(&root, chunk_count, in.data, in.size_bytes));
}

/* The input is the blob. */
static void prove(struct fuzz_bytes in)
{
    struct digest tree[TREE_MAX];
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEAD_MAX];
    const uint8_t *chunk = NULL;
    uint32_t index = fuzz_take_u8(&in);
    uint32_t spoilt = fuzz_take_u32(&in);
    if (in.size_bytes == 0 || in.size_bytes > (size_t)LEAVES_MAX * CHUNK_BYTES) {
        return;
    }
    struct blob_ref ref =
        blob_describe(BLOB_CONTRIBUTION, 3, in.data, in.size_bytes, CHUNK_BYTES, tree);
    uint32_t count = blob_chunk_count(ref.size_bytes, ref.chunk_bytes);
    size_t nodes = blob_tree_size(count);
    struct digest streamed = blob_tree_root(tree, count);
    blob_tree_grow(tree, count);
    CHECK(digest_equal(&tree[nodes - 1], &ref.root) && digest_equal(&streamed, &ref.root));
    if (blob_chunk(&ref, in.data, index % 2 == 0 ? tree : NULL, index, &header, &chunk) !=
        STATUS_OK) {
        CHECK(index >= count);
        return;
    }
    size_t head_bytes = blob_tree_head(&header, tree, count, head);
    CHECK(blob_tree_proves(&ref.root, count, head, head_bytes));
    CHECK(!blob_tree_proves(&ref.root, count, head, head_bytes - 1));
    CHECK(!blob_tree_proves(&ref.root, index, head, head_bytes));
    CHECK(count == 1 ||
          !blob_tree_proves(&ref.root, count, head, blob_tree_head(&header, NULL, count, head)));
    (void)blob_tree_head(&header, tree, count, head);
    head[BLOB_HEADER_BYTES - DIGEST_BYTES + spoilt / 8 % (head_bytes - DIGEST_BYTES)] ^=
        (uint8_t)(1U << spoilt % 8);
    CHECK(!blob_tree_proves(&ref.root, count, head, head_bytes));
}

/* A list of hashes, and whose it is. */
static void read_hashes(struct fuzz_bytes in)
{
    struct digest hashes[LEAVES_MAX];
    enum blob_kind kind = BLOB_SUM;
    uint64_t id = 0;
    uint64_t of = fuzz_take_u64(&in);
    if (blob_hashes_of(of, &kind, &id)) {
        struct blob_ref ref = {.kind = kind, .id = id, .size_bytes = 1, .chunk_bytes = 1};
        CHECK(blob_hashes_ref(&ref).id == of);
    }
    if (in.size_bytes == 0 || in.size_bytes > (size_t)LEAVES_MAX * CHUNK_BYTES) {
        return;
    }
    struct blob_ref ref =
        blob_describe(BLOB_UPDATE, id, in.data, in.size_bytes, CHUNK_BYTES, hashes);
    struct blob_ref list = blob_hashes_ref(&ref);
    CHECK(blob_hashes_check(&ref, (const uint8_t *)hashes, list.size_bytes) == STATUS_OK);
    CHECK(blob_hashes_check(&ref, in.data, in.size_bytes) != STATUS_OK);
    hashes[of % (list.size_bytes / DIGEST_BYTES)].bytes[of % DIGEST_BYTES] ^= 1;
    CHECK(blob_hashes_check(&ref, (const uint8_t *)hashes, list.size_bytes) == STATUS_CORRUPT);
}

void fuzz_parse(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_bytes in = {data, size_bytes};
    uint8_t what = fuzz_take_u8(&in) % 3;
    fuzz_memory_begin();
    (what == 0 ? read_head : what == 1 ? prove : read_hashes)(in);
    fuzz_memory_end(size_bytes, 0);
}
