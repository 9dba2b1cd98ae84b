/* What happens to a gather when a contributor or an owner is lost in the middle of it. */
#include "tests/sim/experiment_gather.h"

#include "common/check.h"

static void cancel(struct trial *self, int64_t flow)
{
    if (flow != NET_NONE) {
        net_cancel(self->net, flow);
    }
}

/* The set of this chunk changed: what was summed is void. */
static void unsum(struct trial_round *round, uint32_t chunk)
{
    if (round->summed[chunk] == 2) {
        round->chunks_done--;
    }
    if (round->summed[chunk] != 0) {
        round->epoch[chunk]++;
        round->summed[chunk] = 0;
    }
}

static void died(struct trial *self, struct trial_round *round, uint32_t node)
{
    for (size_t i = 0; i < round->contributor_count; i++) {
        const struct trial_contributor *contributor = &round->contributors[i];
        for (size_t part = 0; contributor->node == node && part < round->part_count; part++) {
            cancel(self, contributor->flows[part]);
        }
    }
    for (size_t part = 0; part < round->part_count; part++) {
        if (round->parts[part].owner != node || round->parts[part].dead) {
            continue;
        }
        cancel(self, round->sums[part].flow);
        for (size_t i = 0; i < round->contributor_count; i++) {
            int64_t flow = round->contributors[i].flows[part];
            cancel(self, flow);
            if (flow != NET_NONE) {
                round->contributors[i].blocked +=
                    round->parts[part].count - net_flow_at(self->net, flow)->delivered;
            }
        }
    }
}

void trial_gather_peer_died(struct trial *self, uint32_t node)
{
    for (size_t i = 0; !self->gather.committing && i < self->gather.round_count; i++) {
        died(self, &self->gather.rounds[i], node);
        trial_gather_settle(self, &self->gather.rounds[i]);
    }
}

/* Takes a contributor out of the set: what owners have of it is subtracted, its samples are lent
 * again. */
static void lose(struct trial *self, struct trial_round *round,
                 struct trial_contributor *contributor)
{
    contributor->lost = true;
    round->settled = false;
    for (uint32_t i = 0; i < round->part_count; i++) {
        const struct trial_part *part = &round->parts[i];
        int64_t flow = contributor->flows[i];
        cancel(self, flow);
        uint32_t count = flow == NET_NONE ? 0 : net_flow_at(self->net, flow)->delivered;
        count = part->dead ? part->count : count;
        for (uint32_t chunk = part->first; chunk < part->first + count; chunk++) {
            if (round->part_of[chunk] == i) {
                round->held[chunk] -= part->dead ? 0 : 1;
                unsum(round, chunk);
            }
        }
    }
    round->expected--;
    trial_work_give_back(self, self->gather.step, contributor->samples);
    if (!self->settings.repair_by_owners) { /* else once, when the round is settled */
        trial_gather_charge_set(self, round);
    }
}

/* What the old owner had not returned, as a part of a new one. False: nothing is left. */
static bool inherit(struct trial *self, struct trial_round *round, uint32_t from,
                    struct trial_part *out)
{
    const struct trial_part *part = &round->parts[from];
    uint32_t end = part->first + part->count;
    uint32_t low = end;
    uint32_t high = end;
    for (uint32_t chunk = part->first; chunk < end; chunk++) {
        if (round->part_of[chunk] == from && round->summed[chunk] != 2) {
            low = chunk < low ? chunk : low;
            high = chunk + 1;
        }
    }
    if (low == end) {
        return false;
    }
    for (uint32_t chunk = low; chunk < high; chunk++) {
        unsum(round, chunk);
        round->held[chunk] = 0;
        round->part_of[chunk] = (uint32_t)round->part_count;
    }
    *out = (struct trial_part){
        .owner = trial_substitute(self, part->owner), .first = low, .count = high - low};
    return true;
}

static void send_again(struct trial *self, struct trial_round *round, size_t index, size_t old_part)
{
    struct trial_contributor *contributor = &round->contributors[index];
    const struct trial_part *old = &round->parts[old_part];
    int64_t flow = contributor->flows[old_part];
    size_t new_part = round->part_count - 1;
    if (contributor->lost || !contributor->started) {
        return;
    }
    if (self->peers[contributor->node].gone) {
        lose(self, round, contributor); /* it cannot send again what it had sent */
        return;
    }
    uint32_t had = flow == NET_NONE ? 0 : net_flow_at(self->net, flow)->delivered;
    contributor->chunks_left += round->parts[new_part].count;
    if (!old->settled) {
        contributor->chunks_left -= old->count - had;
        contributor->blocked -= old->count - had;
    }
    trial_gather_send_part(self, round, index, new_part);
}

/* Finds new owners for what is not summed of parts whose owners are gone. */
static void take_over(struct trial *self, struct trial_round *round)
{
    for (size_t i = 0; i < round->part_count; i++) {
        struct trial_part part;
        if (!round->parts[i].dead || !inherit(self, round, (uint32_t)i, &part)) {
            continue;
        }
        CHECK(round->part_count < round->part_max);
        round->sums[round->part_count].flow = NET_NONE;
        round->parts[round->part_count++] = part;
        for (size_t k = 0; k < round->contributor_count; k++) {
            send_again(self, round, k, i);
        }
        round->parts[i].settled = true;
    }
    for (uint32_t chunk = 0; chunk < self->chunk_count; chunk++) {
        trial_gather_sum_when_whole(self, round, chunk);
    }
}

void trial_gather_peer_missed(struct trial *self, uint32_t node)
{
    struct trial_gather *gather = &self->gather;
    for (size_t i = 0; !gather->committing && i < gather->round_count; i++) {
        struct trial_round *round = &gather->rounds[i];
        for (size_t k = 0; k < round->contributor_count; k++) {
            struct trial_contributor *contributor = &round->contributors[k];
            if (contributor->node == node && !contributor->lost && contributor->chunks_left > 0) {
                lose(self, round, contributor);
            }
        }
        take_over(self, round);
        trial_gather_settle(self, round);
    }
}

void trial_gather_owner_missed(struct trial *self, uint32_t node)
{
    struct trial_gather *gather = &self->gather;
    for (size_t i = 0; !gather->committing && i < gather->round_count; i++) {
        struct trial_round *round = &gather->rounds[i];
        for (size_t k = 0; k < round->part_count; k++) {
            round->parts[k].dead = round->parts[k].dead || round->parts[k].owner == node;
        }
        take_over(self, round);
        trial_gather_settle(self, round);
    }
}
