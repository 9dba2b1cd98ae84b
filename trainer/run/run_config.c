#include "trainer/run/run_config.h"

#include "common/check.h"
#include "common/fault.h"
#include "trainer/run/run_model.h"
#include "trainer/run/run_optimizer.h"
#include "trainer/run/run_yaml.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    bool fine = length > 0 && length < RUN_NAME_MAX && name[0] != '.' && name[0] != '-';
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)name[i];
        fine = fine && ((byte < 0x80 && isalnum(byte)) || strchr("-_.", byte) != NULL);
    }
    return fine;
}

enum status run_config_check_name(const char *name)
{
    return is_name(name)
               ? STATUS_OK
               : fault(STATUS_USAGE,
                       "a run's name must be at most %d letters, digits and - _ . and begin with a "
                       "letter or digit, not %.80s",
                       RUN_NAME_MAX - 1, name);
}

static enum status read_name(const struct run_yaml *yaml, struct run_config *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_NAME, "run");
    if (!is_name(name)) {
        return run_yaml_fault(yaml, RUN_KEY_NAME,
                              "must be at most %d letters, digits and - _ . and begin with a "
                              "letter or digit",
                              RUN_NAME_MAX - 1);
    }
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    return STATUS_OK;
}

static enum status read_data(const struct run_yaml *yaml, struct run_config *out)
{
    const char *path = run_yaml_text(yaml, RUN_KEY_DATA_PATH, NULL);
    if (path == NULL) {
        return run_yaml_fault(yaml, RUN_KEY_DATA_PATH,
                              "is missing; give the folder that 'dugnad data build' made");
    }
    const char *hex = run_yaml_text(yaml, RUN_KEY_DATA_MANIFEST, NULL);
    out->has_data_manifest = hex != NULL;
    if (hex != NULL && digest_from_hex(hex, &out->data_manifest) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_DATA_MANIFEST,
                              "must be the BLAKE2b-256 of the data's manifest.json in 64 "
                              "hexadecimal digits; leave it out to take the data as they are");
    }
    return run_resolve_path(yaml, path, out->data_folder);
}

static enum status read_context(const struct run_yaml *yaml, struct run_config *out)
{
    out->context = (uint32_t)run_yaml_count(yaml, RUN_KEY_DATA_CONTEXT, out->model.context_max);
    if (out->context > out->model.context_max) {
        return run_yaml_fault(yaml, RUN_KEY_DATA_CONTEXT,
                              "is %u, but the model's context is %u; make it smaller", out->context,
                              out->model.context_max);
    }
    return STATUS_OK;
}

static enum status read_codec(const struct run_yaml *yaml, struct run_config *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_CODEC, codec_name(CODEC_MX8));
    if (codec_from_name(name, &out->codec) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_CODEC, "must be mx8, mx4, bf16 or fp32, not '%.100s'",
                              name);
    }
    return STATUS_OK;
}

static enum status read_mean_codec(const struct run_yaml *yaml, enum codec missing,
                                   struct run_config *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_JOURNAL, codec_name(missing));
    if (codec_mean_from_name(name, &out->mean_codec) != STATUS_OK) {
        return run_yaml_fault(yaml, RUN_KEY_JOURNAL,
                              "must be mx8, bf16 or fp32, not '%.100s': the optimizer is given "
                              "what the journal keeps",
                              name);
    }
    return STATUS_OK;
}

/* A run whose contributions are exact stays so. */
static enum status read_codecs(const struct run_yaml *yaml, struct run_config *out)
{
    enum status status = read_codec(yaml, out);
    enum codec missing = out->codec == CODEC_FP32 ? CODEC_FP32 : CODEC_BF16;
    return status == STATUS_OK ? read_mean_codec(yaml, missing, out) : status;
}

static enum status read_training(const struct run_yaml *yaml, struct run_config *out)
{
    if (!yaml->values[RUN_KEY_STEPS].set) {
        return run_yaml_fault(yaml, RUN_KEY_STEPS, "is missing; give the number of steps to train");
    }
    out->step_count = yaml->values[RUN_KEY_STEPS].count;
    out->target_batch = (uint32_t)run_yaml_count(yaml, RUN_KEY_TARGET_BATCH, 32);
    out->max_staleness = (uint32_t)run_yaml_count(yaml, RUN_KEY_MAX_STALENESS, 0);
    out->stale_from = run_yaml_count(yaml, RUN_KEY_STALE_FROM, out->step_count / 5);
    out->predict = run_yaml_flag(yaml, RUN_KEY_PREDICT, true);
    out->checkpoint_every = run_yaml_count(yaml, RUN_KEY_CHECKPOINT_EVERY, 100);
    out->checkpoints_kept = (uint32_t)run_yaml_count(yaml, RUN_KEY_CHECKPOINTS_KEPT, 3);
    if (out->checkpoints_kept > 0 && out->checkpoints_kept < RUN_CHECKPOINTS_KEPT_MIN) {
        return run_yaml_fault(
            yaml, RUN_KEY_CHECKPOINTS_KEPT,
            "must be at least %d, or 0 to keep all: a run needs %d checkpoints to "
            "fall back on",
            RUN_CHECKPOINTS_KEPT_MIN, RUN_CHECKPOINTS_KEPT_MIN);
    }
    return read_codecs(yaml, out);
}

const char *membership_name(enum membership membership)
{
    static const char *const names[MEMBERSHIP_COUNT] = {[MEMBERSHIP_INVITE] = "invite",
                                                        [MEMBERSHIP_OPEN] = "open",
                                                        [MEMBERSHIP_ALLOWLIST] = "allowlist"};
    CHECK((int)membership < (int)MEMBERSHIP_COUNT);
    return names[membership];
}

static enum status read_membership(const struct run_yaml *yaml, struct run_config *out)
{
    const char *name = run_yaml_text(yaml, RUN_KEY_MEMBERSHIP, membership_name(MEMBERSHIP_INVITE));
    for (int i = 0; i < MEMBERSHIP_COUNT; i++) {
        out->membership = (enum membership)i;
        if (strcmp(name, membership_name(out->membership)) == 0) {
            return STATUS_OK;
        }
    }
    return run_yaml_fault(yaml, RUN_KEY_MEMBERSHIP,
                          "must be invite, open or allowlist, not '%.100s'", name);
}

static enum status fill(const struct run_yaml *yaml, struct run_config *out)
{
    enum status status = read_name(yaml, out);
    out->seed = run_yaml_count(yaml, RUN_KEY_SEED, 1);
    if (status == STATUS_OK) {
        status = read_membership(yaml, out);
    }
    if (status == STATUS_OK) {
        status = read_data(yaml, out);
    }
    if (status == STATUS_OK) {
        status = run_model_read(yaml, out->data_folder, &out->model);
    }
    if (status == STATUS_OK && yaml->values[RUN_KEY_MODEL_INIT_FROM].set) {
        status = run_resolve_path(yaml, yaml->values[RUN_KEY_MODEL_INIT_FROM].text, out->init_from);
    }
    if (status == STATUS_OK) {
        status = read_context(yaml, out);
    }
    if (status == STATUS_OK) {
        status = read_training(yaml, out);
    }
    if (status == STATUS_OK) {
        status = run_aggregation_read(yaml, &out->aggregation);
    }
    return status == STATUS_OK
               ? run_optimizer_read(yaml, out->step_count, &out->optimizer, &out->schedule)
               : status;
}

enum status run_config_read(const char *path, struct run_config *out)
{
    *out = (struct run_config){0};
    struct run_yaml yaml;
    enum status status = run_yaml_read(path, &yaml);
    if (status == STATUS_OK) {
        status = fill(&yaml, out);
    }
    run_yaml_deinit(&yaml);
    return status;
}

uint64_t run_config_step_tokens(const struct run_config *self)
{
    return (uint64_t)self->target_batch * self->context;
}
