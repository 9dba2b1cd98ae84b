/* daemon - runs one peer until the run is finished or its user stops it.
 *
 * Time is handed in: what a turn does depends on it, on what the channel received and on what
 * compute did, and on nothing else. */
#ifndef DUGNAD_PEER_DAEMON_DAEMON_H
#define DUGNAD_PEER_DAEMON_DAEMON_H

#include "peer/compute/compute.h"
#include "peer/daemon/sequence.h"
#include "proto/link.h"

#include <stdbool.h>

struct daemon_options {
    struct join_link link;
    struct sequence *sequence; /* of this identity's hellos; borrowed */
    char name[WIRE_NAME_MAX];
    struct compute_settings compute;
    uint64_t first_ms_max; /* give up when nobody answers for this long at the start; 0: never */
    bool aggregates;       /* it would own chunks: */
    char bulk_host[WIRE_ADDRESS_MAX - 8]; /* where others reach it; "": as the coordinator does */
    uint16_t bulk_port;                   /* 0: a free one */
    uint64_t aggregate_bytes_max;         /* memory for others' contributions and their sums */
    bool aggregates_only;                 /* it computes nothing */
    uint64_t up_bytes_per_s_max;          /* the owner's limits; 0: none */
    uint64_t down_bytes_per_s_max;
    const char *pins_folder; /* the state folder, where the shapes of runs are kept; NULL: they are
                                not (run_pin.h) */
    uint64_t disk_bytes_max; /* what it may hold */
};

struct daemon;

/* Begins to join at now_ms. Options and identity are borrowed until daemon_free. Errors: NO_MEMORY,
 * those of the channel, with a sentence. The caller owns *out. */
MUST_CHECK enum status daemon_new(const struct daemon_options *options,
                                  const struct identity *identity, uint64_t now_ms,
                                  struct daemon **out);
void daemon_free(struct daemon *self); /* NULL is allowed. */

/* Handles what was received and done, and the timers that are due. now_ms never decreases. With
 * `stop` the peer finishes its sequences, hands in what is done and leaves. Returns true when it is
 * over; then *out_result is OK (the run is finished or the peer left) or NO_HOST, REFUSED,
 * NO_MEMORY, ... with a sentence. */
bool daemon_turn(struct daemon *self, uint64_t now_ms, bool stop, enum status *out_result);

/* Waits for the channel or the workers, at most until the next timer. */
void daemon_wait(struct daemon *self);

/* All of the above; SIGINT/SIGTERM stop it. */
MUST_CHECK enum status daemon_run(const struct daemon_options *options,
                                  const struct identity *identity);

#endif
