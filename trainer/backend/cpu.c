#include "trainer/backend/cpu.h"

#include "trainer/backend/ref.h"

#include <cblas.h>
#include <pthread.h>

static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

/* Parallelism is over sequences; threads inside a product would only fight over the cores. */
static void use_one_blas_thread(void)
{
    openblas_set_num_threads(1);
}

/* Every user of the backend comes through here before its first product. */
static float *cpu_allocate(size_t count)
{
    (void)pthread_once(&blas_once, use_one_blas_thread);
    return host_allocate(count);
}

static void cpu_matmul(float *out, const float *a, bool a_transposed, const float *b,
                       bool b_transposed, size_t m, size_t n, size_t k, bool accumulate)
{
    cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans,
                b_transposed ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, 1.0F,
                a, (blasint)(a_transposed ? m : k), b, (blasint)(b_transposed ? k : n),
                accumulate ? 1.0F : 0.0F, out, (blasint)n);
}

const struct backend backend_cpu = {
    .name = "cpu",
    .allocate = cpu_allocate,
    .release = host_release,
    .upload = host_copy,
    .download = host_copy,
    .fill_zero = host_fill_zero,
    .matmul = cpu_matmul,
    .add = ref_add,
    .add_bias = ref_add_bias,
    .bias_backward = ref_bias_backward,
    .embed = ref_embed,
    .embed_backward = ref_embed_backward,
    .rmsnorm = cpu_rmsnorm,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .layernorm = cpu_layernorm,
    .layernorm_backward = cpu_layernorm_backward,
    .rope = cpu_rope,
    .attention = cpu_attention,
    .attention_backward = cpu_attention_backward,
    .attention_scratch = cpu_attention_scratch,
    .swiglu = cpu_swiglu,
    .swiglu_backward = cpu_swiglu_backward,
    .gelu = cpu_gelu,
    .gelu_backward = cpu_gelu_backward,
    .cross_entropy = cpu_cross_entropy,
};
