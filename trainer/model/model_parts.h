/* model_parts - what the files of trainer/model share: the model, a thread's activations, and
 * the table of what differs between kinds of model.
 *
 * Private to trainer/model. Shapes: T rows, C width, H heads, K key/value heads, D head size,
 * F feed-forward width, V vocabulary, L layers. */
#ifndef DUGNAD_TRAINER_MODEL_MODEL_PARTS_H
#define DUGNAD_TRAINER_MODEL_MODEL_PARTS_H

#include "trainer/model/model.h"

enum { LAYER_TENSORS_MAX = 12, LAYER_BUFFERS_MAX = 16, BACKWARD_BUFFERS_MAX = 12 };

struct pass;

/* How many floats each buffer of a layer holds for T rows, in the order of the family's own
 * enum; `backward` ones are shared by all layers. 0 ends neither list: unused is zero. */
struct buffer_sizes {
    size_t kept[LAYER_BUFFERS_MAX];
    size_t backward[BACKWARD_BUFFERS_MAX];
};

/* One kind of model (llama, gpt2). */
struct family {
    const char *embedding;                        /* (V,C) */
    const char *positions;                        /* (context_max,C); NULL: none */
    const char *final_gain;                       /* (C) */
    const char *final_bias;                       /* (C); NULL: RMSNorm, without mean and bias */
    const char *layer_prefix;                     /* "model.layers." */
    const char *layer_tensors[LAYER_TENSORS_MAX]; /* names behind "<prefix>N." */
    void (*sizes)(const struct model_config *config, size_t T, struct buffer_sizes *out);
    /* x[layer + 1] = layer(x[layer]) */
    void (*layer_forward)(const struct pass *pass, size_t layer);
    /* d_x, the gradient of x[layer + 1], becomes that of x[layer]; parameters' are added. */
    void (*layer_backward)(const struct pass *pass, size_t layer);
};

extern const struct family family_llama;
extern const struct family family_gpt2;

struct model {
    struct model_config config;
    const struct backend *backend;
    const struct family *family;
    struct layout *layout;
    /* Indices of tensors in the layout. */
    size_t embedding;
    size_t positions;
    size_t final_gain;
    size_t final_bias;
    size_t head;          /* the embedding when tied */
    size_t *layer_tensor; /* (L, LAYER_TENSORS_MAX), in the order of family->layer_tensors */
};

struct workspace {
    const struct backend *backend;
    size_t context;
    float *memory;                         /* everything below lies in it */
    float **x;                             /* (L + 1) residual streams (T,C) */
    float *(*layer)[LAYER_BUFFERS_MAX];    /* (L) kept activations */
    float *backward[BACKWARD_BUFFERS_MAX]; /* shared by the layers */
    float *attention;                      /* attention_scratch */
    float *final_norm;                     /* (T,C) */
    float *final_mean;                     /* (T) */
    float *final_rstd;                     /* (T) */
    float *logits;                         /* (head_rows, V) */
    size_t head_rows;
    float *d_x;    /* (T,C) gradient of the residual stream */
    float *d_norm; /* (T,C) gradient of a norm's output */
    float *d_part; /* (T,C) what a branch adds to d_x */
};

/* One sequence on its way through the model. gradient is NULL in a forward pass. */
struct pass {
    const struct model *model;
    const struct backend *backend;
    const struct workspace *workspace;
    const float *params;
    const uint16_t *tokens;
    size_t rows; /* T */
    struct gradient *gradient;
};

/* Parameters of a tensor. */
const float *pass_param(const struct pass *pass, size_t tensor);

/* The index of tensor `which` (the family's enum) of a layer. */
size_t pass_layer_tensor(const struct pass *pass, size_t layer, size_t which);

/* Locks a tensor of the gradient and returns its values; end it with gradient_unlock. Hold it
 * for one operation only: all threads of a team wait here. */
float *gradient_lock(struct gradient *self, size_t tensor);
void gradient_unlock(struct gradient *self, size_t tensor);

/* gradient[tensor](m,n) += op(a) b, with a stored as (k,m): the gradient of a weight. */
void pass_weight_gradient(const struct pass *pass, size_t tensor, const float *a, const float *b,
                          size_t m, size_t n);

/* The output head over rows [first, first + count) of the final norm's output, at most
 * workspace->head_rows: logits go to workspace->logits, (count, V). */
void head_logits(const struct pass *pass, size_t first, size_t count);

/* Loss of all rows against tokens[1..T], a chunk of rows at a time; with a gradient also the
 * head's gradient, and workspace->d_norm becomes the gradient of the final norm's output. */
void head_loss(const struct pass *pass, double *loss_sum);

#endif
