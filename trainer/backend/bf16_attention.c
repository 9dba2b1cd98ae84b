/* Attention through bfloat16 products: for one head and one block of query rows at a time, the
 * float32 scores against all keys up to the block's end, whose softmax becomes cells again. Scratch
 * is a few blocks of scores, whatever the batch; the part of a block beyond the diagonal is
 * computed and then set to zero.
 *
 * Heads are copied out of their strided rows first: oneDNN's fast kernels take matrices without
 * gaps, and a copy moves D values for every D times (number of rows) of the products. */
#include "common/check.h"
#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

#include <math.h>

enum { ROW_BLOCK = 64, SCRATCH_ALIGN_BYTES = 64 };

/* One head's block: `rows` query rows from row `at` on, against keys [0, keys). */
struct block {
    size_t at;
    size_t first; /* position of its first row */
    size_t rows;
    size_t keys; /* first + rows: also the stride of the block's scores */
    size_t head_size;
    float scale;
};

static struct block block_at(const struct attention_shape *shape, size_t at)
{
    size_t rows = shape->rows - at < ROW_BLOCK ? shape->rows - at : ROW_BLOCK;
    return (struct block){.at = at,
                          .first = shape->first + at,
                          .rows = rows,
                          .keys = shape->first + at + rows,
                          .head_size = shape->head_size,
                          .scale = (float)(1.0 / sqrt((double)shape->head_size))};
}

/* The scratch. R rows of a block, S keys in all. */
struct scratch {
    uint16_t *k, *v;    /* (S, D) of one key head */
    uint16_t *q, *out;  /* (R, D) of one head; in the backward pass out is d_q */
    float *scores;      /* (R, S), or (H, S) of a single row */
    uint16_t *p;        /* the same */
    float *sums;        /* (H, D) of a single row */
    uint16_t *d_out;    /* (R, D), this and what follows in the backward pass only */
    float *d_p;         /* (R, S) */
    uint16_t *d_scores; /* (R, S) */
    float *d_k, *d_v;   /* (S, D), summed over blocks and heads */
};

/* The next `size_bytes` of base, which may be NULL to count only. */
static void *carve(unsigned char *base, size_t *used_bytes, size_t size_bytes)
{
    void *piece = base != NULL ? base + *used_bytes : NULL;
    *used_bytes +=
        (size_bytes + SCRATCH_ALIGN_BYTES - 1) / SCRATCH_ALIGN_BYTES * SCRATCH_ALIGN_BYTES;
    return piece;
}

static size_t scratch_init(struct scratch *out, void *base, const struct attention_shape *shape)
{
    size_t rows = shape->rows < ROW_BLOCK ? shape->rows : ROW_BLOCK;
    size_t keys = shape->first + shape->rows;
    size_t block_cells = rows * shape->head_size * sizeof(uint16_t);
    size_t head_cells = keys * shape->head_size * sizeof(uint16_t);
    size_t score_rows = rows > shape->head_count ? rows : shape->head_count;
    size_t used = 0;
    *out = (struct scratch){0};
    out->k = carve(base, &used, head_cells);
    out->v = carve(base, &used, head_cells);
    out->q = carve(base, &used, block_cells);
    out->out = carve(base, &used, block_cells);
    out->scores = carve(base, &used, score_rows * keys * sizeof(float));
    out->p = carve(base, &used, score_rows * keys * sizeof(uint16_t));
    out->sums = carve(base, &used, shape->head_count * shape->head_size * sizeof(float));
    if (shape->first == 0) {
        out->d_out = carve(base, &used, block_cells);
        out->d_p = carve(base, &used, rows * keys * sizeof(float));
        out->d_scores = carve(base, &used, rows * keys * sizeof(uint16_t));
        out->d_k = carve(base, &used, 2 * head_cells);
        out->d_v = carve(base, &used, 2 * head_cells);
    }
    return used;
}

size_t bf16_attention_scratch(const struct attention_shape *shape)
{
    struct scratch scratch;
    return scratch_init(&scratch, NULL, shape);
}

/* out(rows, size) = x, whose rows are `stride` apart. */
static void gather(uint16_t *out, const uint16_t *x, size_t stride, size_t rows, size_t size)
{
    for (size_t t = 0; t < rows; t++) {
        memcpy(out + t * size, x + t * stride, size * sizeof(*out));
    }
}

static void scatter(uint16_t *out, size_t stride, const uint16_t *x, size_t rows, size_t size)
{
    for (size_t t = 0; t < rows; t++) {
        memcpy(out + t * stride, x + t * size, size * sizeof(*out));
    }
}

static void scatter_floats(uint16_t *out, size_t stride, const float *x, size_t rows, size_t size)
{
    for (size_t t = 0; t < rows; t++) {
        bf16_narrow(out + t * stride, x + t * size, size);
    }
}

/* (rows, keys) = a(rows, D) b(keys, D)^T */
static void multiply_scores(float *out, const uint16_t *a, const uint16_t *b,
                            const struct block *block)
{
    const struct matmul product = {.a = as_cells(a),
                                   .b = as_cells(b),
                                   .b_transposed = true,
                                   .m = block->rows,
                                   .n = block->keys,
                                   .k = block->head_size};
    bf16_matmul_float(out, &product, false);
}

/* (rows, D) = weights(rows, keys) x(keys, D) */
static void mix_keys(uint16_t *out, const uint16_t *weights, const uint16_t *x,
                     const struct block *block)
{
    const struct matmul product = {.a = as_cells(weights),
                                   .b = as_cells(x),
                                   .m = block->rows,
                                   .n = block->head_size,
                                   .k = block->keys};
    bf16_matmul((struct cells *)(void *)out, &product);
}

/* (keys, D) += weights(rows, keys)^T x(rows, D) */
static void add_to_keys(float *out, const uint16_t *weights, const uint16_t *x,
                        const struct block *block)
{
    const struct matmul product = {.a = as_cells(weights),
                                   .a_transposed = true,
                                   .b = as_cells(x),
                                   .m = block->keys,
                                   .n = block->head_size,
                                   .k = block->rows};
    bf16_matmul_float(out, &product, true);
}

/* Rows are worked on in whole vectors: up to `whole_row`, which lies behind the `seen` scores
 * that count. What is between may be any number, and ends as zero. */
LANES_INLINE size_t whole_row(size_t seen, size_t keys)
{
    size_t whole = (seen + LANES - 1) / LANES * LANES;
    return whole < keys ? whole : keys;
}

/* p = the causal softmax of scale scores, which hold its numerators afterwards. log_sum(rows) may
 * be NULL. */
VECTOR_CLONES static void softmax_block(uint16_t *restrict p, float *restrict scores,
                                        float *log_sum, const struct block *block)
{
    float scale = block->scale;
    for (size_t i = 0; i < block->rows; i++) {
        float *restrict row = scores + i * block->keys;
        uint16_t *restrict p_row = p + i * block->keys;
        size_t seen = block->first + i + 1;
        size_t whole = whole_row(seen, block->keys);
        for (size_t j = seen; j < whole; j++) {
            row[j] = row[0];
        }
        float max = lanes_max(row, whole);
        for (size_t j = 0; j < whole; j++) {
            row[j] = lanes_exp((row[j] - max) * scale);
        }
        memset(row + seen, 0, (whole - seen) * sizeof(*row));
        float sum = lanes_sum(row, whole);
        float inverse = 1.0F / sum;
        for (size_t j = 0; j < whole; j++) {
            p_row[j] = half_to_bf16(row[j] * inverse);
        }
        memset(p_row + whole, 0, (block->keys - whole) * sizeof(*p_row));
        if (log_sum != NULL) {
            log_sum[i] = max * scale + logf(sum);
        }
    }
}

/* A single row, as in decoding, needs no copies. */
static void attend_row(uint16_t *out, float *log_sum, const uint16_t *q, const uint16_t *k,
                       const uint16_t *v, const struct attention_shape *shape,
                       const struct scratch *scratch)
{
    struct block block = block_at(shape, 0);
    bf16_score_keys(scratch->scores, q, k, shape);
    for (size_t h = 0; h < shape->head_count; h++) {
        softmax_block(scratch->p + h * block.keys, scratch->scores + h * block.keys,
                      log_sum != NULL ? log_sum + h : NULL, &block);
    }
    bf16_mix_values(scratch->sums, scratch->p, v, shape);
    bf16_narrow(out, scratch->sums, shape->head_count * shape->head_size);
}

/* One head's rows against the keys and values in scratch. */
static void attend_head(uint16_t *out, float *log_sum, const uint16_t *q,
                        const struct attention_shape *shape, const struct scratch *scratch)
{
    size_t size = shape->head_size;
    size_t out_stride = shape->head_count * size;
    for (size_t at = 0; at < shape->rows; at += ROW_BLOCK) {
        struct block block = block_at(shape, at);
        gather(scratch->q, q + at * shape->q_stride, shape->q_stride, block.rows, size);
        multiply_scores(scratch->scores, scratch->q, scratch->k, &block);
        softmax_block(scratch->p, scratch->scores, log_sum != NULL ? log_sum + at : NULL, &block);
        mix_keys(scratch->out, scratch->p, scratch->v, &block);
        scatter(out + at * out_stride, out_stride, scratch->out, block.rows, size);
    }
}

static void gather_keys(const struct scratch *scratch, const uint16_t *k, const uint16_t *v,
                        const struct attention_shape *shape)
{
    size_t keys = shape->first + shape->rows;
    gather(scratch->k, k, shape->kv_stride, keys, shape->head_size);
    gather(scratch->v, v, shape->kv_stride, keys, shape->head_size);
}

void bf16_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                    const struct cells *v, const struct attention_shape *shape, void *scratch)
{
    size_t group = shape->head_count / shape->kv_head_count;
    struct scratch pieces;
    (void)scratch_init(&pieces, scratch, shape);
    if (shape->rows == 1) {
        attend_row(halves(out), log_sum, halves_const(q), halves_const(k), halves_const(v), shape,
                   &pieces);
        return;
    }
    for (size_t h = 0; h < shape->head_count; h++) {
        const uint16_t *q_head = halves_const(q) + h * shape->head_size;
        const uint16_t *k_head = halves_const(k) + h / group * shape->head_size;
        const uint16_t *v_head = halves_const(v) + h / group * shape->head_size;
        uint16_t *out_head = halves(out) + h * shape->head_size;
        float *head_log_sum = log_sum != NULL ? log_sum + h * shape->rows : NULL;
        if (h % group == 0) {
            gather_keys(&pieces, k_head, v_head, shape);
        }
        attend_head(out_head, head_log_sum, q_head, shape, &pieces);
    }
}

LANES_INLINE float dot_cells(const uint16_t *a, const uint16_t *b, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += half_from_bf16(a[i + j]) * half_from_bf16(b[i + j]);
        }
    }
    for (; i < count; i++) {
        lane[i % LANES] += half_from_bf16(a[i]) * half_from_bf16(b[i]);
    }
    return lanes_total(lane);
}

/* The softmax's backward pass in one go over the block: p again from the scores and the kept
 * log_sum, d_scores = p (d_p - d_out . out) scale. Rows of out are out_stride apart. */
VECTOR_CLONES static void softmax_backward_block(const struct scratch *scratch,
                                                 const float *log_sum, const uint16_t *out,
                                                 size_t out_stride, const struct block *block)
{
    float scale = block->scale;
    for (size_t i = 0; i < block->rows; i++) {
        const float *restrict row = scratch->scores + i * block->keys;
        const float *restrict d_p = scratch->d_p + i * block->keys;
        uint16_t *restrict p_row = scratch->p + i * block->keys;
        uint16_t *restrict d_row = scratch->d_scores + i * block->keys;
        size_t seen = block->first + i + 1;
        float shift = log_sum[i];
        float total = dot_cells(scratch->d_out + i * block->head_size, out + i * out_stride,
                                block->head_size);
        size_t whole = whole_row(seen, block->keys);
        for (size_t j = 0; j < whole; j++) {
            float p = lanes_exp(row[j] * scale - shift);
            p_row[j] = half_to_bf16(p);
            d_row[j] = half_to_bf16(p * (d_p[j] - total) * scale);
        }
        memset(p_row + seen, 0, (block->keys - seen) * sizeof(*p_row));
        memset(d_row + seen, 0, (block->keys - seen) * sizeof(*d_row));
    }
}

/* What the backward pass of one head reads, and d_q. */
struct head {
    uint16_t *d_q;
    const uint16_t *d_out, *out, *q;
    const float *log_sum;
};

/* Writes d_q and adds to scratch's d_k and d_v. */
static void attend_head_backward(const struct head *head, const struct attention_shape *shape,
                                 const struct scratch *scratch)
{
    size_t size = shape->head_size;
    size_t q_stride = shape->q_stride;
    size_t out_stride = shape->head_count * size;
    for (size_t at = 0; at < shape->rows; at += ROW_BLOCK) {
        struct block block = block_at(shape, at);
        gather(scratch->q, head->q + at * q_stride, q_stride, block.rows, size);
        gather(scratch->d_out, head->d_out + at * out_stride, out_stride, block.rows, size);
        multiply_scores(scratch->scores, scratch->q, scratch->k, &block);
        multiply_scores(scratch->d_p, scratch->d_out, scratch->v, &block);
        softmax_backward_block(scratch, head->log_sum + at, head->out + at * out_stride, out_stride,
                               &block);
        add_to_keys(scratch->d_v, scratch->p, scratch->d_out, &block);
        add_to_keys(scratch->d_k, scratch->d_scores, scratch->q, &block);
        mix_keys(scratch->out, scratch->d_scores, scratch->k, &block);
        scatter(head->d_q + at * q_stride, q_stride, scratch->out, block.rows, size);
    }
}

void bf16_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                             const struct cells *d_out, const struct cells *out,
                             const float *log_sum, const struct cells *q, const struct cells *k,
                             const struct cells *v, const struct attention_shape *shape,
                             void *scratch)
{
    size_t size = shape->head_size;
    size_t stride = shape->kv_stride;
    size_t group = shape->head_count / shape->kv_head_count;
    struct scratch pieces;
    CHECK(shape->first == 0);
    (void)scratch_init(&pieces, scratch, shape);
    for (size_t kv = 0; kv < shape->kv_head_count; kv++) {
        gather_keys(&pieces, halves_const(k) + kv * size, halves_const(v) + kv * size, shape);
        memset(pieces.d_k, 0, shape->rows * size * sizeof(*pieces.d_k));
        memset(pieces.d_v, 0, shape->rows * size * sizeof(*pieces.d_v));
        for (size_t h = kv * group; h < (kv + 1) * group; h++) {
            const struct head head = {.d_q = halves(d_q) + h * size,
                                      .d_out = halves_const(d_out) + h * size,
                                      .out = halves_const(out) + h * size,
                                      .q = halves_const(q) + h * size,
                                      .log_sum = log_sum + h * shape->rows};
            attend_head_backward(&head, shape, &pieces);
        }
        scatter_floats(halves(d_k) + kv * size, stride, pieces.d_k, shape->rows, size);
        scatter_floats(halves(d_v) + kv * size, stride, pieces.d_v, shape->rows, size);
    }
}
