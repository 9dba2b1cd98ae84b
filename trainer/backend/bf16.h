/* bf16 - the operations on bfloat16 cells: products through oneDNN with float32 sums, the rest in
 * loops that widen in registers and that the compiler turns into vector code.
 *
 * Cells are rounded to nearest, ties to even (common/half.h). What is float32 in backend.h is
 * float32 here too, and shared with the cpu backend.
 *
 * Private to trainer/backend; contracts as in backend.h. */
#ifndef DUGNAD_TRAINER_BACKEND_BF16_H
#define DUGNAD_TRAINER_BACKEND_BF16_H

#include "trainer/backend/backend.h"

static inline uint16_t *halves(struct cells *cells)
{
    return (uint16_t *)(void *)cells;
}

static inline const uint16_t *halves_const(const struct cells *cells)
{
    return (const uint16_t *)(const void *)cells;
}

static inline const struct cells *as_cells(const uint16_t *values)
{
    return (const struct cells *)(const void *)values;
}

/* Where a product goes: row-major, without gaps. */
enum bf16_form { BF16_CELLS, BF16_FLOAT, BF16_FLOAT_ADD };
enum { BF16_FORM_COUNT = 3 };

struct bf16_out {
    void *to;
    enum bf16_form form;
};

/* Writes values[0..count) to out from element `at` on. */
void bf16_emit(struct bf16_out out, size_t at, const float *values, size_t count);

/* out(n) = x(k) op(b), whose stored rows are `stride` cells apart: (k,n), or (n,k) transposed.
 * One pass over b at the speed of memory; nothing is allocated. */
struct bf16_row_product {
    const uint16_t *x;
    const uint16_t *b;
    size_t stride;
    bool b_transposed;
    size_t n, k;
};

void bf16_multiply_row(struct bf16_out out, const struct bf16_row_product *product);

/* The two products of attention for a single row of q, shape->rows 1, of S = first + 1 keys.
 * Keys and values are read once, in the order in which they lie.
 * scores(H, S) = q k^T, unscaled; out(H, D) = p(H, S) v. */
void bf16_score_keys(float *scores, const uint16_t *q, const uint16_t *k,
                     const struct attention_shape *shape);
void bf16_mix_values(float *out, const uint16_t *p, const uint16_t *v,
                     const struct attention_shape *shape);

/* Starts oneDNN and lets it multiply once. Thread-safe; later calls repeat the first answer.
 * False, with *reason a phrase: this oneDNN has no bfloat16 product to offer here. */
bool bf16_products_start(const char **reason);

/* After bf16_products_start. Each thread keeps the products that it used last (256 of them at
 * most) until it ends. Where oneDNN has no memory for a new one, plain loops compute it. */
void bf16_matmul(struct cells *out, const struct matmul *product);
void bf16_matmul_float(float *out, const struct matmul *product, bool accumulate);

/* The two ways of a product. False, and nothing written: oneDNN has no memory for a new one. */
MUST_CHECK bool bf16_multiply_compiled(struct bf16_out out, const struct matmul *product);
void bf16_multiply_plain(struct bf16_out out, const struct matmul *product);

void bf16_narrow(uint16_t *out, const float *x, size_t count);
const struct cells *bf16_as_cells(struct cells *scratch, const float *x, size_t count);
void bf16_add_bias(struct cells *out, const float *bias, size_t rows, size_t width);
void bf16_bias_backward(float *d_bias, const struct cells *d_out, size_t rows, size_t width);

void bf16_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                  size_t width, float eps);
void bf16_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                    const float *bias, size_t rows, size_t width, float eps);

void bf16_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
               float theta, size_t first, int direction);

void bf16_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                    const struct cells *v, const struct attention_shape *shape, void *scratch);
void bf16_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                             const struct cells *d_out, const struct cells *out,
                             const float *log_sum, const struct cells *q, const struct cells *k,
                             const struct cells *v, const struct attention_shape *shape,
                             void *scratch);
size_t bf16_attention_scratch(const struct attention_shape *shape);

void bf16_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                 size_t count);
void bf16_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                          const struct cells *d_hidden, size_t count);
void bf16_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                    size_t width);
void bf16_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                        size_t count);

void bf16_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                        const uint16_t *targets, size_t rows, size_t vocab);

#endif
