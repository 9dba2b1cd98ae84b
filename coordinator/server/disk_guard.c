#include "coordinator/server/disk_guard.h"

enum { SPARE_BYTES = 16 << 20 };

uint64_t disk_guard_reserve_bytes(uint64_t step_bytes, uint64_t checkpoint_bytes)
{
    return 4 * step_bytes + 2 * checkpoint_bytes + SPARE_BYTES;
}

enum disk_level disk_guard_level(enum disk_level before, uint64_t free_bytes,
                                 uint64_t reserve_bytes)
{
    uint64_t enough = before == DISK_LEVEL_FULL ? reserve_bytes + reserve_bytes / 2 : reserve_bytes;
    if (free_bytes < enough) {
        return DISK_LEVEL_FULL;
    }
    return free_bytes < 3 * reserve_bytes ? DISK_LEVEL_LOW : DISK_LEVEL_AMPLE;
}
