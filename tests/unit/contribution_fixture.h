/* contribution_fixture - encoded contributions of random values, and their central exact sum. */
#ifndef DUGNAD_TESTS_UNIT_CONTRIBUTION_FIXTURE_H
#define DUGNAD_TESTS_UNIT_CONTRIBUTION_FIXTURE_H

#include "common/random.h"
#include "proto/codec/chunks.h"
#include "proto/codec/exact_sum.h"
#include "tests/unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct contribution {
    enum codec codec;
    uint64_t tokens;
    size_t size_bytes;
    uint8_t *data;
};

/* Normal values of widely different sizes; the caller owns contribution->data. */
static inline struct contribution contribution_make(struct random *random, enum codec codec,
                                                    const struct exact_grid *grid,
                                                    size_t value_count, uint64_t tokens)
{
    struct contribution self = {
        .codec = codec, .tokens = tokens, .size_bytes = codec_encoded_bytes(codec, value_count)};
    float *values = malloc(value_count * sizeof *values);
    self.data = malloc(self.size_bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(values);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self.data);
    for (size_t i = 0; i < value_count; i++) {
        uint64_t bits = random_next(random);
        float size = ldexpf(1.0F, (int)(i / 512 % 30) - 20);
        values[i] = ((float)(bits >> 40) - 0x1p23F) * 0x1p-23F * size;
    }
    CU_ASSERT_EQUAL_FATAL(codec_encode(codec, -grid->shift, values, value_count, self.data),
                          STATUS_OK);
    free(values);
    return self;
}

/* Where a chunk lies in the encoding, and its bytes. */
static inline const uint8_t *contribution_chunk(const struct contribution *self, size_t value_count,
                                                uint32_t chunk, size_t *size_bytes)
{
    *size_bytes = codec_encoded_bytes(self->codec, chunks_values(value_count, chunk));
    return self->data + chunk * codec_encoded_bytes(self->codec, CODEC_CHUNK_VALUES);
}

/* Overwrites one value of a chunk with what every check refuses. */
static inline void contribution_spoil(struct contribution *self, uint32_t chunk)
{
    uint8_t *data = self->data + chunk * codec_encoded_bytes(self->codec, CODEC_CHUNK_VALUES);
    memset(data, 0xff, 4); /* fp32 and bf16: NaN; mx: an exponent that is not allowed */
}

#endif
