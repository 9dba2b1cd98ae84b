#include "common/random.h"

#include "common/check.h"

#include <math.h>

uint64_t random_mix(uint64_t value)
{
    value ^= value >> 30;
    value *= UINT64_C(0xbf58476d1ce4e5b9);
    value ^= value >> 27;
    value *= UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void random_init(struct random *self, uint64_t seed, uint64_t stream)
{
    self->state = random_mix(seed + random_mix(stream + UINT64_C(0x9e3779b97f4a7c15)));
}

uint64_t random_next(struct random *self)
{
    self->state += UINT64_C(0x9e3779b97f4a7c15);
    return random_mix(self->state);
}

uint64_t random_below(struct random *self, uint64_t bound)
{
    CHECK(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value;
    do {
        value = random_next(self);
    } while (value >= limit);
    return value % bound;
}

double random_uniform(struct random *self)
{
    return (double)(random_next(self) >> 11) * 0x1p-53;
}

double random_normal(struct random *self)
{
    double radius = sqrt(-2.0 * log(1.0 - random_uniform(self)));
    return radius * cos(6.283185307179586 * random_uniform(self));
}
