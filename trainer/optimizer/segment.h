/* segment - a run of the flat vector that belongs to one tensor, or to the padding between two;
 * and sums over runs in a fixed order. Private to trainer/optimizer. Pure. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_SEGMENT_H
#define DUGNAD_TRAINER_OPTIMIZER_SEGMENT_H

#include "trainer/layout/layout.h"

struct segment {
    size_t first;
    size_t end;
    size_t tensor; /* its index; not for padding */
    bool padding;
    bool decayed;
};

/* The segment of [position, end) that begins at `position`. *tensor is where the search starts and
 * is moved along; begin with 0. */
struct segment segment_next(const struct layout *layout, size_t *tensor, size_t position,
                            size_t end);

/* Sum of squares of `values`, shape (count). In lanes, so that it vectorises; the order of
 * additions depends on `count` alone. */
double segment_squares(const float *values, size_t count);

#endif
