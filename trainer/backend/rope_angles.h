/* rope_angles - the rotations of ref_rope.c without a sine per element: the angle of position p + 1
 * is that of p turned by one fixed step, in double, whose error grows by about 1e-16 a position.
 *
 * Private to trainer/backend. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_BACKEND_ROPE_ANGLES_H
#define DUGNAD_TRAINER_BACKEND_ROPE_ANGLES_H

#include "trainer/backend/lanes.h"

#include <math.h>

enum { PAIR_BLOCK = 32 }; /* pairs whose angles lie on the stack */

struct rope_angles {
    size_t count;
    double cosine[PAIR_BLOCK];
    double sine[PAIR_BLOCK];
    double step_cosine[PAIR_BLOCK];
    double step_sine[PAIR_BLOCK];
};

/* The angles at position `first` of pairs [pair, pair + PAIR_BLOCK), or fewer, of a head. */
static inline void rope_angles_init(struct rope_angles *self, size_t pair, size_t head_size,
                                    float theta, size_t first, int direction)
{
    size_t left = head_size / 2 - pair;
    self->count = left < PAIR_BLOCK ? left : PAIR_BLOCK;
    for (size_t i = 0; i < self->count; i++) {
        double step = direction * pow((double)theta, -2.0 * (double)(pair + i) / (double)head_size);
        self->step_cosine[i] = cos(step);
        self->step_sine[i] = sin(step);
        self->cosine[i] = cos(step * (double)first);
        self->sine[i] = sin(step * (double)first);
    }
}

/* The angles as floats; then on to the next position. */
LANES_INLINE void rope_angles_next(struct rope_angles *self, float *cosine, float *sine)
{
    for (size_t i = 0; i < self->count; i++) {
        double c = self->cosine[i];
        double s = self->sine[i];
        cosine[i] = (float)c;
        sine[i] = (float)s;
        self->cosine[i] = c * self->step_cosine[i] - s * self->step_sine[i];
        self->sine[i] = s * self->step_cosine[i] + c * self->step_sine[i];
    }
}

#endif
