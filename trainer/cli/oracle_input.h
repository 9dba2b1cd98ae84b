/* oracle_input - the JSON files that `dugnad oracle` reads, checked against the model's sizes.
 *
 * Private to trainer/cli. Every error leaves a sentence that names the file. */
#ifndef DUGNAD_TRAINER_CLI_ORACLE_INPUT_H
#define DUGNAD_TRAINER_CLI_ORACLE_INPUT_H

#include "trainer/layout/model_config.h"
#include "trainer/optimizer/optimizer.h"

enum { ORACLE_FILE_MAX = 256 << 20, ORACLE_STEPS_MAX = 100000 };

/* Rows of token ids, each at least 2 long (a row predicts its own next tokens). */
struct oracle_batch {
    size_t row_count;
    size_t *row_starts; /* (row_count + 1), into tokens */
    uint16_t *tokens;
};

/* Predicted tokens of all rows. */
size_t oracle_batch_predicted(const struct oracle_batch *self);
void oracle_batch_deinit(struct oracle_batch *self);

/* Reads {"input_ids": [[...], ...]}. The caller ends *out with oracle_batch_deinit, also after
 * an error. Errors: NO_INPUT, BAD_DATA, OUT_OF_RANGE (an id >= vocab_size, a row too short or
 * longer than context_max + 1), NO_MEMORY. */
MUST_CHECK enum status oracle_read_ids(const char *path, const struct model_config *config,
                                       struct oracle_batch *out);

/* What a golden training run prescribes. */
struct oracle_training {
    struct optimizer_settings adamw;
    size_t step_count;
    double *learning_rates;       /* (step_count) */
    struct oracle_batch *batches; /* (step_count) */
};

void oracle_training_deinit(struct oracle_training *self);

/* Reads {"optimizer": {...}, "lr": [...], "batches": [[[...]]]}; as oracle_read_ids. */
MUST_CHECK enum status oracle_read_training(const char *path, const struct model_config *config,
                                            struct oracle_training *out);

#endif
