/* sim_disk - a disk in memory that loses, tears, fills, fails and rots, for programs that are
 * linked with this instead of common/disk.c.
 *
 * Paths at and below "/sim" are on the current disk; any other path is the real system's, and can
 * only be read (data folders): what would change it fails with EROFS.
 *
 * A disk stands for one machine with one process. A write is seen at once; disk_sync makes a file's
 * content durable, disk_sync_folder the names in a folder: made, renamed, unlinked. When the
 * process crashes, its descriptors and locks are gone and what was written is still seen. When
 * power is lost, what was synced is there, and for everything else a choice is made: content since
 * the last sync lost, kept, or torn by sectors of 512 bytes (new, old or zero, of any length in
 * between); names as they were, as they became, or a rename half done. Names that wait for a sync
 * for very long are written by themselves, as a kernel does.
 *
 * All of it follows from the seed and the calls: no address, time or order of allocation has a part
 * in it. One thread works on it at a time. */
#ifndef DUGNAD_TESTS_SIM_SIM_DISK_H
#define DUGNAD_TESTS_SIM_SIM_DISK_H

#include "common/disk.h"

#define SIM_DISK_ROOT "/sim"

struct sim_disk;

/* An empty disk, on which everything works. The caller owns it: sim_disk_free. */
struct sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(struct sim_disk *self); /* NULL is allowed. */

/* The same files, seen and durable, and the same luck; no descriptors, locks and plans, and a count
 * of calls that begins at 0. Contents are shared, so it is cheap. */
struct sim_disk *sim_disk_copy(const struct sim_disk *self);

/* What the functions of common/disk.h work on; NULL for none. */
void sim_disk_use(struct sim_disk *self);

/* Another luck from here on. */
void sim_disk_seed(struct sim_disk *self, uint64_t seed);

/* Each is the share of calls, 0 to 1, that fail with EIO. */
struct sim_disk_faults {
    double read;             /* disk_read, disk_map, disk_list */
    double write;            /* a part may have been written */
    double sync;             /* what was not synced is kept for another sync, or dropped */
    double sync_folder;      /* names wait for another sync */
    bool ghosts;             /* after a failed sync, dropped data may be seen until power is lost */
    uint64_t capacity_bytes; /* of all files together, then ENOSPC; 0 for no limit */
    bool free_unknown;       /* disk_free_bytes does not tell of that limit */
};
void sim_disk_set_faults(struct sim_disk *self, const struct sim_disk_faults *faults);

/* What the disk_ functions count: each call that makes, writes, cuts, syncs, renames or removes
 * something on this disk, or is made to fail at it. A call that changes nothing is not counted. */
uint64_t sim_disk_call_count(const struct sim_disk *self);

enum sim_disk_moment {
    SIM_DISK_BEFORE,
    SIM_DISK_MIDDLE, /* a part of a write is done; any other call: before */
    SIM_DISK_AFTER
};

/* The n-th such call from now (1: the next) does not return but calls `crash`, which must not
 * return either; the caller then chooses sim_disk_crash or sim_disk_lose_power. n = 0: never. */
void sim_disk_crash_at(struct sim_disk *self, uint64_t n, enum sim_disk_moment moment,
                       void (*crash)(void *context), void *context);

/* The n-th such call from now fails with this errno. n = 0: none. */
void sim_disk_fail_at(struct sim_disk *self, uint64_t n, int error);

/* The process is gone: so are its descriptors, locks and maps, and the plans above. */
void sim_disk_crash(struct sim_disk *self);

/* The machine is gone as well: see above for what is left. */
void sim_disk_lose_power(struct sim_disk *self);

/* Makes durable all that is seen, as sync(2). */
void sim_disk_settle(struct sim_disk *self);

/* Puts a durable file there, whatever the path held, and the folders above it. False with errno. */
bool sim_disk_put(struct sim_disk *self, const char *path, const void *data, size_t size_bytes);

/* Flips one bit (0: the lowest of the first byte) of a file's durable content, which readers see
 * unless the byte waits to be written; false when it is not that long or not there. */
bool sim_disk_rot(struct sim_disk *self, const char *path, uint64_t bit);

/* The same to any bit of any file; out_path (of out_bytes) is where. False when all is empty. */
bool sim_disk_rot_any(struct sim_disk *self, char *out_path, size_t out_bytes);

uint64_t sim_disk_used_bytes(const struct sim_disk *self);

#endif
