#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/data/manifest.h"
#include "trainer/run/run_config.h"

static const char FULL[] = "name: bible-1.0_x\n"
                           "seed: 18446744073709551615\n"
                           "model:\n"
                           "  type: llama\n"
                           "  hidden_size: 128\n"
                           "  layers: 4\n"
                           "  heads: 4\n"
                           "  kv_heads: 2\n"
                           "  intermediate_size: 300\n"
                           "  context: 256\n"
                           "  tied: false\n"
                           "  rope_theta: 5e5\n"
                           "  norm_eps: 1.0e-6\n"
                           "  init_std: 0.03\n"
                           "  vocab_size: 300\n"
                           "data:\n"
                           "  path: shards # made by dugnad data build\n"
                           "  context: 128\n"
                           "training:\n"
                           "  steps: 400\n"
                           "  target_batch: 33\n"
                           "  codec: fp32\n"
                           "  max_staleness: 0\n"
                           "  stale_from: 100\n"
                           "  predict: false\n"
                           "  checkpoint_every: 7\n"
                           "  checkpoints_kept: 0\n"
                           "optimizer:\n"
                           "  type: adamw\n"
                           "  learning_rate: 3.0e-3\n"
                           "  learning_rate_min: 2e-4\n"
                           "  warmup_steps: 21\n"
                           "  beta1: 0.8\n"
                           "  beta2: 0.99\n"
                           "  eps: 1.0e-7\n"
                           "  weight_decay: 0.2\n"
                           "  grad_clip: 0.5\n"
                           "aggregation:\n"
                           "  strategy: all_reduce\n"
                           "  believe: trusted\n"
                           "  check_share: 0.5\n"
                           "  fraction_max: 0.125\n"
                           "  owners_max: 256\n"
                           "  rest: false\n"
                           "  slow_link_codec: bf16\n"
                           "  slow_link_updates: true\n";

static const char SMALL[] = "model: {type: llama, hidden_size: 128, layers: 4, heads: 4}\n"
                            "data: {path: shards, context: 64}\n"
                            "training: {steps: 400}\n";

/* FULL with `from` replaced. */
static enum status read_changed(const char *from, const char *to, struct run_config *out)
{
    char text[4096];
    const char *place = strstr(FULL, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(place);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(place - FULL), FULL, to,
                   place + strlen(from));
    scratch_write_text("run.yaml", text);
    return run_config_read(scratch_path("run.yaml"), out);
}

static enum status read_text(const char *text, struct run_config *out)
{
    scratch_write_text("run.yaml", text);
    return run_config_read(scratch_path("run.yaml"), out);
}

/* The last sentence has all of these words. */
static void expect_words(const char *first, const char *second)
{
    if (strstr(fault_text(), first) == NULL || strstr(fault_text(), second) == NULL) {
        printf("'%s' and '%s' are not both in: %s\n", first, second, fault_text());
        CU_FAIL("the sentence says something else");
    }
}

static void full_file_is_read(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(read_text(FULL, &run), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(run.name, "bible-1.0_x");
    CU_ASSERT_EQUAL(run.seed, UINT64_MAX);
    CU_ASSERT_EQUAL(run.model.kind, MODEL_LLAMA);
    CU_ASSERT_EQUAL(run.model.width, 128);
    CU_ASSERT_EQUAL(run.model.layer_count, 4);
    CU_ASSERT_EQUAL(run.model.head_count, 4);
    CU_ASSERT_EQUAL(run.model.kv_head_count, 2);
    CU_ASSERT_EQUAL(run.model.head_size, 32);
    CU_ASSERT_EQUAL(run.model.ffn_width, 300);
    CU_ASSERT_EQUAL(run.model.context_max, 256);
    CU_ASSERT_FALSE(run.model.tied_head);
    CU_ASSERT_EQUAL(run.model.rope_theta, 500000.0F);
    CU_ASSERT_EQUAL(run.model.norm_eps, 1e-6F);
    CU_ASSERT_EQUAL(run.model.init_std, 0.03F);
    CU_ASSERT_EQUAL(run.model.vocab_size, 300);
    CU_ASSERT_EQUAL(run.data_folder[0], '/');
    CU_ASSERT_STRING_EQUAL(run.data_folder, scratch_path("shards"));
    CU_ASSERT_EQUAL(run.context, 128);
    CU_ASSERT_EQUAL(run.step_count, 400);
    CU_ASSERT_EQUAL(run.target_batch, 33);
    CU_ASSERT_EQUAL(run_config_step_tokens(&run), 33 * 128);
    CU_ASSERT_EQUAL(run.codec, CODEC_FP32);
    CU_ASSERT_EQUAL(run.mean_codec, CODEC_FP32);
    CU_ASSERT_EQUAL(run.max_staleness, 0);
    CU_ASSERT_EQUAL(run.stale_from, 100);
    CU_ASSERT_FALSE(run.predict);
    CU_ASSERT_EQUAL(run.checkpoint_every, 7);
    CU_ASSERT_EQUAL(run.checkpoints_kept, 0);
    CU_ASSERT_EQUAL(run.schedule.learning_rate, 3e-3);
    CU_ASSERT_EQUAL(run.schedule.learning_rate_min, 2e-4);
    CU_ASSERT_EQUAL(run.schedule.warmup_steps, 21);
    CU_ASSERT_EQUAL(run.schedule.step_count, 400);
    CU_ASSERT_EQUAL(run.optimizer.beta1, 0.8);
    CU_ASSERT_EQUAL(run.optimizer.beta2, 0.99);
    CU_ASSERT_EQUAL(run.optimizer.eps, 1e-7);
    CU_ASSERT_EQUAL(run.optimizer.weight_decay, 0.2);
    CU_ASSERT_EQUAL(run.optimizer.grad_clip, 0.5);
    CU_ASSERT_EQUAL(run.aggregation.strategy, AGGREGATION_ALL_REDUCE);
    CU_ASSERT_EQUAL(run.aggregation.belief, AGGREGATION_TRUSTED);
    CU_ASSERT_EQUAL(run.aggregation.check_share, 0.5);
    CU_ASSERT_EQUAL(run.aggregation.fraction_max, 0.125);
    CU_ASSERT_EQUAL(run.aggregation.owners_max, 256);
    CU_ASSERT_FALSE(run.aggregation.rest);
    CU_ASSERT_TRUE(run.aggregation.has_slow_link_codec);
    CU_ASSERT_EQUAL(run.aggregation.slow_link_codec, CODEC_BF16);
    CU_ASSERT_TRUE(run.aggregation.slow_link_updates);
    scratch_end();
}

static void missing_keys_get_defaults(void)
{
    struct run_config run;
    struct manifest manifest = {.tokenizer = "bytes", .vocab_size = 256};
    scratch_begin();
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("shards")), STATUS_OK);
    CU_ASSERT_EQUAL(manifest_write(&manifest, scratch_path("shards")), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(read_text(SMALL, &run), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(run.name, "run");
    CU_ASSERT_EQUAL(run.seed, 1);
    CU_ASSERT_EQUAL(run.model.vocab_size, 256);
    CU_ASSERT_EQUAL(run.model.kv_head_count, 4);
    CU_ASSERT_EQUAL(run.stale_from, 80); /* a fifth of the steps */
    CU_ASSERT_EQUAL(run.aggregation.strategy, AGGREGATION_ADAPTIVE);
    CU_ASSERT_EQUAL(run.aggregation.belief, AGGREGATION_CHECKED);
    CU_ASSERT_EQUAL(run.aggregation.fraction_max, 0.25);
    CU_ASSERT_EQUAL(run.aggregation.owners_max, 64);
    CU_ASSERT_TRUE(run.aggregation.rest);
    CU_ASSERT_FALSE(run.aggregation.has_slow_link_codec);
    CU_ASSERT_FALSE(run.aggregation.slow_link_updates);
    CU_ASSERT_EQUAL(run.model.ffn_width, 352); /* 8/3 * 128 = 341.3, rounded up to 32s */
    CU_ASSERT_EQUAL(run.model.context_max, 64);
    CU_ASSERT_TRUE(run.model.tied_head);
    CU_ASSERT_EQUAL(run.model.rope_theta, 10000.0F);
    CU_ASSERT_EQUAL(run.model.bos_id, -1);
    CU_ASSERT_EQUAL(run.context, 64);
    CU_ASSERT_EQUAL(run.target_batch, 32);
    CU_ASSERT_EQUAL(run.codec, CODEC_MX8);
    CU_ASSERT_EQUAL(run.mean_codec, CODEC_BF16);
    CU_ASSERT_EQUAL(run.checkpoint_every, 100);
    CU_ASSERT_EQUAL(run.checkpoints_kept, 3);
    CU_ASSERT_EQUAL(run.schedule.learning_rate_min, run.schedule.learning_rate / 10);
    CU_ASSERT_EQUAL(run.schedule.warmup_steps, 8);
    CU_ASSERT_EQUAL(run.optimizer.beta2, 0.95);
    CU_ASSERT_EQUAL_FATAL(
        read_text("model: {type: gpt2, hidden_size: 96, layers: 1, heads: 3, context: 50}\n"
                  "data: {path: shards}\n"
                  "training: {steps: 4}\n",
                  &run),
        STATUS_OK);
    CU_ASSERT_EQUAL(run.model.kind, MODEL_GPT2);
    CU_ASSERT_EQUAL(run.model.ffn_width, 384);
    CU_ASSERT_EQUAL(run.context, 50);
    scratch_end();
}

static void journal_follows_the_codec_unless_it_is_given(void)
{
    static const struct {
        const char *keys;
        enum codec codec;
        enum codec mean_codec;
        uint32_t kept;
    } cases[] = {
        {"codec: fp32", CODEC_FP32, CODEC_FP32, 3},
        {"codec: bf16", CODEC_BF16, CODEC_BF16, 3},
        {"codec: mx8, checkpoints_kept: 4", CODEC_MX8, CODEC_BF16, 4},
        {"codec: mx4", CODEC_MX4, CODEC_BF16, 3},
        {"codec: mx4, journal: mx8", CODEC_MX4, CODEC_MX8, 3},
        {"journal: mx8", CODEC_MX8, CODEC_MX8, 3},
        {"codec: fp32, journal: bf16, checkpoints_kept: 3", CODEC_FP32, CODEC_BF16, 3},
        {"codec: bf16, journal: fp32", CODEC_BF16, CODEC_FP32, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run_config run;
        char text[512];
        scratch_begin();
        (void)snprintf(text, sizeof text,
                       "model: {type: gpt2, hidden_size: 8, layers: 1, heads: 1, vocab_size: 300}\n"
                       "data: {path: shards, context: 8}\ntraining: {steps: 400, %s}\n",
                       cases[i].keys);
        CU_ASSERT_EQUAL_FATAL(read_text(text, &run), STATUS_OK);
        CU_ASSERT_EQUAL(run.codec, cases[i].codec);
        CU_ASSERT_EQUAL(run.mean_codec, cases[i].mean_codec);
        CU_ASSERT_EQUAL(run.checkpoints_kept, cases[i].kept);
        scratch_end();
    }
}

/* A small run with this optimizer: section. */
static enum status read_optimizer(const char *section, struct run_config *out)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "model: {type: gpt2, hidden_size: 8, layers: 1, heads: 1, vocab_size: 300}\n"
                   "data: {path: shards, context: 8}\ntraining: {steps: 400}\noptimizer: {%s}\n",
                   section);
    return read_text(text, out);
}

static void every_optimizer_has_its_own_defaults(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(read_optimizer("name: adamw", &run), STATUS_OK); /* the old word */
    CU_ASSERT_EQUAL(run.optimizer.kind, OPTIMIZER_ADAMW);
    CU_ASSERT_EQUAL(run.optimizer.weight_decay, 0.1);
    CU_ASSERT_EQUAL(run.schedule.kind, SCHEDULE_COSINE);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("type: lamb", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.optimizer.kind, OPTIMIZER_LAMB);
    CU_ASSERT_EQUAL(run.optimizer.beta2, 0.999);
    CU_ASSERT_EQUAL(run.optimizer.eps, 1e-6);
    CU_ASSERT_EQUAL(run.optimizer.weight_decay, 0.01);
    CU_ASSERT_EQUAL(run.schedule.learning_rate, 1e-3);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("type: adam_mini, beta2: 0.9", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.optimizer.kind, OPTIMIZER_ADAM_MINI);
    CU_ASSERT_EQUAL(run.optimizer.beta2, 0.9);
    CU_ASSERT_EQUAL(run.optimizer.beta1, 0.9);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("type: sgd", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.optimizer.kind, OPTIMIZER_SGD);
    CU_ASSERT_EQUAL(run.optimizer.momentum, 0.9);
    CU_ASSERT_TRUE(run.optimizer.nesterov);
    CU_ASSERT_EQUAL(run.optimizer.weight_decay, 0.0);
    CU_ASSERT_EQUAL(run.schedule.learning_rate, 0.1);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("type: sgd, momentum: 0", &run), STATUS_OK);
    CU_ASSERT_FALSE(run.optimizer.nesterov);
    CU_ASSERT_EQUAL(read_optimizer("type: sgd, momentum: 0, nesterov: true", &run),
                    STATUS_BAD_CONFIG);
    expect_words("run.yaml:4: optimizer.nesterov", "momentum above 0");
    scratch_end();
}

static void schedules_are_read_with_their_keys(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(read_optimizer("schedule: wsd", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.schedule.kind, SCHEDULE_WSD);
    CU_ASSERT_EQUAL(run.schedule.decay, SCHEDULE_DECAY_SQRT);
    CU_ASSERT_EQUAL(run.schedule.decay_steps, 80);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("schedule: wsd, warmup_steps: 350", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.schedule.decay_steps, 50); /* what is left */
    CU_ASSERT_EQUAL_FATAL(
        read_optimizer("schedule: wsd, decay_steps: 20, decay: linear, warmup_steps: 380", &run),
        STATUS_OK);
    CU_ASSERT_EQUAL(run.schedule.decay_steps, 20);
    CU_ASSERT_EQUAL(run.schedule.decay, SCHEDULE_DECAY_LINEAR);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("schedule: linear, learning_rate_min: 0", &run),
                          STATUS_OK);
    CU_ASSERT_EQUAL(run.schedule.kind, SCHEDULE_LINEAR);
    CU_ASSERT_EQUAL(run.schedule.learning_rate_min, 0.0);
    CU_ASSERT_EQUAL_FATAL(read_optimizer("schedule: constant", &run), STATUS_OK);
    CU_ASSERT_EQUAL(run.schedule.kind, SCHEDULE_CONSTANT);
    scratch_end();
}

static void typing_errors_name_line_and_nearest_key(void)
{
    static const struct {
        const char *from;
        const char *to;
        const char *place;
        const char *advice;
    } CASES[] = {
        {"hidden_size", "hiden_size", "run.yaml:5: unknown key model.hiden_size",
         "did you mean hidden_size?"},
        {"optimizer:", "optimiser:", "run.yaml:28: unknown key optimiser",
         "did you mean optimizer?"},
        {"  steps:", "  step:", "run.yaml:20: unknown key training.step", "did you mean steps?"},
        {"  learning_rate:", "  learning-rate:", "run.yaml:30:", "did you mean learning_rate?"},
        {"seed:", "sed:", "run.yaml:2: unknown key sed", "did you mean seed?"},
        {"seed:", "steps:", "run.yaml:2: unknown key steps", "it belongs under training"},
        {"  beta1:", "  seed:", "run.yaml:33: unknown key optimizer.seed", "it belongs at the top"},
    };
    struct run_config run;
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CU_ASSERT_EQUAL(read_changed(CASES[i].from, CASES[i].to, &run), STATUS_BAD_CONFIG);
        expect_words(CASES[i].place, CASES[i].advice);
    }
    scratch_end();
}

static void wrong_values_name_line_and_range(void)
{
    static const struct {
        const char *from;
        const char *to;
        const char *place;
        const char *advice;
    } CASES[] = {
        {"layers: 4", "layers: four", "run.yaml:6: model.layers", "whole number from 1 to 512"},
        {"layers: 4", "layers: 4.5", "run.yaml:6: model.layers", "not '4.5'"},
        {"layers: 4", "layers: -4", "run.yaml:6: model.layers", "not '-4'"},
        {"layers: 4", "layers: 0", "run.yaml:6: model.layers", "not '0'"},
        {"layers: 4", "layers: 513", "run.yaml:6: model.layers", "not '513'"},
        {"layers: 4", "layers: 99999999999999999999", "run.yaml:6: model.layers", "whole"},
        {"layers: 4", "layers:", "run.yaml:6: model.layers", "not ''"},
        {"layers: 4", "layers: [4]", "run.yaml:6: model.layers", "whole number"},
        {"layers: 4", "layers: 4\n  layers: 4", "run.yaml:7: model.layers", "twice"},
        {"tied: false", "tied: no", "run.yaml:11: model.tied", "true or false"},
        {"norm_eps: 1.0e-6", "norm_eps: nan", "run.yaml:13: model.norm_eps", "a number from"},
        {"norm_eps: 1.0e-6", "norm_eps: 0x1p-9", "run.yaml:13: model.norm_eps", "a number from"},
        {"norm_eps: 1.0e-6", "norm_eps: 1", "run.yaml:13: model.norm_eps", "0.1"},
        {"beta1: 0.8", "beta1: 1.0", "run.yaml:33: optimizer.beta1", "0.999999"},
        {"type: llama", "type: lama", "run.yaml:4: model.type", "llama or gpt2"},
        {"type: llama", "type: gpt2", "run.yaml:8: model.kv_heads", "llama only"},
        {"heads: 4", "heads: 3", "run.yaml:7: model.heads", "divide model.hidden_size (128)"},
        {"kv_heads: 2", "kv_heads: 3", "run.yaml:8: model.kv_heads", "divide model.heads (4)"},
        {"context: 128", "context: 257", "run.yaml:18: data.context", "256"},
        {"codec: fp32", "journal: mx4", "run.yaml:22: training.journal",
         "mx8, bf16 or fp32, not 'mx4': the optimizer"},
        {"codec: fp32", "journal: fp64", "run.yaml:22: training.journal", "mx8, bf16 or fp32"},
        {"checkpoints_kept: 0", "checkpoints_kept: 1", "run.yaml:27:", "at least 3, or 0"},
        {"checkpoints_kept: 0", "checkpoints_kept: 2", "run.yaml:27:", "at least 3, or 0"},
        {"codec: fp32", "codec: fp16", "run.yaml:22: training.codec", "mx8, mx4, bf16 or fp32"},
        {"max_staleness: 0", "max_staleness: 2", "run.yaml:23: training.max_staleness", "1"},
        {"stale_from: 100", "stale_from: -1", "run.yaml:24: training.stale_from", "0"},
        {"predict: false", "predict: often", "run.yaml:25: training.predict", "true or false"},
        {"type: adamw", "type: adam", "run.yaml:29: optimizer.type", "lamb, sgd or adam_mini"},
        {"type: adamw", "name: adam", "run.yaml:29: optimizer.name", "must be adamw"},
        {"type: adamw", "type: sgd\n  name: sgd", "run.yaml:30: optimizer.name", "remove it"},
        {"type: adamw", "type: sgd", "run.yaml:33: optimizer.beta1", "not used by sgd"},
        {"grad_clip: 0.5", "momentum: 0.9", "run.yaml:37: optimizer.momentum", "not used by adamw"},
        {"grad_clip: 0.5", "nesterov: true", "run.yaml:37: optimizer.nesterov", "by adamw"},
        {"grad_clip: 0.5", "decay_steps: 5", "run.yaml:37: optimizer.decay_steps",
         "not used by the schedule cosine"},
        {"grad_clip: 0.5", "decay: linear", "run.yaml:37: optimizer.decay", "schedule cosine"},
        {"grad_clip: 0.5", "decay: line", "run.yaml:37: optimizer.decay", "sqrt or linear"},
        {"grad_clip: 0.5", "schedule: wds", "run.yaml:37: optimizer.schedule",
         "cosine, linear, wsd or constant"},
        {"grad_clip: 0.5", "schedule: constant", "run.yaml:31: optimizer.learning_rate_min",
         "the schedule constant; remove it"},
        {"grad_clip: 0.5", "schedule: wsd\n  decay_steps: 380",
         "run.yaml:38:", "only 379 of training.steps are left"},
        {"learning_rate_min: 2e-4", "learning_rate_min: 2", "run.yaml:31:", "learning_rate"},
        {"warmup_steps: 21", "warmup_steps: 401", "run.yaml:32:", "training.steps (400)"},
        {"name: bible-1.0_x", "name: ../x", "run.yaml:1: name", "letters, digits"},
        {"name: bible-1.0_x", "name: a b", "run.yaml:1: name", "letters, digits"},
        {"strategy: all_reduce", "strategy: ring", "run.yaml:39: aggregation.strategy",
         "adaptive, all_reduce or parameter_server"},
        {"believe: trusted", "believe: all", "run.yaml:40: aggregation.believe", "trusted"},
        {"owners_max: 256", "owners_max: 257", "run.yaml:43: aggregation.owners_max", "256"},
        {"codec: bf16", "codec: gzip", "run.yaml:45: aggregation.slow_link_codec", "'gzip'"},
        {"training:\n", "training: 5\nother:\n", "run.yaml:19: training", "must hold keys"},
    };
    struct run_config run;
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CU_ASSERT_EQUAL(read_changed(CASES[i].from, CASES[i].to, &run), STATUS_BAD_CONFIG);
        expect_words(CASES[i].place, CASES[i].advice);
    }
    scratch_end();
}

static void membership_is_read_and_is_by_invite_unless_given(void)
{
    static const struct {
        const char *line;
        enum membership membership;
    } lines[] = {{"", MEMBERSHIP_INVITE},
                 {"membership: invite\n", MEMBERSHIP_INVITE},
                 {"membership: open\n", MEMBERSHIP_OPEN},
                 {"membership: allowlist\n", MEMBERSHIP_ALLOWLIST}};
    static const char *const wrong[] = {"Open", "all", "yes"};
    struct run_config run;
    struct manifest manifest = {.tokenizer = "bytes", .vocab_size = 256};
    char text[1024];
    scratch_begin();
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("shards")), STATUS_OK);
    CU_ASSERT_EQUAL(manifest_write(&manifest, scratch_path("shards")), STATUS_OK);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", lines[i].line, SMALL);
        CU_ASSERT_EQUAL(read_text(text, &run), STATUS_OK);
        CU_ASSERT_EQUAL(run.membership, lines[i].membership);
        CU_ASSERT_TRUE(lines[i].line[0] == '\0' ||
                       strstr(lines[i].line, membership_name(run.membership)) != NULL);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)snprintf(text, sizeof text, "membership: %s\n%s", wrong[i], SMALL);
        CU_ASSERT_EQUAL(read_text(text, &run), STATUS_BAD_CONFIG);
        expect_words("membership", "allowlist");
    }
    scratch_end();
}

static void coarser_updates_without_a_codec_for_them_are_refused(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL(read_changed("  slow_link_codec: bf16\n", "", &run), STATUS_BAD_CONFIG);
    expect_words("run.yaml:45: aggregation.slow_link_updates",
                 "set aggregation.slow_link_codec too");
    scratch_end();
}

static void missing_required_keys_are_named(void)
{
    static const struct {
        const char *from;
        const char *to;
        const char *key;
    } CASES[] = {
        {"  type: llama\n", "", "model.type is missing"},
        {"  hidden_size: 128\n", "", "model.hidden_size is missing"},
        {"  layers: 4\n", "", "model.layers is missing"},
        {"  heads: 4\n", "", "model.heads is missing"},
        {"  path: shards # made by dugnad data build\n", "", "data.path is missing"},
        {"  steps: 400\n", "", "training.steps is missing"},
    };
    struct run_config run;
    scratch_begin();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CU_ASSERT_EQUAL(read_changed(CASES[i].from, CASES[i].to, &run), STATUS_BAD_CONFIG);
        expect_words(CASES[i].key, "run.yaml");
    }
    scratch_end();
}

static void broken_yaml_is_refused_with_its_line(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL(read_text("model:\n  type: llama\n layers: 2\n", &run), STATUS_BAD_CONFIG);
    expect_words("run.yaml:3:", "not valid YAML");
    CU_ASSERT_EQUAL(read_text("", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("just text\n", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("- a\n- b\n", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("? [a]\n: 1\n", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("seed: *nothing\n", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("seed: 1\n---\nseed: 2\n", &run), STATUS_BAD_CONFIG);
    expect_words("run.yaml:3:", "second document");
    CU_ASSERT_EQUAL(run_config_read(scratch_path("none.yaml"), &run), STATUS_NO_INPUT);
    scratch_end();
}

static void missing_data_folder_says_how_to_make_it(void)
{
    struct run_config run;
    scratch_begin();
    CU_ASSERT_EQUAL(read_text(SMALL, &run), STATUS_BAD_CONFIG);
    expect_words("run.yaml:2: data.path", "dugnad data build");
    /* the vocabulary is given: the data is not needed yet */
    CU_ASSERT_EQUAL(read_text(FULL, &run), STATUS_OK);
    scratch_end();
}

static void model_config_file_gives_all_sizes(void)
{
    struct run_config run;
    struct model_config model = {.kind = MODEL_GPT2,
                                 .vocab_size = 256,
                                 .width = 48,
                                 .layer_count = 2,
                                 .head_count = 4,
                                 .kv_head_count = 4,
                                 .head_size = 12,
                                 .ffn_width = 100,
                                 .context_max = 40,
                                 .tied_head = true,
                                 .norm_eps = 1e-5F,
                                 .init_std = 0.02F,
                                 .bos_id = -1,
                                 .eos_id = -1};
    char *text = NULL;
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(model_config_to_json(&model, &text), STATUS_OK);
    CU_ASSERT_EQUAL(files_make_folder(scratch_path("m")), STATUS_OK);
    scratch_write_text("m/config.json", text);
    free(text);
    static const char *const FORMS[] = {"m", "m/config.json"};
    for (size_t i = 0; i < 2; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml,
                       "model: {config: %s}\ndata: {path: x}\ntraining: {steps: 1}\n", FORMS[i]);
        CU_ASSERT_EQUAL_FATAL(read_text(yaml, &run), STATUS_OK);
        CU_ASSERT_EQUAL(run.model.ffn_width, 100);
        CU_ASSERT_EQUAL(run.context, 40);
    }
    CU_ASSERT_EQUAL(read_text("model:\n  config: m\n  layers: 3\n", &run), STATUS_BAD_CONFIG);
    CU_ASSERT_EQUAL(read_text("data: {path: x}\nmodel:\n  config: m\n  layers: 3\n", &run),
                    STATUS_BAD_CONFIG);
    expect_words("run.yaml:4: model.layers", "remove one");
    CU_ASSERT_EQUAL(read_text("data: {path: x}\nmodel:\n  config: none\n", &run),
                    STATUS_BAD_CONFIG);
    expect_words("run.yaml:3: model.config", "none");
    scratch_end();
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(full_file_is_read),
        SUITE_TEST(missing_keys_get_defaults),
        SUITE_TEST(journal_follows_the_codec_unless_it_is_given),
        SUITE_TEST(every_optimizer_has_its_own_defaults),
        SUITE_TEST(schedules_are_read_with_their_keys),
        SUITE_TEST(typing_errors_name_line_and_nearest_key),
        SUITE_TEST(wrong_values_name_line_and_range),
        SUITE_TEST(membership_is_read_and_is_by_invite_unless_given),
        SUITE_TEST(coarser_updates_without_a_codec_for_them_are_refused),
        SUITE_TEST(missing_required_keys_are_named),
        SUITE_TEST(broken_yaml_is_refused_with_its_line),
        SUITE_TEST(missing_data_folder_says_how_to_make_it),
        SUITE_TEST(model_config_file_gives_all_sizes),
    };
    return suite_run("run_config", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
