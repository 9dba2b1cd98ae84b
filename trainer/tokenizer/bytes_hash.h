/* bytes_hash - a fast hash of short texts, for tables in memory. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_TOKENIZER_BYTES_HASH_H
#define DUGNAD_TRAINER_TOKENIZER_BYTES_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t bytes_hash(const uint8_t *bytes, size_t length)
{
    const uint64_t multiplier = 0x9e3779b97f4a7c15U;
    uint64_t hash = length * multiplier;
    uint64_t word = 0;
    for (; length >= sizeof(word); bytes += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = (hash ^ word) * multiplier;
        hash ^= hash >> 32;
    }
    word = 0;
    for (size_t i = 0; i < length; i++) {
        word = word << 8 | bytes[i];
    }
    hash = (hash ^ word) * multiplier;
    return hash ^ hash >> 29;
}

#endif
