#include "common/check.h"
#include "common/fault.h"
#include "trainer/model/model_parts.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Large tensors have several locks, each for a stripe of rows: the threads of a team then add to
 * different stripes instead of waiting for each other. */
enum { STRIPE_VALUES = 1 << 21, STRIPES_MAX = 64 };

struct gradient {
    const struct backend *backend;
    const struct layout *layout;
    float *values;
    size_t *first_lock;     /* (tensor count + 1): of each tensor in `locks` */
    pthread_mutex_t *locks; /* one per stripe */
    size_t lock_count;      /* made so far */
};

static size_t stripe_count(const struct tensor_spec *tensor)
{
    size_t wanted = (tensor->count + STRIPE_VALUES - 1) / STRIPE_VALUES;
    size_t rows = tensor->rank == 2 ? (size_t)tensor->shape[0] : 1;
    wanted = wanted < rows ? wanted : rows;
    wanted = wanted < STRIPES_MAX ? wanted : STRIPES_MAX;
    return wanted > 0 ? wanted : 1;
}

/* The tensors' locks; false when there is no memory. */
static bool make_locks(struct gradient *self)
{
    size_t tensor_count = layout_tensor_count(self->layout);
    size_t count = 0;
    self->first_lock = calloc(tensor_count + 1, sizeof(*self->first_lock));
    if (self->first_lock == NULL) {
        return false;
    }
    for (size_t i = 0; i < tensor_count; i++) {
        count += stripe_count(layout_tensor(self->layout, i));
        self->first_lock[i + 1] = count;
    }
    self->locks = calloc(count + 1, sizeof(pthread_mutex_t));
    while (self->locks != NULL && self->lock_count < count) {
        if (pthread_mutex_init(&self->locks[self->lock_count], NULL) != 0) {
            return false;
        }
        self->lock_count++;
    }
    return self->locks != NULL;
}

enum status gradient_new(const struct model *model, struct gradient **out)
{
    *out = NULL;
    struct gradient *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        goto no_memory;
    }
    self->backend = model->backend;
    self->layout = model->layout;
    self->values = model->backend->allocate(layout_value_count(model->layout) * sizeof(float));
    if (self->values == NULL || !make_locks(self)) {
        goto no_memory;
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
    free(self->first_lock);
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

/* Stripes in order: a thread that holds one waits for later ones only. */
float *gradient_lock(struct gradient *self, size_t tensor)
{
    for (size_t i = self->first_lock[tensor]; i < self->first_lock[tensor + 1]; i++) {
        CHECK(pthread_mutex_lock(&self->locks[i]) == 0);
    }
    return self->values + layout_tensor(self->layout, tensor)->offset;
}

void gradient_unlock(struct gradient *self, size_t tensor)
{
    for (size_t i = self->first_lock[tensor]; i < self->first_lock[tensor + 1]; i++) {
        CHECK(pthread_mutex_unlock(&self->locks[i]) == 0);
    }
}

/* Locks the first stripe that nobody works on of those not `done`, or else waits for the first. */
static size_t lock_stripe(pthread_mutex_t *locks, const bool *done, size_t count)
{
    size_t first = count;
    for (size_t i = 0; i < count; i++) {
        if (!done[i] && pthread_mutex_trylock(&locks[i]) == 0) {
            return i;
        }
        first = first == count && !done[i] ? i : first;
    }
    CHECK(first < count && pthread_mutex_lock(&locks[first]) == 0);
    return first;
}

void gradient_add_product(struct gradient *self, size_t tensor, const struct matmul *product)
{
    pthread_mutex_t *locks = self->locks + self->first_lock[tensor];
    size_t count = self->first_lock[tensor + 1] - self->first_lock[tensor];
    size_t rows = (product->m + count - 1) / count;
    float *values = self->values + layout_tensor(self->layout, tensor)->offset;
    bool done[STRIPES_MAX] = {false};
    CHECK(product->a_transposed && product->a_stride == 0);
    for (size_t left = count; left > 0; left--) {
        size_t stripe = lock_stripe(locks, done, count);
        size_t first = stripe * rows;
        struct matmul part = *product;
        if (first < product->m) {
            part.a = cells_at_const(self->backend, product->a, first);
            part.a_stride = product->m;
            part.m = product->m - first < rows ? product->m - first : rows;
            self->backend->matmul_float(values + first * product->n, &part, true);
        }
        done[stripe] = true;
        CHECK(pthread_mutex_unlock(&locks[stripe]) == 0);
    }
}

void pass_weight_gradient(const struct pass *pass, size_t tensor, const struct cells *a,
                          const struct cells *b, size_t m, size_t n)
{
    struct matmul product = {.a = a, .a_transposed = true, .b = b, .m = m, .n = n, .k = pass->rows};
    gradient_add_product(pass->gradient, tensor, &product);
}
