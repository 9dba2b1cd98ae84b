/* ref - the reference operations: plain loops that follow the formulas. The cpu backend shares
 * those that the compiler already vectorises, and every other backend is compared with them.
 *
 * Private to trainer/backend; contracts as in backend.h. */
#ifndef DUGNAD_TRAINER_BACKEND_REF_H
#define DUGNAD_TRAINER_BACKEND_REF_H

#include "trainer/backend/backend.h"

float *host_allocate(size_t count);
void host_release(float *buffer);
void host_copy(float *to, const float *from, size_t count);
void host_fill_zero(float *out, size_t count);

void ref_matmul(float *out, const float *a, bool a_transposed, const float *b, bool b_transposed,
                size_t m, size_t n, size_t k, bool accumulate);

void ref_add(float *out, const float *a, const float *b, size_t count);
void ref_add_bias(float *out, const float *bias, size_t rows, size_t width);
void ref_bias_backward(float *d_bias, const float *d_out, size_t rows, size_t width);
void ref_embed(float *out, const float *table, const float *positions, const uint16_t *ids,
               size_t rows, size_t width);
void ref_embed_backward(float *d_table, float *d_positions, const float *d_out, const uint16_t *ids,
                        size_t rows, size_t width);

void ref_rmsnorm(float *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps);
void ref_rmsnorm_backward(float *d_x, float *d_gain, const float *d_out, const float *x,
                          const float *gain, const float *rstd, size_t rows, size_t width);
void ref_layernorm(float *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps);
void ref_layernorm_backward(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                            const float *x, const float *gain, const float *mean, const float *rstd,
                            size_t rows, size_t width);

void ref_rope(float *x, size_t rows, size_t heads, size_t head_size, size_t stride, float theta,
              size_t first, int direction);

void ref_attention(float *out, float *log_sum, const float *q, const float *k, const float *v,
                   const struct attention_shape *shape, float *scratch);
void ref_attention_backward(float *d_q, float *d_k, float *d_v, const float *d_out,
                            const float *out, const float *log_sum, const float *q, const float *k,
                            const float *v, const struct attention_shape *shape, float *scratch);
size_t ref_attention_scratch(const struct attention_shape *shape);

void ref_swiglu(float *out, const float *gate, const float *up, size_t count);
void ref_swiglu_backward(float *d_gate, float *d_up, const float *d_out, const float *gate,
                         const float *up, size_t count);
void ref_gelu(float *out, const float *x, size_t count);
void ref_gelu_backward(float *d_x, const float *d_out, const float *x, size_t count);

void ref_cross_entropy(double *loss_sum, float *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab);

#endif
