/* sampler - which window of text a sample number stands for.
 *
 * The split is cut into windows of `context` + 1 tokens, one every `context` tokens (neighbours
 * share one token, so every token but the first is predicted once). Sample number s belongs to
 * epoch s / window_count and there to the window at a seeded permutation of s % window_count: a
 * balanced Feistel network with cycle walking (Black and Rogaway, Ciphers with Arbitrary Finite
 * Domains, 2002), so each epoch visits every window exactly once with O(1) memory.
 *
 * Pure; immutable, thread-safe. */
#ifndef DUGNAD_TRAINER_DATA_SAMPLER_H
#define DUGNAD_TRAINER_DATA_SAMPLER_H

#include "common/status.h"

#include <stdint.h>

struct sampler {
    uint64_t window_count;
    uint64_t seed;
    uint32_t context;
    uint32_t half_bits; /* of the Feistel network's domain, 2^(2 half_bits) >= window_count */
};

/* Errors: BAD_CONFIG with a sentence when the split holds no whole window. context > 0. */
MUST_CHECK enum status sampler_init(struct sampler *self, uint64_t token_count, uint32_t context,
                                    uint64_t seed);

/* The first token of the window of sample number `sample`; context + 1 tokens follow there. */
uint64_t sampler_offset(const struct sampler *self, uint64_t sample);

#endif
