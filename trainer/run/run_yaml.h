/* run_yaml - the keys and values of a run's YAML file, each checked for type and range.
 *
 * What the values mean together is run_config's business. Private to trainer/run. */
#ifndef DUGNAD_TRAINER_RUN_RUN_YAML_H
#define DUGNAD_TRAINER_RUN_RUN_YAML_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum run_key {
    RUN_KEY_NAME,
    RUN_KEY_SEED,
    RUN_KEY_MEMBERSHIP,
    RUN_KEY_MODEL_TYPE,
    RUN_KEY_MODEL_CONFIG,
    RUN_KEY_MODEL_INIT_FROM,
    RUN_KEY_MODEL_HIDDEN_SIZE,
    RUN_KEY_MODEL_LAYERS,
    RUN_KEY_MODEL_HEADS,
    RUN_KEY_MODEL_KV_HEADS,
    RUN_KEY_MODEL_INTERMEDIATE_SIZE,
    RUN_KEY_MODEL_CONTEXT,
    RUN_KEY_MODEL_TIED,
    RUN_KEY_MODEL_ROPE_THETA,
    RUN_KEY_MODEL_NORM_EPS,
    RUN_KEY_MODEL_INIT_STD,
    RUN_KEY_MODEL_VOCAB_SIZE,
    RUN_KEY_DATA_PATH,
    RUN_KEY_DATA_CONTEXT,
    RUN_KEY_DATA_MANIFEST,
    RUN_KEY_STEPS,
    RUN_KEY_TARGET_BATCH,
    RUN_KEY_CODEC,
    RUN_KEY_JOURNAL,
    RUN_KEY_MAX_STALENESS,
    RUN_KEY_STALE_FROM,
    RUN_KEY_PREDICT,
    RUN_KEY_CHECKPOINT_EVERY,
    RUN_KEY_CHECKPOINTS_KEPT,
    RUN_KEY_OPTIMIZER_TYPE,
    RUN_KEY_OPTIMIZER_NAME,
    RUN_KEY_SCHEDULE,
    RUN_KEY_LEARNING_RATE,
    RUN_KEY_LEARNING_RATE_MIN,
    RUN_KEY_WARMUP_STEPS,
    RUN_KEY_DECAY_STEPS,
    RUN_KEY_DECAY,
    RUN_KEY_BETA1,
    RUN_KEY_BETA2,
    RUN_KEY_EPS,
    RUN_KEY_WEIGHT_DECAY,
    RUN_KEY_GRAD_CLIP,
    RUN_KEY_MOMENTUM,
    RUN_KEY_NESTEROV,
    RUN_KEY_STRATEGY,
    RUN_KEY_BELIEVE,
    RUN_KEY_CHECK_SHARE,
    RUN_KEY_FRACTION_MAX,
    RUN_KEY_OWNERS_MAX,
    RUN_KEY_REST,
    RUN_KEY_SLOW_LINK_CODEC,
    RUN_KEY_SLOW_LINK_UPDATES,
    RUN_KEY_COUNT
};

enum run_key_kind { RUN_TEXT, RUN_COUNT, RUN_REAL, RUN_FLAG };

struct run_key_facts {
    const char *section; /* "" for keys at the top */
    const char *name;
    enum run_key_kind kind;
    uint64_t count_min, count_max;
    double real_min, real_max;
};
extern const struct run_key_facts RUN_KEYS[RUN_KEY_COUNT];

/* The section `name` is one that has keys. */
bool run_yaml_is_section(const char *name);

/* What to say about a key that `section` does not have: writes half a sentence that names the
 * nearest known key, or the section that the key belongs to, to out(size). */
void run_yaml_suggest(const char *section, const char *name, char *out, size_t size);

struct run_value {
    bool set;
    size_t line; /* from 1; valid when set */
    char *text;  /* as written; valid when set */
    uint64_t count;
    double real;
    bool flag;
};

struct run_yaml {
    const char *path; /* borrowed */
    struct run_value values[RUN_KEY_COUNT];
};

/* Reads the file and checks every key and value on its own. End *out with run_yaml_deinit(), also
 * after an error. Errors: NO_INPUT, BAD_DATA, BAD_CONFIG, NO_MEMORY. */
MUST_CHECK enum status run_yaml_read(const char *path, struct run_yaml *out);
void run_yaml_deinit(struct run_yaml *self);

/* A BAD_CONFIG sentence that begins with the file, the key's line (when it is set) and its name. */
__attribute__((format(printf, 3, 4))) enum status
run_yaml_fault(const struct run_yaml *self, enum run_key key, const char *format, ...);

/* The value when the key is set, otherwise the default. */
uint64_t run_yaml_count(const struct run_yaml *self, enum run_key key, uint64_t missing);
double run_yaml_real(const struct run_yaml *self, enum run_key key, double missing);
bool run_yaml_flag(const struct run_yaml *self, enum run_key key, bool missing);
const char *run_yaml_text(const struct run_yaml *self, enum run_key key, const char *missing);

#endif
