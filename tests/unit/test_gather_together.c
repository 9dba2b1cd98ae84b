/* Whatever happens in gather_sim.h, the merged sums are those of adding the contributions that
 * count centrally. */
#include "tests/unit/gather_sim.h"

enum { SEEDS = 400, TURNS_MAX = 60000 };

static int64_t expected[VALUES];

/* For every step size that is used, so that the encoder's grid is fine enough for all. */
static void contributions_are_made(void)
{
    struct random random;
    struct exact_grid grid = exact_grid_for((uint64_t)SHARES_MAX * TOKENS * 2);
    static const enum codec codecs[] = {CODEC_MX8, CODEC_FP32, CODEC_BF16, CODEC_MX4};
    random_init(&random, 1, 0);
    for (uint32_t i = 0; i < POOL; i++) {
        pool[i] = contribution_make(&random, codecs[i % 4], &grid, VALUES, TOKENS);
    }
}

/* Cuts the vector at random over owners and the coordinator. */
static uint32_t make_owners(struct sim *self, struct gather_owner *owners)
{
    uint32_t count = 0;
    uint32_t first = 0;
    while (first < CHUNKS) {
        uint32_t chunks = 1 + (uint32_t)below(self, 3);
        uint32_t index = (uint32_t)below(self, self->peer_count);
        struct peer *peer = &self->peers[index];
        chunks = chunks < CHUNKS - first ? chunks : CHUNKS - first;
        if (peer->fractions == NULL && below(self, 6) > 0) {
            uint64_t limit = peer->mood == TIGHT ? 1600000 : UINT64_MAX;
            peer->task = (struct fraction_task){.step = 3,
                                                .plan_id = 1,
                                                .step_tokens = (uint64_t)self->share_count * TOKENS,
                                                .value_count = VALUES,
                                                .first_chunk = first,
                                                .chunk_count = chunks};
            CU_ASSERT_EQUAL_FATAL(fractions_new(limit, &peer->fractions), STATUS_OK);
            CU_ASSERT_EQUAL_FATAL(fractions_begin(peer->fractions, &peer->task), STATUS_OK);
            owners[count++] =
                (struct gather_owner){.peer = index,
                                      .first_chunk = first,
                                      .chunk_count = chunks,
                                      .trusted = peer->mood != LIES && below(self, 2) == 0,
                                      .weight = below(self, 4) * 1000};
        }
        first += chunks;
    }
    return count;
}

static void make_peers(struct sim *self)
{
    static const enum mood moods[] = {GOOD,      GOOD,    GOOD,    GOOD, DIES,  DIES,  MUTE,
                                      TWO_FACED, ACCUSES, GARBLES, LIES, TIGHT, SPOILT};
    self->share_count = 2 + (uint32_t)below(self, SHARES_MAX - 1);
    self->peer_count = self->share_count + (uint32_t)below(self, 4);
    self->item_count = self->share_count;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        enum mood mood = moods[below(self, sizeof moods / sizeof *moods)];
        bool shuns = !self->calm && below(self, 8) == 0;
        self->peers[i] =
            (struct peer){.mood = self->calm || below(self, 3) == 0 ? GOOD : mood,
                          .dies_ms = below(self, 4000),
                          .shuns = shuns ? (uint32_t)below(self, self->peer_count) : PEERS_MAX};
    }
    for (uint32_t i = 0; i < self->share_count; i++) {
        self->shares[i] =
            (struct share){.item = i, .to_route = below(self, 8) > 0, .due_ms = below(self, 600)};
    }
}

static void begin_step(struct sim *self, uint64_t seed, struct gather *gather)
{
    memset(self, 0, sizeof *self);
    memset(merged, 0, sizeof merged);
    random_init(&self->random, seed, 2);
    self->calm = seed % 8 == 0;
    self->gather = gather;
    make_peers(self);
    bool liars = false;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        liars = liars || self->peers[i].mood == LIES;
    }
    self->plan = (struct gather_plan){.step_tokens = (uint64_t)self->share_count * TOKENS,
                                      .value_count = VALUES,
                                      .owner_count = make_owners(self, self->owners),
                                      .owners = self->owners,
                                      .own_first_chunk = (uint32_t)below(self, CHUNKS),
                                      .own_chunk_count = (uint32_t)below(self, CHUNKS),
                                      .entries_expected = self->share_count,
                                      .bytes_max = below(self, 3) > 0 ? UINT64_MAX : 1 << 20,
                                      .check_share = liars ? 1.0 : 0.3,
                                      .check_traffic = liars ? 1e9 : 0.5,
                                      .check_seed = random_next(&self->random),
                                      .window = 1 + (uint32_t)below(self, 8),
                                      .retry_ms = RETRY_MS,
                                      .stall_ms = STALL_MS,
                                      .deadline_ms = 6000};
    begin_round(self);
}

/* Every share of the samples counts once, by the contribution that covers it now. */
static void check_sums(struct sim *self, uint64_t seed)
{
    struct exact_grid grid = grid_of(self);
    memset(expected, 0, sizeof expected);
    for (uint32_t i = 0; i < self->share_count; i++) {
        const struct share *share = &self->shares[i];
        const struct contribution *item = &pool[share->item];
        CU_ASSERT_TRUE(share->counted != share->central);
        exact_sum_add(&grid, item->codec, item->data, VALUES, expected);
    }
    if (memcmp(merged, expected, sizeof merged) != 0) {
        (void)fprintf(stderr, "seed %lu: the sums differ\n", (unsigned long)seed);
        CU_FAIL("the sums differ");
    }
}

static void end_step(struct sim *self)
{
    for (uint32_t i = 0; i < self->message_count; i++) {
        free(self->messages[i].data);
    }
    for (uint32_t i = 0; i < self->peer_count; i++) {
        fractions_free(self->peers[i].fractions);
    }
}

static void every_seed_gives_the_central_sums(void)
{
    struct gather *gather = NULL;
    CU_ASSERT_EQUAL_FATAL(gather_new(&gather), STATUS_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint32_t turns = 0;
        begin_step(&sim, seed, gather);
        run_coordinator(&sim);
        while (turns < TURNS_MAX && (!gather_complete(gather) || !end_round(&sim))) {
            turn(&sim);
            turns++;
        }
        if (turns == TURNS_MAX) {
            (void)fprintf(stderr, "seed %lu: the step does not end\n", (unsigned long)seed);
            CU_FAIL("the step does not end");
        } else {
            check_sums(&sim, seed);
        }
        CU_ASSERT_FALSE(sim.calm && sim.taken_over);
        end_step(&sim);
    }
    gather_free(gather);
}

static void seeds_meet_every_kind_of_trouble(void)
{
    CU_ASSERT_TRUE(seen_epochs >= 4);
    CU_ASSERT_TRUE(seen_repaired > 100);
    CU_ASSERT_TRUE(seen_rounds >= 3);
    for (int reason = GATHER_LOST; reason <= GATHER_LIAR; reason++) {
        CU_ASSERT_TRUE(seen_out[reason] > 0);
    }
    CU_ASSERT_TRUE(seen_left[GATHER_LOST] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_SLOW] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_BAD] > 0);
    CU_ASSERT_TRUE(seen_left[GATHER_MOVED] > 0);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(contributions_are_made),
        SUITE_TEST(every_seed_gives_the_central_sums),
        SUITE_TEST(seeds_meet_every_kind_of_trouble),
    };
    int failed = suite_run("gather_together", tests, sizeof tests / sizeof *tests);
    for (uint32_t i = 0; i < POOL; i++) {
        free(pool[i].data);
    }
    return failed;
}
