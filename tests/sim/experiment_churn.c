/* Who leaves, who comes, and what a newcomer fetches. */
#include "tests/sim/experiment_state.h"

#include "tests/sim/sim_memory.h"

#include <math.h>

enum { UPDATES_RATHER_THAN_SNAPSHOT = 3, WELCOME_BYTES = 700, HASH_BYTES = 32 };
/* HOLDS come five times a second; a peer is silent for six seconds before it is given up. */
static const double owner_missed_s = 2.0;
static const double peer_missed_s = 6.0;
static const double probe_noise = 0.1;

uint32_t trial_add_peer(struct trial *self, const struct trial_peer_spec *spec)
{
    if (self->peer_count == self->peer_capacity) {
        self->peer_capacity = self->peer_capacity == 0 ? 64 : 2 * self->peer_capacity;
        self->peers = sim_memory_resize(self->peers, self->peer_capacity, sizeof *self->peers);
    }
    uint32_t node = net_add_node(self->net, spec->up_bytes_per_s, spec->down_bytes_per_s);
    self->peer_count = (size_t)node + 1;
    struct trial_peer *peer = &self->peers[node];
    *peer = (struct trial_peer){.spec = *spec, .codec = CODEC_MX8, .has_parameters = true};
    peer->seen_up =
        spec->up_bytes_per_s * (1.0 + probe_noise * (2.0 * random_uniform(&self->chance) - 1.0));
    peer->seen_down =
        spec->down_bytes_per_s * (1.0 + probe_noise * (2.0 * random_uniform(&self->chance) - 1.0));
    if (node > 0 && self->settings.half_life_s > 0.0) {
        double life_s =
            -log(1.0 - random_uniform(&self->chance)) * self->settings.half_life_s / log(2.0);
        net_after(self->net, life_s, TIMER_LEAVE, node, 0);
    }
    return node;
}

static void fetch(struct trial *self, uint32_t node, uint32_t from, const struct trial_part *part,
                  uint32_t times)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->join_count == peer->join_max) {
        peer->join_max = peer->join_max == 0 ? 16 : 2 * peer->join_max;
        peer->join_flows =
            sim_memory_resize(peer->join_flows, peer->join_max, sizeof *peer->join_flows);
    }
    peer->join_flows[peer->join_count++] =
        trial_open(self, &(struct trial_flow){.tag = {.kind = KIND_SNAPSHOT, .slot = times},
                                              .from = from,
                                              .to = node,
                                              .first = part->first,
                                              .count = part->count,
                                              .offered = part->count,
                                              .codec = self->plan.update_codec,
                                              .times = times});
}

static void forget_flows(struct trial *self, struct trial_peer *peer)
{
    for (size_t i = 0; i < peer->join_count; i++) {
        net_cancel(self->net, peer->join_flows[i]);
        net_release(self->net, peer->join_flows[i]);
    }
    peer->join_count = 0;
}

void trial_join(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    uint64_t missed = self->committed - peer->version;
    bool updates = peer->has_parameters && missed <= UPDATES_RATHER_THAN_SNAPSHOT;
    peer->behind = true;
    peer->fetching_version = self->committed;
    peer->join_chunks_left = self->chunk_count;
    net_charge(self->net, KIND_CONTROL, WELCOME_BYTES + (double)HASH_BYTES * self->chunk_count,
               WELCOME_BYTES);
    for (size_t i = 0; i < self->part_count; i++) {
        const struct trial_part *part = &self->parts[i];
        uint32_t from = part->owner;
        if (from == node || self->peers[from].gone) {
            from = trial_substitute(self, from);
        }
        fetch(self, node, from == node ? 0 : from, part, updates ? (uint32_t)missed : 0);
    }
}

void trial_join_chunks(struct trial *self, const struct net_flow *flow, uint32_t count)
{
    uint32_t node = flow->to;
    struct trial_peer *peer = &self->peers[node];
    peer->join_chunks_left -= count;
    if (peer->gone || peer->join_chunks_left > 0) {
        return;
    }
    forget_flows(self, peer);
    peer->version = peer->fetching_version;
    peer->has_parameters = true;
    if (peer->version < self->committed) {
        trial_join(self, node);
        return;
    }
    peer->behind = false;
    trial_work_want(self, node);
}

void trial_join_owner_missed(struct trial *self, uint32_t gone)
{
    for (uint32_t node = 1; node < self->peer_count; node++) {
        size_t before = self->peers[node].join_count;
        for (size_t i = 0; i < before && !self->peers[node].gone; i++) {
            const struct net_flow *flow = net_flow_at(self->net, self->peers[node].join_flows[i]);
            uint32_t left = flow->count - flow->delivered;
            if (flow->from != gone || left == 0) {
                continue;
            }
            uint32_t from = trial_substitute(self, gone);
            fetch(self, node, from == node ? 0 : from, &(struct trial_part){.count = left},
                  flow->tag.slot);
        }
    }
}

static void come(struct trial *self)
{
    struct trial_peer_spec spec = self->settings.newcomer(self->settings.seed, self->newcomers++);
    trial_count_capacity(self);
    uint32_t node = trial_add_peer(self, &spec);
    self->peers[node].has_parameters = false;
    self->peers[node].computes = spec.samples_per_s > 0.0;
    self->rate_here += spec.samples_per_s;
    self->members_changed = true;
    self->joined++;
    trial_join(self, node);
}

void trial_leave(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    trial_count_capacity(self);
    peer->gone = true;
    peer->waiting = false;
    self->rate_here -= peer->computes ? peer->spec.samples_per_s : 0.0;
    self->members_changed = true;
    self->left++;
    forget_flows(self, peer);
    for (uint32_t other = 1; other < self->peer_count; other++) {
        for (size_t i = 0; i < self->peers[other].join_count; i++) {
            int64_t flow = self->peers[other].join_flows[i];
            if (net_flow_at(self->net, flow)->from == node) {
                net_cancel(self->net, flow);
            }
        }
    }
    trial_gather_peer_died(self, node);
    trial_spread_peer_died(self, node);
    net_after(self->net, owner_missed_s, TIMER_OWNER_LOST, node, 0);
    net_after(self->net, peer_missed_s, TIMER_LOST, node, 0);
    come(self);
}

void trial_lost(struct trial *self, uint32_t node)
{
    trial_gather_peer_missed(self, node);
    trial_work_forget(self, node);
}
