/* Attention through BLAS, one head and one tile of QUERY_BLOCK rows against KEY_BLOCK keys at a
 * time, so that tiles beyond the diagonal are left out and a tile's numbers stay in the cache.
 * OpenBLAS has fast kernels for such small products as long as neither factor must be transposed
 * along its rows: so each key head's k and v are copied once, transposed where they come second.
 * Scratch grows with the number of keys, not with its square. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <cblas.h>
#include <math.h>

enum {
    QUERY_BLOCK = 32,
    KEY_BLOCK = 128,
    TILE_SCORES = QUERY_BLOCK * KEY_BLOCK,
    FEW_ROWS = 4, /* up to here rows are made one by one */
    KEY_TILE = 4  /* keys that they meet together */
};

/* One head, cut out of the operands; pointers as a pass needs them. */
struct head {
    const struct attention_shape *shape;
    size_t size;            /* D */
    size_t keys;            /* first + rows */
    float scale;            /* 1 / sqrt(D) */
    const float *q;         /* row t at q + t * shape->q_stride */
    const float *k_plain;   /* (keys, D) */
    const float *v_plain;   /* (keys, D) */
    const float *k_flipped; /* (D, stride_for(keys)) */
    const float *v_flipped; /* (D, stride_for(keys)) */
};

/* `rows` query rows from row `at` on. */
struct block {
    size_t at;
    size_t rows;
    size_t seen;   /* keys that the first row sees; each next row sees one more */
    size_t end;    /* keys that the last row sees */
    size_t stride; /* of its scores */
};

/* Floats from one row of `count` to the next: whole vectors, and an odd number of cache lines,
 * since rows at a distance of a power of two would push each other out of the cache. */
static size_t stride_for(size_t count)
{
    return (count + LANES - 1) / LANES * LANES + LANES / 2;
}

static struct block block_at(const struct attention_shape *shape, size_t at)
{
    size_t rows = shape->rows - at < QUERY_BLOCK ? shape->rows - at : QUERY_BLOCK;
    size_t seen = shape->first + at + 1;
    size_t end = seen + rows - 1;
    return (struct block){
        .at = at, .rows = rows, .seen = seen, .end = end, .stride = stride_for(end)};
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t cpu_attention_scratch(const struct attention_shape *shape)
{
    size_t keys = shape->first + shape->rows;
    size_t per_key = larger(5 * shape->head_size + QUERY_BLOCK, shape->head_count);
    size_t per_block = QUERY_BLOCK * (3 * shape->head_size) + 2 * (size_t)TILE_SCORES;
    return (stride_for(keys) * per_key + per_block) * sizeof(float);
}

/* out(m,n) = op(a) b (+ out), each with the distance between its stored rows. */
struct strided {
    const float *values;
    size_t stride;
    bool transposed;
};

static void multiply(float *out, size_t out_stride, struct strided a, struct strided b,
                     const size_t sizes[3], bool accumulate)
{
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, CblasNoTrans,
                (blasint)sizes[0], (blasint)sizes[1], (blasint)sizes[2], 1.0F, a.values,
                (blasint)a.stride, b.values, (blasint)b.stride, accumulate ? 1.0F : 0.0F, out,
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

/* out(rows, size) = x * scale, from rows that are `stride` apart. */
VECTOR_CLONES static void gather_rows(float *restrict out, const float *restrict x, size_t rows,
                                      size_t stride, size_t size, float scale)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < size; i++) {
            out[t * size + i] = x[t * stride + i] * scale;
        }
    }
}

/* The way back. */
VECTOR_CLONES static void scatter_rows(float *restrict out, size_t stride, const float *restrict x,
                                       size_t rows, size_t size, float scale)
{
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < size; i++) {
            out[t * stride + i] = x[t * size + i] * scale;
        }
    }
}

/* out(size, rows) = x(rows, size) transposed, from rows that are `stride` apart to such at
 * stride_for(rows). */
VECTOR_CLONES static void flip_rows(float *restrict out, const float *restrict x, size_t rows,
                                    size_t stride, size_t size)
{
    enum { GROUP = 16 };
    size_t out_stride = stride_for(rows);
    size_t t = 0;
    for (; t + GROUP <= rows; t += GROUP) {
        for (size_t i = 0; i < size; i++) {
            for (size_t j = 0; j < GROUP; j++) {
                out[i * out_stride + t + j] = x[(t + j) * stride + i];
            }
        }
    }
    for (; t < rows; t++) {
        for (size_t i = 0; i < size; i++) {
            out[i * out_stride + t] = x[t * stride + i];
        }
    }
}

/* Turns each row's scores into exp(score - maximum), 0 for keys that it does not see. */
VECTOR_CLONES static void softmax_block(float *scores, float *inverse_sum, float *log_sum,
                                        const struct block *block)
{
    for (size_t i = 0; i < block->rows; i++) {
        float *restrict row = scores + i * block->stride;
        size_t seen = block->seen + i;
        size_t whole = (seen + LANES - 1) / LANES * LANES;
        for (size_t j = seen; j < whole; j++) {
            row[j] = row[0];
        }
        float max = lanes_max(row, whole);
        for (size_t j = 0; j < whole; j++) {
            row[j] = lanes_exp(row[j] - max);
        }
        for (size_t j = seen; j < block->stride; j++) {
            row[j] = 0.0F;
        }
        float sum = lanes_sum(row, whole);
        inverse_sum[i] = 1.0F / sum;
        if (log_sum != NULL) {
            log_sum[i] = max + logf(sum);
        }
    }
}

/* One block of rows of one head; scratch: (QUERY_BLOCK, 2 D + stride). log_sum may be NULL. */
static void attend_block(float *out, float *log_sum, const struct head *head, size_t at,
                         float *scratch)
{
    struct block block = block_at(head->shape, at);
    size_t size = head->size;
    size_t out_stride = head->shape->head_count * size;
    float *q = scratch;
    float *sum = q + QUERY_BLOCK * size;
    float *scores = sum + QUERY_BLOCK * size;
    float inverse_sum[QUERY_BLOCK];
    gather_rows(q, head->q + at * head->shape->q_stride, block.rows, head->shape->q_stride, size,
                head->scale);
    for (size_t key = 0; key < block.end; key += KEY_BLOCK) {
        size_t count = smaller(KEY_BLOCK, block.end - key);
        multiply(scores + key, block.stride, plain(q, size),
                 plain(head->k_flipped + key, stride_for(head->keys)),
                 (size_t[]){block.rows, count, size}, false);
    }
    softmax_block(scores, inverse_sum, log_sum, &block);
    for (size_t key = 0; key < block.end; key += KEY_BLOCK) {
        size_t count = smaller(KEY_BLOCK, block.end - key);
        multiply(sum, size, plain(scores + key, block.stride),
                 plain(head->v_plain + key * size, size), (size_t[]){block.rows, size, count},
                 key > 0);
    }
    for (size_t i = 0; i < block.rows; i++) {
        scatter_rows(out + (at + i) * out_stride, out_stride, sum + i * size, 1, size,
                     inverse_sum[i]);
    }
}

/* One row of q with all its heads, where copying keys would cost more than it saves. Keys and values
 * are read once, in the order in which they lie: that reading is what decoding pays for. */
struct few {
    const struct attention_shape *shape;
    size_t group;         /* heads that share a key head */
    size_t seen;          /* keys that the row sees */
    size_t scores_stride; /* from one head's scores to the next one's */
    size_t ahead;         /* floats between what is asked of memory and what is worked on */
};

static struct few few_at(const struct attention_shape *shape, size_t row)
{
    enum { FLOATS_AHEAD = 1024 };
    size_t tile = KEY_TILE * shape->kv_head_count * shape->head_size;
    return (struct few){.shape = shape,
                        .group = shape->head_count / shape->kv_head_count,
                        .seen = shape->first + row + 1,
                        .scores_stride = stride_for(shape->first + shape->rows),
                        .ahead = KEY_TILE * shape->kv_stride * (1 + FLOATS_AHEAD / tile)};
}

/* Asks for a key head in `count` rows of k or v that come after these. */
LANES_INLINE void fetch_keys_soon(const float *rows, size_t count, const struct few *few)
{
    enum { LINE_FLOATS = 16 };
    for (size_t r = 0; r < count; r++) {
        for (size_t i = 0; i < few->shape->head_size; i += LINE_FLOATS) {
            lanes_fetch_soon(rows + few->ahead + r * few->shape->kv_stride + i);
        }
    }
}

/* scores(H, scores_stride) = q k^T scale, for `count` of the keys. */
LANES_INLINE void score_some(float *restrict scores, const float *restrict q,
                             const float *restrict k, float scale, size_t count,
                             const struct few *few)
{
    size_t size = few->shape->head_size;
    for (size_t kv = 0; kv < few->shape->kv_head_count; kv++) {
        fetch_keys_soon(k + kv * size, count, few);
        for (size_t h = kv * few->group; h < (kv + 1) * few->group; h++) {
            for (size_t r = 0; r < count; r++) {
                const float *row = k + r * few->shape->kv_stride + kv * size;
                scores[h * few->scores_stride + r] = lanes_dot(q + h * size, row, size) * scale;
            }
        }
    }
}

VECTOR_CLONES static void score_keys(float *scores, const float *q, const float *k, float scale,
                                     const struct few *few)
{
    size_t stride = few->shape->kv_stride;
    size_t j = 0;
    for (; j + KEY_TILE <= few->seen; j += KEY_TILE) {
        score_some(scores + j, q, k + j * stride, scale, KEY_TILE, few);
    }
    for (; j < few->seen; j++) {
        score_some(scores + j, q, k + j * stride, scale, 1, few);
    }
}

/* Makes probabilities of one head's scores; returns the logarithm of their denominator. */
VECTOR_CLONES static float softmax_row(float *restrict scores, size_t count)
{
    float max = lanes_max(scores, count);
    for (size_t j = 0; j < count; j++) {
        scores[j] = lanes_exp(scores[j] - max);
    }
    float sum = lanes_sum(scores, count);
    float inverse = 1.0F / sum;
    for (size_t j = 0; j < count; j++) {
        scores[j] *= inverse;
    }
    return max + logf(sum);
}

/* out(H, D) += weights(H, scores_stride) v, for `count` of the keys. */
LANES_INLINE void mix_some(float *restrict out, const float *restrict weights,
                           const float *restrict v, size_t count, const struct few *few)
{
    size_t size = few->shape->head_size;
    for (size_t kv = 0; kv < few->shape->kv_head_count; kv++) {
        const float *restrict rows = v + kv * size;
        fetch_keys_soon(rows, count, few);
        for (size_t h = kv * few->group; h < (kv + 1) * few->group; h++) {
            for (size_t i = 0; i < size; i++) {
                float sum = out[h * size + i];
                for (size_t r = 0; r < count; r++) {
                    sum += weights[h * few->scores_stride + r] *
                           rows[r * few->shape->kv_stride + i];
                }
                out[h * size + i] = sum;
            }
        }
    }
}

/* out(H, D) = weights(H, scores_stride) v */
VECTOR_CLONES static void mix_values(float *out, const float *weights, const float *v,
                                     const struct few *few)
{
    size_t stride = few->shape->kv_stride;
    size_t j = 0;
    memset(out, 0, few->shape->head_count * few->shape->head_size * sizeof(*out));
    for (; j + KEY_TILE <= few->seen; j += KEY_TILE) {
        mix_some(out, weights + j, v + j * stride, KEY_TILE, few);
    }
    for (; j < few->seen; j++) {
        mix_some(out, weights + j, v + j * stride, 1, few);
    }
}

static struct head head_of(const struct attention_shape *shape)
{
    return (struct head){.shape = shape,
                         .size = shape->head_size,
                         .keys = shape->first + shape->rows,
                         .scale = (float)(1.0 / sqrt((double)shape->head_size))};
}

static void attend_few_rows(float *out, float *log_sum, const float *q, const float *k,
                            const float *v, const struct attention_shape *shape, float *scratch)
{
    struct head head = head_of(shape);
    for (size_t t = 0; t < shape->rows; t++) {
        struct few few = few_at(shape, t);
        score_keys(scratch, q + t * shape->q_stride, k, head.scale, &few);
        for (size_t h = 0; h < shape->head_count; h++) {
            float row_log_sum = softmax_row(scratch + h * few.scores_stride, few.seen);
            if (log_sum != NULL) {
                log_sum[h * shape->rows + t] = row_log_sum;
            }
        }
        mix_values(out + t * shape->head_count * shape->head_size, scratch, v, &few);
    }
}

void cpu_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                   const struct cells *v, const struct attention_shape *shape, void *scratch)
{
    if (shape->rows <= FEW_ROWS) {
        attend_few_rows(floats(out), log_sum, floats_const(q), floats_const(k), floats_const(v),
                        shape, scratch);
        return;
    }
    struct head head = head_of(shape);
    size_t size = head.size;
    size_t group = shape->head_count / shape->kv_head_count;
    float *k_flipped = scratch;
    float *v_plain = k_flipped + stride_for(head.keys) * size;
    float *rest = v_plain + head.keys * size;
    head.k_flipped = k_flipped;
    head.v_plain = v_plain;
    for (size_t h = 0; h < shape->head_count; h++) {
        if (h % group == 0) {
            size_t kv_at = h / group * size;
            flip_rows(k_flipped, floats_const(k) + kv_at, head.keys, shape->kv_stride, size);
            gather_rows(v_plain, floats_const(v) + kv_at, head.keys, shape->kv_stride, size, 1.0F);
        }
        head.q = floats_const(q) + h * size;
        for (size_t at = 0; at < shape->rows; at += QUERY_BLOCK) {
            attend_block(floats(out) + h * size,
                         log_sum != NULL ? log_sum + h * shape->rows + at : NULL, &head, at, rest);
        }
    }
}

/* On the scores p and d_p = d_out v^T of one tile of `count` keys, in rows of KEY_BLOCK: p becomes
 * the probabilities and d_p the gradient of the scores, p (d_p - d_out . out). The first row sees
 * `seen` of the keys; total(rows) holds d_out . out. */
VECTOR_CLONES static void softmax_backward_tile(float *p, float *d_p, const float *log_sum,
                                                const float *total, size_t rows, size_t count,
                                                size_t seen)
{
    for (size_t i = 0; i < rows; i++, seen++) {
        float *restrict p_row = p + i * KEY_BLOCK;
        float *restrict d_row = d_p + i * KEY_BLOCK;
        size_t inside = seen < count ? seen : count;
        size_t whole = (inside + LANES - 1) / LANES * LANES;
        for (size_t j = 0; j < whole; j++) {
            float probability = lanes_exp(p_row[j] - log_sum[i]);
            d_row[j] = probability * (d_row[j] - total[i]);
            p_row[j] = probability;
        }
        for (size_t j = inside; j < count; j++) {
            p_row[j] = 0.0F;
            d_row[j] = 0.0F;
        }
    }
}

VECTOR_CLONES static void dot_rows(float *out, const float *a, const float *b, size_t rows,
                                   size_t b_stride, size_t size)
{
    for (size_t t = 0; t < rows; t++) {
        out[t] = lanes_dot(a + t * size, b + t * b_stride, size);
    }
}

/* Gradients on their way out of one head. */
struct head_gradient {
    float *d_q;         /* row t at d_q + t * q_stride */
    float *d_k;         /* (keys, D), added to */
    float *d_v;         /* (keys, D), added to */
    const float *d_out; /* row t at d_out + t * H * D */
    const float *out;
    const float *log_sum; /* (rows) */
};

/* One block of rows; scratch: QUERY_BLOCK (3 D + 2 KEY_BLOCK). */
static void attend_block_backward(const struct head_gradient *gradient, const struct head *head,
                                  size_t at, float *scratch)
{
    struct block block = block_at(head->shape, at);
    size_t size = head->size;
    size_t out_stride = head->shape->head_count * size;
    size_t q_stride = head->shape->q_stride;
    float *q = scratch;
    float *d_q = q + QUERY_BLOCK * size;
    float *d_out = d_q + QUERY_BLOCK * size;
    float *p = d_out + QUERY_BLOCK * size;
    float *d_p = p + TILE_SCORES;
    float total[QUERY_BLOCK];
    gather_rows(q, head->q + at * q_stride, block.rows, q_stride, size, head->scale);
    gather_rows(d_out, gradient->d_out + at * out_stride, block.rows, out_stride, size, 1.0F);
    dot_rows(total, d_out, gradient->out + at * out_stride, block.rows, out_stride, size);
    for (size_t key = 0; key < block.end; key += KEY_BLOCK) {
        size_t count = smaller(KEY_BLOCK, block.end - key);
        const size_t across[] = {block.rows, count, size};
        const size_t to_rows[] = {block.rows, size, count};
        const size_t to_keys[] = {count, size, block.rows};
        multiply(p, KEY_BLOCK, plain(q, size), plain(head->k_flipped + key, stride_for(head->keys)),
                 across, false);
        multiply(d_p, KEY_BLOCK, plain(d_out, size),
                 plain(head->v_flipped + key, stride_for(head->keys)), across, false);
        softmax_backward_tile(p, d_p, gradient->log_sum + at, total, block.rows, count,
                              block.seen > key ? block.seen - key : 0);
        multiply(gradient->d_v + key * size, size, flipped(p, KEY_BLOCK), plain(d_out, size),
                 to_keys, true);
        multiply(d_q, size, plain(d_p, KEY_BLOCK), plain(head->k_plain + key * size, size), to_rows,
                 key > 0);
        multiply(gradient->d_k + key * size, size, flipped(d_p, KEY_BLOCK), plain(q, size), to_keys,
                 true);
    }
    scatter_rows(gradient->d_q + at * q_stride, q_stride, d_q, block.rows, size, head->scale);
}

void cpu_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                            const struct cells *d_out, const struct cells *out,
                            const float *log_sum, const struct cells *q, const struct cells *k,
                            const struct cells *v, const struct attention_shape *shape,
                            void *scratch)
{
    struct head head = head_of(shape);
    size_t size = head.size;
    size_t group = shape->head_count / shape->kv_head_count;
    size_t count = head.keys * size;
    float *k_flipped = scratch;
    float *v_flipped = k_flipped + stride_for(head.keys) * size;
    float *k_plain = v_flipped + stride_for(head.keys) * size;
    float *d_k_sum = k_plain + count;
    float *d_v_sum = d_k_sum + count;
    float *rest = d_v_sum + count;
    head.k_flipped = k_flipped;
    head.v_flipped = v_flipped;
    head.k_plain = k_plain;
    for (size_t h = 0; h < shape->head_count; h++) {
        size_t kv_at = h / group * size;
        const float *k_head = floats_const(k) + kv_at;
        if (h % group == 0) {
            flip_rows(k_flipped, k_head, head.keys, shape->kv_stride, size);
            flip_rows(v_flipped, floats_const(v) + kv_at, head.keys, shape->kv_stride, size);
            gather_rows(k_plain, k_head, head.keys, shape->kv_stride, size, 1.0F);
            memset(d_k_sum, 0, 2 * count * sizeof(*d_k_sum)); /* and d_v_sum */
        }
        head.q = floats_const(q) + h * size;
        const struct head_gradient gradient = {.d_q = floats(d_q) + h * size,
                                               .d_k = d_k_sum,
                                               .d_v = d_v_sum,
                                               .d_out = floats_const(d_out) + h * size,
                                               .out = floats_const(out) + h * size,
                                               .log_sum = log_sum + h * shape->rows};
        for (size_t at = 0; at < shape->rows; at += QUERY_BLOCK) {
            attend_block_backward(&gradient, &head, at, rest);
        }
        if (h % group == group - 1) {
            scatter_rows(floats(d_k) + kv_at, shape->kv_stride, d_k_sum, head.keys, size, 1.0F);
            scatter_rows(floats(d_v) + kv_at, shape->kv_stride, d_v_sum, head.keys, size, 1.0F);
        }
    }
}
