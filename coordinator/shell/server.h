/* server - serves one run until its last step: sockets, timers, files around the pure core.
 *
 * One thread owns everything here; only aggregate.c uses others. */
#ifndef DUGNAD_COORDINATOR_SHELL_SERVER_H
#define DUGNAD_COORDINATOR_SHELL_SERVER_H

#include "coordinator/store/run_dir.h"

struct server_options {
    const char *listen;  /* as channel_server_new */
    size_t thread_count; /* of the aggregation */
};

/* Serves until the run is finished or SIGINT/SIGTERM came; then writes a checkpoint.
 * Errors: those of the store, the data and the channel, with a sentence. */
MUST_CHECK enum status server_run(const struct run_dir *run, const struct server_options *options);

#endif
