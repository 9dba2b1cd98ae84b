#include "common/check.h"
#include "common/fault.h"
#include "suite.h"
#include "trainer/model/precision.h"
#include "trainer/model/products.h"

#include <string.h>

static const struct model_config GPT2 = {.kind = MODEL_GPT2,
                                         .vocab_size = 300,
                                         .width = 16,
                                         .layer_count = 3,
                                         .head_count = 4,
                                         .kv_head_count = 4,
                                         .head_size = 4,
                                         .ffn_width = 64,
                                         .context_max = 32,
                                         .tied_head = true,
                                         .norm_eps = 1e-5F,
                                         .init_std = 0.02F,
                                         .bos_id = -1,
                                         .eos_id = -1};

static const struct model_config LLAMA = {.kind = MODEL_LLAMA,
                                          .vocab_size = 200,
                                          .width = 16,
                                          .layer_count = 2,
                                          .head_count = 4,
                                          .kv_head_count = 2,
                                          .head_size = 8,
                                          .ffn_width = 40,
                                          .context_max = 32,
                                          .tied_head = true,
                                          .norm_eps = 1e-5F,
                                          .rope_theta = 10000.0F,
                                          .init_std = 0.02F,
                                          .bos_id = -1,
                                          .eos_id = -1};

/* All products of a pass over `rows` rows. */
static double flops_of_products(const struct model_config *config, size_t rows)
{
    struct product products[PRODUCTS_MAX];
    double flops = 0.0;
    size_t count = products_of(config, rows, products);
    CU_ASSERT_TRUE_FATAL(count > 0 && count <= PRODUCTS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct product *p = &products[i];
        flops += 2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->count;
    }
    return flops;
}

static void flops_of_a_token_follow_the_formula(void)
{
    double gpt2_weights = 3 * 12.0 * 16 * 16 + 300.0 * 16;
    CU_ASSERT_EQUAL(products_flops_per_token(&GPT2, 32), 6 * gpt2_weights + 12.0 * 3 * 16 * 32);
    /* q and out of width 32, k and v of 16, three of the feed-forward. */
    double llama_weights = 2 * 16.0 * (2 * 32 + 2 * 16 + 3 * 40) + 200.0 * 16;
    CU_ASSERT_EQUAL(products_flops_per_token(&LLAMA, 8), 6 * llama_weights + 12.0 * 2 * 32 * 8);
}

static void products_of_a_pass_are_its_flops_without_attention(void)
{
    const struct model_config *configs[] = {&GPT2, &LLAMA};
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(flops_of_products(configs[i], 64),
                        64 * products_flops_per_token(configs[i], 0));
    }
}

static void every_product_takes_time_on_every_backend(void)
{
    const char *reason = NULL;
    const struct backend *backends[] = {&backend_ref, &backend_cpu, backend_bf16(&reason)};
    struct product products[PRODUCTS_MAX];
    size_t count = products_of(&LLAMA, 8, products);
    for (size_t b = 0; b < 3 && backends[b] != NULL; b++) {
        for (size_t i = 0; i < count; i++) {
            double seconds = 0.0;
            CU_ASSERT_EQUAL_FATAL(
                products_measure(backends[b], &products[i], 1 + i % 2, 2, &seconds), STATUS_OK);
            CU_ASSERT_TRUE(seconds > 0.0 && seconds < 10.0);
        }
    }
}

static void precision_is_found_by_name(void)
{
    enum precision precision = PRECISION_AUTO;
    CU_ASSERT_EQUAL(precision_find("bf16", &precision), STATUS_OK);
    CU_ASSERT_EQUAL(precision, PRECISION_BF16);
    CU_ASSERT_EQUAL(precision_find("fp32", &precision), STATUS_OK);
    CU_ASSERT_EQUAL(precision, PRECISION_FP32);
    CU_ASSERT_EQUAL(precision_find("auto", &precision), STATUS_OK);
    CU_ASSERT_EQUAL(precision, PRECISION_AUTO);
    CU_ASSERT_EQUAL(precision_find("fp16", &precision), STATUS_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "fp32"));
}

static void precision_is_what_was_asked_for_or_measured(void)
{
    const char *reason = NULL;
    const struct backend *bf16 = backend_bf16(&reason);
    struct precision_choice choice;
    CU_ASSERT_EQUAL(precision_choose(PRECISION_FP32, &LLAMA, &choice), STATUS_OK);
    CU_ASSERT_PTR_EQUAL(choice.backend, &backend_cpu);
    CU_ASSERT_EQUAL(precision_choose(PRECISION_BF16, &LLAMA, &choice),
                    bf16 != NULL ? STATUS_OK : STATUS_USAGE);
    CU_ASSERT_PTR_EQUAL(choice.backend, bf16);
    CU_ASSERT_EQUAL(precision_choose(PRECISION_AUTO, &LLAMA, &choice), STATUS_OK);
    CU_ASSERT_TRUE(choice.backend == &backend_cpu || (bf16 != NULL && choice.backend == bf16));
    CU_ASSERT_TRUE(strlen(choice.reason) > 0);
    if (bf16 == NULL) {
        CU_ASSERT_STRING_EQUAL(choice.reason, reason);
    }
}

int main(void)
{
    static const struct suite_test TESTS[] = {
        SUITE_TEST(flops_of_a_token_follow_the_formula),
        SUITE_TEST(products_of_a_pass_are_its_flops_without_attention),
        SUITE_TEST(every_product_takes_time_on_every_backend),
        SUITE_TEST(precision_is_found_by_name),
        SUITE_TEST(precision_is_what_was_asked_for_or_measured),
    };
    return suite_run("products", TESTS, sizeof(TESTS) / sizeof(TESTS[0]));
}
