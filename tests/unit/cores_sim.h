/* cores_sim - one coordinator core and some peer sessions on fake time, joined by pipes that delay
 * and lose. cores_sim_coordinator.h and cores_sim_peer.h play the shells; gradients are bitmaps of
 * the samples inside. */
#ifndef DUGNAD_TESTS_UNIT_CORES_SIM_H
#define DUGNAD_TESTS_UNIT_CORES_SIM_H

#include "common/random.h"
#include "coordinator/core/core.h"
#include "peer/core/session.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIM_PEERS = 7,
    SIM_PIPE_MAX = 512,
    SIM_STEPS_MAX = 8,
    SIM_THREADS_MAX = 3,
    SIM_FACTS_MAX = 4096,
    SIM_BROKEN_MS_MAX = 1200 /* until a broken connection stands again */
};

/* What a peer without a session does with the leases it gets. */
enum sim_character {
    SIM_HONEST,
    SIM_LAZY,     /* never reports, only says it is alive */
    SIM_BOASTER,  /* says all is done, never hands in */
    SIM_WITHHELD, /* hands in, but its bytes never come */
    SIM_FORGER,   /* hands in what is not its own */
    SIM_DRIBBLER, /* reports one sample at the last moment */
    SIM_CHARACTERS
};

/* A message, without the 16 KiB of struct wire_message; which fields it uses depends on the type.
 */
struct sim_letter {
    uint64_t due_ms;
    enum wire_type type;
    uint64_t id;
    uint64_t step;
    uint64_t count;
    uint64_t version; /* lease */
    uint64_t samples; /* contribution, claim: bitmap of what it claims, from the step's first on */
    uint64_t inside;  /* contribution: and of what its bytes hold */
    uint64_t kept;    /* claim: bitmap */
    struct core_lease leases[CORE_LEASES_PER_PEER]; /* claim */
    size_t lease_count;
    bool again;
    bool ok;
};

struct sim_pipe {
    struct sim_letter letters[SIM_PIPE_MAX];
    size_t first;
    size_t count;
    uint64_t last_due_ms;
};

struct sim_worker {
    bool busy;
    struct work_item item;
    uint64_t until_ms;
    uint64_t params; /* as they were when it began */
};

/* A contribution that the peer keeps. */
struct sim_kept {
    uint64_t id;
    uint64_t step;
    uint64_t samples;
};

/* What the coordinator's journal would say of a lease. */
struct sim_fact {
    size_t peer;
    uint64_t step;
    struct core_range range;
};

struct sim_peer {
    enum sim_character character;
    bool running;
    uint64_t join_ms;
    uint64_t stop_ms; /* the user stops it; UINT64_MAX: never */
    uint64_t kill_ms; /* it vanishes */
    uint64_t deaf_until_ms;
    uint64_t connect_ms; /* a broken connection stands again; UINT64_MAX: it is not broken */
    uint64_t sample_ms;
    struct session session;
    struct sim_worker workers[SIM_THREADS_MAX];
    uint64_t params;
    bool ahead;        /* the weights are those for the step after `params` */
    uint64_t gradient; /* bitmap */
    uint64_t gradient_step;
    struct sim_kept kept[SESSION_OFFERS_MAX];
    size_t kept_count;
    uint64_t fetch_id;
    bool fetch_open;
    uint64_t fetch_ms;
    bool apply_open;
    uint64_t apply_ms;
    bool opening;
    bool opening_ahead;
    uint64_t open_ms;
    bool ended_finished;
    uint64_t lease_id; /* hostile: its latest */
    uint64_t lease_count;
    uint64_t lease_done;
    uint64_t lease_ms;
    struct sim_pipe up;
    struct sim_pipe down;
    /* The coordinator's side of the connection. */
    bool joined;
    bool away;          /* joined by its facts alone */
    uint64_t forfeited; /* bitmap: samples, from this step's on, that were taken with reason */
    uint64_t offer_id;
    uint32_t index;
    uint64_t claimed;
    uint64_t offered;
    uint64_t counted;        /* bitmap of this step: of its key */
    uint64_t counted_before; /* and of the one before */
    uint64_t offered_step;
    bool upload_open;
    uint64_t upload_ms;
};

struct sim {
    uint64_t seed;
    struct random random;
    uint64_t now_ms;
    uint32_t batch;
    uint32_t max_staleness; /* then two batches fit a bitmap */
    uint64_t stale_from;
    uint64_t step_count;
    struct core *core;
    struct core_actions actions;
    uint64_t params[SIM_STEPS_MAX + 1]; /* of each version */
    uint64_t counted;                   /* bitmap of this step */
    bool committing;
    uint64_t commit_ms;
    bool finished;
    bool calm; /* nothing is lost and nobody lies; but peers come, stop and vanish */
    uint64_t restart_ms;
    uint64_t serial; /* of the coordinator: how often it restarted */
    bool paused;
    uint64_t pause_ms; /* when it is paused or resumed next */
    struct sim_fact facts[SIM_FACTS_MAX];
    size_t fact_count;
    struct sim_peer peers[SIM_PEERS];
    const char *wrong; /* the first thing that must not be; NULL: none */
    uint64_t expelled;
    uint64_t reclaims;
    uint64_t lost_letters;
    uint64_t mismatches;
    uint64_t at_the_end; /* sessions that ended with the run's last parameters */
    uint64_t lent_twice; /* samples that a live peer still had in its hands */
    uint64_t breaks;
    uint64_t restarts;
    uint64_t claims;
    uint64_t claims_refused;
    uint64_t offers_again;
    uint64_t stale;     /* samples */
    uint64_t set_aside; /* contributions */
};

static uint64_t chance(struct sim *s, uint64_t bound)
{
    return random_below(&s->random, bound);
}

static void expect(struct sim *s, bool condition, const char *text)
{
    if (!condition && s->wrong == NULL) {
        s->wrong = text;
    }
}

static void push(struct sim *s, struct sim_pipe *pipe, const struct sim_peer *peer,
                 struct sim_letter letter)
{
    if (s->now_ms < peer->deaf_until_ms) {
        s->lost_letters++;
        return;
    }
    expect(s, pipe->count < SIM_PIPE_MAX, "a pipe is full");
    if (pipe->count == SIM_PIPE_MAX) {
        return;
    }
    letter.due_ms = s->now_ms + chance(s, 60);
    letter.due_ms = letter.due_ms > pipe->last_due_ms ? letter.due_ms : pipe->last_due_ms;
    pipe->last_due_ms = letter.due_ms;
    pipe->letters[(pipe->first + pipe->count++) % SIM_PIPE_MAX] = letter;
}

static bool pull(struct sim *s, struct sim_pipe *pipe, struct sim_letter *out)
{
    if (pipe->count == 0 || pipe->letters[pipe->first].due_ms > s->now_ms) {
        return false;
    }
    *out = pipe->letters[pipe->first];
    pipe->first = (pipe->first + 1) % SIM_PIPE_MAX;
    pipe->count--;
    return true;
}

/* What is under way is lost on both sides. */
static void break_connection(struct sim *s, struct sim_peer *peer)
{
    peer->connect_ms = s->now_ms + 10 + chance(s, SIM_BROKEN_MS_MAX);
    if (peer->deaf_until_ms < peer->connect_ms) {
        peer->deaf_until_ms = peer->connect_ms;
    }
    s->lost_letters += peer->up.count + peer->down.count;
    peer->up.count = 0;
    peer->down.count = 0;
    s->breaks++;
}

/* A bitmap, whose first sample is number `base`, as ranges; returns how many. */
static size_t ranges_of(uint64_t samples, uint64_t base, struct core_range out[64])
{
    size_t count = 0;
    for (uint64_t i = 0; i < 64; i++) {
        if ((samples >> i & 1U) == 0) {
            continue;
        }
        if (count > 0 && out[count - 1].first + out[count - 1].count == base + i) {
            out[count - 1].count++;
        } else {
            out[count++] = (struct core_range){.first = base + i, .count = 1};
        }
    }
    return count;
}

static uint64_t bits_of(uint64_t first, uint64_t count)
{
    return (UINT64_MAX >> (64 - count)) << first;
}

/* A bitmap from `step` on as one from the core's present step on; what is before that is gone. */
static uint64_t from_present(const struct sim *s, uint64_t samples, uint64_t step)
{
    uint64_t present = core_current_step(s->core);
    if (step == present) {
        return samples;
    }
    return step == present + 1 && s->max_staleness > 0 ? samples << s->batch : 0;
}

static void to_peer(struct sim *s, struct sim_peer *peer, struct sim_letter letter)
{
    push(s, &peer->down, peer, letter);
}

static void to_coordinator(struct sim *s, struct sim_peer *peer, struct sim_letter letter)
{
    push(s, &peer->up, peer, letter);
}

#endif
