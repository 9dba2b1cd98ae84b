#include "peer/core/session_state.h"

#include <string.h>

static void say(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    session_say(self, now_ms, actions, WIRE_CLAIM)->as.claims_work = session_has_work(self);
    self->claim_ms = now_ms;
}

void claim_begin(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (session_has_work(self) || self->kept_count > 0) {
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
    for (size_t i = 0; i < self->kept_count; i++) {
        self->kept[i].due = true;
    }
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

/* What is in the accumulator becomes the newest that is kept. When there are too many, one goes
 * that was offered: it is most likely counted. Where none was, the coordinator must hear that some
 * samples are nobody's again: the next claim does not name them. */
static struct session_kept *keep(struct session *self, struct session_actions *actions)
{
    if (self->kept_count == SESSION_OFFERS_MAX) {
        size_t oldest = 0;
        while (oldest < self->kept_count && self->kept[oldest].due) {
            oldest++;
        }
        oldest = oldest < self->kept_count ? oldest : 0;
        self->forgot = self->forgot || self->kept[oldest].due;
        session_add(actions, SESSION_DROP_OFFER)->offer_id = self->kept[oldest].id;
        forget_kept(self, oldest);
    }
    struct session_kept *kept = &self->kept[self->kept_count++];
    *kept = (struct session_kept){.id = ++self->offer_count, .step = self->work.held_step};
    return kept;
}

static void open_offer(struct session *self, const struct session_kept *kept)
{
    self->offer_open = true;
    self->open_id = kept->id;
    self->open_step = kept->step;
}

void claim_hand_in(struct session *self, struct session_actions *actions)
{
    open_offer(self, keep(self, actions));
    session_touch(self, actions, SESSION_ENCODE)->offer_id = self->open_id;
}

void claim_set_aside(struct session *self, struct session_actions *actions)
{
    struct session_kept *kept = keep(self, actions);
    kept->due = true;
    session_touch(self, actions, SESSION_SET_ASIDE)->offer_id = kept->id;
}

bool claim_offers_due(const struct session *self, uint64_t step)
{
    bool due = false;
    for (size_t i = 0; i < self->kept_count; i++) {
        due = due || (self->kept[i].due && self->kept[i].step == step);
    }
    return due;
}

void claim_offer_again(struct session *self, struct session_actions *actions)
{
    uint64_t step = session_step_of(self);
    bool open = self->phase != SESSION_TRAIN || self->claim_open || self->offer_open;
    for (size_t i = 0; i < self->kept_count && !open; i++) {
        struct session_kept *kept = &self->kept[i];
        if (kept->due && kept->step == step) {
            kept->due = false;
            open = true;
            open_offer(self, kept);
            session_add(actions, SESSION_OFFER_AGAIN)->offer_id = kept->id;
        }
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
        if (self->kept[i].id == self->open_id) {
            forget_kept(self, i);
            break;
        }
    }
    /* What the codec left belongs to what was refused. With other samples on top of it, it stays: a
     * rounding error, and they are whole samples. */
    if (self->work.held_samples == 0 && work_running(&self->work) == 0) {
        (void)session_touch(self, actions, SESSION_DISCARD);
    }
}

void claim_forget(struct session *self, uint64_t last_step, struct session_actions *actions)
{
    size_t old = 0; /* oldest first, so these are of the earliest steps */
    for (size_t i = 0; i < self->kept_count; i++) {
        old += self->kept[i].step <= last_step ? 1 : 0;
    }
    if (old > 0 && old == self->kept_count) {
        session_add(actions, SESSION_DROP_OFFERS);
        self->kept_count = 0;
    }
    for (size_t i = self->kept_count; i-- > 0;) {
        if (self->kept[i].step <= last_step) {
            session_add(actions, SESSION_DROP_OFFER)->offer_id = self->kept[i].id;
            forget_kept(self, i);
        }
    }
    self->offer_open = self->offer_open && self->open_step > last_step;
    self->claim_open = self->claim_open && (self->kept_count > 0 || session_has_work(self));
}
