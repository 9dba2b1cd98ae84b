/* offers - encoded contributions that the coordinator may still fetch.
 *
 * A peer keeps what it handed in until the step is committed, so that it can be offered again to a
 * coordinator that restarted. The session says which stay. One owner. */
#ifndef DUGNAD_PEER_DAEMON_OFFERS_H
#define DUGNAD_PEER_DAEMON_OFFERS_H

#include "peer/core/session.h"
#include "proto/blob_tree.h"

enum { OFFERS_MAX = SESSION_OFFERS_MAX };

struct offer {
    struct wire_contribution facts; /* as it was offered; facts.blob names the bytes */
    uint8_t *data;                  /* owned */
    struct digest *tree;            /* over its chunks (blob_tree.h); owned; NULL while there is no
                                       memory for it: no chunk is sent then */
};

struct offers {
    struct offer items[OFFERS_MAX]; /* oldest first */
    size_t count;
};

/* Keeps `data` (taken, from malloc, size_bytes encoded by `codec`) as contribution `id`, an id that
 * was not used before; fewer than OFFERS_MAX are kept (CHECKed). Returns it with facts.blob and
 * facts.codec set; the caller fills in the rest. Valid until the next add or drop. */
struct offer *offers_add(struct offers *self, uint64_t id, enum codec codec, uint8_t *data,
                         size_t size_bytes);

/* NULL when there is no such offer. */
struct offer *offers_find(struct offers *self, uint64_t id);

/* A chunk of an offer as it is sent: its head with its proof, and its bytes, which stay the
 * offer's. Errors: OUT_OF_RANGE (no such chunk), NO_MEMORY (for its proof; it is asked for again).
 */
struct offer_chunk {
    uint8_t head[BLOB_HEAD_MAX];
    size_t head_bytes;
    const uint8_t *data;
    uint32_t size_bytes;
};
MUST_CHECK enum status offer_chunk(struct offer *self, uint32_t index, struct offer_chunk *out);

/* Forgets one, if it is there; or all. */
void offers_drop(struct offers *self, uint64_t id);
void offers_clear(struct offers *self);

/* The samples inside them as sorted ranges that do not touch; returns how many ranges. An offer
 * that does not fit any more is left out: its samples go to others. */
size_t offers_samples(const struct offers *self, struct work_range out[WORK_RANGES_MAX]);

#endif
