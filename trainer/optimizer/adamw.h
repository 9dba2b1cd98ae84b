/* adamw - decoupled weight decay with Adam (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2).
 *
 * Element by element in a fixed order, so it replays bit-exactly. Pure. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_ADAMW_H
#define DUGNAD_TRAINER_OPTIMIZER_ADAMW_H

#include <stddef.h>
#include <stdint.h>

struct adamw_settings {
    double beta1;
    double beta2;
    double eps;
    double weight_decay; /* on tensors with 2 or more dimensions */
    double grad_clip;    /* L2 norm of the mean gradient; 0: no clipping */
};

/* What one step has in common for all elements. */
struct adamw_step {
    float learning_rate;
    float clip_scale; /* min(1, grad_clip / norm) */
    float beta1, beta2, eps, weight_decay;
    float rest1, rest2; /* 1 - beta, rounded once */
    float bias1, bias2; /* 1 - beta^step, step counted from 1 */
};

/* step >= 1; norm is the L2 norm of the mean gradient before clipping. */
struct adamw_step adamw_prepare(const struct adamw_settings *settings, double learning_rate,
                                uint64_t step, double norm);

/* Updates weights, m and v, shape (count), from grad; weight decay only when `decayed`. */
void adamw_apply(const struct adamw_step *step, float *weights, float *m, float *v,
                 const float *grad, size_t count, int decayed);

#endif
