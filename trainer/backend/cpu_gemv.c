/* Products of a few rows with a large matrix, as decoding makes them: b is read once, in order, and
 * that reading is what they cost. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

enum {
    COLUMN_BLOCK = 2048
}; /* of b's rows and out's, so that they stay in the cache for each row */

/* out[r * out_stride] += a_r . b for `rows` rows a_r, `count` apart; a compile-time `rows` keeps
 * the lanes in registers. */
LANES_INLINE void dot_with_rows(float *out, size_t out_stride, const float *restrict a,
                                const float *restrict b, size_t count, size_t rows)
{
    float lane[4][LANES] = {{0}};
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t r = 0; r < rows; r++) {
            for (size_t j = 0; j < LANES; j++) {
                lane[r][j] += a[r * count + i + j] * b[i + j];
            }
        }
    }
    for (size_t r = 0; r < rows; r++) {
        float sum = lanes_total(lane[r]);
        for (size_t i = whole; i < count; i++) {
            sum += a[r * count + i] * b[i];
        }
        out[r * out_stride] += sum;
    }
}

/* b is stored (n,k). */
VECTOR_CLONES static void multiply_transposed(float *out, const float *a, const float *b, size_t m,
                                              size_t n, size_t k)
{
    for (size_t j = 0; j < n; j++) {
        const float *row = b + j * k;
        size_t i = 0;
        for (; i + 4 <= m; i += 4) {
            dot_with_rows(out + i * n + j, n, a + i * k, row, k, 4);
        }
        if (i + 2 <= m) {
            dot_with_rows(out + i * n + j, n, a + i * k, row, k, 2);
            i += 2;
        }
        if (i < m) {
            dot_with_rows(out + i * n + j, n, a + i * k, row, k, 1);
        }
    }
}

/* out += a[0] b_0 + a[1] b_1 + a[2] b_2 + a[3] b_3 for four rows of b, `stride` apart. */
LANES_INLINE void add_four_rows(float *restrict out, const float *a, const float *restrict b,
                                size_t stride, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        out[j] += a[0] * b[j] + a[1] * b[stride + j] + a[2] * b[2 * stride + j] +
                  a[3] * b[3 * stride + j];
    }
}

LANES_INLINE void add_row(float *restrict out, float a, const float *restrict b, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        out[j] += a * b[j];
    }
}

/* b is stored (k,n). */
VECTOR_CLONES static void multiply_plain(float *out, const float *a, const float *b, size_t m,
                                         size_t n, size_t k)
{
    for (size_t first = 0; first < n; first += COLUMN_BLOCK) {
        size_t count = n - first < COLUMN_BLOCK ? n - first : COLUMN_BLOCK;
        size_t l = 0;
        for (; l + 4 <= k; l += 4) {
            for (size_t i = 0; i < m; i++) {
                add_four_rows(out + i * n + first, a + i * k + l, b + l * n + first, n, count);
            }
        }
        for (; l < k; l++) {
            for (size_t i = 0; i < m; i++) {
                add_row(out + i * n + first, a[i * k + l], b + l * n + first, count);
            }
        }
    }
}

bool cpu_is_few_rows(const struct matmul *product)
{
    enum { ROWS_MAX = 8 }; /* from here on BLAS is as fast */
    return product->m == 1 || (product->m <= ROWS_MAX && !product->a_transposed);
}

void cpu_multiply_few_rows(float *out, const struct matmul *p, bool accumulate)
{
    if (!accumulate) {
        host_fill_zero(out, p->m * p->n);
    }
    const float *a = floats_const(p->a);
    const float *b = floats_const(p->b);
    if (p->b_transposed) {
        multiply_transposed(out, a, b, p->m, p->n, p->k);
    } else {
        multiply_plain(out, a, b, p->m, p->n, p->k);
    }
}
