/* blob - large bytes in chunks: resumable, hash-checked, paced by the receiver.
 *
 * A blob is cut into chunks of BLOB_CHUNK_BYTES (the last may be shorter). The receiver grants
 * chunks, at most a window at a time; the sender sends only what was granted. Each chunk carries
 * its BLAKE2b hash, and the blob's root is the hash over those hashes in order, so damage is
 * seen at the chunk and the whole is what was promised. What is missing after a lost connection
 * is granted again: nothing is sent twice for a reconnect.
 *
 * Pure: no sockets or clock. One owner per receiver. */
#ifndef DUGNAD_PROTO_BLOB_H
#define DUGNAD_PROTO_BLOB_H

#include "proto/wire.h"

enum {
    BLOB_CHUNK_BYTES = 1024 * 1024, /* fits WIRE_BODY_MAX */
    BLOB_CHUNKS_MAX = 1 << 20,
    BLOB_WINDOW_MAX = 64,
    BLOB_HEADER_BYTES = 64
};

struct blob_chunk_header {
    enum blob_kind kind;
    uint64_t id;
    uint32_t index;
    uint32_t size_bytes;
    struct digest hash;
};

/* The head of a chunk message, and back. Errors of the reader: PROTOCOL. */
void blob_header_write(const struct blob_chunk_header *header, uint8_t out[BLOB_HEADER_BYTES]);
MUST_CHECK enum status blob_header_read(const uint8_t *head, size_t size_bytes,
                                        struct blob_chunk_header *out);

/* Describes bytes that are about to be offered. size_bytes > 0. */
struct blob_ref blob_describe(enum blob_kind kind, uint64_t id, const uint8_t *data,
                              size_t size_bytes);

uint32_t blob_chunk_count(uint64_t size_bytes);

/* Header and place of chunk `index` of the bytes that `ref` describes; *out_data points into
 * data. Errors: OUT_OF_RANGE (a stranger granted a chunk that does not exist). */
MUST_CHECK enum status blob_chunk(const struct blob_ref *ref, const uint8_t *data, uint32_t index,
                                  struct blob_chunk_header *out_header, const uint8_t **out_data);

struct blob_receiver;

/* Prepares for the blob of `ref`; allocates its bytes. Errors: FULL (larger than size_bytes_max,
 * checked before allocating), NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status blob_receiver_new(const struct blob_ref *ref, uint64_t size_bytes_max,
                                         struct blob_receiver **out);
void blob_receiver_free(struct blob_receiver *self); /* NULL is allowed. */

const struct blob_ref *blob_receiver_ref(const struct blob_receiver *self);

/* The next run of chunks to grant so that at most `window` are outstanding at now_ms; chunks
 * that were granted and did not come within retry_ms are granted again. False: nothing to grant
 * now. Call after each accepted chunk and on a timer. */
MUST_CHECK bool blob_receiver_grant(struct blob_receiver *self, uint32_t window, uint64_t now_ms,
                                    uint64_t retry_ms, struct wire_grant *out);

/* Forgets what is outstanding: the connection was lost, all missing chunks may be granted again. */
void blob_receiver_reset_grants(struct blob_receiver *self);

/* Takes one chunk from outside. A chunk that is already there is fine and changes nothing.
 * Errors: PROTOCOL (another blob, never granted, wrong size), CORRUPT (hash). */
MUST_CHECK enum status blob_receiver_add(struct blob_receiver *self,
                                         const struct blob_chunk_header *header,
                                         const uint8_t *data, size_t size_bytes);

bool blob_receiver_complete(const struct blob_receiver *self);
uint64_t blob_receiver_received_bytes(const struct blob_receiver *self);

/* Checks the root once all chunks are there. Errors: AGAIN (chunks are missing), CORRUPT. */
MUST_CHECK enum status blob_receiver_verify(const struct blob_receiver *self);

/* The bytes, size_bytes of the ref; owned by the receiver. Complete (CHECKed). */
const uint8_t *blob_receiver_data(const struct blob_receiver *self);

#endif
