#include "trainer/backend/bf16.h"

#include "trainer/backend/cpu.h"
#include "trainer/backend/cpu_features.h"
#include "trainer/backend/ref.h"

static const struct backend BACKEND_BF16 = {
    .name = "bf16",
    .cell_bytes = sizeof(uint16_t),
    .thread_bytes = 8 << 20, /* seen: oneDNN's kernels and scratch */
    .allocate = host_allocate,
    .release = host_release,
    .download = host_copy,
    .fill_zero = host_fill_zero,
    .cells_are_floats = false,
    .as_cells = bf16_as_cells,
    .matmul = bf16_matmul,
    .matmul_float = bf16_matmul_float,
    .start_residual = ref_start_residual,
    .add_bias = bf16_add_bias,
    .bias_backward = bf16_bias_backward,
    .residual_bias_backward = ref_residual_bias_backward,
    .embed = ref_embed,
    .embed_backward = ref_embed_backward,
    .rmsnorm = bf16_rmsnorm,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .layernorm = bf16_layernorm,
    .layernorm_backward = cpu_layernorm_backward,
    .rope = bf16_rope,
    .attention = bf16_attention,
    .attention_backward = bf16_attention_backward,
    .attention_scratch = bf16_attention_scratch,
    .swiglu = bf16_swiglu,
    .swiglu_backward = bf16_swiglu_backward,
    .bias_gelu = bf16_bias_gelu,
    .gelu_backward = bf16_gelu_backward,
    .cross_entropy = bf16_cross_entropy,
};

const struct backend *backend_bf16(const char **reason)
{
    struct cpu_features here = cpu_features_here();
    if (!here.avx512_bf16 && !here.amx_bf16) {
        *reason = "this CPU has no bfloat16 instructions";
        return NULL;
    }
    return bf16_products_start(reason) ? &BACKEND_BF16 : NULL;
}
