/* exact_sum - gradients summed as 64-bit fixed-point integers.
 *
 * Addition of integers is associative: any order of arrival and any cut of the vector over
 * aggregators gives the same bits. The grid's unit is 2^-shift, chosen so that the mean gradient
 * of a whole target batch has a unit of about 2^-52 and no sum can overflow: a contribution over
 * n tokens may hold values up to n * 2^10 nats, which with at most tokens_max tokens stays below
 * 2^63. fp32 and bf16 contributions are rounded once, each by itself, to the grid (half to even);
 * mx8 and mx4 ones lie on it exactly, by the encoder's lsb_exponent_min = -shift.
 *
 * Pure; thread-safe on distinct sums. */
#ifndef DUGNAD_PROTO_CODEC_EXACT_SUM_H
#define DUGNAD_PROTO_CODEC_EXACT_SUM_H

#include "proto/codec/codec.h"

enum { EXACT_SUM_TOKENS_LOG2_MAX = 40, EXACT_SUM_PER_TOKEN_LOG2_MAX = 10 };

struct exact_grid {
    int shift;           /* unit 2^-shift */
    uint64_t tokens_max; /* of all contributions to one sum together */
};

/* The grid for a target batch of `tokens_max` tokens, 0 < tokens_max <= 2^40. */
struct exact_grid exact_grid_for(uint64_t tokens_max);

/* Checks a part of a contribution over `tokens` tokens before it is added: length, finite
 * values, and size at most tokens * 2^10 each; mx8 and mx4 units not
 * below the grid's.
 * Errors: BAD_SHAPE, OUT_OF_RANGE. */
MUST_CHECK enum status exact_sum_check(const struct exact_grid *grid, enum codec codec,
                                       const uint8_t *data, size_t size_bytes, size_t value_count,
                                       uint64_t tokens);

/* sum(value_count) += decoded values; `data` passed exact_sum_check. */
void exact_sum_add(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                   size_t value_count, int64_t *sum);

/* Both at once; on error nothing was added. The second pass over `data` costs next to nothing while
 * they fit into the CPU's cache: a chunk at a time, not a whole vector. */
MUST_CHECK enum status exact_sum_check_and_add(const struct exact_grid *grid, enum codec codec,
                                               const uint8_t *data, size_t size_bytes,
                                               size_t value_count, uint64_t tokens, int64_t *sum);

/* The inverse of exact_sum_add: integers can be taken back exactly. */
void exact_sum_subtract(const struct exact_grid *grid, enum codec codec, const uint8_t *data,
                        size_t value_count, int64_t *sum);

/* mean(count) = sum * 2^-shift / tokens, rounded once to float32. tokens > 0. */
void exact_sum_mean(const struct exact_grid *grid, const int64_t *sum, size_t count,
                    uint64_t tokens, float *mean);

#endif
