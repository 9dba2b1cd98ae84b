#include "trainer/cli/train.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/log.h"
#include "trainer/backend/blas_kernel.h"
#include "trainer/cli/checkpoint_folder.h"
#include "trainer/cli/interrupt.h"
#include "trainer/cli/options.h"
#include "trainer/cli/solo.h"
#include "trainer/model/precision.h"
#include "trainer/model/team.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_start.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_EVERY_MS = 5000 };

struct options {
    const char *config;
    const char *out;
    const char *init;
    const char *precision;
    const char *recompute;
    const char *backend; /* NULL: by the precision */
    uint64_t threads;
    uint64_t steps; /* 0: as in the configuration */
    bool pin;
    bool json;
};

/* Everything that one run of the command holds. */
struct training {
    struct run_config config;
    struct dataset *data;
    struct tokenizer *tokenizer;
    struct solo_compute compute;
    struct precision_choice precision;
    struct solo *solo;
    FILE *steps;
    char checkpoints[FILES_PATH_MAX];
    uint64_t steps_done;
    struct solo_step_result last; /* of the latest step */
    uint64_t checkpoint_step;     /* of the latest checkpoint */
    uint64_t start_ms;
    uint64_t last_log_ms;
    uint64_t last_log_step;
};

static enum status read_options(int argc, char **argv, struct options *out)
{
    *out = (struct options){
        .precision = "auto", .recompute = "none", .threads = cores_usable(TEAM_THREADS_MAX)};
    const struct cli_option table[] = {
        {.name = "config", .kind = CLI_TEXT, .target = &out->config, .required = true},
        {.name = "out", .kind = CLI_TEXT, .target = &out->out, .required = true},
        {.name = "init", .kind = CLI_TEXT, .target = &out->init},
        {.name = "precision", .kind = CLI_TEXT, .target = &out->precision},
        {.name = "recompute", .kind = CLI_TEXT, .target = &out->recompute},
        {.name = "backend", .kind = CLI_TEXT, .target = &out->backend},
        {.name = "threads",
         .kind = CLI_COUNT,
         .target = &out->threads,
         .count_min = 1,
         .count_max = TEAM_THREADS_MAX},
        {.name = "steps",
         .kind = CLI_COUNT,
         .target = &out->steps,
         .count_min = 1,
         .count_max = RUN_STEPS_MAX},
        {.name = "pin", .kind = CLI_FLAG, .target = &out->pin},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("train", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    return status == STATUS_OK ? cli_options_expect_end("train", rest, argc, argv) : status;
}

/* A folder's sizes must be the run's, or its tensors would mean something else. */
static bool same_model(const struct model_config *a, const struct model_config *b)
{
    return a->kind == b->kind && a->vocab_size == b->vocab_size && a->width == b->width &&
           a->layer_count == b->layer_count && a->head_count == b->head_count &&
           a->kv_head_count == b->kv_head_count && a->head_size == b->head_size &&
           a->ffn_width == b->ffn_width && a->tied_head == b->tied_head &&
           a->norm_eps == b->norm_eps && (a->kind != MODEL_LLAMA || a->rope_theta == b->rope_theta);
}

/* --init stands for model.init_from in a run whose sizes are given. */
static enum status take_init(const char *folder, struct run_config *config)
{
    struct model_config found;
    enum status status = hf_folder_read_config(folder, &found);
    if (status == STATUS_OK && !same_model(&found, &config->model)) {
        return fault(STATUS_BAD_CONFIG,
                     "the model in %s is not the one of the run's configuration; make their sizes "
                     "agree",
                     folder);
    }
    int length = snprintf(config->init_from, sizeof(config->init_from), "%s", folder);
    return status == STATUS_OK && (length < 0 || (size_t)length >= sizeof(config->init_from))
               ? fault(STATUS_USAGE, "the path %.200s is too long; use a shorter one", folder)
               : status;
}

static enum status open_steps(struct training *self, const char *folder)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(folder, "steps.jsonl", path);
    if (status == STATUS_OK) {
        status = files_make_folder(folder);
    }
    if (status != STATUS_OK) {
        return status;
    }
    self->steps = fopen(path, "wxe");
    if (self->steps == NULL && errno == EEXIST) {
        return fault(STATUS_CANNOT_CREATE,
                     "%s is there already, from an earlier training; choose another --out", path);
    }
    return self->steps != NULL
               ? STATUS_OK
               : fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
}

/* A backend by its name is for tests that compare backends. */
static enum status choose_compute(struct training *self, const struct options *options)
{
    enum precision precision = PRECISION_AUTO;
    self->compute.thread_count = (size_t)options->threads;
    self->compute.pinned = options->pin;
    enum status status = recompute_find(options->recompute, &self->compute.recompute);
    if (status == STATUS_OK) {
        status = precision_find(options->precision, &precision);
    }
    if (status == STATUS_OK && options->backend != NULL) {
        return backend_find(options->backend, &self->compute.backend);
    }
    if (status == STATUS_OK) {
        status = precision_choose(precision, &self->config.model, &self->precision);
        self->compute.backend = self->precision.backend;
    }
    return status;
}

static enum status training_init(struct training *self, const struct options *options)
{
    enum status status = run_config_read(options->config, &self->config);
    if (status == STATUS_OK) {
        status = choose_compute(self, options);
    }
    if (status == STATUS_OK && options->init != NULL) {
        status = take_init(options->init, &self->config);
    }
    if (status == STATUS_OK) {
        status = run_start_check(&self->config);
    }
    if (status == STATUS_OK) {
        status = files_join(options->out, "checkpoints", self->checkpoints);
    }
    if (status == STATUS_OK) {
        status = run_data_open(&self->config, DATASET_TRAIN, &self->data);
    }
    if (status == STATUS_OK) {
        status = dataset_tokenizer_new(self->config.data_folder, &self->tokenizer);
    }
    if (status == STATUS_OK) {
        status = solo_new(&self->config, &self->compute, self->data, &self->solo);
    }
    if (status == STATUS_OK) {
        status = run_start_params(&self->config, solo_layout(self->solo), solo_params(self->solo));
    }
    if (status == STATUS_OK) {
        status = open_steps(self, options->out); /* last: nothing is written before all is well */
    }
    return status;
}

static void training_deinit(struct training *self)
{
    if (self->steps != NULL) {
        (void)fclose(self->steps);
    }
    solo_free(self->solo);
    tokenizer_free(self->tokenizer);
    dataset_close(self->data);
}

static enum status write_checkpoint(struct training *self, uint64_t step)
{
    enum status status =
        checkpoint_folder_write(self->checkpoints, step, &self->config.model,
                                solo_layout(self->solo), solo_params(self->solo), self->tokenizer);
    if (status == STATUS_OK) {
        self->checkpoint_step = step;
        status = checkpoint_folder_prune(self->checkpoints, self->config.checkpoints_kept);
    }
    return status;
}

static enum status write_step(struct training *self, const struct solo_step_result *result)
{
    char digest[DIGEST_HEX_BYTES];
    digest_to_hex(&result->digest, digest);
    int written = fprintf(self->steps,
                          "{\"step\":%" PRIu64 ",\"loss\":%.17g,\"tokens\":%" PRIu64
                          ",\"grad_l2\":%.17g,\"learning_rate\":%.17g,\"digest\":\"%s\"}\n",
                          result->step, result->loss, result->tokens, result->grad_l2,
                          result->learning_rate, digest);
    return written > 0 && fflush(self->steps) == 0
               ? STATUS_OK
               : fault(STATUS_IO, "cannot write steps.jsonl: %s", strerror(errno));
}

static double tokens_per_second(uint64_t tokens, uint64_t duration_ms)
{
    return duration_ms > 0 ? 1000.0 * (double)tokens / (double)duration_ms : 0;
}

/* A line that is redrawn on a terminal; else a log line every few seconds. */
static void show_progress(struct training *self, uint64_t step_count)
{
    uint64_t now_ms = clock_now_ms();
    bool terminal = isatty(STDERR_FILENO) == 1;
    bool edge = self->steps_done == 1 || self->steps_done == step_count;
    if (!terminal && !edge && now_ms - self->last_log_ms < LOG_EVERY_MS) {
        return;
    }
    uint64_t tokens = (self->steps_done - self->last_log_step) * self->last.tokens;
    double rate = tokens_per_second(tokens, now_ms - self->last_log_ms);
    if (terminal) {
        (void)fprintf(stderr, "\rstep %" PRIu64 "/%" PRIu64 "  loss %.4f  %.0f tokens/s\033[K",
                      self->steps_done, step_count, self->last.loss, rate);
    } else {
        log_info("train", "step", "step=%" PRIu64 " loss=%.4f grad_l2=%.4g tokens_per_second=%.0f",
                 self->steps_done, self->last.loss, self->last.grad_l2, rate);
    }
    self->last_log_ms = now_ms;
    self->last_log_step = self->steps_done;
}

static void print_summary(const struct training *self, bool json)
{
    uint64_t tokens = self->steps_done * self->last.tokens;
    uint64_t duration_ms = clock_now_ms() - self->start_ms;
    double rate = tokens_per_second(tokens, duration_ms);
    char digest[DIGEST_HEX_BYTES];
    digest_to_hex(&self->last.digest, digest);
    if (json) {
        printf("{\"steps\":%" PRIu64 ",\"loss\":%.17g,\"tokens\":%" PRIu64
               ",\"seconds\":%.3f,\"tokens_per_second\":%.1f,\"digest\":\"%s\","
               "\"interrupted\":%s}\n",
               self->steps_done, self->last.loss, tokens, (double)duration_ms / 1000, rate, digest,
               interrupt_came() ? "true" : "false");
        return;
    }
    printf("%s after %" PRIu64 " steps, loss %.4f, %.0f tokens/s; checkpoint %s/step-%06" PRIu64
           "\n",
           interrupt_came() ? "stopped by a signal" : "finished", self->steps_done, self->last.loss,
           rate, self->checkpoints, self->checkpoint_step);
}

/* Ends with a checkpoint of the last step, whatever ended it. */
static enum status run_steps(struct training *self, uint64_t step_count)
{
    enum status status = write_checkpoint(self, 0);
    self->start_ms = clock_now_ms();
    self->last_log_ms = self->start_ms;
    uint64_t every = self->config.checkpoint_every;
    while (status == STATUS_OK && self->steps_done < step_count && !interrupt_came()) {
        status = solo_step(self->solo, &self->last);
        if (status == STATUS_OK) {
            status = write_step(self, &self->last);
        }
        if (status == STATUS_OK) {
            self->steps_done++;
            show_progress(self, step_count);
        }
        if (status == STATUS_OK && every > 0 && self->steps_done % every == 0) {
            status = write_checkpoint(self, self->steps_done);
        }
    }
    if (isatty(STDERR_FILENO) == 1) {
        (void)fputc('\n', stderr);
    }
    if (status == STATUS_OK && self->checkpoint_step != self->steps_done) {
        status = write_checkpoint(self, self->steps_done);
    }
    return status;
}

static void log_start(const struct training *self, uint64_t step_count)
{
    log_info("train", "start",
             "run=%s parameters=%zu steps=%" PRIu64 " tokens_per_step=%" PRIu64
             " memory_mb=%" PRIu64,
             self->config.name, layout_parameter_count(solo_layout(self->solo)), step_count,
             run_config_step_tokens(&self->config), solo_bytes(self->solo) / 1000000);
    log_info("train", "compute",
             "backend=%s reason=\"%s\" kernel=%s kernel_chosen_by=%s threads=%zu",
             self->compute.backend->name, self->precision.reason, blas_kernel_name(),
             blas_kernel_chosen_by(), self->compute.thread_count);
}

enum status cli_train(int argc, char **argv)
{
    struct options options;
    struct training training = {0};
    enum status status = read_options(argc, argv, &options);
    if (status == STATUS_OK) {
        status = training_init(&training, &options);
    }
    if (status == STATUS_OK) {
        uint64_t step_count = options.steps > 0 ? options.steps : training.config.step_count;
        interrupt_catch();
        solo_start(training.solo);
        log_start(&training, step_count);
        status = run_steps(&training, step_count);
    }
    if (status == STATUS_OK) {
        print_summary(&training, options.json);
    }
    training_deinit(&training);
    return status;
}
