/* What a running server makes of peers that take places and work, and use neither. */
#include "tests/unit/conduct_fixture.h"

enum { SIGNS = 8, SIGNS_MS = 600 };

/* A turn in which some say that they live, and nothing else. */
static void turn_with_mutes(struct scene *s, const bool *muted)
{
    s->now_ms += TURN_MS;
    for (int i = 0; i < MATES; i++) {
        if (!muted[i]) {
            live(s, i);
            continue;
        }
        letters_clear(&fake.to_peer[i]);
        if (s->now_ms - s->mates[i].alive_ms >= ALIVE_MS && fake.connections[i] != 0) {
            s->message.type = WIRE_ALIVE;
            tell(s, i);
        }
    }
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &s->over), STATUS_OK);
}

/* The abuser offers, and says from its first grant on that it lives and nothing else. */
static void go_mute_when_granted(struct scene *s, bool *muted)
{
    muted[ABUSER] = false;
    while (!is_here(s, ABUSER) || session_of_mate(s, ABUSER)->receiver == NULL) {
        CU_ASSERT_TRUE_FATAL(s->now_ms < 50000 + PATIENCE_MS);
        turn_with_mutes(s, muted);
    }
    muted[ABUSER] = true;
}

/* Its TCP counts these, and what its signs of life are on the line. At most 14 s. */
static uint64_t ms_until_cut(struct scene *s, const bool *muted, uint64_t bytes_per_turn)
{
    uint32_t cuts = fake.cuts[ABUSER];
    uint64_t offered_ms = s->now_ms;
    while (fake.cuts[ABUSER] == cuts && s->now_ms - offered_ms < 14000) {
        bool speaks = s->now_ms - offered_ms == SIGNS_MS;
        for (int i = 0; speaks && i < SIGNS; i++) {
            s->message.type = WIRE_ALIVE;
            tell(s, ABUSER);
        }
        turn_with_mutes(s, muted);
        fake.received_bytes[ABUSER] += bytes_per_turn + (speaks ? UINT64_C(91) * SIGNS : 0);
    }
    return s->now_ms - offered_ms;
}

/* The first time it may have been its line: what it holds waits for it to come back. */
static void upload_of_which_no_byte_comes_is_cut_within_a_second(void)
{
    static struct scene s;
    bool muted[MATES] = {false};
    begin(&s);
    fake.received_bytes[ABUSER] = 1000;
    go_mute_when_granted(&s, muted);
    uint64_t ms = ms_until_cut(&s, muted, 0);
    CU_ASSERT_TRUE(ms >= 800 && ms <= 950);
    CU_ASSERT_TRUE(is_here(&s, ABUSER));
    CU_ASSERT_EQUAL(s.server->uploads_running, 0);
    CU_ASSERT_FALSE(
        conduct_is_out(s.server->conduct->conduct, fake.identities[ABUSER].curve_public, s.now_ms));
    break_mate(&s, ABUSER); /* and goes on with what it offered */
    run_to(&s, step_of(&s) + 1);
    CU_ASSERT_TRUE(is_here(&s, ABUSER));
    muted[ABUSER] = false;
    while (s.mates[ABUSER].offered) {
        turn(&s);
    }
    go_mute_when_granted(&s, muted); /* something of it was counted since */
    ms = ms_until_cut(&s, muted, 0);
    CU_ASSERT_TRUE(ms >= 800 && ms < 1000);
    CU_ASSERT_TRUE(is_here(&s, ABUSER));
    for (int i = 0; i < 4; i++) { /* nothing was: an offence each time, and it is out for a while */
        CU_ASSERT_FALSE_FATAL(conduct_is_out(s.server->conduct->conduct,
                                             fake.identities[ABUSER].curve_public, s.now_ms));
        break_mate(&s, ABUSER);
        go_mute_when_granted(&s, muted);
        CU_ASSERT_TRUE(ms_until_cut(&s, muted, 0) < 1000);
        CU_ASSERT_EQUAL(is_here(&s, ABUSER), i < 3);
    }
    CU_ASSERT_TRUE(
        conduct_is_out(s.server->conduct->conduct, fake.identities[ABUSER].curve_public, s.now_ms));
    s.mates[ABUSER].here = false;
    expect_cut(&s);
    expect_recorded(&s, "dead_line");
    end_scene(&s);
}

/* A chunk may be on its way on a slow line, though no message is whole: ten seconds of it. */
static void upload_that_comes_slowly_is_waited_for(void)
{
    static struct scene s;
    bool muted[MATES] = {false};
    begin(&s);
    fake.received_bytes[ABUSER] = 1000;
    go_mute_when_granted(&s, muted);
    CU_ASSERT_TRUE(ms_until_cut(&s, muted, 200) > 9000);
    s.mates[ABUSER].here = false;
    expect_cut(&s);
    end_scene(&s);
}

/* The grant is stuck on a line that carries nothing down: the peer cannot know of it. */
static void upload_whose_grant_is_not_delivered_is_no_offence(void)
{
    static struct scene s;
    bool muted[MATES] = {false};
    begin(&s);
    fake.received_bytes[ABUSER] = 1000;
    fake.delivered_bytes[ABUSER] = 500;
    go_mute_when_granted(&s, muted);
    CU_ASSERT_TRUE(ms_until_cut(&s, muted, 200) > 9000);
    CU_ASSERT_TRUE(is_here(&s, ABUSER)); /* it may come back to what it holds */
    CU_ASSERT_FALSE(
        conduct_is_out(s.server->conduct->conduct, fake.identities[ABUSER].curve_public, s.now_ms));
    break_mate(&s, ABUSER);
    run_to(&s, step_of(&s) + 1);
    CU_ASSERT_TRUE(is_here(&s, ABUSER));
    end_scene(&s);
}

/* One place, and the first two that get it send nothing: the others have their turn, and who owes
 * chunks for ten seconds is cut. */
static void place_to_upload_goes_on_when_nothing_comes(void)
{
    static struct scene s;
    bool muted[MATES] = {false};
    uint64_t offered_ms = 0;
    uint64_t counted_ms = 0;
    begin(&s);
    s.server->uploads_max = 1;
    while (s.mates[0].offered || s.mates[1].offered) { /* of the step before */
        turn(&s);
    }
    while (!muted[0] || !muted[1]) {
        CU_ASSERT_TRUE_FATAL(s.now_ms < 50000 + PATIENCE_MS);
        turn_with_mutes(&s, muted);
        muted[0] = s.mates[0].offered;
        muted[1] = s.mates[1].offered;
    }
    uint64_t step = step_of(&s);
    offered_ms = s.now_ms;
    while (is_here(&s, 0) || is_here(&s, 1)) {
        CU_ASSERT_TRUE_FATAL(s.now_ms - offered_ms < 14000);
        turn_with_mutes(&s, muted);
        bool waits = false;
        for (int i = 2; i < MATES; i++) {
            waits = waits || s.mates[i].offered || s.mates[i].lease_count > 0;
        }
        counted_ms = !waits && counted_ms == 0 ? s.now_ms : counted_ms;
    }
    CU_ASSERT_TRUE(counted_ms > 0 && counted_ms - offered_ms < 4000);
    CU_ASSERT_TRUE(s.now_ms - offered_ms > 9000);
    CU_ASSERT_TRUE(fake.cuts[0] > 0 && fake.cuts[1] > 0);
    CU_ASSERT_TRUE(s.server->uploads_running <= 1);
    s.mates[0].here = false;
    s.mates[1].here = false;
    CU_ASSERT_EQUAL(step_of(&s), step); /* their samples were missing */
    run_to(&s, step + 1);
    CU_ASSERT_EQUAL(s.server->uploads_kept, 0);
    end_scene(&s);
}

/* Takes work, vanishes with it and comes back as if it were new. */
static void who_wastes_work_gets_none_for_a_while(void)
{
    static struct scene s;
    begin(&s);
    for (int i = 0; i < CONDUCT_WASTED_MAX; i++) {
        for (int j = 0; j < 1000 && s.mates[ABUSER].lease_count == 0; j++) {
            turn(&s);
        }
        CU_ASSERT_TRUE_FATAL(s.mates[ABUSER].lease_count > 0);
        kill_mate(&s, ABUSER, 1);
        turn(&s);
        turn(&s);
    }
    const struct conduct *conduct = s.server->conduct->conduct;
    const uint8_t *key = fake.identities[ABUSER].curve_public;
    CU_ASSERT_TRUE(conduct_rests(conduct, key, s.now_ms + CONDUCT_REST_MS_MIN - 1000));
    CU_ASSERT_FALSE(conduct_rests(conduct, key, s.now_ms + CONDUCT_REST_MS_MIN));
    uint64_t blobs = s.mates[ABUSER].blobs;
    run_to(&s, step_of(&s) + 5);
    CU_ASSERT_EQUAL(s.mates[ABUSER].lease_count, 0);
    CU_ASSERT_EQUAL(s.mates[ABUSER].blobs, blobs);
    conduct_count(s.server->conduct->conduct, key, s.now_ms); /* as when its time is over */
    run_to(&s, step_of(&s) + 3);
    CU_ASSERT_TRUE(s.mates[ABUSER].blobs > blobs);
    CU_ASSERT_EQUAL(fake.cuts[ABUSER], 0);
    end_scene(&s);
}

/* What the mate handed in for this step; FATAL: nothing. */
static struct kept *kept_for(struct mate *mate, uint64_t step)
{
    struct kept *found = NULL;
    for (int k = 0; k < KEPT_MAX; k++) {
        struct kept *kept = &mate->kept[k];
        found = kept->blob_id != 0 && kept->offer.step == step ? kept : found;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

/* Offers it, and is told at once. */
static bool is_accepted(struct scene *s, int i, const struct wire_contribution *offer)
{
    bool told = false;
    bool accepted = false;
    s->message.type = WIRE_CONTRIBUTION;
    s->message.as.contribution = *offer;
    tell(s, i);
    CU_ASSERT_EQUAL_FATAL(server_turn(s->server, s->now_ms, &s->over), STATUS_OK);
    for (struct letter *letter; (letter = letters_take(&fake.to_peer[i])) != NULL; free(letter)) {
        hear(s, i, letter);
        if (s->message.type == WIRE_VERDICT && s->message.as.verdict.blob_id == offer->blob.id) {
            told = true;
            accepted = s->message.as.verdict.accepted;
        }
    }
    CU_ASSERT_TRUE(told);
    return accepted;
}

/* Its connection broke: its contribution was counted, and its step is over by the time that it asks
 * again. */
static void answer_that_was_lost_is_given_once_more(void)
{
    static struct scene s;
    begin(&s);
    struct wire_contribution offer = kept_for(&s.mates[ABUSER], 0)->offer;
    const uint64_t refused = s.server->status.refused_contributions;
    CU_ASSERT_EQUAL(step_of(&s), 1);
    CU_ASSERT_FALSE(is_accepted(&s, ABUSER, &offer)); /* as if it were new */
    CU_ASSERT_EQUAL(s.server->status.refused_contributions, refused + 1);
    offer.again = true;
    CU_ASSERT_TRUE(is_accepted(&s, ABUSER, &offer));
    CU_ASSERT_TRUE(is_accepted(&s, ABUSER, &offer));
    CU_ASSERT_EQUAL(s.server->status.refused_contributions, refused + 1);
    run_to(&s, 2);
    const struct wire_contribution next = kept_for(&s.mates[ABUSER], 1)->offer;
    CU_ASSERT_FALSE(is_accepted(&s, ABUSER, &offer)); /* of the step before the last */
    CU_ASSERT_EQUAL(s.server->status.refused_contributions, refused + 2);
    offer = next;
    offer.again = true;
    CU_ASSERT_TRUE(is_accepted(&s, ABUSER, &offer));
    run_to(&s, 4);
    CU_ASSERT_EQUAL(s.server->status.refused_contributions, refused + 2);
    expect_fine(&s);
    end_scene(&s);
}

/* It holds a contribution of the key that says so, with the same ranges. */
static void only_the_very_same_was_counted(void)
{
    struct contributions counted = {0};
    const struct sample_range ranges[] = {{4, 2}, {8, 1}};
    const struct sample_range others[] = {{4, 2}, {8, 2}};
    struct journal_contribution item = {.key = {7}, .ranges = ranges, .range_count = 2};
    const uint8_t stranger[IDENTITY_KEY_BYTES] = {7, 1};
    CU_ASSERT_FALSE(contributions_have(&counted, item.key, ranges, 2));
    CU_ASSERT_EQUAL_FATAL(contributions_add(&counted, &item), STATUS_OK);
    CU_ASSERT_TRUE(contributions_have(&counted, item.key, ranges, 2));
    CU_ASSERT_FALSE(contributions_have(&counted, item.key, ranges, 1));
    CU_ASSERT_FALSE(contributions_have(&counted, item.key, others, 2));
    CU_ASSERT_FALSE(contributions_have(&counted, stranger, ranges, 2));
    contributions_clear(&counted);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(upload_of_which_no_byte_comes_is_cut_within_a_second),
        SUITE_TEST(upload_that_comes_slowly_is_waited_for),
        SUITE_TEST(upload_whose_grant_is_not_delivered_is_no_offence),
        SUITE_TEST(place_to_upload_goes_on_when_nothing_comes),
        SUITE_TEST(who_wastes_work_gets_none_for_a_while),
        SUITE_TEST(answer_that_was_lost_is_given_once_more),
        SUITE_TEST(only_the_very_same_was_counted),
    };
    return suite_run("server_uploads", tests, sizeof tests / sizeof tests[0]);
}
