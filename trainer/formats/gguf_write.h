/* gguf_write - the container of llama.cpp: keys with values, then tensors.
 *
 * GGUF version 3, little-endian: magic, counts, keys, tensor names with dimensions and places,
 * then the data, each tensor at a multiple of 32 bytes. Keys and tensors are announced first;
 * the data streams, in the order of the announcements, into a file that appears whole or not at
 * all. Source: docs/gguf.md of github.com/ggml-org/ggml. One owner; not thread-safe. */
#ifndef DUGNAD_TRAINER_FORMATS_GGUF_WRITE_H
#define DUGNAD_TRAINER_FORMATS_GGUF_WRITE_H

#include "common/status.h"
#include "trainer/formats/ggml_type.h"

enum { GGUF_ALIGN = 32, GGUF_NAME_MAX = 64 /* bytes of a tensor's name with its NUL */ };

struct gguf;

/* The caller owns *out. Errors: NO_MEMORY. */
MUST_CHECK enum status gguf_new(struct gguf **out);
void gguf_free(struct gguf *self); /* NULL is allowed; a file that was not committed is removed. */

/* A key with its value. These do not fail: memory that ran out is reported by gguf_begin. */
void gguf_set_u32(struct gguf *self, const char *key, uint32_t value);
void gguf_set_f32(struct gguf *self, const char *key, float value);
void gguf_set_flag(struct gguf *self, const char *key, bool value);
void gguf_set_text(struct gguf *self, const char *key, const char *value);

/* A key whose value is a list: exactly `count` calls of the matching push follow. */
void gguf_set_texts(struct gguf *self, const char *key, uint64_t count);
void gguf_push_text(struct gguf *self, const uint8_t *bytes, size_t length);
void gguf_set_i32s(struct gguf *self, const char *key, uint64_t count);
void gguf_push_i32(struct gguf *self, int32_t value);

/* Announces a tensor of `rows` rows with `columns` values each; rows 0 makes it a vector. */
void gguf_add_tensor(struct gguf *self, const char *name, enum ggml_type type, uint64_t columns,
                     uint64_t rows);

/* Writes all but the data. Errors: NO_MEMORY, USAGE, CANNOT_CREATE, IO. */
MUST_CHECK enum status gguf_begin(struct gguf *self, const char *path);

/* Encodes and appends the next row, shape (columns), of the next tensor.
 * Errors: IO, NO_MEMORY, OUT_OF_RANGE (a value is too large for the type). */
MUST_CHECK enum status gguf_write_row(struct gguf *self, const float *values);

/* All rows were written (CHECKed): gives the file its name. Errors: IO, CANNOT_CREATE. */
MUST_CHECK enum status gguf_commit(struct gguf *self);

/* Of the whole file; valid after gguf_begin. */
uint64_t gguf_size_bytes(const struct gguf *self);

#endif
