/* The norms of cpu_norm.c with bfloat16 results; statistics and backward passes are float32. */
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

#include <math.h>

VECTOR_CLONES static void rmsnorm(uint16_t *restrict out, float *restrict rstd,
                                  const float *restrict x, const float *restrict gain, size_t rows,
                                  size_t width, float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        float scale = 1.0F / sqrtf(lanes_dot(row, row, width) / (float)width + eps);
        for (size_t i = 0; i < width; i++) {
            out[t * width + i] = half_to_bf16(row[i] * scale * gain[i]);
        }
        rstd[t] = scale;
    }
}

void bf16_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                  size_t width, float eps)
{
    rmsnorm(halves(out), rstd, x, gain, rows, width, eps);
}

VECTOR_CLONES static void layernorm(uint16_t *restrict out, float *restrict mean,
                                    float *restrict rstd, const float *restrict x,
                                    const float *restrict gain, const float *restrict bias,
                                    size_t rows, size_t width, float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        float center = lanes_sum(row, width) / (float)width;
        float scale = 1.0F / sqrtf(lanes_variance(row, center, width) + eps);
        for (size_t i = 0; i < width; i++) {
            out[t * width + i] = half_to_bf16((row[i] - center) * scale * gain[i] + bias[i]);
        }
        mean[t] = center;
        rstd[t] = scale;
    }
}

void bf16_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                    const float *bias, size_t rows, size_t width, float eps)
{
    layernorm(halves(out), mean, rstd, x, gain, bias, rows, width, eps);
}
