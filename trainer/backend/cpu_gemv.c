/* Products of a few rows with a large matrix, as decoding makes them: b is read once, in order, and
 * that reading is what they cost. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

enum {
    COLUMN_BLOCK = 8192, /* of all rows of out together: they stay in the cache */
    TILE = 4,            /* sums that are made together */
    LINE_FLOATS = 16,
    AHEAD = 8 * LINE_FLOATS /* of the row that is read: what memory delivers meanwhile */
};

/* Asks for the LANES floats of `rows` rows, `stride` apart. */
LANES_INLINE void fetch_rows_soon(const float *b, size_t rows, size_t stride)
{
    for (size_t i = 0; i < rows * LANES; i += LINE_FLOATS) {
        lanes_fetch_soon(b + i / LANES * stride + i % LANES);
    }
}

/* out[r * out_stride + c] += a_r . b_c for rows a_r and b_c that are `count` apart, few enough for
 * their lanes to stay in registers; `a_rows` and `b_rows` are known when compiling. */
LANES_INLINE void dot_tile(float *out, size_t out_stride, const float *restrict a, size_t a_rows,
                           const float *restrict b, size_t b_rows, size_t count)
{
    float lane[TILE][LANES];
    size_t whole = count / LANES * LANES;
    for (size_t t = 0; t < a_rows * b_rows; t++) { /* no zeroes, which would be a slow memset */
        for (size_t j = 0; j < LANES; j++) {
            lane[t][j] = whole > 0 ? a[t / b_rows * count + j] * b[t % b_rows * count + j] : 0.0F;
        }
    }
    for (size_t i = LANES; i < whole; i += LANES) {
        fetch_rows_soon(b + b_rows * count + i, b_rows, count); /* of the next tile */
        for (size_t t = 0; t < a_rows * b_rows; t++) {
            for (size_t j = 0; j < LANES; j++) {
                lane[t][j] += a[t / b_rows * count + i + j] * b[t % b_rows * count + i + j];
            }
        }
    }
    for (size_t t = 0; t < a_rows * b_rows; t++) {
        float sum = lanes_total(lane[t]);
        for (size_t i = whole; i < count; i++) {
            sum += a[t / b_rows * count + i] * b[t % b_rows * count + i];
        }
        out[t / b_rows * out_stride + t % b_rows] += sum;
    }
}

/* All of a with `b_rows` rows of b. */
LANES_INLINE void dot_with_rows(float *out, size_t n, const float *a, size_t m, const float *b,
                                size_t b_rows, size_t k)
{
    size_t i = 0;
    for (; b_rows == 1 && i + 4 <= m; i += 4) {
        dot_tile(out + i * n, n, a + i * k, 4, b, 1, k);
    }
    for (; b_rows <= 2 && i + 2 <= m; i += 2) {
        dot_tile(out + i * n, n, a + i * k, 2, b, b_rows, k);
    }
    for (; i < m; i++) {
        dot_tile(out + i * n, n, a + i * k, 1, b, b_rows, k);
    }
}

/* b is stored (n,k). */
VECTOR_CLONES static void multiply_transposed(float *out, const float *a, const float *b, size_t m,
                                              size_t n, size_t k)
{
    size_t j = 0;
    for (; m == 1 && j + 4 <= n; j += 4) {
        dot_with_rows(out + j, n, a, 1, b + j * k, 4, k);
    }
    for (; m <= 3 && j + 2 <= n; j += 2) {
        dot_with_rows(out + j, n, a, m, b + j * k, 2, k);
    }
    for (; j < n; j++) {
        dot_with_rows(out + j, n, a, m, b + j * k, 1, k);
    }
}

LANES_INLINE void add_four_parts(float *restrict out, const float *a, const float *restrict b,
                                 size_t stride, size_t count)
{
    for (size_t j = 0; j < count; j++) {
        out[j] += a[0] * b[j] + a[1] * b[stride + j] + a[2] * b[2 * stride + j] +
                  a[3] * b[3 * stride + j];
    }
}

/* out += a[0] b_0 + a[1] b_1 + a[2] b_2 + a[3] b_3 for four rows of b, `stride` apart. */
LANES_INLINE void add_four_rows(float *restrict out, const float *a, const float *restrict b,
                                size_t stride, size_t count)
{
    size_t j = 0;
    for (; j + LANES <= count; j += LANES) {
        fetch_rows_soon(b + j + AHEAD, 4, stride);
        add_four_parts(out + j, a, b + j, stride, LANES);
    }
    add_four_parts(out + j, a, b + j, stride, count - j);
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
    size_t block = COLUMN_BLOCK / m;
    for (size_t first = 0; first < n; first += block) {
        size_t count = n - first < block ? n - first : block;
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
    enum { ROWS_MAX = 8 }; /* with more, BLAS is as fast */
    bool natural = !product->a_transposed && product->a_stride == 0;
    return (product->m == 1 && product->a_stride == 0) ||
           (product->m > 0 && product->m <= ROWS_MAX && natural);
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
