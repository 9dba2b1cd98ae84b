#include "trainer/cli/trial.h"

#include "common/check.h"
#include "common/cores.h"
#include "common/fault.h"
#include "common/log.h"
#include "trainer/cli/options.h"
#include "trainer/cli/trial_run.h"
#include "trainer/model/precision.h"
#include "trainer/run/run_data.h"
#include "trainer/run/run_start.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VARIANTS_MAX = CLI_TEXTS_MAX,
    SEEDS_MAX = 100,
    THREADS_MAX = 64,
    WINDOWS_MAX = 1 << 30,
    BASELINE = 0
};

struct options {
    const char *config;
    const char *precision;
    struct cli_texts variants;
    uint64_t steps; /* 0: as in the configuration */
    uint64_t seeds;
    uint64_t contributors;
    uint64_t windows;
    uint64_t threads;
    bool json;
};

struct trial {
    struct run_config config;
    struct precision_choice precision;
    struct dataset *train;
    struct dataset *validation;
    struct trial_setting setting;
    struct trial_variant variants[VARIANTS_MAX];
    size_t variant_count;
    size_t seed_count;
    struct trial_result *results; /* (seed_count, variant_count) */
    pthread_mutex_t lock;         /* guards the rest */
    size_t next;                  /* run to begin: seed * variant_count + variant */
    enum status status;           /* of the first run that failed */
    char fault[FAULT_TEXT_MAX];
};

/* Over the seeds, each against the baseline of the same seed. */
struct summary {
    double loss;
    double train_loss;
    double relative;       /* mean of loss / baseline's - 1; NaN when a run diverged */
    double standard_error; /* of that mean; NaN with one seed */
    double stale_share;
    double seconds; /* of a run */
};

static enum status read_options(int argc, char **argv, struct options *out)
{
    *out = (struct options){
        .precision = "auto", .seeds = 3, .contributors = 4, .threads = cores_usable(THREADS_MAX)};
    const struct cli_option table[] = {
        {.name = "config", .kind = CLI_TEXT, .target = &out->config, .required = true},
        {.name = "precision", .kind = CLI_TEXT, .target = &out->precision},
        {.name = "variant", .kind = CLI_TEXTS, .target = &out->variants},
        {.name = "steps",
         .kind = CLI_COUNT,
         .target = &out->steps,
         .count_min = 1,
         .count_max = RUN_STEPS_MAX},
        {.name = "seeds",
         .kind = CLI_COUNT,
         .target = &out->seeds,
         .count_min = 1,
         .count_max = SEEDS_MAX},
        {.name = "contributors",
         .kind = CLI_COUNT,
         .target = &out->contributors,
         .count_min = 1,
         .count_max = TRIAL_CONTRIBUTORS_MAX},
        {.name = "windows", .kind = CLI_COUNT, .target = &out->windows, .count_max = WINDOWS_MAX},
        {.name = "threads",
         .kind = CLI_COUNT,
         .target = &out->threads,
         .count_min = 1,
         .count_max = THREADS_MAX},
        {.name = "json", .kind = CLI_FLAG, .target = &out->json},
    };
    int rest = 0;
    enum status status =
        cli_options_parse("trial", table, sizeof(table) / sizeof(table[0]), argc, argv, &rest);
    return status == STATUS_OK ? cli_options_expect_end("trial", rest, argc, argv) : status;
}

/* Another length with the same course: warm-up and decay keep their shares. */
static void set_steps(struct run_config *config, uint64_t steps)
{
    struct schedule *schedule = &config->schedule;
    double scale = (double)steps / (double)config->step_count;
    schedule->warmup_steps = (uint64_t)(scale * (double)schedule->warmup_steps);
    schedule->decay_steps = (uint64_t)(scale * (double)schedule->decay_steps);
    schedule->step_count = steps;
    config->step_count = steps;
}

static enum status add_variant(struct trial *self, const char *text)
{
    if (self->variant_count == VARIANTS_MAX) {
        return fault(STATUS_USAGE, "a trial has at most %d variants beside fp32", VARIANTS_MAX - 1);
    }
    struct trial_variant *added = &self->variants[self->variant_count];
    enum status status = trial_variant_parse(text, added);
    for (size_t i = 0; i < self->variant_count && status == STATUS_OK; i++) {
        if (strcmp(self->variants[i].name, added->name) == 0) {
            return i == BASELINE && strchr(text, ':') == NULL
                       ? STATUS_OK /* it is there already */
                       : fault(STATUS_USAGE, "two variants are called %s; choose another name",
                               added->name);
        }
    }
    self->variant_count += status == STATUS_OK ? 1 : 0;
    return status;
}

/* The baseline comes first, then what was named, or all that have a name. */
static enum status choose_variants(struct trial *self, const struct cli_texts *texts)
{
    enum status status = add_variant(self, trial_variant_name(BASELINE));
    for (size_t i = 0; i < texts->count && status == STATUS_OK; i++) {
        status = add_variant(self, texts->items[i]);
    }
    for (size_t i = 0; texts->count == 0 && status == STATUS_OK; i++) {
        if (trial_variant_name(i) == NULL) {
            break;
        }
        status = add_variant(self, trial_variant_name(i));
    }
    return status;
}

static enum status check_data(const struct trial *self)
{
    if (dataset_vocab_size(self->train) > self->config.model.vocab_size) {
        return fault(STATUS_BAD_CONFIG,
                     "the data has %u tokens and the model's vocab_size is %u; set vocab_size to "
                     "at least %u",
                     dataset_vocab_size(self->train), self->config.model.vocab_size,
                     dataset_vocab_size(self->train));
    }
    return dataset_token_count(self->validation) > self->config.context
               ? STATUS_OK
               : fault(STATUS_BAD_DATA,
                       "the validation split has %" PRIu64 " tokens, too few for a window of %u + "
                       "1; build the data with a larger --val-fraction",
                       dataset_token_count(self->validation), self->config.context);
}

static enum status open_data(struct trial *self)
{
    enum status status = run_start_check(&self->config);
    if (status == STATUS_OK) {
        status = run_data_open(&self->config, DATASET_TRAIN, &self->train);
    }
    if (status == STATUS_OK) {
        status = run_data_open(&self->config, DATASET_VALIDATION, &self->validation);
    }
    return status == STATUS_OK ? check_data(self) : status;
}

static enum status trial_init(struct trial *self, const struct options *options)
{
    enum precision precision = PRECISION_AUTO;
    enum status status = choose_variants(self, &options->variants);
    if (status == STATUS_OK) {
        status = run_config_read(options->config, &self->config);
    }
    if (status == STATUS_OK) {
        status = precision_find(options->precision, &precision);
    }
    if (status == STATUS_OK) {
        status = precision_choose(precision, &self->config.model, &self->precision);
    }
    if (status == STATUS_OK) {
        status = open_data(self);
    }
    if (status != STATUS_OK) {
        return status;
    }
    set_steps(&self->config, options->steps > 0 ? options->steps : self->config.step_count);
    self->setting = (struct trial_setting){.config = &self->config,
                                           .train = self->train,
                                           .validation = self->validation,
                                           .backend = self->precision.backend,
                                           .contributor_count = options->contributors,
                                           .windows_max = options->windows};
    self->seed_count = (size_t)options->seeds;
    self->results = calloc(self->seed_count * self->variant_count, sizeof *self->results);
    return self->results != NULL ? STATUS_OK : fault(STATUS_NO_MEMORY, "no memory for a trial");
}

static void trial_deinit(struct trial *self)
{
    free(self->results);
    dataset_close(self->train);
    dataset_close(self->validation);
    CHECK(pthread_mutex_destroy(&self->lock) == 0);
}

static const struct trial_result *result_of(const struct trial *self, size_t seed, size_t variant)
{
    return &self->results[seed * self->variant_count + variant];
}

static size_t next_run(struct trial *self, enum status status)
{
    CHECK(pthread_mutex_lock(&self->lock) == 0);
    if (status != STATUS_OK && self->status == STATUS_OK) {
        self->status = status;
        (void)snprintf(self->fault, sizeof self->fault, "%s", fault_text());
    }
    size_t total = self->seed_count * self->variant_count;
    size_t run = self->status == STATUS_OK && self->next < total ? self->next++ : total;
    CHECK(pthread_mutex_unlock(&self->lock) == 0);
    return run;
}

static void *run_some(void *context)
{
    struct trial *self = context;
    size_t total = self->seed_count * self->variant_count;
    size_t run = next_run(self, STATUS_OK);
    while (run < total) {
        const struct trial_variant *variant = &self->variants[run % self->variant_count];
        struct trial_result *result = &self->results[run];
        uint64_t seed = self->config.seed + run / self->variant_count;
        enum status status = trial_run(&self->setting, variant, seed, result);
        if (status == STATUS_OK) {
            char digest[DIGEST_HEX_BYTES];
            digest_to_hex(&result->digest, digest);
            log_info("trial", "run",
                     "variant=%s seed=%" PRIu64 " loss=%.9g train_loss=%.9g stale_share=%.4g "
                     "seconds=%.1f digest=%s",
                     variant->name, seed, result->loss, result->train_loss, result->stale_share,
                     result->seconds, digest);
        }
        run = next_run(self, status);
    }
    return NULL;
}

static enum status run_all(struct trial *self, size_t thread_count)
{
    pthread_t threads[THREADS_MAX];
    size_t started = 0;
    size_t total = self->seed_count * self->variant_count;
    while (started < thread_count && started < total &&
           pthread_create(&threads[started], NULL, run_some, self) == 0) {
        started++;
    }
    for (size_t i = 0; i < started; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    if (started == 0) {
        return fault(STATUS_OS, "no thread could be started; try again later");
    }
    return self->status == STATUS_OK ? STATUS_OK : fault(self->status, "%s", self->fault);
}

static struct summary summarise(const struct trial *self, size_t variant)
{
    struct summary out = {0};
    double squares = 0;
    double count = (double)self->seed_count;
    for (size_t seed = 0; seed < self->seed_count; seed++) {
        const struct trial_result *result = result_of(self, seed, variant);
        double relative = result->loss / result_of(self, seed, BASELINE)->loss - 1.0;
        out.loss += result->loss / count;
        out.train_loss += result->train_loss / count;
        out.stale_share += result->stale_share / count;
        out.seconds += result->seconds / count;
        out.relative += relative / count;
    }
    for (size_t seed = 0; seed < self->seed_count; seed++) {
        double loss = result_of(self, seed, variant)->loss;
        double apart = loss / result_of(self, seed, BASELINE)->loss - 1.0 - out.relative;
        squares += apart * apart;
    }
    out.standard_error = self->seed_count > 1 ? sqrt(squares / (count - 1.0) / count) : (double)NAN;
    return out;
}

/* JSON has no number for what is none. */
static void print_number(const char *key, double value)
{
    if (isfinite(value)) {
        (void)printf(",\"%s\":%.9g", key, value);
    } else {
        (void)printf(",\"%s\":null", key);
    }
}

static void print_variant(const struct trial *self, size_t index)
{
    const struct trial_variant *variant = &self->variants[index];
    const struct summary summary = summarise(self, index);
    (void)printf("%s{\"variant\":\"%s\",\"gradient\":\"%s\",\"update\":\"%s\",\"mean\":\"%s\"",
                 index > 0 ? "," : "", variant->name, codec_name(variant->gradient),
                 codec_name(variant->update), codec_name(variant->mean));
    print_number("stale_share", summary.stale_share);
    print_number("loss", summary.loss);
    print_number("train_loss", summary.train_loss);
    print_number("relative", summary.relative);
    print_number("standard_error", summary.standard_error);
    print_number("seconds", summary.seconds);
    (void)printf(",\"losses\":[");
    for (size_t seed = 0; seed < self->seed_count; seed++) {
        double loss = result_of(self, seed, index)->loss;
        (void)printf(isfinite(loss) ? "%s%.9g" : "%snull", seed > 0 ? "," : "", loss);
    }
    (void)printf("]}");
}

static void print_json(const struct trial *self)
{
    (void)printf(
        "{\"run\":\"%s\",\"steps\":%" PRIu64 ",\"tokens\":%" PRIu64 ",\"contributors\":%" PRIu64
        ",\"seeds\":%zu,\"first_seed\":%" PRIu64 ",\"precision\":\"%s\",\"results\":[",
        self->config.name, self->config.step_count,
        self->config.step_count * run_config_step_tokens(&self->config),
        self->setting.contributor_count, self->seed_count, self->config.seed, self->precision.name);
    for (size_t i = 0; i < self->variant_count; i++) {
        print_variant(self, i);
    }
    (void)printf("]}\n");
}

static void print_table(const struct trial *self)
{
    (void)printf("%-24s %-14s %6s %9s %9s %8s\n", "variant", "codecs", "stale", "loss", "against",
                 "+-");
    for (size_t i = 0; i < self->variant_count; i++) {
        const struct summary summary = summarise(self, i);
        char codecs[32];
        (void)snprintf(codecs, sizeof codecs, "%s %s", codec_name(self->variants[i].gradient),
                       codec_name(self->variants[i].update));
        (void)printf("%-24s %-14s %6.2f %9.5f %+8.2f%% %7.2f%%\n", self->variants[i].name, codecs,
                     summary.stale_share, summary.loss, 100 * summary.relative,
                     100 * summary.standard_error);
    }
}

enum status cli_trial(int argc, char **argv)
{
    struct options options;
    struct trial trial = {.lock = PTHREAD_MUTEX_INITIALIZER};
    enum status status = read_options(argc, argv, &options);
    if (status == STATUS_OK) {
        status = trial_init(&trial, &options);
    }
    if (status == STATUS_OK) {
        log_info("trial", "start",
                 "run=%s steps=%" PRIu64 " variants=%zu seeds=%zu threads=%" PRIu64 " precision=%s",
                 trial.config.name, trial.config.step_count, trial.variant_count, trial.seed_count,
                 options.threads, trial.precision.name);
        status = run_all(&trial, (size_t)options.threads);
    }
    if (status == STATUS_OK) {
        if (options.json) {
            print_json(&trial);
        } else {
            print_table(&trial);
        }
    }
    trial_deinit(&trial);
    return status;
}
