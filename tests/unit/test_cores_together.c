#include "cores_sim_coordinator.h"
#include "cores_sim_peer.h"
#include "suite.h"

#include <stdio.h>

static void take_as_hostile(struct sim *s, struct sim_peer *peer, const struct sim_letter *letter)
{
    struct sim_letter answer = {.type = WIRE_READY, .id = core_current_step(s->core)};
    if (letter->type == WIRE_REFUSED) {
        answer = (struct sim_letter){.type = WIRE_HELLO, .id = WIRE_VERSION_NONE, .count = 2};
    } else if (letter->type == WIRE_LEASE) {
        peer->lease_id = letter->id;
        peer->lease_count = letter->count;
        peer->lease_done = 0;
        peer->lease_ms = s->now_ms;
        if (peer->character == SIM_LAZY || peer->character == SIM_DRIBBLER) {
            return;
        }
        to_coordinator(
            s, peer,
            (struct sim_letter){.type = WIRE_PROGRESS, .id = letter->id, .count = letter->count});
        uint64_t own = (UINT64_MAX >> (64 - letter->count)) << letter->samples;
        if (peer->character == SIM_WITHHELD || peer->character == SIM_FORGER) {
            uint64_t claimed = peer->character == SIM_FORGER ? own | own << 1 | 1 : own;
            to_coordinator(s, peer,
                           (struct sim_letter){.type = WIRE_CONTRIBUTION,
                                               .step = letter->step,
                                               .samples = claimed,
                                               .inside = claimed});
        }
    }
    to_coordinator(s, peer, answer);
}

static void run_hostile(struct sim *s, struct sim_peer *peer)
{
    struct sim_letter letter;
    while (pull(s, &peer->down, &letter)) {
        take_as_hostile(s, peer, &letter);
    }
    if (peer->character == SIM_DRIBBLER && peer->lease_done < peer->lease_count &&
        s->now_ms - peer->lease_ms > 4000) {
        peer->lease_ms = s->now_ms;
        to_coordinator(s, peer,
                       (struct sim_letter){.type = WIRE_PROGRESS,
                                           .id = peer->lease_id,
                                           .count = ++peer->lease_done});
    }
    if (s->now_ms % 500 == 0) {
        to_coordinator(s, peer, (struct sim_letter){.type = WIRE_ALIVE});
    }
}

static void start_peer(struct sim *s, struct sim_peer *peer)
{
    const struct session_settings settings = {.thread_count =
                                                  1 + (uint32_t)chance(s, SIM_THREADS_MAX),
                                              .alive_ms = 1000,
                                              .silence_ms_max = 3500,
                                              .hello_ms = 200,
                                              .hello_ms_max = 2000,
                                              .progress_ms = 200,
                                              .leave_ms_max = 4000};
    peer->running = true;
    session_init(&peer->session, &settings, s->now_ms);
}

static void disturb(struct sim *s, struct sim_peer *peer)
{
    if (s->now_ms >= peer->kill_ms) {
        peer->running = false;
        peer->kill_ms = UINT64_MAX;
    } else if (chance(s, 3000) == 0) {
        break_connection(s, peer);
    } else if (!s->calm && chance(s, 4000) == 0) {
        /* For a moment, so that nobody notices but the letters are lost; or for long. */
        peer->deaf_until_ms = s->now_ms + (chance(s, 2) == 0 ? 1 : chance(s, 8000));
        s->lost_letters += peer->up.count + peer->down.count;
        peer->up.count = 0;
        peer->down.count = 0;
    }
}

static void choose_peers(struct sim *s)
{
    for (size_t i = 0; i < SIM_PEERS; i++) {
        struct sim_peer *peer = &s->peers[i];
        bool lasting = i == 0;
        peer->join_ms = lasting || chance(s, 2) == 0 ? 0 : chance(s, 60000);
        peer->kill_ms = !lasting && chance(s, 4) == 0 ? chance(s, 60000) : UINT64_MAX;
        peer->stop_ms = !lasting && chance(s, 4) == 0 ? chance(s, 60000) : UINT64_MAX;
        peer->connect_ms = UINT64_MAX;
        peer->sample_ms = 20ULL << chance(s, 7);
        if (!lasting && !s->calm && chance(s, 4) == 0) {
            peer->character = (enum sim_character)(1 + chance(s, SIM_CHARACTERS - 1));
        }
    }
}

static bool is_over(const struct sim *s)
{
    bool over = s->finished;
    for (size_t i = 0; i < SIM_PEERS; i++) {
        const struct sim_peer *peer = &s->peers[i];
        over = over && (!peer->running || peer->character != SIM_HONEST);
    }
    return over;
}

/* Runs the whole life of one run. Returns NULL when all went well, else what went wrong. */
static const char *sim_run(struct sim *s, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->seed = seed;
    random_init(&s->random, seed, 0);
    s->max_staleness = (uint32_t)(seed / 4 % 2);
    s->batch = 1 + (uint32_t)chance(s, s->max_staleness > 0 ? 32 : 64);
    s->stale_from = chance(s, 4);
    s->step_count = 2 + chance(s, SIM_STEPS_MAX - 1);
    for (uint64_t i = 0; i < s->step_count; i++) {
        s->params[i + 1] = random_mix(s->params[i] + i + 1);
    }
    s->core = make_core(s, 0);
    s->calm = seed % 4 == 0;
    s->restart_ms = chance(s, 2) == 0 ? chance(s, 20000) : UINT64_MAX;
    s->pause_ms = chance(s, 3) == 0 ? chance(s, 40000) : UINT64_MAX;
    choose_peers(s);
    for (s->now_ms = 0; s->wrong == NULL && !is_over(s); s->now_ms += 10) {
        expect(s, s->now_ms < 3000000, "it does not end");
        run_coordinator(s);
        for (size_t i = 0; i < SIM_PEERS; i++) {
            struct sim_peer *peer = &s->peers[i];
            if (s->now_ms >= peer->join_ms && !s->finished) {
                peer->join_ms = UINT64_MAX;
                start_peer(s, peer);
            }
            if (peer->running) {
                disturb(s, peer);
                (peer->character == SIM_HONEST ? run_honest : run_hostile)(s, peer);
            }
        }
    }
    expect(s, core_current_step(s->core) == s->step_count, "not all steps were committed");
    expect(s, !s->calm || s->lent_twice == 0, "a sample was lent while a live peer had it");
    for (size_t i = 0; i < SIM_PEERS; i++) {
        session_deinit(&s->peers[i].session);
    }
    core_free(s->core);
    return s->wrong;
}

static void run_commits_every_step_whatever_befalls_its_peers(void)
{
    static struct sim sim;
    uint64_t sums[14] = {0};
    uint64_t longest_ms = 0;
    const char *one = getenv("SIM_SEED");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 0;
    uint64_t end = one != NULL ? first + 1 : 400;
    for (uint64_t seed = first; seed < end; seed++) {
        const char *wrong = sim_run(&sim, seed);
        if (wrong != NULL) {
            (void)printf("\n    seed %u at %u ms: %s", (unsigned)seed, (unsigned)sim.now_ms, wrong);
        }
        CU_ASSERT_PTR_NULL(wrong);
        sums[0] += sim.step_count;
        sums[1] += sim.expelled;
        sums[2] += sim.reclaims;
        sums[3] += sim.lost_letters;
        sums[4] += sim.at_the_end;
        sums[5] += sim.mismatches;
        sums[6] += sim.breaks;
        sums[7] += sim.restarts;
        sums[8] += sim.claims;
        sums[9] += sim.claims_refused;
        sums[10] += sim.offers_again;
        sums[11] += sim.lent_twice;
        sums[12] += sim.stale;
        sums[13] += sim.set_aside;
        longest_ms = sim.now_ms > longest_ms ? sim.now_ms : longest_ms;
    }
    (void)printf("(%u steps, %u expelled, %u reclaims, %u letters lost, %u saw the end, "
                 "longest %u s) ",
                 (unsigned)sums[0], (unsigned)sums[1], (unsigned)sums[2], (unsigned)sums[3],
                 (unsigned)sums[4], (unsigned)(longest_ms / 1000));
    (void)printf("(%u breaks, %u restarts, %u claims, %u refused, %u offered again, "
                 "%u samples lent twice, %u stale, %u set aside) ",
                 (unsigned)sums[6], (unsigned)sums[7], (unsigned)sums[8], (unsigned)sums[9],
                 (unsigned)sums[10], (unsigned)sums[11], (unsigned)sums[12], (unsigned)sums[13]);
    CU_ASSERT_EQUAL(sums[5], 0); /* nobody ever had other parameters */
    CU_ASSERT_TRUE(one != NULL || (sums[1] > 100 && sums[2] > 100 && sums[4] > 400));
    CU_ASSERT_TRUE(one != NULL || (sums[7] > 300 && sums[8] > 1000 && sums[10] > 100));
    CU_ASSERT_TRUE(one != NULL || (sums[12] > 1000 && sums[13] > 20));
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(run_commits_every_step_whatever_befalls_its_peers),
    };
    return suite_run("cores_together", tests, sizeof tests / sizeof tests[0]);
}
