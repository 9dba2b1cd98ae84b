#include "tests/sim/sim_file.h"

#include <string.h>

/* What a sync makes durable. */
static const struct sim_image *pending(const struct sim_node *self)
{
    return self->is_ghosted ? &self->written : &self->seen;
}

static void end_ghost(struct sim_node *self)
{
    sim_image_drop(&self->written);
    self->is_ghosted = false;
}

static void replace(struct sim_image *self, const struct sim_image *with)
{
    struct sim_image held = sim_image_hold(with);
    sim_image_drop(self);
    *self = held;
}

void sim_file_append(struct sim_node *self, const void *data, size_t size_bytes)
{
    sim_image_append(&self->seen, data, size_bytes);
    if (self->is_ghosted) {
        sim_image_append(&self->written, data, size_bytes);
    }
}

void sim_file_resize(struct sim_node *self, size_t size_bytes)
{
    sim_image_resize(&self->seen, size_bytes);
    if (self->is_ghosted) {
        sim_image_resize(&self->written, size_bytes);
    }
    if (self->clean_bytes > size_bytes) {
        self->clean_bytes = size_bytes;
    }
}

void sim_file_sync(struct sim_node *self)
{
    replace(&self->durable, pending(self));
    self->clean_bytes = self->durable.size_bytes;
}

void sim_file_refresh(struct sim_node *self)
{
    end_ghost(self);
    replace(&self->seen, &self->durable);
    self->clean_bytes = self->durable.size_bytes;
}

void sim_file_fail_sync(struct sim_node *self, enum sim_file_loss loss)
{
    size_t size_bytes = self->seen.size_bytes;
    if (loss == SIM_FILE_KEPT) {
        return;
    }
    if (loss == SIM_FILE_DROPPED) {
        sim_file_refresh(self);
        return;
    }
    replace(&self->written, &self->durable);
    sim_image_resize(&self->written, size_bytes);
    self->is_ghosted = true;
}

static uint8_t byte_at(const struct sim_image *image, size_t offset)
{
    return offset < image->size_bytes ? sim_image_data(image)[offset] : 0;
}

/* Any length between the two, and each sector that a write touched new, old or zero. */
static struct sim_image tear(const struct sim_node *self, struct random *chance)
{
    const struct sim_image *now = pending(self);
    const struct sim_image *old = &self->durable;
    size_t shorter = now->size_bytes < old->size_bytes ? now->size_bytes : old->size_bytes;
    size_t longer = now->size_bytes + old->size_bytes - shorter;
    size_t length = random_below(chance, 2) == 0
                        ? now->size_bytes
                        : shorter + (size_t)random_below(chance, longer - shorter + 1);
    uint64_t new_quarters = random_below(chance, 4);
    struct sim_image out = sim_image_hold(old);
    sim_image_resize(&out, length);
    uint8_t *bytes = sim_image_own(&out);
    for (size_t i = self->clean_bytes; i < length;) {
        size_t end = (i / SIM_SECTOR_BYTES + 1) * SIM_SECTOR_BYTES;
        bool is_new = random_below(chance, 4) < new_quarters;
        bool is_zero = random_below(chance, 2) == 0;
        for (; i < end && i < length; i++) {
            bytes[i] = is_new ? byte_at(now, i) : is_zero ? 0 : byte_at(old, i);
        }
    }
    return out;
}

void sim_file_lose_power(struct sim_node *self, struct random *chance)
{
    enum { LOST, KEPT };
    const struct sim_image *now = pending(self);
    bool is_dirty =
        self->clean_bytes != now->size_bytes || self->clean_bytes != self->durable.size_bytes;
    if (is_dirty) {
        uint64_t choice = random_below(chance, 4); /* torn as often as the other two together */
        if (choice == KEPT) {
            replace(&self->durable, now);
        } else if (choice != LOST) {
            struct sim_image torn = tear(self, chance);
            sim_image_drop(&self->durable);
            self->durable = torn;
        }
    }
    sim_file_refresh(self);
}

static void flip(struct sim_image *image, uint64_t bit)
{
    if (bit / 8 < image->size_bytes) {
        sim_image_own(image)[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

bool sim_file_rot(struct sim_node *self, uint64_t bit)
{
    if (bit / 8 >= self->durable.size_bytes) {
        return false;
    }
    flip(&self->durable, bit);
    /* A reader meets it where the page is not one that waits to be written. */
    if (bit / 8 < self->clean_bytes) {
        flip(&self->seen, bit);
        if (self->is_ghosted) {
            flip(&self->written, bit);
        }
    }
    return true;
}

void sim_file_drop(struct sim_node *self)
{
    end_ghost(self);
    sim_image_drop(&self->seen);
    sim_image_drop(&self->durable);
}
