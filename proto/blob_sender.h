/* blob_sender - what a receiver has granted of one blob and has not been sent yet.
 *
 * The sender of a blob keeps one per transfer, so that what a full queue does not take is sent in a
 * later turn: a bit a chunk, whatever the receiver grants. The bytes are somewhere else.
 *
 * Pure. One owner. */
#ifndef DUGNAD_PROTO_BLOB_SENDER_H
#define DUGNAD_PROTO_BLOB_SENDER_H

#include "proto/blob.h"

enum { BLOB_SENDERS_MAX = 4 };

struct blob_sender;

/* For the blob `id` of a kind, with chunk_count > 0 chunks, at most BLOB_CHUNKS_MAX.
 * Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status blob_sender_new(enum blob_kind kind, uint64_t id, uint32_t chunk_count,
                                       struct blob_sender **out);
void blob_sender_free(struct blob_sender *self); /* NULL is allowed. */

enum blob_kind blob_sender_kind(const struct blob_sender *self);
uint64_t blob_sender_id(const struct blob_sender *self);

/* Notes a grant from outside; what is granted already and not sent yet stays so.
 * Errors: PROTOCOL (another blob), OUT_OF_RANGE (a chunk that does not exist); then nothing
 * changes. */
MUST_CHECK enum status blob_sender_grant(struct blob_sender *self, const struct wire_grant *grant);

/* The first granted chunk that was not sent, at `from` or behind it. False: there is none. */
MUST_CHECK bool blob_sender_next(const struct blob_sender *self, uint32_t from,
                                 uint32_t *out_index);

/* The chunk is on its way (or will never be): it is granted no longer. */
void blob_sender_sent(struct blob_sender *self, uint32_t index);

/* Chunks that are granted and not sent. */
uint32_t blob_sender_pending(const struct blob_sender *self);

/* What goes to one receiver: its latest transfers. A zeroed one is empty. */
struct blob_senders {
    struct blob_sender *items[BLOB_SENDERS_MAX]; /* NULL: free */
    uint32_t oldest;                             /* the place that is taken when none is free */
};

/* Notes a grant of the blob with chunk_count chunks. A transfer that is not known takes the place
 * of one with nothing left to send, or of the oldest. Errors: OUT_OF_RANGE, NO_MEMORY. */
MUST_CHECK enum status blob_senders_grant(struct blob_senders *self, const struct wire_grant *grant,
                                          uint32_t chunk_count);

/* The next chunk to send of any transfer. False: none. *out stays valid until the next grant. */
MUST_CHECK bool blob_senders_next(const struct blob_senders *self, struct blob_sender **out,
                                  uint32_t *out_index);

/* Chunks that are granted and not sent, of all transfers. */
uint32_t blob_senders_pending(const struct blob_senders *self);

/* Drops the transfer of one blob (kind, id), or all: the blob is gone, or the receiver. */
void blob_senders_drop(struct blob_senders *self, enum blob_kind kind, uint64_t id);
void blob_senders_clear(struct blob_senders *self);

#endif
