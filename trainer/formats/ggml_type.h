/* ggml_type - the number formats of tensors in a GGUF file, and rows of values in them.
 *
 * q8_0 has blocks of 32 values: a float16 scale, then 32 signed bytes. Pure; thread-safe. */
#ifndef DUGNAD_TRAINER_FORMATS_GGML_TYPE_H
#define DUGNAD_TRAINER_FORMATS_GGML_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers that stand in the file. */
enum ggml_type { GGML_F32 = 0, GGML_F16 = 1, GGML_Q8_0 = 8, GGML_BF16 = 30 };

enum { GGML_BLOCK_VALUES = 32, GGML_BLOCK_BYTES = 34 /* of q8_0 */ };

/* "f32", "f16", "bf16", "q8_0". */
const char *ggml_type_name(enum ggml_type type);

/* Bytes of a row of `count` values; for q8_0 a multiple of GGML_BLOCK_VALUES (CHECKed). */
size_t ggml_row_bytes(enum ggml_type type, size_t count);

/* Encodes a row of finite values, rounded to nearest, to `out`, ggml_row_bytes() of them. False
 * when one is too large for the type; `out` is then of no use. */
bool ggml_row_encode(enum ggml_type type, const float *values, size_t count, uint8_t *out);

#endif
