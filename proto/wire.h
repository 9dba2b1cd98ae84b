/* wire - bytes to validated messages and back.
 *
 * Every message on the channel has a head and a body. The head is either one protobuf-c control
 * message (at most WIRE_HEAD_MAX bytes) behind a type byte, or a chunk header (blob.h); the body
 * is raw bytes, at most WIRE_BODY_MAX. Here is the only place where protobuf-c is used, and the
 * only place where sizes, enums and counts from outside are checked: once, before anything else
 * sees them. Unknown fields, deep nesting and floods of tiny elements are refused by a pre-scan
 * before protobuf-c allocates, and it allocates from a budget.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_PROTO_WIRE_H
#define DUGNAD_PROTO_WIRE_H

#include "proto/wire_messages.h"
#include "proto/wire_owners.h"

#include <stddef.h>

enum wire_type {
    WIRE_HELLO = 1,    /* peer: who I am, what I hold */
    WIRE_WELCOME,      /* coordinator: the run, the model, where P stands */
    WIRE_REFUSED,      /* coordinator: why not; the peer stops or says hello again */
    WIRE_READY,        /* peer: I hold version v and want work */
    WIRE_LEASE,        /* coordinator: samples to compute; the body holds their tokens */
    WIRE_PROGRESS,     /* peer: how far a lease is */
    WIRE_RECLAIM,      /* coordinator: give back what you have not begun */
    WIRE_YIELDED,      /* peer: what was given back */
    WIRE_COLLECT,      /* coordinator: hand in what you have for this step */
    WIRE_CONTRIBUTION, /* peer: an encoded gradient sum is ready to be fetched */
    WIRE_VERDICT,      /* coordinator: a contribution was counted or refused */
    WIRE_COMMITTED,    /* coordinator: a step is done; its update can be fetched */
    WIRE_APPLIED,      /* peer: my digest after an update */
    WIRE_GRANT,        /* receiver of a blob: send these chunks */
    WIRE_ALIVE,        /* both ways, when there is nothing else to say */
    WIRE_LEAVE,        /* peer: I go; what I hold is lost unless handed in */
    WIRE_FINISHED,     /* coordinator: the run is over */
    WIRE_CLAIM,        /* peer: after a welcome, what I still hold of this step */
    WIRE_CLAIMED,      /* coordinator: that is yours; or give it up */
    WIRE_ROUTE,        /* coordinator: the plan: who owns which chunks, and your codec */
    WIRE_DELIVER,      /* coordinator: take that contribution to its owners */
    WIRE_OPEN,         /* peer to owner: what the coordinator lets me do here */
    WIRE_SET,          /* coordinator to owner: whose chunks to sum; the body holds the serials */
    WIRE_HOLDS,        /* owner to coordinator: what is there of them */
    WIRE_RATES,        /* peer: how fast its transfers went */
    WIRE_PROBE,        /* both ways: filler to measure a link, and its echo */
    WIRE_TYPE_END
};

/* About 43 KiB: keep it off the stack. */
struct wire_message {
    enum wire_type type;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_refused refused;
        struct wire_ready ready;
        struct wire_lease lease;
        struct wire_progress progress;
        struct wire_reclaim reclaim;
        struct wire_yielded yielded;
        struct wire_collect collect;
        struct wire_contribution contribution;
        struct wire_verdict verdict;
        struct wire_committed committed;
        struct wire_applied applied;
        struct wire_grant grant;
        struct wire_finished finished;
        struct wire_claim claim;
        struct wire_claimed claimed;
        struct wire_route route;
        struct wire_deliver deliver;
        struct wire_open open;
        struct wire_set set;
        struct wire_holds holds;
        struct wire_rates rates;
        struct wire_probe probe; /* alive and leave carry nothing */
    } as;
};

/* Writes the head of `message` to out, at most `size_max` bytes. The message is the caller's own
 * and correct (CHECKed where cheap). Errors: FULL. */
MUST_CHECK enum status wire_encode(const struct wire_message *message, uint8_t *out,
                                   size_t size_max, size_t *out_size_bytes);

/* Reads a head from outside. On any error *out is not to be used. Memory used inside stays below
 * 4 x size_bytes + 16 KiB. Errors: PROTOCOL (malformed, unknown field or type, out of range),
 * NO_MEMORY. */
MUST_CHECK enum status wire_decode(const uint8_t *head, size_t size_bytes,
                                   struct wire_message *out);

/* The body of a set: its serials, little-endian. */
void wire_serials_write(const uint64_t *serials, uint32_t count, uint8_t *out);

/* Reads the body that came with `set` to out (set->serial_count). Errors: PROTOCOL (another length,
 * a 0, or not strictly increasing). */
MUST_CHECK enum status wire_serials_read(const struct wire_set *set, const uint8_t *body,
                                         size_t body_size_bytes, uint64_t *out);

/* The name of a type for log lines; never NULL. */
const char *wire_type_name(enum wire_type type);

/* True when this head is a chunk header (blob.h) and not a control message. */
bool wire_is_chunk(const uint8_t *head, size_t size_bytes);

#endif
