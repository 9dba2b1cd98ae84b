#include "trainer/backend/backend.h"

#include "common/fault.h"
#include "trainer/backend/ref.h"

#include <string.h>

const struct backend backend_ref = {
    .name = "ref",
    .cell_bytes = sizeof(float),
    .allocate = host_allocate,
    .release = host_release,
    .download = host_copy,
    .fill_zero = host_fill_zero,
    .cells_are_floats = true,
    .as_cells = host_floats_as_cells,
    .matmul = ref_matmul,
    .matmul_float = ref_matmul_float,
    .start_residual = ref_start_residual,
    .add_bias = ref_add_bias,
    .bias_backward = ref_bias_backward,
    .residual_bias_backward = ref_residual_bias_backward,
    .embed = ref_embed,
    .embed_backward = ref_embed_backward,
    .rmsnorm = ref_rmsnorm,
    .rmsnorm_backward = ref_rmsnorm_backward,
    .layernorm = ref_layernorm,
    .layernorm_backward = ref_layernorm_backward,
    .rope = ref_rope,
    .attention = ref_attention,
    .attention_backward = ref_attention_backward,
    .attention_scratch = ref_attention_scratch,
    .swiglu = ref_swiglu,
    .swiglu_backward = ref_swiglu_backward,
    .bias_gelu = ref_bias_gelu,
    .gelu_backward = ref_gelu_backward,
    .cross_entropy = ref_cross_entropy,
};

enum status backend_find(const char *name, const struct backend **out)
{
    *out = NULL;
    if (strcmp(name, "ref") == 0) {
        *out = &backend_ref;
        return STATUS_OK;
    }
    if (strcmp(name, "cpu") == 0) {
        *out = &backend_cpu;
        return STATUS_OK;
    }
    if (strcmp(name, "bf16") != 0) {
        return fault(STATUS_USAGE, "there is no backend called '%s'; use cpu, bf16 or ref", name);
    }
    const char *reason = NULL;
    *out = backend_bf16(&reason);
    return *out != NULL ? STATUS_OK
                        : fault(STATUS_USAGE, "backend 'bf16' is not here: %s; use cpu", reason);
}
