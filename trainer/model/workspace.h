/* workspace - the activations of one pass, laid out in one piece of memory.
 *
 * Private to trainer/model; shapes as in model_parts.h. One thread at a time. */
#ifndef DUGNAD_TRAINER_MODEL_WORKSPACE_H
#define DUGNAD_TRAINER_MODEL_WORKSPACE_H

#include "trainer/model/model.h"

/* What a layer's forward pass leaves. q, k and v may be parts of one buffer. A decoder keeps k and
 * v (and a fused q) of the whole text; rows of the pass begin there at pass->first. */
struct layer_memory {
    float *mean1, *rstd1; /* (R) of the norm before attention; no means in RMSNorm */
    float *mean2, *rstd2; /* (R) of the norm before the feed-forward */
    float *x_mid;         /* (R,C) residual stream between the two halves */
    float *log_sum;       /* (S,H,T) */
    struct cells *q;      /* (R, q_stride) */
    struct cells *k;      /* (R, kv_stride) */
    struct cells *v;
    struct cells *attention; /* (R,H*D) */
    struct cells *gate;      /* (R,F) before the activation */
    struct cells *up;        /* (R,F); NULL unless gated */
};

struct workspace {
    const struct backend *backend;
    struct workspace_plan plan;
    void *memory;                /* everything below lies in it */
    float **x;                   /* (L + 1) residual streams (R,C) */
    struct layer_memory *layers; /* (L); all the same buffers unless a backward pass wants them */
    struct cells *norm;          /* (R,C) output of a norm */
    struct cells *hidden;        /* (R,F) output of the activation */
    float *final_mean;           /* (R) */
    float *final_rstd;           /* (R) */
    float *logits;               /* (head_rows, V) */
    double *losses;              /* (head_rows) */
    uint16_t *targets;           /* (R) */
    size_t head_rows;
    void *attention; /* attention_scratch */
    /* Backward only, shared by the layers. */
    struct cells *d_q, *d_k, *d_v;
    struct cells *d_attention; /* (R,H*D) */
    struct cells *d_hidden;    /* (R,F) */
    struct cells *d_cells;     /* (R,C) d_x as cells; NULL where cells are floats */
    float *d_x;                /* (R,C) gradient of the residual stream */
    float *d_norm;             /* (R,C) gradient of a norm's output */
};

/* As workspace_new; k and v (and a fused q) have `cached_rows` rows, one set for each layer, where
 * it is not 0. */
MUST_CHECK enum status workspace_new_cached(const struct model *model,
                                            const struct workspace_plan *plan, size_t cached_rows,
                                            struct workspace **out);
uint64_t workspace_bytes_cached(const struct model *model, const struct workspace_plan *plan,
                                size_t cached_rows);

/* How many of the rows of a pass the head takes at a time. */
size_t head_rows(const struct model_config *config, const struct backend *backend, size_t rows);

#endif
