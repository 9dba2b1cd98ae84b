/* Files that appear whole or not at all, under a crash at every call and under every fault:
 * whatever happens, a path holds its old content or the new one. */
#include "common/fault.h"
#include "common/files.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/suite.h"
#include "trainer/formats/output_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { OLD_BYTES = 3000, NEW_BYTES = 150000, PIECE_BYTES = 7001, POWER_SEEDS = 50 };

static const char place[] = "/sim/d/f";
static uint8_t old_content[OLD_BYTES];
static uint8_t new_content[NEW_BYTES];

/* Static, so that a crash that jumps out of a write leaves it for freeing. */
static struct output_file output;

static enum status write_atomic(void)
{
    return files_write_atomic(place, new_content, NEW_BYTES, 0644);
}

static enum status write_in_pieces(void)
{
    enum status status = output_file_begin(&output, place);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t done = 0; done < NEW_BYTES && status == STATUS_OK; done += PIECE_BYTES) {
        size_t left = NEW_BYTES - done;
        status =
            output_file_write(&output, new_content + done, left < PIECE_BYTES ? left : PIECE_BYTES);
    }
    if (status != STATUS_OK) {
        output_file_abandon(&output);
        return status;
    }
    return output_file_commit(&output);
}

static enum status (*const writers[])(void) = {write_atomic, write_in_pieces};
enum { WRITER_COUNT = 2 };

/* A durable old file; beside it perhaps what a predecessor left. */
static struct sim_disk *prepare(bool with_leftover)
{
    for (size_t i = 0; i < NEW_BYTES; i++) {
        new_content[i] = (uint8_t)(i % 251 + 1);
    }
    memset(old_content, 255, sizeof old_content);
    struct sim_disk *disk = sim_disk_new(11);
    CU_ASSERT_TRUE(sim_disk_put(disk, place, old_content, OLD_BYTES));
    CU_ASSERT_TRUE(!with_leftover || sim_disk_put(disk, "/sim/d/f.tmp", old_content, 10));
    return disk;
}

enum content { OLD, NEW, MIXTURE };

static enum content content_of(struct sim_disk *disk)
{
    const struct sim_disk_faults none = {.capacity_bytes = 0};
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    sim_disk_use(disk);
    sim_disk_set_faults(disk, &none);
    enum content found = MIXTURE;
    if (files_read(place, NEW_BYTES, &data, &size_bytes) == STATUS_OK) {
        if (size_bytes == OLD_BYTES && memcmp(data, old_content, OLD_BYTES) == 0) {
            found = OLD;
        } else if (size_bytes == NEW_BYTES && memcmp(data, new_content, NEW_BYTES) == 0) {
            found = NEW;
        }
    }
    free(data);
    return found;
}

/* How many of the seeds leave the new content after a power loss; all others the old. */
static size_t count_new_after_power_loss(struct sim_disk *disk)
{
    size_t count = 0;
    for (uint64_t seed = 0; seed < POWER_SEEDS; seed++) {
        struct sim_disk *copy = sim_disk_copy(disk);
        sim_disk_seed(copy, seed);
        sim_disk_lose_power(copy);
        enum content found = content_of(copy);
        CU_ASSERT_NOT_EQUAL(found, MIXTURE);
        count += found == NEW ? 1 : 0;
        sim_disk_free(copy);
    }
    sim_disk_use(disk);
    return count;
}

static jmp_buf crashed;

static void jump(void *context)
{
    (void)context;
    longjmp(crashed, 1);
}

/* True when the writer came to its end, false when the process crashed. */
static bool run_until_crash(enum status (*writer)(void))
{
    if (setjmp(crashed) != 0) {
        free(output.buffer);
        output.buffer = NULL;
        return false;
    }
    CU_ASSERT_EQUAL(writer(), STATUS_OK);
    return true;
}

/* After the crash of one call: the content, after power losses as well, and that a second try
 * comes to its end. */
static void check_crash(const struct sim_disk *base, uint64_t call, enum sim_disk_moment moment,
                        enum status (*writer)(void))
{
    struct sim_disk *disk = sim_disk_copy(base);
    sim_disk_use(disk);
    sim_disk_crash_at(disk, call, moment, jump, NULL);
    CU_ASSERT_FALSE(run_until_crash(writer));
    sim_disk_crash(disk);
    (void)count_new_after_power_loss(disk);
    CU_ASSERT_NOT_EQUAL(content_of(disk), MIXTURE);
    CU_ASSERT_TRUE(run_until_crash(writer));
    CU_ASSERT_EQUAL(content_of(disk), NEW);
    CU_ASSERT_EQUAL(count_new_after_power_loss(disk), POWER_SEEDS);
    sim_disk_free(disk);
}

/* Counted calls of an undisturbed write, which is durable at its end. */
static uint64_t count_calls(const struct sim_disk *base, enum status (*writer)(void))
{
    struct sim_disk *disk = sim_disk_copy(base);
    sim_disk_use(disk);
    CU_ASSERT_EQUAL(writer(), STATUS_OK);
    uint64_t count = sim_disk_call_count(disk);
    CU_ASSERT_EQUAL(content_of(disk), NEW);
    CU_ASSERT_EQUAL(count_new_after_power_loss(disk), POWER_SEEDS);
    CU_ASSERT_EQUAL(disk_kind_of("/sim/d/f.tmp"), DISK_MISSING);
    sim_disk_free(disk);
    return count;
}

static void crash_at_every_call_leaves_old_or_new(void)
{
    for (size_t i = 0; i < 2 * WRITER_COUNT; i++) {
        struct sim_disk *base = prepare(i >= WRITER_COUNT);
        enum status (*writer)(void) = writers[i % WRITER_COUNT];
        uint64_t count = count_calls(base, writer);
        CU_ASSERT_TRUE(count >= 5); /* create, write, sync, rename, sync of the folder */
        for (uint64_t call = 1; call <= count; call++) {
            check_crash(base, call, SIM_DISK_BEFORE, writer);
            check_crash(base, call, SIM_DISK_MIDDLE, writer);
            check_crash(base, call, SIM_DISK_AFTER, writer);
        }
        sim_disk_free(base);
    }
}

/* The writer must fail, say so with the path, and leave old or new. */
static void check_failure(struct sim_disk *disk, enum status (*writer)(void))
{
    sim_disk_use(disk);
    (void)fault(STATUS_IO, "nothing was said");
    enum status status = writer();
    CU_ASSERT_TRUE(status == STATUS_IO || status == STATUS_CANNOT_CREATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), "/sim/d"));
    CU_ASSERT_NOT_EQUAL(content_of(disk), MIXTURE);
    sim_disk_crash(disk);
    (void)count_new_after_power_loss(disk);
}

static void failure_of_every_call_is_told_and_leaves_old_or_new(void)
{
    for (size_t i = 0; i < 2 * WRITER_COUNT; i++) {
        struct sim_disk *base = prepare(i >= WRITER_COUNT);
        enum status (*writer)(void) = writers[i % WRITER_COUNT];
        uint64_t count = count_calls(base, writer);
        for (uint64_t call = 1; call <= count; call++) {
            struct sim_disk *disk = sim_disk_copy(base);
            sim_disk_fail_at(disk, call, EIO);
            check_failure(disk, writer);
            sim_disk_free(disk);
        }
        sim_disk_free(base);
    }
}

static void kinds_of_faults_are_told_and_leave_old_or_new(void)
{
    static const struct sim_disk_faults kinds[] = {
        {.write = 1.0}, {.sync = 1.0}, {.sync = 1.0, .ghosts = true}, {.sync_folder = 1.0}};
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        struct sim_disk *base = prepare(false);
        for (size_t j = 0; j < sizeof kinds / sizeof kinds[0]; j++) {
            struct sim_disk *disk = sim_disk_copy(base);
            sim_disk_set_faults(disk, &kinds[j]);
            check_failure(disk, writers[i]);
            sim_disk_free(disk);
        }
        sim_disk_free(base);
    }
}

static void full_disk_leaves_the_old_content_and_no_temporary(void)
{
    for (size_t i = 0; i < WRITER_COUNT; i++) {
        struct sim_disk *base = prepare(false);
        for (uint64_t room = 0; room < NEW_BYTES; room += 9973) {
            struct sim_disk *disk = sim_disk_copy(base);
            sim_disk_set_faults(
                disk, &(const struct sim_disk_faults){.capacity_bytes = OLD_BYTES + room});
            check_failure(disk, writers[i]);
            CU_ASSERT_EQUAL(content_of(disk), OLD);
            CU_ASSERT_EQUAL(sim_disk_used_bytes(disk), OLD_BYTES);
            sim_disk_free(disk);
        }
        sim_disk_free(base);
    }
}

static void faults_at_random_never_leave_a_mixture(void)
{
    size_t failures = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_disk *disk = prepare(seed % 2 == 0);
        sim_disk_seed(disk, seed);
        sim_disk_set_faults(disk,
                            &(const struct sim_disk_faults){
                                .write = 0.1, .sync = 0.2, .sync_folder = 0.2, .ghosts = true});
        sim_disk_use(disk);
        enum status status = writers[seed % WRITER_COUNT]();
        failures += status != STATUS_OK ? 1 : 0;
        sim_disk_lose_power(disk);
        enum content found = content_of(disk);
        CU_ASSERT_TRUE(status == STATUS_OK ? found == NEW : found != MIXTURE);
        sim_disk_free(disk);
    }
    CU_ASSERT_TRUE(failures > 40 && failures < 160);
}

static void replace_shows_readers_old_or_new(void)
{
    struct sim_disk *disk = prepare(false);
    sim_disk_use(disk);
    CU_ASSERT_EQUAL(files_replace(place, new_content, NEW_BYTES, 0644), STATUS_OK);
    CU_ASSERT_EQUAL(sim_disk_call_count(disk), 3); /* and not one sync */
    sim_disk_crash(disk);
    CU_ASSERT_EQUAL(content_of(disk), NEW);
    sim_disk_free(disk);
}

static void unreadable_file_is_told(void)
{
    struct sim_disk *disk = prepare(false);
    sim_disk_use(disk);
    sim_disk_set_faults(disk, &(const struct sim_disk_faults){.read = 1.0});
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    struct file_view view;
    CU_ASSERT_EQUAL(files_read(place, NEW_BYTES, &data, &size_bytes), STATUS_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault_text(), place));
    CU_ASSERT_EQUAL(files_map(place, &view), STATUS_IO);
    CU_ASSERT_EQUAL(files_remove_folder("/sim/d"), STATUS_IO);
    CU_ASSERT_EQUAL(content_of(disk), OLD);
    CU_ASSERT_EQUAL(files_remove_folder("/sim/d"), STATUS_OK);
    CU_ASSERT_FALSE(files_exists("/sim/d"));
    sim_disk_free(disk);
}

int main(void)
{
    static const struct suite_test tests[] = {
        SUITE_TEST(crash_at_every_call_leaves_old_or_new),
        SUITE_TEST(failure_of_every_call_is_told_and_leaves_old_or_new),
        SUITE_TEST(kinds_of_faults_are_told_and_leave_old_or_new),
        SUITE_TEST(full_disk_leaves_the_old_content_and_no_temporary),
        SUITE_TEST(faults_at_random_never_leave_a_mixture),
        SUITE_TEST(replace_shows_readers_old_or_new),
        SUITE_TEST(unreadable_file_is_told),
    };
    return suite_run("disk_faults", tests, sizeof tests / sizeof tests[0]);
}
