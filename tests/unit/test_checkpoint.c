#include "common/fault.h"
#include "coordinator/store/checkpoint.h"
#include "tests/unit/run_fixture.h"
#include "tests/unit/suite.h"

#include <unistd.h>

static char told[8][FAULT_TEXT_MAX];
static size_t told_count;

static void note_fault(const char *sentence)
{
    (void)snprintf(told[told_count++ % 8], sizeof told[0], "%s", sentence);
}

static struct master *new_master(const struct run_dir *run)
{
    struct master *master = NULL;
    CU_ASSERT_EQUAL_FATAL(master_new(run->layout, &run->config.model, &run->config.optimizer,
                                     &run->config.schedule,
                                     (struct master_codecs){.update = run->config.codec,
                                                            .mean = run->config.mean_codec},
                                     &master),
                          STATUS_OK);
    return master;
}

/* Values that only exact copies give back. */
static void fill_values(float *values, size_t count, size_t salt)
{
    static const float odd[] = {-0.0F, 0x1p-149F, -0x1.fffffep127F, 0x1p-126F};
    for (size_t k = 0; k < count; k++) {
        values[k] = k < 4 ? odd[(k + salt) % 4] : 1.0F / (float)(k + salt);
    }
}

/* Everything of a master at `version`; padding stays zero. */
static void fill_master(const struct run_dir *run, struct master *master, uint64_t version)
{
    size_t salt = 1000 + (size_t)version * 7;
    for (size_t i = 0; i < layout_tensor_count(run->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(run->layout, i);
        fill_values(master_params(master) + spec->offset, spec->count, salt + spec->offset);
        fill_values(master_weights(master) + spec->offset, spec->count, salt + spec->offset + 1);
    }
    for (size_t s = 0; s < optimizer_state_count(master_kind(master)); s++) {
        size_t count = 0;
        float *state = master_state(master, s, &count);
        bool per_block = optimizer_state(master_kind(master), s)->per_block;
        for (size_t i = 0; !per_block && i < layout_tensor_count(run->layout); i++) {
            const struct tensor_spec *spec = layout_tensor(run->layout, i);
            fill_values(state + spec->offset, spec->count, salt + spec->offset + s + 2);
        }
        if (per_block) {
            fill_values(state, count, salt + s + 2);
        }
    }
    for (size_t i = 0; master_residual(master) != NULL && i < layout_tensor_count(run->layout);
         i++) {
        const struct tensor_spec *spec = layout_tensor(run->layout, i);
        fill_values(master_residual(master) + spec->offset, spec->count, salt + spec->offset + 5);
    }
    master_set_version(master, version);
}

static void assert_same_state(const struct run_dir *run, struct master *a, struct master *b)
{
    size_t size_bytes = layout_value_count(run->layout) * sizeof(float);
    CU_ASSERT_EQUAL(master_version(a), master_version(b));
    CU_ASSERT_EQUAL(memcmp(master_params(a), master_params(b), size_bytes), 0);
    CU_ASSERT_EQUAL(memcmp(master_weights(a), master_weights(b), size_bytes), 0);
    CU_ASSERT_EQUAL_FATAL(master_kind(a), master_kind(b));
    CU_ASSERT_EQUAL_FATAL(master_mean_codec(a), master_mean_codec(b));
    if (master_residual(a) != NULL) {
        CU_ASSERT_EQUAL(memcmp(master_residual(a), master_residual(b), size_bytes), 0);
    }
    for (size_t s = 0; s < optimizer_state_count(master_kind(a)); s++) {
        size_t count = 0;
        const float *expected = master_state(b, s, &count);
        CU_ASSERT_EQUAL(memcmp(master_state(a, s, &count), expected, count * sizeof *expected), 0);
    }
}

static void write_version(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    char name[64];
    struct master *master = new_master(run);
    fill_master(run, master, version);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(run, master, NULL, path), STATUS_OK);
    (void)snprintf(name, sizeof name, "run/checkpoints/step-%06u", (unsigned)version);
    CU_ASSERT_STRING_EQUAL(path, scratch_path(name));
    master_free(master);
}

/* Loads, and asserts that the state is bit for bit that of `version`. */
static void assert_loads(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    struct master *expected = new_master(run);
    struct master *loaded = new_master(run);
    fill_master(run, expected, version);
    told_count = 0;
    CU_ASSERT_EQUAL_FATAL(checkpoint_load(run, loaded, note_fault, path), STATUS_OK);
    assert_same_state(run, loaded, expected);
    master_free(expected);
    master_free(loaded);
}

static void checkpoint_comes_back_bit_for_bit(void)
{
    static const char *const leftovers[] = {"run/checkpoints/step-000009.tmp",
                                            "run/checkpoints/step--5",
                                            "run/checkpoints/step-12",
                                            "run/checkpoints/step-",
                                            "run/checkpoints/step-99999999999999999999999",
                                            "run/checkpoints/x"};
    struct run_dir run;
    run_fixture_open(&run, "mx8", NULL, NULL);
    write_version(&run, 8);
    for (size_t i = 0; i < sizeof leftovers / sizeof leftovers[0]; i++) {
        CU_ASSERT_EQUAL(files_make_folder(scratch_path(leftovers[i])), STATUS_OK);
    }
    assert_loads(&run, 8);
    CU_ASSERT_EQUAL(told_count, 0); /* what is not a checkpoint is not spoken of */
    write_version(&run, 9);         /* over what an interrupted write left */
    assert_loads(&run, 9);
    CU_ASSERT_FALSE(files_exists(scratch_path(leftovers[0])));
    run_fixture_close(&run);
}

/* Damages scratch/run/checkpoints/step-000002/`name` and asserts that step 1 is taken instead. */
static void assert_falls_back(const struct run_dir *run, const char *name, const char *from,
                              const char *to)
{
    char path[128];
    size_t size_bytes = 0;
    (void)snprintf(path, sizeof path, "run/checkpoints/step-000002/%s", name);
    uint8_t *whole = scratch_read(path, &size_bytes);
    uint8_t *damaged = scratch_read(path, &size_bytes);
    char *place = from != NULL ? strstr((char *)damaged, from) : (char *)damaged + size_bytes / 2;
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    if (from != NULL) {
        memcpy(place, to, strlen(to));
    } else {
        *place ^= 0x10;
    }
    scratch_write(path, damaged, size_bytes);
    assert_loads(run, 1);
    CU_ASSERT_EQUAL(told_count, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(told[0], scratch_path(path)));
    CU_ASSERT_EQUAL(unlink(scratch_path(path)), 0);
    assert_loads(run, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(told[0], scratch_path(path)));
    scratch_write(path, whole, size_bytes);
    free(whole);
    free(damaged);
}

static void damage_makes_the_older_one_load(void)
{
    struct run_dir run;
    run_fixture_open(&run, "fp32", NULL, NULL);
    write_version(&run, 1);
    write_version(&run, 2);
    assert_falls_back(&run, "model.safetensors", NULL, NULL);
    assert_falls_back(&run, "weights.safetensors", NULL, NULL);
    assert_falls_back(&run, "moment1.safetensors", NULL, NULL);
    assert_falls_back(&run, "moment2.safetensors", NULL, NULL);
    assert_falls_back(&run, "state.json", "{", "[");
    assert_falls_back(&run, "state.json", "\"version\": 2", "\"version\": 3");
    assert_falls_back(&run, "state.json", "\"adamw\"", "\"adamz\"");
    assert_falls_back(&run, "state.json", "\"digest\": \"", "\"digest\": \"zz");
    assert_falls_back(&run, "state.json", "\"moment1.safe", "\"moment3.safe");
    assert_loads(&run, 2);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/checkpoints")), STATUS_OK);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("run/checkpoints/step-000003")), STATUS_OK);
    struct master *master = new_master(&run);
    char path[FILES_PATH_MAX];
    CU_ASSERT_EQUAL(checkpoint_load(&run, master, NULL, path), STATUS_NO_INPUT);
    master_free(master);
    run_fixture_close(&run);
}

/* Only the bits of `expected` are there, bit i for step i. */
static void assert_kept(unsigned expected)
{
    for (unsigned i = 0; i < 16; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "run/checkpoints/step-%06u", i);
        CU_ASSERT_EQUAL(files_exists(scratch_path(name)), (expected >> i & 1U) != 0);
    }
}

/* The oldest that is kept and counts; 0 while there are too few. */
static void assert_prune_tells(const struct run_dir *run, uint64_t expected)
{
    uint64_t oldest = UINT64_MAX;
    CU_ASSERT_EQUAL(checkpoint_prune(run, &oldest), STATUS_OK);
    CU_ASSERT_EQUAL(oldest, expected);
}

static void pruning_keeps_the_newest_and_the_first(void)
{
    struct run_dir run;
    run_fixture_open(&run, "mx8", NULL, NULL); /* checkpoints_kept: 3 */
    write_version(&run, 1);
    write_version(&run, 2);
    assert_prune_tells(&run, 0);
    write_version(&run, 3);
    assert_prune_tells(&run, 1);
    assert_kept(1U << 0 | 1U << 1 | 1U << 2 | 1U << 3);
    write_version(&run, 4);
    write_version(&run, 4);
    assert_kept(1U << 0 | 1U << 1 | 1U << 2 | 1U << 3 | 1U << 4);
    assert_prune_tells(&run, 2);
    assert_kept(1U << 0 | 1U << 2 | 1U << 3 | 1U << 4);
    run.config.checkpoints_kept = 1; /* of a run file of an earlier release */
    write_version(&run, 10);
    assert_prune_tells(&run, 3);
    assert_kept(1U << 0 | 1U << 3 | 1U << 4 | 1U << 10);
    run.config.checkpoints_kept = 0; /* all */
    for (unsigned i = 11; i < 15; i++) {
        write_version(&run, i);
    }
    assert_prune_tells(&run, 3);
    assert_kept(1U << 0 | 1U << 3 | 1U << 4 | 0x7c00U);
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000001.tmp")));
    run_fixture_close(&run);
}

static void checkpoint_set_aside_is_no_longer_loaded(void)
{
    struct run_dir run;
    uint64_t *versions = NULL;
    size_t count = 0;
    run_fixture_open(&run, "mx8", NULL, NULL);
    write_version(&run, 1);
    write_version(&run, 2);
    CU_ASSERT_EQUAL(checkpoint_set_aside(&run, 2), STATUS_OK);
    assert_loads(&run, 1);
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/damaged-000002/state.json")));
    write_version(&run, 2);
    CU_ASSERT_EQUAL(checkpoint_set_aside(&run, 2), STATUS_OK); /* over the one of before */
    CU_ASSERT_EQUAL_FATAL(checkpoint_list(&run, &versions, &count), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(count, 2);
    CU_ASSERT_TRUE(versions[0] == 0 && versions[1] == 1);
    free(versions);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("run/checkpoints/step-000007.tmp")), STATUS_OK);
    CU_ASSERT_EQUAL(checkpoint_remove_torn(&run), STATUS_OK);
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000007.tmp")));
    assert_loads(&run, 1);
    run_fixture_close(&run);
}

static struct checkpoint_mark mark_at(const struct run_dir *run, uint64_t version)
{
    struct checkpoint_mark mark = {.state = {.run_id = run->run_id,
                                             .version = version,
                                             .sample_first = 8 * version,
                                             .tokens = 128 * version,
                                             .loss_first = 3.1000000000000001,
                                             .loss_last = 0x1.fffffffffffffp-3,
                                             .serial = 5,
                                             .paused = true,
                                             .settings = {.learning_rate = 0.1,
                                                          .target_batch = 8,
                                                          .codec = CODEC_FP32,
                                                          .mean_codec = CODEC_MX8,
                                                          .update_codec = CODEC_MX4}},
                                   .sequence = 77};
    mark.hash = digest_of("x", 1);
    return mark;
}

static bool same_numbers(const struct checkpoint_mark *a, const struct checkpoint_mark *b)
{
    return a->state.version == b->state.version && a->sequence == b->sequence &&
           a->state.sample_first == b->state.sample_first && a->state.tokens == b->state.tokens &&
           a->state.loss_first == b->state.loss_first && a->state.loss_last == b->state.loss_last &&
           a->state.serial == b->state.serial &&
           a->state.settings.learning_rate == b->state.settings.learning_rate &&
           a->state.settings.target_batch == b->state.settings.target_batch &&
           a->state.settings.codec == b->state.settings.codec &&
           a->state.settings.update_codec == b->state.settings.update_codec;
}

static void mark_comes_back_and_no_digit_of_it_can_change_unseen(void)
{
    static const char name[] = "run/checkpoints/step-000002/state.json";
    struct run_dir run;
    char path[FILES_PATH_MAX];
    bool has = false;
    struct checkpoint_mark found;
    run_fixture_open(&run, "mx8", NULL, NULL);
    const struct checkpoint_mark mark = mark_at(&run, 2);
    struct master *master = new_master(&run);
    CU_ASSERT_EQUAL_FATAL(master_change(master, 0.1, CODEC_FP32, CODEC_MX8), STATUS_OK);
    master_set_version(master, 2);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&run, master, &mark, path), STATUS_OK);
    CU_ASSERT_EQUAL(checkpoint_mark_of(&run, 2, &has, &found), STATUS_OK);
    CU_ASSERT_TRUE(has && same_numbers(&found, &mark));
    CU_ASSERT_TRUE(digest_equal(&found.state.run_id, &mark.state.run_id));
    CU_ASSERT_TRUE(digest_equal(&found.hash, &mark.hash));
    CU_ASSERT_TRUE(found.state.paused);
    CU_ASSERT_EQUAL(found.state.settings.codec, CODEC_FP32);
    CU_ASSERT_EQUAL(found.state.settings.mean_codec, CODEC_MX8);
    struct master *loaded = new_master(&run);
    CU_ASSERT_EQUAL(checkpoint_load_version(&run, 2, loaded), STATUS_OK);
    CU_ASSERT_EQUAL(master_mean_codec(loaded), CODEC_MX8);
    size_t size_bytes = 0;
    uint8_t *text = scratch_read(name, &size_bytes);
    unsigned flips = 0;
    unsigned noticed = 0;
    unsigned harmless = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            text[i] ^= 1;
            scratch_write(name, text, size_bytes);
            if (checkpoint_mark_of(&run, 2, &has, &found) == STATUS_OK) {
                harmless += same_numbers(&found, &mark); /* the 17th digit is not always needed */
            } else {
                CU_ASSERT_NOT_EQUAL(checkpoint_load_version(&run, 2, loaded), STATUS_OK);
                noticed++;
            }
            flips++;
            text[i] ^= 1;
        }
    }
    CU_ASSERT_TRUE(noticed + harmless == flips && harmless <= 3 && noticed > 200);
    scratch_write(name, text, size_bytes);
    CU_ASSERT_EQUAL(checkpoint_compare(&run, loaded), STATUS_OK);
    master_residual(loaded)[3] = 0x1p-149F;
    CU_ASSERT_EQUAL(checkpoint_compare(&run, loaded), STATUS_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "residual.safetensors"));
    free(text);
    master_free(master);
    master_free(loaded);
    run_fixture_close(&run);
}

static void open_with(struct run_dir *run, enum optimizer_kind kind)
{
    char to[64];
    (void)snprintf(to, sizeof to, "optimizer: {type: %s, ", optimizer_name(kind));
    run_fixture_open(run, "mx8, journal: mx8", "optimizer: {", to);
    CU_ASSERT_EQUAL(run->config.optimizer.kind, kind);
}

/* A step whose gradient follows from the version alone. */
static void step(const struct run_dir *run, struct master *master)
{
    const uint64_t tokens = run_config_step_tokens(&run->config);
    const struct exact_grid grid = exact_grid_for(tokens);
    size_t count = layout_value_count(run->layout);
    int64_t *sum = calloc(count, sizeof *sum);
    uint8_t *update = malloc(codec_encoded_bytes(run->config.codec, count));
    CU_ASSERT_FATAL(sum != NULL && update != NULL);
    for (size_t i = 0; i < count; i++) {
        int noise = (int)((i * 7919 + master_version(master) * 104729) % 1009) - 500;
        sum[i] = (int64_t)noise * (int64_t)tokens * (INT64_C(1) << (grid.shift - 16));
    }
    master_take_mean(master, sum, &grid, tokens, 0, count);
    (void)master_prepare(master);
    master_measure(master, 0, count);
    master_settle(master);
    CU_ASSERT_EQUAL(master_apply(master, update, 0, count), STATUS_OK);
    master_finish(master);
    free(update);
    free(sum);
}

static void steps_after_a_load_have_the_bits_of_a_run_that_never_stopped(void)
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        struct run_dir run;
        char path[FILES_PATH_MAX];
        open_with(&run, (enum optimizer_kind)kind);
        struct master *steady = new_master(&run);
        struct master *resumed = new_master(&run);
        CU_ASSERT_EQUAL_FATAL(checkpoint_load(&run, steady, NULL, path), STATUS_OK);
        for (int i = 0; i < 3; i++) {
            step(&run, steady);
        }
        CU_ASSERT_EQUAL_FATAL(checkpoint_write(&run, steady, NULL, path), STATUS_OK);
        CU_ASSERT_EQUAL_FATAL(checkpoint_load(&run, resumed, NULL, path), STATUS_OK);
        for (int i = 0; i < 4; i++) {
            step(&run, steady);
            step(&run, resumed);
        }
        assert_same_state(&run, resumed, steady);
        CU_ASSERT_EQUAL(master_version(resumed), 7);
        master_free(steady);
        master_free(resumed);
        run_fixture_close(&run);
    }
}

static void checkpoint_of_every_optimizer_comes_back_bit_for_bit(void)
{
    for (int kind = 0; kind < OPTIMIZER_KIND_COUNT; kind++) {
        struct run_dir run;
        open_with(&run, (enum optimizer_kind)kind);
        write_version(&run, 8);
        assert_loads(&run, 8);
        CU_ASSERT_EQUAL(told_count, 0);
        run_fixture_close(&run);
    }
}

static void checkpoint_of_another_optimizer_is_refused_with_both_names(void)
{
    struct run_dir run;
    char path[FILES_PATH_MAX];
    open_with(&run, OPTIMIZER_LAMB);
    write_version(&run, 2);
    run.config.optimizer = optimizer_defaults(OPTIMIZER_ADAMW); /* the same files, even */
    struct master *master = new_master(&run);
    told_count = 0;
    CU_ASSERT_EQUAL(checkpoint_load(&run, master, note_fault, path), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(told_count, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "step-000002 holds the state of lamb"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "optimizer.type is adamw"));
    master_free(master);
    run_fixture_close(&run);
}

/* Blanks the line of a state.json that begins with `key`. */
static void blank_line(char *text, const char *key)
{
    char *place = strstr(text, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    memset(place, ' ', strcspn(place, "\n"));
}

static void checkpoint_of_an_earlier_version_is_one_of_adamw(void)
{
    static const char name[] = "run/checkpoints/step-000002/state.json";
    struct run_dir run;
    char path[FILES_PATH_MAX];
    size_t size_bytes = 0;
    run_fixture_open(&run, "mx8", NULL, NULL);
    write_version(&run, 2);
    uint8_t *text = scratch_read(name, &size_bytes);
    blank_line((char *)text, "\"optimizer\":");
    blank_line((char *)text, "\"mean_codec\":");
    blank_line((char *)text, "\"self\":");
    scratch_write(name, text, size_bytes);
    assert_loads(&run, 2);
    CU_ASSERT_EQUAL(told_count, 0);
    run.config.optimizer = optimizer_defaults(OPTIMIZER_SGD);
    struct master *master = new_master(&run);
    CU_ASSERT_EQUAL(checkpoint_load(&run, master, NULL, path), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "the state of adamw"));
    master_free(master);
    free(text);
    run_fixture_close(&run);
}

/* The optimizer's state is that of `version`, the residual zero. */
static void assert_loads_without_residual(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    struct master *expected = new_master(run);
    struct master *loaded = new_master(run);
    size_t count = layout_value_count(run->layout);
    fill_master(run, expected, version);
    memset(master_residual(expected), 0, count * sizeof(float));
    fill_values(master_residual(loaded), count, 3);
    told_count = 0;
    CU_ASSERT_EQUAL_FATAL(checkpoint_load(run, loaded, note_fault, path), STATUS_OK);
    CU_ASSERT_EQUAL(told_count, 0);
    assert_same_state(run, loaded, expected);
    master_free(expected);
    master_free(loaded);
}

static void residual_comes_back_when_the_mean_codec_is_still_mx8(void)
{
    static const char file[] = "run/checkpoints/step-000002/residual.safetensors";
    static const char state[] = "run/checkpoints/step-000005/state.json";
    struct run_dir run;
    run_fixture_open(&run, "mx8, journal: mx8", NULL, NULL);
    write_version(&run, 1);
    write_version(&run, 2);
    CU_ASSERT_TRUE(files_exists(scratch_path(file)));
    assert_loads(&run, 2);
    assert_falls_back(&run, "residual.safetensors", NULL, NULL);
    assert_falls_back(&run, "state.json", "\"residual.safe", "\"residuum.safe");
    assert_falls_back(&run, "state.json", "\"mean_codec\": \"mx8\"", "\"mean_codec\": \"mx9\"");
    run.config.mean_codec = CODEC_BF16; /* a residual that is not needed is not read */
    assert_loads(&run, 2);
    CU_ASSERT_EQUAL(told_count, 0);
    write_version(&run, 4);
    CU_ASSERT_FALSE(files_exists(scratch_path("run/checkpoints/step-000004/residual.safetensors")));
    run.config.mean_codec = CODEC_MX8;
    assert_loads_without_residual(&run, 4);
    run.config.mean_codec = CODEC_FP32;
    write_version(&run, 5);
    size_t size_bytes = 0;
    uint8_t *text = scratch_read(state, &size_bytes);
    blank_line((char *)text, "\"mean_codec\":"); /* as releases before this one */
    blank_line((char *)text, "\"self\":");
    scratch_write(state, text, size_bytes);
    assert_loads(&run, 5);
    run.config.mean_codec = CODEC_MX8;
    assert_loads_without_residual(&run, 5);
    free(text);
    run_fixture_close(&run);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(checkpoint_comes_back_bit_for_bit),
        SUITE_TEST(damage_makes_the_older_one_load),
        SUITE_TEST(pruning_keeps_the_newest_and_the_first),
        SUITE_TEST(residual_comes_back_when_the_mean_codec_is_still_mx8),
        SUITE_TEST(checkpoint_of_every_optimizer_comes_back_bit_for_bit),
        SUITE_TEST(steps_after_a_load_have_the_bits_of_a_run_that_never_stopped),
        SUITE_TEST(checkpoint_of_another_optimizer_is_refused_with_both_names),
        SUITE_TEST(checkpoint_of_an_earlier_version_is_one_of_adamw),
        SUITE_TEST(checkpoint_set_aside_is_no_longer_loaded),
        SUITE_TEST(mark_comes_back_and_no_digit_of_it_can_change_unseen),
    };
    return suite_run("checkpoint", tests, sizeof tests / sizeof tests[0]);
}
