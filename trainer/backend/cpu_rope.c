/* The rotations of ref_rope.c without a sine per element: the angle of position p + 1 is that of
 * p turned by one fixed step, in double, whose error grows by about 1e-16 a position. */
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <math.h>

enum { PAIR_BLOCK = 32 }; /* pairs whose angles lie on the stack */

struct angles {
    double cosine[PAIR_BLOCK];
    double sine[PAIR_BLOCK];
    double step_cosine[PAIR_BLOCK];
    double step_sine[PAIR_BLOCK];
};

/* Rotates `count` pairs (low[i], low[i + half]) of every head of one row. */
LANES_INLINE void rotate_row(float *low, size_t heads, size_t head_size,
                             const struct angles *angles, size_t count)
{
    float cosine[PAIR_BLOCK];
    float sine[PAIR_BLOCK];
    for (size_t i = 0; i < count; i++) {
        cosine[i] = (float)angles->cosine[i];
        sine[i] = (float)angles->sine[i];
    }
    for (size_t h = 0; h < heads; h++) {
        float *restrict a = low + h * head_size;
        float *restrict b = a + head_size / 2;
        for (size_t i = 0; i < count; i++) {
            float a_value = a[i];
            a[i] = a_value * cosine[i] - b[i] * sine[i];
            b[i] = b[i] * cosine[i] + a_value * sine[i];
        }
    }
}

LANES_INLINE void advance(struct angles *angles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double cosine = angles->cosine[i];
        double sine = angles->sine[i];
        angles->cosine[i] = cosine * angles->step_cosine[i] - sine * angles->step_sine[i];
        angles->sine[i] = sine * angles->step_cosine[i] + cosine * angles->step_sine[i];
    }
}

VECTOR_CLONES static void rotate_rows(float *x, size_t rows, size_t heads, size_t head_size,
                                      size_t stride, struct angles *angles, size_t count)
{
    for (size_t t = 0; t < rows; t++) {
        rotate_row(x + t * stride, heads, head_size, angles, count);
        advance(angles, count);
    }
}

void cpu_rope(struct cells *x, size_t rows, size_t heads, size_t head_size, size_t stride,
              float theta, size_t first, int direction)
{
    size_t half = head_size / 2;
    for (size_t block = 0; block < half; block += PAIR_BLOCK) {
        size_t count = half - block < PAIR_BLOCK ? half - block : PAIR_BLOCK;
        struct angles angles;
        for (size_t i = 0; i < count; i++) {
            double step =
                direction * pow((double)theta, -2.0 * (double)(block + i) / (double)head_size);
            angles.step_cosine[i] = cos(step);
            angles.step_sine[i] = sin(step);
            angles.cosine[i] = cos(step * (double)first);
            angles.sine[i] = sin(step * (double)first);
        }
        rotate_rows(floats(x) + block, rows, heads, head_size, stride, &angles, count);
    }
}
