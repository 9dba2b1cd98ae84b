/* Lease facts out of a server and back into the next one, up to the claim of a peer that returns.
 */
#include "coordinator/core/core_state.h"
#include "coordinator/server/server_state.h"
#include "proto/attest.h"
#include "tests/unit/fake_channel.h"
#include "tests/unit/members_fixture.h"
#include "tests/unit/run_fixture.h"
#include "tests/unit/suite.h"

enum { PEERS = 3, BATCH = 8, NOW_MS = 50000 };

struct scene {
    struct run_dir run;
    struct server *server;
    struct identity peers[PEERS];
    uint8_t token[LINK_TOKEN_BYTES];
    uint64_t now_ms;
    uint64_t hellos; /* said so far, by whomever */
    bool spoilt;     /* the parameters that hello tells of are not the run's */
};

static void open_server(struct scene *s)
{
    const struct server_options options = {.listen = "tcp://127.0.0.1:0", .thread_count = 1};
    CU_ASSERT_EQUAL_FATAL(server_new(&s->run, &options, &s->server), STATUS_OK);
}

static void begin(struct scene *s)
{
    memset(s, 0, sizeof *s);
    s->now_ms = NOW_MS;
    run_fixture_open(&s->run, "fp32", NULL, NULL);
    members_fixture_invite(s->run.path, 7, 0, s->token);
    for (int i = 0; i < PEERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "key%d", i);
        CU_ASSERT_EQUAL_FATAL(identity_open(scratch_path(name), &s->peers[i]), STATUS_OK);
    }
    open_server(s);
}

static void end(struct scene *s)
{
    server_free(s->server);
    run_fixture_close(&s->run);
}

/* What peer `i` says reaches the server and the core. */
static void say(struct scene *s, int i, const struct wire_message *message)
{
    static uint8_t head[WIRE_HEAD_MAX];
    struct channel_message incoming = {.head = head, .connection = (uint64_t)i + 1};
    bool over = false;
    CU_ASSERT_EQUAL_FATAL(wire_encode(message, head, sizeof head, &incoming.head_size_bytes),
                          STATUS_OK);
    memcpy(incoming.curve_key, s->peers[i].curve_public, IDENTITY_KEY_BYTES);
    server_receive(s->server, &incoming, s->now_ms);
    s->now_ms += 100; /* a tick */
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &over), STATUS_OK);
}

static void say_hello(struct scene *s, int i, uint64_t version_held)
{
    struct wire_message message = {.type = WIRE_HELLO};
    struct wire_hello *hello = &message.as.hello;
    hello->protocol_version = WIRE_PROTOCOL_VERSION;
    memcpy(hello->public_key, s->peers[i].public_key, IDENTITY_KEY_BYTES);
    memcpy(hello->token, s->token, sizeof hello->token);
    hello->thread_count = 2;
    hello->version_held = version_held;
    hello->digest_held = s->server->digests[0];
    hello->digest_held.bytes[0] ^= s->spoilt ? 1U : 0U;
    hello->sequence = ++s->hellos;
    attest_hello_sign(&s->peers[i], s->run.identity.public_key, hello);
    say(s, i, &message);
}

static struct journal_lease fact_of(const struct scene *s, int i, uint64_t first, uint64_t count)
{
    struct journal_lease fact = {.lease_id = 7, .samples = {.first = first, .count = count}};
    memcpy(fact.key, s->peers[i].public_key, sizeof fact.key);
    return fact;
}

/* Whose each sample is, by the peers' numbers in the scene. */
static void expect_owners(const struct scene *s, const char *expected)
{
    const struct sample_table *table = &s->server->core->table;
    char got[BATCH + 1] = {0};
    for (uint32_t i = 0; i < BATCH; i++) {
        got[i] = table->owners[i] == SAMPLE_FREE ? '.' : '?';
        for (int j = 0; j < PEERS && got[i] == '?'; j++) {
            const struct session *session =
                sessions_find(s->server->sessions, s->peers[j].curve_public);
            if (session != NULL &&
                table->owners[i] == sessions_index(s->server->sessions, session) + 1) {
                got[i] = (char)('0' + j);
            }
        }
    }
    CU_ASSERT_STRING_EQUAL(got, expected);
}

static void fact_names_the_key_and_absolute_samples(void)
{
    struct scene s;
    begin(&s);
    say_hello(&s, 0, 0);
    say_hello(&s, 1, 0);
    const struct session *session = sessions_find(s.server->sessions, s.peers[1].curve_public);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session);
    const struct core_action action = {.type = CORE_LEASE,
                                       .peer = sessions_index(s.server->sessions, session),
                                       .lease_id = 99,
                                       .step = 5,
                                       .first = 4003,
                                       .count = 4};
    struct journal_lease fact = server_lease_fact(s.server, &action);
    CU_ASSERT_EQUAL(memcmp(fact.key, s.peers[1].public_key, sizeof fact.key), 0);
    CU_ASSERT_EQUAL(fact.lease_id, 99);
    CU_ASSERT_EQUAL(fact.step, 5);
    CU_ASSERT_EQUAL(fact.samples.first, 4003);
    CU_ASSERT_EQUAL(fact.samples.count, 4);
    end(&s);
}

static void facts_reserve_samples_for_peers_that_are_away(void)
{
    struct scene s;
    begin(&s);
    struct journal_lease facts[6] = {fact_of(&s, 0, 0, 6),   fact_of(&s, 1, 2, 2),
                                     fact_of(&s, 0, 6, 100), fact_of(&s, 2, 0, 8),
                                     fact_of(&s, 2, 0, 8),   fact_of(&s, 2, UINT64_MAX, 1)};
    facts[3].step = 1;                              /* of another step */
    memset(facts[4].key, 0xff, IDENTITY_KEY_BYTES); /* no key */
    CU_ASSERT_EQUAL(server_reserve_leases(s.server, facts, 6, s.now_ms), STATUS_OK);
    expect_owners(&s, "00110000");
    CU_ASSERT_EQUAL(s.server->sessions->count, 0);
    CU_ASSERT_EQUAL(s.server->sessions->end, 2);
    const struct wire_message ready = {.type = WIRE_READY};
    say(&s, 0, &ready); /* meant for the process before this one */
    expect_owners(&s, "00110000");
    say_hello(&s, 0, 0);
    CU_ASSERT_EQUAL(s.server->sessions->count, 1);
    expect_owners(&s, "00110000");
    s.now_ms += 6000; /* the other does not come back */
    say_hello(&s, 0, 0);
    expect_owners(&s, "00..0000");
    CU_ASSERT_EQUAL(s.server->sessions->count, 1);
    say(&s, 0, &ready); /* nothing is claimed; and a first lease is given */
    expect_owners(&s, "00......");
    end(&s);
}

static void claim_names_samples_by_their_numbers_in_the_run(void)
{
    struct scene s;
    begin(&s);
    s.server->sample_first = 1000;
    s.server->core->sample_first = 1000;
    const struct journal_lease facts[2] = {fact_of(&s, 0, 1000, 5), fact_of(&s, 1, 999, 4)};
    CU_ASSERT_EQUAL(server_reserve_leases(s.server, facts, 2, s.now_ms), STATUS_OK);
    expect_owners(&s, "00000...");
    say_hello(&s, 0, 0);
    s.server->core->next_lease_id = 50;
    static struct wire_message message = {.type = WIRE_CLAIM};
    message.as.claim = (struct wire_claim){.range_count = 1,
                                           .ranges = {{1001, 2}},
                                           .kept_count = 1,
                                           .kept = {{1004, 1}},
                                           .lease_count = 1,
                                           .leases = {{49, 1001, 2, 1}}};
    say(&s, 0, &message);
    expect_owners(&s, ".00.0...");
    const struct peer *peer = &s.server->core->peers[0];
    CU_ASSERT_FALSE(peer->claim_due);
    CU_ASSERT_EQUAL(peer->leases[0].id, 49);
    CU_ASSERT_EQUAL(peer->leases[0].first, 1001);
    CU_ASSERT_EQUAL(peer->leases[0].done, 1);
    say_hello(&s, 0, 0);
    message.as.claim.ranges[0].first = 1; /* another step's number */
    message.as.claim.lease_count = 0;
    say(&s, 0, &message);
    expect_owners(&s, "....0...");
    end(&s);
}

static void peer_with_other_parameters_loses_its_samples_at_once(void)
{
    for (int kind = 0; kind < 3; kind++) {
        struct scene s;
        begin(&s);
        const struct journal_lease fact = fact_of(&s, 0, 0, 4);
        CU_ASSERT_EQUAL(server_reserve_leases(s.server, &fact, 1, s.now_ms), STATUS_OK);
        s.spoilt = kind == 1;
        say_hello(&s, 0, kind == 2 ? WIRE_VERSION_NONE : 0);
        expect_owners(&s, kind == 0 ? "0000...." : "........");
        CU_ASSERT_EQUAL(s.server->sessions->count, 1);
        end(&s);
    }
}

/* As if a process before this one had committed one step of BATCH samples. */
static void pretend_committed(struct scene *s)
{
    const struct core_settings settings = {.step_first = 1,
                                           .sample_first = BATCH,
                                           .step_count = 4,
                                           .target_batch = BATCH,
                                           .lease_samples_max = 64,
                                           .lease_ms = 1000,
                                           .silence_ms_max = 6000,
                                           .patience_ms = 60000,
                                           .max_staleness = s->run.config.max_staleness};
    core_free(s->server->core);
    CU_ASSERT_EQUAL_FATAL(core_new(&settings, &s->server->core), STATUS_OK);
    s->server->sample_first = BATCH;
    s->server->version_first = 1;
    s->server->digests[1] = s->server->digests[0];
    s->server->digests[1].bytes[0] ^= 8U;
    master_set_version(aggregate_master(s->server->aggregate), 1);
}

static void peer_at_the_version_before_keeps_its_samples_with_staleness_alone(void)
{
    for (int kind = 0; kind < 3; kind++) {
        struct scene s;
        begin(&s);
        s.run.config.max_staleness = kind == 1 ? 0 : 1;
        pretend_committed(&s);
        struct journal_lease facts[2] = {fact_of(&s, 0, 8, 4), fact_of(&s, 1, 14, 4)};
        facts[0].step = 1;
        facts[1].step = 1;
        CU_ASSERT_EQUAL(server_reserve_leases(s.server, facts, 2, s.now_ms), STATUS_OK);
        expect_owners(&s, "0000..11");
        CU_ASSERT_FALSE(core_next_begun(s.server->core));
        s.spoilt = kind == 2;
        say_hello(&s, 0, 0);
        expect_owners(&s, kind == 0 ? "0000..11" : "......11");
        CU_ASSERT_EQUAL(s.server->sessions->count, 1);
        end(&s);
    }
}

static void facts_of_the_next_step_reserve_with_staleness_alone(void)
{
    for (uint32_t max_staleness = 0; max_staleness < 2; max_staleness++) {
        struct scene s;
        begin(&s);
        s.run.config.max_staleness = max_staleness;
        pretend_committed(&s);
        struct journal_lease facts[2] = {fact_of(&s, 0, 16, 4), fact_of(&s, 1, 12, 6)};
        facts[0].step = 2;
        facts[1].step = 2; /* as it stood before the target batch was changed */
        CU_ASSERT_EQUAL(server_reserve_leases(s.server, facts, 2, s.now_ms), STATUS_OK);
        expect_owners(&s, "........");
        CU_ASSERT_EQUAL(core_next_begun(s.server->core), max_staleness > 0);
        CU_ASSERT_TRUE(max_staleness == 0 ||
                       sample_table_owned(&s.server->core->table, 0, BATCH, 4));
        end(&s);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(fact_names_the_key_and_absolute_samples),
        SUITE_TEST(facts_reserve_samples_for_peers_that_are_away),
        SUITE_TEST(claim_names_samples_by_their_numbers_in_the_run),
        SUITE_TEST(peer_with_other_parameters_loses_its_samples_at_once),
        SUITE_TEST(peer_at_the_version_before_keeps_its_samples_with_staleness_alone),
        SUITE_TEST(facts_of_the_next_step_reserve_with_staleness_alone),
    };
    return suite_run("server_durable", tests, sizeof tests / sizeof tests[0]);
}
