/* cpu - the operations that the cpu backend does in another way than the reference: matrix
 * products through OpenBLAS, the rest in loops that the compiler turns into vector code.
 *
 * Private to trainer/backend; contracts as in backend.h. */
#ifndef DUGNAD_TRAINER_BACKEND_CPU_H
#define DUGNAD_TRAINER_BACKEND_CPU_H

#include "trainer/backend/backend.h"

/* Whether a product is of few rows: then the second function makes it, as matmul_float does. */
bool cpu_is_few_rows(const struct matmul *product);
void cpu_multiply_few_rows(float *out, const struct matmul *product, bool accumulate);

void cpu_rmsnorm(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                 size_t width, float eps);
void cpu_rmsnorm_backward(float *d_x, float *d_gain, const float *d_out, const float *x,
                          const float *gain, const float *rstd, size_t rows, size_t width);
void cpu_layernorm(struct cells *out, float *mean, float *rstd, const float *x, const float *gain,
                   const float *bias, size_t rows, size_t width, float eps);
void cpu_layernorm_backward(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                            const float *x, const float *gain, const float *mean, const float *rstd,
                            size_t rows, size_t width);

void cpu_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
              float theta, size_t first, int direction);

void cpu_attention(struct cells *out, float *log_sum, const struct cells *q, const struct cells *k,
                   const struct cells *v, const struct attention_shape *shape, void *scratch);
void cpu_attention_backward(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                            const struct cells *d_out, const struct cells *out,
                            const float *log_sum, const struct cells *q, const struct cells *k,
                            const struct cells *v, const struct attention_shape *shape,
                            void *scratch);
size_t cpu_attention_scratch(const struct attention_shape *shape);

void cpu_swiglu(struct cells *hidden, const struct cells *gate, const struct cells *up,
                size_t count);
void cpu_swiglu_backward(struct cells *hidden, struct cells *gate, struct cells *up,
                         const struct cells *d_hidden, size_t count);
void cpu_bias_gelu(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                   size_t width);
void cpu_gelu_backward(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                       size_t count);

void cpu_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab);

#endif
