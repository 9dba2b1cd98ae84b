#include "tests/sim/sim_crashes.h"

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the workers write and the parent reads. */
struct board {
    uint64_t sparse;
    _Atomic uint64_t next; /* a call, a moment and a way to end, as one number */
    _Atomic uint64_t points;
    _Atomic uint64_t nested;
    _Atomic uint64_t failed;
};

enum { WAYS = 4, SHOWN_MAX = 20 };

/* Behind a call is before the next one, so two moments are all there are. */
static struct sim_crash crash_of(uint64_t number)
{
    return (struct sim_crash){.call = 1 + number / WAYS,
                              .moment = number % 2 == 0 ? SIM_DISK_BEFORE : SIM_DISK_MIDDLE,
                              .power = number / 2 % 2 == 1};
}

static const char *name_of(const struct sim_crash *crash)
{
    static const char *const names[WAYS] = {"a kill before", "a kill in", "the power lost before",
                                            "the power lost in"};
    return names[(crash->power ? 2 : 0) + (crash->moment == SIM_DISK_MIDDLE ? 1 : 0)];
}

static void play(struct board *board, const struct sim_options *options, struct sim_result *out)
{
    sim_run(options, out);
    if (out->failure[0] == '\0' || atomic_fetch_add(&board->failed, 1) >= SHOWN_MAX) {
        return;
    }
    const struct sim_crash *first = &options->crashes[0];
    const struct sim_crash *second = &options->crashes[1];
    printf("FAILED seed=%" PRIu64 ", %s call %" PRIu64, options->seed, name_of(first), first->call);
    if (second->call > 0) {
        printf(", then %s call %" PRIu64 " of the recovery", name_of(second), second->call);
    }
    printf(": %s\n", out->failure);
    (void)fflush(stdout);
}

static void play_point(struct board *board, uint64_t seed, uint64_t number)
{
    uint64_t sparse = board->sparse;
    struct sim_options options = {.seed = seed, .small = true, .crashes = {crash_of(number)}};
    struct sim_result result;
    play(board, &options, &result);
    (void)atomic_fetch_add(&board->points, 1);
    for (uint64_t i = number % sparse; i < result.recovery_calls * WAYS; i += sparse) {
        struct sim_result again;
        options.crashes[1] = crash_of(i);
        play(board, &options, &again);
        (void)atomic_fetch_add(&board->nested, 1);
    }
}

static void work(struct board *board, uint64_t seed, uint64_t call_count)
{
    for (;;) {
        uint64_t number = atomic_fetch_add(&board->next, 1);
        if (number >= call_count * WAYS) {
            return;
        }
        play_point(board, seed, number);
    }
}

static void work_in_processes(struct board *board, uint64_t seed, uint64_t calls, size_t jobs)
{
    (void)fflush(NULL);
    for (size_t i = 0; i < jobs; i++) {
        if (fork() == 0) {
            work(board, seed, calls);
            (void)fflush(NULL);
            _exit(EXIT_SUCCESS);
        }
    }
    int state = 0;
    while (wait(&state) > 0) {
        if (!WIFEXITED(state)) {
            printf("FAILED: a worker died of signal %d\n", WTERMSIG(state));
            (void)atomic_fetch_add(&board->failed, 1);
        }
    }
}

uint64_t sim_crashes_run(uint64_t seed, size_t jobs, uint64_t sparse)
{
    struct sim_options options = {.seed = seed, .small = true};
    struct sim_result result;
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        (void)fputs("dugnad-sim: no memory for the workers\n", stderr);
        return 1;
    }
    board->sparse = sparse;
    sim_run(&options, &result);
    uint64_t failed = result.failure[0] != '\0' ? 1 : 0;
    if (failed > 0) {
        printf("FAILED seed=%" PRIu64 " without any crash: %s\n", seed, result.failure);
    } else {
        work_in_processes(board, seed, result.calls[0], jobs);
        failed = atomic_load(&board->failed);
    }
    printf("crashes: seed=%" PRIu64 " calls=%" PRIu64 " points=%" PRIu64
           " points_in_recovery=%" PRIu64 " failed=%" PRIu64 "\n",
           seed, result.calls[0], atomic_load(&board->points), atomic_load(&board->nested), failed);
    (void)munmap(board, sizeof *board);
    return failed;
}
