/* One row times a matrix: every value of the matrix is used once, so memory sets the speed, and
 * oneDNN's kernels, which repack the matrix first, take two or three times as long. Decoding with a
 * key/value cache is made of these. */
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

enum {
    DOT_ROWS = 4,     /* rows of a transposed b that share the widened x */
    SUM_ROWS = 8,     /* rows of a plain b that share one load and store of the sums */
    SUM_BLOCK = 1024, /* sums that lie on the stack */
    OUT_BLOCK = 64,
};

VECTOR_CLONES static void add_floats(float *restrict out, const float *restrict values,
                                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] += values[i];
    }
}

void bf16_emit(struct bf16_out out, size_t at, const float *values, size_t count)
{
    switch (out.form) {
    case BF16_CELLS:
        bf16_narrow((uint16_t *)out.to + at, values, count);
        break;
    case BF16_FLOAT:
        memcpy((float *)out.to + at, values, count * sizeof(*values));
        break;
    case BF16_FLOAT_ADD:
        add_floats((float *)out.to + at, values, count);
        break;
    }
}

/* out[r] = x . rows[r], for `count` <= DOT_ROWS rows. */
LANES_INLINE void dot_some(float *restrict out, const uint16_t *restrict x,
                           const uint16_t *restrict rows, size_t stride, size_t count, size_t k)
{
    float lane[DOT_ROWS][LANES] = {{0}};
    size_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        for (size_t r = 0; r < count; r++) {
            lanes_fetch_soon(&rows[(r + count) * stride + i]);
            for (size_t j = 0; j < LANES; j++) {
                lane[r][j] += half_from_bf16(x[i + j]) * half_from_bf16(rows[r * stride + i + j]);
            }
        }
    }
    for (; i < k; i++) {
        for (size_t r = 0; r < count; r++) {
            lane[r][i % LANES] += half_from_bf16(x[i]) * half_from_bf16(rows[r * stride + i]);
        }
    }
    for (size_t r = 0; r < count; r++) {
        out[r] = lanes_total(lane[r]);
    }
}

VECTOR_CLONES static void dot_rows(float *restrict out, const uint16_t *restrict x,
                                   const uint16_t *restrict rows, size_t stride, size_t count,
                                   size_t k)
{
    size_t r = 0;
    for (; r + DOT_ROWS <= count; r += DOT_ROWS) {
        dot_some(out + r, x, rows + r * stride, stride, DOT_ROWS, k);
    }
    for (; r < count; r++) {
        dot_some(out + r, x, rows + r * stride, stride, 1, k);
    }
}

/* sums(n) = x rows, with n <= SUM_BLOCK; each sum goes through the rows in order. */
VECTOR_CLONES static void sum_rows(float *restrict sums, const uint16_t *restrict x,
                                   const uint16_t *restrict rows, size_t stride, size_t n, size_t k)
{
    memset(sums, 0, n * sizeof(*sums));
    size_t l = 0;
    for (; l + SUM_ROWS <= k; l += SUM_ROWS) {
        const uint16_t *restrict row = rows + l * stride;
        float wide[SUM_ROWS];
        for (size_t r = 0; r < SUM_ROWS; r++) {
            wide[r] = half_from_bf16(x[l + r]);
        }
        for (size_t j = 0; j < n; j++) {
            float sum = sums[j];
            for (size_t r = 0; r < SUM_ROWS; r++) {
                sum += wide[r] * half_from_bf16(row[r * stride + j]);
            }
            sums[j] = sum;
        }
    }
    for (; l < k; l++) {
        float wide = half_from_bf16(x[l]);
        for (size_t j = 0; j < n; j++) {
            sums[j] += wide * half_from_bf16(rows[l * stride + j]);
        }
    }
}

void bf16_multiply_row(struct bf16_out out, const struct bf16_row_product *p)
{
    float block[SUM_BLOCK];
    size_t step = p->b_transposed ? OUT_BLOCK : SUM_BLOCK;
    for (size_t at = 0; at < p->n; at += step) {
        size_t count = p->n - at < step ? p->n - at : step;
        if (p->b_transposed) {
            dot_rows(block, p->x, p->b + at * p->stride, p->stride, count, p->k);
        } else {
            sum_rows(block, p->x, p->b + at, p->stride, count, p->k);
        }
        bf16_emit(out, at, block, count);
    }
}
