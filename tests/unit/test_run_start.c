#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/data/manifest.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/run/run_start.h"

#include <math.h>
#include <unistd.h>

static const struct model_config MODEL = {.kind = MODEL_LLAMA,
                                          .vocab_size = 260,
                                          .width = 16,
                                          .layer_count = 1,
                                          .head_count = 2,
                                          .kv_head_count = 2,
                                          .head_size = 8,
                                          .ffn_width = 24,
                                          .context_max = 32,
                                          .tied_head = true,
                                          .norm_eps = 1e-5F,
                                          .rope_theta = 10000.0F,
                                          .init_std = 0.02F,
                                          .bos_id = -1,
                                          .eos_id = -1};

/* A folder "m" with a model of seed 5 and a byte tokenizer, data "d", and a run that joins them. */
struct fixture {
    struct layout *layout;
    float *params;
    float *back;
    struct tokenizer *tokenizer;
    struct run_config run;
};

static void write_manifest(const char *tokenizer, uint32_t vocab_size)
{
    struct manifest manifest = {.vocab_size = vocab_size};
    (void)snprintf(manifest.tokenizer, sizeof manifest.tokenizer, "%s", tokenizer);
    CU_ASSERT_EQUAL_FATAL(manifest_write(&manifest, scratch_path("d")), STATUS_OK);
}

static void write_model(const struct fixture *self, const struct tokenizer *tokenizer)
{
    const struct hf_content content = {
        .config = &MODEL, .layout = self->layout, .params = self->params, .tokenizer = tokenizer};
    CU_ASSERT_EQUAL_FATAL(files_remove_folder(scratch_path("m")), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(hf_folder_create(scratch_path("m"), &content), STATUS_OK);
}

static enum status read_run(struct fixture *self, const char *model)
{
    char yaml[256];
    (void)snprintf(yaml, sizeof yaml,
                   "model:\n%sdata: {path: d, context: 16}\ntraining: {steps: 1}\n", model);
    scratch_write_text("run.yaml", yaml);
    return run_config_read(scratch_path("run.yaml"), &self->run);
}

static struct fixture begin(void)
{
    struct fixture self = {0};
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(layout_new(&MODEL, &self.layout), STATUS_OK);
    self.params = calloc(layout_value_count(self.layout), sizeof(float));
    self.back = calloc(layout_value_count(self.layout), sizeof(float));
    CU_ASSERT_TRUE_FATAL(self.params != NULL && self.back != NULL);
    layout_init_params(self.layout, &MODEL, 5, self.params);
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &self.tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(files_make_folder(scratch_path("d")), STATUS_OK);
    write_manifest("bytes", 256);
    write_model(&self, self.tokenizer);
    CU_ASSERT_EQUAL_FATAL(read_run(&self, "  init_from: m\n"), STATUS_OK);
    return self;
}

static void end(struct fixture *self)
{
    free(self->params);
    free(self->back);
    tokenizer_free(self->tokenizer);
    layout_free(self->layout);
    scratch_end();
}

static bool starts_with_params(struct fixture *self)
{
    CU_ASSERT_EQUAL(run_start_check(&self->run), STATUS_OK);
    CU_ASSERT_EQUAL(run_start_params(&self->run, self->layout, self->back), STATUS_OK);
    return memcmp(self->params, self->back, layout_value_count(self->layout) * sizeof(float)) == 0;
}

static void init_from_gives_sizes_and_parameters(void)
{
    struct fixture self = begin();
    CU_ASSERT_EQUAL(self.run.model.ffn_width, 24);
    CU_ASSERT_EQUAL(self.run.model.vocab_size, 260);
    CU_ASSERT_EQUAL(self.run.context, 16);
    CU_ASSERT_PTR_NOT_NULL(strstr(self.run.init_from, "/m"));
    CU_ASSERT_TRUE(starts_with_params(&self));
    end(&self);
}

static void without_init_from_the_seed_decides(void)
{
    struct fixture self = begin();
    static const char SIZES[] = "  {type: llama, hidden_size: 16, layers: 1, heads: 2, "
                                "intermediate_size: 24, context: 32, vocab_size: 260}\n";
    CU_ASSERT_EQUAL_FATAL(read_run(&self, SIZES), STATUS_OK);
    CU_ASSERT_STRING_EQUAL(self.run.init_from, "");
    self.run.seed = 6;
    CU_ASSERT_FALSE(starts_with_params(&self));
    self.run.seed = 5;
    CU_ASSERT_TRUE(starts_with_params(&self));
    end(&self);
}

static void init_from_beside_sizes_is_refused(void)
{
    struct fixture self = begin();
    CU_ASSERT_EQUAL(read_run(&self, "  init_from: m\n  layers: 1\n"), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "run.yaml:3: model.layers"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "model.init_from"));
    CU_ASSERT_EQUAL(read_run(&self, "  init_from: m\n  config: m\n"), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "remove one"));
    CU_ASSERT_EQUAL(read_run(&self, "  init_from: none\n"), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "run.yaml:2: model.init_from"));
    end(&self);
}

static void data_of_another_tokenizer_is_refused(void)
{
    struct fixture self = begin();
    write_manifest("bpe-0123456789abcdef", 256);
    CU_ASSERT_EQUAL(run_start_check(&self.run), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "bpe-0123456789abcdef"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "dugnad data build --tokenizer"));
    /* nothing says with what the model was trained */
    write_model(&self, NULL);
    CU_ASSERT_TRUE(starts_with_params(&self));
    write_manifest("bytes", 261);
    CU_ASSERT_EQUAL(run_start_check(&self.run), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "261 token ids"));
    end(&self);
}

static void weights_of_another_model_are_refused(void)
{
    struct fixture self = begin();
    self.run.model.ffn_width = 32;
    CU_ASSERT_EQUAL(run_start_check(&self.run), STATUS_BAD_SHAPE);
    self.run.model.ffn_width = 24;
    CU_ASSERT_EQUAL_FATAL(unlink(scratch_path("m/model.safetensors")), 0);
    CU_ASSERT_EQUAL(run_start_check(&self.run), STATUS_NO_INPUT);
    self.params[3] = NAN;
    write_model(&self, self.tokenizer);
    CU_ASSERT_EQUAL(run_start_check(&self.run), STATUS_OK);
    CU_ASSERT_EQUAL(run_start_params(&self.run, self.layout, self.back), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "embed_tokens"));
    end(&self);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(init_from_gives_sizes_and_parameters),
        SUITE_TEST(without_init_from_the_seed_decides),
        SUITE_TEST(init_from_beside_sizes_is_refused),
        SUITE_TEST(data_of_another_tokenizer_is_refused),
        SUITE_TEST(weights_of_another_model_are_refused),
    };
    return suite_run("run_start", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
