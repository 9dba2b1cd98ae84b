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
static void *cpu_allocate(size_t size_bytes)
{
    (void)pthread_once(&blas_once, use_one_blas_thread);
    return host_allocate(size_bytes);
}

static void cpu_matmul_float(float *out, const struct matmul *p, bool accumulate)
{
    if (cpu_is_few_rows(p)) {
        cpu_multiply_few_rows(out, p, accumulate);
        return;
    }
    cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans,
                p->b_transposed ? CblasTrans : CblasNoTrans, (blasint)p->m, (blasint)p->n,
                (blasint)p->k, 1.0F, floats_const(p->a), (blasint)matmul_a_stride(p),
                floats_const(p->b), (blasint)(p->b_transposed ? p->k : p->n),
                accumulate ? 1.0F : 0.0F, out, (blasint)p->n);
}

static void cpu_matmul(struct cells *out, const struct matmul *product)
{
    cpu_matmul_float(floats(out), product, false);
}

const struct backend backend_cpu = {
    .name = "cpu",
    .cell_bytes = sizeof(float),
    .thread_bytes = 48 << 20, /* seen: OpenBLAS packs a head of 50257 tokens */
    .allocate = cpu_allocate,
    .release = host_release,
    .download = host_copy,
    .fill_zero = host_fill_zero,
    .cells_are_floats = true,
    .as_cells = host_floats_as_cells,
    .matmul = cpu_matmul,
    .matmul_float = cpu_matmul_float,
    .start_residual = ref_start_residual,
    .add_bias = ref_add_bias,
    .bias_backward = ref_bias_backward,
    .residual_bias_backward = ref_residual_bias_backward,
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
    .bias_gelu = cpu_bias_gelu,
    .gelu_backward = cpu_gelu_backward,
    .cross_entropy = cpu_cross_entropy,
};
