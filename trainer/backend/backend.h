/* backend - the arithmetic that models are made of, behind one table.
 *
 * Model code calls these operations only, on buffers that the backend allocated, and never
 * looks into a buffer; so a device backend can be added without touching a model.
 * Two implementations: `ref` (plain loops, the reference) and `cpu` (OpenBLAS float32).
 * All matrices are row-major float32. Operations are thread-safe on distinct outputs, run on
 * the calling thread alone, and keep a fixed order, so the same call gives the same bits on one
 * machine and backend.
 *
 * T rows of one sequence, C width, H heads, K key/value heads (K divides H), D head size,
 * F feed-forward width, V vocabulary. "+=" accumulates, "=" overwrites. */
#ifndef DUGNAD_TRAINER_BACKEND_BACKEND_H
#define DUGNAD_TRAINER_BACKEND_BACKEND_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attention_shape {
    size_t rows;          /* T */
    size_t head_count;    /* H */
    size_t kv_head_count; /* K */
    size_t head_size;     /* D */
    size_t q_stride;      /* values from one row of q (and d q) to the next */
    size_t kv_stride;     /* the same for k, v (and d k, d v) */
};

struct backend {
    const char *name;

    /* Zeroed memory for `count` floats, NULL when there is none; end it with `release`. */
    float *(*allocate)(size_t count);
    void (*release)(float *buffer);
    void (*upload)(float *to, const float *from_host, size_t count);
    void (*download)(float *to_host, const float *from, size_t count);
    void (*fill_zero)(float *out, size_t count);

    /* out(m,n) [+]= op(a)(m,k) op(b)(k,n); op transposes when the flag is set. Strides are the
     * natural ones of the stored shapes. */
    void (*matmul)(float *out, const float *a, bool a_transposed, const float *b, bool b_transposed,
                   size_t m, size_t n, size_t k, bool accumulate);

    void (*add)(float *out, const float *a, const float *b, size_t count);      /* out = a + b */
    void (*add_bias)(float *out, const float *bias, size_t rows, size_t width); /* out += bias */
    void (*bias_backward)(float *d_bias, const float *d_out, size_t rows, size_t width); /* += */

    /* out(T,C) = table[ids] (+ positions[0..T) when not NULL). */
    void (*embed)(float *out, const float *table, const float *positions, const uint16_t *ids,
                  size_t rows, size_t width);
    /* d_table[ids] += d_out; d_positions[0..T) += d_out when not NULL. */
    void (*embed_backward)(float *d_table, float *d_positions, const float *d_out,
                           const uint16_t *ids, size_t rows, size_t width);

    /* out = x / sqrt(mean(x^2) + eps) * gain; rstd(T) is kept for the backward pass. */
    void (*rmsnorm)(float *out, float *rstd, const float *x, const float *gain, size_t rows,
                    size_t width, float eps);
    /* d_x = (overwritten; may not alias d_out), d_gain +=. */
    void (*rmsnorm_backward)(float *d_x, float *d_gain, const float *d_out, const float *x,
                             const float *gain, const float *rstd, size_t rows, size_t width);

    /* out = (x - mean) * rstd * gain + bias; mean(T) and rstd(T) are kept. */
    void (*layernorm)(float *out, float *mean, float *rstd, const float *x, const float *gain,
                      const float *bias, size_t rows, size_t width, float eps);
    void (*layernorm_backward)(float *d_x, float *d_gain, float *d_bias, const float *d_out,
                               const float *x, const float *gain, const float *mean,
                               const float *rstd, size_t rows, size_t width);

    /* Rotates pairs (i, i + D/2) of each of `heads` heads in place by position * theta^(-2i/D)
     * (half-split form); direction -1 is the backward pass. Positions start at `first`. */
    void (*rope)(float *x, size_t rows, size_t heads, size_t head_size, size_t stride, float theta,
                 size_t first, int direction);

    /* Causal softmax attention, scale 1/sqrt(D). out(T, H*D). log_sum(H, T) is the logarithm of
     * each row's softmax denominator, kept for the backward pass. scratch as attention_scratch. */
    void (*attention)(float *out, float *log_sum, const float *q, const float *k, const float *v,
                      const struct attention_shape *shape, float *scratch);
    /* d_q, d_k, d_v = (overwritten), same strides as q, k, v. */
    void (*attention_backward)(float *d_q, float *d_k, float *d_v, const float *d_out,
                               const float *out, const float *log_sum, const float *q,
                               const float *k, const float *v, const struct attention_shape *shape,
                               float *scratch);
    /* Floats of scratch that both attention passes need. */
    size_t (*attention_scratch)(const struct attention_shape *shape);

    void (*swiglu)(float *out, const float *gate, const float *up,
                   size_t count); /* silu(gate)*up */
    void (*swiglu_backward)(float *d_gate, float *d_up, const float *d_out, const float *gate,
                            const float *up, size_t count);
    void (*gelu)(float *out, const float *x, size_t count); /* tanh form, as gpt2 */
    void (*gelu_backward)(float *d_x, const float *d_out, const float *x, size_t count);

    /* Cross-entropy of `rows` rows of logits(rows, V) against targets: adds the sum of
     * -log softmax(logits)[target] in nats to *loss_sum; when d_logits is not NULL it becomes
     * softmax - onehot (may alias logits). */
    void (*cross_entropy)(double *loss_sum, float *d_logits, const float *logits,
                          const uint16_t *targets, size_t rows, size_t vocab);
};

extern const struct backend backend_ref;
extern const struct backend backend_cpu;

/* "ref" or "cpu". Errors: USAGE with a sentence. */
MUST_CHECK enum status backend_find(const char *name, const struct backend **out);

#endif
