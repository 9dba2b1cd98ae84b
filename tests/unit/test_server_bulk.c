/* A session's connection at the port for chunks: who gets one, what goes over it, how it ends. */
#include "tests/unit/conduct_fixture.h"

enum { STRANGER = MATES, CUT_MS_MAX = 8000, SIGN_MS = 1500 };

static void server_hears(struct scene *s)
{
    s->now_ms += TURN_MS;
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &s->over), STATUS_OK);
}

/* Says s->message at the port for chunks. */
static void say_there(struct scene *s, int i)
{
    size_t head_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(wire_encode(&s->message, s->head, sizeof s->head, &head_bytes),
                          STATUS_OK);
    letters_put(&fake.to_server, fake.identities[i].curve_public, s->head, head_bytes, NULL, 0);
    letters_put_bulk(&fake.to_server, fake.bulk[i]);
    server_hears(s);
}

static void say_alive_there(struct scene *s, int i)
{
    s->message.type = WIRE_ALIVE;
    say_there(s, i);
}

/* Its session has a connection for chunks. */
static uint64_t attach(struct scene *s, int i)
{
    fake_connect_bulk(i);
    say_alive_there(s, i);
    CU_ASSERT_EQUAL(session_of_mate(s, i)->bulk, fake.bulk[i]);
    return fake.bulk[i];
}

static void turn_with_signs(struct scene *s, int i)
{
    turn(s);
    const struct session *session = session_of_mate(s, i);
    if (session != NULL && s->now_ms - session->bulk_ms >= SIGN_MS) {
        say_alive_there(s, i);
    }
}

/* What the peer was sent since the last look; s->message is the latest message of `type`. */
struct heard {
    uint32_t here;        /* messages of the type over its first connection */
    uint32_t there;       /* and at the port for chunks */
    uint32_t chunks_here; /* chunks, likewise */
    uint32_t chunks_there;
};

static struct heard hear_all(struct scene *s, int i, enum wire_type type)
{
    static struct wire_message message;
    struct heard heard = {.here = 0};
    for (struct letter *letter; (letter = letters_take(&fake.to_peer[i])) != NULL; free(letter)) {
        bool chunk = wire_is_chunk(letter->data, letter->head_bytes);
        heard.chunks_here += chunk && !letter->bulk ? 1 : 0;
        heard.chunks_there += chunk && letter->bulk ? 1 : 0;
        if (chunk || wire_decode(letter->data, letter->head_bytes, &message) != STATUS_OK ||
            message.type != type) {
            continue;
        }
        s->message = message;
        heard.here += letter->bulk ? 0 : 1;
        heard.there += letter->bulk ? 1 : 0;
    }
    return heard;
}

/* Asks for the latest update. */
static void ask_for_update(struct scene *s, int i)
{
    const struct wire_committed *latest = publisher_committed(s->server->publisher, step_of(s) - 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(latest);
    (void)hear_all(s, i, WIRE_GRANT);
    s->message.type = WIRE_GRANT;
    s->message.as.grant = (struct wire_grant){
        .kind = BLOB_UPDATE, .id = latest->update.id, .first_chunk = 0, .chunk_count = 2};
    tell(s, i);
    server_hears(s);
}

static void words_of_a_key_without_a_session_cut(void)
{
    static struct scene s;
    begin(&s);
    fake.identities[STRANGER].curve_public[0] = 9;
    fake_connect_bulk(STRANGER);
    say_alive_there(&s, STRANGER);
    CU_ASSERT_EQUAL(fake.bulk_cuts[STRANGER], 1);
    CU_ASSERT_PTR_NULL(fake.to_peer[STRANGER].first);
    end_scene(&s);
}

static void words_of_a_session_let_its_connection_in(void)
{
    static struct scene s;
    begin(&s);
    (void)hear_all(&s, ABUSER, WIRE_ALIVE);
    uint64_t connection = attach(&s, ABUSER);
    CU_ASSERT_EQUAL(fake.admitted, connection);
    struct heard heard = hear_all(&s, ABUSER, WIRE_ALIVE);
    CU_ASSERT_EQUAL(heard.there, 1);
    CU_ASSERT_EQUAL(heard.here, 0);
    say_alive_there(&s, ABUSER); /* is answered again */
    CU_ASSERT_EQUAL(hear_all(&s, ABUSER, WIRE_ALIVE).there, 1);
    CU_ASSERT_EQUAL(fake.bulk_cuts[ABUSER], 0);
    expect_fine(&s);
    end_scene(&s);
}

static void chunks_go_over_it_as_long_as_it_stands(void)
{
    static struct scene s;
    begin(&s);
    ask_for_update(&s, ABUSER);
    struct heard heard = hear_all(&s, ABUSER, WIRE_ALIVE);
    CU_ASSERT_TRUE(heard.chunks_here == 2 && heard.chunks_there == 0);
    (void)attach(&s, ABUSER);
    ask_for_update(&s, ABUSER);
    heard = hear_all(&s, ABUSER, WIRE_ALIVE);
    CU_ASSERT_TRUE(heard.chunks_here == 0 && heard.chunks_there == 2);
    fake.bulk[ABUSER] = 0; /* it breaks by itself */
    ask_for_update(&s, ABUSER);
    heard = hear_all(&s, ABUSER, WIRE_ALIVE);
    CU_ASSERT_TRUE(heard.chunks_here == 2 && heard.chunks_there == 0);
    expect_fine(&s);
    end_scene(&s);
}

/* Both in the same step: what is on its way when a connection is let in still counts. */
static void contributions_that_come_over_it_are_counted(void)
{
    static struct scene s;
    begin(&s);
    for (int i = 0; i < MATES; i++) {
        (void)attach(&s, i);
        s.mates[i].apart_port = i != 0;
    }
    uint64_t step = step_of(&s);
    while (step_of(&s) < step + 2) {
        for (int i = 0; i < MATES; i++) {
            turn_with_signs(&s, i);
        }
        CU_ASSERT_TRUE_FATAL(s.now_ms < 50000 + PATIENCE_MS);
    }
    for (int i = 0; i < MATES; i++) {
        CU_ASSERT_TRUE(is_here(&s, i) && fake.cuts[i] == 0 && fake.bulk_cuts[i] == 0);
    }
    end_scene(&s);
}

static void another_connection_takes_its_place(void)
{
    static struct scene s;
    begin(&s);
    uint64_t first = attach(&s, ABUSER);
    uint64_t second = attach(&s, ABUSER);
    CU_ASSERT_EQUAL(fake.cut, first);
    ask_for_update(&s, ABUSER);
    CU_ASSERT_EQUAL(hear_all(&s, ABUSER, WIRE_ALIVE).chunks_there, 2);
    CU_ASSERT_EQUAL(session_of_mate(&s, ABUSER)->bulk, second);
    end_scene(&s);
}

/* Chunks that it lost are granted again at once, and not after the time of a retry. */
static void upload_goes_on_over_what_is_left(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, ABUSER);
    fake.received_bytes[ABUSER] = 1000;
    fake.bulk_received_bytes[ABUSER] = 1000;
    while (session_of_mate(&s, ABUSER)->receiver == NULL) {
        turn_with_signs(&s, ABUSER);
    }
    CU_ASSERT_TRUE(hear_all(&s, ABUSER, WIRE_GRANT).here > 0); /* and sends nothing */
    (void)attach(&s, ABUSER);
    CU_ASSERT_TRUE(hear_all(&s, ABUSER, WIRE_GRANT).here > 0);
    say_alive_there(&s, ABUSER);
    CU_ASSERT_EQUAL(hear_all(&s, ABUSER, WIRE_GRANT).here, 0);
    end_scene(&s);
}

/* That it broke is found by a chunk that it does not take: the same goes for what was on its way to
 * here, which the peer perhaps sends to where nobody hears it until it has another one. */
static void upload_goes_on_when_a_send_finds_it_broken(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, ABUSER);
    fake.received_bytes[ABUSER] = 1000;
    fake.bulk_received_bytes[ABUSER] = 1000;
    while (session_of_mate(&s, ABUSER)->receiver == NULL) {
        turn_with_signs(&s, ABUSER);
    }
    CU_ASSERT_TRUE(hear_all(&s, ABUSER, WIRE_GRANT).here > 0); /* and sends nothing */
    fake.bulk[ABUSER] = 0;
    ask_for_update(&s, ABUSER);
    struct heard heard = hear_all(&s, ABUSER, WIRE_GRANT);
    CU_ASSERT_TRUE(heard.chunks_here == 2 && heard.here > 0);
    (void)attach(&s, ABUSER);
    CU_ASSERT_TRUE(hear_all(&s, ABUSER, WIRE_GRANT).here > 0);
    say_alive_there(&s, ABUSER);
    CU_ASSERT_EQUAL(hear_all(&s, ABUSER, WIRE_GRANT).here, 0);
    expect_fine(&s);
    end_scene(&s);
}

/* A large chunk on a slow line: no message is whole for long, and bytes come all the time. */
static void slow_connection_is_kept(void)
{
    static struct scene s;
    begin(&s);
    uint64_t connection = attach(&s, ABUSER);
    uint64_t began_ms = s.now_ms;
    while (s.now_ms - began_ms < CUT_MS_MAX) {
        fake.bulk_received_bytes[ABUSER] += 100;
        turn(&s);
    }
    CU_ASSERT_EQUAL(fake.bulk_cuts[ABUSER], 0);
    expect_fine(&s);
    CU_ASSERT_EQUAL(session_of_mate(&s, ABUSER)->bulk, connection);
    end_scene(&s);
}

static void silent_connection_is_given_up(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, ABUSER);
    uint64_t began_ms = s.now_ms;
    while (fake.bulk_cuts[ABUSER] == 0) {
        CU_ASSERT_TRUE_FATAL(s.now_ms - began_ms < CUT_MS_MAX);
        turn(&s);
    }
    CU_ASSERT_TRUE(s.now_ms - began_ms > 5000);
    CU_ASSERT_EQUAL(session_of_mate(&s, ABUSER)->bulk, 0);
    expect_fine(&s);
    end_scene(&s);
}

static void end_of_the_session_ends_it(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, 0);
    s.message.type = WIRE_LEAVE;
    tell(&s, 0);
    server_hears(&s);
    CU_ASSERT_FALSE(is_here(&s, 0));
    CU_ASSERT_EQUAL(fake.bulk_cuts[0], 1);
    (void)attach(&s, 1);
    while (s.mates[1].version != step_of(&s)) {
        turn(&s);
    }
    const struct session *session = session_of_mate(&s, 1);
    uint64_t said_bytes = session->said_bytes;
    break_mate(&s, 1); /* the session goes on, over another connection */
    server_hears(&s);
    CU_ASSERT_TRUE(session == session_of_mate(&s, 1) && session->said_bytes >= said_bytes);
    CU_ASSERT_EQUAL(fake.bulk_cuts[1], 1);
    CU_ASSERT_TRUE(is_here(&s, 1));
    CU_ASSERT_EQUAL(session_of_mate(&s, 1)->bulk, 0);
    (void)attach(&s, 2);
    s.mates[2].here = false; /* says nothing any more, but there */
    uint64_t began_ms = s.now_ms;
    while (is_here(&s, 2)) {
        CU_ASSERT_TRUE_FATAL(s.now_ms - began_ms < CUT_MS_MAX);
        turn_with_signs(&s, 2);
    }
    CU_ASSERT_EQUAL(fake.bulk_cuts[2], 1);
    end_scene(&s);
}

static void who_says_something_else_there_loses_both(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, ABUSER);
    s.message.type = WIRE_READY;
    s.message.as.ready.version = s.mates[ABUSER].version;
    say_there(&s, ABUSER);
    CU_ASSERT_EQUAL(fake.connections[ABUSER], 0);
    CU_ASSERT_EQUAL(fake.bulk[ABUSER], 0);
    s.mates[ABUSER].here = false;
    expect_cut(&s);
    expect_recorded(&s, "forbidden");
    end_scene(&s);
}

static void chunk_before_the_first_words_cuts(void)
{
    static struct scene s;
    static uint8_t body[100];
    begin(&s);
    fake_connect_bulk(ABUSER);
    send_chunk(
        &s, ABUSER,
        (struct blob_chunk_header){.kind = BLOB_CONTRIBUTION, .id = 1, .size_bytes = sizeof body},
        body);
    letters_put_bulk(&fake.to_server, fake.bulk[ABUSER]);
    server_hears(&s);
    CU_ASSERT_EQUAL(fake.bulk_cuts[ABUSER], 1);
    expect_fine(&s);
    end_scene(&s);
}

/* The session's other connection is not touched by one that says what is no message. */
static void no_message_there_cuts_it(void)
{
    static struct scene s;
    begin(&s);
    (void)attach(&s, ABUSER);
    letters_put(&fake.to_server, fake.identities[ABUSER].curve_public, (const uint8_t *)"?", 1,
                NULL, 0);
    letters_put_bulk(&fake.to_server, fake.bulk[ABUSER]);
    server_hears(&s);
    CU_ASSERT_EQUAL(fake.bulk_cuts[ABUSER], 1);
    expect_fine(&s);
    end_scene(&s);
}

int main(void)
{
    const struct suite_test tests[] = {
        SUITE_TEST(words_of_a_key_without_a_session_cut),
        SUITE_TEST(words_of_a_session_let_its_connection_in),
        SUITE_TEST(chunks_go_over_it_as_long_as_it_stands),
        SUITE_TEST(contributions_that_come_over_it_are_counted),
        SUITE_TEST(another_connection_takes_its_place),
        SUITE_TEST(upload_goes_on_over_what_is_left),
        SUITE_TEST(upload_goes_on_when_a_send_finds_it_broken),
        SUITE_TEST(slow_connection_is_kept),
        SUITE_TEST(silent_connection_is_given_up),
        SUITE_TEST(end_of_the_session_ends_it),
        SUITE_TEST(who_says_something_else_there_loses_both),
        SUITE_TEST(chunk_before_the_first_words_cuts),
        SUITE_TEST(no_message_there_cuts_it),
    };
    return suite_run("server_bulk", tests, sizeof tests / sizeof tests[0]);
}
