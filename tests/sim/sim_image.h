/* sim_image - the bytes of a file at one moment, shared between all that see the same.
 *
 * Appending leaves every other holder's bytes as they are, and copies only where two of them go on
 * from the same point: a file that is appended to and synced in turn costs what is appended.
 *
 * A zeroed image is empty. One thread. */
#ifndef DUGNAD_TESTS_SIM_SIM_IMAGE_H
#define DUGNAD_TESTS_SIM_SIM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct sim_block;

struct sim_image {
    struct sim_block *block; /* NULL when nothing was ever written */
    size_t size_bytes;
};

/* The same bytes once more; end each with sim_image_drop. */
struct sim_image sim_image_hold(const struct sim_image *self);
void sim_image_drop(struct sim_image *self); /* leaves it empty */

/* (size_bytes), valid until the image changes; NULL when it is empty. */
const uint8_t *sim_image_data(const struct sim_image *self);

void sim_image_append(struct sim_image *self, const void *data, size_t size_bytes);

/* Cuts it, or makes it longer with zeros. */
void sim_image_resize(struct sim_image *self, size_t size_bytes);

/* Bytes that nobody else holds, to be changed; NULL when it is empty. */
uint8_t *sim_image_own(struct sim_image *self);

#endif
