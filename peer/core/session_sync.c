#include "peer/core/session_state.h"

#include <string.h>

/* The snapshot is what this peer's next update would have led to, and there is work for it: it goes
 * on with that meanwhile, where there is memory for both. */
static bool leads_on(const struct session *self, uint64_t version)
{
    bool kept = false;
    for (size_t i = 0; i < self->kept_count; i++) {
        kept = kept || self->kept[i].step == version;
    }
    return self->may_be_stale && !self->cramped && self->version != WIRE_VERSION_NONE &&
           version == self->version + 1 &&
           ((!self->draining && work_goes_past(&self->work, self->version)) || kept);
}

static void fetch(struct session_actions *actions, const struct blob_ref *ref, enum codec codec)
{
    struct session_action *action = session_add(actions, SESSION_FETCH);
    action->ref = *ref;
    action->codec = codec;
}

void sync_welcome(struct session *self, uint64_t now_ms, const struct wire_welcome *welcome,
                  struct session_actions *actions)
{
    if (self->phase != SESSION_HELLO) {
        return;
    }
    bool needs_none = self->settings.aggregates_only;
    if (!needs_none && (welcome->has_snapshot ? welcome->snapshot.id >= WIRE_VERSION_NONE - 1
                                              : self->version == WIRE_VERSION_NONE)) {
        return; /* it cannot mean us: we hold nothing; the next hello will ask again */
    }
    if (!self->welcomed) {
        self->welcomed = true;
        self->run_id = welcome->run_id;
        self->work.context = welcome->context;
        session_add(actions, SESSION_SETUP);
    } else if (welcome->context != self->work.context ||
               !digest_equal(&welcome->run_id, &self->run_id)) {
        session_end(self, actions, STATUS_PROTOCOL,
                    "the coordinator serves another run now: start the peer again to join it");
        return;
    }
    self->hello_wait_ms = self->settings.hello_ms;
    self->may_be_stale = welcome->max_staleness > 0;
    self->rests = false;
    if (needs_none) {
        self->phase = SESSION_TRAIN;
    } else if (welcome->has_snapshot && leads_on(self, welcome->snapshot.id)) {
        self->phase = SESSION_TRAIN;
        self->updates[self->update_count++] = (struct session_update){
            .step = self->version, .ref = welcome->snapshot, .codec = CODEC_FP32, .snapshot = true};
        session_step_over(self, self->version, actions);
        claim_begin(self, now_ms, actions);
    } else if (welcome->has_snapshot) {
        if (self->version != WIRE_VERSION_NONE) {
            session_give_up(self, actions);
        }
        self->phase = SESSION_SYNC;
        self->version = WIRE_VERSION_NONE;
        self->snapshot_version = welcome->snapshot.id;
        self->fetching = true;
        fetch(actions, &welcome->snapshot, CODEC_FP32);
    } else {
        self->phase = SESSION_TRAIN;
        claim_begin(self, now_ms, actions);
    }
}

void sync_committed(struct session *self, uint64_t now_ms, const struct wire_committed *committed,
                    struct session_actions *actions)
{
    bool counts = self->phase == SESSION_SYNC || self->phase == SESSION_TRAIN;
    if (!counts || self->settings.aggregates_only || committed->step >= WIRE_VERSION_NONE - 1) {
        return;
    }
    uint64_t expected = self->update_count > 0 ? self->updates[self->update_count - 1].step + 1
                        : self->phase == SESSION_TRAIN ? self->version
                                                       : committed->step;
    if (committed->step < expected) {
        return; /* we have it */
    }
    if (self->update_count == SESSION_UPDATES_MAX) {
        self->missed = true; /* asked for again when these are applied */
        return;
    }
    if (committed->step != expected) {
        session_give_up(self, actions); /* the step in hand is over all the same */
        session_restart(self, now_ms, self->version, actions);
        return;
    }
    self->updates[self->update_count++] = (struct session_update){.step = committed->step,
                                                                  .digest = committed->digest,
                                                                  .ref = committed->update,
                                                                  .codec = committed->codec};
    session_step_over(self, committed->step, actions); /* it went on without these samples */
}

void sync_fetched(struct session *self, uint64_t now_ms, bool ok, struct session_actions *actions)
{
    if (self->applying && !ok) {
        self->applying = false; /* P may be half changed */
        session_restart(self, now_ms + self->settings.hello_ms, WIRE_VERSION_NONE, actions);
        return;
    }
    if (!self->fetching) {
        return;
    }
    self->fetching = false;
    self->fetched = ok;
    if (!ok) {
        session_restart(self, now_ms + self->settings.hello_ms, self->version, actions);
    }
}

/* Updates that lead to what is already there are not needed. */
static void drop_old_updates(struct session *self)
{
    size_t old = 0;
    while (old < self->update_count && self->updates[old].step < self->version) {
        old++;
    }
    self->update_count -= old;
    memmove(self->updates, self->updates + old, self->update_count * sizeof self->updates[0]);
}

void sync_applied(struct session *self, uint64_t now_ms, const struct digest *digest,
                  struct session_actions *actions)
{
    if (!self->applying) {
        return;
    }
    self->applying = false;
    if (self->phase == SESSION_SYNC && self->abandoned) {
        return; /* another snapshot is on its way */
    }
    if (!self->loading && self->phase == SESSION_TRAIN) {
        struct wire_applied *applied =
            &session_say(self, now_ms, actions, WIRE_APPLIED)->as.applied;
        applied->version = self->applying_version;
        applied->digest = *digest;
    }
    if (!self->loading && !digest_equal(digest, &self->applying_digest)) {
        session_add(actions, SESSION_MISMATCH);
        session_restart(self, now_ms, WIRE_VERSION_NONE, actions);
        return;
    }
    self->version = self->applying_version;
    self->ahead = false;
    self->asked = false;
    if (self->phase == SESSION_SYNC) {
        self->phase = SESSION_TRAIN;
    }
    drop_old_updates(self);
    bool gap = self->update_count > 0 ? self->updates[0].step != self->version : self->missed;
    if (gap && self->phase == SESSION_TRAIN) {
        session_restart(self, now_ms, self->version, actions);
    }
}

void sync_advance(struct session *self, struct session_actions *actions)
{
    bool idle = !self->draining && work_running(&self->work) == 0 && !self->opening;
    self->follows = !self->rests || self->draining || self->offer_open || self->kept_count > 0 ||
                    session_has_work(self);
    if (self->applying) {
        return;
    }
    if (self->fetched && idle) {
        self->fetched = false;
        self->applying = true;
        self->abandoned = false;
        bool first = self->phase == SESSION_SYNC;
        self->loading = first || self->updates[0].snapshot;
        self->applying_version = first ? self->snapshot_version : self->version + 1;
        if (!self->loading) {
            self->applying_digest = self->updates[0].digest;
        }
        (void)session_touch(self, actions, self->loading ? SESSION_LOAD : SESSION_APPLY);
    } else if (self->phase == SESSION_TRAIN && !self->fetching && !self->fetched &&
               self->update_count > 0 && self->follows) {
        self->fetching = true;
        fetch(actions, &self->updates[0].ref, self->updates[0].codec);
    }
}
