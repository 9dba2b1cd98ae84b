#include "tests/sim/experiment.h"

#include "common/fault.h"
#include "tests/sim/sim_memory.h"

#include <string.h>

enum { NAME_MAX_BYTES = 128 };

static enum status run_case(const struct experiment_case *config, struct trial_result *out)
{
    struct trial_settings settings = config->settings;
    struct trial_peer_spec *peers = experiment_case_peers(config);
    settings.peers = peers;
    enum status status = trial_run(&settings, out);
    sim_memory_free(peers);
    return status;
}

/* Moves the cases whose description begins with `only` to the front. Returns how many. */
static size_t keep_only(struct experiment_case *cases, size_t count, const char *only)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        char name[NAME_MAX_BYTES];
        (void)snprintf(name, sizeof name, "%s %s %zu %s %s %d", cases[i].links,
                       cases[i].model->name, cases[i].peer_count, cases[i].batch, cases[i].strategy,
                       cases[i].settings.overlap ? 1 : 0);
        if (only == NULL || strncmp(name, only, strlen(only)) == 0) {
            cases[kept++] = cases[i];
        }
    }
    return kept;
}

static enum status write_files(const struct experiment_options *options,
                               const struct experiment_line *lines, size_t count)
{
    enum status status = STATUS_OK;
    if (options->json_path != NULL) {
        status = experiment_write_json(lines, count, options->seed, options->json_path);
    }
    if (status == STATUS_OK && options->svg_path != NULL) {
        status = experiment_write_svg(lines, count, options->svg_path);
    }
    return status;
}

enum status experiment_run(const struct experiment_options *options)
{
    struct experiment_case *cases = NULL;
    size_t count = experiment_cases_list(options->seed, options->quick, &cases);
    count = keep_only(cases, count, options->only);
    if (count == 0) {
        sim_memory_free(cases);
        return fault(STATUS_USAGE,
                     "No case is called \"%s\": take --only from the table's columns, "
                     "e.g. \"C 18M 16 small\".",
                     options->only);
    }
    struct experiment_line *lines = sim_memory_new(count, sizeof *lines);
    enum status status = STATUS_OK;
    experiment_print_head();
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        lines[i].config = &cases[i];
        status = run_case(&cases[i], &lines[i].result);
        if (status == STATUS_OK) {
            experiment_print_line(&lines[i]);
        }
    }
    if (status == STATUS_OK) {
        status = write_files(options, lines, count);
    }
    if (status == STATUS_OK && experiment_check_bars(lines, count) > 0) {
        status = fault(STATUS_REFUSED, "A bar of the experiment is missed: see the lines above.");
    }
    sim_memory_free(lines);
    sim_memory_free(cases);
    return status;
}
