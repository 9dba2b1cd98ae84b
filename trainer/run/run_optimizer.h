/* run_optimizer - the optimizer: section of a run as settings and a schedule.
 *
 * Private to trainer/run. Every error leaves a sentence with file and line. */
#ifndef DUGNAD_TRAINER_RUN_RUN_OPTIMIZER_H
#define DUGNAD_TRAINER_RUN_RUN_OPTIMIZER_H

#include "trainer/optimizer/optimizer.h"
#include "trainer/optimizer/schedule.h"
#include "trainer/run/run_yaml.h"

/* Fills what the file leaves out from the chosen type's defaults, and refuses keys that the type
 * or the schedule does not use. Errors: BAD_CONFIG. */
MUST_CHECK enum status run_optimizer_read(const struct run_yaml *yaml, uint64_t step_count,
                                          struct optimizer_settings *out_settings,
                                          struct schedule *out_schedule);

#endif
