#include "tests/sim/sim_template.h"

#include "coordinator/store/members.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_reference.h"
#include "trainer/data/manifest.h"

#include "common/fault.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 4096, VOCAB = 256, GRID_LOG2 = 14, SAMPLE_VALUE_MAX = 64 };

/* What differs between templates. */
static const struct {
    const char *codec;
    const char *journal;
    unsigned steps;
    unsigned target_batch;
    unsigned checkpoint_every;
    const char *optimizer;
} facts[SIM_TEMPLATES] = {{"fp32", "fp32", 3, 8, 1, "adamw"},    {"fp32", "bf16", 4, 6, 2, "adamw"},
                          {"fp32", "mx8", 5, 5, 3, "adamw"},     {"fp32", "mx8", 2, 12, 1, "lamb"},
                          {"fp32", "fp32", 6, 4, 2, "sgd"},      {"mx8", "mx8", 3, 6, 2, "adamw"},
                          {"mx8", "bf16", 4, 5, 1, "adam_mini"}, {"fp32", "mx8", 4, 9, 3, "adamw"}};

static struct sim_template templates[SIM_TEMPLATES];
static struct identity identities[SIM_PEERS_MAX];

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "dugnad-sim: %s: %s\n", status_text(status), fault_text());
        exit(EXIT_FAILURE);
    }
}

static void make_data(const char *folder)
{
    uint16_t tokens[TOKENS];
    char path[FILES_PATH_MAX];
    struct manifest manifest = {.tokenizer = "bytes", .vocab_size = VOCAB};
    for (size_t i = 0; i < TOKENS; i++) {
        tokens[i] = (uint16_t)('a' + (i * i + i / 7) % 26);
    }
    struct tokenizer *tokenizer = NULL;
    must(files_make_folder(folder));
    must(tokenizer_new("bytes", &tokenizer));
    must(tokenizer_write(tokenizer, folder));
    tokenizer_free(tokenizer);
    for (int split = 0; split < MANIFEST_SPLIT_COUNT; split++) {
        struct manifest_shard shard = {.token_count = TOKENS,
                                       .digest = digest_of(tokens, sizeof tokens)};
        (void)snprintf(shard.file, sizeof shard.file, "%s-00000.bin",
                       manifest_split_name((enum dataset_split)split));
        must(files_join(folder, shard.file, path));
        must(files_write_atomic(path, tokens, sizeof tokens, 0644));
        must(manifest_add_shard(&manifest, (enum dataset_split)split, &shard));
    }
    must(manifest_write(&manifest, folder));
    manifest_deinit(&manifest);
}

static void write_yaml(size_t index, const char *path)
{
    char text[1024];
    int length = snprintf(
        text, sizeof text,
        "name: sim\nseed: %zu\n"
        "model: {type: llama, hidden_size: 8, layers: 1, heads: 2, intermediate_size: 16}\n"
        "data: {path: shards, context: 8}\n"
        "training: {steps: %u, target_batch: %u, codec: %s, journal: %s,\n"
        "  checkpoint_every: %u, checkpoints_kept: 3}\n"
        "optimizer: {type: %s, learning_rate: 0.01, warmup_steps: 1}\n",
        index + 1, facts[index].steps, facts[index].target_batch, facts[index].codec,
        facts[index].journal, facts[index].checkpoint_every, facts[index].optimizer);
    must(files_write_atomic(path, text, (size_t)length, 0644));
}

/* One that all peers come by. */
static void make_invite(uint8_t out_token[LINK_TOKEN_BYTES])
{
    struct members *members = NULL;
    uint64_t number = 0;
    randombytes_buf(out_token, LINK_TOKEN_BYTES);
    const struct invite invite = {.hash = digest_of(out_token, LINK_TOKEN_BYTES)};
    must(members_open(SIM_RUN_PATH, &members));
    must(members_invite(members, &invite, &number));
    members_close(members);
}

static void make_model(struct sim_template *self)
{
    struct workspace_plan plan = {
        .context = self->config.context, .sequence_count = 1, .purpose = WORKSPACE_GRADIENT};
    must(model_new(&self->config.model, &backend_ref, &self->model));
    must(weights_new(self->model, &self->weights));
    must(workspace_new(self->model, &plan, &self->workspace));
    must(gradient_new(self->model, &self->gradient));
    self->value_count = layout_value_count(model_layout(self->model));
    self->gradients = sim_outer_alloc(SIM_GRADIENTS_MAX * sizeof *self->gradients);
}

static void make_template(struct sim_template *self, size_t index)
{
    struct run_dir run;
    *self = (struct sim_template){.index = index, .disk = sim_disk_new(index)};
    sim_disk_use(self->disk);
    must(files_make_folder(SIM_DISK_ROOT));
    make_data(SIM_DISK_ROOT "/shards");
    write_yaml(index, SIM_DISK_ROOT "/template.yaml");
    must(run_dir_create(SIM_DISK_ROOT "/template.yaml", SIM_RUN_PATH));
    make_invite(self->link.token);
    must(run_dir_open(SIM_RUN_PATH, &run));
    self->config = run.config;
    (void)snprintf(self->link.address, sizeof self->link.address, "coordinator:7700");
    memcpy(self->link.coordinator_key, run.identity.public_key, IDENTITY_KEY_BYTES);
    run_dir_close(&run);
    must(dataset_open(self->config.data_folder, DATASET_TRAIN, &self->data));
    make_model(self);
    sim_reference_make(self);
    sim_disk_settle(self->disk);
    sim_disk_use(NULL);
    self->made = true;
}

static void make_identity(uint32_t peer)
{
    uint8_t seed[IDENTITY_SEED_BYTES] = {'p', 'e', 'e', 'r', (uint8_t)peer};
    must(identity_of_seed(seed, &identities[peer]));
}

void sim_templates_make(void)
{
    sim_secrets_begin(0);
    for (size_t i = 0; i < SIM_TEMPLATES; i++) {
        make_template(&templates[i], i);
    }
    for (uint32_t i = 0; i < SIM_PEERS_MAX; i++) {
        make_identity(i);
    }
}

void sim_templates_free(void)
{
    for (size_t i = 0; i < SIM_TEMPLATES; i++) {
        struct sim_template *self = &templates[i];
        sim_gradients_clear(self);
        sim_outer_free(self->gradients);
        sim_outer_free(self->last);
        gradient_free(self->gradient);
        workspace_free(self->workspace);
        weights_free(self->weights);
        model_free(self->model);
        sim_disk_use(self->disk);
        dataset_close(self->data);
        sim_disk_free(self->disk);
    }
}

const struct sim_template *sim_template(size_t index)
{
    return &templates[index];
}

const struct identity *sim_identity(uint32_t peer)
{
    return &identities[peer];
}

void sim_gradients_clear(const struct sim_template *pattern)
{
    struct sim_template *self = &templates[pattern->index];
    for (size_t i = 0; i < SIM_GRADIENTS_MAX; i++) {
        sim_outer_free(self->gradients[i].values);
        self->gradients[i] = (struct sim_gradient){0};
    }
    self->gradient_count = 0;
}

static struct sim_gradient *find_slot(struct sim_template *self, const struct digest *digest,
                                      uint64_t sample)
{
    uint64_t key = 0;
    memcpy(&key, digest->bytes, sizeof key);
    size_t at = (size_t)random_mix(key + sample) % SIM_GRADIENTS_MAX;
    while (self->gradients[at].used && (self->gradients[at].sample != sample ||
                                        !digest_equal(&self->gradients[at].params, digest))) {
        at = (at + 1) % SIM_GRADIENTS_MAX;
    }
    return &self->gradients[at];
}

static float on_grid(float value)
{
    if (!(fabsf(value) < (float)SAMPLE_VALUE_MAX)) {
        (void)fputs("dugnad-sim: a gradient is too large for the grid\n", stderr);
        abort();
    }
    return (float)(rint((double)value * (1 << GRID_LOG2)) / (1 << GRID_LOG2));
}

const struct sim_gradient *sim_gradient(const struct sim_template *pattern,
                                        const struct digest *digest, const float *params,
                                        uint64_t sample, const uint16_t *tokens)
{
    struct sim_template *self = &templates[pattern->index];
    if (self->gradient_count > SIM_GRADIENTS_MAX / 2) {
        sim_gradients_clear(self);
    }
    struct sim_gradient *slot = find_slot(self, digest, sample);
    if (slot->used) {
        return slot;
    }
    struct sequences sequences = {.tokens = &tokens, .count = 1, .length = self->config.context};
    *slot = (struct sim_gradient){.used = true, .params = *digest, .sample = sample};
    slot->values = sim_outer_alloc(self->value_count * sizeof *slot->values);
    weights_load(self->weights, params);
    gradient_zero(self->gradient);
    model_gradient(self->model, self->workspace, self->weights, &sequences, self->gradient,
                   &slot->loss_sum);
    const float *values = gradient_values(self->gradient);
    for (size_t i = 0; i < self->value_count; i++) {
        slot->values[i] = on_grid(values[i]);
    }
    self->gradient_count++;
    return slot;
}
