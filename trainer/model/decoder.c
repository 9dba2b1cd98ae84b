#include "trainer/model/decoder.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdlib.h>

/* A long text is fed in pieces of this many rows: large enough for fast products. */
enum { PIECE_ROWS = 128 };

struct decoder {
    const struct model *model;
    struct workspace *workspace;
    size_t context;
    size_t length;
};

static struct workspace_plan plan_of(size_t context)
{
    return (struct workspace_plan){.context = context < PIECE_ROWS ? context : PIECE_ROWS,
                                   .sequence_count = 1,
                                   .purpose = WORKSPACE_LOSS};
}

uint64_t decoder_bytes(const struct model *model, size_t context)
{
    struct workspace_plan plan = plan_of(context);
    return workspace_bytes_cached(model, &plan, context);
}

enum status decoder_new(const struct model *model, size_t context, struct decoder **out)
{
    *out = NULL;
    struct workspace_plan plan = plan_of(context);
    struct decoder *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for a decoder");
    }
    self->model = model;
    self->context = context;
    enum status status = workspace_new_cached(model, &plan, context, &self->workspace);
    if (status != STATUS_OK) {
        free(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void decoder_free(struct decoder *self)
{
    if (self != NULL) {
        workspace_free(self->workspace);
        free(self);
    }
}

size_t decoder_length(const struct decoder *self)
{
    return self->length;
}

void decoder_cut(struct decoder *self, size_t length)
{
    CHECK(length <= self->length);
    self->length = length;
}

void decoder_feed(struct decoder *self, const struct weights *weights, const uint16_t *tokens,
                  size_t count, float *logits)
{
    const struct model *model = self->model;
    CHECK(count > 0 && count <= self->context - self->length);
    for (size_t i = 0; i < count; i++) {
        CHECK(tokens[i] < model->config.vocab_size);
    }
    size_t rows = 0;
    for (size_t done = 0; done < count; done += rows) {
        const uint16_t *piece = tokens + done;
        rows = count - done < self->workspace->plan.context ? count - done
                                                            : self->workspace->plan.context;
        struct pass pass = {.model = model,
                            .backend = model->backend,
                            .workspace = self->workspace,
                            .weights = weights,
                            .sequence_count = 1,
                            .length = rows,
                            .rows = rows,
                            .first = self->length};
        pass_forward(&pass, &piece);
        self->length += rows;
        if (done + rows == count) {
            head_logits(&pass, rows - 1, 1);
        }
    }
    model->backend->download(logits, self->workspace->logits, model->config.vocab_size);
}
