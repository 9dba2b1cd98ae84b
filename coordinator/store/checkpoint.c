#include "coordinator/store/checkpoint.h"

#include "common/disk.h"
#include "common/fault.h"
#include "trainer/data/dataset.h"
#include "trainer/formats/hf_folder.h"
#include "trainer/formats/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHECKPOINTS_MAX = 1 << 20,
    STATE_BYTES_MAX = 65536,
    PART_NAME_MAX = 64,
    PARTS_MAX = 3 + OPTIMIZER_STATES_MAX
};

/* The only tensor of a file whose values are one for each block of parameters. */
static const char blocks_name[] = "blocks";

/* A file whose hash state.json holds, and where its values live. */
struct part {
    char name[PART_NAME_MAX];
    float *values;
    size_t count;
    bool per_block; /* one vector, not the model's tensors */
};

struct parts {
    struct part items[PARTS_MAX];
    size_t count;
};

static void add_part(struct parts *self, const char *name, float *values, size_t count)
{
    struct part *part = &self->items[self->count++];
    *part = (struct part){.values = values, .count = count};
    (void)snprintf(part->name, sizeof part->name, "%s.safetensors", name);
}

/* The model comes first: hf_folder_write makes its file. The residual comes last: a checkpoint of
 * another mean codec lacks it. */
static struct parts parts_of(const struct run_dir *run, struct master *master)
{
    struct parts parts = {.count = 0};
    size_t value_count = layout_value_count(run->layout);
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

static enum status checkpoints_folder(const struct run_dir *run, char *out)
{
    return files_join(run->path, "checkpoints", out);
}

static enum status version_folder(const struct run_dir *run, uint64_t version, const char *suffix,
                                  char *out)
{
    char name[64];
    (void)snprintf(name, sizeof name, "checkpoints/step-%06" PRIu64 "%s", version, suffix);
    return files_join(run->path, name, out);
}

static enum status hash_file(const char *folder, const char *name, struct digest *out)
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

static enum status write_state(const char *folder, const struct run_dir *run, struct master *master,
                               const struct parts *parts)
{
    char hex[DIGEST_HEX_BYTES];
    struct digest digest = params_digest(master_params(master), layout_value_count(run->layout));
    digest_to_hex(&digest, hex);
    json_t *files = json_object();
    json_t *state =
        json_pack("{s:I,s:s,s:s,s:s,s:o}", "version", (json_int_t)master_version(master),
                  "optimizer", optimizer_name(master_kind(master)), "mean_codec",
                  codec_name(master_mean_codec(master)), "digest", hex, "blake2b", files);
    char *text = NULL;
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, "state.json", path);
    for (size_t i = 0; i < parts->count && status == STATUS_OK; i++) {
        struct digest hash;
        status = hash_file(folder, parts->items[i].name, &hash);
        if (status == STATUS_OK) {
            digest_to_hex(&hash, hex);
            (void)json_object_set_new(files, parts->items[i].name, json_string(hex));
        }
    }
    if (status == STATUS_OK) {
        text = json_dumps(state, JSON_INDENT(2) | JSON_SORT_KEYS);
        status = text != NULL ? files_write_atomic(path, text, strlen(text), 0644)
                              : fault(STATUS_NO_MEMORY, "no memory to write %s", path);
    }
    free(text);
    json_decref(state);
    return status;
}

static enum status write_part(const char *folder, const struct part *part,
                              const struct layout *layout)
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

static enum status write_folder(const char *folder, const struct run_dir *run,
                                struct master *master)
{
    struct tokenizer *tokenizer = NULL;
    const struct parts parts = parts_of(run, master);
    /* The data folder holds the tokenizer that made the shards. */
    enum status status = dataset_tokenizer_new(run->config.data_folder, &tokenizer);
    if (status == STATUS_OK) {
        status = hf_folder_write(folder, &run->config.model, run->layout, master_params(master),
                                 tokenizer);
    }
    tokenizer_free(tokenizer);
    for (size_t i = 1; i < parts.count && status == STATUS_OK; i++) {
        status = write_part(folder, &parts.items[i], run->layout);
    }
    return status == STATUS_OK ? write_state(folder, run, master, &parts) : status;
}

/* Versions of all checkpoint folders, ascending. */
struct versions {
    uint64_t *items; /* (count), owned; room for the next power of two */
    size_t count;
};

static enum status add_version(struct versions *self, uint64_t version)
{
    if (self->count == CHECKPOINTS_MAX) {
        return fault(STATUS_FULL, "there are more than %d checkpoints; move the oldest away",
                     CHECKPOINTS_MAX);
    }
    if ((self->count & (self->count - 1)) == 0) {
        size_t room = self->count > 0 ? 2 * self->count : 1;
        uint64_t *items = realloc(self->items, room * sizeof *items);
        if (items == NULL) {
            return fault(STATUS_NO_MEMORY, "no memory to list the checkpoints");
        }
        self->items = items;
    }
    self->items[self->count++] = version;
    return STATUS_OK;
}

/* Only names that version_folder makes: no temporary ones, no signs, no other padding. */
static bool parse_version(const char *name, uint64_t *out)
{
    char expected[64];
    if (strncmp(name, "step-", 5) != 0) {
        return false;
    }
    *out = strtoull(name + 5, NULL, 10);
    (void)snprintf(expected, sizeof expected, "step-%06" PRIu64, *out);
    return strcmp(name, expected) == 0;
}

static int compare_versions(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct listing {
    struct versions *versions;
    enum status status;
};

static bool see_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t version = 0;
    if (parse_version(name, &version)) {
        listing->status = add_version(listing->versions, version);
    }
    return listing->status == STATUS_OK;
}

/* The caller frees out->items, also after an error. */
static enum status list_versions(const struct run_dir *run, struct versions *out)
{
    char folder[FILES_PATH_MAX];
    *out = (struct versions){0};
    enum status status = checkpoints_folder(run, folder);
    if (status != STATUS_OK) {
        return status;
    }
    struct listing listing = {.versions = out};
    if (!disk_list(folder, see_name, &listing)) {
        return fault(STATUS_NO_INPUT, "%s cannot be read; is %s the folder of a run?", folder,
                     run->path);
    }
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof out->items[0], compare_versions);
    }
    return listing.status;
}

static enum status remove_version(const struct run_dir *run, uint64_t version)
{
    char folder[FILES_PATH_MAX];
    enum status status = version_folder(run, version, "", folder);
    return status == STATUS_OK ? files_remove_folder(folder) : status;
}

/* Leaves what checkpoint_write promises when `newest` was just written. */
static enum status remove_others(const struct run_dir *run, uint64_t newest)
{
    struct versions versions;
    enum status status = list_versions(run, &versions);
    size_t end = versions.count;
    while (status == STATUS_OK && end > 0 && versions.items[end - 1] > newest) {
        status = remove_version(run, versions.items[--end]);
    }
    size_t kept = run->config.checkpoints_kept;
    size_t oldest = end > 0 && versions.items[0] == 0 ? 1 : 0;
    for (size_t i = oldest; status == STATUS_OK && kept > 0 && end - i > kept; i++) {
        status = remove_version(run, versions.items[i]);
    }
    free(versions.items);
    return status;
}

enum status checkpoint_write(const struct run_dir *run, struct master *master, char *out_path)
{
    char temporary[FILES_PATH_MAX];
    uint64_t version = master_version(master);
    enum status status = version_folder(run, version, "", out_path);
    if (status == STATUS_OK) {
        status = version_folder(run, version, ".tmp", temporary);
    }
    if (status == STATUS_OK) {
        status = files_remove_folder(temporary);
    }
    if (status == STATUS_OK) {
        status = files_make_folder(temporary);
    }
    if (status == STATUS_OK) {
        status = write_folder(temporary, run, master);
    }
    if (status == STATUS_OK) {
        status = files_sync_folder(temporary);
    }
    if (status == STATUS_OK) {
        /* One of this version is left of a run that went back to an older checkpoint. */
        status = files_remove_folder(out_path);
    }
    if (status == STATUS_OK) {
        status = files_rename(temporary, out_path);
    }
    return status == STATUS_OK ? remove_others(run, version) : status;
}

static enum status check_hashes(const char *folder, const json_t *state, const struct parts *parts)
{
    const json_t *files = json_object_get(state, "blake2b");
    for (size_t i = 0; i < parts->count; i++) {
        const char *name = parts->items[i].name;
        const char *hex = json_string_value(json_object_get(files, name));
        struct digest expected;
        struct digest found;
        if (hex == NULL || digest_from_hex(hex, &expected) != STATUS_OK) {
            return fault(STATUS_BAD_DATA, "%s/state.json has no hash of %s", folder, name);
        }
        enum status status = hash_file(folder, name, &found);
        if (status != STATUS_OK) {
            return status;
        }
        if (!digest_equal(&expected, &found)) {
            return fault(STATUS_CORRUPT, "%s/%s is damaged: its hash is not that of state.json",
                         folder, name);
        }
    }
    return STATUS_OK;
}

/* Checkpoints of before there was a choice do not name their optimizer. */
static enum status check_optimizer(const char *folder, const json_t *state,
                                   enum optimizer_kind kind)
{
    const json_t *held = json_object_get(state, "optimizer");
    const char *name = held != NULL ? json_string_value(held) : optimizer_name(OPTIMIZER_ADAMW);
    enum optimizer_kind found = OPTIMIZER_ADAMW;
    if (name == NULL || optimizer_from_name(name, &found) != STATUS_OK) {
        return fault(STATUS_BAD_DATA, "%s/state.json is damaged: it names no known optimizer",
                     folder);
    }
    if (found != kind) {
        return fault(STATUS_BAD_CONFIG,
                     "%s holds the state of %s, but the run's optimizer.type is %s; set it back to "
                     "%s, or make a new run",
                     folder, optimizer_name(found), optimizer_name(kind), optimizer_name(found));
    }
    return STATUS_OK;
}

/* The mean codec that the checkpoint was made with; those of before there was one have none, and no
 * residual, as fp32. */
static enum status read_mean_codec(const char *folder, const json_t *state, enum codec *out)
{
    const json_t *held = json_object_get(state, "mean_codec");
    const char *name = held != NULL ? json_string_value(held) : codec_name(CODEC_FP32);
    if (name == NULL || codec_from_name(name, out) != STATUS_OK) {
        return fault(STATUS_BAD_DATA, "%s/state.json is damaged: it names no known mean_codec",
                     folder);
    }
    return STATUS_OK;
}

/* A residual that the checkpoint was made without begins at zero, as master_change has it. */
static enum status choose_parts(const char *folder, const json_t *state, struct master *master,
                                struct parts *parts)
{
    enum codec held = CODEC_FP32;
    enum status status = read_mean_codec(folder, state, &held);
    if (status == STATUS_OK && master_residual(master) != NULL && held != CODEC_MX8) {
        const struct part *residual = &parts->items[--parts->count];
        memset(residual->values, 0, residual->count * sizeof *residual->values);
    }
    return status;
}

/* state.json has no hash of its own: its version must be the folder's, and its digest that of the
 * parameters when they are loaded. */
static enum status read_state(const char *folder, uint64_t version, struct master *master,
                              struct parts *parts, struct digest *out_digest)
{
    char path[FILES_PATH_MAX];
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    enum status status = files_join(folder, "state.json", path);
    if (status == STATUS_OK) {
        status = files_read(path, STATE_BYTES_MAX, &text, &size_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    json_t *state = json_loadb((const char *)text, size_bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    const json_t *held = json_object_get(state, "version");
    const char *hex = json_string_value(json_object_get(state, "digest"));
    if (!json_is_integer(held) || (uint64_t)json_integer_value(held) != version || hex == NULL ||
        digest_from_hex(hex, out_digest) != STATUS_OK) {
        status = fault(STATUS_BAD_DATA, "%s is damaged: it is not the state of step %" PRIu64, path,
                       version);
    } else {
        status = check_optimizer(folder, state, master_kind(master));
    }
    if (status == STATUS_OK) {
        status = choose_parts(folder, state, master, parts);
    }
    if (status == STATUS_OK) {
        status = check_hashes(folder, state, parts);
    }
    json_decref(state);
    return status;
}

static enum status read_tensor(const struct safetensors *file, const char *path, const char *name,
                               float *values, size_t count)
{
    const struct safetensors_entry *entry = safetensors_find(file, name);
    return entry != NULL ? safetensors_read_f32(file, entry, values, count)
                         : fault(STATUS_BAD_DATA, "%s lacks the tensor %s", path, name);
}

static enum status read_part(const char *folder, const struct part *part,
                             const struct layout *layout)
{
    char path[FILES_PATH_MAX];
    struct safetensors *file = NULL;
    enum status status = files_join(folder, part->name, path);
    if (status == STATUS_OK) {
        status = safetensors_open(path, &file);
    }
    if (status == STATUS_OK && part->per_block) {
        status = read_tensor(file, path, blocks_name, part->values, part->count);
    }
    size_t tensor_count = part->per_block ? 0 : layout_tensor_count(layout);
    for (size_t i = 0; i < tensor_count && status == STATUS_OK; i++) {
        const struct tensor_spec *spec = layout_tensor(layout, i);
        status = read_tensor(file, path, spec->name, part->values + spec->offset, spec->count);
    }
    safetensors_close(file);
    return status;
}

static enum status load_folder(const char *folder, uint64_t version, const struct run_dir *run,
                               struct master *master)
{
    struct digest expected;
    struct parts parts = parts_of(run, master);
    enum status status = read_state(folder, version, master, &parts, &expected);
    for (size_t i = 0; i < parts.count && status == STATUS_OK; i++) {
        status = read_part(folder, &parts.items[i], run->layout);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct digest found = params_digest(master_params(master), layout_value_count(run->layout));
    if (!digest_equal(&expected, &found)) {
        return fault(STATUS_CORRUPT,
                     "%s/state.json is damaged: its digest is not that of the model", folder);
    }
    master_set_version(master, version);
    return STATUS_OK;
}

enum status checkpoint_load(const struct run_dir *run, struct master *master,
                            void (*on_fault)(const char *sentence), char *out_path)
{
    struct versions versions;
    enum status status = list_versions(run, &versions);
    bool loaded = false;
    for (size_t i = versions.count; status == STATUS_OK && !loaded && i-- > 0;) {
        status = version_folder(run, versions.items[i], "", out_path);
        if (status == STATUS_OK) {
            enum status found = load_folder(out_path, versions.items[i], run, master);
            loaded = found == STATUS_OK;
            if (found == STATUS_BAD_CONFIG) { /* an older one would be no better */
                status = found;
            } else if (!loaded && on_fault != NULL) {
                on_fault(fault_text());
            }
        }
    }
    free(versions.items);
    if (status == STATUS_OK && !loaded) {
        return fault(STATUS_NO_INPUT,
                     "%s/checkpoints holds no whole checkpoint; put a copy of one there",
                     run->path);
    }
    return status;
}
