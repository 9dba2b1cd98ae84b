/* adamw - Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2).
 *
 * Element by element in a fixed order, so it replays bit-exactly. Pure. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_ADAMW_H
#define DUGNAD_TRAINER_OPTIMIZER_ADAMW_H

#include "trainer/optimizer/optimizer.h"

/* Updates weights, m and v, shape (count), from grad; weight decay only when `decayed`. */
void adamw_apply(const struct optimizer_step *step, float *weights, float *m, float *v,
                 const float *grad, size_t count, bool decayed);

#endif
