#include "tests/sim/sim_jobs.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAILURES_MAX = 64, LAST_LINES = 60, SEEDS_FOR_ALL = 400, CHANCES_FOR_ALL = 1000 };

struct failure {
    uint64_t seed;
    char text[SIM_FAILURE_MAX];
};

struct worker {
    pid_t pid;
    uint64_t seed; /* being run; 0: none */
    uint64_t failed;
    struct sim_figures figures;
};

/* What the workers write and the parent reads. */
struct board {
    _Atomic uint64_t next;
    atomic_bool stop;
    atomic_size_t failure_count;
    struct failure failures[FAILURES_MAX];
    struct worker workers[SIM_JOBS_MAX];
};

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* All fields are counts. */
static void add_figures(struct sim_figures *sum, const struct sim_figures *figures)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)figures;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static void note_failure(struct board *board, uint64_t seed, const char *text)
{
    size_t place = atomic_fetch_add(&board->failure_count, 1);
    if (place < FAILURES_MAX) {
        board->failures[place].seed = seed;
        (void)snprintf(board->failures[place].text, SIM_FAILURE_MAX, "%s", text);
    }
}

static void work(struct board *board, struct worker *worker, const struct sim_jobs_options *options)
{
    for (;;) {
        uint64_t seed = atomic_fetch_add(&board->next, 1);
        if (seed > options->last || atomic_load(&board->stop)) {
            return;
        }
        struct sim_options one = {.seed = seed, .quiet = options->quiet};
        struct sim_result result;
        worker->seed = seed;
        sim_run(&one, &result);
        worker->seed = 0;
        add_figures(&worker->figures, &result.figures);
        if (result.failure[0] != '\0') {
            note_failure(board, seed, result.failure);
            atomic_store(&board->stop, !options->keep_going);
        }
    }
}

static void start_worker(struct board *board, size_t index, const struct sim_jobs_options *options)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        work(board, &board->workers[index], options);
        _exit(EXIT_SUCCESS);
    }
    board->workers[index].pid = pid;
}

/* A worker that died of a signal left its seed behind, and another one goes on in its place. */
static void wait_for_workers(struct board *board, const struct sim_jobs_options *options)
{
    int state = 0;
    for (pid_t pid; (pid = wait(&state)) > 0;) {
        size_t index = 0;
        while (index < options->jobs && board->workers[index].pid != pid) {
            index++;
        }
        if (index == options->jobs || (WIFEXITED(state) && WEXITSTATUS(state) == 0)) {
            continue;
        }
        char text[SIM_FAILURE_MAX];
        (void)snprintf(text, sizeof text, "the simulator died (%s %d)",
                       WIFSIGNALED(state) ? "signal" : "exit code",
                       WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
        note_failure(board, board->workers[index].seed, text);
        if (options->keep_going) {
            start_worker(board, index, options);
        } else {
            atomic_store(&board->stop, true);
        }
    }
}

void sim_figures_print(const struct sim_figures *figures, double seconds)
{
    double virtual_s = (double)figures->virtual_us / 1e6;
    uint64_t wasted = figures->samples_computed > figures->samples_needed
                          ? figures->samples_computed - figures->samples_needed
                          : 0;
    printf("virtual_s=%.0f wall_s=%.2f times_real=%.0f events=%" PRIu64 " letters=%" PRIu64
           " steps=%" PRIu64 "\n",
           virtual_s, seconds, seconds > 0.0 ? virtual_s / seconds : 0.0, figures->events,
           figures->letters, figures->steps);
    printf("samples: needed=%" PRIu64 " computed=%" PRIu64 " recomputed=%" PRIu64 " stale=%" PRIu64
           "\n",
           figures->samples_needed, figures->samples_computed, wasted, figures->samples_stale);
    printf("coordinator: starts=%" PRIu64 " kills=%" PRIu64 " power_losses=%" PRIu64
           " inside_a_call=%" PRIu64 " ended_with_an_error=%" PRIu64 "\n",
           figures->coordinator_starts, figures->coordinator_kills, figures->power_losses,
           figures->call_crashes, figures->coordinator_errors);
    printf("peers: crashes=%" PRIu64 " sleeps=%" PRIu64 " contributions_refused=%" PRIu64
           " clones_seen=%" PRIu64 "\n",
           figures->peer_crashes, figures->sleeps, figures->contributions_refused,
           figures->clones_seen);
    printf("letters: lost=%" PRIu64 " doubled=%" PRIu64 " reordered=%" PRIu64 " damaged=%" PRIu64
           "; lines: resets=%" PRIu64 " clogs=%" PRIu64 " partitions=%" PRIu64 "\n",
           figures->letters_lost, figures->letters_doubled, figures->letters_reordered,
           figures->letters_damaged, figures->resets, figures->clogs, figures->partitions);
    printf("owner: wishes=%" PRIu64 " settings_changed=%" PRIu64 " stops=%" PRIu64 "\n",
           figures->owner_wishes, figures->owner_settings, figures->owner_stops);
    printf("sums: plans=%" PRIu64 " steps_coarse=%" PRIu64 " codec_changes=%" PRIu64
           " steps_gathered=%" PRIu64 " takeovers=%" PRIu64 " repairs=%" PRIu64
           " entries_out=%" PRIu64 " moved=%" PRIu64 " rounds=%" PRIu64 " timed_faults=%" PRIu64
           " wrong=%" PRIu64 " caught=%" PRIu64 " framed=%" PRIu64 "\n",
           figures->plans, figures->steps_coarse, figures->codec_changes, figures->steps_gathered,
           figures->takeovers, figures->repairs, figures->entries_out, figures->entries_moved,
           figures->rounds, figures->timed_faults, figures->swindles, figures->swindlers_caught,
           figures->framed);
    printf("conduct: offences=%" PRIu64 " cuts=%" PRIu64 " rests=%" PRIu64 "\n", figures->offences,
           figures->cuts, figures->rests);
    printf("machines: disk_errors=%" PRIu64 " disk_full=%" PRIu64 " rot=%" PRIu64
           " (told and given up: %" PRIu64 ") failed_mallocs=%" PRIu64 "\n",
           figures->disk_errors, figures->disk_full, figures->rots, figures->beyond_help,
           figures->mallocs_failed);
}

/* The last lines of a text that may be long. */
static void print_tail(FILE *text)
{
    static char lines[LAST_LINES][SIM_TRACE_LINE_MAX + 2];
    uint64_t count = 0;
    rewind(text);
    while (fgets(lines[count % LAST_LINES], sizeof lines[0], text) != NULL) {
        count++;
    }
    for (uint64_t i = count > LAST_LINES ? count - LAST_LINES : 0; i < count; i++) {
        (void)fputs(lines[i % LAST_LINES], stdout);
    }
}

/* Runs a seed again in a process of its own, which may die, and shows how it ended. */
static void show(uint64_t seed, bool quiet)
{
    FILE *text = tmpfile();
    if (text == NULL) {
        return;
    }
    (void)setvbuf(text, NULL, _IOLBF, 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct sim_options options = {.seed = seed, .quiet = quiet, .trace = text};
        struct sim_result result;
        sim_run(&options, &result);
        (void)fflush(text);
        _exit(EXIT_SUCCESS);
    }
    int state = 0;
    (void)waitpid(pid, &state, 0);
    print_tail(text);
    (void)fclose(text);
}

static int by_seed(const void *a, const void *b)
{
    const struct failure *left = a;
    const struct failure *right = b;
    return left->seed < right->seed ? -1 : left->seed > right->seed;
}

/* What some of so many seeds must have seen: who finds no fault in what never happens shows
 * nothing. */
static bool saw_all(const struct sim_figures *sum, const struct sim_jobs_options *options)
{
    const struct {
        const char *name;
        uint64_t count;
    } wanted[] = {{"step that owners summed", sum->steps_gathered},
                  {"owner that was taken over", sum->takeovers},
                  {"lost owner's chunk that another one summed", sum->repairs},
                  {"contribution that left a set", sum->entries_out},
                  {"update in another codec than the run's", sum->steps_coarse}};
    const uint64_t enough = options->by_chance ? CHANCES_FOR_ALL : SEEDS_FOR_ALL;
    bool all = true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (sum->seeds >= enough && !options->quiet && wanted[i].count == 0) {
            printf("FAILED: no seed had a %s\n", wanted[i].name);
            all = false;
        }
    }
    return all;
}

static uint64_t report(struct board *board, const struct sim_jobs_options *options, double seconds)
{
    struct sim_figures sum = {0};
    uint64_t failed = atomic_load(&board->failure_count);
    size_t kept = failed < FAILURES_MAX ? (size_t)failed : FAILURES_MAX;
    for (size_t i = 0; i < options->jobs; i++) {
        add_figures(&sum, &board->workers[i].figures);
    }
    qsort(board->failures, kept, sizeof board->failures[0], by_seed);
    if (kept > 0) {
        show(board->failures[0].seed, options->quiet);
    }
    for (size_t i = 0; i < kept; i++) {
        printf("FAILED seed=%" PRIu64 ": %s\n", board->failures[i].seed, board->failures[i].text);
    }
    printf("seeds=%" PRIu64 "..%" PRIu64 " run=%" PRIu64 " failed=%" PRIu64 " jobs=%zu\n",
           options->first, options->last, sum.seeds, failed, options->jobs);
    sim_figures_print(&sum, seconds);
    return failed > 0 || saw_all(&sum, options) ? failed : 1;
}

uint64_t sim_jobs_run(const struct sim_jobs_options *options)
{
    double began_s = now_s();
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        (void)fputs("dugnad-sim: no memory for the workers\n", stderr);
        return 1;
    }
    atomic_store(&board->next, options->first);
    for (size_t i = 0; i < options->jobs; i++) {
        start_worker(board, i, options);
    }
    wait_for_workers(board, options);
    uint64_t failed = report(board, options, now_s() - began_s);
    (void)munmap(board, sizeof *board);
    return failed;
}
