#include "trainer/backend/backend.h"

#include "common/fault.h"
#include "trainer/backend/ref.h"

#include <string.h>

const struct backend backend_ref = {
    .name = "ref",
    .allocate = host_allocate,
    .release = host_release,
    .upload = host_copy,
    .download = host_copy,
    .fill_zero = host_fill_zero,
    .matmul = ref_matmul,
    .add = ref_add,
    .add_bias = ref_add_bias,
    .bias_backward = ref_bias_backward,
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
    .gelu = ref_gelu,
    .gelu_backward = ref_gelu_backward,
    .cross_entropy = ref_cross_entropy,
};

enum status backend_find(const char *name, const struct backend **out)
{
    static const struct backend *const BACKENDS[] = {&backend_ref, &backend_cpu};
    for (size_t i = 0; i < sizeof(BACKENDS) / sizeof(BACKENDS[0]); i++) {
        if (strcmp(BACKENDS[i]->name, name) == 0) {
            *out = BACKENDS[i];
            return STATUS_OK;
        }
    }
    *out = NULL;
    return fault(STATUS_USAGE, "there is no backend called '%s'; use cpu or ref", name);
}
