#include "trainer/cli/train.h"

#include "common/clock.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/files.h"
#include "common/log.h"
#include "trainer/cli/checkpoint_folder.h"
#include "trainer/cli/solo.h"
#include "trainer/model/team.h"
#include "trainer/run/run_start.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "use: dugnad train --config RUN.yaml --out DIR [--threads N] [--backend ref|cpu] [--steps N] "
    "[--init DIR] [--json]";

enum { LOG_EVERY_MS = 5000 };

struct options {
    const char *config;
    const char *out;
    const char *backend;
    const char *init;
    uint64_t threads; /* 0: as many as the machine offers */
    uint64_t steps;   /* 0: as in the configuration */
    bool json;
};

/* Everything that one run of the command holds. */
struct training {
    struct run_config config;
    struct dataset *data;
    struct tokenizer *tokenizer;
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

static volatile sig_atomic_t stop_requested;

static void request_stop(int number)
{
    (void)number;
    stop_requested = 1;
}

/* The first signal asks for a clean end; the handler is then gone, so a second one ends at once. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop,
                               .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static enum status read_count(const char *name, const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > max) {
        return fault(STATUS_USAGE, "train: --%s takes a number from 1 to %" PRIu64 ", not '%s'",
                     name, max, text);
    }
    *out = value;
    return STATUS_OK;
}

static enum status take_option(int letter, const char *value, struct options *out)
{
    switch (letter) {
    case 'c':
        out->config = value;
        return STATUS_OK;
    case 'o':
        out->out = value;
        return STATUS_OK;
    case 'b':
        out->backend = value;
        return STATUS_OK;
    case 'i':
        out->init = value;
        return STATUS_OK;
    case 't':
        return read_count("threads", value, TEAM_THREADS_MAX, &out->threads);
    case 's':
        return read_count("steps", value, RUN_STEPS_MAX, &out->steps);
    case 'j':
        out->json = true;
        return STATUS_OK;
    default:
        return fault(STATUS_USAGE, "%s", usage);
    }
}

static enum status read_options(int argc, char **argv, struct options *out)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'},  {"out", required_argument, NULL, 'o'},
        {"threads", required_argument, NULL, 't'}, {"backend", required_argument, NULL, 'b'},
        {"steps", required_argument, NULL, 's'},   {"init", required_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},          {NULL, 0, NULL, 0}};
    *out = (struct options){.backend = "cpu"};
    optind = 0; /* glibc: start anew, this argv was not seen before */
    opterr = 0;
    int letter;
    while ((letter = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (letter == '?') {
            return fault(STATUS_USAGE, "train: '%s' is unknown or lacks its value; %s",
                         argv[optind - 1], usage);
        }
        enum status status = take_option(letter, optarg, out);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (optind != argc) {
        return fault(STATUS_USAGE, "train: '%s' is one word too many; %s", argv[optind], usage);
    }
    return out->config != NULL && out->out != NULL ? STATUS_OK : fault(STATUS_USAGE, "%s", usage);
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

static enum status training_init(struct training *self, const struct options *options)
{
    const struct backend *backend = NULL;
    enum status status = backend_find(options->backend, &backend);
    if (status == STATUS_OK) {
        status = run_config_read(options->config, &self->config);
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
        status = dataset_open(self->config.data_folder, DATASET_TRAIN, &self->data);
    }
    if (status == STATUS_OK) {
        status = tokenizer_new(self->config.data_folder, &self->tokenizer);
    }
    if (status == STATUS_OK) {
        uint64_t threads = options->threads > 0 ? options->threads : cores_usable(TEAM_THREADS_MAX);
        status = solo_new(&self->config, backend, self->data, (size_t)threads, &self->solo);
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
               stop_requested ? "true" : "false");
        return;
    }
    printf("%s after %" PRIu64 " steps, loss %.4f, %.0f tokens/s; checkpoint %s/step-%06" PRIu64
           "\n",
           stop_requested ? "stopped by a signal" : "finished", self->steps_done, self->last.loss,
           rate, self->checkpoints, self->checkpoint_step);
}

/* Ends with a checkpoint of the last step, whatever ended it. */
static enum status run_steps(struct training *self, uint64_t step_count)
{
    enum status status = write_checkpoint(self, 0);
    self->start_ms = clock_now_ms();
    self->last_log_ms = self->start_ms;
    uint64_t every = self->config.checkpoint_every;
    while (status == STATUS_OK && self->steps_done < step_count && !stop_requested) {
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
        catch_signals();
        solo_start(training.solo);
        log_info("train", "start",
                 "run=%s parameters=%zu steps=%" PRIu64 " tokens_per_step=%" PRIu64,
                 training.config.name, layout_parameter_count(solo_layout(training.solo)),
                 step_count, run_config_step_tokens(&training.config));
        status = run_steps(&training, step_count);
    }
    if (status == STATUS_OK) {
        print_summary(&training, options.json);
    }
    training_deinit(&training);
    return status;
}
