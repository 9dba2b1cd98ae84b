/* offers - encoded contributions that the coordinator may still fetch.
 *
 * A peer keeps what it handed in until the step is committed. One owner. */
#ifndef DUGNAD_PEER_DAEMON_OFFERS_H
#define DUGNAD_PEER_DAEMON_OFFERS_H

#include "proto/blob.h"

enum { OFFERS_MAX = 2 }; /* the one being judged and one before it */

struct offer {
    struct blob_ref ref;
    uint8_t *data; /* owned; NULL: this place is empty */
};

struct offers {
    struct offer items[OFFERS_MAX];
    uint64_t next_id;
};

/* Takes `data` (from malloc, size_bytes) and returns its description; when all places are taken the
 * oldest offer goes. */
struct blob_ref offers_add(struct offers *self, uint8_t *data, size_t size_bytes);

/* NULL when there is no such offer. */
const struct offer *offers_find(const struct offers *self, uint64_t id);

void offers_clear(struct offers *self);

#endif
