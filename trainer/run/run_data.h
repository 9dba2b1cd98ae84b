/* run_data - opens the data of a run. */
#ifndef DUGNAD_TRAINER_RUN_RUN_DATA_H
#define DUGNAD_TRAINER_RUN_RUN_DATA_H

#include "trainer/data/dataset.h"
#include "trainer/run/run_config.h"

/* As dataset_open, and the data must be those that the run file names, if it names any. Errors: as
 * there, and BAD_CONFIG. */
MUST_CHECK enum status run_data_open(const struct run_config *config, enum dataset_split split,
                                     struct dataset **out);

#endif
