/* What makes a run cannot change unseen; what may be edited can. */
#include "tests/unit/store_fixture.h"
#include "trainer/run/run_data.h"

#include <unistd.h>

/* Puts `to` in the place of `from` in a file of the run. */
static void edit(const char *name, const char *from, const char *to)
{
    size_t size_bytes = 0;
    char text[4096];
    char edited[4096];
    uint8_t *data = scratch_read(name, &size_bytes);
    CU_ASSERT_FATAL(size_bytes < sizeof text);
    memcpy(text, data, size_bytes);
    text[size_bytes] = '\0';
    free(data);
    const char *place = strstr(text, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    (void)snprintf(edited, sizeof edited, "%.*s%s%s", (int)(place - text), text, to,
                   place + strlen(from));
    scratch_write_text(name, edited);
}

static void open_run_again(struct store_fixture *f)
{
    run_dir_close(&f->run);
    enum status status = run_dir_open(scratch_path("run"), &f->run);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "%s\n", fault_text());
    }
    CU_ASSERT_EQUAL_FATAL(status, STATUS_OK);
}

/* A run with checkpoints 2 and 4, and step 4 behind them; closed. */
static void begin(struct store_fixture *f)
{
    store_fixture_init(f, "mx8");
    for (int i = 0; i < 2; i++) {
        store_fixture_commits(f, 2);
        store_fixture_checkpoint(f);
    }
    store_fixture_commit(f);
    store_fixture_stop(f);
}

static void run_with_other_samples_or_optimizer_is_refused(void)
{
    static const char *const edits[][3] = {
        {"run/run.yaml", "seed: 7", "seed: 5"},
        {"run/run.yaml", "context: 16", "context: 15"},
        {"run/run.yaml", "beta1: 0.9", "beta1: 0.8"},
        {"run/run.yaml", "weight_decay: 0.", "weight_decay: 1."},
        {"run/run.yaml", "warmup_steps: 2", "warmup_steps: 3"},
        {"run/run.yaml", "schedule: cosine", "schedule: linear"},
        {"run/run.yaml", "  manifest: ",
         "  manifest: 0000000000000000000000000000000000000000000000"
         "000000000000000000 #"},
        {"run/model.json", "\"rope_theta\": 1", "\"rope_theta\": 2"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        struct store_fixture f;
        struct store_report report;
        begin(&f);
        edit(edits[i][0], edits[i][1], edits[i][2]);
        open_run_again(&f);
        CU_ASSERT_EQUAL(store_fixture_try(&f), STATUS_BAD_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "put copies of identity.key"));
        CU_ASSERT_EQUAL(store_verify(&f.run, 1, &report), STATUS_OK);
        CU_ASSERT_PTR_NOT_NULL(strstr(report.fault, "a run with another key"));
        edit(edits[i][0], edits[i][2], edits[i][1]);
        open_run_again(&f);
        store_fixture_start(&f);
        CU_ASSERT_TRUE(at_twin(&f));
        store_fixture_deinit(&f);
    }
}

static void run_with_another_key_is_refused_and_none_is_made(void)
{
    struct store_fixture f;
    begin(&f);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/identity.key")), 0);
    struct run_dir run;
    CU_ASSERT_EQUAL(run_dir_open(scratch_path("run"), &run), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "identity.key is missing"));
    CU_ASSERT_FALSE(files_exists(scratch_path("run/identity.key")));
    struct identity other;
    CU_ASSERT_EQUAL(identity_open(scratch_path("run/identity.key"), &other), STATUS_OK);
    open_run_again(&f);
    CU_ASSERT_EQUAL(store_fixture_try(&f), STATUS_BAD_CONFIG);
    store_fixture_deinit(&f);
}

/* The journal's own settings win, and each step keeps the rate that it had. */
static void what_may_be_edited_changes_nothing_that_was_done(void)
{
    struct store_fixture f;
    struct store_report report;
    begin(&f);
    edit("run/run.yaml", "name: tiny", "name: other");
    edit("run/run.yaml", "steps: 50", "steps: 900");
    edit("run/run.yaml", "target_batch: 8", "target_batch: 4");
    edit("run/run.yaml", "codec: mx8", "codec: fp32");
    edit("run/run.yaml", "  learning_rate: 0.01", "  learning_rate: 0.05");
    edit("run/run.yaml", "checkpoint_every: 10", "checkpoint_every: 11");
    open_run_again(&f);
    CU_ASSERT_EQUAL(f.run.config.schedule.step_count, 900);
    CU_ASSERT_EQUAL(store_verify(&f.run, 1, &report), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(report.fault, "");
    CU_ASSERT_EQUAL(report.replayed, 5);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(note_count, 0);
    CU_ASSERT_EQUAL(store_state(f.store)->settings.target_batch, 8);
    CU_ASSERT_TRUE(store_state(f.store)->settings.learning_rate == 0.01);
    store_fixture_deinit(&f);
}

static void data_may_move_but_not_change(void)
{
    struct store_fixture f;
    struct dataset *data = NULL;
    begin(&f);
    CU_ASSERT_TRUE(f.run.config.has_data_manifest);
    CU_ASSERT_EQUAL(rename(scratch_path("shards"), scratch_path("moved")), 0);
    edit("run/run.yaml", "/shards\"", "/moved\"");
    open_run_again(&f);
    CU_ASSERT_EQUAL(run_data_open(&f.run.config, DATASET_TRAIN, &data), STATUS_OK);
    dataset_close(data);
    store_fixture_start(&f);
    CU_ASSERT_TRUE(at_twin(&f));
    store_fixture_stop(&f);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("moved")), STATUS_OK);
    run_fixture_build_data_at("moved", 5);
    CU_ASSERT_EQUAL(run_data_open(&f.run.config, DATASET_TRAIN, &data), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NULL(data);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "other data than the run was made with"));
    store_fixture_deinit(&f);
}

static void checkpoint_of_another_run_is_passed_over(void)
{
    struct store_fixture f;
    struct store_report report;
    char path[FILES_PATH_MAX];
    bool has = false;
    struct checkpoint_mark mark;
    begin(&f);
    CU_ASSERT_EQUAL_FATAL(checkpoint_mark_of(&f.run, 4, &has, &mark), STATUS_OK);
    struct master *other = store_fixture_master(&f.run);
    CU_ASSERT_EQUAL_FATAL(checkpoint_load_version(&f.run, 4, other), STATUS_OK);
    mark.state.run_id.bytes[3] ^= 1;
    CU_ASSERT_EQUAL_FATAL(checkpoint_write(&f.run, other, &mark, path), STATUS_OK);
    master_free(other);
    CU_ASSERT_EQUAL(store_verify(&f.run, 1, &report), STATUS_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(report.fault, "is that of another run"));
    store_fixture_start(&f);
    CU_ASSERT_TRUE(noted("the checkpoint of step 4"));
    CU_ASSERT_TRUE(noted("is that of another run"));
    CU_ASSERT_TRUE(at_twin(&f));
    CU_ASSERT_EQUAL(store_checkpoint_version(f.store), 2);
    store_fixture_deinit(&f);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(run_with_other_samples_or_optimizer_is_refused),
        SUITE_TEST(run_with_another_key_is_refused_and_none_is_made),
        SUITE_TEST(what_may_be_edited_changes_nothing_that_was_done),
        SUITE_TEST(data_may_move_but_not_change),
        SUITE_TEST(checkpoint_of_another_run_is_passed_over),
    };
    return suite_run("run_identity", tests, sizeof tests / sizeof tests[0]);
}
