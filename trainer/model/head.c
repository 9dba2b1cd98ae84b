/* The output head and the loss. Logits of all rows would be the largest buffer of all
 * (V is 50257 in GPT-2), so rows go through in chunks. */
#include "trainer/model/model_parts.h"

#include <string.h>

static const struct cells *norm_rows(const struct pass *pass, size_t first)
{
    return cells_at_const(pass->backend, pass->workspace->norm, first * pass->model->config.width);
}

void head_logits(const struct pass *pass, size_t first, size_t count)
{
    const struct model_config *config = &pass->model->config;
    struct matmul product = {.a = norm_rows(pass, first),
                             .b = pass_weight(pass, pass->model->head),
                             .b_transposed = true,
                             .m = count,
                             .n = config->vocab_size,
                             .k = config->width};
    pass->backend->matmul_float(pass->workspace->logits, &product, false);
}

/* From d_logits(count, V). */
static void chunk_backward(const struct pass *pass, const struct cells *d_logits, size_t first,
                           size_t count)
{
    const struct model_config *config = &pass->model->config;
    size_t head = pass->model->head;
    struct matmul to_norm = {.a = d_logits,
                             .b = pass_weight(pass, head),
                             .m = count,
                             .n = config->width,
                             .k = config->vocab_size};
    pass->backend->matmul_float(pass->workspace->d_norm + first * config->width, &to_norm, false);
    struct matmul to_head = {.a = d_logits,
                             .a_transposed = true,
                             .b = norm_rows(pass, first),
                             .m = config->vocab_size,
                             .n = config->width,
                             .k = count};
    gradient_add_product(pass->gradient, head, &to_head);
}

void head_loss(const struct pass *pass, double *loss_sums)
{
    const struct workspace *workspace = pass->workspace;
    /* The gradient of the logits takes their place. */
    struct cells *d_logits = (struct cells *)(void *)workspace->logits;
    memset(loss_sums, 0, pass->sequence_count * sizeof(*loss_sums));
    for (size_t first = 0; first < pass->rows; first += workspace->head_rows) {
        size_t left = pass->rows - first;
        size_t count = left < workspace->head_rows ? left : workspace->head_rows;
        head_logits(pass, first, count);
        pass->backend->cross_entropy(workspace->losses, pass->gradient != NULL ? d_logits : NULL,
                                     workspace->logits, workspace->targets + first, count,
                                     pass->model->config.vocab_size);
        for (size_t i = 0; i < count; i++) {
            loss_sums[(first + i) / pass->length] += workspace->losses[i];
        }
        if (pass->gradient != NULL) {
            chunk_backward(pass, d_logits, first, count);
        }
    }
}
