/* lanes - sums and maxima over a row, and exp, in a form that the compiler vectorises.
 *
 * A plain sum loop is a chain of dependent additions, and the compiler may not reorder it. Here
 * the order is fixed as LANES interleaved sums, added up at the end: the same bits on every
 * machine, whatever the vector width (but in the bf16 files, which may contract).
 *
 * Private to trainer/backend. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_BACKEND_LANES_H
#define DUGNAD_TRAINER_BACKEND_LANES_H

#include "common/vector_clones.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES_INLINE static inline __attribute__((always_inline))

enum { LANES = 32 }; /* lanes_total and lanes_max count on it */

/* Rows side by side are many short streams, which the CPU's own prefetcher follows badly: asking
 * for what comes next makes products that read a large matrix once up to twice as fast. Asking for
 * what lies beyond the matrix is allowed, and nobody reads it. */
LANES_INLINE void lanes_fetch_soon(const void *memory)
{
    __builtin_prefetch(memory, 0, 3);
}

typedef float lanes_4 __attribute__((vector_size(16)));
typedef float lanes_8 __attribute__((vector_size(32)));
typedef float lanes_16 __attribute__((vector_size(64)));

/* Adds up in halves, the shortest chain. In vectors of the compiler's, since of plain loops it
 * makes scalar code, which takes as long as the sums themselves. */
LANES_INLINE float lanes_total(const float *lane)
{
    lanes_16 a;
    lanes_16 b;
    memcpy(&a, lane, sizeof(a));
    memcpy(&b, lane + LANES / 2, sizeof(b));
    a += b;
    lanes_8 c = __builtin_shufflevector(a, a, 0, 1, 2, 3, 4, 5, 6, 7) +
                __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15);
    lanes_4 d =
        __builtin_shufflevector(c, c, 0, 1, 2, 3) + __builtin_shufflevector(c, c, 4, 5, 6, 7);
    return (d[0] + d[2]) + (d[1] + d[3]);
}

LANES_INLINE float lanes_sum(const float *x, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += x[i + j];
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        lane[j] += x[i];
    }
    return lanes_total(lane);
}

LANES_INLINE float lanes_dot(const float *a, const float *b, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += a[i + j] * b[i + j];
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        lane[j] += a[i] * b[i];
    }
    return lanes_total(lane);
}

/* Mean of (x - center)^2; count > 0. */
LANES_INLINE float lanes_variance(const float *x, float center, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += (x[i + j] - center) * (x[i + j] - center);
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        lane[j] += (x[i] - center) * (x[i] - center);
    }
    return lanes_total(lane) / (float)count;
}

LANES_INLINE void lanes_fold_max(float *lane, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    }
}

/* count > 0. */
LANES_INLINE float lanes_max(const float *x, size_t count)
{
    float lane[LANES];
    for (size_t j = 0; j < LANES; j++) {
        lane[j] = x[0];
    }
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        }
    }
    for (size_t j = 0; i < count; i++, j++) {
        lane[j] = x[i] > lane[j] ? x[i] : lane[j];
    }
    lanes_fold_max(lane, 16);
    lanes_fold_max(lane, 8);
    lanes_fold_max(lane, 4);
    lanes_fold_max(lane, 2);
    lanes_fold_max(lane, 1);
    return lane[0];
}

/* exp(x) without a branch, error below 2 ulp (tests/unit/test_backend.c measures it): x = n ln 2 +
 * r with |r| <= ln 2 / 2, exp(r) by its Taylor series to r^7 / 7! (the rest is below 2^-27), times
 * 2^n put into the exponent bits. Clamped to [-87.3, 87.3], so that neither the result nor its
 * inverse is zero, infinite or denormal, which would be slow; NaN stays. */
LANES_INLINE float lanes_exp(float x)
{
    const float round_magic = 12582912.0F; /* 1.5 * 2^23: adding it rounds to an integer */
    /* One choice: of two, GCC would make branches, each with a copy of what follows. */
    float bound = copysignf(87.3F, x);
    x = fabsf(x) > 87.3F ? bound : x;
    float shifted = x * 1.44269504F + round_magic;
    float n = shifted - round_magic;
    /* ln 2 in two parts (Cody and Waite): n times the first is exact. */
    float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
    float p = 1.0F / 5040.0F;
    p = p * r + 1.0F / 720.0F;
    p = p * r + 1.0F / 120.0F;
    p = p * r + 1.0F / 24.0F;
    p = p * r + 1.0F / 6.0F;
    p = p * r + 0.5F;
    p = p * r * r + r + 1.0F;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits + 127U) << 23; /* the low bits of `shifted` hold n */
    float scale;
    memcpy(&scale, &bits, sizeof(scale));
    return p * scale;
}

#endif
