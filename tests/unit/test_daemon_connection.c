/* A peer's connection to its coordinator: what it says when nobody is there, and afterwards. */
#include "common/log.h"
#include "tests/unit/hostile_fixture.h"

enum { TURNS_PER_S = 1000 / TURN_MS, OUTAGE_S = 600 };

static void seconds(struct victim *self, uint32_t count)
{
    victim_turns(self, count * TURNS_PER_S);
}

/* A connection that nobody answers keeps what is said, and says all of it at once later. */
static void hello_is_said_once_when_the_connection_stands(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    fake.away = true;
    victim_start(self);
    seconds(self, 50);
    CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], 0);
    CU_ASSERT_EQUAL(self->sequence.last, 0);
    fake.away = false;
    victim_turns(self, 20);
    CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], 1);
    CU_ASSERT_EQUAL(self->sequence.last, 1);
    victim_end(self);
}

static void outage_leaves_no_hellos_behind(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    uint64_t said = fake.said[WIRE_HELLO];
    uint64_t last = self->sequence.last;
    fake.away = true;
    fake.dials = 0;
    seconds(self, OUTAGE_S);
    CU_ASSERT_FALSE_FATAL(self->over);
    CU_ASSERT_TRUE(fake.dials > OUTAGE_S / 35 && fake.dials < OUTAGE_S / 25); /* addresses change */
    CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], said);
    CU_ASSERT_EQUAL(self->sequence.last, last); /* none is spent either */
    fake.away = false;
    victim_turns(self, 20);
    CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], said + 1);
    victim_end(self);
}

/* It says why, in the coordinator's words. */
static void full_run_is_told_when_the_wait_ends(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    self->options.first_ms_max = 60000;
    victim_start(self);
    for (int i = 0; i < 70 && !self->over; i++) {
        self->say.type = WIRE_REFUSED;
        self->say.as.refused.code = WIRE_REFUSED_FULL;
        (void)snprintf(self->say.as.refused.text, sizeof self->say.as.refused.text, "no room here");
        victim_hears(self, NULL, 0);
        seconds(self, 1);
    }
    expect_end(self, STATUS_UNAVAILABLE, "the coordinator refused: no room here");
    victim_end(self);
}

/* It hears nothing: no more hellos go over one connection than a stranger may say there. */
static void coordinator_that_hangs_hears_few_hellos(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    victim_joins(self);
    fake.dials = 0;
    seconds(self, OUTAGE_S);
    CU_ASSERT_TRUE(fake.dials > OUTAGE_S / 35);
    CU_ASSERT_TRUE(fake.said[WIRE_HELLO] <= fake.dials * (CHANNEL_STRANGER_MESSAGES_MAX - 1));
    victim_end(self);
}

/* A tunnel whose coordinator is away takes every connection, and closes it. */
static void front_without_a_coordinator_does_not_end_who_joined(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    self->options.first_ms_max = 60000;
    victim_joins(self);
    fake.away = true;
    fake.trouble = CHANNEL_WRONG_KEY;
    seconds(self, OUTAGE_S);
    CU_ASSERT_FALSE_FATAL(self->over);
    CU_ASSERT_TRUE(self->daemon->told_wrong_key);
    fake.away = false;
    victim_turns(self, 20);
    CU_ASSERT_EQUAL(fake.said[WIRE_HELLO], 2);
    CU_ASSERT_FALSE(self->daemon->told_wrong_key);
    victim_end(self);
}

static void wrong_key_ends_who_never_joined_after_the_wait(void)
{
    struct victim *self = &victim;
    victim_begin(self);
    self->options.first_ms_max = 60000;
    fake.away = true;
    fake.trouble = CHANNEL_WRONG_KEY;
    victim_start(self);
    seconds(self, 59);
    CU_ASSERT_FALSE_FATAL(self->over);
    seconds(self, 2);
    expect_end(self, STATUS_REFUSED, "is not the coordinator of this link");
    victim_end(self);
}

/* The handshake said so: it needs no wait, nor is it forgotten between two connections. */
static void banned_key_ends_the_peer(void)
{
    struct victim *self = &victim;
    for (int i = 0; i < 2; i++) { /* a new one; one that joined */
        victim_begin(self);
        fake.trouble = CHANNEL_SHUT_OUT;
        fake.away = i == 0;
        if (i == 0) {
            victim_start(self);
            seconds(self, 2);
        } else {
            victim_joins(self);
            fake.away = true;
            seconds(self, 55);
        }
        CU_ASSERT_FALSE(self->over);
        fake.trouble = CHANNEL_CONNECTING;
        victim_turns(self, 10);
        fake.trouble = CHANNEL_SHUT_OUT;
        seconds(self, 6);
        expect_end(self, STATUS_REFUSED, "has banned this key");
        victim_end(self);
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(hello_is_said_once_when_the_connection_stands),
        SUITE_TEST(outage_leaves_no_hellos_behind),
        SUITE_TEST(coordinator_that_hangs_hears_few_hellos),
        SUITE_TEST(full_run_is_told_when_the_wait_ends),
        SUITE_TEST(front_without_a_coordinator_does_not_end_who_joined),
        SUITE_TEST(wrong_key_ends_who_never_joined_after_the_wait),
        SUITE_TEST(banned_key_ends_the_peer),
    };
    log_set_level(LOG_ERROR);
    return suite_run("daemon_connection", tests, sizeof tests / sizeof tests[0]);
}
