/* Attention through BLAS: for one head and one block of query rows at a time, the scores against
 * all keys up to the block's end. Scratch is two blocks of scores, whatever the batch; the part
 * of a block beyond the diagonal is computed and then set to zero. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <cblas.h>
#include <math.h>

enum { ROW_BLOCK = 64 };

/* One head's block: `rows` query rows from row `at` on, against keys [0, keys). */
struct block {
    size_t at;
    size_t first; /* position of its first row */
    size_t rows;
    size_t keys; /* first + rows: also the stride of the block's scores */
    float scale;
};

static struct block block_at(const struct attention_shape *shape, size_t at)
{
    size_t rows = shape->rows - at < ROW_BLOCK ? shape->rows - at : ROW_BLOCK;
    return (struct block){.at = at,
                          .first = shape->first + at,
                          .rows = rows,
                          .keys = shape->first + at + rows,
                          .scale = (float)(1.0 / sqrt((double)shape->head_size))};
}

size_t cpu_attention_scratch(const struct attention_shape *shape)
{
    size_t block = shape->rows < ROW_BLOCK ? shape->rows : ROW_BLOCK;
    return 2 * block * (shape->first + shape->rows) * sizeof(float);
}

/* out(m,n) = alpha op(a) op(b) + beta out, each with the distance between its stored rows. */
struct strided {
    const float *values;
    size_t stride;
    bool transposed;
};

static void multiply(float *out, size_t out_stride, struct strided a, struct strided b, size_t m,
                     size_t n, size_t k, float alpha, float beta)
{
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
                b.transposed ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha,
                a.values, (blasint)a.stride, b.values, (blasint)b.stride, beta, out,
                (blasint)out_stride);
}

static struct strided plain(const float *values, size_t stride)
{
    return (struct strided){values, stride, false};
}

static struct strided flipped(const float *values, size_t stride)
{
    return (struct strided){values, stride, true};
}

/* Turns each row's scores into causal probabilities in place; log_sum(rows). */
VECTOR_CLONES static void softmax_block(float *scores, float *log_sum, const struct block *block)
{
    for (size_t i = 0; i < block->rows; i++) {
        float *restrict row = scores + i * block->keys;
        size_t seen = block->first + i + 1;
        float max = lanes_max(row, seen);
        for (size_t j = 0; j < seen; j++) {
            row[j] = lanes_exp(row[j] - max);
        }
        float sum = lanes_sum(row, seen);
        float inverse = 1.0F / sum;
        for (size_t j = 0; j < seen; j++) {
            row[j] *= inverse;
        }
        for (size_t j = seen; j < block->keys; j++) {
            row[j] = 0.0F;
        }
        if (log_sum != NULL) {
            log_sum[i] = max + logf(sum);
        }
    }
}

/* The same probabilities again, from the kept log_sum. */
VECTOR_CLONES static void probabilities_block(float *scores, const float *log_sum,
                                              const struct block *block)
{
    for (size_t i = 0; i < block->rows; i++) {
        float *restrict row = scores + i * block->keys;
        size_t seen = block->first + i + 1;
        for (size_t j = 0; j < seen; j++) {
            row[j] = lanes_exp(row[j] - log_sum[i]);
        }
        for (size_t j = seen; j < block->keys; j++) {
            row[j] = 0.0F;
        }
    }
}

/* d_scores = p (d_p - d_out . out), the softmax's backward pass, in the place of d_p. Rows of
 * d_out and out are `stride` apart. */
VECTOR_CLONES static void softmax_backward_block(float *d_p, const float *p, const float *d_out,
                                                 const float *out, size_t stride, size_t head_size,
                                                 const struct block *block)
{
    for (size_t i = 0; i < block->rows; i++) {
        float total = lanes_dot(d_out + i * stride, out + i * stride, head_size);
        float *restrict d_row = d_p + i * block->keys;
        const float *restrict p_row = p + i * block->keys;
        for (size_t j = 0; j < block->keys; j++) {
            d_row[j] = p_row[j] * (d_row[j] - total);
        }
    }
}

void cpu_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                   const struct cells *v, const struct attention_shape *shape, void *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    size_t group = shape->head_count / shape->kv_head_count;
    float *scores = scratch;
    for (size_t h = 0; h < shape->head_count; h++) {
        const float *q_head = floats_const(q) + h * size;
        const float *k_head = floats_const(k) + h / group * size;
        const float *v_head = floats_const(v) + h / group * size;
        float *head_log_sum = log_sum != NULL ? log_sum + h * shape->rows : NULL;
        for (size_t at = 0; at < shape->rows; at += ROW_BLOCK) {
            struct block block = block_at(shape, at);
            multiply(scores, block.keys, plain(q_head + at * shape->q_stride, shape->q_stride),
                     flipped(k_head, shape->kv_stride), block.rows, block.keys, size, block.scale,
                     0.0F);
            softmax_block(scores, head_log_sum != NULL ? head_log_sum + at : NULL, &block);
            multiply(floats(out) + at * out_stride + h * size, out_stride,
                     plain(scores, block.keys), plain(v_head, shape->kv_stride), block.rows, size,
                     block.keys, 1.0F, 0.0F);
        }
    }
}

static void zero_rows(float *x, size_t rows, size_t stride, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        memset(x + t * stride, 0, width * sizeof(*x));
    }
}

void cpu_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                            const struct cells *d_out, const struct cells *out,
                            const float *log_sum, const struct cells *q, const struct cells *k,
                            const struct cells *v, const struct attention_shape *shape,
                            void *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    size_t q_stride = shape->q_stride;
    size_t kv_stride = shape->kv_stride;
    size_t group = shape->head_count / shape->kv_head_count;
    float *p = scratch;
    float *d_p = p + cpu_attention_scratch(shape) / sizeof(*p) / 2;
    zero_rows(floats(d_k), shape->rows, kv_stride, shape->kv_head_count * size);
    zero_rows(floats(d_v), shape->rows, kv_stride, shape->kv_head_count * size);
    for (size_t h = 0; h < shape->head_count; h++) {
        size_t kv_head = h / group * size;
        const float *k_head = floats_const(k) + kv_head;
        for (size_t at = 0; at < shape->rows; at += ROW_BLOCK) {
            struct block block = block_at(shape, at);
            const float *q_block = floats_const(q) + at * q_stride + h * size;
            const float *d_out_block = floats_const(d_out) + at * out_stride + h * size;
            const float *out_block = floats_const(out) + at * out_stride + h * size;
            multiply(p, block.keys, plain(q_block, q_stride), flipped(k_head, kv_stride),
                     block.rows, block.keys, size, block.scale, 0.0F);
            probabilities_block(p, log_sum + h * shape->rows + at, &block);
            multiply(d_p, block.keys, plain(d_out_block, out_stride),
                     flipped(floats_const(v) + kv_head, kv_stride), block.rows, block.keys, size,
                     1.0F, 0.0F);
            multiply(floats(d_v) + kv_head, kv_stride, flipped(p, block.keys),
                     plain(d_out_block, out_stride), block.keys, size, block.rows, 1.0F, 1.0F);
            softmax_backward_block(d_p, p, d_out_block, out_block, out_stride, size, &block);
            multiply(floats(d_q) + at * q_stride + h * size, q_stride, plain(d_p, block.keys),
                     plain(k_head, kv_stride), block.rows, size, block.keys, block.scale, 0.0F);
            multiply(floats(d_k) + kv_head, kv_stride, flipped(d_p, block.keys),
                     plain(q_block, q_stride), block.keys, size, block.rows, block.scale, 1.0F);
        }
    }
}
