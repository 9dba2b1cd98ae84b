#include "peer/core/session_state.h"

#include <string.h>

static void say(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    session_say(self, now_ms, actions, WIRE_CLAIM)->as.claims_work = !self->draining;
    self->claim_ms = now_ms;
}

void claim_begin(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    bool works = work_running(&self->work) + work_waiting(&self->work) > 0;
    bool has_work = !self->draining && (self->work.held_samples > 0 || works);
    if (has_work || self->kept_count > 0) {
        self->claim_open = true;
        say(self, now_ms, actions);
    }
}

/* A claim or its answer that got lost would otherwise leave this peer waiting for ever. */
void claim_repeat(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (self->claim_open && now_ms - self->claim_ms >= self->settings.alive_ms) {
        say(self, now_ms, actions);
    }
}

/* What was kept is offered again in either case: each contribution is judged on its own. */
void claim_answered(struct session *self, const struct wire_claimed *claimed)
{
    if (!self->claim_open || claimed->step != self->version) {
        return;
    }
    self->claim_open = false;
    self->again_count = self->kept_count;
    if (!claimed->accepted) {
        session_drain(self); /* others have these samples now */
    }
}

static void forget_kept(struct session *self, size_t index)
{
    self->kept_count--;
    memmove(&self->kept[index], &self->kept[index + 1],
            (self->kept_count - index) * sizeof self->kept[0]);
}

static void open_offer(struct session *self, uint64_t id, enum session_action_type type,
                       struct session_actions *actions)
{
    self->offer_open = true;
    self->open_id = id;
    session_add(actions, type)->offer_id = id;
}

void claim_hand_in(struct session *self, struct session_actions *actions)
{
    if (self->kept_count == SESSION_OFFERS_MAX) {
        session_add(actions, SESSION_DROP_OFFER)->offer_id = self->kept[0];
        forget_kept(self, 0);
    }
    self->kept[self->kept_count++] = ++self->offer_count;
    open_offer(self, self->offer_count, SESSION_ENCODE, actions);
}

void claim_offer_again(struct session *self, struct session_actions *actions)
{
    if (self->again_count > 0 && self->phase == SESSION_TRAIN && !self->claim_open &&
        !self->offer_open) {
        uint64_t id = self->kept[self->kept_count - self->again_count--];
        open_offer(self, id, SESSION_OFFER_AGAIN, actions);
    }
}

void claim_verdict(struct session *self, const struct wire_verdict *verdict,
                   struct session_actions *actions)
{
    if (!self->offer_open || verdict->blob_id != self->open_id) {
        return;
    }
    self->offer_open = false;
    if (verdict->accepted) {
        return; /* kept until the commit is known */
    }
    session_add(actions, SESSION_DROP_OFFER)->offer_id = self->open_id;
    for (size_t i = 0; i < self->kept_count; i++) {
        if (self->kept[i] == self->open_id) {
            forget_kept(self, i);
            break;
        }
    }
    /* What the codec left belongs to what was refused. With other samples on top of it, it stays: a
     * rounding error, and they are whole samples. */
    if (self->work.held_samples == 0 && work_running(&self->work) == 0) {
        session_add(actions, SESSION_DISCARD);
    }
}

void claim_forget(struct session *self, struct session_actions *actions)
{
    if (self->kept_count > 0) {
        session_add(actions, SESSION_DROP_OFFERS);
    }
    self->kept_count = 0;
    self->again_count = 0;
    self->claim_open = false;
    self->offer_open = false;
}
