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
    float *params; /* shape (layout_value_count) */
    struct weights *weights;
    size_t context;
};

struct load_plan {
    const char *folder;
    const char *backend_name; /* NULL: by the precision */
    const char *precision;    /* "auto", "fp32" or "bf16"; unused with a backend's name */
    size_t context_max;       /* the longest sequence to come; 0: the model's, at most
                                 LOADED_CONTEXT_DEFAULT_MAX */
    bool cut_context;         /* longer ones are cut to the model's, otherwise refused */
    /* Bytes that the caller is going to allocate for passes; NULL: none. `caller` is handed on. */
    uint64_t (*pass_bytes)(const struct model *model, size_t context, const void *caller);
    const void *caller;
};

/* Reads the model and its parameters. Refuses what does not fit into memory before it allocates.
 * End *out with loaded_model_deinit(), also after an error.
 * Errors: USAGE, NO_MEMORY, and those of hf_folder. */
MUST_CHECK enum status loaded_model_init(struct loaded_model *out, const struct load_plan *plan);
void loaded_model_deinit(struct loaded_model *self);

#endif
