/* run_start - the parameters with which a run begins: from its seed, or from another model.
 *
 * One home for both programs that begin runs. Every error leaves a sentence. */
#ifndef DUGNAD_TRAINER_RUN_RUN_START_H
#define DUGNAD_TRAINER_RUN_RUN_START_H

#include "trainer/layout/layout.h"
#include "trainer/run/run_config.h"

/* All that can be wrong with config->init_from without reading its values: the data has more token
 * ids than the model, or was built with another tokenizer than the folder's, or the weights are not
 * those of the model. Nothing to check when it is empty.
 * Errors: NO_INPUT, BAD_CONFIG, BAD_DATA, BAD_SHAPE, NO_MEMORY. */
MUST_CHECK enum status run_start_check(const struct run_config *config);

/* Fills `params`, shape (layout_value_count) of the run's model.
 * Errors: those of reading the folder; BAD_DATA when a value is not finite. */
MUST_CHECK enum status run_start_params(const struct run_config *config,
                                        const struct layout *layout, float *params);

#endif
