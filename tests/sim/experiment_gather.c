/* From collect to commit: contributions to owners, sums to the coordinator. */
#include "tests/sim/experiment_gather.h"

#include "common/check.h"
#include "tests/sim/sim_memory.h"

enum {
    ROUNDTRIPS_COLLECT = 5,           /* latencies: COLLECT, CONTRIBUTION, DELIVER, OPEN, GRANT */
    COLLECT_UP_BYTES = 30 + 250 + 60, /* COLLECT, DELIVER, VERDICT */
    COLLECT_DOWN_BYTES = 200,         /* CONTRIBUTION */
    SET_BYTES = 60,
    SERIAL_BYTES = 8,
    SUMS_FIRST = 16,
    ROUND_BITS = 32
};
static const uint32_t sums_endless = UINT32_MAX / 2;
static const double optimizer_values_per_s = 2.5e8; /* merge, journal, AdamW, encode */
static const double messages_in_a_row = 13.0;       /* of a step, from READY to READY */

static double optimizer_s(const struct trial *self)
{
    return (double)self->settings.value_count / optimizer_values_per_s;
}

double trial_overhead_s(const struct trial *self)
{
    return messages_in_a_row * trial_latency_s + optimizer_s(self);
}

/* A round's parts are those of the plan; or all is the coordinator's. */
static void init_round(struct trial *self, struct trial_round *round, bool central)
{
    size_t count = central ? 1 : self->part_count;
    *round = (struct trial_round){.part_count = count, .part_max = count + TRIAL_TAKEOVERS};
    round->parts = sim_memory_new(round->part_max, sizeof *round->parts);
    round->sums = sim_memory_new(round->part_max, sizeof *round->sums);
    round->contributors = sim_memory_new(self->peer_count, sizeof *round->contributors);
    round->held = sim_memory_new(self->chunk_count, sizeof *round->held);
    round->epoch = sim_memory_new(self->chunk_count, sizeof *round->epoch);
    round->part_of = sim_memory_new(self->chunk_count, sizeof *round->part_of);
    round->summed = sim_memory_new(self->chunk_count, sizeof *round->summed);
    for (size_t i = 0; i < count; i++) {
        struct trial_part *part = &round->parts[i];
        if (central) {
            *part = (struct trial_part){.count = self->chunk_count};
        } else {
            *part = self->parts[i];
        }
        round->sums[i].flow = NET_NONE;
        if (self->peers[part->owner].owner_missed) {
            part->owner = trial_substitute(self, part->owner);
        }
        for (uint32_t chunk = part->first; chunk < part->first + part->count; chunk++) {
            round->part_of[chunk] = (uint32_t)i;
        }
    }
}

static void drop(struct trial *self, int64_t flow)
{
    if (flow != NET_NONE) {
        net_cancel(self->net, flow);
        net_release(self->net, flow);
    }
}

static void free_round(struct trial *self, struct trial_round *round)
{
    for (size_t i = 0; i < round->contributor_count; i++) {
        for (size_t part = 0; part < round->part_count; part++) {
            drop(self, round->contributors[i].flows[part]);
        }
        sim_memory_free(round->contributors[i].flows);
    }
    for (size_t i = 0; i < round->part_count; i++) {
        drop(self, round->sums[i].flow);
        sim_memory_free(round->sums[i].chunks);
        sim_memory_free(round->sums[i].epochs);
    }
    sim_memory_free(round->contributors);
    sim_memory_free(round->parts);
    sim_memory_free(round->sums);
    sim_memory_free(round->held);
    sim_memory_free(round->epoch);
    sim_memory_free(round->part_of);
    sim_memory_free(round->summed);
}

void trial_gather_end(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    for (size_t i = 0; i < gather->round_count; i++) {
        const struct trial_round *round = &gather->rounds[i];
        for (size_t k = 0; k < round->contributor_count; k++) {
            self->samples_stale += round->contributors[k].lost ? 0 : round->contributors[k].stale;
        }
        free_round(self, &gather->rounds[i]);
    }
    *gather = (struct trial_gather){0};
}

bool trial_gather_may_collect(const struct trial *self)
{
    const struct trial_gather *gather = &self->gather;
    return gather->round_count == 0 || !self->settings.repair_by_owners ||
           gather->rounds[gather->round_count - 1].settled;
}

bool trial_gather_repairs(const struct trial *self, uint64_t step)
{
    return self->gather.active && self->gather.step == step;
}

void trial_gather_finish_when_done(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    const struct trial_pool *pool = &self->pools[gather->step % 2];
    if (!gather->active || gather->committing || pool->free > 0 || pool->out > 0) {
        return;
    }
    for (size_t i = 0; i < gather->round_count; i++) {
        if (gather->rounds[i].chunks_done < self->chunk_count) {
            return;
        }
    }
    gather->committing = true;
    net_after(self->net, optimizer_s(self), TIMER_COMMIT, 0, 0);
}

static void send_sum(struct trial *self, struct trial_round *round, uint32_t chunk)
{
    uint32_t index = round->part_of[chunk];
    struct trial_sums *sums = &round->sums[index];
    if (sums->count == sums->capacity) {
        sums->capacity = sums->capacity == 0 ? SUMS_FIRST : 2 * sums->capacity;
        sums->chunks = sim_memory_resize(sums->chunks, sums->capacity, sizeof *sums->chunks);
        sums->epochs = sim_memory_resize(sums->epochs, sums->capacity, sizeof *sums->epochs);
    }
    sums->chunks[sums->count] = chunk;
    sums->epochs[sums->count++] = round->epoch[chunk];
    if (sums->flow == NET_NONE) {
        uint32_t slot = (uint32_t)(round - self->gather.rounds);
        sums->flow = trial_open(
            self, &(struct trial_flow){.tag = {.kind = KIND_SUM, .slot = slot, .part = index},
                                       .from = round->parts[index].owner,
                                       .count = sums_endless});
    }
    net_offer(self->net, sums->flow, sums->count);
}

void trial_gather_sum_when_whole(struct trial *self, struct trial_round *round, uint32_t chunk)
{
    const struct trial_part *part = &round->parts[round->part_of[chunk]];
    if (round->summed[chunk] != 0 || round->held[chunk] != round->expected || part->dead ||
        self->peers[part->owner].gone || (self->settings.repair_by_owners && !round->settled)) {
        return;
    }
    if (part->owner == 0) {
        round->summed[chunk] = 2;
        round->chunks_done++;
    } else {
        round->summed[chunk] = 1;
        send_sum(self, round, chunk);
    }
}

void trial_gather_settle(struct trial *self, struct trial_round *round)
{
    bool before = round->settled;
    round->settled = true;
    for (size_t i = 0; round->settled && i < round->contributor_count; i++) {
        const struct trial_contributor *contributor = &round->contributors[i];
        round->settled = contributor->lost || contributor->chunks_left == contributor->blocked;
    }
    for (uint32_t chunk = 0; round->settled && chunk < self->chunk_count; chunk++) {
        trial_gather_sum_when_whole(self, round, chunk);
    }
    if (round->settled) {
        if (!before && self->settings.repair_by_owners) {
            trial_gather_charge_set(self, round);
        }
        trial_work_collect_when_done(self);
    }
    trial_gather_finish_when_done(self);
}

void trial_gather_charge_set(struct trial *self, const struct trial_round *round)
{
    double owners = 0.0;
    for (size_t i = 0; i < round->part_count; i++) {
        owners += round->parts[i].owner != 0 && !round->parts[i].dead;
    }
    net_charge(self->net, KIND_CONTROL,
               owners * (SET_BYTES + SERIAL_BYTES * (double)round->expected), 0.0);
}

static void add_contributor(struct trial *self, struct trial_round *round, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    size_t at = self->gather.step % 2;
    struct trial_contributor *contributor = &round->contributors[round->contributor_count++];
    *contributor = (struct trial_contributor){.node = node,
                                              .samples = peer->done[at],
                                              .stale = peer->stale[at],
                                              .codec = peer->codec,
                                              .chunks_left = self->chunk_count};
    contributor->flows = sim_memory_new(round->part_max, sizeof *contributor->flows);
    for (size_t i = 0; i < round->part_max; i++) {
        contributor->flows[i] = NET_NONE;
    }
    peer->done[at] = 0;
    peer->stale[at] = 0;
    round->expected++;
}

void trial_gather_collect(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    bool first = !gather->active;
    if (first) {
        *gather = (struct trial_gather){
            .active = true, .step = self->committed, .began_s = trial_now(self)};
    }
    CHECK(!gather->committing);
    if (gather->round_count == TRIAL_ROUNDS) {
        self->stuck = true;
        return;
    }
    struct trial_round *round = &gather->rounds[gather->round_count];
    init_round(self, round, !first && !self->settings.repair_by_owners);
    for (uint32_t node = 1; node < self->peer_count; node++) {
        if (self->peers[node].done[gather->step % 2] > 0) {
            add_contributor(self, round, node);
        }
    }
    if (!self->settings.repair_by_owners) {
        trial_gather_charge_set(self, round);
    }
    net_charge(self->net, KIND_CONTROL, COLLECT_UP_BYTES * (double)round->contributor_count,
               COLLECT_DOWN_BYTES * (double)round->contributor_count);
    net_after(self->net, ROUNDTRIPS_COLLECT * trial_latency_s, TIMER_DELIVER,
              gather->step << ROUND_BITS | gather->round_count++, 0);
    if (first && self->settings.overlap) {
        net_after(self->net, 2 * trial_latency_s, TIMER_POOL, gather->step + 1, 0);
    }
}

static void hold(struct trial *self, struct trial_round *round, uint32_t first, uint32_t count)
{
    for (uint32_t chunk = first; chunk < first + count; chunk++) {
        round->held[chunk]++;
        trial_gather_sum_when_whole(self, round, chunk);
    }
}

void trial_gather_send_part(struct trial *self, struct trial_round *round, size_t index,
                            size_t part_index)
{
    struct trial_contributor *contributor = &round->contributors[index];
    const struct trial_part *part = &round->parts[part_index];
    if (part->owner == contributor->node) {
        contributor->chunks_left -= part->count;
        hold(self, round, part->first, part->count);
    } else if (!self->peers[part->owner].gone) {
        uint32_t slot = (uint32_t)(round - self->gather.rounds);
        contributor->flows[part_index] =
            trial_open(self, &(struct trial_flow){.tag = {.kind = KIND_CONTRIBUTION,
                                                          .slot = slot,
                                                          .part = (uint32_t)part_index,
                                                          .member = (uint32_t)index},
                                                  .from = contributor->node,
                                                  .to = part->owner,
                                                  .first = part->first,
                                                  .count = part->count,
                                                  .offered = part->count,
                                                  .codec = contributor->codec});
    } else {
        contributor->blocked += part->count;
    }
}

void trial_gather_deliver(struct trial *self, uint64_t subject)
{
    struct trial_round *round = &self->gather.rounds[(uint32_t)subject];
    if (!trial_gather_repairs(self, subject >> ROUND_BITS)) {
        return;
    }
    for (size_t index = 0; index < round->contributor_count; index++) {
        struct trial_contributor *contributor = &round->contributors[index];
        if (contributor->lost || self->peers[contributor->node].gone) {
            continue;
        }
        contributor->started = true;
        for (size_t i = 0; i < round->part_count; i++) {
            if (!round->parts[i].dead) {
                trial_gather_send_part(self, round, index, i);
            }
        }
    }
    trial_gather_settle(self, round);
}

void trial_gather_chunks(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_round *round = &self->gather.rounds[flow->tag.slot];
    struct trial_contributor *contributor = &round->contributors[flow->tag.member];
    contributor->chunks_left -= count;
    hold(self, round, round->parts[flow->tag.part].first + flow->delivered - count, count);
    if (contributor->chunks_left == contributor->blocked) {
        trial_gather_settle(self, round);
    } else {
        trial_gather_finish_when_done(self);
    }
}

void trial_gather_sums(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_round *round = &self->gather.rounds[flow->tag.slot];
    const struct trial_sums *sums = &round->sums[flow->tag.part];
    for (uint32_t i = flow->delivered - count; i < flow->delivered; i++) {
        uint32_t chunk = sums->chunks[i];
        if (round->summed[chunk] == 1 && round->epoch[chunk] == sums->epochs[i]) {
            round->summed[chunk] = 2;
            round->chunks_done++;
        }
    }
    trial_gather_finish_when_done(self);
}
