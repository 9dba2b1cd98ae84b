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
    uint64_t bytes_max;                 /* for all of it, where others fetch; 0: no limit */
    uint64_t arrivals;                  /* goes up when there may be chunks that were not there */
    uint64_t passed_id;                 /* updates up to this one do not come any more */
};

void shelf_clear(struct shelf *self);

/* What was coming is here, and stays for others; or it does not come any further: what replaces it
 * begins, or others are told with shelf_pass. */
void shelf_keep(struct shelf *self);
void shelf_drop(struct shelf *self);

/* What was coming is here and has been used. An update stays where others may have it and there is
 * room for it; any other is gone from here on. */
void shelf_finish(struct shelf *self, bool for_others);

/* Updates up to `id` that are not here do not come here any more: nobody must wait for them. */
void shelf_pass(struct shelf *self, uint64_t id);

/* So many bytes may be kept for others each time. */
bool shelf_has_room(const struct shelf *self, uint64_t bytes);

/* A chunk of an update, if it is here. */
MUST_CHECK bool shelf_chunk(const struct shelf *self, uint64_t id, uint32_t index,
                            struct blob_chunk_header *out_header, const uint8_t **out_data);

/* An update that was here, or never will be: one that is not newer than those that are, or that was
 * passed. */
bool shelf_is_gone(const struct shelf *self, uint64_t id);

#endif
