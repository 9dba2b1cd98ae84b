/* test_owner_guests - what an owner's port remembers of a guest that comes again and again. */
#include "common/log.h"
#include "peer/daemon/owner_state.h"
#include "tests/unit/owner_fixture.h"
#include "tests/unit/suite.h"

static struct fixture fixture;

static struct guest *only_guest(struct fixture *self)
{
    CU_ASSERT_EQUAL_FATAL(self->owner->guests.end, 1);
    return &self->owner->guests.items[0];
}

/* Anna's contribution is here, all of it. */
static struct channel_client *deliver_all(struct fixture *self, const struct ticket *ticket)
{
    struct channel_client *anna = dial(self, &self->anna);
    show(self, anna, ticket, 1);
    deliver(self, anna, 1);
    turns_for(self, QUIET_MS);
    CU_ASSERT_EQUAL(only_guest(self)->deliveries[0].came, CHUNKS);
    return anna;
}

static void ticket_shown_again_forgives_nothing(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct ticket older = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct ticket newer = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 12);
    struct channel_client *anna = deliver_all(self, &older);
    only_guest(self)->unasked_bytes = 1000;
    show(self, anna, &older, 1);
    show(self, anna, &older, 2); /* by another name */
    turns_for(self, QUIET_MS);
    CU_ASSERT_EQUAL(only_guest(self)->unasked_bytes, 1000);
    show(self, anna, &newer, 3);
    turns_for(self, QUIET_MS);
    CU_ASSERT_EQUAL(only_guest(self)->unasked_bytes, 0);
    only_guest(self)->unasked_bytes = 1000;
    show(self, anna, &older, 1);
    show(self, anna, &newer, 3);
    turns_for(self, QUIET_MS);
    CU_ASSERT_EQUAL(only_guest(self)->unasked_bytes, 1000);
    channel_client_free(anna);
    end(self);
}

static void chunks_repeated_under_one_ticket_bar_their_sender(void)
{
    enum { REPEATS = 20 };
    struct fixture *self = &fixture;
    size_t size_bytes = 0;
    begin(self);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct channel_client *anna = deliver_all(self, &ticket);
    (void)contribution_chunk(&self->contribution, VALUES, FIRST, &size_bytes);
    only_guest(self)->unasked_bytes = GUEST_UNASKED_BYTES_MAX - REPEATS * size_bytes;
    for (int i = 0; i < 2 * ALL + REPEATS; i++) { /* twice what there is may be nobody's fault */
        show(self, anna, &ticket, 1);
        send_part(self, anna, 1, FIRST);
        turn(self);
    }
    CU_ASSERT_TRUE(is_kept(self, anna));
    show(self, anna, &ticket, 1);
    send_part(self, anna, 1, FIRST);
    CU_ASSERT_TRUE(is_barred(self, anna, &self->anna));
    channel_client_free(anna);
    end(self);
}

static void guest_that_was_sent_away_is_remembered(void)
{
    struct fixture *self = &fixture;
    begin(self);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct channel_client *anna = deliver_all(self, &ticket);
    only_guest(self)->unasked_bytes = 1000;
    only_guest(self)->wrong_count = 3;
    CU_ASSERT_EQUAL(channel_client_send(anna, (const uint8_t *)"?", 1, NULL, 0), STATUS_OK);
    CU_ASSERT_TRUE(is_cut(self, anna));
    CU_ASSERT_EQUAL(only_guest(self)->delivery_count, 0);
    channel_client_drop(anna);
    anna = dial(self, &self->anna);
    show(self, anna, &ticket, 1);
    turns_for(self, QUIET_MS);
    CU_ASSERT_EQUAL(only_guest(self)->delivery_count, 1);
    CU_ASSERT_EQUAL(only_guest(self)->unasked_bytes, 1000);
    CU_ASSERT_EQUAL(only_guest(self)->wrong_count, 3);
    channel_client_free(anna);
    end(self);
}

/* A line that breaks after every chunk. */
static void guest_that_comes_back_for_each_chunk_has_done_no_wrong(void)
{
    struct fixture *self = &fixture;
    struct wire_holds holds = {.parts_held = 0};
    begin(self);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct channel_client *anna = dial(self, &self->anna);
        show(self, anna, &ticket, 1);
        CU_ASSERT_TRUE(hears_type(self, anna, WIRE_GRANT));
        CU_ASSERT_EQUAL(self->message.as.grant.first_chunk, FIRST + i);
        send_part(self, anna, 1, FIRST + i);
        turns_for(self, QUIET_MS);
        channel_client_drop(anna);
    }
    CU_ASSERT_TRUE(reports(self, &holds));
    CU_ASSERT_EQUAL(holds.parts_held, CHUNKS);
    CU_ASSERT_EQUAL(only_guest(self)->unasked_bytes, 0);
    CU_ASSERT_EQUAL(only_guest(self)->repeated_count, 0);
    end(self);
}

/* As far as it keeps this peer from asking for anything for a few seconds, not for ever. */
static void repeated_chunks_count_against_the_cap(void)
{
    enum { CAP = 100000 };
    struct fixture *self = &fixture;
    begin(self);
    struct ticket ticket = ticket_for(self, &self->anna, TICKET_CONTRIBUTION, 11);
    struct channel_client *anna = deliver_all(self, &ticket);
    pace_init(&self->pace, 0, CAP, clock_now_ms());
    CU_ASSERT_EQUAL(token_bucket_wait_ms(&self->pace.down, clock_now_ms()), 0);
    send_part(self, anna, 1, FIRST);
    turns_for(self, QUIET_MS / 5);
    uint64_t wait_ms = token_bucket_wait_ms(&self->pace.down, clock_now_ms());
    CU_ASSERT_TRUE(wait_ms > 0);
    for (int i = 0; i < 30; i++) {
        send_part(self, anna, 1, FIRST);
        turn(self);
    }
    turns_for(self, QUIET_MS);
    wait_ms = token_bucket_wait_ms(&self->pace.down, clock_now_ms());
    CU_ASSERT_TRUE(wait_ms > 1000 && wait_ms <= PACE_OTHERS_MS_MAX + 1);
    channel_client_free(anna);
    end(self);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(ticket_shown_again_forgives_nothing),
        SUITE_TEST(chunks_repeated_under_one_ticket_bar_their_sender),
        SUITE_TEST(guest_that_was_sent_away_is_remembered),
        SUITE_TEST(guest_that_comes_back_for_each_chunk_has_done_no_wrong),
        SUITE_TEST(repeated_chunks_count_against_the_cap),
    };
    log_set_level(LOG_ERROR);
    return suite_run("owner_guests", tests, sizeof tests / sizeof tests[0]);
}
