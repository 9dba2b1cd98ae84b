/* run_fixture - a tiny run on disk: data, settings and the folder, inside the scratch folder. */
#ifndef DUGNAD_TESTS_UNIT_RUN_FIXTURE_H
#define DUGNAD_TESTS_UNIT_RUN_FIXTURE_H

#include "coordinator/store/run_dir.h"
#include "tests/unit/scratch.h"
#include "trainer/data/ingest/data_build.h"

/* hidden_size 40 leaves padding behind each norm; 8 slices of MASTER_SLICE_ALIGN. */
static const char RUN_YAML[] = "name: tiny\n"
                               "seed: 7\n"
                               "model: {type: llama, hidden_size: 40, layers: 1, heads: 2}\n"
                               "data: {path: shards, context: 16}\n"
                               "training: {steps: 50, target_batch: 8, codec: CODEC,\n"
                               "  checkpoint_every: 10, checkpoints_kept: 3}\n"
                               "optimizer: {learning_rate: 0.01, warmup_steps: 2}\n";

/* Builds scratch/`folder` from a little text; another `twist` is another text. */
__attribute__((unused)) static void run_fixture_build_data_at(const char *folder, size_t twist)
{
    char text[8192];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + (i * i + i / twist) % 26);
    }
    scratch_write("text.txt", text, sizeof text);
    const char *file = scratch_path("text.txt");
    struct data_build_options options = {.tokenizer_spec = "bytes",
                                         .out_folder = scratch_path(folder),
                                         .files = &file,
                                         .file_count = 1,
                                         .validation_fraction = 0.1,
                                         .shard_tokens_max = 1 << 20,
                                         .seed = 1};
    struct data_build_result result;
    CU_ASSERT_EQUAL_FATAL(data_build(&options, &result), STATUS_OK);
}

__attribute__((unused)) static void run_fixture_build_data(void)
{
    run_fixture_build_data_at("shards", 7);
}

/* Writes scratch/run.yaml: RUN_YAML with this codec and `from` (may be NULL) replaced by `to`. */
__attribute__((unused)) static void run_fixture_write_yaml(const char *codec, const char *from,
                                                           const char *to)
{
    const char *const changes[2][2] = {{"CODEC", codec}, {from, to}};
    char text[2048];
    (void)snprintf(text, sizeof text, "%s", RUN_YAML);
    for (size_t i = 0; i < 2 && changes[i][0] != NULL; i++) {
        char before[2048];
        (void)snprintf(before, sizeof before, "%s", text);
        const char *place = strstr(before, changes[i][0]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(place);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(place - before), before, changes[i][1],
                       place + strlen(changes[i][0]));
    }
    scratch_write_text("run.yaml", text);
}

/* Begins the scratch folder and makes scratch/run; `from` and `to` as above. */
__attribute__((unused)) static void run_fixture_open(struct run_dir *run, const char *codec,
                                                     const char *from, const char *to)
{
    scratch_begin();
    run_fixture_build_data();
    run_fixture_write_yaml(codec, from, to);
    CU_ASSERT_EQUAL_FATAL(run_dir_create(scratch_path("run.yaml"), scratch_path("run")), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), run), STATUS_OK);
}

__attribute__((unused)) static void run_fixture_close(struct run_dir *run)
{
    run_dir_close(run);
    scratch_end();
}

#endif
