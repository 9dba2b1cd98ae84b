#include "coordinator/store/run_file.h"

#include "common/fault.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status write_model(const char *folder, const struct run_config *config)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    enum status status = files_join(folder, "model.json", path);
    if (status == STATUS_OK) {
        status = model_config_to_json(&config->model, &text);
    }
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, strlen(text), 0644);
    }
    free(text);
    return status;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

/* The character that valid UTF-8 begins with, and its length in bytes. */
static size_t decode(const char *text, uint32_t *out)
{
    unsigned char lead = (unsigned char)text[0];
    size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    *out = length == 1 ? lead : lead & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        *out = *out << 6 | ((unsigned char)text[i] & 0x3fU);
    }
    return length;
}

/* What YAML takes as it is between double quotes: no controls, line ends or byte order marks. */
static bool is_plain(uint32_t code)
{
    if (code < 0xa0) {
        return code >= 0x20 && code < 0x7f && code != '"' && code != '\\';
    }
    return code != 0x2028 && code != 0x2029 && code != 0xfeff && code != 0xfffe && code != 0xffff;
}

/* YAML double-quoted: the folder's name may hold anything. */
static void print_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    while (*text != '\0') {
        uint32_t code = 0;
        size_t length = decode(text, &code);
        if (is_plain(code)) {
            (void)fwrite(text, 1, length, out);
        } else {
            (void)fprintf(out, "\\U%08" PRIX32, code);
        }
        text += length;
    }
    (void)fputs("\"\n", out);
}

static void print_settings(FILE *out, const struct optimizer_settings *settings)
{
    (void)fprintf(out, "  type: %s\n", optimizer_name(settings->kind));
    (void)fprintf(out, "  weight_decay: %.17g\n  grad_clip: %.17g\n", settings->weight_decay,
                  settings->grad_clip);
    if (settings->kind == OPTIMIZER_SGD) {
        (void)fprintf(out, "  momentum: %.17g\n  nesterov: %s\n", settings->momentum,
                      settings->nesterov ? "true" : "false");
    } else {
        (void)fprintf(out, "  beta1: %.17g\n  beta2: %.17g\n  eps: %.17g\n", settings->beta1,
                      settings->beta2, settings->eps);
    }
}

static void print_schedule(FILE *out, const struct schedule *schedule)
{
    (void)fprintf(out, "  schedule: %s\n  learning_rate: %.17g\n  warmup_steps: %" PRIu64 "\n",
                  schedule_name(schedule->kind), schedule->learning_rate, schedule->warmup_steps);
    if (schedule->kind != SCHEDULE_CONSTANT) {
        (void)fprintf(out, "  learning_rate_min: %.17g\n", schedule->learning_rate_min);
    }
    if (schedule->kind == SCHEDULE_WSD) {
        (void)fprintf(out, "  decay_steps: %" PRIu64 "\n  decay: %s\n", schedule->decay_steps,
                      schedule_decay_name(schedule->decay));
    }
}

static void print_manifest(FILE *out, const struct run_config *config)
{
    char hex[DIGEST_HEX_BYTES];
    if (config->has_data_manifest) {
        digest_to_hex(&config->data_manifest, hex);
        (void)fprintf(out, "  manifest: %s\n", hex);
    }
}

static void print_run(FILE *out, const struct run_config *config)
{
    (void)fprintf(out, "name: %s\nseed: %" PRIu64 "\nmembership: %s\n", config->name, config->seed,
                  membership_name(config->membership));
    (void)fputs("model:\n  config: model.json\n", out);
    (void)fputs("data:\n  path: ", out);
    print_quoted(out, config->data_folder);
    (void)fprintf(out, "  context: %" PRIu32 "\n", config->context);
    print_manifest(out, config);
    (void)fprintf(out, "training:\n  steps: %" PRIu64 "\n  target_batch: %" PRIu32 "\n",
                  config->step_count, config->target_batch);
    (void)fprintf(out, "  codec: %s\n  journal: %s\n  max_staleness: %" PRIu32 "\n",
                  codec_name(config->codec), codec_name(config->mean_codec), config->max_staleness);
    (void)fprintf(out, "  stale_from: %" PRIu64 "\n  predict: %s\n", config->stale_from,
                  config->predict ? "true" : "false");
    (void)fprintf(out, "  checkpoint_every: %" PRIu64 "\n  checkpoints_kept: %" PRIu32 "\n",
                  config->checkpoint_every, config->checkpoints_kept);
    (void)fputs("optimizer:\n", out);
    print_settings(out, &config->optimizer);
    print_schedule(out, &config->schedule);
    run_aggregation_print(out, &config->aggregation);
}

enum status run_file_write(const char *folder, const struct run_config *config)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    size_t size_bytes = 0;
    if (!is_utf8(config->data_folder)) {
        return fault(STATUS_BAD_CONFIG,
                     "the path of the data, %s, is not UTF-8; give its folders other names",
                     config->data_folder);
    }
    FILE *out = open_memstream(&text, &size_bytes);
    if (out == NULL) {
        return fault(STATUS_NO_MEMORY, "no memory to write the run's settings");
    }
    print_run(out, config);
    int failed = fclose(out);
    enum status status = failed != 0 ? fault(STATUS_NO_MEMORY, "no memory for the run's settings")
                                     : write_model(folder, config);
    if (status == STATUS_OK) {
        status = files_join(folder, "run.yaml", path);
    }
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, size_bytes, 0644);
    }
    free(text);
    return status;
}

enum status run_file_hash(const struct run_config *config, struct digest_stream *stream)
{
    struct schedule schedule = config->schedule;
    char *model = NULL;
    char *text = NULL;
    size_t size_bytes = 0;
    schedule.learning_rate = 0; /* the journal's */
    enum status status = model_config_to_json(&config->model, &model);
    FILE *out = status == STATUS_OK ? open_memstream(&text, &size_bytes) : NULL;
    if (status == STATUS_OK && out == NULL) {
        status = fault(STATUS_NO_MEMORY, "no memory for the run's settings");
    }
    if (out != NULL) {
        (void)fprintf(out, "%s\n%" PRIu64 " %" PRIu32 "\n", model, config->seed, config->context);
        print_manifest(out, config);
        print_settings(out, &config->optimizer);
        print_schedule(out, &schedule);
        if (fclose(out) != 0) {
            status = fault(STATUS_NO_MEMORY, "no memory for the run's settings");
        }
    }
    if (status == STATUS_OK) {
        digest_update(stream, text, size_bytes);
    }
    free(text);
    free(model);
    return status;
}
