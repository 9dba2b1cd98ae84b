/* gather_facts - what gather is told and what it answers: plain structs. Pure. */
#ifndef DUGNAD_COORDINATOR_GATHER_GATHER_FACTS_H
#define DUGNAD_COORDINATOR_GATHER_GATHER_FACTS_H

#include "proto/codec/exact_sum.h"

enum {
    GATHER_OWNERS_MAX = 256,
    GATHER_ENTRIES_MAX = 65536,
    GATHER_MOVES_MAX = 4,   /* entries that one stalled owner may have fetched centrally */
    GATHER_RANGES_MAX = 4,  /* runs of chunks that one owner takes over from others */
    GATHER_PIECES_MAX = 8,  /* owners that share the chunks of a lost one */
    GATHER_REPAIRS_MAX = 2, /* owners in whose place a chunk gets another owner */
};

struct gather_owner {
    uint32_t peer; /* the shell's number; each peer at most once */
    uint32_t first_chunk;
    uint32_t chunk_count;
    bool trusted;    /* its sums are believed unchecked */
    uint64_t weight; /* of its link, bytes a second; 0: it takes nothing over */
};

struct gather_plan {
    uint64_t step_tokens;              /* of the whole target batch */
    size_t value_count;                /* of the vector, a multiple of CODEC_BLOCK_VALUES */
    uint32_t owner_count;              /* chunks that no owner has are the coordinator's */
    const struct gather_owner *owners; /* disjoint; borrowed for gather_begin */
    uint32_t own_first_chunk;          /* the coordinator's, as contributors know it: the other */
    uint32_t own_chunk_count;          /* chunks that have no owner have lost theirs */
    uint64_t epoch_before; /* the newest of all steps so far: no number may come twice */
    uint32_t entries_expected;
    uint64_t bytes_max;   /* contributors' chunks that are kept here, about */
    double check_share;   /* of the chunks of owners that are not trusted */
    double check_traffic; /* at most so many times a contribution is fetched for checks */
    uint64_t check_seed;  /* from the system's randomness, afresh each step: a secret */
    uint32_t window;      /* chunks outstanding per contributor, at most ASKED_MAX */
    uint64_t retry_ms;
    uint64_t stall_ms;    /* an owner or a contributor without any progress is given up */
    uint64_t deadline_ms; /* after an owner was told the set: half are done, it is not */
};

struct gather_entry {
    uint64_t serial; /* > 0, never used before */
    uint32_t peer;
    enum codec codec;
    uint64_t tokens;
    uint64_t blob_id;
};

struct gather_holds {
    uint64_t epoch;
    uint64_t parts_held;
    uint64_t parts_missing;
    uint32_t sums_ready;
    uint32_t lacking_count;
    uint64_t lacking_serial;
    uint64_t bad_serial; /* 0: none */
    uint32_t bad_chunk;
    uint64_t torn_serial; /* 0: none */
};

enum gather_action_type {
    GATHER_SEND_SET = 1, /* to owner `peer`: epoch, a run of its chunks; serials: gather_set */
    GATHER_GRANT_SUMS,   /* to owner `peer`: chunks of epoch's sums */
    GATHER_GRANT_PARTS,  /* to contributor `peer`: chunks of blob_id */
    GATHER_OWNER_OUT,    /* `peer` was taken over; reason */
    GATHER_ENTRY_OUT     /* `entry` of `peer` is not in the set any more; reason */
};

enum gather_reason {
    GATHER_LOST = 1, /* its connection was lost too early */
    GATHER_SLOW,     /* no progress, or far behind the others */
    GATHER_BAD,      /* sent what fails its checks */
    GATHER_WRONG,    /* an owner refused a part that is fine */
    GATHER_LIAR,     /* an owner returned a sum that is not the sum of its parts */
    GATHER_MOVED     /* an entry that does not reach an owner: to be fetched centrally */
};

struct gather_action {
    enum gather_action_type type;
    enum gather_reason reason;
    uint32_t peer;
    uint32_t entry;
    uint64_t epoch;
    uint64_t blob_id;
    uint32_t first_chunk;
    uint32_t chunk_count;
};

struct gather_progress {
    uint64_t epoch; /* 0: open */
    uint32_t chunks;
    uint32_t chunks_done;
    uint32_t entries;       /* in the set */
    uint32_t owners;        /* not taken over */
    uint32_t repaired;      /* times that a chunk got another owner */
    uint64_t fetched_bytes; /* contributors' chunks that came here, in the whole step */
    uint64_t sum_bytes;     /* that owners returned, of all epochs */
    uint32_t checks;
    uint64_t bytes; /* contributors' chunks kept now */
};

#endif
