#include "peer/daemon/state_space.h"

#include "common/fault.h"
#include "common/files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Deeper than anything of ours; no more than so many entries are looked at. */
enum { DEPTH_MAX = 4, ENTRIES_MAX = 100000, ENTRY_BYTES = 4096 };

struct sum {
    uint64_t bytes;
    uint32_t entries;
};

/* What cannot be looked at counts as an entry. A small file takes a block all the same. */
static void add_folder(const char *path, unsigned depth, struct sum *sum)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return;
    }
    for (const struct dirent *entry;
         sum->entries < ENTRIES_MAX && (entry = readdir(folder)) != NULL;) { // NOLINT(*-mt-unsafe)
        char inner[FILES_PATH_MAX];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            files_join(path, entry->d_name, inner) != STATUS_OK) {
            continue;
        }
        sum->entries++;
        sum->bytes += ENTRY_BYTES;
        if (lstat(inner, &info) != 0) {
            continue;
        }
        if (S_ISREG(info.st_mode) && info.st_size > ENTRY_BYTES) {
            sum->bytes += (uint64_t)info.st_size - ENTRY_BYTES;
        } else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
            add_folder(inner, depth + 1, sum);
        }
    }
    (void)closedir(folder);
}

enum status state_space_check(const char *folder, uint64_t more_bytes, uint64_t bytes_max)
{
    struct sum sum = {.bytes = more_bytes};
    add_folder(folder, 0, &sum);
    if (sum.bytes > bytes_max || sum.entries == ENTRIES_MAX) {
        return fault(STATUS_CANNOT_CREATE,
                     "%s would hold %" PRIu64 " MiB and --disk allows %" PRIu64
                     "; remove what you do not need there, or allow more",
                     folder, (sum.bytes >> 20) + 1, bytes_max >> 20);
    }
    return STATUS_OK;
}
