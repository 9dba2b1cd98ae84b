#include "common/check.h"
#include "trainer/backend/cpu.h"
#include "trainer/backend/lanes.h"
#include "trainer/backend/ref.h"

#include <math.h>

/* A row is taken in parts, each relative to its own maximum, so that it is read from memory once;
 * a second pass, when gradients are wanted, brings the parts to one scale. */
enum { PART = 512, VOCAB_MAX = 65536, PARTS_MAX = VOCAB_MAX / PART }; /* ids have 16 bits */

struct part {
    float max;
    float sum; /* of exp(x - max) */
};

static size_t part_count(size_t first, size_t count)
{
    return count - first < PART ? count - first : PART;
}

/* x becomes exp(x - its maximum). */
LANES_INLINE struct part exp_part(float *restrict x, size_t count)
{
    float max = lanes_max(x, count);
    for (size_t i = 0; i < count; i++) {
        x[i] = lanes_exp(x[i] - max);
    }
    return (struct part){max, lanes_sum(x, count)};
}

/* Sums up each part and, when `out` is not NULL, keeps exp(x - max of the part) there; `out` may be
 * `row`. */
VECTOR_CLONES static void sum_parts(struct part *parts, float *out, const float *row, size_t count)
{
    float buffer[PART];
    for (size_t first = 0; first < count; first += PART) {
        size_t length = part_count(first, count);
        float *x = out != NULL ? out + first : buffer;
        if (x != row + first) {
            memcpy(x, row + first, length * sizeof(*x));
        }
        /* The constant spares whole parts the loops' remainders. */
        parts[first / PART] = length == PART ? exp_part(x, PART) : exp_part(x, length);
    }
}

VECTOR_CLONES static void scale_parts(float *out, const struct part *parts, float log_sum,
                                      size_t count)
{
    for (size_t first = 0; first < count; first += PART) {
        size_t length = part_count(first, count);
        float scale = lanes_exp(parts[first / PART].max - log_sum);
        for (size_t i = 0; i < length; i++) {
            out[first + i] *= scale;
        }
    }
}

/* log(sum(exp(x))) over all parts. */
static double log_sum_of(const struct part *parts, size_t count)
{
    float max = parts[0].max;
    for (size_t i = 1; i < count; i++) {
        max = parts[i].max > max ? parts[i].max : max;
    }
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)parts[i].sum * exp((double)parts[i].max - (double)max);
    }
    return (double)max + log(sum);
}

void cpu_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                       const uint16_t *targets, size_t rows, size_t vocab)
{
    CHECK(vocab > 0 && vocab <= VOCAB_MAX);
    struct part parts[PARTS_MAX];
    for (size_t t = 0; t < rows; t++) {
        const float *row = logits + t * vocab;
        float *d_row = d_logits != NULL ? floats(d_logits) + t * vocab : NULL;
        double target = (double)row[targets[t]]; /* before d_row, which may be the same memory */
        sum_parts(parts, d_row, row, vocab);
        double log_sum = log_sum_of(parts, (vocab + PART - 1) / PART);
        losses[t] = log_sum - target;
        if (d_row != NULL) {
            scale_parts(d_row, parts, (float)log_sum, vocab);
            d_row[targets[t]] -= 1.0F;
        }
    }
}
