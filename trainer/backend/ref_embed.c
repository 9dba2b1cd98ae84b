/* Embeddings, biases and residual sums: rows added to rows. */
#include "trainer/backend/ref.h"

static void add(float *out, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = a[i] + b[i];
    }
}

void ref_start_residual(float *out, const float *x, const float *bias, size_t rows, size_t width)
{
    if (bias == NULL) {
        host_copy(out, x, rows * width);
        return;
    }
    for (size_t t = 0; t < rows; t++) {
        add(out + t * width, x + t * width, bias, width);
    }
}

void ref_add_bias(struct cells *out, const float *bias, size_t rows, size_t width)
{
    ref_start_residual(floats(out), floats(out), bias, rows, width);
}

void ref_residual_bias_backward(float *d_bias, const float *d_out, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        add(d_bias, d_bias, d_out + t * width, width);
    }
}

void ref_bias_backward(float *d_bias, const struct cells *d_out, size_t rows, size_t width)
{
    ref_residual_bias_backward(d_bias, floats_const(d_out), rows, width);
}

void ref_embed(float *out, const float *table, const float *positions, const uint16_t *ids,
               size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = table + ids[t] * width;
        if (positions != NULL) {
            add(out + t * width, row, positions + t * width, width);
        } else {
            host_copy(out + t * width, row, width);
        }
    }
}

void ref_embed_backward(float *d_table, float *d_positions, const float *d_out, const uint16_t *ids,
                        size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        float *row = d_table + ids[t] * width;
        add(row, row, d_out + t * width, width);
    }
    if (d_positions != NULL) {
        add(d_positions, d_positions, d_out, rows * width);
    }
}
