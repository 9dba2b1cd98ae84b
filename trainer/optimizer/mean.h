/* mean - the mean gradient of a step and the encoding of it that a journal holds. Private to
 * trainer/optimizer.
 *
 * What the optimizer is given is exactly what the encoding holds, so a step can be made again from
 * the encoding alone:
 *
 *   fp32  the values as they are; the encoding is their own bytes
 *   bf16  rounded; nothing is carried over
 *   mx8   the values and what was left of the steps before, encoded; and behind it, encoded once
 * more, what is left now: error feedback (Seide et al., 1-Bit SGD, 2014) whose state follows from
 *         the encoding too
 *
 * Ranges [first, first + count) begin and end at multiples of MEAN_BLOCK_VALUES or at the vector's
 * end. Pure; disjoint ranges are thread-safe. */
#ifndef DUGNAD_TRAINER_OPTIMIZER_MEAN_H
#define DUGNAD_TRAINER_OPTIMIZER_MEAN_H

#include "proto/codec/codec.h"

enum { MEAN_BLOCK_VALUES = 4096 };

struct mean {
    enum codec codec;
    size_t value_count;
    float *values;    /* (value_count) */
    float *residual;  /* (value_count), what mx8 left; NULL with another codec */
    uint8_t *encoded; /* (mean_encoded_bytes); NULL with fp32 */
};

/* All zero; may be ended with mean_deinit also after an error. Errors: NO_MEMORY. */
MUST_CHECK enum status mean_init(struct mean *self, size_t value_count, enum codec codec);
void mean_deinit(struct mean *self);

/* Another codec: the residual of mx8 is dropped, or begins at zero. Nothing changes with the same
 * one, or after an error. Errors: NO_MEMORY. */
MUST_CHECK enum status mean_change(struct mean *self, enum codec codec);

size_t mean_encoded_bytes(enum codec codec, size_t value_count);

/* Bytes that mean_init allocates. */
uint64_t mean_memory_bytes(enum codec codec, size_t value_count);

/* The encoding of the latest step, shape (mean_encoded_bytes). */
const uint8_t *mean_encoded(const struct mean *self);

/* Values and residual become zero; any range. */
void mean_clear(struct mean *self, size_t first, size_t count);

/* Encodes what is in `values` and leaves there what the encoding holds. When a value with its
 * residual is not finite, its block stays as it is, for the norm to tell. */
void mean_encode(struct mean *self, size_t first, size_t count);

/* Checks a range of a whole encoding from outside. Errors: OUT_OF_RANGE, without a sentence of its
 * own beyond codec_check's. */
MUST_CHECK enum status mean_check(const struct mean *self, const uint8_t *encoded, size_t first,
                                  size_t count);

/* Takes a range of a whole encoding that passed mean_check. */
void mean_load(struct mean *self, const uint8_t *encoded, size_t first, size_t count);

#endif
