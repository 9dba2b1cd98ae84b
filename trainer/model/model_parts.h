/* model_parts - what the files of trainer/model share: the model, a pass and its activations, and
 * the table of what differs between kinds of model.
 *
 * Private to trainer/model. Shapes: S sequences, T tokens each, R = S * T rows, C width, H heads,
 * K key/value heads, D head size, F feed-forward width, V vocabulary, L layers. */
#ifndef DUGNAD_TRAINER_MODEL_MODEL_PARTS_H
#define DUGNAD_TRAINER_MODEL_MODEL_PARTS_H

#include "trainer/model/model.h"
#include "trainer/model/workspace.h"

enum { LAYER_TENSORS_MAX = 12 };

struct pass;

/* One kind of model (llama, gpt2). */
struct family {
    const char *embedding;                        /* (V,C) */
    const char *positions;                        /* (context_max,C); NULL: none */
    const char *final_gain;                       /* (C) */
    const char *final_bias;                       /* (C); NULL: RMSNorm, without mean and bias */
    const char *layer_prefix;                     /* "model.layers." */
    const char *layer_tensors[LAYER_TENSORS_MAX]; /* names behind "<prefix>N." */
    bool fused_qkv;                               /* q, k and v are columns of one (R,3*C) */
    bool gated;                                   /* the feed-forward has `up` beside `gate` */
    /* x[layer + 1] = layer(x[layer]); a pass that recomputes leaves x[layer + 1] alone. */
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

struct weights {
    const struct backend *backend;
    size_t value_count;
    struct cells *copy; /* NULL where cells are floats */
    const float *values;
    const struct cells *cells;
};

/* Sequences on their way through the model. gradient is NULL in a forward pass. */
struct pass {
    const struct model *model;
    const struct backend *backend;
    const struct workspace *workspace;
    const struct weights *weights;
    size_t sequence_count; /* S */
    size_t length;         /* T */
    size_t rows;           /* R */
    size_t first;          /* position of row 0; not 0 in a decoder only */
    bool recomputing;
    struct gradient *gradient;
};

/* A tensor's float32 parameters, and the same as cells. */
const float *pass_param(const struct pass *pass, size_t tensor);
const struct cells *pass_weight(const struct pass *pass, size_t tensor);

/* The index of tensor `which` (the family's enum) of a layer. */
size_t pass_layer_tensor(const struct pass *pass, size_t layer, size_t which);

/* Where the rows of the pass begin in a buffer of rows of `width` cells that a decoder keeps. */
struct cells *pass_cached(const struct pass *pass, struct cells *buffer, size_t width);

/* tokens (S pointers to T ids each) to the output of the final norm, in workspace->norm. */
void pass_forward(const struct pass *pass, const uint16_t *const *tokens);

/* Attention of all sequences from layer->q, k, v to layer->attention, and back from
 * workspace->d_attention to d_q, d_k, d_v. */
void pass_attention(const struct pass *pass, const struct layer_memory *layer);
void pass_attention_backward(const struct pass *pass, const struct layer_memory *layer);

/* d_x as cells. */
const struct cells *pass_d_x_cells(const struct pass *pass);

/* Locks a tensor of the gradient and returns its values; end it with gradient_unlock. Hold it
 * for one operation only: all threads of a team wait here. */
float *gradient_lock(struct gradient *self, size_t tensor);
void gradient_unlock(struct gradient *self, size_t tensor);

/* gradient[tensor] += product, whose a is transposed with its natural stride; the tensor is locked
 * a part at a time. */
void gradient_add_product(struct gradient *self, size_t tensor, const struct matmul *product);

/* gradient[tensor](m,n) += a^T b over the rows of a (R,m) and b (R,n). */
void pass_weight_gradient(const struct pass *pass, size_t tensor, const struct cells *a,
                          const struct cells *b, size_t m, size_t n);

/* The output head over rows [first, first + count) of workspace->norm, at most
 * workspace->head_rows: logits go to workspace->logits, (count, V). */
void head_logits(const struct pass *pass, size_t first, size_t count);

/* Losses of all rows against workspace->targets, a chunk of rows at a time; loss_sums(S). With a
 * gradient also the head's, and workspace->d_norm becomes the gradient of the final norm's
 * output. */
void head_loss(const struct pass *pass, double *loss_sums);

#endif
