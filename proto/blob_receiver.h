/* blob_receiver - takes in one blob, or a range of its chunks, from one sender or several.
 *
 * It grants chunks to its sources, at most a window at a time to each, and grants again what did
 * not come. Without a list of hashes a chunk is checked against the hash it came with, and the
 * whole against the root at the end; with one, a wrong chunk is refused at once, whoever sent it.
 *
 * Pure: no sockets or clock. One owner per receiver. */
#ifndef DUGNAD_PROTO_BLOB_RECEIVER_H
#define DUGNAD_PROTO_BLOB_RECEIVER_H

#include "proto/blob.h"

enum {
    BLOB_WINDOW_MAX = 256,                 /* chunks under way from one source */
    BLOB_WINDOW_BYTES = 8 * 1024 * 1024,   /* enough to keep a line busy */
    BLOB_SOURCES_MAX = 1 + WIRE_OWNERS_MAX /* the coordinator, and owners */
};

struct blob_receiver;

/* Chunks of this blob that make about size_bytes: at least 1, at most BLOB_WINDOW_MAX. */
uint32_t blob_window(const struct blob_ref *ref, uint64_t size_bytes);

/* Prepares for the blob of `ref`; allocates its bytes and about 50 bytes a chunk: compare
 * ref->chunk_bytes with what it should be before. Errors: FULL (larger than size_bytes_max,
 * checked before allocating), NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status blob_receiver_new(const struct blob_ref *ref, uint64_t size_bytes_max,
                                         struct blob_receiver **out);

/* The same for the chunks [first_chunk, first_chunk + chunk_count) alone; what is said of the blob
 * below holds for that part. Errors: also OUT_OF_RANGE (no such chunks). */
MUST_CHECK enum status blob_receiver_new_part(const struct blob_ref *ref, uint32_t first_chunk,
                                              uint32_t chunk_count, uint64_t size_bytes_max,
                                              struct blob_receiver **out);
void blob_receiver_free(struct blob_receiver *self); /* NULL is allowed. */

const struct blob_ref *blob_receiver_ref(const struct blob_receiver *self);

/* Gives it the list of hashes of the whole blob, (chunk count) of them. Chunks that are here and do
 * not fit it are forgotten, to be granted again. Errors: CORRUPT (not the list of this blob;
 * nothing changes). */
MUST_CHECK enum status blob_receiver_use_hashes(struct blob_receiver *self,
                                                const struct digest *hashes, uint32_t count);

/* What to grant to one of several sources. */
struct blob_ask {
    uint32_t source;      /* below BLOB_SOURCES_MAX */
    uint32_t first_chunk; /* only chunks of this range; what lies outside of the part is left out */
    uint32_t chunk_count;
    uint32_t window; /* chunks outstanding from this source at most; cut at BLOB_WINDOW_MAX */
    uint64_t now_ms;
    uint64_t retry_ms; /* an outstanding chunk may be granted again, to anybody, when neither its
                          grant nor the latest chunk of its source is younger */
};

/* The next run of chunks to grant to the source; it is outstanding from there then. False: nothing
 * to grant now. Call until false after each accepted chunk and on a timer. Chunks are granted an
 * eighth of the window at a time or more, to save messages. */
MUST_CHECK bool blob_receiver_grant_from(struct blob_receiver *self, const struct blob_ask *ask,
                                         struct wire_grant *out);

/* The same for source 0 and the whole blob. */
MUST_CHECK bool blob_receiver_grant(struct blob_receiver *self, uint32_t window, uint64_t now_ms,
                                    uint64_t retry_ms, struct wire_grant *out);

/* Chunks that were granted to the source and have not come. */
uint32_t blob_receiver_outstanding(const struct blob_receiver *self, uint32_t source);

/* A source failed: what is outstanding from it can be granted elsewhere now. */
void blob_receiver_forget_source(struct blob_receiver *self, uint32_t source);

/* Forgets all that is outstanding: the connection was lost. */
void blob_receiver_reset_grants(struct blob_receiver *self);

/* Takes one chunk from outside. A chunk that is already there is fine and changes nothing.
 * Errors: PROTOCOL (another blob, never granted, wrong size), CORRUPT (hash). */
MUST_CHECK enum status blob_receiver_add(struct blob_receiver *self,
                                         const struct blob_chunk_header *header,
                                         const uint8_t *data, size_t size_bytes);

bool blob_receiver_complete(const struct blob_receiver *self);
uint64_t blob_receiver_received_bytes(const struct blob_receiver *self);

/* A chunk that is here, blob_chunk_size() bytes of it, before all are; NULL: it is not. Without a
 * list of hashes nothing but its own header vouches for it. Valid as long as the receiver. */
const uint8_t *blob_receiver_chunk(const struct blob_receiver *self, uint32_t index);

/* Its hash. Such a chunk is here (CHECKed). */
const struct digest *blob_receiver_hash(const struct blob_receiver *self, uint32_t index);

/* Checks the root once all chunks are there; with a list of hashes nothing is left to check.
 * Errors: AGAIN (chunks are missing), CORRUPT, REFUSED (a part without a list: its root cannot be
 * known). */
MUST_CHECK enum status blob_receiver_verify(const struct blob_receiver *self);

/* The bytes of all chunks in order; owned by the receiver. Complete (CHECKed). */
const uint8_t *blob_receiver_data(const struct blob_receiver *self);

#endif
