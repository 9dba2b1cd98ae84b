/* little_endian - numbers of some bytes in the order of our messages, whatever the machine's.
 *
 * Pure; thread-safe. */
#ifndef DUGNAD_PROTO_LITTLE_ENDIAN_H
#define DUGNAD_PROTO_LITTLE_ENDIAN_H

#include <stdint.h>

/* `bytes` is at most 8. */
static inline void little_endian_put(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> 8U * i);
    }
}

static inline uint64_t little_endian_get(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << 8U * i;
    }
    return value;
}

#endif
