/* codec - gradient and update encodings.
 *
 *   fp32  4 bytes a value, little-endian IEEE float32.
 *   bf16  2 bytes a value, little-endian: the upper half of the float32, rounded to nearest, ties
 * to even. Values that would round to infinity saturate. mx8   blocks of 32 values: one shared
 * power-of-two exponent byte e, then 32 signed bytes q; value = q / 64 * 2^(e - 127) (MXINT8 of the
 * OCP Microscaling formats 1.0). 8.25 bits a value. e = 255 and q = -128 are not allowed, so every
 * value is finite and the range is symmetric; the encoder writes a block of zeros as e = 0.
 *
 * Encoders that lose information leave the residual behind, for error feedback (Seide et al.,
 * 1-Bit SGD, 2014). The size of an encoding is fixed by the count, so block i of the values is
 * found at a fixed place. Pure; thread-safe on distinct data. */
#ifndef DUGNAD_PROTO_CODEC_CODEC_H
#define DUGNAD_PROTO_CODEC_CODEC_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of messages and files. */
enum codec { CODEC_FP32 = 1, CODEC_MX8 = 2, CODEC_BF16 = 3 };
enum { CODEC_BLOCK_VALUES = 32, CODEC_MX8_BLOCK_BYTES = 33 };
enum { CODEC_CHUNK_VALUES = 32768 };
/* No limit on how small an encoded block's exponent may be. */
enum { CODEC_EXPONENT_ANY = -1000 };

/* "fp32", "bf16" or "mx8". Errors: BAD_CONFIG with a sentence. */
MUST_CHECK enum status codec_from_name(const char *name, enum codec *out);
const char *codec_name(enum codec codec);

/* True when a number from outside is one of enum codec. */
static inline bool codec_is_known(uint64_t number)
{
    return number >= CODEC_FP32 && number <= CODEC_BF16;
}

/* value_count is a multiple of CODEC_BLOCK_VALUES. */
size_t codec_encoded_bytes(enum codec codec, size_t value_count);

/* Encodes values(value_count) and leaves the residual (value - decoded value) in their place.
 * lsb_exponent_min: no encoded value has a unit smaller than 2^lsb_exponent_min, so that it lies on
 * the grid of an exact sum; smaller blocks round to that unit (CODEC_EXPONENT_ANY: no limit; fp32
 * and bf16 ignore it; at most 121). Values too large for the encoding saturate; the rest stays in
 * the residual. Errors: OUT_OF_RANGE when a value is NaN or infinite; then nothing was
 * changed. */
MUST_CHECK enum status codec_encode(enum codec codec, int lsb_exponent_min, float *values,
                                    size_t value_count, uint8_t *out);

/* Checks an encoding from outside: length, every value finite, no e = 255 or q = -128.
 * Errors: BAD_SHAPE, OUT_OF_RANGE. */
MUST_CHECK enum status codec_check(enum codec codec, const uint8_t *data, size_t size_bytes,
                                   size_t value_count);

/* params += decoded values; `data` was checked. One rounding a value, the same on every machine. */
void codec_add(enum codec codec, const uint8_t *data, size_t value_count, float *params);

#endif
