#include "tests/unit/store_fixture.h"

#include <unistd.h>

static const char *const mean_codecs[] = {"fp32", "bf16", "mx8"};

static void every_committed_step_comes_back_bit_for_bit(void)
{
    for (size_t c = 0; c < 3; c++) {
        struct store_fixture f;
        store_fixture_init(&f, mean_codecs[c]);
        CU_ASSERT_EQUAL(store_state(f.store)->serial, 1);
        CU_ASSERT_EQUAL((master_residual(f.master) != NULL), (c == 2));
        for (int round = 0; round < 3; round++) {
            store_fixture_commits(&f, 3);
            double loss = store_state(f.store)->loss_last;
            store_fixture_stop(&f);
            store_fixture_start(&f);
            CU_ASSERT_TRUE(at_twin(&f));
            CU_ASSERT_EQUAL(note_count, 0);
            CU_ASSERT_TRUE(store_state(f.store)->loss_last == loss);
            CU_ASSERT_TRUE(store_state(f.store)->loss_first == 3.0);
            CU_ASSERT_EQUAL(store_state(f.store)->serial, (uint64_t)round + 2);
            if (round == 1) {
                store_fixture_checkpoint(&f);
            }
        }
        CU_ASSERT_EQUAL(store_state(f.store)->sample_first, 9U * 8U);
        CU_ASSERT_EQUAL(store_state(f.store)->tokens, 9U * 8U * 16U);
        store_fixture_deinit(&f);
    }
}

static void damaged_checkpoints_are_set_aside_and_older_ones_replayed(void)
{
    for (size_t c = 0; c < 3; c++) {
        struct store_fixture f;
        store_fixture_init(&f, mean_codecs[c]);
        for (int i = 0; i < 3; i++) {
            store_fixture_commits(&f, 2);
            store_fixture_checkpoint(&f);
        }
        store_fixture_commit(&f);
        store_fixture_stop(&f);
        spoil("run/checkpoints/step-000006/weights.safetensors", 5000, true);
        spoil("run/checkpoints/step-000004/state.json", 30, false);
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
        CU_ASSERT_TRUE(noted("step-000006/weights.safetensors is damaged"));
        CU_ASSERT_TRUE(noted("step-000004/state.json is damaged"));
        CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/damaged-000006")));
        CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000004")));
        CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 2);
        store_fixture_stop(&f);
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
        CU_ASSERT_EQUAL(note_count, 0);
        store_fixture_checkpoint(&f); /* of the version of the last commit */
        store_fixture_deinit(&f);
    }
}

static void checkpoint_of_a_version_that_a_segment_begins_at_is_written_again(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    spoil("run/checkpoints/step-000002/model.safetensors", 100, true);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    note_count = 0;
    store_fixture_checkpoint(&f);
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_commit(&f);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 2);
    store_fixture_deinit(&f);
}

static void torn_tail_is_cut_and_what_was_committed_stays(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "mx8");
    store_fixture_commits(&f, 2);
    store_fixture_lease(&f, 5, 2);
    store_fixture_commit(&f);
    struct journal_lease early = {.key = {1}, .lease_id = 6, .step = 4, .samples = {32, 8}};
    struct journal_lease odd = {.key = {1}, .lease_id = 5, .step = 5, .samples = {40, 8}};
    CU_ASSERT_EQUAL(store_lease(f.store, &early), STATUS_OK); /* of the next step */
    CU_ASSERT_EQUAL(store_lease(f.store, &odd), STATUS_OK);   /* of no step that can be lent */
    store_fixture_lease(&f, 7, 2);
    store_fixture_lease(&f, 8, 4);
    store_fixture_stop(&f);
    cut_end("run/journal/000000000000.journal", 9); /* into the second lease */
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_TRUE(noted("a record that a crash cut off"));
    size_t count = 0;
    const struct journal_lease *leases = store_leases(f.store, &count);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_TRUE(leases[0].lease_id == 6 && leases[0].step == 4);
    CU_ASSERT_TRUE(leases[1].lease_id == 7 && leases[1].samples.first == 24 &&
                   leases[1].samples.count == 2);
    store_fixture_commit(&f);
    leases = store_leases(f.store, &count); /* what was lent of the next step stays so */
    CU_ASSERT_TRUE_FATAL(count == 1);
    CU_ASSERT_EQUAL(leases[0].lease_id, 6);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    leases = store_leases(f.store, &count); /* also when it was given before the commit */
    CU_ASSERT_TRUE_FATAL(count == 1);
    CU_ASSERT_EQUAL(leases[0].lease_id, 6);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_deinit(&f);
}

/* Steps 0..5 with checkpoints 2 and 4; damage to the record of `step`, `delta` bytes from its
 * start; the run goes on at the step. */
static void assert_damage(const char *codec, uint64_t step, size_t delta, unsigned lost,
                          const char *spoilt)
{
    struct store_fixture f;
    char segment[64];
    char place[128];
    const uint64_t expected = step;
    store_fixture_init(&f, codec);
    struct master *reference = store_fixture_master(&f.run);
    for (int i = 0; i < 6; i++) {
        store_fixture_commit(&f);
        if (i == 1 || i == 3) {
            store_fixture_checkpoint(&f);
        }
    }
    CU_ASSERT_EQUAL_FATAL(
        store_replay_to(&f.run, reference, f.slices, expected, &(struct journal_state){0}),
        STATUS_OK);
    store_fixture_stop(&f);
    size_t offset = find_step(&f, step, segment);
    spoil(segment, offset + delta, false);
    if (spoilt != NULL) {
        spoil(spoilt, 40, false);
    }
    (void)snprintf(place, sizeof place, "%s", scratch_path(segment));
    store_fixture_start(&f);
    CU_ASSERT_TRUE(noted(place));
    CU_ASSERT_EQUAL(store_state(f.store)->version, expected);
    CU_ASSERT_EQUAL(store_state(f.store)->sample_first, 8 * expected);
    CU_ASSERT_TRUE(same_master(f.master, reference, f.value_count));
    (void)snprintf(place, sizeof place, "goes on at step %u", (unsigned)expected);
    CU_ASSERT_TRUE(noted(place));
    (void)snprintf(place, sizeof place, "%u or more committed steps are lost", lost);
    CU_ASSERT_TRUE(noted(place));
    CU_ASSERT_TRUE(kept_aside(&f) > 0);
    CU_ASSERT_EQUAL(count_events(&f, JOURNAL_NOTE), 1);
    /* The new course is as good as the old one. */
    master_free(f.twin);
    f.twin = reference;
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_deinit(&f);
}

static void checkpoint_within_a_step_keeps_its_leases(void)
{
    struct store_fixture f;
    size_t count = 0;
    store_fixture_init(&f, "mx8");
    store_fixture_commits(&f, 2);
    store_fixture_lease(&f, 5, 2);
    store_fixture_lease(&f, 6, 4);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    for (int i = 0; i < 2; i++) { /* the second start finds what the first one kept */
        store_fixture_start(&f);
        CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 2);
        const struct journal_lease *leases = store_leases(f.store, &count);
        CU_ASSERT_EQUAL_FATAL(count, 2);
        CU_ASSERT_TRUE(leases[0].lease_id == 5 && leases[1].lease_id == 6 &&
                       leases[1].samples.first == 16 && leases[1].samples.count == 4);
        store_fixture_stop(&f);
    }
    store_fixture_deinit(&f);
}

static void digest_of_every_version_is_found_across_checkpoints(void)
{
    struct store_fixture f;
    struct digest digests[6];
    struct digest found;
    bool known = false;
    store_fixture_init(&f, "mx8");
    for (uint64_t version = 0; version < 6; version++) {
        digests[version] = params_digest(master_params(f.master), f.value_count);
        if (version % 2 == 0) {
            store_fixture_checkpoint(&f);
        }
        store_fixture_commit(&f);
    }
    store_fixture_stop(&f);
    store_fixture_start(&f);
    for (uint64_t version = 0; version < 6; version++) {
        CU_ASSERT_EQUAL(store_digest(f.store, version, &found, &known), STATUS_OK);
        CU_ASSERT_TRUE(known);
        CU_ASSERT_TRUE(digest_equal(&found, &digests[version]));
    }
    CU_ASSERT_EQUAL(store_digest(f.store, 7, &found, &known), STATUS_OK);
    CU_ASSERT_FALSE(known);
    store_fixture_deinit(&f);
}

static void damage_in_the_middle_is_told_with_its_place_and_the_steps_lost(void)
{
    for (size_t c = 0; c < 3; c++) {
        assert_damage(mean_codecs[c], 4, 70, 1, NULL);   /* the header: nothing is read behind it */
        assert_damage(mean_codecs[c], 4, 9000, 2, NULL); /* the mean gradient */
        assert_damage(mean_codecs[c], 2, 9000, 4, "run/checkpoints/step-000004/model.safetensors");
    }
}

static void damage_before_the_checkpoint_costs_nothing(void)
{
    struct store_fixture f;
    char segment[64];
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 3);
    store_fixture_checkpoint(&f);
    store_fixture_commits(&f, 2);
    store_fixture_stop(&f);
    spoil(segment, find_step(&f, 1, segment) + 70, false);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    store_fixture_deinit(&f);
}

/* The checkpoint was written, and a crash came before a segment began there. */
static void journal_that_ends_before_the_checkpoint_goes_on_from_it(void)
{
    struct store_fixture f;
    char segment[64];
    store_fixture_init(&f, "mx8");
    store_fixture_commits(&f, 4);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/journal/000000000004.journal")), 0);
    spoil(segment, find_step(&f, 2, segment) + 70, false);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_TRUE(noted("whole to step 2 only"));
    CU_ASSERT_TRUE(kept_aside(&f) > 0);
    CU_ASSERT_EQUAL(count_events(&f, JOURNAL_NOTE), 1);
    CU_ASSERT_EQUAL(store_state(f.store)->sample_first, 32);
    CU_ASSERT_TRUE(files_exists(scratch_path("run/journal/000000000004.journal")));
    store_fixture_commits(&f, 2);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_deinit(&f);
}

static void crash_between_checkpoint_and_segment_is_no_damage(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 4);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/journal/000000000004.journal")), 0);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("run/checkpoints/step-000009.tmp")), STATUS_OK);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000009.tmp")));
    CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 4);
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    store_fixture_deinit(&f);
}

static void change_settings(struct store_fixture *f, double learning_rate, enum codec codec,
                            enum codec mean_codec)
{
    struct journal_event event = {.type = JOURNAL_SETTINGS,
                                  .version = store_state(f->store)->version,
                                  .unix_ms = 1,
                                  .settings = store_state(f->store)->settings};
    event.settings.learning_rate = learning_rate;
    event.settings.codec = codec;
    event.settings.update_codec = codec;
    event.settings.mean_codec = mean_codec;
    event.settings.target_batch = 12;
    CU_ASSERT_EQUAL_FATAL(store_event(f->store, &event), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(master_change(f->twin, learning_rate, codec, mean_codec), STATUS_OK);
}

static void settings_are_replayed_at_the_version_they_were_changed_at(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    change_settings(&f, 0.004, CODEC_FP32, CODEC_MX8);
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_commit(&f);
    change_settings(&f, 0.02, CODEC_MX8, CODEC_FP32);
    store_fixture_commits(&f, 2);
    for (int i = 0; i < 3; i++) { /* from version 4, then from 0, then once more */
        store_fixture_stop(&f);
        if (i == 1) {
            spoil("run/checkpoints/step-000004/residual.safetensors", 80, true);
        }
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
        CU_ASSERT_EQUAL(master_codec(f.master), CODEC_MX8);
        CU_ASSERT_EQUAL(store_state(f.store)->settings.target_batch, 12);
        CU_ASSERT_TRUE(store_state(f.store)->settings.learning_rate == 0.02);
        CU_ASSERT_EQUAL(store_state(f.store)->sample_first, 2U * 8U + 5U * 12U);
    }
    store_fixture_deinit(&f);
}

static void pauses_are_remembered(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    struct journal_event event = {.type = JOURNAL_PAUSED};
    CU_ASSERT_EQUAL(store_event(f.store, &event), STATUS_OK);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(store_state(f.store)->paused);
    event.type = JOURNAL_RESUMED;
    CU_ASSERT_EQUAL(store_event(f.store, &event), STATUS_OK);
    CU_ASSERT_FALSE(store_state(f.store)->paused);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_FALSE(store_state(f.store)->paused);
    store_fixture_deinit(&f);
}

/* Bytes of all segments. */
static uint64_t journal_size(const struct store_fixture *f)
{
    uint64_t *segments = NULL;
    size_t count = 0;
    uint64_t total = 0;
    CU_ASSERT_EQUAL_FATAL(journal_segments(f->run.path, &segments, &count), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        size_t size_bytes = 0;
        (void)snprintf(name, sizeof name, "run/journal/%012u.journal", (unsigned)segments[i]);
        free(scratch_read(name, &size_bytes));
        total += size_bytes;
    }
    free(segments);
    return total;
}

static void journal_is_condensed_behind_the_oldest_checkpoint_kept_alone(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "fp32");
    size_t payload = f.value_count * sizeof(float);
    for (int i = 0; i < 5; i++) { /* at 2, 4, 6, 8, 10; three are kept */
        store_fixture_commits(&f, 2);
        uint64_t before = journal_size(&f);
        store_fixture_checkpoint(&f);
        CU_ASSERT_EQUAL(journal_size(&f) + payload < before, (i >= 2));
    }
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/step-000000")));
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000004")));
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/step-000006")));
    store_fixture_commit(&f);
    store_fixture_stop(&f);
    spoil("run/checkpoints/step-000010/model.safetensors", 60, true);
    spoil("run/checkpoints/step-000008/moment1.safetensors", 60, true);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 6);
    store_fixture_stop(&f);
    spoil("run/checkpoints/step-000006/model.safetensors", 60, true);
    CU_ASSERT_EQUAL(store_fixture_try(&f), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "put a copy of a whole one"));
    CU_ASSERT_TRUE(noted("was dropped"));
    spoil("run/checkpoints/step-000006/model.safetensors", 60, true);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    store_fixture_deinit(&f);
}

static void digest_that_differs_is_never_gone_on_from(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_commit(&f);
    store_fixture_stop(&f);
    /* Another beginning of the same shape: its hashes are right, its steps are not. */
    char path[FILES_PATH_MAX];
    struct master *other = store_fixture_master(&f.run);
    CU_ASSERT_EQUAL_FATAL(checkpoint_load_version(&f.run, 2, other), STATUS_OK);
    master_weights(other)[5] += 0.25F;
    bool has = false;
    struct checkpoint_mark mark;
    CU_ASSERT_EQUAL_FATAL(checkpoint_mark_of(&f.run, 2, &has, &mark), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, other, &mark, path), STATUS_OK);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(noted("replays to another digest"));
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 0);
    store_fixture_stop(&f);
    master_set_version(other, 0);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, other, NULL, path), STATUS_OK);
    CU_ASSERT_EQUAL(store_fixture_try(&f), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "000000000000.journal at byte"));
    master_free(other);
    store_fixture_deinit(&f);
}

static void checkpoint_of_another_course_is_passed_over(void)
{
    for (int i = 0; i < 2; i++) {
        struct store_fixture f;
        char path[FILES_PATH_MAX];
        bool has = false;
        struct checkpoint_mark mark;
        store_fixture_init(&f, "bf16");
        store_fixture_commits(&f, 3);
        store_fixture_checkpoint(&f);
        CU_ASSERT_EQUAL_FATAL(checkpoint_mark_of(&f.run, 3, &has, &mark), STATUS_OK);
        if (i == 0) {
            mark.hash.bytes[0] ^= 1;
        } else {
            mark.state.sample_first += 8;
        }
        CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, f.twin, &mark, path), STATUS_OK);
        store_fixture_stop(&f);
        /* Only from an earlier segment the record can be met behind which it was written. */
        CU_ASSERT_EQUAL(unlink(scratch_path("run/journal/000000000003.journal")), 0);
        store_fixture_start(&f);
        CU_ASSERT_TRUE(noted("step 3 is of another course"));
        CU_ASSERT_TRUE(at_twin(&f));
        CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 0);
        store_fixture_deinit(&f);
    }
}

static void lost_journal_is_not_replaced_silently(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "bf16");
    store_fixture_commits(&f, 2);
    store_fixture_checkpoint(&f);
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    CU_ASSERT_EQUAL(store_fixture_try(&f), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "put a copy of the journal back"));
    CU_ASSERT_FALSE(files_exists(scratch_path("run/journal")));
    store_fixture_deinit(&f);
}

static void run_of_an_earlier_release_gets_a_journal_at_its_newest_checkpoint(void)
{
    struct store_fixture f;
    char path[FILES_PATH_MAX];
    store_fixture_init(&f, "bf16");
    store_fixture_stop(&f);
    for (int i = 0; i < 3; i++) {
        (void)store_fixture_step(&f, f.twin, 128);
    }
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, f.twin, NULL, path), STATUS_OK);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("run/checkpoints/step-000005")), STATUS_OK);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/damaged-000005")));
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000005")));
    CU_ASSERT_TRUE(noted("begins at its newest checkpoint, step 3"));
    CU_ASSERT_EQUAL(store_state(f.store)->sample_first, 24);
    CU_ASSERT_EQUAL(store_state(f.store)->tokens, 24 * 16);
    store_fixture_commits(&f, 2);
    store_fixture_stop(&f);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(note_count, 0);
    store_fixture_deinit(&f);
}

static void replay_reaches_each_version_and_changes_nothing(void)
{
    struct store_fixture f;
    store_fixture_init(&f, "mx8");
    struct master *reached = store_fixture_master(&f.run);
    struct journal_state state;
    for (int i = 0; i < 5; i++) {
        store_fixture_commit(&f);
        if (i == 1) {
            store_fixture_checkpoint(&f);
        }
        CU_ASSERT_EQUAL(store_replay_to(&f.run, reached, f.slices, (uint64_t)i + 1, &state),
                        STATUS_OK);
        CU_ASSERT_TRUE(same_master(reached, f.twin, f.value_count));
        CU_ASSERT_EQUAL(state.sample_first, 8U * ((unsigned)i + 1));
    }
    uint64_t before = journal_size(&f);
    CU_ASSERT_EQUAL(store_replay_to(&f.run, reached, f.slices, 3, &state), STATUS_OK);
    CU_ASSERT_EQUAL(master_version(reached), 3);
    CU_ASSERT_EQUAL(store_replay_to(&f.run, reached, f.slices, 6, &state), STATUS_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(journal_size(&f), before);
    master_free(reached);
    store_fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(every_committed_step_comes_back_bit_for_bit),
        SUITE_TEST(damaged_checkpoints_are_set_aside_and_older_ones_replayed),
        SUITE_TEST(checkpoint_of_a_version_that_a_segment_begins_at_is_written_again),
        SUITE_TEST(torn_tail_is_cut_and_what_was_committed_stays),
        SUITE_TEST(checkpoint_within_a_step_keeps_its_leases),
        SUITE_TEST(digest_of_every_version_is_found_across_checkpoints),
        SUITE_TEST(damage_in_the_middle_is_told_with_its_place_and_the_steps_lost),
        SUITE_TEST(damage_before_the_checkpoint_costs_nothing),
        SUITE_TEST(journal_that_ends_before_the_checkpoint_goes_on_from_it),
        SUITE_TEST(crash_between_checkpoint_and_segment_is_no_damage),
        SUITE_TEST(settings_are_replayed_at_the_version_they_were_changed_at),
        SUITE_TEST(pauses_are_remembered),
        SUITE_TEST(journal_is_condensed_behind_the_oldest_checkpoint_kept_alone),
        SUITE_TEST(digest_that_differs_is_never_gone_on_from),
        SUITE_TEST(checkpoint_of_another_course_is_passed_over),
        SUITE_TEST(lost_journal_is_not_replaced_silently),
        SUITE_TEST(run_of_an_earlier_release_gets_a_journal_at_its_newest_checkpoint),
        SUITE_TEST(replay_reaches_each_version_and_changes_nothing),
    };
    return suite_run("store_recover", tests, sizeof tests / sizeof tests[0]);
}
