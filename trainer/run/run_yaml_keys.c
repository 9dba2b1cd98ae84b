/* The table of keys, and what to say about a key that is not in it. */
#include "trainer/layout/model_config.h"
#include "trainer/run/run_config.h"
#include "trainer/run/run_yaml.h"

#include <stdio.h>
#include <string.h>

/* Keys are compared by this many letters. */
enum { COMPARED_MAX = 63, FFN_WIDTH_MAX = 4 * MODEL_WIDTH_MAX };

#define TEXT(section, name)                                                                        \
    {                                                                                              \
        section, name, RUN_TEXT, 0, 0, 0, 0                                                        \
    }
#define COUNT(section, name, min, max)                                                             \
    {                                                                                              \
        section, name, RUN_COUNT, min, max, 0, 0                                                   \
    }
#define REAL(section, name, min, max)                                                              \
    {                                                                                              \
        section, name, RUN_REAL, 0, 0, min, max                                                    \
    }
#define FLAG(section, name)                                                                        \
    {                                                                                              \
        section, name, RUN_FLAG, 0, 0, 0, 0                                                        \
    }

const struct run_key_facts RUN_KEYS[RUN_KEY_COUNT] = {
    [RUN_KEY_NAME] = TEXT("", "name"),
    [RUN_KEY_SEED] = COUNT("", "seed", 0, UINT64_MAX),
    [RUN_KEY_MEMBERSHIP] = TEXT("", "membership"),
    [RUN_KEY_MODEL_TYPE] = TEXT("model", "type"),
    [RUN_KEY_MODEL_CONFIG] = TEXT("model", "config"),
    [RUN_KEY_MODEL_INIT_FROM] = TEXT("model", "init_from"),
    [RUN_KEY_MODEL_HIDDEN_SIZE] = COUNT("model", "hidden_size", 1, MODEL_WIDTH_MAX),
    [RUN_KEY_MODEL_LAYERS] = COUNT("model", "layers", 1, MODEL_LAYERS_MAX),
    [RUN_KEY_MODEL_HEADS] = COUNT("model", "heads", 1, MODEL_HEADS_MAX),
    [RUN_KEY_MODEL_KV_HEADS] = COUNT("model", "kv_heads", 1, MODEL_HEADS_MAX),
    [RUN_KEY_MODEL_INTERMEDIATE_SIZE] = COUNT("model", "intermediate_size", 1, FFN_WIDTH_MAX),
    [RUN_KEY_MODEL_CONTEXT] = COUNT("model", "context", 1, MODEL_CONTEXT_MAX),
    [RUN_KEY_MODEL_TIED] = FLAG("model", "tied"),
    [RUN_KEY_MODEL_ROPE_THETA] = REAL("model", "rope_theta", 1, 1e12),
    [RUN_KEY_MODEL_NORM_EPS] = REAL("model", "norm_eps", 1e-12, 0.1),
    [RUN_KEY_MODEL_INIT_STD] = REAL("model", "init_std", 0, 10),
    [RUN_KEY_MODEL_VOCAB_SIZE] = COUNT("model", "vocab_size", 1, MODEL_VOCAB_MAX),
    [RUN_KEY_DATA_PATH] = TEXT("data", "path"),
    [RUN_KEY_DATA_CONTEXT] = COUNT("data", "context", 1, MODEL_CONTEXT_MAX),
    [RUN_KEY_DATA_MANIFEST] = TEXT("data", "manifest"),
    [RUN_KEY_STEPS] = COUNT("training", "steps", 1, RUN_STEPS_MAX),
    [RUN_KEY_TARGET_BATCH] = COUNT("training", "target_batch", 1, RUN_TARGET_BATCH_MAX),
    [RUN_KEY_CODEC] = TEXT("training", "codec"),
    [RUN_KEY_JOURNAL] = TEXT("training", "journal"),
    [RUN_KEY_MAX_STALENESS] = COUNT("training", "max_staleness", 0, 1),
    [RUN_KEY_STALE_FROM] = COUNT("training", "stale_from", 0, RUN_STEPS_MAX),
    [RUN_KEY_PREDICT] = FLAG("training", "predict"),
    [RUN_KEY_CHECKPOINT_EVERY] = COUNT("training", "checkpoint_every", 1, RUN_STEPS_MAX),
    [RUN_KEY_CHECKPOINTS_KEPT] = COUNT("training", "checkpoints_kept", 0, 1000000),
    [RUN_KEY_OPTIMIZER_TYPE] = TEXT("optimizer", "type"),
    [RUN_KEY_OPTIMIZER_NAME] = TEXT("optimizer", "name"),
    [RUN_KEY_SCHEDULE] = TEXT("optimizer", "schedule"),
    [RUN_KEY_LEARNING_RATE] =
        REAL("optimizer", "learning_rate", RUN_LEARNING_RATE_MIN, RUN_LEARNING_RATE_MAX),
    [RUN_KEY_LEARNING_RATE_MIN] = REAL("optimizer", "learning_rate_min", 0, 10),
    [RUN_KEY_WARMUP_STEPS] = COUNT("optimizer", "warmup_steps", 0, RUN_STEPS_MAX),
    [RUN_KEY_DECAY_STEPS] = COUNT("optimizer", "decay_steps", 0, RUN_STEPS_MAX),
    [RUN_KEY_DECAY] = TEXT("optimizer", "decay"),
    [RUN_KEY_BETA1] = REAL("optimizer", "beta1", 0, 0.999999),
    [RUN_KEY_BETA2] = REAL("optimizer", "beta2", 0, 0.999999),
    [RUN_KEY_EPS] = REAL("optimizer", "eps", 1e-20, 1),
    [RUN_KEY_WEIGHT_DECAY] = REAL("optimizer", "weight_decay", 0, 10),
    [RUN_KEY_GRAD_CLIP] = REAL("optimizer", "grad_clip", 0, 1e9),
    [RUN_KEY_MOMENTUM] = REAL("optimizer", "momentum", 0, 0.999999),
    [RUN_KEY_NESTEROV] = FLAG("optimizer", "nesterov"),
    [RUN_KEY_STRATEGY] = TEXT("aggregation", "strategy"),
    [RUN_KEY_BELIEVE] = TEXT("aggregation", "believe"),
    [RUN_KEY_CHECK_SHARE] = REAL("aggregation", "check_share", 0.0001, 1),
    [RUN_KEY_FRACTION_MAX] = REAL("aggregation", "fraction_max", 0.0001, 1),
    [RUN_KEY_OWNERS_MAX] = COUNT("aggregation", "owners_max", 0, AGGREGATION_OWNERS_MAX),
    [RUN_KEY_REST] = FLAG("aggregation", "rest"),
    [RUN_KEY_SLOW_LINK_CODEC] = TEXT("aggregation", "slow_link_codec"),
    [RUN_KEY_SLOW_LINK_UPDATES] = FLAG("aggregation", "slow_link_updates"),
};

bool run_yaml_is_section(const char *name)
{
    for (size_t i = 0; i < RUN_KEY_COUNT; i++) {
        if (name[0] != '\0' && strcmp(RUN_KEYS[i].section, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Levenshtein's distance of the first COMPARED_MAX letters. */
static size_t distance(const char *a, const char *b)
{
    size_t row[COMPARED_MAX + 1];
    size_t length_a = strnlen(a, COMPARED_MAX);
    size_t length_b = strnlen(b, COMPARED_MAX);
    for (size_t j = 0; j <= length_b; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < length_a; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length_b; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            best = best < row[j] + 1 ? best : row[j] + 1;
            best = best < row[j + 1] + 1 ? best : row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[length_b];
}

/* What stands directly under `section` ("" is the top) because of key i; NULL for other places. */
static const char *child_of(const char *section, size_t i)
{
    if (strcmp(RUN_KEYS[i].section, section) == 0) {
        return RUN_KEYS[i].name;
    }
    return section[0] == '\0' ? RUN_KEYS[i].section : NULL;
}

void run_yaml_suggest(const char *section, const char *name, char *out, size_t size)
{
    const char *nearest = "";
    size_t nearest_distance = SIZE_MAX;
    for (size_t i = 0; i < RUN_KEY_COUNT; i++) {
        if (strcmp(RUN_KEYS[i].name, name) == 0) {
            const char *home = RUN_KEYS[i].section;
            (void)snprintf(out, size, "it belongs %s%s", home[0] == '\0' ? "at the top" : "under ",
                           home);
            return;
        }
        const char *child = child_of(section, i);
        if (child != NULL && distance(name, child) < nearest_distance) {
            nearest = child;
            nearest_distance = distance(name, child);
        }
    }
    (void)snprintf(out, size, "did you mean %s?", nearest);
}
