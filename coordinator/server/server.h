/* server - serves one run until its last step: channel, timers and files around the pure core.
 *
 * One thread owns everything here; only aggregate.c uses others. Time is handed in: what a turn
 * does depends on it, on what the channel received and on the disk, and on nothing else. */
#ifndef DUGNAD_COORDINATOR_SERVER_SERVER_H
#define DUGNAD_COORDINATOR_SERVER_SERVER_H

#include "coordinator/store/run_dir.h"

#include <stdbool.h>

struct server_options {
    const char *listen;      /* as channel_server_new */
    const char *listen_bulk; /* the port for chunks; NULL: the one after that of `listen` */
    size_t thread_count;     /* of the aggregation */
};

struct server;

/* Takes the run's lock, loads its state and binds the channel. `run` is borrowed until server_free.
 * Errors: those of the store, the data and the channel, with a sentence. The caller owns *out. */
MUST_CHECK enum status server_new(struct run_dir *run, const struct server_options *options,
                                  struct server **out);
void server_free(struct server *self); /* NULL is allowed. */

/* Handles what was received, and the timers that are due. now_ms never decreases. *out_over: the
 * run is finished and its peers know. Errors: the run must stop, without server_stop. */
MUST_CHECK enum status server_turn(struct server *self, uint64_t now_ms, bool *out_over);

/* Waits for the channel, for wake_fd (or -1) to be readable, at most until the next timer. */
void server_wait(struct server *self, int wake_fd);

/* Ends in order: writes a checkpoint. Errors: those of the store. */
MUST_CHECK enum status server_stop(struct server *self, uint64_t now_ms);

#endif
