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
    CU_ASSERT_EQUAL_FATAL(master_new(run->layout, &run->config.adamw, &run->config.schedule,
                                     run->config.codec, &master),
                          STATUS_OK);
    return master;
}

/* A state that only exact copies give back, at `version`. */
static void fill_master(const struct run_dir *run, struct master *master, uint64_t version)
{
    static const float odd[] = {-0.0F, 0x1p-149F, -0x1.fffffep127F, 0x1p-126F};
    float *const arrays[] = {master_params(master), master_weights(master), master_moment1(master),
                             master_moment2(master)};
    for (size_t i = 0; i < layout_tensor_count(run->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(run->layout, i);
        for (size_t a = 0; a < 4; a++) {
            for (size_t k = 0; k < spec->count; k++) {
                arrays[a][spec->offset + k] =
                    k < 4 ? odd[(k + a) % 4]
                          : 1.0F / (float)(k + spec->offset + a * 1000 + version * 7);
            }
        }
    }
    master_set_version(master, version);
}

static void write_version(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    char name[64];
    struct master *master = new_master(run);
    fill_master(run, master, version);
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(run, master, path), STATUS_OK);
    (void)snprintf(name, sizeof name, "run/checkpoints/step-%06u", (unsigned)version);
    CU_ASSERT_STRING_EQUAL(path, scratch_path(name));
    master_free(master);
}

/* Loads, and asserts that the state is bit for bit that of `version`. */
static void assert_loads(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    size_t size_bytes = layout_value_count(run->layout) * sizeof(float);
    struct master *expected = new_master(run);
    struct master *loaded = new_master(run);
    fill_master(run, expected, version);
    told_count = 0;
    CU_ASSERT_EQUAL_FATAL(checkpoint_load(run, loaded, note_fault, path), STATUS_OK);
    CU_ASSERT_EQUAL(master_version(loaded), version);
    CU_ASSERT_EQUAL(memcmp(master_params(loaded), master_params(expected), size_bytes), 0);
    CU_ASSERT_EQUAL(memcmp(master_weights(loaded), master_weights(expected), size_bytes), 0);
    CU_ASSERT_EQUAL(memcmp(master_moment1(loaded), master_moment1(expected), size_bytes), 0);
    CU_ASSERT_EQUAL(memcmp(master_moment2(loaded), master_moment2(expected), size_bytes), 0);
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

static void pruning_keeps_the_newest_and_the_first(void)
{
    struct run_dir run;
    run_fixture_open(&run, "mx8", NULL, NULL); /* checkpoints_kept: 2 */
    write_version(&run, 1);
    write_version(&run, 2);
    assert_kept(1U << 0 | 1U << 1 | 1U << 2);
    write_version(&run, 3);
    write_version(&run, 3);
    assert_kept(1U << 0 | 1U << 2 | 1U << 3);
    write_version(&run, 10);
    assert_kept(1U << 0 | 1U << 3 | 1U << 10);
    run.config.checkpoints_kept = 1;
    /* The run went back to step 3: step 10 is of a course that it left, and not the newest. */
    write_version(&run, 5);
    assert_kept(1U << 0 | 1U << 5);
    assert_loads(&run, 5);
    run.config.checkpoints_kept = 0; /* all */
    for (unsigned i = 6; i < 11; i++) {
        write_version(&run, i);
    }
    assert_kept(1U << 0 | 0x7e0U);
    run_fixture_close(&run);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(checkpoint_comes_back_bit_for_bit),
        SUITE_TEST(damage_makes_the_older_one_load),
        SUITE_TEST(pruning_keeps_the_newest_and_the_first),
    };
    return suite_run("checkpoint", tests, sizeof tests / sizeof tests[0]);
}
