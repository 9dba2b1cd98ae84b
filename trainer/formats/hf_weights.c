#include "trainer/formats/hf_weights.h"

#include "common/fault.h"
#include "common/files.h"
#include "trainer/formats/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_TEXT_MAX = 256, FILE_NAME_MAX = 256 };

static const char GPT2_PREFIX[] = "transformer.";

struct weights_file {
    char name[FILE_NAME_MAX];
    char path[FILES_PATH_MAX];
    struct safetensors *tensors;
};

/* Where a tensor of the layout was found. */
struct place {
    const struct safetensors *file; /* NULL: not yet */
    const struct safetensors_entry *entry;
};

struct places {
    struct place *items; /* by the layout's index */
    size_t count;
};

struct hf_weights {
    char path[FILES_PATH_MAX]; /* model.safetensors or the index: for sentences */
    struct weights_file *files;
    size_t file_count;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Buffers that checkpoints carry and that hold nothing learned, and a tied head's copy. */
static bool is_ignored(const struct layout *layout, const char *name)
{
    if (strcmp(name, "lm_head.weight") == 0) {
        return layout_find(layout, name) == layout_tensor_count(layout);
    }
    return ends_with(name, ".rotary_emb.inv_freq") || ends_with(name, ".attn.bias") ||
           ends_with(name, ".attn.masked_bias");
}

/* The tensor of this name, with or without gpt2's prefix; the count when there is none. */
static size_t find_tensor(const struct layout *layout, const char *name)
{
    size_t none = layout_tensor_count(layout);
    size_t index = layout_find(layout, name);
    if (index == none && strncmp(name, GPT2_PREFIX, sizeof(GPT2_PREFIX) - 1) == 0) {
        index = layout_find(layout, name + sizeof(GPT2_PREFIX) - 1);
    }
    if (index == none) {
        char prefixed[sizeof(GPT2_PREFIX) + SAFETENSORS_NAME_MAX];
        (void)snprintf(prefixed, sizeof(prefixed), "%s%s", GPT2_PREFIX, name);
        index = layout_find(layout, prefixed);
    }
    return index;
}

static void shape_to_text(const uint64_t *shape, uint32_t rank, char out[SHAPE_TEXT_MAX])
{
    size_t used = (size_t)snprintf(out, SHAPE_TEXT_MAX, "[");
    for (uint32_t i = 0; i < rank; i++) {
        used += (size_t)snprintf(out + used, SHAPE_TEXT_MAX - used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long)shape[i]);
    }
    (void)snprintf(out + used, SHAPE_TEXT_MAX - used, "]");
}

static enum status check_entry(const char *path, const struct tensor_spec *spec,
                               const struct safetensors_entry *entry)
{
    if (spec->rank != entry->rank ||
        memcmp(spec->shape, entry->shape, spec->rank * sizeof(spec->shape[0])) != 0) {
        char found[SHAPE_TEXT_MAX];
        char expected[SHAPE_TEXT_MAX];
        shape_to_text(entry->shape, entry->rank, found);
        shape_to_text(spec->shape, spec->rank, expected);
        return fault(STATUS_BAD_SHAPE,
                     "%s: tensor %s has the shape %s, but config.json says %s; the two files do "
                     "not belong together",
                     path, entry->name, found, expected);
    }
    return entry->dtype != DTYPE_OTHER
               ? STATUS_OK
               : fault(STATUS_BAD_DATA, "%s: tensor %s is not F32, F16 or BF16", path, entry->name);
}

/* One file's tensors; places(tensor count) gets each at the index of its spec. */
static enum status place_file(const struct weights_file *file, const struct layout *layout,
                              struct place *places)
{
    for (size_t i = 0; i < safetensors_count(file->tensors); i++) {
        const struct safetensors_entry *entry = safetensors_entry(file->tensors, i);
        if (is_ignored(layout, entry->name)) {
            continue;
        }
        size_t index = find_tensor(layout, entry->name);
        if (index == layout_tensor_count(layout)) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is not part of this kind of model",
                         file->path, entry->name);
        }
        if (places[index].file != NULL) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is there twice", file->path, entry->name);
        }
        enum status status = check_entry(file->path, layout_tensor(layout, index), entry);
        if (status != STATUS_OK) {
            return status;
        }
        places[index] = (struct place){.file = file->tensors, .entry = entry};
    }
    return STATUS_OK;
}

/* The place of every tensor of the layout. The caller frees out->items, also after an error. */
static enum status place_all(const struct hf_weights *self, const struct layout *layout,
                             struct places *out)
{
    out->count = layout_tensor_count(layout);
    out->items = calloc(out->count + 1, sizeof(*out->items));
    if (out->items == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", self->path);
    }
    for (size_t i = 0; i < self->file_count; i++) {
        enum status status = place_file(&self->files[i], layout, out->items);
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < out->count; i++) {
        if (out->items[i].file == NULL) {
            return fault(STATUS_BAD_DATA, "%s: tensor %s is missing; fetch the checkpoint again",
                         self->path, layout_tensor(layout, i)->name);
        }
    }
    return STATUS_OK;
}

enum status hf_weights_check(const struct hf_weights *self, const struct layout *layout)
{
    struct places places;
    enum status status = place_all(self, layout, &places);
    free(places.items);
    return status;
}

enum status hf_weights_read(const struct hf_weights *self, const struct layout *layout,
                            float *params)
{
    struct places places;
    enum status status = place_all(self, layout, &places);
    if (status == STATUS_OK) {
        memset(params, 0, layout_value_count(layout) * sizeof(*params));
    }
    for (size_t i = 0; status == STATUS_OK && i < places.count; i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        const struct place *place = &places.items[i];
        status =
            safetensors_read_f32(place->file, place->entry, params + spec->offset, spec->count);
    }
    free(places.items);
    return status;
}

size_t hf_weights_file_count(const struct hf_weights *self)
{
    return self->file_count;
}

const char *hf_weights_dtype_name(const struct hf_weights *self, const struct layout *layout)
{
    const char *name = NULL;
    for (size_t i = 0; i < self->file_count; i++) {
        for (size_t j = 0; j < safetensors_count(self->files[i].tensors); j++) {
            const struct safetensors_entry *entry = safetensors_entry(self->files[i].tensors, j);
            if (is_ignored(layout, entry->name)) {
                continue;
            }
            const char *found = tensor_dtype_name(entry->dtype);
            if (name != NULL && strcmp(name, found) != 0) {
                return "mixed";
            }
            name = found;
        }
    }
    return name != NULL ? name : "mixed";
}

/* A plain name of a file in the folder: nothing that leads elsewhere or upsets a terminal. */
static bool is_plain_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= FILE_NAME_MAX || name[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\') {
            return false;
        }
    }
    return true;
}

/* Opens folder/name as one file more; *self has room. */
static enum status add_file(struct hf_weights *self, const char *folder, const char *name)
{
    struct weights_file *file = &self->files[self->file_count];
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    enum status status = files_join(folder, name, file->path);
    if (status == STATUS_OK) {
        status = safetensors_open(file->path, &file->tensors);
    }
    self->file_count += status == STATUS_OK;
    return status;
}

static bool has_file(const struct hf_weights *self, const char *name)
{
    for (size_t i = self->file_count; i > 0; i--) {
        if (strcmp(self->files[i - 1].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Opens every file that the map names, once. */
static enum status add_mapped_files(struct hf_weights *self, const char *folder, json_t *map)
{
    const char *tensor = NULL;
    json_t *value = NULL;
    size_t most = json_object_size(map); /* each tensor in a file of its own */
    most = most < HF_WEIGHTS_FILES_MAX ? most : HF_WEIGHTS_FILES_MAX;
    self->files = calloc(most, sizeof(*self->files));
    if (self->files == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", self->path);
    }
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (name == NULL || !is_plain_name(name)) {
            return fault(STATUS_BAD_DATA,
                         "%s: weight_map must give each tensor the plain name of a file beside it",
                         self->path);
        }
        if (has_file(self, name)) {
            continue;
        }
        if (self->file_count == HF_WEIGHTS_FILES_MAX) {
            return fault(STATUS_BAD_DATA, "%s: weight_map names more than %d files", self->path,
                         (int)HF_WEIGHTS_FILES_MAX);
        }
        enum status status = add_file(self, folder, name);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Every tensor lies in the one file that the map names for it. */
static enum status check_map(const struct hf_weights *self, const json_t *map)
{
    size_t count = 0;
    for (size_t i = 0; i < self->file_count; i++) {
        const struct weights_file *file = &self->files[i];
        for (size_t j = 0; j < safetensors_count(file->tensors); j++) {
            const char *tensor = safetensors_entry(file->tensors, j)->name;
            const char *home = json_string_value(json_object_get(map, tensor));
            if (home == NULL || strcmp(home, file->name) != 0) {
                return fault(STATUS_BAD_DATA, "%s: tensor %s is in %s, but weight_map says %s",
                             self->path, tensor, file->name, home != NULL ? home : "nothing of it");
            }
            count++;
        }
    }
    return count == json_object_size(map)
               ? STATUS_OK
               : fault(STATUS_BAD_DATA,
                       "%s: weight_map names %zu tensors, but its files hold %zu of them; fetch "
                       "the checkpoint again",
                       self->path, json_object_size(map), count);
}

static enum status open_index(struct hf_weights *self, const char *folder)
{
    uint8_t *text = NULL;
    size_t length = 0;
    json_error_t error;
    enum status status = files_read(self->path, HF_WEIGHTS_INDEX_MAX, &text, &length);
    if (status != STATUS_OK) {
        return status;
    }
    json_t *root = json_loadb((const char *)text, length, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (root == NULL) {
        return fault(STATUS_BAD_DATA, "%s:%d: not valid JSON: %s", self->path, error.line,
                     error.text);
    }
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        status =
            fault(STATUS_BAD_DATA, "%s has no weight_map of tensor and file names", self->path);
    }
    if (status == STATUS_OK) {
        status = add_mapped_files(self, folder, map);
    }
    if (status == STATUS_OK) {
        status = check_map(self, map);
    }
    json_decref(root);
    return status;
}

static enum status open_single(struct hf_weights *self, const char *folder)
{
    self->files = calloc(1, sizeof(*self->files));
    if (self->files == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to read %s", self->path);
    }
    return add_file(self, folder, "model.safetensors");
}

/* PyTorch's pickles run code when they are read, so they never are. */
static enum status refuse_pickle(const char *folder)
{
    static const char *const NAMES[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    char path[FILES_PATH_MAX];
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        enum status status = files_join(folder, NAMES[i], path);
        if (status != STATUS_OK) {
            return status;
        }
        if (files_exists(path)) {
            return fault(STATUS_NO_INPUT,
                         "%s holds %s but no model.safetensors; save it again with transformers' "
                         "save_pretrained",
                         folder, NAMES[i]);
        }
    }
    return STATUS_OK;
}

static enum status open_folder(struct hf_weights *self, const char *folder)
{
    char index_path[FILES_PATH_MAX];
    enum status status = files_join(folder, "model.safetensors", self->path);
    if (status == STATUS_OK) {
        status = files_join(folder, "model.safetensors.index.json", index_path);
    }
    if (status != STATUS_OK || files_exists(self->path)) {
        return status == STATUS_OK ? open_single(self, folder) : status;
    }
    if (files_exists(index_path)) {
        (void)snprintf(self->path, sizeof(self->path), "%s", index_path);
        return open_index(self, folder);
    }
    status = refuse_pickle(folder);
    return status == STATUS_OK ? open_single(self, folder) : status;
}

enum status hf_weights_open(const char *folder, struct hf_weights **out)
{
    *out = NULL;
    struct hf_weights *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to open %s", folder);
    }
    enum status status = open_folder(self, folder);
    if (status != STATUS_OK) {
        hf_weights_close(self);
        return status;
    }
    *out = self;
    return STATUS_OK;
}

void hf_weights_close(struct hf_weights *self)
{
    if (self != NULL) {
        for (size_t i = 0; i < self->file_count; i++) {
            safetensors_close(self->files[i].tensors);
        }
        free(self->files);
        free(self);
    }
}
