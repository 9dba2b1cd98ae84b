/* server_gather_state - what the server_gather*.c files share; nobody else includes it. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_GATHER_STATE_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_GATHER_STATE_H

#include "coordinator/gather/gather.h"
#include "coordinator/server/server_gather.h"
#include "coordinator/server/server_routes.h"
#include "coordinator/server/server_state.h"

#define ENTRY_NONE UINT32_MAX

struct owner {
    uint32_t number;
    uint32_t first_chunk, chunk_count;
};

struct server_gather {
    struct gather *gather;
    bool begun;  /* a round of the step in progress */
    bool closed; /* its set is known: no contribution is added */
    bool merged;
    uint32_t rounds;   /* of this step that are over */
    uint32_t alone;    /* contributions of this step that were too few for a round */
    uint64_t collects; /* what core_outlook said of these when the latest set was made */
    uint32_t waiting;  /* offers that wait for the next round */
    bool waits[SESSIONS_MAX];
    bool busy;
    uint64_t serial; /* the newest that was given */
    uint64_t epoch;  /* the newest of the steps before */
    uint64_t plan_id;
    uint32_t live; /* entries of sessions */
    uint32_t owner_count;
    struct owner owners[GATHER_OWNERS_MAX];
    struct gather_owner facts[GATHER_OWNERS_MAX]; /* scratch */
    uint32_t entries[SESSIONS_MAX];               /* of each session's offer */
    uint64_t serials[GATHER_ENTRIES_MAX];         /* scratch */
    double sum_bytes;                             /* a value */
};

/* The round under way is over: what waited begins the next one. */
void server_gather_next_round(struct server *self, uint64_t now_ms);

/* The session's entry, which is no longer in anybody's hands here; ENTRY_NONE. */
uint32_t server_gather_take_entry(struct server_gather *self, uint32_t index);

#endif
