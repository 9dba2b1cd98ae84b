/* What the simulated disk promises, and what it is allowed to do to those who do not sync. */
#include "tests/sim/sim_disk.h"
#include "tests/unit/suite.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 400, HALF = 4096, PLACE_MAX = 256 };

static uint8_t first_half[HALF];  /* all 1 */
static uint8_t second_half[HALF]; /* all 2 */

static struct sim_disk *begin(void)
{
    memset(first_half, 1, sizeof first_half);
    memset(second_half, 2, sizeof second_half);
    struct sim_disk *disk = sim_disk_new(7);
    sim_disk_use(disk);
    return disk;
}

static void append(const char *path, const void *data, size_t size_bytes, bool is_synced)
{
    int fd = disk_open(path, disk_kind_of(path) == DISK_FILE ? DISK_APPEND : DISK_CREATE, 0644);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_TRUE(disk_write(fd, data, size_bytes));
    CU_ASSERT_TRUE(!is_synced || disk_sync(fd));
    CU_ASSERT_TRUE(disk_close(fd));
}

/* Bytes of the file at most 2 * HALF; -1 when it is not there. */
static int64_t read_back(const char *path, uint8_t out[2 * HALF])
{
    int fd = disk_open(path, DISK_READ, 0);
    if (fd < 0) {
        return -1;
    }
    int64_t size_bytes = disk_size(fd);
    CU_ASSERT_TRUE_FATAL(size_bytes >= 0 && size_bytes <= 2 * HALF);
    CU_ASSERT_TRUE(disk_read(fd, 0, out, (size_t)size_bytes));
    CU_ASSERT_TRUE(disk_close(fd));
    return size_bytes;
}

static int64_t size_of(const char *path)
{
    uint8_t bytes[2 * HALF];
    return read_back(path, bytes);
}

/* A copy of the disk after a power loss, in use. */
static struct sim_disk *after_power_loss(const struct sim_disk *disk, uint64_t seed)
{
    struct sim_disk *copy = sim_disk_copy(disk);
    sim_disk_seed(copy, seed);
    sim_disk_lose_power(copy);
    sim_disk_use(copy);
    return copy;
}

static void go_back(struct sim_disk *copy, struct sim_disk *disk)
{
    sim_disk_free(copy);
    sim_disk_use(disk);
}

static void unsynced_content_is_kept_by_a_crash_and_a_matter_of_luck_without_power(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, HALF, true);
    CU_ASSERT_TRUE(disk_sync_folder("/sim"));
    append("/sim/f", second_half, HALF, false);
    sim_disk_crash(disk);
    CU_ASSERT_EQUAL(size_of("/sim/f"), 2 * HALF);
    size_t lost = 0;
    size_t kept = 0;
    size_t torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint8_t bytes[2 * HALF];
        struct sim_disk *copy = after_power_loss(disk, seed);
        int64_t size_bytes = read_back("/sim/f", bytes);
        CU_ASSERT_TRUE_FATAL(size_bytes >= HALF);
        CU_ASSERT_EQUAL(memcmp(bytes, first_half, HALF), 0); /* synced: never touched */
        bool is_whole = size_bytes == 2 * HALF && memcmp(bytes + HALF, second_half, HALF) == 0;
        lost += size_bytes == HALF ? 1 : 0;
        kept += is_whole ? 1 : 0;
        torn += size_bytes > HALF && !is_whole ? 1 : 0;
        for (int64_t i = HALF; i < size_bytes; i++) { /* sector by sector, new or zero */
            uint8_t expected = bytes[i - i % 512];
            CU_ASSERT_TRUE_FATAL(bytes[i] == expected && (expected == 0 || expected == 2));
        }
        go_back(copy, disk);
    }
    CU_ASSERT_TRUE(lost > SEEDS / 8 && kept > SEEDS / 8 && torn > SEEDS / 8);
    sim_disk_free(disk);
}

static void synced_content_under_a_synced_name_is_always_there(void)
{
    struct sim_disk *disk = begin();
    CU_ASSERT_TRUE(disk_make_folder("/sim/a", 0755));
    CU_ASSERT_TRUE(disk_sync_folder("/sim"));
    append("/sim/a/f", first_half, HALF, true);
    CU_ASSERT_TRUE(disk_sync_folder("/sim/a"));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *copy = after_power_loss(disk, seed);
        CU_ASSERT_EQUAL(size_of("/sim/a/f"), HALF);
        go_back(copy, disk);
    }
    sim_disk_free(disk);
}

static void name_without_a_folder_sync_may_be_lost(void)
{
    struct sim_disk *disk = begin();
    append("/sim/new", first_half, HALF, true);
    append("/sim/old", first_half, HALF, true);
    sim_disk_settle(disk);
    CU_ASSERT_TRUE(disk_unlink("/sim/old"));
    append("/sim/newer", first_half, HALF, true);
    CU_ASSERT_TRUE(disk_make_folder("/sim/folder", 0755));
    size_t made = 0;
    size_t unlinked = 0;
    size_t folders = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *copy = after_power_loss(disk, seed);
        int64_t size_bytes = size_of("/sim/newer");
        CU_ASSERT_TRUE(size_bytes == HALF || size_bytes == -1); /* the content was synced */
        made += size_bytes == HALF ? 1 : 0;
        unlinked += size_of("/sim/old") == -1 ? 1 : 0;
        folders += disk_kind_of("/sim/folder") == DISK_FOLDER ? 1 : 0;
        CU_ASSERT_EQUAL(size_of("/sim/new"), HALF);
        go_back(copy, disk);
    }
    CU_ASSERT_TRUE(made > SEEDS / 8 && made < SEEDS - SEEDS / 8);
    CU_ASSERT_TRUE(unlinked > SEEDS / 8 && unlinked < SEEDS - SEEDS / 8);
    CU_ASSERT_TRUE(folders > SEEDS / 8 && folders < SEEDS - SEEDS / 8);
    sim_disk_free(disk);
}

static void rename_without_a_folder_sync_is_done_or_not_and_seldom_half(void)
{
    struct sim_disk *disk = begin();
    append("/sim/to", first_half, HALF, true);
    append("/sim/from", second_half, HALF, true);
    sim_disk_settle(disk);
    CU_ASSERT_TRUE(disk_rename("/sim/from", "/sim/to"));
    CU_ASSERT_EQUAL(disk_kind_of("/sim/from"), DISK_MISSING);
    size_t counts[2][2] = {{0}}; /* [from is there][to is the new one] */
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint8_t bytes[2 * HALF];
        struct sim_disk *copy = after_power_loss(disk, seed);
        CU_ASSERT_EQUAL_FATAL(read_back("/sim/to", bytes), HALF); /* never gone */
        counts[disk_kind_of("/sim/from") == DISK_FILE][bytes[0] == 2]++;
        go_back(copy, disk);
    }
    CU_ASSERT_TRUE(counts[1][0] > SEEDS / 8 && counts[0][1] > SEEDS / 8);
    CU_ASSERT_TRUE(counts[0][0] > 0 && counts[0][0] < SEEDS / 8);
    CU_ASSERT_TRUE(counts[1][1] > 0 && counts[1][1] < SEEDS / 8);
    CU_ASSERT_TRUE(disk_sync_folder("/sim"));
    sim_disk_free(disk);
}

static void folder_renamed_between_folders_stands_in_one_place_or_none(void)
{
    struct sim_disk *disk = begin();
    CU_ASSERT_TRUE(disk_make_folder("/sim/a", 0755) && disk_make_folder("/sim/b", 0755));
    CU_ASSERT_TRUE(disk_make_folder("/sim/a/x", 0755));
    append("/sim/a/x/f", first_half, HALF, true);
    sim_disk_settle(disk);
    CU_ASSERT_TRUE(disk_rename("/sim/a/x", "/sim/b/y"));
    CU_ASSERT_TRUE(disk_sync_folder("/sim/b"));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *copy = after_power_loss(disk, seed);
        bool is_old = size_of("/sim/a/x/f") == HALF;
        bool is_new = size_of("/sim/b/y/f") == HALF;
        CU_ASSERT_TRUE(is_old != is_new);
        go_back(copy, disk);
    }
    sim_disk_free(disk);
}

static void removed_folder_may_be_back_with_some_of_its_files(void)
{
    struct sim_disk *disk = begin();
    CU_ASSERT_TRUE(disk_make_folder("/sim/a", 0755));
    append("/sim/a/f", first_half, HALF, true);
    append("/sim/a/g", first_half, HALF, true);
    sim_disk_settle(disk);
    CU_ASSERT_FALSE(disk_remove_folder("/sim/a"));
    CU_ASSERT_EQUAL(errno, ENOTEMPTY);
    CU_ASSERT_TRUE(disk_unlink("/sim/a/f") && disk_unlink("/sim/a/g"));
    CU_ASSERT_TRUE(disk_remove_folder("/sim/a"));
    size_t seen[3] = {0}; /* gone, back with less, back whole */
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *copy = after_power_loss(disk, seed);
        bool is_whole = size_of("/sim/a/f") == HALF && size_of("/sim/a/g") == HALF;
        seen[is_whole ? 2 : disk_kind_of("/sim/a") == DISK_FOLDER ? 1 : 0]++;
        go_back(copy, disk);
    }
    CU_ASSERT_TRUE(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    CU_ASSERT_TRUE(disk_sync_folder("/sim"));
    struct sim_disk *copy = after_power_loss(disk, 1);
    CU_ASSERT_EQUAL(disk_kind_of("/sim/a"), DISK_MISSING);
    go_back(copy, disk);
    sim_disk_free(disk);
}

static void same_seed_loses_the_same(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, HALF, true);
    append("/sim/f", second_half, HALF, false);
    append("/sim/g", second_half, HALF, false);
    size_t different = 0;
    int64_t last = -2;
    for (uint64_t seed = 0; seed < SEEDS / 8; seed++) {
        uint8_t bytes[2][2 * HALF];
        struct sim_disk *copy = after_power_loss(disk, seed);
        int64_t size_bytes = read_back("/sim/f", bytes[0]);
        go_back(copy, disk);
        copy = after_power_loss(disk, seed);
        CU_ASSERT_EQUAL_FATAL(read_back("/sim/f", bytes[1]), size_bytes);
        CU_ASSERT_TRUE(size_bytes < 1 || memcmp(bytes[0], bytes[1], (size_t)size_bytes) == 0);
        different += size_bytes != last ? 1 : 0;
        last = size_bytes;
        go_back(copy, disk);
    }
    CU_ASSERT_TRUE(different > SEEDS / 32);
    sim_disk_free(disk);
}

static void copy_goes_its_own_way(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, HALF, true);
    struct sim_disk *copy = sim_disk_copy(disk);
    append("/sim/f", first_half, 10, true);
    sim_disk_use(copy);
    append("/sim/f", second_half, 20, true);
    CU_ASSERT_EQUAL(sim_disk_call_count(copy), 2);
    uint8_t bytes[2 * HALF];
    CU_ASSERT_EQUAL(read_back("/sim/f", bytes), HALF + 20);
    CU_ASSERT_EQUAL(bytes[HALF], 2);
    sim_disk_use(disk);
    CU_ASSERT_EQUAL(read_back("/sim/f", bytes), HALF + 10);
    CU_ASSERT_EQUAL(bytes[HALF], 1);
    go_back(copy, disk);
    sim_disk_free(disk);
}

static void full_disk_takes_what_fits_and_goes_on_after_an_unlink(void)
{
    struct sim_disk *disk = begin();
    sim_disk_set_faults(disk, &(const struct sim_disk_faults){.capacity_bytes = 6000});
    append("/sim/f", first_half, HALF, true);
    CU_ASSERT_EQUAL(disk_free_bytes("/sim/f"), 6000 - HALF);
    int fd = disk_open("/sim/g", DISK_CREATE, 0644);
    CU_ASSERT_FALSE(disk_write(fd, second_half, HALF));
    CU_ASSERT_EQUAL(errno, ENOSPC);
    CU_ASSERT_EQUAL(disk_size(fd), 6000 - HALF);
    CU_ASSERT_EQUAL(disk_free_bytes("/sim"), 0);
    CU_ASSERT_FALSE(disk_make_folder("/sim/a", 0755));
    CU_ASSERT_EQUAL(errno, ENOSPC);
    CU_ASSERT_TRUE(disk_unlink("/sim/g"));
    CU_ASSERT_EQUAL(disk_free_bytes("/sim"), 0); /* it is open */
    CU_ASSERT_TRUE(disk_close(fd));
    CU_ASSERT_EQUAL(disk_free_bytes("/sim"), 6000 - HALF);
    CU_ASSERT_TRUE(disk_truncate("/sim/f", 100));
    CU_ASSERT_EQUAL(sim_disk_used_bytes(disk), 100);
    CU_ASSERT_FALSE(disk_truncate("/sim/f", 6001));
    CU_ASSERT_EQUAL(errno, ENOSPC);
    sim_disk_free(disk);
}

static void faults_fail_as_often_as_asked(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, HALF, true);
    uint8_t byte = 0;
    sim_disk_set_faults(
        disk, &(const struct sim_disk_faults){.read = 0.5, .write = 0.25, .sync_folder = 1.0});
    int reader = disk_open("/sim/f", DISK_READ, 0);
    int writer = disk_open("/sim/f", DISK_APPEND, 0);
    size_t read_failures = 0;
    size_t write_failures = 0;
    for (size_t i = 0; i < SEEDS; i++) {
        errno = 0;
        bool is_read = disk_read(reader, 0, &byte, 1);
        CU_ASSERT_TRUE(is_read || errno == EIO);
        errno = 0;
        bool is_written = disk_write(writer, &byte, 1);
        CU_ASSERT_TRUE(is_written || errno == EIO);
        read_failures += is_read ? 0 : 1;
        write_failures += is_written ? 0 : 1;
    }
    CU_ASSERT_TRUE(read_failures > SEEDS / 3 && read_failures < SEEDS - SEEDS / 3);
    CU_ASSERT_TRUE(write_failures > SEEDS / 8 && write_failures < SEEDS / 2);
    CU_ASSERT_TRUE(disk_size(writer) < HALF + SEEDS); /* not all of a failed write is there */
    CU_ASSERT_FALSE(disk_sync_folder("/sim"));
    CU_ASSERT_EQUAL(errno, EIO);
    CU_ASSERT_FALSE(disk_write(reader, &byte, 1));
    CU_ASSERT_EQUAL(errno, EBADF);
    CU_ASSERT_TRUE(disk_close(reader) && disk_close(writer));
    sim_disk_free(disk);
}

/* After a failed sync, a second one that works, and a power loss: is what was written there? Counts
 * of [it is read before][it is durable]. */
static void count_failed_syncs(bool ghosts, size_t counts[2][2])
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk *disk = begin();
        sim_disk_seed(disk, seed);
        append("/sim/f", first_half, HALF, true);
        sim_disk_settle(disk);
        sim_disk_set_faults(disk, &(const struct sim_disk_faults){.sync = 1.0, .ghosts = ghosts});
        int fd = disk_open("/sim/f", DISK_APPEND, 0);
        CU_ASSERT_TRUE(disk_write(fd, second_half, HALF));
        CU_ASSERT_FALSE(disk_sync(fd));
        CU_ASSERT_EQUAL(errno, EIO);
        sim_disk_set_faults(disk, &(const struct sim_disk_faults){.ghosts = false});
        CU_ASSERT_TRUE(disk_sync(fd));
        uint8_t before[2 * HALF];
        uint8_t after[2 * HALF];
        bool is_read = read_back("/sim/f", before) == 2 * HALF && before[HALF] == 2;
        sim_disk_lose_power(disk);
        bool is_durable = read_back("/sim/f", after) == 2 * HALF && after[HALF] == 2;
        CU_ASSERT_EQUAL(memcmp(after, first_half, HALF), 0);
        counts[is_read][is_durable]++;
        sim_disk_free(disk);
    }
}

static void failed_sync_drops_or_keeps_what_it_did_not_write(void)
{
    size_t plain[2][2] = {{0}};
    size_t ghosts[2][2] = {{0}};
    count_failed_syncs(false, plain);
    CU_ASSERT_TRUE(plain[0][0] > SEEDS / 8 && plain[1][1] > SEEDS / 8);
    CU_ASSERT_EQUAL(plain[1][0] + plain[0][1], 0);
    count_failed_syncs(true, ghosts);
    CU_ASSERT_TRUE(ghosts[0][0] > SEEDS / 8 && ghosts[1][1] > SEEDS / 8);
    CU_ASSERT_TRUE(ghosts[1][0] > SEEDS / 8); /* read again, synced again, and not there */
    CU_ASSERT_EQUAL(ghosts[0][1], 0);
}

static jmp_buf crashed;

static void jump(void *context)
{
    (*(size_t *)context)++;
    longjmp(crashed, 1);
}

/* Makes a file, writes, syncs it and its folder: four calls. */
static void four_calls(void)
{
    append("/sim/f", first_half, HALF, true);
    CU_ASSERT_TRUE(disk_sync_folder("/sim"));
}

static void run_four_calls(void)
{
    if (setjmp(crashed) == 0) {
        four_calls();
    }
}

static void crash_comes_before_within_or_after_the_call_that_was_named(void)
{
    static const struct {
        uint64_t call;
        enum sim_disk_moment moment;
        int64_t smallest;
        int64_t largest;
        uint64_t count;
    } CASES[] = {{1, SIM_DISK_BEFORE, -1, -1, 1},    {1, SIM_DISK_MIDDLE, -1, -1, 1},
                 {1, SIM_DISK_AFTER, 0, 0, 1},       {2, SIM_DISK_BEFORE, 0, 0, 2},
                 {2, SIM_DISK_MIDDLE, 0, HALF, 2},   {2, SIM_DISK_AFTER, HALF, HALF, 2},
                 {4, SIM_DISK_AFTER, HALF, HALF, 4}, {5, SIM_DISK_BEFORE, HALF, HALF, 4}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        static size_t crash_count;
        struct sim_disk *disk = begin();
        crash_count = 0;
        sim_disk_crash_at(disk, CASES[i].call, CASES[i].moment, jump, &crash_count);
        run_four_calls();
        CU_ASSERT_EQUAL(crash_count, CASES[i].call <= 4 ? 1 : 0);
        CU_ASSERT_EQUAL(sim_disk_call_count(disk), CASES[i].count);
        sim_disk_crash(disk);
        int64_t size_bytes = size_of("/sim/f");
        CU_ASSERT_TRUE(size_bytes >= CASES[i].smallest && size_bytes <= CASES[i].largest);
        sim_disk_free(disk);
    }
}

static void planned_failure_hits_one_call(void)
{
    struct sim_disk *disk = begin();
    sim_disk_fail_at(disk, 2, ENOSPC);
    CU_ASSERT_TRUE(disk_make_folder("/sim/a", 0755));
    CU_ASSERT_FALSE(disk_make_folder("/sim/b", 0755));
    CU_ASSERT_EQUAL(errno, ENOSPC);
    CU_ASSERT_TRUE(disk_make_folder("/sim/b", 0755));
    CU_ASSERT_EQUAL(sim_disk_call_count(disk), 3);
    sim_disk_free(disk);
}

static void lock_is_held_until_close_or_crash(void)
{
    struct sim_disk *disk = begin();
    int fd = disk_open("/sim/lock", DISK_LOCK, 0644);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(disk_open("/sim/lock", DISK_LOCK, 0644), -1);
    CU_ASSERT_EQUAL(errno, EWOULDBLOCK);
    CU_ASSERT_TRUE(disk_close(fd));
    CU_ASSERT_TRUE(disk_open("/sim/lock", DISK_LOCK, 0644) >= 0);
    sim_disk_crash(disk);
    CU_ASSERT_TRUE(disk_open("/sim/lock", DISK_LOCK, 0644) >= 0);
    sim_disk_free(disk);
}

static void rot_flips_one_bit(void)
{
    struct sim_disk *disk = begin();
    char place[PLACE_MAX];
    CU_ASSERT_FALSE(sim_disk_rot_any(disk, place, sizeof place));
    CU_ASSERT_TRUE(sim_disk_put(disk, "/sim/a/b/f", first_half, HALF));
    CU_ASSERT_TRUE(sim_disk_rot(disk, "/sim/a/b/f", 8 * 100 + 3));
    CU_ASSERT_FALSE(sim_disk_rot(disk, "/sim/a/b/f", 8 * HALF));
    CU_ASSERT_FALSE(sim_disk_rot(disk, "/sim/a/b/g", 0));
    uint8_t bytes[2 * HALF];
    CU_ASSERT_EQUAL(read_back("/sim/a/b/f", bytes), HALF);
    CU_ASSERT_EQUAL(bytes[100], 1 ^ 8);
    bytes[100] = 1;
    CU_ASSERT_EQUAL(memcmp(bytes, first_half, HALF), 0);
    CU_ASSERT_TRUE(sim_disk_rot_any(disk, place, sizeof place));
    CU_ASSERT_STRING_EQUAL(place, "/sim/a/b/f");
    sim_disk_lose_power(disk);
    CU_ASSERT_EQUAL(read_back("/sim/a/b/f", bytes), HALF);
    CU_ASSERT_NOT_EQUAL(memcmp(bytes, first_half, HALF), 0);
    sim_disk_free(disk);
}

static void map_keeps_what_it_saw(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, HALF, true);
    int fd = disk_open("/sim/f", DISK_READ, 0);
    CU_ASSERT_PTR_NULL(disk_map(fd, 0));
    CU_ASSERT_EQUAL(errno, 0);
    const uint8_t *data = disk_map(fd, HALF);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    CU_ASSERT_TRUE(disk_close(fd));
    append("/sim/f", second_half, HALF, true);
    CU_ASSERT_TRUE(sim_disk_rot(disk, "/sim/f", 0));
    CU_ASSERT_TRUE(disk_unlink("/sim/f"));
    CU_ASSERT_EQUAL(memcmp(data, first_half, HALF), 0);
    disk_unmap(data, HALF);
    sim_disk_free(disk);
}

static void wrong_calls_fail_as_the_kernels_do(void)
{
    struct sim_disk *disk = begin();
    append("/sim/f", first_half, 1, false);
    CU_ASSERT_TRUE(disk_make_folder("/sim/a", 0755) && disk_make_folder("/sim/a/b", 0755));
    append("/sim/a/g", first_half, 1, false);
    static const struct {
        const char *from;
        const char *to;
        int error;
    } RENAMES[] = {{"/sim/none", "/sim/x", ENOENT},   {"/sim/f", "/sim/none/x", ENOENT},
                   {"/sim/f", "/sim/a", EISDIR},      {"/sim/a", "/sim/f", ENOTDIR},
                   {"/sim/a", "/sim/a/b/c", EINVAL},  {"/sim/f", "/sim/f/x", ENOTDIR},
                   {"/sim/a/b", "/sim/a", ENOTEMPTY}, {"/sim/f", "/tmp/x", EROFS}};
    for (size_t i = 0; i < sizeof RENAMES / sizeof RENAMES[0]; i++) {
        CU_ASSERT_FALSE(disk_rename(RENAMES[i].from, RENAMES[i].to));
        CU_ASSERT_EQUAL(errno, RENAMES[i].error);
    }
    CU_ASSERT_EQUAL(disk_open("/sim/f", DISK_CREATE, 0644), -1);
    CU_ASSERT_EQUAL(errno, EEXIST);
    CU_ASSERT_EQUAL(disk_open("/sim/none", DISK_APPEND, 0), -1);
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_EQUAL(disk_open("/tmp/x", DISK_CREATE, 0644), -1);
    CU_ASSERT_EQUAL(errno, EROFS);
    CU_ASSERT_FALSE(disk_unlink("/sim/a"));
    CU_ASSERT_FALSE(disk_remove_folder("/sim/f"));
    CU_ASSERT_EQUAL(disk_kind_of("/sim/./a/../a/b/."), DISK_FOLDER);
    CU_ASSERT_EQUAL(disk_kind_of("/sim/f/."), DISK_MISSING);
    CU_ASSERT_EQUAL(disk_kind_of("/simple"), DISK_MISSING); /* a real path */
    CU_ASSERT_EQUAL(disk_kind_of("/tmp"), DISK_FOLDER);
    int fd = disk_open("/sim/a", DISK_READ, 0);
    CU_ASSERT_EQUAL(disk_size(fd), -1);
    CU_ASSERT_EQUAL(errno, EINVAL);
    CU_ASSERT_TRUE(disk_close(fd));
    CU_ASSERT_EQUAL(sim_disk_call_count(disk), 6); /* none of these changed anything */
    sim_disk_free(disk);
}

static bool count_name(void *context, const char *name)
{
    (void)name;
    (*(size_t *)context)++;
    return true;
}

static void names_that_wait_long_are_written_by_themselves(void)
{
    struct sim_disk *disk = begin();
    append("/sim/early", first_half, 8, true);
    for (size_t i = 0; i < 2000; i++) { /* as a status is rewritten: no sync at all */
        append("/sim/status.tmp", first_half, 8, false);
        CU_ASSERT_TRUE(disk_rename("/sim/status.tmp", "/sim/status"));
    }
    size_t count = 0;
    CU_ASSERT_TRUE(disk_list("/sim", count_name, &count));
    CU_ASSERT_EQUAL(count, 2);
    for (uint64_t seed = 0; seed < SEEDS / 8; seed++) {
        struct sim_disk *copy = after_power_loss(disk, seed);
        CU_ASSERT_EQUAL(size_of("/sim/early"), 8);
        CU_ASSERT_TRUE(size_of("/sim/status") >= 0 || size_of("/sim/status.tmp") >= 0);
        CU_ASSERT_TRUE(sim_disk_used_bytes(copy) <= 24);
        go_back(copy, disk);
    }
    sim_disk_free(disk);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(unsynced_content_is_kept_by_a_crash_and_a_matter_of_luck_without_power),
        SUITE_TEST(synced_content_under_a_synced_name_is_always_there),
        SUITE_TEST(name_without_a_folder_sync_may_be_lost),
        SUITE_TEST(rename_without_a_folder_sync_is_done_or_not_and_seldom_half),
        SUITE_TEST(folder_renamed_between_folders_stands_in_one_place_or_none),
        SUITE_TEST(removed_folder_may_be_back_with_some_of_its_files),
        SUITE_TEST(same_seed_loses_the_same),
        SUITE_TEST(copy_goes_its_own_way),
        SUITE_TEST(full_disk_takes_what_fits_and_goes_on_after_an_unlink),
        SUITE_TEST(faults_fail_as_often_as_asked),
        SUITE_TEST(failed_sync_drops_or_keeps_what_it_did_not_write),
        SUITE_TEST(crash_comes_before_within_or_after_the_call_that_was_named),
        SUITE_TEST(planned_failure_hits_one_call),
        SUITE_TEST(lock_is_held_until_close_or_crash),
        SUITE_TEST(rot_flips_one_bit),
        SUITE_TEST(map_keeps_what_it_saw),
        SUITE_TEST(wrong_calls_fail_as_the_kernels_do),
        SUITE_TEST(names_that_wait_long_are_written_by_themselves),
    };
    return suite_run("sim_disk", tests, sizeof tests / sizeof tests[0]);
}
