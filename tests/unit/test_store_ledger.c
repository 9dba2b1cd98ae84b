#include "tests/unit/store_fixture.h"

#include <unistd.h>

static const uint8_t first_key[IDENTITY_KEY_BYTES] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* The ledger of a store that is closed holds exactly these steps of 8 samples of 16 tokens. */
static void assert_ledger(const struct store_fixture *f, uint64_t steps)
{
    struct ledger *ledger = NULL;
    struct ledger_totals totals = {0};
    uint64_t credit = 0;
    CU_ASSERT_EQUAL_FATAL(ledger_open_to_read(f->run.path, &ledger), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_totals(ledger, &totals), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_credit(ledger, first_key, &credit), STATUS_OK);
    CU_ASSERT_EQUAL(totals.steps, steps);
    CU_ASSERT_EQUAL(totals.samples, steps * 8);
    CU_ASSERT_EQUAL(totals.tokens, steps * 128);
    CU_ASSERT_EQUAL(totals.credit_tokens, steps * 128);
    CU_ASSERT_EQUAL(totals.peers, 2);
    CU_ASSERT_EQUAL(credit, steps * 64);
    ledger_close(ledger);
}

static void copy_file(const char *from, const char *to)
{
    size_t size_bytes = 0;
    uint8_t *data = scratch_read(from, &size_bytes);
    scratch_write(to, data, size_bytes);
    free(data);
}

static void ledger_follows_every_commit(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    for (int i = 0; i < 4; i++) {
        store_fixture_lease(&f, 1, 4);
        store_fixture_commit(&f);
        store_fixture_lease(&f, 2, 4);
        if (i == 1) {
            store_fixture_checkpoint(&f);
        }
        store_name_peer(f.store, first_key, "one");
        store_fixture_stop(&f);
        assert_ledger(&f, (uint64_t)i + 1);
        store_fixture_start(&f);
        CU_ASSERT_EQUAL(note_count, 0);
    }
    store_fixture_deinit(&f);
}

static void ledger_that_is_behind_is_given_what_it_lacks(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    store_fixture_stop(&f);
    copy_file("run/ledger.db", "kept.db");
    store_fixture_start(&f);
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_lease(&f, 1, 4);
    store_fixture_commit(&f);
    store_fixture_stop(&f);
    copy_file("kept.db", "run/ledger.db");
    store_fixture_start(&f);
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_commit(&f);
    store_fixture_stop(&f);
    assert_ledger(&f, 6);
    store_fixture_deinit(&f);
}

static void lost_or_damaged_ledger_is_made_again(void)
{
    for (int i = 0; i < 2; i++) {
        struct store_fixture f;
        store_fixture_init(&f, "bf16");
        for (int k = 0; k < 4; k++) { /* the first segments are condensed */
            store_fixture_commits(&f, 2);
            store_fixture_checkpoint(&f);
        }
        store_fixture_stop(&f);
        if (i == 0) {
            CU_ASSERT_EQUAL(unlink(scratch_path("run/ledger.db")), 0);
        } else {
            spoil("run/ledger.db", 40, false);
            spoil("run/ledger.db", 4097, false);
        }
        store_fixture_start(&f);
        CU_ASSERT_EQUAL(note_count, (size_t)i);
        store_fixture_commit(&f);
        store_fixture_stop(&f);
        assert_ledger(&f, 9);
        store_fixture_deinit(&f);
    }
}

/* The journal lost its end, which the ledger still has; then it goes on another way. */
static void ledger_that_is_ahead_or_of_another_course_is_made_again(void)
{
    for (int more = 0; more < 2; more++) {
        struct store_fixture f;
        char segment[64];
        size_t size_bytes = 0;
        store_fixture_init(&f, "bf16");
        store_fixture_commits(&f, 4);
        store_fixture_stop(&f);
        copy_file("run/ledger.db", "kept.db");
        size_t offset = find_step(&f, 2, segment);
        uint8_t *data = scratch_read(segment, &size_bytes);
        scratch_write(segment, data, offset);
        free(data);
        CU_ASSERT_EQUAL(store_replay_to(&f.run, f.twin, f.slices, 2, &(struct journal_state){0}),
                        STATUS_OK);
        if (more > 0) {
            CU_ASSERT_EQUAL(ledger_remove(f.run.path), STATUS_OK);
            store_fixture_start(&f);
            store_fixture_commits(&f, 3);
            store_fixture_stop(&f);
            copy_file("kept.db", "run/ledger.db");
        }
        store_fixture_start(&f);
        CU_ASSERT_TRUE(noted(more > 0 ? "the ledger is not that of this journal"
                                      : "ends at step 2, but the ledger holds 4 steps"));
        store_fixture_commit(&f);
        store_fixture_stop(&f);
        assert_ledger(&f, more > 0 ? 6 : 3);
        store_fixture_deinit(&f);
    }
}

static void ledger_is_made_again_by_command(void)
{
    struct store_fixture f;
    uint64_t records = 0;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 3);
    store_fixture_lease(&f, 1, 4);
    uint64_t expected = 1 + 1 + 3 + 1; /* segment, served, steps, lease */
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(store_rebuild_ledger(&f.run, &records), STATUS_OK);
    CU_ASSERT_EQUAL(records, expected);
    assert_ledger(&f, 3);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    CU_ASSERT_EQUAL(store_rebuild_ledger(&f.run, &records), STATUS_NO_INPUT);
    CU_ASSERT_TRUE(files_exists(scratch_path("run/ledger.db"))); /* it is all there is now */
    store_fixture_deinit(&f);
}

/* Behind a place where records were lost, all that is left is in the ledger. */
static void ledger_is_made_again_across_a_gap(void)
{
    struct store_fixture f;
    char segment[64];
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 4);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/journal/000000000004.journal")), 0);
    spoil(segment, find_step(&f, 2, segment) + 70, false);
    store_fixture_start(&f);
    store_fixture_commits(&f, 2);
    store_fixture_stop(&f);
    assert_ledger(&f, 4);
    CU_ASSERT_EQUAL(ledger_remove(f.run.path), STATUS_OK);
    store_fixture_start(&f);
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_stop(&f);
    assert_ledger(&f, 4);
    store_fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(ledger_follows_every_commit),
        SUITE_TEST(ledger_that_is_behind_is_given_what_it_lacks),
        SUITE_TEST(lost_or_damaged_ledger_is_made_again),
        SUITE_TEST(ledger_that_is_ahead_or_of_another_course_is_made_again),
        SUITE_TEST(ledger_is_made_again_by_command),
        SUITE_TEST(ledger_is_made_again_across_a_gap),
    };
    return suite_run("store_ledger", tests, sizeof tests / sizeof tests[0]);
}
