/* cpu - the operations that the cpu backend does in another way than the reference: matrix
 * products through OpenBLAS, the rest in loops that the compiler turns into vector code.
 *
 * Private to trainer/backend; contracts as in backend.h. */
#ifndef DUGNAD_TRAINER_BACKEND_CPU_H
#define DUGNAD_TRAINER_BACKEND_CPU_H

#include "trainer/backend/backend.h"

void cpu_rmsnorm(float *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps);
void cpu_rmsnorm_backward(float *d_x, float *d_gain, const float *d_out, const float *x,
                          const float *gain, const float *rstd, size_t rows, size_t width);
void cpu_layernorm(float *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps);
void cpu_layernorm_backward(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                            const float *x, const float *gain, const float *mean, const float *rstd,
                            size_t rows, size_t width);

void cpu_rope(float *x, size_t rows, size_t heads, size_t head_size, size_t stride, float theta,
              size_t first, int direction);

void cpu_attention(float *out, float *log_sum, const float *q, const float *k, const float *v,
                   const struct attention_shape *shape, float *scratch);
void cpu_attention_backward(float *d_q, float *d_k, float *d_v, const float *d_out,
                            const float *out, const float *log_sum, const float *q, const float *k,
                            const float *v, const struct attention_shape *shape, float *scratch);
size_t cpu_attention_scratch(const struct attention_shape *shape);

void cpu_swiglu(float *out, const float *gate, const float *up, size_t count);
void cpu_swiglu_backward(float *d_gate, float *d_up, const float *d_out, const float *gate,
                         const float *up, size_t count);
void cpu_gelu(float *out, const float *x, size_t count);
void cpu_gelu_backward(float *d_x, const float *d_out, const float *x, size_t count);

void cpu_cross_entropy(double *loss_sum, float *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab);

#endif
