#include "trainer/data/sampler.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/random.h"

enum { FEISTEL_ROUNDS = 7, HALF_BITS_MAX = 32 };

enum status sampler_init(struct sampler *self, uint64_t token_count, uint32_t context,
                         uint64_t seed)
{
    CHECK(context > 0);
    self->seed = seed;
    self->context = context;
    self->window_count = token_count == 0 ? 0 : (token_count - 1) / context;
    if (self->window_count == 0) {
        return fault(STATUS_BAD_CONFIG,
                     "the split has %llu tokens, too few for one window of %u + 1; use a smaller "
                     "context or more text",
                     (unsigned long long)token_count, context);
    }
    self->half_bits = 1;
    while (self->half_bits < HALF_BITS_MAX && self->window_count > (uint64_t)1
                                                                       << (2 * self->half_bits)) {
        self->half_bits++;
    }
    return STATUS_OK;
}

/* One pass through the network: a permutation of [0, 2^(2 half_bits)) for every set of keys. */
static uint64_t permute(uint64_t value, uint32_t half_bits, const uint64_t keys[FEISTEL_ROUNDS])
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits;
    uint64_t right = value & mask;
    for (int i = 0; i < FEISTEL_ROUNDS; i++) {
        /* The mix's high bits are its best ones. */
        uint64_t mixed = left ^ ((random_mix(right ^ keys[i]) >> 24) & mask);
        left = right;
        right = mixed;
    }
    return left << half_bits | right;
}

uint64_t sampler_offset(const struct sampler *self, uint64_t sample)
{
    struct random random;
    uint64_t keys[FEISTEL_ROUNDS];
    random_init(&random, self->seed, sample / self->window_count);
    for (int i = 0; i < FEISTEL_ROUNDS; i++) {
        keys[i] = random_next(&random);
    }
    /* Walking the cycle until it comes back into the domain ends: the start lies in it. */
    uint64_t window = sample % self->window_count;
    do {
        window = permute(window, self->half_bits, keys);
    } while (window >= self->window_count);
    return window * self->context;
}
