/* gather_state - what the files of coordinator/gather share. Inside this folder only.
 *
 * A slot stands for a chunk that is summed here: each wants the part of every live entry, or of one
 * alone whose part an owner calls bad. */
#ifndef DUGNAD_COORDINATOR_GATHER_GATHER_STATE_H
#define DUGNAD_COORDINATOR_GATHER_GATHER_STATE_H

#include "common/asked.h"
#include "coordinator/gather/gather.h"

/* Instead of an index: */
#define GATHER_NONE UINT32_MAX       /* no owner, no slot, no entry */
#define GATHER_ALL (UINT32_MAX - 1U) /* every entry */

struct packed {
    uint8_t *data; /* NULL: there is none */
    size_t size_bytes;
};

struct chunk {
    uint32_t owner;         /* index, or GATHER_NONE: the coordinator's own */
    uint32_t repairs;       /* times it got another owner */
    uint32_t slot;          /* index, or GATHER_NONE */
    struct packed returned; /* by the owner in this epoch */
    struct packed own;      /* summed here in this epoch */
    bool done;
};

struct slot {
    uint32_t chunk;
    uint32_t wants; /* GATHER_ALL, an entry's index, or GATHER_NONE */
    uint32_t held_count;
    bool released; /* summed, and the parts were given up */
    bool queued;
};

struct entry {
    struct gather_entry facts;
    bool live;
    bool gone;                 /* its peer is lost; nothing more comes */
    enum gather_reason reason; /* why it left, while the shell was not told; 0 otherwise */
    bool waiting;
    uint64_t progress_ms;
    uint32_t next; /* below it, every slot's part is here, asked for or not wanted */
    struct asked asked;
    uint8_t **parts; /* (chunk_count), by slot */
};

struct range {
    uint32_t first_chunk;
    uint32_t chunk_count;
    uint64_t told_epoch; /* 0: the owner knows nothing of it */
    uint32_t grant_next;
};

struct owner {
    struct gather_owner facts;
    uint32_t range_count; /* the first is that of the plan */
    struct range ranges[1 + GATHER_RANGES_MAX];
    bool shed;            /* what it took over was too much: the first range alone counts */
    uint32_t chunk_count; /* of the ranges that count */
    bool out;
    enum gather_reason reason; /* as in struct entry */
    bool has_all;              /* every part of the set, so of every later one too */
    uint64_t told_ms;
    uint32_t returned_count;
    uint64_t granted_ms;
    uint64_t progress_ms;
    uint32_t moves;
    uint32_t accused_entry; /* whose part of accused_chunk it calls bad; GATHER_NONE */
    uint32_t accused_chunk;
    bool accused_early; /* before the owner knew the set */
    struct gather_holds holds;
};

struct gather {
    bool begun;
    struct gather_plan plan;
    struct exact_grid grid;
    uint32_t chunk_count;
    struct chunk *chunks;
    uint32_t done_count;
    uint32_t owner_count;
    struct owner *owners;
    uint32_t entry_count;
    uint32_t entry_capacity;
    struct entry *entries;
    uint32_t live_count;
    uint64_t live_tokens;
    uint64_t central_tokens;
    uint64_t epoch; /* 0: open */
    bool any_gone;
    bool any_out; /* the shell may not have been told of all that left */
    uint32_t slot_count;
    struct slot *slots;  /* (chunk_count) */
    uint32_t first_open; /* below it, no slot waits for parts of all */
    uint32_t work_count;
    uint32_t *work; /* (chunk_count) slots that may be complete */
    uint64_t parts_bytes;
    size_t part_bytes_max; /* of a chunk in the widest codec of any entry */
    uint32_t checks;
    uint32_t repaired;
    uint64_t fetched_bytes;
    uint64_t sum_bytes;
    uint64_t checked_parts;  /* fetched for checks */
    uint32_t checked_chunks; /* of all owners that are not trusted */
    uint64_t expire_ms;
    uint32_t turn;  /* whose grants are looked at next */
    int64_t *sums;  /* (CODEC_CHUNK_VALUES) */
    int64_t *other; /* the same, to compare with */
    uint8_t *pack;  /* (sum_pack_bytes_max(CODEC_CHUNK_VALUES)) */
};

/* gather.c */
void gather_note_chunk(struct gather *self, uint32_t chunk); /* counts it as done, or not */
void gather_remove_entry(struct gather *self, uint32_t entry, enum gather_reason reason);
size_t gather_part_bytes(const struct gather *self, const struct entry *entry, uint32_t chunk);
void gather_free_packed(struct packed *packed);

/* gather_slots.c: what is summed here */
void gather_need_chunk(struct gather *self, uint32_t chunk); /* from every entry */
void gather_need_part(struct gather *self, uint32_t chunk, uint32_t entry);
bool gather_wants(const struct gather *self, uint32_t slot, uint32_t entry);
void gather_forget_parts(struct gather *self, uint32_t entry);
void gather_restart_slots(struct gather *self); /* another epoch */
void gather_queue_slots(struct gather *self);   /* all that may be complete */
uint32_t gather_first_open(struct gather *self);

/* gather_sums.c */
bool gather_differs(struct gather *self, uint32_t chunk);
bool gather_covered(const struct gather *self);

/* gather_owners.c */
uint32_t gather_owner_of(const struct gather *self, uint32_t peer); /* GATHER_NONE */
void gather_owner_out(struct gather *self, uint32_t owner, enum gather_reason reason);
void gather_judge_owners(struct gather *self, uint64_t now_ms);
bool gather_delivered(const struct gather *self); /* no owner lacks a part of the set */
bool gather_sums_are_due(struct gather *self);    /* owners are to return them now */
void gather_part_is_fine(struct gather *self, uint32_t entry, uint32_t chunk);
void gather_forget_accusations(struct gather *self);

/* gather_repair.c: other owners for chunks whose owner is lost */
void gather_give_run(struct gather *self, uint32_t first_chunk, uint32_t chunk_count);
void gather_repair(struct gather *self, uint32_t owner); /* what is not returned by an owner */
void gather_shed(struct gather *self, uint32_t owner);   /* what it took over goes to others */

/* gather_grants.c */
void gather_judge_entries(struct gather *self, uint64_t now_ms);

#endif
