/* sim_jobs - many seeds on several processes, and what came of them. */
#ifndef DUGNAD_TESTS_SIM_SIM_JOBS_H
#define DUGNAD_TESTS_SIM_SIM_JOBS_H

#include "tests/sim/sim.h"

enum { SIM_JOBS_MAX = 256 };

struct sim_jobs_options {
    uint64_t first; /* seeds, both included */
    uint64_t last;
    size_t jobs;
    bool by_chance; /* nobody chose the seeds: of few, none may see what is rare */
    bool quiet;
    bool keep_going; /* tell of every seed that fails, not only of the first */
};

/* Runs all seeds and prints a summary. Returns how many failed; of the first one that did, the end
 * of its trace is printed. */
uint64_t sim_jobs_run(const struct sim_jobs_options *options);

/* Prints what happened in `seconds` of real time. */
void sim_figures_print(const struct sim_figures *figures, double seconds);

#endif
