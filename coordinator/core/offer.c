#include "common/check.h"
#include "coordinator/core/core_state.h"

#include <stdlib.h>
#include <string.h>

void offer_forget(struct peer *peer)
{
    free(peer->offered);
    peer->offered = NULL;
    peer->offered_count = 0;
    peer->offered_again = false;
    peer->offer = OFFER_NONE;
}

static enum status add_verdict(struct core_actions *actions, uint32_t peer, bool ok,
                               const char *text)
{
    struct core_action *action = actions_add(actions, CORE_VERDICT, peer);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->ok = ok;
    action->text = text;
    return STATUS_OK;
}

uint32_t offer_samples(const struct peer *peer)
{
    uint64_t count = 0;
    for (size_t i = 0; i < peer->offered_count; i++) {
        count += peer->offered[i].count;
    }
    return (uint32_t)count;
}

/* The live lease that has a sample of [first, end); NULL: none. */
static const struct lease *lease_within(const struct peer *peer, uint64_t first, uint64_t end)
{
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        if (lease->id != 0 && lease->first < end && first < lease->first + lease->count) {
            return lease;
        }
    }
    return NULL;
}

/* Samples of [first, end) may still be yielded. What was set aside in the middle of a lease holds
 * of it what is done, and that is not given back. */
static bool may_be_yielded(const struct peer *peer, uint64_t first, uint64_t end, bool again)
{
    bool open = false;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        uint64_t from = again ? lease->first + lease->done : lease->first;
        open = open || (lease->id != 0 && from < end && first < lease->first + lease->count);
    }
    return open;
}

/* NULL when all ranges are the peer's own; otherwise why the offer is refused. What may still be
 * yielded must not be counted yet. */
static const char *range_fault(const struct core *self, const struct core_event *event, bool again)
{
    if (event->range_count == 0 || event->range_count > CORE_RANGES_MAX) {
        return "it holds no sample ranges, or too many";
    }
    uint64_t end = 0;
    for (size_t i = 0; i < event->range_count; i++) {
        const struct core_range *range = &event->ranges[i];
        uint64_t place = place_of(self, range->first);
        if (range->first < end ||
            !sample_table_owned(&self->table, event->peer, place, range->count)) {
            return "it holds samples that are not leased to this peer";
        }
        end = range->first + range->count;
        if (end > next_first(self)) {
            return "it holds samples of the next step";
        }
        if (may_be_yielded(&self->peers[event->peer], range->first, end, again)) {
            return "it holds samples of a lease that has not ended";
        }
    }
    return NULL;
}

/* A peer hands in all that it holds: whatever else it was lent of this step, but for leases that
 * have not ended, is in no accumulator any more. */
static void release_unoffered(struct core *self, uint32_t index)
{
    const struct peer *peer = &self->peers[index];
    size_t next = 0;
    uint64_t sample = self->sample_first;
    while (sample < next_first(self)) {
        const struct lease *lease = lease_within(peer, sample, sample + 1);
        uint32_t place = (uint32_t)place_of(self, sample);
        if (next < peer->offered_count && peer->offered[next].first == sample) {
            sample += peer->offered[next++].count;
        } else if (lease != NULL) {
            sample = lease->first + lease->count;
        } else {
            if (sample_table_owned(&self->table, index, place, 1)) {
                release_sample(self, index, place);
            }
            sample++;
        }
    }
}

/* Frees what the peer owns of these ranges, which may be anything, in this step. */
static void release_ranges(struct core *self, uint32_t index, const struct core_range *ranges,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < ranges[i].count; j++) {
            uint64_t sample = ranges[i].first + j;
            uint64_t place = place_of(self, sample);
            if (place >= self->table.size) {
                break;
            }
            if (sample_table_owned(&self->table, index, place, 1) &&
                lease_within(&self->peers[index], sample, sample + 1) == NULL) {
                release_sample(self, index, (uint32_t)place);
            }
        }
    }
}

/* What the peer still has to hand in after an answer. A kept contribution leaves the accumulator
 * as it is, and a COLLECT of that waited for the answer. */
static void settle_collect(struct peer *peer, uint64_t now_ms, bool again)
{
    if (!again) {
        peer->uncollected = 0;
    }
    peer->collect_sent = again && peer->collect_sent && peer->owned > 0;
    peer->collect_ms = now_ms;
}

/* A contribution with wrong content costs the peer its standing, and after a few its place. */
static enum status strike(struct core *self, uint64_t now_ms, uint32_t index, const char *why,
                          struct core_actions *actions)
{
    struct peer *peer = &self->peers[index];
    bool again = peer->offered_again;
    if (again) {
        release_ranges(self, index, peer->offered, peer->offered_count);
    }
    offer_forget(peer);
    if (!again) {
        release_unoffered(self, index);
    }
    settle_collect(peer, now_ms, again);
    peer->speed = 0.0;
    peer->proven = false;
    enum status status = add_verdict(actions, index, false, why);
    if (status == STATUS_OK) {
        actions->items[actions->count - 1].blamed = true;
    }
    if (status == STATUS_OK && ++peer->strikes >= CORE_STRIKES_MAX) {
        return core_expel(self, index, "its contributions were refused again and again", actions);
    }
    return status;
}

enum status offer_take(struct core *self, uint64_t now_ms, const struct core_event *event,
                       struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    if (event->counted) { /* the answer was lost */
        return add_verdict(actions, event->peer, true, "");
    }
    if (self->committing || event->step != self->step) {
        return add_verdict(actions, event->peer, false, "that step is over");
    }
    if (peer->offer != OFFER_NONE) {
        return add_verdict(actions, event->peer, false, "another contribution is under way");
    }
    bool again = event->again && !peer->claim_due;
    peer->claim_due = false;
    const char *wrong = range_fault(self, event, again);
    if (wrong != NULL && again) {
        release_ranges(self, event->peer, event->ranges, event->range_count);
        settle_collect(peer, now_ms, true);
        return add_verdict(actions, event->peer, false, "its samples went to others");
    }
    if (wrong != NULL) {
        return strike(self, now_ms, event->peer, wrong, actions);
    }
    size_t size_bytes = event->range_count * sizeof *peer->offered;
    peer->offered = malloc(size_bytes);
    if (peer->offered == NULL) {
        return STATUS_NO_MEMORY;
    }
    memcpy(peer->offered, event->ranges, size_bytes);
    peer->offered_count = event->range_count;
    peer->offer = OFFER_FETCHING;
    peer->offer_ms = now_ms;
    peer->offered_again = again;
    if (!again) {
        release_unoffered(self, event->peer);
    }
    return actions_add(actions, CORE_FETCH, event->peer) != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status offer_received(struct core *self, uint64_t now_ms, const struct core_event *event,
                           struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    if (peer->offer != OFFER_FETCHING) {
        return STATUS_OK;
    }
    if (!event->ok) {
        return strike(self, now_ms, event->peer, "its bytes are not what was offered", actions);
    }
    struct core_action *action = actions_add(actions, CORE_ADD, event->peer);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->count = offer_samples(peer);
    peer->offer = OFFER_ADDING;
    return STATUS_OK;
}

enum status offer_added(struct core *self, uint64_t now_ms, const struct core_event *event,
                        struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    CHECK(peer->offer == OFFER_ADDING);
    if (!event->ok) {
        return strike(self, now_ms, event->peer, "its values are not finite or out of range",
                      actions);
    }
    for (size_t i = 0; i < peer->offered_count; i++) {
        sample_table_count(&self->table, event->peer,
                           (uint32_t)place_of(self, peer->offered[i].first),
                           (uint32_t)peer->offered[i].count);
    }
    peer->owned -= offer_samples(peer);
    settle_collect(peer, now_ms, peer->offered_again);
    peer->strikes = 0;
    peer->returns = 0;
    peer->proven = true;
    offer_forget(peer);
    enum status status = add_verdict(actions, event->peer, true, "");
    if (status != STATUS_OK || self->table.counted_count < self->table.size) {
        return status;
    }
    self->committing = true;
    struct core_action *action = actions_add(actions, CORE_COMMIT, 0);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->step = self->step;
    return STATUS_OK;
}
