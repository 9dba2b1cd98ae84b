#include "common/check.h"
#include "coordinator/core/core_state.h"

uint32_t lease_samples_left(const struct peer *peer)
{
    uint32_t left = 0;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        left += lease->id != 0 ? lease->count - lease->done : 0;
    }
    return left;
}

uint32_t lease_samples_due(const struct core *self, const struct peer *peer)
{
    uint32_t due = 0;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        bool present = lease->id != 0 && lease->first < next_first(self);
        due += present ? lease->count - lease->done : 0;
    }
    return due;
}

/* How long the peer will take for `samples`; 0 when its speed is unknown. */
static uint64_t expected_ms(const struct peer *peer, uint32_t samples)
{
    return peer->speed > 0.0 ? (uint64_t)((double)samples / peer->speed) : 0;
}

uint64_t lease_expected_ms(const struct peer *peer)
{
    return expected_ms(peer, lease_samples_left(peer));
}

/* All leases of a peer move together: it works through them in order. The limit keeps a peer
 * that slows down with every report from holding up the step for ever. */
static void move_deadlines(const struct core *self, struct peer *peer, uint64_t now_ms)
{
    uint64_t deadline_ms =
        now_ms + 4 * expected_ms(peer, lease_samples_left(peer)) + self->settings.patience_ms;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        struct lease *lease = &peer->leases[i];
        lease->deadline_ms = deadline_ms < lease->limit_ms ? deadline_ms : lease->limit_ms;
    }
}

void lease_start(const struct core *self, const struct peer *peer, struct lease *lease,
                 uint64_t now_ms)
{
    uint64_t expected = expected_ms(peer, lease_samples_left(peer));
    uint64_t usual_ms = expected > self->settings.lease_ms ? expected : self->settings.lease_ms;
    lease->deadline_ms = now_ms + 4 * expected + self->settings.patience_ms;
    lease->limit_ms = now_ms + 8 * usual_ms + 4 * self->settings.patience_ms;
}

static struct lease *find_lease(struct peer *peer, uint64_t lease_id)
{
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        if (peer->leases[i].id == lease_id && lease_id != 0) {
            return &peer->leases[i];
        }
    }
    return NULL;
}

uint32_t core_lease_samples(const struct core *self, uint32_t peer, uint64_t lease_id)
{
    CHECK(peer < CORE_PEERS_MAX);
    const struct lease *lease = find_lease(&self->peers[peer], lease_id);
    return lease != NULL ? lease->count : 0;
}

static void measure_speed(struct peer *peer, uint64_t now_ms, uint32_t samples)
{
    uint64_t elapsed_ms = now_ms - peer->mark_ms;
    peer->mark_samples += samples;
    if (elapsed_ms == 0) {
        return;
    }
    double rate = (double)peer->mark_samples / (double)elapsed_ms;
    /* Short measurements weigh little: a second of work counts for half. */
    double weight = (double)elapsed_ms / ((double)elapsed_ms + 1000.0);
    peer->speed = peer->speed > 0.0 ? peer->speed + weight * (rate - peer->speed) : rate;
    peer->mark_ms = now_ms;
    peer->mark_samples = 0;
}

static void end_lease_if_done(struct lease *lease)
{
    if (lease->done == lease->count) {
        *lease = (struct lease){0};
    }
}

void lease_progress(struct core *self, uint64_t now_ms, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    struct lease *lease = find_lease(peer, event->lease_id);
    if (lease == NULL || event->samples <= lease->done || event->samples > lease->count) {
        return;
    }
    measure_speed(peer, now_ms, (uint32_t)event->samples - lease->done);
    lease->done = (uint32_t)event->samples;
    lease->reclaim_settled = false;
    end_lease_if_done(lease);
    move_deadlines(self, peer, now_ms);
}

void lease_yield(struct core *self, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    struct lease *lease = find_lease(peer, event->lease_id);
    if (lease == NULL || event->samples < lease->done || event->samples > lease->count) {
        return;
    }
    uint32_t kept = (uint32_t)event->samples;
    uint32_t place = (uint32_t)place_of(self, lease->first);
    for (uint32_t i = kept; i < lease->count; i++) {
        release_sample(self, event->peer, place + i);
    }
    if (!lease->reclaim_open) {
        peer->wants_work = false; /* nobody asked: it is about to leave */
    }
    lease->count = kept;
    lease->reclaim_open = false;
    lease->reclaim_settled = true;
    end_lease_if_done(lease);
}
