/* status_file - status.json: where a run stands, for people and scripts. */
#ifndef DUGNAD_COORDINATOR_STORE_STATUS_FILE_H
#define DUGNAD_COORDINATOR_STORE_STATUS_FILE_H

#include "common/files.h"
#include "common/status.h"

#include <stdint.h>

struct run_status {
    char name[64];
    char state[16]; /* created, running, finished, stopped */
    uint64_t step;  /* committed steps */
    uint64_t step_count;
    double loss; /* of the latest step, nats per token */
    double train_loss_first;
    double tokens_per_s;
    uint64_t peers;
    uint64_t peers_seen; /* different keys since the coordinator started */
    uint64_t tokens;
    double stale_share; /* of the latest step's tokens: computed on the parameters before its own */
    uint64_t stale_tokens;   /* such ones, since the coordinator started */
    uint64_t digests_agreed; /* updates applied by peers with the right digest */
    uint64_t digest_mismatches;
    uint64_t refused_contributions;
    uint64_t updated_ms; /* since 1970 */
    uint16_t port;       /* 0: never served */
    uint16_t bulk_port;  /* for chunks, likewise */
    char checkpoint[FILES_PATH_MAX];
};

/* Replaces run_path/status.json. Not synced: it can always be made again.
 * Errors: CANNOT_CREATE, IO, NO_MEMORY. */
MUST_CHECK enum status status_file_write(const char *run_path, const struct run_status *self);

/* The text of status.json. The caller owns *out: free(). Errors: NO_INPUT (says what to do). */
MUST_CHECK enum status status_file_read(const char *run_path, char **out);

/* The port of the present or last serve; 0 when there was none. */
uint16_t status_file_port(const char *run_path);

#endif
