#include "proto/blob_tree.h"

#include "common/check.h"

#include <string.h>

_Static_assert(BLOB_CHUNKS_MAX == 1 << BLOB_PROOF_MAX, "a proof has room for every level");

/* What is hashed of a pair begins with this, so that a chunk of 64 bytes is no pair. */
static const uint8_t pair_domain[] = "dugnad-pair-1";

static struct digest join(const struct digest *left, const struct digest *right)
{
    struct digest_stream stream;
    digest_begin(&stream);
    digest_update(&stream, pair_domain, sizeof pair_domain - 1);
    digest_update(&stream, left->bytes, DIGEST_BYTES);
    digest_update(&stream, right->bytes, DIGEST_BYTES);
    return digest_end(&stream);
}

static uint32_t half_of(uint32_t count)
{
    return count / 2 + count % 2;
}

size_t blob_tree_size(uint32_t chunk_count)
{
    CHECK(chunk_count > 0 && chunk_count <= BLOB_CHUNKS_MAX);
    size_t size = 1;
    for (uint32_t count = chunk_count; count > 1; count = half_of(count)) {
        size += count;
    }
    return size;
}

void blob_tree_grow(struct digest *tree, uint32_t chunk_count)
{
    struct digest *level = tree;
    for (uint32_t count = chunk_count; count > 1; count = half_of(count)) {
        struct digest *above = level + count;
        for (uint32_t i = 0; i < count / 2; i++) {
            above[i] = join(&level[(size_t)2 * i], &level[(size_t)2 * i + 1]);
        }
        if (count % 2 != 0) {
            above[count / 2] = level[count - 1];
        }
        level = above;
    }
}

void blob_tree_add(struct blob_tree_stream *self, const struct digest *leaf)
{
    struct digest node = *leaf;
    unsigned level = 0;
    CHECK(self->count < BLOB_CHUNKS_MAX);
    for (; (self->count >> level & 1U) != 0; level++) {
        node = join(&self->full[level], &node);
    }
    self->full[level] = node;
    self->count++;
}

struct digest blob_tree_end(const struct blob_tree_stream *self)
{
    unsigned level = 0;
    CHECK(self->count > 0);
    while ((self->count >> level & 1U) == 0) {
        level++;
    }
    struct digest node = self->full[level];
    for (level++; level <= BLOB_PROOF_MAX; level++) {
        if ((self->count >> level & 1U) != 0) {
            node = join(&self->full[level], &node);
        }
    }
    return node;
}

struct digest blob_tree_root(const struct digest *leaves, uint32_t chunk_count)
{
    struct blob_tree_stream stream = {.count = 0};
    for (uint32_t i = 0; i < chunk_count; i++) {
        blob_tree_add(&stream, &leaves[i]);
    }
    return blob_tree_end(&stream);
}

size_t blob_tree_head(const struct blob_chunk_header *header, const struct digest *tree,
                      uint32_t chunk_count, uint8_t out[BLOB_HEAD_MAX])
{
    const struct digest *level = tree;
    uint32_t index = header->index;
    size_t size_bytes = BLOB_HEADER_BYTES;
    CHECK(index < chunk_count);
    blob_header_write(header, out);
    for (uint32_t count = chunk_count; tree != NULL && count > 1; count = half_of(count)) {
        uint32_t sibling = index ^ 1U;
        if (sibling < count) {
            memcpy(out + size_bytes, level[sibling].bytes, DIGEST_BYTES);
            size_bytes += DIGEST_BYTES;
        }
        level += count;
        index /= 2;
    }
    return size_bytes;
}

bool blob_tree_proves(const struct digest *root, uint32_t chunk_count, const uint8_t *head,
                      size_t size_bytes)
{
    struct blob_chunk_header header;
    if (blob_header_read(head, size_bytes, &header) != STATUS_OK || header.index >= chunk_count) {
        return false;
    }
    struct digest node = header.hash;
    uint32_t index = header.index;
    size_t at = BLOB_HEADER_BYTES;
    for (uint32_t count = chunk_count; count > 1; count = half_of(count), index /= 2) {
        struct digest sibling;
        if ((index ^ 1U) >= count) {
            continue;
        }
        if (size_bytes - at < DIGEST_BYTES) {
            return false;
        }
        memcpy(sibling.bytes, head + at, DIGEST_BYTES);
        at += DIGEST_BYTES;
        node = index % 2 == 0 ? join(&node, &sibling) : join(&sibling, &node);
    }
    return at == size_bytes && digest_equal(&node, root);
}
