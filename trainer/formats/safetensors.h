/* safetensors - the tensor file of the Hugging Face ecosystem, read strictly.
 *
 * u64 header length, JSON header, row-major little-endian data that tiles to the end of the
 * file. Every error leaves a sentence that names the file. One reader per thread. */
#ifndef DUGNAD_TRAINER_FORMATS_SAFETENSORS_H
#define DUGNAD_TRAINER_FORMATS_SAFETENSORS_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SAFETENSORS_RANK_MAX = 8,
    SAFETENSORS_NAME_MAX = 256,
    SAFETENSORS_HEADER_MAX = 100000000,
    SAFETENSORS_TENSORS_MAX = 65536
};

enum tensor_dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_OTHER };

/* As config.json names it: "float32", "float16", "bfloat16"; "other". */
const char *tensor_dtype_name(enum tensor_dtype dtype);

struct safetensors_entry {
    char name[SAFETENSORS_NAME_MAX];
    enum tensor_dtype dtype;
    uint32_t rank;
    uint64_t shape[SAFETENSORS_RANK_MAX];
    const uint8_t *data; /* inside the mapped file; valid until close */
    size_t size_bytes;
};

struct safetensors;

/* Maps the file and checks its header: no gaps, overlaps, short or trailing data, sizes that
 * match dtype and shape. Errors: NO_INPUT, BAD_DATA, NO_MEMORY. */
MUST_CHECK enum status safetensors_open(const char *path, struct safetensors **out);
void safetensors_close(struct safetensors *self); /* NULL is allowed. */

size_t safetensors_count(const struct safetensors *self);
const struct safetensors_entry *safetensors_entry(const struct safetensors *self, size_t index);
/* NULL when there is no such tensor. */
const struct safetensors_entry *safetensors_find(const struct safetensors *self, const char *name);

/* Copies a tensor as float32 (F16 and BF16 are widened exactly) to out, shape (count).
 * Errors: BAD_SHAPE (the entry does not hold `count` values), BAD_DATA (dtype). */
MUST_CHECK enum status safetensors_read_f32(const struct safetensors *self,
                                            const struct safetensors_entry *entry, float *out,
                                            size_t count);

/* One tensor to write; everything is borrowed for the call. */
struct safetensors_output {
    const char *name;
    uint32_t rank;
    enum tensor_dtype dtype; /* in the file, rounded to nearest; not DTYPE_OTHER (CHECKed) */
    uint64_t shape[SAFETENSORS_RANK_MAX];
    const float *values;
    size_t count;
};

/* Writes a file with "__metadata__":{"format":"pt"}, header padded to 8 bytes, atomically.
 * Streams: no second copy of the tensors in memory. Errors: CANNOT_CREATE, IO, NO_MEMORY,
 * OUT_OF_RANGE (a finite value is beyond the type). */
MUST_CHECK enum status safetensors_write(const char *path, const struct safetensors_output *tensors,
                                         size_t count);

#endif
