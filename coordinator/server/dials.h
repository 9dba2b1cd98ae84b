/* dials - dialling back: whether a peer's bulk port can be reached, and how fast.
 *
 * A few at a time; each connects, sends a probe and waits for the whole of it to come back; a
 * larger one follows as long as that is quick, and would be within the peer's cap, so that a slow
 * link is not full for seconds. One owner. */
#ifndef DUGNAD_COORDINATOR_SERVER_DIALS_H
#define DUGNAD_COORDINATOR_SERVER_DIALS_H

#include "proto/channel.h"

enum { DIALS_MAX = 4, DIALS_PROBE_BYTES = 256 * 1024, DIALS_MS_MAX = 5000 };

struct dials;

struct dial_result {
    uint32_t number; /* the caller's, of the peer */
    bool reachable;
    uint64_t bytes_per_s; /* both ways, about */
};

/* `set` and `identity` are borrowed until dials_free. Errors: NO_MEMORY. The caller owns *out. */
MUST_CHECK enum status dials_new(struct channel_set *set, const struct identity *identity,
                                 struct dials **out);
void dials_free(struct dials *self); /* NULL is allowed. */

/* Whom to dial. */
struct dial_peer {
    uint32_t number;
    const char *address;       /* a stranger's */
    const uint8_t *public_key; /* (IDENTITY_KEY_BYTES) */
    uint64_t bytes_per_s_max;  /* its cap; 0: none */
};

/* Starts one; `peer` is borrowed. Errors: FULL (DIALS_MAX are under way), USAGE (not an address
 * that can be dialled), OS. */
MUST_CHECK enum status dials_start(struct dials *self, const struct dial_peer *peer,
                                   uint64_t now_ms);

/* The peer is gone; fine when it is not being dialled. */
void dials_forget(struct dials *self, uint32_t number);

/* Goes on; call often. True: one ended. */
MUST_CHECK bool dials_next(struct dials *self, uint64_t now_ms, struct dial_result *out);

#endif
