/* A run's folder under a crash and under a failure at every durable call: a run is there whole or
 * can be made again, and a checkpoint is the old one or the new one. */
#include "common/fault.h"
#include "coordinator/store/checkpoint.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/suite.h"
#include "trainer/data/ingest/data_build.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POWER_SEEDS = 4, OLD_VERSION = 4, NEW_VERSION = 5 };

static const char run_yaml[] = "name: tiny\n"
                               "seed: 7\n"
                               "model: {type: llama, hidden_size: 8, layers: 1, heads: 1}\n"
                               "data: {path: shards, context: 16}\n"
                               "training: {steps: 50, target_batch: 8, codec: mx8,\n"
                               "  checkpoint_every: 10, checkpoints_kept: 3}\n"
                               "optimizer: {learning_rate: 0.01, warmup_steps: 2}\n";

/* A disk with /sim/shards and /sim/run.yaml, all of it durable. */
static struct sim_disk *prepare(void)
{
    char text_path[] = "/tmp/dugnad-test-XXXXXX"; /* ingestion reads real files */
    struct sim_disk *disk = sim_disk_new(3);
    sim_disk_use(disk);
    int fd = mkstemp(text_path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    for (size_t i = 0; i < 8192; i++) {
        char letter = (char)('a' + (i * i + i / 7) % 26);
        CU_ASSERT_EQUAL_FATAL(write(fd, &letter, 1), 1);
    }
    CU_ASSERT_EQUAL(close(fd), 0);
    const char *file = text_path;
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = "/sim/shards",
                                         .files = &file,
                                         .file_count = 1,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = 1 << 20,
                                         .seed = 1};
    struct data_build_result result;
    CU_ASSERT_EQUAL_FATAL(data_build(&options, &result), STATUS_OK);
    CU_ASSERT_EQUAL(unlink(text_path), 0);
    CU_ASSERT_TRUE(sim_disk_put(disk, "/sim/run.yaml", run_yaml, strlen(run_yaml)));
    sim_disk_settle(disk);
    return disk;
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

/* Every tensor holds the version. */
static enum status write_version(const struct run_dir *run, uint64_t version)
{
    char path[FILES_PATH_MAX];
    struct master *master = new_master(run);
    for (size_t i = 0; i < layout_tensor_count(run->layout); i++) {
        const struct tensor_spec *spec = layout_tensor(run->layout, i);
        for (size_t k = 0; k < spec->count; k++) {
            master_params(master)[spec->offset + k] = (float)version;
            master_weights(master)[spec->offset + k] = (float)version + 0.25F;
        }
    }
    master_set_version(master, version);
    enum status status = checkpoint_write(run, master, NULL, path);
    master_free(master);
    return status;
}

/* The version that loads; the values must be its own. UINT64_MAX when none does. */
static uint64_t loaded_version(const struct run_dir *run)
{
    char path[FILES_PATH_MAX];
    struct master *master = new_master(run);
    uint64_t version = UINT64_MAX;
    if (checkpoint_load(run, master, NULL, path) == STATUS_OK) {
        version = master_version(master);
    }
    if (version != UINT64_MAX && version > 0) {
        size_t first = layout_tensor(run->layout, 0)->offset;
        CU_ASSERT_EQUAL(master_params(master)[first], (float)version);
        CU_ASSERT_EQUAL(master_weights(master)[first], (float)version + 0.25F);
    }
    master_free(master);
    return version;
}

static jmp_buf crashed;

static void jump(void *context)
{
    (void)context;
    longjmp(crashed, 1);
}

static enum status make_run(void)
{
    return run_dir_create("/sim/run.yaml", "/sim/run");
}

static enum status write_new(void)
{
    struct run_dir run;
    enum status status = run_dir_open("/sim/run", &run);
    if (status == STATUS_OK) {
        status = write_version(&run, NEW_VERSION);
        run_dir_close(&run);
    }
    return status;
}

/* Fine when the process crashes in it. */
static void run_until_crash(enum status (*act)(void))
{
    if (setjmp(crashed) == 0) {
        CU_ASSERT_EQUAL(act(), STATUS_OK);
    }
}

/* A run that is there must be whole; one that is not can be made. */
static void check_made_or_makeable(void)
{
    struct run_dir run;
    enum status status = run_dir_open("/sim/run", &run);
    if (status == STATUS_NO_INPUT) {
        CU_ASSERT_EQUAL(make_run(), STATUS_OK);
        status = run_dir_open("/sim/run", &run);
    }
    CU_ASSERT_EQUAL(status, STATUS_OK);
    if (status != STATUS_OK) {
        printf("%s\n", fault_text());
        return;
    }
    CU_ASSERT_EQUAL(loaded_version(&run), 0);
    run_dir_close(&run);
}

/* The old checkpoint or the new one, and the new one can be written. */
static void check_old_or_new(void)
{
    struct run_dir run;
    CU_ASSERT_EQUAL_FATAL(run_dir_open("/sim/run", &run), STATUS_OK);
    uint64_t version = loaded_version(&run);
    CU_ASSERT_TRUE(version == OLD_VERSION || version == NEW_VERSION);
    CU_ASSERT_EQUAL(write_version(&run, NEW_VERSION), STATUS_OK);
    CU_ASSERT_EQUAL(loaded_version(&run), NEW_VERSION);
    run_dir_close(&run);
}

static void check_new(void)
{
    struct run_dir run;
    CU_ASSERT_EQUAL_FATAL(run_dir_open("/sim/run", &run), STATUS_OK);
    CU_ASSERT_EQUAL(loaded_version(&run), NEW_VERSION);
    run_dir_close(&run);
}

/* `check` after the process is gone, and after power losses. */
static void check_all(struct sim_disk *disk, void (*check)(void))
{
    sim_disk_crash(disk);
    sim_disk_set_faults(disk, &(const struct sim_disk_faults){.capacity_bytes = 0});
    for (uint64_t seed = 0; seed <= POWER_SEEDS; seed++) {
        struct sim_disk *copy = sim_disk_copy(disk);
        sim_disk_use(copy);
        sim_disk_seed(copy, seed);
        if (seed > 0) {
            sim_disk_lose_power(copy);
        }
        check();
        sim_disk_free(copy);
    }
}

static uint64_t count_calls(const struct sim_disk *base, enum status (*act)(void))
{
    struct sim_disk *disk = sim_disk_copy(base);
    sim_disk_use(disk);
    CU_ASSERT_EQUAL_FATAL(act(), STATUS_OK);
    uint64_t count = sim_disk_call_count(disk);
    sim_disk_free(disk);
    return count;
}

static void crash_everywhere(const struct sim_disk *base, enum status (*act)(void),
                             void (*check)(void))
{
    uint64_t count = count_calls(base, act);
    CU_ASSERT_TRUE(count > 30);
    for (uint64_t call = 1; call <= count; call++) {
        for (enum sim_disk_moment when = SIM_DISK_BEFORE; when <= SIM_DISK_AFTER; when++) {
            struct sim_disk *disk = sim_disk_copy(base);
            sim_disk_use(disk);
            sim_disk_crash_at(disk, call, when, jump, NULL);
            run_until_crash(act);
            check_all(disk, check);
            sim_disk_free(disk);
        }
    }
}

static void fail_everywhere(const struct sim_disk *base, enum status (*act)(void),
                            void (*check)(void))
{
    uint64_t count = count_calls(base, act);
    for (uint64_t call = 1; call <= count; call++) {
        struct sim_disk *disk = sim_disk_copy(base);
        sim_disk_use(disk);
        sim_disk_fail_at(disk, call, EIO);
        enum status status = act();
        CU_ASSERT_TRUE(status == STATUS_IO || status == STATUS_CANNOT_CREATE);
        check_all(disk, check);
        sim_disk_free(disk);
    }
}

static void run_that_was_being_made_is_whole_or_can_be_made(void)
{
    struct sim_disk *base = prepare();
    crash_everywhere(base, make_run, check_made_or_makeable);
    fail_everywhere(base, make_run, check_made_or_makeable);
    sim_disk_free(base);
}

static void checkpoint_that_was_being_written_is_the_old_or_the_new(void)
{
    struct run_dir run;
    struct sim_disk *base = prepare();
    CU_ASSERT_EQUAL_FATAL(make_run(), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(run_dir_open("/sim/run", &run), STATUS_OK);
    for (uint64_t version = OLD_VERSION - 1; version <= OLD_VERSION; version++) {
        CU_ASSERT_EQUAL_FATAL(write_version(&run, version), STATUS_OK);
    }
    run_dir_close(&run);
    crash_everywhere(base, write_new, check_old_or_new);
    fail_everywhere(base, write_new, check_old_or_new);
    sim_disk_use(base);
    CU_ASSERT_EQUAL(write_new(), STATUS_OK);
    check_all(base, check_new);
    sim_disk_free(base);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(run_that_was_being_made_is_whole_or_can_be_made),
        SUITE_TEST(checkpoint_that_was_being_written_is_the_old_or_the_new),
    };
    return suite_run("checkpoint_faults", tests, sizeof tests / sizeof tests[0]);
}
