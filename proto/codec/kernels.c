#include "proto/codec/kernels.h"

#include "common/check.h"

#if defined(__x86_64__)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

size_t codec_kernels_list(const struct codec_kernels *out[CODEC_KERNELS_MAX])
{
    size_t count = 0;
#if defined(__x86_64__)
    if (has_avx512()) {
        out[count++] = &codec_kernels_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        out[count++] = &codec_kernels_avx2;
    }
#endif
    out[count++] = &codec_kernels_plain;
    return count;
}

const struct codec_loops *codec_loops(enum codec codec)
{
    CHECK(codec_is_known((uint64_t)codec));
    const struct codec_kernels *kernels[CODEC_KERNELS_MAX];
    (void)codec_kernels_list(kernels);
    return &kernels[0]->loops[codec];
}
