#include "common/slices.h"

#include "common/check.h"
#include "common/fault.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct slice {
    struct slices *owner;
    size_t index;
    size_t first;
    size_t count;
    pthread_t thread;
};

struct slices {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slices_function *function;
    void *context;
    size_t round;   /* counts slices_run calls */
    size_t pending; /* slices of this round not done yet */
    bool stopping;
    size_t thread_count; /* 0: the caller works alone */
    size_t count;
    struct slice items[SLICES_THREADS_MAX];
};

static void *run_slice(void *argument)
{
    struct slice *slice = argument;
    struct slices *self = slice->owner;
    size_t seen = 0;
    (void)pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->round == seen && !self->stopping) {
            (void)pthread_cond_wait(&self->changed, &self->lock);
        }
        if (self->stopping) {
            break;
        }
        seen = self->round;
        (void)pthread_mutex_unlock(&self->lock);
        self->function(self->context, slice->first, slice->count, slice->index);
        (void)pthread_mutex_lock(&self->lock);
        if (--self->pending == 0) {
            (void)pthread_cond_broadcast(&self->changed);
        }
    }
    (void)pthread_mutex_unlock(&self->lock);
    return NULL;
}

static size_t slice_size(size_t thread_count, size_t value_count, size_t align)
{
    size_t blocks = (value_count + align - 1) / align;
    return (blocks + thread_count - 1) / thread_count * align;
}

enum status slices_new(size_t thread_count, size_t value_count, size_t align, struct slices **out)
{
    CHECK(thread_count > 0 && thread_count <= SLICES_THREADS_MAX);
    CHECK(value_count > 0 && align > 0);
    *out = NULL;
    struct slices *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the aggregation threads");
    }
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->changed, NULL);
    size_t size = slice_size(thread_count, value_count, align);
    for (size_t first = 0; first < value_count; first += size) {
        struct slice *slice = &self->items[self->count];
        *slice = (struct slice){.owner = self,
                                .index = self->count,
                                .first = first,
                                .count = value_count - first < size ? value_count - first : size};
        bool alone = slice->count == value_count;
        if (!alone && pthread_create(&slice->thread, NULL, run_slice, slice) != 0) {
            slices_free(self);
            return fault(STATUS_OS, "the system refused to start an aggregation thread");
        }
        self->thread_count += alone ? 0 : 1;
        self->count++;
    }
    *out = self;
    return STATUS_OK;
}

void slices_free(struct slices *self)
{
    if (self == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i < self->thread_count; i++) {
        (void)pthread_join(self->items[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&self->changed);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

size_t slices_count(const struct slices *self)
{
    return self->count;
}

void slices_run(struct slices *self, slices_function *function, void *context)
{
    if (self->thread_count == 0) {
        function(context, 0, self->items[0].count, 0);
        return;
    }
    (void)pthread_mutex_lock(&self->lock);
    self->function = function;
    self->context = context;
    self->pending = self->count;
    self->round++;
    (void)pthread_cond_broadcast(&self->changed);
    while (self->pending > 0) {
        (void)pthread_cond_wait(&self->changed, &self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
}
