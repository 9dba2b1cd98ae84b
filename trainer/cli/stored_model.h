/* stored_model - a Hugging Face folder in host memory: what import and export take in.
 *
 * One owner. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_CLI_STORED_MODEL_H
#define DUGNAD_TRAINER_CLI_STORED_MODEL_H

#include "trainer/layout/layout.h"
#include "trainer/tokenizer/tokenizer.h"

struct stored_model {
    struct model_config config;
    struct layout *layout;
    float *params;               /* (layout_value_count) */
    struct tokenizer *tokenizer; /* NULL: the folder has none */
    const char *dtype_name;      /* of the weights in the folder; static */
    size_t file_count;           /* of the weights */
};

/* Reads and checks all of it; without `with_tokenizer` the tokenizer is not looked at. Refuses what
 * does not fit into memory before it allocates. End *out with stored_model_deinit(), also after an
 * error. Errors: NO_MEMORY, BAD_DATA (also values that are not finite), BAD_CONFIG (tokenizer and
 * model do not belong together), and those of hf_folder. */
MUST_CHECK enum status stored_model_read(const char *folder, bool with_tokenizer,
                                         struct stored_model *out);
void stored_model_deinit(struct stored_model *self);

#endif
