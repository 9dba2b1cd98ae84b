/* backend_fixture - buffers and comparisons for the tests of the backends. */
#ifndef DUGNAD_TESTS_UNIT_BACKEND_FIXTURE_H
#define DUGNAD_TESTS_UNIT_BACKEND_FIXTURE_H

#include "common/check.h"
#include "common/random.h"
#include "suite.h"
#include "trainer/backend/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BUFFERS = 64 };

static float *arena[ARENA_BUFFERS];
static size_t arena_used;

/* A zeroed buffer that lives until the end of the test. */
static inline float *take(size_t count)
{
    CHECK(arena_used < ARENA_BUFFERS);
    float *buffer = backend_cpu.allocate(count * sizeof(*buffer));
    CHECK(buffer != NULL);
    arena[arena_used++] = buffer;
    return buffer;
}

static inline void *take_bytes(size_t size_bytes)
{
    return take((size_bytes + sizeof(float) - 1) / sizeof(float));
}

static inline void release_all(void)
{
    while (arena_used > 0) {
        backend_cpu.release(arena[--arena_used]);
    }
}

static inline float *take_normal(size_t count, uint64_t stream)
{
    struct random random;
    random_init(&random, 11, stream);
    float *values = take(count);
    for (size_t i = 0; i < count; i++) {
        values[i] = (float)random_normal(&random);
    }
    return values;
}

static inline float *take_copy(const float *values, size_t count)
{
    float *copy = take(count);
    memcpy(copy, values, count * sizeof(*copy));
    return copy;
}

/* The floats of a buffer as the cells of `ref` and `cpu`. */
static inline struct cells *cells(float *values)
{
    return (struct cells *)(void *)values;
}

/* ||a - b|| / ||b||; infinite when a number is not finite. */
static inline double distance(const float *a, const float *b, size_t count)
{
    double difference = 0.0;
    double norm = 1e-30;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    double result = sqrt(difference / norm);
    return isfinite(result) ? result : HUGE_VAL;
}

static inline void assert_near(const float *a, const float *b, size_t count, double bound)
{
    double error = distance(a, b, count);
    if (!(error < bound)) {
        printf("\n    normalised error %g, bound %g ", error, bound);
    }
    CU_ASSERT_TRUE(error < bound);
}

#endif
