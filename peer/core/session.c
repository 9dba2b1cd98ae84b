#include "peer/core/session.h"

#include "common/check.h"
#include "peer/core/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step has few actions: the largest burst is a yield and a report for each lease. */
struct session_action *session_add(struct session_actions *actions, enum session_action_type type)
{
    CHECK(actions->count < SESSION_ACTIONS_MAX);
    struct session_action *action = &actions->items[actions->count++];
    memset(action, 0, sizeof *action);
    action->type = type;
    return action;
}

struct session_action *session_touch(struct session *self, struct session_actions *actions,
                                     enum session_action_type type)
{
    self->touched = true;
    self->work.open_step = WORK_STEP_NONE;
    return session_add(actions, type);
}

struct session_action *session_say(struct session *self, uint64_t now_ms,
                                   struct session_actions *actions, enum wire_type type)
{
    struct session_action *action = session_add(actions, SESSION_SEND);
    action->send = type;
    self->said_ms = now_ms;
    return action;
}

void session_end(struct session *self, struct session_actions *actions, enum status status,
                 const char *text)
{
    session_drain(self); /* the workers find nothing more to begin */
    self->phase = SESSION_OVER;
    struct session_action *action = session_add(actions, SESSION_EXIT);
    action->status = status;
    (void)snprintf(action->text, sizeof action->text, "%s", text);
}

void session_init(struct session *self, const struct session_settings *settings, uint64_t now_ms)
{
    CHECK(settings->thread_count > 0 && settings->thread_count <= WORK_THREADS_MAX);
    memset(self, 0, sizeof *self);
    self->settings = *settings;
    self->version = WIRE_VERSION_NONE;
    self->started_ms = now_ms;
    self->heard_ms = now_ms;
    self->hello_at_ms = now_ms;
    self->hello_wait_ms = settings->hello_ms;
    work_init(&self->work, 0);
}

void session_deinit(struct session *self)
{
    work_deinit(&self->work);
}

uint64_t session_step_of(const struct session *self)
{
    return self->version + self->update_count;
}

void session_drain(struct session *self)
{
    (void)work_drop(&self->work, UINT64_MAX);
    self->draining = true;
    self->drain_step = UINT64_MAX;
    self->collect_wanted = false;
}

/* What the codec left of an offer without a verdict goes too, unless it is among samples that stay.
 */
void session_step_over(struct session *self, uint64_t step, struct session_actions *actions)
{
    struct work *work = &self->work;
    bool lent = false;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        lent = lent || (work->leases[i].step <= step && work->leases[i].id != 0);
    }
    bool rest = lent || (self->offer_open && self->open_step <= step);
    bool empty = work->held_samples == 0 && work_running(work) == 0;
    if (work_drop(work, step) || (rest && empty)) {
        self->drain_step = self->draining && self->drain_step > step ? self->drain_step : step;
        self->draining = true;
    }
    if (self->collect_step <= step) {
        self->collect_wanted = false;
    }
    claim_forget(self, step, actions);
}

bool session_has_work(const struct session *self)
{
    const struct work *work = &self->work;
    return self->draining ? work_goes_past(work, self->drain_step)
                          : work->held_samples > 0 || work_running(work) + work_waiting(work) > 0;
}

static void finish_drain(struct session *self, struct session_actions *actions)
{
    if (self->draining && work_running(&self->work) == 0) {
        work_clear(&self->work, self->drain_step);
        self->draining = false;
        (void)session_touch(self, actions, SESSION_DISCARD);
    }
}

void session_give_up(struct session *self, struct session_actions *actions)
{
    session_drain(self);
    claim_forget(self, UINT64_MAX, actions);
}

void session_restart(struct session *self, uint64_t hello_at_ms, uint64_t version_kept,
                     struct session_actions *actions)
{
    if (version_kept != self->version) {
        session_give_up(self, actions);
    }
    self->phase = SESSION_HELLO;
    self->version = version_kept;
    self->collect_wanted = false;
    self->claim_open = false;
    self->forgot = false;
    for (size_t i = 0; i < self->kept_count; i++) {
        self->kept[i].due = false; /* the answer to the claim says whether */
    }
    self->update_count = 0;
    self->missed = false;
    self->fetching = false;
    self->fetched = false;
    self->abandoned = true;
    self->asked = false;
    self->offer_open = false;
    self->hello_at_ms = hello_at_ms;
}

static void take_refusal(struct session *self, uint64_t now_ms, const struct wire_refused *refused,
                         struct session_actions *actions)
{
    switch (refused->code) {
    case WIRE_REFUSED_TOKEN:
    case WIRE_REFUSED_PROTOCOL:
    case WIRE_REFUSED_IDENTITY:
    case WIRE_REFUSED_SEQUENCE:
    case WIRE_REFUSED_BANNED:
    case WIRE_REFUSED_NOT_ALLOWED:
        session_end(self, actions, STATUS_REFUSED, refused->text);
        return;
    case WIRE_REFUSED_FULL:
        (void)snprintf(self->refusal, sizeof self->refusal, "%s", refused->text);
        session_restart(self, now_ms + self->settings.hello_ms_max, self->version, actions);
        return;
    case WIRE_REFUSED_GONE:
        session_restart(self, now_ms, WIRE_VERSION_NONE, actions);
        return;
    case WIRE_REFUSED_UNKNOWN:
    default:
        if (self->phase != SESSION_HELLO) {
            session_restart(self, now_ms, self->version, actions);
        }
    }
}

/* Computing for the version in hand makes sense now; with staleness, also while it is handed in and
 * the next update comes. */
static bool may_work(const struct session *self)
{
    bool free = !self->offer_open && self->update_count == 0;
    bool follows = self->may_be_stale && self->update_count <= 1;
    return self->phase == SESSION_TRAIN && !self->settings.aggregates_only && !self->draining &&
           !self->stopping && !self->finished && !self->claim_open && !self->applying &&
           (free || follows);
}

/* It is of the version's own step, or of the next one and may be begun on these parameters. */
static bool lease_fits(const struct session *self, const struct wire_lease *lease)
{
    if (!may_work(self) || lease->samples.count > WIRE_LEASE_SAMPLES_MAX) {
        return false;
    }
    if (lease->step == self->version && self->update_count == 0) {
        return lease->version == self->version ||
               (self->may_be_stale && lease->version + 1 == self->version);
    }
    return self->may_be_stale && lease->version == self->version &&
           lease->step == self->version + 1;
}

/* What cannot be taken is given back at once: its coordinator would else wait for it for long. One
 * that comes twice is none of these. */
static void take_lease(struct session *self, uint64_t now_ms, const struct session_event *event,
                       struct session_actions *actions)
{
    const struct wire_lease *lease = &event->message->as.lease;
    bool known = work_has_lease(&self->work, lease->lease_id);
    self->asked = false;
    if (lease_fits(self, lease) &&
        work_add_lease(&self->work, lease->lease_id, lease->step, lease->samples.first,
                       (uint32_t)lease->samples.count, event->tokens) == STATUS_OK) {
        return;
    }
    free(event->tokens);
    if (!known) {
        session_say(self, now_ms, actions, WIRE_YIELDED)->as.yielded =
            (struct wire_yielded){.lease_id = lease->lease_id};
    }
}

static void yield_lease(struct session *self, uint64_t now_ms, uint64_t lease_id, uint32_t keep,
                        struct session_actions *actions)
{
    uint32_t kept = 0;
    bool known = self->phase == SESSION_TRAIN && !self->draining &&
                 work_yield(&self->work, lease_id, keep, &kept);
    if (known) {
        struct wire_yielded *yielded =
            &session_say(self, now_ms, actions, WIRE_YIELDED)->as.yielded;
        yielded->lease_id = lease_id;
        yielded->kept = kept;
    }
}

/* Who is asked for what it does not have was misunderstood, and so was who did not hear of a commit
 * that must have been: a new hello and claim set it right. */
static void take_collect(struct session *self, uint64_t now_ms, uint64_t step,
                         struct session_actions *actions)
{
    uint64_t known = session_step_of(self);
    bool stale = self->may_be_stale && step == self->version + 1;
    if (self->phase != SESSION_TRAIN || step < known || (step != self->version && !stale) ||
        (!stale && (self->draining || self->applying))) {
        return;
    }
    const struct work *work = &self->work;
    bool holds = work->held_samples > 0 && work->held_step == step;
    bool has_any = holds || work_left(work, step) > 0 || claim_offers_due(self, step) ||
                   self->claim_open || self->offer_open;
    if (has_any && step == known) {
        self->collect_wanted = true;
        self->collect_step = step;
    } else {
        session_restart(self, now_ms, self->version, actions);
    }
}

/* Many updates later, a snapshot is less to fetch. */
static void take_route(struct session *self, uint64_t now_ms, const struct wire_route *route,
                       struct session_actions *actions)
{
    bool behind = self->missed || self->update_count > SESSION_BEHIND_MAX;
    bool wakes = self->rests && route->computes && !self->settings.aggregates_only;
    self->rests = !route->computes;
    if (wakes && behind && self->phase == SESSION_TRAIN) {
        session_restart(self, now_ms, WIRE_VERSION_NONE, actions);
    }
}

static void take_message(struct session *self, uint64_t now_ms, const struct session_event *event,
                         struct session_actions *actions)
{
    const struct wire_message *message = event->message;
    self->heard_ms = now_ms;
    switch (message->type) {
    case WIRE_WELCOME:
        self->cramped = event->cramped;
        sync_welcome(self, now_ms, &message->as.welcome, actions);
        break;
    case WIRE_REFUSED:
        take_refusal(self, now_ms, &message->as.refused, actions);
        break;
    case WIRE_LEASE:
        take_lease(self, now_ms, event, actions);
        break;
    case WIRE_RECLAIM:
        yield_lease(self, now_ms, message->as.reclaim.lease_id, message->as.reclaim.keep, actions);
        break;
    case WIRE_COLLECT:
        take_collect(self, now_ms, message->as.collect.step, actions);
        break;
    case WIRE_VERDICT:
        claim_verdict(self, &message->as.verdict, actions);
        break;
    case WIRE_CLAIMED:
        claim_answered(self, &message->as.claimed);
        break;
    case WIRE_COMMITTED:
        sync_committed(self, now_ms, &message->as.committed, actions);
        break;
    case WIRE_ROUTE:
        take_route(self, now_ms, &message->as.route, actions);
        break;
    case WIRE_FINISHED:
        self->stop_ms = self->stopping || self->finished ? self->stop_ms : now_ms;
        self->finished = true;
        break;
    case WIRE_HELLO:
    case WIRE_READY:
    case WIRE_PROGRESS:
    case WIRE_YIELDED:
    case WIRE_CONTRIBUTION:
    case WIRE_APPLIED:
    case WIRE_GRANT: /* served by the shell */
    case WIRE_ALIVE:
    case WIRE_LEAVE:
    case WIRE_CLAIM:
    case WIRE_DELIVER:
    case WIRE_OPEN:
    case WIRE_SET:
    case WIRE_HOLDS:
    case WIRE_RATES:
    case WIRE_PROBE:
    case WIRE_TYPE_END:
    default:
        break;
    }
    if (message->type != WIRE_LEASE) {
        free(event->tokens);
    }
}

/* What happens while nobody listens is told by the claim. */
static void report_progress(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (self->draining || self->phase != SESSION_TRAIN || self->claim_open) {
        return;
    }
    /* What was set aside in the middle of a lease counts as far as that is known to be done. */
    bool due = now_ms - self->progress_ms >= self->settings.progress_ms ||
               claim_offers_due(self, session_step_of(self));
    struct work_report report;
    while (work_report(&self->work, !due, &report)) {
        self->progress_ms = now_ms;
        struct wire_progress *progress =
            &session_say(self, now_ms, actions, WIRE_PROGRESS)->as.progress;
        progress->lease_id = report.lease_id;
        progress->samples_done = report.samples_done;
        progress->loss_sum = report.loss_sum;
    }
}

static void stop_working(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (self->stopping) {
        return;
    }
    self->stopping = true;
    self->stop_ms = self->finished ? self->stop_ms : now_ms;
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        uint32_t kept = 0;
        uint64_t lease_id = self->work.leases[i].id;
        yield_lease(self, now_ms, lease_id, 0, actions);
        (void)work_yield(&self->work, lease_id, 0, &kept); /* also when nobody can be told */
    }
}

static void hand_in_if_due(struct session *self, struct session_actions *actions)
{
    const struct work *work = &self->work;
    uint64_t step = session_step_of(self);
    bool wanted = (self->collect_wanted && self->collect_step == step) || self->stopping;
    if (!wanted || work_left(work, step) > 0 || self->draining || self->offer_open ||
        self->claim_open || self->phase != SESSION_TRAIN || claim_offers_due(self, step)) {
        return;
    }
    self->collect_wanted = false;
    if (work->held_samples > 0 && work->held_step == step) {
        claim_hand_in(self, actions);
    }
}

static bool is_hungry(const struct session *self)
{
    return may_work(self) && work_at_hand(&self->work) < self->settings.thread_count;
}

static void ask_for_work(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (!self->asked && is_hungry(self)) {
        self->asked = true;
        session_say(self, now_ms, actions, WIRE_READY)->as.ready.version = self->version;
    }
}

static void leave_if_done(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (!self->stopping || self->phase == SESSION_OVER) {
        return;
    }
    bool due = false; /* the step of what is set aside has not come yet */
    for (size_t i = 0; i < self->kept_count; i++) {
        due = due || self->kept[i].due;
    }
    bool busy = work_running(&self->work) > 0 || self->offer_open || self->claim_open || due ||
                (!self->draining && self->work.held_samples > 0);
    if (busy && now_ms - self->stop_ms < self->settings.leave_ms_max) {
        return;
    }
    session_say(self, now_ms, actions, WIRE_LEAVE);
    session_end(self, actions, STATUS_OK, busy ? "left without an answer" : "left");
}

/* The last update is applied first, so that this peer's P is the run's result and its digest is
 * told; but nobody waits for long for a coordinator that may be gone. */
static void end_if_finished(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    bool waits = self->update_count > 0 && (self->follows || self->fetching);
    bool behind = self->phase == SESSION_TRAIN && (waits || self->applying);
    if (self->finished && self->phase != SESSION_OVER &&
        (!behind || now_ms - self->stop_ms >= self->settings.leave_ms_max)) {
        session_end(self, actions, STATUS_OK, "the run is finished");
    }
}

static void say_hello(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    self->hello_at_ms = now_ms + self->hello_wait_ms;
    self->hello_wait_ms = self->hello_wait_ms * 2 < self->settings.hello_ms_max
                              ? self->hello_wait_ms * 2
                              : self->settings.hello_ms_max;
    session_say(self, now_ms, actions, WIRE_HELLO)->as.version_held = self->version;
}

/* Also when there was much to say: the coordinator answers this, and while a long lease is being
 * computed it may have nothing else to say. */
static void say_alive(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    uint64_t alive_ms = self->settings.alive_ms;
    bool quiet = now_ms - self->said_ms >= alive_ms || now_ms - self->heard_ms >= alive_ms;
    if (!quiet || now_ms - self->alive_at_ms < alive_ms) {
        return;
    }
    self->alive_at_ms = now_ms;
    session_say(self, now_ms, actions, WIRE_ALIVE);
    if (self->asked && is_hungry(self)) {
        /* A question that got lost would otherwise leave this peer idle for ever. */
        session_say(self, now_ms, actions, WIRE_READY)->as.ready.version = self->version;
    }
}

static void keep_in_touch(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (!self->welcomed && self->settings.first_ms_max > 0 &&
        now_ms - self->started_ms > self->settings.first_ms_max) {
        bool refused = self->refusal[0] != '\0';
        session_end(self, actions, refused ? STATUS_UNAVAILABLE : STATUS_NO_HOST,
                    refused ? self->refusal : "nobody answered");
    } else if (now_ms - self->heard_ms > self->settings.silence_ms_max) {
        /* Also from one whose hello nobody answers: the name may stand for another address now. */
        self->heard_ms = now_ms;
        session_add(actions, SESSION_RECONNECT);
        session_restart(self, now_ms, self->version, actions);
    } else if (self->phase == SESSION_HELLO) {
        if (now_ms >= self->hello_at_ms) {
            say_hello(self, now_ms, actions);
        }
    } else {
        claim_repeat(self, now_ms, actions);
        say_alive(self, now_ms, actions);
    }
}

/* Nobody knows what was lost with the old connection. */
static void connect_again(struct session *self, uint64_t now_ms, struct session_actions *actions)
{
    if (!self->finished) {
        self->hello_wait_ms = self->settings.hello_ms;
        session_restart(self, now_ms, self->version, actions);
        say_hello(self, now_ms, actions);
    }
}

static void take_event(struct session *self, uint64_t now_ms, const struct session_event *event,
                       struct session_actions *actions)
{
    switch (event->type) {
    case SESSION_MESSAGE:
        take_message(self, now_ms, event, actions);
        break;
    case SESSION_FETCHED:
        sync_fetched(self, now_ms, event->ok, actions);
        break;
    case SESSION_APPLIED:
        sync_applied(self, now_ms, &event->digest, actions);
        break;
    case SESSION_OPENED:
        steer_opened(self);
        break;
    case SESSION_CONNECTED:
        connect_again(self, now_ms, actions);
        break;
    case SESSION_STOP:
        stop_working(self, now_ms, actions);
        break;
    case SESSION_TICK:
        keep_in_touch(self, now_ms, actions);
        break;
    case SESSION_WORKED:
    default:
        break;
    }
}

void session_heard(struct session *self, uint64_t now_ms)
{
    self->heard_ms = now_ms;
}

void session_step(struct session *self, uint64_t now_ms, const struct session_event *event,
                  struct session_actions *actions)
{
    actions->count = 0;
    self->touched = false;
    if (self->phase == SESSION_OVER) {
        if (event->type == SESSION_MESSAGE) {
            free(event->tokens);
        }
        return;
    }
    take_event(self, now_ms, event, actions);
    if (self->phase == SESSION_OVER) {
        return;
    }
    finish_drain(self, actions);
    report_progress(self, now_ms, actions);
    claim_offer_again(self, actions);
    hand_in_if_due(self, actions);
    sync_advance(self, actions);
    steer(self, actions);
    if (self->forgot && self->phase == SESSION_TRAIN) {
        session_restart(self, now_ms, self->version, actions);
    }
    ask_for_work(self, now_ms, actions);
    leave_if_done(self, now_ms, actions);
    end_if_finished(self, now_ms, actions);
}
