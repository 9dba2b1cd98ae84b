/* bench_commit - what a committed step costs the coordinator, and how much of it is the journal.
 *
 *   bench_commit [1m|10m|124m|all] [FOLDER]     (all; $TMPDIR, or /tmp)
 *
 * For each size and each encoding of the mean gradient, a run as `dugnad-coordinator init` makes
 * it, in a folder that is removed afterwards: one contribution is summed, the step made, committed
 * and published, by the server's own calls and as many threads as it would take. Behind each step
 * as many bytes as its payload has go to a plain file, written and synced, so that a slow disk
 * shows as one. Prints JSON: times are means over the steps behind the first few, in which memory
 * is touched for the first time; on a machine that others use too, fastest_step_ms says more. 124m
 * needs 11 GB of room and 8 GB of memory.
 *
 * The phases inside of aggregate_commit and store_commit are told apart by the linker's --wrap. */
#include "common/check.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/disk.h"
#include "common/fault.h"
#include "common/random.h"
#include "coordinator/server/aggregate.h"
#include "coordinator/server/publisher.h"
#include "coordinator/store/store.h"
#include "trainer/data/ingest/data_build.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARMUP_STEPS = 4, BATCH = 32, CONTEXT = 128, NOISE_VALUES = 1 << 20 };

enum phase { ADD, OPTIMIZER, DIGEST, HASH, WRITE, SYNC, LEDGER, PUBLISH, PHASE_COUNT };

static const char *const PHASE_NAMES[PHASE_COUNT] = {
    "add",           "optimizer_and_encode", "params_digest", "journal_hash",
    "journal_write", "journal_fsync",        "ledger",        "publish"};

struct size {
    const char *name;
    const char *model; /* of the run file */
    int steps;         /* measured */
};

static const struct size SIZES[] = {
    {"1m", "{type: llama, hidden_size: 128, layers: 5, heads: 4, context: 1024}", 60},
    {"10m",
     "{type: llama, hidden_size: 384, layers: 6, heads: 6, intermediate_size: 1024, context: 1024}",
     20},
    {"124m",
     "{type: gpt2, hidden_size: 768, layers: 12, heads: 12, vocab_size: 50257, "
     "context: 1024}",
     3}};

static const enum codec CODECS[] = {CODEC_FP32, CODEC_BF16, CODEC_MX8};

enum {
    SIZE_COUNT = sizeof SIZES / sizeof SIZES[0],
    CODEC_COUNT = sizeof CODECS / sizeof CODECS[0]
};

/* Nanoseconds in each wrapped function since the last reset. */
static struct {
    uint64_t append;
    uint64_t write;
    uint64_t sync;
    uint64_t digest;
} spent;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming):
 * the linker chooses these names. */
enum status __real_journal_append_step(struct journal *self, const struct journal_step *step,
                                       const uint8_t *payload, size_t payload_bytes);
enum status __real_journal_sync(struct journal *self);
bool __real_disk_write(int fd, const void *data, size_t size_bytes);
struct digest __real_params_digest(const float *params, size_t value_count);
enum status __wrap_journal_append_step(struct journal *self, const struct journal_step *step,
                                       const uint8_t *payload, size_t payload_bytes);
enum status __wrap_journal_sync(struct journal *self);
bool __wrap_disk_write(int fd, const void *data, size_t size_bytes);
struct digest __wrap_params_digest(const float *params, size_t value_count);

enum status __wrap_journal_append_step(struct journal *self, const struct journal_step *step,
                                       const uint8_t *payload, size_t payload_bytes)
{
    uint64_t start_ns = clock_now_ns();
    enum status status = __real_journal_append_step(self, step, payload, payload_bytes);
    spent.append += clock_now_ns() - start_ns;
    return status;
}

enum status __wrap_journal_sync(struct journal *self)
{
    uint64_t start_ns = clock_now_ns();
    enum status status = __real_journal_sync(self);
    spent.sync += clock_now_ns() - start_ns;
    return status;
}

bool __wrap_disk_write(int fd, const void *data, size_t size_bytes)
{
    uint64_t start_ns = clock_now_ns();
    bool written = __real_disk_write(fd, data, size_bytes);
    spent.write += clock_now_ns() - start_ns;
    return written;
}

struct digest __wrap_params_digest(const float *params, size_t value_count)
{
    uint64_t start_ns = clock_now_ns();
    struct digest digest = __real_params_digest(params, value_count);
    spent.digest += clock_now_ns() - start_ns;
    return digest;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */

struct bench {
    char folder[FILES_PATH_MAX]; /* of this program, for all its files */
    char run_path[FILES_PATH_MAX];
    size_t thread_count;
    float *noise; /* (NOISE_VALUES) */
    struct run_dir run;
    struct aggregate *aggregate;
    struct store *store;
    struct publisher *publisher;
    uint8_t *contribution; /* (aggregate_encoded_bytes) */
    int plain_fd;
};

struct figures {
    uint64_t phase_ns[PHASE_COUNT];
    uint64_t fastest_ns; /* of whole steps */
    uint64_t plain_ns;
    uint64_t record_bytes;
    uint64_t checkpoint_ns;
};

static enum status build_data(struct bench *self)
{
    char text[8192];
    char shards[FILES_PATH_MAX];
    char path[FILES_PATH_MAX];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + (i * i + i / 7) % 26);
    }
    enum status status = files_join(self->folder, "text.txt", path);
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, sizeof text, 0644);
    }
    if (status == STATUS_OK) {
        status = files_join(self->folder, "shards", shards);
    }
    const char *file = path;
    const struct data_build_options options = {.tokenizer_spec = "bytes",
                                               .out_folder = shards,
                                               .files = &file,
                                               .file_count = 1,
                                               .validation_fraction = 0.1,
                                               .shard_tokens_max = 1 << 20,
                                               .seed = 1};
    struct data_build_result result;
    return status == STATUS_OK ? data_build(&options, &result) : status;
}

static enum status make_run(struct bench *self, const struct size *size, enum codec codec)
{
    char text[1024];
    char path[FILES_PATH_MAX];
    int length = snprintf(text, sizeof text,
                          "name: bench\n"
                          "model: %s\n"
                          "data: {path: shards, context: %d}\n"
                          "training: {steps: 1000, target_batch: %d, codec: %s, journal: %s,\n"
                          "  checkpoint_every: 1000, checkpoints_kept: 3}\n"
                          "optimizer: {learning_rate: 0.0003, warmup_steps: 2}\n",
                          size->model, CONTEXT, BATCH, codec_name(codec), codec_name(codec));
    CHECK(length > 0 && (size_t)length < sizeof text);
    enum status status = files_join(self->folder, "run.yaml", path);
    if (status == STATUS_OK) {
        status = files_write_atomic(path, text, (size_t)length, 0644);
    }
    if (status == STATUS_OK) {
        status = files_join(self->folder, "run", self->run_path);
    }
    if (status == STATUS_OK) {
        status = run_dir_create(path, self->run_path);
    }
    return status == STATUS_OK ? run_dir_open(self->run_path, &self->run) : status;
}

static enum status encode_contribution(struct bench *self, enum codec codec)
{
    uint64_t tokens = run_config_step_tokens(&self->run.config);
    size_t value_count = layout_value_count(self->run.layout);
    const struct exact_grid grid = exact_grid_for(tokens);
    float *values = malloc(value_count * sizeof *values);
    self->contribution = malloc(codec_encoded_bytes(codec, value_count));
    enum status status = STATUS_NO_MEMORY;
    if (values != NULL && self->contribution != NULL) {
        for (size_t i = 0; i < value_count; i++) {
            values[i] = self->noise[i % NOISE_VALUES] * 1e-3F * (float)tokens;
        }
        status = codec_encode(codec, -grid.shift, values, value_count, self->contribution);
    }
    free(values);
    return status == STATUS_OK ? status : fault(status, "the gradient could not be made");
}

static enum status open_plain(struct bench *self)
{
    char path[FILES_PATH_MAX];
    enum status status = files_join(self->folder, "plain", path);
    if (status == STATUS_OK && disk_kind_of(path) == DISK_FILE) {
        (void)disk_unlink(path);
    }
    if (status == STATUS_OK) {
        self->plain_fd = disk_open(path, DISK_CREATE, 0644);
    }
    return status != STATUS_OK || self->plain_fd >= 0
               ? status
               : fault(STATUS_CANNOT_CREATE, "cannot create %s: %s", path, strerror(errno));
}

static void warn(const char *sentence)
{
    (void)fprintf(stderr, "bench_commit: %s\n", sentence);
}

static enum status begin(struct bench *self, const struct size *size, enum codec codec)
{
    enum status status = make_run(self, size, codec);
    if (status == STATUS_OK) {
        status = aggregate_new(&self->run, self->thread_count, &self->aggregate);
    }
    if (status == STATUS_OK) {
        status = store_open(&self->run, aggregate_master(self->aggregate),
                            aggregate_slices(self->aggregate), warn, &self->store);
    }
    if (status == STATUS_OK) {
        status = publisher_new(layout_value_count(self->run.layout), codec, &self->publisher);
    }
    if (status == STATUS_OK) {
        status = encode_contribution(self, codec);
    }
    return status == STATUS_OK ? open_plain(self) : status;
}

static enum status end(struct bench *self, enum status status)
{
    if (self->plain_fd >= 0) {
        (void)disk_close(self->plain_fd);
    }
    free(self->contribution);
    publisher_free(self->publisher);
    store_close(self->store);
    aggregate_free(self->aggregate);
    run_dir_close(&self->run);
    self->plain_fd = -1;
    self->contribution = NULL;
    self->publisher = NULL;
    self->store = NULL;
    self->aggregate = NULL;
    return status == STATUS_OK ? files_remove_folder(self->run_path) : status;
}

static enum status commit(struct bench *self, const struct aggregate_result *result)
{
    const struct journal_state *state = store_state(self->store);
    const struct sample_range range = {.first = state->sample_first,
                                       .count = state->settings.target_batch};
    const struct journal_contribution contribution = {.key = {1},
                                                      .tokens = result->tokens,
                                                      .loss_sum = result->loss_sum,
                                                      .range_count = 1,
                                                      .ranges = &range};
    struct journal_step step = {.step = state->version,
                                .samples = range,
                                .tokens = result->tokens,
                                .loss_sum = result->loss_sum,
                                .grad_l2 = result->grad_l2,
                                .learning_rate = result->learning_rate,
                                .unix_ms = clock_unix_ms(),
                                .digest = result->digest,
                                .mean_codec = state->settings.mean_codec,
                                .contribution_count = 1,
                                .contributions = &contribution};
    return store_commit(self->store, &step);
}

/* One step as the server makes it; its times are added to `figures`. */
static enum status make_step(struct bench *self, struct figures *figures)
{
    uint64_t tokens = run_config_step_tokens(&self->run.config);
    struct aggregate_result result;
    uint64_t times_ns[5];
    memset(&spent, 0, sizeof spent);
    times_ns[0] = clock_now_ns();
    enum status status = aggregate_add(self->aggregate, self->run.config.codec, self->contribution,
                                       aggregate_encoded_bytes(self->aggregate), tokens, 3.0);
    if (status != STATUS_OK) {
        return fault(status, "the contribution was refused");
    }
    times_ns[1] = clock_now_ns();
    status = aggregate_commit(self->aggregate, publisher_next_update(self->publisher), &result);
    times_ns[2] = clock_now_ns();
    if (status == STATUS_OK) {
        status = commit(self, &result);
    }
    if (status != STATUS_OK) {
        return status;
    }
    times_ns[3] = clock_now_ns();
    struct wire_committed committed = {.step = store_state(self->store)->version - 1,
                                       .tokens = tokens,
                                       .digest = result.digest,
                                       .codec = store_state(self->store)->settings.update_codec};
    publisher_add(self->publisher, &committed);
    times_ns[4] = clock_now_ns();
    uint64_t whole_ns = times_ns[4] - times_ns[0];
    figures->fastest_ns = whole_ns < figures->fastest_ns ? whole_ns : figures->fastest_ns;
    figures->phase_ns[ADD] += times_ns[1] - times_ns[0];
    figures->phase_ns[OPTIMIZER] += times_ns[2] - times_ns[1] - spent.digest;
    figures->phase_ns[DIGEST] += spent.digest;
    figures->phase_ns[HASH] += spent.append - spent.write;
    figures->phase_ns[WRITE] += spent.write;
    figures->phase_ns[SYNC] += spent.sync;
    figures->phase_ns[LEDGER] += times_ns[3] - times_ns[2] - spent.append - spent.sync;
    figures->phase_ns[PUBLISH] += times_ns[4] - times_ns[3];
    return STATUS_OK;
}

/* The same bytes without a journal, by the same system calls. */
static enum status write_plain(struct bench *self, struct figures *figures)
{
    struct master *master = aggregate_master(self->aggregate);
    uint64_t start_ns = clock_now_ns();
    if (!disk_write(self->plain_fd, master_mean_encoded(master), master_mean_bytes(master)) ||
        !disk_sync(self->plain_fd)) {
        return fault(STATUS_IO, "writing a plain file failed: %s", strerror(errno));
    }
    figures->plain_ns += clock_now_ns() - start_ns;
    figures->record_bytes = master_mean_bytes(master);
    return STATUS_OK;
}

static enum status measure(struct bench *self, int steps, struct figures *out)
{
    char path[FILES_PATH_MAX];
    enum status status = STATUS_OK;
    for (int i = 0; i < WARMUP_STEPS + steps && status == STATUS_OK; i++) {
        if (i <= WARMUP_STEPS) {
            *out = (struct figures){.fastest_ns = UINT64_MAX};
        }
        status = make_step(self, out);
        if (status == STATUS_OK) {
            status = write_plain(self, out);
        }
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint64_t start_ns = clock_now_ns();
    status = store_checkpoint(self->store, path);
    out->checkpoint_ns = clock_now_ns() - start_ns;
    return status;
}

static void print_figures(const struct bench *self, const struct size *size, enum codec codec,
                          const struct figures *figures)
{
    double per_step = 1e-6 / size->steps; /* ns of all to ms of one */
    double whole = 0.0;
    double journal = 0.0;
    for (int i = 0; i < PHASE_COUNT; i++) {
        whole += (double)figures->phase_ns[i] * per_step;
        journal += i >= HASH && i <= LEDGER ? (double)figures->phase_ns[i] * per_step : 0.0;
    }
    double written = (double)(figures->phase_ns[WRITE] + figures->phase_ns[SYNC]) * per_step;
    double appended = written + (double)figures->phase_ns[HASH] * per_step;
    double plain = (double)figures->plain_ns * per_step;
    double megabytes = (double)figures->record_bytes * 1e-6;
    printf("{\"size\": \"%s\", \"parameters\": %zu, \"codec\": \"%s\", \"steps\": %d,\n"
           "  \"step_ms\": %.2f, \"fastest_step_ms\": %.2f, \"steps_per_s\": %.2f, "
           "\"journal_share\": %.3f,\n  \"ms\": {",
           size->name, layout_parameter_count(self->run.layout), codec_name(codec), size->steps,
           whole, (double)figures->fastest_ns * 1e-6, 1e3 / whole, journal / whole);
    for (int i = 0; i < PHASE_COUNT; i++) {
        printf("%s\"%s\": %.2f", i > 0 ? ", " : "", PHASE_NAMES[i],
               (double)figures->phase_ns[i] * per_step);
    }
    printf("},\n  \"payload_bytes\": %llu, \"disk_mb_per_s\": %.0f, \"plain_mb_per_s\": %.0f,\n"
           "  \"disk_speed_of_plain\": %.2f, \"journal_speed_of_plain\": %.2f,\n"
           "  \"checkpoint_bytes\": %llu, \"checkpoint_ms\": %.0f}",
           (unsigned long long)figures->record_bytes, megabytes / written * 1e3,
           megabytes / plain * 1e3, plain / written, plain / appended,
           (unsigned long long)store_checkpoint_bytes(self->store),
           (double)figures->checkpoint_ns * 1e-6);
}

static enum status run_all(struct bench *self, const char *only)
{
    enum status status = build_data(self);
    const char *separator = "";
    printf("{\"threads\": %zu, \"batch\": %d, \"context\": %d, \"results\": [\n",
           self->thread_count, BATCH, CONTEXT);
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        for (size_t c = 0; c < CODEC_COUNT && status == STATUS_OK; c++) {
            struct figures figures = {0};
            if (only != NULL && strcmp(only, SIZES[i].name) != 0) {
                continue;
            }
            status = begin(self, &SIZES[i], CODECS[c]);
            if (status == STATUS_OK) {
                status = measure(self, SIZES[i].steps, &figures);
            }
            if (status == STATUS_OK) {
                (void)fputs(separator, stdout);
                print_figures(self, &SIZES[i], CODECS[c], &figures);
                separator = ",\n";
            }
            (void)fflush(stdout);
            status = end(self, status);
        }
    }
    printf("\n]}\n");
    return status;
}

static enum status run_in(struct bench *self, const char *parent, const char *only)
{
    struct random random;
    int length = snprintf(self->folder, sizeof self->folder, "%s/bench_commit-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof self->folder || mkdtemp(self->folder) == NULL) {
        return fault(STATUS_CANNOT_CREATE, "cannot make a folder in %s; name one that is writable",
                     parent);
    }
    random_init(&random, 1, 0);
    for (size_t i = 0; i < NOISE_VALUES; i++) {
        self->noise[i] = (float)random_normal(&random);
    }
    enum status status = run_all(self, only);
    enum status removed = files_remove_folder(self->folder);
    return status == STATUS_OK ? removed : status;
}

static bool is_size(const char *name)
{
    bool found = false;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        found = found || strcmp(SIZES[i].name, name) == 0;
    }
    return found;
}

int main(int argc, char **argv)
{
    static struct bench bench = {.plain_fd = -1, .run = {.lock_fd = -1}};
    const char *only = argc > 1 && strcmp(argv[1], "all") != 0 ? argv[1] : NULL;
    const char *parent = argc > 2 ? argv[2] : getenv("TMPDIR");
    if (argc > 3 || (only != NULL && !is_size(only))) {
        (void)fprintf(stderr, "usage: bench_commit [1m|10m|124m|all] [FOLDER]\n");
        return status_exit_code(STATUS_USAGE);
    }
    /* It also picks the fastest BLAKE2b for this processor, as in the coordinator. */
    CHECK(sodium_init() >= 0);
    bench.thread_count = cores_usable(SLICES_THREADS_MAX);
    bench.noise = malloc(NOISE_VALUES * sizeof *bench.noise);
    enum status status = bench.noise != NULL
                             ? run_in(&bench, parent != NULL ? parent : "/tmp", only)
                             : fault(STATUS_NO_MEMORY, "not enough memory");
    free(bench.noise);
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "bench_commit: %s\n", fault_text());
    }
    return status_exit_code(status);
}
