/* gguf_fixture - a small strict reader of GGUF files, to look at what was written.
 *
 * Written from the format's description, not from the writer; every surprise fails the test. */
#ifndef DUGNAD_TESTS_UNIT_GGUF_FIXTURE_H
#define DUGNAD_TESTS_UNIT_GGUF_FIXTURE_H

#include "common/half.h"
#include "tests/unit/scratch.h"

enum { GGUF_KEYS_MAX = 64, GGUF_TENSORS_MAX = 64, GGUF_TEXT_MAX = 128 };

struct gguf_key {
    char name[GGUF_TEXT_MAX];
    uint32_t type;     /* of the value, or of a list's values */
    uint64_t count;    /* of a list; else 1 */
    const uint8_t *at; /* the first value */
};

struct gguf_entry {
    char name[GGUF_TEXT_MAX];
    uint32_t rank;
    uint64_t dims[2];
    uint32_t type;
    const uint8_t *data;
    size_t size_bytes;
};

struct gguf_file {
    uint8_t *bytes;
    size_t size_bytes;
    size_t at;
    size_t key_count;
    size_t tensor_count;
    struct gguf_key keys[GGUF_KEYS_MAX];
    struct gguf_entry tensors[GGUF_TENSORS_MAX];
};

static inline void gguf_take(struct gguf_file *self, void *out, size_t size_bytes)
{
    CU_ASSERT_TRUE_FATAL(size_bytes <= self->size_bytes - self->at);
    memcpy(out, self->bytes + self->at, size_bytes);
    self->at += size_bytes;
}

static inline uint32_t gguf_take_u32(struct gguf_file *self)
{
    uint32_t value;
    gguf_take(self, &value, sizeof value);
    return value;
}

static inline uint64_t gguf_take_u64(struct gguf_file *self)
{
    uint64_t value;
    gguf_take(self, &value, sizeof value);
    return value;
}

static inline void gguf_take_text(struct gguf_file *self, char out[GGUF_TEXT_MAX])
{
    uint64_t length = gguf_take_u64(self);
    CU_ASSERT_TRUE_FATAL(length < GGUF_TEXT_MAX);
    gguf_take(self, out, length);
    out[length] = '\0';
    CU_ASSERT_EQUAL(strlen(out), length);
}

static inline void gguf_skip_value(struct gguf_file *self, uint32_t type)
{
    char text[GGUF_TEXT_MAX];
    uint8_t flag = 0;
    switch (type) {
    case 4:
    case 5:
    case 6:
        (void)gguf_take_u32(self);
        return;
    case 7:
        gguf_take(self, &flag, 1);
        CU_ASSERT_TRUE(flag <= 1);
        return;
    case 8:
        gguf_take_text(self, text);
        return;
    default:
        CU_FAIL_FATAL("a type of value that is not expected");
    }
}

static inline void gguf_read_key(struct gguf_file *self, struct gguf_key *out)
{
    gguf_take_text(self, out->name);
    out->type = gguf_take_u32(self);
    out->count = 1;
    if (out->type == 9) {
        out->type = gguf_take_u32(self);
        out->count = gguf_take_u64(self);
    }
    out->at = self->bytes + self->at;
    for (uint64_t i = 0; i < out->count; i++) {
        gguf_skip_value(self, out->type);
    }
}

static inline size_t gguf_bytes_of(uint32_t type, uint64_t columns)
{
    CU_ASSERT_TRUE_FATAL(type == 0 || type == 1 || type == 30 || type == 8);
    CU_ASSERT_TRUE_FATAL(type != 8 || columns % 32 == 0);
    return type == 8 ? columns / 32 * 34 : columns * (type == 0 ? 4 : 2);
}

/* Returns the tensor's place in the data. */
static inline uint64_t gguf_read_tensor(struct gguf_file *self, struct gguf_entry *out)
{
    gguf_take_text(self, out->name);
    CU_ASSERT_TRUE(strlen(out->name) < 64);
    out->rank = gguf_take_u32(self);
    CU_ASSERT_TRUE_FATAL(out->rank == 1 || out->rank == 2);
    out->dims[0] = gguf_take_u64(self);
    out->dims[1] = out->rank == 2 ? gguf_take_u64(self) : 1;
    out->type = gguf_take_u32(self);
    out->size_bytes = gguf_bytes_of(out->type, out->dims[0]) * out->dims[1];
    return gguf_take_u64(self);
}

/* End it with gguf_file_deinit. */
static inline void gguf_file_read(struct gguf_file *self, const char *name)
{
    char magic[4];
    uint64_t places[GGUF_TENSORS_MAX];
    *self = (struct gguf_file){0};
    self->bytes = scratch_read(name, &self->size_bytes);
    gguf_take(self, magic, sizeof magic);
    CU_ASSERT_EQUAL_FATAL(memcmp(magic, "GGUF", 4), 0);
    CU_ASSERT_EQUAL_FATAL(gguf_take_u32(self), 3);
    self->tensor_count = gguf_take_u64(self);
    self->key_count = gguf_take_u64(self);
    CU_ASSERT_TRUE_FATAL(self->tensor_count <= GGUF_TENSORS_MAX);
    CU_ASSERT_TRUE_FATAL(self->key_count <= GGUF_KEYS_MAX);
    for (size_t i = 0; i < self->key_count; i++) {
        gguf_read_key(self, &self->keys[i]);
    }
    for (size_t i = 0; i < self->tensor_count; i++) {
        places[i] = gguf_read_tensor(self, &self->tensors[i]);
    }
    size_t begin = (self->at + 31) / 32 * 32;
    size_t expected = 0; /* tensors follow each other, each at a multiple of 32 */
    for (size_t i = 0; i < self->tensor_count; i++) {
        CU_ASSERT_EQUAL_FATAL(places[i], expected);
        self->tensors[i].data = self->bytes + begin + expected;
        expected = (expected + self->tensors[i].size_bytes + 31) / 32 * 32;
    }
    CU_ASSERT_EQUAL_FATAL(self->size_bytes, begin + expected);
}

static inline void gguf_file_deinit(struct gguf_file *self)
{
    free(self->bytes);
}

static inline const struct gguf_key *gguf_key(const struct gguf_file *self, const char *name)
{
    const struct gguf_key *found = NULL;
    for (size_t i = 0; i < self->key_count; i++) {
        if (strcmp(self->keys[i].name, name) == 0) {
            CU_ASSERT_PTR_NULL(found); /* once only */
            found = &self->keys[i];
        }
    }
    return found;
}

static inline uint32_t gguf_u32(const struct gguf_file *self, const char *name)
{
    uint32_t value = 0;
    const struct gguf_key *key = gguf_key(self, name);
    CU_ASSERT_TRUE_FATAL(key != NULL && key->type == 4);
    memcpy(&value, key->at, sizeof value);
    return value;
}

/* Text number `index` of a list (or 0 of a single one). */
static inline void gguf_text(const struct gguf_file *self, const char *name, uint64_t index,
                             char out[GGUF_TEXT_MAX])
{
    const struct gguf_key *key = gguf_key(self, name);
    CU_ASSERT_TRUE_FATAL(key != NULL && key->type == 8 && index < key->count);
    struct gguf_file cursor = {.bytes = self->bytes,
                               .size_bytes = self->size_bytes,
                               .at = (size_t)(key->at - self->bytes)};
    for (uint64_t i = 0; i <= index; i++) {
        gguf_take_text(&cursor, out);
    }
}

static inline const struct gguf_entry *gguf_entry(const struct gguf_file *self, const char *name)
{
    const struct gguf_entry *found = NULL;
    for (size_t i = 0; i < self->tensor_count; i++) {
        if (strcmp(self->tensors[i].name, name) == 0) {
            CU_ASSERT_PTR_NULL(found);
            found = &self->tensors[i];
        }
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

/* Value `column` of row `row`. */
static inline float gguf_value(const struct gguf_entry *entry, uint64_t row, uint64_t column)
{
    const uint8_t *data = entry->data + row * gguf_bytes_of(entry->type, entry->dims[0]);
    uint16_t half = 0;
    float value = 0;
    if (entry->type == 0) {
        memcpy(&value, data + column * 4, sizeof value);
        return value;
    }
    if (entry->type == 8) {
        const uint8_t *block = data + column / 32 * 34;
        memcpy(&half, block, sizeof half);
        return half_from_f16(half) * (float)(int8_t)block[2 + column % 32];
    }
    memcpy(&half, data + column * 2, sizeof half);
    return entry->type == 1 ? half_from_f16(half) : half_from_bf16(half);
}

#endif
