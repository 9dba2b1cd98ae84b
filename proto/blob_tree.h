/* blob_tree - proves a single chunk of a contribution against its root.
 *
 * The root of a contribution is that of a binary tree whose leaves are the hashes of its chunks:
 * each level pairs the nodes of the one below, and the last of an odd number goes up as it is (the
 * shape of RFC 6962, section 2.1). A chunk travels with its proof, the siblings on its way up, at
 * most 20 of them. So whoever knows the root and how many chunks there are needs nothing else to
 * know that a chunk is what was promised: no list, no memory, no chunk of before.
 *
 * Pure. Thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_BLOB_TREE_H
#define DUGNAD_PROTO_BLOB_TREE_H

#include "proto/blob.h"

/* Digests of a tree with chunk_count leaves, 0 < chunk_count <= BLOB_CHUNKS_MAX (CHECKed): the
 * leaves, then level by level, the root last. */
size_t blob_tree_size(uint32_t chunk_count);

/* Fills in what is above the leaves of tree (blob_tree_size()). */
void blob_tree_grow(struct digest *tree, uint32_t chunk_count);

/* The root over leaves (chunk_count) alone. */
struct digest blob_tree_root(const struct digest *leaves, uint32_t chunk_count);

/* The root over leaves that come one by one; a zeroed one has none. At least one must come before
 * the end (CHECKed). */
struct blob_tree_stream {
    uint32_t count;
    struct digest full[BLOB_PROOF_MAX + 1]; /* bit i of count is set: a whole tree of 2^i leaves */
};
void blob_tree_add(struct blob_tree_stream *self, const struct digest *leaf);
struct digest blob_tree_end(const struct blob_tree_stream *self);

/* The head of chunk `index` as blob_header_write() makes it, with its proof behind it; returns its
 * bytes. `tree` as blob_tree_grow() left it, or NULL: there is no proof then. */
size_t blob_tree_head(const struct blob_chunk_header *header, const struct digest *tree,
                      uint32_t chunk_count, uint8_t out[BLOB_HEAD_MAX]);

/* Whether the hash in a head from outside, which blob_header_read() has read, is the leaf at its
 * index of the tree with this root and chunk_count > 0 leaves. Whether the body has that hash is
 * the caller's to see. */
MUST_CHECK bool blob_tree_proves(const struct digest *root, uint32_t chunk_count,
                                 const uint8_t *head, size_t size_bytes);

#endif
