#include "tests/unit/store_fixture.h"

#include <unistd.h>

static struct store_report verify(const struct store_fixture *f)
{
    struct store_report report;
    enum status status = store_verify(&f->run, 2, &report);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", fault_text());
    }
    CU_ASSERT_EQUAL_FATAL(status, STATUS_OK);
    return report;
}

static void assert_ok(const struct store_fixture *f, uint64_t steps, uint64_t samples)
{
    struct store_report report = verify(f);
    struct digest digest = params_digest(master_params(f->twin), f->value_count);
    CU_ASSERT_STRING_EQUAL(report.fault, "");
    CU_ASSERT_TRUE(report.ok);
    CU_ASSERT_EQUAL(report.steps, steps);
    CU_ASSERT_TRUE(digest_equal(&report.digest, &digest));
    CU_ASSERT_EQUAL(report.samples_applied, samples);
    CU_ASSERT_EQUAL(report.samples_duplicated + report.samples_missing, 0);
    CU_ASSERT_EQUAL(report.credit_tokens, samples * 16);
    CU_ASSERT_EQUAL(report.trained_tokens, samples * 16);
}

static void assert_fault(const struct store_fixture *f, const char *text)
{
    struct store_report report = verify(f);
    CU_ASSERT_FALSE(report.ok);
    if (strstr(report.fault, text) == NULL) {
        (void)fprintf(stderr, "expected: %s\nfound: %s\n", text, report.fault);
        CU_FAIL("another fault");
    }
}

static void whole_run_is_proven_and_replayed(void)
{
    static const char *const mean_codecs[] = {"fp32", "bf16", "mx8"};
    for (size_t c = 0; c < 3; c++) {
        struct store_fixture f;
        store_fixture_init(&f, mean_codecs[c]);
        assert_ok(&f, 0, 0);
        store_fixture_commits(&f, 3);
        store_fixture_checkpoint(&f);
        store_fixture_commits(&f, 2);
        store_fixture_lease(&f, 5, 3);
        assert_ok(&f, 5, 40);
        CU_ASSERT_EQUAL(verify(&f).replayed, 5);
        store_fixture_stop(&f);
        cut_end("run/journal/000000000003.journal", 5);
        assert_ok(&f, 5, 40); /* what a crash cuts off was never promised */
        store_fixture_deinit(&f);
    }
}

static void condensed_journal_is_checked_from_the_first_step(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "mx8");
    for (int i = 0; i < 5; i++) {
        store_fixture_commits(&f, 2);
        store_fixture_checkpoint(&f);
    }
    store_fixture_commit(&f);
    assert_ok(&f, 11, 88);
    CU_ASSERT_EQUAL(verify(&f).replayed, 5); /* from the checkpoint of step 6 */
    spoil("run/journal/000000000002.journal", 300, false);
    assert_fault(&f, "000000000002.journal is damaged at byte");
    store_fixture_deinit(&f);
}

static void settings(struct store_fixture *f, enum codec mean_codec, uint32_t batch)
{
    struct journal_event event = {.type = JOURNAL_SETTINGS,
                                  .version = store_state(f->store)->version,
                                  .settings = {.learning_rate = 0.005,
                                               .target_batch = batch,
                                               .codec = CODEC_FP32,
                                               .mean_codec = mean_codec,
                                               .update_codec = CODEC_FP32}};
    CU_ASSERT_EQUAL_FATAL(store_event(f->store, &event), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(master_change(f->twin, 0.005, CODEC_FP32, mean_codec), STATUS_OK);
}

static void updates_in(struct store_fixture *f, enum codec codec)
{
    struct journal_event event = {.type = JOURNAL_SETTINGS,
                                  .version = store_state(f->store)->version,
                                  .settings = store_state(f->store)->settings};
    event.settings.update_codec = codec;
    CU_ASSERT_EQUAL_FATAL(store_event(f->store, &event), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(
        master_change(f->twin, event.settings.learning_rate, codec, event.settings.mean_codec),
        STATUS_OK);
}

/* What an update does not hold is in the next one, whatever its codec: from each checkpoint, with
 * changes on either side of it, the same bits. */
static void update_codecs_are_replayed_one_by_one(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "mx8");
    store_fixture_commits(&f, 2);
    updates_in(&f, CODEC_MX4);
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_commit(&f);
    updates_in(&f, CODEC_MX8);
    updates_in(&f, CODEC_MX4);
    updates_in(&f, CODEC_MX8);
    store_fixture_commit(&f);
    updates_in(&f, CODEC_MX4);
    store_fixture_checkpoint(&f);
    updates_in(&f, CODEC_FP32);
    updates_in(&f, CODEC_MX4);
    store_fixture_commits(&f, 2);
    assert_ok(&f, 8, 64);
    CU_ASSERT_EQUAL(verify(&f).replayed, 8);
    for (int i = 0; i < 3; i++) { /* from 6, from 4, from 0 */
        store_fixture_stop(&f);
        if (i > 0) {
            char name[64];
            (void)snprintf(name, sizeof name, "run/checkpoints/step-%06d/weights.safetensors",
                           8 - 2 * i);
            spoil(name, 70, true);
        }
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
        CU_ASSERT_EQUAL(store_state(f.store)->settings.codec, CODEC_MX8);
        CU_ASSERT_EQUAL(store_state(f.store)->settings.update_codec, CODEC_MX4);
        CU_ASSERT_EQUAL(master_codec(f.master), CODEC_MX4);
    }
    store_fixture_commit(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    store_fixture_deinit(&f);
}

/* The residual goes and comes back within one version, on either side of a checkpoint. */
static void settings_are_replayed_one_by_one(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "mx8");
    store_fixture_commits(&f, 2);
    settings(&f, CODEC_BF16, 12);
    settings(&f, CODEC_MX8, 12);
    store_fixture_commits(&f, 2);
    settings(&f, CODEC_FP32, 12);
    store_fixture_checkpoint(&f);
    settings(&f, CODEC_MX8, 4);
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    settings(&f, CODEC_BF16, 4);
    settings(&f, CODEC_MX8, 4);
    store_fixture_commits(&f, 2);
    settings(&f, CODEC_BF16, 4);
    settings(&f, CODEC_MX8, 4);
    assert_ok(&f, 8, 2U * 8U + 2U * 12U + 4U * 4U);
    for (int i = 0; i < 3; i++) { /* from 6, from 4, from 0 */
        store_fixture_stop(&f);
        if (i > 0) {
            char name[64];
            (void)snprintf(name, sizeof name, "run/checkpoints/step-%06d/weights.safetensors",
                           8 - 2 * i);
            spoil(name, 70, true);
        }
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
    }
    store_fixture_deinit(&f);
}

/* What a step of eight samples may say wrongly. */
struct lie {
    uint64_t first; /* of the second contribution's range */
    uint64_t count;
    uint64_t step_first;
    uint64_t credit; /* tokens of the second contribution */
    const char *fault;
};

/* Opens the journal of a store that is closed, as a coordinator that lies would. */
static struct journal *open_behind(const struct store_fixture *f)
{
    struct journal_reader *reader = NULL;
    struct journal_record last = {.offset = 0};
    struct journal_record record;
    struct journal *journal = NULL;
    bool more = true;
    CU_ASSERT_EQUAL_FATAL(journal_reader_new(f->run.path, UINT64_MAX, &reader), STATUS_OK);
    while (more) {
        CU_ASSERT_EQUAL_FATAL(journal_read(reader, false, &record, &more), STATUS_OK);
        last = more ? record : last;
    }
    journal_reader_free(reader);
    CU_ASSERT_EQUAL_FATAL(journal_open(f->run.path, &last, false, &journal), STATUS_OK);
    return journal;
}

/* Appends a step with the twin's mean gradient: hashes and chain are right. */
static void append_step(struct store_fixture *f, struct journal_step *step)
{
    struct journal *journal = open_behind(f);
    CU_ASSERT_EQUAL_FATAL(journal_append_step(journal, step, master_mean_encoded(f->twin),
                                              master_mean_bytes(f->twin)),
                          STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(journal_sync(journal), STATUS_OK);
    journal_close(journal);
}

static void append_lie(struct store_fixture *f, const struct lie *lie)
{
    struct sample_range ranges[2] = {{.first = lie->step_first, .count = 4},
                                     {.first = lie->first, .count = lie->count}};
    struct journal_contribution contributions[2] = {
        {.key = {1}, .tokens = 64, .range_count = 1, .ranges = &ranges[0]},
        {.key = {2}, .tokens = lie->credit, .range_count = 1, .ranges = &ranges[1]}};
    struct master_step_result result = store_fixture_step(f, f->twin, 128);
    struct journal_step step = {.step = 2,
                                .samples = {.first = lie->step_first, .count = 8},
                                .tokens = 128,
                                .learning_rate = result.learning_rate,
                                .digest = result.digest,
                                .mean_codec = CODEC_BF16,
                                .contribution_count = 2,
                                .contributions = contributions};
    if (lie->fault != NULL && strstr(lie->fault, "digest") != NULL) {
        step.digest.bytes[7] ^= 1;
    }
    append_step(f, &step);
}

/* Steps whose samples are right but whose settings are not, and an event at a wrong place. */
static void what_does_not_follow_from_the_settings_is_told(void)
{
    static const char *const faults[] = {"step 2 holds 4 samples and 64 tokens, and not 8",
                                         "of step 2 is in fp32, and not in bf16",
                                         "an event of step 9 stands among those of step 2"};
    for (size_t i = 0; i < 3; i++) {
        struct store_fixture f;
        uint64_t count = i == 0 ? 4 : 8;
        struct sample_range range = {.first = 16, .count = count};
        struct journal_contribution contribution = {
            .key = {1}, .tokens = count * 16, .range_count = 1, .ranges = &range};
        store_fixture_init(&f, "bf16");
        store_fixture_commits(&f, 2);
        store_fixture_stop(&f);
        struct master_step_result result = store_fixture_step(&f, f.twin, 128);
        struct journal_step step = {.step = 2,
                                    .samples = range,
                                    .tokens = count * 16,
                                    .learning_rate = result.learning_rate,
                                    .digest = result.digest,
                                    .mean_codec = i == 1 ? CODEC_FP32 : CODEC_BF16,
                                    .contribution_count = 1,
                                    .contributions = &contribution};
        if (i < 2) {
            append_step(&f, &step);
        } else {
            struct journal *journal = open_behind(&f);
            struct journal_event event = {.type = JOURNAL_PAUSED, .version = 9};
            CU_ASSERT_EQUAL_FATAL(journal_append_event(journal, &event), STATUS_OK);
            journal_close(journal);
        }
        assert_fault(&f, faults[i]);
        store_fixture_deinit(&f);
    }
}

static void each_lie_of_a_step_is_told_with_its_place(void)
{
    static const struct lie lies[] = {
        {20, 4, 16, 64, NULL}, /* the truth */
        {19, 5, 16, 80, "of step 2, 1 are applied twice and 0 not at all"},
        {21, 3, 16, 48, "of step 2, 0 are applied twice and 1 not at all"},
        {16, 8, 16, 128, "of step 2, 4 are applied twice and 0 not at all"},
        {20, 3, 16, 48, "of step 2, 0 are applied twice and 1 not at all"},
        {20, 4, 16, 65, "credited with 129 tokens, and the step has 128"},
        {19, 4, 15, 64, "1 samples from sample 15 on are applied for the second time"},
        {21, 4, 17, 64, "1 samples before sample 17 were never applied"},
        {20, 4, 16, 64, "step 2 replays to another digest"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct store_fixture f;
        store_fixture_init(&f, "bf16");
        store_fixture_commits(&f, 2);
        store_fixture_stop(&f);
        append_lie(&f, &lies[i]);
        if (lies[i].fault == NULL) {
            assert_ok(&f, 3, 24);
        } else {
            char segment[64];
            char place[128];
            size_t offset = find_step(&f, 2, segment);
            (void)snprintf(place, sizeof place, "000000000000.journal at byte %zu", offset);
            assert_fault(&f, place);
            assert_fault(&f, lies[i].fault);
            CU_ASSERT_EQUAL((verify(&f).samples_duplicated > 0), (i == 1 || i == 3 || i == 6));
            CU_ASSERT_EQUAL((verify(&f).samples_missing > 0), (i == 2 || i == 4 || i == 7));
        }
        store_fixture_deinit(&f);
    }
}

static void checkpoints_are_compared_with_the_replay(void)
{
    static const char *const parts[] = {"weights", "moment1", "moment2", "residual"};
    for (size_t i = 0; i < 4; i++) {
        struct store_fixture f;
        char path[FILES_PATH_MAX];
        bool has = false;
        struct checkpoint_mark mark;
        store_fixture_init(&f, "mx8");
        store_fixture_commits(&f, 2);
        store_fixture_checkpoint(&f);
        store_fixture_commit(&f);
        struct master *other = store_fixture_master(&f.run);
        CU_ASSERT_EQUAL_FATAL(checkpoint_load_version(&f.run, 2, other), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(checkpoint_mark_of(&f.run, 2, &has, &mark), STATUS_OK);
        size_t count = 0;
        float *values[] = {master_weights(other), master_state(other, 0, &count),
                           master_state(other, 1, &count), master_residual(other)};
        values[i][9] += 0x1p-20F;
        CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, other, &mark, path), STATUS_OK);
        assert_fault(&f, parts[i]);
        assert_fault(&f, "is not what the journal replays to");
        master_free(other);
        store_fixture_deinit(&f);
    }
}

/* The steps before it are condensed, so that its digest alone is there to compare with. */
static void oldest_checkpoint_is_compared_with_the_digest_of_its_step(void)
{
    struct store_fixture f;
    char path[FILES_PATH_MAX];
    bool has = false;
    struct checkpoint_mark mark;
    store_fixture_init(&f, "bf16");
    for (int i = 0; i < 4; i++) {
        store_fixture_commits(&f, 2);
        store_fixture_checkpoint(&f);
    }
    struct master *other = store_fixture_master(&f.run);
    CU_ASSERT_EQUAL_FATAL(checkpoint_load_version(&f.run, 4, other), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(checkpoint_mark_of(&f.run, 4, &has, &mark), STATUS_OK);
    master_params(other)[3] += 0.5F;
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, other, &mark, path), STATUS_OK);
    assert_fault(&f, "the checkpoint of step 4");
    assert_fault(&f, "holds other parameters than the journal has after that step");
    master_free(other);
    store_fixture_deinit(&f);
}

static void journal_that_lost_its_end_is_told_by_the_checkpoint(void)
{
    struct store_fixture f;
    char segment[64];
    size_t size_bytes = 0;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 4);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/journal/000000000004.journal")), 0);
    size_t offset = find_step(&f, 3, segment);
    uint8_t *data = scratch_read(segment, &size_bytes);
    scratch_write(segment, data, offset);
    free(data);
    assert_fault(&f, "ends at step 3, before its checkpoint of step 4");
    store_fixture_deinit(&f);
}

/* No journal reaches back to it, but it may be what a person goes back to. */
static void checkpoint_from_before_the_journal_is_hashed(void)
{
    struct store_fixture f;
    char path[FILES_PATH_MAX];
    store_fixture_init(&f, "bf16");
    store_fixture_stop(&f);
    (void)store_fixture_step(&f, f.twin, 128);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, f.twin, NULL, path), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    store_fixture_start(&f);
    store_fixture_commits(&f, 2);
    assert_ok(&f, 2, 16);
    spoil("run/checkpoints/step-000000/moment2.safetensors", 99, true);
    assert_fault(&f, "step-000000/moment2.safetensors is damaged");
    store_fixture_deinit(&f);
}

static void damage_is_told_with_file_and_place(void)
{
    struct store_fixture f;
    char segment[64];
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_commits(&f, 2);
    assert_ok(&f, 4, 32);
    spoil("run/checkpoints/step-000000/weights.safetensors", 99, true);
    assert_fault(&f, "step-000000/weights.safetensors is damaged");
    spoil("run/checkpoints/step-000000/weights.safetensors", 99, true);
    spoil("run/checkpoints/step-000002/config.json", 9, true); /* not ours to check */
    assert_ok(&f, 4, 32);
    size_t offset = find_step(&f, 1, segment);
    spoil(segment, offset + 9000, false);
    assert_fault(&f, "000000000000.journal is damaged at byte");
    spoil(segment, offset + 9000, false);
    assert_ok(&f, 4, 32);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/checkpoints/step-000002")), STATUS_OK);
    assert_ok(&f, 4, 32); /* one checkpoint less is no fault */
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/checkpoints/step-000000")), STATUS_OK);
    assert_fault(&f, "holds no whole checkpoint");
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    struct store_report report;
    CU_ASSERT_EQUAL(store_verify(&f.run, 1, &report), STATUS_NO_INPUT);
    store_fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(whole_run_is_proven_and_replayed),
        SUITE_TEST(condensed_journal_is_checked_from_the_first_step),
        SUITE_TEST(settings_are_replayed_one_by_one),
        SUITE_TEST(update_codecs_are_replayed_one_by_one),
        SUITE_TEST(each_lie_of_a_step_is_told_with_its_place),
        SUITE_TEST(checkpoints_are_compared_with_the_replay),
        SUITE_TEST(what_does_not_follow_from_the_settings_is_told),
        SUITE_TEST(oldest_checkpoint_is_compared_with_the_digest_of_its_step),
        SUITE_TEST(journal_that_lost_its_end_is_told_by_the_checkpoint),
        SUITE_TEST(checkpoint_from_before_the_journal_is_hashed),
        SUITE_TEST(damage_is_told_with_file_and_place),
    };
    return suite_run("store_verify", tests, sizeof tests / sizeof tests[0]);
}
