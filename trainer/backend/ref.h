/* ref - the reference operations: plain loops that follow the formulas. Every other backend is
 * compared with them, and shares what the compiler already turns into vector code.
 *
 * Private to trainer/backend; contracts as in backend.h. */
#ifndef DUGNAD_TRAINER_BACKEND_REF_H
#define DUGNAD_TRAINER_BACKEND_REF_H

#include "trainer/backend/backend.h"

/* The cells of `ref` and `cpu`, which are floats. */
static inline float *floats(struct cells *cells)
{
    return (float *)(void *)cells;
}

static inline const float *floats_const(const struct cells *cells)
{
    return (const float *)(const void *)cells;
}

void *host_allocate(size_t size_bytes);
void host_release(void *buffer);
void host_copy(float *to, const float *from, size_t count);
void host_fill_zero(float *out, size_t count);
/* x itself; scratch is not touched. */
const struct cells *host_floats_as_cells(struct cells *scratch, const float *x, size_t count);

void ref_matmul(struct cells *out, const struct matmul *product);
void ref_matmul_float(float *out, const struct matmul *product, bool accumulate);

void ref_start_residual(float *out, const float *x, const float *bias, size_t rows, size_t width);
void ref_add_bias(struct cells *out, const float *bias, size_t rows, size_t width);
void ref_bias_backward(float *d_bias, const struct cells *d_out, size_t rows, size_t width);
void ref_residual_bias_backward(float *d_bias, const float *d_out, size_t rows, size_t width);
void ref_embed(float *out, const float *table, const float *positions, const uint16_t *ids,
               size_t rows, size_t width);
void ref_embed_backward(float *d_table, float *d_positions, const float *d_out, const uint16_t *ids,
                        size_t rows, size_t width);

void ref_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps);
void ref_rmsnorm_backward(float *d_x, float *d_gain, const float *d_out, const float *x,
                          const float *gain, const float *rstd, size_t rows, size_t width);
void ref_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps);
void ref_layernorm_backward(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                            const float *x, const float *gain, const float *mean, const float *rstd,
                            size_t rows, size_t width);

void ref_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
              float theta, size_t first, int direction);

void ref_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                   const struct cells *v, const struct attention_shape *shape, void *scratch);
void ref_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                            const struct cells *d_out, const struct cells *out,
                            const float *log_sum, const struct cells *q, const struct cells *k,
                            const struct cells *v, const struct attention_shape *shape,
                            void *scratch);
size_t ref_attention_scratch(const struct attention_shape *shape);

void ref_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                size_t count);
void ref_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                         const struct cells *d_hidden, size_t count);
void ref_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                   size_t width);
void ref_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                       size_t count);

void ref_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab);

#endif
