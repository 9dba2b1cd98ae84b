#include "tests/sim/experiment_state.h"

#include "proto/codec/codec.h"

#include <math.h>

const char *trial_kind_name(enum trial_kind kind)
{
    static const char *const names[KIND_COUNT] = {"contributions", "sums",   "updates",
                                                  "published",     "hashes", "snapshots",
                                                  "tokens",        "control"};
    return names[kind];
}

/* The packed sums of contributions in mx8; a snapshot is float32. */
enum { SUM_BYTES_PER_VALUE = 2, SNAPSHOT_BYTES_PER_VALUE = 4 };

static uint32_t chunk_bytes(const struct trial_flow *flow, uint32_t values)
{
    uint32_t times = flow->times > 0 ? flow->times : 1;
    if (flow->tag.kind == KIND_SUM) {
        return values * SUM_BYTES_PER_VALUE;
    }
    if (flow->tag.kind == KIND_SNAPSHOT && flow->times == 0) {
        return values * SNAPSHOT_BYTES_PER_VALUE;
    }
    return times * (uint32_t)codec_encoded_bytes(flow->codec, values);
}

int64_t trial_open(struct trial *self, const struct trial_flow *flow)
{
    bool ends = flow->first + flow->count == self->chunk_count;
    struct net_flow opened = {.tag = flow->tag,
                              .from = flow->from,
                              .to = flow->to,
                              .count = flow->count,
                              .offered = flow->offered,
                              .chunk_bytes = chunk_bytes(flow, TRIAL_CHUNK_VALUES),
                              .last_bytes =
                                  chunk_bytes(flow, ends ? self->tail_values : TRIAL_CHUNK_VALUES)};
    return net_open(self->net, &opened);
}

void trial_send(struct trial *self, const struct net_tag *tag, uint32_t to, double bytes)
{
    struct net_flow flow = {.tag = *tag,
                            .from = 0,
                            .to = to,
                            .count = 1,
                            .offered = 1,
                            .chunk_bytes = (uint32_t)bytes,
                            .last_bytes = (uint32_t)bytes};
    net_release(self->net, net_open(self->net, &flow));
}

/* What an owner that is there can take and give on; 0 for others. */
static double capacity_of(const struct trial *self, uint32_t owner, uint32_t gone)
{
    const struct trial_peer *peer = &self->peers[owner];
    if (owner == 0 || owner == gone || peer->gone) {
        return 0.0;
    }
    return fmin(peer->seen_up, peer->seen_down);
}

uint32_t trial_substitute(struct trial *self, uint32_t gone)
{
    double capacity = 0.0;
    for (size_t i = 0; self->settings.repair_by_owners && i < self->part_count; i++) {
        capacity += capacity_of(self, self->parts[i].owner, gone);
    }
    double at = capacity * random_uniform(&self->chance);
    for (size_t i = 0; capacity > 0.0 && i < self->part_count; i++) {
        at -= capacity_of(self, self->parts[i].owner, gone);
        if (at < 0.0) {
            return self->parts[i].owner;
        }
    }
    return 0;
}
