/* cores_sim_peer - plays an honest peer's shell around the real session. */
#ifndef DUGNAD_TESTS_UNIT_CORES_SIM_PEER_H
#define DUGNAD_TESTS_UNIT_CORES_SIM_PEER_H

#include "cores_sim.h"

static void session_event(struct sim *s, struct sim_peer *peer, const struct session_event *event);

static struct digest digest_from(uint64_t params)
{
    struct digest digest = {0};
    memcpy(digest.bytes, &params, sizeof params);
    return digest;
}

static void fill_claim(const struct sim *s, const struct sim_peer *peer, bool claims_work,
                       struct sim_letter *letter)
{
    const struct work *work = &peer->session.work;
    struct work_range ranges[WORK_RANGES_MAX];
    uint64_t base = peer->session.version * s->batch;
    size_t count = claims_work ? work_owned(work, ranges) : 0;
    letter->step = peer->session.version;
    for (size_t i = 0; i < count; i++) {
        letter->samples |= bits_of(ranges[i].first - base, ranges[i].count);
    }
    for (size_t i = 0; i < peer->kept_count; i++) {
        uint64_t shift = peer->kept[i].step > letter->step ? s->batch : 0;
        letter->kept |= peer->kept[i].samples << shift;
    }
    for (size_t i = 0; claims_work && i < WORK_LEASES_MAX; i++) {
        const struct work_lease *lease = &work->leases[i];
        if (lease->id != 0 && lease->done < lease->count &&
            letter->lease_count < CORE_LEASES_PER_PEER) {
            letter->leases[letter->lease_count++] = (struct core_lease){
                .id = lease->id,
                .first = lease->first,
                .count = lease->count,
                .done = lease->done,
            };
        }
    }
}

static void send_from_session(struct sim *s, struct sim_peer *peer,
                              const struct session_action *action)
{
    struct sim_letter letter = {.type = action->send};
    if (action->send == WIRE_HELLO) {
        letter.id = action->as.version_held;
        letter.count = peer->session.settings.thread_count;
    } else if (action->send == WIRE_READY) {
        letter.id = action->as.ready.version;
    } else if (action->send == WIRE_PROGRESS) {
        letter.id = action->as.progress.lease_id;
        letter.count = action->as.progress.samples_done;
    } else if (action->send == WIRE_YIELDED) {
        letter.id = action->as.yielded.lease_id;
        letter.count = action->as.yielded.kept;
    } else if (action->send == WIRE_APPLIED) {
        letter.id = action->as.applied.version;
        memcpy(&letter.step, action->as.applied.digest.bytes, sizeof letter.step);
    } else if (action->send == WIRE_CLAIM) {
        fill_claim(s, peer, action->as.claims_work, &letter);
    }
    to_coordinator(s, peer, letter);
}

static void encode(struct sim *s, struct sim_peer *peer, uint64_t id, bool offered)
{
    struct work *work = &peer->session.work;
    struct sim_letter letter = {.type = WIRE_CONTRIBUTION, .id = id, .step = work->held_step};
    for (size_t i = 0; i < work->held_count; i++) {
        for (uint64_t j = 0; j < work->held[i].count; j++) {
            letter.samples |= 1ULL << (work->held[i].first + j - letter.step * s->batch);
        }
    }
    letter.inside = peer->gradient;
    expect(s, letter.samples != 0, "an empty contribution");
    expect(s, letter.samples == letter.inside && letter.step == peer->gradient_step,
           "the accumulator is not what is held");
    peer->gradient = 0;
    work_clear_held(work);
    expect(s, peer->kept_count < SESSION_OFFERS_MAX, "too many contributions are kept");
    peer->kept[peer->kept_count++ % SESSION_OFFERS_MAX] =
        (struct sim_kept){.id = id, .step = letter.step, .samples = letter.samples};
    if (offered) {
        to_coordinator(s, peer, letter);
    }
}

/* NULL: it is not kept. */
static struct sim_kept *find_kept(struct sim_peer *peer, uint64_t id)
{
    for (size_t i = 0; i < peer->kept_count; i++) {
        if (peer->kept[i].id == id) {
            return &peer->kept[i];
        }
    }
    return NULL;
}

static void offer_again(struct sim *s, struct sim_peer *peer, uint64_t id)
{
    const struct sim_kept *kept = find_kept(peer, id);
    expect(s, kept != NULL, "a contribution that is not kept is offered again");
    if (kept != NULL) {
        to_coordinator(s, peer,
                       (struct sim_letter){.type = WIRE_CONTRIBUTION,
                                           .id = id,
                                           .step = kept->step,
                                           .samples = kept->samples,
                                           .inside = kept->samples,
                                           .again = true});
    }
}

static void drop_kept(struct sim *s, struct sim_peer *peer, uint64_t id)
{
    struct sim_kept *kept = find_kept(peer, id);
    expect(s, kept != NULL, "a contribution that is not kept is dropped");
    if (kept != NULL) {
        *kept = peer->kept[--peer->kept_count];
    }
}

static bool any_busy(const struct sim_peer *peer)
{
    bool busy = false;
    for (size_t i = 0; i < SIM_THREADS_MAX; i++) {
        busy = busy || peer->workers[i].busy;
    }
    return busy;
}

static void obey_session(struct sim *s, struct sim_peer *peer, const struct session_action *action)
{
    switch (action->type) {
    case SESSION_SEND:
        send_from_session(s, peer, action);
        break;
    case SESSION_FETCH:
        peer->fetch_open = true;
        peer->fetch_id = action->ref.id;
        peer->fetch_ms = s->now_ms + chance(s, 300);
        break;
    case SESSION_LOAD:
    case SESSION_APPLY:
        expect(s, !any_busy(peer), "P changes while samples are computed");
        peer->params = action->type == SESSION_LOAD ? s->params[peer->fetch_id]
                                                    : random_mix(peer->params + peer->fetch_id);
        peer->ahead = false;
        peer->apply_open = true;
        peer->apply_ms = s->now_ms + chance(s, 2) * chance(s, 200);
        break;
    case SESSION_ENCODE:
        encode(s, peer, action->offer_id, true);
        break;
    case SESSION_SET_ASIDE:
        encode(s, peer, action->offer_id, false);
        s->set_aside++;
        break;
    case SESSION_OPEN:
        expect(s, !any_busy(peer), "the weights change while samples are computed");
        peer->opening = true;
        peer->opening_ahead = action->ahead;
        peer->open_ms = s->now_ms + chance(s, 2) * chance(s, 50);
        break;
    case SESSION_OFFER_AGAIN:
        offer_again(s, peer, action->offer_id);
        break;
    case SESSION_DROP_OFFER:
        drop_kept(s, peer, action->offer_id);
        break;
    case SESSION_DROP_OFFERS:
        peer->kept_count = 0;
        break;
    case SESSION_DISCARD:
        expect(s, !any_busy(peer), "the accumulator is cleared under the workers");
        peer->gradient = 0;
        break;
    case SESSION_MISMATCH:
        s->mismatches++;
        break;
    case SESSION_EXIT:
        expect(s, action->status == STATUS_OK, "a session failed");
        peer->ended_finished = peer->session.finished;
        break;
    case SESSION_SETUP:
    case SESSION_RECONNECT:
    default:
        break;
    }
}

static void session_event(struct sim *s, struct sim_peer *peer, const struct session_event *event)
{
    struct session_actions actions;
    enum session_phase phase = peer->session.phase;
    session_step(&peer->session, s->now_ms, event, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        obey_session(s, peer, &actions.items[i]);
    }
    if (peer->session.phase == SESSION_OVER && phase != SESSION_OVER) {
        peer->running = false;
        uint64_t version = peer->session.version;
        bool at_the_end = version == s->step_count && peer->params == s->params[version];
        s->at_the_end += at_the_end ? 1 : 0;
        expect(s,
               at_the_end || !s->calm || !peer->ended_finished || phase != SESSION_TRAIN ||
                   peer->session.stopping || s->now_ms < peer->deaf_until_ms + 5000,
               "a session ended on another version");
    }
}

/* Turns a letter into the message that the wire would have made of it. */
static void deliver(struct sim *s, struct sim_peer *peer, const struct sim_letter *letter)
{
    static struct wire_message message;
    struct session_event event = {.type = SESSION_MESSAGE, .message = &message};
    message.type = letter->type;
    if (letter->type == WIRE_WELCOME) {
        message.as.welcome.context = 1;
        message.as.welcome.run_id = (struct digest){{1}};
        message.as.welcome.has_snapshot = letter->ok;
        message.as.welcome.snapshot.id = letter->id;
        message.as.welcome.max_staleness = s->max_staleness;
    } else if (letter->type == WIRE_REFUSED) {
        message.as.refused.code = (enum wire_refusal)letter->id;
    } else if (letter->type == WIRE_LEASE) {
        message.as.lease =
            (struct wire_lease){.lease_id = letter->id,
                                .step = letter->step,
                                .version = letter->version,
                                .samples = {.first = letter->step * s->batch + letter->samples,
                                            .count = letter->count}};
        event.tokens = calloc((size_t)letter->count * 2, sizeof *event.tokens);
    } else if (letter->type == WIRE_RECLAIM) {
        message.as.reclaim =
            (struct wire_reclaim){.lease_id = letter->id, .keep = (uint32_t)letter->count};
    } else if (letter->type == WIRE_COLLECT) {
        message.as.collect.step = letter->step;
    } else if (letter->type == WIRE_VERDICT) {
        message.as.verdict.blob_id = letter->id;
        message.as.verdict.accepted = letter->ok;
    } else if (letter->type == WIRE_CLAIMED) {
        message.as.claimed = (struct wire_claimed){.step = letter->step, .accepted = letter->ok};
    } else if (letter->type == WIRE_COMMITTED) {
        message.as.committed.step = letter->step;
        message.as.committed.update.id = letter->step + 1;
        message.as.committed.digest = digest_from(s->params[letter->step + 1]);
    }
    session_event(s, peer, &event);
}

static void run_workers(struct sim *s, struct sim_peer *peer)
{
    for (size_t i = 0; i < peer->session.settings.thread_count; i++) {
        struct sim_worker *worker = &peer->workers[i];
        if (worker->busy && s->now_ms >= worker->until_ms) {
            worker->busy = false;
            uint64_t bit = 1ULL << (worker->item.sample % s->batch);
            uint64_t step = worker->item.sample / s->batch;
            bool stale = worker->item.stale && step > 0 && s->max_staleness > 0;
            expect(s, worker->params == peer->params, "P changed under a worker");
            expect(s, peer->params == s->params[stale ? step - 1 : step] && stale == peer->ahead,
                   "a sample was computed with other parameters than its step's");
            expect(s, peer->gradient == 0 || peer->gradient_step == step,
                   "an accumulator holds samples of two steps");
            expect(s, (peer->gradient & bit) == 0, "a sample was added twice");
            peer->gradient |= bit;
            peer->gradient_step = step;
            s->stale += stale ? 1 : 0;
            work_done(&peer->session.work, &worker->item, 1.0);
            session_event(s, peer, &(struct session_event){.type = SESSION_WORKED});
        }
        if (!worker->busy && work_begin(&peer->session.work, &worker->item)) {
            worker->busy = true;
            worker->params = peer->params;
            worker->until_ms = s->now_ms + peer->sample_ms / 2 + chance(s, peer->sample_ms);
        }
    }
}

static void run_transfers(struct sim *s, struct sim_peer *peer)
{
    if (peer->apply_open && s->now_ms >= peer->apply_ms) {
        peer->apply_open = false;
        struct session_event event = {.type = SESSION_APPLIED, .digest = digest_from(peer->params)};
        session_event(s, peer, &event);
    }
    if (peer->opening && s->now_ms >= peer->open_ms) {
        peer->opening = false;
        peer->ahead = peer->opening_ahead;
        session_event(s, peer, &(struct session_event){.type = SESSION_OPENED});
    }
    if (peer->fetch_open && s->now_ms >= peer->fetch_ms) {
        peer->fetch_open = false;
        bool ok = s->now_ms >= peer->deaf_until_ms && (s->calm || chance(s, 30) != 0);
        session_event(s, peer, &(struct session_event){.type = SESSION_FETCHED, .ok = ok});
    }
}

static void run_honest(struct sim *s, struct sim_peer *peer)
{
    struct sim_letter letter;
    while (pull(s, &peer->down, &letter)) {
        deliver(s, peer, &letter);
    }
    run_transfers(s, peer);
    run_workers(s, peer);
    if (s->now_ms >= peer->connect_ms) {
        peer->connect_ms = UINT64_MAX;
        session_event(s, peer, &(struct session_event){.type = SESSION_CONNECTED});
    }
    if (s->now_ms >= peer->stop_ms) {
        peer->stop_ms = UINT64_MAX;
        session_event(s, peer, &(struct session_event){.type = SESSION_STOP});
    }
    if (s->now_ms % 50 == 0) {
        session_event(s, peer, &(struct session_event){.type = SESSION_TICK});
    }
}

#endif
