/* session_fixture - steps a peer's session on fake time and checks its invariants after each event.
 */
#ifndef DUGNAD_TESTS_UNIT_SESSION_FIXTURE_H
#define DUGNAD_TESTS_UNIT_SESSION_FIXTURE_H

#include "peer/core/session.h"

#include <CUnit/CUnit.h>
#include <stdlib.h>
#include <string.h>

enum { FIXTURE_CONTEXT = 3 };

struct fixture {
    struct session session;
    struct session_actions actions;
    struct wire_message message; /* to be filled in and delivered */
    uint64_t now_ms;
    uint32_t max_staleness; /* in welcomes */
    bool cramped;           /* with messages */
};

static inline struct session_settings fixture_settings(void)
{
    return (struct session_settings){.thread_count = 2,
                                     .alive_ms = 1000,
                                     .silence_ms_max = 5000,
                                     .hello_ms = 100,
                                     .hello_ms_max = 1000,
                                     .first_ms_max = 60000,
                                     .progress_ms = 500,
                                     .leave_ms_max = 3000};
}

/* Returns 0 when the books agree, or the line. */
static inline int fixture_check_work(const struct work *work)
{
    uint64_t held = 0;
    if (work->held_stale > work->held_samples ||
        (work_ready(work) > 0 && work->held_samples > 0 && work->held_step != work->open_step)) {
        return __LINE__;
    }
    for (size_t i = 0; i < work->held_count; i++) {
        const struct work_range *range = &work->held[i];
        held += range->count;
        if (range->count == 0 ||
            (i > 0 && range->first <= work->held[i - 1].first + work->held[i - 1].count)) {
            return __LINE__;
        }
    }
    if (held != work->held_samples) {
        return __LINE__;
    }
    for (size_t i = 0; i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &work->leases[i];
        if ((lease->id == 0) != (lease->tokens == NULL) || lease->done > lease->begun ||
            lease->begun > lease->count || lease->reported > lease->done ||
            (i > 0 && lease->id != 0 && work->leases[i - 1].id == 0)) {
            return __LINE__;
        }
    }
    return 0;
}

static inline int fixture_check(const struct session *session)
{
    int line = fixture_check_work(&session->work);
    if (line != 0 || session->phase == SESSION_OVER) {
        return line;
    }
    bool here = session->phase == SESSION_TRAIN;
    uint64_t over = session->version + session->update_count; /* steps before this one are */
    for (size_t i = 0; i < session->kept_count; i++) {
        if (session->kept[i].step < over) {
            return __LINE__;
        }
    }
    if ((session->update_count > 0 && session->phase == SESSION_HELLO) ||
        (session->offer_open && (!here || session->open_step != over)) ||
        (session->claim_open && (!here || session->offer_open || session->asked)) ||
        (!session->may_be_stale && session->update_count > 0 && session->claim_open) ||
        session->kept_count > SESSION_OFFERS_MAX ||
        ((session->fetched || session->applying || session->opening) &&
         work_ready(&session->work) > 0) ||
        (session->kept_count > 0 && session->version == WIRE_VERSION_NONE) ||
        (session->fetching && session->fetched) || (session->asked && !here) ||
        (here && session->version == WIRE_VERSION_NONE && !session->settings.aggregates_only) ||
        (session->draining && work_running(&session->work) == 0) ||
        (session->phase == SESSION_SYNC && session->version != WIRE_VERSION_NONE)) {
        return __LINE__;
    }
    for (size_t i = 1; i < session->update_count; i++) {
        if (session->updates[i].step != session->updates[i - 1].step + 1) {
            return __LINE__;
        }
    }
    return 0;
}

static inline void fixture_step(struct fixture *self, const struct session_event *event)
{
    session_step(&self->session, self->now_ms, event, &self->actions);
    CU_ASSERT_EQUAL_FATAL(fixture_check(&self->session), 0);
}

static inline void fixture_init(struct fixture *self)
{
    struct session_settings settings = fixture_settings();
    memset(self, 0, sizeof *self);
    self->now_ms = 1000;
    session_init(&self->session, &settings, self->now_ms);
}

/* How many actions of this type answered the last event. */
static inline size_t fixture_count(const struct fixture *self, enum session_action_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < self->actions.count; i++) {
        count += self->actions.items[i].type == type ? 1 : 0;
    }
    return count;
}

static inline const struct session_action *fixture_action(const struct fixture *self,
                                                          enum session_action_type type)
{
    for (size_t i = 0; i < self->actions.count; i++) {
        if (self->actions.items[i].type == type) {
            return &self->actions.items[i];
        }
    }
    return NULL;
}

static inline const struct session_action *fixture_sent(const struct fixture *self,
                                                        enum wire_type type)
{
    for (size_t i = 0; i < self->actions.count; i++) {
        if (self->actions.items[i].type == SESSION_SEND && self->actions.items[i].send == type) {
            return &self->actions.items[i];
        }
    }
    return NULL;
}

static inline void fixture_tick(struct fixture *self, uint64_t elapsed_ms)
{
    self->now_ms += elapsed_ms;
    fixture_step(self, &(struct session_event){.type = SESSION_TICK});
}

static inline void fixture_event(struct fixture *self, enum session_event_type type, bool ok)
{
    fixture_step(self, &(struct session_event){.type = type, .ok = ok});
}

/* An update or snapshot whose digest consists of this byte was applied. */
static inline void fixture_applied(struct fixture *self, uint8_t digest)
{
    struct session_event event = {.type = SESSION_APPLIED};
    memset(event.digest.bytes, digest, sizeof event.digest.bytes);
    fixture_step(self, &event);
}

/* Delivers self->message and clears it. */
static inline void fixture_deliver(struct fixture *self, enum wire_type type)
{
    struct session_event event = {
        .type = SESSION_MESSAGE, .message = &self->message, .cramped = self->cramped};
    self->message.type = type;
    if (type == WIRE_LEASE) {
        size_t count = (size_t)self->message.as.lease.samples.count;
        event.tokens = calloc(count > 0 ? count * (FIXTURE_CONTEXT + 1) : 1, sizeof *event.tokens);
        CU_ASSERT_PTR_NOT_NULL_FATAL(event.tokens);
    }
    fixture_step(self, &event);
    memset(&self->message, 0, sizeof self->message);
}

/* A welcome to run number `run`; snapshot: of that version, or WIRE_VERSION_NONE for none. */
static inline void fixture_welcome(struct fixture *self, uint8_t run, uint64_t snapshot)
{
    self->message.as.welcome.context = FIXTURE_CONTEXT;
    self->message.as.welcome.max_staleness = self->max_staleness;
    self->message.as.welcome.run_id.bytes[0] = run;
    self->message.as.welcome.has_snapshot = snapshot != WIRE_VERSION_NONE;
    self->message.as.welcome.snapshot.id = snapshot;
    fixture_deliver(self, WIRE_WELCOME);
}

static inline void fixture_lease(struct fixture *self, uint64_t id, uint64_t first, uint64_t count)
{
    self->message.as.lease = (struct wire_lease){.lease_id = id,
                                                 .step = self->session.version,
                                                 .version = self->session.version,
                                                 .samples = {.first = first, .count = count}};
    fixture_deliver(self, WIRE_LEASE);
}

/* A lease of the step after the version's. */
static inline void fixture_lease_ahead(struct fixture *self, uint64_t id, uint64_t first,
                                       uint64_t count)
{
    self->message.as.lease = (struct wire_lease){.lease_id = id,
                                                 .step = self->session.version + 1,
                                                 .version = self->session.version,
                                                 .samples = {.first = first, .count = count}};
    fixture_deliver(self, WIRE_LEASE);
}

static inline void fixture_reclaim(struct fixture *self, uint64_t id, uint32_t keep)
{
    self->message.as.reclaim = (struct wire_reclaim){.lease_id = id, .keep = keep};
    fixture_deliver(self, WIRE_RECLAIM);
}

static inline void fixture_collect(struct fixture *self)
{
    self->message.as.collect.step = self->session.version;
    fixture_deliver(self, WIRE_COLLECT);
}

static inline void fixture_verdict(struct fixture *self, bool accepted)
{
    self->message.as.verdict.accepted = accepted;
    self->message.as.verdict.blob_id = self->session.open_id;
    fixture_deliver(self, WIRE_VERDICT);
}

/* The answer to a claim for the present version. */
static inline void fixture_claimed(struct fixture *self, bool accepted)
{
    self->message.as.claimed.step = self->session.version;
    self->message.as.claimed.accepted = accepted;
    fixture_deliver(self, WIRE_CLAIMED);
}

static inline void fixture_refused(struct fixture *self, enum wire_refusal code)
{
    self->message.as.refused.code = code;
    (void)strcpy(self->message.as.refused.text, "no");
    fixture_deliver(self, WIRE_REFUSED);
}

/* `step` is committed; after it, P's digest consists of this byte. */
static inline void fixture_committed(struct fixture *self, uint64_t step, uint8_t digest)
{
    self->message.as.committed.step = step;
    self->message.as.committed.update.id = step + 1;
    self->message.as.committed.codec = step % 2 == 0 ? CODEC_MX8 : CODEC_MX4;
    memset(self->message.as.committed.digest.bytes, digest, DIGEST_BYTES);
    fixture_deliver(self, WIRE_COMMITTED);
}

/* Begins the next sample, which is expected to be this one. */
static inline struct work_item fixture_begin(struct fixture *self, uint64_t sample)
{
    struct work_item item = {0};
    CU_ASSERT_TRUE_FATAL(work_begin(&self->session.work, &item));
    CU_ASSERT_EQUAL(item.sample, sample);
    return item;
}

static inline void fixture_done(struct fixture *self, const struct work_item *item)
{
    work_done(&self->session.work, item, 1.0);
    fixture_event(self, SESSION_WORKED, true);
}

/* Fake workers do all that is leased. */
static inline void fixture_work(struct fixture *self)
{
    struct work_item item;
    while (work_begin(&self->session.work, &item)) {
        fixture_done(self, &item);
    }
}

/* Through hello and snapshot to TRAIN at this version; the run's max_staleness is given. */
static inline void fixture_train_with(struct fixture *self, uint64_t version,
                                      uint32_t max_staleness)
{
    fixture_init(self);
    self->max_staleness = max_staleness;
    fixture_tick(self, 0);
    fixture_welcome(self, 1, version);
    fixture_event(self, SESSION_FETCHED, true);
    fixture_applied(self, 0);
    CU_ASSERT_EQUAL_FATAL(self->session.phase, SESSION_TRAIN);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fixture_sent(self, WIRE_READY));
}

static inline void fixture_train(struct fixture *self, uint64_t version)
{
    fixture_train_with(self, version, 0);
}

#endif
