/* A run on a real disk whose ledger is damaged, and one whose ledger remembers what its journal
 * lost. */
#include "tests/unit/store_fixture.h"

#include <inttypes.h>
#include <unistd.h>

enum { STEPS = 5, FLIPS = 400, CUTS = 16, PEERS_MAX = 4 };

static const char last_segment[] = "run/journal/000000000004.journal";
static const char ledger_file[] = "run/ledger.db";

/* A file of the run as it was. */
struct kept {
    const char *name;
    uint8_t *data;
    size_t size_bytes;
};

static struct kept journal;
static struct kept before; /* the segment before it, which goes on when the last one is lost */
static struct kept ledger;
static struct ledger_peer truth[PEERS_MAX];
static size_t truth_count;

static struct kept keep(const char *name)
{
    struct kept kept = {.name = name};
    kept.data = scratch_read(name, &kept.size_bytes);
    return kept;
}

static void put_back(void)
{
    CU_ASSERT_EQUAL(ledger_remove(scratch_path("run")), STATUS_OK);
    scratch_write(journal.name, journal.data, journal.size_bytes);
    scratch_write(before.name, before.data, before.size_bytes);
    scratch_write(ledger.name, ledger.data, ledger.size_bytes);
}

static size_t read_peers(const struct store_fixture *f, struct ledger_peer out[PEERS_MAX],
                         struct ledger_totals *out_totals)
{
    struct ledger *opened = NULL;
    struct ledger_peer *peers = NULL;
    size_t count = 0;
    CU_ASSERT_EQUAL_FATAL(ledger_open_to_read(f->run.path, &opened), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_totals(opened, out_totals), STATUS_OK);
    CU_ASSERT_EQUAL(ledger_peers(opened, &peers, &count), STATUS_OK);
    CU_ASSERT_FATAL(count <= PEERS_MAX);
    for (size_t i = 0; i < count; i++) {
        out[i] = peers[i];
    }
    free(peers);
    ledger_close(opened);
    return count;
}

static void begin(struct store_fixture *f)
{
    struct ledger_totals totals;
    store_fixture_init(f, "mx8");
    for (int i = 0; i < 2; i++) {
        store_fixture_commits(f, 2);
        store_fixture_checkpoint(f);
    }
    store_fixture_commit(f);
    store_fixture_lease(f, 5, 3);
    store_fixture_stop(f);
    truth_count = read_peers(f, truth, &totals);
    CU_ASSERT_EQUAL(truth_count, 2);
    CU_ASSERT_EQUAL(totals.steps, STEPS);
    journal = keep(last_segment);
    before = keep("run/journal/000000000002.journal");
    ledger = keep(ledger_file);
}

static void end(struct store_fixture *f)
{
    free(journal.data);
    free(before.data);
    free(ledger.data);
    store_fixture_deinit(f);
}

/* Who has how much credit. Names and times are there once and for people only: nothing tells
 * whether they are right but making the ledger again. */
static bool same_peer(const struct ledger_peer *a, const struct ledger_peer *b)
{
    return memcmp(a->key, b->key, sizeof a->key) == 0 && a->tokens == b->tokens &&
           a->samples == b->samples && a->contributions == b->contributions;
}

/* The run goes on as if nothing had been, with a ledger that is right. */
static void assert_unharmed(struct store_fixture *f, const char *what, size_t at, size_t *told)
{
    struct ledger_peer peers[PEERS_MAX];
    struct ledger_totals totals;
    store_fixture_start(f);
    bool fine = at_twin(f) && !noted("goes on without it");
    *told += note_count > 0;
    store_fixture_stop(f);
    size_t count = read_peers(f, peers, &totals);
    fine = fine && count == truth_count && totals.steps == STEPS &&
           totals.samples == (uint64_t)STEPS * 8 && totals.tokens == (uint64_t)STEPS * 128 &&
           totals.credit_tokens == (uint64_t)STEPS * 128;
    for (size_t i = 0; i < count && fine; i++) {
        fine = same_peer(&peers[i], &truth[i]);
    }
    if (!fine) {
        printf("\n%s at %zu: %s", what, at, note_count > 0 ? notes[0] : "no note");
        CU_FAIL("the ledger is not what the journal says");
    }
    put_back();
}

/* Bytes before `end` that are not zero: nearly all of a small ledger is room that nothing uses. */
static size_t count_used(size_t end)
{
    size_t count = 0;
    for (size_t i = 0; i < end; i++) {
        count += ledger.data[i] != 0;
    }
    return count;
}

/* Where the byte is that has `before_it` such bytes before it. */
static size_t find_used(size_t before_it)
{
    size_t at = 0;
    for (size_t seen = 0; seen <= before_it; at++) {
        seen += ledger.data[at] != 0;
    }
    return at - 1;
}

static void damaged_ledger_is_right_or_made_again(void)
{
    struct store_fixture f;
    size_t told = 0;
    begin(&f);
    put_back();
    size_t used = count_used(ledger.size_bytes);
    for (size_t i = 0; i < FLIPS; i++) {
        size_t at = find_used(i * used / FLIPS);
        ledger.data[at] ^= (uint8_t)(1U << i % 8);
        scratch_write(ledger.name, ledger.data, ledger.size_bytes);
        ledger.data[at] ^= (uint8_t)(1U << i % 8);
        assert_unharmed(&f, "flipped", at, &told);
    }
    for (size_t i = 0; i < CUTS; i++) {
        size_t left = i * ledger.size_bytes / CUTS;
        scratch_write(ledger.name, ledger.data, left);
        assert_unharmed(&f, "cut", left, &told);
    }
    CU_ASSERT_EQUAL(unlink(scratch_path(ledger_file)), 0);
    assert_unharmed(&f, "gone", 0, &told);
    printf("\nledger of %zu bytes, %zu not zero: %d flips, %d cuts, gone once; told of %zu\n",
           ledger.size_bytes, used, FLIPS, CUTS, told);
    CU_ASSERT_TRUE(told > CUTS);
    end(&f);
}

/* A file that ends early looks like one that was never longer, and so does one that is not there:
 * the journal cannot tell, and the ledger can. */
static void journal_that_lost_steps_is_told_by_the_ledger(void)
{
    struct store_fixture f;
    struct store_report report;
    char segment[64];
    begin(&f);
    size_t step = find_step(&f, STEPS - 1, segment);
    CU_ASSERT_STRING_EQUAL(segment, last_segment);
    for (size_t i = 0; i <= CUTS; i++) {
        put_back();
        size_t left = i * step / (CUTS - 1); /* the last one is behind the step's beginning */
        if (i == CUTS) {
            CU_ASSERT_EQUAL(unlink(scratch_path(last_segment)), 0);
        } else {
            scratch_write(last_segment, journal.data, left);
        }
        CU_ASSERT_EQUAL(store_verify(&f.run, 1, &report), STATUS_OK);
        CU_ASSERT_FALSE(report.ok);
        CU_ASSERT_PTR_NOT_NULL(strstr(report.fault, "ends at step 4, but its ledger holds 5"));
        store_fixture_start(&f);
        CU_ASSERT_EQUAL(store_state(f.store)->version, STEPS - 1);
        CU_ASSERT_TRUE(noted("ends at step 4, but the ledger holds 5 steps"));
        store_fixture_stop(&f);
        store_fixture_start(&f);
        CU_ASSERT_EQUAL(note_count, 0);
        store_fixture_stop(&f);
    }
    end(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(damaged_ledger_is_right_or_made_again),
        SUITE_TEST(journal_that_lost_steps_is_told_by_the_ledger),
    };
    return suite_run("run_damage_ledger", tests, sizeof tests / sizeof tests[0]);
}
