#include "common/half.h"
#include "trainer/backend/bf16.h"
#include "trainer/backend/lanes.h"

#include <math.h>

enum { LOSS_BLOCK = 256 }; /* values that lie on the stack */

VECTOR_CLONES static float max_of_row(const float *row, size_t count)
{
    return lanes_max(row, count);
}

VECTOR_CLONES static float exp_sum(const float *row, float max, size_t count)
{
    float sum = 0.0F;
    float block[LOSS_BLOCK];
    for (size_t at = 0; at < count; at += LOSS_BLOCK) {
        size_t length = count - at < LOSS_BLOCK ? count - at : LOSS_BLOCK;
        for (size_t i = 0; i < length; i++) {
            block[i] = lanes_exp(row[at + i] - max);
        }
        sum += lanes_sum(block, length);
    }
    return sum;
}

/* to(count) = exp(row - log_sum) as cells. `to` may lie in row's memory, at row's first byte or
 * before: what is read lies behind what was written. Bytes are moved by memcpy alone, since one
 * memory holds values of two types. */
VECTOR_CLONES static void softmax_row(unsigned char *to, const unsigned char *row, float log_sum,
                                      size_t count)
{
    for (size_t at = 0; at < count; at += LOSS_BLOCK) {
        size_t length = count - at < LOSS_BLOCK ? count - at : LOSS_BLOCK;
        float block[LOSS_BLOCK];
        uint16_t cells[LOSS_BLOCK];
        memcpy(block, row + at * sizeof(float), length * sizeof(float));
        for (size_t i = 0; i < length; i++) {
            cells[i] = half_to_bf16(lanes_exp(block[i] - log_sum));
        }
        memcpy(to + at * sizeof(uint16_t), cells, length * sizeof(uint16_t));
    }
}

/* The target's own value is made from the float softmax, not from its rounded cell: near 1 the
 * difference p - 1 would be mostly rounding. */
static void set_target(unsigned char *to, float target_logit, float log_sum, size_t target)
{
    uint16_t cell = half_to_bf16(expf(target_logit - log_sum) - 1.0F);
    memcpy(to + target * sizeof(cell), &cell, sizeof(cell));
}

void bf16_cross_entropy(double *losses, struct cells *d_logits, const float *logits,
                        const uint16_t *targets, size_t rows, size_t vocab)
{
    unsigned char *to = (unsigned char *)d_logits;
    for (size_t t = 0; t < rows; t++) {
        const float *row = logits + t * vocab;
        float max = max_of_row(row, vocab);
        float target = row[targets[t]];
        double log_sum = log((double)exp_sum(row, max, vocab)) + (double)max;
        losses[t] = log_sum - (double)target;
        if (to != NULL) {
            unsigned char *to_row = to + t * vocab * sizeof(uint16_t);
            softmax_row(to_row, (const unsigned char *)row, (float)log_sum, vocab);
            set_target(to_row, target, (float)log_sum, targets[t]);
        }
    }
}
