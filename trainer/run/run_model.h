/* run_model - the model: section of a run as a model_config.
 *
 * Private to trainer/run. Every error leaves a sentence with file and line. */
#ifndef DUGNAD_TRAINER_RUN_RUN_MODEL_H
#define DUGNAD_TRAINER_RUN_RUN_MODEL_H

#include "trainer/layout/model_config.h"
#include "trainer/run/run_yaml.h"

/* Writes an absolute path to out(FILES_PATH_MAX): `path` itself, or relative to the folder that
 * holds the run's file. Errors: NO_INPUT, BAD_CONFIG. */
MUST_CHECK enum status run_resolve_path(const struct run_yaml *yaml, const char *path, char *out);

/* Reads the manifest in `data_folder` when vocab_size is not given.
 * Errors: NO_INPUT, BAD_DATA, BAD_CONFIG. */
MUST_CHECK enum status run_model_read(const struct run_yaml *yaml, const char *data_folder,
                                      struct model_config *out);

#endif
