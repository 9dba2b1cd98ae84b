#include "common/check.h"
#include "coordinator/core/core_state.h"

#include <string.h>

void claim_return(struct core *self, uint64_t now_ms, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    CHECK(peer->offer != OFFER_ADDING); /* the shell answers ADD before anything else */
    offer_forget(peer);
    memset(peer->leases, 0, sizeof peer->leases);
    peer->threads = event->threads > 0 ? event->threads : 1;
    peer->version = UINT64_MAX;
    peer->joined_ms = now_ms;
    peer->wants_work = false;
    peer->collect_sent = false;
    if (!peer->claim_due) { /* hello again and again does not put it off */
        peer->claim_due = true;
        peer->claim_ms = now_ms;
    }
    if (++peer->returns > CORE_RETURNS_MAX) {
        release_all(self, event->peer);
    }
}

void claim_reserve(struct core *self, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    uint64_t end = self->table.size;
    end += self->settings.max_staleness > 0 ? self->table.next_size : 0;
    for (size_t i = 0; i < event->range_count; i++) {
        uint64_t place = place_of(self, event->ranges[i].first);
        for (uint64_t j = 0; j < event->ranges[i].count && place + j < end; j++) {
            bool reserved = sample_table_reserve(&self->table, event->peer, place + j);
            *(place + j < self->table.size ? &peer->owned : &peer->owned_next) += reserved ? 1 : 0;
        }
    }
}

void claim_nothing(struct core *self, uint32_t index)
{
    if (self->peers[index].claim_due) {
        self->peers[index].claim_due = false;
        self->peers[index].uncollected = 0;
        self->peers[index].uncollected_next = 0;
        release_all(self, index);
    }
}

void claim_expire(struct core *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        if (peer->active && peer->claim_due &&
            now_ms - peer->claim_ms > self->settings.patience_ms) {
            release_all(self, i);
        }
    }
}

/* Sorted, disjoint and few enough to be walked along with the table. */
static bool ranges_are_sorted(const struct core_range *ranges, size_t count)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first < end || ranges[i].count == 0 ||
            ranges[i].first > UINT64_MAX - ranges[i].count) {
            return false;
        }
        end = ranges[i].first + ranges[i].count;
    }
    return count <= CORE_RANGES_MAX;
}

static bool ranges_cover(const struct core_range *ranges, size_t count, uint64_t first,
                         uint64_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (first >= ranges[i].first && first - ranges[i].first < ranges[i].count) {
            return size <= ranges[i].count - (first - ranges[i].first);
        }
    }
    return false;
}

/* Of a step that is over: the peer learns of it, and nothing hangs on it any more. */
static bool is_over(const struct core *self, uint64_t sample)
{
    return self->settings.max_staleness > 0 && sample < self->sample_first;
}

/* The leases are the peer's own business, but for what the core needs of them: ids that it will
 * not give again, and samples of one step inside what is claimed, each once. */
static bool leases_are_good(const struct core *self, const struct core_event *event)
{
    if (event->lease_count > CORE_LEASES_PER_PEER) {
        return false;
    }
    for (size_t i = 0; i < event->lease_count; i++) {
        const struct core_lease *lease = &event->leases[i];
        uint64_t end = lease->first + lease->count;
        if (lease->id == 0 || lease->id >= self->next_lease_id || lease->done >= lease->count ||
            !ranges_cover(event->ranges, event->range_count, lease->first, lease->count) ||
            (is_over(self, lease->first) && end > self->sample_first) ||
            (lease->first < next_first(self) && end > next_first(self))) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            const struct core_lease *other = &event->leases[j];
            if (other->id == lease->id ||
                (lease->first < other->first + other->count && other->first < end)) {
                return false;
            }
        }
    }
    return true;
}

/* Those samples of the range that are not of a step that is over are the peer's own. */
static bool range_is_good(const struct core *self, uint32_t index, struct core_range range)
{
    uint64_t over = is_over(self, range.first) ? self->sample_first - range.first : 0;
    return over >= range.count ||
           sample_table_owned(&self->table, index, place_of(self, range.first + over),
                              range.count - over);
}

/* The peer is where it can go on from. */
static bool is_here(const struct core *self, uint64_t step)
{
    return step == self->step || may_be_stale(self, step, self->step);
}

static bool claim_is_good(const struct core *self, const struct core_event *event)
{
    bool too_late = self->committing && self->settings.max_staleness == 0;
    if (too_late || !is_here(self, event->step) ||
        !ranges_are_sorted(event->ranges, event->range_count) ||
        !ranges_are_sorted(event->kept, event->kept_count)) {
        return false;
    }
    for (size_t i = 0; i < event->range_count; i++) {
        if (!range_is_good(self, event->peer, event->ranges[i])) {
            return false;
        }
    }
    return leases_are_good(self, event);
}

/* True when `sample` is in the sorted ranges from *at on, which moves along. */
static bool walk(const struct core_range *ranges, size_t count, size_t *at, uint64_t sample)
{
    while (*at < count && ranges[*at].first + ranges[*at].count <= sample) {
        ++*at;
    }
    return *at < count && ranges[*at].first <= sample;
}

static void release_unclaimed(struct core *self, const struct core_event *event, bool accepted)
{
    const struct peer *peer = &self->peers[event->peer];
    size_t range_count = accepted ? event->range_count : 0;
    size_t kept_count = ranges_are_sorted(event->kept, event->kept_count) ? event->kept_count : 0;
    size_t range_at = 0;
    size_t kept_at = 0;
    uint32_t end = self->table.size + self->table.next_size;
    for (uint32_t i = 0; i < end && peer->owned + peer->owned_next > 0; i++) {
        bool claimed = walk(event->ranges, range_count, &range_at, self->sample_first + i);
        claimed = walk(event->kept, kept_count, &kept_at, self->sample_first + i) || claimed;
        if (!claimed && sample_table_owned(&self->table, event->peer, i, 1)) {
            release_sample(self, event->peer, i);
        }
    }
}

static void resume_leases(struct core *self, uint64_t now_ms, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    size_t count = 0;
    for (size_t i = 0; i < event->lease_count; i++) {
        const struct core_lease *lease = &event->leases[i];
        if (!is_over(self, lease->first)) {
            peer->leases[count++] = (struct lease){
                .id = lease->id, .first = lease->first, .count = lease->count, .done = lease->done};
        }
    }
    for (size_t i = 0; i < count; i++) {
        lease_start(self, peer, &peer->leases[i], now_ms);
    }
    peer->mark_ms = now_ms;
    peer->mark_samples = 0;
}

/* What its contributions can be made of: each range, and each lease to come, may be one of them. */
static void resume(struct core *self, uint64_t now_ms, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    peer->version = event->step;
    peer->uncollected = (uint32_t)event->range_count;
    peer->uncollected_next = (uint32_t)event->range_count;
    resume_leases(self, now_ms, event);
}

/* A claim that is said again, because its answer was late, finds everything done: it is answered
 * and changes nothing. */
enum status claim_take(struct core *self, uint64_t now_ms, const struct core_event *event,
                       struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    bool ok = claim_is_good(self, event);
    if (peer->claim_due) {
        peer->claim_due = false;
        peer->uncollected = 0;
        peer->uncollected_next = 0;
        if (is_here(self, event->step)) {
            release_unclaimed(self, event, ok);
        } else {
            release_all(self, event->peer);
        }
        if (ok) {
            resume(self, now_ms, event);
        }
    }
    struct core_action *action = actions_add(actions, CORE_CLAIM_ANSWER, event->peer);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->step = event->step;
    action->ok = ok;
    return STATUS_OK;
}
