/* run_file - writes a run_config as YAML that run_config_read reads back to the same values. */
#ifndef DUGNAD_COORDINATOR_STORE_RUN_FILE_H
#define DUGNAD_COORDINATOR_STORE_RUN_FILE_H

#include "trainer/run/run_config.h"

/* Writes folder/model.json, then folder/run.yaml. Errors: CANNOT_CREATE, IO, NO_MEMORY, BAD_CONFIG
 * (the data's path is not UTF-8, which YAML cannot hold). */
MUST_CHECK enum status run_file_write(const char *folder, const struct run_config *config);

#endif
