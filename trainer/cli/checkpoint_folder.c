#include "trainer/cli/checkpoint_folder.h"

#include "common/fault.h"
#include "common/files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_PREFIX "step-"

enum { FOLDER_NAME_MAX = 64 };

static enum status write_folder(const char *temporary, const char *final,
                                const struct model_config *config, const struct layout *layout,
                                const float *params, const struct tokenizer *tokenizer)
{
    enum status status = files_remove_folder(temporary);
    if (status == STATUS_OK) {
        status = files_make_folder(temporary);
    }
    if (status == STATUS_OK) {
        status = hf_folder_write(temporary, config, layout, params, tokenizer);
    }
    if (status == STATUS_OK) {
        status = files_sync_folder(temporary);
    }
    return status == STATUS_OK ? files_rename(temporary, final) : status;
}

/* Frees the space of a checkpoint that failed, on a disk that may be full. The first failure is
 * the one to tell, so its sentence is put back if clearing up fails as well. */
static void clear_away(const char *temporary, enum status status)
{
    char sentence[FAULT_TEXT_MAX];
    (void)snprintf(sentence, sizeof sentence, "%s", fault_text());
    if (files_remove_folder(temporary) != STATUS_OK) {
        (void)fault(status, "%s", sentence);
    }
}

enum status checkpoint_folder_write(const char *parent, uint64_t step,
                                    const struct model_config *config, const struct layout *layout,
                                    const float *params, const struct tokenizer *tokenizer)
{
    char name[FOLDER_NAME_MAX];
    char temporary_name[FOLDER_NAME_MAX + 8];
    (void)snprintf(name, sizeof name, STEP_PREFIX "%06" PRIu64, step);
    (void)snprintf(temporary_name, sizeof temporary_name, ".%s.tmp", name);
    char final[FILES_PATH_MAX];
    char temporary[FILES_PATH_MAX];
    enum status status = files_join(parent, name, final);
    if (status == STATUS_OK) {
        status = files_join(parent, temporary_name, temporary);
    }
    if (status == STATUS_OK) {
        status = files_make_folder(parent);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (files_exists(final)) {
        return fault(STATUS_CANNOT_CREATE, "%s is there already; choose another folder", final);
    }
    status = write_folder(temporary, final, config, layout, params, tokenizer);
    if (status != STATUS_OK) {
        clear_away(temporary, status);
    }
    return status;
}

/* The step of a checkpoint's name; false for every other name. */
static bool step_of(const char *name, uint64_t *out)
{
    const char *digits = name + strlen(STEP_PREFIX);
    if (strncmp(name, STEP_PREFIX, strlen(STEP_PREFIX)) != 0 || strlen(digits) < 6 ||
        digits[strspn(digits, "0123456789")] != '\0') {
        return false;
    }
    errno = 0;
    *out = strtoull(digits, NULL, 10);
    return errno == 0;
}

/* The lowest step above 0 below `parent`, and how many there are. */
static enum status find_oldest(const char *parent, uint64_t *out_step, uint64_t *out_count)
{
    DIR *folder = opendir(parent);
    if (folder == NULL) {
        return fault(STATUS_NO_INPUT, "cannot read the folder %s: %s", parent, strerror(errno));
    }
    *out_count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        uint64_t step;
        if (step_of(entry->d_name, &step) && step > 0) {
            *out_step = *out_count == 0 || step < *out_step ? step : *out_step;
            (*out_count)++;
        }
    }
    (void)closedir(folder);
    return STATUS_OK;
}

enum status checkpoint_folder_prune(const char *parent, uint32_t kept)
{
    while (kept > 0) {
        uint64_t step = 0;
        uint64_t count = 0;
        enum status status = find_oldest(parent, &step, &count);
        if (status != STATUS_OK || count <= kept) {
            return status;
        }
        char name[FOLDER_NAME_MAX];
        char path[FILES_PATH_MAX];
        (void)snprintf(name, sizeof name, STEP_PREFIX "%06" PRIu64, step);
        status = files_join(parent, name, path);
        if (status == STATUS_OK) {
            status = files_remove_folder(path);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}
