/* Embeddings, biases and residual sums: rows added to rows. */
#include "trainer/backend/ref.h"

void ref_add(float *out, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = a[i] + b[i];
    }
}

void ref_add_bias(float *out, const float *bias, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        ref_add(out + t * width, out + t * width, bias, width);
    }
}

void ref_bias_backward(float *d_bias, const float *d_out, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        ref_add(d_bias, d_bias, d_out + t * width, width);
    }
}

void ref_embed(float *out, const float *table, const float *positions, const uint16_t *ids,
               size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = table + ids[t] * width;
        if (positions != NULL) {
            ref_add(out + t * width, row, positions + t * width, width);
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
        ref_add(row, row, d_out + t * width, width);
    }
    if (d_positions != NULL) {
        ref_add(d_positions, d_positions, d_out, rows * width);
    }
}
