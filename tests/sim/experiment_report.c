#include "tests/sim/experiment.h"

#include "common/fault.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

enum { DIGITS = 6 };

void experiment_print_head(void)
{
    printf("%-5s %-5s %5s %-11s %-15s %5s %8s %9s %5s %6s %6s %8s %8s %8s %8s %5s %6s\n", "links",
           "model", "peers", "batch", "strategy", "stale", "step s", "samples/s", "util", "stale%",
           "lost%", "up", "down", "plan s", "limit s", "comp", "owners");
}

void experiment_print_line(const struct experiment_line *line)
{
    const struct experiment_case *config = line->config;
    const struct trial_result *result = &line->result;
    if (result->stuck) {
        printf("%-5s %-5s %5zu %-11s %-15s %5d %8.0f s and more: losses outrun repairs\n",
               config->links, config->model->name, config->peer_count, config->batch,
               config->strategy, config->settings.overlap ? 1 : 0, result->step_s);
        return;
    }
    printf(
        "%-5s %-5s %5zu %-11s %-15s %5d %8.2f %9.1f %5.3f %6.1f %6.1f %8.3f %8.3f %8.2f %8.2f %5u "
        "%6u\n",
        config->links, config->model->name, config->peer_count, config->batch, config->strategy,
        config->settings.overlap ? 1 : 0, result->step_s, result->samples_per_s,
        result->utilisation, 100.0 * result->stale_share, 100.0 * result->lost_share,
        result->up_sizes_total, result->down_sizes_total, result->predicted_s, result->limit_s,
        result->computing, result->owners);
    (void)fflush(stdout);
}

static json_t *by_kind(const double *sizes)
{
    json_t *object = json_object();
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
        (void)json_object_set_new(object, trial_kind_name(kind), json_real(sizes[kind]));
    }
    return object;
}

static json_t *line_to_json(const struct experiment_line *line)
{
    const struct experiment_case *config = line->config;
    const struct trial_result *result = &line->result;
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, "
        "s:f}",
        "links", config->links, "model", config->model->name, "parameters",
        (json_int_t)config->model->value_count, "peers", (json_int_t)config->peer_count, "batch",
        config->batch, "strategy", config->strategy, "samples_per_step",
        (int)config->settings.target_batch, "max_staleness_1", config->settings.overlap, "step_s",
        result->step_s, "samples_per_s", result->samples_per_s, "compute_utilisation",
        result->utilisation, "stale_share", result->stale_share, "lost_share", result->lost_share,
        "gather_s", result->gather_s, "spread_s", result->spread_s, "predicted_s",
        result->predicted_s, "bound_s", result->bound_s, "limit_s", result->limit_s);
    (void)json_object_set_new(object, "stuck", json_boolean(result->stuck));
    (void)json_object_set_new(object, "coordinator_up_model_sizes",
                              json_real(result->up_sizes_total));
    (void)json_object_set_new(object, "coordinator_down_model_sizes",
                              json_real(result->down_sizes_total));
    (void)json_object_set_new(object, "up", by_kind(result->up_sizes));
    (void)json_object_set_new(object, "down", by_kind(result->down_sizes));
    (void)json_object_set_new(object, "computing", json_integer(result->computing));
    (void)json_object_set_new(object, "owners", json_integer(result->owners));
    (void)json_object_set_new(object, "owned_by_coordinator",
                              json_real(result->owned_by_coordinator));
    (void)json_object_set_new(object, "plans", json_integer(result->plans));
    (void)json_object_set_new(object, "left_per_step", json_real(result->left));
    return object;
}

enum status experiment_write_json(const struct experiment_line *lines, size_t count, uint64_t seed,
                                  const char *path)
{
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(items, line_to_json(&lines[i]));
    }
    json_t *root = json_pack("{s:I, s:s, s:o}", "seed", (json_int_t)seed, "bytes_are",
                             "per step, in models of 4 bytes a parameter", "cases", items);
    int failed = json_dump_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(DIGITS));
    json_decref(root);
    if (failed != 0) {
        return fault(STATUS_CANNOT_CREATE,
                     "%s cannot be written: %s. Name another file with --json.", path,
                     strerror(errno));
    }
    return STATUS_OK;
}
