#include "tests/sim/sim_image.h"

#include "tests/sim/sim_memory.h"

#include <string.h>

enum { CAPACITY_MIN = 256 };

struct sim_block {
    size_t holders;
    size_t used_bytes; /* by the longest image; a shorter one must not append here */
    size_t capacity;
    uint8_t data[];
};

struct sim_image sim_image_hold(const struct sim_image *self)
{
    if (self->block != NULL) {
        self->block->holders++;
    }
    return *self;
}

void sim_image_drop(struct sim_image *self)
{
    if (self->block != NULL && --self->block->holders == 0) {
        sim_memory_free(self->block);
    }
    *self = (struct sim_image){0};
}

const uint8_t *sim_image_data(const struct sim_image *self)
{
    return self->size_bytes > 0 ? self->block->data : NULL;
}

/* Moves the image to a block of its own. */
static void move(struct sim_image *self, size_t capacity)
{
    size_t size_bytes = self->size_bytes;
    struct sim_block *block = sim_memory_new(1, sizeof *block + capacity);
    block->holders = 1;
    block->used_bytes = size_bytes;
    block->capacity = capacity;
    if (size_bytes > 0) {
        memcpy(block->data, self->block->data, size_bytes);
    }
    sim_image_drop(self);
    *self = (struct sim_image){.block = block, .size_bytes = size_bytes};
}

/* Room for `added` bytes behind the image, which is longer by them then; they are not set. */
static uint8_t *extend(struct sim_image *self, size_t added)
{
    size_t before = self->size_bytes;
    const struct sim_block *block = self->block;
    if (block == NULL || block->used_bytes != before || block->capacity - before < added) {
        size_t wanted = before + added;
        size_t capacity = wanted < CAPACITY_MIN ? CAPACITY_MIN : wanted + wanted / 2;
        move(self, capacity);
    }
    self->size_bytes += added;
    self->block->used_bytes = self->size_bytes;
    return self->block->data + before;
}

void sim_image_append(struct sim_image *self, const void *data, size_t size_bytes)
{
    if (size_bytes > 0) {
        memcpy(extend(self, size_bytes), data, size_bytes);
    }
}

void sim_image_resize(struct sim_image *self, size_t size_bytes)
{
    if (size_bytes > self->size_bytes) {
        size_t added = size_bytes - self->size_bytes;
        memset(extend(self, added), 0, added);
    } else if (size_bytes == 0) {
        sim_image_drop(self);
    } else {
        self->size_bytes = size_bytes;
    }
}

uint8_t *sim_image_own(struct sim_image *self)
{
    if (self->size_bytes == 0) {
        return NULL;
    }
    if (self->block->holders > 1) {
        move(self, self->size_bytes);
    }
    return self->block->data;
}
