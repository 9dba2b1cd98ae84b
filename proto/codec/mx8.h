/* mx8 - the block codec behind codec.h: 32 values share one power-of-two exponent.
 *
 * The unit of a block is 2^(e - 133), so a value is q units. Internal to the codecs; block_count
 * blocks of CODEC_BLOCK_VALUES values and CODEC_MX8_BLOCK_BYTES bytes. Pure; thread-safe. */
#ifndef DUGNAD_PROTO_CODEC_MX8_H
#define DUGNAD_PROTO_CODEC_MX8_H

#include "proto/codec/codec.h"

#include <stdbool.h>

enum { MX8_UNIT_BIAS = 133, MX8_EXPONENT_MAX = 254, MX8_Q_MAX = 127 };

/* Finite values only; the residual stays in `values`. */
void mx8_encode(int lsb_exponent_min, float *values, size_t block_count, uint8_t *out);

/* The largest |q| of a block. */
unsigned mx8_block_max(const uint8_t *block);

/* No block has e = 255 or q = -128. */
bool mx8_valid(const uint8_t *data, size_t block_count);

void mx8_add(const uint8_t *data, size_t block_count, float *params);

#endif
