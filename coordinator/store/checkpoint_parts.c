#include "coordinator/store/checkpoint_parts.h"

#include "common/fault.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The only tensor of a file whose values are one for each block of parameters. */
static const char blocks_name[] = "blocks";

static void add_part(struct parts *self, const char *name, float *values, size_t count)
{
    struct part *part = &self->items[self->count++];
    *part = (struct part){.values = values, .count = count};
    (void)snprintf(part->name, sizeof part->name, "%s.safetensors", name);
}

struct parts parts_of(const struct layout *layout, struct master *master)
{
    struct parts parts = {.count = 0};
    size_t value_count = layout_value_count(layout);
    add_part(&parts, "model", master_params(master), value_count);
    add_part(&parts, "weights", master_weights(master), value_count);
    for (size_t i = 0; i < optimizer_state_count(master_kind(master)); i++) {
        const struct optimizer_state *facts = optimizer_state(master_kind(master), i);
        size_t count = 0;
        float *values = master_state(master, i, &count);
        add_part(&parts, facts->name, values, count);
        parts.items[parts.count - 1].per_block = facts->per_block;
    }
    if (master_residual(master) != NULL) {
        add_part(&parts, "residual", master_residual(master), value_count);
    }
    return parts;
}

enum status part_hash(const char *folder, const char *name, struct digest *out)
{
    char path[FILES_PATH_MAX];
    struct file_view view;
    enum status status = files_join(folder, name, path);
    if (status == STATUS_OK) {
        status = files_map(path, &view);
    }
    if (status == STATUS_OK) {
        *out = digest_of(view.data, view.size_bytes);
        files_unmap(&view);
    }
    return status;
}

enum status part_write(const char *folder, const struct part *part, const struct layout *layout)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, part->name, path);
    if (status != STATUS_OK) {
        return status;
    }
    if (!part->per_block) {
        return hf_folder_write_tensors(path, layout, part->values);
    }
    const struct safetensors_output vector = {.name = blocks_name,
                                              .rank = 1,
                                              .shape = {part->count},
                                              .values = part->values,
                                              .count = part->count};
    return safetensors_write(path, &vector, 1);
}

/* What is done with one tensor of a file. */
struct visit {
    const struct safetensors *file;
    const char *path;
    float *scratch; /* for comparing; NULL: the tensor is read into the values */
};

static enum status visit_tensor(const struct visit *visit, const char *name, float *values,
                                size_t count)
{
    const struct safetensors_entry *entry = safetensors_find(visit->file, name);
    if (entry == NULL) {
        return fault(STATUS_BAD_DATA, "%s lacks the tensor %s", visit->path, name);
    }
    if (visit->scratch == NULL) {
        return safetensors_read_f32(visit->file, entry, values, count);
    }
    enum status status = safetensors_read_f32(visit->file, entry, visit->scratch, count);
    if (status == STATUS_OK && memcmp(visit->scratch, values, count * sizeof *values) != 0) {
        status = fault(STATUS_CORRUPT, "%s: the tensor %s is not what the journal replays to",
                       visit->path, name);
    }
    return status;
}

static enum status visit_part(const char *folder, const struct part *part,
                              const struct layout *layout, float *scratch)
{
    char path[FILES_PATH_MAX];
    struct safetensors *file = NULL;
    enum status status = files_join(folder, part->name, path);
    if (status == STATUS_OK) {
        status = safetensors_open(path, &file);
    }
    const struct visit visit = {.file = file, .path = path, .scratch = scratch};
    if (status == STATUS_OK && part->per_block) {
        status = visit_tensor(&visit, blocks_name, part->values, part->count);
    }
    size_t tensor_count = part->per_block ? 0 : layout_tensor_count(layout);
    for (size_t i = 0; i < tensor_count && status == STATUS_OK; i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        status = visit_tensor(&visit, spec->name, part->values + spec->offset, spec->count);
    }
    safetensors_close(file);
    return status;
}

enum status part_read(const char *folder, const struct part *part, const struct layout *layout)
{
    return visit_part(folder, part, layout, NULL);
}

enum status part_compare(const char *folder, const struct part *part, const struct layout *layout)
{
    size_t longest = part->per_block ? part->count : 1;
    for (size_t i = 0; !part->per_block && i < layout_tensor_count(layout); i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        longest = spec->count > longest ? spec->count : longest;
    }
    float *scratch = malloc(longest * sizeof *scratch);
    if (scratch == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to compare %s/%s", folder, part->name);
    }
    enum status status = visit_part(folder, part, layout, scratch);
    free(scratch);
    return status;
}
