#include "coordinator/store/checkpoint.h"

#include "common/disk.h"
#include "common/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKPOINTS_MAX = 1 << 20, TORN_AT_ONCE_MAX = 64 };

static const char torn_suffix[] = ".tmp";

static enum status checkpoints_folder(const struct run_dir *run, char *out)
{
    return files_join(run->path, "checkpoints", out);
}

static enum status version_folder(const struct run_dir *run, const char *prefix, uint64_t version,
                                  const char *suffix, char *out)
{
    char name[64];
    (void)snprintf(name, sizeof name, "checkpoints/%s%06" PRIu64 "%s", prefix, version, suffix);
    return files_join(run->path, name, out);
}

enum status checkpoint_path(const struct run_dir *run, uint64_t version, char *out_path)
{
    return version_folder(run, "step-", version, "", out_path);
}

/* Versions of checkpoint folders in the order in which they are met. */
struct listing {
    uint64_t *items; /* (count), owned; room for the next power of two */
    size_t count;
    const char *suffix; /* behind the version */
    size_t count_max;   /* no more are looked for */
    enum status status;
};

static enum status add_version(struct listing *self, uint64_t version)
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

/* Only names that version_folder makes: no signs, no other padding. */
static bool parse_version(const char *name, const char *suffix, uint64_t *out)
{
    char expected[64];
    if (strncmp(name, "step-", 5) != 0) {
        return false;
    }
    *out = strtoull(name + 5, NULL, 10);
    (void)snprintf(expected, sizeof expected, "step-%06" PRIu64 "%s", *out, suffix);
    return strcmp(name, expected) == 0;
}

static bool see_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t version = 0;
    if (parse_version(name, listing->suffix, &version)) {
        listing->status = add_version(listing, version);
    }
    return listing->status == STATUS_OK && listing->count < listing->count_max;
}

static int compare_versions(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum status list(const struct run_dir *run, struct listing *listing)
{
    char folder[FILES_PATH_MAX];
    enum status status = checkpoints_folder(run, folder);
    if (status != STATUS_OK) {
        return status;
    }
    if (!disk_list(folder, see_name, listing)) {
        return fault(STATUS_NO_INPUT, "%s cannot be read; is %s the folder of a run?", folder,
                     run->path);
    }
    if (listing->count > 0) {
        qsort(listing->items, listing->count, sizeof listing->items[0], compare_versions);
    }
    return listing->status;
}

enum status checkpoint_list(const struct run_dir *run, uint64_t **out, size_t *out_count)
{
    struct listing listing = {.suffix = "", .count_max = SIZE_MAX};
    enum status status = list(run, &listing);
    if (status != STATUS_OK) {
        free(listing.items);
        listing = (struct listing){0};
    }
    *out = listing.items;
    *out_count = listing.count;
    return status;
}

/* The folder gets a name that nobody loads first, so that no crash leaves half a checkpoint. */
static enum status remove_version(const struct run_dir *run, uint64_t version)
{
    char folder[FILES_PATH_MAX];
    char torn[FILES_PATH_MAX];
    enum status status = checkpoint_path(run, version, folder);
    if (status == STATUS_OK) {
        status = version_folder(run, "step-", version, torn_suffix, torn);
    }
    if (status == STATUS_OK) {
        status = files_remove_folder(torn);
    }
    if (status == STATUS_OK) {
        status = files_rename(folder, torn);
    }
    return status == STATUS_OK ? files_remove_folder(torn) : status;
}

enum status checkpoint_prune(const struct run_dir *run, uint64_t *out_oldest)
{
    uint64_t *versions = NULL;
    size_t count = 0;
    *out_oldest = 0;
    enum status status = checkpoint_list(run, &versions, &count);
    if (status != STATUS_OK) {
        return status;
    }
    size_t first = count > 0 && versions[0] == 0 ? 1 : 0;
    size_t kept = run->config.checkpoints_kept;
    bool all = kept == 0;
    kept = kept < RUN_CHECKPOINTS_KEPT_MIN ? RUN_CHECKPOINTS_KEPT_MIN : kept;
    for (; status == STATUS_OK && !all && count - first > kept; first++) {
        status = remove_version(run, versions[first]);
    }
    if (status == STATUS_OK && count - first >= kept) {
        *out_oldest = versions[first];
    }
    free(versions);
    return status;
}

enum status checkpoint_set_aside(const struct run_dir *run, uint64_t version)
{
    char folder[FILES_PATH_MAX];
    char aside[FILES_PATH_MAX];
    enum status status = checkpoint_path(run, version, folder);
    if (status == STATUS_OK) {
        status = version_folder(run, "damaged-", version, "", aside);
    }
    if (status == STATUS_OK) {
        status = files_remove_folder(aside);
    }
    return status == STATUS_OK ? files_rename(folder, aside) : status;
}

enum status checkpoint_remove_torn(const struct run_dir *run)
{
    struct listing listing = {.suffix = torn_suffix, .count_max = TORN_AT_ONCE_MAX};
    enum status status = list(run, &listing);
    for (size_t i = 0; i < listing.count && status == STATUS_OK; i++) {
        char folder[FILES_PATH_MAX];
        status = version_folder(run, "step-", listing.items[i], torn_suffix, folder);
        if (status == STATUS_OK) {
            status = files_remove_folder(folder);
        }
    }
    free(listing.items);
    return status;
}
