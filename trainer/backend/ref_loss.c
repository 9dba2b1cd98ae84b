#include "trainer/backend/ref.h"

#include <math.h>

void ref_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab)
{
    for (size_t t = 0; t < rows; t++) {
        const float *row = logits + t * vocab;
        float max = row[0];
        for (size_t i = 1; i < vocab; i++) {
            max = fmaxf(max, row[i]);
        }
        double sum = 0.0;
        for (size_t i = 0; i < vocab; i++) {
            sum += exp((double)row[i] - (double)max);
        }
        double log_sum = log(sum) + (double)max;
        losses[t] = log_sum - (double)row[targets[t]];
        if (d_logits == NULL) {
            continue;
        }
        float *d_row = floats(d_logits) + t * vocab;
        for (size_t i = 0; i < vocab; i++) {
            d_row[i] = (float)exp((double)row[i] - log_sum);
        }
        d_row[targets[t]] -= 1.0F;
    }
}
