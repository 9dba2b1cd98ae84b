#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <stdlib.h>

uint64_t weights_bytes(const struct model *model)
{
    const struct backend *backend = model->backend;
    uint64_t bytes = (uint64_t)layout_value_count(model->layout) * backend->cell_bytes;
    return backend->cells_are_floats ? 0 : bytes;
}

enum status weights_new(const struct model *model, struct weights **out)
{
    *out = NULL;
    uint64_t bytes = weights_bytes(model);
    struct weights *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the model's weights");
    }
    self->backend = model->backend;
    self->value_count = layout_value_count(model->layout);
    if (bytes > 0) {
        self->copy = model->backend->allocate((size_t)bytes);
        if (self->copy == NULL) {
            free(self);
            return fault(STATUS_NO_MEMORY,
                         "no memory for the model's weights (%llu MiB); choose a smaller model or "
                         "free some memory",
                         (unsigned long long)(bytes >> 20));
        }
    }
    *out = self;
    return STATUS_OK;
}

void weights_free(struct weights *self)
{
    if (self == NULL) {
        return;
    }
    if (self->copy != NULL) {
        self->backend->release(self->copy);
    }
    free(self);
}

void weights_load(struct weights *self, const float *params)
{
    self->values = params;
    self->cells = self->backend->as_cells(self->copy, params, self->value_count);
}
