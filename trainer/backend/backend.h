/* backend - the arithmetic that models are made of, behind one table.
 *
 * Model code calls these operations only, on buffers that the backend allocated, and never
 * looks into a buffer; so a device backend can be added without touching a model.
 * `ref`: plain loops, the reference. `cpu`: OpenBLAS in float32. `bf16`: oneDNN in bfloat16.
 *
 * Activations and the matrices they meet are `cells`, in the backend's own precision. Whatever
 * adds up over rows, layers or steps is float32: the residual stream and its gradient, norms'
 * statistics, logits, parameters, gradients of parameters.
 *
 * All matrices are row-major. Operations are thread-safe on distinct outputs, run on the calling
 * thread alone, and keep a fixed order, so the same call gives the same bits on one machine and
 * backend. T rows, C width, H heads, K key/value heads (K divides H), D head size,
 * F feed-forward width, V vocabulary. "+=" accumulates, "=" overwrites. */
#ifndef DUGNAD_TRAINER_BACKEND_BACKEND_H
#define DUGNAD_TRAINER_BACKEND_BACKEND_H

#include "common/status.h"
#include "trainer/backend/shapes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend {
    const char *name;
    size_t cell_bytes;
    size_t thread_bytes; /* about what the library below takes for each thread that computes */

    /* Zeroed memory, aligned to 64 bytes; NULL when there is none; end it with `release`. */
    void *(*allocate)(size_t size_bytes);
    void (*release)(void *buffer);
    void (*download)(float *to_host, const float *from, size_t count);
    void (*fill_zero)(float *out, size_t count);

    /* The same values as cells: x itself where cells are floats, otherwise written to `scratch`
     * (count cells; NULL is allowed where `cells_are_floats`). */
    bool cells_are_floats;
    const struct cells *(*as_cells)(struct cells *scratch, const float *x, size_t count);

    void (*matmul)(struct cells *out, const struct matmul *product);                 /* = */
    void (*matmul_float)(float *out, const struct matmul *product, bool accumulate); /* = or += */

    /* out = x + bias (of one row); bias NULL: a copy. */
    void (*start_residual)(float *out, const float *x, const float *bias, size_t rows,
                           size_t width);
    void (*add_bias)(struct cells *out, const float *bias, size_t rows, size_t width); /* += */
    void (*bias_backward)(float *d_bias, const struct cells *d_out, size_t rows,
                          size_t width); /* += */
    /* The same from the residual stream's gradient. */
    void (*residual_bias_backward)(float *d_bias, const float *d_out, size_t rows, size_t width);

    /* out(T,C) = table[ids] (+ positions[0..T) when not NULL). */
    void (*embed)(float *out, const float *table, const float *positions, const uint16_t *ids,
                  size_t rows, size_t width);
    /* d_table[ids] += d_out; d_positions[0..T) += d_out when not NULL. */
    void (*embed_backward)(float *d_table, float *d_positions, const float *d_out,
                           const uint16_t *ids, size_t rows, size_t width);

    /* out = x / sqrt(mean(x^2) + eps) * gain; rstd(T) is kept for the backward pass. */
    void (*rmsnorm)(struct cells *out, float *rstd, const float *x, const float *gain, size_t rows,
                    size_t width, float eps);
    /* d_x +=, d_gain +=. */
    void (*rmsnorm_backward)(float *d_x, float *d_gain, const float *d_out, const float *x,
                             const float *gain, const float *rstd, size_t rows, size_t width);

    /* out = (x - mean) * rstd * gain + bias; mean(T) and rstd(T) are kept. */
    void (*layernorm)(struct cells *out, float *mean, float *rstd, const float *x,
                      const float *gain, const float *bias, size_t rows, size_t width, float eps);
    void (*layernorm_backward)(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                               const float *x, const float *gain, const float *mean,
                               const float *rstd, size_t rows, size_t width); /* all += */

    /* Rotates pairs (i, i + D/2) of each of `heads` heads in place by position * theta^(-2i/D)
     * (half-split form); direction -1 is the backward pass. Positions start at `first`. */
    void (*rope)(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
                 float theta, size_t first, int direction);

    /* Causal softmax attention of one sequence, scale 1/sqrt(D). out(T, H*D). log_sum(H, T) is the
     * logarithm of each row's softmax denominator, kept for the backward pass (NULL: not needed).
     * scratch: attention_scratch bytes. */
    void (*attention)(struct cells *out, float *log_sum, const struct cells *q,
                      const struct cells *k, const struct cells *v,
                      const struct attention_shape *shape, void *scratch);
    /* d_q, d_k, d_v = (overwritten), same strides as q, k, v. */
    void (*attention_backward)(struct cells *d_q, struct cells *d_k, struct cells *d_v,
                               const struct cells *d_out, const struct cells *out,
                               const float *log_sum, const struct cells *q, const struct cells *k,
                               const struct cells *v, const struct attention_shape *shape,
                               void *scratch);
    /* Bytes of scratch that both attention passes need; the same or less for fewer rows. */
    size_t (*attention_scratch)(const struct attention_shape *shape);

    /* silu(gate) * up. Backward: hidden = silu(gate) * up again; gate and up become their own
     * gradients; d_hidden is what comes in. hidden may be d_hidden's memory no more than gate's. */
    void (*swiglu)(struct cells *hidden, const struct cells *gate, const struct cells *up,
                   size_t count);
    void (*swiglu_backward)(struct cells *hidden, struct cells *gate, struct cells *up,
                            const struct cells *d_hidden, size_t count);

    /* fc += bias, hidden = gelu(fc) (tanh form, as gpt2). Backward: hidden = gelu(fc) again, and
     * fc becomes its own gradient. */
    void (*bias_gelu)(struct cells *hidden, struct cells *fc, const float *bias, size_t rows,
                      size_t width);
    void (*gelu_backward)(struct cells *hidden, struct cells *fc, const struct cells *d_hidden,
                          size_t count);

    /* Cross-entropy of `rows` rows of logits(rows, V) against targets: losses(rows) =
     * -log softmax(logits)[target] in nats; when d_logits is not NULL it becomes
     * softmax - onehot (may share memory with logits: same first byte). */
    void (*cross_entropy)(double *losses, struct cells *d_logits, const float *logits,
                          const uint16_t *targets, size_t rows, size_t vocab);
};

extern const struct backend backend_ref;
extern const struct backend backend_cpu;

/* "ref", "cpu" or "bf16". Errors: USAGE with a sentence; also for bf16 where this build or this
 * CPU has none. */
MUST_CHECK enum status backend_find(const char *name, const struct backend **out);

/* The bfloat16 backend; NULL, with *reason a phrase such as "this CPU has no bfloat16
 * instructions", where there is none. */
const struct backend *backend_bf16(const char **reason);

/* Moves a pointer by `index` cells. */
static inline struct cells *cells_at(const struct backend *backend, struct cells *base,
                                     size_t index)
{
    return (struct cells *)(void *)((char *)(void *)base + index * backend->cell_bytes);
}

static inline const struct cells *cells_at_const(const struct backend *backend,
                                                 const struct cells *base, size_t index)
{
    return (const struct cells *)(const void *)((const char *)(const void *)base +
                                                index * backend->cell_bytes);
}

#endif
