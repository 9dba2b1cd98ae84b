/* load - a Hugging Face folder as a model that is ready to compute.
 *
 * One owner. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_CLI_LOAD_H
#define DUGNAD_TRAINER_CLI_LOAD_H

#include "trainer/model/model.h"
#include "trainer/tokenizer/tokenizer.h"

enum { LOADED_CONTEXT_DEFAULT_MAX = 1024 };

struct loaded_model {
    struct model *model;
    float *params; /* backend memory, shape (layout_value_count) */
    size_t context;
};

/* Reads the model and its parameters. context_max is the longest sequence to come (0: the
 * model's, at most LOADED_CONTEXT_DEFAULT_MAX; longer ones are cut to the model's when
 * `cut_context`, otherwise refused), workspace_count how many workspaces the caller makes.
 * Refuses what does not fit into memory before it allocates. End *out with loaded_model_deinit(),
 * also after an error. Errors: USAGE, NO_MEMORY, and those of hf_folder. */
struct load_plan {
    const char *folder;
    const char *backend_name;
    size_t context_max;
    bool cut_context;
    size_t workspace_count;
};
MUST_CHECK enum status loaded_model_init(struct loaded_model *out, const struct load_plan *plan);
void loaded_model_deinit(struct loaded_model *self);

#endif
