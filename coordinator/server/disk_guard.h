/* disk_guard - pauses a run while there is still room for what must be written.
 *
 * A step that is begun ends with a journal record and perhaps a checkpoint: room for both is kept,
 * and some to spare. Pure. */
#ifndef DUGNAD_COORDINATOR_SERVER_DISK_GUARD_H
#define DUGNAD_COORDINATOR_SERVER_DISK_GUARD_H

#include <stdint.h>

enum disk_level {
    DISK_LEVEL_AMPLE,
    DISK_LEVEL_LOW, /* the owner should hear of it */
    DISK_LEVEL_FULL /* no new step may begin */
};

/* Bytes that must be free for a step to begin: two checkpoints (the new one, and the condensed copy
 * of the oldest segment), four steps, and a little for ledger and status. */
uint64_t disk_guard_reserve_bytes(uint64_t step_bytes, uint64_t checkpoint_bytes);

/* FULL below the reserve, LOW below three times it; what was FULL stays so until there is half as
 * much again, so that a run does not stutter. free_bytes UINT64_MAX: unknown, AMPLE. */
enum disk_level disk_guard_level(enum disk_level before, uint64_t free_bytes,
                                 uint64_t reserve_bytes);

#endif
