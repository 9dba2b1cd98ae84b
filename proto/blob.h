/* blob - large bytes in chunks: resumable, hash-checked, paced by the receiver.
 *
 * A blob is cut into chunks of the ref's chunk_bytes (the last may be shorter). The receiver
 * grants chunks, at most a window at a time (blob_receiver.h); the sender sends only what was
 * granted (blob_sender.h). Each chunk carries its BLAKE2b hash, and the blob's root is the hash
 * over those hashes in order, so damage is seen at the chunk and the whole is what was promised.
 * Who needs that promise of every chunk by itself fetches the list of hashes first: it is a blob
 * too, and the same root proves it. A contribution, of which each receiver takes a few chunks, has
 * no such list: its root is that of a tree, and each chunk brings its proof (blob_tree.h).
 *
 * Pure: no sockets or clock. Thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_BLOB_H
#define DUGNAD_PROTO_BLOB_H

#include "proto/wire.h"

enum {
    BLOB_CHUNKS_MAX = 1 << 20,
    BLOB_HASHES_CHUNK_BYTES = 128 * 1024, /* 4096 hashes */
    BLOB_HEADER_BYTES = 64,
    BLOB_PROOF_MAX = 20, /* digests behind the header of a contribution's chunk */
    BLOB_HEAD_MAX = BLOB_HEADER_BYTES + BLOB_PROOF_MAX * DIGEST_BYTES
};

struct blob_chunk_header {
    enum blob_kind kind;
    uint64_t id;
    uint32_t index;
    uint32_t size_bytes;
    struct digest hash;
};

/* The head of a chunk message, and back: of a contribution's chunk, what the proof behind it says
 * is not looked at. Errors of the reader: PROTOCOL. */
void blob_header_write(const struct blob_chunk_header *header, uint8_t out[BLOB_HEADER_BYTES]);
MUST_CHECK enum status blob_header_read(const uint8_t *head, size_t size_bytes,
                                        struct blob_chunk_header *out);

/* Chunks of chunk_bytes > 0 in size_bytes; at most BLOB_CHUNKS_MAX (CHECKed). */
uint32_t blob_chunk_count(uint64_t size_bytes, uint32_t chunk_bytes);

/* Bytes of chunk `index`, which exists. */
uint32_t blob_chunk_size(const struct blob_ref *ref, uint32_t index);

/* Describes bytes that are about to be offered, size_bytes > 0. `out_hashes`, shape (chunk count)
 * or NULL: the hashes of the chunks, for blob_chunk() and as the bytes of the blob that
 * blob_hashes_ref() names. */
struct blob_ref blob_describe(enum blob_kind kind, uint64_t id, const uint8_t *data,
                              size_t size_bytes, uint32_t chunk_bytes, struct digest *out_hashes);

/* Header and place of chunk `index` of the bytes that `ref` describes; *out_data points into
 * data. `hashes` as blob_describe() made them, or NULL: the chunk is hashed here.
 * Errors: OUT_OF_RANGE (a stranger granted a chunk that does not exist). */
MUST_CHECK enum status blob_chunk(const struct blob_ref *ref, const uint8_t *data,
                                  const struct digest *hashes, uint32_t index,
                                  struct blob_chunk_header *out_header, const uint8_t **out_data);

/* The list of hashes of a blob's chunks, 32 bytes each in order, as a blob of kind BLOB_HASHES. Its
 * root is that of the blob itself, and the hash of all its bytes. of->id is below 2^62; a
 * contribution has no list. */
struct blob_ref blob_hashes_ref(const struct blob_ref *of);

/* Whose hashes the id of such a blob means. False: nobody's. */
bool blob_hashes_of(uint64_t id, enum blob_kind *out_kind, uint64_t *out_id);

/* Checks a list from outside, size_bytes of it. Errors: BAD_SHAPE, CORRUPT (not of this blob). */
MUST_CHECK enum status blob_hashes_check(const struct blob_ref *of, const uint8_t *list,
                                         size_t size_bytes);

#endif
