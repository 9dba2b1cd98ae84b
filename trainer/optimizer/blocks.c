#include "trainer/optimizer/blocks.h"

#include "common/check.h"
#include "common/fault.h"

#include <stdlib.h>
#include <string.h>

struct blocks {
    size_t tensor_count;
    size_t count;
    struct tensor_blocks tensors[];
};

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

static struct tensor_blocks in_runs(const struct tensor_spec *spec, size_t run)
{
    CHECK(run > 0 && spec->count % run == 0);
    return (struct tensor_blocks){.count = spec->count / run, .run = run};
}

static struct tensor_blocks in_columns(const struct tensor_spec *spec, size_t head_columns,
                                       size_t head_width)
{
    size_t row_length = (size_t)spec->shape[1];
    CHECK(head_columns % head_width == 0 && head_columns <= row_length);
    return (struct tensor_blocks){.count = head_columns / head_width + row_length - head_columns,
                                  .row_length = row_length,
                                  .head_columns = head_columns,
                                  .head_width = head_width};
}

/* Everything but `first`. */
static struct tensor_blocks cut(const struct tensor_spec *spec, const struct model_config *model)
{
    bool fused = has(spec->name, ".c_attn."); /* q, k and v in one */
    if (spec->rank == 1) {
        return in_runs(spec, fused ? spec->count / 3 : spec->count);
    }
    if (fused) {
        return in_columns(spec, 2 * (size_t)model->width, model->head_size);
    }
    if (has(spec->name, ".c_proj.") || has(spec->name, ".c_fc.")) {
        return in_columns(spec, 0, 1);
    }
    bool by_head = has(spec->name, ".q_proj.") || has(spec->name, ".k_proj.");
    return in_runs(spec, (by_head ? model->head_size : 1) * (size_t)spec->shape[1]);
}

enum status blocks_new(const struct layout *layout, const struct model_config *model,
                       struct blocks **out)
{
    size_t tensor_count = layout_tensor_count(layout);
    struct blocks *self = calloc(1, sizeof *self + tensor_count * sizeof self->tensors[0]);
    *out = self;
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the optimizer's blocks");
    }
    self->tensor_count = tensor_count;
    for (size_t i = 0; i < tensor_count; i++) {
        self->tensors[i] = cut(layout_tensor(layout, i), model);
        self->tensors[i].first = self->count;
        self->count += self->tensors[i].count;
    }
    return STATUS_OK;
}

void blocks_free(struct blocks *self)
{
    free(self);
}

size_t blocks_count(const struct blocks *self)
{
    return self->count;
}

const struct tensor_blocks *blocks_of(const struct blocks *self, size_t tensor)
{
    CHECK(tensor < self->tensor_count);
    return &self->tensors[tensor];
}

size_t blocks_count_in(const struct layout *layout, const struct model_config *model)
{
    size_t count = 0;
    for (size_t i = 0; i < layout_tensor_count(layout); i++) {
        count += cut(layout_tensor(layout, i), model).count;
    }
    return count;
}
