/* bench_model - the models that `dugnad bench` knows by name, and folders.
 *
 * Pure but for reading a folder. */
#ifndef DUGNAD_TRAINER_CLI_BENCH_MODEL_H
#define DUGNAD_TRAINER_CLI_BENCH_MODEL_H

#include "trainer/layout/model_config.h"

/* "gpt2-124m", "llama-10m", or a folder that holds a config.json (only its sizes are read).
 * Errors: USAGE (neither), and those of hf_folder_read_config. */
MUST_CHECK enum status bench_model_find(const char *name, struct model_config *out);

#endif
