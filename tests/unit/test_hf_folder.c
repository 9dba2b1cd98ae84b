#include "common/fault.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/safetensors.h"

#include <math.h>
#include <unistd.h>

enum { EDITED_MAX = 64 };

static const struct model_config LLAMA = {.kind = MODEL_LLAMA,
                                          .vocab_size = 256,
                                          .width = 24,
                                          .layer_count = 2,
                                          .head_count = 4,
                                          .kv_head_count = 2,
                                          .head_size = 6,
                                          .ffn_width = 40,
                                          .context_max = 32,
                                          .norm_eps = 1e-5F,
                                          .rope_theta = 10000.0F,
                                          .init_std = 0.02F,
                                          .bos_id = -1,
                                          .eos_id = 3};

static struct model_config gpt2(void)
{
    struct model_config config = LLAMA;
    config.kind = MODEL_GPT2;
    config.kv_head_count = config.head_count;
    config.tied_head = true;
    return config;
}

/* One model with its layout and parameters. */
struct fixture {
    struct model_config config;
    struct layout *layout;
    float *params;
    float *back; /* the same shape, filled with 9 */
};

static struct fixture begin(struct model_config config)
{
    struct fixture self = {.config = config};
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &self.layout), STATUS_OK);
    size_t count = layout_value_count(self.layout);
    self.params = calloc(count, sizeof(float));
    self.back = calloc(count, sizeof(float));
    CU_ASSERT_TRUE_FATAL(self.params != NULL && self.back != NULL);
    layout_init_params(self.layout, &config, 5, self.params);
    for (size_t i = 0; i < count; i++) {
        self.back[i] = 9;
    }
    return self;
}

static void end(struct fixture *self)
{
    free(self->params);
    free(self->back);
    layout_free(self->layout);
    scratch_end();
}

static void round_trip(struct model_config config)
{
    struct fixture self = begin(config);
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &tokenizer), STATUS_OK);
    CU_ASSERT_EQUAL(hf_folder_write(scratch_folder, &config, self.layout, self.params, tokenizer),
                    STATUS_OK);
    tokenizer_free(tokenizer);
    struct model_config read;
    CU_ASSERT_EQUAL(hf_folder_read_config(scratch_folder, &read), STATUS_OK);
    CU_ASSERT_EQUAL(read.kind, config.kind);
    CU_ASSERT_EQUAL(read.ffn_width, config.ffn_width);
    CU_ASSERT_EQUAL(read.eos_id, config.eos_id);
    CU_ASSERT_EQUAL(read.tied_head, config.tied_head);
    CU_ASSERT_EQUAL(hf_folder_read_params(scratch_folder, self.layout, self.back), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(self.params, self.back, layout_value_count(self.layout) * sizeof(float)),
                    0);
    CU_ASSERT_TRUE(files_exists(scratch_path("generation_config.json")));
    CU_ASSERT_EQUAL(tokenizer_new(scratch_folder, &tokenizer), STATUS_OK);
    tokenizer_free(tokenizer);
    end(&self);
}

static void folder_of_each_kind_round_trips(void)
{
    round_trip(LLAMA);
    round_trip(gpt2());
}

/* The model's tensors as outputs, to be edited before they are written. */
static size_t list_tensors(const struct fixture *self, struct safetensors_output *out)
{
    size_t count = layout_tensor_count(self->layout);
    CU_ASSERT_TRUE_FATAL(count + 2 < EDITED_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct tensor_spec *spec = layout_tensor(self->layout, i);
        out[i] = (struct safetensors_output){.name = spec->name,
                                             .rank = spec->rank,
                                             .shape = {spec->shape[0], spec->shape[1]},
                                             .values = self->params + spec->offset,
                                             .count = spec->count};
    }
    return count;
}

static enum status read_edited(struct fixture *self, const struct safetensors_output *tensors,
                               size_t count)
{
    CU_ASSERT_EQUAL_FATAL(safetensors_write(scratch_path("model.safetensors"), tensors, count),
                          STATUS_OK);
    return hf_folder_read_params(scratch_folder, self->layout, self->back);
}

static void missing_tensor_is_named(void)
{
    struct fixture self = begin(LLAMA);
    struct safetensors_output tensors[EDITED_MAX];
    size_t count = list_tensors(&self, tensors);
    for (size_t i = 0; i < count; i++) {
        struct safetensors_output kept = tensors[i];
        tensors[i] = tensors[count - 1];
        CU_ASSERT_EQUAL(read_edited(&self, tensors, count - 1), STATUS_BAD_DATA);
        tensors[i] = kept;
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), kept.name));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "missing"));
    }
    end(&self);
}

static void wrong_shape_is_named(void)
{
    struct fixture self = begin(LLAMA);
    struct safetensors_output tensors[EDITED_MAX];
    size_t count = list_tensors(&self, tensors);
    tensors[0].shape[0] = 128;
    tensors[0].shape[1] = 48;
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count), STATUS_BAD_SHAPE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "[128, 48]"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "[256, 24]"));
    tensors[0].rank = 1;
    tensors[0].shape[0] = 256 * 24;
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count), STATUS_BAD_SHAPE);
    end(&self);
}

static void unknown_tensor_is_refused_and_buffers_are_not(void)
{
    struct fixture self = begin(LLAMA);
    struct safetensors_output tensors[EDITED_MAX];
    size_t count = list_tensors(&self, tensors);
    tensors[count] =
        (struct safetensors_output){.name = "model.layers.0.self_attn.rotary_emb.inv_freq",
                                    .rank = 1,
                                    .shape = {3},
                                    .values = self.params,
                                    .count = 3};
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count + 1), STATUS_OK);
    tensors[count].name = "model.layers.0.self_attn.q_proj.bias";
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count + 1), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "q_proj.bias"));
    end(&self);
}

static void gpt2_prefix_head_and_masks_may_differ(void)
{
    struct fixture self = begin(gpt2());
    struct safetensors_output tensors[EDITED_MAX];
    size_t count = list_tensors(&self, tensors);
    for (size_t i = 0; i < count; i++) {
        tensors[i].name += strlen("transformer.");
    }
    tensors[count] = (struct safetensors_output){
        .name = "lm_head.weight", .rank = 1, .shape = {2}, .values = self.params, .count = 2};
    tensors[count + 1] = tensors[count];
    tensors[count + 1].name = "h.1.attn.bias";
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count + 2), STATUS_OK);
    CU_ASSERT_EQUAL(memcmp(self.params, self.back, layout_value_count(self.layout) * sizeof(float)),
                    0);
    /* the same tensor under both names */
    tensors[count + 1] = tensors[0];
    tensors[count + 1].name = "transformer.wte.weight";
    CU_ASSERT_EQUAL(read_edited(&self, tensors, count + 2), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "twice"));
    end(&self);
}

static void missing_files_are_named(void)
{
    struct fixture self = begin(LLAMA);
    struct model_config config;
    CU_ASSERT_EQUAL(hf_folder_read_config(scratch_folder, &config), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "config.json"));
    CU_ASSERT_EQUAL(hf_folder_read_params(scratch_folder, self.layout, self.back), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "model.safetensors"));
    struct tokenizer *tokenizer = NULL;
    CU_ASSERT_EQUAL(hf_folder_read_tokenizer(scratch_folder, &tokenizer), STATUS_NO_INPUT);
    scratch_write_text("tokenizer.model", "");
    CU_ASSERT_EQUAL(hf_folder_read_tokenizer(scratch_folder, &tokenizer), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "SentencePiece"));
    scratch_write_text("pytorch_model.bin", "");
    CU_ASSERT_EQUAL(hf_folder_read_params(scratch_folder, self.layout, self.back), STATUS_NO_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "save_pretrained"));
    scratch_write_text("config.json", "{\"model_type\":\"llama\"}");
    CU_ASSERT_EQUAL(hf_folder_read_config(scratch_folder, &config), STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), scratch_folder));
    end(&self);
}

static void write_tensors_uses_layout_names(void)
{
    struct fixture self = begin(LLAMA);
    CU_ASSERT_EQUAL(hf_folder_write_tensors(scratch_path("g"), self.layout, self.params),
                    STATUS_OK);
    struct safetensors *file = NULL;
    CU_ASSERT_EQUAL_FATAL(safetensors_open(scratch_path("g"), &file), STATUS_OK);
    CU_ASSERT_EQUAL(safetensors_count(file), layout_tensor_count(self.layout));
    CU_ASSERT_PTR_NOT_NULL(safetensors_find(file, "model.layers.1.mlp.up_proj.weight"));
    safetensors_close(file);
    end(&self);
}

static void value_that_is_not_finite_is_named(void)
{
    struct fixture self = begin(LLAMA);
    CU_ASSERT_EQUAL(hf_folder_check_finite("the-folder", self.layout, self.params), STATUS_OK);
    const struct tensor_spec *last =
        layout_tensor(self.layout, layout_tensor_count(self.layout) - 1);
    self.params[last->offset + last->count - 1] = INFINITY;
    CU_ASSERT_EQUAL(hf_folder_check_finite("the-folder", self.layout, self.params),
                    STATUS_BAD_DATA);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), last->name));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "the-folder"));
    end(&self);
}

static bool config_has(const char *folder, const char *text)
{
    char path[FILES_PATH_MAX];
    uint8_t *config = NULL;
    size_t length = 0;
    CU_ASSERT_EQUAL_FATAL(files_join(folder, "config.json", path), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(files_read(path, MODEL_CONFIG_JSON_MAX, &config, &length), STATUS_OK);
    bool found = strstr((const char *)config, text) != NULL;
    free(config);
    return found;
}

static void created_folder_holds_the_type_it_says(void)
{
    struct fixture self = begin(gpt2());
    struct hf_content content = {
        .config = &self.config, .layout = self.layout, .params = self.params};
    static const struct {
        const char *name;
        enum tensor_dtype dtype;
        const char *key;
        float error_max; /* relative, or a subnormal half */
    } CASES[] = {{"new/f32", DTYPE_F32, "\"torch_dtype\": \"float32\"", 0},
                 {"new/f16", DTYPE_F16, "\"dtype\": \"float16\"", 0x1p-11F},
                 {"new/bf16", DTYPE_BF16, "\"torch_dtype\": \"bfloat16\"", 0x1p-8F}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const char *folder = scratch_path(CASES[i].name);
        content.dtype = CASES[i].dtype;
        CU_ASSERT_EQUAL(hf_folder_create(folder, &content), STATUS_OK);
        CU_ASSERT_TRUE(config_has(folder, CASES[i].key));
        struct model_config config;
        CU_ASSERT_EQUAL(hf_folder_read_config(folder, &config), STATUS_OK);
        CU_ASSERT_EQUAL(hf_folder_read_params(folder, self.layout, self.back), STATUS_OK);
        for (size_t j = 0; j < layout_value_count(self.layout); j++) {
            CU_ASSERT_TRUE(fabsf(self.back[j] - self.params[j]) <=
                           CASES[i].error_max * (fabsf(self.params[j]) + 0x1p-14F));
        }
        CU_ASSERT_EQUAL(hf_folder_create(folder, &content), STATUS_CANNOT_CREATE);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "already"));
    }
    end(&self);
}

static void failed_creation_leaves_nothing(void)
{
    struct fixture self = begin(LLAMA);
    self.params[0] = 1e6F;
    const struct hf_content content = {
        .config = &self.config, .layout = self.layout, .params = self.params, .dtype = DTYPE_F16};
    CU_ASSERT_EQUAL(hf_folder_create(scratch_path("new/model/"), &content), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "embed_tokens"));
    CU_ASSERT_EQUAL(rmdir(scratch_path("new")), 0); /* it is empty */
    end(&self);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(folder_of_each_kind_round_trips),
        SUITE_TEST(missing_tensor_is_named),
        SUITE_TEST(wrong_shape_is_named),
        SUITE_TEST(unknown_tensor_is_refused_and_buffers_are_not),
        SUITE_TEST(gpt2_prefix_head_and_masks_may_differ),
        SUITE_TEST(missing_files_are_named),
        SUITE_TEST(write_tensors_uses_layout_names),
        SUITE_TEST(value_that_is_not_finite_is_named),
        SUITE_TEST(created_folder_holds_the_type_it_says),
        SUITE_TEST(failed_creation_leaves_nothing),
    };
    return suite_run("hf_folder", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
