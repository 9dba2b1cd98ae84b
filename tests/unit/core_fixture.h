/* core_fixture - steps a coordinator core on fake time and checks its invariants after each event.
 */
#ifndef DUGNAD_TESTS_UNIT_CORE_FIXTURE_H
#define DUGNAD_TESTS_UNIT_CORE_FIXTURE_H

#include "coordinator/core/core_state.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>

struct fixture {
    struct core *core;
    struct core_actions actions;
    uint64_t now_ms;
};

static inline struct core_settings fixture_settings(uint32_t target_batch)
{
    return (struct core_settings){.step_count = 3,
                                  .target_batch = target_batch,
                                  .lease_samples_max = 64,
                                  .lease_ms = 1000,
                                  .silence_ms_max = 10000,
                                  .patience_ms = 3000,
                                  .fetch_ms_max = 20000};
}

static inline void fixture_init(struct fixture *self, const struct core_settings *settings)
{
    *self = (struct fixture){.now_ms = 1000};
    CU_ASSERT_EQUAL_FATAL(core_new(settings, &self->core), STATUS_OK);
}

static inline void fixture_deinit(struct fixture *self)
{
    core_free(self->core);
    core_actions_deinit(&self->actions);
}

/* What one peer's books say agrees with the table. Returns 0 when all is well, or the line. */
static inline int fixture_check_peer(const struct core *core, uint32_t index)
{
    const struct peer *peer = &core->peers[index];
    const struct sample_table *table = &core->table;
    uint32_t owned = 0;
    uint32_t owned_next = 0;
    for (uint32_t i = 0; i < table->size + table->next_size; i++) {
        uint32_t own = table->owners[i] == index + 1 ? 1 : 0;
        *(i < table->size ? &owned : &owned_next) += own;
    }
    if (owned != peer->owned || owned_next != peer->owned_next) {
        return __LINE__;
    }
    /* What waits for a claim is neither worked on nor asked for. */
    if (peer->claim_due && (peer->collect_sent || peer->wants_work || peer->offered != NULL ||
                            peer->leases[0].id != 0 || peer->leases[1].id != 0)) {
        return __LINE__;
    }
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        if (lease->id == 0) {
            continue;
        }
        uint64_t from = lease->first + lease->done; /* what is done may count already */
        if (lease->done >= lease->count ||
            !sample_table_owned(table, index, place_of(core, from), lease->count - lease->done) ||
            (lease->first < next_first(core) && lease->first + lease->count > next_first(core))) {
            return __LINE__;
        }
        for (size_t j = 0; j < peer->offered_count; j++) {
            const struct core_range *range = &peer->offered[j];
            uint64_t open = peer->offered_again ? from : lease->first;
            if (open < range->first + range->count && range->first < lease->first + lease->count) {
                return __LINE__;
            }
        }
    }
    for (size_t j = 0; j < peer->offered_count; j++) {
        const struct core_range *range = &peer->offered[j];
        if (!sample_table_owned(table, index, place_of(core, range->first), range->count) ||
            range->first + range->count > next_first(core)) {
            return __LINE__;
        }
    }
    if (peer->collect_sent && lease_samples_due(core, peer) > 0) {
        return __LINE__;
    }
    return (peer->offer == OFFER_NONE) == (peer->offered == NULL) ? 0 : __LINE__;
}

/* The free samples of one step, or UINT32_MAX where the hint is wrong. */
static inline uint32_t fixture_free(const uint32_t *owners, uint32_t size,
                                    const struct sample_part *part)
{
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < size; i++) {
        free_count += owners[i] == SAMPLE_FREE ? 1 : 0;
        if (i < part->free_hint && owners[i] == SAMPLE_FREE) {
            return UINT32_MAX;
        }
    }
    return free_count;
}

/* Free + owned + counted == B, and each peer is right; of the next step nothing is counted, and
 * without staleness nothing lent. Returns 0 or the line. */
static inline int fixture_check(const struct core *core)
{
    const struct sample_table *table = &core->table;
    uint32_t counted = 0;
    uint32_t owned = 0;
    uint32_t owned_next = 0;
    uint32_t active = 0;
    for (uint32_t i = 0; i < table->size + table->next_size; i++) {
        counted += table->owners[i] == SAMPLE_COUNTED ? 1 : 0;
    }
    for (uint32_t i = 0; i < core->peer_end; i++) {
        int line = core->peers[i].active ? fixture_check_peer(core, i) : 0;
        if (line != 0) {
            return line;
        }
        active += core->peers[i].active ? 1 : 0;
        owned += core->peers[i].owned;
        owned_next += core->peers[i].owned_next;
    }
    const struct sample_part *now = &table->now;
    const struct sample_part *next = &table->next;
    if (fixture_free(table->owners, table->size, now) != now->free_count ||
        fixture_free(table->owners + table->size, table->next_size, next) != next->free_count ||
        counted != table->counted_count || now->free_count + counted + owned != table->size ||
        next->free_count + owned_next != table->next_size || active != core->peer_count ||
        (owned_next > 0 && core->settings.max_staleness == 0)) {
        return __LINE__;
    }
    return core->committing == (counted == table->size) ? 0 : __LINE__;
}

static inline void fixture_step(struct fixture *self, const struct core_event *event)
{
    CU_ASSERT_EQUAL_FATAL(core_step(self->core, self->now_ms, event, &self->actions), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_check(self->core), 0);
}

/* The first action of this type for `peer` in the answer to the last event; NULL: none. */
static inline const struct core_action *fixture_action(const struct fixture *self,
                                                       enum core_action_type type, uint32_t peer)
{
    for (size_t i = 0; i < self->actions.count; i++) {
        if (self->actions.items[i].type == type && self->actions.items[i].peer == peer) {
            return &self->actions.items[i];
        }
    }
    return NULL;
}

static inline void fixture_tick(struct fixture *self, uint64_t elapsed_ms)
{
    self->now_ms += elapsed_ms;
    fixture_step(self, &(struct core_event){.type = CORE_TICK});
}

static inline void fixture_join(struct fixture *self, uint32_t peer, uint32_t threads)
{
    fixture_step(self, &(struct core_event){.type = CORE_JOINED, .peer = peer, .threads = threads});
}

/* A sign without content: HEARD, LEFT, COMMITTED. */
static inline void fixture_tell(struct fixture *self, enum core_event_type type, uint32_t peer)
{
    fixture_step(self, &(struct core_event){.type = type, .peer = peer});
}

/* READY with the current version. The lease that it brings; a zeroed action: none. */
static inline struct core_action fixture_ready(struct fixture *self, uint32_t peer)
{
    fixture_step(self, &(struct core_event){.type = CORE_READY,
                                            .peer = peer,
                                            .version = core_current_step(self->core)});
    const struct core_action *lease = fixture_action(self, CORE_LEASE, peer);
    return lease != NULL ? *lease : (struct core_action){0};
}

/* PROGRESS or YIELDED. */
static inline void fixture_report(struct fixture *self, enum core_event_type type, uint32_t peer,
                                  uint64_t lease_id, uint64_t samples)
{
    fixture_step(self, &(struct core_event){
                           .type = type, .peer = peer, .lease_id = lease_id, .samples = samples});
}

static inline void fixture_offer(struct fixture *self, uint32_t peer,
                                 const struct core_range *ranges, size_t range_count)
{
    fixture_step(self, &(struct core_event){.type = CORE_OFFERED,
                                            .peer = peer,
                                            .step = core_current_step(self->core),
                                            .ranges = ranges,
                                            .range_count = range_count});
}

/* A kept contribution to `step`; `counted`: it was, says the shell. */
static inline void fixture_offer_again(struct fixture *self, uint32_t peer, uint64_t step,
                                       struct core_range range, bool counted)
{
    fixture_step(self, &(struct core_event){.type = CORE_OFFERED,
                                            .peer = peer,
                                            .step = step,
                                            .ranges = &range,
                                            .range_count = 1,
                                            .again = true,
                                            .counted = counted});
}

/* RECEIVED or ADDED. */
static inline void fixture_answer(struct fixture *self, enum core_event_type type, uint32_t peer,
                                  bool ok)
{
    fixture_step(self, &(struct core_event){.type = type, .peer = peer, .ok = ok});
}

/* Offers one range, numbered from the step's first sample, and has it counted; asserts each answer.
 */
static inline void fixture_hand_in(struct fixture *self, uint32_t peer, uint64_t first,
                                   uint64_t count)
{
    first += self->core->sample_first;
    fixture_offer(self, peer, &(struct core_range){.first = first, .count = count}, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_action(self, CORE_FETCH, peer));
    fixture_answer(self, CORE_RECEIVED, peer, true);
    const struct core_action *add = fixture_action(self, CORE_ADD, peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(add);
    CU_ASSERT_EQUAL(add->count, count);
    fixture_answer(self, CORE_ADDED, peer, true);
    const struct core_action *verdict = fixture_action(self, CORE_VERDICT, peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    CU_ASSERT_TRUE(verdict->ok);
}

/* The offer is answered by a refusal and nothing is fetched. */
static inline void fixture_refused(struct fixture *self, uint32_t peer)
{
    const struct core_action *verdict = fixture_action(self, CORE_VERDICT, peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    CU_ASSERT_FALSE(verdict->ok);
    CU_ASSERT_PTR_NULL(fixture_action(self, CORE_FETCH, peer));
}

/* Peer 0 has done [0, 4), peer 1 has [4, 8) leased. */
static inline struct core_action half_done(struct fixture *f)
{
    struct core_settings settings = fixture_settings(12);
    fixture_init(f, &settings);
    fixture_join(f, 0, 4);
    fixture_join(f, 1, 4);
    fixture_report(f, CORE_PROGRESS, 0, fixture_ready(f, 0).lease_id, 4);
    f->core->peers[0].speed = 0.0;
    return fixture_ready(f, 1);
}

#endif
