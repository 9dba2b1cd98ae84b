#include "common/check.h"
#include "coordinator/core/core_state.h"

#include <math.h>
#include <stdlib.h>

enum status core_new(const struct core_settings *settings, struct core **out)
{
    *out = NULL;
    struct core *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return STATUS_NO_MEMORY;
    }
    self->settings = *settings;
    self->step = settings->step_first;
    self->sample_first = settings->sample_first;
    self->next_lease_id = settings->lease_id_first > 0 ? settings->lease_id_first : 1;
    self->next_batch = settings->target_batch;
    self->peers = calloc(CORE_PEERS_MAX, sizeof *self->peers);
    if (self->peers == NULL || sample_table_init(&self->table, settings->target_batch,
                                                 settings->target_batch) != STATUS_OK) {
        core_free(self);
        return STATUS_NO_MEMORY;
    }
    *out = self;
    return STATUS_OK;
}

void core_free(struct core *self)
{
    if (self == NULL) {
        return;
    }
    for (uint32_t i = 0; self->peers != NULL && i < self->peer_end; i++) {
        free(self->peers[i].offered);
    }
    free(self->peers);
    sample_table_deinit(&self->table);
    free(self);
}

uint64_t place_of(const struct core *self, uint64_t sample)
{
    return sample - self->sample_first;
}

uint64_t next_first(const struct core *self)
{
    return self->sample_first + self->table.size;
}

void release_all(struct core *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    if (peer->owned + peer->owned_next > 0) {
        sample_table_release_all(&self->table, index);
        self->lost += peer->owned;
        peer->owned = 0;
        peer->owned_next = 0;
    }
}

void release_sample(struct core *self, uint32_t index, uint32_t place)
{
    struct peer *peer = &self->peers[index];
    sample_table_release(&self->table, index, place);
    bool present = place < self->table.size;
    *(present ? &peer->owned : &peer->owned_next) -= 1;
    if ((present ? peer->owned : peer->owned_next) == 0) { /* nothing is left to hand in */
        *(present ? &peer->uncollected : &peer->uncollected_next) = 0;
    }
}

static void remove_peer(struct core *self, uint32_t index)
{
    struct peer *peer = &self->peers[index];
    CHECK(peer->offer != OFFER_ADDING); /* the shell answers ADD before anything else */
    release_all(self, index);
    offer_forget(peer);
    *peer = (struct peer){0};
    self->peer_count--;
    while (self->peer_end > 0 && !self->peers[self->peer_end - 1].active) {
        self->peer_end--;
    }
}

static void add_peer(struct core *self, uint64_t now_ms, const struct core_event *event)
{
    struct peer *peer = &self->peers[event->peer];
    CHECK(!peer->active);
    *peer = (struct peer){.active = true,
                          .claim_due = true,
                          .claim_ms = now_ms,
                          .threads = event->threads > 0 ? event->threads : 1,
                          .version = UINT64_MAX,
                          .joined_ms = now_ms,
                          .heard_ms = now_ms};
    self->peer_count++;
    if (event->peer >= self->peer_end) {
        self->peer_end = event->peer + 1;
    }
}

enum status core_expel(struct core *self, uint32_t index, const char *why,
                       struct core_actions *actions)
{
    remove_peer(self, index);
    struct core_action *action = actions_add(actions, CORE_EXPEL, index);
    if (action == NULL) {
        return STATUS_NO_MEMORY;
    }
    action->text = why;
    return STATUS_OK;
}

/* A peer that still says it holds another version, long after the step began and it joined, was
 * never told (its connection broke for a moment) or does not follow: a new hello puts it right. */
static enum status note_ready(struct core *self, uint64_t now_ms, const struct core_event *event,
                              struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    claim_nothing(self, event->peer);
    peer->version = event->version;
    peer->wants_work = !event->rests;
    uint64_t since_ms = peer->joined_ms > self->step_ms ? peer->joined_ms : self->step_ms;
    bool behind = self->settings.max_staleness > 0 && event->version + 1 == self->step;
    bool lost = event->version != self->step && !behind && !self->committing &&
                peer->offer != OFFER_ADDING && now_ms - since_ms > self->settings.patience_ms;
    return lost ? core_expel(self, event->peer, "ready for another step", actions) : STATUS_OK;
}

bool core_begun(const struct core *self)
{
    return self->committing || self->table.now.free_count < self->table.size ||
           core_next_begun(self);
}

bool core_next_begun(const struct core *self)
{
    return self->table.next.free_count < self->table.next_size;
}

void core_hold(struct core *self, bool held)
{
    self->held = held;
}

/* What is lent of the next step already is what its peers go on with. */
static void begin_step(struct core *self, struct peer *peer)
{
    CHECK(peer->owned == 0 && lease_samples_due(self, peer) == 0);
    peer->owned = peer->owned_next;
    peer->owned_next = 0;
    peer->uncollected = peer->uncollected_next;
    peer->uncollected_next = 0;
    peer->collect_sent = false;
}

static enum status note_committed(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    CHECK(self->committing);
    for (uint32_t i = 0; i < self->peer_end; i++) {
        begin_step(self, &self->peers[i]);
    }
    uint64_t first = next_first(self);
    if (sample_table_advance(&self->table, self->next_batch) != STATUS_OK) {
        return STATUS_NO_MEMORY;
    }
    self->committing = false;
    self->lost = 0;
    self->asked = false;
    self->step++;
    self->sample_first = first;
    self->step_ms = now_ms;
    if (self->step < self->settings.step_count) {
        return STATUS_OK;
    }
    return actions_add(actions, CORE_FINISHED, 0) != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* NULL while the peer is fine. */
static const char *lease_fault(const struct core *self, const struct lease *lease, uint64_t now_ms)
{
    if (lease->id == 0) {
        return NULL;
    }
    if (lease->reclaim_open && now_ms - lease->reclaim_ms > self->settings.patience_ms) {
        return "did not answer when work was asked back";
    }
    return now_ms > lease->deadline_ms ? "no progress before the deadline" : NULL;
}

/* It would have answered before it said what came since. */
static bool ignores_reclaim(const struct peer *peer)
{
    for (size_t i = 0; i < CORE_LEASES_PER_PEER; i++) {
        const struct lease *lease = &peer->leases[i];
        if (lease->id != 0 && lease->reclaim_open && peer->heard_ms > lease->reclaim_ms &&
            peer->heard_ms - lease->reclaim_ms > CORE_ANSWER_MS) {
            return true;
        }
    }
    return false;
}

/* What a sample takes on a thread of the slowest whose speed is known; 0: none is. */
static uint64_t slowest_sample_ms(const struct core *self)
{
    double slowest = 0.0;
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        bool known = peer->active && peer->speed > 0.0;
        slowest = known ? fmax(slowest, (double)peer->threads / peer->speed) : slowest;
    }
    return (uint64_t)ceil(slowest);
}

/* No progress came for longer than it or others could need. */
static bool is_quiet(const struct peer *peer, uint64_t sample_ms, uint64_t now_ms)
{
    uint64_t own_ms = lease_expected_ms(peer);
    uint64_t usual_ms = own_ms > sample_ms ? own_ms : sample_ms;
    return now_ms - peer->mark_ms > CORE_QUIET_MS + CORE_QUIET_SAMPLES * usual_ms;
}

/* Nothing is missing but what those have who show no progress: then the others do it. */
static bool waits_for_quiet(const struct core *self, uint64_t now_ms)
{
    uint64_t sample_ms = slowest_sample_ms(self);
    bool waits = false;
    if (self->table.now.free_count > 0 || sample_ms == 0) {
        return false;
    }
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        bool due = lease_samples_due(self, peer) > 0;
        if (due && !is_quiet(peer, sample_ms, now_ms)) {
            return false;
        }
        waits = waits || due;
    }
    return waits;
}

/* NULL while the peer is fine. */
static const char *peer_fault(const struct core *self, const struct peer *peer, uint64_t now_ms)
{
    if (now_ms - peer->heard_ms > self->settings.silence_ms_max) {
        return "silent";
    }
    if (peer->collect_sent && peer->offer == OFFER_NONE &&
        now_ms - peer->collect_ms > self->settings.patience_ms) {
        return "did not hand in when asked";
    }
    if (peer->offer == OFFER_FETCHING && self->settings.fetch_ms_max > 0 &&
        now_ms - peer->offer_ms > self->settings.fetch_ms_max) {
        return "its contribution took too long";
    }
    const char *wrong = NULL;
    for (size_t i = 0; i < CORE_LEASES_PER_PEER && wrong == NULL; i++) {
        wrong = lease_fault(self, &peer->leases[i], now_ms);
    }
    return wrong;
}

/* Why others are not to wait for the peer, which may be by no fault of its own; NULL: they are. */
static const char *delay_of(const struct core *self, const struct peer *peer, bool waits)
{
    if (ignores_reclaim(peer)) {
        return "did not answer when work was asked back";
    }
    bool quiet = waits && lease_samples_due(self, peer) > 0;
    return quiet ? "no progress while all others wait" : NULL;
}

static enum status expel_lost(struct core *self, uint64_t now_ms, struct core_actions *actions)
{
    bool waits = waits_for_quiet(self, now_ms);
    for (uint32_t i = self->peer_end; i-- > 0;) {
        const struct peer *peer = &self->peers[i];
        const char *wrong = peer->active ? peer_fault(self, peer, now_ms) : NULL;
        const char *slow = peer->active ? delay_of(self, peer, waits) : NULL;
        bool silent = wrong != NULL && now_ms - peer->heard_ms > self->settings.silence_ms_max;
        bool goes = wrong != NULL || slow != NULL;
        enum status status =
            goes ? core_expel(self, i, wrong != NULL ? wrong : slow, actions) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
        if (goes) {
            actions->items[actions->count - 1].held = wrong != NULL && !silent;
        }
    }
    return STATUS_OK;
}

static enum status apply_peer_event(struct core *self, uint64_t now_ms,
                                    const struct core_event *event, struct core_actions *actions)
{
    struct peer *peer = &self->peers[event->peer];
    if (event->type == CORE_JOINED) {
        add_peer(self, now_ms, event);
        return STATUS_OK;
    }
    if (!peer->active) {
        return STATUS_OK; /* expelled a moment ago */
    }
    peer->heard_ms = now_ms;
    switch (event->type) {
    case CORE_LEFT:
        remove_peer(self, event->peer);
        return STATUS_OK;
    case CORE_RETURNED:
        claim_return(self, now_ms, event);
        return STATUS_OK;
    case CORE_RESERVED:
        claim_reserve(self, event);
        return STATUS_OK;
    case CORE_CLAIMED:
        return claim_take(self, now_ms, event, actions);
    case CORE_READY:
        return note_ready(self, now_ms, event, actions);
    case CORE_PROGRESS:
        lease_progress(self, now_ms, event);
        return STATUS_OK;
    case CORE_YIELDED:
        lease_yield(self, event);
        return STATUS_OK;
    case CORE_OFFERED:
        return offer_take(self, now_ms, event, actions);
    case CORE_RECEIVED:
        return offer_received(self, now_ms, event, actions);
    case CORE_ADDED:
        return offer_added(self, now_ms, event, actions);
    case CORE_HEARD:
    case CORE_JOINED:
    case CORE_COMMITTED:
    case CORE_PAUSE:
    case CORE_RESUME:
    case CORE_TICK:
    default:
        return STATUS_OK;
    }
}

static enum status apply_event(struct core *self, uint64_t now_ms, const struct core_event *event,
                               struct core_actions *actions)
{
    if (event->type == CORE_COMMITTED) {
        return note_committed(self, now_ms, actions);
    }
    if (event->type == CORE_PAUSE || event->type == CORE_RESUME) {
        self->paused = event->type == CORE_PAUSE;
        return STATUS_OK;
    }
    if (event->type == CORE_TICK) {
        claim_expire(self, now_ms);
        return expel_lost(self, now_ms, actions);
    }
    return apply_peer_event(self, now_ms, event, actions);
}

enum status core_step(struct core *self, uint64_t now_ms, const struct core_event *event,
                      struct core_actions *actions)
{
    CHECK(event->peer < CORE_PEERS_MAX);
    actions->count = 0;
    enum status status = apply_event(self, now_ms, event, actions);
    return status == STATUS_OK ? plan_work(self, now_ms, actions) : status;
}

enum status core_set_target_batch(struct core *self, uint32_t target_batch)
{
    CHECK(target_batch > 0 && target_batch <= SAMPLE_TABLE_MAX);
    self->next_batch = target_batch;
    if (core_next_begun(self)) {
        return STATUS_OK;
    }
    return core_begun(self) ? sample_table_resize_next(&self->table, target_batch)
                            : sample_table_resize(&self->table, target_batch);
}

uint32_t core_target_batch(const struct core *self)
{
    return self->table.size;
}

bool core_idle(const struct core *self)
{
    return self->paused && !core_begun(self);
}

uint64_t core_current_step(const struct core *self)
{
    return self->step;
}

uint32_t core_peer_count(const struct core *self)
{
    return self->peer_count;
}

uint32_t core_counted(const struct core *self)
{
    return self->table.counted_count;
}

uint32_t core_free_samples(const struct core *self)
{
    return self->table.now.free_count;
}

void core_outlook(const struct core *self, struct core_outlook *out)
{
    *out = (struct core_outlook){.collects = self->collects};
    for (uint32_t i = 0; i < self->peer_end; i++) {
        const struct peer *peer = &self->peers[i];
        bool asked = peer->active && peer->collect_sent && peer->offer == OFFER_NONE;
        out->awaited += asked && peer->owned > 0 ? 1 : 0;
        out->computing = out->computing || lease_samples_due(self, peer) > 0;
    }
}

void core_set_uplink(struct core *self, uint32_t peer, double bytes_per_s)
{
    CHECK(peer < CORE_PEERS_MAX);
    self->peers[peer].uplink = bytes_per_s;
}

double core_peer_speed(const struct core *self, uint32_t peer)
{
    CHECK(peer < CORE_PEERS_MAX);
    return self->peers[peer].speed * 1000.0;
}
