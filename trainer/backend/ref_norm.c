/* RMSNorm (Zhang and Sennrich, arXiv 1910.07467) and LayerNorm (Ba et al., arXiv 1607.06450).
 * Sums over a row are kept in double: they are what the other backends are measured against. */
#include "trainer/backend/ref.h"

#include <math.h>

void ref_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        double square = 0.0;
        for (size_t i = 0; i < width; i++) {
            square += (double)row[i] * (double)row[i];
        }
        rstd[t] = (float)(1.0 / sqrt(square / (double)width + (double)eps));
        for (size_t i = 0; i < width; i++) {
            floats(out)[t * width + i] = row[i] * rstd[t] * gain[i];
        }
    }
}

/* With n = x rstd and g = d_out gain: d_x += rstd (g - n mean(g n)). */
void ref_rmsnorm_backward(float *d_x, float *d_gain, const float *d_out, const float *x,
                          const float *gain, const float *rstd, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *d_row = d_out + t * width;
        const float *row = x + t * width;
        double projection = 0.0;
        for (size_t i = 0; i < width; i++) {
            projection += (double)(d_row[i] * gain[i]) * (double)(row[i] * rstd[t]);
        }
        float mean = (float)(projection / (double)width);
        for (size_t i = 0; i < width; i++) {
            float normal = row[i] * rstd[t];
            d_x[t * width + i] += rstd[t] * (d_row[i] * gain[i] - normal * mean);
            d_gain[i] += d_row[i] * normal;
        }
    }
}

void ref_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = x + t * width;
        double sum = 0.0;
        for (size_t i = 0; i < width; i++) {
            sum += (double)row[i];
        }
        double center = sum / (double)width;
        double square = 0.0;
        for (size_t i = 0; i < width; i++) {
            square += ((double)row[i] - center) * ((double)row[i] - center);
        }
        mean[t] = (float)center;
        rstd[t] = (float)(1.0 / sqrt(square / (double)width + (double)eps));
        for (size_t i = 0; i < width; i++) {
            floats(out)[t * width + i] = (row[i] - mean[t]) * rstd[t] * gain[i] + bias[i];
        }
    }
}

/* With n = (x - mean) rstd and g = d_out gain: d_x += rstd (g - mean(g) - n mean(g n)). */
void ref_layernorm_backward(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                            const float *x, const float *gain, const float *mean, const float *rstd,
                            size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *d_row = d_out + t * width;
        const float *row = x + t * width;
        double sum = 0.0;
        double projection = 0.0;
        for (size_t i = 0; i < width; i++) {
            double g = (double)(d_row[i] * gain[i]);
            sum += g;
            projection += g * (double)((row[i] - mean[t]) * rstd[t]);
        }
        float g_mean = (float)(sum / (double)width);
        float gn_mean = (float)(projection / (double)width);
        for (size_t i = 0; i < width; i++) {
            float normal = (row[i] - mean[t]) * rstd[t];
            d_x[t * width + i] += rstd[t] * (d_row[i] * gain[i] - g_mean - normal * gn_mean);
            d_gain[i] += d_row[i] * normal;
            d_bias[i] += d_row[i];
        }
    }
}
