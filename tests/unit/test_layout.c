#include "common/check.h"
#include "common/fault.h"
#include "suite.h"
#include "trainer/layout/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_config llama_config(void)
{
    return (struct model_config){.kind = MODEL_LLAMA,
                                 .vocab_size = 33,
                                 .width = 20,
                                 .layer_count = 2,
                                 .head_count = 4,
                                 .kv_head_count = 2,
                                 .head_size = 6,
                                 .ffn_width = 35,
                                 .context_max = 17,
                                 .tied_head = false,
                                 .norm_eps = 1e-5F,
                                 .rope_theta = 500000.0F,
                                 .init_std = 0.02F,
                                 .bos_id = 1,
                                 .eos_id = 2};
}

static struct model_config gpt2_config(void)
{
    return (struct model_config){.kind = MODEL_GPT2,
                                 .vocab_size = 33,
                                 .width = 20,
                                 .layer_count = 2,
                                 .head_count = 4,
                                 .kv_head_count = 4,
                                 .head_size = 5,
                                 .ffn_width = 80,
                                 .context_max = 17,
                                 .tied_head = true,
                                 .norm_eps = 1e-5F,
                                 .init_std = 0.02F,
                                 .bos_id = -1,
                                 .eos_id = -1};
}

static enum status parse(const char *text, struct model_config *out)
{
    return model_config_from_json(text, strlen(text), out);
}

static void assert_same_config(const struct model_config *a, const struct model_config *b)
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
    CU_ASSERT_EQUAL(a->norm_eps, b->norm_eps);
    CU_ASSERT_EQUAL(a->rope_theta, b->rope_theta);
    CU_ASSERT_EQUAL(a->init_std, b->init_std);
    CU_ASSERT_EQUAL(a->bos_id, b->bos_id);
    CU_ASSERT_EQUAL(a->eos_id, b->eos_id);
}

static void round_trip_of_every_kind_keeps_all_fields(void)
{
    struct model_config configs[] = {llama_config(), llama_config(), gpt2_config(), gpt2_config()};
    configs[1].tied_head = true;
    configs[1].rope_theta = 10000.5F;
    configs[1].norm_eps = 0.1F / 3.0F;
    configs[1].bos_id = -1;
    configs[3].tied_head = false;
    configs[3].ffn_width = 41;
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        char *text = NULL;
        struct model_config back;
        CU_ASSERT_EQUAL_FATAL(model_config_to_json(&configs[i], &text), STATUS_OK);
        CU_ASSERT_EQUAL(parse(text, &back), STATUS_OK);
        assert_same_config(&configs[i], &back);
        free(text);
    }
}

static void to_json_writes_short_decimals(void)
{
    struct model_config config = llama_config();
    char *text = NULL;
    CU_ASSERT_EQUAL_FATAL(model_config_to_json(&config, &text), STATUS_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"rms_norm_eps\": 1e-5,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"initializer_range\": 0.02,"));
    free(text);
}

#define LLAMA_SIZES                                                                                \
    "\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":16,\"intermediate_size\":24,"      \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"max_position_embeddings\":64"
#define GPT2_SIZES                                                                                 \
    "\"model_type\":\"gpt2\",\"vocab_size\":32,\"n_embd\":16,\"n_layer\":2,\"n_head\":4,"          \
    "\"n_positions\":64"

static void missing_keys_get_the_formats_defaults(void)
{
    struct model_config config;
    CU_ASSERT_EQUAL(parse("{" LLAMA_SIZES "}", &config), STATUS_OK);
    CU_ASSERT_EQUAL(config.kv_head_count, 4);
    CU_ASSERT_EQUAL(config.head_size, 4);
    CU_ASSERT_FALSE(config.tied_head);
    CU_ASSERT_EQUAL(config.norm_eps, 1e-6F);
    CU_ASSERT_EQUAL(config.rope_theta, 10000.0F);
    CU_ASSERT_EQUAL(config.bos_id, -1);
    CU_ASSERT_EQUAL(parse("{" GPT2_SIZES ",\"n_inner\":null,\"bos_token_id\":50256}", &config),
                    STATUS_OK);
    CU_ASSERT_EQUAL(config.ffn_width, 64);
    CU_ASSERT_EQUAL(config.kv_head_count, 4);
    CU_ASSERT_EQUAL(config.head_size, 4);
    CU_ASSERT_TRUE(config.tied_head);
    CU_ASSERT_EQUAL(config.norm_eps, 1e-5F);
    CU_ASSERT_EQUAL(config.bos_id, -1); /* the vocabulary does not have it */
}

static void rope_theta_is_read_in_both_places(void)
{
    struct model_config config;
    CU_ASSERT_EQUAL(parse("{" LLAMA_SIZES ",\"rope_theta\":20000}", &config), STATUS_OK);
    CU_ASSERT_EQUAL(config.rope_theta, 20000.0F);
    CU_ASSERT_EQUAL(parse("{" LLAMA_SIZES ",\"rope_theta\":20000,\"rope_scaling\":null,"
                          "\"rope_parameters\":{\"rope_theta\":30000.0,"
                          "\"rope_type\":\"default\"}}",
                          &config),
                    STATUS_OK);
    CU_ASSERT_EQUAL(config.rope_theta, 30000.0F);
}

static void lists_of_token_ids_count_their_first(void)
{
    struct model_config config;
    CU_ASSERT_EQUAL(parse("{" LLAMA_SIZES ",\"eos_token_id\":[7,8],\"bos_token_id\":3}", &config),
                    STATUS_OK);
    CU_ASSERT_EQUAL(config.eos_id, 7);
    CU_ASSERT_EQUAL(config.bos_id, 3);
}

static void unsupported_variants_are_refused(void)
{
    static const char *const TEXTS[] = {
        "{" LLAMA_SIZES ",\"attention_bias\":true}",
        "{" LLAMA_SIZES ",\"mlp_bias\":true}",
        "{" LLAMA_SIZES ",\"hidden_act\":\"relu\"}",
        "{" LLAMA_SIZES ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}",
        "{" LLAMA_SIZES ",\"rope_parameters\":{\"rope_type\":\"yarn\"}}",
        "{" LLAMA_SIZES ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}",
        "{" GPT2_SIZES ",\"activation_function\":\"relu\"}",
        "{" GPT2_SIZES ",\"scale_attn_by_inverse_layer_idx\":true}",
        "{" GPT2_SIZES ",\"scale_attn_weights\":false}",
        "{" GPT2_SIZES ",\"add_cross_attention\":true}",
        "{\"model_type\":\"bert\"}",
        "{}",
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct model_config config;
        CU_ASSERT_EQUAL(parse(TEXTS[i], &config), STATUS_BAD_CONFIG);
        CU_ASSERT_TRUE(strlen(fault_text()) > 20);
    }
}

static void malformed_text_is_bad_data(void)
{
    static const char *const TEXTS[] = {
        "",
        "[]",
        "{",
        "null",
        "{\"model_type\":\"llama\"}",
        "{" LLAMA_SIZES ",\"vocab_size\":4}", /* a key twice */
        "{" LLAMA_SIZES ",\"rms_norm_eps\":\"small\"}",
        "{" LLAMA_SIZES ",\"num_key_value_heads\":2.0}",
        "{" LLAMA_SIZES ",\"tie_word_embeddings\":1}",
        "{" LLAMA_SIZES ",\"rope_parameters\":3}",
        "{" LLAMA_SIZES ",\"bos_token_id\":\"a\"}",
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct model_config config;
        CU_ASSERT_EQUAL(parse(TEXTS[i], &config), STATUS_BAD_DATA);
    }
    struct model_config config;
    char *big = calloc(1, MODEL_CONFIG_JSON_MAX + 1);
    CHECK(big != NULL);
    memset(big, ' ', MODEL_CONFIG_JSON_MAX + 1);
    CU_ASSERT_EQUAL(model_config_from_json(big, MODEL_CONFIG_JSON_MAX + 1, &config),
                    STATUS_BAD_DATA);
    free(big);
}

static void sizes_out_of_range_name_their_key(void)
{
    static const char *const CASES[][2] = {
        {"{" LLAMA_SIZES ",\"num_key_value_heads\":3}", "num_key_value_heads"},
        {"{" LLAMA_SIZES ",\"num_key_value_heads\":0}", "num_key_value_heads"},
        {"{" LLAMA_SIZES ",\"head_dim\":5}", "head_dim"},
        {"{" LLAMA_SIZES ",\"rope_theta\":-1}", "rope_theta"},
        {"{" LLAMA_SIZES ",\"rms_norm_eps\":0}", "rms_norm_eps"},
        {"{" GPT2_SIZES ",\"n_inner\":-4}", "n_inner"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":70000}", "vocab_size"},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":9,\"n_embd\":9223372036854775807}", "n_embd"},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct model_config config;
        CU_ASSERT_EQUAL(parse(CASES[i][0], &config), STATUS_OUT_OF_RANGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), CASES[i][1]));
    }
}

static void check_refuses_token_ids_beyond_the_vocabulary(void)
{
    struct model_config config = llama_config();
    CU_ASSERT_EQUAL(model_config_check(&config), STATUS_OK);
    config.eos_id = 33;
    CU_ASSERT_EQUAL(model_config_check(&config), STATUS_OUT_OF_RANGE);
    config = gpt2_config();
    config.head_size = 6;
    CU_ASSERT_EQUAL(model_config_check(&config), STATUS_OUT_OF_RANGE);
}

static void assert_tiles(const struct layout *layout)
{
    size_t next = 0;
    size_t parameters = 0;
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *tensor = layout_tensor(layout, i);
        size_t count = tensor->shape[0] * (tensor->rank == 2 ? tensor->shape[1] : 1);
        CU_ASSERT_EQUAL(tensor->offset, next);
        CU_ASSERT_EQUAL(tensor->offset % LAYOUT_ALIGN, 0);
        CU_ASSERT_EQUAL(tensor->count, count);
        CU_ASSERT_EQUAL(tensor->decayed, tensor->rank == 2);
        CU_ASSERT_EQUAL(layout_find(layout, tensor->name), i);
        next += (count + LAYOUT_ALIGN - 1) / LAYOUT_ALIGN * LAYOUT_ALIGN;
        parameters += count;
    }
    CU_ASSERT_EQUAL(layout_value_count(layout), next);
    CU_ASSERT_EQUAL(layout_parameter_count(layout), parameters);
}

static void assert_shape(const struct layout *layout, const char *name, size_t rows, size_t columns)
{
    size_t index = layout_find(layout, name);
    CU_ASSERT_TRUE_FATAL(index < layout_tensor_count(layout));
    const struct tensor_spec *tensor = layout_tensor(layout, index);
    CU_ASSERT_EQUAL(tensor->shape[0], rows);
    CU_ASSERT_EQUAL(tensor->rank, columns > 0 ? 2U : 1U);
    CU_ASSERT_EQUAL(tensor->shape[1], columns);
}

static void layout_of_llama_has_its_names_and_shapes(void)
{
    struct model_config config = llama_config();
    struct layout *layout = NULL;
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &layout), STATUS_OK);
    CU_ASSERT_EQUAL(layout_tensor_count(layout), 2 * 9 + 3);
    assert_tiles(layout);
    assert_shape(layout, "model.embed_tokens.weight", 33, 20);
    assert_shape(layout, "model.layers.1.self_attn.q_proj.weight", 24, 20);
    assert_shape(layout, "model.layers.1.self_attn.k_proj.weight", 12, 20);
    assert_shape(layout, "model.layers.1.self_attn.o_proj.weight", 20, 24);
    assert_shape(layout, "model.layers.0.mlp.down_proj.weight", 20, 35);
    assert_shape(layout, "model.layers.0.post_attention_layernorm.weight", 20, 0);
    assert_shape(layout, "lm_head.weight", 33, 20);
    layout_free(layout);

    config.tied_head = true;
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &layout), STATUS_OK);
    CU_ASSERT_EQUAL(layout_find(layout, "lm_head.weight"), layout_tensor_count(layout));
    layout_free(layout);
}

static void layout_of_gpt2_has_its_names_and_shapes(void)
{
    struct model_config config = gpt2_config();
    struct layout *layout = NULL;
    CU_ASSERT_EQUAL_FATAL(layout_new(&config, &layout), STATUS_OK);
    CU_ASSERT_EQUAL(layout_tensor_count(layout), 2 * 12 + 4);
    assert_tiles(layout);
    assert_shape(layout, "transformer.wpe.weight", 17, 20);
    assert_shape(layout, "transformer.h.1.attn.c_attn.weight", 20, 60);
    assert_shape(layout, "transformer.h.1.attn.c_attn.bias", 60, 0);
    assert_shape(layout, "transformer.h.0.mlp.c_fc.weight", 20, 80);
    assert_shape(layout, "transformer.h.0.mlp.c_proj.weight", 80, 20);
    assert_shape(layout, "transformer.ln_f.bias", 20, 0);
    layout_free(layout);
}

static void layout_beyond_the_limit_is_refused(void)
{
    struct model_config config = llama_config();
    config.layer_count = MODEL_LAYERS_MAX;
    config.width = MODEL_WIDTH_MAX;
    config.ffn_width = 4 * MODEL_WIDTH_MAX;
    CU_ASSERT_EQUAL(model_config_check(&config), STATUS_OK);
    struct layout *layout = NULL;
    CU_ASSERT_EQUAL(layout_new(&config, &layout), STATUS_OUT_OF_RANGE);
    CU_ASSERT_PTR_NULL(layout);
}

static double deviation(const float *values, size_t count)
{
    double square = 0.0;
    for (size_t i = 0; i < count; i++) {
        square += (double)values[i] * (double)values[i];
    }
    return sqrt(square / (double)count);
}

static void assert_start_values(const struct layout *layout, const float *params)
{
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *tensor = layout_tensor(layout, i);
        const float *values = params + tensor->offset;
        if (tensor->rank == 1) {
            float expected = strstr(tensor->name, "bias") != NULL ? 0.0F : 1.0F;
            CU_ASSERT_EQUAL(values[0], expected);
            CU_ASSERT_EQUAL(values[tensor->count - 1], expected);
        } else {
            bool residual = strstr(tensor->name, "o_proj") != NULL ||
                            strstr(tensor->name, "down_proj") != NULL ||
                            strstr(tensor->name, "c_proj") != NULL;
            double expected = residual ? 0.02 / sqrt(2.0 * 2.0) : 0.02;
            CU_ASSERT_DOUBLE_EQUAL(deviation(values, tensor->count), expected, 0.2 * expected);
        }
        size_t end = i + 1 < layout_tensor_count(layout) ? layout_tensor(layout, i + 1)->offset
                                                         : layout_value_count(layout);
        for (size_t j = tensor->offset + tensor->count; j < end; j++) {
            CU_ASSERT_EQUAL(params[j], 0.0F);
        }
    }
}

static void init_params_is_seeded_and_leaves_padding_zero(void)
{
    struct model_config configs[] = {llama_config(), gpt2_config()};
    for (size_t i = 0; i < 2; i++) {
        struct layout *layout = NULL;
        CU_ASSERT_EQUAL_FATAL(layout_new(&configs[i], &layout), STATUS_OK);
        size_t bytes = layout_value_count(layout) * sizeof(float);
        float *a = malloc(bytes);
        float *b = malloc(bytes);
        CHECK(a != NULL && b != NULL);
        memset(a, 0xff, bytes);
        layout_init_params(layout, &configs[i], 7, a);
        layout_init_params(layout, &configs[i], 7, b);
        CU_ASSERT_EQUAL(memcmp(a, b, bytes), 0);
        assert_start_values(layout, a);
        layout_init_params(layout, &configs[i], 8, b);
        CU_ASSERT_NOT_EQUAL(memcmp(a, b, bytes), 0);
        free(a);
        free(b);
        layout_free(layout);
    }
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(round_trip_of_every_kind_keeps_all_fields),
        SUITE_TEST(to_json_writes_short_decimals),
        SUITE_TEST(missing_keys_get_the_formats_defaults),
        SUITE_TEST(rope_theta_is_read_in_both_places),
        SUITE_TEST(lists_of_token_ids_count_their_first),
        SUITE_TEST(unsupported_variants_are_refused),
        SUITE_TEST(malformed_text_is_bad_data),
        SUITE_TEST(sizes_out_of_range_name_their_key),
        SUITE_TEST(check_refuses_token_ids_beyond_the_vocabulary),
        SUITE_TEST(layout_of_llama_has_its_names_and_shapes),
        SUITE_TEST(layout_of_gpt2_has_its_names_and_shapes),
        SUITE_TEST(layout_beyond_the_limit_is_refused),
        SUITE_TEST(init_params_is_seeded_and_leaves_padding_zero),
    };
    return suite_run("layout", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
