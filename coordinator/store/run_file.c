#include "coordinator/store/run_file.h"

#include "common/fault.h"

#include <inttypes.h>
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

/* YAML double-quoted: the folder's name may hold anything. */
static void print_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            (void)fputc('\\', out);
        }
        (void)fputc(*text, out);
    }
    (void)fputs("\"\n", out);
}

static void print_run(FILE *out, const struct run_config *config)
{
    (void)fprintf(out, "name: %s\nseed: %" PRIu64 "\nmodel:\n  config: model.json\n", config->name,
                  config->seed);
    (void)fputs("data:\n  path: ", out);
    print_quoted(out, config->data_folder);
    (void)fprintf(out, "  context: %" PRIu32 "\n", config->context);
    (void)fprintf(out, "training:\n  steps: %" PRIu64 "\n  target_batch: %" PRIu32 "\n",
                  config->step_count, config->target_batch);
    (void)fprintf(out, "  codec: %s\n  max_staleness: %" PRIu32 "\n", codec_name(config->codec),
                  config->max_staleness);
    (void)fprintf(out, "  checkpoint_every: %" PRIu64 "\n  checkpoints_kept: %" PRIu32 "\n",
                  config->checkpoint_every, config->checkpoints_kept);
    (void)fprintf(out, "optimizer:\n  name: adamw\n  learning_rate: %.17g\n",
                  config->schedule.learning_rate);
    (void)fprintf(out, "  learning_rate_min: %.17g\n  warmup_steps: %" PRIu64 "\n",
                  config->schedule.learning_rate_min, config->schedule.warmup_steps);
    (void)fprintf(out, "  beta1: %.17g\n  beta2: %.17g\n  eps: %.17g\n", config->adamw.beta1,
                  config->adamw.beta2, config->adamw.eps);
    (void)fprintf(out, "  weight_decay: %.17g\n  grad_clip: %.17g\n", config->adamw.weight_decay,
                  config->adamw.grad_clip);
}

enum status run_file_write(const char *folder, const struct run_config *config)
{
    char path[FILES_PATH_MAX];
    char *text = NULL;
    size_t size_bytes = 0;
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
