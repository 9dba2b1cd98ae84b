/* The server with peers that sum for it: what a step sums up to is the same whoever sums, whatever
 * happens to them. */
#include "tests/unit/mates.h"

enum { STEPS = 6, STALL_MS = 12000, KILL_RUNS = 16 };

static const char *const central = "strategy: parameter_server";
/* Nothing comes to the coordinator for checks, or next to nothing. */
static const char *const unchecked = "strategy: all_reduce, check_share: 0.0001, rest: false";
static const char *const shared = "strategy: all_reduce, check_share: 1.0, rest: false";

/* The digests of P[1] to P[STEPS] as the coordinator alone makes them. */
static void find_expected(const char *codec, struct digest *out)
{
    static struct scene s;
    begin_scene(&s, codec, central);
    for (int i = 0; i < MATES; i++) {
        start_mate(&s, i);
    }
    while (core_current_step(s.server->core) < STEPS) {
        turn(&s);
        CU_ASSERT_FATAL(s.now_ms < PATIENCE_MS);
    }
    CU_ASSERT_EQUAL(s.sums, 0);
    for (uint64_t v = 1; v <= STEPS; v++) {
        out[v - 1] = s.server->digests[v % DIGESTS_KEPT];
    }
    end_scene(&s);
}

static void expect_digests(const struct scene *s, const struct digest *expected)
{
    for (uint64_t v = 1; v <= STEPS; v++) {
        CU_ASSERT_TRUE(digest_equal(&s->server->digests[v % DIGESTS_KEPT], &expected[v - 1]));
    }
    CU_ASSERT_EQUAL(s->server->status.refused_contributions, 0);
    CU_ASSERT_EQUAL(s->server->status.digest_mismatches, 0);
}

static void begin_with(struct scene *s, const char *codec, const char *aggregation)
{
    begin_scene(s, codec, aggregation);
    for (int i = 0; i < MATES; i++) {
        start_mate(s, i);
    }
    run_to(s, 1);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s->server)), 3);
}

static void begin_shared(struct scene *s, const char *codec)
{
    begin_with(s, codec, shared);
}

static void owners_sum_what_the_coordinator_would(void)
{
    static const char *const codecs[] = {"fp32", "mx8"};
    static struct scene s;
    for (int c = 0; c < 2; c++) {
        struct digest expected[STEPS];
        find_expected(codecs[c], expected);
        begin_shared(&s, codecs[c]);
        run_to(&s, STEPS);
        /* Every chunk of every step but the first, which had no plan. */
        CU_ASSERT_EQUAL(s.sums, (uint64_t)(STEPS - 1) * s.chunk_count);
        expect_digests(&s, expected);
        end_scene(&s);
    }
}

/* One of the mates that are here, but never the last one. */
static bool kill_some(struct scene *s, struct random *random, bool gently)
{
    int here = 0;
    for (int i = 0; i < MATES; i++) {
        here += s->mates[i].here ? 1 : 0;
    }
    int i = (int)random_below(random, MATES);
    if (here < 2 || !s->mates[i].here) {
        return false;
    }
    if (gently && s->mates[i].version == step_of(s)) {
        break_mate(s, i);
    } else {
        kill_mate(s, i, 1 + random_below(random, 12000));
    }
    return true;
}

static void kills_at_any_moment_change_no_bit(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    uint64_t sums = 0;
    uint64_t kills = 0;
    find_expected("mx8", expected);
    for (uint64_t seed = 1; seed <= KILL_RUNS; seed++) {
        struct random random;
        random_init(&random, seed, 0);
        begin_shared(&s, "mx8");
        uint64_t end_ms = s.now_ms + PATIENCE_MS;
        uint64_t next_ms = s.now_ms;
        while (step_of(&s) < STEPS && s.now_ms < end_ms) {
            turn(&s);
            if (s.now_ms >= next_ms) {
                kills += kill_some(&s, &random, random_below(&random, 4) == 0) ? 1 : 0;
                next_ms = s.now_ms + 100 + random_below(&random, 1500);
            }
        }
        CU_ASSERT_TRUE_FATAL(step_of(&s) >= STEPS);
        expect_digests(&s, expected);
        sums += s.sums;
        end_scene(&s);
    }
    (void)printf("(kills %llu, sums %llu) ", (unsigned long long)kills, (unsigned long long)sums);
    CU_ASSERT_TRUE(sums > 300); /* owners were used, */
    CU_ASSERT_TRUE(kills >= 50);
}

/* All others have handed in, and wait for the whole step. */
static void lost_samples_are_computed_by_those_who_wait(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    begin_shared(&s, "mx8");
    uint64_t blobs = s.mates[4].blobs;
    while (s.mates[4].blobs == blobs) {
        turn(&s);
    }
    turn(&s); /* it is on its way */
    CU_ASSERT_TRUE(server_gather_is_routing(s.server));
    uint64_t step = step_of(&s);
    uint64_t lost_ms = s.now_ms;
    kill_mate(&s, 4, 0);
    run_to(&s, step + 1);
    CU_ASSERT_TRUE(s.now_ms - lost_ms < 10000); /* 6 s until it is missed */
    run_to(&s, STEPS);
    expect_digests(&s, expected);
    end_scene(&s);
}

/* Until contributions are on their way. */
static void run_to_gathering(struct scene *s)
{
    while (!server_gather_is_routing(s->server)) {
        turn(s);
    }
    turn(s);
    CU_ASSERT_TRUE(server_gather_is_routing(s->server));
}

struct repair {
    uint64_t bytes; /* of contributions that came to the coordinator, in units of one */
    uint64_t sums;
    uint32_t delivers; /* of mate 0 */
};

/* Mates [first, end) are killed in the middle of a step. */
static struct repair repair_of(int first, int end, const struct digest *expected)
{
    static struct scene s;
    begin_with(&s, "mx8", unchecked);
    run_to(&s, 2);
    run_to_gathering(&s);
    uint64_t step = step_of(&s);
    s.contribution_bytes = 0;
    s.sums = 0;
    s.mates[0].delivers = 0;
    for (int i = first; i < end; i++) {
        kill_mate(&s, i, 0);
    }
    run_to(&s, step + 1);
    uint64_t one = codec_encoded_bytes(s.codec, s.value_count);
    const struct repair repair = {.bytes = (s.contribution_bytes + one / 2) / one,
                                  .sums = s.sums,
                                  .delivers = s.mates[0].delivers};
    run_to(&s, STEPS);
    expect_digests(&s, expected);
    end_scene(&s);
    (void)printf("(%llu contributions, %llu sums) ", (unsigned long long)repair.bytes,
                 (unsigned long long)repair.sums);
    return repair;
}

/* Each owner has a third of the chunks of six other contributions; its own is computed again. */
static void lost_owners_chunks_do_not_come_to_the_coordinator(void)
{
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    CU_ASSERT_EQUAL(repair_of(0, 0, expected).bytes, 0);
    CU_ASSERT_TRUE(repair_of(1, 2, expected).bytes <= 1);
    CU_ASSERT_TRUE(repair_of(1, 3, expected).bytes <= 2);
}

/* Four contributors are gone; the three that are left compute for them, and hand in once more. */
static void what_is_computed_again_is_summed_by_owners(void)
{
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    const struct repair quiet = repair_of(0, 0, expected);
    const struct repair repair = repair_of(3, 7, expected);
    CU_ASSERT_EQUAL(repair.delivers, quiet.delivers + 1);
    CU_ASSERT_TRUE(repair.sums >= 2 * quiet.sums && repair.sums <= 3 * quiet.sums);
}

static void liar_is_found_and_owns_no_more(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    begin_shared(&s, "mx8");
    s.mates[1].lies = true;
    run_to(&s, STEPS);
    expect_digests(&s, expected);
    const struct session *session =
        sessions_find(s.server->sessions, fake.identities[1].curve_public);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session);
    const struct route_peer *peer =
        routes_peer(server_routes(s.server), sessions_index(s.server->sessions, session));
    CU_ASSERT_FALSE(peer->believed);
    CU_ASSERT_EQUAL(peer->share.chunk_count, 0);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 2);
    kill_mate(&s, 1, 1); /* the same key on a new connection */
    run_to(&s, STEPS + 3);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 2);
    end_scene(&s);
}

/* All sums are checked: what the owners were sent is not what the coordinator is sent, and the
 * promise says who lies. */
static void contributor_that_sends_the_coordinator_other_bytes_frames_nobody(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    begin_shared(&s, "mx8");
    s.mates[3].frames = true;
    while (s.server->status.refused_contributions == 0) {
        turn(&s);
        CU_ASSERT_FATAL(s.now_ms < PATIENCE_MS);
    }
    s.mates[3].frames = false;
    CU_ASSERT_TRUE(s.mates[3].framed > 0);
    run_to(&s, STEPS);
    s.server->status.refused_contributions = 0; /* that one */
    expect_digests(&s, expected);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 3);
    for (uint32_t i = 0; i < s.server->sessions->end; i++) {
        const struct route_peer *peer = routes_peer(server_routes(s.server), i);
        CU_ASSERT_TRUE(peer == NULL || peer->believed);
    }
    end_scene(&s);
}

static void owner_that_stands_still_is_taken_over(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    begin_shared(&s, "mx8");
    s.mates[2].stuck = true;
    fake.reachable[2] = false;
    run_to(&s, STEPS);
    expect_digests(&s, expected);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 2);
    CU_ASSERT_TRUE(s.mates[2].here); /* it computes on */
    end_scene(&s);
}

static void contribution_that_reaches_no_owner_costs_one_step_alone(void)
{
    static struct scene s;
    struct digest expected[STEPS];
    find_expected("mx8", expected);
    begin_shared(&s, "mx8");
    s.mates[3].apart = true;
    s.mates[3].delivers = 0;
    run_to(&s, 2);
    CU_ASSERT_EQUAL(s.mates[3].delivers, 1);
    uint64_t began_ms = s.now_ms;
    run_to(&s, STEPS);
    expect_digests(&s, expected);
    CU_ASSERT_EQUAL(s.mates[3].delivers, 1);
    CU_ASSERT_TRUE(s.now_ms - began_ms < STALL_MS);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 3);
    end_scene(&s);
}

static void peer_that_cannot_be_reached_owns_nothing(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", shared);
    for (int i = 0; i < MATES; i++) {
        start_mate(&s, i);
    }
    fake.reachable[0] = false;
    run_to(&s, STEPS);
    CU_ASSERT_EQUAL(routes_owner_count(server_routes(s.server)), 2);
    struct route_peer *peer = routes_peer(server_routes(s.server), 0);
    CU_ASSERT_TRUE(peer != NULL && !routes_can_own(peer));
    fake.reachable[0] = true;
    peer->dial_ms = s.now_ms + 1; /* as if a minute had passed */
    run_to(&s, STEPS + 2);
    CU_ASSERT_TRUE(routes_can_own(peer));
    end_scene(&s);
}

static const struct suite_test tests[] = {
    SUITE_TEST(owners_sum_what_the_coordinator_would),
    SUITE_TEST(kills_at_any_moment_change_no_bit),
    SUITE_TEST(lost_samples_are_computed_by_those_who_wait),
    SUITE_TEST(lost_owners_chunks_do_not_come_to_the_coordinator),
    SUITE_TEST(what_is_computed_again_is_summed_by_owners),
    SUITE_TEST(liar_is_found_and_owns_no_more),
    SUITE_TEST(contributor_that_sends_the_coordinator_other_bytes_frames_nobody),
    SUITE_TEST(owner_that_stands_still_is_taken_over),
    SUITE_TEST(contribution_that_reaches_no_owner_costs_one_step_alone),
    SUITE_TEST(peer_that_cannot_be_reached_owns_nothing),
};

int main(void)
{
    return suite_run("server_gather", tests, sizeof tests / sizeof tests[0]);
}
