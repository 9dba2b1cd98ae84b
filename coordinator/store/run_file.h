/* run_file - writes a run_config as YAML that run_config_read reads back to the same values. */
#ifndef DUGNAD_COORDINATOR_STORE_RUN_FILE_H
#define DUGNAD_COORDINATOR_STORE_RUN_FILE_H

#include "common/digest.h"
#include "trainer/run/run_config.h"

/* Writes folder/model.json, then folder/run.yaml. Errors: CANNOT_CREATE, IO, NO_MEMORY, BAD_CONFIG
 * (the data's path is not UTF-8, which YAML cannot hold). */
MUST_CHECK enum status run_file_write(const char *folder, const struct run_config *config);

/* Adds what a run cannot change without being another one: its model, what its samples follow from
 * (seed, context, data) and how a step is made from them (optimizer, schedule). Not the number of
 * steps, and not what the journal has its own word on. Errors: NO_MEMORY. */
MUST_CHECK enum status run_file_hash(const struct run_config *config, struct digest_stream *stream);

#endif
