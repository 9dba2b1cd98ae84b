#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <pthread.h>
#include <stdlib.h>

struct gradient {
    const struct backend *backend;
    const struct layout *layout;
    float *values;
    pthread_mutex_t *locks; /* one per tensor */
    size_t lock_count;
};

enum status gradient_new(const struct model *model, struct gradient **out)
{
    size_t tensor_count = layout_tensor_count(model->layout);
    *out = NULL;
    struct gradient *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        goto no_memory;
    }
    self->backend = model->backend;
    self->layout = model->layout;
    self->values = model->backend->allocate(layout_value_count(model->layout) * sizeof(float));
    self->locks = calloc(tensor_count, sizeof(pthread_mutex_t));
    if (self->values == NULL || self->locks == NULL) {
        goto no_memory;
    }
    while (self->lock_count < tensor_count) {
        if (pthread_mutex_init(&self->locks[self->lock_count], NULL) != 0) {
            goto no_memory;
        }
        self->lock_count++;
    }
    *out = self;
    return STATUS_OK;
no_memory:
    gradient_free(self);
    return fault(STATUS_NO_MEMORY,
                 "no memory for the gradient (%zu MiB); choose a smaller model or free some memory",
                 layout_value_count(model->layout) * sizeof(float) >> 20);
}

void gradient_free(struct gradient *self)
{
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->lock_count; i++) {
        (void)pthread_mutex_destroy(&self->locks[i]);
    }
    free(self->locks);
    if (self->values != NULL) {
        self->backend->release(self->values);
    }
    free(self);
}

float *gradient_values(struct gradient *self)
{
    return self->values;
}

void gradient_zero(struct gradient *self)
{
    self->backend->fill_zero(self->values, layout_value_count(self->layout));
}

float *gradient_lock(struct gradient *self, size_t tensor)
{
    CHECK(tensor < self->lock_count);
    CHECK(pthread_mutex_lock(&self->locks[tensor]) == 0);
    return self->values + layout_tensor(self->layout, tensor)->offset;
}

void gradient_unlock(struct gradient *self, size_t tensor)
{
    CHECK(pthread_mutex_unlock(&self->locks[tensor]) == 0);
}

void pass_weight_gradient(const struct pass *pass, size_t tensor, const struct cells *a,
                          const struct cells *b, size_t m, size_t n)
{
    struct matmul product = {.a = a, .a_transposed = true, .b = b, .m = m, .n = n, .k = pass->rows};
    float *d_weight = gradient_lock(pass->gradient, tensor);
    pass->backend->matmul_float(d_weight, &product, true);
    gradient_unlock(pass->gradient, tensor);
}
