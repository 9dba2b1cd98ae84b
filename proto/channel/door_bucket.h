/* door_bucket - a token bucket: so many things a second, and some at once.
 *
 * Pure: the caller hands in the time. One owner. */
#ifndef DUGNAD_PROTO_DOOR_BUCKET_H
#define DUGNAD_PROTO_DOOR_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { DOOR_BUCKET_UNIT = 1000 }; /* of a token: what one a second makes in a millisecond */

struct door_bucket {
    uint64_t used_units; /* of the burst; it empties by itself */
    uint64_t at_ms;
};

/* Takes one; false: none is left, and nothing is taken. Rates and bursts below 2^32. */
static inline bool door_bucket_take(struct door_bucket *self, uint64_t per_s, uint64_t burst,
                                    uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > self->at_ms ? now_ms - self->at_ms : 0;
    uint64_t full_units = burst * DOOR_BUCKET_UNIT;
    /* What a long time forgives is not multiplied out: it could overflow. */
    bool all = passed_ms > full_units;
    uint64_t forgiven = all ? self->used_units : passed_ms * per_s;
    self->used_units -= forgiven < self->used_units ? forgiven : self->used_units;
    self->at_ms = now_ms;
    if (self->used_units + DOOR_BUCKET_UNIT > full_units) {
        return false;
    }
    self->used_units += DOOR_BUCKET_UNIT;
    return true;
}

#endif
