#include "common/fault.h"
#include "tests/unit/gguf_fixture.h"
#include "tests/unit/suite.h"
#include "trainer/formats/gguf_model.h"

#include <math.h>

static const struct model_config LLAMA = {.kind = MODEL_LLAMA,
                                          .vocab_size = 300,
                                          .width = 32,
                                          .layer_count = 2,
                                          .head_count = 4,
                                          .kv_head_count = 2,
                                          .head_size = 6, /* heads * size is not the width */
                                          .ffn_width = 64,
                                          .context_max = 77,
                                          .norm_eps = 1e-5F,
                                          .rope_theta = 500000.0F,
                                          .init_std = 0.5F,
                                          .bos_id = 7,
                                          .eos_id = 9};

static struct model_config gpt2(void)
{
    struct model_config config = LLAMA;
    config.kind = MODEL_GPT2;
    config.vocab_size = 256;
    config.kv_head_count = config.head_count;
    config.head_size = 8;
    config.tied_head = true;
    config.bos_id = -1;
    config.eos_id = -1;
    return config;
}

struct fixture {
    struct model_config config;
    struct layout *layout;
    float *params;
    struct tokenizer *tokenizer;
    struct gguf_file file;
};

static struct fixture begin(struct model_config config)
{
    struct fixture self = {.config = config};
    scratch_begin();
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &self.layout), STATUS_OK);
    CU_ASSERT_EQUAL_FATAL(tokenizer_new("bytes", &self.tokenizer), STATUS_OK);
    self.params = calloc(layout_value_count(self.layout), sizeof(float));
    CU_ASSERT_PTR_NOT_NULL_FATAL(self.params);
    layout_init_params(self.layout, &config, 5, self.params);
    return self;
}

static void end(struct fixture *self)
{
    gguf_file_deinit(&self->file);
    tokenizer_free(self->tokenizer);
    free(self->params);
    layout_free(self->layout);
    scratch_end();
}

static enum status write_model(const struct fixture *self, enum ggml_type type,
                               struct gguf_model_facts *facts)
{
    const struct gguf_model model = {.config = &self->config,
                                     .layout = self->layout,
                                     .params = self->params,
                                     .tokenizer = self->tokenizer,
                                     .type = type};
    return gguf_model_write(scratch_path("m.gguf"), &model, facts);
}

static void write_and_read(struct fixture *self, enum ggml_type type)
{
    struct gguf_model_facts facts;
    CU_ASSERT_EQUAL_FATAL(write_model(self, type, &facts), STATUS_OK);
    gguf_file_deinit(&self->file);
    gguf_file_read(&self->file, "m.gguf");
    CU_ASSERT_EQUAL(facts.tensor_count, self->file.tensor_count);
    CU_ASSERT_EQUAL(facts.size_bytes, self->file.size_bytes);
    CU_ASSERT_FALSE(files_exists(scratch_path("m.gguf.tmp")));
}

static const float *values_of(const struct fixture *self, const char *name)
{
    size_t index = layout_find(self->layout, name);
    CU_ASSERT_TRUE_FATAL(index < layout_tensor_count(self->layout));
    return self->params + layout_tensor(self->layout, index)->offset;
}

static void llama_keys_say_every_size(void)
{
    struct fixture self = begin(LLAMA);
    static const struct {
        const char *name;
        uint32_t value;
    } KEYS[] = {{"llama.vocab_size", 300},
                {"llama.context_length", 77},
                {"llama.embedding_length", 32},
                {"llama.feed_forward_length", 64},
                {"llama.block_count", 2},
                {"llama.attention.head_count", 4},
                {"llama.attention.head_count_kv", 2},
                {"llama.attention.key_length", 6},
                {"llama.attention.value_length", 6},
                {"llama.rope.dimension_count", 6},
                {"general.file_type", 0},
                {"tokenizer.ggml.bos_token_id", 7},
                {"tokenizer.ggml.eos_token_id", 9}};
    char text[GGUF_TEXT_MAX];
    float real = 0;
    write_and_read(&self, GGML_F32);
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        CU_ASSERT_EQUAL(gguf_u32(&self.file, KEYS[i].name), KEYS[i].value);
    }
    gguf_text(&self.file, "general.architecture", 0, text);
    CU_ASSERT_STRING_EQUAL(text, "llama");
    const struct gguf_key *theta = gguf_key(&self.file, "llama.rope.freq_base");
    CU_ASSERT_TRUE_FATAL(theta != NULL && theta->type == 6);
    memcpy(&real, theta->at, sizeof real);
    CU_ASSERT_EQUAL(real, 500000.0F);
    end(&self);
}

static void llama_tensors_have_their_names_and_rotary_order(void)
{
    struct fixture self = begin(LLAMA);
    write_and_read(&self, GGML_F32);
    CU_ASSERT_EQUAL(self.file.tensor_count, 2 * 9 + 3);
    static const struct {
        const char *name;
        const char *from;
        uint64_t columns, rows;
        bool rotary;
    } CASES[] = {
        {"token_embd.weight", "model.embed_tokens.weight", 32, 300, false},
        {"output.weight", "lm_head.weight", 32, 300, false},
        {"output_norm.weight", "model.norm.weight", 32, 1, false},
        {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", 32, 1, false},
        {"blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight", 32, 1, false},
        {"blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", 32, 24, true},
        {"blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", 32, 12, true},
        {"blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", 32, 12, false},
        {"blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight", 24, 32, false},
        {"blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight", 32, 64, false},
        {"blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight", 32, 64, false},
        {"blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", 64, 32, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct gguf_entry *entry = gguf_entry(&self.file, CASES[i].name);
        const float *values = values_of(&self, CASES[i].from);
        CU_ASSERT_EQUAL(entry->type, 0);
        CU_ASSERT_EQUAL_FATAL(entry->dims[0], CASES[i].columns);
        CU_ASSERT_EQUAL_FATAL(entry->dims[1], CASES[i].rows);
        CU_ASSERT_EQUAL(entry->rank, CASES[i].rows > 1 ? 2 : 1);
        for (uint64_t row = 0; row < CASES[i].rows; row++) {
            /* rows 0 3 1 4 2 5 of each head of 6 */
            static const uint64_t ROTARY[] = {0, 3, 1, 4, 2, 5};
            uint64_t source = CASES[i].rotary ? row / 6 * 6 + ROTARY[row % 6] : row;
            CU_ASSERT_EQUAL(memcmp(entry->data + row * CASES[i].columns * 4,
                                   values + source * CASES[i].columns, CASES[i].columns * 4),
                            0);
        }
    }
    end(&self);
}

static void gpt2_matrices_are_transposed(void)
{
    struct fixture self = begin(gpt2());
    write_and_read(&self, GGML_F32);
    CU_ASSERT_EQUAL(self.file.tensor_count, 2 * 12 + 4); /* the tied head is not repeated */
    static const struct {
        const char *name;
        const char *from;
        uint64_t columns, rows;
        bool transposed;
    } CASES[] = {
        {"token_embd.weight", "transformer.wte.weight", 32, 256, false},
        {"position_embd.weight", "transformer.wpe.weight", 32, 77, false},
        {"output_norm.bias", "transformer.ln_f.bias", 32, 1, false},
        {"output_norm.weight", "transformer.ln_f.weight", 32, 1, false},
        {"blk.0.attn_norm.weight", "transformer.h.0.ln_1.weight", 32, 1, false},
        {"blk.1.ffn_norm.bias", "transformer.h.1.ln_2.bias", 32, 1, false},
        {"blk.1.attn_qkv.weight", "transformer.h.1.attn.c_attn.weight", 32, 96, true},
        {"blk.1.attn_qkv.bias", "transformer.h.1.attn.c_attn.bias", 96, 1, false},
        {"blk.0.attn_output.weight", "transformer.h.0.attn.c_proj.weight", 32, 32, true},
        {"blk.0.ffn_up.weight", "transformer.h.0.mlp.c_fc.weight", 32, 64, true},
        {"blk.1.ffn_down.weight", "transformer.h.1.mlp.c_proj.weight", 64, 32, true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct gguf_entry *entry = gguf_entry(&self.file, CASES[i].name);
        const float *values = values_of(&self, CASES[i].from);
        CU_ASSERT_EQUAL_FATAL(entry->dims[0], CASES[i].columns);
        CU_ASSERT_EQUAL_FATAL(entry->dims[1], CASES[i].rows);
        for (uint64_t row = 0; row < CASES[i].rows; row++) {
            for (uint64_t column = 0; column < CASES[i].columns; column++) {
                uint64_t at = CASES[i].transposed ? column * CASES[i].rows + row
                                                  : row * CASES[i].columns + column;
                CU_ASSERT_EQUAL(gguf_value(entry, row, column), values[at]);
            }
        }
    }
    end(&self);
}

static void types_keep_vectors_and_positions_exact(void)
{
    struct fixture self = begin(gpt2());
    static const struct {
        enum ggml_type type;
        uint32_t file_type;
    } CASES[] = {{GGML_F16, 1}, {GGML_BF16, 32}, {GGML_Q8_0, 7}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        write_and_read(&self, CASES[i].type);
        CU_ASSERT_EQUAL(gguf_u32(&self.file, "general.file_type"), CASES[i].file_type);
        for (size_t j = 0; j < self.file.tensor_count; j++) {
            const struct gguf_entry *entry = &self.file.tensors[j];
            bool exact = entry->rank == 1 || strcmp(entry->name, "position_embd.weight") == 0;
            CU_ASSERT_EQUAL(entry->type, exact ? GGML_F32 : CASES[i].type);
        }
        const struct gguf_entry *entry = gguf_entry(&self.file, "token_embd.weight");
        const float *values = values_of(&self, "transformer.wte.weight");
        size_t changed = 0;
        for (size_t j = 0; j < (size_t)256 * 32; j++) {
            float found = gguf_value(entry, j / 32, j % 32);
            /* init_std is 0.5: no value of a block is above 3, and 3 / 254 is below 0.012 */
            float bound = CASES[i].type == GGML_Q8_0 ? 0.012F : 0x1p-8F * fabsf(values[j]) + 1e-7F;
            CU_ASSERT_TRUE(fabsf(found - values[j]) <= bound);
            changed += found != values[j];
        }
        CU_ASSERT_TRUE(changed > 1000);
    }
    end(&self);
}

static void rows_that_are_not_whole_blocks_stay_f16(void)
{
    struct model_config config = LLAMA;
    config.ffn_width = 40;
    struct fixture self = begin(config);
    struct gguf_model_facts facts;
    CU_ASSERT_EQUAL(write_model(&self, GGML_Q8_0, &facts), STATUS_OK);
    CU_ASSERT_EQUAL(facts.f16_count, 4); /* o_proj (24) and down_proj (40) of two layers */
    gguf_file_read(&self.file, "m.gguf");
    CU_ASSERT_EQUAL(gguf_entry(&self.file, "blk.1.ffn_down.weight")->type, GGML_F16);
    CU_ASSERT_EQUAL(gguf_entry(&self.file, "blk.1.attn_output.weight")->type, GGML_F16);
    CU_ASSERT_EQUAL(gguf_entry(&self.file, "blk.1.ffn_up.weight")->type, GGML_Q8_0);
    end(&self);
}

static void byte_tokens_are_spelled_as_in_gpt2(void)
{
    struct fixture self = begin(LLAMA);
    char text[GGUF_TEXT_MAX];
    write_and_read(&self, GGML_F32);
    gguf_text(&self.file, "tokenizer.ggml.model", 0, text);
    CU_ASSERT_STRING_EQUAL(text, "gpt2");
    CU_ASSERT_EQUAL(gguf_key(&self.file, "tokenizer.ggml.tokens")->count, 300);
    CU_ASSERT_EQUAL(gguf_key(&self.file, "tokenizer.ggml.merges")->count, 0);
    static const struct {
        uint32_t id;
        const char *text;
    } CASES[] = {{'A', "A"},       {' ', "\u0120"},   {'\n', "\u010a"}, {0, "\u0100"},
                 {0x7f, "\u0121"}, {0xa0, "\u0142"},  {0xad, "\u0143"}, {0xe6, "\u00e6"},
                 {255, "\u00ff"},  {256, "[PAD256]"}, {299, "[PAD299]"}};
    const struct gguf_key *types = gguf_key(&self.file, "tokenizer.ggml.token_type");
    CU_ASSERT_TRUE_FATAL(types != NULL && types->type == 5 && types->count == 300);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int32_t type = 0;
        gguf_text(&self.file, "tokenizer.ggml.tokens", CASES[i].id, text);
        CU_ASSERT_STRING_EQUAL(text, CASES[i].text);
        memcpy(&type, types->at + 4 * (size_t)CASES[i].id, sizeof type);
        CU_ASSERT_EQUAL(type, CASES[i].id < 256 ? 1 : 5);
    }
    end(&self);
}

static void model_without_tokenizer_gets_placeholders(void)
{
    struct fixture self = begin(gpt2());
    char text[GGUF_TEXT_MAX];
    tokenizer_free(self.tokenizer);
    self.tokenizer = NULL;
    write_and_read(&self, GGML_F32);
    gguf_text(&self.file, "tokenizer.ggml.tokens", 65, text);
    CU_ASSERT_STRING_EQUAL(text, "[PAD65]");
    CU_ASSERT_PTR_NULL(gguf_key(&self.file, "tokenizer.ggml.bos_token_id"));
    end(&self);
}

static void what_does_not_fit_is_refused_and_leaves_nothing(void)
{
    struct fixture self = begin(LLAMA);
    struct gguf_model_facts facts;
    self.params[0] = 70000.0F;
    CU_ASSERT_EQUAL(write_model(&self, GGML_F16, &facts), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "token_embd.weight"));
    CU_ASSERT_FALSE(files_exists(scratch_path("m.gguf")));
    CU_ASSERT_FALSE(files_exists(scratch_path("m.gguf.tmp")));
    CU_ASSERT_EQUAL(write_model(&self, GGML_BF16, &facts), STATUS_OK);
    self.config.vocab_size = 200;
    CU_ASSERT_EQUAL(write_model(&self, GGML_F32, &facts), STATUS_BAD_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "belong together"));
    end(&self);
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(llama_keys_say_every_size),
        SUITE_TEST(llama_tensors_have_their_names_and_rotary_order),
        SUITE_TEST(gpt2_matrices_are_transposed),
        SUITE_TEST(types_keep_vectors_and_positions_exact),
        SUITE_TEST(rows_that_are_not_whole_blocks_stay_f16),
        SUITE_TEST(byte_tokens_are_spelled_as_in_gpt2),
        SUITE_TEST(model_without_tokenizer_gets_placeholders),
        SUITE_TEST(what_does_not_fit_is_refused_and_leaves_nothing),
    };
    return suite_run("gguf", TESTS, sizeof TESTS / sizeof TESTS[0]);
}
