/* cores_sim_coordinator - plays the coordinator's shell around the real core. */
#ifndef DUGNAD_TESTS_UNIT_CORES_SIM_COORDINATOR_H
#define DUGNAD_TESTS_UNIT_CORES_SIM_COORDINATOR_H

#include "core_fixture.h"
#include "cores_sim.h"

static void core_event(struct sim *s, const struct core_event *event);

static struct sim_peer *connection_of(struct sim *s, uint32_t index)
{
    for (size_t i = 0; i < SIM_PEERS; i++) {
        if (s->peers[i].joined && s->peers[i].index == index) {
            return &s->peers[i];
        }
    }
    return NULL;
}

static void forget_connection(struct sim_peer *peer)
{
    peer->joined = false;
    peer->away = false;
    peer->upload_open = false;
}

/* What a live peer has computed or handed in must not be computed by another. */
static void note_lease(struct sim *s, const struct sim_peer *peer, const struct core_action *action)
{
    uint64_t present = core_current_step(s->core);
    uint64_t bits = bits_of(action->first - present * s->batch, action->count);
    expect(s, action->step == present || s->max_staleness > 0, "a lease of another step");
    expect(s, action->first / s->batch == action->step, "a lease whose samples are another step's");
    expect(s,
           action->version == action->step ||
               (action->version + 1 == action->step && s->max_staleness > 0 &&
                action->step >= s->stale_from),
           "a lease for another version");
    for (size_t i = 0; i < SIM_PEERS; i++) {
        const struct sim_peer *other = &s->peers[i];
        uint64_t has = from_present(s, other->gradient, other->gradient_step);
        for (size_t j = 0; j < other->kept_count; j++) {
            has |= from_present(s, other->kept[j].samples, other->kept[j].step);
        }
        if (other->running && other->character == SIM_HONEST) {
            s->lent_twice += (uint64_t)__builtin_popcountll(bits & has & ~other->forfeited);
        }
    }
    expect(s, s->fact_count < SIM_FACTS_MAX, "too many facts");
    expect(s, action->lease_id >> 32U == s->serial, "a lease id of an earlier coordinator");
    s->facts[s->fact_count++ % SIM_FACTS_MAX] =
        (struct sim_fact){.peer = (size_t)(peer - s->peers),
                          .step = action->step,
                          .range = {.first = action->first, .count = action->count}};
}

/* Adds what the peer's bytes hold to the sums: exactly what it claims, and nothing twice. */
static void add_contribution(struct sim *s, struct sim_peer *peer, uint32_t count)
{
    bool ok = chance(s, 50) != 0;
    expect(s, peer->claimed == peer->offered, "a contribution holds other samples than it says");
    expect(s, (uint32_t)__builtin_popcountll(peer->claimed) == count, "ADD has another count");
    if (ok) {
        expect(s, (s->counted & peer->claimed) == 0, "a sample was counted twice");
        s->counted |= peer->claimed;
        peer->counted |= peer->claimed;
    }
    core_event(s, &(struct core_event){.type = CORE_ADDED, .peer = peer->index, .ok = ok});
}

static void obey_core(struct sim *s, const struct core_action *action)
{
    struct sim_peer *peer = connection_of(s, action->peer);
    bool personal = action->type != CORE_COMMIT && action->type != CORE_FINISHED;
    if (personal && peer == NULL) {
        expect(s, false, "an action for a peer that is gone");
        return;
    }
    switch (action->type) {
    case CORE_LEASE:
        note_lease(s, peer, action);
        to_peer(s, peer,
                (struct sim_letter){.type = WIRE_LEASE,
                                    .id = action->lease_id,
                                    .step = action->step,
                                    .version = action->version,
                                    .samples = action->first - action->step * s->batch,
                                    .count = action->count});
        break;
    case CORE_RECLAIM:
        s->reclaims++;
        to_peer(s, peer,
                (struct sim_letter){
                    .type = WIRE_RECLAIM, .id = action->lease_id, .count = action->count});
        break;
    case CORE_COLLECT:
        to_peer(s, peer, (struct sim_letter){.type = WIRE_COLLECT, .step = action->step});
        break;
    case CORE_FETCH:
        peer->upload_open = true;
        peer->upload_ms = s->now_ms + chance(s, 400);
        break;
    case CORE_ADD:
        add_contribution(s, peer, action->count);
        break;
    case CORE_VERDICT:
        peer->forfeited |= action->ok ? 0 : from_present(s, peer->offered, peer->offered_step);
        to_peer(s, peer,
                (struct sim_letter){.type = WIRE_VERDICT, .id = peer->offer_id, .ok = action->ok});
        break;
    case CORE_COMMIT:
        expect(s, s->counted == (UINT64_MAX >> (64 - s->batch)), "a sample is missing");
        s->committing = true;
        s->commit_ms = s->now_ms + chance(s, 300);
        break;
    case CORE_EXPEL:
        s->expelled++;
        peer->forfeited = UINT64_MAX;
        forget_connection(peer);
        break;
    case CORE_CLAIM_ANSWER:
        s->claims_refused += action->ok ? 0 : 1;
        expect(s,
               !s->calm || action->ok || peer->forfeited != 0 || s->committing ||
                   action->step != core_current_step(s->core),
               "an honest claim was refused");
        peer->forfeited = action->ok ? peer->forfeited : UINT64_MAX;
        to_peer(s, peer,
                (struct sim_letter){.type = WIRE_CLAIMED, .step = action->step, .ok = action->ok});
        break;
    case CORE_FINISHED:
    default:
        s->finished = true;
        for (size_t i = 0; i < SIM_PEERS; i++) {
            if (s->peers[i].joined) {
                to_peer(s, &s->peers[i], (struct sim_letter){.type = WIRE_FINISHED});
            }
        }
    }
}

static void core_event(struct sim *s, const struct core_event *event)
{
    struct core_actions actions = {0};
    expect(s, core_step(s->core, s->now_ms, event, &actions) == STATUS_OK, "core_step failed");
    expect(s, fixture_check(s->core) == 0, "the coordinator's books do not agree");
    for (size_t i = 0; i < actions.count; i++) {
        obey_core(s, &actions.items[i]);
    }
    core_actions_deinit(&actions);
}

static void leave(struct sim *s, struct sim_peer *peer)
{
    if (peer->joined) {
        forget_connection(peer);
        core_event(s, &(struct core_event){.type = CORE_LEFT, .peer = peer->index});
    }
}

static void answer_hello(struct sim *s, struct sim_peer *peer, const struct sim_letter *hello)
{
    uint64_t present = core_current_step(s->core);
    bool behind = s->max_staleness > 0 && hello->id + 1 == present && present > 0;
    if (peer->joined && !s->finished && (hello->id == present || behind)) {
        bool snapshot = behind && chance(s, 2) == 0;
        peer->away = false;
        peer->upload_open = false;
        to_peer(s, peer,
                (struct sim_letter){
                    .type = WIRE_WELCOME, .id = snapshot ? present : hello->id, .ok = snapshot});
        if (behind && !snapshot) {
            to_peer(s, peer, (struct sim_letter){.type = WIRE_COMMITTED, .step = hello->id});
        }
        core_event(s, &(struct core_event){.type = CORE_RETURNED,
                                           .peer = peer->index,
                                           .threads = (uint32_t)hello->count});
        return;
    }
    leave(s, peer);
    if (s->finished) {
        to_peer(s, peer, (struct sim_letter){.type = WIRE_FINISHED});
        return;
    }
    uint64_t step = core_current_step(s->core);
    uint64_t from = hello->id;
    bool snapshot = from > step || from + 3 < step;
    if (snapshot) {
        from = step - chance(s, (step < 3 ? step : 2) + 1);
    }
    to_peer(s, peer, (struct sim_letter){.type = WIRE_WELCOME, .id = from, .ok = snapshot});
    for (uint64_t i = from; i < step; i++) {
        to_peer(s, peer, (struct sim_letter){.type = WIRE_COMMITTED, .step = i});
    }
    peer->index = 0;
    while (connection_of(s, peer->index) != NULL) {
        peer->index++;
    }
    peer->joined = true;
    core_event(s, &(struct core_event){
                      .type = CORE_JOINED, .peer = peer->index, .threads = (uint32_t)hello->count});
}

static bool is_counted(const struct sim *s, const struct sim_peer *peer,
                       const struct sim_letter *letter)
{
    uint64_t step = core_current_step(s->core);
    bool here = letter->step == step && (letter->samples & ~peer->counted) == 0;
    bool before = letter->step + 1 == step && (letter->samples & ~peer->counted_before) == 0;
    return letter->again && (here || before);
}

static void take_contribution(struct sim *s, struct sim_peer *peer, const struct sim_letter *letter)
{
    struct core_range ranges[64];
    size_t count = ranges_of(letter->samples, letter->step * s->batch, ranges);
    if (!peer->upload_open) {
        peer->claimed = letter->samples;
        peer->offered = letter->inside;
        peer->offer_id = letter->id;
        peer->offered_step = letter->step;
    }
    s->offers_again += letter->again ? 1 : 0;
    core_event(s, &(struct core_event){.type = CORE_OFFERED,
                                       .peer = peer->index,
                                       .step = letter->step,
                                       .ranges = ranges,
                                       .range_count = count,
                                       .again = letter->again,
                                       .counted = is_counted(s, peer, letter)});
}

static void take_claim(struct sim *s, struct sim_peer *peer, const struct sim_letter *letter)
{
    struct core_range ranges[64];
    struct core_range kept[64];
    uint64_t base = letter->step * s->batch;
    s->claims++;
    core_event(s, &(struct core_event){.type = CORE_CLAIMED,
                                       .peer = peer->index,
                                       .step = letter->step,
                                       .ranges = ranges,
                                       .range_count = ranges_of(letter->samples, base, ranges),
                                       .kept = kept,
                                       .kept_count = ranges_of(letter->kept, base, kept),
                                       .leases = letter->leases,
                                       .lease_count = letter->lease_count});
}

static void hear(struct sim *s, struct sim_peer *peer, const struct sim_letter *letter)
{
    if (letter->type == WIRE_HELLO) {
        answer_hello(s, peer, letter);
        return;
    }
    if (letter->type == WIRE_LEAVE) {
        leave(s, peer);
        return;
    }
    if (!peer->joined || peer->away) {
        to_peer(s, peer, (struct sim_letter){.type = WIRE_REFUSED, .id = WIRE_REFUSED_UNKNOWN});
        return;
    }
    struct core_event event = {.type = CORE_HEARD,
                               .peer = peer->index,
                               .version = letter->id,
                               .lease_id = letter->id,
                               .samples = letter->count};
    if (letter->type == WIRE_CONTRIBUTION) {
        take_contribution(s, peer, letter);
        return;
    }
    if (letter->type == WIRE_CLAIM) {
        take_claim(s, peer, letter);
        return;
    }
    if (letter->type == WIRE_READY) {
        event.type = CORE_READY;
    } else if (letter->type == WIRE_PROGRESS) {
        event.type = CORE_PROGRESS;
    } else if (letter->type == WIRE_YIELDED) {
        event.type = CORE_YIELDED;
    } else if (letter->type == WIRE_APPLIED) {
        expect(s, letter->step == s->params[letter->id], "APPLIED with another digest");
    }
    if (letter->type == WIRE_ALIVE) {
        to_peer(s, peer, (struct sim_letter){.type = WIRE_ALIVE});
    }
    core_event(s, &event);
}

static struct core *make_core(struct sim *s, uint64_t step)
{
    const struct core_settings settings = {.step_first = step,
                                           .sample_first = step * s->batch,
                                           .max_staleness = s->max_staleness,
                                           .stale_from = s->stale_from,
                                           .step_count = s->step_count,
                                           .target_batch = s->batch,
                                           .lease_samples_max = 16,
                                           .lease_ms = 1000,
                                           .silence_ms_max = 4000,
                                           .patience_ms = 5000,
                                           .fetch_ms_max = 3000,
                                           .lease_id_first = (s->serial << 32U) + 1};
    struct core *core = NULL;
    expect(s, core_new(&settings, &core) == STATUS_OK, "core_new failed");
    return core;
}

/* Backwards: the last fact of a sample counts. */
static void reserve_by_facts(struct sim *s)
{
    for (size_t i = s->fact_count; i-- > 0;) {
        const struct sim_fact *fact = &s->facts[i % SIM_FACTS_MAX];
        struct sim_peer *peer = &s->peers[fact->peer];
        uint64_t step = core_current_step(s->core);
        if (fact->step != step && fact->step != step + 1) {
            continue;
        }
        if (!peer->joined) {
            peer->joined = true;
            peer->away = true;
            peer->index = (uint32_t)fact->peer;
            core_event(s, &(struct core_event){.type = CORE_JOINED, .peer = peer->index});
        }
        core_event(s, &(struct core_event){.type = CORE_RESERVED,
                                           .peer = peer->index,
                                           .ranges = &fact->range,
                                           .range_count = 1});
    }
}

/* The coordinator dies in the middle of a step and comes back with what was committed and with the
 * facts of its leases, but for some that had not reached the disk. */
static void restart_core(struct sim *s)
{
    uint64_t step = core_current_step(s->core);
    core_free(s->core);
    s->serial++;
    s->restarts++;
    s->core = make_core(s, step);
    s->counted = 0;
    s->committing = false;
    s->paused = false;
    if (!s->calm && chance(s, 2) == 0) {
        s->fact_count -= chance(s, s->fact_count + 1);
    }
    for (size_t i = 0; i < SIM_PEERS; i++) {
        forget_connection(&s->peers[i]);
        break_connection(s, &s->peers[i]);
        s->peers[i].counted = 0;
        s->peers[i].counted_before = 0;
    }
    reserve_by_facts(s);
}

static void pause_or_resume(struct sim *s)
{
    s->paused = !s->paused;
    s->pause_ms = s->now_ms + chance(s, s->paused ? 4000 : 40000);
    core_event(s, &(struct core_event){.type = s->paused ? CORE_PAUSE : CORE_RESUME});
}

/* Those of the step that is over. */
static void forget_facts(struct sim *s, uint64_t step)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->fact_count; i++) {
        if (s->facts[i].step > step) {
            s->facts[kept++] = s->facts[i];
        }
    }
    s->fact_count = kept;
}

static void commit(struct sim *s)
{
    uint64_t step = core_current_step(s->core);
    s->committing = false;
    s->counted = 0;
    forget_facts(s, step);
    for (size_t i = 0; i < SIM_PEERS; i++) {
        s->peers[i].counted_before = s->peers[i].counted;
        s->peers[i].counted = 0;
        uint64_t *forfeited = &s->peers[i].forfeited;
        *forfeited = s->max_staleness > 0 ? *forfeited >> s->batch : 0;
        if (s->peers[i].joined && !s->peers[i].away) {
            to_peer(s, &s->peers[i], (struct sim_letter){.type = WIRE_COMMITTED, .step = step});
        }
    }
    core_event(s, &(struct core_event){.type = CORE_COMMITTED});
}

static void run_coordinator(struct sim *s)
{
    struct sim_letter letter;
    for (size_t i = 0; i < SIM_PEERS; i++) {
        struct sim_peer *peer = &s->peers[i];
        while (pull(s, &peer->up, &letter)) {
            hear(s, peer, &letter);
        }
        bool here = peer->running && s->now_ms >= peer->deaf_until_ms;
        if (peer->upload_open && s->now_ms >= peer->upload_ms && here &&
            peer->character != SIM_WITHHELD) {
            peer->upload_open = false;
            core_event(s, &(struct core_event){.type = CORE_RECEIVED,
                                               .peer = peer->index,
                                               .ok = chance(s, 50) != 0});
        }
    }
    if (s->committing && s->now_ms >= s->commit_ms) {
        commit(s);
    }
    if (s->now_ms >= s->restart_ms && !s->finished) {
        s->restart_ms = s->restarts < 4 ? s->now_ms + 3000 + chance(s, 20000) : UINT64_MAX;
        restart_core(s);
    }
    if (s->now_ms >= s->pause_ms) {
        pause_or_resume(s);
    }
    if (s->now_ms % 100 == 0) {
        core_event(s, &(struct core_event){.type = CORE_TICK});
    }
}

#endif
