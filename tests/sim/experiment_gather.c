/* From collect to commit: contributions to owners, sums to the coordinator, and what happens when
 * one of them is lost. */
#include "tests/sim/experiment_state.h"

#include "common/check.h"
#include "tests/sim/sim_memory.h"

enum {
    ROUNDTRIPS_COLLECT = 5, /* latencies: COLLECT, CONTRIBUTION, DELIVER, OPEN, GRANT */
    COLLECT_UP_BYTES = 30 + 250 + 60, /* COLLECT, DELIVER, VERDICT */
    COLLECT_DOWN_BYTES = 200,         /* CONTRIBUTION */
    SET_BYTES = 60,
    SERIAL_BYTES = 8,
    SUMS_FIRST = 16,
    CONTRIBUTORS_FIRST = 64,
    CONTRIBUTOR_BITS = 32
};
static const uint32_t sums_endless = UINT32_MAX / 2;
static const double optimizer_values_per_s = 2.5e8; /* merge, journal, AdamW, encode */

static void begin(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    *gather = (struct trial_gather){.active = true,
                                    .step = self->committed,
                                    .began_s = trial_now(self),
                                    .part_count = self->part_count,
                                    .part_max = self->part_count + TRIAL_TAKEOVERS};
    gather->parts = sim_memory_new(gather->part_max, sizeof *gather->parts);
    gather->sums = sim_memory_new(gather->part_max, sizeof *gather->sums);
    gather->held = sim_memory_new(self->chunk_count, sizeof *gather->held);
    gather->epoch = sim_memory_new(self->chunk_count, sizeof *gather->epoch);
    gather->part_of = sim_memory_new(self->chunk_count, sizeof *gather->part_of);
    gather->summed = sim_memory_new(self->chunk_count, sizeof *gather->summed);
    for (size_t i = 0; i < self->part_count; i++) {
        struct trial_part *part = &gather->parts[i];
        *part = self->parts[i];
        gather->sums[i].flow = NET_NONE;
        if (self->peers[part->owner].owner_missed) {
            part->owner = trial_substitute(self, part->owner);
        }
        for (uint32_t chunk = part->first; chunk < part->first + part->count; chunk++) {
            gather->part_of[chunk] = (uint32_t)i;
        }
    }
}

void trial_gather_free(struct trial_gather *self)
{
    for (size_t i = 0; i < self->contributor_count; i++) {
        sim_memory_free(self->contributors[i].flows);
    }
    for (size_t i = 0; i < self->part_count; i++) {
        sim_memory_free(self->sums[i].chunks);
        sim_memory_free(self->sums[i].epochs);
    }
    sim_memory_free(self->contributors);
    sim_memory_free(self->parts);
    sim_memory_free(self->sums);
    sim_memory_free(self->held);
    sim_memory_free(self->epoch);
    sim_memory_free(self->part_of);
    sim_memory_free(self->summed);
    *self = (struct trial_gather){0};
}

static bool samples_are_done(const struct trial *self)
{
    const struct trial_pool *pool = &self->pools[self->gather.step % 2];
    return pool->free == 0 && pool->out == 0;
}

static void finish_when_done(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    if (!gather->active || gather->committing || gather->chunks_done < self->chunk_count ||
        gather->central_left > 0 || !samples_are_done(self)) {
        return;
    }
    gather->committing = true;
    double values = (double)(self->chunk_count - 1) * TRIAL_CHUNK_VALUES + self->tail_values;
    net_after(self->net, values / optimizer_values_per_s, TIMER_COMMIT, 0, 0);
}

static void send_sum(struct trial *self, uint32_t part_index, uint32_t chunk)
{
    struct trial_gather *gather = &self->gather;
    struct trial_sums *sums = &gather->sums[part_index];
    if (sums->count == sums->capacity) {
        sums->capacity = sums->capacity == 0 ? SUMS_FIRST : 2 * sums->capacity;
        sums->chunks = sim_memory_resize(sums->chunks, sums->capacity, sizeof *sums->chunks);
        sums->epochs = sim_memory_resize(sums->epochs, sums->capacity, sizeof *sums->epochs);
    }
    sums->chunks[sums->count] = chunk;
    sums->epochs[sums->count++] = gather->epoch[chunk];
    if (sums->flow == NET_NONE) {
        sums->flow = trial_open(self, &(struct trial_flow){
                                          .tag = {.kind = KIND_SUM, .part = part_index},
                                          .from = gather->parts[part_index].owner,
                                          .count = sums_endless});
    }
    net_offer(self->net, sums->flow, sums->count);
}

/* Sums the chunk when all of the set is there. When repairs go to owners, nothing is sent that
 * samples still to come would change. */
static void sum_when_whole(struct trial *self, uint32_t chunk)
{
    struct trial_gather *gather = &self->gather;
    uint32_t index = gather->part_of[chunk];
    const struct trial_part *part = &gather->parts[index];
    if (gather->summed[chunk] != 0 || gather->held[chunk] != gather->expected || part->dead ||
        self->peers[part->owner].gone ||
        (self->settings.repair_by_owners && !samples_are_done(self))) {
        return;
    }
    if (part->owner == 0) {
        gather->summed[chunk] = 2;
        gather->chunks_done++;
    } else {
        gather->summed[chunk] = 1;
        send_sum(self, index, chunk);
    }
}

static void sum_all_that_are_whole(struct trial *self)
{
    for (uint32_t chunk = 0; chunk < self->chunk_count; chunk++) {
        sum_when_whole(self, chunk);
    }
    finish_when_done(self);
}

/* The set of this chunk changed: what was summed is void. */
static void unsum(struct trial *self, uint32_t chunk)
{
    struct trial_gather *gather = &self->gather;
    if (gather->summed[chunk] == 2) {
        gather->chunks_done--;
    }
    if (gather->summed[chunk] != 0) {
        gather->epoch[chunk]++;
        gather->summed[chunk] = 0;
    }
}

static void charge_sets(struct trial *self)
{
    double owners = 0.0;
    for (size_t i = 0; i < self->gather.part_count; i++) {
        owners += self->gather.parts[i].owner != 0 && !self->gather.parts[i].dead;
    }
    net_charge(self->net, KIND_CONTROL,
               owners * (SET_BYTES + SERIAL_BYTES * (double)self->gather.expected), 0.0);
}

static void add_contributor(struct trial *self, uint32_t node, bool central)
{
    struct trial_gather *gather = &self->gather;
    struct trial_peer *peer = &self->peers[node];
    size_t at = gather->step % 2;
    if (gather->contributor_count == gather->contributor_max) {
        gather->contributor_max =
            gather->contributor_max == 0 ? CONTRIBUTORS_FIRST : 2 * gather->contributor_max;
        gather->contributors = sim_memory_resize(gather->contributors, gather->contributor_max,
                                                 sizeof *gather->contributors);
    }
    struct trial_contributor *contributor = &gather->contributors[gather->contributor_count++];
    *contributor = (struct trial_contributor){.node = node,
                                              .samples = peer->done[at],
                                              .stale = peer->stale[at],
                                              .codec = peer->codec,
                                              .central = central,
                                              .chunks_left = self->chunk_count};
    contributor->flows = sim_memory_new(central ? 1 : gather->part_max, sizeof(int64_t));
    for (size_t i = 0; i < (central ? 1 : gather->part_max); i++) {
        contributor->flows[i] = NET_NONE;
    }
    peer->done[at] = 0;
    peer->stale[at] = 0;
    gather->central_left += central ? self->chunk_count : 0;
    gather->expected += central ? 0 : 1;
}

void trial_gather_collect(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    bool first = !gather->active;
    if (first) {
        begin(self);
    }
    CHECK(!gather->committing);
    size_t from = gather->contributor_count;
    for (uint32_t node = 1; node < self->peer_count; node++) {
        if (self->peers[node].done[gather->step % 2] > 0) {
            add_contributor(self, node, !first && !self->settings.repair_by_owners);
        }
    }
    size_t count = gather->contributor_count - from;
    for (uint32_t chunk = 0; count > 0 && !first && chunk < self->chunk_count; chunk++) {
        if (self->settings.repair_by_owners) {
            unsum(self, chunk);
        }
    }
    charge_sets(self);
    net_charge(self->net, KIND_CONTROL, COLLECT_UP_BYTES * (double)count,
               COLLECT_DOWN_BYTES * (double)count);
    net_after(self->net, ROUNDTRIPS_COLLECT * trial_latency_s, TIMER_DELIVER,
              gather->step << CONTRIBUTOR_BITS | from, (uint32_t)count);
    if (first && self->settings.overlap) {
        net_after(self->net, 2 * trial_latency_s, TIMER_POOL, gather->step + 1, 0);
    }
    finish_when_done(self);
}

static void hold(struct trial *self, uint32_t first, uint32_t count)
{
    for (uint32_t chunk = first; chunk < first + count; chunk++) {
        self->gather.held[chunk]++;
        sum_when_whole(self, chunk);
    }
}

/* `count` chunks of a part, from `first` on. */
static void send_part(struct trial *self, size_t index, size_t part_index)
{
    struct trial_contributor *contributor = &self->gather.contributors[index];
    const struct trial_part *part = &self->gather.parts[part_index];
    if (part->owner == contributor->node) {
        contributor->chunks_left -= part->count;
        hold(self, part->first, part->count);
    } else if (!self->peers[part->owner].gone) {
        contributor->flows[part_index] = trial_open(
            self, &(struct trial_flow){.tag = {.kind = KIND_CONTRIBUTION,
                                               .part = (uint32_t)part_index,
                                               .member = (uint32_t)index},
                                       .from = contributor->node,
                                       .to = part->owner,
                                       .first = part->first,
                                       .count = part->count,
                                       .offered = part->count,
                                       .codec = contributor->codec});
    }
}

static void send_all(struct trial *self, size_t index)
{
    struct trial_contributor *contributor = &self->gather.contributors[index];
    contributor->started = true;
    if (contributor->central) {
        contributor->flows[0] = trial_open(self, &(struct trial_flow){
                                                     .tag = {.kind = KIND_CONTRIBUTION,
                                                             .member = (uint32_t)index},
                                                     .from = contributor->node,
                                                     .count = self->chunk_count,
                                                     .offered = self->chunk_count,
                                                     .codec = contributor->codec});
        return;
    }
    for (size_t i = 0; i < self->gather.part_count; i++) {
        if (!self->gather.parts[i].dead) {
            send_part(self, index, i);
        }
    }
}

void trial_gather_deliver(struct trial *self, uint64_t subject, uint32_t count)
{
    size_t first = (uint32_t)subject;
    if (!self->gather.active || self->gather.step != subject >> CONTRIBUTOR_BITS) {
        return;
    }
    for (size_t index = first; index < first + count; index++) {
        const struct trial_contributor *contributor = &self->gather.contributors[index];
        if (!contributor->lost && !self->peers[contributor->node].gone) {
            send_all(self, index);
        }
    }
    finish_when_done(self);
}

void trial_gather_chunks(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_gather *gather = &self->gather;
    struct trial_contributor *contributor = &gather->contributors[flow->tag.member];
    contributor->chunks_left -= count;
    if (contributor->central) {
        gather->central_left -= count;
    } else {
        hold(self, gather->parts[flow->tag.part].first + flow->delivered - count, count);
    }
    finish_when_done(self);
}

void trial_gather_sums(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_gather *gather = &self->gather;
    const struct trial_sums *sums = &gather->sums[flow->tag.part];
    for (uint32_t i = flow->delivered - count; i < flow->delivered; i++) {
        uint32_t chunk = sums->chunks[i];
        if (gather->summed[chunk] == 1 && gather->epoch[chunk] == sums->epochs[i]) {
            gather->summed[chunk] = 2;
            gather->chunks_done++;
        }
    }
    finish_when_done(self);
}

static void cancel(struct trial *self, int64_t flow)
{
    if (flow != NET_NONE) {
        net_cancel(self->net, flow);
    }
}

void trial_gather_peer_died(struct trial *self, uint32_t node)
{
    struct trial_gather *gather = &self->gather;
    if (!gather->active || gather->committing) {
        return;
    }
    for (size_t i = 0; i < gather->contributor_count; i++) {
        const struct trial_contributor *contributor = &gather->contributors[i];
        for (size_t part = 0; contributor->node == node &&
                              part < (contributor->central ? 1 : gather->part_count);
             part++) {
            cancel(self, contributor->flows[part]);
        }
    }
    for (size_t part = 0; part < gather->part_count; part++) {
        if (gather->parts[part].owner != node) {
            continue;
        }
        cancel(self, gather->sums[part].flow);
        for (size_t i = 0; i < gather->contributor_count; i++) {
            if (!gather->contributors[i].central) {
                cancel(self, gather->contributors[i].flows[part]);
            }
        }
    }
}

/* Takes a contributor out of the set: what owners have of it is subtracted, its samples are lent
 * again. */
static void lose(struct trial *self, struct trial_contributor *contributor)
{
    struct trial_gather *gather = &self->gather;
    contributor->lost = true;
    if (contributor->central) {
        cancel(self, contributor->flows[0]);
        gather->central_left -= contributor->chunks_left;
    }
    for (size_t i = 0; !contributor->central && i < gather->part_count; i++) {
        const struct trial_part *part = &gather->parts[i];
        int64_t flow = contributor->flows[i];
        cancel(self, flow);
        uint32_t count = flow == NET_NONE || part->dead ? 0 : net_flow_at(self->net, flow)->delivered;
        for (uint32_t chunk = part->first; chunk < part->first + count; chunk++) {
            gather->held[chunk]--;
            unsum(self, chunk);
        }
    }
    gather->expected -= contributor->central ? 0 : 1;
    trial_work_give_back(self, gather->step, contributor->samples);
    charge_sets(self);
}

void trial_gather_peer_missed(struct trial *self, uint32_t node)
{
    struct trial_gather *gather = &self->gather;
    if (!gather->active || gather->committing) {
        return;
    }
    for (size_t i = 0; i < gather->contributor_count; i++) {
        struct trial_contributor *contributor = &gather->contributors[i];
        if (contributor->node == node && !contributor->lost && contributor->chunks_left > 0) {
            lose(self, contributor);
        }
    }
    sum_all_that_are_whole(self);
}

/* What the old owner had not returned, as a part of the new one. False: nothing is left. */
static bool inherit(struct trial *self, size_t from, struct trial_part *out)
{
    struct trial_gather *gather = &self->gather;
    const struct trial_part *part = &gather->parts[from];
    uint32_t low = part->first + part->count;
    uint32_t high = low;
    for (uint32_t chunk = part->first; chunk < part->first + part->count; chunk++) {
        if (gather->summed[chunk] != 2) {
            low = chunk < low ? chunk : low;
            high = chunk + 1;
        }
    }
    if (low == part->first + part->count) {
        return false;
    }
    *out = (struct trial_part){.first = low, .count = high - low};
    for (uint32_t chunk = low; chunk < high; chunk++) {
        unsum(self, chunk);
        gather->held[chunk] = 0;
        gather->part_of[chunk] = (uint32_t)gather->part_count;
    }
    return true;
}

static void send_again(struct trial *self, size_t index, size_t old_part, size_t new_part)
{
    struct trial_gather *gather = &self->gather;
    struct trial_contributor *contributor = &gather->contributors[index];
    int64_t flow = contributor->flows[old_part];
    if (contributor->lost || contributor->central || !contributor->started) {
        return;
    }
    if (self->peers[contributor->node].gone) {
        lose(self, contributor); /* it cannot send again what it had sent */
        return;
    }
    uint32_t had = flow == NET_NONE ? 0 : net_flow_at(self->net, flow)->delivered;
    contributor->chunks_left += gather->parts[new_part].count;
    contributor->chunks_left -= gather->parts[old_part].count - had;
    send_part(self, index, new_part);
}

void trial_gather_owner_missed(struct trial *self, uint32_t node)
{
    struct trial_gather *gather = &self->gather;
    size_t before = gather->part_count;
    if (!gather->active || gather->committing) {
        return;
    }
    for (size_t i = 0; i < before; i++) {
        struct trial_part part;
        if (gather->parts[i].owner != node || gather->parts[i].dead) {
            continue;
        }
        gather->parts[i].dead = true;
        if (!inherit(self, i, &part)) {
            continue;
        }
        CHECK(gather->part_count < gather->part_max);
        part.owner = trial_substitute(self, node);
        gather->sums[gather->part_count].flow = NET_NONE;
        gather->parts[gather->part_count++] = part;
        for (size_t k = 0; k < gather->contributor_count; k++) {
            send_again(self, k, i, gather->part_count - 1);
        }
    }
    sum_all_that_are_whole(self);
}

void trial_gather_end(struct trial *self)
{
    struct trial_gather *gather = &self->gather;
    for (size_t i = 0; i < gather->contributor_count; i++) {
        const struct trial_contributor *contributor = &gather->contributors[i];
        self->samples_stale += contributor->lost ? 0 : contributor->stale;
        for (size_t part = 0; part < (contributor->central ? 1 : gather->part_count); part++) {
            cancel(self, contributor->flows[part]);
            net_release(self->net, contributor->flows[part]);
        }
    }
    for (size_t i = 0; i < gather->part_count; i++) {
        cancel(self, gather->sums[i].flow);
        net_release(self->net, gather->sums[i].flow);
    }
    trial_gather_free(gather);
}
