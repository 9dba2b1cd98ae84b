/* Widening, narrowing and biases: rows added to rows. */
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

VECTOR_CLONES void bf16_narrow(uint16_t *restrict out, const float *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = half_to_bf16(x[i]);
    }
}

const struct cells *bf16_as_cells(struct cells *scratch, const float *x, size_t count)
{
    bf16_narrow(halves(scratch), x, count);
    return scratch;
}

VECTOR_CLONES static void add_bias(uint16_t *restrict out, const float *restrict bias, size_t rows,
                                   size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < width; i++) {
            out[t * width + i] = half_to_bf16(half_from_bf16(out[t * width + i]) + bias[i]);
        }
    }
}

void bf16_add_bias(struct cells *out, const float *bias, size_t rows, size_t width)
{
    add_bias(halves(out), bias, rows, width);
}

VECTOR_CLONES static void bias_backward(float *restrict d_bias, const uint16_t *restrict d_out,
                                        size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < width; i++) {
            d_bias[i] += half_from_bf16(d_out[t * width + i]);
        }
    }
}

void bf16_bias_backward(float *d_bias, const struct cells *d_out, size_t rows, size_t width)
{
    bias_backward(d_bias, halves_const(d_out), rows, width);
}
