#include "tests/sim/sim_storage.h"

#include "tests/sim/sim_template.h"

#include <errno.h>
#include <string.h>

enum {
    DISK_STREAM = 6,
    CALLS_MAX = 150,
    FAIL_CALLS_MAX = 60,
    FULL_US_MAX = 10000000,
    ROT_TRIES = 20
};

enum kind { FAIL_ONE, FULL, ROOM, FAIL_SOME, FAIL_NONE, ROT, KINDS };

static void plan_fault(uint32_t kind)
{
    struct sim_event event = {.time_us = sim_chance(sim->plan.safety_us),
                              .tie = random_next(&sim->ties),
                              .type = SIM_DISK,
                              .worker = kind};
    sim_heap_push(&sim->heap, &event);
}

void sim_storage_begin(void)
{
    sim->disk = sim_disk_copy(sim->pattern->disk);
    sim_disk_seed(sim->disk, random_mix(sim->seed + DISK_STREAM));
    sim_disk_use(sim->disk);
    static const uint32_t kinds[] = {FAIL_ONE, FULL, FAIL_SOME};
    for (unsigned i = 0; i < sim->plan.disk_faults; i++) {
        plan_fault(kinds[sim_chance(sizeof kinds / sizeof kinds[0])]);
    }
    for (unsigned i = 0; i < sim->plan.rots; i++) {
        plan_fault(ROT);
    }
}

void sim_storage_end(void)
{
    sim_disk_use(NULL);
    sim_disk_free(sim->disk);
    sim->disk = NULL;
}

static void undo_later(enum kind kind)
{
    struct sim_event event = {.time_us = sim->now_us + sim_chance(FULL_US_MAX),
                              .tie = random_next(&sim->ties),
                              .type = SIM_DISK,
                              .worker = kind};
    sim_heap_push(&sim->heap, &event);
}

static void fail_one(void)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS};
    uint64_t call = 1 + sim_chance(FAIL_CALLS_MAX);
    sim_disk_fail_at(sim->disk, call, errors[sim_chance(sizeof errors / sizeof errors[0])]);
}

static void fail_some(void)
{
    sim->disk_faults.read = sim_chance(2) == 0 ? 0.02 : 0.0;
    sim->disk_faults.write = sim_chance(2) == 0 ? 0.02 : 0.0;
    sim->disk_faults.sync = sim_chance(2) == 0 ? 0.05 : 0.0;
    sim->disk_faults.sync_folder = sim_chance(2) == 0 ? 0.05 : 0.0;
    sim->disk_faults.ghosts = sim_chance(2) == 0;
}

static void fail_none(void)
{
    uint64_t capacity_bytes = sim->disk_faults.capacity_bytes;
    bool free_unknown = sim->disk_faults.free_unknown;
    sim->disk_faults =
        (struct sim_disk_faults){.capacity_bytes = capacity_bytes, .free_unknown = free_unknown};
}

/* Files that nothing but a copy brings back (key, run.yaml, data) are left alone: their hashes,
 * where they have one, are the unit tests' affair. */
static bool may_rot(const char *path)
{
    return strstr(path, "/journal/") != NULL || strstr(path, "/checkpoints/") != NULL;
}

/* A copy of the disk tells which file a luck will hit. */
static void rot(void)
{
    char path[FILES_PATH_MAX] = "";
    for (int i = 0; i < ROT_TRIES; i++) {
        uint64_t luck = sim_chance(UINT64_MAX);
        struct sim_disk *copy = sim_disk_copy(sim->disk);
        sim_disk_seed(copy, luck);
        bool hit = sim_disk_rot_any(copy, path, sizeof path) && may_rot(path);
        sim_disk_free(copy);
        if (hit) {
            sim_disk_seed(sim->disk, luck);
            (void)sim_disk_rot_any(sim->disk, path, sizeof path);
            sim->rotten = true;
            sim->figures.rots++;
            sim_line("a bit of %s flips", path);
            return;
        }
    }
}

void sim_storage_fault(uint32_t kind)
{
    static const char *const names[KINDS] = {"will fail a call", "is full",       "has room",
                                             "fails at times",   "fails no more", "rots"};
    if (sim->calm) {
        return;
    }
    sim_line("the disk %s", names[kind]);
    switch ((enum kind)kind) {
    case FAIL_ONE:
        fail_one();
        sim->figures.disk_errors++;
        return;
    case FULL:
        sim->disk_faults.capacity_bytes = sim_disk_used_bytes(sim->disk) + 1 + sim_chance(100000);
        /* Told of it the coordinator pauses; else its writes fail. */
        sim->disk_faults.free_unknown = sim_chance(2) == 0;
        sim->figures.disk_full++;
        undo_later(ROOM);
        break;
    case ROOM:
        sim->disk_faults.capacity_bytes = 0;
        sim->disk_faults.free_unknown = false;
        break;
    case FAIL_SOME:
        fail_some();
        sim->figures.disk_errors++;
        undo_later(FAIL_NONE);
        break;
    case FAIL_NONE:
        fail_none();
        break;
    case ROT:
        rot();
        break;
    case KINDS:
    default:
        break;
    }
    sim_disk_set_faults(sim->disk, &sim->disk_faults);
}

void sim_storage_calm(void)
{
    sim->disk_faults = (struct sim_disk_faults){0};
    sim_disk_set_faults(sim->disk, &sim->disk_faults);
    sim_disk_fail_at(sim->disk, 0, 0);
    sim_disk_crash_at(sim->disk, 0, SIM_DISK_BEFORE, NULL, NULL);
}

static void crash_inside(void *context)
{
    (void)context;
    sim->figures.call_crashes++;
    sim_process_crash();
}

/* Counts lives from 0; what comes after the second is not told apart. */
static size_t life(void)
{
    uint64_t incarnation = sim->coordinator.process.incarnation;
    return incarnation < 3 ? (size_t)incarnation - 1 : 2;
}

static void count_calls(void)
{
    sim->calls[life()] = sim_disk_call_count(sim->disk) - sim->calls_before;
}

void sim_storage_served(void)
{
    count_calls();
    if (life() == 1) {
        sim->recovery_calls = sim->calls[1];
    }
}

void sim_storage_exit(void)
{
    count_calls();
    sim_disk_crash(sim->disk);
}

bool sim_storage_power(void)
{
    size_t index = life();
    return index < 2 && sim->crashes[index].call > 0 ? sim->crashes[index].power
                                                     : sim_chance(2) == 0;
}

void sim_storage_arm(void)
{
    size_t index = life();
    sim->calls_before = sim_disk_call_count(sim->disk);
    if (index < 2 && sim->crashes[index].call > 0) {
        sim_disk_crash_at(sim->disk, sim->crashes[index].call, sim->crashes[index].moment,
                          crash_inside, NULL);
        return;
    }
    if (sim->calm || sim->call_crashes_left == 0 || sim_chance(2) == 0) {
        return;
    }
    sim->call_crashes_left--;
    static const enum sim_disk_moment moments[] = {SIM_DISK_BEFORE, SIM_DISK_MIDDLE,
                                                   SIM_DISK_AFTER};
    uint64_t call = 1 + sim_chance(CALLS_MAX);
    enum sim_disk_moment moment = moments[sim_chance(sizeof moments / sizeof moments[0])];
    sim_disk_crash_at(sim->disk, call, moment, crash_inside, NULL);
}

void sim_storage_lose(bool power)
{
    count_calls();
    if (power) {
        sim->figures.power_losses++;
        sim_disk_lose_power(sim->disk);
    } else {
        sim->figures.coordinator_kills++;
        sim_disk_crash(sim->disk);
    }
}

bool sim_storage_rotten(void)
{
    return sim->rotten;
}
