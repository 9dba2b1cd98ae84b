#include "tests/sim/experiment.h"

#include "common/fault.h"
#include "tests/sim/sim_memory.h"

static enum status run_case(const struct experiment_case *config, struct trial_result *out)
{
    struct trial_settings settings = config->settings;
    struct trial_peer_spec *peers = experiment_case_peers(config);
    settings.peers = peers;
    enum status status = trial_run(&settings, out);
    sim_memory_free(peers);
    return status;
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
