#include "trainer/optimizer/mean.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/optimizer/values.h"

_Static_assert(MEAN_BLOCK_VALUES % CODEC_BLOCK_VALUES == 0, "ranges hold whole codec blocks");

/* mx8 is two encodings, one behind the other: the values and the residual. */
static size_t part_count(enum codec codec)
{
    return codec == CODEC_MX8 ? 2 : 1;
}

/* Where the range that begins at `first` begins in one part of an encoding. */
static size_t place(const struct mean *self, size_t part, size_t first)
{
    return part * codec_encoded_bytes(self->codec, self->value_count) +
           codec_encoded_bytes(self->codec, first);
}

enum status mean_init(struct mean *self, size_t value_count, enum codec codec)
{
    *self = (struct mean){.codec = CODEC_FP32, .value_count = value_count};
    self->values = values_new(value_count);
    return self->values != NULL ? mean_change(self, codec)
                                : fault(STATUS_NO_MEMORY, "no memory for the mean gradient");
}

void mean_deinit(struct mean *self)
{
    free(self->values);
    free(self->residual);
    free(self->encoded);
    *self = (struct mean){0};
}

enum status mean_change(struct mean *self, enum codec codec)
{
    if (codec == self->codec) {
        return STATUS_OK;
    }
    uint8_t *encoded = NULL;
    float *residual = NULL;
    bool complete = true;
    if (codec != CODEC_FP32) {
        encoded = calloc(1, mean_encoded_bytes(codec, self->value_count));
        complete = encoded != NULL;
    }
    if (codec == CODEC_MX8) {
        residual = values_new(self->value_count);
        complete = complete && residual != NULL;
    }
    if (!complete) {
        free(encoded);
        free(residual);
        return fault(STATUS_NO_MEMORY, "no memory to encode the mean gradient as %s; use fp32",
                     codec_name(codec));
    }
    free(self->encoded);
    free(self->residual);
    self->encoded = encoded;
    self->residual = residual;
    self->codec = codec;
    return STATUS_OK;
}

size_t mean_encoded_bytes(enum codec codec, size_t value_count)
{
    return part_count(codec) * codec_encoded_bytes(codec, value_count);
}

uint64_t mean_memory_bytes(enum codec codec, size_t value_count)
{
    uint64_t bytes = (uint64_t)value_count * sizeof(float);
    bytes += codec == CODEC_FP32 ? 0 : mean_encoded_bytes(codec, value_count);
    return bytes + (codec == CODEC_MX8 ? (uint64_t)value_count * sizeof(float) : 0);
}

const uint8_t *mean_encoded(const struct mean *self)
{
    return self->encoded != NULL ? self->encoded : (const uint8_t *)self->values;
}

void mean_clear(struct mean *self, size_t first, size_t count)
{
    memset(self->values + first, 0, count * sizeof *self->values);
    if (self->residual != NULL) {
        memset(self->residual + first, 0, count * sizeof *self->residual);
    }
}

/* From the encoding to what the optimizer is given and what the next step is. */
static void decode(struct mean *self, size_t first, size_t count)
{
    mean_clear(self, first, count);
    codec_add(self->codec, self->encoded + place(self, 0, first), count, self->values + first);
    if (self->residual != NULL) {
        codec_add(self->codec, self->encoded + place(self, 1, first), count,
                  self->residual + first);
    }
}

static void encode_block(struct mean *self, size_t first, size_t count)
{
    float rest[MEAN_BLOCK_VALUES];
    float *values = self->values + first;
    for (size_t i = 0; self->residual != NULL && i < count; i++) {
        values[i] += self->residual[first + i];
    }
    memcpy(rest, values, count * sizeof *values);
    for (size_t part = 0; part < part_count(self->codec); part++) {
        uint8_t *out = self->encoded + place(self, part, first);
        if (codec_encode(self->codec, CODEC_EXPONENT_ANY, rest, count, out) != STATUS_OK) {
            return;
        }
    }
    decode(self, first, count);
}

void mean_encode(struct mean *self, size_t first, size_t count)
{
    size_t end = self->encoded != NULL ? first + count : first;
    for (size_t block = first; block < end; block += MEAN_BLOCK_VALUES) {
        size_t left = end - block;
        encode_block(self, block, left < MEAN_BLOCK_VALUES ? left : MEAN_BLOCK_VALUES);
    }
}

enum status mean_check(const struct mean *self, const uint8_t *encoded, size_t first, size_t count)
{
    size_t size_bytes = codec_encoded_bytes(self->codec, count);
    enum status status = STATUS_OK;
    for (size_t part = 0; part < part_count(self->codec) && status == STATUS_OK; part++) {
        status = codec_check(self->codec, encoded + place(self, part, first), size_bytes, count);
    }
    return status;
}

void mean_load(struct mean *self, const uint8_t *encoded, size_t first, size_t count)
{
    uint8_t *own = self->encoded != NULL ? self->encoded : (uint8_t *)self->values;
    for (size_t part = 0; part < part_count(self->codec) && encoded != own; part++) {
        memcpy(own + place(self, part, first), encoded + place(self, part, first),
               codec_encoded_bytes(self->codec, count));
    }
    if (self->encoded != NULL) {
        decode(self, first, count);
    }
}
