#include "tests/sim/experiment_state.h"

#include "common/check.h"

#include <math.h>

enum {
    LEASE_SECONDS = 5,
    LEASE_BYTES = 160,
    TOKEN_BYTES = 2,
    REST_PART = 100,        /* of a batch */
    ASK_AHEAD_LATENCIES = 5 /* READY, LEASE, and what the links are busy with */
};
static const double noise = 0.03;

static struct trial_pool *pool_of(struct trial *self, uint64_t step)
{
    struct trial_pool *pool = &self->pools[step % 2];
    return pool->step == step ? pool : NULL;
}

/* The oldest step that this peer may compute for: on its own version, or one behind. */
static struct trial_pool *pool_for(struct trial *self, const struct trial_peer *peer)
{
    for (uint64_t step = self->committed; step <= self->committed + 1; step++) {
        struct trial_pool *pool = pool_of(self, step);
        bool may = peer->version == step ||
                   (self->settings.overlap && step > 0 && peer->version == step - 1);
        may = may && (peer->seen_up >= self->quick_bytes_per_s ||
                      !self->settings.repair_by_owners || !trial_gather_repairs(self, step));
        if (pool != NULL && pool->open && pool->free > 0 && may) {
            return pool;
        }
    }
    return NULL;
}

/* About five seconds of work, and less towards the end of the step (guided self-scheduling). */
static uint32_t lease_size(const struct trial *self, const struct trial_peer *peer,
                           const struct trial_pool *pool)
{
    double left_s = pool->free / fmax(self->rate_here, peer->spec.samples_per_s);
    double size = floor(peer->spec.samples_per_s * fmin(LEASE_SECONDS, left_s / 2.0));
    uint32_t count = size < 1.0 ? 1 : (uint32_t)size;
    return count < pool->free ? count : pool->free;
}

void trial_work_ready(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->gone || peer->behind || !peer->asked || peer->next.count > 0) {
        return;
    }
    struct trial_pool *pool = peer->computes ? pool_for(self, peer) : NULL;
    peer->waiting = pool == NULL;
    if (pool == NULL) {
        return;
    }
    uint32_t count = lease_size(self, peer, pool);
    pool->free -= count;
    pool->out += count;
    peer->next = (struct trial_lease){.step = pool->step, .count = count};
    trial_send(self, &(struct net_tag){.kind = KIND_TOKENS}, node,
               LEASE_BYTES + (double)count * TOKEN_BYTES * (self->settings.context + 1));
}

void trial_work_want(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    if (!peer->gone && !peer->behind && peer->computes && !peer->asked && peer->next.count == 0) {
        peer->asked = true;
        net_after(self->net, trial_latency_s, TIMER_READY, node, 0);
    }
}

static void start_lease(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->now.count > 0 || peer->next.count == 0 || !peer->next.here) {
        return;
    }
    peer->now = peer->next;
    peer->next = (struct trial_lease){0};
    peer->now.judged = peer->version >= peer->now.step;
    peer->sample_s =
        (1.0 + noise * (2.0 * random_uniform(&self->chance) - 1.0)) / peer->spec.samples_per_s;
    double seconds = peer->pause_s + peer->sample_s * peer->now.count;
    peer->lease_at_s = trial_now(self) + peer->pause_s;
    peer->pause_s = 0.0;
    peer->lease_serial++;
    double ahead_s = fmin(seconds, ASK_AHEAD_LATENCIES * trial_latency_s);
    net_after(self->net, seconds - ahead_s, TIMER_HUNGRY, node, peer->lease_serial);
    net_after(self->net, seconds, TIMER_LEASE, node, peer->lease_serial);
}

void trial_work_lease_came(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->gone) {
        return;
    }
    peer->asked = false;
    peer->next.here = true;
    start_lease(self, node);
}

void trial_work_hungry(struct trial *self, uint32_t node, uint32_t serial)
{
    if (self->peers[node].lease_serial == serial) {
        trial_work_want(self, node);
    }
}

void trial_work_lease_ended(struct trial *self, uint32_t node, uint32_t serial)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->gone || peer->lease_serial != serial) {
        return;
    }
    if (!peer->now.judged) {
        peer->now.stale = peer->now.count;
    }
    size_t at = peer->now.step % 2;
    peer->done[at] += peer->now.count;
    peer->stale[at] += peer->now.stale;
    net_after(self->net, trial_latency_s, TIMER_PROGRESS, peer->now.step, peer->now.count);
    peer->now = (struct trial_lease){0};
    start_lease(self, node);
    trial_work_want(self, node);
}

static void serve_waiting(struct trial *self)
{
    for (uint32_t node = 1; node < self->peer_count; node++) {
        if (self->peers[node].waiting) {
            trial_work_ready(self, node);
        }
    }
}

void trial_work_collect_when_done(struct trial *self)
{
    struct trial_pool *pool = pool_of(self, self->committed);
    /* Where owners repair, what little is computed again may follow in a round of its own: with
     * many that leave there is always some. */
    bool rest_may_follow = self->settings.repair_by_owners && !self->gather.active;
    uint32_t out_max = rest_may_follow ? self->settings.target_batch / REST_PART : 0;
    if (pool != NULL && pool->open && !pool->collected && pool->free == 0 && pool->out <= out_max &&
        trial_gather_may_collect(self)) {
        pool->collected = pool->out == 0;
        trial_gather_collect(self);
    }
}

void trial_work_progress(struct trial *self, uint64_t step, uint32_t count)
{
    struct trial_pool *pool = pool_of(self, step);
    CHECK(pool != NULL && pool->out >= count);
    pool->out -= count;
    trial_work_collect_when_done(self);
}

void trial_work_open(struct trial *self, uint64_t step)
{
    struct trial_pool *pool = &self->pools[step % 2];
    if (pool->step == step && pool->open) {
        trial_work_collect_when_done(
            self); /* its samples may have been done before its turn came */
        return;
    }
    *pool = (struct trial_pool){.step = step, .open = true, .free = self->settings.target_batch};
    serve_waiting(self);
}

void trial_work_give_back(struct trial *self, uint64_t step, uint32_t count)
{
    struct trial_pool *pool = pool_of(self, step);
    CHECK(pool != NULL);
    pool->free += count;
    pool->collected = false;
    self->samples_lost += count;
    serve_waiting(self);
}

void trial_work_update_applied(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    if (peer->now.count > 0 && !peer->now.judged && peer->version == peer->now.step) {
        double begun = floor((trial_now(self) - peer->lease_at_s) / peer->sample_s) + 1.0;
        begun = fmin(fmax(begun, 0.0), peer->now.count);
        peer->now.stale = (uint32_t)begun;
        peer->now.judged = true;
    }
    if (peer->waiting) { /* the coordinator hears of the new version */
        net_after(self->net, trial_latency_s, TIMER_READY, node, 0);
    }
    trial_work_want(self, node);
}

void trial_work_forget(struct trial *self, uint32_t node)
{
    struct trial_peer *peer = &self->peers[node];
    struct trial_lease *leases[] = {&peer->now, &peer->next};
    for (size_t i = 0; i < 2; i++) {
        if (leases[i]->count > 0) {
            pool_of(self, leases[i]->step)->out -= leases[i]->count;
            trial_work_give_back(self, leases[i]->step, leases[i]->count);
        }
        *leases[i] = (struct trial_lease){0};
    }
    for (uint64_t step = self->committed; step <= self->committed + 1; step++) {
        size_t at = step % 2;
        if (peer->done[at] > 0) {
            uint32_t count = peer->done[at];
            peer->done[at] = 0;
            trial_work_give_back(self, step, count);
        }
    }
    trial_work_collect_when_done(self);
}
