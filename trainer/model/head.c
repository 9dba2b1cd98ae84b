/* The output head and the loss. Logits of a whole sequence would be the largest buffer of all
 * (V is 50257 in GPT-2), so rows go through in chunks. */
#include "trainer/model/model_parts.h"

void head_logits(const struct pass *pass, size_t first, size_t count)
{
    const struct model_config *config = &pass->model->config;
    pass->backend->matmul(
        pass->workspace->logits, pass->workspace->final_norm + first * config->width, false,
        pass_param(pass, pass->model->head), true, count, config->vocab_size, config->width, false);
}

/* From d logits in workspace->logits. */
static void chunk_backward(const struct pass *pass, size_t first, size_t count)
{
    const struct model_config *config = &pass->model->config;
    const struct workspace *workspace = pass->workspace;
    size_t width = config->width;
    pass->backend->matmul(workspace->d_norm + first * width, workspace->logits, false,
                          pass_param(pass, pass->model->head), false, count, width,
                          config->vocab_size, false);
    float *d_head = gradient_lock(pass->gradient, pass->model->head);
    pass->backend->matmul(d_head, workspace->logits, true, workspace->final_norm + first * width,
                          false, config->vocab_size, width, count, true);
    gradient_unlock(pass->gradient, pass->model->head);
}

void head_loss(const struct pass *pass, double *loss_sum)
{
    const struct workspace *workspace = pass->workspace;
    for (size_t first = 0; first < pass->rows; first += workspace->head_rows) {
        size_t left = pass->rows - first;
        size_t count = left < workspace->head_rows ? left : workspace->head_rows;
        head_logits(pass, first, count);
        pass->backend->cross_entropy(loss_sum, pass->gradient != NULL ? workspace->logits : NULL,
                                     workspace->logits, pass->tokens + 1 + first, count,
                                     pass->model->config.vocab_size);
        if (pass->gradient != NULL) {
            chunk_backward(pass, first, count);
        }
    }
}
