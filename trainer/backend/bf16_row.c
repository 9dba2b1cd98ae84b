/* One row times a matrix: every value of the matrix is used once, so memory sets the speed, and
 * oneDNN's kernels, which repack the matrix first, take two or three times as long. Decoding with a
 * key/value cache is made of these. */
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

enum {
    DOT_ROWS = 4,     /* rows of a transposed b that share the widened x */
    SUM_ROWS = 4,     /* rows of a plain b that share one load and store of the sums */
    SUM_BLOCK = 4096, /* sums that lie on the stack */
    OUT_BLOCK = 64,
    PAIRS = LANES / 2,
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

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pairs of cells begin with the low one");

/* Cells 2 j and 2 j + 1 as floats. Two operations for a whole vector of pairs, where widening each
 * cell in its place takes five. */
struct pair {
    float even;
    float odd;
};

LANES_INLINE struct pair widen_pair(const uint16_t *cells, size_t j)
{
    uint32_t both;
    memcpy(&both, cells + 2 * j, sizeof(both));
    return (struct pair){half_float_of(both << 16), half_float_of(both & 0xffff0000U)};
}

/* out[r] = x . rows[r], for `count` <= DOT_ROWS rows. */
LANES_INLINE void dot_some(float *restrict out, const uint16_t *restrict x,
                           const uint16_t *restrict rows, size_t stride, size_t count, size_t k)
{
    float even[DOT_ROWS][PAIRS] = {{0}};
    float odd[DOT_ROWS][PAIRS] = {{0}};
    size_t i = 0;
    for (; i + LANES <= k; i += LANES) {
        for (size_t r = 0; r < count; r++) {
            lanes_fetch_soon(&rows[(r + count) * stride + i]);
            for (size_t j = 0; j < PAIRS; j++) {
                struct pair a = widen_pair(x + i, j);
                struct pair b = widen_pair(rows + r * stride + i, j);
                even[r][j] += a.even * b.even;
                odd[r][j] += a.odd * b.odd;
            }
        }
    }
    for (size_t r = 0; r < count; r++) {
        float lane[LANES];
        memcpy(lane, even[r], sizeof(even[r]));
        memcpy(lane + PAIRS, odd[r], sizeof(odd[r]));
        float sum = lanes_total(lane);
        for (size_t j = i; j < k; j++) {
            sum += half_from_bf16(x[j]) * half_from_bf16(rows[r * stride + j]);
        }
        out[r] = sum;
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

/* sums(LANES) += x rows, for `count` rows and LANES of their columns: the even ones, then the odd
 * ones. */
LANES_INLINE void sum_part(float *restrict sums, const float *restrict x,
                           const uint16_t *restrict rows, size_t stride, size_t count)
{
    for (size_t j = 0; j < PAIRS; j++) {
        float even = sums[j];
        float odd = sums[PAIRS + j];
        for (size_t r = 0; r < count; r++) {
            struct pair pair = widen_pair(rows + r * stride, j);
            even += x[r] * pair.even;
            odd += x[r] * pair.odd;
        }
        sums[j] = even;
        sums[PAIRS + j] = odd;
    }
}

LANES_INLINE void sum_some(float *restrict sums, const uint16_t *restrict x,
                           const uint16_t *restrict rows, size_t stride, size_t n, size_t count)
{
    float wide[SUM_ROWS];
    for (size_t r = 0; r < count; r++) {
        wide[r] = half_from_bf16(x[r]);
    }
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (size_t r = 0; r < count; r++) {
            lanes_fetch_soon(&rows[(r + count) * stride + j]);
        }
        sum_part(sums + j, wide, rows + j, stride, count);
    }
    for (; j < n; j++) {
        for (size_t r = 0; r < count; r++) {
            sums[j] += wide[r] * half_from_bf16(rows[r * stride + j]);
        }
    }
}

/* Puts the columns that sum_part kept apart where they belong. */
LANES_INLINE void put_in_order(float *sums, size_t n)
{
    for (size_t i = 0; i + LANES <= n; i += LANES) {
        float apart[LANES];
        memcpy(apart, sums + i, sizeof(apart));
        for (size_t j = 0; j < PAIRS; j++) {
            sums[i + 2 * j] = apart[j];
            sums[i + 2 * j + 1] = apart[PAIRS + j];
        }
    }
}

/* sums(n) = x rows, with n <= SUM_BLOCK; each sum goes through the rows in order. */
VECTOR_CLONES static void sum_rows(float *restrict sums, const uint16_t *restrict x,
                                   const uint16_t *restrict rows, size_t stride, size_t n, size_t k)
{
    memset(sums, 0, n * sizeof(*sums));
    size_t l = 0;
    for (; l + SUM_ROWS <= k; l += SUM_ROWS) {
        sum_some(sums, x + l, rows + l * stride, stride, n, SUM_ROWS);
    }
    for (; l < k; l++) {
        sum_some(sums, x + l, rows + l * stride, stride, n, 1);
    }
    put_in_order(sums, n);
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

LANES_INLINE void score_some(float *scores, const uint16_t *q, const uint16_t *k, size_t count,
                             const struct attention_shape *shape)
{
    size_t size = shape->head_size;
    size_t group = shape->head_count / shape->kv_head_count;
    for (size_t h = 0; h < shape->head_count; h++) {
        dot_some(scores + h * (shape->first + 1), q + h * size, k + h / group * size,
                 shape->kv_stride, count, size);
    }
}

VECTOR_CLONES void bf16_score_keys(float *scores, const uint16_t *q, const uint16_t *k,
                                   const struct attention_shape *shape)
{
    size_t keys = shape->first + 1;
    size_t j = 0;
    for (; j + DOT_ROWS <= keys; j += DOT_ROWS) {
        score_some(scores + j, q, k + j * shape->kv_stride, DOT_ROWS, shape);
    }
    for (; j < keys; j++) {
        score_some(scores + j, q, k + j * shape->kv_stride, 1, shape);
    }
}

LANES_INLINE void mix_some(float *sums, const uint16_t *p, const uint16_t *v, size_t count,
                           const struct attention_shape *shape)
{
    size_t size = shape->head_size;
    size_t group = shape->head_count / shape->kv_head_count;
    for (size_t h = 0; h < shape->head_count; h++) {
        sum_some(sums + h * size, p + h * (shape->first + 1), v + h / group * size,
                 shape->kv_stride, size, count);
    }
}

VECTOR_CLONES void bf16_mix_values(float *out, const uint16_t *p, const uint16_t *v,
                                   const struct attention_shape *shape)
{
    size_t keys = shape->first + 1;
    size_t size = shape->head_size;
    memset(out, 0, shape->head_count * size * sizeof(*out));
    size_t j = 0;
    for (; j + SUM_ROWS <= keys; j += SUM_ROWS) {
        mix_some(out, p + j, v + j * shape->kv_stride, SUM_ROWS, shape);
    }
    for (; j < keys; j++) {
        mix_some(out, p + j, v + j * shape->kv_stride, 1, shape);
    }
    for (size_t h = 0; h < shape->head_count; h++) {
        put_in_order(out + h * size, size);
    }
}
