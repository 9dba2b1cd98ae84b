/* The norms of ref_norm.c with float sums in lanes. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <math.h>

VECTOR_CLONES static void rmsnorm(float *restrict out, float *restrict rstd,
                                  const float *restrict x, const float *restrict gain, size_t rows,
                                  size_t width, float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        float scale = 1.0F / sqrtf(lanes_dot(row, row, width) / (float)width + eps);
        for (size_t i = 0; i < width; i++) {
            out[t * width + i] = row[i] * scale * gain[i];
        }
        rstd[t] = scale;
    }
}

void cpu_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps)
{
    rmsnorm(floats(out), rstd, x, gain, rows, width, eps);
}

LANES_INLINE float gained_dot(const float *d_out, const float *gain, const float *x, float center,
                              size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += d_out[i + j] * gain[i + j] * (x[i + j] - center);
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        lane[j] += d_out[i] * gain[i] * (x[i] - center);
    }
    return lanes_total(lane);
}

VECTOR_CLONES void cpu_rmsnorm_backward(float *restrict d_x, float *restrict d_gain,
                                        const float *restrict d_out, const float *restrict x,
                                        const float *restrict gain, const float *restrict rstd,
                                        size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *d_row = d_out + t * width;
        const float *row = x + t * width;
        float scale = rstd[t];
        float mean = gained_dot(d_row, gain, row, 0.0F, width) * scale / (float)width;
        for (size_t i = 0; i < width; i++) {
            float normal = row[i] * scale;
            d_x[t * width + i] += scale * (d_row[i] * gain[i] - normal * mean);
            d_gain[i] += d_row[i] * normal;
        }
    }
}

VECTOR_CLONES static void layernorm(float *restrict out, float *restrict mean, float *restrict rstd,
                                    const float *restrict x, const float *restrict gain,
                                    const float *restrict bias, size_t rows, size_t width,
                                    float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        float center = lanes_sum(row, width) / (float)width;
        float scale = 1.0F / sqrtf(lanes_variance(row, center, width) + eps);
        for (size_t i = 0; i < width; i++) {
            out[t * width + i] = (row[i] - center) * scale * gain[i] + bias[i];
        }
        mean[t] = center;
        rstd[t] = scale;
    }
}

void cpu_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps)
{
    layernorm(floats(out), mean, rstd, x, gain, bias, rows, width, eps);
}

VECTOR_CLONES void cpu_layernorm_backward(float *restrict d_x, float *restrict d_gain,
                                          float *restrict d_bias, const float *restrict d_out,
                                          const float *restrict x, const float *restrict gain,
                                          const float *restrict mean, const float *restrict rstd,
                                          size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *d_row = d_out + t * width;
        const float *row = x + t * width;
        float center = mean[t];
        float scale = rstd[t];
        float g_mean = lanes_dot(d_row, gain, width) / (float)width;
        float gn_mean = gained_dot(d_row, gain, row, center, width) * scale / (float)width;
        for (size_t i = 0; i < width; i++) {
            float normal = (row[i] - center) * scale;
            d_x[t * width + i] += scale * (d_row[i] * gain[i] - g_mean - normal * gn_mean);
            d_gain[i] += d_row[i] * normal;
            d_bias[i] += d_row[i];
        }
    }
}
