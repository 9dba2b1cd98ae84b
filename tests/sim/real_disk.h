/* real_disk - common/disk.c under other names, for what a simulated program reads of the real
 * system (CMakeLists.txt renames its functions). */
#ifndef DUGNAD_TESTS_SIM_REAL_DISK_H
#define DUGNAD_TESTS_SIM_REAL_DISK_H

#include "common/disk.h"

int real_disk_open(const char *path, enum disk_open how, mode_t mode);
int64_t real_disk_size(int fd);
bool real_disk_is_private(int fd);
bool real_disk_read(int fd, uint64_t offset, void *out, size_t size_bytes);
bool real_disk_close(int fd);
enum disk_kind real_disk_kind_of(const char *path);
bool real_disk_list(const char *path, bool (*visit)(void *context, const char *name),
                    void *context);
const uint8_t *real_disk_map(int fd, size_t size_bytes);
void real_disk_unmap(const uint8_t *data, size_t size_bytes);

#endif
