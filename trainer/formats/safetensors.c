/* The strict reader. The header comes from a file that anybody may have made: every number in it
 * is checked before it is used. */
#include "trainer/formats/safetensors.h"

#include "common/check.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/half.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensor data is copied as little-endian float32");

enum {
    LENGTH_BYTES = 8,
    VALUES_MAX = 16 * SAFETENSORS_TENSORS_MAX /* a tensor of the highest rank has 14 */
};

struct name_slot {
    const struct safetensors_entry *entry;
};

struct safetensors {
    char path[FILES_PATH_MAX];
    struct file_view view;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    struct safetensors_entry *entries; /* in file order */
    size_t count;
    struct name_slot *by_name; /* sorted, for find */
};

struct dtype_facts {
    const char *name;
    enum tensor_dtype dtype;
    uint64_t size_bytes;
};

static const struct dtype_facts DTYPES[] = {
    {"F32", DTYPE_F32, 4},   {"F16", DTYPE_F16, 2},       {"BF16", DTYPE_BF16, 2},
    {"F64", DTYPE_OTHER, 8}, {"BOOL", DTYPE_OTHER, 1},    {"U8", DTYPE_OTHER, 1},
    {"I8", DTYPE_OTHER, 1},  {"F8_E5M2", DTYPE_OTHER, 1}, {"F8_E4M3", DTYPE_OTHER, 1},
    {"I16", DTYPE_OTHER, 2}, {"U16", DTYPE_OTHER, 2},     {"I32", DTYPE_OTHER, 4},
    {"U32", DTYPE_OTHER, 4}, {"I64", DTYPE_OTHER, 8},     {"U64", DTYPE_OTHER, 8},
};

const char *tensor_dtype_name(enum tensor_dtype dtype)
{
    static const char *const NAMES[] = {
        [DTYPE_F32] = "float32", [DTYPE_F16] = "float16", [DTYPE_BF16] = "bfloat16"};
    return (unsigned)dtype < DTYPE_OTHER ? NAMES[dtype] : "other";
}

static const struct dtype_facts *find_dtype(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof(DTYPES) / sizeof(DTYPES[0]); i++) {
        if (strcmp(DTYPES[i].name, name) == 0) {
            return &DTYPES[i];
        }
    }
    return NULL;
}

/* Names end up in sentences on a terminal: no control characters. */
static bool name_is_fine(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= SAFETENSORS_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte < 0x20 || byte == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool read_size(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Fills rank and shape; *out_bytes is what the shape needs. */
static enum status parse_shape(const struct safetensors *self, const json_t *shape,
                               uint64_t value_bytes, struct safetensors_entry *entry,
                               uint64_t *out_bytes)
{
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK_MAX) {
        return fault(STATUS_BAD_DATA, "%s: tensor %s needs a shape of at most %d dimensions",
                     self->path, entry->name, (int)SAFETENSORS_RANK_MAX);
    }
    entry->rank = (uint32_t)json_array_size(shape);
    uint64_t bytes = value_bytes;
    for (uint32_t i = 0; i < entry->rank; i++) {
        if (!read_size(json_array_get(shape, i), &entry->shape[i])) {
            return fault(STATUS_BAD_DATA, "%s: a size of tensor %s is not a whole number",
                         self->path, entry->name);
        }
        if (__builtin_mul_overflow(bytes, entry->shape[i], &bytes)) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is too large", self->path, entry->name);
        }
    }
    *out_bytes = bytes;
    return STATUS_OK;
}

static enum status parse_entry(const struct safetensors *self, const char *name, const json_t *info,
                               struct safetensors_entry *entry)
{
    if (!name_is_fine(name)) {
        return fault(STATUS_BAD_DATA, "%s: a tensor's name is empty, too long or not text",
                     self->path);
    }
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    const struct dtype_facts *facts = find_dtype(json_string_value(json_object_get(info, "dtype")));
    if (facts == NULL) {
        return fault(STATUS_BAD_DATA, "%s: tensor %s has no known dtype", self->path, name);
    }
    entry->dtype = facts->dtype;
    uint64_t need_bytes = 0;
    enum status status =
        parse_shape(self, json_object_get(info, "shape"), facts->size_bytes, entry, &need_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    const json_t *offsets = json_object_get(info, "data_offsets");
    uint64_t begin = 0;
    uint64_t end = 0;
    if (json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end) || begin > end || end > self->data_bytes) {
        return fault(STATUS_BAD_DATA, "%s: the data_offsets of tensor %s are outside of the file",
                     self->path, name);
    }
    if (end - begin != need_bytes) {
        return fault(STATUS_BAD_DATA, "%s: tensor %s has %llu bytes, but its shape needs %llu",
                     self->path, name, (unsigned long long)(end - begin),
                     (unsigned long long)need_bytes);
    }
    entry->data = self->data + begin;
    entry->size_bytes = (size_t)(end - begin);
    return STATUS_OK;
}

static enum status check_metadata(const struct safetensors *self, json_t *metadata)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(metadata)) {
        return fault(STATUS_BAD_DATA, "%s: __metadata__ is not an object", self->path);
    }
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value)) {
            return fault(STATUS_BAD_DATA, "%s: a value in __metadata__ is not a string",
                         self->path);
        }
    }
    return STATUS_OK;
}

/* Empty tensors come before the tensor that begins at the same place. */
static int compare_places(const void *left, const void *right)
{
    const struct safetensors_entry *a = left;
    const struct safetensors_entry *b = right;
    if (a->data != b->data) {
        return a->data < b->data ? -1 : 1;
    }
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

static int compare_names(const void *left, const void *right)
{
    const struct name_slot *a = left;
    const struct name_slot *b = right;
    return strcmp(a->entry->name, b->entry->name);
}

static int compare_with_name(const void *name, const void *element)
{
    const struct name_slot *slot = element;
    return strcmp(name, slot->entry->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static enum status check_tiling(const struct safetensors *self)
{
    const uint8_t *expected = self->data;
    for (size_t i = 0; i < self->count; i++) {
        if (self->entries[i].data != expected) {
            return fault(STATUS_BAD_DATA, "%s: there is %s before the data of tensor %s",
                         self->path, self->entries[i].data > expected ? "a gap" : "an overlap",
                         self->entries[i].name);
        }
        expected += self->entries[i].size_bytes;
    }
    if (expected != self->data + self->data_bytes) {
        return fault(STATUS_BAD_DATA, "%s: there are bytes after the last tensor", self->path);
    }
    return STATUS_OK;
}

static enum status parse_entries(struct safetensors *self, json_t *header)
{
    size_t count = json_object_size(header);
    json_t *metadata = json_object_get(header, "__metadata__");
    if (metadata != NULL) {
        enum status status = check_metadata(self, metadata);
        if (status != STATUS_OK) {
            return status;
        }
        count--;
    }
    if (count > SAFETENSORS_TENSORS_MAX) {
        return fault(STATUS_BAD_DATA, "%s has %zu tensors and at most %d are supported", self->path,
                     count, (int)SAFETENSORS_TENSORS_MAX);
    }
    self->entries = calloc(count + 1, sizeof(*self->entries));
    self->by_name = calloc(count + 1, sizeof(*self->by_name));
    if (self->entries == NULL || self->by_name == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory for the header of %s", self->path);
    }
    const char *name = NULL;
    json_t *info = NULL;
    json_object_foreach(header, name, info)
    {
        if (info != metadata) {
            enum status status = parse_entry(self, name, info, &self->entries[self->count]);
            if (status != STATUS_OK) {
                return status;
            }
            self->count++;
        }
    }
    qsort(self->entries, self->count, sizeof(*self->entries), compare_places);
    for (size_t i = 0; i < self->count; i++) {
        self->by_name[i].entry = &self->entries[i];
    }
    qsort(self->by_name, self->count, sizeof(*self->by_name), compare_names);
    return check_tiling(self);
}

/* jansson takes up to 112 bytes for a value of one or two, and it is asked for all at once: how
 * many there may be is counted before, by what stands in front of each. */
static bool has_too_many_values(const uint8_t *text, size_t size_bytes)
{
    size_t count = 0;
    bool quoted = false;
    for (size_t i = 0; i < size_bytes && count <= VALUES_MAX; i++) {
        if (quoted && text[i] == '\\') {
            i++; /* whatever it is, it does not end the string */
        } else if (quoted) {
            quoted = text[i] != '"';
        } else {
            quoted = text[i] == '"';
            count += text[i] == ',' || text[i] == '[' || text[i] == '{';
        }
    }
    return count > VALUES_MAX;
}

static enum status parse_header(struct safetensors *self)
{
    uint64_t header_bytes = 0;
    if (self->view.size_bytes >= LENGTH_BYTES) {
        memcpy(&header_bytes, self->view.data, LENGTH_BYTES);
    }
    if (header_bytes < 2 || header_bytes > SAFETENSORS_HEADER_MAX ||
        header_bytes > self->view.size_bytes - LENGTH_BYTES ||
        self->view.data[LENGTH_BYTES] != '{') {
        return fault(STATUS_BAD_DATA, "%s is not a safetensors file, or it is cut short",
                     self->path);
    }
    self->data = self->view.data + LENGTH_BYTES + header_bytes;
    self->data_bytes = self->view.size_bytes - LENGTH_BYTES - (size_t)header_bytes;
    if (has_too_many_values(self->view.data + LENGTH_BYTES, (size_t)header_bytes)) {
        return fault(STATUS_BAD_DATA,
                     "%s: the header has more than %d values; no model has so many", self->path,
                     (int)VALUES_MAX);
    }
    json_error_t error;
    json_t *header = json_loadb((const char *)self->view.data + LENGTH_BYTES, (size_t)header_bytes,
                                JSON_REJECT_DUPLICATES, &error);
    if (header == NULL) {
        return fault(STATUS_BAD_DATA, "%s: the header is not valid JSON: %s", self->path,
                     error.text);
    }
    enum status status = parse_entries(self, header);
    json_decref(header);
    return status;
}

enum status safetensors_open(const char *path, struct safetensors **out)
{
    *out = NULL;
    struct safetensors *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to open %s", path);
    }
    (void)snprintf(self->path, sizeof(self->path), "%s", path);
    enum status status = files_map(path, &self->view);
    if (status == STATUS_OK) {
        status = parse_header(self);
    }
    if (status != STATUS_OK) {
        safetensors_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void safetensors_close(struct safetensors *self)
{
    if (self != NULL) {
        files_unmap(&self->view);
        free(self->entries);
        free(self->by_name);
        free(self);
    }
}

size_t safetensors_count(const struct safetensors *self)
{
    return self->count;
}

const struct safetensors_entry *safetensors_entry(const struct safetensors *self, size_t index)
{
    CHECK(index < self->count);
    return &self->entries[index];
}

const struct safetensors_entry *safetensors_find(const struct safetensors *self, const char *name)
{
    const struct name_slot *found =
        bsearch(name, self->by_name, self->count, sizeof(*self->by_name), compare_with_name);
    return found == NULL ? NULL : found->entry;
}

enum status safetensors_read_f32(const struct safetensors *self,
                                 const struct safetensors_entry *entry, float *out, size_t count)
{
    if (entry->dtype == DTYPE_OTHER) {
        return fault(STATUS_BAD_DATA, "%s: tensor %s is not F32, F16 or BF16", self->path,
                     entry->name);
    }
    size_t value_bytes = entry->dtype == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t);
    if (entry->size_bytes / value_bytes != count) {
        return fault(STATUS_BAD_SHAPE, "%s: tensor %s has %zu values instead of %zu", self->path,
                     entry->name, entry->size_bytes / value_bytes, count);
    }
    if (entry->dtype == DTYPE_F32) {
        if (count > 0) {
            memcpy(out, entry->data, entry->size_bytes);
        }
        return STATUS_OK;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t bits; /* the data need not be aligned */
        memcpy(&bits, entry->data + i * sizeof(bits), sizeof(bits));
        out[i] = entry->dtype == DTYPE_F16 ? half_from_f16(bits) : half_from_bf16(bits);
    }
    return STATUS_OK;
}
