/* shelf - the blob that is being fetched, and the latest updates that others may fetch from here.
 *
 * One owner. */
#ifndef DUGNAD_PEER_DAEMON_SHELF_H
#define DUGNAD_PEER_DAEMON_SHELF_H

#include "peer/daemon/fetch.h"

enum { SHELF_KEPT_MAX = 2 };

/* A zeroed one is empty. */
struct shelf {
    struct fetch *coming;               /* NULL: none */
    struct fetch *kept[SHELF_KEPT_MAX]; /* complete, the newest first; NULL: none */
    uint64_t arrivals;                  /* goes up when there may be chunks that were not there */
};

void shelf_clear(struct shelf *self);

/* What was coming is here, and stays for others; or is not needed any more. */
void shelf_keep(struct shelf *self);
void shelf_drop(struct shelf *self);

/* A chunk of an update, if it is here. */
MUST_CHECK bool shelf_chunk(const struct shelf *self, uint64_t id, uint32_t index,
                            struct blob_chunk_header *out_header, const uint8_t **out_data);

/* An update that was here, or never will be: one that is not newer than those that are. */
bool shelf_is_gone(const struct shelf *self, uint64_t id);

#endif
