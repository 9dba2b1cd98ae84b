/* What a running server makes of peers that enrolled and turned hostile. */
#include "tests/unit/conduct_fixture.h"

#include <fcntl.h>
#include <unistd.h>

static void word_of_a_coordinator_is_cut_at_once(void)
{
    static struct scene s;
    begin(&s);
    s.message.type = WIRE_FINISHED;
    s.message.as.finished.step_count = 1;
    flood(&s, ABUSER, 1);
    expect_cut(&s);
    expect_recorded(&s, "forbidden");
    end_scene(&s);
}

/* Its own samples over the signature of another. */
static void contribution_that_it_did_not_sign_is_cut_at_once(void)
{
    static struct scene s;
    begin(&s);
    s.message.type = WIRE_CONTRIBUTION;
    struct wire_contribution *offer = &s.message.as.contribution;
    *offer = (struct wire_contribution){.step = step_of(&s),
                                        .range_count = 1,
                                        .ranges = {{0, 1}},
                                        .tokens = s.run.config.context,
                                        .codec = CODEC_FP32};
    offer->blob = (struct blob_ref){BLOB_CONTRIBUTION, 1, 100, 100, digest_of("x", 1)};
    attest_contribution_sign(&fake.identities[ABUSER - 1], &s.run.run_id, offer);
    while (s.mates[ABUSER].offered) { /* one at a time */
        const struct wire_message said = s.message;
        turn(&s);
        s.message = said;
    }
    flood(&s, ABUSER, 1);
    expect_cut(&s);
    expect_recorded(&s, "forbidden");
    expect_recorded(&s, "bad_contribution_signature");
    end_scene(&s);
}

static void what_is_no_message_is_cut_at_once(void)
{
    static const uint8_t garbage[] = {WIRE_CLAIM, 0xff, 0xff, 0xff};
    static struct scene s;
    begin(&s);
    letters_put(&fake.to_server, fake.identities[ABUSER].curve_public, garbage, sizeof garbage,
                NULL, 0);
    turn(&s);
    expect_cut(&s);
    end_scene(&s);
}

static void chunk_without_a_session_cuts_a_stranger_at_once(void)
{
    static struct scene s;
    static uint8_t body[1024];
    begin_scene(&s, "mx8", "strategy: parameter_server");
    fake_connect(ABUSER);
    send_chunk(&s, ABUSER,
               (struct blob_chunk_header){.kind = BLOB_CONTRIBUTION,
                                          .id = 1,
                                          .size_bytes = sizeof body,
                                          .hash = digest_of(body, sizeof body)},
               body);
    turn(&s);
    CU_ASSERT_EQUAL(fake.cuts[ABUSER], 1);
    end_scene(&s);
}

static void chunks_that_nobody_asked_for_are_bounded(void)
{
    static struct scene s;
    static uint8_t body[1 << 20];
    const struct blob_chunk_header header = {.kind = BLOB_CONTRIBUTION,
                                             .id = 77,
                                             .size_bytes = sizeof body,
                                             .hash = digest_of(body, sizeof body)};
    begin(&s);
    for (int i = 0; i < 30; i++) { /* as much as may be late by no fault of its own */
        send_chunk(&s, ABUSER, header, body);
        turn(&s);
    }
    expect_fine(&s);
    for (int i = 0; i < 4; i++) {
        send_chunk(&s, ABUSER, header, body);
    }
    turn(&s);
    expect_cut(&s);
    end_scene(&s);
}

/* A chunk of the contribution that the server fetches just now, with other bytes than its hash. */
static void chunks_of_wrong_bytes_are_cut_at_the_third(void)
{
    static struct scene s;
    static uint8_t body[1024];
    begin(&s);
    for (int sent = 0; sent < 3;) {
        CU_ASSERT_EQUAL(fake.cuts[ABUSER], 0);
        const struct session *session = session_of_mate(&s, ABUSER);
        CU_ASSERT_FATAL(session != NULL && s.now_ms < 50000 + PATIENCE_MS);
        if (s.mates[ABUSER].offered && session->receiver != NULL) {
            const struct wire_contribution *offer = session->offer;
            uint32_t size_bytes = blob_chunk_size(&offer->blob, s.chunk_count - 1);
            uint8_t *wrong = calloc(1, size_bytes);
            CU_ASSERT_PTR_NOT_NULL_FATAL(wrong);
            send_chunk(&s, ABUSER,
                       (struct blob_chunk_header){.kind = BLOB_CONTRIBUTION,
                                                  .id = offer->blob.id,
                                                  .index = s.chunk_count - 1,
                                                  .size_bytes = size_bytes,
                                                  .hash = digest_of(body, sizeof body)},
                       wrong);
            free(wrong);
            sent++;
            CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
        } else {
            turn(&s);
        }
    }
    expect_cut(&s);
    end_scene(&s);
}

static void requests_for_nothing_are_told_so_and_then_cut(void)
{
    static struct scene s;
    begin(&s);
    s.message.type = WIRE_GRANT;
    s.message.as.grant =
        (struct wire_grant){.kind = BLOB_UPDATE, .id = 1234567, .first_chunk = 0, .chunk_count = 1};
    const struct wire_message said = s.message;
    for (int i = 0; i < 32; i++) { /* as when an update is no longer kept: grants are under way */
        tell(&s, ABUSER);
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
    expect_fine(&s);
    for (int i = 0; i < 100; i++) {
        s.message = said;
        tell(&s, ABUSER);
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
    expect_cut(&s);
    end_scene(&s);
}

static void chunk_that_does_not_exist_is_cut_at_once(void)
{
    static struct scene s;
    begin(&s);
    s.message.type = WIRE_GRANT;
    s.message.as.grant = (struct wire_grant){
        .kind = BLOB_UPDATE, .id = step_of(&s), .first_chunk = s.chunk_count, .chunk_count = 1};
    flood(&s, ABUSER, 1);
    expect_cut(&s);
    end_scene(&s);
}

/* What the abuser's queue did not take yet, of a large blob. */
static void leave_unsent(struct scene *s, uint32_t chunk_count)
{
    const struct wire_grant grant = {
        .kind = BLOB_UPDATE, .id = 1234567, .first_chunk = 0, .chunk_count = chunk_count};
    struct session *session = session_of_mate(s, ABUSER);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session);
    CU_ASSERT_EQUAL(blob_senders_grant(&session->downloads, &grant, 2 * SERVER_PENDING_CHUNKS_MAX),
                    STATUS_OK);
}

static void ask_for_a_chunk(struct scene *s)
{
    s->message.type = WIRE_GRANT;
    s->message.as.grant = (struct wire_grant){
        .kind = BLOB_UPDATE, .id = step_of(s), .first_chunk = 0, .chunk_count = 1};
    flood(s, ABUSER, 1);
}

static void more_chunks_asked_for_than_any_window_has_are_cut(void)
{
    static struct scene s;
    begin(&s);
    leave_unsent(&s, SERVER_PENDING_CHUNKS_MAX - 1);
    ask_for_a_chunk(&s);
    expect_fine(&s);
    leave_unsent(&s, SERVER_PENDING_CHUNKS_MAX);
    ask_for_a_chunk(&s);
    expect_cut(&s);
    expect_recorded(&s, "forbidden");
    end_scene(&s);
}

static uint32_t count_answers(int i, enum wire_type type)
{
    uint32_t count = 0;
    for (const struct letter *letter = fake.to_peer[i].first; letter != NULL;
         letter = letter->next) {
        count += letter->head_bytes > 0 && letter->data[0] == (uint8_t)type ? 1 : 0;
    }
    return count;
}

/* Each is answered: so who says it all the time would have us do the same. */
static void storm_of_signs_of_life_is_not_answered_and_cut(void)
{
    static struct scene s;
    begin(&s);
    letters_clear(&fake.to_peer[ABUSER]);
    s.message.type = WIRE_ALIVE;
    for (int i = 0; i < 40; i++) {
        tell(&s, ABUSER);
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
    CU_ASSERT_EQUAL(count_answers(ABUSER, WIRE_ALIVE), 30);
    expect_fine(&s);
    flood(&s, ABUSER, 300);
    expect_cut(&s);
    end_scene(&s);
}

static void flood_of_one_kind_is_cut(enum wire_type type)
{
    static struct scene s;
    begin(&s);
    memset(&s.message, 0, sizeof s.message);
    s.message.type = type;
    if (type == WIRE_CLAIM) {
        s.message.as.claim.step = 1000000;
    }
    flood(&s, ABUSER, 400);
    expect_cut(&s);
    end_scene(&s);
}

static void flood_of_claims_is_cut(void)
{
    flood_of_one_kind_is_cut(WIRE_CLAIM);
}

static void flood_of_rates_is_cut(void)
{
    flood_of_one_kind_is_cut(WIRE_RATES);
}

static void flood_of_hellos_is_cut(void)
{
    static struct scene s;
    begin(&s);
    for (int i = 0; i < 200 && fake.cuts[ABUSER] == 0; i++) {
        say_hello(&s, ABUSER);
        CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
    }
    CU_ASSERT_TRUE(fake.cuts[ABUSER] > 0);
    expect_cut(&s);
    end_scene(&s);
}

static void progress_that_cannot_be_is_cut(void)
{
    static struct scene s;
    begin(&s);
    while (s.mates[ABUSER].lease_count == 0) {
        turn(&s);
    }
    const struct wire_lease lease = s.mates[ABUSER].leases[0];
    for (int i = 0; i < 10; i++) {
        s.message.type = i % 2 == 0 ? WIRE_PROGRESS : WIRE_YIELDED;
        if (i % 2 == 0) {
            s.message.as.progress = (struct wire_progress){
                .lease_id = lease.lease_id, .samples_done = (uint32_t)lease.samples.count + 1};
        } else {
            s.message.as.yielded = (struct wire_yielded){.lease_id = lease.lease_id,
                                                         .kept = (uint32_t)lease.samples.count + 1};
        }
        tell(&s, ABUSER);
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s.server, ++s.now_ms, &s.over), STATUS_OK);
    expect_cut(&s);
    end_scene(&s);
}

static void answers_to_probes_that_were_not_sent_are_cut(void)
{
    static struct scene s;
    begin(&s);
    s.message.type = WIRE_PROBE;
    s.message.as.probe = (struct wire_probe){.nonce = 5, .answer = true};
    flood(&s, ABUSER, 12);
    expect_cut(&s);
    end_scene(&s);
}

/* Comes back at once each time: out for longer and longer, then barred, then forgiven. */
static void key_that_is_cut_again_and_again_is_barred_for_an_hour(void)
{
    static struct scene s;
    uint32_t cuts = 0;
    begin(&s);
    while (!fake.barred[ABUSER]) {
        CU_ASSERT_FATAL(cuts < 100);
        for (uint64_t end_ms = s.now_ms + 130000; !is_here(&s, ABUSER) && s.now_ms < end_ms;) {
            s.now_ms += 500;
            say_hello(&s, ABUSER);
            CU_ASSERT_EQUAL_FATAL(server_turn(s.server, s.now_ms, &s.over), STATUS_OK);
            letters_clear(&fake.to_peer[ABUSER]);
        }
        CU_ASSERT_TRUE_FATAL(is_here(&s, ABUSER));
        s.message.type = WIRE_FINISHED;
        s.message.as.finished.step_count = 1;
        flood(&s, ABUSER, 1);
        CU_ASSERT_FALSE_FATAL(is_here(&s, ABUSER));
        cuts++;
    }
    CU_ASSERT_EQUAL(cuts, CONDUCT_CUTS_MAX);
    s.mates[ABUSER].here = false;
    s.now_ms += CONDUCT_CUTS_MS - 1000;
    turn(&s);
    CU_ASSERT_TRUE(fake.barred[ABUSER]);
    s.now_ms += 1000;
    turn(&s);
    turn(&s);
    CU_ASSERT_FALSE(fake.barred[ABUSER]);
    end_scene(&s);
}

static void get_barred(struct scene *s)
{
    for (int i = 0; i < CONDUCT_CUTS_MAX; i++) {
        CU_ASSERT_NOT_EQUAL(conduct_offend(s->server->conduct->conduct,
                                           fake.identities[ABUSER].curve_public, CONDUCT_FORBIDDEN,
                                           s->now_ms),
                            CONDUCT_FINE);
    }
    fake.barred[ABUSER] = true;
}

static void pardon_ends_no_ban_of_the_owners(void)
{
    static struct scene s;
    const uint8_t *key = fake.identities[ABUSER].public_key;
    begin_scene(&s, "mx8", "strategy: parameter_server");
    turn(&s);
    get_barred(&s);
    CU_ASSERT_EQUAL(members_ban(s.server->members, key, "", clock_unix_ms()), STATUS_OK);
    s.now_ms += CONDUCT_CUTS_MS;
    turn(&s);
    CU_ASSERT_FALSE(
        conduct_is_out(s.server->conduct->conduct, fake.identities[ABUSER].curve_public, s.now_ms));
    CU_ASSERT_TRUE(fake.barred[ABUSER]);
    end_scene(&s);
}

static void owner_forgives_whom_he_lets_in_again(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: parameter_server");
    turn(&s);
    get_barred(&s);
    server_conduct_forgive(s.server, fake.identities[ABUSER].public_key);
    CU_ASSERT_FALSE(
        conduct_is_out(s.server->conduct->conduct, fake.identities[ABUSER].curve_public, s.now_ms));
    start_mate(&s, ABUSER);
    turn(&s);
    CU_ASSERT_TRUE(is_here(&s, ABUSER));
    end_scene(&s);
}

static uint32_t count_lines(const char *path)
{
    size_t size_bytes = 0;
    uint8_t *text = scratch_read(path, &size_bytes);
    uint32_t lines = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        lines += text[i] == '\n' ? 1 : 0;
    }
    free(text);
    return lines;
}

/* A stranger that is refused all the time writes a few lines, not one for each time. */
static void refused_strangers_do_not_fill_the_log(void)
{
    static struct scene s;
    begin_scene(&s, "mx8", "strategy: parameter_server");
    turn(&s);
    (void)fflush(stderr);
    int kept = dup(STDERR_FILENO);
    int file = open(scratch_path("lines"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_FATAL(kept >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    uint64_t began_ms = s.now_ms;
    for (int i = 0; i < 2000; i++) {
        s.token[0] ^= 1;
        say_hello(&s, ABUSER);
        s.token[0] ^= 1;
        if (i % 100 == 0) {
            CU_ASSERT_EQUAL(server_turn(s.server, s.now_ms += 200, &s.over), STATUS_OK);
        }
    }
    (void)fflush(stderr);
    (void)dup2(kept, STDERR_FILENO);
    (void)close(kept);
    (void)close(file);
    uint32_t seconds = (uint32_t)((s.now_ms - began_ms) / 1000 + 1);
    uint32_t lines = count_lines("lines");
    CU_ASSERT_TRUE(lines >= 5);
    CU_ASSERT_TRUE(lines <= SERVER_LINES_MAX + seconds * (1000 / SERVER_LINE_MS + 1));
    letters_clear(&fake.to_peer[ABUSER]);
    end_scene(&s);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(word_of_a_coordinator_is_cut_at_once),
        SUITE_TEST(contribution_that_it_did_not_sign_is_cut_at_once),
        SUITE_TEST(what_is_no_message_is_cut_at_once),
        SUITE_TEST(chunk_without_a_session_cuts_a_stranger_at_once),
        SUITE_TEST(chunks_that_nobody_asked_for_are_bounded),
        SUITE_TEST(chunks_of_wrong_bytes_are_cut_at_the_third),
        SUITE_TEST(requests_for_nothing_are_told_so_and_then_cut),
        SUITE_TEST(chunk_that_does_not_exist_is_cut_at_once),
        SUITE_TEST(more_chunks_asked_for_than_any_window_has_are_cut),
        SUITE_TEST(storm_of_signs_of_life_is_not_answered_and_cut),
        SUITE_TEST(flood_of_claims_is_cut),
        SUITE_TEST(flood_of_rates_is_cut),
        SUITE_TEST(flood_of_hellos_is_cut),
        SUITE_TEST(progress_that_cannot_be_is_cut),
        SUITE_TEST(answers_to_probes_that_were_not_sent_are_cut),
        SUITE_TEST(key_that_is_cut_again_and_again_is_barred_for_an_hour),
        SUITE_TEST(pardon_ends_no_ban_of_the_owners),
        SUITE_TEST(owner_forgives_whom_he_lets_in_again),
        SUITE_TEST(refused_strangers_do_not_fill_the_log),
    };
    return suite_run("server_conduct", tests, sizeof tests / sizeof tests[0]);
}
