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

bool may_be_stale(const struct core *self, uint64_t version, uint64_t step)
{
    return self->settings.max_staleness > 0 && version != UINT64_MAX && version + 1 == step &&
           step >= self->settings.stale_from;
}

/* A peer can compute for this step: it asked, holds parameters that will do and is not handing in.
 */
static bool can_work(const struct core *self, const struct peer *peer)
{
    bool fits = peer->version == self->step || may_be_stale(self, peer->version, self->step);
    return peer->active && peer->wants_work && fits && peer->offer == OFFER_NONE &&
           !peer->collect_sent && peer->uncollected < CORE_UNCOLLECTED_MAX;
}

/* The next step may be lent to those who are done with this one. */
static bool next_is_open(const struct core *self)
{
    return may_be_stale(self, self->step, self->step + 1) && !self->paused && !self->held &&
           self->step + 1 < self->settings.step_count && self->table.next.free_count > 0;
}

/* The peer can go on with the next step: what it has of this one is encoded. While it hands in it
 * can do nothing else; but a sample that is free here comes first. */
static bool can_work_ahead(const struct core *self, const struct peer *peer)
{
    return peer->active && peer->wants_work && peer->version == self->step &&
           peer->owned == offer_samples(peer) &&
           (self->table.now.free_count == 0 || peer->offer != OFFER_NONE) &&
           peer->uncollected_next < CORE_UNCOLLECTED_MAX;
}

static double total_speed(const struct core *self)
{
    double total = 0.0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (peer->active &&
            (peer->version == self->step || may_be_stale(self, peer->version, self->step))) {
            total += peer->speed;
        }
    }
    return total;
}

/* Half of the peer's fair share of what is free, so that the last leases are small and all
 * peers end together; at most lease_ms of work; one sample a thread while nothing is known. */
static uint32_t lease_size(const struct core *self, const struct peer *peer, uint32_t free_count,
                           double total)
{
    double size = (double)peer->threads;
    if (peer->speed > 0.0) {
        double share = 0.5 * (double)free_count * peer->speed / total;
        size = fmin(share, peer->speed * (double)self->settings.lease_ms);
    }
    size = fmin(ceil(fmax(size, 1.0)), (double)self->settings.lease_samples_max);
    return (uint32_t)size;
}

/* What is to be lent: of the step in progress, or of the next one. */
struct supply {
    bool ahead;
    double total_speed;
};

static bool take_samples(struct core *self, uint32_t index, const struct supply *supply,
                         uint32_t *out_place, uint32_t *out_count)
{
    struct sample_table *table = &self->table;
    const struct sample_part *part = supply->ahead ? &table->next : &table->now;
    uint32_t size = lease_size(self, &self->peers[index], part->free_count, supply->total_speed);
    return supply->ahead ? sample_table_take_next(table, index, size, out_place, out_count)
                         : sample_table_take(table, index, size, out_place, out_count);
}

static enum status grant_lease(struct core *self, uint32_t index, uint64_t now_ms,
                               const struct supply *supply, struct core_actions *actions)
{
    struct peer *peer = &self->peers[index];
    struct lease *lease = empty_lease(peer);
    uint32_t place = 0;
    uint32_t count = 0;
    if (lease == NULL || !take_samples(self, index, supply, &place, &count)) {
        return STATUS_OK;
    }
    if (lease_samples_left(peer) == 0) {
        peer->mark_ms = now_ms;
        peer->mark_samples = 0;
    }
    *lease = (struct lease){
        .id = self->next_lease_id++, .first = self->sample_first + place, .count = count};
    lease_start(self, peer, lease, now_ms);
    *(supply->ahead ? &peer->owned_next : &peer->owned) += count;
    *(supply->ahead ? &peer->uncollected_next : &peer->uncollected) += 1;
    peer->wants_work = false;
    struct core_action *action = actions_add(actions, CORE_LEASE, index);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->lease_id = lease->id;
    action->step = supply->ahead ? self->step + 1 : self->step;
    action->version = peer->version;
    action->first = lease->first;
    action->count = count;
    action->duration_ms = lease->deadline_ms - now_ms;
    return STATUS_OK;
}

enum rank { RANK_PROVEN, RANK_NEW, RANK_BUSY, RANK_AHEAD, RANK_COUNT };

/* Those who have nothing to do come first: what was taken back for them must not go to a peer
 * that is busy, least of all to the one that gave it. Among them, those who have handed in good
 * work: some who take leases and do nothing could else pass them to each other for ever. Those who
 * are at the next step come last: they have to set aside what they hold of it. */
static enum rank rank_of(const struct peer *peer)
{
    if (peer->owned_next > 0) {
        return RANK_AHEAD;
    }
    if (lease_samples_left(peer) > 0) {
        return RANK_BUSY;
    }
    return peer->proven ? RANK_PROVEN : RANK_NEW;
}

/* Fewer than a quarter of the peers have a faster uplink. */
static bool is_fast(const struct core *self, const struct peer *peer)
{
    uint32_t faster = 0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        faster += self->peers[i].active && self->peers[i].uplink > peer->uplink ? 1 : 0;
    }
    return faster * CORE_UPLINK_SHARE < self->peer_count;
}

/* Notes since when samples that were lost are nobody's, and who is fast enough for them. */
static void note_repair(struct core *self, uint64_t now_ms)
{
    bool repairs = self->asked && self->lost > 0 && self->table.now.free_count > 0;
    if (repairs && !self->repairs) {
        self->lost_ms = now_ms;
        self->uplink_min = 0.0;
        for (uint32_t i = 0; i < self->peer_end; i++) {
            const struct peer *peer = &self->peers[i];
            bool lower = self->uplink_min <= 0.0 || peer->uplink < self->uplink_min;
            if (peer->active && lower && is_fast(self, peer)) {
                self->uplink_min = peer->uplink;
            }
        }
    }
    self->repairs = repairs;
}

/* The peer may be lent what is free now. */
static bool may_repair(const struct core *self, const struct peer *peer, uint64_t now_ms)
{
    return !self->repairs || now_ms - self->lost_ms >= CORE_UPLINK_MS ||
           peer->uplink >= self->uplink_min;
}

/* Begins after the peer of this rank that was served last. */
static enum status grant_leases(struct core *self, uint64_t now_ms, enum rank rank,
                                struct core_actions *actions)
{
    const struct supply supply = {.total_speed = total_speed(self)};
    uint32_t start = self->grant_start < self->peer_end ? self->grant_start : 0;
    enum status status = STATUS_OK;
    for (uint32_t n = 0;
         n < self->peer_end && self->table.now.free_count > 0 && status == STATUS_OK; n++) {
        uint32_t i = (start + n) % self->peer_end;
        const struct peer *peer = &self->peers[i];
        if (can_work(self, peer) && rank_of(peer) == rank && may_repair(self, peer, now_ms)) {
            self->grant_start = i + 1;
            status = grant_lease(self, i, now_ms, &supply, actions);
        }
    }
    return status;
}

static enum status grant_ahead(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    const struct supply supply = {.ahead = true, .total_speed = total_speed(self)};
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < self->peer_end && next_is_open(self) && status == STATUS_OK; i++) {
        if (can_work_ahead(self, &self->peers[i])) {
            status = grant_lease(self, i, now_ms, &supply, actions);
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

/* The peer's latest lease of this step of which something may not have begun; NULL: none. */
static struct lease *reclaimable_lease(const struct core *self, struct peer *peer)
{
    struct lease *found = NULL;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        struct lease *lease = &peer->leases[i];
        bool fits = lease->id != 0 && lease->first < next_first(self) && !lease->reclaim_open &&
                    !lease->reclaim_settled && lease->count - lease->done > peer->threads;
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
        struct lease *lease = remaining > longest ? reclaimable_lease(self, peer) : NULL;
        if (lease != NULL) {
            found = lease;
            longest = remaining;
            *out_peer = i;
        }
    }
    return found;
}

/* Without work and at this step. */
static bool is_idle(const struct core *self, const struct peer *peer)
{
    return can_work(self, peer) && lease_samples_left(peer) == 0 && peer->owned_next == 0;
}

/* Peers without work for which no question is open. */
static size_t idle_to_serve(const struct core *self)
{
    size_t idle_count = 0;
    size_t open_count = 0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        for (size_t j = 0; j < CORE_LEASES_PER_PEER; j++) {
            open_count += peer->leases[j].reclaim_open ? 1 : 0;
        }
        idle_count += is_idle(self, peer) ? 1 : 0;
    }
    return idle_count > open_count ? idle_count - open_count : 0;
}

/* The fastest peer without work, unless a question is open for every such peer; NULL: none. */
static const struct peer *find_idle(const struct core *self)
{
    const struct peer *fastest = NULL;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (is_idle(self, peer) && (fastest == NULL || peer->speed > fastest->speed)) {
            fastest = peer;
        }
    }
    return idle_to_serve(self) > 0 ? fastest : NULL;
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

/* Nothing is missing but a few that are computed for the second time. What waits for a claim may
 * not be computed yet. */
static bool all_done(const struct core *self)
{
    uint32_t missing = self->table.now.free_count;
    uint32_t few = self->table.size / CORE_STRAGGLERS;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (peer->claim_due && peer->owned > 0) {
            return false;
        }
        missing += lease_samples_due(self, peer);
    }
    return missing <= (self->lost < few ? self->lost : few);
}

/* A peer that is to hand in by itself: it has as many ranges as a contribution can name; or it has
 * work of the next step, and nothing but what it holds of this one keeps it from going on with
 * that. */
static bool is_full(const struct core *self, const struct peer *peer)
{
    bool blocked = peer->owned_next > 0 && self->table.now.free_count == 0;
    return lease_samples_due(self, peer) == 0 &&
           (blocked || peer->uncollected >= CORE_UNCOLLECTED_MAX);
}

/* Asks the peers to hand in: all of them at the end, one alone when it is full. With work for it in
 * the next step, also one that has nothing more to do in this one: so its bytes move while others
 * compute. */
static enum status collect(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    bool everyone = all_done(self);
    bool early = self->table.now.free_count == 0 && next_is_open(self);
    size_t served = early ? idle_to_serve(self) : 0;
    bool asked = false;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        struct peer *peer = &self->peers[i];
        bool serve = served > 0 && is_idle(self, peer) && peer->version == self->step;
        bool due = everyone || is_full(self, peer) || serve;
        if (!due || !peer->active || peer->owned == 0 || peer->collect_sent || peer->claim_due ||
            peer->offer != OFFER_NONE || lease_samples_due(self, peer) > 0) {
            continue;
        }
        struct core_action *action = actions_add(actions, CORE_COLLECT, i);
        if (action == NULL) {
            return STATUS_NO_MEMORY;
        }
        action->step = self->step;
        peer->collect_sent = true;
        peer->collect_ms = now_ms;
        served -= serve ? 1 : 0;
        asked = true;
    }
    self->collects += everyone && asked ? 1 : 0;
    self->asked = self->asked || everyone;
    return STATUS_OK;
}

/* Of the step in progress. */
static enum status plan_step(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    enum status status = STATUS_OK;
    note_repair(self, now_ms);
    for (int rank = RANK_PROVEN; rank < RANK_COUNT && status == STATUS_OK; rank++) {
        status = grant_leases(self, now_ms, (enum rank)rank, actions);
    }
    if (status == STATUS_OK && self->table.now.free_count == 0) {
        status = reclaim_for_idle(self, now_ms, actions);
    }
    return status == STATUS_OK ? collect(self, now_ms, actions) : status;
}

enum status plan_work(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    if (core_idle(self) || self->step >= self->settings.step_count) {
        return STATUS_OK;
    }
    enum status status = self->committing ? STATUS_OK : plan_step(self, now_ms, actions);
    return status == STATUS_OK ? grant_ahead(self, now_ms, actions) : status;
}
