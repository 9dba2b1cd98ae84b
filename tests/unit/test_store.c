#include "common/fault.h"
#include "coordinator/store/run_file.h"
#include "coordinator/store/status_file.h"
#include "tests/unit/run_fixture.h"
#include "tests/unit/suite.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct run_config odd_config(const char *data_folder)
{
    struct run_config config = {.name = "0x.-_Y9",
                                .model = {.kind = MODEL_LLAMA,
                                          .vocab_size = 300,
                                          .width = 60,
                                          .layer_count = 3,
                                          .head_count = 6,
                                          .kv_head_count = 2,
                                          .head_size = 10,
                                          .ffn_width = 77,
                                          .context_max = 99,
                                          .tied_head = false,
                                          .norm_eps = 1.1e-6F,
                                          .rope_theta = 123456.7F,
                                          .init_std = 0.1F / 3.0F,
                                          .bos_id = 1,
                                          .eos_id = -1},
                                .context = 33,
                                .step_count = 99999999,
                                .target_batch = 1U << 20,
                                .seed = UINT64_MAX,
                                .codec = CODEC_FP32,
                                .mean_codec = CODEC_MX8,
                                .checkpoint_every = 12345,
                                .checkpoints_kept = 0,
                                .optimizer = {.beta1 = 1.0 / 3.0,
                                              .beta2 = 0.999999,
                                              .eps = 1e-19 / 7.0,
                                              .weight_decay = 1.0 / 7.0,
                                              .grad_clip = 1.0 / 11.0},
                                .schedule = {.learning_rate = 2.0 / 3.0,
                                             .learning_rate_min = 1e-13 / 3.0,
                                             .warmup_steps = 17,
                                             .step_count = 99999999},
                                .aggregation = {.strategy = AGGREGATION_ALL_REDUCE,
                                                .belief = AGGREGATION_TRUSTED,
                                                .check_share = 1.0 / 3.0,
                                                .fraction_max = 1.0 / 17.0,
                                                .owners_max = 256,
                                                .has_slow_link_codec = true,
                                                .slow_link_codec = CODEC_BF16,
                                                .slow_link_updates = true}};
    (void)snprintf(config.data_folder, sizeof config.data_folder, "%s", data_folder);
    return config;
}

static void assert_same_model(const struct model_config *a, const struct model_config *b)
{
    CU_ASSERT_EQUAL(a->kind, b->kind);
    CU_ASSERT_EQUAL(a->vocab_size, b->vocab_size);
    CU_ASSERT_EQUAL(a->width, b->width);
    CU_ASSERT_EQUAL(a->layer_count, b->layer_count);
    CU_ASSERT_EQUAL(a->head_count, b->head_count);
    CU_ASSERT_EQUAL(a->kv_head_count, b->kv_head_count);
    CU_ASSERT_EQUAL(a->head_size, b->head_size);
    CU_ASSERT_EQUAL(a->ffn_width, b->ffn_width);
    CU_ASSERT_EQUAL(a->context_max, b->context_max);
    CU_ASSERT_EQUAL(a->tied_head, b->tied_head);
    CU_ASSERT(a->norm_eps == b->norm_eps && a->init_std == b->init_std);
    CU_ASSERT(a->kind == MODEL_GPT2 || a->rope_theta == b->rope_theta);
    CU_ASSERT_EQUAL(a->bos_id, b->bos_id);
    CU_ASSERT_EQUAL(a->eos_id, b->eos_id);
}

static void assert_same_config(const struct run_config *a, const struct run_config *b)
{
    CU_ASSERT_STRING_EQUAL(a->name, b->name);
    CU_ASSERT_STRING_EQUAL(a->data_folder, b->data_folder);
    assert_same_model(&a->model, &b->model);
    CU_ASSERT_EQUAL(a->context, b->context);
    CU_ASSERT_EQUAL(a->step_count, b->step_count);
    CU_ASSERT_EQUAL(a->target_batch, b->target_batch);
    CU_ASSERT_EQUAL(a->seed, b->seed);
    CU_ASSERT_EQUAL(a->codec, b->codec);
    CU_ASSERT_EQUAL(a->mean_codec, b->mean_codec);
    CU_ASSERT_EQUAL(a->max_staleness, b->max_staleness);
    CU_ASSERT_EQUAL(a->stale_from, b->stale_from);
    CU_ASSERT_EQUAL(a->predict, b->predict);
    CU_ASSERT_EQUAL(a->checkpoint_every, b->checkpoint_every);
    CU_ASSERT_EQUAL(a->checkpoints_kept, b->checkpoints_kept);
    CU_ASSERT_EQUAL(a->optimizer.kind, b->optimizer.kind);
    CU_ASSERT(a->optimizer.beta1 == b->optimizer.beta1);
    CU_ASSERT(a->optimizer.beta2 == b->optimizer.beta2);
    CU_ASSERT(a->optimizer.eps == b->optimizer.eps);
    CU_ASSERT(a->optimizer.weight_decay == b->optimizer.weight_decay);
    CU_ASSERT(a->optimizer.grad_clip == b->optimizer.grad_clip);
    CU_ASSERT(a->optimizer.momentum == b->optimizer.momentum);
    CU_ASSERT_EQUAL(a->optimizer.nesterov, b->optimizer.nesterov);
    CU_ASSERT_EQUAL(a->schedule.kind, b->schedule.kind);
    CU_ASSERT_EQUAL(a->schedule.decay, b->schedule.decay);
    CU_ASSERT_EQUAL(a->schedule.decay_steps, b->schedule.decay_steps);
    CU_ASSERT(a->schedule.learning_rate == b->schedule.learning_rate);
    CU_ASSERT(a->schedule.learning_rate_min == b->schedule.learning_rate_min);
    CU_ASSERT_EQUAL(a->schedule.warmup_steps, b->schedule.warmup_steps);
    CU_ASSERT_EQUAL(a->schedule.step_count, b->schedule.step_count);
    CU_ASSERT_EQUAL(a->aggregation.strategy, b->aggregation.strategy);
    CU_ASSERT_EQUAL(a->aggregation.belief, b->aggregation.belief);
    CU_ASSERT(a->aggregation.check_share == b->aggregation.check_share);
    CU_ASSERT(a->aggregation.fraction_max == b->aggregation.fraction_max);
    CU_ASSERT_EQUAL(a->aggregation.owners_max, b->aggregation.owners_max);
    CU_ASSERT_EQUAL(a->aggregation.rest, b->aggregation.rest);
    CU_ASSERT_EQUAL(a->aggregation.has_slow_link_codec, b->aggregation.has_slow_link_codec);
    CU_ASSERT_EQUAL(a->aggregation.slow_link_codec, b->aggregation.slow_link_codec);
    CU_ASSERT_EQUAL(a->aggregation.slow_link_updates, b->aggregation.slow_link_updates);
}

/* Every optimizer and schedule comes along; only what its kind uses is written. */
static void choose_optimizer(struct run_config *config, size_t i)
{
    struct optimizer_settings *settings = &config->optimizer;
    settings->kind = (enum optimizer_kind)(i % OPTIMIZER_KIND_COUNT);
    if (settings->kind == OPTIMIZER_SGD) {
        settings->beta1 = settings->beta2 = settings->eps = 0;
        settings->momentum = i < OPTIMIZER_KIND_COUNT ? 1.0 / 13.0 : 0;
        settings->nesterov = i < OPTIMIZER_KIND_COUNT;
    }
    struct schedule *schedule = &config->schedule;
    schedule->kind = (enum schedule_kind)(i % SCHEDULE_KIND_COUNT);
    if (schedule->kind == SCHEDULE_WSD) {
        schedule->decay_steps = 4321;
        schedule->decay = i < SCHEDULE_KIND_COUNT ? SCHEDULE_DECAY_LINEAR : SCHEDULE_DECAY_SQRT;
    }
    if (schedule->kind == SCHEDULE_CONSTANT) { /* the default; nothing falls to it */
        schedule->learning_rate_min = schedule->learning_rate / 10;
    }
}

static void write_and_read_give_equal_values(void)
{
    static const char *const data_folders[] = {
        "/plain", "/it's \"quoted\" \\ back", "/: # - {a: [b]} & * ! | > % @ `",
        "/ends in blanks  ", "/tab\tnewline\nreturn\rbell\adel\x7f",
        "/bl\303\245b\303\246r/\xf0\x9f\x8c\xb2",
        /* what YAML folds, strips or refuses: NEL, C1, line and paragraph ends, marks */
        "/\xc2\x85\xc2\x80/ \xe2\x80\xa8 \xe2\x80\xa9 /\xef\xbb\xbf/\xef\xbf\xbf"};
    scratch_begin();
    for (size_t i = 0; i < sizeof data_folders / sizeof data_folders[0]; i++) {
        struct run_config config = odd_config(data_folders[i]);
        struct run_config read;
        choose_optimizer(&config, i);
        if (i % 2 == 1) {
            config.model.kind = MODEL_GPT2;
            config.model.kv_head_count = config.model.head_count;
            config.codec = i % 4 == 1 ? CODEC_MX8 : CODEC_BF16;
            config.mean_codec = i % 4 == 1 ? CODEC_BF16 : CODEC_FP32;
        }
        CU_ASSERT_EQUAL_FATAL(run_file_write(scratch_folder, &config), STATUS_OK);
        CU_ASSERT_EQUAL(run_config_read(scratch_path("run.yaml"), &read), STATUS_OK);
        assert_same_config(&config, &read);
    }
    scratch_end();
}

static void write_of_a_path_that_is_not_utf8_is_refused(void)
{
    static const char *const bad[] = {"/latin-1 \xe5", "/overlong \xc0\xaf", "/half \xf0\x9f\x8c"};
    scratch_begin();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct run_config config = odd_config(bad[i]);
        CU_ASSERT_EQUAL(run_file_write(scratch_folder, &config), STATUS_BAD_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "not UTF-8"));
        CU_ASSERT_FALSE(files_exists(scratch_path("run.yaml")));
    }
    scratch_end();
}

static void create_makes_a_run_that_opens(void)
{
    struct run_dir run;
    struct run_dir again;
    struct run_dir other;
    struct run_config asked;
    run_fixture_open(&run, "mx8", NULL, NULL);
    CU_ASSERT_EQUAL(run_config_read(scratch_path("run.yaml"), &asked), STATUS_OK);
    assert_same_config(&run.config, &asked);
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/step-000000/state.json")));
    CU_ASSERT_TRUE(files_exists(scratch_path("run/checkpoints/step-000000/tokenizer.json")));
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), &again), STATUS_OK);
    CU_ASSERT_TRUE(digest_equal(&run.run_id, &again.run_id));
    run_dir_close(&again);
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), scratch_path("a/b/run")), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("a/b/run"), &other), STATUS_OK);
    CU_ASSERT_FALSE(digest_equal(&run.run_id, &other.run_id)); /* another key */
    run_dir_close(&other);
    run_fixture_close(&run);
}

static void create_over_a_run_is_refused_and_changes_nothing(void)
{
    struct run_dir run;
    struct run_dir again;
    run_fixture_open(&run, "mx8", NULL, NULL);
    run_fixture_write_yaml("fp32", NULL, NULL);
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), run.path), STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), run.path));
    CU_ASSERT_EQUAL_FATAL(run_dir_open(run.path, &again), STATUS_OK);
    CU_ASSERT_EQUAL(again.config.codec, CODEC_MX8);
    CU_ASSERT_TRUE(digest_equal(&run.run_id, &again.run_id));
    run_dir_close(&again);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/run.yaml")), 0);
    /* Steps that were taken are a run as well; earlier releases wrote them to steps.jsonl. */
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("run/journal")), STATUS_OK);
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), run.path), STATUS_CANNOT_CREATE);
    CU_ASSERT_EQUAL(files_remove_folder(scratch_path("run/journal")), STATUS_OK);
    scratch_write_text("run/steps.jsonl", "{}\n");
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), run.path), STATUS_CANNOT_CREATE);
    CU_ASSERT_EQUAL(unlink(scratch_path("run/steps.jsonl")), 0);
    /* What an interrupted init leaves is no run: it can be repeated. */
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), run.path), STATUS_OK);
    run_fixture_close(&run);
}

static void assert_refused(enum status expected, const char *part)
{
    CU_ASSERT_EQUAL(run_dir_create(scratch_path("run.yaml"), scratch_path("run")), expected);
    if (strstr(fault_text(), part) == NULL) {
        CU_FAIL("the sentence lacks something");
        (void)printf("\n    '%s' lacks '%s'\n", fault_text(), part);
    }
    CU_ASSERT_FALSE(files_exists(scratch_path("run")));
}

static void create_that_cannot_work_leaves_nothing(void)
{
    scratch_begin();
    run_fixture_write_yaml("mx8", "heads: 2", "heads: 2, vocab_size: 256");
    assert_refused(STATUS_NO_INPUT, "shards"); /* no data at all */
    run_fixture_build_data();
    run_fixture_write_yaml("mx8", "heads: 2", "heads: 2, vocab_size: 255");
    assert_refused(STATUS_BAD_CONFIG, "set model.vocab_size to 256");
    run_fixture_write_yaml("mx8", "context: 16", "context: 100000");
    assert_refused(STATUS_BAD_CONFIG, "");
    run_fixture_write_yaml("mx8", "hidden_size: 40, layers: 1",
                           "hidden_size: 16384, intermediate_size: 65536, layers: 15");
    assert_refused(STATUS_NO_MEMORY, "MiB");
    run_fixture_write_yaml("mx8", "codec:", "cdoec:");
    assert_refused(STATUS_BAD_CONFIG, "codec");
    run_fixture_write_yaml("mx8", NULL, NULL);
    size_t size_bytes = 0;
    uint8_t *shard = scratch_read("shards/train-00000.bin", &size_bytes);
    shard[size_bytes / 2] ^= 1;
    scratch_write("shards/train-00000.bin", shard, size_bytes);
    assert_refused(STATUS_CORRUPT, "train-00000.bin");
    shard[size_bytes / 2] ^= 1;
    scratch_write("shards/train-00000.bin", shard, size_bytes);
    free(shard);
    CU_ASSERT_EQUAL(unlink(scratch_path("shards/tokenizer.json")), 0);
    assert_refused(STATUS_NO_INPUT, "tokenizer.json");
    scratch_end();
}

static void open_of_no_run_says_how_to_make_one(void)
{
    struct run_dir run;
    scratch_begin();
    CU_ASSERT_EQUAL(run_dir_open(scratch_folder, &run), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "dugnad-coordinator init"));
    char *name = malloc(2 * FILES_PATH_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(name);
    memset(name, 'x', 2 * FILES_PATH_MAX - 1);
    name[2 * FILES_PATH_MAX - 1] = '\0';
    CU_ASSERT_EQUAL(run_dir_open(name, &run), STATUS_USAGE);
    free(name);
    scratch_end();
}

static void lock_lasts_until_the_run_is_closed(void)
{
    struct run_dir run;
    struct run_dir again;
    run_fixture_open(&run, "mx8", NULL, NULL);
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), &again), STATUS_OK);
    CU_ASSERT_EQUAL(run_dir_lock(&run), STATUS_OK);
    CU_ASSERT_EQUAL(run_dir_lock(&again), STATUS_UNAVAILABLE);
    CU_ASSERT_EQUAL(run_dir_lock(&run), STATUS_UNAVAILABLE);
    run_dir_close(&run);
    CU_ASSERT_EQUAL(run_dir_lock(&again), STATUS_OK);
    run_fixture_close(&again);
}

static unsigned mode_of(const char *path)
{
    struct stat facts;
    CU_ASSERT_EQUAL_FATAL(stat(path, &facts), 0);
    return facts.st_mode & ALLPERMS;
}

/* Who can open the lock, if only to read it, can take it. */
static void lock_and_new_run_are_their_owners_alone(void)
{
    struct run_dir run;
    mode_t before = umask(0);
    run_fixture_open(&run, "mx8", NULL, NULL);
    CU_ASSERT_EQUAL(run_dir_lock(&run), STATUS_OK);
    CU_ASSERT_EQUAL(mode_of(run.path), 0700);
    CU_ASSERT_EQUAL(mode_of(scratch_path("run/checkpoints")), 0755);
    CU_ASSERT_EQUAL(mode_of(scratch_path("run/checkpoints/step-000000")), 0755);
    CU_ASSERT_EQUAL(mode_of(scratch_path("run/lock")), 0600);
    CU_ASSERT_EQUAL(chmod(scratch_path("run/lock"), 0644), 0); /* of an earlier release */
    struct run_dir again;
    CU_ASSERT_EQUAL_FATAL(run_dir_open(scratch_path("run"), &again), STATUS_OK);
    CU_ASSERT_EQUAL(run_dir_lock(&again), STATUS_UNAVAILABLE);
    CU_ASSERT_EQUAL(mode_of(scratch_path("run/lock")), 0600);
    run_dir_close(&again);
    run_fixture_close(&run);
    (void)umask(before);
}

static void lock_keeps_another_process_out(void)
{
    struct run_dir run;
    run_fixture_open(&run, "mx8", NULL, NULL);
    pid_t first = fork(); /* holds the lock only while it lives */
    if (first == 0) {
        _exit(run_dir_lock(&run) == STATUS_OK ? 0 : 1);
    }
    int result = -1;
    CU_ASSERT_EQUAL(waitpid(first, &result, 0), first);
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(run_dir_lock(&run), STATUS_OK);
    pid_t second = fork();
    if (second == 0) {
        bool refused = run_dir_lock(&run) == STATUS_UNAVAILABLE;
        _exit(refused && strstr(fault_text(), run.path) != NULL ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(second, &result, 0), second);
    CU_ASSERT_EQUAL(result, 0);
    run_fixture_close(&run);
}

static void status_comes_back_as_json(void)
{
    struct run_status status = {.name = "tiny",
                                .state = "running",
                                .step = 12,
                                .step_count = 50,
                                .loss = 1.0 / 3.0,
                                .train_loss_first = 5.5,
                                .tokens_per_s = 1e6,
                                .peers = 3,
                                .peers_seen = 4,
                                .tokens = UINT64_C(1) << 52,
                                .digest_mismatches = 1,
                                .refused_contributions = 2,
                                .updated_ms = 1700000000000,
                                .port = 65535,
                                .checkpoint = "/a \"b\"/\xc3\xa5"};
    static const char *const parts[] = {"\"name\":\"tiny\"",
                                        "\"state\":\"running\"",
                                        "\"step\":12",
                                        "\"steps\":50",
                                        "\"loss\":0.333333333",
                                        "\"train_loss_first\":5.5",
                                        "\"train_loss_last\":0.333333333",
                                        "\"peers\":3",
                                        "\"peers_seen\":4",
                                        "\"tokens\":4503599627370496",
                                        "\"digest_mismatches\":1",
                                        "\"refused_contributions\":2",
                                        "\"updated_ms\":1700000000000",
                                        "\"port\":65535",
                                        "\"checkpoint\":\"/a \\\"b\\\"/\xc3\xa5\""};
    char *text = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL(status_file_read(scratch_folder, &text), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NULL(text);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "init"));
    CU_ASSERT_EQUAL(status_file_port(scratch_folder), 0);
    CU_ASSERT_EQUAL(status_file_write(scratch_folder, &status), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(status_file_read(scratch_folder, &text), STATUS_OK);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(text, parts[i]) == NULL) {
            CU_FAIL("a value is missing");
            (void)printf("\n    %s is not in %s\n", parts[i], text);
        }
    }
    free(text);
    CU_ASSERT_EQUAL(status_file_port(scratch_folder), 65535);
    (void)snprintf(status.checkpoint, sizeof status.checkpoint, "/latin-1 \xe5/x");
    CU_ASSERT_EQUAL(status_file_write(scratch_folder, &status), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(status_file_read(scratch_folder, &text), STATUS_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "/latin-1 ?/x"));
    free(text);
    scratch_end();
}

static void port_of_a_damaged_status_is_none(void)
{
    static const char *const odd[] = {"",
                                      "{",
                                      "[]",
                                      "{\"port\":\"7\"}",
                                      "{\"port\":-1}",
                                      "{\"port\":65536}",
                                      "{\"port\":4294967303}"};
    scratch_begin();
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        scratch_write_text("status.json", odd[i]);
        CU_ASSERT_EQUAL(status_file_port(scratch_folder), 0);
    }
    scratch_write_text("status.json", "{\"port\":7}");
    CU_ASSERT_EQUAL(status_file_port(scratch_folder), 7);
    scratch_end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(write_and_read_give_equal_values),
        SUITE_TEST(write_of_a_path_that_is_not_utf8_is_refused),
        SUITE_TEST(create_makes_a_run_that_opens),
        SUITE_TEST(create_over_a_run_is_refused_and_changes_nothing),
        SUITE_TEST(create_that_cannot_work_leaves_nothing),
        SUITE_TEST(open_of_no_run_says_how_to_make_one),
        SUITE_TEST(lock_lasts_until_the_run_is_closed),
        SUITE_TEST(lock_and_new_run_are_their_owners_alone),
        SUITE_TEST(lock_keeps_another_process_out),
        SUITE_TEST(status_comes_back_as_json),
        SUITE_TEST(port_of_a_damaged_status_is_none),
    };
    return suite_run("store", tests, sizeof tests / sizeof tests[0]);
}
