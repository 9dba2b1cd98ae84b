/* Causal attention (Vaswani et al., arXiv 1706.03762) with grouped key/value heads (Ainslie et
 * al., arXiv 2305.13245), one query row at a time. The backward pass makes the probabilities
 * again from log_sum instead of keeping them (Dao et al., arXiv 2205.14135, section 3.1). */
#include "trainer/backend/ref.h"

#include <math.h>

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

static void add_scaled(float *out, const float *x, float scale, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        out[i] += x[i] * scale;
    }
}

static float score_scale(const struct attention_shape *shape)
{
    return (float)(1.0 / sqrt((double)shape->head_size));
}

static size_t kv_head_of(const struct attention_shape *shape, size_t head)
{
    return head / (shape->head_count / shape->kv_head_count);
}

/* scores[0..count) = softmax(scale q . k); returns the logarithm of the denominator. */
static float softmax_scores(float *scores, const float *q, const float *k, size_t count,
                            const struct attention_shape *shape)
{
    float max = -INFINITY;
    for (size_t j = 0; j < count; j++) {
        scores[j] = (float)dot(q, k + j * shape->kv_stride, shape->head_size) * score_scale(shape);
        max = fmaxf(max, scores[j]);
    }
    double sum = 0.0;
    for (size_t j = 0; j < count; j++) {
        scores[j] = expf(scores[j] - max);
        sum += (double)scores[j];
    }
    for (size_t j = 0; j < count; j++) {
        scores[j] = (float)((double)scores[j] / sum);
    }
    return max + (float)log(sum);
}

size_t ref_attention_scratch(const struct attention_shape *shape)
{
    return (shape->first + shape->rows) * sizeof(float);
}

void ref_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                   const struct cells *v, const struct attention_shape *shape, void *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    float *scores = scratch;
    for (size_t h = 0; h < shape->head_count; h++) {
        size_t kv_offset = kv_head_of(shape, h) * size;
        for (size_t t = 0; t < shape->rows; t++) {
            size_t seen = shape->first + t + 1;
            float row_log_sum =
                softmax_scores(scores, floats_const(q) + t * shape->q_stride + h * size,
                               floats_const(k) + kv_offset, seen, shape);
            if (log_sum != NULL) {
                log_sum[h * shape->rows + t] = row_log_sum;
            }
            float *out_row = floats(out) + t * out_stride + h * size;
            host_fill_zero(out_row, size);
            for (size_t j = 0; j < seen; j++) {
                add_scaled(out_row, floats_const(v) + j * shape->kv_stride + kv_offset, scores[j],
                           size);
            }
        }
    }
}

static void zero_heads(struct cells *x, size_t rows, size_t stride, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        host_fill_zero(floats(x) + t * stride, width);
    }
}

void ref_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                            const struct cells *d_out, const struct cells *out,
                            const float *log_sum, const struct cells *q, const struct cells *k,
                            const struct cells *v, const struct attention_shape *shape,
                            void *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    float *p = scratch;
    (void)log_sum; /* the reference makes its softmax anew, so a wrong log_sum shows elsewhere */
    zero_heads(d_q, shape->rows, shape->q_stride, out_stride);
    zero_heads(d_k, shape->rows, shape->kv_stride, shape->kv_head_count * size);
    zero_heads(d_v, shape->rows, shape->kv_stride, shape->kv_head_count * size);
    for (size_t h = 0; h < shape->head_count; h++) {
        size_t kv_offset = kv_head_of(shape, h) * size;
        for (size_t t = 0; t < shape->rows; t++) {
            size_t q_at = t * shape->q_stride + h * size;
            const float *q_row = floats_const(q) + q_at;
            const float *d_out_row = floats_const(d_out) + t * out_stride + h * size;
            double total = dot(d_out_row, floats_const(out) + t * out_stride + h * size, size);
            (void)softmax_scores(p, q_row, floats_const(k) + kv_offset, t + 1, shape);
            for (size_t j = 0; j <= t; j++) {
                size_t at = j * shape->kv_stride + kv_offset;
                double d_p = dot(d_out_row, floats_const(v) + at, size);
                float d_score = (float)((double)p[j] * (d_p - total)) * score_scale(shape);
                add_scaled(floats(d_v) + at, d_out_row, p[j], size);
                add_scaled(floats(d_q) + q_at, floats_const(k) + at, d_score, size);
                add_scaled(floats(d_k) + at, q_row, d_score, size);
            }
        }
    }
}
