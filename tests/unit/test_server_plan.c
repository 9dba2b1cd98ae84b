/* What a running server makes of links: who rests, and in which codec updates go. */
#include "tests/unit/mates.h"

enum { STEPS = 6 };

static void say_rates(struct scene *s, int i, uint64_t rate)
{
    s->message.type = WIRE_RATES;
    memset(&s->message.as.rates, 0, sizeof s->message.as.rates);
    s->message.as.rates.up_bytes_per_s = rate;
    s->message.as.rates.down_bytes_per_s = rate;
    tell(s, i);
}

static void slowest_link_rests_until_it_is_faster(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: adaptive");
    for (int i = 0; i < MATES; i++) {
        start_mate(&s, i);
        turn(&s);
        say_rates(&s, i, i == 4 ? 2000 : 50000000);
    }
    run_to(&s, STEPS);
    CU_ASSERT_TRUE(s.mates[4].routed && !s.mates[4].route.computes); /* hear() checks: no lease */
    CU_ASSERT_TRUE(s.mates[3].route.computes);
    say_rates(&s, 4, 50000000);
    run_to(&s, STEPS + 4);
    CU_ASSERT_TRUE(s.mates[4].route.computes);
    CU_ASSERT_TRUE(s.mates[4].blobs > 0);
    end_scene(&s);
}

static void answer_probe(struct scene *s, int i, uint64_t nonce, size_t body_bytes)
{
    static uint8_t body[REST_PROBE_BYTES];
    size_t head_bytes = 0;
    s->message.type = WIRE_PROBE;
    s->message.as.probe = (struct wire_probe){.nonce = nonce, .answer = true};
    CU_ASSERT_EQUAL_FATAL(wire_encode(&s->message, s->head, sizeof s->head, &head_bytes),
                          STATUS_OK);
    letters_put(&fake.to_server, fake.identities[i].curve_public, s->head, head_bytes, body,
                body_bytes);
    turn(s);
}

/* Its own transfers tell nothing, for there are none. */
static void link_of_who_rests_is_probed(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: adaptive, owners_max: 1");
    for (int i = 0; i < MATES; i++) {
        start_mate(&s, i);
        turn(&s);
        say_rates(&s, i, i == 4 ? 2000 : 1500000);
    }
    run_to(&s, STEPS);
    CU_ASSERT_FALSE(s.mates[4].route.computes);
    CU_ASSERT_EQUAL(s.mates[4].probe_nonce, 0);
    struct route_peer *peer = routes_peer(server_routes(s.server), 4);
    CU_ASSERT_TRUE(peer->rest_due_ms > s.now_ms);
    peer->rest_due_ms = s.now_ms;
    for (int i = 0; i < 100 && s.mates[4].probe_nonce == 0; i++) {
        turn(&s);
    }
    uint64_t nonce = s.mates[4].probe_nonce;
    CU_ASSERT_NOT_EQUAL_FATAL(nonce, 0);
    answer_probe(&s, 4, nonce, REST_PROBE_BYTES - 1);
    answer_probe(&s, 4, nonce + 1, REST_PROBE_BYTES);
    CU_ASSERT_EQUAL(peer->said_up, 2000); /* none of these is the answer */
    answer_probe(&s, 4, nonce, REST_PROBE_BYTES);
    CU_ASSERT_TRUE(peer->said_up > 1000000 && peer->said_down > 1000000);
    end_scene(&s);
}

static void rates_are_raised_by_what_is_much_faster(void)
{
    struct route_peer peer = {.said_up = REST_PROBE_BYTES, .said_down = 2 * REST_PROBE_BYTES};
    rate_meter_init(&peer.received);
    CU_ASSERT_FALSE(rest_raise_rates(&peer, 1500)); /* as expected */
    CU_ASSERT_FALSE(rest_raise_rates(&peer, 1001));
    CU_ASSERT_EQUAL(peer.said_up, REST_PROBE_BYTES);
    CU_ASSERT_TRUE(rest_raise_rates(&peer, 750));
    CU_ASSERT_EQUAL(peer.said_up, 2 * REST_PROBE_BYTES);
    CU_ASSERT_EQUAL(peer.said_down, 4 * REST_PROBE_BYTES);
    peer.up_max = REST_PROBE_BYTES / 4; /* its owner's word stands */
    CU_ASSERT_TRUE(rest_raise_rates(&peer, 0));
    CU_ASSERT_EQUAL(routes_up(&peer), (double)peer.up_max);
    peer.up_max = 0;
    peer.said_up = 0;
    peer.said_down = 1; /* when nothing came for a while */
    CU_ASSERT_TRUE(rest_raise_rates(&peer, 1000));
    CU_ASSERT_EQUAL(peer.said_up, 0);
    CU_ASSERT_EQUAL(peer.said_down, REST_PROBE_BYTES);
    peer.said_down = 0;
    CU_ASSERT_FALSE(rest_raise_rates(&peer, 1));
}

static void resting_peers_go_on_when_all_others_are_lost(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: adaptive");
    for (int i = 0; i < MATES; i++) {
        start_mate(&s, i);
        turn(&s);
        say_rates(&s, i, i > 0 ? 200 : 50000000);
    }
    run_to(&s, 1);
    turn(&s);
    for (int i = 1; i < MATES; i++) {
        CU_ASSERT_FALSE(s.mates[i].route.computes);
    }
    kill_mate(&s, 0, 0);
    run_to(&s, 4);
    CU_ASSERT_TRUE(s.mates[1].blobs > 0);
    end_scene(&s);
}

static void say_all_rates(struct scene *s, uint64_t rate)
{
    for (int i = 0; i < MATES; i++) {
        say_rates(s, i, rate);
    }
}

static enum codec update_codec(const struct scene *s)
{
    return store_state(s->server->store)->settings.update_codec;
}

/* Makes `steps` steps, and follows them by their published updates alone, each decoded as its
 * message says: `params` stays the coordinator's in every bit. Returns how many were in mx4. */
static uint64_t follow_steps(struct scene *s, uint64_t steps, float *params)
{
    uint64_t coarse = 0;
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t step = step_of(s);
        enum codec expected = update_codec(s);
        run_to(s, step + 1);
        const struct wire_committed *committed = publisher_committed(s->server->publisher, step);
        struct publisher_blob blob;
        CU_ASSERT_FATAL(committed != NULL &&
                        publisher_find(s->server->publisher, BLOB_UPDATE, step + 1, &blob));
        CU_ASSERT_EQUAL(committed->codec, expected);
        CU_ASSERT_EQUAL_FATAL(
            codec_check(committed->codec, blob.data, blob.ref.size_bytes, s->value_count),
            STATUS_OK);
        codec_add(committed->codec, blob.data, s->value_count, params);
        struct digest mine = params_digest(params, s->value_count);
        CU_ASSERT_TRUE(digest_equal(&mine, &committed->digest));
        coarse += committed->codec == CODEC_MX4 ? 1 : 0;
    }
    return coarse;
}

static float *copy_params(const struct scene *s)
{
    float *params = malloc(s->value_count * sizeof *params);
    CU_ASSERT_PTR_NOT_NULL_FATAL(params);
    memcpy(params, master_params(aggregate_master(s->server->aggregate)),
           s->value_count * sizeof *params);
    return params;
}

static void start_links(struct scene *s, uint64_t rate)
{
    for (int i = 0; i < MATES; i++) {
        start_mate(s, i);
        turn(s);
        say_rates(s, i, rate);
    }
}

static void expect_verified(const struct scene *s, uint64_t steps)
{
    struct store_report report;
    CU_ASSERT_EQUAL(store_verify(&s->run, 1, &report), STATUS_OK);
    CU_ASSERT_TRUE(report.ok);
    CU_ASSERT_EQUAL(report.steps, steps);
    CU_ASSERT_EQUAL(report.replayed, steps);
}

/* Another process; nobody is there. */
static void restart(struct scene *s)
{
    const struct server_options options = {.listen = "tcp://127.0.0.1:0", .thread_count = 2};
    server_free(s->server);
    run_dir_close(&s->run);
    for (int i = 0; i < MATES; i++) {
        kill_mate(s, i, 0);
    }
    letters_clear(&fake.to_server);
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), &s->run), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(server_new(&s->run, &options, &s->server), STATUS_OK);
}

static void updates_are_coarser_while_the_links_are_slow(void)
{
    static struct scene s;
    begin_scene(&s, "mx8",
                "strategy: adaptive, rest: false, slow_link_codec: mx4, slow_link_updates: true");
    float *params = copy_params(&s);
    start_links(&s, 50000000);
    CU_ASSERT_EQUAL(follow_steps(&s, 2, params), 0);
    say_all_rates(&s, 20000);
    CU_ASSERT_EQUAL(follow_steps(&s, 3, params), 2); /* planned when the first of them was over */
    say_all_rates(&s, 50000000);
    CU_ASSERT_EQUAL(follow_steps(&s, 2, params), 1);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX8);
    say_all_rates(&s, 20000);
    CU_ASSERT_EQUAL(follow_steps(&s, 1, params), 0);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX4);
    expect_verified(&s, 8); /* what a kill leaves here */
    restart(&s);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX8); /* until there is a plan */
    start_links(&s, 20000);
    CU_ASSERT_EQUAL(follow_steps(&s, 3, params), 2);
    expect_verified(&s, 11);
    free(params);
    end_scene(&s);
}

static void begin_step(struct scene *s)
{
    while (!core_begun(s->server->core)) {
        turn(s);
    }
}

/* Another codec of all else ends the plan, and its codec for updates with it. */
static void updates_have_the_codec_that_the_owner_sets(void)
{
    static struct scene s;
    static char reply[CONTROL_REPLY_BYTES_MAX];
    struct control_request request = {.command = CONTROL_SET, .has_learning_rate = true};
    begin_scene(&s, "mx8",
                "strategy: adaptive, rest: false, slow_link_codec: mx4, slow_link_updates: true");
    start_links(&s, 20000);
    run_to(&s, 1);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX4);
    begin_step(&s);
    request.settings.learning_rate = 0.002;
    CU_ASSERT_EQUAL(server_control(s.server, &request, s.now_ms, reply), STATUS_AGAIN);
    run_to(&s, 2);
    CU_ASSERT_TRUE(store_state(s.server->store)->settings.learning_rate == 0.002);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX4); /* that changes no link */
    begin_step(&s);
    request = (struct control_request){
        .command = CONTROL_SET, .has_codec = true, .settings = {.codec = CODEC_FP32}};
    CU_ASSERT_EQUAL(server_control(s.server, &request, s.now_ms, reply), STATUS_AGAIN);
    while (store_state(s.server->store)->settings.codec == CODEC_MX8) {
        CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX4);
        turn(&s);
    }
    s.codec = CODEC_FP32;
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_FP32);
    run_to(&s, 4);
    CU_ASSERT_EQUAL(update_codec(&s), CODEC_MX4); /* a plan again */
    end_scene(&s);
}

static void updates_keep_the_runs_codec_unless_they_may_change(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: adaptive, rest: false, slow_link_codec: mx4");
    float *params = copy_params(&s);
    start_links(&s, 20000);
    CU_ASSERT_EQUAL(follow_steps(&s, 3, params), 0);
    CU_ASSERT_EQUAL(s.mates[0].route.codec, CODEC_MX4);
    free(params);
    end_scene(&s);
}

static const struct suite_test tests[] = {
    SUITE_TEST(slowest_link_rests_until_it_is_faster),
    SUITE_TEST(link_of_who_rests_is_probed),
    SUITE_TEST(rates_are_raised_by_what_is_much_faster),
    SUITE_TEST(resting_peers_go_on_when_all_others_are_lost),
    SUITE_TEST(updates_are_coarser_while_the_links_are_slow),
    SUITE_TEST(updates_have_the_codec_that_the_owner_sets),
    SUITE_TEST(updates_keep_the_runs_codec_unless_they_may_change),
};

int main(void)
{
    return suite_run("server_plan", tests, sizeof tests / sizeof tests[0]);
}
