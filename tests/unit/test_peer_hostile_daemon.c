/* test_peer_hostile_daemon - a coordinator that would hurt the machine of a peer. */
#include "common/log.h"
#include "tests/unit/hostile_fixture.h"

#include <sys/resource.h>

static long peak_kib(void)
{
    struct rusage usage;
    CU_ASSERT_EQUAL_FATAL(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

static struct model_config huge_model(void)
{
    struct model_config huge = TINY;
    huge.vocab_size = MODEL_VOCAB_MAX;
    huge.width = 16384;
    huge.ffn_width = 65536;
    huge.head_count = 128;
    huge.kv_head_count = 128;
    huge.head_size = 128;
    huge.layer_count = 12;
    return huge;
}

static void join_model_beyond_the_memory_is_refused_before_it_is_taken(void)
{
    struct victim *self = &victim;
    struct model_config huge = huge_model();
    victim_begin(self);
    self->options.compute.memory_bytes_max = UINT64_C(64) << 20;
    self->options.compute.backend = NULL; /* which would be measured */
    long before = peak_kib();
    victim_start(self);
    victim_turns(self, 3);
    self->say.type = WIRE_WELCOME;
    describe(&huge, &self->say.as.welcome);
    victim_hears(self, NULL, 0);
    expect_end(self, STATUS_NO_MEMORY, "--memory allows 64;");
    CU_ASSERT_TRUE(peak_kib() - before < 16 * 1024);
    victim_end(self);
}

static void join_snapshot_of_another_size_is_refused(void)
{
    for (int i = 0; i < 4; i++) {
        struct victim *self = &victim;
        victim_begin(self);
        victim_start(self);
        victim_turns(self, 3);
        self->say.type = WIRE_WELCOME;
        describe(&TINY, &self->say.as.welcome);
        struct blob_ref *ref = &self->say.as.welcome.snapshot;
        ref->size_bytes = i == 0   ? UINT64_C(1) << 36
                          : i == 1 ? ref->size_bytes + 4
                          : i == 2 ? 4
                                   : ref->size_bytes;
        ref->chunk_bytes = i == 0 ? WIRE_BODY_MAX : i == 3 ? 1 : ref->chunk_bytes;
        victim_hears(self, NULL, 0);
        expect_end(self, STATUS_PROTOCOL, "wrong size");
        victim_end(self);
    }
}

static void welcome_of_another_shape_is_refused(void)
{
    struct victim *self = &victim;
    for (int again = 0; again < 2; again++) { /* in the same process, and in the next one */
        victim_begin(self);
        victim_joins(self);
        struct model_config other = TINY;
        other.ffn_width = 32;
        if (again == 0) {
            self->say.type = WIRE_REFUSED; /* so that it says hello again */
            self->say.as.refused = (struct wire_refused){.code = WIRE_REFUSED_UNKNOWN};
            victim_hears(self, NULL, 0);
        } else {
            daemon_free(self->daemon);
            victim_start(self);
        }
        victim_turns(self, 15);
        CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], 2);
        self->say.type = WIRE_WELCOME;
        describe(&other, &self->say.as.welcome);
        victim_hears(self, NULL, 0);
        expect_end(self, STATUS_REFUSED, again == 0 ? "start the peer again" : "remove ");
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "parameters, where it had"));
        victim_end(self);
    }
}

static void welcome_of_other_settings_is_followed(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    self->say.type = WIRE_REFUSED;
    self->say.as.refused = (struct wire_refused){.code = WIRE_REFUSED_UNKNOWN};
    victim_hears(self, NULL, 0);
    victim_turns(self, 3);
    self->say.type = WIRE_WELCOME;
    describe(&TINY, &self->say.as.welcome);
    self->say.as.welcome.codec = CODEC_BF16;
    self->say.as.welcome.step_tokens *= 2;
    self->say.as.welcome.max_staleness = 1;
    self->say.as.welcome.predicts = true;
    victim_hears(self, NULL, 0);
    victim_turns(self, 10);
    CU_ASSERT_FALSE(self->over);
    CU_ASSERT_EQUAL(self->daemon->session.phase, SESSION_TRAIN);
    CU_ASSERT_EQUAL(compute_offer_codec(self->daemon->compute), CODEC_BF16);
    victim_end(self);
}

/* The least that --memory must allow for the run as it is welcomed at first. */
static uint64_t least_memory(struct victim *self)
{
    struct work work;
    struct compute_shared shared = {.work = &work, .wake_fd = -1};
    uint64_t low = 1;
    work_init(&work, TINY_CONTEXT);
    CU_ASSERT_EQUAL_FATAL(pthread_mutex_init(&shared.lock, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_cond_init(&shared.changed, NULL), 0);
    describe(&TINY, &self->say.as.welcome);
    for (uint64_t high = UINT64_C(1) << 30; high - low > 1;) {
        struct compute_settings settings = self->options.compute;
        struct compute *compute = NULL;
        settings.memory_bytes_max = low + (high - low) / 2;
        shared.stopping = false;
        bool enough = compute_new(&self->say.as.welcome, &settings, &shared, &compute) == STATUS_OK;
        compute_free(compute);
        *(enough ? &high : &low) = settings.memory_bytes_max;
    }
    (void)pthread_cond_destroy(&shared.changed);
    (void)pthread_mutex_destroy(&shared.lock);
    work_deinit(&work);
    return low + 1;
}

static void route_to_a_codec_beyond_the_memory_ends_the_peer(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    self->options.compute.memory_bytes_max = least_memory(self);
    victim_joins(self);
    self->say.type = WIRE_ROUTE;
    memset(&self->say.as.route, 0, sizeof self->say.as.route);
    self->say.as.route.plan_id = 1;
    self->say.as.route.codec = CODEC_FP32;
    self->say.as.route.computes = true;
    victim_hears(self, NULL, 0);
    expect_end(self, STATUS_NO_MEMORY, "in fp32 it needs");
    victim_end(self);
}

/* What --memory must allow at least is not enough for a snapshot beside what is kept. */
static void welcome_says_whether_memory_is_short(void)
{
    for (int i = 0; i < 2; i++) {
        struct victim *self = &victim;
        victim_begin(self);
        self->options.compute.memory_bytes_max = i == 0 ? least_memory(self) : UINT64_C(1) << 30;
        victim_joins(self);
        self->say.type = WIRE_REFUSED; /* so that it says hello again, with something to lose */
        self->say.as.refused = (struct wire_refused){.code = WIRE_REFUSED_UNKNOWN};
        victim_hears(self, NULL, 0);
        victim_turns(self, 3);
        self->say.type = WIRE_WELCOME;
        describe(&TINY, &self->say.as.welcome);
        victim_hears(self, NULL, 0);
        victim_turns(self, 3);
        CU_ASSERT_FALSE(self->over);
        CU_ASSERT_EQUAL(self->daemon->session.cramped, i == 0);
        victim_end(self);
    }
}

/* It waits to be computed, is, or was. */
static bool is_taken(struct victim *self, uint64_t lease_id)
{
    (void)pthread_mutex_lock(&self->daemon->shared.lock);
    const struct work *work = &self->daemon->session.work;
    bool taken = work_has_lease(work, lease_id) || work->held_samples > 0;
    (void)pthread_mutex_unlock(&self->daemon->shared.lock);
    return taken;
}

static void leases_that_do_not_fit_the_model_are_not_computed(void)
{
    static uint16_t tokens[WIRE_BODY_MAX / sizeof(uint16_t)];
    const size_t sample = TINY_CONTEXT + 1;
    const struct {
        uint64_t count;
        size_t body_bytes;
        uint16_t token;
    } cases[] = {{2, 2 * sample * sizeof(uint16_t), TINY_VOCAB},
                 {2, 2 * sample * sizeof(uint16_t), UINT16_MAX},
                 {2, 2 * sample * sizeof(uint16_t) - 1, 0},
                 {2, sample * sizeof(uint16_t), 0},
                 {2, 0, 0},
                 {WIRE_LEASE_SAMPLES_MAX, WIRE_BODY_MAX, 0},
                 {1, WIRE_BODY_MAX, 0},
                 {2, 2 * sample * sizeof(uint16_t), TINY_VOCAB - 1}};
    const size_t last = sizeof cases / sizeof cases[0] - 1; /* the only good one */
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    for (size_t i = 0; i <= last; i++) {
        memset(tokens, 0, sizeof tokens);
        tokens[2 * sample - 1] = cases[i].token; /* the very last one */
        self->say.type = WIRE_LEASE;
        self->say.as.lease = (struct wire_lease){.lease_id = 10 + i,
                                                 .step = 5,
                                                 .version = 5,
                                                 .samples = {.first = 100, .count = cases[i].count},
                                                 .duration_ms = 1000};
        victim_hears(self, tokens, cases[i].body_bytes);
        victim_turns(self, 2);
        CU_ASSERT_EQUAL(is_taken(self, 10 + i), i == last);
    }
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

static void name_owners(struct victim *self, uint64_t plan_id, const char *format)
{
    struct wire_route *route = &self->say.as.route;
    self->say.type = WIRE_ROUTE;
    memset(route, 0, sizeof *route);
    route->plan_id = plan_id;
    route->codec = CODEC_MX8;
    route->computes = true;
    route->owner_count = 1;
    memset(route->owners[0].public_key, (int)plan_id, IDENTITY_KEY_BYTES);
    (void)snprintf(route->owners[0].address, sizeof route->owners[0].address,
                   format, // NOLINT(clang-diagnostic-format-nonliteral)
                   (unsigned)(1 + plan_id % 200));
    route->owners[0].chunk_count = 1;
    memset(route->pass, 1, sizeof route->pass);
    victim_hears(self, NULL, 0);
}

/* An update that comes by the plan's owners makes the peer call them. */
static void commit(struct victim *self)
{
    struct wire_committed *committed = &self->say.as.committed;
    size_t size_bytes = codec_encoded_bytes(CODEC_MX8, fake.value_count);
    uint8_t *update = calloc(1, size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(update);
    self->say.type = WIRE_COMMITTED;
    memset(committed, 0, sizeof *committed);
    committed->step = 5;
    committed->loss = 1.0;
    committed->tokens = 10;
    committed->codec = CODEC_MX8;
    committed->update =
        blob_describe(BLOB_UPDATE, 6, update, size_bytes,
                      (uint32_t)codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES), NULL);
    free(update);
    victim_hears(self, NULL, 0);
}

static void routes_to_the_volunteers_own_network_are_not_followed(void)
{
    static const char *const addresses[] = {"127.0.0.1:%u", "192.168.7.%u:22", "[::1]:%u",
                                            "169.254.169.254:%u"};
    struct victim *self = &victim;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        victim_begin(self);
        victim_joins(self);
        name_owners(self, 3, addresses[i]);
        commit(self);
        victim_turns(self, 10);
        CU_ASSERT_EQUAL(fake.bulk_opens, 0);
        victim_end(self);
    }
    victim_begin(self);
    victim_joins(self);
    name_owners(self, 3, "198.51.100.%u:22");
    commit(self);
    victim_turns(self, 10);
    CU_ASSERT_EQUAL(fake.bulk_opens, 1);
    victim_end(self);
}

/* Of chunks that the vector does not have, and of this peer itself. */
static void routes_beyond_the_vector_are_harmless(void)
{
    static const struct fetch_range ranges[] = {
        {0, BLOB_CHUNKS_MAX}, {1, 1}, {500000, 500000}, {BLOB_CHUNKS_MAX - 1, 1}};
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    for (uint32_t i = 0; i < 2 * sizeof ranges / sizeof ranges[0]; i++) {
        struct wire_route *route = &self->say.as.route;
        self->say.type = WIRE_ROUTE;
        memset(route, 0, sizeof *route);
        route->plan_id = i + 1;
        route->codec = CODEC_MX8;
        route->computes = true;
        route->owner_count = 1;
        memset(route->owners[0].public_key, 5, IDENTITY_KEY_BYTES);
        if (i % 2 == 1) {
            memcpy(route->owners[0].public_key, self->identity.public_key, IDENTITY_KEY_BYTES);
        }
        (void)snprintf(route->owners[0].address, WIRE_ADDRESS_MAX, "198.51.100.9:80");
        route->owners[0].first_chunk = ranges[i / 2].first_chunk;
        route->owners[0].chunk_count = ranges[i / 2].chunk_count;
        memset(route->pass, 1, sizeof route->pass);
        victim_hears(self, NULL, 0);
        if (i == 0) {
            commit(self);
        }
        victim_turns(self, 30);
        CU_ASSERT_FALSE(self->over);
    }
    CU_ASSERT_EQUAL(self->daemon->session.phase, SESSION_TRAIN);
    victim_end(self);
}

/* A coordinator has many peers: together they would be a weapon against whomever it names. */
static void routes_that_flood_cause_few_calls(void)
{
    enum { SECONDS = 20, ROUTES_PER_S = 10 };
    struct victim *self = &victim;
    struct bulk *bulk = NULL;
    struct wire_route *route = &self->say.as.route;
    victim_begin(self);
    const struct bulk_settings settings = {.identity = &self->identity,
                                           .coordinator_address = self->options.link.address};
    uint32_t asked = 0;
    CU_ASSERT_EQUAL_FATAL(bulk_new(&settings, &bulk), STATUS_OK);
    for (uint32_t i = 0; i < SECONDS * ROUTES_PER_S; i++) {
        memset(route, 0, sizeof *route);
        route->owner_count = WIRE_OWNERS_MAX;
        for (uint32_t j = 0; j < WIRE_OWNERS_MAX; j++) {
            memcpy(route->owners[j].public_key, &i, sizeof i);
            (void)snprintf(route->owners[j].address, WIRE_ADDRESS_MAX, "198.51.100.%u:80", j % 250);
        }
        bulk_tend(bulk, i * (1000 / ROUTES_PER_S));
        bulk_route(bulk, route);
        for (uint32_t j = 0; j < WIRE_OWNERS_MAX; j++) {
            const struct wire_grant grant = {.kind = BLOB_UPDATE, .chunk_count = 1};
            asked += bulk_ask(bulk, j, &grant, 1) ? 1 : 0;
        }
    }
    CU_ASSERT_EQUAL(asked, fake.bulk_opens);
    CU_ASSERT_TRUE(fake.bulk_opens >= 2 * WIRE_OWNERS_MAX); /* two whole plans are fine */
    CU_ASSERT_TRUE(fake.bulk_opens < 2 * WIRE_OWNERS_MAX + SECONDS * 20 + 1);
    bulk_free(bulk);
    victim_end(self);
}

/* Of a blob of two chunks, as an owner sends it. */
static void send_chunk(struct victim *self, const struct blob_ref *ref, const uint8_t *data)
{
    struct blob_chunk_header header;
    uint8_t head[BLOB_HEADER_BYTES];
    const uint8_t *chunk = NULL;
    CU_ASSERT_EQUAL_FATAL(blob_chunk(ref, data, NULL, 0, &header, &chunk), STATUS_OK);
    blob_header_write(&header, head);
    const struct channel_message message = {.head = head,
                                            .head_size_bytes = sizeof head,
                                            .body = chunk,
                                            .body_size_bytes = header.size_bytes};
    daemon_take_chunk(self->daemon, 1, &message);
}

/* An owner that repeats what is here must not make the peer wait for ever for the rest. */
static void chunk_that_comes_again_does_not_prolong_a_fetch(void)
{
    static const struct fetch_range all = {0, 0};
    static const struct fetch_plan plan = {.owner_count = 1, .owners = {{0, 2}}};
    static const uint8_t data[200];
    struct victim *self = &victim;
    struct wire_grant grant;
    uint32_t source = 0;
    victim_begin(self);
    victim_joins(self);
    struct daemon *daemon = self->daemon;
    const struct blob_ref ref = blob_describe(BLOB_UPDATE, 6, data, sizeof data, 100, NULL);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&ref, &all, &plan, &daemon->shelf.coming), STATUS_OK);
    daemon->session.fetching = true;
    while (fetch_grant(daemon->shelf.coming, daemon->now_ms, UINT64_MAX, &source, &grant)) {
    }
    daemon->now_ms += 1000;
    send_chunk(self, &ref, data);
    CU_ASSERT_EQUAL(daemon->fetch_ms, daemon->now_ms);
    daemon->now_ms += 1000;
    send_chunk(self, &ref, data);
    CU_ASSERT_EQUAL(daemon->fetch_ms, daemon->now_ms - 1000);
    daemon->session.fetching = false;
    victim_end(self);
}

static void probes_that_flood_are_answered_within_the_owners_limit(void)
{
    static uint8_t filler[256 * 1024];
    enum { UP = 100000, SECONDS = 20 };
    struct victim *self = &victim;
    victim_begin(self);
    self->options.up_bytes_per_s_max = UP;
    victim_joins(self);
    uint64_t before = fake.said_bytes;
    for (int i = 0; i < SECONDS * 1000 / TURN_MS; i++) {
        self->say.type = WIRE_PROBE;
        self->say.as.probe = (struct wire_probe){.nonce = 9};
        victim_hears(self, filler, sizeof filler);
        victim_turns(self, 1);
    }
    uint64_t sent = fake.said_bytes - before;
    CU_ASSERT_TRUE(fake.said[WIRE_PROBE] > 2);
    CU_ASSERT_TRUE(sent < (uint64_t)UP * (SECONDS + 2) + 2 * sizeof filler);
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

static void bodies_that_flood_are_read_within_the_owners_limit(void)
{
    static uint8_t filler[64 * 1024];
    enum { DOWN = 100000, SECONDS = 20, MESSAGES = 500 };
    struct victim *self = &victim;
    victim_begin(self);
    self->options.down_bytes_per_s_max = DOWN;
    victim_joins(self);
    size_t before = fake.read;
    for (int i = 0; i < MESSAGES; i++) { /* what no one asked for, of two kinds */
        struct blob_chunk_header header = {.kind = BLOB_SNAPSHOT, .size_bytes = sizeof filler};
        uint8_t head[BLOB_HEADER_BYTES];
        blob_header_write(&header, head);
        put(head, sizeof head, filler, sizeof filler);
        self->say.type = WIRE_ALIVE;
        victim_hears(self, filler, sizeof filler);
    }
    victim_turns(self, SECONDS * 1000 / TURN_MS);
    uint64_t read_bytes = (fake.read - before) * sizeof filler;
    CU_ASSERT_TRUE(read_bytes > (uint64_t)DOWN * SECONDS / 2);
    CU_ASSERT_TRUE(read_bytes < (uint64_t)DOWN * (SECONDS + 6) + 65 * sizeof filler);
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

/* Of everything that makes it answer, keep or begin something. */
static void messages_that_flood_leave_no_trace(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    long before = 0;
    for (uint32_t i = 0; i < 30000; i++) {
        self->say.type = i % 5 == 0   ? WIRE_GRANT
                         : i % 5 == 1 ? WIRE_COLLECT
                         : i % 5 == 2 ? WIRE_VERDICT
                         : i % 5 == 3 ? WIRE_RECLAIM
                                      : WIRE_DELIVER;
        memset(&self->say.as, 0, sizeof self->say.as.route);
        if (self->say.type == WIRE_GRANT) {
            self->say.as.grant = (struct wire_grant){.kind = 1 + i % BLOB_HASHES,
                                                     .id = i,
                                                     .first_chunk = i * 7 % BLOB_CHUNKS_MAX,
                                                     .chunk_count = 1 + i % 5};
            self->say.as.grant.first_chunk %= BLOB_CHUNKS_MAX - 8;
        } else if (self->say.type == WIRE_COLLECT) {
            self->say.as.collect.step = i % 3 == 0 ? 4 : i; /* of other steps */
        } else if (self->say.type == WIRE_VERDICT) {
            self->say.as.verdict.blob_id = i;
        } else if (self->say.type == WIRE_RECLAIM) {
            self->say.as.reclaim.lease_id = i;
        } else {
            self->say.as.deliver.blob_id = i;
        }
        victim_hears(self, NULL, 0);
        if (i % 50 == 49) {
            victim_turns(self, 1);
        }
        before = i == 5000 ? peak_kib() : before;
    }
    CU_ASSERT_FALSE(self->over);
    CU_ASSERT_TRUE(peak_kib() - before < 1024);
    victim_end(self);
}

static void ask_for_chunks(struct victim *self, uint64_t id, uint32_t count)
{
    self->say.type = WIRE_GRANT;
    self->say.as.grant =
        (struct wire_grant){.kind = BLOB_CONTRIBUTION, .id = id, .chunk_count = count};
    victim_hears(self, NULL, 0);
}

/* Or the coordinator would take the line for dead. */
static void first_chunk_does_not_wait_for_the_cap(void)
{
    enum { CAP = 100000, CHUNKS = 3 };
    struct victim *self = &victim;
    const size_t chunk_bytes = codec_encoded_bytes(CODEC_MX8, CODEC_CHUNK_VALUES);
    victim_begin(self);
    self->options.up_bytes_per_s_max = CAP;
    victim_joins(self);
    for (uint64_t id = 1; id <= 2; id++) {
        uint8_t *data = calloc(CHUNKS, chunk_bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(data);
        (void)offers_add(&self->daemon->offers, id, CODEC_MX8, data, CHUNKS * chunk_bytes);
    }
    pace_sent(&self->daemon->pace, 3 * CAP, self->now_ms); /* a probe, say: for three seconds */
    ask_for_chunks(self, 1, CHUNKS);
    victim_turns(self, 1);
    CU_ASSERT_EQUAL(fake.chunks, 1);
    victim_turns(self, 2500 / TURN_MS);
    CU_ASSERT_EQUAL(fake.chunks, 1); /* the others do */
    victim_turns(self, 3000 / TURN_MS);
    CU_ASSERT_EQUAL(fake.chunks, CHUNKS);
    pace_sent(&self->daemon->pace, 10 * CAP, self->now_ms);
    ask_for_chunks(self, 2, CHUNKS);
    victim_turns(self, 4000 / TURN_MS);
    CU_ASSERT_EQUAL(fake.chunks, CHUNKS); /* the cap is not for nothing either */
    victim_turns(self, 2000 / TURN_MS);
    CU_ASSERT_EQUAL(fake.chunks, CHUNKS + 1);
    victim_end(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(join_model_beyond_the_memory_is_refused_before_it_is_taken),
        SUITE_TEST(join_snapshot_of_another_size_is_refused),
        SUITE_TEST(welcome_of_another_shape_is_refused),
        SUITE_TEST(welcome_of_other_settings_is_followed),
        SUITE_TEST(route_to_a_codec_beyond_the_memory_ends_the_peer),
        SUITE_TEST(leases_that_do_not_fit_the_model_are_not_computed),
        SUITE_TEST(routes_to_the_volunteers_own_network_are_not_followed),
        SUITE_TEST(routes_beyond_the_vector_are_harmless),
        SUITE_TEST(routes_that_flood_cause_few_calls),
        SUITE_TEST(welcome_says_whether_memory_is_short),
        SUITE_TEST(chunk_that_comes_again_does_not_prolong_a_fetch),
        SUITE_TEST(probes_that_flood_are_answered_within_the_owners_limit),
        SUITE_TEST(first_chunk_does_not_wait_for_the_cap),
        SUITE_TEST(bodies_that_flood_are_read_within_the_owners_limit),
        SUITE_TEST(messages_that_flood_leave_no_trace),
    };
    log_set_level(LOG_ERROR);
    return suite_run("peer_hostile_daemon", tests, sizeof tests / sizeof tests[0]);
}
