/* A peer's connection to its coordinator's port for chunks. */
#include "common/log.h"
#include "tests/unit/hostile_fixture.h"

enum { PORT = 7801, TURNS_PER_S = 1000 / TURN_MS };

static void hear_welcome(struct victim *self, uint16_t port)
{
    self->say.type = WIRE_WELCOME;
    describe(&TINY, &self->say.as.welcome);
    self->say.as.welcome.bulk_port = port;
    victim_hears(self, NULL, 0);
}

/* Up to a welcome, and a few turns on. */
static void begin(struct victim *self, bool stands, bool answers)
{
    victim_begin(self);
    fake.line.stands = stands;
    fake.line.answers = answers;
    victim_start(self);
    victim_turns(self, 3);
    hear_welcome(self, PORT);
    victim_turns(self, 10);
    CU_ASSERT_FALSE_FATAL(self->over);
}

static bool has_parameters(const struct victim *self)
{
    return self->daemon->session.phase == SESSION_TRAIN;
}

/* By which way a chunk goes now. */
static bool goes_there(struct victim *self)
{
    static const uint8_t body[64];
    const struct blob_chunk_header header = {
        .kind = BLOB_CONTRIBUTION, .id = 1, .size_bytes = sizeof body};
    uint8_t head[BLOB_HEADER_BYTES];
    uint64_t here = fake.chunks;
    uint32_t there = fake.line.chunks;
    blob_header_write(&header, head);
    CU_ASSERT_EQUAL(daemon_line_send(self->daemon, head, sizeof head, body, sizeof body),
                    STATUS_OK);
    CU_ASSERT_EQUAL(fake.chunks + fake.line.chunks, here + there + 1);
    return fake.line.chunks > there;
}

static void welcome_with_a_port_opens_the_line(void)
{
    struct victim *self = &victim;
    begin(self, true, true);
    CU_ASSERT_STRING_EQUAL(fake.line.address, "198.51.100.4:7801"); /* nothing to look up */
    CU_ASSERT_EQUAL(fake.line.dials, 1);
    CU_ASSERT_TRUE(has_parameters(self));
    CU_ASSERT_TRUE(fake.line.written > 1); /* they came there */
    CU_ASSERT_EQUAL(fake.read, fake.written);
    CU_ASSERT_TRUE(goes_there(self));
    victim_end(self);
}

static void welcome_without_a_port_opens_none(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    fake.line.stands = fake.line.answers = true;
    victim_joins(self);
    CU_ASSERT_EQUAL(fake.line.dials, 0);
    CU_ASSERT_FALSE(goes_there(self));
    victim_end(self);
}

/* A second is waited for, then what there is must do. */
static void line_that_does_not_stand_is_done_without(void)
{
    struct victim *self = &victim;
    for (int i = 0; i < 2; i++) { /* nobody answers the dial; or the first words */
        begin(self, i == 1, false);
        CU_ASSERT_FALSE(has_parameters(self));
        CU_ASSERT_EQUAL(fake.said[WIRE_GRANT], 0);
        CU_ASSERT_EQUAL(fake.line.words, (uint32_t)i);
        victim_turns(self, TURNS_PER_S + 20);
        CU_ASSERT_TRUE(has_parameters(self));
        CU_ASSERT_FALSE(goes_there(self));
        CU_ASSERT_EQUAL(fake.line.dials, 1);
        victim_end(self);
    }
}

/* What is said on the next connection begins with its first words: chunks that were sent on the one
 * before would be taken for a stranger's. */
static void line_that_breaks_is_dialled_again(void)
{
    struct victim *self = &victim;
    begin(self, true, true);
    fake.line.answers = false;
    fake.line.breaks++;
    victim_turns(self, 1);
    CU_ASSERT_FALSE(goes_there(self));
    victim_turns(self, TURNS_PER_S);
    CU_ASSERT_EQUAL(fake.line.dials, 2);
    CU_ASSERT_FALSE(goes_there(self));
    uint32_t words = fake.line.words;
    CU_ASSERT_TRUE(words >= 2);
    fake.line.answers = true;
    victim_turns(self, 2 * TURNS_PER_S);
    CU_ASSERT_TRUE(fake.line.words > words);
    CU_ASSERT_TRUE(goes_there(self));
    CU_ASSERT_EQUAL(fake.line.dials, 2);
    victim_end(self);
}

/* What it sums for others is all that it fetches, and they wait for it. */
static void line_that_is_back_is_asked_again_for_an_owners_part(void)
{
    static const struct fetch_range part = {1, 3};
    static const struct fetch_plan plan = {.own = {1, 3}};
    static const uint8_t data[500];
    struct victim *self = &victim;
    begin(self, true, true);
    self->options.aggregates_only = true;
    const struct blob_ref ref = blob_describe(BLOB_UPDATE, 6, data, sizeof data, 100, NULL);
    CU_ASSERT_EQUAL_FATAL(fetch_new(&ref, &part, &plan, &self->daemon->shelf.coming), STATUS_OK);
    self->daemon->fetch_ms = self->now_ms;
    uint64_t before = fake.said[WIRE_GRANT];
    victim_turns(self, TURNS_PER_S);
    CU_ASSERT_EQUAL(fake.said[WIRE_GRANT], before + 2); /* the list, and the part */
    fake.line.breaks++;
    victim_turns(self, TURNS_PER_S);
    CU_ASSERT_EQUAL(fake.line.dials, 2);
    CU_ASSERT_EQUAL(fake.said[WIRE_GRANT], before + 4);
    victim_end(self);
}

/* One that breaks again and again is tried less and less. */
static void line_that_always_breaks_is_dialled_seldom(void)
{
    struct victim *self = &victim;
    begin(self, true, false);
    for (int i = 0; i < 60 * TURNS_PER_S; i++) {
        fake.line.breaks += fake.line.words % 2; /* after its first words */
        fake.line.words = 0;
        victim_turns(self, 1);
    }
    CU_ASSERT_TRUE(fake.line.dials > 5 && fake.line.dials < 20);
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

/* Nothing tells that it is dead but the silence. */
static void line_that_falls_silent_is_left(void)
{
    struct victim *self = &victim;
    begin(self, true, true);
    victim_turns(self, 10 * TURNS_PER_S);
    CU_ASSERT_TRUE(goes_there(self));
    CU_ASSERT_EQUAL(fake.line.dials, 1);
    CU_ASSERT_TRUE(fake.line.words >= 5 && fake.line.words <= 10); /* and it is heard */
    fake.line.answers = false;
    victim_turns(self, 2 * TURNS_PER_S);
    CU_ASSERT_TRUE(goes_there(self));
    victim_turns(self, 3 * TURNS_PER_S);
    CU_ASSERT_FALSE(goes_there(self));
    CU_ASSERT_EQUAL(fake.line.dials, 2);
    CU_ASSERT_FALSE(self->over);
    victim_end(self);
}

/* The daemon did something else, as encoding a large gradient. */
static void line_is_not_left_while_nobody_looked(void)
{
    struct victim *self = &victim;
    begin(self, true, true);
    self->now_ms += 5000;
    victim_turns(self, TURNS_PER_S);
    CU_ASSERT_EQUAL(fake.line.dials, 1);
    CU_ASSERT_TRUE(goes_there(self));
    victim_end(self);
}

/* Nobody says that a port cannot be reached before it was out of reach for a while. */
static void port_is_out_of_reach_after_a_while(void)
{
    struct victim *self = &victim;
    begin(self, true, true);
    for (int i = 0; i < 2; i++) { /* each time anew */
        self->say.type = WIRE_ALIVE;
        victim_hears(self, NULL, 0); /* or the session would end */
        victim_turns(self, 10 * TURNS_PER_S);
        fake.line.stands = false;
        victim_turns(self, 4 * TURNS_PER_S);
        CU_ASSERT_FALSE(goes_there(self));
        CU_ASSERT_FALSE(self->daemon->line.told);
        victim_turns(self, 2 * TURNS_PER_S);
        CU_ASSERT_TRUE(self->daemon->line.told);
        fake.line.stands = true;
        victim_turns(self, 10 * TURNS_PER_S);
        CU_ASSERT_TRUE(goes_there(self));
        CU_ASSERT_FALSE(self->daemon->line.told);
    }
    victim_end(self);
}

/* Making a large model may take longer than a stranger may be silent. */
static void line_is_dialled_after_the_model_is_made(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    fake.line.stands = fake.line.answers = true;
    victim_start(self);
    victim_turns(self, 3);
    hear_welcome(self, PORT);
    victim_turns(self, 1);
    CU_ASSERT_EQUAL(fake.line.dials, 0);
    self->now_ms += 12000;
    victim_turns(self, 2);
    CU_ASSERT_EQUAL(fake.line.dials, 1);
    CU_ASSERT_FALSE(self->daemon->line.told);
    victim_turns(self, 10);
    CU_ASSERT_TRUE(has_parameters(self));
    CU_ASSERT_TRUE(fake.line.written > 1); /* they came there */
    CU_ASSERT_FALSE(self->daemon->line.told);
    victim_end(self);
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(welcome_with_a_port_opens_the_line),
        SUITE_TEST(welcome_without_a_port_opens_none),
        SUITE_TEST(line_that_does_not_stand_is_done_without),
        SUITE_TEST(line_that_breaks_is_dialled_again),
        SUITE_TEST(line_that_is_back_is_asked_again_for_an_owners_part),
        SUITE_TEST(line_that_always_breaks_is_dialled_seldom),
        SUITE_TEST(line_that_falls_silent_is_left),
        SUITE_TEST(line_is_not_left_while_nobody_looked),
        SUITE_TEST(port_is_out_of_reach_after_a_while),
        SUITE_TEST(line_is_dialled_after_the_model_is_made),
    };
    log_set_level(LOG_ERROR);
    return suite_run("daemon_line", tests, sizeof tests / sizeof tests[0]);
}
