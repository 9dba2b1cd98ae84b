/* precision - which backend computes: float32, or bfloat16 where this machine is faster with it.
 *
 * A peer's own choice and no part of a run: gradients are sums in float32 either way. */
#ifndef DUGNAD_TRAINER_MODEL_PRECISION_H
#define DUGNAD_TRAINER_MODEL_PRECISION_H

#include "trainer/model/model.h"

enum precision { PRECISION_AUTO, PRECISION_FP32, PRECISION_BF16 };

enum { PRECISION_REASON_MAX = 128 };

struct precision_choice {
    const struct backend *backend;
    const char *name;                  /* "fp32" or "bf16" */
    char reason[PRECISION_REASON_MAX]; /* for a log: "asked for", "bf16 is 3.1 times as fast" */
};

/* "auto", "fp32" or "bf16". Errors: USAGE with a sentence. */
MUST_CHECK enum status precision_find(const char *name, enum precision *out);

/* Decides. `auto` takes about a tenth of a second where there is a bfloat16 backend: it times the
 * products of the model's layers with both.
 * Errors: USAGE (bf16 was asked for and is not here), NO_MEMORY, OS. */
MUST_CHECK enum status precision_choose(enum precision wanted, const struct model_config *config,
                                        struct precision_choice *out);

#endif
