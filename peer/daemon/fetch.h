/* fetch - one published blob, or a part of it, from the coordinator and the owners of a plan.
 *
 * Chunks that no owner has, and those that this peer itself is to pass on, come from the
 * coordinator, the others from their owners. The list of the chunks' hashes comes from the
 * coordinator and is checked against the root, so a wrong chunk is known at once, whoever sent it.
 * An owner that sends a wrong one, or nothing, or so little that the whole hardly moves, is out:
 * its chunks come from the coordinator.
 *
 * Pure. One owner. */
#ifndef DUGNAD_PEER_DAEMON_FETCH_H
#define DUGNAD_PEER_DAEMON_FETCH_H

#include "proto/blob_receiver.h"

enum {
    FETCH_COORDINATOR = 0, /* as a source; owner i of the plan is source 1 + i */
    FETCH_RETRY_MS = 10000,
    FETCH_SILENT_MS_MAX = 8000, /* of an owner; links that are full lose segments for seconds */
    FETCH_IDLE_MS_MAX = 15000,  /* one that is alive and sends no chunk that was missing */

    /* While an owner owes chunks, all sources together must bring a share of the best mean rate so
     * far, within these bounds; whoever still owes when they are this much time behind it is out.
     * All together, since slow links here, or many who fetch, slow all down alike. */
    FETCH_BEHIND_MS_MAX = 15000,
    FETCH_MEAN_SHARE = 4,
    FETCH_BYTES_PER_S_MIN = 64 * 1024,
    FETCH_BYTES_PER_S_MAX = 1024 * 1024
};

struct fetch_range {
    uint32_t first_chunk;
    uint32_t chunk_count; /* 0: none */
};

struct fetch_plan {
    uint32_t owner_count;                       /* at most WIRE_OWNERS_MAX */
    struct fetch_range owners[WIRE_OWNERS_MAX]; /* disjoint; not to be asked: no chunks */
    struct fetch_range own; /* others wait for these from here: they come first */
};

struct fetch;

/* Prepares for the chunks `part` of the blob (no chunks: all of it). Where the plan has owners, or
 * the part is not all, it begins with the list. Errors: FULL, OUT_OF_RANGE, NO_MEMORY. The caller
 * owns *out. */
MUST_CHECK enum status fetch_new(const struct blob_ref *ref, const struct fetch_range *part,
                                 const struct fetch_plan *plan, struct fetch **out);
void fetch_free(struct fetch *self); /* NULL is allowed. */

const struct blob_ref *fetch_ref(const struct fetch *self);
bool fetch_is_whole(const struct fetch *self); /* it fetches all of the blob */

/* Another plan, or another session: all that is under way is asked for again, if it does not come
 * by itself, of owners that were out too. */
void fetch_restart(struct fetch *self, const struct fetch_plan *plan);

/* The connection to the coordinator was lost, and nothing else: what it owes is asked for again.
 * Owners that are out stay out. */
void fetch_coordinator_lost(struct fetch *self);

/* The next run of chunks to ask a source for, about bytes_max > 0 of them at most (one chunk more
 * is fine). False: nothing now. Call until false after each chunk and on a timer. */
MUST_CHECK bool fetch_grant(struct fetch *self, uint64_t now_ms, uint64_t bytes_max,
                            uint32_t *out_source, struct wire_grant *out);

/* Takes a chunk from outside, of the blob or of its list. One that is here already is fine, and
 * says nothing for its sender. Errors: PROTOCOL (not asked for), CORRUPT (an owner is out then). */
MUST_CHECK enum status fetch_take(struct fetch *self, uint32_t source,
                                  const struct blob_chunk_header *header, const uint8_t *data,
                                  size_t size_bytes, uint64_t now_ms);

/* A chunk of this name, of the blob or of its list, is here. */
bool fetch_has(const struct fetch *self, const struct blob_chunk_header *header);

/* An owner said that it is alive. */
void fetch_heard(struct fetch *self, uint32_t source, uint64_t now_ms);

/* An owner cannot be asked (any longer). Nothing happens when it is out already. */
void fetch_owner_out(struct fetch *self, uint32_t source);

/* The next owner that was silent or slow for too long, which is out now. False: none. */
MUST_CHECK bool fetch_judge(struct fetch *self, uint64_t now_ms, uint32_t *out_source);

/* Of the blob, its list left out: what is here. */
uint64_t fetch_received_bytes(const struct fetch *self);

/* How many sources were asked for something that has not come. */
uint32_t fetch_waits_for(const struct fetch *self);

/* All of the part is here; then whether it is what was promised. Errors: as
 * blob_receiver_verify. */
bool fetch_complete(const struct fetch *self);
MUST_CHECK enum status fetch_verify(struct fetch *self);

/* The bytes of the part; complete (CHECKed). */
const uint8_t *fetch_data(const struct fetch *self);

/* A chunk that is here and is known to be right, with its header, before all are. */
MUST_CHECK bool fetch_chunk(const struct fetch *self, uint32_t index,
                            struct blob_chunk_header *out_header, const uint8_t **out_data);

#endif
