#include "peer/core/session_state.h"

/* What waits can be begun with the weights that are there. */
static void open(struct session *self, uint64_t step)
{
    self->work.open_step = step;
    self->work.open_stale = step > self->version;
}

/* The accumulator has room for samples of this step, or will have it when this event's actions are
 * done. What it holds of a later one is set aside; of an earlier one, handed in when that is asked
 * for. */
static bool make_room(struct session *self, uint64_t step, struct session_actions *actions)
{
    const struct work *work = &self->work;
    if (work->held_samples == 0 || work->held_step == step || self->touched) {
        return true;
    }
    if (work->held_step < step) {
        return false;
    }
    claim_set_aside(self, actions);
    return true;
}

/* Nothing waits: what comes is most likely of the version's own step. */
static void open_idle(struct session *self)
{
    const struct work *work = &self->work;
    bool free = work_running(work) == 0 && !self->ahead &&
                (work->held_samples == 0 || work->held_step == self->version);
    if (free) {
        open(self, self->version);
    }
}

void steer(struct session *self, struct session_actions *actions)
{
    struct work *work = &self->work;
    uint64_t wanted = work_first_step(work);
    if (self->fetched || self->applying || self->opening) {
        work->open_step = WORK_STEP_NONE;
        return;
    }
    if (wanted == WORK_STEP_NONE) {
        open_idle(self);
        return;
    }
    if (self->draining || wanted == work->open_step) {
        return;
    }
    work->open_step = WORK_STEP_NONE;
    if (work_running(work) > 0 || !make_room(self, wanted, actions)) {
        return;
    }
    bool ahead = wanted > self->version;
    if (ahead == self->ahead && !self->touched) {
        open(self, wanted);
        return;
    }
    self->opening = true;
    self->opening_step = wanted;
    session_add(actions, SESSION_OPEN)->ahead = ahead;
}

void steer_opened(struct session *self)
{
    if (self->opening) {
        self->opening = false;
        self->ahead = self->opening_step > self->version;
    }
}
