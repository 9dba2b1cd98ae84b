#include "coordinator/core/core_state.h"

#include <math.h>

static struct lease *empty_lease(struct peer *peer)
{
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        if (peer->leases[i].id == 0) {
            return &peer->leases[i];
        }
    }
    return NULL;
}

/* A peer can compute for this step: it asked, holds the right parameters and is not handing in. */
static bool can_work(const struct core *self, const struct peer *peer)
{
    return peer->active && peer->wants_work && peer->version == self->step &&
           peer->offer == OFFER_NONE && !peer->collect_sent &&
           peer->uncollected < CORE_UNCOLLECTED_MAX;
}

static double total_speed(const struct core *self)
{
    double total = 0.0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (peer->active && peer->version == self->step) {
            total += peer->speed;
        }
    }
    return total;
}

/* Half of the peer's fair share of what is free, so that the last leases are small and all
 * peers end together; at most lease_ms of work; one sample a thread while nothing is known. */
static uint32_t lease_size(const struct core *self, const struct peer *peer, double total)
{
    double size = (double)peer->threads;
    if (peer->speed > 0.0) {
        double share = 0.5 * (double)self->table.free_count * peer->speed / total;
        size = fmin(share, peer->speed * (double)self->settings.lease_ms);
    }
    size = fmin(ceil(fmax(size, 1.0)), (double)self->settings.lease_samples_max);
    return (uint32_t)size;
}

static enum status grant_lease(struct core *self, uint32_t index, uint64_t now_ms, double total,
                               struct core_actions *actions)
{
    struct peer *peer = &self->peers[index];
    struct lease *lease = empty_lease(peer);
    uint32_t first = 0;
    uint32_t count = 0;
    if (lease == NULL ||
        !sample_table_take(&self->table, index, lease_size(self, peer, total), &first, &count)) {
        return STATUS_OK;
    }
    if (lease_samples_left(peer) == 0) {
        peer->mark_ms = now_ms;
        peer->mark_samples = 0;
    }
    *lease = (struct lease){.id = self->next_lease_id++, .first = first, .count = count};
    lease_start(self, peer, lease, now_ms);
    peer->owned += count;
    peer->uncollected++;
    peer->wants_work = false;
    struct core_action *action = actions_add(actions, CORE_LEASE, index);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->lease_id = lease->id;
    action->step = self->step;
    action->first = first;
    action->count = count;
    action->duration_ms = lease->deadline_ms - now_ms;
    return STATUS_OK;
}

enum rank { RANK_PROVEN, RANK_NEW, RANK_BUSY, RANK_COUNT };

/* Those who have nothing to do come first: what was taken back for them must not go to a peer
 * that is busy, least of all to the one that gave it. Among them, those who have handed in good
 * work: some who take leases and do nothing could else pass them to each other for ever. */
static enum rank rank_of(const struct peer *peer)
{
    if (lease_samples_left(peer) > 0) {
        return RANK_BUSY;
    }
    return peer->proven ? RANK_PROVEN : RANK_NEW;
}

/* Begins after the peer of this rank that was served last. */
static enum status grant_leases(struct core *self, uint64_t now_ms, enum rank rank,
                                struct core_actions *actions)
{
    double total = total_speed(self);
    uint32_t start = self->grant_start < self->peer_end ? self->grant_start : 0;
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < self->peer_end && self->table.free_count > 0 && status == STATUS_OK;
         n++) {
        uint32_t i = (start + n) % self->peer_end;
        const struct peer *peer = &self->peers[i];
        if (can_work(self, peer) && rank_of(peer) == rank) {
            self->grant_start = i + 1;
            status = grant_lease(self, i, now_ms, total, actions);
        }
    }
    return status;
}

/* When the peer would end all it has, counted from now; unknown speeds count as a long time. */
static double remaining_ms(const struct peer *peer)
{
    uint32_t left = lease_samples_left(peer);
    return peer->speed > 0.0 ? (double)left / peer->speed : (double)left * 1e6;
}

/* The peer's latest lease of which something may not have begun; NULL: none. */
static struct lease *reclaimable_lease(struct peer *peer)
{
    struct lease *found = NULL;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        struct lease *lease = &peer->leases[i];
        bool fits = lease->id != 0 && !lease->reclaim_open && !lease->reclaim_settled &&
                    lease->count - lease->done > peer->threads;
        if (fits && (found == NULL || lease->id > found->id)) {
            found = lease;
        }
    }
    return found;
}

/* The lease whose unbegun rest helps most: of the peer that will end last, its latest one. */
static struct lease *slowest_lease(struct core *self, uint32_t *out_peer)
{
    struct lease *found = NULL;
    double longest = 0.0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        struct peer *peer = &self->peers[i];
        double remaining = peer->active ? remaining_ms(peer) : 0.0;
        struct lease *lease = remaining > longest ? reclaimable_lease(peer) : NULL;
        if (lease != NULL) {
            found = lease;
            longest = remaining;
            *out_peer = i;
        }
    }
    return found;
}

/* The fastest peer without work, unless a question is open for every such peer; NULL: none. */
static const struct peer *find_idle(const struct core *self)
{
    const struct peer *fastest = NULL;
    size_t idle_count = 0;
    size_t open_count = 0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        for (size_t j = 0; j < CORE_LEASES_PER_PEER; j++) {
            open_count += peer->leases[j].reclaim_open ? 1 : 0;
        }
        if (can_work(self, peer) && lease_samples_left(peer) == 0) {
            idle_count++;
            fastest = fastest == NULL || peer->speed > fastest->speed ? peer : fastest;
        }
    }
    return idle_count > open_count ? fastest : NULL;
}

/* Asks the slowest peer to give back what the idle one would finish sooner: the split that lets
 * both end together, by their speeds. A newcomer counts as fast as the slowest. */
static enum status reclaim_for_idle(struct core *self, uint64_t now_ms,
                                    struct core_actions *actions)
{
    uint32_t index = 0;
    const struct peer *idle = find_idle(self);
    struct lease *lease = idle != NULL ? slowest_lease(self, &index) : NULL;
    if (lease == NULL) {
        return STATUS_OK;
    }
    const struct peer *slow = &self->peers[index];
    uint32_t left = lease->count - lease->done;
    bool known = slow->speed > 0.0 && idle->speed > 0.0;
    double keep_share = known ? slow->speed / (slow->speed + idle->speed) : 0.5;
    uint32_t keep = (uint32_t)ceil((double)left * keep_share);
    keep = keep < slow->threads ? slow->threads : keep;
    if (keep >= left) {
        return STATUS_OK;
    }
    struct core_action *action = actions_add(actions, CORE_RECLAIM, index);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    lease->reclaim_open = true;
    lease->reclaim_ms = now_ms;
    action->lease_id = lease->id;
    action->count = lease->done + keep;
    return STATUS_OK;
}

/* What waits for a claim may not be computed yet. */
static bool all_done(const struct core *self)
{
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (lease_samples_left(peer) > 0 || (peer->claim_due && peer->owned > 0)) {
            return false;
        }
    }
    return self->table.free_count == 0;
}

/* Asks the peers to hand in: all of them at the end, one alone when it has as many ranges as a
 * contribution can name. */
static enum status collect(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    bool everyone = all_done(self);
    for (uint32_t i = 0; i < self->peer_end; i++) {
        struct peer *peer = &self->peers[i];
        bool due = everyone ||
                   (peer->uncollected >= CORE_UNCOLLECTED_MAX && lease_samples_left(peer) == 0);
        if (!due || !peer->active || peer->owned == 0 || peer->collect_sent || peer->claim_due ||
            peer->offer != OFFER_NONE) {
            continue;
        }
        struct core_action *action = actions_add(actions, CORE_COLLECT, i);
        if (action == NULL) {
            return STATUS_NO_MEMORY;
        }
        action->step = self->step;
        peer->collect_sent = true;
        peer->collect_ms = now_ms;
    }
    return STATUS_OK;
}

enum status plan_work(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    if (self->committing || core_idle(self) || self->step >= self->settings.step_count) {
        return STATUS_OK;
    }
    enum status status = STATUS_OK;
    for (int rank = RANK_PROVEN; rank < RANK_COUNT && status == STATUS_OK; rank++) {
        status = grant_leases(self, now_ms, (enum rank)rank, actions);
    }
    if (status == STATUS_OK && self->table.free_count == 0) {
        status = reclaim_for_idle(self, now_ms, actions);
    }
    return status == STATUS_OK ? collect(self, now_ms, actions) : status;
}
