/* model_config_keys - the sizes of struct model_config and their config.json keys: one table for
 * the check, the reader and the writer.
 *
 * Private to trainer/layout. Pure. */
#ifndef DUGNAD_TRAINER_LAYOUT_MODEL_CONFIG_KEYS_H
#define DUGNAD_TRAINER_LAYOUT_MODEL_CONFIG_KEYS_H

#include "trainer/layout/model_config.h"

struct size_key {
    const char *llama;
    const char *gpt2; /* NULL: gpt2 derives it from the others */
    size_t offset;    /* of the uint32_t in struct model_config */
    uint32_t max;
    bool llama_optional;
    bool gpt2_optional;
};

enum { SIZE_KEY_COUNT = 8 };
extern const struct size_key SIZE_KEYS[SIZE_KEY_COUNT];

/* The key's name for this kind of model; NULL when config.json has none. */
const char *size_key_name(const struct size_key *key, enum model_kind kind);

#endif
