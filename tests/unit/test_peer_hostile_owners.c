/* test_peer_hostile_owners - owners that would hurt a peer which fetches from them. */
#include "common/log.h"
#include "peer/daemon/owner_state.h"
#include "tests/unit/hostile_fixture.h"

enum { DOWN = 100000, BODY_BYTES = 64 * 1024, UNASKED_MAX = 1 << 20, SHUT_MS = 600000 };

static uint8_t body[BODY_BYTES];
static uint8_t head[WIRE_HEAD_MAX];

static void name_owners(struct victim *self, uint32_t count)
{
    struct wire_route *route = &self->say.as.route;
    self->say.type = WIRE_ROUTE;
    memset(route, 0, sizeof *route);
    route->plan_id = 1;
    route->codec = CODEC_MX8;
    route->computes = true;
    route->owner_count = count;
    for (uint32_t i = 0; i < count; i++) {
        memset(route->owners[i].public_key, 1 + (int)i, IDENTITY_KEY_BYTES);
        (void)snprintf(route->owners[i].address, WIRE_ADDRESS_MAX, "198.51.100.%u:22", 1 + i);
        route->owners[i].first_chunk = i;
        route->owners[i].chunk_count = 1;
    }
    memset(route->pass, 1, sizeof route->pass);
    victim_hears(self, NULL, 0);
    victim_turns(self, 1);
}

static bool asks(struct victim *self, uint32_t owner, uint32_t chunk_count, uint32_t chunk_bytes)
{
    const struct wire_grant grant = {.kind = BLOB_UPDATE, .id = 6, .chunk_count = chunk_count};
    return bulk_ask(self->daemon->bulk, owner, &grant, chunk_bytes);
}

static void owners_send(size_t head_bytes, size_t body_bytes, uint64_t count)
{
    fake.owners.letter = (struct owners_letter){
        .head = head, .head_bytes = head_bytes, .body = body, .body_bytes = body_bytes};
    fake.owners.left = count;
    fake.owners.read = 0;
}

static size_t chunk_head(uint64_t id)
{
    const struct blob_chunk_header header = {
        .kind = BLOB_UPDATE, .id = id, .size_bytes = sizeof body};
    blob_header_write(&header, head);
    return BLOB_HEADER_BYTES;
}

static size_t word_head(struct victim *self, enum wire_type type)
{
    size_t head_bytes = 0;
    self->say.type = type;
    memset(&self->say.as, 0, sizeof self->say.as.route);
    if (type == WIRE_GRANT) {
        self->say.as.grant = (struct wire_grant){.kind = BLOB_CONTRIBUTION, .chunk_count = 1};
    }
    CU_ASSERT_EQUAL_FATAL(wire_encode(&self->say, head, sizeof head, &head_bytes), STATUS_OK);
    return head_bytes;
}

/* While an owner sends what it can, the coordinator is heard; and soon it is sent away. */
static void expect_shut_out(size_t head_bytes, size_t body_bytes)
{
    struct victim *self = &victim;
    const uint64_t message_bytes = head_bytes + body_bytes;
    uint64_t before = 0;
    CU_ASSERT_TRUE(asks(self, 0, 1, BODY_BYTES));
    owners_send(head_bytes, body_bytes, UINT64_MAX);
    for (uint32_t i = 0; i < 20000 && fake.owners.closed == 0; i++) {
        before = fake.owners.read;
        self->say.type = WIRE_ALIVE;
        victim_hears(self, NULL, 0);
        victim_turns(self, 1);
        CU_ASSERT_TRUE(fake.owners.read - before <= 256);
        CU_ASSERT_FALSE(self->daemon->flooded);
        CU_ASSERT_EQUAL(fake.read, fake.written);
    }
    CU_ASSERT_EQUAL(fake.owners.closed, 1);
    /* Besides a chunk that it was asked for, and what any owner may say in the time. */
    CU_ASSERT_TRUE((fake.owners.read - 2) * message_bytes <
                   2 * UNASKED_MAX + BODY_BYTES + BLOB_HEAD_MAX);
    CU_ASSERT_TRUE(bulk_is_lost(self->daemon->bulk, 0, self->now_ms));
    CU_ASSERT_FALSE(asks(self, 0, 1, BODY_BYTES));
    victim_turns(self, 5000 / TURN_MS);
    CU_ASSERT_TRUE(pace_may_ask(&self->daemon->pace, self->now_ms) > 0);
}

static void owner_that_floods_is_shut_out_and_the_coordinator_is_heard(void)
{
    struct victim *self = &victim;
    for (int kind = 0; kind < 5; kind++) {
        victim_begin(self);
        self->options.down_bytes_per_s_max = DOWN;
        victim_joins(self);
        name_owners(self, 1);
        size_t head_bytes = kind < 2    ? chunk_head(6)
                            : kind == 2 ? word_head(self, WIRE_ALIVE)
                                        : word_head(self, WIRE_GRANT);
        head[0] = kind == 4 ? 0xff : head[0]; /* no message at all */
        expect_shut_out(head_bytes, kind == 1 ? 0 : kind == 3 ? 0 : BODY_BYTES);
        name_owners(self, 1); /* another plan with it changes nothing */
        CU_ASSERT_FALSE(asks(self, 0, 1, BODY_BYTES));
        bulk_tend(self->daemon->bulk, self->now_ms + SHUT_MS);
        CU_ASSERT_TRUE(asks(self, 0, 1, BODY_BYTES));
        CU_ASSERT_FALSE(self->over);
        victim_end(self);
    }
}

/* However much and however late. */
static void chunks_that_were_asked_for_shut_nobody_out(void)
{
    struct victim *self = &victim;
    struct bulk_news news;
    uint32_t came = 0;
    victim_begin(self);
    victim_joins(self);
    name_owners(self, 1);
    size_t head_bytes = chunk_head(6);
    for (uint32_t i = 0; i < 100; i++) {
        CU_ASSERT_TRUE(asks(self, 0, 16, BODY_BYTES));
        owners_send(head_bytes, BODY_BYTES, i % 4 == 3 ? 64 : 0);
        for (unsigned budget = 256; bulk_receive(self->daemon->bulk, &budget, &news); came++) {
            CU_ASSERT_EQUAL(news.type, BULK_CHUNK);
            channel_message_close(&news.message);
        }
    }
    CU_ASSERT_EQUAL(came, 1600);
    CU_ASSERT_EQUAL(fake.owners.closed, 0);
    victim_end(self);
}

/* What was asked for and never came is not saved up for ever. */
static void owner_saves_up_no_more_than_it_may_be_asked_for(void)
{
    struct victim *self = &victim;
    struct bulk_news news;
    uint32_t came = 0;
    victim_begin(self);
    victim_joins(self);
    name_owners(self, 1);
    size_t head_bytes = chunk_head(6);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)asks(self, 0, 16, BODY_BYTES);
    }
    owners_send(head_bytes, BODY_BYTES, UINT64_MAX);
    for (unsigned budget = 10000; bulk_receive(self->daemon->bulk, &budget, &news); came++) {
        channel_message_close(&news.message);
    }
    CU_ASSERT_EQUAL(fake.owners.closed, 1);
    CU_ASSERT_TRUE(came >= GUEST_PENDING_CHUNKS_MAX && came < GUEST_PENDING_CHUNKS_MAX + 32);
    victim_end(self);
}

static void owners_are_heard_in_turns(void)
{
    struct victim *self = &victim;
    struct bulk_news news;
    uint32_t came[2] = {0, 0};
    victim_begin(self);
    victim_joins(self);
    name_owners(self, 2);
    CU_ASSERT_TRUE(asks(self, 0, 1, 1) && asks(self, 1, 1, 1));
    owners_send(word_head(self, WIRE_ALIVE), 0, UINT64_MAX);
    for (unsigned budget = 256; bulk_receive(self->daemon->bulk, &budget, &news);) {
        came[news.owner]++;
        channel_message_close(&news.message);
    }
    CU_ASSERT_EQUAL(came[0], 128);
    CU_ASSERT_EQUAL(came[1], 128);
    victim_end(self);
}

static void chunk_that_comes_again_counts_as_unasked(void)
{
    static const struct fetch_range all = {0, 0};
    static const uint8_t data[200];
    struct fetch_plan plan = {.owner_count = 1, .owners = {{0, 2}}};
    struct victim *self = &victim;
    struct wire_grant grant;
    struct blob_chunk_header header;
    const uint8_t *chunk = NULL;
    uint32_t source = 0;
    victim_begin(self);
    self->options.down_bytes_per_s_max = DOWN;
    victim_joins(self);
    struct daemon *daemon = self->daemon;
    const struct blob_ref ref = blob_describe(BLOB_UPDATE, 6, data, sizeof data, 100, NULL);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&ref, &all, &plan, &daemon->shelf.coming), STATUS_OK);
    daemon->session.fetching = true;
    while (fetch_grant(daemon->shelf.coming, daemon->now_ms, UINT64_MAX, &source, &grant)) {
    }
    CU_ASSERT_EQUAL_FATAL(blob_chunk(&ref, data, NULL, 0, &header, &chunk), STATUS_OK);
    blob_header_write(&header, head);
    const struct channel_message message = {.head = head,
                                            .head_size_bytes = BLOB_HEADER_BYTES,
                                            .body = chunk,
                                            .body_size_bytes = header.size_bytes};
    for (source = 0; source < 2; source++) {
        daemon_take_chunk(daemon, source, &message);
        pace_init(&daemon->pace, 0, DOWN, daemon->now_ms);
        uint64_t before = pace_may_ask(&daemon->pace, daemon->now_ms);
        daemon_take_chunk(daemon, source, &message);
        CU_ASSERT_EQUAL(before - pace_may_ask(&daemon->pace, daemon->now_ms),
                        BLOB_HEADER_BYTES + header.size_bytes);
    }
    daemon->session.fetching = false;
    victim_end(self);
}

/* In any other phase the session does not follow it, and nobody has judged it. */
static void welcome_that_was_not_judged_does_not_reach_the_port(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    self->options.aggregates = true;
    self->options.aggregate_bytes_max = UINT64_C(1) << 20;
    fake.listens = true;
    victim_joins(self);
    const struct daemon_owner *owner = self->daemon->owner;
    CU_ASSERT_TRUE(owner->follows);
    const struct daemon_owner_run before = owner->run;
    CU_ASSERT_EQUAL(before.run_id.bytes[0], 7);
    self->say.type = WIRE_WELCOME;
    describe(&TINY, &self->say.as.welcome);
    self->say.as.welcome.run_id.bytes[0] = 8;
    self->say.as.welcome.step_tokens *= 2;
    victim_hears(self, NULL, 0);
    victim_turns(self, 3);
    CU_ASSERT_EQUAL(owner->run.step_tokens, before.step_tokens);
    CU_ASSERT_EQUAL(owner->run.run_id.bytes[0], 7);
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(owner_that_floods_is_shut_out_and_the_coordinator_is_heard),
        SUITE_TEST(chunks_that_were_asked_for_shut_nobody_out),
        SUITE_TEST(owner_saves_up_no_more_than_it_may_be_asked_for),
        SUITE_TEST(owners_are_heard_in_turns),
        SUITE_TEST(chunk_that_comes_again_counts_as_unasked),
        SUITE_TEST(welcome_that_was_not_judged_does_not_reach_the_port),
    };
    log_set_level(LOG_ERROR);
    return suite_run("peer_hostile_owners", tests, sizeof tests / sizeof tests[0]);
}
