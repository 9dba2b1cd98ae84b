#include "trainer/formats/gguf_write.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/formats/output_file.h"

#include <stdlib.h>
#include <string.h>

enum { GGUF_VERSION = 3, CAPACITY_FIRST = 4096 };

/* The numbers of value types. */
enum value_type {
    VALUE_U32 = 4,
    VALUE_I32 = 5,
    VALUE_F32 = 6,
    VALUE_FLAG = 7,
    VALUE_TEXT = 8,
    VALUE_LIST = 9
};

struct buffer {
    uint8_t *data;
    size_t size_bytes;
    size_t capacity;
    bool failed; /* memory ran out */
};

struct gguf_tensor {
    char name[GGUF_NAME_MAX];
    enum ggml_type type;
    uint64_t columns;
    uint64_t rows; /* 1 for a vector */
    bool vector;
};

struct gguf {
    struct buffer keys;
    uint64_t key_count;
    struct gguf_tensor *tensors;
    size_t tensor_count;
    bool failed; /* memory for tensors ran out */
    struct output_file file;
    uint64_t size_bytes;
    uint8_t *row;  /* the encoded one */
    size_t tensor; /* to be written next */
    uint64_t row_index;
};

static void append(struct buffer *self, const void *data, size_t size_bytes)
{
    if (!self->failed && size_bytes > self->capacity - self->size_bytes) {
        size_t capacity = self->capacity > 0 ? self->capacity : CAPACITY_FIRST;
        while (size_bytes > capacity - self->size_bytes) {
            capacity *= 2;
        }
        uint8_t *grown = realloc(self->data, capacity);
        self->failed = grown == NULL;
        self->data = grown != NULL ? grown : self->data;
        self->capacity = grown != NULL ? capacity : self->capacity;
    }
    if (!self->failed && size_bytes > 0) {
        memcpy(self->data + self->size_bytes, data, size_bytes);
        self->size_bytes += size_bytes;
    }
}

static void append_u32(struct buffer *self, uint32_t value)
{
    append(self, &value, sizeof(value));
}

static void append_u64(struct buffer *self, uint64_t value)
{
    append(self, &value, sizeof(value));
}

static void append_text(struct buffer *self, const void *bytes, size_t length)
{
    append_u64(self, length);
    append(self, bytes, length);
}

static uint64_t align(uint64_t size_bytes)
{
    return (size_bytes + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
}

static uint64_t size_of(const struct gguf_tensor *tensor)
{
    return tensor->rows * ggml_row_bytes(tensor->type, (size_t)tensor->columns);
}

enum status gguf_new(struct gguf **out)
{
    *out = calloc(1, sizeof(**out));
    return *out != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory to make a GGUF file");
}

void gguf_free(struct gguf *self)
{
    if (self != NULL) {
        output_file_abandon(&self->file);
        free(self->keys.data);
        free(self->tensors);
        free(self->row);
        free(self);
    }
}

static void set(struct gguf *self, const char *key, enum value_type type)
{
    append_text(&self->keys, key, strlen(key));
    append_u32(&self->keys, type);
    self->key_count++;
}

void gguf_set_u32(struct gguf *self, const char *key, uint32_t value)
{
    set(self, key, VALUE_U32);
    append_u32(&self->keys, value);
}

void gguf_set_f32(struct gguf *self, const char *key, float value)
{
    set(self, key, VALUE_F32);
    append(&self->keys, &value, sizeof(value));
}

void gguf_set_flag(struct gguf *self, const char *key, bool value)
{
    uint8_t byte = value;
    set(self, key, VALUE_FLAG);
    append(&self->keys, &byte, sizeof(byte));
}

void gguf_set_text(struct gguf *self, const char *key, const char *value)
{
    set(self, key, VALUE_TEXT);
    append_text(&self->keys, value, strlen(value));
}

static void set_list(struct gguf *self, const char *key, enum value_type type, uint64_t count)
{
    set(self, key, VALUE_LIST);
    append_u32(&self->keys, type);
    append_u64(&self->keys, count);
}

void gguf_set_texts(struct gguf *self, const char *key, uint64_t count)
{
    set_list(self, key, VALUE_TEXT, count);
}

void gguf_push_text(struct gguf *self, const uint8_t *bytes, size_t length)
{
    append_text(&self->keys, bytes, length);
}

void gguf_set_i32s(struct gguf *self, const char *key, uint64_t count)
{
    set_list(self, key, VALUE_I32, count);
}

void gguf_push_i32(struct gguf *self, int32_t value)
{
    append(&self->keys, &value, sizeof(value));
}

void gguf_add_tensor(struct gguf *self, const char *name, enum ggml_type type, uint64_t columns,
                     uint64_t rows)
{
    CHECK(strlen(name) < GGUF_NAME_MAX && columns > 0);
    struct gguf_tensor *grown =
        realloc(self->tensors, (self->tensor_count + 1) * sizeof(*self->tensors));
    if (grown == NULL) {
        self->failed = true;
        return;
    }
    self->tensors = grown;
    struct gguf_tensor *tensor = &grown[self->tensor_count++];
    *tensor = (struct gguf_tensor){
        .type = type, .columns = columns, .rows = rows > 0 ? rows : 1, .vector = rows == 0};
    memcpy(tensor->name, name, strlen(name));
}

/* Names, dimensions and places; self->size_bytes becomes the length of the data. */
static void append_tensors(struct gguf *self, struct buffer *head)
{
    self->size_bytes = 0;
    for (size_t i = 0; i < self->tensor_count; i++) {
        const struct gguf_tensor *tensor = &self->tensors[i];
        append_text(head, tensor->name, strlen(tensor->name));
        append_u32(head, tensor->vector ? 1 : 2);
        append_u64(head, tensor->columns);
        if (!tensor->vector) {
            append_u64(head, tensor->rows);
        }
        append_u32(head, tensor->type);
        append_u64(head, self->size_bytes);
        self->size_bytes += align(size_of(tensor));
    }
}

static enum status pad(struct gguf *self, uint64_t size_bytes)
{
    static const uint8_t ZEROS[GGUF_ALIGN] = {0};
    return output_file_write(&self->file, ZEROS, (size_t)(align(size_bytes) - size_bytes));
}

static enum status write_head(struct gguf *self, const struct buffer *head)
{
    enum status status = output_file_write(&self->file, head->data, head->size_bytes);
    return status == STATUS_OK ? pad(self, head->size_bytes) : status;
}

enum status gguf_begin(struct gguf *self, const char *path)
{
    struct buffer head = {0};
    size_t row_bytes_max = 1;
    for (size_t i = 0; i < self->tensor_count; i++) {
        size_t bytes = ggml_row_bytes(self->tensors[i].type, (size_t)self->tensors[i].columns);
        row_bytes_max = bytes > row_bytes_max ? bytes : row_bytes_max;
    }
    append(&head, "GGUF", 4);
    append_u32(&head, GGUF_VERSION);
    append_u64(&head, self->tensor_count);
    append_u64(&head, self->key_count);
    append(&head, self->keys.data, self->keys.size_bytes);
    append_tensors(self, &head);
    self->row = malloc(row_bytes_max);
    enum status status = STATUS_OK;
    if (head.failed || self->keys.failed || self->failed || self->row == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory for the head of %s", path);
    }
    if (status == STATUS_OK) {
        self->size_bytes += align(head.size_bytes);
        status = output_file_begin(&self->file, path);
    }
    if (status == STATUS_OK) {
        status = write_head(self, &head);
    }
    free(head.data);
    return status;
}

enum status gguf_write_row(struct gguf *self, const float *values)
{
    CHECK(self->tensor < self->tensor_count);
    const struct gguf_tensor *tensor = &self->tensors[self->tensor];
    if (!ggml_row_encode(tensor->type, values, (size_t)tensor->columns, self->row)) {
        return fault(STATUS_OUT_OF_RANGE,
                     "tensor %s holds values that are too large for %s; choose another --dtype",
                     tensor->name, ggml_type_name(tensor->type));
    }
    enum status status = output_file_write(&self->file, self->row,
                                           ggml_row_bytes(tensor->type, (size_t)tensor->columns));
    if (status == STATUS_OK && ++self->row_index == tensor->rows) {
        self->row_index = 0;
        self->tensor++;
        status = pad(self, size_of(tensor));
    }
    return status;
}

enum status gguf_commit(struct gguf *self)
{
    CHECK(self->tensor == self->tensor_count);
    return output_file_commit(&self->file);
}

uint64_t gguf_size_bytes(const struct gguf *self)
{
    return self->size_bytes;
}
