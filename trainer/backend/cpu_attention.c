/* Attention through BLAS: for one head and one block of query rows at a time, the scores against
 * all keys up to the block's end. Scratch is two blocks of scores, whatever the batch; the part
 * of a block beyond the diagonal is computed and then set to zero. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"

#include <cblas.h>
#include <math.h>

enum { ROW_BLOCK = 64 };

/* One head's block: query rows [first, first + rows) against keys [0, keys). */
struct block {
    size_t first;
    size_t rows;
    size_t keys; /* first + rows: also the stride of the block's scores */
    float scale;
};

static struct block block_at(const struct attention_shape *shape, size_t first)
{
    size_t rows = shape->rows - first < ROW_BLOCK ? shape->rows - first : ROW_BLOCK;
    return (struct block){.first = first,
                          .rows = rows,
                          .keys = first + rows,
                          .scale = (float)(1.0 / sqrt((double)shape->head_size))};
}

size_t cpu_attention_scratch(const struct attention_shape *shape)
{
    size_t block = shape->rows < ROW_BLOCK ? shape->rows : ROW_BLOCK;
    return 2 * block * shape->rows;
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
        log_sum[i] = max + logf(sum);
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

void cpu_attention(float *out, float *log_sum, const float *q, const float *k, const float *v,
                   const struct attention_shape *shape, float *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    size_t group = shape->head_count / shape->kv_head_count;
    for (size_t h = 0; h < shape->head_count; h++) {
        const float *k_head = k + h / group * size;
        const float *v_head = v + h / group * size;
        for (size_t first = 0; first < shape->rows; first += ROW_BLOCK) {
            struct block block = block_at(shape, first);
            multiply(
                scratch, block.keys, plain(q + first * shape->q_stride + h * size, shape->q_stride),
                flipped(k_head, shape->kv_stride), block.rows, block.keys, size, block.scale, 0.0F);
            softmax_block(scratch, log_sum + h * shape->rows + first, &block);
            multiply(out + first * out_stride + h * size, out_stride, plain(scratch, block.keys),
                     plain(v_head, shape->kv_stride), block.rows, size, block.keys, 1.0F, 0.0F);
        }
    }
}

static void zero_rows(float *x, size_t rows, size_t stride, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        memset(x + t * stride, 0, width * sizeof(*x));
    }
}

void cpu_attention_backward(float *d_q, float *d_k, float *d_v, const float *d_out,
                            const float *out, const float *log_sum, const float *q, const float *k,
                            const float *v, const struct attention_shape *shape, float *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    size_t q_stride = shape->q_stride;
    size_t kv_stride = shape->kv_stride;
    size_t group = shape->head_count / shape->kv_head_count;
    float *p = scratch;
    float *d_p = scratch + cpu_attention_scratch(shape) / 2;
    zero_rows(d_k, shape->rows, kv_stride, shape->kv_head_count * size);
    zero_rows(d_v, shape->rows, kv_stride, shape->kv_head_count * size);
    for (size_t h = 0; h < shape->head_count; h++) {
        size_t kv_head = h / group * size;
        for (size_t first = 0; first < shape->rows; first += ROW_BLOCK) {
            struct block block = block_at(shape, first);
            size_t q_at = first * q_stride + h * size;
            size_t out_at = first * out_stride + h * size;
            multiply(p, block.keys, plain(q + q_at, q_stride), flipped(k + kv_head, kv_stride),
                     block.rows, block.keys, size, block.scale, 0.0F);
            probabilities_block(p, log_sum + h * shape->rows + first, &block);
            multiply(d_p, block.keys, plain(d_out + out_at, out_stride),
                     flipped(v + kv_head, kv_stride), block.rows, block.keys, size, 1.0F, 0.0F);
            multiply(d_v + kv_head, kv_stride, flipped(p, block.keys),
                     plain(d_out + out_at, out_stride), block.keys, size, block.rows, 1.0F, 1.0F);
            softmax_backward_block(d_p, p, d_out + out_at, out + out_at, out_stride, size, &block);
            multiply(d_q + q_at, q_stride, plain(d_p, block.keys), plain(k + kv_head, kv_stride),
                     block.rows, size, block.keys, block.scale, 0.0F);
            multiply(d_k + kv_head, kv_stride, flipped(d_p, block.keys), plain(q + q_at, q_stride),
                     block.keys, size, block.rows, block.scale, 1.0F);
        }
    }
}
