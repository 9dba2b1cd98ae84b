#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <math.h>

/* Adds exp(row - max) over a row and, when `out` is not NULL, keeps it there. */
VECTOR_CLONES static float exp_row(float *out, const float *row, float max, size_t count)
{
    float sum = 0.0F;
    float block[256];
    for (size_t first = 0; first < count; first += 256) {
        size_t length = count - first < 256 ? count - first : 256;
        for (size_t i = 0; i < length; i++) {
            block[i] = lanes_exp(row[first + i] - max);
        }
        sum += lanes_sum(block, length);
        if (out != NULL) {
            memcpy(out + first, block, length * sizeof(*block));
        }
    }
    return sum;
}

VECTOR_CLONES static float max_of_row(const float *row, size_t count)
{
    return lanes_max(row, count);
}

void cpu_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = logits + t * vocab;
        float *d_row = d_logits != NULL ? floats(d_logits) + t * vocab : NULL;
        float max = max_of_row(row, vocab);
        double target = (double)row[targets[t]]; /* before d_row, which may be the same memory */
        float sum = exp_row(d_row, row, max, vocab);
        losses[t] = log((double)sum) + (double)max - target;
        if (d_row != NULL) {
            float scale = 1.0F / sum;
            for (size_t i = 0; i < vocab; i++) {
                d_row[i] *= scale;
            }
            d_row[targets[t]] -= 1.0F;
        }
    }
}
