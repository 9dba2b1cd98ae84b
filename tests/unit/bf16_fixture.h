/* bf16_fixture - what the tests of `bf16` share: tensors whose values are bfloat16 already, so that
 * what differs from `ref` is the rounding of results and the order of float32 sums. Rounding to 8
 * significant bits moves a value by at most 2^-8 of itself, and so the norm of a vector too. */
#ifndef DUGNAD_TESTS_UNIT_BF16_FIXTURE_H
#define DUGNAD_TESTS_UNIT_BF16_FIXTURE_H

#include "backend_fixture.h"
#include "common/half.h"
#include "trainer/backend/bf16.h"

enum { EXIT_SKIPPED = 77 }; /* ctest's SKIP_RETURN_CODE */

static const double ROUNDING = 0x1p-8;
static const double FLOAT_SUMS = 2e-6;

static const struct backend *bf16;
/* A tensor as floats for ref and as cells, of the same values. */
struct tensor {
    size_t count;
    float *values;
    struct cells *cells;
};

static inline struct tensor tensor_of(float *values, size_t count)
{
    struct tensor tensor = {count, values, take_bytes(count * sizeof(uint16_t))};
    for (size_t i = 0; i < count; i++) {
        uint16_t cell = half_to_bf16(values[i]);
        halves(tensor.cells)[i] = cell;
        tensor.values[i] = half_from_bf16(cell);
    }
    return tensor;
}

static inline struct tensor normal_tensor(size_t count, uint64_t stream)
{
    return tensor_of(take_normal(count, stream), count);
}

static inline void assert_cells_near(struct tensor tensor, double bound)
{
    float *actual = take(tensor.count);
    for (size_t i = 0; i < tensor.count; i++) {
        actual[i] = half_from_bf16(halves(tensor.cells)[i]);
    }
    assert_near(actual, tensor.values, tensor.count, bound);
}

#endif
