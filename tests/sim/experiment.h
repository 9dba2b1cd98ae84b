/* experiment - aggregation over limited links: what each strategy makes of them.
 *
 * Simulates steps of a run (experiment_trial.h) for sets of links, models, batches, strategies and
 * populations, and says how long a step takes, what computes meanwhile and what goes through the
 * coordinator, beside the plan's prediction and what the links allow at all. */
#ifndef DUGNAD_TESTS_SIM_EXPERIMENT_H
#define DUGNAD_TESTS_SIM_EXPERIMENT_H

#include "tests/sim/experiment_cases.h"

#include <stdio.h>

struct experiment_options {
    uint64_t seed;
    bool quick;            /* a few seconds, and the bars are checked */
    const char *only;      /* cases whose columns begin so; NULL: all */
    const char *json_path; /* NULL: none */
    const char *svg_path;
};

/* Errors: what plan_make and the files said. REFUSED: a bar is missed; each was printed. */
MUST_CHECK enum status experiment_run(const struct experiment_options *options);

struct experiment_line {
    const struct experiment_case *config;
    struct trial_result result;
};

/* experiment_report.c */
void experiment_print_head(void);
void experiment_print_line(const struct experiment_line *line);
MUST_CHECK enum status experiment_write_json(const struct experiment_line *lines, size_t count,
                                             uint64_t seed, const char *path);

/* experiment_svg.c */
MUST_CHECK enum status experiment_write_svg(const struct experiment_line *lines, size_t count,
                                            const char *path);

/* experiment_bars.c: how many of the bars are missed; prints each with its figure. */
size_t experiment_check_bars(const struct experiment_line *lines, size_t count);

#endif
