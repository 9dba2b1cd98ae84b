/* From commit to the update being everywhere: the coordinator to owners, owners to all others. */
#include "tests/sim/experiment_state.h"

#include "common/check.h"
#include "tests/sim/sim_memory.h"

enum {
    RECEIVER_BITS = 32,
    HASH_BYTES = 32,
    MESSAGE_BYTES = 100,
    COMMITTED_UP_BYTES = 150,
    APPLIED_DOWN_BYTES = 60,
    ROUNDTRIPS_PUBLISH = 2 /* latencies: COMMITTED, GRANT */
};

/* Of a part that a receiver had all of when its owner was lost. */
static const int64_t flow_not_needed = NET_NONE - 1;

static struct trial_spread *spread_of(struct trial *self, uint64_t step)
{
    struct trial_spread *spread = &self->spreads[step % TRIAL_SPREADS];
    return spread->active && spread->step == step ? spread : NULL;
}

void trial_spread_free(struct trial_spread *self)
{
    for (size_t i = 0; i < self->receiver_count; i++) {
        sim_memory_free(self->receivers[i].flows);
    }
    sim_memory_free(self->receivers);
    sim_memory_free(self->parts);
    sim_memory_free(self->owner_flows);
    sim_memory_free(self->arrived);
    *self = (struct trial_spread){0};
}

static void drop(struct trial *self, int64_t flow)
{
    if (flow >= 0) {
        net_cancel(self->net, flow);
        net_release(self->net, flow);
    }
}

static void end(struct trial *self, struct trial_spread *spread)
{
    for (size_t part = 0; part < spread->part_count; part++) {
        drop(self, spread->owner_flows[part]);
        for (size_t i = 0; i < spread->receiver_count; i++) {
            drop(self, spread->receivers[i].flows[part]);
        }
    }
    if (self->counted_to_s == 0.0 && self->counted_from_s > 0.0) {
        self->spread_sum += trial_now(self) - spread->began_s;
        self->spread_measured++;
    }
    trial_spread_free(spread);
}

static void add_receiver(struct trial *self, struct trial_spread *spread, uint32_t node)
{
    struct trial_receiver *receiver = &spread->receivers[spread->receiver_count++];
    *receiver = (struct trial_receiver){.node = node, .left = self->chunk_count};
    receiver->flows = sim_memory_new(spread->part_max, sizeof *receiver->flows);
    for (size_t i = 0; i < spread->part_max; i++) {
        receiver->flows[i] = NET_NONE;
    }
    spread->left++;
}

void trial_spread_start(struct trial *self, uint64_t step)
{
    struct trial_spread *spread = &self->spreads[step % TRIAL_SPREADS];
    CHECK(!spread->active);
    *spread = (struct trial_spread){.active = true,
                                    .step = step,
                                    .codec = self->plan.update_codec,
                                    .began_s = trial_now(self),
                                    .part_count = self->part_count,
                                    .part_max = self->part_count + TRIAL_TAKEOVERS};
    spread->parts = sim_memory_new(spread->part_max, sizeof *spread->parts);
    spread->owner_flows = sim_memory_new(spread->part_max, sizeof *spread->owner_flows);
    spread->arrived = sim_memory_new(spread->part_max, sizeof *spread->arrived);
    spread->receivers = sim_memory_new(self->peer_count, sizeof *spread->receivers);
    for (size_t i = 0; i < self->part_count; i++) {
        spread->parts[i] = self->parts[i];
        if (self->peers[spread->parts[i].owner].owner_missed) {
            spread->parts[i].owner = trial_substitute(self, spread->parts[i].owner);
        }
        spread->owner_flows[i] = NET_NONE;
    }
    for (uint32_t node = 1; node < self->peer_count; node++) {
        const struct trial_peer *peer = &self->peers[node];
        if (!peer->gone && !peer->behind && peer->computes) {
            add_receiver(self, spread, node);
        }
    }
    net_charge(self->net, KIND_CONTROL, COMMITTED_UP_BYTES * (double)spread->receiver_count,
               APPLIED_DOWN_BYTES * (double)spread->receiver_count);
    net_after(self->net, ROUNDTRIPS_PUBLISH * trial_latency_s, TIMER_PUBLISH, step, 0);
}

static void publish_part(struct trial *self, struct trial_spread *spread, size_t index)
{
    const struct trial_part *part = &spread->parts[index];
    if (part->owner == 0) {
        spread->arrived[index] = part->count;
    } else if (!self->peers[part->owner].gone) {
        spread->owner_flows[index] =
            trial_open(self, &(struct trial_flow){.tag = {.kind = KIND_PUBLISH,
                                                          .slot = spread->step % TRIAL_SPREADS,
                                                          .part = (uint32_t)index},
                                                  .to = part->owner,
                                                  .first = part->first,
                                                  .count = part->count,
                                                  .offered = part->count,
                                                  .codec = spread->codec});
    }
}

void trial_spread_publish(struct trial *self, uint64_t step)
{
    struct trial_spread *spread = spread_of(self, step);
    if (spread == NULL) {
        return;
    }
    for (size_t i = 0; i < spread->part_count; i++) {
        if (!spread->parts[i].dead) {
            publish_part(self, spread, i);
        }
    }
    for (size_t i = 0; i < spread->receiver_count; i++) {
        if (!spread->receivers[i].over) {
            trial_send(self,
                       &(struct net_tag){
                           .kind = KIND_HASHES, .slot = (uint32_t)step, .member = (uint32_t)i},
                       spread->receivers[i].node,
                       MESSAGE_BYTES + (double)self->chunk_count * HASH_BYTES);
        }
    }
}

void trial_spread_hashes(struct trial *self, const struct net_flow *flow)
{
    net_after(self->net, trial_latency_s, TIMER_RECEIVE,
              (uint64_t)flow->tag.slot << RECEIVER_BITS | flow->tag.member, 0);
}

/* A receiver fetches what it lacks of a part from the owner. */
static void fetch(struct trial *self, struct trial_spread *spread, size_t member, size_t index,
                  uint32_t had)
{
    struct trial_receiver *receiver = &spread->receivers[member];
    const struct trial_part *part = &spread->parts[index];
    uint32_t arrived = spread->arrived[index];
    if (had == part->count) {
        receiver->flows[index] = flow_not_needed;
        return;
    }
    if (part->owner == receiver->node || self->peers[part->owner].gone) {
        return;
    }
    receiver->flows[index] =
        trial_open(self, &(struct trial_flow){.tag = {.kind = KIND_UPDATE,
                                                      .slot = spread->step % TRIAL_SPREADS,
                                                      .part = (uint32_t)index,
                                                      .member = (uint32_t)member},
                                              .from = part->owner,
                                              .to = receiver->node,
                                              .first = part->first + had,
                                              .count = part->count - had,
                                              .offered = arrived > had ? arrived - had : 0,
                                              .codec = spread->codec});
}

void trial_spread_receive(struct trial *self, uint64_t subject)
{
    struct trial_spread *spread = spread_of(self, subject >> RECEIVER_BITS);
    size_t member = (uint32_t)subject;
    if (spread == NULL || spread->receivers[member].over) {
        return;
    }
    spread->receivers[member].open = true;
    for (size_t i = 0; i < spread->part_count; i++) {
        if (!spread->parts[i].dead) {
            fetch(self, spread, member, i, 0);
        }
    }
}

static void take(struct trial *self, struct trial_spread *spread, struct trial_receiver *receiver,
                 uint32_t count)
{
    if (receiver->over) {
        return;
    }
    CHECK(receiver->left >= count);
    receiver->left -= count;
    if (receiver->left > 0) {
        return;
    }
    receiver->over = true;
    if (spread->step >= self->peers[receiver->node].version) {
        self->peers[receiver->node].updates |= UINT64_C(1) << spread->step % 64;
    }
    uint32_t node = receiver->node;
    if (--spread->left == 0) {
        end(self, spread);
    }
    trial_apply(self, node);
}

void trial_spread_at_owner(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_spread *spread = &self->spreads[flow->tag.slot];
    size_t index = flow->tag.part;
    const struct trial_part *part = &spread->parts[index];
    struct trial_receiver *own = NULL;
    spread->arrived[index] += count;
    for (size_t i = 0; i < spread->receiver_count; i++) {
        struct trial_receiver *receiver = &spread->receivers[i];
        if (receiver->node == part->owner) {
            own = receiver;
        } else if (receiver->flows[index] >= 0 && !receiver->over) {
            uint32_t had = part->count - net_flow_at(self->net, receiver->flows[index])->count;
            if (spread->arrived[index] > had) {
                net_offer(self->net, receiver->flows[index], spread->arrived[index] - had);
            }
        }
    }
    if (own != NULL) {
        take(self, spread, own, count);
    }
}

void trial_spread_chunks(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    struct trial_spread *spread = &self->spreads[flow->tag.slot];
    take(self, spread, &spread->receivers[flow->tag.member], count);
}

static void cancel(struct trial *self, int64_t flow)
{
    if (flow >= 0) {
        net_cancel(self->net, flow);
    }
}

static void died(struct trial *self, struct trial_spread *spread, uint32_t node)
{
    for (size_t part = 0; part < spread->part_count; part++) {
        if (spread->parts[part].owner == node) {
            cancel(self, spread->owner_flows[part]);
            for (size_t i = 0; i < spread->receiver_count; i++) {
                cancel(self, spread->receivers[i].flows[part]);
            }
        }
    }
    for (size_t i = 0; i < spread->receiver_count; i++) {
        struct trial_receiver *receiver = &spread->receivers[i];
        if (receiver->node == node && !receiver->over) {
            for (size_t part = 0; part < spread->part_count; part++) {
                cancel(self, receiver->flows[part]);
            }
            receiver->over = true;
            spread->left--;
        }
    }
    if (spread->left == 0) {
        end(self, spread);
    }
}

void trial_spread_peer_died(struct trial *self, uint32_t node)
{
    for (size_t i = 0; i < TRIAL_SPREADS; i++) {
        if (self->spreads[i].active) {
            died(self, &self->spreads[i], node);
        }
    }
}

static void take_over(struct trial *self, struct trial_spread *spread, size_t from)
{
    size_t to = spread->part_count++;
    CHECK(spread->part_count <= spread->part_max);
    spread->parts[from].dead = true;
    spread->parts[to] = spread->parts[from];
    spread->parts[to].dead = false;
    spread->parts[to].owner = trial_substitute(self, spread->parts[from].owner);
    spread->owner_flows[to] = NET_NONE;
    publish_part(self, spread, to);
    for (size_t i = 0; i < spread->receiver_count; i++) {
        struct trial_receiver *receiver = &spread->receivers[i];
        int64_t flow = receiver->flows[from];
        if (!receiver->open || receiver->over) {
            continue;
        }
        uint32_t lacked = flow == flow_not_needed ? 0 : spread->parts[from].count;
        if (flow >= 0) {
            const struct net_flow *old = net_flow_at(self->net, flow);
            lacked = old->count - old->delivered;
        }
        if (receiver->node == spread->parts[to].owner) {
            /* It gets the whole part, to serve it. */
            receiver->left += spread->parts[from].count - lacked;
        } else {
            fetch(self, spread, i, to, spread->parts[from].count - lacked);
        }
    }
}

void trial_spread_owner_missed(struct trial *self, uint32_t node)
{
    for (size_t i = 0; i < TRIAL_SPREADS; i++) {
        struct trial_spread *spread = &self->spreads[i];
        size_t before = spread->part_count;
        for (size_t part = 0; spread->active && part < before; part++) {
            if (spread->parts[part].owner == node && !spread->parts[part].dead) {
                take_over(self, spread, part);
            }
        }
    }
}
