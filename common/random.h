/* random - seeded pseudo-random numbers, the same on every machine. Not for secrets.
 *
 * splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): one
 * 64-bit word of state, so a stream can be named by hashing (seed, index).
 *
 * Pure; one owner per struct. */
#ifndef DUGNAD_COMMON_RANDOM_H
#define DUGNAD_COMMON_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

/* Starts stream number `stream` of `seed`. */
void random_init(struct random *self, uint64_t seed, uint64_t stream);

/* A bijective mix of 64 bits (the finaliser of splitmix64). */
uint64_t random_mix(uint64_t value);

uint64_t random_next(struct random *self);

/* Uniform in [0, bound), without modulo bias; bound > 0. */
uint64_t random_below(struct random *self, uint64_t bound);

/* Uniform in [0, 1) with 53 bits. */
double random_uniform(struct random *self);

/* Standard normal (Box-Muller, one value per two draws). Uses libm's log and cos, so the last
 * bit may differ between C libraries. */
double random_normal(struct random *self);

#endif
